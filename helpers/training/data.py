"""What is learned from: arrays or a stream of batches, and a part that is held out."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from helpers.datasets import Dataset, StreamingDataset
from helpers.errors import CourseError
from helpers.preprocessing import count_not_finite

Arrays = tuple[Any, Any]  # x and y, each an array or a list or dict of arrays


class TrainingError(CourseError):
    """Training that cannot start, or that went wrong on its way."""


@dataclass
class Task:
    """The data to train and to validate on: ``(x, y)`` of arrays, or a stream of batches."""

    train: Arrays | tf.data.Dataset
    validation: Arrays | tf.data.Dataset | None
    class_count: int | None = None

    @property
    def is_stream(self) -> bool:
        """Whether the training data come in batches of their own."""
        return isinstance(self.train, tf.data.Dataset)

    def parts(self, number: int) -> list[Any]:
        """Return the arrays of x (0) or y (1), or of a stream what it says of them."""
        whole = self.train.element_spec if self.is_stream else self.train
        return keras.tree.flatten(whole[number])


def make_task(data: Any, validation_split: float | None, validation_data: Any, seed: int) -> Task:
    """Bring what a user passes as data into one of two forms, with a part held out."""
    class_count = data.class_count if isinstance(data, Dataset) else None
    train = _form(data)
    if validation_data is not None:
        return Task(train, _form(validation_data), class_count)
    if isinstance(train, tf.data.Dataset):
        if validation_split:
            raise TrainingError(
                f"validation_split={validation_split} of a stream: its batches cannot be split; "
                "pass validation_data=, a stream or arrays of their own"
            )
        return Task(train, None, class_count)
    share = 0.1 if validation_split is None else validation_split
    if not 0 <= share < 1:
        raise TrainingError(f"validation_split is {share}; expected 0 up to less than 1")
    x, y = train
    n = len(keras.tree.flatten(x)[0])
    held_out = round(n * share)
    if not held_out:
        return Task(train, None, class_count)
    if held_out == n:
        raise TrainingError(f"validation_split={share} of {n} samples leaves none to train on")
    order = np.random.default_rng([seed, 7]).permutation(n)
    rest, validation = (
        keras.tree.map_structure(lambda a, rows=rows: a[rows], (x, y))
        for rows in (np.sort(order[held_out:]), np.sort(order[:held_out]))
    )
    return Task(rest, validation, class_count)


def _form(data: Any) -> Arrays | tf.data.Dataset:
    if isinstance(data, StreamingDataset):
        return data.train
    if isinstance(data, tf.data.Dataset):
        return data
    if isinstance(data, Dataset):
        if data.kind == "text":
            raise TrainingError(f"{data.name} holds text; encode it as numbers first")
        data = (data.x_train, data.y_train)
    if not (isinstance(data, tuple) and len(data) == 2):
        raise TrainingError(
            f"data is {type(data).__name__}; expected a Dataset, a pair (x, y) of arrays, or a "
            "tf.data.Dataset of batches"
        )
    x, y = (keras.tree.map_structure(np.asarray, part) for part in data)
    lengths = {len(a) for a in keras.tree.flatten((x, y))}
    if len(lengths) != 1:
        raise TrainingError(f"x and y have {sorted(lengths)} samples; expected as many of each")
    if lengths == {0}:
        raise TrainingError("There is no sample to train on")
    # The loss may not show them: ReLU turns NaN into 0, while the weights become NaN.
    for array in keras.tree.flatten(x):
        if bad := count_not_finite(array):
            raise TrainingError(
                f"x holds NaN or infinity in {bad} of {len(array)} samples; drop or fill "
                "them (helpers.preprocessing)"
            )
    return x, y
