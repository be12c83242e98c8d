"""Tables that were measured beforehand: their code is there, and gives such numbers again."""

import importlib.util
import json

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from helpers.errors import CourseError
from helpers.files import measured_dir, notebooks_dir
from helpers.runs import make_runs, sweep


def load_measure():
    path = notebooks_dir() / "measure.py"
    spec = importlib.util.spec_from_file_location("measure", path)
    measure = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(measure)
    return measure


MEASURE = load_measure()
TABLES = MEASURE.read_tables()


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_what_its_experiment_gives(name):
    grid, seeds = TABLES[name]["grid"], TABLES[name]["repeat"]
    planned = make_runs(MEASURE.experiment(name), grid, repeat=seeds)
    path = measured_dir() / f"{name}.csv"
    table = pd.read_csv(path)
    about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert path.stat().st_size < 100_000
    assert about["command"] == f"make measured NAME={name}"
    assert about["runs"] == len(table) == len(planned)
    settings = [*grid, "seed"]
    assert list(table)[: len(settings)] == settings
    assert not table.duplicated(settings).any()
    assert set(table["seed"]) == set(range(seeds))
    measured = table.drop(columns=[*settings, "seconds"])
    assert len(measured.columns) >= 1
    assert measured.notna().any().all()
    lessons = (notebooks_dir() / "source").glob("[0-9]*.py")
    assert any(f"{name}.csv" in lesson.read_text(encoding="utf-8") for lesson in lessons)


def test_every_file_belongs_to_a_table():
    assert {path.stem for path in measured_dir().glob("*.csv")} == set(TABLES)
    assert {path.stem for path in measured_dir().glob("*.json")} == set(TABLES)


@pytest.mark.faults
@pytest.mark.parametrize("name", TABLES)
def test_a_row_measured_again_is_within_the_spread(name, tmp_path):
    table = pd.read_csv(measured_dir() / f"{name}.csv")
    grid = {parameter: values[:1] for parameter, values in TABLES[name]["grid"].items()}
    again = sweep(MEASURE.experiment(name), grid, out=tmp_path, progress=False).iloc[0]
    assert again["status"] == "succeeded"
    first = table.iloc[0]
    same = table[(table[list(grid)] == first[list(grid)]).all(axis=1)]
    for metric in set(table) - {*grid, "seed", "seconds"}:
        spread = same[metric].max() - same[metric].min()
        assert same[metric].min() - spread <= again[metric] <= same[metric].max() + spread, metric


def test_a_run_that_fails_is_told_and_the_others_are_written(tmp_path, monkeypatch):
    cells = [
        new_code_cell(
            "n: int = 1  # a number\nseed: int = 0  # of luck", metadata={"tags": ["parameters"]}
        ),
        new_code_cell("from helpers.runs import record\nrecord(inverse=1 / n)"),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "00_test.ipynb")
    monkeypatch.setattr(MEASURE, "experiment", lambda name: tmp_path / f"{name}.ipynb")
    monkeypatch.setattr(MEASURE, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(MEASURE, "TABLES", tmp_path)
    with pytest.raises(CourseError, match="2 of 6 runs have failed"):
        MEASURE.measure("00_test", {"grid": {"n": [0, 1, 2]}, "repeat": 2}, jobs=1)
    assert pd.read_csv(tmp_path / "00_test.csv")["inverse"].tolist() == [1, 1, 0.5, 0.5]
    about = json.loads((tmp_path / "00_test.json").read_text(encoding="utf-8"))
    assert (about["runs"], about["planned"]) == (4, 6)
