"""Linear convolutional networks, of which the theorem speaks."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from freqsense._checks import as_image_shape, as_integer
from freqsense.layers import CircularConv2d
from freqsense.models._shared import as_width, check_images, check_weights, weight_generator

__all__ = ["LinearCNN", "linear_cnn"]


class LinearCNN(nn.Module):
    r"""Convolutions without bias or non-linearity, then a linear head on all pixels.

    .. math:: f(x) = \langle u,\; w_{L-1} \star \dots \star w_1 \star x \rangle
        = \sum_\omega B(\omega)\, \hat x(\omega), \qquad
        B(\omega) = \overline{\hat u(\omega)}\, T_{L-1}(\omega) \cdots T_1(\omega)

    Definition ``def-linear-cnn`` of the book.

    Parameters
    ----------
    convolutions : circular layers that keep the image size, none at depth 1.
    head : (K, C_last, H, W) weights u.

    Attributes
    ----------
    convolutions : ``nn.ModuleList`` of the layers.
    head : ``nn.Parameter`` (K, C_last, H, W).
    shape : (C, H, W) of the input.

    Shapes: (N, C, H, W) to (N, K).

    Raises
    ------
    ValueError
        If neighbouring layers differ in channels, or, on a call, the images are not of ``shape``.
    TypeError
        If a layer is no convolution, or the head no tensor.

    Source
    ------
    Gunasekar, Lee, Soudry and Srebro (2018), arXiv 1806.00468.

    Examples
    --------
    >>> import torch
    >>> from freqsense import layers, models
    >>> layer = layers.CircularConv2d(3, 4, 3, bias=False)     # a small kernel
    >>> models.LinearCNN([layer], torch.zeros(2, 4, 8, 8))(torch.zeros(5, 3, 8, 8)).shape
    torch.Size([5, 2])
    """

    def __init__(self, convolutions: Iterable[nn.Conv2d], head: Tensor) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(convolutions)
        wrong = [each for each in self.convolutions if not isinstance(each, nn.Conv2d)]
        if wrong or not isinstance(head, Tensor):
            got = type(wrong[0] if wrong else head).__name__
            raise TypeError(f"a linear CNN must be convolutions and a tensor as head, got {got}")
        if head.ndim != 4:
            raise ValueError(f"head must have shape (K, C, H, W), got {tuple(head.shape)}")
        self.head = nn.Parameter(head)
        channels = [layer.in_channels for layer in self.convolutions] + [head.shape[1]]
        for layer, following in zip(self.convolutions, channels[1:], strict=True):
            if layer.out_channels != following:
                raise ValueError(
                    f"a layer of {layer.out_channels} channels is followed by one for {following}"
                )
        self.shape = (channels[0], *head.shape[2:])

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to outputs (N, K)."""
        check_images(x, self.shape)
        for layer in self.convolutions:
            x = layer(x)
        return x.flatten(1) @ self.head.flatten(1).T


def linear_cnn(
    depth: int,
    *,
    width: int,
    shape: tuple[int, int] | tuple[int, int, int],
    n_outputs: int = 1,
    seed: int = 0,
) -> LinearCNN:
    r"""Build the network of the sensitivity theorem: full-size kernels, a full-size head, no bias.

    .. math:: w_l \sim \mathcal N\Bigl(0,\; \frac{1}{D \max(C_{l-1}, C_l)}\Bigr), \qquad D = HW

    Definition ``def-linear-cnn`` of the book, with equation ``eq-linear-cnn-init`` for the initial
    weights, the head included. Each entry of a transfer matrix then has variance 1/max(C, C'), so
    that no frequency is stretched much beyond 1, none is favoured, and the layers are about
    balanced, as weight decay leaves them. On white images of unit variance the
    outputs have a variance of about 1 or less.

    Parameters
    ----------
    depth : L >= 1, L - 1 convolutions and the head; at depth 1 the network is the head alone.
    width : channels of every hidden layer.
    shape : (C, H, W) of the images, or (H, W) for one channel.
    n_outputs : K.
    seed : of the initial weights; the global random state is neither read nor moved.

    Returns
    -------
    LinearCNN
        In float32: call ``.double()`` to compare it with theory to many digits.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or the hidden width is below min(K, C): such a network
        cannot realise every end-to-end map, which the theorem assumes.

    Source
    ------
    arXiv 2210.01257; Gunasekar, Lee, Soudry and Srebro (2018), arXiv 1806.00468.

    Examples
    --------
    >>> import torch
    >>> from freqsense import models
    >>> model = models.linear_cnn(3, width=4, shape=(3, 8, 8), n_outputs=2)
    >>> model(torch.zeros(5, 3, 8, 8)).shape
    torch.Size([5, 2])
    """
    depth = as_integer(depth, "depth", 1)
    width, n_outputs = as_width(width, "width"), as_width(n_outputs, "n_outputs")
    channels, height, columns = as_image_shape(shape)
    if depth > 1 and width < min(n_outputs, channels):
        raise ValueError(
            "the theorem assumes a hidden width of at least min(K, C), or the network cannot "
            f"realise every map: expected width >= {min(n_outputs, channels)}, got {width}"
        )
    generator = weight_generator(seed)
    n_channels = (channels + (depth - 2) * width + n_outputs) * width
    n_weights = height * columns * (n_channels if depth > 1 else channels * n_outputs)
    check_weights(n_weights, depth)
    widths = [channels] + [width] * (depth - 1)
    convolutions = []
    for before, after in zip(widths[:-1], widths[1:], strict=True):
        # No layer draws from the global state: its own initial weights are never made.
        with torch.device("meta"):
            layer = CircularConv2d(before, after, (height, columns), bias=False, method="fft")
        layer.weight = nn.Parameter(_draw_weights((after, before, height, columns), generator))
        convolutions.append(layer)
    return LinearCNN(
        convolutions, _draw_weights((n_outputs, widths[-1], height, columns), generator)
    )


def _draw_weights(size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    scale = 1 / math.sqrt(math.prod(size[2:]) * max(size[:2]))
    return torch.randn(size, generator=generator) * scale
