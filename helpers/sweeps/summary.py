"""``summary.html``: the pictures of a sweep, and the way to every executed notebook."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.files import write_atomically
from helpers.sweeps.table import choose_metric, describe, is_smaller_better

if TYPE_CHECKING:
    import pandas as pd

    from helpers.plots import CourseFigure

TEMPLATE = Path(__file__).with_name("templates") / "summary.html.j2"
PAIRS = 3  # of parameters that get a heat map


def write_summary(
    statuses: Sequence[dict[str, Any]], table: "pd.DataFrame", out: Path, metric: str | None = None
) -> Path:
    """Write ``summary.html``, whole or not at all.

    Parameters
    ----------
    statuses, table
        The same runs, in the same order.
    out
        Folder of the sweep.
    metric
        By which runs are compared; by default the one that ``choose_metric`` chooses.
    """
    from jinja2 import Environment

    parameters, metrics = table.attrs["parameters"], table.attrs["metrics"]
    metric = choose_metric(metrics, metric)
    if metric not in metrics:  # as where every run failed
        metric = None
    rows = [
        {**status, "row": row, "page": _page(status, out)}
        for status, row in zip(statuses, table.to_dict("records"), strict=True)
    ]
    page = (
        Environment(autoescape=True)
        .from_string(TEMPLATE.read_text(encoding="utf-8"))
        .render(
            notebook=statuses[0]["notebook"],
            rows=rows,
            parameters=parameters,
            metrics=metrics,
            metric=metric,
            best=_best(table, metric, parameters),
            plans=sorted({row["plan"].removeprefix("Plan: ") for row in rows if row.get("plan")}),
            figures=[
                _embedded(*titled) for titled in draw_figures(statuses, table, metric, parameters)
            ],
        )
    )
    write_atomically(out / "summary.html", page)
    return out / "summary.html"


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


def _best(table: "pd.DataFrame", metric: str | None, parameters: list[str]) -> Any:
    if metric is None or table[metric].notna().sum() == 0:
        return None
    values = table[metric].astype(float)
    row = table.loc[values.idxmin() if is_smaller_better(metric) else values.idxmax()]
    settings = describe(row.to_dict(), parameters) or "the only settings"
    return {"key": row["key"], "value": row[metric], "settings": settings}


def _page(status: dict[str, Any], out: Path) -> str | None:
    """Return the path of a run's notebook, relative to the summary, without its ending."""
    path = Path("runs") / status["key"] / status["notebook"]
    return path.as_posix() if (out / path).with_suffix(".html").exists() else None


def _embedded(title: str, figure: "CourseFigure") -> dict[str, str]:
    data, _ = figure._repr_mimebundle_()
    kind = next(kind for kind in data if kind.startswith("image/"))
    return {"title": title, "kind": kind, "image": data[kind], "alt": figure.alt}
