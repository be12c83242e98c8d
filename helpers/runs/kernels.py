"""How the kernels of runs are reached."""

import contextlib
import os
import sys
import time
import uuid
from collections.abc import Awaitable, Mapping
from pathlib import Path
from queue import Empty
from types import MappingProxyType
from typing import Any

import zmq
from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.paths import jupyter_runtime_dir
from traitlets import default

# A socket's path may have 107 bytes, of which "/kernel-UUID-ipc-1" needs 50.
LONGEST_FOLDER = 55


class KernelClient(AsyncKernelClient):
    """Begins as soon as a kernel is ready; the original then listens for 0.2 s in vain."""

    def start_channels(self, **options: Any) -> None:
        """Start all channels but the heartbeat: whether its kernel lives, the manager knows.

        Its thread opens sockets without end if it is told to stop before it has begun.
        """
        # It connects before the kernel listens, and would try again after 100 ms.
        self.context.setsockopt(zmq.RECONNECT_IVL, 5)  # ms
        super().start_channels(**{**options, "hb": False})

    async def wait_for_ready(self, timeout: float | None = None) -> None:
        """Wait until a kernel has answered and all that it said meanwhile has been heard.

        Raises
        ------
        RuntimeError
            If it dies, or does not answer within ``timeout`` seconds.
        """
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        while time.monotonic() < deadline:
            request = self.kernel_info()
            with contextlib.suppress(Empty):
                await self.get_shell_msg(timeout=1)
                while True:
                    # What was said before this client was connected is lost: it asks again.
                    message = await self.get_iopub_msg(timeout=0.03)
                    state = message["content"].get("execution_state")
                    if state == "idle" and message["parent_header"].get("msg_id") == request:
                        return
            if not await self.is_alive():
                raise RuntimeError("the kernel died before it was ready")
        raise RuntimeError(f"the kernel was not ready within {timeout} s")


class KernelManager(AsyncKernelManager):
    """Gives kernels an environment, and reaches them by Unix sockets, where there are any.

    TCP ports are chosen before the kernel binds them; of many kernels that start at the same time,
    one in some thousands finds a port taken and dies.
    """

    environment: Mapping[str, str] = MappingProxyType({})  # besides that of this process

    def start_kernel(self, **options: Any) -> Awaitable[None]:
        """Start the kernel in its environment."""
        # ipykernel warns of slow breakpoints in every kernel of a Python with frozen modules.
        quiet = {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        return super().start_kernel(env={**quiet, **os.environ, **self.environment}, **options)

    @default("client_factory")
    def _client_factory(self) -> type[KernelClient]:
        return KernelClient

    @default("transport")
    def _transport(self) -> str:
        short = len(jupyter_runtime_dir().encode()) <= LONGEST_FOLDER
        return "ipc" if short and sys.platform != "win32" else "tcp"

    @default("connection_file")
    def _connection_file(self) -> str:
        """Choose a name of this kernel's own, after which its sockets are called as well."""
        folder = Path(jupyter_runtime_dir())
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder / f"kernel-{uuid.uuid4()}.json")


def manager_with(environment: Mapping[str, str]) -> type[KernelManager]:
    """Return the class of a manager whose kernel has these variables; nbclient makes it itself."""
    return type("KernelManager", (KernelManager,), {"environment": environment})
