"""``course compare``: several sweeps of one notebook on one page."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.errors import CourseError
from helpers.runs.conclude import conclude
from helpers.runs.output import RESULTS
from helpers.runs.results import RunResult
from helpers.runs.sweep_page import COMPARED, write_sweep_page
from helpers.runs.table import make_table

if TYPE_CHECKING:
    import pandas as pd


def compare_sweeps(
    folders: Sequence[Path], page: Path, metric: str | None = None, direction: str | None = None
) -> "pd.DataFrame":
    """Write one page of several sweeps; the sweep is a parameter more, named after its folder.

    Parameters
    ----------
    folders
        Of sweeps of one notebook, each with its ``results.json``.
    page
        The HTML file to write.
    metric, direction
        See ``choose_objective``.

    Returns
    -------
    DataFrame
        A row a run, as ``sweep`` returns it.

    Raises
    ------
    CourseError
        If a folder holds no results, two have the same name, the notebooks differ, or the page is
        another file.
    """
    if page.suffix != ".html" or (
        page.exists() and COMPARED not in page.read_text("utf-8", "replace")
    ):
        raise CourseError(f"{page} is no page of a comparison; expected the name of a new .html")
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        raise CourseError(f"Two folders are called {max(names, key=names.count)}; rename one")
    results = [result for folder in folders for result in _read_results(folder)]
    notebooks = sorted({result["notebook"] for result in results})
    if len(notebooks) > 1:
        raise CourseError(
            f"The sweeps are of different notebooks ({', '.join(notebooks)}), whose results cannot "
            "be compared; expected sweeps of one"
        )
    table = make_table(results)
    write_sweep_page(results, table, conclude(table, metric, direction), page)
    return table


def _read_results(folder: Path) -> list[RunResult]:
    """Return the results in the folder of a sweep, with its name as a parameter."""
    try:
        rows = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
        if not rows or not all(RunResult.__required_keys__ <= set(row) for row in rows):
            raise ValueError("no results of runs")
    except (OSError, ValueError, TypeError):
        raise CourseError(
            f"{folder} holds no {RESULTS} of runs; expected the folder of a sweep"
        ) from None
    place = folder.resolve()
    for row in rows:
        values = row.get("defaults", {}) | row["parameters"]
        row |= {"folder": str(place), "parameters": {"sweep": place.name, **values}}
    return rows
