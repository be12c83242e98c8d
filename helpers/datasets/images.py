"""Read any photo that a user may have into a uint8 array; name it in one line if it is broken."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from PIL.Image import Resampling

from helpers.errors import DatasetError

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".mpo", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
)
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")  # JPEG has the MPO files of phones, too
MAX_PIXELS = 50_000_000  # 150 MB as colour; a header that claims more is a mistake or an attack
MAX_BYTES = 500_000_000  # of a file: more than so many pixels take, even as 16-bit TIFF
CROP = 224 / 256  # of the shorter side, what networks of ImageNet see
MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV"})
# How to turn an image of each EXIF orientation. ImageOps.exif_transpose also writes the EXIF data
# anew, which fails where other parts of it are malformed.
ORIENTATION = 0x0112
Turn = Image.Transpose
TURNS = {2: Turn.FLIP_LEFT_RIGHT, 3: Turn.ROTATE_180, 4: Turn.FLIP_TOP_BOTTOM, 5: Turn.TRANSPOSE,
         6: Turn.ROTATE_270, 7: Turn.TRANSVERSE, 8: Turn.ROTATE_90}  # fmt: skip
# Where Pillow finds the orientation of a PNG; and chunks that may have it behind the pixels.
PNG_INFO = frozenset({"exif", "Raw profile type exif", "XML:com.adobe.xmp"})
PNG_CHUNKS = frozenset({b"eXIf", b"tEXt", b"zTXt", b"iTXt"})
# Tags of TIFF. Pillow hands 12 bits over as if they were 16, and white as 0 as it is.
BITS, PHOTOMETRIC = 258, 262

Resize = Callable[[Image.Image, tuple[int, int]], Image.Image]


def squeezed(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Bring all of an image to (height, width), whatever its proportions are."""
    return image.resize((size[1], size[0]), Resampling.BILINEAR)


def middle(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Cut the middle out, as networks of ImageNet are tested: 224 pixels where 256 are the side."""
    return ImageOps.fit(image, (size[1], size[0]), Resampling.BICUBIC, bleed=(1 - CROP) / 2)


def classic(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Squeeze an image as ``keras.utils.load_img(target_size=size)`` does: the nearest pixels."""
    return image.resize((size[1], size[0]), Resampling.NEAREST)


def open_image(path: Path) -> Image.Image:
    """Open an image lazily: its header is read and checked, its pixels are not."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:  # too long a name, or one with a zero byte
        raise DatasetError(f"{path}: no such file") from error
    if not stat.S_ISREG(status.st_mode):  # a pipe would wait for ever
        raise DatasetError(f"{path}: no image file but a folder, a pipe or a device")
    size = status.st_size
    if size > MAX_BYTES:
        raise DatasetError(f"{path}: {size:,} bytes; expected at most {MAX_BYTES:,}: shrink it")
    try:
        image = Image.open(path, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise DatasetError(_too_large(path, str(error))) from error
    except Exception as error:  # a broken header can make Pillow raise nearly anything
        content = "an empty file" if size == 0 else "no readable image, or a part of one"
        if reason := getattr(error, "strerror", None):
            content = f"a file that cannot be read ({reason})"
        raise DatasetError(
            f"{path}: found {content}; expected JPEG, PNG, BMP, GIF, WebP or TIFF: save it "
            "anew or remove it"
        ) from error
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise DatasetError(_too_large(path, f"{image.width}×{image.height} pixels"))
    return image


def _too_large(path: Path, found: str) -> str:
    return f"{path}: {found}; expected at most {MAX_PIXELS:,} pixels: shrink or remove it"


def is_grey(image: Image.Image) -> bool:
    """Tell from the header whether an image has a single channel."""
    return image.mode in {"1", "L", "LA"} or image.mode.startswith("I;16")


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return (height, width) of an opened file as ``read_image`` will give them."""
    turned = _may_be_turned(image) and _orientation(image) > 4
    return (image.width, image.height) if turned else (image.height, image.width)


def _may_be_turned(image: Image.Image) -> bool:
    if image.format != "PNG" or not PNG_INFO.isdisjoint(image.info):
        return image.format != "TIFF"  # of which Pillow tells the size as it will be
    # Pillow would decode all pixels to look behind them.
    kinds, place = [], image.fp.tell()
    image.fp.seek(8)
    while len(head := image.fp.read(8)) == 8:
        kinds.append(head[4:])
        image.fp.seek(int.from_bytes(head[:4]) + 4, os.SEEK_CUR)
    image.fp.seek(place)
    return b"IDAT" in kinds and not PNG_CHUNKS.isdisjoint(kinds[kinds.index(b"IDAT") :])


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ORIENTATION)
    except Exception:  # malformed EXIF data says nothing, and the pixels may be good
        return 1
    return value if isinstance(value, int) and value in TURNS else 1


def has_several(image: Image.Image) -> bool:
    """Tell whether a file holds more pictures, apart from the previews in an MPO file."""
    try:
        return image.format != "MPO" and getattr(image, "is_animated", False)
    except Exception:  # what follows the first picture is broken
        return False


def read_image(
    path: Path,
    size: tuple[int, int] | None = None,
    *,
    grey: bool = False,
    resize: Resize = squeezed,
    min_side: int = 1,
    several: list[str] | None = None,
) -> np.ndarray:
    """Read one image, upright, as uint8: (height, width) if it is to be grey, or (…, 3).

    Transparency is laid on white, 16-bit greys are divided by 257, and of several pictures in a
    file the first is taken; its path is added to ``several``.
    """
    with open_image(path) as image:
        if several is not None and has_several(image):
            several.append(str(path))
        if size is not None and max(size) * 2 < min(image.size) and resize is not classic:
            # JPEG decodes to a fraction of its size at a fraction of the cost; the twofold reserve
            # leaves the final resize enough to average over.
            image.draft(None, (2 * max(size), 2 * max(size)))
        return to_array(image, path, size, grey=grey, resize=resize, min_side=min_side)


def to_array(
    image: Image.Image,
    name: object,
    size: tuple[int, int] | None = None,
    *,
    grey: bool = False,
    resize: Resize = squeezed,
    min_side: int = 1,
) -> np.ndarray:
    """Turn an open Pillow image into a uint8 array, as ``read_image`` does; errors name it."""
    if min(image.size) < min_side:
        raise DatasetError(
            f"{name}: {image.width}×{image.height} pixels; expected at least {min_side}×{min_side}"
        )
    if image.mode not in MODES and not image.mode.startswith("I;16"):
        raise DatasetError(
            f"{name}: pixels of Pillow's mode {image.mode!r} have no certain black and white; "
            "expected 8 or 16 bits of grey or colour: save it as an 8-bit image"
        )
    try:
        image.load()
    except Exception as error:  # a broken body can make Pillow raise nearly anything
        raise DatasetError(
            f"{name}: the image is truncated or corrupt ({error}); replace or remove it"
        ) from error
    orientation = _orientation(image)
    if image.mode.startswith("I;16"):
        image = _in_eight_bits(image)
    if orientation in TURNS:
        image = image.transpose(TURNS[orientation])
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    image = image.convert("L" if grey else "RGB")
    return np.asarray(image if size is None else resize(image, size))


def _in_eight_bits(image: Image.Image) -> Image.Image:
    tags = getattr(image, "tag_v2", {})
    white = 2 ** tags.get(BITS, (16,))[0] - 1
    values = np.asarray(image).astype(np.uint32)
    values = white - values if tags.get(PHOTOMETRIC) == 0 else values
    return Image.fromarray(((values * 255 + white // 2) // white).clip(0, 255).astype(np.uint8))


def resize_images(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring a batch of uint8 images ``(n, h, w)`` or ``(n, h, w, 1 | 3)`` to (height, width)."""
    if x.shape[1:3] == tuple(size):
        return x
    resized = np.empty((len(x), *size, *x.shape[3:]), np.uint8)
    for image, place in zip(x, resized, strict=True):
        grey = image.shape[2:] == (1,)
        pixels = squeezed(Image.fromarray(image[..., 0] if grey else image), size)
        place[...] = np.asarray(pixels)[..., None] if grey else pixels
    return resized
