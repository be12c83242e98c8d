"""The training loop: an epoch is a shuffle, steps of gradient descent, and a validation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from helpers import hardware
from helpers.hardware import Plan
from helpers.training.checkpoint import Checkpoint, describe_data, describe_model
from helpers.training.distribution import make_strategy, replicated
from helpers.training.feeds import Feed, count_steps, make_feed
from helpers.training.problem import (
    Problem,
    TrainingError,
    as_input,
    build_optimizer,
    check_labels,
    class_weight_vector,
    default_loss,
    default_metrics,
    explain_nan,
    pose,
    scales_itself,
)
from helpers.training.progress import Progress
from helpers.training.run import Run
from helpers.training.steps import Steps
from helpers.training.tuning import seed_generators, tuned

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TrainingResult:
    """What a training gave.

    Attributes
    ----------
    history : DataFrame
        A row for each epoch, from 1: ``loss``, the metrics, the same of the validation with
        ``val_`` before them, and ``seconds``.
    plan : Plan
        What it ran on, and why.
    samples_per_second : float
        Of the training steps, validation and compilation left out; NaN if no step was measured.
    model : keras.Model
        The trained model, the same object that was passed.
    """

    history: "pd.DataFrame"
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

    Parameters
    ----------
    model : keras.Model
        Any built model. Its weights are changed in place.
    data
        A ``Dataset`` (its training part), a pair ``(x, y)`` of arrays (or lists or dicts of them),
        or a ``tf.data.Dataset`` of batches ``(x, y)`` or ``(x, y, sample_weight)``. Images of
        bytes are scaled to [0, 1], unless the model has a layer for it.
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
        A layer, a model or a function for batches of images, such as
        ``preprocessing.augmentation()``.
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
    _check(model, epochs, batch_size)
    task = pose(data, validation_split, validation_data, seed)
    if isinstance(task.train, tf.data.Dataset) and batch_size is not None:
        raise TrainingError(f"batch_size={batch_size} with a stream, which brings its own batches")
    batch_size = batch_size or 128
    callbacks = list(callbacks)
    if early_stopping is not None:
        callbacks.append(_stop_early(early_stopping, task))
    steps = count_steps(task.train, batch_size)
    plan = plan or hardware.plan(model, precision=precision, xla=xla, steps=steps)
    if any(map(_wants_batches, callbacks)):
        plan = replace(plan, steps_per_call=1)
    loss = default_loss(model, task) if loss is None else loss
    check_labels(model, loss, task)
    weights = class_weight_vector(class_weight, task)
    bar = Progress(epochs, shown=progress)
    bar.note(str(plan))

    feed = make_feed(task.train, batch_size, plan, seed)
    validation = task.validation and make_feed(task.validation, batch_size, plan)
    strategy = make_strategy(plan)
    with strategy.scope(), replicated(model, strategy) as worker, tuned(worker, plan):
        worker.compile(
            build_optimizer(optimizer, learning_rate, plan.precision),
            loss=loss,
            metrics=default_metrics(loss) if metrics is None else metrics,
        )
        _try(worker, feed)
        seed_generators(worker, seed)
        seed_generators(augmentation, seed + 1)
        mean_loss = keras.metrics.Mean("loss")
        state = _variables(worker, worker.optimizer, mean_loss, *worker.metrics, augmentation)
        store = None
        if checkpoint is not None:
            configuration = {
                "model": describe_model(worker),
                "data": describe_data(task.train),
                "optimizer": worker.optimizer.get_config(),
                "loss": _described(worker.loss),
                "batch_size": batch_size,
                "class_weight": class_weight,
                "augmentation": _described(augmentation),
                "seed": seed,
                "precision": plan.precision,
                "xla": plan.xla,
            }
            store = Checkpoint(checkpoint, configuration, state, callbacks)
        run = Run(
            model=worker,
            feed=feed,
            validation=validation,
            plan=plan,
            make_steps=partial(
                Steps,
                worker,
                strategy=strategy,
                augmentation=augmentation,
                class_weight=weights,
                mean_loss=mean_loss,
            ),
            mean_loss=mean_loss,
            callbacks=keras.callbacks.CallbackList(
                callbacks, model=worker, epochs=epochs, steps=feed.steps, verbose=0
            ),
            store=store,
            bar=bar,
            explain=partial(explain_nan, task, worker),
        )
        try:
            history = run.loop(epochs)
        finally:
            bar.close()
    return TrainingResult(history, run.plan, run.steps_per_second() * feed.batch_size, model)


def _check(model: Any, epochs: int, batch_size: int | None) -> None:
    if not isinstance(model, keras.Model):
        raise TrainingError(f"model is {type(model).__name__}; expected a Keras model")
    if not model.built or not model.outputs:
        raise TrainingError(
            "The model is not built: begin it with keras.Input(shape), or make it with the "
            "functional API"
        )
    if not isinstance(epochs, int | np.integer) or epochs < 1:
        raise TrainingError(f"epochs is {epochs!r}; expected a whole number of at least 1")
    if batch_size is not None and (not isinstance(batch_size, int | np.integer) or batch_size < 1):
        raise TrainingError(f"batch_size is {batch_size!r}; expected a whole number of at least 1")


def _stop_early(patience: int, task: Problem) -> keras.callbacks.Callback:
    return keras.callbacks.EarlyStopping(
        monitor="loss" if task.validation is None else "val_loss",
        patience=patience,
        restore_best_weights=True,
    )


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


def _try(model: keras.Model, feed: Feed) -> None:
    """Compute two samples: Keras builds its losses and metrics, and what does not fit shows."""
    batch = feed.sample()
    if batch is None:
        raise TrainingError("The stream is empty; expected at least one batch")
    x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
    x = as_input(x, scaled=scales_itself(model))
    try:
        predicted = model(x)
        model.compute_loss(x=x, y=y, y_pred=predicted, sample_weight=weight, training=False)
        model.compute_metrics(x, y, predicted, sample_weight=weight)
        model.optimizer.build(model.trainable_variables)
    except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
        shapes = keras.tree.map_structure(lambda a: (None, *a.shape[1:]), (x, y))
        raise TrainingError(
            f"The model {model.name!r} (input {model.input_shape}, output {model.output_shape}) "
            f"does not fit the data (x and y: {shapes}) with loss {_described(model.loss)}: "
            f"{' '.join(str(error).split())[:300]}"
        ) from error
    model.reset_metrics()


def _variables(*owners: Any) -> list[Any]:
    """Return every variable of a model, an optimizer, metrics …, each once."""
    found = [v for owner in owners for v in getattr(owner, "variables", ())]
    return list({id(v): v for v in found}.values())


def _described(thing: Any) -> Any:
    """Return what tells a loss or an augmentation from another one, the same in every process."""
    if thing is None or isinstance(thing, str | list | tuple | dict):
        return thing
    if isinstance(thing, keras.Model):
        return describe_model(thing)
    config = thing.get_config() if hasattr(thing, "get_config") else {}
    return [getattr(thing, "__name__", type(thing).__name__), config]
