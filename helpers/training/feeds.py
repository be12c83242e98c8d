"""How batches reach the steps: from arrays on the device, or from a stream."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from helpers.hardware import Plan
from helpers.training.problem import Arrays
from helpers.training.steps import Steps, compiled

VALIDATION_BATCH = 512
# Larger data stay in the main memory, so that the network has the GPU's.
GPU_DATA_BYTES = 4 * 2**30


class ArrayFeed:
    """Batches of arrays that lie on the device and are shuffled there.

    The order of an epoch follows from the seed and its number alone, so that a training can go on
    in the middle of one.

    Attributes
    ----------
    batch_size : int
        Samples in a batch.
    steps : int
        Batches in an epoch, the last one may be smaller.
    """

    def __init__(self, arrays: Arrays, batch_size: int, *, on_gpu: bool, seed: int = 0) -> None:
        size = sum(a.nbytes for a in keras.tree.flatten(arrays))
        self._device = "GPU:0" if on_gpu and size <= GPU_DATA_BYTES else "CPU:0"
        with tf.device(self._device):
            self._arrays = keras.tree.map_structure(tf.constant, arrays)
        self._n = len(keras.tree.flatten(arrays)[0])
        self.batch_size, self._seed = min(batch_size, self._n), seed
        self.steps = count_steps(arrays, self.batch_size)
        # Where a call stands is kept in a variable: it survives an error in its middle.
        self._position = tf.Variable(0, dtype=tf.int32, trainable=False)

    def connect(self, steps: Steps) -> None:
        """Compile the loop over these steps."""
        # XLA compiles for one size: where it does, a smaller last batch is a step of its own.
        self._looped = self._n // self.batch_size if steps.plan.xla == "step" else self.steps
        self._many = compiled(lambda *a: self._loop(steps, *a))
        self._rest = compiled(lambda order: self._tail(steps, order))
        self._validate = compiled(lambda: self._all(steps))

    def begin(self, epoch: int, position: int = 0) -> None:
        """Shuffle for an epoch, and go to one of its steps."""
        rows = tf.range(self._n, dtype=tf.int32)
        self._order = tf.random.experimental.stateless_shuffle(rows, seed=[self._seed, epoch])
        self._position.assign(position)

    def advance(self, count: int) -> tuple[int, float]:
        """Take up to ``count`` steps; return where the epoch stands, and the last loss.

        It stops early at a loss that is not finite.
        """
        position = self.position
        last = min(position + count, self._looped)
        loss = 0.0
        if position < last:
            loss = float(self._many(self._order, tf.constant(position), tf.constant(last)))
        elif position < self.steps:
            loss = float(self._rest(self._order))
        return self.position, loss

    @property
    def position(self) -> int:
        """Steps taken in this epoch."""
        return int(self._position)

    def validate(self) -> None:
        """Add every sample to the loss and the metrics."""
        self._validate()

    def sample(self) -> Any:
        """Return two samples, to try a model on."""
        return self._rows(tf.constant([0, self._n - 1]))

    def _loop(self, steps: Steps, order: tf.Tensor, first: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
        def unfinished(step: tf.Tensor, loss: tf.Tensor) -> tf.Tensor:
            return tf.logical_and(step < last, tf.math.is_finite(loss))

        def take(step: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            rows = order[step * self.batch_size : (step + 1) * self.batch_size]
            if self._looped * self.batch_size <= self._n:
                rows = tf.ensure_shape(rows, [self.batch_size])
            loss = steps.train(self._rows(rows), compiled=True)
            with tf.control_dependencies([loss]):  # that is, when the step is done
                self._position.assign(step + 1)
            return step + 1, loss

        return tf.while_loop(unfinished, take, (first, tf.constant(0.0)))[1]

    def _tail(self, steps: Steps, order: tf.Tensor) -> tf.Tensor:
        start = self._n - self._n % self.batch_size
        loss = steps.train(self._rows(order[start:]), compiled=False)
        with tf.control_dependencies([loss]):
            self._position.assign_add(1)
        return loss

    def _all(self, steps: Steps) -> None:
        def take(start: tf.Tensor) -> tuple[tf.Tensor]:
            stop = tf.minimum(start + VALIDATION_BATCH, self._n)
            steps.validate(self._rows(tf.range(start, stop)))
            return (stop,)

        tf.while_loop(lambda start: start < self._n, take, (tf.constant(0),))

    def _rows(self, rows: tf.Tensor) -> Any:
        with tf.device(self._device):
            return keras.tree.map_structure(lambda a: tf.gather(a, rows), self._arrays)


class StreamFeed:
    """Batches of a ``tf.data.Dataset``, read while the step before them computes.

    Attributes
    ----------
    batch_size : int
        Samples in the largest batch so far.
    steps : int or None
        Batches in an epoch, where the stream knows.
    """

    def __init__(self, stream: tf.data.Dataset) -> None:
        self._stream = stream.prefetch(tf.data.AUTOTUNE)
        self.steps = count_steps(stream, 1)
        self.position = 0
        self.batch_size = 0

    def connect(self, steps: Steps) -> None:
        """Compile a step."""
        self._whole = compiled(lambda batch: steps.train(batch, compiled=True))
        self._smaller = compiled(
            lambda batch: steps.train(batch, compiled=False), reduce_retracing=True
        )
        self._validate = compiled(steps.validate, reduce_retracing=True)

    def begin(self, epoch: int, position: int = 0) -> None:
        """Start to read, from one of the stream's batches on."""
        self._iterator: Iterator[Any] = iter(self._stream.skip(position))
        self.position = position
        self._pending: Any = None

    def advance(self, count: int) -> tuple[int, float]:
        """Take up to ``count`` steps; return where the epoch stands, and the last loss."""
        loss = 0.0
        for _ in range(count):
            batch = self._pending if self._pending is not None else next(self._iterator, None)
            if batch is None:
                self.steps = self.position
                break
            self._pending = batch  # until it is done: after an error it is taken again
            rows = keras.tree.flatten(batch)[0].shape[0]
            self.batch_size = max(self.batch_size, rows)
            step = self._whole if rows == self.batch_size else self._smaller
            loss = float(step(batch))
            self._pending = None
            self.position += 1
            if not np.isfinite(loss):
                break
        return self.position, loss

    def validate(self) -> None:
        """Add every batch to the loss and the metrics."""
        for batch in self._stream:
            self._validate(batch)

    def sample(self) -> Any:
        """Return two samples, to try a model on."""
        batch = next(iter(self._stream.take(1)), None)
        return None if batch is None else keras.tree.map_structure(lambda a: a[:2], batch)


Feed = ArrayFeed | StreamFeed


def count_steps(source: Any, batch_size: int) -> int | None:
    """Return the batches in an epoch, None where a stream does not know."""
    if isinstance(source, tf.data.Dataset):
        length = int(source.cardinality())
        return length if length >= 0 else None
    return -(-len(keras.tree.flatten(source)[0]) // batch_size)


def make_feed(source: Any, batch_size: int, plan: Plan, seed: int = 0) -> Feed:
    """Feed from arrays or from a stream."""
    if isinstance(source, tf.data.Dataset):
        return StreamFeed(source)
    # Replicas take their rows from the main memory; each has a device of its own.
    on_gpu = plan.on_gpu and plan.distribution == "none"
    return ArrayFeed(source, batch_size, on_gpu=on_gpu, seed=seed)
