"""Statements of the page "The convolution theorem"."""

import pytest
import torch
from convolving import along_row
from draws import noise
from tolerances import ATOL

from freqsense import fourier, layers

TIGHT = ATOL[torch.float64]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("n", "k"), [(12, 3), (12, 4), (9, 2), (7, 7)])
def test_eq_cosine_response(n, k, seed):
    layer, place = along_row(noise(k, seed=seed)), torch.arange(n).double()
    transfer = layers.transfer_function(layer, (1, n))[0, :, 0, 0]
    for frequency in range(n // 2 + 1):
        angle = 2 * torch.pi * frequency * place / n
        found = layer(torch.cos(angle)[None, None, None])[0, 0, 0]
        T = transfer[frequency]
        assert torch.allclose(found, T.abs() * torch.cos(angle + T.angle()), atol=TIGHT)


@pytest.mark.parametrize("shape", [(8, 8), (9, 6)])
def test_eq_filtered_power(shape):
    x, kernel = noise(1, 1, *shape), noise(3, 3, seed=1)
    layer = layers.CircularConv2d(1, 1, 3, bias=False).requires_grad_(False)
    layer.weight.data = kernel[None, None]
    T = layers.transfer_function(layer, shape)[..., 0, 0]
    before, after = (fourier.fft2(z)[0, 0].abs().square() for z in (x, layer(x)))
    assert torch.allclose(after, T.abs().square() * before, atol=TIGHT)
    # Each tap brings its phase: the sum that the page gives for T.
    ky, kx = fourier.frequencies(shape)
    turns = [(a - 1) * ky / shape[0] + (b - 1) * kx / shape[1] for a in range(3) for b in range(3)]
    phases = torch.stack([torch.exp(2j * torch.pi * turn) for turn in turns])
    found = (kernel.flatten()[:, None, None] * phases).sum(0)
    assert torch.allclose(found, T, atol=TIGHT)
