"""Pictures of data: examples, distributions, relations."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np

from helpers.datasets import Dataset
from helpers.errors import DatasetError
from helpers.plots.figure import MARKERS, CourseFigure, class_colour, new_figure, show_image, styled

if TYPE_CHECKING:
    import pandas as pd


@styled
def class_examples(data: Dataset, per_class: int = 8) -> CourseFigure:
    """Show the first training images of every class, a row each."""
    if data.kind != "images":
        raise DatasetError(f"{data.name} holds {data.kind}; this figure expects images")
    figure = new_figure(
        per_class * 0.7 + 1.2, data.class_count * 0.72 + 0.4, f"{data.name}: examples of each class"
    )
    grid = figure.subplots(data.class_count, per_class, squeeze=False)
    for number, row in enumerate(grid):
        positions = np.flatnonzero(data.y_train == number)[:per_class]
        for axes in row:
            axes.set_axis_off()
        for axes, position in zip(row, positions, strict=False):
            show_image(axes, data.x_train[position])
        name = data.class_names[number]
        row[0].text(-0.25, 0.5, name, transform=row[0].transAxes, ha="right", va="center")
    names = ", ".join(data.class_names)
    figure.alt = f"{per_class} training images of each class of {data.name}: {names}."
    return figure


@styled
def embedding(
    points: np.ndarray,
    y: np.ndarray,
    class_names: Sequence[str],
    *,
    title: str = "",
    axis_labels: tuple[str, str] = ("first coordinate", "second coordinate"),
) -> CourseFigure:
    """Scatter samples in the plane, a colour and a marker for each class, named at its median.

    Parameters
    ----------
    points : ndarray, shape (n, 2)
    y : ndarray of int, shape (n,)
        Class numbers; -1 is drawn as noise.
    class_names
        By class number.
    title, axis_labels
        Texts of the figure.
    """
    figure = new_figure(7, 5)
    axes = figure.subplots()
    noise = points[y < 0]
    axes.scatter(*noise.T, s=6, color="0.8", marker=".", label="noise" if len(noise) else None)
    box = {"boxstyle": "round,pad=0.2", "facecolor": "white", "alpha": 0.8, "linewidth": 0}
    edge = {"edgecolors": "0.3", "linewidths": 0.3}  # pale colours would vanish on white
    for number, name in enumerate(class_names):
        if not len(members := points[y == number]):
            continue
        style = {"color": class_colour(number), "marker": MARKERS[number % len(MARKERS)]}
        axes.scatter(*members.T, s=13, label=name, **style, **edge)
        middle = np.median(members, axis=0)
        axes.annotate(name, middle, ha="center", va="center", fontweight="bold", bbox=box)
    axes.set(xlabel=axis_labels[0], ylabel=axis_labels[1], title=title)
    if len(class_names) <= 20:
        figure.legend(loc="outside right center", fontsize=8, markerscale=1.5)
    figure.alt = (
        f"{title or 'Embedding'}: {len(points):,} samples in the plane, by class "
        f"({', '.join(map(str, class_names))})."
    )
    return figure


@styled
def correlation_heatmap(frame: "pd.DataFrame", *, title: str = "") -> CourseFigure:
    """Draw the correlation (Pearson, -1 to 1) of every pair of columns, with its value."""
    import seaborn as sns

    correlation = frame.corr(numeric_only=True)
    n = len(correlation)
    pairs = correlation.where(np.triu(np.ones((n, n), bool), 1)).stack().dropna()
    if pairs.empty:
        raise DatasetError(
            f"a correlation needs two numeric columns that vary; found {n} numeric in "
            f"{', '.join(map(str, frame.columns))}"
        )
    figure = new_figure(min(2.5 + 0.55 * n, 11), min(1.5 + 0.45 * n, 9))
    figure.colours = 256
    axes = figure.subplots()
    sns.heatmap(
        correlation, vmin=-1, vmax=1, cmap="RdBu_r", square=True, ax=axes, annot=n <= 15,
        fmt=".2f", annot_kws={"fontsize": 8}, cbar_kws={"label": "correlation"},
    )  # fmt: skip
    axes.set_title(title or "Correlation of each pair of features")
    (first, second), value = pairs.abs().idxmax(), pairs[pairs.abs().idxmax()]
    figure.alt = (
        f"Heat map of the correlations of {n} features. Strongest: {first} with {second}, "
        f"{value:.2f}."
    )
    return figure


@styled
def pair_plot(
    data: Dataset, features: Sequence[int] | None = None, *, title: str = ""
) -> CourseFigure:
    """Scatter every pair of a table's features, and draw each feature's distribution by class.

    Parameters
    ----------
    data
        A table.
    features
        Numbers of the columns to show; the first four if ``None``.
    title
        Of the whole figure.
    """
    import pandas as pd
    import seaborn as sns

    if data.kind != "table":
        raise DatasetError(f"{data.name} holds {data.kind}; a pair plot expects a table")
    chosen = list(range(min(4, data.x_train.shape[1]))) if features is None else list(features)
    names = [data.feature_names[i] if data.feature_names else f"feature {i}" for i in chosen]
    frame = pd.DataFrame(data.x_train[:, chosen], columns=names)
    classes = np.array(data.class_names)[data.y_train]
    n = len(chosen)
    figure = new_figure(2.1 * n + 1, 1.9 * n, title or f"{data.name}: every pair of features")
    grid = figure.subplots(n, n, squeeze=False, sharex="col")
    colours = {name: class_colour(i) for i, name in enumerate(data.class_names)}
    markers = {name: MARKERS[i % len(MARKERS)] for i, name in enumerate(data.class_names)}
    by_class = {"hue": classes, "hue_order": list(colours), "palette": colours, "legend": False}
    for (row, column), axes in np.ndenumerate(grid):
        x, y = frame[names[column]], frame[names[row]]
        if row == column:
            sns.kdeplot(x=x, ax=axes, fill=True, warn_singular=False, **by_class)
            axes.set_yticks([])
            axes.set_ylabel("density" if column else names[row])
        else:
            sns.scatterplot(
                x=x, y=y, style=classes, markers=markers, s=18, linewidth=0, ax=axes, **by_class
            )
            axes.set_ylabel(names[row] if column == 0 else "")
        axes.set_xlabel(names[column] if row == n - 1 else "")
        axes.tick_params(labelsize=7)
        axes.xaxis.label.set_fontsize(8)
        axes.yaxis.label.set_fontsize(8)
    figure.legend(
        handles=[
            mpl.lines.Line2D([], [], color=colours[name], marker=marker, linestyle="", label=name)
            for name, marker in markers.items()
        ],
        loc="outside right center",
    )
    figure.alt = (
        f"Pair plot of {', '.join(names)} of {data.name}, by class ({', '.join(data.class_names)})."
    )
    return figure
