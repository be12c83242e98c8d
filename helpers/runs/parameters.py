"""Values of a notebook's parameters, checked by name and type before it starts."""

import ast
import csv
import io
import json
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from helpers.errors import ParameterError, nearest
from helpers.runs.notebook import Notebook


def parse_assignments(assignments: Iterable[str], form: str = "-p NAME=VALUE") -> dict[str, str]:
    """Split arguments of the command line, such as ``NAME=VALUE``.

    Raises
    ------
    ParameterError
        If one is not of this form, or a name comes twice.
    """
    option = form.split()[0]
    pairs: dict[str, str] = {}
    for assignment in assignments:
        name, sign, value = assignment.partition("=")
        if not sign or not name.isidentifier() or (not value and "," in form):
            raise ParameterError(f"{option} {assignment!r}; expected {form}")
        if name in pairs:
            raise ParameterError(f"{option} {name} is given twice; expected each parameter once")
        pairs[name] = value
    return pairs


def read_parameters(path: Path) -> dict[str, Any]:
    """Read a file of parameters, as papermill has them: YAML or JSON, a name and a value each.

    Raises
    ------
    ParameterError
        If it is not of this form.
    """
    content = read_values(path)
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise ParameterError(f"{path}: expected names with a value each")
    return content


def read_values(path: Path) -> Any:
    """Read what a ``.json``, ``.yaml`` or ``.csv`` file holds; of the last, a dictionary a row.

    Raises
    ------
    ParameterError
        If it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".csv":
            rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
            if any(None in row or None in row.values() for row in rows):
                raise ValueError("a row is longer or shorter than the header")
            return rows
        return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise ParameterError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError, csv.Error, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ParameterError(
            f"{path}: cannot be read ({reason}); expected .json, .yaml or .csv"
        ) from None


def check_parameters(notebook: Notebook, values: Mapping[str, Any]) -> dict[str, Any]:
    """Bring values to plain Python of the annotated types.

    Text for a parameter that is no ``str`` is read as a Python literal (``10``, ``1e-3``,
    ``[32, 64]``, ``None``, ``True``); NumPy scalars, tuples and paths are normalised.

    Raises
    ------
    ParameterError
        If a name is not in the notebook's ``parameters`` cell, or a value does not fit its type.
    """
    checked, known = {}, notebook.parameters
    for name, value in values.items():
        if name not in known:
            having = ", ".join(known) or "none: no cell is tagged 'parameters'"
            raise ParameterError(
                f"{notebook.path.name} has no parameter {name!r}; it has {having}."
                + nearest(name, known)
            )
        parameter = known[name]
        plain = _normalised(value)
        if isinstance(plain, list) and not _fits(plain, parameter.type):
            plain = [_literal(v) if isinstance(v, str) else v for v in plain]  # YAML's 1e-3
        if isinstance(plain, str) and (
            Any in _members(parameter.type)
            or not _fits(plain, parameter.type)
            or (_fits(None, parameter.type) and plain == "None")
        ):
            plain = _literal(plain)
        if not _fits(plain, parameter.type) or not _is_json(plain):
            raise ParameterError(
                f"{notebook.path.name}: {name}={value!r}; expected {parameter.annotation}, such as "
                f"{parameter.default!r}"
            )
        is_float = float in _members(parameter.type) and int not in _members(parameter.type)
        checked[name] = float(plain) if is_float and isinstance(plain, int) else plain
    return checked


def _normalised(value: Any) -> Any:
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        return value.item()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [_normalised(item) for item in value]
    if isinstance(value, dict):
        return {key: _normalised(item) for key, item in value.items()}
    return value


def _is_json(value: Any) -> bool:
    """Tell whether a record holds a value as it is: JSON has texts only as keys, and no bytes."""
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False


def _literal(text: str) -> Any:
    """Read a literal; also JSON's and the shell's spellings of True, False and None."""
    spellings = {"true": True, "false": False, "none": None, "null": None}
    if text.strip().lower() in spellings:
        return spellings[text.strip().lower()]
    try:
        return _normalised(ast.literal_eval(text.strip()))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _members(kind: Any) -> tuple[Any, ...]:
    is_union = typing.get_origin(kind) in {typing.Union, types.UnionType}
    return typing.get_args(kind) if is_union else (kind,)


def _fits(value: Any, kind: Any) -> bool:
    return any(_fits_one(value, member) for member in _members(kind))


def _fits_one(value: Any, kind: Any) -> bool:
    if kind is Any:
        return True
    if kind in {None, type(None)}:
        return value is None
    if typing.get_origin(kind) is list:
        (item,) = typing.get_args(kind)
        return isinstance(value, list) and all(_fits(element, item) for element in value)
    if isinstance(value, bool):  # in Python a bool is an int; in a parameter it is not
        return kind is bool
    if kind is float:
        return isinstance(value, int | float) and abs(value) <= sys.float_info.max
    if kind is str and isinstance(value, str):  # without halves of characters
        return value == value.encode(errors="ignore").decode()
    return isinstance(value, kind)
