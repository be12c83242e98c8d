# %% [markdown]
# # 04 · Exercises: training with Keras
#
# Seven exercises, about 75 minutes. Replace each `...` by your own code, run the cell, then run the check below
# it. The lesson is [04 · Training with Keras](../04_training_with_keras.ipynb).

# %%
from helpers.classroom import Exercises

import keras
import numpy as np
import tensorflow as tf
from keras import layers

exercises = Exercises("04")

# %% [markdown]
# ## 1 ★ Count parameters
#
# *5 minutes.* `sizes` holds the number of inputs and the number of neurons of each dense layer, for example
# `[784, 512, 10]`. Return the number of parameters of the network, biases included.
#
# <details><summary>Hint: where to look</summary>
#
# Section 1. How many weights lie between two neighbours of the list, and how many biases?
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# `for n_in, n_out in zip(sizes, sizes[1:]):` goes through the pairs of neighbours.
#
# </details>


# %% tags=["stub"]
def count_parameters(sizes):
    return ...


# %% tags=["solution"]
def count_parameters(sizes):
    return sum(n_in * n_out + n_out for n_in, n_out in zip(sizes, sizes[1:]))


# %% tags=["wrong"]
# says: biases
def count_parameters(sizes):
    return sum(n_in * n_out for n_in, n_out in zip(sizes, sizes[1:]))


# %% tags=["wrong"]
# says: each neuron has one bias
def count_parameters(sizes):
    return sum(n_in * n_out + n_in for n_in, n_out in zip(sizes, sizes[1:]))


# %% tags=["wrong"]
# says: too
def count_parameters(sizes):
    return sizes[0] * sizes[1] + sizes[1]


# %%
exercises.check(1, count_parameters)

# %% [markdown]
# ## 2 ★ Build it
#
# *8 minutes.* Return a `Sequential` model for images of 28×28 bytes: divide by 255, flatten, a dense layer of 32
# neurons with ReLU, dropout of 0.2, and one output for each of ten classes, for labels that are one class out of
# ten.
#
# <details><summary>Hint: where to look</summary>
#
# Section 1 has all but the dropout, which is in section 6.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# `keras.Input((28, 28))`, `layers.Rescaling`, `layers.Flatten`, `layers.Dense`, `layers.Dropout`, `layers.Dense`.
#
# </details>


# %% tags=["stub"]
def build():
    return ...


# %% tags=["solution"]
def build():
    return keras.Sequential(
        [
            keras.Input((28, 28)),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(10, activation="softmax"),
        ]
    )


# %% tags=["wrong"]
# says: add up to 1
def build():
    stack = [
        layers.Rescaling(1 / 255),
        layers.Flatten(),
        layers.Dense(32, "relu"),
        layers.Dropout(0.2),
    ]
    return keras.Sequential([keras.Input((28, 28)), *stack, layers.Dense(10, "sigmoid")])


# %% tags=["wrong"]
# says: divided by 255
def build():
    stack = [layers.Flatten(), layers.Dense(32, "relu"), layers.Dropout(0.2)]
    return keras.Sequential([keras.Input((28, 28)), *stack, layers.Dense(10, "softmax")])


# %% tags=["wrong"]
# says: dropout
def build():
    stack = [layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(32, "relu")]
    return keras.Sequential([keras.Input((28, 28)), *stack, layers.Dense(10, "softmax")])


# %% tags=["wrong"]
# says: dropout
def build():
    stack = [layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(32, "relu")]
    last = [layers.Dense(10, "softmax"), layers.Dropout(0.2)]
    return keras.Sequential([keras.Input((28, 28)), *stack, *last])


# %% tags=["wrong"]
# says: parameters
def build():
    stack = [
        layers.Rescaling(1 / 255),
        layers.Flatten(),
        layers.Dense(64, "relu"),
        layers.Dropout(0.2),
    ]
    return keras.Sequential([keras.Input((28, 28)), *stack, layers.Dense(10, "softmax")])


# %% tags=["wrong"]
# says: ReLU
def build():
    stack = [layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(32), layers.Dropout(0.2)]
    return keras.Sequential([keras.Input((28, 28)), *stack, layers.Dense(10, "softmax")])


# %%
exercises.check(2, build)

# %% [markdown]
# ## 3 ★★ The last layer
#
# *8 minutes.* For each task give three things: the number of output neurons, the activation of the last layer
# (`"softmax"`, `"sigmoid"` or `None`), and the loss (`"categorical_crossentropy"`,
# `"sparse_categorical_crossentropy"`, `"binary_crossentropy"` or `"mean_squared_error"`).
#
# - `species`: which of 5 species is on the photo? Labels are whole numbers from 0 to 4.
# - `species, one-hot`: the same, with one-hot labels.
# - `ill`: is the patient ill? Labels are 0 or 1. One neuron, please.
# - `topics`: which of 20 topics does a text have? It may have several, or none.
# - `temperature`: how warm will it be tomorrow, in degrees?
#
# <details><summary>Hint: where to look</summary>
#
# The table in section 5, and what section 1 says about *sparse*.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# A dictionary from the name of the task to a tuple: `{"ill": (1, …, …), …}`.
#
# </details>

# %% tags=["stub"]
last_layers = ...

# %% tags=["solution"]
last_layers = {
    "species": (5, "softmax", "sparse_categorical_crossentropy"),
    "species, one-hot": (5, "softmax", "categorical_crossentropy"),
    "ill": (1, "sigmoid", "binary_crossentropy"),
    "topics": (20, "sigmoid", "binary_crossentropy"),
    "temperature": (1, None, "mean_squared_error"),
}

# %% tags=["wrong"]
# says: topics
last_layers = {
    "species": (5, "softmax", "sparse_categorical_crossentropy"),
    "species, one-hot": (5, "softmax", "categorical_crossentropy"),
    "ill": (1, "sigmoid", "binary_crossentropy"),
    "topics": (20, "softmax", "categorical_crossentropy"),
    "temperature": (1, None, "mean_squared_error"),
}

# %% tags=["wrong"]
# says: temperature
last_layers = {
    "species": (5, "softmax", "sparse_categorical_crossentropy"),
    "species, one-hot": (5, "softmax", "categorical_crossentropy"),
    "ill": (1, "sigmoid", "binary_crossentropy"),
    "topics": (20, "sigmoid", "binary_crossentropy"),
    "temperature": (1, "sigmoid", "mean_squared_error"),
}

# %% tags=["wrong"]
# says: ill
last_layers = {
    "species": (5, "softmax", "sparse_categorical_crossentropy"),
    "species, one-hot": (5, "softmax", "categorical_crossentropy"),
    "ill": (1, "softmax", "binary_crossentropy"),
    "topics": (20, "sigmoid", "binary_crossentropy"),
    "temperature": (1, None, "mean_squared_error"),
}

# %% tags=["wrong"]
# says: species
last_layers = {"species": (5, "softmax", "categorical_crossentropy")}

# %% tags=["wrong"]
# says: missing
last_layers = {"species": (5, "softmax", "sparse_categorical_crossentropy")}

# %%
exercises.check(3, last_layers)

# %% [markdown]
# ## 4 ★★ Two inputs
#
# *12 minutes.* A doctor has an image (16×16 numbers) and four measurements of each patient. Return a functional
# model with two inputs, the image first and the measurements second: the image is flattened and goes through a dense
# layer of 8 neurons with ReLU; its result is joined with the measurements (`layers.Concatenate`); one neuron with
# sigmoid answers.
#
# <details><summary>Hint: where to look</summary>
#
# The functional API in section 4: every layer is called on what comes before it.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# `joined = layers.Concatenate()([hidden, measurements])`; `keras.Model([image, measurements], answer)`.
#
# </details>


# %% tags=["stub"]
def two_inputs():
    return ...


# %% tags=["solution"]
def two_inputs():
    image, measurements = keras.Input((16, 16)), keras.Input((4,))
    hidden = layers.Dense(8, activation="relu")(layers.Flatten()(image))
    joined = layers.Concatenate()([hidden, measurements])
    answer = layers.Dense(1, activation="sigmoid")(joined)
    return keras.Model([image, measurements], answer)


# %% tags=["wrong"]
# says: two inputs
def two_inputs():
    return keras.Sequential([keras.Input((16, 16)), layers.Flatten(), layers.Dense(1, "sigmoid")])


# %% tags=["wrong"]
# says: measurements
def two_inputs():
    image, measurements = keras.Input((16, 16)), keras.Input((4,))
    hidden = layers.Dense(8, activation="relu")(layers.Flatten()(image))
    answer = layers.Dense(1, activation="sigmoid")(hidden)
    return keras.Model([image, measurements], answer + 0 * layers.Dense(1)(measurements))


# %% tags=["wrong"]
# says: the image first
def two_inputs():
    image, measurements = keras.Input((16, 16)), keras.Input((4,))
    hidden = layers.Dense(8, activation="relu")(layers.Flatten()(image))
    joined = layers.Concatenate()([hidden, measurements])
    return keras.Model([measurements, image], layers.Dense(1, activation="sigmoid")(joined))


# %% tags=["wrong"]
# says: from 0 to 1
def two_inputs():
    image, measurements = keras.Input((16, 16)), keras.Input((4,))
    hidden = layers.Dense(8, activation="relu")(layers.Flatten()(image))
    joined = layers.Concatenate()([hidden, measurements])
    return keras.Model([image, measurements], layers.Dense(1)(joined))


# %%
exercises.check(4, two_inputs)

# %% [markdown]
# ## 5 ★★ When to stop
#
# *10 minutes.* Early stopping in plain Python. `losses` holds the validation loss of each epoch, `patience` says how
# many epochs in a row may bring no new best value. Return two epoch numbers, counted from 1: the epoch after which
# the training stops, and the epoch whose weights are kept. If patience is never used up, the training stops after
# the last epoch. A loss that only equals the best is no new best.
#
# <details><summary>Hint: where to look</summary>
#
# Section 7, early stopping.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# Keep the best loss and its epoch. In each epoch: a new best, or `epoch - best_epoch` has reached the patience?
#
# </details>


# %% tags=["stub"]
def early_stopping(losses, patience):
    return ...


# %% tags=["solution"]
def early_stopping(losses, patience):
    best_epoch = 1
    for epoch, loss in enumerate(losses, 1):
        if epoch == 1 or loss < losses[best_epoch - 1]:
            best_epoch = epoch
        elif epoch - best_epoch == patience:
            return epoch, best_epoch
    return len(losses), best_epoch


# %% tags=["wrong"]
# says: counted from 1
def early_stopping(losses, patience):
    best_epoch = 0
    for epoch, loss in enumerate(losses):
        if loss < losses[best_epoch]:
            best_epoch = epoch
        elif epoch - best_epoch == patience:
            return epoch, best_epoch
    return len(losses) - 1, best_epoch


# %% tags=["wrong"]
# says: stop
def early_stopping(losses, patience):
    rises = 0
    for epoch in range(2, len(losses) + 1):
        rises = rises + 1 if losses[epoch - 1] >= losses[epoch - 2] else 0
        if rises == patience:
            return epoch, int(np.argmin(losses[:epoch])) + 1
    return len(losses), int(np.argmin(losses)) + 1


# %% tags=["wrong"]
# says: kept
def early_stopping(losses, patience):
    best_epoch = 1
    for epoch, loss in enumerate(losses, 1):
        if epoch == 1 or loss < losses[best_epoch - 1]:
            best_epoch = epoch
        elif epoch - best_epoch == patience:
            return epoch, epoch
    return len(losses), len(losses)


# %% tags=["wrong"]
# says: stop
def early_stopping(losses, patience):
    best_epoch = int(np.argmin(losses)) + 1
    return min(best_epoch + patience, len(losses)), best_epoch


# %%
exercises.check(5, early_stopping)

# %% [markdown]
# ## 6 ★★★ A step of your own
#
# *15 minutes.* Write one training step with `GradientTape`: forward pass in training mode, loss, gradients, and a
# step of the optimizer. Return the loss as a number. The model may contain dropout and batch normalisation, and some of
# its layers may be *frozen* (`trainable=False`): their weights have to stay as they are.
#
# <details><summary>Hint: where to look</summary>
#
# Section 2. Which variables does the optimizer change, and which argument tells the model that this is training?
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# In the tape: `loss_of(y, model(x, training=True))`. After it: `tape.gradient(loss, model.trainable_variables)` and
# `optimizer.apply`.
#
# </details>


# %% tags=["stub"]
def training_step(model, optimizer, loss_of, x, y):
    return ...


# %% tags=["solution"]
def training_step(model, optimizer, loss_of, x, y):
    with tf.GradientTape() as tape:
        loss = loss_of(y, model(x, training=True))
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply(gradients, model.trainable_variables)
    return float(loss)


# %% tags=["wrong"]
# says: training mode
def training_step(model, optimizer, loss_of, x, y):
    with tf.GradientTape() as tape:
        loss = loss_of(y, model(x))
    optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
    return float(loss)


# %% tags=["wrong"]
# says: did not move
def training_step(model, optimizer, loss_of, x, y):
    with tf.GradientTape() as tape:
        loss = loss_of(y, model(x, training=True))
    tape.gradient(loss, model.trainable_variables)
    return float(loss)


# %% tags=["wrong"]
# says: not as the optimizer
def training_step(model, optimizer, loss_of, x, y):
    with tf.GradientTape() as tape:
        loss = loss_of(y, model(x, training=True))
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply([-g for g in gradients], model.trainable_variables)
    return float(loss)


# %% tags=["wrong"]
# says: a number
def training_step(model, optimizer, loss_of, x, y):
    with tf.GradientTape() as tape:
        loss = loss_of(y, model(x, training=True))
    optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
    return model


# %%
exercises.check(6, training_step)

# %% [markdown]
# ## 7 ★★★ Save an overfitted network
#
# *17 minutes.* New data: measurements of tumours (`breast_cancer`), of which you get only 60 for training. The network
# below learns them by heart. Change anything you like, as long as the result is a trained Keras model that takes the 30
# measurements *as they are* (put the preprocessing into it) and gives the probability of class 1. The check calls your
# function on two splits, in units of its own, and compares the cross-entropy on the held-out tumours with that of the
# network below: the mean has to be at most 70% of it.

# %%
from helpers.datasets import load_dataset


def overfitted(x, y, seed):
    keras.utils.set_random_seed(seed)
    normalize = layers.Normalization()
    normalize.adapt(x)
    stack = [layers.Dense(256, "relu"), layers.Dense(256, "relu"), layers.Dense(1, "sigmoid")]
    model = keras.Sequential([keras.Input((30,)), normalize, *stack])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=40, batch_size=10, verbose=0)
    return model


tumours = load_dataset("breast_cancer", seed=0)
few = np.random.default_rng(0).choice(len(tumours.x_train), 60, replace=False)
x, y = tumours.x_train[few].astype("float32"), tumours.y_train[few]
network = overfitted(x, y, seed=0)
for name, (a, b) in {"training": (x, y), "other": (tumours.x_test, tumours.y_test)}.items():
    loss, accuracy = network.evaluate(a, b, verbose=0)
    print(f"{name:8} cross-entropy {loss:.4f}, accuracy {accuracy:.0%}")

# %% [markdown]
# <details><summary>Hint: where to look</summary>
#
# Section 7 has the remedies. How many neurons does such a small table need?
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# Keep `normalize`. Then a much smaller network, a penalty, and no more epochs than necessary. Even a single neuron is a
# network.
#
# </details>


# %% tags=["stub"]
def better(x, y, seed):
    return ...


# %% tags=["solution"]
def better(x, y, seed):
    keras.utils.set_random_seed(seed)
    normalize = layers.Normalization()
    normalize.adapt(x)
    penalty = keras.regularizers.L2(0.01)
    neuron = layers.Dense(1, activation="sigmoid", kernel_regularizer=penalty)
    model = keras.Sequential([keras.Input((30,)), normalize, neuron])
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy")
    model.fit(x, y, epochs=20, batch_size=10, verbose=0)
    return model


# %% tags=["wrong"]
# says: at most 70%
def better(x, y, seed):
    return overfitted(x, y, seed)


# %% tags=["wrong"]
# says: is it trained?
def better(x, y, seed):
    model = keras.Sequential(
        [keras.Input((30,)), layers.Dense(1, "sigmoid", kernel_initializer="zeros")]
    )
    model.compile("adam", "binary_crossentropy")
    return model


# %% tags=["wrong"]
# says: a Keras model
def better(x, y, seed):
    return lambda rows: np.full((len(rows), 1), 0.5)


# %% tags=["wrong"]
# says: probability
def better(x, y, seed):
    model = keras.Sequential([keras.Input((30,)), layers.Dense(2, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


# %%
exercises.check(7, better)

# %%
exercises.score()
