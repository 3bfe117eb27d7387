"""Statements of the page "What breaks the picture"."""

import pytest
import torch
from tolerances import ATOL

from freqsense import fourier

TIGHT = ATOL[torch.float64]


@pytest.mark.parametrize(
    ("side", "stride", "wave", "place"),
    [(64, 2, 20, -12), (64, 2, 14, 14), (96, 3, 10, 10), (96, 3, 20, -12), (96, 3, 40, 8)],
)
def test_a_wave_beyond_the_new_grid_lands_where_the_page_says(side, stride, wave, place):
    small = fourier.fourier_mode((1, side), 0, wave)[:, ::stride]
    power = fourier.fft2(small).abs().square()[0]
    (seen,) = fourier.frequencies((1, side // stride))[1][0][power > TIGHT]
    assert int(seen) == place


def two_waves(side, first, second):
    p = torch.arange(side, dtype=torch.float64)
    angle = [2 * torch.pi * (a * p[:, None] + b * p) / side for a, b in (first, second)]
    return torch.cos(angle[0]) + torch.cos(angle[1])


def test_a_relu_makes_sums_and_differences_and_no_odd_combination():
    made = fourier.fft2(two_waves(64, (3, 0), (0, 5)).relu()).abs() / 64
    assert min(made[0, 0], made[3, 5], made[3, -5], made[6, 0]) > 0.01
    assert made[3, 10] < TIGHT and made[6, 5] < TIGHT


def test_an_odd_activation_makes_odd_combinations_only():
    made = fourier.fft2(torch.tanh(two_waves(64, (3, 0), (0, 5)))).abs() / 64
    assert max(made[0, 0], made[3, 5], made[6, 0]) < TIGHT
    assert min(made[9, 0], made[6, 5], made[3, 10]) > 1e-3
