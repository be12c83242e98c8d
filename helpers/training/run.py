"""The epochs of one training: steps, validation, callbacks, checkpoints."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from helpers.hardware import Plan
from helpers.training.checkpoint import Checkpoint
from helpers.training.feeds import Feed
from helpers.training.problem import TrainingError
from helpers.training.progress import Progress
from helpers.training.steps import Steps

if TYPE_CHECKING:
    import pandas as pd

CALL_SECONDS = 0.25  # of steps in one call of the compiled loop: the bar moves four times a second
CHECKPOINT_SECONDS = 30.0  # between two checkpoints within an epoch


@dataclass
class Run:
    """One training on its way.

    Attributes
    ----------
    model
        Compiled, on the devices where it computes.
    feed, validation
        Where batches come from.
    plan
        Changed when a batch does not fit into memory.
    make_steps
        Builds the steps for a plan.
    mean_loss
        Where those steps add up their losses.
    callbacks
        Keras's list of them.
    store
        Where to save, or None.
    bar
        What the user sees.
    explain
        Makes the error for a loss that is not finite, from a place such as "epoch 1, step 3".
    """

    model: keras.Model
    feed: Feed
    validation: Feed | None
    plan: Plan
    make_steps: Callable[[Plan], Steps]
    mean_loss: keras.metrics.Mean
    callbacks: keras.callbacks.CallbackList
    store: Checkpoint | None
    bar: Progress
    explain: Callable[[str], TrainingError]
    rows: list[dict[str, float]] = field(default_factory=list)
    calls: list[tuple[int, float]] = field(default_factory=list)  # steps and seconds of each

    def __post_init__(self) -> None:
        self._connect()

    def steps_per_second(self) -> float:
        """Return the speed of the steps, without the first call, which compiles."""
        measured = self.calls[1:]
        seconds = sum(seconds for _, seconds in measured)
        return sum(steps for steps, _ in measured) / seconds if measured else float("nan")

    def loop(self, epochs: int) -> "pd.DataFrame":
        """Train up to an epoch, from the start or from where the checkpoint stands."""
        self.callbacks.on_train_begin()
        state = self.store.load() if self.store else None
        state = state or {"epoch": 1, "step": 0, "rows": [], "stopped": False, "seconds": 0.0}
        self.rows = state["rows"]
        self.model.stop_training = state["stopped"]
        step, before = state["step"], state["seconds"]
        for epoch in range(state["epoch"], epochs + 1):
            if self.model.stop_training:
                break
            self._epoch(epoch, step, before)
            step, before = 0, 0.0
            self._save(epoch + 1, 0)
        self.callbacks.on_train_end()
        self.model.optimizer.finalize_variable_values(self.model.trainable_weights)
        return self._history()

    def _epoch(self, epoch: int, step: int, seconds_before: float) -> None:
        start = time.perf_counter() - seconds_before
        self.callbacks.on_epoch_begin(epoch - 1)
        self.bar.start_epoch(epoch)
        if step == 0:
            self._reset()
        self.feed.begin(epoch, step)
        count, saved = self.plan.steps_per_call or 1, time.perf_counter()
        alone = self.plan.distribution != "multi_worker"
        while self.feed.steps is None or step < self.feed.steps:
            self.callbacks.on_train_batch_begin(step)
            called = time.perf_counter()
            before, (step, loss) = step, self._advance(count)
            self.calls.append((step - before, time.perf_counter() - called))
            if not np.isfinite(loss):
                raise self.explain(f"epoch {epoch}, step {step}")
            count = self._next_count(count)
            logs = self._measured()
            self.callbacks.on_train_batch_end(step - 1, logs)
            self.bar.update(step, self.feed.steps, logs)
            # Machines that train together save together, which a clock cannot arrange.
            if alone and time.perf_counter() - saved > CHECKPOINT_SECONDS:
                self._save(epoch, step, time.perf_counter() - start)
                saved = time.perf_counter()
        if step == 0:
            raise TrainingError("The stream gave no batch; expected at least one in every epoch")
        if not all(np.isfinite(weight).all() for weight in self.model.get_weights()):
            # ReLU turns a NaN that comes in into 0: the loss looks sound, the weights are not.
            raise self.explain(f"epoch {epoch}, step {step}")
        logs = self._measured() | self._validate()
        self.callbacks.on_epoch_end(epoch - 1, logs)
        self.rows.append(
            {k: float(v) for k, v in logs.items()} | {"seconds": time.perf_counter() - start}
        )
        self.bar.end_epoch(logs)

    def _advance(self, count: int) -> tuple[int, float]:
        """Take steps; halve the batch in memory for as long as it does not fit."""
        while True:
            try:
                return self.feed.advance(count)
            except tf.errors.ResourceExhaustedError as error:
                if self.plan.pieces >= self.feed.batch_size:
                    raise TrainingError(
                        "Out of memory even with one sample at a time: use a smaller model, or "
                        "smaller images"
                    ) from error
                self.plan = self.plan.in_pieces()
                size = -(-self.feed.batch_size // self.plan.pieces)
                warnings.warn(
                    f"Out of memory: every batch of {self.feed.batch_size} is now computed in "
                    f"{self.plan.pieces} pieces of {size}, whose gradients are added up",
                    stacklevel=2,
                )
                self._connect()
                count = 1

    def _connect(self) -> None:
        steps = self.make_steps(self.plan)
        self.feed.connect(steps)
        if self.validation is not None:
            self.validation.connect(steps)

    def _next_count(self, count: int) -> int:
        """Choose how many steps the next call takes, from how long this one took."""
        if self.plan.steps_per_call:
            return self.plan.steps_per_call
        if len(self.calls) == 1:  # it compiled
            return count
        steps, seconds = self.calls[-1]
        return max(1, min(int(steps * CALL_SECONDS / max(seconds, 1e-6)), 4 * max(count, 1)))

    def _validate(self) -> dict[str, float]:
        if self.validation is None:
            return {}
        self.callbacks.on_test_begin()
        self._reset()
        self.validation.validate()
        logs = self._measured()
        self.callbacks.on_test_end(logs)
        return {f"val_{name}": value for name, value in logs.items()}

    def _reset(self) -> None:
        self.mean_loss.reset_state()
        self.model.reset_metrics()

    def _measured(self) -> dict[str, float]:
        results = self.model.get_metrics_result() | {"loss": self.mean_loss.result()}
        return {name: float(results[name]) for name in sorted(results, key=lambda n: n != "loss")}

    def _save(self, epoch: int, step: int, seconds: float = 0.0) -> None:
        if self.store is None:
            return
        self.store.save(
            {
                "epoch": epoch,
                "step": step,
                "rows": self.rows,
                "stopped": self.model.stop_training,
                "seconds": seconds,
            }
        )

    def _history(self) -> "pd.DataFrame":
        import pandas as pd

        return pd.DataFrame(self.rows, index=pd.RangeIndex(1, len(self.rows) + 1, name="epoch"))
