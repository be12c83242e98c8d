"""What Jupyter calls to start a kernel: forked where that is possible, else cold."""

import asyncio
import contextlib
import json
import logging
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import LocalProvisioner

from helpers.warm_kernels import owner
from helpers.warm_kernels.hidden import READ_ONCE
from helpers.warm_kernels.owner import ForkFailed, WarmUnavailable

LAUNCHER = ["-m", "ipykernel_launcher"]
SOON = 0.5  # seconds in which a kernel ends that is asked to
# Kernels of this process, which are below it only as long as the preloaded process lives.
LIVING: "set[ForkedProcess]" = set()


class WarmProvisioner(LocalProvisioner):
    """Starts kernels of this environment by forking the preloaded process."""

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Wait for the packages, if at all, before ports are chosen, which others could take."""
        if (preloaded := owner.current()) and preloaded.patient:
            with contextlib.suppress(WarmUnavailable):  # which launch_kernel will say
                await asyncio.to_thread(preloaded.require, kwargs.get("env") or os.environ)
        return await super().pre_launch(**kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Fork a kernel; start a cold one where that is not possible, and say why."""
        try:
            self.process = await asyncio.to_thread(_fork, cmd, kwargs)
        except WarmUnavailable as reason:
            level = logging.WARNING if isinstance(reason, ForkFailed) else logging.INFO
            self.log.log(level, "A cold kernel is started: %s", reason)
            return await super().launch_kernel(cmd, **kwargs)
        self.pid = self.pgid = self.process.pid
        self.cwd = kwargs.get("cwd", Path.cwd())
        return self.connection_info

    async def shutdown_requested(self, restart: bool = False) -> None:
        """Notice at once that a forked kernel has ended; its manager looks ten times a second."""
        if isinstance(self.process, ForkedProcess):
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self.process.wait, SOON)


def _fork(cmd: list[str], options: dict[str, Any]) -> "ForkedProcess":
    if cmd[1:3] != LAUNCHER or Path(cmd[0]).absolute() != Path(sys.executable).absolute():
        raise WarmUnavailable(f"{' '.join(cmd[:3])} is not this environment's kernel")
    env = dict(options.get("env") or os.environ) | {"JPY_PARENT_PID": str(os.getpid())}
    if name := _sets_too_late(env.get("JPY_SESSION_NAME", "")):
        raise WarmUnavailable(f"the notebook sets {name}, which is read as libraries are loaded")
    streams = [options.get("stdout"), options.get("stderr")]
    if subprocess.PIPE in streams:
        raise WarmUnavailable("the kernel's output is asked for through a pipe")
    preloaded = owner.for_kernel(env)
    request = {
        "arguments": cmd[3:],
        "env": env,
        "cwd": str(options.get("cwd") or Path.cwd()),
        **owner.rules(),
    }
    connection, other = socket.socketpair()
    try:
        with other, Path(os.devnull).open("wb") as nowhere:
            output = [_descriptor(s, own, nowhere.fileno()) for own, s in enumerate(streams, 1)]
            socket.send_fds(preloaded.channel, [b"k"], [other.fileno(), *output])
        connection.settimeout(30)
        connection.sendall(json.dumps(request).encode() + b"\n")
        pid = int(connection.makefile().readline())
        connection.settimeout(None)
        return ForkedProcess(pid, connection)
    except (OSError, ValueError) as error:
        connection.close()
        raise ForkFailed(f"the preloaded process does not answer ({error})") from None


def _sets_too_late(path: str) -> str | None:
    """Return a variable that a notebook's code names and that no forked kernel can read anew."""
    try:
        cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # no notebook, or not saved
        return None
    found = re.search(rf"\b({'|'.join(READ_ONCE)})\b", code)
    return found and found[0]


def _descriptor(stream: Any, own: int, nowhere: int) -> int:
    if stream is None:
        return own
    if stream == subprocess.DEVNULL:
        return nowhere
    return stream if isinstance(stream, int) else stream.fileno()


class ForkedProcess:
    """A kernel that is not a child of this process, with the interface of ``subprocess.Popen``.

    The connection stays open on both sides: closing it, or the death of this process, ends the
    kernel.
    """

    stdin = stdout = stderr = None

    def __init__(self, pid: int, connection: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._connection = connection
        self._ending = threading.Lock()  # one thread waits for it, another may kill it
        try:
            self._handle = os.pidfd_open(pid)
            LIVING.add(self)
        except ProcessLookupError:  # it has died already
            self._handle = -1
            self._end()

    def poll(self) -> int | None:
        with self._ending:
            if self.returncode is None and self._has_ended(0):
                self._end()
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None and not self._has_ended(timeout):
            raise subprocess.TimeoutExpired("kernel", timeout or 0)
        return self.poll() or 0

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def kill(self) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.killpg(self.pid, signal.SIGKILL)  # with all that it has started
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def _has_ended(self, timeout: float | None) -> bool:
        waiting = select.poll()  # select() knows no descriptor above 1,023
        waiting.register(self._handle, select.POLLIN)
        return bool(waiting.poll(None if timeout is None else timeout * 1000))

    def _end(self) -> None:
        LIVING.discard(self)
        self.returncode = 1  # whose child it is not, is not told how it ended
        self._connection.close()
        if self._handle >= 0:
            os.close(self._handle)
