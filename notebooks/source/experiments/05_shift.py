# %% [markdown]
# # An experiment: which network still reads a shifted digit?
#
# Networks that differ in one thing at a time are trained on digits as they are, or on shifted ones, and tested on
# digits that are shifted by 0 to 6 pixels in each of four directions.

# %%
from helpers.datasets import load_dataset
from helpers.runs import record

import keras
import numpy as np
from keras import layers

# %% tags=["parameters"]
network: str = "pooling"  # dense, convolutions, pooling (convolutions too) or global pooling
shifted: bool = False  # whether training images are shifted by up to 6 pixels, anew each time
n_samples: int = 600  # training images
epochs: int = 1  # times through them
seed: int = 0  # of the first weights, the sample, the order and the shifts

# %%
data = load_dataset("mnist", fallback="digits", image_size=(28, 28), seed=seed)
few = data.subset(n_samples, seed)

# %%
relu = {"activation": "relu"}
bodies = {
    "dense": [layers.Flatten(), layers.Dense(64, **relu)],
    "convolutions": [layers.Conv2D(16, 3, **relu), layers.Conv2D(32, 3, **relu),
                     layers.Flatten(), layers.Dense(64, **relu)],
    "pooling": [layers.Conv2D(16, 3, **relu), layers.MaxPooling2D(), layers.Conv2D(32, 3, **relu),
                layers.MaxPooling2D(), layers.Flatten(), layers.Dense(64, **relu)],
    "global pooling": [layers.Conv2D(16, 3, **relu), layers.MaxPooling2D(),
                       layers.Conv2D(32, 3, **relu), layers.MaxPooling2D(),
                       layers.Conv2D(64, 3, **relu), layers.GlobalMaxPooling2D(),
                       layers.Dense(64, **relu)],
}  # fmt: skip
keras.utils.set_random_seed(seed)
model = keras.Sequential([keras.Input((28, 28, 1)), layers.Rescaling(1 / 255)])
if shifted:  # a share of the 28 pixels, drawn between -6 and 6 of them
    model.add(layers.RandomTranslation(6 / 28, 6 / 28, fill_mode="constant", seed=seed))
for layer in [*bodies[network], layers.Dense(10, activation="softmax")]:
    model.add(layer)

# %% tags=["nbval-ignore-output"]
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(few.x_train[..., None], few.y_train, 64, epochs, verbose=2)

# %%
x_test, y_test = data.x_test[:2500], data.y_test[:2500]
around = np.pad(x_test, ((0, 0), (6, 6), (6, 6)))


def accuracy_at(pixels):
    """Return the accuracy on shifted test images, the mean of four directions."""
    shares = []
    for down, right in {(pixels, 0), (-pixels, 0), (0, pixels), (0, -pixels)}:
        window = around[:, 6 - down : 34 - down, 6 - right : 34 - right, None]
        shares.append(model.evaluate(window, y_test, 256, verbose=0)[1])
    return float(np.mean(shares))


# %% tags=["nbval-ignore-output"]
record(dataset=data.name, **{f"accuracy_{pixels}": accuracy_at(pixels) for pixels in range(7)})
