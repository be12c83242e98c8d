# %% [markdown]
# # 04 · Training with Keras
#
# In lesson 03 a network took about 30 lines and a page of mathematics. Keras needs five lines, for networks of any
# shape. What do these lines do, and can you trust them? In this lesson you train with Keras, open the loop that it
# hides, and find out how to see and how to fight the main disease of networks: they learn their examples by heart.
#
# | | |
# |---|---|
# | Time | 3 hours: 105 minutes to read and try, 75 for the [exercises](exercises/04_exercises.ipynb); it runs in 90 seconds |
# | You will learn | `Sequential` and functional models; `compile`, `fit`, `evaluate`, `predict`, `save`; GradientTape; which loss for which task; regression; overfitting and six remedies |
# | You need | lesson [03](03_neural_networks.ipynb): layers, loss, gradient, optimizer, epoch |

# %%
from typing import Optional

from helpers import plots
from helpers.classroom import attempt, check, choose, interact, reveal
from helpers.datasets import load_dataset
from helpers.runs import record
from helpers.training import train

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from keras import layers

# %% tags=["parameters"]
dataset: str = "mnist"  # an image set: a name (mnist, fashion_mnist, digits) or a path
n_samples: Optional[int] = 12_000  # at most this many training images; None for all
epochs: int = 5  # times through the data in section 1
n_few: int = 500  # training images in sections 6 and 7
few_epochs: int = 20  # times through them
n_seeds: int = 5  # repetitions where luck plays a part
seed: int = 0  # of every random choice below

# %%
data = load_dataset(dataset, fallback="digits", seed=seed).subset(n_samples, seed)
n_fit = len(data.x_train) * 5 // 6
x, y = data.x_train[:n_fit], data.y_train[:n_fit]
x_val, y_val = data.x_train[n_fit:], data.y_train[n_fit:]
x_test, y_test = data.x_test, data.y_test
n_classes, shape = data.class_count, data.input_shape
data

# %% [markdown]
# ## 1 · A network in five lines
#
# **TensorFlow** is a library that computes with arrays on processors and graphics cards, and that differentiates
# for you. **Keras** is a library for building and training networks, which leaves the computing to TensorFlow. (It can also run on JAX
# or PyTorch. The library that does
# the computing for Keras is called its **backend**.)
#
# A `Sequential` model is a list of layers, each fed by the one before. The first layer here divides the bytes by
# 255, so that nobody can forget it. `Flatten` makes a row of each image. `Dense` is the layer of lesson 03.

# %%
keras.utils.set_random_seed(seed)
model = keras.Sequential(
    [
        keras.Input(shape),
        layers.Rescaling(1 / 255),
        layers.Flatten(),
        layers.Dense(512, activation="relu"),
        layers.Dense(n_classes, activation="softmax"),
    ]
)

# %% [markdown]
# How many parameters does it have? Remember the biases.

# %%
guess = None  # a whole number

# %%
reveal(
    guess, model.count_params(), f"{x[0].size} · 512 + 512, and 512 · {n_classes} + {n_classes}."
)
model.summary()

# %% [markdown]
# `compile` sets loss, optimizer and what to report. *Sparse* categorical cross-entropy takes labels as whole
# numbers; without *sparse* it wants one-hot rows. `fit` is the training loop: it runs through the data in batches,
# `epochs` times.

# %% tags=["nbval-ignore-output"]
model.compile(optimizer="rmsprop", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x, y, epochs=epochs, batch_size=128, validation_data=(x_val, y_val), verbose=2)

# %% [markdown]
# `history.history` is a dictionary with a list for each number. The pair of curves, training and validation, is
# called a **learning curve**. It is the first thing to look at after any training.

# %% tags=["nbval-ignore-output"]
curves = pd.DataFrame(history.history, index=range(1, epochs + 1))
plots.learning_curves(curves, title="784 – 512 – 10, RMSprop")

# %% [markdown]
# The validation curve can be the better one at first: the training figure is the mean over an epoch in which the
# network got better all the time, the validation figure is measured at its end.
#
# `evaluate` computes the loss and the other measures that `compile` was given (**metrics**: here the accuracy) on other data, `predict` gives the probabilities. Which share of the test
# images is right? (The network of lesson 03, with 32 hidden neurons and half as many images, got about 92% of
# MNIST.)

# %%
guess = None  # a share, from 0 to 1

# %% tags=["nbval-ignore-output"]
test_loss, test_accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"test loss {test_loss:.3f}")
reveal(guess, test_accuracy)

# %% tags=["nbval-ignore-output"]
probabilities = model.predict(x_test[:8], verbose=0)
titles = [f"{p.argmax()} ({p.max():.0%})\ntruth {t}" for p, t in zip(probabilities, y_test)]
plots.image_grid(x_test[:8], titles, columns=8, title="What it says of the first test images")

# %% tags=["hide"]
check(
    test_accuracy > 0.93,
    "more than 93% of the test images are right",
    required=data.name == "mnist" and n_fit >= 10_000,
)
rounded = np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
check(rounded, "each row of predict is a probability distribution")

# %% [markdown]
# *Remember: build, compile, fit, evaluate, predict. Look at the curves.*
#
# ## 2 · What does `fit` do?
#
# You know from lesson 03: forward pass, loss, gradient, step. TensorFlow finds gradients by **automatic
# differentiation**: a `GradientTape` writes down each operation of the forward pass, and plays the chain rule
# backwards. Is it the same as our derivation by hand? We take a layer of softmax, whose gradient is $x^T (p -
# \text{one-hot}) / B$:

# %%
rng = np.random.default_rng(seed)
batch = tf.constant(x[:64].reshape(64, -1) / 255, dtype=tf.float64)
w = tf.Variable(rng.normal(0, 0.1, (batch.shape[1], n_classes)))

with tf.GradientTape() as tape:
    logits = batch @ w
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y[:64], logits))
automatic = tape.gradient(loss, w)

by_hand = tf.transpose(batch) @ (tf.nn.softmax(logits) - np.eye(n_classes)[y[:64]]) / 64
check(
    np.allclose(automatic, by_hand, atol=1e-12), "GradientTape agrees with the derivation by hand"
)

# %% [markdown]
# So here is the loop that `fit` hides. `model(images, training=True)` is the forward pass; `training=True` matters
# for layers that behave differently in training, such as dropout below.


# %%
def small_model():
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [keras.Input(shape), layers.Rescaling(1 / 255), layers.Flatten(),
         layers.Dense(32, activation="relu"), layers.Dense(n_classes, activation="softmax")]
    )  # fmt: skip


by_loop, by_fit = small_model(), small_model()
optimizer = keras.optimizers.SGD(0.1)
loss_of = keras.losses.SparseCategoricalCrossentropy()

# %%
for start in range(0, 2048, 64):
    images, labels = x[start : start + 64], y[start : start + 64]
    with tf.GradientTape() as tape:
        loss = loss_of(labels, by_loop(images, training=True))
    gradients = tape.gradient(loss, by_loop.trainable_variables)
    optimizer.apply(gradients, by_loop.trainable_variables)

# %% [markdown]
# And `fit` on the same images in the same order, from the same first weights:

# %%
by_fit.compile(keras.optimizers.SGD(0.1), loss="sparse_categorical_crossentropy")
by_fit.fit(x[:2048], y[:2048], batch_size=64, epochs=1, shuffle=False, verbose=0)
gaps = [np.abs(a - b).max() for a, b in zip(by_loop.get_weights(), by_fit.get_weights())]
check(max(gaps) < 1e-4, "the loop and fit end with the same weights")

# %% [markdown]
# Write your own loop when you need something that `fit` has no argument for. Otherwise use `fit`, or `train` below.
#
# *Remember: `fit` is forward, loss, gradient, step, in a loop.*
#
# ## 3 · Faster: what `train` decides
#
# `helpers.training.train` calls Keras's own `fit`, and decides before how to compute. It looks at the machine and the
# network, and says what it decided in its first line, the *plan*. Its step is the one of your loop:
# [`helpers/training/step.py`](../helpers/training/step.py).

# %% tags=["nbval-ignore-output"]
import time

twin = keras.models.clone_model(model)  # the same layers, other first weights
held_out = {"validation_data": (x_val, y_val)}
start = time.perf_counter()
result = train(
    twin, (x, y), epochs=epochs, batch_size=128, optimizer="rmsprop", seed=seed, **held_out
)
own = time.perf_counter() - start

# %% [markdown]
# What the words of the plan mean (some of them appear on other machines only):
#
# - *CPU* or *GPU*: where it computes. A **GPU**, a graphics processor, does many simple computations at once.
# - *float32*, *bfloat16*: the **number format**. bfloat16 takes two bytes instead of four, with the same
#   range and fewer digits; that is enough for most layers, and quicker for convolutions (lesson 05) where the processor has instructions for it. (*mixed* and *float16* are the same idea on a GPU.)
# - *XLA*: a program that makes machine code for computations (that is called to compile, too). It joins small operations into larger ones, so that intermediate results
#   need not go through memory. Compiling takes seconds, so it pays for long trainings of dense and recurrent (lesson 06) networks.
# - *oneDNN*: the library that does the matrix products and convolutions on processors of Intel and AMD. *AVX2*,
#   *AVX-512* and *AMX* are instruction sets of such processors, from older to newer.
#
# Is it faster here than `fit`, on the same images, with the same validation after each epoch?

# %% tags=["nbval-ignore-output"]
fresh = keras.models.clone_model(model)
fresh.compile(optimizer="rmsprop", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
start = time.perf_counter()
fresh.fit(x, y, epochs=epochs, batch_size=128, verbose=0, **held_out)
seconds = time.perf_counter() - start
print(
    f"fit:   {seconds:.1f} s, validation accuracy {fresh.evaluate(x_val, y_val, verbose=0)[1]:.3f}"
)
print(f"train: {own:.1f} s, validation accuracy {twin.evaluate(x_val, y_val, verbose=0)[1]:.3f}")

# %% [markdown]
# (One run each, from other first weights: small differences in time or accuracy may be luck, and for a short training the preparation of `train` can take longer than it saves. The benchmarks of this course repeat, and compare with PyTorch too.)
#
# When does a GPU pay? It is fast if it gets much work at once, and every step has a price for sending the work
# there. Count the multiplications for one image:

# %%
dense_work = x[0].size * 512 + 512 * n_classes
convolution_work = 26 * 26 * 32 * 9 + 24 * 24 * 64 * 32 * 9  # lesson 05 explains these
work = {"dense network of this lesson": dense_work, "first network of lesson 05": convolution_work,
        "VGG16, lesson 07": 15_470_000_000}  # fmt: skip
pd.Series(work).map("{:,}".format).to_frame("multiplications for one image")

# %% [markdown]
# (Of the network of lesson 05 only the convolutions are counted.) So one photo in VGG16 is as much work as tens of thousands of digits in the dense network. The more work a step holds,
# the more a GPU can show what it is good for. The command `course check`, in a terminal, tells whether TensorFlow sees a
# GPU on your machine.
#
# *Remember: the same mathematics, planned for the machine.*
#
# ## 4 · Keep a model, and build other shapes
#
# `save` writes everything to one file: layers, weights, optimizer. Does a fresh Python process, which has never seen
# this notebook, get the same answers from it?

# %%
import subprocess
import sys
import tempfile
from pathlib import Path

folder = Path(tempfile.mkdtemp())
model.save(folder / "digits.keras")
np.save(folder / "images.npy", x_test[:5])

# %%
program = """
import keras, numpy, sys
model = keras.models.load_model(sys.argv[1] + "/digits.keras")
images = numpy.load(sys.argv[1] + "/images.npy")
numpy.save(sys.argv[1] + "/answers.npy", model.predict(images, verbose=0))
"""
subprocess.run([sys.executable, "-c", program, folder], check=True, capture_output=True)
check(np.allclose(np.load(folder / "answers.npy"), model.predict(x_test[:5], verbose=0), atol=1e-5),
      "a fresh process loads the model and gives the same answers")  # fmt: skip

# %% [markdown]
# The scaling came along: it is a layer of the model. Had we divided by 255 outside, whoever loads the file would
# have to know.
#
# ### The functional API
#
# A list of layers is not enough when a network has two inputs, two outputs, or a path around a layer. In the
# **functional API** each layer is called on what comes before it, and `keras.Model` ties inputs and outputs
# together. This network answers two questions about a digit: which one is it, and is it even?

# %%
keras.utils.set_random_seed(seed)
inputs = keras.Input(shape)
hidden = layers.Flatten()(layers.Rescaling(1 / 255)(inputs))
hidden = layers.Dense(64, activation="relu")(hidden)
which = layers.Dense(n_classes, activation="softmax", name="which")(hidden)
even = layers.Dense(1, activation="sigmoid", name="even")(hidden)
two_questions = keras.Model(inputs, [which, even])

# %% tags=["nbval-ignore-output"]
two_questions.compile(
    "adam",
    ["sparse_categorical_crossentropy", "binary_crossentropy"],
    metrics=[["accuracy"], ["accuracy"]],
)
is_even = (y % 2 == 0).astype("float32")[:, np.newaxis]
two_questions.fit(x, (y, is_even), epochs=2, batch_size=64, verbose=0)
answers = two_questions.evaluate(
    x_val, (y_val, (y_val % 2 == 0).astype("float32")[:, np.newaxis]), verbose=0, return_dict=True
)
{name: round(value, 3) for name, value in answers.items() if "accuracy" in name}

# %% [markdown]
# *Remember: put the preprocessing into the model, and save the model.*
#
# ## 5 · Which loss for which task?
#
# | task | last layer | loss | report |
# |---|---|---|---|
# | one of several classes | one neuron for each class, softmax | sparse categorical cross-entropy | accuracy, recall of each class |
# | yes or no | one neuron, sigmoid | binary cross-entropy | accuracy, precision, recall |
# | several labels at once | one neuron for each label, sigmoid | binary cross-entropy | F1 of each label |
# | a quantity | one neuron, no activation | mean squared error | mean absolute error |
#
# Binary cross-entropy is the loss of one neuron in lesson 03, section 2. Hidden layers: ReLU. Optimizer: Adam with rate 0.001, then tune the rate. The activation of the last layer has
# nothing to do with that of the hidden ones.
#
# ### A quantity
#
# Predicting a quantity is called **regression**. Iris again: how wide is a petal, given the other three
# measurements? **Mean absolute error** (MAE) is the mean distance between prediction and truth, here in
# centimetres. Two rivals first: always the mean, and a weighted sum of the three measurements (**linear regression**: one neuron without an activation function).

# %%
from sklearn.linear_model import LinearRegression

iris = load_dataset("iris", seed=seed)
flowers, width = iris.x_train[:, :3], iris.x_train[:, 3]
new_flowers, new_width = iris.x_test[:, :3], iris.x_test[:, 3]
linear = LinearRegression().fit(flowers, width)
always_mean = np.abs(new_width - width.mean()).mean()
by_formula = np.abs(new_width - linear.predict(new_flowers)).mean()
print(f"always the mean: {always_mean:.2f} cm; linear regression: {by_formula:.2f} cm")

# %% [markdown]
# A `Normalization` layer learns mean and standard deviation from the training data with `adapt`. Which will be more
# exact, the network or the formula? Call them equal if they differ by less than 0.02 cm.

# %%
guess = None  # "network", "formula" or "equal"

# %% tags=["nbval-ignore-output"]
keras.utils.set_random_seed(seed)
normalize = layers.Normalization()
normalize.adapt(flowers)
regression = keras.Sequential(
    [keras.Input((3,)), normalize, layers.Dense(32, activation="relu"), layers.Dense(1)]
)
regression.compile(keras.optimizers.Adam(0.01), "mean_squared_error")
regression.fit(flowers, width, epochs=50, batch_size=32, verbose=0)
by_network = np.abs(regression.predict(new_flowers, verbose=0)[:, 0] - new_width).mean()
print(f"network: {by_network:.2f} cm")

# %%
check(by_network < always_mean / 2, "the network is far better than the mean")
better = "network" if by_network < by_formula else "formula"
reveal(guess, "equal" if abs(by_network - by_formula) < 0.02 else better, "One run, 30 flowers.")

# %% [markdown]
# One split with 30 flowers cannot show a small difference. So there is no reason here to take the more complicated
# model. For small tables, try the simple one first.
#
# ### Three classes, and luck
#
# Now the species, from all four measurements: 4 – 64 – 3, 100 epochs, batches of 32. With 30 test flowers, one flower is 3.3 percentage points of the accuracy, so one run says little. (`train` holds a tenth of the 120 training flowers out for its validation.) We repeat it with several seeds: other splits, other first
# weights.

# %% tags=["nbval-ignore-output"]
from scipy.stats import t

accuracies = []
for s in range(n_seeds):
    iris = load_dataset("iris", seed=s)
    keras.utils.set_random_seed(s)
    normalize = layers.Normalization()
    normalize.adapt(iris.x_train)
    stack = [normalize, layers.Dense(64, activation="relu"), layers.Dense(3, activation="softmax")]
    species = keras.Sequential([keras.Input((4,)), *stack])
    train(species, iris, epochs=100, batch_size=32, progress=False)
    answers = np.argmax(species(iris.x_test), axis=1)
    accuracies.append((answers == iris.y_test).mean())

# %% tags=["nbval-ignore-output"]
mean = np.mean(accuracies)
print("accuracies:", " ".join(f"{a:.1%}" for a in sorted(accuracies)), f" mean {mean:.1%}")
check(min(accuracies) > 0.8, "far above the 33% of guessing, with every seed")

# %% [markdown]
# *Remember: the task decides the last layer and the loss; simple rivals decide whether you need a network.*
#
# ## 6 · Overfitting
#
# Here is a task without anything to learn: 1,000 rows of 100 random numbers, each with a random class out of ten.
# A network of 64 hidden neurons is trained on them for 100 epochs. Which share of its training rows does it get right?

# %%
guess = None  # a share, from 0 to 1

# %% tags=["nbval-ignore-output"]
noise = np.random.default_rng(seed)
x_noise, y_noise = noise.random((1000, 100), dtype="float32"), noise.integers(0, 10, 1000)
x_new, y_new = noise.random((5000, 100), dtype="float32"), noise.integers(0, 10, 5000)
keras.utils.set_random_seed(seed)
stack = [layers.Dense(64, activation="relu"), layers.Dense(10, activation="softmax")]
toy = keras.Sequential([keras.Input((100,)), *stack])
options = {"epochs": 100, "batch_size": 32, "validation_split": 0, "progress": False}
by_heart = train(toy, (x_noise, y_noise), **options).history["accuracy"].iloc[-1]
on_new = (np.argmax(toy(x_new), axis=1) == y_new).mean()

# %% tags=["nbval-ignore-output"]
print(f"on 5,000 new rows {on_new:.3f}")
reveal(guess, by_heart, "It has learned rows by heart. New rows it can only guess: one in ten.")

# %%
check(by_heart > 4 * on_new, "it remembers what it has seen")
check(abs(on_new - 0.1) < 0.03, "on new rows it guesses")

# %% [markdown]
# Learning the examples instead of the rule is **overfitting**. It happens with real data too: take few images and a
# network with many weights.


# %%
def dense_net(hidden=(128, 64), l2=0.0, dropout=0.0, normalization=False, seed=0):
    keras.utils.set_random_seed(seed)
    penalty = keras.regularizers.L2(l2) if l2 else None
    stack = [keras.Input(shape), layers.Rescaling(1 / 255), layers.Flatten()]
    for units in hidden:
        stack.append(layers.Dense(units, kernel_regularizer=penalty))
        stack += [layers.BatchNormalization()] if normalization else []
        stack.append(layers.ReLU())
        stack += [layers.Dropout(dropout)] if dropout else []
    return keras.Sequential([*stack, layers.Dense(n_classes, activation="softmax")])


# %% tags=["nbval-ignore-output"]
few = rng.choice(len(x), min(n_few, len(x) // 4), replace=False)
overfitted = train(dense_net(), (x[few], y[few]), epochs=2 * few_epochs, batch_size=32,
                   validation_data=(x_val, y_val), progress=False).history  # fmt: skip

# %% [markdown]
# Imagine that the training is running, and move the control from epoch to epoch. When would you stop? The whole picture
# comes below.


# %% tags=["nbval-ignore-output"]
@interact(epoch=(2, len(overfitted)))
def show(epoch=5):
    return plots.learning_curves(overfitted.iloc[:epoch], title=f"after {epoch} epochs")


# %% tags=["nbval-ignore-output"]
plots.learning_curves(overfitted, title=f"{len(few)} images, 128 + 64 hidden neurons")

# %% [markdown]
# This is what overfitting looks like. The training loss goes to 0, and the training accuracy to 100%. The validation
# loss falls, turns, and rises again, while the validation accuracy stays about the same. A network can be wrong as often and lose more, if it is more sure where it is wrong. When was its loss best?

# %% tags=["nbval-ignore-output"]
val_loss = overfitted["val_loss"].to_numpy()
print(f"lowest validation loss {val_loss.min():.3f}, in epoch {val_loss.argmin() + 1}")
print(f"after {len(val_loss)} epochs {val_loss[-1]:.3f}")

# %% tags=["nbval-ignore-output", "hide"]
check(
    val_loss[-1] > 1.05 * val_loss.min(),
    "the validation loss turns around",
    required=data.name == "mnist" and len(few) >= 500,
)

# %% [markdown]
# *Remember: the gap between training and validation shows overfitting. After the epoch with the lowest validation loss, more training makes the probabilities worse.*
#
# ## 7 · Six remedies, one at a time
#
# One remedy is *more data*, here four times as many images. **Regularisation** is everything else that keeps a
# network from learning by heart:
#
# - *A smaller network*, here one hidden layer instead of two, has less room to remember.
# - **L2 regularisation** adds the squares of the weights to the loss, times a small number, so large weights cost: this part of the loss is a *penalty*.
#   (**L1 regularisation** adds their absolute values, which drives many weights to 0.)
# - **Dropout** (Srivastava et al., 2014) silences each neuron with a given probability, drawn anew for each sample in
#   each training step, and makes the others larger to compensate. So no neuron can rely on another. In prediction all
#   neurons are at work.
# - **Batch normalisation** (Ioffe and Szegedy, 2015) standardises what comes out of a layer, neuron by neuron, with mean
#   and standard deviation of the batch; then it scales and shifts it by learned numbers. In prediction it uses averages
#   from training. It was made to speed up training; that batches differ by chance regularises a little.
# - **Early stopping** ends the training when the validation loss has not improved for some epochs, and takes back the
#   best weights. It needs a validation set of its own: here a fifth of the few training images.
#
# Each is tried alone, against the network without any, with several seeds. With the same seed all get the same images ("more data" gets these and others; early stopping learns from four fifths of them), and all take about the same number of steps (early stopping fewer). So we compare each remedy with "none" at the same seed (such differences are called *paired*), and some of the luck cancels. We compare on the validation set, because we are about to *choose*.
#
# Guess: which one will raise the accuracy most?

# %%
guess = None  # "smaller", "L2", "dropout", "batch normalisation", "early stopping" or "more data"

# %%
remedies = {
    "none": {},
    "smaller": {"hidden": (16,)},
    "L2": {"l2": 1e-3},
    "dropout": {"dropout": 0.5},
    "batch normalisation": {"normalization": True},
    "early stopping": {},
    "more data": {},
}


# %% tags=["nbval-ignore-output"]
def try_remedy(name, options, s):
    images = np.random.default_rng(s).permutation(len(x))  # the same for all remedies
    part = images[: 4 * len(few) if name == "more data" else len(few)]
    steps = {"epochs": few_epochs // 4 if name == "more data" else few_epochs, "batch_size": 32}
    stop = {"validation_split": 0.2, "early_stopping": 3}
    held_out = stop if name == "early stopping" else {"validation_split": 0}
    net = dense_net(**options, seed=s)
    train(net, (x[part], y[part]), progress=False, seed=s, **steps, **held_out)
    p = np.asarray(net(x_val))  # the forward pass
    right = p[np.arange(len(y_val)), y_val]
    return name, s, (p.argmax(axis=1) == y_val).mean(), -np.log(right + 1e-12).mean()


# %% tags=["nbval-ignore-output"]
rows = [try_remedy(name, remedies[name], s) for name in remedies for s in range(n_seeds)]
outcomes = pd.DataFrame(rows, columns=["remedy", "seed", "accuracy", "cross-entropy"])

# %% [markdown]
# (We compute the cross-entropy ourselves. The loss of the network with L2 includes the penalty, so it could not be
# compared.) Differences to "none", seed by seed, with their 95% intervals:

# %% tags=["nbval-ignore-output"]
table = {}
for measure in ("accuracy", "cross-entropy"):
    by_seed = outcomes.pivot(index="seed", columns="remedy", values=measure)
    differences = by_seed.drop(columns="none").sub(by_seed["none"], axis=0)
    half = t.ppf(0.975, n_seeds - 1) * differences.std() / n_seeds**0.5
    table[measure], table[f"± {measure}"] = differences.mean(), half
comparison = pd.DataFrame(table).loc[list(remedies)[1:]]
comparison.round(3)

# %% tags=["nbval-ignore-output"]
figure, panels = plots.subplots(
    1, 2, alt="Differences to no remedy, with intervals.", width=9, height=3
)
for panel, measure in zip(panels, ("accuracy", "cross-entropy")):
    panel.errorbar(
        comparison[measure], comparison.index, xerr=comparison[f"± {measure}"], fmt="o", capsize=3
    )
    panel.axvline(0, color="0.5", ls="--")
    panel.set(xlabel=f"{measure}: difference to none")
panels[1].set(yticklabels=[])
figure

# %% tags=["nbval-ignore-output"]
winner = comparison["accuracy"].idxmax()
reveal(guess, winner, "Compare its interval with the others.")
check(winner == "more data", "four times the data helps the accuracy most")

# %% [markdown]
# Read the intervals. Where one includes 0, this experiment cannot tell the remedy from doing nothing. Of twelve intervals, one may miss 0 by luck alone. More data is far ahead in both measures, and
# a network that is too small is worse in both. Early stopping had only 400 images to learn from, because it needs a
# validation set; so a loss of accuracy does not show that stopping does harm.
#
# This holds for 500 images of this set, this network and this many steps; it may be otherwise with other data, or with
# longer training. Choose by validation on your own data, and say how many seeds you compared.
#
# So we choose what helped: more data, all of them. Now the test set. (Section 1 looked at it to report, and chose nothing
# by it.)

# %% tags=["nbval-ignore-output"]
chosen = dense_net(seed=seed)
held_out = {"validation_data": (x_val, y_val)}
final = train(chosen, (x, y), epochs=epochs, batch_size=32, progress=False, seed=seed, **held_out)
final_accuracy = (chosen.predict(x_test, verbose=0).argmax(axis=1) == y_test).mean()
print(f"all {len(x):,} training images: {final_accuracy:.1%} of the test images are right")

# %% [markdown]
# *Remember: get more data if you can; compare remedies one at a time, over several seeds.*
#
# ## What goes wrong here
#
# Code that you will meet, and the messages that it gives:

# %%
rows_only = keras.Sequential([keras.Input((784,)), layers.Dense(10, "softmax")])
rows_only.compile("adam", "sparse_categorical_crossentropy")
attempt(
    "images into a network for rows",
    lambda: rows_only.fit(np.zeros((4, 28, 28)), np.arange(4), verbose=0),
)
attempt("accuracy as a loss", lambda: keras.losses.get("accuracy"))
attempt(
    "layers that are not connected",
    lambda: keras.Model(keras.Input((4,)), layers.Dense(2)(keras.Input((3,)))),
)

# %% [markdown]
# The first network needs `keras.Input((28, 28))` and `Flatten`. The last is a network whose output does not depend on
# its input: in the functional API, call every layer on the result of the one before.
#
# The quiet faults are worse, because nothing stops. The same network, three epochs each, with three last layers:

# %% tags=["nbval-ignore-output"]
quiet = {}
for activation in ("softmax", "relu", None):
    keras.utils.set_random_seed(seed)
    net = keras.Sequential([keras.Input(shape), layers.Rescaling(1 / 255), layers.Flatten(),
                            layers.Dense(64, "relu"), layers.Dense(n_classes, activation)])  # fmt: skip
    net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    net.fit(x[:3000], y[:3000], epochs=3, batch_size=32, verbose=0)
    quiet[str(activation)] = net.evaluate(x_val, y_val, verbose=0)[1]
pd.Series(quiet, name="validation accuracy").round(3).to_frame()

# %%
check(
    quiet["softmax"] > max(quiet["relu"], quiet["None"]) + 0.05,
    "without softmax the loss means nothing",
)

# %% [markdown]
# The loss expects probabilities. What is not between 0 and 1 it replaces by a number that is, and goes on without a
# word. (If the last layer is to give logits, say `SparseCategoricalCrossentropy(from_logits=True)`.)
#
# ## Check yourself

# %% tags=["hide"]
choose(
    "Training loss falls, validation loss rises. What is happening?",
    {
        "overfitting": "The network learns its examples by heart.",
        "The learning rate is too small.": "Then both would fall slowly.",
        "The validation set is wrong.": "It may be, but this pattern is what overfitting looks like.",
    },
    answer="overfitting",
)

# %% tags=["hide"]
choose(
    "Predict the price of a house. Which last layer and loss?",
    {
        "sigmoid and binary cross-entropy": "A sigmoid never exceeds 1.",
        "softmax and cross-entropy": "A price is not one of several classes.",
        "no activation and mean squared error": "A quantity can be any number.",
    },
    answer="no activation and mean squared error",
)

# %% tags=["hide"]
choose(
    "A photo can show a dog, a car, both or neither. Which last layer?",
    {
        "two neurons with softmax": "Softmax adds up to 1: it could not say both or neither.",
        "two neurons with sigmoid": "Each answers its own question.",
        "one neuron with sigmoid": "One number cannot answer two questions.",
    },
    answer="two neurons with sigmoid",
)

# %% tags=["hide"]
choose(
    "Where does the division by 255 belong?",
    {
        "into the model, as its first layer": "Then training, prediction and whoever loads the file agree.",
        "into the notebook, before fit": "Whoever loads the model has to know about it.",
        "nowhere, the network learns it": "It can, but large inputs make training slow or unstable.",
    },
    answer="into the model, as its first layer",
)

# %% tags=["hide"]
choose(
    "Dropout 0.5 raised the accuracy from 88.2% to 88.6%, one seed each. What do you conclude?",
    {
        "Dropout helps.": "Another seed may turn it around.",
        "Nothing yet.": "Repeat with several seeds, paired, and look at the interval.",
        "Dropout does not help.": "One run cannot show that either.",
    },
    answer="Nothing yet.",
)

# %% [markdown]
# ## What to take away
#
# - `Sequential` or functional, `compile`, `fit`, `evaluate`, `predict`, `save`; inside there is the loop that you
#   wrote yourself.
# - The task decides the last layer and the loss. Compare with a simple rival.
# - The gap between the curves shows overfitting. More data helped most here; compare remedies over seeds.
#
# Now the [exercises](exercises/04_exercises.ipynb). Next lesson: [05 · Convolutional
# networks](05_convolutional_networks.ipynb), which know that pixels have neighbours.

# %% tags=["nbval-ignore-output", "hide"]
record(
    dataset=data.name,
    n_train=len(x),
    val_accuracy=final.history["val_accuracy"].iloc[-1],
    test_accuracy=final_accuracy,
    small_accuracy=test_accuracy,
    iris_accuracy=mean,
    regression_mae=by_network,
    gain_of_more_data=comparison.loc["more data", "accuracy"],
    samples_per_second=result.samples_per_second,
    history=result.history,
    plan=result.plan,
)
