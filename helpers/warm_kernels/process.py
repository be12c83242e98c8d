"""A kernel that was forked elsewhere, with the interface of ``subprocess.Popen``."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import threading

LIVING: "set[ForkedProcess]" = set()  # kernels of this process, which are not its children


class ForkedProcess:
    """A kernel that is not a child of this process, and ends with it.

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
            self._ended()

    def poll(self) -> int | None:
        with self._ending:
            return self._status()

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None and not self._has_ended(timeout):
            raise subprocess.TimeoutExpired("kernel", timeout or 0)
        return self.poll() or 0

    def _status(self) -> int | None:
        if self.returncode is None and self._has_ended(0):
            self._ended()
        return self.returncode

    def _has_ended(self, timeout: float | None) -> bool:
        waiting = select.poll()  # select() knows no descriptor above 1,023
        waiting.register(self._handle, select.POLLIN)
        return bool(waiting.poll(None if timeout is None else timeout * 1000))

    def send_signal(self, number: int) -> None:
        with self._ending:
            if self._status() is None:
                signal.pidfd_send_signal(self._handle, number)

    def kill(self) -> None:
        with self._ending:
            if self._status() is None:
                with contextlib.suppress(ProcessLookupError):  # it is about to become a leader
                    os.killpg(self.pid, signal.SIGKILL)  # with all that it has started
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def _ended(self) -> None:
        LIVING.discard(self)
        self.returncode = 1  # whose child it is not, is not told how it ended
        self._connection.close()
        if self._handle >= 0:
            os.close(self._handle)
