# %% [markdown]
# # An experiment: how deep can a network be?
#
# Networks of many convolutions, plain or with skip connections, from two kinds of first weights, on digits of 14×14
# pixels.

# %%
from helpers.datasets import load_dataset
from helpers.runs import record

import keras
from keras import layers

# %% tags=["parameters"]
depth: int = 8  # convolutions
skip: bool = True  # whether each pair of convolutions is added to what goes into it
start: str = "glorot_uniform"  # of the first weights: Keras's default, or he_normal
n_samples: int = 300  # training images
epochs: int = 1  # times through them
seed: int = 0  # of the first weights, the sample and the order

# %%
data = load_dataset("mnist", fallback="digits", image_size=(28, 28), seed=seed)
few = data.subset(n_samples, seed)

# %%
keras.utils.set_random_seed(seed)
convolution = {"padding": "same", "kernel_initializer": start}
inputs = keras.Input((28, 28, 1))
x = layers.AveragePooling2D(2)(layers.Rescaling(1 / 255)(inputs))
x = layers.Conv2D(12, 3, activation="relu", **convolution)(x)
for _ in range(depth // 2):
    y = layers.Conv2D(12, 3, activation="relu", **convolution)(x)
    y = layers.Conv2D(12, 3, **convolution)(y)
    x = layers.Activation("relu")(layers.Add()([x, y]) if skip else y)
x = layers.Flatten()(x)
outputs = layers.Dense(10, activation="softmax")(x)
network = keras.Model(inputs, outputs)

# %% tags=["nbval-ignore-output"]
network.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
history = network.fit(few.x_train[..., None], few.y_train, 32, epochs, verbose=2)
loss, accuracy = network.evaluate(data.x_test[..., None], data.y_test, verbose=0)

# %% tags=["nbval-ignore-output"]
trained = history.history["accuracy"][-1]
record(dataset=data.name, train_accuracy=trained, test_accuracy=accuracy, test_loss=loss)
