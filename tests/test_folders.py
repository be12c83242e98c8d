"""Folders of images and of texts: every kind loads, every fault is named, memory stays bounded."""

import os
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image
from refusals import refusal

from helpers.datasets import folders, images, load_dataset


def test_grey_images(image_folder):
    data = load_dataset(image_folder)
    assert data.class_names == ("circle", "line", "square")
    assert data.input_shape == (12, 10)
    assert len(data.x_train) + len(data.x_test) == 18
    assert set(data.y_test) == {0, 1, 2}
    # The grey level tells the class, so labels and images must still belong together.
    np.testing.assert_array_equal(data.x_train.mean(axis=(1, 2)) // 80, data.y_train)


def test_same_seed_same_split(image_folder):
    first, again, other = (load_dataset(image_folder, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.x_train, again.x_train)
    assert not np.array_equal(first.x_train, other.x_train)


def test_train_and_test_folders_are_the_split(image_folder, tmp_path):
    root = tmp_path / "split"
    root.mkdir()
    image_folder.rename(root / "train")
    for name in ("circle", "line", "square"):
        (root / "test" / name).mkdir(parents=True)
        Image.new("L", (10, 12)).save(root / "test" / name / "0.png")
    data = load_dataset(root)
    assert (len(data.x_train), len(data.x_test)) == (18, 3)
    (root / "test" / "extra").mkdir()
    Image.new("L", (10, 12)).save(root / "test" / "extra" / "0.png")
    assert "class 'extra' is in only one of train/ and test/" in refusal(root)


@pytest.mark.parametrize(
    ("mode", "suffix", "shape"),
    [
        ("RGB", "jpg", (12, 10, 3)),
        ("L", "jpeg", (12, 10)),
        ("RGB", "bmp", (12, 10, 3)),
        ("RGB", "webp", (12, 10, 3)),
        ("RGB", "tif", (12, 10, 3)),
        ("L", "tiff", (12, 10)),
        ("I;16", "tif", (12, 10)),
        ("CMYK", "tif", (12, 10, 3)),
        ("P", "gif", (12, 10, 3)),
        ("RGBA", "png", (12, 10, 3)),
        ("LA", "png", (12, 10)),
        ("1", "png", (12, 10)),
        ("I;16", "png", (12, 10)),
        ("CMYK", "jpg", (12, 10, 3)),
    ],
)
def test_every_kind_of_image(tmp_path, mode, suffix, shape):
    for name in ("a", "b"):
        (tmp_path / "f" / name).mkdir(parents=True)
        for index in range(2):
            Image.new(mode, (10, 12)).save(tmp_path / "f" / name / f"{index}.{suffix}")
    assert load_dataset(tmp_path / "f").input_shape == shape


def test_sixteen_bit_greys_keep_their_range(tmp_path):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    read = images.read_image(tmp_path / "ramp.png", grey=True)
    np.testing.assert_allclose(read.ravel(), np.arange(256), atol=1)


def test_transparency_is_laid_on_white(tmp_path):
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "t.png")
    assert (images.read_image(tmp_path / "t.png") == 255).all()


def test_exif_orientation_is_applied(tmp_path):
    picture = Image.new("RGB", (20, 10), "white")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    assert images.read_image(tmp_path / "turned.jpg").shape == (20, 10, 3)
    with images.open_image(tmp_path / "turned.jpg") as opened:
        assert images.upright_size(opened) == (20, 10)


def save_grey(folder, count=4, level=0, suffix="png"):
    """Save grey pictures of one level, which tells in the tests below where they come from."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        Image.new("L", (10, 12), level).save(folder / f"{index}.{suffix}")


def warned(path, **options):
    """Load a folder; return the data and what was said in one line each."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = load_dataset(path, **options)
    messages = [str(warning.message) for warning in caught]
    assert not any("\n" in message for message in messages)
    return data, messages


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("train", "val", "test"),
        ("training", "validation", "testing"),
        ("Train_Set", "valid", "TEST-data"),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_the_validation_part_is_the_third_part(tmp_path, train, val, test, streaming):
    for level, (part, count) in enumerate(((train, 6), (val, 3), (test, 2))):
        for name in ("cat", "dog"):
            save_grey(tmp_path / "pets" / part / name, count, 100 * level)
    data, messages = warned(tmp_path / "pets", streaming=streaming)
    assert not messages
    if streaming:
        assert (data.n_train, data.n_validation, data.n_test) == (12, 6, 4)
        assert {level for x, _ in data.validation for level in np.unique(x)} == {100}
    else:
        assert [len(y) for y in (data.y_train, data.y_val, data.y_test)] == [12, 6, 4]
        assert [np.unique(x).tolist() for x in (data.x_train, data.x_val, data.x_test)] == [
            *([0], [100], [200])
        ]
        assert np.bincount(data.y_val).tolist() == [3, 3]


def test_training_validates_on_the_part_of_a_stream(tmp_path):
    from helpers.training.data import make_task

    for part in ("train", "val", "test"):
        for name in ("cat", "dog"):
            save_grey(tmp_path / "pets" / part / name)
    stream = load_dataset(tmp_path / "pets", streaming=True)
    assert make_task(stream, None, None, 0).validation is stream.validation
    assert make_task(stream, None, stream, 0).validation is stream.validation


def test_without_a_test_folder_some_training_files_are_held_out_and_it_is_said(tmp_path):
    for part in ("train", "val"):
        for name in ("ant", "bee"):
            save_grey(tmp_path / "insects" / part / name, 5, 200 * (part == "val"))
    data, messages = warned(tmp_path / "insects")
    assert [len(y) for y in (data.y_train, data.y_val, data.y_test)] == [8, 10, 2]
    assert np.unique(data.x_test).tolist() == [0]
    assert len(messages) == 1
    assert "no test/ beside train/ and val/, so 20% of the training files" in messages[0]


def test_parts_that_contradict_each_other_are_refused(tmp_path):
    for part in ("train", "training", "test"):
        for name in ("ant", "bee"):
            save_grey(tmp_path / "insects" / part / name)
    assert "found both train/ and training/" in refusal(tmp_path / "insects")
    (tmp_path / "insects" / "training").rename(tmp_path / "insects" / "valid")
    save_grey(tmp_path / "insects" / "valid" / "fly")
    assert "'fly' is in only one of train/ and valid/" in refusal(tmp_path / "insects")


def test_what_is_beside_the_parts_is_said(tmp_path):
    for part in ("train", "test", "extra"):
        for name in ("ant", "bee"):
            save_grey(tmp_path / "insects" / part / name)
    (message,) = warned(tmp_path / "insects")[1]
    assert "extra/ beside train/ is no part of the split" in message


def test_parts_of_other_names_are_not_taken_for_classes(tmp_path):
    for part in ("day 1", "day 2"):
        for name in ("ant", "bee"):
            save_grey(tmp_path / "insects" / part / name)
    message = refusal(tmp_path / "insects")
    assert "each of day 1, day 2 holds the same folders (ant, bee)" in message


def test_a_class_may_be_called_train(tmp_path):
    for name in ("bus", "train"):
        save_grey(tmp_path / "vehicles" / name)
    assert load_dataset(tmp_path / "vehicles").class_names == ("bus", "train")


def test_pictures_deeper_down_belong_to_the_class(image_folder):
    save_grey(image_folder / "line" / "2024" / "may", 2, 80)
    data, (message,) = warned(image_folder)
    assert "2 files lie deeper" in message
    assert "such as line/2024/may/0.png, and are taken for class 'line'" in message
    assert len(data.y_train) + len(data.y_test) == 20
    np.testing.assert_array_equal(data.x_train.mean(axis=(1, 2)) // 80, data.y_train)


def test_links_between_folders_end(image_folder):
    (image_folder / "line" / "again").symlink_to(image_folder / "line")
    data, _ = warned(image_folder)
    assert len(data.y_train) + len(data.y_test) == 18


def test_pictures_beside_the_class_folders_are_said(image_folder):
    Image.new("L", (10, 12)).save(image_folder / "stray.png")
    (message,) = warned(image_folder)[1]
    assert "1 files left out, such as stray.png" in message


@pytest.mark.parametrize("junk", [".ipynb_checkpoints", "__MACOSX", ".DS_Store", "Thumbs.db"])
def test_what_tools_leave_behind_is_neither_class_nor_photo(image_folder, junk):
    for folder in (image_folder, image_folder / "line"):
        if "." in junk[1:] or junk.startswith(".D"):
            (folder / junk).write_bytes(b"no picture")
        else:
            save_grey(folder / junk)
            save_grey(folder / junk / "line")
    data, messages = warned(image_folder)
    assert not messages
    assert data.class_names == ("circle", "line", "square")
    assert len(data.y_train) + len(data.y_test) == 18


def test_classes_called_by_numbers_are_in_their_order(tmp_path):
    for number in range(11):
        save_grey(tmp_path / "digits" / str(number), 4, 20 * number)
    data = load_dataset(tmp_path / "digits")
    assert data.class_names == tuple(map(str, range(11)))
    np.testing.assert_array_equal(data.x_train[:, 0, 0] // 20, data.y_train)


LABEL_TABLES = {
    "file and label": ("file,label", "{0}.png,{1}"),
    "id without end": ("id,label", "{0},{1}"),
    "semicolon": ("filename;other;class", "{0}.png;7;{1}"),
    "tab": ("image\tlabel", "{0}.png\t{1}"),
    "spaces": ("File , Label", "{0}.png , {1}"),
    "paths": ("file,label", "./{0}.png,{1}"),
    "mark of Excel": ("\ufefffile,label", "{0}.png,{1}"),
}


@pytest.mark.parametrize("table", LABEL_TABLES)
@pytest.mark.parametrize("inside", ["", "images"])
def test_a_table_of_labels_beside_pictures(tmp_path, table, inside):
    """Whichever way the table is written, the grey level tells the class."""
    folder = tmp_path / "flat" / inside
    folder.mkdir(parents=True)
    header, row = LABEL_TABLES[table]
    row = row.replace("./", f"./{inside}/" if inside else "./")
    lines = [header]
    for number in range(12):
        level = number % 3
        Image.new("L", (10, 12), 100 * level).save(folder / f"{number:02}.png")
        lines.append(row.format(f"{number:02}", ("ant", "bee", "fly")[level]))
    (tmp_path / "flat" / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    data, messages = warned(tmp_path / "flat", test_size=0.5)
    assert not messages
    assert data.class_names == ("ant", "bee", "fly")
    np.testing.assert_array_equal(data.x_train[:, 0, 0] // 100, data.y_train)
    np.testing.assert_array_equal(data.x_test[:, 0, 0] // 100, data.y_test)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("file,kind\n0.png,a\n", "no column 'label' among file, kind"),
        ("0.png,a\n1.png,b\n", "no column 'file' among 0.png, a"),
        ("file,label\n0.png,a\n9.png,b\n", "names '9.png', and 0 files have this name"),
        ("file,label\n0.png,a\n0.png,b\n", "'0.png' has two labels"),
        ("file,label\n0.png,a\n1.png,\n", "'1.png' has no label"),
        ("file,label\n0.png,a\n1.png,a\n", "has one label only"),
        ("file,label\n0.png,a\n1.png,a,b,c\n", "no table in UTF-8"),
        ("", "no table in UTF-8"),
    ],
)
def test_bad_tables_of_labels_are_refused(tmp_path, content, reason):
    save_grey(tmp_path / "flat")
    (tmp_path / "flat" / "labels.csv").write_text(content, encoding="utf-8")
    message = refusal(tmp_path / "flat")
    assert reason in message
    assert "labels.csv" in message


def test_pictures_that_a_table_does_not_name_are_said(tmp_path):
    save_grey(tmp_path / "flat", 5)
    rows = [f"{number}.png,{'ab'[number % 2]}" for number in range(4)]
    (tmp_path / "flat" / "labels.csv").write_text("\n".join(["file,label", *rows]))
    (message,) = warned(tmp_path / "flat", test_size=0.5)[1]
    assert "1 files left out, such as 4.png: labels.csv does not name it" in message


def test_tables_of_labels_in_parts(tmp_path):
    for part in ("train", "test"):
        save_grey(tmp_path / "split" / part)
        rows = [f"{number}.png,{'ab'[number % 2]}" for number in range(4)]
        table = tmp_path / "split" / part / "labels.csv"
        table.write_text("\n".join(["file,label", *rows]))
    data, messages = warned(tmp_path / "split")
    assert not messages
    assert (len(data.y_train), len(data.y_test)) == (4, 4)


def test_files_of_several_pictures_are_said(image_folder):
    first, second = Image.new("L", (10, 12), 80), Image.new("L", (10, 12), 200)
    first.save(image_folder / "line" / "pages.tif", save_all=True, append_images=[second])
    data, (message,) = warned(image_folder)
    assert "1 files hold several pictures" in message
    assert "pages.tif; the first of each is taken" in message
    np.testing.assert_array_equal(data.x_train.mean(axis=(1, 2)) // 80, data.y_train)


def test_photos_of_a_turned_camera_have_one_size(tmp_path):
    """The header's size, by which one size is checked, is that of the pixels."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a", "b"):
        save_grey(tmp_path / "f" / name, 2)
        Image.new("L", (12, 10)).save(tmp_path / "f" / name / "turned.png", exif=exif)
        Image.new("L", (12, 10)).save(
            tmp_path / "f" / name / "turned.mpo", exif=exif, save_all=True,
            append_images=[Image.new("L", (8, 8))],
        )  # fmt: skip
    assert load_dataset(tmp_path / "f").input_shape == (12, 10)


def test_mixed_sizes_need_image_size(image_folder):
    Image.new("L", (7, 5)).save(image_folder / "line" / "odd.png")
    message = refusal(image_folder)
    assert "odd.png" in message
    assert "5×7" in message
    assert "image_size=(height, width)" in message
    assert load_dataset(image_folder, image_size=(8, 6)).input_shape == (8, 6)


def test_one_colour_image_makes_all_colour(image_folder):
    Image.new("RGB", (10, 12), "red").save(image_folder / "line" / "red.png")
    assert load_dataset(image_folder).input_shape == (12, 10, 3)
    assert load_dataset(image_folder, color_mode="grayscale").input_shape == (12, 10)


def test_large_jpeg_is_shrunk_faithfully(tmp_path):
    gradient = np.tile(np.linspace(0, 255, 800).astype(np.uint8), (600, 1))
    Image.fromarray(gradient).save(tmp_path / "g.jpg", quality=95)
    small = images.read_image(tmp_path / "g.jpg", (30, 40), grey=True).astype(float)
    np.testing.assert_allclose(small.mean(axis=0), np.linspace(3, 252, 40), atol=4)


def png_header(width: int, height: int) -> bytes:
    """Write a PNG that claims a size and holds next to nothing."""

    def chunk(name: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


FAULTS = {
    "truncated": (half, "truncated or corrupt"),
    "empty": (lambda p: p.write_bytes(b""), "an empty file"),
    "text": (lambda p: p.write_text("not an image"), "no readable image"),
    "30,000 pixels wide": (lambda p: p.write_bytes(png_header(30_000, 30_000)), "pixels"),
    "12,000 pixels wide": (lambda p: p.write_bytes(png_header(12_000, 12_000)), "12000×12000"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_broken_image_is_named(image_folder, fault):
    damage, part = FAULTS[fault]
    damage(image_folder / "line" / "3.png")
    message = refusal(image_folder)
    assert str(image_folder / "line" / "3.png") in message
    assert part in message
    assert "remove it" in message


@pytest.mark.parametrize("fault", ["truncated", "text"])
def test_broken_image_is_skipped_only_when_asked(image_folder, fault):
    FAULTS[fault][0](image_folder / "line" / "3.png")
    with pytest.warns(UserWarning, match=r"1 broken files left out: .*3\.png"):
        data = load_dataset(image_folder, on_error="skip")
    assert data.skipped == (str(image_folder / "line" / "3.png"),)
    assert len(data.x_train) + len(data.x_test) == 17
    np.testing.assert_array_equal(data.x_train.mean(axis=(1, 2)) // 80, data.y_train)


def test_skipping_must_not_empty_a_class(image_folder):
    for path in (image_folder / "line").iterdir():
        half(path)
    with pytest.warns(UserWarning, match="6 broken"):
        assert "class 'line' has no readable file" in refusal(image_folder, on_error="skip")


def test_link_to_itself_is_no_image(image_folder):
    (image_folder / "line" / "loop.png").symlink_to("loop.png")
    assert len(load_dataset(image_folder).x_train) + len(load_dataset(image_folder).x_test) == 18


def test_exif_orientation_that_is_no_number(image_folder):
    entry = struct.pack("<HHI4s", 0x0112, 2, 4, b"abc\0")  # orientation, as text
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)
    Image.new("L", (10, 12)).save(image_folder / "line" / "odd.jpg", exif=exif)
    assert load_dataset(image_folder).input_shape == (12, 10)


def test_empty_class_folder(image_folder):
    (image_folder / "void").mkdir()
    message = refusal(image_folder)
    assert "void" in message
    assert "nothing" in message
    (image_folder / "void" / "picture.heic").write_bytes(b"ftyp")
    assert "only other files (such as picture.heic)" in refusal(image_folder)


def test_folder_without_classes(tmp_path):
    assert "found 0 class folders" in refusal(tmp_path)


def test_class_with_a_single_image(image_folder):
    (image_folder / "lonely").mkdir()
    Image.new("L", (10, 12)).save(image_folder / "lonely" / "0.png")
    assert "'lonely' has 1 sample" in refusal(image_folder)


def test_other_files_are_left_out_with_a_warning(image_folder):
    (image_folder / "line" / "notes.md").write_text("x")
    (image_folder / "line" / ".DS_Store").write_text("x")
    with pytest.warns(UserWarning, match=r"1 files left out, such as line/notes\.md: no .*\.webp"):
        assert len(load_dataset(image_folder).x_train)


def test_streaming_gives_the_same_images(image_folder):
    loaded = load_dataset(image_folder, seed=1)
    stream = load_dataset(image_folder, seed=1, streaming=True, batch_size=4)
    assert stream.input_shape == loaded.input_shape
    assert (stream.n_train, stream.n_test) == (len(loaded.x_train), len(loaded.x_test))
    for _ in range(2):  # a second pass delivers everything again
        batches = [(x.numpy(), y.numpy()) for x, y in stream.train]
        x, y = (np.concatenate(part) for part in zip(*batches, strict=True))
        assert [len(batch) for batch, _ in batches] == [4, 4, 4, 2]
        np.testing.assert_array_equal(x.mean(axis=(1, 2)) // 80, y)
        assert sorted(map(bytes, x)) == sorted(map(bytes, loaded.x_train))


def test_streaming_names_the_broken_image(image_folder):
    import tensorflow as tf

    half(image_folder / "line" / "3.png")
    stream = load_dataset(image_folder, streaming=True)
    with pytest.raises(tf.errors.OpError, match=r"line/3\.png: the image is truncated"):
        for split in (stream.train, stream.test):
            list(split)
    lenient = load_dataset(image_folder, streaming=True, on_error="skip")
    assert sum(len(y) for split in (lenient.train, lenient.test) for _, y in split) == 17
    assert lenient.skipped == [str(image_folder / "line" / "3.png")]


def test_files_are_read_on_the_cores_that_are_allowed(monkeypatch):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    folders.usable_cores.cache_clear()
    assert folders.usable_cores() == 1
    folders.usable_cores.cache_clear()


def test_streaming_needs_images(tmp_path):
    assert "streaming=True" in refusal("digits", streaming=True)


MEASURE = """
import resource, sys
import numpy as np
from helpers.datasets import load_dataset
mode, folder = sys.argv[1:]
if mode == "stream":
    stream = load_dataset(folder, streaming=True, color_mode="rgb", image_size=(128, 128))
    next(iter(stream.test))
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
if mode == "stream":
    for _ in stream.train: pass
    print(peak() - before)
else:
    data = load_dataset(folder, progress=False)
    print(peak() - before - data.x_train.nbytes - data.x_test.nbytes)
"""


@pytest.fixture
def many_images(tmp_path):
    """2,000 photos of 128×128 pixels; the same few, linked many times."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "many" / name).mkdir(parents=True)
        original = tmp_path / f"{name}.jpg"
        Image.fromarray(rng.integers(0, 256, (128, 128, 3)).astype(np.uint8)).save(original)
        for index in range(1000):
            os.link(original, tmp_path / "many" / name / f"{index}.jpg")
    return tmp_path / "many"


@pytest.mark.skipif(sys.platform == "win32", reason="peak memory is read through resource")
@pytest.mark.parametrize(("mode", "limit"), [("load", 100e6), ("stream", 60e6)])
def test_memory_of_a_large_folder(many_images, mode, limit):
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, mode, str(many_images)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < limit  # bytes beyond the final arrays (98 MB), or beyond the start


def write_texts(root, content=b"some words"):
    for name in ("ham", "spam"):
        (root / name).mkdir(parents=True)
        for index in range(10):
            (root / name / f"{index}.txt").write_bytes(content + f" {name} {index}".encode())


def test_text_folders(tmp_path):
    write_texts(tmp_path / "mail")
    data = load_dataset(tmp_path / "mail")
    assert (data.kind, data.class_names, data.x_train.dtype) == ("text", ("ham", "spam"), object)
    for text, label in zip(data.x_train, data.y_train, strict=True):
        assert data.class_names[label] in text


def test_one_text_file_a_class(tmp_path):
    for name in ("Czech", "Greek"):
        (tmp_path / f"{name}.txt").write_text("".join(f"{name}{i}\n" for i in range(10)))
    data = load_dataset(tmp_path)
    assert data.class_names == ("Czech", "Greek")
    assert (len(data.x_train), len(data.x_test)) == (16, 4)


def test_only_line_feeds_end_a_line(tmp_path):
    lines = ["one\u2028two", "three\x0cfour", "five\x85six", "seven\x1ceight"]
    for name, end in (("Czech", "\n"), ("Greek", "\r\n")):
        (tmp_path / f"{name}.txt").write_bytes(end.join([*lines, ""]).encode())
    data = load_dataset(tmp_path)
    for y in (0, 1):
        assert sorted([*data.x_train[data.y_train == y], *data.x_test[data.y_test == y]]) == sorted(
            lines
        )


def test_a_broken_file_of_lines_is_skipped_when_asked(tmp_path):
    for name in ("Czech", "Greek", "Latin"):
        (tmp_path / f"{name}.txt").write_text("".join(f"{name}{i}\n" for i in range(10)))
    (tmp_path / "Greek.txt").write_bytes(b"caf\xe9\n")
    assert "Greek.txt: byte 3 is not UTF-8" in refusal(tmp_path)
    with pytest.warns(UserWarning, match=r"1 broken files left out: .*Greek\.txt"):
        data = load_dataset(tmp_path, on_error="skip")
    assert (data.class_names, data.skipped) == (("Czech", "Latin"), (str(tmp_path / "Greek.txt"),))
    assert all(
        text.startswith(data.class_names[y])
        for text, y in zip(data.x_train, data.y_train, strict=True)
    )
    (tmp_path / "Latin.txt").write_bytes(b"")
    assert "found 1 readable .txt file" in refusal(tmp_path, on_error="skip")


@pytest.mark.parametrize("names", [("train", "val", "test"), ("training", "validation", "testing")])
def test_parts_of_texts(tmp_path, names):
    for name, count in zip(names, (10, 4, 3), strict=True):
        for kind in ("ham", "spam"):
            (tmp_path / name / kind).mkdir(parents=True)
            for i in range(count):
                (tmp_path / name / kind / f"{i}.txt").write_text(f"{name} {kind} {i}")
    data = load_dataset(tmp_path)
    assert [len(x) for x in (data.x_train, data.x_val, data.x_test)] == [20, 8, 6]
    for x, y, name in ((data.x_train, data.y_train, names[0]), (data.x_val, data.y_val, names[1])):
        assert all(t.startswith(f"{name} {data.class_names[n]}") for t, n in zip(x, y, strict=True))


def test_what_archives_and_editors_leave_is_no_class(tmp_path):
    write_texts(tmp_path / "mail")
    for junk in ("__MACOSX", ".ipynb_checkpoints"):
        (tmp_path / "mail" / junk).mkdir()
        (tmp_path / "mail" / junk / "0.png").write_bytes(b"")
    assert load_dataset(tmp_path / "mail").class_names == ("ham", "spam")


def test_texts_larger_than_the_limit(tmp_path, monkeypatch):
    write_texts(tmp_path / "mail")
    (tmp_path / "mail" / "ham" / "3.txt").write_text("long " * 10_000)
    monkeypatch.setenv("COURSE_MAX_BYTES", "10000")
    assert "3.txt holds more than 10,000 bytes" in refusal(tmp_path / "mail")


def test_other_texts_beside_class_folders(tmp_path):
    write_texts(tmp_path / "mail")
    (tmp_path / "mail" / "README.txt").write_text("read me")
    assert load_dataset(tmp_path / "mail").class_names == ("ham", "spam")


def test_hidden_text_files_are_no_classes(tmp_path):
    for name in ("Czech", "Greek", ".hidden", "._Czech"):
        (tmp_path / f"{name}.txt").write_text("".join(f"{name}{i}\n" for i in range(10)))
    assert load_dataset(tmp_path).class_names == ("Czech", "Greek")


def test_text_refusals(tmp_path):
    write_texts(tmp_path / "mail")
    bad = tmp_path / "mail" / "ham" / "2.txt"
    bad.write_bytes(b"caf\xe9")
    message = refusal(tmp_path / "mail")
    assert str(bad) in message
    assert "UTF-8" in message
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        data = load_dataset(tmp_path / "mail", on_error="skip")
    assert data.skipped == (str(bad),)
    bad.write_bytes(b"")
    assert "the file is empty" in refusal(tmp_path / "mail")


@pytest.mark.parametrize("kind", ["names"])
def test_real_texts(course_data, kind):
    data = load_dataset(course_data / "text" / kind)
    assert data.class_count == 18
    assert len(data.x_train) + len(data.x_test) > 20_000
