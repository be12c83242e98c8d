"""What Keras models are made of, and two things that are lent to their layers for a while."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import keras
import tensorflow as tf


def flat_layers(model: keras.Layer) -> list[keras.Layer]:
    """Return every layer inside a model or a layer, however deep it is nested, each once."""
    return [part for part in _parts(model, set()) if isinstance(part, keras.Layer)]


def seed_generators(module: keras.Layer) -> list[keras.random.SeedGenerator]:
    """Return the random states of a model's or a layer's parts, each once."""
    return [p for p in _parts(module, set()) if isinstance(p, keras.random.SeedGenerator)]


def _parts(whole: keras.Layer, seen: set[int]) -> Iterator[Any]:
    """Yield the layers and random states that a layer holds; Keras's own list is private."""
    kinds = keras.Layer | keras.random.SeedGenerator
    held = list(vars(whole).values())
    if isinstance(whole, keras.Model):  # which holds much else, a Sequential its graph too
        own = [] if isinstance(whole, keras.Sequential) else held
        held = whole.layers + [value for value in own if isinstance(value, kinds | list)]
    for part in keras.tree.flatten(held):
        if isinstance(part, kinds) and id(part) not in seen:
            seen.add(id(part))
            yield part
            if isinstance(part, keras.Layer):
                yield from _parts(part, seen)


def seed_layers(module: Any, seed: int) -> None:
    """Give the random layers of a model or an augmentation states that follow from a seed."""
    generators = seed_generators(module) if isinstance(module, keras.Layer) else []
    for number, generator in enumerate(generators):
        generator.state.assign([(seed * 1_000_003 + number) % 2**32, 0])


def output_layers(model: keras.Model) -> list[Any]:
    """Return what computes each output, a layer or an operation; of a model inside, that model's.

    Empty where it is not known before a call, as in a subclass.
    """
    found: list[Any] = []
    for tensor in keras.tree.flatten(getattr(model, "outputs", None) or []):
        # Keras tells in no public way which layer a tensor comes from; a test holds on to this one.
        layer, _, number = tensor._keras_history
        nested = isinstance(layer, keras.Model)
        found.append(output_layers(layer)[number] if nested else layer)
    return found


def output_activation(model: keras.Model) -> str | None:
    """Return the name of the first output's activation, such as ``"softmax"``.

    ``""`` where it has none, None where that cannot be told.
    """
    layer = next(iter(output_layers(model)), None)
    layer = layer.layer if isinstance(layer, keras.layers.TimeDistributed) else layer
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    if not isinstance(layer, keras.Layer) or not hasattr(layer, "activation"):
        return None
    name = getattr(layer.activation, "__name__", None)
    return "" if name == "linear" or layer.activation is None else name


def loss_name(loss: Any) -> str:
    """Return a loss's name, such as ``"mean_squared_error"``, by its class or function."""
    with suppress(ValueError):
        loss = keras.losses.get(loss) if isinstance(loss, str) else loss
    if isinstance(loss, keras.Loss):
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(loss).__name__).lower()
    return loss if isinstance(loss, str) else getattr(loss, "__name__", "")


@contextmanager
def in_precision(model: keras.Model, precision: str) -> Iterator[None]:
    """Let a model's layers compute in a precision for a while, its outputs in float32."""
    last = {id(layer) for layer in output_layers(model)}
    lowered = [
        (layer, layer.dtype_policy)
        for layer in flat_layers(model)
        if layer.dtype_policy.name == "float32" != precision and id(layer) not in last
    ]
    try:
        for layer, _ in lowered:
            layer.dtype_policy = precision
        yield
    finally:
        for layer, policy in lowered:
            layer.dtype_policy = policy


@contextmanager
def quick_dropout(model: keras.Model, on_gpu: bool) -> Iterator[None]:
    """Let the dropout layers of a model on a CPU draw bytes, in what is traced meanwhile.

    Keras draws a random float for each unit, which costs 3 of the 22 ms of a step of the course's
    CNN.
    """
    quick = [] if on_gpu else [layer for layer in flat_layers(model) if _can_be_quick(layer)]
    for layer in quick:
        layer.call = partial(drop, layer)
    try:
        yield
    finally:
        for layer in quick:
            del layer.call


def drop(layer: keras.layers.Dropout, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
    """Drop the units that random bytes choose, or pairs of bytes where the rate needs it."""
    if not training:
        return inputs
    bits = 8 if (layer.rate * 256).is_integer() else 16
    threshold = round(layer.rate * 2**bits)
    kind = tf.uint8 if bits == 8 else tf.uint16
    seed, count = tf.cast(layer.seed_generator.next(), tf.int32), tf.size(inputs)
    words = tf.random.stateless_uniform([count * bits // 32 + 1], seed, None, None, tf.uint32)
    drawn = tf.reshape(tf.bitcast(words, kind), [-1])[:count]
    kept = tf.reshape(drawn >= tf.constant(threshold, kind), tf.shape(inputs))
    scale = 2**bits / (2**bits - threshold)  # of the rate that is drawn: the mean is exact
    return inputs * (tf.cast(kept, inputs.dtype) * tf.cast(scale, inputs.dtype))


def _can_be_quick(layer: keras.Layer) -> bool:
    if type(layer) is not keras.layers.Dropout or "call" in vars(layer) or layer.noise_shape:
        return False
    # Nearer to 0 or 1, sixteen bits miss the rate by more than a hundredth of it.
    return 0.001 <= layer.rate <= 0.999
