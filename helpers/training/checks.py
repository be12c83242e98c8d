"""What cannot work, said before it starts; and what went wrong, said where it did."""

import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from helpers.layers import flat_layers
from helpers.preprocessing import count_not_finite
from helpers.training.data import Task, TrainingError
from helpers.training.objective import loss_name

# Layers for which bytes are what they should be: they scale them, or look them up.
TAKE_BYTES = (keras.layers.Rescaling, keras.layers.Normalization, keras.layers.Embedding)


def arguments(model: Any, epochs: int, batch_size: int | None, task: Task) -> None:
    """Refuse what is no built model, or no number of epochs or samples."""
    if not isinstance(model, keras.Model):
        raise TrainingError(f"model is {type(model).__name__}; expected a Keras model")
    if not model.built or not model.outputs:
        raise TrainingError(
            "The model is not built: begin it with keras.Input(shape), or make it with the "
            "functional API"
        )
    numbers = {"epochs": epochs, "batch_size": 1 if batch_size is None else batch_size}
    for name, number in numbers.items():
        if not isinstance(number, int | np.integer) or number < 1:
            raise TrainingError(f"{name} is {number!r}; expected a whole number of at least 1")
    if task.is_stream and batch_size is not None:
        raise TrainingError(f"batch_size={batch_size} with a stream, which brings its own batches")


def scale(model: keras.Model, task: Task) -> None:
    """Warn of bytes that nothing scales, and of fractions that are scaled as if they were bytes."""
    scales = [x for x in flat_layers(model) if isinstance(x, TAKE_BYTES)]
    # A functional model may compute with its input by other means, such as preprocess_input.
    computes = any(not isinstance(o, keras.Layer) for o in getattr(model, "operations", ()))
    for x in task.parts(0):
        if x.dtype == "uint8" and not scales and not computes:
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
    """Refuse labels that the loss or the output layer cannot take, before TensorFlow does."""
    outputs, labels = keras.tree.flatten(model.outputs), task.parts(1)
    if task.is_stream or len(outputs) != 1 or len(labels) != 1:
        return
    name, units, y = loss_name(loss), outputs[0].shape[-1], labels[0]
    if name == "categorical_crossentropy" and y.ndim == 1:
        raise TrainingError(
            "loss is 'categorical_crossentropy', which expects one-hot rows, but the labels are "
            f"class numbers of shape {y.shape}; use 'sparse_categorical_crossentropy', or "
            "preprocessing.one_hot(y, class_count)"
        )
    if "crossentropy" not in name or name.startswith("binary"):
        return
    needed = task.class_count or 0
    if name.startswith("sparse") and y.dtype.kind in "iu":
        needed = max(needed, int(y.max()) + 1)
    if needed > units:
        raise TrainingError(
            f"The labels have {needed} classes, the model {units} outputs; expected an output for "
            "every class"
        )


def fit(model: keras.Model, batch: Any) -> None:
    """Compute two samples: Keras builds its losses and metrics, and what does not fit shows."""
    if batch is None:
        raise TrainingError("The stream is empty; expected at least one batch")
    x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
    try:
        predicted = model(x)
        model.compute_loss(x=x, y=y, y_pred=predicted, sample_weight=weight, training=False)
        model.compute_metrics(x, y, predicted, sample_weight=weight)
        model.optimizer.build(model.trainable_variables)
    except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
        shapes = keras.tree.map_structure(lambda a: (None, *a.shape[1:]), (x, y))
        raise TrainingError(
            f"The model {model.name!r} (input {model.input_shape}, output {model.output_shape}) "
            f"does not fit the data (x and y: {shapes}) with loss {loss_name(model.loss)!r}: "
            f"{' '.join(str(error).split())[:300]}"
        ) from error
    model.reset_metrics()


def finite(sound: bool, model: keras.Model, task: Task, batches: Any, epoch: int) -> None:
    """Stop where a loss, a gradient or a weight is no finite number; tell the step and a cause."""
    if sound:
        return
    rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
    cause = f"the learning rate may be too high ({rate:g}): try a tenth of it, or clipnorm=1"
    # Of a stream, the last batch can be seen; of arrays, x was looked at before.
    what, data = ("the batch", batches.last) if task.is_stream else ("y", task.train)
    arrays = map(np.asarray, keras.tree.flatten(data))
    for a in (a for a in arrays if a.dtype.kind == "f"):
        bad, largest = count_not_finite(a), float(np.abs(a).max())
        if bad:
            cause = f"{what} holds NaN or infinity in {bad} of {len(a)} samples: drop them"
            break
        if largest > 100:
            cause = f"the data reach {largest:g}: scale them (helpers.preprocessing.scale)"
            break
    where = f"epoch {epoch}, step {batches.position}"
    raise TrainingError(f"The loss or a weight is not a finite number at {where}; {cause}")
