"""Statements of the page "Power spectra and the 1/f^α law"."""

import math

import pytest
import torch
from draws import relative_power
from tolerances import SIGMAS

from freqsense import fourier, images, spectra

N_FIELDS = 4000


@pytest.mark.parametrize("shape", [(32, 32), (33, 33), (24, 40)])
@pytest.mark.parametrize("alpha", [0.0, 2.0, 3.5])
def test_def_power_law(shape, alpha):
    """Fields made by the law have its power at each frequency; another exponent's they have not."""
    relative = relative_power(shape, alpha, N_FIELDS)
    inside = fourier.radial_mask(shape, 1, min(shape) // 2)
    mean, error = relative.mean(0)[inside], relative.std(0)[inside] / math.sqrt(N_FIELDS)
    z = (mean - 1) / error
    assert z.abs().max() < SIGMAS + 1  # hundreds of frequencies at once
    radius = fourier.radial_frequency(shape)[inside]
    wrong = radius**0.2 / (radius**0.2).mean()
    assert ((mean * wrong - 1) / error).abs().max() > 10


@pytest.mark.parametrize("alpha", [1.5, 2.0, 2.5])
def test_octaves_hold_equal_power_at_exponent_two_alone(alpha):
    radius = fourier.radial_frequency((512, 512))
    octaves = [
        float((radius[(radius >= low) & (radius < 2 * low)] ** -alpha).sum())
        for low in (8, 16, 32, 64)
    ]
    for slow, fast in zip(octaves[:-1], octaves[1:], strict=True):
        assert fast / slow == pytest.approx(2 ** (2 - alpha), rel=0.03)


@pytest.mark.parametrize("name", ["camera", "coffee", "grass"])
def test_shuffled_pixels_have_no_law(name):
    photograph = images.luminance(images.photographs([name])[name])
    tiles = images.cut_tiles(photograph, 64)
    order = torch.argsort(
        torch.rand(len(tiles), 64 * 64, generator=torch.Generator().manual_seed(0))
    )
    shuffled = tiles.flatten(1).gather(1, order).reshape(tiles.shape)
    assert torch.equal(shuffled.flatten(1).sort().values, tiles.flatten(1).sort().values)
    before, after = (
        spectra.fit_power_law(spectra.power_spectrum(stack).radial()[0], fmin=2, fmax=16)
        for stack in (tiles, shuffled)
    )
    assert abs(after.alpha) < 0.2 < 1 < before.alpha
