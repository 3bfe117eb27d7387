"""Ridge regression on few Gaussian images: the formula against samples."""

import math

import pytest
import torch
from draws import falling_power, moments, noise, white_teacher

from freqsense import fourier, images, theory

ONES = torch.ones(3, 4)


@pytest.mark.parametrize("n_images", [1, 7, 30, 1000])
@pytest.mark.parametrize("weight_decay", [1e-6, 0.3, 20.0])
def test_eq_sample_decay(n_images, weight_decay):
    power, _ = moments((5, 6))
    kappa = theory.sample_decay(power, weight_decay=weight_decay, n_images=n_images)
    share = float((power / (power + kappa)).sum()) / n_images
    assert kappa >= weight_decay
    assert kappa == pytest.approx(weight_decay + kappa * share, rel=1e-9)


def test_white_images_have_a_quadratic_equation():
    """κ² + κ (1 - λ - D/N) - λ = 0 for power 1."""
    for n_images in (20, 64, 300):
        kappa = theory.sample_decay(torch.ones(8, 8), weight_decay=0.1, n_images=n_images)
        half = (1 - 0.1 - 64 / n_images) / 2
        assert kappa == pytest.approx(-half + math.sqrt(half**2 + 0.1))


@pytest.mark.parametrize(("alpha", "share"), [(0.0, 0.25), (2.0, 0.25), (1.0, 1.0), (2.0, 4.0)])
def test_eq_few_images_ridge(alpha, share):
    """Exact minimisers on samples, over and under as many images as pixels."""
    shape, weight_decay, seeds = (10, 11), 0.1, range(60)
    n_images, n_pixels = int(share * math.prod(shape)), math.prod(shape)
    radius = fourier.radial_frequency(shape)
    power = torch.where(radius > 0, radius.where(radius > 0, 1.0) ** -alpha, 0.0).double()
    power = power * n_pixels / power.sum()
    teacher = white_teacher(shape) / n_pixels**0.5
    squares, left = 0.0, 0.2  # what the teacher leaves of y, a standard deviation
    for seed in seeds:
        x = images.gaussian_field(n_images, shape=shape, alpha=alpha, seed=seed).double()
        y = (fourier.fft2(x[:, 0]) * teacher).sum((1, 2)).real + left * noise(
            n_images, seed=seed + 999
        )
        B = theory.solve(x, y, weight_decay=weight_decay, depth=1).B[..., 0, 0]
        squares = squares + B.abs().square() / len(seeds)
    expected = theory.predict_few_images(
        power, power * teacher, weight_decay=weight_decay, n_images=n_images, noise=left**2
    )
    error = (squares.sum() / expected.square().sum()).sqrt()
    assert abs(error - 1) < 0.05
    whole = theory.predict_sensitivity(power, power * teacher, weight_decay=weight_decay, depth=1)
    assert share > 1 or abs((squares.sum() / whole.square().sum()).sqrt() - 1) > 0.1


def test_many_images_leave_the_formula_of_the_population():
    power, cross = falling_power((6, 7)), falling_power((6, 7)) * white_teacher((6, 7))
    found = theory.predict_few_images(power, cross, weight_decay=0.5, n_images=10**10)
    expected = theory.predict_sensitivity(power, cross, weight_decay=0.5, depth=1)
    assert torch.allclose(found, expected, rtol=1e-6)
    assert found[0, 0] == 0 or power[0, 0] > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight_decay": 0}, "weight_decay must be positive"),
        ({"n_images": 0}, "n_images"),
        ({"noise": -1.0}, "noise"),
        ({"power": torch.ones(2, 3, 4), "cross": torch.ones(2, 3, 4)}, r"shape \(H, W\)"),
        ({"power": -ONES}, "power must not be negative"),
    ],
)
def test_what_cannot_be_is_refused(change, message):
    arguments = {"power": ONES, "cross": ONES, "weight_decay": 1.0, "n_images": 5} | change
    with pytest.raises(ValueError, match=message):
        theory.predict_few_images(**arguments)
