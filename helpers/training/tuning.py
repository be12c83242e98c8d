"""A built model, made quick for the time of its training and given back as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from helpers.hardware import Plan, flat_layers


@contextmanager
def tuned(model: keras.Model, plan: Plan) -> Iterator[None]:
    """Let a model's layers compute in the plan's precision, its outputs in float32.

    On the CPU its dropout layers also draw their units from random bytes: TensorFlow's own takes a
    random float for each, which costs 3 of the 22 ms of a step of the course's CNN.
    """
    policies = [(layer, layer.dtype_policy) for layer in flat_layers(model)]
    dropouts = [] if plan.on_gpu else [x for x in flat_layers(model) if _is_plain_dropout(x)]
    last = {id(tensor._keras_history.operation) for tensor in keras.tree.flatten(model.outputs)}
    try:
        for layer, policy in policies:
            if policy.name == "float32" and id(layer) not in last:
                layer.dtype_policy = plan.precision
        for layer in dropouts:
            layer.call = _byte_dropout(layer)
        yield
    finally:
        for layer, policy in policies:
            layer.dtype_policy = policy
        for layer in dropouts:
            del layer.call


def _is_plain_dropout(layer: keras.Layer) -> bool:
    return type(layer) is keras.layers.Dropout and layer.noise_shape is None and layer.rate > 0


def _byte_dropout(layer: keras.layers.Dropout) -> Any:
    threshold = min(max(round(layer.rate * 256), 1), 255)
    scale = 256 / (256 - threshold)  # of the rate that 1/256 steps can give, so the mean is exact

    def call(inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not training:
            return inputs
        seed = tf.cast(layer.seed_generator.next(), tf.int32)
        count = tf.size(inputs)
        words = tf.random.stateless_uniform([(count + 3) // 4], seed, None, None, tf.uint32)
        bytes_ = tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:count]
        kept = tf.reshape(bytes_ >= tf.constant(threshold, tf.uint8), tf.shape(inputs))
        return inputs * (tf.cast(kept, inputs.dtype) * tf.cast(scale, inputs.dtype))

    return call


def seed_generators(module: Any, seed: int) -> None:
    """Give every random layer of a model or of an augmentation a state that follows from a seed."""
    layers = [module, *flat_layers(module)] if isinstance(module, keras.Layer) else []
    generators = [g for layer in layers for g in getattr(layer, "_seed_generators", [])]
    for number, generator in enumerate(generators):
        generator.state.assign([(seed * 1_000_003 + number) % 2**32, 0])
