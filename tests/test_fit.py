"""``train`` means what Keras's ``fit`` means: weights, history, files and what callbacks see.

Tolerance: 2e-5, absolute and relative (sums of float32 in another order). Dropout draws as Keras
does here; test_training.py looks at the quicker one.
"""

import os

import grid
import pytest

from helpers import layers

FAULTS = "COURSE_FAULTS" in os.environ
COVERING = grid.covering()
# ``make test`` takes what fits into two minutes on two cores, ``make faults`` every pair and more.
CASES = [*COVERING, *grid.drawn(500, seed=1)] if FAULTS else COVERING[:60]


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: grid.named(CASES[n]))
def test_same_as_fit(number, tmp_path, monkeypatch):
    monkeypatch.setattr(layers, "_can_be_quick", lambda layer: False)
    case = CASES[number]
    theirs = grid.trained(case, "fit", tmp_path / "fit")
    # XLA compiles for seconds, most of all the scattered update of an Embedding.
    xla = (
        "update"
        if number % 8 == 7 and (FAULTS or case["inside"] not in ("mask", "text"))
        else "none"
    )
    ours = grid.trained(case, "train", tmp_path / "train", xla=xla)
    assert not grid.differences(ours, theirs)


def test_most_pairs_are_tried():
    every = set().union(*map(grid.pairs, COVERING))
    assert len(set().union(*map(grid.pairs, CASES))) > 0.8 * len(every)
    assert every >= set().union(*map(grid.pairs, grid.drawn(300, seed=2)))
