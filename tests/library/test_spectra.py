"""Power spectra, power-law fits, orientation and stationarity."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from draws import noise
from tolerances import ATOL, SIGMAS
from torch.utils.data import DataLoader, TensorDataset

from freqsense import fourier, images, spectra

SHAPES = [(8, 8), (9, 9), (8, 12), (7, 10), (10, 7), (1, 6)]
TIGHT = ATOL[torch.float64]


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_def_power_spectrum(shape, center):
    x = noise(5, 3, *shape) + 2
    spectrum = spectra.power_spectrum(x, center=center)
    centred = x - center * x.mean((-2, -1), keepdim=True)
    power = fourier.fft2(centred).abs().square()
    assert torch.allclose(spectrum.values, power.mean(0), atol=TIGHT)
    assert torch.allclose(spectrum.stderr, power.std(0) / math.sqrt(5), atol=TIGHT)
    assert spectrum.n_images == 5
    assert (spectrum.values[:, 0, 0] > 1).all() != center


def test_power_spectrum_takes_any_iterable():
    x = noise(37, 2, 6, 7, dtype=torch.float32)
    expected = spectra.power_spectrum(x)
    loader = DataLoader(TensorDataset(x, torch.zeros(37)), batch_size=12)  # last batch of one
    for source in [
        x.numpy(),
        x.split(10),
        (batch.numpy() for batch in x.split(1)),
        loader,
        [(x[:36], None), (x[36:], None)],
    ]:
        spectrum = spectra.power_spectrum(source)
        assert torch.allclose(spectrum.values, expected.values, rtol=ATOL[torch.float32])
        assert torch.allclose(spectrum.stderr, expected.stderr, rtol=1e-4)
        assert spectrum.n_images == 37


def test_power_spectrum_reads_a_read_only_map_piecewise(tmp_path):
    x = noise(20, 1, 8, 8, dtype=torch.float32).numpy()
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert torch.equal(spectra.power_spectrum(mapped).values, spectra.power_spectrum(x).values)


def test_power_spectrum_moments_are_stable():
    """A large mean and a small scatter, where a difference of sums of squares would lose all."""
    scale = 1e4 + 1e-2 * noise(1000, 1, 1, 1)
    x = scale * fourier.fourier_mode((8, 8), 1, 2).real
    batches = [*x[:990].split(30), *x[990:].split(1)]
    spectrum = spectra.power_spectrum(batches)
    power = fourier.fft2(x).abs().square()[:, 0, 1, 2]
    exact = (power - power.mean()).square().sum() / 999 / 1000
    assert abs(spectrum.stderr[0, 1, 2] ** 2 / exact - 1) < 1e-6
    naive = (power.float().square().mean() - power.float().mean() ** 2) / 1000
    assert abs(naive / exact - 1) > 0.01


def test_power_spectrum_streams_without_keeping_batches():
    """No more than two batches are alive at any time, however many are read."""
    import weakref

    alive, most = weakref.WeakSet(), 0

    def stream():
        nonlocal most
        for seed in range(12):
            batch = noise(4, 1, 8, 8, seed=seed)
            alive.add(batch)
            most = max(most, len(alive))
            yield batch

    assert spectra.power_spectrum(stream()).n_images == 48
    assert most <= 2


@pytest.mark.parametrize("shape", [(32, 32), (15, 24)])
def test_window_keeps_the_power_of_white_noise(shape):
    spectrum = spectra.power_spectrum(noise(2000, 1, *shape), window="hann")
    z = (spectrum.values - 1) / spectrum.stderr
    middle = fourier.radial_frequency(shape) > 3  # beyond the reach of the mean taken out
    assert z[0][middle].abs().max() < SIGMAS + 1  # hundreds of frequencies at once
    assert spectrum.values[0, 0, 0] < TIGHT


def test_window_removes_the_cross_of_the_border():
    """A ramp jumps at the border of the torus: without a window its power lies along one axis."""
    ramp = torch.linspace(-1, 1, 64, dtype=torch.float64).expand(1, 1, 64, 64)
    bare = spectra.power_spectrum(ramp).values[0, 0]
    hann = spectra.power_spectrum(ramp, window="hann").values[0, 0]
    share_bare, share_hann = (p[5:33].sum() / p[1:33].sum() for p in (bare, hann))
    assert share_bare > 0.05
    assert share_hann < share_bare / 100


def far_from_zero(mean, *shape):
    """Pixels in float32, and the same pixels in float64."""
    x = (noise(*shape) + mean).float()
    return x, x.double()


@pytest.mark.parametrize("window", [None, "hann"])
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("mean", [0.0, 300.0, 1e5, -1e6])
def test_a_large_mean_costs_no_digits(mean, center, window):
    """Against numpy in float64, on the very pixels, which themselves have few digits left."""
    x, exact = far_from_zero(mean, 3, 1, 32, 24)
    taper = torch.ones(32, 24).double()
    if window is not None:
        taper = torch.outer(*(torch.hann_window(side, dtype=torch.float64) for side in (32, 24)))
        taper = taper / taper.square().mean().sqrt()
    means = (exact * taper).mean((-2, -1), keepdim=True) / taper.mean()
    tapered = (exact - means * center) * taper
    power = np.abs(np.fft.fft2(tapered.numpy(), norm="ortho")) ** 2
    found = spectra.power_spectrum(x, window=window, center=center)
    expected = fourier.radial_average(torch.from_numpy(power.mean(0)))
    rings = slice(1, None) if center else slice(None)
    assert torch.allclose(found.radial().mean[:, rings], expected.mean[:, rings], rtol=1e-4)


def test_diagnostics_of_images_far_from_zero():
    _, exact = far_from_zero(1e6, 40, 1, 6, 6)
    for make in (
        spectra.frequency_covariance,
        lambda x: spectra.stationarity(x).coherence,
    ):
        near = make(exact - 1e6)
        assert torch.allclose(make(exact), near, atol=1e-6)
    # Not centred, DC is there, and the others keep their correlations.
    raw, near = (spectra.stationarity(x, center=False) for x in (exact, exact - 1e6))
    assert raw.off_diagonal < 1e-6 < abs(near.off_diagonal)
    covariance = spectra.frequency_covariance(exact, center=False)[0]
    centred = spectra.frequency_covariance(exact)[0]
    assert covariance[0, 0].real == pytest.approx(36e12, rel=1e-3)
    assert torch.allclose(covariance[1:, 1:], centred[1:, 1:], atol=1e-6)


def test_window_given_as_a_tensor():
    x = noise(6, 1, 16, 16)
    taper = torch.outer(*[torch.hann_window(16, dtype=torch.float64)] * 2)
    expected = spectra.power_spectrum(x, window="hann")
    assert torch.allclose(spectra.power_spectrum(x, window=7 * taper).values, expected.values)


@pytest.mark.parametrize("window", [None, "hann"])
def test_radial_errors_are_those_of_the_draws(window):
    n_draws, rings = (
        1000,
        slice(3, 17),
    )  # lower rings lose power to the mean taken out under a window
    means, sems, bare = [], [], []
    for draw in noise(n_draws * 20, 1, 32, 32).split(20):
        spectrum = spectra.power_spectrum(draw, window=window)
        profile = spectrum.radial()
        means.append(profile.mean[0, rings])
        sems.append(profile.sem[0, rings])
        bare.append(profile.sem[0, rings] / spectrum.inflation[rings].sqrt())
    spread = torch.stack(means).std(0)
    margin = SIGMAS / math.sqrt(2 * n_draws)  # relative error of a standard deviation
    assert ((torch.stack(sems).mean(0) / spread - 1).abs() < margin + 0.01).all()
    if window:  # frequencies taken as independent, the error is too small
        assert (torch.stack(bare).mean(0) / spread < 0.8).all()


@pytest.mark.parametrize("shape", [(16, 16), (33, 33), (24, 40)])
@pytest.mark.parametrize("alpha", [0.0, 1.0, 2.0, 3.0])
def test_eq_power_law_fit_is_exact_on_an_exact_law(shape, alpha):
    radius = fourier.radial_frequency(shape)
    power = torch.where(radius > 0, 5 * radius.clamp(min=0.1) ** -alpha, 0.0)
    law = spectra.fit_power_law(fourier.radial_average(power), fmin=1, fmax=8)
    assert abs(law.alpha - alpha) < TIGHT
    assert abs(law.amplitude - 5) < 5 * TIGHT
    assert law.alpha_stderr < 1e-6  # all scatter around a ring is the law's own
    frequency = torch.tensor([2.0, 4.0])
    assert torch.allclose(law.power(frequency), 5 * frequency**-alpha, atol=TIGHT)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 2.0, 3.0])
def test_eq_power_law_fit_interval_covers_the_truth(alpha):
    """2,000 fields of known exponent: the 95 % interval holds it in 93.5 to 96.5 % of them."""
    fields = images.gaussian_field(2000, shape=(32, 32), alpha=alpha, seed=17).double()
    laws = [
        spectra.fit_power_law(spectra.power_spectrum(field[None]).radial(), fmin=1, fmax=16)
        for field in fields
    ]
    covered = np.mean([low <= alpha <= high for low, high in (law.interval() for law in laws)])
    assert 0.935 <= covered <= 0.965
    # Counting ±ω twice, as a plain average over the ring does, shrinks the error by √2.
    naive = np.mean(
        [abs(law.alpha - alpha) < 1.96 * law.alpha_stderr / math.sqrt(2) for law in laws]
    )
    assert naive < 0.9


@pytest.mark.parametrize("n_images", [2, 100])
def test_eq_power_law_fit_interval_covers_with_several_images(n_images):
    n_draws, alpha = 500, 3.0
    fields = images.gaussian_field(n_draws * n_images, shape=(16, 16), alpha=alpha, seed=5)
    misses = 0
    for draw in fields.split(n_images):
        profile = spectra.power_spectrum(draw).radial()
        low, high = spectra.fit_power_law(profile, fmin=1, fmax=8).interval()
        misses += not low <= alpha <= high
    assert abs(misses / n_draws - 0.05) < SIGMAS * math.sqrt(0.05 * 0.95 / n_draws)
    # The mean radius of a bin is no stand-in for the bin: the last, large draw shows the bias.
    if n_images == 100:
        at_mean_radius = spectra.fit_power_law(replace(profile, shape=None), fmin=1, fmax=8)
        assert abs(at_mean_radius.alpha - alpha) > SIGMAS * at_mean_radius.alpha_stderr


def test_eq_power_law_fit_takes_a_profile_made_by_hand():
    frequency = torch.arange(1, 9, dtype=torch.float64)
    mean = 3 * frequency**-1.5
    profile = fourier.RadialProfile(frequency, mean, 0.1 * mean, 4 * frequency.long())
    law = spectra.fit_power_law(profile, fmin=1, fmax=8)
    assert abs(law.alpha - 1.5) < TIGHT
    assert 0.005 < law.alpha_stderr < 0.1


def test_eq_bootstrap_error_is_that_of_the_photographs():
    """Fields of scattered exponents: the bootstrap alone tells the scatter of the pooled fit."""
    n_sets, n_fields = 60, 12
    pooled, claimed, within = [], [], []
    for seed in range(n_sets):
        alphas = 2 + 0.4 * noise(n_fields, seed=seed)
        profiles = [
            spectra.power_spectrum(
                images.gaussian_field(1, shape=(32, 32), alpha=float(alpha), seed=1000 * seed + i)
            ).radial()
            for i, alpha in enumerate(alphas)
        ]
        law = spectra.bootstrap_power_law(profiles, fmin=1, fmax=16, n_resamples=100)
        pooled.append(law.alpha)
        claimed.append(law.alpha_stderr)
        mean = replace(profiles[0], mean=torch.stack([p.mean for p in profiles]).mean(0))
        within.append(
            spectra.fit_power_law(mean, fmin=1, fmax=16).alpha_stderr / math.sqrt(n_fields)
        )
    true = np.std(pooled, ddof=1)
    assert 0.7 < np.mean(claimed) / true < 1.3  # true itself is known to 9 %
    assert np.mean(within) / true < 0.5


def test_errors_of_zero_and_none_at_all():
    """Images that are all alike leave no error; a profile that knows none is refused."""
    field = images.gaussian_field(1, shape=(16, 16), alpha=2.0)
    alike = spectra.power_spectrum(field.expand(4, 1, 16, 16)).radial()
    assert spectra.fit_power_law(alike, fmin=1, fmax=8).alpha_stderr < 1e-9
    law = spectra.bootstrap_power_law([alike, alike], fmin=1, fmax=8, n_resamples=5)
    assert law.alpha_stderr < 1e-9 and math.isfinite(law.amplitude)
    exact = replace(alike, sem=torch.zeros_like(alike.sem))
    assert spectra.fit_power_law(exact, fmin=1, fmax=8).alpha_stderr == 0
    unknown = replace(alike, sem=torch.full_like(alike.sem, torch.nan))
    with pytest.raises(ValueError, match="a finite error in some bin"):
        spectra.fit_power_law(unknown, fmin=1, fmax=8)


@pytest.mark.parametrize("alpha", [-40.0, 0.0, 40.0])
@pytest.mark.parametrize("amplitude", [1e-250, 1.0, 1e250])
def test_eq_power_law_fit_at_any_size_and_slope(alpha, amplitude):
    ring = fourier.rings((16, 16))
    relative = ring.average(ring.radius.clamp(min=1) ** -alpha)
    profile = fourier.RadialProfile(
        ring.frequency, amplitude * relative, 0.1 * amplitude * relative, ring.count, (16, 16)
    )
    law = spectra.fit_power_law(profile, fmin=2, fmax=8)
    one = spectra.fit_power_law(replace(profile, mean=relative, sem=0.1 * relative), fmin=2, fmax=8)
    assert law.alpha == pytest.approx(alpha, abs=1e-6)
    assert law.alpha_stderr == pytest.approx(one.alpha_stderr, rel=1e-9)
    assert law.amplitude == pytest.approx(amplitude, rel=1e-6)


def test_bootstrap_is_repeatable():
    profiles = [spectra.power_spectrum(noise(1, 1, 16, 16, seed=s)).radial() for s in range(4)]
    first, again, other = (
        spectra.bootstrap_power_law(profiles, fmin=1, fmax=8, n_resamples=50, seed=seed)
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first.alpha == other.alpha and first.alpha_stderr != other.alpha_stderr


@pytest.mark.parametrize("shape", [(64, 64), (48, 64), (33, 33)])
def test_def_orientation_profile(shape):
    isotropic = images.gaussian_field(400, shape=shape, alpha=2.0)
    profile = spectra.orientation_profile(
        spectra.power_spectrum(isotropic).values[0], fmin=2, fmax=16, n_sectors=6
    )
    assert ((profile.mean - 1).abs() < SIGMAS * profile.sem).all()
    upright = torch.cos(2 * torch.pi * 5 * torch.arange(shape[1]) / shape[1]).expand(1, 1, *shape)
    striped = spectra.power_spectrum(isotropic[:40] + upright).values[0]
    profile = spectra.orientation_profile(striped, fmin=2, fmax=16, n_sectors=6)
    assert profile.mean.argmax() == 0  # a horizontal frequency: upright crests


def test_orientation_runs_anticlockwise_on_the_screen():
    y, x = torch.meshgrid(*[torch.arange(32, dtype=torch.float64)] * 2, indexing="ij")
    rising = torch.cos(2 * torch.pi * 4 * (x - y) / 32)  # frequency points right and up
    values = spectra.power_spectrum(rising[None, None]).values[0] + 1e-3
    profile = spectra.orientation_profile(values, fmin=2, fmax=16, n_sectors=4)
    assert profile.angle[profile.mean.argmax()] == 45


@pytest.mark.parametrize("shape", [(6, 6), (5, 5), (4, 7)])
def test_def_frequency_covariance(shape):
    x = noise(30, 2, *shape)
    covariance = spectra.frequency_covariance(x)
    xhat = fourier.fft2(x - x.mean((-2, -1), keepdim=True)).flatten(-2)
    expected = torch.einsum("ncd,nce->cde", xhat, xhat.conj()) / 30
    assert torch.allclose(covariance, expected, atol=TIGHT)
    power = spectra.power_spectrum(x).values.flatten(1)
    assert torch.allclose(covariance.diagonal(dim1=1, dim2=2).real, power, atol=TIGHT)


@pytest.mark.parametrize("shape", [(6, 6), (5, 5), (4, 7)])
def test_thm_stationary_diagonal(shape):
    """All shifts of any one image together are stationary: an exactly diagonal covariance."""
    x = noise(*shape)
    shifts = torch.stack([x.roll((a, b), (0, 1)) for a in range(shape[0]) for b in range(shape[1])])
    covariance = spectra.frequency_covariance(shifts[:, None])[0]
    off = covariance - torch.diag(covariance.diagonal())
    assert off.abs().max() < TIGHT
    alone = spectra.frequency_covariance(x[None, None])[0]  # without its shifts it is not
    assert (alone - torch.diag(alone.diagonal())).abs().max() > 0.1


@pytest.mark.parametrize("shape", [(8, 8), (7, 9)])
def test_def_stationarity_share(shape):
    x = noise(40, 1, *shape) * torch.linspace(0.1, 2, shape[1])  # brighter to the right
    report = spectra.stationarity(x)
    xhat = fourier.fft2(x - x.mean((-2, -1), keepdim=True))[:, 0].flatten(1)
    # The same averages over pairs of different images, one pair at a time.
    total = diagonal = 0.0
    for i in range(40):
        for j in range(40):
            if i != j:
                total += (xhat[i].conj() * xhat[j]).sum().abs().square()
                diagonal += (xhat[i].abs().square() * xhat[j].abs().square()).sum()
    assert abs(report.off_diagonal - float(1 - diagonal / total)) < TIGHT


def test_stationarity_tells_stationary_from_not():
    shape, n = (12, 12), 3000
    fields = images.gaussian_field(n, shape=shape, alpha=2.0).double()
    stationary = spectra.stationarity(fields)
    contrast = spectra.stationarity(fields * (0.2 + noise(n, 1, 1, 1).abs()))  # still stationary
    envelope = torch.linspace(0.2, 2, shape[0], dtype=torch.float64)[:, None]
    uneven = spectra.stationarity(fields * envelope)
    halves = [spectra.stationarity(half).off_diagonal for half in fields.split(n // 10)]
    error = np.std(halves, ddof=1) / math.sqrt(10)
    assert abs(stationary.off_diagonal) < SIGMAS * error + 1 / n
    assert abs(contrast.off_diagonal) < 0.03
    assert uneven.off_diagonal > 0.2
    # The envelope varies down the image: it couples neighbours in ky and nothing in kx.
    assert uneven.coherence[1, 0] > 0.2
    assert uneven.coherence[0, 1:].abs().max() < 0.02
    assert stationary.coherence[0, 0] == 1
    assert stationary.radial().mean[1:].abs().max() < 0.02


GOOD = fourier.radial_average(torch.ones(16, 16))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: spectra.power_spectrum(torch.zeros(8, 8)), ValueError, r"\(N, C, H, W\), got"),
        (lambda: spectra.power_spectrum([torch.zeros(1, 8, 8)]), ValueError, "batch 0 of images"),
        (lambda: spectra.power_spectrum([]), ValueError, "at least one image, got an empty"),
        (lambda: spectra.power_spectrum(torch.zeros(0, 1, 8, 8)), ValueError, "not be empty"),
        (lambda: spectra.power_spectrum(3), TypeError, "iterable of them, got int"),
        (lambda: spectra.power_spectrum(["a"]), TypeError, "batch 0 of images .* got str"),
        (
            lambda: spectra.power_spectrum(torch.zeros(1, 1, 8, 8, dtype=torch.uint8)),
            TypeError,
            "divide 8-bit pixels by 255.*got uint8",
        ),
        (
            lambda: spectra.power_spectrum(torch.zeros(1, 1, 8, 8, dtype=torch.complex64)),
            TypeError,
            "float32 or float64, got complex64",
        ),
        (
            lambda: spectra.power_spectrum(torch.full((1, 1, 8, 8), torch.nan)),
            ValueError,
            "finite, got 64 NaN",
        ),
        (
            lambda: spectra.power_spectrum(torch.full((1, 1, 8, 8), torch.inf)),
            ValueError,
            "finite, got 64",
        ),
        (
            lambda: spectra.power_spectrum([torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 9)]),
            ValueError,
            r"one size: batch 1 of images is \(1, 8, 9\), the first was \(1, 8, 8\)",
        ),
        (
            lambda: spectra.power_spectrum(torch.ones(1, 1, 8, 8), window="hamming"),
            ValueError,
            "None, 'hann' or a tensor",
        ),
        (
            lambda: spectra.power_spectrum(torch.ones(1, 1, 8, 8), window=torch.ones(4, 4)),
            ValueError,
            r"shape \(8, 8\), got \(4, 4\)",
        ),
        (lambda: spectra.fit_power_law(GOOD, fmin=5, fmax=5), ValueError, "fmin=5.0 and fmax=5.0"),
        (lambda: spectra.fit_power_law(GOOD, fmin=1, fmax=9), ValueError, "fmax <= 8, got"),
        (lambda: spectra.fit_power_law(GOOD, fmin=0, fmax=8), ValueError, "0 < fmin"),
        (lambda: spectra.fit_power_law(GOOD, fmin=1, fmax=2), ValueError, "at least 3 bins, got 2"),
        (
            lambda: spectra.fit_power_law(GOOD, fmin=1, fmax=math.nan),
            ValueError,
            "fmax must be fin",
        ),
        (
            lambda: spectra.fit_power_law([1.0], fmin=1, fmax=8),
            TypeError,
            "RadialProfile, got list",
        ),
        (
            lambda: spectra.fit_power_law(
                fourier.radial_average(torch.zeros(16, 16)), fmin=1, fmax=8
            ),
            ValueError,
            "positive power",
        ),
        (
            lambda: spectra.fit_power_law(
                fourier.radial_average(torch.ones(3, 16, 16)), fmin=1, fmax=8
            ),
            ValueError,
            r"one curve",
        ),
        (lambda: spectra.bootstrap_power_law([GOOD], fmin=1, fmax=8), ValueError, "at least two"),
        (
            lambda: spectra.bootstrap_power_law(
                [GOOD, fourier.radial_average(torch.ones(18, 18))], fmin=1, fmax=8
            ),
            ValueError,
            "share one grid",
        ),
        (
            lambda: spectra.orientation_profile(torch.ones(1, 16, 16), fmin=1, fmax=8),
            ValueError,
            r"one map \(H, W\)",
        ),
        (
            lambda: spectra.orientation_profile(torch.ones(8, 8), fmin=1, fmax=3, n_sectors=50),
            ValueError,
            "leaves a sector empty",
        ),
        (
            lambda: spectra.frequency_covariance(torch.ones(1, 1, 80, 80)),
            ValueError,
            "at most 64 x 64",
        ),
        (lambda: spectra.stationarity(torch.ones(2, 3, 8, 8)), ValueError, "one channel, got 3"),
        (lambda: spectra.stationarity(torch.ones(1, 1, 8, 8)), ValueError, "at least two images"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_eq_power_law_fit_solves_its_equation_far_from_a_power_law():
    """Draws of two very different photographs once sent the solver around in circles."""
    steep, flat = (
        spectra.power_spectrum(
            images.gaussian_field(2, shape=(128, 128), alpha=alpha, seed=1), window="hann"
        ).radial()[0]
        for alpha in (5.0, 0.0)
    )
    for share in (0.0, 1e-6, 1e-4, 1e-2, 1.0):
        profile = replace(steep, mean=steep.mean + share * flat.mean)
        law = spectra.fit_power_law(profile, fmin=4, fmax=32)
        ring = fourier.rings(profile.shape)
        expected = law.power(ring.radius.clamp(min=0.1))
        mean, square = ring.average(torch.stack([expected, expected.square()]))[:, 4:33]
        log_slope = ring.average(expected * ring.radius.clamp(min=0.1).log())[4:33] / mean
        weight = profile.count[4:33] * mean.square() / square
        excess = weight * (profile.mean[4:33] / mean - 1)
        assert abs(excess.sum()) < 1e-8 * weight.sum()
        assert abs((excess * log_slope).sum()) < 1e-8 * weight.sum()
