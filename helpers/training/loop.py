"""The training loop: an epoch is a shuffle, steps of gradient descent, and a validation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from helpers import hardware
from helpers.dropout import with_quick_dropout
from helpers.hardware import Plan
from helpers.layers import describe, in_precision, seed_layers, variables_by_path
from helpers.live import EpochProgress
from helpers.training import checks, objective
from helpers.training.acceleration import Execution, Gradients, accelerate
from helpers.training.batches import count_batches, make_batches
from helpers.training.checkpoint import Checkpoint
from helpers.training.data import make_task
from helpers.training.distribution import fresh, of_share, on_devices, on_replicas
from helpers.training.state import Results, State


@dataclass(frozen=True)
class TrainingResult:
    """What a training gave.

    Attributes
    ----------
    history : DataFrame
        A row for each epoch, from 1: ``loss`` (of all outputs together), the metrics, the same of
        the validation with ``val_`` before them, and ``seconds``.
    plan : Plan
        What it ran on, and why.
    samples_per_second : float
        Of the training steps, without validation and compilation; NaN if none was measured.
    model : keras.Model
        The model that was passed.
    """

    history: pd.DataFrame
    plan: Plan
    samples_per_second: float
    model: keras.Model


def train(
    model: keras.Model,
    data: Any,
    *,
    epochs: int = 1,
    batch_size: int | None = None,
    optimizer: str | keras.optimizers.Optimizer = "adam",
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule | None = None,
    loss: Any = None,
    metrics: Any = None,
    validation_split: float | None = None,
    validation_data: Any = None,
    augmentation: Callable[..., Any] | None = None,
    class_weight: dict[int, float] | str | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    early_stopping: int | None = None,
    seed: int = 0,
    precision: str = "auto",
    xla: str = "auto",
    plan: Plan | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = True,
) -> TrainingResult:
    """Train a built Keras model, quickly and reproducibly, on what this machine has.

    It computes what Keras's ``fit`` does on one device, except that batch normalization takes its
    statistics from parts of a batch that does not fit into memory (a warning says so).

    Parameters
    ----------
    model : keras.Model
        Any built model. Its weights are changed in place. It takes the data as they are: scaling
        is a layer of the model (``Rescaling``), so that ``predict`` and ``save`` have it too.
    data
        A ``Dataset`` (its training part), a pair ``(x, y)`` of arrays (or lists or dicts of them),
        or a ``tf.data.Dataset`` of batches ``(x, y)`` or ``(x, y, sample_weight)``.
    epochs
        Times through the data.
    batch_size
        Samples a step, 128 by default. A stream brings its own batches.
    optimizer, learning_rate
        A name or an optimizer, of which a fresh copy is used; a number or a schedule.
    loss, metrics
        As to Keras's ``compile``. By default what is usual for the labels and the output:
        cross-entropy and accuracy for classes, squared and absolute error for numbers.
    validation_split
        Share of the training data that is held out, 0.1 by default (a stream: none).
    validation_data
        Data to validate on instead, of any kind that ``data`` may be.
    augmentation
        A layer or a model, such as ``preprocessing.augmentation()``, or a function ``f(x)`` of a
        batch of images ``(n, h, w, channels)`` in float32, with the values of the data.
    class_weight
        A weight for each class, or ``"balanced"``.
    callbacks
        Keras callbacks. Those that want to see batches see every one; that is slower.
    early_stopping
        Stop after so many epochs without a smaller validation loss, and take the best weights.
    seed
        Of the held-out part, the order of the samples, dropout and augmentation.
    precision, xla, plan
        Override single decisions of ``hardware.plan``, or all of them.
    checkpoint
        A file from which the same call goes on, exactly, after an interruption. Only ``epochs``
        may grow.
    progress
        Whether to show the plan, a bar, and a line for each epoch.

    Returns
    -------
    TrainingResult

    Raises
    ------
    TrainingError
        For data, labels or arguments that do not fit, and for a loss that is not finite.
    CheckpointError
        If the checkpoint is damaged or belongs to another training.
    """
    task = make_task(data, validation_split, validation_data, seed)
    checks.arguments(model, epochs, batch_size, task)
    batch_size = batch_size or 128
    callbacks = list(callbacks)
    if early_stopping is not None:
        watched = "val_loss" if task.validation else "loss"
        stop = keras.callbacks.EarlyStopping(watched, 0, early_stopping, restore_best_weights=True)
        callbacks.append(stop)
    per_epoch = count_batches(task.train, batch_size)
    plan = plan or hardware.plan(model, precision=precision, xla=xla, steps_per_epoch=per_epoch)
    if any(map(_wants_batches, callbacks)):
        plan = replace(plan, steps_per_execution=1)
    loss = objective.default_loss(model, task) if loss is None else loss
    metrics = objective.default_metrics(loss) if metrics is None else metrics
    checks.labels(model, loss, task)
    checks.scale(model, task)
    augment, weight_of = _augmentation(augmentation), objective.class_weights_of(class_weight, task)
    batches = make_batches(task.train, batch_size, plan, seed)
    held_out = task.validation and make_batches(task.validation, batch_size, plan)
    bar = EpochProgress(epochs, shown=progress)
    bar.note(str(plan))

    with on_devices(model, plan, metrics) as net, in_precision(net, plan.precision):
        net.compile(
            objective.build_optimizer(optimizer, learning_rate, plan.precision),
            loss=loss,
            metrics=metrics if net is model else fresh(metrics),
        )
        checks.fit(net, batches.sample())
        forward = with_quick_dropout(net, plan)
        seed_layers(forward, seed)
        seed_layers(augmentation, seed + 1)
        weights, results = net.trainable_variables, Results(net)

        def gradients(x: Any, y: Any, weight: Any, share: Any) -> Gradients:
            with tf.GradientTape() as tape:
                predicted = forward(x, training=True)
                batch_loss = net.compute_loss(x, y, predicted, weight)
                scaled = net.optimizer.scale_loss(of_share(batch_loss, share))
            slopes = tape.gradient(scaled, weights, unconnected_gradients="zero")
            return batch_loss, predicted, [tf.convert_to_tensor(s) for s in slopes]

        def update(slopes: list[tf.Tensor]) -> None:
            net.optimizer.apply(slopes, weights)

        def step(gradients: Any, update: Any, batch: Any, share: Any = None) -> tf.Tensor:
            x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
            x, weight = augment(x), weight_of(y, weight)
            batch_loss, predicted, slopes = gradients(x, y, weight, share)
            # Nothing changes before all is computed: running out of memory leaves no trace.
            with tf.control_dependencies([batch_loss, *slopes]):
                results.add(x, y, predicted, weight, batch_loss, share)
                return of_share(batch_loss, share) + update(slopes)

        def validation_step(batch: Any, share: Any = None) -> tf.Tensor:
            x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
            predicted = net(x, training=False)
            batch_loss = net.compute_loss(x, y, predicted, weight, training=False)
            results.add(x, y, predicted, weight, batch_loss, share)
            return batch_loss

        def take_steps(plan: Plan) -> Callable[[int], float]:
            quick = partial(step, *accelerate(gradients, update, plan))
            return batches.loop(on_replicas(quick), plan)

        execution = Execution(take_steps, plan, batches, net)
        validate = held_out and held_out.over_all(on_replicas(validation_step))
        about = {"epochs": epochs, "steps": per_epoch, "verbose": 0}
        hooks = keras.callbacks.CallbackList(callbacks, model=net, **about)
        hooks.on_train_begin()
        state = State(net)
        if checkpoint is not None:
            described = {
                "model": net, "data": task.train, "validation": task.validation,
                "optimizer": net.optimizer, "loss": loss, "metrics": metrics,
                "batch_size": batch_size, "class_weight": class_weight, "seed": seed,
                "augmentation": augmentation, "precision": plan.precision, "xla": plan.xla,
            }  # fmt: skip
            owners = {"model": [net, forward], "optimizer": net.optimizer, "change": augmentation}
            changing = variables_by_path(**owners, metrics=[results.loss, *net.metrics])
            state.restore(Checkpoint(checkpoint, describe(described), changing, callbacks))
        try:
            for epoch in state.epochs(epochs):
                hooks.on_epoch_begin(epoch - 1)
                bar.start_epoch(epoch)
                if state.position == 0:
                    results.reset()
                batches.begin(epoch, state.position)
                while not batches.is_finished():
                    hooks.on_train_batch_begin(batches.position)
                    last_loss = execution.take()
                    checks.finite(np.isfinite(last_loss), net, task, batches, epoch)
                    logs = results.read()
                    hooks.on_train_batch_end(batches.position - 1, logs)
                    bar.update(batches.position, batches.per_epoch, logs)
                    state.save_at_times(batches.position)
                sound = all(np.isfinite(weight).all() for weight in net.get_weights())
                checks.finite(sound, net, task, batches, epoch)
                logs = results.read()
                if validate:
                    hooks.on_test_begin()
                    results.reset()
                    validate()
                    found = results.read()
                    hooks.on_test_end(found)
                    logs |= {f"val_{name}": value for name, value in found.items()}
                hooks.on_epoch_end(epoch - 1, logs)
                bar.end_epoch(logs)
                state.end_epoch(logs)
            hooks.on_train_end()
            net.optimizer.finalize_variable_values(weights)
        finally:
            bar.close()
    history = pd.DataFrame(state.rows, pd.RangeIndex(1, len(state.rows) + 1, name="epoch"))
    return TrainingResult(history, execution.plan, execution.samples_per_second(), model)


def _wants_batches(callback: keras.callbacks.Callback) -> bool:
    """Tell whether a callback looks at single batches."""
    if isinstance(callback, keras.callbacks.ModelCheckpoint) and callback.save_freq == "epoch":
        return False
    hooks = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
    base = keras.callbacks.Callback
    return any(
        getattr(getattr(callback, hook), "__func__", None) is not getattr(base, hook)
        for hook in hooks
    )


def _augmentation(change: Any) -> Callable[[Any], Any]:
    """Return what changes a batch of inputs; grey images get a channel for it."""
    if change is None:
        return lambda x: x
    # A function of the user's may hold an ``if`` on a tensor, which needs AutoGraph.
    own = not isinstance(change, keras.Layer)
    call = tf.function(change) if own else partial(change, training=True)

    def on_images(x: tf.Tensor) -> tf.Tensor:
        x = tf.cast(x, tf.float32)
        return call(x[..., None])[..., 0] if x.shape.rank == 3 else call(x)

    return lambda x: keras.tree.map_structure(on_images, x)
