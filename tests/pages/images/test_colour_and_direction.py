"""Statements of the page "Colour and direction"."""

import torch
from draws import noise
from tolerances import ATOL

from freqsense import filters, images, spectra


def test_luminance_commutes_with_filters_that_treat_channels_alike():
    x = noise(2, 3, 12, 15)
    for run in (lambda y: filters.low_pass(y, 4), lambda y: filters.recolor(y, 0.5)):
        first, last = run(images.luminance(x)), images.luminance(run(x))
        assert torch.allclose(first, last, atol=ATOL[torch.float64])
    gains = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)[:, None, None]
    shrunk = [images.luminance(gains * x), (gains * images.luminance(x)).mean(1, keepdim=True)]
    assert not torch.allclose(*shrunk, atol=0.1)  # channels by themselves: it does not


def test_a_fence_has_its_power_in_the_direction_in_which_it_repeats():
    fence = torch.cos(2 * torch.pi * 12 * torch.arange(64) / 64).expand(1, 1, 64, 64)
    blur = images.gaussian_field(1, shape=(64, 64), alpha=0.0)
    power = spectra.power_spectrum(fence + 0.1 * blur).values[0]
    profile = spectra.orientation_profile(power, fmin=8, fmax=16, n_sectors=12)
    assert int(profile.mean.argmax()) == int(profile.angle.abs().argmin())
