"""The sensitivity theorem: what weight decay makes of a linear CNN, frequency by frequency."""

from freqsense.theory.cost import end_to_end, realize, representation_cost
from freqsense.theory.dynamics import learning_curves
from freqsense.theory.few_images import predict_few_images, sample_decay
from freqsense.theory.limit import NotSeparableError, solve_limit
from freqsense.theory.losses import (
    QuadraticLoss,
    population_loss,
    quadratic_loss,
    second_moments,
)
from freqsense.theory.program import NotConvergedError, Solution, solve
from freqsense.theory.stationary import (
    Branches,
    branches,
    jump,
    predict_sensitivity,
    threshold,
)

__all__ = [
    "Branches",
    "NotConvergedError",
    "NotSeparableError",
    "QuadraticLoss",
    "Solution",
    "branches",
    "end_to_end",
    "jump",
    "learning_curves",
    "population_loss",
    "predict_few_images",
    "predict_sensitivity",
    "quadratic_loss",
    "realize",
    "representation_cost",
    "sample_decay",
    "second_moments",
    "solve",
    "solve_limit",
    "threshold",
]
