"""Statements of the page on the order of learning that the tests of theory do not check."""

import math

import pytest
import torch
from draws import moments, noise
from networks import balanced, descend
from scipy.stats import spearmanr

from freqsense import fourier, theory

SHAPES = [(6, 6), (5, 5), (4, 7)]


def rank(a, b):
    return spearmanr(a.flatten(), b.flatten()).statistic


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_def_gradient_flow(shape, depth):
    """Descent differs from flow by an error proportional to the step, at all times."""
    power, cross = moments(shape, floor=0.2)
    loss = theory.population_loss(power, cross)
    start, times = 0.05 * cross / cross.abs(), torch.linspace(0, 0.3, 11)
    exact = theory.learning_curves(power, cross, depth=depth, times=times, start=0.05)
    errors = []
    for steps in (300, 600, 1200):
        path = descend(balanced(start, depth), loss, 0.3 / steps, steps, steps // 10).abs()
        errors.append((path - exact).abs().max())
    assert errors[0] < 0.05
    assert 1.8 < errors[0] / errors[1] < 2.2 and 1.8 < errors[1] / errors[2] < 2.2


@pytest.mark.parametrize("theta", [0.3, 0.9])
def test_thm_learning_order(theta):
    power = torch.tensor([[2.0, 0.5, 1.0]], dtype=torch.float64)
    cross = torch.tensor([[0.5, 1.0, 0.7]], dtype=torch.float64)
    n_pixels = 3

    def reach(depth, start, share):
        law = escape_time(depth, start)
        times = torch.linspace(0, float(3 * law.max()), 60_001)
        r = theory.learning_curves(power, cross, depth=depth, times=times, start=start)
        return times[(r < share * cross / power).sum(0)]

    def escape_time(depth, start):
        if depth == 1:
            return -math.log(1 - theta) / power
        if depth == 2:
            return math.log(1 / start) / (2 * n_pixels**0.5 * cross)
        q = 1 - 2 / depth
        return start**-q / (q * depth * n_pixels ** (1 - 1 / depth) * cross)

    for depth, starts in ((1, (1e-5, 1e-8)), (2, (1e-20, 1e-80)), (3, (1e-6, 1e-10))):
        errors = []
        for start in starts:
            seen = reach(depth, start, theta)
            errors.append((seen / escape_time(depth, start) - 1).abs().max())
            if depth > 1:
                assert rank(seen, cross) == pytest.approx(-1)
        assert errors[1] < 0.05 and (errors[1] < errors[0] or errors[0] < 1e-3)
    # The rise takes a vanishing share of the wait.
    shares = [(reach(3, start, 0.9) / reach(3, start, 0.1)).max() for start in (1e-4, 1e-8)]
    assert shares[1] < shares[0] and shares[1] < 1.02


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_depth_decides_whether_power_or_correlation_orders_learning(seed):
    """Trained weights, a random teacher: power at depth 1, correlation at depth 2."""
    shape, n_pixels = (8, 9), 72
    radius = fourier.radial_frequency(shape).double()
    alive = radius > 0
    power = torch.where(alive, 1 / radius.clamp(min=0.5), 0.0)
    power = power * n_pixels / power.sum()
    parts = fourier.fft2(noise(2, *shape, seed=seed))
    b = (0.3 + parts[1].abs()) * parts[0] / parts[0].abs() / n_pixels**0.5
    cross = power * b
    phase = torch.where(alive, cross / cross.abs().clamp(min=1e-300), 1)
    for depth, own, other in ((1, power, power * b.abs()), (2, power * b.abs(), power)):
        model = balanced(1e-4 * phase, depth, width=1)
        path = descend(model, theory.population_loss(power, cross), 0.02, 600, 4).abs()
        half = (path < b.abs() / 2).sum(0)[alive]
        assert (half < len(path)).all()
        assert rank(half, own[alive]) < -0.97 < -0.9 < rank(half, other[alive])


def test_the_exercise_by_hand():
    power, cross = torch.tensor([[8.0, 1.0]]), torch.tensor([[0.2, 0.4]])
    power, cross = (torch.cat([v.double(), torch.zeros(1, 98).double()], 1) for v in (power, cross))
    times = torch.linspace(0, 5, 5001)
    for depth, expected in ((1, [0.09, 0.69]), (2, [2.5, 1.6])):
        r = theory.learning_curves(power, cross, depth=depth, times=times, start=1e-6)
        half = times[(r[:, 0, :2] < (cross / power)[0, :2] / 2).sum(0)]
        assert half.tolist() == pytest.approx(expected, abs=0.05)
