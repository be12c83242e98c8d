"""The preloaded process: it imports the slow packages once, then forks a kernel for each request.

A socket of its owner is its standard input. It has no thread and initialises nothing: no TensorFlow
context, no GPU. It ends with its owner.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import random
import signal
import socket
import sys
import threading
import time
import types
from typing import NoReturn

from helpers.warm_kernels.hidden import HiddenPackages

# A kernel imports these as it starts, the debugger alone in 0.2 s.
KERNEL = (
    *("IPython", "ipykernel.kernelapp", "ipykernel.ipkernel", "ipykernel.debugger", "sqlite3"),
    *("IPython.core.completerlib", "IPython.core.debugger", "IPython.extensions.storemagic"),
    *("tornado.platform.asyncio", "psutil"),
)
SHUTDOWN = 5.0  # seconds for the answer to a request to shut down


def main() -> None:
    """Import the packages, say so to the owner, then serve."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.chdir("/")  # of no user, and without files that packages would read
    owner = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    gc.disable()  # there is no garbage yet: to look for it would make imports a third slower
    for name in KERNEL:
        importlib.import_module(name)
    packages = HiddenPackages()
    gc.freeze()  # so that a kernel's collector does not copy the pages that it shares
    gc.enable()
    owner.send(b"ready")
    serve(owner, packages)


def serve(owner: socket.socket, packages: HiddenPackages) -> None:
    """Fork a kernel for each request, until the owner has gone.

    A request is a byte with three descriptors: the kernel's own socket, on which it reads the rest
    itself, and its standard output and error.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the owner watches the kernels
    while True:
        message, descriptors, _, _ = socket.recv_fds(owner, 1, 3)
        if not message:
            return
        try:
            if os.fork() == 0:
                owner.close()
                become_kernel(*descriptors, packages)
        except OSError as error:  # no memory, or too many processes: the owner starts a cold kernel
            sys.stderr.write(f"No kernel can be forked: {error}\n")
        for descriptor in descriptors:
            os.close(descriptor)


def become_kernel(asker: int, out: int, err: int, packages: HiddenPackages) -> NoReturn:
    """Turn this forked process into the kernel that ``python -m ipykernel_launcher`` would be."""
    try:
        os.setsid()  # so that an interrupt reaches what the kernel has started, and nothing else
        connection = socket.socket(fileno=asker)
        connection.sendall(f"{os.getpid()}\n".encode())
        with connection.makefile() as lines:
            request = json.loads(lines.readline())
        for number, descriptor in ((1, out), (2, err)):
            os.dup2(descriptor, number)
            os.close(descriptor)
        _begin_anew(request["arguments"], request["env"], request["cwd"])
        packages.hide()
        _run_kernel(connection, request["arguments"])
    except BaseException as error:
        if not isinstance(error, SystemExit):
            sys.excepthook(*sys.exc_info())
    finally:
        # What the notebook has registered; Python has no public name for it, and a forked process
        # would skip it. A test holds on to this one.
        atexit._run_exitfuncs()
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(0)  # nobody asks how it ended


def _begin_anew(arguments: list[str], env: dict[str, str], folder: str) -> None:
    """Make this process one that has just begun, with the environment and folder of its owner."""
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    os.chdir(folder)
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    random.seed()
    for name in [n for n in sys.modules if n.partition(".")[0] == "helpers"]:
        del sys.modules[name]  # the kernel is to import them as they are now
    sys.modules["__main__"] = types.ModuleType("__main__")
    sys.argv = ["ipykernel_launcher.py", *arguments]


def _run_kernel(connection: socket.socket, arguments: list[str]) -> None:
    from ipykernel.kernelapp import IPKernelApp

    class ForkedKernelApp(IPKernelApp):
        def init_poller(self) -> None:
            """Watch who asked for this kernel, which is not its parent."""
            threading.Thread(target=_end_with, args=(connection,), daemon=True).start()

    app = ForkedKernelApp.instance(parent_handle=os.getpid())  # else it prints how to connect
    app.initialize(arguments)
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
