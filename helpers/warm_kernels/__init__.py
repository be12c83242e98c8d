"""Jupyter kernels that start warm: forked from a process that has imported the slow packages.

Importing TensorFlow and its company takes about ten seconds, forking a process that has done so a
few hundredths. ``provisioner`` is what Jupyter calls to start a kernel; ``preload`` is the process
that kernels are forked from, one on each host; ``connection`` finds or starts it; ``process`` is a
forked kernel as its caller sees it; ``install`` tells Jupyter. Where forking is not possible,
kernels start as ever.
"""

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "helpers.warm_kernels"}]


def _load_jupyter_server_extension(app: Any) -> None:
    """Prepare for the first kernel while the browser still opens, and stay ready."""
    import threading

    from helpers.warm_kernels.connection import WarmUnavailable, lease

    def prepare() -> None:
        try:
            app.course_lease = lease()
        except WarmUnavailable as reason:
            app.log.info("Kernels start as ever: %s", reason)

    threading.Thread(target=prepare, daemon=True).start()
