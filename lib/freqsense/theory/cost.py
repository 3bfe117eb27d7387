"""Representation cost: the least sum of squared weights that realises an end-to-end map."""

from typing import cast

import torch
from torch import Tensor, nn

from freqsense._checks import as_integer
from freqsense._memory import check_memory
from freqsense.fourier import fft2, ifft2, rings
from freqsense.layers import transfer_function
from freqsense.theory._inputs import as_depth, as_map

__all__ = ["end_to_end", "realize", "representation_cost"]


def end_to_end(model: nn.Module) -> Tensor:
    r"""End-to-end map of a linear CNN: one small matrix per frequency.

    .. math:: B(\omega) = \overline{\hat u(\omega)}\, T_{L-1}(\omega) \cdots T_1(\omega), \qquad
        f(x) = \sum_\omega B(\omega)\, \hat x(\omega)

    Definition ``def-end-to-end`` and theorem ``thm-end-to-end`` of the book. Gradients flow to the
    weights.

    Parameters
    ----------
    model : a linear CNN as made by ``models.linear_cnn``: ``convolutions`` (circular, stride 1, no
        bias), then a linear ``head`` (K, C, H, W) on images of ``shape`` (C, H, W).

    Returns
    -------
    complex tensor (H, W, K, C), in the order of :func:`.fft2`.

    Raises
    ------
    TypeError, ValueError
        If the model is no such linear CNN.

    Source
    ------
    Gunasekar, Lee, Soudry and Srebro (2018), arXiv 1806.00468.

    Examples
    --------
    >>> import torch
    >>> from freqsense import theory
    >>> model = torch.nn.Module()                 # depth 1: no convolution, a linear head alone
    >>> model.convolutions, model.shape = torch.nn.ModuleList(), (3, 8, 8)
    >>> model.head = torch.nn.Parameter(torch.ones(1, 3, 8, 8))
    >>> theory.end_to_end(model)[0, 0].abs().tolist()
    [[8.0, 8.0, 8.0]]
    """
    convolutions, head, shape = _linear_parts(model)
    product = fft2(head).conj().permute(2, 3, 0, 1)  # (H, W, K, C_{L-1})
    for layer in reversed(convolutions):
        product = product @ transfer_function(layer, shape)
    return product


def representation_cost(B: Tensor, depth: int) -> float:
    r"""Smallest sum of squared weights with which a linear CNN can realise an end-to-end map.

    .. math:: R_L(B) = L\, D^{-(L-1)/L} \sum_\omega \|B(\omega)\|_{S_{2/L}}^{2/L}

    Theorem ``thm-representation-cost`` of the book: S_p is the Schatten norm of the singular
    values, the Euclidean norm over channels when there is one output. It holds for full-size
    kernels and hidden widths of at least min(K, C); :func:`realize` attains it.

    Parameters
    ----------
    B : (H, W, K, C), Hermitian: B(-ω) is the conjugate of B(ω).
    depth : L, number of layers with weights, the head included.

    Returns
    -------
    float, in squared weights.

    Raises
    ------
    TypeError, ValueError
        If B is no finite, Hermitian (H, W, K, C) map, or the depth is below 1.

    Source
    ------
    Dai, Karzand and Srebro (2021), openreview.net/forum?id=3oQyjABdbC8; arXiv 2210.01257.

    Examples
    --------
    >>> import torch
    >>> from freqsense import theory
    >>> B = torch.ones(4, 4, 1, 1)
    >>> theory.representation_cost(B, 1), theory.representation_cost(B, 2)
    (16.0, 8.0)
    """
    B, depth = as_map(B), as_depth(depth)
    n_pixels = B.shape[0] * B.shape[1]
    penalty = _singular_values(B).pow(2 / depth).sum().item()
    return depth * n_pixels ** (1 / depth - 1) * penalty


def realize(B: Tensor, depth: int, *, width: int) -> list[Tensor]:
    r"""Weights of a linear CNN that realise a map at the smallest sum of squares.

    .. math:: B = U S V^*, \qquad T_1 = D^{1/2L} S^{1/L} V^*, \quad T_l = D^{1/2L} S^{1/L},
        \quad \overline{\hat u} = D^{-(L-1)/2L}\, U S^{1/L}

    Equation ``eq-balanced-weights`` of the book: the factors of the singular value decomposition,
    balanced, frequency by frequency, attain theorem ``thm-representation-cost``.

    Parameters
    ----------
    B : (H, W, K, C), Hermitian: B(-ω) is the conjugate of B(ω).
    depth : L >= 1.
    width : channels of all hidden layers, at least min(K, C).

    Returns
    -------
    list of L real float64 tensors: kernels (C_out, C_in, H, W) of full-size circular convolutions,
    first layer first, then the head (K, C_last, H, W).

    Raises
    ------
    TypeError, ValueError
        If B is no finite, Hermitian map, or the width is below min(K, C), where some maps cannot be
        realised at all.

    Examples
    --------
    >>> import torch
    >>> from freqsense import fourier, theory
    >>> B = fourier.fft2(torch.rand(1, 2, 4, 4, dtype=torch.float64)).permute(2, 3, 0, 1)
    >>> weights = theory.realize(B, 3, width=1)
    >>> cost = sum(w.square().sum().item() for w in weights)
    >>> abs(cost - theory.representation_cost(B, 3)) < 1e-12
    True
    """
    B, depth = as_map(B), as_depth(depth)
    height, columns, n_outputs, n_channels = B.shape
    rank = min(n_outputs, n_channels)
    if as_integer(width, "width", 1) < rank and depth > 1:
        raise ValueError(
            f"width must be at least min(K, C) = {rank}, got {width}: the theorem needs hidden "
            "layers wide enough for every map"
        )
    n_weights = (n_channels + (depth - 2) * width + n_outputs) * width if depth > 1 else 0
    check_memory(8 * height * columns * n_weights, f"a network of {depth} layers")
    sizes = [n_channels, *[width] * (depth - 1), n_outputs]
    scale = (height * columns) ** ((1 / depth - 1) / 2)
    weights = []
    for layer, factor in enumerate(_balanced_factors(B, depth)):
        padded = B.new_zeros(height, columns, sizes[layer + 1], sizes[layer])
        padded[..., : factor.shape[-2], : factor.shape[-1]] = scale * factor.conj()
        weights.append(ifft2(padded.permute(2, 3, 0, 1)).real)
    ahead = ((height - 1) // 2, (columns - 1) // 2)  # the tap of a convolution that hits p itself
    return [*(w.roll(ahead, (-2, -1)) for w in weights[:-1]), weights[-1]]


def _linear_parts(model: nn.Module) -> tuple[list[nn.Conv2d], Tensor, tuple[int, int]]:
    """Convolutions, head and image size (H, W) of a linear CNN, or say why it is none."""
    layers, head, shape = (getattr(model, n, None) for n in ("convolutions", "head", "shape"))
    if not isinstance(layers, nn.ModuleList) or not isinstance(head, Tensor) or shape is None:
        raise TypeError(
            "model must be a linear CNN with convolutions, head and shape, as made by "
            f"models.linear_cnn, got {type(model).__name__}"
        )
    others = {type(m).__name__ for m in model.modules() if m not in {model, layers, *layers}}
    if others:
        raise ValueError(f"model must be convolutions and a linear head, got also {others}")
    biased = [i for i, layer in enumerate(layers) if getattr(layer, "bias", None) is not None]
    if biased:
        raise ValueError(f"the convolutions of a linear CNN must have no bias, got one in {biased}")
    last = layers[-1].out_channels if layers else shape[0]
    if head.ndim != 4 or tuple(head.shape[1:]) != (last, *shape[1:]):
        expected = ("K", last, *shape[1:])
        raise ValueError(f"head must have shape {expected}, got {tuple(head.shape)}")
    # Whatever else may be among the layers, transfer_function refuses.
    return cast(list[nn.Conv2d], list(layers)), head, (shape[1], shape[2])


def _singular_values(B: Tensor) -> Tensor:
    """Singular values of matrices (..., K, C); of a row or a column its Euclidean norm."""
    if min(B.shape[-2:]) == 1:
        return torch.linalg.vector_norm(B, dim=(-2, -1))[..., None]
    return torch.linalg.svdvals(B)


def _balanced_factors(B: Tensor, depth: int) -> list[Tensor]:
    """Factors S^(1/L) V*, S^(1/L), ..., U S^(1/L) of B, conjugate at -ω: B = last ... first."""
    if depth == 1:
        return [B]
    ring = rings((B.shape[0], B.shape[1]))
    flat = B.flatten(0, 1)  # (D, K, C)
    u, sigma, vh = torch.linalg.svd(flat, full_matrices=False)
    own = ring.mirror == torch.arange(len(flat))  # real matrices, to be factored as such
    real_u, _, real_vh = torch.linalg.svd(flat[own].real, full_matrices=False)
    u[own], vh[own] = real_u.to(u.dtype), real_vh.to(vh.dtype)
    other = ~ring.half
    u[other], vh[other] = u[ring.mirror[other]].conj(), vh[ring.mirror[other]].conj()
    shared = sigma.pow(1 / depth).to(B.dtype).diag_embed()  # (D, rank, rank)
    factors = [shared @ vh, *[shared] * (depth - 2), u @ shared]
    return [factor.unflatten(0, B.shape[:2]) for factor in factors]
