"""A notebook of one's own: the complete example of the docs, from its text to a sweep's page."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from click.testing import CliRunner

from helpers.cli import main
from helpers.errors import CourseError, ParameterError
from helpers.files import ROOT
from helpers.runs import make_runs, sweep
from helpers.runs.plan import plan_runs

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
