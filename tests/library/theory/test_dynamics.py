"""Learning curves: against an integrator, and when they escape."""

import math

import numpy as np
import pytest
import torch
from draws import noise
from scipy.integrate import solve_ivp

from freqsense import theory

ONES = torch.ones(3, 4)
NO_POWER = torch.tensor([1.0, 1.0, 5e-324], dtype=torch.float64)[:, None].expand(3, 4)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("start", [1e-4, 0.02, 3.0])
def test_thm_gradient_flow(depth, start):
    """Against an integrator, from far below and far above the goal, and without correlation."""
    power, cross = 3 * noise(4, 5).square(), noise(4, 5, seed=1).abs()
    cross[0, 0], cross[1, 1], power[2, 2] = 1e-4, 0.0, 0.0
    times = torch.linspace(0, 3, 7)
    r = theory.learning_curves(power, cross, depth=depth, times=times, start=start)
    s = power.flatten().numpy()
    gamma = np.where(s > 0, cross.flatten().numpy(), 0)
    speed = depth * 20 ** (1 - 1 / depth)
    flow = solve_ivp(
        lambda t, r: speed * np.abs(r) ** (2 - 2 / depth) * (gamma - s * r),
        (0, 3),
        np.full(20, start),
        t_eval=times.numpy(),
        rtol=1e-12,
        atol=1e-14,
        method="DOP853",
    )
    assert r.shape == (7, 4, 5)
    assert torch.allclose(r.flatten(1), torch.from_numpy(flow.y.T), rtol=1e-7, atol=1e-9)


def test_frequencies_are_learned_in_the_order_of_their_correlation_from_depth_two_on():
    """At depth one the order is that of power."""
    power = torch.tensor([[4.0, 1.0, 0.25]], dtype=torch.float64)
    cross = torch.tensor([[0.5, 1.0, 2.0]], dtype=torch.float64)
    times = torch.linspace(0, 60, 20_001)
    for depth, order in ((1, [0, 1, 2]), (2, [2, 1, 0]), (3, [2, 1, 0])):
        r = theory.learning_curves(power, cross, depth=depth, times=times, start=1e-5)[:, 0]
        half = (r < cross[0] / power[0] / 2).sum(0)
        assert half.argsort().tolist() == order
        assert (half < len(times)).all()


@pytest.mark.parametrize("depth", [3, 4, 5])
def test_deep_networks_escape_late(depth):
    """The time to leave a small start grows as the formula says."""
    s, gamma, start = 1.0, 0.7, 1e-7
    expected = start ** -(1 - 2 / depth) / ((1 - 2 / depth) * depth * gamma)
    times = torch.linspace(0.5 * expected, 1.5 * expected, 2001)
    one = torch.ones(1, 1, dtype=torch.float64)
    r = theory.learning_curves(s * one, gamma * one, depth=depth, times=times, start=start)
    half = times[(r.flatten() < gamma / 2).sum()]
    assert half == pytest.approx(expected, rel=0.05)
    frozen = theory.learning_curves(one, one, depth=depth, times=times, start=0.0)
    assert (frozen == 0).all()


@pytest.mark.parametrize("depth", [3, 5, 8])
def test_tiny_starts_escape_when_the_formula_says(depth):
    """The start is left so slowly that times after the escape are lost in rounding, not before."""
    one = torch.ones(1, 1, dtype=torch.float64)
    for start in (1e-30, 1e-100):
        escape = start ** -(1 - 2 / depth) / ((1 - 2 / depth) * depth)
        times = escape * torch.tensor([0.0, 0.5, 1.01], dtype=torch.float64)
        r = theory.learning_curves(one, one, depth=depth, times=times, start=start).flatten()
        assert r[0] < 1e-29 and r[1] < 1e-20 and r[2] == pytest.approx(1)


@pytest.mark.parametrize("depth", [3, 4, 8])
@pytest.mark.parametrize("start", [1e12, 1e29, 1e50, 1e100])
def test_far_starts_fall_to_the_goal(depth, start):
    """In logarithms of time and size, against an integrator, and on to the goal itself."""
    times = np.logspace(math.log10(0.01 * start ** (2 / depth - 2)), 1, 12)
    found = solve_ivp(
        lambda x, v: depth * np.exp(x + (1 - 2 / depth) * v) * -np.expm1(v),
        (math.log(times[0]) - 20, math.log(times[-1])),
        [math.log(start)],
        t_eval=np.log(times),
        rtol=1e-10,
        atol=1e-10,
        method="LSODA",
    )
    one = torch.ones(1, 1, dtype=torch.float64)
    run = {"depth": depth, "start": start}
    r = theory.learning_curves(one, one, times=times, **run).flatten()
    assert torch.allclose(r.log(), torch.from_numpy(found.y[0]), atol=1e-6)
    assert (r[:1] > 0.1 * start).all() and (r.diff() <= 0).all()
    late = theory.learning_curves(one, one, times=[100.0], **run)
    assert late.item() == pytest.approx(1.0, abs=1e-12)
    # What has no correlation goes on falling.
    fallen = theory.learning_curves(one, 0 * one, times=[100.0], **run)
    assert 0 < fallen.item() < 0.1


def curves(power=ONES, cross=ONES, times=(1.0,), start=0.1):
    return theory.learning_curves(power, cross, depth=2, times=times, start=start)


def test_plain_numbers_keep_their_digits():
    at_start = theory.learning_curves(ONES, ONES, depth=1, times=[0.0], start=0.1)
    assert (at_start == 0.1).all()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: curves(times=torch.tensor([-1.0])), ValueError, "times"),
        (lambda: curves(times=torch.tensor([1j])), TypeError, "times must be real"),
        (lambda: curves(times=None), TypeError, "times must be an array of numbers, got NoneType"),
        (lambda: curves(start="a"), TypeError, "start must be an array of numbers, got str"),
        (lambda: curves(start=ONES + 0j), TypeError, "start must be real"),
        (lambda: curves(start=math.nan), ValueError, "start must be 0 or .* got nan"),
        (lambda: curves(start=1e-200), ValueError, "start must be 0 or 1e-100 to .* got 1e-200"),
        (lambda: curves(start=-1.0), ValueError, "start"),
        (lambda: curves(times=[1e200]), ValueError, r"times must be finite .* got \[1e\+200\]"),
        (lambda: curves(NO_POWER, times=[1e3]), ValueError, "leaves the range of float64"),
        (lambda: curves(start=torch.ones(2, 4)), ValueError, r"shape \(3, 4\)"),
        (
            lambda: curves(power=torch.ones(2, 3, 4), cross=torch.ones(2, 3, 4)),
            ValueError,
            r"\(H, W\)",
        ),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()
