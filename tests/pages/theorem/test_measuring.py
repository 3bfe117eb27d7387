"""Statements of the page "Measuring sensitivity", and its claims over several seeds."""

import pytest
import torch
from draws import noise
from networks import seeded
from tolerances import ATOL
from torch import nn
from waves import kinked_net, slopes_along, unit_waves

from freqsense import images
from freqsense.sensitivity import measure_sensitivity, slope
from freqsense.training import train

SHAPES = [(8, 8), (7, 7), (6, 9), (7, 4)]
TIGHT = ATOL[torch.float64]


@pytest.mark.parametrize("shape", SHAPES)
def test_thm_random_wave(shape):
    """Twelve equally spaced phases average cos² exactly."""
    model, x = kinked_net(), noise(5, 2, *shape)
    values = measure_sensitivity(model, x).values
    turn = 2 * torch.pi * torch.arange(12, dtype=torch.float64) / 12
    many, phases = x.repeat_interleave(12, 0), turn.repeat(5)
    for channel, frequency in ((0, (0, 0)), (1, (1, 1)), (0, (-2, 1)), (1, (0, 2))):
        found = slopes_along(model, many, unit_waves(many, channel, frequency, phases))
        expected = values[channel, frequency[0], frequency[1]]
        assert torch.allclose(found.square().sum(1).mean().sqrt(), expected, atol=TIGHT)


@seeded
def small_cnn(n_outputs):
    """The network of the page."""
    circular = {"stride": 2, "padding": 2, "padding_mode": "circular"}
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, **circular),
        nn.ReLU(),
        nn.Conv2d(8, 16, 5, **circular),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(256, n_outputs),
    )


def slope_of(model, x):
    return slope(measure_sensitivity(model, x).radial()[0], 1, x.shape[-1] // 2 - 2).slope


def test_untrained_networks_have_no_tilt_unless_they_average_pixels():
    x = images.gaussian_field(100, shape=(24, 24), alpha=2.0)
    plain = [slope_of(small_cnn(8, seed=seed), x) for seed in range(6)]
    assert max(abs(s) for s in plain) < 0.3
    tilted = []
    for seed in range(6):
        net = small_cnn(8, seed=seed)
        for layer in (net[0], net[2]):
            layer.stride = (1, 1)
        pooled = nn.Sequential(
            net[0], net[1], nn.AvgPool2d(2), *net[2:4], nn.AvgPool2d(2), *net[4:]
        )
        tilted.append(slope_of(pooled, x))
    assert max(tilted) < -0.4


@pytest.mark.parametrize("seed", range(5, 8))
def test_networks_trained_on_steeper_fields_are_tilted_more(seed):
    """Seeds and a teacher that the page does not use."""
    slopes = []
    teacher = torch.randn(256, generator=torch.Generator().manual_seed(seed))
    for alpha in (0.0, 2.0):
        fields = images.gaussian_field(1500, shape=(16, 16), alpha=alpha, seed=seed)
        labels = (fields.flatten(1) @ teacher).sign()
        model = small_cnn(1, seed=seed)
        train(
            model, fields, labels, epochs=8, lr=5e-3, weight_decay=0.03, seed=seed,
            batch_size=64, optimizer="adam", loss="logistic",
        )  # fmt: skip
        slopes.append(slope_of(model, images.gaussian_field(100, shape=(16, 16), alpha=alpha)))
    assert slopes[1] < slopes[0] - 0.2
    assert slopes[1] < -0.3
