# %% [markdown]
# # An experiment: train one classifier
#
# One network is built from the parameters below, trained, and tested; what came of it is recorded. Made to
# be swept (`course sweep train_classifier -g learning_rate=0.001,0.01 --repeat 5`), and to be copied: change
# it into an experiment of your own.

# %%
from typing import Optional

from helpers import plots
from helpers.datasets import load_dataset
from helpers.evaluation import evaluate
from helpers.models import build_cnn, build_mlp, build_rnn
from helpers.runs import record
from helpers.training import train

# %% tags=["parameters"]
dataset: str = "mnist"  # a data set: a name (mnist, digits, iris, …) or a path
n_samples: Optional[int] = 5000  # at most this many training samples; None for all
network: str = "cnn"  # mlp, cnn or rnn
optimizer: str = "adam"  # of Keras: adam, sgd, rmsprop, adadelta, …
learning_rate: float = 0.001  # of the optimizer
batch_size: int = 64  # samples in a step
epochs: int = 3  # times through the data
dropout: float = 0.25  # share of units that are silenced during training
seed: int = 0  # of the sample, the weights, the order and the held-out part

# %%
data = load_dataset(dataset, fallback="digits", seed=seed).subset(n_samples, seed)
data

# %%
if network == "cnn":
    small = min(data.input_shape[:2]) < 16
    blocks = ((16,), (32, 32)) if not small else ((16, 32),)
    model = build_cnn(data, blocks=blocks, dense=64, dropout=(dropout, dropout), seed=seed)
else:
    model = {"mlp": build_mlp, "rnn": build_rnn}[network](data, dropout=dropout, seed=seed)

# %% tags=["nbval-ignore-output"]
run = train(
    model, data, epochs=epochs, batch_size=batch_size, optimizer=optimizer,
    learning_rate=learning_rate, seed=seed,
)  # fmt: skip

# %% tags=["nbval-ignore-output"]
plots.learning_curves(run.history, title=f"{network}, {optimizer} {learning_rate:g}")

# %% tags=["nbval-ignore-output"]
test = evaluate(model, data)
test

# %% tags=["nbval-ignore-output"]
record(
    dataset=data.name,
    accuracy=test.accuracy,
    loss=test.loss,
    val_accuracy=run.history["val_accuracy"].iloc[-1],
    val_loss=run.history["val_loss"].iloc[-1],
    history=run.history,
    plan=run.plan,
)
