"""What the networks of all families share."""

import torch
from torch import Tensor

from freqsense._checks import seeded_generator

# Images or a teacher drawn with the same small seed must not be the initial weights over again.
_SEED_SALT = 0x6D6F64656C73


def check_images(x: Tensor, shape: tuple[int, int, int]) -> None:
    """Raise unless x is a stack of images of the one shape that a network is for."""
    if x.ndim != 4 or tuple(x.shape[1:]) != shape:
        size = ", ".join(map(str, shape))
        raise ValueError(f"images must have shape (N, {size}), got {tuple(x.shape)}")


def weight_generator(seed: int) -> torch.Generator:
    """Random numbers for initial weights, others than images of the same seed are drawn from."""
    return seeded_generator(seed, _SEED_SALT)
