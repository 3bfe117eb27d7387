"""Statements of the page "Images as sums of waves" that no function of the library is named for."""

import math

import pytest
import torch
from tolerances import ATOL, SIGMAS

from freqsense import filters, fourier, images

TIGHT = ATOL[torch.float64]
SHAPES = [(8, 8), (9, 9), (8, 12), (7, 10)]


def colored_noise(n, shape, seed=0):
    """Fields of a steep spectrum on a bright ground, as photographs are."""
    return 0.5 + 0.1 * images.gaussian_field(n, shape=shape, alpha=2.0, seed=seed).double()


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


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("radius", [1, 2.5, 4])
def test_eq_low_pass_error(shape, radius):
    x = colored_noise(3, shape)
    y = filters.low_pass(x, radius)
    missing = fourier.radial_frequency(shape) >= radius - 1e-9
    power = fourier.fft2(x).abs().square()
    assert torch.allclose((x - y).square().sum(), power[..., missing].sum(), atol=TIGHT)
    # No other image of the same waves is closer.
    other = y + 0.01 * filters.low_pass(colored_noise(3, shape, seed=1), radius)
    assert (x - other).square().sum() > (x - y).square().sum() + 1e-6


def test_eq_gibbs():
    t = torch.linspace(0, torch.pi, 2001, dtype=torch.float64)
    overshoot = float(torch.trapezoid(torch.sinc(t / torch.pi), t)) / math.pi - 0.5
    assert abs(overshoot - 0.08949) < 1e-5
    n = 4096
    rows = (torch.arange(n) >= n // 2).double().expand(1, 1, 8, n)
    spectrum = fourier.fft2(rows)
    for k in (16, 64, 128):  # cycles along the row
        keep = fourier.frequencies((8, n))[1].abs() < k
        found = float(fourier.ifft2(keep * spectrum).real.max()) - 1
        assert abs(found - overshoot) < 1e-3
    gentle = torch.exp(-(fourier.frequencies((8, n))[1] / 16).square())
    assert fourier.ifft2(gentle * spectrum).real.max() < 1 + 1e-9
