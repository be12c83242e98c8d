"""Every picture becomes the right bytes, upright, or is refused in one line that is true."""

import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from helpers.datasets import DatasetError, images

TURN = Image.Transpose
# What a camera does to an upright picture before it writes the orientation.
STORED = {
    1: None,
    2: TURN.FLIP_LEFT_RIGHT,
    3: TURN.ROTATE_180,
    4: TURN.FLIP_TOP_BOTTOM,
    5: TURN.TRANSPOSE,
    6: TURN.ROTATE_90,
    7: TURN.TRANSVERSE,
    8: TURN.ROTATE_270,
}
CLEAN = {"quality": 100, "subsampling": 0}
KINDS = {
    "jpg": ("JPEG", CLEAN),
    "png": ("PNG", {}),
    "webp": ("WEBP", {"lossless": True}),
    "tif": ("TIFF", {}),
    "mpo": ("MPO", CLEAN | {"save_all": True, "append_images": [Image.new("RGB", (8, 8))]}),
}


def upright() -> np.ndarray:
    """Draw a picture whose corners differ: red at the top left, blue at the bottom right."""
    pixels = np.zeros((24, 40, 3), np.uint8)
    pixels[:8, :16], pixels[-8:, -16:] = (255, 0, 0), (0, 0, 255)
    return pixels


def turned(orientation: int) -> tuple[Image.Image, Image.Exif]:
    picture, exif = Image.fromarray(upright()), Image.Exif()
    exif[0x0112] = orientation
    method = STORED[orientation]
    return picture if method is None else picture.transpose(method), exif


def header_size(path: Path) -> tuple[int, int]:
    with images.open_image(path) as image:
        return images.upright_size(image)


def refused(path: Path, **options) -> str:
    with pytest.raises(DatasetError) as caught:
        images.read_image(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("suffix", KINDS)
def test_orientation_holds_in_every_format(tmp_path, suffix, orientation):
    picture, exif = turned(orientation)
    path = tmp_path / f"photo.{suffix}"
    kind, options = KINDS[suffix]
    picture.save(path, kind, exif=exif, **options)
    pixels = images.read_image(path)
    assert header_size(path) == pixels.shape[:2] == (24, 40)
    assert np.abs(pixels.astype(int) - upright()).mean() < 5


def chunk(name: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)


def test_orientation_behind_the_pixels_of_a_png(tmp_path):
    picture, exif = turned(6)
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    content = stream.getvalue()
    end = content.rindex(b"IEND") - 4
    exif_chunk = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    path = tmp_path / "late.png"
    path.write_bytes(content[:end] + exif_chunk + content[end:])
    assert header_size(path) == images.read_image(path).shape[:2] == (24, 40)


def test_malformed_exif_data_spoils_no_photo(tmp_path):
    """The orientation is good, the tag beside it is not: to write it anew would fail."""
    picture, _ = turned(6)
    entries = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + struct.pack(
        "<HHI4s", 0x0100, 5, 1, b"abcd"
    )
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<I", 0) + bytes(60)
    picture.save(tmp_path / "odd.jpg", exif=exif, **CLEAN)
    assert header_size(tmp_path / "odd.jpg") == (24, 40)
    assert images.read_image(tmp_path / "odd.jpg").shape == (24, 40, 3)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_have_one_scale(tmp_path, suffix):
    """A dark photo stays darker than a bright one."""
    for value, expected in ((0, 0), (200, 1), (255, 1), (256, 1), (40_000, 156), (65_535, 255)):
        path = tmp_path / f"grey.{suffix}"
        Image.fromarray(np.full((20, 20), value, np.uint16)).save(path)
        assert (images.read_image(path, grey=True) == expected).all()
        assert images.read_image(path).shape == (20, 20, 3)


def tiff(bits: int, photometric: int, content: bytes, side: int = 4) -> bytes:
    """Write an uncompressed grey TIFF of side×side pixels."""
    tags = (
        *((256, side), (257, side), (258, bits), (259, 1), (262, photometric)),
        *((273, 8 + 2 + 9 * 12 + 4), (277, 1), (278, side), (279, len(content))),
    )
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + content


def test_twelve_bits_and_white_as_zero(tmp_path):
    twelve = bytes.fromhex("fff000" * 8)  # 4095 and 0, two numbers in three bytes
    (tmp_path / "twelve.tif").write_bytes(tiff(12, 1, twelve))
    assert images.read_image(tmp_path / "twelve.tif", grey=True)[0].tolist() == [255, 0, 255, 0]
    ramp = struct.pack("<16H", *[0, 65_535] * 8)
    (tmp_path / "negative.tif").write_bytes(tiff(16, 0, ramp))
    assert images.read_image(tmp_path / "negative.tif", grey=True)[0].tolist() == [255, 0, 255, 0]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_numbers_without_a_known_white_are_refused(tmp_path, mode):
    Image.new(mode, (20, 20)).save(tmp_path / "numbers.tif")
    message = refused(tmp_path / "numbers.tif")
    assert f"mode {mode!r}" in message
    assert "save it as an 8-bit image" in message
    assert "corrupt" not in message


def lab(picture: Image.Image) -> Image.Image:
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    return ImageCms.profileToProfile(picture, *profiles, outputMode="LAB")


def test_colours_that_pillow_cannot_convert_are_not_called_corrupt(tmp_path):
    lab(Image.fromarray(upright())).save(tmp_path / "lab.tif")
    assert "corrupt" not in refused(tmp_path / "lab.tif")


def test_an_error_of_ours_is_not_called_corruption(tmp_path):
    Image.fromarray(upright()).save(tmp_path / "good.png")

    def broken(image, size):
        raise ZeroDivisionError("ours")

    with pytest.raises(ZeroDivisionError, match="ours"):
        images.read_image(tmp_path / "good.png", (8, 8), resize=broken)


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "tif", "webp"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_truncated_file_is_called_so(tmp_path, suffix, share):
    path = tmp_path / f"photo.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    # Pillow opens a WebP file whole or not at all.
    assert ("a part of one" if suffix == "webp" else "truncated or corrupt") in refused(path)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_the_first_of_several_pictures_is_taken(tmp_path, suffix):
    red, blue = (Image.new("RGB", (20, 20), colour) for colour in ("red", "blue"))
    for name, further in (("one", {}), ("two", {"save_all": True, "append_images": [blue]})):
        path, several = tmp_path / f"{name}.{suffix}", []
        red.save(path, **further)
        pixels = images.read_image(path, several=several)
        assert np.abs(pixels.astype(int) - (255, 0, 0)).max() <= 3
        assert several == ([] if name == "one" else [str(path)])


def test_an_animation_that_breaks_off_gives_its_first_picture(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (2, 50, 50), np.uint8)
    first, second = map(Image.fromarray, noise)
    first.save(tmp_path / "one.gif")
    first.save(tmp_path / "two.gif", save_all=True, append_images=[second])
    length = (tmp_path / "one.gif").stat().st_size + 30
    (tmp_path / "two.gif").write_bytes((tmp_path / "two.gif").read_bytes()[:length])
    assert np.array_equal(images.read_image(tmp_path / "two.gif", grey=True, several=[]), noise[0])


def test_transparency_is_white_in_every_mode(tmp_path):
    clear = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    palette = Image.new("P", (20, 20))
    palette.putpalette([255, 0, 0])
    saved = {
        "rgba.png": (clear, {}),
        "la.png": (Image.new("LA", (20, 20), (0, 0)), {}),
        "palette.png": (palette, {"transparency": 0}),
        "palette.gif": (palette, {"transparency": 0}),
        "key.png": (Image.new("RGB", (20, 20), "red"), {"transparency": (255, 0, 0)}),
        "grey.png": (Image.new("L", (20, 20)), {"transparency": 0}),
        "rgba.webp": (clear, {"lossless": True}),
        "rgba.tif": (clear, {}),
    }
    for name, (picture, options) in saved.items():
        picture.save(tmp_path / name, **options)
        assert (images.read_image(tmp_path / name) == 255).all(), name


def test_cmyk_has_the_right_colours(tmp_path):
    for suffix in ("jpg", "tif"):
        Image.new("RGB", (20, 20), "red").convert("CMYK").save(tmp_path / f"cmyk.{suffix}")
        pixels = images.read_image(tmp_path / f"cmyk.{suffix}").astype(int)
        assert np.abs(pixels - (255, 0, 0)).max() <= 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in the file system")
def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    """To open a pipe would wait for ever, and to read a device would never end."""
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path, tmp_path / "pipe.jpg", Path("/dev/zero")):
        assert "a folder, a pipe or a device" in refused(path)
    assert refused(tmp_path / "none.jpg").endswith("no such file")
    assert refused(tmp_path / ("x" * 5000)).endswith("no such file")


def test_large_files_are_refused(tmp_path):
    with (tmp_path / "hole.png").open("wb") as file:
        file.truncate(images.MAX_BYTES + 1)
    assert "expected at most 500,000,000" in refused(tmp_path / "hole.png")


class Outline:
    """Stands in for a picture of any size, and looks at the part that is cut out of it."""

    def __init__(self, width: int, height: int) -> None:
        self.size = (width, height)

    def resize(self, size, method, box):
        left, top, right, bottom = box
        assert 0 <= left < right <= self.size[0]
        assert 0 <= top < bottom <= self.size[1]
        shorter = min(self.size[0] / size[0], self.size[1] / size[1])
        assert right - left == pytest.approx(0.875 * shorter * size[0])
        assert bottom - top == pytest.approx(0.875 * shorter * size[1])
        assert left + right == pytest.approx(self.size[0])
        assert top + bottom == pytest.approx(self.size[1])
        return size


SIDE = st.integers(1, 5000)


@settings(max_examples=2000, deadline=None)
@given(width=SIDE, height=SIDE, size=st.sampled_from([(224, 224), (299, 299), (192, 256), (7, 3)]))
def test_the_cut_lies_within_photos_of_any_size(width, height, size):
    assert images.middle(Outline(width, height), size) == (size[1], size[0])


@settings(max_examples=60, deadline=None)
@given(width=SIDE, height=st.integers(1, 40), upright=st.booleans())
def test_photos_of_any_size_become_the_size_asked_for(width, height, upright):
    picture = Image.new("L", (width, height) if upright else (height, width))
    for resize in (images.middle, images.squeezed, images.classic):
        assert images.to_array(picture, "x", (224, 224), resize=resize).shape == (224, 224, 3)


@pytest.mark.parametrize("size", [(500, 478), (600, 450), (457, 600), (224, 224), (500, 375)])
def test_the_middle_is_cut_as_published(size):
    """The shorter side becomes 256 pixels, bicubic, and 224×224 in the middle remain."""
    noise = np.random.default_rng(0).integers(0, 256, (size[1] // 8, size[0] // 8, 3), np.uint8)
    photo = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
    scale = 256 / min(size)
    scaled = photo.resize([round(scale * side) for side in size], Image.Resampling.BICUBIC)
    left, top = ((side - 224) // 2 for side in scaled.size)
    expected = np.asarray(scaled.crop((left, top, left + 224, top + 224))).astype(int)
    difference = np.abs(images.to_array(photo, "x", (224, 224), resize=images.middle) - expected)
    # Here the cut begins between two pixels, there on one.
    assert difference.mean() < np.abs(np.roll(expected, 3, axis=1) - expected).mean() / 4


def test_the_classic_way_is_that_of_keras(tmp_path):
    import keras

    noise = np.random.default_rng(0).integers(0, 256, (700, 500, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.jpg")
    expected = np.asarray(keras.utils.load_img(tmp_path / "photo.jpg", target_size=(224, 224)))
    found = images.read_image(tmp_path / "photo.jpg", (224, 224), resize=images.classic)
    assert np.array_equal(found, expected)


def installed_pictures() -> list[Path]:
    import matplotlib
    import skimage
    import sklearn

    folders = (
        Path(skimage.__file__).parent / "data",
        Path(sklearn.__file__).parent / "datasets" / "images",
        Path(matplotlib.__file__).parent / "mpl-data",
    )
    every = (path for folder in folders for path in folder.rglob("*"))
    return sorted(path for path in every if path.suffix.lower() in images.SUFFIXES)


def test_pictures_of_other_packages():
    """They were not made for this: each is read in the size of its header, or refused in a line."""
    pictures = installed_pictures()
    assert len(pictures) > 20
    for path in pictures:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                pixels = images.read_image(path)
            except DatasetError as error:
                assert "\n" not in str(error)
                assert path.name == "multipage_rgb.tif", error  # 64-bit numbers, colour by colour
                continue
        assert pixels.shape == (*header_size(path), 3)
        assert pixels.dtype == np.uint8
        assert images.read_image(path, (50, 60), resize=images.middle).shape == (50, 60, 3)


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory):
    """Return the bytes of one small photo in each format, by suffix."""
    folder = tmp_path_factory.mktemp("whole")
    picture, exif = turned(6)
    for suffix, (kind, options) in KINDS.items():
        picture.save(folder / f"photo.{suffix}", kind, exif=exif, **options)
    picture.save(folder / "photo.gif", save_all=True, append_images=[picture.rotate(90)])
    picture.save(folder / "photo.bmp")
    return {path.suffix: path.read_bytes() for path in folder.iterdir()}


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_bytes_give_a_picture_or_one_line(whole_files, tmp_path_factory, data):
    suffix = data.draw(st.sampled_from(sorted(whole_files)))
    content = bytearray(whole_files[suffix])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, 300) | st.integers(0, len(content) - 1))
        content[place % len(content)] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / f"damaged{suffix}"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            size = header_size(path)
            assert images.read_image(path, several=[]).shape == (*size, 3)
        except DatasetError as error:
            assert "\n" not in str(error)
