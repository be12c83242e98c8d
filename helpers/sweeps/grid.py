"""From a grid of parameters to the runs that it means, all of them checked before the first."""

import csv
import itertools
import json
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers.errors import ParameterError, nearest
from helpers.runs.notebook import Notebook, read_notebook
from helpers.runs.parameters import check_parameters
from helpers.runs.results import Run
from helpers.sweeps.table import require_free_names

MOST = 100_000  # combinations of a grid


def make_runs(
    notebook: Path,
    grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]],
    fixed: Mapping[str, Any] | None = None,
    *,
    repeat: int = 1,
    sample: int | None = None,
    seed: int = 0,
) -> list[Run]:
    """Make every run of a grid.

    Parameters
    ----------
    notebook : Path
    grid
        Parameter to values, of which every combination is run; or a sequence of combinations.
    fixed : mapping, optional
        Parameters that are the same in every run.
    repeat : int
        Runs of each combination, with ``seed`` 0, 1, ….
    sample : int, optional
        Only so many of the runs, drawn at random without replacement.
    seed : int
        Of the drawing.

    Returns
    -------
    list of Run
        Without repetitions, in the order of the grid.

    Raises
    ------
    ParameterError
        If a name or a value does not fit the notebook, or there is nothing to run.
    """
    read = read_notebook(notebook)
    require_free_names(read)
    fixed = dict(fixed or {})
    combinations = _combinations(grid)
    for name in {name for combination in combinations for name in combination} & set(fixed):
        raise ParameterError(f"{name!r} is both in the grid and fixed; expected one of them")
    if repeat > 1:
        combinations = _repeated(read, combinations, fixed, repeat)
    runs: dict[str, Run] = {}
    for combination in combinations:
        run = Run(read, check_parameters(read, {**fixed, **combination}))
        runs.setdefault(json.dumps(run.parameters, sort_keys=True), run)
    found = list(runs.values())
    if not found:
        raise ParameterError(f"{notebook.name}: the grid holds no run")
    if sample is None or sample >= len(found):
        return found
    chosen = sorted(random.Random(seed).sample(range(len(found)), sample))
    return [found[number] for number in chosen]


def require_seed(notebook: Notebook) -> None:
    """Refuse a notebook that cannot be repeated.

    Raises
    ------
    ParameterError
        If it has no parameter ``seed``, or that is no int.
    """
    if "seed" not in notebook.parameters:
        raise ParameterError(
            f"{notebook.path.name} has no parameter 'seed', so it cannot be repeated"
        )
    if type(seed := notebook.defaults["seed"]) is not int:
        raise ParameterError(
            f"{notebook.path.name}: seed = {seed!r}, so it cannot be repeated; expected an int"
        )


def _combinations(grid: Any) -> list[dict[str, Any]]:
    if not isinstance(grid, Mapping):
        return [dict(combination) for combination in grid]
    for name, values in grid.items():
        if isinstance(values, str | bytes) or not isinstance(values, Iterable):
            raise ParameterError(f"{name}={values!r}; expected a list of values")
        if not len(list(values)):
            raise ParameterError(f"{name} has no values; expected at least one")
    if (count := math.prod(len(list(values)) for values in grid.values())) > MOST:
        raise ParameterError(
            f"The grid has {count:,} combinations; expected at most {MOST:,}: take fewer values, "
            "or --search"
        )
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def _repeated(
    notebook: Notebook,
    combinations: list[dict[str, Any]],
    fixed: Mapping[str, Any],
    repeat: int,
) -> list[dict[str, Any]]:
    require_seed(notebook)
    if "seed" in fixed or any("seed" in combination for combination in combinations):
        raise ParameterError("'seed' is given, and repeat= sets it; expected one of them")
    return [{**c, "seed": number} for c in combinations for number in range(repeat)]


def parse_grid(assignments: Iterable[str]) -> dict[str, list[str]]:
    """Read ``NAME=V1,V2,…`` arguments of the command line; commas inside brackets do not split.

    Raises
    ------
    ParameterError
        If one is not of this form, or a name comes twice.
    """
    grid: dict[str, list[str]] = {}
    for assignment in assignments:
        name, sign, text = assignment.partition("=")
        if not sign or not name.isidentifier() or not text:
            raise ParameterError(f"-g {assignment!r}; expected -g NAME=VALUE,VALUE,…")
        if name in grid:
            raise ParameterError(f"-g {name} is given twice; expected each parameter once")
        grid[name] = _split(text)
    return grid


def _split(text: str) -> list[str]:
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def read_grid(path: Path) -> dict[str, list[Any]] | list[dict[str, Any]]:
    """Read a grid from a file.

    ``.json``: an object of lists, of which every combination is run, or a list of objects, each a
    run. ``.csv``: a header of names, each row a run.

    Raises
    ------
    ParameterError
        If it is neither.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".csv":
            rows = list(csv.DictReader(text.splitlines(), strict=True))
            if any(None in row or None in row.values() for row in rows):
                raise ValueError("a row is longer or shorter than the header")
            return rows
        content = json.loads(text)
    except OSError as error:
        raise ParameterError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError, csv.Error) as error:
        raise ParameterError(f"{path}: cannot be read ({error}); expected .json or .csv") from None
    rows = isinstance(content, list) and all(isinstance(row, dict) for row in content)
    lists = isinstance(content, dict) and all(isinstance(v, list) for v in content.values())
    if not rows and not lists:
        raise ParameterError(
            f"{path}: expected an object of lists or a list of objects"
            + (nearest(path.suffix, (".json", ".csv")) if path.suffix != ".json" else "")
        )
    return content
