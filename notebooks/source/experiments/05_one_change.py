# %% [markdown]
# # An experiment: from one classic network to the other, one change at a time
#
# Lesson 05 has two classic networks. They differ in four things. Here the first one gets none of the four
# changes, or the first, or the first two, up to all of them. Then it is the second one.

# %%
from helpers.datasets import load_dataset
from helpers.runs import record

import keras
from keras import layers

# %% tags=["parameters"]
changes: int = 0  # how many of: pooling between the convolutions, no dropout, Adam, batches of 32
n_samples: int = 1500  # training images
epochs: int = 1  # times through them
seed: int = 0  # of the first weights, the sample and the order

# %%
data = load_dataset("mnist", fallback="digits", image_size=(28, 28), seed=seed)
few = data.subset(n_samples, seed)

# %%
pool_between, no_dropout, adam, small_batches = (changes >= number for number in (1, 2, 3, 4))
keras.utils.set_random_seed(seed)
network = keras.Sequential([keras.Input((28, 28, 1)), layers.Rescaling(1 / 255)])
network.add(layers.Conv2D(32, 3, activation="relu"))
if pool_between:
    network.add(layers.MaxPooling2D())
network.add(layers.Conv2D(64, 3, activation="relu"))
network.add(layers.MaxPooling2D())
if not no_dropout:
    network.add(layers.Dropout(0.25))
network.add(layers.Flatten())
network.add(layers.Dense(128, activation="relu"))
if not no_dropout:
    network.add(layers.Dropout(0.5))
network.add(layers.Dense(10, activation="softmax"))

# %% tags=["nbval-ignore-output"]
optimizer = keras.optimizers.Adam(0.001) if adam else keras.optimizers.Adadelta(1.0)
network.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
batch_size = 32 if small_batches else 128
network.fit(few.x_train[..., None], few.y_train, batch_size, epochs, verbose=2)
loss, accuracy = network.evaluate(data.x_test[..., None], data.y_test, verbose=0)

# %% tags=["nbval-ignore-output"]
record(dataset=data.name, test_accuracy=accuracy, test_loss=loss, weights=network.count_params())
