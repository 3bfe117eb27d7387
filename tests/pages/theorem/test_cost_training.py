"""Trained weights are balanced and cost no more than their function must."""

import copy
import math

import pytest
import torch
from draws import noise
from networks import as_network, imbalances
from tolerances import ATOL

from freqsense import models, theory, training

TIGHT = ATOL[torch.float64]


def sum_of_squares(tensors):
    return sum(float(t.detach().abs().square().sum()) for t in tensors)


def largest_imbalance(model):
    return max(float(part.abs().max()) for part in imbalances(model))


def trained(model, weight_decay, seed):
    """Train on noise and a random linear teacher; return the model."""
    n_outputs = len(model.head)
    x = noise(150, *model.shape, seed=seed)
    y = x.flatten(1) @ noise(math.prod(model.shape), n_outputs, seed=seed + 100)
    loss = theory.quadratic_loss(x, y)
    training.minimize(
        model,
        lambda m: loss(theory.end_to_end(m)),
        weight_decay=weight_decay,
        tolerance=1e-9,
        max_iterations=3000,
    )
    return model


@pytest.mark.parametrize("shape", [(4, 4), (3, 5)])
@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("seed", [0, 1])
def test_thm_balance(depth, shape, seed):
    # A decay so small that no singular value vanishes: the power 2/L of one that is zero up to
    # rounding, 1e-16, is anything but zero.
    start = models.linear_cnn(depth, width=4, shape=(3, *shape), n_outputs=2, seed=seed).double()
    model = trained(copy.deepcopy(start), 0.05, seed)
    B = theory.end_to_end(model).detach()
    assert torch.linalg.svdvals(B).min() > 1e-3
    assert largest_imbalance(model) < 1e-8
    cost = theory.representation_cost(B, depth)
    assert math.isclose(sum_of_squares(model.parameters()), cost, rel_tol=TIGHT)
    control = trained(start, 0.0, seed)
    free = theory.representation_cost(theory.end_to_end(control).detach(), depth)
    assert largest_imbalance(control) > 0.05
    assert sum_of_squares(control.parameters()) > 1.05 * free


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_narrow_network_pays_the_cost_of_its_map_too(seed):
    weights = [noise(1, 2, 4, 5, seed=seed), noise(2, 1, 4, 5, seed=seed + 50)]
    model = trained(as_network([w / 4 for w in weights]), 0.05, seed)
    sizes = torch.linalg.svdvals(theory.end_to_end(model).detach())  # (H, W, 2)
    assert sizes[..., 1].max() < TIGHT and sizes[..., 0].min() > 1e-3
    cost = 2 * 20**-0.5 * float(sizes[..., 0].sum())
    assert math.isclose(sum_of_squares(model.parameters()), cost, rel_tol=TIGHT)
    with pytest.raises(ValueError, match="width"):
        models.linear_cnn(2, width=1, shape=(2, 4, 5), n_outputs=2)
