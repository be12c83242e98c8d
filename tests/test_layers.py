"""What is read off Keras models, by public means and one that is not."""

import keras
import numpy as np
import pytest
from keras import layers

from helpers.layers import (
    flat_layers,
    output_activation,
    output_layers,
    seed_generators,
)
from helpers.models import build_mlp, build_rnn
from helpers.preprocessing import augmentation
from helpers.training.checkpoint import describe


def nested(*last):
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(2, activation="sigmoid")])
    inputs = keras.Input((4,))
    return keras.Model(inputs, inner(layers.Dropout(0.2)(layers.Dense(3)(inputs))))


def test_every_layer_is_found_once():
    kinds = [
        type(layer).__name__ for layer in flat_layers(build_rnn((5, 4), 3, bidirectional=True))
    ]
    assert sorted(kinds) == [
        "Bidirectional", "Dense", "LSTM", "LSTM", "LSTMCell", "LSTMCell",
    ]  # fmt: skip
    kinds = [type(layer).__name__ for layer in flat_layers(nested())]
    assert sorted(kinds) == ["Dense", "Dense", "Dropout", "InputLayer", "Sequential"]


def test_every_random_state_is_found():
    assert len(seed_generators(augmentation())) == 5
    assert len(seed_generators(nested())) == 1
    assert not seed_generators(build_mlp((4,), 3))


def test_keras_tells_which_layer_made_an_output():
    """The one private name of Keras that the course uses; where it changes, this fails."""
    model = nested()
    assert model.outputs[0]._keras_history.operation is model.layers[-1]
    assert output_layers(model) == [model.layers[-1].layers[-1]]
    assert output_activation(model) == "sigmoid"


def test_outputs_of_a_model_inside_are_its_own():
    inner_input = keras.Input((3,))
    heads = [layers.Dense(n, name=f"head_{n}") for n in (1, 2)]
    inner = keras.Model(inner_input, [head(inner_input) for head in heads])
    inputs = keras.Input((3,))
    first, second = inner(inputs)
    assert output_layers(keras.Model(inputs, [second, first])) == heads[::-1]


def test_what_an_operation_or_a_subclass_gives_is_not_known():
    inputs = keras.Input((4,))
    assert (
        output_activation(keras.Model(inputs, keras.ops.softmax(layers.Dense(3)(inputs)))) is None
    )
    assert (
        output_activation(keras.Model(inputs, layers.Reshape((3, 1))(layers.Dense(3)(inputs))))
        is None
    )


@pytest.mark.parametrize("name", ["softmax", "sigmoid", None])
def test_activation_of_the_output(name):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation=name)])
    assert output_activation(model) == (name or "")


def test_descriptions_hold_no_address_and_no_counter():
    def loss(y, p):
        return (y - p) ** 2

    made = [
        {"loss": [loss, keras.losses.MeanSquaredError()], "model": nested(), "x": np.arange(3)}
        for _ in range(2)
    ]
    assert describe(made[0]) == describe(made[1])
    assert "0x" not in str(describe(made[0]))
    assert describe({"x": np.arange(3)}) != describe({"x": np.arange(4)})
