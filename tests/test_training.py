"""The loop computes what Keras computes, reproducibly, and says what is wrong when it cannot."""

import contextlib
import itertools
import os
import pty
import re
import time
import warnings
import zipfile
from multiprocessing.reduction import DupFd

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import needs
from keras import layers

from helpers import hardware
from helpers.datasets import load_dataset
from helpers.dropout import with_quick_dropout
from helpers.evaluation import evaluate
from helpers.hardware.planning import NEEDED
from helpers.models import build_cnn, build_mlp, build_rnn
from helpers.preprocessing import augmentation, scale
from helpers.training import TrainingError, train
from helpers.training.data import make_task
from helpers.training.objective import default_loss

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 6)).astype("float32")
CLASSES = RNG.integers(0, 3, 64)
FAULTS = "COURSE_FAULTS" in os.environ  # all cells: XLA compiles each for ten seconds
QUIET = {"progress": False, "validation_split": 0}
SILENT = {"progress": False}


def network(*outputs, seed=1, l2=0.0, activation="softmax"):
    """Build a small dense network with the same weights at every call."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((6,))
    penalty = keras.regularizers.L2(l2) if l2 else None
    hidden = layers.Dense(8, activation="relu", kernel_regularizer=penalty)(inputs)
    heads = [
        layers.Dense(n, activation=activation if n > 1 else None, name=f"out{i}")(hidden)
        for i, n in enumerate(outputs or (3,))
    ]
    return keras.Model(inputs, heads if len(heads) > 1 else heads[0])


def digits(n=200):
    data = load_dataset("digits").subset(n)
    return data


def same(first, second, tolerance=0.0):
    pairs = zip(first.get_weights(), second.get_weights(), strict=True)
    return all(np.allclose(a, b, atol=tolerance, rtol=0) for a, b in pairs)


CASES = {
    "classes": ((3,), CLASSES, "sparse_categorical_crossentropy", {}),
    "one-hot": ((3,), np.eye(3)[CLASSES].astype("f4"), "categorical_crossentropy", {}),
    "binary": (
        (1,),
        (CLASSES > 0).astype("f4")[:, None],
        keras.losses.BinaryCrossentropy(from_logits=True),
        {},
    ),
    "regression": ((1,), X @ np.ones((6, 1), "f4"), "mean_squared_error", {}),
    "two outputs": (
        (3, 1),
        [CLASSES, X[:, :1]],
        ["sparse_categorical_crossentropy", "mse"],
        {"metrics": [["accuracy"], ["mae"]]},
    ),
    "class weights": (
        (3,),
        CLASSES,
        "sparse_categorical_crossentropy",
        {"class_weight": {0: 2.0, 2: 0.5}},
    ),
}


XLA = ("update", "step", "none")
# ``make test`` compiles each case in one way, ``make faults`` in all.
TRIED = [(case, xla) for n, case in enumerate(CASES) for xla in (XLA if FAULTS else [XLA[n % 3]])]


@pytest.mark.parametrize(("case", "xla"), TRIED)
def test_same_weights_as_keras_fit(case, xla):
    outputs, y, loss, more = CASES[case]
    ours, theirs = network(*outputs, l2=0.01), network(*outputs, l2=0.01)
    metrics = more.get("metrics", ["accuracy"])
    result = train(
        ours, (X, y), epochs=3, batch_size=64, loss=loss, xla=xla, **({"metrics": metrics} | more),
        **QUIET,
    )  # fmt: skip
    theirs.compile(keras.optimizers.Adam(), loss=loss, metrics=metrics)
    fitted = theirs.fit(
        X, y, epochs=3, batch_size=64, verbose=0, class_weight=more.get("class_weight")
    )
    assert same(ours, theirs, 1e-5)
    np.testing.assert_allclose(result.history["loss"], fitted.history["loss"], rtol=1e-4)
    assert set(result.history.columns) >= set(fitted.history) - {"out0_loss", "out1_loss"}


def test_learning_rate_and_schedule():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
    for rate in (0.05, schedule):
        ours, theirs = network(), network()
        train(ours, (X, CLASSES), epochs=4, batch_size=64, optimizer="sgd", learning_rate=rate,
              **QUIET)  # fmt: skip
        theirs.compile(keras.optimizers.SGD(rate), loss="sparse_categorical_crossentropy")
        theirs.fit(X, CLASSES, epochs=4, batch_size=64, verbose=0)
        assert same(ours, theirs, 1e-6)


def test_optimizer_is_copied_fresh():
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    first, second = network(), network()
    for model in (first, second):
        train(model, (X, CLASSES), epochs=2, optimizer=optimizer, **QUIET)
    assert same(first, second)


def test_last_partial_batch_counts_by_its_samples():
    model = network()
    result = train(model, (X, CLASSES), batch_size=10, learning_rate=0.0, **QUIET)
    expected = -np.log(np.asarray(model(X))[np.arange(64), CLASSES]).mean()
    assert result.history["loss"][1] == pytest.approx(expected, rel=1e-5)
    model = network()
    counted = []
    counter = keras.callbacks.LambdaCallback(on_train_batch_end=lambda b, logs: counted.append(b))
    train(model, (X, CLASSES), batch_size=10, callbacks=[counter], **QUIET)
    assert counted == list(range(7))


def test_every_sample_is_seen_once_an_epoch_in_another_order():
    seen = []

    def look(x):
        tf.numpy_function(lambda a: seen.append(a[:, 0, 0, 0].copy()), [x], [])
        return x

    x = np.arange(20, dtype="float32").reshape(20, 1, 1, 1)
    model = keras.Sequential([keras.Input((1, 1, 1)), layers.Flatten(), layers.Dense(2)])

    train(model, (x, np.arange(20) % 2), epochs=2, batch_size=8, augmentation=look,
          learning_rate=0.0, **QUIET)  # fmt: skip
    order = np.concatenate(seen)
    first, second = order[:20], order[20:]
    assert sorted(first) == sorted(second) == list(range(20))
    assert (first != second).any()


@pytest.mark.parametrize("cell", ["lstm", "gru", "simple"] if FAULTS else ["lstm"])
def test_parts_compute_what_the_whole_batch_computes(cell):
    data = digits()
    models = [build_rnn(data, cell=cell) for _ in range(2)]
    plan = hardware.plan(models[0], xla="step")
    assert plan.shards == hardware.detect().cores
    histories = []
    for model, parts in zip(models, (1, 2), strict=True):
        chosen = hardware.Plan(plan.devices, "float32", "step", parts)
        histories.append(train(model, data, epochs=2, batch_size=64, plan=chosen, progress=False))
    assert same(*models, 1e-5)
    np.testing.assert_allclose(*(h.history["val_loss"] for h in histories), rtol=1e-4)


@pytest.mark.parametrize("build", [build_mlp, build_cnn, build_rnn])
def test_same_seed_same_history_bit_for_bit(build):
    data = digits()
    options = {"augmentation": None}
    if build is build_cnn:
        options["augmentation"] = lambda: augmentation(horizontal_flip=False)
    runs = []
    for seed in (0, 0, 1):
        model = build(data)
        augment = options["augmentation"]
        runs.append(
            train(
                model,
                data,
                epochs=2,
                batch_size=64,
                seed=seed,
                progress=False,
                augmentation=augment and augment(),
            )
        )
    first, again, other = (run.history.drop(columns="seconds") for run in runs)
    assert first.equals(again)
    assert not first.equals(other)
    assert same(runs[0].model, runs[1].model)


def test_it_learns_and_shows_what_it_did(capsys):
    data = load_dataset("digits")
    result = train(build_mlp(data), data, epochs=15, batch_size=32, seed=0)
    assert result.history["val_accuracy"].iloc[-1] > 0.93
    assert list(result.history.columns) == [
        "loss", "accuracy", "val_loss", "val_accuracy", "seconds",
    ]  # fmt: skip
    assert list(result.history.index) == list(range(1, 16))
    assert result.samples_per_second > 0
    shown = capsys.readouterr().err
    assert shown.startswith("Plan: ")
    assert "epoch 15/15  loss" in shown


def test_scaling_belongs_to_the_model(tmp_path):
    """``train``, ``evaluate``, Keras's ``predict`` and a loaded file see the same numbers."""
    data = digits(300)
    model = build_mlp(data, hidden=(16,))
    result = train(model, data, epochs=3, validation_data=(data.x_test, data.y_test), **SILENT)
    accuracy = result.history["val_accuracy"].iloc[-1]
    assert evaluate(model, data).accuracy == pytest.approx(accuracy)
    said = model.predict(data.x_test, verbose=0).argmax(axis=1)
    assert (said == data.y_test).mean() == pytest.approx(accuracy)
    model.save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as file:
        assert b"helpers" not in file.read("config.json")  # it needs nothing of the course
    loaded = keras.models.load_model(tmp_path / "m.keras")
    said = [m.predict(data.x_test, verbose=0) for m in (loaded, model)]
    np.testing.assert_allclose(*said, atol=1e-5)


def test_bytes_that_nothing_scales_are_warned_of_and_left_alone():
    images, y = RNG.integers(0, 256, (40, 8, 8)).astype("uint8"), np.arange(40) % 2

    def model():
        keras.utils.set_random_seed(0)
        return keras.Sequential([keras.Input((8, 8)), layers.Flatten(), layers.Dense(2)])

    ours, theirs = model(), model()
    with pytest.warns(UserWarning, match="x holds bytes, 0 … 255, and no layer .* scales them"):
        train(ours, (images, y), optimizer="sgd", learning_rate=1e-6, batch_size=40, **QUIET)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    theirs.compile(keras.optimizers.SGD(1e-6), loss)
    theirs.fit(images.astype("f4"), y, batch_size=40, verbose=0)
    assert same(ours, theirs, 1e-6)
    assert not same(ours, model(), 1e-6)


@pytest.mark.filterwarnings("error::UserWarning")
def test_preprocess_input_of_keras_scales_and_is_not_warned_of():
    """Once it was scaled twice."""
    inputs = keras.Input((8, 8, 3))
    scaled = keras.applications.mobilenet.preprocess_input(inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(scaled)))
    images, y = RNG.integers(0, 256, (40, 8, 8, 3)).astype("uint8"), np.arange(40) % 2
    before = model.predict(images, verbose=0)
    train(model, (images, y), learning_rate=0.0, **QUIET)
    np.testing.assert_array_equal(model.predict(images, verbose=0), before)


def test_fractions_that_are_scaled_like_bytes_are_warned_of():
    data = scale(digits())
    with pytest.warns(UserWarning, match="x reaches 1, and the model divides it by 255"):
        train(build_mlp((8, 8), 10), data, progress=False)


def test_streams_give_the_same_as_arrays():
    ours, streamed = network(), network()
    batches = tf.data.Dataset.from_tensor_slices((X, CLASSES)).batch(64)
    train(ours, (X, CLASSES), epochs=3, batch_size=64, **QUIET)
    result = train(streamed, batches, epochs=3, validation_data=(X, CLASSES), progress=False)
    assert same(ours, streamed, 1e-6)
    assert "val_accuracy" in result.history


def test_stream_of_unknown_length_with_weights():
    def batches():
        for start in range(0, 60, 25):
            weight = np.ones(len(X[start : start + 25]), "f4")
            yield X[start : start + 25], CLASSES[start : start + 25], weight

    signature = (
        tf.TensorSpec((None, 6)), tf.TensorSpec((None,), tf.int64), tf.TensorSpec((None,)),
    )  # fmt: skip
    stream = tf.data.Dataset.from_generator(batches, output_signature=signature)
    result = train(network(), stream, epochs=2, progress=False)
    assert result.history["loss"].iloc[1] < result.history["loss"].iloc[0]


def test_streaming_folder(image_folder):
    stream = load_dataset(str(image_folder), streaming=True, batch_size=4)
    model = build_mlp(stream)
    result = train(
        model, stream, epochs=20, learning_rate=0.01, validation_data=stream.test, progress=False
    )
    assert result.history["loss"].iloc[-1] < 0.5 < result.history["loss"].iloc[0]
    assert len(result.history["val_accuracy"]) == 20


def test_early_stopping_takes_the_best_weights():
    seen = []
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append((logs["val_loss"], model.get_weights()[0]))
    )
    model = network()
    noise = np.random.default_rng(1).integers(0, 3, 64)
    result = train(
        model, (X, noise), epochs=200, batch_size=8, learning_rate=0.05, validation_split=0.3,
        early_stopping=3, callbacks=[keep], progress=False,
    )  # fmt: skip
    assert len(result.history) < 200
    best = min(seen, key=lambda pair: pair[0])
    np.testing.assert_array_equal(model.get_weights()[0], best[1])


def test_keras_callbacks_change_the_learning_rate():
    rates = []
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))
    look = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: rates.append(float(model.optimizer.learning_rate))
    )
    model = network()
    train(model, (X, CLASSES), epochs=3, callbacks=[schedule, look], **QUIET)
    assert rates == pytest.approx([0.1, 0.05, 0.1 / 3])


@pytest.mark.parametrize(
    ("x", "y", "rate", "cause"),
    [
        (X, X[:, 0], 1e30, "learning rate may be too high"),
        (X, np.where(np.arange(64) == 5, np.nan, X[:, 0]), 0.01, "y holds NaN .* in 1 of 64"),
        (X * 1e30, X[:, 0], 10.0, "scale them"),
    ],
)
def test_nan_stops_with_its_step_and_a_cause(x, y, rate, cause):
    model = network(1, activation=None)
    with pytest.raises(TrainingError, match=r"at epoch \d+, step \d+; .*" + cause):
        train(model, (x, y), epochs=50, batch_size=8, learning_rate=rate,
              optimizer="sgd", **QUIET)  # fmt: skip


@pytest.mark.parametrize("seconds", [1e-4, 1e4])
def test_results_do_not_depend_on_the_clock(seconds, monkeypatch):
    """However long a call seems to take, the same steps are taken; only their grouping differs."""
    ticks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: seconds * next(ticks))
    model, y = network(1, activation=None), X[:, :1].copy()
    result = train(model, (X, y), epochs=4, batch_size=4, **QUIET)
    usual = network(1, activation=None)
    monkeypatch.undo()
    expected = train(usual, (X, y), epochs=4, batch_size=4, **QUIET)
    assert same(model, usual)
    assert result.history["loss"].equals(expected.history["loss"])


@pytest.mark.parametrize("seconds", [1e-4, 1e4])
def test_the_step_of_a_nan_does_not_depend_on_the_clock(seconds, monkeypatch):
    """A ReLU may hide the NaN from the loss; the gradient has it, in the step of that batch."""
    ticks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: seconds * next(ticks))
    y = np.where(np.arange(64)[:, None] == 5, np.nan, X[:, :1]).astype("f4")
    order = tf.random.experimental.stateless_shuffle(tf.range(64), [0, 1]).numpy()
    step = int(np.flatnonzero(order == 5)[0]) // 4 + 1
    with pytest.raises(TrainingError, match=f"at epoch 1, step {step}; y holds NaN"):
        train(network(1, activation=None), (X, y), epochs=4, batch_size=4, **QUIET)


def test_nan_that_relu_hides_from_the_loss_stops_the_training():
    broken = np.where(np.arange(64)[:, None] == 5, np.nan, X)
    stream = tf.data.Dataset.from_tensor_slices((broken, X[:, :1])).batch(16)
    with pytest.raises(TrainingError, match="at epoch 1, step 1; the batch holds NaN"):
        train(network(1), stream, progress=False)


@keras.saving.register_keras_serializable("tests")
class Small(layers.Layer):
    """A device that has memory for a few samples only."""

    limit = 10

    def call(self, x):
        def look(rows):
            if len(rows) > self.limit:
                raise MemoryError("too many rows")
            return rows

        y = tf.numpy_function(look, [x], x.dtype)
        y.set_shape(x.shape)
        return x + tf.stop_gradient(y - x)


@pytest.mark.parametrize(("rows", "xla"), [(64, "update"), (35, "none"), (31, "none")])
def test_out_of_memory_halves_the_batch_and_keeps_the_mathematics(rows, xla):
    """Four microbatches of a batch of 30; of an odd last one of 4, 5 or 1 there are fewer."""
    plan = hardware.Plan(("CPU:0",), "float32", xla)
    whole, small = network_of(), network_of(Small())
    pair = (X[:rows], CLASSES[:rows])
    expected = train(whole, pair, epochs=2, batch_size=30, plan=plan, **QUIET)
    with pytest.warns(UserWarning, match="Out of memory: every batch of 30 is now computed in 4"):
        result = train(small, pair, epochs=2, batch_size=30, plan=plan, **QUIET)
    assert result.plan.microbatches == 4
    assert same(whole, small, 1e-6)
    np.testing.assert_allclose(result.history["loss"], expected.history["loss"], rtol=1e-5)


def network_of(*extra):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((6,)), *extra, layers.Dense(3, activation="softmax")])


def test_out_of_memory_with_batch_normalization_says_what_changes():
    plan = hardware.Plan(("CPU:0",), "float32", "none")
    with pytest.warns(UserWarning, match="not the same mathematics: batch normalization"):
        train(network_of(layers.BatchNormalization(), Small()), (X, CLASSES), batch_size=30,
              plan=plan, **QUIET)  # fmt: skip


def test_out_of_memory_with_several_outputs():
    def model(*extra):
        keras.utils.set_random_seed(0)
        x = inputs = keras.Input((6,))
        for layer in extra:
            x = layer(x)
        return keras.Model(
            inputs,
            {"kind": layers.Dense(3, name="kind")(x), "size": layers.Dense(1, name="size")(x)},
        )

    plan = hardware.Plan(("CPU:0",), "float32", "none")
    y = {"kind": np.eye(3)[CLASSES].astype("f4"), "size": X[:, :1]}
    more = {"loss": {"kind": "mse", "size": "mse"}, "metrics": {"size": ["mae"]}}
    whole, small = model(), model(Small())
    expected = train(whole, (X, y), batch_size=30, plan=plan, **more, **QUIET)
    with pytest.warns(UserWarning, match="Out of memory"):
        result = train(small, (X, y), batch_size=30, plan=plan, **more, **QUIET)
    assert same(whole, small, 1e-6)
    columns = ["loss", "size_mae"]
    np.testing.assert_allclose(result.history[columns], expected.history[columns], rtol=1e-5)


def test_out_of_memory_with_one_sample_gives_up():
    keras.utils.set_random_seed(0)
    layer = Small()
    layer.limit = 2  # the trial passes, nothing after it
    model = keras.Sequential([keras.Input((6,)), layer, layers.Dense(3, activation="softmax")])
    stop = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: setattr(layer, "limit", 0))
    with warnings.catch_warnings(), pytest.raises(TrainingError, match="one sample at a time"):
        warnings.simplefilter("ignore")
        train(model, (X, CLASSES), batch_size=4, callbacks=[stop], **QUIET)


@pytest.mark.parametrize("precision", [pytest.param(p, marks=needs(p)) for p in NEEDED])
def test_lower_precision_learns_and_leaves_the_model_as_it_was(precision):
    data = load_dataset("digits")
    model = build_mlp(data, dropout=0.2)
    options = {"epochs": 5, "batch_size": 32, "learning_rate": 0.005, "progress": False}
    result = train(model, data, precision=precision, **options)
    assert result.plan.precision == precision
    assert result.history["val_accuracy"].iloc[-1] > 0.9
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    assert not any("call" in vars(layer) for layer in model.layers)
    assert all(w.dtype == np.float32 for w in model.get_weights())


@needs("mixed_bfloat16")
def test_interruption_leaves_the_model_as_it_was():
    def stop(*_):
        raise KeyboardInterrupt

    data = digits()
    model = build_cnn(data, blocks=((4,),))
    with pytest.raises(KeyboardInterrupt):
        train(model, data, precision="mixed_bfloat16", progress=False,
              callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=stop)])  # fmt: skip
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    assert not any("call" in vars(layer) for layer in model.layers)


@pytest.mark.parametrize("rate", [0.001, 0.2, 0.25, 0.9])
def test_quick_dropout_keeps_the_mean_and_the_rate(rate):
    layer = layers.Dropout(rate, seed=0)
    model = keras.Sequential([keras.Input((1000,)), layer])
    plan = hardware.Plan(("CPU:0",), "float32", "none")
    x = tf.ones((400, 1000))
    quick = with_quick_dropout(model, plan)
    assert quick is not model
    y, again = quick(x, training=True).numpy(), quick(x, training=True).numpy()
    assert (quick(x, training=False).numpy() == 1).all()
    spread = (rate * (1 - rate) / y.size) ** 0.5
    assert (y == 0).mean() == pytest.approx(rate, abs=4 * spread + 0.01 * rate)
    assert y.mean() == pytest.approx(1, abs=4 * spread / (1 - rate) + 1e-4)
    assert (y != again).any()


REFUSED = {
    "no model": ({"model": "cnn"}, "model is str; expected a Keras model"),
    "not built": ({"model": keras.Sequential([layers.Dense(3)])}, "not built"),
    "epochs": ({"epochs": 0}, "epochs is 0"),
    "batch size": ({"batch_size": 0}, "batch_size is 0"),
    "split": ({"validation_split": 1.5}, "validation_split is 1.5"),
    "data": ({"data": "mnist"}, "data is str; expected a Dataset"),
    "lengths": ({"data": (X, CLASSES[:-1])}, r"\[63, 64\] samples"),
    "NaN": (
        {"data": (np.where(np.arange(64)[:, None] == 5, np.nan, X), CLASSES)},
        "x holds NaN or infinity in 1 of 64 samples",
    ),
    "empty": ({"data": (X[:0], CLASSES[:0])}, "no sample"),
    "shape": ({"data": (X[:, :4], CLASSES)}, "does not fit the data"),
    "optimizer": ({"optimizer": "adamm"}, "optimizer is 'adamm'"),
    "precision": ({"precision": "float8"}, "precision is 'float8'"),
    "xla": ({"xla": "yes"}, "xla is 'yes'"),
    "labels": ({"data": (X, CLASSES + 5)}, "8 classes, the model 3 outputs"),
    "one-hot": ({"loss": "categorical_crossentropy"}, "expects one-hot rows"),
    "weights": ({"class_weight": {7: 1.0}}, "class_weight names class 7"),
    "stream": (
        {"data": tf.data.Dataset.from_tensors((X, CLASSES)), "validation_split": 0.1},
        "stream: its batches cannot be split",
    ),
    "stream size": (
        {"data": tf.data.Dataset.from_tensors((X, CLASSES)), "batch_size": 8},
        "brings its own batches",
    ),
    "empty stream": ({"data": tf.data.Dataset.from_tensors((X, CLASSES)).take(0)}, "empty"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case):
    changes, message = REFUSED[case]
    arguments = {"model": network(), "data": (X, CLASSES), "progress": False} | changes
    with pytest.raises(hardware.planning.CourseError, match=message) as caught:
        train(arguments.pop("model"), arguments.pop("data"), **arguments)
    assert "\n" not in str(caught.value)


def test_progress_in_a_notebook_leaves_clean_output(warm_kernels):
    import nbformat
    from nbclient import NotebookClient

    code = (
        "import numpy as np\nfrom helpers.models import build_mlp\n"
        "from helpers.training import train\n"
        "x, y = np.random.rand(2000, 8), np.arange(2000) % 2\n"
        "result = train(build_mlp((8,), 2), (x, y), epochs=15, batch_size=8)"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    (output,) = notebook.cells[0].outputs
    text = output["data"]["text/plain"]
    assert text.startswith("Plan: ")
    assert "… 3 epochs before" in text
    assert text.splitlines()[-1].startswith("epoch 15/15  loss ")


def train_in_terminal(end):
    terminal = end.detach()
    for stream in (1, 2):
        os.dup2(terminal, stream)
    os.close(terminal)
    x, y = RNG.random((6000, 8)), np.arange(6000) % 2
    train(build_mlp((8,), 2), (x, y), epochs=2, batch_size=2)


def test_progress_in_a_terminal_is_a_live_line(processes):
    terminal, end = pty.openpty()
    process = processes.Process(target=train_in_terminal, args=(DupFd(end),))
    process.start()
    os.close(end)
    shown = b""
    with contextlib.suppress(OSError):  # the other end is closed when the process has ended
        while part := os.read(terminal, 4096):
            shown += part
    os.close(terminal)
    process.join()
    assert process.exitcode == 0
    text = shown.decode()
    assert "Plan: CPU:0" in text
    assert re.search(r"\repoch 1/2: +\d+%.*\d+/2700 .*loss \d", text)
    last = text.rstrip().splitlines()[-1].split("\r")[-1]
    assert last.startswith(("epoch 2/2  loss", "\x1b[K"))


def test_progress_in_a_log_is_a_line_an_epoch(capsys):
    train(network(), (X, CLASSES), epochs=3, validation_split=0)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Plan: CPU:0")
    assert [line.split("  ")[0] for line in lines[1:]] == [f"epoch {n}/3" for n in (1, 2, 3)]


def test_a_function_augments_with_one_argument():
    seen = []

    def darker(x):
        seen.append((x.dtype, x.shape.rank))
        return x * 0.5

    data = digits(64)
    train(build_mlp(data, hidden=(4,)), data, augmentation=darker, progress=False)
    assert seen[0] == (tf.float32, 4)


def test_the_plan_that_is_asked_for_is_the_one_of_the_result():
    data = digits(64)
    model = build_mlp(data, hidden=(4,))
    asked = hardware.Plan(("CPU:0",), "float32", "none", steps_per_execution=3)
    assert train(model, data, plan=asked, progress=False).plan == asked


@pytest.mark.parametrize("end", ["activation", "layer", "model inside", "logits"])
def test_default_loss_sees_what_the_output_is(end):
    """Probabilities taken for logits would train, only worse: nothing would tell."""
    x = inputs = keras.Input((6,))
    x = layers.Dense(3, activation="softmax" if end == "activation" else None)(x)
    if end == "layer":
        x = layers.Softmax()(x)
    if end == "model inside":
        x = keras.Sequential([keras.Input((3,)), layers.Dense(3, activation="softmax")])(x)
    problem = make_task((X, CLASSES), 0, None, 0)
    loss = default_loss(keras.Model(inputs, x), problem)
    assert loss.get_config()["from_logits"] == (end == "logits")
