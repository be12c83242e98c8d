"""Photos to try things on, installed with the packages; and classes made of any photos."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from helpers.datasets import Dataset, catalog, images
from helpers.datasets.folders import read_labels
from helpers.datasets.image_folders import load_images
from helpers.errors import CourseError, DatasetError
from helpers.vision.photos import Photo, list_photos, readable

# Each photo, with the labels of ImageNet that are accepted; data/README.md tells whose it is.
LABELS = {
    "astronaut.png": ("space_shuttle",),
    "chelsea.png": ("tabby", "tiger_cat", "Egyptian_cat"),
    "china.jpg": ("palace",),
    "clock_motion.png": ("analog_clock", "wall_clock"),
    "coffee.png": ("espresso", "cup", "coffee_mug"),
    "flower.jpg": ("daisy",),
    "grace_hopper.jpg": ("military_uniform",),
    "horse.png": ("sorrel",),
    "rocket.jpg": ("missile", "projectile"),
}
MATERIALS = ("brick.png", "grass.png", "gravel.png")
FOLDERS = (("skimage", "data"), ("sklearn", "datasets/images"),
           ("matplotlib", "mpl-data/sample_data"))  # fmt: skip
PIECES = (8, 34)  # of each photo, for training and for testing
MOST = 10  # photos that pieces are cut from


def sample_photos() -> list[Path]:
    """Return nine photos whose labels are known, of scikit-image, scikit-learn and Matplotlib."""
    return [_installed(name) for name in LABELS]


def sample_materials() -> list[Path]:
    """Return three photos of surfaces, of scikit-image: brick, grass and gravel."""
    return [_installed(name) for name in MATERIALS]


def _installed(name: str) -> Path:
    for package, folder in FOLDERS:
        spec = importlib.util.find_spec(package)  # which does not import it
        if spec and spec.origin and (path := Path(spec.origin).parent / folder / name).is_file():
            return path
    raise CourseError(
        f"{name} is missing, which comes with scikit-image, scikit-learn or Matplotlib: run "
        "'make setup'"
    )


def photo_labels(photos: Any) -> dict[str, tuple[str, ...]]:
    """Return the labels that are accepted for photos, by file name, where they are known.

    They are known of the sample photos, and of photos that a ``labels.csv`` beside them names.

    Raises
    ------
    DatasetError
        If that file has no columns ``file`` and ``label``.
    """
    listed = list_photos(photos)
    paths = [p for p in listed if isinstance(p.source, Path) and p.source.name in LABELS]
    known = {p.name: LABELS[p.source.name] for p in paths if p.source == _installed(p.source.name)}
    first = listed[0].source
    labels = read_labels(first.parent) if isinstance(first, Path) else {}
    return known or {file: (label,) for file, label in labels.items()}


def photo_classes(photos: Any, image_size: tuple[int, int], *, seed: int = 0) -> Dataset:
    """Make a Dataset with classes of what photos there are.

    Parameters
    ----------
    photos
        A folder with one sub-folder for each class: these are the classes, half of each is for
        testing, and the photos are prepared as for ``predict``. Any other photos: pieces of the
        first ten; from which photo is each? A piece is a square of 3 to 10% of the photo's height
        (16 pixels at least), turned by 0 to 3 right angles, at 0.5 to 1.5 times its brightness.
        The eight for training come from a photo's left half, the 34 to test from its right half.
        A piece is only enlarged.
    image_size : (height, width)
        To bring them to.
    seed : int
        Of the split, or of the pieces.

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
    folders = {name for name, _, inside in (p.name.partition("/") for p in listed) if inside}
    folder = catalog.existing(photos) if isinstance(photos, str | Path) else None
    if folder and len(folders) > 1:
        return load_images(
            folder, image_size=image_size, color_mode="rgb", test_size=0.5, seed=seed,
            on_error="skip", progress=True, resize=images.middle,
        )  # fmt: skip
    return _pieces(list(readable(listed[:MOST], None)), image_size, seed)


def _pieces(photos: list[tuple[Photo, np.ndarray]], size: tuple[int, int], seed: int) -> Dataset:
    if len(photos) < 2:
        raise DatasetError("There is one photo; expected at least two, to be told apart")
    rng = np.random.default_rng(seed)
    parts = []
    for half, count in enumerate(PIECES):
        halves = [np.array_split(pixels, 2, axis=1)[half] for _, pixels in photos]
        labels = np.repeat(np.arange(len(halves)), count)
        pieces = [_cut(halves[label], rng) for label in labels]
        parts += [np.concatenate([images.resize_images(x[None], size) for x in pieces]), labels]
    names = tuple(Path(photo.name).stem for photo, _ in photos)
    return Dataset("pieces_of_photos", *parts, names, "photos")


def _cut(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut a square piece out of a photo, turned and lit at random."""
    height, width = pixels.shape[:2]
    side = min(max(16, int(rng.uniform(0.03, 0.1) * height)), height, width)
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    piece = np.rot90(pixels[top : top + side, left : left + side], rng.integers(4))
    return np.clip(piece * rng.uniform(0.5, 1.5), 0, 255).astype(np.uint8)
