"""Measure what a lesson shows but is too long to run live, by sweeps of ``experiments/``.

python notebooks/measure.py             every table of measured/tables.toml (hours)
python notebooks/measure.py 05_shift    one of them

Runs that have succeeded are kept in runs/measured: called again, it goes on where it was
interrupted, and what has ended by then is written all the same.
"""

import argparse
import json
import platform
import sys
import time
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

from helpers.errors import CourseError
from helpers.files import measured_dir, write_atomically
from helpers.hardware import detect
from helpers.runs import make_runs, sweep

import pandas as pd

HERE = Path(__file__).resolve().parent
TABLES = measured_dir()
KEPT = HERE.parent / "runs" / "measured"
LIBRARIES = ("tensorflow", "keras", "numpy")


def read_tables() -> dict[str, dict[str, Any]]:
    """Return what is measured: the name of a table to its ``grid`` and its number of seeds."""
    return tomllib.loads((TABLES / "tables.toml").read_text(encoding="utf-8"))


def experiment(name: str) -> Path:
    """Return the notebook whose runs make a table."""
    return HERE / "experiments" / f"{name}.ipynb"


def measure(name: str, asked: dict[str, Any], jobs: int | None) -> None:
    """Sweep the notebook of a table; write what has succeeded, even if it is interrupted."""
    planned = len(make_runs(experiment(name), asked["grid"], repeat=asked["repeat"]))
    start = time.time()
    try:
        runs = sweep(
            experiment(name), asked["grid"], repeat=asked["repeat"], out=KEPT / name, jobs=jobs
        )
    finally:
        if (KEPT / name / "results.csv").exists():
            write(name, asked, planned, start)
    if failed := (runs["status"] != "succeeded").sum():
        raise CourseError(f"{name}: {failed} of {planned} runs have failed: {KEPT / name}")


def write(name: str, asked: dict[str, Any], planned: int, start: float) -> None:
    """Write the table, a row a run, and beside it how it was made."""
    runs = json.loads((KEPT / name / "results.json").read_text(encoding="utf-8"))
    metrics = {metric: None for run in runs for metric in run["metrics"]}
    every = pd.read_csv(KEPT / name / "results.csv").query("status == 'succeeded'")
    numbers = [m for m in metrics if m in every and every[m].dtype.kind in "if"]
    table = every[[*asked["grid"], "seed", *numbers, "seconds"]].round(5)
    write_atomically(TABLES / f"{name}.csv", table.to_csv(index=False))
    hardware = detect()
    facts = {
        "command": f"make measured NAME={name}",
        "runs": len(table),
        "planned": planned,
        "seeds": asked["repeat"],
        "hours of one run after the other": round(table["seconds"].sum() / 3600, 2),
        "processor": f"{hardware.cpu}, {hardware.cores} cores",
        "python": platform.python_version(),
        **{library: version(library) for library in LIBRARIES},
        "date": time.strftime("%Y-%m-%d", time.localtime(start)),
    }
    write_atomically(TABLES / f"{name}.json", json.dumps(facts, indent=2) + "\n")


def main() -> None:
    """Measure the tables that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", help="names, such as 05_shift; default: all")
    parser.add_argument("--jobs", type=int, help="runs at a time; default: one a core")
    arguments = parser.parse_args()
    tables = read_tables()
    if unknown := set(arguments.tables) - set(tables):
        parser.error(f"no such table: {sorted(unknown)[0]}; expected one of {', '.join(tables)}")
    for name in arguments.tables or tables:
        print(name)
        try:
            measure(name, tables[name], arguments.jobs)
        except CourseError as error:
            sys.exit(str(error))
        except KeyboardInterrupt:
            sys.exit(f"{name} is interrupted: what has ended is written; the same command goes on")


if __name__ == "__main__":
    main()
