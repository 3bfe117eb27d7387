"""The page on frequencies without power: descent, step by step."""

import math

import pytest
import torch
from draws import noise
from tolerances import ATOL

from freqsense import fourier, models, theory

TIGHT = ATOL[torch.float64]


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_descent_multiplies_silent_frequencies_by_a_known_factor(depth, loss):
    shape, eta, steps = (5, 8), 0.02, 30
    heard = fourier.radial_mask(shape, 1.5, math.inf)
    x = fourier.ifft2(heard * fourier.fft2(noise(24, 2, *shape))).real
    y = noise(24, seed=1).sign()
    for weight_decay in (0.0, 0.3):
        model = models.linear_cnn(depth, width=2, shape=(2, *shape)).double()
        before = theory.end_to_end(model).detach()
        sgd = torch.optim.SGD(model.parameters(), lr=eta, weight_decay=weight_decay)
        for step in range(steps):
            batch = slice(step % 2, None, 2)
            f = model(x[batch])[:, 0]
            value = (
                (f - y[batch]).square() / 2 if loss == "squared" else (-y[batch] * f).exp().log1p()
            )
            sgd.zero_grad()
            value.mean().backward()
            sgd.step()
        after = theory.end_to_end(model).detach()
        factor = (1 - eta * weight_decay) ** (steps * depth)
        assert torch.allclose(after[~heard], factor * before[~heard], atol=TIGHT)
        assert (after - factor * before)[heard].abs().max() > 0.01
        assert weight_decay == 0 or factor < 0.9
