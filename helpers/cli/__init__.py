"""The ``course`` command: thin, and quick to start, because each command imports what it needs."""

import atexit
import gc
import json
import sys
import warnings
from pathlib import Path
from typing import Any, NoReturn

import click

from helpers import __version__
from helpers.cli.data import data
from helpers.cli.runs import compare, run, sweep
from helpers.errors import CourseError, DatasetUnavailable

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
        except KeyboardInterrupt as interrupt:
            click.echo(str(interrupt) or "Interrupted.", err=True)
            ctx.exit(130)


def _refuse(error: click.UsageError) -> NoReturn:
    """End because of options that do not fit; a group without a command shows its help."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError) or error.ctx is None:
        raise error
    message = error.format_message().rstrip(".")
    _end(f"{message} (see {error.ctx.command_path} --help)", error.exit_code)


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
    from helpers.runs.plan import find_notebooks

    if not path.name:
        raise CourseError("Expected the name of a new notebook, such as mine.ipynb")
    if path.suffix != ".ipynb":
        path = path.with_name(f"{path.name}.ipynb")
    if path.exists():
        raise CourseError(f"{path} is there already; expected the name of a new notebook")
    (experiment,) = find_notebooks(["train_classifier"])
    write_atomically(path, read_notebook(experiment).snapshot + "\n")
    click.echo(f"{path}: change it, and run it over parameters with: course sweep {path} -g …")


for command in (data, run, sweep, compare):
    main.add_command(command)
