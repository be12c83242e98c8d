"""Adaptive search: Optuna chooses, runs are kept, the study goes on where it was cut short."""

import json
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from filelock import FileLock
from test_sweeps import make_notebook

from helpers.errors import CourseError, ParameterError
from helpers.runs import search, sweep
from helpers.runs.comparing import compare_sweeps
from helpers.runs.notebook import read_notebook
from helpers.runs.searching import Space

pytestmark = pytest.mark.usefixtures("warm_kernels")

PARAMETERS = """\
rate: float = 0.1  # how fast
width: int = 4  # how wide
name: str = "plain"  # of the network
epochs: int = 1  # times through
"""
BODY = """\
import os
from helpers.runs import record
with open(os.environ["SWEEP_LOG"], "a") as log:
    log.write(f"{rate} {width} {name} {epochs}\\n")
if width == 13:
    raise ValueError("unlucky")
value = 1 - (rate - 0.3) ** 2 + (name == "good") - 1 / epochs
record(dataset="made", val_accuracy=value, error=rate)
"""


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    monkeypatch.setenv("SWEEP_LOG", str(tmp_path / "log"))
    return make_notebook(tmp_path / "small.ipynb", BODY, PARAMETERS)


def executed(tmp_path) -> list[str]:
    return (tmp_path / "log").read_text().splitlines()


@pytest.mark.parametrize(
    ("choices", "fixed", "reason"),
    [
        ({"rte": [1]}, {}, "Did you mean 'rate'"),
        ({"rate": "0.1"}, {}, "expected a list of values, or LOW..HIGH"),
        ({"rate": "1..0.1"}, {}, "the smaller one first"),
        ({"rate": "0..1:log"}, {}, "a range above 0"),
        ({"width": "1.5..3"}, {}, "expected int"),
        ({"name": "a..b"}, {}, "expected two numbers"),
        ({"rate": [0.1]}, {"rate": 1}, "both searched and fixed"),
        ({}, {}, "Nothing to search"),
    ],
)
def test_a_space_that_does_not_fit_is_refused(notebook, choices, fixed, reason):
    with pytest.raises(ParameterError, match=reason):
        Space(read_notebook(notebook), choices, fixed)


def test_a_search_finds_prunes_and_goes_on(notebook, tmp_path):
    choices = {"rate": "0.01..1:log", "name": ["bad", "good"], "width": "2..6"}
    options = {"out": tmp_path / "out", "jobs": 2, "prune": {"epochs": [1, 2]}, "progress": False}
    table = search(notebook, choices, trials=10, **options)
    assert sorted(table["trial"]) == list(range(10))
    assert table["rate"].between(0.01, 1).all()
    assert table["width"].isin(range(2, 7)).all()
    assert set(table["name"]) == {"bad", "good"}
    assert 0 < table["pruned"].sum() < 10
    assert set(table.loc[table["pruned"], "epochs"]) == {1}
    assert set(table.loc[~table["pruned"], "epochs"]) == {2}
    runs = executed(tmp_path)
    assert len(runs) == len(set(runs)) == 10 + (~table["pruned"]).sum()
    assert "trial" not in table.attrs["metrics"]
    page = (tmp_path / "out" / "index.html").read_text()
    assert "succeeded, pruned" in page
    assert '<th scope="col">trial</th>' in page
    assert not re.search(r"<td[^>]*>-?\d+\.\d{9}", page)  # a number that was drawn is rounded

    assert len(search(notebook, choices, trials=10, **options)) == 10
    assert executed(tmp_path) == runs  # none again
    assert len(search(notebook, choices, trials=12, **options)) == 12
    assert len(executed(tmp_path)) > len(runs)


def test_a_search_beside_a_sweep_has_a_cell_for_each_column(notebook, tmp_path):
    options = {"jobs": 2, "progress": False}
    sweep(notebook, {"rate": [0.1, 0.123456]}, out=tmp_path / "grid", **options)
    search(notebook, {"rate": "0.1..0.9"}, trials=2, out=tmp_path / "search", **options)
    for folders in (["search", "grid"], ["grid", "search"]):
        page = tmp_path / f"{folders[0]}.html"
        compare_sweeps([tmp_path / name for name in folders], page)
        head, *rows = re.findall(
            r"<tr.*?</tr>", page.read_text().rpartition("<table")[2], re.DOTALL
        )
        assert len(rows) == 4
        assert {row.count("<td") for row in rows} == {head.count("<th")}
        assert [">0.123456<" in row for row in rows].count(True) == 1  # as it was asked for


def test_two_searches_in_one_folder_are_refused(notebook, tmp_path):
    with FileLock(tmp_path / ".lock"), pytest.raises(CourseError, match="Another command"):
        search(notebook, {"rate": [0.1]}, trials=1, out=tmp_path, progress=False)
    assert not (tmp_path / "log").exists()
    search(notebook, {"rate": [0.1]}, trials=1, out=tmp_path, progress=False)
    assert len(executed(tmp_path)) == 1


def test_failed_trials_do_not_end_a_search(notebook, tmp_path):
    table = search(notebook, {"width": [13, 14]}, trials=4, out=tmp_path, jobs=1, progress=False)
    assert len(table) == 4
    assert set(table["width"][table["status"] == "failed"]) <= {13}
    with pytest.raises(
        ParameterError, match=r"'acc' is not a recorded number; recorded are .*val_accuracy"
    ):
        search(notebook, {"width": [1, 2]}, trials=1, out=tmp_path, metric="acc", progress=False)


def test_a_killed_search_goes_on(notebook, tmp_path):
    make_notebook(notebook, BODY + "\nimport time; time.sleep(0.3)", PARAMETERS)
    command = [sys.executable, "-m", "helpers", "sweep", str(notebook), "-g", "rate=0.01..1",
               "--search", "4", "--prune", "epochs=1,2", "--jobs", "2",
               "--out", str(tmp_path / "out")]  # fmt: skip
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while len(list((tmp_path / "out").glob("runs/*/status.json"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    before = len(list((tmp_path / "out").glob("runs/*/status.json")))
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "out" / "results.json").read_text())
    assert sorted(row["trial"] for row in rows) == list(range(4))
    # Runs that had ended were not repeated; the two on their way may have been.
    runs = executed(tmp_path)
    assert len(runs) - len(set(runs)) <= 2
    assert before >= 2


def test_a_search_tells_the_mean_over_seeds(tmp_path, monkeypatch):
    monkeypatch.setenv("SWEEP_LOG", str(tmp_path / "log"))
    notebook = make_notebook(
        tmp_path / "seeds.ipynb",
        "from helpers.runs import record\nrecord(val_accuracy=rate + (-1) ** seed)",
        "rate: float = 0.1\nseed: int = 0\n",
    )
    table = search(notebook, {"rate": [0.1, 0.2]}, trials=3, repeat=2, out=tmp_path / "out",
                   progress=False)  # fmt: skip
    assert len(table) == 6
    assert set(table["seed"]) == {0, 1}
    means = table.groupby("trial")["val_accuracy"].mean()
    rates = table.groupby("trial")["rate"].first()
    assert np.allclose(means, rates)  # one seed alone would be 1 off
    with pytest.raises(ParameterError, match="'seed' is set already"):
        search(notebook, {"seed": [1, 2]}, out=tmp_path / "out", trials=2, repeat=2)


def test_a_search_whose_trials_all_fail_says_so(notebook, tmp_path):
    table = search(notebook, {"width": [13]}, trials=2, out=tmp_path, progress=False)
    assert set(table["status"]) == {"failed"}
    assert "0 of 2 runs" in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize("rungs", [[9, 3, 1], [1, 1], ["a", "b"]])
def test_stages_that_do_not_rise_are_refused(notebook, tmp_path, rungs):
    with pytest.raises(ParameterError, match=r"expected (rising numbers|int)"):
        search(notebook, {"rate": [0.1]}, out=tmp_path, trials=1, prune={"epochs": rungs})


def test_a_damaged_study_is_named(notebook, tmp_path):
    (tmp_path / "study.log").write_text("garbage\n")
    with pytest.raises(CourseError, match=r"study.log cannot be read.*remove it") as caught:
        search(notebook, {"rate": [0.1]}, out=tmp_path, trials=1, progress=False)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["'text'", "float('nan')", "True"])
def test_a_metric_that_is_no_number_fails_its_trials(tmp_path, monkeypatch, value):
    body = f"from helpers.runs import record\nrecord(val_accuracy={value})"
    odd = make_notebook(tmp_path / "odd.ipynb", body, PARAMETERS)
    table = search(odd, {"width": [1, 2]}, out=tmp_path / "out", trials=2, progress=False)
    assert len(table) == 2
    assert table.attrs["conclusion"] == "No run has recorded a number as val_accuracy."
