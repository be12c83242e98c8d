"""The repository keeps its promises: set-up files agree, notebooks are in form, nothing leaks."""

import html
import json
import re
import subprocess
import sys
import tomllib

import nbformat
import pytest
from packaging.requirements import Requirement

from helpers.files import ROOT, notebooks_dir
from helpers.runs.parameters import check_parameters, read_parameters
from helpers.runs.report import write_html
from helpers.runs.select import fast_profile

NOTEBOOKS = sorted(notebooks_dir().glob("*.ipynb"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
NAMES = [path.stem for path in NOTEBOOKS]


def cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def source(cell) -> str:
    return "".join(cell["source"])


def test_environment_and_pyproject_agree():
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    listed = re.findall(r"^      - (.*)$", text, flags=re.MULTILINE)
    assert sorted(listed[:-1]) == sorted(PROJECT["dependencies"])
    assert listed[-1] == "-e ."
    assert f"python{PROJECT['requires-python']}" in text


def test_lock_satisfies_pyproject():
    versions: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", LOCK, flags=re.MULTILINE):
        versions.setdefault(name.lower(), []).append(version)
    for text in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]:
        requirement = Requirement(text)
        assert requirement.name in versions, requirement.name
        assert all(requirement.specifier.contains(v) for v in versions[requirement.name])


def test_lock_has_hashes_and_names_no_host():
    assert "://" not in LOCK
    blocks = re.split(r"^(?=[\w.-]+==)", LOCK, flags=re.MULTILINE)[1:]
    assert len(blocks) > 100
    assert all("--hash=sha256:" in block for block in blocks)


def test_nothing_names_this_machine_or_a_registry():
    """Lock files and notebook outputs are where such names slip in."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert "Makefile" in listed
    hosts = "|".join(("py" + "pi", "python" + "hosted", "npm" + "js"))
    leak = re.compile(rf"({hosts})\.(org|com)|/ro{'ot'}/|/wo{'rk'}/|/home/[a-z]")
    for name in listed:
        path = ROOT / name
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="ignore")
            assert not leak.search(text), f"{name}: {leak.search(text)}"


def test_notebooks_are_the_text():
    done = subprocess.run(
        [sys.executable, notebooks_dir() / "build.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_fast_profile_fits():
    profile = fast_profile()
    assert set(profile) == set(NAMES)
    for path in NOTEBOOKS:
        check_parameters(path, profile[path.stem], read_parameters(path))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_notebook_is_in_form(path):
    text = path.read_text(encoding="utf-8")
    assert len(text) < 500_000
    code = [cell for cell in cells(path) if cell["cell_type"] == "code"]
    tags = [set(cell["metadata"].get("tags", [])) for cell in code]
    assert sum("parameters" in t for t in tags) == 1
    assert sum("exercise" in t for t in tags) >= 2
    assert sum("exercise" in t for t in tags) == sum("solution" in t for t in tags)
    lengths = [source(cell).count("\n") + 1 for cell in code]
    assert max(lengths) <= 25
    prose = "\n".join(source(cell) for cell in cells(path) if cell["cell_type"] == "markdown")
    assert prose.startswith("# ")
    for part in (
        "You will learn",
        "You need",
        "Time",
        "**Predict before you run",
        "take away",
        "Next",
    ):
        assert part in prose, part
    assert prose.count("<summary>Hint</summary>") >= 2
    assert source(code[-1]).startswith("record(")
    assert "dataset=data.name" in source(code[-1])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_notebook_was_executed_and_passed(path):
    code = [cell for cell in cells(path) if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [o for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]
    shown = "\n".join("".join(o.get("text", "")) for o in outputs)
    assert "✓" in shown
    assert "✗" not in shown
    assert not re.search(r"20\d\d-\d\d-\d\d \d\d:\d\d", shown)
    for output in outputs:
        for kind in {"image/png", "image/jpeg"} & set(output.get("data", {})):
            assert len(output["metadata"][kind]["alt"]) > 10


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_pages_describe_their_pictures(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    write_html(notebook, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pictures = [
        output.metadata[kind]["alt"]
        for output in outputs
        for kind in {"image/png", "image/jpeg"} & set(output.get("data", {}))
    ]
    described = re.findall(r'<img alt="([^"]+)"', page)
    assert [html.unescape(alt) for alt in described] == pictures


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_every_parameter_has_a_comment(path):
    (tagged,) = [c for c in cells(path) if "parameters" in c["metadata"].get("tags", [])]
    for line in source(tagged).splitlines():
        assert re.match(r"\w+: [\w\[\]]+ = \S+  # .+", line), line


def test_readme_commands_exist():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"^make (\w+)", readme, flags=re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    for link in re.findall(r"\]\((?!http)([^)]+)\)", readme):
        assert (ROOT / link.partition("#")[0]).exists(), link
    assert all(f"notebooks/{path.name}" in readme for path in NOTEBOOKS)
