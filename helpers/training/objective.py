"""What is made small, and how: the usual loss, metrics and optimizer, and weights of classes."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from helpers.layers import output_activation
from helpers.training.data import Task, TrainingError


def default_loss(model: keras.Model, task: Task) -> str | keras.losses.Loss:
    """Choose the usual loss for labels and an output."""
    outputs = keras.tree.flatten(model.outputs)
    if len(outputs) > 1:
        raise TrainingError(
            f"The model has {len(outputs)} outputs; pass loss=, one for each, as to Keras's compile"
        )
    units, activation, labels = outputs[0].shape[-1], output_activation(model), task.parts(1)[0]
    whole = keras.backend.is_int_dtype(labels.dtype) or labels.dtype == bool
    if units == 1:
        if not whole and activation != "sigmoid":
            return "mean_squared_error"
        return keras.losses.BinaryCrossentropy(from_logits=activation != "sigmoid")
    if len(labels.shape) == 1 and whole:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=activation != "softmax")
    return "categorical_crossentropy" if activation == "softmax" else "mean_squared_error"


def loss_name(loss: Any) -> str:
    """Return a loss's name, such as ``"mean_squared_error"``."""
    return loss if isinstance(loss, str) else getattr(loss, "name", "")


def default_metrics(loss: Any) -> list[str]:
    """Choose the usual metric for a loss."""
    if isinstance(loss, dict | list | tuple):
        return []
    classes = any(kind in loss_name(loss) for kind in ("crossentropy", "hinge"))
    return ["accuracy"] if classes else ["mae"]


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


def class_weights_of(class_weight: dict[int, float] | str | None, task: Task) -> Any:
    """Return a function of labels and given weights: the weight of each sample by its class."""
    if class_weight is None:
        return lambda y, weight: weight
    y = None if task.is_stream else task.train[1]
    if not (isinstance(y, np.ndarray) and y.ndim == 1 and y.dtype.kind in "iu"):
        raise TrainingError("class_weight needs arrays with labels that are class numbers")
    counts = np.bincount(y, minlength=task.class_count or 0)
    if class_weight == "balanced":
        vector = len(y) / (len(counts) * np.maximum(counts, 1))
    elif unknown := set(class_weight) - set(range(len(counts))):
        raise TrainingError(
            f"class_weight names class {min(unknown)}; expected 0 … {len(counts) - 1}"
        )
    else:
        vector = [class_weight.get(c, 1.0) for c in range(len(counts))]
    weights = tf.constant(vector, tf.float32)
    return lambda y, weight: tf.gather(weights, tf.cast(y, tf.int32))
