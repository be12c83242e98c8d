# %% [markdown]
# # 03 · A neural network from the ground up
#
# **A question first.** One neuron multiplies, adds and bends; nothing else. How can a few hundred of
# them read handwriting, and who sets their hundreds of thousands of numbers? Here you build a network
# in a dozen lines of NumPy, let it learn, check it against TensorFlow to the last digit, and only then
# hand over to Keras.
#
# | | |
# |---|---|
# | Time | an hour and a half to read and try; about a minute to run |
# | You will learn | neuron, activation, loss, gradient descent, back-propagation, optimizers, over-fitting and its remedies |
# | You need | notebooks 01 and 02; from school, what a derivative is |

# %%
from typing import Optional

from helpers import plots
from helpers.classroom import attempt, check
from helpers.datasets import load_dataset
from helpers.evaluation import evaluate
from helpers.models import build_mlp
from helpers.preprocessing import scale, standardize
from helpers.runs import record
from helpers.training import train

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

# %% tags=["parameters"]
dataset: str = "mnist"  # an image set: a name (mnist, fashion_mnist, digits) or a path
n_samples: Optional[int] = None  # at most this many training images; None for all
epochs: int = 5  # times through the data, for the networks of section 7
batch_size: int = 128  # images in a step
n_seeds: int = 3  # repetitions wherever a result depends on luck
seed: int = 0  # of every random choice below

# %% [markdown]
# ## 1 · One neuron
#
# A neuron takes numbers $x_1 \dots x_n$, multiplies each by a **weight**, adds a **bias**, and bends the
# sum with an **activation**: $a = \sigma(w \cdot x + b)$. With $\sigma(z) = 1 / (1 + e^{-z})$ the answer
# lies between 0 and 1, and can be read as a probability. Let one neuron tell the first two classes apart.

# %%
data = load_dataset(dataset, fallback="digits", seed=seed).subset(n_samples, seed)
scaled = scale(data)  # pixels from 0 to 1
rows = scaled.x_train.reshape(len(scaled.x_train), -1)
pair = np.flatnonzero(data.y_train < 2)[:2000]
x, target = rows[pair], data.y_train[pair]
print(data, f"– {len(pair)} images of “{data.class_names[0]}” and “{data.class_names[1]}”")


# %%
def sigmoid(z):
    return 1 / (1 + np.exp(-z))


weights, bias = np.zeros(x.shape[1]), 0.0
answers = sigmoid(x @ weights + bias)
print(f"before learning, every answer is {answers[0]}")

# %% [markdown]
# To learn is to change the weights so that the answers move towards the targets. The rule for this
# neuron fits in one line, and section 4 shows where it comes from: *move each weight against the error,
# in proportion to its input*.

# %%
for _ in range(100):
    error = sigmoid(x @ weights + bias) - target  # between -1 and 1, an error for each image
    weights -= 0.1 * x.T @ error / len(x)
    bias -= 0.1 * error.mean()

right = ((sigmoid(x @ weights + bias) > 0.5) == target).mean()
print(f"after 100 steps: {right:.1%} of the images right")
check(right > 0.9, "one neuron tells the first two classes apart")

# %% [markdown]
# What has it learned? Its weights have the shape of an image, so look at them.

# %%
averages = np.stack([x[target == c].mean(axis=0) for c in (0, 1)])
levels = (weights / np.abs(weights).max() + 1) / 2  # 0.5 is a weight of zero
shape = data.input_shape
plots.image_grid(
    np.stack([*averages, levels]).reshape(3, *shape),
    [f"average {data.class_names[0]}", f"average {data.class_names[1]}", "weights"],
    columns=3,
    title="weights: grey is 0, dark speaks for the second class, light for the first",
)

# %% [markdown]
# The neuron is a template: dark where the ink of the second class lies, light where that of the first
# does.
#
# ## 2 · Why the bend?
#
# Put one layer after another without an activation, and you have gained nothing: two matrices in a row
# are a matrix.

# %%
rng = np.random.default_rng(seed)
first, second = rng.normal(size=(2, 50, 50))
check(np.allclose((x[:, :50] @ first) @ second, x[:, :50] @ (first @ second)), "two layers are one")

# %% [markdown]
# So every hidden layer ends in a bend. Three that you will meet:

# %%
z = np.linspace(-5, 5, 201)
bends = {"sigmoid": sigmoid(z), "tanh": np.tanh(z), "ReLU": np.maximum(z, 0)}
plots.curves(
    z,
    {name: np.minimum(a, 2) for name, a in bends.items()},
    xlabel="weighted sum z",
    ylabel="activation (ReLU cut off at 2)",
    title="activations",
)

# %% [markdown]
# **Predict before you run.** Learning moves a weight in proportion to the *slope* of the bend. How much
# of the slope is left at z = 5, for each of the three?

# %%
slope_at_5 = {name: np.gradient(a, z)[-1] for name, a in bends.items()}
pd.Series(slope_at_5).round(5).to_frame("slope at z = 5")

# %% [markdown]
# Sigmoid and tanh are nearly flat there: a unit far out learns next to nothing, and in a stack of layers
# such small slopes are multiplied. ReLU keeps slope 1, which is why it is the usual choice for **hidden**
# layers. For the **output** the task decides, not the fashion: probabilities of several classes need
# *softmax*, one probability needs *sigmoid*, a quantity needs no bend at all.
#
# ## 3 · The loss: how wrong is an answer?
#
# The network said “p” for the class that was right. *Squared error* is (1 − p)²; *cross-entropy* is
# −log p.

# %%
p = np.linspace(0.01, 1, 100)
plots.curves(
    p,
    {"squared error": (1 - p) ** 2, "cross-entropy": -np.log(p)},
    xlabel="probability given to the right class",
    ylabel="loss",
    title="two losses",
)

# %%
surely_wrong = 0.01
print(f"squared error: {(1 - surely_wrong) ** 2:.2f}, at most 1")
print(f"cross-entropy: {-np.log(surely_wrong):.2f}, and without bound")
check(-np.log(surely_wrong) > 4, "cross-entropy punishes a confident mistake more than four times")

# %% [markdown]
# A confident mistake costs little more than an unsure one under squared error, and a lot under
# cross-entropy. Classes: cross-entropy. Quantities: squared error. (Accuracy is what you *report*; it is
# no loss, because it is flat nearly everywhere and has no slope to follow.)
#
# ## 4 · A network, forwards and backwards
#
# Now two layers: pixels → 32 hidden units (ReLU) → one probability for each class (softmax). Forwards:

# %%
sizes = (rows.shape[1], 32, data.class_count)


def initial(generator):
    """Draw weights small enough that no unit saturates (Glorot and Bengio, 2010)."""
    w1 = generator.normal(0, np.sqrt(2 / (sizes[0] + sizes[1])), sizes[:2])
    w2 = generator.normal(0, np.sqrt(2 / (sizes[1] + sizes[2])), sizes[1:])
    return [w1, np.zeros(sizes[1]), w2, np.zeros(sizes[2])]


def forward(parameters, x):
    w1, b1, w2, b2 = parameters
    z = x @ w1 + b1
    hidden = np.maximum(z, 0)
    scores = hidden @ w2 + b2
    e = np.exp(scores - scores.max(axis=1, keepdims=True))  # the largest is e⁰: no overflow
    return hidden, e / e.sum(axis=1, keepdims=True)


# %% [markdown]
# Backwards, layer by layer from the loss to the first weights: that is **back-propagation**
# (Rumelhart, Hinton and Williams, 1986), the chain rule in matrix form. The pleasant surprise is the
# first line: the slope of softmax with cross-entropy is just *probability − truth*, the error of our
# one neuron.


# %%
def backward(parameters, x, y):
    """Return the mean loss and its slope in every parameter."""
    w2 = parameters[2]
    hidden, probabilities = forward(parameters, x)
    loss = -np.log(probabilities[np.arange(len(y)), y]).mean()
    d_scores = (probabilities - np.eye(sizes[2])[y]) / len(y)
    d_hidden = d_scores @ w2.T
    d_z = d_hidden * (hidden > 0)  # ReLU lets through where it was open
    return loss, [x.T @ d_z, d_z.sum(0), hidden.T @ d_scores, d_scores.sum(0)]


# %% [markdown]
# Is it right? TensorFlow differentiates any computation by itself; `GradientTape` records the forward
# pass and plays it backwards. Same weights, same images, 64-bit numbers:

# %%
parameters = initial(rng)
few, labels = rows[:100].astype(float), data.y_train[:100]
loss, by_hand = backward(parameters, few, labels)

variables = [tf.Variable(p) for p in parameters]
with tf.GradientTape() as tape:
    w1, b1, w2, b2 = variables
    scores = tf.nn.relu(few @ w1 + b1) @ w2 + b2
    tape_loss = tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores)
    )  # fmt: skip
automatic = tape.gradient(tape_loss, variables)

apart = max(np.abs(a - b).max() for a, b in zip(by_hand, automatic, strict=True))
check(apart < 1e-12, "back-propagation by hand equals GradientTape", f"off by {apart}")

# %% [markdown]
# ### Exercise 1 · Another bend
#
# Let the hidden layer use tanh instead of ReLU. One line of `forward` and one of `backward` change. What
# takes the place of `(hidden > 0)`? Write the slope of tanh, given `hidden = np.tanh(z)`.
#
# <details><summary>Hint</summary>
#
# The derivative of tanh(z) is 1 − tanh²(z), and tanh(z) is what `hidden` already holds.
#
# </details>

# %% tags=["exercise"]
hidden = np.tanh(np.linspace(-2, 2, 9))
tanh_slope = ...  # from `hidden` alone

# %% tags=["solution"]
hidden = np.tanh(np.linspace(-2, 2, 9))
tanh_slope = 1 - hidden**2

# %%
step = 1e-6
numeric = (np.tanh(np.linspace(-2, 2, 9) + step) - np.tanh(np.linspace(-2, 2, 9) - step)) / (
    2 * step
)
solved = tanh_slope is not ... and np.allclose(tanh_slope, numeric)
check(solved, "exercise 1: the slope of tanh", "compare with the differences in `numeric`")

# %% [markdown]
# ## 5 · Gradient descent
#
# All is there. Take a handful of images (a **batch**), compute the slopes, step downhill, repeat. Ten
# passes (**epochs**) through up to 5,000 images:

# %% tags=["nbval-ignore-output"]
x_small, y_small = rows[:5000].astype(np.float64), data.y_train[:5000]
losses = []
for _ in range(10):
    order = rng.permutation(len(x_small))
    for start in range(0, len(order), 50):
        batch = order[start : start + 50]
        loss, slopes = backward(parameters, x_small[batch], y_small[batch])
        parameters = [p - 0.2 * s for p, s in zip(parameters, slopes, strict=True)]
        losses.append(loss)

x_test = scaled.x_test.reshape(len(scaled.x_test), -1)
numpy_accuracy = (forward(parameters, x_test)[1].argmax(axis=1) == data.y_test).mean()
print(f"NumPy, {len(x_small):,} images: {numpy_accuracy:.1%} of the test images right")

# %% tags=["nbval-ignore-output"]
plots.curves(
    np.arange(len(losses)),
    {"loss of each batch": np.array(losses)},
    xlabel="step",
    ylabel="cross-entropy",
    title="gradient descent by hand",
)

# %% [markdown]
# The curve is rough, because each batch is another sample of the data; the way is down all the same.
#
# ## 6 · A race of optimizers
#
# Plain gradient descent goes where it is steepest *here*. In a narrow valley that is mostly across, and
# hardly along. Optimizers differ in what they remember of earlier steps. Set them on one surface, a
# valley fifty times as steep across as along, each with the best of five learning rates after 60 steps:


# %%
def valley(x, y):
    return 0.5 * x**2 + 25 * y**2


def descend(optimizer, steps=60):
    point = keras.Variable([-9.0, 1.0])
    path = [point.numpy()]
    while len(path) <= steps and valley(*path[-1]) < 1e6:  # or it has left the valley for good
        slope = np.array([1.0, 50.0], dtype="float32") * path[-1]
        optimizer.apply([tf.constant(slope)], [point])
        path.append(point.numpy())
    return np.array(path)


# %%
makers = {
    "SGD": keras.optimizers.SGD,
    "momentum": lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
    "RMSprop": keras.optimizers.RMSprop,
    "Adam": keras.optimizers.Adam,
}
rates = (0.01, 0.03, 0.1, 0.3, 1.0)
race, rows_of_table = {}, []
for name, make in makers.items():
    runs = {rate: descend(make(rate)) for rate in rates}
    heights = {rate: valley(*path[-1]) for rate, path in runs.items()}
    best = min(heights, key=heights.get)
    race[f"{name}, rate {best:g}"] = runs[best]
    climbed = sum(height > valley(-9, 1) for height in heights.values())
    rows_of_table.append((name, best, heights[best], climbed))
columns = ["optimizer", "best rate", "height", "rates that ended higher than they began"]
ranking = pd.DataFrame(rows_of_table, columns=columns).set_index("optimizer")

# %%
plots.descent_paths(valley, race, limits=(-10, 6, -3, 3), title="60 steps through a valley")

# %%
ranking.round(4)

# %%
check(ranking["height"]["momentum"] < ranking["height"]["SGD"], "momentum beats plain descent")
climbed = ranking["rates that ended higher than they began"]
check(climbed["SGD"] > 0 == climbed["Adam"], "some rates threw SGD out of the valley, none Adam")

# %% [markdown]
# Plain descent has to keep its rate small, or it bounces out of the valley sideways; **momentum** rolls
# on along the floor. RMSprop (Hinton, 2012) and Adam (Kingma and Ba, 2015) divide each direction by its
# usual slope: the steep one no longer rules, so no rate throws them out of the valley. That is why Adam
# is a good first choice: it forgives a badly chosen rate. The best tuned optimizer is another question.
#
# ## 7 · The same in Keras
#
# **TensorFlow** computes with arrays, on processors and GPUs, and differentiates. **Keras** is the
# language of layers on top of it (or of JAX, or of PyTorch: its *backends*). `build_mlp` stacks Keras
# layers. The first of them, `Rescaling`, divides the bytes by 255: scaling is a part of the model, so that
# whoever uses the model cannot forget it. `train` is a loop like yours above, made for this machine. It
# begins with a line that says what it decided, and why.

# %%
model = build_mlp(data, hidden=(512,), seed=seed)
model.summary()

# %% [markdown]
# **Predict before you run.** Where do the parameters sit: in the first layer of weights or in the last?
# Multiply: pixels × 512, plus 512 biases.

# %% tags=["nbval-ignore-output"]
wide = train(model, data, epochs=epochs, batch_size=batch_size, optimizer="rmsprop", seed=seed)
plots.learning_curves(wide.history, title="dense network, 512 hidden units, RMSprop")

# %% tags=["nbval-ignore-output"]
narrow_model = build_mlp(data, hidden=(32,), dropout=0.2, seed=seed)
narrow = train(
    narrow_model, data, epochs=epochs, batch_size=batch_size, optimizer="adam", seed=seed
)

# %% tags=["nbval-ignore-output"]
networks = {"512 units, RMSprop": model, "32 units, dropout 0.2, Adam": narrow_model}
evaluations = {name: evaluate(network, data) for name, network in networks.items()}
pd.DataFrame(
    {
        "parameters": [f"{network.count_params():,}" for network in networks.values()],
        "test accuracy": [e.accuracy for e in evaluations.values()],
        "test loss": [e.loss for e in evaluations.values()],
    },
    index=list(networks),
).round(4)

# %% tags=["nbval-ignore-output"]
accuracy = evaluations["512 units, RMSprop"].accuracy
small_accuracy = evaluations["32 units, dropout 0.2, Adam"].accuracy
check(
    accuracy > small_accuracy,
    "sixteen times the units make fewer mistakes",
    required=n_samples is None,
)

# %% [markdown]
# The validation curve, not the training curve, tells how good a network will be on images it has not
# seen. It comes from a tenth of the training set that `train` keeps aside: the test set is for the end.
#
# Accuracy is one number for ten classes. *Recall*: of all nines, how many were found? *Precision*: of all
# that were called nine, how many were? *F1* is high only if both are.

# %% tags=["nbval-ignore-output"]
report = evaluations["512 units, RMSprop"].report()
report.round(3)

# %% [markdown]
# ## 8 · Small tables: Iris, and a trap
#
# Networks are not only for images. The flowers of Iris: 4 measurements → 64 units → 3 species. With 120
# flowers to learn from, the result depends on luck; so train once a seed and state the range.

# %% tags=["nbval-ignore-output"]
iris_accuracies = []
for s in range(n_seeds):
    iris = standardize(load_dataset("iris", seed=s))
    flower_model = build_mlp(iris, hidden=(64,), seed=s)
    train(flower_model, iris, epochs=100, batch_size=32, xla="none", seed=s, progress=False)
    iris_accuracies.append(evaluate(flower_model, iris).accuracy)
print(f"Iris: {min(iris_accuracies):.1%} to {max(iris_accuracies):.1%} over {n_seeds} seeds")
check(min(iris_accuracies) > 0.8, "Iris: far above the 33% of guessing")

# %% [markdown]
# Now the trap: 1,000 rows of 100 *random* numbers, each with a *random* class out of ten. There is nothing
# to learn.
#
# **Predict before you run.** After 100 epochs with 64 hidden units, how accurate is the network on the
# rows that it was trained on? And on new ones?

# %% tags=["nbval-ignore-output"]
noise = np.random.default_rng(seed)
x_random, y_random = noise.random((1000, 100), dtype=np.float32), noise.integers(0, 10, 1000)
toy = train(
    build_mlp((100,), 10, hidden=(64,), seed=seed),
    (x_random, y_random),
    epochs=100,
    batch_size=32,
    validation_split=0.2,
    progress=False,
)
plots.learning_curves(toy.history, title="random labels")

# %% tags=["nbval-ignore-output"]
last = toy.history.iloc[-1]
check(last["accuracy"] > 2 * last["val_accuracy"], "it remembers what it has seen")
check(last["val_accuracy"] < 0.2, "on new rows it guesses")
check(last["val_loss"] > np.log(10), "with more confidence than an honest guess (log 10)")

# %% [markdown]
# The network has learned the rows by heart. That is **over-fitting** in its pure form: training accuracy
# proves nothing.
#
# ## 9 · Over-fitting and its remedies, side by side
#
# Few images, a large network, many epochs: the recipe for over-fitting. Six ways out of it, each with the
# same images and the same epochs, once a seed:

# %%
few_images, more_images = 500, 2000
wide_net = {"hidden": (256, 256)}
remedies = {
    "no remedy": wide_net,
    "smaller network": {"hidden": (16,)},
    "L2 penalty": wide_net | {"l2": 1e-3},
    "dropout 0.5": wide_net | {"dropout": 0.5},
    "batch normalisation": wide_net | {"batch_normalization": True},
    "early stopping": wide_net,
    "more images": wide_net,
}

# %% tags=["nbval-ignore-output"]
gaps, scores_of = {}, {}
for name, options in remedies.items():
    gaps[name], scores_of[name] = [], []
    for s in range(n_seeds):
        part = data.subset(more_images if name == "more images" else few_images, s)
        network = build_mlp(data, seed=s, **options)
        stop = 3 if name == "early stopping" else None
        train(network, part, epochs=12, batch_size=32, early_stopping=stop, xla="none",
              seed=s, progress=False)  # fmt: skip
        seen = evaluate(network, part.replace(x_test=part.x_train, y_test=part.y_train))
        test = evaluate(network, data)
        scores_of[name].append(test.accuracy)
        gaps[name].append(test.loss - seen.loss)

# %% tags=["nbval-ignore-output"]
plots.spread(scores_of, label="test accuracy", title=f"{few_images} images, one dot a seed")

# %% tags=["nbval-ignore-output"]
summary = pd.DataFrame(
    {
        "accuracy, lowest": {k: min(v) for k, v in scores_of.items()},
        "highest": {k: max(v) for k, v in scores_of.items()},
        "test loss − training loss": {k: np.median(v) for k, v in gaps.items()},
    }
)
summary.round(3)

# %% tags=["nbval-ignore-output"]
others = [np.median(v) for k, v in scores_of.items() if k != "more images"]
best_is_data = np.median(scores_of["more images"]) > max(others)
check(best_is_data, "more images help more than any trick", required=data.name == "mnist")

# %% [markdown]
# Read the dots before you believe a ranking: where those of two remedies overlap, you cannot tell which is
# better. The plain winner is *more data*; the tricks narrow the gap between training and test loss more
# than they raise the accuracy.
#
# ### Exercise 2 · All weights zero
#
# Start a network with **all** weights at zero and train it. How many *different* hidden units does it have
# afterwards? Predict first; then count the distinct columns of its first matrix.
#
# <details><summary>Hint</summary>
#
# `network.set_weights([np.zeros_like(w) for w in network.get_weights()])`, then `train`, then
# `np.unique(network.get_weights()[0], axis=1).shape[1]`. Which slopes does `backward` give if
# `w2` is zero?
#
# </details>

# %% tags=["exercise"]
distinct_units = ...

# %% tags=["solution", "nbval-ignore-output"]
network = build_mlp(data, hidden=(32,))
network.set_weights([np.zeros_like(w) for w in network.get_weights()])
train(network, data.subset(500), epochs=3, progress=False)
distinct_units = np.unique(network.get_weights()[0], axis=1).shape[1]

# %%
check(
    distinct_units == 1, "exercise 2", "units that start alike get the same slopes, and stay alike"
)

# %% [markdown]
# Chance is needed to break the tie; that is all that “random initialisation” is for.
#
# ### Exercise 3 · A rare class
#
# Keep only 50 images of class 0 in a training set of 2,000. How much of class 0 is found in the test set,
# without and with `class_weight="balanced"`? Store both recalls.
#
# <details><summary>Hint</summary>
#
# `evaluate(network, data).report()["recall"].iloc[0]`. For the set: all positions with
# `part.y_train != 0`, and the first 50 of the others; `part.replace(x_train=..., y_train=...)`.
#
# </details>

# %% tags=["exercise"]
recall_plain, recall_balanced = ..., ...

# %% tags=["solution", "nbval-ignore-output"]
part = data.subset(2000, seed)
zeros = np.flatnonzero(part.y_train == 0)[:50]
kept = np.sort(np.concatenate([zeros, np.flatnonzero(part.y_train != 0)]))
rare = part.replace(x_train=part.x_train[kept], y_train=part.y_train[kept])
found = {}
for weight in (None, "balanced"):
    network = build_mlp(data, hidden=(32,), seed=seed)
    train(network, rare, epochs=5, class_weight=weight, progress=False, seed=seed)
    found[weight] = evaluate(network, data).report()["recall"].iloc[0]
recall_plain, recall_balanced = found[None], found["balanced"]
print(f"class 0 found: {recall_plain:.1%} without, {recall_balanced:.1%} with weights")

# %% tags=["nbval-ignore-output"]
answered = recall_plain is not ... and recall_balanced is not ...
check(
    answered and 0 <= recall_plain <= recall_balanced <= 1, "exercise 3: weights help a rare class"
)

# %% [markdown]
# ## What goes wrong here
#
# Code that circulates widely, and the errors it gives. Each line is run, so you see the real message.


# %%
flat_model = keras.Sequential([keras.Input((784,)), keras.layers.Dense(10, "softmax")])
images = np.zeros((4, 28, 28), np.float32)

attempt("a data set that Keras has not", lambda: keras.datasets.iris.load_data())
attempt("images into Dense(784)", lambda: train(flat_model, (images, np.arange(4)), progress=False))
attempt("accuracy as a loss", lambda: keras.losses.get("accuracy"))

# %% [markdown]
# The quiet ones are worse, because nothing stops. A dense output *with ReLU* instead of softmax, under
# cross-entropy; and random real numbers as “one-hot” labels:

# %% tags=["nbval-ignore-output"]
part = data.subset(2000, seed)
outputs = {}
for activation in ("softmax", "relu"):
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Flatten(), keras.layers.Dense(64, "relu")]
    last_layer = keras.layers.Dense(data.class_count, activation)
    scaling = keras.layers.Rescaling(1 / 255)
    network = keras.Sequential([keras.Input(data.input_shape), scaling, *layers, last_layer])
    loss = keras.losses.SparseCategoricalCrossentropy()
    outputs[activation] = train(network, part, epochs=5, loss=loss, progress=False).history
pd.DataFrame({f"{a} output": h["val_accuracy"] for a, h in outputs.items()}).round(3)

# %% tags=["nbval-ignore-output"]
worse = outputs["relu"]["val_accuracy"].iloc[-1] < outputs["softmax"]["val_accuracy"].iloc[-1]
check(worse, "ReLU at the output costs accuracy")
fake = np.random.default_rng(seed).random((4, 10))
check(
    not np.allclose(fake.sum(axis=1), 1), "random real numbers are no one-hot labels: no sum is 1"
)

# %% [markdown]
# ## Questions people ask
#
# | task | output units | output activation | loss | report |
# |---|---|---|---|---|
# | one of several classes | one a class | softmax | (sparse) categorical cross-entropy | accuracy, recall a class |
# | yes or no | 1 | sigmoid | binary cross-entropy | accuracy, precision, recall, ROC |
# | several labels at once | one a label | sigmoid | binary cross-entropy | F1 a label |
# | a quantity | 1 | none | mean squared error | mean absolute error, in its unit |
#
# *Sparse* says that labels are class numbers; without it they are one-hot rows. *Which optimizer?* Adam
# first, then tune the learning rate before you change anything else. *My data are out of balance?* Report
# recall for each class, then try class weights (exercise 3).
#
# ## What to take away
#
# - A network is a stack of weighted sums with bends; its slopes come from the chain rule, and you have
#   checked them.
# - The loss is what is descended; accuracy is what is reported, on data that were kept apart.
# - Training accuracy can be perfect on noise. Believe the validation curve, and ranges over seeds.
# - Against over-fitting: more data first, then tricks.
#
# **Next:** notebook 04 gives the network an eye: convolutions, which know that pixels have neighbours.

# %% tags=["nbval-ignore-output"]
record(
    dataset=data.name,
    n_train=len(data.x_train),
    accuracy=accuracy,
    small_accuracy=small_accuracy,
    numpy_accuracy=numpy_accuracy,
    iris_accuracy=float(np.median(iris_accuracies)),
    samples_per_second=wide.samples_per_second,
    history=wide.history,
    plan=wide.plan,
)
