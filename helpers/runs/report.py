"""``course run``: several notebooks, once each, into one folder with a page of all of them."""

import contextlib
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from helpers.datasets import catalog
from helpers.errors import CourseError
from helpers.runs.engine import run_all
from helpers.runs.execute import run_notebook
from helpers.runs.html import write_page
from helpers.runs.keys import keyed_runs
from helpers.runs.output import PAGE, output_folder, write_results
from helpers.runs.progress import Progress
from helpers.runs.results import INTERRUPTED, Run, RunResult, result_of


def run_notebooks(
    runs: Sequence[Run],
    out: Path,
    *,
    jobs: int = 1,
    timeout: int | None = None,
    progress: bool = True,
) -> list[RunResult]:
    """Execute notebooks, ``jobs`` at a time, into one folder, and report on them.

    On ``KeyboardInterrupt`` every kernel is killed, what has not ended counts as interrupted, and
    the results are returned all the same.

    Parameters
    ----------
    runs
        One for each notebook.
    out
        Folder of the results: each executed notebook as ``.ipynb`` and ``.html``, ``results.json``,
        and ``index.html``.
    jobs
        How many run side by side.
    timeout
        Seconds that a single cell may take.
    progress
        Whether to show what is done and what has failed.

    Returns
    -------
    list of RunResult
        In the order of ``runs``.

    Raises
    ------
    CourseError
        If two notebooks would write the same file, or a file would be written over that no run has
        written.
    """
    names = [run.notebook.name for run in runs]
    for run, name in zip(runs, names, strict=True):
        if names.count(name) > 1:
            raise CourseError(f"{name} is given twice; expected each notebook once")
        if f"{name}.html" == PAGE:
            raise CourseError(f"{name}.ipynb would share {PAGE} with the report; rename it")
        if run.notebook.path.resolve().parent == out.resolve():
            raise CourseError(f"{run.notebook.path} would be written over; expected another --out")
    with output_folder(out, names):
        keyed = list(keyed_runs(runs).values())
        ended: dict[str, RunResult] = {}
        bar = Progress(keyed, each=True, shown=progress)
        with contextlib.suppress(KeyboardInterrupt):
            run_all(keyed, ended, partial(run_notebook, out=out, timeout=timeout), bar, jobs=jobs)
        left = "interrupted before it ended"
        results = [ended.get(run.key) or result_of(run, INTERRUPTED, left) for run in keyed]
        write_report(results, out)
    return results


def write_report(results: Sequence[RunResult], out: Path) -> None:
    """Write ``results.json`` and ``index.html`` to the folder of the notebooks' pages."""
    write_results(results, out)
    pages = {path.stem for path in out.glob("*.html")}
    rows = []
    for result in results:  # what was interrupted may have the page of an earlier run
        has_page = result["notebook"] in pages and result["status"] != INTERRUPTED
        rows.append({**result, "page": result["notebook"] if has_page else None})
    pictures = {row["page"]: _picture(out / f"{row['page']}.ipynb") for row in rows if row["page"]}
    fallbacks = find_fallbacks(results)
    write_page("notebooks", out / PAGE, rows=rows, pictures=pictures, fallbacks=fallbacks)


def find_fallbacks(results: Sequence[RunResult]) -> list[tuple[str, str]]:
    """Return each pair of a known dataset that was asked for and the other one that was used."""
    pairs = set()
    for result in results:
        asked = (result.get("defaults", {}) | result["parameters"]).get("dataset")
        if asked in catalog.names() and result["dataset"] not in {asked, None}:
            pairs.add((asked, result["dataset"]))
    return sorted(pairs)


def _picture(notebook: Path) -> dict[str, str] | None:
    """Return the first picture of an executed notebook: its kind, content and alternative."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError):  # it has not run, or not to its end
        return None
    for output in (output for cell in cells for output in cell.get("outputs", [])):
        for kind in ("image/png", "image/jpeg"):
            if kind in output.get("data", {}):
                alt = output.get("metadata", {}).get(kind, {}).get("alt", "")
                content = "".join(output["data"][kind]).replace("\n", "")
                return {"kind": kind, "content": content, "alt": alt}
    return None
