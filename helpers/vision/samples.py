"""Photos to try things on: those that come with the packages, and classes made of any photos."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from helpers.datasets import Dataset, images, load_dataset
from helpers.datasets.sampling import holdout
from helpers.vision.photos import decode, list_photos

ANIMALS = 398  # ImageNet's classes 0 … 397 are animals
PIECES = 24  # of each photo, for training and for testing


def sample_photos() -> list[Path]:
    """Return the paths of three photos that come with scikit-learn and Matplotlib."""
    import matplotlib
    import sklearn.datasets

    own = Path(sklearn.datasets.__file__).parent / "images"
    return [
        own / "china.jpg",
        own / "flower.jpg",
        Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg",
    ]


def photo_classes(
    photos: Any, image_size: tuple[int, int], *, test_size: float = 0.5, seed: int = 0
) -> Dataset:
    """Make a Dataset with classes of what photos there are.

    Parameters
    ----------
    photos
        A folder with one sub-folder for each class: these are the classes. A folder with a
        ``labels.csv`` of ImageNet's class numbers (columns ``file``, ``class_index``): animals and
        things. Any other photos: pieces of them; from which photo is each? Training pieces come
        from the left of a photo, test pieces from its right, and share no pixel.
    image_size : (height, width)
        To bring them to.
    test_size : float
        Share of the photos held out.
    seed : int
        Of the split, or of the pieces' places.

    Returns
    -------
    Dataset
        Of uint8 photos in colour.

    Raises
    ------
    DatasetError
        If a photo cannot be read.
    """
    listed = list_photos(photos)
    if isinstance(photos, str | Path) and any("/" in photo.name for photo in listed):
        options = {"image_size": image_size, "color_mode": "rgb", "on_error": "skip"}
        return load_dataset(photos, **options, test_size=test_size, seed=seed)
    first = listed[0].source
    table = first.parent / "labels.csv" if isinstance(first, Path) else None
    if table is not None and table.is_file():
        with table.open(encoding="utf-8", newline="") as stream:
            classes = {row["file"]: int(row["class_index"]) for row in csv.DictReader(stream)}
        named = [photo for photo in listed if photo.name in classes]
        x = np.stack([decode(photo, image_size) for photo in named])
        y = np.array([int(classes[photo.name] >= ANIMALS) for photo in named])
        train, test = holdout(y, test_size, seed)
        parts = (x[train], y[train], x[test], y[test])
        return Dataset("animals_or_things", *parts, ("animal", "thing"), "labels.csv")
    return _pieces(listed[:10], image_size, seed)


def _pieces(photos: list[Any], size: tuple[int, int], seed: int) -> Dataset:
    rng = np.random.default_rng(seed)
    x: list[list[np.ndarray]] = [[], []]
    for photo in photos:
        pixels = _pixels(photo)
        height, width = pixels.shape[:2]
        side = int(0.35 * min(height, width))
        border = int(0.6 * width)
        for part, (low, high) in enumerate(((0, border - side), (border, width - side))):
            for _ in range(PIECES):
                top, left = rng.integers(height - side + 1), rng.integers(low, high + 1)
                x[part].append(pixels[top : top + side, left : left + side])
    y = np.repeat(np.arange(len(photos)), PIECES)
    names = tuple(Path(photo.name).stem for photo in photos)
    train, test = (np.concatenate([images.resize_images(p[None], size) for p in own]) for own in x)
    return Dataset("pieces_of_photos", train, y, test, y.copy(), names, "photos")


def _pixels(photo: Any) -> np.ndarray:
    if isinstance(photo.source, Path):
        return images.read_image(photo.source)
    return images.to_array(photo.source)
