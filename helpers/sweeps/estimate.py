"""How long a sweep will take, judged by the runs that have ended."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from helpers.runs.executor import default_jobs
from helpers.runs.keys import keyed_runs
from helpers.runs.results import Run
from helpers.runs.status import folder_of, read_status, succeeded


def estimate(runs: Sequence[Run], out: Path, jobs: int | None = None) -> str:
    """Return a sentence about what is done and how long the rest will take.

    The seconds of a run are the median of the runs of this notebook that have ended in ``out``:
    the first ones of the sweep, or of one with other values.
    """
    keyed = keyed_runs(runs).values()
    waiting = [run for run in keyed if not succeeded(folder_of(run, out))]
    done = f"{len(keyed) - len(waiting)} have succeeded, {len(waiting)} are to run"
    statuses = [status for folder in out.glob("runs/*") if (status := read_status(folder))]
    name = runs[0].notebook.name
    seconds = [s["seconds"] for s in statuses if s["notebook"] == name and not s["error"]]
    if not seconds:
        return (
            f"{done}. How long a run takes is not known before one has ended: start with "
            "--random 2, whose runs are kept"
        )
    at_a_time = min(jobs or default_jobs(), max(len(waiting), 1))
    each = statistics.median(seconds)
    left = each * -(-len(waiting) // at_a_time)
    return (
        f"{done}: about {_duration(left)}, at {each:.1f} s a run ({len(seconds)} measured) and "
        f"{at_a_time} at a time"
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
