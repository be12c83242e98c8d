"""How good is a network, and where is it wrong? scikit-learn computes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from sklearn import metrics

from helpers.datasets import Dataset, StreamingDataset
from helpers.errors import CourseError
from helpers.layers import loss_name, output_activation

BATCH = 512


def predict(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """Return what a model says about samples, as probabilities where it is a classifier.

    Parameters
    ----------
    model : keras.Model
        Built, with one output.
    x : ndarray, shape (n, ...)
        Samples as in a Dataset.

    Returns
    -------
    ndarray of float32, shape (n, outputs)
        Probabilities of the classes: an output without softmax or sigmoid goes through one here,
        and a single sigmoid becomes two columns. Of a regression, its numbers.
    """
    return _outputs(model, _batches(model, x))[1]


def _batches(model: keras.Model, x: Any) -> Iterator[np.ndarray]:
    outputs = len(getattr(model, "outputs", None) or [x])
    if isinstance(x, dict | list | tuple) or outputs > 1:
        raise CourseError(
            f"x is {type(x).__name__}, and the model has {outputs} outputs; expected one array and "
            "one output: use the model's own evaluate for several"
        )
    x = np.asarray(x)
    return (x[i : i + BATCH] for i in range(0, len(x), BATCH))


def _outputs(model: keras.Model, batches: Iterable[Any]) -> tuple[str, np.ndarray]:
    compute = tf.function(lambda batch: model(batch, training=False), autograph=False)
    traced, outputs = None, []
    for batch in map(tf.constant, batches):
        # Traced once, for any number of samples: an odd last batch would double a short evaluation.
        traced = traced or compute.get_concrete_function(
            tf.TensorSpec([None, *batch.shape[1:]], batch.dtype)
        )
        outputs.append(traced(batch))
    return _as_probabilities(model, np.concatenate(outputs).astype(np.float32))


def _as_probabilities(model: keras.Model, output: np.ndarray) -> tuple[str, np.ndarray]:
    """Turn logits into probabilities; return whether they are of "classes", "labels" or "numbers".

    The last layer tells, or else the loss; what may be either is refused.
    """
    activation, loss = output_activation(model), getattr(model, "loss", None)
    name = loss_name(loss)
    single = output.shape[-1] == 1
    if activation not in ("softmax", "sigmoid"):
        if "crossentropy" not in name and (name or single):
            return "numbers", output
        activation = "sigmoid" if single or name.startswith("binary") else "softmax"
        if getattr(loss, "from_logits", False):
            compute = tf.sigmoid if activation == "sigmoid" else tf.nn.softmax
            output = compute(output).numpy()
    sums = output.sum(axis=-1) if activation == "softmax" else 1
    if output.min() < 0 or output.max() > 1 or not np.allclose(sums, 1, atol=0.01):
        raise CourseError(
            f"The model's outputs go from {output.min():.3g} to {output.max():.3g}, and are no "
            "probabilities: end it with softmax or sigmoid, or compile it with a loss from_logits"
        )
    if single:
        return "classes", np.concatenate([1 - output, output], axis=-1)
    return "classes" if activation == "softmax" else "labels", output


def _report(y: np.ndarray, predicted: np.ndarray, **options: Any) -> pd.DataFrame:
    table = metrics.precision_recall_fscore_support(y, predicted, zero_division=0, **options)
    return pd.DataFrame(dict(zip(("precision", "recall", "f1", "samples"), table, strict=True)))


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The predictions for a labelled set, and what can be said about them.

    Attributes
    ----------
    y : ndarray of int, shape (n,)
        The true classes.
    probabilities : ndarray of float32, shape (n, classes)
        What the model said.
    class_names : tuple of str
        By class number.
    """

    y: np.ndarray
    probabilities: np.ndarray
    class_names: tuple[str, ...]

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class of each sample."""
        return self.probabilities.argmax(axis=1)

    @property
    def accuracy(self) -> float:
        """The share of samples whose most probable class is the true one."""
        return float(metrics.accuracy_score(self.y, self.predicted))

    @property
    def loss(self) -> float:
        """The mean cross-entropy, in nats."""
        labels = range(len(self.class_names))
        exact = self.probabilities / self.probabilities.sum(axis=1, keepdims=True, dtype=float)
        return float(metrics.log_loss(self.y, exact, labels=labels))

    def report(self) -> pd.DataFrame:
        """Return precision, recall, F1 and number of samples of every class, and their mean.

        The mean counts every class alike ("macro"). A class that is never predicted has a
        precision of 0.
        """
        labels = range(len(self.class_names))
        frame = _report(self.y, self.predicted, labels=labels).set_axis(list(self.class_names))
        mean = frame.mean().to_frame("mean").T.assign(samples=frame["samples"].sum())
        return pd.concat([frame, mean]).astype({"samples": int})

    def confusion(self) -> pd.DataFrame:
        """Return how often each true class (row) was predicted as each class (column)."""
        labels = range(len(self.class_names))
        counts = metrics.confusion_matrix(self.y, self.predicted, labels=labels)
        return pd.DataFrame(counts, index=self.class_names, columns=self.class_names)

    def mistakes(self) -> pd.DataFrame:
        """Return the wrong predictions, the most confident first.

        Columns: ``index`` (of the sample), ``true``, ``predicted`` (names), ``confidence``.
        """
        wrong = np.flatnonzero(self.predicted != self.y)
        names = np.asarray(self.class_names)
        table = {
            "index": wrong,
            "true": names[self.y[wrong]],
            "predicted": names[self.predicted[wrong]],
            "confidence": self.probabilities[wrong].max(axis=1),
        }
        order = {"ascending": False, "kind": "stable", "ignore_index": True}
        return pd.DataFrame(table).sort_values("confidence", **order)

    def __repr__(self) -> str:
        wrong = int((self.predicted != self.y).sum())
        return f"Evaluation: accuracy {self.accuracy:.4f}, {wrong:,} of {len(self.y):,} wrong"


@dataclass(frozen=True, eq=False)
class SeveralLabels:
    """The predictions of labels that may hold together, each yes or no.

    Attributes
    ----------
    y : ndarray of int, shape (n, labels)
        The truth, 0 or 1.
    probabilities : ndarray of float32, shape (n, labels)
        What the model said.
    """

    y: np.ndarray
    probabilities: np.ndarray

    @property
    def accuracy(self) -> float:
        """The share of all answers that are right."""
        return float(((self.probabilities > 0.5) == self.y).mean())

    def report(self) -> pd.DataFrame:
        """Return precision, recall, F1 and number of samples of every label."""
        return _report(self.y, self.probabilities > 0.5)

    def __repr__(self) -> str:
        return f"SeveralLabels: accuracy {self.accuracy:.4f} of {self.y.size:,} answers"


@dataclass(frozen=True, eq=False)
class Regression:
    """The predictions of numbers.

    Attributes
    ----------
    y, predicted : ndarray of float, shape (n,) or (n, numbers)
        The truth, and what the model said.
    """

    y: np.ndarray
    predicted: np.ndarray

    @property
    def mae(self) -> float:
        """The mean absolute error."""
        return float(metrics.mean_absolute_error(self.y, self.predicted))

    @property
    def rmse(self) -> float:
        """The root of the mean squared error."""
        return float(metrics.root_mean_squared_error(self.y, self.predicted))

    @property
    def r2(self) -> float:
        """The share of the variance that is explained; 0 for always saying the mean."""
        return float(metrics.r2_score(self.y, self.predicted))

    def __repr__(self) -> str:
        return f"Regression: MAE {self.mae:.4g}, RMSE {self.rmse:.4g}, R² {self.r2:.4f}"


def evaluate(model: keras.Model, data: Any) -> Evaluation | SeveralLabels | Regression:
    """Evaluate a model on the test set of a Dataset or of a streamed folder, or on a pair (x, y).

    Returns
    -------
    Evaluation
        Where each sample has a class; also where each step or pixel has one: they count as
        samples. One-hot labels are classes.
    SeveralLabels
        Where y of 0 and 1 has the shape of several sigmoids.
    Regression
        Where the model was trained on numbers.

    Raises
    ------
    CourseError
        If the labels do not fit the outputs, or outputs that should be probabilities are not.
    """
    if isinstance(data, StreamingDataset):
        labels: list[np.ndarray] = []

        def images() -> Iterator[Any]:
            for x, y in data.test:  # read once: labels are kept, images are not
                labels.append(y.numpy())
                yield x

        kind, output = _outputs(model, images())
        y = np.concatenate(labels)
    else:
        x, y = (data.x_test, data.y_test) if isinstance(data, Dataset) else data
        kind, output = _outputs(model, _batches(model, x))
    names = () if isinstance(data, tuple) else data.class_names
    y, classes = np.asarray(y), output.shape[-1]
    y = y.astype(int) if y.dtype == bool else y
    if kind == "labels" and y.shape == output.shape:
        return SeveralLabels(y.astype(int), output)
    if kind == "numbers" and y.size == output.size and not names:
        return Regression(y.reshape(output.shape), output)
    if kind == "classes" and y.shape == output.shape:
        y = y.argmax(axis=-1)
    # Of sigmoids of which only one can be right, the largest counts.
    named = len(names) in (0, classes)
    if kind == "numbers" or not named or y.size * classes != output.size:
        about = "" if isinstance(data, tuple) else f"{data.name} {len(names)} classes, "
        raise CourseError(
            f"The model has {classes} outputs ({kind}), {about}the labels are {y.shape}; expected "
            "one output for each class, and a label for each sample, step or pixel"
        )
    if (y != np.round(y)).any() or y.min() < 0 or y.max() >= classes:
        raise CourseError(
            f"The labels go from {y.min()} to {y.max()}; expected class numbers 0 … {classes - 1}"
        )
    names = tuple(names) or tuple(map(str, range(classes)))
    return Evaluation(y.reshape(-1).astype(int), output.reshape(-1, classes), names)
