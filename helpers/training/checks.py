"""What cannot work, said before it starts."""

import warnings
from importlib.util import find_spec
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from helpers.layers import flat_layers, loss_name
from helpers.training.data import Task, TrainingError, leaves

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
    counts = {"steps_per_epoch": steps, "validation_steps": held_out}
    for data, (name, count) in zip((task.train, task.validation), counts.items(), strict=True):
        length = int(data.cardinality()) if isinstance(data, tf.data.Dataset) else 1
        if length == tf.data.INFINITE_CARDINALITY and count is None:
            raise TrainingError(f"The stream never ends; pass {name}=, or do not repeat it")
        if length == 0:
            raise TrainingError("The stream is empty; expected at least one batch")
    known = isinstance(task.train, tf.data.Dataset | tuple)
    ends = steps is not None and task.is_stream and task.steps(None) is not None
    if checkpoint is not None and (ends or not known):
        raise TrainingError(
            "checkpoint= cannot wind this stream forward; pass a tf.data.Dataset, and with "
            "steps_per_epoch one that never ends (.repeat())"
        )


def scale(model: keras.Model, task: Task) -> None:
    """Warn of bytes that nothing scales, and of fractions that are scaled as if they were bytes."""
    scales = [x for x in flat_layers(model) if isinstance(x, TAKE_BYTES)]
    # A functional model may compute with its input by other means, such as preprocess_input; what
    # a model of another kind does with it is not known.
    plain = isinstance(model, keras.Sequential) or type(model) is keras.Model
    computes = any(not isinstance(o, keras.Layer) for o in getattr(model, "operations", ()))
    for x in task.parts()[0]:
        if x.dtype == "uint8" and plain and not scales and not computes:
            said = (
                "x holds bytes, 0 … 255, and no layer of the model scales them: the network learns "
                "badly from such numbers. Begin it with keras.layers.Rescaling(1 / 255), as "
                "build_cnn(data) does"
            )
            warnings.warn(said, stacklevel=3)
        divides = any(getattr(layer, "scale", None) == 1 / 255 for layer in scales)
        if divides and isinstance(x, np.ndarray) and x.dtype.kind == "f" and x.max() <= 1:
            said = (
                f"x reaches {x.max():g}, and the model divides it by 255 as if it were bytes: pass "
                "the bytes themselves, or build the model with rescale=False"
            )
            warnings.warn(said, stacklevel=3)


def labels(model: keras.Model, loss: Any, task: Task) -> None:
    """Refuse texts and labels that the model or the loss cannot take, before TensorFlow does."""
    inputs, outputs = (leaves(getattr(model, part, None) or []) for part in ("inputs", "outputs"))
    x, y = task.parts()
    if task.is_stream:
        return
    reads = not inputs or any(tensor.dtype == "string" for tensor in inputs)
    if not reads and any(a.dtype.kind in "OUS" for a in x):
        raise TrainingError("x holds text; encode it as numbers first, or in a layer")
    if len(outputs) != 1 or len(y) != 1 or y[0].dtype.kind not in "iufb":
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
    if name == "sparse_categorical_crossentropy" and getattr(loss, "ignore_class", None) is None:
        classes = max(task.class_count or 0, int(high) + 1)
        if low < 0 or classes > units:
            raise TrainingError(
                f"The labels have {classes} classes from {low} on, the model {units} outputs; "
                "expected an output for every class, from 0 on"
            )
