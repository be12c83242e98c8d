"""What a notebook says to its reader."""

import pytest

from helpers.classroom import attempt, check


@pytest.mark.parametrize(
    ("passed", "required", "line"),
    [
        (True, True, "✓ it holds"),
        (False, True, "✗ it holds: look there"),
        (..., True, "✗ it holds: look there"),
        (False, False, "– does not hold on this data set: it holds"),
    ],
)
def test_check(passed, required, line, capsys):
    check(passed, "it holds", "look there", required=required)
    assert capsys.readouterr().out == line + "\n"


def test_attempt_shows_the_error_in_one_line(capsys):
    def fail():
        raise ValueError("first\n   second " + "x" * 200)

    attempt("this", fail)
    attempt("that", lambda: 3)
    wrong, right = capsys.readouterr().out.splitlines()
    assert wrong.startswith("this: ValueError: first second x")
    assert wrong.endswith("x…")
    assert len(wrong) < 180
    assert right == "that: no error, it gives 3"
