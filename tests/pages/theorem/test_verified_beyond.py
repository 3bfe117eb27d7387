"""Depth three, small kernels and mini-batches."""

import pytest
import torch
from draws import falling_power, white_teacher
from formulas import scalar_objective
from trained import distance, measure, off, patches, size_of, train

from freqsense import layers, models, theory, training

PAIRS = [("astronaut", "motorcycle"), ("coffee", "rocket"), ("chelsea", "retina")]
SHAPE, D = (8, 8), 64


@pytest.mark.parametrize("depth", [3, 4])
@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_start_ends_on_a_branch_and_above_the_global_minimum(depth, scale, seed):
    """Every frequency at 0 or at r₊, where r₊ exists; not always at the global minimum."""
    power, weight_decay = falling_power(SHAPE), 0.3
    cross = power * white_teacher(SHAPE, seed)
    settings = {"weight_decay": weight_decay, "depth": depth}
    fit, model = train(
        theory.population_loss(power, cross), depth, weight_decay, (1, *SHAPE), seed, scale
    )
    found = measure(model)
    upper = theory.predict_sensitivity(power, cross, branch="upper", **settings)
    zero = found < 1e-3 * upper.max()
    assert (zero | ((found - upper).abs() < 1e-4 * upper.max())).all()
    assert zero.any() and (~zero).any()
    local = theory.branches(power, n_pixels=D, **settings).gamma_local
    assert (cross.abs() >= local)[~zero].all()
    r = theory.predict_sensitivity(power, cross, **settings)
    kappa = weight_decay * D ** (1 / depth - 1)
    lowest = scalar_objective(r, power, cross.abs(), kappa, depth).sum()
    assert fit.objective >= lowest - 1e-9
    assert not torch.allclose(found, r / 2, atol=1e-2)


def test_a_smaller_start_leaves_more_frequencies_behind():
    power = falling_power(SHAPE)
    for seed in range(2):
        loss = theory.population_loss(power, power * white_teacher(SHAPE, seed))
        counts = [
            int(off(measure(train(loss, 3, 0.3, (1, *SHAPE), seed, scale)[1])).sum())
            for scale in (0.3, 1.0, 2.0)
        ]
        assert counts[0] > counts[1] >= counts[2] > 0


def test_from_next_to_nothing_depth_two_is_found_and_depth_three_is_lost():
    power = falling_power(SHAPE)
    loss = theory.population_loss(power, power)
    for depth in (1, 2, 3):
        r = theory.predict_sensitivity(power, power, weight_decay=0.3, depth=depth)
        error = distance(measure(train(loss, depth, 0.3, (1, *SHAPE), scale=1e-3)[1]), r)
        assert error < 1e-5 if depth < 3 else abs(error - 1) < 1e-6


def small_kernels(x, y, k, seed=0):
    layer = layers.CircularConv2d(1, 4, k, bias=False)
    generator = torch.Generator().manual_seed(seed)
    layer.weight.data = torch.randn(layer.weight.shape, generator=generator) / (2 * k)
    head = models.linear_cnn(2, width=4, shape=(1, *SHAPE), seed=seed).head.data
    model, loss = models.LinearCNN([layer], head).double(), theory.quadratic_loss(x, y)
    fit = training.minimize(
        model, lambda m: loss(theory.end_to_end(m)), weight_decay=0.2, tolerance=1e-6
    )
    assert fit.converged
    return fit.objective, measure(model)


@pytest.mark.parametrize("names", PAIRS)
def test_small_kernels_end_above_the_theorem_and_switch_off_less(names):
    x, y = patches(names)
    solution = theory.solve(x, y, weight_decay=0.2, depth=2)
    solved = size_of(solution.B)
    small, full = small_kernels(x, y, 3), small_kernels(x, y, 8)
    assert small[0] > 1.002 * solution.objective
    assert full[0] == pytest.approx(solution.objective, rel=1e-8)
    assert distance(small[1], solved) > 0.1 > 1e-3 > distance(full[1], solved)
    assert off(small[1]).sum() < off(solved).sum() == off(full[1]).sum()


def test_mini_batches_move_away_from_the_minimum_and_the_full_batch_does_not():
    x, y = patches(PAIRS[0])
    solved = size_of(theory.solve(x, y, weight_decay=0.2, depth=2, tolerance=1e-12).B)
    _, home = train(theory.quadratic_loss(x, y), 2, 0.2, (1, *SHAPE))
    errors = {}
    for batch_size, rates in ((len(x), (2e-3,)), (50, (4e-3, 1e-3))):
        for lr in rates:
            model = models.linear_cnn(2, width=2, shape=(1, *SHAPE)).double()
            model.load_state_dict(home.state_dict())
            settings = {"batch_size": batch_size, "loss": "squared"}
            training.train(
                model, x, y, epochs=round(0.03 / lr), lr=lr, weight_decay=0.2, **settings
            )
            errors[batch_size, lr] = distance(measure(model), solved)
    assert errors[len(x), 2e-3] < 1e-4 < 1e-3 < errors[50, 1e-3] < errors[50, 4e-3]
