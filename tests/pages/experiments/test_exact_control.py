"""Statements of the page "An exact control": frequencies without power."""

import math

import numpy as np
import pytest
import torch
from draws import noise
from tolerances import ATOL
from torch.nn import functional

from freqsense import filters, fourier, layers, models, training
from freqsense.sensitivity import measure_sensitivity

TIGHT = ATOL[torch.float64]
SHAPE, CUTOFF = (8, 9), 2.5
EMPTY = ~fourier.radial_mask(SHAPE, CUTOFF, math.inf)
FULL = ["linear_cnn-2", "linear_cnn-3", "conv_actually-2", "conv_actually-3"]


def data(n=24, channels=2, n_classes=3, seed=0):
    x = filters.high_pass(noise(n, channels, *SHAPE, seed=seed), CUTOFF)
    return x, torch.arange(n) % n_classes


def build(name, seed=0):
    return models.build(name, width=3, shape=(2, *SHAPE), n_outputs=3, seed=seed).double()


def first_layer(model):
    linear = isinstance(model, models.LinearCNN)
    return model.convolutions[0] if linear else model.features[0]


def transfer(model):
    return layers.transfer_function(first_layer(model), SHAPE).detach()


def train(model, weight_decay, epochs=10, seed=0):
    x, y = data(seed=seed)
    training.train(
        model, x, y, epochs=epochs, lr=0.02, weight_decay=weight_decay, seed=seed, batch_size=8
    )
    return 3 * epochs


def decay_factor(n_steps, eta_lambda, momentum=0.9):
    """p_n by a power of the matrix of one step, in place of the page's recursion."""
    step = np.array([[1 + momentum - eta_lambda, -momentum], [1.0, 0.0]])
    return (np.linalg.matrix_power(step, n_steps - 1) @ [1 - eta_lambda, 1.0])[0]


@pytest.mark.parametrize("name", FULL)
@pytest.mark.parametrize("seed", [0, 1])
def test_prop_silent(name, seed):
    x, y = data(seed=seed)
    model = build(name, seed)
    functional.cross_entropy(model(x), y).backward()
    pull = fourier.fft2(first_layer(model).weight.grad).abs()
    # The layer is a correlation with a kernel that may sit at an offset: a phase, no more.
    assert pull[..., EMPTY].max() < 1e-12 * pull.max()
    # At a stationary point the transfer matrix is zero there; then so is sensitivity.
    weight = first_layer(model).weight
    weight.data = filters.high_pass(weight.data, CUTOFF)
    heard = measure_sensitivity(model, noise(5, 2, *SHAPE, seed=seed + 50)).values
    assert transfer(model)[EMPTY].abs().max() < TIGHT
    assert heard[:, EMPTY].max() < TIGHT < 1e-3 < heard[:, ~EMPTY].min()


@pytest.mark.parametrize("name", FULL)
def test_lem_decay_of_silent(name):
    model = build(name)
    before = transfer(model)
    n_steps = train(model, 0.5)
    expected = decay_factor(n_steps, 0.02 * 0.5)
    assert abs(expected) < 0.5
    change = (transfer(model) - expected * before).abs()
    assert change[EMPTY].max() < TIGHT
    assert change[~EMPTY].max() > 0.01


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_lem_decay_of_silent_without_momentum_in_a_linear_network(depth):
    x, y = data()
    model = build(f"linear_cnn-{depth}")
    before = measure_sensitivity(model, x[:1]).values
    step = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.3)
    for batch in [slice(0, 8), slice(8, 24)] * 10:
        step.zero_grad()
        functional.cross_entropy(model(x[batch]), y[batch]).backward()
        step.step()
    after = measure_sensitivity(model, x[:1]).values
    assert torch.allclose(after[:, EMPTY], 0.97 ** (20 * depth) * before[:, EMPTY], rtol=1e-8)


@pytest.mark.parametrize("name", FULL)
def test_prop_keeps_init(name):
    model = build(name)
    before, heard = transfer(model), measure_sensitivity(model, data()[0]).values
    train(model, 0.0)
    assert (transfer(model) - before)[EMPTY].abs().max() < TIGHT
    assert (transfer(model) - before)[~EMPTY].abs().max() > 0.01
    moved = (measure_sensitivity(model, data()[0]).values / heard - 1)[:, EMPTY].abs().max()
    assert moved < 1e-8 if name.startswith("linear") else moved > 0.01
