"""What the tasks of several assignments draw and compute."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn.functional import conv2d, pad


def normal(generator: Generator, *shape: int) -> Tensor:
    """Draw normal numbers."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def number(generator: Generator, low: float, high: float) -> float:
    """Draw a number between two others."""
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def whole(generator: Generator, low: int, high: int) -> int:
    """Draw a whole number from low to high, both included."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def radius(shape: tuple[int, int], side: Callable[[tuple[int, int]], int] = min) -> Tensor:
    """Return the radial frequency of each point in cycles/image, (H, W)."""
    ky, kx = (torch.fft.fftfreq(n, dtype=torch.float64) for n in shape)
    return side(shape) * torch.hypot(ky[:, None], kx[None])


def squares(images: Tensor) -> Tensor:
    """Return |x̂|² of images, (..., H, W), in the unitary convention."""
    return torch.fft.fft2(images, norm="ortho").abs().square()


def middle(k: int) -> int:
    """Return the offset of a layer's kernel of k taps."""
    return (k - 1) // 2


def layer(weight: Tensor, x: Tensor) -> Tensor:
    """Apply a layer with circular padding, as PyTorch does, to (N, C, H, W)."""
    height, width = weight.shape[-2:]
    left, top = middle(width), middle(height)
    return conv2d(pad(x, (left, width - 1 - left, top, height - 1 - top), "circular"), weight)
