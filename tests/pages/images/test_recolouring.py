"""Statements of the page "Recolouring: a photograph with another exponent"."""

import pytest
import torch

from freqsense import filters, fourier, images, spectra


@pytest.mark.parametrize("delta", [-0.5, 0.75])
def test_recolouring_moves_the_exponent_by_twice_delta(delta):
    fields = images.gaussian_field(20, shape=(64, 64), alpha=2.0, seed=3).double()
    before, after = (
        spectra.fit_power_law(spectra.power_spectrum(x).radial(), fmin=2, fmax=32).alpha
        for x in (fields, filters.recolor(fields, delta))
    )
    assert after == pytest.approx(before - 2 * delta, abs=0.01)


def test_whitening_flattens_the_mean_and_not_each_image():
    fields = images.gaussian_field(50, shape=(16, 16), alpha=2.0).double()
    fields = fields * torch.linspace(0.5, 2, 50)[:, None, None, None]
    power = fourier.fft2(filters.whiten(fields)).abs().square()[:, 0]  # (N, H, W)
    mean = power.mean(0).flatten()[1:]
    assert torch.allclose(mean, torch.ones_like(mean), atol=1e-5)
    assert power.std(0).flatten()[1:].min() > 0.5
