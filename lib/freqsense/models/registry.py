"""Networks by name, as configurations and the command line give them."""

from collections.abc import Callable
from functools import partial

from torch import nn

from freqsense._checks import as_choice
from freqsense.models.linear import linear_cnn
from freqsense.models.paper import conv_actually, myrtle_cnn, resnet, vgg

__all__ = ["ARCHITECTURES", "build"]

# Name -> a function of width, shape, n_outputs and seed.
_BUILDERS: dict[str, Callable[..., nn.Module]] = {
    **{f"linear_cnn-{depth}": partial(linear_cnn, depth) for depth in range(1, 9)},
    **{f"conv_actually-{depth}": partial(conv_actually, depth) for depth in range(1, 9)},
    **{
        f"conv_actually-{depth}-linear": partial(conv_actually, depth, activation="identity")
        for depth in range(1, 9)
    },
    **{
        f"conv_actually-{depth}-{k}x{k}": partial(conv_actually, depth, kernel_size=k)
        for depth in range(2, 9)
        for k in (3, 5)
    },
    "myrtle_cnn": myrtle_cnn,
    "myrtle_cnn-batchnorm": partial(myrtle_cnn, batch_norm=True),
    **{f"vgg-{depth}": partial(vgg, depth) for depth in (11, 13, 16, 19)},
    **{f"vgg-{depth}-plain": partial(vgg, depth, batch_norm=False) for depth in (11, 13, 16, 19)},
    **{f"resnet-{depth}": partial(resnet, depth) for depth in (9, 20, 56)},
    **{f"resnet-{depth}-plain": partial(resnet, depth, batch_norm=False) for depth in (9, 20, 56)},
}

ARCHITECTURES = tuple(_BUILDERS)


def build(
    name: str,
    *,
    width: int,
    shape: tuple[int, int] | tuple[int, int, int],
    n_outputs: int,
    seed: int = 0,
) -> nn.Module:
    """Build a network from its name, as configurations and the command line give it.

    Parameters
    ----------
    name : one of :data:`ARCHITECTURES`: the function's name, the depth, and what is different:
        ``-linear`` (no activation), ``-3x3`` and ``-5x5`` (small kernels), ``-plain`` (no
        BatchNorm) and ``-batchnorm`` (with it).
    width, shape, n_outputs, seed : as for :func:`linear_cnn` and the other builders.

    Raises
    ------
    TypeError, ValueError
        If the name is unknown (the nearest known one is named) or an argument is out of range.

    Examples
    --------
    >>> from freqsense import models
    >>> models.build("resnet-20", width=4, shape=(3, 32, 32), n_outputs=10).shape
    (3, 32, 32)
    >>> models.build("resnet20", width=4, shape=(3, 32, 32), n_outputs=10)
    Traceback (most recent call last):
    ValueError: architecture must be one of ..., got 'resnet20'; did you mean 'resnet-20'?
    """
    builder = _BUILDERS[as_choice(name, "architecture", ARCHITECTURES)]
    return builder(width=width, shape=shape, n_outputs=n_outputs, seed=seed)
