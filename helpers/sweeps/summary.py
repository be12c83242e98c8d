"""The page of a sweep, or of several: what may be concluded, pictures, every executed notebook."""

import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.errors import CourseError
from helpers.files import write_atomically
from helpers.sweeps.compare import Comparison, conclude, interval
from helpers.sweeps.objective import TEST
from helpers.sweeps.table import describe, make_table

if TYPE_CHECKING:
    import pandas as pd

    from helpers.plots import CourseFigure

TEMPLATE = Path(__file__).with_name("templates") / "summary.html.j2"
SUMMARY = "summary.html"
PAIRS = 3  # of parameters that get a heat map


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
        If a folder holds no results, or two have the same name.
    """
    statuses: list[dict[str, Any]] = []
    for folder in folders:
        try:
            rows = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise CourseError(
                f"{folder} holds no results.json; expected the folder of a sweep"
            ) from None
        statuses += [
            row
            | {"folder": str(folder.resolve())}
            | {"parameters": {"sweep": folder.resolve().name, **row["parameters"]}}
            for row in rows
        ]
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        raise CourseError(f"Two folders are called {max(names, key=names.count)}; rename one")
    table = make_table(statuses)
    write_summary(statuses, table, page, conclude(table, metric, direction))
    return table


def write_summary(
    statuses: Sequence[dict[str, Any]],
    table: "pd.DataFrame",
    page: Path,
    found: Comparison | None,
    confirmed: Sequence[dict[str, Any]] = (),
) -> None:
    """Write the page, whole or not at all.

    Parameters
    ----------
    statuses, table
        The same runs, in the same order. The table's ``attrs`` get the ``objective``, the
        ``conclusion`` and what was ``confirmed``.
    page
        The HTML file; it lies in the folder of the sweep, unless a status names its ``folder``.
    found
        What may be concluded, or None.
    confirmed
        Runs of the best setting with fresh seeds.
    """
    from jinja2 import Environment

    parameters = table.attrs["parameters"]
    metrics = [name for name in table.attrs["metrics"] if not name.startswith(TEST)]
    metric = found.objective.metric if found else None
    table.attrs["objective"] = found.objective if found else None
    table.attrs["conclusion"] = found.conclusion if found else ""
    table.attrs["confirmed"] = {}
    chosen = {}
    if found:
        shown = (metric, found.objective.test)
        of_best = [found.is_best(row) for row in table.to_dict("records")]
        chosen = _intervals(table[of_best].drop_duplicates("key"), shown)
        table.attrs["confirmed"] = _intervals(make_table(confirmed), shown) if confirmed else {}
    rows = [
        {**status, "row": row, "page": _link(status, page)}
        for status, row in zip(statuses, table.to_dict("records"), strict=True)
    ]
    text = (
        Environment(autoescape=True)
        .from_string(TEMPLATE.read_text(encoding="utf-8"))
        .render(
            notebook=", ".join(sorted({status["notebook"] for status in statuses})),
            own=page.name == SUMMARY,
            rows=rows,
            parameters=parameters,
            setting=[name for name in parameters if name != "seed"],
            metrics=metrics,
            metric=metric,
            found=found,
            settings=zip(found.settings, found.results.to_dict("records"), strict=True)
            if found
            else [],
            chosen=chosen,
            confirmed=table.attrs["confirmed"],
            plans=sorted({row["plan"].removeprefix("Plan: ") for row in rows if row.get("plan")}),
            figures=[
                _embedded(*titled) for titled in draw_figures(statuses, table, metric, parameters)
            ],
        )
    )
    write_atomically(page, text)


def _intervals(runs: "pd.DataFrame", metrics: Iterable[str | None]) -> dict[str, dict[str, float]]:
    """Return number, mean and interval of each metric that the runs have."""
    told = {name: runs[name].dropna().astype(float) for name in metrics if name in runs}
    return {name: interval(values) for name, values in told.items() if len(values)}


def draw_figures(
    statuses: Sequence[dict[str, Any]],
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
    for name, curves in _curves(statuses, parameters).items():
        column = _common_column(curves)
        if column:
            yield f"Learning curves: {name}", plots.overlaid_curves(curves, column)


def _curves(
    statuses: Sequence[dict[str, Any]], parameters: list[str]
) -> "dict[str, dict[str, pd.DataFrame]]":
    """Return the recorded curves: name of the record to run to frame."""
    import pandas as pd

    found: dict[str, dict[str, pd.DataFrame]] = {}
    for status in statuses:
        run = describe(status["parameters"], parameters) or status["key"]
        for name, columns in (status.get("curves") or {}).items():
            found.setdefault(name, {})[run] = pd.DataFrame(columns)
    return found


def _common_column(curves: "dict[str, pd.DataFrame]") -> str | None:
    """Return what to draw: validation before training, accuracy before loss."""
    shared = set.intersection(*(set(frame) for frame in curves.values()))
    ranked = [n for n in sorted(shared, key=lambda n: not n.startswith("val_")) if n != "seconds"]
    return next((n for n in ranked if n.endswith("accuracy")), next(iter(ranked), None))


def _link(status: dict[str, Any], page: Path) -> str | None:
    """Return the way from the page to a run's notebook, without its ending, if it is there."""
    folder = Path(status.get("folder", page.parent)) / "runs" / status["key"]
    if not (folder / f"{status['notebook']}.html").exists():
        return None
    return Path(os.path.relpath(folder / status["notebook"], page.parent)).as_posix()


def _embedded(title: str, figure: "CourseFigure") -> dict[str, str]:
    data, _ = figure._repr_mimebundle_()
    kind = next(kind for kind in data if kind.startswith("image/"))
    return {"title": title, "kind": kind, "image": data[kind], "alt": figure.alt}
