# %% [markdown]
# # 03 · A neural network from scratch
#
# A neuron multiplies, adds, and bends the sum a little. Nothing else. How can a few dozen of them read
# handwriting? And who sets their 25,000 numbers? In this lesson you build a network with NumPy alone. You derive
# how it learns, check the derivation with numbers, and try what makes learning fast, slow or impossible.
#
# | | |
# |---|---|
# | Time | 3 hours: 105 minutes to read and try, 75 for the [exercises](exercises/03_exercises.ipynb); it runs in 15 seconds |
# | You will learn | neuron, loss, gradient descent; layers and activations; softmax; back-propagation; first weights; mini-batches; momentum, RMSprop, Adam, schedules |
# | You need | lessons [01](01_load_data.ipynb) and [02](02_explore_data.ipynb); from school: what a derivative is |

# %%
from typing import Optional

from helpers import plots
from helpers.classroom import check, choose, interact, reveal
from helpers.datasets import load_dataset
from helpers.runs import record

import numpy as np
import pandas as pd

# %% tags=["parameters"]
dataset: str = "mnist"  # an image set: a name (mnist, fashion_mnist, digits) or a path
n_samples: Optional[int] = 6000  # at most this many training images; None for all
epochs: int = 10  # times through the training images in section 8
n_seeds: int = 5  # repetitions where luck plays a part
seed: int = 0  # of every random choice below

# %%
data = load_dataset(dataset, fallback="digits", seed=seed).subset(n_samples, seed)
data

# %% [markdown]
# Each image becomes a row of numbers from 0 to 1. A sixth of the training images is put aside as a validation
# set, as in lesson 01: choices are made with it. The test set is for reports; no choice in this lesson is made by it.


# %%
def to_rows(images):
    return images.reshape(len(images), -1).astype("float32") / data.x_train.max()


n_fit = len(data.x_train) * 5 // 6
x, y = to_rows(data.x_train[:n_fit]), data.y_train[:n_fit]
x_val, y_val = to_rows(data.x_train[n_fit:]), data.y_train[n_fit:]
x_test, y_test = to_rows(data.x_test), data.y_test
print(x.shape, x_val.shape, x_test.shape)

# %% [markdown]
# ## 1 · What does one neuron compute?
#
# A **neuron** receives numbers $x_1, \dots, x_n$. It multiplies each by a **weight** $w_i$, adds everything up,
# and adds one more number, the **bias** $b$. Then it bends the sum with an **activation function** $\sigma$:
#
# $$z = w_1 x_1 + w_2 x_2 + \dots + w_n x_n + b = w \cdot x + b \qquad a = \sigma(z)$$

# %%
plots.neuron_diagram()

# %% [markdown]
# A common activation function is the **sigmoid**. Whatever $z$ is, its result lies between 0 and 1, and can be
# read as a probability:
#
# $$\sigma(z) = \frac{1}{1 + e^{-z}}$$


# %%
def sigmoid(z):
    return 1 / (1 + np.exp(-z))


print([round(float(sigmoid(z)), 3) for z in (-5, 0, 5)])

# %% [markdown]
# Let one neuron tell the first two classes apart. The target is 0 for the one and 1 for the other. Weights and
# bias are the **parameters** of the neuron: the numbers that learning will change. Before that they are all 0.
# What does the neuron answer now?

# %%
guess = None  # a number

# %%
pair = np.flatnonzero(y < 2)
x_pair, target = x[pair], y[pair]
w, b = np.zeros(x.shape[1]), 0.0
answers = sigmoid(x_pair @ w + b)
reveal(guess, answers[0], "z is 0 for every image: the neuron has no opinion.")

# %% [markdown]
# `x_pair @ w` is the weighted sum for all images at once: a table of shape (images, pixels) times a list of
# weights, one for each pixel, gives one number for each image.
#
# *Remember: a neuron is a weighted sum, a bias, and a bend.*
#
# ## 2 · How wrong is an answer?
#
# To improve, the neuron needs a number that says how wrong it is. That is the **loss**. Let $p$ be the
# probability that it gave to the right answer. Two common losses are the **squared error** $(1 - p)^2$ and the
# **cross-entropy** $-\log p$. (In this course, log is the natural logarithm.)

# %%
p = np.linspace(0.005, 1, 200)
figure, axes = plots.subplots(alt="Squared error and cross-entropy against the probability.")
axes.plot(p, (1 - p) ** 2, "--", label="squared error")
axes.plot(p, -np.log(p), label="cross-entropy")
axes.set(xlabel="probability given to the right answer", ylabel="loss")
axes.legend()
figure

# %% [markdown]
# Both are 0 for a perfect answer. What does cross-entropy charge for an answer that is sure and wrong, with
# $p = 0.01$? (Squared error charges 0.98.)

# %%
guess = None  # a number

# %%
reveal(guess, -np.log(0.01), "And without bound, as p goes to 0.")

# %% [markdown]
# For classes, cross-entropy is the usual loss. With it, a neuron that is sure and wrong gets a strong push; we
# will see below that with squared error it gets nearly none. For quantities, such as a price, the mean of the
# squared errors is the usual loss. Accuracy cannot be a loss: a small change of the weights mostly changes no
# answer, so it does not say in which direction to go.
#
# *Remember: the loss is what learning makes smaller.*
#
# ## 3 · How does a neuron learn?
#
# Change one weight a little, and look how the loss changes. The change of the loss, divided by the change of the
# weight, is the slope. If the slope is positive, a smaller weight gives a smaller loss.


# %%
def loss(w, b):
    a = sigmoid(x_pair @ w + b)
    return -np.mean(target * np.log(a) + (1 - target) * np.log(1 - a))


# %% [markdown]
# (For target 1 the right answer has probability $a$, for target 0 it has $1 - a$. The formula picks one of
# them.) We try it with the weight of the pixel in which the two classes differ most:

# %%
difference = x_pair[target == 1].mean(axis=0) - x_pair[target == 0].mean(axis=0)
pixel, h = np.abs(difference).argmax(), 1e-4
up, down = w.copy(), w.copy()
up[pixel] += h
down[pixel] -= h
slope = (loss(up, b) - loss(down, b)) / (2 * h)
print(f"slope of the loss in the weight of pixel {pixel}: {slope:.4f}")

# %% [markdown]
# There is a slope for each weight. All together they are the **gradient**. Trying out every weight like this would
# mean going through the data twice for each single weight. With mathematics, going through the data once is enough. The
# loss depends on $a$, $a$ depends on $z$, and $z$ depends on $w_i$. The **chain rule** says: multiply the slopes along the way. ($\partial$ is the sign for a slope in one variable
# while all others stay as they are.)
#
# $$\frac{\partial L}{\partial w_i} = \frac{\partial L}{\partial a} \cdot \frac{\partial a}{\partial z} \cdot
# \frac{\partial z}{\partial w_i}$$

# %%
plots.graph_diagram(
    ["x, w, b", "z = w·x + b", "a = σ(z)", "L"],
    ["∂z/∂w = x", "∂a/∂z = a(1 − a)", "∂L/∂a"],
)

# %% [markdown]
# This is a **computation graph**: arrows from what goes in to what comes out, and below them the slopes, which
# are multiplied from right to left. For target $t$ the three slopes are
#
# $$\frac{\partial L}{\partial a} = \frac{a - t}{a (1 - a)} \qquad \frac{\partial a}{\partial z} = a (1 - a)
# \qquad \frac{\partial z}{\partial w_i} = x_i$$
#
# (The first is the derivative of $-t \log a - (1 - t) \log(1 - a)$, which is $-\frac{t}{a} + \frac{1 - t}{1 - a}$. The
# second is the derivative of $1 / (1 + e^{-z})$, which is $e^{-z} / (1 + e^{-z})^2$. Because $1 - a = e^{-z} / (1 + e^{-z})$, that is $a (1 - a)$.) Their product is short, because
# $a(1 - a)$ cancels:
#
# $$\frac{\partial L}{\partial w_i} = (a - t) \, x_i \qquad \frac{\partial L}{\partial b} = a - t$$
#
# In words: the error of the answer, times the input. With squared error, $\partial L / \partial a = 2(a - t)$, and the
# factor $a(1 - a)$ stays. It is nearly 0 for a sure answer, so a sure and wrong neuron would hardly learn.
#
# Does the formula agree with the trial?

# %%
errors = sigmoid(x_pair @ w + b) - target
gradient = x_pair.T @ errors / len(errors)  # the mean over all images
print(f"by trial {slope:.6f}, by formula {gradient[pixel]:.6f}")
check(abs(slope - gradient[pixel]) < 1e-6, "the formula gives the slope that we measured")

# %% [markdown]
# **Gradient descent** is: compute the gradient, take a step against it, repeat. The **learning rate** $\eta$ says
# how large a step is.
#
# $$w \leftarrow w - \eta \, \frac{\partial L}{\partial w}$$


# %%
def learn(rate, steps=100):
    w, b = np.zeros(x.shape[1]), 0.0
    losses = [loss(w, b)]
    for _ in range(steps):
        errors = sigmoid(x_pair @ w + b) - target
        w -= rate * x_pair.T @ errors / len(errors)
        b -= rate * errors.mean()
        losses.append(loss(w, b))
    return w, b, losses


# %%
w, b, losses = learn(0.1)
right = ((sigmoid(x_pair @ w + b) > 0.5) == target).mean()
print(f"loss {losses[0]:.3f} → {losses[-1]:.3f}; {right:.1%} of these training images are right")
check(right > 0.9, "one neuron tells the first two classes apart")

# %% [markdown]
# The weights have the shape of an image, one for each pixel. Look at them:

# %%
figure, axes = plots.subplots(alt="The weights of the neuron as an image.", width=3.2, height=2.6)
edge = np.abs(w).max()
shape = data.input_shape[:2]
shown = axes.imshow(w.reshape(*shape, -1).mean(axis=2), cmap="RdBu", vmin=-edge, vmax=edge)
figure.colorbar(shown, label="weight")
axes.set_axis_off()
figure

# %% [markdown]
# Blue weights speak for the second class, red ones for the first. In MNIST, ink in the middle speaks for a 1, ink
# around it for a 0.
#
# ### The learning rate
#
# How large should a step be? Take the simplest loss, $L = w^2$ with one weight. Its slope is $2w$, and the best weight
# is 0. Here are ten steps from $w = -4$ (on the right they leave the picture):


# %%
def ten_steps(rate):
    weights = [-4.0]
    for _ in range(10):
        weights.append(weights[-1] - rate * 2 * weights[-1])
    return np.array(weights)


def draw(axes, rate):
    valley, w = np.linspace(-10, 10, 200), ten_steps(rate)
    axes.plot(valley, valley**2, color="0.7")
    axes.plot(w, w**2, "o-", markersize=4)
    axes.set(xlabel="w", ylabel="loss", xlim=(-10, 10), ylim=(-3, 100), title=f"rate {rate:.2f}")


# %% tags=["nbval-ignore-output"]
@interact(rate=(0.01, 1.1, 0.01))
def show(rate=0.1):
    figure, axes = plots.subplots(
        alt=f"Ten steps down a valley at rate {rate}.", width=4, height=2.6
    )
    draw(axes, rate)
    return figure


# %%
figure, panels = plots.subplots(
    1, 3, alt="Ten steps: too small, good, too large.", width=9, height=2.6
)
for axes, rate in zip(panels, (0.02, 0.3, 1.05)):
    draw(axes, rate)
figure

# %% [markdown]
# With a small rate the way is slow. With a good one the steps reach the bottom soon. With a rate that is too large each
# step jumps across the valley and lands higher than before: the loss grows. With many weights the valley is steep in
# some directions and flat in others, and one rate has to do for all. The learning rate is the first thing to set right.
#
# *Remember: against the gradient, in steps of the right size.*
#
# ## 4 · Why layers, and why the bend?
#
# One neuron draws a straight border: on one side it says yes, on the other no. Here are four clouds of points.
# Points in opposite corners belong together. Which share of the points can one neuron get right, at best?

# %%
rng = np.random.default_rng(seed)
corners = np.array([[-1, -1], [1, 1], [-1, 1], [1, -1]])
points = np.repeat(corners, 100, axis=0) + rng.normal(0, 0.3, (400, 2))
colour = np.repeat([0, 0, 1, 1], 100)

# %%
figure, axes = plots.subplots(
    alt="Four clouds; those in opposite corners belong together.", width=3.2
)
for c, marker in ((0, "o"), (1, "^")):
    axes.scatter(*points[colour == c].T, s=8, marker=marker)
axes.set(xlabel="x₁", ylabel="x₂", aspect="equal")
figure

# %%
guess = None  # a share, from 0 to 1


# %%
def share_right(w1, w2, b):
    return ((points @ [w1, w2] + b > 0) == colour).mean()


lines = rng.normal(size=(20_000, 3))  # 20,000 neurons at random
best = max(share_right(*line) for line in lines)
reveal(guess, best, "The best of 20,000 lines: it cuts off one corner.")

# %% [markdown]
# A **layer** is several neurons side by side that get the same inputs. A **hidden layer** lies between the inputs
# and the output. Two hidden neurons solve the problem: the output of one is large in the lower right corner, that of the other in the upper left corner. The output neuron adds both, and asks whether the sum is above 1. We set these weights by hand.

# %%
hidden = np.maximum(points @ np.array([[1, -1], [-1, 1]]), 0)  # two neurons: x₁ − x₂ and x₂ − x₁
two_layers = (hidden @ [1, 1] - 1 > 0) == colour
print(f"with a hidden layer of two neurons: {two_layers.mean():.1%} right")
check(two_layers.mean() > 0.95 > best, "a hidden layer does what one neuron cannot")

# %% [markdown]
# `np.maximum(z, 0)` is the activation function **ReLU** (rectified linear unit): negative sums become 0, positive
# ones stay. It is the usual choice for hidden layers. Other choices are the sigmoid and **tanh**, which lies
# between −1 and 1.

# %%
z = np.linspace(-4, 4, 201)
figure, panels = plots.subplots(1, 3, alt="Sigmoid, tanh and ReLU.", width=8, height=2.4)
bends = {"sigmoid": sigmoid(z), "tanh": np.tanh(z), "ReLU": np.maximum(z, 0)}
for panel, (name, a) in zip(panels, bends.items()):
    panel.plot(z, a)
    panel.set(title=name, xlabel="z")
panels[0].set(ylabel="a")
figure

# %% [markdown]
# Why any bend at all? Without one, two layers are a table times a table times the input. And a table times a
# table is a table: one layer could do the same.

# %%
first, second = rng.normal(size=(2, 50)), rng.normal(size=(50, 1))
check(
    np.allclose((points @ first) @ second, points @ (first @ second)),
    "two layers without a bend are one",
)

# %% [markdown]
# Which bend? By the chain rule, the slopes of all layers are multiplied: those of the bends, and the weights between
# them. The slope of the sigmoid is $a(1 - a)$, at most 0.25. How much of a slope of 1 is left after ten sigmoids, at most?

# %%
guess = None  # a number

# %%
reveal(guess, 0.25**10, "Less than a millionth. ReLU has slope 1 wherever its input is positive.")

# %% [markdown]
# With weights of the usual size, such a product stays tiny. This is the **vanishing gradient**: layers near the input
# get hardly any of the error. It is one reason why ReLU is the usual choice in hidden layers.
#
# The *output* layer is another matter; there the task decides. One probability: sigmoid. One of several classes:
# softmax, which comes next. A quantity: no bend.
#
# *Remember: with a hidden layer and a bend, a network can draw borders that one neuron cannot.*
#
# ## 5 · Ten classes
#
# For ten classes we need ten outputs, one for each class. The weighted sums of the last layer are called
# **logits**. They can be any numbers. **Softmax** turns them into probabilities: positive, with sum 1.
#
# $$p_k = \frac{e^{z_k}}{e^{z_1} + e^{z_2} + \dots + e^{z_{10}}}$$


# %%
def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


print(softmax(np.array([[1.0, 2.0, 4.0]])).round(3))

# %% [markdown]
# Why subtract the largest logit? It changes nothing in the result, because numerator and denominator are divided
# by the same number. But $e^{1000}$ is more than a computer can hold:

# %%
with np.errstate(over="ignore", invalid="ignore"):
    large = np.array([[1000.0, 1001.0]])
    print("without:", np.exp(large) / np.exp(large).sum(), " with:", softmax(large).round(3))

# %% [markdown]
# Our network has 32 neurons in its hidden layer, and ten outputs.

# %%
n_inputs, n_hidden, n_classes = x.shape[1], 32, data.class_count
plots.network_diagram(
    [n_inputs, n_hidden, n_classes], ["pixels x", "hidden h (ReLU)", "probabilities p (softmax)"]
)

# %% [markdown]
# Computing the outputs from the inputs is the **forward pass**. For a batch of $B$ images, with shapes:
#
# $$\underbrace{h}_{B \times 32} = \mathrm{ReLU}(\underbrace{x}_{B \times 784} \, \underbrace{W_1}_{784 \times 32}
# + \underbrace{b_1}_{32}) \qquad \underbrace{p}_{B \times 10} = \mathrm{softmax}(h \, \underbrace{W_2}_{32 \times
# 10} + \underbrace{b_2}_{10})$$


# %%
def forward(parameters, x):
    w1, b1, w2, b2 = parameters
    h = np.maximum(x @ w1 + b1, 0)
    return h, softmax(h @ w2 + b2)


# %% [markdown]
# *Remember: logits are sums, softmax makes them probabilities.*
#
# ## 6 · Back-propagation
#
# The chain rule, layer by layer from the loss back to the weights of the first layer, is called **back-propagation**
# (Rumelhart, Hinton and Williams, 1986). Write $\delta$ for the slope of the loss in the logits of the last
# layer.
#
# *The last layer.* The loss of one image is $L = -\log p_t$, where $t$ is its class. With the formula of softmax,
# $L = -z_t + \log(e^{z_1} + \dots + e^{z_{10}})$. The slope of the logarithm in $z_k$ is $e^{z_k} / (e^{z_1} +
# \dots) = p_k$. So
#
# $$\delta_k = \frac{\partial L}{\partial z_k} = p_k - 1 \text{ if } k = t, \text{ else } p_k$$
#
# that is, probability minus one-hot label: the error again, as with one neuron.
#
# *Its weights.* $z = h W_2 + b_2$, so each weight's slope is the error times its input. For a whole batch, $L$ is the mean of the images' losses, so $\delta$ is divided by the number of images first. Then $\partial L / \partial W_2 = h^T \delta$, and $\partial L / \partial b_2$ is the sum of $\delta$ over the batch. ($h^T$ is $h$ *transposed*: rows become columns; in NumPy, `h.T`.)
#
# *One layer back.* How much does each hidden neuron contribute? Send the error back through the same weights:
# $\delta W_2^T$. ReLU passes it on where it was open ($h > 0$), and stops it elsewhere. Then the same rule again:
# error times input.


# %%
def backward(parameters, x, y):
    """Return the mean loss of a batch and its slope in every parameter."""
    w1, b1, w2, b2 = parameters
    h, p = forward(parameters, x)
    rows = np.arange(len(y))
    delta = p.copy()
    delta[rows, y] -= 1  # probability minus one-hot
    delta /= len(y)  # the loss is a mean
    delta_h = (delta @ w2.T) * (h > 0)
    slopes = [x.T @ delta_h, delta_h.sum(axis=0), h.T @ delta, delta.sum(axis=0)]
    return -np.log(p[rows, y] + 1e-12).mean(), slopes


# %% [markdown]
# Is it right? A **gradient check** compares slopes with trials, as we did for one weight. We draw 200 times at random, about 50 times from each of the four arrays, and compute with `float64` numbers. Of the first layer's weights we take those of pixels with ink: for a pixel that is always 0,
# slope and trial are both 0, whatever the formula is.


# %%
def he_weights(sizes, rng):
    """Return weights and biases of all layers; section 7 explains the size of the weights."""
    parameters = []
    for n_in, n_out in zip(sizes, sizes[1:]):
        parameters += [rng.normal(0, np.sqrt(2 / n_in), (n_in, n_out)), np.zeros(n_out)]
    return parameters


parameters = he_weights([n_inputs, n_hidden, n_classes], rng)

# %%
few, few_y = x[:50].astype("float64"), y[:50]
_, slopes = backward(parameters, few, few_y)
inked = np.flatnonzero(few.mean(axis=0) > 0.1)

# %%
gaps = []
for _ in range(200):
    which = rng.integers(4)  # w1, b1, w2 or b2
    place = [rng.integers(n) for n in parameters[which].shape]
    if which == 0:
        place[0] = rng.choice(inked)
    place = tuple(place)
    sides = []
    for step in (1e-6, -1e-6):
        moved = [q.copy() for q in parameters]
        moved[which][place] += step
        sides.append(backward(moved, few, few_y)[0])
    gaps.append(abs((sides[0] - sides[1]) / 2e-6 - slopes[which][place]))

# %% tags=["nbval-ignore-output"]
print(
    f"largest difference {max(gaps):.1e}, largest slope {max(np.abs(s).max() for s in slopes):.1e}"
)
check(max(gaps) < 1e-6, "back-propagation gives the slopes that a trial gives")

# %% [markdown]
# *Remember: the error goes back through the same weights; a slope is error times input.*
#
# ## 7 · With which weights should a training begin?
#
# Suppose that all weights of the network start with the same value. Then all hidden neurons compute the same, get the
# same error back through equal weights, and stay the same. We train such a network for 20 steps. How many *different*
# hidden neurons does it have then, out of 32?

# %%
guess = None  # a whole number

# %%
equal = [np.full_like(q, 0.01) for q in parameters]
for _ in range(20):
    _, slopes = backward(equal, x[:500], y[:500])
    equal = [q - 0.1 * s for q, s in zip(equal, slopes)]
different = np.unique(equal[0].round(12), axis=1).shape[1]
reveal(guess, different, "32 neurons do the work of one.")
check(np.abs(equal[0] - 0.01).max() > 1e-4, "the weights did move")

# %% [markdown]
# So the initial weights are drawn at random. How large should they be? Send images through ten layers of 100 neurons, with weights of three sizes, and look at the standard deviation of what the neurons give, after each layer.


# %%
def spreads(factor, layers=10):
    a, found = x[:200], []
    for _ in range(layers):
        weights = np.random.default_rng(len(found)).normal(
            0, factor / np.sqrt(a.shape[1]), (a.shape[1], 100)
        )
        a = np.maximum(a @ weights, 0)
        found.append(a.std())
    return found


# %%
figure, axes = plots.subplots(alt="Spread of the activations by layer, for three sizes of weights.")
for factor, style, name in ((0.7, ":", "half of He"), (2**0.5, "-", "He"), (2.8, "--", "twice He")):
    axes.plot(
        range(1, 11), spreads(factor), style, label=f"√(variance · inputs) = {factor:.1f} ({name})"
    )
axes.set(xlabel="layer", ylabel="standard deviation", yscale="log")
axes.legend()
figure

# %% [markdown]
# With small weights the signal dies out, with large ones it explodes. (The gradient, which goes back through the same
# weights, has the same problem.) **He initialisation** (He et al., 2015) draws weights with variance $2 / n$ for $n$
# inputs, which keeps the signal about equal through layers of ReLU. **Glorot initialisation** (Glorot and Bengio, 2010)
# has variance $2 / (n_\text{in} + n_\text{out})$ and was derived for bends like tanh. Keras uses Glorot unless you tell
# it otherwise.

# %%
he, small = spreads(2**0.5), spreads(0.7)
check(he[-1] / he[0] > 0.3 > 0.05 > small[-1] / small[0], "with He the signal survives ten layers")

# %% [markdown]
# *Remember: random, and of the right size.*
#
# ## 8 · Training
#
# A gradient over all images is exact but slow: one step for one look at all the data. **Stochastic gradient
# descent** (SGD) takes a **mini-batch**, a few images drawn at random, steps, and takes the next ones. One pass
# through all training images is an **epoch**. Below, a step is the same line as for one neuron.


# %%
def accuracy(parameters, x, y):
    return (forward(parameters, x)[1].argmax(axis=1) == y).mean()


def train(parameters, rate=0.2, epochs=epochs, batch_size=50, seed=seed):
    rng, history = np.random.default_rng(seed), []
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            value, slopes = backward(parameters, x[batch], y[batch])
            parameters = [q - rate * s for q, s in zip(parameters, slopes)]
            history.append(value)
    return parameters, history


# %% tags=["nbval-ignore-output"]
start = [q.astype("float32") for q in he_weights([n_inputs, n_hidden, n_classes], rng)]
trained, history = train(start)
figure, axes = plots.subplots(alt="The loss of each mini-batch falls, with much noise.")
axes.plot(history, linewidth=0.8)
axes.set(xlabel="step", ylabel="loss of the mini-batch")
figure

# %% [markdown]
# The curve is rough because each mini-batch is another sample (lesson 02: a mean of 50 has a standard error). The
# way is down all the same. By chance, about one in ten answers would be right. Which share of the test images is right now? (The
# nearest mean image of lesson 02 got 82% of MNIST.)

# %%
guess = None  # a share, from 0 to 1

# %% tags=["nbval-ignore-output"]
test_accuracy = accuracy(trained, x_test, y_test)
print(
    f"training images {accuracy(trained, x, y):.1%}, validation {accuracy(trained, x_val, y_val):.1%}"
)
reveal(guess, test_accuracy, "Not bad for about 30 lines of NumPy.")

# %%
check(test_accuracy > 0.88, "more than 88% of the test images are right")

# %% [markdown]
# The network is better on the images that it learned from than on new ones. Lesson 04 is about that difference.
#
# *Remember: a mini-batch gives a rough gradient for little work.*
#
# ## 9 · Better steps
#
# A narrow valley is steep across and nearly flat along. The steep direction limits the learning rate: larger steps would swing from wall to wall, further each time. But this rate is small for the flat direction. An **optimizer** is
# a rule that makes steps out of gradients. Three improvements on SGD are in use everywhere. $g$ is the gradient.
#
# **Momentum** keeps a velocity $v$, as a ball that rolls: $v \leftarrow \beta v - \eta g$, then $w \leftarrow w +
# v$, with $\beta = 0.9$.


# %%
class Momentum:
    def __init__(self, rate, beta=0.9):
        self.rate, self.beta, self.v = rate, beta, None

    def step(self, parameters, slopes):
        self.v = self.v or [0 * q for q in parameters]
        self.v = [self.beta * v - self.rate * g for v, g in zip(self.v, slopes)]
        return [q + v for q, v in zip(parameters, self.v)]


# %% [markdown]
# (The class keeps `v` from step to step. Before the first step it is `None`, and `or` takes the zeros instead.) With
# $\beta = 0$ this is plain SGD. **RMSprop** (Hinton, 2012) divides the step of each weight by the usual size of the slope of this weight:
# $s \leftarrow 0.9 \, s + 0.1 \, g^2$, then $w \leftarrow w - \eta \, g / \sqrt{s}$. So steep and flat directions
# get steps of about the same size. (A tiny number is added to the root, so that nothing is divided by 0.)


# %%
class RMSprop:
    def __init__(self, rate):
        self.rate, self.s = rate, None

    def step(self, parameters, slopes):
        self.s = self.s or [0 * q for q in parameters]
        self.s = [0.9 * s + 0.1 * g**2 for s, g in zip(self.s, slopes)]
        return [
            q - self.rate * g / (np.sqrt(s) + 1e-7) for q, g, s in zip(parameters, slopes, self.s)
        ]


# %% [markdown]
# **Adam** (Kingma and Ba, 2015) does both: $m \leftarrow 0.9 \, m + 0.1 \, g$ and $s \leftarrow 0.999 \, s + 0.001 \,
# g^2$, then $w \leftarrow w - \eta \, \hat m / \sqrt{\hat s}$. Both start at 0 and are too small at first. After $t$ steps $m$ is too small by the factor $1 - 0.9^t$, and $s$ by $1 - 0.999^t$; dividing by these corrects that: $\hat m = m / (1 - 0.9^t)$ and $\hat s = s / (1 - 0.999^t)$.


# %%
class Adam:
    def __init__(self, rate):
        self.rate, self.m, self.s, self.t = rate, None, None, 0

    def step(self, parameters, slopes):
        self.m, self.s = (
            self.m or [0 * q for q in parameters],
            self.s or [0 * q for q in parameters],
        )
        self.t += 1
        self.m = [0.9 * m + 0.1 * g for m, g in zip(self.m, slopes)]
        self.s = [0.999 * s + 0.001 * g**2 for s, g in zip(self.s, slopes)]
        m = [m / (1 - 0.9**self.t) for m in self.m]
        s = [s / (1 - 0.999**self.t) for s in self.s]
        return [q - self.rate * a / (np.sqrt(b) + 1e-7) for q, a, b in zip(parameters, m, s)]


# %% [markdown]
# On a valley that is 50 times as steep across as along, 60 steps each:


# %%
def valley(x, y):
    return 0.5 * x**2 + 25 * y**2


def descend(optimizer, steps=60):
    path = [np.array([-9.0, 1.0])]
    for _ in range(steps):
        path.append(optimizer.step([path[-1]], [path[-1] * [1, 50]])[0])
    return np.array(path)


paths = {
    "SGD, rate 0.03": descend(Momentum(0.03, beta=0)),
    "momentum, rate 0.01": descend(Momentum(0.01)),
    "Adam, rate 0.5": descend(Adam(0.5)),
}
plots.descent_paths(valley, paths, limits=(-10, 6, -3, 3), title="60 steps through a valley")

# %% [markdown]
# SGD creeps along the flat direction. (Rates that we chose by hand, one run each, for a picture.) Momentum and Adam swing past the bottom and come back. Which is best for our network?
# That depends on the learning rate. So we try nine rates for each optimizer, each with several seeds, one epoch
# each, and compare the *validation* loss.


# %%
def validation_loss(optimizer, seed):
    rng = np.random.default_rng(seed)
    parameters = [q.astype("float32") for q in he_weights([n_inputs, n_hidden, n_classes], rng)]
    order = rng.permutation(len(x))
    for start in range(0, len(order), 50):
        batch = order[start : start + 50]
        parameters = optimizer.step(parameters, backward(parameters, x[batch], y[batch])[1])
    return min(backward(parameters, x_val, y_val)[0], 3.0)  # a loss above 3 counts as 3


# %% tags=["nbval-ignore-output"]
makers = {
    "SGD": lambda rate: Momentum(rate, beta=0),
    "momentum": Momentum,
    "RMSprop": RMSprop,
    "Adam": Adam,
}
grid = [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0]
trials = {name: {} for name in makers}
with np.errstate(all="ignore"):
    for name, make in makers.items():
        for rate in grid:
            trials[name][rate] = [
                np.nan_to_num(validation_loss(make(rate), s), nan=3.0) for s in range(n_seeds)
            ]

# %% tags=["nbval-ignore-output"]
figure, axes = plots.subplots(
    alt="Validation loss against learning rate for four optimizers.", height=3.4
)
for (name, by_rate), marker in zip(trials.items(), "os^D"):
    means = [np.mean(values) for values in by_rate.values()]
    axes.plot(grid, means, marker=marker, label=name)
axes.set(
    xscale="log",
    xlabel="learning rate (logarithmic axis)",
    ylabel="validation loss after one epoch",
)
axes.legend()
figure

# %% [markdown]
# Far from the best rate the loss is much higher. (A run with a loss above 3, or with one that is no number any more, counts as 3, so the means at the right may be
# too low.) The best rate of SGD is far larger than
# those of RMSprop and Adam; momentum's is a tenth of SGD's, because its steps add up to ten times as much. So a rate says
# nothing without its optimizer.
#
# Which optimizer is best, each at its own best rate? We chose these rates because they were good *with these seeds*, so
# their losses are a bit too good. For the comparison we train again, with fresh seeds (the numbers with which random choices begin). That removes a part of the luck; the validation images are the same. All optimizers get the same seeds,
# so that we can look at differences seed by seed:

# %% tags=["nbval-ignore-output"]
from scipy.stats import t

best_rate = {name: min(grid, key=lambda r: np.mean(own[r])) for name, own in trials.items()}
fresh = pd.DataFrame(
    {
        name: [validation_loss(makers[name](rate), 100 + s) for s in range(n_seeds)]
        for name, rate in best_rate.items()
    }
)
differences = fresh.sub(fresh["SGD"], axis=0)
half = t.ppf(0.975, n_seeds - 1) * differences.std() / np.sqrt(n_seeds)
best = pd.DataFrame({"best rate": best_rate, "mean loss": fresh.mean()})
best["difference to SGD"], best["± (95%)"] = differences.mean(), half
clear = best.index[differences.mean().abs() > half]
print("clearly different from SGD:", ", ".join(clear) or "none")
best.round(3)

# %% [markdown]
# With five seeds, mean ± 2.78 standard errors holds the true mean in 95% of such experiments (`t.ppf` gives the 2.78;
# lesson 08 explains it). If 0 lies between difference − ± and difference + ±, this experiment cannot tell the optimizer from SGD. It compares each with SGD only, not the others with each other, and it is about one small network and one epoch. As the picture shows, no optimizer forgives every rate, either:

# %% tags=["nbval-ignore-output", "hide"]
on_an_edge = [name for name in best.index if best.loc[name, "best rate"] in (grid[0], grid[-1])]
check(not on_an_edge, "no best rate lies at the edge of the grid", required=data.name == "mnist")
adam = {rate: np.mean(values) for rate, values in trials["Adam"].items()}
print("Adam:", {rate: round(float(value), 2) for rate, value in adam.items()})
check(adam[0.3] > 1.5 * min(adam.values()), "a badly chosen rate hurts Adam too")

# %% [markdown]
# A **learning rate schedule** makes large steps at first and small ones at the end. We do not try it here. It changes the rate
# during training, for example along half a cosine from the full rate down to 0.

# %%
steps = np.arange(1000)
figure, axes = plots.subplots(alt="Three schedules: constant, steps, cosine.", height=2.4)
axes.plot(steps, np.full(1000, 0.1), ":", label="constant")
axes.plot(steps, 0.1 * 0.3 ** (steps // 300), "--", label="steps")
axes.plot(steps, 0.05 * (1 + np.cos(np.pi * steps / 1000)), label="cosine")
axes.set(xlabel="step", ylabel="learning rate")
axes.legend()
figure

# %% [markdown]
# Where to begin in practice: Adam with rate 0.001, Keras's default. Then change the rate by factors of three, as long as
# the validation loss gets better, before you change anything else.
#
# *Remember: tune the learning rate of each optimizer before you compare optimizers.*
#
# ## Check yourself

# %% tags=["hide"]
choose(
    "A layer has 100 inputs and 20 neurons. How many parameters does it have?",
    {
        "2,000": "These are the weights; each neuron also has a bias.",
        "2,020": "20 neurons with 100 weights and one bias each.",
        "2,100": "There is one bias for each neuron, not for each input.",
    },
    answer="2,020",
)

# %% tags=["hide"]
choose(
    "The loss jumps up and down and does not fall. What do you try first?",
    {
        "a smaller learning rate": "Steps that are too large jump over the valley.",
        "a larger learning rate": "The steps are too large already.",
        "more neurons": "They do not help as long as the steps are too large.",
    },
    answer="a smaller learning rate",
)

# %% tags=["hide"]
choose(
    "Why is accuracy not used as a loss?",
    {
        "It is hard to compute.": "It is easy to compute.",
        "It is nearly flat everywhere.": "A small change of the weights mostly changes no answer, so "
        "its slope is 0 and gives no direction.",
        "It must be made larger, not smaller.": "One could make its negative smaller.",
    },
    answer="It is nearly flat everywhere.",
)

# %% tags=["hide"]
choose(
    "All weights of a network start at 0.01. What goes wrong?",
    {
        "The weights never move.": "They move, but for every hidden neuron in the same way.",
        "The neurons of a hidden layer stay alike.": "They get the same inputs and the same errors, so "
        "they take the same steps.",
        "The loss becomes infinite.": "Nothing grows without bound here.",
    },
    answer="The neurons of a hidden layer stay alike.",
)

# %% tags=["hide"]
choose(
    "Optimizer A with rate 0.1 has a lower loss than optimizer B with rate 0.1. What follows?",
    {
        "A is better.": "B may have its best rate elsewhere.",
        "Nothing: compare each at its own best rate.": "Rates of different optimizers mean "
        "different things.",
        "B needs more epochs.": "It may, or it may just need another rate.",
    },
    answer="Nothing: compare each at its own best rate.",
)

# %% [markdown]
# ## What to take away
#
# - A network is weighted sums with bends between them. Its gradient comes from the chain rule, and a gradient
#   check tests the derivation.
# - Softmax and cross-entropy for classes; ReLU and He's first weights in between.
# - The learning rate comes first. Choose it on validation data, for each optimizer on its own.
#
# Now the [exercises](exercises/03_exercises.ipynb). Next lesson: [04 · Training with
# Keras](04_training_with_keras.ipynb), which does all this in five lines.

# %% tags=["nbval-ignore-output", "hide"]
record(
    dataset=data.name,
    n_train=len(x),
    val_accuracy=accuracy(trained, x_val, y_val),
    test_accuracy=test_accuracy,
    best_adam_rate=float(best.loc["Adam", "best rate"]),
)
