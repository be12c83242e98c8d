"""The repository keeps its promises: set-up files agree, notebooks are in form, nothing leaks."""

import html
import json
import re
import statistics
import subprocess
import sys
import tomllib

import nbformat
import pytest
from packaging.requirements import Requirement

from helpers.files import ROOT, notebooks_dir
from helpers.runs.html import export_html
from helpers.runs.metrics import collect_metrics, failed_checks
from helpers.runs.notebook import read_notebook
from helpers.runs.parameters import check_parameters
from helpers.runs.plan import fast_profile

NOTEBOOKS = sorted(notebooks_dir().glob("[0-9]*.ipynb"))
SOLUTIONS = sorted(notebooks_dir().glob("solutions/*.ipynb"))
EXECUTED = [*NOTEBOOKS, *SOLUTIONS]
TO_REWRITE = {"07_pretrained_networks", "08_parameter_sweeps"}
THREE_HINTS = {"05", "06"}  # lessons whose exercises have three hints each; the others have two
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
        check_parameters(read_notebook(path), profile[path.stem])


def code_of(path):
    return [cell for cell in cells(path) if cell["cell_type"] == "code"]


def prose_of(path):
    return "\n".join(source(cell) for cell in cells(path) if cell["cell_type"] == "markdown")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_lesson_is_in_form(path):
    text = path.read_text(encoding="utf-8")
    assert len(text) < 500_000
    code, prose = code_of(path), prose_of(path)
    tags = [set(cell["metadata"].get("tags", [])) for cell in code]
    assert sum("parameters" in t for t in tags) == 1
    taught = [
        sum(bool(line.strip()) for line in source(cell).splitlines())
        for cell, own in zip(code, tags, strict=True)
        if "hide" not in own
    ]
    assert statistics.median(taught) <= 6
    assert max(taught[1:]) <= 15  # the first one imports
    assert prose.startswith(f"# {path.stem[:2]} · ")
    assert len(re.findall(r"^# ", prose, re.MULTILINE)) == 1  # one title
    for part in ("You will learn", "You need", "Time", "take away"):
        assert part in prose, part
    assert f"exercises/{path.stem[:2]}_exercises.ipynb" in prose
    assert source(code[-1]).startswith("record(")
    assert "dataset=data.name" in source(code[-1])
    if path.stem not in TO_REWRITE:
        assert prose.count("*Remember:") >= 6
        assert len(re.findall(r"reveal\(\s*guess", "\n".join(map(source, code)))) >= 5
        assert sum(source(cell).startswith("choose(") for cell in code) == 5
        assert any("interact(" in source(cell) for cell in code)


def test_every_lesson_has_exercises_and_solutions():
    numbers = [name[:2] for name in NAMES]
    assert numbers == [f"{number:02}" for number in range(1, 9)]
    exercises = sorted(notebooks_dir().glob("exercises/*.ipynb"))
    assert [path.stem for path in exercises] == [f"{n}_exercises" for n in numbers]
    assert [path.stem for path in SOLUTIONS] == [f"{n}_solutions" for n in numbers]
    for path in exercises:
        assert not any(cell["outputs"] for cell in code_of(path))
        text = prose_of(path)
        count = len(re.findall(r"^## \d", text, flags=re.MULTILINE))
        hints = 3 if path.stem[:2] in THREE_HINTS else 2
        assert text.count("<summary>Hint") == hints * count


def test_links_between_notebooks_lead_somewhere():
    folders = ("*.ipynb", "exercises/*.ipynb", "solutions/*.ipynb")
    for path in (path for folder in folders for path in notebooks_dir().glob(folder)):
        for link in re.findall(r"\]\(((?!http)[^)#]+)\)", prose_of(path).replace("\n", " ")):
            assert (path.parent / link).exists(), f"{path.name}: {link}"


def terms_in(path) -> set[str]:
    """Return the terms in bold: without code, in the singular, in lower case."""
    prose = " ".join(re.sub(r"`[^`]*`", "", prose_of(path)).split())
    return {term.casefold() for term in re.findall(r"\*\*(.+?)\*\*", prose)}


def test_glossary_holds_every_term_once_and_where_it_is_introduced():
    text = (notebooks_dir() / "GLOSSARY.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \| (\d\d) \| (.+) \|$", text, flags=re.MULTILINE)
    terms = [term.casefold() for term, _, _ in rows]
    assert terms == sorted(set(terms))
    plurals = {"classes": "class"}
    for path in NOTEBOOKS:
        listed = {term.casefold() for term, number, _ in rows if number == path.stem[:2]}
        found = {plurals.get(t, t) for t in terms_in(path)}
        found = {t.removesuffix("s") if t.removesuffix("s") in listed else t for t in found}
        assert found == listed, f"{path.stem}: {sorted(found ^ listed)}"


@pytest.mark.parametrize("path", EXECUTED, ids=lambda path: path.stem)
def test_notebook_was_executed_and_passed(path):
    code = code_of(path)
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [o for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]
    shown = "\n".join("".join(o.get("text", "")) for o in outputs)
    assert "✓" in shown
    assert "✗" not in shown
    assert failed_checks({"cells": code}) == []
    assert not re.search(r"20\d\d-\d\d-\d\d \d\d:\d\d", shown)
    for output in outputs:
        for kind in {"image/png", "image/jpeg"} & set(output.get("data", {})):
            assert len(output["metadata"][kind]["alt"]) > 10


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_pages_describe_their_pictures(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    page = export_html(notebook, "page")
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pictures = [
        output.metadata[kind]["alt"]
        for output in outputs
        for kind in {"image/png", "image/jpeg"} & set(output.get("data", {}))
    ]
    described = re.findall(r'<img alt="([^"]+)"', page)
    assert [html.unescape(alt) for alt in described] == pictures


def test_pages_show_mathematics_without_network_and_hide_what_is_folded(tmp_path):
    page = export_html(nbformat.read(NOTEBOOKS[2], as_version=4), "page")
    assert page.count("<math") > 30
    assert not re.search(
        r"\$\\?[a-z]", re.sub(r"<(pre|code|script|style).*?</\1>", "", page, flags=re.S)
    )
    assert "open the one that you choose" in page
    assert "choose(" not in re.sub(r"<script.*?</script>", "", page, flags=re.S)


@pytest.mark.parametrize("name", ["03", "04", "05", "06", "experiments/train_classifier"])
def test_training_notebooks_record_by_the_same_names(name):
    (path,) = notebooks_dir().glob(f"{name}*.ipynb")
    assert {"val_accuracy", "test_accuracy"} <= set(collect_metrics({"cells": cells(path)}))


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
    assert all(f"notebooks/{path.name}" in readme for path in NOTEBOOKS)


def test_links_between_pages_lead_somewhere():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "data" / "README.md"]
    assert len(pages) > 5
    for page in pages:
        for link in re.findall(r"\]\((?!http|#)([^)]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link.partition("#")[0]).exists(), f"{page.name}: {link}"
