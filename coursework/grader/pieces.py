"""What the tasks of several assignments draw and compute."""

import torch


def normal(generator, *shape):
    """Draw normal numbers."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def number(generator, low, high):
    """Draw a number between two others."""
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def radius(shape, side=min):
    """Return the radial frequency of each point in cycles/image, (H, W)."""
    ky, kx = (torch.fft.fftfreq(n, dtype=torch.float64) for n in shape)
    return side(shape) * torch.hypot(ky[:, None], kx[None])


def squares(images):
    """Return |x̂|² of images, (..., H, W), in the unitary convention."""
    return torch.fft.fft2(images, norm="ortho").abs().square()
