"""What this machine has, and from it the plan by which a network computes."""

from helpers.hardware.detection import FEATURES, Hardware, detect
from helpers.hardware.planning import (
    Gpu,
    Plan,
    inference_plan,
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
    "inference_plan",
    "multi_worker_strategy",
    "plan",
    "prepare",
]
