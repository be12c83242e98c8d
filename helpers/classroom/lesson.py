"""Guesses, questions and claims of a lesson."""

import html
import re
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

from helpers.classroom.pad import is_live
from helpers.runs.metrics import report_failed

MESSAGE = 300  # characters of an error that are shown
CLOSE = 0.1  # a guessed number this near, as a share of the truth, is called close


def check(passed: object, claim: str, hint: str = "", *, required: bool = True) -> None:
    """Print ``✓ claim`` or ``✗ claim: hint``.

    It does not raise, so that the rest of the notebook runs; ``course run`` counts a notebook with
    a ``✗`` as failed.

    Parameters
    ----------
    passed
        The condition.
    claim
        What holds if it passes.
    hint
        Where to look if it does not.
    required
        False for a claim about one data set when the notebook runs on another: there it may fail,
        which is then said without ``✗``.
    """
    if bool(passed):
        print(f"✓ {claim}")  # noqa: T201 - notebooks show what is printed
    elif required:
        report_failed(f"{claim}: {hint}" if hint else claim)
    else:
        print(f"– does not hold on this data set: {claim}")  # noqa: T201


def reveal(guess: Any, truth: Any, why: str = "") -> None:
    """Print the answer to a question that the reader was asked to guess.

    Parameters
    ----------
    guess
        What the reader guessed: a word or a number; ``None`` where there is no guess.
    truth
        The answer, of the same kind. A number is printed with three digits.
    why
        The reason, in a sentence.
    """
    answer = _formatted(truth)
    if guess is None:
        line = f"The answer: {answer}."
    elif _agree(guess, truth):
        line = f"You guessed {_formatted(guess)}, and that is right: {answer}."
    else:
        line = f"You guessed {_formatted(guess)}; it is {answer}. A surprise is worth remembering."
    print(line + (f" {why}" if why else ""))  # noqa: T201


def _formatted(value: Any) -> str:
    if isinstance(value, str):
        return value
    number = float(value)
    return f"{number:,.0f}" if number == round(number) or abs(number) >= 1000 else f"{number:.3g}"


def _agree(guess: Any, truth: Any) -> bool:
    if isinstance(truth, str):
        return str(guess).strip().casefold() == truth.casefold()
    try:
        return abs(float(guess) - float(truth)) <= CLOSE * abs(float(truth))
    except (TypeError, ValueError):
        return False


class Question:
    """A question with several options; each folds out and tells why it is right or wrong.

    It needs no kernel: the page works in JupyterLab, as HTML and on paper (without the answers).

    Parameters
    ----------
    question
        One sentence.
    options
        Option to reason, of the wrong ones too.
    answer
        The right option.

    Raises
    ------
    ValueError
        If the answer is none of the options, or an option has no reason.
    """

    def __init__(self, question: str, options: Mapping[str, str], answer: str) -> None:
        if answer not in options:
            raise ValueError(f"answer={answer!r}; expected one of {', '.join(options)}")
        if without := [option for option, reason in options.items() if not reason]:
            raise ValueError(f"the option {without[0]!r} has no reason; expected one for each")
        self.question, self.options, self.answer = question, dict(options), answer

    def _repr_html_(self) -> str:
        page = f"<p><b>{html.escape(self.question)}</b> (open the one that you choose)</p>"
        for option, reason in self.options.items():
            verdict = ("Right. " if option == self.answer else "No. ") + reason
            page += (
                f"<details><summary>{html.escape(option)}</summary>"
                f"<p>{html.escape(verdict)}</p></details>"
            )
        return page

    def __repr__(self) -> str:
        return "\n".join([self.question, *(f"  ( ) {option}" for option in self.options)])


choose = Question  # the verb that a lesson asks with


def interact(**controls: Any) -> Callable[[Callable[..., Any]], Any]:
    """Show controls as ``ipywidgets.interact`` does, where somebody can move them.

    Elsewhere (papermill, nbval, ``course run``) nothing is shown, as nobody could move them and a
    cell with a widget can stall there: nbclient answers its messages on the socket where it waits
    for the kernel's reply, and jupyter_client 8 then misses one reply in some hundred until the
    cell's time is up. (With ``socket._schedule_remaining_events()`` after each ``send`` none was
    missed in 1,000 cells.)
    """
    if not is_live():
        return lambda function: function
    from ipywidgets import interact as live

    return live(**controls)


def attempt(what: str, action: Callable[[], object]) -> None:
    """Run code that goes wrong, and print its error in one line, or what it gave without one."""
    try:
        print(f"{what}: no error, it gives {action()}")  # noqa: T201
    except Exception as error:
        # Without colours, and the folder of a lesson's files, which has another name in each run.
        folder = re.escape(tempfile.gettempdir()) + r"[\\/][^\\/]+[\\/]"
        message = re.sub(rf"\x1b\[[0-9;]*m|{folder}", "", " ".join(str(error).split()))
        shown = message if len(message) <= MESSAGE else message[: MESSAGE - 1] + "…"
        print(f"{what}: {type(error).__name__}: {shown}")  # noqa: T201
