"""A run that is kept: in a folder of its own, with a status written when it has truly ended.

papermill's own metadata says "completed" for a dead kernel too, so nothing is concluded from it.
"""

import contextlib
import functools
import hashlib
import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from helpers.datasets import catalog
from helpers.files import ROOT, write_atomically
from helpers.runs.execute import run_notebook
from helpers.runs.executor import Interrupted, Share
from helpers.runs.results import FAILED, SUCCEEDED, Run

STATUS, LOCK = "status.json", ".lock"
# Dask gives it to its workers. A kernel with a seed of its own could not be forked from the process
# that is preloaded already.
DASK_HASH_SEED = "6640"


def run_key(run: Run, defaults: Mapping[str, Any]) -> str:
    """Return a digest of all that a run's result depends on.

    These are the notebook's code, the parameters, the data that the parameters name, and the
    package. Text and outputs of the notebook do not count.
    """
    cells = json.loads(run.notebook.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    values = {**defaults, **run.parameters}
    content = [run.notebook.stem, code, values, _data(values.values()), _package()]
    text = json.dumps(content, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _data(values: Any) -> list[Any]:
    """Return what tells the data that values name from other data of the same name."""
    found: list[Any] = []
    for value in values:
        if not isinstance(value, str):
            continue
        if value in catalog.manifest():
            found.append(catalog.manifest()[value])
        elif path := catalog.existing(value):
            files = sorted(path.rglob("*")) if path.is_dir() else [path]
            stats = [(str(file.relative_to(path)), file.stat()) for file in files]
            found.append([value, [(name, s.st_size, s.st_mtime_ns) for name, s in stats]])
    return found


@functools.cache
def _package() -> str:
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted((ROOT / "helpers").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def read_status(folder: Path) -> dict[str, Any] | None:
    """Return the status of a run that has ended, or None: not begun, not ended, or damaged."""
    try:
        status = json.loads((folder / STATUS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return status if isinstance(status, dict) and status.get("key") == folder.name else None


def execute_kept(
    notebook: str,
    parameters: dict[str, Any],
    folder: str,
    timeout: int | None = None,
    share: Share | None = None,
) -> dict[str, Any]:
    """Execute a run into a folder that is named by its key; return its status.

    A run that has succeeded there before is not repeated, whoever asks: a scheduler may ask again
    when it has lost a worker. Arguments are plain, so that they travel to any machine.
    """
    from filelock import FileLock, Timeout

    share = share or Share()
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(path / LOCK).acquire(cancel_check=share.stopping.is_set)
    except Timeout:
        raise Interrupted from None
    with lock:
        share.require_going_on()
        before = read_status(path)
        if before and before["status"] == SUCCEEDED:
            return before
        (path / STATUS).unlink(missing_ok=True)
        _remove_partial(path)  # of one that was killed
        own = replace(share, environment={**share.environment, "COURSE_FALLBACK": "0"})
        if os.environ.get("PYTHONHASHSEED") == DASK_HASH_SEED:
            os.environ.pop("PYTHONHASHSEED", None)  # or another run of this worker has done so
        began = time.time()
        result = run_notebook(Run(Path(notebook), parameters), path, share=own, timeout=timeout)
        write_atomically(
            path / "metrics.json", json.dumps(result.metrics, indent=2, allow_nan=False) + "\n"
        )
        status = {
            "key": path.name, **asdict(result), "began": round(began, 3), "host": platform.node(),
            "pid": os.getpid(),
        }  # fmt: skip
        write_atomically(path / STATUS, json.dumps(status, indent=2, allow_nan=False) + "\n")
        return status


def tidy(folders: Path) -> None:
    """Remove what interrupted runs have left in their folders, unless somebody runs them again."""
    from filelock import FileLock, Timeout

    for folder in {path.parent for path in folders.glob("*/.*.ipynb")}:
        with contextlib.suppress(Timeout), FileLock(folder / LOCK, blocking=False):
            _remove_partial(folder)


def _remove_partial(folder: Path) -> None:
    for left in set(folder.glob(".*")) - {folder / LOCK}:
        left.unlink()


def lost(key: str, run: Run, reason: str) -> dict[str, Any]:
    """Return the status of a run that the scheduler has given up, as where its workers died."""
    return {
        "key": key, "notebook": run.notebook.stem, "status": FAILED, "seconds": 0.0,
        "parameters": run.parameters, "dataset": None, "metrics": {}, "error": reason,
    }  # fmt: skip
