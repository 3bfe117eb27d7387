"""What the tasks of several assignments draw and compute."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor


def normal(generator: Generator, *shape: int) -> Tensor:
    """Draw normal numbers."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def number(generator: Generator, low: float, high: float) -> float:
    """Draw a number between two others."""
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def radius(shape: tuple[int, int], side: Callable[[tuple[int, int]], int] = min) -> Tensor:
    """Return the radial frequency of each point in cycles/image, (H, W)."""
    ky, kx = (torch.fft.fftfreq(n, dtype=torch.float64) for n in shape)
    return side(shape) * torch.hypot(ky[:, None], kx[None])


def squares(images: Tensor) -> Tensor:
    """Return |x̂|² of images, (..., H, W), in the unitary convention."""
    return torch.fft.fft2(images, norm="ortho").abs().square()
