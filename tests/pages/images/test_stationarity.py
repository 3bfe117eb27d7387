"""Statements of the page "Stationarity: each pair nearly, the sum not"."""

import pytest
import torch
from draws import all_shifts, noise
from tolerances import ATOL

from freqsense import fourier, spectra

TIGHT = ATOL[torch.float64]
SHAPES = [(6, 6), (5, 5), (4, 7)]


def pixel_moments(x):
    """Second moments of pixels, (H, W, H, W)."""
    return torch.einsum("nyx,nvu->yxvu", x[:, 0], x[:, 0]) / len(x)


def moments_move(x):
    """Largest change of the second moments when all images are shifted by one pixel."""
    changes = [(pixel_moments(x.roll(1, axis)) - pixel_moments(x)).abs().max() for axis in (-2, -1)]
    return float(max(changes))


@pytest.mark.parametrize("shape", SHAPES)
def test_def_stationary(shape):
    x = all_shifts(noise(1, 1, *shape))
    assert moments_move(x) < TIGHT
    assert moments_move(x * torch.linspace(0.5, 1, shape[-1])) > 0.1  # brighter to the right
    assert moments_move(x[:1]) > 0.1  # one image alone


@pytest.mark.parametrize("shape", SHAPES)
def test_eq_circulant_power(shape):
    x = all_shifts(noise(1, 1, *shape))
    moments = pixel_moments(x)
    power = spectra.power_spectrum(x, center=False).values[0]
    covariance = torch.fft.ifft2(power).real  # (1/D) sum over frequencies
    for y in range(shape[0]):
        for column in range(shape[1]):
            expected = covariance.roll((y, column), (0, 1))
            assert torch.allclose(moments[:, :, y, column], expected, atol=TIGHT)


@pytest.mark.parametrize("shape", SHAPES)
def test_eq_shifted_covariance(shape):
    x = noise(20, 1, *shape)
    shift = (2, 1)
    ky, kx = fourier.frequencies(shape)
    angle = -2 * torch.pi * (ky * shift[0] / shape[0] + kx * shift[1] / shape[1]).flatten()
    turn = torch.polar(torch.ones_like(angle), angle)
    sigma = spectra.frequency_covariance(x)[0]
    shifted = spectra.frequency_covariance(x.roll(shift, (-2, -1)))[0]
    assert torch.allclose(shifted, turn[:, None] * turn.conj() * sigma, atol=TIGHT)
