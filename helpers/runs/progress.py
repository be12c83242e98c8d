"""What is shown while notebooks run: how far they are, what failed, and the best so far."""

import sys
import time
from collections import Counter
from collections.abc import Collection, Sequence

from tqdm import tqdm

from helpers.live import Screen
from helpers.runs.metrics import is_number
from helpers.runs.objective import Objective, choose_objective
from helpers.runs.results import SUCCEEDED, Run, RunResult, describe_setting

LINES = 10  # to a log file, besides failures
SHOWN_METRICS = 6
METER = "{desc} {percentage:3.0f}%|{bar:10}| {elapsed}<{remaining}{postfix}"


class Progress:
    """A meter in a terminal or in JupyterLab; some lines elsewhere, as in a log file.

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
        self._executed: Counter[str] = Counter()  # cells of runs that are under way
        self._kept, self._ended, self._failed, self._at_a_time = kept, 0, 0, 0
        self._total = kept + (len(runs) if total is None else total)
        self._names, self._objective, self._each = names, objective, each
        self._best: tuple[float, str] | None = None
        self._screen = Screen(shown=shown)
        self._start = time.monotonic()

    def started(self, at_a_time: int, dashboard: str | None = None) -> None:
        """Tell how many run side by side, and where the dashboard is, if there is one."""
        self._at_a_time = at_a_time
        if dashboard:
            self._screen.keep(f"Dashboard: {dashboard}")
        self._screen.draw(str(self), now=True)

    def cell(self, run: Run) -> None:
        """Count an executed cell; it may be called in any thread."""
        if run.key in self._cells:
            self._executed[run.key] += 1
            self._screen.draw(str(self))

    def ended(self, result: RunResult) -> None:
        """Count a run."""
        self._executed.pop(result["key"], None)
        self._ended += 1
        is_failed = result["status"] != SUCCEEDED
        self._failed += is_failed
        if not is_failed and not self._each:
            self._compare(result)
        if is_failed or self._each:
            self._screen.keep(self._line(result), sys.stdout if self._each else sys.stderr)
        self._screen.draw(str(self), now=True)
        done = self._kept + self._ended
        is_due = done % -(-self._total // LINES) == 0 or done == self._total
        if is_due and not self._screen.is_live and not self._each:
            self._screen.keep(str(self))

    def close(self) -> None:
        """Draw no more; what is shown stays."""
        self._screen.close(keep=True)

    def __str__(self) -> str:
        done = self._kept + self._ended
        under_way = sum(n / self._cells[key] for key, n in self._executed.copy().items())
        running = min(self._at_a_time, self._total - done)
        state = f"running {running}, failed {self._failed}"
        return tqdm.format_meter(
            done + under_way, self._total, time.monotonic() - self._start, initial=self._kept,
            bar_format=METER, prefix=f"{done} of {self._total}",
            postfix=state + (f", best {self._best[1]}" if self._best else ""),
        )  # fmt: skip

    def _line(self, result: RunResult) -> str:
        name = describe_setting(result["parameters"], self._names) or result["notebook"]
        values = {"dataset": result["dataset"]} if result["dataset"] else {}
        values |= dict(list(result["metrics"].items())[:SHOWN_METRICS])
        metrics = ", ".join(
            f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in values.items()
        )
        sign = "✓" if result["status"] == SUCCEEDED else "✗"
        return f"{sign} {name}  {result['seconds']:.1f} s  {result['error'] or metrics}"

    def _compare(self, result: RunResult) -> None:
        numbers = {k: v for k, v in result["metrics"].items() if is_number(v)}
        self._objective = self._objective or choose_objective(list(numbers))
        if self._objective is None or self._objective.metric not in numbers:
            return
        value, sign = numbers[self._objective.metric], -1 if self._objective.smaller else 1
        if self._best is None or sign * value > sign * self._best[0]:
            setting = describe_setting(result["parameters"], self._names)
            self._best = value, f"{self._objective.metric} {value:.4g} ({setting})"


def count_code_cells(run: Run) -> int:
    """Return how many cells a run will execute."""
    return bool(run.parameters) + sum(bool(source.strip()) for source in run.notebook.code)
