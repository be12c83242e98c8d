"""Folders of class folders of images: loaded into arrays, or streamed in constant memory."""

import functools
import itertools
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from helpers.datasets import images
from helpers.datasets.dataset import Dataset, checked_dataset
from helpers.datasets.folders import (
    ClassFolders,
    Files,
    check_no_class_is_empty,
    file_bar,
    find_class_folders,
    in_order,
)
from helpers.errors import DatasetError


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
) -> Dataset:
    """Load a folder of class folders of images into arrays, each image decoded into its place."""
    folders = find_class_folders(path, images.SUFFIXES, test_size, seed)
    decode = _Decoder(folders, image_size, color_mode, on_error, resize)
    arrays: dict[str, np.ndarray] = {}
    total = sum(len(files.paths) for files in folders.parts.values())
    with file_bar(total, f"Loading {path.name}", progress) as bar:
        for part, files in folders.parts.items():
            x = _allocate((len(files.paths), *decode.shape), path)
            y = np.empty(len(files.paths), np.int64)
            filled = 0
            for image, label in decode.images(files, bar.update):
                x[filled], y[filled] = image, label
                filled += 1
            arrays[f"x_{part}"], arrays[f"y_{part}"] = x[:filled], y[:filled]
    decode.report(path)
    labels = {part: arrays[f"y_{part}"] for part in folders.parts}
    check_no_class_is_empty(path, folders.class_names, labels)
    data = checked_dataset(
        path.name,
        arrays,
        source=str(path),
        where=str(path),
        class_names=folders.class_names,
        skipped=decode.skipped,
    )
    return data.replace(x_val=arrays.get("x_val"), y_val=arrays.get("y_val"))


def _allocate(shape: tuple[int, ...], path: Path) -> np.ndarray:
    try:
        return np.empty(shape, np.uint8)
    except MemoryError as error:
        raise DatasetError(
            f"{path}: the images need {math.prod(shape) / 1e9:.0f} GB of memory; pass a smaller "
            "image_size, or streaming=True"
        ) from error


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


def stream_images(
    path: Path,
    *,
    image_size: tuple[int, int] | None,
    color_mode: str | None,
    test_size: float,
    seed: int,
    on_error: str,
    batch_size: int,
) -> StreamingDataset:
    """Make tf.data pipelines over a folder of class folders of images."""
    import tensorflow as tf

    folders = find_class_folders(path, images.SUFFIXES, test_size, seed)
    decode = _Decoder(folders, image_size, color_mode, on_error)

    def pipeline(files: Files) -> Any:
        def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            stream = decode.images(files)
            while batch := list(itertools.islice(stream, batch_size)):
                yield np.stack([image for image, _ in batch]), np.array([y for _, y in batch])

        signature = (
            tf.TensorSpec((None, *decode.shape), tf.uint8),
            tf.TensorSpec((None,), tf.int64),
        )
        dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
        if on_error == "raise":  # with files skipped, the number of batches is not known
            dataset = dataset.apply(
                tf.data.experimental.assert_cardinality(-(-len(files.paths) // batch_size))
            )
        return dataset.prefetch(2)

    mixed = np.random.default_rng(seed).permutation(len(folders.train.paths))
    held_out = folders.validation
    return StreamingDataset(
        name=path.name,
        train=pipeline(folders.train.take(mixed)),
        test=pipeline(folders.test),
        n_train=len(mixed),
        n_test=len(folders.test.paths),
        validation=pipeline(held_out) if held_out else None,
        n_validation=len(held_out.paths) if held_out else 0,
        input_shape=decode.shape,
        class_names=folders.class_names,
        source=str(path),
        skipped=decode.skipped,
    )


class _Decoder:
    """Decode the images of a folder, alike in size and colour, on every core."""

    def __init__(
        self,
        folders: ClassFolders,
        image_size: tuple[int, int] | None,
        color_mode: str | None,
        on_error: str,
        resize: images.Resize = images.squeezed,
    ) -> None:
        """Settle size and colour; the headers of all files are read only where they decide it."""
        self.on_error = on_error
        self.skipped: list[str] = []
        self.several: list[str] = []
        grey = color_mode == "grayscale"
        if image_size is None or color_mode is None:
            paths = [path for files in folders.parts.values() for path in files.paths]
            headers = [h for h in in_order(_read_header, paths, on_error) if h is not None]
            if not headers:
                raise DatasetError(f"{folders.path}: not a single image can be read")
            grey = all(h.grey for h in headers) if color_mode is None else grey
            image_size = image_size or _common_size(headers)
        self.shape = (*image_size,) if grey else (*image_size, 3)
        self._decode = functools.partial(
            images.read_image,
            size=tuple(image_size),
            grey=grey,
            resize=resize,
            several=self.several,
        )

    def images(
        self, files: Files, done: Callable[[], object] = lambda: None
    ) -> Iterator[tuple[np.ndarray, int]]:
        """Yield each image with its label, in the order of ``files``."""
        size = math.prod(self.shape)
        decoded = in_order(
            self._decode, files.paths, self.on_error, self.skipped, result_bytes=size
        )
        for image, label in zip(decoded, files.labels, strict=True):
            done()
            if image is not None:
                yield image, int(label)

    def report(self, path: Path) -> None:
        """Warn of every file that was left out, and of files with several pictures."""
        if self.several:
            example = (
                f"{len(self.several)} files hold several pictures, such as {min(self.several)}"
            )
            warnings.warn(f"{path}: {example}; the first of each is taken", stacklevel=4)
        if self.skipped:
            names = ", ".join(self.skipped)
            warnings.warn(
                f"{path}: {len(self.skipped)} broken files left out: {names}", stacklevel=4
            )


class _Header(NamedTuple):
    path: Path
    size: tuple[int, int]
    grey: bool


def _read_header(path: Path) -> _Header:
    with images.open_image(path) as image:
        return _Header(path, images.upright_size(image), images.is_grey(image))


def _common_size(headers: list[_Header]) -> tuple[int, int]:
    first = headers[0]
    for header in headers:
        if header.size != first.size:
            odd, common = ("×".join(map(str, h.size)) for h in (header, first))
            raise DatasetError(
                f"{header.path} is {odd} pixels and {first.path} is {common} (height×width); "
                "expected one size: pass image_size=(height, width)"
            )
    return first.size
