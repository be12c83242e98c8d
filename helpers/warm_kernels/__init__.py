"""Jupyter kernels that start warm: forked from a process that has imported the slow packages.

Importing TensorFlow and its company takes about ten seconds, forking a process that has done so a
few hundredths. ``provisioner`` is what Jupyter calls to start a kernel; ``owner`` starts the one
preloaded process of this process and asks it for kernels; ``preload`` is that process, and
``hidden`` gives a kernel its modules when it imports them. Where forking is not possible, and until
the packages are imported, kernels start cold.

It is a process of our own and no forkserver of ``multiprocessing``, which would run the caller's
script again in every kernel, refuses to work in the workers of Dask (daemonic processes), blocks
until the packages are imported, passes over those that fail, and never calls what a notebook has
registered with ``atexit``.
"""

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "helpers.warm_kernels"}]


def _load_jupyter_server_extension(app: Any) -> None:
    """Have the packages imported while the browser still opens."""
    from helpers.warm_kernels.owner import WarmUnavailable, begin

    try:
        begin()
    except WarmUnavailable as reason:
        app.log.info("Kernels start cold: %s", reason)
