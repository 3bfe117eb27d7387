"""Powers of two that bring values near 1, so that their squares neither vanish nor overflow."""

import math

import torch
from torch import Tensor


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
