"""Mistakes that change a slope: what preparation, batches and BatchNorm do to a measurement."""

import copy

import pytest
import torch
from draws import noise
from networks import seeded
from tolerances import ATOL
from torch import nn

from freqsense import fourier
from freqsense.sensitivity import measure_sensitivity, settle_batchnorm, slope


@seeded
def normed_net(width=4):
    return nn.Sequential(
        nn.Conv2d(2, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * width, 3),
    ).double()


@pytest.mark.parametrize("shape", [(8, 8), (7, 7), (6, 9)])
@pytest.mark.parametrize("seed", [0, 1])
def test_preparation_inside_the_model_divides_by_its_spread(shape, seed):
    model, raw = normed_net(seed=seed).eval(), noise(5, 2, *shape, seed=seed)
    mean = torch.tensor([0.3, -0.2], dtype=torch.float64)[:, None, None]
    for spread in ([0.4, 0.4], [0.4, 1.7]):
        by = torch.tensor(spread, dtype=torch.float64)[:, None, None]
        prepared = measure_sensitivity(model, (raw - mean) / by).values
        inside = measure_sensitivity(lambda x, by=by: model((x - mean) / by), raw).values
        torch.testing.assert_close(inside, prepared / by, atol=ATOL[torch.float64], rtol=0)
        assert (inside - prepared).abs().max() > 0.1 * prepared.max()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_spread_moves_the_level_and_two_the_slope(seed):
    model, x = normed_net(seed=seed, width=8).eval(), noise(20, 2, 16, 16, seed=seed)
    values = measure_sensitivity(model, x).values

    def fitted(by):
        size = (values / torch.tensor(by)[:, None, None]).square().sum(0).sqrt()
        return slope(fourier.radial_average(size), 1, 8).slope

    assert fitted([3.0, 3.0]) == pytest.approx(fitted([1.0, 1.0]), abs=1e-10)
    assert abs(fitted([1.0, 9.0]) - fitted([9.0, 1.0])) > 1e-3


@pytest.mark.parametrize("seed", [0, 1])
def test_the_batch_size_changes_nothing_in_eval_mode(seed):
    model, x = normed_net(seed=seed), noise(12, 2, 8, 8, seed=seed)
    whole = measure_sensitivity(model, x, batch_size=12).values
    pieces = measure_sensitivity(model, x, batch_size=5).values
    torch.testing.assert_close(pieces, whole, atol=ATOL[torch.float64], rtol=0)
    assert model.training  # as it was found
    # A function that hides a module in training mode is refused, after its statistics have moved.
    hidden = copy.deepcopy(model).train()
    before = hidden[1].running_mean.clone()
    with pytest.raises(ValueError, match="each image must have outputs of its own"):
        measure_sensitivity(lambda z: hidden(z), x)
    assert not torch.equal(hidden[1].running_mean, before)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_batch_norm_that_has_seen_nothing_has_another_level(seed):
    fresh, x = normed_net(seed=seed), 4 * noise(300, 2, 8, 8, seed=seed)
    levels = [
        float(measure_sensitivity(model, x[:50]).values.square().sum().sqrt())
        for model in (fresh, settle_batchnorm(copy.deepcopy(fresh), x))
    ]
    assert levels[0] > 1.2 * levels[1]
