"""Folders of texts: class folders of ``.txt`` files, or one ``.txt`` file of lines a class."""

import os
import warnings
from pathlib import Path

import numpy as np

from helpers.datasets import images
from helpers.datasets.dataset import Dataset, checked_dataset
from helpers.datasets.folders import (
    JUNK,
    LABELS,
    check_no_class_is_empty,
    file_bar,
    find_class_folders,
    in_order,
    split_by_class,
    visible_files,
)
from helpers.datasets.formats import contents
from helpers.errors import DatasetError

SUFFIXES = frozenset({".txt"})


def holds_texts(path: Path) -> bool:
    """Tell whether a folder holds texts: in class folders without images, or as files of lines."""
    for parent, folders, files in os.walk(path):
        folders[:] = sorted(n for n in folders if not n.startswith(".") and n.lower() not in JUNK)
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
    """Return the ``CLASS.txt`` files of a folder that has no class folders and no labels."""
    folders = (p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    if (path / LABELS).is_file() or any(name.lower() not in JUNK for name in folders):
        return []
    return [path / name for name in visible_files(path) if Path(name).suffix.lower() in SUFFIXES]


def load_texts(
    path: Path, *, test_size: float, seed: int, on_error: str, progress: bool
) -> Dataset:
    """Load texts: class folders of ``.txt`` files, or one ``.txt`` file of lines for each class."""
    skipped: list[str] = []
    parts: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    if line_files := _line_files(path):
        names, texts, labels = _read_lines(path, line_files, on_error, skipped)
        for part, rows in zip(
            ("train", "test"), split_by_class(labels, names, path, test_size, seed), strict=True
        ):
            parts[part] = (texts[rows], labels[rows])
    else:
        folders = find_class_folders(path, SUFFIXES, test_size, seed)
        names = folders.class_names
        total = sum(len(files.paths) for files in folders.parts.values())
        with file_bar(total, f"Loading {path.name}", progress) as bar:
            for part, files in folders.parts.items():
                read = []
                for text in in_order(_read_text, files.paths, on_error, skipped):
                    read.append(text)
                    bar.update()
                kept = [i for i, text in enumerate(read) if text is not None]
                parts[part] = (np.array([read[i] for i in kept], object), files.labels[kept])
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


def _read_lines(
    path: Path, files: list[Path], on_error: str, skipped: list[str]
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Read ``CLASS.txt`` files with one sample a line; a file that is skipped is a class less."""
    names: list[str] = []
    texts: list[str] = []
    labels: list[int] = []
    for file, text in zip(files, in_order(_read_text, files, on_error, skipped), strict=True):
        if text is not None:
            # Not splitlines(), for which a form feed or U+2028 within a text would end a line.
            lines = [line.strip() for line in text.split("\n") if line.strip()]
            texts += lines
            labels += [len(names)] * len(lines)
            names.append(file.stem)
    if len(names) < 2:
        raise DatasetError(
            f"{path}: found {len(names)} readable .txt file; expected one for each of at least two "
            "classes, or a sub-folder of .txt files for each"
        )
    return tuple(names), np.array(texts, object), np.array(labels)


def _read_text(path: Path) -> str:
    try:
        text = contents(path).decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{path}: byte {error.start} is not UTF-8; expected UTF-8 text: save it as UTF-8"
        ) from error
    if not text.strip():
        raise DatasetError(f"{path}: the file is empty; expected text: fill or remove it")
    return text
