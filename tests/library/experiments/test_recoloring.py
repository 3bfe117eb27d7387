"""Recolour, retrain, response: against exact minimisers, and against networks that do not train."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from freqsense import experiments, filters, fourier, images, training
from freqsense.experiments import measure_response

DELTAS = [-0.5, 0.0, 0.5]
QUICK = {"epochs": 1, "lr": 0.01, "weight_decay": 0.0}
# Full batches, to the end: a linear network has one minimum there.
EXACT = {"epochs": 150, "weight_decay": 0.0, "loss": "squared", "batch_size": 400}


def fields(n, size, alpha):
    """Images, and targets of a white teacher with noise, which no map of the images fits."""
    x = images.gaussian_field(n, shape=(size, size), alpha=alpha, seed=0)
    generator = torch.Generator().manual_seed(1)
    teacher = torch.randn(size, size, generator=generator)
    return x, (x * teacher).sum((1, 2, 3)) + torch.randn(n, generator=generator)


def silent_linear(size):
    """A linear network that starts at zero, so that it ends at the smallest map of all that fit."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(size**2, 1, bias=False))
    nn.init.zeros_(model[1].weight)
    return model


def exact_slopes(x, y, size):
    """Slopes of the smallest least squares maps on recoloured images (deltas,)."""
    bins = fourier.radial_average(torch.ones(size, size)).frequency[1:].log().numpy()
    slopes = []
    for delta in DELTAS:
        colored = filters.recolor(x, delta).flatten(1).double()
        weights = torch.linalg.pinv(colored) @ y.double()
        rings = fourier.radial_average(fourier.fft2(weights.reshape(size, size)).abs()).mean
        slopes.append(np.polyfit(bins, rings[1:].log().numpy(), 1)[0])
    return slopes


def test_with_many_images_a_linear_network_undoes():
    x, y = fields(400, 8, alpha=1.0)
    x = x - x.mean(0)
    found = measure_response(
        x, y, lambda: silent_linear(8), deltas=DELTAS, seeds=[0], lr=0.15, **EXACT
    )
    assert found.response == pytest.approx(-0.5, abs=0.02)
    np.testing.assert_allclose(found.slopes.sel(seed=0), exact_slopes(x, y, 8), atol=0.02)


def test_with_few_images_a_linear_network_follows():
    x, y = fields(4, 16, alpha=0.0)
    found = measure_response(
        x, y.sign(), lambda: silent_linear(16), deltas=DELTAS, seeds=[0], lr=0.005, **EXACT
    )
    assert found.response == pytest.approx(0.5, abs=0.05)
    np.testing.assert_allclose(found.slopes.sel(seed=0), exact_slopes(x, y.sign(), 16), atol=0.05)


def test_a_network_that_does_not_train_does_not_respond():
    x, y = fields(50, 8, alpha=1.0)
    found = measure_response(
        x, y, "linear_cnn-2", deltas=DELTAS, seeds=[0, 1], epochs=1, lr=0.0, weight_decay=0.0
    )
    assert abs(found.response) < 1e-6 and found.each.sizes == {"seed": 2}
    np.testing.assert_allclose(np.diff(found.powers), 1.0, atol=0.05)  # twice the steps of delta


def test_the_error_is_over_seeds():
    x, y = fields(60, 8, alpha=1.0)
    several = {"model": "conv_actually-2", "width": 2, "deltas": [0.0, 1.0]} | QUICK
    found = measure_response(x, y.sign(), seeds=[3, 1, 2], **several)
    assert found.stderr == pytest.approx(np.std(found.each, ddof=1) / 3**0.5)
    assert found.response == pytest.approx(float(found.each.mean())) and found.stderr > 0
    alone = measure_response(x, y.sign(), seeds=[1], **several)
    assert math.isnan(alone.stderr) and alone.response == pytest.approx(float(found.each[1]))
    assert found.slopes.seed.values.tolist() == [3, 1, 2]


def make():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2))


def test_networks_of_a_seed_start_alike_and_the_global_state_stays(monkeypatch):
    starts = []
    train = training.train

    def look(model, *arguments, **settings):
        starts.append(model[0].weight.detach().clone())
        return train(model, *arguments, **settings)

    monkeypatch.setattr(training, "train", look)
    x, y = fields(40, 8, alpha=1.0)
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    measure_response(x, (y > 0).long(), make, deltas=[0, 1], seeds=[0, 5], **QUICK)
    assert torch.rand(1) == expected
    assert torch.equal(starts[0], starts[2]) and torch.equal(starts[1], starts[3])
    assert not torch.equal(starts[0], starts[1])


@pytest.mark.parametrize(
    ("labels", "loss"),
    [
        (torch.arange(12) % 3, "cross_entropy"),
        (1.0 - 2 * (torch.arange(12) % 2), "logistic"),
        (torch.arange(12.0), "squared"),
        (torch.ones(12, 2).double() * 0.5, "squared"),
    ],
)
def test_labels_choose_the_loss_and_the_outputs(monkeypatch, labels, loss):
    asked = []
    monkeypatch.setattr(training, "train", lambda *_, **settings: asked.append(settings))
    x = images.gaussian_field(12, shape=(8, 8), alpha=1.0)
    measure_response(x, labels, "linear_cnn-1", deltas=[0, 1], seeds=[0], **QUICK)
    assert [settings["loss"] for settings in asked] == [loss, loss]
    measure_response(x, labels, "linear_cnn-1", deltas=[0, 1], seeds=[0], loss="told", **QUICK)
    assert asked[-1]["loss"] == "told"


SQUARE = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"deltas": [0.5]}, "deltas must be 2 different numbers or more"),
        ({"deltas": [0.5, 0.5]}, "deltas must be 2 different numbers or more"),
        ({"deltas": 0.5}, "deltas must be a list"),
        ({"deltas": [0.0, math.nan]}, "each of deltas must be finite"),
        ({"seeds": []}, "seeds must be 1 different numbers or more"),
        ({"seeds": [0.5]}, "each of seeds must be an integer"),
        ({"seeds": 3}, "seeds must be a list"),
        ({"images": SQUARE[..., :7]}, "images must be square, got 8 x 7"),
        ({"test_images": SQUARE[..., :7]}, "test_images must be of"),
        ({"labels": torch.zeros(5)}, "labels must have shape"),
        ({"model": "linear_cnn"}, "architecture must be one of"),
        ({"model": make()}, "model must be a name or a function that builds a network"),
        ({"model": lambda: 3}, "model must return a new torch.nn.Module at each call, got a int"),
        ({"model": 3}, "model must be a name or a function"),
        ({"fmax": 9}, "fm"),
        ({"fmin": 4}, "fm|bins|ring"),
    ],
)
def test_bad_arguments_are_refused_before_training(monkeypatch, change, said):
    monkeypatch.setattr(training, "train", lambda *_, **__: pytest.fail("trained"))
    arguments = {"images": SQUARE, "labels": torch.arange(12) % 2, "model": "linear_cnn-1"}
    arguments |= {"deltas": [0.0, 1.0], "seeds": [0]} | QUICK | change
    with pytest.raises((TypeError, ValueError), match=said):
        measure_response(**arguments)


def test_a_network_that_is_built_once_is_refused():
    once = make()
    with pytest.raises(TypeError, match="new torch.nn.Module at each call, got a Sequential"):
        measure_response(
            SQUARE, torch.arange(12) % 2, lambda: once, deltas=[0, 1], seeds=[0], **QUICK
        )


def test_a_silent_network_has_no_response():
    with pytest.raises(ValueError, match=r"each ring .* sensitivity above 0, got none for delta"):
        measure_response(
            SQUARE, torch.arange(12.0), lambda: silent_linear(8), deltas=[0, 1], seeds=[0],
            epochs=1, lr=0.0, weight_decay=0.0,
        )  # fmt: skip
    assert experiments.measure_response is measure_response
