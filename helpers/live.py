"""What changes on the screen: lines that stay, and below them one that is drawn anew."""

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, TextIO

SHOWN_LINES = 12  # of many, a notebook keeps the first one and the last ones
INTERVAL = 0.2  # seconds between two pictures


def notebook_display() -> Any:
    """Return a display that can be drawn anew, in a notebook's kernel; None elsewhere."""
    if "ipykernel" not in sys.modules:
        return None
    from IPython import get_ipython
    from IPython.display import display

    if type(get_ipython()).__name__ != "ZMQInteractiveShell":
        return None
    return display({"text/plain": ""}, raw=True, display_id=True)


class Screen:
    """A notebook's output, a terminal, or a log file, which gets the lines that stay only.

    A reader who goes away neither ends nor blocks what is shown.
    """

    def __init__(self, *, shown: bool = True) -> None:
        self._shown = shown
        self._handle = notebook_display() if shown else None
        self.is_live = shown and (self._handle is not None or sys.stderr.isatty())
        self._lines: list[str] = []
        self._meter = ""
        self._last = 0.0
        self._lock = threading.Lock()

    def keep(self, line: str, stream: TextIO | None = None) -> None:
        """Show a line that stays; on ``stream``, standard error by default, if in no notebook."""
        if not self._shown:
            return
        with self._lock, contextlib.suppress(OSError, ValueError):  # a closed pipe
            if self._handle:
                self._lines.append(line)
                self._draw()
                return
            if self.is_live:
                print("\r\033[K", end="", file=sys.stderr, flush=True)
            print(line, file=stream or sys.stderr, flush=True)
            self._draw()

    def draw(self, meter: str, *, now: bool = False) -> None:
        """Draw the last line anew, a few times a second at most unless ``now``."""
        is_due = now or time.monotonic() - self._last >= INTERVAL
        # A notebook's display belongs to the main thread.
        if not is_due or (self._handle and threading.current_thread() != threading.main_thread()):
            return
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._meter, self._last = meter, time.monotonic()
            self._draw()

    def close(self, *, keep: bool = False) -> None:
        """End the last line, which is erased or kept."""
        with self._lock, contextlib.suppress(OSError, ValueError):
            if not keep:
                self._meter = ""
                self._draw()
            if self.is_live and not self._handle:
                print("" if keep else "\r\033[K", end="\n" if keep else "", file=sys.stderr)

    def _draw(self) -> None:
        if self._handle:
            first, others = self._lines[:1], self._lines[1:]
            hidden = len(others) - SHOWN_LINES
            gap = [f"… {hidden} lines before"] if hidden > 0 else []
            lines = [*first, *gap, *others[-SHOWN_LINES:], self._meter]
            self._handle.update({"text/plain": "\n".join(filter(None, lines))}, raw=True)
        elif self.is_live and self._meter:
            line = self._meter[: shutil.get_terminal_size().columns - 1]
            print(f"\r{line}\033[K", end="", file=sys.stderr, flush=True)


class EpochProgress:
    """Live loss and metrics of a training, and a line for each epoch."""

    def __init__(self, epochs: int, *, shown: bool) -> None:
        self._epochs = epochs
        self._screen = Screen(shown=shown)
        self.note = self._screen.keep
        self.close = self._screen.close

    def start_epoch(self, epoch: int) -> None:
        """Begin to count the time of an epoch (from 1)."""
        self._epoch, self._start = epoch, time.perf_counter()

    def update(self, step: int, steps: int | None, metrics: Mapping[str, float]) -> None:
        """Show how far the epoch is."""
        if not self._screen.is_live:
            return
        from tqdm import tqdm

        seconds, prefix = time.perf_counter() - self._start, f"epoch {self._epoch}/{self._epochs}"
        meter = tqdm.format_meter(
            step, steps, seconds, ncols=96, prefix=prefix, unit="batch", postfix=_shown(metrics)
        )
        self._screen.draw(meter)

    def end_epoch(self, metrics: Mapping[str, float]) -> None:
        """Show the result of an epoch."""
        seconds = time.perf_counter() - self._start
        self._screen.draw("", now=True)
        self._screen.keep(f"epoch {self._epoch}/{self._epochs}  {_shown(metrics)}  {seconds:.1f} s")


def _shown(metrics: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
