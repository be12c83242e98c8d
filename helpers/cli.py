"""The ``course`` command: thin, and quick to start, because each command imports what it needs."""

import atexit
import contextlib
import gc
import json
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from helpers import __version__
from helpers.errors import CourseError, DatasetUnavailable

if TYPE_CHECKING:
    import pandas as pd

LONGEST_MESSAGE = 600  # characters
UNAVAILABLE = 3  # exit status where data cannot be had, which is nobody's mistake


class CourseGroup(click.Group):
    """Commands whose expected errors are one line, and a traceback only under ``--debug``."""

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        """Read the options before the command; say in a line what is wrong with them."""
        try:
            return super().make_context(*args, **options)
        except click.UsageError as error:
            _refuse(error)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; translate its errors into a line and an exit status."""
        try:
            return super().invoke(ctx)
        except CourseError as error:
            if ctx.params.get("debug"):
                raise
            _end(str(error), UNAVAILABLE if isinstance(error, DatasetUnavailable) else 1)
        except click.UsageError as error:
            _refuse(error)
        except OSError as error:
            if ctx.params.get("debug") or isinstance(error, BrokenPipeError):
                raise
            _end(f"{error.strerror or error}: {error.filename or ''}", 1)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(130)


def _refuse(error: click.UsageError) -> NoReturn:
    """End because of options that do not fit; a group without a command shows its help."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError) or error.ctx is None:
        raise error
    said = error.format_message().rstrip(".")
    _end(f"{said} (see {error.ctx.command_path} --help)", error.exit_code)


def _end(message: str, status: int) -> NoReturn:
    if len(message) > LONGEST_MESSAGE:  # it names a long value; what was expected comes last
        half = LONGEST_MESSAGE // 2
        message = f"{message[:half]} … {message[-half:]}"
    click.echo(f"Error: {message}", err=True)
    raise click.exceptions.Exit(status)


@click.group(cls=CourseGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="course")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Run, check and prepare the deep-learning course."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that has no ✓ shows a ? instead
    warnings.formatwarning = lambda message, *_, **__: f"Warning: {message}\n"
    # Python would search all packages for garbage before it ends: 0.3 s after a sweep.
    atexit.register(gc.freeze)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def check(as_json: bool) -> None:
    """Tell whether this machine is ready; exit 0 only if everything is [OK]."""
    from dataclasses import asdict

    from helpers.environment import check_environment

    findings = check_environment()
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            sign = (
                click.style("[OK]  ", fg="green") if finding.ok else click.style("[FAIL]", fg="red")
            )
            click.echo(f"{sign} {finding.subject}: {finding.found}")
            if not finding.ok:
                click.echo(f"       fix: {finding.fix}")
    sys.exit(0 if all(finding.ok for finding in findings) else 1)


@main.group()
def data() -> None:
    """List, download and verify datasets, and weights of networks."""


@data.command("list")
def list_data() -> None:
    """Show every dataset that can be loaded by name, and weights, and where they are."""
    from helpers.datasets import catalog
    from helpers.environment import download_size
    from helpers.vision import weights

    for name, entry in catalog.manifest().items():
        place = next(catalog.find(name), None)
        where = place.source(name) if place else f"not here ({download_size(name)} to download)"
        click.echo(f"{name:14} {entry['n_train'] + entry['n_test']:>7,}  {entry['title']}: {where}")
    for name in catalog.EMBEDDED:
        click.echo(f"{name:14} {'':>7}  comes with {catalog.PACKAGES[name]}")
    for name, entry in weights.known().items():
        missing = f"not here ({entry['bytes'] / 1e6:.0f} MB to download)"
        where = next((where for _, where in weights.places(entry["file"])), missing)
        click.echo(f"{name:14} {'':>7}  {entry['title']}: {where}")


def _check_names(names: tuple[str, ...]) -> None:
    from helpers.datasets import catalog
    from helpers.errors import DatasetError, nearest
    from helpers.vision import weights

    known = (*catalog.names(), *weights.known())
    for name in names:
        if name not in known:
            raise DatasetError(
                f"{name!r} is not a known dataset; known are {', '.join(known)}."
                + nearest(name, known)
            )


@data.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
def fetch(names: tuple[str, ...]) -> None:
    """Make sure that datasets and weights are on this machine; download what is not."""
    from helpers.datasets import catalog
    from helpers.vision import weights

    _check_names(names)
    for name in names:
        if name in catalog.EMBEDDED:
            where = f"comes with {catalog.PACKAGES[name]}"
        elif name in weights.known():
            where = weights.fetch(name)
        else:
            where = catalog.load_named(name).source
        click.echo(f"{name}: {where}")


@data.command()
@click.argument("names", nargs=-1, metavar="[NAME…]")
def verify(names: tuple[str, ...]) -> None:
    """Verify the content of every copy found; exit 0 only if each is good and none is missing."""
    from helpers.datasets import catalog
    from helpers.vision import weights

    _check_names(names)
    good = True
    for name in names or (*catalog.manifest(), *weights.known()):
        if name in catalog.EMBEDDED:
            click.echo(f"{name}: comes with {catalog.PACKAGES[name]}")
            continue
        copies = list((weights if name in weights.known() else catalog).copies(name))
        for where, damage in copies:
            click.echo(
                f"{name}: {where} is good" if damage is None else f"{name}: {where}: {damage}"
            )
            good = good and damage is None
        if not copies:
            click.echo(f"{name}: not here")
            good = good and not names
    sys.exit(0 if good else 1)


@main.command()
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
def student(out: Path) -> None:
    """Write what a class gets to the new folder OUT: lessons without outputs, exercises.

    No solution is among them. Open it with: jupyter lab --notebook-dir=OUT
    """
    from helpers.classroom.student import write_student_edition

    files = write_student_edition(out)
    click.echo(f"{len(files)} files in {out}; begin with {out / 'index.ipynb'}")


@main.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False), metavar="NAME.ipynb")
def new(path: Path) -> None:
    """Copy the experiment to the new notebook NAME.ipynb, to be changed into your own."""
    from helpers.files import write_atomically
    from helpers.runs.notebook import read_notebook
    from helpers.runs.select import find_notebooks

    if not path.name:
        raise CourseError("Expected the name of a new notebook, such as mine.ipynb")
    if path.suffix != ".ipynb":
        path = path.with_name(f"{path.name}.ipynb")
    if path.exists():
        raise CourseError(f"{path} is there already; expected the name of a new notebook")
    (experiment,) = find_notebooks(["train_classifier"])
    write_atomically(path, read_notebook(experiment).snapshot + "\n")
    click.echo(f"{path}: change it, and run it over parameters with: course sweep {path} -g …")


@main.command()
@click.argument("notebooks", nargs=-1, metavar="[NOTEBOOK…]")
@click.option("-p", "assignments", multiple=True, metavar="NAME=VALUE", help="Set a parameter.")
@click.option("--fast", is_flag=True, help="Use the small values of notebooks/fast.toml.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="At a time.")
@click.option("--timeout", type=click.IntRange(1), help="Seconds that one cell may take.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for results.")
def run(
    notebooks: tuple[str, ...],
    assignments: tuple[str, ...],
    fast: bool,
    jobs: int,
    timeout: int | None,
    out: Path | None,
) -> None:
    """Execute notebooks (all, or some by path, name or number) and report on them.

    Writes each executed notebook as .ipynb and .html, an index.html and a results.json. Exit status
    0 only if every notebook succeeded.
    """
    import datetime

    from helpers.runs.engine import run_notebooks
    from helpers.runs.report import find_fallbacks, write_report
    from helpers.runs.results import INTERRUPTED, SUCCEEDED
    from helpers.runs.select import plan_runs

    runs = plan_runs(notebooks, assignments, fast=fast)
    out = out or Path("runs") / f"{datetime.datetime.now():%Y-%m-%d_%H%M%S}"
    with _interrupted_once():
        results = run_notebooks(runs, out, jobs=jobs, timeout=timeout)
        page = write_report(runs, results, out)
    for asked, used in find_fallbacks(runs, results):
        click.secho(
            f"⚠ Dataset {used} was used instead of {asked}, which could not be had.", fg="yellow"
        )
    click.echo(f"Report: {page}")
    became = {result["status"] for result in results}
    if INTERRUPTED in became:
        raise KeyboardInterrupt
    sys.exit(0 if became == {SUCCEEDED} else 1)


@main.command()
@click.argument("notebook", required=False)
@click.option("-g", "grid", multiple=True, metavar="NAME=V1,V2,…", help="Values to run over.")
@click.option("-p", "assignments", multiple=True, metavar="NAME=VALUE", help="Fix a parameter.")
@click.option("--grid", "file", type=click.Path(path_type=Path), help="A .json or .csv of runs.")
@click.option("--random", "sample", type=click.IntRange(1), help="Only so many, drawn at random.")
@click.option("--repeat", type=click.IntRange(1), default=1, help="Seeds for each combination.")
@click.option("--jobs", type=click.IntRange(1), help="At a time; one for each GPU or core.")
@click.option("--scheduler", metavar="ADDRESS", help="Of a Dask cluster: tcp://HOST:PORT.")
@click.option("--timeout", type=click.IntRange(1), help="Seconds that one cell may take.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for results.")
@click.option("--metric", help="By which settings are compared; one of the validation set.")
@click.option("--maximize", metavar="METRIC", help="The same, of a metric that is to be large.")
@click.option("--minimize", metavar="METRIC", help="The same, of a metric that is to be small.")
@click.option(
    "--confirm",
    type=click.IntRange(0),
    default=0,
    metavar="K",
    help="Run the best setting again, with K fresh seeds.",
)
@click.option(
    "--search",
    "trials",
    type=click.IntRange(1),
    help="Let Optuna choose so many settings; -g NAME=LOW..HIGH[:log] is a range.",
)
@click.option(
    "--prune",
    metavar="NAME=V1,V2,…",
    help="With --search: rising values, of which bad settings get the first ones only.",
)
@click.option(
    "--pruner",
    type=click.Choice(["median", "hyperband"]),
    default="median",
    show_default=True,
    help="With --prune: what ends a bad setting.",
)
@click.option(
    "--status",
    "inspected",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="OUT",
    help="Tell which runs of a folder can be kept, and why the others not; start none.",
)
@click.option("--dry-run", is_flag=True, help="Print the runs and the time needed; start none.")
def sweep(
    notebook: str | None,
    grid: tuple[str, ...],
    assignments: tuple[str, ...],
    file: Path | None,
    sample: int | None,
    repeat: int,
    jobs: int | None,
    scheduler: str | None,
    timeout: int | None,
    out: Path | None,
    metric: str | None,
    maximize: str | None,
    minimize: str | None,
    confirm: int,
    trials: int | None,
    prune: str | None,
    pruner: str,
    inspected: Path | None,
    dry_run: bool,
) -> None:
    """Run one notebook over a grid of parameters; again with the same --out, it resumes.

    Writes index.html, results.csv, results.json and a folder for each run. Exit status 0 only if
    every run succeeded.
    """
    from helpers.runs.parameters import parse_assignments
    from helpers.runs.select import find_notebooks
    from helpers.sweeps.grid import make_runs, parse_grid, read_grid

    if inspected:
        _show_states(inspected)
        return
    if notebook is None:
        raise CourseError("Expected a notebook, such as: course sweep train_classifier -g …")
    if grid and file:
        raise CourseError("-g and --grid are both given; expected one of them")
    wanted = read_grid(file) if file else parse_grid(grid)
    fixed = parse_assignments(assignments)
    options = {"repeat": repeat, "sample": sample}
    metric, direction = _metric(metric, maximize, minimize)
    (path,) = find_notebooks([notebook])
    out = out or Path("runs") / f"sweep_{path.stem}"
    where = {"out": out, "jobs": jobs, "scheduler": scheduler, "timeout": timeout}
    if trials:
        if file or sample or confirm or dry_run:
            raise CourseError(
                "--search goes with -g, -p, --repeat and --prune, not with other choices"
            )
        from helpers.sweeps.search import search

        rungs = parse_grid([prune]) if prune else None
        better = {"metric": metric or "val_accuracy", "direction": direction}
        with _interrupted_once():
            table = search(
                path, wanted, fixed, trials=trials, prune=rungs, pruner=pruner, repeat=repeat,
                **better, **where,
            )  # fmt: skip
        _show_table(table, out)
    if prune:
        raise CourseError("--prune goes with --search")
    runs = make_runs(path, wanted, fixed, **options)
    if dry_run:
        from helpers.runs.cluster import connected, count_threads
        from helpers.sweeps.estimate import estimate

        if scheduler:
            with connected(scheduler) as client:
                jobs = count_threads(client)
        for run in runs:
            click.echo(", ".join(f"{name}={value}" for name, value in run.parameters.items()))
        click.echo(f"{len(runs)} runs of {path.stem}. {estimate(runs, out, jobs)}")
        return
    from helpers.sweeps.over_grid import sweep as execute

    with _interrupted_once():
        table = execute(
            path, wanted, fixed, metric=metric, direction=direction, confirm=confirm, **where,
            **options,
        )  # fmt: skip
    _show_table(table, out)


@main.command()
@click.argument(
    "folders",
    nargs=-1,
    required=True,
    metavar="OUT OUT…",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
)
@click.option("--metric", help="By which settings are compared; one of the validation set.")
@click.option("--maximize", metavar="METRIC", help="The same, of a metric that is to be large.")
@click.option("--minimize", metavar="METRIC", help="The same, of a metric that is to be small.")
@click.option(
    "--page",
    type=click.Path(path_type=Path, dir_okay=False),
    default="comparison.html",
    show_default=True,
    help="The page to write.",
)
def compare(
    folders: tuple[Path, ...],
    metric: str | None,
    maximize: str | None,
    minimize: str | None,
    page: Path,
) -> None:
    """Compare the settings of several sweeps, side by side on one page."""
    from helpers.sweeps.summary import compare_sweeps

    table = compare_sweeps(folders, page, *_metric(metric, maximize, minimize))
    click.echo(table.attrs["conclusion"] or "The sweeps share no metric of known direction.")
    click.echo(f"Page: {page}")


def _show_states(out: Path) -> None:
    from collections import Counter

    from helpers.sweeps.state import KEPT, STATES, states

    counts: Counter[str] = Counter()
    for state, settings, reason in states(out):
        counts[state] += 1
        sign = "✓" if state == KEPT else "✗"
        click.echo(f"{sign} {state:10} {settings}" + (f": {reason}" if reason else ""))
    click.echo(", ".join(f"{counts[state]} {state}" for state in STATES if counts[state]))


def _metric(
    metric: str | None, maximize: str | None, minimize: str | None
) -> tuple[str | None, str | None]:
    """Return the metric and the direction that were asked for."""
    given = {None: metric, "maximize": maximize, "minimize": minimize}
    asked = [(name, direction) for direction, name in given.items() if name]
    if len(asked) > 1:
        raise CourseError("Expected one of --metric, --maximize and --minimize")
    return asked[0] if asked else (None, None)


def _show_table(table: "pd.DataFrame", out: Path) -> NoReturn:
    from helpers.runs.objective import TEST
    from helpers.runs.report import PAGE
    from helpers.runs.results import SUCCEEDED
    from helpers.sweeps.table import excerpt

    metrics = [name for name in table.attrs["metrics"] if not name.startswith(TEST)]
    shown = [*table.attrs["parameters"], *metrics, "status", "seconds", "error"]
    shown = ["trial", *shown, "pruned"] if "trial" in table else shown
    rows = excerpt(table, table.attrs["objective"])
    click.echo(rows[shown].to_string(index=False, na_rep="–"))
    if len(rows) < len(table):
        click.echo(f"Of {len(table)} runs, the best and some that failed; results.csv has all")
    if table.attrs["conclusion"]:
        click.echo(table.attrs["conclusion"])
    for name, found in table.attrs["confirmed"].items():
        click.echo(
            f"With fresh seeds: {name} {found['mean']:.4g}, 95% interval {found['low']:.4g} to "
            f"{found['high']:.4g}, n = {found['n']}"
        )
    for error in table.attrs["unconfirmed"]:
        click.echo(f"✗ A run with a fresh seed failed: {error}")
    click.echo(f"Results: {out / PAGE}")
    good = (table["status"] == SUCCEEDED).all() and not table.attrs["unconfirmed"]
    sys.exit(0 if good else 1)


@contextlib.contextmanager
def _interrupted_once() -> Iterator[None]:
    """Let the first Ctrl-C, kill or closed terminal interrupt, and ignore the impatient rest.

    The first ends the kernels and writes the summary; a second one in the middle of that would
    leave both undone. What is ignored stays so, as the closed terminal under ``nohup``.
    """
    numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")]
    found = {number: signal.getsignal(number) for number in numbers if number is not None}
    before = {number: old for number, old in found.items() if old is not signal.SIG_IGN}

    def stop(*_: object) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
