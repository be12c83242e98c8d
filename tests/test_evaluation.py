"""Figures of merit equal their definitions, computed here a second time in NumPy."""

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

from helpers import plots
from helpers.datasets import load_dataset
from helpers.errors import CourseError
from helpers.evaluation import Evaluation, evaluate, predict
from helpers.models import build_mlp
from helpers.plots import CourseFigure

RNG = np.random.default_rng(0)
NAMES = ("ant", "bee", "cat")


@pytest.fixture
def evaluation():
    scores = RNG.random((300, 3)) ** 3
    probabilities = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
    y = np.where(RNG.random(300) < 0.6, probabilities.argmax(axis=1), RNG.integers(0, 3, 300))
    return Evaluation(y, probabilities, NAMES)


def test_accuracy_and_loss(evaluation):
    right = evaluation.probabilities.argmax(axis=1) == evaluation.y
    assert evaluation.accuracy == pytest.approx(right.mean())
    own = evaluation.probabilities[np.arange(300), evaluation.y]
    assert evaluation.loss == pytest.approx(-np.log(own).mean(), rel=1e-5)


def test_report(evaluation):
    report = evaluation.report()
    for number, name in enumerate(NAMES):
        called, is_so = evaluation.predicted == number, evaluation.y == number
        precision, recall = (
            (called & is_so).sum() / called.sum(),
            (called & is_so).sum() / is_so.sum(),
        )
        expected = [precision, recall, 2 * precision * recall / (precision + recall), is_so.sum()]
        np.testing.assert_allclose(report.loc[name], expected)
    assert report.loc["mean", "f1"] == pytest.approx(report["f1"].iloc[:3].mean())
    assert report.loc["mean", "samples"] == 300


def test_class_that_is_never_predicted_has_no_precision():
    certain = np.eye(3, dtype=np.float32)[[0, 0, 1]]
    assert Evaluation(np.array([0, 2, 1]), certain, NAMES).report().loc["cat", "precision"] == 0


def test_confusion(evaluation):
    table = evaluation.confusion()
    for i, true in enumerate(NAMES):
        for j, said in enumerate(NAMES):
            assert (
                table.loc[true, said] == ((evaluation.y == i) & (evaluation.predicted == j)).sum()
            )


def test_mistakes_are_mistakes_and_sorted(evaluation):
    table = evaluation.mistakes()
    assert len(table) == (evaluation.predicted != evaluation.y).sum()
    assert table["confidence"].is_monotonic_decreasing
    for _, row in table.iterrows():
        assert NAMES[evaluation.y[row["index"]]] == row["true"] != row["predicted"]
        assert evaluation.probabilities[row["index"]].max() == pytest.approx(row["confidence"])


def test_evaluate_scales_as_training_does():
    data = load_dataset("digits")
    model = build_mlp(data.input_shape, 10)
    expected = np.asarray(model(data.x_test.astype("float32") / 255)).argmax(axis=1)
    result = evaluate(model, data)
    assert (result.predicted == expected).all()


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_one_output_becomes_two_probabilities(activation):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1, activation=activation)])
    model.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=activation is None))
    x = RNG.normal(size=(7, 4)).astype("float32")
    z = np.asarray(model(x))[:, 0]
    positive = z if activation else 1 / (1 + np.exp(-z))
    np.testing.assert_allclose(predict(model, x), np.stack([1 - positive, positive], 1), rtol=1e-5)


def test_numbers_of_a_regression_stay_numbers():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    x = RNG.normal(size=(7, 4)).astype("float32")
    np.testing.assert_allclose(predict(model, x), np.asarray(model(x)), rtol=1e-6)


def test_logits_go_through_softmax():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = RNG.normal(size=(1100, 4)).astype("float32")  # more than one batch
    e = np.exp(np.asarray(model(x)))
    np.testing.assert_allclose(predict(model, x), e / e.sum(axis=1, keepdims=True), rtol=1e-4)


def test_wrong_number_of_outputs_is_refused():
    with pytest.raises(CourseError, match=r"3 outputs \(classes\), digits 10 classes"):
        evaluate(build_mlp((8, 8), 3), load_dataset("digits"))


def history(*values):
    frame = pd.DataFrame({"loss": values, "accuracy": values, "val_loss": values})
    return frame.assign(val_accuracy=values, seconds=1.0).set_axis(range(1, len(values) + 1))


FIGURES = {
    "learning_curves": lambda e: plots.learning_curves(history(0.5, 0.6, 0.7)),
    "two histories": lambda e: plots.learning_curves({"a": history(0.5), "b": history(0.5, 0.6)}),
    "confusion": lambda e: plots.confusion_matrix(e.confusion(), title="Confusion"),
    "curves": lambda e: plots.curves(
        np.arange(3), {"a": np.arange(3), "b": np.arange(3)}, xlabel="x", ylabel="y"
    ),
    "paths": lambda e: plots.descent_paths(
        lambda x, y: x**2 + y**2, {"SGD": np.ones((4, 2))}, limits=(-2, 2, -2, 2)
    ),
    "spread": lambda e: plots.spread({"a": [0.1, 0.2], "b": [0.3]}, label="accuracy"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_render_and_say_what_they_show(name, evaluation):
    figure = FIGURES[name](evaluation)
    assert isinstance(figure, CourseFigure)
    data, metadata = figure._repr_mimebundle_()
    assert len(data["image/png"]) > 1000
    assert len(metadata["image/png"]["alt"]) > 20


def test_learning_curves_draw_every_epoch():
    figure = plots.learning_curves(history(0.5, 0.6, 0.7))
    lines = [line for axes in figure.axes for line in axes.lines]
    assert len(lines) == 4
    assert all(list(line.get_xdata()) == [1, 2, 3] for line in lines)


def test_a_sigmoid_in_a_model_inside_is_one():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
    inputs = keras.Input((4,))
    model = keras.Model(inputs, inner(inputs))
    data = load_dataset("iris")
    two = data.replace(y_test=np.minimum(data.y_test, 1), class_names=("first", "other"))
    assert evaluate(model, two).probabilities.shape == (len(data.x_test), 2)


def test_a_stream_is_evaluated_as_its_arrays(image_folder):
    arrays = load_dataset(str(image_folder))
    stream = load_dataset(str(image_folder), streaming=True, batch_size=4)
    model = build_mlp(stream, hidden=(4,))
    streamed, whole = evaluate(model, stream), evaluate(model, arrays)
    order = np.argsort(streamed.y, kind="stable")
    np.testing.assert_array_equal(streamed.y[order], np.sort(whole.y))
    assert streamed.accuracy == pytest.approx(whole.accuracy)
    assert streamed.loss == pytest.approx(whole.loss, rel=1e-4)


def head(units, activation, loss, shape=(6,)):
    inputs = keras.Input(shape)
    model = keras.Model(inputs, layers.Dense(units, activation=activation)(inputs))
    if loss is not None:
        model.compile("sgd", loss)
    return model


X = RNG.normal(size=(50, 6)).astype("float32") * 5
CLASSES = RNG.integers(0, 3, 50)
SPARSE, BINARY = keras.losses.SparseCategoricalCrossentropy, keras.losses.BinaryCrossentropy
PROBABLE = {
    "classes": (head(3, "softmax", None), CLASSES, 3),
    "one-hot": (head(3, "softmax", None), np.eye(3)[CLASSES], 3),
    "a column": (head(3, "softmax", None), CLASSES[:, None], 3),
    "logits": (head(3, None, SPARSE(from_logits=True)), CLASSES, 3),
    "yes or no": (head(1, "sigmoid", None), CLASSES > 1, 2),
    "logits of yes or no": (head(1, None, BINARY(from_logits=True)), CLASSES[:, None] > 1, 2),
}


@pytest.mark.parametrize("case", PROBABLE)
def test_classes_are_evaluated_by_probabilities(case):
    model, y, count = PROBABLE[case]
    found = evaluate(model, (X, y))
    assert found.probabilities.shape == (50, count)
    assert 0 <= found.probabilities.min() <= found.probabilities.max() <= 1
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-5)
    raw = np.asarray(model(X))
    predicted = raw.argmax(axis=1) if count == 3 else raw[:, 0] > (0.5 if "log" not in case else 0)
    truth = np.asarray(y).argmax(axis=1) if case == "one-hot" else np.ravel(y)
    assert found.accuracy == pytest.approx((predicted == truth).mean())


def test_several_labels_are_answers_of_their_own():
    for model in (head(3, "sigmoid", None), head(3, None, BINARY(from_logits=True))):
        y = (RNG.random((50, 3)) > 0.5).astype(int)
        found = evaluate(model, (X, y))
        raw = np.asarray(model(X))
        said = raw > (0.5 if model.layers[-1].activation.__name__ == "sigmoid" else 0)
        assert found.accuracy == pytest.approx((said == y).mean())
        right = (said & (y == 1)).sum(axis=0)
        np.testing.assert_allclose(found.report()["recall"], right / y.sum(axis=0))
        assert 0 <= found.probabilities.min() <= found.probabilities.max() <= 1


@pytest.mark.parametrize("units", [1, 2])
def test_numbers_are_evaluated_as_a_regression(units):
    model = head(units, None, "mse")
    y = RNG.normal(size=(50, units))
    found = evaluate(model, (X, y[:, 0] if units == 1 else y))
    wrong = np.asarray(model(X)) - y
    assert found.mae == pytest.approx(np.abs(wrong).mean(), rel=1e-5)
    assert found.rmse == pytest.approx(np.sqrt((wrong**2).mean(axis=0)).mean(), rel=1e-5)
    explained = 1 - (wrong**2).sum(axis=0) / ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    assert found.r2 == pytest.approx(explained.mean(), rel=1e-5)


@pytest.mark.parametrize("units", [1, 3])
@pytest.mark.parametrize("places", [(5,), (4, 4)])
def test_steps_and_pixels_count_as_samples(units, places):
    x = RNG.normal(size=(8, *places, 2)).astype("float32")
    y = RNG.integers(0, max(2, units), (8, *places))
    model = head(units, "softmax" if units > 1 else "sigmoid", None, (*places, 2))
    found = evaluate(model, (x, y))
    raw = np.asarray(model(x))
    predicted = raw.argmax(axis=-1) if units > 1 else raw[..., 0] > 0.5
    assert len(found.y) == y.size
    assert found.accuracy == pytest.approx((predicted == y).mean())


@pytest.mark.parametrize("loss", [None, SPARSE(), "sparse_categorical_crossentropy"])
def test_what_is_no_probability_is_refused(loss):
    with pytest.raises(CourseError, match="and are no probabilities: end it with softmax"):
        evaluate(head(3, None, loss), (X, CLASSES))


def test_labels_that_do_not_fit_are_refused():
    for y in (CLASSES[:40], np.zeros((50, 2))):
        with pytest.raises(
            CourseError, match=r"The model has 3 outputs \(classes\), the labels are"
        ):
            evaluate(head(3, "softmax", None), (X, y))


def test_several_inputs_or_outputs_are_refused_in_one_line():
    model = head(3, "softmax", None)
    two = keras.Model(model.inputs, [model.outputs[0], layers.Dense(1)(model.inputs[0])])
    for network, x in ((model, [X, X]), (two, X)):
        with pytest.raises(CourseError, match="expected one array and one output") as error:
            evaluate(network, (x, CLASSES))
        assert "\n" not in str(error.value)
