"""Images, maps and spectra that tests draw: the same on every run."""

import math

import torch

from freqsense import fourier, images


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def fields(power, n, seed=0):
    """Stationary Gaussian noise (n, C, H, W) of a given even power (C, H, W)."""
    white = noise(n, *power.shape, seed=seed)
    return fourier.ifft2(power.sqrt() * fourier.fft2(white)).real


def colored_noise(n, shape, seed=0):
    """Fields of a steep spectrum on a bright ground, as photographs are."""
    return 0.5 + 0.1 * images.gaussian_field(n, shape=shape, alpha=2.0, seed=seed).double()


def all_shifts(stack):
    """Every translation of every image: a set whose frequencies are exactly uncorrelated."""
    height, width = stack.shape[-2:]
    rolls = [stack.roll((y, x), (-2, -1)) for y in range(height) for x in range(width)]
    return torch.cat(rolls)


def falling_power(shape, alpha=2.0):
    return fourier.radial_frequency(shape).clamp(min=1) ** -alpha


def random_map(shape, n_outputs=1, n_channels=1, seed=0):
    """Hermitian end-to-end map (H, W, K, C)."""
    return fourier.fft2(noise(n_outputs, n_channels, *shape, seed=seed)).permute(2, 3, 0, 1)


def white_teacher(shape, seed=0):
    """Hermitian b* (H, W) of random phase and of size 1 at every frequency."""
    phases = fourier.fft2(noise(*shape, seed=seed))
    return phases / phases.abs()


def moments(shape, seed=0, floor=0.0):
    """Even power (H, W) and a Hermitian cross-spectrum, as real images and targets have."""
    power = floor + fourier.fft2(noise(*shape, seed=seed)).abs().square()
    return power, power * fourier.fft2(noise(*shape, seed=seed + 100)) / math.prod(shape) ** 0.5


def relative_power(shape, alpha, n):
    """Periodograms of Gaussian fields over their true power, (N, H, W); 0 at DC."""
    law = fourier.radial_frequency(shape).clamp(min=1e-9) ** -alpha
    law[0, 0] = 0
    law *= math.prod(shape) / law.sum()
    fields = images.gaussian_field(n, shape=shape, alpha=alpha, seed=3).double()
    law[0, 0] = 1
    return fourier.fft2(fields).abs().square()[:, 0] / law
