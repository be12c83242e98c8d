"""The loop computes what Keras computes, reproducibly, and says what is wrong when it cannot."""

import contextlib
import os
import pty
import re
import zipfile
from multiprocessing.reduction import DupFd

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import needs
from keras import layers

from helpers.datasets import load_dataset
from helpers.errors import CourseError
from helpers.evaluation import evaluate
from helpers.hardware import detect
from helpers.layers import quick_dropout
from helpers.models import build_cnn, build_mlp, build_rnn
from helpers.preprocessing import augmentation, scale
from helpers.training import Plan, TrainingError, train
from helpers.training import plan as make_plan
from helpers.training.data import make_task
from helpers.training.objective import default_loss
from helpers.training.planning import NEEDED

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
    plan = make_plan(models[0], xla="step")
    assert plan.shards == detect().cores
    histories = []
    for model, parts in zip(models, (1, 2), strict=True):
        chosen = Plan("CPU:0", "float32", "step", parts)
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
        (X * 1e30, X[:, 0], 10.0, "scale the data"),
    ],
)
def test_nan_stops_with_its_step_and_a_cause(x, y, rate, cause):
    model = network(1, activation=None)
    with pytest.raises(TrainingError, match=r"at epoch \d+, step \d+; .*" + cause):
        train(model, (x, y), epochs=50, batch_size=8, learning_rate=rate,
              optimizer="sgd", **QUIET)  # fmt: skip


@pytest.mark.parametrize("steps", [1, 3, 100])
def test_steps_in_a_call_change_nothing(steps):
    model, usual, y = network(1, activation=None), network(1, activation=None), X[:, :1].copy()
    asked = Plan("CPU:0", steps_per_execution=steps)
    result = train(model, (X, y), epochs=4, batch_size=4, plan=asked, **QUIET)
    expected = train(usual, (X, y), epochs=4, batch_size=4, plan=Plan("CPU:0"), **QUIET)
    assert same(model, usual)
    assert result.history["loss"].equals(expected.history["loss"])


@pytest.mark.parametrize("steps", [1, 3, 100])
def test_the_step_of_a_nan_is_named_however_many_are_in_a_call(steps):
    """A ReLU may hide the NaN from the loss; the weights have it, after the step of that batch."""
    y = np.where(np.arange(64)[:, None] == 5, np.nan, X[:, :1]).astype("f4")
    order = tf.random.experimental.stateless_shuffle(tf.range(64), [0, 1]).numpy()
    step = int(np.flatnonzero(order == 5)[0]) // 4 + 1
    with pytest.raises(TrainingError, match=f"at epoch 1, step {step}; y holds NaN"):
        train(network(1, activation=None), (X, y), epochs=4, batch_size=4,
              plan=Plan("CPU:0", steps_per_execution=steps), **QUIET)  # fmt: skip


def test_nan_that_relu_hides_from_the_loss_stops_the_training():
    broken = np.where(np.arange(64)[:, None] == 5, np.nan, X)
    stream = tf.data.Dataset.from_tensor_slices((broken, X[:, :1])).batch(16)
    with pytest.raises(TrainingError, match="at epoch 1, step 1; the learning rate"):
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


def network_of(*extra):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((6,)), *extra, layers.Dense(3, activation="softmax")])


def test_out_of_memory_says_what_to_do():
    with pytest.raises(TrainingError, match=r"in epoch 1, with 30 .*batch_size=15,") as error:
        train(network_of(Small()), (X, CLASSES), batch_size=30, xla="none", **QUIET)
    assert "\n" not in str(error.value)


def test_what_it_advises_when_memory_is_short_computes_the_same():
    whole, parts = network_of(), network_of(Small())
    adam = keras.optimizers.Adam(gradient_accumulation_steps=2)
    pair, options = (X[:60], CLASSES[:60]), {"epochs": 2, "xla": "none"} | QUIET
    train(whole, pair, batch_size=20, **options)
    train(parts, pair, batch_size=10, optimizer=adam, **options)
    assert same(whole, parts, 1e-6)


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
    x = tf.ones((400, 1000))
    with quick_dropout(model, on_gpu=False), tf.GradientTape() as tape:
        assert "call" in vars(layer)
        tape.watch(x)
        y, again = model(x, training=True), model(x, training=True).numpy()
        assert (model(x, training=False).numpy() == 1).all()
    assert "call" not in vars(layer)
    # What is dropped gives no gradient, and what is kept the gradient of its scale.
    np.testing.assert_array_equal(tape.gradient(y, x), y)
    y = y.numpy()
    spread = (rate * (1 - rate) / y.size) ** 0.5
    assert (y == 0).mean() == pytest.approx(rate, abs=4 * spread + 0.01 * rate)
    assert y.mean() == pytest.approx(1, abs=4 * spread / (1 - rate) + 1e-4)
    assert (y != again).any()


REFUSED = {
    "no model": ({"model": "cnn"}, "model is str; expected a Keras model"),
    "epochs": ({"epochs": 0}, "epochs is 0"),
    "batch size": ({"batch_size": 0}, "batch_size is 0"),
    "split": ({"validation_split": 1.5}, "validation_split is 1.5"),
    "data": ({"data": "mnist"}, "data is str; expected a Dataset"),
    "lengths": ({"data": (X, CLASSES[:-1])}, r"\[63, 64\] samples"),
    "empty": ({"data": (X[:0], CLASSES[:0])}, r"\[0\] samples; expected as many of each, and one"),
    "shape": ({"data": (X[:, :4], CLASSES)}, "does not fit the data"),
    "optimizer": ({"optimizer": "adamm"}, "optimizer is 'adamm'"),
    "precision": ({"precision": "float8"}, "precision is 'float8'"),
    "xla": ({"xla": "yes"}, "xla is 'yes'"),
    "labels": ({"data": (X, CLASSES + 5)}, "go from 5 to 7, the model has 3 outputs"),
    "one-hot": ({"loss": "categorical_crossentropy"}, "expects one-hot rows"),
    "weights": ({"class_weight": {7: 1.0}}, "class_weight is {7: 1.0}; .* by numbers below 3"),
    "stream": (
        {"data": tf.data.Dataset.from_tensors((X, CLASSES)), "validation_split": 0.1},
        "stream: its batches cannot be split",
    ),
    "stream size": (
        {"data": tf.data.Dataset.from_tensors((X, CLASSES)), "batch_size": 8},
        "brings its own batches",
    ),
    "text": ({"data": (np.array([list("abcdef")] * 64), CLASSES)}, "x holds text; encode it"),
    "balanced": ({"class_weight": "balanced"}, "class_weight is 'balanced'; expected a weight for"),
    "empty stream": ({"data": tf.data.Dataset.from_tensors((X, CLASSES)).take(0)}, "empty"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case):
    changes, message = REFUSED[case]
    arguments = {"model": network(), "data": (X, CLASSES), "progress": False} | changes
    with pytest.raises(CourseError, match=message) as caught:
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
    assert "… 3 lines before" in text
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
    asked = Plan("CPU:0", steps_per_execution=3)
    assert train(model, data, plan=asked, progress=False).plan == asked


def ended(end):
    """Return a network whose output is of a kind."""
    x = inputs = keras.Input((6,))
    if end == "operation":
        return keras.Model(inputs, keras.ops.softmax(layers.Dense(3)(x)))
    if end == "layer":
        return keras.Model(inputs, layers.Softmax()(layers.Dense(3)(x)))
    if end == "model inside":
        inner = keras.Sequential([keras.Input((6,)), layers.Dense(3, activation="softmax")])
        return keras.Model(inputs, inner(x))
    units, _, activation = end.partition(" ")
    return keras.Model(inputs, layers.Dense(int(units), activation=activation or None)(x))


ONE_HOT, SPARSE = np.eye(3, dtype="f4")[CLASSES], "sparse_categorical_crossentropy"
SEVERAL = (RNG.random((64, 3)) > 0.5).astype("int64")
CERTAIN = {
    "classes": ("3 softmax", CLASSES, SPARSE),
    "classes in a column": ("3 softmax", CLASSES[:, None], SPARSE),
    "one-hot": ("3 softmax", ONE_HOT, "categorical_crossentropy"),
    "softmax as a layer": ("layer", CLASSES, SPARSE),
    "softmax of a model inside": ("model inside", CLASSES, SPARSE),
    "logits": ("3", CLASSES, f"{SPARSE} of logits"),
    "yes or no": ("1 sigmoid", CLASSES > 1, "binary_crossentropy"),
    "yes or no, in a column": ("1 sigmoid", SEVERAL[:, :1].astype("f4"), "binary_crossentropy"),
    "several yes or no": ("3 sigmoid", SEVERAL, "binary_crossentropy"),
    "a number": ("1", X[:, 0], "mean_squared_error"),
    "whole numbers": ("1", CLASSES, "mean_squared_error"),
    "counts": ("1 relu", CLASSES, "mean_squared_error"),
    "several numbers": ("3", X[:, :3], "mean_squared_error"),
    "several whole numbers": ("3", SEVERAL + 5, "mean_squared_error"),
}  # fmt: skip


@pytest.mark.parametrize("case", CERTAIN)
def test_default_loss_where_there_is_no_doubt(case):
    end, y, expected = CERTAIN[case]
    loss = default_loss(ended(end), make_task((X, y), 0, None, 0))
    name = loss if isinstance(loss, str) else loss.name
    logits = not isinstance(loss, str) and loss.get_config()["from_logits"]
    assert name + " of logits" * logits == expected


DOUBTFUL = {
    "an operation": ("operation", CLASSES),
    "one-hot rows under no activation": ("3", ONE_HOT),
    "one-hot rows under tanh": ("3 tanh", ONE_HOT),
    "-1 and 1 under tanh": ("1 tanh", np.sign(X[:, :1])),
    "classes under several sigmoids": ("3 sigmoid", CLASSES),
    "true and false under no activation": ("1", CLASSES > 1),
    "numbers under a softmax": ("3 softmax", X[:, 0]),
}


@pytest.mark.parametrize("case", DOUBTFUL)
def test_default_loss_is_asked_for_where_there_is(case):
    end, y = DOUBTFUL[case]
    with pytest.raises(TrainingError, match="pass loss=") as caught:
        train(ended(end), (X, y), progress=False)
    assert "\n" not in str(caught.value)


def test_a_sigmoid_wants_0_and_1():
    with pytest.raises(TrainingError, match="from -1 to 1, and binary cross-entropy"):
        train(ended("1 sigmoid"), (X, np.where(CLASSES > 1, 1, -1)), progress=False)


def rows_of(data):
    """Make batches of arrays in a way that ``fit`` knows."""

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, number):
            return tuple(a[16 * number : 16 * number + 16] for a in data)

    return Batches()


def generated(data):
    while True:
        for start in range(0, 64, 16):
            yield tuple(a[start : start + 16] for a in data)


KINDS = {
    "PyDataset": lambda x, y: (rows_of((x, y)), {}),
    "generator": lambda x, y: (generated((x, y)), {"steps_per_epoch": 4}),
    "tensors": lambda x, y: ((tf.constant(x), tf.constant(y)), {"batch_size": 64}),
    "lists": lambda x, y: ((x.tolist(), y.tolist()), {"batch_size": 64}),
    "data frame": lambda x, y: ((pd.DataFrame(x), pd.Series(y)), {"batch_size": 64}),
    "float64": lambda x, y: ((x.astype("f8"), y), {"batch_size": 64}),
    "a list of one input": lambda x, y: (([x], [y]), {"batch_size": 64}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_that_fit_takes(kind):
    data, options = KINDS[kind](X, CLASSES)
    ours, theirs = network(), network()
    options = {"epochs": 2, "xla": "none", "validation_data": (X, CLASSES)} | SILENT | options
    train(ours, data, loss=SPARSE, **options)
    theirs.compile("adam", SPARSE)
    theirs.fit(
        X, CLASSES, batch_size=options.get("batch_size", 16), epochs=2, shuffle=False, verbose=0
    )
    assert same(ours, theirs, 1e-5)


def test_a_model_that_is_not_built_is_built():
    ours, theirs = (
        keras.Sequential([layers.Dense(3, activation="softmax", kernel_initializer="ones")])
        for _ in range(2)
    )
    train(ours, (X, CLASSES), epochs=2, batch_size=64, xla="none", **QUIET)
    theirs.compile("adam", SPARSE)
    theirs.fit(X, CLASSES, epochs=2, batch_size=64, verbose=0)
    assert same(ours, theirs, 1e-6)


def test_one_callback_without_a_list_and_weights_as_a_list():
    seen, models = [], [network(), network()]
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    train(models[0], (X, CLASSES), class_weight=[1.0, 2.0, 0.5], callbacks=callback, **QUIET)
    train(models[1], (X, CLASSES), class_weight={1: 2.0, 2: 0.5}, **QUIET)
    assert seen == [0]
    assert same(*models)


def test_weights_of_classes_in_a_stream_leave_the_others_at_1():
    stream = tf.data.Dataset.from_tensor_slices((X, CLASSES)).batch(64)
    ours, theirs = network(), network()
    train(ours, stream, class_weight={1: 3.0}, progress=False)
    train(theirs, (X, CLASSES, np.where(CLASSES == 1, 3.0, 1.0)), batch_size=64, **QUIET)
    assert same(ours, theirs, 1e-6)


def test_a_frozen_model_says_its_loss_and_changes_nothing():
    model = network()
    model.trainable = False
    before = model.get_weights()
    with pytest.warns(UserWarning, match="no variable to train"):
        train(model, (X, CLASSES), **QUIET)
    assert all(map(np.array_equal, before, model.get_weights()))


def test_own_loss_that_leaves_out_a_class():
    y = np.where(np.arange(64) % 4 == 0, 7, CLASSES)
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=7)
    ours, theirs = network(), network()
    train(ours, (X, y), loss=loss, metrics=[], batch_size=64, **QUIET)
    theirs.compile("adam", loss)
    theirs.fit(X, y, batch_size=64, verbose=0)
    assert same(ours, theirs, 1e-6)


def test_what_is_excluded_from_weight_decay_stays_so():
    models = [network(), network()]
    optimizers = [keras.optimizers.AdamW(weight_decay=5.0) for _ in models]
    for optimizer in optimizers:
        optimizer.exclude_from_weight_decay(var_names=["bias", "kernel"])
    train(models[0], (X, CLASSES), optimizer=optimizers[0], batch_size=64, **QUIET)
    models[1].compile(optimizers[1], SPARSE)
    models[1].fit(X, CLASSES, batch_size=64, verbose=0)
    assert same(*models, 1e-6)


def test_the_model_is_as_ever_for_callbacks_and_afterwards(tmp_path):
    """What is ours stays out of files, and of whatever a callback calls."""
    model, seen = network(), []
    look = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: seen.append(model.predict(X, verbose=0).dtype)
    )
    keep = keras.callbacks.ModelCheckpoint(tmp_path / "m.keras")
    train(model, (X, CLASSES), precision="mixed_bfloat16", callbacks=[look, keep], **QUIET)
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert {layer.dtype_policy.name for layer in loaded.layers} == {"float32"}
    assert (loaded.steps_per_execution, model.steps_per_execution) == (1, 1)
    assert seen == [np.float32]
    assert not {"train_step", "test_step"} & vars(model).keys()
    model.fit(X, CLASSES, verbose=0)


@pytest.mark.parametrize("name", ["shuffle", "verbose", "initial_epoch", "anything"])
def test_what_only_fit_takes_is_refused(name):
    with pytest.raises(TrainingError, match=f"train takes no '{name}'; "):
        train(network(), (X, CLASSES), **{name: 1})


@pytest.mark.parametrize("option", [{"precision": "float32"}, {"xla": "none"}])
def test_a_plan_and_what_it_decides_are_refused_together(option):
    model = network()
    with pytest.raises(TrainingError, match="pass either plan= or these"):
        train(model, (X, CLASSES), plan=make_plan(model), **option)


STREAM = tf.data.Dataset.from_tensor_slices((X, CLASSES)).batch(16)
NEVER = {
    "training": ({"data": STREAM.repeat()}, "never ends; pass steps_per_epoch="),
    "validation": ({"validation_data": STREAM.repeat()}, "never ends; pass validation_steps="),
}


@pytest.mark.parametrize("part", NEVER)
def test_streams_that_never_end_are_refused_where_fit_would_hang(part):
    changes, message = NEVER[part]
    with pytest.raises(TrainingError, match=message):
        train(network(), **({"data": (X, CLASSES), "progress": False} | changes))


def test_stateful_layers_with_an_odd_batch_fail_as_in_fit():
    model = keras.Sequential(
        [keras.Input(batch_shape=(16, 6, 1)), layers.LSTM(4, stateful=True), layers.Dense(3)]
    )
    with pytest.raises(TrainingError) as caught:
        train(model, (X[:60, :, None], CLASSES[:60]), batch_size=16, **QUIET)
    assert "\n" not in str(caught.value)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises((ValueError, tf.errors.OpError)):
        model.fit(X[:60, :, None], CLASSES[:60], batch_size=16, verbose=0)


def test_the_test_part_is_never_taken_in_silence():
    data = digits(100)
    seen = train(build_mlp(data, hidden=(4,)), data, validation_data=data, progress=False)
    split = train(build_mlp(data, hidden=(4,)), data, progress=False)
    assert seen.history["val_loss"][1] == split.history["val_loss"][1]
    held_out = data.replace(x_val=data.x_train[:20], y_val=data.y_train[:20])
    given = ((data.x_train, data.y_train), (data.x_train[:20], data.y_train[:20]))
    results = [
        train(build_mlp(data, hidden=(4,)), given[0], validation_data=given[1], progress=False),
        train(build_mlp(data, hidden=(4,)), held_out, progress=False),
        train(build_mlp(data, hidden=(4,)), given[0], validation_data=held_out, progress=False),
    ]
    assert len({r.history["val_loss"][1] for r in results}) == 1
    with pytest.raises(TrainingError, match="no validation part; pass what to validate on"):
        train(build_mlp(data, hidden=(4,)), given[0], validation_data=data, progress=False)


def by_both(model, *data, options=None, **more):
    """Train a model twice from the same weights, by ``train`` and by ``fit``; return both."""
    found = []
    for ours in (True, False):
        net = model()
        if ours:
            result = train(net, data if len(data) > 1 else data[0], xla="none", precision="float32",
                           **more, **(options or {}), **SILENT)  # fmt: skip
            found.append((net, list(result.history["loss"])))
        else:
            kept = {k: more.pop(k) for k in ("loss", "metrics", "optimizer") if k in more}
            net.compile(kept.pop("optimizer", "adam"), **kept)
            found.append((net, net.fit(*data, shuffle=False, verbose=0, **more).history["loss"]))
    return found


def linear(kind=keras.Model):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,))
    return kind(inputs, layers.Dense(1)(inputs))


NUMBERS = X[:, :1] * 2
PAIRS = tf.data.Dataset.from_tensor_slices((X, NUMBERS)).batch(8)


def test_epochs_and_validations_have_the_steps_that_are_asked_for():
    more = {"steps_per_epoch": 150, "epochs": 2, "validation_steps": 3, "loss": "mse"}
    held_out = tf.data.Dataset.from_tensor_slices((X * 3, NUMBERS)).batch(8).repeat()
    (ours, losses), (theirs, expected) = by_both(
        linear, PAIRS.repeat(), validation_data=held_out, **more
    )
    assert int(ours.optimizer.iterations) == int(theirs.optimizer.iterations) == 300
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    assert same(ours, theirs, 1e-6)


def test_validation_is_in_batches_of_the_training():
    loss = keras.losses.MeanSquaredError(reduction="sum")
    held_out = (X[:40], NUMBERS[:40])
    again = train(
        linear(), (X, NUMBERS), batch_size=64, loss=loss, validation_data=held_out, **SILENT
    )
    theirs = linear()
    theirs.compile("adam", loss)
    fitted = theirs.fit(X, NUMBERS, batch_size=64, validation_data=held_out, verbose=0).history
    assert again.history["val_loss"][1] == pytest.approx(fitted["val_loss"][0], rel=1e-5)


class OwnLoss(keras.Model):
    """Counts a loss of its own in training, and has a metric that is called as Keras's."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.counter = keras.metrics.Mean(name="loss")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=False):
        loss = keras.ops.mean((y - y_pred) ** 2) * (10 if training else 1)
        self.counter.update_state(loss)
        return loss


def test_a_loss_of_the_models_own():
    (ours, losses), (theirs, expected) = by_both(
        lambda: linear(OwnLoss),
        X,
        NUMBERS,
        batch_size=64,
        epochs=3,
        options={"validation_split": 0},
    )
    assert same(ours, theirs, 1e-6)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


class Scaled(keras.optimizers.SGD):
    """Has no configuration of its own, so that a copy would lack the factor."""

    def __init__(self, factor=1.0):
        super().__init__(0.001)
        self.factor = factor

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient * self.factor, variable, learning_rate)


def test_an_optimizer_of_the_users_own():
    ours, theirs = linear(), linear()
    train(ours, (X, NUMBERS), optimizer=Scaled(50.0), batch_size=64, **QUIET)
    theirs.compile(Scaled(50.0), "mse")
    theirs.fit(X, NUMBERS, batch_size=64, verbose=0)
    assert same(ours, theirs, 1e-6)


def over_the_batch(x):
    return x - keras.ops.mean(x, axis=0, keepdims=True)


def test_what_looks_at_the_whole_batch_is_not_sharded():
    inputs = keras.Input((5, 4))
    x = layers.LSTM(3)(inputs)
    plain = keras.Model(inputs, layers.Dense(3)(x))
    assert make_plan(plain, xla="step", loss=SPARSE).shards == detect().cores
    mixed = [over_the_batch, lambda x: keras.ops.reshape(keras.ops.transpose(x), (-1, 3))]
    for change in (*mixed, layers.Lambda(over_the_batch)):
        assert make_plan(keras.Model(inputs, layers.Dense(3)(change(x))), xla="step").shards == 1
    for loss in ("dice", keras.losses.SparseCategoricalCrossentropy(ignore_class=0), abs):
        assert make_plan(plain, xla="step", loss=loss).shards == 1


class Sees(keras.callbacks.Callback):
    """Sees the batches of the validation, and trains on one of its own."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def on_test_batch_end(self, batch, logs=None):
        self.count += 1

    def on_epoch_end(self, epoch, logs=None):
        self.model.train_on_batch(X[:8], NUMBERS[:8])


def test_callbacks_see_each_batch_of_the_validation_and_may_train():
    looks, (ours, _), (theirs, _) = [], *by_both(linear, PAIRS, loss="mse", epochs=2)
    for net in (ours, theirs):
        looks.append(Sees())
        if net is ours:
            options = {"loss": "mse", "xla": "none"} | SILENT
            train(net, PAIRS, validation_data=PAIRS, callbacks=[[looks[-1]]], **options)
        else:
            net.compile("adam", "mse")
            net.fit(PAIRS, validation_data=PAIRS, callbacks=[looks[-1]], verbose=0)
    assert [look.count for look in looks] == [8, 8]
    assert same(ours, theirs, 1e-6)


class Counts(keras.Model):
    """Counts its calls, and has no graph before the first."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(1)
        self.calls = self.add_weight(name="calls", shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        self.calls.assign_add(1.0)
        return self.dense(x)


def test_building_computes_nothing():
    model = Counts()
    train(model, (X, NUMBERS), batch_size=16, loss="mse", **QUIET)
    assert float(model.calls) == 4
    stateful = keras.Sequential([layers.SimpleRNN(4, stateful=True), layers.Dense(1)])
    train(stateful, (X[:, :, None], NUMBERS), batch_size=16, **QUIET)


def test_metrics_that_are_arrays(tmp_path):
    options = {"metrics": [keras.metrics.F1Score()], "checkpoint": tmp_path / "c.npz"} | QUIET
    result = train(network(), (X, np.eye(3)[CLASSES]), **options)
    assert len(result.history["f1_score"][1]) == 3
    assert len(train(network(), (X, np.eye(3)[CLASSES]), **options).history["f1_score"][1]) == 3


def test_losses_that_are_functions_have_no_metric_that_does_not_fit():
    sparse = keras.losses.sparse_categorical_crossentropy
    assert "accuracy" in train(network(), (X, CLASSES), loss=sparse, **QUIET).history
    own = train(linear(), (X, NUMBERS), loss=lambda y, p: keras.ops.mean((y - p) ** 2), **QUIET)
    assert list(own.history) == ["loss", "seconds"]


def test_arrays_with_steps_per_epoch():
    result = train(network(), (X, CLASSES), epochs=3, steps_per_epoch=2, batch_size=16, **QUIET)
    assert len(result.history) == 3
    assert int(result.model.optimizer.iterations) == 6
