"""The clean test: its definition, its closed form, what ReLU changes, and the test over seeds."""

import math

import numpy as np
import pytest
import recorded
import torch
import xarray
from tolerances import ATOL, SIGMAS

from freqsense import experiments, fourier, models, theory

ARCHITECTURES = ("linear_cnn-2", "conv_actually-2", "conv_actually-3-5x5")
SMALL = {"size": 8, "n_train": 2000, "n_test": 500}
THRESHOLD = math.sqrt(2 * math.pi)


def test_def_clean_test():
    white = experiments.load_task("gaussian_field:0", **SMALL)
    steep = experiments.load_task("gaussian_field:3", **SMALL)
    # One white teacher for both: on white images E[conj(x̂) y] has its size and phase.
    _, cross = theory.second_moments(white.images, white.labels)
    teacher = torch.where(cross.abs() > 0, cross / cross.abs(), 0)
    error = math.sqrt(math.pi / 2 * 63 / 2000)
    sizes = cross.abs().flatten()[1:] * math.sqrt(math.pi / 2 * 63)
    assert ((sizes - 1).abs() < SIGMAS * error).all()
    for task in (white, steep):
        power, _ = experiments.label_statistics(task.images, task.labels)
        assert power.sum().item() == pytest.approx(64, rel=1e-3)  # unit variance
        u = (fourier.fft2(task.test_images[:, 0].double()) * teacher).sum((1, 2)).real
        agreement = (u.sign() == task.test_labels).double().mean()
        assert agreement > 0.8
    assert not torch.equal(white.images, steep.images)


def predict(power, weight_decay):
    """The proposition's curve (H, W) and the h that its variance of f gives."""
    z = torch.linspace(-9, 9, 2001, dtype=torch.float64)
    weight = torch.exp(-z.square() / 2)
    a, h = 1 / math.sqrt(2 * math.pi * power.sum()), 0.25
    shape = (1 - THRESHOLD * weight_decay / power.clamp(min=1e-9)).clamp(min=0)
    for _ in range(200):  # h falls with the height, and the height rises as h falls
        v = float((power * (a / h * shape) ** 2).sum())
        p = torch.sigmoid(math.sqrt(v) * z)
        h = 0.5 * (h + float((weight * p * (1 - p)).sum() / weight.sum()))
    return a / h * shape, h


@pytest.mark.parametrize("alpha", [0.0, 2.0])
def test_prop_clean_prediction(alpha):
    errors = []
    for n in (1000, 4000, 16000):
        task = experiments.load_task(f"gaussian_field:{alpha}", **SMALL | {"n_train": n})
        solution = theory.solve(
            task.images, task.labels, weight_decay=0.1, depth=2, loss="logistic", tolerance=1e-6
        )
        radius = fourier.radial_frequency((8, 8))
        power = radius.clamp(min=0.5) ** -alpha * (radius > 0)
        power = power * 64 / power.sum()
        expected, h = predict(power, 0.1)
        measured = solution.B.abs()[..., 0, 0]
        errors.append(float((measured - expected).norm()))
        assert 0 < h <= 0.25
        # Sampling: conj(x̂) dl/df has a mean of n terms, and B moves by its error over h s.
        f = (fourier.fft2(task.images[:, 0].double()) * solution.B[..., 0, 0]).sum((1, 2)).real
        spread = torch.sigmoid(-task.labels * f).square().mean()
        kept = expected > 0
        variance = (spread / (n * power[kept])).sum() / h**2
        assert errors[-1] < 1.5 * float(variance) ** 0.5
    # The limit of many images: four times as many halve the error.
    assert all(1.3 < a / b < 3.2 for a, b in zip(errors, errors[1:], strict=False))


def test_at_the_smallest_decay_steep_power_leaves_all_networks_short_of_the_flat_limit():
    record = recorded.dataset("clean")
    record = record.squeeze([name for name in record.dims if record.sizes[name] == 1])
    slopes, minimum = (
        experiments.ring_slopes(values.isel(weight_decay=0), size=16, fmin=1, fmax=8).mean("seed")
        for values in (record.sensitivity, record.predicted)
    )
    for name in ARCHITECTURES:
        found = slopes.sel(architecture=name)
        assert all(abs(float(found.sel(data=f"gaussian_field:{a}"))) < 0.15 for a in (0, 1, 2))
        assert float(found.sel(data="gaussian_field:3")) < -0.2
    linear = minimum.sel(architecture="linear_cnn-2", data="gaussian_field:3")
    assert abs(float(linear)) < 0.1


def test_the_shape_of_the_prediction_changes_as_stated():
    radius = fourier.radial_frequency((16, 16))

    def ratio(alpha, weight_decay):
        power = radius.clamp(min=0.5) ** -alpha * (radius > 0)
        curve, _ = predict(power * 256 / power.sum(), weight_decay)
        return float(curve[0, 8] / curve[0, 1])

    assert [ratio(0, w) for w in (0.001, 0.1)] == pytest.approx([1, 1])
    assert ratio(3, 1e-5) > 0.999
    by_decay = [ratio(2, w) for w in (0.001, 0.01, 0.03, 0.1)]
    by_alpha = [ratio(alpha, 0.02) for alpha in (0, 1, 2, 3)]
    for ratios in (by_decay, by_alpha):
        assert all(b < a for a, b in zip(ratios, ratios[1:], strict=False))


def odd_data(seed):
    task = experiments.load_task("gaussian_field:2", size=6, n_train=100, n_test=1, seed=seed)
    x = torch.cat([task.images, -task.images]).double()
    return x, torch.cat([task.labels, -task.labels]).double()


def relu_objective(model, x, y, weight_decay):
    free = [w for name, w in model.named_parameters() if not name.endswith("bias")]
    loss = torch.nn.functional.softplus(-y * model(x)[:, 0]).mean()
    return loss + weight_decay / 2 * sum(w.square().sum() for w in free)


def relu_network(width, seed):
    model = models.conv_actually(2, width=width, shape=(6, 6), n_outputs=1, seed=seed).double()
    for name, weights in model.named_parameters():
        weights.requires_grad_(not name.endswith("bias"))
    return model


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_thm_relu_doubles_decay(seed):
    x, y = odd_data(seed)
    weight_decay = 0.05
    doubled = theory.solve(
        x, y, weight_decay=2 * weight_decay, depth=2, loss="logistic", tolerance=1e-10
    )
    single = theory.solve(x, y, weight_decay=weight_decay, depth=2, loss="logistic")
    # At most: two channels of opposite sign realise the solution, at its objective.
    kernel, head = theory.realize(doubled.B, 2, width=1)
    linear = models.linear_cnn(2, width=1, shape=(6, 6)).double()
    relu = relu_network(2, seed)
    with torch.no_grad():
        linear.convolutions[0].weight.copy_(kernel)
        linear.head.copy_(head)
        convolution, dense = (m for m in relu.modules() if hasattr(m, "weight"))
        convolution.weight.copy_(torch.cat([kernel, -kernel]))
        dense.weight.copy_(torch.cat([head, -head], 1).reshape(1, -1))
        assert torch.allclose(relu(x), linear(x), atol=ATOL[torch.float64])
        reached = float(relu_objective(relu, x, y, weight_decay))
        assert reached == pytest.approx(doubled.objective, rel=1e-8)
        assert reached > single.objective * 1.01  # not the linear network's own minimum
        # At least: no network, scaled as it likes, is below, and its odd part is linear.
        for draw in range(20):
            other = relu_network(3, 10 + draw)
            for scale in (0.1, 0.3, 1.0):
                for weights in other.parameters():
                    weights.mul_(scale)
                assert relu_objective(other, x, y, weight_decay) > doubled.objective
            odd = other(x) - other(-x)
            both = other(x[:50] + x[50:100]) - other(-x[:50] - x[50:100])
            assert torch.allclose(odd[:50] + odd[50:100], both, atol=ATOL[torch.float64])


# Test A, at reduced size


@pytest.fixture(scope="module")
def small_slopes():
    """Slopes (cell, seed) of three architectures on 8x8 fields, rings 1 to 4."""
    cells = {"white": (0, 0.1), "little decay": (2, 0.01), "red": (2, 0.1)}
    slopes = {}
    for name in ARCHITECTURES:
        for cell, (alpha, weight_decay) in cells.items():
            curves = [
                experiments.train_and_measure(
                    architecture=name,
                    data=f"gaussian_field:{alpha}",
                    weight_decay=weight_decay,
                    seed=seed,
                    width=4,
                    epochs=12,
                    lr=0.005,
                    **SMALL,
                )
                for seed in range(3)
            ]
            for key in ("sensitivity", "untrained", "predicted"):
                rings = xarray.DataArray(
                    np.stack([c[key][1].numpy() for c in curves]), dims=("seed", "ring")
                )
                slopes[name, cell, key] = experiments.ring_slopes(rings, size=8, fmin=1, fmax=4)
    return slopes


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_sensitivity_is_flat_on_white_fields_and_steeper_with_power_and_decay(name, small_slopes):
    white, little, red = (
        small_slopes[name, cell, "sensitivity"] for cell in ("white", "little decay", "red")
    )
    mean, error = experiments.mean_and_error(white)
    # Few rings of few frequencies: the scatter over seeds says what flat can mean.
    assert abs(mean) < max(SIGMAS * float(error), 0.1)
    for steeper, flatter in ((red, white), (red, little)):
        difference, error = experiments.mean_and_error(steeper - flatter)  # the same seeds
        assert float(difference) < -2 * float(error)
    control, error = experiments.mean_and_error(small_slopes[name, "red", "untrained"])
    assert float(red.max()) < float(control) - 0.2


def test_linear_networks_have_the_slope_of_the_exact_minimiser(small_slopes):
    for cell in ("white", "red"):
        measured = small_slopes["linear_cnn-2", cell, "sensitivity"]
        predicted = small_slopes["linear_cnn-2", cell, "predicted"]
        assert (abs(measured - predicted) < 0.1 + 0.1 * abs(predicted)).all()
