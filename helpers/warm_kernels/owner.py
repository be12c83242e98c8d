"""The preloaded process of this process: it is started here, gives kernels, and ends with it."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from multiprocessing.connection import wait
from pathlib import Path

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
# Modules that happen to lie in this folder are not those that packages need.
PRELOAD = (
    "import sys; sys.path = [path for path in sys.path if path]\n"
    "from helpers.warm_kernels.preload import main; main()"
)


class WarmUnavailable(CourseError):
    """No kernel can be forked here, or not yet; a cold one has to do."""


class ForkFailed(WarmUnavailable):
    """A kernel could have been forked, and something went wrong."""


class Preloaded:
    """A process that imports the packages and then forks kernels; it ends with its channel.

    Attributes
    ----------
    process : Popen
    owner : int
        The process that has started it: a fork of that one starts a preloaded one of its own.
    channel : socket
        On which it says that it is ready, and is asked for kernels.
    ready : bool
        Whether the packages are imported.
    patient : bool
        Whether kernels wait until they are.
    """

    def __init__(self, patient: bool) -> None:
        self.ready, self.patient = False, patient
        self._began, self._waiting = time.monotonic(), threading.Lock()
        self.owner = os.getpid()
        self._depends_on = depends_on(os.environ)
        env = {name: value for name, value in os.environ.items() if name not in READ_LATER}
        try:
            self.channel, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._log = os.fdopen(os.memfd_create("course-warm"), "w+b")  # needs no space on disk
            streams = {"stdin": other, "stdout": self._log, "stderr": self._log}
            command = [sys.executable, "-c", PRELOAD]
            with other:
                self.process = subprocess.Popen(command, env=env, start_new_session=True, **streams)
        except OSError as error:
            raise ForkFailed(f"no process can be started ({error.strerror})") from None

    def require(self, env: Mapping[str, str]) -> None:
        """Raise ``WarmUnavailable`` unless it can fork a kernel with this environment now."""
        now = depends_on(env)
        for name in sorted(now.keys() | self._depends_on.keys()):
            if now.get(name) != self._depends_on.get(name):
                raise WarmUnavailable(f"{name} is not as it was when the packages were imported")
        with self._waiting:
            if not self.ready:
                left = self._began + IMPORTING - time.monotonic() if self.patient else 0
                if not wait([self.channel], max(0, left)):
                    raise WarmUnavailable("the packages are still being imported")
                self.ready = self.channel.recv(16) == b"ready"
        if not self.ready or self.process.poll() is not None:
            self._log.seek(0)
            *_, last = ["no message", *self._log.read().decode(errors="replace").splitlines()]
            raise ForkFailed(f"the preloaded process has ended ({last})")

    def is_of_use(self) -> bool:
        """Tell whether it can fork kernels, or may be able to: a new one would do no better."""
        has_ended = self.ready and self.process.poll() is not None
        return not has_ended and _packages().items() <= self._depends_on.items()

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
    if sys.platform != "linux":  # macOS forks, but its frameworks do not survive it
        raise WarmUnavailable("kernels are forked on Linux only")


def current() -> Preloaded | None:
    """Return the preloaded process of this process, if one has been started."""
    return _current if _current and _current.owner == os.getpid() else None


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
        before = current()
        patient = patient or (before is not None and before.patient)
        if before is None or not before.is_of_use():
            if before:
                before.close()
            _current = Preloaded(patient)
        _current.patient = patient
        return _current


def begin_for(codes: Iterable[str]) -> None:
    """Let kernels wait for the preloaded process, where the code of a notebook needs Keras.

    Where that is not possible nothing happens: the kernels themselves say so.
    """
    with contextlib.suppress(WarmUnavailable):
        if any(map(NEEDS_KERAS.search, codes)):
            begin(patient=True)


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


def depends_on(env: Mapping[str, str]) -> dict[str, object]:
    """Return what imported packages and forked kernels depend on, by name.

    That is variables, the packages that are installed, and what a process has from its parent.
    """
    # A kernel asks as a shell does, although ipykernel has set this variable there.
    read = {"MPLBACKEND": INLINE, **env}
    return {
        **{k: v for k, v in read.items() if k.startswith(READ_BY_IMPORTS) and k not in READ_LATER},
        "the umask": re.search(r"Umask:.*", Path("/proc/self/status").read_text())[0],
        "the set of usable cores": os.sched_getaffinity(os.getpid()),
        **_packages(),
    }


def _packages() -> dict[str, int]:
    """Return the folders of packages with their times, which change as one is installed."""
    folders = [Path(path) for path in sys.path if "-packages" in path]
    return {str(p): p.stat().st_mtime_ns for p in folders if p.is_dir()}
