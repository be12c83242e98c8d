"""The ``Dataset`` of arrays that every notebook works on, and the checks that it passed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from helpers.datasets.sampling import stratified_sample
from helpers.errors import DatasetError


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A training set and a test set, in memory.

    Attributes
    ----------
    name : str
        The set that was really loaded (after a fallback: the fallback's name).
    x_train, x_test : ndarray, shape (n, ...)
        Images ``(n, height, width)`` or ``(n, height, width, 3)`` uint8, tables ``(n, features)``
        float, texts ``(n,)`` of str objects.
    y_train, y_test : ndarray of int64, shape (n,)
        Class numbers 0 … k-1.
    class_names : tuple of str
        The name of each class, by its number.
    source : str
        Where it came from: a known set's place by its label (``$COURSE_DATA/mnist.npz``), so that
        it can be printed in a notebook, or your own path as you gave it.
    feature_names : tuple of str
        The columns of a table; empty for images and texts.
    skipped : tuple of str
        Files that a folder load left out under ``on_error="skip"``.
    x_val, y_val : ndarray, optional
        A part to choose by, of the form of the others; ``train`` validates on it.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...]
    source: str
    feature_names: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    x_val: np.ndarray | None = None
    y_val: np.ndarray | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return self.x_train.shape[1:]

    @property
    def input_dtype(self) -> np.dtype:
        """The type of its numbers; bytes (uint8) are scaled by the course's networks."""
        return self.x_train.dtype

    @property
    def class_count(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def kind(self) -> str:
        """``"images"``, ``"sequences"``, ``"table"`` or ``"text"``.

        Images are ``(n, h, w)``, or have 1, 3 or 4 channels, ``(n, h, w, c)`` or ``(n, c, h, w)``.
        What has more than one axis otherwise, or names for its features, is a sequence.
        """
        if self.x_train.dtype == object:
            return "text"
        if len(self.input_shape) == 1:
            return "table"
        channels = {self.input_shape[0], self.input_shape[-1]} if self.x_train.ndim == 4 else {1}
        if self.x_train.ndim > 4 or self.feature_names or channels.isdisjoint({1, 3, 4}):
            return "sequences"
        return "images"

    def subset(self, n_samples: int | None, seed: int = 0) -> "Dataset":
        """Return a stratified random part: at most ``n_samples`` training samples.

        The test set shrinks in the same proportion. ``None`` returns the set as it is.

        Raises
        ------
        DatasetError
            If ``n_samples`` is smaller than the number of classes.
        """
        if n_samples is None or n_samples >= len(self.x_train):
            return self
        n_test = max(self.class_count, round(n_samples * len(self.x_test) / len(self.x_train)))
        train = stratified_sample(self.y_train, n_samples, seed)
        test = stratified_sample(self.y_test, min(n_test, len(self.x_test)), seed)
        return self.replace(
            x_train=self.x_train[train],
            y_train=self.y_train[train],
            x_test=self.x_test[test],
            y_test=self.y_test[test],
        )

    def replace(self, **changes: Any) -> "Dataset":
        """Return a copy with some attributes exchanged; arrays are shared, not copied."""
        return replace(self, **changes)

    def convert(self, function: Callable[[np.ndarray], np.ndarray]) -> "Dataset":
        """Return a copy whose ``x`` went through a function, that of every part."""
        parts = ("x_train", "x_test", "x_val")
        held = {part: x for part in parts if (x := getattr(self, part)) is not None}
        return replace(self, **{part: function(x) for part, x in held.items()})

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.input_shape)) or "text"
        return (
            f"Dataset {self.name}: {len(self.x_train):,} train + {len(self.x_test):,} test, "
            f"{shape} {self.x_train.dtype}, {self.class_count} classes"
        )


def checked_dataset(
    name: str,
    arrays: dict[str, np.ndarray],
    *,
    source: str,
    where: str,
    class_names: Sequence[str] = (),
    feature_names: Sequence[str] = (),
    skipped: Sequence[str] = (),
) -> Dataset:
    """Build a ``Dataset`` from four arrays, or say in one line what is wrong with them.

    Parameters
    ----------
    name, source
        As in ``Dataset``.
    arrays
        ``x_train``, ``y_train``, ``x_test``, ``y_test``.
    where
        The file that an error message names.
    class_names
        The classes, where they are known beforehand; found from the labels otherwise.

    Raises
    ------
    DatasetError
        For different lengths or shapes, NaN or infinity, or labels that are neither 0 … k-1 nor
        strings.
    """
    labels = {part: _flat(arrays[f"y_{part}"], where) for part in ("train", "test")}
    arrays = {name: a.astype(np.uint8) if a.dtype == bool else a for name, a in arrays.items()}
    for part in ("train", "test"):
        _check_values(arrays[f"x_{part}"], f"{where}: x_{part}")
        n_x, n_y = len(arrays[f"x_{part}"]), len(labels[part])
        if n_x != n_y:
            raise DatasetError(
                f"{where}: x_{part} has {n_x} samples and y_{part} has {n_y} labels; expected "
                "one label for each sample"
            )
        if n_x == 0:
            raise DatasetError(f"{where}: x_{part} is empty; expected at least one sample")
    shapes = arrays["x_train"].shape[1:], arrays["x_test"].shape[1:]
    if shapes[0] != shapes[1]:
        raise DatasetError(
            f"{where}: samples of x_train have shape {shapes[0]}, those of x_test {shapes[1]}; "
            "expected the same shape"
        )
    y_train, y_test, names = _encode_labels(labels["train"], labels["test"], where, class_names)
    return Dataset(
        name=name,
        x_train=arrays["x_train"],
        y_train=y_train,
        x_test=arrays["x_test"],
        y_test=y_test,
        class_names=names,
        source=source,
        feature_names=tuple(feature_names),
        skipped=tuple(skipped),
    )


def _check_values(x: np.ndarray, what: str) -> None:
    if x.dtype == object:  # texts, built by the folder loader; files with objects are refused there
        return
    if x.dtype.kind not in "uifb":
        raise DatasetError(f"{what} has dtype {x.dtype}; expected numbers")
    if x.ndim < 2 or 0 in x.shape[1:]:
        raise DatasetError(f"{what} has shape {x.shape}; expected (samples, features or pixels …)")
    if x.dtype.kind != "f":
        return
    for start in range(0, len(x), 256):  # in pieces: isfinite would make a mask as long as x
        finite = np.isfinite(x[start : start + 256])
        if not finite.all():
            sample = start + int(np.argwhere(~finite)[0][0])
            raise DatasetError(
                f"{what} holds NaN or infinity, first in sample {sample}; expected finite numbers: "
                "drop or fill them first (helpers.preprocessing.drop_missing, fill_missing)"
            )


def _flat(y: np.ndarray, where: str) -> np.ndarray:
    if y.ndim == 2 and y.shape[1] == 1:  # CIFAR-10's labels come as a column
        return y[:, 0]
    if y.ndim != 1:
        hint = "; for one-hot labels use numpy.argmax(y, axis=1)" if y.ndim == 2 else ""
        raise DatasetError(f"{where}: labels have shape {y.shape}; expected (samples,){hint}")
    return y


def _encode_labels(
    y_train: np.ndarray, y_test: np.ndarray, where: str, class_names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return both label arrays as int64 0 … k-1, and the names of the classes."""
    kinds = {y_train.dtype.kind, y_test.dtype.kind}
    if kinds <= {"u", "i"}:
        y_train, y_test = y_train.astype(np.int64), y_test.astype(np.int64)
    elif kinds <= {"U", "S"}:
        y_train, y_test = (_decoded(y, where) for y in (y_train, y_test))
    else:
        raise DatasetError(
            f"{where}: labels have dtype {y_train.dtype} (training) and {y_test.dtype} (test); "
            "expected integers 0 … k-1 or strings"
        )
    unseen = np.setdiff1d(y_test, y_train)
    if len(unseen) and not class_names:
        raise DatasetError(
            f"{where}: the test labels hold {unseen[0]!s}, which no training label is; expected "
            "every class among the training labels"
        )
    present = np.union1d(y_train, y_test)
    if len(present) < 2:
        raise DatasetError(f"{where}: every label is {present[0]!s}; expected at least two classes")
    if y_train.dtype.kind == "U":
        y_train, y_test = (np.searchsorted(present, y) for y in (y_train, y_test))
        return y_train, y_test, tuple(map(str, present))
    count = len(class_names) or len(present)
    # A set whose classes are declared may lack some of them; one without must be gapless.
    if present[0] < 0 or present[-1] >= count:
        raise DatasetError(
            f"{where}: labels are {_shortened(present)}; expected 0 … {count - 1} without gaps: "
            "renumber them, or use strings"
        )
    return y_train, y_test, tuple(class_names) or tuple(str(number) for number in present)


def _decoded(y: np.ndarray, where: str) -> np.ndarray:
    try:
        return np.char.decode(y, "utf-8") if y.dtype.kind == "S" else y
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{where}: labels are bytes that are not UTF-8; expected text"
        ) from error


def _shortened(values: np.ndarray) -> str:
    shown = [str(value) for value in values[:5]]
    return ", ".join(shown if len(values) <= 5 else [*shown, f"… {values[-1]}"])
