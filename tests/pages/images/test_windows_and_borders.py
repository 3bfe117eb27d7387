"""Statements of the page "Windows and borders"."""

import numpy as np
import pytest
import torch
from tolerances import ATOL

from freqsense import fourier, images, spectra

TIGHT = ATOL[torch.float64]


@pytest.mark.parametrize("n", [12, 15, 64])
@pytest.mark.parametrize("f", [0.25, 3.5, 5.9])
def test_eq_leakage(n, f):
    wave = torch.exp(2j * torch.pi * f * torch.arange(n, dtype=torch.float64) / n)
    share = fourier.fft2(wave[None])[0].abs().square() / n
    d = f - fourier.frequencies((1, n))[1][0]
    theory = (torch.sin(torch.pi * d) / torch.sin(torch.pi * d / n) / n).square()
    assert torch.allclose(share, theory, atol=TIGHT)
    assert abs(theory.sum() - 1) < TIGHT  # Parseval
    least = torch.sin(torch.tensor(torch.pi * f)).square() / n**2
    assert (share > 0.999 * least).all()  # it lands everywhere
    whole = torch.exp(2j * torch.pi * 3 * torch.arange(n, dtype=torch.float64) / n)
    share = fourier.fft2(whole[None])[0].abs().square() / n  # of a whole frequency, nothing leaks
    assert int((share > TIGHT).sum()) == 1


@pytest.mark.parametrize("side", [256, 255])
def test_cross_of_a_ramp_falls_with_exponent_three(side):
    ramp = (torch.arange(side, dtype=torch.float64) / side).expand(1, 1, side, side)
    power = spectra.power_spectrum(ramp).values[0]
    k = torch.arange(1, side, dtype=torch.float64)
    assert torch.allclose(power[0, 1:], 0.25 / torch.sin(torch.pi * k / side) ** 2, atol=TIGHT)
    assert power[1:].abs().max() < TIGHT
    profile = fourier.radial_average(power)
    slope = np.polyfit(profile.frequency[4:17].log(), profile.mean[4:17].log(), 1)[0]
    assert abs(slope + 3) < 0.1
    windowed = spectra.power_spectrum(ramp, window="hann").radial().mean[0, 4:17]
    assert (windowed < profile.mean[4:17] / 50).all()


def test_steep_spectra_need_a_window():
    field = images.gaussian_field(4, shape=(256, 256), alpha=4.0, seed=1)
    tiles = images.cut_tiles(field, 64)
    bare, hann = (
        spectra.fit_power_law(spectra.power_spectrum(tiles, window=w).radial(), fmin=4, fmax=16)
        for w in (None, "hann")
    )
    assert bare.alpha < 3.2
    assert abs(hann.alpha - 4) < 0.25
