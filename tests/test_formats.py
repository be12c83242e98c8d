"""Dataset files that are not what they should be are refused by a line that says what to do."""

import gzip
import hashlib
import io
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
from refusals import refusal

from helpers.datasets import DatasetError, formats, load_dataset


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
        ({"y_train": np.arange(12) % 3 + 1, "y_test": np.arange(6) % 3 + 1}, ["1, 2, 3", "0 … 2"]),
        ({"y_train": np.arange(12) % 3 * 2, "y_test": np.arange(6) % 3 * 2}, ["0, 2, 4", "0 … 2"]),
        ({"y_train": np.arange(12) % 4 - 1}, ["-1, 0, 1, 2"]),
        ({"y_train": np.linspace(0, 1, 12)}, ["float64", "integers 0 … k-1 or strings"]),
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
    assert "no complete zip archive" in refusal(path)


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
    ],
)
def test_idx_refusals(tmp_path, damage, part):
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
    with pytest.raises(DatasetError, match="data_batch_1 is not a CIFAR-10 batch"):
        formats.read_cifar10(path, digests)


def test_cifar10_damaged_member(tmp_path):
    path = tmp_path / "cifar.tar.gz"
    digests = write_tar(path, {"b/data_batch_1": cifar_batch(5, 0)})
    write_tar(path, {"b/data_batch_1": cifar_batch(5, 1)})
    with pytest.raises(DatasetError, match="data_batch_1 is not what was published"):
        formats.read_cifar10(path, digests)


@pytest.mark.parametrize("name", ["../../outside", "/etc/passwd", "b/../../x"])
def test_tar_members_that_point_outside(tmp_path, name):
    path = tmp_path / "evil.tar.gz"
    write_tar(path, {name: b"x", "b/data_batch_1": b"y"})
    with pytest.raises(DatasetError, match="points outside") as caught:
        formats.read_tar_members(path, {"b/data_batch_1": "md5:0"})
    assert "evil.tar.gz" in str(caught.value)


def test_tar_link_that_points_outside(tmp_path):
    path = tmp_path / "evil.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        link = tarfile.TarInfo("b/data_batch_1")
        link.type, link.linkname = tarfile.SYMTYPE, "../../etc/passwd"
        archive.addfile(link)
    with pytest.raises(DatasetError, match="points outside"):
        formats.read_tar_members(path, {"b/data_batch_1": "md5:0"})


@pytest.mark.parametrize("keep", [0, 50, 0.6])
def test_truncated_tar(tmp_path, keep):
    path = tmp_path / "cut.tar.gz"
    digests = write_tar(path, {"b/data_batch_1": cifar_batch(5, 0)})
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
    with pytest.raises(DatasetError, match=r"cut\.tar\.gz"):
        formats.read_tar_members(path, digests)
