"""``train`` means what Keras's ``fit`` means: weights, history, files and what callbacks see.

Tolerance: 2e-5, absolute and relative (sums of float32 in another order). Dropout draws as Keras
does here; test_training.py looks at the quicker one.
"""

import os

import grid
import pytest

from helpers import dropout

FAULTS = "COURSE_FAULTS" in os.environ
COVERING = grid.covering()
# ``make test`` takes what fits into two minutes on two cores, ``make faults`` every pair and more.
CASES = [*COVERING, *grid.drawn(500, seed=1)] if FAULTS else COVERING[:72]
XLA = ("none", "none", "none", "none", "none", "none", "none", "update")


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: grid.named(CASES[n]))
def test_same_as_fit(number, tmp_path, monkeypatch):
    monkeypatch.setattr(dropout, "_can_be_quick", lambda layer: False)
    case = CASES[number]
    theirs = grid.trained(case, "fit", tmp_path / "fit")
    ours = grid.trained(case, "train", tmp_path / "train", xla=XLA[number % len(XLA)])
    assert not grid.differences(ours, theirs)


def test_most_pairs_are_tried():
    every = set().union(*map(grid.pairs, COVERING))
    assert len(set().union(*map(grid.pairs, CASES))) > 0.9 * len(every)
    assert every >= set().union(*map(grid.pairs, grid.drawn(300, seed=2)))
