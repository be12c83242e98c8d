"""From what was asked for to runs: which notebooks, with which parameters, all of them checked."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from helpers.datasets import catalog
from helpers.errors import CourseError, ParameterError, nearest
from helpers.files import notebooks_dir
from helpers.runs.choices import Grid, make_settings
from helpers.runs.notebook import Notebook, read_notebook
from helpers.runs.parameters import check_parameters
from helpers.runs.results import Run
from helpers.runs.table import require_free_names


def find_notebooks(wanted: Sequence[str]) -> list[Path]:
    """Return the notebooks meant by paths, names or the beginnings of names; all if none is given.

    The beginning of a name means a lesson before it means an experiment.

    Raises
    ------
    CourseError
        If one is unknown, or fits several.
    """
    known = sorted(notebooks_dir().glob("[0-9]*.ipynb"))
    if not wanted:
        return known
    known += sorted(notebooks_dir().glob("experiments/*.ipynb"))
    return [_find_notebook(text, known) for text in wanted]


def _find_notebook(text: str, known: Sequence[Path]) -> Path:
    path = Path(text)
    if path.suffix == ".ipynb" and path.is_file():
        return path
    if (beside := path.with_name(f"{path.name}.ipynb")).is_file():
        return beside
    matches = [p for p in known if p.stem.startswith(text.removesuffix(".ipynb").rstrip("…"))]
    exact = [p for p in matches if p.stem == text]
    lessons = [p for p in matches if p.parent.name != "experiments"]
    matches = exact or lessons or matches
    if len(matches) == 1:
        return matches[0]
    names = [p.stem for p in known]
    problem = "is no notebook" if not matches else f"fits {len(matches)} notebooks"
    raise CourseError(
        f"{text!r} {problem}; expected a path or one of {', '.join(names)}." + nearest(text, names)
    )


def fast_profile() -> dict[str, dict[str, Any]]:
    """Return ``notebooks/fast.toml``: for each notebook the parameters of a quick run."""
    path = notebooks_dir() / "fast.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def plan_runs(
    wanted: Sequence[str],
    values: Mapping[str, Any],
    *,
    fast: bool = False,
    cwd: str | Path | None = None,
) -> list[Run]:
    """Plan one run of each notebook.

    Parameters
    ----------
    wanted
        As ``find_notebooks`` takes them.
    values
        Parameters; each goes to every notebook that has it, before the fast profile.
    fast
        Whether to use the small values of ``fast_profile``.
    cwd
        The working directory; by default each notebook's own folder.

    Raises
    ------
    CourseError
        If a notebook is unknown.
    ParameterError
        If no notebook has a given parameter, or a value does not fit.
    """
    notebooks = [read_notebook(path) for path in find_notebooks(wanted)]
    names = {name for notebook in notebooks for name in notebook.parameters}
    for name in values:
        if name not in names:
            where = notebooks[0].path.name if len(notebooks) == 1 else "the chosen notebooks"
            known = ", ".join(sorted(names)) or "none: no cell is tagged 'parameters'"
            raise ParameterError(
                f"{name!r} is not a parameter of {where}; known are {known}." + nearest(name, names)
            )
    profile = fast_profile() if fast else {}
    return [
        make_run(
            notebook,
            profile.get(notebook.name, {})
            | {name: value for name, value in values.items() if name in notebook.parameters},
            cwd,
        )
        for notebook in notebooks
    ]


def make_runs(
    notebook: str | Path,
    grid: Grid,
    fixed: Mapping[str, Any] | None = None,
    *,
    repeat: int = 1,
    sample: int | None = None,
    seed: int = 0,
    cwd: str | Path | None = None,
) -> list[Run]:
    """Plan the runs of one notebook over a grid.

    Parameters
    ----------
    notebook
        A path, a name, or the beginning of a name such as ``"04"``.
    grid
        Parameter to a list of values, of which every combination is run; with ``sample`` also to
        the text of a range such as ``"0.001..0.1:log"``. Or a sequence of settings.
    fixed
        Parameters that are the same in every run.
    repeat
        Runs of each setting, with ``seed`` 0, 1, ….
    sample
        Only so many of the settings, drawn at random.
    seed
        Seed of the drawing.
    cwd
        The working directory of the runs; by default the notebook's own folder.

    Returns
    -------
    list of Run
        Without repetitions, in the order of the grid. Each has a value for every parameter that one
        of them has.

    Raises
    ------
    ParameterError
        If a name or a value does not fit the notebook, or there is nothing to run.
    """
    (path,) = find_notebooks([str(notebook)])
    read = read_notebook(path)
    require_free_names(read)
    fixed = dict(fixed or {})
    settings = make_settings(read, grid, sample, seed)
    names = dict.fromkeys(name for setting in settings for name in setting)
    for name in names:
        if name in fixed:
            raise ParameterError(f"{name!r} is both in the grid and fixed; expected one of them")
    seeds: list[dict[str, Any]] = [{}]
    if repeat > 1:
        require_seed(read, {*fixed, *names})
        seeds = [{"seed": number} for number in range(repeat)]
    defaults = {name: read.defaults[name] for name in names}
    runs = [
        make_run(read, {**fixed, **defaults, **setting, **one_seed}, cwd)
        for setting in settings
        for one_seed in seeds
    ]
    return list({json.dumps(run.parameters, sort_keys=True): run for run in runs}.values())


def require_seed(notebook: Notebook, given: set[str]) -> None:
    """Refuse a notebook that cannot be repeated with other seeds, or whose seed is ``given``.

    Raises
    ------
    ParameterError
        If it has no parameter ``seed``, that is no int, or its value is settled already.
    """
    if "seed" in given:
        raise ParameterError("'seed' is set already, and repeating sets it; expected one of them")
    if "seed" not in notebook.parameters:
        raise ParameterError(
            f"{notebook.path.name} has no parameter 'seed', so it cannot be repeated"
        )
    if type(seed := notebook.defaults["seed"]) is not int:
        raise ParameterError(
            f"{notebook.path.name}: seed = {seed!r}, so it cannot be repeated; expected an int"
        )


def make_run(notebook: Notebook, values: Mapping[str, Any], cwd: str | Path | None) -> Run:
    """Plan a run of a notebook; ``cwd`` is None for its own folder.

    Raises
    ------
    ParameterError
        If a name or a value does not fit, or there is no such folder.
    """
    run = Run(notebook, cwd=cwd and Path(cwd).resolve())
    if not run.folder.is_dir():
        raise ParameterError(f"{cwd}: no such folder; expected the working directory of the runs")
    checked = check_parameters(notebook, values)
    parameters = {name: _path_from(run.folder, name, value) for name, value in checked.items()}
    return replace(run, parameters=parameters)


def _path_from(folder: Path, name: str, value: Any) -> Any:
    """Make a path absolute that was meant from here, not from the folder in which a run works."""
    looks_so = isinstance(value, str) and (name == "dataset" or {"/", "\\", "."} & {*value})
    if not looks_so or value in catalog.names():
        return value
    try:
        is_here = Path(value).exists() and not (folder / value).exists()
    except (OSError, ValueError):  # too long, or a zero byte
        return value
    return str(Path(value).resolve()) if is_here else value
