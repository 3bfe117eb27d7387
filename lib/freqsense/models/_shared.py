"""What the networks of all families share."""

import torch
from torch import Tensor

from freqsense._checks import as_integer, describe, seeded_generator
from freqsense._memory import check_memory

# Images or a teacher drawn with the same small seed must not be the initial weights over again.
_SEED_SALT = 0x6D6F64656C73

# Products of such numbers are still numbers of weights that torch can count.
_WIDEST = 2**24

_LAYER_BYTES = 10_000  # of a layer's Python objects, however small its weights are


def check_images(x: Tensor, shape: tuple[int, int, int]) -> None:
    """Raise unless x is a stack of images of the one shape that a network is for."""
    if not isinstance(x, Tensor):
        raise TypeError(f"images must be a torch tensor, got {type(x).__name__}")
    if x.ndim != 4 or tuple(x.shape[1:]) != shape:
        size = ", ".join(map(str, shape))
        raise ValueError(f"images must have shape (N, {size}), got {tuple(x.shape)}")


def weight_generator(seed: int) -> torch.Generator:
    """Random numbers for initial weights, others than images of the same seed are drawn from."""
    return seeded_generator(seed, _SEED_SALT)


def as_width(value: object, name: str) -> int:
    """A number of channels or outputs."""
    as_integer(value, name, 1)
    return as_integer(value, name, high=_WIDEST)


def check_weights(n_weights: int, n_layers: int = 0) -> None:
    """Raise if a network to be built takes more memory than there is."""
    check_memory(
        4 * n_weights + _LAYER_BYTES * n_layers, f"a network of {describe(n_weights)} weights"
    )
