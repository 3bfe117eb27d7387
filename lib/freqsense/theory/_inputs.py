"""Data, moments and numbers as the theory takes them, checked."""

import numpy as np
import torch
from torch import Tensor

from freqsense._checks import (
    as_grid,
    as_images,
    as_integer,
    as_labels,
    as_real,
    as_real_tensor,
    check_finite,
)
from freqsense._scale import check_range
from freqsense.fourier import rings

# An eigenvalue or a departure from symmetry below this share of the largest is rounding error.
ROUNDING = 1e-6

_DEEPEST = 10**9


def as_data(images: object, targets: object) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) and targets (N, K) in float64."""
    x = as_images(images).double()
    y = as_labels(as_numbers(targets, "targets"), len(x), "targets").to(x.device, torch.float64)
    check_range(x, "images")
    check_range(y, "targets")
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
        check_finite(values, name)
        check_range(values, name)
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


def as_map(B: object) -> Tensor:
    """End-to-end map (H, W, K, C) of real weights in complex128: finite, and Hermitian."""
    B = as_grid(B, "B")
    if B.ndim != 4:
        raise ValueError(f"B must have shape (H, W, K, C), got {tuple(B.shape)}")
    check_finite(B, "B")
    check_range(B, "B")
    check_hermitian(B)
    return B.to(torch.complex128)


def check_hermitian(B: Tensor) -> None:
    """Raise if a map (H, W, K, C) is, beyond rounding, none that real weights can realise."""
    flat = B.detach().flatten(0, 1)  # (D, K, C)
    mirror = rings((B.shape[0], B.shape[1])).mirror.to(B.device)
    mirrored = flat[mirror].conj()
    if (flat - mirrored).abs().max() > ROUNDING * flat.abs().max():
        raise ValueError(
            "B must be Hermitian, B(-ω) the conjugate of B(ω): real weights have no other"
        )


def check_result(values: Tensor, what: str) -> None:
    """Raise if something computed from numbers in range has left it."""
    if not torch.isfinite(values).all():
        raise ValueError(f"{what} leaves the range of float64: rescale what it is computed from")


def as_depth(depth: object) -> int:
    """Return L, checked."""
    as_integer(depth, "depth", 1)
    return as_integer(depth, "depth", high=_DEEPEST)


def as_numbers(values: object, name: str) -> Tensor:
    """Real tensor of a number, a nested list or an array; Python's floats stay float64."""
    if not isinstance(values, Tensor | np.ndarray) and not hasattr(values, "to_numpy"):
        kind = type(values).__name__
        try:
            values = np.array(values)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"{name} must be an array of numbers, got {kind}: {error}") from error
        if values.dtype == object:
            raise TypeError(f"{name} must be an array of numbers, got {kind}")
    return as_real_tensor(values, name)


def as_kappa(weight_decay: object, depth: object, n_pixels: object) -> tuple[float, int]:
    """Return κ = λ D^(1/L-1) and L, checked."""
    depth, n_pixels = as_depth(depth), as_integer(n_pixels, "n_pixels", 1)
    as_integer(n_pixels, "n_pixels", high=2**63 - 1)
    return scaled_decay(as_real(weight_decay, "weight_decay", 0), depth, n_pixels), depth


def scaled_decay(weight_decay: float, depth: int, n_pixels: int) -> float:
    return weight_decay * n_pixels ** (1 / depth - 1)
