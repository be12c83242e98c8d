"""The ``Dataset`` of arrays that every notebook works on, and the checks that it passed."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from helpers.datasets.sampling import holdout, stratified_sample
from helpers.errors import DatasetError

FEW = 20  # different numbers that are classes even if not each of them occurs twice


class AssumptionWarning(UserWarning):
    """What a reader has assumed about a file, and how to say otherwise."""


def tell(where: str, assumptions: Sequence[str]) -> None:
    """Warn in one line of what was assumed, if anything."""
    if assumptions:
        # Under a name of its own: the caller's file is a path of this machine.
        warnings.warn_explicit(
            f"{where}: {'; '.join(assumptions)}", AssumptionWarning, "load_dataset", 1
        )


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
    y_train, y_test : ndarray, shape (n,)
        Class numbers 0 … k-1, int64; or numbers to predict, float, if there are no class names.
    class_names : tuple of str
        The name of each class, by its number: sorted, as texts or as numbers. Empty if numbers are
        to be predicted (regression).
    source : str
        Where it came from: a known set's place by its label (``$COURSE_DATA/mnist.npz``), so that
        it can be printed in a notebook, or your own path as you gave it.
    feature_names : tuple of str
        The columns of a table; empty for images and texts.
    skipped : tuple of str
        Files that a folder load left out under ``on_error="skip"``.
    x_val, y_val : ndarray, optional
        A part to choose by, of the form of the others; ``train`` validates on it.
    kind : str, optional
        ``"images"``, ``"sequences"``, ``"table"`` or ``"text"``. If it is not given, it follows
        from the shape: images are ``(n, h, w)`` with sides that are alike or of bytes, or have 1, 3
        or 4 channels, ``(n, h, w, c)`` or ``(n, c, h, w)``; what has more than one axis otherwise,
        or names for its features, is a sequence.
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
    kind: str = ""

    def __post_init__(self) -> None:
        if not self.kind:
            object.__setattr__(self, "kind", self._kind())

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

    def _kind(self) -> str:
        shape, x = self.input_shape, self.x_train
        if x.dtype == object:
            return "text"
        if len(shape) == 1:
            return "table"
        if self.feature_names or len(shape) > 3:
            return "sequences"
        if len(shape) == 3:
            return "images" if {shape[0], shape[-1]} & {1, 3, 4} else "sequences"
        alike = min(shape) >= 8 and max(shape) <= 4 * min(shape)
        return "images" if alike or x.dtype == np.uint8 else "sequences"

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
        n_test = max(self.class_count, 1, round(n_samples * len(self.x_test) / len(self.x_train)))
        strata = [y if self.class_names else np.zeros(len(y)) for y in (self.y_train, self.y_test)]
        train = stratified_sample(strata[0], n_samples, seed)
        test = stratified_sample(strata[1], min(n_test, len(self.x_test)), seed)
        return self.replace(
            x_train=self.x_train[train],
            y_train=self.y_train[train],
            x_test=self.x_test[test],
            y_test=self.y_test[test],
        )

    def replace(self, **changes: Any) -> "Dataset":
        """Return a copy with some attributes exchanged; arrays are shared, not copied."""
        x = changes.get("x_train", self.x_train)
        alike = x.ndim == self.x_train.ndim and (x.dtype == object) == (self.kind == "text")
        kept = self.kind if alike and "feature_names" not in changes else ""
        return replace(self, **{"kind": kept} | changes)

    def convert(self, function: Callable[[np.ndarray], np.ndarray]) -> "Dataset":
        """Return a copy whose ``x`` went through a function, that of every part."""
        parts = ("x_train", "x_test", "x_val")
        held = {part: x for part in parts if (x := getattr(self, part)) is not None}
        return self.replace(**{part: function(x) for part, x in held.items()})

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.input_shape)) or "text"
        target = f"{self.class_count} classes" if self.class_names else "numbers to predict"
        return (
            f"Dataset {self.name}: {len(self.x_train):,} train + {len(self.x_test):,} test, "
            f"{shape} {self.x_train.dtype}, {target}"
        )


def checked_dataset(
    name: str,
    arrays: Mapping[str, np.ndarray],
    *,
    source: str,
    where: str,
    class_names: Sequence[str] = (),
    regression: bool | None = None,
    feature_names: Sequence[str] = (),
    skipped: Sequence[str] = (),
) -> Dataset:
    """Build a ``Dataset`` from its arrays, or say in one line what is wrong with them.

    Parameters
    ----------
    name, source
        As in ``Dataset``.
    arrays
        ``x_train``, ``y_train``, ``x_test``, ``y_test``; ``x_val`` and ``y_val`` if there are any.
    where
        The file that an error message names.
    class_names
        The classes, where they are known beforehand; found from the labels otherwise.
    regression
        Whether the labels are numbers to predict; see ``are_numbers`` if ``None``.
    feature_names, skipped
        As in ``Dataset``.

    Raises
    ------
    DatasetError
        For different lengths or shapes, NaN or infinity, or labels that fit neither classes nor
        numbers.
    """
    parts = [part for part in ("train", "test", "val") if f"x_{part}" in arrays]
    x = {part: arrays[f"x_{part}"] for part in parts}
    y = {part: flat(arrays[f"y_{part}"], where) for part in parts}
    for part in parts:
        _check_values(x[part], f"{where}: x_{part}")
        if len(x[part]) != len(y[part]):
            raise DatasetError(
                f"{where}: x_{part} has {len(x[part])} samples and y_{part} has {len(y[part])} "
                "labels; expected one label for each sample"
            )
        if len(x[part]) == 0:
            raise DatasetError(f"{where}: x_{part} is empty; expected at least one sample")
        if x[part].shape[1:] != x["train"].shape[1:]:
            raise DatasetError(
                f"{where}: samples of x_train have shape {x['train'].shape[1:]}, those of x_{part} "
                f"{x[part].shape[1:]}; expected the same shape"
            )
    y, names = _encode_labels(y, where, class_names, regression)
    found = {f"x_{part}": a.astype(np.uint8) if a.dtype == bool else a for part, a in x.items()}
    found |= {f"y_{part}": a for part, a in y.items()}
    return Dataset(
        name=name, source=source, class_names=names, feature_names=tuple(feature_names),
        skipped=tuple(skipped), **found,
    )  # fmt: skip


def split_arrays(
    x: np.ndarray, y: np.ndarray, *, test_size: float, seed: int, regression: bool | None = None
) -> dict[str, np.ndarray]:
    """Split samples into four arrays of a ``Dataset``, by class unless numbers are predicted."""
    strata = np.zeros(len(y)) if are_numbers(y, regression) else y
    train, test = holdout(strata, test_size, seed)
    return {"x_train": x[train], "y_train": y[train], "x_test": x[test], "y_test": y[test]}


def are_numbers(y: np.ndarray, regression: bool | None = None) -> bool:
    """Tell whether labels are numbers to predict, rather than classes.

    They are if somebody says so (``regression``). Otherwise if some of them occur only once and
    there are more than 20 different ones, or more than half as many as samples, or fractions; and
    also if there are more than 20 different fractions.
    """
    if regression is not None or y.dtype.kind not in "uif" or not len(y):
        return bool(regression)
    values, counts = np.unique(y, return_counts=True)
    fractions = bool((values != np.round(values)).any())
    many = len(values) > FEW
    if counts.min() == 1:
        return many or fractions or len(values) > len(y) // 2
    return many and fractions


def assumed_of_labels(
    y: np.ndarray, regression: bool | None, what: str, *, named: bool = True
) -> list[str]:
    """Return what is assumed of labels: classes or numbers, if nobody says and it is not certain.

    That many different fractions are numbers is certain where labels are ``named`` as such.
    """
    if regression is not None or y.dtype.kind not in "uif":
        return []
    numbers, fractions = are_numbers(y), bool((y != np.round(y)).any())
    if numbers and not (fractions and named):
        ways = "regression=False says" if named else "regression=False or target= say"
        return [f"{what} holds numbers to predict, not classes ({ways} otherwise)"]
    if fractions and not numbers:
        return [f"{what} holds classes, not numbers to predict (regression=True says otherwise)"]
    return []


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
                "drop or fill them first (pandas: dropna, fillna)"
            )


def flat(y: np.ndarray, where: str) -> np.ndarray:
    """Return labels of shape (n,), which may come as a column, or refuse another shape."""
    if y.ndim == 2 and y.shape[1] == 1:
        return y[:, 0]
    if y.ndim != 1:
        hint = "; for one-hot labels use numpy.argmax(y, axis=1)" if y.ndim == 2 else ""
        raise DatasetError(f"{where}: labels have shape {y.shape}; expected (samples,){hint}")
    return y


def _encode_labels(
    labels: dict[str, np.ndarray], where: str, class_names: Sequence[str], regression: bool | None
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return labels as int64 0 … k-1 and the names of the classes, or as numbers, without names."""
    kinds = {y.dtype.kind for y in labels.values()}
    if not (kinds <= set("uif") or kinds <= set("US") or kinds == {"b"}):
        types = ", ".join(f"{y.dtype} ({part})" for part, y in labels.items())
        raise DatasetError(f"{where}: labels have dtype {types}; expected numbers or strings alone")
    labels = {part: _plain(y, where) for part, y in labels.items()}
    every = np.concatenate(list(labels.values()))
    if not class_names and are_numbers(every, regression):
        if every.dtype.kind == "U":
            raise DatasetError(f"{where}: labels are text; expected numbers with regression=True")
        numeric = np.result_type(every, np.float32)
        return {part: y.astype(numeric) for part, y in labels.items()}, ()
    present, numbers = np.unique(every, return_inverse=True)
    unseen = np.setdiff1d(every, labels["train"])
    if len(unseen) and not class_names:
        raise DatasetError(
            f"{where}: the test labels hold {unseen[0]!s}, which no training label is; expected "
            "every class among the training labels"
        )
    if len(present) < 2:
        raise DatasetError(
            f"{where}: every label is {present[0]!s}; expected at least two classes (is another "
            "column or array the label?)"
        )
    if class_names and every.dtype.kind != "U":
        # A set whose classes are declared may lack some of them.
        if every.dtype.kind == "f" or present[0] < 0 or present[-1] >= len(class_names):
            raise DatasetError(
                f"{where}: labels go from {present[0]} to {present[-1]}; expected 0 … "
                f"{len(class_names) - 1}"
            )
        return {part: y.astype(np.int64) for part, y in labels.items()}, tuple(class_names)
    ends = np.cumsum([len(y) for y in labels.values()])[:-1]
    encoded = dict(zip(labels, np.split(numbers.astype(np.int64), ends), strict=True))
    return encoded, tuple(map(str, present))


def _plain(y: np.ndarray, where: str) -> np.ndarray:
    """Return labels as int64 where they are whole numbers, as text, or as finite floats."""
    if y.dtype.kind == "f":
        if not np.isfinite(y).all():
            raise DatasetError(f"{where}: a label is NaN or infinite; expected finite labels")
        whole = (y == np.round(y)).all() and np.abs(y).max(initial=0) < 1 << 53
        return y.astype(np.int64) if whole else y
    if y.dtype.kind in "ui":
        return y.astype(np.int64)
    try:
        return np.char.decode(y, "utf-8") if y.dtype.kind == "S" else y.astype("U")
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{where}: labels are bytes that are not UTF-8; expected text"
        ) from error
