"""What a notebook says to the person who works through it."""

from collections.abc import Callable

from helpers.runs.metrics import FAILED_CHECK

MESSAGE = 150  # characters of an error that are shown


def check(passed: object, claim: str, hint: str = "", *, required: bool = True) -> None:
    """Print ``✓ claim`` or ``✗ claim: hint``.

    It does not raise, so that an unsolved exercise does not keep the rest of a notebook from
    running; ``course run`` counts a notebook with a ``✗`` as failed.

    Parameters
    ----------
    passed
        The condition. ``...``, the placeholder of an unsolved exercise, does not pass.
    claim
        What holds if it passes.
    hint
        Where to look if it does not.
    required
        False for a claim about one data set when the notebook runs on another: there it may fail,
        which is then said without ``✗``.
    """
    if passed is not ... and bool(passed):
        print(f"✓ {claim}")  # noqa: T201 - notebooks show what is printed
    elif required:
        print(f"{FAILED_CHECK} {claim}" + (f": {hint}" if hint else ""))  # noqa: T201
    else:
        print(f"– does not hold on this data set: {claim}")  # noqa: T201


def attempt(what: str, action: Callable[[], object]) -> None:
    """Run code that goes wrong, and print its error in one line, or what it gave without one."""
    try:
        print(f"{what}: no error, it gives {action()}")  # noqa: T201
    except Exception as error:
        message = " ".join(str(error).split())
        shown = message if len(message) <= MESSAGE else message[: MESSAGE - 1] + "…"
        print(f"{what}: {type(error).__name__}: {shown}")  # noqa: T201
