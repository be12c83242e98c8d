"""Download one file: resumed after a break, verified, whole, once for all processes that ask."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from helpers.datasets.formats import max_bytes
from helpers.errors import DatasetError, DatasetUnavailable

ATTEMPTS = 5  # in a row without a single new byte
CHUNK = 1 << 16  # bytes; what a broken connection can lose
SLOWEST = 1000  # bytes a second, in the mean after PATIENCE seconds: no server may drip for ever
PATIENCE = 60
TIMEOUT = 15  # seconds without an answer after which an attempt counts as failed
REASONS = {
    "NameResolutionError": "no network: the name cannot be resolved",
    "timed out": "no answer in time",
    "refused": "connection refused",
    "SSL": "the secure connection was refused; behind a proxy set REQUESTS_CA_BUNDLE",
}


class _GaveUp(Exception):
    """Another attempt would end as this one did."""


def download(
    url: str,
    target: Path,
    *,
    check: Callable[[Path], object],
    size: int | None = None,
    progress: bool = True,
) -> Path:
    """Download ``url`` to ``target``, which appears only when it is complete and ``check`` passed.

    The bytes go to ``target.part`` first. A lost connection is taken up where it broke (HTTP
    range), also by a later process. A lock lets one process download while the others wait for its
    file. A file at ``target`` that passes ``check`` is kept, a damaged one is replaced.

    Parameters
    ----------
    check
        Called with the path of the complete file; raises ``DatasetError`` if it is not good.
    size
        Expected bytes, if known; a server that sends more than twice as many is cut off, and one
        that sends more than ``formats.max_bytes`` if they are not known.

    Raises
    ------
    DatasetUnavailable
        If the file cannot be had: no network, refused, the disk cannot take it, or what the server
        sends does not pass ``check`` (a login page, say).
    """
    part = target.with_name(target.name + ".part")
    limit = 2 * size + (1 << 20) if size else max_bytes()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(target.with_name(f".{target.name}.lock")):
            if target.exists() and _fault(check, target) is None:
                return target
            if part.is_symlink():  # never written through: its target is somebody else's
                part.unlink()
            resumed = part.exists()
            _fetch(url, part, limit, progress)
            if (fault := _fault(check, part)) and resumed:
                # The part of another version cannot be mended by appending: start anew, once.
                part.unlink()
                _fetch(url, part, limit, progress)
                fault = _fault(check, part)
            if fault:
                part.unlink()
                # Unavailable, not damaged: behind a login page every download "succeeds".
                raise DatasetUnavailable(
                    f"what {_without_secrets(url)} sent is not the file expected ({fault}), and "
                    "nothing of it is kept"
                )
            part.replace(target)
    except OSError as error:
        raise DatasetUnavailable(
            f"{target.name}: cannot write to {target.parent} ({error.strerror or error}); make "
            "room or make it writable, or set COURSE_CACHE to a folder of your own"
        ) from error
    return target


@contextlib.contextmanager
def _one_at_a_time(lock: Path) -> Iterator[None]:
    """Hold a lock, whose file is removed while it is held: who waits for it makes another."""
    from filelock import FileLock

    with FileLock(lock):
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                lock.unlink()


def _fault(check: Callable[[Path], object], path: Path) -> DatasetError | None:
    try:
        check(path)
    except DatasetError as error:
        return error
    return None


def _fetch(url: str, part: Path, limit: int, progress: bool) -> None:
    """Bring ``part`` to its full length, in as many requests as it takes."""
    import requests

    failures = 0
    while True:
        before = _length(part)
        try:
            return _request(url, part, before, limit, progress)
        except _GaveUp as error:
            reason, final = str(error), True
            if _length(part) > limit:  # of what does not end, a part is of no use
                part.unlink()
        except requests.RequestException as error:
            status = error.response.status_code if error.response is not None else None
            known = (text for sign, text in REASONS.items() if sign in str(error))
            reason = f"HTTP {status}" if status else next(known, type(error).__name__)
            final = (
                (status is not None and status < 500 and status != 429)
                or isinstance(error, ValueError | requests.TooManyRedirects)  # a wrong address
                or reason.startswith("no network")
            )
        failures = 0 if _length(part) > before else failures + 1
        if final or failures == ATTEMPTS:
            raise DatasetUnavailable(f"cannot download {_without_secrets(url)} ({reason})")
        time.sleep(0.2 * 2**failures)


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _without_secrets(url: str) -> str:
    """Return an address without a password or key that may be in it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "from this address"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _request(url: str, part: Path, have: int, limit: int, progress: bool) -> None:
    """Ask once for the bytes that ``part`` lacks and append what comes."""
    import requests
    from tqdm.auto import tqdm
    from urllib3.exceptions import HTTPError

    headers = {"Accept-Encoding": "identity"}  # so that a byte on the wire is a byte in the file
    if have:
        headers["Range"] = f"bytes={have}-"
    options = {"timeout": TIMEOUT, "hooks": {"response": _stay_secure}}
    with requests.get(url, headers=headers, stream=True, **options) as response:
        content_range = response.headers.get("Content-Range", "")
        if response.status_code == 416 and have:  # beyond its end: complete, or another file
            if content_range.endswith(f"/{have}"):
                return
            part.unlink()
            raise requests.ConnectionError("the part is longer than the file")
        response.raise_for_status()
        # Appended only if the server really begins where the part ends.
        start = have if content_range.startswith(f"bytes {have}-") else 0
        length = response.headers.get("Content-Length", "").strip()
        total = start + int(length) if length.isdecimal() else None
        if (total or 0) > limit:
            raise _GaveUp("it does not stop sending")
        bar = tqdm(
            desc=f"Downloading {part.stem}", total=total, initial=start, unit="B", unit_scale=True,
            disable=not progress,
        )  # fmt: skip
        began = time.monotonic()
        try:
            with open(part, "ab" if start else "wb", opener=_open_itself) as stream, bar:
                while chunk := response.raw.read1(CHUNK, decode_content=True):
                    stream.write(chunk)
                    bar.update(len(chunk))
                    seconds = time.monotonic() - began
                    if stream.tell() > limit:
                        raise _GaveUp("it does not stop sending")
                    if seconds > PATIENCE and stream.tell() - start < SLOWEST * seconds:
                        raise _GaveUp(f"it sends fewer than {SLOWEST} bytes a second")
        except HTTPError as error:
            raise requests.ConnectionError(error) from error


def _stay_secure(response: Any, **_: object) -> None:
    """Refuse to be led from https to http."""
    target = urljoin(response.url, response.headers.get("Location", ""))
    if response.is_redirect and response.url.startswith("https:") and target.startswith("http:"):
        raise _GaveUp("it leads from https to http, where anybody may change what is sent")


def _open_itself(path: str, flags: int) -> int:
    """Open a file, but not what a link of its name leads to."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
