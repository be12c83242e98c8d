"""Notebooks run with parameters, strictly checked before and honestly recorded after.

The modules, in the order in which a notebook on its way to a sweep's page meets them:

=========== ============== ======================================================================
plan        ``notebook``   the notebook as it was read
            ``parameters`` values, checked against its parameters
            ``choices``    settings, of lists and ranges
            ``plan``       from what was asked for to runs
            ``keys``       what a run's result depends on
            ``output``     the folder of results, for one command at a time
run         ``engine``     has runs executed, by
            ``executor``   threads of this machine, each with its share, or by
            ``cluster``    Dask
            ``kept``       one run, in a folder of its own
            ``execute``    its cells
            ``kernels``    how their kernel is reached
            ``progress``   what is shown meanwhile
record      ``metrics``    what a notebook has recorded
            ``results``    what became of a run
            ``table``      a row a run
conclude    ``objective``  by which metric, and in which direction
            ``conclude``   settings compared over seeds
show        ``html``       pages that run nothing
            ``sweep_page`` the page of a sweep
=========== ============== ======================================================================

Who goes this way: ``sweeping``, ``searching`` (Optuna chooses), ``report`` (``course run``), and
from the table on ``comparing``.
"""

import importlib
from typing import Any

from helpers.runs.metrics import folder, record

IMPORTED_WHEN_USED = {
    "make_runs": "helpers.runs.plan",
    "search": "helpers.runs.searching",
    "sweep": "helpers.runs.sweeping",
}

__all__ = ["folder", "make_runs", "record", "search", "sweep"]


def __getattr__(name: str) -> Any:
    """Import what runs notebooks when it is asked for: a notebook that is run needs none of it."""
    if name in IMPORTED_WHEN_USED:
        return getattr(importlib.import_module(IMPORTED_WHEN_USED[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
