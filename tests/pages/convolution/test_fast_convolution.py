"""Statements of the page "Convolving by FFT"."""

import math

import numpy as np
import pytest
import torch
from draws import noise
from scipy import signal
from tolerances import ATOL

from freqsense import fourier, layers

TIGHT = ATOL[torch.float64]
U = 2.0**-24  # unit roundoff of float32


def waves(n, exponent):
    """z_n to the given powers."""
    return torch.exp(-2j * torch.pi * torch.as_tensor(exponent, dtype=torch.float64) / n)


# The fast Fourier transform


@pytest.mark.parametrize("n", [2, 6, 16, 50])
def test_thm_radix_2(n):
    x = noise(3, n, dtype=torch.complex128)
    even, odd = torch.fft.fft(x[..., ::2]), torch.fft.fft(x[..., 1::2])
    turned = waves(n, torch.arange(n // 2)) * odd
    joined = torch.cat([even + turned, even - turned], -1)
    assert torch.allclose(joined, torch.fft.fft(x), atol=TIGHT)
    assert not torch.allclose(torch.cat([even + odd, even - odd], -1), joined) or n == 2


def count_radix_2(n):
    """Complex products and sums of the recursion."""
    if n == 1:
        return 0, 0
    products, sums = count_radix_2(n // 2)
    return 2 * products + n // 2, 2 * sums + n


@pytest.mark.parametrize("levels", range(12))
def test_thm_fft_cost(levels):
    n = 2**levels
    products, sums = count_radix_2(n)
    assert (products, sums) == (n * levels / 2, n * levels)
    assert 6 * products + 2 * sums == 5 * n * levels


@pytest.mark.parametrize(("n1", "n2"), [(2, 3), (3, 2), (4, 4), (5, 7), (1, 6), (6, 1)])
def test_thm_cooley_tukey(n1, n2):
    n = n1 * n2
    x = noise(n, dtype=torch.complex128)
    rows = x.reshape(n1, n2)  # x[n2 p1 + p2]
    inner = torch.fft.fft(rows, dim=0)  # (k1, p2)
    turned = waves(n, torch.outer(torch.arange(n1), torch.arange(n2))) * inner
    outer = torch.fft.fft(turned, dim=1)  # (k1, k2)
    assert torch.allclose(outer.T.reshape(n), torch.fft.fft(x), atol=TIGHT)
    if min(n1, n2) > 1:
        unturned = torch.fft.fft(inner, dim=1).T.reshape(n)
        assert not torch.allclose(unturned, torch.fft.fft(x))


@pytest.mark.parametrize("n", [1, 2, 7, 12, 31, 97])
@pytest.mark.parametrize("spare", [0, 5])
def test_thm_bluestein(n, spare):
    x, p = noise(n, dtype=torch.complex128), torch.arange(n)
    c = waves(2 * n, p**2)
    m = 2 * n - 1 + spare
    ring = torch.zeros(m, dtype=c.dtype)
    ring[p], ring[-p % m] = c.conj(), c.conj()
    padded = torch.nn.functional.pad(c * x, (0, m - n))
    circular = torch.fft.ifft(torch.fft.fft(padded) * torch.fft.fft(ring))
    assert torch.allclose(c * circular[:n], torch.fft.fft(x), atol=TIGHT)


@pytest.mark.parametrize("shape", [(8, 8), (9, 9), (8, 5), (7, 12)])
def test_lem_two_for_one(shape):
    x, y = noise(*shape), noise(*shape, seed=1)
    z = fourier.fft2(torch.complex(x, y))
    mirrored = z.flip(0, 1).roll((1, 1), (0, 1)).conj()
    assert torch.allclose((z + mirrored) / 2, fourier.fft2(x), atol=TIGHT)
    assert torch.allclose((z - mirrored) / 2j, fourier.fft2(y), atol=TIGHT)


# Operation counts


@pytest.mark.parametrize("side", [16, 31, 32, 64])
@pytest.mark.parametrize(("c_in", "c_out", "n"), [(1, 1, 1), (16, 32, 16), (64, 64, 4)])
def test_the_counts_meet_where_the_crossover_formula_says(side, c_in, c_out, n):
    counts = layers.operation_counts((n, c_in, side, side), (c_out, c_in, 1, 1))
    shared = 1 / c_in + 1 / c_out + 1 / n
    formula = math.sqrt(2 + 1.25 * math.log2(side**2) * shared)
    counted = math.sqrt(counts.fft / counts.direct)
    assert counted == pytest.approx(formula, rel=2 / side)  # F is D / 2 + H, not D / 2


def test_depthwise_layers_share_no_transform():
    one = layers.operation_counts((8, 1, 32, 32), (1, 1, 5, 5))
    many = layers.operation_counts((8, 64, 32, 32), (64, 1, 5, 5), 64)
    dense = layers.operation_counts((8, 64, 32, 32), (64, 64, 5, 5))
    assert many.fft / many.direct == pytest.approx(one.fft / one.direct)
    assert dense.fft / dense.direct < 0.5 * one.fft / one.direct


# Rounding


@pytest.mark.parametrize("terms", [64, 1024, 16384])
def test_a_running_sum_loses_digits_like_the_root_of_its_length(terms):
    x = np.random.default_rng(terms).standard_normal((1500, terms)).astype(np.float32)
    running = np.cumsum(x, axis=1, dtype=np.float32)[:, -1]
    exact = x.sum(axis=1, dtype=np.float64)
    error = math.sqrt(((running - exact) ** 2).mean() / (exact**2).mean())
    law = U / math.sqrt(8 * math.log(2)) * math.sqrt(terms / 2)
    assert error == pytest.approx(law, rel=0.1)
    pairwise = x.sum(axis=1)  # NumPy adds in blocks and pairs
    assert math.sqrt(((pairwise - exact) ** 2).mean() / (exact**2).mean()) < 0.7 * law


@pytest.mark.parametrize("seed", range(3))
def test_the_rounding_error_of_the_fft_route_does_not_grow_with_the_kernel(seed):
    found = []
    for k in (3, 9, 32):
        torch.manual_seed(seed)
        layer = layers.CircularConv2d(8, 8, k, bias=False, method="fft")
        exact = layers.CircularConv2d(8, 8, k, bias=False, method="direct").double()
        exact.load_state_dict({name: w.double() for name, w in layer.state_dict().items()})
        x = torch.randn(2, 8, 32, 32)
        with torch.no_grad():
            y = exact(x.double())
            found.append(float((layer(x) - y).norm() / y.norm()) / U)
    assert max(found) < 8 and max(found) < 1.5 * min(found)


def test_the_fft_route_spreads_rounding_over_dark_pixels():
    x = torch.zeros(1, 1, 64, 64)
    x[..., :32] = noise(64, 32).float()
    layer = layers.CircularConv2d(1, 1, 5, bias=False, method="direct")
    with torch.no_grad():
        assert layer(x)[..., 40:56].abs().max() == 0
        layer.method = "fft"
        y = layer(x)
    assert 0 < y[..., 40:56].abs().max() < 16 * U * y.abs().max()


# Without wrap-around


@pytest.mark.parametrize("shape", [(8, 8), (9, 12)])
@pytest.mark.parametrize("kernel", [(3, 3), (1, 4), (8, 7)])
def test_thm_linear_convolution(shape, kernel):
    x, w = noise(*shape), noise(*kernel, seed=1)
    least = [n + k - 1 for n, k in zip(shape, kernel, strict=True)]
    expected = torch.from_numpy(signal.convolve2d(x.numpy(), w.numpy()))
    for spare in (0, 3):
        size = [m + spare for m in least]
        product = torch.fft.rfft2(x, s=size) * torch.fft.rfft2(w, s=size)
        circular = torch.fft.irfft2(product, s=size)
        assert torch.allclose(circular[: least[0], : least[1]], expected, atol=TIGHT)
        assert circular[least[0] :].abs().sum() + circular[:, least[1] :].abs().sum() < TIGHT
    size = [least[0], least[1] - 1]
    product = torch.fft.rfft2(x, s=size) * torch.fft.rfft2(w, s=size)
    short = torch.fft.irfft2(product, s=size)
    assert not torch.allclose(short, expected[:, :-1])


# Small kernels


def powers(points, length):
    rows = [
        [0.0] * (length - 1) + [1.0] if t == math.inf else [t**j for j in range(length)]
        for t in points
    ]
    return torch.from_numpy(np.array(rows))


SCHEMES = {
    "F(2, 3)": (2, 3, [0.0, 1.0, -1.0, math.inf]),
    "F(2, 3), no infinity": (2, 3, [0.0, 1.0, -1.0, 0.5]),
    "F(4, 3)": (4, 3, [0.0, 1.0, -1.0, 2.0, -2.0, math.inf]),
    "F(3, 2)": (3, 2, [0.0, 1.0, -1.0, math.inf]),
    "F(2, 5)": (2, 5, [0.0, 1.0, -1.0, 2.0, -2.0, 0.5]),
    "roots of unity": (3, 3, [complex(z) for z in waves(5, torch.arange(5))]),
}


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_thm_minimal_filtering(scheme):
    m, r, points = scheme
    V, A, G = (powers(points, length) for length in (m + r - 1, m, r))
    d, g = noise(m + r - 1), noise(r, seed=1)
    products = (torch.linalg.inv(V).T @ d.to(V.dtype)) * (G @ g.to(V.dtype))
    assert len(products) == m + r - 1
    y = A.T @ products
    expected = torch.stack([d[i : i + r] @ g for i in range(m)])
    assert torch.allclose(y, expected.to(V.dtype), atol=TIGHT)


def test_two_outputs_of_three_taps_take_four_products():
    d, g = noise(50, 4), noise(3, seed=1)
    m1, m2 = (d[:, 0] - d[:, 2]) * g[0], (d[:, 1] + d[:, 2]) * g.sum() / 2
    m3, m4 = (d[:, 2] - d[:, 1]) * (g[0] - g[1] + g[2]) / 2, (d[:, 3] - d[:, 1]) * g[2]
    found = torch.stack([m1 + m2 + m3, m2 - m3 + m4], 1)
    assert torch.allclose(found, d.unfold(1, 3, 1) @ g, atol=TIGHT)


def test_waves_on_a_tile_are_better_conditioned_than_real_points():
    roots = powers([complex(z) for z in waves(8, torch.arange(8))], 8)
    real = powers([0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, math.inf], 8)
    small = powers([0.0, 1.0, -1.0, math.inf], 4)
    assert float(torch.linalg.cond(roots)) == pytest.approx(1)
    assert torch.linalg.cond(real) > 10 * torch.linalg.cond(small)
