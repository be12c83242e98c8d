"""The datasets known by name: where they may lie, whether they are good there, how to get them."""

import functools
import os
import tomllib
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.datasets import formats
from helpers.datasets.dataset import Dataset, checked_dataset, split_arrays
from helpers.datasets.download import download
from helpers.datasets.unpacked import unpacked
from helpers.errors import CourseError, DatasetError, DatasetUnavailable
from helpers.files import ROOT

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
        files = manifest()[name]["files"]
        key = "keras_cache" if self.is_keras else "path"
        return [self.folder / file.get(key, file["path"]) for file in files]

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


def load_named(name: str, *, progress: bool = True) -> Dataset:
    """Load a dataset of the manifest: the first good copy, else a download.

    Raises
    ------
    DatasetUnavailable
        If there is no good copy and none can be downloaded.
    """
    for place in find(name):
        try:
            return _read_kept(name, place)
        except DatasetError as error:
            warnings.warn(f"{place.label}: {error}. Looking for another copy.", stacklevel=3)
    return _read_kept(name, fetch(name, progress=progress))


def read(name: str, place: Place) -> Dataset:
    """Read a dataset's files at one place and verify their content.

    Raises
    ------
    DatasetError
        If they are damaged.
    """
    return _made(name, place, _verified(name, place))


def copies(name: str) -> Iterator[tuple[str, DatasetError | None]]:
    """Yield where each copy of a dataset is, and what is wrong with it."""
    for place in find(name):
        try:
            read(name, place)
        except DatasetError as error:
            yield place.label, error
        else:
            yield place.source(name), None


def _read_kept(name: str, place: Place) -> Dataset:
    """Read a dataset as it was when its files were verified, unless they have changed since."""
    folder = cache_dir() / "unpacked" / name
    unpack = functools.partial(_verified, name, place)
    return _made(name, place, unpacked(folder, place.paths(name), manifest()[name], unpack))


def _verified(name: str, place: Place) -> dict[str, np.ndarray]:
    entry, paths = manifest()[name], place.paths(name)
    for path, file in zip(paths, entry["files"], strict=True):
        if "digest" in file and "arrays" not in entry:  # content counts, however it is packed
            formats.check_digest(path, file["digest"], path.name)
    return _read_arrays(entry, paths)


def _made(name: str, place: Place, arrays: dict[str, np.ndarray]) -> Dataset:
    return checked_dataset(
        name,
        arrays,
        source=place.source(name),
        where=place.paths(name)[0].name,
        class_names=manifest()[name]["class_names"],
    )


def _read_arrays(
    entry: dict[str, Any], paths: list[Path], names: Sequence[str] = formats.ARRAYS
) -> dict[str, np.ndarray]:
    """Read a set's arrays, and compare them with the manifest's digests where it has some."""
    match entry["format"]:
        case "npz":
            arrays = formats.read_npz(paths[0])
        case "idx":
            arrays = dict(zip(names, map(formats.read_idx, paths), strict=True))
        case "cifar10":
            arrays = formats.read_cifar10(paths[0], entry["members"])
        case other:
            raise CourseError(f"manifest.toml: format {other!r} is not known")
    for number, array in enumerate(names):
        where = f"{paths[number if len(paths) > 1 else 0].name}: {array}"
        if array not in arrays:
            raise DatasetError(f"{where} is missing: fetch the file again")
        if digest := entry.get("arrays", {}).get(array):
            content = np.ascontiguousarray(arrays[array])
            formats.check_digest(content, f"sha256:{digest}", where)
    return {array: arrays[array] for array in names}


def fetch(name: str, *, progress: bool = True) -> Place:
    """Download a dataset's missing files into the cache and return it as the place to read.

    ``COURSE_MIRROR`` names another server that has the files under their names in a data folder;
    ``COURSE_OFFLINE=1`` forbids downloads.

    Raises
    ------
    DatasetUnavailable
        If a file cannot be had.
    DatasetError
        If a downloaded file is not what it should be; nothing of it is kept.
    """
    entry = manifest()[name]
    place = places()[0]
    try:
        if offline():
            raise DatasetUnavailable("COURSE_OFFLINE forbids a download")
        for file, path in zip(entry["files"], place.paths(name), strict=True):
            download(
                mirrored(file["path"], file["url"]),
                path,
                check=_file_check(entry, file, path),
                size=file["bytes"],
                progress=progress,
            )
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


def _file_check(entry: dict[str, Any], file: dict[str, Any], path: Path) -> Callable[[Path], None]:
    """Return what a downloaded file has to pass: its digest, or the digests of its content."""
    place, files = entry["files"].index(file), len(entry["files"])
    names = formats.ARRAYS if files == 1 else formats.ARRAYS[place : place + 1]

    def check(candidate: Path) -> None:
        if "digest" in file and "arrays" not in entry:
            formats.check_digest(candidate, file["digest"], path.name)
        else:
            _read_arrays(entry, [candidate], names)

    return check


def load_embedded(name: str, *, test_size: float, seed: int) -> Dataset:
    """Load a dataset that comes with the installed packages: no network, ever."""
    if name == "languages":
        x, y, class_names = _languages()
        source, features = "Unicode CLDR, in Babel", []
    else:
        from sklearn import datasets

        bunch = getattr(datasets, f"load_{name}")()
        x, y, class_names, source = bunch.data, bunch.target, bunch.target_names, "scikit-learn"
        features = [str(feature) for feature in getattr(bunch, "feature_names", [])]
    if name == "digits":  # 8×8 pixels of 0 … 16; as bytes, like every other image of the course
        x, features = np.round(bunch.images * (255 / 16)).astype(np.uint8), []
    return checked_dataset(
        name,
        split_arrays(x, y, test_size=test_size, seed=seed, regression=False),
        source=source,
        where=name,
        class_names=[str(label) for label in class_names],
        feature_names=tuple(features),
    )


def _languages() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return names of countries and languages, each in one of 18 languages: which one is it?

    Names that are the same in several of them are left out.
    """
    from babel import Locale

    locales = [Locale(code) for code in LANGUAGES]
    names = [{*locale.territories.values(), *locale.languages.values()} for locale in locales]
    uses = Counter(name for own in names for name in own)
    pairs = [(name, y) for y, own in enumerate(names) for name in sorted(own) if uses[name] == 1]
    x, y = zip(*pairs, strict=True)
    return np.array(x, object), np.array(y), [str(locale.english_name) for locale in locales]
