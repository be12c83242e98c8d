"""How the kernels of runs are reached."""

import sys
import uuid
from pathlib import Path

from jupyter_client.manager import AsyncKernelManager
from jupyter_core.paths import jupyter_runtime_dir
from traitlets import default

# A socket's path may have 107 bytes, of which "/kernel-UUID-ipc-1" needs 50.
LONGEST_FOLDER = 55


class KernelManager(AsyncKernelManager):
    """Reaches kernels by Unix sockets, where there are any.

    TCP ports are chosen before the kernel binds them; of many kernels that start at the same time,
    one in some thousands finds a port taken and dies.
    """

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
