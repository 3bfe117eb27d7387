"""The networks of the paper: ConvActually, Myrtle CNN, VGG and ResNet, for images of any size."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from freqsense._checks import as_choice, as_flag, as_image_shape, as_integer
from freqsense.layers import CircularConv2d
from freqsense.models._shared import as_width, check_images, check_weights, weight_generator

__all__ = ["ACTIVATIONS", "ConvNet", "conv_actually", "myrtle_cnn", "resnet", "vgg"]

ACTIVATIONS = ("relu", "identity")

# Convolutions in each of the five stages of a VGG, and blocks in each of the three of a ResNet.
_VGG_STAGES = {11: (1, 1, 2, 2, 2), 13: (2,) * 5, 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}

_RESNET_BLOCKS = {20: 3, 56: 9}


class ConvNet(nn.Module):
    """Layers that see an image, then a linear head on what they return.

    Attributes
    ----------
    features : ``nn.Sequential`` of the layers.
    head : ``nn.Linear`` on the flattened features.
    shape : (C, H, W) of the input.

    Shapes: (N, C, H, W) to (N, K).

    Raises
    ------
    ValueError
        On a call, if the images are not of ``shape``.
    """

    def __init__(
        self,
        features: list[nn.Module],
        n_features: int,
        n_outputs: int,
        shape: tuple[int, int, int],
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(*features)
        self.head = nn.Linear(n_features, n_outputs)
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to outputs (N, K)."""
        check_images(x, self.shape)
        return self.head(self.features(x).flatten(1))


def conv_actually(
    depth: int,
    *,
    width: int,
    shape: tuple[int, int] | tuple[int, int, int],
    n_outputs: int,
    activation: str = "relu",
    seed: int = 0,
    kernel_size: int | None = None,
) -> ConvNet:
    r"""Build the paper's "ConvActually": circular kernels as large as the image, a full-size head.

    .. math:: f(x) = u \cdot h_{L-1} + b_L, \qquad h_l = \phi(w_l \star h_{l-1} + b_l),
        \quad h_0 = x

    Nothing pads, strides or pools: with φ the identity this is a linear CNN with biases, and the
    theorem holds for it up to their effect at DC (:func:`.linear_cnn` has none).

    Parameters
    ----------
    depth : L >= 1, L - 1 convolutions and the head, counted as in the paper (1, 2, 4 and 8).
    width : channels of every hidden layer; 64 in the paper.
    shape : (C, H, W) of the images, or (H, W) for one channel.
    n_outputs : K.
    activation : φ, ``"relu"`` or ``"identity"``.
    seed : of the initial weights; the global random state is neither read nor moved. Weights are
        normal, of variance 2 / fan-in with ReLU (He's rule) and 1 / fan-in with the identity, where
        the paper's code has 2 in both; biases are zero.
    kernel_size : side of square kernels smaller than the image, for comparison; None is the paper's
        network. The head stays full-size.

    Returns
    -------
    ConvNet
        In float32, with (C + (L - 2) width) width D + K width D weights for D = HW, L > 1 and
        full-size kernels.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range or no known activation.

    Source
    ------
    arXiv 2210.01257 and its code, github.com/pnnl/frequency_sensitivity (``CNNActually``); initial
    weights: He, Zhang, Ren and Sun (2015), arXiv 1502.01852.

    Examples
    --------
    >>> import torch
    >>> from freqsense import models
    >>> model = models.conv_actually(4, width=8, shape=(3, 12, 12), n_outputs=10)
    >>> model(torch.zeros(5, 3, 12, 12)).shape
    torch.Size([5, 10])
    """
    depth = as_integer(depth, "depth", 1)
    width, shape, n_outputs = _check_sizes(width, shape, n_outputs)
    activation = as_choice(activation, "activation", ACTIVATIONS)
    if kernel_size is not None:
        kernel_size = as_integer(kernel_size, "kernel_size", 1, min(shape[1:]))
    kernel, method = (shape[1:], "fft") if kernel_size is None else (kernel_size, "auto")
    generator = weight_generator(seed)
    n_pixels, taps = math.prod(shape[1:]), kernel_size**2 if kernel_size else math.prod(shape[1:])
    hidden = (shape[0] + (depth - 2) * width) * width * taps if depth > 1 else 0
    check_weights(hidden + n_outputs * n_pixels * (width if depth > 1 else shape[0]), depth)
    channels = [shape[0]] + [width] * (depth - 1)
    features: list[nn.Module] = []
    with torch.device("meta"):
        for before, after in zip(channels[:-1], channels[1:], strict=True):
            features.append(CircularConv2d(before, after, kernel, method=method))
            features.append(nn.ReLU() if activation == "relu" else nn.Identity())
        network = ConvNet(features, channels[-1] * math.prod(shape[1:]), n_outputs, shape)
    return _initialize(network, generator, "relu" if activation == "relu" else "linear")


def myrtle_cnn(
    *,
    width: int,
    shape: tuple[int, int] | tuple[int, int, int],
    n_outputs: int,
    batch_norm: bool = False,
    seed: int = 0,
) -> ConvNet:
    """Build the Myrtle CNN: four 3 x 3 convolutions, max pooling, a linear head.

    Channels are 1, 2, 4 and 8 times the width. A 2 x 2 pooling follows each convolution but the
    first, and a pooling over all that is left comes last (4 x 4 of it for CIFAR-10). Zero padding,
    biases, no normalisation, as in the paper's code; the Myrtle networks of Shankar et al. (2020),
    arXiv 2003.02237, pool averages and keep one width.

    Parameters
    ----------
    width : channels of the first convolution; 64 in the paper (1.56 million parameters).
    shape : (C, H, W) of the images, or (H, W) for one channel; any size: a pooling that does not
        divide its input keeps the rest as a smaller window.
    n_outputs : K.
    batch_norm : normalise after each convolution, which then has no bias; the paper's has none.
    seed : of the initial weights, which are normal of variance 2 / fan-in (He's rule) with biases
        zero; the global random state is neither read nor moved.

    Returns
    -------
    ConvNet
        In float32.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Source
    ------
    arXiv 2210.01257 and its code; Nakkiran et al. (2020), arXiv 1912.02292, after Page (2018),
    "How to train your ResNet".

    Examples
    --------
    >>> import torch
    >>> from freqsense import models
    >>> model = models.myrtle_cnn(width=4, shape=(3, 32, 32), n_outputs=10)
    >>> model(torch.zeros(5, 3, 32, 32)).shape
    torch.Size([5, 10])
    """
    width, shape, n_outputs = _check_sizes(width, shape, n_outputs)
    batch_norm = as_flag(batch_norm, "batch_norm")
    generator = weight_generator(seed)
    with torch.device("meta"):
        features = _conv(shape[0], width, batch_norm=batch_norm) + [nn.ReLU()]
        for scale in (1, 2, 4):
            layers = _conv(scale * width, 2 * scale * width, batch_norm=batch_norm)
            features += [*layers, nn.ReLU(), _halve()]
        features.append(nn.AdaptiveMaxPool2d(1))
        network = ConvNet(features, 8 * width, n_outputs, shape)
    return _initialize(network, generator)


def vgg(
    depth: int,
    *,
    width: int,
    shape: tuple[int, int] | tuple[int, int, int],
    n_outputs: int,
    batch_norm: bool = True,
    seed: int = 0,
) -> ConvNet:
    """Build a VGG for small images: five stages of 3 x 3 convolutions, one linear head.

    Channels are 1, 2, 4, 8 and 8 times the width; a 2 x 2 max pooling ends each stage, a mean over
    all pixels the last (one pixel for CIFAR-10). Zero padding. The depth of the name counts the
    three linear layers of the original, of which small images keep one, so that VGG-16 has
    thirteen convolutions and a head. The paper's code has no BatchNorm and keeps all three linear
    layers, with dropout between them, at 8 times the width.

    Parameters
    ----------
    depth : 11, 13, 16 or 19.
    width : channels of the first stage; 64 in the paper (14.7 million parameters at depth 16).
    shape : (C, H, W) of the images, or (H, W) for one channel; any size, as for
        :func:`myrtle_cnn`. Below 32 pixels the last stages have one pixel, whose kernels see
        padding in eight of nine places: without BatchNorm, deep ones start almost silent there.
    n_outputs : K.
    batch_norm : normalise after each convolution, which then has no bias. Weight decay before a
        BatchNorm sets no representation cost.
    seed : as for :func:`myrtle_cnn`.

    Returns
    -------
    ConvNet
        In float32 and, as any module, in training mode: call ``.eval()`` before measuring one
        with BatchNorm. Untrained, its running means and variances are still 0 and 1: for a control,
        call :func:`.settle_batchnorm` first.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range; another depth is told the nearest.

    Source
    ------
    Simonyan and Zisserman (2015), arXiv 1409.1556; the paper, arXiv 2210.01257, takes
    github.com/chengyangfu/pytorch-vgg-cifar10.

    Examples
    --------
    >>> import torch
    >>> from freqsense import models
    >>> model = models.vgg(11, width=4, shape=(3, 32, 32), n_outputs=10)
    >>> model(torch.zeros(5, 3, 32, 32)).shape
    torch.Size([5, 10])
    """
    depth = _as_depth(depth, tuple(_VGG_STAGES))
    width, shape, n_outputs = _check_sizes(width, shape, n_outputs)
    batch_norm = as_flag(batch_norm, "batch_norm")
    generator = weight_generator(seed)
    before, features = shape[0], []
    with torch.device("meta"):
        for n_layers, scale in zip(_VGG_STAGES[depth], (1, 2, 4, 8, 8), strict=True):
            for _ in range(n_layers):
                features += [*_conv(before, scale * width, batch_norm=batch_norm), nn.ReLU()]
                before = scale * width
            features.append(_halve())
        features.append(nn.AdaptiveAvgPool2d(1))
        network = ConvNet(features, before, n_outputs, shape)
    return _initialize(network, generator)


def resnet(
    depth: int,
    *,
    width: int,
    shape: tuple[int, int] | tuple[int, int, int],
    n_outputs: int,
    batch_norm: bool = True,
    seed: int = 0,
) -> ConvNet:
    """Build a residual network for small images: Page's ResNet-9, or He's ResNet-20 or -56.

    Depths 20 and 56 are those of He et al. for CIFAR-10: channels 1, 2 and 4 times the width, the
    second and third stage begun by a stride of 2, shortcuts without weights (subsampled and padded
    by channels of zeros), a mean over all pixels. Depth 9 is the DAWNBench network: channels 1, 2,
    4 and 8 times the width, 2 x 2 max pooling after each but the first, a residual pair after the
    second and the fourth, a maximum over all pixels; its fixed factor 1/8 on the outputs is left
    out. All pad with zeros. The paper takes Composer's networks, which differ: 20 and 56 with
    strided 1 x 1 convolutions (and BatchNorm) as shortcuts, a smaller ResNet-9 (four times the
    width at most, a mean in place of the maximum).

    Parameters
    ----------
    depth : 9, 20 or 56.
    width : channels of the first convolution; 64 at depth 9 (6.57 million parameters), 16 at depths
        20 (0.27 million) and 56 (0.85 million) in the originals.
    shape : (C, H, W) of the images, or (H, W) for one channel; any size, as for
        :func:`myrtle_cnn`.
    n_outputs : K.
    batch_norm : normalise after each convolution, which then has no bias. Weight decay before a
        BatchNorm sets no representation cost. Without it the last convolution of each of the m
        residual branches starts smaller by a factor of the square root of m, or activations would
        double in variance with each.
    seed : as for :func:`myrtle_cnn`.

    Returns
    -------
    ConvNet
        In float32 and training mode: see :func:`vgg`.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range; another depth is told the nearest.

    Source
    ------
    He, Zhang, Ren and Sun (2016), arXiv 1512.03385; Page (2018), "How to train your ResNet",
    github.com/davidcpage/cifar10-fast; without BatchNorm: Zhang, Dauphin and Ma (2019), arXiv
    1901.09321; the paper, arXiv 2210.01257, takes github.com/mosaicml/composer.

    Examples
    --------
    >>> import torch
    >>> from freqsense import models
    >>> model = models.resnet(20, width=4, shape=(3, 32, 32), n_outputs=10)
    >>> model(torch.zeros(5, 3, 32, 32)).shape
    torch.Size([5, 10])
    """
    depth = _as_depth(depth, (9, *_RESNET_BLOCKS))
    width, shape, n_outputs = _check_sizes(width, shape, n_outputs)
    batch_norm = as_flag(batch_norm, "batch_norm")
    generator = weight_generator(seed)
    with torch.device("meta"):
        if depth == 9:
            features, scale = _page_layers(shape[0], width, batch_norm), 8
        else:
            features, scale = _he_layers(shape[0], width, batch_norm, _RESNET_BLOCKS[depth]), 4
        network = ConvNet(features, scale * width, n_outputs, shape)
    _initialize(network, generator)
    if not batch_norm:
        _shrink_branches(network)
    return network


class _Residual(nn.Module):
    """A branch added to its input, which is subsampled and padded by channels of zeros to fit."""

    def __init__(self, branch: list[nn.Module], stride: int = 1) -> None:
        super().__init__()
        self.branch = nn.Sequential(*branch)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch(x)  # (N, C', ceil(H / stride), ceil(W / stride))
        x = x[:, :, :: self.stride, :: self.stride]
        return y + functional.pad(x, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))


def _page_layers(channels: int, width: int, batch_norm: bool) -> list[nn.Module]:
    def layer(before: int, after: int) -> list[nn.Module]:
        return [*_conv(before * width, after * width, batch_norm=batch_norm), nn.ReLU()]

    return [
        *_conv(channels, width, batch_norm=batch_norm),
        nn.ReLU(),
        *layer(1, 2),
        _halve(),
        _Residual(layer(2, 2) + layer(2, 2)),
        *layer(2, 4),
        _halve(),
        *layer(4, 8),
        _halve(),
        _Residual(layer(8, 8) + layer(8, 8)),
        nn.AdaptiveMaxPool2d(1),
    ]


def _he_layers(channels: int, width: int, batch_norm: bool, n_blocks: int) -> list[nn.Module]:
    layers = [*_conv(channels, width, batch_norm=batch_norm), nn.ReLU()]
    before = width
    for after in (width, 2 * width, 4 * width):
        for _ in range(n_blocks):
            stride = after // before
            branch = [
                *_conv(before, after, stride, batch_norm=batch_norm),
                nn.ReLU(),
                *_conv(after, after, batch_norm=batch_norm),
            ]
            layers += [_Residual(branch, stride), nn.ReLU()]
            before = after
    return [*layers, nn.AdaptiveAvgPool2d(1)]


def _conv(before: int, after: int, stride: int = 1, batch_norm: bool = False) -> list[nn.Module]:
    # A BatchNorm would take a bias before it away again.
    layer = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=not batch_norm)
    return [layer, nn.BatchNorm2d(after)] if batch_norm else [layer]


def _halve() -> nn.Module:
    # As published at even sizes; at odd ones the last row and column are not thrown away.
    return nn.MaxPool2d(2, ceil_mode=True)


def _initialize(
    network: ConvNet,
    generator: torch.Generator,
    nonlinearity: Literal["relu", "linear"] = "relu",
) -> ConvNet:
    """Draw the weights of a network that was built without any, on the meta device."""
    check_weights(sum(weight.numel() for weight in network.parameters()))
    network.to_empty(device="cpu")
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity=nonlinearity, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()  # scale 1, shift 0: nothing is drawn
    return network


def _shrink_branches(network: ConvNet) -> None:
    residuals = [layer for layer in network.modules() if isinstance(layer, _Residual)]
    for residual in residuals:
        *_, last = (layer for layer in residual.branch if isinstance(layer, nn.Conv2d))
        last.weight.data /= math.sqrt(len(residuals))


def _check_sizes(
    width: object, shape: object, n_outputs: object
) -> tuple[int, tuple[int, int, int], int]:
    return (
        as_width(width, "width"),
        as_image_shape(shape),
        as_width(n_outputs, "n_outputs"),
    )


def _as_depth(depth: object, known: tuple[int, ...]) -> int:
    depth = as_integer(depth, "depth")
    if depth not in known:
        nearest = min(known, key=lambda other: abs(other - depth))
        names = ", ".join(map(str, known))
        raise ValueError(f"depth must be one of {names}, got {depth}; did you mean {nearest}?")
    return depth
