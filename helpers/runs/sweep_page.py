"""The page of a sweep, or of several: what may be concluded, pictures, executed notebooks."""

import datetime
import importlib
import itertools
import math
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from helpers.runs.conclude import Comparison, conclude, explain_none, interval
from helpers.runs.execute import import_jupyter
from helpers.runs.html import export_html, write_page
from helpers.runs.objective import TEST, Objective
from helpers.runs.output import PAGE, RESULTS, TABLE, files_of
from helpers.runs.results import SUCCEEDED, RunResult, describe_setting
from helpers.runs.table import make_table, write_table

if TYPE_CHECKING:
    import pandas as pd

    from helpers.plots import CourseFigure

COMPARED = '<meta name="generator" content="course compare">'  # marks a page that it wrote
PAIRS = 3  # of parameters that get a heat map
FULL, MANY = 2 / 3, 8  # share of filled cells, and values, from which that says little


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


def write_conclusion(
    results: Sequence[RunResult],
    out: Path,
    metric: str | None,
    direction: str | None,
    planned: int = 0,
) -> "tuple[pd.DataFrame | None, Comparison | None]":
    """Write the table and the page of the runs that have ended; return what they say.

    Raises
    ------
    ParameterError
        If no run has recorded the metric; table and page are written then, too.
    """
    if not results:
        return None, None
    table, comparison = write_table(results, out), None
    try:
        comparison = conclude(table, metric, direction)
    finally:
        write_sweep_page(results, table, comparison, out / PAGE, planned=planned)
    return table, comparison


def write_sweep_page(
    results: Sequence[RunResult],
    table: "pd.DataFrame",
    comparison: Comparison | None,
    page: Path,
    confirmed: Sequence[RunResult] = (),
    planned: int = 0,
) -> None:
    """Write the page, whole or not at all.

    Parameters
    ----------
    results, table
        The same runs, in the same order. The table's ``attrs`` get the ``objective``, the
        ``conclusion``, what was ``confirmed``, and the errors of what was ``unconfirmed``.
    comparison
        What may be concluded, or None.
    page
        The HTML file; it lies in the folder of the sweep, unless a result names its ``folder``.
    confirmed
        Runs of the best setting with fresh seeds.
    planned
        How many runs were to end, where some are missing.
    """
    failed = [result["error"] for result in confirmed if result["status"] != SUCCEEDED]
    table.attrs |= {"objective": None, "confirmed": {}, "unconfirmed": failed}
    table.attrs["conclusion"] = "" if comparison else explain_none(table)
    of_best: dict[str, dict[str, float]] = {}
    if comparison:
        shown = (comparison.objective.metric, comparison.objective.test)
        of_best = _intervals(comparison.best, shown) if len(comparison.data) < 2 else {}
        table.attrs |= {"objective": comparison.objective, "conclusion": comparison.conclusion}
        table.attrs["confirmed"] = _intervals(make_table(confirmed), shown) if confirmed else {}
    parameters = table.attrs["parameters"]
    setting = [name for name in parameters if name != "seed"]
    rows = [
        {**result, "row": row, **_links(result, page)}
        for result, row in zip(results, table.to_dict("records"), strict=True)
    ]
    is_comparison = any("folder" in result for result in results)
    write_page(
        "sweep", page,
        notebook=results[0]["notebook"], mark=COMPARED if is_comparison else "", rows=rows,
        missing=max(0, planned - len(rows)), conclusion=table.attrs["conclusion"],
        about=_describe_sweep(results, table), parameters=parameters, setting=setting,
        metrics=[name for name in table.attrs["metrics"] if not name.startswith(TEST)],
        found=comparison, of_best=of_best, confirmed=table.attrs["confirmed"], unconfirmed=failed,
        figures=[
            {"title": title, "data": "" if is_comparison else data, **_embed(figure)}
            for title, data, figure in _draw_figures(
                results, table, comparison and comparison.objective, setting
            )
        ],
    )  # fmt: skip


def _describe_sweep(results: Sequence[RunResult], table: "pd.DataFrame") -> dict[str, str]:
    """Return what was the same in all runs: data, parameters, command, date, machine."""
    given = [{**(result.get("defaults") or {}), **result["parameters"]} for result in results]
    fixed = {
        name: value
        for name, value in given[0].items()
        if name not in {*table.attrs["parameters"], "seed", "sweep", "checkpoint"}
        and all(name in one and one[name] == value for one in given)
    }
    began = [result["began"] for result in results if result["began"]]
    days = sorted({f"{datetime.datetime.fromtimestamp(second):%Y-%m-%d}" for second in began})
    plans = {str(result["plan"]).removeprefix("Plan: ") for result in results if result["plan"]}
    is_command = click.get_current_context(silent=True) is not None
    about = {
        "data": ", ".join(table.attrs["data"]),
        "the same in all runs": describe_setting(fixed, list(fixed)),
        "command": shlex.join(["course", *sys.argv[1:]]) if is_command else "",
        "computed": " to ".join(dict.fromkeys([days[0], days[-1]])) if days else "",
        "on": "; ".join(sorted(plans)),
    }
    return {name: text for name, text in about.items() if text}


def _intervals(runs: "pd.DataFrame", metrics: Iterable[str | None]) -> dict[str, dict[str, float]]:
    """Return number, mean and interval of each metric that the runs have."""
    columns = {name: runs[name].dropna().astype(float) for name in metrics if name in runs}
    return {name: interval(values) for name, values in columns.items() if len(values)}


def _draw_figures(
    results: Sequence[RunResult],
    table: "pd.DataFrame",
    objective: Objective | None,
    setting: list[str],
) -> "Iterator[tuple[str, str, CourseFigure]]":
    """Draw what the runs allow: each figure with its title and the file that has its numbers."""
    from helpers import plots

    chosen = setting or table.attrs["parameters"]
    if objective and chosen:
        metric = objective.metric
        figure = plots.metric_by_parameter(table, metric, chosen)
        yield f"{metric} by parameter", TABLE, figure
        for first, second in itertools.islice(itertools.combinations(chosen, 2), PAIRS):
            pairs = table[[first, second]].astype(str)
            share = len(pairs.drop_duplicates()) / math.prod(pairs.nunique())
            if share < FULL and pairs.nunique().max() > MANY:
                continue  # drawn at random: a third of its cells and more would be empty
            figure = plots.metric_heat_map(table, metric, first, second, smaller=objective.smaller)
            yield f"Median {metric} by {first} and {second}", TABLE, figure
        if len(chosen) > 1:
            figure = plots.parallel_coordinates(table, metric, chosen, smaller=objective.smaller)
            yield "Every run as a line", TABLE, figure
    for name, curves in _curves(results, chosen).items():
        if column := _common_column(itertools.chain(*curves.values())):
            yield f"Learning curves: {name}", RESULTS, plots.overlaid_curves(curves, column)


def _curves(
    results: Sequence[RunResult], setting: Sequence[str]
) -> "dict[str, dict[str, list[pd.DataFrame]]]":
    """Return the recorded curves: name of the record to setting to a frame for each run."""
    import pandas as pd

    curves: dict[str, dict[str, list[pd.DataFrame]]] = {}
    for result in results:
        label = describe_setting(result["parameters"], setting) or result["notebook"]
        for name, columns in result["curves"].items():
            curve = pd.DataFrame(columns).apply(pd.to_numeric, errors="coerce")
            if not (curve := curve.dropna(axis=1, how="all")).empty:
                curves.setdefault(name, {}).setdefault(label, []).append(curve)
    return curves


def _common_column(curves: "Iterable[pd.DataFrame]") -> str | None:
    """Return what to draw: validation before training, accuracy before loss."""
    shared = set.intersection(*map(set, curves))
    ranked = [n for n in sorted(shared, key=lambda n: not n.startswith("val_")) if n != "seconds"]
    return next((n for n in ranked if n.endswith("accuracy")), next(iter(ranked), None))


def _links(result: Mapping[str, Any], page: Path) -> dict[str, str | None]:
    """Return the way from the page to a run's notebook, without its ending, and to its files."""
    folder = Path(result.get("folder", page.parent)) / "runs" / result["key"]
    notebook = folder / result["notebook"]

    def link(path: Path, is_there: bool) -> str | None:
        return Path(os.path.relpath(path, page.parent)).as_posix() if is_there else None

    files = files_of(result["notebook"], folder)
    return {
        "page": link(notebook, notebook.with_name(f"{notebook.name}.html").exists()),
        "files": link(files, files.is_dir()),
    }


def _embed(figure: "CourseFigure") -> dict[str, str]:
    data, _ = figure._repr_mimebundle_()
    kind = next(kind for kind in data if kind.startswith("image/"))
    return {"kind": kind, "image": data[kind], "alt": figure.alt}
