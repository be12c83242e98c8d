"""Metrics that a notebook records while it runs, and how they are read from its outputs."""

import math
from collections.abc import Mapping
from typing import Any

from helpers.errors import CourseError

MEDIA_TYPE = "application/vnd.course.metrics+json"
FAILED_CHECK = "✗"


def record(**metrics: Any) -> None:
    """Store metrics in the running notebook; ``course run`` collects them in ``summary.json``.

    Parameters
    ----------
    **metrics
        Numbers, strings, booleans or ``None``; NumPy scalars become Python's, and NaN and infinity
        become ``None``, which JSON can hold. A later record of the same name wins. ``dataset``
        should be among them: the name of the set that was really used.

    Raises
    ------
    CourseError
        If a value is anything else.
    """
    from IPython.display import display

    clean = {name: _scalar(name, value) for name, value in metrics.items()}
    listed = ", ".join(f"{name} = {_shown(value)}" for name, value in clean.items())
    display({MEDIA_TYPE: clean, "text/plain": f"recorded: {listed}"}, raw=True)


def _scalar(name: str, value: Any) -> Any:
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise CourseError(
        f"record({name}=…) received {type(value).__name__}; expected a number, a string, a boolean "
        "or None"
    )


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def collect_metrics(notebook: Mapping[str, Any]) -> dict[str, Any]:
    """Merge everything that the cells of an executed notebook recorded, in their order."""
    merged: dict[str, Any] = {}
    for output in _outputs(notebook):
        recorded = output.get("data", {}).get(MEDIA_TYPE)
        merged |= recorded if isinstance(recorded, dict) else {}
    return merged


def failed_checks(notebook: Mapping[str, Any]) -> list[str]:
    """Return the lines by which ``helpers.classroom.check`` reported a failed check."""
    return [
        line.removeprefix(FAILED_CHECK).strip()
        for output in _outputs(notebook)
        for line in "".join(output.get("text", "")).splitlines()
        if line.startswith(FAILED_CHECK)
    ]


def _outputs(notebook: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
