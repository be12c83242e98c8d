"""What is to be learned: data, loss, optimizer and metrics, checked and filled in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from helpers.datasets import Dataset, StreamingDataset
from helpers.errors import CourseError
from helpers.hardware import flat_layers

Arrays = tuple[Any, Any]  # x and y, each an array or a list or dict of arrays


class TrainingError(CourseError):
    """Training that cannot start, or that went wrong on its way."""


@dataclass
class Problem:
    """The data to train and to validate on.

    Attributes
    ----------
    train, validation
        ``(x, y)`` of arrays, or batches as ``tf.data.Dataset``; the validation may be None.
    class_count : int or None
        Where the data say it.
    """

    train: Arrays | tf.data.Dataset
    validation: Arrays | tf.data.Dataset | None
    class_count: int | None = None


def pose(data: Any, validation_split: float | None, validation_data: Any, seed: int) -> Problem:
    """Bring what a user passes as data into one of two forms, with a part held out.

    Raises
    ------
    TrainingError
        For data of another kind, of unequal lengths, with NaN, or a split that leaves nothing.
    """
    class_count = data.class_count if isinstance(data, Dataset) else None
    train = _form(data)
    if validation_data is not None:
        return Problem(train, _form(validation_data), class_count)
    if isinstance(train, tf.data.Dataset):
        if validation_split:
            raise TrainingError(
                f"validation_split={validation_split} of a stream: its batches cannot be split; "
                "pass validation_data=, a stream or arrays of their own"
            )
        return Problem(train, None, class_count)
    share = 0.1 if validation_split is None else validation_split
    if not 0 <= share < 1:
        raise TrainingError(f"validation_split is {share}; expected 0 up to less than 1")
    x, y = train
    n = _length(x)
    held_out = round(n * share)
    if not held_out:
        return Problem(train, None, class_count)
    if held_out == n:
        raise TrainingError(f"validation_split={share} of {n} samples leaves none to train on")
    order = np.random.default_rng([seed, 7]).permutation(n)
    parts = [np.sort(order[held_out:]), np.sort(order[:held_out])]
    rest, validation = ((_rows(x, part), _rows(y, part)) for part in parts)
    return Problem(rest, validation, class_count)


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
        bad = _not_finite(array)
        if bad:
            raise TrainingError(
                f"x holds NaN or infinity in {bad} of {len(array)} samples; drop or fill "
                "them (helpers.preprocessing)"
            )
    return x, y


def _not_finite(array: np.ndarray) -> int:
    if array.dtype.kind != "f":
        return 0
    return int((~np.isfinite(array).reshape(len(array), -1).all(axis=1)).sum())


def _length(x: Any) -> int:
    return len(keras.tree.flatten(x)[0])


def _rows(x: Any, rows: np.ndarray) -> Any:
    return keras.tree.map_structure(lambda a: a[rows], x)


def scales_itself(model: keras.Model) -> bool:
    """Tell whether a model brings its own scaling of pixels."""
    own = (keras.layers.Rescaling, keras.layers.Normalization)
    return any(isinstance(layer, own) for layer in flat_layers(model))


def as_input(x: Any, *, scaled: bool) -> Any:
    """Turn samples into what a network computes with.

    Images of bytes become float32 in [0, 1], here on the device, so that memory holds a quarter;
    with ``scaled`` (a model that does it itself) they become float32 as they are. All else passes.
    """

    def convert(a: tf.Tensor) -> tf.Tensor:
        if a.dtype == tf.uint8 and a.shape.rank > 2:
            a = tf.cast(a, tf.float32)
            return a if scaled else a / 255.0
        return tf.cast(a, tf.float32) if a.dtype == tf.float64 else a

    return keras.tree.map_structure(convert, x)


def default_loss(model: keras.Model, problem: Problem) -> str | keras.losses.Loss:
    """Choose the usual loss for labels and an output.

    Raises
    ------
    TrainingError
        For several outputs, for which there is no usual loss.
    """
    outputs = keras.tree.flatten(model.outputs)
    if len(outputs) > 1:
        raise TrainingError(
            f"The model has {len(outputs)} outputs; pass loss=, one for each, as to Keras's compile"
        )
    units = outputs[0].shape[-1]
    name = _activation(outputs[0])
    if isinstance(problem.train, tf.data.Dataset):
        labels = keras.tree.flatten(problem.train.element_spec[1])[0]
        whole = labels.dtype.is_integer or labels.dtype.is_bool
    else:
        labels = keras.tree.flatten(problem.train[1])[0]
        whole = labels.dtype.kind in "iub"
    if units == 1:
        if not whole and name != "sigmoid":
            return "mean_squared_error"
        return keras.losses.BinaryCrossentropy(from_logits=name != "sigmoid")
    if len(labels.shape) == 1 and whole:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=name != "softmax")
    if name == "softmax":
        return "categorical_crossentropy"
    return "mean_squared_error"


def _activation(output: Any) -> str:
    """Return the name of an output's activation, also of one that a model inside computes."""
    operation = output._keras_history.operation
    if isinstance(operation, keras.Model):
        return _activation(keras.tree.flatten(operation.outputs)[0])
    if isinstance(operation, keras.layers.Softmax):
        return "softmax"
    return getattr(getattr(operation, "activation", None), "__name__", "")


def default_metrics(loss: Any) -> list[str]:
    """Choose the usual metric for a loss."""
    name = loss if isinstance(loss, str) else getattr(loss, "name", "")
    if isinstance(loss, dict | list | tuple):
        return []
    return ["accuracy"] if "crossentropy" in name or "hinge" in name else ["mae"]


def build_optimizer(
    optimizer: str | keras.optimizers.Optimizer, learning_rate: Any, precision: str
) -> keras.optimizers.Optimizer:
    """Build a fresh optimizer, so that no earlier training's momentum leaks into this one."""
    try:
        named = keras.optimizers.get(optimizer)
    except ValueError:
        raise TrainingError(
            f"optimizer is {optimizer!r}; expected a Keras optimizer or its name, such as 'adam'"
        ) from None
    config = named.get_config()
    if learning_rate is not None:
        config["learning_rate"] = learning_rate
    fresh = type(named).from_config(config)
    if precision == "mixed_float16" and not isinstance(fresh, keras.optimizers.LossScaleOptimizer):
        return keras.optimizers.LossScaleOptimizer(fresh)
    return fresh


def check_labels(model: keras.Model, loss: Any, problem: Problem) -> None:
    """Refuse labels that the loss or the output layer cannot take, before TensorFlow does.

    Raises
    ------
    TrainingError
        With what was found and what to do.
    """
    if isinstance(problem.train, tf.data.Dataset):
        return
    outputs, labels = keras.tree.flatten(model.outputs), keras.tree.flatten(problem.train[1])
    if len(outputs) != 1 or len(labels) != 1:
        return
    name = loss if isinstance(loss, str) else getattr(loss, "name", "")
    units, y = outputs[0].shape[-1], labels[0]
    if name == "categorical_crossentropy" and y.ndim == 1:
        raise TrainingError(
            "loss is 'categorical_crossentropy', which expects one-hot rows, but the labels are "
            f"class numbers of shape {y.shape}; use 'sparse_categorical_crossentropy', or "
            "preprocessing.one_hot(y, class_count)"
        )
    if "crossentropy" not in name or name.startswith("binary"):
        return
    needed = problem.class_count or 0
    if name.startswith("sparse") and y.dtype.kind in "iu":
        needed = max(needed, int(y.max()) + 1)
    if needed > units:
        raise TrainingError(
            f"The labels have {needed} classes, the model {units} outputs; expected an output for "
            "every class"
        )


def class_weight_vector(
    class_weight: dict[int, float] | str | None, problem: Problem
) -> np.ndarray | None:
    """Turn class weights into a vector; ``"balanced"`` weighs each class by 1 / its share.

    Raises
    ------
    TrainingError
        If a class is missing, or the labels are not class numbers.
    """
    if class_weight is None:
        return None
    y = None if isinstance(problem.train, tf.data.Dataset) else problem.train[1]
    if not (isinstance(y, np.ndarray) and y.ndim == 1 and y.dtype.kind in "iu"):
        raise TrainingError("class_weight needs arrays with labels that are class numbers")
    counts = np.bincount(y, minlength=problem.class_count or 0)
    if class_weight == "balanced":
        return (len(y) / (len(counts) * np.maximum(counts, 1))).astype(np.float32)
    unknown = set(class_weight) - set(range(len(counts)))
    if unknown:
        raise TrainingError(
            f"class_weight names class {min(unknown)}; expected 0 … {len(counts) - 1}"
        )
    return np.array([class_weight.get(c, 1.0) for c in range(len(counts))], np.float32)


def explain_nan(problem: Problem, model: keras.Model, where: str) -> TrainingError:
    """Say where the loss became NaN and what the likeliest cause is."""
    learning_rate = float(model.optimizer.learning_rate)
    cause = (
        f"the learning rate may be too high ({learning_rate:g}): try a tenth of it, or clipnorm=1 "
        "in the optimizer"
    )
    if not isinstance(problem.train, tf.data.Dataset):
        arrays: Sequence[np.ndarray] = keras.tree.flatten(problem.train)
        for a in (a for a in arrays if a.dtype.kind == "f"):
            bad = _not_finite(a)
            if bad:
                cause = f"y holds NaN or infinity in {bad} of {len(a)} samples: drop them"
                break
            largest = float(np.abs(a).max())
            if largest > 100:
                cause = f"the data reach {largest:g}: scale them (helpers.preprocessing.scale)"
                break
    return TrainingError(f"The loss or a weight is not a finite number at {where}; {cause}")
