# %% [markdown]
# # 01 · Exercises: load data
#
# Eight exercises, about 70 minutes. Replace each `...` by your own code, run the cell, then run the check below
# it. A check tries your function on inputs that you do not see, and tells what is wrong. Hints fold out. The
# lesson is [01 · Load data that you can trust](../01_load_data.ipynb).

# %%
from helpers.classroom import Exercises

import numpy as np
import pandas as pd
from PIL import Image

exercises = Exercises("01")

# %% [markdown]
# ## 1 ★ How much memory?
#
# *5 minutes.* Write a function that tells how many megabytes (millions of bytes) an array takes, from its shape
# and its dtype, without making the array. `memory((60000, 28, 28), "uint8")` is 47.04.
#
# <details><summary>Hint: where to look</summary>
#
# Section 1: how many numbers are there, and how many bytes has one of them?
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# `np.prod(shape)` is the number of numbers, `np.dtype(dtype).itemsize` the bytes of one.
#
# </details>


# %% tags=["stub"]
def memory(shape, dtype):
    return ...


# %% tags=["solution"]
def memory(shape, dtype):
    return np.prod(shape) * np.dtype(dtype).itemsize / 1e6


# %% tags=["wrong"]
# says: bytes of one number
def memory(shape, dtype):
    return np.prod(shape) / 1e6


# %% tags=["wrong"]
# says: bytes of one number
def memory(shape, dtype):
    return np.prod(shape) * 8 / 1e6


# %% tags=["wrong"]
# says: a million bytes
def memory(shape, dtype):
    return np.prod(shape) * np.dtype(dtype).itemsize / 1024**2


# %% tags=["wrong"]
# says: expected a number
def memory(shape, dtype):
    return str(np.prod(shape) * np.dtype(dtype).itemsize / 1e6) + " MB"


# %%
exercises.check(1, memory)

# %% [markdown]
# ## 2 ★ Which mirror images are lies?
#
# *5 minutes.* Look at the flipped digits. For which digits is the mirror image still a digit *of the same
# class*? Put these digits into the set. (If you cannot decide for one of them, both answers count.)
#
# <details><summary>Hint: where to look</summary>
#
# Section 7: a flip is a good augmentation only where it leaves the class as it is.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# A set of numbers is written `{3, 5}`. Which digits have a left half that mirrors their right half?
#
# </details>

# %%
from helpers import plots
from helpers.datasets import load_dataset

digits = load_dataset("digits")
one_each = np.stack([digits.x_train[digits.y_train == c][0] for c in range(10)])
plots.image_rows({"original": one_each, "flipped": one_each[:, :, ::-1]})

# %% tags=["stub"]
survivors = ...

# %% tags=["solution"]
survivors = {0, 8}

# %% tags=["wrong"]
# says: missing
survivors = set()

# %% tags=["wrong"]
# says: do not belong
survivors = set(range(10))

# %% tags=["wrong"]
# says: do not belong
survivors = {0, 3, 8}

# %% tags=["wrong"]
# says: expected a set
survivors = "08"

# %%
exercises.check(2, survivors)

# %% [markdown]
# ## 3 ★★ Channels first
#
# *6 minutes.* Another library wants colour images with the channel axis in second place. Turn an array of shape
# (images, rows, columns, channels) into one of shape (images, channels, rows, columns). The pictures must stay
# the same pictures.
#
# <details><summary>Hint: where to look</summary>
#
# `reshape` keeps the order of the numbers in memory and draws other borders between them. You need a function
# that moves an axis.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# `np.moveaxis(images, source, destination)`, or `np.transpose` with the new order of the axes.
#
# </details>


# %% tags=["stub"]
def channels_first(images):
    return ...


# %% tags=["solution"]
def channels_first(images):
    return np.moveaxis(images, -1, 1)


# %% tags=["wrong"]
# says: no longer the same pictures
def channels_first(images):
    n, rows, columns, channels = images.shape
    return images.reshape(n, channels, rows, columns)


# %% tags=["wrong"]
# says: expected shape
def channels_first(images):
    return np.swapaxes(images, 1, 3)


# %% tags=["wrong"]
# says: expected shape
def channels_first(images):
    return images


# %% tags=["wrong"]
# says: expected dtype
def channels_first(images):
    return np.moveaxis(images, -1, 1) / 255


# %%
exercises.check(3, channels_first)

# %% [markdown]
# ## 4 ★★ Standardise
#
# *10 minutes.* Standardise two tables, feature by feature, with the mean and the standard deviation of the
# *training* table. A feature that is constant in the training table must not give `nan` or `inf`: subtract its
# mean and leave it at that. Return both tables, as in `return a, b`, and leave those that you receive as they are.
#
# <details><summary>Hint: where to look</summary>
#
# Section 4 has the formula, and the trap with $\sigma = 0$.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# `mean = train.mean(axis=0)`; `std = train.std(axis=0)`; `np.where(std == 0, 1, std)` is safe to divide by.
#
# </details>


# %% tags=["stub"]
def standardise(train, test):
    return ...


# %% tags=["solution"]
def standardise(train, test):
    mean, std = train.mean(axis=0), train.std(axis=0)
    std = np.where(std == 0, 1, std)
    return (train - mean) / std, (test - mean) / std


# %% tags=["wrong"]
# says: the test table's own
def standardise(train, test):
    def alone(table):
        std = table.std(axis=0)
        return (table - table.mean(axis=0)) / np.where(std == 0, 1, std)

    return alone(train), alone(test)


# %% tags=["wrong"]
# says: constant
def standardise(train, test):
    mean, std = train.mean(axis=0), train.std(axis=0)
    with np.errstate(all="ignore"):
        return (train - mean) / std, (test - mean) / std


# %% tags=["wrong"]
# says: feature by feature
def standardise(train, test):
    mean, std = train.mean(), train.std()
    return (train - mean) / std, (test - mean) / std


# %% tags=["wrong"]
# says: feature by feature
def standardise(train, test):
    mean, std = train.mean(axis=1, keepdims=True), train.std(axis=1, keepdims=True)
    mean_of_test, std_of_test = test.mean(axis=1, keepdims=True), test.std(axis=1, keepdims=True)
    return (train - mean) / std, (test - mean_of_test) / std_of_test


# %% tags=["wrong"]
# says: both tables
def standardise(train, test):
    mean, std = train.mean(axis=0), train.std(axis=0)
    return (test - mean) / np.where(std == 0, 1, std)


# %% tags=["wrong"]
# says: changes what
def standardise(train, test):
    mean, std = train.mean(axis=0), train.std(axis=0)
    std = np.where(std == 0, 1, std)
    train -= mean
    test -= mean
    return train / std, test / std


# %%
exercises.check(4, standardise)

# %% [markdown]
# ## 5 ★★ Fill the holes
#
# *8 minutes.* Fill the missing numbers of two DataFrames with the medians of the *training* table. Return both.
# Leave the tables that you receive as they are.
#
# <details><summary>Hint: where to look</summary>
#
# Section 3. Which rows may the medians come from?
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# `train.median(numeric_only=True)` is a value for each column; `table.fillna(values)` fills column by column.
#
# </details>


# %% tags=["stub"]
def fill(train, test):
    return ...


# %% tags=["solution"]
def fill(train, test):
    medians = train.median(numeric_only=True)
    return train.fillna(medians), test.fillna(medians)


# %% tags=["wrong"]
# says: the test table's own
def fill(train, test):
    return train.fillna(train.median()), test.fillna(test.median())


# %% tags=["wrong"]
# says: of both tables together
def fill(train, test):
    medians = pd.concat([train, test]).median()
    return train.fillna(medians), test.fillna(medians)


# %% tags=["wrong"]
# says: the mean
def fill(train, test):
    return train.fillna(train.mean()), test.fillna(train.mean())


# %% tags=["wrong"]
# says: not the median
def fill(train, test):
    return train.fillna(0), test.fillna(0)


# %% tags=["wrong"]
# says: rows
def fill(train, test):
    return train.dropna(), test.dropna()


# %%
exercises.check(5, fill)

# %% [markdown]
# ## 6 ★★★ Find the leak
#
# *12 minutes.* A table has 1,000 features and 100 rows. The function below keeps the ten features that go best
# with the labels, trains a classifier on half of the rows, and tests it on the other half. On pure noise, where
# chance is 0.5, it reports about 0.75. Repair it: on noise it has to report about 0.5, and where there is
# something to find, it should still find it.
#
# <details><summary>Hint: where to look</summary>
#
# Which rows decide which features are kept? Which rows are supposed to be unseen?
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# Split first. Then `selector = SelectKBest(k=10).fit(x_train, y_train)`, and `selector.transform` for both
# parts.
#
# </details>

# %%
from sklearn.feature_selection import SelectKBest
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier


def leaking_score(x, y):
    x = SelectKBest(k=10).fit(x, y).transform(x)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.5, random_state=0)
    return KNeighborsClassifier(5).fit(x_train, y_train).score(x_test, y_test)


rng = np.random.default_rng(0)
noise, labels = rng.normal(size=(100, 1000)), np.tile([0, 1], 50)
print(f"on noise: {leaking_score(noise, labels):.2f}")


# %% tags=["stub"]
def honest_score(x, y):
    return ...


# %% tags=["solution"]
def honest_score(x, y):
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.5, random_state=0)
    selector = SelectKBest(k=10).fit(x_train, y_train)
    model = KNeighborsClassifier(5).fit(selector.transform(x_train), y_train)
    return model.score(selector.transform(x_test), y_test)


# %% tags=["wrong"]
# says: on noise
def honest_score(x, y):
    return leaking_score(x, y)


# %% tags=["wrong"]
# says: there is something to find
def honest_score(x, y):
    return 0.5


# %% tags=["wrong"]
# says: there is something to find
def honest_score(x, y):
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.5, random_state=0)
    return KNeighborsClassifier(5).fit(x_train, y_train).score(x_test, y_test)


# %% tags=["wrong"]
# says: help to choose the features
def honest_score(x, y):
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.5, random_state=0)
    selector = SelectKBest(k=10).fit(x_test, y_test)
    model = KNeighborsClassifier(5).fit(selector.transform(x_train), y_train)
    return model.score(selector.transform(x_test), y_test)


# %% tags=["wrong"]
# says: on noise
def honest_score(x, y):
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.5, random_state=0)
    selector = SelectKBest(k=10).fit(x_train, y_train)
    model = KNeighborsClassifier(1).fit(selector.transform(x), y)
    return model.score(selector.transform(x_test), y_test)


# %% tags=["wrong"]
# says: on noise
def honest_score(x, y):
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.5, random_state=0)
    selector = SelectKBest(k=10).fit(x_train, y_train)
    model = KNeighborsClassifier(1).fit(selector.transform(x_train), y_train)
    return model.score(selector.transform(x_train), y_train)


# %%
exercises.check(6, honest_score)

# %% [markdown]
# ## 7 ★★★ Split by group
#
# *10 minutes.* `groups` holds a name or number for each sample, for example the patient. Return two arrays of
# positions: those of the training samples and those of the test samples. Every sample is in exactly one of them,
# no group is in both, and about `test_size` of the *groups* (at least one) are in the test part. Another seed
# gives another split; the same seed gives the same.
#
# <details><summary>Hint: where to look</summary>
#
# Section 5. Draw groups, not samples.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# `names = np.unique(groups)`; draw some of them with `rng.choice(names, size, replace=False)`;
# `np.isin(groups, drawn)` tells which samples belong to them; `np.flatnonzero` gives their positions.
#
# </details>


# %% tags=["stub"]
def split_by_group(groups, test_size, seed):
    return ...


# %% tags=["solution"]
def split_by_group(groups, test_size, seed):
    names = np.unique(groups)
    size = max(1, round(test_size * len(names)))
    drawn = np.random.default_rng(seed).choice(names, size, replace=False)
    in_test = np.isin(groups, drawn)
    return np.flatnonzero(~in_test), np.flatnonzero(in_test)


# %% tags=["wrong"]
# says: in both parts
def split_by_group(groups, test_size, seed):
    order = np.random.default_rng(seed).permutation(len(groups))
    size = round(test_size * len(groups))
    return order[size:], order[:size]


# %% tags=["wrong"]
# says: another seed
def split_by_group(groups, test_size, seed):
    names = np.unique(groups)
    in_test = np.isin(groups, names[: max(1, round(test_size * len(names)))])
    return np.flatnonzero(~in_test), np.flatnonzero(in_test)


# %% tags=["wrong"]
# says: in exactly one
def split_by_group(groups, test_size, seed):
    names = np.random.default_rng(seed).permutation(np.unique(groups))
    size = max(1, round(test_size * len(names)))
    places = [np.flatnonzero(groups == name)[0] for name in names]
    return np.array(places[size:]), np.array(places[:size])


# %% tags=["wrong"]
# says: of the groups
def split_by_group(groups, test_size, seed):
    names = np.unique(groups)
    size = max(1, round((1 - test_size) * len(names)))
    in_test = np.isin(groups, np.random.default_rng(seed).choice(names, size, replace=False))
    return np.flatnonzero(~in_test), np.flatnonzero(in_test)


# %% tags=["wrong"]
# says: positions
def split_by_group(groups, test_size, seed):
    names = np.unique(groups)
    size = max(1, round(test_size * len(names)))
    drawn = np.random.default_rng(seed).choice(names, size, replace=False)
    return ~np.isin(groups, drawn), np.isin(groups, drawn)


# %% tags=["wrong"]
# says: the same seed
def split_by_group(groups, test_size, seed):
    names = np.unique(groups)
    size = max(1, round(test_size * len(names)))
    drawn = np.random.default_rng().choice(names, size, replace=False)
    in_test = np.isin(groups, drawn)
    return np.flatnonzero(~in_test), np.flatnonzero(in_test)


# %%
exercises.check(7, split_by_group)

# %% [markdown]
# ## 8 ★★★ A folder of photos
#
# *15 minutes.* Build a loader for photos as people really have them. The folder has one sub-folder for each
# class. Photos differ in size, some are grey, some have transparency, and a file may be broken or no image at
# all; there may be files beside the sub-folders, too. Return three things: the images as `uint8` of shape (n, size, size, 3), the labels as numbers, and the
# list of class names in alphabetical order. Leave out what Pillow cannot read. Within a class, take the files in
# alphabetical order.
#
# Then try it on photos of your own.
#
# <details><summary>Hint: where to look</summary>
#
# Section 2 reads a folder in which all is well. `Image.open(path).convert("RGB")` makes any image a colour
# image, and `.resize((size, size))` brings it to one size.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# Two loops, over the sorted sub-folders and over the sorted files in each. Put reading into `try:` and
# `except OSError: continue`; a broken image raises only when its pixels are read.
#
# </details>


# %% tags=["stub"]
def load_photos(folder, size):
    return ...


# %% tags=["solution"]
def load_photos(folder, size):
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    images, labels = [], []
    for number, name in enumerate(names):
        for path in sorted((folder / name).iterdir()):
            try:
                image = Image.open(path).convert("RGB").resize((size, size))
            except OSError:
                continue
            images.append(np.asarray(image))
            labels.append(number)
    return np.stack(images), np.array(labels), names


# %% tags=["wrong"]
# says: cannot identify image file
def load_photos(folder, size):
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    images, labels = [], []
    for number, name in enumerate(names):
        for path in sorted((folder / name).iterdir()):
            images.append(np.asarray(Image.open(path).convert("RGB").resize((size, size))))
            labels.append(number)
    return np.stack(images), np.array(labels), names


# %% tags=["wrong"]
# says: class names
def load_photos(folder, size):
    names = sorted((path.name for path in folder.iterdir() if path.is_dir()), reverse=True)
    images, labels = [], []
    for number, name in enumerate(names):
        for path in sorted((folder / name).iterdir()):
            try:
                images.append(np.asarray(Image.open(path).convert("RGB").resize((size, size))))
            except OSError:
                continue
            labels.append(number)
    return np.stack(images), np.array(labels), names


# %% tags=["wrong"]
# says: as many labels as images
def load_photos(folder, size):
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    images, labels = [], []
    for number, name in enumerate(names):
        for path in sorted((folder / name).iterdir()):
            labels.append(number)
            try:
                images.append(np.asarray(Image.open(path).convert("RGB").resize((size, size))))
            except OSError:
                continue
    return np.stack(images), np.array(labels), names


# %% tags=["wrong"]
# says: uint8
def load_photos(folder, size):
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    images, labels = [], []
    for number, name in enumerate(names):
        for path in sorted((folder / name).iterdir()):
            try:
                image = Image.open(path).convert("RGB").resize((size, size))
            except OSError:
                continue
            images.append(np.asarray(image) / 255)
            labels.append(number)
    return np.stack(images), np.array(labels), names


# %% tags=["wrong"]
# says: every image that can be read
def load_photos(folder, size):
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    images, labels = [], []
    for number, name in enumerate(names):
        for path in sorted((folder / name).glob("*.png")):
            try:
                images.append(np.asarray(Image.open(path).convert("RGB").resize((size, size))))
            except OSError:
                continue
            labels.append(number)
    return np.stack(images), np.array(labels), names


# %%
exercises.check(8, load_photos)

# %%
exercises.score()
