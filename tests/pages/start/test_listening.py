"""A network listens to some waves: stripes added one by one, the derivative, and the guess."""

import math

import pytest
import torch
from draws import noise
from networks import small_net
from recorded import table
from tolerances import SIGMAS

from freqsense import filters, fourier, images
from freqsense.sensitivity import measure_sensitivity


@pytest.mark.parametrize(("down", "across"), [(0, 1), (2, 0), (2, 1), (3, 5)])
def test_a_faint_wave_moves_the_outputs_as_the_derivative_says(down, across):
    """Two waves a quarter of a period apart, of size 1: their mean square is that of the map."""
    net, x = small_net(channels=1).eval(), noise(6, 1, 12, 12)
    wave = fourier.fourier_mode((12, 12), down, across).to(torch.complex128) * math.sqrt(2)
    size = 1e-5
    with torch.no_grad():
        moves = [net(x + size * part) - net(x) for part in (wave.real, wave.imag)]
    found = sum(move.square().sum(1).mean() for move in moves) / 2 / size**2
    exact = measure_sensitivity(net, x).values[0, down, across]
    assert float(found.sqrt()) == pytest.approx(float(exact), rel=1e-3)


@pytest.mark.parametrize("network", ["linear_cnn-2", "conv_actually-2"])
def test_more_images_follow_less_without_decay(network):
    rows = [
        row
        for row in table("responses")
        if (row["images"], row["size"], row["network"]) == ("CIFAR-10", "16", network)
        and float(row["weight_decay"]) == 0
    ]
    rows.sort(key=lambda row: int(row["n_images"]))
    values = [float(row["response"]) for row in rows]
    assert values == sorted(values, reverse=True) and values[0] > 0.2 > 0 > values[-1]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("size", "radius"), [(128, 4), (64, 7), (33, 5)])
def test_a_blur_leaves_of_noise_the_share_of_its_waves(size, radius, seed):
    n_images = 100
    stack = noise(n_images, 1, size, size, seed=seed)
    kept = filters.low_pass(stack, radius).var((-2, -1)) / stack.var((-2, -1))
    n_waves = int(fourier.radial_mask((size, size), 0, radius).sum()) - 1
    error = kept.std() / n_images**0.5
    assert abs(kept.mean() - n_waves / size**2) < SIGMAS * error


@pytest.mark.parametrize("size", [64, 128])
def test_a_blur_leaves_of_photographs_more_than_of_noise(size):
    photographs = images.photographs(cropped=True).values()
    shares = []
    for photograph in photographs:
        tiles = images.cut_tiles(images.luminance(photograph), size)
        kept = filters.low_pass(tiles, 4).var((-2, -1)).mean()
        shares.append(float(kept / tiles.var((-2, -1)).mean()))
    waves = int(fourier.radial_mask((size, size), 0, 4).sum()) / size**2
    assert torch.tensor(shares).median() > 0.5
    assert min(shares) > 2 * waves


def test_forty_periods_on_32_pixels_look_like_eight():
    x = torch.arange(32, dtype=torch.float64)
    forty, eight = (torch.cos(2 * torch.pi * k * x / 32) for k in (40, 8))
    assert torch.allclose(forty, eight)
