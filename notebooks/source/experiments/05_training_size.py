# %% [markdown]
# # An experiment: how many images does a network need?
#
# A dense and a convolutional network learn from the same images, few or many, for the same number of steps.

# %%
from helpers.datasets import load_dataset
from helpers.runs import record

import keras
import numpy as np
from keras import layers

# %% tags=["parameters"]
network: str = "convolutional"  # or dense
n_samples: int = 300  # training images
steps: int = 50  # batches of 64
seed: int = 0  # of the first weights, the sample and the order

# %%
data = load_dataset("mnist", fallback="digits", image_size=(28, 28), seed=seed)
few = data.subset(n_samples, seed)

# %%
bodies = {
    "dense": [layers.Flatten(), layers.Dense(128, activation="relu")],
    "convolutional": [
        layers.Conv2D(16, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(64, activation="relu"),
    ],
}
keras.utils.set_random_seed(seed)
model = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        layers.Rescaling(1 / 255),
        *bodies[network],
        layers.Dense(10, activation="softmax"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

# %% tags=["nbval-ignore-output"]
rng = np.random.default_rng(seed)
rounds = -(-64 * steps // len(few.x_train))  # so often through the images
order = np.concatenate([rng.permutation(len(few.x_train)) for _ in range(rounds)])[: 64 * steps]
model.fit(few.x_train[order, ..., None], few.y_train[order], 64, shuffle=False, verbose=2)
loss, accuracy = model.evaluate(data.x_test[..., None], data.y_test, verbose=0)

# %% tags=["nbval-ignore-output"]
record(dataset=data.name, test_accuracy=accuracy, test_loss=loss, weights=model.count_params())
