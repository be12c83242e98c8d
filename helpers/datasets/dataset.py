"""The ``Dataset`` of arrays that every notebook works on, and how one is made of arrays."""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from helpers.datasets.sampling import holdout, stratified_sample
from helpers.errors import DatasetError

FEW = 20  # different numbers that are classes even if not each of them occurs twice


class AssumptionWarning(UserWarning):
    """What a reader has assumed about a file, and how to say otherwise."""


def say(message: str, category: type[Warning] = UserWarning, by: str = "load_dataset") -> None:
    """Warn in one line, which does not name the caller's file: that is a path of this machine."""
    warnings.warn_explicit(message, category, by, 1)


@contextlib.contextmanager
def assumptions(where: str) -> Iterator[list[str]]:
    """Collect what is assumed of a file, and warn of it in one line, also before an error."""
    notes: list[str] = []
    try:
        yield notes
    finally:
        if notes:
            say(f"{where}: {'; '.join(notes)}", AssumptionWarning)


def check_option(option: str, value: object, fits: bool, expected: str) -> None:
    """Refuse an option's value that does not fit; ``None`` stands for one that is not given."""
    if value is not None and not fits:
        raise DatasetError(f"{option}={value!r}; expected {expected}")


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
    def parts(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """The arrays (x, y) of each part: ``train``, ``test`` and, where there is one, ``val``."""
        parts = {"train": (self.x_train, self.y_train), "test": (self.x_test, self.y_test)}
        return parts if self.x_val is None else parts | {"val": (self.x_val, self.y_val)}

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
        changes = {}
        for part, n in (("train", n_samples), ("test", min(n_test, len(self.x_test)))):
            x, y = self.parts[part]
            rows = stratified_sample(y if self.class_names else np.zeros(len(y)), n, seed)
            changes |= {f"x_{part}": x[rows], f"y_{part}": y[rows]}
        return self.replace(**changes)

    def replace(self, **changes: Any) -> "Dataset":
        """Return a copy with some attributes exchanged; arrays are shared, not copied."""
        x = changes.get("x_train", self.x_train)
        alike = x.ndim == self.x_train.ndim and (x.dtype == object) == (self.kind == "text")
        kept = self.kind if alike and "feature_names" not in changes else ""
        return replace(self, **{"kind": kept} | changes)

    def convert(self, function: Callable[[np.ndarray], np.ndarray]) -> "Dataset":
        """Return a copy whose ``x`` went through a function, that of every part."""
        return self.replace(**{f"x_{part}": function(x) for part, (x, _) in self.parts.items()})

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.input_shape)) or "text"
        target = f"{self.class_count} classes" if self.class_names else "numbers to predict"
        return (
            f"Dataset {self.name}: {len(self.x_train):,} train + {len(self.x_test):,} test, "
            f"{shape} {self.x_train.dtype}, {target}"
        )


def make_dataset(
    name: str,
    arrays: Mapping[str, np.ndarray],
    *,
    source: str,
    where: str,
    notes: list[str] | None = None,
    label: str = "y",
    class_names: Sequence[str] = (),
    regression: bool | None = None,
    test_size: float = 0.2,
    seed: int = 0,
    **others: Any,
) -> Dataset:
    """Build a ``Dataset`` from arrays, or say in one line what is wrong with them.

    Parameters
    ----------
    arrays
        ``x_train`` and ``y_train``; ``x_test`` and ``y_test``, which are held out of these if they
        are not given; ``x_val`` and ``y_val`` if there are any.
    where, label
        What messages call the file, and its labels.
    notes
        Receives what is assumed of the labels.
    class_names
        The names of the labels 0 … k-1, where they are known; taken from the labels otherwise.
    regression
        Whether the labels are numbers to predict; see ``_are_numbers`` if ``None``.
    test_size, seed
        The share that is held out, by class unless numbers are predicted, and the seed of it.
    name, source, others
        As in ``Dataset``.

    Raises
    ------
    DatasetError
        For different lengths or shapes, NaN or infinity, or labels that fit neither classes nor
        numbers.
    """
    parts = [part for part in ("train", "test", "val") if f"x_{part}" in arrays]
    x = {part: arrays[f"x_{part}"] for part in parts}
    y = {part: _plain(arrays[f"y_{part}"], where) for part in parts}
    for part in parts:
        _check_part(x[part], y[part], x["train"].shape[1:], part, where)
    kinds = {part: "numbers" if a.dtype.kind in "if" else "text" for part, a in y.items()}
    if len(set(kinds.values())) > 1:
        found = ", ".join(f"{kind} ({part})" for part, kind in kinds.items())
        raise DatasetError(f"{where}: labels are {found}; expected numbers or text alone")
    every = np.concatenate(list(y.values()))
    numbers = not class_names and _are_numbers(every, regression)
    if numbers and every.dtype.kind == "U":
        raise DatasetError(f"{where}: labels are text; expected numbers with regression=True")
    fractions = every.dtype.kind == "f"
    if notes is not None and regression is None and numbers != fractions:
        kind, other = ("numbers to predict", "classes")[:: 1 if numbers else -1]
        notes.append(f"{label} holds {kind}, not {other} (regression={not numbers} says otherwise)")
    if "test" not in parts:
        strata = np.zeros(len(every)) if numbers else y["train"]
        for rows, part in zip(
            holdout(strata, test_size, seed, where), ("rest", "test"), strict=True
        ):
            x[part], y[part] = x["train"][rows], y["train"][rows]
        x["train"], y["train"] = x.pop("rest"), y.pop("rest")
    if numbers:
        y = {part: a.astype(np.result_type(every, np.float32)) for part, a in y.items()}
    elif not class_names:
        y, class_names = _encode(y, where)
    elif every.min() < 0 or every.max() >= len(class_names):
        raise DatasetError(
            f"{where}: labels go from {every.min()} to {every.max()}; expected 0 … "
            f"{len(class_names) - 1}"
        )
    x = {part: a.astype(np.uint8) if a.dtype == bool else a for part, a in x.items()}
    held = {f"x_{part}": a for part, a in x.items()} | {f"y_{part}": a for part, a in y.items()}
    return Dataset(name=name, source=source, class_names=tuple(class_names), **held, **others)


def _check_part(
    x: np.ndarray, y: np.ndarray, shape: tuple[int, ...], part: str, where: str
) -> None:
    """Raise a ``DatasetError`` unless a part holds finite numbers, or texts, of a shape."""
    is_text = x.dtype == object  # other objects are refused before
    for wrong, message in (
        (x.dtype.kind not in "uifbO", f"has dtype {x.dtype}; expected numbers"),
        (not is_text and (x.ndim < 2 or 0 in x.shape[1:]),
         f"has shape {x.shape}; expected (samples, features or pixels …)"),
        (x.shape[:1] != y.shape, f"has {len(x) if x.ndim else 0} samples and y_{part} has "
         f"{len(y)} labels; expected one label for each sample"),
        (x.size == 0, "is empty; expected at least one sample"),
        (x.shape[1:] != shape,
         f"has another shape: x_train {shape}, x_{part} {x.shape[1:]}; expected the same shape"),
    ):  # fmt: skip
        if wrong:
            raise DatasetError(f"{where}: x_{part} {message}")
    # In pieces: isfinite would make a mask as long as x.
    for start in range(0, len(x) if x.dtype.kind == "f" else 0, 256):
        finite = np.isfinite(x[start : start + 256])
        if not finite.all():
            sample = start + int(np.argwhere(~finite)[0][0])
            raise DatasetError(
                f"{where}: x_{part} holds NaN or infinity, first in sample {sample}; expected "
                "finite numbers: drop or fill them first (pandas: dropna, fillna)"
            )


def _plain(y: np.ndarray, where: str) -> np.ndarray:
    """Return labels (n,) or (n, 1) as int64 where they are whole numbers, as text, or as floats."""
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.ndim != 1:
        hint = "; for one-hot labels use numpy.argmax(y, axis=1)" if y.ndim == 2 else ""
        raise DatasetError(f"{where}: labels have shape {y.shape}; expected (samples,){hint}")
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


def _are_numbers(y: np.ndarray, regression: bool | None) -> bool:
    """Tell whether labels are numbers to predict, rather than classes.

    They are if somebody says so (``regression``). Otherwise if there are more than 20 different
    fractions; or if some occur only once and there are more than 20 different ones, or more than
    half as many as samples, or fractions.
    """
    if regression is not None or y.dtype.kind == "U":
        return bool(regression)
    values, counts = np.unique(y, return_counts=True)
    many, fractions = len(values) > FEW, y.dtype.kind == "f"
    if counts.min() == 1:
        return many or fractions or len(values) > len(y) // 2
    return many and fractions


def _encode(y: Mapping[str, np.ndarray], where: str) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return labels as int64 0 … k-1, and the names of the classes."""
    names = np.unique(np.concatenate(list(y.values())))
    if all(str(name).isdecimal() for name in names):  # folders that are called 1 … 10
        names = np.array(sorted(names, key=int))
    if len(unseen := np.setdiff1d(names, y["train"])):
        raise DatasetError(
            f"{where}: the test labels hold {unseen[0]!s}, which no training label is; expected "
            "every class among the training labels"
        )
    if len(names) < 2:
        raise DatasetError(
            f"{where}: every label is {names[0]!s}; expected at least two classes (is another "
            "column or array the label?)"
        )
    order = np.argsort(names)
    encoded = {part: order[np.searchsorted(names, a, sorter=order)] for part, a in y.items()}
    return encoded, [str(name) for name in names]
