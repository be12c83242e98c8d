"""Checks of the exercises of lesson 03: a neural network from scratch."""

from typing import Any

import numpy as np

from helpers.classroom.exercises import (
    Wrong,
    call,
    expect_array,
    expect_number,
    expect_parts,
    refuse,
)

NEURONS = 64  # of the hidden layer of exercise 8, at most


def sigmoid(z: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(−z))."""
    return 1 / (1 + np.exp(-z))


def exercise_1(layer: Any) -> str:
    """A layer with sigmoid, for a batch."""
    rng = np.random.default_rng(0)
    for batch, inputs, neurons in ((4, 3, 2), (1, 5, 1), (6, 2, 7)):
        x, w, b = (rng.normal(size=s) for s in ((batch, inputs), (inputs, neurons), (neurons,)))
        case = f"a batch of {batch}, {inputs} inputs, {neurons} neurons"
        found, z = call(layer, x, w, b, case=case), x @ w + b
        traps = {
            "these are the weighted sums without the activation": z,
            "the bias is missing": sigmoid(x @ w),
            "the sign of the exponent is the wrong one": sigmoid(-z),
        }
        refuse(found, traps, case)
        expect_array(found, sigmoid(z), case)
    return "one line for a whole layer"


def softmax(z: np.ndarray) -> np.ndarray:
    """Return probabilities of logits, along the last axis."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def exercise_2(by_student: Any) -> str:
    """Softmax along the last axis, also of large logits."""
    rng = np.random.default_rng(1)
    for shape in ((4, 3), (2, 4, 3), (5,)):
        small, case = rng.normal(0, 2, shape), f"logits of shape {shape}"
        found = call(by_student, small, case=case)
        hard = np.eye(shape[-1])[small.argmax(axis=-1)]
        refuse(found, {"these are one-hot; probabilities are softer": hard}, case)
        if np.shape(found) == shape and not np.allclose(np.sum(found, axis=-1), 1):
            raise Wrong(f"{case}: each sample has to add up to 1 on its own")
        expect_array(found, softmax(small), case)
    large = np.array(
        [[1000.0, 1001.0, 0.0], [-1000.0, -1002.0, -1001.0], [1000.0, -1000.0, -1000.0]]
    )
    found = np.asarray(call(by_student, large, case="large logits"))
    if not np.isfinite(found).all():
        raise Wrong("large logits: something becomes infinite, or 0 is divided by 0")
    expect_array(found, softmax(large), "large logits")
    return "no overflow, whatever the logits are"


def exercise_3(cross_entropy: Any) -> str:
    """Mean cross-entropy of a batch."""
    rng = np.random.default_rng(2)
    p = softmax(rng.normal(0, 2, (7, 4)))
    y = rng.integers(0, 4, 7)
    right = p[np.arange(7), y]
    found = call(cross_entropy, p, y, case="a batch of 7")
    traps = {
        "expected the mean, not the sum": -np.log(right).sum(),
        "this takes the largest probability of each row, right or not": -np.log(p.max(1)).mean(),
        "cross-entropy is never negative": np.log(right).mean(),
        "this takes all classes; only the right one counts": -np.log(p).mean(),
    }
    refuse(found, traps, "a batch of 7")
    expect_number(found, float(-np.log(right).mean()), "a batch of 7")
    sure = np.array([[1.0, 0.0], [0.0, 1.0]])
    found = call(cross_entropy, sure, np.array([0, 0]), case="a probability of 0")
    if not np.all(np.isfinite(found)):
        raise Wrong("probability 0: the result has to be a finite number")
    expect_number(found, float(-np.log(1e-12) / 2), "probability 0", atol=1e-3)
    return "sure and wrong is expensive"


def exercise_4(slope_by_trial: Any) -> str:
    """The gradient by differences from both sides."""
    rng = np.random.default_rng(3)
    for shape in ((3,), (2, 4), (2, 2, 2)):
        w = rng.normal(0, 1, shape)
        factors = rng.uniform(1, 3, shape)

        def loss(weights: np.ndarray, factors: np.ndarray = factors) -> float:
            return float((factors * weights**3).sum() + (weights[..., :1] * weights).sum())

        case, h = f"weights of shape {shape}, h = 0.1", 0.1  # large, so that h has an effect
        expected = _both_sides(loss, w, h)
        found = call(slope_by_trial, loss, w, h, case=case)
        traps = {
            "this is twice the slope": 2 * expected,
            "the sign is the wrong one": -expected,
            "all slopes are 0: are `up` and `down` two copies?": 0 * expected,
            "this moves all weights at once; move one at a time": np.full(
                shape, (loss(w + h) - loss(w - h)) / (2 * h)
            ),
            "this takes one side only; both sides are more exact": _one_side(loss, w, h),
            "this is not the difference from both sides at distance h": _both_sides(loss, w, 1e-5),
        }
        refuse(found, traps, case)
        expect_array(found, expected, case)
    return "slow, but it checks any derivation"


def _both_sides(loss: Any, w: np.ndarray, h: float) -> np.ndarray:
    moves = np.eye(w.size).reshape(w.size, *w.shape) * h
    return np.reshape([(loss(w + m) - loss(w - m)) / (2 * h) for m in moves], w.shape)


def _one_side(loss: Any, w: np.ndarray, h: float) -> np.ndarray:
    moves = np.eye(w.size).reshape(w.size, *w.shape) * h
    return np.reshape([(loss(w + m) - loss(w)) / h for m in moves], w.shape)


def exercise_5(momentum_step: Any) -> str:
    """One step of momentum."""
    rng = np.random.default_rng(4)
    w, v, g = rng.normal(size=(3, 2, 5))
    both = "weights and velocity, as in `return w, v`"
    found = expect_parts(call(momentum_step, w, v, g, 0.1, 0.8), 2, both)
    new = 0.8 * v - 0.1 * g
    if np.shape(found[0]) == w.shape and np.allclose(found[0], new):
        raise Wrong("expected the weights first, then the velocity")
    traps = {
        "the sign of the gradient is the wrong one: the weights move by +v": 0.8 * v + 0.1 * g,
        "this is plain SGD": -0.1 * g,
    }
    refuse(found[1], traps, "the velocity")
    expect_array(found[1], new, "the new velocity")
    refuse(found[0], {"move with the new velocity, not the old one": w + v}, "the weights")
    expect_array(found[0], w + new, "the new weights")
    default = expect_parts(call(momentum_step, w, v, g, 0.1, case="no beta given"), 2, both)
    expect_array(default[1], 0.9 * v - 0.1 * g, "the velocity with the default beta")
    return "the ball rolls"


def exercise_6(gradients: Any) -> str:
    """Gradients of a network for a quantity."""
    rng = np.random.default_rng(5)
    for batch, inputs, hidden in ((6, 3, 4), (1, 2, 5)):
        x, t = rng.normal(size=(batch, inputs)), rng.normal(size=(batch, 1))
        shapes = ((inputs, hidden), (hidden,), (hidden, 1), (1,))
        weights = [rng.normal(size=shape) for shape in shapes]
        case = f"a batch of {batch}"
        found = expect_parts(call(gradients, x, t, *weights, case=case), 4, "four gradients")
        expected = _regression_gradients(x, t, *weights)
        _refuse_a_factor(found, expected, case)
        for name, own, right in zip(("w2", "b2", "w1", "b1"), [*found[2:], *found[:2]],
                                    [*expected[2:], *expected[:2]], strict=True):  # fmt: skip
            expect_array(own, right, f"{case}, the gradient of {name}")
    return "you can do that for any network now"


def _regression_gradients(x: Any, t: Any, w1: Any, b1: Any, w2: Any, b2: Any) -> list[np.ndarray]:
    h = np.tanh(x @ w1 + b1)
    delta = 2 * (h @ w2 + b2 - t) / len(x)
    delta_h = (delta @ w2.T) * (1 - h**2)
    return [x.T @ delta_h, delta_h.sum(axis=0), h.T @ delta, delta.sum(axis=0)]


def _refuse_a_factor(found: Any, expected: list[np.ndarray], case: str) -> None:
    if any(np.shape(a) != b.shape for a, b in zip(found, expected, strict=True)):
        return
    ratios = np.concatenate([np.ravel(a / b) for a, b in zip(found, expected, strict=True)])
    if np.allclose(ratios, ratios[0]) and not np.isclose(ratios[0], 1):
        raise Wrong(f"{case}: all gradients are {ratios[0]:.3g} times as large as they should be")


def exercise_7(training: Any) -> str:
    """A training loop without its three mistakes."""
    from helpers.datasets import load_dataset

    scores = []
    for seed, name in enumerate(("wine", "iris", "digits")):
        data = load_dataset(name, seed=seed)
        x = data.x_train.reshape(len(data.x_train), -1).astype(float)
        mean, std = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-9)
        new = (data.x_test.reshape(len(data.x_test), -1) - mean) / np.where(std < 1e-8, 1, std)
        x = (x - mean) / np.where(std < 1e-8, 1, std)
        case = f"{name}, {len(x)} rows"
        found = call(training, x, data.y_train, data.class_count, case=case)
        w, b = (np.asarray(part, dtype=float) for part in expect_parts(found, 2, "w and b"))
        if w.shape != (x.shape[1], data.class_count) or b.shape != (data.class_count,):
            raise Wrong(f"{case}: w has shape {w.shape}, b {b.shape}")
        scores.append(((new @ w + b).argmax(axis=1) == data.y_test).mean())
        if scores[-1] < 0.5 / data.class_count:
            raise Wrong(f"{case}: {scores[-1]:.0%} are right, less than by chance: it goes uphill")
        if scores[-1] < 1.8 / data.class_count:
            raise Wrong(f"{case}: only {scores[-1]:.0%} of new rows are right")
        if not np.abs(b).max() > 1e-3:
            raise Wrong(f"{case}: b has not learned anything")
        still = call(training, x, data.y_train, data.class_count, 0.0, 1, 0, case="rate 0")
        if np.abs(still[0]).max() > 0:
            raise Wrong(f"{case}: with a rate of 0 nothing may move")
        if not _converged(x, data.y_train, w, b):
            raise Wrong(
                f"{case}: the loss is not what a network of one layer reaches; something is left"
            )
    return "wine, iris, digits: " + ", ".join(f"{score:.0%}" for score in scores)


def _converged(x: np.ndarray, y: np.ndarray, w: np.ndarray, b: np.ndarray) -> bool:
    """Tell whether the gradient is nearly zero, as it is after a training that goes right."""
    delta = (softmax(x @ w + b) - np.eye(len(b))[y]) / len(x)
    return bool(np.abs(x.T @ delta).max() < 0.05)


def exercise_8(train_on_spirals: Any) -> str:
    """A network for two spirals, judged on new points of five data sets."""
    shares = []
    for seed in range(5):
        x, y = spirals(seed=10 + seed)
        found = call(train_on_spirals, x, y, seed, case=f"data set {seed}")
        new, truth = spirals(seed=100 + seed)
        shares.append(((_network(found, new) > 0) == truth).mean())
    if np.mean(shares) < 0.95:
        raise Wrong(f"{np.mean(shares):.0%} of new points are right; expected at least 95%")
    return f"{np.mean(shares):.1%} of new points are right, {min(shares):.1%} in the worst case"


def _network(parameters: Any, x: np.ndarray) -> np.ndarray:
    parameters = expect_parts(parameters, 4, "four arrays, w1, b1, w2, b2")
    w1, b1, w2, b2 = (np.asarray(part, dtype=float) for part in parameters)
    hidden = w1.shape[-1]
    if hidden > NEURONS:
        raise Wrong(f"the hidden layer has {hidden} neurons; expected at most {NEURONS}")
    if w1.shape != (2, hidden) or w2.shape != (hidden, 1):
        raise Wrong(f"w1 has shape {w1.shape}, w2 {w2.shape}; expected (2, n) and (n, 1)")
    return (np.tanh(x @ w1 + b1) @ w2 + b2)[:, 0]


def spirals(points: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw two spirals that wind around each other.

    Parameters
    ----------
    points
        Of each spiral.
    seed
        Of the noise.

    Returns
    -------
    x : ndarray, shape (2 · points, 2)
    y : ndarray of 0 and 1
    """
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0.5, 2.5 * np.pi, points)
    arm = angle[:, np.newaxis] / 8 * np.column_stack([np.cos(angle), np.sin(angle)])
    x = np.concatenate([arm, -arm]) + rng.normal(0, 0.03, (2 * points, 2))
    return x, np.repeat([0, 1], points)
