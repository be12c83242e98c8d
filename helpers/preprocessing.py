"""Make data fit for learning: scale, standardise, encode, augment.

What is learned from data (a minimum, an alphabet) is learned from the training set alone and
applied to all parts: a test set that has shaped its own preprocessing is no test.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.datasets import Dataset
from helpers.errors import DatasetError

if TYPE_CHECKING:
    import keras


BLOCK = 32 << 20  # bytes of float64: copies are made of a block at a time, never of a whole set


def count_not_finite(array: np.ndarray) -> int:
    """Return how many samples of an array hold NaN or infinity."""
    if array.dtype.kind != "f":
        return 0
    return int((~np.isfinite(array).reshape(len(array), -1).all(axis=1)).sum())


def scale(data: Dataset) -> Dataset:
    """Bring features to [0, 1], as float32.

    Bytes are divided by 255. Other images are scaled by the smallest and largest value of the
    training set, tables by those of each column; a test value may then lie a little outside.

    Raises
    ------
    DatasetError
        If the set holds texts.
    """
    if data.x_train.dtype == np.uint8:
        return data.convert(lambda x: np.divide(x, 255, dtype=np.float32))
    from sklearn.preprocessing import MinMaxScaler

    return _convert(data, MinMaxScaler(), None if data.kind == "images" else -1)


def standardize(data: Dataset) -> Dataset:
    """Bring features to mean 0 and standard deviation 1 in the training set, as float32.

    Images keep the contrast between their pixels: they share one mean and one standard deviation
    (colour images: one for each channel). In tables every column has its own, in sequences every
    feature, at all steps together.

    Raises
    ------
    DatasetError
        If the set holds texts.
    """
    from sklearn.preprocessing import StandardScaler

    axis: int | None = -1
    if data.kind == "images" and len(data.input_shape) == 2:
        axis = None
    elif data.kind == "images" and data.input_shape[-1] not in {1, 3, 4}:
        axis = 1  # channels that come first
    return _convert(data, StandardScaler(), axis)


def _convert(data: Dataset, scaler: Any, axis: int | None) -> Dataset:
    """Fit one of scikit-learn's scalers to the training set, and apply it to every part.

    Parameters
    ----------
    axis
        The axis of ``x`` whose places are scaled apart; ``None``: all values are scaled alike.
    """
    if data.kind == "text":
        raise DatasetError(f"{data.name} holds texts; expected images or a table")

    def blocks(x: np.ndarray) -> Iterator[np.ndarray]:
        x = x[..., None] if axis is None else np.moveaxis(x, axis, -1)
        yield from np.array_split(x, max(1, 8 * x.size // BLOCK))

    for block in blocks(data.x_train):
        scaler.partial_fit(block.reshape(-1, block.shape[-1]))

    def transform(x: np.ndarray) -> np.ndarray:
        result = np.empty(x.shape, np.float32)
        for block, place in zip(blocks(x), blocks(result), strict=True):
            rows = scaler.transform(block.reshape(-1, block.shape[-1]))
            place[...] = rows.reshape(block.shape)
        return result

    return data.convert(transform)


def augmentation(
    *,
    rotation: float = 20,
    shift: float = 0.2,
    shear: float = 0.2,
    zoom: float = 0.2,
    horizontal_flip: bool = True,
    seed: int = 0,
) -> "keras.Sequential":
    """Build the classic augmentation of photos as Keras layers.

    What comes in at the border is filled with the nearest pixel. The defaults are the numbers that
    Keras's former ``ImageDataGenerator`` made famous.

    Parameters
    ----------
    rotation
        Up to this many degrees, either way.
    shift, zoom
        Up to this share of the height and width, either way.
    shear
        Up to this share of the height, either way. (The former class took the number as degrees,
        by which 0.2 hardly changes a pixel.)
    horizontal_flip
        Leave it out where a mirror image means something else, as with digits and letters.
    seed
        Same seed, same sequence of changes.

    Returns
    -------
    keras.Sequential
        Changes images ``(n, h, w, channels)`` when called with ``training=True``, and passes them
        on unchanged otherwise.
    """
    import keras

    layers = keras.layers
    border = {"fill_mode": "nearest"}
    return keras.Sequential(
        [
            *([layers.RandomFlip("horizontal", seed=seed)] if horizontal_flip else []),
            layers.RandomRotation(rotation / 360, seed=seed + 1, **border),
            layers.RandomTranslation(shift, shift, seed=seed + 2, **border),
            layers.RandomShear(shear, 0.0, seed=seed + 3, **border),
            layers.RandomZoom(zoom, zoom, seed=seed + 4, **border),
        ],
        name="augmentation",
    )
