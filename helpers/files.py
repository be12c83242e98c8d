"""Where the project lies, and how its files are written: whole or not at all."""

import os
import uuid
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


def measured_dir() -> Path:
    """Return the folder of the tables that were measured beforehand, for the lessons."""
    return notebooks_dir() / "measured"


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write ``content`` to ``path`` whole: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    if isinstance(content, str):
        content = content.encode("utf-8")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())  # or a power cut could leave a name without content
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
