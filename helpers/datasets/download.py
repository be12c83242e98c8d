"""Download one file: resumed after a break, verified, atomic, once for all processes that ask."""

import time
from collections.abc import Callable
from pathlib import Path

from helpers.errors import DatasetError, DatasetUnavailable

ATTEMPTS = 5  # in a row without a single new byte
CHUNK = 1 << 16  # bytes; what a broken connection can lose


def download(
    url: str,
    target: Path,
    *,
    check: Callable[[Path], object],
    size: int | None = None,
    progress: bool = True,
    timeout: float = 15.0,
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
        Expected bytes, if known; a server that sends more than twice as many is cut off.
    timeout
        Seconds without an answer after which an attempt counts as failed.

    Raises
    ------
    DatasetUnavailable
        If the file cannot be had: no network, refused, the disk cannot take it, or what the server
        sends does not pass ``check`` (a login page, say).
    """
    from filelock import FileLock

    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):
            if target.exists() and _passes(check, target):
                return target
            resumed = part.exists()
            limit = 2 * size + (1 << 20) if size else None
            _fetch(url, part, limit=limit, progress=progress, timeout=timeout)
            if resumed and not _passes(check, part):
                # The part of another version cannot be mended by appending: start anew, once.
                part.unlink()
                _fetch(url, part, limit=limit, progress=progress, timeout=timeout)
            try:
                check(part)
            except DatasetError as error:
                part.unlink()
                # Unavailable, not damaged: behind a login page every download "succeeds".
                raise DatasetUnavailable(
                    f"what {url} sent is not the file expected ({error}), and nothing of it is kept"
                ) from None
            part.replace(target)
    except OSError as error:
        raise DatasetUnavailable(
            f"{target.name}: cannot write to {target.parent} ({error.strerror or error}); make "
            "room or make it writable, or set COURSE_CACHE to a folder of your own"
        ) from error
    return target


def _passes(check: Callable[[Path], object], path: Path) -> bool:
    try:
        check(path)
    except DatasetError:
        return False
    return True


def _fetch(url: str, part: Path, *, limit: int | None, progress: bool, timeout: float) -> None:
    """Bring ``part`` to its full length, in as many requests as it takes."""
    import requests

    failures = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            _request(url, part, limit=limit, progress=progress, timeout=timeout)
            return
        except requests.RequestException as error:
            status = error.response.status_code if error.response is not None else None
            after = part.stat().st_size if part.exists() else 0
            failures = 0 if after > before else failures + 1
            final = (
                (status is not None and status < 500 and status != 429)
                or isinstance(error, ValueError | requests.TooManyRedirects)  # a wrong address
                or "NameResolutionError" in str(error)
            )
            if final or failures == ATTEMPTS:
                reason = f"HTTP {status}" if status else _reason(error)
                raise DatasetUnavailable(
                    f"cannot download {url} ({reason})"
                ) from None  # three chained tracebacks of urllib3 say no more than the reason
            time.sleep(0.2 * 2**failures)


def _reason(error: Exception) -> str:
    for sign, reason in (
        ("NameResolutionError", "no network: the name cannot be resolved"),
        ("timed out", "no answer in time"),
        ("refused", "connection refused"),
        ("more than", "it does not stop sending"),
        ("SSL", "the secure connection was refused; behind a proxy set REQUESTS_CA_BUNDLE"),
    ):
        if sign in str(error):
            return reason
    return type(error).__name__


def _request(url: str, part: Path, *, limit: int | None, progress: bool, timeout: float) -> None:
    """Ask once for the bytes that ``part`` lacks and append what comes."""
    import requests
    from tqdm.auto import tqdm

    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"}  # so that a byte on the wire is a byte in the file
    if have:
        headers["Range"] = f"bytes={have}-"
    with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
        if response.status_code == 416:  # asked beyond its end: complete already, or another file
            total = response.headers.get("Content-Range", "").rpartition("/")[2]
            if total == str(have):
                return
            if have:
                part.unlink()
                raise requests.ConnectionError("the part is longer than the file")
        response.raise_for_status()
        # Appended only if the server really begins where the part ends.
        resumes = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        length = _length(response.headers.get("Content-Length", ""))
        with (
            part.open("ab" if resumes else "wb") as stream,
            tqdm(
                desc=f"Downloading {part.stem}",
                total=length + have * resumes or None,
                initial=have * resumes,
                unit="B",
                unit_scale=True,
                disable=not progress,
            ) as bar,
        ):
            for chunk in response.iter_content(CHUNK):
                stream.write(chunk)
                bar.update(len(chunk))
                if limit and stream.tell() > limit:
                    raise requests.exceptions.InvalidURL(f"it sends more than {limit:,} bytes")


def _length(header: str) -> int:
    return int(header) if header.strip().isdigit() else 0
