"""Statements of the page "Zero padding"."""

import math

import pytest
import torch
from convolving import along_row, convolve, offsets, shift_matrix
from draws import noise
from matrices import dense, modes
from tolerances import ATOL, SIGMAS
from torch import nn

from freqsense import fourier, images, layers

TIGHT = ATOL[torch.float64]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("n", [5, 16, 17])
def test_eq_corner_leak(n, seed):
    weights = noise(3, seed=seed)
    pixels = torch.eye(n, dtype=torch.float64).reshape(n, 1, 1, n)
    padded = nn.Conv2d(1, 1, (1, 3), padding=(0, 1), bias=False).requires_grad_(False)
    padded.weight.data = weights[None, None, None]
    waves = modes((1, n))

    def leak(layer):
        matrix = layer(pixels).reshape(n, n).T.to(waves.dtype)
        rotated = (waves.conj().T @ matrix @ waves).abs().square()
        return rotated.sum(0) - rotated.diagonal()

    theta = 2 * torch.pi * fourier.frequencies((1, n))[1][0] / n
    back = weights[0] * torch.exp(-1j * theta) + weights[2] * torch.exp(1j * theta)
    theory = (weights[0] ** 2 + weights[2] ** 2) / n - back.abs().square() / n**2
    assert torch.allclose(leak(padded), theory, atol=TIGHT)
    assert leak(padded).min() > 1e-3
    assert leak(along_row(weights)).abs().max() < TIGHT


def test_a_zero_padded_layer_is_toeplitz_and_not_circulant():
    n = 9
    padded = nn.Conv2d(1, 1, (1, 3), padding=(0, 1), bias=False).requires_grad_(False).double()
    matrix = padded(torch.eye(n, dtype=torch.float64).reshape(n, 1, 1, n)).reshape(n, n).T
    assert torch.equal(matrix[1:, 1:], matrix[:-1, :-1])  # one value on each diagonal
    step = shift_matrix((1, n), 0, 1)
    assert (matrix @ step - step @ matrix).abs().max() > 0.01


SHAPES = [(8, 8), (9, 9), (8, 12), (7, 10)]


KERNELS = [(3, 3), (2, 4), (5, 1), (4, 3)]


each_shape = pytest.mark.parametrize("shape", SHAPES)


each_kernel = pytest.mark.parametrize("size", KERNELS)


def inside_share(size, shape):
    """Share of pixels p with p + s inside, for each tap: (ky, kx)."""
    sides = [
        1 - (torch.arange(k, dtype=torch.float64) - (k - 1) // 2).abs() / n
        for k, n in zip(size, shape, strict=True)
    ]
    return sides[0][:, None] * sides[1]


def frequency_matrix(run, shape):
    waves = modes(shape)
    return waves.conj().T @ dense(run, 1, shape).to(torch.complex128) @ waves


def off_share(matrix):
    squared = matrix.abs().square()
    return float(1 - squared.diagonal().sum() / squared.sum())


@each_shape
@each_kernel
def test_thm_border_leak(shape, size):
    x, w = noise(1, 1, *shape), noise(1, 1, *size, seed=1)
    difference = (convolve(x, w, "circular") - convolve(x, w, "constant"))[0, 0]
    expected = torch.zeros(shape, dtype=torch.float64)
    for weight, (sy, sx) in zip(w.flatten(), offsets(size), strict=True):
        for py in range(shape[0]):
            for px in range(shape[1]):
                y, z = py + sy, px + sx
                if not (0 <= y < shape[0] and 0 <= z < shape[1]):
                    expected[py, px] += weight * x[0, 0, y % shape[0], z % shape[1]]
    assert torch.allclose(difference, expected, atol=TIGHT)
    up, left = (size[0] - 1) // 2, (size[1] - 1) // 2
    interior = difference[up : shape[0] - size[0] + up + 1, left : shape[1] - size[1] + left + 1]
    assert interior.abs().max() < TIGHT
    assert difference.abs().max() > 0.1  # and the border does differ


@pytest.mark.parametrize("size", [(3, 3), (5, 2)])
def test_thm_border_leak_mean_square_on_white_noise(size):
    shape, n = (7, 10), 20_000
    x, w = noise(n, 1, *shape), noise(1, 1, *size, seed=1)
    difference = convolve(x, w, "circular") - convolve(x, w, "constant")
    measured = difference.square().mean((0, 1))
    stays = convolve(torch.ones(1, 1, *shape, dtype=torch.float64), w.square(), "constant")[0, 0]
    predicted = w.square().sum() - stays
    # The difference is Gaussian: its square has a standard deviation of √2 times its mean.
    assert ((measured - predicted).abs() <= SIGMAS * predicted * math.sqrt(2 / n) + TIGHT).all()
    assert predicted.max() > 0.5 and predicted.min() < TIGHT


@pytest.mark.parametrize("size", [(3, 3), (2, 4)])
def test_thm_border_leak_reaches_as_far_as_the_layers_add_up(size):
    shape, n_layers = (21, 24), 3
    outputs = {}
    for mode in ("circular", "constant"):
        x = noise(2, 1, *shape)
        for seed in range(n_layers):
            x = convolve(x, noise(1, 1, *size, seed=seed + 1), mode).relu()
        outputs[mode] = x
    difference = (outputs["circular"] - outputs["constant"]).abs().amax((0, 1))
    near = [n_layers * ((k - 1) // 2) for k in size]
    far = [n - n_layers * (k - 1 - (k - 1) // 2) for n, k in zip(shape, size, strict=True)]
    assert difference[near[0] : far[0], near[1] : far[1]].max() < TIGHT
    assert difference[:, : near[1]].max() > 1e-3  # the margin is reached
    assert difference[: far[0], far[1]].max() > 1e-3  # and not by one pixel less


@each_shape
@each_kernel
def test_def_frequency_matrix(shape, size):
    w = noise(1, 1, *size)
    layer = layers.CircularConv2d(1, 1, size, bias=False).double()
    layer.weight.data.copy_(w)
    x = noise(3, 1, *shape, seed=1)
    for mode in ("circular", "constant"):
        matrix = frequency_matrix(lambda x, mode=mode: convolve(x, w, mode), shape)
        xhat = fourier.fft2(x).flatten(1)
        yhat = fourier.fft2(convolve(x, w, mode)).flatten(1)
        assert torch.allclose(xhat @ matrix.T, yhat, atol=TIGHT)
        if mode == "circular":  # the control: nothing off the diagonal
            transfer = layers.transfer_function(layer, shape)[..., 0, 0].flatten()
            assert torch.allclose(matrix, torch.diag(transfer), atol=TIGHT)
            assert abs(off_share(matrix)) < TIGHT
        else:
            assert off_share(matrix) > 0.01


@each_shape
@each_kernel
def test_thm_border_share(shape, size):
    w, c = noise(1, 1, *size), inside_share(size, shape)
    matrix = frequency_matrix(lambda x: convolve(x, w, "constant"), shape)
    tapered = frequency_matrix(lambda x: convolve(x, w * c, "circular"), shape)
    assert torch.allclose(torch.diag(matrix.diagonal()), tapered, atol=TIGHT)
    predicted = float((w.square() * c * (1 - c)).sum() / (w.square() * c).sum())
    assert abs(off_share(matrix) - predicted) < TIGHT
    # No other circular kernel is nearer; the plain one in particular is not.
    plain = frequency_matrix(lambda x: convolve(x, w, "circular"), shape)
    assert (matrix - tapered).norm() < (matrix - plain).norm() - 1e-6


@pytest.mark.parametrize("k", [3, 5, 9])
def test_thm_border_share_is_perimeter_over_area(k):
    errors = []
    for n in (64, 128, 256):
        c = inside_share((k, k), (n, n))
        exact = float((c * (1 - c)).sum() / c.sum())
        errors.append(abs(exact - (k**2 - 1) / (2 * k * n)) * n**2 / k**2)
    assert max(errors) < 1  # O(k² / n²), with a constant below 1
    assert inside_share((1, 1), (64, 64)).item() == 1  # one tap in the middle leaks nothing


@pytest.mark.parametrize("seed", range(3))
def test_eq_image_share(seed):
    n, k = 12, 3
    x = images.gaussian_field(1, shape=(n, n), alpha=2.0, seed=seed).double()
    x = x * torch.linspace(-2, 2, n, dtype=torch.float64).square()  # most of it near two borders
    c, total = inside_share((k, k), (n, n)), x.square().sum()
    wrong = kept = 0
    for share, (sy, sx) in zip(c.flatten(), offsets((k, k)), strict=True):
        rows, columns = (slice(max(s, 0), n + min(s, 0)) for s in (sy, sx))
        reached = x[..., rows, columns].square().sum()
        wrong += (1 - share) ** 2 * reached + share**2 * (total - reached)
        kept += reached
    w = noise(40_000, 1, k, k, seed=seed)
    y = convolve(x, w, "constant")
    off = y - convolve(x, w * c, "circular")
    assert abs(off.square().sum() / y.square().sum() / (wrong / kept) - 1) < 0.05
    white = float((c * (1 - c)).sum() / c.sum())
    assert abs(wrong / kept / white - 1) > 0.05  # not the law of white noise


def stays(shape, stride):
    """The frequencies of the new grid: bool (H, W)."""
    ky, kx = fourier.frequencies(shape)
    found = torch.ones(shape, dtype=torch.bool)
    for k, n, f in zip((ky, kx), shape, stride, strict=True):
        found &= (k >= -(n // f // 2)) & (k < (n // f + 1) // 2)
    return found


def transfer(w, shape):
    layer = layers.CircularConv2d(*w.shape[1::-1], tuple(w.shape[-2:]), bias=False).double()
    layer.weight.data.copy_(w)
    return layers.transfer_function(layer, shape).detach()
