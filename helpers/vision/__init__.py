"""ImageNet classifiers: load them, let them predict, look inside, use what they have learned."""

from helpers.errors import WeightsError, WeightsUnavailable
from helpers.vision.classifier import Classifier, architectures, load_classifier
from helpers.vision.explain import block_layers, feature_maps, grad_cam, occlusion_map
from helpers.vision.samples import photo_classes, photo_labels, sample_materials, sample_photos
from helpers.vision.transfer import extract_features, with_head

__all__ = [
    "Classifier",
    "WeightsError",
    "WeightsUnavailable",
    "architectures",
    "block_layers",
    "extract_features",
    "feature_maps",
    "grad_cam",
    "load_classifier",
    "occlusion_map",
    "photo_classes",
    "photo_labels",
    "sample_materials",
    "sample_photos",
    "with_head",
]
