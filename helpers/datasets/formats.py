"""Readers of dataset files: ``.npz``, gzipped idx, the CIFAR-10 archive. None of them runs code."""

import gzip
import hashlib
import io
import math
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from helpers.errors import DatasetError

ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read the four arrays of an ``.npz`` file; objects and pickles are refused, never loaded.

    Raises
    ------
    DatasetError
        If the file is not a zip archive, is truncated or corrupt, lacks an array or holds objects.
    """
    advice = "make it with numpy.savez(path, x_train=…, y_train=…, x_test=…, y_test=…)"
    if not zipfile.is_zipfile(path):
        found = "an empty file" if path.stat().st_size == 0 else "no complete zip archive"
        raise DatasetError(
            f"{path.name}: found {found}; expected an .npz file (is the copy or download "
            f"complete?): fetch it again, or {advice}"
        )
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in ARRAYS if name not in archive.files]
            if missing:
                found = ", ".join(archive.files) or "nothing"
                raise DatasetError(
                    f"{path.name}: found arrays {found}; expected {', '.join(ARRAYS)}: {advice}"
                )
            return {name: _numeric(archive[name], f"{path.name}: {name}") for name in ARRAYS}
    except DatasetError:
        raise
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise DatasetError(
                f"{path.name}: found an array of Python objects (a pickle); expected plain numbers "
                f"or strings, because a pickle can run code: {advice}"
            ) from error
        raise _corrupt(path, error) from error
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        MemoryError,
        KeyError,
        RuntimeError,  # an encrypted member, or a compression that zipfile does not know
    ) as error:
        raise _corrupt(path, error) from error


def _numeric(array: Any, what: str) -> np.ndarray:
    if not isinstance(array, np.ndarray):  # np.load gives the raw bytes of a member without .npy
        raise DatasetError(f"{what} is not an array; expected what numpy.savez writes")
    if array.dtype.kind not in "uifbUS":
        raise DatasetError(f"{what} has dtype {array.dtype}; expected numbers or strings")
    return array


def _corrupt(path: Path, error: Exception) -> DatasetError:
    return DatasetError(
        f"{path.name}: the archive is corrupt or truncated ({error or type(error).__name__}); "
        "expected a complete copy: fetch it again"
    )


def read_idx(path: Path) -> np.ndarray:
    """Read one gzipped idx file of bytes (the format of LeCun's MNIST page).

    Raises
    ------
    DatasetError
        If it is no gzip file, is truncated, or its length does not match its header.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise _corrupt(path, error) from error
    is_idx = content[:3] == b"\0\0\x08" and len(content) > 3 and 1 <= content[3] <= 4
    if not is_idx or len(content) < 4 + 4 * content[3]:
        raise DatasetError(
            f"{path.name}: found a header of {content[:4].hex() or 'nothing'}; expected an idx "
            "file of bytes (0000 08..): fetch it again"
        )
    rank = content[3]
    shape = tuple(int(size) for size in np.frombuffer(content, ">i4", rank, offset=4))
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * rank)
    if min(shape) < 0 or values.size != math.prod(shape):
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
    contents = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
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
                    stream = archive.extractfile(member)
                    contents[member.name] = stream.read() if stream else b""
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise _corrupt(path, error) from error
    for name, digest in names.items():
        if name not in contents:
            raise DatasetError(f"{path.name}: member {name} is missing: fetch the file again")
        check_digest(contents[name], digest, f"{path.name}: member {name}")
    return contents


def read_cifar10(path: Path, members: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Read ``cifar-10-python.tar.gz``; images become ``(n, 32, 32, 3)``.

    The batches are pickles. They are read only after their digests were found right, and by an
    unpickler that knows nothing but NumPy arrays.

    Raises
    ------
    DatasetError
        As ``read_tar_members``, or if a batch is not what CIFAR-10's authors wrote.
    """
    contents = read_tar_members(path, members)
    batches = {name: _load_batch(path, name, content) for name, content in contents.items()}
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
