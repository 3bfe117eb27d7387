"""Gaussian fields and dead leaves: their spectra, and how they are drawn."""

import math
import time

import numpy as np
import pytest
import torch
from scipy.integrate import trapezoid
from tolerances import ATOL, SIGMAS

from freqsense import fourier, images
from freqsense.images import synthetic

SINGLE = ATOL[torch.float32]


# Gaussian fields


def radius_of(shape):
    height, width = shape
    ky, kx = np.fft.fftfreq(height), np.fft.fftfreq(width)  # cycles/pixel
    return torch.from_numpy(min(shape) * np.hypot(ky[:, None], kx))


def power_law(shape, alpha):
    """Expected power (H, W) of a field of unit pixel variance, from the definition."""
    radius = radius_of(shape)
    radius[0, 0] = 1
    power = radius**-alpha
    power[0, 0] = 0
    return power * power.numel() / power.sum()


def power_z_scores(field, alpha):
    """How far the mean periodogram of each ring is from |w|^-alpha, in standard errors (R,).

    The power of a real field is chi-square: with two degrees of freedom at a frequency, shared with
    its opposite, or one where a frequency is its own opposite. Each point of the grid brings one.
    """
    shape = tuple(field.shape[-2:])
    radius = radius_of(shape)
    kept = radius > 0
    ring = (radius[kept] + 0.5 + 1e-9).long() - 1
    power = fourier.fft2(field.double()).abs().square().mean((0, 1))
    ratio = power[kept] / power_law(shape, alpha)[kept]
    freedom = ring.bincount() * len(field)
    mean = ring.bincount(weights=ratio) / ring.bincount()
    return ((mean - 1) * (freedom / 2).sqrt())[freedom > 0]


SHAPES = [(16, 16), (17, 17), (12, 20), (21, 16)]


@pytest.mark.parametrize("alpha", [0, 1, 2.0, 3.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_def_gaussian_field(shape, alpha):
    field = images.gaussian_field(500, shape=shape, alpha=alpha, seed=1)
    assert field.shape == (500, 1, *shape) and field.dtype == torch.float32
    assert power_z_scores(field, alpha).abs().max() < SIGMAS
    # Negative control: an exponent off by a tenth is seen.
    assert power_z_scores(field, alpha + 0.1).abs().max() > SIGMAS


@pytest.mark.parametrize("alpha", [-1.0, 0, 2.0])
@pytest.mark.parametrize("shape", [(16, 16), (9, 14), (1, 8)])
def test_gaussian_field_has_unit_variance_and_no_mean(shape, alpha):
    field = images.gaussian_field(2000, shape=shape, alpha=alpha).double()
    n_pixels = math.prod(shape)
    # Variance of the mean square of an image: 2/D^2 times the sum of the squared powers.
    spread = math.sqrt(2 * power_law(shape, alpha).square().sum() / n_pixels**2 / len(field))
    assert abs(field.square().mean() - 1) < SIGMAS * spread
    assert field.mean((2, 3)).abs().max() < SINGLE


def test_gaussian_field_is_gaussian():
    """|x^|^2 is exponential: its second moment is twice the square of the first."""
    field = images.gaussian_field(4000, shape=(8, 10), alpha=2).double()
    power = fourier.fft2(field)[:, 0, 1:4, :].abs().square()  # none is its own opposite
    u = power / power_law((8, 10), 2)[1:4]
    # E u^2 = 2 and Var u^2 = 24 - 4 for an exponential u of mean 1.
    assert abs(u.square().mean() - 2) < SIGMAS * math.sqrt(20 / u.numel())
    assert abs(u.mean() - 1) < SIGMAS / math.sqrt(u.numel())


def test_gaussian_field_is_made_in_chunks(monkeypatch):
    monkeypatch.setattr(synthetic, "_CHUNK_PIXELS", 3 * 16 * 17)
    field = images.gaussian_field(500, shape=(16, 17), alpha=1)  # 167 chunks, the last of two
    assert power_z_scores(field, 1).abs().max() < SIGMAS
    assert len(field.unique(dim=0)) == 500


def test_gaussian_field_seeds():
    first, again, other = (
        images.gaussian_field(2, shape=(8, 8), alpha=2, seed=s) for s in (3, 3, 4)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize("alpha", [-2000.0, 2000.0])
def test_gaussian_field_of_extreme_slope(alpha):
    field = images.gaussian_field(3, shape=(8, 50), alpha=alpha)
    assert torch.isfinite(field).all() and field.std() > 0.1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n": 0}, ValueError, "n must be at least 1, got 0"),
        ({"n": 1.5}, TypeError, "n must be an integer, got 1.5"),
        ({"shape": (8,)}, ValueError, r"shape must be a pair \(H, W\), got \(8,\)"),
        ({"shape": (8, 0)}, ValueError, r"shape\[1\] must be at least 1, got 0"),
        ({"shape": (1, 1)}, ValueError, "at least two pixels"),
        ({"alpha": math.nan}, ValueError, "alpha must be finite, got nan"),
        ({"alpha": math.inf}, ValueError, "alpha must be finite, got inf"),
        ({"alpha": "2"}, TypeError, "alpha must be a real number, got '2'"),
        ({"seed": 0.0}, TypeError, "seed must be an integer, got 0.0"),
    ],
)
def test_wrong_field_arguments(options, error, message):
    options = {"n": 2, "shape": (8, 8), "alpha": 2} | options
    with pytest.raises(error, match=message):
        images.gaussian_field(options.pop("n"), **options)


# Dead leaves


@pytest.fixture
def leaves(monkeypatch):
    """All leaves drawn so far: lists of centres, radii and grey levels, front to back."""
    drawn, draw_leaves = [], synthetic._draw_leaves

    def record(*args):
        drawn.append(draw_leaves(*args))
        return drawn[-1]

    monkeypatch.setattr(synthetic, "_draw_leaves", record)
    return drawn


def paint(leaves, shape, pixel):
    """Grey level at a pixel: that of the first leaf that reaches it, on the torus."""
    for centres, radii, greys in leaves:
        for centre, radius, grey in zip(centres.tolist(), radii.tolist(), greys, strict=True):
            gaps = [abs(p - c) for p, c in zip(pixel, centre, strict=True)]
            gaps = [min(gap, side - gap) for gap, side in zip(gaps, shape, strict=True)]
            if math.hypot(*gaps) <= radius:
                return grey.item()
    raise AssertionError(f"no leaf reaches {pixel}")


@pytest.mark.parametrize("r_min", [0.5, 2.0])
@pytest.mark.parametrize("shape", [(16, 16), (15, 21), (24, 13)])
def test_def_dead_leaves(leaves, shape, r_min):
    image = images.dead_leaves(1, shape=shape, r_min=r_min)[0, 0]
    for pixel in np.ndindex(*shape):
        assert image[pixel].item() == paint(leaves, shape, pixel)


def test_leaf_radii(leaves):
    images.dead_leaves(40, shape=(64, 64), r_min=1.0, r_max=16.0)
    radii = torch.cat([batch[1] for batch in leaves]).sort().values
    assert 1 <= radii[0] and radii[-1] <= 16

    def distance(power):  # of Kolmogorov and Smirnov, from a density r^-power
        share = (1 - radii ** (1 - power)) / (1 - 16.0 ** (1 - power))
        return (share - torch.linspace(0, 1, len(radii))).abs().max() * math.sqrt(len(radii))

    critical = math.sqrt(math.log(2 * 15_000) / 2)  # exceeded once in 15,000 samples
    assert distance(3) < critical
    assert distance(2.9) > critical  # negative control


def leaf_overlap(distance, r_min, r_max):
    """Mean area common to a random leaf and its copy shifted by a distance, times a constant."""
    r = np.geomspace(r_min, r_max, 4000)
    half = np.clip(distance[:, None] / (2 * r), 0, 1)
    lens = 2 * r**2 * (np.arccos(half) - half * np.sqrt(1 - half**2))
    return trapezoid(lens * r**-3, r, axis=1)


def leaf_covariance(shape, r_min, r_max):
    """Exact covariance (H, W) of dead leaves on the torus, by lag.

    Two pixels are equal if the first leaf that reaches either reaches both, which has probability
    overlap(h) / (2 overlap(0) - overlap(h)), and independent otherwise. Grey levels have variance
    1/12.
    """
    height, width = shape
    table = np.linspace(0, 2 * r_max, 400)
    overlap_at = leaf_overlap(table, r_min, r_max)
    overlap = np.zeros(shape)
    for up in (-height, 0, height):
        for left in (-width, 0, width):
            lag = np.hypot((np.arange(height) + up)[:, None], np.arange(width) + left)
            overlap += np.interp(lag, table, overlap_at, right=0)
    return torch.from_numpy(overlap / (2 * overlap[0, 0] - overlap) / 12)


def leaf_z_scores(leaves, covariance):
    """Ring averages of power against their expectation, in standard errors (R,)."""
    power = fourier.fft2(leaves.double() - 0.5).abs().square()  # 1/2 is the mean grey level
    expected = fourier.radial_average(torch.fft.fft2(covariance).real).mean
    seen = fourier.radial_average(power[:, 0]).mean  # (N, R)
    return (seen.mean(0) - expected) / (seen.std(0) / math.sqrt(len(seen)))


@pytest.mark.parametrize("shape", [(32, 32), (27, 40)])
def test_dead_leaves_have_the_power_of_the_model(shape):
    r_max = min(shape) / 2
    sample = images.dead_leaves(1000, shape=shape)
    assert leaf_z_scores(sample, leaf_covariance(shape, 2.0, r_max)).abs().max() < SIGMAS
    # Negative control: smallest radius off by a tenth.
    assert leaf_z_scores(sample, leaf_covariance(shape, 2.2, r_max)).abs().max() > SIGMAS


def log_log_slope(profile, low, high):
    """Slopes of the rows of a profile's mean (N, R)."""
    kept = (profile.frequency >= low) & (profile.frequency <= high)
    return np.polyfit(profile.frequency[kept].log(), profile.mean[:, kept].log().T, 1)[0]


def test_dead_leaves_fall_off_like_photographs():
    shape = (256, 256)
    sample = images.dead_leaves(40, shape=shape)
    power = fourier.fft2(sample[:, 0] - 0.5).abs().square()
    without_one = (power.sum(0) - power) / (len(power) - 1)  # jackknife over images
    slopes = log_log_slope(fourier.radial_average(without_one), 4, 32)
    error = math.sqrt((len(slopes) - 1) * np.var(slopes))
    theory = torch.fft.fft2(leaf_covariance(shape, 2.0, 128.0)).real[None]
    expected = log_log_slope(fourier.radial_average(theory), 4, 32).item()
    assert abs(np.mean(slopes) - expected) < SIGMAS * error
    assert error < 0.1
    assert -2.5 < expected < -1.5  # the range of natural images


def test_dead_leaves_are_many_and_fast(leaves):
    start = time.perf_counter()
    image = images.dead_leaves(1)
    assert time.perf_counter() - start < 1
    assert image.shape == (1, 1, 256, 256) and image.dtype == torch.float32
    assert sum(len(batch[1]) for batch in leaves) > 2000


def test_dead_leaves_seeds():
    first, again, other = (images.dead_leaves(2, shape=(16, 16), seed=s) for s in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n": 0}, ValueError, "n must be at least 1, got 0"),
        ({"shape": 64}, ValueError, r"shape must be a pair \(H, W\), got 64"),
        ({"shape": (3, 64)}, ValueError, "r_max <= 1.5 .*got r_min=2 and r_max=1.5"),
        ({"r_min": 0.1}, ValueError, "r_min must be at least 0.5, got 0.1"),
        ({"r_min": 4.0, "r_max": 4.0}, ValueError, "got r_min=4 and r_max=4"),
        ({"r_max": 17.0}, ValueError, r"r_max <= 16 \(half the shorter side\), got"),
        ({"r_max": math.nan}, ValueError, "r_max must be finite, got nan"),
        ({"r_min": "2"}, TypeError, "r_min must be a real number, got '2'"),
        ({"seed": -1}, ValueError, "seed must be between 0 and"),
    ],
)
def test_wrong_leaf_arguments(options, error, message):
    options = {"n": 1, "shape": (32, 40)} | options
    with pytest.raises(error, match=message):
        images.dead_leaves(options.pop("n"), **options)
