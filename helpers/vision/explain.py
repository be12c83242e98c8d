"""Look inside a classifier: what its blocks react to, and what of a photo its answer rests on."""

import itertools
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from helpers.errors import CourseError, nearest
from helpers.vision.networks import block_layers
from helpers.vision.photos import in_batches

if TYPE_CHECKING:
    from helpers.vision.classifier import Classifier

GREY = 124  # the mean of ImageNet's pixels, about: what covers a place says nothing of its own


def feature_maps(classifier: "Classifier", image: np.ndarray) -> dict[str, np.ndarray]:
    """Compute what each block makes of a photo.

    Parameters
    ----------
    classifier : Classifier
    image : ndarray of uint8, shape (height, width, 3)
        As ``load_photos`` gives them.

    Returns
    -------
    dict of ndarray of float32
        By block, of shape (rows, columns, channels).
    """
    blocks = {name: layer.output for name, layer in block_layers(classifier.model).items()}
    inside = keras.Model(classifier.model.input, blocks)
    maps = inside(classifier.preprocess(image[None]), training=False)
    return {name: maps[name].numpy()[0] for name in blocks}


def grad_cam(
    classifier: "Classifier", image: np.ndarray, label: str | None = None
) -> tuple[str, np.ndarray]:
    """Compute which places of a photo speak for a class (Grad-CAM; Selvaraju et al., 2017).

    The channels of the last block are added up, each weighted by how much the class gains from it
    on average over the places; what speaks against the class is left out.

    Parameters
    ----------
    classifier : Classifier
    image : ndarray of uint8, shape (height, width, 3)
    label : str, optional
        The class; the most probable one if None.

    Returns
    -------
    label : str
    heat : ndarray of float32 in 0 … 1, shape (rows, columns)
        At the resolution of the last block, 14×14 of VGG16.

    Raises
    ------
    CourseError
        If there is no such class.
    """
    model = classifier.model
    (*_, last) = block_layers(model).values()
    inside = keras.Model(model.input, [last.output, model.output])
    with tf.GradientTape() as tape:
        maps, logits = inside(classifier.preprocess(image[None]), training=False)
        number, label = _find_class(classifier, logits.numpy()[0], label)
        gain = logits[0, number]
    weights = tf.reduce_mean(tape.gradient(gain, maps), axis=(1, 2))[0]
    heat = tf.nn.relu(tf.tensordot(maps[0], weights, 1)).numpy()
    return label, heat / max(float(heat.max()), 1e-12)


def occlusion_map(
    classifier: "Classifier",
    image: np.ndarray,
    label: str | None = None,
    *,
    patch: int = 48,
    stride: int = 16,
    progress: bool = True,
) -> tuple[str, np.ndarray]:
    """Measure how much of a class's probability is lost where a grey patch covers the photo.

    Nothing is assumed of the network (Zeiler and Fergus, 2014), at the price of a prediction for
    each place.

    Parameters
    ----------
    classifier, image, label
        See ``grad_cam``.
    patch, stride : int
        Side of the patch and distance of its places, in pixels; a stride up to the patch, so that
        every pixel is covered once or more.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    label : str
    loss : ndarray of float32, shape (height, width)
        Probability lost, for each pixel the mean over the patches that covered it; negative where
        covering helps.

    Raises
    ------
    CourseError
        If there is no such class, or the patch does not fit into the photo.
    """
    height, width = image.shape[:2]
    if not 1 <= stride <= patch <= min(height, width):
        raise CourseError(
            f"patch is {patch}, stride {stride}; expected a patch of 1 to {min(height, width)} "
            "pixels and a stride from 1 to the patch"
        )
    whole = classifier.probabilities(image[None])[0]
    number, label = _find_class(classifier, whole, label)
    rows, columns = ([*range(0, side - patch, stride), side - patch] for side in (height, width))
    places = list(itertools.product(rows, columns))

    def covered(row: int, column: int) -> np.ndarray:
        photo = image.copy()
        photo[row : row + patch, column : column + patch] = GREY
        return photo

    photos = itertools.starmap(covered, places)
    options = {"progress": progress}
    left = in_batches(classifier.probabilities, photos, len(places), "Occlusion", **options)
    total, count = np.zeros((2, height, width), "float32")
    for (row, column), remaining in zip(places, np.concatenate(left)[:, number], strict=True):
        total[row : row + patch, column : column + patch] += whole[number] - remaining
        count[row : row + patch, column : column + patch] += 1
    return label, total / count


def _find_class(classifier: "Classifier", scores: np.ndarray, label: str | None) -> tuple[int, str]:
    names = classifier.class_names
    if label is None:
        number = int(scores.argmax())
        return number, names[number]
    if label not in names:
        raise CourseError(f"There is no class {label!r}.{nearest(label, names)}")
    return names.index(label), label
