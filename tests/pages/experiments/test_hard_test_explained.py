"""Explanations that compete on held-out interventions, against runs that are known."""

import numpy as np
import pytest
import torch
from draws import noise
from recorded import as_runs

from freqsense import experiments, fourier

DELTAS = (-0.5, 0.0, 1.0, 2.0)


def make_runs(*, lam, seeds=2, size=16, spread=0.0, sensitivity=None):
    """Runs under four recolourings whose sensitivity is that of the theory, or what is given."""
    radius = fourier.radial_frequency((size, size)).double().clamp(min=1)
    gains = torch.stack([radius**d for d in DELTAS])
    s0, gamma0 = radius**-2.0, radius**-1.5
    power, cross = gains**2 * s0, gains * gamma0
    rings = fourier.radial_average(cross / (power + lam)).mean
    rings = rings if sensitivity is None else sensitivity(power)
    rings = rings[:, None] * (spread * noise(len(gains), seeds, rings.shape[-1])).exp()
    return as_runs(rings.numpy(), power, cross)


def explain(runs):
    return experiments.explain_sensitivity(runs, fmin=1, fmax=8)


@pytest.mark.parametrize("lam", [0.03, 1.0])
def test_noise_hides_neither_the_constant_nor_that_power_explains_less(lam):
    result = explain(make_runs(lam=lam, spread=0.05))
    law, power = (result.sel(model=name) for name in ("theory", "power"))
    assert float(law.number) == pytest.approx(lam, rel=0.2)
    assert float(law.r2_held_out_total) > 0.95
    assert float(power.r2_held_out_total) < float(law.r2_held_out_total) - 0.1


def test_def_explained_variance_by_hand():
    runs = make_runs(lam=0.2, spread=0.3)
    result = explain(runs).sel(model="power")
    rings = slice(1, 9)
    m = np.log(runs.sensitivity.isel(ring=rings))
    z = np.log(experiments.ring_power(runs.power_map).isel(ring=rings))
    m, z = m - m.mean("ring"), z - z.mean("ring")
    beta = float((m * z).sum() / (z**2).sum())
    assert float(result.number) == pytest.approx(beta, abs=1e-4)
    assert float(result.r2_total) == pytest.approx(
        1 - float(((m - beta * z) ** 2).sum() / (m**2).sum()), abs=1e-6
    )


def by_hand(runs, curves, reference):
    """R² of curves (image_filter, seed, ring) over all interventions but the reference."""
    rings = slice(1, 9)
    m, p = (np.log(v.isel(ring=rings)) for v in (runs.sensitivity, curves))
    m, p = ((v - v.mean("ring")).drop_sel(image_filter=reference) for v in (m, p))
    return 1 - float(((m - p) ** 2).sum() / (m**2).sum())


def test_def_explained_variance_of_all_that_compete_by_hand():
    runs = make_runs(lam=0.2, spread=0.1)
    own = np.random.default_rng(1)
    runs = runs.assign(
        exact=runs.sensitivity * np.exp(0.1 * own.normal(size=runs.sensitivity.shape))
    )
    result = experiments.explain_sensitivity(runs, fmin=1, fmax=8, reference="f1")
    s, gamma = runs.power_map, runs.cross_map
    mean = experiments.ring_power
    number = {str(m): float(result.number.sel(model=m)) for m in result.model.values}
    r0, s0 = runs.sensitivity.sel(image_filter="f1"), mean(s).sel(image_filter="f1")
    r0 = np.exp((np.log(r0) - np.log(r0).isel(ring=slice(1, 9)).mean("ring")).mean("seed"))
    c = number["own_teacher"]
    curves = {
        "power": mean(s) ** number["power"],
        "theory": mean(gamma / (s + number["theory"])),
        "depth_two": mean((gamma - number["depth_two"]).clip(min=0) / s),
        "stopped": mean(gamma * (1 - np.exp(-s * number["stopped"])) / s),
        "own_teacher": np.sqrt(mean(s) / s0) * r0 * (s0 + c) / (mean(s) + c),
        "few_images": runs.exact,
    }
    assert set(curves) == set(result.model.values)
    for name, curve in curves.items():
        told = float(result.r2_total.sel(model=name))
        assert told == pytest.approx(by_hand(runs, curve, "f1"), abs=1e-3), name


def test_curves_dealt_out_at_random_are_not_explained():
    runs = make_runs(lam=0.2, spread=0.05)
    S = runs.sensitivity.values.copy()
    own = np.random.default_rng(0)
    dealt = own.permuted(S.reshape(-1, S.shape[-1]), axis=1)  # rings shuffled within each run
    shuffled = runs.assign(sensitivity=(runs.sensitivity.dims, dealt.reshape(S.shape)))
    result = explain(shuffled)
    assert (result.r2_held_out_total < 0.2).all()


def test_a_network_that_ignores_the_images_gets_the_variance_that_the_exercise_derives():
    curve = fourier.radial_average(fourier.radial_frequency((16, 16)).double().clamp(min=1) ** -0.7)
    runs = make_runs(lam=1.0, sensitivity=lambda power: curve.mean.expand(len(power), -1))
    a = np.array([2 * d - 2 for d in DELTAS])
    expected = a.sum() ** 2 / (len(a) * (a**2).sum())
    found = float(explain(runs).r2_total.sel(model="power"))
    assert found == pytest.approx(expected, abs=0.02)
