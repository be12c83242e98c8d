"""Run a notebook over a grid of parameters; what has succeeded before is kept."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.errors import ParameterError
from helpers.runs.engine import run_all
from helpers.runs.keys import keyed_runs
from helpers.runs.objective import objective_of
from helpers.runs.progress import Progress
from helpers.runs.report import PAGE, require_own_files, write_results
from helpers.runs.results import Run, RunResult
from helpers.runs.select import find_notebooks
from helpers.runs.status import execute_kept, folder_of, succeeded
from helpers.sweeps.compare import Comparison, conclude
from helpers.sweeps.grid import make_runs, require_seed
from helpers.sweeps.summary import import_early, write_summary
from helpers.sweeps.table import differing, make_table, write_table

if TYPE_CHECKING:
    import pandas as pd

WRITING = 5.0  # seconds between two versions of results.json while runs end


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
        Folder of the results: ``results.csv`` and ``results.json`` hold the table, ``index.html``
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
        If ``out`` has a file that no sweep has written, or the scheduler cannot be reached.
    """
    asked = objective_of(metric, direction) if metric else None
    (path,) = find_notebooks([str(notebook)])
    runs = _completed(make_runs(path, grid, fixed, repeat=repeat, sample=sample, seed=seed))
    if confirm:
        require_seed(runs[0].notebook)
    out = Path(out).resolve()
    require_own_files(out)
    (out / "runs").mkdir(parents=True, exist_ok=True)
    work = partial(execute_kept, out=out, timeout=timeout)
    results: dict[str, RunResult] = {}
    written = time.monotonic()
    keyed, fresh = keyed_runs(runs), {}

    def write_now_and_then() -> None:
        nonlocal written
        if time.monotonic() - written > WRITING:
            write_results(_ended(keyed, results), out)  # the table waits for pandas
            written = time.monotonic()

    def execute(wanted: Mapping[str, Run]) -> None:
        kept = {key: r for key, run in wanted.items() if (r := succeeded(folder_of(run, out)))}
        results.update(kept)
        if pending := [run for key, run in wanted.items() if key not in kept]:
            names = differing([run.parameters for run in wanted.values()])
            bar = Progress(pending, kept=len(kept), names=names, objective=asked, shown=progress)
            where = {"jobs": jobs, "scheduler": scheduler}
            hooks = {"on_result": write_now_and_then, "meanwhile": import_early}
            run_all(pending, results, work, bar, **hooks, **where)

    try:
        execute(keyed)
        if confirm:
            best = conclude(make_table(_ended(keyed, results)), metric, direction)
            if best is None:
                raise ParameterError(
                    "There is no best setting to confirm: no run has succeeded, or no metric has a "
                    "known direction; say --maximize METRIC or --minimize METRIC"
                )
            fresh = keyed_runs(_with_fresh_seeds(keyed, best, confirm))
            execute(fresh)
    finally:
        if ended := _ended(keyed, results):
            table = write_table(ended, out)
            try:
                found = conclude(table, metric, direction)
            except ParameterError:  # no run has recorded the metric
                write_summary(ended, table, out / PAGE, None)
                raise
            write_summary(ended, table, out / PAGE, found, _ended(fresh, results))
    return table


def _ended(keyed: Mapping[str, Run], results: Mapping[str, RunResult]) -> list[RunResult]:
    """Return the results of the runs that have ended, in their order."""
    return [
        results[key] | {"parameters": run.parameters}
        for key, run in keyed.items()
        if key in results
    ]


def _with_fresh_seeds(keyed: Mapping[str, Run], found: Comparison, count: int) -> list[Run]:
    """Return the best setting with seeds that no run has had."""
    best = keyed[found.best["key"].iloc[0]]
    default = best.notebook.defaults["seed"]
    first = 1 + max(run.parameters.get("seed", default) for run in keyed.values())
    return [
        replace(best, parameters={**best.parameters, "seed": seed})
        for seed in range(first, first + count)
    ]


def _completed(runs: Sequence[Run]) -> list[Run]:
    """Give every run a value for each parameter that one of them has."""
    names = dict.fromkeys(name for run in runs for name in run.parameters)
    defaults = {name: runs[0].notebook.defaults[name] for name in names}
    return [Run(run.notebook, defaults | run.parameters) for run in runs]
