# %% [markdown]
# # An experiment: an image, read row by row
#
# LSTM(32) with softmax on its last state reads images from the top to the bottom.

# %%
from helpers.datasets import load_dataset
from helpers.runs import record

import keras
from keras import layers

# %% tags=["parameters"]
activation: str = "tanh"  # of the state: tanh, or relu
learning_rate: float = 0.001  # of Adam; 0.001 is Keras's default
n_samples: int = 1000  # training images
epochs: int = 1  # times through them
seed: int = 0  # of the first weights, the sample and the order

# %%
data = load_dataset("mnist", fallback="digits", seed=seed).subset(n_samples, seed)
n_fit = len(data.x_train) * 5 // 6
x, y = data.x_train[:n_fit], data.y_train[:n_fit]
x_val, y_val = data.x_train[n_fit:], data.y_train[n_fit:]

# %%
keras.utils.set_random_seed(seed)
model = keras.Sequential(
    [
        keras.Input(data.input_shape),
        layers.Rescaling(1 / data.x_train.max()),
        layers.LSTM(32, activation=activation),
        layers.Dense(data.class_count, activation="softmax"),
    ]
)

# %% tags=["nbval-ignore-output"]
adam = keras.optimizers.Adam(learning_rate)
model.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x, y, batch_size=32, epochs=epochs, verbose=2)

# %% tags=["nbval-ignore-output"]
record(
    dataset=data.name,
    val_accuracy=model.evaluate(x_val, y_val, 256, verbose=0)[1],
    test_accuracy=model.evaluate(data.x_test, data.y_test, 256, verbose=0)[1],
)
