"""What is made small, and how: the usual loss, metrics and optimizer, and weights of classes."""

import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from helpers.layers import flat_layers, loss_name, output_activation
from helpers.training.data import Task, TrainingError, leaves

# Layers for which bytes are what they should be: they scale them, or look them up.
TAKE_BYTES = (layers.Rescaling, layers.Normalization, layers.Embedding)
SPARSE = keras.losses.SparseCategoricalCrossentropy


def default_loss(model: keras.Model, task: Task) -> str | keras.Loss | None:
    """Choose the usual loss where labels and output leave no doubt, and ask for it elsewhere.

    None for a model with a training step or a loss of its own.
    """
    labels, outputs = task.parts()[1], leaves(getattr(model, "outputs", None) or [])
    kind, plain = type(model), keras.Model
    own = kind.train_step is not plain.train_step or kind.compute_loss is not plain.compute_loss
    if own or not (labels or task.is_stream):
        return None
    about = f" of {len(outputs)}, one for each output," if len(outputs) > 1 else ""
    if len(labels) == len(outputs) == 1:
        if loss := _certain(model, labels[0], outputs[0]):
            return loss
        about = (
            f" for labels {labels[0].dtype} {tuple(labels[0].shape)} and an output "
            f"{tuple(outputs[0].shape)} with {output_activation(model) or 'no known'} activation"
        )
    raise TrainingError(
        f"No loss{about} is the only usual one; pass loss=, as to Keras's compile, such as "
        "'sparse_categorical_crossentropy', 'binary_crossentropy' or 'mean_squared_error'"
    )


def _certain(model: keras.Model, y: Any, output: Any) -> str | keras.Loss | None:
    units, activation = output.shape[-1], output_activation(model)
    whole = keras.backend.is_int_dtype(keras.backend.standardize_dtype(y.dtype))
    # One label for each sample, step or pixel; a last axis of 1 does not count.
    shape, places = tuple(y.shape[1:]), tuple(output.shape[1:-1])
    one_each = shape in (places, (*places, 1))
    alike = len(y.shape) == len(output.shape) and shape[-1] == units
    number = alike or (units == 1 and one_each)
    if activation == "sigmoid":
        return "binary_crossentropy" if number else None
    if units > 1 and one_each and whole and activation in ("softmax", ""):
        return SPARSE(from_logits=activation == "")
    if activation == "softmax":
        return "categorical_crossentropy" if alike and units > 1 else None
    if activation in ("tanh", None) or y.dtype == bool or _is_one_hot(y):
        return None
    return "mean_squared_error" if number else None


def _is_one_hot(y: Any) -> bool:
    """Tell whether labels are rows with a single 1 among zeros; of a stream it is not known."""
    if not isinstance(y, np.ndarray) or y.ndim < 2 or y.shape[-1] < 2:
        return False
    return bool(((y == 0) | (y == 1)).all() and (y.sum(axis=-1) == 1).all())


def default_metrics(loss: Any) -> list[str] | None:
    """Choose the usual metric for a loss."""
    name = "" if isinstance(loss, dict | list | tuple) else loss_name(loss)
    if "crossentropy" in name or "hinge" in name:
        return ["accuracy"]
    return ["mae"] if name.startswith("mean_") or name in ("huber", "log_cosh") else None


def build_optimizer(optimizer: Any, learning_rate: Any, precision: str) -> Any:
    """Return a fresh optimizer, so that no earlier training's momentum leaks into this one."""
    try:
        given = fresh = keras.optimizers.get(optimizer)
        if given.built or learning_rate is not None:
            rate = {} if learning_rate is None else {"learning_rate": learning_rate}
            fresh = type(given).from_config(given.get_config() | rate)
            # This is no part of the configuration; a test holds on to the names.
            kept = {k: v for k, v in vars(given).items() if k.startswith("_exclude_from_weight")}
            vars(fresh).update(kept)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise TrainingError(
            f"optimizer is {optimizer!r}; expected the name of a Keras optimizer, such as 'adam', "
            "or one that can be copied, or that is new and has its learning rate in it "
            f"({str(error).splitlines()[0]})"
        ) from None
    if precision == "mixed_float16" and not isinstance(fresh, keras.optimizers.LossScaleOptimizer):
        return keras.optimizers.LossScaleOptimizer(fresh)
    return fresh


def class_weigher(class_weight: Any, model: keras.Model) -> Callable[[Any], tf.Tensor] | None:
    """Return a function that gives each label of a batch the weight of its class, 1 if it has none.

    Labels are class numbers ``(n,)`` or ``(n, 1)``, or one-hot rows ``(n, classes)``; more axes
    are steps or pixels.
    """
    if class_weight is None:
        return None
    outputs = leaves(getattr(model, "outputs", None) or [])
    rank, units = (len(outputs[0].shape), outputs[0].shape[-1]) if len(outputs) == 1 else (2, 0)
    if isinstance(class_weight, list | tuple):
        class_weight = dict(enumerate(class_weight))
    if not isinstance(class_weight, dict) or 1 < units <= max(class_weight, default=0):
        raise TrainingError(
            f"class_weight is {class_weight!r}; expected a weight for each class, such as "
            f"{{0: 1.0, 1: 5.0}}, by numbers below {units or 'that of the outputs'}"
        )
    kinds = np.array(list(class_weight), "int64")
    weights = np.array(list(class_weight.values()), "float32")

    def weigh(y: Any) -> tf.Tensor:
        if len(leaves(y)) != 1:
            raise TrainingError("class_weight needs one output; pass (x, y, sample_weight) instead")
        y = tf.cast(leaves(y)[0], tf.float32)
        if y.shape.rank == rank:
            y = tf.argmax(y, axis=-1) if y.shape[-1] > 1 else y[..., 0]
        known = tf.cast(tf.round(y), tf.int64)[..., None] == kinds
        return 1 + tf.reduce_sum(tf.where(known, weights - 1, 0.0), axis=-1)

    return weigh


def check_labels(model: keras.Model, loss: Any, task: Task) -> None:
    """Refuse texts and labels that the model or the loss cannot take, before TensorFlow does."""
    inputs, outputs = (leaves(getattr(model, part, None) or []) for part in ("inputs", "outputs"))
    x, y = task.parts()
    takes_text = not inputs or any(tensor.dtype == "string" for tensor in inputs)
    if not (takes_text or task.is_stream) and any(a.dtype.kind in "OUS" for a in x):
        raise TrainingError("x holds text; encode it as numbers first, or in a layer")
    if task.is_stream or len(outputs) != 1 or len(y) != 1 or y[0].dtype.kind not in "iufb":
        return
    name, units, low, high = loss_name(loss), outputs[0].shape[-1], y[0].min(), y[0].max()
    if name == "binary_crossentropy" and (low < 0 or high > 1):
        raise TrainingError(
            f"The labels reach from {low} to {high}, and binary cross-entropy expects 0 and 1: "
            "renumber them, or pass another loss="
        )
    if name == "categorical_crossentropy" and y[0].ndim == 1:
        raise TrainingError(
            "loss is 'categorical_crossentropy', which expects one-hot rows, but the labels are "
            f"class numbers of shape {y[0].shape}; use 'sparse_categorical_crossentropy', or "
            "keras.utils.to_categorical(y)"
        )
    skips = getattr(loss, "ignore_class", None) is not None
    if name == "sparse_categorical_crossentropy" and not skips and not 0 <= low <= high < units:
        raise TrainingError(
            f"The labels go from {low} to {high}, the model has {units} outputs; expected one for "
            "every class, from 0 on"
        )


def check_scale(model: keras.Model, task: Task) -> None:
    """Warn of bytes that nothing scales, and of fractions that are scaled as if they were bytes."""
    scales = [layer for layer in flat_layers(model) if isinstance(layer, TAKE_BYTES)]
    divides = any(getattr(layer, "scale", None) == 1 / 255 for layer in scales)
    # What models of other kinds compute with their input beside their layers is not known.
    unscaled = isinstance(model, keras.Sequential) and not scales
    for x in task.parts()[0]:
        message = ""
        if x.dtype == "uint8" and unscaled:
            message = (
                "x holds bytes, 0 … 255, and no layer of the model scales them: the network learns "
                "badly from such numbers. Begin it with keras.layers.Rescaling(1 / 255), as "
                "build_cnn(data) does"
            )
        elif divides and isinstance(x, np.ndarray) and x.dtype.kind == "f" and x.max() <= 1:
            message = (
                f"x reaches {x.max():g}, and the model divides it by 255 as if it were bytes: pass "
                "the bytes themselves, or build the model with rescale=False"
            )
        if message:
            warnings.warn(message, stacklevel=3)
