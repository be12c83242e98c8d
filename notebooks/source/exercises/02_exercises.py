# %% [markdown]
# # 02 · Exercises: see what is in a data set
#
# Seven exercises, about 65 minutes. Replace each `...` by your own code, run the cell, then run the check below
# it. The lesson is [02 · See what is in a data set](../02_explore_data.ipynb).

# %%
from helpers.classroom import Exercises

import numpy as np
import pandas as pd

exercises = Exercises("02")

# %% [markdown]
# ## 1 ★ The majority baseline
#
# *5 minutes.* Write a function that returns the test accuracy of the program that always answers the most
# frequent class of the *training* labels.
#
# <details><summary>Hint: where to look</summary>
#
# Section 2. Which labels may the program look at, and on which is it tested?
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# `np.unique(labels, return_counts=True)` gives the classes and their counts; `argmax` finds the largest count.
#
# </details>


# %% tags=["stub"]
def majority_accuracy(y_train, y_test):
    return ...


# %% tags=["solution"]
def majority_accuracy(y_train, y_test):
    classes, counts = np.unique(y_train, return_counts=True)
    return (y_test == classes[counts.argmax()]).mean()


# %% tags=["wrong"]
# says: most frequent class of the test labels
def majority_accuracy(y_train, y_test):
    classes, counts = np.unique(y_test, return_counts=True)
    return (y_test == classes[counts.argmax()]).mean()


# %% tags=["wrong"]
# says: share of the training labels
def majority_accuracy(y_train, y_test):
    return np.unique(y_train, return_counts=True)[1].max() / len(y_train)


# %% tags=["wrong"]
# says: labels need not be 0, 1, 2
def majority_accuracy(y_train, y_test):
    return (y_test == np.unique(y_train, return_counts=True)[1].argmax()).mean()


# %% tags=["wrong"]
# says: one class of several
def majority_accuracy(y_train, y_test):
    return 1 / len(np.unique(y_train))


# %%
exercises.check(1, majority_accuracy)

# %% [markdown]
# ## 2 ★ Recall and precision
#
# *6 minutes.* `truth` and `answers` are arrays of 0 and 1. Return recall and precision of class 1, in this
# order. If nothing was called 1, the precision is 0.
#
# <details><summary>Hint: where to look</summary>
#
# Section 3. Both have the same number above the line: how many were found.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# `found = ((truth == 1) & (answers == 1)).sum()`. Divide it by the number of true ones, and by the number of
# answers that are 1.
#
# </details>


# %% tags=["stub"]
def recall_and_precision(truth, answers):
    return ...


# %% tags=["solution"]
def recall_and_precision(truth, answers):
    found = ((truth == 1) & (answers == 1)).sum()
    return found / (truth == 1).sum(), found / max((answers == 1).sum(), 1)


# %% tags=["wrong"]
# says: the other way round
def recall_and_precision(truth, answers):
    found = ((truth == 1) & (answers == 1)).sum()
    return found / max((answers == 1).sum(), 1), found / (truth == 1).sum()


# %% tags=["wrong"]
# says: accuracy
def recall_and_precision(truth, answers):
    accuracy = (truth == answers).mean()
    return accuracy, accuracy


# %% tags=["wrong"]
# says: nothing was called 1
def recall_and_precision(truth, answers):
    found = ((truth == 1) & (answers == 1)).sum()
    with np.errstate(all="ignore"):
        return found / (truth == 1).sum(), found / np.float64((answers == 1).sum())


# %% tags=["wrong"]
# says: two numbers
def recall_and_precision(truth, answers):
    return ((truth == 1) & (answers == 1)).sum() / (truth == 1).sum()


# %%
exercises.check(2, recall_and_precision)

# %% [markdown]
# ## 3 ★★ The nearest mean
#
# *10 minutes.* Write the second baseline of the lesson as a function: give each test image the label whose mean
# training image is nearest. Images are arrays of bytes of shape (n, rows, columns). Labels can be any whole
# numbers. Return the predicted labels.
#
# <details><summary>Hint: where to look</summary>
#
# Section 2, and what it says about 3 − 5.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# `classes = np.unique(y_train)`; a mean image for each; squared distances as an array of shape (n, classes);
# `classes[distances.argmin(axis=1)]`.
#
# </details>


# %% tags=["stub"]
def nearest_mean(x_train, y_train, x_test):
    return ...


# %% tags=["solution"]
def nearest_mean(x_train, y_train, x_test):
    classes = np.unique(y_train)
    means = np.stack([x_train[y_train == c].mean(axis=0) for c in classes])
    points = x_test.astype("float64")
    distances = [((points - mean) ** 2).sum(axis=(1, 2)) for mean in means]
    return classes[np.argmin(distances, axis=0)]


# %% tags=["wrong"]
# says: of the labels
def nearest_mean(x_train, y_train, x_test):
    means = np.stack([x_train[y_train == c].mean(axis=0) for c in np.unique(y_train)])
    distances = [((x_test - mean) ** 2).sum(axis=(1, 2)) for mean in means]
    return np.argmin(distances, axis=0)


# %% tags=["wrong"]
# says: bytes
def nearest_mean(x_train, y_train, x_test):
    classes = np.unique(y_train)
    means = np.stack([x_train[y_train == c].mean(axis=0) for c in classes]).astype("uint8")
    distances = [((x_test - mean) ** 2).sum(axis=(1, 2)) for mean in means]
    return classes[np.argmin(distances, axis=0)]


# %% tags=["wrong"]
# says: farthest
def nearest_mean(x_train, y_train, x_test):
    classes = np.unique(y_train)
    means = np.stack([x_train[y_train == c].mean(axis=0) for c in classes])
    distances = [((x_test - mean) ** 2).sum(axis=(1, 2)) for mean in means]
    return classes[np.argmax(distances, axis=0)]


# %% tags=["wrong"]
# says: predictions differ
def nearest_mean(x_train, y_train, x_test):
    classes = np.unique(y_train)
    ink = np.array([x_train[y_train == c].mean() for c in classes])
    return classes[np.abs(x_test.mean(axis=(1, 2))[:, np.newaxis] - ink).argmin(axis=1)]


# %%
exercises.check(3, nearest_mean)

# %% [markdown]
# ## 4 ★★ Copies across the split
#
# *8 minutes.* Return the positions of the *test* images that are exact copies of a training image, in rising
# order, as an array. If there are none, it is empty.
#
# <details><summary>Hint: where to look</summary>
#
# Section 5 counts them.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# A set of `image.tobytes()` of the training images; then go through the test images with `enumerate`.
#
# </details>


# %% tags=["stub"]
def leaked(x_train, x_test):
    return ...


# %% tags=["solution"]
def leaked(x_train, x_test):
    known = {image.tobytes() for image in x_train}
    return np.array([i for i, image in enumerate(x_test) if image.tobytes() in known], dtype=int)


# %% tags=["wrong"]
# says: positions in the training set
def leaked(x_train, x_test):
    known = {image.tobytes() for image in x_test}
    return np.array([i for i, image in enumerate(x_train) if image.tobytes() in known], dtype=int)


# %% tags=["wrong"]
# says: no copy
def leaked(x_train, x_test):
    sums = set(x_train.sum(axis=(1, 2)).tolist())
    return np.array([i for i, image in enumerate(x_test) if int(image.sum()) in sums], dtype=int)


# %% tags=["wrong"]
# says: are missing
def leaked(x_train, x_test):
    n = min(len(x_train), len(x_test))
    return np.flatnonzero((x_train[:n] == x_test[:n]).all(axis=(1, 2)))


# %% tags=["wrong"]
# says: positions, not
def leaked(x_train, x_test):
    known = {image.tobytes() for image in x_train}
    return np.array([image.tobytes() in known for image in x_test])


# %%
exercises.check(4, leaked)

# %% [markdown]
# ## 5 ★★ How pure are the groups?
#
# *10 minutes.* `groups` comes from a clustering, and −1 marks noise. For each group, the **purity** is the share
# of its most frequent class. Return a dictionary from group to purity, without the noise.
#
# <details><summary>Hint: where to look</summary>
#
# Section 7 counts classes by group with `pd.crosstab`.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# `for group in np.unique(groups[groups >= 0])`: take `labels[groups == group]`, count each class, and divide the
# largest count by the sum of all.
#
# </details>


# %% tags=["stub"]
def purity(groups, labels):
    return ...


# %% tags=["solution"]
def purity(groups, labels):
    table = pd.crosstab(groups[groups >= 0], labels[groups >= 0])
    return (table.max(axis=1) / table.sum(axis=1)).to_dict()


# %% tags=["wrong"]
# says: noise
def purity(groups, labels):
    table = pd.crosstab(groups, labels)
    return (table.max(axis=1) / table.sum(axis=1)).to_dict()


# %% tags=["wrong"]
# says: of all
def purity(groups, labels):
    table = pd.crosstab(groups[groups >= 0], labels[groups >= 0])
    return (table.max(axis=1) / len(labels)).to_dict()


# %% tags=["wrong"]
# says: the groups
def purity(groups, labels):
    table = pd.crosstab(labels[groups >= 0], groups[groups >= 0])
    return (table.max(axis=1) / table.sum(axis=1)).to_dict()


# %% tags=["wrong"]
# says: group 0
def purity(groups, labels):
    return {int(group): 1.0 for group in np.unique(groups[groups >= 0])}


# %% tags=["wrong"]
# says: expected a dictionary
def purity(groups, labels):
    return np.ones(10)


# %%
exercises.check(5, purity)

# %% [markdown]
# ## 6 ★★★ Which picture is the better one?
#
# *12 minutes.* PCA of the raw wine table says that its first component keeps nearly all of the variance. Look why:

# %%
from helpers.datasets import load_dataset

from sklearn.decomposition import PCA

wine = load_dataset("wine")
raw = PCA(2).fit(wine.x_train)
print(f"the first component keeps {raw.explained_variance_ratio_[0]:.1%} of the variance")
largest = wine.feature_names[np.abs(raw.components_[0]).argmax()]
print(f"it is nearly the feature {largest} alone: std {wine.x_train.std(axis=0).max():.0f}")

# %% [markdown]
# One feature in large units drowns the others. Write PCA yourself so that units do not matter: standardise each
# column (leave out columns that are constant), and return the share of the variance that each of the first `k`
# components keeps. The squared singular values of the standardised table are proportional to the
# variances.
#
# <details><summary>Hint: where to look</summary>
#
# Lesson 01, section 4, for standardisation; `np.linalg.svd(table, compute_uv=False)` gives the singular values,
# the largest first.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# Standardise, take the singular values `s`, then `s**2 / (s**2).sum()`, and cut it to `k`.
#
# </details>


# %% tags=["stub"]
def variance_shares(table, k):
    return ...


# %% tags=["solution"]
def variance_shares(table, k):
    table = table[:, table.std(axis=0) > 0]
    standardised = (table - table.mean(axis=0)) / table.std(axis=0)
    squared = np.linalg.svd(standardised, compute_uv=False) ** 2
    return (squared / squared.sum())[:k]


# %% tags=["wrong"]
# says: units
def variance_shares(table, k):
    squared = np.linalg.svd(table - table.mean(axis=0), compute_uv=False) ** 2
    return (squared / squared.sum())[:k]


# %% tags=["wrong"]
# says: squares
def variance_shares(table, k):
    table = table[:, table.std(axis=0) > 0]
    s = np.linalg.svd((table - table.mean(axis=0)) / table.std(axis=0), compute_uv=False)
    return (s / s.sum())[:k]


# %% tags=["wrong"]
# says: add up to 1
def variance_shares(table, k):
    table = table[:, table.std(axis=0) > 0]
    s = np.linalg.svd((table - table.mean(axis=0)) / table.std(axis=0), compute_uv=False)[:k]
    return s**2 / (s**2).sum()


# %% tags=["wrong"]
# says: constant
def variance_shares(table, k):
    with np.errstate(all="ignore"):
        standardised = (table - table.mean(axis=0)) / table.std(axis=0)
    squared = np.linalg.svd(np.nan_to_num(standardised, nan=1.0), compute_uv=False) ** 2
    return (squared / squared.sum())[:k]


# %% tags=["wrong"]
# says: subtract
def variance_shares(table, k):
    table = table[:, table.std(axis=0) > 0]
    squared = np.linalg.svd(table / table.std(axis=0), compute_uv=False) ** 2
    return (squared / squared.sum())[:k]


# %%
exercises.check(6, variance_shares)

# %% [markdown]
# ## 7 ★★★ Find the wrong labels
#
# *14 minutes.* A new data set: measurements of tumours (`breast_cancer`), in which somebody has exchanged 15 of
# the labels. Write a function that returns the positions of the `n` most doubtful labels, whatever the table is.
# The check runs it on three tables with such errors, in any units, and counts how many of them are among your suspects. Finding
# them all is hardly possible; your lists have to hold at least 70% of them.
#
# <details><summary>Hint: where to look</summary>
#
# Section 5: a label is doubtful if the nearest neighbours have another one. And lesson 01, section 4: does the
# unit matter?
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# Standardise; `NearestNeighbors(n_neighbors=11).fit(x).kneighbors(return_distance=False)` gives each row's
# neighbours without the row itself; the share of them with another label is the doubt; `np.argsort(-doubt)[:n]`.
#
# </details>

# %%
from sklearn.neighbors import NearestNeighbors

tumours = load_dataset("breast_cancer", seed=0)
x, y = tumours.x_train, tumours.y_train.copy()
exchanged = np.random.default_rng(0).choice(len(y), 15, replace=False)
y[exchanged] = 1 - y[exchanged]
print(x.shape, "two classes:", tumours.class_names)


# %% tags=["stub"]
def doubtful(x, y, n):
    return ...


# %% tags=["solution"]
def doubtful(x, y, n):
    standardised = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-12)
    search = NearestNeighbors(n_neighbors=11).fit(standardised)
    neighbours = search.kneighbors(return_distance=False)
    doubt = (y[neighbours] != y[:, np.newaxis]).mean(axis=1)
    return np.argsort(-doubt, kind="stable")[:n]


# %% tags=["wrong"]
# says: of the exchanged labels
def doubtful(x, y, n):
    return np.arange(n)


# %% tags=["wrong"]
# says: of the exchanged labels
def doubtful(x, y, n):
    neighbours = NearestNeighbors(n_neighbors=2).fit(x).kneighbors(return_distance=False)
    doubt = (y[neighbours] == y[:, np.newaxis]).mean(axis=1)
    return np.argsort(-doubt, kind="stable")[:n]


# %% tags=["wrong"]
# says: positions
def doubtful(x, y, n):
    standardised = (x - x.mean(axis=0)) / x.std(axis=0)
    neighbours = (
        NearestNeighbors(n_neighbors=11).fit(standardised).kneighbors(return_distance=False)
    )
    return (y[neighbours] != y[:, np.newaxis]).mean(axis=1)[:n]


# %% tags=["wrong"]
# says: exactly
def doubtful(x, y, n):
    return np.arange(len(y))


# %%
exercises.check(7, doubtful)

# %%
exercises.score()
