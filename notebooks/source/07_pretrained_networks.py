# %% [markdown]
# # 07 · Pretrained networks: VGG16 and ImageNet
#
# Your networks so far tell ten digits or a few languages apart. Others have spent weeks of computing on
# 1.28 million photos in 1,000 classes, and give the result away as one file of numbers. What does such a network
# see in *your* photos, how can you tell what its answer rests on, and can you teach it classes of your own
# with eight examples of each?
#
# | | |
# |---|---|
# | Time | 1¾ hours: 65 minutes to read and try, 40 for the [exercises](exercises/07_exercises.ipynb); it runs in a minute |
# | You will learn | pretrained networks, preprocessing, Grad-CAM and occlusion, features, transfer learning |
# | You need | lessons [04](04_training_with_keras.ipynb) and [05](05_convolutional_networks.ipynb) |

# %%
import time
import warnings
from itertools import pairwise
from typing import Optional

from helpers import plots, vision
from helpers.classroom import attempt, check, reveal
from helpers.datasets import load_dataset
from helpers.evaluation import evaluate
from helpers.models import build_cnn
from helpers.runs import record
from helpers.training import train

import keras
import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors

# %% tags=["parameters"]
architecture: str = "VGG16"  # or EfficientNetLite0, or MobileNet, ResNet50, … of keras.applications
weights: str = "imagenet"  # imagenet, or the path of an .h5 file with this network's weights
images: Optional[str] = None  # your photos: a file or a folder; None for nine that are installed
top: int = 3  # classes to show for each photo
batch_size: int = 32  # photos computed together
n_seeds: int = 3  # repetitions of the comparison at the end
tuning_epochs: int = 3  # times through the pieces when the network is fine-tuned; 0 for not at all
seed: int = 0  # of every random choice below

# %% [markdown]
# ## 1 · A network that has seen the world
#
# **ImageNet** is a collection of photos whose classes are nouns of WordNet, a dictionary that orders English
# words by meaning. For the competitions held with it from 2010 to 2017 (ILSVRC), 1,000 of its classes were
# chosen, from *tench*, a fish, to *toilet tissue*. A network that was trained on them knows these 1,000, and
# nothing else.
#
# `load_classifier` brings such a network with its weights, its preprocessing, its input size and the names of
# its classes. VGG16's weights, 553 MB, are downloaded if they are not at hand (`course data fetch vgg16` does it
# beforehand). Where they cannot be had, this notebook goes on with EfficientNet-Lite0, whose weights were
# installed with the course. Which one you see stands below, and above every figure.

# %% tags=["nbval-ignore-output"]
with warnings.catch_warnings(record=True) as warned:
    classifier = vision.load_classifier(architecture, weights, fallback="EfficientNetLite0")
print(*(warning.message for warning in warned), classifier, classifier.plan, sep="\n")

# %% [markdown]
# The nine photos below came with the packages that you have installed; whose they are stands in
# `data/README.md`. (The two people are known in public: Grace Hopper, who built one of the first compilers, and
# the astronaut Eileen Collins. Such photos, in the public domain, are the only ones of people in this course.)
# For each photo we have noted the labels that we accept. The cat may pass for a tabby, a tiger cat or an Egyptian cat. Among the 1,000 classes there is none for rockets and few for flowers, so we accept *missile* for the rocket and *daisy* for the flower. Stricter labels would give lower scores. Before the network sees a photo, the shorter side is brought to 256 pixels and a square of 224×224 is cut out of the middle. This is how the networks were tested when they were published.

# %% tags=["nbval-ignore-output"]
photos = images or vision.sample_photos()
pictures = classifier.load_photos(photos, limit=32)  # those that we look at below
truth = vision.photo_labels(photos)
names, pixels = list(pictures), np.stack(list(pictures.values()))
shown = dict(list(pictures.items())[:12])
print(f"{len(names)} photos, {len(truth)} with a known label; as an array: {pixels.shape}")

# %% [markdown]
# By chance, one or two answers in a thousand would be right. Which share of the first guesses will be right? And which
# photos will it get wrong?

# %%
guess = None  # a share, from 0 to 1

# %% tags=["nbval-ignore-output"]
said = classifier.predict(photos, top=top, batch_size=batch_size)
plots.photo_predictions(
    shown, said, truth=truth, columns=4, title=f"What {classifier.architecture} says"
)


# %% tags=["nbval-ignore-output"]
def are_right(files, labels):
    return np.array(
        [label in truth.get(file, ()) for file, label in zip(files, labels, strict=True)]
    )


# %% tags=["nbval-ignore-output"]
top1 = top_k = None
if truth:
    labelled = said[said["file"].isin(list(truth))].reset_index()
    right = pd.Series(are_right(labelled["file"], labelled["label"]))
    of_first = right[labelled["rank"] == 1]
    top1, top_k = of_first.mean(), right.groupby(labelled["file"]).any().mean()
    low, high = binomtest(int(of_first.sum()), len(of_first)).proportion_ci(method="wilson")
    reveal(guess, top1, f"The right answer is among the first {top} in {top_k:.0%}.")
    print(
        f"so few photos leave much open: from {low:.0%} to {high:.0%} (95% of such ranges hold the truth)"
    )

# %% tags=["nbval-ignore-output", "hide"]
is_known = images is None and classifier.weights == "imagenet"
if is_known:
    check(top1 >= 0.5, "five of the nine first guesses, or more, are right")

# %% [markdown]
# Look at the mistakes. EfficientNet-Lite0 has trouble with a blurred clock, with a horse that is a black outline and whose muzzle is cut off, and
# with two portraits: one has a space shuttle behind it, in the other it takes a uniform for an academic gown. *Among the first k* is what ImageNet's competitions counted
# (with k = 5), because a photo often shows more than one thing and has only one label.
#
# ## 2 · From MNIST to ImageNet
#
# What changes between lesson 05 and this one? Size, colour, number of classes, preprocessing and cost. Let
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


# %%
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
        "multiplications, million": f"{multiplications(network) / 1e6:,.1f}",
        "one image, ms": f"{ms:.1f}",
        "million multiplications in a ms": f"{multiplications(network) / 1e6 / ms:,.1f}",
        "white becomes": white,
    }


# %% [markdown]
# We compare the network of lesson 05, the classifier from above, and VGG16 (if that is another one). VGG16's column is right with random weights too: they cost the same time. (The times include the preprocessing and the call itself, which weighs most for the small network.)

# %% tags=["nbval-ignore-output"]
mnist = load_dataset("mnist", fallback="digits", seed=seed)
digit_network = build_cnn(mnist, seed=seed)
digit = mnist.x_test[:1]
ms = milliseconds(lambda: digit_network.predict_on_batch(digit))
rescaling = next(x for x in digit_network.layers if isinstance(x, keras.layers.Rescaling))
columns = {f"{mnist.name}, lesson 05": facts(digit_network, ms, f"{255 * rescaling.scale:g}")}
keras.utils.set_random_seed(seed)
known = classifier.architecture == "VGG16"
vgg16 = classifier if known else vision.load_classifier("VGG16", weights=None)
for c in (classifier, vgg16):
    blank = np.full((1, *c.image_size, 3), 255, "uint8")
    ms = milliseconds(lambda c=c, blank=blank: c.probabilities(blank), 3)
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
# More work does not take more time in proportion: see the last row but one. Probably small layers leave a
# processor waiting for data and for the next call, and large ones keep it busy.
#
# VGG16 (Simonyan and Zisserman, 2014) is built as simply as your own network, only more of it. Training it took its
# authors two to three weeks on four GPUs. That is why work with photos mostly begins with a network *trained
# by others*. EfficientNet-Lite0 (after Tan and Le, 2019) was designed to get by with a fraction of the weights
# and the work.
#
# ## 3 · The commonest mistake
#
# A network expects photos in exactly the form in which it was trained, and there are several forms: VGG16 wants blue before red and the mean of ImageNet taken off, EfficientNet-Lite0 wants −1 … 1. `predict` does it for you. If you do it by hand and make a mistake, no error appears.
#
# Three more changes beside the forgotten preprocessing: red and blue swapped, the photo upside down, the photo
# mirrored. Which of these four alters the largest number of first guesses?

# %%
guess = None  # "red and blue swapped", "not preprocessed", "upside down" or "mirrored"

# %% tags=["nbval-ignore-output"]
model = classifier.model
chances = classifier.probabilities(pixels)
raw = keras.ops.convert_to_numpy(model(pixels.astype("float32"), training=False))

# %% tags=["nbval-ignore-output"]
outputs = {
    "as it should be": chances,
    "red and blue swapped": classifier.probabilities(pixels[..., ::-1]),
    "not preprocessed": raw,
    "upside down": classifier.probabilities(pixels[:, ::-1]),
    "mirrored": classifier.probabilities(pixels[:, :, ::-1]),
}
guesses = {name: output.argmax(axis=1) for name, output in outputs.items()}
same_guess = {name: (best == guesses["as it should be"]).mean() for name, best in guesses.items()}

# %% tags=["nbval-ignore-output"]
table = pd.DataFrame({"first guesses that stay": same_guess})
if truth:
    has_label = np.isin(names, list(truth))
    labels = {name: np.array(classifier.class_names)[best] for name, best in guesses.items()}
    right_of = {name: are_right(names, own)[has_label].mean() for name, own in labels.items()}
    table["right"] = pd.Series(right_of)
table.map("{:.0%}".format)

# %% tags=["nbval-ignore-output"]
changed = {name: 1 - share for name, share in same_guess.items()}
reveal(
    guess,
    max(changed, key=changed.get),
    f"It changes {max(changed.values()):.0%} of the first guesses.",
)

# %% tags=["nbval-ignore-output", "hide"]
if is_known and not np.allclose(classifier.preprocess(pixels[:1]), pixels[:1]):
    fewer = table.loc["not preprocessed", "right"] < table.loc["as it should be", "right"]
    check(fewer, "forgotten preprocessing costs right answers")

# %% [markdown]
# No error, no warning; only other answers.
#
# ## 4 · What it sees
#
# Each **block** computes maps of one size, and hands them to the next. Below, for one photo, the channels of each block that vary most over it. Bright is a strong reaction; each small map is drawn over its own range, so do not compare the brightness of two maps. (The colours are those of a scale, not of the photo.)

# %% tags=["nbval-ignore-output"]
name = names[chances.max(axis=1).argmax()]  # the one that it is most certain of
photo = pictures[name]
maps = vision.feature_maps(classifier, photo)
plots.feature_map_grid(
    maps, count=6, title=f"{classifier.architecture}: what its blocks find in {name}"
)

# %%
coarser = all(a.shape[0] > b.shape[0] for a, b in pairwise(maps.values()))
check(coarser, "each block is coarser than the one before")

# %% [markdown]
# Early maps look like the photo, with its edges and its texture. Late ones are coarse: a bright place tells *roughly where* the channel found something.
#
# ### What does the answer rest on?
#
# Two ways to ask. **Grad-CAM** (Selvaraju et al., 2017) takes the maps of the last block and weights each by
# how much the answer would gain from it. **Occlusion** (Zeiler and Fergus, 2014) covers a patch with grey,
# predicts again, and notes what the class has lost. It takes for granted that grey means “nothing is there”.
#
# Which part of the photo above carries the answer? Point at it before you run the cell.

# %% tags=["nbval-ignore-output"]
label, heat = vision.grad_cam(classifier, photo)
label, loss = vision.occlusion_map(classifier, photo, label, stride=32, progress=False)
plots.heat_maps(
    photo,
    {"Grad-CAM": heat, "probability lost": loss},
    title=f"{classifier.architecture}: {label}",
)

# %% [markdown]
# Each map is shown over its own range, which stands above it. Grad-CAM's numbers have no unit: higher only means more important. Does the picture come from what the network has *learned*? The control: the same photo, the same class, the same architecture, with random weights, which have learned nothing.

# %% tags=["nbval-ignore-output"]
untrained = vision.load_classifier(classifier.architecture, weights=None)
same_class = untrained.class_names[classifier.class_names.index(label)]
_, control = vision.grad_cam(untrained, photo, same_class)
plots.heat_maps(
    photo,
    {"Grad-CAM, random weights": control},
    title=f"{classifier.architecture}, untrained, the same class: the control",
)

# %% [markdown]
# Random weights have a map as well, so a map *alone* proves nothing (Adebayo et al., 2018, tested methods in this way). Ask two things: does the map of the trained network differ from the control, and do the two methods agree about the place? Where they do not agree, as far as you can see, the map says little. And maps show *where*, not *why*.
#
# What does the answer rest on for the photo of which the network is least certain? Two maps, for its first and its second guess:

# %% tags=["nbval-ignore-output"]
doubtful = pictures[names[chances.max(axis=1).argmin()]]
second, first = np.argsort(classifier.probabilities(doubtful[None])[0])[-2:]
answers = [classifier.class_names[number] for number in (first, second)]
plots.heat_maps(doubtful, dict(vision.grad_cam(classifier, doubtful, a) for a in answers),
                title=f"{classifier.architecture}: two answers to one photo")  # fmt: skip

# %% [markdown]
# ## 5 · Photos as points
#
# Cut off the last layer. What remains turns a photo into a few hundred or thousand numbers, its *features*.
# The claim of this section: photos of similar things get similar features, even things that are no class of
# ImageNet.
#
# To test it we need classes, and many photos of each. Here are scraps of three surfaces: a wall of *brick*,
# *grass* and *gravel*. Each scrap is a square of 3 to 10% of the photo's height, turned, lit differently,
# and enlarged. Those for training come from the left halves of the photos, those for the test from the right:
# this does not test whether *another* wall would be recognised.
# (Your own: a folder with one sub-folder for each class, as `images`; half of them are for the test.)

# %% tags=["nbval-ignore-output"]
material = images if images and len(names) > 1 else vision.sample_materials()
data = vision.photo_classes(material, classifier.image_size, seed=seed)
print(data)
order = np.argsort(data.y_test, kind="stable")
examples = order[np.linspace(0, len(order) - 1, 12).astype(int)]
plots.image_grid(data.x_test[examples], [data.class_names[k][:12] for k in data.y_test[examples]],
                 columns=6)  # fmt: skip

# %% [markdown]
# Take a scrap of the test, and look for the training scrap that is nearest to it. How often will it be of the same
# class, by features? And by pixels? By chance it would be one in three.

# %%
guess = None  # a share, from 0 to 1: by features


# %% tags=["nbval-ignore-output"]
def as_pixels(x):
    return x[:, ::8, ::8].reshape(len(x), -1) / 255


features = vision.extract_features(classifier, data, progress=False)
spaces = {
    "features": (features.x_train, features.x_test),
    "pixels": (as_pixels(data.x_train), as_pixels(data.x_test)),
}
nearest = {}
for space, (known_x, asked_x) in spaces.items():
    index = NearestNeighbors(n_neighbors=min(5, len(known_x))).fit(known_x)
    nearest[space] = index.kneighbors(asked_x, return_distance=False)
same = {s: (data.y_train[near[:, 0]] == data.y_test).mean() for s, near in nearest.items()}
reveal(guess, same["features"], f"By pixels it is {same['pixels']:.2f}.")

# %% tags=["nbval-ignore-output"]
asked = order[len(order) // 2]
rows = {
    f"by {space}": np.stack([data.x_test[asked], *data.x_train[near[asked]]])
    for space, near in nearest.items()
}
name_asked = data.class_names[data.y_test[asked]]
plots.image_rows(
    rows, title=f"{classifier.architecture}: a piece of {name_asked}, and the nearest to it"
)

# %% tags=["nbval-ignore-output", "hide"]
check(same["features"] > same["pixels"], "the nearest is of its class more often by features",
      required=is_known)  # fmt: skip

# %% [markdown]
# By pixels, two scraps are near if they are equally bright at the same places. By features they are mostly near if they show the same kind of thing, also when it is turned or lit in another way. (The pixels here are those of every eighth row and column.)
#
# ## 6 · Your own classes
#
# A network trained from scratch commonly needs thousands of photos. But features that separate 1,000 classes often separate yours as well: **freeze** the network, which means that its weights are not trained any more. Then compute the features of your photos *once*, and train only a small model on them (*transfer learning*; Yosinski et al., 2014, measured which layers transfer).
#
# Two baselines: always the commonest class, and a logistic regression on the pixels. Against them the *same* logistic regression on the features, so that only one thing differs. (In the picture, a row with fewer dots has equal values on top of each other. A *seed* is the number with which random choices begin.)
#
# Eight scraps of each class to learn from. Which accuracy will the features reach (the median of the repetitions, each
# with other scraps)?

# %%
guess = None  # a share, from 0 to 1


# %% tags=["nbval-ignore-output"]
def test_accuracy(train_x, test_x, data):
    return LogisticRegression(max_iter=2000).fit(train_x, data.y_train).score(test_x, data.y_test)


scores = {"commonest class": [], "pixels": [], "features": []}
for s in range(seed, seed + n_seeds):
    drawn = vision.photo_classes(material, classifier.image_size, seed=s)
    found = vision.extract_features(classifier, drawn, progress=False)
    commonest = np.bincount(drawn.y_train).argmax()
    scores["commonest class"].append((drawn.y_test == commonest).mean())
    x_train, x_test = as_pixels(drawn.x_train), as_pixels(drawn.x_test)
    scores["pixels"].append(test_accuracy(x_train, x_test, drawn))
    scores["features"].append(test_accuracy(found.x_train, found.x_test, drawn))
title = f"{classifier.architecture}, {len(data.y_train)} for training, one dot a seed"
plots.spread(scores, label="test accuracy", title=title)

# %% tags=["nbval-ignore-output"]
summary = pd.DataFrame(scores).agg(["min", "median", "max"]).T
summary.map("{:.0%}".format)

# %% tags=["nbval-ignore-output"]
pixel_median, feature_median = summary.loc[["pixels", "features"], "median"]
reveal(guess, feature_median, f"By pixels it is {pixel_median:.2f}.")

# %% tags=["nbval-ignore-output", "hide"]
better = min(scores["features"]) > max(scores["pixels"])
check(better, "features are better than pixels, at every seed", required=is_known)

# %% [markdown]
# Mind again what was measured: scraps of *these three* photos. Thirty-four pieces of one wall are not
# thirty-four walls.
#
# ### A head, and fine-tuning
#
# Now the same with a network: a **head** of one dense layer, trained on the features. Then **fine-tuning**: the head
# goes back onto the network, and the top block may move a little too, with a tenth of the usual learning rate
# so that it does not forget. (`tuning_epochs = 0` leaves this out.)

# %% tags=["nbval-ignore-output"]
keras.utils.set_random_seed(seed)
dense = keras.layers.Dense(features.class_count, activation="softmax")
head = keras.Sequential([keras.Input(features.input_shape), dense])
options = {"batch_size": 8, "validation_split": 0, "seed": seed, "progress": False}
train(head, features, epochs=60, **options)
rows = {"head": evaluate(head, features)}
if tuning_epochs:
    tuned = vision.with_head(classifier, head)
    train(tuned, data, epochs=tuning_epochs, learning_rate=1e-4, **options)
    rows["fine-tuned"] = evaluate(tuned, data)
pd.DataFrame(
    {name: {"test accuracy": e.accuracy, "test loss": e.loss} for name, e in rows.items()}
).T.round(3)

# %% [markdown]
# If there is a second row: does it beat the first? Millions of weights can learn so few examples by heart. And
# it is one run each: look at the range of the dots above before you say that fine-tuning helps, or harms.
#
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
# - A pretrained network is its architecture, its weights, its preprocessing and its classes; all four have to fit, and a network that is called with wrongly preprocessed photos gives no error.
# - Its probabilities are about *its* 1,000 classes. It has to choose one of them, also for a photo of you.
# - Grad-CAM and occlusion hint at where an answer comes from. Look, and compare with a control, before you trust.
# - Features that others have learned, and a small model on them: the first thing to try with few photos, always
#   beside a baseline and over several seeds.
#
# Now the [exercises](exercises/07_exercises.ipynb). Next lesson: [08 · Parameter
# sweeps](08_parameter_sweeps.ipynb): a whole notebook runs many times, and we ask what one may conclude.

# %% tags=["nbval-ignore-output", "hide"]
record(
    dataset=data.name,
    network=model.name,
    weights=classifier.weights,
    n_photos=len(names),
    top1_accuracy=top1,
    topk_accuracy=top_k,
    single_photo_ms=single,
    photos_per_second=photos_per_second,
    pixel_accuracy=pixel_median,
    transfer_accuracy=feature_median,
    tuned_accuracy=rows["fine-tuned"].accuracy if tuning_epochs else None,
)
