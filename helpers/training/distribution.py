"""Several devices, or several machines, as one."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

from helpers import hardware
from helpers.hardware import Plan


def make_strategy(plan: Plan) -> tf.distribute.Strategy:
    """Return TensorFlow's strategy for a plan; for one device the default one."""
    if plan.distribution == "multi_worker":
        return hardware.multi_worker_strategy()
    if plan.distribution == "mirrored":
        return tf.distribute.MirroredStrategy(list(plan.devices))
    return tf.distribute.get_strategy()


@contextmanager
def replicated(model: keras.Model, strategy: tf.distribute.Strategy) -> Iterator[keras.Model]:
    """Lend a copy of the model whose weights lie on every device, and bring the weights back.

    One device needs no copy: the model itself is lent.
    """
    several = tf.distribute.MirroredStrategy | tf.distribute.MultiWorkerMirroredStrategy
    if not isinstance(strategy, several):
        yield model
        return
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    try:
        yield copy
    finally:
        model.set_weights(copy.get_weights())


def is_chief() -> bool:
    """Tell whether this process writes what all workers share: it is the first, or the only one."""
    resolver = tf.distribute.get_strategy().cluster_resolver
    if resolver is None or resolver.task_type is None:
        return True
    return resolver.task_type == "chief" or (
        resolver.task_id == 0 and "chief" not in resolver.cluster_spec().jobs
    )
