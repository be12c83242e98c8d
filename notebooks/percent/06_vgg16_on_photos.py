# %% [markdown]
# # 06 · Any photo: VGG16 and ImageNet
#
# **A question first.** Your networks so far tell ten digits apart. Others have spent weeks of computing on
# 1.2 million photos in 1,000 classes, and give the result away as one file of numbers. What does such a network
# see in *your* photos, how can you tell what its answer rests on, and can you teach it classes of your own
# with twenty photos?
#
# | | |
# |---|---|
# | Time | an hour to read and try; about a minute to run (downloading VGG16: 553 MB, once) |
# | You will learn | pretrained networks, preprocessing, Grad-CAM and occlusion, features, transfer learning |
# | You need | notebooks 03 and 04 |

# %%
import time
from itertools import pairwise
from typing import Optional

from helpers import plots, vision
from helpers.classroom import attempt, check
from helpers.datasets import load_dataset
from helpers.evaluation import evaluate
from helpers.models import build_cnn
from helpers.runs import record
from helpers.training import train

import keras
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors

# %% tags=["parameters"]
architecture: str = "VGG16"  # or EfficientNetLite0, or MobileNet, ResNet50, … of keras.applications
weights: str = "imagenet"  # imagenet, or the path of an .h5 file with this network's weights
images: Optional[str] = None  # your photos: a file or a folder; None for photos that are at hand
top: int = 3  # classes to show for each photo
batch_size: int = 32  # photos computed together
n_seeds: int = 3  # splits and beginnings, in the comparison at the end
seed: int = 0  # of every random choice below

# %% [markdown]
# ## 1 · A network that has seen the world
#
# `load_classifier` brings a network with its weights, its preprocessing, its input size and the names of its
# classes. The weights are looked for on disk, then downloaded. If they cannot be had, the course goes on
# with a small relative (MobileNet at a quarter of its width, 2 MB), and if that is missing too, with
# EfficientNet-Lite0, whose weights are installed with the course. Which one you see is said below.


# %%
def best_available():
    wishes = [(architecture, weights, {}), ("MobileNet", "imagenet", {"alpha": 0.25})]
    for name, source, options in wishes:
        try:
            return vision.load_classifier(name, source, **options)
        except vision.WeightsUnavailable:
            print(f"The weights of {name} are neither here nor to be downloaded.")
    return vision.load_classifier("EfficientNetLite0")


# %% tags=["nbval-ignore-output"]
classifier = best_available()
print(classifier)
print(classifier.plan)

# %% tags=["nbval-ignore-output"]
photos = images or vision.sample_photos()
pictures = classifier.load_photos(photos, limit=200)  # those that we look at below
truth = vision.photo_labels(photos)
names, pixels = list(pictures), np.stack(list(pictures.values()))
some = np.linspace(0, len(names) - 1, min(6, len(names))).astype(int)
shown = {names[number]: pixels[number] for number in some}
print(f"{len(names)} photos, {len(truth)} with a known label; as an array: {pixels.shape}")

# %% [markdown]
# **Predict before you run.** One guess in a thousand would be right by chance. What share of the photos will
# the network get right? And which will it get wrong?

# %% tags=["nbval-ignore-output"]
said = classifier.predict(photos, top=top, batch_size=batch_size)
plots.photo_predictions(shown, said, truth=truth, title=f"What {classifier.architecture} says")

# %% tags=["nbval-ignore-output"]
top1 = top_k = None
if truth:
    right = said["label"] == said["file"].map(truth)
    top1 = right[said["rank"] == 1].mean()
    top_k = right.groupby(said["file"]).any().mean()
    print(f"right at first guess: {top1:.0%}; among the first {top}: {top_k:.0%}")

# %% [markdown]
# Look at the mistakes. Some are understandable (a relative of the right animal, another thing on the photo),
# some are not. *Among the first k* is what ImageNet's competitions counted (with k = 5), because a photo often
# shows more than one thing and has only one label.
#
# ## 2 · From MNIST to ImageNet
#
# What changes between notebook 04 and this one? Size, colour, number of classes, preprocessing and cost. Let
# us measure each instead of believing it. A convolution uses each weight once for every place of its output,
# a dense layer once: that gives the multiplications for one image.


# %%
def multiplications(model):
    total = 0
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            places = np.prod(layer.output.shape[1:-1])  # of a dense layer: 1
            total += int(np.prod(layer.kernel.shape) * places)
    return total


def milliseconds(function, repeats=5):
    function()  # the first call compiles
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        taken.append(1000 * (time.perf_counter() - start))
    return np.median(taken)


# %%


def facts(network, ms, white):
    return {
        "numbers in one image": f"{np.prod(network.input_shape[1:]):,}",
        "classes": f"{network.output_shape[-1]:,}",
        "weights": f"{network.count_params():,}",
        "megabytes": f"{network.count_params() * 4e-6:,.0f}",
        "multiplications, million": f"{multiplications(network) / 1e6:,.0f}",
        "one image, ms": f"{ms:.1f}",
        "white becomes": white,
    }


# %% [markdown]
# The network of notebook 04, the classifier from above, and VGG16 itself (if it is another): random weights
# cost as much time as trained ones, so that its row is right in any case.

# %% tags=["nbval-ignore-output"]
mnist = load_dataset("mnist", fallback="digits", seed=seed)
digit_network = build_cnn(mnist, seed=seed)
digit = mnist.x_test[:1]
ms = milliseconds(lambda: digit_network.predict_on_batch(digit))
columns = {f"{mnist.name}, notebook 04": facts(digit_network, ms, "1")}
known = classifier.architecture == "VGG16"
vgg16 = classifier if known else vision.load_classifier("VGG16", weights=None)
for c in (classifier, vgg16):
    blank = np.full((1, *c.image_size, 3), 255, "uint8")
    ms = milliseconds(lambda c=c, blank=blank: c.probabilities(blank))
    white = c.preprocess(blank)[0, 0, 0]
    columns[c.model.name] = facts(c.model, ms, ", ".join(f"{value:.4g}" for value in white))
pd.DataFrame(columns)

# %% tags=["nbval-ignore-output"]
batch = np.resize(pixels, (batch_size, *pixels.shape[1:]))
photos_per_second = 1000 * batch_size / milliseconds(lambda: classifier.probabilities(batch), 3)
single = float(columns[classifier.model.name]["one image, ms"])
print(f"{1000 / single:.0f} photos a second one by one, {photos_per_second:.0f} in batches")

# %%
ratio = multiplications(vgg16.model) / multiplications(digit_network)
check(ratio > 1000, "a photo costs VGG16 over a thousand times the work of a digit")

# %% [markdown]
# VGG16 (Simonyan and Zisserman, 2014) is built as simply as your own network, only more of it. Training it took its
# authors two to three weeks on four GPUs. That is why work with photos mostly begins with a network *trained
# by others*. MobileNet (Howard et al., 2017) and EfficientNet-Lite0 (after Tan and Le, 2019) were designed to
# get by with a fraction of weights and work.
#
# ### Exercise 1 · 138,357,544
#
# VGG16 is built from one piece: a 3×3 convolution with a bias for each channel. Thirteen of them, in five blocks
# with 64, 64 | 128, 128 | 256, 256, 256 | 512, 512, 512 | 512, 512, 512 channels, after each block a pooling
# that halves height and width; then three dense layers of 4,096, 4,096 and 1,000 on what is left of 224×224 pixels.
# Compute the number of its weights. Which layer has most of them?
#
# <details><summary>Hint</summary>
#
# A convolution from 3 to 64 channels has `3 * 3 * 3 * 64 + 64`. Five halvings of 224 leave 7×7 places of 512
# channels, all of which the first dense layer is connected to.
#
# </details>

# %% tags=["exercise"]
vgg16_weights = ...

# %% tags=["solution"]
channels = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
vgg16_weights = sum(9 * a * b + b for a, b in pairwise(channels))
sizes = [7 * 7 * 512, 4096, 4096, 1000]
dense = [a * b + b for a, b in pairwise(sizes)]
vgg16_weights += sum(dense)
print(f"the first dense layer alone: {dense[0]:,}, {dense[0] / vgg16_weights:.0%}")

# %%
check(vgg16_weights == 138_357_544, "exercise 1: the weights of VGG16")

# %% [markdown]
# ## 3 · The commonest mistake
#
# A network expects photos in exactly the form in which it was trained, and every family has its own: VGG16
# wants blue before red and the mean of ImageNet taken off, MobileNet wants −1 … 1. `predict` does it for you.
# Who does it by hand and gets it wrong sees **no error**, only worse answers.
#
# **Predict before you run.** How many of the first guesses stay what they were if red and blue are swapped? If
# the preprocessing is forgotten? If the photo stands on its head?

# %% tags=["nbval-ignore-output"]
model = classifier.model
chances = classifier.probabilities(pixels)
guesses = chances.argmax(axis=1)
raw = keras.ops.convert_to_numpy(model(pixels.astype("float32"), training=False))
others = {
    "red and blue swapped": classifier.probabilities(pixels[..., ::-1]),
    "not preprocessed": raw,
    "upside down": classifier.probabilities(pixels[:, ::-1]),
    "mirrored": classifier.probabilities(pixels[:, :, ::-1]),
}
stay = {name: (other.argmax(axis=1) == guesses).mean() for name, other in others.items()}
pd.Series(stay).map("{:.0%}".format).to_frame("first guesses that stay")

# %% [markdown]
# No error, no warning; only other answers.
#
# ### Exercise 2 · Preprocess by hand
#
# Preprocess `pixels` for VGG16 in NumPy. They are 0 … 255 in the order red, green, blue: turn the order of the
# channels round, then subtract the mean of ImageNet, which is 103.939 for blue, 116.779 for green and 123.68 for red.
#
# <details><summary>Hint</summary>
#
# `x[..., ::-1]` turns the last axis round; an array of three numbers is subtracted from each pixel.
#
# </details>


# %% tags=["exercise"]
by_hand = ...

# %% tags=["solution"]
by_hand = pixels[..., ::-1] - np.array([103.939, 116.779, 123.68])

# %%
reference = keras.applications.vgg16.preprocess_input(pixels.astype("float32"))
same = by_hand is not ... and np.allclose(by_hand, reference, atol=1e-3)
check(same, "exercise 2: the same as keras.applications.vgg16.preprocess_input")

# %% [markdown]
# ## 4 · What it sees
#
# Each **block** computes at one resolution, and shows its findings to the next. Below, for one photo, the
# channels of each block that vary most over it (bright: strong reaction).

# %% tags=["nbval-ignore-output"]
name = names[chances.max(axis=1).argmax()]  # the one that it is most certain of
photo = pictures[name]
maps = vision.feature_maps(classifier, photo)
plots.feature_maps(maps, title=f"{classifier.architecture}: {name}")

# %%
coarser = all(a.shape[0] > b.shape[0] for a, b in pairwise(maps.values()))
check(coarser, "each block is coarser than the one before")

# %% [markdown]
# Early maps look like the photo: edges, colours, texture. Late ones say *roughly where* something is that a
# channel stands for, and hardly what it looks like.
#
# ### What does the answer rest on?
#
# Two ways to ask. **Grad-CAM** (Selvaraju et al., 2017) takes the maps of the last block and weights each by
# how much the answer would gain from it. **Occlusion** (Zeiler and Fergus, 2014) assumes nothing: cover a patch with grey,
# predict again, and note what the class has lost.
#
# **Predict before you run.** Which part of the photo above carries the answer? Point at it first.

# %% tags=["nbval-ignore-output"]
label, heat = vision.grad_cam(classifier, photo)
label, loss = vision.occlusion_map(classifier, photo, label, stride=32, progress=False)
plots.heat_maps(
    photo,
    {"Grad-CAM": heat, "lost when covered": loss},
    title=f"{classifier.architecture}: {label}",
)

# %% [markdown]
# Where both agree you may believe them more. Neither is a proof: they show *where*, not *why*. The same
# question for the photo that the network is least certain of:

# %% tags=["nbval-ignore-output"]
doubtful = pictures[names[chances.max(axis=1).argmin()]]
second, first = np.argsort(classifier.probabilities(doubtful[None])[0])[-2:]
answers = [classifier.class_names[number] for number in (first, second)]
plots.heat_maps(doubtful, dict(vision.grad_cam(classifier, doubtful, a) for a in answers),
                title=f"{classifier.architecture}: two answers to one photo")  # fmt: skip

# %% [markdown]
# ## 5 · Photos as points
#
# Cut off the last layer. What remains turns a photo into a few hundred or thousand numbers, its **features**,
# and photos of similar things into similar numbers. Compare the nearest neighbours by features with those by
# pixels.

# %% tags=["nbval-ignore-output"]
features = classifier.features(pixels, progress=False)
spaces = {"features": features, "pixels": pixels[:, ::8, ::8].reshape(len(pixels), -1) / 255}
count = min(6, len(pixels))
queries = np.linspace(0, len(pixels) - 1, min(2, len(pixels))).astype(int)
rows = {}
for query in queries:
    for space, points in spaces.items():
        index = NearestNeighbors(n_neighbors=count, metric="cosine").fit(points)
        nearest = index.kneighbors(points[[query]], return_distance=False)[0]
        rows[f"{query}, by {space}"] = pixels[nearest]
plots.image_rows(
    rows, title=f"{classifier.architecture}: the first photo of each row, and the nearest to it"
)

# %% [markdown]
# By pixels, neighbours share a brightness or a background. By features they share content more often, though
# with so few photos the nearest one may still be far away.
#
# ## 6 · Your own classes
#
# A network from nothing needs thousands of photos. But features that separate 1,000 classes often separate
# yours as well: **freeze** the network, compute the features of your photos *once*, and train only a small
# head on them (*transfer learning*; Yosinski et al., 2014, measured which layers transfer).
#
# Put your photos into a folder with one sub-folder for each class, and give it as `images`. Without, the
# classes are made of what is at hand, half of the photos for training and half for the test.

# %% tags=["nbval-ignore-output"]
material = photos if len(pictures) > 1 else vision.sample_photos()
data = vision.photo_classes(material, classifier.image_size, seed=seed)
print(data)
order = np.argsort(data.y_train, kind="stable")
examples = order[np.linspace(0, len(order) - 1, 8).astype(int)]
plots.image_grid(data.x_train[examples], [data.class_names[k][:12] for k in data.y_train[examples]],
                 columns=8)  # fmt: skip

# %% [markdown]
# Two baselines: always the commonest class, and a logistic regression on the pixels. Then the head, a single
# dense layer with dropout; then **fine-tuning**: the head goes back onto the network, and the top block may
# move a little too, with a hundredth of the usual learning rate so that it does not forget.
#
# **Predict before you run.** Twenty or so photos to learn from. Which of the four will be best, and how far
# will the repetitions scatter, each with another split and another beginning?


# %%
def train_head(features, seed):
    keras.utils.set_random_seed(seed)
    layers = [keras.Input(features.input_shape), keras.layers.Dropout(0.5, seed=seed),
              keras.layers.Dense(features.class_count, activation="softmax")]  # fmt: skip
    head = keras.Sequential(layers)
    train(head, features, epochs=40, batch_size=8, validation_split=0, seed=seed, progress=False)
    return head


def on_pixels(data):
    train_x, test_x = (
        x[:, ::8, ::8].reshape(len(x), -1) / 255 for x in (data.x_train, data.x_test)
    )
    return LogisticRegression(max_iter=2000).fit(train_x, data.y_train).score(test_x, data.y_test)


# %% tags=["nbval-ignore-output"]
scores = {"commonest class": [], "pixels": [], "head on features": [], "fine-tuned": []}
for s in range(seed, seed + n_seeds):
    data = vision.photo_classes(material, classifier.image_size, seed=s)
    features = vision.extract_features(classifier, data, progress=False)
    head = train_head(features, s)
    tuned = vision.with_head(classifier, head)
    train(tuned, data, epochs=5, batch_size=8, learning_rate=1e-5, validation_split=0,
          seed=s, progress=False)  # fmt: skip
    scores["commonest class"].append((data.y_test == np.bincount(data.y_train).argmax()).mean())
    scores["pixels"].append(on_pixels(data))
    scores["head on features"].append(evaluate(head, features).accuracy)
    scores["fine-tuned"].append(evaluate(tuned, data).accuracy)
plots.spread(scores, label="test accuracy", title=f"{data.name}: {len(data.y_train)} for training")

# %% tags=["nbval-ignore-output"]
summary = pd.DataFrame(scores).agg(["min", "median", "max"]).T
summary.map("{:.0%}".format)

# %% tags=["nbval-ignore-output"]
is_known = data.name == "animals_or_things" and classifier.weights == "imagenet"
better = summary.loc["head on features", "median"] > summary.loc["pixels", "median"]
check(better, "features are better than pixels", required=is_known)

# %% [markdown]
# With so few test photos one photo more or less is a step of several percent: look at the ranges before you
# say that one method beats another. If the classes come from ImageNet's own kinds of things, as here, the features have
# it easy; on X-rays or handwriting they would have less to offer.
#
# ### Exercise 3 · How few are enough?
#
# Draw 4 of the training photos at random, train a logistic regression on their *features*, and note its test
# accuracy; do so twenty times. The same with 8 and with 12, if there are so many. Store the lists by number of
# photos. What does more data change: the middle, or the spread?
#
# <details><summary>Hint</summary>
#
# `rng.choice(len(features.y_train), n, replace=False)` draws; a draw that holds one class only cannot be
# learned from, so draw again. Then `LogisticRegression(max_iter=2000).fit(…)` and `.score(…)`.
#
# </details>

# %% tags=["exercise"]
by_size = ...

# %% tags=["solution", "nbval-ignore-output"]
rng = np.random.default_rng(seed)
by_size = {n: [] for n in (4, 8, 12) if n < len(features.y_train)}
for n, accuracies in by_size.items():
    while len(accuracies) < 20:
        drawn = rng.choice(len(features.y_train), n, replace=False)
        if len(set(features.y_train[drawn])) > 1:
            few = LogisticRegression(max_iter=2000)
            few.fit(features.x_train[drawn], features.y_train[drawn])
            accuracies.append(few.score(features.x_test, features.y_test))
plots.spread({f"{n} photos": a for n, a in by_size.items()}, label="test accuracy")

# %%
solved = by_size is not ... and all(len(accuracies) == 20 for accuracies in by_size.values())
check(solved, "exercise 3: twenty accuracies for each number of photos")

# %% [markdown]
# ## What goes wrong here
#
# A wrong name, a file that is not there, a photo that somebody has preprocessed already, and an array with the
# channels in front, as PyTorch has them:

# %%
attempt("a slip of the pen", lambda: vision.load_classifier("VGG61"))
attempt("no such file", lambda: vision.load_classifier("VGG16", "vgg16.h5"))
attempt("preprocessed twice", lambda: classifier.load_photos(pixels[0] / 127.5 - 1))
attempt("channels in front", lambda: classifier.load_photos(np.zeros((3, 224, 224))))

# %% [markdown]
# ## What to take away
#
# - A pretrained network is its architecture, its weights, its preprocessing and its classes; all four have to
#   fit, and a wrong preprocessing makes no error.
# - Its probabilities are about *its* 1,000 classes. It has to choose one of them, also for a photo of you.
# - Grad-CAM and occlusion show where an answer comes from. Look before you trust.
# - Features that others have learned, and a small head: the first thing to try with few photos, always beside
#   a baseline and over several seeds.
#
# **Next:** notebook 07 runs a whole notebook many times, over parameters and seeds, and asks what one may
# conclude.

# %% tags=["nbval-ignore-output"]
record(
    dataset=data.name,
    network=model.name,
    weights=classifier.weights,
    n_photos=len(names),
    top1_accuracy=top1,
    topk_accuracy=top_k,
    single_photo_ms=single,
    photos_per_second=photos_per_second,
    pixel_accuracy=summary.loc["pixels", "median"],
    transfer_accuracy=summary.loc["head on features", "median"],
    tuned_accuracy=summary.loc["fine-tuned", "median"],
)
