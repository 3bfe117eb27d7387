"""Minimisation to rounding: closed forms reached, balance, and what has not converged named."""

import copy
import math

import pytest
import torch
from draws import falling_power, noise
from formulas import half_squares, ridge
from networks import end_to_end
from tolerances import ATOL
from torch.nn import functional

from freqsense import fourier, models
from freqsense.training import minimize
from freqsense.training._descent import Problem

TIGHT = ATOL[torch.float64]


def penalised(model, loss, weight_decay):
    squares = sum(weight.square().sum() for weight in model.parameters())
    return (loss(model) + weight_decay / 2 * squares).item()


@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 5, 7)])
@pytest.mark.parametrize("weight_decay", [0.01, 1.0])
def test_minimize_at_depth_one_is_ridge(shape, weight_decay):
    x, y = noise(60, *shape), noise(60, 2, seed=1)
    model = models.linear_cnn(1, width=1, shape=shape, n_outputs=2).double()
    fit = minimize(model, half_squares(x, y), weight_decay=weight_decay)
    expected = ridge(x, y, weight_decay)
    assert fit.converged and (model.head - expected).norm() < 1e-8 * expected.norm()
    loss = half_squares(x, y)(model).item()
    assert math.isclose(fit.loss, loss, rel_tol=1e-12)
    total = penalised(model, half_squares(x, y), weight_decay)
    assert math.isclose(fit.objective, total, rel_tol=1e-12)
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("weight_decay", [0.03, 0.3])
def test_minimize_reaches_the_closed_form_at_depth_two(weight_decay, seed):
    """Population loss, power 1/|ω|², white teacher: r = (γ - κ)₊ / s, and the same silent set."""
    shape = (12, 12)
    power = falling_power(shape)
    teacher = fourier.fft2(noise(*shape, seed=100 + seed))
    model = models.linear_cnn(2, width=2, shape=shape, seed=seed).double()
    fit = minimize(
        model,
        lambda m: (power * (end_to_end(m)[..., 0, 0] - teacher).abs().square()).sum() / 2,
        weight_decay=weight_decay,
    )
    expected = (power * teacher.abs() - weight_decay / 12).clamp(min=0) / power  # √D = 12
    found = end_to_end(model)[..., 0, 0].abs().detach()
    assert fit.converged and (found - expected).norm() < 1e-6 * expected.norm()
    assert torch.equal(found > 1e-3 * found.max(), expected > 1e-3 * found.max())
    if weight_decay == 0.3:
        assert (expected == 0).sum() > 20


@pytest.mark.parametrize("depth", [2, 3])
def test_minimize_leaves_layers_balanced(depth):
    """A stationary point with decay has layers of equal norm; one without has not."""
    x, y = noise(80, 1, 6, 6), noise(80, 1, seed=1)
    norms = {}
    for weight_decay in (0.05, 0.0):
        model = models.linear_cnn(depth, width=2, shape=(6, 6)).double()
        fit = minimize(model, half_squares(x, y), weight_decay=weight_decay)
        assert fit.converged
        norms[weight_decay] = torch.stack([w.detach().norm() for w in model.parameters()])
    assert norms[0.05].std() < 1e-7 * norms[0.05].mean()
    assert norms[0.0].std() > 1e-3 * norms[0.0].mean()


def test_minimize_of_the_logistic_loss_is_stationary():
    x = noise(100, 1, 5, 6)
    y = noise(100, 1, seed=1).sign()

    def loss(model):
        return functional.softplus(-y * model(x)).mean()

    model = models.linear_cnn(2, width=1, shape=(5, 6)).double()
    fit = minimize(model, loss, weight_decay=0.02)
    slopes = torch.autograd.grad(loss(model), list(model.parameters()))
    size = math.sqrt(sum(g.square().sum().item() for g in slopes))
    gap = math.sqrt(
        sum(
            (g + 0.02 * w.detach()).square().sum().item()
            for g, w in zip(slopes, model.parameters(), strict=True)
        )
    )
    assert fit.converged and gap < 1e-7 * size
    assert math.isclose(fit.gradient_norm, gap, rel_tol=1e-3)


def test_minimize_says_when_it_has_not_converged():
    x, y = noise(60, 1, 6, 6), noise(60, 1, seed=1)
    model = models.linear_cnn(2, width=1, shape=(6, 6)).double()
    fit = minimize(model, half_squares(x, y), weight_decay=0.1, max_iterations=5)
    assert not fit.converged and fit.iterations == 5 and fit.gradient_norm > 1e-6


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_minimize_without_tolerance_goes_on_to_rounding(depth, weight_decay):
    """Where nothing but rounding is left it has converged, and a minimum is known for one."""
    x, y = noise(30, 1, 6, 6), noise(30, 1, seed=1)
    model = models.linear_cnn(depth, width=1, shape=(6, 6)).double()
    fit = minimize(model, half_squares(x, y), weight_decay=weight_decay, tolerance=0.0)
    assert fit.converged and fit.gradient_norm < 1e-13
    again = minimize(model, half_squares(x, y), weight_decay=weight_decay)
    assert again.converged
    problem = Problem(model, half_squares(x, y), weight_decay)
    assert problem.is_noise()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1 + 1e-9)
    assert not problem.is_noise()


def test_minimize_is_not_content_with_a_share_of_a_large_first_gradient():
    """Of all places where it can be stopped, only those near the minimum count as converged."""
    x, y = 30 * noise(60, 1, 6, 6), noise(60, 1, seed=1)
    expected, tempting = ridge(x, y, 1.0), 0
    start = models.linear_cnn(1, width=1, shape=(6, 6)).double()
    first = torch.autograd.grad(half_squares(x, y)(start), start.head)[0].norm()
    for max_iterations in range(1, 60):
        model = copy.deepcopy(start)
        fit = minimize(
            model,
            half_squares(x, y),
            weight_decay=1.0,
            tolerance=1e-6,
            max_iterations=max_iterations,
        )
        near = (model.head - expected).norm() < 1e-6 * expected.norm()
        assert near or not fit.converged
        tempting += not fit.converged and fit.gradient_norm < 1e-6 * first
    assert tempting > 0 and fit.converged


def test_minimize_of_a_linear_loss():
    """Newton steps finish it, with no curvature but that of the decay."""
    model = models.linear_cnn(1, width=1, shape=(4, 5)).double()
    slope = noise(1, 1, 4, 5, seed=1)
    fit = minimize(model, lambda m: (m.head * slope).sum(), weight_decay=0.3, tolerance=0.0)
    assert fit.converged and torch.allclose(model.head, -slope / 0.3)


def test_minimize_goes_on_from_where_it_ended():
    x, y = noise(60, 1, 6, 6), noise(60, 1, seed=1)
    model = models.linear_cnn(2, width=1, shape=(6, 6)).double()
    first = minimize(model, half_squares(x, y), weight_decay=0.1)
    weights = [w.detach().clone() for w in model.parameters()]
    again = minimize(model, half_squares(x, y), weight_decay=0.1)
    assert again.gradient_norm <= first.gradient_norm and again.iterations < 200
    for old, new in zip(weights, model.parameters(), strict=True):
        assert (old - new).norm() < 1e-7 * old.norm()


def test_minimize_leaves_frozen_weights_alone():
    x, y = noise(60, 1, 6, 6), noise(60, 1, seed=1)
    model = models.linear_cnn(2, width=1, shape=(6, 6)).double()
    model.convolutions[0].weight.requires_grad_(False)
    kept = model.convolutions[0].weight.clone()
    assert minimize(model, half_squares(x, y), weight_decay=0.1).converged
    assert torch.equal(model.convolutions[0].weight, kept)


def test_minimize_names_a_loss_that_is_not_finite():
    model = models.linear_cnn(1, width=1, shape=(2, 2)).double()
    with pytest.raises(FloatingPointError, match="loss is nan at the start"):
        minimize(model, lambda m: m.head.sum() * math.nan, weight_decay=0.1)
    calls = []

    def breaks_down(m):
        calls.append(1)
        return (m.head - 1).pow(4).sum() * (math.nan if len(calls) > 6 else 1)

    with pytest.raises(FloatingPointError, match=r"loss is nan at iteration \d+"):
        minimize(model, breaks_down, weight_decay=0.1)


FIT = half_squares(noise(12, 1, 6, 6), noise(12, 1))
SINGLE = models.linear_cnn(1, width=1, shape=(6, 6))
DOUBLE = models.linear_cnn(1, width=1, shape=(6, 6)).double()
FROZEN = models.linear_cnn(1, width=1, shape=(6, 6)).double().requires_grad_(False)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: minimize(SINGLE, FIT, weight_decay=0), TypeError, "model.double"),
        (
            lambda: minimize(FROZEN, FIT, weight_decay=0),
            ValueError,
            "require gradients, got none",
        ),
        (lambda: minimize(DOUBLE, lambda m: m.head.sum() + 0j, weight_decay=0), ValueError, "real"),
        (lambda: minimize(DOUBLE, 3, weight_decay=0), TypeError, "map the model to a scalar"),
        (lambda: minimize(DOUBLE, lambda m: m.head, weight_decay=0), ValueError, "scalar"),
        (lambda: minimize(DOUBLE, lambda m: 3.0, weight_decay=0), ValueError, "scalar"),
        (
            lambda: minimize(DOUBLE, lambda m: m.head.sum(), weight_decay=-1),
            ValueError,
            "weight_decay must be at least 0, got -1",
        ),
        (
            lambda: minimize(DOUBLE, lambda m: m.head.sum(), weight_decay=1, max_iterations=0),
            ValueError,
            "max_iterations",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
