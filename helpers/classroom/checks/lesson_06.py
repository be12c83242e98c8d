"""Checks of the exercises of lesson 06: recurrent networks."""

from typing import Any

import numpy as np

from helpers.classroom.exercises import Wrong, call, expect_array, expect_number, kind, refuse


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
        expect_number(found, 4 * one, case, atol=0.5)
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
            traps = {"it forgets: the old state is not used": forgetful,
                     "the sequence is read backwards": backwards}  # fmt: skip
            refuse(found, traps, case)
        if np.shape(found) == expected.shape and np.abs(found).max() > 1:
            raise Wrong(f"{case}: a state is beyond −1 … 1, as it is without tanh")
        expect_array(found, expected, case)
    return "a loop with a memory"


def _last_state(x: np.ndarray, w: np.ndarray, u: np.ndarray, b: np.ndarray) -> np.ndarray:
    state = np.zeros((len(x), len(b)))
    for step in range(x.shape[1]):
        state = np.tanh(x[:, step] @ w + state @ u + b)
    return state


def exercise_3(accuracies: Any) -> str:
    """Accuracies of two models and of their ensemble."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 6, 300)
    p, q = (_softmax(rng.normal(0, 1.2, (300, 6)) + np.eye(6)[y]) for _ in range(2))
    right = [p.argmax(axis=1) == y, q.argmax(axis=1) == y]
    both = (((p + q) / 2).argmax(axis=1) == y).mean()
    found = call(accuracies, p, q, y)
    if np.shape(found) != (3,):
        raise Wrong(f"expected three numbers, received {kind(found)}")
    for name, value, share in zip(("the first", "the second"), found, right, strict=False):
        expect_number(value, float(share.mean()), f"{name} model")
    if np.isclose(found[2], np.mean(right)):
        raise Wrong("the third is the mean of the two accuracies; average the probabilities")
    if np.isclose(found[2], (right[0] | right[1]).mean()):
        raise Wrong("the third counts what either model gets right; nobody knows which one that is")
    expect_number(found[2], float(both), "the ensemble")
    return f"{right[0].mean():.0%} and {right[1].mean():.0%} alone, {both:.0%} together"


def _softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits)
    return e / e.sum(axis=1, keepdims=True)
