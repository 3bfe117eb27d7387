"""Statements of the page "Norms of layers, and clipping them"."""

import math

import pytest
import torch
from convolving import kernel_of, make_layer, transfer_of
from draws import noise
from tolerances import ATOL

from freqsense import layers

TIGHT = ATOL[torch.float64]


SHAPES = [(8, 8), (9, 7), (7, 10)]


KERNELS = [3, 4, (2, 5)]


def clip(transfer, c):
    u, s, vh = torch.linalg.svd(transfer, full_matrices=False)
    return (u * s.clamp(max=c)[..., None, :]) @ vh


def largest(transfer):
    return float(torch.linalg.matrix_norm(transfer, 2).max())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("channels", [(1, 1), (2, 5), (5, 2)])
def test_thm_reshape_bound(shape, kernel, channels):
    for seed in range(3):
        layer = make_layer(*channels, kernel, seed=seed)
        reshaped = layer.weight.flatten(1)
        transfer = layers.transfer_function(layer, shape)
        mean = (transfer @ transfer.mH).mean((0, 1))
        assert torch.allclose(mean.real, reshaped @ reshaped.T, atol=TIGHT)
        assert mean.imag.abs().max() < TIGHT
        shortcut = float(torch.linalg.matrix_norm(reshaped, 2))
        ratio = layers.spectral_norm(layer, shape) / shortcut
        assert 1 + 1e-3 < ratio < math.sqrt(math.prod(layer.kernel_size)) - 1e-3


@pytest.mark.parametrize("shape", SHAPES)
def test_thm_reshape_bound_is_sharp(shape):
    layer = make_layer(2, 3, 3)
    taps = layer.weight.clone()
    layer.weight.zero_()[..., 1, 2] = taps[..., 0, 0]
    shortcut = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
    assert abs(layers.spectral_norm(layer, shape) - shortcut) < TIGHT
    blur = make_layer(1, 1, (2, 5))
    blur.weight.fill_(1 / 10)
    shortcut = torch.linalg.matrix_norm(blur.weight.flatten(1), 2)
    assert abs(layers.spectral_norm(blur, shape) - math.sqrt(10) * shortcut) < TIGHT


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels", [(1, 1), (3, 4), (4, 3)])
def test_thm_clip_projection(shape, channels):
    kernel = noise(channels[1], channels[0], *shape)
    transfer = transfer_of(kernel)
    c = largest(transfer) / 2
    clipped = kernel_of(clip(transfer, c))
    assert clipped.imag.abs().max() < TIGHT
    clipped = clipped.real
    assert abs(largest(transfer_of(clipped)) - c) < TIGHT
    distance = (kernel - clipped).norm()
    for seed in range(20):  # no other layer of that norm is as close
        step = 0.1 * distance * noise(*kernel.shape, seed=seed)
        other = kernel_of(clip(transfer_of(clipped + step / step.norm()), c)).real
        assert largest(transfer_of(other)) < c + TIGHT
        assert (kernel - other).norm() > distance
    scaled = kernel * c / largest(transfer)
    assert (kernel - scaled).norm() > distance + 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_cutting_a_clipped_kernel_breaks_the_bound_and_rounds_mend_it(seed):
    shape, k = (12, 15), 3
    whole = torch.zeros(4, 3, *shape, dtype=torch.float64)
    whole[..., :k, :k] = noise(4, 3, k, k, seed=seed)
    c = largest(transfer_of(whole)) / 2
    norms = []
    for _ in range(40):
        clipped = kernel_of(clip(transfer_of(whole), c)).real
        whole = torch.zeros_like(whole)
        whole[..., :k, :k] = clipped[..., :k, :k]
        norms.append(largest(transfer_of(whole)) / c)
    assert norms[0] > 1.1
    assert all(norm > 1 for norm in norms)  # from outside, always
    assert norms[-1] < 1.02
