"""Where a training stands: its epochs so far, the results of this one, what a checkpoint keeps."""

import time
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from helpers.training.checkpoint import Checkpoint
from helpers.training.distribution import count_rows, where_counted

CHECKPOINT_SECONDS = 30.0  # between two checkpoints within an epoch


class Results:
    """The mean loss and the metrics of the samples so far, on every device."""

    def __init__(self, net: keras.Model) -> None:
        self._net, self.loss = net, keras.metrics.Mean("loss")

    def add(self, x: Any, y: Any, predicted: Any, weight: Any, loss: Any, share: Any) -> None:
        """Count a batch in; of replicas, each counts its own rows."""

        def count() -> None:
            # Keras divides the loss of a replica by their number, so that their sum is the mean.
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            self._net.compute_metrics(x, y, predicted, sample_weight=weight)
            self.loss.update_state(loss * replicas, sample_weight=count_rows(x))

        where_counted(share, count)

    def read(self) -> dict[str, float]:
        """Return the loss and the metrics by name."""
        found = self._net.get_metrics_result() | {"loss": self.loss.result()}
        names = sorted(found, key=lambda name: name != "loss")
        # Keras's losses of single outputs count batches alike, the last, smaller one too.
        several = len(self._net.outputs) > 1
        single = {f"{name}_loss" for name in self._net.output_names} if several else ()
        return {name: float(found[name]) for name in names if name not in single}

    def reset(self) -> None:
        """Begin anew."""
        self.loss.reset_state()
        self._net.reset_metrics()


class State:
    """The results of each epoch in ``rows``; a saved one goes on within it at ``position``."""

    def __init__(self, net: keras.Model) -> None:
        self._net, self._store = net, None
        self._epoch, self.position, self._seconds = 1, 0, 0.0
        self.rows: list[dict[str, float]] = []

    def restore(self, store: Checkpoint) -> None:
        """Go on from a checkpoint, where there is one, and keep the state in it from now on."""
        self._store, found = store, store.load()
        if found:
            self._epoch, self.position, self.rows = found["epoch"], found["step"], found["rows"]
            self._seconds, self._net.stop_training = found["seconds"], found["stopped"]

    def epochs(self, last: int) -> Iterator[int]:
        """Yield the numbers of the epochs that are left."""
        while self._epoch <= last and not self._net.stop_training:
            self._start, self._saved = time.perf_counter() - self._seconds, time.perf_counter()
            yield self._epoch
            self._save()

    def end_epoch(self, logs: dict[str, float]) -> None:
        """Add a row of results, and turn to the next epoch."""
        seconds = time.perf_counter() - self._start
        self.rows.append({k: float(v) for k, v in logs.items()} | {"seconds": seconds})
        self._epoch, self.position, self._seconds = self._epoch + 1, 0, 0.0

    def save_at_times(self, position: int) -> None:
        """Save within an epoch, every now and then."""
        # Machines that train together save together, which a clock cannot arrange.
        alone = tf.distribute.get_strategy().cluster_resolver is None
        now = time.perf_counter()
        if self._store and alone and now - self._saved > CHECKPOINT_SECONDS:
            self.position, self._seconds, self._saved = position, now - self._start, now
            self._save()

    def _save(self) -> None:
        if self._store is not None:
            position = {"epoch": self._epoch, "step": self.position, "seconds": self._seconds}
            self._store.save(position | {"rows": self.rows, "stopped": self._net.stop_training})
