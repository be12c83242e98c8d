"""What Keras models and objectives are made of: layers, random states, outputs, descriptions."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

# Names that Keras counts up anew in every process, and what only repeats the layers.
IGNORED = {"name", "inbound_nodes", "input_layers", "output_layers", "layers", "build_config"}


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


def seed_layers(module: Any, seed: int) -> None:
    """Give the random layers of a model or an augmentation states that follow from a seed."""
    import keras

    generators = seed_generators(module) if isinstance(module, keras.Layer) else []
    for number, generator in enumerate(generators):
        generator.state.assign([(seed * 1_000_003 + number) % 2**32, 0])


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
        layer, _, number = tensor._keras_history
        nested = isinstance(layer, keras.Model)
        found.append(output_layers(layer)[number] if nested else layer)
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


def variables_by_path(**owners: Any) -> dict[str, Any]:
    """Return every variable of models, optimizers, metrics … once, under a path without counters.

    Keras counts the names of layers up in a process (``dense_3``); here equal ones are numbered.
    """
    import keras

    found: dict[str, Any] = {}
    for owner, things in owners.items():
        for variable in (
            v for t in keras.tree.flatten(things) for v in getattr(t, "variables", ())
        ):
            if any(variable is other for other in found.values()):
                continue
            path = re.sub(r"_\d+(?=[/_]|$)", "", f"{owner}/{variable.path}")
            equal = sum(name == path or name.startswith(f"{path} ") for name in found)
            found[f"{path} {equal + 1}" if equal else path] = variable
    return found


@contextmanager
def in_precision(model: "keras.Model", precision: str) -> Iterator[None]:
    """Let a model's layers compute in a precision for a while, its outputs in float32."""
    policies = [(layer, layer.dtype_policy) for layer in flat_layers(model)]
    last = {id(layer) for layer in output_layers(model)}
    try:
        for layer, policy in policies:
            if policy.name == "float32" and id(layer) not in last:
                layer.dtype_policy = precision
        yield
    finally:
        for layer, policy in policies:
            layer.dtype_policy = policy


def describe(thing: Any) -> Any:
    """Return what tells data, a loss, an augmentation … from another, in every process."""
    import keras
    import numpy as np
    import tensorflow as tf

    if isinstance(thing, dict):
        return {str(key): describe(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [describe(value) for value in thing]
    if isinstance(thing, np.ndarray):
        about = f"{thing.dtype}{thing.shape} ".encode()
        return _digest(about, np.ascontiguousarray(thing).view(np.uint8).data)
    if isinstance(thing, tf.data.Dataset):
        return str(thing.element_spec)
    if isinstance(thing, keras.Model):
        layers = [
            [type(x).__name__, plain(x.get_config()), [v.shape for v in x.variables]]
            for x in flat_layers(thing)
        ]
        return _digest(json.dumps(layers, default=name_of).encode())
    if callable(thing) or hasattr(thing, "get_config"):
        config = thing.get_config() if hasattr(thing, "get_config") else {}
        return {"class": name_of(thing)} | plain(config)
    return thing


def _digest(*content: Any) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for part in content:
        digest.update(part)
    return digest.hexdigest()


def plain(config: Any) -> Any:
    """Return a configuration without names that Keras counts, and without what repeats layers."""
    if isinstance(config, dict):
        return {k: plain(v) for k, v in config.items() if k not in IGNORED}
    return [plain(v) for v in config] if isinstance(config, list | tuple) else config


def name_of(thing: Any) -> str:
    """Return a function's or a class's name: no address, no counter."""
    return getattr(thing, "__qualname__", type(thing).__name__)
