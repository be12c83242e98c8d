"""What a run is, and what became of it."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from helpers.hardware import detect
from helpers.runs.notebook import Notebook

SUCCEEDED, FAILED, INTERRUPTED = "succeeded", "failed", "interrupted"
LONGEST_ERROR = 500  # characters


@dataclass(frozen=True)
class Run:
    """One notebook with its checked parameters, to be executed.

    ``key``, what its result ``depends`` on and its ``origin`` come from ``helpers.runs.keys``;
    ``cwd`` is None for the notebook's own folder.
    """

    notebook: Notebook
    parameters: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    depends: dict[str, Any] = field(default_factory=dict)
    origin: dict[str, Any] = field(default_factory=dict)
    cwd: Path | None = None

    @property
    def folder(self) -> Path:
        """The working directory of its kernel."""
        return (self.cwd or self.notebook.path.parent).resolve()


class RunResult(TypedDict):
    """What became of a run, ready for JSON: a row of ``results.json``, and ``status.json``.

    Attributes
    ----------
    key, notebook, path, parameters
        Which run it was.
    status : str
        ``"succeeded"``, ``"failed"`` or ``"interrupted"``.
    error : str or None
        In one line; ``cell`` is the number of the failed cell in the executed notebook, and
        ``traceback`` what it printed, where there are such.
    seconds : float
        From before its kernel started until after that had ended; ``began`` and ``ended`` are
        seconds since 1970.
    dataset, metrics, curves
        The set that it really used, and what it recorded.
    peak_memory_mb, device, plan
        As recorded last.
    depends, commit, clean
        The code, data, package and versions of its key; the commit of this clone, and whether its
        files were those of the commit.
    host, processor, pid
        Where it ran.
    cwd, defaults
        Its working directory, and the values of the parameters that were not given; earlier
        versions of the course have not noted them.
    """

    key: str
    notebook: str
    path: str
    parameters: dict[str, Any]
    status: str
    error: str | None
    cell: int | None
    traceback: str | None
    seconds: float
    began: float | None
    ended: float | None
    dataset: str | None
    metrics: dict[str, Any]
    curves: dict[str, dict[str, list[Any]]]
    peak_memory_mb: float | None
    device: str | None
    plan: str | None
    depends: dict[str, Any]
    commit: str | None
    clean: bool | None
    host: str
    processor: str
    pid: int
    cwd: NotRequired[str]
    defaults: NotRequired[dict[str, Any]]


def result_of(run: Run, status: str, error: str | None, **details: Any) -> RunResult:
    """Return the result of a run; fields that have no ``details`` are empty."""
    empty = {
        "cell": None, "traceback": None, "seconds": 0.0, "began": None, "ended": None,
        "dataset": None, "metrics": {}, "curves": {}, "peak_memory_mb": None, "device": None,
        "plan": None, "commit": None, "clean": None,
    }  # fmt: skip
    return {
        **empty, **run.origin, **details,
        "key": run.key, "notebook": run.notebook.name, "path": str(run.notebook.path.resolve()),
        "parameters": run.parameters, "depends": run.depends, "status": status,
        "error": error and " ".join(error.split())[:LONGEST_ERROR],
        "host": platform.node(), "processor": detect().kind, "pid": os.getpid(),
        "cwd": str(run.folder), "defaults": run.notebook.defaults,
    }  # fmt: skip


def describe_setting(parameters: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return the settings of a run in a line."""
    return ", ".join(f"{name}={parameters.get(name)}" for name in names)
