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


def by_papermill(notebook: str, folder: str, runs: int, processes: int) -> None:
    """Run all by the plain ``papermill`` command on ordinary kernels, so many at a time."""
    env = os.environ | {"COURSE_WARM": "0"}

    def run(number: int) -> None:
        command = [sys.executable, "-m", "papermill", notebook, f"{folder}/{number}.ipynb"]
        options = ["-k", "python3", "-p", "learning_rate", str(RATES[number])]
        subprocess.run([*command, *options], env=env, check=True, capture_output=True)

    with ThreadPoolExecutor(processes) as pool:
        list(pool.map(run, range(runs)))


def by_sweep(notebook: str, folder: str, runs: int) -> None:
    """Run all by ``course sweep``, two at a time."""
    grid = "learning_rate=" + ",".join(map(str, RATES[:runs]))
    command = [sys.executable, "-m", "helpers", "sweep", notebook, "-g", grid, "--jobs", "2"]
    subprocess.run([*command, "--out", f"{folder}/out"], check=True, capture_output=True)


def preload() -> float:
    """Have the packages preloaded, as an open JupyterLab has; return the seconds that it took."""
    from helpers.warm_kernels.connection import lease

    start = time.perf_counter()
    preload.lease = lease()
    return time.perf_counter() - start


def many(notebook: str, folder: str, runs: int) -> dict[str, float]:
    """Run a trivial notebook many times; watch the speed and the memory."""
    import psutil

    from helpers.sweeps import sweep

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
    way, notebook, folder, runs = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    report: dict[str, float] = {"preparing": 0.0}
    if way == "many":
        report = many(notebook, folder, runs)
    elif way.startswith("papermill"):
        by_papermill(notebook, folder, runs, processes=2 if "two" in way else 1)
    else:
        if "preloaded" in way:
            report["preparing"] = preload()
        else:  # none that another one left can serve this one
            os.environ["COURSE_WARM_LINGER"] = str(5 + os.getpid() / 1e6)
        by_sweep(notebook, folder, runs)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
