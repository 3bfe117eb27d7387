"""The page on function-space frequency: a length and a spectrum."""

import torch
from draws import noise
from tolerances import ATOL

from freqsense import fourier, models

TIGHT = ATOL[torch.float64]


def test_def_function_frequency():
    """Periods are those of the length of k, whatever the spatial frequency."""
    for ky, kx in ((0, 1), (2, 3)):
        wave = fourier.fourier_mode((7, 8), ky, kx).real
        wave = wave / wave.norm()
        t = torch.arange(64, dtype=torch.float64) / 64
        values = torch.sin(2 * torch.pi * (t[:, None, None] * wave * 5 * wave).sum((-2, -1)))
        assert torch.fft.rfft(values).abs().argmax() == 5
        power = fourier.fft2(5 * wave).abs().square()
        assert power[ky, kx] > 0.49 * power.sum()


def test_prop_two_frequencies():
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    wave = fourier.fourier_mode((8, 8), 0, 1).real.flatten()
    moved = wave[order]
    assert abs(wave.norm() - moved.norm()) < TIGHT
    power = fourier.fft2(moved.reshape(8, 8)).abs().square()
    assert power.max() < 0.3 * power.sum()  # no wave any more
    model = models.linear_cnn(3, width=2, shape=(8, 8)).double()
    x, v, t = noise(1, 1, 8, 8), noise(1, 1, 8, 8, seed=1), torch.arange(-3.0, 4)
    values = model(x + t[:, None, None, None].double() * v)[:, 0]
    assert values.diff(n=2).abs().max() < TIGHT
