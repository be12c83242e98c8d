"""The networks of the course, each a built Keras model.

They take samples as ``helpers.datasets`` gives them: images ``(h, w)`` or ``(h, w, 3)``, rows
of a table, sequences. Images of bytes are scaled inside, by a ``Rescaling`` layer. With
``keras.config.image_data_format()`` set to ``"channels_first"``, they compute in that layout.

Each is built for a ``Dataset``, ``build_cnn(data)``, or for a shape and a number of classes,
``build_cnn((28, 28), 10)``.
"""

from collections.abc import Sequence
from itertools import count
from typing import Any

import keras
import numpy as np
from keras import layers

from helpers import hardware
from helpers.datasets import Dataset, StreamingDataset
from helpers.errors import CourseError, nearest

hardware.prepare()

CELLS = {"lstm": layers.LSTM, "gru": layers.GRU, "simple": layers.SimpleRNN}


class _Maker:
    """Make layers that share one regularization, each with a seed of its own."""

    def __init__(self, seed: int | None, l1: float, l2: float) -> None:
        self._seeds = None if seed is None else count(1000 * seed)
        self._penalty = {"l1": l1, "l2": l2} if l1 or l2 else None

    def seed(self) -> int | None:
        return None if self._seeds is None else next(self._seeds)

    def weights(self) -> dict[str, Any]:
        """Return the arguments of every layer with weights."""
        penalty = None if self._penalty is None else keras.regularizers.L1L2(**self._penalty)
        start = keras.initializers.GlorotUniform(seed=self.seed())
        return {"kernel_initializer": start, "kernel_regularizer": penalty}

    def dropout(self, rate: float) -> list[keras.Layer]:
        return [layers.Dropout(rate, seed=self.seed())] if rate else []

    def dense(self, units: int, activation: str, batch_normalization: bool) -> list[keras.Layer]:
        return _activated(layers.Dense, (units,), activation, batch_normalization, self.weights())

    def convolution(
        self, filters: int, kernel_size: int, activation: str, batch_normalization: bool
    ) -> list[keras.Layer]:
        shape = (filters, kernel_size)
        return _activated(layers.Conv2D, shape, activation, batch_normalization, self.weights())

    def output(self, class_count: int) -> keras.Layer:
        return layers.Dense(class_count, activation="softmax", **self.weights())


def _activated(
    kind: type[keras.Layer],
    shape: tuple[int, ...],
    activation: str,
    batch_normalization: bool,
    weights: dict[str, Any],
) -> list[keras.Layer]:
    if not batch_normalization:
        return [kind(*shape, activation=activation, **weights)]
    # The normalization has an offset of its own, so a bias would be one too many.
    axis = 1 if kind is layers.Conv2D and _channels_first() else -1
    return [
        kind(*shape, use_bias=False, **weights),
        layers.BatchNormalization(axis=axis),
        layers.Activation(activation),
    ]


def _channels_first() -> bool:
    return keras.config.image_data_format() == "channels_first"


def _pixels(input_shape: tuple[int, ...]) -> list[keras.Layer]:
    """Return the layers that bring an image of a Dataset into the layout of a convolution."""
    if len(input_shape) == 2:
        shape = (1, *input_shape) if _channels_first() else (*input_shape, 1)
        return [layers.Reshape(shape)]
    if len(input_shape) != 3:
        raise CourseError(
            f"input_shape is {tuple(input_shape)}; a convolution expects images: (height, width) "
            "or (height, width, channels)"
        )
    if _channels_first() and input_shape[-1] in (1, 3) and input_shape[0] not in (1, 3):
        return [layers.Permute((3, 1, 2))]
    return []


Sample = Dataset | StreamingDataset | Sequence[int]


def _begin(
    sample: Sample, class_count: int | None, rescale: bool | None, *, images: bool
) -> tuple[tuple[int, ...], int, list[keras.Layer]]:
    """Return the shape of a sample, the number of classes, and the layers that come first."""
    if isinstance(sample, Dataset | StreamingDataset):
        shape, class_count = sample.input_shape, class_count or len(sample.class_names)
        bytes_ = sample.input_dtype == np.uint8
    else:
        shape, bytes_ = tuple(sample), images and len(sample) > 1
    if not shape or not all(isinstance(n, int) and n > 0 for n in shape):
        raise CourseError(
            f"input_shape is {shape!r}; expected the shape of one sample, such as (28, 28)"
        )
    if class_count is None or class_count < 2:
        raise CourseError(f"class_count is {class_count}; expected at least 2")
    scale = bytes_ if rescale is None else rescale
    return shape, class_count, [keras.Input(shape), *([layers.Rescaling(1 / 255)] if scale else [])]


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
    shape, class_count, stack = _begin(input_shape, class_count, rescale, images=True)
    make = _Maker(seed, l1, l2)
    if len(shape) > 1:
        stack.append(layers.Flatten())
    for units in hidden:
        stack += make.dense(units, activation, batch_normalization) + make.dropout(dropout)
    return keras.Sequential([*stack, make.output(class_count)], name="mlp")


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
    shape, class_count, stack = _begin(input_shape, class_count, rescale, images=True)
    make = _Maker(seed, l1, l2)
    stack += _pixels(shape)
    for block in blocks:
        for filters in block:
            stack += make.convolution(filters, kernel_size, activation, batch_normalization)
        stack.append(layers.MaxPooling2D(2))
    stack += [*make.dropout(dropout[0]), layers.Flatten()]
    stack += [*make.dense(dense, activation, batch_normalization), *make.dropout(dropout[1])]
    try:
        return keras.Sequential([*stack, make.output(class_count)], name="cnn")
    except ValueError as error:
        raise CourseError(
            f"Images of shape {shape} are too small for blocks={blocks!r}: every convolution takes "
            f"{kernel_size - 1} pixels off, every block halves the rest ({_first_line(error)})"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


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
    shape, class_count, stack = _begin(input_shape, class_count, rescale, images=False)
    make = _Maker(seed, l1, l2)
    if cell not in CELLS:
        raise CourseError(f"cell is {cell!r}; expected {', '.join(CELLS)}.{nearest(cell, CELLS)}")
    if len(shape) != 2:
        raise CourseError(
            f"input_shape is {shape}; a recurrent network expects (steps, features): of a colour "
            "image (h, w, 3), use x.reshape(n, h, w * 3)"
        )
    recurrent = CELLS[cell](
        units,
        activation=activation,
        recurrent_initializer=keras.initializers.Orthogonal(seed=make.seed()),
        **make.weights(),
    )
    reader = layers.Bidirectional(recurrent) if bidirectional else recurrent
    stack += [reader, *make.dropout(dropout), make.output(class_count)]
    return keras.Sequential(stack, name=cell if cell != "simple" else "simple_rnn")


def build_photo_classifier(
    input_shape: Sample = (224, 224, 3),
    class_count: int | None = 10,
    *,
    rescale: bool | None = None,
    seed: int | None = 0,
) -> keras.Model:
    """Build the course's photo classifier with the functional API.

    One convolution of 32 filters, one pooling, softmax: 3.9 million weights at 224×224, nearly all
    of them in the last layer.

    Parameters
    ----------
    input_shape, class_count, rescale, seed
        As in ``build_cnn``.
    """
    shape, class_count, (inputs, *first) = _begin(input_shape, class_count, rescale, images=True)
    make, x = _Maker(seed, 0.0, 0.0), inputs
    for layer in [*first, *_pixels(shape)]:
        x = layer(x)
    x = layers.Conv2D(32, 3, activation="relu", **make.weights())(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    return keras.Model(inputs, make.output(class_count)(x), name="photo_classifier")
