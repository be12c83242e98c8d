# %% [markdown]
# # 06 · Recurrent networks: a machine that invents words
#
# *Kanariansaaret.* You may never have seen this word. Read it once more, slowly. At some letter you become certain that
# it is Finnish. (It means the Canary Islands.) A dense network cannot read like that: it wants all its numbers at once.
# In this lesson you build networks that read one letter after the other and remember. At the end your own network
# invents words: Turkish ones, Vietnamese ones, most of them not among the names that it has read. And it reads any word
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


# %% tags=["hide"]
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
# passes the sum through tanh, which bends it. The simplest cell (Elman, 1990) is called `SimpleRNN` in Keras:
#
# $$\underbrace{h_t}_{1 \times \text{units}} = \tanh(\underbrace{x_t}_{1 \times \text{features}} W + h_{t-1} U + b)$$
#
# $W$ has the shape (features, units), $U$ (units, units) and $b$ (units). Here a state of two numbers reads the word
# *kana*, with $b = 0$. Each letter is a one-hot row: k is 1 0 0, a is 0 1 0, n is 0 0 1. The first row of the result is
# the state before the first letter.

# %%
W_kana = np.array([[0.9, -0.3], [-0.4, 0.8], [0.2, 0.5]])  # a row for each of k, a, n
U_kana = np.array([[0.5, -0.8], [0.7, 0.4]])
one_hot = np.eye(3)


def read(word):
    states = [np.zeros(2)]
    for letter in word:
        x = one_hot["kan".index(letter)]
        states.append(np.tanh(x @ W_kana + states[-1] @ U_kana))
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
# Keras computes the same. Its `SimpleRNN` gets 32 units and reads 64 random sequences of 60 steps with 8 numbers each: an
# array of (sequences, steps, features). We take its weights and do the loop ourselves, for all sequences at once:

# %%
noise = np.random.default_rng(seed).normal(size=(64, 60, 8)).astype("float32")
keras.utils.set_random_seed(seed)
simple = layers.SimpleRNN(32)
by_keras = np.asarray(simple(noise))
W, U, b = simple.get_weights()

# %%
states = [np.zeros((64, 32))]  # all of them are kept; section 2 needs them
for t in range(60):
    states.append(np.tanh(noise[:, t] @ W + states[-1] @ U + b))
check(np.abs(states[-1] - by_keras).max() < 1e-4, "SimpleRNN: NumPy equals Keras")

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
# The network answers after the last step, and the loss compares the answer with the truth. From there the error has to
# go back to the first step, link by link, through the unrolled chain. This is ordinary back-propagation; on such a
# chain it is called **back-propagation through time**. The error $d_t$ is a row, the slope of the loss in each unit of
# the state $h_t$. One link carries it back by the slope of tanh, which is at most 1, and by $U$:
#
# $$\underbrace{d_{t-1}}_{1 \times \text{units}} = \big(d_t \cdot (1 - h_t^2)\big)\, U^T \qquad
# \underbrace{\frac{\partial L}{\partial U}}_{\text{units} \times \text{units}} = \sum_t h_{t-1}^T \big(d_t \cdot (1 -
# h_t^2)\big)$$
#
# All links share $U$, so its gradient is a sum over all steps. In NumPy it is a loop from the last step to the first.
# As the loss we take the sum of the last state, because its slope is 1 in each unit:

# %%
d, slope_of_U = np.ones((64, 32)), np.zeros((32, 32))
for t in range(60, 0, -1):
    d = d * (1 - states[t] ** 2)  # back through tanh
    slope_of_U += states[t - 1].T @ d
    d = d @ U.T  # back to the state before

# %%
with tf.GradientTape() as tape:
    loss = tf.reduce_sum(simple(noise))
by_tape = tape.gradient(loss, simple.trainable_variables)[1].numpy()
off = np.abs(slope_of_U - by_tape).max() / np.abs(by_tape).max()
check(off < 1e-3, "back-propagation through time: NumPy equals Keras")

# %% [markdown]
# So over 60 steps 60 such factors are multiplied. What arrives at step $t$ is the training signal of this step: it
# tells the weights how they should have treated the input there. We measure it with `GradientTape`: how much does the
# last state change if the input of step $t$ changes a little?


# %%
def slopes(layer, x):
    """Return how strongly the result depends on each number of x, in the shape of x."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(tf.abs(layer(x)))
    return np.abs(tape.gradient(total, x).numpy())


def signal(layer, x):
    return slopes(layer, x).mean(axis=(0, 2))  # a number for each step


# %% [markdown]
# Keras begins with a $U$ that turns the state and keeps its length (an orthogonal matrix). Let us multiply this $U$ by
# 0.7, by 1 and by 3, before any training. The sequences have 60 steps of noise. What does the signal do *with the
# factor 1* on its way back from the last step to the first?

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
ratio = signals[1.0][0] / signals[1.0][-1]
reveal(
    guess, "fades" if ratio < 0.1 else "stays", "U keeps the length, but tanh has a slope below 1."
)

# %% tags=["hide"]
figure, axes = plots.subplots(alt="Signal by step: it fades for gains 0.7 and 1, grows for 3.")
for (gain, s), style in zip(signals.items(), (":", "-", "--")):
    axes.plot(range(1, 61), s, style, label=f"U times {gain:g}")
axes.set(yscale="log", xlabel="step (the answer comes after step 60)", ylabel="training signal")
axes.legend()
figure

# %% tags=["hide"]
check(ratio < 1e-5 and signals[3.0][0] > 1e5 * signals[3.0][-1], "the signal fades or explodes")

# %% [markdown]
# Read it from right to left, as the error travels. The axis is logarithmic, so a straight line means the same factor at
# every step. Where the signal fades, the network cannot learn that an early input mattered. This is the vanishing
# gradient of lesson 03, along time (Hochreiter, 1991). Where it grows, one step of plain gradient descent throws all
# weights far away: the **exploding gradient**.
#
# Against explosions there is a simple remedy. **Gradient clipping** shortens a gradient that is longer than a limit
# (Pascanu, Mikolov and Bengio, 2013). In Keras it is one argument of the optimizer: `global_clipnorm` measures all
# weights together, and so keeps the direction of the step; `clipnorm` measures each array of weights on its own, so an
# array that explodes does not shrink the steps of the others. Here are two weights at 0. Their gradient is (30, 40),
# and its length is 50:

# %%
pair = keras.Variable([0.0, 0.0])
sgd = keras.optimizers.SGD(learning_rate=1.0, clipnorm=1)
sgd.apply([np.array([30.0, 40.0], "float32")], [pair])
print(np.asarray(pair))

# %% [markdown]
# The step has length 1 instead of 50. Does it save a training? A SimpleRNN whose $U$ is 1.5 times as large as Keras's
# reads 60 numbers and is to give the first of them. It learns by plain SGD. What will its loss be *without* clipping?

# %%
guess = None  # "small", "large" or "not a number"

# %% tags=["nbval-ignore-output"]
x = np.random.default_rng(seed).random((6400, 60, 1)).astype("float32")
ends = {}
for limit in (None, 1.0):
    keras.utils.set_random_seed(seed)
    start = keras.initializers.Orthogonal(gain=1.5)
    recalling = keras.Sequential(
        [layers.SimpleRNN(32, recurrent_initializer=start), layers.Dense(1)]
    )
    recalling.compile(keras.optimizers.SGD(0.1, global_clipnorm=limit), "mean_squared_error")
    ends[limit] = recalling.fit(x, x[:, 0], batch_size=64, epochs=1, verbose=0).history["loss"][0]
print({"without clipping": ends[None], "with clipping": round(ends[1.0], 3)})

# %% tags=["nbval-ignore-output"]
what = "small" if ends[None] < 1 else "large" if np.isfinite(ends[None]) else "not a number"
reveal(guess, what, f"With clipping it is {ends[1.0]:.2f}; always answering 1/2 gives 1/12 = 0.08.")

# %% tags=["nbval-ignore-output", "hide"]
check(ends[1.0] < 1 and not ends[None] < 10, "clipping keeps a training alive")

# %% [markdown]
# Clipping keeps the training alive; it does not make this network good. The networks of sections 4 and 6 are trained
# with `clipnorm=1`. Against fading signals clipping does not help. There are cells that can learn to help; section 4
# tests them.
#
# *Remember: along time the training signal fades or explodes; clipping tames the second, not the first.*
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
    "c1": (9.6, 3, "new c", "C0"), "f": (2.2, 1.2, "forget gate f\n(sigmoid)", "C2"),
    "i": (4.2, 1.2, "input gate i\n(sigmoid)", "C2"), "g": (6.2, 1.2, "candidate g\n(tanh)", "C1"),
    "new": (5.2, 2.1, "×", "0.4"), "o": (8.2, 1.2, "output gate o\n(sigmoid)", "C2"),
    "show": (8.2, 2.1, "×", "0.4"), "h1": (9.6, 2.1, "new h", "C0"),
    "in": (5.2, 0, "input x and old h, side by side", "C0"),
}  # fmt: skip
lstm_arrows = [("c0", "keep", ""), ("keep", "add", ""), ("add", "c1", ""), ("f", "keep", ""),
               ("i", "new", ""), ("g", "new", ""), ("new", "add", ""), ("add", "show", "tanh"),
               ("o", "show", ""), ("show", "h1", ""), ("in", "f", ""), ("in", "i", ""),
               ("in", "g", ""), ("in", "o", "")]  # fmt: skip
diagram(lstm_nodes, lstm_arrows, (8.2, 3.6), "The LSTM cell: c is multiplied by the forget gate, "
        "then input gate times candidate is added; the output gate times tanh of c is h.")  # fmt: skip

# %% [markdown]
# $$f, i, o = \sigma(x_t W_{f,i,o} + h_{t-1} U_{f,i,o} + b_{f,i,o}) \qquad g = \tanh(x_t W_g + h_{t-1} U_g + b_g)$$
#
# $$c_t = f \cdot c_{t-1} + i \cdot g \qquad h_t = o \cdot \tanh(c_t)$$
#
# One unit with numbers: let $c$ be 0.80. The forget gate is 0.9, the input gate 0.1, the candidate −1. What is the new
# $c$?

# %%
guess = None  # a number

# %%
reveal(guess, 0.9 * 0.80 + 0.1 * -1, "0.9 of the old value stays, a tenth of the new one comes in.")

# %% [markdown]
# In NumPy the cell is three lines. Keras keeps the four matrices side by side, in the order input gate, forget gate,
# candidate, output gate.


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
# The **GRU** (Cho et al., 2014) needs only one state and two gates. The update gate $z$ says how much of the old state
# is kept, and the rest, $1 - z$, is filled with the candidate. The reset gate $r$ says how much of the old state the
# candidate sees.

# %% tags=["hide"]
gru_nodes = {
    "h0": (0, 3, "old h", "C0"), "keep": (2.4, 3, "×", "0.4"), "add": (8, 3, "+", "0.4"),
    "h1": (10, 3, "new h", "C0"), "z": (2.4, 1.2, "update gate z\n(sigmoid)", "C2"),
    "rh": (5.2, 2.1, "×", "0.4"), "r": (5.2, 1.2, "reset gate r\n(sigmoid)", "C2"),
    "g": (6.7, 2.1, "candidate g\n(tanh)", "C1"), "new": (8, 2.1, "×", "0.4"),
    "less": (8, 1.2, "1 − z", "C2"), "in": (5.2, 0, "input x and old h, side by side", "C0"),
    "x": (6.7, 1.2, "input x", "C0"),
}  # fmt: skip
gru_arrows = [("h0", "keep", ""), ("keep", "add", ""), ("add", "h1", ""), ("z", "keep", ""),
              ("h0", "rh", ""), ("r", "rh", ""), ("rh", "g", ""), ("x", "g", ""), ("g", "new", ""),
              ("less", "new", ""), ("new", "add", ""), ("in", "z", ""), ("in", "r", "")]  # fmt: skip
diagram(gru_nodes, gru_arrows, (8.2, 3.6), "The GRU cell: the old h times z, plus the candidate "
        "times 1 minus z, is the new h; r scales the old h on its way into the candidate.")  # fmt: skip

# %% [markdown]
# $$z, r = \sigma(x_t W_{z,r} + h_{t-1} U_{z,r} + b_{z,r}) \qquad g = \tanh(x_t W_g + b_g + r \cdot (h_{t-1} U_g + b'_g))$$
#
# $$h_t = z \cdot h_{t-1} + (1 - z) \cdot g$$
#
# The picture multiplies by $r$ before the product with $U_g$; Keras does it after, as the formulas say.

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
# Two tasks will decide.
#
# - *Adding* (Hochreiter and Schmidhuber, 1997): 30 numbers arrive, one a step. Two of them carry a mark, one in each half.
#   At the end the sum of these two is wanted; all others have to be ignored. Whoever always answers 1 has a mean squared
#   error of 1/6, which is twice the variance of a number between 0 and 1.
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
# measured NAME=06_memory`. Which cell wins *recall*?

# %%
guess = None  # "SimpleRNN", "LSTM" or "GRU"

# %%
memory = pd.read_csv(measured_dir() / "06_memory.csv")
table = memory.groupby(["cell", "task"])[["test_mse", "test_accuracy"]].median().unstack()
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
# The table has the medians of ten runs. In the picture each point is one run; the dashed lines are the answers without
# reading. Opposite winners, after so few steps: one LSTM of ten did find the way on recall, and longer trainings might
# find it more often. So "an LSTM remembers longer" is too simple. The signal suggests why. Here it is for fresh cells
# that read one symbol and then silence:

# %%
silence = np.zeros((64, 60, 8), "float32")
silence[:, 0, 0] = 1
for name in ("SimpleRNN", "LSTM", "GRU"):
    keras.utils.set_random_seed(seed)
    s = signal(getattr(layers, name)(32), silence)
    print(f"{name:10} first step: {s[0] / s[-1]:.0e} of the last")

# %% [markdown]
# In silence the $U$ of a fresh SimpleRNN turns the state and keeps its length, so the signal survives: in silence the
# states stay small, where tanh has a slope of nearly 1, which was not so with the noise of section 2. The gates of the
# others begin partly open: about one half in a GRU, and 0.73 for the forget gate of an LSTM, whose bias Keras sets to
# 1. Half of a half of a half is soon nothing: 0.5 to the power of 59 is 2e-18. The way through $U$ carries more than that, but not enough. On adding it is the other way
# round: a SimpleRNN has no gate to keep a number out that is not marked, and finds it hard: only three of ten runs got
# clearly below 1/6. A gate can learn it. Can we see that? Now one run live, a GRU that learns to add:

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
# Before training the first steps hardly reached the answer. Now all steps do: training has opened the way to the last
# state. But has the network learned to keep out what is not marked? If the network adds, a marked number that grows by
# 0.1 lets the answer grow by 0.1: a slope of 1. Which slope have the others, in the mean?

# %%
guess = None  # a number

# %% tags=["nbval-ignore-output"]
of_numbers = slopes(adder, new_x)[:, :, 0]  # feature 0 is the number, feature 1 the mark
marked = new_x[:, :, 1] == 1
print(f"marked {of_numbers[marked].mean():.2f}, others {of_numbers[~marked].mean():.2f}")
reveal(guess, of_numbers[~marked].mean(), "What is not marked, it ignores.")

# %% tags=["nbval-ignore-output", "hide"]
check(of_numbers[marked].mean() > 5 * of_numbers[~marked].mean(), "the network reads the marks",
      required=updates >= 600)  # fmt: skip

# %% [markdown]
# *Remember: what a cell remembers depends on the task and on the training, not on its name.*
#
# ## 5 · Rows of an image, prices of a stock
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

# %% [markdown]
# And the rival: one layer of softmax that sees all 784 pixels at once, with nearly as many weights. How many percentage
# points does the LSTM gain on it?

# %%
guess = None  # a number of points

# %% tags=["nbval-ignore-output"]
keras.utils.set_random_seed(seed)
at_once = keras.Sequential([
    keras.Input((steps, features)),
    layers.Rescaling(1 / x.max()),
    layers.Flatten(),
    layers.Dense(data.class_count, activation="softmax"),
])  # fmt: skip
adam = keras.optimizers.Adam(0.003)
at_once.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
at_once.fit(x, y, batch_size=32, epochs=epochs, verbose=0)
at_once_test = at_once.evaluate(data.x_test, data.y_test, verbose=0)[1]
print(f"{at_once.count_params():,} weights, {at_once_test:.1%} of the test images are right")
reveal(guess, 100 * (rows_test - at_once_test), "Reading row by row pays, a little.")

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
# In four epochs the larger rate gains about four points with either activation. Relu is not better than tanh: its mean is
# about a point lower, which five seeds can hardly tell from nothing. So tune the rate first, and leave tanh where it is.
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
# Does a second direction help? It was measured with ten seeds, on names: a GRU of 64 units learns in which language a
# name is, from all its letters, which section 6 turns into numbers; a second network has 64 more units that read from
# the right; a third has 96 units in one direction, which are as many weights as two times 64. Are both directions
# clearly better than the wider network?

# %%
guess = None  # "yes" or "no"

# %%
readers = pd.read_csv(measured_dir() / "06_reader.csv")
readers = readers.pivot(index="seed", columns="network", values="test_accuracy")
readers.agg(["mean", "std"]).round(3)

# %%
gain = readers["both directions"] - readers["one direction wider"]
wins = f"They are better with {(gain > 0).sum()} seeds of {len(gain)}, by {gain.mean():.3f}."
reveal(guess, "no" if abs(gain.mean()) < 0.005 else "yes", wins)

# %% [markdown]
# Two directions beat one of the same width. But a wider one with as many weights is just as good: here the weights
# count, not the direction. Without this third network we would have praised the direction. And a layer that reads
# backwards needs the whole name, so it cannot tell after each letter what it thinks.
#
# Without `return_sequences=True` the second layer gets one state where it wants a sequence, and Keras says so:

# %%
attempt("stacked, without return_sequences", lambda: keras.Sequential(
    [keras.Input((28, 28)), layers.LSTM(32), layers.LSTM(32)]
))  # fmt: skip

# %% [markdown]
# The next fault gives no message. Somebody wants ten probabilities for each image. What shape comes out?

# %%
inputs = keras.Input((28, 28))
layers.LSTM(32)(inputs)
outputs = layers.Dense(10, activation="softmax")(inputs)

# %%
guess = None  # "(None, 10)" or "(None, 28, 10)"

# %%
reveal(
    guess, str(outputs.shape), "The LSTM's result is thrown away: it is not in the network at all."
)

# %% [markdown]
# ### Can a network get you rich?
#
# Here are the prices of a stock, Google's, day by day from 2004 to 2008. (They come with matplotlib.) A GRU sees how
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
axes.plot(forecast[shown], "--", label="forecast, made one day earlier")
axes.set(xlabel="trading day of 2008, January to October", ylabel="dollars")
axes.legend()
figure

# %% [markdown]
# What a forecast! It follows the price from January to October. Before you call your bank: what does the simplest rival
# say? **Persistence** predicts that tomorrow will be as today. A linear model (one neuron, with the same loss, on the
# same 20 numbers) is the second rival. On average over 2008, is the GRU better than persistence, worse, or the same to
# within 5%?

# %%
guess = None  # "better", "worse" or "the same"

# %%
series = pd.read_csv(measured_dir() / "06_series.csv").set_index("network")
errors = series.groupby(level=0)[["mae_network_2007", "mae_network_2008"]].mean()
errors.columns = ["2007", "2008"]
errors.loc["persistence"] = series[["mae_as_today_2007", "mae_as_today_2008"]].iloc[0].to_numpy()
errors.round(2)

# %%
gain = errors.loc["persistence", "2008"] - errors.loc["gru", "2008"]
runs_better = (series.loc["gru", "mae_network_2008"] < errors.loc["persistence", "2008"]).sum()
same = abs(gain) < 0.05 * errors.loc["persistence", "2008"]
how = "the same" if same else "better" if gain > 0 else "worse"
reveal(guess, how, f"{runs_better} of its ten runs beat 'tomorrow as today' in 2008.")
check(gain < 0, "in the mean, no network here beats 'tomorrow as today' in 2008")

# %% tags=["nbval-ignore-output"]
says, moves = np.abs(forecast - today)[shown].mean(), np.abs(tomorrow - today)[shown].mean()
print(f"from day to day the price moves by {moves:.2f} dollars, the forecast by {says:.2f}")

# %% tags=["hide", "nbval-ignore-output"]
figure, axes = plots.subplots(
    alt="Three weeks of 2008: the forecast is the price, one day late.", width=8
)
part = shown[65:86]
axes.plot(range(65, 65 + len(part)), tomorrow[part], "o-", color="0.6", label="price")
axes.plot(range(65, 65 + len(part)), forecast[part], "s--", label="forecast, made one day earlier")
axes.set(xlabel="trading day of 2008", ylabel="dollars")
axes.set_xticks(range(65, 87, 5))
axes.legend()
figure

# %% [markdown]
# The errors are mean absolute errors in dollars, over ten seeds. In 2007 the GRU was a cent better. The first picture
# deceives, the second shows why: the forecast is today's price with hardly any change, drawn at tomorrow's date. So
# look for the rival first, in every task with time. Weather, electricity and traffic do have patterns that a network
# can learn.
#
# *Remember: a forecast has to beat "as today" before it deserves a picture.*
#
# ## 6 · Letter after letter
#
# Now the machine that invents words. From the language and the letters so far it predicts the next letter. Each letter,
# in lower case, gets a number from 2 on. 0 fills up short names, which is padding again, and 1 is the border before and
# after each name.


# %%
def small(name):
    return name.replace("İ", "i").lower()  # Python would make two signs of a Turkish İ


symbols = sorted(set("".join(map(small, words.x_train))))
code = {letter: i for i, letter in enumerate(symbols, start=2)}


def encode(name, length=26):
    row = [1, *(code.get(letter, 0) for letter in small(name)), 1]
    return np.array(row + [0] * (length - len(row)), "int32")


def spell(row):
    end = [*row, 1].index(1)  # up to the border
    return "".join(symbols[s - 2] for s in row[:end])


print(encode("Mali", 8), "and the network is to predict", encode("Mali", 8)[1:])


# %% tags=["hide"]
def rows_of(names, languages):
    """Return the rows of names of at most 24 known letters, and their languages as a column."""
    good = [len(small(n)) <= 24 and set(small(n)) <= set(code) for n in names]
    kept = np.stack([encode(n) for n, ok in zip(names, good) if ok])
    return kept, languages[good][:, None].astype("int32")


every, every_language = rows_of(words.x_train, words.y_train)
test_rows, test_language = rows_of(words.x_test, words.y_test)
order = np.random.default_rng(seed).permutation(len(every))
held_out, chosen = np.split(order, [len(order) // 10])
chosen = chosen[:n_names]
train_rows, train_language = every[chosen], every_language[chosen]
held_rows, held_language = every[held_out], every_language[held_out]
if not all_names:
    test_rows, test_language = test_rows[:300], test_language[:300]
print(f"{len(train_rows)} names to learn from, {len(held_out)} held out, {len(test_rows)} to test")

# %% [markdown]
# An **embedding** is a table with a row of learned numbers for each symbol. A one-hot row times this table would give
# the same row, only more slowly. Here a row has 32 numbers. The language has an embedding too. It is added to that of
# the letter at every step, so that the network never forgets in which language it writes.

# %%
keras.utils.set_random_seed(seed)
n_symbols, n_languages = len(symbols) + 2, len(words.class_names)
letters = keras.Input((None,), dtype="int32")  # names of any length
language = keras.Input((1,), dtype="int32")
x = layers.Add()(
    [
        layers.Embedding(n_symbols, 32)(letters),
        layers.Embedding(n_languages, 32, name="languages")(language),
    ]
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
# one. So at each place the right answer is the next letter. In training the network always reads the *right* letters
# before, also where it would have guessed others: **teacher forcing**. It goes twelve times through all names. After
# each epoch we look at names that are held out:

# %% tags=["nbval-ignore-output"]
steps = len(train_rows) // 32
rate = keras.optimizers.schedules.CosineDecay(0.004, steps * name_epochs)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
writer.compile(keras.optimizers.Adam(rate, clipnorm=1), loss)
stream = batches(train_rows, train_language)
unseen = batches(held_rows, held_language).take(len(held_rows) // 32)
history = writer.fit(
    stream,
    steps_per_epoch=steps,
    epochs=name_epochs,
    validation_data=unseen,
    shuffle=False,
    verbose=0,
)

# %% tags=["nbval-ignore-output"]
losses = pd.DataFrame(history.history, range(1, name_epochs + 1)).rename_axis("epoch")
losses.round(2).iloc[[0, len(losses) // 2, -1]]

# %% [markdown]
# How good is it? Each letter of a test name got some probability $p$. The mean of $-\log_2 p$ is called **bits a
# letter**; the border at the end counts as a letter. It is the cross-entropy with another logarithm: the loss divided by
# $\ln 2$. One bit is the surprise of a coin; two bits that of a choice among four. The fewer bits, the better it knew what comes.


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
# group counts more, the more often it was seen, and the shorter one has the rest (Witten and Bell, 1991).


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


def ngram_bits(n, mix):
    """Return the bits a letter of test names; mix gives a probability from the counts."""
    counts, surprises = counted(n), []
    for row, c in zip(test_rows, test_language[:, 0]):
        name = tuple(int(s) for s in row[row > 0])
        for i in range(1, len(name)):
            before = name[max(0, i - n + 1) : i]
            surprises.append(-np.log2(mix(counts, c, before, name[i])))
    return np.mean(surprises)


# %% [markdown]
# Half of each probability comes from the names of one language, half from those of all languages. The network can use
# all letters before; the 5-gram sees four. Which needs fewer bits on the test names?

# %%
guess = None  # "network" or "5-gram"

# %% tags=["nbval-ignore-output"]
bits = {f"{n}-gram": ngram_bits(n, mixed) for n in range(1, 6)}
seen = (test_rows[:, 1:] > 0).sum()
bits["network"] = -log_p(test_rows, test_language).sum() / np.log(2) / seen
pd.Series(bits, name="bits a letter on test names").round(2).to_frame()

# %% tags=["nbval-ignore-output", "hide"]
winner = "network" if bits["network"] < bits["5-gram"] else "5-gram"
reveal(
    guess,
    winner,
    f"If all {n_symbols} symbols were equally likely, it would be {np.log2(n_symbols):.2f} bits.",
)
check(bits["2-gram"] - 0.2 > bits["network"] > bits["5-gram"],
      "the network is far better than pairs, and groups of five are better still",
      required=all_names)  # fmt: skip

# %% [markdown]
# The network knows more than groups of three. It loses to groups of four and five. Why? Look at all training
# names that begin with *arme*:

# %%
print(
    *sorted({spell(row[1:]) for row in train_rows if spell(row[1:]).startswith("arme")}), sep=", "
)

# %% [markdown]
# Armenia has nearly the same stem in many languages. Whoever has counted *arme* in other languages knows how it goes on
# in the next one. If that is the reason, a 5-gram that sees the names of *one* language only should be worse. How
# many bits does it have?

# %%
guess = None  # a number of bits


# %%
def one_language(counts, c, before, letter):
    own, of_all = counts
    return probability(own[c], before, letter)


bits["5-gram, one language"] = ngram_bits(5, one_language)
reveal(guess, bits["5-gram, one language"], "Much worse, and about as many as the network has.")

# %% tags=["hide"]
check(bits["5-gram, one language"] > bits["5-gram"] + 0.3, "common stems help the counting",
      required=all_names)  # fmt: skip

# %% [markdown]
# This fits the explanation. It does not prove it, for this 5-gram has also read far fewer names.
#
# What has the network learned about the languages themselves? Each has a row of 32 numbers in its embedding, which
# began at random. Nobody told the network which languages are related. Which row is nearest to that of Danish, by the
# angle between them?

# %%
guess = None  # a language

# %% tags=["nbval-ignore-output"]
table = writer.get_layer("languages").get_weights()[0]
table = table / np.linalg.norm(table, axis=1, keepdims=True)
likeness = table @ table.T - 2 * np.eye(n_languages)  # cosine; nobody is one's own neighbour
nearest = {
    words.class_names[k]: words.class_names[likeness[k].argmax()] for k in range(n_languages)
}
pd.Series(nearest, name="nearest").to_frame().T

# %% tags=["nbval-ignore-output"]
reveal(guess, nearest["Danish"], "It has found out from how names are spelt.")

# %% [markdown]
# Most of these pairs are relatives: languages that are spelt alike have got rows that are alike. Not all are; this is one
# run.
#
# *Remember: predict the next letter, and every text is its own teacher.*
#
# ## 7 · Looking back: attention
#
# A recurrent network squeezes all that it has read into one state. **Attention** lets each step look back at all steps
# so far, and take what it needs. (The idea is by Bahdanau, Cho and Bengio, 2015; this form by Vaswani et al., 2017.)
# Each step asks with a *query*
# $q$. Each step so far, itself too, offers a *key* $k$ and a *value* $v$. How well query and key fit decides how much
# of the value is taken:
#
# $$\mathrm{attention} = \mathrm{softmax}\!\left(\frac{Q K^T}{\sqrt{d}}\right) V$$
#
# $Q$, $K$ and $V$ come from the input through a matrix each; $d$ is their width. The softmax makes shares that add up
# to 1. A step that writes must not look at what comes later: there the score is set to minus infinity, and the share
# is 0.


# %%
def attention(x, weights):
    wq, bq, wk, bk, wv, bv, wo, bo = weights
    # index 0: the first of its heads, which is the only one here
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
# How do the shares look? Here are those of the first six steps, with fresh weights. Which share does the first step
# give to itself?

# %%
guess = None  # a share, from 0 to 1

# %% tags=["nbval-ignore-output"]
print(shares[0, :6, :6].round(2))
reveal(guess, shares[0, 0, 0], "It can look at nothing else. Above the diagonal is the future.")

# %% [markdown]
# What does it add to the writer? Two more layers:

# %%
looked = layers.MultiHeadAttention(num_heads=1, key_dim=32)(h, h, use_causal_mask=True)
both = layers.Concatenate()([h, looked])
outputs = layers.Dense(n_symbols)(layers.Dropout(0.2)(both))
with_attention = keras.Model([letters, language], outputs)
print(f"{with_attention.count_params():,} weights instead of {writer.count_params():,}")

# %% [markdown]
# Both writers were measured beforehand, each with ten seeds. How many bits a letter does attention save? A negative
# number means that it costs some.

# %%
guess = None  # a number of bits

# %%
names = pd.read_csv(measured_dir() / "06_names.csv")
names.groupby("cell")["test_bits"].mean().round(3).to_frame("bits a letter")

# %%
by_seed = names.pivot(index="seed", columns="cell", values="test_bits")
saved = by_seed["GRU"] - by_seed["GRU, attention"]
half = t_distribution.ppf(0.975, len(saved) - 1) * saved.std() / len(saved) ** 0.5
print(
    f"saved: {saved.mean():.2f} ± {half:.2f} bits a letter, with {(saved > 0).sum()} seeds of {len(saved)}"
)
reveal(guess, saved.mean(), "Little, and with each seed.")

# %% [markdown]
# The saving is small, and each seed shows it. But this writer has more weights, so a part of it may
# be size.
#
# Attention has no chain of 60 links. From any earlier step it is one link, so a signal does not fade with the distance.
# And where the text is known, in training and in reading, all steps are computed at once, while a recurrent network has
# to wait for each. Attention alone knows an order only by its mask; here the GRU supplies it, and Transformers add
# numbers that stand for the place. For these reasons **Transformers**, networks of attention and dense layers, have
# mostly replaced recurrent networks since 2017. This is so wherever there is much text, speech or code. The large
# language models are Transformers: they predict the next piece of a word, as your writer predicts the next letter.
# Recurrent networks have kept some places: little data, inputs that arrive one by one, little memory. A state has the
# same size after a million steps; attention has to keep all of them.
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
        logits = writer.predict_on_batch([rows, languages])[:, -1] / temperature  # reads all again
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
# Nobody has taught the network that Vietnamese names of languages begin with *tiếng*, that Turkish ones may end in
# *dili* or *-ca*, and Polish ones in *-ski*. It has read names, one letter after the other. At a low temperature it
# plays safe and repeats what is common. At a high one it produces nonsense.
#
# And the 5-gram, which has fewer bits? It can invent too, in the same way. What share of the 144 names that it invents at
# temperature 0.7 are copies of training names? For the network we count as well.

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
# And the network with attention of section 7, which saved a tenth of a bit? The same was counted for its ten seeds:

# %%
names.groupby("cell")["copies_0.7"].mean().round(3).to_frame("share of copies")

# %% [markdown]
# It has fewer bits, and copies more, too. So both figures belong together, if inventing is what you want. (Above it was
# one run; this is the mean of ten.)
#
# *Remember: a low temperature stays with the common, a high one dares more; in between it invents.*
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
# two letters of the Polish word *szwedzki*? It means Swedish.

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
# That is the word of the beginning. Look where the network makes up its mind, and where you did. For most of the word
# it wavers. The *aa* and what follows decide for Finnish. Had it seen the words before?

# %%
print({word: word in known for word in ("szwedzki", "kanariansaaret", "kroatisch")})

# %% [markdown]
# It had read *kanariansaaret* in training; it had never read *szwedzki*. Now it is your turn: type a word or your own
# name, and move through its letters.


# %% tags=["nbval-ignore-output"]
@interact(word="kroatisch", letters=(1, 24))
def show_reading(word="kroatisch", letters=3):
    known = "".join(letter for letter in small(word) if letter in code)[:24]
    return draw_reading(known, letters) if known else "Type a word with letters of its languages."


# %% tags=["nbval-ignore-output"]
show_reading("kroatisch", 24)

# %% [markdown]
# *Kroatisch* is German and Dutch. Both spell it alike, so nobody can be sure, and the network gives something to both.
# So no network can always be right here.
#
# How often is it right, after so many letters? It has three rivals, which see whole names:
#
# - the 5-gram, with Bayes's rule as well;
# - logistic regression on how often each group of one to three letters occurs;
# - the network of section 5 that was trained for nothing else, with one direction.
#
# Which of the four is worst?

# %%
guess = None  # "network", "5-gram", "groups of letters" or "trained for it"

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

# %%
counts, right_by_counting = counted(5), []
for row, c in zip(test_rows, test_language[:, 0]):
    name = tuple(int(s) for s in row[row > 0])
    scores = share.copy()  # log of the share of each language
    for k in range(n_languages):
        for i in range(1, len(name)):
            scores[k] += np.log(mixed(counts, k, name[max(0, i - 4) : i], name[i]))
    right_by_counting.append(scores.argmax() == c)

# %% tags=["nbval-ignore-output"]
four = {"network": by_letters[24], "5-gram": np.mean(right_by_counting), "groups of letters": by_groups,
        "trained for it": readers["one direction"].mean()}  # fmt: skip
reveal(guess, min(four, key=four.get), "Fewer bits do not mean that it tells languages apart.")
pd.Series(four, name="languages told apart").round(3).to_frame()

# %% tags=["hide", "nbval-ignore-output"]
figure, axes = plots.subplots(
    alt="Accuracy rises with the letters read; logistic regression on whole names is above it."
)
axes.plot(by_letters.keys(), by_letters.values(), "o-", label="network, after so many letters")
axes.axhline(by_groups, ls="--", color="C1", label="logistic regression, whole name")
axes.set(
    xlabel="letters read",
    ylabel="test names that are right",
    ylim=(0, 1),
)
axes.legend(loc="lower right")
figure

# %% [markdown]
# Chance would be right once in eighteen. The 5-gram has the fewest bits, and yet the writer tells languages apart
# better. Perhaps because half of each probability of the 5-gram is the same for every language. Those that were trained
# for this one question do it best. But our writer was never asked to name a language. It learned that as a by-product.
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
# Pairs of relatives: Germanic, Romance, Slavic languages are mixed up with their own kind.
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
    "The loss of a recurrent network grows in leaps and becomes not a number. What do you try first?",
    {
        "more units": "They do not make a gradient shorter.",
        "gradient clipping": "One exploding gradient is enough to throw all weights away, as section 2 showed.",
        "a longer sequence": "That multiplies even more factors.",
    },
    answer="gradient clipping",
)

# %% tags=["hide"]
choose(
    "The forget gate of an LSTM is 1 and its input gate is 0. What happens to c?",
    {
        "It becomes 0.": "That would be a forget gate of 0.",
        "It stays as it is.": "All of the old value is kept, nothing new comes in.",
        "It becomes the candidate.": "The input gate keeps the candidate out.",
    },
    answer="It stays as it is.",
)

# %% tags=["hide"]
choose(
    "You stack two LSTMs. What does the first one need?",
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
# - The training signal fades or explodes along time. Gates that have learned to open help against the first, attention too; clipping tames the second.
# - A network that predicts the next letter can write, and with Bayes's rule it can read.
# - Counting groups of letters is a strong rival here; "as today" is one for every forecast. A rival shows what a score is worth.
#
# ## What this does not show
#
# > Live trainings are one run each. The measured tables hold for these tasks, sizes and steps; trained longer or tuned
# > otherwise, an order among cells may change. One stock in one unusual year proves nothing about markets. Names are few
# > and share their stems, which may favour counting. Eighteen languages with Latin
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
