"""Statements of the page "Power spectra and the 1/f^α law" beyond those of library functions."""

import math

import numpy as np
import pytest
import torch
from tolerances import ATOL, SIGMAS

from freqsense import fourier, images, spectra

TIGHT = ATOL[torch.float64]
N_FIELDS = 4000


def relative_power(shape, alpha):
    """Periodograms of Gaussian fields over their true power, (N, H, W); 0 at DC."""
    law = fourier.radial_frequency(shape).clamp(min=1e-9) ** -alpha
    law[0, 0] = 0
    law *= math.prod(shape) / law.sum()
    fields = images.gaussian_field(N_FIELDS, shape=shape, alpha=alpha, seed=3).double()
    law[0, 0] = 1
    return fourier.fft2(fields).abs().square()[:, 0] / law


@pytest.mark.parametrize("shape", [(8, 8), (9, 9), (8, 12), (32, 32)])
def test_thm_periodogram(shape):
    relative = relative_power(shape, 2.0)
    ring = fourier.rings(shape)
    mirror = ring.mirror.reshape(shape)
    own = mirror == torch.arange(math.prod(shape)).reshape(shape)  # ω = -ω
    pairs = relative[:, ring.half.reshape(shape) & ~own]  # (N, pairs)
    # Moments of an exponential variable of mean 1: 1, 2, 6; of the square of a Gaussian: 1, 3.
    for order, moment, fourth in [(1, 1, 2), (2, 2, 24)]:
        error = math.sqrt((fourth - moment**2) / pairs.numel())
        assert abs(float((pairs**order).mean()) - moment) < SIGMAS * error
    assert abs(float((pairs > 1).double().mean()) - math.exp(-1)) < SIGMAS / math.sqrt(
        pairs.numel()
    )
    own[0, 0] = False
    if own.any():
        square = relative[:, own].square()
        assert abs(float(square.mean()) - 3) < SIGMAS * math.sqrt(96 / square.numel())


@pytest.mark.parametrize("m", [4, 25])
def test_mean_of_periodograms_settles(m):
    one = relative_power((16, 16), 1.0)[:, 1, 2]
    means = one.unflatten(0, (-1, m)).mean(1)
    spread = float(means.std()) * math.sqrt(m)
    assert abs(spread - 1) < SIGMAS * math.sqrt((2 + 6 / m) / 4 / len(means))


@pytest.mark.parametrize("shape", [(32, 32), (33, 33), (24, 40)])
@pytest.mark.parametrize("alpha", [0.0, 2.0, 3.5])
def test_def_power_law(shape, alpha):
    """Fields made by the law have its power at each frequency; another exponent's they have not."""
    relative = relative_power(shape, alpha)
    inside = fourier.radial_mask(shape, 1, min(shape) // 2)
    mean, error = relative.mean(0)[inside], relative.std(0)[inside] / math.sqrt(N_FIELDS)
    z = (mean - 1) / error
    assert z.abs().max() < SIGMAS + 1  # hundreds of frequencies at once
    radius = fourier.radial_frequency(shape)[inside]
    wrong = radius**0.2 / (radius**0.2).mean()
    assert ((mean * wrong - 1) / error).abs().max() > 10


@pytest.mark.parametrize("n", [1, 2, 4, 50])
def test_logarithm_of_a_mean_is_biased(n):
    generator = np.random.default_rng(0)
    logs = np.log(generator.exponential(size=(100_000, n)).mean(1))
    bias = float(torch.special.digamma(torch.tensor(float(n), dtype=torch.float64))) - math.log(n)
    assert abs(logs.mean() - bias) < SIGMAS * logs.std() / math.sqrt(len(logs))
    assert abs(bias + 1 / (2 * n)) < 1 / (12 * n**2) + 1e-3
    assert logs.mean() < -SIGMAS * logs.std() / math.sqrt(len(logs))  # not zero


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


def test_groups_of_independent_images_tell_the_error_that_images_tell():
    fields = images.gaussian_field(400, shape=(16, 16), alpha=2.0, seed=9)
    contrast = torch.randn(400, 1, 1, 1, generator=torch.Generator().manual_seed(0)).exp()
    stack = fields * contrast  # far from Gaussian
    by_image, by_group = (
        spectra.bootstrap_power_law(
            [spectra.power_spectrum(part).radial() for part in parts], fmin=1, fmax=8
        )
        for parts in (stack.split(1), [stack[first::40] for first in range(40)])
    )
    assert abs(by_group.alpha - by_image.alpha) < 1e-6
    ratio = by_group.alpha_stderr / by_image.alpha_stderr
    assert abs(ratio - 1) < SIGMAS / math.sqrt(2 * 40)
    # Copies of one image are not independent: groups of single copies claim too little.
    copied = stack[:40].repeat(10, 1, 1, 1)
    claimed = spectra.bootstrap_power_law(
        [spectra.power_spectrum(part).radial() for part in copied.split(1)], fmin=1, fmax=8
    )
    honest = spectra.bootstrap_power_law(
        [spectra.power_spectrum(part).radial() for part in stack[:40].split(1)], fmin=1, fmax=8
    )
    assert claimed.alpha_stderr < 0.5 * honest.alpha_stderr
