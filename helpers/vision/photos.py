"""Photos as people have them – files, folders, Pillow images, arrays – brought into one form."""

import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from helpers.datasets import catalog, folders, images
from helpers.errors import DatasetError, nearest

MIN_SIDE = 16  # pixels; in less than that, not even a person sees what it is
BATCH = 32  # photos; more gained nothing on two cores, and a GPU is busy with them


@dataclass(frozen=True)
class Photo:
    """One photo, not decoded yet."""

    name: str  # its path below the folder, its file name, or "image 0"
    source: Path | Image.Image


def list_photos(photos: Any) -> list[Photo]:
    """List what a user gave as photos; nothing is decoded.

    Parameters
    ----------
    photos
        A path; a folder, which is searched with its sub-folders; a Pillow image; an array of one
        photo or of several: ``(h, w)``, ``(h, w, 1 | 3 | 4)``, ``(n, h, w)``,
        ``(n, h, w, 1 | 3 | 4)``, of bytes, of 16 bits, or of float in 0 … 1 or 0 … 255; or a list
        or tuple of any of these. A relative path is looked for here, then among downloads and in
        ``$COURSE_DATA``.

    Raises
    ------
    DatasetError
        If it is none of these, a path does not exist, a folder has no image, or the numbers of an
        array are not those of a photo.
    """
    if isinstance(photos, str | Path):
        path = catalog.existing(photos)
        if path is None:
            path = Path(photos)
            siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
            raise DatasetError(f"{path}: no such file or folder.{nearest(path.name, siblings)}")
        return _in_folder(path) if path.is_dir() else [Photo(path.name, path)]
    items = photos if isinstance(photos, list | tuple) else [photos]
    sources = [source for item in items for source in _sources(item)]
    if not sources:
        raise DatasetError("There is no photo in the list; expected at least one")
    names = [source.name for source in sources if isinstance(source, Path)]
    unique = len(set(names)) == len(names)
    return [
        Photo((s.name if unique else str(s)) if isinstance(s, Path) else f"image {number}", s)
        for number, s in enumerate(sources)
    ]


def _in_folder(folder: Path) -> list[Photo]:
    listed = [name for name in folders.files_below(folder) if Path(name).name != folders.LABELS]
    good = [name for name in listed if Path(name).suffix.lower() in images.SUFFIXES]
    other = sorted(set(listed) - set(good))
    expected = ", ".join(sorted(images.SUFFIXES))
    if not good:
        content = f"no image but other files, such as {other[0]}" if other else "no image"
        raise DatasetError(f"{folder}: the folder holds {content}; expected {expected}")
    folders.warn_of_left_out(folder, other, f"no {expected} file", "predict")
    return [Photo(name, folder / name) for name in good]


def _sources(item: Any) -> Sequence[Path | Image.Image]:
    """Return the photos that an item of a list stands for: a path, an image, or an array."""
    if isinstance(item, str | Path):
        # One that is missing is noticed when it is read, so that it does not stop the others.
        return [catalog.existing(item) or Path(item)]
    if isinstance(item, Image.Image):
        return [item]
    if not hasattr(item, "__array__"):
        raise DatasetError(
            f"photos is {type(item).__name__}; expected a path, a folder, a Pillow image, an array "
            "or a list of them"
        )
    array = _as_bytes(np.asarray(item))
    shape = array.shape
    if array.ndim == 2 or (array.ndim == 3 and shape[-1] not in (1, 3, 4)):
        array = array[..., None]
    if array.ndim == 3:
        array = array[None]
    elif len(shape) == 3 and shape[0] == 3:
        raise DatasetError(
            f"photos is an array of shape {shape}; expected photos[..., None] of three grey ones, "
            "or np.moveaxis(photos, 0, -1) of one in colour"
        )
    if array.ndim != 4 or array.shape[-1] not in (1, 3, 4):
        raise DatasetError(
            f"photos is an array of shape {shape}; expected (height, width), (height, width, "
            "channels), or several of them, with 1, 3 or 4 channels on the last axis"
        )
    if not array.size:
        raise DatasetError(f"photos is an array of shape {shape}: there is no pixel in it")
    return [Image.fromarray(a[..., 0] if a.shape[-1] == 1 else a) for a in array]


def _as_bytes(array: np.ndarray) -> np.ndarray:
    """Bring an array to bytes: of whole numbers or floats up to 255, 16 bits, or floats up to 1."""
    kind = array.dtype.kind
    low, high = (array.min(), array.max()) if array.size and kind in "iuf" else (-1, 0)
    is_16_bit = kind == "u" and array.dtype.itemsize == 2
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array * np.uint8(255)
    if is_16_bit and high > 255:  # otherwise they may be bytes, or a very dark photo
        scale = 1 / 257
    elif not is_16_bit and low >= 0 and high <= 255:  # and not NaN
        scale = 255 if kind == "f" and high <= 1 else 1
    else:
        raise DatasetError(
            f"photos is an array of {array.dtype} from {low:.4g} to {high:.4g}; expected uint8, "
            "uint16 up to 65535, or float in 0 … 1 or 0 … 255: the classifier preprocesses"
        )
    return (array * scale + 0.5).astype(np.uint8)


def decode(
    photo: Photo,
    size: tuple[int, int] | None,
    resize: images.Resize = images.middle,
    several: list[str] | None = None,
) -> np.ndarray:
    """Return a photo's pixels: upright, in colour, prepared as networks of ImageNet are tested.

    Without a size it keeps its own. What is not a file and has that size stays as it is: it has
    been prepared before.
    """
    options = {"resize": resize, "min_side": MIN_SIDE}
    if isinstance(photo.source, Path):
        return images.read_image(photo.source, size, several=several, **options)
    if size is not None and photo.source.size == (size[1], size[0]):
        size = None
    return images.to_array(photo.source, photo.name, size, **options)


def readable(
    photos: Sequence[Photo],
    size: tuple[int, int] | None,
    resize: images.Resize = images.middle,
    skipped: dict[str, str] | None = None,
) -> Iterator[tuple[Photo, np.ndarray]]:
    """Yield each photo that can be read with its pixels, in order; at the end warn of the others.

    They are decoded on every core, a bounded number ahead of who asks for them. ``skipped``
    receives the reasons by the photos' names.
    """
    skipped, several = {} if skipped is None else skipped, []

    def attempt(photo: Photo) -> tuple[Photo, np.ndarray | DatasetError]:
        try:
            return photo, decode(photo, size, resize, several)
        except DatasetError as error:
            return photo, error

    options = {"result_bytes": 3 * math.prod(size or (2000, 3000))}
    options |= {"workers": folders.usable_cores()}
    for photo, image in folders.in_order(attempt, photos, "raise", **options):
        if isinstance(image, DatasetError):
            skipped[photo.name] = str(image)
        else:
            yield photo, image
    if len(skipped) == len(photos):
        more = f" (and {len(photos) - 1} more)" if len(photos) > 1 else ""
        raise DatasetError(next(iter(skipped.values())) + more)
    if skipped:
        reasons = "; ".join(skipped.values())
        warnings.warn(f"{len(skipped)} of {len(photos)} photos skipped: {reasons}", stacklevel=3)
    if several:
        example = f"{len(several)} files hold several pictures, such as {min(several)}"
        warnings.warn(f"{example}; the first of each is taken", stacklevel=3)


def in_batches(
    compute: Callable[[np.ndarray], np.ndarray],
    photos: Iterable[np.ndarray],
    count: int,
    description: str,
    *,
    batch_size: int = BATCH,
    progress: bool = True,
) -> list[np.ndarray]:
    """Compute something of ``count`` photos, with a bar; return an array for each batch."""
    remaining, parts = iter(photos), []
    with folders.file_bar(count, description, progress) as bar:
        while batch := list(itertools.islice(remaining, batch_size)):
            parts.append(compute(np.stack(batch)))
            bar.update(len(batch))
    return parts
