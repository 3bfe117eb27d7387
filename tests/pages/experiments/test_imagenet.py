"""A network trained on ImageNet: the claims of the page, on the record."""

import pytest
import recorded
from imagenet import error, slopes
from tolerances import SIGMAS

NETWORKS = ["lite0", "lite1", "lite2"]
SETS = ["photographs", "others"]


@pytest.fixture(scope="module")
def table():
    return recorded.table("imagenet")


@pytest.mark.parametrize("pictures", SETS)
@pytest.mark.parametrize("network", NETWORKS)
def test_trained_networks_are_band_pass_and_untrained_ones_rise(table, network, pictures):
    at = {"network": network, "pictures": pictures}
    (low,), (all_,) = (slopes(table, band, weights="trained", **at) for band in ("low", "all"))
    assert low.mean() > 2 * error(low) and all_.mean() < -2 * error(all_)
    untrained = slopes(table, "all", weights="untrained", **at).mean(1)
    assert untrained.mean() > SIGMAS * error(untrained)
    # Negative control: photographs have no peak, whichever band is asked.
    amplitude = {"network": "none", "output": "amplitude", "pictures": pictures}
    for band in ("low", "all"):
        assert slopes(table, band, **amplitude).mean() < -1


@pytest.mark.parametrize("pictures", SETS)
@pytest.mark.parametrize("network", NETWORKS)
def test_training_turned_the_slope_and_not_as_far_as_the_pictures(table, network, pictures):
    at = {"network": network, "pictures": pictures}
    untrained = slopes(table, "all", weights="untrained", **at)
    turn = slopes(table, "all", weights="trained", **at)[0] - untrained.mean(0)
    assert turn.mean() < -SIGMAS * error(turn)
    amplitude = {"network": "none", "output": "amplitude", "pictures": pictures}
    assert turn.mean() > slopes(table, "all", **amplitude).mean() / 2


@pytest.mark.parametrize("weights", ["permuted", "pixels"])
@pytest.mark.parametrize("network", NETWORKS)
def test_without_the_shapes_of_kernels_the_curve_rises(table, network, weights):
    at = {"network": network, "pictures": "photographs"}
    destroyed = slopes(table, "all", weights=weights, **at).mean(1)
    assert destroyed.mean() > SIGMAS * error(destroyed)
