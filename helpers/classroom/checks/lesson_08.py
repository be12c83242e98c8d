"""Checks of the exercises of lesson 08: parameter sweeps."""

import itertools
import math
from typing import Any

import numpy as np

from helpers.classroom.exercises import Wrong, call, expect_number, expect_share, kind, one_number


def exercise_1(size_of_sweep: Any) -> str:
    """Runs of a grid, and the time that they take."""
    grids = (
        ({"rate": [0.1, 1, 3], "batch": [32, 64]}, 5, 40.0, 4),
        ({"rate": [1]}, 3, 60.0, 2),
        ({"a": [1, 2, 3, 4], "b": [1, 2, 3], "c": [0, 1]}, 5, 10.0, 1),
    )
    for grid, seeds, seconds, jobs in grids:
        lengths = [len(values) for values in grid.values()]
        case = f"lists of {lengths} values, {seeds} seeds, {jobs} at a time"
        found = call(size_of_sweep, grid, seeds, seconds, jobs, case=case)
        if np.shape(found) != (2,):
            raise Wrong(f"{case}: expected runs and minutes, received {kind(found)}")
        runs = math.prod(lengths) * seeds
        if len(lengths) > 1 and found[0] == sum(lengths) * seeds:
            raise Wrong(f"{case}: every combination is a run; multiply the lengths")
        if found[0] == math.prod(lengths):
            raise Wrong(f"{case}: the seeds are missing")
        expect_number(found[0], runs, f"{case}: runs", atol=1e-9)
        expect_number(found[1], math.ceil(runs / jobs) * seconds / 60, f"{case}: minutes")
    return "a grid grows fast"


def exercise_2(p_value: Any) -> str:
    """The p-value of a paired permutation test."""
    rng = np.random.default_rng(0)
    cases = {"four seeds": [1.0, 2.0, 0.5, 1.5], "six seeds": rng.normal(0.4, 1, 6).round(2),
             "eight seeds": rng.normal(0.5, 1, 8).round(1), "two seeds": [1.0, -1.0]}  # fmt: skip
    for case, differences in cases.items():
        differences = np.asarray(differences)
        found = call(p_value, differences, case=case)
        expect_share(found, case)
        signs = np.array(list(itertools.product([1, -1], repeat=len(differences))))
        means, seen = (signs * differences).mean(axis=1), abs(differences.mean())
        expected = (np.abs(means) >= seen - 1e-12).mean()
        if not np.isclose(found, expected):
            if np.isclose(found, (means >= seen - 1e-12).mean()):
                raise Wrong(f"{case}: count both directions: compare absolute values")
            if np.isclose(found, (np.abs(means) > seen + 1e-12).mean()):
                raise Wrong(f"{case}: count those that are at least as far, the seen one too")
            raise Wrong(f"{case}: the share is not that of all choices of signs")
    return "with four seeds it is never below 0.125, with six 0.03"


def exercise_3(seeds_needed: Any) -> str:
    """Seeds that a difference needs to show."""
    from scipy.stats import norm

    for difference, sigma, share in ((1.0, 2.0, 0.9), (0.5, 2.0, 0.9), (1.0, 1.5, 0.975)):
        case = f"difference {difference}, standard deviation {sigma}, probability {share}"
        found = call(seeds_needed, difference, sigma, share, case=case)
        exact = 2 * (norm.ppf(share) * sigma / difference) ** 2
        if not one_number(found, case) >= 0.85 * exact:
            raise Wrong(f"{case}: {found} seeds are too few")
        if found > 1.15 * exact + 1:
            raise Wrong(f"{case}: {found} seeds are too many")
    return "half the difference needs four times the seeds"
