"""Folders of class folders of images: loaded into arrays, or streamed in constant memory."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.datasets import images
from helpers.datasets.dataset import Dataset, say
from helpers.datasets.folders import in_order, list_folder, read_files
from helpers.errors import DatasetError

Decode = Callable[[Path], np.ndarray]


@dataclass(frozen=True, eq=False, repr=False)
class StreamingDataset:
    """A folder of images that is read anew for every pass, in constant memory.

    Attributes
    ----------
    train, test : tf.data.Dataset
        Batches ``(images uint8, labels int64)`` in an order shuffled once by the seed.
    n_train, n_test, n_validation : int
        Number of images in each.
    input_shape : tuple of int
        (height, width) or (height, width, 3).
    skipped : list of str
        Broken files that were left out so far, under ``on_error="skip"``.
    validation : tf.data.Dataset, optional
        Batches to choose by; ``train`` validates on them.
    name, class_names, source
        As in ``Dataset``.
    """

    name: str
    train: Any
    test: Any
    n_train: int
    n_test: int
    input_shape: tuple[int, ...]
    class_names: tuple[str, ...]
    source: str
    skipped: list[str]
    validation: Any = None
    n_validation: int = 0

    @property
    def class_count(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def input_dtype(self) -> np.dtype:
        """The type of its numbers, bytes (uint8)."""
        return np.dtype(np.uint8)

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.input_shape))
        return (
            f"StreamingDataset {self.name}: {self.n_train:,} train + {self.n_test:,} test, "
            f"{shape} uint8, {self.class_count} classes"
        )


def load_images(
    path: Path,
    *,
    image_size: tuple[int, int] | None,
    color_mode: str | None,
    test_size: float,
    seed: int,
    on_error: str,
    progress: bool,
    resize: images.Resize = images.squeezed,
    streaming: bool | None = False,
    batch_size: int = 32,
) -> Dataset | StreamingDataset:
    """Load a folder of class folders of images into arrays, or make streams of batches of it."""
    listed = list_folder(path, images.SUFFIXES, test_size, seed)
    shape, decode = _decoder(listed, image_size, color_mode, on_error)
    if streaming:
        return _stream(listed, shape, decode, on_error, batch_size, seed)
    several: list[str] = []
    decode = functools.partial(decode, resize=resize, several=several)
    data = read_files(listed, decode, shape, np.uint8, on_error=on_error, progress=progress)
    if several:
        example = f"{len(several)} files hold several pictures, such as {min(several)}"
        say(f"{path}: {example}; the first of each is taken")
    return data


def _stream(
    listed: Dataset,
    shape: tuple[int, ...],
    decode: Decode,
    on_error: str,
    batch_size: int,
    seed: int,
) -> StreamingDataset:
    """Make tf.data pipelines over the files of a folder."""
    import tensorflow as tf

    skipped: list[str] = []

    def pipeline(paths: np.ndarray, labels: np.ndarray) -> Any:
        def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            decoded = in_order(decode, paths, on_error, skipped, result_bytes=math.prod(shape))
            pairs = zip(decoded, labels, strict=True)
            readable = (pair for pair in pairs if pair[0] is not None)
            while batch := list(itertools.islice(readable, batch_size)):
                yield np.stack([image for image, _ in batch]), np.array([y for _, y in batch])

        signature = tf.TensorSpec((None, *shape), tf.uint8), tf.TensorSpec((None,), tf.int64)
        dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
        if on_error == "raise":  # with files skipped, the number of batches is not known
            count = -(-len(paths) // batch_size)
            dataset = dataset.apply(tf.data.experimental.assert_cardinality(count))
        return dataset.prefetch(2)

    mixed = np.random.default_rng(seed).permutation(len(listed.x_train))
    parts = listed.parts | {"train": (listed.x_train[mixed], listed.y_train[mixed])}
    streams = {part: pipeline(*arrays) for part, arrays in parts.items()}
    return StreamingDataset(
        name=listed.name,
        train=streams["train"],
        test=streams["test"],
        n_train=len(mixed),
        n_test=len(listed.x_test),
        input_shape=shape,
        class_names=listed.class_names,
        source=listed.source,
        skipped=skipped,
        validation=streams.get("val"),
        n_validation=len(parts["val"][0]) if "val" in parts else 0,
    )


def _decoder(
    listed: Dataset, image_size: tuple[int, int] | None, color_mode: str | None, on_error: str
) -> tuple[tuple[int, ...], Decode]:
    """Return the shape of every image, and what decodes a file into it.

    The headers of all files are read only where they decide on size or colour.
    """
    grey = color_mode == "grayscale"
    if image_size is None or color_mode is None:
        paths = np.concatenate([paths for paths, _ in listed.parts.values()])
        headers = list(filter(None, in_order(_read_header, paths, on_error)))
        if not headers:
            raise DatasetError(f"{listed.source}: not a single image can be read")
        grey = all(is_grey for *_, is_grey in headers) if color_mode is None else grey
        image_size = image_size or _common_size(headers)
    shape = (*image_size,) if grey else (*image_size, 3)
    return shape, functools.partial(images.read_image, size=tuple(image_size), grey=grey)


def _read_header(path: Path) -> tuple[Path, tuple[int, int], bool]:
    with images.open_image(path) as image:
        return path, images.upright_size(image), images.is_grey(image)


def _common_size(headers: list[tuple[Path, tuple[int, int], bool]]) -> tuple[int, int]:
    first, common, _ = headers[0]
    for path, size, _ in headers:
        if size != common:
            odd, usual = ("×".join(map(str, pair)) for pair in (size, common))
            raise DatasetError(
                f"{path} is {odd} pixels and {first} is {usual} (height×width); expected one "
                "size: pass image_size=(height, width)"
            )
    return common
