"""How good is a network, and where is it wrong? scikit-learn computes, ``plots`` draws."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from sklearn import metrics

from helpers import plots
from helpers.datasets import Dataset, StreamingDataset
from helpers.errors import CourseError
from helpers.layers import output_activation

if TYPE_CHECKING:
    import pandas as pd

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
    return _outputs(model, (x[i : i + BATCH] for i in range(0, len(x), BATCH)))


def _outputs(model: keras.Model, batches: Iterable[Any]) -> np.ndarray:
    compute = tf.function(lambda batch: model(batch, training=False), autograph=False)
    traced, outputs = None, []
    for batch in map(tf.constant, batches):
        # Traced once, for any number of samples: an odd last batch would double a short evaluation.
        traced = traced or compute.get_concrete_function(
            tf.TensorSpec([None, *batch.shape[1:]], batch.dtype)
        )
        outputs.append(traced(batch))
    output = np.concatenate(outputs).astype(np.float32)
    activation, loss = output_activation(model), getattr(model, "loss", None)
    if activation not in ("softmax", "sigmoid") and getattr(loss, "from_logits", False):
        activation = "softmax" if output.shape[1] > 1 else "sigmoid"
        output = (tf.nn.softmax if activation == "softmax" else tf.sigmoid)(output).numpy()
    one_sigmoid = activation == "sigmoid" and output.shape[1] == 1
    return np.hstack([1 - output, output]) if one_sigmoid else output


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

    def report(self) -> "pd.DataFrame":
        """Return precision, recall, F1 and number of samples of every class, and their mean.

        The mean counts every class alike ("macro"). A class that is never predicted has a
        precision of 0.
        """
        import pandas as pd

        labels = range(len(self.class_names))
        table = metrics.precision_recall_fscore_support(
            self.y, self.predicted, labels=labels, zero_division=0
        )
        columns = ["precision", "recall", "f1", "samples"]
        frame = pd.DataFrame(dict(zip(columns, table, strict=True)), index=list(self.class_names))
        mean = frame.mean().to_frame("mean").T
        mean["samples"] = frame["samples"].sum()
        return pd.concat([frame, mean]).astype({"samples": int})

    def confusion(self) -> "pd.DataFrame":
        """Return how often each true class (row) was predicted as each class (column)."""
        import pandas as pd

        labels = range(len(self.class_names))
        counts = metrics.confusion_matrix(self.y, self.predicted, labels=labels)
        return pd.DataFrame(counts, index=self.class_names, columns=self.class_names)

    def mistakes(self) -> "pd.DataFrame":
        """Return the wrong predictions, the most confident first.

        Columns: ``index`` (of the sample), ``true``, ``predicted`` (names), ``confidence``.
        """
        import pandas as pd

        wrong = np.flatnonzero(self.predicted != self.y)
        confidence = self.probabilities[wrong, self.predicted[wrong]]
        order = wrong[np.argsort(-confidence, kind="stable")]
        names = np.asarray(self.class_names)
        return pd.DataFrame(
            {
                "index": order,
                "true": names[self.y[order]],
                "predicted": names[self.predicted[order]],
                "confidence": np.sort(confidence)[::-1],
            }
        )

    def calibration(self, bins: int = 10) -> "pd.DataFrame":
        """Compare confidence with how often it is right (Guo et al., 2017).

        Returns
        -------
        DataFrame
            A row for each bin of confidence: ``confidence`` (mean), ``accuracy``, ``samples``.
        """
        import pandas as pd

        confidence = self.probabilities.max(axis=1)
        number = np.minimum((confidence * bins).astype(int), bins - 1)
        right = self.predicted == self.y
        rows = [
            (confidence[own].mean(), right[own].mean(), own.sum())
            if (own := number == b).any()
            else (np.nan, np.nan, 0)
            for b in range(bins)
        ]
        return pd.DataFrame(rows, columns=["confidence", "accuracy", "samples"])

    def calibration_error(self, bins: int = 10) -> float:
        """Return the expected calibration error, the mean gap of ``calibration``."""
        table = self.calibration(bins)
        gaps = (table["confidence"] - table["accuracy"]).abs() * table["samples"]
        return float(gaps.sum() / table["samples"].sum())

    def roc(self, class_name: str) -> np.ndarray:
        """Return the ROC curve of one class against the rest, as (false, true) positive rates.

        Raises
        ------
        CourseError
            If there is no such class, or all samples are of one side.
        """
        truth, score = self._against_rest(class_name)
        false, true, _ = metrics.roc_curve(truth, score)
        return np.column_stack([false, true])

    def precision_recall(self, class_name: str) -> np.ndarray:
        """Return the precision-recall curve of one class, as (recall, precision).

        Raises
        ------
        CourseError
            As ``roc``.
        """
        truth, score = self._against_rest(class_name)
        precision, recall, _ = metrics.precision_recall_curve(truth, score)
        return np.column_stack([recall, precision])

    def auc(self, class_name: str) -> float:
        """Return the area under the ROC curve of one class (1 is perfect, 0.5 is chance)."""
        return float(metrics.roc_auc_score(*self._against_rest(class_name)))

    def _against_rest(self, class_name: str) -> tuple[np.ndarray, np.ndarray]:
        if class_name not in self.class_names:
            raise CourseError(
                f"There is no class {class_name!r}; expected one of {', '.join(self.class_names)}"
            )
        number = self.class_names.index(class_name)
        truth = self.y == number
        if truth.all() or not truth.any():
            raise CourseError(
                f"{truth.sum()} of {len(truth)} samples are {class_name!r}; a curve needs some "
                "samples of the class and some of the others"
            )
        return truth, self.probabilities[:, number]

    def __repr__(self) -> str:
        wrong = int((self.predicted != self.y).sum())
        return f"Evaluation: accuracy {self.accuracy:.4f}, {wrong:,} of {len(self.y):,} wrong"


def evaluate(model: keras.Model, data: Dataset | StreamingDataset) -> Evaluation:
    """Evaluate a model on the test set of a Dataset, or of a folder of images that is streamed.

    Raises
    ------
    CourseError
        If the model has not one output for each class.
    """
    if isinstance(data, StreamingDataset):
        labels: list[np.ndarray] = []

        def images() -> Iterator[Any]:
            for x, y in data.test:  # read once: labels are kept, images are not
                labels.append(y.numpy())
                yield x

        probabilities = _outputs(model, images())
        y_test = np.concatenate(labels)
    else:
        probabilities, y_test = predict(model, data.x_test), data.y_test
    if probabilities.shape[1] != data.class_count:
        raise CourseError(
            f"The model has {probabilities.shape[1]} outputs, {data.name} {data.class_count} "
            "classes; expected one output for each"
        )
    return Evaluation(y_test, probabilities, data.class_names)


def mistakes_grid(evaluation: Evaluation, images: np.ndarray, count: int = 20) -> Any:
    """Show the most confident mistakes as pictures: true class, prediction, confidence.

    Parameters
    ----------
    evaluation
        Of ``images``.
    images : ndarray, shape (n, h, w) or (n, h, w, 3)
    count
        How many at most.

    Raises
    ------
    CourseError
        If there is no mistake to show.
    """
    table = evaluation.mistakes().head(count)
    if table.empty:
        raise CourseError("There is no mistake to show: every prediction is right")
    titles = [f"{r.true} → {r.predicted}\n{r.confidence:.0%}" for r in table.itertuples()]
    return plots.image_grid(images[table["index"]], titles, title="The most confident mistakes")
