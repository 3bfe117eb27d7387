"""Limits and open questions: the numbers that the page takes from the records."""

import numpy as np
import pytest
import recorded

from freqsense import experiments

BINS = {"size": 16, "fmin": 1, "fmax": 8}
RELU = ("conv_actually-2", "conv_actually-3-5x5")


@pytest.fixture(scope="module")
def clean():
    record = recorded.dataset("clean")
    return record.squeeze([name for name in record.dims if record.sizes[name] == 1])


@pytest.fixture(scope="module")
def slopes(clean):
    return experiments.ring_slopes(clean.sensitivity, **BINS)


def test_linear_networks_follow_the_theory(clean, slopes):
    predicted = experiments.ring_slopes(clean.predicted, **BINS)
    gap = (slopes - predicted).sel(architecture="linear_cnn-2", data="gaussian_field:2")
    assert float(np.abs(gap).max()) < 0.25
    assert float(np.abs(gap.mean("seed")).max()) < 0.15


@pytest.mark.parametrize("name", RELU)
def test_relu_networks_are_steeper_at_every_seed(slopes, name):
    at = {"data": "gaussian_field:2", "weight_decay": 0.1}
    difference = slopes.sel(architecture=name, **at) - slopes.sel(architecture="linear_cnn-2", **at)
    assert float(difference.max()) < -0.3


def test_no_network_is_steep_on_white_images(slopes):
    white = slopes.sel(data="gaussian_field:0").mean("seed")
    assert float(np.abs(white).max()) < 0.15


def test_a_network_that_learns_by_heart_is_steep_on_white_images(slopes):
    record = recorded.dataset("clean-myrtle").sel(data="gaussian_field:0")
    record = record.squeeze([name for name in record.dims if record.sizes[name] == 1])
    assert float((record.train_accuracy - record.accuracy).min()) > 0.05
    mean, error = experiments.mean_and_error(
        experiments.ring_slopes(record.sensitivity.sel(weight_decay=0.01), **BINS)
    )
    steepest = np.abs(slopes.sel(data="gaussian_field:0").mean("seed")).max()
    assert float(mean) < -float(steepest) - 2 * float(error)


def test_flatness_is_no_mark_of_batch_normalisation():
    record = recorded.dataset("depth-decay")
    record = record.squeeze([name for name in record.dims if record.sizes[name] == 1])
    slopes = experiments.ring_slopes(record.sensitivity, size=32, fmin=1, fmax=12)
    at_end = slopes.isel(weight_decay=-1).mean("seed")
    for name in ("resnet-9", "resnet-9-plain", "vgg-11"):
        assert abs(float(at_end.sel(architecture=name))) < 0.1
    assert float(at_end.sel(architecture="vgg-11-plain")) < -0.2


def test_usual_training_stops_before_the_minimum(clean, slopes):
    at = {"architecture": "linear_cnn-2", "data": "gaussian_field:3", "weight_decay": 0.01}
    minimum = experiments.ring_slopes(clean.predicted, **BINS).sel(at)
    assert float(slopes.sel(at).max()) < float(minimum.min()) - 0.1


def test_theory_silences_rings_that_training_leaves_small(clean):
    at = {"data": "gaussian_field:3", "weight_decay": 0.1, "architecture": "linear_cnn-2"}
    theirs, ours = (clean[name].sel(at).values[:, 1:9] for name in ("predicted", "sensitivity"))
    silent = theirs <= 0
    assert silent.any(1).all()
    assert (ours / ours[:, :1])[silent].max() < 0.05
