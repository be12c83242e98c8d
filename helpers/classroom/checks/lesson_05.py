"""Checks of the exercises of lesson 05: convolutional networks."""

from typing import Any

import numpy as np

from helpers.classroom.exercises import (
    Wrong,
    call,
    expect_array,
    expect_count,
    expect_number,
    expect_share,
    refuse,
)


def exercise_1(count_weights: Any) -> str:
    """Parameters of a convolution."""
    for size, channels, filters in ((3, 32, 64), (5, 3, 8), (1, 7, 2)):
        case = f"{filters} filters of {size}×{size} over {channels} channels"
        found = call(count_weights, size, channels, filters, case=case)
        traps = {
            "the biases are missing": filters * size * size * channels,
            "a filter has weights for each of its input's channels": filters * (size**2 + 1),
            "a filter has one bias, not one for each channel": filters * channels * (size**2 + 1),
        }
        refuse(found, traps, case)
        expect_count(found, filters * (size * size * channels + 1), case)
    return "the size of the image does not matter"


def exercise_2(convolve: Any) -> str:
    """One filter over an image with channels."""
    rng = np.random.default_rng(0)
    for rows, columns, channels, k in ((5, 6, 3, 3), (4, 4, 1, 2), (7, 5, 2, 5)):
        image, kernel = (
            rng.normal(size=(rows, columns, channels)),
            rng.normal(size=(k, k, channels)),
        )
        case = f"an image of {rows}×{columns}×{channels}, a kernel of {k}×{k}"
        found = call(convolve, image, kernel, case=case)
        windows = np.lib.stride_tricks.sliding_window_view(image, (k, k), axis=(0, 1))
        expected, turned, one = (
            np.einsum("ijcab,abc->ij", windows, own)
            for own in (kernel, kernel[::-1, ::-1], kernel * (np.arange(channels) == 0))
        )
        refuse(found, {"the kernel was turned around": turned}, case)
        if channels > 1:
            refuse(found, {"a filter adds up all channels, not only the first": one}, case)
        expect_array(found, expected, case)
    bytes_ = rng.integers(0, 256, (6, 5, 2)).astype(np.uint8)
    kernel = rng.normal(size=(3, 3, 2))
    windows = np.lib.stride_tricks.sliding_window_view(bytes_, (3, 3), axis=(0, 1))
    found = call(convolve, bytes_, kernel, case="an image of bytes")
    expect_array(found, np.einsum("ijcab,abc->ij", windows, kernel), "an image of bytes", atol=1e-3)
    return "that is all that a convolution does"


def exercise_3(handed_over: Any) -> str:
    """Share of images that a person has to read."""
    rng = np.random.default_rng(1)
    cases = {"a good network": (400, 3.0, 0.0213), "a poor one": (300, 1.2, 0.0517)}
    for case, (n, skill, rate) in cases.items():
        y = rng.integers(0, 5, n)
        logits = rng.normal(size=(n, 5)) + skill * np.eye(5)[y]
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        _judge_share(call(handed_over, p, y, rate, case=case), p, y, rate, case)
    sure = np.eye(3)[[0, 1, 2]] * 0.7 + 0.1
    none = call(handed_over, sure, np.array([1, 2, 0]), 0.0, case="all wrong")
    expect_number(none, 1.0, "all wrong: everything has to be handed over")
    everything = call(handed_over, sure, np.array([0, 1, 2]), 0.0, case="all right")
    expect_number(everything, 0.0, "all right: nothing has to be handed over")
    confidence = np.column_stack([[0.9, 0.8, 0.7], [0.1, 0.2, 0.3]])
    first_wrong = call(
        handed_over, confidence, np.array([1, 0, 0]), 0.34, case="the surest is wrong"
    )
    expect_number(first_wrong, 0.0, "the surest one is wrong, the others are right")
    return "the machine says when it does not know"


def _judge_share(found: Any, p: np.ndarray, y: np.ndarray, rate: float, case: str) -> None:
    expect_share(found, case)
    order = np.argsort(-p.max(axis=1), kind="stable")
    wrong = np.cumsum((p.argmax(axis=1) != y)[order])
    good = np.flatnonzero(wrong / np.arange(1, len(y) + 1) <= rate)
    expected = 1 - (good[-1] + 1) / len(y)
    if np.isclose(found, 1 - expected):
        raise Wrong(f"{case}: this is the share that the machine keeps; the person gets the rest")
    kept = round((1 - float(found)) * len(y))
    if kept and wrong[kept - 1] / kept > rate:
        raise Wrong(f"{case}: the error rate of the others is {wrong[kept - 1] / kept:.2%}")
    if found > expected + 1e-3:
        raise Wrong(f"{case}: {found:.1%} are handed over, more than necessary")
    expect_number(found, expected, case, atol=1e-3)


def exercise_4(shift: Any) -> str:
    """Shift images by up to a pixel, zeros from outside."""
    rng = np.random.default_rng(2)
    images = rng.integers(1, 256, (60, 5, 6)).astype(np.uint8)
    found = call(shift, images, np.random.default_rng(3))
    if np.shape(found) != images.shape:
        raise Wrong(f"expected shape {images.shape}, received {np.shape(found)}")
    if np.array_equal(found, images):
        raise Wrong("the images are not shifted")
    draws = np.random.default_rng(3)
    moves = [tuple(draws.integers(-1, 2, size=2)) for _ in images]
    expected = np.stack([_moved(i, *move) for i, move in zip(images, moves, strict=True)])
    rolled = [np.roll(i, move, axis=(0, 1)) for i, move in zip(images, moves, strict=True)]
    if np.array_equal(found, rolled):
        raise Wrong("what leaves the image comes back on the other side")
    back = [_moved(i, -m[0], -m[1]) for i, m in zip(images, moves, strict=True)]
    if np.array_equal(found, back):
        raise Wrong("the images are shifted the other way: first down, then right")
    if any(np.array_equal(found, [_moved(i, a, b) for i in images]) for a, b in set(moves)):
        raise Wrong("all images have the same shift; draw one for each")
    expect_array(found, expected, "a batch of 60 images")
    fractions = np.random.default_rng(4).uniform(0.1, 1, (7, 4, 9))
    draws = np.random.default_rng(5)
    expected = np.stack([_moved(i, *draws.integers(-1, 2, size=2)) for i in fractions])
    case = "images of numbers from 0 to 1"
    expect_array(call(shift, fractions, np.random.default_rng(5), case=case), expected, case)
    return "a shifted digit is a digit"


def _moved(image: np.ndarray, down: int, right: int) -> np.ndarray:
    padded = np.pad(image, 1)
    rows, columns = image.shape
    return padded[1 - down : 1 - down + rows, 1 - right : 1 - right + columns]
