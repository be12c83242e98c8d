"""What a sweep shows while it runs: a small live table."""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from helpers.live import notebook_display
from helpers.runs.results import SUCCEEDED
from helpers.sweeps.objective import Objective, choose_objective
from helpers.sweeps.table import describe

LINES = 10  # to a log file by the whole sweep; of failures in a notebook


class Progress:
    """Done, running, failed, time left and the best so far, in a terminal or in JupyterLab.

    Where neither is there (a log file), some lines are written on the way.

    Parameters
    ----------
    total, kept
        Runs in all, and those that had ended before.
    at_a_time
        Runs that are executed side by side.
    names
        The parameters by which a run is told from the others.
    objective
        What is best; None for the one that ``choose_objective`` chooses.
    shown
        False for silence.
    """

    def __init__(
        self,
        total: int,
        kept: int,
        at_a_time: int,
        names: Sequence[str],
        objective: Objective | None,
        *,
        shown: bool,
    ) -> None:
        self._total, self._kept, self._done = total, kept, kept
        self._at_a_time, self._names, self._objective = at_a_time, names, objective
        self._failed = 0
        self._best: tuple[float, str] | None = None
        self._start = time.monotonic()
        self._shown = shown
        self._address = ""
        self._failures: list[str] = []
        self._handle = notebook_display() if shown else None
        self._live = self._start_live() if shown and not self._handle else None

    def started(self, address: str | None) -> None:
        """Tell where the dashboard is, if there is one."""
        if address is None:
            return
        self._address = f"Dashboard: {address}"
        if self._handle:
            self._draw()
        else:
            self._write(self._address)

    def ended(self, status: Mapping[str, Any]) -> None:
        """Count a run."""
        self._done += 1
        if status["status"] != SUCCEEDED:
            self._failed += 1
            settings = describe(status["parameters"], self._names)
            self._failures.append(f"✗ {settings}: {status['error']}")
            self._write(self._failures[-1])
        self._compare(status)
        if self._handle:
            self._draw()
        elif self._shown and not self._live and self._done % max(1, self._total // LINES) == 0:
            self._write(", ".join(f"{name} {value}" for name, value in self._cells().items()))

    def close(self) -> None:
        """Leave the last state."""
        self._address = ""
        if self._live:
            self._live.stop()
        elif self._handle:
            self._draw()

    def _write(self, line: str) -> None:
        if self._live:
            self._live.console.print(line, highlight=False)
        elif self._shown and not self._handle:
            sys.stderr.write(line + "\n")

    def _compare(self, status: Mapping[str, Any]) -> None:
        numbers = {k: v for k, v in status["metrics"].items() if isinstance(v, int | float)}
        self._objective = self._objective or choose_objective(list(numbers))
        if self._objective is None or numbers.get(self._objective.metric) is None:
            return
        value = numbers[self._objective.metric]
        better = min if self._objective.smaller else max
        if self._best is None or better(value, self._best[0]) != self._best[0]:
            self._best = (value, describe(status["parameters"], self._names))

    def _cells(self) -> dict[str, str]:
        waiting = self._total - self._done
        best = f"{self._best[0]:.4g} ({self._best[1]})" if self._best else "–"
        return {
            "done": f"{self._done} of {self._total}",
            "running": str(min(self._at_a_time, waiting)),
            "failed": str(self._failed),
            "time left": self._time_left(waiting),
            f"best {self._objective.metric if self._objective else 'so far'}": best,
        }

    def _time_left(self, waiting: int) -> str:
        ended = self._done - self._kept
        if not waiting:
            return "0:00"
        if not ended:
            return "?"
        seconds = round((time.monotonic() - self._start) / ended * waiting)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"

    def _table(self) -> Any:
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD)
        cells = self._cells()
        for name in cells:
            table.add_column(name)
        table.add_row(*cells.values())
        return table

    def _start_live(self) -> Any:
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True)
        if not console.is_terminal:
            return None
        live = Live(get_renderable=self._table, console=console, refresh_per_second=2)
        live.start()
        return live

    def _draw(self) -> None:
        from rich.console import Console

        console = Console(file=None, width=110, force_jupyter=False, color_system=None)
        with console.capture() as captured:
            console.print(self._table())
        table = [line.rstrip() for line in captured.get().splitlines() if line.strip()]
        lines = [self._address, *self._failures[-LINES:], *table]
        self._handle.update({"text/plain": "\n".join(filter(None, lines))}, raw=True)
