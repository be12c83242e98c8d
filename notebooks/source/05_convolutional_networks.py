# %% [markdown]
# # 05 · Convolutional networks
#
# Take all digits and shuffle their pixels, every image with the *same* shuffle. You could not read one any more.
# Could a network? The dense network of lesson 04 does not even notice. A convolutional network does, and that is
# its strength.
#
# | | |
# |---|---|
# | Time | 1¾ hours: 65 minutes to read and try, 40 for the [exercises](exercises/05_exercises.ipynb); it runs in 2 minutes |
# | You will learn | convolution, pooling, learning rates, augmentation, error analysis, what filters see |
# | You need | lessons [03](03_neural_networks.ipynb) and [04](04_training_with_keras.ipynb): loss, optimizer, overfitting |

# %%
from functools import partial
from typing import Optional

from helpers import plots
from helpers.classroom import attempt, check, reveal
from helpers.datasets import load_dataset
from helpers.evaluation import evaluate, mistakes_grid
from helpers.models import build_cnn, build_mlp, build_photo_classifier
from helpers.preprocessing import augmentation, scale
from helpers.runs import record
from helpers.training import train

import keras
import numpy as np
import pandas as pd

# %% tags=["parameters"]
dataset: str = "mnist"  # an image set: a name (mnist, fashion_mnist, cifar10, digits) or a path
n_samples: Optional[int] = 8_000  # at most this many training images; None for all
epochs: int = 2  # times through the data for the two networks; 10 is usual
batch_size: int = 64  # images in a step
learning_rate: float = 1.0  # of Adadelta, the first network's optimizer
n_few: int = 300  # images in the experiments with few of them
n_seeds: int = 2  # repetitions where luck plays a part
seed: int = 0  # of every random choice below

# %%
data = load_dataset(dataset, fallback="digits", seed=seed).subset(n_samples, seed)
data

# %% tags=["hide"]
if min(data.input_shape[:2]) < 16:  # digits has 8×8 pixels: too few for two poolings
    data = load_dataset(data.name, image_size=(16, 16), seed=seed).subset(n_samples, seed)
is_mnist = data.name == "mnist" and len(data.x_train) >= 8_000  # what some claims below are about

# %% [markdown]
# ## 1 · What is lost when pixels are shuffled?

# %%
shape = data.input_shape
order = np.random.default_rng(seed).permutation(int(np.prod(shape)))


def shuffle_pixels(x):
    return x.reshape(len(x), -1)[:, order].reshape(len(x), *shape)


shuffled = data.replace(x_train=shuffle_pixels(data.x_train), x_test=shuffle_pixels(data.x_test))
plots.image_rows({"as they are": data.x_train[:8], "shuffled": shuffled.x_train[:8]})

# %% [markdown]
# Two networks, each trained twice on 3,000 images for three epochs: on the images as they are, and on the shuffled ones. Which of the two networks
# loses more accuracy by the shuffle?

# %%
guess = None  # "dense" or "convolutional"

# %% tags=["nbval-ignore-output"]
two_pools = {"blocks": ((32,), (64,)), "dropout": (0, 0)}
builders = {"dense": build_mlp, "convolutional": partial(build_cnn, **two_pools)}
few = min(3000, len(data.x_train))
accuracies = pd.DataFrame(index=list(builders), columns=["as they are", "shuffled"], dtype=float)
for version, images in (("as they are", data), ("shuffled", shuffled)):
    for kind, build in builders.items():
        network = build(data, seed=seed)
        train(network, images.subset(few, seed), epochs=max(3, epochs), progress=False)
        accuracies.loc[kind, version] = evaluate(network, images).accuracy
accuracies.round(4)

# %% tags=["nbval-ignore-output"]
drops = accuracies["as they are"] - accuracies["shuffled"]
reveal(
    guess,
    drops.idxmax(),
    f"It loses {100 * drops.max():.1f} points, the other {100 * drops.min():.1f}.",
)

# %% tags=["nbval-ignore-output", "hide"]
check(abs(drops["dense"]) < 0.02, "the dense network does not notice", required=is_mnist)
check(drops["convolutional"] > 0.01, "the convolutional network does", required=is_mnist)

# %% [markdown]
# (One run each.) A dense layer has a weight for every pixel, and does not know which pixels are neighbours. A
# **convolution** knows: it looks at 3×3 pixels at a time, with the *same* weights everywhere. On real
# images, where neighbours belong together, that is a good assumption; on shuffled ones a false one.
#
# ## 2 · A convolution by hand
#
# Nine weights, the **kernel**, slide over the image; at each place, weights and pixels are multiplied and added up to one number. With positive weights on the left
# and negative ones on the right, they answer to vertical edges. (`grey` is the first training image, its values from 0 to 1. In the pictures, dark is a large answer of either sign.)

# %% tags=["hide"]
grey = scale(data).x_train[0]
grey = grey.mean(axis=2) if grey.ndim == 3 else grey  # colour: the mean of the channels


# %%
def convolve(image, kernel):
    """Sum up image × kernel at every place where the kernel fits in."""
    height, width = image.shape[0] - 2, image.shape[1] - 2
    return sum(
        kernel[i, j] * image[i : i + height, j : j + width] for i in range(3) for j in range(3)
    )


edges = {"vertical": np.array([[1, 0, -1]] * 3), "horizontal": np.array([[1, 0, -1]] * 3).T}
answers = {name: np.abs(convolve(grey, kernel)) for name, kernel in edges.items()}
plots.image_grid(
    np.stack([grey[1:-1, 1:-1], *(a / a.max() for a in answers.values())]),
    ["image", *(f"{name} edges" for name in edges)],
    columns=3,
)

# %% [markdown]
# Keras computes the same, for many kernels at once. (In mathematics this is a *cross-correlation*, not the correlation of lesson 02: the kernel is not turned around. All deep-learning libraries call it convolution.)

# %%
layer = keras.layers.Conv2D(1, 3, use_bias=False)
layer.build((None, *grey.shape, 1))
layer.set_weights([edges["vertical"].reshape(3, 3, 1, 1).astype("float32")])
by_keras = np.asarray(layer(grey[None, :, :, None]))[0, :, :, 0]
check(np.allclose(by_keras, convolve(grey, edges["vertical"]), atol=1e-5), "Keras agrees")

# %% [markdown]
# ## 3 · Two classic networks
#
# The first: two convolutions of 32 and 64 **filters**, then **pooling** (the largest of every 2×2 pixels: a quarter of the numbers,
# and a shift by a pixel matters less), dropout, a dense layer, dropout, softmax.
#
# A filter is a kernel that is learned. It looks at *all* channels of what it is given: one of the second layer has 3 · 3 · 32 weights and a bias. What it computes, with ReLU applied, is a picture again, its **feature map**: one for each filter.
#
# Which kind of layer holds most of the network's weights?

# %%
guess = None  # "convolution" or "dense"

# %%
big = build_cnn(data, seed=seed)
big.summary()

# %%
largest = max(big.layers, key=lambda layer: layer.count_params())
share = largest.count_params() / big.count_params()
kind = "dense" if isinstance(largest, keras.layers.Dense) else "convolution"
reveal(guess, kind, f"One dense layer holds {share:.0%} of all weights.")

# %% tags=["nbval-ignore-output"]
big_run = train(
    big,
    data,
    epochs=epochs,
    batch_size=batch_size,
    optimizer="adadelta",
    learning_rate=learning_rate,
    seed=seed,
)

# %% [markdown]
# The second pools after each convolution. Its dense layer then sees far fewer numbers. (Both are found in many tutorials in this form. They differ in more than one thing: pooling, dropout, optimizer and batch size. So the table below compares two
# recipes, and does not tell which difference matters.)

# %% tags=["nbval-ignore-output"]
small = build_cnn(data, **two_pools, seed=seed)
small_run = train(small, data, epochs=epochs, batch_size=32, optimizer="adam", seed=seed)

# %% tags=["nbval-ignore-output"]
plots.learning_curves({"32-64-pool": big_run.history, "32-pool-64-pool": small_run.history})

# %% tags=["nbval-ignore-output"]
results = {"32-64-pool": evaluate(big, data), "32-pool-64-pool": evaluate(small, data)}
pd.DataFrame(
    {
        "parameters": [f"{network.count_params():,}" for network in (big, small)],
        "seconds an epoch": [run.history["seconds"].iloc[-1] for run in (big_run, small_run)],
        "test accuracy": [e.accuracy for e in results.values()],
    },
    index=list(results),
).round(4)

# %% tags=["nbval-ignore-output", "hide"]
accuracy, small_accuracy = (result.accuracy for result in results.values())
check(min(accuracy, small_accuracy) > 0.95, "both are right in more than 95%", required=is_mnist)

# %% [markdown]
# Where the validation is better than the training: the training figure is a mean over the whole epoch, its
# worse beginning included; and dropout is at work in training only: the validation sees the whole network.
#
# ## 4 · A learning rate that does not learn
#
# In many tutorials the first network is trained with `Adadelta()` and nothing in the brackets. (**Adadelta**, Zeiler 2012, is a relative of RMSprop.) In the Keras of its time that
# meant a rate of 1.0; today the default is 0.001. Below, the same network is trained twice on 1,000 of the images, once with each rate. What accuracy does it reach on the validation images, after three epochs, with today's default?

# %%
guess = None  # a share, from 0 to 1

# %% tags=["nbval-ignore-output"]
part = data.subset(min(1000, len(data.x_train)), seed)
rates = {}
for rate in (float(keras.optimizers.Adadelta().learning_rate), 1.0):
    network = build_cnn(data, seed=seed)
    run = train(network, part, epochs=3, optimizer="adadelta", learning_rate=rate, progress=False)
    rates[f"rate {rate:g}"] = run.history
plots.learning_curves(rates, title=f"Adadelta, {len(part.x_train):,} images")

# %% tags=["nbval-ignore-output"]
slow, fast = (history["val_accuracy"].iloc[-1] for history in rates.values())
reveal(guess, slow, f"With a rate of 1.0 it is {fast:.2f}.")

# %% tags=["nbval-ignore-output", "hide"]
check(fast > slow + 0.2, "at today's default rate Adadelta hardly learns", required=is_mnist)

# %% [markdown]
# No error, no warning; only a curve that hardly moves. Look at the curve before you blame the network,
# and write the learning rate down: a default is a decision that someone else can change.
#
# ## 5 · Augmentation: more images from few
#
# A slightly turned or shifted 3 is still a 3. `augmentation` changes every training image a little, anew in
# each epoch. Below, the first row shows the images as they are; then come a mild augmentation, the same with a horizontal flip, and a strong one (rotation by up to 20°, shifts by up to 0.2 of the width and the height, shear, which slants the image, by up to 0.2, zoom, flip). Many tutorials have these numbers; in their old code the shear was in degrees, so that 0.2 did nearly nothing (lesson 01).

# %% tags=["hide"]
sample = scale(data).x_train[:8]
sample = sample if sample.ndim == 4 else sample[..., None]  # the layers expect a channel axis

# %%
mild = {"rotation": 10, "shift": 0.1, "shear": 0, "zoom": 0.1, "horizontal_flip": False}
kinds = {
    "mild": augmentation(**mild, seed=seed),
    "mild + flip": augmentation(**mild | {"horizontal_flip": True}, seed=seed),
    "strong": augmentation(rotation=20, shift=0.2, shear=0.2, zoom=0.2, horizontal_flip=True,
                                seed=seed),
}  # fmt: skip
versions = {name: np.asarray(change(sample, training=True)) for name, change in kinds.items()}
plots.image_rows({"original": sample} | versions)

# %% [markdown]
# Each of them, and no augmentation, trains a smaller network (16 and 32 filters, dropout 0.5) on 300 images. Which of the three gives the digits the best accuracy?

# %%
guess = None  # "mild", "mild + flip" or "strong"

# %% tags=["nbval-ignore-output"]
augmented = {}
for name, change in ({"none": None} | kinds).items():
    augmented[name] = []
    for s in range(n_seeds):
        few = data.subset(n_few, s)
        network = build_cnn(data, blocks=((16,), (32,)), dropout=(0, 0.5), seed=s)
        train(network, few, epochs=40, batch_size=32, augmentation=change, seed=s, progress=False)
        augmented[name].append(evaluate(network, data).accuracy)
plots.spread(augmented, label="test accuracy", title=f"{n_few} images, 40 epochs, one dot a seed")

# %% tags=["nbval-ignore-output"]
means = pd.Series({name: np.mean(accuracies) for name, accuracies in augmented.items()})
reveal(
    guess,
    means.drop("none").idxmax(),
    f"It has {means.drop('none').max():.3f} on average, no augmentation {means['none']:.3f}.",
)
flip = means["mild + flip"] - means["mild"]
print(f"the flip alone changes the mean by {100 * flip:+.1f} points, {n_seeds} seeds each")

# %% tags=["nbval-ignore-output", "hide"]
ahead = min(augmented["mild"]) > max(augmented["none"])
check(
    ahead, f"with {n_seeds} seeds, every mild run is ahead of every run without", required=is_mnist
)
behind = max(augmented["strong"]) < min(augmented["mild"])
check(behind, "every strong run is behind every mild run", required=is_mnist)

# %% [markdown]
# (*Points* are percentage points. All networks trained for 40 epochs; a stronger augmentation may need more.) An augmentation is a claim about
# the world: “this change does not change the class”. For photos of cats, that is
# true of a flip. For most digits it is false. The strong setting differs from the mild one in five things; the
# line above tells what the flip alone does. (With two seeds, even rows that do not overlap at all come about by chance
# in one of three cases. Lesson 08 explains why; raise `n_seeds` to know more.)
#
# ## 6 · Where it fails

# %% tags=["nbval-ignore-output"]
evaluation = results["32-64-pool"]
plots.confusion_matrix(evaluation.confusion(), title="32-64-pool on the test set")

# %% [markdown]
# The mistakes of which the network was most certain. Above each: the truth → what the network said. How many of them
# would *you* get right?

# %% tags=["nbval-ignore-output"]
mistakes_grid(evaluation, data.x_test)

# %% tags=["nbval-ignore-output"]
evaluation.report().round(4)

# %% [markdown]
# Does it know when it does not know? The largest of the ten probabilities is the network's **confidence**. Collect the answers by confidence. A network is well **calibrated** if, of
# the answers given with 80% confidence, 80% are right.

# %% tags=["nbval-ignore-output"]
plots.calibration(evaluation.calibration(), title="confidence against truth")

# %% [markdown]
# Points below the diagonal: more confident than right. Points above
# it: more often right than it says. The number at a point counts its answers; points with few answers can lie off the
# line by chance. Exercise 3 uses
# the confidence to decide what a person should look at.

# %% [markdown]
# ## 7 · What the filters see
#
# What the first convolution computes for one image: each picture is the feature map of one filter. (Where the background is grey, the filter's bias is above 0: ReLU lets it through where there is no ink.)

# %% tags=["nbval-ignore-output"]
first_convolution, second_convolution = [
    x for x in big.layers if isinstance(x, keras.layers.Conv2D)
]
maps_of = keras.Model(big.inputs[0], [first_convolution.output, second_convolution.output])
one = data.x_test[:1]
first_maps, second_maps = (np.asarray(m)[0].transpose(2, 0, 1) for m in maps_of(one))
plots.image_grid(
    first_maps[:16] / max(first_maps.max(), 1e-6),
    columns=8,
    title="first convolution, 16 of 32 maps",
)

# %% tags=["nbval-ignore-output"]
plots.image_grid(
    second_maps[:16] / max(second_maps.max(), 1e-6), columns=8, title="second convolution, 16 of 64"
)

# %% [markdown]
# Most maps of the first layer still show the whole digit, some with its edges stressed. Maps of the second layer differ
# more: some show most of it, some only a part, some hardly anything. To see *what* a filter of the second layer answers to, cut out the patches of 5×5 pixels with its strongest answers (3×3 places of the first layer, which are 5×5 pixels of the image). And, as a control, the same with a network of random weights:

# %%
pool = scale(data).x_test[:500].astype("float32")


def strongest_patches(network, n_filters=4, n_patches=8):
    """Return the 5×5 patches of the test images that excite filters of the second layer most."""
    second = [x for x in network.layers if isinstance(x, keras.layers.Conv2D)][1]
    answers = np.asarray(keras.Model(network.inputs[0], second.output)(data.x_test[:500]))
    patches = []
    for number in range(n_filters):
        by_image = answers[..., number].reshape(len(pool), -1)
        for image in np.argsort(-by_image.max(axis=1))[:n_patches]:
            row, column = divmod(by_image[image].argmax(), answers.shape[2])
            patches.append(pool[image, row : row + 5, column : column + 5])
    return np.stack(patches)


# %% tags=["nbval-ignore-output"]
plots.image_grid(strongest_patches(big), columns=8, title="trained: four filters (rows)")

# %% tags=["nbval-ignore-output"]
random_network = build_cnn(data, seed=seed + 1)
plots.image_grid(strongest_patches(random_network), columns=8, title="random weights: the control")

# %% [markdown]
# In both pictures the patches of a row resemble each other: any filter, also a random one, prefers some pattern. (The control began with other random numbers: its first row is not the first row above before training.) So such rows do not prove that a filter has *learned* something.
#
# ## What goes wrong here
#
# A photo classifier with the functional API, as some tutorials have it: the layers are made, but never *called* on
# what comes before them, so no input leads to the output.

# %%
inputs = keras.Input((224, 224, 3))
convolution = keras.layers.Conv2D(32, 3, activation="relu")
flatten = keras.layers.Flatten()
outputs = keras.layers.Dense(10, activation="softmax")(keras.Input((10,)))
attempt("layers that nothing connects", lambda: keras.Model(inputs, outputs))

# %% [markdown]
# Connected, layer by layer, `x = layer(x)`, it works:

# %%
photo = build_photo_classifier((224, 224, 3), 10)
print(f"{photo.count_params():,} weights, {photo.layers[-1].count_params():,} in the last layer")
check(photo.output_shape == (None, 10), "ten probabilities for each photo of 224×224 pixels")

# %% [markdown]
# Two more, both of them quiet:
#
# - *The test set as validation set.* Whoever chooses the best epoch or network by it has learned from it.
#   `train` holds a part of the training set out instead.
# - *An augmentation that is made but never used.* `ImageDataGenerator.fit(x)` computes statistics; it changes
#   no image. Look at the images that go in, as above.
#
# ## What to take away
#
# - A convolution assumes that neighbours belong together and that a pattern means the same everywhere. Its layers have
#   few weights; most weights of such a network lie in its dense layer.
# - Curves first: a learning rate that is a thousand times too small gives no error.
# - Augment only by changes that leave the class as it is.
# - Accuracy is a beginning. Look at the mistakes, class by class, and at the confidence.
#
# Now the [exercises](exercises/05_exercises.ipynb). Next lesson: [06 · Recurrent
# networks](06_recurrent_networks.ipynb), which read images row by row, and names letter by letter.

# %% tags=["nbval-ignore-output", "hide"]
record(
    dataset=data.name,
    n_train=len(data.x_train),
    val_accuracy=big_run.history["val_accuracy"].iloc[-1],
    val_loss=big_run.history["val_loss"].iloc[-1],
    test_accuracy=accuracy,
    test_loss=evaluation.loss,
    small_accuracy=small_accuracy,
    calibration_error=evaluation.calibration_error(),
    augmentation_gain=float(np.median(augmented["mild"]) - np.median(augmented["none"])),
    samples_per_second=big_run.samples_per_second,
    history=big_run.history,
    plan=big_run.plan,
)
