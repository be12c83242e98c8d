"""What this machine has, and from it the plan by which a network is trained."""

from helpers.hardware.detection import FEATURES, Hardware, detect
from helpers.hardware.planning import (
    Gpu,
    Plan,
    flat_layers,
    multi_worker_strategy,
    plan,
    prepare,
)

__all__ = [
    "FEATURES",
    "Gpu",
    "Hardware",
    "Plan",
    "detect",
    "flat_layers",
    "multi_worker_strategy",
    "plan",
    "prepare",
]
