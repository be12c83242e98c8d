"""The preloaded process of this process: it is started here, gives kernels, and ends with it."""

import contextlib
import os
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from helpers.errors import CourseError

# Variables that packages read while they are imported: a kernel with another value starts cold.
READ_BY_IMPORTS = (
    *("PYTHON", "LD_", "MPL", "MATPLOTLIBRC", "KERAS_", "TF_", "XLA_", "OMP_", "KMP_", "MKL_"),
    *("OPENBLAS_", "GOTO_", "NUMEXPR_", "NPY_", "LC_", "LANG", "HOME", "XDG_"),
)
READ_LATER = (
    *("TF_CONFIG", "TF_FORCE_GPU_ALLOW_GROWTH", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),  # set in the forked kernel
)
INLINE = "module://matplotlib_inline.backend_inline"  # what ipykernel sets in every kernel
NEEDS_KERAS = re.compile(r"\b(tensorflow|keras|helpers\.(models|training|vision|evaluation))\b")
IMPORTING = 120.0  # seconds within which the packages have to be imported


class WarmUnavailable(CourseError):
    """No kernel can be forked here, or not yet; a cold one has to do."""


class ForkFailed(WarmUnavailable):
    """A kernel could have been forked, and something went wrong."""


@dataclass
class Preloaded:
    """A process that imports the packages and then forks kernels; it ends with its channel."""

    process: subprocess.Popen[bytes]
    channel: socket.socket
    log: IO[bytes]  # what it has written
    owner: int  # the process that has started it: a fork of that one starts its own
    depends_on: dict[str, object]  # what the imported packages depend on, as it was then
    patient: bool  # whether kernels wait until the packages are imported
    ready: bool = False
    begun: float = field(default_factory=time.monotonic)
    waiting: threading.Lock = field(default_factory=threading.Lock)

    def require(self, env: Mapping[str, str]) -> None:
        """Raise ``WarmUnavailable`` unless it can fork a kernel with this environment now."""
        now = depends_on(env)
        for name in sorted(now.keys() | self.depends_on.keys()):
            if now.get(name) != self.depends_on.get(name):
                raise WarmUnavailable(f"{name} is not as it was when the packages were imported")
        with self.waiting:
            if not self.ready:
                answer = select.poll()
                answer.register(self.channel, select.POLLIN)
                left = max(0.0, self.begun + IMPORTING - time.monotonic()) if self.patient else 0.0
                if not answer.poll(left * 1000):
                    raise WarmUnavailable("the packages are still being imported")
                self.ready = self.channel.recv(16) == b"ready"
        if not self.ready or self.process.poll() is not None:
            self.log.seek(0)
            lines = self.log.read().decode(errors="replace").strip().splitlines()
            raise ForkFailed(
                f"the preloaded process has ended ({lines[-1] if lines else 'no message'})"
            )

    def is_of_use(self) -> bool:
        """Tell whether it can fork kernels, or may be able to: a new one would do no better."""
        unchanged = _packages().items() <= self.depends_on.items()
        return unchanged and not (self.ready and self.process.poll() is not None)

    def close(self) -> None:
        """End the process; its kernels stay."""
        self.channel.close()
        threading.Thread(target=self.process.wait, daemon=True).start()


_current: Preloaded | None = None
_changing = threading.Lock()
_asked = False  # whether this process has started a kernel before


def require_forking() -> None:
    """Raise ``WarmUnavailable`` where kernels cannot be forked, with the reason."""
    if os.environ.get("COURSE_WARM") == "0":
        raise WarmUnavailable("COURSE_WARM=0 asks for cold kernels")
    try:  # macOS forks, but its frameworks do not survive it; some sandboxes forbid this call
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        raise WarmUnavailable("kernels are forked on Linux 5.3 and newer only") from None


def current() -> Preloaded | None:
    """Return the preloaded process of this process, if one has been started."""
    return _current if _current is not None and _current.owner == os.getpid() else None


def begin(*, patient: bool = False) -> Preloaded:
    """Start the preloaded process of this process, if there is none yet, and do not wait for it.

    Raises
    ------
    WarmUnavailable
        Where no process can be started, or kernels cannot be forked.
    """
    global _current
    require_forking()
    with _changing:
        if (found := current()) and found.is_of_use():
            found.patient = found.patient or patient
            return found
        if found:
            found.close()
        _current = _start(patient or (found is not None and found.patient))
        return _current


def _start(patient: bool) -> Preloaded:
    # Modules that happen to lie in this folder are not those that packages need.
    code = (
        "import sys; sys.path = [path for path in sys.path if path]\n"
        "from helpers.warm_kernels.preload import main; main()"
    )
    env = {name: value for name, value in os.environ.items() if name not in READ_LATER}
    try:
        channel, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            log = os.fdopen(os.memfd_create("course-warm"), "w+b")  # no disk can be full for it
            process = subprocess.Popen(
                [sys.executable, "-c", code], env=env, stdin=other, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
    except OSError as error:
        raise ForkFailed(f"no process can be started ({error.strerror})") from None
    return Preloaded(process, channel, log, os.getpid(), depends_on(os.environ), patient)


def depends_on(env: Mapping[str, str]) -> dict[str, object]:
    """Return what imported packages and forked kernels depend on, by name."""
    # A kernel asks as a shell does, although ipykernel has set this variable there.
    read = {"MPLBACKEND": INLINE, **env}
    variables = {
        name: value
        for name, value in read.items()
        if name.startswith(READ_BY_IMPORTS) and name not in READ_LATER
    }
    return variables | _packages()


def _packages() -> dict[str, int]:
    """Return the folders of packages with their times, which change as one is installed."""
    folders = [Path(path) for path in sys.path if "-packages" in path]
    return {str(p): p.stat().st_mtime_ns for p in folders if p.is_dir()}


def for_kernel(env: Mapping[str, str]) -> Preloaded:
    """Return the preloaded process if it can fork a kernel with this environment now.

    For a first kernel no preloaded process is started, as there may be no second one.

    Raises
    ------
    WarmUnavailable
        With the reason for which a cold kernel has to do.
    """
    global _asked
    require_forking()
    if current() is None and not _asked:
        _asked = True
        raise WarmUnavailable("it is the first one of this process")
    preloaded = begin()
    preloaded.require(env)
    return preloaded


def rules() -> dict[str, object]:
    """Return what a child has from its parent, besides environment and folder."""
    import resource  # which Windows lacks, where nothing forks

    kinds = sorted(getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_"))
    (umask,) = re.findall(r"^Umask:\s*(\d+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    return {
        "limits": [(kind, *resource.getrlimit(kind)) for kind in kinds],
        "affinity": sorted(os.sched_getaffinity(os.getpid())),
        "umask": int(umask, 8),
    }


def begin_for(codes: Iterable[str]) -> None:
    """Let kernels wait for the preloaded process, where the code of a notebook needs Keras.

    Where that is not possible nothing happens: the kernels themselves say so.
    """
    with contextlib.suppress(WarmUnavailable):
        if any(map(NEEDS_KERAS.search, codes)):
            begin(patient=True)
