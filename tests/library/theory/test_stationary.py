"""Sensitivity on stationary images: the formulas against brute force."""

import math

import numpy as np
import pytest
import torch
from draws import all_shifts, noise
from formulas import scalar_objective
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from tolerances import ATOL

from freqsense import filters, fourier, theory

TIGHT = ATOL[torch.float64]
sizes = st.floats(0.05, 20.0)
decays = st.floats(0.01, 20.0)
depths = st.integers(1, 8)
ONES = torch.ones(3, 4)
CORRELATED = torch.eye(2).expand(3, 4, 2, 2)


def predict_one(s, gamma, weight_decay, depth, n_pixels=1, branch="global"):
    """Prediction for one frequency, with κ = λ n_pixels^(1/L - 1)."""
    decay = weight_decay * n_pixels ** (1 / depth - 1)  # on a grid of one pixel
    one = torch.tensor([[1.0]], dtype=torch.float64)
    return theory.predict_sensitivity(
        s * one, gamma * one, weight_decay=decay, depth=depth, branch=branch
    ).item()


# --- one frequency ---


@given(s=sizes, gamma=sizes, weight_decay=decays, depth=depths, n_pixels=st.sampled_from([1, 16]))
def test_eq_scalar_problem(s, gamma, weight_decay, depth, n_pixels):
    """No sensitivity does better than the predicted one: a grid first, then a local search."""
    kappa = weight_decay * n_pixels ** (1 / depth - 1)
    r = predict_one(s, gamma, weight_decay, depth, n_pixels)

    def objective(x):
        return scalar_objective(x, s, gamma, kappa, depth)

    grid = np.linspace(0, gamma / s, 2001)
    best = grid[objective(grid).argmin()]
    width = grid[1]
    found = minimize_scalar(
        objective, bounds=(max(best - width, 0), best + width), method="bounded"
    )
    assert objective(r) <= min(found.fun, 0.0) + 1e-12 * (1 + abs(found.fun))
    close = 1e-3 * gamma / s
    values = objective(np.array([r, best]))
    assert abs(r - best) <= close or abs(values[0] - values[1]) <= 1e-6 * (1 + abs(values[0]))


@given(s=sizes, gamma=sizes, weight_decay=decays)
def test_thm_closed_forms(s, gamma, weight_decay):
    assert predict_one(s, gamma, weight_decay, 1) == pytest.approx(gamma / (s + weight_decay))
    for n_pixels in (1, 9):
        kappa = weight_decay / math.sqrt(n_pixels)
        expected = max(gamma - kappa, 0) / s
        assert predict_one(s, gamma, weight_decay, 2, n_pixels) == pytest.approx(expected)


@given(s=sizes, weight_decay=decays, depth=st.integers(3, 8))
def test_thm_branches(s, weight_decay, depth):
    found = theory.branches(s, weight_decay=weight_decay, depth=depth, n_pixels=1)
    r_local, gamma_local = found.r_local.item(), found.gamma_local.item()
    r_star, gamma_star = found.r_global.item(), found.gamma_global.item()
    q = 2 / depth - 1
    for r, gamma in ((r_local, gamma_local), (r_star, gamma_star)):
        assert gamma == pytest.approx(s * r + weight_decay * r**q)  # stationary
    assert s + q * weight_decay * r_local ** (q - 1) == pytest.approx(0, abs=1e-9 * s)  # a fold
    at_star = scalar_objective(r_star, s, gamma_star, weight_decay, depth)
    assert at_star == pytest.approx(0, abs=1e-9 * (s * r_star**2))  # as good as r = 0
    for branch, gamma, r in (("upper", gamma_local, r_local), ("global", gamma_star, r_star)):
        assert predict_one(s, gamma * (1 - 1e-6), weight_decay, depth, branch=branch) == 0
        above = predict_one(s, gamma * (1 + 1e-6), weight_decay, depth, branch=branch)
        assert above == pytest.approx(r, rel=0.01)
        assert above > r
    between = (gamma_local + gamma_star) / 2
    upper = predict_one(s, between, weight_decay, depth, branch="upper")
    assert scalar_objective(upper, s, between, weight_decay, depth) > 0  # local, not global
    assert predict_one(s, between, weight_decay, depth) == 0


def test_branches_at_depth_one_and_two():
    power = torch.tensor([1.0, 4.0])
    for depth, gamma in ((1, 0.0), (2, 0.5)):
        found = theory.branches(power, weight_decay=2.0, depth=depth, n_pixels=16)
        assert found.gamma_local.tolist() == found.gamma_global.tolist() == [gamma, gamma]
        assert found.r_local.tolist() == found.r_global.tolist() == [0, 0]


@given(target=sizes, low=sizes, factor=st.floats(1.0, 10.0), weight_decay=decays, depth=depths)
def test_thm_sensitivity_monotone(target, low, factor, weight_decay, depth):
    """More power, or less decay, never lowers sensitivity for the same teacher."""
    high = low * factor
    r_low = predict_one(low, low * target, weight_decay, depth)
    r_high = predict_one(high, high * target, weight_decay, depth)
    assert 0 <= r_low <= r_high * (1 + 1e-9)
    assert r_high <= target * (1 + 1e-12)
    assert predict_one(low, low * target, weight_decay * factor, depth) <= r_low * (1 + 1e-9)


@given(target=sizes, weight_decay=decays, depth=depths, n_pixels=st.sampled_from([1, 64]))
def test_thm_sensitivity_threshold(target, weight_decay, depth, n_pixels):
    s_star = theory.threshold(target, weight_decay=weight_decay, depth=depth, n_pixels=n_pixels)
    jump = theory.jump(target, depth)
    assert jump == pytest.approx(target * max(depth - 2, 0) / max(depth - 1, 1))
    if depth == 1:
        assert s_star == 0
        return
    below, above = (
        predict_one(s, s * target, weight_decay, depth, n_pixels)
        for s in (s_star * (1 - 1e-7), s_star * (1 + 1e-7))
    )
    assert below == 0
    assert above == pytest.approx(jump, rel=1e-3, abs=1e-6 * target)


def test_the_threshold_moves_both_ways_with_depth():
    constants = [
        theory.threshold(1.0, weight_decay=1.0, depth=depth, n_pixels=1) for depth in (2, 3, 4)
    ]
    assert constants == pytest.approx([1, 2.52, 3.67], abs=5e-3)
    for target, n_pixels, rises in ((1.0, 1, True), (1.0, 256, False)):
        s = [
            theory.threshold(target, weight_decay=0.3, depth=depth, n_pixels=n_pixels)
            for depth in (2, 3, 4)
        ]
        expected = [
            0.3 * c * (n_pixels * target**2) ** (1 / depth - 1)
            for c, depth in zip(constants, (2, 3, 4), strict=True)
        ]
        assert s == pytest.approx(expected)
        assert (s == sorted(s)) == rises
    tensor = theory.threshold(torch.tensor([1.0, 2.0]), weight_decay=1.0, depth=2, n_pixels=4)
    assert tensor.tolist() == [0.5, 0.25]


@given(target=sizes, weight_decay=decays, depth=depths)
def test_thm_sensitivity_saturation(target, weight_decay, depth):
    """Far above κ|b*|^(2/L-2) the teacher alone decides."""
    scale = weight_decay * target ** (2 / depth - 2)
    for factor in (100, 1e6):
        s = factor * scale
        r = predict_one(s, s * target, weight_decay, depth)
        assert r == pytest.approx(target, rel=2 / factor)
    s = 0.1 * scale
    assert predict_one(s, s * target, weight_decay, depth) < 0.1 * target  # and far below, does not


def test_thm_sensitivity_no_power():
    """High-passed images: exactly nothing at the frequencies removed, in theory and in solve."""
    x = filters.high_pass(noise(60, 1, 6, 6), 2)
    y = noise(60, seed=1)
    empty = fourier.radial_mask((6, 6), 0, 2)
    for depth in (1, 2):
        S = theory.solve(x, y, weight_decay=0.1, depth=depth).B.abs()[..., 0, 0]
        assert S[empty].max() < 1e-14
        assert S[~empty].max() > 1e-2
    power = (~empty).double()
    for depth in (1, 2, 3, 5):
        for weight_decay in (0.0, 0.1):
            r = theory.predict_sensitivity(power, power, weight_decay=weight_decay, depth=depth)
            assert (r[empty] == 0).all()
            assert (r[~empty] > 0.5).all()


def test_without_decay_the_prediction_is_least_squares():
    power, target = noise(5, 6).square(), noise(5, 6, seed=1).abs()
    for depth in (1, 2, 3, 4):
        r = theory.predict_sensitivity(power, power * target, weight_decay=0.0, depth=depth)
        assert torch.allclose(r, target, atol=TIGHT)


def test_predictions_take_batches_and_phases():
    power = noise(3, 4, 5).square()
    cross = torch.polar(noise(3, 4, 5, seed=1).abs(), noise(3, 4, 5, seed=2))
    for depth in (1, 2, 3, 4):
        whole = theory.predict_sensitivity(power, cross, weight_decay=0.3, depth=depth)
        each = [
            theory.predict_sensitivity(s, c.abs(), weight_decay=0.3, depth=depth)
            for s, c in zip(power, cross, strict=True)
        ]
        assert torch.equal(whole, torch.stack(each))


# --- several channels ---


@pytest.mark.parametrize("shape", [(4, 4), (3, 5)])
@pytest.mark.parametrize("n_channels", [2, 3])
@pytest.mark.parametrize("depth", [1, 2])
def test_thm_several_channels(shape, n_channels, depth):
    """On images closed under translation the convex program falls apart into these equations."""
    x = all_shifts(noise(4, n_channels, *shape) + 0.5 * noise(4, 1, *shape, seed=1))
    y = noise(len(x), seed=2)
    power, cross = theory.second_moments(x, y)
    for weight_decay in (0.05, 0.3):
        r = theory.predict_sensitivity(power, cross, weight_decay=weight_decay, depth=depth)
        solution = theory.solve(x, y, weight_decay=weight_decay, depth=depth, tolerance=1e-14)
        S = solution.B.norm(dim=(-2, -1))
        assert (S - r).norm() < 1e-6 * r.norm()
        assert torch.equal(S == 0, r == 0)
        if depth == 2:
            kappa = weight_decay / math.sqrt(S.numel())
            assert torch.equal(r == 0, cross.norm(dim=-1) <= kappa)
    assert (r > 0).any()


def test_one_channel_is_a_special_case_of_several():
    power, cross = noise(4, 5).square(), noise(4, 5, seed=1)
    for depth in (1, 2):
        one = theory.predict_sensitivity(power, cross, weight_decay=0.7, depth=depth)
        several = theory.predict_sensitivity(
            power[..., None, None], cross[..., None], weight_decay=0.7, depth=depth
        )
        assert torch.allclose(one, several, atol=TIGHT)


def test_power_and_cross_must_be_conjugated_alike():
    """Two channels with a phase between them: conjugating one of the two moments is an error."""
    base = noise(6, 1, 4, 5)
    x = all_shifts(torch.cat([base, base.roll(1, -1) + 0.3 * noise(6, 1, 4, 5, seed=1)], 1))
    y = noise(len(x), seed=2)
    power, cross = theory.second_moments(x, y)
    right, also, wrong = (
        theory.predict_sensitivity(s, c, weight_decay=0.2, depth=1)
        for s, c in ((power, cross), (power.conj(), cross.conj()), (power.conj(), cross))
    )
    assert torch.allclose(right, also, atol=TIGHT)
    assert (right - wrong).norm() > 0.01 * right.norm()


def test_scaling_all_channels_up_raises_sensitivity_but_a_general_increase_may_not():
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(400, 1, 3, 3, generator=generator, dtype=torch.float64)
    power = a @ a.mH
    target = torch.randn(400, 1, 3, 1, generator=generator, dtype=torch.float64)
    more = torch.randn(400, 1, 3, 1, generator=generator, dtype=torch.float64)

    def sensitivity(power):
        cross = (power @ target)[..., 0]
        return torch.stack(
            [
                theory.predict_sensitivity(s[None], c[None], weight_decay=1.0, depth=2)
                for s, c in zip(power, cross, strict=True)
            ]
        )

    before = sensitivity(power)
    assert (sensitivity(2 * power) >= before - 1e-12).all()
    fell = (sensitivity(power + more @ more.mH) < before - 1e-6).sum()
    assert 0 < fell < 200


def test_white_images_leave_the_curve_flat():
    """Without a spectrum to inherit, and a white teacher, sensitivity does not fall."""
    radius = fourier.radial_frequency((16, 16))
    target = torch.ones(16, 16, dtype=torch.float64)
    for depth in (1, 2, 3, 4):
        for alpha in (0.0, 2.0):
            power = radius.clamp(min=1) ** -alpha
            r = theory.predict_sensitivity(power, power * target, weight_decay=0.3, depth=depth)
            low, high = r[0, 1], r[0, 8]
            assert (low == high) if alpha == 0 else (low > 1.2 * high)


def predict(power, cross, weight_decay=0.1, depth=2, **more):
    return theory.predict_sensitivity(power, cross, weight_decay=weight_decay, depth=depth, **more)


def threshold(target, weight_decay=0.1, depth=2, n_pixels=4):
    return theory.threshold(target, weight_decay=weight_decay, depth=depth, n_pixels=n_pixels)


ONE, TINY = torch.ones(1, 1, dtype=torch.float64), torch.full((1, 1), 1e-99).double()


@pytest.mark.parametrize(
    "call",
    [
        lambda: theory.threshold(1e-300, weight_decay=1.0, depth=4, n_pixels=1),
        lambda: theory.threshold(ONE * 1e-300, weight_decay=1.0, depth=3, n_pixels=1),
        lambda: theory.threshold(1e-300, weight_decay=1e300, depth=2, n_pixels=1),
        lambda: theory.branches(1e-300, weight_decay=1e300, depth=4, n_pixels=1),
        lambda: theory.predict_sensitivity(
            torch.cat([ONE, ONE * 1e-300]), ONE.expand(2, 1) * 1e99, weight_decay=1.0, depth=3
        ),
        lambda: theory.predict_sensitivity(
            torch.cat([ONE, ONE * 5e-324]),
            ONE.expand(2, 1),
            weight_decay=1.0,
            depth=4,
            branch="upper",
        ),
    ],
)
def test_results_out_of_range_are_said(call):
    with pytest.raises(ValueError, match="leaves the range of float64"):
        call()


def test_arrays_are_taken_as_tensors_are():
    target = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    for call in (
        lambda b: theory.threshold(b, weight_decay=1.0, depth=3, n_pixels=4),
        lambda b: theory.jump(b, 3),
        lambda b: theory.branches(b, weight_decay=1.0, depth=3, n_pixels=4).gamma_global,
    ):
        assert torch.equal(call(target.numpy()), call(target))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: predict(ONES, ONES, depth=0), ValueError, "depth must be at least 1, got 0"),
        (lambda: predict(ONES, ONES, depth=2.0), TypeError, "integer"),
        (
            lambda: predict(ONES, ONES, weight_decay=-1),
            ValueError,
            "weight_decay must be at least 0",
        ),
        (lambda: predict(ONES, ONES, weight_decay=math.inf), ValueError, "finite"),
        (lambda: predict(-ONES, ONES), ValueError, "negative"),
        (lambda: predict(ONES + 0j, ONES), TypeError, "real"),
        (lambda: predict(ONES, ONES.T), ValueError, r"\(3, 4\) and \(4, 3\)"),
        (lambda: predict(ONES * torch.nan, ONES), ValueError, "power must be finite"),
        (lambda: predict(ONES, ONES * torch.inf), ValueError, "cross must be finite"),
        (lambda: predict(ONES, ONES, branch="lower"), ValueError, "branch must be one of"),
        (lambda: predict(CORRELATED, torch.ones(3, 4, 2), depth=3), ValueError, "several channels"),
        (lambda: predict(-CORRELATED, torch.ones(3, 4, 2)), ValueError, "semidefinite"),
        (
            lambda: predict(CORRELATED + torch.tensor([[0, 1.0], [0, 0]]), torch.ones(3, 4, 2)),
            ValueError,
            "Hermitian",
        ),
        (lambda: threshold(0.0), ValueError, "target must be positive"),
        (lambda: threshold(1.0, n_pixels=0), ValueError, "n_pixels"),
        (
            lambda: theory.branches(-ONES, weight_decay=1.0, depth=3, n_pixels=4),
            ValueError,
            "power",
        ),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()
