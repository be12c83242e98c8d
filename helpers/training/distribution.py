"""Several devices, or several machines, as one: each computes its own rows of every batch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from helpers import hardware
from helpers.hardware import Plan
from helpers.layers import as_functional


@contextmanager
def on_devices(model: keras.Model, plan: Plan, metrics: Any) -> Iterator[keras.Model]:
    """Lend the model that computes on a plan's devices: the model itself where there is one.

    For several it is a copy with its weights on each of them, and with batch statistics of the
    whole batch. In the end the model gets the weights, and is compiled like the copy.
    """
    strategy = hardware.strategy(plan)
    if strategy.num_replicas_in_sync == 1:
        yield model
        return
    with strategy.scope():
        made = {"clone_function": _synchronized, "recursive": True}
        copy = keras.models.clone_model(as_functional(model), **made)
        copy.set_weights(model.get_weights())
    try:
        with strategy.scope():
            yield copy
    finally:
        model.set_weights(copy.get_weights())
        if copy.compiled and copy.optimizer.built:  # else it did not get as far
            optimizer = type(copy.optimizer).from_config(copy.optimizer.get_config())
            optimizer.build(model.trainable_variables)
            for own, other in zip(optimizer.variables, copy.optimizer.variables, strict=True):
                own.assign(keras.ops.convert_to_numpy(other))
            model.compile(optimizer, loss=copy.loss, metrics=metrics)


def fresh(metrics: Any) -> Any:
    """Copy metric objects, whose variables lie where they were made; names stay names."""
    return keras.tree.map_structure(
        lambda m: type(m).from_config(m.get_config()) if isinstance(m, keras.Metric) else m, metrics
    )


def _synchronized(layer: keras.Layer) -> keras.Layer:
    config = layer.get_config()
    if isinstance(layer, keras.layers.BatchNormalization):
        config["synchronized"] = True
    return type(layer).from_config(config)


def on_replicas(step: Callable[..., tf.Tensor]) -> Callable[[Any], tf.Tensor]:
    """Let every replica take a step with its own rows of a batch; return the batch's loss.

    The step gets the rows and their share: how many they are, divided by the replicas' mean. A
    batch with fewer rows than replicas is computed by all of them, and counted by the first.
    """
    strategy = tf.distribute.get_strategy()
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return step

    def on_own_rows(batch: Any) -> tf.Tensor:
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        count = count_rows(batch)
        few = count < replicas
        first = tf.where(few, 0, count * number // replicas)
        last = tf.where(few, count, count * (number + 1) // replicas)
        counted = tf.where(few, tf.where(number == 0, count, 0), last - first)
        share = tf.cast(counted * replicas, tf.float32) / tf.cast(count, tf.float32)
        own = keras.tree.map_structure(lambda a: a[first:last], batch)
        return step(own, share)

    def on_all(batch: Any) -> tf.Tensor:
        losses = strategy.run(on_own_rows, args=(batch,))
        return strategy.reduce("SUM", losses, axis=None)

    return on_all


def of_share(loss: tf.Tensor, share: tf.Tensor | None) -> tf.Tensor:
    """Weigh a replica's loss by the share of its rows; the sum over replicas is the batch's."""
    return loss if share is None else loss * share


def where_counted(share: tf.Tensor | None, function: Callable[[], None]) -> None:
    """Call a function, on a replica only where its rows are counted."""
    if share is None:
        function()
    else:
        tf.cond(share > 0, lambda: [function(), True][1], lambda: False)


def count_rows(batch: Any) -> tf.Tensor:
    """Return the number of samples in a batch, a scalar int32 tensor."""
    return tf.shape(keras.tree.flatten(batch)[0])[0]
