"""Folders of texts: class folders of ``.txt`` files, or one ``.txt`` file of lines a class."""

from pathlib import Path

import numpy as np

from helpers.datasets import folders, images
from helpers.datasets.dataset import Dataset, make_dataset
from helpers.datasets.formats import contents
from helpers.errors import DatasetError

SUFFIXES = frozenset({".txt"})


def holds_texts(path: Path) -> bool:
    """Tell whether a folder holds texts and no image: in its sub-folders, if it has any files."""
    names = folders.files_below(path)
    inside = [name for name in names if "/" in name] if folders.sub_folders(path) else names
    suffixes = {Path(name).suffix.lower() for name in inside}
    return bool(suffixes & SUFFIXES) and not suffixes & images.SUFFIXES


def load_texts(
    path: Path, *, test_size: float, seed: int, on_error: str, progress: bool
) -> Dataset:
    """Load texts: class folders of ``.txt`` files, or one ``.txt`` file of lines for each class."""
    if folders.sub_folders(path) or (path / folders.LABELS).is_file():
        listed = folders.list_folder(path, SUFFIXES, test_size, seed)
        return folders.read_files(listed, _read_text, on_error=on_error, progress=progress)
    skipped: list[str] = []
    files = [path / name for name in folders.files_below(path) if name.lower().endswith(".txt")]
    texts = folders.in_order(_read_text, files, on_error, skipped)
    # Not splitlines(), for which a form feed or U+2028 within a text would end a line.
    pairs = [
        (file.stem, line.strip())
        for file, text in zip(files, texts, strict=True)
        for line in (text or "").split("\n")
        if line.strip()
    ]
    folders.say_skipped(str(path), skipped)
    y, x = zip(*pairs, strict=True) if pairs else ((), ())
    if len(set(y)) < 2:
        raise DatasetError(
            f"{path}: found {len(set(y))} readable .txt file; expected one for each of at least "
            "two classes, or a sub-folder of .txt files for each"
        )
    return make_dataset(
        path.name, {"x_train": np.array(x, object), "y_train": np.array(y)},
        source=str(path), where=str(path), test_size=test_size, seed=seed, skipped=tuple(skipped),
    )  # fmt: skip


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
