"""What the tasks of several assignments draw and compute."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from freqsense.exercises._draws import normal, number, whole

__all__ = [
    "layer",
    "middle",
    "normal",
    "number",
    "phases",
    "radius",
    "squares",
    "transfer_matrices",
    "whole",
]


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


def phases(
    sizes: Sequence[int], shape: Sequence[int], offset: Callable[[int], int] = middle
) -> Tensor:
    """Return what the offset of a kernel of these sizes multiplies its waves by, (H, W)."""
    y, x = (
        torch.fft.fftfreq(n, dtype=torch.float64) * offset(k)
        for n, k in zip(shape, sizes, strict=True)
    )
    return torch.exp(-2j * torch.pi * (y[:, None] + x))


def transfer_matrices(
    weight: Tensor, shape: tuple[int, int], *, offset: Callable[[int], int] = middle
) -> Tensor:
    """Return T(ω) of a layer's weights, (H, W, C_out, C_in)."""
    spectrum = torch.fft.fft2(weight, s=shape).conj() * phases(weight.shape[-2:], shape, offset)
    return spectrum.permute(2, 3, 0, 1)
