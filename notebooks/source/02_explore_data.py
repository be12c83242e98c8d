# %% [markdown]
# # 02 · See what is in a data set
#
# A model is trained on 3,000 images, and 98% of its answers are right. Is that good? In this lesson you will
# meet such a model. It finds hardly any of the cases that it was built for, and one look at the data would have warned
# you. You learn to take that look: at numbers, at the order, at copies and wrong labels, at maps of the
# data, at groups, and at what a score is worth.
#
# | | |
# |---|---|
# | Time | 2¾ hours: 100 minutes to read and try, 65 for the [exercises](exercises/02_exercises.ipynb); it runs in 35 seconds |
# | You will learn | describing data; baselines; sampling; copies, outliers and wrong labels; PCA and t-SNE; clustering; correlation and confounders; imbalance |
# | You need | lesson [01](01_load_data.ipynb): arrays, labels, distance, training and test set |

# %%
from typing import Optional

from helpers import plots
from helpers.classroom import check, choose, interact, reveal
from helpers.datasets import load_dataset
from helpers.runs import record

import numpy as np
import pandas as pd
from sklearn.cluster import DBSCAN, KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors

# %% tags=["parameters"]
dataset: str = "mnist"  # an image set: a name (mnist, fashion_mnist, cifar10, digits) or a path
n_samples: Optional[int] = None  # at most this many training images; None for all
n_points: int = 2000  # images in the methods that compare every image with every other
seed: int = 0  # of every random choice below

# %%
data = load_dataset(dataset, fallback="digits", seed=seed).subset(n_samples, seed)
data

# %% tags=["hide"]
is_mnist = data.name == "mnist" and n_samples is None  # what some claims below are about
names = data.class_names
x_train, y_train, x_test, y_test = data.x_train, data.y_train, data.x_test, data.y_test

# %% [markdown]
# The four arrays of this data set are called `x_train`, `y_train`, `x_test` and `y_test` below, as in lesson 01.
#
# ## 1 · What do the numbers look like?
#
# Before you compute anything, look at examples of each class.

# %%
plots.class_examples(data)

# %% [markdown]
# Now the numbers. What share of all pixels is 0, that is, background?

# %%
guess = None  # a number between 0 and 1

# %%
values = x_train.ravel()  # all pixels of all images in one row
blank = (values == 0).mean()
reveal(guess, blank, "Most of an image is paper.")

# %% [markdown]
# A few numbers describe many. The **mean** is the sum divided by the count. The standard deviation is the usual
# distance from the mean (lesson 01). A **quantile** is a value that a given share of all values does not exceed: the
# quantile of 0.5 is the median.

# %%
summary = {"mean": values.mean(), "standard deviation": values.std(dtype="float64")}
summary |= {f"quantile {q}": np.quantile(values, q) for q in (0.25, 0.5, 0.75, 0.95)}
pd.Series(summary).round(1).to_frame("pixels")

# %% [markdown]
# A **histogram** counts how often values occur. It shows what such numbers hide. We count every value from 0 to
# 255 on its own.

# %%
counts = np.bincount(values, minlength=int(values.max()) + 1)
figure, axes = plots.subplots(alt="How often each pixel value occurs, on a logarithmic axis.")
axes.bar(np.arange(len(counts)), counts, width=1)
axes.set(yscale="log", xlabel="pixel value", ylabel="pixels (logarithmic axis)")
figure

# %% [markdown]
# On a **logarithmic axis** each mark is ten times the mark before. Without it you would see one bar at 0 and hardly
# anything else.
#
# In MNIST there are peaks at both ends, paper and ink, and small ones at 64, 128 and 191. The writers did not
# make these. Probably they come from the way in which the images were made into files. A peak that you cannot explain
# is a good question to the person who made the data.

# %% tags=["hide"]
peaks = [
    v for v in (64, 128, 191) if v < len(counts) - 1 and counts[v] > counts[v - 1 : v + 2 : 2].max()
]
check(len(peaks) == 3, "64, 128 and 191 are more frequent than their neighbours", required=is_mnist)

# %% [markdown]
# Colour images have a histogram for each channel. One photo can be described by three means:

# %%
from sklearn.datasets import load_sample_image

photos = {name: load_sample_image(f"{name}.jpg") for name in ("china", "flower")}
means = {name: photo.reshape(-1, 3).mean(axis=0) for name, photo in photos.items()}
pd.DataFrame(means, index=["red", "green", "blue"]).round(0)

# %% [markdown]
# *Remember: a histogram first, numbers second.*
#
# ## 2 · How good is guessing?
#
# How many images are there of each class?

# %%
class_counts = np.bincount(y_train, minlength=len(names))
figure, axes = plots.subplots(alt="Training images of each class, as bars.")
axes.bar(names, class_counts)
axes.set(xlabel="class", ylabel="training images")
figure

# %% [markdown]
# **Accuracy** is the share of right answers. A **baseline** is a simple rival that any model has to beat. The
# simplest one never looks at an image: it always answers the class that is most frequent in training.

# %%
most_frequent = class_counts.argmax()
majority = (y_test == most_frequent).mean()
print(f"always “{names[most_frequent]}”: {majority:.1%} of the test images are right")

# %% [markdown]
# A second baseline looks at the images. The mean image of a class is the mean of each pixel over all its images.

# %%
class_means = np.stack([x_train[y_train == c].mean(axis=0) for c in range(len(names))])
plots.image_grid(class_means.astype("uint8"), names, title="The mean image of each class")

# %% [markdown]
# An image of 28×28 pixels is a list of 784 numbers: a point in a space with 784 dimensions. Nobody can picture
# that, but the distance of two points is computed as in two dimensions: subtract, square, add up, take the root.
#
# $$d(a, b) = \sqrt{(a_1 - b_1)^2 + (a_2 - b_2)^2 + \dots + (a_{784} - b_{784})^2}$$
#
# The second baseline gives each test image the class of the nearest mean image. Ten images are the whole model.
# What will its accuracy be?

# %%
guess = None  # a number between 0 and 1

# %%
points = x_test.reshape(len(x_test), -1).astype("float32")
squared = [((points - mean.ravel()) ** 2).sum(axis=1) for mean in class_means]
nearest_mean = (np.argmin(squared, axis=0) == y_test).mean()
reveal(guess, nearest_mean, "The root can be left out: the nearest stays the nearest.")

# %% [markdown]
# Mind the dtype when you compute with images. A byte minus a byte is a byte, so 3 − 5 is not −2:

# %%
print(np.uint8([3]) - np.uint8([5]), "= 256 − 2")

# %% [markdown]
# (Here the means are decimal numbers, so all is well.) Read every accuracy against baselines like these two.
#
# *Remember: state the baseline beside every score.*
#
# ## 3 · What if one class is rare?
#
# Now the model of the beginning. It has to tell whether an image belongs to one class, here the eights, and
# among its 3,000 training images only 60 do. Data with such unequal classes are **imbalanced**. Most interesting
# questions are of this kind: a rare illness, a faulty part, a fraud.

# %% tags=["hide"]
rare_class = min(8, len(names) - 1)


def rare_set(part, n_rare, n_other):
    """Return rows from 0 to 1 and labels: 1 for the rare class, 0 for the others."""
    rare = y_train[part] == rare_class
    chosen = np.concatenate([part[rare][:n_rare], part[~rare][:n_other]])
    rows = x_train[chosen].reshape(len(chosen), -1) / np.float32(x_train.max())
    return rows, (y_train[chosen] == rare_class) * 1


halves = np.array_split(np.random.default_rng(seed).permutation(len(y_train)), 2)
x_rare, is_rare = rare_set(halves[0], 60, 2940)
x_new, is_rare_new = rare_set(halves[1], 100, 4900)

# %%
print(f"for training: {is_rare.sum()} of {len(is_rare)} belong to the rare class")
model = LogisticRegression(C=0.01, max_iter=200).fit(x_rare, is_rare)
answers = model.predict(x_new)
print(f"accuracy {np.mean(answers == is_rare_new):.1%} on {len(answers)} other images")

# %% [markdown]
# (**Logistic regression** adds up the pixels, each multiplied by a learned number, its *weight*, and turns the sum into a probability; lesson 03 builds one. `C=0.01` keeps the weights small; lesson 04 explains why one does that. The other images are a validation set, because we are going to make choices.) Which share of the
# rare images did it find?

# %%
guess = None  # a share, from 0 to 1

# %%
found = (answers[is_rare_new == 1] == 1).mean()
reveal(guess, found, "Its accuracy is about that of a model that always says no.")

# %% [markdown]
# A **confusion matrix** shows what accuracy hides: a row for each true class, a column for each answer.

# %%
matrix = pd.crosstab(is_rare_new, answers, rownames=["truth"], colnames=["answer"])
matrix.reindex(columns=[0, 1], fill_value=0)

# %% [markdown]
# Two better numbers. **Recall**: of all that belong to the class, which share was found? **Precision**: of all
# that the model called so, which share really belongs to it?
#
# $$\text{recall} = \frac{\text{found}}{\text{all that belong}} \qquad
# \text{precision} = \frac{\text{found}}{\text{all that were called so}}$$
#
# The **F1 score** is high only if both are: $F_1 = 2 \cdot \frac{\text{precision} \cdot
# \text{recall}}{\text{precision} + \text{recall}}$.
#
# The model does not just say yes or no. It computes a probability, and says yes above a **threshold** of 0.5.
# That threshold is your decision, not the model's. Move it:

# %%
probability = model.predict_proba(x_new)[:, 1]


def rates(threshold):
    called = probability >= threshold
    hits = (called & (is_rare_new == 1)).sum()
    return hits / is_rare_new.sum(), hits / called.sum() if called.any() else np.nan


# %% tags=["nbval-ignore-output"]
@interact(threshold=(0.01, 0.5, 0.01))
def show_rates(threshold=0.1):
    recall, precision = rates(threshold)
    print(f"recall {recall:.2f}, precision {precision:.2f}")


# %% tags=["nbval-ignore-output"]
thresholds = np.linspace(0.01, 0.5, 50)
recall, precision = np.transpose([rates(t) for t in thresholds])
figure, axes = plots.subplots(alt="Recall falls as the threshold rises, precision mostly rises.")
axes.plot(thresholds, recall, label="recall")
axes.plot(thresholds, precision, "--", label="precision")
axes.set(xlabel="threshold", ylabel="share")
axes.legend()
figure

# %% [markdown]
# The lower the threshold, the more is found, and the more false alarms there are. Which point is right depends on what
# a missed case and a false alarm cost. The model had learned something after all; the threshold of 0.5 was wrong for it. Two things keep its
# probabilities low: the class is rare, and `C=0.01` keeps the weights small (with a larger C the recall at 0.5 is higher).
#
# Another remedy is a **class weight**: errors on the rare class count more in training, here 49 times as much.

# %%
weighted = LogisticRegression(C=0.01, max_iter=200, class_weight="balanced").fit(x_rare, is_rare)
answers_weighted = weighted.predict(x_new)
found_weighted = (answers_weighted[is_rare_new == 1] == 1).mean()
right_alarms = (is_rare_new[answers_weighted == 1] == 1).mean()
print(f"recall {found_weighted:.2f}, precision {right_alarms:.2f}")
print(f"accuracy {np.mean(answers_weighted == is_rare_new):.1%}")
check(found < 0.2 and found_weighted > 0.6, "the weight makes the model look for the rare class")

# %% [markdown]
# Now most of the rare images are found, and most alarms are false. Whether that is better than before depends on the
# costs; the accuracy, which got worse, does not tell. If you can get more examples of the rare class, get them first.
#
# *Remember: with unequal classes report recall and precision, not accuracy.*
#
# ## 4 · Does the order matter?
#
# Suppose that you need 100 images that stand for all. You could take the first 100, or every 600th, or draw
# lots. All three are equally good if the images come in no order. Is that so? Compare each label with the one that
# comes 20 places later. Without an order, about 10% of the pairs would agree.

# %%
guess = None  # a share, from 0 to 1

# %%
lags = np.arange(1, 61)
agreement = [(y_train[lag:] == y_train[:-lag]).mean() for lag in lags]
reveal(guess, agreement[19], "20 places apart, labels agree more often than chance allows.")

# %%
figure, axes = plots.subplots(alt="Share of equal labels against their distance in the data set.")
axes.plot(lags, agreement, marker=".")
shares = class_counts / class_counts.sum()
axes.axhline((shares**2).sum(), ls="--", color="0.5")  # both of one class, by chance
axes.set(xlabel="distance in places", ylabel="share of equal labels", title="dashed: chance")
figure

# %% tags=["hide"]
check(agreement[19] > 0.12, "labels 20 places apart agree in more than 12%", required=is_mnist)

# %% [markdown]
# The images of MNIST come in an order. There is a peak at 20, and in the zigzag even distances mostly agree less often
# than odd ones. So the labels of images two places apart are equal less often than those of neighbours. It looks as if two sources took turns. Look at the ink, the mean pixel of an image, at even and at odd places:

# %%
ink = x_train.reshape(len(x_train), -1).mean(axis=1)
print(f"even places {ink[::2].mean():.1f}, odd places {ink[1::2].mean():.1f}")

# %% [markdown]
# The two differ. What does that do to a sample?
#
# We estimate the mean ink of the whole training set from 100 images, in four ways, and look how far off the estimates
# usually are.
#
# - A **random sample** draws each image by lot, whatever its place and its class.
# - A **systematic sample** takes every k-th image.
# - A *block* takes images that follow each other.
# - A **stratified sample** takes from each class its share, at random within the class. (Below, ten images of each
#   class; the means of the classes are then added, each multiplied by the share of its class.)

# %%
size, rng = 100, np.random.default_rng(seed)
step = len(ink) // size
members = [np.flatnonzero(y_train == c) for c in range(len(names))]


def stratified_mean():
    return sum(
        share * ink[rng.choice(own, size // len(names))].mean()
        for share, own in zip(shares, members)
    )


# %%
estimates = {
    "random": [ink[rng.choice(len(ink), size, replace=False)].mean() for _ in range(500)],
    "stratified": [stratified_mean() for _ in range(500)],
    "systematic": [ink[start::step][:size].mean() for start in range(step)],
    "block": [ink[start : start + size].mean() for start in range(0, len(ink) - size + 1, size)],
}
error = {name: np.sqrt(np.mean((np.array(e) - ink.mean()) ** 2)) for name, e in estimates.items()}
pd.Series(error).round(2).to_frame("usual error of the mean")

# %% [markdown]
# The usual error of an estimate is called its **standard error**. For a random sample of $n$ it is $\sigma /
# \sqrt{n}$: four times as many images halve it.

# %%
print(f"by the formula: {ink.std() / np.sqrt(size):.2f}")

# %% tags=["hide"]
better = error["stratified"] < error["random"]
check(better, "stratified samples are better than random ones", required=is_mnist)
worse = min(error["systematic"], error["block"]) > 1.5 * error["random"]
check(worse, "systematic samples and blocks are much worse", required=is_mnist)

# %% [markdown]
# Stratified samples are the best here because classes differ in ink, as the next cell shows. The systematic sample is
# bad because 600 is an even number: it sees even places only, or odd places only. Every 599th image has no such error:

# %%
by_class = [ink[own].mean() for own in members]
print("mean ink by class:", " ".join(f"{name} {m:.0f}" for name, m in zip(names, by_class)))
odd_step = [ink[start :: step - 1][:size].mean() for start in range(step - 1)]
print(f"every {step - 1}th: {np.sqrt(np.mean((np.array(odd_step) - ink.mean()) ** 2)):.2f}")

# %% [markdown]
# A calendar shows the same in pure form: every 14th day is always the same day of the week.

# %%
weekdays = np.arange(7000) % 7
print("days of the week in every 14th day:", np.unique(weekdays[::14]))

# %% [markdown]
# Finally, does the *test* set look like the training set? If it does not, that is called a **distribution
# shift**. Compare the ink of both, and of the two halves of the test set.

# %%
ink_test = x_test.reshape(len(x_test), -1).mean(axis=1)
half = len(ink_test) // 2
parts = {"training": ink, "test": ink_test}
parts |= {"test, first half": ink_test[:half], "test, second half": ink_test[half:]}
pd.DataFrame(
    {k: [p.mean(), p.std() / np.sqrt(len(p))] for k, p in parts.items()},
    ["mean ink", "standard error"],
).T.round(2)

# %% [markdown]
# In MNIST the whole test set differs little from the training set, by 0.5, and its halves differ from each other by far
# more than their standard errors. (These are computed as for random samples; those of blocks are larger.) Its authors tell why: the halves come from different writers, one from employees of the census office, the other from school students (LeCun, Cortes and Burges). Whoever tests on one half tests on one group of people.
#
# *Remember: draw samples at random, best by class. Never trust an order that you have not looked at.*
#
# ## 5 · Copies and wrong labels
#
# If a test image is also in the training set, a model can simply remember it. That is a leak (lesson 01). Equal
# images are equal rows, and a Python set finds them at once.

# %%
known = {image.tobytes() for image in x_train}
copies = sum(image.tobytes() in known for image in x_test)
print(f"{len(known):,} different training images; {copies} test images are copies of one")

# %% [markdown]
# *Nearly* equal images are harder: each test image has to be compared with each training image. We take a part of the
# test images, and look at the nearest pairs *across* the split.


# %%
def rows(images):
    return images.reshape(len(images), -1).astype("float32")


some = rng.choice(len(x_test), min(n_points // 2, len(x_test)), replace=False)
search = NearestNeighbors(n_neighbors=1).fit(rows(x_train))
distance, nearest = (found.ravel() for found in search.kneighbors(rows(x_test[some])))
closest = distance.argsort()[:8]

# %%
pairs = {"test": x_test[some[closest]], "training": x_train[nearest[closest]]}
plots.image_rows(pairs, title="The eight nearest pairs across the split")

# %% [markdown]
# In MNIST these are ones. A 1 has little ink, so two of them cannot differ much: a small distance alone does not
# prove a copy. In photos and texts from the web such pairs can be copies.
#
# ### Which labels are wrong?
#
# People make errors when they label. An image whose nearest neighbours all have *another* label is a suspect.
# Does this method find errors? We test it first: we change 50 of 5,000 labels on purpose, and look whether they
# come up among the suspects.

# %%
n_part = min(5000, len(x_train))
part = rng.choice(len(x_train), n_part, replace=False)
changed = rng.choice(n_part, n_part // 100, replace=False)
labels = y_train[part].copy()
labels[changed] = (labels[changed] + rng.integers(1, len(names), len(changed))) % len(names)

# %%
reduced = PCA(min(50, rows(x_train[:1]).size), random_state=seed).fit_transform(rows(x_train[part]))
search = NearestNeighbors(n_neighbors=11).fit(reduced)
neighbours = search.kneighbors(return_distance=False)  # of each row, without the row itself


def doubt(given):
    """Return the share of neighbours with another label, from 0 to 1."""
    return (given[neighbours] != given[:, np.newaxis]).mean(axis=1)


# %% [markdown]
# (`PCA` makes 50 numbers out of the 784; section 6 explains it.) Of the 50 changed labels, how many are among the
# 100 most doubtful images?

# %%
guess = None  # a whole number, at most 50

# %%
suspects = np.argsort(-doubt(labels), kind="stable")[: 2 * len(changed)]
n_found = np.isin(changed, suspects).sum()
reveal(guess, n_found, f"{len(changed)} labels were changed, {len(suspects)} images are suspects.")
check(n_found > 0.6 * len(changed), "most of the changed labels are among the suspects")

# %% [markdown]
# It finds most of the labels that were changed at random. Two things to keep in mind: half of the suspects were never
# changed, and real errors, such as a 4 that was called 9, may be harder to find than random ones. Now with the real
# labels:

# %%
real = np.argsort(-doubt(y_train[part]), kind="stable")[:16]
plots.image_grid(
    x_train[part[real]], [f"label {names[y]}" for y in y_train[part[real]]], columns=8,
    title="Sixteen of the most doubtful images",
)  # fmt: skip

# %% [markdown]
# Look at each of them. Is the label wrong? Is the image damaged? Or is the writing just unusual? Correct the
# first, remove the second, and keep the third: unusual but right is what a model most needs to see. An image that is far from others is an **outlier**; scikit-learn's `LocalOutlierFactor` finds those whose surroundings are emptier than their neighbours' surroundings are.
#
# *Remember: test a method on errors that you made yourself, then let a person decide.*
#
# ## 6 · Can 784 numbers become two?
#
# Neighbouring pixels are similar, so 784 numbers say less than it seems. **Principal component analysis** (PCA)
# finds directions in the space of images along which the images differ most. The first **component** is the
# direction of the greatest variance, the second the greatest among those at right angles to it, and so on. (The
# **variance** is the square of the standard deviation.) A direction in the space of images is itself an image:

# %%
sample = rng.choice(len(x_train), min(n_points, len(x_train)), replace=False)
x, y = rows(x_train[sample]), y_train[sample]
pca = PCA(min(200, *x.shape), random_state=seed).fit(x)
components = pca.components_[:8].reshape(8, *x_train.shape[1:])

# %% tags=["nbval-ignore-output"]
figure, axes = plots.subplots(
    1, 8, alt="The first eight components as images.", width=8, height=1.4
)
for number, (panel, image) in enumerate(zip(axes, components), 1):
    panel.imshow(image.reshape(*image.shape[:2], -1)[..., 0], cmap="RdBu", vmin=-0.15, vmax=0.15)
    panel.set_title(number)
    panel.set_axis_off()
figure

# %% [markdown]
# Blue adds ink, red takes it away. (The sign is arbitrary.) An image is the mean image plus so much of the first
# component, plus so much of the second, and so on. How many components does it take to keep 80% of the variance?

# %%
guess = None  # a whole number

# %%
kept = np.cumsum(pca.explained_variance_ratio_)
needed = int(np.searchsorted(kept, 0.8)) + 1
reveal(guess, needed, f"Instead of {x.shape[1]} pixels.")

# %%
figure, axes = plots.subplots(alt="Share of the variance that the first components keep.")
axes.plot(np.arange(1, len(kept) + 1), kept)
axes.axhline(0.8, ls="--", color="0.5")
axes.set(xlabel="components", ylabel="share of the variance kept", ylim=(0, 1))
figure

# %% [markdown]
# What do the images look like when only `k` numbers of each are kept? Move the control.


# %%
def rebuilt(k):
    codes = pca.transform(x[:10])
    codes[:, k:] = 0
    images = pca.inverse_transform(codes).reshape(10, *x_train.shape[1:])
    return np.clip(images, 0, 255).astype("uint8")


# %% tags=["nbval-ignore-output"]
@interact(k=(1, pca.n_components_))
def show_rebuilt(k=20):
    return plots.image_rows({"original": x_train[sample[:10]], f"{k} numbers": rebuilt(k)})


# %%
versions = {f"{k} numbers": rebuilt(k) for k in (2, 10, 50)}
plots.image_rows({"original": x_train[sample[:10]], **versions})

# %% [markdown]
# ### A map of the images
#
# With two numbers for each image we can draw a map. Here are the first two components. The computer did not see
# the labels; only the colours and markers come from them.

# %% tags=["nbval-ignore-output"]
flat = pca.transform(x)[:, :2]
plots.embedding(flat, y, names, title="PCA: two components", axis_labels=("first", "second"))

# %% [markdown]
# Many classes lie on top of each other: two directions are too few. **t-SNE** (van der Maaten and Hinton, 2008)
# gives up straight directions. It moves points on the map until those that are neighbours in the space of images
# are neighbours on the map. **Perplexity** says how many neighbours count, roughly.

# %% tags=["nbval-ignore-output"]
place = TSNE(perplexity=30, init="pca", random_state=seed).fit_transform(pca.transform(x)[:, :30])
plots.embedding(place, y, names, title="t-SNE of the same images")

# %% [markdown]
# Most classes form groups. It is tempting to read more from such a map: "these two groups are far apart, that one
# is large". Is that allowed? A test with data that we know: two groups of points in 20 dimensions, one ten times
# as wide as the other.

# %%
narrow, wide = rng.normal(0, 1, (100, 20)), rng.normal(0, 10, (100, 20)) + 60
both, group = np.concatenate([narrow, wide]).astype("float32"), np.repeat([0, 1], 100)
widths = [both[group == g].std() for g in (0, 1)]
print(f"in 20 dimensions the second group is {widths[1] / widths[0]:.0f} times as wide")

# %% tags=["nbval-ignore-output"]
figure, panels = plots.subplots(
    1, 3, alt="t-SNE of two groups, three perplexities.", width=8.5, height=2.6
)
for panel, perplexity in zip(panels, (5, 30, 60)):
    spots = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(both)
    for g, marker in ((0, "o"), (1, "^")):
        panel.scatter(*spots[group == g].T, s=8, marker=marker, label=["narrow", "wide"][g])
    panel.set(xticks=[], yticks=[], title=f"perplexity {perplexity}")
    panel.set_aspect("equal", adjustable="datalim")
panels[0].legend()
figure

# %% [markdown]
# On the maps both groups are about equally wide. (They have equally many points; the width on a t-SNE map depends on the
# number of points and on the settings, not on the width in the data.) On a t-SNE map, read who is neighbour of whom. Do
# not read sizes, and do not trust large distances.
#
# *Remember: PCA keeps distances as well as it can; t-SNE keeps neighbours only.*
#
# ## 7 · Are there groups without labels?
#
# **Clustering** looks for groups without knowing labels. What a group is depends on the method:
#
# - **k-means**: k centres; each point belongs to the nearest centre, each centre is the mean of its points.
# - **Hierarchical clustering**: merge the two nearest groups, again and again.
# - **Density-based clustering** (DBSCAN): points with many others within a given radius are joined to these; points that are joined are a group; what belongs to none is noise, with the number −1.
#
# The **adjusted Rand index** compares groups with labels: 1 is perfect agreement, 0 is what chance achieves.

# %%
codes = pca.transform(x)[:, :30]
by_means = KMeans(len(names), n_init=4, random_state=seed).fit_predict(codes)
print(f"k-means: adjusted Rand index {adjusted_rand_score(y, by_means):.2f}")

# %% tags=["nbval-ignore-output"]
table = pd.crosstab(by_means, np.array(names)[y], rownames=["group"], colnames=["class"])
table

# %% [markdown]
# Read the table row by row: some groups hold one class, others mix two that look alike; and one class can be spread over two groups, as the ones are here.
#
# Hierarchical clustering can be drawn as a tree, a **dendrogram**. The height of a fork is the distance at which
# two groups were merged. Here are the ten mean images: which classes are alike?

# %%
from scipy.cluster.hierarchy import dendrogram, linkage

figure, axes = plots.subplots(alt="A tree that merges the ten mean images, the most alike first.")
dendrogram(linkage(rows(class_means), "average"), labels=list(names), ax=axes, color_threshold=0)
axes.set(xlabel="class", ylabel="distance of the merged groups")
figure

# %% [markdown]
# No method is best everywhere. Here are two crescents. A person sees two groups.

# %%
from sklearn.datasets import make_moons

moons, crescent = make_moons(400, noise=0.05, random_state=0)
results = {
    "k-means": KMeans(2, n_init=4, random_state=0).fit_predict(moons),
    "density-based": DBSCAN(eps=0.2).fit_predict(moons),
}

# %%
figure, panels = plots.subplots(
    1, 2, alt="k-means cuts both crescents in two, DBSCAN finds them.", width=7
)
for panel, (name, found) in zip(panels, results.items()):
    for g, marker in ((0, "o"), (1, "^")):
        panel.scatter(*moons[found == g].T, s=10, marker=marker)
    panel.set(title=f"{name}: {adjusted_rand_score(crescent, found):.2f}", xticks=[], yticks=[])
figure

# %% [markdown]
# k-means wants round groups around centres. DBSCAN follows any shape, as long as there is a gap. Then try DBSCAN
# on the digits:

# %%
for eps in (1000, 1200, 1400):  # a point counts those within this radius
    groups = DBSCAN(eps=eps * x.max() / 255, min_samples=5).fit_predict(codes)
    noise, count = (groups == -1).mean(), groups.max() + 1
    print(
        f"radius {eps}: {count} groups, {noise:.0%} noise, index {adjusted_rand_score(y, groups):.2f}"
    )

# %% [markdown]
# With a small radius much is noise, with a large one everything is one group, and the index stays low. DBSCAN with one
# radius does not find the digits here. (A t-SNE map shows gaps, but it can widen them and can tear a group apart. Check
# groups that you see there in the original space.)
#
# One run is one run. With five samples, each with its own seed:

# %%
trials = []
for trial in range(5):
    drawn = np.random.default_rng(trial).choice(len(x_train), len(sample), replace=False)
    own = PCA(30, random_state=trial).fit_transform(rows(x_train[drawn]))
    groups = KMeans(len(names), n_init=4, random_state=trial).fit_predict(own)
    trials.append(adjusted_rand_score(y_train[drawn], groups))
print("k-means, five samples:", " ".join(f"{t:.2f}" for t in sorted(trials)))
check(min(trials) > 0.2, "far above chance, all five times")

# %% [markdown]
# Where there are no labels, scikit-learn's `silhouette_score` tells how much nearer a point is to its own group than to
# the next one, from −1 to 1: this is the **silhouette**.
#
# *Remember: a clustering method finds the kind of group that it looks for, whether it is there or not.*
#
# ## 8 · What goes together in a table?
#
# Iris is a table of 150 flowers of three species, with four measurements of each. Every pair of features at once, for the 120 flowers of the training part (on the diagonal, how the values of one feature are distributed):

# %%
iris = load_dataset("iris", seed=seed)
plots.pair_plot(iris)

# %% [markdown]
# **Correlation** measures how close the points of two features are to a straight line: 1 on a rising line, −1 on a
# falling one, near 0 if there is none. Take two flowers of the *same* species. Does the one with the longer sepals tend
# to have the wider ones?

# %%
guess = None  # "yes" or "no"

# %%
flowers = pd.DataFrame(np.concatenate([iris.x_train, iris.x_test]), columns=iris.feature_names)
species = np.array(iris.class_names)[np.concatenate([iris.y_train, iris.y_test])]
length, width = flowers["sepal length (cm)"], flowers["sepal width (cm)"]
print(f"all flowers: {length.corr(width):.2f}")
within = {name: length[species == name].corr(width[species == name]) for name in iris.class_names}
print({name: round(float(value), 2) for name, value in within.items()})

# %%
reveal(guess, "yes", "Over all flowers together there is no clear relation.")
check(length.corr(width) < 0 < min(within.values()), "the sign turns around within the species")

# %% [markdown]
# Within *every* species longer sepals are wider, and over all flowers nothing of it is left. The species changes both,
# and mixes up the result: it is a **confounder**. The same happens when hospitals are compared that treat more or less
# severe cases. Before you believe a correlation, ask what else could move both.
#
# All correlations of a table at a glance, for the 13 measurements of wine:

# %%
wine = load_dataset("wine", seed=seed)
plots.correlation_heatmap(pd.DataFrame(wine.x_train, columns=wine.feature_names))

# %% [markdown]
# The strongest pair is total_phenols with flavanoids. And which feature tells the growers
# apart? Boxes that do not overlap are a good sign. (A box holds the middle half of the values, the line in it is the
# median, the whiskers reach to the last value within 1.5 box lengths, circles lie beyond.)

# %%
figure, panels = plots.subplots(
    1, 3, alt="Three wine features by grower, as boxes.", width=8, height=2.8
)
for panel, feature in zip(panels, ("flavanoids", "magnesium", "proline")):
    column = wine.x_train[:, list(wine.feature_names).index(feature)]
    panel.boxplot([column[wine.y_train == g] for g in range(3)], tick_labels=range(3))
    panel.set(title=feature, xlabel="grower")
figure

# %% [markdown]
# Flavanoids separate all three growers quite well, proline one of them, magnesium none.
#
# *Remember: plot every feature against the label, and look for what else could explain it.*
#
# ## 9 · Store only what is there
#
# Most pixels are 0. A **sparse matrix** stores only the other values, each with its position. About a fifth of our
# pixels are not 0. Which share of the memory does the sparse matrix take, compared with the plain array?

# %%
guess = None  # a number; 1 is as much as before

# %%
from scipy.sparse import csr_matrix

matrix = csr_matrix(x_train.reshape(len(x_train), -1))
sparse_bytes = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
print(f"{x_train.nbytes:,} bytes as they are, {sparse_bytes:,} sparse")
reveal(guess, sparse_bytes / x_train.nbytes, "A pixel takes 1 byte, with its position 5.")

# %% [markdown]
# So nearly nothing is saved. It pays where far fewer values are not 0, as in counts of words in texts, or where each
# value takes more bytes.
#
# "Sparse" has a second meaning. Take a collection (called a *dictionary*) of many small pictures. An image can be written as the mean plus a few of them, and
# each image may choose its own few. scikit-learn's `SparseCoder` does this. PCA uses the same components for all
# images.
#
# ## Check yourself

# %% tags=["hide"]
choose(
    "A test for a rare illness (1 person in 1,000) is right in 99.9% of all cases. What do you know?",
    {
        "It is an excellent test.": "A test that always says “healthy” is right in 99.9% too.",
        "Little, without recall and precision.": "Accuracy says nothing about the few who are ill.",
        "It finds 99.9% of the ill.": "That would be its recall, which was not told.",
    },
    answer="Little, without recall and precision.",
)

# %% tags=["hide"]
choose(
    "You need 500 rows of a log file that has one row a minute. Which sample is the safest?",
    {
        "the first 500 rows": "They show one night, or one morning.",
        "every 1,440th row": "A day has 1,440 minutes: you would always see the same minute of the day.",
        "500 rows drawn at random": "Each row has the same chance, whatever the order is.",
    },
    answer="500 rows drawn at random",
)

# %% tags=["hide"]
choose(
    "On a t-SNE map one group is twice as wide as another. What follows?",
    {
        "The group is twice as varied.": "The width depends on the number of points and the settings.",
        "Nothing about its variety.": "Sizes and distances on the map depend on the method's settings.",
        "It holds twice as many points.": "It may, but then count them.",
    },
    answer="Nothing about its variety.",
)

# %% tags=["hide"]
choose(
    "You lower the threshold of a classifier. What happens?",
    {
        "Recall rises or stays, and precision usually falls.": "More samples are called class 1: more hits, and "
        "more false alarms.",
        "Precision and recall always rise together.": "That can happen over a short stretch, but "
        "mostly precision falls.",
        "The model has to be trained again.": "The probabilities stay; only the decision changes.",
    },
    answer="Recall rises or stays, and precision usually falls.",
)

# %% tags=["hide"]
choose(
    "Cities with more fire engines have more fires. What is the confounder?",
    {
        "the fire engines": "They are one of the two things that are compared.",
        "the size of the city": "Larger cities have more of both.",
        "the number of fires": "It is one of the two things that are compared.",
    },
    answer="the size of the city",
)

# %% [markdown]
# ## What to take away
#
# - Look first: examples, histogram, class balance, order, copies, doubtful labels.
# - Put a baseline beside every score, and recall and precision beside every accuracy of unequal classes.
# - Maps and groups show what their method looks for. Test a method on data that you know.
#
# Now the [exercises](exercises/02_exercises.ipynb). Next lesson: [03 · A neural network from
# scratch](03_neural_networks.ipynb).

# %% tags=["nbval-ignore-output", "hide"]
record(
    dataset=data.name,
    n_train=len(x_train),
    blank_share=blank,
    majority_accuracy=majority,
    nearest_mean_accuracy=nearest_mean,
    kmeans_adjusted_rand=float(np.median(trials)),
    label_errors_found=int(n_found),
)
