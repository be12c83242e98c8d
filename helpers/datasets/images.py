"""Read any photo that a user may have into a uint8 array; name it in one line if it is broken."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from helpers.errors import DatasetError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif"})
FORMATS = ("JPEG", "PNG", "BMP", "GIF")
ORIENTATION = 0x0112  # EXIF tag; values of 5 to 8 mean turned by 90°
MAX_PIXELS = 50_000_000  # 150 MB as colour; a header that claims more is a mistake or an attack


def open_image(path: Path) -> Image.Image:
    """Open an image lazily: its header is read and checked, its pixels are not.

    Raises
    ------
    DatasetError
        If it is no JPEG, PNG, BMP or GIF, or claims more than ``MAX_PIXELS`` pixels.
    """
    try:
        image = Image.open(path, formats=FORMATS)
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: no such file") from error
    except Image.DecompressionBombError as error:
        raise DatasetError(_too_large(path, str(error))) from error
    except Exception as error:  # a broken header can make Pillow raise nearly anything
        found = "an empty file" if path.stat().st_size == 0 else "no readable image"
        raise DatasetError(
            f"{path}: found {found}; expected JPEG, PNG, BMP or GIF: replace or remove it"
        ) from error
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise DatasetError(_too_large(path, f"{image.width}×{image.height} pixels"))
    return image


def _too_large(path: Path, found: str) -> str:
    return f"{path}: {found}; expected at most {MAX_PIXELS:,} pixels: shrink or remove it"


def is_grey(image: Image.Image) -> bool:
    """Tell from the header whether an image has a single channel."""
    return image.mode in {"1", "L", "I", "F", "LA"} or image.mode.startswith("I;16")


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return (height, width) as ``read_image`` will give them, from the header alone."""
    # Asking a PNG for its EXIF data would decode the whole picture, and cameras write JPEG.
    turned = image.format == "JPEG" and image.getexif().get(ORIENTATION) in {5, 6, 7, 8}
    return (image.width, image.height) if turned else (image.height, image.width)


def read_image(
    path: Path,
    size: tuple[int, int] | None = None,
    *,
    grey: bool = False,
    crop_to_aspect_ratio: bool = False,
) -> np.ndarray:
    """Read one image, upright, as uint8.

    Transparency is laid on white, 16-bit greys are scaled, the EXIF orientation is applied, and of
    an animation the first picture is taken.

    Parameters
    ----------
    path
        The file.
    size
        (height, width) to bring it to; ``None`` keeps its own.
    grey
        One channel instead of three.
    crop_to_aspect_ratio
        Cut to the middle of the image where its proportions are not those of ``size``, instead of
        squeezing it.

    Returns
    -------
    ndarray of uint8, shape (height, width) or (height, width, 3)

    Raises
    ------
    DatasetError
        If the image is broken, truncated, of another format or too large.
    """
    with open_image(path) as image:
        if size is not None and max(size) * 2 < min(image.size):
            # JPEG decodes to a fraction of its size at a fraction of the cost; the twofold reserve
            # leaves the final resize enough to average over.
            image.draft(None, (2 * size[1], 2 * size[0]))
        try:
            return to_array(image, size, grey=grey, crop_to_aspect_ratio=crop_to_aspect_ratio)
        except Exception as error:  # a broken body can make Pillow raise nearly anything
            raise DatasetError(
                f"{path}: the image is truncated or corrupt ({error}); replace or remove it"
            ) from error


def to_array(
    image: Image.Image,
    size: tuple[int, int] | None = None,
    *,
    grey: bool = False,
    crop_to_aspect_ratio: bool = False,
) -> np.ndarray:
    """Turn an open Pillow image into a uint8 array, as ``read_image`` describes."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, np.float32)
        scale = 255 / 65535 if values.max(initial=0) > 255 else 1.0
        image = Image.fromarray(np.clip(values * scale + 0.5, 0, 255).astype(np.uint8))
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    image = image.convert("L" if grey else "RGB")
    if size is not None and image.size != (size[1], size[0]):
        box = _middle(image, size) if crop_to_aspect_ratio else None
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR, box)
    return np.asarray(image)


def _middle(image: Image.Image, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the largest box (left, top, right, bottom) of a size's proportions in the middle."""
    scale = min(image.width / size[1], image.height / size[0])
    left, top = (image.width - scale * size[1]) / 2, (image.height - scale * size[0]) / 2
    return left, top, image.width - left, image.height - top


def resize_images(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring a batch of uint8 images ``(n, h, w)`` or ``(n, h, w, 3)`` to (height, width)."""
    if x.shape[1:3] == tuple(size):
        return x
    resized = np.empty((len(x), *size, *x.shape[3:]), np.uint8)
    if x.shape[3:] == (1,):
        resized[..., 0] = resize_images(x[..., 0], size)
        return resized
    for index, image in enumerate(x):
        picture = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR)
        resized[index] = np.asarray(picture)
    return resized
