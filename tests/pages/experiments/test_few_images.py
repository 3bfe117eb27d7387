"""Few images, no decay: the records that the page shows."""

import json

import pytest
import xarray
from recorded import dataset

EXACT = ["few-images", "response-photographs", "response-cifar10", "response-cifar10-jpeg"]


def not_run(record):
    """Where a sweep has no run: not recorded yet, or without convergence."""
    gone = xarray.zeros_like(record.gap, dtype=bool)
    for run in json.loads(record.attrs["missing"]):
        gone.loc[{axis: run[axis] for axis in gone.dims}] = True
    return gone


@pytest.mark.parametrize("name", EXACT)
def test_exact_minimisers_are_certified(name):
    record = dataset(name)
    assert record.attrs["function"] == "solve_and_measure"
    gone, lost = not_run(record), record.gap.isnull()
    assert float(gone.mean()) < 0.02
    decaying = [decay for decay in record.weight_decay.values if decay > 0]
    assert bool((lost == gone).sel(weight_decay=decaying).all())
    assert float(record.gap.max()) <= 1e-5
    assert bool((record.sensitivity.isnull().any("ring") == lost).all())


TAUGHT = ["linear_cnn-2", "conv_actually-2", "conv_actually-3-5x5"]


@pytest.mark.parametrize("name", ["few-trained", "few-trained-start"])
def test_networks_without_decay_are_trained_until_they_fit(name):
    record = dataset(name)
    assert record.attrs["function"] == "train_and_follow"
    few = record.sel(weight_decay=0.0, n_train=[64, 512], architecture=TAUGHT)
    assert int(few.train_accuracy.notnull().sum()) >= 24
    assert float(few.train_accuracy.min()) > 0.99
    assert float(few.loss.isel(look=-1).max()) < 0.02
