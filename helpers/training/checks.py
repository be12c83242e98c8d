"""What cannot work, said before it starts."""

import warnings
from importlib.util import find_spec
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from helpers.layers import flat_layers
from helpers.training.data import Task, TrainingError

# Layers for which bytes are what they should be: they scale them, or look them up.
TAKE_BYTES = (layers.Rescaling, layers.Normalization, layers.Embedding)
INSTEAD = {  # of an argument of ``fit``
    "verbose": "progress=",
    "sample_weight": "data=(x, y, sample_weight)",
    "initial_epoch": "checkpoint=, from which a training goes on",
    "shuffle": "a tf.data.Dataset, whose order stays (arrays are always shuffled)",
    "validation_batch_size": "validation_data=, a tf.data.Dataset",
}


def arguments(
    model: Any, callbacks: list[Any], numbers: dict[str, Any], unknown: dict[str, Any]
) -> None:
    """Refuse what is no model, no whole number above 0, and what only ``fit`` takes."""
    if not isinstance(model, keras.Model):
        raise TrainingError(f"model is {type(model).__name__}; expected a Keras model")
    for name in unknown:
        hint = f"use {INSTEAD[name]}" if name in INSTEAD else "see help(train)"
        raise TrainingError(f"train takes no {name!r}; {hint}")
    for name, number in numbers.items():
        if number is not None and (not isinstance(number, int | np.integer) or number < 1):
            raise TrainingError(f"{name} is {number!r}; expected a whole number of at least 1")
    if (devices := model.distribute_strategy.num_replicas_in_sync) > 1:
        raise TrainingError(
            f"The model was made in the scope of a strategy with {devices} devices, and train "
            "computes on one: use Keras's fit (docs/several_devices.md)"
        )
    tensorboard = any(isinstance(c, keras.callbacks.TensorBoard) for c in callbacks)
    if tensorboard and find_spec("tensorboard") is None:
        raise TrainingError("The callback TensorBoard needs a package: pip install tensorboard")


def streams(
    task: Task, batch_size: int | None, steps: int | None, held_out: int | None, checkpoint: Any
) -> None:
    """Refuse streams that are empty, would never end, or could not go on from a checkpoint."""
    if task.is_stream and batch_size is not None:
        raise TrainingError(f"batch_size={batch_size} with a stream, which brings its own batches")
    if steps is not None and not task.is_stream:
        raise TrainingError(
            f"steps_per_epoch={steps} with arrays, of which an epoch takes every batch; pass a "
            "part of them, or tf.data.Dataset.from_tensor_slices(data).repeat().batch(batch_size)"
        )
    counts = {"steps_per_epoch": steps, "validation_steps": held_out}
    for data, (name, count) in zip((task.train, task.validation), counts.items(), strict=True):
        length = int(data.cardinality()) if isinstance(data, tf.data.Dataset) else 1
        if length == tf.data.INFINITE_CARDINALITY and count is None:
            raise TrainingError(f"The stream never ends; pass {name}=, or do not repeat it")
        if length == 0:
            raise TrainingError("The stream is empty; expected at least one batch")
    known = isinstance(task.train, tf.data.Dataset | tuple)
    ends = steps is not None and task.steps(None) is not None
    if checkpoint is not None and (ends or not known):
        raise TrainingError(
            "checkpoint= cannot wind this stream forward; pass a tf.data.Dataset, and with "
            "steps_per_epoch one that never ends (.repeat())"
        )


def scale(model: keras.Model, task: Task) -> None:
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
