"""A training that is killed goes on from its checkpoint and ends in the very same weights.

The trainings run in processes forked from one that has TensorFlow loaded, and nothing computed.
"""

import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import needs
from keras import layers

from helpers.datasets import load_dataset
from helpers.models import build_cnn, build_mlp
from helpers.preprocessing import augmentation
from helpers.training import CheckpointError, Plan, TrainingError, train
from helpers.training.checkpoint import REMEMBERED

MOMENTS = int(os.environ.get("COURSE_FAULTS", "1"))
RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 6)).astype("float32")
Y = RNG.integers(0, 3, 200)
QUIET = {"progress": False, "validation_split": 0.2}


def dense(epochs=20, **changes):
    """Train a small network with random layers."""
    model = build_mlp((6,), 3, hidden=(16,), dropout=0.3)
    plan = Plan("CPU:0")
    arguments = {
        "optimizer": "adam",
        "plan": plan,
        "batch_size": 16,
        "early_stopping": 50,
    } | changes
    return train(model, (X, Y), epochs=epochs, **QUIET, **arguments)


def everything(**changes):
    """Train with schedules, plateaus, early stopping, moving averages and noise at work."""
    callbacks = [
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.98),
        keras.callbacks.ReduceLROnPlateau("val_loss", patience=3, factor=0.7),
    ]
    return dense(
        epochs=60, callbacks=callbacks, optimizer=keras.optimizers.Adam(0.01, use_ema=True),
        augmentation=layers.GaussianNoise(0.2, seed=5), **changes,
    )  # fmt: skip


def convolutional(**changes):
    """Train the kind of network that draws most on random states, in bfloat16 under XLA."""
    data = load_dataset("digits").subset(300)
    model = build_cnn(data, blocks=((4,),), dense=8)
    plan = Plan("CPU:0", "mixed_bfloat16", "update", steps_per_execution=2)
    return train(
        model, data, epochs=6, batch_size=32, optimizer="adadelta", plan=plan,
        augmentation=augmentation(rotation=20, shift=0.1, seed=3), **QUIET, **changes,
    )  # fmt: skip


def child(function, out, checkpoint):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    result = function(checkpoint=checkpoint)
    history = result.history.drop(columns="seconds").to_numpy()
    np.savez(out, history, *result.model.get_weights())
    os._exit(0)


def start(processes, function, folder):
    process = processes.Process(target=child, args=(function, folder / "out.npz", folder / "c.npz"))
    process.start()
    return process


def kill_at_random(processes, function, folder, random):
    """Kill a training at a random moment after its first checkpoint."""
    checkpoint = folder / "c.npz"
    process = start(processes, function, folder)
    before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else None
    end = time.monotonic() + 60
    while not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before:
        assert process.is_alive() and time.monotonic() < end
        time.sleep(0.002)
    process.join(random.uniform(0, 0.4))
    assert process.is_alive(), "the training ended before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def finish(processes, function, folder):
    """Let a training end; return its history and weights."""
    process = start(processes, function, folder)
    process.join(90)
    process.kill()
    assert process.exitcode == 0
    assert sorted(p.name for p in folder.iterdir()) == ["c.npz", "out.npz"]  # no half-written file
    with np.load(folder / "out.npz") as file:
        return [file[name] for name in file.files]


def identical(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_killed_at_random_moments_it_ends_with_the_same_weights(processes, tmp_path):
    def trial(number):
        folder = tmp_path / str(number)
        folder.mkdir()
        if number:
            kill_at_random(processes, everything, folder, np.random.default_rng(number))
        return finish(processes, everything, folder)

    with ThreadPoolExecutor(2) as pool:
        whole, *killed = pool.map(trial, range(MOMENTS + 1))
    assert [identical(whole, result) for result in killed] == [True] * MOMENTS


@needs("mixed_bfloat16")
def test_convolutional_network_in_bfloat16_killed_on_its_way(processes, tmp_path):
    folders = [tmp_path / "whole", tmp_path / "killed"]
    for folder in folders:
        folder.mkdir()
    whole = finish(processes, convolutional, folders[0])
    for number in range(min(MOMENTS, 3)):
        kill_at_random(processes, convolutional, folders[1], np.random.default_rng(number))
    assert identical(whole, finish(processes, convolutional, folders[1]))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "c.npz"
    dense(epochs=3, checkpoint=path)
    return path


@pytest.fixture
def checkpoint(trained, tmp_path):
    return Path(shutil.copy(trained, tmp_path))


def test_more_epochs_go_on_and_a_finished_training_returns_at_once(checkpoint):
    assert identical(dense(epochs=5, checkpoint=checkpoint).model.get_weights(),
                     dense(epochs=5).model.get_weights())  # fmt: skip
    before = checkpoint.read_bytes()
    again = dense(epochs=5, checkpoint=checkpoint)
    assert len(again.history) == 5
    assert np.isnan(again.samples_per_second)
    assert checkpoint.read_bytes() == before


def test_early_stopping_remembers_its_patience_and_its_best_weights(tmp_path):
    arguments = {"early_stopping": 2, "optimizer": keras.optimizers.SGD(3.0)}
    whole = dense(epochs=60, **arguments)
    stopped = len(whole.history)
    assert 3 < stopped < 60
    path = tmp_path / "c.npz"
    dense(epochs=stopped - 1, checkpoint=path, **arguments)
    resumed = dense(epochs=60, checkpoint=path, **arguments)
    assert len(resumed.history) == stopped
    assert identical(whole.model.get_weights(), resumed.model.get_weights())
    assert len(dense(epochs=60, checkpoint=path, **arguments).history) == stopped


def test_interrupted_by_the_user_goes_on(tmp_path):
    def stop(epoch, logs):
        if epoch == 1:
            raise KeyboardInterrupt

    path = tmp_path / "c.npz"
    with pytest.raises(KeyboardInterrupt):
        dense(checkpoint=path, callbacks=[keras.callbacks.LambdaCallback(on_epoch_begin=stop)])
    assert identical(dense(checkpoint=path).model.get_weights(), dense().model.get_weights())


C = keras.callbacks
AT_WORK = {
    "schedule": lambda: {"callbacks": [C.LearningRateScheduler(lambda epoch, rate: rate * 0.8)]},
    "schedule of steps": lambda: {"learning_rate": keras.optimizers.schedules.CosineDecay(0.1, 60)},
    "plateau": lambda: {
        "callbacks": [C.ReduceLROnPlateau("val_loss", patience=1, min_delta=0.5, factor=0.5)]
    },
    "moving average": lambda: {"optimizer": keras.optimizers.Adam(0.01, use_ema=True)},
    "moving average, swapped": lambda: {
        "optimizer": keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.5),
        "callbacks": [C.SwapEMAWeights(swap_on_epoch=True)],
    },
    "accumulation": lambda: {"optimizer": keras.optimizers.Adam(gradient_accumulation_steps=3)},
    "augmentation": lambda: {"augmentation": layers.GaussianNoise(0.3, seed=2)},
}


@pytest.mark.parametrize("case", AT_WORK)
def test_what_is_at_work_goes_on_as_it_was(case, tmp_path):
    """In a new model, with new callbacks, as after a kill."""

    def stop(epoch, logs):
        if epoch == 3:
            raise KeyboardInterrupt

    path = tmp_path / "c.npz"
    whole = dense(epochs=6, **AT_WORK[case]())
    options = AT_WORK[case]()
    options["callbacks"] = [
        *options.get("callbacks", ()), keras.callbacks.LambdaCallback(on_epoch_begin=stop)
    ]  # fmt: skip
    with pytest.raises(KeyboardInterrupt, match="Interrupted in epoch"):
        dense(epochs=6, checkpoint=path, **options)
    resumed = dense(epochs=6, checkpoint=path, **AT_WORK[case]())
    assert identical(whole.model.get_weights(), resumed.model.get_weights())
    columns = [c for c in whole.history if c != "seconds"]
    assert whole.history[columns].equals(resumed.history[columns])


@pytest.mark.parametrize("length", ["known", "unknown", "endless"])
def test_a_shuffled_stream_goes_on_in_its_own_order(length, tmp_path):
    endless = length == "endless"

    def stream():
        stream = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(200, seed=3).batch(16)
        stream = stream.filter(lambda x, y: True) if length == "unknown" else stream
        return stream.repeat() if endless else stream

    def trained(epochs, **options):
        model = build_mlp((6,), 3, hidden=(16,), dropout=0.3)
        more = {"steps_per_epoch": 5} if endless else {}
        return train(model, stream(), epochs=epochs, progress=False, **more, **options)

    path = tmp_path / "c.npz"
    whole = trained(5)
    trained(2, checkpoint=path)
    resumed = trained(5, checkpoint=path)
    assert identical(whole.model.get_weights(), resumed.model.get_weights())


def test_a_log_is_continued(tmp_path):
    for name, epochs in (("whole", [4]), ("parts", [2, 4])):
        for last in epochs:
            log = keras.callbacks.CSVLogger(tmp_path / f"{name}.csv")
            dense(epochs=last, checkpoint=tmp_path / f"{name}.npz", callbacks=[log])
    whole, parts = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("whole", "parts"))
    pd.testing.assert_frame_equal(whole, parts)


def test_what_callbacks_remember_is_known_by_keras_names():
    """Some are private; where they change, this fails."""
    made = {
        C.EarlyStopping: C.EarlyStopping(), C.ReduceLROnPlateau: C.ReduceLROnPlateau(),
        C.ModelCheckpoint: C.ModelCheckpoint("m.keras"), C.SwapEMAWeights: C.SwapEMAWeights(),
        C.CSVLogger: C.CSVLogger("log.csv"),
    }  # fmt: skip
    assert made.keys() == REMEMBERED.keys()
    for kind, callback in made.items():
        if kind in (C.EarlyStopping, C.ReduceLROnPlateau):
            callback.on_train_begin()
        assert set(REMEMBERED[kind]) <= vars(callback).keys()


class Counter(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.count = 0


def test_a_callback_whose_memory_is_not_known_is_named(tmp_path):
    with pytest.warns(UserWarning, match="does not keep what Counter remembers"):
        dense(epochs=1, checkpoint=tmp_path / "c.npz", callbacks=[Counter()])


def test_a_generator_cannot_be_resumed(tmp_path):
    def batches():
        yield X, Y

    with pytest.raises(TrainingError, match="checkpoint= cannot wind this stream forward"):
        train(build_mlp((6,), 3), batches(), checkpoint=tmp_path / "c.npz", loss="mse")


OTHER = {
    "optimizer": ({"optimizer": "sgd"}, "optimizer class was Adam, now it is SGD"),
    "learning rate": ({"learning_rate": 0.5}, "optimizer learning_rate was 0.001.*, now it is 0.5"),
    "batch size": ({"batch_size": 8}, "batch_size was 16, now it is 8"),
    "seed": ({"seed": 1}, "(data|seed) was"),
    "weights": ({"class_weight": {0: 2.0}}, "class_weight was None"),
    "loss": ({"loss": keras.losses.SparseCategoricalCrossentropy(reduction="sum")}, "loss"),
    "precision": (
        {"plan": Plan("CPU:0", "mixed_bfloat16")},
        "precision was float32, now it is mixed_bfloat16",
    ),
}


OTHER |= {
    "more metrics": (
        {"metrics": ["accuracy", "sparse_top_k_categorical_accuracy"]},
        r"metrics was \['accuracy'\], now it is",
    ),
    "no early stopping": (
        {"early_stopping": None},
        "callbacks EarlyStopping was .*, now it is None",
    ),
    "patience": ({"early_stopping": 2}, "callbacks EarlyStopping patience was 50, now it is 2"),
    "another callback": (
        {"callbacks": [keras.callbacks.ReduceLROnPlateau()]},
        "callbacks ReduceLROnPlateau was None",
    ),
    "validation": ({"validation_data": (X[:20], Y[:20])}, r"(data|validation) was"),
    "augmentation": ({"augmentation": layers.GaussianNoise(0.1)}, "augmentation was None"),
}


@pytest.mark.parametrize(
    "case",
    [pytest.param(c, marks=needs("mixed_bfloat16") if c == "precision" else ()) for c in OTHER],
)
def test_checkpoint_of_another_configuration_is_refused_and_kept(case, checkpoint):
    changes, message = OTHER[case]
    before = checkpoint.read_bytes()
    with pytest.raises(CheckpointError, match=f"checkpoint of another training: {message}"):
        dense(epochs=4, checkpoint=checkpoint, **changes)
    assert checkpoint.read_bytes() == before


def test_nothing_changes_before_a_checkpoint_is_refused(checkpoint):
    model, stop = (
        build_mlp((6,), 3, hidden=(16,), dropout=0.3),
        keras.callbacks.EarlyStopping(patience=7),
    )
    weights = model.get_weights()
    with pytest.raises(CheckpointError, match="now it is"):
        train(model, (X, Y), checkpoint=checkpoint, batch_size=16, callbacks=[stop], **QUIET)
    assert identical(model.get_weights(), weights)
    assert stop.patience == 7


@pytest.mark.parametrize("form", ["list", "dict"] if "COURSE_FAULTS" in os.environ else ["dict"])
def test_losses_of_several_outputs_are_the_same_in_every_process(form, processes, tmp_path):
    for epochs in (1, 2):
        process = processes.Process(target=two_outputs, args=(form, epochs, tmp_path / "c.npz"))
        process.start()
        process.join(60)
        assert process.exitcode == 0


def two_outputs(form, epochs, checkpoint):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    for _ in range(epochs):  # Keras counts names up: they differ from those of the first process
        inputs = keras.Input((6,))
        outputs = [layers.Dense(3, activation="softmax", name="a"), layers.Dense(1, name="b")]
        model = keras.Model(inputs, [layer(layers.Dense(4)(inputs)) for layer in outputs])
    loss = [keras.losses.SparseCategoricalCrossentropy(), keras.losses.MeanSquaredError()]
    metrics = [[keras.metrics.SparseCategoricalAccuracy()], ["mae"]]
    if form == "dict":
        loss, metrics = (dict(zip("ab", pair, strict=True)) for pair in (loss, metrics))
    result = train(
        model, (X, [Y, X[:, :1]]), loss=loss, metrics=metrics, epochs=epochs,
        checkpoint=checkpoint, **QUIET,
    )  # fmt: skip
    assert len(result.history) == epochs
    os._exit(0)


def test_checkpoint_of_another_model_is_refused(checkpoint):
    model = build_mlp((6,), 3, hidden=(17,), dropout=0.3)
    weights = model.get_weights()
    with pytest.raises(CheckpointError, match="model was"):
        train(model, (X, Y), checkpoint=checkpoint, batch_size=16, **QUIET)
    assert identical(model.get_weights(), weights)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no archive", "half"])
def test_damaged_checkpoint_is_refused_in_one_line(damage, checkpoint):
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: len(content) // 2] if damage == "half" else damage)
    with pytest.raises(CheckpointError, match="it is damaged") as caught:
        dense(checkpoint=checkpoint)
    assert "\n" not in str(caught.value)


def test_checkpoint_that_is_a_folder(tmp_path):
    with pytest.raises(CheckpointError, match="is a folder"):
        dense(checkpoint=tmp_path)
