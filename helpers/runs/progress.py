"""What is shown while notebooks run: how far they are, what failed, and the best so far."""

import contextlib
import io
import sys
import threading
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, TextIO

from tqdm import tqdm

from helpers.live import notebook_display
from helpers.runs.metrics import is_number
from helpers.runs.objective import Objective, choose_objective
from helpers.runs.results import SUCCEEDED, Run, RunResult, describe_setting

LINES = 10  # to a log file besides failures; of failures in a notebook
SHOWN_METRICS = 6
METER = "{desc} {percentage:3.0f}%|{bar:20}| {elapsed}<{remaining}{postfix}"


class Progress:
    """A meter of tqdm in a terminal or in JupyterLab; some lines elsewhere, as in a log file.

    A reader who goes away neither ends nor blocks the runs.

    Parameters
    ----------
    runs
        What is to be run.
    kept
        Runs besides, that had ended before.
    total
        How many are to end, if ``runs`` are not all of them.
    names
        The parameters by which a run is told from the others; none for the notebook's name.
    objective
        What is best; None for the one that ``choose_objective`` chooses.
    each
        Tell of each run as it ends, on standard output; else of failures only, and of the best.
    shown
        False for silence.
    """

    def __init__(
        self,
        runs: Collection[Run] = (),
        *,
        kept: int = 0,
        total: int | None = None,
        names: Sequence[str] = (),
        objective: Objective | None = None,
        each: bool = False,
        shown: bool = True,
    ) -> None:
        self._cells = {run.key: count_code_cells(run) for run in runs}
        self._executed: Counter[str] = Counter()
        self._total = kept + (len(runs) if total is None else total)
        self._done = kept
        self._names, self._objective, self._each, self._shown = names, objective, each, shown
        self._failed = self._at_a_time = 0
        self._best = ""
        self._best_value: float | None = None
        self._lock = threading.Lock()  # cells end in other threads
        handle = notebook_display() if shown else None
        self._display = _Display(handle) if handle else None
        self._live = shown and (handle is not None or sys.stderr.isatty())
        # Elsewhere the meter is not drawn, but asked now and then.
        stream = self._display or (sys.stderr if self._live else io.StringIO())
        self._meter = _Meter(
            total=self._total, initial=kept, bar_format=METER, file=stream, miniters=0, delay=0.01,
            mininterval=0.2 if self._live else float("inf"), nrows=24,  # some terminals say 0
        )  # fmt: skip

    def started(self, at_a_time: int, dashboard: str | None = None) -> None:
        """Tell how many run side by side, and where the dashboard is, if there is one."""
        self._at_a_time = at_a_time
        if dashboard:
            self._write(f"Dashboard: {dashboard}", sys.stderr)
        self._update()

    def cell(self, run: Run) -> None:
        """Count an executed cell."""
        if run.key not in self._cells:
            return
        with self._lock:
            self._executed[run.key] += 1
        if not self._display:  # which belongs to the main thread
            self._update()

    def ended(self, result: RunResult) -> None:
        """Count a run."""
        with self._lock:
            self._executed.pop(result["key"], None)
            self._done += 1
        failed = result["status"] != SUCCEEDED
        self._failed += failed
        self._compare(result)
        if failed or self._each:
            self._write(self._line(result), sys.stdout if self._each else sys.stderr)
        self._update()
        now_and_then = self._done % -(-self._total // LINES) == 0 or self._done == self._total
        if now_and_then and not self._live and not self._each:
            self._write(str(self._meter), sys.stderr)

    def close(self) -> None:
        """Draw no more; what is shown stays."""
        with contextlib.suppress(OSError, ValueError):
            self._meter.close()

    def _update(self) -> None:
        with self._lock, contextlib.suppress(OSError, ValueError):
            under_way = sum(n / self._cells[key] for key, n in self._executed.items())
            running = min(self._at_a_time, self._total - self._done)
            best = f", best {self._best}" if self._best else ""
            self._meter.set_description_str(f"{self._done} of {self._total}", refresh=False)
            self._meter.set_postfix_str(f"running {running}, failed {self._failed}{best}", False)
            self._meter.update(self._done + under_way - self._meter.n)

    def _line(self, result: RunResult) -> str:
        what = describe_setting(result["parameters"], self._names) or result["notebook"]
        told = {"dataset": result["dataset"]} if result["dataset"] else {}
        told |= dict(list(result["metrics"].items())[:SHOWN_METRICS])
        metrics = ", ".join(
            f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in told.items()
        )
        sign = "✓" if result["status"] == SUCCEEDED else "✗"
        return f"{sign} {what}  {result['seconds']:.1f} s  {result['error'] or metrics}"

    def _write(self, line: str, stream: TextIO) -> None:
        if not self._shown:
            return
        with self._lock, contextlib.suppress(OSError, ValueError):  # a closed pipe
            if self._display:
                self._display.keep(line)
            else:
                self._meter.write(line, file=stream)
                stream.flush()

    def _compare(self, result: RunResult) -> None:
        if self._each or result["status"] != SUCCEEDED:
            return
        numbers = {k: v for k, v in result["metrics"].items() if is_number(v)}
        self._objective = self._objective or choose_objective(list(numbers))
        if self._objective is None:
            return
        value, better = numbers.get(self._objective.metric), min if self._objective.smaller else max
        old = self._best_value
        if value is not None and (old is None or better(value, old) != old):
            settings = describe_setting(result["parameters"], self._names)
            self._best = f"{self._objective.metric} {value:.4g} ({settings})"
            self._best_value = value


class _Meter(tqdm):
    """Does without tqdm's lock, which stays held where an interrupt meets it; ours does not."""

    def refresh(self, nolock: bool = False, lock_args: Any = None) -> None:
        super().refresh(nolock=True)


class _Display(io.StringIO):
    """Where a notebook shows the meter, below the lines that were kept."""

    def __init__(self, handle: Any) -> None:
        super().__init__()
        self._handle, self._kept, self._meter = handle, [], ""

    def keep(self, line: str) -> None:
        self._kept = [*self._kept[1 - LINES :], line]
        self._draw()

    def write(self, text: str) -> int:
        if text.strip():
            self._meter = text.strip()
            self._draw()
        return len(text)

    def _draw(self) -> None:
        lines = [*self._kept, self._meter]
        self._handle.update({"text/plain": "\n".join(filter(None, lines))}, raw=True)


def count_code_cells(run: Run) -> int:
    """Return how many cells a run will execute."""
    return bool(run.parameters) + sum(bool(source.strip()) for source in run.notebook.code)
