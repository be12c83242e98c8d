"""Pictures of what a classifier says of photos, and of why."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from helpers.plots.figure import CourseFigure, class_colour, new_figure, show_image, styled

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
    files = list(photos)
    top = int(table["rank"].max())
    rows = -(-len(files) // columns)
    columns = min(columns, len(files))
    height = rows * (PHOTO + 0.27 * top) + (0.35 if title else 0)
    figure = new_figure(columns * 3.1, height, title)
    ratios = [PHOTO, 0.27 * top] * rows
    grid = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=ratios)
    for axes in grid.ravel():
        axes.set_axis_off()
    right = 0
    for number, (file, image) in enumerate(photos.items()):
        row, column = divmod(number, columns)
        own = table[table["file"] == file]
        known = (truth or {}).get(file, ())
        show_image(grid[2 * row, column], image)
        name = next(iter(known), file)
        grid[2 * row, column].set_title(_shown(name), fontsize=9, fontweight="normal")
        _bars(grid[2 * row + 1, column], own, known)
        right += own["label"].iloc[0] in known
    first = table[(table["rank"] == 1) & table["file"].isin(files)]
    said = ", ".join(f"{r.label} ({r.probability:.0%})" for r in first.itertuples())
    known = sum(file in (truth or {}) for file in files)
    score = f" {right} of {known} first guesses are right." if known else ""
    figure.colours = None
    figure.alt = f"{title or 'Predictions'}: {len(files)} photos with their classes: {said}.{score}"
    return figure


def _bars(axes: "Axes", own: "pd.DataFrame", truth: Collection[str]) -> None:
    heights = range(len(own) - 1, -1, -1)
    bars = axes.barh(heights, own["probability"], color=class_colour(9), height=0.8)
    for bar, row in zip(bars, own.itertuples(), strict=True):
        tick = ""
        if row.label in truth:
            bar.set_color(class_colour(2))
            tick = "  ✓"
        axes.text(
            0.01, bar.get_y() + 0.4, f"{_shown(row.label)}  {row.probability:.0%}{tick}",
            va="center", fontsize=8,
        )  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(-0.6, len(own) - 0.4))


def _shown(label: str) -> str:
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
        smooth = Image.fromarray(heat.astype(np.float32)).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        top = max(float(heat.max()), 1e-12)
        axes.imshow(np.asarray(smooth), cmap="inferno", alpha=0.6, vmin=0, vmax=top)
        axes.set_title(
            f"{_shown(name)} (0 … {max(heat.max(), 0):.2g})", fontsize=9, fontweight="normal"
        )
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
def feature_maps(
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
        line[0].text(
            -0.15, 0.5, f"{name}\n{rows}×{columns}\n{channels} channels",
            transform=line[0].transAxes, ha="right", va="center", fontsize=8,
        )  # fmt: skip
    shapes = ", ".join(f"{name} {'×'.join(map(str, m.shape))}" for name, m in maps.items())
    figure.alt = f"{title or 'Feature maps'}: the {count} liveliest channels of {shapes}."
    return figure
