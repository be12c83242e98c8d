"""Exercises: an answer goes in, one line comes out that tells what is wrong, never the answer."""

import contextlib
import copy
import importlib
import inspect
import numbers
import re
from typing import Any

import numpy as np

from helpers.runs.metrics import report_failed

NOT_YET = "○"


class Wrong(Exception):
    """An answer is wrong; the message tells the student how to go on."""


class NotYet(Exception):
    """There is no answer yet: the stub as it was."""


class Exercises:
    """The exercises of one lesson.

    Parameters
    ----------
    lesson
        Its number, such as ``"01"``. The checks are the functions ``exercise_1``, ``exercise_2``, …
        of ``helpers.classroom.checks.lesson_01``: read them if you like.
    """

    def __init__(self, lesson: str) -> None:
        checks = vars(importlib.import_module(f"helpers.classroom.checks.lesson_{lesson}"))
        names = (name for name in checks if name.startswith("exercise_"))
        every = sorted(int(name.removeprefix("exercise_")) for name in names)
        self._checks = {number: checks[f"exercise_{number}"] for number in every}
        self._solved = dict.fromkeys(every, False)

    def check(self, number: int, *answer: Any) -> None:
        """Print whether an answer is right (``✓``), wrong and why (``✗``), or missing (``○``).

        It never raises for an answer: the rest of the notebook runs on.

        Raises
        ------
        ValueError
            If the lesson has no such exercise.
        """
        if number not in self._solved:
            raise ValueError(f"exercise {number}; expected 1 to {max(self._solved)}")
        self._solved[number] = False
        try:
            if any(value is ... for value in answer):
                raise NotYet
            praise = self._checks[number](*answer)
        except NotYet:
            print(f"{NOT_YET} exercise {number}: not solved yet")  # noqa: T201 - it is read
        except Wrong as wrong:
            report_failed(f"exercise {number}: {wrong}")
        except Exception as error:  # an answer of a kind that the check did not think of
            reason = f"{type(error).__name__}: {shortened(error)}"
            report_failed(
                f"exercise {number}: the check cannot use this answer ({reason}); does it have "
                "the kind and the shape that the exercise asks for?"
            )
        else:
            self._solved[number] = True
            print(f"✓ exercise {number}: {praise or 'solved'}")  # noqa: T201

    def score(self) -> None:
        """Print how many exercises are solved, and which are open."""
        open_ones = [str(number) for number, solved in self._solved.items() if not solved]
        counts = f"{len(self._solved) - len(open_ones)} of {len(self._solved)} exercises solved"
        print(counts + (f"; open: {', '.join(open_ones)}" if open_ones else ""))  # noqa: T201


def call(function: Any, *arguments: Any, case: str = "") -> Any:
    """Call a student's function on copies of hidden inputs.

    Raises
    ------
    NotYet
        If it returns ``...``, as the stub does.
    Wrong
        If it is no function, takes other arguments, raises, returns nothing, or changes its input.
    """
    if not callable(function):
        raise Wrong(f"expected a function, received {kind(function)}")
    copies = copy.deepcopy(arguments)
    where = f" for {case}" if case else ""
    with contextlib.suppress(ValueError):  # without a signature, such as some of NumPy's
        try:
            inspect.signature(function).bind(*copies)
        except TypeError as error:
            raise Wrong(f"the function is called with {len(copies)} arguments: {error}") from error
    try:
        result = function(*copies)
    except Exception as error:
        reason = f"{type(error).__name__}: {shortened(error)}"
        raise Wrong(f"your function stops{where}: {reason}") from error
    if result is ...:
        raise NotYet
    if result is None:
        raise Wrong(f"your function returns nothing{where}; it has to return its result")
    if not all(same(a, b) for a, b in zip(arguments, copies, strict=True)):
        raise Wrong("your function changes what it was given; work on a copy")
    return result


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal: numbers, texts, arrays, tables and lists of them.

    Anything else, such as a generator of random numbers, may have changed.
    """
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")
    if hasattr(one, "equals"):
        return one.equals(other)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return not isinstance(one, int | float | str) or one == other


def expect_array(
    answer: Any, expected: np.ndarray, case: str, *, atol: float = 1e-5, dtype: str = ""
) -> np.ndarray:
    """Compare an array with the reference: kind, shape, type, values, in this order.

    ``Wrong`` names the first thing that differs, and by how much; never the value that is right.
    """
    if not hasattr(answer, "__len__") and np.ndim(expected):
        raise Wrong(f"expected an array, received {kind(answer)}")
    try:
        array = np.asarray(answer)
        if array.dtype.kind in "cUS":  # complex numbers and texts would become numbers
            raise TypeError
        values = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise Wrong(f"expected an array of numbers, received {kind(answer)}") from error
    if array.shape != expected.shape:
        raise Wrong(f"{case}: expected shape {expected.shape}, received {array.shape}")
    if dtype and array.dtype != np.dtype(dtype):
        raise Wrong(f"{case}: expected dtype {dtype}, received {array.dtype}")
    wanted = expected.astype(np.float64)
    far = ~np.isclose(values, wanted, rtol=1e-4, atol=atol, equal_nan=True)
    if far.any():
        place = tuple(int(i) for i in np.argwhere(far)[0])
        where = f"the value at {list(place)}" if place else "the value"
        if not np.isfinite(values[place]):
            raise Wrong(f"{case}: {where} is {values[place]}")
        off = values[place] - wanted[place]
        count = "" if far.size == 1 else f"; {far.sum():,} of {far.size:,} values differ"
        raise Wrong(f"{case}: {where} is {abs(off):.3g} too {_large_or_small(off)}{count}")
    return array


def _large_or_small(difference: float) -> str:
    return "large" if difference > 0 else "small"


def one_number(answer: Any, case: str) -> float:
    """Return a number as it is; ``Wrong`` if it is a text, a truth value or has axes."""
    if getattr(answer, "shape", None) == ():  # an array without axes, or such a tensor
        answer = np.asarray(answer).item()
    if not isinstance(answer, numbers.Real) or isinstance(answer, bool):
        raise Wrong(f"{case}: expected a number, received {kind(answer)}")
    return float(answer)


def expect_count(answer: Any, expected: int, case: str) -> None:
    """Compare a count with the reference: ``Wrong`` unless it is the same to the last digit."""
    off = one_number(answer, case) - expected
    if off:
        raise Wrong(f"{case}: the number is {abs(off):,.4g} too {_large_or_small(off)}")


def expect_number(answer: Any, expected: float, case: str, *, atol: float = 1e-6) -> float:
    """Compare one number with the reference; ``Wrong`` says whether it is too large or small."""
    number = one_number(answer, case)
    expect_array(np.asarray(number), np.asarray(expected), case, atol=atol)
    return number


def expect_share(answer: Any, case: str) -> float:
    """Return a number from 0 to 1; ``Wrong`` if it is none."""
    share = one_number(answer, case)
    if not 0 <= share <= 1:
        raise Wrong(f"{case}: expected a share from 0 to 1, received {share:.4g}")
    return share


def expect_parts(answer: Any, count: int, what: str) -> list[Any]:
    """Return the parts of a tuple, list or array with one axis; ``Wrong`` unless it has so many."""
    several = isinstance(answer, tuple | list) or (
        isinstance(answer, np.ndarray) and answer.ndim == 1
    )
    if not several or len(answer) != count:
        raise Wrong(f"expected {what}, received {kind(answer)}")
    return list(answer)


def refuse(answer: Any, traps: dict[str, Any], case: str) -> None:
    """Raise ``Wrong`` for an answer that equals a known wrong one, with the message of that."""
    try:
        values = np.asarray(answer, dtype=float)
    except (TypeError, ValueError):  # no numbers: equal to no wrong one either
        return
    for message, trap in traps.items():
        if values.shape == np.shape(trap) and np.allclose(values, trap):
            raise Wrong(f"{case}: {message}")


def shortened(error: Exception) -> str:
    """Return the message of an error in one line, without the bold type of Keras."""
    return " ".join(re.sub(r"\x1b\[\d*m", "", str(error)).split())[:150]


def kind(value: Any) -> str:
    """Describe a value in a few words: its type, and its shape if it has one."""
    shape = getattr(value, "shape", None)
    what = type(value).__name__
    return f"{what} of shape {tuple(shape)}" if shape else f"{what} {str(value)[:40]!r}"
