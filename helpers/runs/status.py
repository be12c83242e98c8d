"""A run that is kept: in a folder of its own, with a status written when it has truly ended.

papermill's own metadata says "completed" for a dead kernel too, so nothing is concluded from it.
"""

import contextlib
import json
import os
import platform
import re
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from helpers.files import write_atomically
from helpers.hardware.detection import detect
from helpers.runs.execute import run_notebook
from helpers.runs.executor import Interrupted, Share
from helpers.runs.results import FAILED, SUCCEEDED, Run

STATUS, LOCK = "status.json", ".lock"
# Dask gives it to its workers. A kernel with a seed of its own could not be forked from the process
# that is preloaded already.
DASK_HASH_SEED = "6640"
# What a run that was killed leaves: the notebook on its way, or a file that was being written.
LEFT = re.compile(r"\..+\.(\d+\.running\.ipynb|[0-9a-f]{32})")


def read_status(folder: Path) -> dict[str, Any] | None:
    """Return the status of a run that has ended, or None: not begun, not ended, or damaged."""
    try:
        status = json.loads((folder / STATUS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return status if isinstance(status, dict) and status.get("key") == folder.name else None


def execute_kept(
    run: Run, folder: Path, timeout: int | None = None, share: Share | None = None
) -> dict[str, Any]:
    """Execute a run into a folder that is named by its key; return its status.

    A run that has succeeded there before is not repeated, whoever asks: a scheduler may ask again
    when it has lost a worker.
    """
    from filelock import FileLock, Timeout

    share = share or Share()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / LOCK).acquire(cancel_check=share.stopping.is_set)
    except Timeout:
        raise Interrupted from None
    with lock:
        share.require_going_on()
        before = read_status(folder)
        if before and before["status"] == SUCCEEDED:
            return before
        (folder / STATUS).unlink(missing_ok=True)
        _remove_partial(folder)  # of one that was killed
        own = replace(share, environment={**share.environment, "COURSE_FALLBACK": "0"})
        if os.environ.get("PYTHONHASHSEED") == DASK_HASH_SEED:
            os.environ.pop("PYTHONHASHSEED", None)  # or another run of this worker has done so
        began = time.time()
        result = run_notebook(run, folder, share=own, timeout=timeout)
        write_atomically(
            folder / "metrics.json", json.dumps(result.metrics, indent=2, allow_nan=False) + "\n"
        )
        status = {
            "key": folder.name, **asdict(result), "path": str(run.notebook.path.resolve()),
            "depends": run.depends, **run.origin, "began": round(began, 3),
            "ended": round(time.time(), 3), "host": platform.node(), "processor": detect().kind,
            "pid": os.getpid(),
        }  # fmt: skip
        write_atomically(folder / STATUS, json.dumps(status, indent=2, allow_nan=False) + "\n")
        return status


def tidy(folders: Path) -> None:
    """Remove what interrupted runs have left in their folders, unless somebody runs them again."""
    from filelock import FileLock, Timeout

    for folder in {path.parent for path in folders.glob("*/.*.ipynb")}:
        with contextlib.suppress(Timeout), FileLock(folder / LOCK, blocking=False):
            _remove_partial(folder)


def _remove_partial(folder: Path) -> None:
    for file in folder.glob(".*"):
        if LEFT.fullmatch(file.name) and not file.is_dir():
            file.unlink()


def lost(key: str, run: Run, reason: str) -> dict[str, Any]:
    """Return the status of a run that the scheduler has given up, as where its workers died."""
    return {
        "key": key, "notebook": run.notebook.name, "status": FAILED, "seconds": 0.0,
        "parameters": run.parameters, "dataset": None, "metrics": {}, "error": reason,
    }  # fmt: skip
