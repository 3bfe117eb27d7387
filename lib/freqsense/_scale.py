"""Powers of two that bring values near 1, so that their squares neither vanish nor overflow."""

import math

import torch
from torch import Tensor

# Beyond this size, and below its inverse, products of squares leave the range of float64.
HUGE = 1e100


def binary_scale(values: Tensor) -> float:
    """Return the power of two just below the largest size of values, or 1 if they are all zero.

    Dividing by it is exact: results at ordinary scales stay what they are, to the last bit.
    """
    parts = torch.view_as_real(values.resolve_conj()) if values.is_complex() else values
    low, high = torch.aminmax(parts.detach())
    largest = max(-low.item(), high.item())
    if not 0 < largest < math.inf:
        return 1.0
    # Not below the normal numbers, or its inverse is infinite.
    smallest = math.frexp(torch.finfo(parts.dtype).tiny)[1]
    return 2.0 ** (max(math.frexp(largest)[1], smallest) - 1)


def binary_scales(values: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    """Powers of two just below the largest sizes of values over some axes, which are kept.

    For values that differ much along the other axes; nothing waits for the device.
    """
    tiny = torch.finfo(values.dtype).tiny
    size = values.detach().abs().amax(dim, keepdim=True)
    size = size.nan_to_num(nan=1.0, posinf=1.0).clamp(tiny, 0.25 / tiny)  # inverses are in range
    # In this order no step is a denormal number, which PyTorch can be told to flush to zero.
    return size / torch.frexp(size).mantissa * 0.5


def check_range(values: Tensor, name: str) -> None:
    """Raise if squares of the values, or products of squares, leave the range of float64."""
    scale = binary_scale(values)
    if not 1 / HUGE <= scale <= HUGE:
        raise ValueError(
            f"the largest size in {name} must lie between {1 / HUGE} and {HUGE}, or its "
            f"square is out of range, got about {scale:.3g}: rescale them"
        )


def split_mean(images: Tensor) -> tuple[Tensor, Tensor, float]:
    """Images as unit · (rest + mean), with a mean (..., 1, 1) and a unit that is a power of two.

    Transforms of the rest are exact to its own rounding errors, however large the mean is.
    """
    unit = binary_scale(images)
    scaled = images / unit
    mean = scaled.mean((-2, -1), keepdim=True)
    return scaled.sub_(mean), mean, unit
