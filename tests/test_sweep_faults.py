"""What goes wrong in a sweep at a random moment, and that nothing is lost, doubled or left over.

``make faults`` breaks a longer sweep, twenty times in each way; ``COURSE_FAULTS_SEED`` chooses the
moments.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from test_sweeps import cluster, make_notebook

from helpers.runs import sweep as sweep_over
from helpers.runs.engine import executor_for
from helpers.runs.progress import Progress

REPEATS = int(os.environ.get("COURSE_FAULTS", "1"))
RUNS = 24 if "COURSE_FAULTS" in os.environ else 6
SEED = int(os.environ.get("COURSE_FAULTS_SEED", random.randrange(10**6)))
BODY = """\
import json, os, time
from pathlib import Path
import keras  # so that the sweep waits until its kernels are forked with it
from helpers.runs import record
hanging = Path(os.environ["SWEEP_HANGING"])
hangs = hanging.exists() and number in json.loads(hanging.read_text())
end = time.monotonic() + (1000 if hangs else 0.1)
while time.monotonic() < end:
    try:
        time.sleep(0.02)
    except KeyboardInterrupt:
        pass  # a cell that does not even heed an interrupt
record(dataset="made", square=number**2)
"""
MARK = {"SWEEP_MARK": f"sweep-{os.getpid()}-{SEED}"}

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only"),
    pytest.mark.xdist_group("faults"),  # each preloads: one at a time
]


class Sweep:
    """A sweep, in a process of its own, under observation."""

    def __init__(self, folder: Path, out: Path | None = None) -> None:
        self.out = out or folder / "out"
        self.hanging = folder / "hanging.json"
        self._notebook = make_notebook(
            folder / "small.ipynb", BODY, "number: int = 0  # of the run\n"
        )
        self._folder = folder
        self._seen: dict[str, str] = {}  # the first status of each run that succeeded
        self.wrong: list[object] = []

    def start(self, *options: str) -> subprocess.Popen:
        numbers = ",".join(map(str, range(RUNS)))
        command = [sys.executable, "-m", "helpers", "sweep", str(self._notebook), "-g",
                   f"number={numbers}", "--jobs", "2", "--out", str(self.out)]  # fmt: skip
        env = os.environ | MARK | {"SWEEP_HANGING": str(self.hanging)}
        env.pop("COURSE_WARM", None)
        course = subprocess.Popen(
            [*command, *options], env=env, cwd=self._folder,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        threading.Thread(target=self._watch, args=(course,), daemon=True).start()
        return course

    def _watch(self, course: subprocess.Popen) -> None:
        while course.poll() is None:
            try:
                self.look()
            except Exception as error:  # which would be lost in a thread
                self.wrong.append(error)
            time.sleep(0.5)

    def look(self) -> None:
        """See that every file is whole, and no run that had succeeded has another status."""
        for path in self.out.glob("runs/*/status.json"):
            with contextlib.suppress(FileNotFoundError):  # it is about to run again
                text = path.read_text()
                succeeded = json.loads(text)["status"] == "succeeded"
                if succeeded and self._seen.setdefault(path.parent.name, text) != text:
                    self.wrong.append(f"{path.parent.name} has succeeded twice")
        with contextlib.suppress(FileNotFoundError):
            json.loads((self.out / "results.json").read_text())
        with contextlib.suppress(FileNotFoundError):
            assert "status" in pd.read_csv(self.out / "results.csv").columns

    def wait_for(self, runs: int, course: subprocess.Popen) -> None:
        """Wait until the sweep has begun and so many runs have ended."""
        deadline = time.monotonic() + 120
        while (
            not (self.out / "runs").exists()
            or len(list(self.out.glob("runs/*/status.json"))) < runs
        ):
            assert course.poll() is None, course.stdout.read().decode()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def finish(self, *options: str) -> None:
        """Resume, and see that every run is there exactly once, and nothing else."""
        course = self.start(*options)
        said, _ = course.communicate(timeout=180)
        assert course.returncode == 0, said.decode()
        self.look()
        assert not self.wrong
        rows = json.loads((self.out / "results.json").read_text())
        assert sorted(row["parameters"]["number"] for row in rows) == list(range(RUNS))
        assert all(row["metrics"]["square"] == row["parameters"]["number"] ** 2 for row in rows)
        assert {row["status"] for row in rows} == {"succeeded"}
        assert len({row["key"] for row in rows}) == RUNS
        table = pd.read_csv(self.out / "results.csv")
        assert sorted(table["number"]) == list(range(RUNS))
        assert (self.out / "index.html").stat().st_size > 1000
        hidden = {path.name for path in self.out.glob("runs/*/.*")}
        assert hidden <= {".lock"}
        assert_nothing_left()


def marked() -> list[psutil.Process]:
    """Return every process that a sweep of this test has started."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("SWEEP_MARK") == MARK["SWEEP_MARK"]:
                found.append(process)
    return found


def is_preloaded(process: psutil.Process) -> bool:
    """Tell the preloaded process from the kernels that are forked from it."""
    with contextlib.suppress(psutil.Error):
        forks = [
            "warm_kernels.preload" in " ".join(p.cmdline()) for p in (process, process.parent())
        ]
        return forks == [True, False]
    return False


def assert_nothing_left() -> None:
    deadline = time.monotonic() + 30
    while left := [p for p in marked() if p.is_running()]:
        assert time.monotonic() < deadline, [(p.pid, p.cmdline(), p.status()) for p in left]
        time.sleep(0.2)


def kernels() -> list[psutil.Process]:
    preloaded = [process for process in marked() if is_preloaded(process)]
    return [kernel for process in preloaded for kernel in process.children()]


def computing(workers: list[subprocess.Popen]) -> list[psutil.Process]:
    """Return the processes in which Dask's workers compute, children of those that watch them."""
    children = [child for worker in workers for child in psutil.Process(worker.pid).children()]
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def width_of(address: str) -> int:
    """Return how many runs go side by side on a cluster, as soon as its two workers are there."""
    deadline = time.monotonic() + 60
    while True:
        with executor_for(address, 7, 9, Progress(shown=False), []) as (_, width):
            if width > 1 or time.monotonic() > deadline:
                return width


def kill_one(find, chance: random.Random) -> None:
    """Kill one of the processes that ``find`` finds, as soon as there is one."""
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(psutil.Error, IndexError):
            chance.choice(find()).send_signal(signal.SIGKILL)
            return
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(params=range(REPEATS))
def chance(request, record_property) -> random.Random:
    record_property("COURSE_FAULTS_SEED", SEED)
    return random.Random(f"{SEED} {request.node.originalname} {request.param}")


def at_random(sweep: Sweep, course: subprocess.Popen, chance: random.Random) -> None:
    sweep.wait_for(chance.randrange(RUNS - 4), course)
    time.sleep(chance.random() * 0.6)


def test_a_killed_kernel_fails_its_run_only(tmp_path, chance):
    sweep = Sweep(tmp_path)
    course = sweep.start()
    at_random(sweep, course, chance)
    kill_one(kernels, chance)
    said, _ = course.communicate(timeout=180)
    # It may have been a kernel that had done its work, or was only to be replaced.
    assert course.returncode in (0, 1), said.decode()
    rows = json.loads((sweep.out / "results.json").read_text())
    failed = [row for row in rows if row["status"] != "succeeded"]
    assert len(rows) == RUNS
    assert len(failed) <= 1, [(row["error"], row["seconds"]) for row in failed]
    assert course.returncode == len(failed)
    sweep.finish()


def test_a_cluster_gives_the_same_table_and_a_killed_worker_costs_nothing(
    tmp_path, chance, monkeypatch, warm_kernels
):
    sweep = Sweep(tmp_path)
    for name, value in (MARK | {"SWEEP_HANGING": str(sweep.hanging)}).items():
        monkeypatch.setenv(name, value)
    body = "from helpers.runs import record\nrecord(dataset='made', score=1 / (number - 1))"
    broken = make_notebook(tmp_path / "broken.ipynb", body, "number: int = 0  # of the run\n")
    grid = {"number": [1, 2]}
    local = sweep_over(broken, grid, out=tmp_path / "local", jobs=1, progress=False)
    with cluster(tmp_path) as (address, workers):
        options = {"scheduler": address, "progress": False}
        remote = sweep_over(broken, grid, out=tmp_path / "remote", **options)
        same = [name for name in local if name not in ("seconds", "host", "peak_memory_mb")]
        pd.testing.assert_frame_equal(remote[same], local[same])
        assert width_of(address) == 2  # whatever is asked for, and has this machine
        course = sweep.start("--scheduler", address)
        at_random(sweep, course, chance)
        kill_one(lambda: computing(workers), chance)
        said, _ = course.communicate(timeout=180)
        assert course.returncode == 0, said.decode()
    sweep.finish()


@pytest.mark.faults
def test_a_killed_preloaded_process_costs_nothing(tmp_path, chance):
    sweep = Sweep(tmp_path)
    course = sweep.start()
    at_random(sweep, course, chance)
    kill_one(lambda: [process for process in marked() if is_preloaded(process)], chance)
    said, _ = course.communicate(timeout=180)
    assert course.returncode == 0, said.decode()
    sweep.finish()


def test_a_killed_sweep_is_resumed(tmp_path, chance):
    sweep = Sweep(tmp_path)
    course = sweep.start()
    at_random(sweep, course, chance)
    course.kill()
    course.wait()
    assert_nothing_left()
    sweep.look()
    sweep.finish()


@pytest.mark.faults
def test_an_interrupted_sweep_is_resumed(tmp_path, chance):
    sweep = Sweep(tmp_path)
    course = sweep.start()
    at_random(sweep, course, chance)
    for _ in range(chance.randrange(1, 4)):  # an impatient user
        course.send_signal(signal.SIGINT)
        time.sleep(chance.random() * 0.1)
    said, _ = course.communicate(timeout=60)
    assert course.returncode == 130, said.decode()
    assert b"Traceback" not in said, said.decode()
    assert_nothing_left()
    ended = {path.parent.name for path in sweep.out.glob("runs/*/status.json")}
    table = sweep.out / "results.json"
    assert table.exists() == bool(ended)
    assert not ended or {row["key"] for row in json.loads(table.read_text())} == ended
    assert {path.name for path in sweep.out.glob("runs/*/.*")} <= {".lock"}
    sweep.finish()


def test_a_full_disk_loses_nothing(tmp_path, chance):
    disk = tmp_path / "disk"
    disk.mkdir()
    size = chance.randrange(1000, 250 * RUNS)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("a small disk cannot be mounted here (not root)")
    try:
        sweep = Sweep(tmp_path, disk / "out")
        course = sweep.start()
        said, _ = course.communicate(timeout=180)
        assert course.returncode == 1, said.decode()
        assert b"Traceback" not in said, said.decode()
        assert b"No space left on device" in said, said.decode()
        sweep.look()
        assert_nothing_left()
        subprocess.run(["mount", "-o", "remount,size=60m", str(disk)], check=True)
        sweep.finish()
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.faults
def test_a_hanging_cell_ends_at_its_timeout(tmp_path, chance):
    sweep = Sweep(tmp_path)
    hanging = chance.sample(range(RUNS), RUNS // 6)
    sweep.hanging.write_text(json.dumps(hanging))
    course = sweep.start("--timeout", "2")
    said, _ = course.communicate(timeout=180)
    assert course.returncode == 1, said.decode()
    rows = json.loads((sweep.out / "results.json").read_text())
    failed = {row["parameters"]["number"]: row["error"] for row in rows if row["error"]}
    assert failed == dict.fromkeys(hanging, "a cell took longer than 2 s")
    assert_nothing_left()
    sweep.hanging.unlink()
    sweep.finish()
