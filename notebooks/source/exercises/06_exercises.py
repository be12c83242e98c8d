# %% [markdown]
# # 06 · Exercises: recurrent networks
#
# Eight exercises, about 95 minutes, with NumPy and Keras. Replace each `...` by your own code, run the cell, then run the
# check below it. Stuck? Each exercise has three hints: where to look, the idea, a skeleton. ★ is recall, ★★ apply,
# ★★★ build, repair or explore. The lesson is [06 · Recurrent networks](../06_recurrent_networks.ipynb).

# %%
from helpers.classroom import Exercises

import keras
import numpy as np
import pandas as pd
from keras import layers

exercises = Exercises("06")

# %% [markdown]
# ## 1 ★ Count before Keras does
#
# *6 minutes.* A network reads a sequence and names its class: one recurrent layer, then one dense layer. At each step
# come `features` numbers. Return the number of weights of the whole network, biases included. `cell` is `"SimpleRNN"`,
# `"LSTM"` or `"GRU"`, each as Keras makes it by default.
#
# <details><summary>Hint: where to look</summary>
#
# The formulas of the three cells in the lesson. For the biases of the GRU look at `layer.get_weights()`.
#
# </details>
#
# <details><summary>Hint: the idea</summary>
#
# A SimpleRNN computes one thing from the row and the old state. How many such things does an LSTM compute, and a GRU?
# Keras's GRU has two biases for each: one goes with the row, one with the state.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# ```python
# def count_weights(cell, features, units, classes):
#     times = {"SimpleRNN": 1, "LSTM": ..., "GRU": ...}[cell]
#     biases = 2 if cell == "GRU" else 1
#     recurrent = times * (...)
#     dense = units * classes + classes
#     return recurrent + dense
# ```
#
# </details>


# %% tags=["stub"]
def count_weights(cell, features, units, classes):
    return ...


# %% tags=["solution"]
def count_weights(cell, features, units, classes):
    times = {"SimpleRNN": 1, "LSTM": 4, "GRU": 3}[cell]
    biases = 2 if cell == "GRU" else 1
    recurrent = times * (features * units + units * units + biases * units)
    return recurrent + units * classes + classes


# %% tags=["wrong"]
# says: how many biases
def count_weights(cell, features, units, classes):
    times = {"SimpleRNN": 1, "LSTM": 4, "GRU": 3}[cell]
    return times * (features * units + units * units + units) + units * classes + classes


# %% tags=["wrong"]
# says: a matrix too
def count_weights(cell, features, units, classes):
    times = {"SimpleRNN": 1, "LSTM": 4, "GRU": 3}[cell]
    return times * (features * units + units) + units * classes + classes


# %% tags=["wrong"]
# says: three gates and a candidate
def count_weights(cell, features, units, classes):
    times = {"SimpleRNN": 1, "LSTM": 3, "GRU": 2}[cell]
    return times * (features * units + units * units + units) + units * classes + classes


# %% tags=["wrong"]
# says: dense layer
def count_weights(cell, features, units, classes):
    return (
        getattr(layers, cell)(units)(keras.Input((None, features))) is None
        or keras.Sequential(
            [keras.Input((None, features)), getattr(layers, cell)(units)]
        ).count_params()
    )


# %% tags=["wrong"]
# says: weights of its own
def count_weights(cell, features, units, classes):
    return features * units + units * units + units + units * classes + classes


# %%
exercises.check(1, count_weights)

# %% [markdown]
# ## 2 ★ One limit for all
#
# *8 minutes.* `gradients` is a list of arrays, one for each weight array of a network. Together they are one long
# vector. If that vector is longer than `limit`, shorten it to the length `limit`, and keep its direction. If it is not,
# return the gradients as they are. The result is a list of arrays of the same shapes.
#
# Your function is needed on the worst day: the numbers may have reached 1e30, in float32. They may also all be 0.
#
# <details><summary>Hint: where to look</summary>
#
# Clipping in the lesson. Keras's optimizers have two arguments for it: `clipnorm` cuts each array alone,
# `global_clipnorm` cuts all of them by their common length.
#
# </details>
#
# <details><summary>Hint: the idea</summary>
#
# The squared length of the long vector is the sum of all squares in all arrays. Then one factor, for every array the
# same. 1e30 squared is 1e60: too large for float32, not for float64.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# ```python
# def clip(gradients, limit):
#     exact = [g.astype("float64") for g in gradients]
#     length = ...
#     if length <= limit:
#         return gradients
#     return [g * (...) for g in exact]
# ```
#
# </details>


# %% tags=["stub"]
def clip(gradients, limit):
    return ...


# %% tags=["solution"]
def clip(gradients, limit):
    exact = [g.astype("float64") for g in gradients]
    length = np.sqrt(sum((g**2).sum() for g in exact))
    if length <= limit:
        return gradients
    return [g * (limit / length) for g in exact]


# %% tags=["wrong"]
# says: on its own, and the direction
def clip(gradients, limit):
    return [g * min(1, limit / max(np.linalg.norm(g), 1e-12)) for g in gradients]


# %% tags=["wrong"]
# says: each number
def clip(gradients, limit):
    return [np.clip(g, -limit, limit) for g in gradients]


# %% tags=["wrong"]
# says: short enough
def clip(gradients, limit):
    length = np.sqrt(sum((g.astype("float64") ** 2).sum() for g in gradients))
    return [g * limit / length for g in gradients]


# %% tags=["wrong"]
# says: a square comes earlier
def clip(gradients, limit):
    with np.errstate(over="ignore"):
        length = np.sqrt(sum((g**2).sum() for g in gradients))
    return gradients if length <= limit else [g * (limit / length) for g in gradients]


# %% tags=["wrong"]
# says: sum of the norms
def clip(gradients, limit):
    length = sum(np.linalg.norm(g.astype("float64")) for g in gradients)
    return gradients if length <= limit else [g * (limit / length) for g in gradients]


# %% tags=["wrong"]
# says: nothing is cut
def clip(gradients, limit):
    return gradients


# %% tags=["wrong"]
# says: each alone short, limit 1: nothing is cut
def clip(gradients, limit):
    exact = [g.astype("float64") for g in gradients]
    if all(np.linalg.norm(g) <= limit for g in exact):
        return gradients
    length = np.sqrt(sum((g**2).sum() for g in exact))
    return [g * (limit / length) for g in exact]


# %%
exercises.check(2, clip)

# %% [markdown]
# ## 3 ★★ The GRU as it was published
#
# *10 minutes.* The paper of Cho et al. (2014) has another GRU than Keras's default. It resets the old state *before* it
# multiplies by the matrix:
#
# $$z = \sigma(x W_z + h U_z + b_z) \qquad r = \sigma(x W_r + h U_r + b_r)$$
#
# $$g = \tanh(x W_g + (r \cdot h)\, U_g + b_g) \qquad h_{\text{new}} = z \cdot h + (1 - z) \cdot g$$
#
# Write one step for a batch: `x` (batch, features), `h` (batch, units). The weights are joined as Keras joins them, in
# the order z, r, candidate: `w` (features, 3·units), `u` (units, 3·units), `b` (3·units,). Return the new state. The
# check also runs your step five times with weights of `keras.layers.GRU(units, reset_after=False)`.
#
# <details><summary>Hint: where to look</summary>
#
# The GRU in NumPy in the lesson. One product moves to another place, and there is one bias, not two.
#
# </details>
#
# <details><summary>Hint: the idea</summary>
#
# z and r can be computed together. The candidate cannot: it needs r first. So take the last third of `u` on its own.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# ```python
# def gru_step(x, h, w, u, b):
#     units = h.shape[1]
#     wz, wr, wg = np.split(w, 3, axis=1)  # the same for u and b
#     z = 1 / (1 + np.exp(-(x @ wz + h @ uz + bz)))
#     r = ...
#     g = np.tanh(x @ wg + ... + bg)
#     return ...
# ```
#
# </details>


# %% tags=["stub"]
def gru_step(x, h, w, u, b):
    return ...


# %% tags=["solution"]
def gru_step(x, h, w, u, b):
    wz, wr, wg = np.split(w, 3, axis=1)
    uz, ur, ug = np.split(u, 3, axis=1)
    bz, br, bg = np.split(b, 3)
    z = 1 / (1 + np.exp(-(x @ wz + h @ uz + bz)))
    r = 1 / (1 + np.exp(-(x @ wr + h @ ur + br)))
    g = np.tanh(x @ wg + (r * h) @ ug + bg)
    return z * h + (1 - z) * g


# %% tags=["wrong"]
# says: after the product
def gru_step(x, h, w, u, b):
    xz, xr, xh = np.split(x @ w + b, 3, axis=1)
    hz, hr, hh = np.split(h @ u, 3, axis=1)
    z, r = 1 / (1 + np.exp(-(xz + hz))), 1 / (1 + np.exp(-(xr + hr)))
    return z * h + (1 - z) * np.tanh(xh + r * hh)


# %% tags=["wrong"]
# says: z keeps the old state
def gru_step(x, h, w, u, b):
    n = h.shape[1]
    z, r = np.split(1 / (1 + np.exp(-(x @ w + h @ u + b)[:, : 2 * n])), 2, axis=1)
    candidate = np.tanh(x @ w[:, 2 * n :] + (r * h) @ u[:, 2 * n :] + b[2 * n :])
    return (1 - z) * h + z * candidate


# %% tags=["wrong"]
# says: z and r have changed places
def gru_step(x, h, w, u, b):
    n = h.shape[1]
    r, z = np.split(1 / (1 + np.exp(-(x @ w + h @ u + b)[:, : 2 * n])), 2, axis=1)
    candidate = np.tanh(x @ w[:, 2 * n :] + (r * h) @ u[:, 2 * n :] + b[2 * n :])
    return z * h + (1 - z) * candidate


# %% tags=["wrong"]
# says: bias
def gru_step(x, h, w, u, b):
    n = h.shape[1]
    z, r = np.split(1 / (1 + np.exp(-(x @ w + h @ u)[:, : 2 * n])), 2, axis=1)
    candidate = np.tanh(x @ w[:, 2 * n :] + (r * h) @ u[:, 2 * n :])
    return z * h + (1 - z) * candidate


# %% tags=["wrong"]
# says: this is the candidate
def gru_step(x, h, w, u, b):
    n = h.shape[1]
    r = 1 / (1 + np.exp(-(x @ w + h @ u + b)[:, n : 2 * n]))
    return np.tanh(x @ w[:, 2 * n :] + (r * h) @ u[:, 2 * n :] + b[2 * n :])


# %% tags=["wrong"]
# says: the same call again
memory = {}


def gru_step(x, h, w, u, b):
    n = h.shape[1]
    h = memory.get(h.shape, h)
    z, r = np.split(1 / (1 + np.exp(-(x @ w + h @ u + b)[:, : 2 * n])), 2, axis=1)
    candidate = np.tanh(x @ w[:, 2 * n :] + (r * h) @ u[:, 2 * n :] + b[2 * n :])
    memory[h.shape] = z * h + (1 - z) * candidate
    return memory[h.shape]


# %%
exercises.check(3, gru_step)

# %% [markdown]
# ## 4 ★★ Bold, careful, but never nonsense
#
# *10 minutes.* At a high temperature a letter model says bold things, and now and then a letter that fits nowhere. A
# common remedy: only the `k` letters with the largest logits may be drawn. Write `choices(logits, temperature, k)`. It
# returns the probabilities of all letters, 0 for those that may not be drawn.
#
# The letters are the last axis; there may be other axes before it. `k` may be larger than the number of letters. A
# logit may be −inf: such a letter is forbidden. Logits may be beyond 10,000 or below −10,000, and temperatures near 0.
# You need not think of two equal logits.
#
# <details><summary>Hint: where to look</summary>
#
# The temperature in the lesson, and softmax without overflow in lesson 03.
#
# </details>
#
# <details><summary>Hint: the idea</summary>
#
# A letter that gets the logit −inf has the probability 0 after softmax. So work on logits as long as you can, subtract
# the largest, and take `np.exp` last.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# ```python
# def choices(logits, temperature, k):
#     z = np.asarray(logits, dtype="float64") / temperature
#     k = min(k, z.shape[-1])
#     least = ...  # the k-th largest along the last axis, which is kept as an axis of length 1
#     z = np.where(z >= least, z, -np.inf)
#     e = np.exp(...)
#     return e / e.sum(axis=-1, keepdims=True)
# ```
#
# </details>


# %% tags=["stub"]
def choices(logits, temperature, k):
    return ...


# %% tags=["solution"]
def choices(logits, temperature, k):
    z = np.asarray(logits, dtype="float64") / temperature
    k = min(k, z.shape[-1])
    least = np.sort(z, axis=-1)[..., -k, np.newaxis]
    z = np.where(z >= least, z, -np.inf)
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# %% tags=["wrong"]
# says: all letters are left
def choices(logits, temperature, k):
    z = logits / temperature
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# %% tags=["wrong"]
# says: add up to less
def choices(logits, temperature, k):
    z = logits / temperature
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)
    return np.where(z >= np.sort(z, axis=-1)[..., [-min(k, z.shape[-1])]], p, 0)


# %% tags=["wrong"]
# says: not finite
def choices(logits, temperature, k):
    with np.errstate(all="ignore"):
        e = np.exp(logits / temperature)
        e = np.where(e >= np.sort(e, axis=-1)[..., [-min(k, e.shape[-1])]], e, 0)
        return e / e.sum(axis=-1, keepdims=True)


# %% tags=["wrong"]
# says: has to divide
def choices(logits, temperature, k):
    z = logits * temperature
    z = np.where(z >= np.sort(z, axis=-1)[..., [-min(k, z.shape[-1])]], z, -np.inf)
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# %% tags=["wrong"]
# says: out of bounds
def choices(logits, temperature, k):
    z = logits / temperature
    z = np.where(z >= np.sort(z, axis=-1)[..., [-k]], z, -np.inf)
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# %% tags=["wrong"]
# says: probabilities
def choices(logits, temperature, k):
    z = logits / temperature
    z = np.where(z >= np.sort(z, axis=-1)[..., [-min(k, z.shape[-1])]], z, -np.inf)
    e = np.exp(z - z.max())
    return e / e.sum()


# %% tags=["wrong"]
# says: drawn: 2; expected 3
def choices(logits, temperature, k):
    z = logits / temperature
    z = np.where(z > np.sort(z, axis=-1)[..., [-min(k, z.shape[-1])]], z, -np.inf)
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# %% tags=["wrong"]
# says: only unlikely
def choices(logits, temperature, k):
    z = logits / temperature
    z = z - z.max(axis=-1, keepdims=True)
    e = np.exp(np.where(z >= np.sort(z, axis=-1)[..., [-min(k, z.shape[-1])]], z, -20))
    return e / e.sum(axis=-1, keepdims=True)


# %% tags=["wrong"]
# says: logits below
def choices(logits, temperature, k):
    z = np.where(logits >= np.sort(logits, axis=-1)[..., [-min(k, logits.shape[-1])]], logits, -1e4)
    e = np.exp((z - z.max(axis=-1, keepdims=True)) / temperature)
    return e / e.sum(axis=-1, keepdims=True)


# %% tags=["wrong"]
# says: small logits, temperature 0.001
def choices(logits, temperature, k):
    z = logits / max(temperature, 0.01)
    z = np.where(z >= np.sort(z, axis=-1)[..., [-min(k, z.shape[-1])]], z, -np.inf)
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# %%
exercises.check(4, choices)

# %% [markdown]
# ## 5 ★★ Same or not?
#
# *12 minutes.* Eight small networks, fresh from their initialisation, and a batch of sequences `x`. Something is done
# to `x`. Does the answer of the network stay the same? (`Masking()` marks the rows that hold nothing but zeros, as
# `mask_zero=True` does for letters.) Write down all eight predictions first. Then run the cases that you doubt, in two
# or three lines of Keras each, and correct yourself.
#
# | | network | what is done to `x` | what is compared |
# |---|---|---|---|
# | A | `LSTM(8)` | four rows of zeros in front | the result |
# | B | `LSTM(8)` | four rows of zeros at the end | the result |
# | C | `Masking()`, then `LSTM(8)` | four rows of zeros at the end | the result |
# | D | `GRU(8, bias_initializer="random_normal")` | four rows of zeros in front | the result |
# | E | `GRU(8, return_sequences=True)`, then the mean over the steps | the rows in reverse order | the result |
# | F | `MultiHeadAttention(1, 8)` of `x` with `x`, then the mean over the steps | the rows in reverse order | the result |
# | G | `Bidirectional(LSTM(8, return_sequences=True))` | another last row | the result at the *first* step |
# | H | `MultiHeadAttention(1, 8)` of `x` with `x`, `use_causal_mask=True` | another last row | the result at the *first* step |
#
# Give the reason as well, by its number. A reason may serve twice.
#
# 1. The state is 0, and zeros leave it at 0.
# 2. At every step the state changes, also when only zeros come in.
# 3. These steps are skipped; the state waits.
# 4. What the state holds depends on the order of the rows before it.
# 5. The weights of the mixture compare contents; where a row stands plays no part.
# 6. One of two readers has already passed the other end when it comes here.
# 7. What comes later has the weight 0.
#
# The answer is a dictionary such as `{"A": ("changes", 4), "B": ("same", 7), …}` with all eight cases.

# %%
x = np.random.default_rng(0).normal(size=(5, 6, 3)).astype("float32")  # 5 sequences of 6 rows
zeros = np.zeros((5, 4, 3), "float32")
other_end = x.copy()
other_end[:, -1] = 1

# %% [markdown]
# <details><summary>Hint: where to look</summary>
#
# The formulas of the cells: put in the row 0 and the state 0. Which bias of a fresh LSTM is not 0, and what does it do
# to a cell state of 0?
#
# </details>
#
# <details><summary>Hint: the idea</summary>
#
# Ask of each network: which numbers can this result depend on? And does it know in which order they came?
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# ```python
# layer = layers.LSTM(8)
# longer = np.concatenate([..., ...], axis=1)
# np.allclose(layer(x), layer(longer), atol=1e-5)
# ```
#
# For the mean over the steps: `np.mean(layer(x), axis=1)`. For the first step: `layer(x)[:, 0]`.
#
# </details>

# %% tags=["stub"]
predictions = ...

# %% tags=["solution"]
predictions = {
    "A": ("same", 1),
    "B": ("changes", 2),
    "C": ("same", 3),
    "D": ("changes", 2),
    "E": ("changes", 4),
    "F": ("same", 5),
    "G": ("changes", 6),
    "H": ("same", 7),
}

front, end = np.concatenate([zeros, x], axis=1), np.concatenate([x, zeros], axis=1)
lstm, gru = layers.LSTM(8), layers.GRU(8, bias_initializer="random_normal")
masked = keras.Sequential([layers.Masking(), layers.LSTM(8)])
steps, attention = layers.GRU(8, return_sequences=True), layers.MultiHeadAttention(1, 8)
both = layers.Bidirectional(layers.LSTM(8, return_sequences=True))
causal = layers.MultiHeadAttention(1, 8)
results = {
    "A": (lstm(x), lstm(front)),
    "B": (lstm(x), lstm(end)),
    "C": (masked(x), masked(end)),
    "D": (gru(x), gru(front)),
    "E": [np.mean(steps(rows), axis=1) for rows in (x, x[:, ::-1])],
    "F": [np.mean(attention(rows, rows), axis=1) for rows in (x, x[:, ::-1])],
    "G": [both(rows)[:, 0] for rows in (x, other_end)],
    "H": [causal(rows, rows, use_causal_mask=True)[:, 0] for rows in (x, other_end)],
}
for case, (one, other) in results.items():
    print(case, "same" if np.allclose(one, other, atol=1e-5) else "changes")

# %% tags=["wrong"]
# says: 4 of 8 predictions
predictions = dict.fromkeys("ABCDEFGH", ("changes", 2)) | {"A": ("same", 1), "B": ("same", 1)}

# %% tags=["wrong"]
# says: 7 of 8 predictions
predictions = {"A": ("changes", 2), "B": ("changes", 2), "C": ("same", 3), "D": ("changes", 2),
               "E": ("changes", 4), "F": ("same", 5), "G": ("changes", 6), "H": ("same", 7)}  # fmt: skip

# %% tags=["wrong"]
# says: 7 of 8 reasons
predictions = {"A": ("same", 3), "B": ("changes", 2), "C": ("same", 3), "D": ("changes", 2),
               "E": ("changes", 4), "F": ("same", 5), "G": ("changes", 6), "H": ("same", 7)}  # fmt: skip

# %% tags=["wrong"]
# says: a word and a number
predictions = dict.fromkeys("ABCDEFGH", "same")

# %% tags=["wrong"]
# says: the case H is missing
predictions = dict.fromkeys("ABCDEFG", ("same", 1))

# %%
exercises.check(5, predictions)

# %% [markdown]
# ## 6 ★★★ It trains, and learns nothing
#
# *12 minutes.* Thunderstorms: at each step two numbers, light and sound. Somewhere there is a flash, somewhere a
# thunder. The label is 1 where the flash comes first. A network that remembers learns that easily. The one below trains
# without an error, and is right as often as a coin. (`GlobalAveragePooling1D` takes the mean over the steps.) It has
# **three** faults. Write `train_storm(x, y, seed)`: the same without the faults. It returns the trained model. The
# check trains it on its own storms, and wants 90% of new ones right. The second time it turns the labels round: 1 where
# the thunder comes first.


# %%
def storms(n, steps, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(0, 0.1, (n, steps, 2)), rng.integers(0, 2, n)
    for row, flash_first in zip(x, y):
        first, second = sorted(rng.choice(steps, 2, replace=False))
        row[first, 1 - flash_first] += 1
        row[second, flash_first] += 1
    return x.astype("float32"), y


# %% tags=["nbval-ignore-output"]
def broken(x, y, seed):
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    x, y = rng.permutation(x), rng.permutation(y)

    inputs = keras.Input(x.shape[1:])
    memory = layers.LSTM(16, return_sequences=True)(inputs)
    mean = layers.GlobalAveragePooling1D()(inputs)
    answer = layers.Dense(1, activation="sigmoid")(mean)

    model = keras.Model(inputs, answer)
    model.compile(keras.optimizers.Adam(1e-6), "binary_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=6, batch_size=20, verbose=0)
    return model


coin = broken(*storms(600, 10, seed=0), seed=0)
print(f"{coin.evaluate(*storms(500, 10, seed=1), verbose=0)[1]:.0%} of new storms are right")

# %% [markdown]
# <details><summary>Hint: where to look</summary>
#
# `coin.summary()`; the loss after each epoch, with `verbose=2`; the labels of five storms before and after the line that
# shuffles.
#
# </details>
#
# <details><summary>Hint: the idea</summary>
#
# Three questions. Do storm and label still belong together? Does what comes in pass through the LSTM? How far can 180
# steps of that size move a weight?
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# ```python
# order = rng.permutation(len(x))
# x, y = ...
# inputs = keras.Input(x.shape[1:])
# memory = layers.LSTM(16, return_sequences=True)(inputs)
# mean = layers.GlobalAveragePooling1D()(...)
# answer = layers.Dense(1, activation="sigmoid")(mean)
# model.compile(keras.optimizers.Adam(...), ...)
# ```
#
# </details>


# %% tags=["stub"]
def train_storm(x, y, seed):
    return ...


# %% tags=["solution"]
def train_storm(x, y, seed):
    keras.utils.set_random_seed(seed)
    order = np.random.default_rng(seed).permutation(len(x))
    x, y = x[order], y[order]

    inputs = keras.Input(x.shape[1:])
    memory = layers.LSTM(16, return_sequences=True)(inputs)
    mean = layers.GlobalAveragePooling1D()(memory)
    answer = layers.Dense(1, activation="sigmoid")(mean)

    model = keras.Model(inputs, answer)
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=6, batch_size=20, verbose=0)
    return model


# %% tags=["wrong"]
# says: can it be another one
def train_storm(x, y, seed):
    inputs = keras.Input(x.shape[1:])
    answer = layers.Dense(1, "sigmoid", kernel_initializer="zeros")(layers.LSTM(4)(inputs))
    return keras.Model(inputs, answer)


# %% tags=["wrong"]
# says: does it pass the LSTM
def train_storm(x, y, seed):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input(x.shape[1:])
    layers.LSTM(16, return_sequences=True)(inputs)
    answer = layers.Dense(1, activation="sigmoid")(layers.GlobalAveragePooling1D()(inputs))
    model = keras.Model(inputs, answer)
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy")
    model.fit(x, y, epochs=2, batch_size=20, verbose=0)
    return model


# %% tags=["wrong"]
# says: own labels
def train_storm(x, y, seed):
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    x, y = rng.permutation(x), rng.permutation(y)
    inputs = keras.Input(x.shape[1:])
    memory = layers.LSTM(16, return_sequences=True)(inputs)
    answer = layers.Dense(1, activation="sigmoid")(layers.GlobalAveragePooling1D()(memory))
    model = keras.Model(inputs, answer)
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy")
    model.fit(x, y, epochs=2, batch_size=60, verbose=0)
    return model


# %% tags=["wrong"]
# says: do the weights move
def train_storm(x, y, seed):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input(x.shape[1:])
    answer = layers.Dense(1, activation="sigmoid")(layers.LSTM(16)(inputs))
    model = keras.Model(inputs, answer)
    model.compile(keras.optimizers.Adam(1e-6), "binary_crossentropy")
    model.fit(x, y, epochs=2, batch_size=60, verbose=0)
    return model


# %% tags=["wrong"]
# says: expected (500, 1)
def train_storm(x, y, seed):
    inputs = keras.Input(x.shape[1:])
    memory = layers.LSTM(4, return_sequences=True)(inputs)
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid")(memory))


# %% tags=["wrong"]
# says: the opposite of the labels
own_storms = keras.Sequential(
    [keras.Input((None, 2)), layers.LSTM(16), layers.Dense(1, activation="sigmoid")]
)
own_storms.compile(keras.optimizers.Adam(0.02), "binary_crossentropy")
own_storms.fit(*storms(600, 10, seed=0), epochs=5, batch_size=20, verbose=0)


def train_storm(x, y, seed):
    return own_storms


# %% tags=["wrong"]
# says: a trained Keras model
def train_storm(x, y, seed):
    return lambda rows: (rows[..., 0].argmax(axis=1) < rows[..., 1].argmax(axis=1)).astype(float)


# %% tags=["nbval-ignore-output"]
exercises.check(6, train_storm)

# %% [markdown]
# ## 7 ★★★ A forecast too good to be true
#
# *17 minutes.* New data: the level of a river in cm, hour by hour. From the last `window` hours forecast the level
# `ahead` hours after the newest of them. The function `leaky` prepares rows and targets. A linear model on its rows is
# much better than *persistence*, which says that the level stays as it is. Too good: the rows know what
# nobody can know when the forecast is made. There are **four** leaks.


# %%
def river(hours, seed):
    rng = np.random.default_rng(seed)
    level, rain = np.zeros(hours), rng.gamma(0.2, 10, hours)
    for hour in range(1, hours):
        level[hour] = 0.95 * level[hour - 1] + rain[hour]
    return 200 + level + rng.normal(0, 1, hours)


def leaky(series, window, ahead, share):
    smooth = pd.Series(series).rolling(5, center=True, min_periods=1).mean().to_numpy()
    smooth = (smooth - smooth.mean()) / smooth.std()
    targets = np.arange(window + ahead - 1, len(series))
    x = np.stack([smooth[t - window + 1 : t + 1] for t in targets])
    y = series[targets]
    order = np.random.default_rng(0).permutation(len(x))
    first, second = np.split(order, [int(share * len(x))])
    return x[first], y[first], x[second], y[second]


# %%
from sklearn.linear_model import LinearRegression

level = river(1000, seed=0)
x_train, y_train, x_test, y_test = leaky(level, window=12, ahead=3, share=0.7)
forecast = LinearRegression().fit(x_train, y_train).predict(x_test)
print(f"linear model on leaky rows: wrong by {np.abs(forecast - y_test).mean():.1f} cm")
print(f"persistence:                wrong by {np.abs(level[3:] - level[:-3]).mean():.1f} cm")

# %% [markdown]
# Write `prepare(series, window, ahead, share)`, the same without the leaks. It returns `x_train, y_train, x_test,
# y_test`.
#
# - A row of x has `window` numbers, in the order of time. They end with the newest hour that is known, which is `ahead`
#   hours before the target.
# - Targets are levels in cm, as they are in `series`. There is one row for each hour, in the order of time.
# - Rows whose target is among the first `int(share * len(series))` hours are for training, the later ones for testing.
# - Smooth and standardise the rows as before, with one mean and one spread for all, but honestly. (You may leave out the
#   smoothing.)
#
# The check changes the future and looks whether your rows notice.
#
# <details><summary>Hint: where to look</summary>
#
# Go through `leaky` line by line. Each time ask: which hours does this number depend on?
#
# </details>
#
# <details><summary>Hint: the idea</summary>
#
# A centred mean of five hours looks two hours ahead. A mean over everything looks ahead to the end. A row that ends at
# the target contains it. A row for testing that lies between two rows for training shares most of their hours.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# ```python
# cut = int(share * len(series))
# smooth = pd.Series(series).rolling(5, min_periods=1).mean().to_numpy()
# smooth = (smooth - ...) / ...
# targets = np.arange(window + ahead - 1, len(series))
# x = np.stack([smooth[... : ...] for t in targets])
# early = targets < cut
# return x[early], ..., x[~early], ...
# ```
#
# </details>


# %% tags=["stub"]
def prepare(series, window, ahead, share):
    return ...


# %% tags=["solution"]
def prepare(series, window, ahead, share):
    cut = int(share * len(series))
    smooth = pd.Series(series).rolling(5, min_periods=1).mean().to_numpy()
    smooth = (smooth - smooth[:cut].mean()) / smooth[:cut].std()
    targets = np.arange(window + ahead - 1, len(series))
    x = np.stack([smooth[t - ahead - window + 1 : t - ahead + 1] for t in targets])
    early = targets < cut
    return x[early], series[targets[early]], x[~early], series[targets[~early]]


# %% tags=["wrong"]
# says: lie between the test rows
def prepare(series, window, ahead, share):
    return leaky(series, window, ahead, share)


# %% tags=["wrong"]
# says: all training rows: the scale
def prepare(series, window, ahead, share):
    cut = int(share * len(series))
    smooth = pd.Series(series).rolling(5, min_periods=1).mean().to_numpy()
    smooth = (smooth - smooth.mean()) / smooth.std()
    targets = np.arange(window + ahead - 1, len(series))
    x = np.stack([smooth[t - ahead - window + 1 : t - ahead + 1] for t in targets])
    early = targets < cut
    return x[early], series[targets[early]], x[~early], series[targets[~early]]


# %% tags=["wrong"]
# says: nobody knows yet
def prepare(series, window, ahead, share):
    cut = int(share * len(series))
    smooth = (series - series[: cut - 10].mean()) / series[: cut - 10].std()
    targets = np.arange(window + ahead - 1, len(series))
    x = np.stack([smooth[t - window + 1 : t + 1] for t in targets])
    early = targets < cut
    return x[early], series[targets[early]], x[~early], series[targets[~early]]


# %% tags=["wrong"]
# says: look ahead
def prepare(series, window, ahead, share):
    cut = int(share * len(series))
    smooth = pd.Series(series).rolling(5, center=True, min_periods=1).mean().to_numpy()
    smooth = (smooth - smooth[:cut].mean()) / smooth[:cut].std()
    targets = np.arange(window + ahead - 1, len(series))
    x = np.stack([smooth[t - ahead - window + 1 : t - ahead + 1] for t in targets])
    early = targets < cut
    return x[early], series[targets[early]], x[~early], series[targets[~early]]


# %% tags=["wrong"]
# says: a whole row of x_test: the scale
def prepare(series, window, ahead, share):
    cut = int(share * len(series))
    targets = np.arange(window + ahead - 1, len(series))
    x = np.stack([series[t - ahead - window + 1 : t - ahead + 1] for t in targets])
    early = targets < cut
    x_train, x_test = ((part - part.mean()) / part.std() for part in (x[early], x[~early]))
    return x_train, series[targets[early]], x_test, series[targets[~early]]


# %% tags=["wrong"]
# says: the newest value that is known is not in the row
def prepare(series, window, ahead, share):
    cut = int(share * len(series))
    scaled = (series - series[:cut].mean()) / series[:cut].std()
    targets = np.arange(window + ahead, len(series))
    x = np.stack([scaled[t - ahead - window : t - ahead] for t in targets])
    early = targets < cut
    return x[early], series[targets[early]], x[~early], series[targets[~early]]


# %% tags=["wrong"]
# says: standardised
def prepare(series, window, ahead, share):
    cut = int(share * len(series))
    targets = np.arange(window + ahead - 1, len(series))
    x = np.stack([series[t - ahead - window + 1 : t - ahead + 1] for t in targets])
    early = targets < cut
    return x[early], series[targets[early]], x[~early], series[targets[~early]]


# %% tags=["wrong"]
# says: from the oldest
def prepare(series, window, ahead, share):
    cut = int(share * len(series))
    scaled = (series - series[:cut].mean()) / series[:cut].std()
    targets = np.arange(window + ahead - 1, len(series))
    x = np.stack([scaled[t - ahead - window + 1 : t - ahead + 1][::-1] for t in targets])
    early = targets < cut
    return x[early], series[targets[early]], x[~early], series[targets[~early]]


# %% tags=["wrong"]
# says: from the oldest
def prepare(series, window, ahead, share):
    cut = int(share * len(series))
    scaled = (series - series[:cut].mean()) / series[:cut].std()
    targets = np.arange(window + ahead - 1, len(series))
    x = np.stack([np.r_[0, scaled[t - ahead - window + 2 : t - ahead + 1]] for t in targets])
    early = targets < cut
    return x[early], series[targets[early]], x[~early], series[targets[~early]]


# %% tags=["wrong"]
# says: the same scale
def prepare(series, window, ahead, share):
    cut = int(share * len(series))
    targets = np.arange(window + ahead - 1, len(series))
    x = np.stack([series[t - ahead - window + 1 : t - ahead + 1] for t in targets])
    x = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
    early = targets < cut
    return x[early], series[targets[early]], x[~early], series[targets[~early]]


# %%
exercises.check(7, prepare)

# %% [markdown]
# ## 8 ★★★ A machine that speaks your language
#
# *20 minutes.* Choose a language that the lesson has not shown, or any text of your own. Babel knows the names of
# countries and languages in hundreds of languages: "is" is Icelandic, "sw" Swahili, "cy" Welsh, "eo" Esperanto, "eu"
# Basque. A list of first names, of villages or of football clubs is at least as good. It takes at least 200 words.

# %% tags=["nbval-ignore-output"]
from babel import Locale

locale = Locale.parse("is")
names = {*locale.territories.values(), *locale.languages.values()}
my_words = sorted(name for name in names if 3 <= len(name) <= 16)
print(len(my_words), "words, such as", ", ".join(my_words[5::120]))

# %% [markdown]
# Write `invent(words, count, seed)`: it trains a letter model on `words`, and returns a list of `count` names that the
# model has invented, letter by letter. The letters are those of `words`, whatever they are. No name is empty, and on
# average the names are about as long as the words. Do not train for long: a few hundred words are soon learned by heart.
#
# The check calls your function twice, with half of your words and with an island's language that nobody speaks. It asks
# for 60 names each time. At least 60% have to be new and 80% different. A piece of a word is hardly new, nor is a word
# with more letters at an end or with one letter changed. Your model has not seen the other half of the words. In that half the check counts groups of three letters: do the
# letters of your names follow each other as they do there?
#
# <details><summary>Hint: where to look</summary>
#
# The next-letter model of the lesson: embedding, recurrent layer with `return_sequences=True`, dense layer; each letter
# is the target of the letters before it. One symbol begins and ends each word.
#
# </details>
#
# <details><summary>Hint: the idea</summary>
#
# Number the letters from 1; 0 begins and ends a word and fills up the rest. The inputs are all columns but the last,
# the targets all columns but the first. Steps after the end must not count: give them the `sample_weight` 0. For the
# names begin with a column of zeros and add one drawn letter at a time. Too many copies? Fewer epochs.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# ```python
# letters = sorted(set("".join(words)))
# ids = np.zeros((len(words), longest + 2), int)  # fill in from column 1
# model = keras.Sequential([keras.Input((None,)), layers.Embedding(...), layers.GRU(...), layers.Dense(...)])
# model.compile(...)
# model.fit(ids[:, :-1], ids[:, 1:], sample_weight=..., epochs=16, batch_size=32, verbose=0)
# drawn = np.zeros((count, 1), int)
# for _ in range(longest):
#     p = softmax of np.asarray(model(drawn))[:, -1] / temperature
#     drawn = np.column_stack([drawn, ...])  # one letter for each name, drawn with p
# ```
#
# </details>


# %% tags=["stub"]
def invent(words, count, seed):
    return ...


# %% tags=["solution"]
def invent(words, count, seed):
    keras.utils.set_random_seed(seed)
    letters = sorted(set("".join(words)))
    longest = max(map(len, words))
    ids = np.zeros((len(words), longest + 2), int)  # 0 begins and ends each word
    for row, word in zip(ids, words):
        row[1 : len(word) + 1] = [letters.index(letter) + 1 for letter in word]
    counts = np.arange(longest + 1) <= np.array([len(word) for word in words])[:, None]

    stack = [layers.Embedding(len(letters) + 1, 16), layers.GRU(64, return_sequences=True)]
    model = keras.Sequential([keras.Input((None,)), *stack, layers.Dense(len(letters) + 1)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    weight = counts.astype("float32")
    model.fit(ids[:, :-1], ids[:, 1:], sample_weight=weight, epochs=16, batch_size=32, verbose=0)

    rng = np.random.default_rng(seed)
    drawn = np.zeros((count, 1), int)
    for step in range(longest):
        logits = np.asarray(model(drawn))[:, -1] / 0.7
        logits[:, 0] = -np.inf if step == 0 else logits[:, 0]  # no empty name
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        next_one = [rng.choice(len(row), p=row) for row in p]
        drawn = np.column_stack([drawn, next_one])
    texts = ["".join(("\n" + "".join(letters))[i] for i in row[1:]) for row in drawn]
    return [text.split("\n")[0] for text in texts]


# %% tags=["wrong"]
# says: copies
def invent(words, count, seed):
    return list(np.random.default_rng(seed).choice(words, count, replace=False))


# %% tags=["wrong"]
# says: hardly as in the words
def invent(words, count, seed):
    rng = np.random.default_rng(seed)
    return ["".join(rng.permutation(list(word))) for word in rng.choice(words, count)]


# %% tags=["wrong"]
# says: one letter away
def invent(words, count, seed):
    some = np.random.default_rng(seed).choice(words, count, replace=False)
    return [str(word) + word[0].lower() for word in some]


# %% tags=["wrong"]
# says: hardly as in the words
def invent(words, count, seed):
    rng, letters = np.random.default_rng(seed), list("".join(words))
    return ["".join(rng.choice(letters, rng.integers(4, 12))) for _ in range(count)]


# %% tags=["wrong"]
# says: does not occur
def invent(words, count, seed):
    return [f"Timburk Afrika {number}" for number in range(count)]


# %% tags=["wrong"]
# says: different
def invent(words, count, seed):
    return [words[0][:2] + words[1][-4:]] * count


# %% tags=["wrong"]
# says: letters on average
def invent(words, count, seed):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(words, 3)) for _ in range(count)]


# %% tags=["wrong"]
# says: pieces of one
def invent(words, count, seed):
    long = [word for word in words if len(word) > 4]
    return [str(w[2:]) for w in np.random.default_rng(seed).choice(long, count, replace=False)]


# %% tags=["wrong"]
# says: one with more at an end
def invent(words, count, seed):
    some = np.random.default_rng(seed).choice(words, (2, count), replace=False)
    return [str(one + other[-2:]) for one, other in zip(*some)]


# %% tags=["wrong"]
# says: a list of 60 names
def invent(words, count, seed):
    return "".join(words)


# %% tags=["nbval-ignore-output"]
exercises.check(8, invent, my_words)

# %%
exercises.score()
