"""Notebooks run with parameters, strictly checked before and honestly recorded after.

A notebook's way to a sweep's page, in the order in which it is gone:

=========== ====================== ==================================================
plan        ``notebook``           the notebook as it was read, and its parameters
            ``choices``, ``plan``  from what was asked for to runs that are checked
            ``keys``               what a run's result depends on
run         ``engine``             has runs executed, here or on a cluster
            ``kept``               one run, in a folder of its own
            ``execute``            its cells, on a kernel
record      ``metrics``            what it has recorded
            ``table``              a row a run
conclude    ``conclude``           settings compared over seeds
show        ``sweep_page``         the page
=========== ====================== ==================================================

``sweeping``, ``searching`` (Optuna chooses) and ``report`` (``course run``) go that way.
"""

import importlib
from typing import Any

from helpers.runs.metrics import folder, record

HOMES = {
    "make_runs": "helpers.runs.plan",
    "search": "helpers.runs.searching",
    "sweep": "helpers.runs.sweeping",
}

__all__ = ["folder", "make_runs", "record", "search", "sweep"]


def __getattr__(name: str) -> Any:
    """Import what runs notebooks when it is asked for: a notebook that is run needs none of it."""
    if name in HOMES:
        return getattr(importlib.import_module(HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
