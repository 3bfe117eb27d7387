"""Statements of the page "Images as sums of waves"."""

import pytest
import torch
from draws import colored_noise
from tolerances import ATOL

from freqsense import filters, fourier

TIGHT = ATOL[torch.float64]
SHAPES = [(8, 8), (9, 9), (8, 12), (7, 10)]


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
