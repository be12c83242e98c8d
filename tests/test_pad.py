"""The drawing pad: strokes become images like MNIST's; where nobody can draw, the code does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.classroom.pad import CANVAS, DRAWN_DIGITS, DrawingPad, draw_digit
from helpers.errors import CourseError

place = st.floats(0, CANVAS)
lines = st.lists(st.lists(st.tuples(place, place), min_size=1, max_size=8), min_size=1, max_size=4)


def ink(image):
    """Return rows and columns with ink, and the centre of mass."""
    rows, columns = (np.flatnonzero(image.any(axis=1 - axis)) for axis in (0, 1))
    total = image.sum(dtype=float)
    centre = [image.sum(axis=1 - axis, dtype=float) @ np.arange(28) / total for axis in (0, 1)]
    return rows, columns, centre


@given(lines)
def test_a_digit_fits_into_its_box_and_has_its_mass_in_the_middle(strokes):
    image = draw_digit(strokes)
    assert image.shape == (28, 28)
    assert image.dtype == np.uint8
    rows, columns, centre = ink(image)
    assert max(np.ptp(rows), np.ptp(columns)) <= 20
    for span, middle in zip((rows, columns), centre, strict=True):
        if span[0] > 0 and span[-1] < 27:  # else it would leave the image, heavy at one end
            assert middle == pytest.approx(14, abs=0.51)


@pytest.mark.parametrize("digit", DRAWN_DIGITS)
def test_place_and_size_of_a_drawing_do_not_matter(digit):
    small = [[(x / 2 + 100, y / 2 + 7) for x, y in line] for line in DRAWN_DIGITS[digit]]
    difference = draw_digit(small).astype(int) - draw_digit(DRAWN_DIGITS[digit])
    assert np.abs(difference).mean() < 2


def test_where_a_digit_was_drawn_matters_if_it_is_not_centred():
    left = draw_digit([[(20, 20), (20, 250)]], centred=False)
    assert np.flatnonzero(left.any(axis=0)).max() < 6


def test_nothing_drawn_is_refused():
    for nothing in ([], [[]]):
        with pytest.raises(CourseError, match="at least one line"):
            draw_digit(nothing)


def test_a_dot_is_a_drawing():
    assert draw_digit([[(5, 270)]]).max() == 255


def test_without_a_reader_the_pad_shows_a_drawn_digit(monkeypatch, capsys):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    pad = DrawingPad(lambda image: np.eye(10)[7] * (image.shape == (28, 28)), digit=7)
    assert pad.answer().startswith("7: 100%")
    assert np.array_equal(pad.image, draw_digit(DRAWN_DIGITS[7]))


def test_the_hand_replaces_what_the_code_has_drawn(monkeypatch):
    pad = DrawingPad(lambda image: np.full(10, 0.1), digit=3)
    pad._widgets()
    pad._begin(10, 10)
    pad._go_on(100, 200)
    pad._end()
    assert pad.strokes == [[(10, 10), (100, 200)]]
    pad._go_on(0, 0)  # the mouse moves on without its button
    assert len(pad.strokes[0]) == 2
    assert "10%" in pad._line.value
    assert bytes(pad._seen.value).startswith(b"\x89PNG")
    pad._clear()
    pad._begin(50, 50)
    assert pad.strokes == [[(50, 50)]]


def test_an_error_of_the_network_is_shown(monkeypatch):
    pad = DrawingPad(lambda image: 1 / 0)
    pad._widgets()
    pad._begin(10, 10)
    pad._end()
    assert pad._line.value == "ZeroDivisionError: division by zero"


def test_a_pad_that_does_not_centre_shows_its_digit_beside_the_middle():
    beside, centred = (ink(DrawingPad(digit=4, centred=c).image)[2][1] for c in (False, True))
    assert beside > centred + 3
