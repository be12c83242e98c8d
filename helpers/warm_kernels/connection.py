"""Find the preloaded process of this host and environment, or start it."""

import contextlib
import hashlib
import json
import os
import select
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from helpers import ENVIRONMENT
from helpers.errors import CourseError

# Variables that are read while packages are imported: a kernel cannot change them any more, so
# that another value needs another preloaded process.
READ_BY_IMPORTS = (
    *("PYTHON", "LD_", "MPL", "KERAS_", "TF_", "XLA_", "OMP_", "KMP_", "OPENBLAS_", "MKL_"),
    *("GOTO_", "NUMEXPR_", "NPY_", "LC_", "LANG", "COURSE_WARM"),
)
READ_LATER = (
    *("TF_CONFIG", "TF_FORCE_GPU_ALLOW_GROWTH", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),  # set in the forked kernel
)
INLINE = "module://matplotlib_inline.backend_inline"  # as ipykernel has it
STARTING = 120.0  # seconds within which the packages have to be imported


class WarmUnavailable(CourseError):
    """No kernel can be forked here; an ordinary one has to do."""


def require_forking() -> None:
    """Raise ``WarmUnavailable`` where kernels cannot be forked, with the reason."""
    if os.environ.get("COURSE_WARM") == "0":
        raise WarmUnavailable("COURSE_WARM=0 asks for ordinary kernels")
    if not hasattr(os, "pidfd_open"):  # macOS forks, but its frameworks do not survive it
        raise WarmUnavailable(f"{sys.platform} cannot fork a kernel safely")


def connect(env: Mapping[str, str]) -> socket.socket:
    """Connect to the preloaded process that fits an environment; start it if there is none.

    Raises
    ------
    WarmUnavailable
        If there is none and none can be started.
    """
    from filelock import FileLock

    require_forking()
    address = _folder() / f"{_key(env)}.socket"
    if found := _connected(address):
        return found
    # One of those who ask at the same time starts it, the others wait for it.
    with FileLock(address.with_suffix(".lock")):
        return _connected(address) or _start(address, env)


def _folder() -> Path:
    """Return the folder of the sockets, which belongs to this user alone."""
    folder = Path(tempfile.gettempdir()) / f"course-warm-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise WarmUnavailable(f"{folder} cannot be made ({error.strerror})") from None
    own = status.st_uid == os.getuid() and stat.S_ISDIR(status.st_mode)
    if not own or stat.S_IMODE(status.st_mode) & 0o077:
        raise WarmUnavailable(f"{folder} is not this user's alone; remove it")
    return folder


def limits() -> dict[int, tuple[int, int]]:
    """Return the soft and the hard limit of each resource of this process, by its number."""
    import resource  # which Windows lacks, where nothing forks

    kinds = sorted(getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_"))
    return {kind: resource.getrlimit(kind) for kind in kinds}


def _key(env: Mapping[str, str]) -> str:
    """Digest what imported packages and forked kernels depend on.

    That is the interpreter, its packages, variables; and the priority, the hard limits and the
    control group, which a kernel has from the preloaded process and cannot change.
    """
    packages = [(path, Path(path).stat().st_mtime_ns) for path in sys.path if Path(path).is_dir()]
    # With what is set as the packages are imported: a kernel, which has it in its environment, asks
    # for the same process as a shell.
    read = {
        name: value
        for name, value in {**ENVIRONMENT, "MPLBACKEND": INLINE, **env}.items()
        if name.startswith(READ_BY_IMPORTS) and name not in READ_LATER
    }
    own = [Path(__file__).with_name("preload.py").stat().st_mtime_ns]
    known = [sys.executable, sys.version, [p for p in packages if "-packages" in p[0]], own]
    group = Path("/proc/self/cgroup")
    rules = [os.getpriority(os.PRIO_PROCESS, 0), group.read_text() if group.exists() else ""]
    rules += [hard for _, hard in limits().values()]
    content = json.dumps([known, sorted(read.items()), rules])
    return hashlib.blake2b(content.encode(), digest_size=8).hexdigest()


def _connected(address: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(address))
    except OSError:
        connection.close()
        return None
    return connection


def _start(address: Path, env: Mapping[str, str]) -> socket.socket:
    log = address.with_suffix(".log")
    command = [sys.executable, "-m", "helpers.warm_kernels.preload", str(address)]
    own = {name: value for name, value in env.items() if name not in READ_LATER}
    with log.open("wb") as errors:
        starter = subprocess.Popen(
            command, env=own, cwd=address.parent, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=errors,
        )  # fmt: skip
    assert starter.stdout is not None
    with starter.stdout as output:
        waiting = select.poll()
        waiting.register(output, select.POLLIN)
        said = output.readline() if waiting.poll(STARTING * 1000) else b""  # or when it has died
    starter.wait()  # it has left a process that is nobody's child
    if said and (found := _connected(address)):
        return found
    last = log.read_text(errors="replace").strip().splitlines()
    raise WarmUnavailable(
        f"the preloaded process did not start ({last[-1] if last else 'no message'}; {log})"
    )


@contextlib.contextmanager
def preloading() -> Iterator[None]:
    """Have the packages preloaded while something else is done, and kept until the end of it.

    Where that is not possible nothing happens: the kernels themselves will say so.
    """
    held: list[socket.socket] = []

    def hold() -> None:
        with contextlib.suppress(WarmUnavailable):
            held.append(lease())

    threading.Thread(target=hold, daemon=True).start()
    try:
        yield
    finally:
        for connection in held:
            connection.close()


def lease() -> socket.socket:
    """Keep the preloaded process, started if need be, until the returned connection is closed.

    Raises
    ------
    WarmUnavailable
        If none can be had.
    """
    connection = connect(os.environ)
    try:
        connection.sendall(b'{"lease": true}\n')
        connection.recv(1)
    except OSError as error:
        connection.close()
        raise WarmUnavailable(f"the preloaded process does not answer ({error})") from None
    return connection
