"""Pictures of learning: curves, confusion, the paths of optimizers."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from helpers.errors import CourseError
from helpers.plots.figure import MARKERS, CourseFigure, class_colour, new_figure, styled

if TYPE_CHECKING:
    import pandas as pd

LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))


@styled
def learning_curves(
    histories: "pd.DataFrame | Mapping[str, pd.DataFrame]",
    metric: str = "accuracy",
    *,
    title: str = "",
) -> CourseFigure:
    """Draw loss and one metric over the epochs: training dashed, validation solid.

    Parameters
    ----------
    histories
        The ``history`` of a ``TrainingResult``, or several by name.
    metric
        The column beside ``loss``.
    title
        Of the figure.

    Raises
    ------
    CourseError
        If a history has no such column.
    """
    named = histories if isinstance(histories, Mapping) else {"": histories}
    figure = new_figure(9.5, 3.6, title)
    panels = figure.subplots(1, 2)
    for axes, column in zip(panels, ("loss", metric), strict=True):
        for number, (name, history) in enumerate(named.items()):
            if column not in history:
                raise CourseError(
                    f"The history has no {column!r}; it has {', '.join(history.columns)}"
                )
            style = {"color": class_colour(number), "marker": MARKERS[number % len(MARKERS)]}
            style |= {"markersize": 4, "markevery": max(1, len(history) // 10)}
            label = f"{name}, " if name else ""
            axes.plot(history[column], "--", label=f"{label}training", alpha=0.7, **style)
            if f"val_{column}" in history:
                axes.plot(history[f"val_{column}"], label=f"{label}validation", **style)
        axes.set(xlabel="epoch", ylabel=column, title=column)
        axes.locator_params(axis="x", integer=True)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=8)
    last = []
    for name, history in named.items():
        text = f"{name}: " * bool(name) + f"{metric} {history[metric].iloc[-1]:.3f} in training"
        if f"val_{metric}" in history:
            text += f", {history[f'val_{metric}'].iloc[-1]:.3f} in validation"
        last.append(text)
    figure.alt = f"Learning curves of loss and {metric}. At the end: {'; '.join(last)}."
    return figure


@styled
def confusion_matrix(matrix: "pd.DataFrame", *, title: str = "") -> CourseFigure:
    """Draw how often each class (row) was taken for each other (column).

    Colours show the share of the row, so that a rare class is seen as well as a common one.
    """
    import seaborn as sns

    n, counts = len(matrix), matrix.to_numpy()
    figure = new_figure(min(2.2 + 0.5 * n, 11), min(1.4 + 0.42 * n, 9.5))
    axes = figure.subplots()
    sns.heatmap(
        matrix.div(matrix.sum(axis=1).clip(lower=1), axis=0), ax=axes, cmap="Blues", vmin=0, vmax=1,
        annot=matrix.astype(object).where(matrix > 0, "") if n <= 20 else None, fmt="",
        annot_kws={"fontsize": 8}, square=True, xticklabels=True, yticklabels=True,
        cbar_kws={"label": "share of the true class"},
    )  # fmt: skip
    axes.tick_params(axis="y", rotation=0)
    if max(len(str(name)) for name in matrix.columns) > 3:
        axes.set_xticklabels(axes.get_xticklabels(), rotation=45, ha="right")
    axes.set(xlabel="predicted", ylabel="true", title=title or "Which class is taken for which?")
    wrong = counts - np.diag(np.diag(counts))
    most = np.argwhere((wrong == wrong.max()) & (wrong > 0))
    taken = "; ".join(f"{matrix.index[i]} taken for {matrix.columns[j]}" for i, j in most)
    figure.alt = (
        f"Confusion matrix of {n} classes: {np.trace(counts):,} of {counts.sum():,} on the "
        f"diagonal. Most frequent mistake: {taken or 'none'}, {wrong.max()} times."
    )
    return figure


@styled
def curves(
    x: np.ndarray,
    lines: Mapping[str, np.ndarray],
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    logarithmic: bool = False,
) -> CourseFigure:
    """Draw several lines over one axis, each with a line style of its own.

    Parameters
    ----------
    x : ndarray, shape (n,)
    lines
        Arrays of shape (n,), or (m, 2) of points of their own, by name.
    xlabel, ylabel, title
        Texts of the figure.
    logarithmic
        Whether the vertical axis is.
    """
    figure = new_figure(6.5, 3.6)
    axes = figure.subplots()
    for number, (name, values) in enumerate(lines.items()):
        points = values.T if np.ndim(values) == 2 else (x, values)
        style = {"linestyle": LINES[number % len(LINES)], "color": class_colour(number)}
        axes.plot(*points, label=name, **style)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if logarithmic:
        axes.set_yscale("log")
    axes.legend(fontsize=8)
    figure.alt = f"{title or 'Curves'}: {ylabel} over {xlabel} for {', '.join(lines)}."
    return figure


@styled
def descent_paths(
    function: Callable[[np.ndarray, np.ndarray], np.ndarray],
    paths: Mapping[str, np.ndarray],
    *,
    limits: tuple[float, float, float, float],
    title: str = "",
) -> CourseFigure:
    """Draw the way of several optimizers over one surface.

    Parameters
    ----------
    function
        The surface, over arrays of both coordinates.
    paths
        By name the points passed, each of shape (steps, 2).
    limits
        Smallest and largest first, then second coordinate.
    title
        Of the figure.
    """
    figure = new_figure(8, 4.2)
    axes = figure.subplots()
    grid = np.meshgrid(np.linspace(*limits[:2], 200), np.linspace(*limits[2:], 200))
    heights = function(*grid)
    levels = np.quantile(heights, np.linspace(0, 1, 18)[1:-1])
    axes.contour(*grid, heights, levels=np.unique(levels), colors="0.75", linewidths=0.8)
    for number, (name, path) in enumerate(paths.items()):
        marker = MARKERS[number % len(MARKERS)]
        axes.plot(*path.T, marker=marker, ms=3.5, lw=1.2, color=class_colour(number), label=name)
    axes.set(xlim=limits[:2], ylim=limits[2:], xlabel="first weight", ylabel="second weight")
    axes.set_title(title)
    figure.legend(loc="outside right center", fontsize=8)
    ends = [f"{name} at {float(function(*path[-1])):.3g}" for name, path in paths.items()]
    figure.alt = f"{title or 'Paths of optimizers'}. They end: {', '.join(ends)}."
    return figure


@styled
def spread(
    values: Mapping[str, "list[float] | np.ndarray"], *, label: str, title: str = ""
) -> CourseFigure:
    """Draw the results of several seeds for each choice: a point each, and the range.

    Parameters
    ----------
    values
        By name of the choice, one number a seed.
    label
        What the numbers are.
    title
        Of the figure.
    """
    figure = new_figure(7, 0.9 + 0.45 * len(values))
    axes = figure.subplots()
    for number, results in enumerate(values.values()):
        height, colour = len(values) - 1 - number, class_colour(number)
        axes.plot([min(results), max(results)], [height, height], color=colour, lw=1.2)
        axes.plot(results, [height] * len(results), MARKERS[number % len(MARKERS)], color=colour)
    axes.set_yticks(range(len(values) - 1, -1, -1), list(values))
    axes.set_ylim(-0.6, len(values) - 0.4)
    axes.set(xlabel=label, title=title)
    listed = [f"{name}: {min(v):.3f} to {max(v):.3f}" for name, v in values.items()]
    figure.alt = f"{title or label}, ranges over seeds. {'; '.join(listed)}."
    return figure
