"""Files of weights in the layout of those that Keras publishes, made of random numbers."""

from pathlib import Path

import h5py
import keras
import numpy as np

SHORT = {"kernel": "W", "bias": "b"}


def write_weights(path: Path, model: keras.Model, seed: int = 0) -> Path:
    """Write random weights of a network's shapes: a group a layer, named by attributes.

    Kernels are drawn by He et al. (2015), so that signals keep their size through the layers.
    """
    rng = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = file.create_group(layer.name)
            variables = [*layer.trainable_weights, *layer.non_trainable_weights]
            names = [f"{layer.name}_{SHORT.get(v.name, v.name)}_1:0" for v in variables]
            for name, variable in zip(names, variables, strict=True):
                group[name] = _values(rng, variable)
            group.attrs["weight_names"] = [name.encode() for name in names]
    return path


def _values(rng: np.random.Generator, variable: keras.Variable) -> np.ndarray:
    if len(variable.shape) == 1:  # biases, and what normalizations hold: scales and variances of 1
        own = variable.numpy()
        return own + 0.01 * rng.random(own.shape, np.float32)
    scale = np.sqrt(2 / np.prod(variable.shape[:-1]))
    return rng.standard_normal(variable.shape, np.float32) * np.float32(scale)
