# %% [markdown]
# # 06 · Recurrent networks
#
# *Kanariansaaret.* You may not know the word, but you feel that it is Finnish, and with each letter you become more certain. A dense network wants all its numbers at once. How can a network read a sequence
# piece by piece and remember what came before?
#
# | | |
# |---|---|
# | Time | 1½ hours: 55 minutes to read and try, 35 for the [exercises](exercises/06_exercises.ipynb); it runs in 1½ minutes |
# | You will learn | recurrent cells, LSTM and GRU, how memory fades, text as a sequence, an honest baseline |
# | You need | lessons [03](03_neural_networks.ipynb), [04](04_training_with_keras.ipynb) and [05](05_convolutional_networks.ipynb) |

# %%
from typing import Optional

from helpers import plots
from helpers.classroom import attempt, check, reveal
from helpers.datasets import load_dataset
from helpers.evaluation import evaluate
from helpers.models import build_rnn
from helpers.preprocessing import encode_letters, scale
from helpers.runs import record
from helpers.training import train

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

# %% tags=["parameters"]
dataset: str = "mnist"  # images to read row by row: a name (mnist, digits, …) or a path
n_samples: Optional[int] = 12_000  # at most this many training images; None for all
epochs: int = 4  # times through the images
batch_size: int = 128  # images in a step
texts: str = "languages"  # short texts with classes: languages, or a path such as text/names
n_texts: Optional[int] = None  # at most this many training texts; None for all
text_epochs: int = 10  # times through the texts, at most
seed: int = 0  # of every random choice below

# %% [markdown]
# ## 1 · An image as a sequence
#
# Read a picture like a page: one row after the other. A recurrent network sees only one row at a time,
# and keeps a **state**, a handful of numbers, between them. (In the first picture below nothing is to be seen yet: the upper rows of a digit are empty.)

# %%
data = load_dataset(dataset, fallback="digits", seed=seed).subset(n_samples, seed)

# %% tags=["hide"]
full_mnist = data.name == "mnist" and len(data.x_train) >= 12_000  # what some claims are about
if len(data.input_shape) == 3:  # colour: the three values of a pixel side by side
    rows = (len(data.x_train), data.input_shape[0], -1), (len(data.x_test), data.input_shape[0], -1)
    data = data.replace(x_train=data.x_train.reshape(rows[0]), x_test=data.x_test.reshape(rows[1]))

# %%
steps, features = data.input_shape
print(f"{data}\neach image is a sequence of {steps} steps with {features} numbers each")

# %%
image = scale(data).x_train[0]
seen_so_far = np.stack([np.where(np.arange(steps)[:, None] < k, image, 0)
                        for k in np.linspace(steps / 8, steps, 8).astype(int)])  # fmt: skip
plots.image_grid(
    seen_so_far, columns=8, title="what the network has seen after 1/8, 2/8, … of the rows"
)

# %% [markdown]
# ## 2 · What a recurrent cell computes
#
# The simplest cell (Elman, 1990) mixes the new row $x_t$ with its old state $h_{t-1}$, and bends:
# $h_t = \tanh(x_t W + h_{t-1} U + b)$. The *same* W, U and b at every step. In NumPy it is a loop of one
# line; compare with Keras, on real rows and with the same random weights.

# %%
units = 32
few = scale(data).x_train[:50].astype("float32")
simple = keras.layers.SimpleRNN(units)
by_keras = np.asarray(simple(few))
w, u, b = simple.get_weights()

state = np.zeros((len(few), units), "float32")
for t in range(steps):
    state = np.tanh(few[:, t] @ w + state @ u + b)

check(np.abs(state - by_keras).max() < 1e-5, "SimpleRNN: NumPy equals Keras")


# %% [markdown]
# The **LSTM** (Hochreiter and Schmidhuber, 1997) adds a second state $c$, the *cell state*, that does not pass through a tanh at every step. Three **gates**, numbers between 0 and 1, decide how much of the old cell is kept (the *forget gate*, added by Gers, Schmidhuber and Cummins, 2000: 1 keeps all, 0 forgets all), how much of something new is written (*input gate*) and how much is shown (*output gate*). The new thing, the *candidate*, is computed from the row and the state as in the simple cell. In the code below the three gates are `forget`, `write` and `show`. The
# **GRU** (Cho et al., 2014) is a simpler cell with two gates and one state.


# %%
def sigmoid(z):
    return 1 / (1 + np.exp(-z))


lstm = keras.layers.LSTM(units)
by_keras = np.asarray(lstm(few))
w, u, b = lstm.get_weights()  # four matrices side by side: write, forget, candidate, show

state, cell = np.zeros((2, len(few), units), "float32")
for t in range(steps):
    write, forget, candidate, show = np.split(few[:, t] @ w + state @ u + b, 4, axis=1)
    cell = sigmoid(forget) * cell + sigmoid(write) * np.tanh(candidate)
    state = sigmoid(show) * np.tanh(cell)

check(np.abs(state - by_keras).max() < 1e-5, "LSTM: NumPy equals Keras")

# %% [markdown]
# ## 3 · How memory fades
#
# How much does the last state still depend on row *t*? Differentiate: how much does the final state change when the numbers of row *t* change a little? We ask cells fresh from their initialisation, with 64 sequences of random numbers, each of 100 steps. (The function below differentiates the sum of the states' absolute values, takes the mean absolute slope of each step, and divides by that of the last step.) Which steps will have more influence, the first or the last?

# %%
guess = None  # "the first" or "the last"


# %%
def influence(layer, x):
    """Return the mean slope of the final state in every step, relative to the last step's."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(tf.abs(layer(x)))
    slope = tf.reduce_mean(tf.abs(tape.gradient(total, x)), axis=(0, 2)).numpy()
    return slope / slope[-1]


noise = np.random.default_rng(seed).normal(size=(64, 100, 28)).astype("float32")
keras.utils.set_random_seed(seed)
cells = {"SimpleRNN": keras.layers.SimpleRNN, "LSTM": keras.layers.LSTM, "GRU": keras.layers.GRU}
fading = {name: influence(make(units), noise) for name, make in cells.items()}
plots.curves(np.arange(-99, 1), fading, xlabel="step (0 is the last)",
             ylabel="influence on the final state", logarithmic=True)  # fmt: skip

# %%
stronger = {"the first" if a[:10].mean() > a[-10:].mean() else "the last" for a in fading.values()}
reveal(guess, " or ".join(stronger), "In all three cells the influence falls with the distance.")

# %%
check(max(a[:10].max() for a in fading.values()) < 0.01, "after 90 steps less than 1% is left")

# %% [markdown]
# Each step back multiplies the slope by about the same factor; below 1 that is an exponential decay, a straight line on this axis, which is logarithmic (the
# *vanishing gradient*: Hochreiter, 1991; Bengio, Simard and Frasconi, 1994). These are cells *before training*, and
# here the GRU forgets faster than the SimpleRNN; one possible reason is that its gates begin half open. (Keras begins the LSTM's forget gate with a
# bias of 1, so that it is more open.) A gate can *learn* to stay open and so carry the state along unchanged; a SimpleRNN cannot. We do not test that here; we only compare trained cells:
#
# ## 4 · Five readers of one page

# %% tags=["nbval-ignore-output"]
readers = {
    "LSTM": {"cell": "lstm"},
    "LSTM, relu": {"cell": "lstm", "activation": "relu"},
    "GRU": {"cell": "gru"},
    "SimpleRNN": {"cell": "simple"},
    "LSTM, both directions": {"cell": "lstm", "bidirectional": True},
}
models, runs = {}, {}
for name, options in readers.items():
    models[name] = build_rnn(data, seed=seed, **options)
    runs[name] = train(models[name], data, epochs=epochs, batch_size=batch_size, seed=seed,
                       progress=name == "LSTM")  # fmt: skip

# %% tags=["nbval-ignore-output"]
tests = {name: evaluate(model, data) for name, model in models.items()}
table = pd.DataFrame(
    {
        "parameters": {name: model.count_params() for name, model in models.items()},
        "test accuracy": {name: test.accuracy for name, test in tests.items()},
        "images a second": {name: run.samples_per_second for name, run in runs.items()},
    }
)
table.round({"test accuracy": 4, "images a second": -2})

# %% tags=["nbval-ignore-output", "hide"]
lstm_accuracy, simple_accuracy = (tests[name].accuracy for name in ("LSTM", "SimpleRNN"))
check(
    lstm_accuracy > simple_accuracy, "the LSTM reads better than the SimpleRNN", required=full_mnist
)

# %% tags=["nbval-ignore-output"]
plots.learning_curves({n: runs[n].history for n in ("LSTM", "LSTM, relu", "SimpleRNN")})

# %% [markdown]
# (One run each, so small differences mean nothing. The cells with gates also have more parameters, so this does not show
# that the gates are the reason. "Both directions" are two LSTMs: one reads from the top, one from the bottom, and the
# dense layer gets the last states of both.) The LSTM manages with 8,138 numbers, a fiftieth of the dense
# network of lesson 04: it uses the same ones at every row. It is not as good, and four epochs are few for it. (The variant with *relu* is found in tutorials too. Its states have no upper limit, so they can become infinite on long sequences; here they do not.)
#
# ## 5 · Letters: which language is it?
#
# Images are no real sequences; words are. Names of countries and languages in eighteen languages, from the Unicode CLDR, a collection that most computers and phones use to speak to people in their language. Those that are spelled the same in several are left out. (The readers below turn capitals into small letters; then 90 spellings are the same in two languages after all.)

# %%
words = load_dataset(texts, seed=seed).subset(n_texts, seed)
is_languages = words.name == "languages" and n_texts is None
picks = np.random.default_rng(seed).choice(len(words.x_train), 8, replace=False)
pd.DataFrame(
    {"text": words.x_train[picks], "class": np.array(words.class_names)[words.y_train[picks]]}
)

# %% [markdown]
# The characters of a text become small letters, and each of them a one-hot row: one step for each character, and one number for each of the characters that the training texts hold. Short texts are filled up *in front*, so that the last step is always a character of the text.

# %%
letters = encode_letters(words, length=20)
print(letters)
longest = max(map(len, words.x_train))
print(f"the longest has {longest} letters; of longer ones than 20 the end is kept")

# %% [markdown]
# ### Baselines first
#
# A result means something only in comparison with a simple method. Three rivals: always the commonest class; a logistic regression
# on *how often* each letter occurs, blind to the order; and the same on groups of one to three neighbouring
# letters, a strong classic of language identification (Cavnar and Trenkle, 1994, used such groups).
#
# How many of the three will a recurrent network beat?

# %%
guess = None  # 0, 1, 2 or 3

# %% tags=["nbval-ignore-output"]
commonest = np.bincount(words.y_train).argmax()
rivals = {"commonest class": (words.y_test == commonest).mean()}
for name, longest_group in (("letters, no order", 1), ("groups of 1 to 3 letters", 3)):
    counter = CountVectorizer(analyzer="char_wb", ngram_range=(1, longest_group), min_df=2)
    rival = make_pipeline(counter, LogisticRegression(max_iter=300))
    rival.fit(words.x_train, words.y_train)
    rivals[name] = rival.score(words.x_test, words.y_test)
pd.Series(rivals).round(3).to_frame("test accuracy")

# %% tags=["nbval-ignore-output"]
reader = build_rnn(letters, cell="gru", units=64, seed=seed)
reading = train(reader, letters, epochs=text_epochs, batch_size=64, learning_rate=0.003,
                early_stopping=3, seed=seed)  # fmt: skip

# %% tags=["nbval-ignore-output"]
plots.learning_curves(reading.history, title="GRU(64), letter by letter")

# %% tags=["nbval-ignore-output"]
text_evaluation = evaluate(reader, letters)
text_accuracy = text_evaluation.accuracy
pd.Series(rivals | {"GRU, letter by letter": text_accuracy}).sort_values().round(3).to_frame(
    "test accuracy"
)

# %% tags=["nbval-ignore-output"]
beaten = sum(text_accuracy > accuracy for accuracy in rivals.values())
reveal(guess, beaten, f"It reads {text_accuracy:.1%} of the test texts right.")

# %% tags=["nbval-ignore-output", "hide"]
groups = rivals["groups of 1 to 3 letters"]
check(groups > rivals["letters, no order"], "groups beat single letters", required=is_languages)
check(groups >= text_accuracy, "groups are not worse than the network", required=is_languages)

# %% [markdown]
# In this run, counting groups of letters is better than the recurrent network, and it is simpler. How large is the difference, compared with its standard error? The table shows one run, with few test texts:

# %% tags=["nbval-ignore-output"]
difference = rivals["groups of 1 to 3 letters"] - text_accuracy
p = np.array([text_accuracy, rivals["groups of 1 to 3 letters"]])
standard_error = np.sqrt((p * (1 - p) / len(words.y_test)).sum())
print(
    f"{100 * difference:+.1f} points, {difference * len(words.y_test):.0f} of {len(words.y_test)} texts"
)
print(f"{difference / standard_error:.1f} standard errors")

# %% [markdown]
# Below two standard errors such a difference proves nothing. Far above them, the choice of the test texts hardly explains
# it. (The formula is for two groups of texts that have nothing to do with each other; both are tested on the same texts, so it is rough, and it leaves out the luck
# of training.) The comparison is not quite fair to the network: it keeps a tenth of the texts for validation, sees only
# the last 20 letters, and may still get better with more epochs. What one can say: in this run, and trained like this,
# the network is *not better* than a simple method. Without that baseline, the figure would have looked like a success.
#
# Which languages are mixed up? Look before you read on, and ask whether *you* could tell them apart.

# %% tags=["nbval-ignore-output"]
plots.confusion_matrix(
    text_evaluation.confusion(), title="GRU, letter by letter, on the test texts"
)

# %% tags=["nbval-ignore-output"]
matrix = text_evaluation.confusion().to_numpy().astype(float)
np.fill_diagonal(matrix, 0)
pairs = matrix + matrix.T
for first, second in np.argwhere(np.triu(pairs) == pairs.max()):
    count = int(pairs[first, second])
    print(f"{count} times mixed up: {words.class_names[first]} and {words.class_names[second]}")

# %% [markdown]
# ## What goes wrong here
#
# Three pieces of code that are found in tutorials, run for you. An LSTM wants (steps, numbers) for each sample: an image of 784 numbers has no steps. A second LSTM wants a sequence, and the first one gives only its last state, unless it is made with `return_sequences=True`. The third piece makes an LSTM and never uses it.


# %%
def never_called():
    inputs = keras.Input((28, 28))
    keras.layers.LSTM(32)  # made, but never called on the inputs
    return keras.layers.Dense(10, activation="softmax")(inputs).shape


def stacked():
    x = keras.layers.LSTM(32)(keras.Input((28, 28)))  # without return_sequences=True
    return keras.layers.LSTM(32)(x).shape


# %%
attempt(
    "images of 784 numbers into an LSTM", lambda: keras.layers.LSTM(32)(keras.Input((784,))).shape
)
attempt("two LSTMs, one after the other", stacked)
attempt("an LSTM that is never called", never_called)

# %% [markdown]
# The last one is the worst: it *runs*. Its output has the shape (batch, 28, 10), ten probabilities for each row: the LSTM is not in the network at all. So look at `model.summary()` before you train.
#
# ## What to take away
#
# - A recurrent network applies the same weights at every step and carries a state along; you have computed
#   it yourself.
# - In the three cells tried here, before training, influence fades about exponentially with distance.
# - Few parameters, but step after step: each step has to wait for the one before.
# - A strong simple baseline belongs beside every network.
#
# Now the [exercises](exercises/06_exercises.ipynb). Next lesson: [07 · Pretrained
# networks](07_pretrained_networks.ipynb): a network that others have trained for weeks looks at your photos.

# %% tags=["nbval-ignore-output", "hide"]
record(
    dataset=data.name,
    n_train=len(data.x_train),
    val_accuracy=runs["LSTM"].history["val_accuracy"].iloc[-1],
    val_loss=runs["LSTM"].history["val_loss"].iloc[-1],
    test_accuracy=tests["LSTM"].accuracy,
    test_loss=tests["LSTM"].loss,
    gru_accuracy=tests["GRU"].accuracy,
    simple_accuracy=simple_accuracy,
    text_accuracy=text_accuracy,
    text_baseline=rivals["groups of 1 to 3 letters"],
    samples_per_second=runs["LSTM"].samples_per_second,
    history=runs["LSTM"].history,
    plan=runs["LSTM"].plan,
)
