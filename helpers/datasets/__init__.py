"""Find, download, verify and load datasets: a name or a path in, a ``Dataset`` out."""

import warnings
from pathlib import Path

from helpers.datasets import catalog
from helpers.datasets.dataset import Dataset, checked_dataset
from helpers.datasets.formats import read_npz
from helpers.datasets.image_folders import StreamingDataset, load_images, stream_images
from helpers.datasets.images import resize_images
from helpers.datasets.tables import from_table, load_csv, read_csv
from helpers.datasets.text_folders import holds_texts, load_texts
from helpers.errors import DatasetError, DatasetUnavailable, nearest

__all__ = [
    "Dataset",
    "DatasetError",
    "DatasetUnavailable",
    "FallbackWarning",
    "StreamingDataset",
    "from_table",
    "load_dataset",
    "read_csv",
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
        ``"breast_cancer"``; or the path of an ``.npz`` file (``x_train``, ``y_train``, ``x_test``,
        ``y_test``), a ``.csv`` file, a folder with one sub-folder of images (JPEG, PNG, BMP, GIF)
        or of ``.txt`` files for each class, or a folder with one ``.txt`` file of lines for each
        class. Two sub-folders ``train`` and ``test`` are taken as the split.
    fallback : str, optional
        An embedded dataset (such as ``"digits"``) to use, with a ``FallbackWarning``, when the
        first cannot be had.
    image_size : (height, width), optional
        The size to bring images to. Folders whose images differ in size need it.
    color_mode : {"rgb", "grayscale"}, optional
        For image folders. ``None``: grey if every image is grey, colour otherwise.
    target : str, optional
        The label column of a ``.csv`` file; the last one if ``None``.
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
    _check_options(color_mode, on_error, image_size, fallback)
    if isinstance(name, str) and name in catalog.names():
        if streaming:
            raise DatasetError(f"{name}: streaming=True expects a folder of images")
        try:
            data = _load_known(name, test_size, seed, progress)
        except DatasetUnavailable as error:
            if fallback is None:
                raise
            warnings.warn(
                f"Using {fallback!r} instead of {name!r}. {error}", FallbackWarning, stacklevel=2
            )
            data = _load_known(fallback, test_size, seed, progress)
        if image_size is not None and data.kind == "images":
            return data.replace(
                x_train=resize_images(data.x_train, image_size),
                x_test=resize_images(data.x_test, image_size),
            )
        return data

    path = Path(name).expanduser()
    if not path.exists():
        raise _not_found(str(name), path)
    if path.is_dir():
        options = {"test_size": test_size, "seed": seed, "on_error": on_error}
        if holds_texts(path):
            return load_texts(path, **options, progress=progress)
        options |= {"image_size": image_size, "color_mode": color_mode}
        if streaming:
            return stream_images(path, **options, batch_size=batch_size)
        return load_images(path, **options, progress=progress)
    if streaming:
        raise DatasetError(f"{path}: streaming=True expects a folder of images")
    if path.suffix.lower() == ".npz":
        return checked_dataset(path.stem, read_npz(path), source=str(path), where=path.name)
    if path.suffix.lower() == ".csv":
        return load_csv(path, target=target, test_size=test_size, seed=seed)
    raise DatasetError(
        f"{path}: found a {path.suffix or 'nameless'} file; expected .npz, .csv or a folder with "
        "one sub-folder for each class"
    )


def _load_known(name: str, test_size: float, seed: int, progress: bool) -> Dataset:
    if name in catalog.EMBEDDED:
        return catalog.load_embedded(name, test_size=test_size, seed=seed)
    return catalog.load_named(name, progress=progress)


def _check_options(
    color_mode: str | None,
    on_error: str,
    image_size: tuple[int, int] | None,
    fallback: str | None,
) -> None:
    for option, value, allowed in (
        ("color_mode", color_mode, (None, "rgb", "grayscale")),
        ("on_error", on_error, ("raise", "skip")),
        ("fallback", fallback, (None, *catalog.EMBEDDED)),
    ):
        if value not in allowed:
            raise DatasetError(
                f"{option}={value!r}; expected one of {', '.join(map(repr, allowed))}"
            )
    if image_size is not None and not (
        len(image_size) == 2 and all(isinstance(side, int) and side > 0 for side in image_size)
    ):
        raise DatasetError(f"image_size={image_size!r}; expected (height, width) in pixels")


def _not_found(name: str, path: Path) -> DatasetError:
    is_path = path.suffix.lower() in {".npz", ".csv"} or len(path.parts) > 1
    if is_path:
        siblings = path.parent.iterdir() if path.parent.is_dir() else ()
        return DatasetError(
            f"{path}: no such file or folder (looked from {Path.cwd().name}/)."
            + nearest(path.name, [p.name for p in siblings])
        )
    return DatasetError(
        f"{name!r} is not a known dataset and no file or folder here; known are "
        f"{', '.join(catalog.names())}.{nearest(name, catalog.names())}"
    )
