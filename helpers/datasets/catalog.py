"""The datasets known by name: where they may lie, whether they are good there, how to get them."""

import contextlib
import functools
import hashlib
import io
import json
import os
import shutil
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.datasets import formats
from helpers.datasets.dataset import Dataset, make_dataset, say
from helpers.datasets.download import download
from helpers.errors import CourseError, DatasetError, DatasetUnavailable
from helpers.files import ROOT, write_atomically

# They come with installed packages, whose names these are.
PACKAGES = dict.fromkeys(("digits", "iris", "wine", "breast_cancer"), "scikit-learn") | {
    "languages": "Babel"
}
EMBEDDED = tuple(PACKAGES)
# Languages in Latin letters, as Babel abbreviates them.
LANGUAGES = (
    *("cs", "da", "de", "en", "es", "fi", "fr", "hr", "hu"),
    *("id", "it", "nl", "pl", "pt", "ro", "sv", "tr", "vi"),
)


def manifest() -> dict[str, dict[str, Any]]:
    """Return the datasets of ``data/manifest.toml``, a table for each downloadable one."""
    return {name: entry for name, entry in content().items() if name != "weights"}


@functools.cache
def content() -> dict[str, dict[str, Any]]:
    """Return the content of ``data/manifest.toml``: datasets, and a table of weights."""
    path = ROOT / "data" / "manifest.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CourseError(
            f"No dataset manifest at {path}: install the package from a clone of the course with "
            "'pip install -e .'"
        ) from error


def names() -> tuple[str, ...]:
    """Return the name of every dataset that ``load_dataset`` knows."""
    return (*manifest(), *EMBEDDED)


def cache_dir() -> Path:
    """Return the folder that downloads go to: ``$COURSE_CACHE``, or ``data/`` of the project."""
    return Path(os.environ.get("COURSE_CACHE") or ROOT / "data")


@dataclass(frozen=True)
class Place:
    """A folder where datasets may lie, and the name by which messages call it."""

    folder: Path
    label: str
    is_keras: bool = False

    def paths(self, name: str) -> list[Path]:
        """Return where the files of a dataset lie in this place, present or not."""
        key = "keras_cache" if self.is_keras else "path"
        return [self.folder / file.get(key, file["path"]) for file in manifest()[name]["files"]]

    def source(self, name: str) -> str:
        """Describe the dataset's first file without naming this machine's folders."""
        return f"{self.label}/{self.paths(name)[0].relative_to(self.folder).as_posix()}"


def places() -> list[Place]:
    """Return the folders that are searched, in this order."""
    shared = os.environ.get("COURSE_DATA")
    keras_home, label = keras_cache()
    return [
        Place(cache_dir(), "$COURSE_CACHE" if os.environ.get("COURSE_CACHE") else "data"),
        *([Place(Path(shared), "$COURSE_DATA")] if shared else []),
        Place(keras_home / "datasets", f"{label}/datasets", is_keras=True),
    ]


def keras_cache() -> tuple[Path, str]:
    """Return the folder that Keras downloads to, and the name by which messages call it."""
    home = os.environ.get("KERAS_HOME")
    return (Path(home), "$KERAS_HOME") if home else (Path.home() / ".keras", "~/.keras")


def existing(path: str | Path) -> Path | None:
    """Return the path of what is there: as given, or else among downloads or shared data.

    A relative path is looked for in the working folder first, then in every place. None if there
    is nothing.
    """
    try:
        path = Path(path).expanduser()
        candidates = (path, *(place.folder / path for place in places()))
        return next((candidate for candidate in candidates if candidate.exists()), None)
    except (OSError, RuntimeError, ValueError):  # too long, an unknown ~user, a zero byte
        return None


def offline() -> bool:
    """Tell whether ``COURSE_OFFLINE`` forbids downloads."""
    return os.environ.get("COURSE_OFFLINE", "0") not in {"", "0"}


def find(name: str) -> Iterator[Place]:
    """Yield each place that holds all files of a dataset, whether good or damaged."""
    for place in places():
        if all(path.is_file() for path in place.paths(name)):
            yield place


def copies(name: str) -> Iterator[tuple[str, DatasetError | None]]:
    """Yield where each copy of a dataset is, and what is wrong with it."""
    for place in find(name):
        try:
            read(name, place)
        except DatasetError as error:
            yield place.label, error
        else:
            yield place.source(name), None


def load_named(name: str, *, progress: bool = True) -> Dataset:
    """Load a dataset of the manifest: the first good copy, else a download.

    Raises
    ------
    DatasetUnavailable
        If there is no good copy and none can be downloaded.
    """
    for place in find(name):
        try:
            arrays = _unpacked(name, place)
            break
        except DatasetError as error:
            say(f"{place.label}: {error}. Looking for another copy.")
    else:
        place = _fetch(name, progress)
        arrays = _unpacked(name, place)
    return make_dataset(
        name, arrays, source=place.source(name), where=place.paths(name)[0].name,
        class_names=manifest()[name]["class_names"],
    )  # fmt: skip


def _unpacked(name: str, place: Place) -> dict[str, np.ndarray]:
    """Return a dataset's arrays, verified once and kept as plain files until its own files change.

    To unpack and verify MNIST takes 0.2 s, CIFAR-10 longer, and every run of a sweep would do it
    again. Plain files are mapped into memory: only what is used is read, and processes share it.
    """
    stats = [(str(path.resolve()), path.stat()) for path in place.paths(name)]
    stamp = [manifest()[name], *((where, s.st_size, s.st_mtime_ns) for where, s in stats)]
    digest = hashlib.sha256(json.dumps(stamp, sort_keys=True).encode()).hexdigest()
    kept = cache_dir() / "unpacked" / name / digest[:16]
    with contextlib.suppress(OSError, ValueError, EOFError):
        # Copy-on-write: whoever changes an array changes their own only.
        return {a: np.asarray(np.load(kept / f"{a}.npy", mmap_mode="c")) for a in formats.ARRAYS}
    arrays = read(name, place)
    with contextlib.suppress(OSError):  # where nothing can be written, it takes time only
        for array, values in arrays.items():
            content = io.BytesIO()
            np.save(content, values)
            write_atomically(kept / f"{array}.npy", content.getvalue())
        for other in set(kept.parent.iterdir()) - {kept}:
            shutil.rmtree(other, ignore_errors=True)
    return arrays


def read(name: str, place: Place) -> dict[str, np.ndarray]:
    """Read the arrays of a dataset at one place; raise a ``DatasetError`` if they are damaged."""
    entry, arrays = manifest()[name], {}
    for file, path in zip(entry["files"], place.paths(name), strict=True):
        arrays |= _read_file(entry, file, path)
    return arrays


def _read_file(entry: dict[str, Any], file: dict[str, Any], path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of one file, and verify them or, if they have no digests, the file."""
    held, digests = formats.ARRAYS, entry.get("arrays", {})
    if len(entry["files"]) > 1:
        held = (held[entry["files"].index(file)],)
    if "digest" in file and not digests:  # content counts, however it is packed
        formats.check_digest(path, file["digest"], path.name.removesuffix(".part"))
    match entry["format"]:
        case "npz":
            arrays = formats.read_npz(path)
        case "idx":
            arrays = {held[0]: formats.read_idx(path)}
        case "cifar10":
            arrays = formats.read_cifar10(path, entry["members"])
        case other:
            raise CourseError(f"manifest.toml: format {other!r} is not known")
    for array in held:
        where = f"{path.name.removesuffix('.part')}: {array}"
        if array not in arrays:
            raise DatasetError(f"{where} is missing: fetch the file again")
        if array in digests:
            content = np.ascontiguousarray(arrays[array])
            formats.check_digest(content, f"sha256:{digests[array]}", where)
    return {array: arrays[array] for array in held}


def _fetch(name: str, progress: bool) -> Place:
    """Download a dataset's missing files into the cache and return it as the place to read.

    ``COURSE_MIRROR`` names another server that has the files under their names in a data folder;
    ``COURSE_OFFLINE=1`` forbids downloads.
    """
    entry, place = manifest()[name], places()[0]
    try:
        if offline():
            raise DatasetUnavailable("COURSE_OFFLINE forbids a download")
        for file, path in zip(entry["files"], place.paths(name), strict=True):
            download(
                mirrored(file["path"], file["url"]), path, size=file["bytes"], progress=progress,
                check=functools.partial(_read_file, entry, file),
            )  # fmt: skip
    except DatasetUnavailable as error:
        searched = ", ".join(
            place.label + ("" if place.folder.is_dir() else " (no such folder)")
            for place in places()
        )
        raise DatasetUnavailable(
            f"{name}: not found in {searched}; {error}: copy {entry['files'][0]['path']} into one "
            "of these folders, or try again with network"
        ) from None
    return place


def mirrored(path: str, url: str) -> str:
    """Return where to download a file of a data folder: from ``COURSE_MIRROR`` if it is set."""
    mirror = os.environ.get("COURSE_MIRROR", "").rstrip("/")
    return f"{mirror}/{path}" if mirror else url


def load_embedded(name: str, *, test_size: float, seed: int) -> Dataset:
    """Load a dataset that comes with the installed packages: no network, ever."""
    source, features = "scikit-learn", ()
    if name == "languages":
        x, y, class_names = _languages()
        source = "Unicode CLDR, in Babel"
    else:
        from sklearn import datasets

        bunch = getattr(datasets, f"load_{name}")()
        x, y, class_names = bunch.data, bunch.target, bunch.target_names
        if name == "digits":  # 8×8 pixels of 0 … 16; as bytes, like other images of the course
            x = np.round(bunch.images * (255 / 16)).astype(np.uint8)
        else:
            features = tuple(map(str, bunch.feature_names))
    return make_dataset(
        name, {"x_train": x, "y_train": y}, source=source, where=name, feature_names=features,
        class_names=[str(label) for label in class_names], test_size=test_size, seed=seed,
    )  # fmt: skip


def _languages() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return names of countries and languages, each in one of 18 languages: which one is it?

    Names that are the same in several of them are left out.
    """
    from babel import Locale

    locales = [Locale(code) for code in LANGUAGES]
    names = [{*locale.territories.values(), *locale.languages.values()} for locale in locales]
    uses = Counter(name for each in names for name in each)
    pairs = [(name, y) for y, each in enumerate(names) for name in sorted(each) if uses[name] == 1]
    x, y = zip(*pairs, strict=True)
    return np.array(x, object), np.array(y), [str(locale.english_name) for locale in locales]
