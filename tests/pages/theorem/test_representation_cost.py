"""Statements of the page on the representation cost."""

import math

import pytest
import torch
from draws import noise
from tolerances import ATOL

from freqsense import fourier, layers, models, theory

TIGHT = ATOL[torch.float64]
SHAPES = [(6, 6), (5, 5), (4, 7)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_def_linear_cnn(depth, shape):
    model = models.linear_cnn(depth, width=3, shape=(2, *shape), n_outputs=2).double()
    x = noise(4, 2, *shape)
    hidden = x.flatten(1)
    for layer in model.convolutions:  # as dense matrices, without a Fourier transform
        assert layer.bias is None and tuple(layer.weight.shape[-2:]) == shape
        hidden = hidden @ layers.circulant_matrix(layer, shape).T
    assert torch.allclose(model(x), hidden @ model.head.flatten(1).T, atol=TIGHT)
    assert len(model.convolutions) == depth - 1
    narrower = models.linear_cnn(depth, width=2, shape=(2, *shape), n_outputs=2, seed=1).double()
    assert not torch.allclose(model(x), narrower(x), atol=1e-3)


@pytest.mark.parametrize("shape", [(24, 24), (9, 12)])
def test_few_frequencies_are_cheap_from_depth_two_on(shape):
    """Of pixel weights of length 1, a wave costs least, then a blurred pixel, then a sharp one."""
    pixel, blur = torch.zeros(2, *shape, dtype=torch.float64)
    pixel[0, 0] = 1
    once = torch.tensor([1.0, 2.0, 1.0]).double()
    blur[:3, :3] = once[:, None] * once
    wave = fourier.fourier_mode(shape, 2, 3).real
    costs = {}
    for name, weights in (("pixel", pixel), ("blur", blur), ("wave", wave)):
        B = fourier.fft2(weights / weights.norm()).conj()[..., None, None]
        costs[name] = [theory.representation_cost(B, depth) for depth in (1, 2, 3)]
        assert abs(costs[name][0] - 1) < TIGHT
    for at in (1, 2):
        assert costs["pixel"][at] > 1.2 * costs["blur"][at] > 1.2**2 * costs["wave"][at]
    assert abs(costs["wave"][1] - 2 * (2 / math.prod(shape)) ** 0.5) < TIGHT
