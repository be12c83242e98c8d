"""What a run is, and what became of it."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SUCCEEDED, FAILED, INTERRUPTED = "succeeded", "failed", "interrupted"


@dataclass(frozen=True)
class Run:
    """One notebook with its checked parameters, to be executed."""

    notebook: Path
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunResult:
    """What became of a run; a row of ``summary.json``."""

    notebook: str
    status: str
    seconds: float
    parameters: dict[str, Any]
    dataset: str | None
    metrics: dict[str, Any]
    error: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return the row, ready for JSON."""
        return asdict(self)
