"""What is read off recorded sweeps: slopes, errors over seeds, variance explained."""

import numpy as np
import pytest
import torch
import xarray
from draws import falling_power
from recorded import as_runs, half
from tolerances import ATOL

from freqsense import experiments, fourier, sensitivity

EXACT = ATOL[torch.float64]


def make_runs(decay=0.3, seeds=2, noise=0.0, size=16, exponents=(-1.0, 0.0, 1.0, 2.0)):
    """Runs whose sensitivity is the theory's, at a known decay, times noise; a bent teacher."""
    shape = (size, size)
    teacher = falling_power(shape, 0.5)
    power = torch.stack([falling_power(shape, alpha + 1) for alpha in exponents])
    cross = power * teacher
    theory = fourier.radial_average(cross / (power + decay)).mean[:, None].expand(-1, seeds, -1)
    rng = np.random.default_rng(0)
    levels = rng.uniform(0.5, 2, theory.shape[:2] + (1,))  # each run at a level of its own
    rings = theory.numpy() * levels * np.exp(noise * rng.standard_normal(theory.shape))
    return as_runs(rings, power, cross)


@pytest.mark.parametrize("size", [8, 9, 16])
def test_ring_power_is_the_radial_average_of_the_whole_map(size):
    full = torch.rand(2, size, size, generator=torch.Generator().manual_seed(0)).double()
    even = (full + full.flip(-2, -1).roll((1, 1), (-2, -1))) / 2
    rings = experiments.ring_power(xarray.DataArray(half(even), dims=("run", "ky", "half_kx")))
    assert rings.dims == ("run", "ring")
    expected = fourier.radial_average(even).mean.numpy()
    assert np.allclose(rings, expected, rtol=EXACT)


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


@pytest.mark.parametrize("decay", [0.01, 0.3, 10.0])
def test_def_explained_variance(decay):
    explained = experiments.explain_sensitivity(make_runs(decay), fmin=1, fmax=8)
    theory = explained.sel(model="theory")
    assert theory.number.item() == pytest.approx(decay, rel=1e-3)
    assert theory.r2_total.item() == pytest.approx(1, abs=1e-5)
    assert theory.r2_held_out.min().item() == pytest.approx(1, abs=1e-5)
    assert explained.r2_total.sel(model="power") < 0.99


def test_power_alone_explains_what_follows_power():
    runs = make_runs()
    power = experiments.ring_power(runs.power_map)
    explained = experiments.explain_sensitivity(runs.assign(sensitivity=power**0.4), fmin=1, fmax=8)
    assert explained.number.sel(model="power").item() == pytest.approx(0.4, rel=1e-4)
    assert explained.r2_held_out_total.sel(model="power").item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_nothing_explains_noise(seed):
    runs = make_runs(seeds=5)
    noise = np.exp(np.random.default_rng(seed).standard_normal(runs.sensitivity.shape))
    explained = experiments.explain_sensitivity(
        runs.assign(sensitivity=(("image_filter", "seed", "ring"), noise)), fmin=1, fmax=8
    )
    # Two numbers fitted to 4 x 5 x 8 points explain about 1 / 140 of pure noise, and nothing of
    # what was held out.
    assert (explained.r2_total < 0.1).all()
    assert (explained.r2_held_out_total < 0.05).all()


def test_noise_lowers_what_is_explained_by_its_own_variance():
    clean, noisy = make_runs(seeds=20), make_runs(seeds=20, noise=0.2)
    explained = experiments.explain_sensitivity(noisy, fmin=1, fmax=8)
    variance = float((experiments.explain_sensitivity(clean, fmin=1, fmax=8).measured ** 2).mean())
    noise = 0.2**2 * 7 / 8  # about the mean of eight rings
    expected = variance / (variance + noise)
    assert explained.r2_total.sel(model="theory").item() == pytest.approx(expected, abs=0.05)


def test_empty_rings_are_left_out():
    runs = make_runs()
    low = fourier.radial_frequency((16, 16)) < 4
    emptied = runs.power_map.where(~xarray.DataArray(half(low), dims=("ky", "half_kx")), 0.0)
    explained = experiments.explain_sensitivity(runs.assign(power_map=emptied), fmin=1, fmax=8)
    assert explained.measured.isel(ring=slice(1, 4)).isnull().all()
    assert explained.measured.isel(ring=slice(4, 9)).notnull().all()


def test_runs_must_be_complete_and_of_one_setting():
    runs = make_runs()
    with pytest.raises(ValueError, match="at least two values of image_filter"):
        experiments.explain_sensitivity(runs.isel(image_filter=[0]), fmin=1, fmax=8)
    broken = runs.assign(sensitivity=runs.sensitivity.where(runs.seed > 0))
    with pytest.raises(ValueError, match="runs must be complete"):
        experiments.explain_sensitivity(broken, fmin=1, fmax=8)
    two = xarray.concat([runs, runs], "architecture")
    with pytest.raises(ValueError, match="one setting but for filter and seed"):
        experiments.explain_sensitivity(two, fmin=1, fmax=8)
