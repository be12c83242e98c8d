"""Sweeps: every run of the grid once, none lost, none repeated, the same table from any cluster."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import psutil
import pytest
from click.testing import CliRunner
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from helpers.cli import main
from helpers.errors import CourseError, ParameterError
from helpers.hardware import Hardware, detect
from helpers.runs import keys, make_runs, sweep
from helpers.runs.choices import parse_grid, read_grid
from helpers.runs.conclude import conclude
from helpers.runs.engine import collect
from helpers.runs.executor import Interrupted, LocalExecutor, Share, shares
from helpers.runs.kept import execute_kept, read_status
from helpers.runs.keys import keyed_runs
from helpers.runs.notebook import read_notebook
from helpers.runs.objective import Objective
from helpers.runs.progress import Progress
from helpers.runs.results import Run, RunResult, result_of
from helpers.runs.sweep_page import write_sweep_page
from helpers.runs.table import best_rows, make_table

pytestmark = pytest.mark.usefixtures("warm_kernels")

PARAMETERS = """\
rate: float = 0.1  # how fast
width: int = 4  # how wide
seed: int = 0  # of every random choice
name: str = "plain"  # of the network
"""
BODY = """\
import os
from helpers.runs import record
if width == 13:
    raise ValueError("unlucky")
with open(os.environ["SWEEP_LOG"], "a") as log:
    log.write(f"{rate} {width} {seed}\\n")
record(dataset="made", accuracy=rate * width + seed)
"""


def make_notebook(path: Path, body: str = BODY, parameters: str = PARAMETERS) -> Path:
    cells = [
        nbformat.v4.new_markdown_cell("# A notebook of $n$"),
        nbformat.v4.new_code_cell(parameters.rstrip(), metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(body),
    ]
    content = nbformat.v4.new_notebook(cells=cells)
    content.metadata.kernelspec = {"name": "python3", "display_name": "x", "language": "python"}
    nbformat.write(content, path)
    return path


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    monkeypatch.setenv("SWEEP_LOG", str(tmp_path / "log"))
    return make_notebook(tmp_path / "small.ipynb")


def run_of(notebook, **values) -> Run:
    return Run(read_notebook(notebook), values, "key")


def executed(tmp_path) -> list[str]:
    log = tmp_path / "log"
    return sorted(log.read_text().splitlines()) if log.exists() else []


def parameters(runs) -> list[dict]:
    return [run.parameters for run in runs]


def test_a_grid_is_every_combination(notebook):
    runs = make_runs(notebook, {"rate": [0.1, 0.2], "width": ["1", 2]}, {"name": "x"})
    assert parameters(runs) == [
        {"name": "x", "rate": rate, "width": width} for rate in (0.1, 0.2) for width in (1, 2)
    ]


def test_a_list_is_its_combinations_without_repetition(notebook):
    runs = make_runs(notebook, [{"rate": 1}, {"width": 2, "rate": 0.5}, {"rate": 1.0}])
    assert parameters(runs) == [{"rate": 1.0, "width": 4}, {"width": 2, "rate": 0.5}]


def test_repeat_runs_over_seeds(notebook):
    runs = make_runs(notebook, {"width": [1, 2]}, repeat=3)
    assert [(r["width"], r["seed"]) for r in parameters(runs)] == [
        (width, seed) for width in (1, 2) for seed in (0, 1, 2)
    ]
    with pytest.raises(ParameterError, match="'seed' is set already"):
        make_runs(notebook, {"seed": [1]}, repeat=2)
    bare = make_notebook(notebook.parent / "bare.ipynb", parameters="width: int = 1  # how wide")
    with pytest.raises(ParameterError, match="no parameter 'seed'"):
        make_runs(bare, {"width": [1]}, repeat=2)


def test_a_sample_is_part_of_the_grid_and_reproducible(notebook):
    grid = {"rate": [n / 10 for n in range(10)], "width": list(range(10))}
    drawn = make_runs(notebook, grid, sample=7, seed=1)
    assert len(drawn) == 7
    assert drawn == make_runs(notebook, grid, sample=7, seed=1)
    assert drawn != make_runs(notebook, grid, sample=7, seed=2)
    every = parameters(make_runs(notebook, grid))
    assert all(run in every for run in parameters(drawn))
    assert len(make_runs(notebook, grid, sample=1000)) == 100


@pytest.mark.parametrize(
    ("grid", "fixed", "reason"),
    [
        ({"rte": [1]}, {}, r"no parameter 'rte'.*Did you mean 'rate'"),
        ({"width": [1.5]}, {}, r"width=1.5; expected int"),
        ({"width": []}, {}, "width has no values"),
        ({"width": 3}, {}, "width=3; expected a list of values"),
        ({"name": "abc"}, {}, "expected a list of values"),
        ({"width": [1]}, {"width": 2}, "'width' is both in the grid and fixed"),
        ([], {}, "the grid holds no run"),
    ],
)
def test_a_grid_that_does_not_fit_is_refused(notebook, grid, fixed, reason):
    with pytest.raises(ParameterError, match=reason) as caught:
        make_runs(notebook, grid, fixed)
    assert "\n" not in str(caught.value)


@given(st.lists(st.text("abc123.-_", min_size=1), min_size=1, max_size=5))
def test_values_are_split_at_commas(values):
    assert parse_grid([f"x={','.join(values)}"]) == {"x": values}


def test_commas_in_brackets_do_not_split():
    assert parse_grid(["units=[32, 64],[128],None"]) == {"units": ["[32, 64]", "[128]", "None"]}
    for wrong in ("x", "x=", "1x=2", "=3"):
        with pytest.raises(ParameterError, match="expected -g NAME=VALUE"):
            parse_grid([wrong])
    with pytest.raises(ParameterError, match="given twice"):
        parse_grid(["x=1", "x=2"])


def test_grids_from_files(tmp_path):
    for name, text, expected in (
        ("a.json", '{"rate": [0.1, 0.2]}', {"rate": [0.1, 0.2]}),
        ("b.json", '[{"rate": 0.1}]', [{"rate": 0.1}]),
        ("c.csv", "rate,width\n0.1,2\n", [{"rate": "0.1", "width": "2"}]),
    ):
        (tmp_path / name).write_text(text)
        assert read_grid(tmp_path / name) == expected
    for name, text in (("d.json", "{"), ("e.json", "[1]"), ("f.json", '{"rate": 1}')):
        (tmp_path / name).write_text(text)
        with pytest.raises(ParameterError, match=name):
            read_grid(tmp_path / name)
    with pytest.raises(ParameterError, match="No such file"):
        read_grid(tmp_path / "none.json")


def test_a_key_is_what_a_result_depends_on(notebook, tmp_path):
    def key(path=notebook, **values):
        (found,) = keyed_runs([Run(read_notebook(path), values)])
        return found

    assert key() == key(width=4)  # the default
    assert key() != key(width=5)
    before = key()
    text = notebook.read_text()
    notebook.write_text(text.replace("# A notebook", "# Another title"))
    assert key() == before
    notebook.write_text(text.replace("unlucky", "unhappy"))
    assert key() != before
    data = tmp_path / "data.csv"
    data.write_text("1")
    before = key(name=str(data))
    data.write_text("22")
    assert key(name=str(data)) != before


def test_a_key_knows_the_libraries_and_the_package(notebook, monkeypatch, tmp_path):
    (before,) = keyed_runs([Run(read_notebook(notebook))])
    monkeypatch.setitem(keys.PACKAGES, "Keras", "numpy")  # another version
    (other,) = keyed_runs([Run(read_notebook(notebook))])
    assert other != before
    (tmp_path / "helpers").mkdir()
    monkeypatch.setattr(keys, "ROOT", tmp_path)
    found = {next(iter(keyed_runs([Run(read_notebook(notebook))])))}
    (tmp_path / "helpers" / "loss.py").write_text("SCALE = 1")
    found |= set(keyed_runs([Run(read_notebook(notebook))]))
    (tmp_path / "helpers" / "loss.py").write_text("SCALE = 2")  # edited between two sweeps
    found |= set(keyed_runs([Run(read_notebook(notebook))]))
    assert len(found) == 3


def test_what_is_keyed_is_what_is_executed(notebook, tmp_path):
    read = read_notebook(notebook)
    make_notebook(notebook, "from helpers.runs import record\nrecord(accuracy=99)")
    status = execute_kept(Run(read, {"width": 2}, "key"), tmp_path)
    assert status["metrics"] == {"accuracy": 0.2}


@pytest.mark.parametrize("value", ["", " ", ".nothing", "plain", "a\0b"])
def test_text_that_names_no_data_is_not_followed(notebook, value):
    (run,) = keyed_runs([Run(read_notebook(notebook), {"name": value})]).values()
    assert run.depends["data"] == {}


def test_links_to_nowhere_harm_no_key(notebook, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.png").write_text("1")
    (folder / "b.png").symlink_to("nowhere")
    (folder / "loop").symlink_to(folder)
    run = Run(read_notebook(notebook), {"name": str(folder)})
    (before,) = keyed_runs([run])
    (folder / "a.png").write_text("22")
    assert list(keyed_runs([run])) != [before]


def test_a_status_says_where_a_result_comes_from(notebook, tmp_path):
    (keyed,) = keyed_runs([Run(read_notebook(notebook), {"name": "digits"})]).values()
    status = execute_kept(keyed, tmp_path)
    assert set(status["depends"]["versions"]) == {"Python", "TensorFlow", "Keras", "NumPy"}
    assert re.fullmatch("[0-9a-f]{40}", status["commit"])
    assert status["clean"] in {True, False}
    assert status["processor"] == detect().kind
    assert status["began"] < status["ended"]
    assert status["path"] == str(notebook)


def test_foreign_files_in_the_folder_of_a_run_harm_nothing(notebook, tmp_path):
    folder = tmp_path / "runs" / "key"
    (folder / ".ipynb_checkpoints").mkdir(parents=True)
    (folder / ".link").symlink_to("nowhere")
    (folder / ".notes").write_text("mine")
    left = folder / f".small.ipynb.{'0' * 32}"
    left.write_text("half")
    assert execute_kept(run_of(notebook), tmp_path)["status"] == "succeeded"
    assert not left.exists()
    assert (folder / ".notes").read_text() == "mine"
    assert (folder / ".ipynb_checkpoints").is_dir()


def test_a_damaged_status_is_none(notebook, tmp_path):
    folder = tmp_path / "abc"
    folder.mkdir()
    assert read_status(folder) is None
    whole = result_of(Run(read_notebook(notebook), {}, "abc"), "succeeded", None)
    part = {name: value for name, value in whole.items() if name != "metrics"}
    for text in ("", "{", "[]", "null", json.dumps(part), json.dumps(whole | {"key": "other"})):
        (folder / "status.json").write_text(text)
        assert read_status(folder) is None
    (folder / "status.json").write_text(json.dumps(whole))
    assert read_status(folder) == whole


def test_a_succeeded_run_is_not_repeated(notebook, tmp_path):
    run = run_of(notebook, width=2)
    first, second = (execute_kept(run, tmp_path / "out") for _ in range(2))
    assert first == second
    assert first["status"] == "succeeded"
    assert executed(tmp_path) == ["0.1 2 0"]
    assert json.loads((tmp_path / "out" / "runs" / "key" / "status.json").read_text()) == first


def test_a_sweep_keeps_what_succeeded_and_repeats_the_rest(notebook, tmp_path):
    grid = {"rate": [0.5, 1.0], "width": [2, 13]}
    options = {"out": tmp_path / "out", "jobs": 2, "progress": False}
    environment = os.environ.copy()
    table = sweep(notebook, grid, **options)
    assert os.environ == environment  # what is for the kernels is theirs alone
    assert list(table["status"]) == ["succeeded", "failed"] * 2
    assert table["error"].iloc[1] == "ValueError: unlucky (In [3])"
    assert list(table["accuracy"].dropna()) == [1.0, 2.0]
    stored = pd.read_csv(tmp_path / "out" / "results.csv")
    assert list(stored["rate"]) == [0.5, 0.5, 1.0, 1.0]
    rows = json.loads((tmp_path / "out" / "results.json").read_text())
    assert len(rows) == 4
    assert rows[1]["cell"] == 3
    assert rows[1]["traceback"].endswith("ValueError: unlucky")
    summary = (tmp_path / "out" / "index.html").read_text()
    assert summary.count(">notebook</a>") == 4

    began = dict(zip(table["key"], table["seconds"], strict=True))
    again = sweep(notebook, {**grid, "rate": [0.5, 1.0, 2.0]}, **options)
    assert len(again) == 6
    assert executed(tmp_path) == ["0.5 2 0", "1.0 2 0", "2.0 2 0"]
    kept = again[again["key"].isin(began) & (again["status"] == "succeeded")]
    assert all(began[row.key] == row.seconds for row in kept.itertuples())
    # What was unlucky is repaired in the notebook: these are new runs.
    make_notebook(notebook, BODY.replace("width == 13", "width == 14"))
    repaired = sweep(notebook, grid, **options)
    assert list(repaired["status"]) == ["succeeded"] * 4


@contextlib.contextmanager
def cluster(folder, *security):
    """Start a scheduler and two workers; give its address and the processes of the workers."""
    file = folder / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1",
               "--port", "0", "--no-dashboard", "--scheduler-file", str(file),
               *security]  # fmt: skip
    scheduler = subprocess.Popen(command, **quiet)
    command = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(file),
               "--nthreads", "1", "--no-dashboard", "--local-directory", str(folder / "dask"),
               *security]  # fmt: skip
    workers = [subprocess.Popen(command, **quiet) for _ in range(2)]
    try:
        deadline = time.monotonic() + 60
        while not file.exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield json.loads(file.read_text())["address"], workers
    finally:
        for process in (*workers, scheduler):
            process.terminate()
            process.wait(30)


def test_dask_is_not_imported_without_a_scheduler(notebook, tmp_path):
    code = (
        "import sys; from helpers.runs import sweep\n"
        "table = sweep(sys.argv[1], {'width': [1]}, out=sys.argv[2], progress=False)\n"
        "print(*table['status'], [m for m in ('dask', 'distributed') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(notebook), str(tmp_path / "out")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.strip() == "succeeded []"


def test_a_scheduler_that_does_not_answer_is_named(notebook, tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.runs.cluster.ANSWERING", 1)
    with pytest.raises(CourseError, match=r"No Dask scheduler answers at 'tcp://127.0.0.1:9'"):
        sweep(notebook, {"width": [1]}, out=tmp_path / "out", scheduler="tcp://127.0.0.1:9")
    assert not (tmp_path / "out" / "results.csv").exists()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_cluster_with_tls_takes_those_who_have_its_certificate_only(notebook, tmp_path):
    files = {name: str(tmp_path / f"{name}.pem") for name in ("key", "cert")}
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
            "/CN=127.0.0.1", "-keyout", files["key"], "-out", files["cert"]]  # fmt: skip
    subprocess.run(make, check=True, capture_output=True)
    security = ["--protocol", "tls", "--tls-ca-file", files["cert"], "--tls-cert", files["cert"],
                "--tls-key", files["key"]]  # fmt: skip
    tls = "DASK_DISTRIBUTED__COMM__TLS__"
    own = {f"{tls}CA_FILE": files["cert"], f"{tls}CLIENT__CERT": files["cert"],
           f"{tls}CLIENT__KEY": files["key"]}  # fmt: skip
    with cluster(tmp_path, *security) as (address, _):
        assert address.startswith("tls://")
        command = [sys.executable, "-m", "helpers", "sweep", str(notebook), "-g", "width=1,2",
                   "--scheduler", address, "--out", str(tmp_path / "out")]  # fmt: skip

        def course(env):
            return subprocess.run(command, capture_output=True, text=True, env=os.environ | env)

        stranger = course({})
        assert stranger.returncode == 1
        assert stranger.stderr.count("\n") == 1, stranger.stderr
        assert f"No Dask scheduler answers at '{address}'" in stranger.stderr
        done = course(own)
        assert done.returncode == 0, done.stderr
    assert executed(tmp_path) == ["0.1 1 0", "0.1 2 0"]


@pytest.mark.faults
def test_a_killed_sweep_leaves_no_process_and_resumes(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_WARM", "0")  # so that the kernels are children
    make_notebook(notebook, BODY + "\nimport time; time.sleep(1)")
    command = [sys.executable, "-m", "helpers", "sweep", str(notebook), "-g", "width=1,2,3,4",
               "--jobs", "2", "--out", str(tmp_path / "out")]  # fmt: skip
    course = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path
    )
    deadline = time.monotonic() + 90
    while not list((tmp_path / "out").glob("runs/*/status.json")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    started = psutil.Process(course.pid).children(recursive=True)
    course.send_signal(signal.SIGKILL)
    course.wait()
    _, left = psutil.wait_procs(started, timeout=60)
    assert left == []
    before = {
        path.parent.name: json.loads(path.read_text())
        for path in (tmp_path / "out").glob("runs/*/status.json")
    }
    assert 0 < len(before) < 4
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "out" / "results.json").read_text())
    assert sorted(row["parameters"]["width"] for row in rows) == [1, 2, 3, 4]
    assert all(row == before.get(row["key"], row) for row in rows)


def test_an_interrupted_sweep_keeps_its_runs_and_nothing_half(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_WARM", "0")  # so that the kernels are children
    make_notebook(notebook, BODY + "\nimport time; time.sleep(1 if width == 1 else 600)")
    command = [sys.executable, "-m", "helpers", "sweep", str(notebook), "-g", "width=1,2,3",
               "--jobs", "2", "--out", str(tmp_path / "out")]  # fmt: skip
    course = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=tmp_path, text=True
    )
    deadline = time.monotonic() + 90
    while len(executed(tmp_path)) < 3 or not list((tmp_path / "out").glob("runs/*/status.json")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    started = psutil.Process(course.pid).children(recursive=True)
    course.send_signal(signal.SIGINT)
    _, said = course.communicate(timeout=60)
    assert course.returncode == 130
    assert said.strip().endswith("Interrupted. What has ended is kept; the same command goes on.")
    assert "2 runs are missing" in (tmp_path / "out" / "index.html").read_text()
    assert psutil.wait_procs(started, timeout=30)[1] == []
    assert len(list((tmp_path / "out").glob("runs/*/*.ipynb"))) == 1
    assert not list((tmp_path / "out").glob("runs/*/.small.*"))
    (row,) = json.loads((tmp_path / "out" / "results.json").read_text())
    assert row["parameters"]["width"] == 1


def test_a_machine_is_shared_between_runs(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    plain = Hardware("a processor", 8, (), 1 << 30, ())
    assert [env["OMP_NUM_THREADS"] for env in shares(3, plain)] == ["2"] * 3
    assert [env["TF_NUM_INTRAOP_THREADS"] for env in shares(18, plain)] == ["1"] * 18
    assert shares(1, plain) == [{}]
    two = Hardware("a processor", 8, (), 1 << 30, ("A", "B"))
    assert shares(1, two) == [{}]  # one run may use both
    assert [env["OMP_NUM_THREADS"] for env in shares(2, two)] == ["4", "4"]
    assert [env["CUDA_VISIBLE_DEVICES"] for env in shares(3, two)] == ["0", "1", "0"]
    for named in (["5", "7"], ["GPU-8932f937", "GPU-1e2d0b11"], ["MIG-a1", "MIG-b2"]):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ", ".join(named))
        assert [env["CUDA_VISIBLE_DEVICES"] for env in shares(2, two)] == named
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,-1,0")  # CUDA reads no further than -1
    assert [env["CUDA_VISIBLE_DEVICES"] for env in shares(2, two)] == ["1", "1"]
    for none in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", none)
        assert not [env for env in shares(2, two) if "CUDA_VISIBLE_DEVICES" in env]


WATCHING_IMPORTS = """\
import itertools, sys, threading

seen = []  # thread and module, in the order in which they were looked for

class Watching:
    def find_spec(self, name, *_):
        seen.append((threading.current_thread().name, name))

sys.meta_path.insert(0, Watching())
import helpers.runs

assert "pandas" not in sys.modules
helpers.runs.CALL
threads = [
    thread for thread, name in seen
    if name in sys.modules and name.partition(".")[0] not in sys.stdlib_module_names
]
assert threads and {thread for thread, name in seen if name == "pandas"} != {"MainThread"}
print(*[thread for thread, _ in itertools.groupby(threads)], sep="\\n")
"""


@pytest.mark.parametrize("call", [
    "sweep('small.ipynb', {'number': [1, 2, 3]}, out='out', jobs=2)",
    "search('small.ipynb', {'number': '1..9'}, out='out', trials=7, jobs=2,"
    " prune={'epochs': [1, 2]})",
])  # fmt: skip
def test_one_thread_only_imports_beside_the_runs(tmp_path, call):
    # Of two threads that import parts of one package, Python lets one see it half made.
    body = "from helpers.runs import record\nrecord(val_accuracy=number / epochs)"
    make_notebook(tmp_path / "small.ipynb", body, "number: int = 0  # one\nepochs: int = 1  # two")
    command = [sys.executable, "-c", WATCHING_IMPORTS.replace("CALL", call)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    first, *others, last = done.stdout.splitlines()
    assert first == last == "MainThread", done.stderr
    assert others and len({first, *others}) == 1 + len(others)  # each in one go


def test_a_run_begins_when_the_one_before_gives_its_share_back():
    begun = threading.Event()

    def first(share):
        share.give_back()
        assert begun.wait(30)  # or the second one waits for the end of this one

    def others(share):
        begun.set()
        share.give_back()
        share.give_back()
        return share.environment

    with LocalExecutor(1) as executor:
        calls = [executor.submit(first), *(executor.submit(others) for _ in range(8))]
        assert [call.result() for call in calls] == [None] + [{}] * 8


def test_so_many_runs_at_a_time_as_there_are_shares():
    lock, now, most, two = threading.Lock(), [], [], threading.Barrier(2)

    def run(share):
        with lock:
            now.append(share)
            most.append(len(now))
        two.wait(30)
        now.remove(share)
        share.give_back()
        share.give_back()  # a second time does no harm

    with LocalExecutor(2) as executor:
        for call in [executor.submit(run) for _ in range(12)]:
            call.result()
    assert max(most) == 2


def test_an_interrupt_while_runs_are_submitted_leaves_none(monkeypatch):
    begun, seen = threading.Event(), []
    start = threading.Thread.start

    def interrupted(thread):
        start(thread)
        if thread.name.startswith("ThreadPoolExecutor"):
            assert begun.wait(30)
            raise KeyboardInterrupt

    def run(share):
        begun.set()
        seen.append(share.stopping.wait(30))

    with pytest.raises(KeyboardInterrupt), LocalExecutor(1) as executor:
        monkeypatch.setattr(threading.Thread, "start", interrupted)
        executor.submit(run)
    assert seen == [True]


def test_an_interrupt_is_heard_while_a_run_waits_for_another_sweep(notebook, tmp_path):
    folder, share = tmp_path / "runs" / "key", Share()
    folder.mkdir(parents=True)
    with ThreadPoolExecutor(1) as pool, FileLock(folder / ".lock"):
        waiting = pool.submit(execute_kept, run_of(notebook), tmp_path, share=share)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.5)
        share.stopping.set()
        with pytest.raises(Interrupted):
            waiting.result(timeout=30)
    assert executed(tmp_path) == []


def test_a_scheduler_that_goes_away_is_told(notebook, tmp_path):
    future = Future()
    future.cancel()
    with pytest.raises(CourseError, match="The scheduler has gone"):
        collect(future, run_of(notebook))


def status_of(number, **more):
    metrics = {"accuracy": 0.5 + number / 10, "loss": 1.0 - number / 10}
    curves = {"history": {"loss": [1.0, 0.5], "val_accuracy": [0.2, metrics["accuracy"]]}}
    return dict.fromkeys(RunResult.__annotations__) | {
        "key": f"key{number}", "notebook": "small", "status": "succeeded", "seconds": 2.0,
        "parameters": {"rate": 10.0**-number, "width": number % 2, "name": "x"},
        "metrics": metrics, "curves": curves, "host": "h", "peak_memory_mb": 100.0,
        "plan": "Plan: CPU:0", **more,
    }  # fmt: skip


def page_of(statuses, folder, fresh=()):
    table = make_table(statuses)
    page = folder / "index.html"
    write_sweep_page(statuses, table, conclude(table), page, confirmed=fresh)
    return page.read_text()


def test_the_table_tells_parameters_from_metrics():
    table = make_table([status_of(0), status_of(1)])
    assert table.attrs == {"parameters": ["rate", "width"], "metrics": ["accuracy", "loss"],
                           "recorded": ["accuracy", "loss"],
                           "data": []}  # fmt: skip


def test_a_long_table_shows_the_best_and_what_failed():
    failed = {"status": "failed", "metrics": {}, "error": "ValueError: unlucky"}
    statuses = [status_of(n, **(failed if n % 10 == 3 else {})) for n in range(60)]
    table = make_table(statuses)
    accuracy = Objective("accuracy", smaller=False)
    found = list(best_rows(table, accuracy, most=8)["key"])
    assert found == ["key59", "key58", "key57", "key56", "key55", "key54", "key3", "key13"]
    assert list(best_rows(table, Objective("loss", smaller=True), 2)["key"]) == ["key59", "key58"]
    assert best_rows(table, None, most=60) is table
    all_failed = make_table([status_of(n, **failed) for n in range(9)])
    assert len(best_rows(all_failed, accuracy, most=6)) == 6


def test_the_summary_shows_and_links(tmp_path):
    broken = status_of(3, status="failed", metrics={}, curves={}, error="ValueError: <b>",
                       traceback="Traceback <here>")  # fmt: skip
    statuses = [status_of(0), status_of(1), status_of(2), broken]
    page = tmp_path / "runs" / "key0" / "small.html"
    page.parent.mkdir(parents=True)
    page.write_text("executed")
    text = page_of(statuses, tmp_path)
    assert "3 of 4 runs" in text
    assert "The settings have one run only" in text
    assert 'href="runs/key0/small.html"' in text
    assert "key1/small" not in text  # of which there is no page
    assert "ValueError: &lt;b&gt;" in text
    assert "Traceback &lt;here&gt;" in text
    described = re.findall(r'<img src="data:image/png;base64,[^"]{1000,}" alt="([^"]+)"', text)
    kinds = ("over each parameter", "Median accuracy", "as lines through", "over their epochs")
    assert len(described) == len(kinds)
    assert all(kind in alt for kind, alt in zip(kinds, described, strict=True))
    failed = [broken | {"key": "other"}, broken]
    assert "0 of 2" in page_of(failed, tmp_path)


def test_the_summary_concludes_from_settings_over_seeds(tmp_path):
    """The test metric is told for the chosen setting, and for it only."""
    statuses = [
        status_of(0, key=f"{rate}{seed}", parameters={"rate": rate, "seed": seed}, curves={},
                  metrics={"val_loss": rate + wobble, "test_loss": 7 + rate + wobble})
        for rate in (1, 2, 3)
        for seed, wobble in enumerate(np.random.default_rng(rate).normal(0, 0.02, 8))
    ]  # fmt: skip
    fresh = [status_of(0, parameters={"rate": 1, "seed": 9}, metrics={"val_loss": 1.5})]
    text = page_of(statuses, tmp_path, fresh)
    assert "The best stands out" in text
    assert "val_loss, which is to be small" in text
    assert re.search(r"test_loss\s+<b>(7.99|8|8.0)\d*</b>", text)
    assert text.count("test_loss") == 1
    assert "with fresh seeds, it has val_loss <b>1.5</b>" in re.sub(r"\s+", " ", text)
    assert re.findall(">(worse|not distinguishable)<", text) == ["worse"] * 2


def test_the_tables_of_the_page_sort_and_filter(browser, tmp_path):
    statuses = [status_of(n, key=f"key{n}", curves={}) for n in (1, 0, 2)]
    statuses.append(status_of(3, status="failed", metrics={}, curves={}, error="unlucky"))
    page_of(statuses, tmp_path)
    browser.get((tmp_path / "index.html").as_uri())
    runs = browser.find_elements("css selector", "table.sortable")[-1]

    def column(number):
        rows = runs.find_elements("css selector", "tbody tr")
        return [r.find_elements("tag name", "td")[number].text for r in rows if r.is_displayed()]

    names = [head.text for head in runs.find_elements("tag name", "th")]
    place = names.index("accuracy")
    button = runs.find_elements("css selector", "th button")[place]
    button.click()
    assert column(place) == ["0.5", "0.6", "0.7", "–"]
    button.click()
    assert column(place) == ["0.7", "0.6", "0.5", "–"]  # what is missing stays at the end
    fields = browser.find_elements("css selector", "input[type=search]")
    fields[-1].send_keys("unlucky")
    assert column(place) == ["–"]
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_several_sweeps_are_compared_on_one_page(notebook, tmp_path):
    for name, width in (("narrow", 1), ("wide", 3)):
        sweep(notebook, {"width": [width]}, repeat=2, out=tmp_path / name, progress=False)
    folders = [str(tmp_path / name) for name in ("narrow", "wide")]
    page = tmp_path / "pages" / "both.html"
    result = CliRunner().invoke(main, ["compare", *folders, "--page", str(page)])
    assert result.exit_code == 0, result.output
    text = page.read_text()
    assert "narrow" in text
    assert "Not distinguishable" in text  # by two seeds
    shutil.copytree(tmp_path / "wide", tmp_path / "again")  # the same runs, which are none better
    same = [str(tmp_path / name) for name in ("wide", "again")]
    result = CliRunner().invoke(main, ["compare", *same, "--page", str(tmp_path / "same.html")])
    assert "1 of the other 1 settings cannot be told" in result.output
    links = re.findall(r'href="([^"]+\.html)"', text)
    assert len(links) == 4
    assert all((page.parent / link).exists() for link in links)
    assert CliRunner().invoke(main, ["compare", str(tmp_path)]).exit_code == 1
    for kept in (tmp_path / "wide" / "results.json", tmp_path / "wide" / "index.html"):
        before = kept.read_text()
        other = CliRunner().invoke(main, ["compare", *folders, "--page", str(kept)])
        assert (other.exit_code, other.output.count("\n")) == (1, 1), other.output
        assert kept.read_text() == before
    for damaged in ("[]", "{}", "[1]", "5", '[{"parameters": {}}]'):
        (tmp_path / "damaged").mkdir(exist_ok=True)
        (tmp_path / "damaged" / "results.json").write_text(damaged)
        other = CliRunner().invoke(
            main, ["compare", str(tmp_path / "damaged"), "--page", str(tmp_path / "new.html")]
        )
        assert (other.exit_code, other.output.count("\n")) == (1, 1), other.output
    twice = CliRunner().invoke(main, ["compare", folders[0], folders[0], "--page", str(page)])
    assert "Two folders are called narrow" in twice.output
    assert page.read_text() == text


def test_the_best_setting_is_confirmed_with_fresh_seeds(notebook, tmp_path):
    options = {"repeat": 2, "out": tmp_path / "out", "progress": False, "confirm": 3}
    table = sweep(notebook, {"width": [1, 3]}, **options)
    assert len(table) == 4  # what is chosen from
    assert sorted(executed(tmp_path)) == [
        *(f"0.1 1 {seed}" for seed in range(2)), *(f"0.1 3 {seed}" for seed in range(5))
    ]  # fmt: skip
    confirmed = table.attrs["confirmed"]["accuracy"]
    assert (confirmed["n"], confirmed["mean"]) == (3, pytest.approx(0.3 + 3))
    assert "Not distinguishable" in table.attrs["conclusion"]  # by two seeds


def test_a_setting_with_none_is_confirmed(tmp_path, monkeypatch):
    monkeypatch.setenv("SWEEP_LOG", str(tmp_path / "log"))
    body = "from helpers.runs import record\nrecord(accuracy=(width or 9) + seed / 10)"
    odd = make_notebook(
        tmp_path / "odd.ipynb", "from typing import Optional\n" + body,
        "width: 'int | None' = 4\nseed: int = 0\n".replace("'", ""),
    )  # fmt: skip
    options = {"repeat": 2, "out": tmp_path / "out", "progress": False, "confirm": 2}
    table = sweep(odd, {"width": [4, None]}, **options)
    assert table.attrs["confirmed"]["accuracy"]["mean"] == pytest.approx(9.25)


def test_a_notebook_that_cannot_be_swept_is_refused_before(tmp_path):
    for name, parameters, reason in (
        ("a", "status: str = 'x'\nseed: int = 0", "'status' has the name of a column"),
        ("b", "width: int = 1\nseed: str = 'x'", "seed = 'x'.*expected an int"),
    ):
        odd = make_notebook(tmp_path / f"{name}.ipynb", "1", parameters)
        with pytest.raises(ParameterError, match=reason):
            sweep(odd, [{}], out=tmp_path / "out", confirm=2)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ParameterError, match="1,000,000 combinations; expected at most"):
        make_runs(
            make_notebook(tmp_path / "c.ipynb"),
            {name: list(range(1000)) for name in ("width", "seed")},
        )


def test_a_metric_that_nobody_recorded_leaves_a_page(notebook, tmp_path):
    options = {"out": tmp_path / "out", "progress": False}
    with pytest.raises(ParameterError, match=r"Did you mean 'accuracy'"):
        sweep(notebook, {"width": [1, 2]}, metric="acuracy", direction="maximize", **options)
    assert "2 of 2 runs" in (tmp_path / "out" / "index.html").read_text()


@pytest.mark.parametrize("name", ["index.html", "results.csv", "results.json"])
def test_a_sweep_writes_over_its_own_results_only(notebook, tmp_path, name):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    with pytest.raises(CourseError, match=f"{name} is there already"):
        sweep(notebook, {"width": [1]}, out=out, progress=False)
    assert (out / name).read_text() == "mine"
    assert executed(tmp_path) == []


def test_the_state_of_a_sweep_says_what_is_stale_and_why(notebook, tmp_path, monkeypatch):
    out = tmp_path / "out"

    def said():
        result = CliRunner().invoke(main, ["sweep", "--status", str(out)])
        assert result.exit_code == 0, result.output
        return result.output.splitlines()

    sweep(notebook, {"width": [1, 13]}, out=out, progress=False)
    (out / "runs" / "half").mkdir()
    assert sorted(said()) == [
        "1 kept, 1 failed, 1 unfinished",
        "✓ kept       width=1",
        "✗ failed     width=13: ValueError: unlucky (In [3])",
        "✗ unfinished half",
    ]
    (status,) = [p for p in out.glob("runs/*/status.json") if '"succeeded"' in p.read_text()]
    now = json.loads(status.read_text())["depends"]["versions"]["Keras"]
    status.write_text(status.read_text().replace(f'"Keras": "{now}"', '"Keras": "3.0"'))
    assert f"✗ stale      width=1: Keras 3.0 → {now}" in said()
    make_notebook(notebook, BODY + "\n# changed")
    assert any(line.endswith("the notebook's code") for line in said())
    notebook.unlink()
    assert any(line.endswith("the notebook is not there any more") for line in said())
    other = CliRunner().invoke(main, ["sweep", "--status", str(tmp_path)])
    assert (other.exit_code, other.output.count("\n")) == (1, 1)
    assert "holds no runs" in other.output


def test_a_direction_without_a_metric_is_refused(notebook, tmp_path):
    with pytest.raises(ParameterError, match="without metric="):
        sweep(notebook, {"seed": [0]}, direction="minimize", out=tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


def test_a_metric_of_unknown_direction_is_refused_before_anything_starts(notebook, tmp_path):
    with pytest.raises(ParameterError, match="--maximize speed or --minimize speed"):
        sweep(notebook, {"width": [1]}, out=tmp_path / "out", metric="speed")
    assert executed(tmp_path) == []


def test_progress_says_what_matters(capsys):
    bar = Progress(kept=1, total=3, names=["width"])
    bar.started(2, "http://127.0.0.1:1/status")
    bar.ended(status_of(1))
    bar.ended(status_of(2, status="failed", error="unlucky"))
    bar.ended(status_of(0))
    bar.close()
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "Dashboard: http://127.0.0.1:1/status"
    assert said[1].startswith("2 of 4  50%")
    assert said[1].endswith("running 2, failed 0, best accuracy 0.6 (width=1)")
    assert said[2] == "✗ width=0  2.0 s  unlucky"
    assert said[-1].startswith("4 of 4 100%")
    assert "running 0, failed 1" in said[-1]
    silent = Progress(total=1, shown=False)
    silent.started(1, "http://127.0.0.1:1/status")
    silent.ended(status_of(1, status="failed"))
    assert not capsys.readouterr().err


def test_progress_knows_parts_of_runs(notebook, capsys):
    runs = [replace(run_of(notebook, width=n), key=f"key{n}") for n in range(2)]
    bar = Progress(runs, names=["width"])
    bar.started(2)
    for _ in range(2):  # of three cells, one of them for the parameters
        bar.cell(runs[0])
    assert str(bar).startswith("0 of 2  33%")
    bar.ended(status_of(0))
    assert str(bar).startswith("1 of 2  50%")


def test_a_run_that_failed_is_never_the_best(capsys):
    failed = status_of(3, status="failed", error="check failed: order")
    bar = Progress(total=2, names=["width"])
    bar.started(1)
    bar.ended(failed)
    bar.ended(status_of(1))
    assert "best accuracy 0.6" in capsys.readouterr().err.splitlines()[-1]
    found = conclude(make_table([failed, status_of(1)]))
    assert found.settings == [{"rate": 0.1}]
    assert conclude(make_table([failed])) is None


@pytest.mark.parametrize("odd", ["text", None, True])
def test_a_metric_that_is_no_number_in_some_runs(odd, tmp_path):
    statuses = [status_of(n) for n in range(3)]
    statuses[2]["metrics"] = {"accuracy": odd}
    statuses[1]["curves"] = {"history": {"val_accuracy": ["a", "b"]}}
    statuses[0]["curves"] = {"history": {"val_accuracy": [None, None]}}
    table = make_table(statuses)
    assert list(table["accuracy"].dropna()) == [0.5, 0.6]
    assert "The settings have one run only" in page_of(statuses, tmp_path)


def test_odd_names_and_values_are_shown_as_they_are(tmp_path):
    statuses = [
        status_of(n, parameters={"name": name, "layers": [n], "width": width}, curves={})
        for n, (name, width) in enumerate([("$a_$", 1), ("b$c$", None), ("50%", 2)])
    ]
    table = make_table(statuses)
    assert list(table["width"]) == [1, None, 2]
    assert [type(width) for width in table["width"]] == [int, type(None), int]
    assert "$a_$" in page_of(statuses, tmp_path)


def test_names_that_clash_in_the_table():
    status = {"parameters": {"width": 1}, "metrics": {"width": 2, "seconds": 3}, "seconds": 9.0}
    (row,) = make_table([status]).to_dict("records")
    assert (row["width"], row["metric_width"], row["metric_seconds"]) == (1, 2, 3)
    assert row["seconds"] == 9.0


def test_command_line(notebook, tmp_path):
    def course(*arguments):
        return CliRunner().invoke(main, ["sweep", str(notebook), *map(str, arguments)])

    dry = course("-g", "width=1,2", "-g", "rate=0.1,1e-3", "--dry-run")
    assert dry.exit_code == 0
    assert "width=2, rate=0.001" in dry.output
    assert "4 runs of small" in dry.output
    assert executed(tmp_path) == []
    assert not (Path.cwd() / "runs" / "sweep_small").exists()
    for arguments, reason in (
        (["-g", "widht=1"], "Did you mean 'width'"),
        (["-g", "width=a"], "expected int"),
        (["-g", "width=1", "--grid-file", "x.json"], "expected one of them"),
        (["-g", "width=1", "-p", "width=2"], "both in the grid and fixed"),
    ):
        result = course(*arguments)
        assert result.exit_code == 1
        assert reason in result.output
        assert result.output.count("\n") == 1
    assert os.environ["SWEEP_LOG"] == str(tmp_path / "log")
