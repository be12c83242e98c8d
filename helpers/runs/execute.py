"""Execute a notebook with papermill's parameters on a Jupyter kernel, with an honest result."""

import asyncio
import atexit
import importlib
import logging
import re
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers.files import write_atomically
from helpers.runs.executor import Share
from helpers.runs.metrics import (
    collect_circumstances,
    collect_curves,
    collect_metrics,
    failed_checks,
)
from helpers.runs.report import export_html, mark_as_executed
from helpers.runs.results import FAILED, SUCCEEDED, Run, RunResult, result_of

# ipykernel warns of unencrypted connections at every start, and reports the interrupt that comes
# before a shutdown as an error. Nobody will look for a run in IPython's history.
QUIET_KERNEL = ["--log-level=50", "--HistoryManager.hist_file=:memory:"]
IMPORTED = (
    *("papermill.parameterize", "nbclient.exceptions", "IPython", "ipykernel.kernelspec"),
    *("helpers.runs.kernels", "helpers.warm_kernels.provisioner"),
)
IMPORTING = threading.Lock()
CONTROL = re.compile(
    r"\x1b(\[[0-?]*[ -/]*[@-~]|[\]PX^_].*?(\x07|\x1b\\|$)|.)?|[\x00-\x08\x0b-\x1f\x7f-\x9f]",
    re.DOTALL,
)
SILENT = logging.Logger("nbclient", logging.CRITICAL + 1)  # what went wrong, the result says


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
    import_jupyter()
    import nbclient.exceptions
    import nbformat

    out.mkdir(parents=True, exist_ok=True)
    name, notebook = run.notebook.name, _with_parameters(run)
    began, start = time.time(), time.perf_counter()
    error = cell = traceback = None
    failure: dict[str, Any] = {}  # what nbclient says of a cell that failed
    try:
        # As in JupyterLab, so that what starts the kernel can look at the notebook.
        environment = {**share.environment, "JPY_SESSION_NAME": str(run.notebook.path)}
        _execute(notebook, timeout, environment, {
            "on_cell_executed": lambda **_: share.on_cell(run), "on_cell_error": failure.update,
        })  # fmt: skip
    except nbclient.exceptions.CellExecutionError as failed:
        cell = failure["cell_index"]
        error = f"{failed.ename}: {failed.evalue} (cell {cell})"
        traceback = _uncoloured(failure["execute_reply"]["content"]["traceback"])
    except nbclient.exceptions.DeadKernelError:
        error = "the kernel died (out of memory, or killed)"
    except nbclient.exceptions.CellTimeoutError as failed:
        lost = "IOPub" in str(failed)
        error = "a cell's outputs were lost" if lost else f"a cell took longer than {timeout} s"
    except Exception as failed:  # a run that cannot start is a failed run, not the end of the rest
        error = f"{type(failed).__name__}: {failed}"
    share.give_back()
    share.require_going_on()
    if not error and (shown := _shown_error(notebook)):
        cell, output = shown
        error = f"{output['ename']}: {output['evalue']} (cell {cell})"
        traceback = _uncoloured(output["traceback"])
    seconds = time.perf_counter() - start
    metrics, curves, about = {}, {}, {}
    try:
        mark_as_executed(notebook)
        write_atomically(out / f"{name}.ipynb", nbformat.writes(notebook) + "\n")
        metrics, curves = collect_metrics(notebook), collect_curves(notebook)
        about = collect_circumstances(notebook)
        checks = failed_checks(notebook)
        write_atomically(out / f"{name}.html", export_html(notebook, name))
        error = error or ("; ".join(f"check failed: {claim}" for claim in checks) or None)
    except Exception as failed:  # one result that cannot be written must not end the others
        error = error or f"no result could be written ({type(failed).__name__}: {failed})"
    return result_of(
        run, FAILED if error else SUCCEEDED, error and _uncoloured([error]), cell=cell,
        traceback=traceback, seconds=round(seconds, 2), began=round(began, 3),
        ended=round(began + seconds, 3),
        dataset=metrics.pop("dataset", None), metrics=metrics, curves=curves, **about,
    )  # fmt: skip


def _with_parameters(run: Run) -> Any:
    """Return the notebook to be executed, with papermill's cell of the run's parameters."""
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    notebook = load_notebook_node(run.notebook.node())
    if not run.parameters:
        return notebook
    return parameterize_notebook(notebook, run.parameters, kernel_name="python3", language="python")


def _execute(
    notebook: Any, timeout: int | None, environment: Mapping[str, str], hooks: dict[str, Any]
) -> None:
    """Execute a notebook in place, on a kernel of its own.

    papermill would save it twice a cell, a tenth of a second in a run of ten cells.
    """
    from nbclient import NotebookClient

    from helpers.runs.kernels import manager_with

    client = NotebookClient(
        notebook, timeout=timeout, kernel_name="python3", extra_arguments=QUIET_KERNEL,
        kernel_manager_class=manager_with(environment), log=SILENT,
        raise_on_iopub_timeout=True, **hooks,
    )  # fmt: skip
    try:
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:  # as pyzmq needs it
            runner.run(client.async_execute())
    finally:  # of a kernel that could not start, it would stay, and fail at the end of the process
        atexit.unregister(client._cleanup_kernel)


def _shown_error(notebook: Any) -> tuple[int, dict[str, Any]] | None:
    """Return an exception that a cell has shown but not raised, as ``%run`` does, and its cell."""
    for number, cell in enumerate(notebook.cells):
        if "raises-exception" not in cell.metadata.get("tags", []):
            for output in cell.get("outputs", []):
                if output["output_type"] == "error":
                    return number, output
    return None


def import_jupyter() -> None:
    """Import all that a run needs from libraries, one thread at a time.

    Of two threads that import parts of one package, Python lets one see it half made. jsonschema
    does without its check of international web addresses: no notebook has one, and its grammar is
    built for 0.8 s in every process that imports nbformat.
    """
    name = "rfc3987_syntax"
    with IMPORTING:
        absent = sys.modules.setdefault(name, None) is None
        try:
            for module in IMPORTED:
                importlib.import_module(module)
        finally:
            if absent:
                del sys.modules[name]


def _uncoloured(lines: list[str]) -> str:
    """Return text without what a terminal would obey: colours, other sequences, control codes."""
    return CONTROL.sub("", "\n".join(lines))
