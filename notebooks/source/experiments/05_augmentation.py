# %% [markdown]
# # An experiment: which change of a digit helps?
#
# The same network learns from the same few images, changed in one way at a time, anew in each epoch.

# %%
from helpers.datasets import load_dataset
from helpers.runs import record

import keras
from keras import layers

# %% tags=["parameters"]
change: str = "none"  # one of the names below
n_samples: int = 300  # training images
epochs: int = 2  # times through them
seed: int = 0  # of the first weights, the sample, the order and the changes

# %%
data = load_dataset("mnist", fallback="digits", image_size=(28, 28), seed=seed)
few = data.subset(n_samples, seed)

# %%
rotate = layers.RandomRotation(20 / 360, fill_mode="nearest", seed=seed)
shift = layers.RandomTranslation(0.2, 0.2, fill_mode="nearest", seed=seed)
shear = layers.RandomShear(0.2, fill_mode="nearest", seed=seed)
zoom = layers.RandomZoom(0.2, fill_mode="nearest", seed=seed)
flip = layers.RandomFlip("horizontal", seed=seed)
settings = {
    "none": [],
    "rotation": [rotate],
    "shift": [shift],
    "small shift": [layers.RandomTranslation(0.1, 0.1, fill_mode="nearest", seed=seed)],
    "shear": [shear],
    "zoom": [zoom],
    "flip": [flip],
    "all but the flip": [rotate, shift, shear, zoom],
    "all": [rotate, shift, shear, zoom, flip],
}

# %%
keras.utils.set_random_seed(seed)
network = keras.Sequential([keras.Input((28, 28, 1)), layers.Rescaling(1 / 255)])
for layer in settings[change]:
    network.add(layer)
network.add(layers.Conv2D(16, 3, activation="relu"))
network.add(layers.MaxPooling2D())
network.add(layers.Conv2D(32, 3, activation="relu"))
network.add(layers.MaxPooling2D())
network.add(layers.Flatten())
network.add(layers.Dense(64, activation="relu"))
network.add(layers.Dense(10, activation="softmax"))

# %% tags=["nbval-ignore-output"]
network.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
network.fit(few.x_train[..., None], few.y_train, 32, epochs, verbose=0)
loss, accuracy = network.evaluate(data.x_test[..., None], data.y_test, verbose=0)

# %% tags=["nbval-ignore-output"]
record(dataset=data.name, test_accuracy=accuracy, test_loss=loss)
