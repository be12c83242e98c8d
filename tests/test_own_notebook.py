"""A notebook of one's own: the complete example of the docs, from its text to a sweep's page."""

import json
import random
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from click.testing import CliRunner

from helpers.cli import main
from helpers.errors import CourseError, ParameterError
from helpers.files import ROOT
from helpers.runs import make_runs, search, sweep
from helpers.runs.choices import Range
from helpers.runs.comparing import compare_sweeps
from helpers.runs.kept import execute_kept
from helpers.runs.keys import keyed_runs
from helpers.runs.notebook import read_notebook
from helpers.runs.plan import plan_runs
from helpers.runs.results import Run

DOCS = ROOT / "docs" / "your-own-notebook.md"

pytestmark = pytest.mark.usefixtures("warm_kernels")


def course(*arguments):
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert "Traceback" not in result.output
    return result


def make_notebook(path: Path, parameters: str, *cells: str) -> Path:
    tagged = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    code = [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=[tagged, *code]), path)
    return path


def test_the_example_of_the_docs(tmp_path, monkeypatch):
    text = DOCS.read_text(encoding="utf-8")
    *cells, pandas_lines = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    make_notebook(tmp_path / "iris_svm.ipynb", *cells)
    monkeypatch.chdir(tmp_path)
    (commands,) = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    for command in commands.splitlines():
        program, *arguments = command.split()
        assert program == ".venv/bin/course"
        result = course(*arguments)
        assert result.exit_code == 0, result.output
    variables = {}
    exec(pandas_lines, variables)
    assert len(variables["table"]) == 30
    drawn = pd.read_csv("runs/drawn/results.csv")
    settings = drawn[["C", "kernel"]].drop_duplicates()
    assert (len(drawn), len(settings)) == (60, 20)
    assert settings["C"].between(0.001, 1000).all()
    assert (settings["C"] < 1).sum() > 4  # evenly over the orders of magnitude
    files = list(Path("runs/svm").glob("runs/*/iris_svm_files/support.txt"))
    assert len(files) == 30
    page = Path("runs/svm/index.html").read_text(encoding="utf-8")
    assert "iris" in page
    for row in json.loads(Path("runs/svm/results.json").read_text())[:2]:
        assert f'href="runs/{row["key"]}/iris_svm_files/"' in page


def test_a_notebook_works_in_its_own_folder(tmp_path, monkeypatch):
    """Its modules and its files lie beside it; ``--cwd`` names another folder."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "own_numbers.py").write_text("ONE = 1")
    (tmp_path / "sub" / "two.txt").write_text("2")
    code = "from own_numbers import ONE\nfrom helpers.runs import record\n"
    code += "record(score=ONE + int(open('two.txt').read()) + n)"
    make_notebook(tmp_path / "sub" / "nb.ipynb", "n = 0\n", code)
    monkeypatch.chdir(tmp_path)
    result = course("run", "sub/nb.ipynb", "--out", "out")
    assert result.exit_code == 0, result.output
    (row,) = json.loads((tmp_path / "out" / "results.json").read_text())
    assert row["metrics"] == {"score": 3}
    (tmp_path / "sub" / "two.txt").rename(tmp_path / "two.txt")
    (tmp_path / "own_numbers.py").write_text("ONE = 10")
    result = course("run", "sub/nb.ipynb", "--cwd", ".", "--out", "out")
    assert result.exit_code == 0, result.output
    (row,) = json.loads((tmp_path / "out" / "results.json").read_text())
    assert row["metrics"] == {"score": 12}
    assert "no such folder" in course("run", "sub/nb.ipynb", "--cwd", "nowhere").output


def test_a_path_that_is_meant_from_here_is_found(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    make_notebook(tmp_path / "sub" / "nb.ipynb", "dataset = 'digits'\nname = 'x'\n", "1")
    monkeypatch.chdir(tmp_path)
    Path("own.csv").write_text("a,b\n1,2\n")
    Path("plain").mkdir()
    Path("digits").mkdir()

    def planned(**values):
        (run,) = plan_runs(["sub/nb.ipynb"], values)
        return run.parameters

    here = str(tmp_path / "own.csv")
    assert planned(dataset="own.csv", name="./own.csv") == {"dataset": here, "name": here}
    assert planned(dataset="digits", name="plain") == {"dataset": "digits", "name": "plain"}
    (tmp_path / "sub" / "own.csv").write_text("a,b\n3,4\n")  # what lies beside the notebook wins
    assert planned(dataset="own.csv") == {"dataset": "own.csv"}


@pytest.mark.parametrize("name", ["p.yaml", "p.json"])
def test_parameters_from_files(tmp_path, name):
    make_notebook(
        tmp_path / "nb.ipynb", "C = 1.0\nlayers: list = []\noptions = {}\n",
        "from helpers.runs import record\nrecord(c=C, n=len(layers), k=options['k'])",
    )  # fmt: skip
    values = {"C": 2, "layers": [1, 2], "options": {"k": 3}}
    text = "C: 2\nlayers: [1, 2]\noptions: {k: 3}\n" if name == "p.yaml" else json.dumps(values)
    (tmp_path / name).write_text(text)
    out = tmp_path / "out"
    result = course("run", tmp_path / "nb.ipynb", "-f", tmp_path / name, "-p", "C=5", "--out", out)
    assert result.exit_code == 0, result.output
    (row,) = json.loads((out / "results.json").read_text())
    assert row["metrics"] == {"c": 5.0, "n": 2, "k": 3}
    for wrong in ("[1", "- 1\n- 2", "{", "2020-01-01"):
        (tmp_path / name).write_text(wrong)
        result = course("run", tmp_path / "nb.ipynb", "-f", tmp_path / name, "--out", out)
        assert (result.exit_code, result.output.count("\n")) == (1, 1), result.output


def test_settings_are_drawn_from_lists_and_ranges(tmp_path):
    nb = make_notebook(
        tmp_path / "nb.ipynb", "rate = 0.1\nwidth = 8\nname = 'a'\nseed = 0\npath = '.'\n", "1"
    )
    grid = {"rate": "0.001..0.1:log", "width": ["4..6"], "name": ["a", "b"], "path": ["../data"]}
    runs = make_runs(nb, grid, sample=50, repeat=3, seed=1)
    parameters = [run.parameters for run in runs]
    assert len(parameters) == 150
    settings = {tuple(p[name] for name in ("rate", "width", "name")) for p in parameters}
    assert len(settings) == 50
    assert {p["seed"] for p in parameters} == {0, 1, 2}
    assert {p["width"] for p in parameters} == {4, 5, 6}
    assert {p["path"] for p in parameters} == {"../data"}
    below = sum(rate < 0.01 for rate, _, _ in settings)
    assert 10 < below < 40  # half of them
    assert runs == make_runs(nb, grid, sample=50, repeat=3, seed=1)
    assert runs != make_runs(nb, grid, sample=50, repeat=3, seed=2)
    with pytest.raises(ParameterError, match=r"rate is a range.*--random N or --search N"):
        make_runs(nb, grid)
    assert len(make_runs(nb, {"width": ["1..3"]}, sample=9)) == 3  # there are no more
    huge = {"width": list(range(1000)), "seed": list(range(1000))}
    assert len(make_runs(nb, huge, sample=4)) == 4


def test_a_grid_from_yaml(tmp_path):
    nb = make_notebook(tmp_path / "nb.ipynb", "rate = 0.1\nname = 'a'\n", "1")
    (tmp_path / "grid.yaml").write_text("rate: [0.1, 0.2]\nname: [a, b]\n")
    result = course("sweep", nb, "--grid-file", tmp_path / "grid.yaml", "--dry-run")
    assert "4 runs of nb: 0 are kept, 4 are to run" in result.output


def test_a_notebook_of_another_language_is_refused(tmp_path):
    content = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x <- 1")])
    content.metadata.kernelspec = {"name": "ir", "display_name": "R", "language": "R"}
    nbformat.write(content, tmp_path / "nb.ipynb")
    with pytest.raises(ParameterError, match="a notebook of R; expected one of Python"):
        make_runs(tmp_path / "nb.ipynb", [{}])


RECORDING = "from helpers.runs import record\nrecord(dataset=name, val_accuracy=0.5 + seed / 100)"


def test_results_of_different_data_are_not_compared(tmp_path):
    nb = make_notebook(tmp_path / "nb.ipynb", "name = 'a'\nseed = 0\n", RECORDING)
    out = tmp_path / "out"
    table = sweep(nb, {"name": ["a", "b"]}, repeat=3, out=out, progress=False)
    reason = "The runs used different data (a, b), whose results cannot be compared."
    assert table.attrs["conclusion"] == reason
    page = (out / "index.html").read_text()
    assert reason in page
    assert ">worse<" not in page
    with pytest.raises(ParameterError, match="the runs used different data"):
        sweep(nb, {"name": ["a", "b"]}, repeat=3, confirm=2, out=out, progress=False)


def test_sweeps_of_different_notebooks_are_not_compared(tmp_path):
    for name in ("one", "two"):
        nb = make_notebook(tmp_path / f"{name}.ipynb", "name = 'a'\nseed = 0\n", RECORDING)
        sweep(nb, [{}], out=tmp_path / f"out_{name}", progress=False)
    folders = [tmp_path / "out_one", tmp_path / "out_two"]
    result = course("compare", *folders, "--page", tmp_path / "page.html")
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert "of different notebooks (one, two)" in result.output


def test_the_page_tells_what_was_swept(tmp_path, monkeypatch):
    nb = make_notebook(
        tmp_path / "nb.ipynb", "rate = 0.1\nwidth = 8\nname = 'made'\nseed = 0\n", RECORDING
    )
    out = tmp_path / "out"
    monkeypatch.setattr("sys.argv", ["course", "sweep", "nb.ipynb", "-g", "rate=0.1,1"])
    result = course("sweep", nb, "-g", "rate=0.1,1", "-p", "width=3", "--repeat", "2", "--out", out)
    assert result.exit_code == 0, result.output
    page = re.sub(r"<.*?>", " ", (out / "index.html").read_text())
    assert re.search(r"data\s+made\s", page)
    assert re.search(r"the same in all runs\s+width=3, name=made\s", page)
    assert "course sweep nb.ipynb -g rate=0.1,1" in page
    assert re.search(r"computed\s+\d{4}-\d\d-\d\d\s", page)
    html = (out / "index.html").read_text()
    assert 'Its numbers: <a href="results.csv">' in html
    assert "over each parameter. rate: medians" in html  # no axis for the seed
    assert "Every run as a line" not in html  # through one parameter only


def test_two_commands_in_one_folder_do_not_lose_rows(tmp_path):
    slow = "import time\nfrom pathlib import Path\nPath(begun).touch()\ntime.sleep(600)"
    begun = tmp_path / "begun"
    nb = make_notebook(tmp_path / "slow.ipynb", f"begun = {str(begun)!r}\n", slow)
    other = make_notebook(tmp_path / "nb.ipynb", "name = 'a'\nseed = 0\n", RECORDING)
    out = tmp_path / "out"
    command = ["sweep", str(nb), "-g", f"begun={begun}", "--out", str(out)]
    first = subprocess.Popen(
        [sys.executable, "-m", "helpers", *command],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 90
        while not begun.exists():
            assert first.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        with pytest.raises(CourseError, match="Another command is at work"):
            sweep(other, [{}], out=out, progress=False)
        assert "Another command is at work" in course("run", other, "--out", out).output
    finally:
        first.terminate()
        first.wait(60)
    assert len(sweep(other, [{}], out=out, progress=False)) == 1


def test_a_module_that_changes_during_a_sweep_fails_its_runs(tmp_path):
    (tmp_path / "own_numbers.py").write_text("ONE = 1")
    code = (
        "import own_numbers\nfrom pathlib import Path\nfrom helpers.runs import record\n"
        f"Path({str(tmp_path)!r}, 'own_numbers.py').write_text('ONE = 2')\nrecord(score=n)"
    )
    nb = make_notebook(tmp_path / "nb.ipynb", "n = 0\n", code)
    table = sweep(nb, {"n": [1]}, out=tmp_path / "out", progress=False)
    assert "changed since its key was taken: the module own_numbers" in table["error"].iloc[0]
    table = sweep(nb, {"n": [1]}, out=tmp_path / "out", progress=False)
    assert list(table["status"]) == ["succeeded"]


def test_the_libraries_of_a_notebook_belong_to_its_key(tmp_path, monkeypatch):
    nb = make_notebook(
        tmp_path / "nb.ipynb", "n = 0\n", "import sklearn.svm\nfrom PIL import Image"
    )
    (run,) = keyed_runs([Run(read_notebook(nb))]).values()
    assert {"scikit-learn", "pillow", "NumPy"} <= set(run.depends["versions"])


def test_another_working_directory_is_another_run(tmp_path):
    (tmp_path / "w").mkdir()
    read = read_notebook(make_notebook(tmp_path / "nb.ipynb", "n = 0\n", "1"))
    own, same = Run(read), Run(read, cwd=tmp_path)
    assert keyed_runs([own]).keys() == keyed_runs([same]).keys()
    assert keyed_runs([own]).keys() != keyed_runs([Run(read, cwd=tmp_path / "w")]).keys()


def test_the_folder_of_a_run_is_empty_when_it_begins(tmp_path):
    code = (
        "from helpers.runs import folder, record\nrecord(n=len(list(folder().iterdir())))\n"
        "(folder() / 'a.txt').touch()"
    )
    nb = make_notebook(tmp_path / "nb.ipynb", "n = 0\n", code)
    for _ in range(2):
        course("run", nb, "--out", tmp_path / "out")
        (row,) = json.loads((tmp_path / "out" / "results.json").read_text())
        assert row["metrics"] == {"n": 0}
    assert (tmp_path / "out" / "nb_files" / "a.txt").is_file()
    (tmp_path / "other" / "nb_files").mkdir(parents=True)
    assert "is there already" in course("run", nb, "--out", tmp_path / "other").output


def test_whole_numbers_are_drawn_evenly():
    chance = random.Random(0)
    drawn = Counter(Range(-5, 5, log=False).draw(chance) for _ in range(11000))
    assert sorted(drawn) == list(range(-5, 6))
    assert all(800 < count < 1200 for count in drawn.values())


def test_a_metric_that_no_run_has_recorded_is_told(tmp_path):
    nb = make_notebook(tmp_path / "nb.ipynb", "C = 1.0\n", "1")
    for asked in ("C", "seconds", "val_accuracy"):
        with pytest.raises(ParameterError, match="not a recorded number; recorded are none"):
            sweep(nb, {"C": [1, 2]}, metric=asked, direction="maximize", out=tmp_path / "out",
                  progress=False)  # fmt: skip
    with pytest.raises(ParameterError, match="recorded are none"):
        search(nb, {"C": "1..2"}, trials=1, out=tmp_path / "search", progress=False)


def test_a_search_tries_again_what_has_failed_and_sees_changed_data(tmp_path):
    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text("1")
    code = (
        "from helpers.runs import record\nfrom pathlib import Path\n"
        "record(val_accuracy=float(Path(path).read_text()))"
    )
    nb = make_notebook(tmp_path / "nb.ipynb", "path = 'one.csv'\n", code)
    options = {"trials": 3, "jobs": 1, "out": tmp_path / "out", "progress": False}
    (tmp_path / "two.csv").write_text("no number")
    choices = {"path": ["one.csv", "two.csv"]}
    assert "failed" in set(search(nb, choices, **options)["status"])
    (tmp_path / "two.csv").write_text("2")
    table = search(nb, choices, **options)
    assert set(table["status"]) == {"succeeded"}
    assert set(table.loc[table["path"] == "two.csv", "val_accuracy"]) == {2.0}
    (tmp_path / "broken").write_text("")
    code = code.replace("record(val", "assert not Path('broken').exists()\nrecord(val")
    make_notebook(tmp_path / "nb.ipynb", "path = 'one.csv'\n", code)
    assert set(search(nb, choices, **options)["status"]) == {"failed"}
    (tmp_path / "broken").unlink()
    assert set(search(nb, choices, **options)["status"]) == {"succeeded"}


def test_sweeps_are_compared_where_one_has_defaults(tmp_path):
    code = "from helpers.runs import record\nrecord(val_accuracy=0.5 + width / 10 + seed / 100)"
    nb = make_notebook(tmp_path / "nb.ipynb", "width = 1\ndevice = 'cpu'\nseed = 0\n", code)
    sweep(nb, {"width": [1, 2]}, repeat=3, out=tmp_path / "a", progress=False)
    sweep(nb, {"device": ["x", "y"]}, out=tmp_path / "b", progress=False)
    table = compare_sweeps([tmp_path / "a", tmp_path / "b"], tmp_path / "page.html")
    assert table["width"].notna().all()
    assert list(table["device"]) == ["cpu"] * 6 + ["x", "y"]
    assert "run_device" in table
    assert "–" not in re.findall(r"<td class=.number.>(.*?)</td>", page_table(tmp_path))[:4]


def page_table(folder: Path) -> str:
    return (folder / "page.html").read_text().partition("<tbody>")[2]


def test_what_confirms_is_written_too(tmp_path):
    nb = make_notebook(tmp_path / "nb.ipynb", "name = 'a'\nwidth = 1\nseed = 0\n", RECORDING)
    out = tmp_path / "out"
    sweep(nb, {"width": [1, 2]}, repeat=2, confirm=3, out=out, progress=False)
    assert len(pd.read_csv(out / "results.csv")) == 4
    confirmed = pd.read_csv(out / "confirmed.csv")
    assert list(confirmed["seed"]) == [2, 3, 4]


@pytest.mark.parametrize("line", ["x: list = {1, 2}", "x: dict = {'a': b'b'}", "x: float = 1e999"])
def test_typed_defaults_that_no_record_holds_are_refused(tmp_path, line):
    with pytest.raises(ParameterError, match="the parameters cell has the line"):
        read_notebook(make_notebook(tmp_path / "nb.ipynb", line, "1"))


def test_a_setting_that_fails_is_named(tmp_path):
    code = "from helpers.runs import record\nassert width != 2\nrecord(val_accuracy=seed / 10)"
    nb = make_notebook(tmp_path / "nb.ipynb", "width = 1\nseed = 0\n", code)
    table = sweep(nb, {"width": [1, 2]}, repeat=2, out=tmp_path / "out", progress=False)
    assert "No run has a number as val_accuracy with width=2" in table.attrs["conclusion"]


def test_a_page_says_why_nothing_is_concluded(tmp_path):
    for name, code, reason in (
        ("a", "1", "have recorded nothing"),
        ("b", "from helpers.runs import record\nrecord(val_gini=0.5)", "say --maximize or"),
        ("c", "1 / 0", "No run has succeeded"),
    ):
        nb = make_notebook(tmp_path / f"{name}.ipynb", "width = 1\n", code)
        out = tmp_path / name
        table = sweep(nb, {"width": [1]}, out=out, progress=False)
        assert reason in table.attrs["conclusion"]
        assert reason in (out / "index.html").read_text()


def test_a_run_does_not_write_over_a_sweep_nor_the_reverse(tmp_path):
    nb = make_notebook(tmp_path / "nb.ipynb", "name = 'a'\nseed = 0\n", RECORDING)
    assert course("sweep", nb, "-g", "seed=1,2", "--out", tmp_path / "s").exit_code == 0
    assert course("run", nb, "--out", tmp_path / "r").exit_code == 0
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert "is there already" in course("run", nb, "--out", tmp_path / "s").output
    assert "is there already" in course("sweep", nb, "-g", "seed=1", "--out", tmp_path / "r").output
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert course("run", nb, "--out", tmp_path / "r").exit_code == 0


def test_a_missing_tag_is_told(tmp_path, monkeypatch):
    nb = make_notebook(tmp_path / "nb.ipynb", "name = 'a'\n", "1")
    nb.write_text(nb.read_text().replace('"parameters"', '"Parameters"'))
    monkeypatch.chdir(tmp_path)
    assert "no cell is tagged 'parameters'" in course("run", "nb", "-p", "name=b").output
    assert "no cell is tagged 'parameters'" in course("sweep", "nb", "-g", "name=b").output


def test_every_import_belongs_to_the_key(tmp_path):
    (tmp_path / "own_first.py").write_text("import os, own_second\nimport sklearn.svm")
    (tmp_path / "own_second.py").write_text("ONE = 1")
    nb = make_notebook(tmp_path / "nb.ipynb", "name = 'iris'\n", "import os, own_first, PIL")

    def depends():
        (run,) = keyed_runs([Run(read_notebook(nb))]).values()
        return run.depends

    before = depends()
    assert set(before["modules"]) == {"own_first", "own_second"}
    assert {"scikit-learn", "pillow"} <= set(before["versions"])
    assert before["data"] == {"iris": before["versions"]["scikit-learn"]}


def test_a_file_that_is_no_dataset_does_not_forbid_a_comparison(tmp_path):
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(name)
    code = "from helpers.runs import record\nrecord(dataset='d', val_accuracy=seed / 10)"
    nb = make_notebook(tmp_path / "nb.ipynb", "config = 'a.yaml'\nseed = 0\n", code)
    grid = {"config": ["a.yaml", "b.yaml"]}
    table = sweep(nb, grid, repeat=2, out=tmp_path / "out", progress=False)
    assert "Not distinguishable" in table.attrs["conclusion"]


def test_a_run_on_other_code_than_its_key_says_is_not_begun(tmp_path):
    nb = make_notebook(tmp_path / "nb.ipynb", "n = 0\n", "open('ran', 'w').close()")
    (run,) = keyed_runs([Run(read_notebook(nb))]).values()
    other = replace(run, depends=run.depends | {"package": "other"})
    result = execute_kept(other, tmp_path / "out")
    assert result["error"].startswith("changed since its key was taken: the package helpers")
    assert not (tmp_path / "ran").exists()


def test_a_run_shows_no_control_that_nobody_can_move(tmp_path):
    code = (
        "from helpers.classroom import interact\nfrom helpers.runs import record\n"
        "record(live=interact(x=[1, 2])(len) is not len)"
    )
    nb = make_notebook(tmp_path / "nb.ipynb", "n = 0\n", code)
    course("run", nb, "--out", tmp_path / "out")
    (row,) = json.loads((tmp_path / "out" / "results.json").read_text())
    assert row["metrics"] == {"live": False}
