"""A network beside its controls: every number is a function of curves whose shape is known."""

import json
from dataclasses import replace

import pytest
import torch
from draws import noise
from tolerances import SIGMAS
from torch import nn

from freqsense import fourier, measurement, sensitivity
from freqsense.checkpoints import Network
from freqsense.images import gaussian_field, luminance
from freqsense.measurement import compare, measure_network
from freqsense.sensitivity import measure_sensitivity, settle_batchnorm

SIDE = 32
NYQUIST = SIDE // 2


def listener(gain, side=SIDE):
    """Function (N, 1, H, W) to (N, 1) whose sensitivity is exactly gain(radius)."""
    radius = fourier.radial_frequency((side, side)).clamp(min=0.5)
    weights = fourier.ifft2(gain(radius).to(torch.complex128)).real
    return lambda x: (x * weights).sum((1, 2, 3))[:, None]


def band_pass(radius):
    return radius / (1 + (radius / 5) ** 2)


def listens(exponent):
    return listener(lambda radius: radius**exponent)


@pytest.fixture(scope="module")
def fields():
    return gaussian_field(40, shape=(SIDE, SIDE), alpha=2.0).double()


def batchnorm_net():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
        ).double()


@pytest.mark.parametrize("exponent", [-1.0, 0.5])
def test_a_straight_curve_has_its_slope_in_each_band_and_no_doubt_of_it(fields, exponent):
    measured = measure_network(listens(exponent), fields[:3])
    for band in ("whole", "low", "high"):
        line = measured.slope(band)
        assert abs(line.slope - exponent) < SIGMAS * line.stderr + 1e-3
    assert measured.bands == {"whole": (2, 16), "low": (2, 4), "high": (4, 16)}
    assert not any("straight line" in text for text in measured.warnings)


def test_a_band_pass_curve_is_not_told_by_one_slope(fields):
    measured = measure_network(listener(band_pass), fields[:3])
    assert measured.slope("low").slope > 0.3 and measured.slope("high").slope < -0.3
    [doubt] = measured.warnings
    assert "a straight line does not fit" in doubt and "up to 4 cycles/image" in doubt
    assert abs(measured.peak.cycles_per_image - 5) < 1
    assert measured.peak.cycles_per_pixel == measured.peak.cycles_per_image / SIDE
    narrow = measure_network(listener(band_pass), fields[:3], fmin=11, fmax=16)
    assert narrow.slope("low") is None and narrow.slope().slope < -0.5
    assert not any("straight line" in text for text in narrow.warnings)


def test_a_bend_is_told_where_the_bands_are_too_narrow_for_two_slopes():
    images = gaussian_field(3, shape=(16, 16), alpha=2.0).double()
    measured = measure_network(listener(lambda f: f / (1 + (f / 4) ** 4), side=16), images)
    assert measured.slope("low") is None
    assert "changes by -" in measured.warnings[0]


def test_pictures_are_an_amplitude(fields):
    """Power that falls as f^-2 is an amplitude that falls as f^-1."""
    measured = measure_network(listens(0.0), fields)
    line = measured.pictures_slope()
    assert abs(line.slope + 1) < SIGMAS * line.stderr < 1
    assert measured.summary["pictures_slope"]["slope"] == -measured.power_law.alpha / 2
    power = fourier.fft2(fields - fields.mean((-2, -1), keepdim=True)).abs().square().mean((0, 1))
    expected = fourier.radial_average(power).mean.sqrt()
    torch.testing.assert_close(measured.pictures.mean, expected)


def test_errors_of_the_pictures_amplitude():
    # White noise of 3 channels: power 3 at every frequency, with a variance of 3.
    measured = measure_network(lambda x: x.mean((2, 3)), noise(600, 3, 16, 16))
    profile, rings = measured.pictures, slice(1, 8)  # DC and Nyquist vary more
    assert ((profile.mean[1:] - 3**0.5).abs() < SIGMAS * profile.sem[1:]).all()
    expected = (3 / (600 * profile.count[rings].double())).sqrt() / (2 * 3**0.5)
    # Of a sum of three exponentials the kurtosis is 2 at most.
    scatter = SIGMAS * ((2 + 2) / (4 * 600)) ** 0.5
    torch.testing.assert_close(profile.sem[rings], expected, rtol=scatter, atol=0)


def test_untrained_networks_are_settled_on_the_same_images(fields):
    net, images = batchnorm_net(), fields[:12]
    measured = measure_network(net, images, n_untrained=2, seed=5)
    assert measured.untrained.shape == (2, NYQUIST + 1)
    for seed, curve in zip((5, 6), measured.untrained, strict=True):
        twin = settle_batchnorm(Network(net, None).untrained(seed), images)
        found = measure_sensitivity(twin, images).norm().radial().single()
        torch.testing.assert_close(curve, found.mean)
    assert not torch.equal(*measured.untrained)
    unsettled = measure_sensitivity(Network(net, None).untrained(5), images)
    assert (unsettled.norm().radial().single().mean / measured.untrained[0])[
        1:
    ].log().abs().max() > 0.1


def test_the_last_image_alone_settles_with_those_before_it(fields):
    batches = [fields[:2], fields[2:3]]
    found = measure_network(batchnorm_net(), batches, n_untrained=1)
    whole = measure_network(batchnorm_net(), fields[:3], n_untrained=1)
    torch.testing.assert_close(found.untrained, whole.untrained)


def test_one_image_settles_no_batchnorm(fields):
    with pytest.raises(ValueError, match="2 or more to settle a BatchNorm, got 1"):
        measure_network(batchnorm_net(), fields[:1], n_untrained=1)
    plain = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten()).double()
    assert len(measure_network(plain, fields[:1], n_untrained=1).untrained) == 1


def test_trained_minus_untrained_has_both_errors(fields):
    measured = measure_network(listens(-1.0), fields[:2])
    assert measured.untrained_slope() is measured.trained_minus_untrained() is None
    radius = measured.profile.frequency.clamp(min=0.5)
    untrained = torch.stack([radius**0.1, radius**0.2, radius**0.6])
    beside = replace(measured, untrained=untrained)
    assert beside.untrained_slope().slope == pytest.approx(0.3)
    over_seeds = 0.07**0.5 / 3**0.5
    assert beside.untrained_slope().stderr == pytest.approx(over_seeds)
    found, own = beside.trained_minus_untrained(), measured.slope()
    assert found.slope == pytest.approx(own.slope - 0.3)
    assert found.stderr == pytest.approx((own.stderr**2 + over_seeds**2) ** 0.5)


def test_a_blank_picture_is_named_and_counts_for_the_network_alone(fields):
    net, images = batchnorm_net(), fields[:6].clone()
    images[2] = 0.7
    measured = measure_network(net, images)
    assert measured.map.n_images == 6
    [note] = measured.notes
    assert note.endswith(": image 2")
    rest = measure_network(net, images[[0, 1, 3, 4, 5]])
    torch.testing.assert_close(measured.pictures.mean, rest.pictures.mean)
    assert rest.notes == () and measured.pictures_slope() == rest.pictures_slope()


def test_pictures_without_power_cost_no_measurement(fields):
    net = batchnorm_net()
    measured = measure_network(net, torch.full((3, 1, 16, 16), 0.3, dtype=torch.float64))
    assert measured.pictures is None and measured.slope() is not None
    checkers = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64).repeat(2, 1, 8, 8)
    measured = measure_network(net, checkers)
    assert measured.power_law is None and "no slope of the pictures" in measured.notes[0]


def test_what_ends_early_tells_of_the_images_it_used(fields):
    net = batchnorm_net()
    measured = measure_network(net, fields, until=0.5, n_untrained=1, batch_size=10)
    assert measured.map.n_images == 10
    first = measure_network(net, fields[:10], n_untrained=1)
    torch.testing.assert_close(measured.pictures.mean, first.pictures.mean)
    torch.testing.assert_close(measured.untrained, first.untrained)


def test_pixels_are_prepared_as_told():
    images = noise(5, 3, 16, 16, dtype=torch.float32)
    net = nn.Sequential(nn.Conv2d(3, 2, 5), nn.Tanh(), nn.Flatten(), nn.Linear(288, 3))
    mean, std = [0.1, 0.2, 0.3], 0.5
    found = measure_network(net, images, mean=mean, std=std).map
    prepared = (images - torch.tensor(mean)[:, None, None]) / std
    torch.testing.assert_close(found.values, measure_sensitivity(net, prepared).values)
    grey = nn.Sequential(nn.Conv2d(1, 2, 5), nn.Tanh(), nn.Flatten(), nn.Linear(288, 3))
    found = measure_network(Network(grey, 1), images).map
    torch.testing.assert_close(found.values, measure_sensitivity(grey, luminance(images)).values)


def test_probes_are_told(fields):
    net = nn.Sequential(nn.Flatten(), nn.Linear(SIDE**2, 60)).double()
    measured = measure_network(net, fields[:4], n_probes=3)
    assert (measured.summary["method"], measured.summary["n_probes"]) == ("probe", 3)
    exact = measure_network(net, fields[:4], method="exact")
    assert (exact.summary["method"], exact.summary["n_probes"]) == ("exact", 0)


def test_a_summary_is_json_whatever_was_found(fields):
    for images, gain in ((fields[:1], band_pass), (fields[:2], lambda f: (f == 0.5).double())):
        summary = measure_network(listener(gain), images).summary
        assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["sensitivity_slope"] is None and "no slope" in summary["warnings"][0]


def refuse(x):
    raise AssertionError("no network should be called")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fmin": 0}, "0 < fmin < fmax <= 16 cycles/image, got fmin=0.0 and fmax=16"),
        ({"fmax": 17}, "got fmin=2 and fmax=17.0"),
        ({"std": 0.0}, r"std must be finite and positive, got \[0.0\]"),
        ({"mean": float("nan")}, "mean must be finite"),
        ({"mean": [0.1, 0.2]}, "mean and std take 1 or 1 values, got 2 and 1"),
        ({"n_untrained": -1}, "n_untrained must be at least 0"),
    ],
)
def test_what_is_out_of_range_is_told_before_work(fields, options, message):
    with pytest.raises(ValueError, match=message):
        measure_network(refuse, fields, **options)


def test_what_can_be_read_once_has_no_untrained_twins(fields):
    once = iter([fields[:4]])
    with pytest.raises(TypeError, match="iterated over again, got a list_iterator"):
        measure_network(refuse, once, n_untrained=1)
    assert measure_network(batchnorm_net(), iter([fields[:4]])).map.n_images == 4


def test_networks_in_one_table(fields):
    flat, steep = (measure_network(listens(b), fields[:2], name=str(b)) for b in (0.0, -1.0))
    rows = compare([flat, steep])
    assert [row["name"] for row in rows] == ["0.0", "-1.0"]
    assert rows[0]["minus_first"] == pytest.approx(0, abs=1e-9)
    assert rows[1]["minus_first"] == pytest.approx(steep.slope().slope - flat.slope().slope)
    assert rows[1]["slope"] == steep.slope().slope and rows[1]["low"] == steep.slope("low").slope
    small = measure_network(listener(band_pass, side=16), fields[:2, :, :16, :16], name="small")
    assert compare([flat, small])[1]["minus_first"] is None


def test_a_difference_holds_no_error_of_what_curves_share(fields):
    """Two bent curves whose ratio is straight."""
    one = measure_network(listener(band_pass), fields[:2], name="one")
    other = measure_network(listener(lambda f: band_pass(f) * f**-0.5), fields[:2], name="other")
    row = compare([one, other])[1]
    assert row["minus_first"] == pytest.approx(-0.5, abs=0.02)
    assert row["minus_first_stderr"] < 0.02 < row["slope_stderr"]


def test_what_cannot_be_compared(fields):
    measured = measure_network(listens(0.0), fields[:2])
    with pytest.raises(ValueError, match=r"a name of its own, got \['network'\] twice"):
        compare([measured, measured])
    with pytest.raises(ValueError, match="at least one, got none"):
        compare([])
    assert set(measurement.__all__) == {"Measurement", "Peak", "compare", "measure_network"}
    assert isinstance(measured.slope(), sensitivity.Slope)
