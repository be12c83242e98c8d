# %% [markdown]
# # 03 · Exercises: a neural network from scratch
#
# Eight exercises, about 75 minutes, with NumPy alone. Replace each `...` by your own code, run the cell, then run
# the check below it. A function leaves the arrays that it receives as they are. The lesson is [03 · A neural network from scratch](../03_neural_networks.ipynb).

# %%
from helpers.classroom import Exercises

import numpy as np

exercises = Exercises("03")

# %% [markdown]
# ## 1 ★ A layer of neurons
#
# *5 minutes.* Compute the outputs of a layer with sigmoid for a whole batch: `x` has shape (batch, inputs), `w` has
# shape (inputs, neurons), `b` has shape (neurons,). The result has shape (batch, neurons).
#
# <details><summary>Hint: where to look</summary>
#
# Section 1, and the forward pass of section 5.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# `x @ w + b` adds the bias to every row. Then the formula of the sigmoid.
#
# </details>


# %% tags=["stub"]
def layer(x, w, b):
    return ...


# %% tags=["solution"]
def layer(x, w, b):
    return 1 / (1 + np.exp(-(x @ w + b)))


# %% tags=["wrong"]
# says: without the activation
def layer(x, w, b):
    return x @ w + b


# %% tags=["wrong"]
# says: bias
def layer(x, w, b):
    return 1 / (1 + np.exp(-(x @ w)))


# %% tags=["wrong"]
# says: sign
def layer(x, w, b):
    return 1 / (1 + np.exp(x @ w + b))


# %% tags=["wrong"]
# says: your function stops
def layer(x, w, b):
    return 1 / (1 + np.exp(-(x * w + b)))


# %%
exercises.check(1, layer)

# %% [markdown]
# ## 2 ★ Softmax
#
# *6 minutes.* Turn logits into probabilities. The classes lie along the *last* axis; there can be any number of axes
# before it, also none: shape (classes,), (batch, classes), (batch, places, classes). Logits can be as large as 1000 or
# as small as −1000.
#
# <details><summary>Hint: where to look</summary>
#
# Section 5 does it for two axes. Which number can you subtract from all logits of a sample?
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# In NumPy, `axis=-1` is the last axis, and `keepdims=True` keeps it with length 1.
#
# </details>


# %% tags=["stub"]
def softmax(logits):
    return ...


# %% tags=["solution"]
def softmax(logits):
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# %% tags=["wrong"]
# says: large logits
def softmax(logits):
    with np.errstate(all="ignore"):
        e = np.exp(logits)
        return e / e.sum(axis=-1, keepdims=True)


# %% tags=["wrong"]
# says: on its own
def softmax(logits):
    e = np.exp(logits - logits.max())
    return e / e.sum()


# %% tags=["wrong"]
# says: on its own
def softmax(logits):
    e = np.exp(logits - logits.max())
    return e / e.sum(axis=0)


# %% tags=["wrong"]
# says: one-hot
def softmax(logits):
    return np.eye(logits.shape[-1])[logits.argmax(axis=-1)]


# %% tags=["wrong"]
# says: large logits
def softmax(logits):
    with np.errstate(all="ignore"):
        e = np.exp(logits - logits.max())
        return e / e.sum(axis=-1, keepdims=True)


# %% tags=["wrong"]
# says: on its own
def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


# %%
exercises.check(2, softmax)

# %% [markdown]
# ## 3 ★★ Cross-entropy
#
# *7 minutes.* `p` holds probabilities (batch, classes), `y` the right classes as whole numbers. Return the mean
# cross-entropy. Where a probability is 0, use $10^{-12}$ instead, so that the result is a number.
#
# <details><summary>Hint: where to look</summary>
#
# Section 2 for one answer, `backward` in section 6 for a batch.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# `p[np.arange(len(y)), y]` picks the probability of the right class from each row; `np.maximum(…, 1e-12)`.
#
# </details>


# %% tags=["stub"]
def cross_entropy(p, y):
    return ...


# %% tags=["solution"]
def cross_entropy(p, y):
    return -np.log(np.maximum(p[np.arange(len(y)), y], 1e-12)).mean()


# %% tags=["wrong"]
# says: the mean
def cross_entropy(p, y):
    return -np.log(np.maximum(p[np.arange(len(y)), y], 1e-12)).sum()


# %% tags=["wrong"]
# says: the largest probability
def cross_entropy(p, y):
    return -np.log(np.maximum(p.max(axis=1), 1e-12)).mean()


# %% tags=["wrong"]
# says: negative
def cross_entropy(p, y):
    return np.log(np.maximum(p[np.arange(len(y)), y], 1e-12)).mean()


# %% tags=["wrong"]
# says: probability 0
def cross_entropy(p, y):
    with np.errstate(all="ignore"):
        return -np.log(p[np.arange(len(y)), y]).mean()


# %% tags=["wrong"]
# says: all classes
def cross_entropy(p, y):
    return -np.log(np.maximum(p, 1e-12)).mean()


# %%
exercises.check(3, cross_entropy)

# %% [markdown]
# ## 4 ★★ The slope by trial
#
# *8 minutes.* `loss` is a function of an array of weights. Return its gradient at `w`, found by trial: move one
# weight up and down by `h`, and take the difference from both sides. The result has the shape of `w`, which can
# have any number of axes and must stay as it is.
#
# <details><summary>Hint: where to look</summary>
#
# Section 3, the cell with `up` and `down`.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# `for place in np.ndindex(w.shape):` goes through all places; make two copies of `w`, change each at `place`, and
# store `(loss(up) - loss(down)) / (2 * h)`.
#
# </details>


# %% tags=["stub"]
def slope_by_trial(loss, w, h=1e-5):
    return ...


# %% tags=["solution"]
def slope_by_trial(loss, w, h=1e-5):
    gradient = np.zeros_like(w)
    for place in np.ndindex(w.shape):
        up, down = w.copy(), w.copy()
        up[place] += h
        down[place] -= h
        gradient[place] = (loss(up) - loss(down)) / (2 * h)
    return gradient


# %% tags=["wrong"]
# says: one side only
def slope_by_trial(loss, w, h=1e-5):
    gradient = np.zeros_like(w)
    for place in np.ndindex(w.shape):
        up = w.copy()
        up[place] += h
        gradient[place] = (loss(up) - loss(w)) / h
    return gradient


# %% tags=["wrong"]
# says: twice
def slope_by_trial(loss, w, h=1e-5):
    gradient = np.zeros_like(w)
    for place in np.ndindex(w.shape):
        up, down = w.copy(), w.copy()
        up[place] += h
        down[place] -= h
        gradient[place] = (loss(up) - loss(down)) / h
    return gradient


# %% tags=["wrong"]
# says: all weights at once
def slope_by_trial(loss, w, h=1e-5):
    return np.full(w.shape, (loss(w + h) - loss(w - h)) / (2 * h))


# %% tags=["wrong"]
# says: changes what
def slope_by_trial(loss, w, h=1e-5):
    gradient = np.zeros_like(w)
    for place in np.ndindex(w.shape):
        w[place] += h
        above = loss(w)
        w[place] -= 2 * h
        gradient[place] = (above - loss(w)) / (2 * h)
    return gradient


# %%
exercises.check(4, slope_by_trial)

# %% [markdown]
# ## 5 ★★ A step with momentum
#
# *7 minutes.* One step of momentum for one array of weights: from weights `w`, velocity `v` and gradient `g`, return
# the new weights and the new velocity.
#
# <details><summary>Hint: where to look</summary>
#
# The two formulas in section 9.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# First the velocity, then the weights *with the new velocity*.
#
# </details>


# %% tags=["stub"]
def momentum_step(w, v, g, rate, beta=0.9):
    return ...


# %% tags=["solution"]
def momentum_step(w, v, g, rate, beta=0.9):
    v = beta * v - rate * g
    return w + v, v


# %% tags=["wrong"]
# says: with the new velocity
def momentum_step(w, v, g, rate, beta=0.9):
    return w + v, beta * v - rate * g


# %% tags=["wrong"]
# says: sign of the gradient
def momentum_step(w, v, g, rate, beta=0.9):
    v = beta * v + rate * g
    return w + v, v


# %% tags=["wrong"]
# says: weights and velocity
def momentum_step(w, v, g, rate, beta=0.9):
    return w + beta * v - rate * g


# %% tags=["wrong"]
# says: plain SGD
def momentum_step(w, v, g, rate, beta=0.9):
    return w - rate * g, -rate * g


# %%
exercises.check(5, momentum_step)

# %% [markdown]
# ## 6 ★★★ Back-propagation for another network
#
# *15 minutes.* A network for a quantity: `h = tanh(x @ w1 + b1)`, `prediction = h @ w2 + b2`, with `w2` of shape
# (hidden, 1). The loss is the mean over the batch of `(prediction - t) ** 2`, with `t` of shape (batch, 1). Return
# the gradients of `w1, b1, w2, b2`, in this order.
#
# <details><summary>Hint: where to look</summary>
#
# Section 6, step by step. What is the slope of the squared error, and what is the slope of tanh, given `h`?
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# `delta = 2 * (prediction - t) / len(x)` for the last layer. For the hidden layer, send it back through `w2` and
# multiply by the slope of tanh, which is $1 - \tanh^2(z)$.
#
# </details>


# %% tags=["stub"]
def gradients(x, t, w1, b1, w2, b2):
    return ...


# %% tags=["solution"]
def gradients(x, t, w1, b1, w2, b2):
    h = np.tanh(x @ w1 + b1)
    delta = 2 * (h @ w2 + b2 - t) / len(x)
    delta_h = (delta @ w2.T) * (1 - h**2)
    return x.T @ delta_h, delta_h.sum(axis=0), h.T @ delta, delta.sum(axis=0)


# %% tags=["wrong"]
# says: w1
def gradients(x, t, w1, b1, w2, b2):
    h = np.tanh(x @ w1 + b1)
    delta = 2 * (h @ w2 + b2 - t) / len(x)
    delta_h = delta @ w2.T
    return x.T @ delta_h, delta_h.sum(axis=0), h.T @ delta, delta.sum(axis=0)


# %% tags=["wrong"]
# says: w1
def gradients(x, t, w1, b1, w2, b2):
    h = np.tanh(x @ w1 + b1)
    delta = 2 * (h @ w2 + b2 - t) / len(x)
    delta_h = (delta @ w2.T) * (h > 0)
    return x.T @ delta_h, delta_h.sum(axis=0), h.T @ delta, delta.sum(axis=0)


# %% tags=["wrong"]
# says: times as large
def gradients(x, t, w1, b1, w2, b2):
    h = np.tanh(x @ w1 + b1)
    delta = 2 * (h @ w2 + b2 - t)
    delta_h = (delta @ w2.T) * (1 - h**2)
    return x.T @ delta_h, delta_h.sum(axis=0), h.T @ delta, delta.sum(axis=0)


# %% tags=["wrong"]
# says: times as large
def gradients(x, t, w1, b1, w2, b2):
    h = np.tanh(x @ w1 + b1)
    delta = (h @ w2 + b2 - t) / len(x)
    delta_h = (delta @ w2.T) * (1 - h**2)
    return x.T @ delta_h, delta_h.sum(axis=0), h.T @ delta, delta.sum(axis=0)


# %% tags=["wrong"]
# says: b2
def gradients(x, t, w1, b1, w2, b2):
    h = np.tanh(x @ w1 + b1)
    delta = 2 * (h @ w2 + b2 - t) / len(x)
    delta_h = (delta @ w2.T) * (1 - h**2)
    return x.T @ delta_h, delta_h.mean(axis=0), h.T @ delta, delta.mean(axis=0)


# %%
exercises.check(6, gradients)

# %% [markdown]
# ## 7 ★★★ It does not learn
#
# *12 minutes.* Somebody wrote a training loop for softmax regression (one layer, no hidden one). It runs without an
# error, and learns nothing. There are three mistakes. Write the loop without them: same arguments, same result (`w`,
# `b`).


# %%
def broken_training(x, y, n_classes, rate=0.5, epochs=30, seed=0):
    rng = np.random.default_rng(seed)
    w, b = np.zeros((x.shape[1], n_classes)), np.zeros(n_classes)
    for _ in range(epochs):
        x = x[rng.permutation(len(x))]
        y = y[rng.permutation(len(y))]
        for start in range(0, len(x), 32):
            xb, yb = x[start : start + 32], y[start : start + 32]
            e = np.exp(xb @ w + b)
            p = e / e.sum(axis=0, keepdims=True)
            delta = (p - np.eye(n_classes)[yb]) / len(xb)
            w += rate * xb.T @ delta
            b += rate * delta.sum(axis=0)
    return w, b


# %% [markdown]
# <details><summary>Hint: where to look</summary>
#
# Follow one image and its label through the loop. Then follow the sums of `p`. Then ask whether a step goes up or
# down.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# One permutation for both arrays; a sum for each row; a step *against* the gradient.
#
# </details>


# %% tags=["stub"]
def training(x, y, n_classes, rate=0.5, epochs=30, seed=0):
    return ...


# %% tags=["solution"]
def training(x, y, n_classes, rate=0.5, epochs=30, seed=0):
    rng = np.random.default_rng(seed)
    w, b = np.zeros((x.shape[1], n_classes)), np.zeros(n_classes)
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), 32):
            batch = order[start : start + 32]
            xb, yb = x[batch], y[batch]
            e = np.exp(xb @ w + b)
            p = e / e.sum(axis=1, keepdims=True)
            delta = (p - np.eye(n_classes)[yb]) / len(xb)
            w -= rate * xb.T @ delta
            b -= rate * delta.sum(axis=0)
    return w, b


# %% tags=["wrong"]
# says: right
def training(x, y, n_classes, rate=0.5, epochs=30, seed=0):
    return broken_training(x, y, n_classes, rate, epochs, seed)


# %% tags=["wrong"]
# says: right
def training(x, y, n_classes, rate=0.5, epochs=30, seed=0):
    return broken_training(x, y, n_classes, -rate, epochs, seed)


# %% tags=["wrong"]
# says: right
def training(x, y, n_classes, rate=0.5, epochs=30, seed=0):
    return np.zeros((x.shape[1], n_classes)), np.zeros(n_classes)


# %% tags=["wrong"]
# says: of one layer
def training(x, y, n_classes, rate=0.5, epochs=30, seed=0):
    rng = np.random.default_rng(seed)
    w, b = np.zeros((x.shape[1], n_classes)), np.zeros(n_classes)
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), 32):
            batch = order[start : start + 32]
            e = np.exp(x[batch] @ w + b)
            delta = (e / e.sum(axis=0, keepdims=True) - np.eye(n_classes)[y[batch]]) / len(batch)
            w -= rate * x[batch].T @ delta
            b -= rate * delta.sum(axis=0)
    return w, b


# %%
exercises.check(7, training)

# %% [markdown]
# ## 8 ★★★ Two spirals
#
# *15 minutes.* Data that no straight border can separate. Train a network with one hidden layer of at most 64 tanh
# neurons, and return its parameters `w1, b1, w2, b2`: hidden layer `tanh(x @ w1 + b1)`, output neuron
# `h @ w2 + b2` with `w2` of shape (hidden, 1); above 0 means class 1. The check trains it on five data sets, and
# computes the accuracy on new points itself. The mean has to be at least 95%.

# %%
from helpers import plots
from helpers.classroom.checks.lesson_03 import spirals

x, y = spirals(seed=0)
figure, axes = plots.subplots(alt="Two spirals that wind around each other.", width=3.4)
for label, marker in ((0, "o"), (1, "^")):
    axes.scatter(*x[y == label].T, s=10, marker=marker)
figure

# %% [markdown]
# <details><summary>Hint: where to look</summary>
#
# Exercise 6 gives the gradients for a squared error; for a sigmoid output with cross-entropy, `delta` is
# $(a - t) / B$, as in section 3. Which optimizer of section 9 goes along a narrow valley?
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# `w1` from a normal distribution with standard deviation 2, 32 to 64 neurons, Adam with rate 0.02, about 1,500 steps
# on all points.
#
# </details>


# %% tags=["stub"]
def train_on_spirals(x, y, seed):
    return ...


# %% tags=["solution"]
def train_on_spirals(x, y, seed):
    rng = np.random.default_rng(seed)
    parameters = [
        rng.normal(0, 2, (2, 64)),
        rng.normal(0, 1, 64),
        rng.normal(0, 0.1, (64, 1)),
        np.zeros(1),
    ]
    mean = [0 * q for q in parameters]
    square = [0 * q for q in parameters]
    for step in range(1, 1501):
        w1, b1, w2, b2 = parameters
        h = np.tanh(x @ w1 + b1)
        delta = (1 / (1 + np.exp(-(h @ w2 + b2))) - y[:, np.newaxis]) / len(x)
        delta_h = (delta @ w2.T) * (1 - h**2)
        slopes = [x.T @ delta_h, delta_h.sum(axis=0), h.T @ delta, delta.sum(axis=0)]
        mean = [0.9 * m + 0.1 * g for m, g in zip(mean, slopes)]
        square = [0.999 * s + 0.001 * g**2 for s, g in zip(square, slopes)]
        scale = 0.02 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        parameters = [
            q - scale * m / (np.sqrt(s) + 1e-8) for q, m, s in zip(parameters, mean, square)
        ]
    return parameters


# %% tags=["wrong"]
# says: at least 95%
def train_on_spirals(x, y, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, 64)), np.zeros(64), rng.normal(size=(64, 1)), np.zeros(1)


# %% tags=["wrong"]
# says: at most 64
def train_on_spirals(x, y, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, 5000)), np.zeros(5000), rng.normal(size=(5000, 1)), np.zeros(1)


# %% tags=["wrong"]
# says: four arrays
def train_on_spirals(x, y, seed):
    return lambda points: y[:100]


# %% tags=["wrong"]
# says: at least 95%
def train_on_spirals(x, y, seed):
    slope, *_ = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), 2 * y - 1, rcond=None)
    return np.eye(2) * 0.01, np.zeros(2), 100 * slope[:2, np.newaxis], slope[2:]


# %%
exercises.check(8, train_on_spirals)

# %%
exercises.score()
