# %% [markdown]
# # 02 · See what is in a data set
#
# **A question first.** A program that never looks at an image and always answers “1” is right in more
# than one case of ten. So what is an accuracy of 90% worth? It depends on the data, and here you learn
# to look at it: in numbers, in pictures, without its labels, and reduced to what matters.
#
# | | |
# |---|---|
# | Time | three quarters of an hour to read and try; about 25 seconds to run |
# | You will learn | statistics, class balance, duplicates, outliers, sampling, PCA, t-SNE, sparse codes, clustering |
# | You need | notebook 01, or a first idea of images as arrays |

# %%
import time
from typing import Optional

from helpers import plots
from helpers import statistics as stats
from helpers.classroom import check
from helpers.datasets import load_dataset
from helpers.runs import record

import numpy as np
import pandas as pd

# %% tags=["parameters"]
dataset: str = "mnist"  # an image set: a name (mnist, fashion_mnist, cifar10, digits) or a path
n_samples: Optional[int] = None  # at most this many training images; None for all
n_points: int = 2000  # images in the methods that compare every image with every other
seed: int = 0  # of every random choice below

# %% [markdown]
# ## 1 · First look

# %%
data = load_dataset(dataset, fallback="digits", seed=seed).subset(n_samples, seed)
of_digits = data.name in {"mnist", "digits"}  # some claims below are about digits only
data

# %%
plots.class_examples(data)

# %% [markdown]
# **Predict before you run.** What share of all pixels is blank (the value 0)? Is the median pixel
# blank too?

# %%
summary = stats.describe(data.x_train)
pd.Series(summary).round(1).to_frame("all training pixels")

# %%
blank = stats.value_counts(data.x_train)[0] / data.x_train.size
print(f"{blank:.1%} of the pixels are 0")
check(summary["50%"] == 0, "the median pixel is blank", required=data.name == "mnist")

# %%
plots.pixel_distribution(data)

# %% [markdown]
# Mind the logarithmic axis: without it you would see one tall bar on the left, and a small bump on the
# right.
#
# How long does such a summary take? The values are bytes, so there are only 256
# different ones: count each, and mean, deviation and quantiles follow from the counts, without a copy.

# %% tags=["nbval-ignore-output"]
start = time.perf_counter()
stats.describe(data.x_train)
print(f"{data.x_train.size:,} pixels in {time.perf_counter() - start:.2f} s")

# %% [markdown]
# ## 2 · Are the classes balanced?

# %%
plots.class_balance(data)

# %%
counts = stats.class_counts(data)
counts["share"] = counts["share"].round(3)
counts

# %% [markdown]
# The program of our question, the **majority guesser**, always answers with the most frequent class
# of the training set. On the test set it is right in this share of cases:

# %%
most_frequent = counts["train"].argmax()
majority = (data.y_test == most_frequent).mean()
print(f"always “{data.class_names[most_frequent]}”: {majority:.1%} right")

# %% [markdown]
# Every accuracy in this course is to be read against this number. In a set of 99% healthy patients the
# majority guesser has 99% accuracy and finds nobody who is ill.
#
# ## 3 · The typical example
#
# Add up all images of a class and divide: the mean image is black where all have ink, white where none
# has, and grey where they differ.

# %%
plots.mean_images(data)

# %%
means = stats.class_means(data).reshape(data.class_count, -1)
distances = np.sqrt(((means[:, None] - means[None]) ** 2).mean(axis=2))
distances[np.diag_indices(data.class_count)] = np.inf
first, second = np.unravel_index(distances.argmin(), distances.shape)
print(f"most alike on average: {data.class_names[first]} and {data.class_names[second]}")

# %% [markdown]
# ### Exercise 1 · The simplest classifier
#
# Give each test image the class of the *nearest mean image*. No training loop, ten images as a model.
# What accuracy do you expect: nearer to the majority guesser, or to 100%? Predict, then compute it.
#
# <details><summary>Hint</summary>
#
# Flatten the test images to rows. The squared distance of every row to every mean is
# `((rows[:, None] - means) ** 2).sum(axis=2)`, but that makes a huge intermediate array. Cheaper:
# `(means ** 2).sum(axis=1) - 2 * rows @ means.T` has its smallest value at the same place.
#
# </details>

# %% tags=["exercise"]
nearest_mean_accuracy = ...

# %% tags=["solution"]
rows = data.x_test.reshape(len(data.x_test), -1).astype(np.float32)
scores = (means**2).sum(axis=1) - 2 * rows @ means.T
nearest_mean_accuracy = (scores.argmin(axis=1) == data.y_test).mean()

# %%
solved = nearest_mean_accuracy is not ...
check(solved and 0 < nearest_mean_accuracy <= 1, "exercise 1: a share of the test images")
if solved:
    print(f"nearest mean: {nearest_mean_accuracy:.1%}, majority: {majority:.1%}")

# %% [markdown]
# From here on there are two bars: the majority, and this one.
#
# ## 4 · Copies and odd ones
#
# The same image in the training and in the test set makes the test easier than life. Are there any
# exact copies?

# %%
everything = np.concatenate([data.x_train, data.x_test])
copies = stats.find_duplicates(everything)
# One member before the border between the sets, one after it: the image has leaked.
leaked = [g for g in copies if g.min() < len(data.x_train) <= g.max()]
print(f"{len(copies)} groups of equal images, {len(leaked)} of them across training and test")
planted = stats.find_duplicates(np.concatenate([everything[:100], everything[:1]]))
check(any(100 in group for group in planted), "a copy that we plant is found")

# %% [markdown]
# Near-copies are harder to find: each image has to be compared with each other one. So we take a
# sample, with every class in proportion.

# %%
chosen = stats.stratified_sample(data.y_train, min(n_points, len(data.x_train)), seed)
x, y = data.x_train[chosen], data.y_train[chosen]
pairs = stats.find_near_duplicates(x, n_pairs=8)
plots.image_rows(
    {"one": x[pairs["first"]], "its nearest": x[pairs["second"]]},
    title="The eight nearest pairs of the sample",
)

# %%
agree = (y[pairs["first"]] == y[pairs["second"]]).mean()
check(agree >= 0.75, "the nearest images mostly share their class", required=of_digits)

# %% [markdown]
# On MNIST they are all 1s: little ink leaves little room to differ. A small distance alone does not make
# a copy.
#
# And the odd ones: images in a sparser region than their neighbours (the *local outlier factor*).
# **Predict before you run:** what would make a digit an outlier?

# %% tags=["nbval-ignore-output"]
odd = stats.find_outliers(x, 20, seed=seed)
labels = [data.class_names[label] for label in y[odd["index"]]]
plots.image_grid(x[odd["index"]], labels, title="The twenty oddest images, with their labels")

# %% [markdown]
# Look at each: is the label wrong, the image damaged, or the writing merely unusual? Only the first two
# are reasons to remove it. Unusual but right is what a model most needs to see.
#
# ## 5 · Sampling: which part stands for the whole?
#
# - **Random:** each image has the same chance.
# - **Systematic:** every k-th, from a random start.
# - **Stratified:** each class in its proportion, random within.
#
# How far is the class balance of a sample from the true one? We draw 200 images, 50 times each way.

# %%
truth = np.bincount(data.y_train) / len(data.y_train)


def imbalance(positions):
    share = np.bincount(data.y_train[positions], minlength=data.class_count) / len(positions)
    return np.abs(share - truth).max() * 100


n, size = len(data.y_train), min(200, len(data.y_train) // 2)
errors = pd.DataFrame(
    {
        "random": [imbalance(stats.random_sample(n, size, s)) for s in range(50)],
        "systematic": [imbalance(stats.systematic_sample(n, size, s)) for s in range(50)],
        "stratified": [
            imbalance(stats.stratified_sample(data.y_train, size, s)) for s in range(50)
        ],
    }
)
errors.agg(["min", "median", "max"]).round(2)

# %%
usual = errors["random"].median()
check(
    errors["stratified"].max() < usual, "stratified beats the usual random draw", required=of_digits
)
check(
    errors["stratified"].max() <= 100 / size,
    "at most one image off in each class",
    required=of_digits,
)

# %% [markdown]
# The table is in percentage points of the class that is worst off, over 50 seeds. Systematic samples are
# as good as random ones here because the images come in no order. Give the data a period, and see:

# %%
weekdays = np.arange(7 * 1000) % 7
picked = weekdays[stats.systematic_sample(len(weekdays), 500, seed)]
print("days that a sample of every 14th day contains:", np.unique(picked).size)
check(np.unique(picked).size == 1, "a step that is a multiple of the period sees one weekday only")

# %% [markdown]
# ## 6 · Reduce: how many numbers does an image need?
#
# **Principal component analysis** finds the directions in which images vary most. How many of them
# does it take to keep half of the variance, and how many for four fifths?

# %%
reduction = stats.pca(x, 64, seed=seed)
kept = np.cumsum(reduction.explained)
for goal in (0.5, 0.8):
    print(
        f"{goal:.0%} of the variance: {np.searchsorted(kept, goal) + 1} components of {x[0].size}"
    )
plots.explained_variance(reduction.explained)

# %% [markdown]
# No few directions suffice, but far fewer than there are pixels. Look at the rows below: from how many
# numbers on can *you* read the images?

# %%
restored = {"original": x[:10]}
for k in (4, 16, 64):
    k = min(k, reduction.components.shape[1])
    images = stats.pca(x, k, seed=seed).restore()[:10]
    restored[f"{k} numbers"] = np.clip(images, 0, 255).astype(np.uint8)
plots.image_rows(restored, title="Images rebuilt from their principal components")

# %% [markdown]
# **t-SNE** draws a map on which neighbours stay neighbours. It never sees the labels; only the colours
# and markers come from them. (Do not read anything into the distance between two islands, or into
# their size: the method does not preserve them.)

# %% tags=["nbval-ignore-output"]
place = stats.tsne(x, seed=seed)
plots.embedding(place, y, data.class_names, title="t-SNE of the sample")

# %% tags=["nbval-ignore-output"]
plots.embedding(
    reduction.components[:, :2],
    y,
    data.class_names,
    title="The first two principal components",
    axis_labels=("first component", "second component"),
)

# %% [markdown]
# How much of the classes survives in two dimensions? Ask each image's five nearest neighbours on the
# map for their class:

# %% tags=["nbval-ignore-output"]
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

neighbours = KNeighborsClassifier(5)
maps = {"PCA, 2 numbers": reduction.components[:, :2], "t-SNE, 2 numbers": place}
maps["PCA, 16 numbers"] = reduction.components[:, :16]
agreement = {name: cross_val_score(neighbours, points, y).mean() for name, points in maps.items()}
pd.Series(agreement).round(2).to_frame("neighbours agree with the label")

# %%
gain = agreement["t-SNE, 2 numbers"] - agreement["PCA, 2 numbers"]
check(gain > 0.1, "t-SNE keeps more of the classes in two numbers", required=of_digits)

# %% [markdown]
# ### Sparse representations
#
# Most pixels are blank, so why store them? A *sparse matrix* keeps only what is not zero, with its
# position. **Predict before you run:** the position costs memory too. Is it worth it?

# %%
sparse = stats.sparse_matrix(data.x_train)
sparse_bytes = sparse.data.nbytes + sparse.indices.nbytes + sparse.indptr.nbytes
print(f"dense, uint8:    {data.x_train.nbytes:>12,} bytes")
print(f"sparse, uint8:   {sparse_bytes:>12,} bytes")
print(f"dense, float32:  {data.x_train.nbytes * 4:>12,} bytes")
print(f"sparse, float32: {sparse_bytes + sparse.nnz * 3:>12,} bytes")

# %% [markdown]
# A byte is so small that its position costs more than itself. For bytes, sparse storage pays only
# where fewer than about one value in five is not zero; for wider numbers far sooner.
#
# The other meaning of the word: write each image as the mean plus *a few* atoms of a dictionary, here
# eight out of 128, chosen anew for each image. PCA also gets eight numbers, but the same eight
# directions for all. (To be fair: the atoms also need eight positions, so look at PCA with 16, too.)

# %%
code = stats.sparse_code(x, n_atoms=128, n_nonzero=8, seed=seed)
eight = stats.pca(x, 8, seed=seed).restore()
plots.image_rows(
    {
        "original": x[:10],
        "8 of 128 atoms": np.clip(code.restored[:10], 0, 255).astype(np.uint8),
        "8 components": np.clip(eight[:10], 0, 255).astype(np.uint8),
    },
    title="Eight numbers an image, spent in two ways",
)

# %% tags=["nbval-ignore-output"]
error = {
    name: np.sqrt(np.mean((z - x) ** 2)) for name, z in (("atoms", code.restored), ("PCA", eight))
}
sixteen = stats.pca(x, 16, seed=seed).restore()
error["PCA, 16 numbers"] = np.sqrt(np.mean((sixteen - x) ** 2))
print({name: round(float(value), 1) for name, value in error.items()})
check((code.codes != 0).sum(axis=1).max() <= 8, "no image uses more than eight atoms")
check(error["atoms"] < error["PCA"], "the atoms restore more exactly", required=of_digits)

# %% [markdown]
# ## 7 · Cluster: are the classes there without labels?
#
# Three ideas of what a group is: **k-means** (near a centre), **hierarchical** (merge the nearest, again
# and again), **density-based** (crowded regions; the rest is noise). We give them 30 principal
# components, never the labels, and score the groups against the labels: 1 is perfect agreement, 0 is
# what chance achieves (*adjusted Rand index*).

# %% tags=["nbval-ignore-output"]
components = stats.pca(x, 30, seed=seed).components
scores = stats.compare_clusterings(components, y, data.class_count, seed=seed)
scores.round(2)

# %% [markdown]
# One run is one run. Five samples, drawn with five seeds, show how far such a score can be trusted:

# %% tags=["nbval-ignore-output"]
trials = []
for trial in range(5):
    part = stats.stratified_sample(data.y_train, min(n_points, len(data.y_train)), seed + trial)
    points = stats.pca(data.x_train[part], 30, seed=seed).components
    trials.append(
        stats.compare_clusterings(points, data.y_train[part], data.class_count, seed=trial)
    )
spread = pd.concat(trials).groupby("method")["adjusted_rand"].agg(["min", "median", "max"])
spread.round(2)

# %%
k_means, density = spread.loc["k-means"], spread.loc["density"]
check(k_means["min"] > 0.2, "k-means beats chance by far, all five times", required=of_digits)
check(density["max"] < k_means["min"], "density agrees less, all five times", required=of_digits)

# %% [markdown]
# In 30 dimensions the density between the groups hardly drops, so the density-based method declares most
# images noise (and its silhouette counts only those that it kept). On the t-SNE map, where the groups
# are apart, it does much better. So does k-means there: the map has done the work, not the method.

# %% tags=["nbval-ignore-output"]
islands = stats.cluster(place, "density", data.class_count)
titles = [f"island {i}" for i in range(islands.max() + 1)]
plots.embedding(place, islands, titles, title="Density-based clusters on the t-SNE map")

# %% tags=["nbval-ignore-output"]
from sklearn.metrics import adjusted_rand_score

on_map = adjusted_rand_score(y, islands)
k_means_on_map = adjusted_rand_score(
    y, stats.cluster(place, "k-means", data.class_count, seed=seed)
)
print(f"on the map: density {on_map:.2f}, k-means {k_means_on_map:.2f}")
check(on_map > density["max"], "on the map it agrees better with the labels", required=of_digits)

# %% [markdown]
# ### Exercise 2 · Which digits does k-means confuse?
#
# Cluster `components` with k-means. For each cluster find its most frequent class and the share of its
# images that have it (its *purity*). Which cluster is the least pure, and which classes does it mix?
#
# <details><summary>Hint</summary>
#
# `pd.crosstab(found, y)` counts every combination of cluster and class. Divide the largest number of
# each row by the sum of the row.
#
# </details>

# %% tags=["exercise"]
purity = ...

# %% tags=["solution", "nbval-ignore-output"]
found = stats.cluster(components, "k-means", data.class_count, seed=seed)
table = pd.crosstab(found, np.array(data.class_names)[y], rownames=["cluster"], colnames=["class"])
purity = table.max(axis=1) / table.sum(axis=1)
table.assign(purity=purity.round(2))

# %%
answered = purity is not ... and len(purity) == data.class_count
check(answered and 0 < purity.min() <= purity.max() <= 1, "exercise 2", "a share for each cluster")

# %% [markdown]
# ## 8 · Tables
#
# The same questions for a table of measurements. The flowers of Iris, every pair of features at once:

# %%
iris = load_dataset("iris", seed=seed)
plots.pair_plot(iris)

# %% [markdown]
# `setosa` stands apart in nearly every panel; the other two species touch in all of them. Which two
# features would you keep, if you could keep only two? (Where do these two touch least?)

# %%
wine = load_dataset("wine", seed=seed)
features = stats.describe_features(wine).round(2)
features.loc[["hue", "alcohol", "magnesium", "proline"]]

# %% [markdown]
# `proline` spreads more than a thousand times as wide as `hue`: without standardising, it drowns the rest
# (exercise 3). And some columns overlap; find the strongest pair on the map:

# %%
measurements = pd.DataFrame(wine.x_train, columns=wine.feature_names)
plots.correlation_heatmap(measurements, title="wine: correlation of the measurements")

# %%
plots.feature_boxes(wine)

# %% [markdown]
# Each box holds the middle half of the values, the line in it is the median, the whiskers reach to the
# last value within 1.5 box lengths, and what lies beyond is drawn as a point.

# %% [markdown]
# ### Exercise 3 · Two columns instead of thirteen
#
# Scale matters: run `stats.pca` with two components on the raw wine table and on the standardised one,
# and look at both with `plots.embedding`. How much of the variance does the first component explain in
# each case? Why is the larger number the worse picture?
#
# <details><summary>Hint</summary>
#
# `preprocessing.standardize(wine)` gives the standardised set. Which column of the raw table has by far
# the largest standard deviation? See `describe_features`.
#
# </details>

# %% tags=["exercise"]
explained_raw, explained_standardised = ..., ...

# %% tags=["solution"]
from helpers.preprocessing import standardize

raw, equal = stats.pca(wine.x_train, 2), stats.pca(standardize(wine).x_train, 2)
explained_raw, explained_standardised = raw.explained[0], equal.explained[0]
print(f"raw {explained_raw:.1%}, standardised {explained_standardised:.1%}")
plots.embedding(
    equal.components,
    wine.y_train,
    wine.class_names,
    title="wine, standardised: PCA",
    axis_labels=("first component", "second component"),
)

# %%
answered = explained_raw is not ... and explained_standardised is not ...
right = answered and explained_raw > 0.99 and 0.3 < explained_standardised < 0.45
check(right, "exercise 3", "take .explained[0] of a PCA on each of the two tables")

# %% [markdown]
# Nearly all of the raw variance is `proline`: one column in large units is no information about the rest.
#
# ## What to take away
#
# - Look first: numbers, class balance, examples, outliers. It takes seconds.
# - Know the baselines, majority and nearest mean, before you praise a network.
# - Sample by class. Report ranges over seeds, not one lucky figure.
# - Reduction and clustering show structure; whether it is *your* structure, only labels can tell.
#
# **Next:** notebook 03 builds a neural network from a single neuron and trains it on this data.

# %% tags=["nbval-ignore-output"]
record(
    dataset=data.name,
    n_train=len(data.x_train),
    blank_share=blank,
    majority_accuracy=majority,
    nearest_mean_accuracy=nearest_mean_accuracy if solved else None,
    kmeans_adjusted_rand=spread.loc["k-means", "median"],
)
