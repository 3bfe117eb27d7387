"""Statements of the page on other losses: two numbers for all frequencies."""

import math

import pytest
import torch
from draws import falling_power, noise, white_teacher
from scipy.optimize import brentq

from freqsense import fourier, images, theory


def normal_mean(function, variance):
    """Mean of a function of a normal variable."""
    z = torch.linspace(-9, 9, 4001, dtype=torch.float64)
    weight = torch.exp(-z.square() / 2)
    return float((weight * function(variance**0.5 * z)).sum() / weight.sum())


def logistic_curvature(variance):
    return normal_mean(lambda f: torch.sigmoid(f) * torch.sigmoid(-f), variance)


@pytest.mark.parametrize("seed", range(3))
def test_thm_other_losses(seed):
    """The derivative is s (h B - a b*) at any map B, not only at a minimum."""
    shape, n = (4, 5), 400_000
    x = images.gaussian_field(n, shape=shape, alpha=1.0, seed=seed).double()[:, 0]
    xhat = fourier.fft2(x)
    B, teacher = (fourier.fft2(noise(*shape, seed=seed + k)) / 5 for k in (1, 2))
    f, u = ((b * xhat).sum((1, 2)).real for b in (B, teacher))
    radius = fourier.radial_frequency(shape)
    power = radius.where(radius > 0, math.inf) ** -1.0
    power = power * 20 / power.sum()
    y = u.sign()
    slope = -y * torch.sigmoid(-y * f)  # of the logistic loss
    measured = (xhat.conj() * slope[:, None, None]).mean(0)
    h = logistic_curvature(float((power * B.abs().square()).sum()))
    a = 1 / math.sqrt(2 * math.pi * float((power * teacher.abs().square()).sum()))
    expected = power * (h * B - a * teacher)
    error = power.sqrt() / n**0.5  # |∂ℓ| is at most 1
    assert ((measured - expected).abs() < 5 * error)[power > 0].all()
    assert ((measured - power * (h * B - 2 * a * teacher)).abs() > 20 * error).any()


def logistic_prediction(power, teacher, weight_decay, depth):
    """For y = sign(u): s becomes h s, and c becomes a s b*, with a the density of u at 0."""
    a = 1 / math.sqrt(2 * math.pi * float((power * teacher.abs().square()).sum()))

    def predict(v):
        return theory.predict_sensitivity(
            logistic_curvature(v) * power,
            a * power * teacher,
            weight_decay=weight_decay,
            depth=depth,
        )

    return predict(brentq(lambda v: float((power * predict(v).square()).sum()) - v, 1e-9, 1e5))


@pytest.mark.parametrize("depth", [1, 2])
def test_logistic_loss_on_sampled_images_approaches_the_curve(depth):
    shape, weight_decay = (6, 5), 0.05
    power = fourier.radial_frequency(shape)
    power = power.where(power > 0, math.inf) ** -2.0
    power = power * 30 / power.sum()
    teacher = white_teacher(shape) / 30**0.5
    expected, errors = logistic_prediction(power, teacher, weight_decay, depth), []
    for n in (1000, 16000):
        x = images.gaussian_field(n, shape=shape, alpha=2.0, seed=3).double()
        labels = (fourier.fft2(x[:, 0]) * teacher).sum((1, 2)).real.sign()
        solution = theory.solve(
            x, labels, weight_decay=weight_decay, depth=depth, loss="logistic", tolerance=1e-7
        )
        errors.append(float((solution.B[..., 0, 0].abs() - expected).norm() / expected.norm()))
    assert errors[1] < 0.06 and errors[1] < errors[0] / 2


@pytest.mark.parametrize("seed", [0, 1])
def test_logistic_loss_silences_all_at_half_the_decay_of_squared_loss_at_depth_two(seed):
    """With labels ±1, on any images: at depth 2 the curvature plays no part."""
    x, y = noise(60, 1, 5, 6, seed=seed), noise(60, seed=seed + 9).sign()
    _, cross = theory.second_moments(x, y)
    edge = float(cross.abs().max()) * 30**0.5  # of the squared loss, in λ
    for loss, factor in (("squared", 1.0), ("logistic", 0.5)):
        for share, heard in ((1.01, False), (0.97, True)):
            B = theory.solve(x, y, weight_decay=share * factor * edge, depth=2, loss=loss).B
            assert bool(B.abs().max() > 1e-9) == heard, (loss, share)


@pytest.mark.parametrize("variance", [0.0, 1.0, 30.0])
def test_the_corner_of_logistic_loss_at_depth_one_is_at_least_four_times_as_high(variance):
    h = logistic_curvature(variance) if variance else 0.25
    assert 0 < h <= 0.25
    s, a = torch.tensor([[3.0]]).double(), 0.7
    # Half of the teacher (a / h) b* is reached at the power λ / h.
    lam = float(h * s)
    r = theory.predict_sensitivity(h * s, a * s, weight_decay=lam, depth=1)
    assert float(r) == pytest.approx(a / h / 2)
    assert float(s) == pytest.approx(lam / h) and lam / h >= 4 * lam


def mirrored_task(power, teacher, n_pairs):
    """Images of exactly this power, in pairs mirrored at the teacher, and the signs of u."""
    white = noise(n_pairs, *power.shape).flatten(1)
    normalised = torch.linalg.qr(white)[0] * math.sqrt(n_pairs)  # covariance 1, exactly
    xhat = fourier.fft2(normalised.unflatten(1, power.shape)) * power.sqrt()
    direction = power * teacher.conj() / power.sum()  # E[x̂ u] / E[u²], |b*| = 1
    u = (xhat * teacher).real.sum((-2, -1))
    mirrored = 2 * u[:, None, None] * direction - xhat
    x = fourier.ifft2(torch.cat([xhat, mirrored])).real[:, None]
    return x, torch.cat([u, u]).sign()


@pytest.mark.parametrize("depth", [1, 2])
def test_logistic_loss_on_gaussian_images_needs_two_scalars_only(depth):
    """Stein's lemma; the rest is sampling error."""
    power, teacher, weight_decay = falling_power((8, 8)), white_teacher((8, 8)), 0.1
    x, y = mirrored_task(power, teacher, 60_000)
    solution = theory.solve(
        x, y, weight_decay=weight_decay, depth=depth, loss="logistic", tolerance=1e-8
    )
    solved = solution.B[..., 0, 0].abs()
    expected = logistic_prediction(power, teacher, weight_decay, depth)
    assert (solved - expected).norm() < 5e-3 * expected.norm()
    assert torch.equal(solved < 1e-3 * solved.max(), expected == 0)
    squared = theory.predict_sensitivity(power, power, weight_decay=weight_decay, depth=depth)
    assert (solved - squared).norm() > 0.1 * squared.norm()  # that loss has another curve
