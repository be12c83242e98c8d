# %% [markdown]
# # 01 · Load data that you can trust
#
# **A question first.** A model that was trained on a damaged file, on labels shifted by one row, or
# on its own test set prints numbers as pretty as any other. How would you notice?
#
# In this notebook you load data sets by name and from your own disk, look at what a network really
# receives, and prepare it: clean, scale, split, encode, augment.
#
# | | |
# |---|---|
# | Time | half an hour to read and try; about 20 seconds to run |
# | You will learn | to load, verify, clean, scale, split, encode and augment a data set |
# | You need | Python and a first idea of NumPy arrays |
#
# Cells that ask you to *predict* are worth a minute of your time before you run them: what surprises
# you is what you learn.

# %%
import hashlib
import os
import tempfile
import warnings
from pathlib import Path
from typing import Optional

from helpers import plots
from helpers import preprocessing as prep
from helpers.classroom import check
from helpers.datasets import DatasetError, from_table, load_dataset
from helpers.runs import record

import numpy as np
import pandas as pd

# %% tags=["parameters"]
dataset: str = "mnist"  # an image set: a name (mnist, fashion_mnist, cifar10, digits) or a path
n_samples: Optional[int] = None  # at most this many training images; None for all
seed: int = 0  # of every random choice below

# %% [markdown]
# ## 1 · What does a computer get when it “sees” a digit?

# %%
data = load_dataset(dataset, fallback="digits", seed=seed).subset(n_samples, seed)
data

# %%
names = [data.class_names[label] for label in data.y_train[:20]]
plots.image_grid(data.x_train[:20], names, title="The first twenty training images")

# %% [markdown]
# That is what *you* see. The computer gets numbers. Here is a strip from the upper half of the first
# image, one number a pixel. (We draw large values dark, as ink on paper; many tutorials draw them white.)

# %%
height, width = data.input_shape[:2]
rows, columns = slice(height // 4, height // 2), slice(width // 4, width // 4 * 3)
print(data.x_train[0][rows, columns])

# %% [markdown]
# **Predict before you run.** How many bytes of memory do the training images take? (Each pixel is a
# `uint8`, one byte. And if they were `float64`, NumPy's default?)

# %%
n_pixels = data.x_train.size
print(f"{data.x_train.dtype}: {data.x_train.nbytes:,} bytes for {n_pixels:,} numbers")
print(f"float64: {n_pixels * 8:,} bytes")
check(data.x_train.nbytes == n_pixels, "one byte a number")

# %% [markdown]
# A factor of eight. Keep images as bytes as long as you can, and convert late: the statistics of
# notebook 02 go through a whole set without ever making that copy.
#
# ## 2 · Is it the right data?
#
# `load_dataset` looks in `data/`, in the folder that the variable `COURSE_DATA` names (a teacher's
# shared folder, say), in Keras's own cache, and only then on the network. Wherever it finds a known
# set, it compares the *content* of the arrays with a fingerprint, the SHA-256 digest. How sensitive
# is such a fingerprint? We change one pixel of all of them by one grey level.

# %%
changed = data.x_train.copy()
changed[0, 0, 0] += 1
before, after = (hashlib.sha256(x).hexdigest() for x in (data.x_train, changed))
print(f"before: {before[:24]}…\nafter:  {after[:24]}…")

# %%
same = sum(a == b for a, b in zip(before, after, strict=True))
print("loaded from", data.source.split("/")[-1])
check(before != after, "one changed pixel changes the fingerprint")
check(same < 20, "and most of its 64 digits with it")

# %% [markdown]
# No fingerprint of the images tells whether their *labels* are right. Here every image is intact, and
# every label belongs to its neighbour. Only looking tells you:

# %%
shifted = np.roll(data.y_train, 1)[:10]
plots.image_grid(data.x_train[:10], [data.class_names[y] for y in shifted], title="Shifted labels")

# %% [markdown]
# ## 3 · Sets with a name
#
# These are found or downloaded by their names, and verified:

# %%
from helpers.datasets import catalog

known = {name: [e["title"], e["n_train"] + e["n_test"]] for name, e in catalog.manifest().items()}
pd.DataFrame(known, index=["what", "samples"]).T

# %% [markdown]
# Four small sets need no network at all, because they come with scikit-learn. They also serve as a **fallback**: where the set that you
# asked for cannot be had, `load_dataset(..., fallback="digits")` warns you, loads `digits`, and calls
# the result by its true name, so that no figure is ever attributed to the wrong data.

# %%
embedded = [load_dataset(name, seed=seed) for name in ("digits", "iris", "wine", "breast_cancer")]
pd.DataFrame(
    [(d.name, d.kind, len(d.x_train), len(d.x_test), d.class_count) for d in embedded],
    columns=["name", "kind", "train", "test", "classes"],
)

# %% [markdown]
# ### What goes wrong here
#
# Tutorials that circulate widely load Iris from Keras, or any set through a general
# `load_data(name)`. Neither has ever existed:

# %%
import keras

for attempt in ("iris", "load_data"):
    try:
        getattr(keras.datasets, attempt)
    except AttributeError as error:
        print(f"keras.datasets.{attempt}: {error}")

# %% [markdown]
# A name that `load_dataset` does not know gets you a list, and a guess:

# %%
try:
    load_dataset("mnits")
except DatasetError as error:
    print(error)

# %% [markdown]
# ## 4 · Your own data
#
# One function for all of it: a folder with a sub-folder of images for each class, a `.csv` table, an
# `.npz` file with four arrays, a folder of texts. To try it without your data, we write some files
# to a temporary folder, and step into it so that messages show short paths.

# %%
home = Path.cwd()

# %%
workshop = tempfile.TemporaryDirectory()
os.chdir(workshop.name)
for label in range(min(3, data.class_count)):
    folder = Path("drawings") / f"kind {label}"
    folder.mkdir(parents=True)
    for index in np.flatnonzero(data.y_train == label)[:10]:
        (folder / f"{index}.png").write_bytes(prep.encode_image(data.x_train[index]))

# %%
own = load_dataset("drawings", seed=seed)
print(own)
plots.image_grid(own.x_train[:12], [own.class_names[y] for y in own.y_train[:12]], columns=12)

# %% [markdown]
# The classes are the names of the sub-folders, and a fifth of each class was held out for testing.
# Photos differ in size; `image_size=(height, width)` brings them to one:

# %%
resized = load_dataset("drawings", image_size=(16, 16), seed=seed)
check(resized.input_shape[:2] == (16, 16), "every image now has 16×16 pixels")

# %% [markdown]
# And when a copy broke off in the middle? The message names the image. Only if you ask for it does
# loading go on without it, and then it tells you what it left out:

# %%
first = sorted(Path("drawings").rglob("*.png"))[0]
first.write_bytes(first.read_bytes()[: first.stat().st_size // 2])
try:
    load_dataset("drawings", seed=seed)
except DatasetError as error:
    print(error)

# %%
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    rest = load_dataset("drawings", on_error="skip", seed=seed)
print(caught[0].message)
check(len(rest.skipped) == 1, "one broken image left out, and listed")

# %% [markdown]
# A folder that is larger than your memory can be **streamed**: images are read when they are needed,
# a batch at a time, anew for every pass.

# %%
stream = load_dataset("drawings", streaming=True, batch_size=8, on_error="skip", seed=seed)
images, labels = next(iter(stream.train))
print(stream)
print("one batch:", tuple(images.shape), images.dtype.name, tuple(labels.shape), labels.dtype.name)

# %% [markdown]
# A table works the same way. The last column holds the labels, or the one that `target=` names:

# %%
Path("flowers.csv").write_text(
    "petal length,petal width,species\n"
    "1.4,0.2,setosa\n1.3,0.2,setosa\n1.5,0.3,setosa\n"
    "4.7,1.4,versicolor\n4.5,1.5,versicolor\n4.9,1.5,versicolor\n"
)
flowers = load_dataset("flowers.csv", test_size=0.34, seed=seed)
print(flowers, flowers.class_names, flowers.feature_names)

# %% [markdown]
# So do arrays that you have saved yourself, and texts: a folder of `.txt` files for each class, or one
# file of lines for each.

# %%
few = data.subset(100, seed)
np.savez(
    "odd_or_even.npz",
    **{"x_train": few.x_train, "y_train": few.y_train % 2},
    **{"x_test": few.x_test, "y_test": few.y_test % 2},
)
print(load_dataset("odd_or_even.npz"))

Path("words").mkdir()
Path("words/english.txt").write_text("tree\nhouse\nriver\nbread\nlight\n")
Path("words/spanish.txt").write_text("árbol\ncasa\nrío\npan\nluz\n", encoding="utf-8")
words = load_dataset("words", seed=seed)
print(words, "for example", words.x_train[0], "→", words.class_names[words.y_train[0]])

# %% [markdown]
# An empty class is a mistake, not a class:

# %%
Path("drawings/empty class").mkdir()
try:
    load_dataset("drawings")
except DatasetError as error:
    print(error)

# %%
os.chdir(home)
workshop.cleanup()

# %% [markdown]
# ## 5 · Clean: filter or fill
#
# Real tables have holes. We take the wine data (13 chemical measurements of wines of three growers)
# and lose one value in twenty.

# %%
wine = load_dataset("wine", seed=seed)
frame = pd.DataFrame(wine.x_train, columns=wine.feature_names)
rng = np.random.default_rng(seed)
holes = rng.random(frame.shape) < 0.05
broken = frame.mask(holes).assign(grower=[f"grower {y}" for y in wine.y_train])
try:
    from_table(broken)
except DatasetError as error:
    print(error)

# %% [markdown]
# **Predict before you run.** 5% of the *values* are missing. If you drop every *row* that lacks one,
# which share of the rows remains? (Each row has 13 values.)

# %%
filtered = prep.drop_missing(broken)
print(f"{len(filtered)} of {len(broken)} rows remain: {len(filtered) / len(broken):.0%}")
print(f"expected: 0.95 ** 13 = {0.95**13:.0%}")

# %%
filled = prep.fill_missing(broken, "median")
print(from_table(filled, name="wine, filled", seed=seed))
check(len(filled) == len(broken), "filling keeps every row")
check(not filled.isna().any().any(), "and no value is missing any more")

# %% [markdown]
# (For new data, such as a test set, take the medians of the *training* table:
# `fill_missing(test, fit_on=train)`.)
#
# Filling has a price too. Every filled value is the same median, so the column looks more certain
# than it is:

# %%
spread = pd.DataFrame({"true": frame.std(), "filled": filled[frame.columns].std()})
shrunk = (spread["filled"] < spread["true"]).mean()
print(f"The standard deviation shrank in {shrunk:.0%} of the columns.")
spread.head(5).round(2)

# %% [markdown]
# ## 6 · Scale
#
# Networks learn best from numbers around 0 and 1. Two ways are common: **scaling** to [0, 1] and
# **standardising** to mean 0 and standard deviation 1.

# %% tags=["nbval-ignore-output"]
scaled, standardised = prep.scale(data), prep.standardize(data)
pd.DataFrame(
    {
        name: [d.x_train.dtype.name, d.x_train.min(), d.x_train.max(), d.x_train.mean()]
        for name, d in {"raw": data, "scaled": scaled, "standardised": standardised}.items()
    },
    index=["type", "min", "max", "mean"],
)

# %%
check(scaled.x_train.min() >= 0 and scaled.x_train.max() <= 1, "scaled values lie in [0, 1]")
mean = standardised.x_train.mean(dtype=np.float64)
spread = standardised.x_train.std(dtype=np.float64)
check(abs(mean) < 1e-3 and abs(spread - 1) < 1e-3, "standardised: mean 0, standard deviation 1")

# %% [markdown]
# ### Exercise 1 · Whose maximum?
#
# A table is scaled with the smallest and largest value of each column *of the training set*. So what
# is the largest value in the scaled *test* set of wine: at most 1, or can it be more? Predict first,
# then compute it.
#
# <details><summary>Hint</summary>
#
# `prep.scale(wine)` returns a data set; look at its `x_test`. Why would it be cheating to use the
# test set's own maximum?
#
# </details>

# %% tags=["exercise"]
largest = ...

# %% tags=["solution"]
largest = prep.scale(wine).x_test.max()

# %%
expected = prep.scale(wine).x_test.max()
check(largest is not ... and np.isclose(largest, expected), "exercise 1", "use .x_test.max()")
if largest is not ...:
    print(f"largest scaled test value: {largest:.2f}")

# %% [markdown]
# Values beyond 1 in the test set are no error. They are the honest picture of new data: the scaler
# had not seen them, and neither will your model have.
#
# ## 7 · Split: three parts, three purposes
#
# - The **training** set is for learning.
# - The **validation** set is for choosing: epochs, layers, learning rates.
# - The **test** set is for one final verdict.
#
# ### What goes wrong here
#
# Many tutorials pass the test set as `validation_data` and pick the best epoch by it. Then the test
# score is the best of many tries, and the next data will not live up to it. Hold out a part of the
# training set instead:

# %%
parts = prep.split(data.x_train, data.y_train, validation_size=0.1, test_size=0.2, seed=seed)
for name in ("train", "validation", "test"):
    share = len(getattr(parts, f"x_{name}")) / len(data.x_train)
    print(f"{name:10} {share:.1%}")

# %% [markdown]
# The split is **stratified**: every class has the same share in every part. Does that matter? We hold
# out 30 flowers of Iris 200 times by pure chance, and count the flowers of the rarest species.

# %%
iris_y = load_dataset("iris", seed=seed).y_train
by_chance = [
    np.bincount(np.random.default_rng(s).choice(iris_y, 30, replace=False), minlength=3).min()
    for s in range(200)
]
stratified = [
    np.bincount(prep.split(iris_y, iris_y, test_size=0.25, seed=s).y_test).min() for s in range(20)
]
print(f"by chance:  {min(by_chance)} to {max(by_chance)} of the rarest species")
print(f"stratified: {min(stratified)} to {max(stratified)}")

# %% [markdown]
# ## 8 · Encode the labels
#
# For categorical cross-entropy a label becomes a row with a single 1, **one-hot**:

# %%
encoded = prep.one_hot(data.y_train, data.class_count)
print(data.y_train[0], "→", encoded[0])
check((encoded.sum(axis=1) == 1).all(), "every row has exactly one 1")
check((encoded.argmax(axis=1) == data.y_train).all(), "argmax leads back to the label")

# %% [markdown]
# ### What goes wrong here
#
# A toy example found in many places makes up its labels as `np.random.random((1000, 10))`. Those rows
# are not one-hot, they do not even sum to 1, and the “loss” computed from them has no meaning:

# %%
toy = np.random.default_rng(seed).random((1000, 10))
print(f"row sums of random 'labels': {toy.sum(axis=1).min():.1f} to {toy.sum(axis=1).max():.1f}")
proper = prep.one_hot(np.random.default_rng(seed).integers(0, 10, 1000), 10)
print(f"row sums of one-hot labels:  {proper.sum(axis=1).min():.1f}")

# %% [markdown]
# ## Where are the colours?
#
# Convolutions want to know which axis holds the colours. TensorFlow keeps them last by default, other
# systems first; grey images get an axis of length 1.

# %%
print("as loaded:     ", data.x_train.shape)
print("channels last: ", prep.add_channel(data.x_train).shape)
print("channels first:", prep.add_channel(data.x_train, "channels_first").shape)
check(np.shares_memory(prep.add_channel(data.x_train), data.x_train), "a view: no copy is made")

# %% [markdown]
# ## 9 · Compress: encode and decode
#
# On disk, images are compressed: PNG exactly, JPEG with a quality that you choose. **Predict before
# you run:** which is smaller for our small images?

# %% tags=["nbval-ignore-output"]
sample = data.x_train[:100]
small = prep.compare_encodings(sample)
print(f"raw: {sample[0].nbytes} bytes an image")
small.round(1)

# %% tags=["nbval-ignore-output"]
plots.encoding_tradeoff(small)

# %% [markdown]
# Now the same for a photograph (it comes with scikit-learn), 427×640 pixels in colour:

# %% tags=["nbval-ignore-output"]
from sklearn.datasets import load_sample_image

photo = load_sample_image("china.jpg")
large = prep.compare_encodings(photo[np.newaxis])
print(f"raw: {photo.nbytes:,} bytes")
large.round(1)

# %%
restored = [
    prep.decode_image(prep.encode_image(photo, "jpeg", quality))[150:250, 250:400]
    for quality in (95, 25, 5)
]
plots.image_rows(
    {"detail": np.array([photo[150:250, 250:400], *restored])},
    title="Original, then JPEG quality 95, 25 and 5",
    size=2,
)

# %%
jpeg, png = large["bytes"].drop("png"), large.loc["png", "bytes"]
check(jpeg.max() < png, "for the photo every JPEG is smaller than the PNG")
exact = prep.decode_image(prep.encode_image(photo))
check(np.array_equal(exact, photo), "and the PNG gives back every pixel exactly")

# %% [markdown]
# JPEG pays off for *photos*. MNIST's small images are the opposite case: even one without any content
# costs it more bytes than the average PNG of a real one, because of JPEG's header.

# %% tags=["nbval-ignore-output"]
empty = prep.encode_image(np.zeros_like(sample[0]), "jpeg", 10)
print(
    f"an empty image as JPEG: {len(empty)} bytes; the PNGs: {small.loc['png', 'bytes']:.0f} on average"
)

# %% [markdown]
# ## 10 · Augment: more data from the same data
#
# A shifted 7 is still a 7. Showing the network such variants is called **augmentation**. In Keras it
# is a stack of layers, active only in training. These are the classic settings:
#
# | `ImageDataGenerator` (no longer in `keras`; a legacy of `tensorflow.keras`) | layer today |
# |---|---|
# | `rotation_range=20` (degrees) | `RandomRotation(20 / 360)` (turns) |
# | `width_shift_range=0.2, height_shift_range=0.2` | `RandomTranslation(0.2, 0.2)` |
# | `shear_range=0.2` | `RandomShear(0.2)` |
# | `zoom_range=0.2` | `RandomZoom(0.2, 0.2)` |
# | `horizontal_flip=True` | `RandomFlip("horizontal")` |
# | `fill_mode="nearest"` | `fill_mode="nearest"` of each layer |
#
# One number has changed its meaning. The old class took the shear as an angle in *degrees*; the layer
# takes it as a share of the height:

# %%
degrees, share = np.tan(np.radians(0.2)) * height, 0.2 * height
print(
    f"between top and bottom row: {degrees:.2f} pixels by 0.2 degrees, up to {share:.1f} by a share"
)

# %%
augment = prep.augmentation(horizontal_flip=False, seed=seed)
batch = prep.add_channel(scaled.x_train[:10])
variants = [np.asarray(augment(batch, training=True)) for _ in range(3)]
plots.image_rows(
    {"original": batch, **{f"variant {i + 1}": v for i, v in enumerate(variants)}},
    title="The same ten images, augmented three times",
)

# %% [markdown]
# Look at each variant: is it still the same digit, or was a part of it pushed over the border? What suits
# photos with room around the object can be too much for digits in a tight frame. Try `shift=0.1`.

# %%
unchanged = np.asarray(augment(batch, training=False))
check(np.array_equal(unchanged, batch), "outside of training the layers pass images on unchanged")
check(not np.array_equal(variants[0], variants[1]), "in training every pass differs")

# %% [markdown]
# ### What goes wrong here
#
# With the old class, many tutorials called `datagen.fit(x_train)` and then trained with
# `model.fit(x_train, y_train)`. That augments *nothing*: `fit` only computes statistics, and the
# generator was never asked for a batch. The cell above is the test that would have told: **look at
# what your network receives.**
#
# ### Exercise 2 · Which mirror images are lies?
#
# The classic settings flip images horizontally. Mirror one example of each class and look at the
# result. Which digits survive, so that the mirror image is still a valid example of the same class?
# (Take it to be valid if a person could have written it that way.) Put their names into `survivors`.
#
# <details><summary>Hint</summary>
#
# `images[:, :, ::-1]` mirrors grey images, and `plots.image_rows` shows two versions of each.
#
# </details>

# %% tags=["exercise"]
survivors = ...

# %% tags=["solution"]
one_each = np.array([data.x_train[data.y_train == label][0] for label in range(data.class_count)])
mirrored = one_each[:, :, ::-1]
figure = plots.image_rows({"original": one_each, "mirrored": mirrored})
survivors = {"0", "1", "8"}
figure

# %%
answered = survivors is not ...
names = set(map(str, survivors)) if answered else set()
right = {"0", "8"} <= names and not set("2345679") & names  # a slanted 1 may be seen either way
of_digits = data.name in {"mnist", "digits"}
check(right, "exercise 2", "which are symmetric?", required=of_digits or not answered)

# %% [markdown]
# ### Exercise 3 · Load your own
#
# We are back in the folder of the notebook. Take twenty photos of two kinds of things in your kitchen,
# put them into two folders, and load them with `load_dataset("path/to/folder", image_size=(64, 64))`. Then break it on purpose: rename a text
# file to `.jpg`, leave a folder empty, mix portrait and landscape without `image_size`. Does each
# message tell you what to do?
#
# ## What to take away
#
# - A data set is arrays, labels, names **and a source**: verify it before you believe it.
# - Whatever is learned from data, be it a maximum or a median, is learned from the training set.
# - Split by class, keep the test set for the end.
# - Look at what the network receives, after every step.
#
# **Next:** [02 · See what is in a data set](02_explore_data.ipynb) before you train on it.

# %% tags=["nbval-ignore-output"]
record(
    dataset=data.name,
    n_train=len(data.x_train),
    n_test=len(data.x_test),
    classes=data.class_count,
    mean=data.x_train.mean(dtype=np.float64),
    jpeg75_ratio=large.loc["jpeg 75", "ratio"],
)
