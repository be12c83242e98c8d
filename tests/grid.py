"""Ordinary uses of ``fit``, trained by ``train`` and by ``fit``; see test_fit.py.

A case is a choice of each dimension below. ``valid`` leaves out what does not exist (a Sequential
model has one input), ``NO_FIT`` in test_fit.py what ``fit`` itself refuses.
"""

import csv
import itertools
import random
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

ROWS = {"full": 48, "odd": 53, "one sample": 49}  # in batches of 16
BATCH, EPOCHS, SEED = 16, 3, 4
DIMENSIONS = {
    "model": ("sequential", "functional", "subclass", "own step", "own call"),
    "feed": ("arrays", "dict", "tuple", "stream", "repeated stream", "weights", "class weights"),
    "labels": (
        "numbers", "column", "one-hot", "each step", "each pixel", "-1 and 1", "integer targets",
        "float targets", "two outputs",
    ),
    "last": tuple(ROWS),
    "inside": (
        "plain", "batch normalization", "dropout", "stateful", "frozen", "unused variable",
        "add_loss", "mask", "text",
    ),
    "callback": (
        "early stopping", "scheduler", "plateau", "model checkpoint", "csv", "tensorboard", "ema",
        "accumulation", "stop in a batch",
    ),
}  # fmt: skip
Case = dict[str, str]


def valid(case: Case) -> bool:
    """Tell whether there is such a training."""
    model, feed, labels, last, inside = (case[k] for k in tuple(DIMENSIONS)[:5])
    several_inputs = feed in ("dict", "tuple")
    return not (
        (model == "sequential" and (several_inputs or labels == "two outputs"))
        or (labels == "each pixel" and inside in ("stateful", "mask", "text"))
        or (labels in ("each step", "each pixel") and several_inputs)
        # As fit has it, the weight of a class belongs to a sample.
        or (feed == "class weights" and labels not in ("numbers", "column", "one-hot"))
        or (inside == "stateful" and last != "full")
    )


def pairs(case: Case) -> set[tuple]:
    """Return all pairs of values of a case."""
    return set(itertools.combinations(case.items(), 2))


def covering(seed: int = 0) -> list[Case]:
    """Return cases in which every pair of values that some valid case has occurs."""
    rng = random.Random(seed)
    left = set().union(*map(pairs, drawn(8000, seed)))  # enough of the 54,315 to have every pair
    found = []
    while left:
        (name, value), (other, second) = min(
            left
        )  # a pair that is not covered yet, and a good case
        fixed = {name: value, other: second}
        tried = (rng_case(rng, fixed) for _ in range(150))
        best = max(filter(valid, tried), key=lambda c: len(pairs(c) & left))
        found.append(best)
        left -= pairs(best)
    return found


def rng_case(rng: random.Random, fixed: Case) -> Case:
    return {name: fixed.get(name) or rng.choice(values) for name, values in DIMENSIONS.items()}


def drawn(count: int, seed: int) -> list[Case]:
    """Return so many valid cases, drawn at random."""
    rng = random.Random(seed)
    cases = (rng_case(rng, {}) for _ in itertools.count())
    return list(itertools.islice(filter(valid, cases), count))


def named(case: Case) -> str:
    return " · ".join(case.values())


# The data


def data(case: Case, rows: int, seed: int):
    """Return x and y of a case, as NumPy arrays."""
    rng = np.random.default_rng(seed)
    labels, inside = case["labels"], case["inside"]
    if inside == "text":
        words = np.array(["red", "green", "blue", "old", "new"])
        x = np.array([" ".join(rng.choice(words, 5)) for _ in range(rows)], dtype=object)[:, None]
    elif inside == "mask":
        x = rng.integers(0, 6, (rows, 5))
        x[:, 0] = 1 + x[:, 0] % 5  # a sample of holes only has no mean
    elif inside == "stateful" or labels == "each step":
        x = rng.normal(size=(rows, 5, 4)).astype("float32")
    elif labels == "each pixel":
        x = rng.normal(size=(rows, 6, 6, 1)).astype("float32")
    else:
        x = rng.normal(size=(rows, 8)).astype("float32")
    side = rng.normal(size=(rows, 4)).astype("float32")
    kinds, numbers = rng.integers(0, 3, rows), rng.normal(size=(rows, 1)).astype("float32")
    y = {
        "numbers": kinds,
        "column": kinds[:, None],
        "one-hot": np.eye(3, dtype="float32")[kinds],
        "each step": rng.integers(0, 3, (rows, 5)),
        "each pixel": rng.integers(0, 3, (rows, 6, 6)),
        "-1 and 1": np.where(kinds[:, None] > 1, 1.0, -1.0).astype("float32"),
        "integer targets": rng.integers(0, 9, rows),
        "float targets": numbers[:, 0],
        "two outputs": {"kind": kinds, "size": numbers},
    }[labels]
    if case["feed"] == "dict":
        x = {"a": x, "b": side}
    if case["feed"] == "tuple":
        x = (x, side)
    return x, y


LOSSES = {
    **dict.fromkeys(
        ("numbers", "column", "each step", "each pixel"), "sparse_categorical_crossentropy"
    ),
    "one-hot": "categorical_crossentropy",
    "-1 and 1": "hinge",
    "integer targets": "mse",
    "float targets": "mse",
    "two outputs": {"kind": "sparse_categorical_crossentropy", "size": None},
}


# The network


@keras.saving.register_keras_serializable("grid")
class WithPenalty(layers.Layer):
    """Adds to the loss what it sees."""

    def call(self, x):
        self.add_loss(0.1 * keras.ops.mean(x**2))
        return x


@keras.saving.register_keras_serializable("grid")
class WithUnused(layers.Layer):
    """Has a variable that nothing depends on."""

    def build(self, shape):
        self.unused = self.add_weight(shape=(3,))

    def call(self, x):
        return x


@keras.saving.register_keras_serializable("grid")
class Beside(layers.Layer):
    """Adds what a dense layer makes of a second input."""

    def __init__(self, **options):
        super().__init__(**options)
        self.dense = layers.Dense(6)

    def build(self, x_shape, side_shape):
        self.dense.build(side_shape)

    def call(self, x, side):
        return x + self.dense(side)


def body(case: Case) -> list[layers.Layer]:
    """Return the layers from the first input to what the heads see."""
    labels, inside = case["labels"], case["inside"]
    text = layers.TextVectorization(output_mode="int", output_sequence_length=5)
    if inside == "text":
        text.adapt(["red green blue old new"])
    first = {
        "text": [text, layers.Embedding(8, 6)],
        "mask": [layers.Embedding(6, 6, mask_zero=True)],
    }.get(inside, [])
    sequence = labels == "each step"
    if inside in ("text", "mask", "stateful") or sequence:
        first += [
            layers.SimpleRNN(
                6, return_sequences=sequence, stateful=inside == "stateful", unroll=True
            )
        ]
    elif labels == "each pixel":
        first += [layers.Conv2D(6, 3, padding="same", activation="relu")]
    else:
        first += [layers.Dense(6, activation="relu", kernel_regularizer="l2")]
    more = {
        "batch normalization": [layers.BatchNormalization()],
        "dropout": [layers.Dropout(0.3, seed=1)],
        "unused variable": [WithUnused()],
        "add_loss": [WithPenalty()],
    }.get(inside, [])
    if inside == "frozen":
        first[-1].trainable = False
    return first + more


def heads(case: Case) -> dict[str, layers.Layer]:
    labels = case["labels"]
    if labels == "two outputs":
        return {"kind": layers.Dense(3, activation="softmax", name="kind"),
                "size": layers.Dense(1, name="size")}  # fmt: skip
    if labels == "-1 and 1":
        return {"out": layers.Dense(1, activation="tanh")}
    if labels in ("integer targets", "float targets"):
        return {"out": layers.Dense(1)}
    return {"out": layers.Dense(3, activation="softmax")}


class Subclass(keras.Model):
    """The same layers, without a graph that is known beforehand."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.parts, self.ends = body(case), list(heads(case).values())
        self.names = list(heads(case))
        self.beside = Beside() if case["feed"] in ("dict", "tuple") else None

    def call(self, inputs):
        x, side = inputs, None
        if self.beside is not None:
            x, side = inputs.values() if isinstance(inputs, dict) else inputs
        for layer in self.parts:
            x = layer(x)
        if self.beside is not None:
            x = self.beside(x, side)
        found = [end(x) for end in self.ends]
        return found[0] if len(found) == 1 else dict(zip(self.names, found, strict=True))


class OwnStep(keras.Model):
    """A step that computes something else: it adds the size of what is predicted to the loss."""

    def train_step(self, data):
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            predicted = self(x, training=True)
            size = sum(tf.reduce_mean(p**2) for p in keras.tree.flatten(predicted))
            loss = self.compute_loss(x, y, predicted, weight) + 0.1 * size
        slopes = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(slopes, self.trainable_variables, strict=True))
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
        return self.compute_metrics(x, y, predicted, weight)


class OwnCall(keras.Model):
    """A call that does something else, in training only."""

    def call(self, inputs, training=None, mask=None):
        found = super().call(inputs, training=training, mask=mask)
        return keras.tree.map_structure(lambda o: 0.8 * o + 0.05, found) if training else found


def network(case: Case) -> keras.Model:
    """Build the network of a case, with the same weights at every call."""
    keras.utils.set_random_seed(SEED)
    if case["model"] == "subclass":
        model = Subclass(case)
        model(keras.tree.map_structure(lambda a: tf.constant(a[:BATCH]), data(case, BATCH, 0)[0]))
        return model
    example = keras.tree.flatten(data(case, 2, 0)[0])[0]
    kind = {"O": "string", "i": "int32"}.get(example.dtype.kind, "float32")
    fixed = {"batch_size": BATCH} if case["inside"] == "stateful" else {}
    inputs = keras.Input(example.shape[1:], dtype=kind, name="a", **fixed)
    if case["model"] == "sequential":
        return keras.Sequential([inputs, *body(case), *heads(case).values()])
    x = inputs
    for layer in body(case):
        x = layer(x)
    whole = inputs
    if case["feed"] in ("dict", "tuple"):
        side = keras.Input((4,), name="b", **fixed)
        x = Beside()(x, side)
        whole = {"a": inputs, "b": side} if case["feed"] == "dict" else (inputs, side)
    outputs = {name: end(x) for name, end in heads(case).items()}
    kind = {"own step": OwnStep, "own call": OwnCall}.get(case["model"], keras.Model)
    return kind(whole, outputs if len(outputs) > 1 else outputs["out"])


# The training


class StopInABatch(keras.callbacks.Callback):
    """Sees every batch, and stops after two of the second epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, int]] = []

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append((self.epoch, batch))
        self.model.stop_training = (self.epoch, batch) == (1, 1)


def callbacks(case: Case, folder: Path) -> list[keras.callbacks.Callback]:
    C = keras.callbacks
    return {
        "early stopping": lambda: [
            C.EarlyStopping(patience=1, min_delta=0.02, restore_best_weights=True)
        ],
        "scheduler": lambda: [C.LearningRateScheduler(lambda epoch, rate: rate * 0.5)],
        "plateau": lambda: [C.ReduceLROnPlateau(patience=1, min_delta=0.5, factor=0.3)],
        "model checkpoint": lambda: [
            C.ModelCheckpoint(folder / "{epoch}.weights.h5", save_weights_only=True)
        ],
        "csv": lambda: [C.CSVLogger(folder / "log.csv")],
        "tensorboard": lambda: [C.TensorBoard(folder)],
        "stop in a batch": lambda: [StopInABatch()],
    }.get(case["callback"], list)()


def optimizer(case: Case) -> keras.optimizers.Optimizer:
    more = {"ema": {"use_ema": True, "ema_momentum": 0.9},
            "accumulation": {"gradient_accumulation_steps": 2}}  # fmt: skip
    return keras.optimizers.Adam(0.02, **more.get(case["callback"], {}))


def ordered(arrays, epoch: int):
    """Return arrays in the order that ``train`` takes them in an epoch."""
    rows = tf.range(len(keras.tree.flatten(arrays)[0]))
    order = tf.random.experimental.stateless_shuffle(rows, [SEED, epoch]).numpy()
    return keras.tree.map_structure(lambda a: a[order], arrays)


def stream_of(arrays) -> tf.data.Dataset:
    arrays = keras.tree.map_structure(lambda a: tf.constant(a), arrays)
    return tf.data.Dataset.from_tensor_slices(arrays).batch(BATCH)


def trained(case: Case, by: str, folder: Path, **plan) -> dict:
    """Train a case by ``train`` or by ``fit``; return all that came of it."""
    from helpers.layers import seed_layers
    from helpers.training import train

    folder.mkdir()
    x, y = data(case, ROWS[case["last"]], 1)
    given = (x, y)
    if case["feed"] == "weights":
        shape = (
            y.shape
            if case["labels"] in ("each step", "each pixel")
            else len(keras.tree.flatten(y)[0])
        )
        given += (np.random.default_rng(2).uniform(0, 3, shape).astype("float32"),)
    held_out = stream_of(data(case, 2 * BATCH, 3))
    steps = -(-ROWS[case["last"]] // BATCH)
    streams = "stream" in case["feed"]
    more: dict = {"callbacks": callbacks(case, folder), "epochs": EPOCHS}
    if case["feed"] == "class weights":
        more["class_weight"] = {0: 1.0, 1: 3.0, 2: 0.5}
    if case["feed"] == "repeated stream":
        more["steps_per_epoch"] = steps
    loss = LOSSES[case["labels"]]
    metrics = {"kind": ["accuracy"]} if case["labels"] == "two outputs" else (
        ["accuracy"] if isinstance(loss, str) and "entropy" in loss else ["mae"]
    )  # fmt: skip
    model = network(case)
    if by == "train":
        source = stream_of(given) if streams else given
        source = source.repeat() if case["feed"] == "repeated stream" else source
        result = train(
            model, source, loss=loss, metrics=metrics, optimizer=optimizer(case), seed=SEED,
            validation_data=held_out, batch_size=None if streams else BATCH, progress=False,
            **({"precision": "float32", "xla": "none"} | plan), **more,
        )  # fmt: skip
        history = result.history.drop(columns="seconds").to_dict("list")
    else:
        seed_layers(model, SEED)
        model.compile(optimizer(case), loss, metrics=metrics)
        if streams:
            source = stream_of(given)
            source = source.repeat() if case["feed"] == "repeated stream" else source
        else:  # one after the other, the epochs in the order of train
            source = stream_of(ordered(given, 1))
            for epoch in range(2, EPOCHS + 1):
                source = source.concatenate(stream_of(ordered(given, epoch)))
            more["steps_per_epoch"] = steps
        history = model.fit(source, validation_data=held_out, verbose=0, **more).history
    found = {f"history {k}": np.array(v) for k, v in history.items()}
    found |= {f"weight {i}": w for i, w in enumerate(model.get_weights())}
    for callback in more["callbacks"]:
        found["batches seen"] = np.array(getattr(callback, "seen", []))
    for file in sorted(folder.rglob("*")):
        if file.suffix == ".csv":
            rows = list(csv.reader(file.open()))
            found["csv header"] = np.array(rows[0])
            found["csv"] = np.array(rows[1:], float)
        if file.suffix == ".h5":
            model.load_weights(file)
            found |= {f"{file.name} {i}": w for i, w in enumerate(model.get_weights())}
    if case["callback"] == "tensorboard":
        found["files"] = np.array(sorted({file.suffix for file in folder.rglob("*")}))
    return found


def differences(ours: dict, theirs: dict, tolerance: float = 2e-5) -> list[str]:
    """Name what differs between two trainings."""
    wrong = (
        [f"only one has {sorted(ours.keys() ^ theirs.keys())}"]
        if ours.keys() != theirs.keys()
        else []
    )
    for name in ours.keys() & theirs.keys():
        a, b = ours[name], theirs[name]
        if a.shape != b.shape or a.dtype.kind != b.dtype.kind:
            wrong.append(f"{name}: {a.dtype}{a.shape}, fit {b.dtype}{b.shape}")
        elif a.dtype.kind == "U":
            wrong += [] if (a == b).all() else [f"{name}: {a}, fit {b}"]
        elif not np.allclose(a, b, rtol=tolerance, atol=tolerance):
            wrong.append(f"{name} differs by {np.abs(a - b).max():.2g}")
    return wrong
