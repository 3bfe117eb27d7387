"""What the photographs can stand for: rounding, the display code, and the weights of luminance."""

import pytest
import torch
from tolerances import SIGMAS

from freqsense import fourier, images, spectra


@pytest.mark.parametrize("levels", [32, 256])
@pytest.mark.parametrize("alpha", [0.0, 2.0])
def test_rounding_adds_white_noise_of_a_twelfth_of_a_step(levels, alpha):
    n_images, step = 200, 1 / (levels - 1)
    smooth = 0.5 + 0.1 * images.gaussian_field(n_images, shape=(16, 16), alpha=alpha).double()
    error = (smooth / step).round() * step - smooth
    power = fourier.fft2(error).abs().square()[:, 0]
    profile = fourier.radial_average(power).mean  # (N, R)
    mean, sem = profile.mean(0), profile.std(0) / n_images**0.5
    assert ((mean - step**2 / 12).abs() < SIGMAS * sem).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_luminance_of_three_rounded_channels_has_less_of_it(seed):
    generator = torch.Generator().manual_seed(seed)
    error = torch.rand(100, 3, 32, 32, generator=generator, dtype=torch.float64) - 0.5
    share = 0.299**2 + 0.587**2 + 0.114**2
    squares = images.luminance(error).square()
    spread = squares.std() / squares.numel() ** 0.5
    assert abs(squares.mean() - share / 12) < SIGMAS * spread


def linear_light(value):
    return torch.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def exponent(grey, size):
    profile = spectra.power_spectrum(images.cut_tiles(grey, size), window="hann").radial()
    return spectra.fit_power_law(profile, fmin=4, fmax=size // 4).alpha


@pytest.mark.parametrize("size", [64, 128])
def test_the_display_code_changes_exponents_little_and_in_both_directions(size):
    weights = torch.tensor([0.2126, 0.7152, 0.0722])[:, None, None]
    display, light = [], []
    for photograph in images.photographs(cropped=True).values():
        amount = linear_light(photograph)
        amount = amount if len(amount) == 1 else (weights * amount).sum(0, keepdim=True)
        display.append(exponent(images.luminance(photograph), size))
        light.append(exponent(amount, size))
    change = torch.tensor(light) - torch.tensor(display)
    assert change.abs().median() < 0.2 * torch.tensor(display).std()
    assert (change > 0).any() and (change < 0).any()
