"""The page of a sweep, or of several: what may be concluded, pictures, every executed notebook."""

import importlib
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.errors import CourseError
from helpers.runs.execute import import_jupyter
from helpers.runs.objective import TEST
from helpers.runs.report import RESULTS, export_html, write_page
from helpers.runs.results import SUCCEEDED, RunResult, describe
from helpers.sweeps.compare import Comparison, conclude, interval
from helpers.sweeps.table import make_table

if TYPE_CHECKING:
    import pandas as pd

    from helpers.plots import CourseFigure

OWN = '<meta name="generator" content="course compare">'  # of a page that may be written over
PAIRS = 3  # of parameters that get a heat map


def import_early() -> None:
    """Import what the table and the page need, a second, in a thread beside the runs.

    It is the only thread that imports meanwhile: runs wait in ``import_jupyter``, and before their
    first page. (An interrupt in the middle of importing pandas would get lost in C, so the main
    thread does not do it.)
    """
    import_jupyter()
    import nbformat

    cells = [nbformat.v4.new_markdown_cell("*text* $x$"), nbformat.v4.new_code_cell("code")]
    export_html(nbformat.v4.new_notebook(cells=cells), "empty")
    for module in ("pandas", "scipy.special", "helpers.plots"):
        importlib.import_module(module)


def compare_sweeps(
    folders: Sequence[Path], page: Path, metric: str | None = None, direction: str | None = None
) -> "pd.DataFrame":
    """Write one page of several sweeps; the sweep is a parameter more, named after its folder.

    Parameters
    ----------
    folders
        Of sweeps, each with its ``results.json``.
    page
        The HTML file to write.
    metric, direction
        As of ``choose_objective``.

    Returns
    -------
    DataFrame
        As of ``sweep``, of all runs.

    Raises
    ------
    CourseError
        If a folder holds no results, two have the same name, or the page is another file.
    """
    if page.suffix != ".html" or (page.exists() and OWN not in page.read_text("utf-8", "replace")):
        raise CourseError(f"{page} is no page of a comparison; expected the name of a new .html")
    results: list[RunResult] = []
    for folder in folders:
        try:
            rows = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
            if not rows or not all(set(RunResult.__annotations__) <= set(row) for row in rows):
                raise ValueError("no results of runs")
        except (OSError, ValueError, TypeError):
            raise CourseError(
                f"{folder} holds no {RESULTS} of runs; expected the folder of a sweep"
            ) from None
        results += [
            row
            | {"folder": str(folder.resolve())}
            | {"parameters": {"sweep": folder.resolve().name, **row["parameters"]}}
            for row in rows
        ]
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        raise CourseError(f"Two folders are called {max(names, key=names.count)}; rename one")
    table = make_table(results)
    write_summary(results, table, page, conclude(table, metric, direction))
    return table


def write_summary(
    results: Sequence[RunResult],
    table: "pd.DataFrame",
    page: Path,
    found: Comparison | None,
    confirmed: Sequence[RunResult] = (),
) -> None:
    """Write the page, whole or not at all.

    Parameters
    ----------
    results, table
        The same runs, in the same order. The table's ``attrs`` get the ``objective``, the
        ``conclusion``, what was ``confirmed``, and the errors of what was ``unconfirmed``.
    page
        The HTML file; it lies in the folder of the sweep, unless a result names its ``folder``.
    found
        What may be concluded, or None.
    confirmed
        Runs of the best setting with fresh seeds.
    """
    parameters, of_best = table.attrs["parameters"], {}
    failed = [result["error"] for result in confirmed if result["status"] != SUCCEEDED]
    table.attrs |= {"objective": None, "conclusion": "", "confirmed": {}, "unconfirmed": failed}
    if found:
        shown = (found.objective.metric, found.objective.test)
        of_best = _intervals(found.best, shown)
        table.attrs |= {
            "objective": found.objective, "conclusion": found.conclusion,
            "confirmed": _intervals(make_table(confirmed), shown) if confirmed else {},
        }  # fmt: skip
    rows = [
        {**result, "row": row, "page": _link(result, page)}
        for result, row in zip(results, table.to_dict("records"), strict=True)
    ]
    figures = draw_figures(results, table, found and found.objective.metric, parameters)
    write_page(
        "sweep", page,
        notebook=", ".join(sorted({result["notebook"] for result in results})),
        mark=OWN if any("folder" in result for result in results) else "", rows=rows,
        parameters=parameters,
        metrics=[name for name in table.attrs["metrics"] if not name.startswith(TEST)],
        setting=[name for name in parameters if name != "seed"], found=found, of_best=of_best,
        confirmed=table.attrs["confirmed"], unconfirmed=failed,
        plans=sorted({row["plan"].removeprefix("Plan: ") for row in rows if row.get("plan")}),
        figures=[_embedded(*titled) for titled in figures],
    )  # fmt: skip


def _intervals(runs: "pd.DataFrame", metrics: Iterable[str | None]) -> dict[str, dict[str, float]]:
    """Return number, mean and interval of each metric that the runs have."""
    told = {name: runs[name].dropna().astype(float) for name in metrics if name in runs}
    return {name: interval(values) for name, values in told.items() if len(values)}


def draw_figures(
    results: Sequence[RunResult],
    table: "pd.DataFrame",
    metric: str | None,
    parameters: list[str],
) -> "Iterator[tuple[str, CourseFigure]]":
    """Draw what the runs allow: each figure with its title."""
    from helpers import plots

    chosen = [name for name in parameters if name != "seed"] or parameters
    if metric and chosen:
        yield f"{metric} by parameter", plots.metric_by_parameter(table, metric, chosen)
        for first, second in itertools.islice(itertools.combinations(chosen, 2), PAIRS):
            figure = plots.metric_heat_map(table, metric, first, second)
            yield f"Median {metric} by {first} and {second}", figure
        if len(parameters) > 1:
            yield "Every run as a line", plots.parallel_coordinates(table, metric, parameters)
    for name, curves in _curves(results, chosen).items():
        if column := _common_column(itertools.chain(*curves.values())):
            yield f"Learning curves: {name}", plots.overlaid_curves(curves, column)


def _curves(
    results: Sequence[RunResult], setting: Sequence[str]
) -> "dict[str, dict[str, list[pd.DataFrame]]]":
    """Return the recorded curves: name of the record to setting to a frame for each run."""
    import pandas as pd

    found: dict[str, dict[str, list[pd.DataFrame]]] = {}
    for result in results:
        runs = describe(result["parameters"], setting) or result["notebook"]
        for name, columns in result["curves"].items():
            curve = pd.DataFrame(columns).apply(pd.to_numeric, errors="coerce")
            if not (curve := curve.dropna(axis=1, how="all")).empty:
                found.setdefault(name, {}).setdefault(runs, []).append(curve)
    return found


def _common_column(curves: "Iterable[pd.DataFrame]") -> str | None:
    """Return what to draw: validation before training, accuracy before loss."""
    shared = set.intersection(*map(set, curves))
    ranked = [n for n in sorted(shared, key=lambda n: not n.startswith("val_")) if n != "seconds"]
    return next((n for n in ranked if n.endswith("accuracy")), next(iter(ranked), None))


def _link(result: Mapping[str, Any], page: Path) -> str | None:
    """Return the way from the page to a run's notebook, without its ending, if it is there."""
    folder = Path(result.get("folder", page.parent)) / "runs" / result["key"]
    if not (folder / f"{result['notebook']}.html").exists():
        return None
    return Path(os.path.relpath(folder / result["notebook"], page.parent)).as_posix()


def _embedded(title: str, figure: "CourseFigure") -> dict[str, str]:
    data, _ = figure._repr_mimebundle_()
    kind = next(kind for kind in data if kind.startswith("image/"))
    return {"title": title, "kind": kind, "image": data[kind], "alt": figure.alt}
