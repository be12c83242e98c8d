"""Folders of texts: class folders of ``.txt`` files, or one ``.txt`` file of lines a class."""

import os
import warnings
from pathlib import Path

import numpy as np

from helpers.datasets import images
from helpers.datasets.dataset import Dataset, checked_dataset
from helpers.datasets.folders import (
    check_no_class_is_empty,
    file_bar,
    find_class_folders,
    in_order,
    split_by_class,
    visible_files,
)
from helpers.errors import DatasetError

SUFFIXES = frozenset({".txt"})


def holds_texts(path: Path) -> bool:
    """Tell whether a folder holds texts: in class folders without images, or as files of lines."""
    for parent, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        suffixes = {Path(name).suffix.lower() for name in files if not name.startswith(".")}
        if Path(parent) == path:
            if not folders:
                return bool(suffixes & SUFFIXES)
        elif suffixes & images.SUFFIXES:
            return False
        elif suffixes & SUFFIXES:
            return True
    return False


def _line_files(path: Path) -> list[Path]:
    """Return the ``CLASS.txt`` files of a folder that has no class folders."""
    if any(p.is_dir() and not p.name.startswith(".") for p in path.iterdir()):
        return []
    return [path / name for name in visible_files(path) if Path(name).suffix.lower() in SUFFIXES]


def load_texts(
    path: Path, *, test_size: float, seed: int, on_error: str, progress: bool
) -> Dataset:
    """Load texts: class folders of ``.txt`` files, or one ``.txt`` file of lines for each class."""
    skipped: list[str] = []
    if line_files := _line_files(path):
        names, texts, labels = _read_lines(path, line_files)
        train, test = split_by_class(labels, names, path, test_size, seed)
        parts = {"train": (texts[train], labels[train]), "test": (texts[test], labels[test])}
    else:
        folders = find_class_folders(path, SUFFIXES, test_size, seed)
        names, parts = folders.class_names, {}
        total = len(folders.train.paths) + len(folders.test.paths)
        with file_bar(total, f"Loading {path.name}", progress) as bar:
            for part, files in (("train", folders.train), ("test", folders.test)):
                read = []
                for text in in_order(_read_text, files.paths, on_error, skipped):
                    read.append(text)
                    bar.update()
                kept = [i for i, text in enumerate(read) if text is not None]
                texts = np.array([read[i] for i in kept], object)
                parts[part] = (texts, files.labels[kept])
    if skipped:
        warnings.warn(
            f"{path}: {len(skipped)} broken files left out: {', '.join(skipped)}", stacklevel=3
        )
    check_no_class_is_empty(path, names, {part: y for part, (_, y) in parts.items()})
    arrays = {f"x_{part}": x for part, (x, _) in parts.items()}
    arrays |= {f"y_{part}": y for part, (_, y) in parts.items()}
    return checked_dataset(
        path.name,
        arrays,
        source=str(path),
        where=str(path),
        class_names=names,
        skipped=skipped,
    )


def _read_lines(path: Path, files: list[Path]) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Read ``CLASS.txt`` files with one sample a line."""
    if len(files) < 2:
        raise DatasetError(
            f"{path}: found {len(files)} .txt file; expected one for each of at least two classes, "
            "or a sub-folder of .txt files for each"
        )
    texts: list[str] = []
    labels: list[int] = []
    for number, file in enumerate(files):
        lines = [line.strip() for line in _read_text(file).splitlines() if line.strip()]
        texts += lines
        labels += [number] * len(lines)
    return tuple(file.stem for file in files), np.array(texts, object), np.array(labels)


def _read_text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{path}: byte {error.start} is not UTF-8; expected UTF-8 text: save it as UTF-8"
        ) from error
    if not text.strip():
        raise DatasetError(f"{path}: the file is empty; expected text: fill or remove it")
    return text
