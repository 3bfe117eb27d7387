"""What is read off recorded sweeps: slopes, responses, errors over seeds and over photographs."""

import numpy as np
import pytest
import torch
import xarray
from recorded import half
from tolerances import ATOL

from freqsense import experiments, fourier, sensitivity

EXACT = ATOL[torch.float64]


@pytest.mark.parametrize("size", [8, 9, 16])
def test_ring_power_is_the_radial_average_of_the_whole_map(size):
    full = torch.rand(2, size, size, generator=torch.Generator().manual_seed(0)).double()
    even = (full + full.flip(-2, -1).roll((1, 1), (-2, -1))) / 2
    rings = experiments.ring_power(xarray.DataArray(half(even), dims=("run", "ky", "half_kx")))
    assert rings.dims == ("run", "ring")
    expected = fourier.radial_average(even).mean.numpy()
    assert np.allclose(rings, expected, rtol=EXACT)


def test_a_missing_map_has_no_rings():
    maps = xarray.DataArray(np.ones((2, 8, 5)), dims=["seed", "ky", "half_kx"])
    maps[1] = np.nan
    rings = experiments.ring_power(maps)
    assert (rings[0] == 1).all() and rings[1].isnull().all()
    maps[0, 0, 0] = np.nan  # a map in pieces is no missing run
    with pytest.raises(ValueError, match="values must be finite"):
        experiments.ring_power(maps)


def test_ring_slopes_are_those_of_single_profiles():
    maps = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1)).double()
    profiles = [fourier.radial_average(map_) for map_ in maps]
    rings = xarray.DataArray([p.mean.numpy() for p in profiles], dims=("run", "ring"))
    slopes = experiments.ring_slopes(rings, size=16, fmin=2, fmax=7)
    expected = [sensitivity.slope(p, 2, 7).slope for p in profiles]
    assert np.allclose(slopes, expected, rtol=EXACT)


def test_a_dead_network_has_no_slope():
    rings = xarray.DataArray(np.ones((3, 9)), dims=("run", "ring"))
    rings[1, 4] = 0.0
    rings[2, 0] = 0.0  # outside the fitted range
    slopes = experiments.ring_slopes(rings, size=16, fmin=1, fmax=8)
    assert slopes.isnull().values.tolist() == [False, True, False]


def test_ring_slopes_need_all_rings_of_the_size():
    with pytest.raises(ValueError, match="rings must have 17 rings for size 32"):
        experiments.ring_slopes(xarray.DataArray(np.ones(9), dims="ring"), size=32, fmin=1, fmax=8)


def test_mean_and_error_leave_missing_seeds_out():
    values = xarray.DataArray([[1.0, 3.0, np.nan], [5.0, np.nan, np.nan]], dims=("run", "seed"))
    mean, error = experiments.mean_and_error(values)
    assert mean.values.tolist() == [2.0, 5.0]
    assert error.values[0] == pytest.approx(1.0, rel=EXACT) and np.isnan(error.values[1])


POWERS = xarray.DataArray([-3.5, -2.5, -1.5, 0.5], dims="image_filter")


def test_an_error_over_seeds_of_one_seed_is_not_known():
    mean, error = experiments.mean_and_error(xarray.DataArray([2.0], dims="seed"))
    assert mean.item() == 2.0 and np.isnan(error.item())


@pytest.mark.parametrize("rho", [0.5, 0.0, -0.5])
def test_response_is_the_slope_over_interventions(rho):
    levels = xarray.DataArray([-1.0, 0.0, 3.0], dims="seed")
    found = experiments.response(rho * POWERS + levels, POWERS)
    assert found.dims == ("seed",)
    np.testing.assert_allclose(found, rho, atol=EXACT)


@pytest.mark.parametrize("exponent", [0.5, -0.5])
def test_curves_that_follow_and_undo_respond_by_a_half(exponent):
    k = fourier.radial_average(fourier.radial_frequency((16, 16))).frequency.clamp(min=0.5).numpy()
    gains = np.stack([k**delta for delta in (-0.5, 0.0, 1.0)])
    bins = {"size": 16, "fmin": 1, "fmax": 8}
    power, heard = (
        xarray.DataArray(curve, dims=("image_filter", "ring"))
        for curve in (gains**2 / k, gains ** (2 * exponent))
    )
    found = experiments.response(*(experiments.ring_slopes(c, **bins) for c in (heard, power)))
    assert found.item() == pytest.approx(exponent, abs=1e-9)


def test_response_is_a_least_squares_slope_and_not_one_between_the_ends():
    y = np.array([0.3, -0.2, 0.9, 0.1])
    found = experiments.response(xarray.DataArray(y, dims="image_filter"), POWERS).item()
    assert found == pytest.approx(np.polyfit(POWERS.values, y, 1)[0], rel=1e-9)
    assert abs(found - (y[-1] - y[0]) / (POWERS.values[-1] - POWERS.values[0])) > 0.01


def test_response_takes_powers_with_and_without_the_axes_of_the_slopes():
    rng = np.random.default_rng(0)
    slopes = xarray.DataArray(rng.normal(size=(2, 4, 3)), dims=("net", "image_filter", "seed"))
    shared = experiments.response(slopes, POWERS)
    own = experiments.response(slopes, POWERS.expand_dims(seed=3))
    assert shared.dims == ("net", "seed")
    np.testing.assert_allclose(own.transpose("net", "seed"), shared, rtol=EXACT)
    for net, seed in np.ndindex(2, 3):
        one = experiments.response(slopes[net, :, seed], POWERS)
        assert float(shared[net, seed]) == pytest.approx(float(one), rel=EXACT)


def test_a_response_without_all_interventions_is_missing():
    slopes = (0.5 * POWERS).expand_dims(seed=3, axis=1).copy()
    slopes[2, 1] = np.nan
    found = experiments.response(slopes, POWERS)
    assert found.isnull().values.tolist() == [False, True, False]
    lost = POWERS.where(POWERS < 0)
    assert experiments.response(0.5 * POWERS, lost).isnull()
    assert not experiments.response(0.5 * POWERS[:3], lost[:3]).isnull()


def test_what_is_missing_is_no_lack_of_an_intervention():
    """Of a sweep under way one intervention may be there alone; the others are NaN."""
    powers = xarray.DataArray([[-3.0, -2.0], [-3.0, np.nan]], dims=["seed", "image_filter"])
    found = experiments.response(0.5 * powers, powers)
    assert found[0] == 0.5 and np.isnan(found[1])


def test_a_response_needs_interventions_that_intervene():
    with pytest.raises(ValueError, match="slopes must have at least two values of image_filter"):
        experiments.response(POWERS[:1], POWERS[:1])
    with pytest.raises(ValueError, match="powers must have at least two values of delta"):
        experiments.response(POWERS.rename(image_filter="delta"), POWERS, dim="delta")
    with pytest.raises(ValueError, match="powers must differ over image_filter"):
        experiments.response(POWERS, 0 * POWERS - 2.0)
    with pytest.raises(ValueError, match="powers must differ"):  # by rounding alone
        experiments.response(POWERS, 0 * POWERS - 2.0 + 1e-15 * POWERS)


def test_a_response_needs_the_same_interventions_on_both_sides():
    named = POWERS.assign_coords(image_filter=list("abcd"))
    assert experiments.response(named, named).item() == pytest.approx(1, rel=EXACT)
    with pytest.raises(ValueError):
        experiments.response(named, named.assign_coords(image_filter=list("abce")))


@pytest.mark.parametrize("n", [2, 8, 31])
def test_the_jackknife_error_of_a_mean_is_its_standard_error(n):
    sample = np.random.default_rng(n).gamma(2.0, size=(3, n))
    left_out = (sample.sum(1, keepdims=True) - sample) / (n - 1)
    values = xarray.DataArray(left_out, dims=("seed", "photograph"))
    mean, error = experiments.jackknife(values, "photograph")
    assert mean.dims == error.dims == ("seed",)
    np.testing.assert_allclose(mean, sample.mean(1), rtol=1e-12)
    np.testing.assert_allclose(error, sample.std(1, ddof=1) / n**0.5, rtol=1e-10)
    # Negative control: leave-one-out runs are no sample, and their scatter is far too small.
    _, naive = experiments.mean_and_error(values, "photograph")
    np.testing.assert_allclose(naive * (n - 1), error, rtol=1e-10)


def test_a_jackknife_does_not_leave_missing_runs_out():
    values = xarray.DataArray([[1.0, 2.0, 4.0], [1.0, np.nan, 4.0]], dims=("seed", "photograph"))
    for found in experiments.jackknife(values, "photograph"):
        assert found.isnull().values.tolist() == [False, True]


def test_a_jackknife_needs_two_runs():
    with pytest.raises(ValueError, match="at least two entries of photograph"):
        experiments.jackknife(xarray.DataArray([1.0], dims="photograph"), "photograph")
    with pytest.raises(ValueError, match="at least two entries of photograph"):
        experiments.jackknife(xarray.DataArray([1.0, 2.0], dims="seed"), "photograph")
