"""What Jupyter calls to start a kernel: forked where that is possible, else cold."""

import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
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


class ForkedProcess(psutil.Process):
    """A kernel that is not a child of this process, with what Jupyter uses of a ``Popen``.

    Its connection stays open on both sides: closing it, or the death of this process, ends the
    kernel.
    """

    stdin = stdout = stderr = None

    def __init__(self, pid: int, connection: socket.socket) -> None:
        super().__init__(pid)
        self._connection = connection
        LIVING.add(self)

    def poll(self) -> int | None:
        """Return None while it runs, then 1: whose child it is not, is not told how it ended."""
        with contextlib.suppress(psutil.NoSuchProcess):
            if self.is_running() and self.status() != psutil.STATUS_ZOMBIE:
                return None
        self._connection.close()
        LIVING.discard(self)
        return 1

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; raise ``TimeoutExpired`` if it has not come within so many seconds."""
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("kernel", timeout or 0)
            time.sleep(0.005)
        return 1

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        with contextlib.suppress(psutil.NoSuchProcess):
            super().send_signal(number)

    def kill(self) -> None:
        """Kill it with all that it has started."""
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            if self.poll() is None:
                os.killpg(self.pid, signal.SIGKILL)


def _fork(cmd: list[str], options: dict[str, Any]) -> ForkedProcess:
    if cmd[1:3] != LAUNCHER or Path(cmd[0]).absolute() != Path(sys.executable).absolute():
        raise WarmUnavailable(f"{' '.join(cmd[:3])} is not this environment's kernel")
    env = dict(options.get("env") or os.environ) | {"JPY_PARENT_PID": str(os.getpid())}
    if name := _sets_too_late(env.get("JPY_SESSION_NAME", "")):
        raise WarmUnavailable(f"the notebook sets {name}, which is read as libraries are loaded")
    streams = [options.get("stdout"), options.get("stderr")]
    if any(isinstance(stream, int) for stream in streams):
        raise WarmUnavailable("its output goes neither where ours goes nor into an open file")
    preloaded = owner.for_kernel(env)
    request = {"arguments": cmd[3:], "env": env, "cwd": str(options.get("cwd") or Path.cwd())}
    connection, other = socket.socketpair()
    try:
        with other:
            output = [n if file is None else file.fileno() for n, file in enumerate(streams, 1)]
            socket.send_fds(preloaded.channel, [b"k"], [other.fileno(), *output])
        connection.settimeout(30)
        connection.sendall(json.dumps(request).encode() + b"\n")
        pid = int(connection.makefile().readline())
        connection.settimeout(None)
        return ForkedProcess(pid, connection)
    except (OSError, ValueError, psutil.Error) as error:
        connection.close()
        raise ForkFailed(f"the preloaded process does not answer ({error})") from None


def _sets_too_late(path: str) -> str | None:
    """Return a variable that a notebook's code names and that no forked kernel can read anew."""
    try:
        cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # no notebook, or not saved
        return None
    named = re.search(rf"\b({'|'.join(READ_ONCE)})\b", code)
    return named and named[0]
