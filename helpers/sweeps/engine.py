"""Execute the runs of a sweep, on this machine or on a cluster, and resume them."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.errors import CourseError, ParameterError
from helpers.runs.executor import LocalExecutor, as_completed, default_jobs
from helpers.runs.keys import keyed_runs
from helpers.runs.results import SUCCEEDED, Run
from helpers.runs.select import find_notebooks
from helpers.runs.status import execute_kept, lost, read_status, tidy
from helpers.sweeps.cluster import connected
from helpers.sweeps.compare import Comparison, conclude
from helpers.sweeps.grid import make_runs, require_seed
from helpers.sweeps.objective import Objective, objective_of
from helpers.sweeps.progress import Progress
from helpers.sweeps.summary import SUMMARY, write_summary
from helpers.sweeps.table import differing, make_table, write_table
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
    direction: str | None = None,
    confirm: int = 0,
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
        shows it in pictures and says what may be concluded, ``runs`` has a folder for each run.
    jobs : int, optional
        Runs at a time on this machine: one for each GPU, else one for each core.
    scheduler : str, optional
        Address of a Dask scheduler, such as ``"tcp://10.0.0.1:8786"``, whose workers see ``out``
        under the same path; instead of this machine.
    timeout : int, optional
        Seconds that a single cell may take.
    metric : str, optional
        By which settings are compared; by default one of the validation set, an accuracy first.
    direction : str, optional
        ``"maximize"`` or ``"minimize"``, where the name of the metric does not tell.
    confirm : int
        Runs of the best setting with fresh seeds: what they give is not chosen, as the best is.
    progress : bool
        Whether to show what is done, running and failed, the time left and the best so far.

    Returns
    -------
    DataFrame
        A row a run: parameters, metrics, status, seconds, peak memory, device, plan, error. Its
        ``attrs`` list the ``parameters`` that differ and the ``metrics``, and hold the
        ``conclusion`` and what was ``confirmed``: metric to ``n``, ``mean``, ``low``, ``high``.

    Raises
    ------
    ParameterError
        If a name or a value does not fit the notebook, or the direction of the metric is not
        known; nothing has started then. Or afterwards, if there is no best setting to confirm.
    CourseError
        If the scheduler cannot be reached, or goes away.
    """
    asked = objective_of(metric, direction) if metric else None
    (path,) = find_notebooks([str(notebook)])
    runs = _completed(make_runs(path, grid, fixed, repeat=repeat, sample=sample, seed=seed))
    if confirm:
        require_seed(runs[0].notebook)
    out = Path(out).resolve()
    keyed, fresh = keyed_runs(runs), {}
    statuses: dict[str, dict[str, Any]] = {}

    def run(wanted: dict[str, Run]) -> None:
        _run_pending(wanted, statuses, out, jobs, scheduler, timeout, asked, progress)

    try:
        run(keyed)
        if confirm:
            best = conclude(make_table(_ended(keyed, statuses, out)), metric, direction)
            if best is None:
                raise ParameterError(
                    "There is no best setting to confirm: no run has succeeded, or no metric has a "
                    "known direction; say --maximize METRIC or --minimize METRIC"
                )
            fresh = keyed_runs(_with_fresh_seeds(runs, best, confirm))
            run(fresh)
    finally:
        tidy(out / "runs")
        if ended := _ended(keyed, statuses, out):
            table = write_table(ended, out)
            again = _ended(fresh, statuses, out)
            write_summary(ended, table, out / SUMMARY, conclude(table, metric, direction), again)
    return table


def _run_pending(
    keyed: Mapping[str, Run],
    statuses: dict[str, dict[str, Any]],
    out: Path,
    jobs: int | None,
    scheduler: str | None,
    timeout: int | None,
    asked: Objective | None,
    progress: bool,
) -> None:
    """Execute what has not succeeded before; put each status into ``statuses``."""
    folders = {key: out / "runs" / key for key in keyed}
    statuses |= {key: status for key, folder in folders.items() if (status := succeeded(folder))}
    pending = {key: run for key, run in keyed.items() if key not in statuses}
    if not pending:
        return
    at_a_time = min(jobs or default_jobs(), len(pending))
    with executor_for(scheduler, at_a_time) as (executor, at_a_time, dashboard):
        names = differing([run.parameters for run in keyed.values()])
        kept = len(keyed) - len(pending)
        bar = Progress(len(keyed), kept, at_a_time, names, asked, shown=progress)
        bar.started(dashboard)
        try:
            _execute(executor, pending, folders, statuses, timeout, bar)
        finally:
            bar.close()


def _ended(
    keyed: Mapping[str, Run], statuses: Mapping[str, dict[str, Any]], out: Path
) -> list[dict[str, Any]]:
    """Return the statuses of the runs that have ended, in their order."""
    return [
        status | {"parameters": run.parameters}
        for key, run in keyed.items()
        # One may have ended while an interruption kept it from being heard of.
        if (status := statuses.get(key) or read_status(out / "runs" / key))
    ]


def _with_fresh_seeds(runs: Sequence[Run], found: Comparison, count: int) -> list[Run]:
    """Return the best setting with seeds that no run has had."""
    best = next(run for run in runs if found.is_best(run.parameters))
    default = best.notebook.defaults["seed"]
    first = 1 + max(run.parameters.get("seed", default) for run in runs)
    return [
        replace(best, parameters={**best.parameters, "seed": seed})
        for seed in range(first, first + count)
    ]


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
