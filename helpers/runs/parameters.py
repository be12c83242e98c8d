"""A notebook's parameters: read from its tagged cell, checked by name and type before it starts.

papermill only warns of an unknown name and checks no type: a misspelled parameter would run the
defaults and look like a result. (Its own parser reads ``Optional[int]`` but not ``int | None``, and
no line with a second ``=``, even in the comment: the notebooks keep to what it reads.)
"""

import ast
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.errors import ParameterError, nearest

TYPES = {"int": int, "float": float, "str": str, "bool": bool, "list": list, "None": None}


@dataclass(frozen=True)
class Parameter:
    """One line of a notebook's ``parameters`` cell."""

    name: str
    annotation: str
    type: Any
    default: Any


def read_parameters(notebook: Path) -> dict[str, Parameter]:
    """Read the cell tagged ``parameters``: ``name: type = default`` on each line.

    Raises
    ------
    ParameterError
        If the file is no notebook, or a line of that cell is not of this form.
    """
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        tagged = [c for c in cells if "parameters" in (c.get("metadata", {}).get("tags") or [])]
        sources = ["".join(cell["source"]) for cell in tagged]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ParameterError(
            f"{notebook}: not a readable notebook ({type(error).__name__}); expected .ipynb"
        ) from error
    parameters = {}
    for source in sources:
        try:
            statements = ast.parse(source).body
        except SyntaxError as error:
            raise ParameterError(
                f"{notebook.name}: line {error.lineno} of the parameters cell is not plain Python; "
                "expected 'name: type = default' on each line"
            ) from error
        for statement in statements:
            parameter = _parameter(statement, notebook)
            parameters[parameter.name] = parameter
    return parameters


def _parameter(statement: ast.stmt, notebook: Path) -> Parameter:
    match statement:
        case ast.AnnAssign(
            target=ast.Name(id=name), annotation=annotation, value=ast.expr() as value
        ):
            written = ast.unparse(annotation)
            try:
                return Parameter(name, written, _type(annotation), ast.literal_eval(value))
            except ValueError:
                pass
    raise ParameterError(
        f"{notebook.name}: the parameters cell has the line {ast.unparse(statement)!r}; expected "
        f"'name: type = default' with types of {', '.join(TYPES)}"
    )


def _type(annotation: ast.expr) -> Any:
    match annotation:
        case ast.Name(id=name) if name in TYPES:
            return TYPES[name]
        case ast.Constant(value=None):
            return None
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return typing.Union[_type(left), _type(right)]  # noqa: UP007 - None | None is no type
        case ast.Subscript(value=ast.Name(id="Optional"), slice=item):
            return typing.Optional[_type(item)]  # noqa: UP045 - the item is a value here
        case ast.Subscript(value=ast.Name(id="list"), slice=item):
            return list[_type(item)]
    raise ValueError(ast.unparse(annotation))


def parse_assignments(assignments: typing.Iterable[str]) -> dict[str, str]:
    """Split ``NAME=VALUE`` arguments of the command line.

    Raises
    ------
    ParameterError
        If one is not of this form, or a name comes twice.
    """
    pairs: dict[str, str] = {}
    for assignment in assignments:
        name, sign, value = assignment.partition("=")
        if not sign or not name.isidentifier():
            raise ParameterError(f"-p {assignment!r}; expected -p NAME=VALUE")
        if name in pairs:
            raise ParameterError(f"-p {name} is given twice; expected each parameter once")
        pairs[name] = value
    return pairs


def check_parameters(
    notebook: Path, values: Mapping[str, Any], known: Mapping[str, Parameter]
) -> dict[str, Any]:
    """Bring values to plain Python of the annotated types.

    Text for a parameter that is no ``str`` is read as a Python literal (``10``, ``1e-3``,
    ``[32, 64]``, ``None``, ``True``); NumPy scalars, tuples and paths are normalised.

    Raises
    ------
    ParameterError
        If a name is not in the notebook's ``parameters`` cell, or a value does not fit its type.
    """
    checked = {}
    for name, value in values.items():
        if name not in known:
            raise ParameterError(
                f"{notebook.name} has no parameter {name!r}; it has "
                f"{', '.join(known) or 'none'}.{nearest(name, known)}"
            )
        parameter = known[name]
        plain = _normalised(value)
        if isinstance(plain, str) and (
            not _fits(plain, parameter.type) or (_fits(None, parameter.type) and plain == "None")
        ):
            plain = _literal(plain)
        if not _fits(plain, parameter.type):
            raise ParameterError(
                f"{notebook.name}: {name}={value!r}; expected {parameter.annotation}, such as "
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
    return value


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
    if kind in {None, type(None)}:
        return value is None
    if typing.get_origin(kind) is list:
        (item,) = typing.get_args(kind)
        return isinstance(value, list) and all(_fits(element, item) for element in value)
    if isinstance(value, bool):  # in Python a bool is an int; in a parameter it is not
        return kind is bool
    if kind is float:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, kind)
