"""What changes on the screen: a display that is drawn anew, and the epochs of a training."""

import sys
import time
from collections.abc import Mapping
from typing import Any

SHOWN_EPOCHS = 12  # of a long training, a notebook keeps the last ones
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


class EpochProgress:
    """Live loss and metrics, in a terminal or in JupyterLab; elsewhere, a line for each epoch."""

    def __init__(self, epochs: int, *, shown: bool) -> None:
        self._epochs = epochs
        self._shown = shown
        self._lines: list[str] = []
        self._finished: list[str] = []
        self._handle = notebook_display() if shown else None
        self._live = shown and self._handle is None and sys.stderr.isatty()
        self._last = 0.0

    def note(self, line: str) -> None:
        """Show a line that stays."""
        self._lines.append(line)
        self._write(line)

    def start_epoch(self, epoch: int) -> None:
        """Begin to count the time of an epoch (from 1)."""
        self._epoch, self._start = epoch, time.perf_counter()

    def update(self, step: int, steps: int | None, metrics: Mapping[str, float]) -> None:
        """Show how far the epoch is."""
        now = time.perf_counter()
        if not (self._live or self._handle) or now - self._last < INTERVAL:
            return
        self._last = now
        from tqdm import tqdm

        meter = tqdm.format_meter(
            step,
            steps,
            now - self._start,
            ncols=96,
            prefix=f"epoch {self._epoch}/{self._epochs}",
            unit="batch",
            postfix=_shown(metrics),
        )
        if self._handle:
            self._draw(meter)
        else:
            print("\r" + meter, end="\033[K", file=sys.stderr, flush=True)

    def end_epoch(self, metrics: Mapping[str, float]) -> None:
        """Show the result of an epoch."""
        seconds = time.perf_counter() - self._start
        line = f"epoch {self._epoch}/{self._epochs}  {_shown(metrics)}  {seconds:.1f} s"
        self._finished.append(line)
        self._write(line)

    def close(self) -> None:
        """End a live line that was cut short."""
        if self._live:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def _write(self, line: str) -> None:
        if self._handle:
            self._draw()
        elif self._shown:
            start = "\r" if self._live else ""
            end = "\033[K\n" if self._live else "\n"
            print(start + line, end=end, file=sys.stderr, flush=True)

    def _draw(self, meter: str = "") -> None:
        hidden = len(self._finished) - SHOWN_EPOCHS
        lines = self._lines + ([f"… {hidden} epochs before"] if hidden > 0 else [])
        lines += self._finished[-SHOWN_EPOCHS:] + ([meter] if meter else [])
        self._handle.update({"text/plain": "\n".join(lines)}, raw=True)


def _shown(metrics: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
