# %% [markdown]
# # An experiment: what does a recurrent cell remember?
#
# Two tasks. *adding*: 30 numbers arrive one after the other, two of them are marked, and at the end their sum is wanted
# (Hochreiter and Schmidhuber, 1997). *recall*: one of eight symbols comes first, then 59 steps of silence, and at the
# end the symbol is wanted. Every batch is new.

# %%
from helpers.runs import record

import keras
import numpy as np
from keras import layers

# %% tags=["parameters"]
task: str = "recall"  # adding or recall
cell: str = "SimpleRNN"  # SimpleRNN, LSTM or GRU
updates: int = 30  # steps of the optimizer, each on 64 fresh sequences; recall makes a third
seed: int = 0  # of the first weights and the sequences

# %%
rng = np.random.default_rng(seed)
length, n_batches = {"adding": (30, updates), "recall": (60, updates // 3)}[task]


def adding(n):
    """Return sequences of (number, mark), and for each the sum of its two marked numbers."""
    x = np.zeros((n, length, 2), "float32")
    x[..., 0] = rng.random((n, length))
    half = length // 2  # one mark in each half
    marked = np.stack([rng.integers(0, half, n), rng.integers(half, length, n)], axis=1)
    x[np.arange(n)[:, None], marked, 1] = 1
    return x, (x[..., 0] * x[..., 1]).sum(axis=1)


def recall(n):
    """Return sequences that begin with one of eight symbols, and for each its number."""
    x, symbol = np.zeros((n, length, 8), "float32"), rng.integers(0, 8, n)
    x[np.arange(n), 0, symbol] = 1
    return x, symbol


# %%
make, outputs, loss = {
    "adding": (adding, 1, "mean_squared_error"),
    "recall": (recall, 8, keras.losses.SparseCategoricalCrossentropy(from_logits=True)),
}[task]
x, y = make(64 * n_batches)
keras.utils.set_random_seed(seed)
model = keras.Sequential(
    [keras.Input(x.shape[1:]), getattr(layers, cell)(32), layers.Dense(outputs)]
)

# %% tags=["nbval-ignore-output"]
model.compile(keras.optimizers.Adam(0.005, clipnorm=1), loss)
model.fit(x, y, batch_size=64, epochs=1, shuffle=False, verbose=2)

# %% tags=["nbval-ignore-output"]
x, y = make(2000)
answers = model.predict(x, batch_size=500, verbose=0)
if task == "adding":
    record(dataset=task, test_mse=float(np.mean((answers[:, 0] - y) ** 2)))
else:
    record(dataset=task, test_accuracy=float(np.mean(answers.argmax(axis=1) == y)))
