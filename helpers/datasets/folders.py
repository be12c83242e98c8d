"""Folders of class folders: list them, split them, read their files on every core."""

import itertools
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.datasets.sampling import holdout
from helpers.errors import DatasetError

JUNK = {"thumbs.db", "desktop.ini"}


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
        files = sorted(
            entry.name
            for entry in os.scandir(folder)
            if entry.is_file() and not entry.name.startswith(".") and entry.name.lower() not in JUNK
        )
        good = [name for name in files if Path(name).suffix.lower() in suffixes]
        if not good:
            found = f"only other files (such as {files[0]})" if files else "nothing"
            raise DatasetError(
                f"{folder}: the class folder holds {found}; expected "
                f"{', '.join(sorted(suffixes))} files: add some or remove the folder"
            )
        other += [f"{folder.name}/{name}" for name in files if name not in set(good)]
        paths += [folder / name for name in good]
        labels += [number] * len(good)
    if other:
        warnings.warn(
            f"{path}: {len(other)} files are not {', '.join(sorted(suffixes))} and are left out, "
            f"such as {other[0]}",
            stacklevel=5,
        )
    return tuple(folder.name for folder in folders), Files(paths, np.array(labels))


def in_order(
    function: Callable[[Path], Any],
    paths: Iterable[Path],
    on_error: str,
    skipped: list[str] | None = None,
) -> Iterator[Any]:
    """Map over files on all cores, in order, a window at a time so that memory stays constant.

    Under ``on_error="skip"`` a broken file gives ``None`` and its name goes to ``skipped``.
    """

    def attempt(path: Path) -> Any:
        try:
            return function(path)
        except DatasetError as error:
            return error

    workers = os.cpu_count() or 1
    remaining = iter(paths)
    with ThreadPoolExecutor(workers) as pool:  # Pillow decodes outside of the GIL
        while window := list(itertools.islice(remaining, 16 * workers)):
            for path, result in zip(window, pool.map(attempt, window), strict=True):
                if not isinstance(result, DatasetError):
                    yield result
                elif on_error == "raise":
                    raise result
                else:
                    if skipped is not None and str(path) not in skipped:
                        skipped.append(str(path))
                    yield None


def file_bar(total: int, description: str, progress: bool) -> Any:
    from tqdm.auto import tqdm

    # Short loads show no bar: half a second passes before it appears.
    return tqdm(total=total, desc=description, unit="file", delay=0.5, disable=not progress)
