"""Execute a notebook with papermill's parameters on a Jupyter kernel, with an honest result."""

import asyncio
import atexit
import importlib
import logging
import re
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

from helpers.files import write_atomically
from helpers.runs.executor import Share
from helpers.runs.html import export_html
from helpers.runs.metrics import (
    FOLDER,
    collect_circumstances,
    collect_curves,
    collect_metrics,
    failed_checks,
)
from helpers.runs.output import files_of, mark_as_executed
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
        If all runs were stopped before this one ended.
    """
    share = share or Share()
    share.require_going_on()
    import_jupyter()
    out.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(files_of(run.notebook.name, out), ignore_errors=True)  # of an earlier run
    notebook = _with_parameters(run)
    began, start = time.time(), time.perf_counter()
    failure = _execute(notebook, run, out, timeout, share)
    share.give_back()
    share.require_going_on()
    failure = failure or _shown_error(notebook)
    seconds = time.perf_counter() - start
    recorded: dict[str, Any] = {}
    try:
        _write(notebook, run, out, recorded)
        checks = [f"check failed: {claim}" for claim in failed_checks(notebook)]
        failure = failure or ({"error": "; ".join(checks)} if checks else {})
    except Exception as error:  # one result that cannot be written must not end the others
        lost = f"no result could be written ({type(error).__name__}: {error})"
        failure = failure or {"error": lost}
    error = _without_control(failure.pop("error")) if failure else None
    return result_of(
        run, FAILED if error else SUCCEEDED, error, seconds=round(seconds, 2),
        began=round(began, 3), ended=round(began + seconds, 3), **failure, **recorded,
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
    notebook: Any, run: Run, out: Path, timeout: int | None, share: Share
) -> dict[str, Any]:
    """Execute a notebook in place, on a kernel of its own; return what went wrong, or nothing.

    papermill would save it twice a cell, a tenth of a second in a run of ten cells.
    """
    import nbclient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    from helpers.runs.kernels import manager_with

    failed_cell: dict[str, Any] = {}  # what nbclient says of it
    environment = {
        **share.environment,
        FOLDER: str(files_of(run.notebook.name, out).resolve()),
        # As in JupyterLab, so that what starts the kernel can look at the notebook.
        "JPY_SESSION_NAME": str(run.notebook.path.resolve()),
    }
    client = nbclient.NotebookClient(
        notebook, timeout=timeout, kernel_name="python3", extra_arguments=QUIET_KERNEL,
        kernel_manager_class=manager_with(environment), log=SILENT, raise_on_iopub_timeout=True,
        resources={"metadata": {"path": str(run.folder)}},
        on_cell_executed=lambda **_: share.on_cell(run), on_cell_error=failed_cell.update,
    )  # fmt: skip
    try:
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:  # as pyzmq needs it
            runner.run(client.async_execute())
    except CellExecutionError as error:
        cell, reply = failed_cell["cell_index"], failed_cell["execute_reply"]["content"]
        return _failure(notebook, cell, error.ename, error.evalue, reply["traceback"])
    except DeadKernelError:
        return {"error": "the kernel died (out of memory, or killed)"}
    except CellTimeoutError as error:
        is_lost = "IOPub" in str(error)
        reason = "a cell's outputs were lost" if is_lost else f"a cell took longer than {timeout} s"
        return {"error": reason}
    except Exception as error:  # a run that cannot start is a failed run, not the end of the rest
        return {"error": f"{type(error).__name__}: {error}"}
    finally:  # of a kernel that could not start, it would stay, and fail at the end of the process
        atexit.unregister(client._cleanup_kernel)
    return {}


def _shown_error(notebook: Any) -> dict[str, Any]:
    """Return an exception that a cell has shown but not raised, as ``%run`` does, or nothing."""
    for number, cell in enumerate(notebook.cells):
        if "raises-exception" not in cell.metadata.get("tags", []):
            for output in cell.get("outputs", []):
                if output["output_type"] == "error":
                    shown = (output["ename"], output["evalue"], output["traceback"])
                    return _failure(notebook, number, *shown)
    return {}


def _failure(
    notebook: Any, cell: int, name: str, value: str, traceback: list[str]
) -> dict[str, Any]:
    text = _without_control("\n".join(traceback))
    count = notebook.cells[cell].get("execution_count")  # as the reader of the notebook sees it
    place = f"In [{count}]" if count else f"cell {cell}"
    return {"error": f"{name}: {value} ({place})", "cell": cell, "traceback": text}


def _write(notebook: Any, run: Run, out: Path, recorded: dict[str, Any]) -> None:
    """Write an executed notebook and its page; put what it has recorded into ``recorded``."""
    import nbformat

    name = run.notebook.name
    mark_as_executed(notebook)
    write_atomically(out / f"{name}.ipynb", nbformat.writes(notebook) + "\n")
    metrics = collect_metrics(notebook)
    recorded |= {"dataset": metrics.pop("dataset", None), "metrics": metrics}
    recorded |= {"curves": collect_curves(notebook), **collect_circumstances(notebook)}
    write_atomically(out / f"{name}.html", export_html(notebook, name))


def import_jupyter() -> None:
    """Import all that a run needs from libraries, one thread at a time.

    Of two threads that import parts of one package, Python lets one see it half made. jsonschema
    does without its check of international web addresses: no notebook has one, and its grammar is
    built for 0.8 s in every process that imports nbformat.
    """
    name = "rfc3987_syntax"
    with IMPORTING:
        is_absent = sys.modules.setdefault(name, None) is None  # type: ignore[arg-type]
        try:
            for module in IMPORTED:
                importlib.import_module(module)
        finally:
            if is_absent:
                del sys.modules[name]


def _without_control(text: str) -> str:
    """Return text without what a terminal would obey: colours, other sequences, control codes."""
    return CONTROL.sub("", text)
