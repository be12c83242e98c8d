"""Teach a trained classifier one's own classes: its features, a small head, then its top block."""

import contextlib
import io
import warnings

import joblib
import keras
import numpy as np

from helpers.datasets import Dataset, catalog
from helpers.errors import CourseError
from helpers.files import write_atomically
from helpers.vision.classifier import Classifier
from helpers.vision.networks import block_layers, last_layer


def extract_features(classifier: Classifier, data: Dataset, *, progress: bool = True) -> Dataset:
    """Replace the photos of a Dataset by a classifier's features of them.

    They are computed once for each content: a second call, in any process, reads them from the
    cache, whatever the photos' files are called.

    Parameters
    ----------
    classifier : Classifier
    data : Dataset
        Of colour photos of bytes in the classifier's size.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    Dataset
        With ``x`` of float32, shape (n, features).

    Raises
    ------
    CourseError
        If the photos have another size.
    """
    expected = (*classifier.image_size, 3)
    if data.input_shape != expected or data.x_train.dtype != np.uint8:
        raise CourseError(
            f"{data.name} holds {data.x_train.dtype} of shape {data.input_shape}; expected bytes "
            f"of {expected}, as photo_classes(folder, {classifier.image_size}) returns them"
        )
    return data.convert(lambda x: _cached(classifier, x, progress))


def _cached(classifier: Classifier, images: np.ndarray, progress: bool) -> np.ndarray:
    """Read the features of photos from the cache, or compute and keep them."""
    content = joblib.hash([classifier.fingerprint, classifier.plan.precision, images])
    path = catalog.cache_dir() / "features" / f"{content}.npy"
    with contextlib.suppress(OSError, ValueError, EOFError):  # not there, or damaged
        return np.load(path)
    features = classifier.features(images, progress=progress)
    stream = io.BytesIO()
    np.save(stream, features)
    try:
        write_atomically(path, stream.getvalue())
    except OSError as error:  # they are computed, so a full disk costs only the next call
        warnings.warn(f"Features are not kept: {path.parent}: {error.strerror}", stacklevel=4)
    return features


def with_head(classifier: Classifier, head: keras.Model) -> keras.Model:
    """Put a trained head on a copy of the classifier, for fine-tuning of its top block.

    Weights of earlier blocks, of dense layers and all batch normalizations stay as they are; those
    of the last block and of the head learn (Yosinski et al., 2014). A learning rate of a tenth to a
    hundredth of the usual keeps what they know.

    Parameters
    ----------
    classifier : Classifier
        Is not changed.
    head : keras.Model
        From features to classes, as trained on ``extract_features``; a copy is used.

    Returns
    -------
    keras.Model
        From photos of 0 … 255 to the head's classes, for ``train``.

    Raises
    ------
    CourseError
        If the head takes another number of features.
    """
    features = keras.layers.Flatten(name="features")(last_layer(classifier.model).input)
    if head.input_shape[1:] != features.shape[1:]:
        raise CourseError(
            f"The head takes {head.input_shape[1:]}; expected {features.shape[1:]}, the features "
            f"of {classifier.architecture}"
        )
    base = _copy(keras.Model(classifier.model.input, features, name="base"))
    # The top block lies behind the last layer of the block before it.
    *_, before, last = (base.layers.index(layer) for layer in block_layers(base).values())
    for place, layer in enumerate(base.layers):
        is_normalization = type(layer).__name__.endswith("Normalization")
        layer.trainable = before < place <= last and not is_normalization
    inputs = keras.Input((*classifier.image_size, 3), name="photo")
    outputs = _copy(head)(base(classifier.front(inputs)))
    return keras.Model(inputs, outputs, name=f"{classifier.model.name}_fine_tuned")


def _copy(model: keras.Model) -> keras.Model:
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy
