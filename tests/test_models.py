"""The networks of the course are exactly those of its sources, and refuse what makes no network."""

from itertools import pairwise

import keras
import numpy as np
import pytest
from keras import layers

from helpers import models
from helpers.datasets import load_dataset
from helpers.errors import CourseError
from helpers.models import build_cnn, build_mlp, build_rnn
from helpers.preprocessing import scale


def weights(*sizes):
    """Count the parameters of dense layers from one size to the next."""
    return sum((a + 1) * b for a, b in pairwise(sizes))


NETWORKS = {
    "784-512-10": (lambda: build_mlp((28, 28), 10), weights(784, 512, 10), 407_050),
    "784-32-10": (
        lambda: build_mlp((28, 28), 10, hidden=(32,), dropout=0.2), weights(784, 32, 10), 25_450,
    ),
    "Iris 4-64-3": (lambda: build_mlp((4,), 3, hidden=(64,)), weights(4, 64, 3), 515),
    "toy 100-64-10": (lambda: build_mlp((100,), 10, hidden=(64,)), weights(100, 64, 10), 7_114),
    "CNN 32-64-pool": (
        lambda: build_cnn((28, 28), 10),
        10 * 32 + (9 * 32 + 1) * 64 + weights(12 * 12 * 64, 128, 10),
        1_199_882,
    ),
    "CNN 32-pool-64-pool": (
        lambda: build_cnn((28, 28), 10, blocks=((32,), (64,)), dropout=(0, 0)),
        10 * 32 + (9 * 32 + 1) * 64 + weights(5 * 5 * 64, 128, 10),
        225_034,
    ),
    "LSTM(32)": (lambda: build_rnn((28, 28), 10), 4 * (28 + 32 + 1) * 32 + weights(32, 10), 8_138),
    "LSTM(32) relu": (
        lambda: build_rnn((28, 28), 10, activation="relu"),
        4 * (28 + 32 + 1) * 32 + weights(32, 10),
        8_138,
    ),
    "GRU(32)": (
        lambda: build_rnn((28, 28), 10, cell="gru"),
        3 * (28 + 32 + 2) * 32 + weights(32, 10),
        6_282,
    ),
    "SimpleRNN(32)": (
        lambda: build_rnn((28, 28), 10, cell="simple"), (28 + 32 + 1) * 32 + weights(32, 10), 2_282,
    ),
    "bidirectional": (
        lambda: build_rnn((28, 28), 10, bidirectional=True),
        2 * 4 * (28 + 32 + 1) * 32 + weights(64, 10),
        16_266,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters(name):
    build, counted, stated = NETWORKS[name]
    model = build()
    assert model.count_params() == counted == stated
    x = np.random.default_rng(0).random((2, *model.input_shape[1:]), dtype=np.float32)
    np.testing.assert_allclose(np.asarray(model(x)).sum(axis=1), 1, rtol=1e-5)


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


def test_layers_of_the_cnn():
    model = build_cnn((28, 28), 10)
    assert kinds(model) == [
        "Rescaling", "Reshape", "Conv2D", "Conv2D", "MaxPooling2D", "Dropout", "Flatten", "Dense",
        "Dropout", "Dense",
    ]  # fmt: skip
    assert [x.rate for x in model.layers if isinstance(x, layers.Dropout)] == [0.25, 0.5]
    assert [x.activation.__name__ for x in model.layers if hasattr(x, "activation")] == [
        "relu", "relu", "relu", "softmax",
    ]  # fmt: skip


BYTES = load_dataset("digits")
FLOATS = scale(BYTES)


@pytest.mark.parametrize("build", [build_mlp, build_cnn])
def test_bytes_are_scaled_inside_the_network(build):
    def scales(model):
        return kinds(model)[0] == "Rescaling" or kinds(model)[1] == "Rescaling"

    assert scales(build(BYTES))
    assert scales(build((8, 8), 10))
    assert not scales(build(FLOATS))
    assert not scales(build((8, 8), 10, rescale=False))
    assert build(BYTES).output_shape == (None, 10)


def test_sequences_are_scaled_only_where_they_are_bytes():
    assert kinds(build_rnn(BYTES))[0] == "Rescaling"
    assert kinds(build_rnn(FLOATS))[0] == "LSTM"
    assert kinds(build_rnn((8, 8), 10))[0] == "LSTM"
    assert kinds(build_rnn((8, 8), 10, rescale=True))[0] == "Rescaling"


def test_tables_are_not_scaled():
    assert kinds(build_mlp(load_dataset("iris")))[0] == "Dense"
    assert kinds(build_mlp((784,), 10))[0] == "Dense"


def test_relu_variant_keeps_the_gates():
    cell = build_rnn((28, 28), 10, activation="relu").layers[0]
    assert cell.activation.__name__ == "relu"
    assert cell.recurrent_activation.__name__ == "sigmoid"


@pytest.mark.parametrize("build", [build_mlp, build_cnn])
def test_batch_normalization_comes_before_the_activation(build):
    names = kinds(build((12, 12), 3, batch_normalization=True))
    place = names.index("BatchNormalization")
    assert names[place - 1] in ("Dense", "Conv2D")
    assert names[place + 1] == "Activation"


@pytest.mark.parametrize("build", [build_mlp, build_cnn, build_rnn])
def test_penalties_are_part_of_the_loss(build):
    model = build((12, 12), 3, l1=0.01, l2=0.02)
    kernels = [v.numpy() for v in model.trainable_variables if v.path.endswith("/kernel")]
    expected = sum(0.01 * np.abs(k).sum() + 0.02 * (k**2).sum() for k in kernels)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-4)
    assert not build((12, 12), 3).losses


def test_dropout_of_a_recurrent_network():
    assert "Dropout" in kinds(build_rnn((28, 28), 10, dropout=0.3))


def test_same_seed_same_weights():
    first, again, other = (build_cnn((12, 12), 3, seed=s).get_weights() for s in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert (first[0] != other[0]).any()


@pytest.fixture
def channels_first():
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 3), (3, 28, 28)])
def test_channels_first(channels_first, shape):
    model = build_cnn(shape, 10, batch_normalization=True)
    convolution = next(x for x in model.layers if isinstance(x, layers.Conv2D))
    channels = 1 if len(shape) == 2 else 3
    assert convolution.input.shape == (None, channels, 28, 28)
    assert convolution.output.shape == (None, 32, 26, 26)
    assert model.output_shape == (None, 10)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: build_mlp((), 3), r"input_shape is \(\)"),
        (lambda: build_mlp((0, 3), 3), "input_shape is"),
        (lambda: build_mlp((4,), 1), "class_count is 1; expected at least 2"),
        (lambda: build_mlp((4,)), "class_count is None; expected at least 2"),
        (lambda: build_cnn((28,), 3), "a convolution expects images"),
        (lambda: build_cnn((4, 4), 3), "too small for blocks"),
        (lambda: build_rnn((28, 28), 3, cell="lstmm"), "cell is 'lstmm'.*lstm"),
        (lambda: build_rnn((28, 28, 3), 3), "expects \\(steps, features\\)"),
    ],
)
def test_refusals(build, message):
    with pytest.raises(CourseError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)


def test_every_builder_names_its_model():
    names = {build((12, 12), 3).name for build in (build_mlp, build_cnn, build_rnn)}
    assert names == {"mlp", "cnn", "lstm"}
    assert models.CELLS.keys() == {"lstm", "gru", "simple"}
