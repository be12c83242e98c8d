"""Make the notebooks from their text: percent/NAME.py in, an executed NAME.ipynb out.

python notebooks/build.py              every notebook
python notebooks/build.py 01 02        some
python notebooks/build.py --check      only compare the .ipynb files with their text
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from helpers.files import write_atomically
from helpers.runs.execute import QUIET_KERNEL
from helpers.runs.metrics import collect_metrics, failed_checks
from helpers.runs.parameters import read_parameters

import jupytext
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent


def sources() -> list[Path]:
    """Return the texts of all notebooks: the experiments, which a lesson runs, then the lessons."""
    texts = HERE / "percent"
    return [*sorted(texts.glob("experiments/*.py")), *sorted(texts.glob("[0-9]*.py"))]


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
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
    return notebook


def execute(notebook: nbformat.NotebookNode) -> None:
    """Run every cell in place, with the default parameters, leaving no time stamp behind."""
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=600,
        record_timing=False,
        extra_arguments=QUIET_KERNEL,
        resources={"metadata": {"path": str(HERE)}},
    ).execute()
    notebook.metadata.language_info = nbformat.from_dict({"name": "python"})
    notebook.metadata.pop("widgets", None)


def differs(source: Path, target: Path) -> bool:
    """Tell whether a notebook's cells are not those of its text."""
    if not target.exists():
        return True
    wanted, found = read_text(source), nbformat.read(target, as_version=4)
    key = [(c.cell_type, c.source, c.metadata.get("tags", [])) for c in wanted.cells]
    return key != [(c.cell_type, c.source, c.metadata.get("tags", [])) for c in found.cells]


def replaced(notebook: nbformat.NotebookNode) -> list[str]:
    """Tell which defaults were replaced: what a notebook recorded under a parameter's name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "notebook.ipynb"
        nbformat.write(notebook, path)
        parameters = read_parameters(path)
    used = collect_metrics(notebook)
    return [
        f"{name} was {used[name]}, not {parameter.default}"
        for name, parameter in parameters.items()
        if name in used and used[name] != parameter.default
    ]


def build(source: Path, target: Path) -> None:
    """Execute one notebook and write it, unless it failed or fell back to other data or weights."""
    start = time.perf_counter()
    notebook = read_text(source)
    execute(notebook)
    if failed := failed_checks(notebook):
        sys.exit(f"{source.name}: check failed: {failed[0]}; {target.name} is left as it was")
    if others := replaced(notebook):
        sys.exit(f"{source.name}: {others[0]}; {target.name} is left as it was")
    text = nbformat.writes(notebook) + "\n"
    write_atomically(target, text)
    print(f"{target.name}: {time.perf_counter() - start:.0f} s, {len(text) / 1e3:.0f} kB")


def main() -> None:
    """Build or check the notebooks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="beginnings of names, such as 01")
    parser.add_argument("--check", action="store_true", help="compare only")
    arguments = parser.parse_args()
    wrong = []
    for source in sources():
        if arguments.names and not source.stem.startswith(tuple(arguments.names)):
            continue
        target = (HERE / source.relative_to(HERE / "percent")).with_suffix(".ipynb")
        if not arguments.check:
            build(source, target)
        elif differs(source, target):
            wrong.append(source.name)
    texts = {source.stem for source in sources()}
    found = [*HERE.glob("[0-9]*.ipynb"), *HERE.glob("experiments/*.ipynb")]
    wrong += [path.name for path in found if path.stem not in texts]
    if wrong:
        sys.exit(f"{', '.join(wrong)}: the .ipynb differs from its text; run 'make notebooks'")


if __name__ == "__main__":
    main()
