"""Checks of the exercises of lesson 07: pretrained networks."""

from itertools import pairwise
from typing import Any

import numpy as np

from helpers.classroom.exercises import call, expect_array, expect_count, refuse

MEAN = (103.939, 116.779, 123.68)  # of ImageNet: blue, green, red
VGG16 = ([3, 64, 64, 128, 128, *[256] * 3, *[512] * 6], [4096, 4096, 1000], 49)


def exercise_1(count_vgg: Any) -> str:
    """Parameters of a VGG network."""
    networks = {
        "a small one": ([3, 8, 16], [10, 4], 9),
        "grey photos, four dense layers": ([1, 5, 7, 6], [9, 8, 4, 2], 4),
        "VGG16": VGG16,
    }
    for case, (channels, dense, places) in networks.items():
        found = call(count_vgg, list(channels), list(dense), places, case=case)
        convolutions, inputs = list(pairwise(channels)), [places * channels[-1], *dense]
        weights = sum(9 * a * b for a, b in convolutions) + sum(a * b for a, b in pairwise(inputs))
        expected = weights + sum(channels[1:]) + sum(dense)
        one_place = expected - (places - 1) * channels[-1] * dense[0]
        traps = {"the biases are missing": weights,
                 "the first dense layer sees all places, not one": one_place}  # fmt: skip
        refuse(found, traps, case)
        expect_count(found, expected, case)
    return "the first dense layer has most of them"


def exercise_2(preprocess: Any) -> str:
    """Photos in the form that VGG16 was trained with."""
    photos = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3)).astype(np.uint8)
    found = call(preprocess, photos)
    mean = np.array(MEAN)
    expected = photos[..., ::-1] - mean
    traps = {
        "red and blue are still in their old places": photos - mean[::-1],
        "the mean of the wrong channel is taken off": photos[..., ::-1] - mean[::-1],
        "computed with bytes, 3 − 5 is 254": photos[..., ::-1] - mean.astype(np.uint8),
        "VGG16 was trained without a division by 255": (photos[..., ::-1] - mean) / 255,
    }
    refuse(found, traps, "three photos")
    expect_array(found, expected, "three photos", atol=1e-3)
    other = np.random.default_rng(1).integers(0, 256, (2, 6, 3, 3)).astype(np.uint8)
    found = call(preprocess, other, case="two other photos")
    expect_array(found, other[..., ::-1] - mean, "two other photos", atol=1e-3)
    return "the same as keras.applications.vgg16.preprocess_input"


def exercise_3(occlusion: Any) -> str:
    """How much of a probability each square carries."""
    rng = np.random.default_rng(1)
    for rows, columns, size in ((8, 12, 4), (7, 9, 3), (6, 6, 6)):
        photo = rng.integers(0, 256, (rows, columns, 3)).astype(np.uint8)
        weights = rng.normal(size=photo.shape) / photo.size

        def probability(shown: np.ndarray, weights: np.ndarray = weights) -> float:
            if np.shape(shown) != weights.shape:
                raise ValueError(f"expected one photo, of shape {weights.shape}")
            return float(1 / (1 + np.exp(-(weights * shown).sum() / 10)))

        case = f"a photo of {rows}×{columns}, squares of {size}"
        found = call(occlusion, probability, photo, size, case=case)
        expected, black = (_lost(probability, photo, size, level) for level in (128, 0))
        traps = {
            "the sign is the wrong one: a loss is positive": -expected,
            "this is the probability that is left, not what has fallen": probability(photo)
            - expected,
            "the square is black; expected grey, 128": black,
        }
        refuse(found, traps, case)
        expect_array(found, expected, case, atol=1e-9)
    return "a map of what the answer rests on"


def _lost(probability: Any, photo: np.ndarray, size: int, level: int) -> np.ndarray:
    lost = np.zeros((photo.shape[0] // size, photo.shape[1] // size))
    for i, j in np.ndindex(lost.shape):
        covered = photo.copy()
        covered[i * size : (i + 1) * size, j * size : (j + 1) * size] = level
        lost[i, j] = probability(photo) - probability(covered)
    return lost
