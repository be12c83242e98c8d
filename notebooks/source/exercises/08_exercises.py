# %% [markdown]
# # 08 · Exercises: parameter sweeps
#
# Three exercises, about 40 minutes. Replace each `...` by your own code, run the cell, then run the check below it.
# The lesson is [08 · Parameter sweeps](../08_parameter_sweeps.ipynb).

# %%
import itertools

from helpers.classroom import Exercises

import numpy as np

exercises = Exercises("08")

# %% [markdown]
# ## 1 ★ Count before you start
#
# *7 minutes.* `grid` is a dictionary from parameter to a list of values. Every combination runs with `seeds` seeds, a
# run takes `seconds`, and `jobs` runs go on side by side. Return the number of runs, and the minutes from the start
# of the first to the end of the last.
#
# <details><summary>Hint: where to look</summary>
#
# The first section. How many combinations do 4 rates and 3 batch sizes have?
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# Multiply the lengths of the lists. If the runs do not fill the last turn, it takes as long as a full one:
# `np.ceil(runs / jobs)` turns.
#
# </details>


# %% tags=["stub"]
def size_of_sweep(grid, seeds, seconds, jobs):
    return ...


# %% tags=["solution"]
def size_of_sweep(grid, seeds, seconds, jobs):
    runs = seeds
    for values in grid.values():
        runs *= len(values)
    return runs, np.ceil(runs / jobs) * seconds / 60


# %% tags=["wrong"]
# says: every combination
def size_of_sweep(grid, seeds, seconds, jobs):
    runs = seeds * sum(len(values) for values in grid.values())
    return runs, np.ceil(runs / jobs) * seconds / 60


# %% tags=["wrong"]
# says: seeds
def size_of_sweep(grid, seeds, seconds, jobs):
    runs = int(np.prod([len(values) for values in grid.values()]))
    return runs, np.ceil(runs / jobs) * seconds / 60


# %% tags=["wrong"]
# says: minutes
def size_of_sweep(grid, seeds, seconds, jobs):
    runs = seeds * int(np.prod([len(values) for values in grid.values()]))
    return runs, runs * seconds / 60


# %% tags=["wrong"]
# says: minutes
def size_of_sweep(grid, seeds, seconds, jobs):
    runs = seeds * int(np.prod([len(values) for values in grid.values()]))
    return runs, runs / jobs * seconds / 60


# %% tags=["wrong"]
# says: minutes
def size_of_sweep(grid, seeds, seconds, jobs):
    runs = seeds * int(np.prod([len(values) for values in grid.values()]))
    return runs, round(runs / jobs) * seconds / 60


# %% tags=["wrong"]
# says: changes what
def size_of_sweep(grid, seeds, seconds, jobs):
    grid["seed"] = range(seeds)
    runs = int(np.prod([len(values) for values in grid.values()]))
    return runs, np.ceil(runs / jobs) * seconds / 60


# %%
exercises.check(1, size_of_sweep)

# %% [markdown]
# ## 2 ★★ A paired test
#
# *15 minutes.* `differences` holds one difference for each seed. If the setting did not matter, each difference could
# as well have the other sign. Go through all choices of signs, and return the share whose mean is at least as far from
# 0 as the mean that was seen (the p-value, for both directions).
#
# <details><summary>Hint: where to look</summary>
#
# Section 2, the cell with `flips`.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# `itertools.product([1, -1], repeat=n)` gives all choices. Compare absolute values, and allow for rounding: `>= seen -
# 1e-12`.
#
# </details>


# %% tags=["stub"]
def p_value(differences):
    return ...


# %% tags=["solution"]
def p_value(differences):
    signs = np.array(list(itertools.product([1, -1], repeat=len(differences))))
    means = (signs * np.asarray(differences)).mean(axis=1)
    return (np.abs(means) >= abs(np.mean(differences)) - 1e-12).mean()


# %% tags=["wrong"]
# says: both directions
def p_value(differences):
    signs = np.array(list(itertools.product([1, -1], repeat=len(differences))))
    means = (signs * np.asarray(differences)).mean(axis=1)
    return (means >= abs(np.mean(differences)) - 1e-12).mean()


# %% tags=["wrong"]
# says: at least as far
def p_value(differences):
    signs = np.array(list(itertools.product([1, -1], repeat=len(differences))))
    means = (signs * np.asarray(differences)).mean(axis=1)
    return (np.abs(means) > abs(np.mean(differences)) + 1e-12).mean()


# %% tags=["wrong"]
# says: too many
def p_value(differences):
    return (np.abs(differences) >= abs(np.mean(differences))).mean()


# %% tags=["wrong"]
# says: a negative mean
def p_value(differences):
    signs = np.array(list(itertools.product([1, -1], repeat=len(differences))))
    means = (signs * np.asarray(differences)).mean(axis=1)
    return (np.abs(means) >= np.mean(differences) - 1e-12).mean()


# %% tags=["wrong"]
# says: differences of accuracies
def p_value(differences):
    signs = np.array(list(itertools.product([1, -1], repeat=len(differences))))
    means = (signs * np.asarray(differences)).mean(axis=1)
    return (np.abs(means) >= abs(np.mean(differences)) - 1e-3).mean()


# %% tags=["wrong"]
# says: from 0 to 1
def p_value(differences):
    return len(differences)


# %%
exercises.check(2, p_value)

# %% [markdown]
# ## 3 ★★★ How many seeds?
#
# *18 minutes.* Two settings differ by `difference` in truth, and the results of each scatter with standard deviation
# `sigma` from seed to seed. How many seeds does each setting need so that the better one has the higher *mean* with
# probability `share`? Return the smallest number. The check allows for 15% more or less.
#
# <details><summary>Hint: where to look</summary>
#
# A mean over k seeds has the standard error $\sigma / \sqrt{k}$. The difference of two such means has $\sigma
# \sqrt{2 / k}$.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# By simulation: for growing k, draw many pairs of means and count. Mind the luck of the simulation: with few draws, a
# number that is too small passes by chance. By formula: `scipy.stats.norm.ppf(share)` is the number of standard errors
# that `difference` has to be.
#
# </details>


# %% tags=["stub"]
def seeds_needed(difference, sigma, share):
    return ...


# %% tags=["solution"]
from scipy.stats import norm


def seeds_needed(difference, sigma, share):
    return int(np.ceil(2 * (norm.ppf(share) * sigma / difference) ** 2))


# %% tags=["wrong"]
# says: too few
def seeds_needed(difference, sigma, share):
    from scipy.stats import norm

    return int(np.ceil((norm.ppf(share) * sigma / difference) ** 2))


# %% tags=["wrong"]
# says: a whole number
def seeds_needed(difference, sigma, share):
    from scipy.stats import norm

    return 2 * (norm.ppf(share) * sigma / difference) ** 2


# %% tags=["wrong"]
# says: too
def seeds_needed(difference, sigma, share):
    return 14


# %% tags=["wrong"]
# says: too few
def seeds_needed(difference, sigma, share):
    return int(np.ceil(sigma / difference))


# %% tags=["wrong"]
# says: too many
def seeds_needed(difference, sigma, share):
    from scipy.stats import norm

    return int(np.ceil(2 * (norm.ppf((1 + share) / 2) * sigma / difference) ** 2))


# %%
exercises.check(3, seeds_needed)

# %%
exercises.score()
