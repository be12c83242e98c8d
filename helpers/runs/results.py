"""What a run is, and what became of it."""

from dataclasses import asdict, dataclass, field
from typing import Any

from helpers.runs.notebook import Notebook

SUCCEEDED, FAILED, INTERRUPTED = "succeeded", "failed", "interrupted"


@dataclass(frozen=True)
class Run:
    """One notebook with its checked parameters, to be executed.

    ``depends`` holds what its result depends on, and ``origin`` where it comes from, if it is to be
    kept (see ``helpers.runs.keys``).
    """

    notebook: Notebook
    parameters: dict[str, Any] = field(default_factory=dict)
    depends: dict[str, Any] = field(default_factory=dict)
    origin: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunResult:
    """What became of a run; a row of ``summary.json``.

    Attributes
    ----------
    notebook : str
        Its name.
    status : str
        ``"succeeded"``, ``"failed"`` or ``"interrupted"``.
    seconds : float
        From before its kernel started until after that had ended.
    parameters, dataset, metrics, curves
        What it was given, the set that it really used, and what it recorded.
    error : str or None
        In one line; ``cell`` is the number of the failed cell in the executed notebook, and
        ``traceback`` what it printed, where there are such.
    peak_memory_mb, device, plan
        As recorded last.
    """

    notebook: str
    status: str
    seconds: float
    parameters: dict[str, Any]
    dataset: str | None
    metrics: dict[str, Any]
    error: str | None
    cell: int | None = None
    traceback: str | None = None
    curves: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    peak_memory_mb: float | None = None
    device: str | None = None
    plan: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the row, ready for JSON."""
        return asdict(self)
