"""Execute a notebook through papermill, with an honest result."""

import asyncio
import contextlib
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from helpers.runs.executor import Interrupted, Share
from helpers.runs.metrics import (
    collect_circumstances,
    collect_curves,
    collect_metrics,
    failed_checks,
)
from helpers.runs.report import write_html
from helpers.runs.results import FAILED, SUCCEEDED, Run, RunResult, result_of

# ipykernel warns of unencrypted connections at every start, and reports the interrupt that comes
# before a shutdown as an error. Nobody will look for a run in IPython's history.
QUIET_KERNEL = ["--log-level=50", "--HistoryManager.hist_file=:memory:"]


def run_notebook(
    run: Run, out: Path, timeout: int | None = None, share: Share | None = None
) -> RunResult:
    """Execute one notebook and write ``NAME.ipynb`` and ``NAME.html`` to ``out`` when it has ended.

    Parameters
    ----------
    run
        The notebook and its parameters, already checked.
    out
        A folder; created if missing.
    timeout
        Seconds that a single cell may take.
    share
        What it has of this machine: all of it by default.

    Returns
    -------
    RunResult
        Also for a notebook that failed: this function raises only for defects of its own.

    Raises
    ------
    Interrupted
        If it was to end before it had done its work.
    """
    share = share or Share()
    share.require_going_on()
    with _no_grammar_of_addresses():
        import nbclient.exceptions
        import papermill

    from helpers.runs.kernels import manager_with

    out.mkdir(parents=True, exist_ok=True)
    name = run.notebook.name
    partial = _partial(run, out)
    began, start = time.time(), time.perf_counter()
    error = cell = traceback = None
    try:
        with _event_loop():
            papermill.execute_notebook(
                run.notebook.node(),
                _literal(partial),
                run.parameters,
                progress_bar=False,
                kernel_name="python3",
                execution_timeout=timeout,
                on_cell_executed=lambda **_: share.on_cell(run),
                extra_arguments=QUIET_KERNEL,
                kernel_manager_class=manager_with(share.environment),
            )
    except papermill.PapermillExecutionError as failure:
        error = f"{failure.ename}: {failure.evalue} (cell {failure.cell_index})"
        cell, traceback = failure.cell_index, _uncoloured(failure.traceback)
    except nbclient.exceptions.DeadKernelError:
        error = "the kernel died (out of memory, or killed)"
    except nbclient.exceptions.CellTimeoutError:
        error = f"a cell took longer than {timeout} s"
    except Exception as failure:  # a run that cannot start is a failed run, not the end of the rest
        error = f"{type(failure).__name__}: {failure}"
    if share.stopping.is_set():
        partial.unlink(missing_ok=True)
        raise Interrupted
    seconds = time.perf_counter() - start
    metrics, curves, about = {}, {}, {}
    try:
        executed = _publish(partial, out / f"{name}.ipynb")
        metrics, curves = collect_metrics(executed), collect_curves(executed)
        about = collect_circumstances(executed)
        failed = failed_checks(executed)
        error = error or ("; ".join(f"check failed: {claim}" for claim in failed) or None)
    except Exception as failure:  # one result that cannot be written must not end the others
        error = error or f"no result could be written ({type(failure).__name__}: {failure})"
    return result_of(
        run, FAILED if error else SUCCEEDED, error and _uncoloured([error]), cell=cell,
        traceback=traceback, seconds=round(seconds, 2), began=round(began, 3),
        ended=round(began + seconds, 3),
        dataset=metrics.pop("dataset", None), metrics=metrics, curves=curves, **about,
    )  # fmt: skip


@contextlib.contextmanager
def _event_loop() -> Iterator[None]:
    """Close the loop that Jupyter's client makes for a run; it would stay, with its threads."""
    from jupyter_core.utils import ensure_event_loop

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        loop = ensure_event_loop()
    else:  # that of a notebook which runs another one: the client has a thread of its own there
        yield
        return
    try:
        yield
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


@contextlib.contextmanager
def _no_grammar_of_addresses() -> Iterator[None]:
    """Import jsonschema without its check of international web addresses.

    No notebook has one, and its grammar is built for 0.8 s in every process that imports nbformat.
    """
    name = "rfc3987_syntax"
    absent = sys.modules.setdefault(name, None) is None
    try:
        yield
    finally:
        if absent:
            sys.modules.pop(name, None)  # or another thread has done so


def _uncoloured(lines: list[str]) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(lines))


def _partial(run: Run, out: Path) -> Path:
    """Name the file of a notebook that still runs.

    papermill saves after every cell, in place, and its metadata says "completed" even for a dead
    kernel: a notebook gets its real name only when it has ended.
    """
    return out / f".{run.notebook.name}.{os.getpid()}.running.ipynb"


def _literal(path: Path) -> str:
    """Keep papermill from taking braces in a path for parameters."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _publish(partial: Path, final: Path) -> Any:
    """Move the executed notebook to its name, write its HTML, return it."""
    import nbformat

    notebook = nbformat.read(partial, as_version=4)
    partial.replace(final)
    write_html(notebook, final.with_suffix(".html"))
    return notebook
