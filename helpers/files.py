"""Where the project lies, and how its files are written: whole or not at all."""

import os
import tempfile
from pathlib import Path

from helpers.errors import CourseError

ROOT = Path(__file__).resolve().parent.parent


def notebooks_dir() -> Path:
    """Return the folder of notebooks of the clone that ``helpers`` was installed from."""
    folder = ROOT / "notebooks"
    if not folder.is_dir():
        raise CourseError(
            f"No notebooks beside {ROOT / 'helpers'}: install the package from a clone of the "
            "course with 'pip install -e .'"
        )
    return folder


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` whole: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        # mkstemp's 0600 would hide a report from everybody else; give it what a new file gets.
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
