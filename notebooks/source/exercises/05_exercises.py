# %% [markdown]
# # 05 · Exercises: convolutional networks
#
# Eight exercises, about 115 minutes. Replace each `...` by your own code, run the cell, then run the check below it.
# A check calls your function on inputs that you do not see. A function leaves the arrays that it receives as they
# are. The lesson is [05 · Convolutional networks](../05_convolutional_networks.ipynb).

# %%
from helpers import plots
from helpers.classroom import Exercises
from helpers.datasets import load_dataset

import keras
import numpy as np
from keras import layers

exercises = Exercises("05")

# %% [markdown]
# ## 1 ★ What comes out of a convolution?
#
# *6 minutes.* An image has `rows` rows, `columns` columns and `channels` channels. It goes through
# `Conv2D(filters, size, strides=stride, padding=padding)`, where `padding` is `"valid"` or `"same"`. Return four whole
# numbers: rows, columns and channels of the result, and the number of weights, biases included.
#
# <details><summary>Hint: where to look</summary>
#
# The parts of the lesson on padding, on stride, and on several channels. `model.summary()` shows the same four numbers,
# so you can test your function.
#
# </details>
#
# <details><summary>Hint: the idea</summary>
#
# With `"valid"` the window has to fit inside the image. Count the places of its upper edge: 0, `stride`,
# 2 · `stride`, … With `"same"` and a stride of 1 the result is as large as the image. With a larger stride every
# `stride`-th row remains, the first one always.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# ```python
# def length(n):  # the same rule for rows and for columns
#     if padding == "same":
#         return -(-n // stride)  # divides and rounds up
#     return ...
#
# return length(rows), length(columns), filters, filters * (...)
# ```
#
# </details>


# %% tags=["stub"]
def convolved(rows, columns, channels, filters, size, stride, padding):
    return ...


# %% tags=["solution"]
def convolved(rows, columns, channels, filters, size, stride, padding):
    def length(n):
        return -(-n // stride) if padding == "same" else (n - size) // stride + 1

    return length(rows), length(columns), filters, filters * (size * size * channels + 1)


# %% tags=["wrong"]
# says: biases
def convolved(rows, columns, channels, filters, size, stride, padding):
    def length(n):
        return -(-n // stride) if padding == "same" else (n - size) // stride + 1

    return length(rows), length(columns), filters, filters * size * size * channels


# %% tags=["wrong"]
# says: channels of its input
def convolved(rows, columns, channels, filters, size, stride, padding):
    def length(n):
        return -(-n // stride) if padding == "same" else (n - size) // stride + 1

    return length(rows), length(columns), filters, filters * (size * size + 1)


# %% tags=["wrong"]
# says: one bias
def convolved(rows, columns, channels, filters, size, stride, padding):
    def length(n):
        return -(-n // stride) if padding == "same" else (n - size) // stride + 1

    return length(rows), length(columns), filters, filters * channels * (size * size + 1)


# %% tags=["wrong"]
# says: a filter makes one channel
def convolved(rows, columns, channels, filters, size, stride, padding):
    def length(n):
        return -(-n // stride) if padding == "same" else (n - size) // stride + 1

    weights = filters * (size * size * channels + 1)
    return length(rows), length(columns), filters * channels, weights


# %% tags=["wrong"]
# says: rows
def convolved(rows, columns, channels, filters, size, stride, padding):
    def length(n):
        return n // stride if padding == "same" else (n - size) // stride + 1

    return length(rows), length(columns), filters, filters * (size * size * channels + 1)


# %% tags=["wrong"]
# says: rows
def convolved(rows, columns, channels, filters, size, stride, padding):
    def length(n):
        return -(-n // stride) if padding == "same" else -(-(n - size) // stride) + 1

    return length(rows), length(columns), filters, filters * (size * size * channels + 1)


# %% tags=["wrong"]
# says: rows
def convolved(rows, columns, channels, filters, size, stride, padding):
    def length(n):  # rounds to the nearest number, not up
        return round(n / stride) if padding == "same" else (n - size) // stride + 1

    return length(rows), length(columns), filters, filters * (size * size * channels + 1)


# %% tags=["wrong"]
# says: rows
def convolved(rows, columns, channels, filters, size, stride, padding):
    around = (size - 1) // 2 if padding == "same" else 0  # too few zeros for an even size

    def length(n):
        return (n + 2 * around - size) // stride + 1

    return length(rows), length(columns), filters, filters * (size * size * channels + 1)


# %%
exercises.check(1, convolved)

# %% [markdown]
# ## 2 ★ How much does one number see?
#
# *8 minutes.* The receptive field of a number is the square of input pixels that it depends on. `stack` is a list
# of layers, the first one first; each is a pair `(size, stride)`. A convolution of 3×3 is `(3, 1)`, a max pooling of
# 2×2 is `(2, 2)`. Return the side of the receptive field of one number behind the last layer.
#
# <details><summary>Hint: where to look</summary>
#
# The part of the lesson on receptive fields: two convolutions of 3×3 see 5×5 pixels. Draw a row of pixels and two
# layers above it.
#
# </details>
#
# <details><summary>Hint: the idea</summary>
#
# Start with one pixel, which sees itself. A window of `size` numbers adds `size - 1` neighbours. How far apart are two
# neighbours, in pixels of the input? Behind a layer with stride 2 they are twice as far apart as before it.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# ```python
# side, apart = 1, 1  # one pixel; neighbours are one pixel apart
# for size, stride in stack:
#     side += ...
#     apart *= stride
# return side
# ```
#
# </details>


# %% tags=["stub"]
def receptive_field(stack):
    return ...


# %% tags=["solution"]
def receptive_field(stack):
    side, apart = 1, 1
    for size, stride in stack:
        side += (size - 1) * apart
        apart *= stride
    return side


# %% tags=["wrong"]
# says: strides
def receptive_field(stack):
    return 1 + sum(size - 1 for size, _ in stack)


# %% tags=["wrong"]
# says: overlap
def receptive_field(stack):
    return sum(size for size, _ in stack)


# %% tags=["wrong"]
# says: overlap
def receptive_field(stack):
    return int(np.prod([size for size, _ in stack]))


# %% tags=["wrong"]
# says: own stride moves
def receptive_field(stack):
    side, apart = 1, 1
    for size, stride in stack:
        apart *= stride
        side += (size - 1) * apart
    return side


# %% tags=["wrong"]
# says: own stride moves
def receptive_field(stack):
    side = 1
    for size, stride in stack:
        side += (size - 1) * stride
    return side


# %% tags=["wrong"]
# says: last layer first
def receptive_field(stack):
    side, apart = 1, 1
    for size, stride in stack[::-1]:
        side += (size - 1) * apart
        apart *= stride
    return side


# %% tags=["wrong"]
# says: too small
def receptive_field(stack):
    side, before = 1, 1
    for size, stride in stack:
        side += (size - 1) * before
        before = stride  # of the last layer only
    return side


# %%
exercises.check(2, receptive_field)

# %% [markdown]
# ## 3 ★★ A whole convolution layer
#
# *15 minutes.* The lesson's `convolve` takes one grey image and one kernel. Write the whole layer, with NumPy:
#
# - `images` has shape (images, rows, columns, channels); its numbers can be bytes.
# - `kernels` has shape (k, k, channels, filters), as in Keras; `bias` has one number for each filter.
# - `padding` zeros are put around each image, on all four sides; then the window moves `stride` pixels at a time.
#
# The result has shape (images, new rows, new columns, filters), without an activation. Where the last window does not
# fit in, it is left out. As in all deep-learning libraries, a kernel is not turned around.
#
# <details><summary>Hint: where to look</summary>
#
# `convolve` in the lesson, and `np.pad`, which wants one pair (before, after) for each of the four axes.
#
# </details>
#
# <details><summary>Hint: the idea</summary>
#
# Two loops over the places of the window are enough. At each place, cut the window out of *all* images at once:
# it has shape (images, k, k, channels). Each filter multiplies it by its own kernel and adds up three of these axes.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# ```python
# k = len(kernels)
# padded = np.pad(images, ((0, 0), (padding, padding), ..., (0, 0)))
# rows = (padded.shape[1] - k) // stride + 1
# columns = ...
# result = np.zeros((len(images), rows, columns, kernels.shape[-1]))
# for i in range(rows):
#     for j in range(columns):
#         window = padded[:, i * stride : i * stride + k, ...]
#         result[:, i, j] = ...  # np.tensordot(window, kernels, axes=...) adds up several axes
# return result + bias
# ```
#
# </details>


# %% tags=["stub"]
def conv_layer(images, kernels, bias, padding, stride):
    return ...


# %% tags=["solution"]
def conv_layer(images, kernels, bias, padding, stride):
    k = len(kernels)
    padded = np.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    rows = (padded.shape[1] - k) // stride + 1
    columns = (padded.shape[2] - k) // stride + 1
    result = np.zeros((len(images), rows, columns, kernels.shape[-1]))
    for i in range(rows):
        for j in range(columns):
            window = padded[:, i * stride : i * stride + k, j * stride : j * stride + k]
            result[:, i, j] = np.tensordot(window, kernels, axes=3)
    return result + bias


# %% tags=["wrong"]
# says: turned around
def conv_layer(images, kernels, bias, padding, stride):
    k, kernels = len(kernels), kernels[::-1, ::-1]
    padded = np.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    places = np.lib.stride_tricks.sliding_window_view(padded, (k, k), (1, 2))
    return np.einsum("nijcab,abcf->nijf", places[:, ::stride, ::stride], kernels) + bias


# %% tags=["wrong"]
# says: bias
def conv_layer(images, kernels, bias, padding, stride):
    k = len(kernels)
    padded = np.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    places = np.lib.stride_tricks.sliding_window_view(padded, (k, k), (1, 2))
    return np.einsum("nijcab,abcf->nijf", places[:, ::stride, ::stride], kernels)


# %% tags=["wrong"]
# says: all channels
def conv_layer(images, kernels, bias, padding, stride):
    k = len(kernels)
    padded = np.pad(images[..., :1], ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    places = np.lib.stride_tricks.sliding_window_view(padded, (k, k), (1, 2))
    return np.einsum("nijcab,abcf->nijf", places[:, ::stride, ::stride], kernels[:, :, :1]) + bias


# %% tags=["wrong"]
# says: expected shape
def conv_layer(images, kernels, bias, padding, stride):
    k = len(kernels)
    padded = np.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    places = np.lib.stride_tricks.sliding_window_view(padded, (k, k), (1, 2))
    return np.einsum("nijcab,abcf->nijf", places, kernels) + bias


# %% tags=["wrong"]
# says: zeros
def conv_layer(images, kernels, bias, padding, stride):
    k = len(kernels)
    padded = np.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)), mode="edge")
    places = np.lib.stride_tricks.sliding_window_view(padded, (k, k), (1, 2))
    return np.einsum("nijcab,abcf->nijf", places[:, ::stride, ::stride], kernels) + bias


# %% tags=["wrong"]
# says: bytes
def conv_layer(images, kernels, bias, padding, stride):
    k = len(kernels)
    padded = np.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    rows = (padded.shape[1] - k) // stride + 1
    columns = (padded.shape[2] - k) // stride + 1
    result = np.zeros((len(images), rows, columns, kernels.shape[-1]), images.dtype)
    for i in range(rows):
        for j in range(columns):
            window = padded[:, i * stride : i * stride + k, j * stride : j * stride + k]
            result[:, i, j] = np.tensordot(window, kernels, axes=3) + bias
    return result


# %%
exercises.check(3, conv_layer)

# %% [markdown]
# ## 4 ★★ A block with a skip connection
#
# *12 minutes.* Write the block that ResNet is built of, with the functional API. `x` is the Keras tensor that goes
# in; return the tensor that comes out:
#
# - the main way: a convolution of 3×3 with the given stride and ReLU, then a convolution of 3×3 with stride 1 and
#   without activation; both have `filters` filters and `padding="same"`;
# - the skip connection is added to it, and ReLU follows the sum;
# - the skip connection is `x` itself. Only where its shape would not fit, it is a convolution of 1×1 with the given
#   stride, without activation.
#
# Try it: `inputs = keras.Input((8, 8, 4))`, then `keras.Model(inputs, residual_block(inputs, 4)).summary()`.
#
# <details><summary>Hint: where to look</summary>
#
# The skip connection in the lesson. `layers.Add()([a, b])` adds two tensors, `layers.ReLU()(a)` is an activation
# alone.
#
# </details>
#
# <details><summary>Hint: the idea</summary>
#
# Two tensors can be added if their shapes are equal. Which two things change the shape of `x` on the main way?
# `x.shape[-1]` is the number of its channels.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# ```python
# main = layers.Conv2D(filters, 3, strides=..., padding="same", activation="relu")(x)
# main = layers.Conv2D(...)(main)
# if ...:  # the shape of x does not fit
#     x = layers.Conv2D(filters, 1, ...)(x)
# return layers.ReLU()(...)
# ```
#
# </details>


# %% tags=["stub"]
def residual_block(x, filters, stride=1):
    return ...


# %% tags=["solution"]
def residual_block(x, filters, stride=1):
    main = layers.Conv2D(filters, 3, strides=stride, padding="same", activation="relu")(x)
    main = layers.Conv2D(filters, 3, padding="same")(main)
    if stride != 1 or x.shape[-1] != filters:
        x = layers.Conv2D(filters, 1, strides=stride)(x)
    return layers.ReLU()(layers.Add()([main, x]))


# %% tags=["wrong"]
# says: skip connection
def residual_block(x, filters, stride=1):
    main = layers.Conv2D(filters, 3, strides=stride, padding="same", activation="relu")(x)
    return layers.Conv2D(filters, 3, padding="same", activation="relu")(main)


# %% tags=["wrong"]
# says: joined
def residual_block(x, filters, stride=1):
    main = layers.Conv2D(filters, 3, strides=stride, padding="same", activation="relu")(x)
    main = layers.Conv2D(filters, 3, padding="same")(main)
    if stride != 1 or x.shape[-1] != filters:
        x = layers.Conv2D(filters, 1, strides=stride)(x)
    return layers.ReLU()(layers.Concatenate()([main, x]))


# %% tags=["wrong"]
# says: x itself
def residual_block(x, filters, stride=1):
    main = layers.Conv2D(filters, 3, strides=stride, padding="same", activation="relu")(x)
    main = layers.Conv2D(filters, 3, padding="same")(main)
    x = layers.Conv2D(filters, 1, strides=stride)(x)
    return layers.ReLU()(layers.Add()([main, x]))


# %% tags=["wrong"]
# says: ReLU follows the sum
def residual_block(x, filters, stride=1):
    main = layers.Conv2D(filters, 3, strides=stride, padding="same", activation="relu")(x)
    main = layers.Conv2D(filters, 3, padding="same")(main)
    if stride != 1 or x.shape[-1] != filters:
        x = layers.Conv2D(filters, 1, strides=stride)(x)
    return layers.Add()([main, x])


# %% tags=["wrong"]
# says: before the sum
def residual_block(x, filters, stride=1):
    main = layers.Conv2D(filters, 3, strides=stride, padding="same", activation="relu")(x)
    main = layers.Conv2D(filters, 3, padding="same", activation="relu")(main)
    if stride != 1 or x.shape[-1] != filters:
        x = layers.Conv2D(filters, 1, strides=stride)(x)
    return layers.ReLU()(layers.Add()([main, x]))


# %% tags=["wrong"]
# says: your function stops
def residual_block(x, filters, stride=1):
    main = layers.Conv2D(filters, 3, strides=stride, padding="same", activation="relu")(x)
    main = layers.Conv2D(filters, 3, padding="same")(main)
    if x.shape[-1] != filters:
        x = layers.Conv2D(filters, 1, strides=stride)(x)
    return layers.ReLU()(layers.Add()([main, x]))


# %% tags=["wrong"]
# says: between the two
def residual_block(x, filters, stride=1):
    main = layers.Conv2D(filters, 3, strides=stride, padding="same")(x)
    main = layers.Conv2D(filters, 3, padding="same")(main)
    if stride != 1 or x.shape[-1] != filters:
        x = layers.Conv2D(filters, 1, strides=stride)(x)
    return layers.ReLU()(layers.Add()([main, x]))


# %% tags=["wrong"]
# says: your function stops
def residual_block(x, filters, stride=1):
    main = layers.Conv2D(filters, 3, strides=stride, padding="same", activation="relu")(x)
    main = layers.Conv2D(filters, 3, padding="same")(main)
    if stride != 1 or x.shape[-1] < filters:  # fewer channels do not fit either
        x = layers.Conv2D(filters, 1, strides=stride)(x)
    return layers.ReLU()(layers.Add()([main, x]))


# %% tags=["wrong"]
# says: has the stride
def residual_block(x, filters, stride=1):
    main = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
    main = layers.Conv2D(filters, 3, strides=stride, padding="same")(main)
    if stride != 1 or x.shape[-1] != filters:
        x = layers.Conv2D(filters, 1, strides=stride)(x)
    return layers.ReLU()(layers.Add()([main, x]))


# %% tags=["wrong"]
# says: not to come before it
def residual_block(x, filters, stride=1):
    main = layers.Conv2D(filters, 3, strides=stride, padding="same", activation="relu")(x)
    main = layers.Conv2D(filters, 3, padding="same", activation="relu")(main)
    if stride != 1 or x.shape[-1] != filters:
        x = layers.Conv2D(filters, 1, strides=stride)(x)
    return layers.Add()([main, x])


# %%
exercises.check(4, residual_block)

# %% [markdown]
# ## 5 ★★ Refuse to answer
#
# *12 minutes.* A bank lets a machine read the amounts on cheques, and lets a person read what the machine is unsure
# of. `probabilities` has shape (images, classes), `y` holds the true classes. The images are handed over to the
# person in the order of their confidence, the least confident first. Of the images that the machine keeps, at most the
# share `error_rate` may be wrong (0.02 means 2%). Return the smallest share of all images, from 0 to 1, that has to be
# handed over for this. If nothing less is enough, return 1.
#
# <details><summary>Hint: where to look</summary>
#
# The part of the lesson on confidence and calibration. The confidence of an answer is its largest probability.
#
# </details>
#
# <details><summary>Hint: the idea</summary>
#
# Turn it round: sort by confidence, the most confident first, and keep the first 1, 2, 3, … images. For each of these
# numbers you know the share of wrong answers. The share goes up *and down*, so look at all of them.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# ```python
# order = np.argsort(-probabilities.max(axis=1), kind="stable")  # the most confident first
# wrong = (probabilities.argmax(axis=1) != y)[order]
# rate = ...  # of the first 1, 2, 3, … images; np.cumsum helps
# good = np.flatnonzero(rate <= error_rate)  # the places where it is low enough
# return ... if len(good) else 1.0
# ```
#
# </details>


# %% tags=["stub"]
def handed_over(probabilities, y, error_rate):
    return ...


# %% tags=["solution"]
def handed_over(probabilities, y, error_rate):
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    wrong = (probabilities.argmax(axis=1) != y)[order]
    rate = np.cumsum(wrong) / np.arange(1, len(y) + 1)
    good = np.flatnonzero(rate <= error_rate)
    return 1 - (good[-1] + 1) / len(y) if len(good) else 1.0


# %% tags=["wrong"]
# says: more than necessary
def handed_over(probabilities, y, error_rate):
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    wrong = (probabilities.argmax(axis=1) != y)[order]
    rate = np.cumsum(wrong) / np.arange(1, len(y) + 1)
    return 1 - (rate > error_rate).argmax() / len(y) if (rate > error_rate).any() else 0.0


# %% tags=["wrong"]
# says: error rate
def handed_over(probabilities, y, error_rate):
    return max(0.0, (probabilities.argmax(axis=1) != y).mean() - error_rate)


# %% tags=["wrong"]
# says: machine
def handed_over(probabilities, y, error_rate):
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    wrong = (probabilities.argmax(axis=1) != y)[order]
    good = np.flatnonzero(np.cumsum(wrong) / np.arange(1, len(y) + 1) <= error_rate)
    return (good[-1] + 1) / len(y) if len(good) else 0.0


# %% tags=["wrong"]
# says: from 0 to 1
def handed_over(probabilities, y, error_rate):
    return len(y)


# %% tags=["wrong"]
# says: more than necessary
def handed_over(probabilities, y, error_rate):
    return 1.0


# %% tags=["wrong"]
# says: more than necessary
def handed_over(probabilities, y, error_rate):
    confidence = probabilities.max(axis=1)
    wrong = probabilities.argmax(axis=1) != y
    return (confidence <= confidence[wrong].max()).mean() if wrong.any() else 0.0


# %% tags=["wrong"]
# says: a quarter may be wrong
def handed_over(probabilities, y, error_rate):  # fewer than error_rate, or none at all
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    wrong = (probabilities.argmax(axis=1) != y)[order]
    rate = np.cumsum(wrong) / np.arange(1, len(y) + 1)
    good = np.flatnonzero((rate < error_rate) | (rate == 0))
    return 1 - (good[-1] + 1) / len(y) if len(good) else 1.0


# %%
exercises.check(5, handed_over)

# %% [markdown]
# ## 6 ★★★ A small network
#
# *20 minutes.* The lesson's network reads 99% of MNIST with 18,378 weights. Get 97% with at most 4,000. Write a function
# that builds a convolutional network, trains it on the images that it receives, and returns the Keras model.
#
# - `x` has shape (images, rows, columns) and holds bytes, 0 to 255; the model takes them as they are. `y` holds
#   numbers from 0 to 9.
# - Use Keras's own layers (no `Lambda`), with `Sequential` or the functional API, and no other images. The check calls
#   your function with 15,000 images. It gives the classes other numbers (the zeros could be called 4), so that nothing
#   can be learned beforehand: `y_val` does not fit inside your function. It counts all weights and reads 10,000 test
#   images.
# - Without MNIST the check takes the small set `digits`. There 93% are enough.
#
# Try your function on the images below before you check it: train on `x`, evaluate on `x_val`. A training of 20
# seconds is enough.

# %%
data = load_dataset("mnist", fallback="digits", seed=0)
x, y = data.x_train[:15_000], data.y_train[:15_000]
x_val, y_val = data.x_train[-5_000:], data.y_train[-5_000:]
print(data.name, x.shape, x.dtype)

# %% [markdown]
# <details><summary>Hint: where to look</summary>
#
# `model.summary()` of the lesson's network: which layer has the most weights, and why? Exercise 1 counts the others.
#
# </details>
#
# <details><summary>Hint: the idea</summary>
#
# Make the image small before the dense layer: with strides, or with more poolings, and few filters everywhere. Then
# there is room for a third convolution. A learning rate that begins high and goes down to 0 gives the last percent.
# `padding="same"` keeps small images from vanishing.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# ```python
# stack = [layers.Rescaling(1 / 255), layers.Reshape((*x.shape[1:], 1))]
# stack += [layers.Conv2D(..., 5, strides=2, padding="same", activation="relu")]
# for filters in (...):
#     stack += [layers.Conv2D(filters, 3, ...), layers.MaxPooling2D()]
# stack += [layers.Flatten(), layers.Dense(10, activation="softmax")]
# model = keras.Sequential([keras.Input(x.shape[1:]), *stack])
# rate = keras.optimizers.schedules.CosineDecay(7e-3, steps)  # in all: epochs times batches
# ```
#
# </details>


# %% tags=["stub"]
def small_cnn(x, y):
    return ...


# %% tags=["solution"]
def small_cnn(x, y):
    stack = [
        layers.Rescaling(1 / 255),
        layers.Reshape((*x.shape[1:], 1)),
        layers.Conv2D(8, 5, strides=2, padding="same", activation="relu"),
    ]
    for filters in (12, 14):
        stack += [layers.Conv2D(filters, 3, padding="same", activation="relu")]
        stack += [layers.MaxPooling2D()]
    stack += [layers.Flatten(), layers.Dense(10, activation="softmax")]
    model = keras.Sequential([keras.Input(x.shape[1:]), *stack])
    epochs = 4 if len(x) > 10_000 else 24
    steps = epochs * -(-len(x) // 64)
    rate = keras.optimizers.schedules.CosineDecay(7e-3, steps)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=epochs, batch_size=64, verbose=0)
    return model


# %% tags=["wrong"]
# says: at most 4,000
def small_cnn(x, y):
    model = keras.Sequential(
        [
            keras.Input((*x.shape[1:], 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(32),
            layers.Dense(10, activation="softmax"),
        ]
    )
    return model


# %% tags=["wrong"]
# says: of the test images
def small_cnn(x, y):  # not trained
    stack = [layers.Conv2D(8, 3), layers.GlobalMaxPooling2D(), layers.Dense(10, "softmax")]
    return keras.Sequential([keras.Input((*x.shape[1:], 1)), *stack])


# %% tags=["wrong"]
# says: is a convolution
def small_cnn(x, y):
    stack = [layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(4, "relu")]
    model = keras.Sequential([keras.Input(x.shape[1:]), *stack, layers.Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x[:2000], y[:2000], epochs=2, verbose=0)
    return model


# %% tags=["wrong"]
# says: own layers
def small_cnn(x, y):  # numbers that nobody counts
    numbers = np.random.default_rng(0).normal(size=(3, 3, 1, 64)).astype("float32")
    frozen = layers.Lambda(lambda images: keras.ops.conv(images, numbers))
    stack = [frozen, layers.GlobalMaxPooling2D(), layers.Dense(10, "softmax")]
    return keras.Sequential([keras.Input((*x.shape[1:], 1)), *stack])


# %% tags=["wrong"]
# says: other images
def small_cnn(x, y):  # learns from the data set itself, not from what it receives
    stack = [layers.Rescaling(1 / 255), layers.Conv2D(8, 3, activation="relu")]
    stack += [layers.MaxPooling2D(), layers.Flatten(), layers.Dense(10, "softmax")]
    model = keras.Sequential([keras.Input((*x.shape[1:], 1)), *stack])
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    model.fit(data.x_test, data.y_test, epochs=5, verbose=0)
    return model


# %% tags=["wrong"]
# says: expected one number for each of 10 classes
def small_cnn(x, y):
    stack = [layers.Conv2D(8, 3), layers.GlobalMaxPooling2D(), layers.Dense(1)]
    return keras.Sequential([keras.Input((*x.shape[1:], 1)), *stack])


# %% tags=["wrong"]
# says: has to take bytes
def small_cnn(x, y):  # divided outside the model
    stack = [layers.Conv2D(8, 3, activation="tanh"), layers.MaxPooling2D(), layers.Flatten()]
    stack += [layers.Dense(10, "softmax")]
    model = keras.Sequential([keras.Input((*x.shape[1:], 1)), *stack])
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    model.fit(x / 255, y, epochs=5, verbose=0)
    return model


# %% tags=["nbval-ignore-output"]
exercises.check(6, small_cnn, data)

# %% [markdown]
# ## 7 ★★★ Which network survives a move?
#
# *20 minutes.* New pictures: chess pieces. Four networks learn to tell six kinds apart. Then each piece stands 6 pixels
# away from where it was. All four have the same three convolutions. They differ in two things only:
#
# | name | after the convolutions | learns from |
# |---|---|---|
# | `flatten` | `Flatten` | pieces in the middle |
# | `global` | `GlobalMaxPooling2D`: of each feature map only the largest number is left | pieces in the middle |
# | `shuffled` | `GlobalMaxPooling2D` | pieces in the middle, all pixels shuffled by `shuffled` |
# | `moved` | `Flatten` | pieces moved by 0, 3 and 6 pixels, a third of the pictures each |
#
# A network *survives* if at least 60% of the moved pieces are right. (Those of `shuffled` are moved first and shuffled
# then.) First predict, then run, then explain.

# %%
from helpers.classroom.checks.lesson_05 import chess, shuffled


def build(last):
    stack = [
        layers.Rescaling(1 / 255),
        layers.Reshape((32, 32, 1)),
        layers.Conv2D(8, 5, strides=2, padding="same", activation="relu"),
        layers.Conv2D(16, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(16, 3, padding="same", activation="relu"),
    ]
    return keras.Sequential([keras.Input((32, 32)), *stack, last, layers.Dense(6, "softmax")])


names = ["king", "queen", "rook", "bishop", "knight", "pawn"]  # the kinds 0 to 5
pieces, kinds = chess(480, seed=0)  # in the middle
moved_pieces, moved_kinds = chess(480, seed=1, move=6)
rows = [pieces[:6], moved_pieces[:6], shuffled(pieces[:6])]
titles = [names[kind] for kind in (*kinds[:6], *moved_kinds[:6], *kinds[:6])]
plots.image_grid(
    np.concatenate(rows), titles, columns=6, title="In the middle, moved, shuffled (first row)"
)

# %% [markdown]
# 1. *Predict*, before you run anything: `True` for each network that you expect to survive.
# 2. *Run*: train the four networks, and put each into a dictionary under its name. Print their shares for pieces in
#    the middle and for moved ones. A few hundred pictures and about ten epochs with `Adam(5e-3)` are enough.
# 3. *Explain*: choose a letter for each of these two questions.
#
# `global`: why is its result not that of `flatten`?
#
# - a) It has fewer weights, and a small network cannot learn places by heart.
# - b) `Flatten` gives each place weights of its own. The largest number of a map is the same wherever it stands.
# - c) Its convolutions find the piece anywhere, those of `flatten` only in the middle.
#
# `shuffled`: why is its result not that of `global`?
#
# - a) From shuffled pixels nothing can be learned.
# - b) The largest number of a map is only noise there.
# - c) After the move the pixels of a piece land on places that have nothing to do with the first ones.
#
# <details><summary>Hint: where to look</summary>
#
# The parts of the lesson on shifted digits and on shuffled pixels.
#
# </details>
#
# <details><summary>Hint: the idea</summary>
#
# Follow one pattern, say the cross of the king. Which numbers of the last feature map does it change, before and
# after the move, and which weights of the dense layer meet these numbers?
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# ```python
# def trained(last, x, y):
#     keras.utils.set_random_seed(0)
#     model = build(last)
#     model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy")
#     model.fit(x, y, epochs=12, batch_size=32, verbose=0)
#     return model
#
# networks = {"flatten": trained(layers.Flatten(), pieces, kinds), "global": ...}
# several = [chess(160, seed, move) for seed, move in ...]  # for "moved"; np.concatenate joins arrays
# for name, network in networks.items():
#     print(name, ...)  # share of the pieces in the middle, share of the moved ones
# ```
#
# </details>

# %% tags=["stub"]
prediction = {"flatten": ..., "global": ..., "shuffled": ..., "moved": ...}
networks = ...
reasons = {"global": ..., "shuffled": ...}

# %% tags=["solution", "nbval-ignore-output"]
prediction = {"flatten": False, "global": True, "shuffled": False, "moved": True}


def trained(last, x, y):
    keras.utils.set_random_seed(0)
    model = build(last)
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=12, batch_size=32, verbose=0)
    return model


several = [chess(160, seed, move) for seed, move in ((10, 0), (11, 3), (12, 6))]
networks = {
    "flatten": trained(layers.Flatten(), pieces, kinds),
    "global": trained(layers.GlobalMaxPooling2D(), pieces, kinds),
    "shuffled": trained(layers.GlobalMaxPooling2D(), shuffled(pieces), kinds),
    "moved": trained(layers.Flatten(), *(np.concatenate(part) for part in zip(*several))),
}
for name, network in networks.items():
    change = shuffled if name == "shuffled" else np.asarray
    for place, x_new, y_new in (("middle", pieces, kinds), ("moved", moved_pieces, moved_kinds)):
        best = network.predict(change(x_new), verbose=0).argmax(axis=1)
        print(f"{name:9} {place:7} {(best == y_new).mean():4.0%}")
reasons = {"global": "b", "shuffled": "c"}


# %% tags=["wrong"]
# says: you predicted that 'flatten' survives
prediction = {"flatten": True, "global": True, "shuffled": False, "moved": True}


def trained(last, x, y):
    keras.utils.set_random_seed(0)
    model = build(last)
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=5, batch_size=32, verbose=0)
    return model


several = [chess(160, seed, move) for seed, move in ((10, 0), (11, 3), (12, 6))]
networks = {
    "flatten": trained(layers.Flatten(), pieces, kinds),
    "global": trained(layers.GlobalMaxPooling2D(), pieces, kinds),
    "shuffled": trained(layers.GlobalMaxPooling2D(), shuffled(pieces), kinds),
    "moved": trained(layers.Flatten(), *(np.concatenate(part) for part in zip(*several))),
}
build.networks = networks  # for the wrong answers below
reasons = {"global": "b", "shuffled": "c"}

# %% tags=["wrong"]
# says: you predicted that 'shuffled' survives
prediction = dict.fromkeys(("flatten", "global", "shuffled", "moved"), True) | {"flatten": False}
networks, reasons = build.networks, {"global": "b", "shuffled": "c"}

# %% tags=["wrong"]
# says: numbers of weights
prediction = {"flatten": False, "global": True, "shuffled": False, "moved": True}
networks, reasons = build.networks, {"global": "a", "shuffled": "c"}

# %% tags=["wrong"]
# says: it has learned them
prediction = {"flatten": False, "global": True, "shuffled": False, "moved": True}
networks, reasons = build.networks, {"global": "b", "shuffled": "a"}

# %% tags=["wrong"]
# says: is it trained
prediction = {"flatten": False, "global": True, "shuffled": False, "moved": True}
networks = build.networks | {"moved": build(layers.Flatten())}
reasons = {"global": "b", "shuffled": "c"}

# %% tags=["wrong"]
# says: as the table says
prediction = {"flatten": False, "global": True, "shuffled": False, "moved": True}
networks = build.networks | {"global": build(layers.GlobalAveragePooling2D())}
reasons = {"global": "b", "shuffled": "c"}

# %% tags=["wrong"]
# says: in the middle only
prediction = {"flatten": True, "global": True, "shuffled": False, "moved": True}
networks = build.networks | {"flatten": keras.models.clone_model(build.networks["moved"])}
networks["flatten"].set_weights(build.networks["moved"].get_weights())
reasons = {"global": "b", "shuffled": "c"}

# %% tags=["wrong"]
# says: its row
prediction = {"flatten": False, "global": True, "shuffled": True, "moved": True}
networks = build.networks | {"shuffled": keras.models.clone_model(build.networks["global"])}
networks["shuffled"].set_weights(build.networks["global"].get_weights())
reasons = {"global": "b", "shuffled": "c"}

# %% tags=["wrong"]
# says: train four
prediction = {"flatten": True, "global": True, "shuffled": True, "moved": True}
networks, reasons = dict.fromkeys(prediction, build.networks["moved"]), {"global": "b"}

# %% tags=["nbval-ignore-output"]
exercises.check(7, prediction, networks, reasons)

# %% [markdown]
# ## 8 ★★★ It trains, and it does not learn
#
# *20 minutes.* Somebody wrote this for chess pieces in colour. It runs without an error. Its accuracy is that of a
# blind guess, 1 of 6. There are four mistakes, in two functions. Write both without them: same arguments, same
# kind of result.
#
# - `x` has shape (pictures, 3, 24, 24) and holds bytes: the three colours come *before* the rows and columns, as in some
#   other libraries. The pictures come sorted by kind, as they lie in folders.
# - `prepare(x)` returns what goes into the network, with shape (pictures, 24, 24, 3). It works on any number of
#   pictures, and on each by itself.
# - `train(prepared, y)` returns a trained network with six outputs. The place of the largest one is its answer.
#
# The check trains on other pictures and counts how many new ones are right. With one mistake left it does not pass.

# %% tags=["nbval-ignore-output"]
from helpers.classroom.checks.lesson_05 import coloured_chess


def broken_prepare(x):
    return x.reshape(-1, 24, 24, 3) / 255


def broken_train(prepared, y):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((24, 24, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(6, activation="relu"),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    history = model.fit(prepared, y, epochs=10, batch_size=32, validation_split=0.2, verbose=0)
    print({name: round(values[-1], 2) for name, values in history.history.items()})
    return model


coloured, coloured_kinds = coloured_chess(480, seed=0)
new, new_kinds = coloured_chess(240, seed=1)
network = broken_train(broken_prepare(coloured), coloured_kinds)
best = network.predict(broken_prepare(new), verbose=0).argmax(axis=1)
print(
    f"new pictures: {(best == new_kinds).mean():.0%} right; answers {np.bincount(best, minlength=6)}"
)

# %% [markdown]
# <details><summary>Hint: where to look</summary>
#
# Follow the pictures. Show one after `prepare` with Matplotlib's `imshow`. Print the smallest and the largest number that reach
# the first convolution. Print `y[-96:]`, the part that `validation_split=0.2` takes away. Last, look at what the last
# layer can say.
#
# </details>
#
# <details><summary>Hint: the idea</summary>
#
# `reshape` keeps the order of the numbers in memory, so it cannot move an axis. Numbers that are divided twice are
# hardly there. Whoever holds out the end of a sorted list holds out whole classes. Logits can be negative.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# ```python
# def prepare(x):
#     return x.transpose(...) / 255
#
# def train(prepared, y):
#     order = np.random.default_rng(0).permutation(len(y))
#     prepared, y = ...
#     ...  # the network as it was, without two mistakes
# ```
#
# </details>


# %% tags=["stub"]
def prepare(x):
    return ...


def train(prepared, y):
    return ...


# %% tags=["solution"]
def prepare(x):
    return x.transpose(0, 2, 3, 1) / 255


def train(prepared, y):
    keras.utils.set_random_seed(0)
    order = np.random.default_rng(0).permutation(len(y))
    prepared, y = prepared[order], y[order]
    stack = [
        layers.Conv2D(8, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(16, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(32, activation="relu"),
        layers.Dense(6),
    ]
    model = keras.Sequential([keras.Input((24, 24, 3)), *stack])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    model.fit(prepared, y, epochs=10, batch_size=32, validation_split=0.2, verbose=0)
    return model


# %% tags=["wrong"]
# says: stay together
def prepare(x):
    return x.reshape(-1, 24, 24, 3) / 255


def train(prepared, y):
    return broken_train(255 * prepared, y)


# %% tags=["wrong"]
# says: rows and columns
def prepare(x):
    return x.T.transpose(3, 0, 1, 2) / 255


def train(prepared, y):
    return broken_train(255 * prepared, y)


# %% tags=["wrong"]
# says: does not learn at all
def prepare(x):
    return x.transpose(0, 2, 3, 1) / 255


def train(prepared, y):  # still divided twice
    keras.utils.set_random_seed(0)
    stack = [layers.Rescaling(1 / 255), layers.Conv2D(8, 3, activation="relu")]
    stack += [layers.MaxPooling2D(), layers.Flatten(), layers.Dense(6, activation="softmax")]
    model = keras.Sequential([keras.Input((24, 24, 3)), *stack])
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    order = np.random.default_rng(0).permutation(len(y))
    model.fit(prepared[order], y[order], epochs=1, batch_size=32, verbose=0)
    return model


# %% tags=["wrong"]
# says: so small
def prepare(x):
    return x.transpose(0, 2, 3, 1) / 255


def train(prepared, y):  # divided twice, and it learns nevertheless, from large weights
    keras.utils.set_random_seed(0)
    large = keras.initializers.RandomNormal(stddev=50)
    stack = [layers.Rescaling(1 / 255)]
    stack += [layers.Conv2D(8, 3, activation="relu", kernel_initializer=large)]
    stack += [layers.MaxPooling2D(), layers.Conv2D(16, 3, activation="relu")]
    stack += [layers.MaxPooling2D(), layers.Flatten(), layers.Dense(6, activation="softmax")]
    model = keras.Sequential([keras.Input((24, 24, 3)), *stack])
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    order = np.random.default_rng(0).permutation(len(y))
    model.fit(prepared[order], y[order], epochs=5, batch_size=32, verbose=0)
    return model


# %% tags=["wrong"]
# says: called pawn
def prepare(x):
    return x.transpose(0, 2, 3, 1) / 255


def train(prepared, y):  # still the end of a sorted list
    keras.utils.set_random_seed(0)
    stack = [layers.Conv2D(8, 3, activation="relu"), layers.MaxPooling2D()]
    stack += [layers.Conv2D(16, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten()]
    stack += [layers.Dense(32, activation="relu"), layers.Dense(6, activation="softmax")]
    model = keras.Sequential([keras.Input((24, 24, 3)), *stack])
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(prepared, y, epochs=4, batch_size=32, validation_split=0.2, verbose=0)
    return model


# %% tags=["wrong"]
# says: of new pictures are right
def prepare(x):
    return x.transpose(0, 2, 3, 1) / 255


def train(prepared, y):  # the pictures are shuffled, their kinds are not
    keras.utils.set_random_seed(0)
    stack = [layers.Conv2D(8, 3, activation="relu"), layers.MaxPooling2D()]
    stack += [layers.Conv2D(16, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten()]
    stack += [layers.Dense(32, activation="relu"), layers.Dense(6, activation="softmax")]
    model = keras.Sequential([keras.Input((24, 24, 3)), *stack])
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    order = np.random.default_rng(0).permutation(len(y))
    model.fit(prepared[order], y, epochs=3, batch_size=32, verbose=0)
    return model


# %% tags=["wrong"]
# says: last layer
def prepare(x):
    return x.transpose(0, 2, 3, 1)


def train(prepared, y):  # still no negative logits
    order = np.random.default_rng(0).permutation(len(y))
    return broken_train(prepared[order], y[order])


# %% tags=["nbval-ignore-output"]
exercises.check(8, prepare, train)

# %%
exercises.score()
