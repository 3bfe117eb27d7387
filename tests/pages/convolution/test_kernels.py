"""Statements of the page "Kernels: flips, offsets and conventions"."""

import math

import pytest
import torch
from convolving import along_row, make_layer
from draws import noise
from tolerances import ATOL

from freqsense import fourier, images, layers
from freqsense.spectra import fit_power_law, power_spectrum

TIGHT = ATOL[torch.float64]


SHAPES = [(1, 8), (1, 9), (4, 4), (3, 5), (4, 3), (2, 6)]


@pytest.mark.parametrize("shape", SHAPES)
def test_thm_convolution_flip(shape):
    w, x, u = (noise(*shape, seed=seed) for seed in range(3))

    def convolve(w, x):
        """Sum over q of w[q] x[p - q], from the definition."""
        moved = [w[a, b] * x.roll((a, b), (0, 1)) for a in range(shape[0]) for b in range(shape[1])]
        return sum(moved)

    root = math.sqrt(w.numel())
    product = root * fourier.fft2(w) * fourier.fft2(x)
    assert torch.allclose(fourier.fft2(convolve(w, x)), product, atol=TIGHT)
    assert torch.allclose(convolve(w, x), convolve(x, w), atol=TIGHT)
    both = convolve(u, convolve(w, x)), convolve(convolve(u, w), x)
    assert torch.allclose(*both, atol=TIGHT)
    # Cross-correlation has the conjugate instead, and its order matters.
    flipped = w.flip(0, 1).roll((1, 1), (0, 1))  # w[-q]
    other = root * fourier.fft2(w).conj() * fourier.fft2(x)
    assert torch.allclose(fourier.fft2(convolve(flipped, x)), other, atol=TIGHT)
    assert not torch.allclose(product, other, atol=0.1)


@pytest.mark.parametrize("n", [16, 15])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 6])
def test_eq_box_transfer(n, k):
    layer = along_row(torch.full((k,), 1 / k, dtype=torch.float64))
    found = layers.transfer_function(layer, (1, n))[0, 1:, 0, 0]
    f = fourier.frequencies((1, n))[1][0, 1:] / n
    real = torch.sin(torch.pi * k * f) / (k * torch.sin(torch.pi * f))
    theory = torch.exp(1j * torch.pi * (1 - k % 2) * f) * real
    assert torch.allclose(found, theory, atol=TIGHT)
    if k % 2 == 0:  # the half pixel is there
        assert not torch.allclose(found.imag, torch.zeros(n - 1, dtype=torch.float64), atol=0.01)


@pytest.mark.parametrize("shape", [(8, 8), (9, 7), (6, 11)])
def test_eq_three_transfers(shape):
    ky, kx = fourier.frequencies(shape)
    step_y, step_x = 2 * torch.pi * ky / shape[0], 2 * torch.pi * kx / shape[1]
    binomial = torch.tensor([1, 2, 1], dtype=torch.float64) / 4
    cosines = torch.cos(step_y / 2) * torch.cos(step_x / 2)
    hills = torch.sin(step_y / 2).square() + torch.sin(step_x / 2).square()
    cases = [
        (torch.outer(binomial, binomial), cosines**2 + 0j),
        (torch.tensor([[-0.5, 0, 0.5]]), 1j * torch.sin(step_x)),
        (torch.tensor([[0.0, -1, 0], [-1, 5, -1], [0, -1, 0]]), 1 + 4 * hills + 0j),
    ]
    for kernel, theory in cases:
        layer = layers.CircularConv2d(1, 1, tuple(kernel.shape), bias=False)
        layer.weight.data = kernel.double()[None, None]
        assert torch.allclose(layers.transfer_function(layer, shape)[..., 0, 0], theory, atol=TIGHT)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_edge_filters_lower_the_exponent_by_nearly_two_whatever_the_image(seed):
    edge = torch.tensor([[-0.5, 0, 0.5]], dtype=torch.float64)
    for alpha in (1.0, 2.0, 3.0):
        x = images.gaussian_field(40, shape=(128, 128), alpha=alpha, seed=seed).double()
        power = power_spectrum(x).values[0]
        after = 0
        for kernel in (edge, edge.T):
            layer = layers.CircularConv2d(1, 1, tuple(kernel.shape), bias=False)
            layer.weight.data = kernel[None, None].contiguous()
            after = after + power_spectrum(layer.requires_grad_(False)(x)).values[0]
        before, then = (
            fit_power_law(fourier.radial_average(p), fmin=4, fmax=12).alpha for p in (power, after)
        )
        assert 1.85 < before - then < 2


def test_undoing_a_blur_enlarges_noise_as_predicted():
    taps = torch.tensor([1, 2.1, 1], dtype=torch.float64) / 4.1
    blur = layers.CircularConv2d(1, 1, 3, bias=False).requires_grad_(False)
    blur.weight.data = torch.outer(taps, taps)[None, None]
    shape = (96, 75)
    T = layers.transfer_function(blur, shape)[..., 0, 0]
    x = noise(20, 1, *shape)
    noisy = blur(x) + 0.01 * noise(20, 1, *shape, seed=1)
    error = (fourier.ifft2(fourier.fft2(noisy) / T).real - x).square().mean()
    predicted = 0.01**2 * (T.abs() ** -2).mean()
    assert abs(error / predicted - 1) < 0.05
    exact = fourier.ifft2(fourier.fft2(blur(x)) / T).real
    assert torch.allclose(exact, x, atol=TIGHT)


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
