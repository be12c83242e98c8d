"""Photos to try things on: those that come with the packages, and classes made of any photos."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from helpers.datasets import Dataset, catalog, images, load_dataset
from helpers.datasets.sampling import holdout
from helpers.errors import DatasetError
from helpers.vision.photos import Photo, decode, list_photos, warn_of_skipped

ANIMALS = 398  # ImageNet's classes 0 … 397 are animals
PIECES = 8  # of each photo, for training and for testing
MOST = 10  # photos that pieces are cut from


def sample_photos() -> Path | list[Path]:
    """Return photos to try things on.

    Returns
    -------
    Path or list of Path
        ``images/`` of ``$COURSE_DATA`` or of the downloads; else the three photos that come with
        scikit-learn and Matplotlib.
    """
    import matplotlib
    import sklearn.datasets

    if folder := catalog.existing("images"):
        return folder
    own = Path(sklearn.datasets.__file__).parent / "images"
    grace_hopper = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    return [own / "china.jpg", own / "flower.jpg", grace_hopper]


def photo_labels(photos: Any) -> dict[str, str]:
    """Return the true labels of photos by file name, where a ``labels.csv`` beside them has them.

    Raises
    ------
    DatasetError
        If the file has no columns ``file`` and ``label``.
    """
    rows = _labelled(list_photos(photos), "label")
    return {row["file"]: row["label"] for row in rows}


def photo_classes(
    photos: Any, image_size: tuple[int, int], *, test_size: float = 0.5, seed: int = 0
) -> Dataset:
    """Make a Dataset with classes of what photos there are.

    Parameters
    ----------
    photos
        A folder with one sub-folder for each class: these are the classes. A folder with a
        ``labels.csv`` of ImageNet's class numbers (columns ``file``, ``class_index``): animals and
        things. Any other photos: pieces of the first ten; from which photo is each? Training pieces
        come from the left of a photo, test pieces from its right, and share no pixel.
    image_size : (height, width)
        To bring them to.
    test_size : float
        Share of the photos held out.
    seed : int
        Of the split, or of the pieces' places.

    Returns
    -------
    Dataset
        Of uint8 photos in colour. Photos that cannot be read are named in a warning.

    Raises
    ------
    DatasetError
        If they make fewer than two classes.
    """
    listed = list_photos(photos)
    if isinstance(photos, str | Path) and any("/" in photo.name for photo in listed):
        options = {"image_size": image_size, "color_mode": "rgb", "on_error": "skip"}
        return load_dataset(photos, **options, test_size=test_size, seed=seed)
    kinds = {row["file"]: _kind(row) for row in _labelled(listed, "class_index")}
    if len(set(kinds.values())) == 2:
        found = _read([photo for photo in listed if photo.name in kinds], image_size)
        y = np.array([kinds[photo.name] for photo, _ in found])
        x = np.stack([pixels for _, pixels in found])
        train, test = holdout(y, test_size, seed)
        parts = (x[train], y[train], x[test], y[test])
        return Dataset("animals_or_things", *parts, ("animal", "thing"), "labels.csv")
    return _pieces(_read(listed[:MOST], None), image_size, seed)


def _labelled(listed: list[Photo], column: str) -> list[dict[str, str]]:
    """Return the rows of the ``labels.csv`` beside the first photo; none if there is no such file.

    Raises
    ------
    DatasetError
        If it lacks the column.
    """
    first = listed[0].source
    path = first.parent / "labels.csv" if isinstance(first, Path) else None
    if path is None or not path.is_file():
        return []
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        missing = {"file", column} - set(reader.fieldnames or ())
        if missing:
            raise DatasetError(
                f"{path}: there is no column {min(missing)!r}; expected 'file' and {column!r}"
            )
        return list(reader)


def _kind(row: dict[str, str]) -> int:
    try:
        return int(int(row["class_index"]) >= ANIMALS)
    except (TypeError, ValueError):
        raise DatasetError(
            f"labels.csv: class_index of {row['file']} is {row['class_index']!r}; expected a "
            "number of 0 to 999"
        ) from None


def _read(listed: list[Photo], size: tuple[int, int] | None) -> list[tuple[Photo, np.ndarray]]:
    found, skipped = [], {}
    for photo in listed:
        try:
            found.append((photo, decode(photo, size)))
        except DatasetError as error:
            skipped[photo.name] = str(error)
    warn_of_skipped(skipped, len(listed))
    return found


def _pieces(photos: list[tuple[Photo, np.ndarray]], size: tuple[int, int], seed: int) -> Dataset:
    if len(photos) < 2:
        raise DatasetError("There is one photo; expected at least two, to be told apart")
    rng = np.random.default_rng(seed)
    x: list[list[np.ndarray]] = [[], []]
    for _, pixels in photos:
        height, width = pixels.shape[:2]
        side = int(0.35 * min(height, width))
        border = int(0.6 * width)
        for part, (low, high) in enumerate(((0, border - side), (border, width - side))):
            for _ in range(PIECES):
                top, left = rng.integers(height - side + 1), rng.integers(low, high + 1)
                x[part].append(pixels[top : top + side, left : left + side])
    y = np.repeat(np.arange(len(photos)), PIECES)
    names = tuple(Path(photo.name).stem for photo, _ in photos)
    train, test = (np.concatenate([images.resize_images(p[None], size) for p in own]) for own in x)
    return Dataset("pieces_of_photos", train, y, test, y.copy(), names, "photos")
