"""The course's figures: one style, readable without colour and without eyes."""

import base64
import io
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from helpers.errors import DatasetError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLE = Path(__file__).with_name("course.mplstyle")
# Beside a colour, every class has a marker of its own.
MARKERS = "osD^vPX<>*"
SIDE = 0.95  # inches, of an image beside others


class CourseFigure(Figure):
    """A figure with a text alternative, which screen readers and plain-text output get.

    Attributes
    ----------
    alt : str
        What the figure shows, in one or two sentences.
    colours : int or None
        Size of the picture's palette: 64 draw a chart well in a quarter of the bytes, shades need
        256. None for photos, which are shown as JPEG.
    """

    alt = ""
    colours: int | None = 64

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        drawn, small = io.BytesIO(), io.BytesIO()
        with mpl.rc_context(fname=STYLE):
            quick = {"compress_level": 1}  # it is compressed anew below
            self.savefig(drawn, format="png", bbox_inches="tight", pil_kwargs=quick)
        from PIL import Image

        picture = Image.open(drawn).convert("RGB")
        if self.colours is None:
            kind = "image/jpeg"
            picture.save(small, "jpeg", quality=75, optimize=True)
        else:
            kind = "image/png"
            # An octree keeps every colour of the style within 5 of 255 levels; a median cut lost
            # some.
            method = Image.Quantize.FASTOCTREE
            reduced = picture.quantize(self.colours, method, dither=Image.Dither.NONE)
            reduced.save(small, "png", optimize=True)
        image = base64.b64encode(small.getvalue()).decode()
        return {kind: image, "text/plain": self.alt}, {kind: {"alt": self.alt}}


P = ParamSpec("P")


def styled(function: Callable[P, CourseFigure]) -> Callable[P, CourseFigure]:
    """Draw in the course's style, whatever the notebook has set."""

    @wraps(function)
    def draw(*args: P.args, **kwargs: P.kwargs) -> CourseFigure:
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rc_file(STYLE, use_default_template=False)
            return function(*args, **kwargs)

    return draw


def new_figure(width: float, height: float, title: str = "") -> CourseFigure:
    figure = CourseFigure(figsize=(width, height), layout="constrained")
    if title:
        figure.suptitle(title, fontsize=12, fontweight="bold")
    return figure


@styled
def subplots(
    rows: int = 1, columns: int = 1, *, alt: str, width: float = 6.4, height: float = 3.2,
    title: str = "",
) -> tuple[CourseFigure, Any]:  # fmt: skip
    """Return a figure and its axes, as ``matplotlib.pyplot.subplots`` does, in the course's style.

    Parameters
    ----------
    rows, columns
        Of axes.
    alt
        What the figure will show, for those who cannot see it.
    width, height
        Of the figure, in inches.
    title
        Of the figure.
    """
    figure = new_figure(width, height, title)
    figure.alt = alt
    return figure, figure.subplots(rows, columns)


def class_colour(number: int) -> str:
    """Return the number-th colour of the style, settled now: "C0" would mean another's later."""
    return mpl.colors.to_hex(f"C{number % 10}")


def _are_photos(images: np.ndarray) -> bool:
    return images.ndim == 4 and images.shape[-1] == 3


def show_image(axes: "Axes", image: np.ndarray, **options: Any) -> None:
    """Draw one image in a thin frame; grey ones dark on light, over the whole range of a byte."""
    if image.ndim == 3 and image.shape[-1] == 1:
        image = image[..., 0]
    if image.dtype == np.uint8 and image.ndim == 2:
        options = {"vmin": 0, "vmax": 255, **options}
    axes.imshow(image, **options)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color="0.8", linewidth=0.5)


def name_row(axes: "Axes", name: str, fontsize: int) -> None:
    """Write the name of a row of pictures to the left of its first one."""
    style = {"ha": "right", "va": "center", "fontsize": fontsize}
    axes.text(-0.15, 0.5, name, transform=axes.transAxes, **style)


@styled
def image_grid(
    images: np.ndarray,
    titles: Sequence[Any] = (),
    *,
    columns: int = 10,
    title: str = "",
) -> CourseFigure:
    """Show images side by side, each with a title.

    Parameters
    ----------
    images : ndarray, shape (n, h, w), (n, h, w, 1) or (n, h, w, 3)
        uint8, or float in [0, 1] if coloured.
    titles
        One for each image, or none.
    columns
        Images a row.
    title
        Of the whole figure.
    """
    if not len(images):
        raise DatasetError("image_grid received no images; expected at least one")
    rows = -(-len(images) // columns)
    columns = min(columns, len(images))
    line = 0.28 if len(titles) else 0.05
    figure = new_figure(columns * SIDE, rows * (SIDE + line) + (0.35 if title else 0), title)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(images) :]:
        axes.set_axis_off()
    for axes, image in zip(grid, images, strict=False):
        show_image(axes, image)
    for axes, text in zip(grid, titles, strict=False):
        axes.set_title(str(text), fontsize=8, fontweight="normal")
    named = ", ".join(" ".join(str(t).split()) for t in titles)
    if _are_photos(images):
        figure.colours = None
    figure.alt = f"{title or 'Images'}: {len(images)} pictures" + (f" ({named})" if named else "")
    return figure


@styled
def image_rows(rows: dict[str, np.ndarray], *, title: str = "") -> CourseFigure:
    """Compare several versions of the same images, a named row for each version.

    Parameters
    ----------
    rows
        Name of the version to images ``(n, h, w)`` or ``(n, h, w, 3)``.
    title
        Of the whole figure.
    """
    count = min(map(len, rows.values()))
    figure = new_figure(count * SIDE + 1.6, len(rows) * SIDE + (0.4 if title else 0), title)
    grid = figure.subplots(len(rows), count, squeeze=False)
    for line, (name, images) in zip(grid, rows.items(), strict=True):
        for axes, image in zip(line, images, strict=False):
            show_image(axes, image)
        name_row(line[0], name, fontsize=9)
    figure.colours = None if any(map(_are_photos, rows.values())) else 256
    figure.alt = f"{title or 'Comparison'}: {count} images, each as {', '.join(rows)}."
    return figure
