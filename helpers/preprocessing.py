"""Make data fit for learning: scale, standardise, encode, augment.

What is learned from data (a minimum, an alphabet) is learned from the training set alone and
applied to all parts: a test set that has shaped its own preprocessing is no test.
"""

import io
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.datasets import Dataset
from helpers.errors import DatasetError

if TYPE_CHECKING:
    import keras


BLOCK = 32 << 20  # bytes of float64: copies are made of a block at a time, never of a whole set


def blocks(x: np.ndarray) -> Iterator[np.ndarray]:
    """Yield consecutive samples in views that take up to 32 MB as float64."""
    rows = max(1, BLOCK // (8 * max(1, math.prod(x.shape[1:]))))
    for start in range(0, len(x), rows):
        yield x[start : start + rows]


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and standard deviation of each feature, in one pass without a float copy.

    Parameters
    ----------
    x : ndarray of numbers, shape (n, ...)

    Returns
    -------
    mean, std : ndarray of float64, shape (...)
        The population standard deviation (divided by n). Each block of samples is centred by the
        mean of the first, so that large offsets cost no precision.
    """
    offset = next(blocks(x)).mean(axis=0, dtype=np.float64)
    total, squares = np.zeros(x.shape[1:]), np.zeros(x.shape[1:])
    for block in blocks(x):
        centred = block - offset
        total += centred.sum(axis=0)
        squares += np.einsum("i...,i...->...", centred, centred)
    shift = total / len(x)
    return offset + shift, np.sqrt(np.maximum(squares / len(x) - shift**2, 0))


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
    if data.kind == "images":
        # As Python's floats: the spread of a type's whole range does not fit into that type.
        low, high = float(data.x_train.min()), float(data.x_train.max())
        spread = (high - low) or 1.0
        return data.convert(lambda x: ((x - low) / spread).astype(np.float32))
    from sklearn.preprocessing import MinMaxScaler

    return _convert_rows(data, MinMaxScaler())


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
    if data.kind != "images":
        from sklearn.preprocessing import StandardScaler

        return _convert_rows(data, StandardScaler())
    pixel_mean, pixel_std = moments(data.x_train)
    channels = {1, 3, 4}
    first = len(pixel_mean.shape) == 3 and pixel_mean.shape[-1] not in channels
    axes = (1, 2) if first else (0, 1)  # height and width; a third axis, the channels, stays apart
    mean = pixel_mean.mean(axis=axes, keepdims=True)
    # Law of total variance: the mean of the pixels' variances plus the variance of their means.
    std = np.sqrt(
        (pixel_std**2).mean(axis=axes, keepdims=True) + pixel_mean.var(axis=axes, keepdims=True)
    )
    std = np.where(std > 0, std, 1)  # a constant channel becomes 0

    def transform(x: np.ndarray) -> np.ndarray:
        result = np.multiply(x, (1 / std).astype(np.float32), dtype=np.float32)
        result -= (mean / std).astype(np.float32)
        return result

    return data.convert(transform)


def _convert_rows(data: Dataset, scaler: Any) -> Dataset:
    if data.kind == "text":
        raise DatasetError(f"{data.name} holds texts; expected images or a table")
    scaler.fit(data.x_train.reshape(-1, data.input_shape[-1]))  # the steps of a sequence are rows

    def transform(x: np.ndarray) -> np.ndarray:
        return scaler.transform(x.reshape(-1, x.shape[-1])).astype(np.float32).reshape(x.shape)

    return data.convert(transform)


def encode_letters(data: Dataset, length: int = 20) -> Dataset:
    """Encode short texts letter by letter: a sequence of one-hot rows, float32.

    Capitals become small. The alphabet is that of the training set; other characters become rows of
    zeros, as do the places before a text that is shorter than ``length``. Of a longer one
    the end is kept. ``feature_names`` is the alphabet.

    Returns
    -------
    Dataset
        With ``x_train`` and ``x_test`` of shape (n, length, letters).

    Raises
    ------
    DatasetError
        If the set holds no texts, or ``length`` is not positive.
    """
    if data.kind != "text" or length < 1:
        raise DatasetError(
            f"encode_letters received {data.kind} and length={length}; expected texts, and a "
            "length of at least 1"
        )
    alphabet = sorted(set("".join(data.x_train).lower()))
    number = {letter: i for i, letter in enumerate(alphabet)}

    def encode(texts: np.ndarray) -> np.ndarray:
        x = np.zeros((len(texts), length, len(alphabet)), np.float32)
        for row, text in zip(x, map(str.lower, texts), strict=True):
            for place, letter in enumerate(text[-length:], start=max(0, length - len(text))):
                if letter in number:
                    row[place, number[letter]] = 1
        return x

    return data.convert(encode).replace(feature_names=tuple(alphabet))


def encode_image(image: np.ndarray, image_format: str = "png", quality: int = 75) -> bytes:
    """Compress one uint8 image ``(h, w)`` or ``(h, w, 3)``.

    Parameters
    ----------
    image
        The pixels.
    image_format
        ``"png"`` (exact) or ``"jpeg"`` (smaller, with an error).
    quality
        1 … 95, for JPEG only.
    """
    from PIL import Image

    if image_format not in {"png", "jpeg"}:
        raise DatasetError(f"image_format={image_format!r}; expected 'png' or 'jpeg'")
    options: dict[str, Any] = {"quality": quality} if image_format == "jpeg" else {"optimize": True}
    buffer = io.BytesIO()
    grey = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    Image.fromarray(grey).save(buffer, image_format, **options)
    return buffer.getvalue()


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
