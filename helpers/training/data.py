"""What is learned from: arrays or a stream of batches, and a part that is held out."""

import inspect
import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from helpers.datasets import Dataset, StreamingDataset
from helpers.errors import CourseError
from helpers.preprocessing import count_not_finite

each, leaves = keras.tree.map_structure, keras.tree.flatten
unpack = keras.utils.unpack_x_y_sample_weight
NAMES = ("x", "y", "sample_weight")


class TrainingError(CourseError):
    """Training that cannot start, or that went wrong on its way."""


@dataclass
class Task:
    """The data to train and to validate on.

    ``train`` and ``validation`` are arrays, ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)``, of
    which each may be a list or dict of arrays; or a stream of such batches, as ``fit`` takes it.
    """

    train: Any
    validation: Any
    class_count: int | None = None

    @property
    def is_stream(self) -> bool:
        """Whether the training data come in batches of their own."""
        return not isinstance(self.train, tuple)

    def batch(self) -> tuple[Any, ...]:
        """Return the arrays, or what a stream says of its batches (a generator says nothing)."""
        if isinstance(self.train, tf.data.Dataset):
            spec = self.train.element_spec
            longer = (
                isinstance(spec, tuple) and len(spec) > 3
            )  # as a step of the user's may want it
            return (None,) * 3 if longer else unpack(spec)
        if isinstance(self.train, keras.utils.PyDataset):
            return unpack(self.train[0])
        return (None,) * 3 if self.is_stream else unpack(self.train)

    def parts(self) -> tuple[list[Any], list[Any]]:
        """Return the arrays of x and those of y, or what a stream says of them."""
        x, y = ([a for a in leaves(part) if a is not None] for part in self.batch()[:2])
        return x, y

    def steps(self, batch_size: int | None) -> int | None:
        """Return the batches in an epoch, None where a stream does not know."""
        if not self.is_stream:
            return -(-count_samples(self.train) // batch_size)
        length = int(self.train.cardinality()) if isinstance(self.train, tf.data.Dataset) else -1
        return length if length > 0 else None


def make_task(data: Any, split: float | None, validation_data: Any, seed: int) -> Task:
    """Bring what a user passes as data into one of two forms, with a part held out."""
    class_count = data.class_count if isinstance(data, Dataset) else None
    train, held_out = _form(data), _held_out(data, split, validation_data)
    if held_out is not None or not isinstance(train, tuple):
        if held_out is None and split:
            raise TrainingError(
                f"validation_split={split} of a stream: its batches cannot be split; pass "
                "validation_data=, a stream or arrays of their own"
            )
        return Task(train, held_out, class_count)
    share, n = 0.1 if split is None else split, count_samples(train)
    if not 0 <= share < 1:
        raise TrainingError(f"validation_split is {share}; expected 0 up to less than 1")
    count = round(n * share)
    if count == n:
        raise TrainingError(f"validation_split={share} of {n} samples leaves none to train on")
    if not count:
        return Task(train, None, class_count)
    order = np.random.default_rng([seed, 7]).permutation(n)
    rest, part = (
        each(lambda a, rows=rows: None if a is None else a[rows], train)
        for rows in (np.sort(order[count:]), np.sort(order[:count]))
    )
    return Task(rest, part, class_count)


def count_samples(arrays: tuple[Any, ...]) -> int:
    """Return how many samples arrays hold."""
    return first(arrays).shape[0]


def first(structure: Any) -> Any:
    """Return the first array of a structure; an optional input may be None."""
    return next(a for a in leaves(structure) if a is not None)


def _held_out(data: Any, split: float | None, validation: Any) -> Any:
    """Return the validation part that is asked for, or that a Dataset has; None to split."""
    holder = data if validation is None and split is None else validation
    if isinstance(holder, StreamingDataset) and holder.validation is not None:
        return holder.validation
    if isinstance(holder, Dataset) and holder.x_val is not None:
        return _form((holder.x_val, holder.y_val))
    if validation is None or (validation is data and isinstance(data, Dataset)):
        return None
    if isinstance(validation, Dataset | StreamingDataset):
        raise TrainingError(
            f"validation_data is the {type(validation).__name__} {validation.name}, which has no "
            "validation part; pass what to validate on, such as (data.x_test, data.y_test)"
        )
    return _form(validation)


def _form(data: Any) -> Any:
    if isinstance(data, StreamingDataset):
        return data.train
    if isinstance(data, Dataset):
        data = (data.x_train, data.y_train)
    streams = isinstance(data, tf.data.Dataset | keras.utils.PyDataset) or inspect.isgenerator(data)
    if streams or type(data).__module__.startswith("torch.utils.data"):
        return data
    if not (isinstance(data, tuple) and 1 <= len(data) <= 3):
        raise TrainingError(
            f"data is {type(data).__name__}; expected a Dataset, arrays (x, y) or (x, y, "
            "sample_weight), or a stream of batches such as a tf.data.Dataset"
        )
    arrays = tuple(_arrays(part, name) for part, name in zip(data, NAMES, strict=False))
    lengths = {len(a) for a in leaves(arrays) if a is not None}
    if len(lengths) != 1:
        several = ", ".join(NAMES[: len(data)])
        raise TrainingError(f"{several} have {sorted(lengths)} samples; expected as many of each")
    if lengths == {0}:
        raise TrainingError("There is no sample to train on")
    for array in (a for a in leaves(arrays[0]) if a is not None):
        if bad := count_not_finite(array):
            # A network may know what to do with them; if not, the first step that fails is named.
            said = f"x holds NaN or infinity in {bad} of {len(array)} samples; drop or fill them"
            warnings.warn(f"{said} (helpers.preprocessing), unless the network does", stacklevel=4)
    return arrays


def _arrays(part: Any, name: str) -> Any:
    """Return arrays as Keras takes them: what is nested stays so, lists of numbers become one."""
    if isinstance(part, list | tuple) and all(np.isscalar(v) for v in leaves(part)):
        return _array(part, name)
    return each(lambda a: None if a is None else _array(a, name), part)


def _array(values: Any, name: str) -> np.ndarray:
    sparse = hasattr(values, "toarray") or isinstance(values, tf.SparseTensor | tf.RaggedTensor)
    array = np.empty(())
    with suppress(ValueError, TypeError):  # rows of different lengths
        array = array if sparse else np.asarray(values)
        if _holds_objects(array):
            array = array.astype(keras.config.floatx())  # columns of several types
    if array.ndim == 0 or array.dtype.kind not in "fiubOUS" or _holds_objects(array):
        raise TrainingError(
            f"{name} is a {type(values).__name__}; expected dense arrays of numbers or texts, with "
            "a row for each sample, or a tf.data.Dataset of batches"
        )
    if isinstance(values, pd.Series):  # a column, as fit has it
        array = array[:, None]
    # fit brings all floating-point numbers to one type, too.
    return array.astype(keras.config.floatx()) if array.dtype.kind == "f" else array


def _holds_objects(array: np.ndarray) -> bool:
    return array.dtype == object and not all(isinstance(value, str) for value in array.flat)
