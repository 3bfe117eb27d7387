"""The definitions and theorems of the page "Why 1/f", checked."""

import math

import pytest
import torch
from draws import noise
from formulas import fold
from scipy.special import jv
from tolerances import ATOL, SIGMAS

from freqsense import fourier, images

ATOL64 = ATOL[torch.float64]


def law_power(shape, alpha):
    """Power |w|^-alpha on the grid, none at DC."""
    radius = fourier.radial_frequency(shape)
    return torch.where(radius > 0, radius, torch.inf).pow(-alpha)


def block_gain(shape, factor):
    """b(K) of equation eq-shrunk-transform."""
    ky, kx = fourier.frequencies(shape)
    axis = torch.arange(factor, dtype=torch.float64)
    down, across = (
        torch.exp(2j * math.pi * k[..., None] * axis / side).mean(-1)
        for k, side in zip((ky, kx), shape, strict=True)
    )
    return down * across


def shrunk_power(power, factor):
    """Power of the block averages of images whose frequencies are uncorrelated."""
    gain = block_gain(tuple(power.shape), factor).abs().square()
    return fold(power * gain, (factor, factor)) / factor**2


@pytest.mark.parametrize(("shape", "factor"), [((12, 12), 2), ((15, 9), 3), ((8, 12), 4)])
def test_eq_shrunk_transform(shape, factor):
    x = noise(2, 1, *shape)
    expected = fold(fourier.fft2(x) * block_gain(shape, factor), (factor, factor)) / factor
    assert torch.allclose(fourier.fft2(images.shrink(x, factor)), expected, atol=ATOL64)


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("alpha", [1.0, 2.0, 3.0])
def test_def_scale_invariance(alpha, factor):
    """Shrunken fields have the power of the definition; it is unchanged for alpha = 2 alone."""
    side, n = 64, 400
    fields = images.gaussian_field(n, shape=(side, side), alpha=alpha).double()
    original = law_power((side, side), alpha)
    original = original * side**2 / original.sum()
    power = fourier.fft2(images.shrink(fields, factor)).abs().square().mean((0, 1))
    expected = shrunk_power(original, factor)
    ring = fourier.rings((side // factor, side // factor))
    inner = (ring.radius > 0) & (ring.radius <= side / factor / 8) & ring.half
    # |x^|^2 is exponential: the mean over n images and m pairs has the relative error (n m)^-1/2.
    error = 1 / math.sqrt(n * int(inner.sum()))
    measured = (power / expected).flatten()[inner].mean()
    assert abs(measured - 1) < SIGMAS * error
    # At the same number of cycles/pixel, for frequencies of at most 1/8.
    k = torch.arange(1, side // factor // 8 + 1)
    change = (power[0, k] / original[0, factor * k]).mean()
    within = SIGMAS / math.sqrt(n * len(k))
    damping = 0.06  # by the averages over blocks, at an eighth of a cycle per pixel
    target = factor ** (alpha - 2)
    assert target * (1 - damping - within) < change < target * (1 + within)
    assert abs(1 - target) > damping + 2 * within or alpha == 2.0  # the controls can be told apart


def sector_variance(density, low, high, sector, n=400):
    """Integral of a planar density over radii low to high and angles, by the midpoint rule."""
    step = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    log_radius = math.log(low) + step * math.log(high / low)
    angle = sector[0] + step * (sector[1] - sector[0])
    radius, angle = torch.meshgrid(log_radius.exp(), angle, indexing="ij")
    values = density(radius, angle) * radius.square()  # r dr = r^2 d(log r)
    return values.mean() * math.log(high / low) * (sector[1] - sector[0])


@pytest.mark.parametrize("eta", [-0.6, 0.0, 0.5])
def test_thm_scale_invariance(eta):
    def invariant(radius, angle):
        return radius ** -(2 - eta) * (1.5 + torch.cos(2 * angle))

    def wavy(radius, angle):  # passes octaves only
        return invariant(radius, angle) * (2 + torch.sin(2 * math.pi * torch.log2(radius)))

    radius = torch.logspace(-2, 0, 7, dtype=torch.float64)
    angle = torch.linspace(0, 3, 7, dtype=torch.float64)
    for s in (0.5, 1.7, 3.0):  # 1 and 2
        shrunk = invariant(radius / s, angle) / s**2
        assert torch.allclose(shrunk, s**-eta * invariant(radius, angle), atol=0, rtol=1e-12)
    for sector in ((0.0, 2 * math.pi), (0.3, 0.9)):  # 2 and 3
        for ratio in (1.5, 2.0, 3.0):
            ratios = [
                sector_variance(invariant, a, ratio * a, sector)
                / sector_variance(invariant, 0.01, ratio * 0.01, sector)
                / (a / 0.01) ** eta
                for a in (0.013, 0.05, 0.31)
            ]
            assert all(abs(r - 1) < ATOL64 for r in ratios)

    def spread(ratio):
        values = [
            sector_variance(wavy, a, ratio * a, (0.0, math.pi)) / a**eta
            for a in (0.01, 0.012, 0.014, 0.017)
        ]
        return max(values) / min(values) - 1

    # Negative control: equal octaves (with eta = 0) are not enough; another ratio tells.
    assert spread(3.0) > 0.05
    assert (spread(2.0) < 1e-4) == (eta == 0.0)


def test_scale_invariance_of_block_averages_is_that_of_the_plane():
    """The corrections of the pixel grid vanish at low frequencies, for every exponent."""
    side, factor = 512, 4
    for alpha in (1.0, 2.0, 3.0):
        power = law_power((side, side), alpha)
        small = shrunk_power(power, factor)
        k = torch.arange(1, side // factor // 16)
        ratio = small[0, k] / power[0, factor * k]  # the same number of cycles/pixel
        assert (ratio / factor ** (alpha - 2) - 1).abs().max() < 0.02
        assert (ratio[-1] / factor ** (alpha - 2) - 1).abs() < 0.015


@pytest.mark.parametrize(("height", "width", "m"), [(4, 16, 8), (5, 9, 4), (6, 15, 1)])
def test_thm_edge_spectrum_of_a_step(height, width, m):
    x = torch.zeros(height, width, dtype=torch.float64)
    x[:, :m] = 1
    amplitude = fourier.fft2(x).abs()
    k = torch.arange(1, width, dtype=torch.float64)
    exact = torch.sin(math.pi * k * m / width) / torch.sin(math.pi * k / width)
    assert torch.allclose(amplitude[0, 1:], math.sqrt(height / width) * exact.abs(), atol=ATOL64)
    assert amplitude[1:].max() < ATOL64


def bessel(order, z):
    """J of the given order; PyTorch's own has errors of 3e-7."""
    return torch.as_tensor(jv(order, z.numpy()))


def disc_power(radius, frequency):
    return (radius * bessel(1, 2 * math.pi * radius * frequency) / frequency).square()


def test_thm_edge_spectrum():
    frequency = torch.linspace(0.05, 2.0, 40, dtype=torch.float64)
    # (b), first equality: the transform of a disc is that of its chords, a cosine integral.
    n = 200_000
    angle = (torch.arange(n, dtype=torch.float64) + 0.5) / n * math.pi  # u = r cos(angle)
    radius = 1.7
    for f in frequency[::8]:
        chords = 2 * radius * torch.sin(angle)
        wave = torch.cos(2 * math.pi * f * radius * torch.cos(angle))
        transform = (chords * wave * radius * torch.sin(angle)).mean() * math.pi
        assert abs(transform.square() - disc_power(radius, f)) < ATOL64
    # (b), envelope: r / (pi^2 w^3), and half of it on average over whole periods.
    far = torch.arange(400_000, dtype=torch.float64) / 400_000 * 50 / (2 * radius) + 100
    relative = disc_power(radius, far) * math.pi**2 * far**3 / radius
    assert abs(relative.mean() - 0.5) < 1e-3 and abs(relative.max() - 1) < 1e-2
    steep = disc_power(radius, far) * far**2
    assert abs(steep.mean() * math.pi**2 / radius - 0.5) > 0.4  # not |w|^-2
    # (c): the closed form against the integral over radii.
    low, high = 0.5, 40.0
    n = 100_000
    grid = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    radii = (math.log(low) + grid * math.log(high / low)).exp()
    weight = 2 / (low**-2 - high**-2) * radii**-2 * math.log(high / low) / n  # rho(r) dr
    assert abs(weight.sum() - 1) < 1e-8
    for f in frequency[::8]:
        integral = (weight * disc_power(radii, f)).sum()
        assert abs(integral / mixed_power(low, high, f) - 1) < 1e-5
    # ... and to first order between the cut-offs.
    middle = torch.tensor([0.03, 0.05, 0.08], dtype=torch.float64)
    constant = 1 / (low**-2 - high**-2)
    bracket = mixed_power(low, high, middle) * middle.square() / constant
    first = 1 - (math.pi * low * middle).square() - 1 / (math.pi**2 * high * middle)
    # What is left is of second order in the first term, and of relative order 1/z in the other.
    assert (bracket - first).abs().max() < 0.02 < (1 - first).abs().max()


def mixed_power(low, high, frequency):
    """Mean power of a disc whose radius has the density K r^-3."""

    def g(z):
        return bessel(0, z).square() + bessel(1, z).square()

    scaled = 2 * math.pi * frequency
    constant = 1 / (low**-2 - high**-2)  # K / 2
    return constant / frequency.square() * (g(low * scaled) - g(high * scaled))


@pytest.mark.parametrize("radius", [3.0, 6.0])
def test_thm_edge_spectrum_on_the_pixel_grid(radius):
    """Discs at uniform places have, on average, the planar power and all that folds onto it."""
    side, n = 32, 4000
    generator = torch.Generator().manual_seed(1)
    centre = torch.rand(2, n, 1, generator=generator, dtype=torch.float64) * side
    offset = (torch.arange(side) - centre + side / 2) % side - side / 2
    squared = offset[0].square()[:, :, None] + offset[1].square()[:, None, :]
    power = fourier.fft2((squared <= radius**2).double()).abs().square() * side**2
    ring = fourier.rings((side, side))
    flat = ring.average(power.flatten(-2))  # (n, R): independent over images
    mean, error = flat.mean(0), flat.std(0) / math.sqrt(n)
    ky, kx = (k / side for k in fourier.frequencies((side, side)))
    reach = 12
    span = range(-reach, reach + 1)
    theory = sum(disc_power(radius, torch.hypot(ky + a, kx + b)) for a in span for b in span)
    # The folds left out: the mean envelope, integrated from the edge of the square outwards.
    tail = 2 * math.pi * radius / (2 * math.pi**2) / (reach + 0.5)
    expected = ring.average((theory + 0.9 * tail).flatten())
    assert ((mean - expected)[1:].abs() < SIGMAS * error[1:] + 0.1 * tail).all()
    # Negative control: the radius off by a twentieth.
    wrong = ring.average(disc_power(0.95 * radius, torch.hypot(ky, kx)).flatten())
    assert ((mean - wrong)[1:].abs() > SIGMAS * error[1:] + 0.1 * tail).any()
