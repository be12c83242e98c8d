# %% [markdown]
# # 08 · Parameter sweeps: was it the setting, or was it luck?
#
# You change the learning rate, train again, and the accuracy rises by two points. Was that
# the learning rate? Or would the same network, begun from other random weights, have done that by itself? One
# run cannot tell. Twenty can, if somebody starts them, watches them, and lays the results side by side.
#
# | | |
# |---|---|
# | Time | 1½ hours: 50 minutes to read and try, 40 for the [exercises](exercises/08_exercises.ipynb); it runs in 40 seconds |
# | You will learn | sweeps over parameters, seeds and spread, a permutation test, why the best of many looks too good |
# | You need | lessons [03](03_neural_networks.ipynb) to [05](05_convolutional_networks.ipynb) |

# %%
import itertools
import tempfile
from pathlib import Path
from typing import Optional

from helpers import plots
from helpers.classroom import attempt, check, reveal
from helpers.datasets import load_dataset
from helpers.runs import make_runs, record, sweep

import numpy as np
import pandas as pd
from scipy.stats import t

# %% tags=["parameters"]
notebook: str = "train_classifier"  # the notebook that is run again and again
dataset: str = "mnist"  # an image set: a name (mnist, fashion_mnist, cifar10, digits) or a path
n_samples: int = 1000  # images of that set in a run
epochs: int = 3  # times through them
n_seeds: int = 4  # runs of each setting
jobs: Optional[int] = None  # runs at a time; None for what fits this machine
seed: int = 0  # of the simulations below

# %%
data = load_dataset(dataset, fallback="digits", seed=seed)
n_test = len(data.subset(n_samples, seed).x_test)
print(f"{data.name}: each run is tested on {n_test} images, so one image is {1 / n_test:.1%}")

# %% [markdown]
# Every lesson of this course, and the experiment in `experiments/`, has a cell tagged `parameters`. A **sweep** runs a notebook once for every
# combination of values that you give, each time with that cell replaced. What is swept here is an
# *experiment*, `experiments/train_classifier.ipynb`: a few cells that train one network, test it, and record
# how good it became. Before the first run starts, every name and the type of every value are checked: it is no fun when a sweep fails after an hour because of a misspelled parameter.

# %%
attempt("a misspelled name", lambda: make_runs(notebook, {"learnig_rate": [0.1, 1.0]}))
attempt("a value that does not fit", lambda: make_runs(notebook, {"epochs": [1, "two"]}))

# %% [markdown]
# ## 1 · Two learning rates, several seeds
#
# Lesson 05 trains its first network by Adadelta with a learning rate of 1.0. Is 0.5 better, worse, or the same? Each
# gets several seeds: other first weights, another order, and here also another sample of training and of test
# images. Runs with different seeds also have different test images: with 167 of them, an accuracy of two thirds has a standard error of nearly four percentage points.
#
# By how much will the accuracy of the best and the worst run of the *same* learning rate differ?

# %%
guess = None  # a difference of shares, such as 0.01

# %% tags=["nbval-ignore-output"]
temporary = tempfile.TemporaryDirectory(prefix="sweep_")  # to keep runs, name a folder of yours
folder = Path(temporary.name)
fixed = {"dataset": data.name, "n_samples": n_samples, "epochs": epochs, "optimizer": "adadelta"}
rates = {"learning_rate": [0.5, 1.0]}
table = sweep(notebook, rates, fixed, repeat=n_seeds, out=folder, jobs=jobs)
columns = [
    "learning_rate",
    "seed",
    "val_accuracy",
    "test_accuracy",
    "seconds",
    "peak_memory_mb",
    "status",
]
table[columns].round(4)

# %% [markdown]
# Each row was a notebook of its own, executed from its first cell to its last in a kernel of its own (here a *kernel* is the Python process that executes a notebook). The kernels do not import TensorFlow again each time, which takes some seconds: they are copies of one process that has done so.

# %%
check(len(table) == 2 * n_seeds, "a run for each combination and seed")
check((table["status"] == "succeeded").all(), "all of them succeeded")

# %% tags=["nbval-ignore-output"]
ranges = table.groupby("learning_rate")["test_accuracy"].agg(np.ptp)
reveal(guess, ranges.max(), "That is the larger of the two ranges.")

# %% tags=["nbval-ignore-output"]
by_rate = {
    f"rate {rate:g}": list(runs) for rate, runs in table.groupby("learning_rate")["test_accuracy"]
}
plots.spread(by_rate, label="test accuracy", title="one dot a seed")

# %% tags=["nbval-ignore-output"]
summary = table.groupby("learning_rate")["test_accuracy"].agg(["min", "median", "max", "std"])
summary.round(4)

# %% [markdown]
# In the picture, the points of one learning rate differ by nothing but luck. But the *range* is a bad yardstick: it grows with the number of
# seeds, while the mean becomes more exact. The *standard error* of a mean of $n$ results is $\sigma / \sqrt{n}$,
# with their standard deviation $\sigma$. And the **confidence interval** of 95% is the mean ± $t$ standard errors, where $t$ is 3.2 for four results and 2.0 for many (Student's distribution, which knows that $\sigma$ itself is uncertain when there are few results). If we did the whole experiment again and again, 95% of such intervals would hold the true mean.

# %% tags=["nbval-ignore-output"]
by_setting = table.groupby("learning_rate")["test_accuracy"]
half = t.ppf(0.975, n_seeds - 1) * by_setting.std() / np.sqrt(n_seeds)
pd.DataFrame({"mean": by_setting.mean(), "95% interval ±": half}).round(4)

# %% [markdown]
# Look at the curves too. The line is the mean of a learning rate's runs, and the band reaches from the smallest of them to the largest: one run that starts badly makes it wide.

# %% tags=["nbval-ignore-output"]
stored = pd.read_json(folder / "results.json", orient="records")
curves = {name: [] for name in by_rate}
for row in stored.itertuples():
    name = f"rate {row.parameters['learning_rate']:g}"
    curves[name].append(pd.DataFrame(row.curves["history"]))
plots.overlaid_curves(curves, "val_accuracy", title="mean and range of the runs")

# %% [markdown]
# ## 2 · How likely is that by luck alone?
#
# Suppose that the learning rate did not matter at all. Then the labels “0.5” and “1.0” on the results would
# be mere names, and any other way to hand them out would be as good. So hand them out in *every* possible
# way, and count how often the difference of the means is at least as large as the one that you saw. That
# share is the **p-value** of a permutation test (Fisher, 1935), and nothing had to be assumed about distributions. (It takes for granted that no run has anything to do with another one. Ours share seeds in pairs; the next test respects that.)


# %%
def permutation_test(a, b):
    """Share of all divisions of the results whose difference of means is as large as the real one."""
    results = np.concatenate([a, b])
    seen = abs(np.mean(a) - np.mean(b))
    count = total = 0
    for chosen in itertools.combinations(range(len(results)), len(a)):
        mask = np.isin(np.arange(len(results)), chosen)
        count += abs(results[mask].mean() - results[~mask].mean()) >= seen - 1e-12
        total += 1
    return count / total, total


# %% tags=["nbval-ignore-output"]
low, high = by_rate.values()
p, divisions = permutation_test(low, high)
print(f"difference of the means: {np.mean(high) - np.mean(low):+.3f}")
print(f"as large in {p:.0%} of the {divisions} ways to divide the results")

# %% [markdown]
# That comparison has thrown something away: both settings ran with the *same seeds*, so with the same first
# weights and the same images held out. Compare them seed by seed. If the setting did not matter, each
# difference could as well have the other sign.

# %% tags=["nbval-ignore-output"]
pairs = table.pivot(index="seed", columns="learning_rate", values="test_accuracy")
differences = (pairs[1.0] - pairs[0.5]).to_numpy()
flips = np.array(list(itertools.product([1, -1], repeat=len(differences))))
p_paired = (abs((flips * differences).mean(axis=1)) >= abs(differences.mean()) - 1e-12).mean()
print("differences by seed:", ", ".join(f"{d:+.3f}" for d in differences))
print(f"a mean as large in {p_paired:.1%} of the {len(flips)} ways to choose the signs")

# %% [markdown]
# A small share says: luck alone rarely does that. A large one does *not* say that the settings are equal,
# only that these runs cannot tell. (Where a difference is exactly 0, its sign does not count: fewer pairs are left. People
# often call a p-value below 5% *significant*; that is a habit, not a law.) And
# with few seeds no answer can be sharp:

# %%
smallest = {k: permutation_test(range(k), range(100, 100 + k))[0] for k in (2, 3, 4, 5)}
for k, share in smallest.items():
    print(f"{k} seeds each: even results that do not overlap at all give p = {share:.3f}")
paired = {k: 2 / 2**k for k in (3, 4, 5, 6)}  # all differences on one side, or all on the other
print("in pairs, at best:", {k: round(p, 3) for k, p in paired.items()})
check(smallest[3] > 0.05 > smallest[4], "unpaired, below four seeds nothing can reach 5%")
check(paired[5] > 0.05 > paired[6], "in pairs, it takes six seeds")

# %% [markdown]
# ## 3 · Called again, it goes on
#
# Runs that have succeeded are kept, with a record of what their results depend on: the notebook's code, its
# parameters, its data, the package. Ask for more, and only what is new is executed. Below are two of the runs
# above, and one that cannot work: `iris` has flowers' measures, no images.
#
# What does the third run do to the other two, and to this notebook?

# %%
guess = None  # "nothing", "both run again" or "the notebook stops"

# %% tags=["nbval-ignore-output"]
others = {name: value for name, value in fixed.items() if name != "dataset"} | {"seed": 0}
wanted = [{"dataset": data.name, "learning_rate": rate} for rate in (0.5, 1.0)]
mixed = sweep(
    notebook, [*wanted, {"dataset": "iris"}], others, out=folder, jobs=jobs, progress=False
)
mixed[["learning_rate", "val_accuracy", "status", "cell", "error"]].round(4)

# %%
reveal(
    guess, "nothing", "Only the third run was executed; it failed, and its row says in which cell."
)

# %%
kept = mixed.merge(table, on="key")
check(len(kept) == 2 and (kept["seconds_x"] == kept["seconds_y"]).all(), "two runs were kept")
check(list(mixed["status"]) == ["succeeded", "succeeded", "failed"], "the third one failed, alone")

# %% [markdown]
# The folder also holds `results.csv`, `results.json`, every executed notebook, and `index.html` with the
# pictures: a metric against each parameter, heat maps for pairs, every run as a line. On the command line
# the same sweep is
#
# ```
# course sweep train_classifier -g learning_rate=0.5,1.0 -p optimizer=adadelta -p n_samples=1000 --repeat 4
# ```
#
# and on a cluster of many machines the same with `--scheduler tcp://…`.
#
# ## 4 · The best of many looks too good
#
# A sweep over 50 settings has a winner, always. Let all 50 be *equally good*, each with a true accuracy of
# 80% and a standard deviation of two points between seeds, and look at the best.
#
# What accuracy will the best of 50 equal settings show, on average? And the same one, if you run it once more with a new
# seed?

# %%
guess = None  # a share, from 0 to 1: the best of 50

# %%
rng = np.random.default_rng(seed)
true, spread = 0.80, 0.02
counts = np.array([1, 2, 5, 10, 20, 50, 100])
draws = rng.normal(true, spread, size=(4000, counts.max()))
best = np.array([draws[:, :count].max(axis=1).mean() for count in counts])
truths = np.full(counts.max(), true)
winners = [draws[:, :count].argmax(axis=1) for count in counts]
again = [rng.normal(truths[winner], spread).mean() for winner in winners]  # the winner, run again
plots.curves(
    counts,
    {"the best of them": best, "the same one, run again": np.array(again)},
    xlabel="settings tried, all of them equal",
    ylabel="accuracy",
    title="The winner's curse",
)

# %%
gain = dict(zip(counts.tolist(), (best - true) / spread, strict=True))
print(f"the best of 50 equal settings looks {gain[50]:.2f} standard deviations better than it is")
reveal(guess, true + spread * gain[50], "Run again, it shows 0.80 on average.")
check(2.0 < gain[50] < 2.5, "more than two standard deviations, for nothing")

# %% [markdown]
# So never report the best accuracy *of the sweep*. Choose the setting by the sweep, then run it again with
# new seeds, and report those. For the same reason, choose on the validation set, and look at the test set once, at the end. (The sweep above shows test accuracies; it chooses nothing. `val_accuracy` is recorded beside it.)
#
# ## What goes wrong here
#
# - *One seed for each setting.* The sweep then ranks luck.
# - *The same seed for all settings, and only one.* It looks fair, and it is a single draw all the same: that
#   seed may suit one setting.
# - *A grid over everything*, which means all combinations. Six parameters with four values each are 4,096 runs. List more
#   values of each and let 60 of the combinations be drawn at random instead (`--random 60`): if only two of the six
#   matter, the 60 runs try many values of these two, a grid only four (Bergstra and Bengio, 2012).
# - *A metadata field that says “completed”.* papermill, the program that runs notebooks here, writes it into the notebook
#   file also when the kernel has died.
#   A run here counts when its own record says so, written after it truly ended.
#
# ## What to take away
#
# - A result is a mean with an interval. Ask how often luck alone makes a difference as large before you believe it.
# - A permutation test is ten lines. To reach 5% it needs four seeds for each setting, or six pairs.
# - The best of many looks too good (the *winner's curse*): choose by the sweep, report from fresh runs.
# - Draw at random when there are many parameters.
#
# Now the [exercises](exercises/08_exercises.ipynb). And then your own question: take
# `experiments/train_classifier.ipynb`, make a parameter of what you want to know, and sweep.

# %% tags=["nbval-ignore-output", "hide"]
record(
    dataset=data.name,
    runs=len(table),
    accuracy_median=float(table["test_accuracy"].median()),
    spread_within=float(summary["std"].mean()),
    p_value=p,
    p_value_paired=float(p_paired),
)
