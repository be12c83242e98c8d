"""Checks of the exercises of lesson 08: parameter sweeps."""

import itertools
import math
from typing import Any

import numpy as np

from helpers.classroom.exercises import (
    Wrong,
    call,
    expect_count,
    expect_number,
    expect_parts,
    expect_share,
    one_number,
)


def exercise_1(size_of_sweep: Any) -> str:
    """Runs of a grid, and the time that they take."""
    grids = (
        ({"rate": [0.1, 1, 3], "batch": [32, 64]}, 5, 40.0, 4),
        ({"rate": [1]}, 3, 60.0, 2),
        ({"a": [1, 2, 3, 4], "b": [1, 2, 3], "c": [0, 1]}, 5, 10.0, 1),
        ({"rate": [1, 2, 3]}, 3, 30.0, 4),
    )
    for grid, seeds, seconds, jobs in grids:
        lengths = [len(values) for values in grid.values()]
        case = f"lists of {lengths} values, {seeds} seeds, {jobs} at a time"
        found = call(size_of_sweep, grid, seeds, seconds, jobs, case=case)
        found = expect_parts(found, 2, f"{case}: runs and minutes")
        runs = math.prod(lengths) * seeds
        if len(lengths) > 1 and found[0] == sum(lengths) * seeds:
            raise Wrong(f"{case}: every combination is a run; multiply the lengths")
        if found[0] == math.prod(lengths):
            raise Wrong(f"{case}: the seeds are missing")
        expect_count(found[0], runs, f"{case}: runs")
        expect_number(found[1], math.ceil(runs / jobs) * seconds / 60, f"{case}: minutes")
    return "a grid grows fast"


def exercise_2(p_value: Any) -> str:
    """The p-value of a paired permutation test."""
    rng = np.random.default_rng(0)
    cases = {
        "four seeds": [1.0, 2.0, 0.5, 1.5],
        "six seeds": rng.normal(0.4, 1, 6),
        "eight seeds": rng.normal(0.5, 1, 8),
        "a negative mean": [-1.0, -2.0, 0.5, -1.5],
        "differences of accuracies": rng.normal(0.001, 0.004, 7),
        "two seeds": [1.0, -1.0],
    }
    for case, differences in cases.items():
        differences = np.asarray(differences)
        found = call(p_value, differences, case=case)
        expect_share(found, case)
        signs = np.array(list(itertools.product([1, -1], repeat=len(differences))))
        means, seen = (signs * differences).mean(axis=1), abs(differences.mean())
        expected = (np.abs(means) >= seen - 1e-12).mean()
        if found < expected - 1e-9:
            raise Wrong(
                f"{case}: too few choices of signs are counted: those in both directions count, "
                "and those that are at least as far, the seen one too"
            )
        if found > expected + 1e-9:
            raise Wrong(f"{case}: too many are counted: of all choices of signs, the nearer do not")
    return "with four seeds it is never below 0.125, with six 0.03"


def exercise_3(seeds_needed: Any) -> str:
    """Seeds that a difference needs to show."""
    from scipy.stats import norm

    for difference, sigma, share in ((1.0, 2.0, 0.9), (0.5, 2.0, 0.9), (1.0, 1.5, 0.975)):
        case = f"difference {difference}, standard deviation {sigma}, probability {share}"
        found = call(seeds_needed, difference, sigma, share, case=case)
        exact = 2 * (norm.ppf(share) * sigma / difference) ** 2
        if one_number(found, case) % 1 != 0:
            raise Wrong(f"{case}: {found} is no number of seeds; expected a whole number")
        if found < 0.85 * exact:
            raise Wrong(f"{case}: {found} seeds are too few")
        if found > 1.15 * exact + 1:
            raise Wrong(f"{case}: {found} seeds are too many")
    return "half the difference needs four times the seeds"
