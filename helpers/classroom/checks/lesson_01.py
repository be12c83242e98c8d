"""Checks of the exercises of lesson 01: load data."""

import itertools
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from helpers.classroom.exercises import (
    Wrong,
    call,
    expect_array,
    expect_number,
    expect_parts,
    expect_share,
    kind,
    refuse,
)

BOTH = "both tables, as in `return a, b`"


def exercise_1(memory: Any) -> str:
    """Megabytes of an array, from its shape and dtype."""
    for shape, dtype in (((100, 10, 10), "uint8"), ((7,), "float64"), ((10**9, 10**6, 3), "int16")):
        case = f"shape {shape}, {dtype}"
        found = call(memory, shape, dtype, case=case)
        values, size = float(np.prod(shape)), np.dtype(dtype).itemsize
        traps = {"here a megabyte is a million bytes, not 1024 · 1024": values * size / 1024**2}
        refuse(found, traps, case)
        for other in {1, 2, 4, 8} - {size}:
            traps = {"how many are the bytes of one number of this dtype?": values * other / 1e6}
            refuse(found, traps, case)
        expect_number(found, values * size / 1e6, case, atol=1e-12)
    return "a float64 takes eight times the memory of a uint8"


def exercise_2(survivors: Any) -> str:
    """Digits that stay what they are when they are flipped."""
    digits = [str(digit) for digit in range(10)]
    undecided = {"1"}  # a bare stroke survives, one with a serif does not
    where = "the digits that survive"
    if not isinstance(survivors, set | frozenset | list | tuple | np.ndarray):
        raise Wrong(f"{where}: expected a set such as {{3, 5}}, received {kind(survivors)}")
    plain = {int(d) if isinstance(d, float | np.number) else d for d in survivors}
    words, right = {str(digit) for digit in plain} - undecided, {"0", "8"}
    if unknown := sorted(words - set(digits)):
        raise Wrong(f"{where}: {unknown[0]!r} is not among {', '.join(digits)}")
    if words != right:
        extra, missing = len(words - right), len(right - words)
        raise Wrong(f"{where}: {extra} of yours do not belong there, {missing} are missing")
    return "only these are symmetric; a flip makes the others into something else"


def exercise_3(channels_first: Any) -> str:
    """Move the last axis to the second place."""
    rng = np.random.default_rng(0)
    for shape in ((2, 4, 6, 3), (1, 5, 2, 1), (3, 2, 7, 4)):
        images = rng.integers(0, 256, shape).astype(np.uint8)
        case, expected = f"images of shape {shape}", np.moveaxis(images, -1, 1)
        found = call(channels_first, images, case=case)
        right_shape = np.shape(found) == expected.shape
        if right_shape and shape[-1] > 1 and np.array_equal(found, images.reshape(expected.shape)):
            raise Wrong(
                f"{case}: the shape is right, but these are no longer the same pictures: the "
                "numbers have kept their order in memory"
            )
        expect_array(found, expected, case, dtype="uint8")
    return "the pictures are the same, only their axes have changed places"


def exercise_4(standardise: Any) -> str:
    """Standardise by the training table."""
    rng = np.random.default_rng(1)
    train = rng.normal((5, -300, 0.1), (2, 80, 0.02), (40, 3))
    train = np.column_stack([train, np.full(40, 7.0)])  # a constant feature
    test = rng.normal((6, -200, 0.1, 9), (2, 80, 0.02, 1), (10, 4))
    found = expect_parts(call(standardise, train, test), 2, BOTH)
    mean, std = train.mean(axis=0), train.std(axis=0)
    std = np.where(std == 0, 1, std)
    _standardised(found[0], train, mean, std, "the training table")
    own = (test - test.mean(axis=0)) / test.std(axis=0)
    if np.shape(found[1]) == test.shape and np.allclose(found[1], own):
        raise Wrong("the test table was changed by the test table's own mean and deviation")
    _standardised(found[1], test, mean, std, "the test table")
    found = expect_parts(call(standardise, train, test[:1], case="one test row"), 2, BOTH)
    _standardised(found[1], test[:1], mean, std, "one test row")
    return "both tables were changed by the same numbers"


def _standardised(
    found: Any, table: np.ndarray, mean: np.ndarray, std: np.ndarray, case: str
) -> None:
    expected = (table - mean) / std
    if np.shape(found) == expected.shape:
        values = np.asarray(found, dtype=float)
        if not np.isfinite(values[:, -1]).all():
            raise Wrong(f"{case}: the feature that is constant in the training table is not finite")
        if np.abs(values[:, -1] - expected[:, -1]).max() > 1e3:
            raise Wrong(f"{case}: the constant feature is divided by nearly nothing")
        off = np.abs(values[:, :-1] - expected[:, :-1])
        if np.allclose(values, table):
            raise Wrong(f"{case}: it came back as it was")
        if 1e-4 < off.max() < 0.05 * np.abs(expected[:, :-1]).max():
            raise Wrong(f"{case}: nearly right; take `std` as NumPy does, without ddof=1")
        if off.max() > 1e-6 and _one_for_all(values, table):
            raise Wrong(f"{case}: go feature by feature; here one number served several")
    expect_array(found, expected, case)


def _one_for_all(values: np.ndarray, table: np.ndarray) -> bool:
    """Tell whether the features still differ in size as they did, or each row adds up to 0."""
    sizes = [np.ptp(x[:, :3], axis=0) for x in (values, table)]
    if len(table) > 1 and np.allclose(sizes[0] / sizes[0].max(), sizes[1] / sizes[1].max()):
        return True
    return bool(np.allclose(values.mean(axis=1), 0))


def exercise_5(fill: Any) -> str:
    """Fill holes with medians of the training table."""
    import pandas as pd

    rng = np.random.default_rng(2)
    train = pd.DataFrame(rng.exponential(5, (31, 3)), columns=["a", "b", "c"])
    test = pd.DataFrame(rng.exponential(9, (10, 3)), columns=["a", "b", "c"], index=range(50, 60))
    train, test = train.mask(rng.random(train.shape) < 0.2), test.mask(rng.random(test.shape) < 0.3)
    test.loc[:, "c"] = np.nan  # nothing to take a median from
    _both_filled(call(fill, train, test), train, test)
    train["place"], test["place"] = "north", "south"
    _both_filled(call(fill, train, test, case="a table with words"), train, test)
    return "the medians come from the training rows, and the tables you received are as they were"


def _both_filled(found: Any, train: Any, test: Any) -> None:
    found = expect_parts(found, 2, BOTH)
    for name, table, filled in (("training", train, found[0]), ("test", test, found[1])):
        _filled(f"the {name} table", table, filled, train, test)


def _filled(case: str, table: Any, filled: Any, train: Any, test: Any) -> None:
    import pandas as pd

    if not isinstance(filled, pd.DataFrame):
        raise Wrong(f"{case}: expected a DataFrame, received {kind(filled)}")
    if len(filled) != len(table):
        raise Wrong(f"{case}: it had {len(table)} rows, and {len(filled)} came back")
    if list(filled.columns) != list(table.columns) or list(filled.index) != list(table.index):
        raise Wrong(f"{case}: columns and row names have to stay as they are")
    own, middle = filled[["a", "b", "c"]], train[["a", "b", "c"]].median()
    holes = table[["a", "b", "c"]]
    both = pd.concat([train, test])[["a", "b", "c"]]
    others = {
        "the mean of the training table": train[["a", "b", "c"]].mean(),
        "the median of both tables together": both.median(),
        "the test table's own median": test[["a", "b", "c"]].median(),
    }
    right = holes.fillna(middle)
    for name, values in others.items():
        other = holes.fillna(values)
        same = (np.isclose(own, other) | other.isna()).to_numpy().all()
        if same and not np.allclose(other.fillna(0), right.fillna(0)):
            raise Wrong(f"{case}: the holes were filled with {name}")
    if own.isna().any().any():
        raise Wrong(f"{case}: there are still holes")
    if not np.allclose(own[holes.notna()].fillna(0), holes.fillna(0)):
        raise Wrong(f"{case}: a value that was there has changed")
    if not np.allclose(own, right):
        raise Wrong(f"{case}: the holes hold something that is not the median of the training rows")


def exercise_6(honest_score: Any) -> str:
    """Repair a score that leaks."""
    noisy, found = [], []
    for seed in range(16):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(100, 2000)), rng.permutation(np.tile([0, 1], 50))
        noisy.append(expect_share(call(honest_score, x, y, case="noise"), "noise"))
        x[:, 10:16] += 1.5 * y[:, np.newaxis]  # six of a thousand features tell the class
        case = "data with something to find"
        found.append(expect_share(call(honest_score, x, y, case=case), case))
    if np.mean(noisy) > 0.55:
        raise Wrong(
            f"on noise it still reports {np.mean(noisy):.2f} (mean of 16 tables); chance is 0.5"
        )
    if np.mean(found) < 0.8:
        raise Wrong(
            f"where there is something to find, it reports {np.mean(found):.2f}; keep the "
            "selection of features, and learn it from the right rows"
        )
    _selects_by_training_rows(honest_score)
    return f"on noise {np.mean(noisy):.2f}, where there is something to find {np.mean(found):.2f}"


def _selects_by_training_rows(honest_score: Any) -> None:
    """Watch which rows choose the features, and which the classifier learns from."""
    from sklearn.feature_selection import SelectKBest
    from sklearn.neighbors import KNeighborsClassifier

    rng, seen = np.random.default_rng(99), {}
    fits = {kind: kind.fit for kind in (SelectKBest, KNeighborsClassifier)}

    def watched(own: Any, x: Any, y: Any, **options: Any) -> Any:
        seen.setdefault(type(own), []).append(np.asarray(x))
        return fits[type(own)](own, x, y, **options)

    with ExitStack() as patches:
        for watched_class in fits:
            patches.enter_context(patch.object(watched_class, "fit", watched))
        call(honest_score, rng.normal(size=(100, 200)), np.tile([0, 1], 50), case="noise")
    for rows in seen.get(SelectKBest, []):
        learned = np.concatenate([x.ravel() for x in seen.get(KNeighborsClassifier, [rows])])
        if not np.isin(rows, learned).any(axis=1).all():
            raise Wrong("rows that the classifier does not learn from help to choose the features")


def exercise_7(split_by_group: Any) -> str:
    """Split so that no group is on both sides."""
    rng = np.random.default_rng(3)
    cases = {
        "numbers": (rng.integers(0, 20, 200), 0.25),
        "names": (
            rng.permutation(np.repeat(["ann", "bo", "cy", "di", "ed"], [1, 9, 4, 30, 2])),
            0.4,
        ),
        "two groups": (np.array([0, 0, 1, 1, 1]), 0.1),
    }
    for (case, (groups, test_size)), seed in itertools.product(cases.items(), range(4)):
        train, test = _positions(call(split_by_group, groups, test_size, seed, case=case), case)
        if shared := set(groups[train]) & set(groups[test]):
            raise Wrong(f"{case}: {len(shared)} groups are in both parts")
        both = np.concatenate([train, test])
        if not np.array_equal(np.sort(both), np.arange(len(groups))):
            raise Wrong(f"{case}: every sample has to be in exactly one part")
        wanted = max(1, round(test_size * len(set(groups))))
        if (count := len(set(groups[test]))) != wanted:
            raise Wrong(f"{case}: {count} of the groups are in the test part; expected {wanted}")
    groups, test_size = cases["numbers"]
    tests = [
        _positions(call(split_by_group, groups, test_size, s), "numbers")[1] for s in (1, 1, 2, 3)
    ]
    if not np.array_equal(tests[0], tests[1]):
        raise Wrong("the same seed gives two different splits")
    if all(np.array_equal(tests[1], other) for other in tests[2:]):
        raise Wrong("another seed gives the same split")
    return "no group is on both sides"


def _positions(found: Any, case: str) -> tuple[np.ndarray, np.ndarray]:
    parts = [np.asarray(part) for part in expect_parts(found, 2, "two arrays")]
    if any(part.dtype.kind not in "iu" for part in parts):
        raise Wrong(f"{case}: expected positions (whole numbers); received {parts[0].dtype}")
    if any(part.ndim != 1 for part in parts):
        raise Wrong(f"{case}: expected arrays with one axis; received {kind(found[0])}")
    return parts[0], parts[1]


def exercise_8(load_photos: Any) -> str:
    """Load photos of different sizes and kinds, broken files among them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        expected = _write_photos(folder)
        found = call(load_photos, folder, 16)
    images, labels, names = expect_parts(found, 3, "images, labels and class names")
    if list(names) != ["apple", "pear", "quince"]:
        raise Wrong(f"class names: expected them in alphabetical order; received {list(names)}")
    if np.shape(labels)[:1] != np.shape(images)[:1]:
        raise Wrong(f"expected as many labels as images; {len(labels)} and {len(images)} came back")
    if len(images) != len(expected):
        raise Wrong(
            f"{len(images)} images came back; expected every image that can be read: "
            f"{len(expected)}"
        )
    expect_array(labels, np.array([label for _, label in expected]), "the labels")
    wanted = np.stack([image for image, _ in expected])
    array = np.asarray(images)
    if array.dtype != np.uint8:
        raise Wrong(f"the images: expected dtype uint8, received {array.dtype}")
    if array.shape != wanted.shape:
        raise Wrong(f"the images: expected shape {wanted.shape}, received {array.shape}")
    far = np.abs(array.astype(int) - wanted.astype(int)).mean(axis=(1, 2, 3))
    if far.max() > 12:  # another way of resizing differs by a few levels
        raise Wrong(f"image {int(far.argmax())} is not the one that belongs there")
    return "sizes, colours and broken files are no surprise any more"


def _write_photos(folder: Path) -> list[tuple[np.ndarray, int]]:
    """Write photos of all kinds; return those that can be read, in order, 16 by 16."""
    from PIL import Image

    rng = np.random.default_rng(4)
    kinds = {
        "apple": ("b.png RGB", "a.jpg RGB", "c.png L"),
        "pear": ("10.png RGBA", "9.bmp RGB"),
        "quince": ("x.gif L",),
    }
    expected = []
    for label, (name, files) in enumerate(kinds.items()):
        (folder / name).mkdir()
        for file, mode in sorted(f.split() for f in files):
            rows, columns = rng.integers(20, 60, 2)
            levels = rng.integers(0, 256, (2, 2, len(mode))).astype(np.uint8)
            levels = levels[..., 0] if mode == "L" else levels
            photo = Image.fromarray(levels).resize((int(columns), int(rows)))
            photo.save(folder / name / file)
            read = Image.open(folder / name / file).convert("RGB").resize((16, 16))
            expected.append((np.asarray(read), label))
    (folder / "apple" / "notes.txt").write_text("no image")
    (folder / "read me.txt").write_text("no class")
    whole = (folder / "apple" / "b.png").read_bytes()
    (folder / "pear" / "8.png").write_bytes(whole[: len(whole) // 2])
    return expected
