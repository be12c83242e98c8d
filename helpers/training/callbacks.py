"""What watches a training from within ``fit``: its lines, its speed, and numbers that fail."""

import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.callbacks import Callback, ModelCheckpoint, TensorBoard, TerminateOnNaN

from helpers.live import EpochProgress
from helpers.preprocessing import count_not_finite
from helpers.training.data import NAMES, Task, TrainingError, leaves

HOOKS = [f"on_{kind}batch_{end}" for kind in ("train_", "test_", "") for end in ("begin", "end")]


def wants_batches(callback: Callback) -> bool:
    """Tell whether a callback looks at single batches."""
    by_epoch = {ModelCheckpoint: "save_freq", TensorBoard: "update_freq"}
    if type(callback) in by_epoch:
        return getattr(callback, by_epoch[type(callback)]) != "epoch"
    # A LambdaCallback has its functions as attributes, other classes have methods.
    kind = type(callback)
    return any(h in vars(callback) or getattr(kind, h) is not getattr(Callback, h) for h in HOOKS)


class Watch(Callback):
    """A row and a line for each epoch; an error that names the step which gave no finite number."""

    def __init__(
        self, task: Task, batch_size: int | None, bar: EpochProgress, others: list[Callback]
    ) -> None:
        super().__init__()
        self.rows: list[dict[str, Any]] = []
        self.epoch, self.bar, self._task, self._batch_size = 0, bar, task, batch_size
        # Who passes TerminateOnNaN wants the training to end, and no error.
        self._calm = any(isinstance(callback, TerminateOnNaN) for callback in others)
        self._step, self._bad = (tf.Variable(0, trainable=False) for _ in range(2))
        self._calls: list[tuple[int, float]] = []  # steps and seconds of each

    def see(self, logs: dict[str, Any]) -> None:
        """Note, as a part of the step, the first one after which something is not finite."""
        # Some processors' ReLU turns a NaN into 0: the loss looks sound, a weight does not.
        sums = [logs.get("loss", 0.0), *map(tf.reduce_sum, self._watched)]
        sound = tf.math.is_finite(tf.add_n([tf.cast(s, tf.float32) for s in sums]))
        step = self._step.assign_add(1)
        self._bad.assign(tf.where(sound | (self._bad > 0), self._bad, step))

    def on_train_begin(self, logs: Any = None) -> None:
        """Watch the weights that begin as finite numbers."""
        weights = self.model.trainable_variables
        self._watched = [w for w in weights if np.isfinite(keras.ops.convert_to_numpy(w)).all()]

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start the clock."""
        self.epoch, self._start, self._done = epoch + 1, time.perf_counter(), 0
        self._step.assign(0)
        self.bar.start_epoch(epoch + 1)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Start the clock of a call."""
        self._call = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """Stop where a number is not finite, and show how far the epoch is."""
        taken = int(self._step)
        self._calls.append((taken - self._done, time.perf_counter() - self._call))
        self._done = taken
        if int(self._bad) and not self._calm:
            where = f"epoch {self.epoch}, step {int(self._bad)}; {self._cause()}"
            raise TrainingError(f"The loss or a weight is not a finite number at {where}")
        self.bar.update(taken, self.params["steps"], _numbers(logs))

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Keep the results of the epoch, the loss first, the validation last."""
        order = sorted(logs, key=lambda k: (k.startswith("val_"), k.removeprefix("val_") != "loss"))
        # A metric, or a callback, may give an array or a text.
        row = {k: getattr(logs[k], "tolist", lambda k=k: logs[k])() for k in order}
        self.rows.append(row | {"seconds": time.perf_counter() - self._start})
        self.bar.end_epoch(_numbers(row))

    def samples_per_second(self) -> float:
        """Return the speed of the steps without the first call, which compiles; NaN for none."""
        steps, seconds = (sum(call[i] for call in self._calls[1:]) for i in (0, 1))
        return steps * self._batch_size / seconds if seconds and self._batch_size else float("nan")

    def _cause(self) -> str:
        arrays = () if self._task.is_stream else zip(NAMES, self._task.train, strict=False)
        for name, a in ((name, a) for name, part in arrays for a in leaves(part)):
            if a is None or a.dtype.kind != "f":
                continue
            if bad := count_not_finite(a):
                return f"{name} holds NaN or infinity in {bad} of {len(a)} samples: drop them"
            if (largest := float(np.abs(a).max())) > 100:
                return f"{name} reaches {largest:g}: scale the data (helpers.preprocessing.scale)"
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        return f"the learning rate may be too high ({rate:g}): try a tenth of it, or clipnorm=1"


def _numbers(logs: dict[str, Any]) -> dict[str, float]:
    return {k: float(v) for k, v in logs.items() if isinstance(v, int | float | np.number)}
