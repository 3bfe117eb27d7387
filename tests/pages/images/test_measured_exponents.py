"""Statements of the page "Exponents of photographs and of CIFAR-10"."""

import math

import torch
from tolerances import SIGMAS

from freqsense import images, spectra


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
