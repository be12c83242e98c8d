# %% [markdown]
# # An experiment: which language is this name?
#
# Recurrent networks read whole names of countries and languages, from the left, or in both
# directions.

# %%
from typing import Optional

from helpers.datasets import load_dataset
from helpers.runs import record

import keras
import numpy as np
from keras import layers

# %% tags=["parameters"]
network: str = "one direction"  # one direction, one direction wider or both directions
epochs: int = 1  # times through the training names
n_samples: Optional[int] = 500  # training names; None for all
seed: int = 0  # of the sample, the first weights and the order

# %%
words = load_dataset("languages", seed=0).subset(n_samples, seed)
names = [name.lower() for name in words.x_train]
test_names = [name.lower() for name in words.x_test]
code = {letter: i for i, letter in enumerate(sorted(set("".join(names))), start=1)}


def encode(names, length=24):
    """Return a row of numbers for each name; 0 fills up."""
    rows = np.zeros((len(names), length), "int32")
    for row, name in zip(rows, names):
        numbers = [code.get(letter, 0) for letter in name][:length]
        row[: len(numbers)] = numbers
    return rows


# %%
keras.utils.set_random_seed(seed)
model = keras.Sequential(
    [keras.Input((24,), dtype="int32"), layers.Embedding(len(code) + 1, 32, mask_zero=True)]
)
if network == "both directions":
    model.add(layers.Bidirectional(layers.GRU(64)))
else:  # 96 units have as many weights as 64 in both directions
    model.add(layers.GRU(96 if network.endswith("wider") else 64))
model.add(layers.Dropout(0.3))
model.add(layers.Dense(len(words.class_names), activation="softmax"))

# %% tags=["nbval-ignore-output"]
rate = keras.optimizers.schedules.CosineDecay(0.005, len(names) // 32 * epochs)
adam = keras.optimizers.Adam(rate, clipnorm=1)
model.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(encode(names), words.y_train, batch_size=32, epochs=epochs, verbose=2)
accuracy = model.evaluate(encode(test_names), words.y_test, 512, verbose=0)[1]

# %% tags=["nbval-ignore-output"]
record(dataset="languages", test_accuracy=accuracy)
