"""The page on early stopping: two filters, nearly the same."""

import math

import torch
from tolerances import ATOL

from freqsense import theory

TIGHT = ATOL[torch.float64]


def test_prop_early_stopping():
    x = torch.logspace(-6, 4, 20_001, dtype=torch.float64)
    ratio = -torch.expm1(-x) * (1 + x) / x
    assert 1 - TIGHT <= ratio.min() and 1.298 < ratio.max() <= 1.3
    assert 1.768 * math.exp(-1.768) > 0.3 and 0.3 * (1.768 + 1 / 1.768) >= 0.7
    power, cross, time = torch.tensor([[3.0, 0.2]]), torch.tensor([[1.0, 1.0]]), 0.7
    stopped = theory.learning_curves(power, cross, depth=1, times=torch.tensor([time]), start=0.0)
    ridge = theory.predict_sensitivity(power, cross, weight_decay=1 / time, depth=1)
    assert (stopped[0] >= ridge - 1e-6).all() and (stopped[0] <= 1.3 * ridge).all()
