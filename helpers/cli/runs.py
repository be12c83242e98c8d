"""``course run``, ``course sweep``, ``course compare``: options read, results shown."""

import contextlib
import datetime
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from helpers.errors import CourseError

if TYPE_CHECKING:
    import pandas as pd

    from helpers.runs.choices import Grid

RESUMES = "Interrupted. What has ended is kept; the same command goes on."
FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)


def _with_options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a decorator that gives a command several options."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


values_options = _with_options(
    click.option("-p", "assignments", multiple=True, metavar="NAME=VALUE", help="Set a parameter."),
    click.option("-f", "files", multiple=True, type=FILE, help="A .yaml or .json of parameters."),
)
where_options = _with_options(
    click.option("--cwd", type=FOLDER, help="Working directory, instead of the notebook's folder."),
    click.option("--timeout", type=click.IntRange(1), help="Seconds that one cell may take."),
    click.option("--out", type=FOLDER, help="Folder for results."),
)
metric_options = _with_options(
    click.option("--metric", help="Compare settings by this metric."),
    click.option(
        "--maximize", metavar="METRIC", help="Compare by a metric of which more is better."
    ),
    click.option(
        "--minimize", metavar="METRIC", help="Compare by a metric of which less is better."
    ),
)


@click.command()
@click.argument("notebooks", nargs=-1, metavar="[NOTEBOOK…]")
@values_options
@click.option("--fast", is_flag=True, help="Use the small values of notebooks/fast.toml.")
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="How many run side by side.",
)
@where_options
def run(
    notebooks: tuple[str, ...],
    assignments: tuple[str, ...],
    files: tuple[Path, ...],
    fast: bool,
    jobs: int,
    cwd: Path | None,
    timeout: int | None,
    out: Path | None,
) -> None:
    """Execute notebooks (all, or some by path, name or number) and report on them.

    Writes each executed notebook as .ipynb and .html, an index.html and a results.json. Exit status
    0 only if every notebook succeeded.
    """
    from helpers.runs.output import PAGE
    from helpers.runs.plan import plan_runs
    from helpers.runs.report import find_fallbacks, run_notebooks
    from helpers.runs.results import INTERRUPTED, SUCCEEDED

    runs = plan_runs(notebooks, _read_values(files, assignments), fast=fast, cwd=cwd)
    out = out or Path("runs") / f"{datetime.datetime.now():%Y-%m-%d_%H%M%S}"
    with _interrupted_once():
        results = run_notebooks(runs, out, jobs=jobs, timeout=timeout)
    for asked, used in find_fallbacks(results):
        click.secho(
            f"⚠ Dataset {used} was used instead of {asked}, which could not be had.", fg="yellow"
        )
    click.echo(f"Report: {out / PAGE}")
    statuses = {result["status"] for result in results}
    if INTERRUPTED in statuses:
        raise KeyboardInterrupt
    sys.exit(0 if statuses == {SUCCEEDED} else 1)


@click.command()
@click.argument("notebook", required=False)
@click.option(
    "-g", "--grid", "grid", multiple=True, metavar="NAME=V1,V2,…", help="Values to run over."
)
@click.option(
    "--grid-file", "grid_file", type=FILE, help="Read the grid from a .json, .yaml or .csv file."
)
@values_options
@click.option("--random", "sample", type=click.IntRange(1), help="Draw so many settings at "
              "random; -g NAME=LOW..HIGH[:log] is a range.")  # fmt: skip
@click.option(
    "--repeat", type=click.IntRange(1), default=1, help="Run each setting with so many seeds."
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    help="How many run side by side; by default, one for each GPU or core.",
)
@click.option(
    "--scheduler", metavar="ADDRESS", help="Run on this Dask cluster, such as tcp://HOST:PORT."
)
@where_options
@metric_options
@click.option("--confirm", type=click.IntRange(0), default=0, metavar="K",
              help="Run the best setting again, with K fresh seeds.")  # fmt: skip
@click.option("--search", "trials", type=click.IntRange(1),
              help="Let Optuna choose so many settings from lists and ranges.")  # fmt: skip
@click.option("--prune", metavar="NAME=V1,V2,…", help="With --search: rising values, of which "
              "settings that are worse than the median get the first ones only.")  # fmt: skip
@click.option("--status", "inspected", metavar="OUT",
              type=click.Path(path_type=Path, file_okay=False, exists=True),
              help="Tell which runs of a folder can be kept, and why not the others; start none.",
              )  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print the runs; start none.")
def sweep(
    notebook: str | None,
    grid: tuple[str, ...],
    grid_file: Path | None,
    assignments: tuple[str, ...],
    files: tuple[Path, ...],
    inspected: Path | None,
    **options: Any,
) -> None:
    """Run one notebook over a grid of parameters; again with the same --out, it resumes.

    Writes index.html, results.csv, results.json and a folder for each run. Exit status 0 only if
    every run succeeded.
    """
    from helpers.runs.choices import parse_grid, read_grid
    from helpers.runs.plan import find_notebooks

    if inspected:
        _show_states(inspected)
        return
    if notebook is None:
        raise CourseError("Expected a notebook, such as: course sweep train_classifier -g …")
    if grid and grid_file:
        raise CourseError("-g and --grid-file are both given; expected one of them")
    (path,) = find_notebooks([notebook])
    options["out"] = options["out"] or Path("runs") / f"sweep_{path.stem}"
    choices = read_grid(grid_file) if grid_file else parse_grid(grid)
    _start(path, choices, _read_values(files, assignments), **options)


def _start(
    path: Path,
    choices: "Grid",
    fixed: dict[str, Any],
    *,
    out: Path,
    dry_run: bool,
    trials: int | None,
    prune: str | None,
    metric: str | None,
    maximize: str | None,
    minimize: str | None,
    **options: Any,
) -> None:
    """Start what was asked for: a search, a sweep, or only a list of its runs."""
    from helpers.runs.choices import parse_grid

    metric, direction = _read_metric(metric, maximize, minimize)
    planning = {name: options[name] for name in ("repeat", "cwd")}
    where = {name: options[name] for name in ("jobs", "scheduler", "timeout")} | {"out": out}
    if prune and not trials:
        raise CourseError("--prune goes with --search")
    if trials:
        if not isinstance(choices, dict) or options["sample"] or options["confirm"] or dry_run:
            raise CourseError("--search goes without --grid-file, --random, --confirm, --dry-run")
        from helpers.runs import search

        rungs = parse_grid([prune], "--prune") if prune else None
        with _interrupted_once(RESUMES):
            table = search(
                path, choices, fixed, trials=trials, prune=rungs, direction=direction,
                metric=metric or "val_accuracy", **planning, **where,
            )  # fmt: skip
        sys.exit(0 if _show_table(table, out) else 1)
    planning["sample"] = options["sample"]
    if dry_run:
        _show_runs(path, choices, fixed, out, **planning)
        return
    from helpers.runs import sweep as sweep_over

    with _interrupted_once(RESUMES):
        table = sweep_over(
            path, choices, fixed, metric=metric, direction=direction, confirm=options["confirm"],
            **planning, **where,
        )  # fmt: skip
    sys.exit(0 if _show_table(table, out) else 1)


@click.command()
@click.argument("folders", nargs=-1, required=True, metavar="OUT OUT…",
                type=click.Path(path_type=Path, file_okay=False, exists=True))  # fmt: skip
@metric_options
@click.option("--page", type=FILE, default="comparison.html", show_default=True,
              help="The page to write.")  # fmt: skip
def compare(folders: tuple[Path, ...], page: Path, **metric: str | None) -> None:
    """Compare the settings of several sweeps, side by side on one page."""
    from helpers.runs.comparing import compare_sweeps

    table = compare_sweeps(folders, page, *_read_metric(**metric))
    click.echo(table.attrs["conclusion"] or "The sweeps share no metric of known direction.")
    click.echo(f"Page: {page}")


def _read_values(files: Iterable[Path], assignments: Iterable[str]) -> dict[str, Any]:
    """Return parameters from files and from the command line, of which the latter win."""
    from helpers.runs.parameters import parse_assignments, read_parameters

    values: dict[str, Any] = {}
    for file in files:
        values |= read_parameters(file)
    return values | parse_assignments(assignments)


def _read_metric(
    metric: str | None, maximize: str | None, minimize: str | None
) -> tuple[str | None, str | None]:
    """Return the metric and the direction that were asked for."""
    given = {None: metric, "maximize": maximize, "minimize": minimize}
    asked = [(name, direction) for direction, name in given.items() if name]
    if len(asked) > 1:
        raise CourseError("Expected one of --metric, --maximize and --minimize")
    return asked[0] if asked else (None, None)


def _show_states(out: Path) -> None:
    from helpers.runs.kept import KEPT, STALE, UNFINISHED, states
    from helpers.runs.results import FAILED

    counts: Counter[str] = Counter()
    for state, setting, reason in states(out):
        counts[state] += 1
        sign = "✓" if state == KEPT else "✗"
        click.echo(f"{sign} {state:10} {setting}" + (f": {reason}" if reason else ""))
    order = [state for state in (KEPT, STALE, FAILED, UNFINISHED) if counts[state]]
    click.echo(", ".join(f"{counts[state]} {state}" for state in order))


def _show_runs(path: Path, grid: "Grid", fixed: dict[str, Any], out: Path, **planning: Any) -> None:
    from helpers.runs.kept import folder_of, succeeded
    from helpers.runs.keys import keyed_runs
    from helpers.runs.plan import make_runs
    from helpers.runs.results import describe_setting

    runs = keyed_runs(make_runs(path, grid, fixed, **planning)).values()
    for run in runs:
        click.echo(describe_setting(run.parameters, list(run.parameters)))
    kept = sum(succeeded(folder_of(run, out)) is not None for run in runs)
    click.echo(f"{len(runs)} runs of {path.stem}: {kept} are kept, {len(runs) - kept} are to run")


def _show_table(table: "pd.DataFrame", out: Path) -> bool:
    """Print the table and what it says; return whether every run has succeeded."""
    from helpers.runs.objective import TEST
    from helpers.runs.output import PAGE
    from helpers.runs.results import SUCCEEDED
    from helpers.runs.table import best_rows

    metrics = [name for name in table.attrs["metrics"] if not name.startswith(TEST)]
    shown = [*table.attrs["parameters"], *metrics, "status", "seconds", "error"]
    shown = ["trial", *shown, "pruned"] if "trial" in table else shown
    rows = best_rows(table, table.attrs["objective"])
    click.echo(rows[shown].to_string(index=False, na_rep="–"))
    if len(rows) < len(table):
        click.echo(f"These are {len(rows)} of {len(table)} runs; results.csv has all")
    if table.attrs["conclusion"]:
        click.echo(table.attrs["conclusion"])
    for name, result in table.attrs["confirmed"].items():
        click.echo(
            f"With fresh seeds: {name} {result['mean']:.4g}, 95% interval {result['low']:.4g} to "
            f"{result['high']:.4g}, n = {result['n']}"
        )
    for error in table.attrs["unconfirmed"]:
        click.echo(f"✗ A run with a fresh seed failed: {error}")
    click.echo(f"Results: {out / PAGE}")
    return (table["status"] == SUCCEEDED).all() and not table.attrs["unconfirmed"]


@contextlib.contextmanager
def _interrupted_once(message: str = "") -> Iterator[None]:
    """Let the first Ctrl-C, kill or closed terminal interrupt, and ignore the impatient rest.

    The first ends the kernels and writes the summary; a second one in the middle of that would
    leave both undone. What is ignored stays so, as the closed terminal under ``nohup``.
    """
    numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")]
    handlers = {number: signal.getsignal(number) for number in numbers if number is not None}
    before = {number: old for number, old in handlers.items() if old is not signal.SIG_IGN}

    def stop(*_: object) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt(message)

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
