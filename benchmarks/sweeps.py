"""Sixteen short runs by ``sweep`` and by others; the whole course; a thousand trivial runs."""

import argparse
import json
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nbformat
from side_by_side import run_python, save, take_turns

from helpers.runs.plan import find_notebooks

CONTENDERS = Path(__file__).with_name("sweep_contenders.py")
OWN = ("sweep", "sweep, packages preloaded")
OTHERS = (
    *("papermill", "papermill, two processes"),
    *(["ploomber-engine"] if find_spec("ploomber_engine") else []),  # none of the course's packages
)
RUNS = 16
MANY = 1000
SHORT_CNN = (
    # What a notebook that loads, trains and draws imports.
    """\
import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import sklearn.linear_model
import tensorflow as tf

from helpers import plots
from helpers.datasets import load_dataset
from helpers.evaluation import evaluate
from helpers.models import build_cnn
from helpers.runs import record
from helpers.training import train
""",
    """\
n_samples: int = 2000  # training images
epochs: int = 1  # times through them
learning_rate: float = 0.001  # of Adam
seed: int = 0  # of every random choice
""",
    """\
data = load_dataset("mnist", fallback="digits").subset(n_samples, seed)
network = build_cnn(data, blocks=((16,), (32,)), seed=seed)
result = train(network, data, epochs=epochs, learning_rate=learning_rate, seed=seed)
record(dataset=data.name, accuracy=evaluate(network, data).accuracy)
""",
)
TRIVIAL = (
    "from helpers.runs import record",
    "number: int = 0  # of the run\n",
    "record(square=number**2)",
)


def write_notebook(path: Path, cells: tuple[str, ...]) -> Path:
    """Write a notebook whose second cell holds its parameters."""
    content = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    content.cells[1].metadata["tags"] = ["parameters"]
    content.metadata.kernelspec = {
        "name": "python3", "display_name": "Python 3", "language": "python",
    }  # fmt: skip
    nbformat.write(content, path)
    return path


def measure(way: str, notebook: Path | str, fixed: dict[str, Any]) -> dict[str, float]:
    """Measure a whole command, from its start to its end."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        arguments = (way, str(notebook), folder, str(RUNS), json.dumps(fixed))
        within = run_python(str(CONTENDERS), *arguments)
        return {"seconds": time.perf_counter() - start - within["preparing"]}


def compared(
    notebook: Path | str,
    fixed: dict[str, Any],
    rounds: int,
    own: tuple[str, ...] = OWN,
    others: tuple[str, ...] = OTHERS,
) -> list[dict[str, object]]:
    """Measure the course's ways and the others in turns."""
    medians = take_turns((*own, *others), lambda way: measure(way, notebook, fixed), rounds)
    rows = []
    for way, median in medians.items():
        faster = {o: round(median["seconds"] / medians[o]["seconds"], 2) for o in own}
        rows.append({"way": way, "seconds": round(median["seconds"], 1)} | faster)
        told = ", ".join(f"{name} ×{ratio:.2f}" for name, ratio in faster.items())
        print(f"{way:34} {median['seconds']:6.1f} s   {told}", flush=True)
    return rows


def short_runs(rounds: int) -> list[dict[str, object]]:
    """Sixteen runs of a short CNN on MNIST."""
    with tempfile.TemporaryDirectory() as folder:
        notebook = write_notebook(Path(folder) / "short_cnn.ipynb", SHORT_CNN)
        return compared(notebook, {}, rounds)


def experiment(rounds: int) -> list[dict[str, object]]:
    """Sixteen runs of the course's experiment on ``digits``."""
    (path,) = find_notebooks(["train_classifier"])
    return compared(path, {"dataset": "digits", "n_samples": 1000}, rounds)


def whole_course(rounds: int) -> list[dict[str, object]]:
    """Every lesson once, with the parameters of its quick run."""
    del rounds  # it is long enough
    return compared("", {}, 1, ("course run",), OTHERS[1:2])


def many_runs(rounds: int) -> list[dict[str, object]]:
    """Measure a thousand runs: seconds a run, and the coordinator's memory, by hundreds."""
    del rounds  # a thousand are many enough
    with tempfile.TemporaryDirectory() as folder:
        notebook = write_notebook(Path(folder) / "trivial.ipynb", TRIVIAL)
        row = run_python(str(CONTENDERS), "many", str(notebook), folder, str(MANY), "{}")
    print(
        f"{MANY} trivial runs: {row['first_hundred']:.2f} s a run in the first hundred, "
        f"{row['last_hundred']:.2f} s in the last; the coordinator's memory "
        f"{row['memory_first_mb']:.0f} MB, then {row['memory_last_mb']:.0f} MB",
        flush=True,
    )
    return [{key: round(value, 3) for key, value in row.items()}]


TABLES = {
    "short_runs": short_runs, "experiment": experiment, "whole_course": whole_course,
    "many_runs": many_runs,
}  # fmt: skip


def main() -> None:
    """Measure, print the tables and write them to ``benchmarks/results.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    arguments = parser.parse_args()
    save("sweeps", {name: TABLES[name](arguments.rounds) for name in arguments.tables})


if __name__ == "__main__":
    main()
