"""A pad on which a reader draws a digit, and how strokes become an image like those of MNIST."""

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from helpers.errors import CourseError
from helpers.runs.metrics import FOLDER

Strokes = Sequence[Sequence[tuple[float, float]]]

SIDE, BOX = 28, 20  # pixels of an image, and of the digit in it (LeCun et al., 1998)
PEN = 2.4  # width of a line in these pixels
CANVAS = 280  # pixels of the pad
FINER = 8  # lines are drawn so much larger first, so that their edges are smooth


def is_live() -> bool:
    """Tell whether somebody can move a control: not in papermill, nbval or ``course run``.

    Jupyter's server tells its kernels the name of their session.
    """
    return "JPY_SESSION_NAME" in os.environ and FOLDER not in os.environ


def draw_digit(strokes: Strokes, *, centred: bool = True, pen: float = PEN) -> np.ndarray:
    """Draw the strokes of a digit as MNIST's digits are drawn.

    Parameters
    ----------
    strokes
        Lines, each a sequence of points (x, y) on a square of 280×280, y downwards.
    centred
        Scale the longer side of the digit to 20 pixels and put its centre of mass into the middle,
        as MNIST does (LeCun et al., 1998). Otherwise it stays where it was drawn.
    pen
        Width of the line, in pixels of the image.

    Returns
    -------
    ndarray, shape (28, 28), uint8
        0 is paper, 255 is ink.

    Raises
    ------
    CourseError
        If there is no point.
    """
    lines = [np.asarray(stroke, dtype=float).reshape(-1, 2) for stroke in strokes if len(stroke)]
    if not lines:
        raise CourseError("there are no strokes; expected at least one line with a point")
    points = np.concatenate(lines)
    corner, scale, margin = np.zeros(2), SIDE / CANVAS, 0.0
    if centred:
        longer = np.ptp(points, axis=0).max()
        scale = (BOX - pen) / longer if longer else 1.0
        margin = (SIDE - BOX + pen) / 2
        corner = points.min(axis=0)
    large = Image.new("L", (SIDE * FINER, SIDE * FINER))
    canvas, radius = ImageDraw.Draw(large), pen * FINER / 2
    for line in lines:
        places = ((line - corner) * scale + margin) * FINER
        canvas.line([tuple(p) for p in places], fill=255, width=round(2 * radius), joint="curve")
        for x, y in (places[0], places[-1]):  # round ends; a dot is a line of one point
            canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    image = np.asarray(large.resize((SIDE, SIDE), Image.Resampling.BOX))
    return _centred(image) if centred else image.copy()


def _centred(image: np.ndarray) -> np.ndarray:
    """Move the ink by whole pixels so that its centre of mass is in the middle; lose none."""
    for axis in (0, 1):
        ink = image.sum(axis=1 - axis, dtype=float)
        span = np.flatnonzero(ink)
        shift = round(SIDE / 2 - ink @ np.arange(SIDE) / ink.sum())
        image = np.roll(image, np.clip(shift, -span[0], SIDE - 1 - span[-1]), axis)
    return image


def _arc(x: float, y: float, width: float, height: float, start: float, end: float) -> list:
    """Return points of an ellipse around (x, y), from one angle in degrees to another."""
    turns = np.radians(np.linspace(start, end, 24))
    return [(x + width * math.cos(a), y + height * math.sin(a)) for a in turns]


DRAWN_DIGITS: dict[int, Strokes] = {
    0: [_arc(140, 140, 70, 105, -90, 270)],
    1: [[(115, 70), (150, 40), (145, 240)]],
    2: [[*_arc(135, 95, 65, 58, 190, 385), (75, 235), (210, 230)]],
    3: [[*_arc(130, 90, 62, 52, 200, 440), *_arc(130, 186, 72, 58, -80, 150)]],
    4: [[(105, 45), (70, 150), (205, 145)], [(170, 60), (150, 245)]],
    5: [[(100, 45), (88, 125), *_arc(125, 178, 70, 62, -130, 140)], [(100, 45), (200, 42)]],
    6: [[(165, 40), *_arc(190, 175, 112, 130, 240, 180), *_arc(128, 185, 56, 53, 170, -190)]],
    7: [[(70, 55), (205, 52), (125, 245)]],
    8: [[*_arc(140, 90, 52, 50, 60, -240), *_arc(140, 190, 62, 54, -120, 240)]],
    9: [[*_arc(135, 95, 56, 54, 0, -360), (191, 95), (175, 245)]],
}  # ten digits as somebody might draw them, for where nobody can


class DrawingPad:
    """A pad to draw a digit on with mouse or finger; where nobody can, a digit is drawn on it.

    Shown as the last expression of a cell. In JupyterLab ``strokes`` follow the reader's hand.

    Parameters
    ----------
    predict
        Gives the probabilities of the ten digits for an image ``(28, 28)`` of bytes. It is asked
        after each stroke.
    digit
        The digit that is on the pad at first.
    centred
        Whether what is drawn is scaled and put into the middle, see ``draw_digit``.
    """

    def __init__(
        self,
        predict: Callable[[np.ndarray], Any] | None = None,
        digit: int = 3,
        *,
        centred: bool = True,
    ) -> None:
        aside = 0 if centred else CANVAS / 6  # the digit at first, where nothing moves it
        self.strokes = [[(x + aside, y) for x, y in stroke] for stroke in DRAWN_DIGITS[digit]]
        self._predict, self._centred = predict, centred
        self._is_down = False

    @property
    def image(self) -> np.ndarray:
        """What is drawn, as ``draw_digit`` gives it: ``(28, 28)`` uint8."""
        return draw_digit(self.strokes, centred=self._centred)

    def answer(self) -> str:
        """Return the three likeliest digits of what is drawn, with their probabilities."""
        if self._predict is None:
            return ""
        shares = np.asarray(self._predict(self.image)).ravel()
        return ", ".join(f"{k}: {shares[k]:.0%}" for k in np.argsort(-shares)[:3])

    def _ipython_display_(self) -> None:
        from IPython.display import display

        from helpers.plots import image_grid

        if is_live():
            display(self._widgets())
        else:
            display(image_grid(self.image[None], [self.answer()], columns=1, title="drawn by code"))

    def _widgets(self) -> Any:
        """Return the pad with its button, and what the network sees and says."""
        from ipycanvas import Canvas
        from ipywidgets import HTML, Button, HBox, VBox
        from ipywidgets import Image as Picture

        self._canvas = Canvas(width=CANVAS, height=CANVAS, layout={"border": "1px solid gray"})
        self._canvas.line_width, self._canvas.line_cap = PEN * CANVAS / SIDE * 0.7, "round"
        self._line, self._seen = HTML("Draw a digit here."), Picture(width=CANVAS // 2)
        clear = Button(description="Clear")
        clear.on_click(lambda _: self._clear())
        self._canvas.on_mouse_down(self._begin)
        self._canvas.on_mouse_move(self._go_on)
        self._canvas.on_mouse_up(lambda x, y: self._end())
        self._canvas.on_mouse_out(lambda x, y: self._end())
        self._canvas.on_touch_start(lambda fingers: self._begin(*fingers[0]))
        self._canvas.on_touch_move(lambda fingers: self._go_on(*fingers[0]))
        self._canvas.on_touch_end(lambda fingers: self._end())
        self._is_empty = True  # until the first stroke, which takes the drawn digit away
        return HBox([VBox([self._canvas, clear]), VBox([self._line, self._seen])])

    def _begin(self, x: float, y: float) -> None:
        if self._is_empty:
            self.strokes, self._is_empty = [], False
        self._is_down = True
        self.strokes.append([(x, y)])

    def _go_on(self, x: float, y: float) -> None:
        if self._is_down:
            self._canvas.stroke_line(*self.strokes[-1][-1], x, y)
            self.strokes[-1].append((x, y))

    def _end(self) -> None:
        if not self._is_down:
            return
        self._is_down = False
        try:
            self._line.value = self.answer()
        except Exception as error:  # in a callback nobody would see it
            self._line.value = f"{type(error).__name__}: {error}"
        enlarged = Image.fromarray(255 - self.image).resize((CANVAS // 2,) * 2, 0)
        self._seen.value = enlarged._repr_png_()

    def _clear(self) -> None:
        self._canvas.clear()
        self._is_empty = True
        self._line.value, self._seen.value = "Draw a digit here.", b""
