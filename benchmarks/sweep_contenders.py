"""One way to make many runs of a notebook, in a process of its own; see ``sweeps.py``."""

import json
import os
import resource
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

RATES = [0.0005 * (number + 1) for number in range(1000)]


def by_papermill(runs: list[tuple[str, dict[str, Any]]], folder: str, processes: int) -> None:
    """Run notebooks by the plain ``papermill`` command on ordinary kernels, so many at a time."""
    env = os.environ | {"COURSE_WARM": "0"}

    def run(number: int) -> None:
        notebook, parameters = runs[number]
        command = [sys.executable, "-m", "papermill", notebook, f"{folder}/{number}.ipynb"]
        options = ["-k", "python3", "-y", json.dumps(parameters)]
        subprocess.run([*command, *options], env=env, check=True, capture_output=True)

    with ThreadPoolExecutor(processes) as pool:
        list(pool.map(run, range(len(runs))))


def by_ploomber(runs: list[tuple[str, dict[str, Any]]], folder: str) -> None:
    """Run notebooks in one process without a kernel: packages are imported once for all."""
    from ploomber_engine import execute_notebook

    for number, (notebook, parameters) in enumerate(runs):
        execute_notebook(
            notebook, f"{folder}/{number}.ipynb", parameters=parameters, progress_bar=False
        )


def by_sweep(notebook: str, folder: str, runs: int, fixed: dict[str, Any]) -> None:
    """Run all by ``course sweep``, two at a time."""
    grid = "learning_rate=" + ",".join(map(str, RATES[:runs]))
    command = [sys.executable, "-m", "helpers", "sweep", notebook, "-g", grid, "--jobs", "2"]
    command += [word for name, value in fixed.items() for word in ("-p", f"{name}={value}")]
    subprocess.run([*command, "--out", f"{folder}/out"], check=True, capture_output=True)


def whole_course() -> list[tuple[str, dict[str, Any]]]:
    """Return each lesson with its parameters of the fast profile."""
    from helpers.runs.plan import fast_profile, find_notebooks

    profile = fast_profile()
    return [(str(path), profile.get(path.stem, {})) for path in find_notebooks([])]


def by_course_run(folder: str) -> None:
    """Run every lesson by ``course run``, two at a time."""
    command = [sys.executable, "-m", "helpers", "run", "--fast", "--jobs", "2"]
    subprocess.run([*command, "--out", f"{folder}/out"], check=True, capture_output=True)


def preload() -> float:
    """Have the packages preloaded, as an open JupyterLab has; return the seconds that it took."""
    from helpers.warm_kernels import owner

    start = time.perf_counter()
    owner.begin(patient=True).require(os.environ)
    return time.perf_counter() - start


def many(notebook: str, folder: str, runs: int) -> dict[str, float]:
    """Run a trivial notebook many times; watch the speed and the memory."""
    import psutil

    from helpers.runs import sweep

    memory: list[tuple[float, float]] = []
    done = threading.Event()

    def watch() -> None:
        process = psutil.Process()
        while not done.wait(1):
            memory.append((time.time(), process.memory_info().rss / 2**20))

    threading.Thread(target=watch, daemon=True).start()
    out = Path(folder) / "out"
    sweep(notebook, {"number": list(range(runs))}, out=out, jobs=2)
    done.set()
    rows: list[dict[str, Any]] = json.loads((out / "results.json").read_text())
    ends = sorted(row["began"] + row["seconds"] for row in rows)

    def mean_memory(first: int, last: int) -> float:
        span = [mb for at, mb in memory if ends[first] <= at <= ends[last]]
        return sum(span) / len(span)

    return {
        "runs": len(ends),
        "first_hundred": (ends[100] - ends[0]) / 100,
        "last_hundred": (ends[-1] - ends[-101]) / 100,
        "memory_first_mb": mean_memory(0, 100),
        "memory_last_mb": mean_memory(-101, -1),
        "memory_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Do what the arguments say; print its figures as JSON."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # who sets it pays for it everywhere
    way, notebook, folder, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    fixed = json.loads(sys.argv[5])
    report: dict[str, float] = {"preparing": preload() if "preloaded" in way else 0.0}
    if way == "many":
        report = many(notebook, folder, count)
    elif way.startswith("sweep"):
        by_sweep(notebook, folder, count, fixed)
    elif way == "course run":
        by_course_run(folder)
    else:
        runs = [(notebook, fixed | {"learning_rate": rate}) for rate in RATES[:count]]
        runs = runs if notebook else whole_course()
        if way == "ploomber-engine":
            by_ploomber(runs, folder)
        else:
            by_papermill(runs, folder, processes=2 if "two" in way else 1)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
