"""Controls of the hard test, on its records."""

import math

import numpy as np
import pytest
import recorded
import xarray

from freqsense import experiments

BINS = {"size": 16, "fmin": 1, "fmax": 8}


def respond(record, curve="sensitivity"):
    power = experiments.ring_slopes(experiments.ring_power(record.power_map), **BINS)
    return experiments.response(experiments.ring_slopes(record[curve], **BINS), power)


@pytest.mark.parametrize("data", ["photographs", "cifar10"])
def test_no_network_responds_before_it_is_trained(data):
    record = recorded.dataset(f"response-trained-{data}").isel(look=-1).squeeze(drop=True)
    assert float(abs(respond(record, "untrained")).max()) < 0.05
    # The control of the control: trained on few images without decay they do.
    few = respond(record.sel(weight_decay=0.0).isel(n_train=0))
    assert float(few.mean()) > 0.2


def test_the_jackknife_of_the_exercise():
    values = xarray.DataArray(0.01 * np.tile([-1.0, 1.0], 4), dims="data")
    mean, error = experiments.jackknife(values, "data")
    assert float(mean) == pytest.approx(0)
    assert float(error) == pytest.approx(math.sqrt(7) * 0.01)
