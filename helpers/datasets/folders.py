"""Folders of class folders: list them, split them, read their files on every core."""

import contextlib
import functools
import itertools
import os
import re
import warnings
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.datasets.sampling import holdout
from helpers.errors import DatasetError

# What file managers and archives leave behind; names that begin with a dot are the same.
JUNK = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "__pycache__", "@eadir"}
    | {"$recycle.bin", "lost+found", "system volume information"}
)
# A folder that is a part of a split: train, training, Train_set, valid, validation, test-data, …
PART = re.compile(r"(train|test|val)(ing|id|idation)?([-_ ]?(set|data|images))?", re.IGNORECASE)
# A table of labels, and the names that its two columns may have.
LABELS = "labels.csv"
COLUMNS = {
    "file": ("file", "filename", "file_name", "image", "image_id", "id"),
    "label": ("label", "class", "category"),
}
# Files a task: a task for each file cost more than decoding a small image does. Fewer if they are
# large, because the results of a few tasks wait for their turn in memory.
CHUNK = 64
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Files:
    """The files of one part, each with its class number."""

    paths: list[Path]
    labels: np.ndarray

    def take(self, rows: np.ndarray) -> "Files":
        """Return some of the files, in the order of ``rows``."""
        return Files([self.paths[i] for i in rows], self.labels[rows])


@dataclass(frozen=True)
class ClassFolders:
    """A folder of class folders, split into parts; nothing is decoded yet."""

    path: Path
    class_names: tuple[str, ...]
    train: Files
    test: Files
    validation: Files | None = None

    @property
    def parts(self) -> dict[str, Files]:
        """The files by the part's name in a ``Dataset``: train, test and maybe val."""
        parts = {"train": self.train, "test": self.test}
        return parts if self.validation is None else parts | {"val": self.validation}


def find_class_folders(
    path: Path, suffixes: frozenset[str], test_size: float, seed: int
) -> ClassFolders:
    """List the files of every class, in parts where there are folders ``train/`` and ``test/``.

    Files in folders below a class folder belong to the class. Without class folders, a
    ``labels.csv`` names the class of each file.
    """
    folders = _part_folders(path)
    listed = {part: _list_classes(folder, suffixes) for part, folder in folders.items()}
    names, every = listed.get("train") or _list_classes(path, suffixes)
    for part, (other_names, _) in listed.items():
        if odd := sorted(set(names) ^ set(other_names)):
            raise DatasetError(
                f"{path}: class {odd[0]!r} is in only one of {folders['train'].name}/ and "
                f"{folders[part].name}/; expected the same classes in both"
            )
    files = {part: listed[part][1] for part in listed}
    if "test" not in files:
        split = split_by_class(every.labels, names, path, test_size, seed)
        files["train"], files["test"] = map(every.take, split)
        if folders:
            _say(
                f"{path}: there is no test/ beside {folders['train'].name}/ and "
                f"{folders['val'].name}/, so {test_size:.0%} of the training files are for testing"
            )
    return ClassFolders(path, names, files["train"], files["test"], files.get("val"))


def _say(message: str, by: str = "load_dataset") -> None:
    # The caller's file is a path of this machine, which a notebook's output would keep.
    warnings.warn_explicit(message, UserWarning, by, 1)


def _part_folders(path: Path) -> dict[str, Path]:
    """Return the folder of each part; none unless there are one to learn from and another."""
    folders: dict[str, list[Path]] = defaultdict(list)
    for folder in _sub_folders(path):
        match = PART.fullmatch(folder.name)
        folders[match[1].lower() if match else ""].append(folder)
    rest = folders.pop("", [])
    if "train" not in folders or len(folders) < 2:
        return {}
    for first, *others in folders.values():
        if others:
            raise DatasetError(
                f"{path}: found both {first.name}/ and {others[0].name}/; expected one of them"
            )
    if rest:
        _say(
            f"{path}: {', '.join(f'{f.name}/' for f in rest[:5])} beside "
            f"{folders['train'][0].name}/ is no part of the split and is left out"
        )
    return {part: folder for part, (folder,) in folders.items()}


def split_by_class(
    labels: np.ndarray, names: tuple[str, ...], path: Path, test_size: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Hold some samples of each class out, at random."""
    sizes = np.bincount(labels)
    if sizes.min() < 2:
        raise DatasetError(
            f"{path}: class {names[sizes.argmin()]!r} has 1 sample; expected at least 2, one to "
            "learn from and one to test with"
        )
    return holdout(labels, test_size, seed)


def _list_classes(path: Path, suffixes: frozenset[str]) -> tuple[tuple[str, ...], Files]:
    folders = _sub_folders(path)
    beside = [name for name in visible_files(path) if Path(name).suffix.lower() in suffixes]
    if (beside or len(folders) < 2) and (labels := read_labels(path)):
        return _list_labelled(path, labels, suffixes)
    if len(folders) < 2:
        raise DatasetError(
            f"{path}: found {len(folders)} class folders; expected at least two sub-folders, one "
            f"for each class, or a {LABELS} with the columns file and label"
        )
    labelled: list[tuple[Path, str]] = []
    rest, deeper, inside = beside, [], set()
    for folder in folders:
        files = files_below(folder)
        good = [name for name in files if Path(name).suffix.lower() in suffixes]
        if not good:
            content = f"only other files (such as {files[0]})" if files else "nothing"
            raise DatasetError(
                f"{folder}: the class folder holds {content}; expected "
                f"{', '.join(sorted(suffixes))} files: add some or remove the folder"
            )
        rest += [f"{folder.name}/{name}" for name in sorted(set(files) - set(good))]
        deeper += [f"{folder.name}/{name}" for name in good if "/" in name]
        labelled += [(folder / name, folder.name) for name in good]
        inside.add(tuple(sorted({name.rpartition("/")[0] for name in good})))
    if len(inside) == 1 and len(same := inside.pop()) > 1 and "" not in same:
        raise DatasetError(
            f"{path}: each of {', '.join(f.name for f in folders[:5])} holds the same folders "
            f"({', '.join(same[:5])}); expected classes, or parts that are called train and test"
        )
    if deeper:
        _say(
            f"{path}: {len(deeper)} files lie deeper than their class folder, such as {deeper[0]}, "
            f"and are taken for class {deeper[0].partition('/')[0]!r}; move them if that is wrong"
        )
    warn_of_left_out(path, rest, f"no {', '.join(sorted(suffixes))} file in a class folder")
    return _numbered(labelled)


def warn_of_left_out(path: Path, names: list[str], reason: str, by: str = "load_dataset") -> None:
    """Say in one line which files of a folder are passed over."""
    if names:
        _say(f"{path}: {len(names)} files left out, such as {names[0]}: {reason}", by)


def _numbered(labelled: list[tuple[Path, str]]) -> tuple[tuple[str, ...], Files]:
    """Number the classes: by their names, or by their values where all of them are numbers."""
    names = sorted({label for _, label in labelled})
    if all(name.isdecimal() for name in names):
        names.sort(key=int)
    numbers = {name: number for number, name in enumerate(names)}
    labels = np.array([numbers[label] for _, label in labelled])
    return tuple(names), Files([path for path, _ in labelled], labels)


def read_labels(folder: Path) -> dict[str, str]:
    """Return the label of each file that a folder's ``labels.csv`` names; none if it has none."""
    import pandas as pd

    path = folder / LABELS
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8-sig") as stream:
            header = stream.readline(10_000)
        separator = max(",;\t", key=header.count)
        options = {"dtype": str, "keep_default_na": False, "index_col": False}
        table = pd.read_csv(path, sep=separator, **options)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(f"{path}: no table in UTF-8 ({reason}); save it anew") from error
    columns = [str(column).strip().lower() for column in table]
    for kind, names in COLUMNS.items():
        if not (known := [name for name in names if name in columns]):
            raise DatasetError(
                f"{path}: there is no column {kind!r} among {', '.join(columns)}; expected 'file' "
                "and 'label'"
            )
        table[kind] = table.iloc[:, columns.index(known[0])].str.strip()
    pairs = table[["file", "label"]].drop_duplicates()
    for wrong, reason in ((pairs["label"] == "", "no label"),
                          (pairs["file"].duplicated(), "two labels")):  # fmt: skip
        if wrong.any():
            raise DatasetError(
                f"{path}: {pairs['file'][wrong].iloc[0]!r} has {reason}; expected one"
            )
    return dict(zip(pairs["file"], pairs["label"], strict=True))


def _list_labelled(
    path: Path, labels: dict[str, str], suffixes: frozenset[str]
) -> tuple[tuple[str, ...], Files]:
    """List the files that a table names: by their path, their name, or their name without end."""
    names = [name for name in files_below(path) if Path(name).suffix.lower() in suffixes]
    places: dict[str, list[str]] = defaultdict(list)
    for name in names:
        for key in {Path(name).name, Path(name).stem} - {name}:
            places[key].append(name)
    places |= {name: [name] for name in names}
    labelled = {}
    for file, label in labels.items():
        same = places.get(file.replace("\\", "/").removeprefix("./"), [])
        if len(same) != 1:
            raise DatasetError(
                f"{path / LABELS} names {file!r}, and {len(same)} files have this name; expected "
                "one: correct the table or add the file"
            )
        labelled[same[0]] = label
    warn_of_left_out(path, sorted(set(names) - set(labelled)), f"{LABELS} does not name it")
    if len(set(labelled.values())) < 2:
        raise DatasetError(f"{path / LABELS} has one label only; expected at least two classes")
    return _numbered([(path / name, label) for name, label in sorted(labelled.items())])


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in JUNK


def _sub_folders(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir() and _is_visible(p.name))


def visible_files(folder: Path) -> list[str]:
    """List the names of a folder's files, without hidden ones and what file managers leave."""
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):  # a link to itself is no file
                if entry.is_file():
                    names.append(entry.name)
    return sorted(filter(_is_visible, names))


def files_below(folder: Path) -> list[str]:
    """List the visible files of a folder and of its sub-folders, by their path below it."""
    listed, seen = [], set()
    for parent, folders, _ in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(parent))
        folders[:] = [
            name
            for name in folders
            if _is_visible(name) and os.path.realpath(f"{parent}/{name}") not in seen
        ]
        below = Path(parent).relative_to(folder).as_posix()
        prefix = "" if below == "." else f"{below}/"
        listed += [prefix + name for name in visible_files(Path(parent))]
    return sorted(listed)


def check_no_class_is_empty(
    path: Path, class_names: Sequence[str], labels: dict[str, np.ndarray]
) -> None:
    """Refuse a folder of which a class has lost all files of a part to ``on_error="skip"``."""
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
    return usable_cores() if mean_size > 8000 else 1


@functools.cache
def usable_cores() -> int:
    """Return the cores that this process may use, which may be fewer than the machine has."""
    from helpers import hardware

    return hardware.detect().cores


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
