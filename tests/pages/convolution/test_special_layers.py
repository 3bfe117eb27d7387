"""Statements of the page "Depthwise, grouped and separable layers"."""

import torch
from convolving import make_layer
from tolerances import ATOL

from freqsense import layers

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
