"""What may be concluded from a sweep: settings compared over seeds, with intervals.

A setting is all parameters of a run but its seed. Settings are compared in pairs by paired
differences over the seeds that both have (Student, 1908), or by Welch's test (1947) where they
share none; Holm's procedure (1979) holds the chance of one false difference among all pairs.
(A bootstrap is no help with few seeds: its intervals of five values cover about 80%, not 95%.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from helpers.runs.results import SUCCEEDED
from helpers.sweeps.objective import Objective, choose_objective

if TYPE_CHECKING:
    import pandas as pd

CONFIDENCE = 0.95  # of the interval of a mean
# Chance of a false difference in a sweep of equal settings. It is half of the customary 5%, because
# a sweep is often given more seeds, and looked at again.
LEVEL = 0.025
POWER = 0.8  # with which the smallest difference that can be shown is found


@dataclass(frozen=True)
class Comparison:
    """What may be concluded from a sweep.

    Attributes
    ----------
    objective : Objective
        By which the settings are compared.
    settings : DataFrame
        A row for each setting, the best one first: its parameters, ``n`` runs, ``mean`` with the
        ends ``low`` and ``high`` of its 95% interval (Student's t), the mean ``difference`` to the
        best, the ``p`` value of that after Holm's procedure, and a ``verdict``: ``"best"``,
        ``"worse"`` or ``"not distinguishable"``.
    smallest_difference : float or None
        That these runs would have shown in four of five cases, between the two best settings.
    """

    objective: Objective
    settings: "pd.DataFrame"
    smallest_difference: float | None

    @property
    def best(self) -> "pd.Series":
        """The setting with the best mean."""
        return self.settings.iloc[0]

    def runs_of_best(self, table: "pd.DataFrame") -> "pd.DataFrame":
        """Return the rows of the best setting."""
        names = [name for name in self.settings if name in table]
        same = [table[name].map(str) == str(self.best[name]) for name in names]
        return table[np.logical_and.reduce([*same, np.ones(len(table), bool)])]

    @property
    def rivals(self) -> int:
        """How many settings cannot be told from the best."""
        return int((self.settings["verdict"] == "not distinguishable").sum())

    @property
    def conclusion(self) -> str:
        """One or two sentences."""
        count, pairs = len(self.settings), len(self.settings) * (len(self.settings) - 1) // 2
        if count < 2:
            return "One setting: there is nothing to compare it with."
        if (self.settings["n"] < 2).any():
            return "Some settings have one run only, which tells nothing about luck: use --repeat."
        said = (
            f"Not distinguishable: {self.rivals} of the other {count - 1} settings cannot be told "
            "from the best"
            if self.rivals
            else "The best stands out: it is better than every other setting"
        )
        if self.smallest_difference is not None:
            said += (
                f". A difference of {self.smallest_difference:.2g} would have shown in four of "
                "five such sweeps"
            )
        return f"{said} ({pairs} pairs compared, {LEVEL:.1%} error in all)."


def conclude(
    table: "pd.DataFrame", metric: str | None = None, direction: str | None = None
) -> Comparison | None:
    """Compare the settings of a sweep's table by a metric; None if none of its numbers will do.

    Parameters
    ----------
    table
        As ``make_table`` returns it.
    metric, direction
        As of ``choose_objective``.
    """
    if not (table["status"] == SUCCEEDED).any():
        return None
    objective = choose_objective(table.attrs["metrics"], metric, direction)
    if objective is None or objective.metric not in table or table[objective.metric].isna().all():
        return None
    return compare(table, [n for n in table.attrs["parameters"] if n != "seed"], objective)


def compare(table: "pd.DataFrame", parameters: Sequence[str], objective: Objective) -> Comparison:
    """Compare the settings of a sweep.

    Parameters
    ----------
    table
        A row a run, with the parameters, ``seed`` (where there is one) and the metric; rows without
        the metric do not count.
    parameters
        Those that make a setting, without the seed.
    objective
        Its metric is a column of numbers.
    """
    import pandas as pd

    metric, sign = objective.metric, 1 if objective.smaller else -1
    keys = (
        table[list(parameters)].map(str).agg("|".join, axis=1) if parameters else [""] * len(table)
    )
    rows, values = [], []
    for _, runs in table[table[metric].notna()].groupby(np.asarray(keys)[table[metric].notna()]):
        seeds = runs["seed"] if "seed" in runs else pd.Series(range(len(runs)), runs.index)
        values.append(pd.Series(runs[metric].to_numpy(float), index=seeds.to_numpy()))
        rows.append({name: runs[name].iloc[0] for name in parameters} | interval(values[-1]))
    order = np.argsort([sign * row["mean"] for row in rows], kind="stable")
    rows, values = [rows[i] for i in order], [values[i] for i in order]
    pairs = {
        pair: _test(values[pair[0]], values[pair[1]]) for pair in combinations(range(len(rows)), 2)
    }
    adjusted = dict(zip(pairs, _holm([p for p, _ in pairs.values()]), strict=True))
    for number, row in enumerate(rows):
        p = adjusted.get((0, number))
        row["difference"] = row["mean"] - rows[0]["mean"]
        row["p"] = p
        row["verdict"] = "best" if p is None else "worse" if p < LEVEL else "not distinguishable"
    error = pairs[0, 1][1] if len(rows) > 1 else None
    return Comparison(objective, pd.DataFrame(rows), _smallest(error, values, len(pairs)))


def interval(values: "pd.Series") -> dict[str, float]:
    """Return the number of values, their mean, and the ends of its 95% interval."""
    from scipy.stats import t

    n, mean = len(values), float(values.mean())
    half = t.ppf((1 + CONFIDENCE) / 2, n - 1) * values.std() / np.sqrt(n) if n > 1 else np.nan
    return {"n": n, "mean": mean, "low": mean - half, "high": mean + half}


def _test(one: "pd.Series", other: "pd.Series") -> tuple[float, float | None]:
    """Return the p value of a difference of means, and its standard error (None if unknown)."""
    from scipy.stats import t, ttest_ind

    shared = one.index.intersection(other.index)
    if len(shared) >= 2 and one.index.is_unique and other.index.is_unique:
        differences = (one[shared] - other[shared]).to_numpy()
        n, error = len(shared), float(differences.std(ddof=1) / np.sqrt(len(shared)))
        if error <= 1e-12 * max(1.0, abs(differences.mean())):
            # All the same: a test of signs knows how seldom that happens by chance.
            return (2.0 / 2**n if abs(differences.mean()) > 0 else 1.0), error
        return float(2 * t.sf(abs(differences.mean()) / error, n - 1)), error
    if min(len(one), len(other)) < 2:
        return 1.0, None
    error = float(np.sqrt(one.var() / len(one) + other.var() / len(other)))
    p = ttest_ind(one, other, equal_var=False).pvalue
    return (1.0 if np.isnan(p) else float(p)), error


def _holm(p_values: Sequence[float]) -> list[float]:
    """Return p values that hold for all comparisons together."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for place, number in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[number]))
        adjusted[number] = largest
    return adjusted


def _smallest(error: float | None, values: Sequence["pd.Series"], pairs: int) -> float | None:
    from scipy.stats import t

    if error is None:
        return None
    freedom = min(len(values[0]), len(values[1])) - 1
    return float(error * (t.ppf(1 - LEVEL / pairs / 2, freedom) + t.ppf(POWER, freedom)))
