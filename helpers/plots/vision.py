"""Pictures of what a classifier says of photos, and of why."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from helpers.plots.figure import (
    CourseFigure,
    class_colour,
    name_row,
    new_figure,
    show_image,
    styled,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

PHOTO = 2.3  # inches, the height of a photo with its name


@styled
def photo_predictions(
    photos: Mapping[str, np.ndarray],
    table: "pd.DataFrame",
    *,
    truth: Mapping[str, Collection[str]] | None = None,
    columns: int = 3,
    title: str = "",
) -> CourseFigure:
    """Show photos, each with bars of the most probable classes.

    Parameters
    ----------
    photos
        File name to uint8 of shape (h, w, 3), as ``Classifier.load_photos`` returns them.
    table : DataFrame
        What ``Classifier.predict`` returns for them, and maybe for more.
    truth
        File name to the labels that are right, where they are known: the first stands above, and
        their bars have another colour and a tick.
    columns
        Photos a row.
    title
        Of the whole figure.
    """
    truth = truth or {}
    top = int(table["rank"].max())
    rows, columns = -(-len(photos) // columns), min(columns, len(photos))
    height = rows * (PHOTO + 0.27 * top) + (0.35 if title else 0)
    figure = new_figure(columns * 3.1, height, title)
    ratios = [PHOTO, 0.27 * top] * rows
    grid = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=ratios)
    for axes in grid.ravel():
        axes.set_axis_off()
    guesses, right = [], 0
    for number, (file, image) in enumerate(photos.items()):
        row, column = divmod(number, columns)
        answers, labels = table[table["file"] == file], truth.get(file, ())
        show_image(grid[2 * row, column], image)
        name = _readable(next(iter(labels), file))
        grid[2 * row, column].set_title(name, fontsize=9, fontweight="normal")
        _bars(grid[2 * row + 1, column], answers, labels)
        first = answers.iloc[0]
        guesses.append(f"{first['label']} ({first['probability']:.0%})")
        right += first["label"] in labels
    known = sum(file in truth for file in photos)
    score = f" {right} of {known} first guesses are right." if known else ""
    figure.colours = None
    figure.alt = (
        f"{title or 'Predictions'}: {len(photos)} photos with their classes: "
        f"{', '.join(guesses)}.{score}"
    )
    return figure


def _bars(axes: "Axes", answers: "pd.DataFrame", truth: Collection[str]) -> None:
    heights = range(len(answers) - 1, -1, -1)
    right = answers["label"].isin(truth)
    colours = [class_colour(2 if is_right else 9) for is_right in right]
    axes.barh(heights, answers["probability"], color=colours, height=0.8)
    for height, row, is_right in zip(heights, answers.itertuples(), right, strict=True):
        text = f"{_readable(row.label)}  {row.probability:.0%}{'  ✓' * is_right}"
        axes.text(0.01, height, text, va="center", fontsize=8)
    axes.set(xlim=(0, 1), ylim=(-0.6, len(answers) - 0.4))


def _readable(label: str) -> str:
    text = label.replace("_", " ")
    return text if len(text) <= 34 else text[:33] + "…"


@styled
def heat_maps(
    image: np.ndarray, maps: Mapping[str, np.ndarray], *, title: str = ""
) -> CourseFigure:
    """Lay maps over a photo: bright where a map is high, dark where it is not.

    Parameters
    ----------
    image : ndarray of uint8, shape (h, w, 3)
    maps
        By title, of shape (rows, columns), of any resolution. Each is shown over its own range
        above 0, whose end stands in its title.
    title
        Of the whole figure.
    """
    figure = new_figure(2.9 * (len(maps) + 1), 3.2 + (0.35 if title else 0), title)
    panels = figure.subplots(1, len(maps) + 1, squeeze=False)[0]
    show_image(panels[0], image)
    panels[0].set_title("the photo", fontsize=9, fontweight="normal")
    height, width = image.shape[:2]
    places = []
    for axes, (name, heat) in zip(panels[1:], maps.items(), strict=True):
        show_image(axes, np.repeat(image.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2))
        size, bicubic = (width, height), Image.Resampling.BICUBIC
        smooth = Image.fromarray(heat.astype(np.float32)).resize(size, bicubic)
        top = max(float(heat.max()), 1e-12)
        axes.imshow(np.asarray(smooth), cmap="inferno", alpha=0.6, vmin=0, vmax=top)
        name_and_range = f"{_readable(name)} (0 … {max(heat.max(), 0):.2g})"
        axes.set_title(name_and_range, fontsize=9, fontweight="normal")
        row, column = np.unravel_index(heat.argmax(), heat.shape)
        places.append(f"{name}: highest at {_place(row, column, heat.shape)}")
    figure.colours = None
    figure.alt = f"{title or 'Maps over a photo'}. {'; '.join(places)}."
    return figure


def _place(row: int, column: int, shape: tuple[int, ...]) -> str:
    vertical = ("top", "middle", "bottom")[int(3 * (row + 0.5) / shape[0])]
    horizontal = ("left", "centre", "right")[int(3 * (column + 0.5) / shape[1])]
    return f"{vertical} {horizontal}"


@styled
def feature_map_grid(
    maps: Mapping[str, np.ndarray], *, count: int = 8, title: str = ""
) -> CourseFigure:
    """Show the channels of each block that vary most over the photo, each over its own range.

    Parameters
    ----------
    maps
        By block, of shape (rows, columns, channels), as ``vision.feature_maps`` gives them.
    count
        Channels a row.
    title
        Of the whole figure.
    """
    figure = new_figure(count * 1.05 + 1.5, len(maps) * 1.1 + (0.35 if title else 0), title)
    grid = figure.subplots(len(maps), count, squeeze=False)
    for line, (name, values) in zip(grid, maps.items(), strict=True):
        # By the mean, saturated channels would come first: plain areas (ReLU6 of MobileNet).
        strongest = np.argsort(-values.std(axis=(0, 1)))[:count]
        for axes in line:
            axes.set_axis_off()
        for axes, channel in zip(line, strongest, strict=False):
            show_image(axes, values[..., channel], cmap="magma")
        rows, columns, channels = values.shape
        name_row(line[0], f"{name}\n{rows}×{columns}\n{channels} channels", fontsize=8)
    shapes = ", ".join(f"{name} {'×'.join(map(str, m.shape))}" for name, m in maps.items())
    figure.alt = f"{title or 'Feature maps'}: the {count} liveliest channels of {shapes}."
    return figure
