"""Pictures of a sweep: what its parameters do to a metric."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.ticker
import numpy as np

from helpers.errors import CourseError
from helpers.plots.figure import CourseFigure, class_colour, new_figure, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

WIDE = 10.0  # largest by smallest value, from which an axis is logarithmic
FEW = 8  # values of a parameter, each of which gets a mark on the axis
APART = 0.06  # of the height of the axis, between two labels


@styled
@mpl.rc_context({"text.parse_math": False})  # names and values are no formulas
def metric_by_parameter(
    table: "pd.DataFrame", metric: str, parameters: "list[str]", *, title: str = ""
) -> CourseFigure:
    """Draw a metric over each parameter: a point a run, a line through the medians.

    Parameters
    ----------
    table
        A row a run.
    metric, parameters
        Columns of it.
    title
        Of the figure.

    Raises
    ------
    CourseError
        If there is no such column, or no run with a value.
    """
    runs = _valued(table, metric, parameters)
    figure = new_figure(max(3.4 * len(parameters), 4.2), 3.4, title)
    panels = figure.subplots(1, len(parameters), sharey=True, squeeze=False)[0]
    sentences = []
    for axes, parameter in zip(panels, parameters, strict=True):
        places, labels = _places(runs[parameter])
        medians = runs.groupby(places)[metric].median()
        if len(medians) < len(runs) or len(medians) <= FEW:  # else they were drawn at random
            axes.plot(medians.index, medians, "-", color="0.6", lw=1.2)
        axes.plot(places, runs[metric], "o", color=class_colour(0), ms=5, alpha=0.6)
        _label(axes, parameter, labels, runs[parameter])
        best = runs.groupby(parameter, dropna=False)[metric].median()
        sentences.append(f"{parameter}: medians {best.min():.4g} to {best.max():.4g}")
    panels[0].set_ylabel(metric)
    figure.alt = f"{metric} of {len(runs)} runs over each parameter. {'; '.join(sentences)}."
    return figure


@styled
@mpl.rc_context({"text.parse_math": False})  # names and values are no formulas
def metric_heat_map(
    table: "pd.DataFrame",
    metric: str,
    rows: str,
    columns: str,
    *,
    smaller: bool = False,
    title: str = "",
) -> CourseFigure:
    """Draw the median of a metric for every pair of values of two parameters.

    Parameters
    ----------
    table
        A row a run.
    metric, rows, columns
        Columns of it.
    smaller
        Whether the metric is to be small, as a loss is: the best value is named.
    title
        Of the figure.

    Raises
    ------
    CourseError
        If there is no such column, or no run with a value.
    """
    runs = _valued(table, metric, [rows, columns])
    grid = runs.pivot_table(index=rows, columns=columns, values=metric, aggfunc="median")
    values = grid.to_numpy(dtype=float)
    figure = new_figure(2.6 + 0.75 * values.shape[1], 1.5 + 0.5 * values.shape[0])
    figure.colours = 256
    axes = figure.subplots()
    image = axes.imshow(values, cmap="Blues", aspect="auto")
    middle = np.nanmean([np.nanmin(values), np.nanmax(values)])
    for (row, column), value in np.ndenumerate(values):
        shown = "–" if np.isnan(value) else f"{value:.3g}"
        dark = "white" if value > middle else "black"
        axes.text(column, row, shown, ha="center", va="center", fontsize=8, color=dark)
    axes.set_xticks(range(values.shape[1]), [_shown(v) for v in grid.columns])
    axes.set_yticks(range(values.shape[0]), [_shown(v) for v in grid.index])
    axes.grid(visible=False)
    axes.set(xlabel=columns, ylabel=rows, title=title or f"median {metric}")
    figure.colorbar(image, ax=axes, label=metric)
    best = np.unravel_index((np.nanargmin if smaller else np.nanargmax)(values), values.shape)
    figure.alt = (
        f"Median {metric} for {values.shape[0]} values of {rows} and {values.shape[1]} of "
        f"{columns}: from {np.nanmin(values):.4g} to {np.nanmax(values):.4g}, the best at "
        f"{rows}={_shown(grid.index[best[0]])}, {columns}={_shown(grid.columns[best[1]])}."
    )
    return figure


@styled
@mpl.rc_context({"text.parse_math": False})  # names and values are no formulas
def parallel_coordinates(
    table: "pd.DataFrame",
    metric: str,
    parameters: "list[str]",
    *,
    smaller: bool = False,
    title: str = "",
) -> CourseFigure:
    """Draw every run as a line through its parameters to its metric, the best on top.

    Parameters
    ----------
    table
        A row a run.
    metric, parameters
        Columns of it.
    smaller
        Whether the metric is to be small, as a loss is.
    title
        Of the figure.

    Raises
    ------
    CourseError
        If there is no such column, or no run with a value.
    """
    runs = _valued(table, metric, parameters)
    names = [*parameters, metric]
    figure = new_figure(1.6 * len(names) + 1.5, 3.6, title)
    axes = figure.subplots()
    heights = np.column_stack([_heights(axes, at, runs[name]) for at, name in enumerate(names)])
    goodness = 1 - heights[:, -1] if smaller else heights[:, -1]
    colours = mpl.colormaps["viridis"](0.9 * goodness)
    for number in np.argsort(goodness):
        axes.plot(range(len(names)), heights[number], color=colours[number], lw=1.3, alpha=0.8)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks([])
    axes.set(xlim=(-0.2, len(names) - 0.4), ylim=(-0.06, 1.06))
    axes.grid(visible=False)
    for at in range(len(names)):
        axes.axvline(at, color="0.4", lw=0.8)
    best = runs.iloc[int(np.argmax(goodness))]
    settings = ", ".join(f"{name}={_shown(best[name])}" for name in parameters)
    figure.alt = (
        f"{len(runs)} runs as lines through {', '.join(parameters)} to {metric}; the best "
        f"{metric}, {best[metric]:.4g}, belongs to {settings}."
    )
    return figure


@styled
@mpl.rc_context({"text.parse_math": False})  # names and values are no formulas
def overlaid_curves(
    curves: "Mapping[str, Sequence[pd.DataFrame]]",
    metric: str = "val_accuracy",
    *,
    title: str = "",
) -> CourseFigure:
    """Lay the mean learning curves of many settings over one another.

    The settings that end largest and smallest are named, each with a band from the smallest to the
    largest of its runs. A curve ends with the shortest of them.

    Parameters
    ----------
    curves
        By name of the setting, a frame for each of its runs, a row an epoch.
    metric
        The column to draw.
    title
        Of the figure.

    Raises
    ------
    CourseError
        If no run has such a column.
    """
    import pandas as pd

    drawn = {
        name: pd.concat(
            [frame[metric].astype(float) for frame in frames if metric in frame], axis=1
        ).dropna(axis=1, how="all")
        for name, frames in curves.items()
        if any(metric in frame and frame[metric].notna().any() for frame in frames)
    }
    if not drawn:
        raise CourseError(f"None of the {len(curves)} settings has a curve of {metric!r}")
    figure = new_figure(7, 3.6, title)
    axes = figure.subplots()
    means = {name: runs.mean(axis=1, skipna=False).dropna() for name, runs in drawn.items()}
    ranked = sorted(means, key=lambda name: means[name].iloc[-1])
    for name in ranked:
        values, runs = means[name], drawn[name].loc[means[name].index]
        style = {"color": "0.7", "lw": 1.0}
        if name in (ranked[0], ranked[-1]):
            colour = class_colour(0 if name == ranked[-1] else 1)
            line = "-" if name == ranked[-1] else "--"
            style = {"color": colour, "lw": 2.0, "ls": line, "label": name}
            band = runs.min(axis=1), runs.max(axis=1)
            axes.fill_between(values.index + 1, *band, color=colour, alpha=0.2, lw=0)
        axes.plot(values.index + 1, values, marker="o", ms=3, **style)
    axes.set(xlabel="epoch", ylabel=metric)
    axes.locator_params(axis="x", integer=True)
    figure.legend(loc="outside lower center", fontsize=8)
    many = max(runs.shape[1] for runs in drawn.values())
    figure.alt = (
        f"{metric} of {len(drawn)} settings over their epochs"
        + (f", means of up to {many} runs with bands from smallest to largest" if many > 1 else "")
        + f". At the end the largest is {means[ranked[-1]].iloc[-1]:.4g} ({ranked[-1]}), the "
        f"smallest {means[ranked[0]].iloc[-1]:.4g} ({ranked[0]})."
    )
    return figure


def _valued(table: "pd.DataFrame", metric: str, parameters: "list[str]") -> "pd.DataFrame":
    for name in (metric, *parameters):
        if name not in table:
            raise CourseError(f"The table has no column {name!r}; it has {', '.join(table)}")
    runs = table[table[metric].notna()].astype({metric: float})
    if runs.empty:
        raise CourseError(f"No run of the table has a value for {metric!r}")
    for name in parameters:
        missing = runs[name].isna()  # None, or of a sweep that has no such parameter
        if missing.any() or runs[name].map(lambda value: isinstance(value, list)).any():
            runs[name] = runs[name].map(_shown).astype(object).mask(missing, "–")
    return runs


def _is_number(values: "pd.Series") -> bool:
    return values.map(lambda v: isinstance(v, int | float) and not isinstance(v, bool)).all()


def _is_wide(values: "pd.Series") -> bool:
    return values.min() > 0 and values.max() / values.min() >= WIDE


def _places(values: "pd.Series") -> "tuple[Any, list[str] | None]":
    """Return where values lie on an axis, and their labels where they are no numbers."""
    if _is_number(values):
        return values.astype(float), None
    labels = sorted(map(_shown, values.unique()))
    return values.map(lambda value: labels.index(_shown(value))), labels


def _label(axes: "Axes", parameter: str, labels: "list[str] | None", values: "pd.Series") -> None:
    axes.set_xlabel(parameter)
    if labels is not None:
        axes.set_xticks(range(len(labels)), labels, rotation=30 if len(labels) > 4 else 0)
        axes.set_xlim(-0.5, len(labels) - 0.5)
        return
    if _is_wide(values):
        axes.set_xscale("log")
    if len(few := sorted(values.unique())) <= FEW:
        axes.set_xticks(few, [_shown(value) for value in few], rotation=30 if len(few) > 4 else 0)
        axes.xaxis.set_minor_locator(mpl.ticker.NullLocator())


def _heights(axes: "Axes", at: int, values: "pd.Series") -> np.ndarray:
    """Return values between 0 and 1, with the ends of their scale written beside the axis."""
    places, labels = _places(values)
    wide = labels is None and _is_wide(values)
    scaled = np.log(places.astype(float)) if wide else places.astype(float)
    low, high = scaled.min(), scaled.max()
    heights = ((scaled - low) / (high - low) if high > low else scaled * 0 + 0.5).to_numpy()
    ends = {float(h): _shown(v) for h, v in zip(heights, values, strict=True)}
    below = -1.0
    for height in sorted(ends):  # the ends, and between them what has room
        if height in (0.0, 1.0) or (height - below >= APART and 1 - height >= APART):
            axes.text(at + 0.03, height, ends[height], fontsize=8, va="center")
            below = height
    return heights


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
