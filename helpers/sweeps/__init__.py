"""Many runs of a notebook over parameters: planned, executed, resumed, tabulated."""

from helpers.sweeps.grid import make_runs
from helpers.sweeps.over_grid import sweep
from helpers.sweeps.search import search

__all__ = ["make_runs", "search", "sweep"]
