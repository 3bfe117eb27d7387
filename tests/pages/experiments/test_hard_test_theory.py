"""What recolouring does to a slope, and what labels say at a frequency: statements and claims."""

import math

import numpy as np
import pytest
import torch
from draws import noise
from tolerances import SIGMAS

from freqsense import experiments, filters, fourier, theory

SHAPE = (16, 16)


def filtered(g, s0, gamma0, weight_decay, depth):
    """Sensitivity (n,) of single frequencies after a gain, on grids of one pixel (κ = λ)."""
    s, gamma = (g**2 * s0)[:, None, None], (g * gamma0)[:, None, None]
    return theory.predict_sensitivity(s, gamma, weight_decay=weight_decay, depth=depth).flatten()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_prop_recolored(seed):
    s0, gamma0, lam = (0.3 + noise(3, seed=seed).abs()).tolist()
    g = torch.logspace(-2, 2, 20_001, dtype=torch.float64)
    turning = {1: math.sqrt(lam / s0), 2: 2 * lam / gamma0}
    height = {1: gamma0 / (2 * math.sqrt(s0 * lam)), 2: gamma0**2 / (4 * lam * s0)}
    for depth in (1, 2):
        r = filtered(g, s0, gamma0, lam, depth)
        assert float(g[r.argmax()]) == pytest.approx(turning[depth], rel=1e-3)
        assert float(r.max()) == pytest.approx(height[depth], rel=1e-6)
        below = (g < 0.999 * turning[depth]) & (r > 0)
        assert (r[below].diff() > 0).all()
        assert (r[g > 1.001 * turning[depth]].diff() < 0).all()
    assert torch.equal(filtered(g, s0, gamma0, lam, 2) > 0, g * gamma0 > lam)


@pytest.mark.parametrize("depth", [1, 2])
def test_prop_recolored_response_to_power(depth):
    s0, gamma0, lam = 0.7, 1.3, 0.4
    g = torch.logspace(-2, 2, 4001, dtype=torch.float64)
    g = g[g * gamma0 > 1.2 * lam] if depth == 2 else g
    r = filtered(g, s0, gamma0, lam, depth)
    (slope,) = torch.gradient(r.log(), spacing=((2 * g.log()),))
    s, gamma = g**2 * s0, g * gamma0
    exact = (lam - s) / (lam + s) if depth == 1 else (2 * lam - gamma) / (gamma - lam)
    assert torch.allclose(slope[1:-1], exact[1:-1] / 2, rtol=1e-2, atol=1e-4)
    assert (slope[1:-1] > -0.5).all()
    assert (slope.max() < 0.5) == (depth == 1)


def test_the_elasticity_at_depth_two_has_no_upper_bound():
    s0, gamma0, lam = 0.7, 1.3, 0.4
    g = lam / gamma0 * (1 + torch.logspace(-4, -1, 4, dtype=torch.float64))
    step = 1e-6
    ahead, behind = (filtered(g * (1 + sign * step), s0, gamma0, lam, 2) for sign in (1, -1))
    elasticity = (ahead / behind).log() / (4 * step)
    assert elasticity[0] > 1000 and (elasticity.diff() < 0).all()


def test_a_slope_can_respond_by_more_than_any_of_its_frequencies():
    k = torch.arange(1.0, 13.0, dtype=torch.float64)
    x = k.log() - k.log().mean()

    def slope(r):
        return float((r.log() * x).sum() / x.square().sum())

    s0, lam = k**-2.0, 0.07
    # From -0.5 to 0 the slope of power changes by 1 and the labels stay.
    r = [filtered(k**delta, s0, s0, lam, 1) for delta in (-0.5, 0.0)]
    assert slope(r[1]) - slope(r[0]) > 0.55
    pointwise = (r[1] / r[0]).log()[1:] / k.log()[1:]
    assert (pointwise.abs() <= 0.5).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_a_filter_divides_the_teacher_of_real_images(seed):
    # No population: the moments of a data set change exactly as the proposition says.
    x, delta = noise(200, 1, *SHAPE, seed=seed), 0.7
    y = noise(200, seed=seed + 10)
    gain = fourier.radial_frequency(SHAPE).double().clamp(min=1) ** delta
    s, gamma = experiments.label_statistics(x, y)
    after = experiments.label_statistics(filters.recolor(x, delta), y)
    assert torch.allclose(after[0], gain**2 * s)
    assert torch.allclose(after[1], gain * gamma)


def test_a_white_spectrum_leaves_a_slope_that_no_decay_changes():
    k = torch.arange(1.0, 13.0, dtype=torch.float64)
    s0, g = k**-2.0, k
    for lam in (1e-5, 1e-3, 1e-1):
        r = filtered(g, s0, s0, lam, 1)
        assert torch.allclose(r / r[0], 1 / k)


def test_the_slope_turns_round():
    k = torch.arange(1.0, 13.0, dtype=torch.float64)
    x = k.log() - k.log().mean()
    slopes = []
    for delta in (-0.5, 0.0, 0.5, 1.0, 1.5, 2.0):
        r = filtered(k**delta, k**-2.0 / 20, k**-2.0 / 20, 1e-3, 1)
        slopes.append(float((r.log() * x).sum() / x.square().sum()))
    assert slopes[0] < slopes[1] - 0.2
    assert (np.diff(slopes[2:]) < 0).all()


def test_def_label_statistics():
    images = noise(30, 2, 6, 8)
    labels = torch.arange(30) % 3
    s, gamma = experiments.label_statistics(images, labels)
    xhat = fourier.fft2(images)
    y = torch.stack([(labels == k).double() - (labels == k).double().mean() for k in range(3)])
    terms = torch.stack(
        [(xhat[:, c].conj() * y[k, :, None, None]).mean(0) for c in range(2) for k in range(3)]
    )
    assert torch.allclose(s, xhat.abs().square().mean(0).sum(0))
    assert torch.allclose(gamma, terms.abs().square().sum(0).sqrt())


def test_def_label_statistics_is_the_cross_spectrum_of_one_target():
    images, y = noise(50, 1, *SHAPE), noise(50, seed=1)
    s, c = theory.second_moments(images, y - y.mean())
    power, gamma = experiments.label_statistics(images, y)
    assert torch.allclose(power, s)
    assert torch.allclose(gamma, c.abs())


@pytest.mark.parametrize("seed", [0, 1])
def test_lem_label_floor(seed):
    images = noise(40, 2, 4, 6, seed=seed) + 0.5  # a mean image, which must not count
    labels = torch.tensor([0] * 20 + [1] * 15 + [2] * 5)
    own = torch.Generator().manual_seed(seed)
    draws = torch.stack(
        [
            experiments.label_statistics(images, labels[torch.randperm(40, generator=own)])[1] ** 2
            for _ in range(400)
        ]
    )
    shares = torch.tensor([20, 15, 5]).double() / 40
    V = fourier.fft2(images).var(0, correction=0).sum(0)
    floor = V * (1 - shares.square().sum()) / 39
    error = draws.std(0) / math.sqrt(len(draws))
    assert ((draws.mean(0) - floor).abs() < (SIGMAS + 1) * error).all()
    # With the mean image counted in, the floor at DC would be far off.
    s = fourier.fft2(images).abs().square().mean(0).sum(0)
    assert s[0, 0] > 2 * V[0, 0]


def test_a_second_layer_switches_rings_on_and_responds_by_more_than_one_half():
    k = torch.arange(1.0, 9.0, dtype=torch.float64)
    x = (k.log() - k.log().mean()) / (k.log() - k.log().mean()).square().sum()
    s0, lam = k**-2.0, 0.7
    found = {}
    for depth, decay in ((1, lam), (2, 0.9 * float(s0[-1]))):
        # At δ = 0 the last ring of depth 2 is just above κ.
        r = [filtered(k**delta, s0, s0, decay, depth) for delta in (0.0, 0.1)]
        found[depth] = float((r[1].log() * x).sum() - (r[0].log() * x).sum()) / 0.2
    assert found[1] < 0.6 and found[2] > 1
