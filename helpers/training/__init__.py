"""``train``: Keras's own ``fit``, planned for this machine."""

from helpers import hardware
from helpers.training.checkpoint import CheckpointError
from helpers.training.data import TrainingError
from helpers.training.loop import TrainingResult, train
from helpers.training.planning import Plan, plan

hardware.prepare()

__all__ = ["CheckpointError", "Plan", "TrainingError", "TrainingResult", "plan", "train"]
