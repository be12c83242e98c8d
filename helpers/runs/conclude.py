"""What may be concluded from a sweep: settings compared over seeds, with intervals.

A setting is all parameters of a run but its seed. Settings are compared in pairs by paired
differences over the seeds that both have (Student, 1908), or by Welch's test (1947) where they
share none; Holm's procedure (1979) holds the chance of one false difference among all pairs.
(``scipy.special`` has Student's t too, and is imported in a fifth of ``scipy.stats``'s second.
A bootstrap is no help with few seeds: its intervals of five values cover about 80%, not 95%.)
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.runs.objective import TEST, Objective, choose_objective, is_known
from helpers.runs.results import SUCCEEDED, describe_setting

if TYPE_CHECKING:
    import pandas as pd

CONFIDENCE = 0.95  # of the interval of a mean
# Chance of a false difference in a sweep of equal settings. It is half of the customary 5%, because
# a sweep is often given more seeds, and looked at again.
LEVEL = 0.025
SURE_SEEDS, SURE_STEPS = 3, 10  # from which a difference that never varies is no luck
POWER = 0.8  # with which the smallest difference that can be shown is found


@dataclass(frozen=True)
class Comparison:
    """What may be concluded from a sweep.

    Attributes
    ----------
    objective : Objective
        By which the settings are compared.
    settings : list of dict
        The parameters of each setting, the best one first.
    results : DataFrame
        A row for each of them: ``n`` runs, ``mean`` with the ends ``low`` and ``high`` of its 95%
        interval (Student's t), the ``difference`` of its mean to the best, the ``p`` value of that
        after Holm's procedure, and a ``verdict``: ``"best"``, ``"worse"``, ``"not
        distinguishable"``, or none where the runs used different data.
    smallest_difference : float or None
        That these runs would have shown in four of five cases, between the two best settings.
    best : DataFrame
        The runs of the best setting.
    without_number : list of dict
        The settings of which no run that succeeded has recorded a number.
    data : list of str
        What the runs used. Results of different data are not compared.
    """

    objective: Objective
    settings: list[dict[str, Any]]
    results: "pd.DataFrame"
    smallest_difference: float | None
    best: "pd.DataFrame"
    without_number: list[dict[str, Any]] = field(default_factory=list)
    data: list[str] = field(default_factory=list)

    @property
    def rows(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Each setting with its results."""
        return list(zip(self.settings, self.results.to_dict("records"), strict=True))

    @property
    def rivals(self) -> int:
        """How many settings cannot be told from the best."""
        return int((self.results["verdict"] == "not distinguishable").sum())

    @property
    def conclusion(self) -> str:
        """What may be said, in a few sentences."""
        sentences = [self._compare_settings()]
        several = self.results[self.results["n"] > 1]
        if len(several) and np.isclose(several["low"], several["high"], rtol=1e-12, atol=0).all():
            sentences.append(
                f"No setting's {self.objective.metric} varies with the seed: is it used?"
            )
        if self.objective.metric.startswith(TEST):
            sentences.append(
                "They are chosen by the test set, which is no test of the best any more."
            )
        single = int((self.results["n"] < 2).sum())
        if 0 < single < len(self.results):
            sentences.append(f"{single} with one run only cannot be judged.")
        if self.without_number:
            named = "; ".join(describe_setting(one, list(one)) for one in self.without_number[:3])
            more = len(self.without_number) - 3
            named += f" and {more} more" if more > 0 else ""
            sentences.append(f"No run has a number as {self.objective.metric} with {named}.")
        return " ".join(sentences)

    def _compare_settings(self) -> str:
        count, pairs = len(self.settings), len(self.settings) * (len(self.settings) - 1) // 2
        if len(self.data) > 1:
            return (
                f"The runs used different data ({', '.join(self.data)}), whose results cannot be "
                "compared."
            )
        if count < 2:
            return "One setting: there is nothing to compare it with."
        if self.results["n"].iloc[0] < 2:
            return "The settings have one run only, which tells nothing about luck: use --repeat."
        verdict = (
            f"Not distinguishable: {self.rivals} of the other {count - 1} settings cannot be told "
            "from the best"
            if self.rivals
            else "The best stands out: it is better than every other setting"
        )
        if self.smallest_difference is not None:
            verdict += (
                f". A difference of {self.smallest_difference:.2g} would have shown in four of "
                "five such sweeps"
            )
        return f"{verdict} ({pairs} pairs compared, {LEVEL:.1%} error in all)."


def conclude(
    table: "pd.DataFrame", metric: str | None = None, direction: str | None = None
) -> Comparison | None:
    """Compare the settings of a sweep's table by a metric; None if none of its numbers will do.

    Parameters
    ----------
    table
        As ``make_table`` returns it.
    metric, direction
        See ``choose_objective``.
    """
    if not (table["status"] == SUCCEEDED).any():
        return None
    numbers = table.attrs["metrics"]
    if metric is not None and metric not in numbers:
        if f"metric_{metric}" in numbers:  # the table's name for it
            metric = f"metric_{metric}"
        elif metric in table.attrs["recorded"]:  # it was NaN, or no number, in every run
            return None
    objective = choose_objective(numbers, metric, direction)
    good = table[table["status"] == SUCCEEDED]
    if objective is None or objective.metric not in good or good[objective.metric].isna().all():
        return None
    # A search may have drawn the same setting twice; two sweeps may have the same run.
    once = table.drop_duplicates([name for name in ("sweep", "key") if name in table])
    valid = once["status"] == SUCCEEDED
    once = once.assign(**{objective.metric: once[objective.metric].where(valid)})
    setting = [name for name in table.attrs["parameters"] if name != "seed"]
    return compare(once, setting, objective, table.attrs["data"])


def explain_none(table: "pd.DataFrame") -> str:
    """Return why ``conclude`` finds nothing to conclude."""
    if not (table["status"] == SUCCEEDED).any():
        return "No run has succeeded."
    if not table.attrs["recorded"]:
        return "The runs have recorded nothing: record(val_accuracy=…), for example."
    if not (numbers := table.attrs["metrics"]):
        return f"No run has recorded a number as {', '.join(table.attrs['recorded'])}."
    if not any(map(is_known, numbers)):
        return (
            f"Whether {numbers[0]} is to be large or small is not known: say --maximize or "
            f"--minimize {numbers[0]}."
        )
    return "No run that succeeded has recorded a number to compare by."


def compare(
    table: "pd.DataFrame", parameters: Sequence[str], objective: Objective, data: Sequence[str] = ()
) -> Comparison:
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
    data
        What the runs used; of different data, settings have no p value and no verdict.
    """
    import pandas as pd

    names = [table[name].map(str) for name in parameters] or [[""] * len(table)]
    every = [runs for _, runs in table.groupby(names, sort=False)]
    groups = [runs[runs[objective.metric].notna()] for runs in every]
    groups = [runs for runs in groups if len(runs)]
    sign = 1 if objective.smaller else -1
    most = max(map(len, groups))  # one run, where others have several, is never the best
    groups.sort(key=lambda runs: (len(runs) < min(2, most), sign * runs[objective.metric].mean()))
    by_seed = {
        place: runs.set_index("seed" if "seed" in runs else runs.index)[objective.metric]
        .groupby(level=0)
        .mean()
        for place, runs in enumerate(groups)
    }
    values = pd.DataFrame(by_seed).T.to_numpy(float)
    p, error, freedom = _compare_pairs(values)
    adjusted = _holm(p)[: len(groups) - 1]  # the first pairs are those with the best
    chances = [None, *adjusted]
    verdicts = ["best", *np.where(adjusted < LEVEL, "worse", "not distinguishable")]
    smallest = _smallest(error, freedom, len(p))
    if len(data) > 1:
        chances, verdicts, smallest = [None] * len(groups), [""] * len(groups), None
    best = groups[0][objective.metric].mean()
    rows = [
        {**interval(results), "difference": results.mean() - best, "p": chance, "verdict": verdict}
        for results, chance, verdict in zip(by_seed.values(), chances, verdicts, strict=True)
    ]
    empty = [runs for runs in every if runs[objective.metric].isna().all()]
    settings, without_number = (
        [{name: runs[name].iloc[0] for name in parameters} for runs in chosen]
        for chosen in (groups, empty)
    )
    return Comparison(
        objective, settings, pd.DataFrame(rows), smallest, groups[0], without_number, list(data)
    )


def interval(values: "pd.Series") -> dict[str, float]:
    """Return the number of values, their mean, and the ends of its 95% interval."""
    from scipy.special import stdtrit

    n, mean = len(values), float(values.mean())
    half = stdtrit(n - 1, (1 + CONFIDENCE) / 2) * values.std() / np.sqrt(n) if n > 1 else np.nan
    return {"n": n, "mean": mean, "low": mean - half, "high": mean + half}


def _compare_pairs(values: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Test the difference of each pair of settings.

    Parameters
    ----------
    values
        A row a setting, a column a seed, NaN where there is no run.

    Returns
    -------
    p : ndarray
        Of the pairs (0, 1), (0, 2), …, (1, 2), ….
    error, freedom : float
        The standard error of the difference of the first pair, and its degrees of freedom; NaN if
        they are not known.
    """
    from scipy.special import stdtr

    chances, first = [np.empty(0)], (np.nan, np.nan)
    # Accuracies of few images move in coarse steps, and differ by the same one in some seeds by
    # luck. A difference of many steps does not; nor do results differ by luck of which none, in the
    # whole sweep, depends on the seed.
    steps = np.diff(np.unique(values[~np.isnan(values)]))
    step = steps[steps > 1e-12 * np.nanmax(np.abs(values))].min(initial=np.inf)
    constant = (np.nanmax(values, axis=1) == np.nanmin(values, axis=1)).all()
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of settings with one run
        n, mean = (~np.isnan(values)).sum(axis=1), np.nanmean(values, axis=1)
        share = np.nanvar(values, axis=1, ddof=1) / n
        for i in range(len(values) - 1):  # the pairs of one setting at once
            has = ~np.isnan(values[i])  # where no seed is shared, a column is one run's
            differences = values[i, has] - values[i + 1 :, has]
            shared = (~np.isnan(differences)).sum(axis=1)
            paired = shared >= 2
            both = share[i] + share[i + 1 :]
            freedom = both**2 / (
                share[i] ** 2 / (n[i] - 1) + share[i + 1 :] ** 2 / (n[i + 1 :] - 1)
            )
            far = np.where(paired, np.nanmean(differences, axis=1), mean[i] - mean[i + 1 :])
            spread = np.nanstd(differences, axis=1, ddof=1) / np.sqrt(shared)
            error = np.where(paired, spread, np.sqrt(both))
            freedom = np.where(paired, shared - 1, freedom)
            p = 2 * stdtr(freedom, -np.abs(far) / error)
            # All differences the same: a test of signs knows how seldom that happens by chance.
            gap = mean[i] - mean[i + 1 :]
            same = error <= 1e-12 * np.maximum(np.abs(mean[i]), np.abs(mean[i + 1 :]))
            error = np.where(same, 0, error)  # but for rounding
            certain = constant | (np.abs(far) >= (1 - 1e-9) * SURE_STEPS * step)
            certain &= (np.minimum(n[i], n[i + 1 :]) >= SURE_SEEDS) & (far != 0)
            chance = np.where(certain, 0.0, np.where(paired & (far != 0), 2.0 ** (1 - shared), 1.0))
            p = np.where(same, chance, p)
            p = np.where(far * gap < 0, 1.0, p)  # the shared seeds contradict the means
            chances.append(np.where(np.isnan(p), 1.0, p))
            first = (error[0], freedom[0]) if i == 0 else first
    return np.concatenate(chances), *first


def _holm(p: np.ndarray) -> np.ndarray:
    """Return p values that hold for all comparisons together."""
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    steps = np.minimum(1, np.arange(len(p), 0, -1) * p[order])
    adjusted[order] = np.maximum.accumulate(steps)
    return adjusted


def _smallest(error: float, freedom: float, pairs: int) -> float | None:
    """Return the difference of the two best settings that would have been found, with ``POWER``."""
    from scipy.special import stdtrit

    if not error > 0:
        return None
    return float(error * (stdtrit(freedom, 1 - LEVEL / pairs / 2) + stdtrit(freedom, POWER)))
