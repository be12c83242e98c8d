"""Metrics that a notebook records while it runs, and how they are read from its outputs."""

import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers.errors import CourseError

MEDIA_TYPE = "application/vnd.course.metrics+json"
CIRCUMSTANCES = ("peak_memory_mb", "device", "plan")
FOLDER = "COURSE_RUN_FOLDER"  # names the folder of a run to its kernel
FAILED_CHECK = "application/vnd.course.failed-check+json"


def record(**metrics: Any) -> None:
    """Store metrics in the running notebook; ``course run`` collects them in ``results.json``.

    Parameters
    ----------
    **metrics
        Numbers, strings, booleans or ``None``; NumPy scalars become Python's, and NaN and infinity
        become ``None``, which JSON can hold. A later record of the same name wins. ``dataset``
        should be among them: the name of the set that was really used. A DataFrame, such as the
        ``history`` of a training, is kept as learning curves; the ``plan`` of a training tells on
        which device, and how, it ran. Beside them goes the memory that the run needed so far.

    Raises
    ------
    CourseError
        If a value is anything else.
    """
    from IPython.display import display

    about = {"peak_memory_mb": _peak_memory()}
    for name in [n for n, value in metrics.items() if hasattr(value, "reasons")]:
        plan = metrics.pop(name)
        about |= {"device": plan.device, "plan": str(plan)}
    clean = {name: _clean(name, value) for name, value in metrics.items()}
    listed = ", ".join(f"{name} = {_shown(value)}" for name, value in clean.items())
    display(
        {MEDIA_TYPE: clean, "text/plain": f"recorded: {listed}"},
        metadata={MEDIA_TYPE: about},
        raw=True,
    )


def folder() -> Path:
    """Return the folder for what this run writes, which is kept with its result.

    It is there when this function is called, and empty when the run begins. Outside of ``course
    run`` and ``course sweep``, as in JupyterLab, it is the working directory.
    """
    path = Path(os.environ.get(FOLDER) or Path.cwd())
    path.mkdir(parents=True, exist_ok=True)
    return path


def _peak_memory() -> float:
    """Return the most memory of this process so far, in MB."""
    import psutil

    used = psutil.Process().memory_info()
    peak = getattr(used, "peak_wset", 0)  # where Windows keeps it
    if not peak:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return round(peak / 1e6, 1)


def _clean(name: str, value: Any) -> Any:
    if hasattr(value, "columns"):
        return {str(column): [_scalar(name, v) for v in value[column].tolist()] for column in value}
    return _scalar(name, value)


def _scalar(name: str, value: Any) -> Any:
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        raise CourseError(f"record({name}=…) received an integer that is too large for a float")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise CourseError(
        f"record({name}=…) received {type(value).__name__}; expected a number, a string, a "
        "boolean, None or a DataFrame"
    )


def is_number(value: Any) -> bool:
    """Tell whether a recorded value can be compared."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return f"curves of {', '.join(value)}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def collect_metrics(notebook: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the numbers, strings … that the cells of an executed notebook recorded."""
    return {k: v for k, v in _recorded(notebook, "data").items() if not isinstance(v, dict)}


def collect_curves(notebook: Mapping[str, Any]) -> dict[str, dict[str, list[Any]]]:
    """Merge the learning curves that were recorded: name to column to values, an epoch each."""
    return {k: v for k, v in _recorded(notebook, "data").items() if isinstance(v, dict)}


def collect_circumstances(notebook: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the notebook needed when it last recorded: memory, device, plan."""
    about = _recorded(notebook, "metadata")
    return {name: about[name] for name in CIRCUMSTANCES if name in about}


def _recorded(notebook: Mapping[str, Any], part: str) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for output in _outputs(notebook):
        recorded = output.get(part, {}).get(MEDIA_TYPE)
        merged |= recorded if isinstance(recorded, dict) else {}
    return merged


def report_failed(claim: str) -> None:
    """Print ``✗`` and the claim of a check that failed; ``course run`` counts it as a failure."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.display import display

    if InteractiveShell.initialized():
        display({FAILED_CHECK: claim, "text/plain": f"✗ {claim}"}, raw=True)
    else:
        print(f"✗ {claim}")  # noqa: T201 - what a check says is printed


def failed_checks(notebook: Mapping[str, Any]) -> list[str]:
    """Return the claims of the checks that failed in an executed notebook."""
    data = [output.get("data", {}) for output in _outputs(notebook)]
    return [str(shown[FAILED_CHECK]) for shown in data if FAILED_CHECK in shown]


def _outputs(notebook: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
