"""The landing page: its guess, its exercises, and the control of its figure."""

import pytest
import torch
from draws import noise
from tolerances import SIGMAS

from freqsense import filters, fourier, images


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
