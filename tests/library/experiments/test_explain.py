"""Explanations of sensitivity curves: each knows its own, and none knows what it was not told."""

import numpy as np
import pytest
import torch
import xarray
from draws import falling_power
from recorded import as_runs, half

from freqsense import experiments, fourier

BINS = {"fmin": 1, "fmax": 8}
SHAPE = (16, 16)


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


def curves(maps):
    return fourier.radial_average(maps).mean


def statistics():
    """Power and label correlation (4, H, W): each intervention has labels of its own."""
    radius = fourier.radial_frequency(SHAPE).clamp(min=1)
    power = torch.stack([falling_power(SHAPE, alpha) for alpha in (-1.0, 0.0, 1.5, 2.0)])
    bumps = torch.stack([1 + 0.5 * torch.sin(radius + 2 * k) for k in range(4)])
    return power, power**0.6 * bumps


def wild_curves(*shape, seed=0):
    """Curves (..., 9) that nothing but themselves explains."""
    return torch.from_numpy(np.exp(np.random.default_rng(seed).standard_normal((*shape, 9))))


def taught_by_itself(power, c=0.3):
    """Curves of a teacher that no statistic of the images shows, recoloured from the second one."""
    rings = curves(power)
    gain, r0 = (rings / rings[1]).sqrt(), wild_curves()
    return gain * r0 * (rings[1] + c) / (rings + c)


def made_by(name):
    """Runs of two seeds that one explanation made, with what all explanations need."""
    power, cross = statistics()
    exact = wild_curves(4, seed=1)
    made = {
        "power": lambda: curves(power) ** 0.4,
        "theory": lambda: curves(cross / (power + 0.3)),
        "depth_two": lambda: curves((cross - 0.01).clamp(min=0) / power),
        "stopped": lambda: curves(cross * -torch.expm1(-3.0 * power) / power),
        "own_teacher": lambda: taught_by_itself(power),
        "few_images": lambda: exact,
    }[name]()
    levels = torch.tensor([0.5, 3.0], dtype=torch.float64)[:, None]
    runs = as_runs((made[:, None] * levels).numpy(), power, cross)
    return runs.assign(exact=(("image_filter", "ring"), exact.numpy())).assign(
        exact=lambda each: each.exact.expand_dims(seed=each.seed, axis=1)
    )


NUMBERS = {"power": 0.4, "theory": 0.3, "depth_two": 0.01, "stopped": 3.0, "own_teacher": 0.3}
NAMES = [*NUMBERS, "few_images"]


@pytest.mark.parametrize("name", NAMES)
def test_an_explanation_knows_its_own_curves_and_no_others(name):
    explained = experiments.explain_sensitivity(made_by(name), reference="f1", **BINS)
    assert explained.model.values.tolist() == NAMES
    held_out = explained.r2_held_out_total
    assert float(held_out.sel(model=name)) > 0.9999
    # Of depth 1, decay and early stopping are alike within a factor of 1.3.
    assert float(held_out.drop_sel(model=name).max()) < 0.995
    unlike = {"theory": ["stopped"], "stopped": ["theory"], "depth_two": ["theory", "stopped"]}
    assert float(held_out.drop_sel(model=[name, *unlike.get(name, [])]).max()) < 0.9
    number = float(explained.number.sel(model=name))
    assert number == pytest.approx(NUMBERS.get(name, np.nan), rel=1e-3, nan_ok=True)


def test_a_prediction_has_not_seen_what_it_predicts():
    runs = made_by("theory")
    changed = runs.copy(deep=True)
    changed.sensitivity[3] = wild_curves(2, seed=5).numpy()
    before, after = (
        experiments.explain_sensitivity(each, reference="f1", **BINS).predicted
        for each in (runs, changed)
    )
    np.testing.assert_allclose(after[:, 3], before[:, 3], atol=1e-9)
    assert not np.allclose(after[:, 2], before[:, 2], atol=1e-3, equal_nan=True)


def test_what_a_network_teaches_itself_needs_no_labels():
    runs = made_by("own_teacher")
    told = experiments.explain_sensitivity(runs, reference="f1", **BINS)
    dealt = runs.assign(cross_map=runs.cross_map.isel(image_filter=[3, 2, 1, 0]).variable)
    lied = experiments.explain_sensitivity(dealt, reference="f1", **BINS)
    np.testing.assert_array_equal(*(e.predicted.sel(model="own_teacher") for e in (told, lied)))
    assert not np.allclose(*(e.predicted.sel(model="theory") for e in (told, lied)), equal_nan=True)


def test_the_reference_is_a_mean_over_seeds_whatever_their_levels():
    runs = made_by("own_teacher")
    rng = np.random.default_rng(2)
    runs = runs.assign(sensitivity=runs.sensitivity * np.exp(rng.normal(size=(4, 2, 9))))
    louder = runs.assign(sensitivity=runs.sensitivity * xarray.DataArray([1.0, 50.0], dims="seed"))
    one, two = (
        experiments.explain_sensitivity(each, reference="f1", **BINS).sel(model="own_teacher")
        for each in (runs, louder)
    )
    np.testing.assert_allclose(two.predicted, one.predicted, atol=1e-6)
    expected = one.measured.sel(image_filter="f1").mean("seed")
    np.testing.assert_allclose(one.predicted.sel(image_filter="f1")[0], expected, atol=1e-9)


def test_the_reference_is_scored_for_no_explanation():
    runs = made_by("theory")
    alone = experiments.explain_sensitivity(runs, **BINS)
    beside = experiments.explain_sensitivity(runs, reference="f1", **BINS)
    assert alone.model.values.tolist() == [n for n in NAMES if n != "own_teacher"]
    both = alone.model.values
    np.testing.assert_array_equal(beside.number.sel(model=both), alone.number)
    assert alone.r2.sel(image_filter="f1").notnull().all()
    for r2, total in ((beside.r2, beside.r2_total), (beside.r2_held_out, beside.r2_held_out_total)):
        assert r2.sel(image_filter="f1").isnull().all()
        others = r2.drop_sel(image_filter="f1")
        variance = (beside.measured**2).sum(["seed", "ring"]).drop_sel(image_filter="f1")
        expected = 1 - ((1 - others) * variance).sum("image_filter") / variance.sum()
        np.testing.assert_allclose(total, expected, atol=1e-9)
    power = {"model": "power"}
    assert abs(float(beside.r2_total.sel(power) - alone.r2_total.sel(power))) > 1e-3


def test_a_reference_is_a_known_intervention_with_power_in_all_rings():
    runs = made_by("theory")
    with pytest.raises(ValueError, match="reference must be one of f0, f1, f2, f3, got 'g1'"):
        experiments.explain_sensitivity(runs, reference="g1", **BINS)
    with pytest.raises(ValueError, match="at least three values of image_filter with a reference"):
        experiments.explain_sensitivity(runs.isel(image_filter=[0, 1]), reference="f1", **BINS)
    low = xarray.DataArray(half(fourier.radial_frequency(SHAPE) < 2.5), dims=("ky", "half_kx"))
    emptied = runs.assign(power_map=runs.power_map.where((runs.image_filter != "f1") | ~low, 0.0))
    with pytest.raises(ValueError, match=r"got 'f1' with none in \[1, 2\]"):
        experiments.explain_sensitivity(emptied, reference="f1", **BINS)
    explained = experiments.explain_sensitivity(emptied, reference="f2", **BINS)
    assert explained.predicted.sel(image_filter="f1", ring=[3, 8]).notnull().all()


def test_without_exact_curves_there_are_no_few_images():
    runs = made_by("few_images")
    explained = experiments.explain_sensitivity(runs.drop_vars("exact"), reference="f1", **BINS)
    assert explained.model.values.tolist() == NAMES[:-1]
    assert float(explained.r2_held_out_total.max()) < 0.9


def test_exact_curves_must_be_complete_and_silent_ones_explain_nothing():
    runs = made_by("few_images")
    lost = runs.assign(exact=runs.exact.where(runs.seed > 0))
    with pytest.raises(ValueError, match="runs must be complete, got missing ones of exact"):
        experiments.explain_sensitivity(lost, **BINS)
    silent = runs.copy(deep=True)
    silent.exact[2, 0, 5] = 0.0
    r2 = experiments.explain_sensitivity(silent, **BINS).sel(model="few_images")
    assert r2.r2.isnull().values.tolist() == [False, False, True, False]
    assert r2.r2_total.isnull() and r2.r2_held_out_total.isnull()


def test_depth_two_keeps_to_thresholds_that_silence_no_ring():
    power, cross = statistics()
    rings = curves((cross - 0.01).clamp(min=0) / power)  # under f3 none is silent
    cross[3][fourier.radial_mask(SHAPE, 4.5, 5.5)] = 0.004  # but one that should be
    runs = as_runs(rings[:, None].numpy(), power, cross)
    explained = experiments.explain_sensitivity(runs, **BINS).sel(model="depth_two")
    assert float(explained.number) < 0.004
    assert explained.predicted.isel(ring=slice(1, 9)).notnull().all()
    assert float(explained.r2_held_out.min()) < 0.9 and np.isfinite(explained.r2_held_out).all()
    heard = experiments.explain_sensitivity(runs.isel(image_filter=[0, 1, 2]), **BINS)
    assert float(heard.number.sel(model="depth_two")) == pytest.approx(0.01, rel=1e-3)


def test_a_ring_without_label_correlation_has_no_threshold():
    runs = made_by("power")
    ring = fourier.radial_mask(SHAPE, 3.5, 4.5)
    inside = xarray.DataArray(half(ring), dims=("ky", "half_kx"))
    cross = runs.cross_map.where((runs.image_filter != "f2") | ~inside, 0.0)
    explained = experiments.explain_sensitivity(runs.assign(cross_map=cross), **BINS)
    for name in ("theory", "depth_two", "stopped"):
        one = explained.sel(model=name)
        assert one.number.isnull() and one.r2_total.isnull() and one.r2_held_out_total.isnull()
    assert float(explained.r2_held_out_total.sel(model="power")) > 0.9999


def test_silent_networks_are_turned_away():
    runs = make_runs()
    outside = runs.copy(deep=True)
    outside.sensitivity[1, 0, 0] = 0.0  # a ring that is not fitted
    experiments.explain_sensitivity(outside, **BINS)
    runs.sensitivity[1, 0, 3] = 0.0
    with pytest.raises(ValueError, match=r"must be positive .*, got zeros under \['f1'\]"):
        experiments.explain_sensitivity(runs, **BINS)


@pytest.mark.parametrize("decay", [0.01, 0.3, 10.0])
def test_def_explained_variance(decay):
    explained = experiments.explain_sensitivity(make_runs(decay), **BINS)
    theory = explained.sel(model="theory")
    assert theory.number.item() == pytest.approx(decay, rel=1e-3)
    assert theory.r2_total.item() == pytest.approx(1, abs=1e-5)
    assert theory.r2_held_out.min().item() == pytest.approx(1, abs=1e-5)
    assert explained.r2_total.sel(model="power") < 0.99


def test_power_alone_explains_what_follows_power():
    runs = make_runs()
    power = experiments.ring_power(runs.power_map)
    explained = experiments.explain_sensitivity(runs.assign(sensitivity=power**0.4), **BINS)
    assert explained.number.sel(model="power").item() == pytest.approx(0.4, rel=1e-4)
    assert explained.r2_held_out_total.sel(model="power").item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_nothing_explains_noise(seed):
    runs = make_runs(seeds=5)
    noise = np.exp(np.random.default_rng(seed).standard_normal(runs.sensitivity.shape))
    explained = experiments.explain_sensitivity(
        runs.assign(sensitivity=(("image_filter", "seed", "ring"), noise)), **BINS
    )
    # Two numbers fitted to 4 x 5 x 8 points explain about 1 / 140 of pure noise, and nothing of
    # what was held out.
    assert (explained.r2_total < 0.1).all()
    assert (explained.r2_held_out_total < 0.05).all()


def test_noise_lowers_what_is_explained_by_its_own_variance():
    clean, noisy = make_runs(seeds=20), make_runs(seeds=20, noise=0.2)
    explained = experiments.explain_sensitivity(noisy, **BINS)
    variance = float((experiments.explain_sensitivity(clean, **BINS).measured ** 2).mean())
    noise = 0.2**2 * 7 / 8  # about the mean of eight rings
    expected = variance / (variance + noise)
    assert explained.r2_total.sel(model="theory").item() == pytest.approx(expected, abs=0.05)


def test_empty_rings_are_left_out():
    runs = make_runs()
    low = fourier.radial_frequency((16, 16)) < 4
    emptied = runs.power_map.where(~xarray.DataArray(half(low), dims=("ky", "half_kx")), 0.0)
    explained = experiments.explain_sensitivity(runs.assign(power_map=emptied), **BINS)
    assert explained.measured.isel(ring=slice(1, 4)).isnull().all()
    assert explained.measured.isel(ring=slice(4, 9)).notnull().all()


def test_runs_must_be_complete_and_of_one_setting():
    runs = make_runs()
    with pytest.raises(ValueError, match="at least two values of image_filter"):
        experiments.explain_sensitivity(runs.isel(image_filter=[0]), **BINS)
    broken = runs.assign(sensitivity=runs.sensitivity.where(runs.seed > 0))
    with pytest.raises(ValueError, match="runs must be complete"):
        experiments.explain_sensitivity(broken, **BINS)
    two = xarray.concat([runs, runs], "architecture")
    with pytest.raises(ValueError, match="one setting but for filter and seed"):
        experiments.explain_sensitivity(two, **BINS)
    with pytest.raises(ValueError, match="runs must have the axes"):
        experiments.explain_sensitivity(runs.isel(seed=0), **BINS)
