# %% [markdown]
# # 06 · Exercises: recurrent networks
#
# Three exercises, about 35 minutes. Replace each `...` by your own code, run the cell, then run the check below it.
# The lesson is [06 · Recurrent networks](../06_recurrent_networks.ipynb).

# %%
from helpers.classroom import Exercises

import numpy as np

exercises = Exercises("06")

# %% [markdown]
# ## 1 ★ Count again
#
# *8 minutes.* Return the number of parameters of an LSTM, given the numbers in each step (`features`) and its
# `units`.
#
# <details><summary>Hint: where to look</summary>
#
# Section 2: an LSTM computes four things from the new row and the old state.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# Each of the four has a matrix for the row, a matrix for the state, and a bias.
#
# </details>


# %% tags=["stub"]
def count_lstm(features, units):
    return ...


# %% tags=["solution"]
def count_lstm(features, units):
    return 4 * (features * units + units * units + units)


# %% tags=["wrong"]
# says: four
def count_lstm(features, units):
    return features * units + units * units + units


# %% tags=["wrong"]
# says: state
def count_lstm(features, units):
    return 4 * (features * units + units)


# %% tags=["wrong"]
# says: bias
def count_lstm(features, units):
    return 4 * (features * units + units * units)


# %%
exercises.check(1, count_lstm)

# %% [markdown]
# ## 2 ★★ Read a sequence
#
# *12 minutes.* The simplest recurrent network, for a batch: `x` has shape (batch, steps, features), `w` (features,
# units), `u` (units, units), `b` (units,). Return the state after the last step. It starts at 0.
#
# <details><summary>Hint: where to look</summary>
#
# The first formula of section 2.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# `state = np.zeros((len(x), len(b)))`, then a loop over `range(x.shape[1])`.
#
# </details>


# %% tags=["stub"]
def read(x, w, u, b):
    return ...


# %% tags=["solution"]
def read(x, w, u, b):
    state = np.zeros((len(x), len(b)))
    for t in range(x.shape[1]):
        state = np.tanh(x[:, t] @ w + state @ u + b)
    return state


# %% tags=["wrong"]
# says: forgets
def read(x, w, u, b):
    return np.tanh(x[:, -1] @ w + b)


# %% tags=["wrong"]
# says: not inside
def read(x, w, u, b):
    state = np.zeros((len(x), len(b)))
    for t in range(x.shape[1]):
        state = x[:, t] @ w + state @ u + b
    return state


# %% tags=["wrong"]
# says: backwards
def read(x, w, u, b):
    state = np.zeros((len(x), len(b)))
    for t in reversed(range(x.shape[1])):
        state = np.tanh(x[:, t] @ w + state @ u + b)
    return state


# %% tags=["wrong"]
# says: expected shape
def read(x, w, u, b):
    states = [np.zeros((len(x), len(b)))]
    for t in range(x.shape[1]):
        states.append(np.tanh(x[:, t] @ w + states[-1] @ u + b))
    return np.stack(states[1:], axis=1)


# %%
exercises.check(2, read)

# %% [markdown]
# ## 3 ★★★ Two heads
#
# *15 minutes.* Two models give probabilities `p` and `q` (n, classes) for the same texts. An *ensemble* averages the
# probabilities and takes the largest. Return three accuracies: of the first model, of the second, of the ensemble.
#
# Why can the third be higher than both? Try it with the two models of the lesson.
#
# <details><summary>Hint: where to look</summary>
#
# Section 5 has the accuracies of both models.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# `(probabilities.argmax(axis=1) == y).mean()` for `p`, for `q` and for `(p + q) / 2`.
#
# </details>


# %% tags=["stub"]
def accuracies(p, q, y):
    return ...


# %% tags=["solution"]
def accuracies(p, q, y):
    return tuple((z.argmax(axis=1) == y).mean() for z in (p, q, (p + q) / 2))


# %% tags=["wrong"]
# says: mean of the two accuracies
def accuracies(p, q, y):
    a, b = ((z.argmax(axis=1) == y).mean() for z in (p, q))
    return a, b, (a + b) / 2


# %% tags=["wrong"]
# says: either
def accuracies(p, q, y):
    right = [z.argmax(axis=1) == y for z in (p, q)]
    return right[0].mean(), right[1].mean(), (right[0] | right[1]).mean()


# %% tags=["wrong"]
# says: three numbers
def accuracies(p, q, y):
    return (((p + q) / 2).argmax(axis=1) == y).mean()


# %% tags=["wrong"]
# says: the ensemble
def accuracies(p, q, y):
    return tuple((z.argmax(axis=1) == y).mean() for z in (p, q, np.minimum(p, q)))


# %% tags=["wrong"]
# says: the ensemble
def accuracies(p, q, y):
    first, second, both = ((m.argmax(axis=1) == y).mean() for m in (p, q, p + q))
    return first, second, max(first, second, both)


# %% tags=["wrong"]
# says: the first model
def accuracies(p, q, y):
    return ((p.argmax(axis=1) == y).sum() / 300, (q.argmax(axis=1) == y).sum() / 300,
            ((p + q).argmax(axis=1) == y).sum() / 300)  # fmt: skip


# %%
exercises.check(3, accuracies)

# %%
exercises.score()
