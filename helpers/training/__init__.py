"""The GPU-aware training loop: ``train`` any built Keras model on this machine."""

from helpers import hardware
from helpers.training.checkpoint import CheckpointError
from helpers.training.loop import TrainingResult, train
from helpers.training.problem import TrainingError

hardware.prepare()

__all__ = ["CheckpointError", "TrainingError", "TrainingResult", "train"]
