"""Parts and copies of ImageNet networks: their preprocessing, blocks, features, precision."""

import sys
from collections.abc import Callable

import keras
import numpy as np

PASSIVE = ("Input", "Padding", "Pooling", "Cropping", "Dropout", "Rescaling", "Normalization")


def preprocessing_model(
    builder: Callable[..., keras.Model], image_size: tuple[int, int]
) -> keras.Model:
    """Return the ``preprocess_input`` beside a builder as layers that a network can begin with.

    All of them multiply and shift each channel, and some put blue first; which, is read off from
    what the function does to black and to pure red.
    """
    function = sys.modules[builder.__module__].preprocess_input
    black, red, white = (
        function(np.array(colour, np.float32).reshape(1, 1, 1, 3)).ravel()
        for colour in ((0, 0, 0), (1, 0, 0), (1, 1, 1))
    )
    inputs = keras.Input((*image_size, 3), name="photo")
    pixels = inputs if red[0] != black[0] else keras.ops.flip(inputs, axis=-1)
    rescaling = keras.layers.Rescaling((white - black).tolist(), black.tolist())
    return keras.Model(inputs, rescaling(pixels), name="preprocessing")


def last_layer(model: keras.Model) -> keras.Layer:
    """Return a network's last layer with weights."""
    return next(layer for layer in reversed(model.layers) if layer.weights)


def block_layers(model: keras.Model) -> dict[str, keras.Layer]:
    """Return the last layer of each block, a block being what computes at one resolution.

    Returns
    -------
    dict
        ``"block 1"``, … to layers with outputs ``(n, h, w, channels)``, from large to small. VGG16
        has five.
    """
    last: dict[int, keras.Layer] = {}
    for layer in model.layers:
        kind, shape = type(layer).__name__, getattr(layer.output, "shape", ())
        computes = kind == "BatchNormalization" or not any(name in kind for name in PASSIVE)
        if len(shape) == 4 and shape[1] > 1 and computes:
            last[shape[1]] = layer
    # Zeros that a padding adds make a resolution of their own, which has no layer that computes.
    return {f"block {number}": layer for number, layer in enumerate(last.values(), 1)}


def copy_in_precision(model: keras.Model, precision: str) -> keras.Model:
    """Copy a network so that it computes in ``precision``, its output in float32.

    Unlike in training, weights of convolutions and dense layers are stored in it as well: to
    convert VGG16's 138 million on every call takes as long as a third of one photo.
    """
    if precision == "float32":
        return model
    exact = {last_layer(model).name, *(x.name for x in model.layers if x.output in model.outputs)}

    def converted(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        if layer.name not in exact:
            stored = hasattr(layer, "kernel")
            config["dtype"] = precision.removeprefix("mixed_") if stored else precision
        config |= {key: "zeros" for key in config if key.endswith("kernel_initializer")}
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, clone_function=converted)
    copy.set_weights(model.get_weights())
    return copy
