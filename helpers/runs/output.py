"""The folder of results: what may be written there, and by one command at a time."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from helpers.errors import CourseError
from helpers.files import write_atomically
from helpers.runs.keys import digest
from helpers.runs.results import RunResult

PAGE, RESULTS, LOCK = "index.html", "results.json", ".lock"
TABLE, CONFIRMED = "results.csv", "confirmed.csv"
MARK = "course"  # in the metadata of an executed notebook: the digest of its sources


@contextlib.contextmanager
def output_folder(out: Path, notebooks: Sequence[str] = ()) -> Iterator[None]:
    """Make a folder of results, and keep other commands out of it meanwhile.

    Parameters
    ----------
    out
        The folder.
    notebooks
        Names of notebooks that will be written there.

    Raises
    ------
    CourseError
        If another command is at work in it, or something there would be written over that no run
        has written, or that was changed since.
    """
    _require_own_files(out, notebooks)
    out.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(out / LOCK).acquire(timeout=0)
    except Timeout:
        raise CourseError(
            f"Another command is at work in {out}; wait for its end, or choose another --out"
        ) from None
    with lock:
        yield


def files_of(name: str, out: Path) -> Path:
    """Return the folder for what the run of a notebook of this name writes itself."""
    return out / f"{name}_files"


def _require_own_files(out: Path, notebooks: Sequence[str]) -> None:
    rows = _kept_rows(out)
    is_sweep = any(out.glob("runs/*/status.json")) or (bool(rows) and (out / TABLE).exists())
    is_own = not is_sweep and bool(rows) if notebooks else is_sweep
    listed = {row.get("notebook") for row in rows}
    names = () if is_own else (PAGE, RESULTS, TABLE, CONFIRMED)
    foreign = [out / name for name in names if (out / name).exists()]
    for name in notebooks:
        path, page = out / f"{name}.ipynb", out / f"{name}.html"
        if path.is_file() and not _is_executed(path, name in listed):
            foreign.append(path)
        elif not path.exists():
            foreign += [other for other in (page, files_of(name, out)) if other.exists()]
    if foreign:
        raise CourseError(
            f"{foreign[0]} is there already, and it is not as this command has left it; expected "
            "its own folder of results, or a new one: choose another --out"
        )


def _kept_rows(out: Path) -> list[dict[str, Any]]:
    with suppress(OSError, ValueError, RecursionError):
        rows = json.loads((out / RESULTS).read_text(encoding="utf-8"))
        if isinstance(rows, list) and all(isinstance(row, dict) and "key" in row for row in rows):
            return rows
    return []


def mark_as_executed(notebook: Any) -> None:
    """Note in a notebook that a run has written it, so that another one may write over it."""
    notebook["metadata"][MARK] = _digest_of_sources(notebook)


def _is_executed(path: Path, is_listed: bool) -> bool:
    """Tell whether a run has written a notebook, and nobody has changed its sources since."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        mark = notebook["metadata"].get(MARK)
        return is_listed if mark is None else mark == _digest_of_sources(notebook)
    return False


def _digest_of_sources(notebook: Mapping[str, Any]) -> str:
    return digest(["".join(cell["source"]) for cell in notebook["cells"]])


def write_results(results: Sequence[RunResult], out: Path) -> None:
    """Write ``results.json``, whole or not at all."""
    text = json.dumps(list(results), indent=2, allow_nan=False)
    write_atomically(out / RESULTS, text + "\n")
