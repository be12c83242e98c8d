"""Checks of the exercises of lesson 06: recurrent networks."""

from typing import Any

import numpy as np

from helpers.classroom.exercises import (
    Wrong,
    call,
    expect_array,
    expect_count,
    expect_number,
    expect_parts,
    one_number,
    refuse,
)


def exercise_1(count_lstm: Any) -> str:
    """Parameters of an LSTM."""
    for features, units in ((28, 32), (5, 3), (100, 1)):
        case = f"{features} numbers in each step, {units} units"
        found = call(count_lstm, features, units, case=case)
        one = features * units + units * units + units
        traps = {
            "this is one of the four things that an LSTM computes": one,
            "the old state has a matrix too": 4 * (features * units + units),
            "each of the four has a bias": 4 * (features * units + units * units),
        }
        refuse(found, traps, case)
        expect_count(found, 4 * one, case)
    return "the length of the sequence does not matter"


def exercise_2(read: Any) -> str:
    """The last state of a simple recurrent network."""
    rng = np.random.default_rng(0)
    for batch, steps, features, units in ((4, 6, 3, 5), (1, 1, 2, 2), (3, 9, 1, 4)):
        x = rng.normal(size=(batch, steps, features))
        w, u = rng.normal(size=(features, units)), 0.5 * rng.normal(size=(units, units))
        b = rng.normal(size=units)
        case = f"{batch} sequences of {steps} steps"
        found = call(read, x, w, u, b, case=case)
        expected, backwards = _last_state(x, w, u, b), _last_state(x[:, ::-1], w, u, b)
        if steps > 1:
            forgetful = np.tanh(x[:, -1] @ w + b)
            traps = {"it forgets: this is what the last step gives alone": forgetful,
                     "the sequence is read backwards": backwards}  # fmt: skip
            refuse(found, traps, case)
        if np.shape(found) == expected.shape and np.abs(found).max() > 1:
            raise Wrong(f"{case}: a state is beyond −1 … 1: what is not inside the tanh?")
        expect_array(found, expected, case)
    return "a loop with a memory"


def _last_state(x: np.ndarray, w: np.ndarray, u: np.ndarray, b: np.ndarray) -> np.ndarray:
    state = np.zeros((len(x), len(b)))
    for step in range(x.shape[1]):
        state = np.tanh(x[:, step] @ w + state @ u + b)
    return state


def exercise_3(accuracies: Any) -> str:
    """Accuracies of two models and of their ensemble."""
    rng, told = np.random.default_rng(1), []
    for n, classes, skills in ((300, 6, (1, 1)), (150, 4, (0.2, 2)), (211, 9, (2, 1.5))):
        y = rng.integers(0, classes, n)
        models = [
            _softmax(rng.normal(0, 1.2, (n, classes)) + skill * np.eye(classes)[y])
            for skill in skills
        ]
        case = f"{n} samples of {classes} classes"
        found = expect_parts(call(accuracies, *models, y, case=case), 3, "three numbers")
        right = [p.argmax(axis=1) == y for p in models]
        both = (sum(models).argmax(axis=1) == y).mean()
        for name, value, share in zip(("first", "second"), found, right, strict=False):
            expect_number(value, float(share.mean()), f"{case}, the {name} model")
        third = one_number(found[2], case)
        if np.isclose(third, np.mean(right)):
            raise Wrong("the third is the mean of the two accuracies; average the probabilities")
        if np.isclose(third, (right[0] | right[1]).mean()):
            raise Wrong("the third counts what either model gets right; nobody knows which it is")
        expect_number(third, float(both), f"{case}, the ensemble")
        told = told or [right[0].mean(), right[1].mean(), both]
    return "{:.0%} and {:.0%} alone, {:.0%} together".format(*told)


def _softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits)
    return e / e.sum(axis=1, keepdims=True)
