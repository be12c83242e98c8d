"""What is made small, and how: the usual loss, metrics and optimizer, and weights of classes."""

from typing import Any

import keras
import numpy as np
from sklearn.utils.class_weight import compute_sample_weight

from helpers.layers import loss_name, output_activation
from helpers.training.data import Task, TrainingError, leaves

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
    if len(labels) == len(outputs) == 1 and (loss := _certain(model, labels[0], outputs[0])):
        return loss
    about = f" of {len(outputs)}, one for each output," if len(outputs) > 1 else ""
    if len(labels) == len(outputs) == 1:
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
    if activation in ("tanh", None) or y.dtype == bool or is_one_hot(y):
        return None
    return "mean_squared_error" if number else None


def is_one_hot(y: Any) -> bool:
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
    """Build a fresh optimizer, so that no earlier training's momentum leaks into this one."""
    try:
        given = keras.optimizers.get(optimizer)
    except ValueError:
        raise TrainingError(
            f"optimizer is {optimizer!r}; expected a Keras optimizer or its name, such as 'adam'"
        ) from None
    if learning_rate is None and not given.built and precision != "mixed_float16":
        return given
    try:
        config = given.get_config()
        if learning_rate is not None:
            config["learning_rate"] = learning_rate
        fresh = type(given).from_config(config)
    except (NotImplementedError, ValueError, TypeError) as error:
        raise TrainingError(
            f"A fresh copy of the optimizer {given.name!r} cannot be made ({error}); pass a new "
            "one to every call, with its learning rate in it"
        ) from None
    for name in ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"):
        if name in vars(given):  # no part of the configuration; a test holds on to the names
            setattr(fresh, name, getattr(given, name))
    if precision == "mixed_float16" and not isinstance(fresh, keras.optimizers.LossScaleOptimizer):
        return keras.optimizers.LossScaleOptimizer(fresh)
    return fresh


def weighted_by_class(class_weight: Any, model: keras.Model, task: Task) -> tuple[Any, Any]:
    """Return arrays with the weights of their classes; of a stream the weights that ``fit`` takes.

    ``"balanced"`` is scikit-learn's: samples / (classes · samples of the class).
    """
    if class_weight is None:
        return task.train, None
    if not isinstance(class_weight, dict | str):
        class_weight = dict(enumerate(class_weight))
    outputs = leaves(getattr(model, "outputs", None) or [])
    units = (outputs[0].shape[-1] or 0) if len(outputs) == 1 else 0
    text = isinstance(class_weight, str)
    if text and (task.is_stream or class_weight != "balanced"):
        raise TrainingError(
            f"class_weight is {class_weight!r}; expected a weight for each class, such as "
            "{0: 1.0, 1: 5.0}, or 'balanced' with arrays"
        )
    if not text and units > 1 and class_weight and max(class_weight) >= units:
        raise TrainingError(
            f"class_weight names class {max(class_weight)}; the model knows 0 … {units - 1}"
        )
    if task.is_stream:
        # fit has no default for a class above the highest that is named.
        return task.train, dict.fromkeys(range(units), 1.0) | class_weight
    labels = [a for a in leaves(task.train[1:]) if a is not None]
    if len(labels) != 1:
        raise TrainingError(
            f"class_weight got {len(labels)} arrays beside x; expected the labels of one output, "
            "and no other weights"
        )
    y = labels[0]
    if is_one_hot(y) or (y.dtype.kind == "f" and y.ndim > 1 and y.shape[-1] > 1):
        y = y.argmax(axis=-1)
    y = np.round(y[..., 0] if y.ndim > 1 and y.shape[-1] == 1 else y).astype(int)
    if class_weight == "balanced":
        weights = compute_sample_weight("balanced", y.ravel()).reshape(y.shape)
    else:
        kinds, places = np.unique(y, return_inverse=True)
        weights = np.array([class_weight.get(int(kind), 1.0) for kind in kinds])[places]
    return (*task.train[:2], weights.reshape(y.shape).astype("float32")), None
