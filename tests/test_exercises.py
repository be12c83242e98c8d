"""Exercises: a stub is open, a wrong answer is refused with a fitting line, a solution passes."""

import contextlib
import importlib.util
import io
import itertools

import numpy as np
import pytest

from helpers.classroom.exercises import Exercises
from helpers.files import notebooks_dir


def load_build():
    spec = importlib.util.spec_from_file_location("build", notebooks_dir() / "build.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    return build


BUILD = load_build()
TEXTS = sorted((notebooks_dir() / "source" / "exercises").glob("*.py"))


def code_cells(source):
    notebook = BUILD.read_text(source)
    return [(c.source, c.metadata.get("tags", [])) for c in notebook.cells if c.cell_type == "code"]


def said(code, check, names):
    """Run an answer and its check in a copy of the names; return what was printed last."""
    own, printed = dict(names), io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, own)
        exec(check, own)
    return printed.getvalue().splitlines()[-1], own


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_answers(text, warm_kernels):
    names, answers = {}, {}
    numbers = 0
    for code, tags in code_cells(text):
        kind = ({"stub", "solution", "wrong"} & set(tags) or {None}).pop()
        if kind:
            answers.setdefault(kind, []).append(code)
        elif "exercises.check(" in code:
            numbers += 1
            start = f"exercise {numbers}: "
            (stub,), (solution,), wrong = answers["stub"], answers["solution"], answers["wrong"]
            assert said(stub, code, names)[0] == f"○ {start}not solved yet"
            assert len(wrong) >= 3, start
            for answer in wrong:
                first, _, answer = answer.partition("\n")
                line, _ = said(answer, code, names)
                assert line.startswith(f"✗ {start}"), f"accepted: {answer}"
                assert first.removeprefix("# says: ") in line, f"{line}\n{answer}"
            line, names = said(solution, code, names)
            assert line.startswith(f"✓ {start}"), line
            answers = {}
        else:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(code, names)
    assert not answers
    assert numbers >= 2


JUNK = [
    "text", "5", True, None, 3j, -1, float("nan"), object(), {}, {"a": 1}, [], [[1], [2, 3]],
    (None, None), ("a", "b", "c", "d"), np.array(["a", "b"]), np.zeros((2, 0)), np.array(None),
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_junk_is_refused_in_one_line(text, capsys, warm_kernels):
    exercises = Exercises(text.stem[:2])
    for number, junk in itertools.product(exercises._solved, JUNK):
        for answer in (junk, lambda *_: junk):  # noqa: B023 - called at once
            exercises.check(number, answer)
            (line,) = capsys.readouterr().out.splitlines()
            assert line.startswith(f"✗ exercise {number}: "), f"{junk!r}: {line}"
