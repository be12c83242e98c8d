"""What is learned from: arrays that lie on the device, or a stream of batches; a held-out part."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from operator import itemgetter
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from helpers.datasets import Dataset, StreamingDataset
from helpers.errors import CourseError

each, leaves = keras.tree.map_structure, keras.tree.flatten
NAMES = ("x", "y", "sample_weight")
INSTEAD = {  # of an argument of ``fit``
    "verbose": "progress=",
    "sample_weight": "data=(x, y, sample_weight)",
    "initial_epoch": "checkpoint=, from which a training goes on",
    "shuffle": "a tf.data.Dataset, whose order stays (arrays are always shuffled)",
    "validation_batch_size": "validation_data=, a tf.data.Dataset",
}
GPU_DATA_BYTES = 4 * 2**30  # larger data stay in the main memory: the network has the GPU's


class TrainingError(CourseError):
    """Training that cannot start, or that went wrong on its way."""


@dataclass
class Task:
    """The data to train and to validate on.

    ``train`` and ``validation`` are arrays, ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)``, of
    which each may be a list or dict of arrays; or a stream of such batches, as ``fit`` takes it.
    """

    train: Any
    validation: Any

    @property
    def is_stream(self) -> bool:
        """Whether the training data come in batches of their own."""
        return not isinstance(self.train, tuple)

    def batch(self) -> tuple[Any, Any, Any]:
        """Return the arrays, or what a stream says of its batches; a generator says nothing."""
        batch: Any = self.train
        if self.is_stream:
            known = batch[0] if isinstance(batch, keras.utils.PyDataset) else ()
            batch = getattr(batch, "element_spec", known)
            if batch == () or (isinstance(batch, tuple) and len(batch) > 3):  # for an own step
                return None, None, None
        return keras.utils.unpack_x_y_sample_weight(batch)

    def parts(self) -> tuple[list[Any], list[Any]]:
        """Return the arrays of x and those of y, or what a stream says of them."""
        x, y = ([a for a in leaves(part) if a is not None] for part in self.batch()[:2])
        return x, y

    def steps(self, batch_size: int | None) -> int | None:
        """Return the batches in an epoch, None where a stream does not know."""
        if not self.is_stream:
            return -(-len(first(self.train)) // batch_size)
        length = int(self.train.cardinality()) if isinstance(self.train, tf.data.Dataset) else -1
        return length if length > 0 else None


def first(structure: Any) -> Any:
    """Return the first array of a structure; an optional input may be None."""
    return next(a for a in leaves(structure) if a is not None)


def over(function: Callable[[Any], Any], structure: Any) -> Any:
    """Apply a function to each array of a structure; an optional input stays None."""
    return each(lambda a: None if a is None else function(a), structure)


def check_arguments(
    model: Any, callbacks: list[Any], numbers: dict[str, Any], unknown: dict[str, Any]
) -> None:
    """Refuse what is no model, no whole number above 0, and what only ``fit`` takes."""
    if not isinstance(model, keras.Model):
        raise TrainingError(f"model is {type(model).__name__}; expected a Keras model")
    for name in unknown:
        hint = f"use {INSTEAD[name]}" if name in INSTEAD else "see help(train)"
        raise TrainingError(f"train takes no {name!r}; {hint}")
    for name, number in numbers.items():
        if number is not None and (not isinstance(number, int | np.integer) or number < 1):
            raise TrainingError(f"{name} is {number!r}; expected a whole number of at least 1")
    if (devices := model.distribute_strategy.num_replicas_in_sync) > 1:
        raise TrainingError(
            f"The model was made in the scope of a strategy with {devices} devices, and train "
            "computes on one: use Keras's fit (docs/several_devices.md)"
        )
    tensorboard = any(isinstance(c, keras.callbacks.TensorBoard) for c in callbacks)
    if tensorboard and find_spec("tensorboard") is None:
        raise TrainingError("The callback TensorBoard needs a package: pip install tensorboard")


def make_task(data: Any, split: float | None, validation_data: Any, seed: int) -> Task:
    """Bring what a user passes as data into one of two forms, with a part held out."""
    train, held_out = _parts(data)
    if validation_data is None or (validation_data is data and isinstance(data, Dataset)):
        held_out = None if split is not None else held_out
    elif isinstance(validation_data, Dataset | StreamingDataset):
        if (held_out := _parts(validation_data)[1]) is None:
            raise TrainingError(
                f"validation_data is the dataset {validation_data.name}, which has no validation "
                "part; pass what to validate on, such as (data.x_test, data.y_test)"
            )
    else:
        held_out = validation_data
    train = _form(train)
    if held_out is not None:
        return Task(train, _form(held_out))
    if not isinstance(train, tuple) and split:
        raise TrainingError(
            f"validation_split={split} of a stream: its batches cannot be split; pass "
            "validation_data=, a stream or arrays of their own"
        )
    if not isinstance(train, tuple) or split == 0:
        return Task(train, None)
    share, n = 0.1 if split is None else split, len(first(train))
    if not 0 < share < 1 or (count := round(n * share)) == n:
        raise TrainingError(
            f"validation_split is {share} of {n} samples; expected 0 up to less than 1, so that "
            "some are left to train on"
        )
    order = np.random.default_rng([seed, 7]).permutation(n)
    rest, part = (over(itemgetter(np.sort(r)), train) for r in (order[count:], order[:count]))
    return Task(rest, part if count else None)


def _parts(data: Any) -> tuple[Any, Any]:
    """Return what is trained on and validated on, of a dataset; of other data, all and nothing."""
    if isinstance(data, StreamingDataset):
        return data.train, data.validation
    if isinstance(data, Dataset):
        held_out = None if data.x_val is None else (data.x_val, data.y_val)
        return (data.x_train, data.y_train), held_out
    return data, None


def check_streams(
    task: Task, batch_size: int | None, steps: int | None, held_out: int | None, checkpoint: Any
) -> None:
    """Refuse streams that are empty, would never end, or could not go on from a checkpoint."""
    if task.is_stream and batch_size is not None:
        raise TrainingError(f"batch_size={batch_size} with a stream, which brings its own batches")
    counts = {"steps_per_epoch": steps, "validation_steps": held_out}
    for data, (name, count) in zip((task.train, task.validation), counts.items(), strict=True):
        length = int(data.cardinality()) if isinstance(data, tf.data.Dataset) else 1
        if length == tf.data.INFINITE_CARDINALITY and count is None:
            raise TrainingError(f"The stream never ends; pass {name}=, or do not repeat it")
        if length == 0:
            raise TrainingError("The stream is empty; expected at least one batch")
    known = isinstance(task.train, tf.data.Dataset | tuple)
    ends = steps is not None and task.is_stream and task.steps(None) is not None
    if checkpoint is not None and (ends or not known):
        raise TrainingError(
            "checkpoint= cannot wind this stream forward; pass a tf.data.Dataset, and with "
            "steps_per_epoch one that never ends (.repeat())"
        )


def _form(data: Any) -> Any:
    """Return a stream as it is, and arrays as Keras takes them."""
    streams = isinstance(data, tf.data.Dataset | keras.utils.PyDataset) or inspect.isgenerator(data)
    if streams or type(data).__module__.startswith("torch.utils.data"):
        return data
    if not (isinstance(data, tuple) and 1 <= len(data) <= 3):
        raise TrainingError(
            f"data is {type(data).__name__}; expected a Dataset, arrays (x, y) or (x, y, "
            "sample_weight), or a stream of batches such as a tf.data.Dataset"
        )
    arrays = tuple(_arrays(part, name) for part, name in zip(data, NAMES, strict=False))
    lengths = {len(a) for a in leaves(arrays) if a is not None}
    if len(lengths) != 1 or lengths == {0}:
        several = ", ".join(NAMES[: len(data)])
        raise TrainingError(
            f"{several} have {sorted(lengths)} samples; expected as many of each, and one at least"
        )
    return arrays


def _arrays(part: Any, name: str) -> Any:
    """Return arrays as Keras takes them: what is nested stays so, lists of numbers become one."""
    if isinstance(part, list | tuple) and all(np.isscalar(v) for v in leaves(part)):
        return _array(part, name)
    return over(partial(_array, name=name), part)


def _array(values: Any, name: str) -> np.ndarray:
    try:
        array = np.asarray(values)
        if array.dtype == object and not all(isinstance(value, str) for value in array.flat):
            array = array.astype(keras.config.floatx())  # columns of several types
    except (ValueError, TypeError):  # rows of different lengths, sparse matrices, objects
        array = np.empty(())
    if array.ndim == 0 or array.dtype.kind not in "fiubOUS":
        raise TrainingError(
            f"{name} is a {type(values).__name__}; expected dense arrays of numbers or texts, with "
            "a row for each sample, or a tf.data.Dataset of batches"
        )
    if isinstance(values, pd.Series):  # a column, as fit has it
        array = array[:, None]
    # fit brings all floating-point numbers to one type, too.
    return array.astype(keras.config.floatx()) if array.dtype.kind == "f" else array


class Rows(keras.callbacks.Callback):
    """Arrays that lie on the device. ``fit`` gets the numbers of batches, the step fetches them.

    The order of an epoch follows from the seed and its number alone, so that a training can go on
    after any of them.
    """

    def __init__(self, arrays: tuple[Any, ...], batch_size: int, device: str, seed: int) -> None:
        super().__init__()
        held = [a for a in leaves(arrays) if a is not None]
        self._n, self._seed = len(held[0]), seed
        self._size = min(batch_size, self._n)
        self._whole, self._rest = divmod(self._n, self._size)
        fits = sum(a.nbytes for a in held) <= GPU_DATA_BYTES
        texts = any(a.dtype.kind in "OUS" for a in held)
        with tf.device(device if fits and not texts else "CPU:0"):
            self._arrays = over(tf.constant, arrays)
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
        return over(lambda a: tf.gather(a, rows), self._arrays)


def as_stream(arrays: tuple[Any, ...], batch_size: int, seed: int) -> tf.data.Dataset:
    """Return arrays as an endless stream, for epochs of a given number of steps."""

    def tuples(part: Any) -> Any:  # tf.data takes a list for one array
        return tuple(map(tuples, part)) if isinstance(part, list | tuple) else part

    stream = tf.data.Dataset.from_tensor_slices(tuples(arrays))
    return stream.shuffle(len(first(arrays)), seed).repeat().batch(batch_size)


def wound_forward(stream: Any, epochs: int, steps_per_epoch: int | None) -> Any:
    """Return a stream as it is after so many epochs: a shuffled one has another order in each."""
    if steps_per_epoch is not None:
        return stream.skip(epochs * steps_per_epoch)
    # An iterator draws an order. fit makes one for an epoch, and a second one, which it does not
    # use, where it knows the length; a test holds on to that.
    for _ in range(epochs * (2 if int(stream.cardinality()) > 0 else 1)):
        iter(stream)
    return stream


def augmenter(change: Any) -> Callable[[Any], Any]:
    """Return what changes a batch of inputs; grey images get a channel for it."""
    # A function of the user's may hold an ``if`` on a tensor, which needs AutoGraph.
    layer = isinstance(change, keras.Layer)
    call = partial(change, training=True) if layer else tf.function(change)

    def on_images(x: tf.Tensor) -> tf.Tensor:
        x = tf.cast(x, tf.float32)
        return call(x[..., None])[..., 0] if x.shape.rank == 3 else call(x)

    return partial(each, on_images)
