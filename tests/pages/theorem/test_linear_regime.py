"""Where the derivative stops describing a network."""

import math

import pytest
import torch
from draws import noise
from tolerances import SIGMAS
from torch import nn
from waves import kinked_net, slopes_along, unit_waves


def uniform_phases(n, seed):
    return 2 * torch.pi * torch.rand(n, generator=torch.Generator().manual_seed(seed)).double()


def deviations(model, x, frequency, sizes, seed):
    """Relative deviation from the linear term at each size, and its prediction's jump."""
    slope_at = {}
    for name, offset in (("measured", 0), ("predicted", 1000)):
        wave = unit_waves(x, 0, frequency, uniform_phases(len(x), seed + offset))
        slope_at[name] = wave, slopes_along(model, x, wave)
    wave, start = slope_at["measured"]
    with torch.no_grad():
        missed = [model(x + e * wave) - model(x) - e * start for e in sizes]
    unit = start.square().sum(1).mean()
    found = [
        float((m.square().sum(1).mean() / unit).sqrt()) / e
        for m, e in zip(missed, sizes, strict=True)
    ]
    wave, start = slope_at["predicted"]
    jump = slopes_along(model, x + 0.02 * wave, wave) - start
    return found, float(jump.square().sum(1).mean() / start.square().sum(1).mean())


@pytest.mark.parametrize("seed", range(3))
def test_thm_linear_regime(seed):
    """Exponents 3/2 and 2, with constants from slopes alone, for networks of several seeds."""
    x, sizes = noise(2000, 1, 8, 8, seed=seed), (0.004, 0.01, 0.025)
    found, jump = deviations(kinked_net(1, seed=seed), x, (1, 2), sizes, seed)
    said = [math.sqrt(jump / 0.02 * e / 3) for e in sizes]
    assert all(abs(f / s - 1) < 0.25 for f, s in zip(found, said, strict=True))
    wrong = [math.sqrt(jump) / 0.02 * e / 2 for e in sizes]  # as if it were smooth
    assert abs(found[0] / wrong[0] - 1) > 0.4
    found, jump = deviations(kinked_net(1, seed=seed, activation=nn.Tanh), x, (1, 2), sizes, seed)
    said = [math.sqrt(jump) / 0.02 * e / 2 for e in sizes]
    assert all(abs(f / s - 1) < 0.1 for f, s in zip(found, said, strict=True))
    assert abs(found[2] / found[0] / (sizes[2] / sizes[0]) - 1) < 0.02


def test_thm_linear_regime_with_known_kinks():
    """A single kink of known place and jump: d = a (ε - t)₊, uniform t, so that q = a² / t_max."""
    kink = torch.rand(400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    jump = 2.0
    for size in (0.1, 0.3):
        mean = (jump * (size - kink).clamp(min=0)).square()
        expected = jump**2 * size**3 / 3
        assert abs(mean.mean() - expected) < SIGMAS * mean.std() / math.sqrt(len(kink))
