# %% [markdown]
# # 01 · Load data that you can trust
#
# Somebody trains a **model**, a program whose numbers are learned from data, tests it, and reports that more than nine of ten answers were right. But the labels
# of these data were drawn by lot: there is nothing to learn. Where do the right answers come from? In this
# lesson you produce such a score yourself, with a few lines of correct Python. Then you learn to prepare data
# in a way that makes a score mean what it says.
#
# | | |
# |---|---|
# | Time | 2½ hours: 85 minutes to read and try, 70 for the [exercises](exercises/01_exercises.ipynb); the lesson runs in 20 seconds |
# | You will learn | arrays and batches; images and tables from files; missing values; scaling; splits and leaks; one-hot labels; augmentation; a pipeline from files to batches |
# | You need | Python (functions, loops, dictionaries), and to have seen NumPy once |
#
# `helpers` in the code below is the small package of this course; lesson 04 introduces TensorFlow and Keras. Some cells
# hold `guess = None`. Replace `None` by your guess before you run the next cell. Nobody sees a wrong
# guess, and what surprises you is what you remember.

# %%
from typing import Optional

from helpers import plots
from helpers.classroom import attempt, check, choose, interact, reveal
from helpers.classroom.files import lesson_files
from helpers.datasets import load_dataset
from helpers.runs import record

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from PIL import Image
from sklearn.model_selection import train_test_split

# %% tags=["parameters"]
dataset: str = "mnist"  # an image set: a name (mnist, fashion_mnist, cifar10, digits) or a path
n_samples: Optional[int] = 5000  # at most this many training images; None for all
seed: int = 0  # of every random choice below

# %% [markdown]
# The cell above holds the lesson's settings (`name: type = value`). The **seed** is the number with which random choices begin: with the same seed they come out the same.
#
# Beside NumPy the lesson uses *pandas* (`pd`), a library for tables, and *scikit-learn* (`sklearn`), a library for data analysis and simple models. The images are from **MNIST**, 70,000 handwritten digits, if it is at hand or can be downloaded. The next cell gets images of handwritten digits,
# 5,000 for training and in proportion some for testing, and writes files to practise with into a new folder.

# %%
data = load_dataset(dataset, fallback="digits", seed=seed).subset(n_samples, seed)
files = lesson_files(data, seed=seed)
print(data)
print("files:", ", ".join(sorted(path.name for path in files.iterdir())))

# %% [markdown]
# ## 1 · What does a computer see?
#
# You see a digit. The computer gets numbers. In Python they come as a NumPy **array**: a block of numbers of
# the same kind, arranged along one or more axes. An `.npz` file holds several arrays, each under a name.

# %%
with np.load(files / "images.npz") as stored:
    print("arrays in the file:", ", ".join(stored))
    x_train, y_train = stored["x_train"], stored["y_train"]
    x_test, y_test = stored["x_test"], stored["y_test"]

# %% [markdown]
# By convention, `x` is what a model receives and `y` is what it should answer, the **label**. The possible
# labels are the **classes**. Here are the first ten images, with their labels.

# %%
plots.image_grid(x_train[:10], y_train[:10], title="Ten images and their labels")

# %% [markdown]
# How many numbers is one such image for the computer? Guess.

# %%
guess = None  # a whole number

# %%
reveal(guess, x_train[0].size, "One number for each point and each colour.")

# %% [markdown]
# A **pixel** is one point of an image. Here is a part of the first image, pixel by pixel. 0 is background and
# 255 is full ink. (The pictures of this course draw ink dark, as on paper.)

# %%
height, width = x_train.shape[1:3]
print(x_train[0, height // 4 : height // 2, width // 4 : 3 * width // 4])

# %% [markdown]
# Two attributes tell what an array is. Its **shape** is its length along each axis. Its **dtype** is the kind
# of its numbers: `uint8` is a whole number from 0 to 255 in one byte, `int64` a whole number in eight bytes,
# `float32` a decimal number in four, `float64` one in eight.

# %%
print("x_train:", x_train.shape, x_train.dtype)
print("y_train:", y_train.shape, y_train.dtype)

# %%
plots.array_axes(x_train.shape, ("image", "row", "column", "colour")[: x_train.ndim])

# %% [markdown]
# The first axis counts the images. So `x_train[0]` is one image, and `x_train[0:32]` is a **batch**: a few
# images that are processed together. A network (a kind of model, lesson 03) is trained batch by batch: it needs many
# times the memory of the images that it works on, so all of them at once are too many, and one at a time is slow.

# %%
batch = x_train[0:32]
print("one image:", x_train[0].shape, "  one batch:", batch.shape)

# %% [markdown]
# The images are stored as `uint8`. NumPy's default for decimal numbers is `float64`. How many times as much
# memory would the same images take as `float64`?

# %%
guess = None  # a number

# %%
ratio = x_train.astype("float64").nbytes / x_train.nbytes
print(f"{x_train.nbytes:,} bytes as {x_train.dtype}")
reveal(guess, ratio, "A float64 takes 8 bytes, a uint8 takes 1.")

# %% [markdown]
# So keep images as bytes as long as you can, and convert each batch when it is used.
#
# One axis is still missing. A colour image has three numbers for each pixel: red, green and blue. They lie
# along the **channel** axis. A grey image has one channel, and many layers (the parts of a network) want to see that axis, even
# if its length is 1. TensorFlow puts it last, other libraries put it first.

# %%
grey = x_train if x_train.ndim == 3 else x_train[..., 0]
channels_last = grey[..., np.newaxis]  # one more axis, of length 1, at the end
channels_first = grey[:, np.newaxis]  # … in second place
print("channels last: ", channels_last.shape)
print("channels first:", channels_first.shape)
check(np.shares_memory(channels_last, x_train), "a new axis of length 1 copies nothing")

# %% [markdown]
# `helpers.datasets.load_dataset("mnist")` reads such a file, and also finds or downloads the set,
# checks it, and keeps names and source with the arrays. With an internet connection,
# `keras.datasets.mnist.load_data()` and `keras.datasets.cifar10.load_data()` give such arrays too. (The labels of CIFAR-10 have the shape (n, 1) there; `labels.ravel()` makes it (n,).)
#
# *Remember: a data set is arrays. Look at their shapes and dtypes first, and then at some examples.*
#
# ## 2 · How do files become arrays?
#
# Your own images lie in files, usually in one folder for each class. Here is such a folder.

# %%
folders = sorted((files / "drawings").iterdir())
paths = sorted((files / "drawings").glob("*/*.png"))
print([folder.name for folder in folders])
print(len(paths), "files, the first is", "/".join(paths[0].parts[-2:]))

# %% [markdown]
# **Pillow**, which is imported as `PIL`, is a library that reads image files; `np.asarray` turns an image into an array. The name of the folder is the label, and its
# place in the sorted list of folders is the label's number.

# %%
names = [folder.name for folder in folders]
x_own = np.stack([np.asarray(Image.open(path).convert("L")) for path in paths])  # L: grey
y_own = np.array([names.index(path.parent.name) for path in paths])
print(x_own.shape, x_own.dtype, y_own)

# %%
plots.image_grid(x_own[::4], [names[y] for y in y_own[::4]], title="Every fourth of our own images")

# %% [markdown]
# `load_dataset("path/to/drawings")` does the same for folders of images, `.csv`, `.npz` and text files. It also
# says clearly what is wrong with a file. Here the end of an image is missing, as after a copy that broke off:

# %%
half = paths[0].with_name("half.png")
half.write_bytes(paths[0].read_bytes()[:200])
attempt("a broken file", lambda: load_dataset(files / "drawings"))
half.unlink()

# %% [markdown]
# ### Smaller files
#
# An image file is compressed. PNG is **lossless**: decoding gives back every pixel exactly. JPEG is **lossy**:
# it leaves out what the eye hardly sees, and a quality from 1 to 95 says how much. Which is smaller for a
# photo, PNG or JPEG with quality 75?

# %%
guess = None  # "PNG" or "JPEG"

# %%
from io import BytesIO

from sklearn.datasets import load_sample_image

photo = load_sample_image("china.jpg")  # it comes with scikit-learn


def compress(pixels, format, **options):
    stream = BytesIO()  # a file in memory
    Image.fromarray(pixels).save(stream, format, **options)
    return stream.getvalue()


# %%
files_of = {"PNG": compress(photo, "PNG")}
files_of |= {f"JPEG {q}": compress(photo, "JPEG", quality=q) for q in (95, 75, 10)}
sizes = {"no compression": photo.nbytes} | {name: len(file) for name, file in files_of.items()}
reveal(guess, "JPEG", "A photo is full of small differences that a PNG has to keep.")
pd.Series(sizes, name="bytes").to_frame()

# %% [markdown]
# What got lost? Here is the same small detail of each file, decoded and enlarged:

# %%
decoded = {name: np.asarray(Image.open(BytesIO(file))) for name, file in files_of.items()}
details = np.stack([pixels[150:182, 300:348] for pixels in decoded.values()])
plots.image_grid(details, list(decoded), columns=4, title="A detail of the photo")

# %%
check(np.array_equal(decoded["PNG"], photo), "the PNG gives back every pixel exactly")

# %% [markdown]
# JPEG 10 has lost the fine lines, and there are spots around the edges. With 95 and 75 one hardly sees a difference.
#
# And for one of our small drawings? (Every JPEG file begins with some hundred bytes of tables.)

# %%
drawing = {"no compression": grey[0].nbytes, "PNG": len(compress(grey[0], "PNG"))}
drawing["JPEG 75"] = len(compress(grey[0], "JPEG", quality=75))
print(drawing)
check(drawing["PNG"] < drawing["JPEG 75"], "a small drawing is smaller as PNG")

# %% [markdown]
# Use JPEG for photos. Use PNG for drawings, for screenshots, and wherever every pixel counts.
#
# ### Is it still the right data?
#
# Files get damaged, or somebody sorts the labels and forgets the images. A **digest** is a short fingerprint of
# a file's or an array's content: whatever changes in the content, the digest changes too.

# %%
import hashlib

shifted = np.roll(y_train, 1)  # every label moves on to the next image
for name, labels in (("as stored", y_train), ("shifted", shifted)):
    print(f"{name:10} {hashlib.sha256(labels).hexdigest()[:32]}…")

# %% [markdown]
# For the sets that are downloaded, `load_dataset` compares the digest of images and labels with the one in
# `data/manifest.toml`. A digest finds all that changed *after* it was made. It cannot know whether the labels
# were right on that day. If somebody had shifted them before, you would have to look:

# %%
plots.image_grid(x_train[:10], shifted[:10], title="Images with shifted labels")

# %% [markdown]
# *Remember: reading a file is one line. Knowing that you read what you think takes a look and a digest.*
#
# ## 3 · What do you do about holes in a table?
#
# A **feature** is one thing that is measured, a column of a table. This file holds measurements of wines from
# three growers, and a region that we made up. We also made holes: some values are missing.

# %%
table = pd.read_csv(files / "wine.csv")
with_holes = table[table.isna().any(axis=1)]
with_holes.iloc[:5, [0, 1, 2, 3, 4, 13, 14]]

# %%
share = table.iloc[:, :13].isna().to_numpy().mean()
print(f"{share:.1%} of the measurements are missing (NaN)")

# %% [markdown]
# The simplest remedy: drop every row that has a hole. There are 13 measurements in each row. Which share of the rows
# is left?

# %%
guess = None  # a number between 0 and 1

# %%
complete = table.dropna()
reveal(guess, len(complete) / len(table), "A row is complete if all its 13 values are there.")
print(f"{1 - share:.3f} × {1 - share:.3f} × … (13 times) = {(1 - share) ** 13:.2f}")

# %% [markdown]
# Half of the rows would be thrown away because of a few holes. The other remedy is **imputation**: fill each
# hole with a plausible value, for example with the **median** of its column, the value in the middle when all
# are sorted.
#
# But whose median? In the end the model is tested on rows that it has not seen. So we put these rows aside
# *first*, and take the medians from the others. Otherwise the test rows would help to choose what is filled in, and
# would no longer be unseen. With some steps the effect is large, as exercise 6 shows.

# %%
train_rows, test_rows = train_test_split(table, test_size=0.25, random_state=seed)
medians = train_rows.median(numeric_only=True)
train_filled, test_filled = train_rows.fillna(medians), test_rows.fillna(medians)
print(f"{len(train_filled)} + {len(test_filled)} rows, {test_filled.isna().sum().sum()} holes")

# %% [markdown]
# Filling has a price. All holes of a
# column get the same value, so the column looks less varied than it is (its standard deviation, the usual distance from the mean, gets smaller; section 4 has the formula):

# %%
shrinkage = pd.DataFrame(
    {
        "observed": train_rows.std(numeric_only=True),
        "filled": train_filled.std(numeric_only=True),
    }
)
smaller = (shrinkage["filled"] < shrinkage["observed"]).sum()
print(f"the standard deviation is smaller in {smaller} of {len(shrinkage)} columns")

# %% [markdown]
# A hole can also have a reason. Suppose that the device fails for strong wines: every alcohol value above 13.5
# is lost. Then the observed values are not a fair sample, and no filling can know it.

# %%
alcohol = pd.Series(load_dataset("wine", seed=seed).x_train[:, 0])
seen = alcohol.mask(alcohol > 13.5)
filled = seen.fillna(seen.median())
print(f"true mean {alcohol.mean():.2f}, after filling {filled.mean():.2f}")
check(filled.mean() < alcohol.mean() - 0.2, "filling does not repair holes that have a reason")

# %% [markdown]
# Before you fill, ask *why* a value is missing. It can even be useful to give the model a column that says
# "this value was missing".
#
# ### Words in a table
#
# A **categorical feature** has words as values, and no order. A model needs numbers. But 0, 1, 2 for north,
# south and west would claim that west is twice south. The usual way is one column of zeros and ones for each
# word:

# %%
dummies = pd.get_dummies(table["region"], prefix="region", dtype=int)
table[["region"]].join(dummies).drop_duplicates()

# %% [markdown]
# *Remember: count the holes, ask for their reason, and take what you fill in from the training rows.*
#
# ## 4 · Does the unit matter?
#
# Look at two columns of the wine table: hue lies around 1, proline around 750.

# %%
wine = load_dataset("wine", seed=seed)
columns = pd.DataFrame(wine.x_train, columns=wine.feature_names)[["hue", "proline"]]
columns.describe().loc[["mean", "std", "min", "max"]].round(2)

# %% [markdown]
# A simple **classifier** (a program that gives each sample a class) gives each wine the class of the most similar wine that it knows. "Similar" means a small
# **distance**: subtract feature by feature, square, add up, take the root. Which feature decides? The variance of a
# feature, its mean squared distance from its mean, tells how much it adds to squared distances:

# %%
variances = pd.Series(wine.x_train.var(axis=0), index=wine.feature_names)
print(f"share of proline: {variances['proline'] / variances.sum():.1%}")

# %% [markdown]
# Proline decides nearly alone, because its unit makes its numbers large.
#
# There are two usual ways to bring features to a common size. **Scaling** moves the smallest value to 0 and the
# largest to 1. **Standardisation** subtracts the mean $\mu$ and divides by the **standard deviation** $\sigma$, the
# root of the mean squared distance from the mean:
#
# $$x' = \frac{x - \mu}{\sigma}$$
#
# First the raw values:

# %%
from sklearn.neighbors import KNeighborsClassifier

nearest = KNeighborsClassifier(1).fit(wine.x_train, wine.y_train)
share = nearest.score(wine.x_test, wine.y_test)
print(f"raw: {share:.3f} of the {len(wine.y_test)} test wines are right")

# %% [markdown]
# And with standardised values? Guess.

# %%
guess = None  # a number between 0 and 1

# %%
mean, std = wine.x_train.mean(axis=0), wine.x_train.std(axis=0)
x, x_new = (wine.x_train - mean) / std, (wine.x_test - mean) / std
nearest = KNeighborsClassifier(1).fit(x, wine.y_train)
reveal(guess, nearest.score(x_new, wine.y_test), "Now every feature has a say, not only proline.")

# %% [markdown]
# (36 wines are few, and section 5 says why a real choice needs a validation set. Here it is about the unit.) Note the
# first line: `mean` and `std` come from the training rows only, and the test rows are changed by the
# *same* numbers. So a test value that was scaled by minimum and maximum may lie below 0 or above 1. That is no error: new data
# may be larger than all that you have seen.
#
# For images the rule is simple: the limits of a byte are known, so `x / 255` scales every image in the same
# way. But standardising each pixel has a trap:

# %%
pixel_std = grey.reshape(len(grey), -1).std(axis=0)
print(f"{(pixel_std == 0).sum()} of {pixel_std.size} pixels have the same value in all images")

# %% [markdown]
# For these pixels, $\sigma = 0$, and a division by zero gives `nan` (not a number) or `inf` (infinite). So take one mean and one standard
# deviation for all pixels, or set $\sigma = 1$ where it is 0.

# %%
scaled = grey / np.float32(255)
standardised = (scaled - scaled.mean()) / scaled.std()
for name, x in (("scaled", scaled), ("standardised", standardised)):
    print(f"{name:13} {x.dtype}  min {x.min():.2f}  max {x.max():.2f}  mean {abs(x.mean()):.2f}")

# %% [markdown]
# `helpers.preprocessing.scale(data)` scales a whole data set; scikit-learn's `StandardScaler` standardises a table.
#
# *Remember: bring features to a common size, with numbers from the training data.*
#
# ## 5 · Where do the right answers come from?
#
# A model is judged on data that it has not seen. So the data are split. The **training set** is what the model
# learns from. The **validation set** serves to choose, for example between two models. The **test set** gives one
# verdict at the very end.

# %%
x_rest, x_held_out, y_rest, y_held_out = train_test_split(
    grey, y_train, test_size=0.2, random_state=seed
)
x_learn, x_choose, y_learn, y_choose = train_test_split(
    x_rest, y_rest, test_size=0.125, random_state=seed
)
print(
    f"as an example: {len(x_learn)} to learn, {len(x_choose)} to choose, {len(x_held_out)} for the verdict"
)

# %% [markdown]
# Many tutorials use the test set for choosing, too. Then the "test" result is the best of many tries, and new data
# will not confirm it.
#
# ### A leak
#
# Now to the question of the beginning. Take 1,000 images and give each a label *by lot*. Then take three photos
# of each image, in weak, middle and strong light. That makes 3,000 photos. There is no connection between image
# and label.

# %%
rng = np.random.default_rng(seed)
things = grey[:1000].reshape(len(grey[:1000]), -1)
lot = rng.integers(0, 10, len(things))  # a label for each, drawn by lot
photos = np.concatenate([things * light for light in (0.8, 0.9, 1.0)])
photo_labels, photo_of = np.tile(lot, 3), np.tile(np.arange(len(things)), 3)

# %% [markdown]
# Split the photos at random, and classify each test photo by its most similar training photo. Chance is 10%.
# What does the test say?

# %%
guess = None  # a number between 0 and 1

# %%
learn, judge = train_test_split(np.arange(len(photos)), test_size=0.25, random_state=seed)
nearest = KNeighborsClassifier(1).fit(photos[learn], photo_labels[learn])
by_chance = nearest.score(photos[judge], photo_labels[judge])
reveal(guess, by_chance, "It has learned nothing but which photos belong together.")

# %% [markdown]
# Of each image there are three photos. If one of them is in the test set, at least one of the other two is in the training set most of the time, and the model copies the label from there. That fails only if both others are in the test set too, which
# happens with probability 0.25 · 0.25. So about 1 − 0.06 = 94% of the test photos can be answered this way.
#
# This is a **leak**: information about the test set has got into the training. The remedy is a **grouped
# split**: all photos of the same thing (or all recordings of the same person) go to the same side.

# %%
from sklearn.model_selection import GroupShuffleSplit

splitter = GroupShuffleSplit(n_splits=1, test_size=0.25, random_state=seed)
learn, judge = next(splitter.split(photos, photo_labels, groups=photo_of))
nearest = KNeighborsClassifier(1).fit(photos[learn], photo_labels[learn])
by_group = nearest.score(photos[judge], photo_labels[judge])
print(f"split at random {by_chance:.0%}, split by group {by_group:.0%}, chance 10%")
check(by_group < 0.3 < by_chance, "the score of the random split was a leak")

# %% [markdown]
# Time leaks in a similar way. A temperature or a price changes little from one day to the next. If single days are held
# out at random, their neighbours in time give them away. But if you want to know the future, you will not have those
# neighbours. So test as you will use the model: train on the past, test on what came after. The cell prints the mean distance between prediction and truth. The model predicts the mean of the two nearest days; a simple rival predicts the value of the last known day.

# %%
from sklearn.neighbors import KNeighborsRegressor

days = np.arange(1000)[:, np.newaxis]
values = rng.normal(size=1000).cumsum()  # each day a random step: nobody can foresee it
at_random = train_test_split(days, values, test_size=0.2, random_state=seed)
in_order = train_test_split(days, values, test_size=0.2, shuffle=False)
for name, (a, b, c, d) in (("at random", at_random), ("the last fifth", in_order)):
    predicted = KNeighborsRegressor(2).fit(a, c).predict(b)
    print(f"held out {name:15} {np.abs(predicted - d).mean():6.2f}")
print(f"as on the last known day {np.abs(in_order[2][-1] - in_order[3]).mean():6.2f}")

# %% [markdown]
# The split at random makes the model look precise. About the future it knows no more than the simple rival.
#
# ### A fair share for each class
#
# A **stratified split** gives every class the same share in both parts. Does it matter? Take a data set of 120
# samples with 12 of a rare class, hold out 30, and count the rare ones among them: 1,000 times by chance and
# 1,000 times stratified.

# %%
rare = np.repeat([0, 1], [108, 12])
counts = {"by chance": [], "stratified": []}
for trial in range(1000):
    for name, classes in (("by chance", None), ("stratified", rare)):
        _, held_out = train_test_split(rare, test_size=30, random_state=trial, stratify=classes)
        counts[name].append(int(held_out.sum()))
{name: f"{min(c)} to {max(c)}" for name, c in counts.items()}

# %% [markdown]
# A test set with no sample of the rare class cannot say anything about it.
#
# *Remember: test on what is really new: other things, other people, a later time.*
#
# ## 6 · How does a label become numbers?
#
# A network for ten classes has ten outputs, one for each class. To compare them with a label, the label is
# written in the same form: ten numbers, a 1 at the place of the class and 0 elsewhere. That is **one-hot**.

# %%
n_classes = len(data.class_names)
one_hot = np.eye(n_classes, dtype="float32")[y_train]  # row y of a matrix with 1s on its diagonal
print(y_train[0], "→", one_hot[0])
check((one_hot.argmax(axis=1) == y_train).all(), "argmax leads back to the label")

# %% [markdown]
# `keras.utils.to_categorical(y_train)` does the same, with `float64` numbers. (`np.eye` makes a matrix with 1s on its diagonal, and `argmax` gives the place of the largest number, here of the 1.) Some tutorials use `np.random.random((1000,
# 10))` as labels. Each row of one-hot labels has one 1, and adds up to 1. Do those?

# %%
toy = np.random.default_rng(seed).random((1000, 10))
print(f"sums of the toy rows: {toy.sum(axis=1).min():.1f} to {toy.sum(axis=1).max():.1f}")
print(f"sums of one-hot rows: {one_hot.sum(axis=1).min():.1f} to {one_hot.sum(axis=1).max():.1f}")

# %% [markdown]
# Such rows name no class, so comparing a model's answers with them means nothing.
#
# *Remember: check that every row has exactly one 1.*
#
# ## 7 · Can you have more data for nothing?
#
# A slightly turned 3 is still a 3. **Augmentation** shows a network changed versions of its training images,
# other ones each time, so that it learns what does not matter. In Keras these are layers:

# %%
classic = keras.Sequential(
    [
        keras.layers.RandomRotation(20 / 360, fill_mode="nearest", seed=seed),  # in full turns
        keras.layers.RandomTranslation(0.2, 0.2, fill_mode="nearest", seed=seed),
        keras.layers.RandomShear(0.2, 0.2, fill_mode="nearest", seed=seed),
        keras.layers.RandomZoom(0.2, fill_mode="nearest", seed=seed),
        keras.layers.RandomFlip("horizontal", seed=seed),
    ]
)

# %%
originals = channels_last[:8] / np.float32(255)
versions = {f"version {i}": np.asarray(classic(originals, training=True)) for i in (1, 2)}
plots.image_rows({"original": originals, **versions}, title="Eight images and two versions of each")

# %% [markdown]
# These are settings that many tutorials use: rotation by up to 20 degrees, shifts, shear (slanting) and zoom
# by 0.2, a horizontal flip. Where a moved image leaves a gap, `nearest` repeats its outermost pixels. (In old code they are
# arguments of `ImageDataGenerator`, which Keras 3 keeps only as old code under `tf.keras`. There the shear was in degrees, so that 0.2 did
# next to nothing; here it is a fifth of the image.) Are they good settings *for digits*? Look at the last step alone,
# the flip:

# %%
one_each = np.stack([grey[y_train == c][0] for c in np.unique(y_train)])
plots.image_rows({"original": one_each, "flipped": one_each[:, :, ::-1]})

# %% [markdown]
# A flipped photo of a cat is a cat. A flipped 7 is not a 7. Every augmentation is a claim about the world:
# "this change does not change the class". Exercise 2 asks for which digits the claim is true.
#
# Move the control to see how much rotation an image bears. (The picture below it shows three settings, for whoever
# reads this as a page.)


# %%
def turned(degrees):
    turns = degrees / 360
    layer = keras.layers.RandomRotation((turns, turns), fill_mode="nearest")  # from, to
    return np.asarray(layer(originals, training=True))


# %% tags=["nbval-ignore-output"]
@interact(degrees=(-180, 180, 15))
def show(degrees=30):
    return plots.image_rows({f"{degrees}°": turned(degrees)})


# %%
plots.image_rows({f"{degrees}°": turned(degrees) for degrees in (15, 45, 180)})

# %% [markdown]
# Turned by 180°, a 9 is a 6. Outside of training these layers pass images on unchanged:

# %%
unchanged = np.asarray(classic(originals, training=False))
check(np.array_equal(unchanged, originals), "outside of training nothing is changed")

# %% [markdown]
# *Remember: augment only by changes that leave the class as it is, and look at the result.*
#
# ## 8 · From files to batches
#
# Now put everything together. A **pipeline** reads, shuffles, changes and batches the data while the model
# computes. In TensorFlow it is a `tf.data.Dataset`; each method adds a step.


# %%
def to_input(image, label):
    return tf.cast(image, tf.float32) / 255, tf.one_hot(label, n_classes)


pipeline = (
    tf.data.Dataset.from_tensor_slices((channels_last, y_train))
    .shuffle(len(y_train), seed=seed)  # a new order for each pass
    .batch(32)
    .map(to_input)  # late: only the batches at work are float32
    .prefetch(tf.data.AUTOTUNE)  # prepare the next batch meanwhile
)

# %% [markdown]
# Always look at one batch: this is what the network receives.

# %%
images, labels = next(iter(pipeline))
print(
    "images:", images.shape, images.dtype.name, f"{images.numpy().min()} to {images.numpy().max()}"
)
print("labels:", labels.shape, labels.dtype.name, labels.numpy().sum(axis=1)[:5])

# %% [markdown]
# If the images do not fit into memory, read them from the disk when they are needed. (These batches still have to be divided by 255, and their labels to be made one-hot.)

# %%
options = {"image_size": (28, 28), "color_mode": "grayscale", "batch_size": 8}
stream = keras.utils.image_dataset_from_directory(
    files / "drawings", seed=seed, verbose=False, **options
)
images, labels = next(iter(stream))
print(stream.class_names, images.shape, labels.numpy())

# %% [markdown]
# `load_dataset("path/to/drawings", streaming=True)` reads batches from the disk too (bytes, in an order that is shuffled once) and holds out a part. With `on_error="skip"` it leaves out files that it cannot read, and lists them.
#
# *Remember: convert late, shuffle the training data, look at one batch.*
#
# ## What goes wrong here
#
# Code that you will meet, and what it does. The first two functions do not exist, the third line has a typing error.

# %%
attempt("Iris from Keras", lambda: keras.datasets.iris.load_data())
attempt("any set by its name", lambda: keras.datasets.load_data("mnist"))
attempt("a name with a typing error", lambda: load_dataset("mnits"))

# %% [markdown]
# And one that gives no error: with the old `ImageDataGenerator`, some people call `datagen.fit(x_train)` and
# then `model.fit(x_train, y_train)`. The first call computes statistics only. The model never sees a changed
# image.
#
# ## Check yourself

# %% tags=["hide"]
choose(
    "An array of colour images has the shape (100, 64, 48, 3). What is the 48?",
    {
        "the height": "The axes are image, row, column, channel; the rows come before the columns.",
        "the width": "The axes are image, row, column, channel: there are 48 columns.",
        "the number of images": "The first axis counts the images: 100.",
    },
    answer="the width",
)

# %% tags=["hide"]
choose(
    "You standardise the test set with its own mean. What is wrong with that?",
    {
        "Nothing, it is the usual way.": "From a single new sample you cannot compute a useful mean.",
        "The test values then lie above 1.": "They may do so in any case, and it is no error.",
        "Test samples are treated otherwise than training samples.": "The model learned from values "
        "that were changed with the training mean; new ones have to be changed by the same numbers.",
    },
    answer="Test samples are treated otherwise than training samples.",
)

# %% tags=["hide"]
choose(
    "Ten doctors have labelled 500 X-rays: five of each of 100 patients. How do you split?",
    {
        "at random": "Then most patients are on both sides, and the model may recognise them.",
        "by patient": "The model will meet new patients, so the test has to hold new patients.",
        "by doctor, whatever the patient": "Then a patient can still be on both sides.",
    },
    answer="by patient",
)

# %% tags=["hide"]
choose(
    "A tenth of a column is missing, and you fill it with the median. What becomes of the column?",
    {
        "Its standard deviation gets smaller.": "Many equal values in the middle make it look less "
        "varied than it is.",
        "Its standard deviation stays the same.": "The filled values all lie in the middle.",
        "It is as good as before.": "The filled values are guesses, and they all are the same.",
    },
    answer="Its standard deviation gets smaller.",
)

# %% tags=["hide"]
choose(
    "Which augmentation suits photos of handwritten digits?",
    {
        "a horizontal flip": "A flipped 2, 3 or 7 is no digit.",
        "a rotation by up to 180°": "A 6 becomes a 9.",
        "a shift by up to two pixels": "The same digit, a little to the side, is the same digit.",
    },
    answer="a shift by up to two pixels",
)

# %% [markdown]
# ## What to take away
#
# - A data set is arrays with shapes and dtypes. Look at examples, and at one batch of what the network gets.
# - Whatever you learn from data, be it a median, a mean or a maximum, learn it from the training set.
# - A score means something only if the test data are really new.
#
# Now the [exercises](exercises/01_exercises.ipynb). Next lesson: [02 · See what is in a data
# set](02_explore_data.ipynb).

# %% tags=["nbval-ignore-output", "hide"]
record(
    dataset=data.name,
    n_train=len(data.x_train),
    n_test=len(data.x_test),
    classes=data.class_count,
    mean=data.x_train.mean(dtype=np.float64),
    leak=by_chance,
    grouped=by_group,
)
