"""Find, download, verify and load datasets: a name or a path in, a ``Dataset`` out."""

import os
import warnings
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from helpers.datasets import catalog
from helpers.datasets.dataset import (
    AssumptionWarning,
    Dataset,
    assumed_of_labels,
    checked_dataset,
    flat,
    split_arrays,
    tell,
)
from helpers.datasets.formats import check_regular, read_npz
from helpers.datasets.image_folders import StreamingDataset, load_images, stream_images
from helpers.datasets.images import resize_images
from helpers.datasets.tables import SUFFIXES, Layout, from_table, load_table, read_table
from helpers.datasets.text_folders import holds_texts, load_texts
from helpers.errors import DatasetError, DatasetUnavailable, nearest

__all__ = [
    "AssumptionWarning",
    "Dataset",
    "DatasetError",
    "DatasetUnavailable",
    "FallbackWarning",
    "StreamingDataset",
    "from_table",
    "load_dataset",
    "read_table",
]


class FallbackWarning(UserWarning):
    """Another dataset than the one asked for is in use."""


def load_dataset(
    name: str | Path,
    *,
    fallback: str | None = None,
    image_size: tuple[int, int] | None = None,
    color_mode: str | None = None,
    target: str | None = None,
    sep: str | None = None,
    decimal: str | None = None,
    header: bool | int | None = None,
    index: str | int | Sequence[str | int] | bool | None = None,
    missing: str | Sequence[str] | None = None,
    encoding: str | None = None,
    regression: bool | None = None,
    test_size: float = 0.2,
    seed: int = 0,
    streaming: bool = False,
    batch_size: int = 32,
    on_error: str = "raise",
    progress: bool = True,
) -> Dataset | StreamingDataset:
    """Load a dataset by name, or your own by path.

    Parameters
    ----------
    name : str or Path
        ``"mnist"``, ``"fashion_mnist"``, ``"cifar10"``, ``"digits"``, ``"iris"``, ``"wine"``,
        ``"breast_cancer"``, ``"languages"``; or the path of an ``.npz`` file (``x_train``,
        ``y_train``, ``x_test``, ``y_test``, perhaps ``x_val`` and ``y_val``; or ``x`` and ``y``), a
        table (``.csv``, ``.tsv``, ``.txt``, also with ``.gz``), a folder with one sub-folder of
        images or of ``.txt`` files for each class, or a folder with one ``.txt`` file of lines for
        each class. Sub-folders ``train``, ``test`` and ``val`` are taken as the split. A relative
        path is looked for here, then among downloads and in ``$COURSE_DATA``.
    fallback : str, optional
        An embedded dataset (such as ``"digits"``) to use, with a ``FallbackWarning``, when the
        first cannot be had.
    image_size : (height, width), optional
        The size to bring images to. Folders whose images differ in size need it.
    color_mode : {"rgb", "grayscale"}, optional
        For image folders. ``None``: grey if every image is grey, colour otherwise.
    target : str, optional
        The label column of a table; see ``from_table``.
    sep, decimal, header, index, missing, encoding
        How a table is laid out; see ``read_table``. What is not given is found in the file.
    regression
        Whether the labels of a table or an ``.npz`` file are numbers to predict. ``None``: if there
        are many different ones.
    test_size : float
        Share of the samples held out for the test set, stratified, where the source has no split.
    seed : int
        Seed of that split, and of the order in which a stream delivers images.
    streaming : bool
        For image folders: return tf.data pipelines that use a constant amount of memory.
    batch_size : int
        Images a batch when streaming.
    on_error : {"raise", "skip"}
        What a broken file of a folder does. Skipped files are listed in ``skipped`` and warned of.
    progress : bool
        Show a bar while files are downloaded or read.

    Returns
    -------
    Dataset or StreamingDataset

    Raises
    ------
    DatasetError
        If the name is unknown, or the data is damaged or malformed: the message says what was
        found, what was expected and what to do.
    DatasetUnavailable
        If a known set is not here and cannot be downloaded, and no ``fallback`` is given.
    """
    _check_options(
        color_mode=color_mode,
        on_error=on_error,
        fallback=fallback,
        image_size=image_size,
        seed=seed,
        batch_size=batch_size,
    )
    layout = Layout(sep, decimal, header, missing, encoding)
    table = {"target": target, "index": index, **layout._asdict()}
    if isinstance(name, str) and name in catalog.names():
        _refuse(name, streaming=streaming, color_mode=color_mode, regression=regression, **table)
        try:
            data = _load_known(name, test_size, seed, progress)
        except DatasetUnavailable as error:
            # A sweep compares results: all have to be of the data that was asked for.
            if fallback is None or os.environ.get("COURSE_FALLBACK") == "0":
                raise
            warnings.warn(
                f"Using {fallback!r} instead of {name!r}. {error}", FallbackWarning, stacklevel=2
            )
            data = _load_known(fallback, test_size, seed, progress)
        return _resized(data, image_size)

    path = _existing(name)
    if path.is_dir():
        _refuse(path, regression=regression, **table)
        options = {"test_size": test_size, "seed": seed, "on_error": on_error}
        if holds_texts(path):
            _refuse(path, streaming=streaming, image_size=image_size, color_mode=color_mode)
            return load_texts(path, **options, progress=progress)
        options |= {"image_size": image_size, "color_mode": color_mode}
        if streaming:
            return stream_images(path, **options, batch_size=batch_size)
        return load_images(path, **options, progress=progress)
    _refuse(path, streaming=streaming, color_mode=color_mode)
    split = {"test_size": test_size, "seed": seed, "regression": regression}
    if path.suffix.lower() == ".npz":
        _refuse(path, **table)
        return _resized(_load_npz(path, **split), image_size)
    if path.name.lower().removesuffix(".gz").endswith(SUFFIXES):
        _refuse(path, image_size=image_size)
        return load_table(path, layout, target=target, index=index, **split)
    check_regular(path)
    raise DatasetError(
        f"{path}: found a {path.suffix or 'nameless'} file; expected .npz, .csv or a folder with "
        "one sub-folder for each class"
    )


def _load_npz(path: Path, *, test_size: float, seed: int, regression: bool | None) -> Dataset:
    arrays, notes = read_npz(path), []
    if "x_test" not in arrays:
        if "x_train" in arrays:
            notes.append(f"has no x_test, so {test_size:.0%} of x_train are for testing")
        x, y = (arrays.pop(name if name in arrays else f"{name}_train") for name in "xy")
        y = flat(y, path.name)
        held = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
        if len(x) == len(y):  # otherwise it is refused below
            held = split_arrays(x, y, test_size=test_size, seed=seed, regression=regression)
        arrays |= held
    data = checked_dataset(
        path.stem, arrays, source=str(path), where=path.name, regression=regression
    )
    y = np.concatenate([y for name, y in arrays.items() if name[0] == "y"], axis=None)
    notes += assumed_of_labels(y, regression, "y")
    is_byte = data.input_dtype == np.uint8
    if data.kind == "sequences" or (data.x_train.ndim == 3 and not is_byte):
        shape = "×".join(map(str, data.input_shape))
        notes.append(
            f"took samples of {shape} {data.input_dtype} as {data.kind} (data.replace(kind=…) says "
            "otherwise)"
        )
    tell(path.name, notes)
    return data


def _refuse(source: str | Path, **options: object) -> None:
    """Refuse options that would have no effect on this kind of source."""
    fits = {
        "streaming": "folders of images",
        "image_size": "images",
        "color_mode": "folders of images",
        "regression": "tables and .npz files",
    }
    for option, value in options.items():
        if value is not None and not (option == "streaming" and value is False):
            raise DatasetError(
                f"{source}: {option}={value!r} has no effect here; it is for "
                f"{fits.get(option, 'tables')}"
            )


def _resized(data: Dataset, image_size: tuple[int, int] | None) -> Dataset:
    if image_size is None:
        return data
    if data.kind != "images" or data.x_train.dtype != np.uint8:
        raise DatasetError(
            f"{data.name}: image_size={image_size!r} has no effect on {data.x_train.dtype} "
            f"{data.kind}; it is for uint8 images"
        )
    return data.convert(lambda x: resize_images(x, image_size))


def _existing(name: str | Path) -> Path:
    """Turn what a user gave into the path of something that is there."""
    if not isinstance(name, str | Path):
        raise DatasetError(f"name={name!r}; expected the name of a dataset or a path")
    if found := catalog.existing(name):
        return found
    raise _not_found(str(name))


def _load_known(name: str, test_size: float, seed: int, progress: bool) -> Dataset:
    if name in catalog.EMBEDDED:
        return catalog.load_embedded(name, test_size=test_size, seed=seed)
    return catalog.load_named(name, progress=progress)


def _check_options(**options: Any) -> None:
    for option, allowed in (
        ("color_mode", (None, "rgb", "grayscale")),
        ("on_error", ("raise", "skip")),
        ("fallback", (None, *catalog.EMBEDDED)),
    ):
        if options[option] not in allowed:
            raise DatasetError(
                f"{option}={options[option]!r}; expected one of {', '.join(map(repr, allowed))}"
            )
    size = options["image_size"]
    if size is not None and not (
        isinstance(size, tuple | list)
        and len(size) == 2
        and all(isinstance(side, Integral) and 0 < side <= 30_000 for side in size)
    ):
        raise DatasetError(f"image_size={size!r}; expected (height, width) in pixels")
    for option, low in (("seed", 0), ("batch_size", 1)):
        value = options[option]
        if not isinstance(value, Integral) or isinstance(value, bool) or value < low:
            raise DatasetError(f"{option}={value!r}; expected an integer from {low}")


def _not_found(name: str) -> DatasetError:
    path = Path(name)
    is_path = path.suffix.lower() in {".npz", ".gz", *SUFFIXES} or len(path.parts) > 1
    if is_path:
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        return DatasetError(
            f"{path}: no such file or folder (looked from {Path.cwd().name}/)."
            + nearest(path.name, siblings)
        )
    return DatasetError(
        f"{name!r} is not a known dataset and no file or folder here; known are "
        f"{', '.join(catalog.names())}.{nearest(name, catalog.names())}"
    )
