"""Statements of the page "Small kernels"."""

import math

import pytest
import torch
from convolving import along_row, convolve, offsets
from draws import noise
from tolerances import ATOL, SIGMAS
from torch.nn.functional import conv2d, pad

from freqsense import fourier, layers

TIGHT = ATOL[torch.float64]


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_eq_gaussian_transfer(sigma):
    n = 128
    reach = math.ceil(9 * sigma)
    taps = torch.exp(-torch.arange(-reach, reach + 1).double().square() / (2 * sigma**2))
    found = layers.transfer_function(along_row(taps / taps.sum()), (1, n))[0, :, 0, 0].real
    f = (fourier.frequencies((1, n))[1][0] / n).double()

    def gaussian(f):
        return torch.exp(-2 * torch.pi**2 * sigma**2 * f.square())

    copies = sum(gaussian(f + j) for j in range(-4, 5))
    assert torch.allclose(found, copies / copies[0], atol=TIGHT)  # sampling, exactly
    misfit = (found - gaussian(f)).abs().max()
    assert misfit < 0.02 if sigma >= 1 else misfit > 0.1


SHAPES = [(8, 8), (9, 9), (8, 12), (7, 10)]


KERNELS = [(3, 3), (2, 4), (5, 1), (4, 3)]


each_shape = pytest.mark.parametrize("shape", SHAPES)


each_kernel = pytest.mark.parametrize("size", KERNELS)


@each_kernel
def test_thm_kernel_samples(size):
    w = noise(1, 1, *size)
    shape = (5 * size[0], 3 * size[1])
    layer = layers.CircularConv2d(1, 1, size, bias=False).double()
    layer.weight.data.copy_(w)
    T = layers.transfer_function(layer, shape)[..., 0, 0].detach()
    samples = T[::5, ::3]  # every (n / k)-th frequency: (ky, kx)
    back = torch.zeros(size, dtype=torch.complex128)
    for at, (sy, sx) in enumerate(offsets(size)):
        jy, jx = torch.meshgrid(*(torch.arange(k) for k in size), indexing="ij")
        phase = torch.exp(-2j * torch.pi * (sy * jy / size[0] + sx * jx / size[1]))
        back.view(-1)[at] = (samples * phase).mean()
    assert torch.allclose(back, w[0, 0].to(back.dtype), atol=TIGHT)
    # One tap more, and the samples do not determine it: this kernel vanishes at all of them.
    unseen = torch.zeros(shape, dtype=torch.float64)
    unseen[0, 0], unseen[0, size[1]] = 1, -1
    T = torch.fft.fft2(unseen)
    assert T[::5, ::3].abs().max() < TIGHT < T.abs().max()


@pytest.mark.parametrize("k", [2, 3, 4, 7, 12])
def test_thm_bernstein(k):
    t = torch.arange(k, dtype=torch.float64) - (k - 1) / 2
    theta = 2 * torch.pi * torch.arange(4096, dtype=torch.float64) / 4096
    waves = torch.exp(1j * theta[:, None] * t)
    extreme = torch.zeros(1, k, dtype=torch.float64)
    extreme[0, [0, -1]] = 0.5
    for w in (noise(400, k), noise(400, k, seed=1).cumsum(1)):
        T, slope = (z @ w.T.to(z.dtype) for z in (waves, 1j * waves * t))
        # The maximum on a fine grid is a little below the true one.
        assert (slope.abs().amax(0) <= (k - 1) / 2 * T.abs().amax(0) * (1 + 1e-4)).all()
    T, slope = (z @ extreme.T.to(z.dtype) for z in (waves, 1j * waves * t))
    assert abs(float(slope.abs().max() / T.abs().max()) - (k - 1) / 2) < 1e-5  # attained
    # Around its maximum no modulus falls faster than a cosine, so that zero is π/(k - 1) away.
    for w in (noise(400, k), noise(400, k, seed=1).cumsum(1)):
        T = (waves @ w.T.to(waves.dtype)).abs()
        top = T.argmax(0)
        away = (torch.arange(len(theta))[:, None] - top) % len(theta)  # steps from the maximum
        away = torch.minimum(away, len(theta) - away) * (2 * torch.pi / len(theta))
        floor = T.amax(0) * ((k - 1) / 2 * away).cos()
        assert (T >= floor - 1e-3 * T.amax(0))[away < torch.pi / (k - 1)].all()
    edge = torch.exp(1j * torch.pi / (k - 1) * t) @ extreme.T.to(waves.dtype)
    assert float(edge.abs().max()) < TIGHT  # the outer taps reach it
    off_centre = 1j * waves * (t + k) @ extreme.T.to(waves.dtype)
    assert float(off_centre.abs().max()) > (k - 1) / 2 + 0.1  # only the centred T obeys


def test_thm_bernstein_interpolation_formula():
    q, terms = 2.5, 200_000
    j = torch.arange(terms, dtype=torch.float64)
    c = 4 * q / math.pi**2 * (1 - 2 * (j % 2)) / (2 * j + 1) ** 2
    h = (2 * j + 1) * math.pi / (2 * q)
    for t in (-2.5, -1.0, 0.5, 2.0):
        total = (2 * c * torch.sin(t * h)).sum()
        assert abs(float(total) - t) < 4 * q / math.pi**2 / terms  # the rest of the series
    assert abs(float(2 * c.abs().sum()) - q) < 4 * q / math.pi**2 / terms


def band_matrix(size, band):
    ky, kx = (k[band] for k in fourier.frequencies(tuple(band.shape)))
    sy, sx = torch.tensor(offsets(size), dtype=torch.float64).T
    angle = (
        2
        * torch.pi
        * (
            ky[:, None, None] * (sy[:, None] - sy) / band.shape[0]
            + kx[:, None, None] * (sx[:, None] - sx) / band.shape[1]
        )
    )
    return torch.cos(angle).sum(0) / band.numel()


def transfer(w, shape):
    layer = layers.CircularConv2d(*w.shape[1::-1], tuple(w.shape[-2:]), bias=False).double()
    layer.weight.data.copy_(w)
    return layers.transfer_function(layer, shape).detach()


def band_share(T, band):
    power = T.abs().square().flatten(2).sum(-1)
    return float(power[band].sum() / power.sum())


@each_shape
@pytest.mark.parametrize("size", [(3, 3), (2, 4), (5, 1)])
def test_def_band_share(shape, size):
    band = fourier.radial_mask(shape, 1.5, 3)
    w, n = noise(1, 1, *size), 20_000
    y = convolve(noise(n, 1, *shape, seed=1), w, "circular")
    power = fourier.fft2(y).abs().square()[:, 0]
    inside, total = power[:, band].sum(1), power.flatten(1).sum(1)
    share = band_share(transfer(w, shape), band)
    error = float((inside - share * total).std() / n**0.5 / total.mean())
    assert abs(float(inside.mean() / total.mean()) - share) < SIGMAS * error
    assert 0 < share < 1


@each_shape
@pytest.mark.parametrize("size", [(3, 3), (2, 4), (5, 1), (4, 3)])
def test_thm_band_share(shape, size):
    band = fourier.radial_mask(shape, 1.5, 3)
    values, vectors = torch.linalg.eigh(band_matrix(size, band))
    best = vectors[:, -1].reshape(1, 1, *size)
    assert abs(band_share(transfer(best, shape), band) - values[-1]) < TIGHT
    assert values[0] > -TIGHT
    assert values[-1] <= math.prod(size) * int(band.sum()) / band.numel() + TIGHT
    for seed in range(20):  # one channel or several, none does better
        w = noise(3, 2, *size, seed=seed)
        assert band_share(transfer(w, shape), band) < values[-1]
        near = best + 0.01 * noise(1, 1, *size, seed=seed)
        assert band_share(transfer(near, shape), band) <= values[-1] + TIGHT


@each_shape
def test_thm_band_share_grows_to_one(shape):
    band = fourier.radial_mask(shape, 1.5, 3)
    largest = [
        float(torch.linalg.eigvalsh(band_matrix((k, k), band))[-1])
        for k in range(1, min(shape) + 1)
    ]
    whole = float(torch.linalg.eigvalsh(band_matrix(shape, band))[-1])
    steps = zip(largest, [*largest[1:], whole], strict=True)
    assert all(a <= b + TIGHT for a, b in steps)
    assert abs(whole - 1) < TIGHT and largest[0] < 0.7


@pytest.mark.parametrize("shape", [(16, 16), (15, 18)])
def test_thm_depth_adds_degrees(shape):
    sizes, channels = [(3, 3), (2, 4), (3, 1)], [1, 3, 2, 1]
    layer_weights = [
        noise(b, a, *size, seed=seed)
        for seed, (a, b, size) in enumerate(zip(channels[:-1], channels[1:], sizes, strict=True))
    ]
    T = torch.eye(1, dtype=torch.complex128)
    for w in layer_weights:
        T = transfer(w, shape) @ T
    kernel = torch.fft.ifft2(T[..., 0, 0].conj()).real  # w_s at the pixel s
    total = tuple(1 + sum(size[axis] - 1 for size in sizes) for axis in (0, 1))
    first = [-sum((size[axis] - 1) // 2 for size in sizes) for axis in (0, 1)]
    found = torch.zeros(shape, dtype=torch.bool)
    for sy in range(total[0]):
        for sx in range(total[1]):
            found[(first[0] + sy) % shape[0], (first[1] + sx) % shape[1]] = True
    assert kernel[~found].abs().max() < TIGHT < kernel[found].abs().min()
    band = fourier.radial_mask(shape, 3, 5)
    limit = float(torch.linalg.eigvalsh(band_matrix(total, band))[-1])
    assert band_share(T, band) <= limit


@pytest.mark.parametrize("seed", range(5))
def test_thm_depth_adds_degrees_loses_nothing_in_one_dimension(seed):
    n_layers, n = 3 + seed % 2, 24
    target = noise(1, 1, 1, 2 * n_layers + 1, seed=seed)
    roots = [complex(r) for r in _roots(target.flatten())]
    pairs = [r for r in roots if r.imag > 1e-12]
    real = sorted(r.real for r in roots if abs(r.imag) <= 1e-12)
    factors = [torch.tensor([abs(r) ** 2, -2 * r.real, 1.0]) for r in pairs]
    for a, b in zip(real[::2], real[1::2], strict=True):
        factors.append(torch.tensor([a * b, -(a + b), 1.0]))
    assert len(factors) == n_layers
    T = torch.ones((1, n, 1, 1), dtype=torch.complex128) * target.flatten()[-1]
    for taps in factors:
        T = transfer(taps.double().reshape(1, 1, 1, 3), (1, n)) @ T
    # Three taps look one pixel to each side: the product is centred, like the target.
    assert torch.allclose(T, transfer(target, (1, n)), atol=1e-5)
    assert not torch.allclose(T, transfer(target.flip(-1), (1, n)), atol=1e-2)


def _roots(coefficients):
    """Roots of a polynomial given from its lowest coefficient."""
    import numpy as np

    return np.roots(coefficients.flip(0).numpy())


@pytest.mark.parametrize("seed", range(3))
def test_thm_depth_adds_degrees_in_two_dimensions(seed):
    # The Jacobian of (v, w) -> v * w, 18 numbers to 25, has rank 8L + 1 = 17: products are thin.
    v, w = noise(2, 1, 1, 3, 3, seed=seed)

    def product(pair):
        first, second = pair
        return conv2d(pad(first, (2, 2, 2, 2)), second.flip(-2, -1)).flatten()

    jacobian = torch.autograd.functional.jacobian(product, torch.stack([v, w])).reshape(25, 18)
    assert torch.linalg.matrix_rank(jacobian) == 17
    # With a channel for each of the 25 offsets, any 5 x 5 kernel is two layers of 3 x 3.
    target = noise(1, 1, 5, 5, seed=seed + 10)
    first, second = torch.zeros(25, 1, 3, 3).double(), torch.zeros(1, 25, 3, 3).double()
    for at, (sy, sx) in enumerate(offsets((5, 5))):
        hy, hx = (max(-1, min(1, s)) for s in (sy, sx))
        first[at, 0, 1 + hy, 1 + hx] = 1
        second[0, at, 1 + sy - hy, 1 + sx - hx] = target.flatten()[at]
    T = transfer(second, (9, 8)) @ transfer(first, (9, 8))
    assert torch.allclose(T, transfer(target, (9, 8)), atol=TIGHT)
