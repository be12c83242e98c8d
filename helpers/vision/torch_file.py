"""Weights that PyTorch has saved (``.pth``), read without it; nothing in a file is executed."""

import math
import pickle
import pickletools
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from helpers.errors import WeightsError

# The format of ``torch.save`` before PyTorch 1.6: five pickles, then the storages one by one, each
# with its number of elements in front.
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
STORAGES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
LARGEST = 1 << 30  # bytes of a file, and of all its arrays: far more than such a network has
# What unpickling raises, and what is done with its result here, where bytes are not as they were.
DAMAGED = (
    *(pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError),
    *(AttributeError, OverflowError, MemoryError),
)


class TorchFileError(WeightsError):
    """A file that is no such dictionary of arrays, or one that is damaged."""


@dataclass(frozen=True)
class _Storage:
    dtype: np.dtype
    key: str
    length: int  # elements


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int  # elements, as all that follow
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def of(self, numbers: np.ndarray) -> np.ndarray:
        """Return the array within the numbers of its storage, which its strides may not leave."""
        whole = all(type(n) is int and n >= 0 for n in (self.offset, *self.shape, *self.strides))
        last = [(n - 1) * stride for n, stride in zip(self.shape, self.strides, strict=True)]
        if (
            not whole
            or math.prod(self.shape) > len(numbers)  # as with a stride of 0
            or (0 not in self.shape and self.offset + sum(last) >= len(numbers))
        ):
            raise ValueError(
                f"a tensor of shape {self.shape} with strides {self.strides} from {self.offset} on "
                f"does not lie within its {len(numbers)} numbers"
            )
        strides = [stride * numbers.itemsize for stride in self.strides]
        view = np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, strides)
        return np.ascontiguousarray(view)


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise pickle.UnpicklingError("a tensor without a storage")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    **{("torch", name): dtype for name, dtype in STORAGES.items()},
}


class _Unpickler(pickle.Unpickler):
    """Knows the four names that a dictionary of tensors needs, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no weights need")
        return KNOWN[module, name]

    def persistent_load(self, about: Any) -> _Storage:
        kind, dtype, key, _, length, view = about
        if kind != "storage" or not isinstance(dtype, np.dtype) or view is not None:
            raise pickle.UnpicklingError(f"an unknown kind of storage: {kind!r}")
        return _Storage(dtype, key, length)


def _unpickled(file: BinaryIO) -> Any:
    """Return the next object of a file; a place in the memo beyond its end would take gigabytes."""
    start = file.tell()
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name.endswith("PUT") and argument > file.tell() - start:
            raise pickle.UnpicklingError("its memo has more places than the file has bytes")
    file.seek(start)
    return _Unpickler(file).load()


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file that ``torch.save(model.state_dict(), path)`` has written.

    The file has the format before PyTorch 1.6. The arrays stand in its order, by name: float32 or
    int64, in C order.
    """
    try:
        with path.open("rb") as file:
            return _read(file, path.stat().st_size)
    except DAMAGED as error:
        raise TorchFileError(f"{path.name} is no file of weights of PyTorch: {error}") from error


def _read(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    if size > LARGEST:
        raise ValueError(f"it has {size} bytes, expected at most {LARGEST}")
    magic, protocol, _ = (_unpickled(file) for _ in range(3))
    if (magic, protocol) != (MAGIC, PROTOCOL):
        raise ValueError("it does not begin as such a file does")
    tensors, keys = (_unpickled(file) for _ in range(2))
    if not isinstance(tensors, dict) or not all(isinstance(t, _Tensor) for t in tensors.values()):
        raise ValueError("it holds something else than a dictionary of tensors")
    if 8 * sum(math.prod(tensor.shape) for tensor in tensors.values()) > LARGEST:
        raise ValueError(f"its tensors take more than {LARGEST} bytes")
    needed = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    numbers = {}
    for key in keys:
        (length,) = np.frombuffer(file.read(8), "<i8")
        if length != needed[key].length:
            raise ValueError(f"storage {key} has {length} numbers, expected {needed[key].length}")
        content = file.read(int(length) * needed[key].dtype.itemsize)
        numbers[key] = np.frombuffer(content, needed[key].dtype, int(length))
    if file.read(1):
        raise ValueError("it goes on after its last storage")
    return {name: tensor.of(numbers[tensor.storage.key]) for name, tensor in tensors.items()}
