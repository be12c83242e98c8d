# %% [markdown]
# # 06 · Recurrent networks: a machine that invents words
#
# *Kanariansaaret.* You may never have seen this word. Read it once more, slowly. With each letter you become more
# certain that it is Finnish. (It means the Canary Islands.) A dense network cannot read like that: it wants all its
# numbers at once. In this lesson you build networks that read one letter after the other and remember. At the end
# your own network invents words: Turkish ones, Vietnamese ones, ones that nobody has ever written. And it reads any word
# of yours, and tells after each letter what it thinks.
#
# | | |
# |---|---|
# | Time | 3½ hours, in two sittings: 110 minutes to read and try, 95 minutes for the [exercises](exercises/06_exercises.ipynb); it runs in 2½ minutes |
# | You will learn | recurrent cells, LSTM and GRU, in NumPy and in Keras; why they are hard to train; clipping; embedding, masking, stacking, both directions; an honest rival for each task; temperature; attention |
# | You need | lessons [03](03_neural_networks.ipynb) and [04](04_training_with_keras.ipynb): gradient, chain rule, softmax, cross-entropy, `Sequential` and functional models |

# %%
from collections import Counter, defaultdict
from typing import Optional

from helpers import plots
from helpers.classroom import attempt, check, choose, interact, reveal
from helpers.datasets import load_dataset
from helpers.files import measured_dir
from helpers.runs import record

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from keras import layers
from scipy.stats import t as t_distribution

# %% tags=["parameters"]
dataset: str = "mnist"  # images to read row by row: a name (mnist, digits, …) or a path
n_samples: Optional[int] = 12_000  # at most this many training images; None for all
epochs: int = 4  # times through the images
n_names: Optional[int] = None  # at most this many training names; None for all
name_epochs: int = 12  # times through the names
updates: int = 600  # steps of the training in section 4
seed: int = 0  # of every random choice below

# %% tags=["hide"]
data = load_dataset(dataset, fallback="digits", seed=seed).subset(n_samples, seed)
if len(data.input_shape) == 3:  # colour: the three values of a pixel side by side
    flat = (data.input_shape[0], -1)
    data = data.replace(x_train=data.x_train.reshape(len(data.x_train), *flat),
                            x_test=data.x_test.reshape(len(data.x_test), *flat))  # fmt: skip
all_names = n_names is None and name_epochs >= 12  # what some claims below are about
full_mnist = data.name == "mnist" and len(data.x_train) >= 12_000


def diagram(nodes, arrows, size, alt):
    """Draw boxes {name: (x, y, text, colour)} and arrows (from, to, label)."""
    figure, axes = plots.subplots(alt=alt, width=size[0], height=size[1])
    xs, ys = [n[0] for n in nodes.values()], [n[1] for n in nodes.values()]
    axes.set(xlim=(min(xs) - 0.8, max(xs) + 0.8), ylim=(min(ys) - 0.5, max(ys) + 0.5))
    axes.set_axis_off()
    boxes = {}
    for name, (x, y, text, colour) in nodes.items():
        box = {"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": colour}
        drawn = axes.text(x, y, text, ha="center", va="center", fontsize=9, zorder=3, bbox=box)
        boxes[name] = drawn.get_bbox_patch()
    for start, end, label in arrows:
        a, b = np.array(nodes[start][:2]), np.array(nodes[end][:2])
        style = {"arrowstyle": "->", "color": "0.35", "patchA": boxes[start], "patchB": boxes[end]}
        axes.annotate("", xy=b, xytext=a, arrowprops=style | {"shrinkA": 2, "shrinkB": 2}, zorder=4)
        middle = (a + b) / 2
        axes.text(middle[0] + 0.08, middle[1] + 0.1, label, fontsize=9, color="C1", zorder=5)
    return figure


# %% [markdown]
# The words of this lesson are names of countries and languages in eighteen languages. They come from the Unicode
# CLDR, a collection with which phones and computers speak to people in their own language. Cover the right column: which
# ones do you recognise?

# %%
words = load_dataset("languages", seed=0)
for word, number in zip(words.x_train[3:15], words.y_train[3:15]):
    print(f"{word:26} {words.class_names[number]}")
print(f"… in {len(words.class_names)} languages")

# %% [markdown]
# ## 1 · How can a network remember?
#
# A **recurrent network** reads a sequence step by step. Between the steps it keeps a **state**: a handful of numbers,
# which stand for what it has read so far. At each step it mixes the new input $x_t$ with the old state $h_{t-1}$, and
# bends the sum. The simplest cell (Elman, 1990) is called `SimpleRNN` in Keras:
#
# $$\underbrace{h_t}_{1 \times \text{units}} = \tanh(\underbrace{x_t}_{1 \times \text{features}} W + h_{t-1} U + b)$$
#
# $W$ has the shape (features, units), $U$ (units, units) and $b$ (units). Here a state of two numbers reads the word
# *kana*. Each letter is a one-hot row: k is 1 0 0, a is 0 1 0, n is 0 0 1.

# %%
W = np.array([[0.9, -0.3], [-0.4, 0.8], [0.2, 0.5]])  # a row for each of k, a, n
U = np.array([[0.5, -0.8], [0.7, 0.4]])
one_hot = np.eye(3)


def read(word):
    states = [np.zeros(2)]
    for letter in word:
        x = one_hot["kan".index(letter)]
        states.append(np.tanh(x @ W + states[-1] @ U))
    return np.array(states)


read("kana").round(2)

# %% tags=["hide"]
nodes, arrows = {}, []
for t, (letter, h) in enumerate(zip(" kana", read("kana"))):
    nodes[f"h{t}"] = (2 * t, 1.3, f"{h[0]:.2f}\n{h[1]:.2f}", "C0")
    if t:
        nodes[f"x{t}"] = (2 * t, 0, f"{letter}", "C1")
        arrows += [(f"x{t}", f"h{t}", "W"), (f"h{t - 1}", f"h{t}", "U")]
diagram(nodes, arrows, (7.5, 2.2), "A recurrent network, unrolled: the state goes from letter to "
        "letter through U, each letter comes in through W; every state has its two numbers.")  # fmt: skip

# %% [markdown]
# This picture shows the network **unrolled**: the loop is drawn as a chain, one link for each step. All links use the
# *same* $W$, $U$ and $b$. So a long word needs no more weights than a short one.
#
# The words *kana* and *anak* have the same letters. Will the last states be the same?

# %%
guess = None  # "the same" or "different"

# %%
same = np.allclose(read("kana")[-1], read("anak")[-1])
print(read("kana")[-1].round(2), read("anak")[-1].round(2))
reveal(guess, "the same" if same else "different", "The state depends on the order.")

# %% [markdown]
# Keras computes the same. Its `SimpleRNN` gets 32 units and reads random sequences of 60 steps with 8 numbers each.
# We take its weights and do the loop ourselves, for all sequences at once:

# %%
noise = np.random.default_rng(seed).normal(size=(64, 60, 8)).astype("float32")
keras.utils.set_random_seed(seed)
simple = layers.SimpleRNN(32)
by_keras = np.asarray(simple(noise))
W, U, b = simple.get_weights()

# %%
h = np.zeros((64, 32))
for t in range(60):
    h = np.tanh(noise[:, t] @ W + h @ U + b)
check(np.abs(h - by_keras).max() < 1e-4, "SimpleRNN: NumPy equals Keras")

# %% [markdown]
# How many weights has this layer, all in all?

# %%
guess = None  # a whole number

# %%
reveal(guess, simple.count_params(), "8·32 in W, 32·32 in U, 32 in b; the 60 steps do not count.")

# %% [markdown]
# *Remember: a recurrent network applies the same weights at every step, and carries a state along.*
#
# ## 2 · Why is it hard to train?
#
# The network answers after the last step, and the loss compares the answer with the truth. From there the error has
# to go back to the first step, link by link, through the unrolled chain. This is ordinary back-propagation; on such a
# chain it is called **back-propagation through time**. Each link multiplies the error by the slope of one state in
# the state before:
#
# $$\frac{\partial h_t}{\partial h_{t-1}} = U \, \mathrm{diag}(1 - h_t^2)$$
#
# (The second factor is the slope of tanh. It is at most 1.) Over 60 steps, 60 such factors are multiplied. What
# arrives at step $t$ is the training signal of this step: it tells the weights how they should have treated the input
# there. We measure it with `GradientTape`: how much does the last state change if the input of step $t$ changes a
# little?


# %%
def signal(layer, x):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(tf.abs(layer(x)))
    slopes = tf.abs(tape.gradient(total, x))
    return tf.reduce_mean(slopes, axis=(0, 2)).numpy()


# %% [markdown]
# Keras begins with a $U$ that turns the state and keeps its length (an orthogonal matrix). Let us multiply this $U$ by
# 0.7, by 1 and by 3, before any training. The sequences have 60 steps of noise. What does the signal of the *first*
# step do in the third case, compared with the last step?

# %%
guess = None  # "fades", "stays" or "grows"

# %% tags=["nbval-ignore-output"]
signals = {}
for gain in (0.7, 1.0, 3.0):
    keras.utils.set_random_seed(seed)
    start = keras.initializers.Orthogonal(gain=gain)
    signals[gain] = signal(layers.SimpleRNN(32, recurrent_initializer=start), noise)
print({gain: f"{s[0] / s[-1]:.0e}" for gain, s in signals.items()})

# %% tags=["hide"]
ratio = signals[3.0][0] / signals[3.0][-1]
reveal(guess, "grows" if ratio > 10 else "fades", "A factor above 1, again and again.")

# %% tags=["hide"]
figure, axes = plots.subplots(alt="Signal by step: it fades for gains 0.7 and 1, grows for 3.")
for (gain, s), style in zip(signals.items(), (":", "-", "--")):
    axes.plot(range(1, 61), s, style, label=f"U times {gain:g}")
axes.set(yscale="log", xlabel="step (the answer comes after step 60)", ylabel="training signal")
axes.legend()
figure

# %% tags=["hide"]
check(signals[1.0][0] < 1e-5 * signals[1.0][-1] and ratio > 10, "the signal fades or explodes")

# %% [markdown]
# The axis is logarithmic. A straight line down means: the same factor at every step. Where the signal fades, the
# network cannot learn that an early input mattered. This is the vanishing gradient of lesson 03, along time
# (Hochreiter, 1991). Where it grows, one step of the optimizer throws all weights far away: the **exploding
# gradient**.
#
# Against explosions there is a simple remedy. **Gradient clipping** shortens a gradient that is longer than a limit,
# and keeps its direction (Pascanu, Mikolov and Bengio, 2013). In Keras it is one argument, and each array of weights
# is clipped on its own. Here are two weights at 0. Their gradient is (30, 40), and its length is 50:

# %%
pair = keras.Variable([0.0, 0.0])
sgd = keras.optimizers.SGD(learning_rate=1.0, clipnorm=1)
sgd.apply([np.array([30.0, 40.0], "float32")], [pair])
print(np.asarray(pair))

# %% [markdown]
# The step has length 1 instead of 50. All recurrent networks below are trained with `clipnorm=1`. Against fading
# signals clipping does not help. That takes other cells.
#
# *Remember: along time the training signal fades or explodes; clipping mends the second, not the first.*
#
# ## 3 · Gates
#
# A SimpleRNN rewrites its whole state at every step. The **LSTM** (Hochreiter and Schmidhuber, 1997; the forget gate
# is by Gers, Schmidhuber and Cummins, 2000) has a second state $c$, which is changed only by multiplying and adding.
# Three **gates** rule it. A gate is a layer with a sigmoid: a number between 0 and 1 for each unit, computed from the
# new input and the old state. It multiplies what wants to pass. At 1 everything passes, at 0 nothing.

# %% tags=["hide"]
lstm_nodes = {
    "c0": (0, 3, "old c", "C0"), "keep": (2.2, 3, "×", "0.4"), "add": (5.2, 3, "+", "0.4"),
    "c1": (9.6, 3, "new c", "C0"), "f": (2.2, 1.2, "forget f\n(sigmoid)", "C2"),
    "i": (4.2, 1.2, "write i\n(sigmoid)", "C2"), "g": (6.2, 1.2, "candidate g\n(tanh)", "C1"),
    "new": (5.2, 2.1, "×", "0.4"), "o": (8.2, 1.2, "show o\n(sigmoid)", "C2"),
    "show": (8.2, 2.1, "×", "0.4"), "h1": (9.6, 2.1, "new h", "C0"),
    "in": (5.2, 0, "input x and old h, side by side", "C0"),
}  # fmt: skip
lstm_arrows = [("c0", "keep", ""), ("keep", "add", ""), ("add", "c1", ""), ("f", "keep", ""),
               ("i", "new", ""), ("g", "new", ""), ("new", "add", ""), ("add", "show", "tanh"),
               ("o", "show", ""), ("show", "h1", ""), ("in", "f", ""), ("in", "i", ""),
               ("in", "g", ""), ("in", "o", "")]  # fmt: skip
diagram(lstm_nodes, lstm_arrows, (8.2, 3.6), "The LSTM cell: c is multiplied by the forget gate, "
        "then write gate times candidate is added; the show gate times tanh of c is h.")  # fmt: skip

# %% [markdown]
# $$f, i, o = \sigma(x_t W_{f,i,o} + h_{t-1} U_{f,i,o} + b_{f,i,o}) \qquad g = \tanh(x_t W_g + h_{t-1} U_g + b_g)$$
#
# $$c_t = f \cdot c_{t-1} + i \cdot g \qquad h_t = o \cdot \tanh(c_t)$$
#
# One unit with numbers: let $c$ be 0.80. The forget gate is 0.9, the write gate 0.1, the candidate −1. What is the new
# $c$?

# %%
guess = None  # a number

# %%
reveal(guess, 0.9 * 0.80 + 0.1 * -1, "0.9 of the old value stays, a tenth of the new one comes in.")

# %% [markdown]
# In NumPy the cell is three lines. Keras keeps the four matrices side by side, in the order write, forget, candidate,
# show.


# %%
def sigmoid(z):
    return 1 / (1 + np.exp(-z))


lstm = layers.LSTM(32)
by_keras = np.asarray(lstm(noise))
W, U, b = lstm.get_weights()

# %%
h, c = np.zeros((64, 32)), np.zeros((64, 32))
for t in range(60):
    i, f, g, o = np.split(noise[:, t] @ W + h @ U + b, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
check(np.abs(h - by_keras).max() < 1e-4, "LSTM: NumPy equals Keras")

# %% [markdown]
# The **GRU** (Cho et al., 2014) does with one state and two gates. The gate $z$ says how much of the old state is kept,
# and the rest, $1 - z$, is filled with the candidate. The gate $r$ says how much of the old state the candidate sees.

# %% tags=["hide"]
gru_nodes = {
    "h0": (0, 3, "old h", "C0"), "keep": (2.4, 3, "×", "0.4"), "add": (7, 3, "+", "0.4"),
    "h1": (9, 3, "new h", "C0"), "z": (2.4, 1.2, "keep z\n(sigmoid)", "C2"),
    "r": (4.7, 1.2, "reset r\n(sigmoid)", "C2"), "g": (7, 1.2, "candidate g\n(tanh)", "C1"),
    "new": (7, 2.1, "×", "0.4"), "in": (4.7, 0, "input x and old h, side by side", "C0"),
}  # fmt: skip
gru_arrows = [("h0", "keep", ""), ("keep", "add", ""), ("add", "h1", ""), ("z", "keep", "z"),
              ("z", "new", "1 − z"), ("g", "new", ""), ("new", "add", ""), ("r", "g", "r"),
              ("in", "z", ""), ("in", "r", ""), ("in", "g", "")]  # fmt: skip
diagram(gru_nodes, gru_arrows, (7.6, 3.4), "The GRU cell: the old h times z, plus the candidate "
        "times 1 minus z, is the new h; r scales the old h on its way into the candidate.")  # fmt: skip

# %% [markdown]
# $$z, r = \sigma(x_t W_{z,r} + h_{t-1} U_{z,r} + b_{z,r}) \qquad g = \tanh(x_t W_g + b_g + r \cdot (h_{t-1} U_g + b'_g))$$
#
# $$h_t = z \cdot h_{t-1} + (1 - z) \cdot g$$

# %%
gru = layers.GRU(32)
by_keras = np.asarray(gru(noise))
W, U, (b, b2) = gru.get_weights()  # one bias for the input, one for the state

# %%
h = np.zeros((64, 32))
for t in range(60):
    x_z, x_r, x_g = np.split(noise[:, t] @ W + b, 3, axis=1)
    h_z, h_r, h_g = np.split(h @ U + b2, 3, axis=1)
    z, r = sigmoid(x_z + h_z), sigmoid(x_r + h_r)
    h = z * h + (1 - z) * np.tanh(x_g + r * h_g)
check(np.abs(h - by_keras).max() < 1e-4, "GRU: NumPy equals Keras")

# %% [markdown]
# *Remember: a gate is a number from 0 to 1 that multiplies what wants to pass.*
#
# ## 4 · Which cell remembers best?
#
# Two tasks shall tell.
#
# - *Adding* (Hochreiter and Schmidhuber, 1997): 30 numbers arrive, one a step. Two of them carry a mark. At the end
#   the sum of these two is wanted; all others have to be ignored. Whoever always answers 1 has a squared error of 1/6.
# - *Recall*: one of eight symbols comes first. Then nothing comes for 59 steps. At the end the symbol is wanted.
#   Chance is 1/8.


# %%
def adding(n, rng):
    x = np.zeros((n, 30, 2), "float32")
    x[..., 0] = rng.random((n, 30))
    for row in x:  # a mark in each half
        row[[rng.integers(0, 15), rng.integers(15, 30)], 1] = 1
    return x, (x[..., 0] * x[..., 1]).sum(axis=1)


# %% tags=["hide"]
x, y = adding(1, np.random.default_rng(seed))
figure, axes = plots.subplots(
    alt="One sequence of the adding task; two bars are marked.", height=2.2
)
colours = np.where(x[0, :, 1] == 1, "C1", "0.8")
axes.bar(range(1, 31), x[0, :, 0], color=colours)
for t in np.flatnonzero(x[0, :, 1]):
    axes.text(t + 1, x[0, t, 0] + 0.04, "▼", ha="center", va="bottom", color="C1")
axes.set(xlabel="step", ylabel="number", ylim=(0, 1.25), title=f"marked numbers: sum {y[0]:.2f}")
figure

# %% [markdown]
# Three cells with 32 units each were trained on both tasks, with Adam at 0.005 and `clipnorm=1`: 600 steps of 64
# sequences on adding, 200 on recall. That was done beforehand, ten times with other seeds, by the command `make
# measured NAME=06_memory`. The LSTM was invented for tasks such as adding. Which cell wins *recall*?

# %%
guess = None  # "SimpleRNN", "LSTM" or "GRU"

# %%
memory = pd.read_csv(measured_dir() / "06_memory.csv")
table = memory.groupby(["cell", "task"])[["test_mse", "test_accuracy"]].mean().unstack()
table = pd.DataFrame({"adding: squared error": table["test_mse"]["adding"],
                      "recall: accuracy": table["test_accuracy"]["recall"]})  # fmt: skip
table.loc[["SimpleRNN", "LSTM", "GRU"]].round(3)

# %%
reveal(guess, table["recall: accuracy"].idxmax(), "And it is the worst of the three at adding.")

# %% tags=["hide"]
figure, panels = plots.subplots(1, 2, alt="Ten runs of each cell on both tasks.", width=9, height=3)
for panel, (task, column, label) in zip(panels, (
    ("adding", "test_mse", "squared error (logarithmic axis)"), ("recall", "test_accuracy", "accuracy")
)):  # fmt: skip
    for k, cell in enumerate(["SimpleRNN", "LSTM", "GRU"]):
        runs = memory[(memory["cell"] == cell) & (memory["task"] == task)][column]
        panel.plot(k + np.linspace(-0.2, 0.2, len(runs)), runs, "os^"[k])
    panel.set(xticks=range(3), xticklabels=["SimpleRNN", "LSTM", "GRU"], ylabel=label, title=task)
panels[0].set_yscale("log")
panels[0].axhline(1 / 6, ls="--", color="0.5")
panels[1].axhline(1 / 8, ls="--", color="0.5")
figure

# %% [markdown]
# Each point is one run; the dashed lines are the answers without reading. Opposite winners! (One LSTM of ten did find
# the way on recall.) So "an LSTM remembers
# longer" is too simple. The signal tells why. Here it is for fresh cells that read one symbol and then silence:

# %%
silence = np.zeros((64, 60, 8), "float32")
silence[:, 0, 0] = 1
for name in ("SimpleRNN", "LSTM", "GRU"):
    keras.utils.set_random_seed(seed)
    s = signal(getattr(layers, name)(32), silence)
    print(f"{name:10} first step: {s[0] / s[-1]:.0e} of the last")

# %% [markdown]
# In silence the $U$ of a fresh SimpleRNN turns the state and keeps its length, so the signal survives. The gates of
# the others begin partly open: half in a GRU, three quarters for the forget gate of an LSTM. Half of a half of a half
# is soon nothing. On adding it is the other way round: each
# number that is not marked stirs the state of the SimpleRNN, and a gate can learn to keep it out. Now one run live, a
# GRU that learns to add:

# %% tags=["nbval-ignore-output"]
x, y = adding(64 * updates, np.random.default_rng(seed))
keras.utils.set_random_seed(seed)
gru = layers.GRU(32)
adder = keras.Sequential([keras.Input((30, 2)), gru, layers.Dense(1)])
new_x, new_y = adding(500, np.random.default_rng(seed + 1))
before = signal(gru, new_x)
adder.compile(keras.optimizers.Adam(0.005, clipnorm=1), "mean_squared_error")
adder.fit(x, y, batch_size=64, epochs=1, shuffle=False, verbose=0)
error = adder.evaluate(new_x, new_y, verbose=0)
print(f"mean squared error {error:.4f}; always answering 1: {np.mean((new_y - 1) ** 2):.3f}")

# %% tags=["hide"]
check(error < 0.08, "the GRU has learned to add", required=updates >= 600)

# %% tags=["hide", "nbval-ignore-output"]
after = signal(gru, new_x)
figure, axes = plots.subplots(alt="Signal by step of a GRU before and after training.")
axes.plot(range(1, 31), before, "--", label="before training")
axes.plot(range(1, 31), after, label="after training")
axes.set(yscale="log", xlabel="step", ylabel="training signal")
axes.legend()
figure

# %% [markdown]
# Before training the first steps hardly reached the answer. Now all steps do: training has opened the way.
#
# *Remember: what a cell remembers depends on the task and on the training, not on its name.*
#
# ## 5 · Rows of an image, prices of a share
#
# Sequences need not be words. Read an image like a page: each row is a step. This network has an LSTM of 32 units, and
# ten outputs.

# %%
n_fit = len(data.x_train) * 5 // 6
x, y = data.x_train[:n_fit], data.y_train[:n_fit]
x_val, y_val = data.x_train[n_fit:], data.y_train[n_fit:]
steps, features = data.input_shape
print(f"each image: {steps} steps with {features} numbers; {n_fit} images to learn from")

# %% tags=["hide"]
lines = [steps * k // 8 for k in range(1, 9)]
so_far = [np.where(np.arange(steps)[:, None] < k, x[1], 0) for k in lines]
plots.image_grid(np.stack(so_far), columns=8, title="what the network has seen, row after row")

# %%
keras.utils.set_random_seed(seed)
by_rows = keras.Sequential(
    [
        keras.Input((steps, features)),
        layers.Rescaling(1 / x.max()),
        layers.LSTM(32),
        layers.Dense(data.class_count, activation="softmax"),
    ]
)

# %% tags=["nbval-ignore-output"]
adam = keras.optimizers.Adam(0.003)
by_rows.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
by_rows.fit(x, y, batch_size=32, epochs=epochs, verbose=0)
rows_val = by_rows.evaluate(x_val, y_val, verbose=0)[1]
rows_test = by_rows.evaluate(data.x_test, data.y_test, verbose=0)[1]
print(f"{by_rows.count_params():,} weights, {rows_test:.1%} of the test images are right")

# %% tags=["hide"]
check(rows_test > 0.9, "more than 90% of the test images are right", required=full_mnist)

# %% [markdown]
# Two questions were measured beforehand with 12,000 images, four epochs and five seeds. Many examples write
# `LSTM(32, activation="relu")`: is that better than the usual tanh? And is Keras's default rate of 0.001 a good one?

# %%
rows = pd.read_csv(measured_dir() / "06_rows.csv")
rows = rows.groupby(["activation", "learning_rate"])["val_accuracy"].agg(["mean", "std"])
rows.unstack("learning_rate").round(3)

# %% [markdown]
# The larger rate gains about four points with either activation. Relu is not better than tanh: its mean is about a point
# lower, which five seeds can hardly tell from nothing. So tune the rate first, and leave tanh where it is.
#
# A network can have several recurrent layers, one upon the other: **stacking**. The lower layer has to give its state
# after *every* step, which `return_sequences=True` asks for. A layer can also read in **both directions**: one cell
# from the left, one from the right, and the last states of both are put side by side.

# %%
stacked = keras.Sequential([keras.Input((28, 28)), layers.LSTM(32, return_sequences=True),
                            layers.LSTM(32)])  # fmt: skip
both = keras.Sequential([keras.Input((28, 28)), layers.Bidirectional(layers.LSTM(32))])
print("stacked:", stacked.output_shape, f"{stacked.count_params():,} weights")
print("both directions:", both.output_shape, f"{both.count_params():,} weights")

# %% [markdown]
# Does a second direction help? A GRU of 64 units learned in which language a name is, from all its letters. It was measured
# with five seeds: test accuracy of one direction and of both, and what the second direction gains with the same seed.

# %%
reader = pd.read_csv(measured_dir() / "06_reader.csv")
reader = reader.pivot(index="seed", columns="network", values="test_accuracy")
reader["gain"] = reader["both directions"] - reader["one layer"]
reader[["one layer", "both directions", "gain"]].round(3)

# %% [markdown]
# It helps with each seed, by about two points. A layer that reads backwards needs the whole name, so it cannot tell after
# each letter what it thinks.
#
# Without `return_sequences=True` the second layer gets one state where it wants a sequence, and Keras says so:

# %%
attempt("stacked, without return_sequences", lambda: keras.Sequential(
    [keras.Input((28, 28)), layers.LSTM(32), layers.LSTM(32)]
))  # fmt: skip

# %% [markdown]
# The next fault gives no message. Somebody wants ten probabilities for each image. What comes out? Find the bug.

# %%
guess = None  # "(None, 10)" or "(None, 28, 10)"

# %%
inputs = keras.Input((28, 28))
layers.LSTM(32)(inputs)
outputs = layers.Dense(10, activation="softmax")(inputs)
reveal(
    guess, str(outputs.shape), "The LSTM's result is thrown away: it is not in the network at all."
)

# %% [markdown]
# ### Can a network get you rich?
#
# Here are the prices of a share, Google's, day by day from 2004 to 2008. (They come with matplotlib.) A GRU sees how
# the price changed on the last 20 days, in per cent, and predicts the next change. It learns from the years up to 2006.
# The years after are for testing: a split in time, because at work one never knows the future.

# %%
from matplotlib import cbook

days = cbook.get_sample_data("goog.npz")["price_data"]
price = days["adj_close"]
change = np.diff(np.log(price)) * 100  # nearly the same as per cent
windows = np.lib.stride_tricks.sliding_window_view(change, 20)[:-1, :, None].astype("float32")
wanted = change[20:].astype("float32")
today, tomorrow = price[20:-1], price[21:]
year = days["date"][21:].astype("datetime64[Y]").astype(int) + 1970

# %% tags=["nbval-ignore-output"]
keras.utils.set_random_seed(seed)
trader = keras.Sequential([keras.Input((20, 1)), layers.GRU(16), layers.Dense(1)])
trader.compile(keras.optimizers.Adam(0.003), "mean_absolute_error")
trader.fit(windows[year <= 2006], wanted[year <= 2006], batch_size=32, epochs=15, verbose=0)
forecast = today * np.exp(trader.predict(windows, verbose=0)[:, 0] / 100)

# %% tags=["hide", "nbval-ignore-output"]
figure, axes = plots.subplots(
    alt="Forecast and price in 2008: the curves nearly coincide.", width=8
)
shown = np.flatnonzero(year == 2008)
axes.plot(tomorrow[shown], color="0.6", linewidth=2.5, label="price")
axes.plot(forecast[shown], "--", label="forecast of the day before")
axes.set(xlabel="trading day of 2008", ylabel="dollars")
axes.legend()
figure

# %% [markdown]
# What a forecast! It follows the price all year. Before you call your bank: what does the simplest rival say?
# **Persistence** predicts that tomorrow will be as today. A linear model (one neuron, with the same loss, on the same 20
# numbers) is the second rival. By how many dollars is the GRU better than persistence, on a day of 2008? (A negative
# number means worse.)

# %%
guess = None  # a number

# %%
series = pd.read_csv(measured_dir() / "06_series.csv").set_index("network")
errors = series.groupby(level=0)[["mae_network_2007", "mae_network_2008"]].mean()
errors.columns = ["2007", "2008"]
errors.loc["persistence"] = series[["mae_as_today_2007", "mae_as_today_2008"]].iloc[0].to_numpy()
errors.round(2)

# %%
gain = errors.loc["persistence", "2008"] - errors.loc["gru", "2008"]
reveal(guess, gain, "It is worse: what it has learned is to say 'as today'.")
check(gain < 0, "no network here beats 'tomorrow as today' in 2008")

# %% [markdown]
# These are mean absolute errors in dollars, over ten seeds. In 2007 the GRU was a cent better. The picture deceives:
# the forecast is today's price, one day late. So look for the rival first, in every task with time. (Weather, electricity
# and traffic do have patterns that a network can learn.)
#
# *Remember: a forecast has to beat "as today" before it deserves a picture.*
#
# ## 6 · Letter after letter
#
# Now the machine that invents words. From the language and the letters so far it predicts the next letter. Each letter,
# as a small one, gets a number from 2 on. 0 fills up short names, and 1 is the border before and after each name.

# %%
symbols = sorted(set("".join(words.x_train).lower()))
code = {letter: i for i, letter in enumerate(symbols, start=2)}


def encode(name, length=26):
    row = [1, *(code.get(letter, 0) for letter in name.lower()), 1]
    return np.array(row + [0] * (length - len(row)), "int32")


def spell(row):
    end = [*row, 1].index(1)  # up to the border
    return "".join(symbols[s - 2] for s in row[:end])


print(encode("Mali", 8), "and the network is to predict", encode("Mali", 8)[1:])


# %% tags=["hide"]
def rows_of(names, languages):
    """Return the rows of names of at most 24 known letters, and their languages as a column."""
    good = [len(n.lower()) <= 24 and set(n.lower()) <= set(code) for n in names]
    kept = np.stack([encode(n) for n, ok in zip(names, good) if ok])
    return kept, languages[good][:, None].astype("int32")


every, every_language = rows_of(words.x_train, words.y_train)
test_rows, test_language = rows_of(words.x_test, words.y_test)
order = np.random.default_rng(seed).permutation(len(every))
held_out, chosen = np.split(order, [len(order) // 10])
chosen = chosen[:n_names]
train_rows, train_language = every[chosen], every_language[chosen]
if not all_names:
    test_rows, test_language = test_rows[:300], test_language[:300]
print(f"{len(train_rows)} names to learn from, {len(held_out)} held out, {len(test_rows)} to test")

# %% [markdown]
# An **embedding** is a table with a row of learned numbers for each symbol. Letters that behave alike may get similar
# rows. It replaces one-hot rows, and it is shorter: here 32 numbers. The language has an embedding too. It is added to
# that of the letter at every step, so that the network never forgets in which language it writes.

# %%
keras.utils.set_random_seed(seed)
n_symbols, n_languages = len(symbols) + 2, len(words.class_names)
letters = keras.Input((None,), dtype="int32")  # names of any length
language = keras.Input((1,), dtype="int32")
x = layers.Add()(
    [layers.Embedding(n_symbols, 32)(letters), layers.Embedding(n_languages, 32)(language)]
)
h = layers.GRU(128, return_sequences=True)(x)
writer = keras.Model([letters, language], layers.Dense(n_symbols)(layers.Dropout(0.2)(h)))
print(f"{writer.count_params():,} weights")

# %% [markdown]
# Names in a batch have to be equally long, so short ones are filled up with 0. These places must not count. Leaving them
# out is called **masking**. In a network that reads whole names, `Embedding(mask_zero=True)` does it: the recurrent layer
# skips the zeros. Is the state of *Mali* the same then, with and without twenty zeros behind it?

# %%
for mask in (True, False):
    reader = keras.Sequential([layers.Embedding(n_symbols, 8, mask_zero=mask), layers.GRU(4)])
    short, filled = encode("Mali", 6)[None], encode("Mali", 26)[None]
    same = np.allclose(reader(short), reader(filled), atol=1e-5)
    print(f"mask_zero={mask}: the same state {same}")

# %% [markdown]
# Our writer gives an answer after every step. So there the *loss* leaves out the zeros, by `ignore_class=0`. To save
# time, names of about the same length share a batch:


# %%
def batches(rows, languages):
    stream = tf.data.Dataset.from_tensor_slices((rows, languages)).shuffle(len(rows), seed=seed)
    stream = stream.map(lambda row, c: (row[: tf.math.count_nonzero(row)], c))  # without zeros
    stream = stream.bucket_by_sequence_length(
        lambda row, c: tf.size(row), [8, 10, 12, 15, 20], [32] * 6
    )
    return stream.map(lambda row, c: ((row[:, :-1], c), row[:, 1:])).repeat()


# %% [markdown]
# Read the last line again. The input is a name without its last symbol, the target is the same name without its first
# one. So each letter is the right answer to all letters before it. Twelve times through all names takes about a minute:

# %% tags=["nbval-ignore-output"]
steps = len(train_rows) // 32
rate = keras.optimizers.schedules.CosineDecay(0.004, steps * name_epochs)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
writer.compile(keras.optimizers.Adam(rate, clipnorm=1), loss)
stream = batches(train_rows, train_language)
history = writer.fit(stream, steps_per_epoch=steps, epochs=name_epochs, shuffle=False, verbose=0)
print(f"loss {history.history['loss'][0]:.2f} → {history.history['loss'][-1]:.2f}")

# %% [markdown]
# How good is it? Each letter of a test name got some probability $p$. The mean of $-\log_2 p$ is called **bits a
# letter**. It is the cross-entropy with another logarithm. One bit is the surprise of a coin; two bits that of a
# choice among four. The fewer bits, the better it knew what comes.


# %%
def log_p(rows, languages):
    """Return log p of each symbol after the first; 0 where a name has ended."""
    parts = []
    for i in range(0, len(rows), 512):
        row = rows[i : i + 512]
        logits = writer.predict_on_batch([row[:, :-1], languages[i : i + 512]])
        p = np.asarray(keras.ops.log_softmax(logits))
        parts.append(np.take_along_axis(p, row[:, 1:, None], axis=2)[..., 0])
    return np.concatenate(parts) * (rows[:, 1:] > 0)


# %% [markdown]
# The rival counts. An **n-gram** is a group of $n$ letters in a row. How often did *a*, *b*, *c* … follow *kan* in the
# training names? That gives a probability for the letter after *kan*. Rare groups are unreliable, so we mix: the longer
# group has a say that grows with how often it was seen, the shorter one has the rest (Witten and Bell, 1991).


# %%
def count(rows, n):
    follow = defaultdict(Counter)
    for row in rows:
        name = tuple(int(s) for s in row[row > 0])
        for i in range(1, len(name)):
            for k in range(min(n, i + 1)):
                follow[name[i - k : i]][name[i]] += 1
    return follow


def probability(follow, before, letter):
    p = 1 / n_symbols
    for k in range(len(before) + 1):
        seen = follow.get(before[len(before) - k :], Counter())
        kinds, total = len(seen), seen.total()
        p = (seen[letter] + kinds * p) / (total + kinds) if total else p
    return p


# %%
def counted(n):
    own = [count(train_rows[train_language[:, 0] == c], n) for c in range(n_languages)]
    return own, count(train_rows, n)


def mixed(counts, c, before, letter):
    own, of_all = counts
    return (probability(own[c], before, letter) + probability(of_all, before, letter)) / 2


def ngram_bits(n):
    counts, surprises = counted(n), []
    for row, c in zip(test_rows, test_language[:, 0]):
        name = tuple(int(s) for s in row[row > 0])
        for i in range(1, len(name)):
            before = name[max(0, i - n + 1) : i]
            surprises.append(-np.log2(mixed(counts, c, before, name[i])))
    return np.mean(surprises)


# %% [markdown]
# Half of each probability comes from the names of one language, half from those of all languages. The network can use
# all letters before; the 5-gram sees four. Which has fewer bits on the test names?

# %%
guess = None  # "network" or "5-gram"

# %% tags=["nbval-ignore-output"]
bits = {f"{n}-gram": ngram_bits(n) for n in range(1, 6)}
seen = (test_rows[:, 1:] > 0).sum()
bits["network"] = -log_p(test_rows, test_language).sum() / np.log(2) / seen
pd.Series(bits, name="bits a letter on test names").round(2).to_frame()

# %% tags=["nbval-ignore-output", "hide"]
winner = "network" if bits["network"] < bits["5-gram"] else "5-gram"
reveal(guess, winner, "The same stems, such as arme- (Armenia), come back in all languages.")
check(bits["2-gram"] - 0.2 > bits["network"] > bits["5-gram"],
      "the network is far better than pairs, and groups of five are better still",
      required=all_names)  # fmt: skip

# %% [markdown]
# The network knows more than pairs and groups of three. It loses to groups of four and five. Why? Look at all training
# names that begin with *arme*:

# %%
print(
    *sorted({spell(row[1:]) for row in train_rows if spell(row[1:]).startswith("arme")}), sep=", "
)

# %% [markdown]
# Who has counted *arme* in other languages knows how it goes on in the next one. Counting keeps every such piece word for
# word. Section 8 shows the price of that.
#
# *Remember: predict the next letter, and every text is its own teacher.*
#
# ## 7 · Looking back: attention
#
# A recurrent network squeezes all that it has read into one state. **Attention** lets each step look back at all
# earlier steps, and take what it needs (Bahdanau, Cho and Bengio, 2015; Vaswani et al., 2017). Each step asks with a
# *query* $q$. Each earlier step offers a *key* $k$ and a *value* $v$. How well query and key fit decides how much of the
# value is taken:
#
# $$\mathrm{attention} = \mathrm{softmax}\!\left(\frac{Q K^T}{\sqrt{d}}\right) V$$
#
# $Q$, $K$ and $V$ come from the input through a matrix each; $d$ is their width. The softmax makes shares that add up
# to 1. A step that writes must not look at what comes later: there the score is set to minus infinity, and the share
# is 0.


# %%
def attention(x, weights):
    wq, bq, wk, bk, wv, bv, wo, bo = weights
    q, k, v = x @ wq[:, 0] + bq[0], x @ wk[:, 0] + bk[0], x @ wv[:, 0] + bv[0]
    scores = q @ k.transpose(0, 2, 1) / np.sqrt(k.shape[-1])
    later = np.triu(np.ones(scores.shape[1:], bool), k=1)
    scores[:, later] = -np.inf
    shares = np.exp(scores - scores.max(axis=2, keepdims=True))
    shares /= shares.sum(axis=2, keepdims=True)
    return shares, shares @ v @ wo[0] + bo


# %%
layer = keras.layers.MultiHeadAttention(num_heads=1, key_dim=8)
by_keras = np.asarray(layer(noise, noise, use_causal_mask=True))
shares, by_hand = attention(noise, layer.get_weights())
check(np.abs(by_hand - by_keras).max() < 1e-4, "ten lines of NumPy equal Keras's attention")

# %% [markdown]
# How do the shares look? Here are those of the first six steps, with fresh weights. What stands above the diagonal?

# %%
guess = None  # a number

# %% tags=["nbval-ignore-output"]
print(shares[0, :6, :6].round(2))
reveal(guess, shares[0][np.triu_indices(6, 1)].max(), "No step sees the future.")

# %% [markdown]
# What does it add to the writer? The same network, with attention behind its GRU, was measured beforehand, each with ten
# seeds. How many bits a letter does attention save?

# %%
guess = None  # a number of bits

# %%
names = pd.read_csv(measured_dir() / "06_names.csv")
columns = {"test_bits": "bits a letter", "accuracy_25": "languages told apart"}
names.groupby("cell")[list(columns)].mean().rename(columns=columns).round(3)

# %%
by_seed = names.pivot(index="seed", columns="cell", values="test_bits")
saved = by_seed["GRU"] - by_seed["GRU, attention"]
half = t_distribution.ppf(0.975, len(saved) - 1) * saved.std() / len(saved) ** 0.5
print(
    f"saved: {saved.mean():.2f} ± {half:.2f} bits a letter, with {(saved > 0).sum()} seeds of {len(saved)}"
)
reveal(guess, saved.mean(), "Little, and certain.")

# %% [markdown]
# The saving is small, and each seed shows it. Languages are told apart no better.
#
# Attention has no chain of 60 links. From any step to any other it is one link, so the signal has no way to fade. And
# all steps are computed at once, where a recurrent network has to wait for each. For these two reasons **Transformers**,
# networks of attention and dense layers, have mostly replaced recurrent networks since 2017. This is so wherever there is
# much text, speech or code. The large language models are Transformers: they predict the next piece of a word, as your
# writer predicts the next letter. Recurrent networks have kept some places: few data, inputs that arrive one by one,
# little memory. A state has the same size after a million steps; attention has to keep all of them.
#
# *Remember: a state is a summary; attention looks things up.*
#
# ## 8 · A machine that invents words
#
# Start with the border and a language. The network gives a probability to each symbol. Draw one of them, append it, ask
# again, until the border comes. The **temperature** $T$ decides how daring it is: the logits are divided by $T$ before
# the softmax. Below 1, likely letters become likelier; above 1, all become more alike.


# %%
def invent(languages, temperature, rng):
    rows = np.ones((len(languages), 1), "int32")
    for _ in range(24):
        logits = writer.predict_on_batch([rows, languages])[:, -1] / temperature
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p[:, 0] = 0  # nothing is filled up here
        p /= p.sum(axis=1, keepdims=True)
        drawn = [rng.choice(n_symbols, p=q) for q in p]
        rows = np.column_stack([rows, drawn]).astype("int32")
    return [spell(row[1:]) for row in rows]


# %% [markdown]
# Try it: choose a language and move the temperature. Below are names at three temperatures.


# %% tags=["nbval-ignore-output"]
@interact(name=list(words.class_names), temperature=(0.2, 1.6, 0.1))
def show(name="Turkish", temperature=0.7):
    number = np.full((6, 1), words.class_names.index(name), "int32")
    print(f"{temperature:.1f}:", ", ".join(invent(number, temperature, np.random.default_rng())))


# %% tags=["nbval-ignore-output"]
rng = np.random.default_rng(seed)
for name in ("Turkish", "Vietnamese", "Italian", "Finnish", "Polish"):
    print(name)
    number = np.full((5, 1), words.class_names.index(name), "int32")
    for temperature in (0.3, 0.7, 1.2):
        print(f"  {temperature}:", ", ".join(invent(number, temperature, rng)))

# %% [markdown]
# Nobody has taught the network that Vietnamese is full of *tiếng*, or how a Finnish word ends. It has read names, one
# letter after the other. At a low temperature it plays safe and repeats what is common. At a high one it makes letter
# salad.
#
# And the 5-gram, which has fewer bits? It can invent too, in the same way. Which share of the names that it invents at
# temperature 0.7 are copies of training names? (For the network we count as well.)

# %%
guess = None  # a share, from 0 to 1


# %%
def invent_by_counting(counts, c, temperature, rng):
    name = (1,)
    while len(name) == 1 or (name[-1] != 1 and len(name) < 25):
        p = [mixed(counts, c, name[-4:], s) for s in range(1, n_symbols)]
        p = np.array(p) ** (1 / temperature)
        name += (int(rng.choice(n_symbols - 1, p=p / p.sum())) + 1,)
    return spell(name[1:])


# %% tags=["nbval-ignore-output"]
known = {spell(row[1:]) for row in train_rows}
each = np.repeat(np.arange(n_languages), 8)
of_five = counted(5)
by_counting = [invent_by_counting(of_five, c, 0.7, rng) for c in each]
by_network = invent(each[:, None].astype("int32"), 0.7, rng)
copies = {who: np.mean([name in known for name in found])
          for who, found in (("5-gram", by_counting), ("network", by_network))}  # fmt: skip
print({who: f"{share:.0%}" for who, share in copies.items()})

# %% tags=["nbval-ignore-output", "hide"]
reveal(guess, copies["5-gram"], "Fewer bits by remembering; the network invents more of its own.")

# %% [markdown]
# And the network with attention of section 7, which saved some bits? The same was counted for its ten seeds:

# %%
names.groupby("cell")["copies_0.7"].mean().round(3).to_frame("share of copies")

# %% [markdown]
# It looks things up, and copies more, too. So both figures belong together. Bits alone would have chosen the copying machine.
#
# *Remember: a low temperature repeats, a high one raves; in between it invents.*
#
# ## 9 · A machine that reads your word
#
# The same network can read. Ask it, for each of the eighteen languages: how probable are these letters, if the language
# is this one? Then turn the question round with Bayes's rule: the probability of a language, given the letters, is
# proportional to the probability of the letters, given the language, times the share of the language among the training
# names.


# %%
def read_word(word):
    row = np.repeat(encode(word, 26)[None], n_languages, axis=0)
    letters = log_p(row, np.arange(n_languages, dtype="int32")[:, None]).cumsum(axis=1)
    share = np.bincount(train_language[:, 0], minlength=n_languages) + 1
    belief = letters[:, : len(word)].T + np.log(share)
    belief = np.exp(belief - belief.max(axis=1, keepdims=True))
    return belief / belief.sum(axis=1, keepdims=True)


# %% [markdown]
# `belief` has a row for each letter read, and a column for each language. Which language will it name after the first
# two letters of the Polish word *szwedzki* (Swedish)?

# %%
guess = None  # a language

# %% tags=["nbval-ignore-output"]
belief = read_word("szwedzki")
first = words.class_names[belief[1].argmax()]
reveal(guess, first, f"At the end it says {words.class_names[belief[-1].argmax()]}.")


# %% tags=["hide"]
def draw_reading(word, letters=None):
    """Draw the five languages that mattered most while a word was read, letter by letter."""
    belief = read_word(word)
    figure, axes = plots.subplots(alt=f"Probabilities of languages while {word} is read.", height=3)
    best = np.argsort(belief.max(axis=0))[::-1][:5]
    for k, marker in zip(best, "os^Dv"):
        axes.plot(belief[:letters, k], marker=marker, label=words.class_names[k])
    axes.set(xticks=range(len(word)), xlim=(-0.5, len(word) - 0.5), ylim=(-0.03, 1.03),
             xlabel="letter by letter", ylabel="probability")  # fmt: skip
    axes.set_xticklabels(list(word))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


# %% tags=["nbval-ignore-output"]
draw_reading("szwedzki")

# %% tags=["nbval-ignore-output"]
draw_reading("kanariansaaret")


# %% [markdown]
# That is the word of the beginning. Look where the network makes up its mind, and where you did. Had it seen the words
# before?

# %%
print({word: word in known for word in ("szwedzki", "kanariansaaret", "kroatisch")})

# %% [markdown]
# Now it is your turn: type a word or your own name, and move through its letters.


# %% tags=["nbval-ignore-output"]
@interact(word="kroatisch", letters=(1, 24))
def show_reading(word="kroatisch", letters=24):
    known = "".join(letter for letter in word.lower() if letter in code)[:24]
    return draw_reading(known, letters) if known else "Type a word with letters of its languages."


# %% tags=["nbval-ignore-output"]
show_reading("kroatisch", 24)

# %% [markdown]
# How often is it right, after so many letters? And the rival: logistic regression on groups of one to three letters, a
# classic of language identification (Cavnar and Trenkle, 1994), which sees whole names.

# %% tags=["nbval-ignore-output"]
by_language = np.stack(
    [log_p(test_rows, np.full_like(test_language, c)).cumsum(axis=1) for c in range(n_languages)], 2
)
share = np.log(np.bincount(train_language[:, 0], minlength=n_languages) + 1)
answers = (by_language + share).argmax(axis=2)
right = answers == test_language
end = (test_rows > 0).sum(axis=1) - 2
by_letters = {k: right[np.arange(len(end)), np.minimum(k - 1, end)].mean() for k in range(1, 25)}

# %% tags=["nbval-ignore-output"]
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

groups = make_pipeline(
    CountVectorizer(analyzer="char_wb", ngram_range=(1, 3)), LogisticRegression(C=10, max_iter=200)
)
groups.fit([spell(row[1:]) for row in train_rows], train_language[:, 0])
by_groups = groups.score([spell(row[1:]) for row in test_rows], test_language[:, 0])
print(f"whole names: network {by_letters[24]:.1%}, groups of letters {by_groups:.1%}")

# %% tags=["hide", "nbval-ignore-output"]
figure, axes = plots.subplots(alt="Accuracy rises with the letters read; counting is above it.")
axes.plot(by_letters.keys(), by_letters.values(), "o-", label="network, after so many letters")
axes.axhline(by_groups, ls="--", color="C1", label="groups of letters, whole name")
axes.set(xlabel="letters read", ylabel="share of test names that are right", ylim=(0, 1))
axes.legend(loc="lower right")
figure

# %% [markdown]
# With each letter it becomes more certain, as you did. Chance would be right once in eighteen. Counting groups of
# letters is better again, and far quicker. But our writer was never trained to name a language. It learned that by the
# way.
#
# Which languages does the writer mix up?

# %% tags=["nbval-ignore-output"]
last = answers[np.arange(len(end)), end]
wrong = Counter(
    tuple(sorted((words.class_names[a], words.class_names[b])))
    for a, b in zip(last, test_language[:, 0])
    if a != b
)
for (first, second), times in wrong.most_common(5):
    print(f"{times:3} times mixed up: {first} and {second}")

# %% [markdown]
# They are neighbours, and people mix them up too.
#
# *Remember: a network that can write can read, by Bayes's rule.*
#
# ## Check yourself

# %% tags=["hide"]
choose(
    "A SimpleRNN reads sequences of 100 steps. You make them 200 steps long. Its number of weights …",
    {
        "doubles": "All steps share the same weights.",
        "stays the same": "W, U and b are used at every step.",
        "quadruples": "U depends on the units, not on the steps.",
    },
    answer="stays the same",
)

# %% tags=["hide"]
choose(
    "The loss of a recurrent network is suddenly not a number. What do you try first?",
    {
        "more units": "They do not make a gradient shorter.",
        "gradient clipping": "One exploding gradient is enough to throw all weights away.",
        "a longer sequence": "That multiplies even more factors.",
    },
    answer="gradient clipping",
)

# %% tags=["hide"]
choose(
    "The forget gate of an LSTM is 1 and its write gate is 0. What happens to c?",
    {
        "It becomes 0.": "That would be a forget gate of 0.",
        "It stays as it is.": "All of the old value is kept, nothing new comes in.",
        "It becomes the candidate.": "The write gate keeps the candidate out.",
    },
    answer="It stays as it is.",
)

# %% tags=["hide"]
choose(
    "Two LSTMs shall be stacked. What does the first one need?",
    {
        "return_sequences=True": "The second one reads a sequence: the states after every step.",
        "as many units as the second": "Their sizes need not agree.",
        "a softmax": "Only the last layer gives probabilities.",
    },
    answer="return_sequences=True",
)

# %% tags=["hide"]
choose(
    "A picture shows a forecast that follows the temperature of each day closely. What do you ask?",
    {
        "How many units has the network?": "That says nothing about the forecast.",
        "How large is the error of 'as today'?": "A forecast that is one day late looks just as good.",
        "Was it an LSTM or a GRU?": "First ask whether it beats the simplest rival.",
    },
    answer="How large is the error of 'as today'?",
)

# %% [markdown]
# ## What to take away
#
# - A recurrent network reads step by step with the same weights, and keeps a state. You have computed three cells
#   yourself, and attention.
# - The training signal fades or explodes along time. Gates and attention help, clipping prevents the worst.
# - A network that predicts the next letter can write, and with Bayes's rule it can read.
# - Counting groups of letters is a strong rival here; "as today" is one for every forecast.
#
# ## What this does not show
#
# > Live trainings are one run each. The measured tables hold for these tasks, sizes and steps; trained longer or tuned
# > otherwise, an order among cells may change. One share in one unusual year proves nothing about markets. Names are few
# > and share their stems, which favours counting; on long texts this turns. Eighteen languages with Latin
# > letters are not all languages.
#
# Now the [exercises](exercises/06_exercises.ipynb). Next lesson: [07 · Pretrained
# networks](07_pretrained_networks.ipynb): a network that others have trained for weeks looks at your photos.

# %% tags=["nbval-ignore-output", "hide"]
record(
    dataset=data.name,
    n_train=n_fit,
    val_accuracy=rows_val,
    test_accuracy=rows_test,
    adding_error=error,
    bits_a_letter=bits["network"],
    bits_of_5_grams=bits["5-gram"],
    text_accuracy=by_letters[24],
    text_baseline=by_groups,
)
