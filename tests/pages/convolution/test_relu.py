"""Statements of the page "What a ReLU does to waves"."""

import math

import pytest
import torch
from draws import noise
from scipy.integrate import quad
from tolerances import ATOL, SIGMAS

from freqsense import fourier, images

TIGHT = ATOL[torch.float64]


SHAPES = [(8, 8), (9, 9), (8, 12), (7, 10)]


each_shape = pytest.mark.parametrize("shape", SHAPES)


def rectified(m):
    """A_m of the page."""
    return 2 / math.pi if m == 0 else 4 / math.pi * (-1) ** (m + 1) / (4 * m**2 - 1)


def coefficient(g, j):
    """Of cos(jθ) in an even function, between whose kinks at ±π/2 we integrate."""
    parts = [(0, math.pi / 2), (math.pi / 2, math.pi)]
    total = sum(quad(lambda t: g(math.cos(t)) * math.cos(j * t), *part)[0] for part in parts)
    return total * (1 if j == 0 else 2) / math.pi


def test_lem_rectified_cosine():
    for j in range(12):
        expected = 0.0 if j % 2 else rectified(j // 2)
        assert abs(coefficient(abs, j) - expected) < TIGHT
        linear = 0.5 if j == 1 else 0.0
        relu = coefficient(lambda u: max(u, 0.0), j)
        assert abs(relu - (linear + expected / 2)) < TIGHT
    assert abs(coefficient(lambda u: max(u, 0.0) ** 2, 0) - 1 / 4) < TIGHT
    harmonics = sum((rectified(m) / 2) ** 2 / 2 for m in range(1, 20_000)) * 4
    assert abs(harmonics - (1 / 2 - 4 / math.pi**2)) < TIGHT
    assert (
        abs(coefficient(math.tanh, 0)) < TIGHT < abs(coefficient(math.tanh, 3))
    )  # odd: the converse


@pytest.mark.parametrize(("k", "n"), [(5, 64), (7, 40), (5, 45), (4, 9)])
def test_harmonics_beyond_nyquist_alias(k, n):
    wave = torch.cos(2 * torch.pi * k * torch.arange(n, dtype=torch.float64) / n)
    yhat = fourier.fft2(wave.abs()[None])[0].real / n**0.5
    m = torch.arange(1, 400_001)
    height = 4 / math.pi * (1 - 2 * (m % 2 == 0).double()) / (4 * m.double() ** 2 - 1)
    expected = torch.zeros(n, dtype=torch.float64)
    for sign in (1, -1):
        expected.index_add_(0, (sign * 2 * m * k) % n, height / 2)
    expected[0] += 2 / math.pi
    # The series, cut off after m terms, misses less than the sum of 1 / (π m²) over the rest.
    assert torch.allclose(yhat, expected, atol=1 / (math.pi * len(m)))


@pytest.mark.parametrize("seed", range(3))
def test_lem_rectified_pair(seed):
    a, b = 2 * math.pi * torch.rand(2, 50, generator=torch.Generator().manual_seed(seed)).double()
    i = torch.arange(2000, dtype=torch.float64)
    A = torch.tensor([rectified(m) for m in range(2000)], dtype=torch.float64)
    first = (A[:, None] * torch.cos(i[:, None] * (a + b))).sum(0)
    second = (A[:, None] * torch.cos(i[:, None] * (a - b))).sum(0)
    # Each series misses less than the sum of 1 / (π m²) beyond its end.
    assert torch.allclose(2 * first * second, (a.cos() + b.cos()).abs(), atol=4 / (math.pi * 2000))


def test_lem_rectified_pair_names_the_waves():
    n = 512
    t = 2 * torch.pi * torch.arange(n, dtype=torch.float64) / n
    yhat = fourier.fft2((t.cos()[:, None] + t.cos()).relu()).real / n  # exact up to aliases
    # A cosine of amplitude a in two phases is two spikes of a / 2.
    listed = {
        (0, 0): 4 / math.pi**2,
        (1, 0): 1 / 4,
        (1, 1): 4 / (3 * math.pi**2),
        (1, -1): 4 / (3 * math.pi**2),
        (2, 0): 4 / (9 * math.pi**2),
        (0, 2): 4 / (9 * math.pi**2),
    }
    for (j, k), height in listed.items():
        assert abs(yhat[j, k] - height) < 1e-4
    place = torch.arange(n)
    odd = (place[:, None] + place) % 2 == 1
    odd[[1, -1, 0, 0], [0, 0, 1, -1]] = False  # the waves themselves
    assert yhat[odd].abs().max() < TIGHT


ACTIVATIONS = {
    "relu": (lambda u: u.relu(), 1 / 2),
    "abs": (lambda u: u.abs(), 0.0),
    "leaky": (lambda u: torch.nn.functional.leaky_relu(u, 0.2), 0.6),
    "cube": (lambda u: u**3, 3.0),
}


def hermite_mean(g, sigma=1.0):
    """Mean of g(u) over a Gaussian, by quadrature on each half-line."""
    import numpy as np

    nodes, weights = np.polynomial.legendre.leggauss(400)
    u = torch.from_numpy(6 * (nodes + 1))  # 0 ... 12 standard deviations
    density = torch.exp(-(u**2) / 2) / math.sqrt(2 * math.pi) * torch.from_numpy(6 * weights)
    return float(((g(sigma * u) + g(-sigma * u)) * density).sum())


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_lem_stein(name):
    g, slope = ACTIVATIONS[name]
    assert abs(hermite_mean(lambda u: g(u) * u) - slope) < TIGHT  # E g(u)u = E g'
    sigma, n = 1.0, 400_000
    u, r = noise(2, n)
    for rho in (-0.5, 0.3, 0.9):
        v = rho * u + math.sqrt(1 - rho**2) * r
        product = g(u) * v
        error = float(product.std()) / n**0.5
        assert abs(float(product.mean()) - slope * rho * sigma**2) < SIGMAS * error


@pytest.mark.parametrize("shape", [(8, 8), (9, 9), (8, 12), (7, 10)])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_thm_bussgang(shape, name):
    g, gain = ACTIVATIONS[name]
    n = 10_000
    x = images.gaussian_field(n, shape=shape, alpha=1.0, seed=3).double()
    xhat, rest = (fourier.fft2(z)[:, 0].flatten(1) for z in (x, g(x) - gain * x))
    cross = rest.T.conj() @ xhat / n  # (D, D), should be zero
    spread = (rest.abs().square().T @ xhat.abs().square() / n).sqrt() / n**0.5
    # Each real and imaginary part is a mean of n products; D² of them are tested at once.
    assert (cross.abs() <= (SIGMAS + 2) * spread + TIGHT).all()
    other = fourier.fft2(g(x) - (gain + 0.2) * x)[:, 0].flatten(1)
    wrong = (other.T.conj() @ xhat / n).abs()
    assert (wrong.diagonal()[1:] > (SIGMAS + 2) * spread.diagonal()[1:]).any()  # a wrong gain shows


def test_thm_bussgang_shares_of_the_relu():
    square = hermite_mean(lambda u: u.relu() ** 2)
    mean = hermite_mean(lambda u: u.relu())
    assert abs(1 / 4 / square - 1 / 2) < TIGHT
    assert abs(1 / 4 / (square - mean**2) - math.pi / (2 * (math.pi - 1))) < TIGHT


def arc_cosine(rho):
    return ((1 - rho**2).sqrt() + rho * (torch.pi - rho.arccos())) / (2 * torch.pi)


@each_shape
@pytest.mark.parametrize("alpha", [0.0, 2.0])
def test_thm_arc_cosine(shape, alpha):
    n, sigma = 20_000, 1.7
    radius = fourier.radial_frequency(shape)
    power = torch.where(radius > 0, radius.clamp(min=1e-9) ** -alpha, 0)
    power *= math.prod(shape) / power.sum()
    rho = fourier.ifft2(power).real / math.prod(shape) ** 0.5
    second = sigma**2 * arc_cosine(rho.clamp(-1, 1))
    predicted = fourier.fft2(second).real * math.prod(shape) ** 0.5
    x = sigma * images.gaussian_field(n, shape=shape, alpha=alpha, seed=4).double()
    found = fourier.fft2(x.relu()).abs().square()[:, 0]
    error = found.std(0) / n**0.5
    assert ((found.mean(0) - predicted).abs() < (SIGMAS + 1) * error).all()
    # The linear part alone does not explain the spectrum.
    missing = (found.mean(0) - sigma**2 * power / 4) / error
    assert (missing > 5).all()


def test_thm_arc_cosine_kernel_by_quadrature():
    for rho in (-0.9, -0.3, 0.0, 0.5, 0.99):
        angle = math.acos(rho)
        inner = quad(
            lambda t, a=angle: math.cos(t) * math.cos(t - a), angle - math.pi / 2, math.pi / 2
        )
        assert (
            abs(2 * inner[0] / (2 * math.pi) - arc_cosine(torch.tensor(rho, dtype=torch.float64)))
            < TIGHT
        )
    ends = arc_cosine(torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64))
    assert torch.allclose(ends, torch.tensor([0, 1 / (2 * math.pi), 1 / 2]).double(), atol=1e-7)


def test_eq_arc_cosine_series():
    rho = torch.tensor([-0.1, 0.02, 0.1], dtype=torch.float64)
    pi = math.pi
    series = 1 / (2 * pi) + rho / 4 + rho**2 / (4 * pi) + rho**4 / (48 * pi)
    assert (arc_cosine(rho) - series).abs().max() < 1e-8  # of order ρ⁶ / 160π
    assert (arc_cosine(rho) - series + rho**4 / (48 * pi)).abs().max() > 1e-7
