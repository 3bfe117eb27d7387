"""BatchNorm: what it frees, and the rate that decay makes of it."""

import math

import pytest
import torch
from draws import noise
from networks import in_training, kernels_of, norms_of
from tolerances import ATOL

TIGHT = ATOL[torch.float64]
SHAPE = (3, 16, 16)
NO_EPS = 1e-60  # PyTorch takes no 0 in training


def outputs(name, eps, factors=None, seed=0):
    model = in_training(name, SHAPE, eps, seed)
    with torch.no_grad():
        for weight, t in zip(kernels_of(model), factors or [], strict=False):
            weight *= t
        return model(noise(16, *SHAPE))


@pytest.mark.parametrize("name", ["vgg-11", "resnet-9", "resnet-20"])
def test_prop_batchnorm_scale_free(name):
    expected = outputs(name, NO_EPS)
    n_kernels = len(kernels_of(in_training(name, SHAPE, NO_EPS)))
    factors = torch.logspace(-4, 2, n_kernels, dtype=torch.float64).tolist()
    assert torch.allclose(outputs(name, NO_EPS, factors), expected, rtol=1e-7)
    # Part 3: with a constant under the root it is the ratio that counts.
    t = 0.01
    alike = outputs(name, 1e-5 * t**2, [t] * n_kernels)
    assert torch.allclose(alike, outputs(name, 1e-5), rtol=1e-7)
    changed = outputs(name, 1e-5, [1e-4] * n_kernels)
    assert not torch.allclose(changed, expected, rtol=0.1)


def test_running_statistics_scale_along():
    x, results = noise(16, *SHAPE), []
    for t in (1.0, 1e-3):
        model = in_training("vgg-11", SHAPE, NO_EPS)
        with torch.no_grad():
            for weight in kernels_of(model):
                weight *= t
            for norm in norms_of(model):
                norm.momentum = None  # plain averages, not begun at 0 and 1
            model(x)
            results.append(model.eval()(x[:4]))
    assert torch.allclose(*results, rtol=1e-7)


def test_without_batchnorm_the_scale_is_not_free():
    expected = outputs("vgg-11-plain", NO_EPS)
    n_kernels = len(kernels_of(in_training("vgg-11-plain", SHAPE, NO_EPS)))
    changed = outputs("vgg-11-plain", NO_EPS, [0.9] * n_kernels)
    assert not torch.allclose(changed, expected, rtol=0.1)


def test_gains_of_all_but_the_last_batchnorm_are_free():
    model, x = in_training("vgg-11", SHAPE, NO_EPS), noise(16, *SHAPE)
    with torch.no_grad():
        expected = model(x)
        for norm in norms_of(model)[:-1]:
            norm.weight *= 0.01
            norm.bias *= 0.01
        assert torch.allclose(model(x), expected, rtol=1e-7)
        norms_of(model)[-1].weight *= 0.5
        assert not torch.allclose(model(x), expected, rtol=0.1)


def scale_free(w):
    """A loss that depends on the direction of w alone."""
    matrix = noise(6, 6, seed=1)
    u = w / w.norm()
    return (u @ matrix @ u) + torch.tanh(3 * u[0])


def gradient(w):
    w = w.clone().requires_grad_()
    return torch.autograd.grad(scale_free(w), w)[0]


@pytest.mark.parametrize("weight_decay", [0.0, 0.3, 2.0])
def test_lem_effective_rate(weight_decay):
    w, eta = 3 * noise(6, seed=2), 0.1
    length, u = w.norm(), w / w.norm()
    assert abs(float(w @ gradient(w))) < TIGHT
    assert torch.allclose(gradient(w), gradient(u) / length, atol=TIGHT)
    after = w - eta * (gradient(w) + weight_decay * w)
    rate = eta / ((1 - eta * weight_decay) * length**2)
    turned = u - rate * gradient(u)
    assert torch.allclose(after / after.norm(), turned / turned.norm(), atol=TIGHT)
    shrunk = (1 - eta * weight_decay) ** 2 * length**2
    squares = shrunk + eta**2 * gradient(u).square().sum() / length**2
    assert torch.allclose(after.square().sum(), squares, atol=TIGHT)


def test_the_norm_at_rest_stays():
    g, eta, weight_decay = 0.7, 0.1, 0.4
    fourth = eta * g**2 / (weight_decay * (2 - eta * weight_decay))
    square = math.sqrt(fourth)
    after = (1 - eta * weight_decay) ** 2 * square + eta**2 * g**2 / square
    assert math.isclose(after, square, rel_tol=1e-12)
    rate = math.sqrt(eta * weight_decay * (2 - eta * weight_decay)) / g
    assert math.isclose(eta / square, rate, rel_tol=1e-12)
