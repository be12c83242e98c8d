"""Execute the runs of a sweep, on this machine or on a cluster, and resume them."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Executor, Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.errors import CourseError
from helpers.runs.executor import LocalExecutor, as_completed, default_jobs
from helpers.runs.keys import keyed_runs
from helpers.runs.results import SUCCEEDED, Run
from helpers.runs.select import find_notebooks
from helpers.runs.status import execute_kept, lost, read_status, tidy
from helpers.sweeps.cluster import connected
from helpers.sweeps.grid import make_runs
from helpers.sweeps.progress import Progress
from helpers.sweeps.summary import write_summary
from helpers.sweeps.table import differing, write_table
from helpers.warm_kernels.connection import preloading

if TYPE_CHECKING:
    import pandas as pd

WRITING = 5.0  # seconds between two versions of the table while runs end


def sweep(
    notebook: str | Path,
    grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]],
    fixed: Mapping[str, Any] | None = None,
    *,
    out: str | Path,
    repeat: int = 1,
    sample: int | None = None,
    seed: int = 0,
    jobs: int | None = None,
    scheduler: str | None = None,
    timeout: int | None = None,
    metric: str | None = None,
    progress: bool = True,
) -> "pd.DataFrame":
    """Run a notebook over a grid of parameters.

    Each run gets a folder of its own in ``out/runs``, named by a digest of all that its result
    depends on. Called again, runs that have succeeded are kept and all others run again.

    Parameters
    ----------
    notebook
        A path, a name, or the beginning of a name such as ``"04"``.
    grid, fixed, repeat, sample, seed
        As of ``make_runs``.
    out
        Folder of the results: ``results.csv`` and ``results.json`` hold the table, ``summary.html``
        shows it in pictures, ``runs`` has a folder for each run.
    jobs : int, optional
        Runs at a time on this machine: one for each GPU, else one for each core.
    scheduler : str, optional
        Address of a Dask scheduler, such as ``"tcp://10.0.0.1:8786"``, whose workers see ``out``
        under the same path; instead of this machine.
    timeout : int, optional
        Seconds that a single cell may take.
    metric : str, optional
        By which runs are compared; by default an accuracy, else a loss, else the first number.
    progress : bool
        Whether to show what is done, running and failed, the time left and the best so far.

    Returns
    -------
    DataFrame
        A row a run: parameters, metrics, status, seconds, peak memory, device, plan, error. Its
        ``attrs`` list the ``parameters`` that differ and the ``metrics``.

    Raises
    ------
    ParameterError
        If a name or a value does not fit the notebook; nothing has started then.
    CourseError
        If the scheduler cannot be reached, or goes away.
    """
    (path,) = find_notebooks([str(notebook)])
    runs = _completed(make_runs(path, grid, fixed, repeat=repeat, sample=sample, seed=seed))
    keyed = keyed_runs(runs)
    out = Path(out).resolve()
    folders = {key: out / "runs" / key for key in keyed}
    statuses = {key: status for key, folder in folders.items() if (status := succeeded(folder))}
    pending = {key: run for key, run in keyed.items() if key not in statuses}
    at_a_time = min(jobs or default_jobs(), len(pending))
    try:
        if pending:
            with executor_for(scheduler, at_a_time) as (executor, at_a_time, dashboard):
                names = differing([run.parameters for run in runs])
                bar = Progress(len(keyed), len(statuses), at_a_time, names, metric, shown=progress)
                bar.started(dashboard)
                try:
                    _execute(executor, pending, folders, statuses, timeout, bar)
                finally:
                    bar.close()
    finally:
        tidy(out / "runs")
        ended = [
            status | {"parameters": run.parameters}
            for key, run in keyed.items()
            # One may have ended while an interruption kept it from being heard of.
            if (status := statuses.get(key) or read_status(folders[key]))
        ]
        if ended:
            table = write_table(ended, out)
            write_summary(ended, table, out, metric)
    return table


def _completed(runs: Sequence[Run]) -> list[Run]:
    """Give every run a value for each parameter that one of them has."""
    names = dict.fromkeys(name for run in runs for name in run.parameters)
    defaults = {name: runs[0].notebook.defaults[name] for name in names}
    return [Run(run.notebook, defaults | run.parameters) for run in runs]


def succeeded(folder: Path) -> dict[str, Any] | None:
    """Return the status of a run that need not run again."""
    status = read_status(folder)
    return status if status and status["status"] == SUCCEEDED else None


@contextlib.contextmanager
def executor_for(scheduler: str | None, jobs: int) -> Iterator[tuple[Executor, int, str | None]]:
    """Return what executes runs, how many at a time, and a dashboard's address if it has one."""
    if scheduler is None:
        with preloading(), LocalExecutor(jobs) as executor:
            yield executor, jobs, None
        return
    with connected(scheduler) as client:
        executor = client.get_executor(pure=False)
        try:
            yield executor, sum(client.nthreads().values()), client.dashboard_link
        finally:
            executor.shutdown(wait=False)


def _execute(
    executor: Executor,
    pending: Mapping[str, Run],
    folders: Mapping[str, Path],
    statuses: dict[str, dict[str, Any]],
    timeout: int | None,
    bar: Progress,
) -> None:
    """Run what is pending; put each status into ``statuses`` as soon as it has ended."""
    futures = {submit(executor, run, folders[key], timeout): key for key, run in pending.items()}
    out = folders[next(iter(pending))].parent.parent
    written = time.monotonic()
    for future in as_completed(futures):
        key = futures[future]
        statuses[key] = collect(future, key, pending[key])
        bar.ended(statuses[key])
        if time.monotonic() - written > WRITING:
            write_table(list(statuses.values()), out)
            written = time.monotonic()


def submit(executor: Executor, run: Run, folder: Path, timeout: int | None) -> Future:
    """Have a run executed into its folder."""
    return executor.submit(execute_kept, run, folder, timeout)


def collect(future: Future, key: str, run: Run) -> dict[str, Any]:
    """Return the status of a run that has ended, also where its workers died.

    Raises
    ------
    CourseError
        If the scheduler has gone.
    """
    try:
        error = future.exception()
    except CancelledError:
        raise CourseError(
            "The scheduler has gone; what has succeeded is kept: start one, and the sweep again"
        ) from None
    return lost(key, run, f"{type(error).__name__}: {error}") if error else future.result()
