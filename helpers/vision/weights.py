"""Weights of ImageNet networks: where their files may lie, how to get them, brought into Keras."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from helpers.datasets import catalog
from helpers.datasets.download import download
from helpers.datasets.formats import check_digest
from helpers.errors import (
    CourseError,
    DatasetError,
    DatasetUnavailable,
    WeightsError,
    WeightsUnavailable,
)

if TYPE_CHECKING:
    import keras

_BUILDING = threading.Lock()


def folders() -> list[tuple[Path, str]]:
    """Return the folders where weights may lie, in the order of search, each with its label."""
    places = [(place.folder, place.label) for place in catalog.places() if not place.is_keras]
    return [
        (folder / "models", f"{label}/models") for folder, label in (*places, catalog.keras_cache())
    ]


def places(file: str) -> Iterator[tuple[Path, str]]:
    """Yield every copy of a file, good or damaged: its path, and one that names no folder."""
    for folder, label in folders():
        if os.path.isfile(folder / file):  # noqa: PTH113 – which a closed folder does not stop
            yield folder / file, f"{label}/{file}"


def searched() -> str:
    """Return the labels of the folders where weights may lie, to be read by a person."""
    return ", ".join(
        label + ("" if folder.is_dir() else " (no such folder)") for folder, label in folders()
    )


def find_or_download(
    file: str, url: str, digest: str | None, *, network: str, size: int | None = None
) -> Path:
    """Return the path of a file of weights: the first good copy, else a download.

    A download goes to ``models/`` of the course's cache, with a bar; after a break it goes on where
    it stopped, also in a later process. ``COURSE_MIRROR`` and ``COURSE_OFFLINE`` hold as for
    datasets. The digest is an MD5 or SHA-256; without one, the file has to be a whole HDF5 file.

    Raises
    ------
    WeightsUnavailable
        Names the network in one line; its note names the file, the folders searched, and why it
        cannot be downloaded.
    """
    reasons = []
    for path, where, damage in _checked(file, digest):
        if damage is None:
            return path
        reasons.append(f"{where} is damaged ({damage})")
    try:
        if catalog.offline():
            raise DatasetUnavailable("COURSE_OFFLINE forbids a download")
        source = catalog.mirrored(f"models/{file}", url)
        target = catalog.cache_dir() / "models" / file
        return download(source, target, check=lambda part: _check(part, file, digest), size=size)
    except DatasetUnavailable as error:
        unavailable = WeightsUnavailable(
            f"The weights of {network} are not on this machine and cannot be downloaded now "
            "('course check' says more)"
        )
        unavailable.add_note(
            f"{file}: not found in {searched()}; {'; '.join([*reasons, str(error)])}: copy the "
            "file into one of these folders, pass weights=PATH, or try again with network"
        )
        raise unavailable from None


def _checked(file: str, digest: str | None) -> Iterator[tuple[Path, str, DatasetError | None]]:
    """Yield every copy of a file, and what is wrong with it."""
    for path, where in places(file):
        try:
            _check(path, file, digest)
        except DatasetError as error:
            yield path, where, error
        else:
            yield path, where, None


def _check(path: Path, file: str, digest: str | None) -> None:
    import h5py

    try:
        if digest:
            check_digest(path, f"{'md5' if len(digest) == 32 else 'sha256'}:{digest}", file)
        else:
            h5py.File(path, "r").close()
    except OSError as error:
        raise DatasetError(f"{file}: no whole file of weights ({error})") from None


def known() -> dict[str, dict[str, Any]]:
    """Return the weights that ``course data`` knows, by name: of ``data/manifest.toml``."""
    return catalog.content()["weights"]


def fetch(name: str) -> str:
    """Make sure that known weights are on this machine, and return where."""
    file, url, digest, network, size = (
        known()[name][key] for key in ("file", "url", "digest", "network", "bytes")
    )
    good = find_or_download(file, url, digest, network=network, size=size)
    return next(where for path, where in places(file) if path == good)


def copies(name: str) -> Iterator[tuple[str, DatasetError | None]]:
    """Yield where each copy of known weights is, and what is wrong with it."""
    entry = known()[name]
    return ((where, damage) for _, where, damage in _checked(entry["file"], entry["digest"]))


def build(
    builder: "Callable[..., keras.Model]", weights: str | Path | None, **options: Any
) -> "keras.Model":
    """Build a network that computes logits, with weights or with random ones (None).

    Keras knows the file that it wants, where it is and its digest; ``find_or_download`` gets it.
    """
    file, name = None, builder.__name__
    if weights not in (None, "imagenet"):
        file = catalog.existing(weights)
        if file is None or not file.is_file():
            content = "no such file" if file is None else "a folder, a pipe or a device"
            raise WeightsError(
                f"weights={str(weights)!r}: {content}; expected 'imagenet', None or the path of an "
                ".h5 file"
            )
    try:
        with _files_of_keras(builder) if weights == "imagenet" else nullcontext():
            return builder(
                weights=str(file) if file else weights, classifier_activation=None, **options
            )
    except CourseError:
        raise
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        if file is None:
            raise CourseError(f"{name} cannot be built: {reason}") from error
        raise WeightsError(
            f"{file}: no weights of {name}, or damaged ({reason}); expected the .h5 file of "
            "exactly this network"
        ) from error


@contextmanager
def _files_of_keras(builder: "Callable[..., keras.Model]") -> Iterator[None]:
    """Let Keras take a network's file from ``find_or_download`` for a while.

    Its own ``get_file`` begins anew after a break, writes in place, and knows no shared folder.
    Keras 3.15 has no public way to say so; a version that does not ask for its file is refused.
    """
    import keras

    def get_file(fname: str, origin: str, file_hash: str | None = None, **_: Any) -> str:
        return str(find_or_download(fname, origin, file_hash, network=builder.__name__))

    utils = sys.modules[keras.utils.get_file.__module__]
    with _BUILDING, mock.patch.object(utils, "get_file", side_effect=get_file) as asked:
        yield
    # The weights of a network of ours are installed with the course.
    if not asked.called and builder.__module__.startswith("keras."):
        raise CourseError(
            f"Keras {keras.__version__} gets the weights of {builder.__name__} in another way than "
            "3.15 does; pass the path of their .h5 file as weights"
        )
