"""Statements of the page on the flow of the weights and its curves."""

import math

import pytest
import torch
from draws import noise
from networks import balanced, factors, imbalances

from freqsense import fourier, models, theory

SHAPES = [(6, 6), (5, 5), (4, 7)]


def slopes(model, loss):
    """Velocity of the weights under gradient flow."""
    weights = list(model.parameters())
    return [-g for g in torch.autograd.grad(loss(theory.end_to_end(model)), weights)]


def velocity(model, loss, quantity):
    """Time derivative of a function of the model under gradient flow: central difference."""
    weights = list(model.parameters())
    moves, old, step = slopes(model, loss), [w.data.clone() for w in weights], 1e-5
    ends = []
    for sign in (1, -1):
        for w, v, start in zip(weights, moves, old, strict=True):
            w.data = start + sign * step * v
        ends.append(quantity(model))
    for w, start in zip(weights, old, strict=True):
        w.data = start
    return [(a - b) / (2 * step) for a, b in zip(*ends, strict=True)]


def gradient_of_map(B, loss):
    """G of the page: gradient of the loss with respect to the map, as Re tr(G* dB)."""
    B = B.detach().clone().requires_grad_()
    return torch.autograd.grad(loss(B), B)[0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize(("n_outputs", "n_channels"), [(1, 1), (2, 3)])
def test_lem_conserved_balance(shape, depth, n_outputs, n_channels):
    x, y = noise(9, n_channels, *shape), noise(9, n_outputs, seed=1)
    loss = theory.quadratic_loss(x, y)
    model = models.linear_cnn(depth, width=3, shape=(n_channels, *shape), n_outputs=n_outputs)
    model = model.double()
    for change in velocity(model, loss, imbalances):
        assert change.abs().max() < 1e-8
    # The layers themselves do move.
    parts = velocity(model, loss, lambda m: [a.detach() @ a.detach().mH for a in factors(m)])
    assert max(change.abs().max() for change in parts) > 1e-3


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("depth", [1, 2, 3, 5])
@pytest.mark.parametrize("width", [1, 3])
def test_lem_end_to_end_flow(shape, depth, width):
    """For a balanced start, and not for an unbalanced one; the images need not be stationary."""
    n_pixels = math.prod(shape)
    loss = theory.quadratic_loss(noise(9, 1, *shape), noise(9, seed=1))

    def error(model):
        B = theory.end_to_end(model).detach()
        moved = velocity(model, loss, lambda m: [theory.end_to_end(m).detach()])[0]
        speed = depth * n_pixels ** (1 - 1 / depth) * B.abs() ** (2 - 2 / depth)
        law = -speed * gradient_of_map(B, loss)
        return ((moved - law).abs().max() / law.abs().max()).item()

    assert error(balanced(fourier.fft2(noise(*shape, seed=2)), depth, width)) < 1e-6
    if depth > 1:
        other = balanced(fourier.fft2(noise(*shape, seed=2)), depth, width)
        other.head.data *= 3  # out of balance
        assert error(other) > 0.1


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("depth", [2, 3])
def test_a_small_start_is_no_more_balanced_than_a_large_one(depth, seed):
    ratios = []
    for size in (1.0, 0.1, 0.01):
        model = models.linear_cnn(depth, width=2, shape=(5, 6), seed=seed).double()
        for w in model.parameters():
            w.data *= size
        off = imbalances(model)[0].abs().amax((-2, -1))
        B = theory.end_to_end(model).detach().abs()[..., 0, 0]
        ratios.append(float((off * 30 ** ((depth - 1) / 2) / B).median()))
    assert ratios[0] > 0.3
    for ratio, growth in zip(ratios[1:], (10, 100), strict=True):
        assert ratio / ratios[0] == pytest.approx(growth ** (depth - 2), rel=1e-9)


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_a_head_start_overturns_the_order_from_depth_three_on(depth):
    """A ratio of starts is forgotten at depth 2, and is not at depth 3 and more."""
    power, cross = torch.ones(1, 2).double(), torch.tensor([[1.0, 1.3]]).double()
    start = 1e-8 * torch.tensor([[10.0, 1.0]]).double()  # the weaker one is ahead
    times = torch.linspace(0, 20 if depth == 2 else 1e5, 200_001)
    r = theory.learning_curves(power, cross, depth=depth, times=times, start=start)
    weaker, stronger = (r < cross / 2).sum(0)[0].tolist()
    assert max(weaker, stronger) < len(times)
    assert (weaker < stronger) == (depth > 2)
    level = theory.learning_curves(power, cross, depth=depth, times=times, start=1e-8)
    weaker, stronger = (level < cross / 2).sum(0)[0].tolist()
    assert stronger < weaker


@pytest.mark.parametrize("shape", SHAPES)
def test_prop_imbalance(shape):
    n_pixels = math.prod(shape)
    loss = theory.quadratic_loss(noise(9, 1, *shape), noise(9, seed=1))
    for seed in range(3):
        model = models.linear_cnn(2, width=1, shape=shape, seed=seed).double()
        B = theory.end_to_end(model).detach()
        moved = velocity(model, loss, lambda m: [theory.end_to_end(m).detach()])[0]
        delta = imbalances(model)[0].abs()
        speed = (n_pixels**2 * delta.square() + 4 * n_pixels * B.abs().square()).sqrt()
        law = -speed * gradient_of_map(B, loss)
        assert (moved - law).abs().max() < 1e-6 * law.abs().max()
