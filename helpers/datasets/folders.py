"""Folders of class folders: list them, split them, read their files on every core."""

import contextlib
import itertools
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.datasets.sampling import holdout
from helpers.errors import DatasetError

JUNK = {"thumbs.db", "desktop.ini"}
# Files a task: a task for each file cost more than decoding a small image does. Fewer if they are
# large, because the results of a few tasks wait for their turn in memory.
CHUNK = 64
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Files:
    """The files of one split, each with its class number."""

    paths: list[Path]
    labels: np.ndarray


@dataclass(frozen=True)
class ClassFolders:
    """A folder of class folders, split into training and test files; nothing is decoded yet."""

    path: Path
    class_names: tuple[str, ...]
    train: Files
    test: Files


def find_class_folders(
    path: Path, suffixes: frozenset[str], test_size: float, seed: int
) -> ClassFolders:
    """List the files of every class; ``train/`` and ``test/`` are the split where both exist.

    Raises
    ------
    DatasetError
        If there is no class folder, fewer than two, an empty one, or the two splits have different
        classes.
    """
    if (path / "train").is_dir() and (path / "test").is_dir():
        names, train = _list_classes(path / "train", suffixes)
        test_names, test = _list_classes(path / "test", suffixes)
        if names != test_names:
            odd = sorted(set(names) ^ set(test_names))
            raise DatasetError(
                f"{path}: class {odd[0]!r} is in only one of train/ and test/; expected the same "
                "classes in both"
            )
    else:
        names, every = _list_classes(path, suffixes)
        train, test = (
            Files([every.paths[i] for i in part], every.labels[part])
            for part in split_by_class(every.labels, names, path, test_size, seed)
        )
    return ClassFolders(path, names, train, test)


def split_by_class(
    labels: np.ndarray, names: tuple[str, ...], path: Path, test_size: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    sizes = np.bincount(labels)
    if sizes.min() < 2:
        raise DatasetError(
            f"{path}: class {names[sizes.argmin()]!r} has 1 sample; expected at least 2, one to "
            "learn from and one to test with"
        )
    return holdout(labels, test_size, seed)


def _list_classes(path: Path, suffixes: frozenset[str]) -> tuple[tuple[str, ...], Files]:
    folders = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(folders) < 2:
        raise DatasetError(
            f"{path}: found {len(folders)} class folders; expected at least two sub-folders, one "
            "for each class"
        )
    paths: list[Path] = []
    labels: list[int] = []
    other: list[str] = []
    for number, folder in enumerate(folders):
        files = visible_files(folder)
        good = [name for name in files if Path(name).suffix.lower() in suffixes]
        rest = sorted(set(files) - set(good))
        if not good:
            found = f"only other files (such as {files[0]})" if files else "nothing"
            raise DatasetError(
                f"{folder}: the class folder holds {found}; expected "
                f"{', '.join(sorted(suffixes))} files: add some or remove the folder"
            )
        other += [f"{folder.name}/{name}" for name in rest]
        paths += [folder / name for name in good]
        labels += [number] * len(good)
    if other:
        warnings.warn(
            f"{path}: {len(other)} files are not {', '.join(sorted(suffixes))} and are left out, "
            f"such as {other[0]}",
            stacklevel=5,
        )
    return tuple(folder.name for folder in folders), Files(paths, np.array(labels))


def visible_files(folder: Path) -> list[str]:
    """List the names of a folder's files, without hidden ones and what file managers leave."""
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):  # a link to itself is no file
                if entry.is_file():
                    names.append(entry.name)
    return sorted(n for n in names if not n.startswith(".") and n.lower() not in JUNK)


def check_no_class_is_empty(
    path: Path, class_names: Sequence[str], labels: dict[str, np.ndarray]
) -> None:
    """Refuse a folder of which a class has lost all its files to ``on_error="skip"``.

    Raises
    ------
    DatasetError
        Names the class, and the part (train or test) that it is missing from.
    """
    for part, y in labels.items():
        counts = np.bincount(y, minlength=len(class_names))
        if counts.min() == 0:
            raise DatasetError(
                f"{path}: class {class_names[counts.argmin()]!r} has no readable file in its "
                f"{part} part; expected at least one: replace its broken files or leave it out"
            )


def _worker_count(paths: Sequence[Path]) -> int:
    """One thread beside the caller's for small files, one a core for large ones.

    Pillow opens a file inside of the GIL and decodes it outside. Below some 8 kB (128×128 pixels as
    JPEG) opening dominates, and on two cores a second thread made loading slower by up to half;
    photos gained from it (224×224: 310 against 460 µs each).
    """
    sample = paths[:: max(1, len(paths) // 16)]
    mean_size = sum(path.stat().st_size for path in sample) / max(1, len(sample))
    return (os.cpu_count() or 1) if mean_size > 8000 else 1


def in_order(
    function: Callable[[Any], Any],
    files: Sequence[Any],
    on_error: str,
    skipped: list[str] | None = None,
    *,
    result_bytes: int = 0,
    workers: int | None = None,
) -> Iterator[Any]:
    """Map over files on all cores, in order, a bounded number ahead so that memory stays constant.

    Under ``on_error="skip"`` a broken file gives ``None`` and its name goes to ``skipped``. How
    many ``workers`` are good follows from the files, where these are paths that exist.
    """

    def attempt(file: Any) -> Any:
        try:
            return function(file)
        except DatasetError as error:
            return error

    def attempt_all(chunk: list[Any]) -> list[tuple[Any, Any]]:
        return [(file, attempt(file)) for file in chunk]

    remaining = iter(files)
    size = max(1, min(CHUNK, CHUNK_BYTES // max(1, result_bytes)))
    chunks = iter(lambda: list(itertools.islice(remaining, size)), [])
    workers = workers or _worker_count(files)
    pool = ThreadPoolExecutor(workers)
    try:
        ahead = deque(pool.submit(attempt_all, c) for c in itertools.islice(chunks, 2 * workers))
        while ahead:
            finished = ahead.popleft().result()
            ahead.extend(pool.submit(attempt_all, c) for c in itertools.islice(chunks, 1))
            for file, result in finished:
                if not isinstance(result, DatasetError):
                    yield result
                elif on_error == "raise":
                    raise result
                else:
                    if skipped is not None and str(file) not in skipped:
                        skipped.append(str(file))
                    yield None
    finally:
        pool.shutdown(cancel_futures=True)


def file_bar(total: int, description: str, progress: bool) -> Any:
    from tqdm.auto import tqdm

    # Short loads show no bar: two seconds pass before it appears.
    return tqdm(total=total, desc=description, unit="file", delay=2, disable=not progress)
