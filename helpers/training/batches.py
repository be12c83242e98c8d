"""How batches reach the step: numbers of batches whose rows lie on the device, or a stream."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from helpers.training.data import count_samples, each, leaves

GPU_DATA_BYTES = 4 * 2**30  # larger data stay in the main memory: the network has the GPU's


class Rows(keras.callbacks.Callback):
    """Arrays that lie on the device. ``fit`` gets the numbers of batches, the step fetches them.

    The order of an epoch follows from the seed and its number alone, so that a training can go on
    after any of them.
    """

    def __init__(self, arrays: tuple[Any, ...], batch_size: int, device: str, seed: int) -> None:
        super().__init__()
        self._n, self._seed = count_samples(arrays), seed
        self._size = min(batch_size, self._n)
        self._whole, self._rest = divmod(self._n, self._size)
        held = [a for a in leaves(arrays) if a is not None]
        fits = sum(a.nbytes for a in held) <= GPU_DATA_BYTES
        texts = any(a.dtype.kind in "OUS" for a in held)
        with tf.device(device if fits and not texts else "CPU:0"):
            self._arrays = each(lambda a: None if a is None else tf.constant(a), arrays)
            self._order = tf.Variable(tf.range(self._n), trainable=False)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Shuffle, before the first step of an epoch."""
        seed, rows = [self._seed, epoch + 1], tf.range(self._n)
        self._order.assign(tf.random.experimental.stateless_shuffle(rows, seed=seed))

    def numbers(self) -> tf.data.Dataset:
        """Return the numbers of an epoch's batches."""
        options = tf.data.Options()
        # There is nothing to tune, and its threads keep one of two cores idle in every third epoch.
        options.autotune.enabled = False
        return tf.data.Dataset.range(self._whole + (self._rest > 0)).with_options(options)

    def feed(self, number: tf.Tensor, step: Callable[..., Any], by_size: bool) -> Any:
        """Call a step with the rows of a batch.

        ``by_size`` it is traced for one size, and with ``quick=False`` for a smaller last batch,
        which is not worth another compilation by XLA.
        """
        if not (self._rest and by_size):
            return step(self._fetch(number, None if self._rest else self._size))
        return tf.cond(
            number < self._whole,
            lambda: step(self._fetch(number, self._size)),
            lambda: step(self._fetch(number, self._rest), quick=False),
        )

    def _fetch(self, number: tf.Tensor, size: int | None) -> tuple[Any, ...]:
        start = tf.cast(number, tf.int32) * self._size
        rows = tf.ensure_shape(self._order[start : start + self._size], [size])
        return each(lambda a: None if a is None else tf.gather(a, rows), self._arrays)


def as_stream(arrays: tuple[Any, ...], batch_size: int, seed: int) -> tf.data.Dataset:
    """Return arrays as an endless stream, for epochs of a given number of steps."""

    def tuples(part: Any) -> Any:  # tf.data takes a list for one array
        return tuple(map(tuples, part)) if isinstance(part, list | tuple) else part

    stream = tf.data.Dataset.from_tensor_slices(tuples(arrays))
    return stream.shuffle(count_samples(arrays), seed).repeat().batch(batch_size)


def wound_forward(stream: Any, epochs: int, steps_per_epoch: int | None) -> Any:
    """Return a stream as it is after so many epochs: a shuffled one has another order in each."""
    if steps_per_epoch is not None:
        return stream.skip(epochs * steps_per_epoch)
    if isinstance(stream, tf.data.Dataset):
        # An iterator draws an order. fit makes one for an epoch, and a second one, which it does
        # not use, where it knows the length; a test holds on to that.
        known = int(stream.cardinality()) > 0
        for _ in range(epochs * (1 + known)):
            iter(stream)
    return stream


def augmenter(change: Any) -> Callable[[Any], Any] | None:
    """Return what changes a batch of inputs; grey images get a channel for it."""
    if change is None:
        return None
    # A function of the user's may hold an ``if`` on a tensor, which needs AutoGraph.
    layer = isinstance(change, keras.Layer)
    call = partial(change, training=True) if layer else tf.function(change)

    def on_images(x: tf.Tensor) -> tf.Tensor:
        x = tf.cast(x, tf.float32)
        return call(x[..., None])[..., 0] if x.shape.rank == 3 else call(x)

    return lambda x: each(on_images, x)
