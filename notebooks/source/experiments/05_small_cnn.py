# %% [markdown]
# # An experiment: 18,378 weights and how many digits read right?
#
# The network that lesson 05 trains live, with other seeds. What came of ten of them is in
# `measured/05_small_cnn.csv`.

# %%
from typing import Optional

from helpers.datasets import load_dataset
from helpers.runs import record

import keras
from keras import layers

# %% tags=["parameters"]
n_samples: Optional[int] = 2000  # at most this many training images; None for all
epochs: int = 4  # times through them
batch_size: int = 64  # images in a step
learning_rate: float = 0.003  # the largest one: it rises to this, and falls to 0
seed: int = 0  # of the first weights, the sample and the order

# %%
data = load_dataset("mnist", fallback="digits", image_size=(28, 28), seed=seed)
few = data.subset(n_samples, seed)

# %%
steps = epochs * len(few.x_train) // batch_size
schedule = keras.optimizers.schedules.CosineDecay(
    initial_learning_rate=0.0, decay_steps=steps - steps // 5,
    warmup_target=learning_rate, warmup_steps=steps // 5,
)  # fmt: skip

# %%
keras.utils.set_random_seed(seed)
network = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        layers.Rescaling(1 / 255),
        layers.Conv2D(16, 5, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(32, 5, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dropout(0.3),
        layers.Dense(10, activation="softmax"),
    ]
)
network.compile(
    keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"]
)

# %% tags=["nbval-ignore-output"]
network.fit(few.x_train[..., None], few.y_train, batch_size, epochs, verbose=2)
loss, accuracy = network.evaluate(data.x_test[..., None], data.y_test, verbose=0)

# %% tags=["nbval-ignore-output"]
record(dataset=data.name, test_accuracy=accuracy, test_loss=loss)
