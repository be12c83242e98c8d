# %% [markdown]
# # 07 · Exercises: pretrained networks
#
# Three exercises, about 40 minutes. Replace each `...` by your own code, run the cell, then run the check below it.
# The lesson is [07 · Pretrained networks](../07_pretrained_networks.ipynb).

# %%
from helpers.classroom import Exercises

import numpy as np

exercises = Exercises("07")

# %% [markdown]
# ## 1 ★ The size of a VGG
#
# *12 minutes.* A VGG network is built from one piece: 3×3 convolutions with a bias for each filter, then dense layers with a bias for each neuron. `channels` lists
# the channels from the input on, `dense` the neurons of the dense layers, `places` how many places of the last
# convolution's channels the first dense layer is connected to. VGG16 has the channels 3, 64, 64, 128, 128, 256, 256,
# 256, 512, 512, 512, 512, 512, 512, the dense layers 4096, 4096, 1000, and 7·7 places. Return the number of its
# parameters.
#
# <details><summary>Hint: where to look</summary>
#
# Lesson 05, exercise 1, for the convolutions; lesson 04, exercise 1, for the dense layers.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# Go through the neighbours of `channels` with `9 * a * b + b`. The first dense layer has `places * channels[-1]`
# inputs.
#
# </details>


# %% tags=["stub"]
def count_vgg(channels, dense, places):
    return ...


# %% tags=["solution"]
def count_vgg(channels, dense, places):
    sizes = [places * channels[-1], *dense]
    total = sum(9 * a * b + b for a, b in zip(channels, channels[1:]))
    return total + sum(a * b + b for a, b in zip(sizes, sizes[1:]))


# %% tags=["wrong"]
# says: biases
def count_vgg(channels, dense, places):
    sizes = [places * channels[-1], *dense]
    total = sum(9 * a * b for a, b in zip(channels, channels[1:]))
    return total + sum(a * b for a, b in zip(sizes, sizes[1:]))


# %% tags=["wrong"]
# says: places
def count_vgg(channels, dense, places):
    sizes = [channels[-1], *dense]
    total = sum(9 * a * b + b for a, b in zip(channels, channels[1:]))
    return total + sum(a * b + b for a, b in zip(sizes, sizes[1:]))


# %% tags=["wrong"]
# says: too
def count_vgg(channels, dense, places):
    return 138_357_544


# %%
exercises.check(1, count_vgg)

# %% [markdown]
# ## 2 ★★ Preprocess by hand
#
# *10 minutes.* VGG16 was trained on photos with blue first, and the mean of ImageNet taken off: 103.939 for blue,
# 116.779 for green, 123.68 for red. Bring photos (n, rows, columns, 3) of bytes in the usual order red, green, blue
# into that form.
#
# <details><summary>Hint: where to look</summary>
#
# Section 3. Mind lesson 02: what is 3 − 5 with bytes?
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# `photos[..., ::-1]` turns the last axis around; an array of three numbers is subtracted from each pixel.
#
# </details>


# %% tags=["stub"]
def preprocess(photos):
    return ...


# %% tags=["solution"]
def preprocess(photos):
    return photos[..., ::-1] - np.array([103.939, 116.779, 123.68])


# %% tags=["wrong"]
# says: red and blue
def preprocess(photos):
    return photos - np.array([123.68, 116.779, 103.939])


# %% tags=["wrong"]
# says: of the wrong channel
def preprocess(photos):
    return photos[..., ::-1] - np.array([123.68, 116.779, 103.939])


# %% tags=["wrong"]
# says: bytes
def preprocess(photos):
    return photos[..., ::-1] - np.array([103.939, 116.779, 123.68]).astype("uint8")


# %% tags=["wrong"]
# says: 255
def preprocess(photos):
    return photos[..., ::-1] / 255 - np.array([103.939, 116.779, 123.68]) / 255


# %%
exercises.check(2, preprocess)

# %% [markdown]
# ## 3 ★★★ Occlusion by hand
#
# *18 minutes.* What does an answer rest on? `probability` is a function that takes one photo (rows, columns, 3) and
# returns the probability of the class. Cover the photo with a grey square (value 128) of `size`×`size` pixels, at the
# places 0, `size`, 2·`size`, … that fit in completely, from the top and from the left. Return an array with one number
# for each place: how much the probability has fallen. The photo itself stays as it is.
#
# <details><summary>Hint: where to look</summary>
#
# Section 4, occlusion.
#
# </details>
#
# <details><summary>Hint: a skeleton</summary>
#
# Two loops; in each a *copy* of the photo, a grey square, and the probability without minus the probability with it.
#
# </details>


# %% tags=["stub"]
def occlusion(probability, photo, size):
    return ...


# %% tags=["solution"]
def occlusion(probability, photo, size):
    before = probability(photo)
    rows, columns = photo.shape[0] // size, photo.shape[1] // size
    lost = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            covered = photo.copy()
            covered[i * size : (i + 1) * size, j * size : (j + 1) * size] = 128
            lost[i, j] = before - probability(covered)
    return lost


# %% tags=["wrong"]
# says: changes what
def occlusion(probability, photo, size):
    before = probability(photo)
    rows, columns = photo.shape[0] // size, photo.shape[1] // size
    lost = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            photo[i * size : (i + 1) * size, j * size : (j + 1) * size] = 128
            lost[i, j] = before - probability(photo)
    return lost


# %% tags=["wrong"]
# says: sign
def occlusion(probability, photo, size):
    before = probability(photo)
    rows, columns = photo.shape[0] // size, photo.shape[1] // size
    lost = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            covered = photo.copy()
            covered[i * size : (i + 1) * size, j * size : (j + 1) * size] = 128
            lost[i, j] = probability(covered) - before
    return lost


# %% tags=["wrong"]
# says: fallen
def occlusion(probability, photo, size):
    rows, columns = photo.shape[0] // size, photo.shape[1] // size
    kept = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            covered = photo.copy()
            covered[i * size : (i + 1) * size, j * size : (j + 1) * size] = 128
            kept[i, j] = probability(covered)
    return kept


# %% tags=["wrong"]
# says: grey
def occlusion(probability, photo, size):
    before = probability(photo)
    rows, columns = photo.shape[0] // size, photo.shape[1] // size
    lost = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            covered = photo.copy()
            covered[i * size : (i + 1) * size, j * size : (j + 1) * size] = 0
            lost[i, j] = before - probability(covered)
    return lost


# %% tags=["wrong"]
# says: expected one photo
def occlusion(probability, photo, size):
    rows, columns = photo.shape[0] // size, photo.shape[1] // size
    lost = np.empty((rows, columns))
    for i, j in np.ndindex(rows, columns):
        covered = photo.copy()
        covered[i * size : (i + 1) * size, j * size : (j + 1) * size] = 128
        lost[i, j] = probability(photo[None]) - probability(covered[None])
    return lost


# %%
exercises.check(3, occlusion)

# %%
exercises.score()
