"""The step that ``fit`` takes for each batch. Read it beside the loop of lesson 04."""

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from inspect import signature
from typing import Any

import keras
import tensorflow as tf

from helpers.layers import in_precision, loss_name, quick_dropout
from helpers.training.data import Task, TrainingError, each, first, leaves, over
from helpers.training.planning import Plan

by_xla = partial(tf.function, autograph=False, jit_compile=True)
MIN_SHARD = 16  # samples; fewer are not worth a core of their own


def gradient_step(model: keras.Model, plan: Plan) -> Callable[..., dict[str, Any]]:
    """Return a step that computes what ``keras.Model.train_step`` does, as the plan says."""
    # A subclass whose call does not name it gets no ``training``, and then none of its layers.
    training, in_loss = (
        {"training": True} if "training" in signature(function).parameters else {}
        for function in (model.call, model.compute_loss)
    )

    def gradients(x: Any, y: Any, weight: Any) -> tuple[tf.Tensor, Any, list[Any]]:
        with tf.GradientTape() as tape:
            predicted = model(x, **training)
            loss = model.compute_loss(x, y, predicted, weight, **in_loss)
            scaled = model.optimizer.scale_loss(loss)
        return loss, predicted, tape.gradient(scaled, model.trainable_variables)

    def update(slopes: list[Any]) -> None:
        model.optimizer.apply(slopes, model.trainable_variables)

    quick_gradients = in_shards(by_xla(gradients), plan.shards) if plan.xla == "step" else gradients
    quick_update = update if plan.xla == "none" else by_xla(update)

    def step(x: Any, y: Any, weight: Any, quick: bool) -> dict[str, Any]:
        loss, predicted, slopes = (quick_gradients if quick else gradients)(x, y, weight)
        if slopes:
            quick_update(slopes)
        else:
            warnings.warn("The model has no variable to train", stacklevel=2)
        # It has no public name, and a metric of the user's may have its name.
        model._loss_tracker.update_state(loss, sample_weight=tf.shape(first(x))[0])
        return model.compute_metrics(x, y, predicted, weight)

    return step


def in_shards(gradients: Callable[..., Any], most: int) -> Callable[..., Any]:
    """Let equal parts of a batch be computed side by side, one on each core, and averaged."""

    def mean(parts: tuple[Any, ...]) -> Any:
        if isinstance(parts[0], tf.IndexedSlices):  # of an Embedding, whose update stays sparse
            pairs = zip(*((part.values, part.indices) for part in parts), strict=True)
            values, indices = (tf.concat(pieces, 0) for pieces in pairs)
            return tf.IndexedSlices(values / len(parts), indices, parts[0].dense_shape)
        return None if parts[0] is None else tf.add_n(parts) / len(parts)

    def side_by_side(*batch: Any) -> Any:
        rows = first(batch).shape[0] or 1
        counts = range(1, min(most, rows // MIN_SHARD) + 1)
        count = max((n for n in counts if rows % n == 0), default=1)
        if count == 1:
            return gradients(*batch)
        parts = (over(lambda a, k=k: tf.split(a, count)[k], batch) for k in range(count))
        losses, predicted, slopes = zip(*(gradients(*part) for part in parts), strict=True)
        slopes = [mean(parts) for parts in zip(*slopes, strict=True)]
        return mean(losses), each(lambda *p: tf.concat(p, 0), *predicted), slopes

    return side_by_side


def has_own_step(model: keras.Model) -> bool:
    """Tell whether a model brings a training step of its own."""
    own = "train_step" in vars(model)
    return own or type(model).train_step is not keras.Model.train_step


@contextmanager
def own_steps(
    model: keras.Model, plan: Plan, rows: Any, change: Callable[..., Any] | None,
    weigh: Callable[..., Any] | None, watch: Any,
) -> Iterator[None]:  # fmt: skip
    """Let ``fit`` take our steps while this lasts: of batches by number, and as the plan says."""
    held = {n: f for n, f in vars(model).items() if n in ("train_step", "test_step")}
    own, test_step = model.train_step, model.test_step
    by_gradient = None if has_own_step(model) else gradient_step(model, plan)

    def take(batch: Any, quick: bool = True) -> dict[str, Any]:
        if not (by_gradient or change or weigh or rows):
            return own(batch)
        x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
        x = change(x) if change else x
        if weigh and weight is not None:
            raise TrainingError("class_weight with weights of samples; multiply them before")
        weight = weigh(y) if weigh else weight
        if by_gradient:
            return by_gradient(x, y, weight, quick)
        return own(keras.utils.pack_x_y_sample_weight(x, y, weight))

    def train_step(batch: Any) -> dict[str, Any]:
        with as_planned(model, plan):
            by_size = plan.xla == "step" and by_gradient is not None
            # A callback may train on a batch of its own.
            numbered = rows and getattr(batch, "shape", None) == ()
            logs = rows.feed(batch, take, by_size) if numbered else take(batch)
            watch.see(logs)
        return logs

    def planned_test_step(batch: Any) -> dict[str, Any]:
        with as_planned(model, plan):
            return test_step(batch)

    model.train_step, model.test_step = train_step, planned_test_step
    try:
        yield
    finally:
        del model.train_step, model.test_step
        vars(model).update(held)
        model.steps_per_execution = 1
        # What is traced holds the arrays, and the precision.
        model.train_function = model.test_function = model.predict_function = None


@contextmanager
def as_planned(model: keras.Model, plan: Plan) -> Iterator[None]:
    """Compute as the plan says what is traced meanwhile: where, how precisely, dropout quickly.

    Only then do they count: a callback that saves or calls the model finds it as it was.
    """
    with (
        fitting(model),
        tf.device(plan.device),
        in_precision(model, plan.precision),
        quick_dropout(model, plan.on_gpu),
    ):
        yield


@contextmanager
def fitting(model: keras.Model) -> Iterator[None]:
    """Say in one line what does not fit, of what Keras and TensorFlow say in many."""
    try:
        yield
    except (ValueError, TypeError, RuntimeError, tf.errors.OpError) as error:
        raise TrainingError(
            f"The model {model.name!r} does not fit the data with loss "
            f"{loss_name(getattr(model, 'loss', None))!r}: {one_line(error)}"
        ) from error


def one_line(error: Exception) -> str:
    """Return what an error says, without line breaks and colours."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", str(error)).split())[:400]


def build(model: keras.Model, task: Task, batch_size: int | None) -> None:
    """Build a model that is not, for the form of the data; nothing is computed."""
    if model.built or (has_own_step(model) and type(model).call is keras.Model.call):
        return
    if (x := task.batch()[0]) is None:
        raise TrainingError(
            "The model is not built, and a generator cannot be looked at: call the model once on a "
            "batch, or begin it with keras.Input(shape)"
        )

    def form(a: Any) -> keras.KerasTensor:
        text = getattr(a.dtype, "kind", "") in tuple("OUS")
        kind = "string" if text else keras.backend.standardize_dtype(a.dtype)
        rows = min(batch_size, len(a)) if batch_size else a.shape[0]
        return keras.KerasTensor((rows, *a.shape[1:]), kind)

    with fitting(model):
        model(each(form, x))


def build_metrics(model: keras.Model, task: Task, metrics: Any) -> None:
    """Let Keras make the variables of its own metrics: a step that made them is traced twice.

    They see two samples and predictions of zeros, which are forgotten again. (Of one sample the
    number of samples would look like a number of units.)
    """
    given, outputs = leaves(metrics), getattr(model, "outputs", None) or []
    known = all(isinstance(m, str) or type(m).__module__.startswith("keras.") for m in given)
    plain = type(model).compute_metrics is keras.Model.compute_metrics
    usual = given and known and plain and len(outputs) == 1
    if not usual or task.is_stream or len(first(task.train)) < 2:
        return
    x, y, _ = over(lambda a: a[:2], task.batch())
    zeros = tf.zeros([n or 2 for n in outputs[0].shape], outputs[0].dtype)
    with suppress(Exception):  # the step itself says what does not fit
        model.compute_metrics(x, each(tf.constant, y), zeros)
    model.reset_metrics()
