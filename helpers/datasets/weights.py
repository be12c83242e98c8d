"""Files of weights: where they may lie, whether they are good there, how to get them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from helpers.datasets import catalog
from helpers.datasets.download import download
from helpers.datasets.formats import check_digest
from helpers.errors import DatasetError, DatasetUnavailable, WeightsUnavailable


def folders() -> list[tuple[Path, str]]:
    """Return the folders where weights may lie, in the order of search, each with its label."""
    known = [(p.folder / "models", f"{p.label}/models") for p in catalog.places() if not p.is_keras]
    home, label = catalog.keras_cache()
    return [*known, (home / "models", f"{label}/models")]


def places(file: str) -> Iterator[tuple[Path, str]]:
    """Yield every copy of a file, good or damaged: its path, and one that names no folder."""
    for folder, label in folders():
        if os.path.isfile(folder / file):  # noqa: PTH113 – which a closed folder does not stop
            yield folder / file, f"{label}/{file}"


def damage(path: Path, digest: str | None) -> DatasetError | None:
    """Return what is wrong with a file, None if it is good."""
    try:
        _check(path, path.name, digest)
    except DatasetError as error:
        return error
    return None


def find(
    file: str,
    url: str,
    digest: str | None,
    *,
    network: str,
    size: int | None = None,
    progress: bool = True,
) -> Path:
    """Return the path of a file of weights: the first good copy, else a download.

    A download goes to ``models/`` of the course's cache, with a bar; after a break it goes on where
    it stopped, also in a later process. ``COURSE_MIRROR`` and ``COURSE_OFFLINE`` hold as for
    datasets.

    Parameters
    ----------
    file, url
        Its name, and its address.
    digest
        Its MD5 or SHA-256 in hexadecimal. Without one, a file has to be a whole HDF5 file.
    network
        Whose weights they are, for messages.
    size
        Bytes, if known.
    progress
        Whether to show a bar.

    Raises
    ------
    WeightsUnavailable
        Names the network in one line; its note names the file, the folders searched, and why it
        cannot be downloaded.
    """
    reasons = []
    for path, where in places(file):
        if (wrong := damage(path, digest)) is None:
            return path
        reasons.append(f"{where} is damaged ({wrong})")
    try:
        if catalog.offline():
            raise DatasetUnavailable("COURSE_OFFLINE forbids a download")
        return download(
            catalog.mirrored(f"models/{file}", url),
            catalog.cache_dir() / "models" / file,
            check=lambda path: _check(path, file, digest),
            size=size,
            progress=progress,
        )
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


def searched() -> str:
    """Return the labels of the folders where weights may lie, to be read by a person."""
    return ", ".join(
        label + ("" if folder.is_dir() else " (no such folder)") for folder, label in folders()
    )


def _check(path: Path, file: str, digest: str | None) -> None:
    try:
        if digest:
            kind = "md5" if len(digest) == 32 else "sha256"
            check_digest(path, f"{kind}:{digest}", file)
        else:
            import h5py

            h5py.File(path, "r").close()
    except OSError as error:
        raise DatasetError(f"{file}: no whole file of weights ({error})") from None


def known() -> dict[str, dict[str, Any]]:
    """Return the weights that ``course data`` knows, by name: of ``data/manifest.toml``."""
    return catalog.content()["weights"]


def fetch(name: str, *, progress: bool = True) -> str:
    """Make sure that known weights are on this machine, and return where.

    Raises
    ------
    WeightsUnavailable
        If they cannot be had.
    """
    entry = known()[name]
    found = find(
        entry["file"], entry["url"], entry["digest"],
        network=entry["network"], size=entry["bytes"], progress=progress,
    )  # fmt: skip
    return next(where for path, where in places(entry["file"]) if path == found)


def copies(name: str) -> Iterator[tuple[str, DatasetError | None]]:
    """Yield where each copy of known weights is, and what is wrong with it."""
    entry = known()[name]
    for path, where in places(entry["file"]):
        yield where, damage(path, entry["digest"])
