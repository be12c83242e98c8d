"""The networks of the course, each a built Keras model.

They take samples as ``helpers.datasets`` gives them: images ``(h, w)`` or ``(h, w, 3)``, rows
of a table, sequences. Images of bytes are scaled inside, by a ``Rescaling`` layer. With
``keras.config.image_data_format()`` set to ``"channels_first"``, they compute in that layout.

Each is built for a ``Dataset``, ``build_cnn(data)``, or for a shape and a number of classes,
``build_cnn((28, 28), 10)``.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from helpers import hardware
from helpers.datasets import Dataset, StreamingDataset
from helpers.errors import CourseError, nearest

hardware.prepare()

CELLS = {"lstm": layers.LSTM, "gru": layers.GRU, "simple": layers.SimpleRNN}
Sample = Dataset | StreamingDataset | Sequence[int]


class _Stack:
    """Layers of a network that grows: they share a penalty, and each gets a seed of its own."""

    def __init__(
        self, sample: Sample, class_count: int | None, rescale: bool | None, images: bool,
        seed: int | None, l1: float = 0.0, l2: float = 0.0, batch_normalization: bool = False,
    ) -> None:  # fmt: skip
        if isinstance(sample, Dataset | StreamingDataset):
            self.shape, class_count = sample.input_shape, class_count or len(sample.class_names)
            scale = sample.input_dtype == np.uint8
        else:
            self.shape, scale = tuple(sample), images and len(sample) > 1
        if not self.shape or not all(isinstance(n, int) and n > 0 for n in self.shape):
            raise CourseError(
                f"input_shape is {self.shape!r}; expected the shape of one sample, such as (28, 28)"
            )
        if class_count is None or class_count < 2:
            raise CourseError(f"class_count is {class_count}; expected at least 2")
        self.class_count, self._normalized = class_count, batch_normalization
        self.seeds = itertools.repeat(None) if seed is None else itertools.count(1000 * seed)
        self._penalty = (l1, l2)
        self.layers = [keras.Input(self.shape)]
        if scale if rescale is None else rescale:
            self.layers.append(layers.Rescaling(1 / 255))

    def weights(self) -> dict[str, Any]:
        """Return the arguments of every layer with weights."""
        penalty = keras.regularizers.L1L2(*self._penalty) if any(self._penalty) else None
        start = keras.initializers.GlorotUniform(seed=next(self.seeds))
        return {"kernel_initializer": start, "kernel_regularizer": penalty}

    def add(self, kind: type[keras.Layer], *form: int, activation: str) -> None:
        """Add a layer with weights, and a normalization before its activation where it is asked."""
        if not self._normalized:
            self.layers.append(kind(*form, activation=activation, **self.weights()))
            return
        # The normalization has an offset of its own, so a bias would be one too many.
        axis = 1 if kind is layers.Conv2D and _channels_first() else -1
        self.layers += [
            kind(*form, use_bias=False, **self.weights()),
            layers.BatchNormalization(axis=axis),
            layers.Activation(activation),
        ]

    def drop(self, rate: float) -> None:
        """Add a dropout, if there is to be one."""
        self.layers += [layers.Dropout(rate, seed=next(self.seeds))] if rate else []

    def end(self, name: str) -> keras.Sequential:
        """Return the network, which ends in a probability for each class."""
        output = layers.Dense(self.class_count, activation="softmax", **self.weights())
        return keras.Sequential([*self.layers, output], name=name)

    def see_pixels(self) -> None:
        """Bring an image of a Dataset into the layout of a convolution."""
        shape, first = self.shape, _channels_first()
        if len(shape) == 2:
            self.layers.append(layers.Reshape((1, *shape) if first else (*shape, 1)))
        elif len(shape) != 3:
            raise CourseError(
                f"input_shape is {shape}; a convolution expects images: (height, width) or "
                "(height, width, channels)"
            )
        elif first and shape[-1] in (1, 3) and shape[0] not in (1, 3):
            self.layers.append(layers.Permute((3, 1, 2)))


def _channels_first() -> bool:
    return keras.config.image_data_format() == "channels_first"


def build_mlp(
    input_shape: Sample,
    class_count: int | None = None,
    *,
    rescale: bool | None = None,
    hidden: Sequence[int] = (512,),
    activation: str = "relu",
    dropout: float = 0.0,
    l1: float = 0.0,
    l2: float = 0.0,
    batch_normalization: bool = False,
    seed: int | None = 0,
) -> keras.Sequential:
    """Build a dense network: flatten, hidden layers, softmax.

    The defaults are the course's 784-512-10. ``hidden=(32,), dropout=0.2`` gives 784-32-10 with
    dropout, ``hidden=(64,)`` the networks for Iris (4-64-3) and for the toy data (100-64-10).

    Parameters
    ----------
    input_shape
        A Dataset, or the shape of one sample; images are flattened inside.
    class_count
        Outputs, one probability a class; a Dataset brings it.
    rescale
        Whether the network begins by dividing bytes by 255. By default, where a Dataset holds
        bytes, and where a shape is an image's, of more than one axis.
    hidden
        Units of each hidden layer.
    activation
        Of the hidden layers.
    dropout
        Share of units silenced after each hidden layer during training.
    l1, l2
        Penalty on the absolute and on the squared weights.
    batch_normalization
        Normalize before each activation.
    seed
        Of the weights and the dropout; None for another at every call.

    Raises
    ------
    CourseError
        For a shape or a number of classes that makes no network.
    """
    stack = _Stack(input_shape, class_count, rescale, True, seed, l1, l2, batch_normalization)
    if len(stack.shape) > 1:
        stack.layers.append(layers.Flatten())
    for units in hidden:
        stack.add(layers.Dense, units, activation=activation)
        stack.drop(dropout)
    return stack.end("mlp")


def build_cnn(
    input_shape: Sample,
    class_count: int | None = None,
    *,
    rescale: bool | None = None,
    blocks: Sequence[Sequence[int]] = ((32, 64),),
    dense: int = 128,
    dropout: tuple[float, float] = (0.25, 0.5),
    kernel_size: int = 3,
    activation: str = "relu",
    l1: float = 0.0,
    l2: float = 0.0,
    batch_normalization: bool = False,
    seed: int | None = 0,
) -> keras.Sequential:
    """Build a convolutional network: blocks of convolutions, each ended by a max-pooling.

    The defaults are the course's 32-64-pool-dropout-128-dropout-10.
    ``blocks=((32,), (64,)), dropout=(0, 0)`` gives 32-pool-64-pool-128-10.

    Parameters
    ----------
    input_shape
        A Dataset, or ``(h, w)``, ``(h, w, channels)``, or ``(channels, h, w)`` where Keras is set
        so.
    class_count, rescale
        As in ``build_mlp``.
    blocks
        For each block the filters of its convolutions.
    dense
        Units of the hidden dense layer.
    dropout
        Share of units silenced during training before and after the dense layer.
    kernel_size
        Height and width of each filter.
    activation, l1, l2, batch_normalization, seed
        As in ``build_mlp``.

    Raises
    ------
    CourseError
        If the images have another number of axes, or are too small for the blocks.
    """
    stack = _Stack(input_shape, class_count, rescale, True, seed, l1, l2, batch_normalization)
    stack.see_pixels()
    for block in blocks:
        for filters in block:
            stack.add(layers.Conv2D, filters, kernel_size, activation=activation)
        stack.layers.append(layers.MaxPooling2D(2))
    stack.drop(dropout[0])
    stack.layers.append(layers.Flatten())
    stack.add(layers.Dense, dense, activation=activation)
    stack.drop(dropout[1])
    try:
        return stack.end("cnn")
    except ValueError as error:
        raise CourseError(
            f"Images of shape {stack.shape} are too small for blocks={blocks!r}: every convolution "
            f"takes {kernel_size - 1} pixels off, every block halves the rest"
        ) from error


def build_rnn(
    input_shape: Sample,
    class_count: int | None = None,
    *,
    rescale: bool | None = None,
    cell: str = "lstm",
    units: int = 32,
    activation: str = "tanh",
    bidirectional: bool = False,
    dropout: float = 0.0,
    l1: float = 0.0,
    l2: float = 0.0,
    seed: int | None = 0,
) -> keras.Sequential:
    """Build a recurrent network: one recurrent layer, softmax on its last state.

    The defaults are the course's LSTM(32), for images read row by row; ``activation="relu"`` gives
    its other variant.

    Parameters
    ----------
    input_shape
        A Dataset, or ``(steps, features)``; an image ``(h, w)`` is h steps of w features.
    class_count
        Outputs, one probability a class; a Dataset brings it.
    rescale
        Whether the network begins by dividing bytes by 255. By default where a Dataset holds
        bytes; a shape alone is taken for that of a sequence of other numbers.
    cell
        ``"lstm"``, ``"gru"`` or ``"simple"``.
    units
        Size of the state.
    activation
        Of the state; the gates stay sigmoid.
    bidirectional
        Read the sequence in both directions, with a layer each.
    dropout
        Share of the last state silenced during training.
    l1, l2, seed
        As in ``build_mlp``.

    Raises
    ------
    CourseError
        For an unknown cell, or a shape that is not ``(steps, features)``.
    """
    stack = _Stack(input_shape, class_count, rescale, False, seed, l1, l2)
    if cell not in CELLS:
        raise CourseError(f"cell is {cell!r}; expected {', '.join(CELLS)}.{nearest(cell, CELLS)}")
    if len(stack.shape) != 2:
        raise CourseError(
            f"input_shape is {stack.shape}; a recurrent network expects (steps, features): of a "
            "colour image (h, w, 3), use x.reshape(n, h, w * 3)"
        )
    start = keras.initializers.Orthogonal(seed=next(stack.seeds))
    options = {"activation": activation, "recurrent_initializer": start} | stack.weights()
    recurrent = CELLS[cell](units, **options)
    stack.layers.append(layers.Bidirectional(recurrent) if bidirectional else recurrent)
    stack.drop(dropout)
    return stack.end(cell if cell != "simple" else "simple_rnn")
