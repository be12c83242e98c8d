"""Runs of real notebooks in real kernels: parameters checked before, results honest after."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import nbformat
import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.errors import CourseError, ParameterError
from helpers.files import notebooks_dir, write_atomically
from helpers.runs import record
from helpers.runs.execute import run_notebook
from helpers.runs.keys import changes, keyed_runs
from helpers.runs.metrics import MEDIA_TYPE, collect_metrics
from helpers.runs.notebook import read_notebook
from helpers.runs.parameters import check_parameters, parse_assignments
from helpers.runs.report import find_fallbacks, run_notebooks, write_report
from helpers.runs.results import Run, RunResult, result_of
from helpers.training import Plan

PARAMETERS = """\
dataset: str = "digits"  # which
n_samples: Optional[int] = None  # how many
learning_rate: float = 0.1  # how fast
layers: list[int] = [32, 64]
shuffle: bool = True
"""


def notebook(path: Path, *cells: str, parameters: str = PARAMETERS) -> Path:
    tagged = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    first = nbformat.v4.new_code_cell("from typing import Optional")
    content = nbformat.v4.new_notebook(
        cells=[first, tagged, *map(nbformat.v4.new_code_cell, cells)]
    )
    content.metadata.kernelspec = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    nbformat.write(content, path)
    return path


# Parameters --------------------------------------------------------------------------------------


@pytest.fixture
def example(tmp_path):
    return notebook(tmp_path / "example.ipynb")


def run_of(path, parameters=None):
    return Run(read_notebook(path), parameters or {})


def test_read_notebook(example):
    known = read_notebook(example).parameters
    assert list(known) == ["dataset", "n_samples", "learning_rate", "layers", "shuffle"]
    assert known["n_samples"].annotation == "Optional[int]"
    assert known["layers"].default == [32, 64]


@pytest.mark.parametrize(
    ("given_value", "expected"),
    [
        ({"dataset": "10"}, "10"),
        ({"dataset": Path("a/b")}, str(Path("a/b"))),
        ({"n_samples": "500"}, 500),
        ({"n_samples": "None"}, None),
        ({"n_samples": "null"}, None),
        ({"n_samples": np.int64(3)}, 3),
        ({"learning_rate": "1e-3"}, 0.001),
        ({"learning_rate": "1"}, 1.0),
        ({"learning_rate": np.float32(0.5)}, 0.5),
        ({"layers": "[1, 2]"}, [1, 2]),
        ({"layers": (1, np.int32(2))}, [1, 2]),
        ({"shuffle": "false"}, False),
        ({"shuffle": np.bool_(True)}, True),
    ],
)
def test_values_that_fit(example, given_value, expected):
    (found,) = check_parameters(read_notebook(example), given_value).values()
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("given_value", "parts"),
    [
        ({"n_sample": "5"}, ["no parameter 'n_sample'", "Did you mean 'n_samples'?"]),
        ({"n_samples": "abc"}, ["n_samples='abc'", "expected Optional[int]"]),
        ({"n_samples": "1.5"}, ["expected Optional[int]"]),
        ({"n_samples": True}, ["expected Optional[int]"]),
        ({"n_samples": "True"}, ["expected Optional[int]"]),
        ({"learning_rate": "fast"}, ["expected float", "0.1"]),
        ({"learning_rate": "nan"}, ["expected float"]),
        ({"learning_rate": float("inf")}, ["expected float"]),
        ({"layers": "[1, 'a']"}, ["expected list[int]"]),
        ({"layers": "32"}, ["expected list[int]"]),
        ({"shuffle": "1"}, ["expected bool"]),
        ({"dataset": 5}, ["expected str"]),
        ({"dataset": None}, ["expected str"]),
        ({"layers": np.zeros(3)}, ["expected list[int]"]),
        ({"n_samples": object()}, ["expected Optional[int]"]),
        ({"learning_rate": "1" + "0" * 400}, ["expected float"]),
        ({"dataset": "\udcff"}, ["expected str"]),
    ],
)
def test_values_that_do_not_fit(example, given_value, parts):
    with pytest.raises(ParameterError) as caught:
        check_parameters(read_notebook(example), given_value)
    for part in ["example.ipynb", *parts]:
        assert part in str(caught.value)


@given(st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False)))
def test_numbers_survive_the_command_line(value):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = notebook(Path(folder) / "n.ipynb", parameters="x: float = 0.0\n")
        known = read_notebook(path)
    assert check_parameters(known, {"x": repr(value)}) == {"x": float(value)}


@pytest.mark.parametrize(
    "line", ["x = f(1)", "x: int", "x: set = {1}", "x: int = int('1')", "import os", "x = y = 1"]
)
def test_parameter_lines_that_cannot_be_checked(tmp_path, line):
    with pytest.raises(ParameterError, match="name: type = default"):
        read_notebook(notebook(tmp_path / "n.ipynb", parameters=line))


@pytest.mark.parametrize(
    ("line", "given_value", "expected"),
    [
        ("C = 1.0  # inverse of the penalty", "3", 3.0),
        ("n = 5", "7", 7),
        ("name = 'a'", "b", "b"),
        ("flag = True", "false", False),
        ("sizes = (1, 2)", "[3]", [3]),
        ("options = {'a': 1}", "{'b': (2,)}", {"b": [2]}),
        ("anything = None", "0.5", 0.5),
        ("rate: dict = {}", "{}", {}),
    ],
)
def test_parameters_as_papermill_has_them(tmp_path, line, given_value, expected):
    known = read_notebook(notebook(tmp_path / "n.ipynb", parameters=f"# of the run\n{line}\n"))
    (name,) = known.parameters
    assert check_parameters(known, {name: given_value}) == {name: expected}


def test_an_untyped_parameter_has_the_type_of_its_default(tmp_path):
    known = read_notebook(notebook(tmp_path / "n.ipynb", parameters="n = 5"))
    with pytest.raises(ParameterError, match="expected int, such as 5"):
        check_parameters(known, {"n": "2.5"})


def test_two_cells_of_parameters_are_refused(tmp_path):
    path = notebook(tmp_path / "n.ipynb", parameters="x: int = 2\n")
    content = json.loads(path.read_text())
    content["cells"] += [cell for cell in content["cells"] if cell["metadata"].get("tags")]
    path.write_text(json.dumps(content))
    with pytest.raises(ParameterError, match="2 cells are tagged 'parameters'"):
        read_notebook(path)


def test_parameters_of_an_earlier_run_do_not_count(tmp_path):
    body = "from helpers.runs import record\nrecord(x=x)"
    path = notebook(tmp_path / "n.ipynb", body, parameters="x: int = 2\n")
    first = run_notebook(Run(read_notebook(path), {"x": 7}), tmp_path / "first")
    assert first["metrics"]["x"] == 7
    with pytest.warns(UserWarning, match="of an earlier run is left out"):
        again = read_notebook(tmp_path / "first" / "n.ipynb")
    second = run_notebook(Run(again), tmp_path / "second")
    assert (second["metrics"]["x"], second["parameters"]) == (2, {})


def test_modules_beside_the_notebook_belong_to_the_key(tmp_path):
    (tmp_path / "deeper").mkdir()
    (tmp_path / "mylib.py").write_text("import deeper.part")
    (tmp_path / "deeper" / "__init__.py").write_text("")
    (tmp_path / "deeper" / "part.py").write_text("VALUE = 1")
    (tmp_path / "other.py").write_text("VALUE = 1")
    path = notebook(tmp_path / "n.ipynb", "import mylib")

    def key():
        ((key, run),) = keyed_runs([Run(read_notebook(path))]).items()
        return key, run.depends

    before, depends = key()
    (tmp_path / "other.py").write_text("VALUE = 2")
    assert key()[0] == before
    (tmp_path / "deeper" / "part.py").write_text("VALUE = 2")
    after, now = key()
    assert after != before
    assert changes(depends, now) == ["the module deeper"]


def test_words_that_can_be_no_modules_are_passed_over(tmp_path):
    (tmp_path / "sealed").mkdir(mode=0)
    path = notebook(tmp_path / "n.ipynb", f"import sealed\n# {'x' * 300} {'あ' * 100} 123 helpers")
    ((_, run),) = keyed_runs([Run(read_notebook(path))]).items()
    assert run.depends["modules"] == {}


@pytest.mark.parametrize("line", ["x = [b'a']", "x = {(1, 2): 3}", "x = 1j"])
def test_defaults_that_no_record_holds_are_refused(tmp_path, line):
    with pytest.raises(ParameterError, match="name: type = default"):
        read_notebook(notebook(tmp_path / "n.ipynb", parameters=line))


def test_magic_among_the_parameters(tmp_path):
    with pytest.raises(ParameterError, match="line 1 of the parameters cell is not plain Python"):
        read_notebook(notebook(tmp_path / "n.ipynb", parameters="%matplotlib inline"))


def test_optional_text(tmp_path):
    path = notebook(tmp_path / "n.ipynb", parameters='d: Optional[str] = "a"\n')
    assert check_parameters(read_notebook(path), {"d": "None"}) == {"d": None}


@pytest.mark.parametrize(
    "content",
    [
        *("", "{}", "[]", "not json", '{"cells": null}', '{"cells": [1]}'),
        *('{"cells": []}', '{"cells": [], "nbformat": 3}'),
    ],
)
def test_files_that_are_no_notebooks(tmp_path, content):
    (tmp_path / "n.ipynb").write_text(content)
    with pytest.raises(ParameterError, match="not a readable notebook"):
        read_notebook(tmp_path / "n.ipynb")


def test_assignments():
    assert parse_assignments(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    for wrong in (["a"], ["=1"], ["1a=2"], ["a=1", "a=2"]):
        with pytest.raises(ParameterError):
            parse_assignments(wrong)


# Metrics -----------------------------------------------------------------------------------------


def test_record_normalises():
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    InteractiveShell.instance()
    with capture_output() as shown:
        record(a=np.float32(0.5), b=np.int64(3), c=float("nan"), d="x", e=None, f=np.bool_(True))
    (output,) = shown.outputs
    recorded = {"a": 0.5, "b": 3, "c": None, "d": "x", "e": None, "f": True}
    assert output.data[MEDIA_TYPE] == recorded
    assert "a = 0.5" in output.data["text/plain"]
    with pytest.raises(CourseError, match="expected a number"):
        record(a=[1, 2])
    with pytest.raises(CourseError, match="too large for a float"):
        record(a=10**400)


def test_record_keeps_the_plan_that_a_training_used():
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    InteractiveShell.instance()
    plan = Plan("GPU:0", "mixed_bfloat16")
    with capture_output() as shown:
        record(a=1, plan=plan)
    (output,) = shown.outputs
    assert output.data[MEDIA_TYPE] == {"a": 1}
    about = output.metadata[MEDIA_TYPE]
    assert about["device"] == "GPU:0"
    assert about["plan"] == str(plan)


def test_later_metrics_win():
    outputs = [
        {"data": {MEDIA_TYPE: {"a": 1, "b": 2}}},
        {"text": "x"},
        {"data": {MEDIA_TYPE: {"a": 3}}},
    ]
    assert collect_metrics({"cells": [{"outputs": outputs}, {}]}) == {"a": 3, "b": 2}


# Runs --------------------------------------------------------------------------------------------

RECORD = "from helpers.runs import record\nrecord(dataset=dataset, n=n_samples, rate=learning_rate)"


def kernels() -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "ipykernel_launcher" in command and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def children_of(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def test_runs_are_honest(tmp_path, capsys):
    fine = notebook(tmp_path / "fine.ipynb", RECORD)
    error = notebook(tmp_path / "error.ipynb", RECORD, "raise ValueError('too\\nbad')", RECORD)
    dead = notebook(tmp_path / "dead.ipynb", RECORD, "import os; os._exit(1)")
    failed = notebook(
        tmp_path / "check.ipynb",
        "from helpers.classroom import check\ncheck(1 > 2, 'order', 'see')",
    )
    runs = [run_of(fine, {"n_samples": 7}), run_of(error), run_of(dead), run_of(failed)]
    results = run_notebooks(runs, tmp_path / "out", jobs=2)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 4
    assert any(line.endswith("dataset=digits, n=7, rate=0.1") for line in said)
    assert "✗ check" in "\n".join(said)
    by_name = {result["notebook"]: result for result in results}
    assert [result["notebook"] for result in results] == ["fine", "error", "dead", "check"]
    assert by_name["fine"]["status"] == "succeeded"
    assert by_name["fine"]["dataset"] == "digits"
    assert by_name["fine"]["metrics"] == {"n": 7, "rate": 0.1}
    assert by_name["error"]["status"] == "failed"
    assert by_name["error"]["error"] == "ValueError: too bad (In [4])"
    assert by_name["error"]["metrics"] == {"n": None, "rate": 0.1}
    assert by_name["dead"]["error"] == "the kernel died (out of memory, or killed)"
    assert by_name["check"]["error"] == "check failed: order: see"
    out = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"fine.ipynb", "fine.html", "error.html", "dead.ipynb"} <= out
    assert [name for name in out if name.startswith(".")] == [".lock"]
    index = tmp_path / "out" / "index.html"
    summary = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [row["status"] for row in summary] == ["succeeded", "failed", "failed", "failed"]
    assert summary == results
    assert set(summary[0]) == set(RunResult.__annotations__)
    assert by_name["error"]["cell"] == 3
    assert by_name["error"]["traceback"].endswith("ValueError: too\nbad")
    assert "\x1b" not in by_name["error"]["traceback"]
    assert by_name["dead"]["traceback"] is None
    assert 20 < by_name["fine"]["peak_memory_mb"] < 5000
    page = index.read_text()
    for part in ('href="fine.html"', "✓", "ValueError: too bad", "1 of 4", "rate"):
        assert part in page


def test_a_run_ends_early_only_as_a_failure(tmp_path):
    left = notebook(tmp_path / "left.ipynb", RECORD, "import sys; sys.exit(0)", RECORD)
    allowed = notebook(tmp_path / "allowed.ipynb", "1 / 0", RECORD)
    content = json.loads(allowed.read_text())
    content["cells"][2]["metadata"]["tags"] = ["raises-exception"]
    allowed.write_text(json.dumps(content))
    first, second = run_notebooks([run_of(left), run_of(allowed)], tmp_path / "out")
    assert (first["status"], first["error"]) == ("failed", "SystemExit: 0 (In [4])")
    assert (second["status"], second["error"]) == ("succeeded", None)


def test_an_error_that_is_shown_is_a_failure(tmp_path):
    (tmp_path / "bad.py").write_text("1 / 0\n")
    shown = notebook(tmp_path / "shown.ipynb", f"%run {tmp_path / 'bad.py'}", RECORD)
    (result,) = run_notebooks([run_of(shown)], tmp_path / "out")
    assert (result["status"], result["cell"]) == ("failed", 2)
    assert result["error"] == "ZeroDivisionError: division by zero (In [3])"
    assert result["traceback"].endswith("ZeroDivisionError: division by zero")


def test_outputs_that_get_lost_fail_the_run(tmp_path, monkeypatch):
    from jupyter_client.channels import AsyncZMQSocketChannel

    received = AsyncZMQSocketChannel.get_msg

    async def losing(self, *args, **options):
        while True:
            message = await received(self, *args, **options)
            idle = message["content"].get("execution_state") == "idle"
            if not (idle and message["parent_header"].get("msg_type") == "execute_request"):
                return message

    monkeypatch.setattr(AsyncZMQSocketChannel, "get_msg", losing)
    lossy = notebook(tmp_path / "lossy.ipynb", RECORD)
    (result,) = run_notebooks([run_of(lossy)], tmp_path / "out")
    assert (result["status"], result["error"]) == ("failed", "a cell's outputs were lost")


def test_what_a_run_has_shown_is_kept_when_its_kernel_dies(tmp_path):
    dead = notebook(tmp_path / "dead.ipynb", "print('so far')", "import os; os._exit(1)")
    (result,) = run_notebooks([run_of(dead, {"n_samples": 7})], tmp_path / "out")
    assert result["status"] == "failed"
    cells = json.loads((tmp_path / "out" / "dead.ipynb").read_text())["cells"]
    assert [cell["metadata"].get("tags") for cell in cells][2] == ["injected-parameters"]
    assert cells[3]["outputs"][0]["text"] == ["so far\n"]
    assert "so far" in (tmp_path / "out" / "dead.html").read_text()


def test_plain_papermill_runs_a_notebook(tmp_path):
    import papermill

    source = notebook(tmp_path / "n.ipynb", RECORD)
    done = papermill.execute_notebook(
        source, tmp_path / "o.ipynb", {"n_samples": 3}, progress_bar=False
    )
    assert collect_metrics(done)["n"] == 3
    # Its own parser must know every parameter, or it warns of each that is passed.
    for path in notebooks_dir().glob("*.ipynb"):
        assert set(papermill.inspect_notebook(path)) == set(read_notebook(path).parameters)


def test_cell_timeout(tmp_path):
    slow = notebook(tmp_path / "slow.ipynb", "import time\ntime.sleep(60)")
    before = children_of(os.getpid())  # a server of another test's processes, maybe
    start = time.monotonic()
    (result,) = run_notebooks([run_of(slow)], tmp_path / "out", timeout=2)
    assert (result["status"], result["error"]) == ("failed", "a cell took longer than 2 s")
    assert time.monotonic() - start < 40
    assert set(children_of(os.getpid())) <= set(before)


def test_paths_with_braces_and_spaces(tmp_path):
    folder = tmp_path / "a {n} b"
    folder.mkdir()
    (result,) = run_notebooks([run_of(notebook(folder / "{x}.ipynb", RECORD))], folder / "out {y}")
    assert result["status"] == "succeeded", result["error"]
    assert (folder / "out {y}" / "{x}.html").exists()


def test_a_result_that_cannot_be_written_ends_nothing_else(tmp_path):
    bad = f"from IPython.display import display\ndisplay({{{MEDIA_TYPE!r}: [1]}}, raw=True)"
    odd = notebook(tmp_path / "odd.ipynb", bad)
    blocked = notebook(tmp_path / "blocked.ipynb", RECORD)
    fine = notebook(tmp_path / "fine.ipynb", RECORD)
    (tmp_path / "out" / "blocked.ipynb").mkdir(parents=True)
    results = run_notebooks([run_of(odd), run_of(blocked), run_of(fine)], tmp_path / "out")
    assert [result["status"] for result in results] == ["succeeded", "failed", "succeeded"]
    assert "no result could be written" in results[1]["error"]


def test_same_name_twice(tmp_path):
    path = notebook(tmp_path / "n.ipynb")
    with pytest.raises(CourseError, match="n is given twice"):
        run_notebooks([run_of(path), run_of(path)], tmp_path / "out")


@pytest.mark.parametrize(
    "prose", ["$x_$", "$\\\\frac{1}{$ and $$", "costs 5$ or $\\\\left($", "$^$"]
)
def test_prose_that_is_no_mathematics_fails_no_run(tmp_path, prose):
    path = notebook(tmp_path / "n.ipynb", "from helpers.runs import record\nrecord(x=1)")
    content = nbformat.read(path, as_version=4)
    content.cells.append(nbformat.v4.new_markdown_cell(f"Here is {prose} and $x_1$."))
    nbformat.write(content, path)
    result = run_notebook(Run(read_notebook(path)), tmp_path / "out")
    assert (result["error"], result["metrics"]) == (None, {"x": 1})
    assert "<msub>" in (tmp_path / "out" / "n.html").read_text()


HOSTILE = (
    "<script>document.title = 'ran'</script>",
    "<img src=x onerror=\"document.title = 'ran'\">",
    "<img src='URL/seen'><iframe src='URL/seen'></iframe><object data='URL/seen'></object>",
    "<meta http-equiv='refresh' content='0; url=URL/seen'><base href='URL/'>",
    "<link rel='stylesheet' href='URL/seen'><style>@import 'URL/seen'; * { display: none }</style>",
    "<div style='background: url(URL/seen); position: fixed; inset: 0'>over all</div>",
    "<a href=\"javascript:document.title='ran'\" id=trap>a</a><form action='URL/seen'></form>",
    "<svg onload=\"document.title = 'ran'\"><script>document.title = 'ran'</script></svg>",
    "<svg><style><img src=x onerror=\"document.title = 'ran'\"></style></svg>",
    "<math><mtext><table><mglyph><style><!--</style>"
    "<img title=\"--&gt;&lt;img src=x onerror=document.title='ran'&gt;\">",
    "$\\text{<script>document.title = 'ran'</script>}$ $<img src=x onerror=document.title=1>$",
    "[a](javascript:document.title='ran') ![x](URL/seen)",
)


def test_nothing_of_a_notebook_runs_in_the_browser_of_who_reads_its_page(tmp_path, browser, server):
    """The page of somebody else's notebook runs nothing, and asks for nothing."""
    hostile = [text.replace("URL", server.url) for text in HOSTILE]
    code = (
        "from IPython.display import HTML, Javascript, Latex, Markdown, SVG, display\n"
        f"for text in {hostile!r}:\n"
        "    display(HTML(text), Markdown(text), Latex(text))\n"
        "display(Javascript('document.title = 3'), metadata={'tags': ['\"><script>']})\n"
        'display(SVG(\'<svg xmlns="http://www.w3.org/2000/svg" onload="document.title = 4"/>\'))'
    )
    path = notebook(tmp_path / "n.ipynb", code)
    content = nbformat.read(path, as_version=4)
    for text in hostile:
        content.cells += [nbformat.v4.new_raw_cell(text), nbformat.v4.new_markdown_cell(text)]
    attached = nbformat.v4.new_markdown_cell("![x](attachment:x.png)")
    attached["attachments"] = {"x.png": {"image/png": '"><script>document.title = 5</script>'}}
    content.cells += [attached, nbformat.v4.new_markdown_cell("**safe** $x_1$ and `code`")]
    content.cells[-1].metadata["tags"] = ['"><script>document.title = 6</script>']
    nbformat.write(content, path)
    assert run_notebook(Run(read_notebook(path)), tmp_path / "out")["error"] is None
    page = tmp_path / "out" / "n.html"
    text = page.read_text(encoding="utf-8")
    assert "<strong>safe</strong>" in text
    assert "<msub>" in text
    bare = text.replace(re.search(r"<meta[^>]*Content-Security-Policy[^>]*>", text)[0], "")
    assert bare != text
    # Each of the two walls holds alone: what is left of the cells, and what the page forbids.
    for name, content in (("n.html", text), ("bare.html", bare)):
        page.with_name(name).write_text(content, encoding="utf-8")
        browser.get(page.with_name(name).as_uri())
        time.sleep(1)
        assert browser.title == "n"
        assert browser.current_url == page.with_name(name).as_uri()
    if traps := browser.find_elements("id", "trap"):
        browser.execute_script("arguments[0].click()", traps[0])
        assert browser.title == "n"
    assert "https://cdn" not in text
    assert "over all" in browser.find_element("tag name", "body").text


def test_no_escape_sequence_of_an_error_reaches_the_terminal(tmp_path):
    hostile = r"'\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b[2J \x1bc \x9b1m \x08\x08 \rover'"
    path = notebook(tmp_path / "n.ipynb", f"raise ValueError({hostile})")
    result = run_notebook(Run(read_notebook(path)), tmp_path / "out")
    assert "ValueError: red" in result["error"]
    assert all(c.isprintable() or c == "\n" for c in result["error"] + result["traceback"])


def test_what_no_run_has_written_is_not_written_over(tmp_path):
    out = tmp_path / "out"
    path = notebook(tmp_path / "n.ipynb", RECORD)
    for _ in range(2):  # its own results may be
        assert run_notebooks([run_of(path)], out, progress=False)[0]["status"] == "succeeded"
    answers = out / "n.ipynb"
    content = json.loads(answers.read_text())
    content["cells"][-1]["source"] = "answer = 42"
    answers.write_text(json.dumps(content))
    with pytest.raises(CourseError, match=r"n\.ipynb is there already"):
        run_notebooks([run_of(path)], out, progress=False)
    assert "answer = 42" in answers.read_text()


@pytest.mark.parametrize("name", ["n.ipynb", "n.html", "index.html", "results.json", "results.csv"])
def test_foreign_files_are_not_written_over(tmp_path, name):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("[1]")
    with pytest.raises(CourseError, match=f"{name} is there already"):
        run_notebooks([run_of(notebook(tmp_path / "n.ipynb", RECORD))], out, progress=False)
    assert [p.name for p in out.iterdir()] == [name]


def test_a_notebook_is_not_written_over(tmp_path):
    path = notebook(tmp_path / "n.ipynb", RECORD)
    before = path.read_bytes()
    with pytest.raises(CourseError, match=r"n\.ipynb would be written over"):
        run_notebooks([run_of(path)], tmp_path)
    assert path.read_bytes() == before
    index = notebook(tmp_path / "index.ipynb", RECORD)
    with pytest.raises(CourseError, match=r"index.ipynb would share index.html"):
        run_notebooks([run_of(index)], tmp_path / "out")


def test_odd_figures_reach_the_page(tmp_path):
    run = run_of(notebook(tmp_path / "a#1.ipynb", "record", parameters="dataset: int = 5"))
    found = {"dataset": "digits", "metrics": {"test_accuracy": None, "test_loss": "none"}}
    (tmp_path / "a#1.html").write_text("executed")
    write_report([result_of(run, "succeeded", None, **found)], tmp_path)
    page = tmp_path / "index.html"
    assert 'href="a%231.html"' in page.read_text()


def course(*arguments, **options):
    command = [sys.executable, "-m", "helpers", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def test_a_kernel_that_cannot_start_leaves_nothing_for_the_end(tmp_path):
    (tmp_path / "file").write_text("no folder")
    environment = os.environ | {"JUPYTER_RUNTIME_DIR": str(tmp_path / "file")}
    path = notebook(tmp_path / "n.ipynb", RECORD)
    process = course("run", path, "--out", tmp_path / "out", env=environment)
    said = process.communicate(timeout=60)
    assert process.returncode == 1, said
    assert "FileExistsError" in str(said)
    assert "atexit" not in str(said)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(
    "sent",
    [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT] * 3],
    ids=["Ctrl-C", "kill", "impatient"],
)
def test_interrupt_leaves_no_kernel_and_no_part(tmp_path, sent):
    started = tmp_path / "started"
    for name in ("a", "b", "c"):
        notebook(
            tmp_path / f"{name}.ipynb",
            f"open({str(started)!r} + {name!r}, 'w').close()\nimport time\ntime.sleep(600)",
        )
    out = tmp_path / "out"
    names = [tmp_path / f"{name}.ipynb" for name in ("a", "b", "c")]
    process = course("run", *names, "--jobs", 2, "--out", out)
    deadline = time.monotonic() + 60
    while not all(Path(f"{started}{n}").exists() for n in "ab") and time.monotonic() < deadline:
        time.sleep(0.05)
    descendants = children_of(process.pid)
    assert len(descendants) >= 2
    for number in sent:
        process.send_signal(number)
        time.sleep(0.05)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    _, alive = psutil.wait_procs(descendants, timeout=10)
    assert alive == []
    summary = json.loads((out / "results.json").read_text())
    assert [row["status"] for row in summary] == ["interrupted"] * 3
    assert [path.name for path in out.glob(".*")] == [".lock"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("ignored", [True, False], ids=["nohup", "plain"])
def test_a_terminal_that_closes_ends_a_run_but_for_nohup(tmp_path, ignored):
    begun, going_on = tmp_path / "begun", tmp_path / "going_on"
    code = f"""
        import time
        from pathlib import Path
        Path({str(begun)!r}).touch()
        while not Path({str(going_on)!r}).exists():
            time.sleep(0.05)
        """
    path = notebook(tmp_path / "n.ipynb", textwrap.dedent(code))
    action = signal.SIG_IGN if ignored else signal.SIG_DFL
    process = course(
        "run", path, "--out", tmp_path / "out",
        preexec_fn=lambda: signal.signal(signal.SIGHUP, action),
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not begun.exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGHUP)
        if not ignored:
            assert process.wait(60) == 130
    finally:
        going_on.touch()
        said = process.communicate(timeout=60)
    assert process.returncode == (0 if ignored else 130), said


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
@pytest.mark.parametrize("reader", ["2>&1 | true", "| true", "2>&1 | head -1"])
def test_reader_that_goes_away(tmp_path, reader):
    paths = [notebook(tmp_path / f"{name}.ipynb", RECORD) for name in "ab"]
    command = (
        f"{sys.executable} -m helpers run {paths[0]} {paths[1]} --out {tmp_path / 'out'} {reader}"
    )
    subprocess.run(command, shell=True, timeout=60, check=False, capture_output=True)
    summary = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [row["status"] for row in summary] == ["succeeded"] * 2


def test_terminal_without_unicode(tmp_path):
    path = notebook(tmp_path / "n.ipynb", RECORD)
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    process = course("run", path, "--out", tmp_path / "out", env=environment)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert stdout.startswith("? n ")


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_killed_run_leaves_no_kernel(tmp_path):
    started = tmp_path / "started"
    path = notebook(
        tmp_path / "n.ipynb",
        f"open({str(started)!r}, 'w').close()\nimport time\nwhile True: time.sleep(0.1)",
    )
    process = course("run", path, "--out", tmp_path / "out")
    deadline = time.monotonic() + 60
    while not started.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    descendants = children_of(process.pid)
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(descendants, timeout=20)  # kernels watch their parent
    assert alive == []
    assert not (tmp_path / "out" / "results.json").exists()
    assert not (tmp_path / "out" / "n.ipynb").exists()


def test_index_tells_a_fallback(tmp_path):
    path = notebook(tmp_path / "n.ipynb", parameters='dataset: str = "mnist"')

    def used(name, **parameters):
        run = run_of(path, parameters)
        return [result_of(run, "succeeded", None, dataset=name)]

    assert find_fallbacks(used("digits")) == [("mnist", "digits")]
    write_report(used("digits"), tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert "<b>digits</b> was used instead of <b>mnist</b>" in page
    assert find_fallbacks(used("digits", dataset="x/digits.npz")) == []
    assert find_fallbacks(used("photos.v2", dataset="x/photos.v2")) == []


def test_atomic_write(tmp_path):
    path = tmp_path / "deep" / "file.json"
    write_atomically(path, "first")
    with pytest.raises(TypeError):
        write_atomically(path, 5)
    assert path.read_text() == "first"
    write_atomically(path, "second")
    assert path.read_text() == "second"
    assert [p.name for p in path.parent.iterdir()] == ["file.json"]
