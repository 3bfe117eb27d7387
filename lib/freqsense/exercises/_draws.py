"""What the exercises draw: small tensors in float64."""

import torch
from torch import Generator, Tensor


def normal(generator: Generator, *shape: int) -> Tensor:
    """Draw normal numbers."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def number(generator: Generator, low: float, high: float) -> float:
    """Draw a number between two others."""
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def whole(generator: Generator, low: int, high: int) -> int:
    """Draw a whole number, both ends included."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def rectangle(generator: Generator) -> tuple[int, int]:
    """Draw a shape of two odd sides, the second longer by half or so."""
    height = 7 + 2 * whole(generator, 0, 2)
    return height, height + 4
