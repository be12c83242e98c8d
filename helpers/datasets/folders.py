"""Folders of class folders: list them by class, read their files on every core.

What a folder has to hold and does not is said by a ``DatasetError`` of one line.
"""

import contextlib
import csv
import functools
import io
import math
import os
import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from helpers.datasets.dataset import Dataset, make_dataset, say
from helpers.datasets.formats import contents
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


def list_folder(path: Path, suffixes: frozenset[str], test_size: float, seed: int) -> Dataset:
    """List the files of every class, as a ``Dataset`` of paths; none of them is read yet.

    The parts are those of folders ``train/``, ``test/`` and ``val/``, or else held out. Files in
    folders below a class folder belong to the class. Without class folders, a ``labels.csv`` names
    the class of each file.
    """
    folders = _part_folders(path)
    classes = {part: _classes(f, suffixes) for part, f in (folders or {"train": path}).items()}
    arrays = {}
    for part, labels in classes.items():
        if odd := sorted(set(classes["train"].values()) ^ set(labels.values())):
            raise DatasetError(
                f"{path}: class {odd[0]!r} is in only one of {folders['train'].name}/ and "
                f"{folders[part].name}/; expected the same classes in both"
            )
        arrays[f"x_{part}"] = np.array(list(labels), object)
        arrays[f"y_{part}"] = np.array(list(labels.values()))
    if folders and "test" not in folders:
        say(
            f"{path}: there is no test/ beside {folders['train'].name}/ and "
            f"{folders['val'].name}/, so {test_size:.0%} of the training files are for testing"
        )
    return make_dataset(
        path.name, arrays, source=str(path), where=str(path), test_size=test_size, seed=seed
    )


def _part_folders(path: Path) -> dict[str, Path]:
    """Return the folder of each part; none unless there are one to learn from and another."""
    folders: dict[str, list[Path]] = defaultdict(list)
    for name in sub_folders(path):
        match = PART.fullmatch(name)
        folders[match[1].lower() if match else ""].append(path / name)
    rest = folders.pop("", [])
    if "train" not in folders or len(folders) < 2:
        return {}
    if twice := [same for same in folders.values() if len(same) > 1]:
        names = " and ".join(f"{folder.name}/" for folder in twice[0])
        raise DatasetError(f"{path}: found both {names}; expected one of them")
    if rest:
        beside = f"{', '.join(f'{f.name}/' for f in rest[:5])} beside {folders['train'][0].name}/"
        say(f"{path}: {beside} is no part of the split and is left out")
    return {part: folder for part, (folder,) in folders.items()}


def _classes(path: Path, suffixes: frozenset[str]) -> dict[Path, str]:
    """Return the class of each file: its sub-folder, or what ``labels.csv`` says."""
    names, folders, kinds = files_below(path), sub_folders(path), ", ".join(sorted(suffixes))
    good = [name for name in names if Path(name).suffix.lower() in suffixes]
    is_flat = len(folders) < 2 or any("/" not in name for name in good)
    if is_flat and (labels := read_labels(path)):
        classes = _match(good, labels, path / LABELS)
        rest, reason = set(good) - set(classes), f"{LABELS} does not name it"
    else:
        if len(folders) < 2:
            raise DatasetError(
                f"{path}: found {len(folders)} class folders; expected at least two sub-folders, "
                f"one for each class, or a {LABELS} with the columns file and label"
            )
        inside = sorted(name.split("/", 1) for name in good if "/" in name)
        classes = {f"{folder}/{name}": folder for folder, name in inside}
        for folder in set(folders) - set(classes.values()):
            other = next((name for name in names if name.startswith(f"{folder}/")), "")
            found = f"only other files (such as {Path(other).name})" if other else "nothing"
            raise DatasetError(
                f"{path / folder}: the class folder holds {found}; expected {kinds} files: add "
                "some or remove the folder"
            )
        _check_depth(path, classes)
        rest = {*good, *(name for name in names if "/" in name)} - set(classes)
        reason = f"no {kinds} file in a class folder"
    warn_of_left_out(path, sorted(rest), reason)
    return {path / name: label for name, label in classes.items()}


def _check_depth(path: Path, classes: Mapping[str, str]) -> None:
    """Warn of files below a class folder; refuse classes that are parts of a split, by their look.

    These hold the same folders, several of them, and no files of their own.
    """
    below: dict[str, set[str]] = defaultdict(set)
    for name, folder in classes.items():
        below[folder].add(name.removeprefix(f"{folder}/").rpartition("/")[0])
    first, *others = below.values()
    if len(first) > 1 and "" not in first and all(other == first for other in others):
        raise DatasetError(
            f"{path}: each of {', '.join([*below][:5])} holds the same folders "
            f"({', '.join(sorted(first)[:5])}); expected classes, or parts that are called train "
            "and test"
        )
    if deeper := [name for name in classes if name.count("/") > 1]:
        say(
            f"{path}: {len(deeper)} files lie deeper than their class folder, such as {deeper[0]}, "
            f"and are taken for class {classes[deeper[0]]!r}; move them if that is wrong"
        )


def warn_of_left_out(path: Path, names: list[str], reason: str, by: str = "load_dataset") -> None:
    """Say in one line which files of a folder are passed over."""
    if names:
        say(f"{path}: {len(names)} files left out, such as {names[0]}: {reason}", by=by)


def read_labels(folder: Path) -> dict[str, str]:
    """Return the label of each file that a folder's ``labels.csv`` names; none if it has none."""
    path = folder / LABELS
    if not path.is_file():
        return {}
    try:
        text = contents(path).decode("utf-8-sig")
        sep = max(",;\t", key=text.partition("\n")[0].count)
        header, *rows = filter(None, csv.reader(io.StringIO(text, newline=""), delimiter=sep))
        header = [cell.strip().lower() for cell in header]
        if len(set(header)) < len(header):
            raise ValueError("two columns have one name")
        cells = dict(zip(header, zip(*rows, strict=True), strict=True))
    except (ValueError, csv.Error) as error:
        raise DatasetError(
            f"{path}: no table in UTF-8 of rows of equal length ({error}); save it anew"
        ) from error
    columns = []
    for kind, names in COLUMNS.items():
        if not (known := [name for name in names if name in header]):
            raise DatasetError(
                f"{path}: there is no column {kind!r} among {', '.join(header)}; expected 'file' "
                "and 'label'"
            )
        columns.append([cell.strip() for cell in cells[known[0]]])
    labels: dict[str, str] = {}
    for file, label in zip(*columns, strict=True):
        if not label or labels.setdefault(file, label) != label:
            reason = "two labels" if label else "no label"
            raise DatasetError(f"{path}: {file!r} has {reason}; expected one")
    return labels


def _match(names: list[str], labels: Mapping[str, str], table: Path) -> dict[str, str]:
    """Return the label of each file that a table names: by its path, its name, or its stem."""
    places: dict[str, list[str]] = defaultdict(list)
    for name in names:
        for key in {name, Path(name).name, Path(name).stem}:
            places[key].append(name)
    classes, known = {}, set(names)
    for file, label in labels.items():
        file = file.replace("\\", "/").removeprefix("./")
        same = [file] if file in known else places[file]
        if len(same) != 1:
            raise DatasetError(
                f"{table} names {file!r}, and {len(same)} files have this name; expected one: "
                "correct the table or add the file"
            )
        classes[same[0]] = label
    if len(set(classes.values())) < 2:
        raise DatasetError(f"{table} has one label only; expected at least two classes")
    return dict(sorted(classes.items()))


def _visible(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    """Yield the folders and files in a folder, without hidden ones and what tools leave behind."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and entry.name.lower() not in JUNK:
                with contextlib.suppress(OSError):  # a link to itself is neither
                    if entry.is_dir() or entry.is_file():
                        yield entry


def sub_folders(path: Path) -> list[str]:
    """List the names of a folder's visible sub-folders."""
    return sorted(entry.name for entry in _visible(path) if entry.is_dir())


def files_below(folder: Path) -> list[str]:
    """List the visible files of a folder and of its sub-folders, by their path below it."""
    names = []
    pending: list[tuple[str, str, frozenset[str]]] = [(str(folder), "", frozenset())]
    while pending:
        parent, prefix, above = pending.pop()
        if (real := os.path.realpath(parent)) in above:  # a link that leads back
            continue
        for entry in _visible(parent):
            if entry.is_dir():
                pending.append((entry.path, f"{prefix}{entry.name}/", above | {real}))
            else:
                names.append(prefix + entry.name)
    return sorted(names)


def read_files(
    listed: Dataset,
    read: Callable[[Path], Any],
    shape: tuple[int, ...] = (),
    dtype: type = object,
    *,
    on_error: str,
    progress: bool,
) -> Dataset:
    """Read every file of a ``Dataset`` of paths into its place in arrays of a shape and dtype."""
    arrays: dict[str, np.ndarray] = {}
    skipped: list[str] = []
    size = np.dtype(dtype).itemsize * math.prod(shape)
    total = sum(len(paths) for paths, _ in listed.parts.values())
    with file_bar(total, f"Loading {listed.name}", progress) as bar:
        for part, (paths, labels) in listed.parts.items():
            try:
                x = np.empty((len(paths), *shape), dtype)
            except MemoryError as error:
                raise DatasetError(
                    f"{listed.source}: the images need {size * len(paths) / 1e9:.0f} GB of memory; "
                    "pass a smaller image_size, or streaming=True"
                ) from error
            rows = []
            results = in_order(read, paths, on_error, skipped, result_bytes=size)
            for row, result in enumerate(results):
                bar.update()
                if result is not None:
                    x[len(rows)] = result
                    rows.append(row)
            arrays |= {f"x_{part}": x[: len(rows)], f"y_{part}": labels[rows]}
    say_skipped(listed.source, skipped)
    for part in listed.parts:
        for lost in set(range(listed.class_count)) - set(arrays[f"y_{part}"]):
            raise DatasetError(
                f"{listed.source}: class {listed.class_names[lost]!r} has no readable file in its "
                f"{part} part; expected at least one: replace its broken files or leave it out"
            )
    return listed.replace(**arrays, skipped=tuple(skipped))


def say_skipped(source: str, skipped: Sequence[str]) -> None:
    """Say in one line which broken files are left out."""
    if skipped:
        say(f"{source}: {len(skipped)} broken files left out: {', '.join(skipped)}")


def _worker_count(paths: Sequence[Path]) -> int:
    """Return one thread for small files, which are opened inside of the GIL, one a core for others.

    On two cores a second thread made loading files below some 8 kB (128×128 pixels as JPEG) slower
    by up to half; photos of 224×224 gained from it (310 against 460 µs each).
    """
    sample = paths[:: max(1, len(paths) // 16)]
    return usable_cores() if sum(p.stat().st_size for p in sample) > 8000 * len(sample) else 1


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

    def attempt(chunk: Sequence[Any]) -> list[Any]:
        results = []
        for file in chunk:
            try:
                results.append(function(file))
            except DatasetError as error:
                results.append(error)
        return results

    size = max(1, min(CHUNK, CHUNK_BYTES // max(1, result_bytes)))
    chunks = [files[start : start + size] for start in range(0, len(files), size)]
    workers = workers or _worker_count(files)
    pool = ThreadPoolExecutor(workers)
    try:
        ahead = deque(pool.submit(attempt, chunk) for chunk in chunks[: 2 * workers])
        for number, chunk in enumerate(chunks, start=2 * workers):
            results = ahead.popleft().result()
            ahead.extend(pool.submit(attempt, later) for later in chunks[number : number + 1])
            for file, result in zip(chunk, results, strict=True):
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
