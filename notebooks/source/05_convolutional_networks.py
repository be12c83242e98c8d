# %% [markdown]
# # 05 · Convolutional networks: a machine that reads your handwriting
#
# Draw a digit on the pad below, with the mouse or with a finger. At the moment nothing reads it. At the end of this
# lesson a network reads it that you have trained yourself, on all 60,000 digits of MNIST, in about a minute.
#
# | | |
# |---|---|
# | Time | 4 hours, in two or three sittings: 2 hours to read and try, 113 minutes for the [exercises](exercises/05_exercises.ipynb); it runs in 2½ minutes |
# | You will learn | convolution, padding, stride, channels, receptive field, pooling; two classic networks in Keras; augmentation; looking inside; error analysis and calibration; skip connections; colour |
# | You need | lessons [03](03_neural_networks.ipynb) and [04](04_training_with_keras.ipynb): loss, optimizer, `Sequential`, `compile`, `fit` |

# %%
from typing import Optional

from helpers import plots
from helpers.classroom import check, choose, interact, reveal
from helpers.classroom.pad import DRAWN_DIGITS, DrawingPad, draw_digit
from helpers.datasets import load_dataset
from helpers.files import measured_dir
from helpers.runs import record

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from keras import layers
from scipy.stats import t

# %% tags=["parameters"]
dataset: str = "mnist"  # an image set: a name (mnist, fashion_mnist, digits) or a path
n_samples: Optional[int] = None  # at most this many training images; None for all
epochs: int = 4  # times through all of them, in section 10
batch_size: int = 64  # images in a step
learning_rate: float = 0.003  # the largest one, in section 10
n_few: int = 6_000  # training images of the short trainings
few_epochs: int = 4  # times through these
seed: int = 0  # of every random choice below

# %%
data = load_dataset(dataset, fallback="digits", image_size=(28, 28), seed=seed)
data = data.subset(n_samples, seed)
data

# %% tags=["hide"]
if len(data.input_shape) == 3:  # colour: the mean of the channels
    grey = {part: x.mean(axis=3).astype(np.uint8) for part, (x, y) in data.parts.items()}
    data = data.replace(**{f"x_{part}": x for part, x in grey.items()})
n_classes = data.class_count
is_mnist = data.name == "mnist" and len(data.x_train) == 60_000  # what some claims are about

# %%
x_train, y_train = data.x_train[..., None], data.y_train  # None adds an axis: (n, 28, 28, 1)
x_test, y_test = data.x_test[..., None], data.y_test
few, few_labels = x_train[:n_few], y_train[:n_few]

# %% [markdown]
# ## 1 · Your digit
#
# Here is the pad. Where nobody can draw, as on a printed page, the code draws a digit itself.

# %%
DrawingPad()

# %% [markdown]
# A drawing becomes an image like those of MNIST: 28×28 numbers from 0 to 255. Here are ten digits that strokes in
# the code have drawn, and ten from MNIST.

# %%
drawn = np.stack([draw_digit(strokes) for strokes in DRAWN_DIGITS.values()])[..., None]
plots.image_rows({"drawn": drawn, "data set": x_test[:10]})

# %% [markdown]
# The drawn ones are cleaner than most of MNIST. Now the network of lesson 04: dense, 128 hidden
# neurons. It learns from a part of the images.

# %% tags=["nbval-ignore-output"]
keras.utils.set_random_seed(seed)
dense = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        layers.Rescaling(1 / 255),
        layers.Flatten(),
        layers.Dense(128, activation="relu"),
        layers.Dense(n_classes, activation="softmax"),
    ]
)
dense.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
dense.fit(few, few_labels, batch_size, 2 * few_epochs, verbose=0)
dense_accuracy = dense.evaluate(x_test, y_test, verbose=0)[1]
print(f"{dense_accuracy:.1%} of the test images are right")

# %% [markdown]
# Now the same test images, moved to the right by 4 pixels. A digit of MNIST fits a box of 20×20 pixels, with its centre
# of mass in the middle, so hardly any ink leaves the image. Which share of the moved images does the network read?

# %%
guess = None  # a share, from 0 to 1


# %% tags=["nbval-ignore-output"]
def move(images, pixels):
    """Return images moved to the right; zeros come in from the left."""
    wider = np.pad(images, [(0, 0), (0, 0), (pixels, 0), (0, 0)])  # zeros before the columns
    return wider[:, :, : images.shape[2]]


moved = move(x_test, 4)
moved_accuracy = dense.evaluate(moved, y_test, verbose=0)[1]
reveal(guess, moved_accuracy, f"Unmoved it was {dense_accuracy:.3f}.")

# %% tags=["nbval-ignore-output"]
both = np.concatenate([drawn, move(drawn, 4)])
answers = dense.predict(both, verbose=0)
titles = [f"{p.argmax()} ({p.max():.0%})" for p in answers]
plots.image_grid(
    both, titles, title="What the dense network says: in the middle, and moved by 4 pixels"
)

# %% tags=["nbval-ignore-output", "hide"]
check(
    moved_accuracy < dense_accuracy - 0.3,
    "a shift of 4 pixels is a disaster for it",
    required=is_mnist,
)

# %% [markdown]
# You read these digits without noticing that they have moved. The network reads four of the ten. Why?
#
# *Remember: test a network on what its users will do, not only on the test set.*
#
# ## 2 · What a dense network does not know
#
# Shuffle the pixels of all images, each image with the *same* shuffle. You cannot read them any more.

# %%
order = np.random.default_rng(seed).permutation(28 * 28)


def shuffle_pixels(images):
    return images.reshape(len(images), -1)[:, order].reshape(images.shape)


plots.image_rows({"as they are": x_test[:8], "shuffled": shuffle_pixels(x_test[:8])})

# %% [markdown]
# A fresh dense network learns from shuffled images and is tested on shuffled images. How many percentage points of
# accuracy does it lose?

# %%
guess = None  # a number of points

# %% tags=["nbval-ignore-output"]
keras.utils.set_random_seed(seed)
shuffled = keras.models.clone_model(dense)  # the same layers, fresh weights
shuffled.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
shuffled.fit(shuffle_pixels(few), few_labels, batch_size, 2 * few_epochs, verbose=0)
shuffled_accuracy = shuffled.evaluate(shuffle_pixels(x_test), y_test, verbose=0)[1]
print(f"as they are {dense_accuracy:.1%}, shuffled {shuffled_accuracy:.1%}")

# %% tags=["nbval-ignore-output"]
lost = 100 * (dense_accuracy - shuffled_accuracy)
reveal(guess, lost, "One run each: a point more or less is luck.")

# %% tags=["nbval-ignore-output", "hide"]
check(abs(lost) < 3, "the dense network hardly notices the shuffle", required=is_mnist)

# %% [markdown]
# A dense layer has a weight for each pixel. It does not know which pixels are neighbours, so a shuffle costs it
# nothing. Nor does it know that a 3 on the right is the 3 from the middle: there it has other weights.
#
# We know two things about pictures that it does not know:
#
# 1. *Near things belong together.* An edge, a corner, a dot can be seen in a small window.
# 2. *The same thing can be anywhere.* So the same weights should look at every place.
#
# *Remember: a dense layer knows nothing about neighbours.*
#
# ## 3 · A window of nine weights
#
# A **convolution** builds both ideas in. A small square of weights, the **kernel**, slides over the image like a
# window. At each place, weights and pixels are multiplied, and the products are added up to one number. Move the window.

# %% tags=["hide"]
numbers = np.array(
    [[0, 0, 0, 9, 8], [0, 0, 8, 9, 0], [0, 0, 9, 7, 0], [0, 8, 9, 0, 0], [0, 9, 8, 0, 0]]
)
left_right = np.array([[1, 0, -1], [1, 0, -1], [1, 0, -1]])


def frame(axes, row, column, size):
    left, right, top, bottom = column - 0.5, column + size - 0.5, row - 0.5, row + size - 0.5
    axes.plot(
        [left, right, right, left, left], [top, top, bottom, bottom, top], color="#D55E00", lw=3
    )


def number_square(axes, values, title):
    """Draw a table of numbers as squares; negative ones are red, positive ones blue."""
    most = 40 if np.abs(values).max() > 5 else 4
    cmap, lowest, highest = ("RdBu", -most, most) if values.min() < 0 else ("Greys", 0, 24)
    axes.imshow(values, cmap=cmap, vmin=lowest, vmax=highest)
    for (row, column), value in np.ndenumerate(values):
        axes.text(column, row, f"{value:g}", ha="center", va="center", fontsize=11)
    axes.set(
        xticks=[], yticks=[], xlim=(-0.5, len(values[0]) - 0.5), ylim=(len(values) - 0.5, -0.5)
    )
    axes.set_title(title, fontsize=10)


# %% tags=["hide"]
def window_picture(place, zeros=0, stride=1):
    """Draw the window at one of its places, the nine products, and the answer."""
    image = np.pad(numbers, zeros)
    answer = convolve(image, left_right)[::stride, ::stride]
    row, column = divmod(min(place, answer.size - 1), answer.shape[1])
    i, j = stride * row, stride * column
    products = image[i : i + 3, j : j + 3] * left_right
    figure, panels = plots.subplots(
        1, 4, width=9, height=2.6,
        alt=f"A window of 3×3 over {len(image)}×{len(image)} numbers; at place {place} its products add up to {products.sum()}.",
    )  # fmt: skip
    number_square(panels[0], image, "image" + zeros * " with zeros around")
    frame(panels[0], i, j, 3)
    number_square(panels[1], left_right, "kernel")
    number_square(panels[2], products, f"products: their sum is {products.sum()}")
    number_square(panels[3], answer, "answer")
    frame(panels[3], row, column, 1)
    return figure


# %%
def convolve(image, kernel):
    """Slide a kernel over an image; return one number for each place."""
    high, wide = kernel.shape
    answer = np.zeros((image.shape[0] - high + 1, image.shape[1] - wide + 1))
    for i, j in np.ndindex(answer.shape):
        answer[i, j] = (image[i : i + high, j : j + wide] * kernel).sum()
    return answer


# %% tags=["nbval-ignore-output"]
@interact(place=(0, 8))
def show(place=0):
    return window_picture(place)


# %%
window_picture(4)

# %% [markdown]
# This kernel has +1 on its left and −1 on its right. Where left and right are alike, the sum is 0. It answers to
# vertical edges: positive where the ink is on the left of the window, negative where it is on the right.
#
# Two kernels and a digit. Blue is positive, red is negative.

# %%
digit = x_train[0, :, :, 0] / 255
kernels = {"vertical edges": left_right, "horizontal edges": left_right.T}
edges = {name: convolve(digit, kernel) for name, kernel in kernels.items()}

# %% tags=["hide"]
figure, panels = plots.subplots(
    1, 3, width=7.5, height=2.6, alt="A digit and what two kernels answer to it."
)
panels[0].imshow(digit, cmap="Greys")
panels[0].set_title("image", fontsize=10)
for panel, (name, answer) in zip(panels[1:], edges.items()):
    shown = panel.imshow(answer, cmap="RdBu", vmin=-3, vmax=3)
    panel.set_title(name, fontsize=10)
for panel in panels:
    panel.set_axis_off()
figure.colorbar(shown, ax=panels, shrink=0.8, label="sum of products")
figure

# %% [markdown]
# In Keras the layer is called `Conv2D`. It computes the same, for an image $x$ and a kernel $K$ of 3×3:
#
# $$y_{i,j} = \sum_{u=0}^{2} \sum_{v=0}^{2} x_{i+u,\, j+v} \, K_{u,v}$$
#
# Mathematicians call this a **cross-correlation**. Their convolution rotates the kernel by 180° first; libraries for
# deep learning do not. Keras wants four axes, so we `reshape`: (images, rows, columns, channels) for images and (rows,
# columns, channels in, channels out) for kernels. The next section explains channels.

# %%
layer = keras.layers.Conv2D(filters=1, kernel_size=3, use_bias=False)
layer.build((None, 28, 28, 1))
layer.set_weights([left_right.reshape(3, 3, 1, 1)])
by_keras = np.asarray(layer(digit.reshape(1, 28, 28, 1)))[0, :, :, 0]
check(
    np.allclose(by_keras, edges["vertical edges"], atol=1e-5),
    "Keras computes what our loop computes",
)

# %% [markdown]
# *Remember: a convolution is one small window of weights, the same at every place.*
#
# ## 4 · Border, step, channels
#
# ### Padding and stride
#
# A 3×3 window fits into 5×5 numbers at 3×3 places, so the answer is smaller than the image. **Padding** puts zeros
# around the image first: here one row and one column on each side, and the window has 5×5 places. **Stride** is the step
# of the window: with 2 it jumps over every second place.


# %% tags=["nbval-ignore-output"]
@interact(place=(0, 24), zeros=(0, 1), stride=(1, 2))
def show_border(place=0, zeros=1, stride=1):
    return window_picture(place, zeros, stride)


# %%
window_picture(1, zeros=1, stride=2)

# %% [markdown]
# Keras has two names. `padding="valid"` puts no zeros. `padding="same"` puts so many that with a stride of 1 the answer
# is as large as the image. With $n$ pixels in a row, a kernel of $k$ and a stride of $s$, there are
#
# $$\left\lfloor \frac{n - k}{s} \right\rfloor + 1 \;\text{(valid)} \qquad \left\lceil \frac{n}{s} \right\rceil \;\text{(same)}$$
#
# places in a row. The first bracket rounds down, the second rounds up. 28 pixels, a kernel of 5, a stride of 2, no
# padding: how many places in a row?

# %%
guess = None  # a whole number

# %%
sizes = {
    (kernel, stride, padding): layers.Conv2D(
        filters=1, kernel_size=kernel, strides=stride, padding=padding
    )(x_test[:1] / 255).shape[1]
    for kernel in (3, 5)
    for stride in (1, 2)
    for padding in ("valid", "same")
}
pd.Series(sizes, name="places in a row").rename_axis(["kernel", "stride", "padding"]).to_frame()

# %%
reveal(guess, sizes[5, 2, "valid"], "(28 − 5) / 2 is 11.5; rounded down and plus 1 it is 12.")

# %% [markdown]
# ### Four axes
#
# `Conv2D` wants four axes: images, rows, columns, channels. A grey image has one channel, a colour image three: red,
# green, blue. `Conv2D(16, 3)` slides 16 windows over the image and gives 16 answers at each place, so its output has
# 16 channels.

# %%
first, second = layers.Conv2D(16, 3, activation="relu"), layers.Conv2D(32, 3)  # random weights
maps = np.asarray(first(x_test[:8] / 255))
answers = np.asarray(second(maps))
print("images", x_test[:8].shape, "→ first layer", maps.shape, "→ second layer", answers.shape)

# %% [markdown]
# All that makes one output channel is called a **filter**: a kernel for each *input* channel, and a bias. The picture
# that it makes is its **feature map**. A filter of the second layer looks at all 16 maps of the first at once. It has a
# 3×3 kernel for each of them, adds up the 16 answers, and adds its bias $b_f$:
#
# $$\underbrace{y_{i,j,f}}_{\text{rows} \times \text{columns} \times 32} = b_f + \sum_{u,v} \sum_{c=1}^{16}
# \underbrace{x_{i+u,\, j+v,\, c}}_{\text{rows} \times \text{columns} \times 16} \; \underbrace{K_{u,v,c,f}}_{3 \times 3
# \times 16 \times 32}$$
#
# How many weights has the second layer, biases included?

# %%
guess = None  # a whole number

# %%
kernel, bias = second.get_weights()
print("kernel", kernel.shape, "bias", bias.shape)
reveal(guess, second.count_params(), "3 · 3 · 16 · 32 weights and 32 biases.")

# %%
one_filter = sum(convolve(maps[0, :, :, c], kernel[:, :, c, 0]) for c in range(16)) + bias[0]
check(
    np.allclose(one_filter, answers[0, :, :, 0], atol=1e-4),
    "a filter adds up what its kernels answer to all channels",
)

# %% [markdown]
# ### Receptive field
#
# One number of the first layer has seen 3×3 pixels. One number of the second layer has seen 3×3 numbers of the first,
# and so 5×5 pixels. The pixels that a number depends on are its **receptive field**. It grows from layer to layer. Here
# is one row, seen from the side:

# %% tags=["hide"]
figure, axes = plots.subplots(
    width=6.5,
    height=2.4,
    alt="One number of the second layer depends on three numbers of the first and on five pixels.",
)
for level, (name, count) in enumerate({"pixels": 7, "first layer": 5, "second layer": 3}.items()):
    places = np.arange(count) + level
    seen = np.abs(places - 3) <= 2 - level
    axes.scatter(places, [level] * count, s=260, marker="s", zorder=3,
                 c=np.where(seen, "#D55E00", "white"), edgecolors="0.4")  # fmt: skip
    axes.text(-1, level, name, ha="right", va="center")
    for place in places[seen] if level else ():
        for below in (-1, 0, 1):
            axes.plot([place, place + below], [level, level - 1], color="#D55E00", lw=1)
axes.set(xlim=(-3, 7), ylim=(-0.6, 2.6))
axes.set_axis_off()
figure

# %% [markdown]
# *Remember: (images, rows, columns, channels). A filter looks at all channels of a small window.*
#
# ## 5 · Pooling: the largest of four
#
# Back to the digit that moves. It moves by 4 pixels to the right. What does its map of vertical edges do?

# %%
guess = None  # "stays as it is", "moves too" or "changes"

# %%
moved_digit = move(x_train[:1], 4)[0, :, :, 0] / 255
moved_edges = convolve(moved_digit, left_right)
same = np.allclose(moved_edges[:, 4:], edges["vertical edges"][:, :-4])
reveal(
    guess, "moves too" if same else "changes", "By 4 pixels. What stays on the map is unchanged."
)

# %% [markdown]
# A convolution is **equivariant**, with a stride of 1 and away from the border: what moves in the image moves in the
# map. That is half of what we want. If a dense layer comes next, it has a weight for each place of the map, and a map
# that has moved is a new map to it. Something has to forget the place.
#
# **Pooling** replaces each 2×2 square of a map by one number. *Max* pooling takes the largest, so a quarter of the
# numbers is left. In NumPy it is one line: split rows and columns into pairs, and take the maximum over each pair.

# %%
square = np.array([[1, 0, 2, 7], [4, 2, 0, 1], [0, 0, 3, 3], [5, 0, 1, 8]])
pooled = square.reshape(2, 2, 2, 2).max(axis=(1, 3))  # (pair of rows, row, pair of columns, column)
by_keras = np.asarray(layers.MaxPooling2D(2)(square.reshape(1, 4, 4, 1).astype("float32")))
check(np.array_equal(pooled, by_keras[0, :, :, 0]), "MaxPooling2D keeps the largest of each 2×2")

# %% tags=["hide"]
figure, panels = plots.subplots(
    1, 2, width=5, height=2.4, alt="4×4 numbers and the largest of each 2×2."
)
number_square(panels[0], square, "before")
number_square(panels[1], pooled, "after")
for row in (0, 2):
    for column in (0, 2):
        frame(panels[0], row, column, 2)
figure

# %% [markdown]
# Does it forget the place? Move 500 digits by one pixel, and look for each moved digit among the 500: which of them has
# the most similar maps? Is it the same digit? But a digit might be found by its thickness alone. So a second test: is
# the nearest *other* digit one of the same kind? We pool once and twice, and finally use **global pooling**, which
# keeps one number of a whole map, here the largest. The 16 filters are the random ones from section 4. How will global
# pooling do in the second test?

# %%
guess = None  # a share, from 0 to 1


# %% tags=["nbval-ignore-output"]
from sklearn.metrics import euclidean_distances


def two_tests(maps, moved_maps):
    """Return how often a moved digit finds itself, and a digit another one of its kind."""
    a, b = maps.reshape(len(maps), -1), moved_maps.reshape(len(maps), -1)
    finds_itself = euclidean_distances(b, a).argmin(axis=1) == np.arange(len(a))
    among_others = euclidean_distances(a, a) + np.diag(np.full(len(a), np.inf))
    return finds_itself.mean(), (y_test[among_others.argmin(axis=1)] == y_test[: len(a)]).mean()


# %% tags=["nbval-ignore-output"]
here = np.asarray(first(x_test[:500] / 255))  # 16 maps of each digit
there = np.asarray(first(move(x_test[:500], 1) / 255))
pool = layers.MaxPooling2D(2)
rows = {"no pooling": two_tests(here, there)}
for name in ("pooled once", "pooled twice"):
    here, there = np.asarray(pool(here)), np.asarray(pool(there))
    rows[name] = two_tests(here, there)
rows["global pooling"] = two_tests(here.max(axis=(1, 2)), there.max(axis=(1, 2)))
pooling = pd.DataFrame(rows, ["moved digit finds itself", "nearest other is of its kind"]).T
pooling.round(2)

# %% tags=["nbval-ignore-output"]
itself, kind = (pooling[column] for column in pooling)
reveal(guess, kind["global pooling"], f"Without pooling it was {kind['no pooling']:.2f}.")

# %% tags=["nbval-ignore-output", "hide"]
check(itself["global pooling"] > itself["no pooling"] > 0.5, "global pooling forgets where", required=is_mnist)  # fmt: skip
check(kind["global pooling"] < kind["no pooling"] - 0.2, "and keeps little of the kind", required=is_mnist)  # fmt: skip

# %% [markdown]
# Pooling once or twice helps the first and costs the second nothing. Global pooling of *random* filters forgets where,
# and keeps little of the *kind*. It needs filters that have learned what to look for.
#
# What does not change at all when the digit moves is called **invariant**. Global pooling comes close.
#
# *Remember: a convolution moves along; pooling forgets a little of where.*
#
# ## 6 · A kernel that finds itself
#
# We chose the nine numbers of the edge kernel. A network has to find its kernels. Can it? Here is a game. We hide a
# kernel, and show a layer 1,000 digits together with what the hidden kernel answers to them. The layer starts with
# nine random numbers, and learns by gradient descent.

# %%
hidden_kernel = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])  # of Sobel, an edge kernel again
teacher = layers.Conv2D(1, 3, use_bias=False)
teacher.build((None, 28, 28, 1))
teacher.set_weights([hidden_kernel.reshape(3, 3, 1, 1)])
digits = x_train[:1000] / 255
targets = np.asarray(teacher(digits))

# %% tags=["nbval-ignore-output"]
keras.utils.set_random_seed(seed)
student = keras.Sequential([keras.Input((28, 28, 1)), layers.Conv2D(1, 3, use_bias=False)])
student.compile(keras.optimizers.Adam(0.1), "mean_squared_error")
found = {"start": student.get_weights()[0][:, :, 0, 0]}
for number in range(1, 11):
    loss = student.fit(digits, targets, batch_size=32, verbose=0).history["loss"][0]
    found[f"epoch {number}"] = student.get_weights()[0][:, :, 0, 0]

# %% tags=["hide", "nbval-ignore-output"]
shown = {name: found[name] for name in ("start", "epoch 1", "epoch 3", "epoch 10")}
figure, panels = plots.subplots(
    1,
    5,
    width=9,
    height=2.2,
    alt="The nine numbers at the start, after 1, 3 and 10 epochs, and the hidden ones.",
)
for panel, (name, values) in zip(panels, {**shown, "hidden": hidden_kernel}.items()):
    panel.imshow(values, cmap="RdBu", vmin=-3, vmax=3)
    for (row, column), value in np.ndenumerate(values):
        panel.text(column, row, f"{value:.1f}".replace("-0.0", "0.0"), ha="center", va="center")
    panel.set(xticks=[], yticks=[])
    panel.set_title(name, fontsize=10)
figure

# %% tags=["nbval-ignore-output"]
worst = np.abs(found["epoch 10"] - hidden_kernel).max()
print(f"loss {loss:.1e}; the worst of the nine numbers is off by {worst:.4f}")
check(worst < 0.05, "the layer has found the hidden kernel", required=is_mnist)

# %% [markdown]
# The examples were enough: this is linear regression with nine unknowns. In a real network the target is a label, many
# layers later. What comes back through these layers is a map of errors $d$, one for each place. How does the kernel
# learn from it? Each weight has been multiplied with a pixel at each place, so its gradient is the sum of pixel times
# error over all places. That is a convolution again, of the image with the map of errors:
#
# $$\frac{\partial L}{\partial K_{u,v}} = \sum_{i,j} d_{i,j} \; x_{i+u,\, j+v}$$

# %%
layer.set_weights([np.zeros((3, 3, 1, 1))])
wanted = convolve(digit, hidden_kernel)
with tf.GradientTape() as tape:
    answer = layer(digit.reshape(1, 28, 28, 1))[0, :, :, 0]
    loss = tf.reduce_sum((answer - wanted) ** 2) / 2  # so the error of a place is answer - wanted
by_tape = tape.gradient(loss, layer.trainable_variables)[0][:, :, 0, 0]
by_hand = convolve(digit, np.asarray(answer) - wanted)
off = np.abs(by_hand - by_tape).max() / np.abs(by_tape).max()
check(off < 1e-4, "the gradient of a kernel is a convolution, too")

# %% [markdown]
# *Remember: kernels are learned from examples, by the same gradient descent as everything else.*
#
# A good place for a break.
#
# ## 7 · Two classic networks
#
# Two networks stand at the beginning of many courses; the first was an example of Keras itself for years. We write both
# in Keras, layer by layer. The first: two convolutions, one pooling, dropout, a dense layer, dropout, softmax.

# %%
keras.utils.set_random_seed(seed)
first_classic = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        layers.Rescaling(1 / 255),
        layers.Conv2D(32, 3, activation="relu"),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Dropout(0.25),
        layers.Flatten(),
        layers.Dense(128, activation="relu"),
        layers.Dropout(0.5),
        layers.Dense(n_classes, activation="softmax"),
    ]
)

# %% [markdown]
# Which kind of layer holds most of its weights?

# %%
guess = None  # "convolution" or "dense"

# %%
first_classic.summary()

# %%
largest = max(first_classic.layers, key=lambda layer: layer.count_params())
share = largest.count_params() / first_classic.count_params()
kind = "dense" if isinstance(largest, layers.Dense) else "convolution"
reveal(guess, kind, f"One dense layer holds {share:.1%} of all weights.")

# %% [markdown]
# Train it with **Adadelta** (Zeiler, 2012), an optimizer that is a relative of RMSprop, in batches of 128.

# %% tags=["nbval-ignore-output"]
first_classic.compile("adadelta", "sparse_categorical_crossentropy", metrics=["accuracy"])
run = first_classic.fit(few[:2000], few_labels[:2000], 128, 3, validation_split=0.1, verbose=2)

# %% [markdown]
# No error, no warning, and hardly better than guessing. There is one bug in these two lines. Where?

# %%
guess = None  # "optimizer", "learning rate", "loss" or "batch size"

# %% tags=["nbval-ignore-output"]
stuck = run.history["val_accuracy"][-1]
print(f"the learning rate was {float(first_classic.optimizer.learning_rate):g}")
keras.utils.set_random_seed(seed)
first_classic = keras.models.clone_model(first_classic)
first_classic.compile(
    keras.optimizers.Adadelta(learning_rate=1.0),
    "sparse_categorical_crossentropy",
    metrics=["accuracy"],
)
run = first_classic.fit(few[:2000], few_labels[:2000], 128, 3, validation_split=0.1, verbose=2)

# %% tags=["nbval-ignore-output"]
mended = run.history["val_accuracy"][-1]
reveal(guess, "learning rate", f"With a rate of 1: {mended:.1%}, before: {stuck:.1%}.")

# %% tags=["nbval-ignore-output", "hide"]
check(mended > stuck + 0.2, "at Keras's default rate Adadelta hardly learns", required=is_mnist)

# %% [markdown]
# Adadelta was made to need no learning rate, which means a rate of 1. Early versions of Keras had that default; today it
# is 0.001, as for Adam. A default is a decision that somebody else can change, so write the rate down.
#
# The second network pools after each convolution, has no dropout, and learns with Adam in batches of 32.

# %% tags=["nbval-ignore-output"]
keras.utils.set_random_seed(seed)
second_classic = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        layers.Rescaling(1 / 255),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(128, activation="relu"),
        layers.Dense(n_classes, activation="softmax"),
    ]
)
second_classic.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

# %% tags=["nbval-ignore-output"]
second_classic.fit(few[:3000], few_labels[:3000], 32, 3, validation_split=0.1, verbose=2)
loss, classic_accuracy = second_classic.evaluate(x_test, y_test, verbose=0)
print(f"test loss {loss:.3f}, test accuracy {classic_accuracy:.1%}")

# %% [markdown]
# Which one is better, and *why*? They differ in four things. To know what each is worth, we change one thing at a time,
# and repeat each with ten seeds. That is 50 trainings, too many for now, so they were *measured beforehand*. In a clone
# of the course, `make measured NAME=05_one_change` does it again. A row is a run:

# %%
one_change = pd.read_csv(measured_dir() / "05_one_change.csv")
one_change.head(3)


# %% tags=["hide"]
def show_means(table, by, column, title, xlabel):
    """Draw a point for each run, and the mean of each group with its 95% interval."""
    groups = {name: rows[column].to_numpy() for name, rows in table.groupby(by, sort=False)}
    alt = "; ".join(f"{name}: {values.mean():.4f}" for name, values in groups.items())
    figure, axes = plots.subplots(
        width=7.5, height=0.9 + 0.38 * len(groups), alt=f"{title}. Means: {alt}."
    )
    for place, values in enumerate(groups.values()):
        half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
        axes.plot(values, [place] * len(values), "o", ms=3, color="0.65")
        axes.errorbar(values.mean(), place, xerr=half, fmt="D", ms=6, capsize=4, color="#0072B2")
    axes.set_yticks(range(len(groups)), list(groups))
    axes.invert_yaxis()
    axes.set(xlabel=xlabel)
    axes.set_title(title, fontsize=10)
    return figure


# %% [markdown]
# Each step builds on the one before. One of the four makes the network *worse*. Which?

# %%
guess = None  # "pooling", "no dropout", "Adam" or "batches of 32"

# %%
steps = ["the first network", "+ pooling between", "+ no dropout", "+ Adam", "+ batches of 32"]
one_change["network"] = one_change["changes"].map(dict(enumerate(steps)))
show_means(one_change, "network", "test_accuracy",
           "From the first network to the second (10,000 images, 3 epochs, 10 seeds)", "test accuracy")  # fmt: skip

# %%
by_seed = one_change.pivot(index="seed", columns="changes", values="test_accuracy") * 100
gains = by_seed.diff(axis=1).drop(columns=0)  # each network minus the one before, seed by seed
gains.columns = ["pooling", "no dropout", "Adam", "batches of 32"]
gains["all four"] = by_seed[4] - by_seed[0]


def with_interval(differences):
    """Return the mean of each column and half of its 95% interval, by Student's t."""
    half = t.ppf(0.975, len(differences) - 1) * differences.std() / len(differences) ** 0.5
    return pd.DataFrame({"points": differences.mean(), "±": half})


with_interval(gains).round(2)

# %%
reveal(guess, gains.mean().idxmin(), f"It loses {-gains.mean().min():.2f} points.")

# %% [markdown]
# Two steps are clear, in this order of changes. Pooling loses half a point. Batches of 32 gain a little more than that:
# they make four times as many steps with the same images. The intervals of the other two contain 0. Now look at the
# price, too:

# %%
price = one_change.groupby("network", sort=False)
price.agg(
    weights=("weights", "first"), accuracy=("test_accuracy", "mean"), seconds=("seconds", "median")
).round(4)

# %% [markdown]
# Pooling between the convolutions saves two thirds of the time: the second convolution has 11×11 places to look at
# instead of 24×24, a fifth of them. And it saves most of the weights: the dense layer gets 5·5·64 = 1,600 numbers, not
# 12·12·64 = 9,216. The price is the half point. So the second network is a little better here, and far cheaper.
#
# *Remember: change one thing at a time, and repeat it with several seeds.*
#
# ## 8 · How many images, and how far a shift?
#
# In section 2 the dense network did not notice a shuffle of the pixels. The convolutional one: will it?

# %%
guess = None  # a number of points that it loses

# %% tags=["nbval-ignore-output"]
keras.utils.set_random_seed(seed)
classic_shuffled = keras.models.clone_model(second_classic)
classic_shuffled.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
classic_shuffled.fit(
    shuffle_pixels(few[:3000]), few_labels[:3000], 32, 3, validation_split=0.1, verbose=0
)
no_neighbours = classic_shuffled.evaluate(shuffle_pixels(x_test), y_test, verbose=0)[1]
pd.DataFrame(
    {"as they are": [dense_accuracy, classic_accuracy], "shuffled": [shuffled_accuracy, no_neighbours]},
    ["dense, section 1", "convolutional, section 7"],
).round(3)  # fmt: skip

# %% tags=["nbval-ignore-output"]
reveal(guess, 100 * (classic_accuracy - no_neighbours), "Its windows find no neighbours.")

# %% tags=["nbval-ignore-output", "hide"]
check(classic_accuracy - no_neighbours > 0.02, "without neighbours a convolution is worth less",
      required=is_mnist)  # fmt: skip

# %% [markdown]
# The two rows were trained with different numbers of images, so compare along a row. The dense network loses 0.1
# points, the convolutional one 9.4.
#
# A convolution knows something about pictures before it has seen one. So it should need fewer examples. A dense and a
# convolutional network learned from the same images, for the same number of steps. This was measured beforehand, with
# ten seeds. How many images does the dense network need to be as good as the convolutional one with 1,000?

# %%
guess = None  # a number of images

# %%
sizes = pd.read_csv(measured_dir() / "05_training_size.csv")
curve = sizes.pivot_table(index="n_samples", columns="network", values="test_accuracy")
curve.round(3)

# %% tags=["hide"]
figure, axes = plots.subplots(
    width=6.5,
    height=3.2,
    alt="Test accuracy over the number of training images, dense and convolutional.",
)
for name, colour, marker in (("convolutional", "#0072B2", "o"), ("dense", "#D55E00", "s")):
    rows = sizes[sizes["network"] == name].pivot(
        index="seed", columns="n_samples", values="test_accuracy"
    )
    axes.errorbar(
        rows.columns, rows.mean(), yerr=with_interval(rows)["±"],
        color=colour, marker=marker, capsize=3, label=name,
    )  # fmt: skip
axes.set(xscale="log", xlabel="training images, logarithmic", ylabel="test accuracy ± 95%")
axes.legend()
figure

# %%
wanted = curve.loc[1000, "convolutional"]
needed = float(np.exp(np.interp(wanted, curve["dense"], np.log(curve.index))))  # between two points
reveal(guess, round(needed, -2), f"On this curve, the dense network reaches {wanted:.1%} there.")

# %% [markdown]
# About six times as many, at this point of the curve. All had 1,500 steps, so the curves flatten at the end. In life,
# labelled images are expensive.
#
# ### Back to the shifted digits
#
# Which networks read a digit that has moved? Four of them: dense; two convolutions before the dense layer; pooling
# after each; and global pooling at the end, behind a third convolution. Each learned from 6,000 digits as they are, and
# again from digits that are shifted by up to 6 pixels, anew in each epoch. The accuracy is the mean of shifts in four
# directions. Pooling has made maps less sensitive to a move. Which share does the network *with pooling*, trained on
# digits as they are, read at 4 pixels?

# %%
guess = None  # a share, from 0 to 1

# %%
shifts = pd.read_csv(measured_dir() / "05_shift.csv")
columns = [f"accuracy_{pixels}" for pixels in range(7)]
kept = shifts.groupby(["shifted", "network"], sort=False)[columns].mean()
kept.columns = range(7)
kept.round(2).rename_axis(columns="pixels")

# %% tags=["hide"]
figure, panels = plots.subplots(
    1, 2, width=9, height=3.2,
    alt="Accuracy over the shift in pixels for four networks, trained on digits as they are and on shifted ones.",
)  # fmt: skip
titles = {False: "trained on digits as they are", True: "trained on shifted digits"}
for panel, (shifted_too, title) in zip(panels, titles.items()):
    for number, (name, marker) in enumerate(
        zip(("dense", "convolutions", "pooling", "global pooling"), "svoD")
    ):
        row = kept.loc[(shifted_too, name)]
        panel.plot(row.index, row, marker=marker, color=f"C{number}", label=name)
    panel.set(
        xlabel="shift of the test digit in pixels", ylim=(0, 1), ylabel="accuracy, mean of 10 seeds"
    )
    panel.set_title(title, fontsize=10)
panels[1].legend(loc="lower left")
figure

# %%
reveal(
    guess,
    kept.loc[(False, "pooling"), 4],
    "More than the others with a dense layer, and still bad.",
)

# %% [markdown]
# On the left, at 4 pixels: convolutions gain 16 points, pooling after each 6 more, global pooling nearly 30 more, with
# its third convolution. Why do convolutions alone not gain more? Their maps move along with the digit, and the dense
# layer behind them has a weight for each place.
#
# Global pooling forgets the place. Why does even this network fall below a half at 6 pixels? How many test digits lose
# ink then?

# %%
ink = x_test.sum(axis=(1, 2, 3), dtype=int)
loses = {
    pixels: (move(x_test, pixels).sum(axis=(1, 2, 3), dtype=int) < ink).mean()
    for pixels in (2, 4, 6)
}
print({f"{pixels} pixels": f"{share:.0%}" for pixels, share in loses.items()})

# %% [markdown]
# Nearly half of the digits lose some ink. But that is not the main reason: trained on shifted digits, as the picture
# shows on the right, the same network reads 81%. Probably it is that windows near the border see other surroundings,
# and that two poolings by 2×2 repeat exactly only after moves by 4 pixels.
#
# On the right: a network that has seen shifted digits in training reads shifted digits. The dense network can learn
# that too, but in five epochs it pays: it reads digits in the middle much worse than before. The convolutional ones pay
# less; here the one without pooling is even a little better than the one with it.
#
# *Remember: convolution needs fewer examples. What a network must handle, it has to see in training.*
#
# ## 9 · Augmentation: more images from few
#
# A digit that is shifted a little is still the same digit. Augmentation, of lesson 01, changes each training image at
# random, anew in each epoch, and so makes more images of few. Keras has layers for it. They work in training only.

# %%
changes = {
    "rotation": layers.RandomRotation(20 / 360, fill_mode="nearest", seed=seed),
    "shift": layers.RandomTranslation(0.2, 0.2, fill_mode="nearest", seed=seed),
    "shear": layers.RandomShear(0.2, fill_mode="nearest", seed=seed),
    "zoom": layers.RandomZoom(0.2, fill_mode="nearest", seed=seed),
    "flip": layers.RandomFlip("horizontal", seed=seed),
}
sample = few[:8].astype("float32")
changed = {name: np.asarray(layer(sample, training=True)) for name, layer in changes.items()}

# %% tags=["nbval-ignore-output"]
rows = {
    name: np.clip(images, 0, 255).astype(np.uint8)
    for name, images in {"as they are": sample, **changed}.items()
}
rows["flip (half of them)"] = rows.pop("flip")
plots.image_rows(rows)

# %% [markdown]
# The numbers are usual ones: rotation up to 20°, shift up to a fifth of the width, shear and zoom 0.2, and a horizontal
# flip. What is each alone worth, with 1,000 images? We measured each alone, a *small shift* of a tenth, *all* five at
# once, and all but the flip. Which of the five does most harm?

# %%
guess = None  # "rotation", "shift", "shear", "zoom" or "flip"

# %%
augmented = pd.read_csv(measured_dir() / "05_augmentation.csv")
accuracies = augmented.pivot(index="seed", columns="change", values="test_accuracy")
gain = 100 * accuracies.sub(accuracies["none"], axis=0).drop(columns="none")  # seed by seed
gain = gain[gain.mean().sort_values(ascending=False).index]
with_interval(gain).round(2)

# %% tags=["hide"]
figure = show_means(
    gain.melt(var_name="change", value_name="points"), "change", "points",
    "1,000 images, 40 epochs, 10 seeds", "points gained against no augmentation ± 95%",
)  # fmt: skip
figure.axes[0].axvline(0, color="0.4", lw=1)
figure

# %%
alone = gain.mean()[list(changes)]
reveal(guess, alone.idxmin(), f"Alone it changes the accuracy by {alone.min():+.1f} points.")

# %% [markdown]
# A shift by a tenth of the width helps most, on average. Rotation, zoom and shear help a little. The flip does harm,
# since a mirrored 3 is no 3; for photos of cats it is right. The large shift does harm too, probably because the test
# digits all stand in the middle, so it teaches places that never come, and because by up to 5.6 pixels it cuts ink off.

# %%
errors = 1 - accuracies[["none", "small shift", "all"]].mean()
print({name: f"{share:.1%}" for name, share in errors.items()})

# %% [markdown]
# All five at once make more than three times as many errors as no augmentation at all.
#
# *Remember: an augmentation is a claim: "this change does not change the class". Check the claim.*
#
# ## 10 · 99%
#
# Now the network of the promise. Two convolutions of 5×5, two poolings, dropout, one dense layer: small enough for a
# laptop.

# %%
keras.utils.set_random_seed(seed)
network = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        layers.Rescaling(1 / 255),
        layers.Conv2D(16, 5, activation="relu", name="first"),
        layers.MaxPooling2D(2),
        layers.Conv2D(32, 5, activation="relu", name="second"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dropout(0.3),
        layers.Dense(n_classes, activation="softmax"),
    ]
)
print(f"{network.count_params():,} weights; the first classic has {first_classic.count_params():,}")

# %% [markdown]
# The learning rate follows a schedule, as in lesson 03. It rises for a fifth of the steps, which is called **warm-up**:
# Adam's averages rest on few gradients at first, so small steps are safer. Then it falls to 0 along a cosine. The
# network learns from *all* images, four times. No image is held out to choose by. The rate and the dropout were chosen
# beforehand, by trainings that had looked at the test images; so the accuracy below is a little flattered.

# %% tags=["nbval-ignore-output"]
n_steps = epochs * len(x_train) // batch_size
schedule = keras.optimizers.schedules.CosineDecay(
    initial_learning_rate=0.0, warmup_target=learning_rate, warmup_steps=n_steps // 5,
    decay_steps=n_steps - n_steps // 5,
)  # fmt: skip
network.compile(
    keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"]
)
history = network.fit(x_train, y_train, batch_size, epochs, verbose=2).history

# %% tags=["nbval-ignore-output"]
test_loss, test_accuracy = network.evaluate(x_test, y_test, verbose=0)
wrong = round((1 - test_accuracy) * len(x_test))
print(f"test accuracy {test_accuracy:.2%}: {wrong} of {len(x_test):,} are wrong")

# %% tags=["nbval-ignore-output", "hide"]
check(test_accuracy > 0.985, "about 99% of the test images are right", required=is_mnist)

# %% [markdown]
# Was this run lucky? Here is the same with ten seeds, measured beforehand.

# %%
ten = pd.read_csv(measured_dir() / "05_small_cnn.csv")["test_accuracy"]
print(f"ten seeds: {ten.min():.2%} to {ten.max():.2%}, mean {ten.mean():.2%}")
check(ten.min() > 0.99, "each of the ten reads more than 99%")

# %% [markdown]
# Is it the structure, or the many images? The dense network of section 1 has five times as many weights. It gets the same
# images and the same schedule. How many test images will it read wrong?

# %%
guess = None  # a number of images

# %% tags=["nbval-ignore-output"]
keras.utils.set_random_seed(seed)
dense_all = keras.models.clone_model(dense)
dense_all.compile(
    keras.optimizers.Adam(schedule),
    "sparse_categorical_crossentropy",
    metrics=["accuracy"],
    steps_per_execution=50,
)  # 50 steps a call: faster
dense_all.fit(x_train, y_train, batch_size, epochs, verbose=0)
dense_all_accuracy = dense_all.evaluate(x_test, y_test, verbose=0)[1]
print(f"dense: {dense_all.count_params():,} weights, {dense_all_accuracy:.2%}")
reveal(guess, round((1 - dense_all_accuracy) * len(x_test)), f"The convolutional one: {wrong}.")

# %% tags=["nbval-ignore-output", "hide"]
check(1 - dense_all_accuracy > 1.5 * (1 - test_accuracy),
      "with a fifth of the weights far fewer mistakes", required=is_mnist)  # fmt: skip

# %% [markdown]
# So structure beats size here. And now the pad. Draw a digit; after each stroke the network says what it sees.

# %% tags=["nbval-ignore-output"]
DrawingPad(lambda image: network.predict(image[None, ..., None], verbose=0)[0], digit=8)

# %% [markdown]
# And the ten digits that the code has drawn:

# %% tags=["nbval-ignore-output"]
answers = network.predict(drawn, verbose=0)
titles = [f"{p.argmax()} ({p.max():.0%})" for p in answers]
right = (answers.argmax(axis=1) == np.arange(10)).sum()
plots.image_grid(drawn, titles, title=f"{right} of 10 are right")

# %% tags=["nbval-ignore-output", "hide"]
check(right >= 9, "it reads the drawn digits", required=is_mnist)

# %% [markdown]
# Keep the network, with its scaling, in one file, here in a
# folder for the moment:

# %%
import tempfile
from pathlib import Path

file = Path(tempfile.mkdtemp()) / "digits.keras"
network.save(file)
again = keras.models.load_model(file)
check(np.allclose(again.predict(drawn, verbose=0), network.predict(drawn, verbose=0), atol=1e-5),
      "the loaded network gives the same answers")  # fmt: skip

# %% [markdown]
# *Remember: a convolutional network with 18,378 weights makes far fewer mistakes than a dense one with 101,770.*
#
# Another good place for a break.
#
# ## 11 · A look inside
#
# What has it learned? First the 16 kernels of the first layer, 5×5 weights each, and as a control those of the same
# network with random weights. Blue is positive, red negative; each kernel has a scale of its own.

# %% tags=["nbval-ignore-output"]
keras.utils.set_random_seed(seed)
untrained = keras.models.clone_model(network)  # a control: the same network, random weights
first_kernels = {
    "random": untrained.get_layer("first").get_weights()[0][:, :, 0],
    "trained": network.get_layer("first").get_weights()[0][:, :, 0],
}

# %% tags=["hide", "nbval-ignore-output"]
figure, panels = plots.subplots(
    2,
    16,
    width=10,
    height=1.7,
    alt="16 kernels of 5×5 weights, random and trained: the trained ones have areas of one sign.",
)
for line, (name, values) in zip(panels, first_kernels.items()):
    line[0].text(-1, 2, name, ha="right", va="center", fontsize=9)
    for panel, number in zip(line, range(16)):
        most = np.abs(values[..., number]).max()
        panel.imshow(values[..., number], cmap="RdBu", vmin=-most, vmax=most)
        panel.set_axis_off()
figure

# %% [markdown]
# Random kernels look like noise. Do trained ones have areas, such as a blue side and a red side? Do not trust your eyes;
# measure. How strongly do neighbouring weights of a kernel correlate, after subtracting each kernel's mean?


# %% tags=["nbval-ignore-output"]
def neighbours_alike(values):
    """Return the correlation of each weight with the one below it and the one to its right."""
    values = values - values.mean(axis=(0, 1))
    pairs = [(values[1:], values[:-1]), (values[:, 1:], values[:, :-1])]
    one, other = (np.concatenate([pair[i].ravel() for pair in pairs]) for i in (0, 1))
    return np.corrcoef(one, other)[0, 1]


smooth = {name: neighbours_alike(values) for name, values in first_kernels.items()}
pd.Series(smooth, name="correlation of neighbouring weights").round(2).to_frame()

# %% tags=["nbval-ignore-output", "hide"]
check(
    smooth["trained"] > smooth["random"] + 0.2,
    "training has made the kernels smooth",
    required=is_mnist,
)

# %% [markdown]
# Now the feature maps of an 8: what each of the 16 filters finds in it, and below what 16 of the 32 filters of the
# second layer make of that.

# %% tags=["nbval-ignore-output"]
looking = keras.Model(
    network.inputs[0], [network.get_layer("first").output, network.get_layer("second").output]
)
eight = x_test[y_test == 8][:1]
maps = [np.asarray(m)[0].transpose(2, 0, 1) for m in looking(eight)]  # (filters, rows, columns)
random_looking = keras.Model(untrained.inputs[0], untrained.get_layer("second").output)
random_maps = np.asarray(random_looking(eight))[0].transpose(2, 0, 1)

# %% tags=["nbval-ignore-output"]
plots.image_rows({"first layer": maps[0][:8], "": maps[0][8:]})

# %% tags=["nbval-ignore-output"]
rows = {"second layer": maps[1][:8], "… and more": maps[1][8:16], "random weights": random_maps[:8]}
plots.image_rows(rows)

# %% [markdown]
# Each map has a scale of its own: black is its largest number. In the first layer you still see the 8, with one kind of
# edge or stroke in each map. In the second layer a map is a few spots: *here is something*. An empty map says: it is
# not here. What are the spots? How many pixels does a number of the second layer depend on?
#
# | after | a step to the right is | it depends on |
# |---|---|---|
# | the first convolution, 5×5 | 1 pixel | 5×5 pixels |
# | pooling, 2×2 | 2 pixels | 5 + 1 · 1 = 6 |
# | the second convolution, 5×5 | 2 pixels | 6 + 4 · 2 = 14 |
#
# A window of $k$ adds $k - 1$ steps of the layer before. Look for the places in 2,000 test images that excite a filter
# most, and cut out their 14×14 pixels.


# %%
def exciting(model, n_images=2000):
    """Return for each filter of the second layer its strongest answer in each image, and where."""
    part = keras.Model(model.inputs[0], model.get_layer("second").output)
    answers = part.predict(x_test[:n_images], verbose=0)  # (images, 8, 8, 32)
    flat = answers.reshape(len(answers), 64, -1)
    return flat.max(axis=1), flat.argmax(axis=1)


def cut_out(strength, place, number, count=8):
    """Cut out the 14×14 pixels that excite filter ``number`` most, from ``count`` images."""
    patches = []
    for i in np.argsort(-strength[:, number])[:count]:
        row, column = divmod(place[i, number], 8)  # a place among 8×8, 2 pixels apart
        patches.append(x_test[i, 2 * row : 2 * row + 14, 2 * column : 2 * column + 14, 0])
    return np.stack(patches)


# %% tags=["nbval-ignore-output"]
found = {"trained": exciting(network), "random": exciting(untrained)}
plots.image_rows(
    {
        f"{name}, filter {number}": cut_out(strength, place, number)
        for name, (strength, place) in found.items()
        for number in np.argsort(-strength.mean(axis=0))[:3]
    }
)

# %% [markdown]
# These are the three filters of each network that answer most strongly. A trained filter has a favourite: a certain
# stroke, hook or corner. Random ones mostly like ink, but not all: some have a favourite shape too. So look beyond
# pictures: do the favourites tell digits apart? Take the 50 images that excite a filter most, and see what share
# belongs to the commonest digit. If a filter is blind, these are 50 images chosen at random.

# %%
guess = None  # the mean share of the commonest digit, trained


# %% tags=["nbval-ignore-output"]
def purity(strength):
    """Return the share of the commonest digit among the 50 images that excite a filter most."""
    top = np.argsort(-strength, axis=0)[:50]  # (50, filters)
    return [np.bincount(y_test[column]).max() / len(column) for column in top.T]


rng = np.random.default_rng(seed)
by_chance = np.mean([np.bincount(rng.choice(y_test, 50)).max() / 50 for _ in range(1000)])
shares = {name: purity(strength) for name, (strength, place) in found.items()}
means = {name: round(float(np.mean(values)), 2) for name, values in shares.items()}
print(means, f"at random {by_chance:.2f}")
reveal(guess, np.mean(shares["trained"]), "Its filters know something about digits.")

# %% tags=["nbval-ignore-output"]
figure = plots.spread(shares, label="share of the commonest digit, a point for each filter")
figure.axes[0].axvline(by_chance, color="0.4", ls=":", label="chosen at random")
figure.axes[0].legend(loc="lower right")
figure

# %% [markdown]
# The trained filters are choosier than the random ones, on average. But look at the points: many trained filters are no
# choosier than a random one, and some random ones are rather choosy.
#
# *Remember: a picture of the inside needs a control, a network that has learned nothing.*
#
# ## 12 · Where it fails, and whether it knows
#
# The mistakes of which it was most certain. How many would *you* get right?

# %% tags=["nbval-ignore-output"]
p = network.predict(x_test, verbose=0)
said, sure = p.argmax(axis=1), p.max(axis=1)
mistakes = np.flatnonzero(said != y_test)
worst = mistakes[np.argsort(-sure[mistakes])][:16]
titles = [f"{y_test[i]} → {said[i]} ({sure[i]:.0%})" for i in worst]
plots.image_grid(x_test[worst], titles, columns=8, title="truth → answer")

# %% [markdown]
# Which digits does it take for which? The five commonest mistakes, truth → answer:

# %% tags=["nbval-ignore-output"]
pairs = pd.Series([f"{y_test[i]} → {said[i]}" for i in mistakes]).value_counts()
pairs.head(5).to_frame("times")

# %% [markdown]
# The largest of the ten probabilities is the network's **confidence**. A network is **calibrated** if among answers
# with 90% confidence 90% are right, and so for every confidence. Collect the answers by confidence, and compare: for
# the test images, and for the same images moved by 4 pixels, of section 1. How confident is the network on moved
# digits, on average?

# %%
guess = None  # a confidence, from 0 to 1


# %% tags=["nbval-ignore-output"]
def calibration(images):
    """Return the number of answers, their mean confidence and the share that is right, in groups."""
    p = network.predict(images, verbose=0)
    answers = pd.DataFrame({"confidence": p.max(axis=1), "right": p.argmax(axis=1) == y_test})
    groups = pd.cut(answers["confidence"], [0, 0.5, 0.7, 0.9, 0.99, 1])
    table = answers.groupby(groups, observed=False).agg(
        answers=("right", "size"), confidence=("confidence", "mean"), right=("right", "mean")
    )
    table.loc["all"] = len(answers), answers["confidence"].mean(), answers["right"].mean()
    return table.round(3)


tables = {"test images": calibration(x_test), "moved by 4 pixels": calibration(moved)}
pd.concat(tables, axis=1)

# %% tags=["nbval-ignore-output"]
everything = tables["moved by 4 pixels"].loc["all"]
reveal(guess, everything["confidence"], f"And {everything['right']:.1%} of them are right.")

# %% [markdown]
# On images like those of its training, this network knows how sure it may be: the two columns agree within a few points
# wherever there are enough answers. On moved ones it does not: its confidence falls, but far less than its accuracy.
# Calibration holds only for similar data. Large networks are often too confident on their own test images already (Guo
# et al., 2017).
#
# What is it good for? A post office lets a person read what the machine is unsure of. What share of the mistakes is
# left if a person reads the 2% of which it is least sure?

# %%
guess = None  # a share of the mistakes

# %% tags=["nbval-ignore-output"]
by_machine = np.argsort(-sure)[: round(0.98 * len(sure))]
left = (said[by_machine] != y_test[by_machine]).sum()
reveal(guess, left / len(mistakes), f"Of {len(mistakes)} mistakes {left} are left.")

# %% tags=["nbval-ignore-output", "hide"]
check(left < 0.6 * len(mistakes), "the confidence finds many of the mistakes", required=is_mnist)

# %% [markdown]
# *Remember: confidence finds mistakes; as a percentage, trust it only on images like those of the training.*
#
# ## 13 · Deeper
#
# The idea is from 1980 (Fukushima). LeNet-5 (LeCun et al., 1998) read millions of cheques in banks. The network of
# section 10 is built like it: convolution, pooling, convolution, pooling, and a dense end. The same idea grew with data
# and machines.

# %% tags=["hide"]
famous = pd.DataFrame(
    {
        "network": ["LeNet-5", "AlexNet", "VGG16", "ResNet-50"],
        "year": [1998, 2012, 2014, 2015],
        "layers with weights": [5, 8, 16, 50],
        "million weights": [0.06, 60, 138, 25.6],
        "known for": [
            "convolution, pooling",
            "ReLU, dropout, GPUs",
            "only 3×3 kernels",
            "skip connections",
        ],
    }
).set_index("network")
famous

# %% tags=["hide"]
blocks = {  # side of the image and channels after each part
    "LeNet-5": [(28, 6), (14, 6), (10, 16), (5, 16)],
    "AlexNet": [(55, 96), (27, 256), (13, 384), (13, 384), (6, 256)],
    "VGG16": [(224, 64), (112, 128), (56, 256), (28, 512), (14, 512), (7, 512)],
    "ResNet-50": [(112, 64), (56, 256), (28, 512), (14, 1024), (7, 2048)],
}
figure, panels = plots.subplots(
    4,
    1,
    width=7,
    height=4.4,
    title="Higher: a larger image. Wider: more channels. (Not to scale)",
    alt="Four networks as rows of boxes: the image gets smaller, the channels become more.",
)
for panel, (name, parts) in zip(panels, blocks.items()):
    side, channels = np.array(parts).T
    height, width = 0.25 + side / 224, 0.15 + channels / 900
    left = np.cumsum(width + 0.35) - width
    panel.bar(left, height, width, -height / 2, align="edge", color="#56B4E9", edgecolor="0.2")
    for x, bottom, text in zip(left + width / 2, -height / 2, parts):
        panel.text(
            x, bottom - 0.08, "{0}×{0}\n×{1}".format(*text), ha="center", va="top", fontsize=7
        )
    panel.text(0.2, 0, f"{name}\n{famous.loc[name, 'year']}", ha="right", va="center", fontsize=9)
    panel.set(xlim=(-1, 7.3), ylim=(-1.25, 0.7))
    panel.set_axis_off()
figure

# %% [markdown]
# A pattern: the image gets smaller, and the number of channels mostly grows. VGG uses 3×3 windows only: two of them,
# one upon the other, see 5×5 pixels with 18 weights instead of 25. So are more layers better? Plain networks of 9 and
# of 21 convolutions learned from 3,000 digits, each with ten seeds, which draw the digits and the first weights. All
# ten networks of 9 learn their *training* images. How many of the ten networks of 21 do, with more than 90% right?

# %%
guess = None  # a number from 0 to 10

# %%
depth = pd.read_csv(measured_dir() / "05_depth.csv")
depth["depth"] += 1  # the blocks come after a first convolution
plain = depth[~depth["skip"] & (depth["start"] == "glorot_uniform")]
plain.pivot(index="depth", columns="seed", values="train_accuracy").round(2)

# %%
learned = (plain["train_accuracy"] > 0.9).groupby(plain["depth"]).sum()
reveal(guess, learned[21], "The others stay at guessing: one in ten.")

# %% [markdown]
# More layers can compute everything that fewer can. And yet some of these networks do not even learn their *training*
# images. So this is not overfitting: gradient descent does not find the way. A **skip connection** (He et al., 2015)
# helps: what goes into two convolutions is added to what comes out.


# %%
def block(x, skip, start="glorot_uniform", filters=12):
    """Two convolutions, and around them a skip connection, or none."""
    options = {"padding": "same", "kernel_initializer": start}
    y = layers.Conv2D(filters, 3, activation="relu", **options)(x)
    y = layers.Conv2D(filters, 3, **options)(y)
    return layers.Activation("relu")(layers.Add()([x, y]) if skip else y)


inputs = keras.Input((14, 14, 12))
one_block = keras.Model(inputs, block(inputs, skip=True))
one_block.output_shape

# %% [markdown]
# If the two convolutions give zero, a block passes on what comes in. Set all their weights to zero. (What comes in has
# been through a ReLU, so it is never negative, and the last ReLU leaves it as it is.)

# %%
one_block.set_weights([np.zeros_like(weights) for weights in one_block.get_weights()])
some = np.random.default_rng(seed).random((8, 14, 14, 12), dtype="float32")  # 0 to 1
check(np.allclose(one_block(some), some), "with weights of zero the block passes everything on")

# %% [markdown]
# Ten such blocks in a row, 20 convolutions, with fresh weights, and numbers whose standard deviation is 0.29. What is the
# standard deviation after ten *plain* blocks, from Glorot's first weights, which are Keras's default?

# %%
guess = None  # a number


# %% tags=["nbval-ignore-output"]
def ten_blocks(skip, start):
    keras.utils.set_random_seed(seed)
    inputs = x = keras.Input((14, 14, 12))
    for _ in range(10):
        x = block(x, skip, start)
    return keras.Model(inputs, x)


def for_each(measure):
    """Return a measure of ten fresh blocks, plain and with skips, from both kinds of weights."""
    starts = {"Glorot's": "glorot_uniform", "He's": "he_normal"}
    names = {"plain": False, "with skips": True}
    return pd.DataFrame({name: {which: measure(ten_blocks(skip, start)) for which, skip in names.items()}
                         for name, start in starts.items()})  # fmt: skip


# %% tags=["nbval-ignore-output"]
signal = for_each(lambda blocks: float(np.std(blocks(some))))
signal.map("{:.2g}".format)

# %% tags=["nbval-ignore-output"]
reveal(guess, signal.loc["plain", "Glorot's"], "The signal has faded.")

# %% tags=["nbval-ignore-output", "hide"]
check(signal.loc["with skips", "Glorot's"] > 1000 * signal.loc["plain", "Glorot's"],
      "a skip connection keeps the signal alive")  # fmt: skip

# %% [markdown]
# The gradient has to go the same way back. How large is it at the *first* convolution?


# %% tags=["nbval-ignore-output"]
def first_gradient(blocks):
    """Return the length of the gradient of the first kernel; the loss is the sum of what comes out."""
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(blocks(some))
    return float(tf.norm(tape.gradient(total, blocks.trainable_variables[0])))


for_each(first_gradient).map("{:.2g}".format)

# %% [markdown]
# From Glorot's weights the plain gradient is thousands of times smaller than any other. Does that decide which networks
# learn? The ten seeds, plain and with skips:

# %% tags=["hide"]
figure, panels = plots.subplots(
    1, 2, width=8.5, height=3,
    alt="Training accuracy of each start by depth, plain and with skips, from two kinds of first weights: only plain networks of 21 from Glorot's fail.",
)  # fmt: skip
titles = {
    "glorot_uniform": "Glorot's first weights (Keras's default)",
    "he_normal": "He's first weights",
}
for panel, (start, title) in zip(panels, titles.items()):
    for number, (skip, marker) in enumerate(((False, "s"), (True, "o"))):
        rows = depth[(depth["skip"] == skip) & (depth["start"] == start)]
        places = rows["depth"].map({9: 0, 21: 1}) + 0.2 * number - 0.2 + 0.02 * rows["seed"]
        panel.plot(places, rows["train_accuracy"], marker, label="with skips" if skip else "plain")
    panel.set(ylabel="training accuracy", ylim=(0, 1.02), xlim=(-0.5, 1.5))
    panel.set_xticks([0, 1], ["9 convolutions", "21 convolutions"])
    panel.set_title(title, fontsize=10)
    panel.legend(loc="lower left")
figure

# %% [markdown]
# A point is a seed. Left: from Glorot's first weights, half of the plain networks of 21 fail, and none with skips. So a
# faded signal does not decide alone, but it is what the failures have in common. Right: from He's first weights, of
# lesson 03, the plain ones learn too: their signal hardly fades. With He's weights *and* skips the signal grows a
# hundredfold; batch normalisation, of lesson 04, keeps it in bounds. This is the simplest reason why depth can fail.
# The authors of ResNet saw another one: plain networks that fell behind although their signal did not fade.
#
# *Remember: a skip connection gives signal and gradient a free way.*
#
# ## 14 · Colour, and photos
#
# A colour image has three channels, and a filter has a kernel for each. Even a kernel of 1×1 can do something: this one
# computes blue minus red. Where will it be large in the photo?

# %%
from sklearn.datasets import load_sample_image

photo = load_sample_image("china.jpg")[::2, ::2] / 255  # every second pixel
blue_minus_red = layers.Conv2D(1, 1, use_bias=False)
blue_minus_red.build((None, None, None, 3))
blue_minus_red.set_weights([np.array([-1.0, 0.0, 1.0]).reshape(1, 1, 3, 1)])
blueness = np.asarray(blue_minus_red(photo[None]))[0, :, :, 0]

# %% tags=["hide"]
figure, panels = plots.subplots(
    1,
    2,
    width=8,
    height=2.8,
    alt="A photo of a temple, and where it is more blue than red: the sky.",
)
panels[0].imshow(photo)
panels[1].imshow(blueness, cmap="RdBu", vmin=-0.5, vmax=0.5)
for panel, title in zip(panels, ("photo (scikit-learn's china.jpg)", "blue minus red")):
    panel.set_title(title, fontsize=10)
    panel.set_axis_off()
figure.colours = None  # a photo
figure

# %% [markdown]
# The sky. A real network has many such filters, finds their weights itself, and combines them with edges and shapes.
#
# Here is a network for photos of 224×224 pixels, in the functional API of lesson 04: one convolution of 32 filters,
# pooling, ten classes. It has nearly four million weights. How many of them are in the convolution?

# %%
guess = None  # a whole number

# %%
inputs = keras.Input((224, 224, 3))
x = layers.Rescaling(1 / 255)(inputs)
x = layers.Conv2D(32, 3, activation="relu")(x)
x = layers.MaxPooling2D(2)(x)
x = layers.Flatten()(x)
outputs = layers.Dense(10, activation="softmax")(x)
photo_network = keras.Model(inputs, outputs)

# %%
print(f"{photo_network.count_params():,} weights")
reveal(
    guess,
    photo_network.layers[2].count_params(),
    "111 · 111 · 32 numbers go into the dense layer: the rest is there.",
)

# %% [markdown]
# With global pooling, only 32 numbers would go into the last layer, and it would have 330 weights. Lesson 07 uses it.
#
# *Remember: a filter has a kernel for each channel; after `Flatten` of large maps, most weights sit in the dense layer.*
#
# ## 15 · Anywhere on the pad
#
# The pad has helped the network: it puts your digit into the middle, as MNIST's makers did. People who fill in a form
# write where they like. You know the remedy from section 8. So the network of section 10 is trained for one more epoch,
# on all images, shifted at random by up to 6 pixels.

# %% tags=["nbval-ignore-output"]
keras.utils.set_random_seed(seed)
anywhere = keras.models.clone_model(network)
anywhere.set_weights(network.get_weights())
shift = layers.RandomTranslation(6 / 28, 6 / 28, fill_mode="constant", seed=seed)
shifting = keras.Sequential([keras.Input((28, 28, 1)), shift, anywhere])
shifting.compile(keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy")
run = shifting.fit(x_train, y_train, batch_size, max(1, epochs // 4), verbose=2)

# %% [markdown]
# `shifting` shifts images in training; `anywhere` is the network inside, without the shift. Three networks and 2,000
# test images, moved to the right. Which share will `anywhere` read at 4 pixels?

# %%
guess = None  # a share, from 0 to 1

# %% tags=["nbval-ignore-output"]
readers = {"dense, section 1": dense, "section 10": network, "section 15": anywhere}
shares = {}
for name, reader in readers.items():
    for pixels in (0, 2, 4, 6):
        says = reader.predict(move(x_test[:2000], pixels), verbose=0).argmax(axis=1)
        shares[name, f"moved by {pixels}"] = (says == y_test[:2000]).mean()
shares = pd.Series(shares).unstack()
shares.loc[list(readers)].round(3)

# %% tags=["nbval-ignore-output"]
at_four = shares["moved by 4"]
reveal(guess, at_four["section 15"], f"Before this extra epoch: {at_four['section 10']:.2f}.")

# %% tags=["nbval-ignore-output", "hide"]
check(at_four["section 15"] > 0.9, "it reads digits that have moved", required=is_mnist)

# %% [markdown]
# These 2,000 images are the harder ones of the test set. The price is about two points in the middle. Now write
# anywhere on this pad, about as large as the digit that is on it. Nothing moves your digit into the middle.

# %% tags=["nbval-ignore-output"]
DrawingPad(
    lambda image: anywhere.predict(image[None, ..., None], verbose=0)[0], digit=4, centred=False
)

# %% [markdown]
# The opening question was why the dense network could not read a digit that has moved. It has a weight for each pixel,
# and knows nothing about neighbours: what it has learned in the middle is unknown to it elsewhere. A convolution has
# the same weights everywhere, pooling forgets a little of where, and examples teach the rest.
#
# *Remember: make your input look like the training set, or the training set look like your input.*
#
# ## What this does not show
#
# > MNIST is small, clean and centred; photos are none of this. Live trainings are one run each. The measured tables hold for their images, steps and networks; tuned otherwise, an order may change.
#
# ## Check yourself

# %% tags=["hide"]
choose(
    "Conv2D(64, 3) gets 32 channels. How many weights has one of its filters, without the bias?",
    {
        "9": "That would be one channel; a filter has a kernel for each of the 32.",
        "288": "3 · 3 · 32: a kernel for each channel.",
        "18,432": "That is all 64 filters together.",
    },
    answer="288",
)

# %% tags=["hide"]
choose(
    "You shuffle the pixels of all images in the same way. Which network suffers?",
    {
        "the dense one": "It does not know which pixels are neighbours, so it loses nothing.",
        "the convolutional one": "Its window expects that neighbours belong together.",
        "neither": "The dense one does not suffer; the other one does.",
    },
    answer="the convolutional one",
)

# %% tags=["hide"]
choose(
    "Snail shells are photographed from above. Some wind to the left, some to the right: two classes. Which augmentation fits?",
    {
        "rotation by any angle": "A turned shell still winds the same way.",
        "a horizontal flip": "It makes a right shell of a left one, and keeps the label.",
        "both": "The flip changes the class.",
    },
    answer="rotation by any angle",
)

# %% tags=["hide"]
choose(
    "The loss stays at 2.30 for three epochs, on ten classes. What do you look at first?",
    {
        "the number of images": "A hundred images are enough to get below ln 10 = 2.30 on them.",
        "the learning rate": "2.30 is guessing: nothing moves. Look at the rate, then at the labels.",
        "the dropout": "It slows learning a little; it does not stop it.",
    },
    answer="the learning rate",
)

# %% tags=["hide"]
choose(
    "A random filter answers to similar patches too. What follows for the picture of a trained filter?",
    {
        "Nothing, the picture is convincing.": "Some random ones look convincing, too.",
        "It needs a number with a control.": "Such as the purity, which differs between trained and random.",
        "Filters learn nothing.": "They do; this picture alone cannot show it.",
    },
    answer="It needs a number with a control.",
)

# %% [markdown]
# ## What to take away
#
# - A convolution is one small window of weights, the same everywhere. It shares its weights between all places, and needs fewer examples.
# - Shapes: (images, rows, columns, channels). Padding, stride and pooling set the size; the receptive field grows with depth.
# - A convolution moves along with a digit; pooling and shifted training images make the answer stay.
# - One change at a time, several seeds; a control for every picture of the inside.
# - Augment by what is true of your images. Write the learning rate down.
#
# Now the [exercises](exercises/05_exercises.ipynb). Next lesson: [06 · Recurrent
# networks](06_recurrent_networks.ipynb), which read letter by letter, and invent words.

# %% tags=["nbval-ignore-output", "hide"]
record(
    dataset=data.name,
    n_train=len(x_train),
    test_accuracy=test_accuracy,
    test_loss=test_loss,
    dense_accuracy=dense_accuracy,
    moved_accuracy=moved_accuracy,
    val_accuracy=mended,
    history=pd.DataFrame(history),
)
