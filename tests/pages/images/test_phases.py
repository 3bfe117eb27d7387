"""Statements of the page "What phases carry, and what amplitudes carry"."""

import math

import pytest
import torch
from draws import colored_noise
from tolerances import ATOL, SIGMAS

from freqsense import filters, fourier, images

TIGHT = ATOL[torch.float64]
SHAPES = [(8, 8), (9, 9), (8, 12), (7, 10)]


def correlation(first, second):
    """Correlation of pixel values, image by image: (N,)."""
    rows = [stack.flatten(1) - stack.flatten(1).mean(1, keepdim=True) for stack in (first, second)]
    return torch.nn.functional.cosine_similarity(*rows, dim=1)


def strength(stack):
    """Amplitudes without DC, (N, D)."""
    amplitude = fourier.fft2(stack).abs().flatten(1)
    amplitude[:, 0] = 0
    return amplitude


@pytest.mark.parametrize("shape", SHAPES)
def test_thm_swap_correlation(shape):
    x, z = colored_noise(5, shape), colored_noise(5, shape, seed=1)
    found = correlation(filters.swap_phases(x, z), z)
    overlap = torch.nn.functional.cosine_similarity(strength(x), strength(z), dim=1)
    assert torch.allclose(found, overlap, atol=TIGHT)
    assert (found > 0).all() and (found < 0.999).all()
    same = filters.swap_phases(2 * z + 3, z)  # amplitudes proportional but for DC
    assert torch.allclose(correlation(same, z), torch.ones(5, dtype=torch.float64), atol=TIGHT)


@pytest.mark.parametrize("shape", SHAPES)
def test_thm_swap_correlation_with_unrelated_phases(shape):
    n = 20_000
    x = colored_noise(1, shape)
    copies = x.expand(n, -1, -1, -1)
    noise = images.gaussian_field(n, shape=shape, alpha=0.0, seed=1).double()  # uniform phases
    found = correlation(filters.swap_phases(copies, noise), copies)
    power = strength(x).square()
    variance = float(power.square().sum() / power.sum().square())
    assert abs(found.mean()) < SIGMAS * math.sqrt(variance / n)
    # Each term has a kurtosis below 3, and so has the sum: the factor 2 is an upper bound.
    assert abs(found.square().mean() - variance) < SIGMAS * variance * math.sqrt(2 / n)
    related = correlation(filters.swap_phases(x, x), x)
    assert related > 10 * math.sqrt(variance / n)
