"""Convolution layers as one small matrix per frequency."""

import math
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral

import torch
from torch import Tensor, nn

from freqsense._checks import REAL_DTYPES, as_choice, as_integer, as_shape, sides
from freqsense.fourier import rings

__all__ = [
    "METHODS",
    "CircularConv2d",
    "OperationCounts",
    "choose_method",
    "circulant_matrix",
    "operation_counts",
    "singular_values",
    "spectral_norm",
    "transfer_function",
]

METHODS = ("auto", "direct", "fft")

# A dense matrix of more entries than this is no proof of concept any more.
_MAX_CIRCULANT_ENTRIES = 2**26

# Seconds for each of the terms of _cost_terms, without and with the backward pass: fitted by
# ``python benchmarks/bench_layers.py calibrate`` on two cores with AVX-512. They are constants, and
# not measured at run time, so that one model takes one route on every run and gives the same bits;
# on another machine both routes get faster or slower together, and a choice that is wrong is wrong
# near the crossover, where it costs little.
_SECONDS = {
    False: (
        (8.4e-5, 7.5e-10, 2.9e-10, 9.6e-11, 7.4e-12, 4.3e-12, 0),
        (1.8e-4, 5.4e-9, 6.4e-11, 6.0e-12),
    ),
    True: (
        (3.9e-4, 2.1e-9, 6.6e-10, 5.6e-10, 2.6e-10, 1.5e-11, 4.1e-12),
        (5.7e-4, 3.1e-8, 1.9e-10, 6.3e-12),
    ),
}

_HALVES = (torch.float16, torch.bfloat16)

# Direct convolution computes channels in vectors of this many.
_LANES = 16


class CircularConv2d(nn.Conv2d):
    r"""Circular convolution, directly or by FFT, whichever is faster: a drop-in for ``nn.Conv2d``.

    .. math:: y_o[p] = b_o + \sum_c \sum_q w_{oc}[q]\, x_c[p + q - a], \qquad
        a = \lfloor (k - 1) / 2 \rfloor

    Definition ``def-circular-convolution`` of the book, with indices modulo the image. Weights,
    initial values, ``state_dict`` and output are those of
    ``nn.Conv2d(..., padding="same", padding_mode="circular")``; by FFT (theorem
    ``thm-convolution``) the output is the same up to rounding.

    Parameters
    ----------
    in_channels, out_channels : channels in and out, multiples of ``groups``.
    kernel_size : k or (kh, kw), at most the image.
    bias, groups : as for ``nn.Conv2d``.
    method : ``"direct"``, ``"fft"``, or ``"auto"`` for the one that :func:`choose_method` expects
        to be faster.

    Shapes: (N, C_in, H, W) to (N, C_out, H, W), float32 or float64. Under ``torch.autocast``
    float32 weights take images of half precision too and give the type of the region, as
    ``nn.Conv2d`` does; the transforms, which have no bfloat16, compute in float32.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range; on a call, if the weights are neither float32 nor float64,
        or the input is no (N, C_in, H, W) stack of their type, or smaller than the kernel.

    Source
    ------
    Mathieu, Henaff and LeCun (2013), arXiv 1312.5851.

    Examples
    --------
    >>> import torch
    >>> from freqsense import layers
    >>> layer = layers.CircularConv2d(3, 8, 16, method="fft")
    >>> layer(torch.zeros(2, 3, 16, 16)).shape
    torch.Size([2, 8, 16, 16])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        *,
        bias: bool = True,
        groups: int = 1,
        method: str = "auto",
    ) -> None:
        groups = as_integer(groups, "groups", 1)
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if as_integer(channels, name, 1) % groups:
                raise ValueError(f"{name} must be a multiple of groups={groups}, got {channels}")
        both = (kernel_size, kernel_size) if isinstance(kernel_size, Integral) else kernel_size
        if not isinstance(both, tuple | list) or len(both) != 2:
            raise ValueError(f"kernel_size must be k or (kh, kw), got {kernel_size!r}")
        self.method = as_choice(method, "method", METHODS)
        super().__init__(
            in_channels,
            out_channels,
            as_shape(both, "kernel_size"),
            padding="same",
            padding_mode="circular",
            bias=bias,
            groups=groups,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C_in, H, W) to (N, C_out, H, W)."""
        self._check_input(x)
        method = as_choice(self.method, "method", METHODS)  # it may have been set since
        if method == "auto":
            weight = self.weight
            gradient = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
            shapes = tuple(x.shape), tuple(weight.shape)
            method = choose_method(*shapes, self.groups, gradient=gradient)
        if method == "direct" or len(x) == 0:  # transforms refuse an empty batch
            return super().forward(x)
        reduced = _autocast_dtype(self.weight)
        if reduced is None:
            return self._convolve_by_fft(x)
        with torch.autocast(x.device.type, enabled=False):
            return self._convolve_by_fft(x.to(self.weight.dtype)).to(reduced)

    def extra_repr(self) -> str:
        """Show the route beside what ``nn.Conv2d`` shows."""
        return f"{super().extra_repr()}, method={self.method!r}"

    def _check_input(self, x: Tensor) -> None:
        if not isinstance(x, Tensor):
            raise TypeError(f"x must be a torch tensor, got {type(x).__name__}")
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            expected = f"(N, {self.in_channels}, H, W)"
            raise ValueError(f"x must have shape {expected}, got {tuple(x.shape)}")
        _check_dtype(self)
        reduced = _autocast_dtype(self.weight)
        if x.dtype != self.weight.dtype and (reduced is None or x.dtype not in _HALVES):
            raise TypeError(f"x must be {self.weight.dtype}, as the weights, got {x.dtype}")
        _check_fits(self.kernel_size, sides(x))

    def _convolve_by_fft(self, x: Tensor) -> Tensor:
        shape = sides(x)
        y = _inverse_by_map(
            _multiply_by_frequency(
                torch.fft.rfft2(x).mul_(_shift_factor(x, self.kernel_size)),
                torch.fft.rfft2(self.weight, s=shape).conj(),
                self.groups,
            ),
            shape[1],
        )
        return y if self.bias is None else y.add_(self.bias[:, None, None])


def transfer_function(layer: nn.Conv2d, shape: tuple[int, int]) -> Tensor:
    r"""Transfer matrices of a circular convolution, one for each frequency.

    .. math:: T(\omega) = \sqrt{D}\; \overline{\hat w(\omega)}\, e^{-2\pi i\, \omega \cdot a / n},
        \qquad \widehat{(w \star x)}(\omega) = T(\omega)\, \hat x(\omega)

    Definition ``def-transfer-matrix`` and theorem ``thm-block-diagonal`` of the book. The bias,
    which adds to DC alone, is left out. Gradients flow to the weights.

    Parameters
    ----------
    layer : an ``nn.Conv2d`` (or :class:`CircularConv2d`) of stride 1 with circular padding that
        keeps the size, or with a 1 x 1 kernel and no padding; any groups and dilation.
    shape : (H, W) of its input.

    Returns
    -------
    complex tensor (H, W, C_out, C_in), in the order of :func:`.fft2`.

    Raises
    ------
    TypeError, ValueError
        If the layer is no such convolution (what would not be block-diagonal in frequency), its
        weights are complex or not finite, or the kernel is larger than the image.

    Source
    ------
    Sedghi, Gupta and Long (2019), arXiv 1805.10408.

    Examples
    --------
    >>> import torch
    >>> from freqsense import layers
    >>> layer = layers.CircularConv2d(3, 8, 3)
    >>> layers.transfer_function(layer, (16, 16)).shape
    torch.Size([16, 16, 8, 3])
    """
    shape = as_shape(shape)
    _check_layer(layer, shape)
    return _spread_groups(_group_transfer(layer, layer.weight, shape))


def singular_values(layer: nn.Conv2d, shape: tuple[int, int]) -> Tensor:
    r"""All singular values of a circular convolution, exactly, by one small SVD per frequency.

    .. math:: \{\sigma(\text{layer})\} = \bigcup_\omega \{\sigma_i(T(\omega))\}

    Theorem ``thm-singular-values`` of the book. Half the frequencies suffice, since T(-ω) is the
    complex conjugate of T(ω). Computed in float64.

    Parameters
    ----------
    layer, shape : as for :func:`transfer_function`.

    Returns
    -------
    float64 tensor (H, W, min(C_out, C_in)), descending at each frequency.

    Raises
    ------
    TypeError, ValueError
        As for :func:`transfer_function`.

    Source
    ------
    Sedghi, Gupta and Long (2019), arXiv 1805.10408.

    Examples
    --------
    >>> import torch
    >>> from freqsense import layers
    >>> layer = layers.CircularConv2d(1, 1, 1, bias=False)
    >>> _ = torch.nn.init.constant_(layer.weight, -2.0)
    >>> layers.singular_values(layer, (2, 2)).flatten().tolist()
    [2.0, 2.0, 2.0, 2.0]
    """
    shape = as_shape(shape)
    _check_layer(layer, shape)
    transfer = _group_transfer(layer, layer.weight.detach().double(), shape).flatten(0, 1)
    ring = rings(shape)
    half = torch.linalg.svdvals(transfer[ring.half.to(transfer.device)])  # (D / 2, g, m)
    half = half.flatten(1).sort(dim=1, descending=True).values  # (D / 2, g * m)
    # The place in the half of each frequency, or of its mirror image, whichever comes first.
    first = torch.minimum(torch.arange(len(ring.mirror)), ring.mirror)
    place = (torch.cumsum(ring.half, 0) - 1)[first]
    return half[place.to(half.device)].unflatten(0, shape)


def spectral_norm(layer: nn.Conv2d, shape: tuple[int, int]) -> float:
    r"""Largest singular value of a circular convolution: the most it can stretch an image.

    .. math:: \|w \star\| = \max_\omega\, \sigma_1(T(\omega))

    Equation ``eq-spectral-norm`` of the book.

    Parameters
    ----------
    layer, shape : as for :func:`transfer_function`.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        As for :func:`transfer_function`.

    Examples
    --------
    >>> import torch
    >>> from freqsense import layers
    >>> layer = layers.CircularConv2d(1, 1, 3, bias=False)
    >>> _ = torch.nn.init.constant_(layer.weight, 1 / 9)
    >>> round(layers.spectral_norm(layer, (8, 8)), 6)     # a mean keeps a constant image as it is
    1.0
    """
    return singular_values(layer, shape)[..., 0].max().item()


def circulant_matrix(layer: nn.Conv2d, shape: tuple[int, int]) -> Tensor:
    r"""The dense matrix of a circular convolution, entry by entry from its definition.

    .. math:: M_{(o,p),(c,r)} = \sum_{q\,:\,q \equiv r - p + a} w_{oc}[q]

    Definition ``def-circulant-matrix`` of the book: no Fourier transform is involved. For proofs on
    small sizes; a (1, n) image gives the circulant matrix of one dimension.

    Parameters
    ----------
    layer, shape : as for :func:`transfer_function`.

    Returns
    -------
    tensor (C_out * H * W, C_in * H * W), channels first, then rows, as ``x.flatten()``.

    Raises
    ------
    TypeError, ValueError
        As for :func:`transfer_function`, or if the matrix would be too large.

    Examples
    --------
    >>> import torch
    >>> from freqsense import layers
    >>> layer = layers.CircularConv2d(1, 1, (1, 3), bias=False)
    >>> layer.weight.data = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    >>> layers.circulant_matrix(layer, (1, 4)).tolist()
    [[2.0, 3.0, 0.0, 1.0], [1.0, 2.0, 3.0, 0.0], [0.0, 1.0, 2.0, 3.0], [3.0, 0.0, 1.0, 2.0]]
    """
    height, width = shape = as_shape(shape)
    _check_layer(layer, shape)
    entries = layer.out_channels * layer.in_channels * (height * width) ** 2
    if entries > _MAX_CIRCULANT_ENTRIES:
        raise ValueError(
            f"the dense matrix would have {entries} entries, more than {_MAX_CIRCULANT_ENTRIES}: "
            "use singular_values or transfer_function, which need none"
        )
    kernel = _kernel_on_grid(layer, layer.weight.detach(), shape)  # (H, W, g, C_out / g, C_in / g)
    kernel = _spread_groups(kernel)  # (H, W, C_out, C_in), at r - p
    y, x = (torch.arange(side, device=kernel.device) for side in shape)
    down = (y - y[:, None]) % height  # (H, H): row of r - p
    across = (x - x[:, None]) % width  # (W, W)
    blocks = kernel[down[:, None, :, None], across[None, :, None, :]]  # (H, W, H, W, C_out, C_in)
    return blocks.permute(4, 0, 1, 5, 2, 3).reshape(
        layer.out_channels * height * width, layer.in_channels * height * width
    )


@dataclass(frozen=True)
class OperationCounts:
    """Real multiplications and additions of one circular convolution.

    direct : by sliding the kernel
    transforms, products : by FFT, in the transforms and in the products between them
    """

    direct: int
    transforms: float
    products: int

    @property
    def fft(self) -> float:
        """All operations of the FFT route."""
        return self.transforms + self.products


def operation_counts(
    x_shape: tuple[int, ...], weight_shape: tuple[int, ...], groups: int = 1
) -> OperationCounts:
    r"""Count the operations of a circular convolution on both routes.

    .. math::
        \text{direct} &= 2\, N\, C_o \tfrac{C_i}{g}\, k_h k_w\, D \\
        \text{fft} &= \tfrac52 D \log_2 D\, \bigl(N C_i + C_o \tfrac{C_i}{g} + N C_o\bigr)
            + 8\, N\, C_o \tfrac{C_i}{g}\, H \bigl(\lfloor W/2 \rfloor + 1\bigr)

    Equations ``eq-cost-direct`` and ``eq-cost-fft`` of the book, with D = HW. A real transform of D
    points takes about 5/2 D log2 D operations, a complex multiplication and addition eight.

    Parameters
    ----------
    x_shape : (N, C_in, H, W) of the images.
    weight_shape : (C_out, C_in / g, kh, kw) of the weights.
    groups : g.

    Returns
    -------
    OperationCounts

    Raises
    ------
    TypeError, ValueError
        If the shapes do not belong together, or the kernel is larger than the image.

    Source
    ------
    Mathieu, Henaff and LeCun (2013), arXiv 1312.5851.

    Examples
    --------
    >>> from freqsense import layers
    >>> counts = layers.operation_counts((64, 16, 32, 32), (32, 16, 32, 32))
    >>> round(counts.direct / counts.fft)
    293
    """
    n, c_in, height, width = _as_sizes(x_shape, "x_shape", "(N, C_in, H, W)", low=0)
    c_out, c_group, kh, kw = _as_sizes(weight_shape, "weight_shape", "(C_out, C_in / g, kh, kw)")
    groups = as_integer(groups, "groups", 1)
    if c_in != c_group * groups:
        raise ValueError(f"x_shape must have {c_group * groups} channels, got {c_in}")
    if c_out % groups:
        raise ValueError(f"weight_shape[0] must be a multiple of groups={groups}, got {c_out}")
    _check_fits((kh, kw), (height, width))
    size = height * width
    n_maps = n * c_in + c_out * c_group + n * c_out
    return OperationCounts(
        direct=2 * n * c_out * c_group * kh * kw * size,
        transforms=2.5 * size * math.log2(size) * n_maps,
        products=8 * n * c_out * c_group * height * (width // 2 + 1),
    )


def choose_method(
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    groups: int = 1,
    *,
    gradient: bool = False,
) -> str:
    r"""Tell which route is faster, by a cost model whose coefficients were measured.

    .. math:: t = t_0 + \sum_i s_i n_i

    The n_i are the operations of equations ``eq-cost-direct`` and ``eq-cost-fft`` of the book, the
    numbers moved in memory and the rows to transform, the s_i seconds for each of them, measured
    on a CPU in float32.

    Parameters
    ----------
    x_shape, weight_shape, groups : as for :func:`operation_counts`.
    gradient : count the backward pass too.

    Returns
    -------
    ``"direct"`` or ``"fft"``

    Raises
    ------
    TypeError, ValueError
        As for :func:`operation_counts`.

    Examples
    --------
    >>> from freqsense import layers
    >>> [layers.choose_method((64, 16, 32, 32), (32, 16, k, k)) for k in (3, 32)]
    ['direct', 'fft']
    """
    shapes = (tuple(s) if isinstance(s, list) else s for s in (x_shape, weight_shape))
    return _cheaper_route(*shapes, groups, bool(gradient))


@lru_cache(maxsize=1024)  # the sums take as long as a small convolution
def _cheaper_route(x_shape: tuple, weight_shape: tuple, groups: int, gradient: bool) -> str:
    routes = _cost_terms(x_shape, weight_shape, groups, gradient)
    direct, fft = (
        sum(seconds * number for seconds, number in zip(coefficients, terms, strict=True))
        for coefficients, terms in zip(_SECONDS[gradient], routes, strict=True)
    )
    return "fft" if fft < direct else "direct"


def _cost_terms(
    x_shape: tuple, weight_shape: tuple, groups: int, gradient: bool
) -> tuple[tuple, tuple]:
    """What the time of the direct and of the FFT route is made of."""
    counts = operation_counts(x_shape, weight_shape, groups)
    n, c_in, height, width = x_shape
    c_out, c_group, kh, kw = weight_shape
    depthwise = groups > 1 and c_group == 1 and c_out == groups  # PyTorch has code of its own
    idle_in, idle_out = map(_idle_lanes, (c_in, c_out) if depthwise else (c_group, c_out // groups))
    padded = n * c_in * (height + kh - 1) * (width + kw - 1)
    result = n * c_out * height * width
    weights = c_out * c_group * kh * kw
    out = counts.direct * idle_out
    both = out * idle_in  # the gradients have the channels in at the innermost too
    # A call, weights and images moved, these again in blocks of whole vectors, operations.
    direct = (
        *(1, weights, padded + result, padded * idle_in * gradient + result * idle_out),
        *(out * depthwise, out * (not depthwise), both * (gradient and not depthwise)),
    )
    n_rows = (height + width) * (n * c_in + c_out * c_group + n * c_out)
    return direct, (1, n_rows, counts.transforms, counts.products)


def _idle_lanes(channels: int) -> float:
    """How many times the work is computed, or moved, if channels fill whole vectors."""
    return math.ceil(channels / _LANES) * _LANES / channels


def _shift_factor(x: Tensor, kernel_size: tuple[int, ...]) -> Tensor:
    """Phase exp(-2πi ω·a / n) of the tap that hits p itself: (H, W // 2 + 1)."""
    rows, columns = (
        (side - 1) // 2 * torch.arange(length, dtype=x.dtype, device=x.device) % length / length
        for side, length in zip(kernel_size, x.shape[-2:], strict=True)
    )  # in whole turns
    angle = -2 * torch.pi * (rows[:, None] + columns[: x.shape[-1] // 2 + 1])
    return torch.polar(torch.ones_like(angle), angle)


def _multiply_by_frequency(xhat: Tensor, what: Tensor, groups: int) -> Tensor:
    """One small matrix product a frequency: (H, W // 2 + 1, g, N, C_out / g)."""
    x = xhat.unflatten(1, (groups, -1)).permute(3, 4, 1, 0, 2).contiguous()
    w = what.unflatten(0, (groups, -1)).permute(3, 4, 0, 1, 2).contiguous()
    return x @ w.mT  # (.., g, N, C_in / g) @ (.., g, C_in / g, C_out / g)


def _inverse_by_map(yhat: Tensor, width: int) -> Tensor:
    """Transform (H, W // 2 + 1, g, N, C_out / g) back to images (N, C_out, H, W).

    Along the height before the frequencies move behind the channels, along the width after: a third
    faster than both in one call. Each step lets go of the one before, which keeps the peak of
    memory low: fresh pages from the system cost as much as the transforms.
    """
    yhat = torch.fft.ifft(yhat, dim=0)
    yhat = yhat.permute(3, 2, 4, 0, 1).contiguous()
    return torch.fft.irfft(yhat, n=width).flatten(1, 2)


def _group_transfer(layer: nn.Conv2d, weight: Tensor, shape: tuple[int, int]) -> Tensor:
    """Transfer matrices of each group of channels: (H, W, g, C_out / g, C_in / g)."""
    kernel = _kernel_on_grid(layer, weight, shape)
    return torch.fft.fft2(kernel, dim=(0, 1)).conj().resolve_conj()


def _kernel_on_grid(layer: nn.Conv2d, weight: Tensor, shape: tuple[int, int]) -> Tensor:
    """Weights on the image, the tap that hits p itself at the origin.

    Returns (H, W, g, C_out / g, C_in / g).
    """
    rows, columns = (
        (torch.arange(side, device=weight.device) * dilation - dilation * (side - 1) // 2) % length
        for side, dilation, length in zip(layer.kernel_size, layer.dilation, shape, strict=True)
    )
    taps = weight.unflatten(0, (layer.groups, -1)).permute(3, 4, 0, 1, 2)
    grid = weight.new_zeros(*shape, *taps.shape[2:])
    return grid.index_put((rows[:, None], columns), taps)


def _spread_groups(blocks: Tensor) -> Tensor:
    """Block-diagonal matrices (H, W, C_out, C_in) from blocks (H, W, g, C_out / g, C_in / g)."""
    eye = torch.eye(blocks.shape[2], dtype=blocks.dtype, device=blocks.device)
    return torch.einsum("hwgoc,gk->hwgokc", blocks, eye).flatten(4, 5).flatten(2, 3)


def _check_layer(layer: object, shape: tuple[int, int]) -> None:
    """Refuse what is not block-diagonal in frequency on an image of this shape."""
    if not isinstance(layer, nn.Conv2d):
        raise TypeError(f"layer must be an nn.Conv2d, got {type(layer).__name__}")
    if layer.stride != (1, 1):
        raise ValueError(f"layer must have stride 1 (a stride aliases), got {layer.stride}")
    _check_padding(layer)
    _check_dtype(layer)
    if not torch.isfinite(layer.weight).all():
        bad = int((~torch.isfinite(layer.weight)).sum())
        raise ValueError(f"layer must have finite weights, got {bad} NaN or infinite ones")
    _check_fits(_extent(layer), shape)


def _extent(layer: nn.Conv2d) -> tuple[int, ...]:
    """Rows and columns that a kernel spans, gaps of a dilation included."""
    pairs = zip(layer.kernel_size, layer.dilation, strict=True)
    return tuple(dilation * (side - 1) + 1 for side, dilation in pairs)


def _autocast_dtype(weight: Tensor) -> torch.dtype | None:
    """Type that a convolution of these weights gives under autocast, which spares float64."""
    kind = weight.device.type
    if weight.dtype != torch.float32 or not torch.is_autocast_enabled(kind):
        return None
    return torch.get_autocast_dtype(kind)


def _check_dtype(layer: nn.Conv2d) -> None:
    if layer.weight.dtype not in REAL_DTYPES:
        raise TypeError(f"layer must have float32 or float64 weights, got {layer.weight.dtype}")


def _check_padding(layer: nn.Conv2d) -> None:
    """Require circular padding that keeps the size, or a kernel that needs none."""
    needed = [side - 1 for side in _extent(layer)]  # on both ends together
    padding = (0, 0) if layer.padding == "valid" else layer.padding
    if padding != "same" and [2 * int(pad) for pad in padding] != needed:
        raise ValueError(
            f"layer must keep the size of the image (padding='same'), got "
            f"padding={layer.padding!r} with kernel_size={layer.kernel_size}"
        )
    if any(needed) and layer.padding_mode != "circular":
        raise ValueError(
            "layer must have padding_mode='circular' (others are not block-diagonal in frequency), "
            f"got {layer.padding_mode!r}"
        )


def _as_sizes(sizes: object, name: str, axes: str, low: int = 1) -> tuple[int, ...]:
    """Four sizes, the first at least ``low`` and the others at least one."""
    if not isinstance(sizes, tuple | list) or len(sizes) != 4:
        raise ValueError(f"{name} must be {axes}, got {sizes!r}")
    first, *others = sizes
    return (
        as_integer(first, f"{name}[0]", low),
        *(as_integer(side, f"{name}[{axis}]", 1) for axis, side in enumerate(others, 1)),
    )


def _check_fits(extent: tuple[int, ...], shape: tuple[int, int]) -> None:
    if any(kernel > side for kernel, side in zip(extent, shape, strict=True)):
        raise ValueError(f"the kernel must fit into the image {shape}, got one of {extent}")
