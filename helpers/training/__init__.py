"""The GPU-aware training loop: ``train`` any built Keras model on this machine."""

from helpers import hardware
from helpers.training.checkpoint import CheckpointError
from helpers.training.data import TrainingError
from helpers.training.loop import TrainingResult, train

hardware.prepare()

__all__ = ["CheckpointError", "TrainingError", "TrainingResult", "train"]
