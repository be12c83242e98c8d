"""What Jupyter calls to start a kernel: forked where that is possible, else as ever."""

import asyncio
import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import LocalProvisioner

from helpers.warm_kernels.connection import WarmUnavailable, connect, limits
from helpers.warm_kernels.process import ForkedProcess

LAUNCHER = ["-m", "ipykernel_launcher"]
SOON = 0.5  # seconds in which a kernel ends that is asked to


class WarmProvisioner(LocalProvisioner):
    """Starts kernels of this environment by forking the preloaded process."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Fork a kernel; start an ordinary one where that is not possible, and say so."""
        try:
            self.process = await asyncio.to_thread(_fork, cmd, kwargs)
        except WarmUnavailable as reason:
            asked = os.environ.get("COURSE_WARM") == "0"
            level = logging.INFO if asked else logging.WARNING
            self.log.log(level, "An ordinary kernel is started: %s", reason)
            return await super().launch_kernel(cmd, **kwargs)
        self.pid = self.pgid = self.process.pid
        self.cwd = kwargs.get("cwd", Path.cwd())
        return self.connection_info

    async def shutdown_requested(self, restart: bool = False) -> None:
        """Notice at once that a forked kernel has ended; its manager looks ten times a second."""
        if isinstance(self.process, ForkedProcess):
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self.process.wait, SOON)


def _fork(cmd: list[str], options: dict[str, Any]) -> ForkedProcess:
    if cmd[1:3] != LAUNCHER or Path(cmd[0]).absolute() != Path(sys.executable).absolute():
        raise WarmUnavailable(f"{' '.join(cmd[:3])} is not this environment's kernel")
    env = dict(options.get("env") or os.environ) | {"JPY_PARENT_PID": str(os.getpid())}
    streams = [options.get("stdout"), options.get("stderr")]
    if subprocess.PIPE in streams:
        raise WarmUnavailable("the kernel's output is asked for through a pipe")
    request = {
        "arguments": cmd[3:],
        "env": env,
        "cwd": str(options.get("cwd") or Path.cwd()),
        "affinity": sorted(os.sched_getaffinity(os.getpid())),
        "limits": [(kind, *both) for kind, both in limits().items()],
    }
    with Path(os.devnull).open("wb") as nowhere:
        descriptors = [_descriptor(s, own, nowhere.fileno()) for own, s in enumerate(streams, 1)]
        for last in (False, True):
            connection = connect(env)
            try:
                socket.send_fds(connection, [json.dumps(request).encode() + b"\n"], descriptors)
                connection.settimeout(30)
                pid = int(connection.makefile().readline())
                connection.settimeout(None)
                return ForkedProcess(pid, connection)
            except (
                OSError,
                ValueError,
            ) as error:  # it was just ending: the next try starts another
                connection.close()
                if last:
                    raise WarmUnavailable(
                        f"the preloaded process does not answer ({error})"
                    ) from None
    raise AssertionError("unreachable")


def _descriptor(stream: Any, own: int, nowhere: int) -> int:
    if stream is None:
        return own
    if stream == subprocess.DEVNULL:
        return nowhere
    return stream if isinstance(stream, int) else stream.fileno()
