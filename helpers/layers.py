"""What Keras models are made of: layers, random states, outputs, losses."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import keras


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
