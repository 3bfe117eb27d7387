"""Filters: gains at and around their edges, phases left alone, exponents moved as promised."""

import math

import pytest
import torch
from draws import noise
from tolerances import ATOL

from freqsense import filters, fourier, images, spectra

SHAPES = [(8, 8), (9, 9), (8, 12), (7, 10), (30, 40)]
TIGHT = ATOL[torch.float64]


def gain(filtered, images):
    """Complex gain at every frequency."""
    return fourier.fft2(filtered) / fourier.fft2(images)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("label", "run", "keeps"),
    [
        ("eq-high-pass", lambda x: filters.high_pass(x, 3), lambda r: r >= 3),
        ("eq-low-pass", lambda x: filters.low_pass(x, 3), lambda r: r < 3),
        ("eq-band-pass", lambda x: filters.band_pass(x, 2, 3), lambda r: (r >= 2) & (r < 3)),
    ],
)
def test_eq_high_pass_eq_low_pass_eq_band_pass(shape, label, run, keeps):
    x = noise(2, 3, *shape)
    expected = keeps(fourier.radial_frequency(shape).round(decimals=9)).to(torch.complex128)
    assert torch.allclose(gain(run(x), x), expected.expand(2, 3, *shape), atol=1e-9)


@pytest.mark.parametrize("k", range(1, 17))
def test_a_cosine_at_the_cut_off_passes_whole(k):
    """The square filter of the paper's code lets half of it through."""
    x = torch.cos(2 * torch.pi * k * torch.arange(32, dtype=torch.float64) / 32)
    x = x.expand(1, 1, 32, 32)
    for wave in (x, x.mT):
        assert torch.allclose(filters.high_pass(wave, k), wave, atol=TIGHT)
        assert filters.low_pass(wave, k).abs().max() < TIGHT


def test_high_pass_of_radius_zero_and_low_pass_beyond_the_corner_change_nothing():
    x = noise(1, 1, 9, 12)
    assert torch.allclose(filters.high_pass(x, 0), x, atol=TIGHT)
    assert torch.allclose(filters.low_pass(x, 100), x, atol=TIGHT)


@pytest.mark.parametrize("delta", [-1.0, -0.5, 0.0, 0.5, 2.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_eq_recolor(shape, delta):
    x = noise(2, 1, *shape) + 5
    radius = fourier.radial_frequency(shape)
    expected = torch.where(radius > 0, radius.clamp(min=0.1) ** delta, 1.0).to(torch.complex128)
    assert torch.allclose(gain(filters.recolor(x, delta), x), expected.expand_as(x), atol=1e-9)
    assert torch.allclose(filters.recolor(x, delta).mean(), x.mean(), atol=TIGHT)


def test_recolor_moves_the_exponent_of_power_by_two_delta():
    fields = images.gaussian_field(200, shape=(32, 32), alpha=2.0)
    for delta in (-0.5, 0.5, 1.0):
        profile = spectra.power_spectrum(filters.recolor(fields, delta)).radial()
        before = spectra.power_spectrum(fields).radial()
        moved = spectra.fit_power_law(profile, fmin=1, fmax=16).alpha
        start = spectra.fit_power_law(before, fmin=1, fmax=16).alpha
        assert (
            abs(start - moved - 2 * delta) < 0.01
        )  # the same fields: no sampling error but the fit's
        assert abs(start - moved - delta) > 0.4  # an amplitude exponent it is not


@pytest.mark.parametrize("shape", SHAPES)
def test_eq_whiten(shape):
    x = filters.recolor(noise(20, 3, *shape), -1) + 2
    values = spectra.power_spectrum(filters.whiten(x), center=False).values
    assert torch.allclose(values, torch.ones_like(values), atol=1e-9)
    before = spectra.power_spectrum(x, center=False).values
    assert before.amax() / before.amin() > 10


def test_whiten_leaves_empty_frequencies_empty():
    x = filters.high_pass(noise(20, 1, 16, 16), 4)
    values = spectra.power_spectrum(filters.whiten(x)).values[0]
    kept = fourier.radial_mask((16, 16), 4, math.inf)
    assert torch.allclose(values, kept.double(), atol=1e-9)


def test_whiten_by_the_spectrum_of_other_images():
    train, test = noise(50, 1, 8, 8), 3 * noise(50, 1, 8, 8, seed=1)
    spectrum = spectra.power_spectrum(train, center=False)
    whitened = filters.whiten(test, spectrum=spectrum)
    ratio = spectra.power_spectrum(test, center=False).values / spectrum.values
    assert torch.allclose(spectra.power_spectrum(whitened, center=False).values, ratio, atol=1e-9)
    assert ratio.mean() > 4


@pytest.mark.parametrize("shape", SHAPES)
def test_eq_swap_phases(shape):
    x, z = noise(2, 3, *shape), noise(2, 3, *shape, seed=1)
    y = fourier.fft2(filters.swap_phases(x, z))
    assert torch.allclose(y.abs(), fourier.fft2(x).abs(), atol=1e-9)
    zhat = fourier.fft2(z)
    assert torch.allclose(y / y.abs(), zhat / zhat.abs(), atol=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
def test_eq_scramble_phases(shape):
    x = noise(2, 3, *shape) + 1
    y = filters.scramble_phases(x, seed=4)
    assert torch.allclose(fourier.fft2(y).abs(), fourier.fft2(x).abs(), atol=1e-9)
    assert torch.allclose(y.mean((-2, -1)), x.mean((-2, -1)), atol=TIGHT)
    turn = gain(y, x)
    assert torch.allclose(turn, turn[:, :1].expand_as(turn), atol=1e-7)  # one turn for all channels
    assert (turn[0] - turn[1]).abs().mean() > 0.1  # another for each image
    assert torch.equal(y, filters.scramble_phases(x, seed=4))
    assert not torch.allclose(y, filters.scramble_phases(x, seed=5))


@pytest.mark.parametrize("run", [lambda x: filters.recolor(x, 0.7), filters.whiten])
def test_phases_stay(run):
    x = noise(5, 1, 9, 12)
    turn = gain(run(x), x)
    assert turn.imag.abs().max() < 1e-8 and turn.real.min() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(dtype):
    x = noise(2, 1, 8, 8, dtype=dtype)
    for y in [
        filters.high_pass(x, 2),
        filters.recolor(x, 1),
        filters.whiten(x),
        filters.swap_phases(x, x.flip(0)),
        filters.scramble_phases(x),
    ]:
        assert y.dtype == dtype and y.shape == x.shape and not y.is_complex()


IMAGES = torch.ones(1, 1, 8, 8)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: filters.high_pass(IMAGES[0], 2), ValueError, r"\(N, C, H, W\), got \(1, 8, 8\)"),
        (lambda: filters.high_pass(IMAGES, -1), ValueError, "at least 0, got -1"),
        (lambda: filters.high_pass(IMAGES, "2"), TypeError, "real number, got '2'"),
        (lambda: filters.low_pass(IMAGES, 0), ValueError, "low must be smaller than high"),
        (lambda: filters.band_pass(IMAGES, 3, 2), ValueError, "low=3.0 and high=2.0"),
        (lambda: filters.recolor(IMAGES, math.inf), ValueError, "delta must be finite"),
        (lambda: filters.recolor(IMAGES.int(), 1), TypeError, "float32 or float64, got int32"),
        (lambda: filters.recolor(IMAGES * torch.nan, 1), ValueError, "64 NaN or infinite"),
        (
            lambda: filters.whiten(IMAGES, spectrum=spectra.power_spectrum(torch.ones(1, 1, 4, 4))),
            ValueError,
            r"one image \(1, 8, 8\), got \(1, 4, 4\)",
        ),
        (lambda: filters.swap_phases(IMAGES, IMAGES[..., :4]), ValueError, "shape of images"),
        (lambda: filters.scramble_phases(IMAGES, seed=-1), ValueError, "between 0 and .*, got -1"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
