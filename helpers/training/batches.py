"""How batches reach the steps: from arrays on the device, or from a stream."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from helpers.hardware import Plan
from helpers.training.acceleration import compiled
from helpers.training.data import TrainingError

VALIDATION_BATCH = 512
# Larger data stay in the main memory, so that the network has the GPU's.
GPU_DATA_BYTES = 4 * 2**30
Step = Callable[[Any], tf.Tensor]


class ArrayBatches:
    """Batches of arrays that lie on the device and are shuffled there.

    The order of an epoch follows from the seed and its number alone, so that a training can go on
    in the middle of one.
    """

    last = None  # the latest batch of a stream

    def __init__(self, arrays: Any, batch_size: int, plan: Plan, seed: int) -> None:
        size = sum(a.nbytes for a in keras.tree.flatten(arrays))
        # Replicas take their rows from the main memory; each has a device of its own.
        fits = plan.on_gpu and plan.distribution == "none" and size <= GPU_DATA_BYTES
        self._device = "GPU:0" if fits else "CPU:0"
        with tf.device(self._device):
            self._arrays = keras.tree.map_structure(tf.constant, arrays)
        self._n = len(keras.tree.flatten(arrays)[0])
        self.batch_size, self._seed = min(batch_size, self._n), seed
        self.per_epoch = count_batches(arrays, self.batch_size)
        # Where a call stands is kept in a variable: it survives an error in its middle.
        self._position = tf.Variable(0, dtype=tf.int32, trainable=False)

    @property
    def position(self) -> int:
        """Batches taken in this epoch."""
        return int(self._position)

    def begin(self, epoch: int, position: int = 0) -> None:
        """Shuffle for an epoch, and go to one of its batches."""
        rows = tf.range(self._n, dtype=tf.int32)
        self._order = tf.random.experimental.stateless_shuffle(rows, seed=[self._seed, epoch])
        self._position.assign(position)

    def is_finished(self) -> bool:
        """Tell whether the epoch's batches are all taken."""
        return self.position >= self.per_epoch

    def loop(self, step: Step, plan: Plan) -> Callable[[int], float]:
        """Return a function that takes up to so many steps on the device: the last, finite loss."""
        # XLA compiles for one size: where it does, a smaller last batch is a step of its own.
        whole = self._n // self.batch_size
        looped = whole if plan.xla == "step" else self.per_epoch
        size = self.batch_size if looped == whole else None

        @compiled
        def many(order: tf.Tensor, first: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
            def unfinished(number: tf.Tensor, loss: tf.Tensor) -> tf.Tensor:
                return tf.logical_and(number < last, tf.math.is_finite(loss))

            def take(number: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                rows = order[number * self.batch_size : (number + 1) * self.batch_size]
                loss = step(self._rows(tf.ensure_shape(rows, [size])))
                with tf.control_dependencies([loss]):  # that is, when the step is done
                    self._position.assign(number + 1)
                return number + 1, loss

            return tf.while_loop(unfinished, take, (first, tf.constant(0.0)))[1]

        @compiled
        def rest(order: tf.Tensor) -> tf.Tensor:
            loss = step(self._rows(order[looped * self.batch_size :]))
            with tf.control_dependencies([loss]):
                self._position.assign_add(1)
            return loss

        def take_steps(count: int) -> float:
            if (first := self.position) >= looped:
                return float(rest(self._order))
            last = min(first + count, looped)
            return float(many(self._order, tf.constant(first), tf.constant(last)))

        return take_steps

    def over_all(self, function: Step) -> Callable[[], None]:
        """Return a function that gives every sample once to ``function``, in its order."""

        def take(start: tf.Tensor) -> tuple[tf.Tensor]:
            stop = tf.minimum(start + VALIDATION_BATCH, self._n)
            function(self._rows(tf.range(start, stop)))
            return (stop,)

        left, begin = lambda start: start < self._n, (tf.constant(0),)
        return compiled(lambda: tf.while_loop(left, take, begin))

    def sample(self) -> Any:
        """Return two samples, to try a model on."""
        return self._rows(tf.constant([0, self._n - 1]))

    def _rows(self, rows: tf.Tensor) -> Any:
        with tf.device(self._device):
            return keras.tree.map_structure(lambda a: tf.gather(a, rows), self._arrays)


class StreamBatches:
    """Batches of a ``tf.data.Dataset``, read while the step before them computes."""

    def __init__(self, stream: tf.data.Dataset) -> None:
        self._stream = stream.prefetch(tf.data.AUTOTUNE)
        self.per_epoch = count_batches(stream, 1)
        self.position, self.batch_size, self.last = 0, 0, None

    def begin(self, epoch: int, position: int = 0) -> None:
        """Start to read, from one of the stream's batches on."""
        self._iterator: Iterator[Any] = iter(self._stream.skip(position))
        self.position = position
        self._next = next(self._iterator, None)

    def is_finished(self) -> bool:
        """Tell whether the epoch's batches are all taken."""
        if self._next is None:
            if self.position == 0:
                raise TrainingError("The stream gave no batch; expected one in every epoch")
            self.per_epoch = self.position
        return self._next is None

    def loop(self, step: Step, plan: Plan) -> Callable[[int], float]:
        """Return a function that takes up to so many steps: the last, finite loss."""
        any_size = keras.tree.map_structure(
            lambda a: tf.TensorSpec([None, *a.shape[1:]], a.dtype), self._stream.element_spec
        )
        usual, other = compiled(step), compiled(step, input_signature=[any_size])

        def take_steps(count: int) -> float:
            loss = 0.0
            for _ in range(count):
                if self.is_finished() or not np.isfinite(loss):
                    break
                batch = self.last = self._next  # after an error the same one is taken again
                rows = keras.tree.flatten(batch)[0].shape[0]
                self.batch_size = max(self.batch_size, rows)
                loss = float((usual if rows == self.batch_size else other)(batch))
                self._next = next(self._iterator, None)
                self.position += 1
            return loss

        return take_steps

    def over_all(self, function: Step) -> Callable[[], None]:
        """Return a function that gives every batch once to ``function``."""
        once = compiled(function, reduce_retracing=True)

        def all_batches() -> None:
            for batch in self._stream:
                once(batch)

        return all_batches

    def sample(self) -> Any:
        """Return two samples, to try a model on."""
        batch = next(iter(self._stream.take(1)), None)
        return None if batch is None else keras.tree.map_structure(lambda a: a[:2], batch)


def count_batches(source: Any, batch_size: int) -> int | None:
    """Return the batches in an epoch, None where a stream does not know."""
    if isinstance(source, tf.data.Dataset):
        length = int(source.cardinality())
        return length if length >= 0 else None
    return -(-len(keras.tree.flatten(source)[0]) // batch_size)


def make_batches(source: Any, batch_size: int, plan: Plan, seed: int = 0) -> Any:
    """Feed from arrays or from a stream."""
    stream = isinstance(source, tf.data.Dataset)
    return StreamBatches(source) if stream else ArrayBatches(source, batch_size, plan, seed)
