"""What a notebook says to its reader."""

import json

import numpy as np
import pytest

from helpers.classroom import Exercises, attempt, check, choose, interact, reveal
from helpers.classroom.exercises import NotYet, Wrong, call, expect_array, expect_number
from helpers.classroom.student import write_student_edition
from helpers.errors import CourseError
from helpers.files import notebooks_dir


@pytest.mark.parametrize(
    ("passed", "required", "line"),
    [
        (True, True, "✓ it holds"),
        (False, True, "✗ it holds: look there"),
        (False, False, "– does not hold on this data set: it holds"),
    ],
)
def test_check(passed, required, line, capsys):
    check(passed, "it holds", "look there", required=required)
    assert capsys.readouterr().out == line + "\n"


def test_attempt_shows_the_error_in_one_line(capsys):
    def fail():
        raise ValueError("first\n   second " + "x" * 400)

    attempt("this", fail)
    attempt("that", lambda: 3)
    wrong, right = capsys.readouterr().out.splitlines()
    assert wrong.startswith("this: ValueError: first second x")
    assert wrong.endswith("x…")
    assert len(wrong) < 340
    assert right == "that: no error, it gives 3"


@pytest.mark.parametrize(
    ("guess", "truth", "said"),
    [
        (None, 0.25, "The answer: 0.25. Why."),
        (0.26, 0.25, "You guessed 0.26, and that is right: 0.25. Why."),
        (3, 0.25, "You guessed 3; it is 0.25. A surprise is worth remembering. Why."),
        ("Dense ", "dense", "You guessed Dense , and that is right: dense. Why."),
        ("cnn", "dense", "You guessed cnn; it is dense. A surprise is worth remembering. Why."),
        ("many", 784, "You guessed many; it is 784. A surprise is worth remembering. Why."),
        (None, 407050, "The answer: 407,050. Why."),
    ],
)
def test_reveal(guess, truth, said, capsys):
    reveal(guess, truth, "Why.")
    assert capsys.readouterr().out == said + "\n"


def test_choose_folds_out_a_reason_for_each_option():
    question = choose("Which?", {"this <one>": "Because.", "that": "It is not."}, "this <one>")
    page = question._repr_html_()
    assert "<summary>this &lt;one&gt;</summary><p>Right. Because.</p>" in page
    assert "<summary>that</summary><p>No. It is not.</p>" in page
    assert "Because" not in repr(question)
    with pytest.raises(ValueError, match="expected one of"):
        choose("Which?", {"a": "b"}, "c")
    with pytest.raises(ValueError, match="no reason"):
        choose("Which?", {"a": "b", "c": ""}, "a")


def test_a_score_counts_what_is_solved_now(capsys):
    exercises = Exercises("01")
    exercises.check(2, {0, 8})
    exercises.check(2, {3})
    exercises.check(1, lambda shape, dtype: ...)
    exercises.check(2, {"0", "8", "1"})
    exercises.score()
    lines = capsys.readouterr().out.splitlines()
    assert [line[0] for line in lines[:-1]] == ["✓", "✗", "○", "✓"]
    assert lines[-1] == "1 of 8 exercises solved; open: 1, 3, 4, 5, 6, 7, 8"
    with pytest.raises(ValueError, match="expected 1 to 8"):
        exercises.check(9, 0)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (3, "expected a function, received int"),
        (lambda: 1, "called with 1 arguments"),
        (lambda x: 1 / 0, "stops for a case: ZeroDivisionError"),
        (lambda x: None, "returns nothing"),
        (lambda x: x.sort() or 1, "changes what"),
    ],
)
def test_call_tells_what_is_wrong_with_a_function(function, says):
    with pytest.raises(Wrong, match=says):
        call(function, np.array([3, 1, 2]), case="a case")
    with pytest.raises(NotYet):
        call(lambda x: ..., np.zeros(3))


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ("text", "expected an array"),
        ([[1, 2]], r"expected shape \(2,\)"),
        ([1.0, 2.5], "too large"),
        ([1.0, np.nan], "is nan"),
        ([1, 2], "expected dtype float64"),
    ],
)
def test_expect_array_names_the_first_difference(found, says):
    with pytest.raises(Wrong, match=says):
        expect_array(found, np.array([1.0, 2.0]), "case", dtype="float64")
    with pytest.raises(Wrong, match="expected a number"):
        expect_number(True, 1.0, "case")


def test_student_edition_has_no_line_of_a_solution(tmp_path):
    files = write_student_edition(tmp_path / "class")
    names = {str(path) for path in files}
    assert {
        "index.ipynb",
        "01_load_data.ipynb",
        "exercises/08_exercises.ipynb",
        "GLOSSARY.md",
    } <= names
    text = "\n".join(
        line
        for path in files
        if path.suffix == ".ipynb"
        for cell in json.loads((tmp_path / "class" / path).read_text(encoding="utf-8"))["cells"]
        for line in [*"".join(cell["source"]).splitlines(), *map(str, cell.get("outputs", []))]
    )
    assert "✓" not in text
    shown = {line.strip() for line in text.splitlines()}
    for path in notebooks_dir().glob("solutions/*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        solved = [c for c in cells if "solution" in c["metadata"].get("tags", [])]
        assert solved
        for cell in solved:
            lines = [line.strip() for line in "".join(cell["source"]).splitlines()]
            own = [n for n in lines if n and not n.startswith(("def ", "import ", "from "))]
            assert any(line not in shown for line in own), "".join(cell["source"])
            assert "".join(cell["source"]) not in text
    with pytest.raises(CourseError, match="is not empty"):
        write_student_edition(tmp_path / "class")


def test_controls_are_shown_only_where_somebody_can_move_them(monkeypatch, capsys):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert interact(x=(0, 3))(str) is str
    monkeypatch.setenv("JPY_SESSION_NAME", "lesson.ipynb")
    shown = interact(x=(0, 3))(lambda x: x)
    assert hasattr(shown, "widget")
