"""A run that is kept: in a folder of its own, with a status written when it has truly ended."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from helpers.errors import CourseError, ParameterError
from helpers.files import write_atomically
from helpers.runs.execute import run_notebook
from helpers.runs.executor import Interrupted, Share
from helpers.runs.keys import Surroundings, changes
from helpers.runs.notebook import Notebook, read_notebook
from helpers.runs.output import LOCK
from helpers.runs.results import FAILED, SUCCEEDED, Run, RunResult, describe_setting, result_of
from helpers.runs.table import varying_parameters

STATUS = "status.json"
# Dask gives it to its workers. A kernel with a seed of its own could not be forked from the process
# that is preloaded already.
DASK_HASH_SEED = "6640"
LEFT = re.compile(r"\..+\.[0-9a-f]{32}")  # a file that was being written by one that was killed
KEPT, STALE, UNFINISHED = "kept", "stale", "unfinished"


def folder_of(run: Run, out: Path) -> Path:
    """Return the folder in which a run is kept."""
    return out / "runs" / run.key


def read_status(folder: Path) -> RunResult | None:
    """Return the status of a run that has ended, or None: not begun, not ended, or damaged."""
    try:
        status = json.loads((folder / STATUS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_whole = isinstance(status, dict) and RunResult.__required_keys__ <= set(status)
    return status if is_whole and status["key"] == folder.name else None


def succeeded(folder: Path) -> RunResult | None:
    """Return the status of a run that need not run again."""
    status = read_status(folder)
    return status if status and status["status"] == SUCCEEDED else None


def execute_kept(
    run: Run, out: Path, timeout: int | None = None, share: Share | None = None
) -> RunResult:
    """Execute a run into ``out/runs/KEY``, a folder named by its key; return its result.

    A run that has succeeded there before is not repeated, whoever asks: a scheduler may ask again
    when it has lost a worker.
    """
    share, folder = share or Share(), folder_of(run, out)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / LOCK).acquire(cancel_check=share.stopping.is_set)
    except Timeout:
        raise Interrupted from None
    with lock:
        share.require_going_on()
        if before := succeeded(folder):
            return before
        (folder / STATUS).unlink(missing_ok=True)
        for file in folder.glob(".*"):
            if LEFT.fullmatch(file.name) and not file.is_dir():
                file.unlink()
        strict = replace(share, environment={**share.environment, "COURSE_FALLBACK": "0"})
        if os.environ.get("PYTHONHASHSEED") == DASK_HASH_SEED:
            os.environ.pop("PYTHONHASHSEED", None)  # or another run of this worker has done so
        if changed := _changes_since(run):  # or this is another machine
            result = result_of(run, FAILED, changed)
        else:
            result = run_notebook(run, folder, timeout, strict)
            if result["status"] == SUCCEEDED and (changed := _changes_since(run)):
                result |= {"status": FAILED, "error": changed}
        write_atomically(folder / STATUS, json.dumps(result, indent=2, allow_nan=False) + "\n")
        return result


def _changes_since(run: Run) -> str:
    """Tell what a run depends on and is not as it was: its result would belong to no key."""
    if not run.depends:
        return ""
    now = Surroundings().dependencies(run.notebook, run.parameters, run.folder)
    since = ", ".join(changes(run.depends, now))
    return f"changed since its key was taken: {since}; run it again" if since else ""


def states(out: Path) -> Iterator[tuple[str, str, str]]:
    """Yield state, setting and reason of each run in the folder of a sweep.

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
    names = varying_parameters([status["parameters"] for status in statuses.values() if status])
    now = Surroundings()
    notebooks: dict[str, Notebook | None] = {}
    for folder, status in statuses.items():
        if status is None:
            yield UNFINISHED, folder.name, ""
            continue
        setting = describe_setting(status["parameters"], names) or folder.name
        if status["status"] != SUCCEEDED:
            yield FAILED, setting, status["error"] or ""
            continue
        if (path := status["path"]) not in notebooks:
            try:
                notebooks[path] = read_notebook(Path(path))
            except ParameterError:
                notebooks[path] = None
        reasons = _reasons(status, notebooks[path], now)
        yield (STALE if reasons else KEPT), setting, ", ".join(reasons)


def _reasons(status: RunResult, notebook: Notebook | None, now: Surroundings) -> list[str]:
    """Tell what has changed since a run."""
    if notebook is None:
        return ["the notebook is not there any more"]
    folder = Path(status.get("cwd") or notebook.path.resolve().parent)
    return changes(status["depends"], now.dependencies(notebook, status["parameters"], folder))
