"""What may be chosen for each parameter: lists of values, and ranges such as ``0.001..0.1:log``."""

import itertools
import json
import math
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.errors import ParameterError
from helpers.runs.notebook import Notebook
from helpers.runs.parameters import check_parameters, parse_assignments, read_values

RANGE = re.compile(r"^(?P<low>[^.].*?)\.\.(?P<high>.+?)(?P<log>:log)?$")
MOST = 100_000  # combinations of a grid

# As a user gives it: parameter to values or to the text of a range; or one dictionary a setting.
Grid = Mapping[str, Sequence[Any] | str] | Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Range:
    """All numbers from ``low`` to ``high``; whole ones if both are ``int``.

    ``log``: evenly over the orders of magnitude.
    """

    low: float
    high: float
    log: bool

    @property
    def is_whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def draw(self, chance: random.Random) -> float:
        """Return a number of this range, each as likely as any other."""
        low, high = self.low, self.high + self.is_whole
        if self.log:
            number = math.exp(chance.uniform(math.log(low), math.log(high)))
        else:
            number = chance.uniform(low, high)
        return min(math.floor(number), self.high) if self.is_whole else min(number, self.high)


def parse_grid(assignments: Iterable[str], option: str = "-g") -> dict[str, list[str]]:
    """Read ``NAME=V1,V2,…`` arguments of the command line; commas inside brackets do not split.

    Raises
    ------
    ParameterError
        If one is not of this form, or a name comes twice.
    """
    pairs = parse_assignments(assignments, f"{option} NAME=VALUE,VALUE,…")
    return {name: _split(text) for name, text in pairs.items()}


def _split(text: str) -> list[str]:
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def read_grid(path: Path) -> dict[str, Any] | list[dict[str, Any]]:
    """Read a grid from a file.

    ``.json`` or ``.yaml``: an object of lists and ranges, of which every combination is run, or a
    list of objects, each a run. ``.csv``: a header of names, each row a run.

    Raises
    ------
    ParameterError
        If it is neither.
    """
    content = read_values(path)
    is_rows = isinstance(content, list) and all(isinstance(row, dict) for row in content)
    is_lists = isinstance(content, dict) and all(
        isinstance(name, str) and isinstance(values, list | str) for name, values in content.items()
    )
    if not is_rows and not is_lists:
        raise ParameterError(f"{path}: expected an object of lists or a list of objects")
    return content


def check_choices(
    notebook: Notebook, choices: Mapping[str, Sequence[Any] | str]
) -> dict[str, list[Any] | Range]:
    """Check what may be chosen against a notebook's parameters.

    Parameters
    ----------
    notebook
        Whose parameters they are.
    choices
        Parameter to a list of values, or to the text of a range: ``"1e-4..1e-1"``,
        ``"1e-4..1e-1:log"``, ``"16..128"``.

    Raises
    ------
    ParameterError
        If a name, a value or a range does not fit.
    """
    return {name: _check_choice(notebook, name, values) for name, values in choices.items()}


def _check_choice(notebook: Notebook, name: str, values: Sequence[Any] | str) -> list[Any] | Range:
    def checked(value: Any) -> Any:
        return check_parameters(notebook, {name: value})[name]

    if not isinstance(values, str):
        if isinstance(values, bytes | Mapping) or not isinstance(values, Iterable):
            raise ParameterError(f"{name}={values!r}; expected a list of values")
        values = list(values)
        if not values:
            raise ParameterError(f"{name} has no values; expected at least one")
    text = values if isinstance(values, str) else values[0] if len(values) == 1 else None
    match = RANGE.match(text) if isinstance(text, str) else None
    is_path = isinstance(notebook.defaults.get(name), str) and not isinstance(values, str)
    if match is None or is_path:  # "../data" is no range
        if isinstance(values, str):
            raise ParameterError(f"{name}={values!r}; expected a list of values, or LOW..HIGH")
        return [checked(value) for value in values]
    low, high = (checked(match[end]) for end in ("low", "high"))
    if not all(type(end) in (int, float) for end in (low, high)) or not low < high:
        raise ParameterError(f"{name}={text!r}; expected two numbers, the smaller one first")
    if match["log"] and low <= 0:
        raise ParameterError(f"{name}={text!r}; expected a range above 0 for :log")
    return Range(low, high, bool(match["log"]))


def make_settings(
    notebook: Notebook, grid: Grid, count: int | None = None, seed: int = 0
) -> list[dict[str, Any]]:
    """Return every setting of a grid, or ``count`` different ones drawn at random from it.

    Raises
    ------
    ParameterError
        If a name or a value does not fit the notebook, a range is given without ``count``, or there
        is nothing to run.
    """
    chance = random.Random(seed)
    if not isinstance(grid, Mapping):
        settings = _without_repetitions(check_parameters(notebook, setting) for setting in grid)
        if not settings:
            raise ParameterError(f"{notebook.path.name}: the grid holds no run")
    else:
        choices = check_choices(notebook, grid)
        ranges = [name for name, values in choices.items() if isinstance(values, Range)]
        if ranges and count is None:
            raise ParameterError(
                f"{ranges[0]} is a range, of which any number may be drawn; say how many settings: "
                "--random N or --search N"
            )
        combinations = math.prod(
            len(values) for values in choices.values() if not isinstance(values, Range)
        )
        if ranges or (count is not None and combinations > MOST):
            return _draw(choices, count or 0, chance)
        if combinations > MOST:
            raise ParameterError(
                f"The grid has {combinations:,} combinations; expected at most {MOST:,}: take "
                "fewer values, --random or --search"
            )
        products = itertools.product(*choices.values())  # type: ignore[arg-type]
        settings = _without_repetitions(dict(zip(choices, p, strict=True)) for p in products)
    if count is None or count >= len(settings):
        return settings
    return [settings[place] for place in sorted(chance.sample(range(len(settings)), count))]


def _draw(
    choices: Mapping[str, list[Any] | Range], count: int, chance: random.Random
) -> list[dict[str, Any]]:
    """Draw different settings; fewer where there are not so many."""
    drawn: dict[str, dict[str, Any]] = {}
    for _ in range(10 * count):
        setting = {
            name: values.draw(chance) if isinstance(values, Range) else chance.choice(values)
            for name, values in choices.items()
        }
        drawn.setdefault(json.dumps(setting, sort_keys=True), setting)
        if len(drawn) == count:
            break
    return list(drawn.values())


def _without_repetitions(settings: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return settings without repetitions."""
    return list({json.dumps(s, sort_keys=True): s for s in settings}.values())
