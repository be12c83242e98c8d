"""From what a user typed to the runs that are meant: which notebooks, with which parameters."""

import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from helpers.errors import CourseError, ParameterError, nearest
from helpers.files import notebooks_dir
from helpers.runs.notebook import read_notebook
from helpers.runs.parameters import check_parameters, parse_assignments
from helpers.runs.results import Run


def find_notebooks(wanted: Sequence[str]) -> list[Path]:
    """Return the notebooks meant by paths, names or the beginnings of names; all if none is given.

    Raises
    ------
    CourseError
        If one is unknown, or fits several.
    """
    own = sorted(notebooks_dir().glob("[0-9]*.ipynb"))
    if not wanted:
        return own
    own += sorted(notebooks_dir().glob("experiments/*.ipynb"))
    found = []
    for text in wanted:
        path = Path(text)
        if path.suffix == ".ipynb" and path.is_file():
            found.append(path)
            continue
        matches = [p for p in own if p.stem.startswith(text.removesuffix(".ipynb").rstrip("…"))]
        exact = [p for p in matches if p.stem == text]
        matches = exact or matches
        if len(matches) != 1:
            names = [p.stem for p in own]
            problem = "is no notebook" if not matches else f"fits {len(matches)} notebooks"
            raise CourseError(
                f"{text!r} {problem}; expected a path or one of {', '.join(names)}."
                + nearest(text, names)
            )
        found.append(matches[0])
    return found


def fast_profile() -> dict[str, dict[str, Any]]:
    """Return ``notebooks/fast.toml``: for each notebook the parameters of a quick run."""
    path = notebooks_dir() / "fast.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def plan_runs(
    wanted: Sequence[str], assignments: Iterable[str], *, fast: bool = False
) -> list[Run]:
    """Settle every run before the first starts.

    A parameter goes to each chosen notebook that has it. Values given by hand win over the fast
    profile.

    Raises
    ------
    CourseError
        If a notebook is unknown.
    ParameterError
        If no chosen notebook has a given parameter, or a value does not fit.
    """
    notebooks = [read_notebook(path) for path in find_notebooks(wanted)]
    values = parse_assignments(assignments)
    every = {name for notebook in notebooks for name in notebook.parameters}
    for name in values:
        if name not in every:
            where = notebooks[0].path.name if len(notebooks) == 1 else "the chosen notebooks"
            raise ParameterError(
                f"{name!r} is not a parameter of {where}; known are {', '.join(sorted(every))}."
                + nearest(name, every)
            )
    profile = fast_profile() if fast else {}
    runs = []
    for notebook in notebooks:
        own = {**profile.get(notebook.name, {})}
        own |= {name: value for name, value in values.items() if name in notebook.parameters}
        runs.append(Run(notebook, check_parameters(notebook, own)))
    return runs
