"""Many runs of a notebook over parameters: planned, executed, resumed, tabulated."""

from helpers.sweeps.engine import sweep
from helpers.sweeps.grid import make_runs
from helpers.sweeps.search import search

__all__ = ["make_runs", "search", "sweep"]
