"""Readers of dataset files: ``.npz``, gzipped idx, the CIFAR-10 archive. None of them runs code."""

import gzip
import hashlib
import io
import math
import os
import pickle
import re
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
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
DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    EOFError,
    OSError,
    MemoryError,
    KeyError,
    RuntimeError,  # encrypted, an unknown compression, or nested too deeply
    SyntaxError,
    tokenize.TokenError,
)


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


class _Unpacked(io.RawIOBase):
    """What a gzip file holds; more than ``max_bytes`` is refused before it is there."""

    def __init__(self, path: Path) -> None:
        check_regular(path)
        self._stream, self._name, self._limit = gzip.GzipFile(path), path.name, max_bytes()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._stream.readinto(memoryview(buffer)[: self._limit + 1])
        check_size(self._stream.tell(), self._name)
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


def contents(path: Path) -> bytes:
    """Return the bytes of a file, unpacked if it is a gzip file.

    Raises
    ------
    DatasetError
        If it is no regular file, is larger than ``max_bytes``, or corrupt.
    """
    check_regular(path)
    with path.open("rb") as stream:
        if stream.read(2) != b"\x1f\x8b":
            return path.read_bytes()
    return _gunzip(path)


def _gunzip(path: Path) -> bytes:
    try:
        with _Unpacked(path) as stream:
            return stream.readall()
    except DAMAGED as error:
        raise _corrupt(path, error) from error


def _role(name: str) -> str:
    """Return ``"x_train"`` for a name such as ``train_images``, ``""`` if it tells nothing."""
    words = set(re.split(r"[^a-z]+", name.lower()))
    roles = [role for role, forms in WORDS.items() if words & set(forms)]
    kinds, parts = [r for r in roles if len(r) == 1], [r for r in roles if len(r) > 1]
    certain = len(kinds) == 1 and len(parts) < 2 and not words & {"names", "ids"}
    return "_".join(kinds + parts) if certain else ""


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of an ``.npz`` file; objects and pickles are refused, never loaded.

    Arrays are known by the words in their names: ``x_train``, ``train_images``, ``val_labels`` …
    Of a set with one array a file (KMNIST), the files beside this one are read too.

    Returns
    -------
    dict
        ``x_train`` and ``y_train``, with the same of ``test`` and ``val`` where they are there; or
        ``x`` and ``y``.

    Raises
    ------
    DatasetError
        If the file is not a zip archive, is truncated or corrupt, lacks an array or holds objects.
    """
    advice = "make it with numpy.savez(path, x_train=…, y_train=…, x_test=…, y_test=…)"
    places = [(_role(array), path, array) for array in _array_names(path, advice)]
    alone = len(places) == 1
    if alone and _role(path.stem):
        family = re.split(r"[^A-Za-z0-9]", path.stem)[0]
        beside = [file for file in sorted(path.parent.glob(f"{family}*.npz")) if _role(file.stem)]
        places = [(_role(f.stem), f, array) for f in beside for array in _array_names(f, advice)]
    known = {role: (file, array) for role, file, array in places if role}
    parts = [part for part in ("", "_train", "_test", "_val") if f"x{part}" in known]
    whole = all(f"y{part}" in known for part in parts) and len(known) == 2 * len(parts)
    twice = len(known) < sum(bool(role) for role, *_ in places)
    if alone and not whole:
        raise DatasetError(
            f"{path.name}: found one array, and only {', '.join(sorted(known))} in the files "
            f"beside it; expected {', '.join(ARRAYS)}, in files beside it or in this one: copy "
            f"the others here, or {advice}"
        )
    if not whole or twice or not ("_train" in parts or parts == [""]):
        found = ", ".join(array for _, _, array in places) or "nothing"
        raise DatasetError(
            f"{path.name}: found arrays {found}; expected {', '.join(ARRAYS)}, or x and y: {advice}"
        )
    return {role: _read_array(*place, advice) for role, place in known.items()}


def _array_names(path: Path, advice: str) -> list[str]:
    check_regular(path)
    try:
        with zipfile.ZipFile(path) as archive:
            check_size(sum(member.file_size for member in archive.infolist()), path.name)
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except DAMAGED as error:
        found = "an empty file" if path.stat().st_size == 0 else "no complete zip archive"
        raise DatasetError(
            f"{path.name}: found {found}; expected an .npz file (is the copy or download "
            f"complete?): fetch it again, or {advice}"
        ) from error


def _read_array(path: Path, name: str, advice: str) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as archive:
            array = archive[name]
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise DatasetError(
                f"{path.name}: found an array of Python objects (a pickle); expected plain numbers "
                f"or strings, because a pickle can run code: {advice}"
            ) from error
        raise _corrupt(path, error) from error
    except DAMAGED as error:
        raise _corrupt(path, error) from error
    if not isinstance(array, np.ndarray):  # np.load gives the raw bytes of a member without .npy
        raise DatasetError(f"{path.name}: {name} is no array; expected what numpy.savez writes")
    if array.dtype.kind not in "uifbUS":
        raise DatasetError(
            f"{path.name}: {name} has dtype {array.dtype}; expected numbers or strings"
        )
    return array


def _corrupt(path: Path, error: Exception) -> DatasetError:
    reason = next(iter(str(error).splitlines()), "")[:200] or type(error).__name__
    return DatasetError(
        f"{path.name}: the archive is corrupt or truncated ({reason}); expected a complete copy: "
        "fetch it again"
    )


def read_idx(path: Path) -> np.ndarray:
    """Read one gzipped idx file of bytes (the format of LeCun's MNIST page).

    Raises
    ------
    DatasetError
        If it is no gzip file, is truncated, or its length does not match its header.
    """
    content = _gunzip(path)
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


def read_tar_members(path: Path, names: Mapping[str, str]) -> dict[str, bytes]:
    """Read the named members of a ``.tar.gz`` into memory; nothing is unpacked to disk.

    Raises
    ------
    DatasetError
        If the archive is corrupt, a member is missing or differs from its digest in ``names``, or
        any member's path points outside of the archive.
    """
    found: dict[str, bytes] = {}
    try:
        with _Unpacked(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                pure = PurePosixPath(member.name)
                target = (
                    PurePosixPath(member.linkname) if member.islnk() or member.issym() else pure
                )
                if any(p.is_absolute() or ".." in p.parts for p in (pure, target)):
                    raise DatasetError(
                        f"{path.name}: member {member.name!r} points outside of the archive; "
                        "expected relative paths only: do not use this file, fetch it again"
                    )
                if member.name in names and member.isfile():
                    found[member.name] = archive.extractfile(member).read()
    except DAMAGED as error:
        raise _corrupt(path, error) from error
    for name, digest in names.items():
        if name not in found:
            raise DatasetError(f"{path.name}: member {name} is missing: fetch the file again")
        check_digest(found[name], digest, f"{path.name}: member {name}")
    return found


def read_cifar10(path: Path, members: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Read ``cifar-10-python.tar.gz``; images become ``(n, 32, 32, 3)``.

    The batches are pickles. They are read only after their digests were found right, and by an
    unpickler that knows nothing but NumPy arrays.

    Raises
    ------
    DatasetError
        As ``read_tar_members``, or if a batch is not what CIFAR-10's authors wrote.
    """
    found = read_tar_members(path, members)
    batches = {name: _load_batch(path, name, content) for name, content in found.items()}
    train = [batches[name] for name in members if "data_batch" in name]
    test = [batches[name] for name in members if "test_batch" in name]
    return {
        "x_train": np.concatenate([x for x, _ in train]),
        "y_train": np.concatenate([y for _, y in train]),
        "x_test": np.concatenate([x for x, _ in test]),
        "y_test": np.concatenate([y for _, y in test]),
    }


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler that can build arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in {("numpy", "ndarray"), ("numpy", "dtype")}:
            return getattr(np, name)
        if name == "_reconstruct" and module in {
            "numpy.core.multiarray",
            "numpy._core.multiarray",
        }:
            return np._core.multiarray._reconstruct
        raise pickle.UnpicklingError(f"it wants {module}.{name}")


def _load_batch(path: Path, name: str, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    try:
        batch = _ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
        images = batch[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return np.ascontiguousarray(images), np.asarray(batch[b"labels"], np.int64)
    # A damaged pickle can raise nearly anything, and every case means the same to the reader.
    except Exception as error:
        raise DatasetError(
            f"{path.name}: member {name} is not a CIFAR-10 batch ({error}); fetch the file again"
        ) from error


def check_digest(content: bytes | np.ndarray | Path, expected: str, what: str) -> None:
    """Compare content with ``"sha256:…"`` or ``"md5:…"``.

    Raises
    ------
    DatasetError
        If they differ.
    """
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
