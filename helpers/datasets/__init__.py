"""Find, download, verify and load datasets: a name or a path in, a ``Dataset`` out."""

import os
from collections.abc import Callable, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from helpers.datasets import catalog
from helpers.datasets.dataset import (
    AssumptionWarning,
    Dataset,
    assumptions,
    check_option,
    make_dataset,
    say,
)
from helpers.datasets.formats import check_regular, read_npz
from helpers.datasets.frames import from_table
from helpers.datasets.image_folders import StreamingDataset, load_images
from helpers.datasets.images import resize_images
from helpers.datasets.tables import SUFFIXES, load_table, read_table
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
    options = dict(locals()) | {"streaming": streaming or None}
    _check_options(**options)
    source = name if isinstance(name, str) and name in catalog.names() else _existing(name)
    kind = _kind(source)
    load, taken = KINDS[kind]
    for option in FOR_SOME:
        if options[option] is not None and option not in taken:
            kinds = ", ".join(other for other, (_, takes) in KINDS.items() if option in takes)
            raise DatasetError(
                f"{source}: {option}={options[option]!r} has no effect on {kind}; it is for {kinds}"
            )
    given = {option: options[option] for option in taken}
    return load(source, test_size=test_size, seed=seed, **given)


def _kind(source: str | Path) -> str:
    """Return what kind of data a source is, as ``KINDS`` calls it."""
    if isinstance(source, str):
        return "a known set"
    if source.is_dir():
        return "texts" if holds_texts(source) else "images"
    if source.suffix.lower() == ".npz":
        return "arrays"
    if source.name.lower().removesuffix(".gz").endswith(SUFFIXES):
        return "a table"
    check_regular(source)
    raise DatasetError(
        f"{source}: found a {source.suffix or 'nameless'} file; expected .npz, .csv or a folder "
        "with one sub-folder for each class"
    )


def _load_known(
    name: str, *, fallback: str | None, image_size: tuple[int, int] | None, progress: bool,
    **split: Any,
) -> Dataset:  # fmt: skip
    try:
        if name in catalog.EMBEDDED:
            return _resized(catalog.load_embedded(name, **split), image_size)
        return _resized(catalog.load_named(name, progress=progress), image_size)
    except DatasetUnavailable as error:
        # A sweep compares results: all have to be of the data that was asked for.
        if fallback is None or os.environ.get("COURSE_FALLBACK") == "0":
            raise
        say(f"Using {fallback!r} instead of {name!r}. {error}", FallbackWarning)
        return _resized(catalog.load_embedded(fallback, **split), image_size)


def _load_npz(
    path: Path, *, regression: bool | None, image_size: tuple[int, int] | None, **split: Any
) -> Dataset:
    arrays = read_npz(path)
    with assumptions(path.name) as notes:
        if "x_train" not in arrays:
            arrays |= {"x_train": arrays.pop("x"), "y_train": arrays.pop("y")}
        elif "x_test" not in arrays:
            notes.append(f"has no x_test, so {split['test_size']:.0%} of x_train are for testing")
        names = {"source": str(path), "where": path.name}
        data = make_dataset(path.stem, arrays, notes=notes, regression=regression, **names, **split)
        is_byte = data.input_dtype == np.uint8
        if data.kind == "sequences" or (data.x_train.ndim == 3 and not is_byte):
            shape = "×".join(map(str, data.input_shape))
            notes.append(
                f"took samples of {shape} {data.input_dtype} as {data.kind} "
                "(data.replace(kind=…) says otherwise)"
            )
    return _resized(data, image_size)


# How to load each kind of source, and the options that this takes beside test_size and seed.
LAYOUT = ("sep", "decimal", "header", "missing", "encoding")
KINDS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "a known set": (_load_known, ("fallback", "image_size", "progress")),
    "images": (load_images, ("image_size", "color_mode", "streaming", "batch_size", "on_error",
                             "progress")),
    "texts": (load_texts, ("on_error", "progress")),
    "arrays": (_load_npz, ("image_size", "regression")),
    "a table": (load_table, ("target", "index", "regression", *LAYOUT)),
}  # fmt: skip
# Those that are refused where they have no effect; the others may be given for any source.
FOR_SOME = ("image_size", "color_mode", "streaming", "target", "index", "regression", *LAYOUT)


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
    if path := catalog.existing(name):
        return path
    path = Path(name)
    if path.suffix.lower() in {".npz", ".gz", *SUFFIXES} or len(path.parts) > 1:
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DatasetError(
            f"{path}: no such file or folder (looked from {Path.cwd().name}/)."
            + nearest(path.name, siblings)
        )
    raise DatasetError(
        f"{str(name)!r} is not a known dataset and no file or folder here; known are "
        f"{', '.join(catalog.names())}.{nearest(str(name), catalog.names())}"
    )


def _check_options(
    *, color_mode: Any, on_error: Any, fallback: Any, image_size: Any, seed: Any, batch_size: Any,
    **_: Any,
) -> None:  # fmt: skip
    """Refuse values that fit no source."""
    for option, value, allowed in (
        ("color_mode", color_mode, ("rgb", "grayscale")),
        ("on_error", on_error, ("raise", "skip")),
        ("fallback", fallback, catalog.EMBEDDED),
    ):
        check_option(option, value, value in allowed, f"one of {', '.join(map(repr, allowed))}")
    for option, value, low in (("seed", seed, 0), ("batch_size", batch_size, 1)):
        fits = isinstance(value, Integral) and not isinstance(value, bool) and value >= low
        check_option(option, value, fits, f"an integer from {low}")
    is_pair = isinstance(image_size, tuple | list) and len(image_size) == 2
    fits = is_pair and all(isinstance(n, Integral) and 0 < n <= 30_000 for n in image_size)
    check_option("image_size", image_size, fits, "(height, width) in pixels")
