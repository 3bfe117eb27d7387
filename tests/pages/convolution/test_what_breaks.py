"""Statements of the page "What breaks the picture"."""

import math

import pytest
import torch
from draws import fields, noise
from formulas import fold
from matrices import dense, modes
from scipy.integrate import quad
from tolerances import ATOL, SIGMAS
from torch.nn.functional import avg_pool2d, conv2d, max_pool2d, pad

from freqsense import fourier, images, layers

TIGHT = ATOL[torch.float64]
SHAPES = [(8, 8), (9, 9), (8, 12), (7, 10)]
KERNELS = [(3, 3), (2, 4), (5, 1), (4, 3)]

each_shape = pytest.mark.parametrize("shape", SHAPES)
each_kernel = pytest.mark.parametrize("size", KERNELS)


def convolve(x, w, mode):
    """Stride 1, same size, as nn.Conv2d(padding="same") pads: (N, 1, H, W)."""
    height, width = w.shape[-2:]
    up, left = (height - 1) // 2, (width - 1) // 2
    return conv2d(pad(x, (left, width - 1 - left, up, height - 1 - up), mode=mode), w)


def offsets(size):
    """Offsets (sy, sx) of the taps, row by row."""
    sides = [torch.arange(k) - (k - 1) // 2 for k in size]
    return [tuple(s) for s in torch.cartesian_prod(*sides).tolist()]


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


def energy(x):
    return x.abs().square().flatten(1).sum(1)


# Zero padding


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


# Stride

STRIDES = [
    ((8, 8), (2, 2)),
    ((12, 12), (4, 4)),
    ((9, 9), (3, 3)),
    ((8, 12), (2, 2)),
    ((12, 10), (4, 5)),
    ((7, 10), (1, 2)),
    ((6, 10), (6, 2)),
]
each_stride = pytest.mark.parametrize(("shape", "stride"), STRIDES)


def stays(shape, stride):
    """The frequencies of the new grid: bool (H, W)."""
    ky, kx = fourier.frequencies(shape)
    found = torch.ones(shape, dtype=torch.bool)
    for k, n, f in zip((ky, kx), shape, stride, strict=True):
        found &= (k >= -(n // f // 2)) & (k < (n // f + 1) // 2)
    return found


@each_stride
def test_thm_aliasing(shape, stride):
    x = noise(3, 1, *shape) + 1j * noise(3, 1, *shape, seed=1)
    yhat = fourier.fft2(x[..., :: stride[0], :: stride[1]])
    assert torch.allclose(
        yhat, fold(fourier.fft2(x), stride) / math.prod(stride) ** 0.5, atol=TIGHT
    )
    # One wave lands at its frequency modulo the new grid, and nowhere else.
    ky, kx = -(shape[0] // 2), (shape[1] - 1) // 2
    landed = fourier.fft2(fourier.fourier_mode(shape, ky, kx)[:: stride[0], :: stride[1]])
    place = ky % (shape[0] // stride[0]), kx % (shape[1] // stride[1])
    landed[place] -= 1 / math.prod(stride) ** 0.5
    assert landed.abs().max() < TIGHT


def test_thm_aliasing_needs_a_stride_that_divides_the_side():
    wave = fourier.fourier_mode((1, 15), 0, 6)
    spread = fourier.fft2(wave[:, ::2]).abs().square()[0]  # 8 pixels
    assert spread.max() < 0.9 * spread.sum() and spread.min() > 1e-4


@each_stride
def test_cor_aliased_share(shape, stride):
    n = 20_000
    power = 1 / (1 + fourier.radial_frequency(shape)) ** 2
    x = fields(power[None], n)
    measured = fourier.fft2(x[..., :: stride[0], :: stride[1]]).abs().square()[:, 0]
    predicted = fold(power, stride) / math.prod(stride)
    error = measured.std(0) / n**0.5
    assert ((measured.mean(0) - predicted).abs() < SIGMAS * error).all()
    outside = fourier.ifft2(fourier.fft2(x) * ~stays(shape, stride))
    share = energy(outside[..., :: stride[0], :: stride[1]]).sum() / measured.sum()
    aliased = float(power[~stays(shape, stride)].sum() / power.sum())
    assert abs(share / aliased - 1) < 0.05
    assert int(stays(shape, stride).sum()) == math.prod(shape) // math.prod(stride)


@pytest.mark.parametrize("m", [2, 4, 16])
def test_eq_binomial_gain(m):
    shape = (24, 30)
    taps = torch.tensor([math.comb(m, j) / 2**m for j in range(m + 1)], dtype=torch.float64)
    layer = layers.CircularConv2d(1, 1, m + 1, bias=False).double()
    layer.weight.data.copy_((taps[:, None] * taps)[None, None])
    ky, kx = fourier.frequencies(shape)
    gain = (torch.cos(torch.pi * ky / shape[0]) * torch.cos(torch.pi * kx / shape[1])) ** m
    found = layers.transfer_function(layer, shape)[..., 0, 0].detach()
    assert torch.allclose(found, gain.to(found.dtype), atol=TIGHT)


def shifted_small(y, s, f):
    ky, kx = fourier.frequencies(tuple(y.shape[-2:]))
    turn = ky * s[0] / (f * y.shape[-2]) + kx * s[1] / (f * y.shape[-1])
    return fourier.ifft2(torch.exp(-2j * torch.pi * turn) * fourier.fft2(y))


def equivariance_error(pool, x, f):
    """Of a set of images of mean 0: one number."""
    y = pool(x, f)
    shifts = [(a, b) for a in range(f) for b in range(f)]
    wrong = sum(energy(pool(x.roll(s, (-2, -1)), f) - shifted_small(y, s, f)) for s in shifts)
    return float(wrong.sum() / f**2 / energy(y - y.mean()).sum())


def low_pass(x, f):
    """Nothing at or beyond the Nyquist frequency of the new grid."""
    ky, kx = fourier.frequencies(tuple(x.shape[-2:]))
    keep = (ky.abs() < x.shape[-2] / f / 2) & (kx.abs() < x.shape[-1] / f / 2)
    return fourier.ifft2(keep * fourier.fft2(x)).real


def subsample(x, f):
    return x[..., ::f, ::f]


@pytest.mark.parametrize("shape", [(8, 8), (12, 8), (9, 9), (9, 15)])
def test_def_equivariance_error(shape):
    f = 3 if shape[0] % 2 else 2
    x = noise(50, 1, *shape)
    x = x - x.mean((-2, -1), keepdim=True)
    # A shift by whole pixels of the small image is exact for every pooling.
    for pool in (subsample, avg_pool2d, max_pool2d):
        whole = pool(x.roll((f, f), (-2, -1)), f)
        assert torch.allclose(shifted_small(pool(x, f), (f, f), f).real, whole, atol=TIGHT)
    smooth = low_pass(x, f)
    assert equivariance_error(subsample, smooth, f) < TIGHT
    assert equivariance_error(subsample, x, f) > 0.1
    assert equivariance_error(max_pool2d, smooth, f) > 1e-3  # not linear: it makes new waves


@pytest.mark.parametrize(("shape", "f"), [((8, 8), 2), ((12, 8), 4), ((9, 9), 3), ((6, 15), 3)])
@pytest.mark.parametrize("alpha", [0.0, 2.0])
def test_thm_equivariance_error(shape, f, alpha):
    x = images.gaussian_field(8000, shape=shape, alpha=alpha, seed=1).double()
    radius = fourier.radial_frequency(shape)
    power = torch.where(radius > 0, radius.clamp(min=1e-9) ** -alpha, 0)

    def box(x, f):
        return avg_pool2d(pad(x, (0, f - 1, 0, f - 1), mode="circular"), f, stride=1)

    spot = torch.zeros(1, 1, *shape, dtype=torch.float64)
    spot[..., 0, 0] = 1
    gain = fourier.fft2(box(spot, f))[0, 0].abs().square() * math.prod(shape)
    for pool, passed in [(subsample, power), (avg_pool2d, gain * power)]:
        predicted = 2 * float(passed[~stays(shape, (f, f))].sum() / passed.sum())
        assert abs(equivariance_error(pool, x, f) / predicted - 1) < 0.05
        assert predicted > 0.01


@pytest.mark.parametrize("seed", range(3))
def test_blurred_pooling_is_more_equivariant_on_photographs(seed):
    x, _ = images.photo_patches("train", n_per_class=20, size=32, seed=seed, color=False)
    x = (x - x.mean((-2, -1), keepdim=True)).double()
    ky, kx = fourier.frequencies((32, 32))
    gain = (torch.cos(torch.pi * ky / 32) * torch.cos(torch.pi * kx / 32)) ** 4

    def blurred(x, f):
        return subsample(fourier.ifft2(gain * fourier.fft2(x)).real, f)

    errors = [equivariance_error(p, x, 2) for p in (blurred, avg_pool2d, max_pool2d, subsample)]
    assert errors == sorted(errors)
    assert errors[0] < errors[2] / 5


# ReLU


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


# Small kernels


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
