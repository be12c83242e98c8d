"""A notebook as it was when it was read: what is checked, keyed and executed is the same text.

papermill only warns of an unknown parameter and checks no type: a misspelled one would run the
defaults and look like a result. (Its own parser reads ``Optional[int]`` but not ``int | None``, and
no line with a second ``=``, even in the comment: the notebooks keep to what it reads.)
"""

import ast
import json
import typing
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helpers.errors import ParameterError

TYPES = {"int": int, "float": float, "str": str, "bool": bool, "list": list, "dict": dict}
TYPES |= {"None": None, "Any": Any}


@dataclass(frozen=True)
class Parameter:
    """One line of a notebook's ``parameters`` cell."""

    name: str
    annotation: str
    type: Any
    default: Any


@dataclass(frozen=True)
class Notebook:
    """A notebook to be run.

    Attributes
    ----------
    path : Path
        Where it was read.
    parameters : dict
        Name to ``Parameter``: the lines of its cell tagged ``parameters``.
    code : tuple of str
        Its code cells.
    snapshot : str
        Its JSON, without outputs. It is executed even if the file has changed meanwhile.
    """

    path: Path
    parameters: dict[str, Parameter]
    code: tuple[str, ...]
    snapshot: str = field(repr=False)

    @property
    def name(self) -> str:
        """Its file's name without the ending."""
        return self.path.stem

    @property
    def defaults(self) -> dict[str, Any]:
        """The parameters' values where none are given."""
        return {name: parameter.default for name, parameter in self.parameters.items()}

    def node(self) -> Any:
        """Return the snapshot as a new node of nbformat."""
        import nbformat

        return nbformat.reads(self.snapshot, as_version=4)


def read_notebook(path: Path) -> Notebook:
    """Read a notebook, and its parameters: ``name: type = default`` on each line.

    Without a type, that of the default counts, as for papermill. A cell of parameters that an
    earlier run has injected is left out, with a warning.

    Raises
    ------
    ParameterError
        If the file is no notebook of Python, has two cells tagged ``parameters``, or a line of the
        tagged cell is not of this form.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["nbformat"] != 4:
            raise ValueError("another format")
        cells = [cell for cell in content["cells"] if "injected-parameters" not in _tags(cell)]
        is_executed = len(cells) < len(content["cells"])
        content["cells"] = cells
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        sources = ["".join(cell["source"]) for cell in code]
        tagged = [n for n, cell in enumerate(code) if "parameters" in _tags(cell)]
        language = content["metadata"].get("kernelspec", {}).get("language") or "python"
        for cell in code:
            cell.update(outputs=[], execution_count=None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ParameterError(
            f"{path}: not a readable notebook ({type(error).__name__}); expected .ipynb"
        ) from error
    if str(language).lower() != "python":
        raise ParameterError(f"{path.name}: a notebook of {language}; expected one of Python")
    if is_executed:
        warnings.warn(
            f"{path.name}: its cell of the parameters of an earlier run is left out; the values of "
            "the cell tagged 'parameters' count, and those that are given now",
            stacklevel=2,
        )
    if len(tagged) > 1:
        raise ParameterError(
            f"{path.name}: {len(tagged)} cells are tagged 'parameters'; expected one, because the "
            "last one would count whatever is given: make them one cell"
        )
    parameters = [p for number in tagged for p in _read_parameters(sources[number], path)]
    return Notebook(path, {p.name: p for p in parameters}, tuple(sources), json.dumps(content))


def _tags(cell: Mapping[str, Any]) -> Sequence[str]:
    return cell.get("metadata", {}).get("tags") or []


def _read_parameters(source: str, path: Path) -> list[Parameter]:
    try:
        return [_read_parameter(statement, path) for statement in ast.parse(source).body]
    except SyntaxError as error:
        raise ParameterError(
            f"{path.name}: line {error.lineno} of the parameters cell is not plain Python; "
            "expected 'name: type = default' or 'name = default' on each line"
        ) from error


def _read_parameter(statement: ast.stmt, path: Path) -> Parameter:
    match statement:
        case ast.AnnAssign(
            target=ast.Name(id=name), annotation=annotation, value=ast.expr() as value
        ):
            written = ast.unparse(annotation)
            with suppress(ValueError, TypeError):
                return Parameter(name, written, _type(annotation), _default(value))
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            with suppress(ValueError, KeyError, TypeError):
                default = _default(value)
                kind = type(default).__name__
                written = {"NoneType": "Any", "tuple": "list"}.get(kind, kind)
                return Parameter(name, written, TYPES[written], default)
    raise ParameterError(
        f"{path.name}: the parameters cell has the line {ast.unparse(statement)!r}; expected "
        f"'name: type = default' with types of {', '.join(TYPES)}, or 'name = default'"
    )


def _default(value: ast.expr) -> Any:
    default = ast.literal_eval(value)
    json.dumps(default, allow_nan=False)  # it raises for what no record could hold
    return default


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
