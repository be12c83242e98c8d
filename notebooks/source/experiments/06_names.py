# %% [markdown]
# # An experiment: a network that writes names
#
# From the language and the letters so far it predicts the next letter. Measured: bits a letter on test names; how many
# of the names that it invents are copies; and how well it tells languages apart after so many letters.

# %%
from typing import Optional

from helpers.datasets import load_dataset
from helpers.runs import record

import keras
import numpy as np
import tensorflow as tf
from keras import layers

# %% tags=["parameters"]
cell: str = "GRU"  # SimpleRNN, LSTM, GRU or "GRU, attention"
epochs: int = 1  # times through the training names, at most: the best one counts
n_samples: Optional[int] = 200  # training names, and names to test on; None for all
seed: int = 0  # of the sample, the held-out names, the first weights and the order

# %%
words = load_dataset("languages", seed=0)


def small(name):
    """Return a name in small letters; Python makes two signs of a Turkish İ."""
    return name.replace("İ", "i").lower()


symbols = sorted(set("".join(map(small, words.x_train))))
code = {letter: i for i, letter in enumerate(symbols, start=2)}  # 0 fills up, 1 is the border


def encode(names, languages):
    """Return names of at most 24 letters as (border, letters, border), and their languages."""
    rows = [([1, *(code.get(a, 0) for a in small(name)), 1], c)
            for name, c in zip(names, languages)]  # fmt: skip
    rows = [(row, c) for row, c in rows if len(row) <= 26 and 0 not in row]
    full = np.zeros((len(rows), 26), "int32")
    for place, (row, _) in zip(full, rows):
        place[: len(row)] = row
    return full, np.array([[c] for _, c in rows], "int32")


names, languages = encode(words.x_train, words.y_train)
test_names, test_languages = (part[:n_samples] for part in encode(words.x_test, words.y_test))
order = np.random.default_rng(seed).permutation(len(names))
held_out, rest = (part[:n_samples] for part in np.split(order, [len(order) // 10]))
len(rest), len(held_out), len(test_names)

# %%
keras.utils.set_random_seed(seed)
n_symbols, n_languages = len(symbols) + 2, len(words.class_names)
letters, language = keras.Input((None,), dtype="int32"), keras.Input((1,), dtype="int32")
x = layers.Add()(
    [layers.Embedding(n_symbols, 32)(letters), layers.Embedding(n_languages, 32)(language)]
)
h = getattr(layers, cell.split(",")[0])(128, return_sequences=True)(x)
if "attention" in cell:  # each step also looks at all earlier ones
    looked = layers.MultiHeadAttention(1, 32)(h, h, use_causal_mask=True)
    h = layers.Concatenate()([h, looked])
writer = keras.Model([letters, language], layers.Dense(n_symbols)(layers.Dropout(0.2)(h)))


# %%
def batches(names, languages):
    """Return a stream of batches of names of about the same length."""
    stream = tf.data.Dataset.from_tensor_slices((names, languages)).shuffle(len(names), seed=seed)
    stream = stream.map(lambda row, language: (row[: tf.math.count_nonzero(row)], language))
    edges = [8, 10, 12, 15, 20]
    stream = stream.bucket_by_sequence_length(lambda row, _: tf.size(row), edges, [32] * 6)
    return stream.map(lambda row, language: ((row[:, :-1], language), row[:, 1:])).repeat()


def log_probabilities(names, languages):
    """Return the logarithm of the probability of each letter of each name, 0 beyond its end."""
    parts = []
    for i in range(0, len(names), 512):
        row, language = names[i : i + 512], languages[i : i + 512]
        logits = writer.predict_on_batch([row[:, :-1], language])
        p = np.asarray(keras.ops.log_softmax(logits))
        p = np.take_along_axis(p, row[:, 1:, None], axis=2)[..., 0]
        parts.append(p * (row[:, 1:] > 0))
    return np.concatenate(parts)


def bits_a_letter(names, languages):
    """Return the mean of -log2 p over all letters and ends."""
    return -log_probabilities(names, languages).sum() / np.log(2) / (names[:, 1:] > 0).sum()


# %%
class KeepBest(keras.callbacks.Callback):
    """Keep the weights of the epoch that is best on the held-out names."""

    bits, weights, epoch = np.inf, None, 0

    def on_epoch_end(self, epoch, logs=None):
        """Compare, and keep."""
        bits = bits_a_letter(names[held_out], languages[held_out])
        if bits < self.bits:
            self.bits, self.weights, self.epoch = bits, self.model.get_weights(), epoch + 1


# %% tags=["nbval-ignore-output"]
steps = len(rest) // 32
start = 0.002 if cell == "SimpleRNN" else 0.004
rate = keras.optimizers.schedules.CosineDecay(start, steps * epochs)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
writer.compile(keras.optimizers.Adam(rate, clipnorm=1), loss)
best = KeepBest()
stream = batches(names[rest], languages[rest])
writer.fit(stream, steps_per_epoch=steps, epochs=epochs, shuffle=False, verbose=2, callbacks=[best])
writer.set_weights(best.weights)


# %%
def invent(languages, temperature, rng):
    """Return names that the network invents, one for each language."""
    rows = np.ones((len(languages), 1), "int32")
    for _ in range(24):
        logits = writer.predict_on_batch([rows, languages])[:, -1] / temperature
        logits[:, 0] = -np.inf
        drawn = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
        rows = np.column_stack([rows, np.where((rows[:, 1:] == 1).any(axis=1), 0, drawn)])
    return rows


# %% tags=["nbval-ignore-output"]
rng = np.random.default_rng(seed)
wanted = np.repeat(np.arange(n_languages), 20 if n_samples is None else 1)[:, None].astype("int32")
known = {tuple(row[row > 1]) for row in names[rest]}
copies = {}
for temperature in (0.3, 0.7):
    invented = [tuple(row[row > 1]) for row in invent(wanted, temperature, rng)]
    copies[f"copies_{temperature:.1f}"] = float(np.mean([name in known for name in invented]))

# %% tags=["nbval-ignore-output"]
prior = np.log(np.bincount(languages[rest][:, 0], minlength=n_languages) + 1)
belief = np.stack([log_probabilities(test_names, np.full_like(test_languages, c)).cumsum(axis=1)
                   for c in range(n_languages)], axis=2) + prior  # fmt: skip
right = belief.argmax(axis=2) == test_languages
last = (test_names > 0).sum(axis=1) - 2  # the border at the end is read too
read = {f"accuracy_{k}": float(right[np.arange(len(last)), np.minimum(k - 1, last)].mean())
        for k in (1, 2, 3, 4, 5, 6, 8, 10, 25)}  # fmt: skip

# %% tags=["nbval-ignore-output"]
record(
    dataset="languages",
    val_bits=float(best.bits),
    test_bits=float(bits_a_letter(test_names, test_languages)),
    best_epoch=best.epoch,
    **copies,
    **read,
)
