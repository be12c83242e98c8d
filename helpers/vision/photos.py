"""Photos as people have them – files, folders, Pillow images, arrays – brought into one form."""

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from helpers.datasets import catalog, images
from helpers.datasets.folders import in_order, visible_files
from helpers.errors import DatasetError, nearest

MIN_SIDE = 16  # pixels; in less than that, not even a person sees what it is


@dataclass(frozen=True)
class Photo:
    """One photo, not decoded yet.

    Attributes
    ----------
    name : str
        Its path below the folder, its file name, or ``image 0``.
    source : Path or PIL.Image.Image
        Where its pixels are.
    """

    name: str
    source: Path | Image.Image


def list_photos(photos: Any) -> list[Photo]:
    """List what a user gave as photos; nothing is decoded.

    Parameters
    ----------
    photos
        A path; a folder, which is searched with its sub-folders; a Pillow image; an array of one
        photo or of several: ``(h, w)``, ``(h, w, 1 | 3 | 4)``, ``(n, h, w)``,
        ``(n, h, w, 1 | 3 | 4)``, of bytes, of 16 bits, or of float in 0 … 1 or 0 … 255; or a
        sequence of any of these. A relative path is looked for here, then among downloads and in
        ``$COURSE_DATA``.

    Returns
    -------
    list of Photo

    Raises
    ------
    DatasetError
        If it is none of these, a path does not exist, a folder has no image, or the numbers of an
        array are not those of a photo.
    """
    if isinstance(photos, str | Path):
        path = _existing(photos)
        return _in_folder(path) if path.is_dir() else [Photo(path.name, path)]
    if not isinstance(photos, Sequence) or isinstance(photos, bytes):
        return _numbered(_pictures(photos))
    paths = [p for p in photos if isinstance(p, str | Path)]
    if len(paths) < len(photos):
        return _numbered([image for item in photos for image in _item_pictures(item)])
    if not paths:
        raise DatasetError("There is no photo in the list; expected at least one")
    # One that is missing is found out when it is read, so that it does not stop the others.
    found = [catalog.existing(path) or Path(path) for path in paths]
    unique = len({path.name for path in found}) == len(found)
    return [Photo(path.name if unique else str(path), path) for path in found]


def _existing(name: str | Path) -> Path:
    if found := catalog.existing(name):
        return found
    path = Path(name)
    siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    raise DatasetError(f"{path}: no such file or folder.{nearest(path.name, siblings)}")


def _in_folder(folder: Path) -> list[Photo]:
    paths = sorted(
        Path(parent, name)
        for parent, _, _ in os.walk(folder)
        for name in visible_files(Path(parent))
        if Path(name).suffix.lower() in images.SUFFIXES
    )
    if not paths:
        raise DatasetError(
            f"{folder}: the folder holds no image; expected {', '.join(sorted(images.SUFFIXES))}"
        )
    return [Photo(path.relative_to(folder).as_posix(), path) for path in paths]


def _numbered(pictures: list[Image.Image]) -> list[Photo]:
    return [Photo(f"image {number}", picture) for number, picture in enumerate(pictures)]


def _item_pictures(item: Any) -> list[Image.Image]:
    if isinstance(item, str | Path):
        with images.open_image(_existing(item)) as image:
            return [image.copy()]
    return _pictures(item)


def _pictures(item: Any) -> list[Image.Image]:
    """Return a Pillow image or an array as Pillow images."""
    if isinstance(item, Image.Image):
        return [item]
    if not hasattr(item, "__array__"):
        raise DatasetError(
            f"photos is {type(item).__name__}; expected a path, a folder, a Pillow image, an array "
            "or a list of them"
        )
    array = _as_bytes(np.asarray(item))
    channels = array.shape[-1] in (1, 3, 4)
    if array.ndim == 2:
        array = array[None, ..., None]
    elif array.ndim == 3 and channels:
        array = array[None]
    elif array.ndim == 3 and array.shape[0] != 3:  # which would be a colour photo, axes turned
        array = array[..., None]
    elif array.ndim != 4 or not channels:
        raise DatasetError(
            f"photos is an array of shape {array.shape}; expected (height, width), (height, width, "
            "channels), or several of them, with 1, 3 or 4 channels on the last axis"
        )
    if 0 in array.shape:
        raise DatasetError(f"photos is an array of shape {array.shape}: there is no pixel in it")
    return [Image.fromarray(a[..., 0] if a.shape[-1] == 1 else a) for a in array]


def _as_bytes(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array * np.uint8(255)
    low, high = (array.min(), array.max()) if array.size and array.dtype.kind in "iuf" else (-1, 0)
    if array.dtype.kind in "iu" and low >= 0 and high < 1 << 16:
        return (array // 257 if high > 255 else array).astype(np.uint8)
    if array.dtype.kind == "f" and low >= 0 and high <= 255:  # and not NaN
        return (array * (255 if high <= 1 else 1) + 0.5).astype(np.uint8)
    raise DatasetError(
        f"photos is an array of {array.dtype} from {low:.4g} to {high:.4g}; expected bytes, 16-bit "
        "numbers, or float in 0 … 1 or 0 … 255, as a photo has them: the classifier preprocesses"
    )


def decode(photo: Photo, size: tuple[int, int] | None) -> np.ndarray:
    """Return a photo's pixels: upright, in colour, cut to the middle.

    Parameters
    ----------
    photo : Photo
    size : (height, width), or None
        To bring it to; None keeps its own.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)

    Raises
    ------
    DatasetError
        If it is missing, broken, no image, too large, or smaller than ``MIN_SIDE`` on a side.
    """
    if isinstance(photo.source, Path):
        with images.open_image(photo.source) as image:
            _check_size(photo.source, image)
        return images.read_image(photo.source, size, crop_to_aspect_ratio=True)
    _check_size(photo.name, photo.source)
    return images.to_array(photo.source, size, crop_to_aspect_ratio=True)


def _check_size(name: object, image: Image.Image) -> None:
    if min(image.size) < MIN_SIDE:
        raise DatasetError(
            f"{name}: {image.width}×{image.height} pixels; expected at least {MIN_SIDE}×{MIN_SIDE}"
        )


def warn_of_skipped(skipped: dict[str, str], total: int) -> None:
    """Name the photos that cannot be read, and why.

    Raises
    ------
    DatasetError
        If these are all.
    """
    if len(skipped) == total:
        more = f" (and {total - 1} more)" if total > 1 else ""
        raise DatasetError(next(iter(skipped.values())) + more)
    if skipped:
        reasons = "; ".join(skipped.values())
        warnings.warn(f"{len(skipped)} of {total} photos skipped: {reasons}", stacklevel=4)


def decoded(
    photos: Sequence[Photo], size: tuple[int, int]
) -> Iterator[tuple[Photo, np.ndarray | DatasetError]]:
    """Decode photos on every core, a bounded number ahead of who asks for them.

    Yields
    ------
    tuple
        The photo, and its pixels or why they cannot be had, in the order given.
    """

    def attempt(photo: Photo) -> tuple[Photo, np.ndarray | DatasetError]:
        try:
            return photo, decode(photo, size)
        except DatasetError as error:
            return photo, error

    pixels = 3 * size[0] * size[1]
    return in_order(attempt, photos, "raise", result_bytes=pixels, workers=os.cpu_count() or 1)
