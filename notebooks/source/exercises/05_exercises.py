# %% [markdown]
# # 05 · Exercises: convolutional networks
#
# Four exercises, about 40 minutes. Replace each `...` by your own code, run the cell, then run the check below it.
# The lesson is [05 · Convolutional networks](../05_convolutional_networks.ipynb).

# %%
from helpers.classroom import Exercises

import numpy as np

exercises = Exercises("05")

# %% [markdown]
# ## 1 ★ Count the weights
#
# *6 minutes.* A convolution has `filters` filters of `size`×`size` over an input with `channels` channels. Return the
# number of its parameters, biases included.
#
# <details><summary>Hint: where to look</summary>
#
# Section 2. A filter looks at all channels of its input at once.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# One filter has `size * size` weights for each channel, and one bias.
#
# </details>


# %% tags=["stub"]
def count_weights(size, channels, filters):
    return ...


# %% tags=["solution"]
def count_weights(size, channels, filters):
    return filters * (size * size * channels + 1)


# %% tags=["wrong"]
# says: biases
def count_weights(size, channels, filters):
    return filters * size * size * channels


# %% tags=["wrong"]
# says: channels
def count_weights(size, channels, filters):
    return filters * (size * size + 1)


# %% tags=["wrong"]
# says: one bias
def count_weights(size, channels, filters):
    return filters * channels * (size * size + 1)


# %%
exercises.check(1, count_weights)

# %% [markdown]
# ## 2 ★★ A convolution with channels
#
# *12 minutes.* Compute one filter over an image with channels, without padding: `image` has shape (rows, columns,
# channels), `kernel` has shape (k, k, channels). The result has one number for each place where the kernel fits in.
# As in all deep-learning libraries, the kernel is not turned around.
#
# <details><summary>Hint: where to look</summary>
#
# `convolve` in section 2 does it for a grey image and k = 3.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# Two loops over the places; at each, `(image[i : i + k, j : j + k] * kernel).sum()`. There are `rows - k + 1` places
# from top to bottom.
#
# </details>


# %% tags=["stub"]
def convolve(image, kernel):
    return ...


# %% tags=["solution"]
def convolve(image, kernel):
    k = len(kernel)
    rows, columns = image.shape[0] - k + 1, image.shape[1] - k + 1
    result = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            result[i, j] = (image[i : i + k, j : j + k] * kernel).sum()
    return result


# %% tags=["wrong"]
# says: turned around
def convolve(image, kernel):
    k = len(kernel)
    rows, columns = image.shape[0] - k + 1, image.shape[1] - k + 1
    turned = kernel[::-1, ::-1]
    return np.array(
        [
            [(image[i : i + k, j : j + k] * turned).sum() for j in range(columns)]
            for i in range(rows)
        ]
    )


# %% tags=["wrong"]
# says: expected shape
def convolve(image, kernel):
    k = len(kernel)
    rows, columns = image.shape[0] - k, image.shape[1] - k
    return np.array(
        [
            [(image[i : i + k, j : j + k] * kernel).sum() for j in range(columns)]
            for i in range(rows)
        ]
    )


# %% tags=["wrong"]
# says: all channels
def convolve(image, kernel):
    k = len(kernel)
    rows, columns = image.shape[0] - k + 1, image.shape[1] - k + 1
    return np.array(
        [
            [(image[i : i + k, j : j + k, 0] * kernel[..., 0]).sum() for j in range(columns)]
            for i in range(rows)
        ]
    )


# %%
exercises.check(2, convolve)

# %% [markdown]
# ## 3 ★★ Refuse to answer
#
# *12 minutes.* A bank lets a person read what the machine is unsure of. Given the probabilities of the network (n,
# classes) and the true classes, return the smallest share of the images that has to be handed over, the least
# confident first, so that at most `error_rate` of the others are wrong. If that is never reached, it is 1.
#
# <details><summary>Hint: where to look</summary>
#
# Section 6, calibration: the confidence of an answer is its largest probability.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# Sort by confidence, the most confident first. The error rate among the first k is `np.cumsum(wrong) / np.arange(1, n
# + 1)`. You want the *largest* k that is good enough.
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


# %%
exercises.check(3, handed_over)

# %% [markdown]
# ## 4 ★★★ Shift
#
# *10 minutes.* Augmentation by hand: shift each image of a batch (n, rows, columns) by a whole number of pixels, from
# −1 to 1 in each direction, drawn anew for each image with `rng.integers(-1, 2, size=2)`: first down, then right. What
# is shifted in is 0. Nothing may come back on the other side, and the batch that you receive stays as it is.
#
# <details><summary>Hint: where to look</summary>
#
# Section 5. `np.roll` moves the pixels, but what leaves on the right comes back on the left.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# `padded = np.pad(image, 1)` has a border of zeros; the shifted image is a part of it: rows `1 - down : 1 - down +
# rows`.
#
# </details>


# %% tags=["stub"]
def shift(images, rng):
    return ...


# %% tags=["solution"]
def shift(images, rng):
    rows, columns = images.shape[1:]
    result = np.empty_like(images)
    for i, image in enumerate(images):
        down, right = rng.integers(-1, 2, size=2)
        padded = np.pad(image, 1)
        result[i] = padded[1 - down : 1 - down + rows, 1 - right : 1 - right + columns]
    return result


# %% tags=["wrong"]
# says: other side
def shift(images, rng):
    return np.stack([np.roll(image, rng.integers(-1, 2, size=2), axis=(0, 1)) for image in images])


# %% tags=["wrong"]
# says: not shifted
def shift(images, rng):
    return images.copy()


# %% tags=["wrong"]
# says: the same shift
def shift(images, rng):
    rows, columns = images.shape[1:]
    down, right = rng.integers(-1, 2, size=2)
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    return padded[:, 1 - down : 1 - down + rows, 1 - right : 1 - right + columns]


# %% tags=["wrong"]
# says: other way
def shift(images, rng):
    rows, columns = images.shape[1:]
    result = np.empty_like(images)
    for i, image in enumerate(images):
        down, right = rng.integers(-1, 2, size=2)
        padded = np.pad(image, 1)
        result[i] = padded[1 + down : 1 + down + rows, 1 + right : 1 + right + columns]
    return result


# %%
exercises.check(4, shift)

# %%
exercises.score()
