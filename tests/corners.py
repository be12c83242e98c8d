"""Train in the corners of the training loop, in a process of its own; see test_corners.py.

Dropout draws other units than Keras's does: there the weights hardly move, so that the loss of the
training is a mean over many draws, and that of the validation Keras's own.
"""

import itertools
import json
import os
from pathlib import Path

ROWS = {"full": 48, "odd": 53, "one sample": 49}  # in batches of 16
LAST, LAYER = tuple(ROWS), ("plain", "batch normalization", "dropout")
FEED, OUTPUTS, TURN = ("arrays", "stream"), (1, 2), ("first", "second")
EPOCHS, BATCH, RATE = 2, 16, {"dropout": 1e-8}
ALL = bool(os.environ.get("COURSE_FAULTS"))


def corners(layer: str, devices: str = "") -> list[tuple[str, str, str, int]]:
    """Return the corners of networks with this kind of layer: all of them, or a third.

    Over the three kinds, the third has every pair of values at least once. Two devices take each
    kind of last batch once, two machines the hardest corner.
    """
    if ALL:
        return list(itertools.product(LAST, (layer,), FEED, OUTPUTS))
    kind = LAYER.index(layer)
    chosen = [
        (last, layer, FEED[(number + kind) % 2], OUTPUTS[(number // 2 + kind) % 2])
        for number, last in enumerate(LAST)
    ]
    if devices == "two devices":
        return [chosen[kind]]
    if devices == "two machines":
        return chosen[-1:] if layer == "batch normalization" else []
    return chosen


def turns(corner: tuple[str, str, str, int], devices: str) -> tuple[str, ...]:
    """Return how often a corner is trained: one of each kind twice, another one for each.

    Of several devices that is the hardest kind, in which all state changes.
    """
    among = corners(corner[1], devices)
    hard = devices == "one device" or corner[1] == "batch normalization"
    twice = ALL or (hard and corner == among[LAYER.index(corner[1]) % len(among)])
    return TURN if twice else TURN[:1]


def named(corner: tuple[str, str, str, int]) -> str:
    """Return the name of a corner."""
    return " · ".join(map(str, corner))


def prepare(devices: str) -> None:
    """Set up the devices, which TensorFlow takes before its first computation only."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if devices == "two devices":
        import tensorflow as tf

        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0], halves
        )


def network(layer: str, outputs: int):
    """Build a network with the same weights at every call."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(3)
    inputs = keras.Input((6,))
    x = layers.Dense(8, activation="relu", kernel_regularizer=keras.regularizers.L2(0.01))(inputs)
    x = {
        "plain": lambda x: x,
        "batch normalization": layers.BatchNormalization(momentum=0.5),
        "dropout": layers.Dropout(0.3, seed=1),
    }[layer](x)
    heads = [layers.Dense(3, activation="softmax", name="kind")(x)]
    heads += [layers.Dense(1, name="size")(x)] * (outputs - 1)
    return keras.Model(inputs, heads[0] if outputs == 1 else heads)


def sgd(layer: str):
    """Return the optimizer."""
    import keras

    return keras.optimizers.SGD(RATE.get(layer, 0.1), momentum=0.9)


def data(rows: int, outputs: int):
    """Make samples, and labels for one or two outputs."""
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 6)).astype("float32")
    kinds, sizes = rng.integers(0, 3, rows), x[:, :1] + rng.normal(size=(rows, 1)).astype("float32")
    return x, kinds if outputs == 1 else (kinds, sizes)


def objective(outputs: int) -> dict:
    """Return a loss and metrics for each output."""
    if outputs == 1:
        return {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    return {
        "loss": ["sparse_categorical_crossentropy", "mse"],
        "metrics": [["accuracy"], ["mae"]],
    }


def by_keras(last: str, layer: str, feed: str, outputs: int) -> dict:
    """Train by Keras's own fit, on the batches that ``train`` takes."""
    import keras
    import numpy as np
    import tensorflow as tf

    (x, y), held_out = data(ROWS[last], outputs), data(20, outputs)
    model, history = network(layer, outputs), []
    model.compile(sgd(layer), **objective(outputs))
    for epoch in range(1, EPOCHS + 1):
        order = np.arange(len(x))
        if feed == "arrays":
            rows = tf.range(len(x))
            order = tf.random.experimental.stateless_shuffle(rows, [0, epoch]).numpy()
        own = (x[order], keras.tree.map_structure(lambda a, o=order: a[o], y))
        options = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
        fitted = model.fit(*own, validation_data=held_out, **options)
        history.append({name: values[0] for name, values in fitted.history.items()})
    return {"history": history, "weights": [w.tolist() for w in model.get_weights()]}


def by_train(
    last: str, layer: str, feed: str, outputs: int, *, devices: str, turn: str, folder: Path
) -> dict:
    """Train, then evaluate, save and load."""
    import keras
    import tensorflow as tf

    from helpers import hardware
    from helpers.training import train

    pair, held_out = data(ROWS[last], outputs), data(20, outputs)
    model = network(layer, outputs)
    names = ("CPU:0", "CPU:1") if devices == "two devices" else "auto"
    streamed = tf.data.Dataset.from_tensor_slices(pair).batch(BATCH)
    result = train(
        model, pair if feed == "arrays" else streamed, epochs=EPOCHS,
        batch_size=BATCH if feed == "arrays" else None,
        optimizer=sgd(layer), validation_data=held_out,
        plan=hardware.plan(model, devices=names), progress=False, **objective(outputs),
    )  # fmt: skip
    found = {
        "history": result.history.drop(columns="seconds").to_dict("records"),
        "weights": [w.tolist() for w in model.get_weights()],
    }
    if turn == turns((last, layer, feed, outputs), devices)[-1]:
        evaluated = model.evaluate(*held_out, batch_size=20, verbose=0, return_dict=True)
        model.save(file := folder / f"{os.getpid()}.keras")
        said = (m(held_out[0]) for m in (keras.models.load_model(file), model))
        loaded, trained = (keras.tree.flatten(outputs) for outputs in said)
        same = all((a.numpy() == b.numpy()).all() for a, b in zip(loaded, trained, strict=True))
        found |= {"evaluated": evaluated, "loaded is the same": same}
    return found


def run(devices: str, layer: str, out: Path) -> None:
    """Train in every corner, in some of them twice; write what came of it."""
    prepare(devices)
    found: dict[str, dict] = {}
    for corner in corners(layer, devices):
        for turn in turns(corner, devices):
            about = {"devices": devices, "turn": turn, "folder": out.parent}
            found[f"{named(corner)} · {turn}"] = by_train(*corner, **about)
    out.write_text(json.dumps(found))


def go_on(devices: str, epochs: int, checkpoint: Path, out: Path) -> None:
    """Train up to an epoch, from a checkpoint where there is one, with class weights."""
    prepare(devices)
    from helpers import hardware
    from helpers.training import train

    x, y = data(216, 1)  # 173 to train on: the last batch is odd
    model = network("plain", 1)
    names = ("CPU:0", "CPU:1") if devices == "two devices" else "auto"
    result = train(
        model, (x, y), epochs=epochs, batch_size=32, validation_split=0.2, class_weight={0: 2.0},
        plan=hardware.plan(model, devices=names, xla="none" if devices == "one device" else "auto"),
        checkpoint=checkpoint, progress=False,
    )  # fmt: skip
    found = {
        "history": result.history.drop(columns="seconds").to_dict("records"),
        "weights": [w.tolist() for w in model.get_weights()],
        "plan": str(result.plan),
    }
    out.write_text(json.dumps(found))


def with_nan(devices: str, out: Path) -> None:
    """Train on labels of which one is NaN; write what is said of it."""
    prepare(devices)
    import keras
    import numpy as np

    from helpers import hardware
    from helpers.training import TrainingError, train

    x, _ = data(48, 1)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    y = np.where(np.arange(48)[:, None] == 5, np.nan, x[:, :1]).astype("f4")
    plan = hardware.plan(model, devices=("CPU:0", "CPU:1"))
    try:
        train(model, (x, y), batch_size=16, validation_split=0, plan=plan, progress=False)
    except TrainingError as error:
        out.write_text(json.dumps({"said": str(error)}))


def interrupted(devices: str, out: Path) -> None:
    """Interrupt a training in its second epoch; write what the model then says of its data."""
    prepare(devices)
    import keras

    from helpers import hardware
    from helpers.training import train

    def stop(epoch: int, logs: dict) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    pair, model = data(48, 1), network("plain", 1)
    stopping = keras.callbacks.LambdaCallback(on_epoch_begin=stop)
    plan = hardware.plan(model, devices=("CPU:0", "CPU:1"))
    before = model.get_weights()[0].copy()
    try:
        train(model, pair, epochs=5, plan=plan, callbacks=[stopping], progress=False)
    except KeyboardInterrupt:
        found = model.evaluate(*pair, verbose=0, return_dict=True)
        moved = float(abs(model.get_weights()[0] - before).max())
        out.write_text(json.dumps(found | {"moved": moved}))
