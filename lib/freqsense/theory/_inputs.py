"""Data, moments and numbers as the theory takes them, checked."""

import numpy as np
import torch
from torch import Tensor

from freqsense._checks import as_grid, as_images, as_integer, as_labels, as_real

# An eigenvalue or a departure from symmetry below this share of the largest is rounding error.
ROUNDING = 1e-6

# Beyond this size, and below its inverse, squares and their products leave the range of float64.
HUGE = 1e100


def as_data(images: object, targets: object) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) and targets (N, K) in float64."""
    x = as_images(images).double()
    y = as_labels(as_numbers(targets, "targets"), len(x), "targets").to(x.device, torch.float64)
    for name, values in (("images", x), ("targets", y)):
        largest = values.abs().max().item()
        if largest > HUGE or 0 < largest < 1 / HUGE:
            raise ValueError(
                f"the largest size in {name} must lie between {1 / HUGE} and {HUGE}, or its "
                f"square is out of range, got {largest}: rescale them"
            )
    return x, y.reshape(len(x), -1)


def as_moments(power: object, cross: object) -> tuple[Tensor, Tensor]:
    """Power and correlation, checked: (..., H, W) both, or (H, W, C, C) and (H, W, C)."""
    power, cross = as_grid(power, "power"), as_grid(cross, "cross")
    matrices = cross.ndim == 3 and power.shape == (*cross.shape, cross.shape[-1])
    if not matrices and power.shape != cross.shape:
        raise ValueError(
            "power and cross must both have shape (..., H, W), or (H, W, C, C) and (H, W, C), got "
            f"{tuple(power.shape)} and {tuple(cross.shape)}"
        )
    for name, values in (("power", power), ("cross", cross)):
        if not torch.isfinite(values).all():
            raise ValueError(f"{name} must be finite, got NaN or infinite entries")
    if matrices:
        power = power.to(torch.complex128)
        if (power - power.mH).abs().max() > ROUNDING * power.abs().max():
            raise ValueError("power must hold Hermitian matrices (H, W, C, C)")
    elif power.is_complex():
        raise TypeError("power must be real: it is a mean square")
    elif power.min() < 0:
        raise ValueError(f"power must not be negative, got {power.min().item()}")
    else:
        power = power.double()
    return power, cross.to(torch.complex128 if cross.is_complex() else torch.float64)


def as_numbers(values: object, name: str) -> Tensor:
    """Tensor of a number, a nested list or an array; Python's floats stay float64."""
    try:
        return values if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
    except (TypeError, ValueError, RuntimeError) as error:
        kind = type(values).__name__
        raise TypeError(f"{name} must be an array of numbers, got {kind}: {error}") from error


def as_kappa(weight_decay: object, depth: object, n_pixels: object) -> tuple[float, int]:
    """Return κ = λ D^(1/L-1) and L, checked."""
    depth, n_pixels = as_integer(depth, "depth", 1), as_integer(n_pixels, "n_pixels", 1)
    return scaled_decay(as_real(weight_decay, "weight_decay", 0), depth, n_pixels), depth


def scaled_decay(weight_decay: float, depth: int, n_pixels: int) -> float:
    return weight_decay * n_pixels ** (1 / depth - 1)
