"""The page that keeps labels and changes images: its statements, and what its argument leans on."""

import math

import numpy as np
import pytest
import torch
import xarray
from draws import noise
from recorded import as_runs
from tolerances import ATOL, SIGMAS

from freqsense import experiments, filters, fourier, models, theory

TIGHT = ATOL[torch.float64]
SHAPE = (16, 16)
DELTAS = (-0.5, 0.0, 1.0, 2.0)


def filtered(g, s0, gamma0, weight_decay, depth):
    """Sensitivity (n,) of single frequencies after a gain, on grids of one pixel (κ = λ)."""
    s, gamma = (g**2 * s0)[:, None, None], (g * gamma0)[:, None, None]
    return theory.predict_sensitivity(s, gamma, weight_decay=weight_decay, depth=depth).flatten()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_prop_recolored(seed):
    s0, gamma0, lam = (0.3 + noise(3, seed=seed).abs()).tolist()
    g = torch.logspace(-2, 2, 20_001, dtype=torch.float64)
    turning = {1: math.sqrt(lam / s0), 2: 2 * lam / gamma0}
    height = {1: gamma0 / (2 * math.sqrt(s0 * lam)), 2: gamma0**2 / (4 * lam * s0)}
    for depth in (1, 2):
        r = filtered(g, s0, gamma0, lam, depth)
        assert float(g[r.argmax()]) == pytest.approx(turning[depth], rel=1e-3)
        assert float(r.max()) == pytest.approx(height[depth], rel=1e-6)
        below = (g < 0.999 * turning[depth]) & (r > 0)
        assert (r[below].diff() > 0).all()
        assert (r[g > 1.001 * turning[depth]].diff() < 0).all()
    assert torch.equal(filtered(g, s0, gamma0, lam, 2) > 0, g * gamma0 > lam)


@pytest.mark.parametrize("depth", [1, 2])
def test_prop_recolored_response_to_power(depth):
    s0, gamma0, lam = 0.7, 1.3, 0.4
    g = torch.logspace(-2, 2, 4001, dtype=torch.float64)
    g = g[g * gamma0 > 1.2 * lam] if depth == 2 else g
    r = filtered(g, s0, gamma0, lam, depth)
    (slope,) = torch.gradient(r.log(), spacing=((2 * g.log()),))
    s, gamma = g**2 * s0, g * gamma0
    exact = (lam - s) / (lam + s) if depth == 1 else (2 * lam - gamma) / (gamma - lam)
    assert torch.allclose(slope[1:-1], exact[1:-1] / 2, rtol=1e-2, atol=1e-4)
    assert (slope[1:-1] > -0.5).all()
    assert (slope.max() < 0.5) == (depth == 1)


def test_the_elasticity_at_depth_two_has_no_upper_bound():
    s0, gamma0, lam = 0.7, 1.3, 0.4
    g = lam / gamma0 * (1 + torch.logspace(-4, -1, 4, dtype=torch.float64))
    step = 1e-6
    ahead, behind = (filtered(g * (1 + sign * step), s0, gamma0, lam, 2) for sign in (1, -1))
    elasticity = (ahead / behind).log() / (4 * step)
    assert elasticity[0] > 1000 and (elasticity.diff() < 0).all()


def test_a_slope_can_respond_by_more_than_any_of_its_frequencies():
    k = torch.arange(1.0, 13.0, dtype=torch.float64)
    x = k.log() - k.log().mean()

    def slope(r):
        return float((r.log() * x).sum() / x.square().sum())

    s0, lam = k**-2.0, 0.07
    # From -0.5 to 0 the slope of power changes by 1 and the labels stay.
    r = [filtered(k**delta, s0, s0, lam, 1) for delta in (-0.5, 0.0)]
    assert slope(r[1]) - slope(r[0]) > 0.55
    pointwise = (r[1] / r[0]).log()[1:] / k.log()[1:]
    assert (pointwise.abs() <= 0.5).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_a_filter_divides_the_teacher_of_real_images(seed):
    # No population: the moments of a data set change exactly as the proposition says.
    x, delta = noise(200, 1, *SHAPE, seed=seed), 0.7
    y = noise(200, seed=seed + 10)
    gain = fourier.radial_frequency(SHAPE).double().clamp(min=1) ** delta
    s, gamma = experiments.label_statistics(x, y)
    after = experiments.label_statistics(filters.recolor(x, delta), y)
    assert torch.allclose(after[0], gain**2 * s)
    assert torch.allclose(after[1], gain * gamma)


def test_a_white_spectrum_leaves_a_slope_that_no_decay_changes():
    k = torch.arange(1.0, 13.0, dtype=torch.float64)
    s0, g = k**-2.0, k
    for lam in (1e-5, 1e-3, 1e-1):
        r = filtered(g, s0, s0, lam, 1)
        assert torch.allclose(r / r[0], 1 / k)


def test_the_slope_turns_round():
    k = torch.arange(1.0, 13.0, dtype=torch.float64)
    x = k.log() - k.log().mean()
    slopes = []
    for delta in (-0.5, 0.0, 0.5, 1.0, 1.5, 2.0):
        r = filtered(k**delta, k**-2.0 / 20, k**-2.0 / 20, 1e-3, 1)
        slopes.append(float((r.log() * x).sum() / x.square().sum()))
    assert slopes[0] < slopes[1] - 0.2
    assert (np.diff(slopes[2:]) < 0).all()


def test_def_label_statistics():
    images = noise(30, 2, 6, 8)
    labels = torch.arange(30) % 3
    s, gamma = experiments.label_statistics(images, labels)
    xhat = fourier.fft2(images)
    y = torch.stack([(labels == k).double() - (labels == k).double().mean() for k in range(3)])
    terms = torch.stack(
        [(xhat[:, c].conj() * y[k, :, None, None]).mean(0) for c in range(2) for k in range(3)]
    )
    assert torch.allclose(s, xhat.abs().square().mean(0).sum(0))
    assert torch.allclose(gamma, terms.abs().square().sum(0).sqrt())


def test_def_label_statistics_is_the_cross_spectrum_of_one_target():
    images, y = noise(50, 1, *SHAPE), noise(50, seed=1)
    s, c = theory.second_moments(images, y - y.mean())
    power, gamma = experiments.label_statistics(images, y)
    assert torch.allclose(power, s)
    assert torch.allclose(gamma, c.abs())


@pytest.mark.parametrize("seed", [0, 1])
def test_lem_label_floor(seed):
    images = noise(40, 2, 4, 6, seed=seed) + 0.5  # a mean image, which must not count
    labels = torch.tensor([0] * 20 + [1] * 15 + [2] * 5)
    own = torch.Generator().manual_seed(seed)
    draws = torch.stack(
        [
            experiments.label_statistics(images, labels[torch.randperm(40, generator=own)])[1] ** 2
            for _ in range(400)
        ]
    )
    shares = torch.tensor([20, 15, 5]).double() / 40
    V = fourier.fft2(images).var(0, correction=0).sum(0)
    floor = V * (1 - shares.square().sum()) / 39
    error = draws.std(0) / math.sqrt(len(draws))
    assert ((draws.mean(0) - floor).abs() < (SIGMAS + 1) * error).all()
    # With the mean image counted in, the floor at DC would be far off.
    s = fourier.fft2(images).abs().square().mean(0).sum(0)
    assert s[0, 0] > 2 * V[0, 0]


def power_law_runs(deltas, exponent_of):
    """Slopes of power and of sensitivity when ring k has the power k^(2δ - 2)."""
    k = np.maximum(np.arange(9.0), 0.5)
    rings = {
        "power": [k ** (2 * d - 2) for d in deltas],
        "S": [k ** exponent_of(d) for d in deltas],
    }
    fit = {"size": 16, "fmin": 1, "fmax": 8}
    return [
        experiments.ring_slopes(xarray.DataArray(np.array(v), dims=("image_filter", "ring")), **fit)
        for v in (rings["S"], rings["power"])
    ]


@pytest.mark.parametrize(
    ("exponent_of", "expected"),
    [(lambda d: d - 1.7, 0.5), (lambda d: -0.3 - d, -0.5), (lambda _: -1.2, 0.0)],
    ids=["follows", "undoes", "does not care"],
)
def test_def_response(exponent_of, expected):
    slopes, powers = power_law_runs(DELTAS, exponent_of)
    assert float(experiments.response(slopes, powers)) == pytest.approx(expected, abs=1e-2)


def test_eq_response():
    x, y = (noise(5, seed=seed).numpy() for seed in (0, 1))
    told = experiments.response(
        *(xarray.DataArray(values, dims="image_filter") for values in (y, x))
    )
    assert float(told) == pytest.approx(np.polyfit(x, y, 1)[0], rel=1e-9)
    # The slope of x over y is another number.
    assert abs(float(told) - 1 / np.polyfit(y, x, 1)[0]) > 0.1


def test_many_images_undo_exactly_and_few_follow():
    gains = [fourier.radial_frequency((8, 8)).double().clamp(min=1) ** d for d in (0.0, 0.5)]
    responses = {}
    for n in (6, 3000):
        x = filters.recolor(noise(n, 1, 8, 8, seed=2), -0.75)
        y = noise(n, seed=3).sign()
        rings, power = [], []
        for gain in gains:
            z = fourier.ifft2(gain * fourier.fft2(x)).real
            B = theory.solve(z, y, weight_decay=1e-9, depth=1).B
            rings.append(fourier.radial_average(B.abs().square().sum((-2, -1)).sqrt()).mean)
            power.append(fourier.radial_average(fourier.fft2(z).abs().square().mean((0, 1))).mean)
        fit = {"size": 8, "fmin": 1, "fmax": 4}
        slopes, powers = (
            experiments.ring_slopes(
                xarray.DataArray(torch.stack(v).numpy(), dims=("image_filter", "ring")), **fit
            )
            for v in (rings, power)
        )
        responses[n] = float(experiments.response(slopes, powers))
    assert responses[3000] == pytest.approx(-0.5, abs=0.02)
    assert responses[6] > 0.2


def test_a_second_layer_switches_rings_on_and_responds_by_more_than_one_half():
    k = torch.arange(1.0, 9.0, dtype=torch.float64)
    x = (k.log() - k.log().mean()) / (k.log() - k.log().mean()).square().sum()
    s0, lam = k**-2.0, 0.7
    found = {}
    for depth, decay in ((1, lam), (2, 0.9 * float(s0[-1]))):
        # At δ = 0 the last ring of depth 2 is just above κ.
        r = [filtered(k**delta, s0, s0, decay, depth) for delta in (0.0, 0.1)]
        found[depth] = float((r[1].log() * x).sum() - (r[0].log() * x).sum()) / 0.2
    assert found[1] < 0.6 and found[2] > 1


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


@pytest.mark.parametrize("architecture", ["conv_actually-2", "conv_actually-3-5x5"])
def test_a_full_size_first_kernel_gets_no_gradient_at_an_empty_frequency(architecture):
    x = filters.high_pass(noise(20, 1, *SHAPE), 4)
    model = models.build(architecture, width=3, shape=(1, *SHAPE), n_outputs=2, seed=0).double()
    loss = torch.nn.functional.cross_entropy(model(x), torch.arange(20) % 2)
    (first, *_) = (p for p in model.parameters() if p.ndim == 4)
    (gradient,) = torch.autograd.grad(loss, first)
    # Padded to the image, where a small kernel's transform reaches every frequency.
    padded = torch.zeros(*gradient.shape[:2], *SHAPE, dtype=torch.float64)
    padded[..., : gradient.shape[-2], : gradient.shape[-1]] = gradient
    spectrum = fourier.fft2(padded).abs()
    empty = fourier.radial_frequency(SHAPE) < 4
    silent = spectrum[..., empty].max() < TIGHT * spectrum.max()
    assert bool(silent) == (architecture == "conv_actually-2")
