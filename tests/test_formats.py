"""Dataset files that are not what they should be are refused by a line that says what to do."""

import gzip
import hashlib
import io
import pickle
import tarfile
import warnings
import zipfile

import numpy as np
import pytest
from refusals import refusal

from helpers.datasets import AssumptionWarning, DatasetError, formats, load_dataset


def arrays(**changes):
    rng = np.random.default_rng(0)
    good = {
        "x_train": rng.integers(0, 256, (12, 4, 4)).astype(np.uint8),
        "y_train": np.arange(12) % 3,
        "x_test": rng.integers(0, 256, (6, 4, 4)).astype(np.uint8),
        "y_test": np.arange(6) % 3,
    }
    return {name: array for name, array in {**good, **changes}.items() if array is not None}


def save(path, **changes):
    np.savez(path, **arrays(**changes))
    return path


def test_npz_loads(tmp_path):
    data = load_dataset(save(tmp_path / "mine.npz"))
    assert (data.name, data.kind, data.input_shape, data.class_count) == (
        "mine",
        "images",
        (4, 4),
        3,
    )
    np.testing.assert_array_equal(data.x_train, arrays()["x_train"])
    assert data.y_train.dtype == np.int64


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([5, 6, 7], ("5", "6", "7")),
        ([1, 2, 3], ("1", "2", "3")),
        ([0, 2, 4], ("0", "2", "4")),
        ([-1.0, 1.0, 10.0], ("-1", "1", "10")),
        ([0.5, 1.0, 1.5], ("0.5", "1.0", "1.5")),
        ([False, True, True], ("False", "True")),
    ],
)
def test_labels_become_class_numbers(tmp_path, labels, names):
    data = load_dataset(save(tmp_path / "l.npz", y_train=labels * 4, y_test=labels * 2))
    assert data.class_names == names
    numbers = [names.index(str(label) if str(label) in names else f"{label:g}") for label in labels]
    assert data.y_test.tolist() == numbers * 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_npz_with_numbers_to_predict(tmp_path, dtype):
    y = np.random.default_rng(0).random(12).astype(dtype)
    data = load_dataset(save(tmp_path / "r.npz", y_train=y, y_test=y[:6]))
    assert (data.class_names, data.y_train.dtype) == ((), dtype)
    np.testing.assert_array_equal(data.y_test, y[:6])
    many = np.arange(12) * 17
    with pytest.warns(AssumptionWarning, match="y holds numbers to predict, not classes"):
        assert load_dataset(save(tmp_path / "m.npz", y_train=many)).class_names == ()
    whole = load_dataset(save(tmp_path / "w.npz"), regression=True)
    assert (whole.class_names, whole.y_train.tolist()) == ((), arrays()["y_train"].tolist())


MEDMNIST = {"train_images": "x_train", "train_labels": "y_train", "val_images": "x_val",
            "val_labels": "y_val", "test_images": "x_test", "test_labels": "y_test"}  # fmt: skip


@pytest.mark.parametrize(
    "names",
    [
        MEDMNIST,
        {"X_train": "x_train", "Y_train": "y_train", "X_valid": "x_val", "Y_valid": "y_val",
         "X_test": "x_test", "Y_test": "y_test"},
        {"training-data": "x_train", "training-targets": "y_train", "validation-data": "x_val",
         "validation-targets": "y_val", "testing-data": "x_test", "testing-targets": "y_test"},
    ],
)  # fmt: skip
def test_names_of_arrays(tmp_path, names):
    good = arrays(y_train=(np.arange(12) % 3)[:, None])
    good |= {"x_val": good["x_test"] // 2, "y_val": (np.arange(6) % 3)[:, None]}
    held = {name: good[role] for name, role in names.items()}
    np.savez(tmp_path / "m.npz", **held, label_names=["a", "b", "c"])
    data = load_dataset(tmp_path / "m.npz")
    for role, array in good.items():
        np.testing.assert_array_equal(getattr(data, role), array.reshape(getattr(data, role).shape))


@pytest.mark.parametrize("names", [("x", "y"), ("images", "labels"), ("X_train", "y_train")])
def test_arrays_without_a_test_part_are_split(tmp_path, names):
    x = np.arange(40)[:, None, None] * np.ones((1, 8, 8), np.uint8)
    np.savez(
        tmp_path / "xy.npz",
        **dict(zip(names, (x.astype(np.uint8), np.arange(40) % 2), strict=True)),
    )
    data = load_dataset(tmp_path / "xy.npz", test_size=0.25)
    assert (len(data.x_train), len(data.x_test)) == (30, 10)
    np.testing.assert_array_equal(data.x_test[:, 0, 0] % 2, data.y_test)
    np.savez(tmp_path / "short.npz", x=x.astype(np.uint8), y=np.arange(39) % 2)
    assert "40 samples and y_train has 39 labels" in refusal(tmp_path / "short.npz")


def test_one_array_a_file(tmp_path):
    for role, array in arrays().items():
        kind, part = role.split("_")
        np.savez(tmp_path / f"kmnist-{part}-{'imgs' if kind == 'x' else 'labels'}.npz", array)
    np.savez(tmp_path / "k49-train-imgs.npz", np.zeros(3))
    data = load_dataset(tmp_path / "kmnist-train-imgs.npz")
    for role, array in arrays().items():
        np.testing.assert_array_equal(getattr(data, role), array)
    (tmp_path / "kmnist-test-labels.npz").unlink()
    message = refusal(tmp_path / "kmnist-train-imgs.npz")
    assert "found arrays x_test, x_train, y_train in this file and those beside it" in message


@pytest.mark.parametrize(
    ("shape", "dtype", "kind", "certain"),
    [
        ((28, 28), np.uint8, "images", True),
        ((5, 90), np.uint8, "images", True),
        ((28, 28), np.float32, "images", False),
        ((50, 3), np.float64, "sequences", False),
        ((128, 9), np.float64, "sequences", False),
        ((100, 12), np.int16, "sequences", False),
        ((8, 8, 3), np.float32, "images", True),
        ((3, 8, 9), np.float32, "images", True),
        ((10, 8, 9), np.float32, "sequences", False),
        ((28, 28, 28), np.uint8, "sequences", False),
        ((7,), np.float32, "table", True),
    ],
)
def test_kind_of_arrays(tmp_path, shape, dtype, kind, certain):
    parts = {part: np.zeros((n, *shape), dtype) for part, n in (("x_train", 12), ("x_test", 6))}
    path = save(tmp_path / "k.npz", **parts)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = load_dataset(path)
    assert data.kind == kind
    assert [
        f"as {kind} (data.replace(kind=…) says otherwise)" in str(w.message) for w in caught
    ] == ([] if certain else [True])
    assert data.replace(kind="table").subset(6).kind == "table"
    assert data.convert(lambda x: x.astype(np.float32) / 255).kind == kind
    assert data.convert(lambda x: x.reshape(len(x), -1)).kind == "table"


def test_npz_string_labels(tmp_path):
    names = np.array(["cat", "dog", "eel"])
    path = save(
        tmp_path / "s.npz", y_train=names[np.arange(12) % 3], y_test=names[np.arange(6) % 3]
    )
    data = load_dataset(path)
    assert data.class_names == ("cat", "dog", "eel")
    np.testing.assert_array_equal(data.y_train, np.arange(12) % 3)


def test_npz_column_of_labels(tmp_path):
    data = load_dataset(save(tmp_path / "c.npz", y_train=(np.arange(12) % 3)[:, None]))
    assert data.y_train.shape == (12,)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"x_test": None}, ["found arrays", "expected x_train, y_train, x_test, y_test"]),
        ({"y_train": np.arange(11) % 3}, ["x_train has 12 samples and y_train has 11 labels"]),
        ({"x_test": np.zeros((6, 5, 4), np.uint8)}, ["(4, 4)", "(5, 4)", "same shape"]),
        ({"y_train": np.arange(12) % 3 + 1}, ["test labels hold 0", "among the training labels"]),
        ({"y_train": np.array(list("abc") * 4)}, ["text (train)", "numbers (test)"]),
        ({"y_train": np.full(12, np.nan)}, ["a label is NaN or infinite"]),
        ({"x_val": np.zeros((2, 4, 4), np.uint8)}, ["found arrays", "x_val"]),
        ({"x_val": np.zeros((2, 5, 4)), "y_val": np.arange(2)}, ["(4, 4)", "x_val (5, 4)"]),
        ({"images": np.zeros((2, 4, 4), np.uint8)}, ["found arrays", "images"]),
        ({"y_train": np.eye(12, 3)}, ["(12, 3)", "argmax"]),
        ({"x_train": np.full((12, 4, 4), np.nan)}, ["x_train", "NaN or infinity", "sample 0"]),
        ({"x_test": np.where(np.arange(6)[:, None, None] == 4, np.inf, np.ones((6, 4, 4)))},
         ["x_test", "sample 4", "fill"]),
        ({"x_train": np.zeros(12)}, ["(12,)", "samples"]),
        ({"x_train": np.zeros((12, 0)), "x_test": np.zeros((6, 0))}, ["(12, 0)"]),
        ({"y_train": np.int64(3)}, ["shape ()"]),
        ({"y_train": np.zeros(12, int), "y_test": np.zeros(6, int)}, ["every label is 0", "two"]),
        ({"y_train": np.array([b"\xff"] * 12), "y_test": np.array([b"\xff"] * 6)}, ["UTF-8"]),
        ({"x_train": np.full((12, 4, 4), "a")}, ["<U1", "numbers"]),
        ({"x_train": np.zeros((0, 4, 4)), "y_train": np.zeros(0, int)}, ["x_train is empty"]),
        ({"x_train": np.zeros(12, [("a", int), ("b", int)])}, ["x_train", "numbers or strings"]),
    ],
)  # fmt: skip
def test_npz_refusals(tmp_path, changes, parts):
    message = refusal(save(tmp_path / "bad.npz", **changes))
    assert "bad.npz" in message
    for part in parts:
        assert part in message


class Bomb:
    """What a malicious pickle would do when it is loaded."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


def test_npz_with_objects_is_never_unpickled(tmp_path):
    objects = np.empty((12, 1), object)
    objects[:] = Bomb()
    message = refusal(save(tmp_path / "evil.npz", x_train=objects))
    assert "evil.npz" in message
    assert "pickle" in message


def test_plain_pickle_named_npz(tmp_path):
    path = tmp_path / "evil.npz"
    path.write_bytes(pickle.dumps(Bomb()))
    assert "corrupt or truncated (File is not a zip file)" in refusal(path)


def test_npz_with_integers_of_two_kinds(tmp_path):
    y = (np.arange(12) % 3).astype(np.uint64)
    assert load_dataset(save(tmp_path / "u.npz", y_train=y)).class_names == ("0", "1", "2")


def test_encrypted_npz(tmp_path):
    path = save(tmp_path / "secret.npz")
    content = bytearray(path.read_bytes())
    for position in (content.find(b"PK\x03\x04") + 6, content.find(b"PK\x01\x02") + 8):
        content[position] |= 1
    path.write_bytes(content)
    assert "secret.npz" in refusal(path)


def test_options_without_effect(tmp_path):
    path = save(tmp_path / "mine.npz")
    assert load_dataset(path, image_size=(2, 3)).input_shape == (2, 3)
    assert "target='a' has no effect" in refusal(path, target="a")
    assert "streaming=True has no effect" in refusal(path, streaming=True)
    assert "image_size=(2, 2) has no effect" in refusal("iris", image_size=(2, 2))


@pytest.mark.parametrize("keep", [0, 10, 200, 0.5, 0.99])
def test_truncated_npz(tmp_path, keep):
    path = save(tmp_path / "cut.npz")
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
    message = refusal(path)
    assert "cut.npz" in message
    assert "fetch it again" in message


def npy_header(text: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 9000 + b"\n",
        b"(" * 900 + b"\n",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (-3,), }\n",
        b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }\n",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (68719476736,), }\n",
        b"{'descr': '<U0', 'fortran_order': False, 'shape': (1152921504606846976,), }\n",
        b"\xff\xfe",
        b"",
    ],
)
def test_hostile_headers_of_arrays(tmp_path, header):
    with zipfile.ZipFile(tmp_path / "evil.npz", "w") as archive:
        for name in formats.ARRAYS:
            archive.writestr(f"{name}.npy", npy_header(header) + bytes(64))
    assert "evil.npz" in refusal(tmp_path / "evil.npz")


@pytest.mark.parametrize("small", [True, False])
def test_what_unpacks_to_more_than_the_limit(tmp_path, monkeypatch, small):
    path = tmp_path / "bomb.npz"
    zeros = np.zeros((50_000, 4, 4), np.uint8)
    np.savez_compressed(path, **arrays(x_train=zeros, y_train=np.arange(50_000) % 3))
    assert path.stat().st_size < 100_000
    monkeypatch.setenv("COURSE_MAX_BYTES", "400e3" if small else "2e6")
    if small:
        assert "bomb.npz holds more than 400,000 bytes, packed or unpacked" in refusal(path)
    else:
        assert len(load_dataset(path).x_train) == 50_000


def test_corrupt_npz(tmp_path):
    path = tmp_path / "corrupt.npz"
    np.savez_compressed(path, **arrays())
    content = bytearray(path.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(content)
    assert "corrupt or truncated" in refusal(path)


def test_npz_header_claims_more_than_memory(tmp_path):
    path = tmp_path / "huge.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (1 << 50,)}
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name in formats.ARRAYS:
            archive.writestr(f"{name}.npy", header.getvalue())
    assert "huge.npz" in refusal(path)


def test_unknown_name_suggests_the_nearest():
    message = refusal("mnits")
    assert "Did you mean 'mnist'?" in message
    assert "iris" in message


def test_missing_file_suggests_a_neighbour(tmp_path):
    save(tmp_path / "mine.npz")
    message = refusal(tmp_path / "mini.npz")
    assert "no such file" in message
    assert "'mine.npz'" in message


def test_other_kind_of_file(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    assert "expected .npz, .csv or a folder" in refusal(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("color_mode", "gray"),
        ("on_error", "ignore"),
        ("fallback", "mnist"),
        ("image_size", (0, 4)),
        ("image_size", 5),
        ("seed", -1),
        ("seed", 1.5),
        ("batch_size", 0),
    ],
)
def test_wrong_options(option, value):
    message = refusal("digits", **{option: value})
    assert f"{option}=" in message
    assert "expected" in message


@pytest.mark.parametrize("name", [123, None, "x" * 5000, "~nobody-here/x.npz"])
def test_names_that_are_none(name):
    assert "expected" in refusal(name) or "no such" in refusal(name) or "known" in refusal(name)


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes()


def test_idx_round_trip(tmp_path):
    images = arrays()["x_train"]
    (tmp_path / "i.gz").write_bytes(gzip.compress(idx(images)))
    np.testing.assert_array_equal(formats.read_idx(tmp_path / "i.gz"), images)


@pytest.mark.parametrize(
    ("damage", "part"),
    [
        (lambda c: gzip.compress(c)[:-20], "corrupt or truncated"),
        (lambda c: c, "corrupt or truncated"),
        (lambda c: gzip.compress(b"hello"), "expected an idx file"),
        (lambda c: gzip.compress(b""), "nothing"),
        (lambda c: gzip.compress(c[:-5]), "values"),
        (
            lambda _: gzip.compress(bytes([0, 0, 8, 4, 0, 0, 0, 0]) + b"\x7f\xff\xff\xff" * 3),
            "shape",
        ),
        (lambda _: gzip.compress(bytes([0, 0, 8, 3]) + b"\xff\xff\xff\xff" * 3), "shape"),
        (lambda _: gzip.compress(bytes(50_000_000)), "COURSE_MAX_BYTES"),
    ],
)
def test_idx_refusals(tmp_path, monkeypatch, damage, part):
    monkeypatch.setenv("COURSE_MAX_BYTES", "10e6")
    path = tmp_path / "train-images.gz"
    path.write_bytes(damage(idx(arrays()["x_train"])))
    with pytest.raises(DatasetError, match=r"train-images\.gz") as caught:
        formats.read_idx(path)
    assert part in str(caught.value)


def cifar_batch(n: int, seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    batch = {
        b"data": rng.integers(0, 256, (n, 3072)).astype(np.uint8),
        b"labels": rng.integers(0, 10, n).tolist(),
    }
    return pickle.dumps(batch, protocol=4)


def write_tar(path, members: dict[str, bytes]) -> dict[str, str]:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return {name: f"md5:{hashlib.md5(content).hexdigest()}" for name, content in members.items()}


def test_cifar10(tmp_path):
    path = tmp_path / "cifar.tar.gz"
    contents = {"b/data_batch_1": cifar_batch(5, 0), "b/data_batch_2": cifar_batch(5, 1),
                "b/test_batch": cifar_batch(3, 2)}  # fmt: skip
    read = formats.read_cifar10(path, write_tar(path, contents))
    assert read["x_train"].shape == (10, 32, 32, 3)
    raw = pickle.loads(contents["b/data_batch_1"])
    np.testing.assert_array_equal(read["x_train"][0, :, :, 0].ravel(), raw[b"data"][0, :1024])
    np.testing.assert_array_equal(read["y_train"][:5], raw[b"labels"])


def test_cifar10_batch_that_runs_code(tmp_path):
    path = tmp_path / "cifar.tar.gz"
    digests = write_tar(path, {"b/data_batch_1": pickle.dumps(Bomb(), protocol=4)})
    with pytest.raises(DatasetError, match=r"corrupt or truncated \(it wants _pytest\.outcomes"):
        formats.read_cifar10(path, digests)


def test_cifar10_damaged_member(tmp_path):
    path = tmp_path / "cifar.tar.gz"
    digests = write_tar(path, {"b/data_batch_1": cifar_batch(5, 0)})
    write_tar(path, {"b/data_batch_1": cifar_batch(5, 1)})
    with pytest.raises(DatasetError, match="data_batch_1 is not what was published"):
        formats.read_cifar10(path, digests)


def test_tar_links_are_not_followed(tmp_path):
    path = tmp_path / "evil.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        link = tarfile.TarInfo("b/data_batch_1")
        link.type, link.linkname = tarfile.SYMTYPE, "../../etc/passwd"
        archive.addfile(link)
    with pytest.raises(DatasetError, match="member b/data_batch_1 is missing"):
        formats.read_cifar10(path, {"b/data_batch_1": "md5:0"})


@pytest.mark.parametrize("kind", ["another", "wanted", "header"])
def test_tar_that_unpacks_to_more_than_the_limit(tmp_path, monkeypatch, kind):
    path = tmp_path / "bomb.tar.gz"
    names = {"another": "b/other", "wanted": "b/data_batch_1", "header": "x" * 20_000_000}
    write_tar(path, {names[kind]: bytes(20_000_000 if kind != "header" else 1)})
    assert path.stat().st_size < 200_000
    monkeypatch.setenv("COURSE_MAX_BYTES", "10e6")
    with pytest.raises(DatasetError, match="holds more than 10,000,000 bytes"):
        formats.read_cifar10(path, {"b/data_batch_1": "md5:0"})


@pytest.mark.parametrize("keep", [0, 50, 0.6])
def test_truncated_tar(tmp_path, keep):
    path = tmp_path / "cut.tar.gz"
    digests = write_tar(path, {"b/data_batch_1": cifar_batch(5, 0)})
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
    with pytest.raises(DatasetError, match=r"cut\.tar\.gz"):
        formats.read_cifar10(path, digests)
