"""Weights of ImageNet networks: found on disk or downloaded, verified, read into a network."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from helpers.datasets import catalog
from helpers.datasets.download import download
from helpers.datasets.formats import check_digest
from helpers.errors import CourseError, DatasetError, DatasetUnavailable

_BUILDING = threading.Lock()


class WeightsError(CourseError):
    """Weights that are damaged or belong to another network."""


class WeightsUnavailable(WeightsError):
    """Weights that cannot be had here and now: not on disk, and no download."""


def folders() -> list[tuple[Path, str]]:
    """Return the folders where weights may lie, in the order of search, each with its label."""
    known = [(p.folder / "models", f"{p.label}/models") for p in catalog.places() if not p.is_keras]
    home, label = catalog.keras_cache()
    return [*known, (home / "models", f"{label}/models")]


def find(name: str, url: str, digest: str | None, *, progress: bool = True) -> Path:
    """Return the path of a file of weights: the first good copy, else a download.

    A download goes to ``models/`` of the course's cache, with a bar; after a break it goes on where
    it stopped, also in a later process. ``COURSE_MIRROR`` and ``COURSE_OFFLINE`` hold as for
    datasets.

    Parameters
    ----------
    name, url
        Of the file.
    digest
        Its MD5 or SHA-256 in hexadecimal. Without one, a file has to be a whole HDF5 file.
    progress
        Whether to show a bar.

    Raises
    ------
    WeightsUnavailable
        Names the file, the folders searched, and why it cannot be downloaded.
    """
    check = _file_check(name, digest)
    reasons = []
    for folder, label in folders():
        if (folder / name).is_file():
            try:
                check(folder / name)
            except DatasetError as error:
                reasons.append(f"the copy in {label} is damaged ({error})")
            else:
                return folder / name
    target = catalog.cache_dir() / "models" / name
    try:
        if catalog.offline():
            raise DatasetUnavailable("COURSE_OFFLINE forbids a download")
        return download(
            catalog.mirrored(f"models/{name}", url), target, check=check, progress=progress
        )
    except DatasetUnavailable as error:
        searched = ", ".join(
            label + ("" if folder.is_dir() else " (no such folder)") for folder, label in folders()
        )
        raise WeightsUnavailable(
            f"{name}: not found in {searched}; {'; '.join([*reasons, str(error)])}: copy the file "
            "into one of these folders, pass weights=PATH, or try again with network"
        ) from None


def _file_check(name: str, digest: str | None) -> Callable[[Path], None]:
    def check(path: Path) -> None:
        if digest:
            kind = "md5" if len(digest) == 32 else "sha256"
            check_digest(path, f"{kind}:{digest}", name)
        else:
            import h5py

            try:
                h5py.File(path, "r").close()
            except OSError as error:
                raise DatasetError(f"{name}: no whole HDF5 file ({error})") from None

    return check


def build(builder: Callable[..., keras.Model], weights: str | Path | None, **options: Any) -> Any:
    """Build a network of ``keras.applications`` with weights, or with random ones (None).

    Keras knows the file that it wants, where it is and its digest; ``find`` gets it.

    Raises
    ------
    WeightsError
        If the weights cannot be had or read, or are another network's.
    """
    if weights is None or weights == "imagenet":
        with _BUILDING, _files_from(builder, find):
            return _built(builder, weights, **options)
    path = catalog.existing(weights)
    if path is None or path.is_dir():
        found = "no such file" if path is None else "a folder"
        raise WeightsError(
            f"weights={str(weights)!r}: {found}; expected 'imagenet', None or the path of an .h5 "
            "file"
        )
    return _built(builder, str(path), **options)


@contextmanager
def _files_from(builder: Callable[..., Any], source: Callable[..., Path]) -> Iterator[None]:
    """Let Keras take its files from ``source``.

    Its own ``get_file`` begins anew after a break, writes in place, and knows no shared folder.
    """
    utils = getattr(sys.modules[builder.__module__], "file_utils", None)
    if utils is None:  # its weights are installed with the course
        yield
        return
    original = utils.get_file

    def get_file(
        fname: str, origin: str, file_hash: str | None = None, **_: Any
    ) -> str:  # the names of Keras
        return str(source(fname, origin, file_hash))

    utils.get_file = get_file
    try:
        yield
    finally:
        utils.get_file = original


def _built(builder: Callable[..., keras.Model], weights: str | None, **options: Any) -> keras.Model:
    try:
        return builder(weights=weights, classifier_activation=None, **options)
    except WeightsError:
        raise
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        if weights is None or weights == "imagenet":
            raise CourseError(f"{builder.__name__} cannot be built: {reason}") from error
        raise WeightsError(
            f"{weights}: no weights of {builder.__name__}, or damaged ({reason}); expected the .h5 "
            "file of exactly this network"
        ) from error
