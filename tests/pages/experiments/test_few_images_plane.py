"""The plane of images and decay: a cell found again, and networks on the images of the cells."""

import numpy as np
import pytest
from recorded import dataset


def test_a_point_of_the_plane_is_found_again():
    from freqsense.experiments import solve_and_measure

    record = dataset("few-images")
    at = {"depth": 1, "data": "gaussian_field:2", "weight_decay": 0.01, "n_train": 128, "seed": 2}
    again = solve_and_measure(**at, size=16, n_test=1000)
    stored = record.sel(at).squeeze(drop=True)
    np.testing.assert_allclose(again["sensitivity"][1], stored.sensitivity, rtol=1e-3)
    assert again["accuracy"] == pytest.approx(float(stored.accuracy), abs=2e-3)


def test_networks_are_trained_on_the_images_of_the_exact_minimisers():
    trained, exact = dataset("few-trained"), dataset("few-images")
    at = {"data": "gaussian_field:2", "n_train": 512, "weight_decay": 0.1}
    power = trained.power_map.sel(at | {"architecture": "linear_cnn-2"}).squeeze(drop=True)
    other = exact.power_map.sel(at | {"depth": 2}).squeeze(drop=True)
    np.testing.assert_allclose(
        *(each.sel(seed=[0, 1]).transpose("seed", "ky", "half_kx") for each in (power, other)),
        rtol=1e-3,
        atol=1e-6,
    )
    # Negative control: another draw has another power.
    assert abs(power.sel(seed=0) - other.sel(seed=1)).max() > 0.01
