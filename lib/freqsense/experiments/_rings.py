"""The rings of a square grid, and which of them are fitted."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from freqsense._checks import as_integer, as_real
from freqsense.fourier import radial_average, select_bins

if TYPE_CHECKING:
    from xarray import DataArray


def fitted_rings(
    rings: "DataArray", size: int, fmin: float, fmax: float
) -> tuple[np.ndarray, np.ndarray]:
    """Frequency (R,) of all rings, and the numbers of those to fit."""
    size = as_integer(size, "size", 4)
    profile = radial_average(torch.ones(size, size))
    if rings.sizes.get("ring") != len(profile.frequency):
        expected, got = len(profile.frequency), dict(rings.sizes)
        raise ValueError(f"rings must have {expected} rings for size {size}, got {got}")
    _, bins = select_bins(profile, as_real(fmin, "fmin"), as_real(fmax, "fmax"))
    return profile.frequency.numpy(), bins.numpy()
