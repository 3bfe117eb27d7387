"""Training: an explicit mini-batch loop, and minimisation to many digits for the theorem."""

from freqsense.training.loop import (
    DECAYS,
    LOSSES,
    OPTIMIZERS,
    SCHEDULES,
    History,
    flip_and_crop,
    train,
)
from freqsense.training.minimize import Fit, minimize

__all__ = [
    "DECAYS",
    "LOSSES",
    "OPTIMIZERS",
    "SCHEDULES",
    "Fit",
    "History",
    "flip_and_crop",
    "minimize",
    "train",
]
