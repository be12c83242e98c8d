"""What of a sweep's folder can be kept, and why the rest would run again."""

from collections.abc import Iterator
from pathlib import Path

from helpers.errors import CourseError, ParameterError
from helpers.runs.keys import Surroundings, changes
from helpers.runs.notebook import Notebook, read_notebook
from helpers.runs.results import SUCCEEDED, RunResult, describe
from helpers.runs.status import read_status
from helpers.sweeps.table import differing

STATES = KEPT, STALE, FAILED, UNFINISHED = "kept", "stale", "failed", "unfinished"


def states(out: Path) -> Iterator[tuple[str, str, str]]:
    """Yield state, settings and reason of each run in the folder of a sweep.

    A run is ``kept`` if a sweep that asks for it finds it as it is; ``stale`` if what it depends on
    has changed since (the reason says what); ``failed``; or ``unfinished``.

    Raises
    ------
    CourseError
        If the folder is not that of a sweep.
    """
    folders = sorted(path for path in out.glob("runs/*") if path.is_dir())
    if not folders:
        raise CourseError(f"{out} holds no runs; expected the folder of a sweep")
    statuses = {folder: read_status(folder) for folder in folders}
    names = differing([status["parameters"] for status in statuses.values() if status])
    now, read = Surroundings(), {}
    for folder, status in statuses.items():
        if status is None:
            yield UNFINISHED, folder.name, ""
            continue
        settings = describe(status["parameters"], names) or folder.name
        reasons = _reasons(status, now, read)
        if status["status"] != SUCCEEDED:
            yield FAILED, settings, status["error"]
        elif reasons:
            yield STALE, settings, ", ".join(reasons)
        else:
            yield KEPT, settings, ""


def _reasons(status: RunResult, now: Surroundings, read: dict[str, Notebook | None]) -> list[str]:
    """Tell what has changed since a run; ``read`` holds the notebooks that were looked at."""
    path = status.get("path", "")
    if path not in read:
        try:
            read[path] = read_notebook(Path(path))
        except ParameterError:
            read[path] = None
    if (notebook := read[path]) is None:
        return ["the notebook is not there any more"]
    return changes(status.get("depends", {}), now.dependencies(notebook, status["parameters"]))
