"""Look inside a classifier: what its blocks react to, and what of a photo its answer rests on."""

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from helpers.datasets.folders import file_bar
from helpers.errors import CourseError, nearest

if TYPE_CHECKING:
    from helpers.vision.classifier import Classifier

GREY = 124  # the mean of ImageNet's pixels, about: what covers a place says nothing of its own
PASSIVE = ("Input", "Padding", "Pooling", "Cropping", "Dropout", "Rescaling", "Normalization")


def block_layers(model: keras.Model) -> dict[str, keras.Layer]:
    """Return the last layer of each block, a block being what computes at one resolution.

    Returns
    -------
    dict
        ``"block 1"``, … to layers with outputs ``(n, h, w, channels)``, from large to small. VGG16
        has five.
    """
    last: dict[int, keras.Layer] = {}
    for layer in model.layers:
        shape = getattr(layer.output, "shape", ())
        if len(shape) == 4 and shape[1] > 1 and _computes(layer):
            last[shape[1]] = layer
    # Zeros that a padding adds make a resolution of their own, which has no layer that computes.
    return {f"block {number}": layer for number, layer in enumerate(last.values(), 1)}


def _computes(layer: keras.Layer) -> bool:
    kind = type(layer).__name__
    return kind == "BatchNormalization" or not any(name in kind for name in PASSIVE)


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
    model = classifier.model
    layers = block_layers(model)
    inside = keras.Model(model.input, [layer.output for layer in layers.values()])
    outputs = inside(classifier.preprocess(image[None]), training=False)
    return {
        name: output.numpy()[0]
        for name, output in zip(layers, keras.tree.flatten(outputs), strict=True)
    }


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
    batch_size: int = 32,
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
    batch_size : int
        Photos computed together.
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
    places = [(y, x) for y in _starts(height, patch, stride) for x in _starts(width, patch, stride)]
    left = []
    with file_bar(len(places), "Occlusion", progress) as bar:
        for start in range(0, len(places), batch_size):
            part = places[start : start + batch_size]
            covered = np.repeat(image[None], len(part), axis=0)
            for photo, (y, x) in zip(covered, part, strict=True):
                photo[y : y + patch, x : x + patch] = GREY
            left.append(classifier.probabilities(covered)[:, number])
            bar.update(len(part))
    total, count = np.zeros((2, height, width), "float32")
    for (y, x), remaining in zip(places, np.concatenate(left), strict=True):
        total[y : y + patch, x : x + patch] += whole[number] - remaining
        count[y : y + patch, x : x + patch] += 1
    return label, total / count


def _starts(length: int, patch: int, stride: int) -> list[int]:
    """Return where patches begin, the last one at the end."""
    return [*range(0, length - patch, stride), length - patch]


def _find_class(classifier: "Classifier", scores: np.ndarray, label: str | None) -> tuple[int, str]:
    names: Any = classifier.class_names
    if label is None:
        number = int(scores.argmax())
        return number, names[number]
    if label not in names:
        raise CourseError(f"There is no class {label!r}.{nearest(label, names)}")
    return names.index(label), label
