"""Depth and weight decay: what the theorem says of them, and what BatchNorm frees."""

import math

import numpy as np
import pytest
import recorded
import torch
from draws import noise
from tolerances import ATOL

from freqsense import experiments, models, theory

TIGHT = ATOL[torch.float64]
SHAPE = (3, 16, 16)
NO_EPS = 1e-60  # PyTorch takes no 0 in training


def norms_of(model):
    return [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]


def kernels_of(model):
    return [m.weight for m in model.modules() if isinstance(m, torch.nn.Conv2d)]


def build(name, eps, seed=0):
    model = models.build(name, width=2, shape=SHAPE, n_outputs=4, seed=seed).double()
    for norm in norms_of(model):
        norm.eps = eps
    return model.train()


def outputs(name, eps, factors=None, seed=0):
    model = build(name, eps, seed)
    with torch.no_grad():
        for weight, t in zip(kernels_of(model), factors or [], strict=False):
            weight *= t
        return model(noise(16, *SHAPE))


@pytest.mark.parametrize("name", ["vgg-11", "resnet-9", "resnet-20"])
def test_prop_batchnorm_scale_free(name):
    expected = outputs(name, NO_EPS)
    n_kernels = len(kernels_of(build(name, NO_EPS)))
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
        model = build("vgg-11", NO_EPS)
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
    n_kernels = len(kernels_of(build("vgg-11-plain", NO_EPS)))
    changed = outputs("vgg-11-plain", NO_EPS, [0.9] * n_kernels)
    assert not torch.allclose(changed, expected, rtol=0.1)


def test_gains_of_all_but_the_last_batchnorm_are_free():
    model, x = build("vgg-11", NO_EPS), noise(16, *SHAPE)
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


@pytest.mark.parametrize(("task_size", "sign"), [(1.0, 1), (4096.0, -1)])
def test_the_threshold_has_no_fixed_sign_in_depth(task_size, sign):
    edges = [
        theory.threshold(math.sqrt(task_size), weight_decay=1.0, depth=L, n_pixels=1)
        for L in (2, 4, 8)
    ]
    steps = [after - before for before, after in zip(edges, edges[1:], strict=False)]
    assert all(sign * step > 0 for step in steps)


def test_depth_three_may_ignore_more_than_its_neighbours():
    task_size = 3**6 / 4
    two, three, four = (
        theory.threshold(math.sqrt(task_size), weight_decay=1.0, depth=L, n_pixels=1)
        for L in (2, 3, 4)
    )
    assert math.isclose(two, four, rel_tol=1e-12)
    assert three > 1.05 * two


# The record of pairs, with BatchNorm and without


PAIRS = {
    "resnet-9": "resnet-9-plain",
    "vgg-11": "vgg-11-plain",
    "myrtle_cnn-batchnorm": "myrtle_cnn",
    "resnet-20": "resnet-20-plain",
}


@pytest.fixture(scope="module")
def slopes():
    """Slopes (seed, architecture, weight_decay, lr) at the end of training, NaN where dead."""
    runs = recorded.dataset("batchnorm").isel(look=-1)
    runs = runs.squeeze([d for d in runs.dims if d != "seed" and runs.sizes[d] == 1])
    found = experiments.ring_slopes(runs.sensitivity, size=32, fmin=1, fmax=12)
    return found.where(runs.train_accuracy > 1.5 / 8)


def change(slopes, name, to, lr=0.01):
    at = slopes.sel(architecture=name, lr=lr)
    return float((at.sel(weight_decay=to) - at.sel(weight_decay=0.0)).mean("seed"))


def test_the_largest_decay_moves_networks_with_batchnorm_too_and_those_without_more(slopes):
    several = list(PAIRS)[:3]  # ResNet-20 does otherwise
    with_bn = [change(slopes, name, 0.1) for name in several]
    without = [change(slopes, PAIRS[name], 0.1) for name in several]
    assert max(with_bn) < -0.3
    assert max(without) < -0.5
    assert np.mean(without) < np.mean(with_bn) - 0.1
    assert change(slopes, "resnet-20", 0.1) > -0.3


def test_decays_that_are_smaller_move_networks_with_batchnorm_little(slopes):
    assert all(abs(change(slopes, name, 0.01)) < 0.25 for name in PAIRS)


def test_equal_products_of_rate_and_decay_do_not_give_equal_slopes(slopes):
    mean = slopes.sel(architecture=list(PAIRS)).mean("seed")

    def gap(slow, fast):
        return float(
            np.abs(
                mean.sel(lr=0.01, weight_decay=slow) - mean.sel(lr=0.1, weight_decay=fast)
            ).mean()
        )

    assert (gap(0.1, 0.01) + gap(0.01, 0.001)) / 2 > 0.05
    assert gap(0.0, 0.0) > 0.1  # nor does the product at all where nothing decays


# What decay does to networks with BatchNorm, part by part


@pytest.fixture(scope="module")
def script():
    return recorded.script("measure_batchnorm")


def test_the_parts_that_decay_are_all_weights_once(script):
    model = build("vgg-11", 1e-5)
    parts = {name: {id(w) for w in script["decaying"](model, name)} for name in script["DECAYED"]}
    assert parts["nothing"] == parts["nothing, kernels scaled"] == set()
    assert parts["kernels"] == {id(w) for w in kernels_of(model)}
    assert not parts["kernels"] & parts["rest"]
    assert (
        parts["kernels"] | parts["rest"] == parts["everything"] == set(map(id, model.parameters()))
    )
    lengths = [0.1 * (k + 1) for k in range(len(kernels_of(model)))]
    script["scale"](model, lengths)
    assert [float(w.detach().norm()) for w in kernels_of(model)] == pytest.approx(lengths)


@pytest.mark.parametrize("network", ["vgg-11", "myrtle_cnn-batchnorm"])
def test_decay_moves_batchnorm_networks_by_the_rate_of_their_free_kernels(network):
    def mean(decayed, column):
        rows = recorded.table("batchnorm-cause")
        return np.mean(
            [
                float(row[column])
                for row in rows
                if (row["network"], row["decayed"]) == (network, decayed)
            ]
        )

    nothing, kernels, rest, everything, scaled = (
        mean(decayed, "settled_slope")
        for decayed in ("nothing", "kernels", "rest", "everything", "nothing, kernels scaled")
    )
    whole = everything - nothing
    assert whole < -0.3
    assert (kernels - nothing) / whole > 0.6
    assert (rest - nothing) / whole < 0.5 * (kernels - nothing) / whole
    assert (scaled - nothing) / whole > 0.4
    # Running statistics lag behind kernels that turn fast, and only behind these.
    lag = [
        mean(decayed, "settled_train_accuracy") - mean(decayed, "train_accuracy")
        for decayed in ("nothing", "kernels")
    ]
    assert abs(lag[0]) < 0.02 and lag[1] > 0.03
