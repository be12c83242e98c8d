"""Checks of the exercises of lesson 02: see what is in a data set."""

from typing import Any

import numpy as np

from helpers.classroom.exercises import (
    Wrong,
    call,
    expect_array,
    expect_number,
    expect_parts,
    expect_share,
    kind,
    one_number,
    refuse,
)


def exercise_1(majority_accuracy: Any) -> str:
    """Accuracy of the most frequent training class."""
    rng = np.random.default_rng(0)
    y_train = rng.choice([3, 7, 9], 100, p=[0.2, 0.5, 0.3])
    y_test = rng.choice([3, 7, 9], 60, p=[0.5, 0.3, 0.2])
    found = call(majority_accuracy, y_train, y_test)
    expect_share(found, "the accuracy")
    counts = np.unique(y_train, return_counts=True)[1]
    traps = {
        "this is the most frequent class of the test labels; a program that has been trained "
        "cannot know them": (y_test == 3).mean(),
        "this is a share of the training labels; an accuracy is measured on the test "
        "labels": counts.max() / len(y_train),
        "this is the chance of one class of several, whatever the data are": 1 / 3,
        "no answer was right; labels need not be 0, 1, 2, …: take the class, not its place": 0.0,
    }
    refuse(found, traps, "a data set of three classes")
    expect_number(found, float((y_test == 7).mean()), "a data set of three classes")
    expect_number(call(majority_accuracy, np.array([5, 5, 2]), np.array([2, 5])), 0.5, "tiny data")
    return "any model has to beat this number"


def exercise_2(recall_and_precision: Any) -> str:
    """Recall and precision of class 1."""
    rng = np.random.default_rng(1)
    truth = (rng.random(80) < 0.3) * 1
    answers = np.where(rng.random(80) < 0.3, 1 - truth, truth)
    hits = (truth & answers).sum()
    recall, precision = hits / truth.sum(), hits / answers.sum()
    found = _pair(call(recall_and_precision, truth, answers), "a test set")
    if np.allclose(found, [precision, recall]):
        raise Wrong("these are the right numbers, the other way round: recall comes first")
    if np.allclose(found, (truth == answers).mean()):
        raise Wrong("this is the accuracy, twice; it counts the zeros too")
    expect_array(found, np.array([recall, precision]), "recall and precision")
    case = "nothing was called 1"
    if _pair(call(recall_and_precision, truth, 0 * truth, case=case), case) != [0, 0]:
        raise Wrong("if nothing was called 1, the precision has to be 0: mind the division")
    return "two questions, two numbers"


def _pair(found: Any, case: str) -> list[float]:
    parts = expect_parts(found, 2, "two numbers, as in `return a, b`")
    return [one_number(part, case) for part in parts]


def exercise_3(nearest_mean: Any) -> str:
    """The label of the nearest mean image."""
    rng = np.random.default_rng(2)
    means = rng.integers(0, 256, (3, 6, 5))
    labels = np.array([4, 7, 2])
    y_train, y_test = np.repeat(labels, 30), rng.permutation(np.repeat(labels, 20))
    x_train, x_test = (_noisy(means, labels, y, rng) for y in (y_train, y_test))
    found = call(nearest_mean, x_train, y_train, x_test)
    expected, opposite, wrapped = (_predicted(x_train, y_train, x_test, how) for how in "nfb")
    if np.shape(found) != expected.shape:
        expect_array(found, expected, "the predicted labels")
    if unknown := set(np.ravel(found).tolist()) - set(labels.tolist()):
        raise Wrong(f"{unknown.pop()} is none of the labels; take the class, not its place")
    if np.array_equal(found, opposite):
        raise Wrong("these are the labels of the farthest mean")
    if np.array_equal(found, wrapped):
        raise Wrong("something was computed with bytes, in which 3 − 5 is 254")
    if wrong := int((np.asarray(found) != expected).sum()):
        raise Wrong(f"{wrong} of {len(expected)} predictions differ")
    return "ten images are a model"


def _noisy(means: np.ndarray, labels: np.ndarray, y: np.ndarray, rng: Any) -> np.ndarray:
    own = means[np.argmax(y[:, np.newaxis] == labels, axis=1)]
    return np.clip(own * 0.35 + 90 + rng.normal(0, 90, own.shape), 0, 255).astype(np.uint8)


def _predicted(x_train: Any, y_train: Any, x_test: Any, how: str) -> np.ndarray:
    """Predict by the nearest (n) or farthest (f) mean, or with bytes (b)."""
    classes = np.unique(y_train)
    means = np.stack([x_train[y_train == c].mean(axis=0) for c in classes])
    points = x_test if how == "b" else x_test.astype(float)
    means = means.astype(np.uint8) if how == "b" else means
    distances = [((points - mean) ** 2).sum(axis=(1, 2)) for mean in means]
    return classes[(np.argmax if how == "f" else np.argmin)(distances, axis=0)]


def exercise_4(leaked: Any) -> str:
    """Positions of test images that are copies of training images."""
    rng = np.random.default_rng(3)
    x_train = rng.integers(0, 256, (40, 4, 5)).astype(np.uint8)
    x_test = rng.integers(0, 256, (30, 4, 5)).astype(np.uint8)
    x_test[[2, 11, 25]] = x_train[[30, 0, 30]]
    x_test[7] = x_train[5][::-1]  # the same sum, another image
    x_test[8] = x_train[9]
    x_test[8, 0, 0] ^= 1  # nearly the same
    x_test[9] = x_train[12]
    x_test[9, 0, :2] = x_train[12, 0, :2] + np.array([100, 156], dtype=np.uint8)  # adds up to 256
    for case, test, expected in (("three copies", x_test, [2, 11, 25]), ("none", x_test[3:7], [])):
        found = np.asarray(call(leaked, x_train, test, case=case))
        if found.dtype == bool:
            raise Wrong(f"{case}: expected positions, not one True or False for each image")
        if found.ndim != 1:
            raise Wrong(f"{case}: expected an array with one axis, received {kind(found)}")
        if found.size and found.dtype.kind not in "iu":
            raise Wrong(f"{case}: expected positions (whole numbers), received {found.dtype}")
        if expected and np.array_equal(found, [0, 30]):
            raise Wrong(f"{case}: these are positions in the training set")
        if extra := set(found.tolist()) - set(expected):
            raise Wrong(f"{case}: test image {int(min(extra))} is no copy of a training image")
        if missing := len(set(expected) - set(found.tolist())):
            raise Wrong(f"{case}: {missing} of {len(expected)} are missing")
        if found.tolist() != expected:
            raise Wrong(f"{case}: expected each position once, in rising order")
    return "no copy escapes"


def exercise_5(purity: Any) -> str:
    """Share of the most frequent class in each group."""
    rng = np.random.default_rng(4)
    groups = rng.choice([-1, 0, 1, 4], 120, p=[0.2, 0.3, 0.3, 0.2])
    labels = np.where(rng.random(120) < 0.6, np.maximum(groups, 0) % 3, rng.integers(0, 3, 120))
    found = call(purity, groups, labels)
    if not isinstance(found, dict):
        raise Wrong(f"expected a dictionary, received {kind(found)}")
    if -1 in found:
        raise Wrong("−1 is no group but noise; leave it out")
    if set(found) != {0, 1, 4}:
        raise Wrong(f"the groups are 0, 1 and 4; received {sorted(found)}")
    for group in (0, 1, 4):
        own = np.bincount(labels[groups == group])
        if np.isclose(found[group], own.max() / len(labels)):
            raise Wrong(f"group {group}: this is a share of all samples, not of the group")
        expect_number(found[group], own.max() / own.sum(), f"group {group}")
    return "a group of one class has purity 1"


def exercise_6(variance_shares: Any) -> str:
    """Shares of variance of a standardised table."""
    rng = np.random.default_rng(5)
    table = rng.normal(3, 1, (40, 6)) @ rng.normal(size=(6, 6)) + 5
    table = np.column_stack([table, np.full(40, 2.0)])
    units = table * np.array([1000, 1, 0.01, 5, 1, 20, 1])
    expected = _shares(table)
    call(variance_shares, units[:, :6], 6, case="a table without a constant column")
    found = call(variance_shares, units, 3, case="a table with a constant column")
    if np.shape(found) == (3,):
        values = np.asarray(found, dtype=float)
        if not np.isfinite(values).all():
            raise Wrong("a constant column makes a division by zero")
        _name_the_trap(values, units)
    expect_array(found, expected[:3], "the first three components")
    whole = call(variance_shares, units[:, :6], 6, case="no constant column")
    expect_array(whole, _shares(table[:, :6])[:6], "all components")
    wide = rng.normal(size=(5, 30))
    expect_array(call(variance_shares, wide, 4, case="five rows"), _shares(wide)[:4], "five rows")
    return "now every feature has a say"


def _shares(table: np.ndarray) -> np.ndarray:
    table = table[:, table.std(axis=0) > 0]
    return _squares((table - table.mean(axis=0)) / table.std(axis=0))


def _squares(table: np.ndarray) -> np.ndarray:
    squared = np.linalg.svd(table, compute_uv=False) ** 2
    return squared / squared.sum()


def _name_the_trap(values: np.ndarray, table: np.ndarray) -> None:
    """Tell what kind of shares these are, if they are known wrong ones."""
    varied = table[:, table.std(axis=0) > 0]
    root = np.sqrt(_shares(table))
    with np.errstate(all="ignore"):
        filled = np.nan_to_num((table - table.mean(axis=0)) / table.std(axis=0), nan=1.0)
    traps = {
        "the shares change with the units: standardise first": _squares(table - table.mean(axis=0)),
        "variances are squares of the singular values": root / root.sum(),
        "only all components together add up to 1, not the first k": _shares(table)[:3]
        / _shares(table)[:3].sum(),
        "the column that is constant still counts": _squares(filled),
        "subtract the mean of each column first": _squares(varied / varied.std(axis=0)),
    }
    for message, trap in traps.items():
        if np.allclose(values, trap[:3]):
            raise Wrong(message)


def exercise_7(doubtful: Any) -> str:
    """Find exchanged labels in tables."""
    from helpers.datasets import load_dataset

    shares = []
    for seed, name in enumerate(("breast_cancer", "wine", "iris")):
        data = load_dataset(name, seed=seed)
        rng = np.random.default_rng(seed)
        units = 10.0 ** rng.integers(-3, 4, data.x_train.shape[1])  # any units
        x, y = data.x_train * units, data.y_train.copy()
        changed = rng.choice(len(y), max(5, len(y) // 30), replace=False)
        y[changed] = (
            y[changed] + rng.integers(1, data.class_count, len(changed))
        ) % data.class_count
        found = np.asarray(call(doubtful, x, y, 2 * len(changed), case=name))
        if found.dtype.kind not in "iu" or found.ndim != 1:
            raise Wrong(f"{name}: expected positions (whole numbers), received {kind(found)}")
        if len(set(found.tolist())) != 2 * len(changed):
            raise Wrong(f"{name}: expected exactly {2 * len(changed)} different positions")
        shares.append(np.isin(changed, found).mean())
    if np.mean(shares) < 0.7:
        raise Wrong(f"your suspects hold {np.mean(shares):.0%} of the exchanged labels; 70% needed")
    return f"your suspects hold {np.mean(shares):.0%} of the exchanged labels"
