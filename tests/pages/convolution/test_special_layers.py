"""Statements of the page "Depthwise, grouped and separable layers"."""

import math

import pytest
import torch
from convolving import make_layer
from tolerances import ATOL

from freqsense import fourier, layers

TIGHT = ATOL[torch.float64]


def test_what_special_layers_can_do_is_seen_in_their_matrices():
    shape = (6, 7)
    mixing, full = make_layer(4, 5, 1), make_layer(4, 4, 3)
    depthwise, grouped = make_layer(4, 4, 3, groups=4), make_layer(4, 4, 3, groups=2)
    T = layers.transfer_function(mixing, shape)
    assert torch.allclose(T, mixing.weight[..., 0, 0].to(T.dtype), atol=TIGHT)
    T = layers.transfer_function(depthwise, shape)
    diagonal = torch.diag_embed(T.diagonal(dim1=-2, dim2=-1))
    assert torch.allclose(T, diagonal, atol=TIGHT)
    T = layers.transfer_function(grouped, shape)
    assert T[..., :2, 2:].abs().max() < TIGHT < T[..., :2, :2].abs().min()
    # A separable layer sends an input channel along one vector at all frequencies; a full one not.
    separable = layers.transfer_function(mixing, shape) @ layers.transfer_function(depthwise, shape)
    for matrices, rank in [(separable, 1), (layers.transfer_function(full, shape), 4)]:
        column = matrices[..., 0].flatten(0, 1)  # (D, C_out)
        assert torch.linalg.matrix_rank(column) == rank


@pytest.mark.parametrize("shape", [(8, 8), (9, 7)])
@pytest.mark.parametrize("kernel", [3, 4, (2, 5)])
def test_eq_transfer_of_kernel(shape, kernel):
    layer = make_layer(3, 2, kernel)
    what = math.sqrt(math.prod(shape)) * torch.fft.fft2(layer.weight, s=shape, norm="ortho").conj()
    ky, kx = fourier.frequencies(shape)
    offset = [(side - 1) // 2 for side in layer.kernel_size]
    turns = ky * offset[0] / shape[0] + kx * offset[1] / shape[1]
    found = (what * torch.exp(-2j * torch.pi * turns)).permute(2, 3, 0, 1)
    assert torch.allclose(found, layers.transfer_function(layer, shape), atol=TIGHT)
    assert not torch.allclose(what.permute(2, 3, 0, 1), found, atol=1e-3)  # the phase matters
