"""ImageNet classifiers: load them, let them predict, look inside, use what they have learned.

A name is imported when it is first asked for: ``course data`` looks for weights without TensorFlow.
"""

import importlib
from typing import Any

_MODULES = {
    "classifier": ("Classifier", "architectures", "load_classifier"),
    "explain": ("feature_maps", "grad_cam", "occlusion_map"),
    "networks": ("block_layers",),
    "samples": ("photo_classes", "photo_labels", "sample_materials", "sample_photos"),
    "transfer": ("extract_features", "with_head"),
    "weights": ("WeightsError", "WeightsUnavailable"),
}
__all__ = sorted(name for names in _MODULES.values() for name in names)


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
