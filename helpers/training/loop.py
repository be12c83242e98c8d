"""``train``: what is prepared for Keras's ``fit``, and what is put right after it."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import pandas as pd
import tensorflow as tf

from helpers.layers import seed_layers
from helpers.live import EpochProgress
from helpers.training import data as inputs
from helpers.training import objective, step
from helpers.training.callbacks import Watch, wants_batches
from helpers.training.checkpoint import Checkpoint
from helpers.training.planning import Plan, steps_in_a_call
from helpers.training.planning import plan as make_plan


@dataclass(frozen=True)
class TrainingResult:
    """What a training gave.

    Attributes
    ----------
    history : DataFrame
        A row for each epoch, from 1: what Keras's history has (``loss``, the metrics, the same of
        the validation with ``val_`` before them), and ``seconds``.
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
    steps_per_epoch: int | None = None,
    optimizer: str | keras.optimizers.Optimizer = "adam",
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule | None = None,
    loss: Any = None,
    metrics: Any = None,
    validation_split: float | None = None,
    validation_data: Any = None,
    validation_steps: int | None = None,
    augmentation: Callable[..., Any] | None = None,
    class_weight: dict[int, float] | Sequence[float] | None = None,
    callbacks: keras.callbacks.Callback | Sequence[keras.callbacks.Callback] = (),
    early_stopping: int | None = None,
    seed: int = 0,
    precision: str = "auto",
    xla: str = "auto",
    plan: Plan | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = True,
    **unknown: Any,
) -> TrainingResult:
    """Train a Keras model by its own ``fit``, quickly and reproducibly, on what this machine has.

    The order of the samples follows from the seed. Apart from that, weights and history are those
    of ``compile`` and ``fit``; in the end the model is compiled. What is not said here is as there.

    Parameters
    ----------
    model : keras.Model
        Any model. Its weights are changed in place. It takes the data as they are: scaling is a
        layer of the model (``Rescaling``), so that ``predict`` and ``save`` have it too.
    data
        A ``Dataset`` (its training part); arrays ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)``,
        each an array or a list or dict of arrays; or a stream of such batches: a
        ``tf.data.Dataset``, a ``PyDataset``, a generator.
    batch_size
        Samples a step, 128 by default. A stream brings its own batches.
    optimizer, learning_rate
        A name or an optimizer, of which a fresh copy is used; a number or a schedule.
    loss, metrics
        By default what is usual, where labels and output leave no doubt: cross-entropy and accuracy
        for classes, squared and absolute error for numbers.
    validation_split
        Share of the training data that is held out at random, 0.1 by default (a stream: none).
    validation_data
        Data to validate on instead, as ``data``. Of a ``Dataset`` it is the validation part; where
        it has none, a share of its training part. The test part has to be asked for:
        ``(data.x_test, data.y_test)``.
    augmentation
        A layer or a model, such as ``preprocessing.augmentation()``, or a function ``f(x)`` of a
        batch of images ``(n, h, w, channels)`` in float32, with the values of the data.
    class_weight
        A weight for each class: a dict, or a list.
    early_stopping
        Stop after so many epochs without a smaller validation loss, and take the best weights.
    seed
        Of the held-out part, the order of the samples, dropout and augmentation.
    precision, xla, plan
        By default the machine decides (see ``helpers.training.plan``).
    checkpoint
        A file that is written after every epoch. Where it is there already, training goes on from
        it, and ends in the very weights that it would have had without the break (a stream has to
        give the same batches again).
    progress
        Show the plan and each epoch's results.

    Raises
    ------
    TrainingError
        For what does not fit, for a stream that never ends, for a loss or a weight that is not
        finite, and for too little memory.
    CheckpointError
        If the checkpoint is damaged or belongs to another training.
    """
    callbacks = keras.tree.flatten(getattr(callbacks, "callbacks", callbacks or []))
    numbers = {"epochs": epochs, "batch_size": batch_size, "early_stopping": early_stopping}
    numbers |= {"steps_per_epoch": steps_per_epoch, "validation_steps": validation_steps}
    inputs.check_arguments(model, callbacks, numbers, unknown)
    task = inputs.make_task(data, validation_split, validation_data, seed)
    inputs.check_streams(task, batch_size, steps_per_epoch, validation_steps, checkpoint)
    batch_size = None if task.is_stream else batch_size or 128
    step.build(model, task, batch_size)
    loss = objective.default_loss(model, task) if loss is None else loss
    metrics = objective.default_metrics(loss) if metrics is None else metrics
    objective.check_labels(model, loss, task)
    objective.check_scale(model, task)
    weigh = objective.class_weigher(class_weight, model)
    steps = steps_per_epoch or task.steps(batch_size)
    if plan and (precision, xla) != ("auto", "auto"):
        raise inputs.TrainingError("plan= decides precision and XLA; pass either plan= or these")
    plan = plan or make_plan(model, precision=precision, xla=xla, steps_per_epoch=steps, loss=loss)
    if early_stopping is not None:
        watched = "loss" if task.validation is None else "val_loss"
        stop = keras.callbacks.EarlyStopping(watched, 0, early_stopping, restore_best_weights=True)
        callbacks.append(stop)
    stream, rows = task.train, None
    if not task.is_stream and steps_per_epoch is not None:
        stream = inputs.as_stream(task.train, batch_size, seed)
    elif not task.is_stream:
        rows = inputs.Rows(task.train, batch_size, plan.device, seed)
    watch = Watch(task, batch_size, EpochProgress(epochs, shown=progress), callbacks)
    watch.bar.note(str(plan))
    with step.fitting(model):
        model.compile(
            objective.build_optimizer(optimizer, learning_rate, plan.precision), loss=loss,
            metrics=metrics, jit_compile=step.has_own_step(model) and plan.xla == "step",
            run_eagerly=model.run_eagerly,
        )  # fmt: skip
    if model.built:
        model.optimizer.build(model.trainable_variables)
        step.build_metrics(model, task, metrics)
    seed_layers(model, seed)
    seed_layers(augmentation, seed + 1)
    hooks, first = [*([rows] if rows else []), *callbacks, watch], 0
    if checkpoint is not None:
        about = {
            "model": model, "data": task.train, "validation": task.validation,
            "optimizer": model.optimizer, "loss": loss, "metrics": metrics,
            "batch_size": batch_size, "steps_per_epoch": steps_per_epoch, "seed": seed,
            "class_weight": class_weight, "augmentation": augmentation,
            "precision": plan.precision, "xla": plan.xla,
        }  # fmt: skip
        owners = (model, model.optimizer, augmentation)
        changing = [v for owner in owners for v in getattr(owner, "variables", ())]
        hooks.append(saved := Checkpoint(checkpoint, about, changing, callbacks, watch.rows))
        first = saved.read(epochs)
    if first and not rows:
        stream = inputs.wound_forward(stream, first, steps_per_epoch)
    a_call = plan.steps_per_execution or steps_in_a_call(model, batch_size or 32, plan.on_gpu)
    # fit takes whole calls only: where it is told how many steps, they have to come out even.
    if even := math.gcd(steps_per_epoch or 0, validation_steps or 0):
        a_call = max(n for n in range(1, a_call + 1) if even % n == 0)
    if any(map(wants_batches, callbacks)):
        a_call = 1
    change = inputs.augmenter(augmentation) if augmentation else None
    with _explained(watch, batch_size), step.own_steps(model, plan, rows, change, weigh, watch):
        # Set here and not by compile, which a saved model would keep.
        model.steps_per_execution = min(a_call, steps or a_call)
        model.fit(
            rows.numbers() if rows else stream, epochs=epochs, initial_epoch=first, verbose=0,
            callbacks=hooks, shuffle=False, steps_per_epoch=steps_per_epoch,
            validation_data=task.validation, validation_steps=validation_steps,
            validation_batch_size=batch_size if isinstance(task.validation, tuple) else None,
        )  # fmt: skip
    history = pd.DataFrame(watch.rows, pd.RangeIndex(1, len(watch.rows) + 1, name="epoch"))
    return TrainingResult(history, plan, watch.samples_per_second(), model)


@contextmanager
def _explained(watch: Watch, batch_size: int | None) -> Iterator[None]:
    """Say in one line why a training ended early, and what to do."""
    try:
        yield
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        raise inputs.TrainingError(
            f"Out of memory in epoch {watch.epoch}, with {batch_size or 'some'} samples a step: "
            f"pass batch_size={max(1, (batch_size or 2) // 2)}, and an optimizer with gradient_"
            "accumulation_steps=2, such as keras.optimizers.Adam(gradient_accumulation_steps=2)"
        ) from error
    except tf.errors.OpError as error:
        raise inputs.TrainingError(
            f"A step failed in epoch {watch.epoch}: {step.one_line(error)}"
        ) from error
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"Interrupted in epoch {watch.epoch}: the model has the weights of its last step; a "
            "checkpoint, where there is one, goes on after the last whole epoch"
        ) from None
    finally:
        watch.bar.close()
