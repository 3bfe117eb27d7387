"""What the tasks of several assignments draw and compute."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from freqsense.exercises._draws import normal, number, whole

__all__ = ["layer", "middle", "normal", "number", "radius", "squares", "whole"]


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
