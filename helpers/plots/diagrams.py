"""Diagrams of things that have a structure, drawn by code in the course's style."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patches import Circle, Rectangle

from helpers.plots.figure import CourseFigure, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CARDS = 4  # images drawn for the many that an array holds
NEURONS = 5  # drawn of a layer at most
STEP = 1.5  # from lesson to lesson, in the picture of the course
Place = tuple[float, float]


@styled
def array_axes(shape: Sequence[int], names: Sequence[str]) -> CourseFigure:
    """Draw an array of images as a stack of cards, and name its axes.

    Parameters
    ----------
    shape
        Of the array: (images, rows, columns), or with channels as the fourth.
    names
        One for each axis.
    """
    labels = [
        f"axis {i}: {name} ({n:,})" for i, (name, n) in enumerate(zip(names, shape, strict=True))
    ]
    figure, axes = _canvas(5.6, 2.6, (-2.2, 5.6), (-0.8, 2.95))
    for card in reversed(range(CARDS)):
        corner = (0.35 * card, 0.25 * card)
        axes.add_patch(Rectangle(corner, 2, 2, facecolor="white", edgecolor="C0", linewidth=1.5))
    grid = np.arange(1, 8) / 4
    axes.hlines(grid, 0, 2, color="0.85", linewidth=0.7)
    axes.vlines(grid, 0, 2, color="0.85", linewidth=0.7)
    _arrow(axes, (-0.2, 2), (-0.2, 0))
    axes.text(-0.3, 1, labels[1], ha="right", va="center")
    _arrow(axes, (0, -0.2), (2, -0.2))
    axes.text(1, -0.3, labels[2], ha="center", va="top")
    _arrow(axes, (2.2, -0.05), (3.4, 0.8))
    axes.text(3.05, 0.2, labels[0], ha="left", va="center")
    if len(labels) > 3:
        axes.text(3.4, 1.7, f"{labels[3]},\nin each square", ha="left", va="center")
    figure.alt = f"An array as a stack of images: {'; '.join(labels)}."
    return figure


@styled
def neuron_diagram() -> CourseFigure:
    """Draw a neuron: inputs, weights, sum, bias, activation, output."""
    figure, axes = _canvas(6.4, 2.6, (-0.5, 7.6), (-0.4, 2.6))
    for place, name in zip((2.0, 1.2, 0.0), ("1", "2", "n"), strict=True):
        _circle(axes, (0, place), f"$x_{name}$", 0.28)
        _arrow(axes, (0.3, place), (2.15, 1 + (place - 1) * 0.25))
        axes.text(1.1, place + (0.62 - 0.5 * place) * 0.5 + 0.02, f"$w_{name}$", ha="center")
    axes.text(0, 0.62, "⋮", ha="center", va="center")
    _circle(axes, (2.7, 1), "Σ", 0.5)
    _arrow(axes, (2.7, 2.1), (2.7, 1.55))
    axes.text(2.7, 2.15, "bias $b$", ha="center", va="bottom")
    _arrow(axes, (3.2, 1), (4.2, 1))
    axes.text(3.7, 1.08, "$z$", ha="center", va="bottom")
    _circle(axes, (4.7, 1), "σ", 0.5)
    _arrow(axes, (5.2, 1), (6.2, 1))
    axes.text(6.3, 1, "$a = σ(z)$", ha="left", va="center")
    axes.text(2.7, 0.3, "weighted sum", ha="center", va="top")
    axes.text(4.7, 0.3, "activation", ha="center", va="top")
    figure.alt = (
        "A neuron: inputs x1 to xn, each times its weight, are added up with the bias b to z; the "
        "activation function makes a of it."
    )
    return figure


@styled
def network_diagram(sizes: Sequence[int], names: Sequence[str]) -> CourseFigure:
    """Draw a dense network: a column of neurons for each layer, every pair connected.

    Parameters
    ----------
    sizes
        Neurons of each layer, the inputs first.
    names
        One for each layer.
    """
    xlim = (-1.3, 2.6 * (len(sizes) - 1) + 1.3)
    figure, axes = _canvas(2.3 * len(sizes), 2.9, xlim, (-2.5, 1.6))
    columns = [_column(2.6 * layer, size) for layer, size in enumerate(sizes)]
    for left, right in pairwise(columns):
        for a in left:
            for b in right:
                axes.plot(*zip(a, b, strict=True), color="0.8", linewidth=0.6, zorder=0)
    for column, size, name in zip(columns, sizes, names, strict=True):
        for place in column:
            _circle(axes, place, "", 0.17)
        if size > NEURONS:
            axes.text(column[0][0], 0, "⋮", ha="center", va="center")
        axes.text(column[0][0], -1.75, f"{size:,}\n{name}", ha="center", va="top", fontsize=9)
    layers = ", ".join(f"{name}: {size:,}" for name, size in zip(names, sizes, strict=True))
    figure.alt = f"A dense network, every neuron connected with all of the next layer. {layers}."
    return figure


def _column(x: float, size: int) -> list[Place]:
    """Return the places of a layer's neurons; a gap in the middle stands for those not drawn."""
    if size == 1:
        return [(x, 0.0)]
    if size <= NEURONS:
        return [(x, y) for y in np.linspace(1.2, -1.2, size)]
    upper = np.linspace(1.3, 0.55, NEURONS // 2)
    return [(x, float(y)) for y in (*upper, *-upper[::-1])]


@styled
def graph_diagram(values: Sequence[str], slopes: Sequence[str]) -> CourseFigure:
    """Draw a computation graph: values from left to right, slopes from right to left.

    Parameters
    ----------
    values
        What is computed, in order.
    slopes
        One for each pair of neighbours.
    """
    xlim = (-1.2, 3 * len(values) - 1.8)
    figure, axes = _canvas(2.0 * len(values), 1.9, xlim, (-1.1, 0.8), aspect="auto")
    for place, value in enumerate(values):
        _box(axes, 3 * place, value, "C0")
    for place, slope in enumerate(slopes):
        _arrow(axes, (3 * place + 0.95, 0.12), (3 * place + 2.05, 0.12))
        _arrow(axes, (3 * place + 2.05, -0.12), (3 * place + 0.95, -0.12), "C1")
        axes.text(3 * place + 1.5, -0.45, slope, ha="center", va="top", color="C1", fontsize=9)
    figure.alt = (
        f"A computation graph: {' to '.join(values)}. Backwards go the slopes {', '.join(slopes)}."
    )
    return figure


@styled
def course_path() -> CourseFigure:
    """Draw the lessons of the course as a path: data, networks, kinds of networks, experiments."""
    stages = {
        "data": ("01 load", "02 explore"),
        "networks": ("03 NumPy", "04 Keras"),
        "kinds of networks": ("05 images", "06 sequences", "07 pretrained"),
        "experiments": ("08 sweeps",),
    }
    count = sum(map(len, stages.values()))
    xlim = (-0.8, STEP * count - 0.7)
    figure, axes = _canvas(9.6, 1.4, xlim, (-0.7, 1.2), aspect="auto")
    x = 0.0
    for number, (stage, lessons) in enumerate(stages.items()):
        axes.text(x + STEP * (len(lessons) - 1) / 2, 0.75, stage, ha="center", color=f"C{number}")
        for lesson in lessons:
            _box(axes, x, lesson, f"C{number}", fontsize=9)
            x += STEP
            if x < STEP * count:
                _arrow(axes, (x - 0.9, 0), (x - 0.62, 0))
    named = "; ".join(f"{stage}: {', '.join(lessons)}" for stage, lessons in stages.items())
    figure.alt = f"The path through the course. {named}."
    return figure


def _canvas(
    width: float, height: float, xlim: Place, ylim: Place, aspect: str = "equal"
) -> tuple[CourseFigure, "Axes"]:
    """Return a figure of so many inches, and a plane to draw in, without axes."""
    figure = new_figure(width, height)
    axes = figure.subplots()
    axes.set(xlim=xlim, ylim=ylim, aspect=aspect)
    axes.set_axis_off()
    return figure, axes


def _circle(axes: "Axes", place: Place, text: str, radius: float) -> None:
    axes.add_patch(Circle(place, radius, facecolor="white", edgecolor="C0", linewidth=1.5))
    axes.text(*place, text, ha="center", va="center")


def _box(axes: "Axes", x: float, text: str, colour: str, **style: Any) -> None:
    box = {"boxstyle": "round,pad=0.45", "facecolor": "white", "edgecolor": colour}
    axes.text(x, 0, text, ha="center", va="center", bbox=box, **style)


def _arrow(axes: "Axes", start: Place, end: Place, color: str = "0.3") -> None:
    style = {"arrowstyle": "->", "color": color, "linewidth": 1.2}
    axes.annotate("", xy=end, xytext=start, arrowprops=style)
