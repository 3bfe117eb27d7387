"""Statements of the page on depth three and more that the tests of theory do not check."""

import pytest
import torch
from draws import moments, noise
from formulas import relative
from hypothesis import given
from hypothesis import strategies as st
from tolerances import ATOL

from freqsense import fourier, models, theory, training

TIGHT = ATOL[torch.float64]
positive = st.floats(0.05, 20)


@given(positive, st.floats(0.1, 5), positive, st.integers(1, 6), st.integers(1, 300))
def test_eq_universal(s, target, weight_decay, depth, n_pixels):
    corner = weight_decay * (n_pixels * target**2) ** (1 / depth - 1)
    kappa = weight_decay * n_pixels ** (1 / depth - 1)
    grid = torch.tensor([[[s]]], dtype=torch.float64)
    r = theory.predict_sensitivity(grid, grid * target, weight_decay=kappa, depth=depth).item()
    t = r / target
    if t > 0:
        assert abs(t + corner / s * t ** (2 / depth - 1) - 1) < TIGHT
    assert abs(t - relative(s, corner, depth).item()) < 1e-8  # one constant in place of four


def test_one_more_layer_raises_the_threshold_of_small_tasks_only():
    def edge(size, depth):
        return theory.threshold(size**0.5, weight_decay=1.0, depth=depth, n_pixels=1)

    constants = {depth: edge(1.0, depth) for depth in range(2, 8)}
    assert abs(constants[3] - 2 ** (4 / 3)) < TIGHT
    assert abs(constants[4] - 3**1.5 / 2**0.5) < TIGHT
    for depth in range(2, 7):
        bound = (constants[depth + 1] / constants[depth]) ** (depth * (depth + 1))
        assert edge(0.99 * bound, depth + 1) > edge(0.99 * bound, depth)
        assert edge(1.01 * bound, depth + 1) < edge(1.01 * bound, depth)
        assert depth > 2 or abs(bound - 256) < 1e-9


def test_branch_prices_and_their_ratio():
    s = torch.tensor([0.3, 1.0, 8.0], dtype=torch.float64)
    for depth in (3, 4, 7):
        found = theory.branches(s, weight_decay=2.0, depth=depth, n_pixels=12)
        local = s * found.r_local * 2 * (depth - 1) / (depth - 2)
        whole = s * found.r_global * (depth - 1) / (depth - 2)
        assert torch.allclose(found.gamma_local, local, atol=TIGHT)
        assert torch.allclose(found.gamma_global, whole, atol=TIGHT)
        gap = depth ** (depth / (2 * (depth - 1))) / 2
        assert torch.allclose(found.gamma_global / found.gamma_local, torch.full_like(s, gap))


def test_depth_three_is_two_thirds_thresholding():
    # min (x - t)² + λ |x|^(2/3) leaves zero at t = 2/3 (3 λ³)^(1/4); here s = 2, γ = 2t, 3κ = 2λ.
    for lam in (0.3, 1.0, 2.5):
        s = torch.full((1,), 2.0, dtype=torch.float64)
        found = theory.branches(s, weight_decay=2 * lam / 3, depth=3, n_pixels=1)
        t = float(found.gamma_global / 2)
        assert t == pytest.approx(2 / 3 * (3 * lam**3) ** 0.25)
        x = torch.linspace(0, 3 * t, 300_001, dtype=torch.float64)
        for target, at_zero in ((0.99 * t, True), (1.01 * t, False)):
            best = ((x - target).square() + lam * x ** (2 / 3)).argmin()
            assert (best == 0) == at_zero


def test_depth_four_is_half_thresholding():
    """Threshold of min (x - t)² + μ sqrt|x|, as its inventors give it: 54^(1/3)/4 μ^(2/3)."""
    for mu in (0.1, 1.0, 7.0):
        s = torch.tensor([2.0], dtype=torch.float64)
        found = theory.branches(s, weight_decay=mu / 2, depth=4, n_pixels=1)
        assert abs(found.gamma_global.item() / 2 - 54 ** (1 / 3) / 4 * mu ** (2 / 3)) < TIGHT


@pytest.mark.parametrize("seed", range(3))
def test_prop_local_minima(seed):
    shape, weight_decay, depth = (4, 5), 1.0, 3
    power, cross = moments(shape, seed=seed)
    cross = 3 * cross
    loss = theory.population_loss(power, cross)
    upper = theory.predict_sensitivity(
        power, cross, weight_decay=weight_decay, depth=depth, branch="upper"
    )
    assert (upper > 0).sum() > 4
    mirror = fourier.rings(shape).mirror

    def minimise(model):
        return training.minimize(
            model, lambda m: loss(theory.end_to_end(m)), weight_decay=weight_decay
        )

    # 1. Any combination of wells is a local minimum: training from close by comes back to it.
    strongest = int(upper.argmax())
    chosen = upper.flatten() > 0
    chosen[[strongest, int(mirror[strongest])]] = False
    chosen = chosen.reshape(shape)
    B = (upper * chosen * cross / cross.abs())[..., None, None]
    model = models.linear_cnn(depth, width=2, shape=shape).double()
    weights = theory.realize(B, depth, width=2)
    with torch.no_grad():
        for parameter, weight in zip(
            [layer.weight for layer in model.convolutions] + [model.head], weights, strict=True
        ):
            parameter.copy_(weight + 1e-3 * noise(*weight.shape, seed=seed))
    assert minimise(model).converged
    assert torch.allclose(theory.end_to_end(model).detach(), B, atol=1e-6)
    better = upper * cross / cross.abs()
    cost = [
        loss(b) + 0.5 * theory.representation_cost(b, depth) for b in (B, better[..., None, None])
    ]
    assert chosen.any() and cost[1] < cost[0]  # it was not the global minimum

    # 2. Wherever training ends, each frequency is at 0 or on the upper branch, in phase.
    model = models.linear_cnn(depth, width=2, shape=shape, seed=seed).double()
    assert minimise(model).converged
    found = theory.end_to_end(model).detach()[..., 0, 0]
    expected = upper * cross / cross.abs()
    nearest = torch.minimum(found.abs(), (found - expected).abs())
    assert nearest.max() < 1e-6
    assert (found.abs() > 1e-3).any()


@pytest.mark.parametrize("depth", [2, 3, 4, 6])
def test_eq_any_threshold(depth):
    b, kappa = 0.7, 0.4
    r = torch.linspace(1e-6, b, 200_001, dtype=torch.float64)
    ratio = kappa * depth / 2 * r ** (2 / depth) / (r * (b - r / 2))
    exact = theory.threshold(b, weight_decay=kappa, depth=depth, n_pixels=1)
    assert abs(float(ratio.min()) / exact - 1) < 1e-5
    assert abs(float(r[ratio.argmin()]) - theory.jump(b, depth)) < 1e-3


def test_the_exercise_by_hand():
    for s, weight_decay in ((4, 4.0), (1, 1.0)):
        edge = theory.threshold(0.5, weight_decay=weight_decay, depth=3, n_pixels=16)
        assert abs(edge - s) < TIGHT
    assert theory.jump(0.5, 3) == 0.25
