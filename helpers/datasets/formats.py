"""Readers of dataset files: ``.npz``, gzipped idx, the CIFAR-10 archive. None of them runs code.

Each raises a ``DatasetError`` of one line for a file that is damaged, too large, or something else.
"""

import contextlib
import gzip
import hashlib
import io
import math
import os
import pickle
import re
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from helpers.errors import DatasetError

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
# Words in the name of an array, or of a file with one array, that tell what it holds.
WORDS = {
    "x": ("x", "images", "image", "imgs", "img", "data", "features", "inputs"),
    "y": ("y", "labels", "label", "targets", "target"),
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "val": ("val", "valid", "validation"),
}
ADVICE = "make it with numpy.savez(path, x_train=…, y_train=…, x_test=…, y_test=…)"


def max_bytes() -> int:
    """Return how many bytes one file may hold or unpack to.

    ``COURSE_MAX_BYTES``, or else 8 GB, or half of this machine's memory if that is less.
    """
    if given := os.environ.get("COURSE_MAX_BYTES"):
        try:
            return int(float(given))
        except (ValueError, OverflowError):
            raise DatasetError(
                f"COURSE_MAX_BYTES is {given!r}; expected a number of bytes, such as 20e9"
            ) from None
    pages = os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    return min(8 << 30, pages * os.sysconf("SC_PAGE_SIZE") // 2) if pages > 0 else 8 << 30


def check_size(size: int, what: str) -> None:
    """Refuse what is larger than ``max_bytes`` before it fills the memory."""
    if size > max_bytes():
        raise DatasetError(
            f"{what} holds more than {max_bytes():,} bytes, packed or unpacked; expected fewer: "
            "if it is really that large, set COURSE_MAX_BYTES to a higher number"
        )


def check_regular(path: Path) -> None:
    """Refuse devices and pipes, which may never end, and files larger than ``max_bytes``."""
    if not path.is_file():
        raise DatasetError(
            f"{path.name}: found no regular file (a folder, a pipe, a device or nothing); expected "
            "a file with the data in it: copy the data into one"
        )
    check_size(path.stat().st_size, path.name)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Name the file in one line whose reader fails: a damaged one can make it raise anything."""
    check_regular(path)
    try:
        yield
    except DatasetError:
        raise
    except Exception as error:
        if "allow_pickle" in str(error):
            raise DatasetError(
                f"{path.name}: found an array of Python objects (a pickle); expected plain numbers "
                f"or strings, because a pickle can run code: {ADVICE}"
            ) from error
        reason = next(iter(str(error).splitlines()), "")[:200] or type(error).__name__
        raise DatasetError(
            f"{path.name}: the archive is corrupt or truncated ({reason}); expected a complete "
            "copy: fetch it again"
        ) from error


def contents(path: Path) -> bytes | bytearray:
    """Return the bytes of a file, unpacked if it is a gzip file."""
    check_regular(path)
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return _unpacked(path) if packed else path.read_bytes()


def _unpacked(path: Path) -> bytearray:
    content = bytearray()
    with _reading(path), gzip.open(path) as stream:
        while chunk := stream.read(1 << 20):
            content += chunk
            check_size(len(content), path.name)
    return content


def _role(name: str) -> str:
    """Return ``"x_train"`` for a name such as ``train_images``, ``""`` if it tells nothing."""
    words = set(re.split(r"[^a-z]+", name.lower()))
    roles = [role for role, forms in WORDS.items() if words & set(forms)]
    certain = [len(role) == 1 for role in roles] in ([True], [True, False])
    return "_".join(roles) if certain and not words & {"names", "ids"} else ""


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of an ``.npz`` file; objects and pickles are refused, never loaded.

    Arrays are known by the words in their names: ``x_train``, ``train_images``, ``val_labels`` …
    Of a set with one array a file (KMNIST), the files beside this one are read too.

    Returns
    -------
    dict
        ``x_train`` and ``y_train``, with the same of ``test`` and ``val`` where they are there; or
        ``x`` and ``y``.
    """
    places = [(_role(array), path, array) for array in _array_names(path)]
    inside = ""
    if len(places) == 1 and _role(path.stem):
        family = re.split(r"[^A-Za-z0-9]", path.stem)[0]
        beside = [file for file in sorted(path.parent.glob(f"{family}*.npz")) if _role(file.stem)]
        places = [(_role(f.stem), f, array) for f in beside for array in _array_names(f)]
        inside = " in this file and those beside it"
    known = {role: (file, array) for role, file, array in places if role}
    expected = {"x", "y"} if "x" in known else set(ARRAYS[:2])
    for part in ("test", "val"):
        expected |= {f"{kind}_{part}" for kind in "xy" if {f"x_{part}", f"y_{part}"} & set(known)}
    if set(known) != expected or len(known) < sum(bool(role) for role, *_ in places):
        found = ", ".join(role if inside else array for role, _, array in places) or "nothing"
        raise DatasetError(
            f"{path.name}: found arrays {found}{inside}; expected {', '.join(ARRAYS)}, or x and y: "
            + ADVICE
        )
    return {role: _read_array(*place) for role, place in known.items()}


def _array_names(path: Path) -> list[str]:
    with _reading(path), zipfile.ZipFile(path) as archive:
        check_size(sum(member.file_size for member in archive.infolist()), path.name)
        return [name.removesuffix(".npy") for name in archive.namelist()]


def _read_array(path: Path, name: str) -> np.ndarray:
    with _reading(path), np.load(path, allow_pickle=False) as archive:
        array = archive[name]
    if not isinstance(array, np.ndarray):  # np.load gives the raw bytes of a member without .npy
        raise DatasetError(f"{path.name}: {name} is no array; expected what numpy.savez writes")
    if array.dtype.kind not in "uifbUS" or not array.dtype.itemsize:
        raise DatasetError(
            f"{path.name}: {name} has dtype {array.dtype}; expected numbers or strings"
        )
    return array


def read_idx(path: Path) -> np.ndarray:
    """Read one gzipped idx file of bytes (the format of LeCun's MNIST page)."""
    content = _unpacked(path)
    is_idx = content[:3] == b"\0\0\x08" and len(content) > 3 and 1 <= content[3] <= 4
    if not is_idx or len(content) < 4 + 4 * content[3]:
        raise DatasetError(
            f"{path.name}: found a header of {content[:4].hex() or 'nothing'}; expected an idx "
            "file of bytes (0000 08..): fetch it again"
        )
    rank = content[3]
    shape = tuple(int(size) for size in np.frombuffer(content, ">i4", rank, offset=4))
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * rank)
    if min(shape) <= 0 or values.size != math.prod(shape):
        raise DatasetError(
            f"{path.name}: found {values.size:,} values; its header expects shape {shape}: "
            "fetch it again"
        )
    return values.reshape(shape)


def read_cifar10(path: Path, members: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Read ``cifar-10-python.tar.gz`` in memory; images become ``(n, 32, 32, 3)``.

    The batches are pickles. They are read only after their digests in ``members`` were found right,
    and by an unpickler that knows nothing but NumPy arrays.
    """
    contents: dict[str, bytes] = {}
    with _reading(path), tarfile.open(fileobj=io.BytesIO(_unpacked(path))) as archive:
        for member in archive:
            if member.name in members and member.isfile():
                contents[member.name] = archive.extractfile(member).read()
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"train": [], "test": []}
    for name, digest in members.items():
        if name not in contents:
            raise DatasetError(f"{path.name}: member {name} is missing: fetch the file again")
        check_digest(contents[name], digest, f"{path.name}: member {name}")
        with _reading(path):
            batch = _ArrayUnpickler(io.BytesIO(contents[name]), encoding="bytes").load()
            images = batch[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            labels = np.asarray(batch[b"labels"], np.int64)
        parts["test" if "test_batch" in name else "train"].append((images, labels))
    arrays = {}
    for part, batches in parts.items():
        x, y = zip(*batches, strict=True)
        arrays |= {
            f"x_{part}": np.ascontiguousarray(np.concatenate(x)),
            f"y_{part}": np.concatenate(y),
        }
    return arrays


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler that can build arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in {("numpy", "ndarray"), ("numpy", "dtype")}:
            return getattr(np, name)
        if name == "_reconstruct" and module in {"numpy.core.multiarray", "numpy._core.multiarray"}:
            return np._core.multiarray._reconstruct
        raise pickle.UnpicklingError(f"it wants {module}.{name}")


def check_digest(content: bytes | np.ndarray | Path, expected: str, what: str) -> None:
    """Compare content with ``"sha256:…"`` or ``"md5:…"``."""
    algorithm, _, digest = expected.partition(":")
    if isinstance(content, Path):
        with content.open("rb") as stream:
            found = hashlib.file_digest(stream, algorithm).hexdigest()
    else:
        found = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
    if found != digest:
        why = "damaged, or packed anew" if isinstance(content, Path) else "damaged"
        raise DatasetError(
            f"{what} is not what was published ({why}): its {algorithm} is {found[:12]}…, expected "
            f"{digest[:12]}…: fetch it again"
        )
