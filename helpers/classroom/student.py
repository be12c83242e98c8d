"""The student edition: lessons without outputs, exercises, and no solution."""

import json
from pathlib import Path

from helpers.errors import CourseError
from helpers.files import notebooks_dir, write_atomically

NOTEBOOKS = ("index.ipynb", "[0-9]*.ipynb", "exercises/*.ipynb", "experiments/*.ipynb")


def write_student_edition(out: Path) -> list[Path]:
    """Copy what a class gets: index, lessons, exercises, experiments and glossary.

    Parameters
    ----------
    out
        A folder that is new or empty.

    Returns
    -------
    list of Path
        The files, relative to ``out``.

    Raises
    ------
    CourseError
        If there is something in the folder, which is then left as it is.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CourseError(f"{out} is not empty; expected the name of a new folder")
    home = notebooks_dir()
    files = [path for pattern in NOTEBOOKS for path in sorted(home.glob(pattern))]
    for path in files:
        write_atomically(out / path.relative_to(home), _without_outputs(path))
    glossary = home / "GLOSSARY.md"
    write_atomically(out / glossary.name, glossary.read_bytes())
    return [path.relative_to(home) for path in (*files, glossary)]


def _without_outputs(path: Path) -> str:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"
