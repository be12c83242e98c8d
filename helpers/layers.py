"""What Keras models are made of: layers, random states, outputs, variables."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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

    held: list[Any] = list(vars(whole).values())
    if isinstance(whole, keras.Model):  # which holds much else
        kinds = keras.Layer | keras.random.SeedGenerator | list
        own = [] if isinstance(whole, keras.Sequential) else held  # which holds its graph, too
        held = whole.layers + [v for v in own if isinstance(v, kinds)]
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


def output_layers(model: "keras.Model") -> "list[Any]":
    """Return what computes each output, a layer or an operation; of a model inside, that model's.

    Empty where it is not known before a call, as in a subclass.
    """
    import keras

    found: list[Any] = []
    for tensor in keras.tree.flatten(getattr(model, "outputs", None) or []):
        # Keras tells in no public way which layer a tensor comes from; a test holds on to this one.
        layer, _, number = tensor._keras_history
        nested = isinstance(layer, keras.Model)
        found.append(output_layers(layer)[number] if nested else layer)
    return found


def output_activation(model: "keras.Model") -> str | None:
    """Return the name of the first output's activation, such as ``"softmax"``.

    ``""`` where it has none, None where that cannot be told.
    """
    import keras

    layer = next(iter(output_layers(model)), None)
    if isinstance(layer, keras.layers.TimeDistributed):
        layer = layer.layer
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    if not isinstance(layer, keras.Layer) or not hasattr(layer, "activation"):
        return None
    name = getattr(layer.activation, "__name__", None)
    return "" if name == "linear" or layer.activation is None else name


def loss_name(loss: Any) -> str:
    """Return a loss's name, such as ``"mean_squared_error"``, by its class or function."""
    import keras

    with suppress(ValueError):
        loss = keras.losses.get(loss) if isinstance(loss, str) else loss
    if isinstance(loss, keras.Loss):
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(loss).__name__).lower()
    return loss if isinstance(loss, str) else getattr(loss, "__name__", "")


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
    if precision == "float32":
        yield
        return
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
