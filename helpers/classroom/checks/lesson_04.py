"""Checks of the exercises of lesson 04: training with Keras."""

import functools
from itertools import pairwise
from typing import Any

import numpy as np

from helpers.classroom.exercises import (
    NotYet,
    Wrong,
    call,
    expect_count,
    expect_number,
    expect_parts,
    kind,
    one_number,
    refuse,
    shortened,
)

SPLITS = 2  # of exercise 7
ROWS = 60  # to train on there
SHARE = 0.7  # of the overfitted network's cross-entropy, at most


def exercise_1(count_parameters: Any) -> str:
    """Parameters of a dense network."""
    for sizes in ([3, 2], [784, 512, 10], [5, 7, 6, 4]):
        case = f"sizes {sizes}"
        found = call(count_parameters, sizes, case=case)
        pairs = list(pairwise(sizes))
        traps = {
            "these are the weights; the biases are missing": sum(a * b for a, b in pairs),
            "each neuron has one bias, not each input": sum(a * b + a for a, b in pairs),
        }
        refuse(found, traps, case)
        expect_count(found, sum(a * b + b for a, b in pairs), case)
    return "most parameters lie between the largest neighbours"


def exercise_2(build: Any) -> str:
    """A small network for images of bytes."""
    model = _model(call(build), "the function")
    images = np.random.default_rng(1).integers(0, 256, (50, 28, 28)).astype("float32")
    try:
        answers = np.asarray(model(images, training=False))
    except Exception as error:
        raise Wrong(f"images of 28×28 do not fit: {shortened(error)}") from error
    if answers.shape != (50, 10):
        raise Wrong(f"for 50 images the result has shape {answers.shape}; expected (50, 10)")
    if not np.allclose(answers.sum(axis=1), 1, atol=1e-4):
        raise Wrong("the ten outputs have to add up to 1: one class out of ten")
    dense = [place for place, x in enumerate(model.layers) if type(x).__name__ == "Dense"]
    dropout = [place for place, x in enumerate(model.layers) if type(x).__name__ == "Dropout"]
    if len(dense) != 2 or (count := model.count_params()) != 784 * 32 + 32 + 32 * 10 + 10:
        raise Wrong(f"it has {model.count_params():,} parameters; expected 32 neurons, 10 classes")
    if len(dropout) != 1 or not dense[0] < dropout[0] < dense[1]:
        raise Wrong("expected one dropout layer, between the two dense ones")
    if (rate := model.layers[dropout[0]].rate) != 0.2:
        raise Wrong(f"the dropout silences {rate}; expected 0.2")
    _is_scaled_and_bent(model, images)
    return f"{count:,} parameters, and it takes bytes"


def _is_scaled_and_bent(model: Any, images: np.ndarray) -> None:
    """Look at the hidden layer: is its input divided by 255, is its output a ReLU?"""
    import keras

    first, last = (layer for layer in model.layers if type(layer).__name__ == "Dense")
    before, hidden = (
        np.asarray(keras.Model(model.inputs[0], layer.input)(images)) for layer in (first, last)
    )
    if before.shape != (50, 784) or not np.allclose(before, images.reshape(50, -1) / 255):
        raise Wrong("the bytes are not flattened and divided by 255 before the first dense layer")
    weights, bias = first.get_weights()
    if not np.allclose(hidden, np.maximum(before @ weights + bias, 0), atol=1e-4):
        raise Wrong("what the hidden layer gives is not ReLU of its weighted sums")


def _model(found: Any, what: str) -> Any:
    import keras

    if not isinstance(found, keras.Model):
        raise Wrong(f"{what} has to return a Keras model; received {kind(found)}")
    return found


LAST = {
    "species": (5, "softmax", "sparse_categorical_crossentropy"),
    "species, one-hot": (5, "softmax", "categorical_crossentropy"),
    "ill": (1, "sigmoid", "binary_crossentropy"),
    "topics": (20, "sigmoid", "binary_crossentropy"),
    "temperature": (1, None, "mean_squared_error"),
}
PARTS = ("the number of neurons", "the activation", "the loss")


def exercise_3(last_layers: Any) -> str:
    """Last layer and loss of five tasks."""
    if not isinstance(last_layers, dict):
        raise Wrong(f"expected a dictionary, received {kind(last_layers)}")
    for task, right in LAST.items():
        if task not in last_layers:
            raise Wrong(f"the task {task!r} is missing")
        found = expect_parts(last_layers[task], 3, f"three things for {task!r}")
        for part, own, expected in zip(PARTS, found, right, strict=True):
            if own != expected:
                raise Wrong(f"{task}: {part} does not fit the task")
    return "the task decides"


def exercise_4(two_inputs: Any) -> str:
    """A functional model of an image and measurements."""
    model = _model(call(two_inputs), "the function")
    if len(model.inputs) != 2:
        raise Wrong(f"expected two inputs, the model has {len(model.inputs)}")
    shapes = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    if shapes == [(4,), (16, 16)]:
        raise Wrong("expected the image first, the measurements second")
    if shapes != [(16, 16), (4,)]:
        raise Wrong(f"the inputs have shapes {shapes}; expected (16, 16) and (4,)")
    rng = np.random.default_rng(3)
    image, measurements = (3 * rng.normal(size=(40, *s)).astype("float32") for s in shapes)
    answer = np.asarray(model([image, measurements]))
    if answer.shape != (40, 1):
        raise Wrong(f"for 40 patients the result has shape {answer.shape}; expected (40, 1)")
    if answer.min() < 0 or answer.max() > 1:
        raise Wrong("the answer is not from 0 to 1, as that of a sigmoid is")
    for name, changed in (
        ("the image", [image[::-1], measurements]),
        ("the measurements", [image, measurements[::-1]]),
    ):
        if np.allclose(np.asarray(model(changed)), answer):
            raise Wrong(f"{name} can change, and the answer stays the same")
    if (count := model.count_params()) != 256 * 8 + 8 + 12 + 1:
        raise Wrong(f"it has {count:,} parameters, which does not fit the description")
    first, last = (layer.get_weights() for layer in model.layers if type(layer).__name__ == "Dense")
    hidden = np.maximum(image.reshape(40, -1) @ first[0] + first[1], 0)
    orders = ([hidden, measurements], [measurements, hidden])
    logits = [np.concatenate(parts, axis=1) @ last[0] + last[1] for parts in orders]
    if not any(np.allclose(answer, 1 / (1 + np.exp(-z)), atol=1e-4) for z in logits):
        raise Wrong("the answer is not that of ReLU for the image, joined with the measurements")
    return "two sources, one answer"


def exercise_5(early_stopping: Any) -> str:
    """Early stopping in plain Python."""
    cases = {
        "a clear minimum": ([5, 4, 3, 2, 2.5, 3, 4, 1], 2, (6, 4)),
        "a small rise, then better": ([5, 4, 4.5, 3, 3.5, 2, 2.1, 2.2, 2.3], 3, (9, 6)),
        "never used up": ([3, 2, 1], 5, (3, 3)),
        "an equal loss": ([1, 1, 1, 1], 2, (3, 1)),
        "up and down": ([3, 4, 3.5, 4.2, 3.4, 5], 4, (5, 1)),
        "better after the stop": ([2, 3, 3, 3, 1], 3, (4, 1)),
    }
    for case, (losses, patience, expected) in cases.items():
        found = call(early_stopping, list(losses), patience, case=case)
        found = expect_parts(found, 2, "two epochs")
        if tuple(found) == expected[::-1] and expected[0] != expected[1]:
            raise Wrong(f"{case}: first the epoch after which it stops, then the one that is kept")
        if tuple(found) == (expected[0] - 1, expected[1] - 1):
            raise Wrong(f"{case}: epochs are counted from 1")
        if one_number(found[0], case) != expected[0]:
            raise Wrong(
                f"{case}: for the losses {losses} and patience {patience}, stopping after epoch "
                f"{found[0]} is too {'early' if found[0] < expected[0] else 'late'}"
            )
        if one_number(found[1], case) != expected[1]:
            raise Wrong(f"{case}: the weights that are kept are not those of epoch {found[1]}")
    return "it stops, and keeps the best"


def exercise_6(training_step: Any) -> str:
    """One step with GradientTape, compared with train_on_batch."""
    import keras

    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(32, 5)).astype("float32"), rng.integers(0, 3, 32)
    own, other = _normalised_net(), _normalised_net()
    loss_of = keras.losses.SparseCategoricalCrossentropy()
    other.compile(keras.optimizers.SGD(0.5), loss_of)
    expected = float(np.asarray(other.train_on_batch(x, y)))
    before = [w.copy() for w in own.get_weights()]
    arguments = (own, keras.optimizers.SGD(0.5), loss_of, x, y)
    try:
        found = training_step(*arguments)
    except Exception as error:
        reason = f"{type(error).__name__}: {shortened(error)}"
        raise Wrong(f"your function stops: {reason}") from error
    if found is ...:
        raise NotYet
    if own.compiled:
        raise Wrong("write the step with GradientTape; compile, fit and train_on_batch hide it")
    after, theirs = own.get_weights(), other.get_weights()
    trainable = [v.path for v in own.trainable_variables]
    paths = [v.path for v in own.weights]
    moved = {path for path, a, b in zip(paths, before, after, strict=True) if not np.allclose(a, b)}
    if not moved & set(trainable):
        raise Wrong("the weights did not move")
    if not any("moving" in path for path in moved):
        raise Wrong("the averages of batch normalisation did not move: is it in training mode?")
    if not all(np.allclose(a, b, atol=1e-4) for a, b in zip(after, theirs, strict=True)):
        raise Wrong("the weights moved, but not as the optimizer moves them against the gradient")
    expect_number(found, expected, "the loss", atol=1e-4)
    return "this is what fit does, thousands of times"


def _normalised_net() -> Any:
    import keras
    from keras import layers

    keras.utils.set_random_seed(5)
    frozen = layers.Dense(6, activation="tanh", trainable=False)
    stack = [frozen, layers.BatchNormalization(), layers.Dense(3, activation="softmax")]
    return keras.Sequential([keras.Input((5,)), *stack])


def exercise_7(better: Any) -> str:
    """Less overfitting on few tumours, on two splits, in units of our own."""
    losses = []
    for seed in range(SPLITS):
        x, y, x_new, y_new = _few_tumours(seed)
        model = _model(call(better, x, y, seed, case=f"split {seed}"), "the function")
        p = np.asarray(model(x_new, training=False))
        if p.shape != (len(x_new), 1):
            raise Wrong(
                f"for {len(x_new)} tumours the result has shape {p.shape}; expected one "
                "probability each"
            )
        if p.min() < 0 or p.max() > 1:
            raise Wrong("the result is not from 0 to 1, as a probability is")
        losses.append(cross_entropy(p[:, 0], y_new))
    own, theirs = float(np.mean(losses)), float(np.mean([_overfitted(s) for s in range(SPLITS)]))
    if np.isclose(own, np.log(2), atol=0.01):
        raise Wrong(f"your cross-entropy is {own:.2f}, that of always saying 0.5: is it trained?")
    if own > 3 * theirs:
        raise Wrong(
            f"your cross-entropy is {own:.2f}, far from {theirs:.2f}: is the model trained, does "
            "it take the measurements as they are, and is it the probability of class 1?"
        )
    if not own <= SHARE * theirs:
        raise Wrong(
            f"your cross-entropy is {own:.2f}, the overfitted network's {theirs:.2f}; expected at "
            f"most {SHARE:.0%} of that"
        )
    return f"cross-entropy {own:.2f} instead of {theirs:.2f}"


def cross_entropy(p: np.ndarray, y: np.ndarray) -> float:
    """Return the mean binary cross-entropy, with probabilities cut at 1e-7."""
    p = np.clip(p, 1e-7, 1 - 1e-7)
    return float(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)))


def _few_tumours(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    from helpers.datasets import load_dataset

    data = load_dataset("breast_cancer", seed=seed)
    x, y = data.x_train, data.y_train
    few = np.random.default_rng(seed).choice(len(x), ROWS, replace=False)
    rest = np.setdiff1d(np.arange(len(x)), few)
    x_new, y_new = np.concatenate([x[rest], data.x_test]), np.concatenate([y[rest], data.y_test])
    units = np.random.default_rng(100 + seed).uniform(0.5, 2, x.shape[1])  # nobody knows them
    return (x[few] * units).astype("f4"), y[few], (x_new * units).astype("f4"), y_new


@functools.cache
def _overfitted(seed: int) -> float:
    """Return the cross-entropy of the network that the exercise shows."""
    import keras
    from keras import layers

    x, y, x_new, y_new = _few_tumours(seed)
    keras.utils.set_random_seed(seed)
    normalize = layers.Normalization()
    normalize.adapt(x)
    stack = [layers.Dense(256, "relu"), layers.Dense(256, "relu"), layers.Dense(1, "sigmoid")]
    model = keras.Sequential([keras.Input((30,)), normalize, *stack])
    model.compile("adam", "binary_crossentropy")
    model.fit(x, y, epochs=40, batch_size=10, verbose=0)
    return cross_entropy(np.asarray(model(x_new))[:, 0], y_new)
