"""Make the notebooks from their text: source/NAME.py in, an executed NAME.ipynb out.

A text of exercises makes two: the stubs that a student opens, and the solutions, executed.

python notebooks/build.py              every notebook
python notebooks/build.py 01 02        some
python notebooks/build.py --check      only compare the .ipynb files with their text
"""

import argparse
import copy
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from helpers.files import write_atomically
from helpers.runs.execute import QUIET_KERNEL
from helpers.runs.metrics import collect_metrics, failed_checks
from helpers.runs.notebook import read_notebook

import jupytext
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
FOUND = ("*.ipynb", "experiments/*.ipynb", "exercises/*.ipynb", "solutions/*.ipynb")
WIDGET = "application/vnd.jupyter.widget-view+json"


def sources() -> list[Path]:
    """Return the texts of all notebooks: the experiments, which a lesson runs, come first."""
    texts = HERE / "source"
    patterns = ("experiments/*.py", "[0-9]*.py", "exercises/*.py", "index.py")
    return [path for pattern in patterns for path in sorted(texts.glob(pattern))]


def read_text(source: Path) -> nbformat.NotebookNode:
    """Read a py:percent file as a notebook without outputs, the same every time."""
    notebook = jupytext.read(source, fmt="py:percent")
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {
                "display_name": "Python 3 (ipykernel)",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python"},
        }
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:03}"
        cell.source = cell.source.replace("  # fmt: skip", "")  # for the formatter of the text
        tags = cell.metadata.get("tags", [])
        metadata: dict[str, Any] = {"tags": tags} if tags else {}
        if "hide" in tags:  # JupyterLab folds its code
            metadata["jupyter"] = {"source_hidden": True}
        cell.metadata = nbformat.from_dict(metadata)
    return notebook


def without(notebook: nbformat.NotebookNode, *unwanted: str) -> nbformat.NotebookNode:
    """Return a notebook without the cells that have one of these tags."""
    rest = copy.deepcopy(notebook)
    rest.cells = [c for c in rest.cells if not set(unwanted) & set(c.metadata.get("tags", []))]
    return rest


def notebooks_of(source: Path) -> dict[Path, tuple[nbformat.NotebookNode, bool]]:
    """Return what a text makes: file to notebook, and whether it is executed."""
    notebook = read_text(source)
    if source.parent.name != "exercises":
        target = (HERE / source.relative_to(HERE / "source")).with_suffix(".ipynb")
        return {target: (notebook, True)}
    solved = without(notebook, "stub", "wrong")
    solved.cells[0].source = solved.cells[0].source.replace("Exercises", "Solutions", 1)
    name = source.stem.replace("exercises", "solutions")
    return {
        HERE / "exercises" / f"{source.stem}.ipynb": (
            without(notebook, "solution", "wrong"),
            False,
        ),
        HERE / "solutions" / f"{name}.ipynb": (solved, True),
    }


def execute(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Run every cell in place, with the default parameters, leaving no time stamp behind."""
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=600,
        record_timing=False,
        extra_arguments=QUIET_KERNEL,
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    notebook.metadata.language_info = nbformat.from_dict({"name": "python"})
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:  # without a kernel a control is a line of text that says nothing
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if WIDGET not in o.get("data", {})]


def differs(wanted: nbformat.NotebookNode, target: Path) -> bool:
    """Tell whether a notebook's cells are not those of its text."""
    if not target.exists():
        return True
    found = nbformat.read(target, as_version=4)
    return _key(wanted) != _key(found)


def _key(notebook: nbformat.NotebookNode) -> list[tuple[str, str, list[str]]]:
    return [(c.cell_type, c.source, c.metadata.get("tags", [])) for c in notebook.cells]


def replaced(notebook: nbformat.NotebookNode) -> list[str]:
    """Tell which defaults were replaced: what a notebook recorded under a parameter's name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "notebook.ipynb"
        nbformat.write(notebook, path)
        parameters = read_notebook(path).parameters
    used = collect_metrics(notebook)
    return [
        f"{name} was {used[name]}, not {parameter.default}"
        for name, parameter in parameters.items()
        if name in used and used[name] != parameter.default
    ]


def build(notebook: nbformat.NotebookNode, target: Path, executed: bool) -> None:
    """Write one notebook; executed, unless it then failed or fell back to other data or weights."""
    start = time.perf_counter()
    if executed:
        execute(notebook, target.parent)
        if failed := failed_checks(notebook):
            sys.exit(f"{target.name}: check failed: {failed[0]}; it is left as it was")
        if others := replaced(notebook):
            sys.exit(f"{target.name}: {others[0]}; it is left as it was")
    text = nbformat.writes(notebook) + "\n"
    write_atomically(target, text)
    print(f"{target.name}: {time.perf_counter() - start:.0f} s, {len(text) / 1e3:.0f} kB")


def main() -> None:
    """Build or check the notebooks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="beginnings of names, such as 01")
    parser.add_argument("--check", action="store_true", help="compare only")
    arguments = parser.parse_args()
    wrong, known = [], set()
    for source in sources():
        made = notebooks_of(source)
        known |= set(made)
        if arguments.names and not source.stem.startswith(tuple(arguments.names)):
            continue
        for target, (notebook, executed) in made.items():
            if not arguments.check:
                build(notebook, target, executed)
            elif differs(notebook, target):
                wrong.append(target.name)
    found = {path for pattern in FOUND for path in HERE.glob(pattern)}
    wrong += sorted(path.name for path in found - known)
    if wrong:
        sys.exit(f"{', '.join(wrong)}: the .ipynb differs from its text; run 'make notebooks'")


if __name__ == "__main__":
    main()
