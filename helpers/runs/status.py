"""A run that is kept: in a folder of its own, with a status written when it has truly ended."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from helpers.files import write_atomically
from helpers.runs.execute import run_notebook
from helpers.runs.executor import Interrupted, Share
from helpers.runs.results import SUCCEEDED, Run, RunResult

STATUS, LOCK = "status.json", ".lock"
# Dask gives it to its workers. A kernel with a seed of its own could not be forked from the process
# that is preloaded already.
DASK_HASH_SEED = "6640"
LEFT = re.compile(r"\..+\.[0-9a-f]{32}")  # a file that was being written by one that was killed


def folder_of(run: Run, out: Path) -> Path:
    """Return the folder in which a run is kept."""
    return out / "runs" / run.key


def read_status(folder: Path) -> RunResult | None:
    """Return the status of a run that has ended, or None: not begun, not ended, or damaged."""
    try:
        status = json.loads((folder / STATUS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(status, dict) and set(RunResult.__annotations__) <= set(status)
    return status if whole and status["key"] == folder.name else None


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
        own = replace(share, environment={**share.environment, "COURSE_FALLBACK": "0"})
        if os.environ.get("PYTHONHASHSEED") == DASK_HASH_SEED:
            os.environ.pop("PYTHONHASHSEED", None)  # or another run of this worker has done so
        result = run_notebook(run, folder, timeout, own)
        write_atomically(folder / STATUS, json.dumps(result, indent=2, allow_nan=False) + "\n")
        return result


def succeeded(folder: Path) -> RunResult | None:
    """Return the status of a run that need not run again."""
    status = read_status(folder)
    return status if status and status["status"] == SUCCEEDED else None
