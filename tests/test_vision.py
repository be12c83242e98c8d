"""Classifiers take any photo, preprocess as published, and say what they see in a table."""

import functools
import struct
import sys
import threading
import time
import tracemalloc
import zlib

import keras
import numpy as np
import pytest
from PIL import Image
from stand_in import write_weights

from helpers.datasets import DatasetError
from helpers.errors import CourseError
from helpers.vision import (
    architectures,
    classifier,
    load_classifier,
    networks,
    photo_labels,
    photos,
)
from helpers.vision.photos import list_photos

SIZE = (224, 224)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Return a small classifier with weights from a file, which are random."""
    model = keras.applications.MobileNet(weights=None, alpha=0.25)
    path = write_weights(tmp_path_factory.mktemp("weights") / "mobilenet.h5", model)
    return load_classifier("MobileNet", path, alpha=0.25)


@pytest.fixture
def predict(network):
    """Return the network's predict, without bar."""
    return functools.partial(network.predict, progress=False)


def scene(height=60, width=80) -> np.ndarray:
    """Draw a photo whose four corners differ: black, red, green and blue, on a slope of grey."""
    pixels = np.repeat(np.linspace(40, 200, width, dtype=np.uint8)[None, :, None], height, 0)
    pixels = np.repeat(pixels, 3, 2)
    colours = ((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255))
    for colour, (row, column) in zip(colours, ((0, 0), (0, 1), (1, 0), (1, 1)), strict=True):
        rows = slice(0, height // 3) if row == 0 else slice(-height // 3, None)
        columns = slice(0, width // 3) if column == 0 else slice(-width // 3, None)
        pixels[rows, columns] = colour
    return pixels


@pytest.fixture
def folder(tmp_path):
    """Make a folder of five photos, one of them deeper down, and a file that is none."""
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.jpg", "c.bmp", "d.gif", "deep/e.png"):
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)).save(
            tmp_path / "photos" / name
        )
    (tmp_path / "photos" / "notes.txt").write_text("no photo")
    return tmp_path / "photos"


def pixels_of(network, photo) -> np.ndarray:
    (pixels,) = network.load_photos(photo).values()
    assert pixels.dtype == np.uint8
    assert pixels.shape == (*SIZE, 3)
    return pixels.astype(int)


def test_prediction_is_a_tidy_table(predict, folder):
    table = predict(folder, top=4)
    assert list(table) == ["file", "rank", "wordnet_id", "label", "probability"]
    names = ["a.png", "b.jpg", "c.bmp", "d.gif", "deep/e.png"]
    assert list(table["file"]) == np.repeat(names, 4).tolist()
    assert list(table["rank"]) == [1, 2, 3, 4] * 5
    assert (table.groupby("file")["probability"].diff().dropna() <= 0).all()
    assert table.attrs["skipped"] == {}


def test_probabilities_add_up(predict, folder):
    table = predict(folder, top=1000)
    assert np.allclose(table.groupby("file")["probability"].sum(), 1, atol=1e-4)
    assert table.groupby("file")["wordnet_id"].nunique().eq(1000).all()


def test_batches_do_not_matter(predict, folder):
    one, two, all_ = (predict(folder, batch_size=n) for n in (1, 2, 32))
    for other in (two, all_):
        assert list(other["label"]) == list(one["label"])
        assert np.allclose(other["probability"], one["probability"], atol=1e-5)


@pytest.mark.parametrize("kind", ["path", "str", "list", "pillow", "array", "list of arrays"])
def test_one_photo_in_any_form(network, tmp_path, kind):
    path = tmp_path / "scene.png"
    Image.fromarray(scene()).save(path)
    given = {
        "path": path,
        "str": str(path),
        "list": [path],
        "pillow": Image.open(path),
        "array": scene(),
        "list of arrays": [scene()],
    }[kind]
    expected = pixels_of(network, scene()[None])
    assert np.array_equal(pixels_of(network, given), expected)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.astype("float32"),
        lambda p: p / 255.0,
        lambda p: p.astype(np.uint16) * 257,
        lambda p: p.astype(">u2") * 257,
        lambda p: p.astype("int64"),
        lambda p: np.concatenate([p, np.full((*p.shape[:2], 1), 255, np.uint8)], axis=2),
    ],
    ids=["float of bytes", "float of 1", "16 bits", "big-endian", "int64", "RGBA"],
)
def test_arrays_of_any_kind(network, change):
    expected = pixels_of(network, scene())
    assert np.abs(pixels_of(network, change(scene())) - expected).max() <= 1


@pytest.mark.parametrize("shape", [(60, 80), (60, 80, 1), (1, 60, 80, 1)])
def test_grey_arrays(network, shape):
    grey = scene()[..., 1].reshape(shape)
    pixels = pixels_of(network, grey)
    assert np.array_equal(pixels[..., 0], pixels[..., 2])
    assert np.array_equal(pixels, pixels_of(network, np.repeat(scene()[..., 1:2], 3, 2)))


def test_several_photos_in_arrays(network):
    assert list(network.load_photos(np.stack([scene()] * 3))) == ["image 0", "image 1", "image 2"]
    assert len(network.load_photos(np.zeros((4, 30, 40), np.uint8))) == 4
    assert len(network.load_photos([scene(), Image.fromarray(scene(90, 50))])) == 2


def test_files_of_any_mode(network, tmp_path):
    photo = Image.fromarray(scene())
    expected = pixels_of(network, scene())
    exif = Image.Exif()
    exif[0x0112] = 6  # shot with the camera turned: shown, it has to be turned back
    saved = {
        "rgba.png": (photo.convert("RGBA"), {}, 1),
        "palette.png": (photo.convert("P", palette=Image.Palette.ADAPTIVE), {}, 40),
        "palette.gif": (photo.convert("P", palette=Image.Palette.ADAPTIVE), {}, 40),
        "cmyk.jpg": (photo.convert("CMYK"), {"quality": 98}, 60),
        "turned.jpg": (photo.rotate(90, expand=True), {"exif": exif, "quality": 98}, 60),
    }
    for name, (image, options, tolerance) in saved.items():
        image.save(tmp_path / name, **options)
        difference = np.abs(pixels_of(network, tmp_path / name) - expected)
        assert difference.mean() < 5, name
        assert np.quantile(difference, 0.95) <= tolerance, name


def test_photos_that_are_prepared_stay_as_they_are(network, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    once = network.load_photos(noise)["image 0"]
    assert np.array_equal(network.load_photos(once)["image 0"], once)
    assert np.array_equal(network.load_photos(Image.fromarray(once))["image 0"], once)
    # Of a file that happens to have this size nobody knows it, so it is prepared as published.
    Image.fromarray(once).save(tmp_path / "small.png")
    assert not np.array_equal(network.load_photos(tmp_path / "small.png")["small.png"], once)


def test_the_classic_size_is_a_parameter(network, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    path = tmp_path / "photo.jpg"
    Image.fromarray(noise).save(path)
    classic = np.asarray(keras.utils.load_img(path, target_size=SIZE))
    (pixels,) = network.load_photos(path, target_size=SIZE).values()
    assert np.array_equal(pixels, classic)
    for options, prepared in (
        ({"target_size": list(SIZE)}, classic),
        ({}, pixels_of(network, path)),
    ):
        table = network.predict(path, top=1000, progress=False, **options)
        chances = network.probabilities(prepared[None].astype(np.uint8))[0]
        assert np.allclose(table["probability"], np.sort(chances)[::-1], atol=1e-6)
    for size in ((224, 225), 224, (299, 299)):
        with pytest.raises(CourseError, match=r"target_size is .*; expected \(224, 224\)"):
            network.predict(path, target_size=size)


def test_files_that_predict_passes_over_are_said(predict, folder):
    with pytest.warns(UserWarning, match=r"1 files left out, such as notes.txt: no .*\.webp"):
        assert predict(folder, top=1)["file"].nunique() == 5
    for junk in (".ipynb_checkpoints", "__MACOSX"):
        (folder / junk).mkdir()
        Image.fromarray(scene()).save(folder / junk / "a.png")
    for suffix in ("webp", "tiff"):
        Image.fromarray(scene()).save(folder / f"f.{suffix}")
    assert set(predict(folder, top=1)["file"].str[:1]) == set("abcdf")


def test_several_pictures_in_a_file_are_said(predict, tmp_path):
    first, second = Image.fromarray(scene()), Image.fromarray(scene()[::-1])
    first.save(tmp_path / "pages.tif", save_all=True, append_images=[second])
    with pytest.warns(UserWarning, match=r"1 files hold several pictures, such as .*pages\.tif"):
        table = predict(tmp_path / "pages.tif")
    assert np.allclose(table["probability"], predict(scene())["probability"], atol=1e-5)


def test_a_broken_photo_in_a_mixed_list_stops_nothing(predict, folder):
    (folder / "half.jpg").write_bytes((folder / "b.jpg").read_bytes()[:500])
    with pytest.warns(UserWarning, match=r"1 of 3 photos skipped: .*half\.jpg"):
        table = predict([scene(), folder / "half.jpg", folder / "a.png"], top=1)
    assert list(table["file"]) == ["image 0", "a.png"]


@pytest.mark.parametrize("count", [2, 4, 5])
def test_grey_photos_in_one_array(network, count):
    grey = np.stack([scene()[..., 1]] * count)
    assert len(network.load_photos(grey)) == count
    assert len(network.load_photos(np.stack([scene()[..., 1]] * 3)[..., None])) == 3


def test_deep_grey_and_transparency(network, tmp_path):
    grey = np.linspace(0, 65535, 60 * 80).reshape(60, 80).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "deep.png")
    pixels = pixels_of(network, tmp_path / "deep.png")
    assert pixels.min() < 20
    assert pixels.max() > 235
    clear = np.zeros((60, 80, 4), np.uint8)
    Image.fromarray(clear).save(tmp_path / "clear.png")
    assert (pixels_of(network, tmp_path / "clear.png") == 255).all()


def test_proportions_are_kept(network):
    """The middle is cut out: a circle stays one."""
    rows, columns = np.ogrid[:100, :200]
    disc = np.where((rows - 50) ** 2 + (columns - 100) ** 2 < 40**2, 255, 0).astype(np.uint8)
    pixels = pixels_of(network, disc)[..., 0] > 127
    assert abs(int(pixels.any(axis=0).sum()) - int(pixels.any(axis=1).sum())) <= 2
    assert pixels.any(axis=0).sum() == pytest.approx(0.8 * 256, abs=4)


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that says how large it is, and ends there."""
    data = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + data + struct.pack(">I", zlib.crc32(data))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\x00\x00\x00\x00IEND\xaeB`\x82"


def broken_photos(folder) -> dict[str, str]:
    """Write photos that cannot be read; return what has to be said of each."""
    (folder / "text.jpg").write_text("not a photo at all")
    (folder / "empty.png").write_bytes(b"")
    (folder / "huge.png").write_bytes(png_header(30_000, 30_000))
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(folder / "dot.png")
    whole = folder / "whole.jpg"
    Image.fromarray(scene(300, 400)).save(whole)
    (folder / "half.jpg").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    whole.unlink()
    return {
        "text.jpg": "found no readable image, or a part of one",
        "empty.png": "found an empty file",
        "huge.png": "expected at most",
        "dot.png": "1×1 pixels; expected at least 16×16",
        "half.jpg": "truncated",
    }


def test_broken_photos_are_named_and_stop_nothing(predict, folder):
    reasons = broken_photos(folder)
    with pytest.warns(UserWarning, match=r"5 of 10 photos skipped: .*dot.png"):
        table = predict([*folder.glob("*.*g*"), folder / "c.bmp", folder / "deep/e.png"])
    assert set(table["file"]) == {"a.png", "b.jpg", "c.bmp", "d.gif", "e.png"}
    assert set(table.attrs["skipped"]) == set(reasons)
    for name, reason in table.attrs["skipped"].items():
        assert reasons[name] in reason, reason
        assert name in reason
        assert "\n" not in reason


def test_a_broken_photo_alone_is_an_error(network, folder):
    for name, reason in broken_photos(folder).items():
        with pytest.raises(DatasetError, match=reason) as caught:
            network.predict(folder / name, progress=False)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("phtos", r"no such file or folder.*Did you mean 'photos'"),
        ([], "There is no photo in the list"),
        (3, "photos is int; expected a path"),
        (None, "photos is NoneType"),
        (np.zeros((0, 60, 80, 3), np.uint8), "there is no pixel"),
        (np.array(7, np.uint8), r"shape \(\); expected"),
        (
            np.zeros((3, 60, 80), np.uint8),
            r"expected photos\[\.\.\., None\] of three grey ones, or np\.moveaxis",
        ),
        (np.zeros((2, 3, 60, 80)), r"shape \(2, 3, 60, 80\)"),
        (np.zeros((60, 80, 2), np.uint8), "expected"),
        (np.full((60, 80, 3), -0.5), "from -0.5 to -0.5; expected uint8"),
        (np.full((60, 80, 3), 300.0), "expected uint8"),
        (np.full((60, 80, 3), np.nan), "expected uint8"),
        (np.array([["a", "b"]]), "expected uint8"),
        (np.full((60, 80, 3), 200, np.uint16), "uint16 from 200 to 200; expected uint8"),
        (np.full((60, 80, 3), 300), "int64 from 300 to 300; expected uint8"),
    ],
)
def test_what_is_no_photo_is_refused(network, folder, monkeypatch, given, reason):
    monkeypatch.chdir(folder.parent)
    with pytest.raises(DatasetError, match=reason) as caught:
        network.predict(given, progress=False)
    assert "\n" not in str(caught.value)


def test_a_folder_without_photos_is_refused(network, tmp_path):
    with pytest.raises(DatasetError, match="holds no image"):
        network.predict(tmp_path)


def test_bad_numbers_are_refused(network):
    for options, reason in (
        ({"top": 0}, "top is 0; expected 1 to 1000"),
        ({"top": 1001}, "top is 1001"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 2.5}, "batch_size is 2.5"),
    ):
        with pytest.raises(CourseError, match=reason):
            network.predict(scene(), **options)


def test_untrained_network_does_not_predict():
    untrained = load_classifier("MobileNet", None, alpha=0.25)
    assert "UNTRAINED" in repr(untrained)
    assert untrained.weights is None
    with pytest.raises(CourseError, match="untrained: its predictions mean nothing"):
        untrained.predict(scene())
    assert untrained.probabilities(np.zeros((1, *SIZE, 3), np.uint8)).shape == (1, 1000)


def test_labels_need_no_download(network):
    labels = network.class_names
    assert len(labels) == len(set(labels)) + 2 == 1000  # two cranes, two maillots
    assert [labels[n] for n in (0, 282, 967)] == ["tench", "tiger_cat", "espresso"]
    assert network.predict(scene(), progress=False)["label"].isin(labels).all()


@pytest.mark.parametrize(
    "architecture", [name for name in architectures() if hasattr(keras.applications, name)]
)
def test_preprocessing_is_the_published_one(architecture):
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 9, 3)).astype(np.float32)
    builder = getattr(keras.applications, architecture)
    expected = sys.modules[builder.__module__].preprocess_input(images.copy())
    found = networks.preprocessing_model(builder, (8, 9))(images)
    assert np.allclose(found, expected, atol=1e-4)


def test_vgg16_subtracts_the_mean_in_blue_green_red():
    """Simonyan and Zisserman (2014) subtract the mean; the weights are those of Caffe, in BGR."""
    pixel = np.array([[[[10.0, 100.0, 200.0]]]], np.float32)
    found = np.asarray(
        networks.preprocessing_model(keras.applications.VGG16, (1, 1))(pixel)
    ).ravel()
    assert np.allclose(found, [200 - 103.939, 100 - 116.779, 10 - 123.68], atol=1e-3)


def test_photos_are_decoded_while_others_are_computed(network, predict, tmp_path, monkeypatch):
    """The first batch waits until a photo of the second is decoded, which would never come."""
    count, batch = 64, 8
    for number in range(count):
        Image.fromarray(scene()).save(tmp_path / f"{number:02}.png")
    decoded, further = [], threading.Event()
    own_decode = photos.decode
    compute = network.probabilities

    def decode(photo, *options):
        decoded.append(photo.name)
        if len(decoded) > batch:
            further.set()
        return own_decode(photo, *options)

    def probabilities(images):
        assert further.wait(30), "nothing was decoded while the first batch was computed"
        return compute(images)

    monkeypatch.setattr(photos, "decode", decode)
    monkeypatch.setattr(network, "probabilities", probabilities)
    table = predict(tmp_path, top=1, batch_size=batch)
    assert list(table["file"]) == [f"{number:02}.png" for number in range(count)]


def test_only_a_bounded_number_is_decoded_ahead(monkeypatch):
    listed = list_photos(np.zeros((3000, 20, 20), np.uint8))
    begun = []
    monkeypatch.setattr(
        photos, "decode", lambda photo, size, *_: begun.append(photo) or np.zeros(size)
    )
    monkeypatch.setattr(photos.folders, "usable_cores", lambda: 2)
    stream = photos.readable(listed, SIZE)
    next(stream)
    time.sleep(0.5)  # for threads that would run on
    assert 0 < len(begun) < 500
    stream.close()


def test_memory_does_not_grow_with_the_folder(network, predict, monkeypatch):
    count = 800
    pixels = np.zeros((*SIZE, 3), np.uint8)
    monkeypatch.setattr(photos, "decode", lambda *_: pixels)
    compute, held = network.probabilities, []

    def probabilities(images):
        held.append(tracemalloc.get_traced_memory()[0])
        return compute(images)

    monkeypatch.setattr(network, "probabilities", probabilities)
    listed = list_photos(np.zeros((count, 20, 20), np.uint8))
    monkeypatch.setattr(classifier, "list_photos", lambda _: listed)
    tracemalloc.start()
    try:
        predict("all")
    finally:
        tracemalloc.stop()
    per_photo = (held[-1] - held[10]) / (count - 10 * classifier.BATCH)
    assert per_photo < 500  # bytes; the ranks of 1,000 classes would be 8,000


@pytest.mark.parametrize(
    ("architecture", "options", "first", "among_five"),
    [("MobileNet", {"alpha": 0.25}, 22, 30), ("EfficientNetLite0", {}, 33, 37)],
)
def test_real_networks_name_real_photos(architecture, options, first, among_five, course_data):
    """So many of 40 are asked for; chance would be none."""
    network = load_classifier(architecture, **options)
    table = network.predict(course_data / "images", top=5, progress=False)
    truth = photo_labels(course_data / "images")
    right = table["label"] == table["file"].map(lambda file: truth[file][0])
    assert len(truth) == 40
    assert right[table["rank"] == 1].sum() >= first
    assert right.groupby(table["file"]).any().sum() >= among_five
    ids = table["file"].str.partition("_")[0]
    assert (table["wordnet_id"][right] == ids[right]).all()
