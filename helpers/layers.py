"""What a Keras model is made of: its layers, its random states, the activation of its outputs."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def flat_layers(model: "keras.Layer") -> "list[keras.Layer]":
    """Return every layer inside a model or a layer, however deep it is nested, each once."""
    import keras

    return [part for part in _parts(model, set()) if isinstance(part, keras.Layer)]


def seed_generators(module: "keras.Layer") -> "list[keras.random.SeedGenerator]":
    """Return the random states of a model's or a layer's parts, each once."""
    import keras

    return [p for p in _parts(module, set()) if isinstance(p, keras.random.SeedGenerator)]


def _parts(whole: Any, seen: set[int]) -> Iterator[Any]:
    """Yield the layers and random states that an object holds; Keras's own list is private."""
    import keras

    held = whole.layers if isinstance(whole, keras.Model) else list(vars(whole).values())
    for part in keras.tree.flatten(held):
        if isinstance(part, keras.Layer | keras.random.SeedGenerator) and id(part) not in seen:
            seen.add(id(part))
            yield part
            yield from _parts(part, seen)


def as_functional(model: "keras.Model") -> "keras.Model":
    """Return a functional model of the same layers, not compiled, from and to the same tensors."""
    import keras

    if isinstance(model, keras.Sequential):
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    return keras.Model(model.input, model.output, name=model.name)


def output_layers(model: "keras.Model") -> "list[keras.Layer]":
    """Return the layer that computes each output; where a model inside does, that model's."""
    import keras

    found: list[keras.Layer] = []
    for tensor in keras.tree.flatten(model.outputs):
        # Keras tells in no public way which layer a tensor comes from; a test holds on to this one.
        layer = tensor._keras_history.operation
        found += output_layers(layer)[:1] if isinstance(layer, keras.Model) else [layer]
    return found


def output_activation(model: "keras.Model") -> str:
    """Return the name of the first output's activation, such as ``"softmax"``; "" for none."""
    import keras

    layer = output_layers(model)[0]
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    if isinstance(layer, keras.layers.TimeDistributed):
        layer = layer.layer
    name = getattr(getattr(layer, "activation", None), "__name__", "")
    return "" if name == "linear" else name
