# %% [markdown]
# # An experiment: train one classifier
#
# One network is built from the parameters below, trained, validated and tested; what came of it is recorded. Made to
# be swept (`course sweep train_classifier -g learning_rate=0.001,0.01 --repeat 5`), and to be copied
# (`course new mine.ipynb`): change it into an experiment of your own.

# %%
from typing import Optional

from helpers import plots
from helpers.datasets import load_dataset
from helpers.evaluation import evaluate
from helpers.models import build_cnn, build_mlp, build_rnn
from helpers.preprocessing import augmentation
from helpers.runs import record
from helpers.training import train

# %% tags=["parameters"]
dataset: str = "mnist"  # a data set: a name (mnist, digits, iris, …) or a path
n_samples: Optional[int] = 5000  # at most this many training samples; None for all
network: str = "cnn"  # mlp (any data), cnn (images) or rnn (images by rows, sequences)
layers: list = [16, 32]  # neurons (mlp) or filters (cnn) of each hidden layer; units of the rnn
optimizer: str = "adam"  # of Keras: adam, sgd, rmsprop, adadelta, …
learning_rate: float = 0.001  # of the optimizer
batch_size: int = 64  # samples in a step
epochs: int = 3  # times through the data
dropout: float = 0.25  # share of neurons that are silenced during training
l2: float = 0.0  # penalty on large weights
augment: bool = False  # whether images are turned, shifted and zoomed a little
checkpoint: Optional[str] = None  # a file to go on from, and to keep the training in
seed: int = 0  # of the sample, the weights, the order and the held-out part

# %%
data = load_dataset(dataset, fallback="digits", seed=seed).subset(n_samples, seed)
data

# %%
options = {"l2": l2, "seed": seed}
if network == "mlp":
    model = build_mlp(data, hidden=layers, dropout=dropout, **options)
elif network == "rnn":
    model = build_rnn(data, units=layers[0], dropout=dropout, **options)
else:  # an image below 16×16 is too small for a pooling after each layer
    blocks = [layers] if min(data.input_shape[:2]) < 16 else [[filters] for filters in layers]
    model = build_cnn(data, blocks=blocks, dense=64, dropout=(dropout, dropout), **options)

# %%
changed = None
if augment:
    changed = augmentation(rotation=10, shift=0.1, shear=0, zoom=0.1, horizontal_flip=False)

# %% tags=["nbval-ignore-output"]
run = train(
    model, data, epochs=epochs, batch_size=batch_size, optimizer=optimizer,
    learning_rate=learning_rate, augmentation=changed, checkpoint=checkpoint, seed=seed,
)  # fmt: skip

# %% tags=["nbval-ignore-output"]
plots.learning_curves(run.history, title=f"{network}, {optimizer} {learning_rate:g}")

# %% tags=["nbval-ignore-output"]
test = evaluate(model, data)
test

# %% tags=["nbval-ignore-output"]
last = run.history.iloc[-1]
record(
    dataset=data.name,
    val_accuracy=last["val_accuracy"],
    val_loss=last["val_loss"],
    test_accuracy=test.accuracy,
    test_loss=test.loss,
    history=run.history,
    plan=run.plan,
)
