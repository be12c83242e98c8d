"""Run a notebook over a grid of parameters; what has succeeded before is kept."""

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.errors import ParameterError
from helpers.files import write_atomically
from helpers.runs.choices import Grid
from helpers.runs.conclude import Comparison
from helpers.runs.engine import run_all
from helpers.runs.kept import execute_kept, folder_of, succeeded
from helpers.runs.keys import keyed_runs
from helpers.runs.objective import Objective, objective_of
from helpers.runs.output import CONFIRMED, PAGE, output_folder, write_results
from helpers.runs.plan import make_runs, require_seed
from helpers.runs.progress import Progress
from helpers.runs.results import Run, RunResult
from helpers.runs.sweep_page import import_early, write_conclusion, write_sweep_page
from helpers.runs.table import make_table, varying_parameters

if TYPE_CHECKING:
    import pandas as pd

WRITING = 5.0  # seconds between two versions of results.json while runs end


def sweep(
    notebook: str | Path,
    grid: Grid,
    fixed: Mapping[str, Any] | None = None,
    *,
    out: str | Path,
    repeat: int = 1,
    sample: int | None = None,
    seed: int = 0,
    cwd: str | Path | None = None,
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
    notebook, grid, fixed, repeat, sample, seed, cwd
        See ``make_runs``.
    out
        Folder of the results: ``results.csv`` and ``results.json`` hold the table, ``index.html``
        shows it in pictures and says what may be concluded, ``runs`` has a folder for each run.
    jobs
        Runs at a time on this machine: one for each GPU, else one for each core.
    scheduler
        Address of a Dask scheduler, such as ``"tcp://10.0.0.1:8786"``, whose workers see ``out``
        under the same path; instead of this machine.
    timeout
        Seconds that a single cell may take.
    metric
        By which settings are compared; by default one of the validation set, an accuracy first.
    direction
        ``"maximize"`` or ``"minimize"``, where the name of the metric does not tell.
    confirm
        Runs of the best setting with fresh seeds: what they give is not chosen, as the best is.
        ``confirmed.csv`` has them.
    progress
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
        If ``out`` has a file that no sweep has written, another command is at work there, or the
        scheduler cannot be reached.
    """
    if direction and not metric:
        raise ParameterError(f"direction={direction!r} without metric=; expected both")
    objective = objective_of(metric, direction) if metric else None
    planned = make_runs(notebook, grid, fixed, repeat=repeat, sample=sample, seed=seed, cwd=cwd)
    if confirm:
        require_seed(planned[0].notebook, set())
    runs, out = keyed_runs(planned), Path(out).resolve()
    results: dict[str, RunResult] = {}
    execute = partial(
        _execute, results=results, out=out, objective=objective, timeout=timeout, jobs=jobs,
        scheduler=scheduler, progress=progress,
        on_result=lambda: write_results(_ended(runs, results), out),  # the table waits for pandas
    )  # fmt: skip
    with output_folder(out):
        try:
            execute(runs)
        except BaseException:  # such as Ctrl-C: what has ended is shown all the same
            with contextlib.suppress(ParameterError):
                ended = _ended(runs, results)
                write_conclusion(ended, out, metric, direction, planned=len(runs))
            raise
        table, comparison = write_conclusion(_ended(runs, results), out, metric, direction)
        if confirm:
            fresh = keyed_runs(_with_fresh_seeds(runs, comparison, confirm))
            try:
                execute(fresh)
            finally:
                if confirmed := _ended(fresh, results):
                    ended = _ended(runs, results)
                    write_sweep_page(ended, table, comparison, out / PAGE, confirmed)
                    write_atomically(out / CONFIRMED, make_table(confirmed).to_csv(index=False))
    return table


def _execute(
    runs: Mapping[str, Run],
    *,
    results: dict[str, RunResult],
    out: Path,
    objective: Objective | None,
    timeout: int | None,
    progress: bool,
    on_result: Callable[[], object],
    **where: Any,
) -> None:
    """Have those runs executed that are not kept; put all results into ``results``."""
    kept = {key: r for key, run in runs.items() if (r := succeeded(folder_of(run, out)))}
    results |= kept
    pending = [run for key, run in runs.items() if key not in kept]
    if not pending:
        return
    (out / "runs").mkdir(exist_ok=True)
    names = varying_parameters([run.parameters for run in runs.values()])
    bar = Progress(pending, kept=len(kept), names=names, objective=objective, shown=progress)
    last = time.monotonic()

    def now_and_then() -> None:
        nonlocal last
        if time.monotonic() - last > WRITING:
            on_result()
            last = time.monotonic()

    work = partial(execute_kept, out=out, timeout=timeout)
    run_all(pending, results, work, bar, on_result=now_and_then, meanwhile=import_early, **where)


def _ended(runs: Mapping[str, Run], results: Mapping[str, RunResult]) -> list[RunResult]:
    """Return the results of the runs that have ended, in their order."""
    return [
        results[key] | {"parameters": run.parameters} for key, run in runs.items() if key in results
    ]


def _with_fresh_seeds(
    runs: Mapping[str, Run], comparison: Comparison | None, count: int
) -> list[Run]:
    """Return the best setting with seeds that no run has had."""
    if comparison is None or len(comparison.data) > 1:
        raise ParameterError(
            "There is no best setting to confirm: no run has succeeded, the runs used different "
            "data, or no metric has a known direction; say --maximize METRIC or --minimize METRIC"
        )
    best = runs[comparison.best["key"].iloc[0]]
    default = best.notebook.defaults["seed"]
    first = 1 + max(run.parameters.get("seed", default) for run in runs.values())
    return [
        replace(best, parameters={**best.parameters, "seed": seed})
        for seed in range(first, first + count)
    ]
