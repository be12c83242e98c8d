"""What this machine has, and from it the plan by which a network computes."""

from helpers.hardware.detection import FEATURES, Hardware, detect
from helpers.hardware.planning import (
    Gpu,
    Plan,
    inference_plan,
    is_chief,
    plan,
    prepare,
    strategy,
)

__all__ = [
    "FEATURES",
    "Gpu",
    "Hardware",
    "Plan",
    "detect",
    "inference_plan",
    "is_chief",
    "plan",
    "prepare",
    "strategy",
]
