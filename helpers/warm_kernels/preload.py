"""The preloaded process: imports the slow packages once, then forks a kernel for each request.

``python -m helpers.warm_kernels.preload SOCKET``. It has no thread of its own and initialises
nothing: no TensorFlow context, no GPU. It ends when nobody has needed it for a while.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import random
import resource
import select
import signal
import socket
import sys
import threading
import time
import types
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from helpers.warm_kernels.connection import INLINE

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

PACKAGES = (
    *("numpy", "pandas", "PIL.Image", "matplotlib.pyplot", "seaborn", "scipy.stats"),
    *("sklearn.datasets", "sklearn.linear_model", "sklearn.manifold", "sklearn.neighbors"),
    *("sklearn.cluster", "sklearn.decomposition", "sklearn.pipeline"),
    *("filelock", "tomllib", "tqdm.auto"),
    *("IPython", "ipykernel.kernelapp", "ipykernel.ipkernel", "matplotlib_inline.backend_inline"),
    # A kernel imports these as it starts, the debugger alone in 0.2 s.
    *("ipykernel.debugger", "IPython.core.completerlib", "IPython.core.debugger", "sqlite3"),
    *("IPython.extensions.storemagic", "tornado.platform.asyncio"),
    *("tensorflow", "keras"),
)
LINGER = 30.0  # seconds without kernels and without leases, after which it ends
SHUTDOWN = 5.0  # seconds for the answer to a request to shut down
REQUEST = 1 << 20  # bytes of a request at the most


class Preloaded:
    """Serves requests on a socket until nobody needs it any more."""

    def __init__(self, address: str, libraries: "ThreadpoolController") -> None:
        self._libraries = libraries
        self._listener = socket.socket(socket.AF_UNIX)
        Path(address).unlink(missing_ok=True)
        self._listener.bind(address)
        self._listener.listen(128)
        self._leases: list[socket.socket] = []
        self._kernels: set[int] = set()

    def serve(self, linger: float) -> None:
        """Fork kernels until there has been none, and no lease, for ``linger`` seconds."""
        needed = time.monotonic()
        while time.monotonic() - needed < linger:
            ready, _, _ = select.select([self._listener, *self._leases], [], [], 0.5)
            for one in ready:
                if one is self._listener:
                    self._answer(self._listener.accept()[0])
                else:  # whoever held the lease has gone
                    self._leases.remove(one)
                    one.close()
            self._reap()
            if self._kernels or self._leases:
                needed = time.monotonic()

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        try:
            message, descriptors, _, _ = socket.recv_fds(connection, REQUEST, 2)
            while not message.endswith(b"\n"):  # a large environment comes in pieces
                more = connection.recv(REQUEST)
                message += more or b"\n"
            request = json.loads(message)
        except (OSError, ValueError):
            connection.close()
            return
        connection.settimeout(None)
        if "lease" in request:
            try:
                connection.sendall(b"0\n")
            except OSError:  # who asked has gone already
                connection.close()
            else:
                self._leases.append(connection)
            return
        pid = os.fork()
        if pid == 0:
            self._listener.close()
            for lease in self._leases:
                lease.close()
            become_kernel(connection, request, descriptors, self._libraries)
        self._kernels.add(pid)
        with contextlib.suppress(OSError):
            connection.sendall(f"{pid}\n".encode())
        connection.close()
        for descriptor in descriptors:
            os.close(descriptor)

    def _reap(self) -> None:
        for pid in list(self._kernels):
            if os.waitpid(pid, os.WNOHANG)[0]:
                self._kernels.discard(pid)


def become_kernel(
    connection: socket.socket,
    request: dict[str, Any],
    descriptors: list[int],
    libraries: "ThreadpoolController",
) -> NoReturn:
    """Turn this forked process into the kernel that ``python -m ipykernel_launcher`` would be."""
    status = 1
    try:
        os.setsid()  # so that an interrupt reaches what the kernel has started, and nothing else
        for own, given in zip((1, 2), descriptors, strict=True):
            os.dup2(given, own)
            os.close(given)
        os.environ.clear()
        os.environ.update(request["env"])
        time.tzset()
        os.sched_setaffinity(0, request["affinity"])  # of who asks, not of who asked first
        for kind, soft, hard in request["limits"]:
            resource.setrlimit(kind, (soft, hard))
        os.chdir(request["cwd"])
        for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        random.seed()
        sys.modules["numpy"].random.seed()  # or all kernels would draw the same
        for name in [n for n in sys.modules if n.partition(".")[0] == "helpers"]:
            del sys.modules[name]  # the kernel is to import them as they are now
        sys.modules["__main__"] = types.ModuleType("__main__")
        sys.argv = ["ipykernel_launcher.py", *request["arguments"]]
        _run_kernel(connection, request["arguments"], libraries)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        atexit._run_exitfuncs()  # what the notebook has registered; a forked process would skip it
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def set_threads(libraries: "ThreadpoolController", env: Mapping[str, str]) -> None:
    """Do what libraries do with these variables when they are loaded, which they are already.

    OpenBLAS has one thread so far: more of them, started before the kernel is, would spin for a
    tenth of a second, and slow down every copy of a shared page meanwhile.
    """
    variables = {
        "openmp": ("OMP_NUM_THREADS",),
        "blas": ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS"),
    }
    numbers = {"blas": len(os.sched_getaffinity(0))}
    for api, names in variables.items():
        given = [env[name].partition(",")[0] for name in names if name in env]
        if given and given[0].isdecimal() and int(given[0]):
            numbers[api] = int(given[0])
    libraries.limit(limits=numbers)


def _run_kernel(
    connection: socket.socket, arguments: list[str], libraries: "ThreadpoolController"
) -> None:
    from ipykernel.kernelapp import IPKernelApp

    class ForkedKernelApp(IPKernelApp):
        def init_poller(self) -> None:
            """Watch who asked for this kernel, which is not its parent."""
            watch = threading.Thread(target=_end_with, args=(connection,), daemon=True)
            watch.start()

    app = ForkedKernelApp.instance(parent_handle=os.getpid())  # else it prints how to connect
    app.initialize(arguments)
    set_threads(libraries, os.environ)
    app.start()
    if app.kernel._shutdown_message is not None:
        # Its last act is to flush what atexit closes: in a race it would wait ten seconds for that.
        app.control_thread.join(SHUTDOWN)


def _end_with(connection: socket.socket) -> None:
    """Wait until the other end has closed, as it does when its process dies; then end as well."""
    with contextlib.suppress(OSError):
        while connection.recv(1):
            pass
    os.killpg(0, signal.SIGKILL)


def preload() -> "ThreadpoolController":
    """Import what notebooks use, in a form that can be forked; return what sets their threads."""
    gc.disable()  # there is no garbage yet: to look for it would make imports a third slower
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # see set_threads
    os.environ.setdefault("MPLBACKEND", INLINE)  # before matplotlib is imported

    for name in PACKAGES:
        importlib.import_module(name)
    from threadpoolctl import ThreadpoolController

    libraries = ThreadpoolController()
    gc.freeze()  # so that a kernel's collector does not copy the pages that it shares
    gc.enable()
    return libraries


def main() -> None:
    """Preload, say so on standard output, then serve."""
    # The child of nobody: Ctrl-C and the end of who happened to need it first do not concern it.
    if os.fork():
        os._exit(0)
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.path.remove(str(Path.cwd()))  # where -m has it start, which is no place to import from
    server = Preloaded(sys.argv[1], preload())
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    os.dup2(2, 1)  # the log
    server.serve(float(os.environ.get("COURSE_WARM_LINGER", LINGER)))


if __name__ == "__main__":
    main()
