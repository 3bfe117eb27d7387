"""Plots show what they are given, in colours that everyone can tell apart."""

from itertools import combinations, pairwise
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from skimage.color import rgb2lab

from freqsense import fourier, plotting
from freqsense.fourier import RadialProfile
from freqsense.measurement import Measurement
from freqsense.sensitivity import SensitivityMap

# Machado, Oliveira and Fernandes (2009), doi:10.1109/TVCG.2009.113, severity 1, on linear RGB.
COLOR_VISION = {
    "typical": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
# CIELAB distance: 2.3 is just noticeable side by side; thin lines apart need several times that.
TOLD_APART = 15
RED_GREEN = ("#d62728", "#2ca02c")


@pytest.fixture
def ax():
    with mpl.rc_context():
        plotting.use_theme()
        yield Figure().subplots()


def linear_rgb(color):
    encoded = np.array(to_rgb(color))
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def luminance(color):
    return float(linear_rgb(color) @ [0.2126, 0.7152, 0.0722])


def contrast(one, other):
    """WCAG 2 contrast ratio, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def closest_distance(colors, vision):
    """Smallest CIELAB distance between two of the colours, seen with the given colour vision."""
    seen = [(COLOR_VISION[vision] @ linear_rgb(color)).clip(0, 1) for color in colors]
    encoded = [np.where(c <= 0.0031308, 12.92 * c, 1.055 * c ** (1 / 2.4) - 0.055) for c in seen]
    return min(np.linalg.norm(rgb2lab(a) - rgb2lab(b)) for a, b in combinations(encoded, 2))


@pytest.mark.parametrize("vision", COLOR_VISION)
def test_line_colors_are_told_apart(vision):
    assert closest_distance(plotting.OKABE_ITO, vision) > TOLD_APART


def test_red_and_green_are_not_told_apart():
    assert closest_distance(RED_GREEN, "typical") > TOLD_APART
    assert closest_distance(RED_GREEN, "deuteranopia") < TOLD_APART


def test_line_colors_stand_out_from_white():
    assert min(contrast(color, "white") for color in plotting.OKABE_ITO) >= 3
    assert contrast("#F0E442", "white") < 3  # the yellow of the same palette


def test_neighbouring_line_colors_differ_in_grey():
    cycle = (*plotting.OKABE_ITO, plotting.OKABE_ITO[0])
    assert min(contrast(a, b) for a, b in pairwise(cycle)) > 1.25
    in_published_order = ("#009E73", "#0072B2", "#D55E00", "#CC79A7", "#000000", "#009E73")
    assert min(contrast(a, b) for a, b in pairwise(in_published_order)) < 1.28


def test_theme_is_opaque_white_and_readable(ax):
    assert ax.figure.get_facecolor() == ax.get_facecolor() == (1, 1, 1, 1)
    ax.plot([0, 1], label="a line")
    ax.set(xlabel="x", ylabel="y", title="title")
    texts = [ax.title, ax.xaxis.label, ax.yaxis.label, *ax.get_xticklabels()]
    texts += ax.legend().get_texts()
    assert min(text.get_fontsize() for text in texts) >= 10
    assert to_hex(ax.lines[0].get_color()).upper() == plotting.OKABE_ITO[0]


def test_theme_draws_on_every_figure_that_follows():
    with mpl.rc_context():
        mpl.rcParams["figure.facecolor"] = "none"
        plotting.use_theme()
        assert Figure().get_facecolor() == (1, 1, 1, 1)


# Images


@pytest.mark.parametrize("shape", [(6, 9), (1, 6, 9)])
def test_grey_photographs_keep_their_brightness(ax, shape):
    image = torch.linspace(0.2, 0.6, 54).reshape(shape)
    assert plotting.plot_image(ax, image, "grey") is ax
    (picture,) = ax.get_images()
    assert picture.get_array().shape == (6, 9)
    assert picture.get_clim() == (0, 1)
    np.testing.assert_allclose(picture.get_array().ravel(), image.ravel(), rtol=1e-6)
    assert ax.get_title() == "grey" and not len(ax.get_xticks()) and not len(ax.get_yticks())


def test_color_photographs_keep_their_colors(ax):
    image = torch.rand(3, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plotting.plot_image(ax, image)
    np.testing.assert_array_equal(ax.get_images()[0].get_array(), image.permute(1, 2, 0))


@pytest.mark.parametrize("shape", [(4, 6), (3, 2, 4)])
def test_images_outside_the_unit_range_are_stretched_by_one_scale(ax, shape):
    image = torch.linspace(-3, 5, 24, dtype=torch.float64).reshape(shape)
    plotting.plot_image(ax, image)
    shown = np.asarray(ax.get_images()[0].get_array())
    expected = (image + 3) / 8
    expected = expected.permute(1, 2, 0) if image.ndim == 3 else expected
    np.testing.assert_allclose(shown, expected, atol=1e-12)


def test_a_constant_image_outside_the_unit_range_is_grey(ax):
    plotting.plot_image(ax, torch.full((4, 4), 7.0))
    assert (ax.get_images()[0].get_array() == 0.5).all()


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (torch.rand(2, 4, 4), ValueError, r"image must have shape .* got \(2, 4, 4\)"),
        (torch.rand(1, 1, 4, 4), ValueError, "image must have shape"),
        (torch.full((4, 4), torch.nan), ValueError, "image must be finite"),
        (torch.zeros(4, 4, dtype=torch.complex64), TypeError, "image must be real"),
        ([[0.0]], TypeError, "image must be a torch tensor"),
    ],
)
def test_what_is_no_image_is_refused(ax, image, error, message):
    with pytest.raises(error, match=message):
        plotting.plot_image(ax, image)
    assert not ax.get_images()


def test_rows_of_images():
    axes = Figure().subplots(1, 3)
    images = torch.rand(3, 1, 4, 5)
    assert plotting.plot_images(axes, images, ["a", "b", "c"]) is axes
    assert [ax.get_title() for ax in axes] == ["a", "b", "c"]
    for ax, image in zip(axes, images, strict=True):
        np.testing.assert_allclose(ax.get_images()[0].get_array(), image[0], rtol=1e-6)
    with pytest.raises(ValueError, match="3 axes, 2 images and 2 titles"):
        plotting.plot_images(axes, images[:2])
    with pytest.raises(ValueError, match="3 axes, 3 images and 1 titles"):
        plotting.plot_images(axes, images, ["a"])


# Maps


@pytest.mark.parametrize("shape", [(8, 8), (7, 7), (8, 5), (5, 8)])
def test_each_value_of_a_map_stands_at_its_frequency(ax, shape):
    ky, kx = fourier.frequencies(shape)
    values = 1 + 100 * (ky + 10) + (kx + 10)
    assert plotting.plot_spectrum_map(ax, values, "title") is ax
    (picture,) = ax.get_images()
    shown = picture.get_array()
    left, right, bottom, top = picture.get_extent()
    for y, x in zip(ky.ravel(), kx.ravel(), strict=True):
        row = int((float(y) - top) / (bottom - top) * shape[0])
        column = int((float(x) - left) / (right - left) * shape[1])
        assert shown[row, column] == 1 + 100 * (float(y) + 10) + (float(x) + 10)
    assert ax.get_xlabel() == "$k_x$ (cycles/image)"


def test_a_map_has_a_log_scale_and_a_labelled_color_bar(ax):
    values = torch.logspace(0, 6, 64).reshape(8, 8)
    plotting.plot_spectrum_map(ax, values, label="power (squared grey levels)")
    (picture,) = ax.get_images()
    assert picture.norm(1e3) == pytest.approx(0.5, abs=1e-6)
    assert picture.colorbar.ax.get_ylabel() == "power (squared grey levels)"


def test_zeros_and_rounding_errors_of_a_map_are_masked(ax):
    values = torch.ones(4, 4, dtype=torch.float64)
    values[1, 2], values[0, 1], values[3, 3] = 0, 1e-14, 1e-8
    plotting.plot_spectrum_map(ax, values)
    mask = np.ma.getmaskarray(ax.get_images()[0].get_array())
    assert (mask == (torch.fft.fftshift(values) < 1e-12).numpy()).all() and mask.sum() == 2
    assert ax.get_images()[0].norm.vmin == pytest.approx(1e-8)
    ax.figure.canvas.draw()


def test_a_single_wave_shines_on_black(ax):
    power = torch.zeros(9, 9)
    power[2, 1] = power[-2, -1] = 0.25
    plotting.plot_spectrum_map(ax, power)
    (picture,) = ax.get_images()
    colors = picture.to_rgba(picture.get_array())
    assert (colors[4 + 2, 4 + 1] == mpl.colormaps["cividis"](1.0)).all()
    assert (colors[0, 0] == (0, 0, 0, 1)).all()
    assert picture.get_clim() == pytest.approx((0.025, 0.25))


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (torch.zeros(4, 4), ValueError, "not all of them zero"),
        (-torch.ones(4, 4), ValueError, "values >= 0.* got from -1 to -1"),
        (torch.rand(1, 4, 4), ValueError, r"values must have shape \(H, W\)"),
        (torch.full((4, 4), torch.inf), ValueError, "values must be finite"),
        (torch.ones(4, 4, dtype=torch.complex64), TypeError, "values must be real"),
    ],
)
def test_what_is_no_map_is_refused(ax, values, error, message):
    with pytest.raises(error, match=message):
        plotting.plot_spectrum_map(ax, values)


# Profiles and fits


def make_profile(mean, sem):
    count = torch.ones(len(mean), dtype=torch.long)
    frequency = torch.arange(len(mean), dtype=torch.float64)
    return RadialProfile(frequency, torch.tensor(mean), torch.tensor(sem), count)


def band_edges(ax):
    """Lower and upper edge of the band at each frequency it covers."""
    corners = np.concatenate([path.vertices for path in ax.collections[0].get_paths()])
    return {
        float(x): (corners[corners[:, 0] == x, 1].min(), corners[corners[:, 0] == x, 1].max())
        for x in np.unique(corners[:, 0])
    }


def test_a_profile_is_drawn_without_dc_on_log_axes(ax):
    profile = fourier.radial_average(torch.rand(9, 16, dtype=torch.float64))
    assert plotting.plot_profile(ax, profile, label="noise", ylabel="variance") is ax
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_xdata(), profile.frequency[1:])
    np.testing.assert_array_equal(line.get_ydata(), profile.mean[1:])
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert ax.get_xlabel() == "radial frequency (cycles/image)" and ax.get_ylabel() == "variance"
    assert line.get_label() == "noise" and line.get_marker() == "o"


def test_a_band_is_the_interval_for_small_errors(ax):
    plotting.plot_profile(ax, make_profile([9.0, 4.0, 2.0], [0.1, 0.02, 0.01]))
    for frequency, mean, sem in [(1, 4, 0.02), (2, 2, 0.01)]:
        # exp(x) = 1 + x + x²/2 + ...: the second-order term is what may differ.
        low, high = band_edges(ax)[frequency]
        assert low == pytest.approx(mean - 1.96 * sem, abs=mean * (1.96 * sem / mean) ** 2)
        assert high == pytest.approx(mean + 1.96 * sem, abs=mean * (1.96 * sem / mean) ** 2)
        assert high - low > 3.9 * sem


def test_a_band_stays_positive_for_large_errors_and_stops_where_there_are_none(ax):
    plotting.plot_profile(ax, make_profile([9.0, 4.0, 2.0, 1.0], [0.1, 4.0, 1.0, torch.nan]))
    edges = band_edges(ax)
    assert edges[1] == pytest.approx((4 * np.exp(-1.96), 4 * np.exp(1.96)))
    assert set(edges) == {1.0, 2.0}
    ax.figure.canvas.draw()


def test_means_of_zero_leave_a_gap(ax):
    plotting.plot_profile(ax, make_profile([1.0, 2.0, 0.0, 3.0], [0.1, 0.1, 0.0, 0.1]))
    assert np.isnan(ax.lines[0].get_ydata()).tolist() == [False, True, False]
    ax.figure.canvas.draw()


def test_frequencies_read_as_plain_numbers(ax):
    plotting.plot_profile(ax, fourier.radial_average(torch.rand(32, 32)))
    ax.figure.canvas.draw()
    low, high = ax.get_xlim()
    shown = [
        label.get_text()
        for label in ax.get_xticklabels(which="both")
        if low <= label.get_position()[0] <= high and label.get_text()
    ]
    assert shown == ["2", "5", "10"]


def test_curves_take_the_next_color_or_the_one_asked_for(ax):
    profile = make_profile([1.0, 2.0], [0.1, 0.1])
    for color in (None, None, "#123456"):
        plotting.plot_profile(ax, profile, color=color)
    drawn = [to_hex(line.get_color()) for line in ax.lines]
    assert drawn == [*(color.lower() for color in plotting.OKABE_ITO[:2]), "#123456"]
    assert [to_hex(band.get_facecolor()[0]) for band in ax.collections] == drawn


@pytest.mark.parametrize(
    ("profile", "error", "message"),
    [
        (torch.rand(4), TypeError, "profile must be a RadialProfile, got Tensor"),
        (fourier.radial_average(torch.rand(3, 8, 8)), ValueError, r"one curve.* got \(3, 5\)"),
        (fourier.radial_average(torch.zeros(8, 8)), ValueError, "a positive mean beside DC"),
    ],
)
def test_what_is_no_profile_is_refused(ax, profile, error, message):
    with pytest.raises(error, match=message):
        plotting.plot_profile(ax, profile)


def make_law(**changes):
    law = {"alpha": 1.98, "alpha_stderr": 0.03, "amplitude": 5.0, "fmin": 2.0, "fmax": 14.0}
    return SimpleNamespace(**law | changes)


def test_a_power_law_is_a_straight_line_over_its_own_frequencies(ax):
    assert plotting.plot_power_law(ax, make_law()) is ax
    (line,) = ax.lines
    x, y = line.get_data()
    assert (x.min(), x.max()) == (2, 14)
    np.testing.assert_allclose(y, 5 * x**-1.98, rtol=1e-12)
    assert line.get_linestyle() == "--" and ax.get_xscale() == ax.get_yscale() == "log"


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({}, "α = 1.98 ± 0.03"),
        ({"alpha": -0.5}, "α = −0.50 ± 0.03"),
        ({"alpha": 1.98766, "alpha_stderr": 0.00042}, "α = 1.9877 ± 0.0004"),
        ({"alpha": 2.0, "alpha_stderr": 1.5}, "α = 2.00 ± 1.50"),
        ({"alpha_stderr": float("nan")}, "α = 1.98"),
        ({"alpha_stderr": 0.0}, "α = 1.98"),
    ],
)
def test_the_label_of_a_power_law_gives_as_many_digits_as_are_known(ax, changes, label):
    plotting.plot_power_law(ax, make_law(**changes))
    assert ax.lines[0].get_label() == label


def test_what_is_no_power_law_is_refused(ax):
    with pytest.raises(TypeError, match="lacks amplitude, fmin, fmax"):
        plotting.plot_power_law(ax, SimpleNamespace(alpha=1.0, alpha_stderr=0.1))
    plotting.plot_power_law(ax, make_law(), label="fit", color="#0072B2")
    assert ax.lines[0].get_label() == "fit" and ax.lines[0].get_color() == "#0072B2"


def row(label, n_images, response, weight_decay=0.0, stderr=0.02):
    return {
        "label": label,
        "n_images": n_images,
        "weight_decay": weight_decay,
        "response": response,
        "stderr": stderr,
    }


def tracks(ax):
    """Places of the marks of each track, (n, 2), and their sizes."""
    return [
        (np.asarray(each.get_offsets()), each.get_sizes())
        for each in ax.collections
        if isinstance(each, PathCollection)
    ]


def test_responses_run_from_few_images_to_many_on_a_line_each(ax):
    rows = [row("a", 4096, -0.4), row("b", 64, 0.1, 0.1), row("a", 64, 0.3, stderr=float("nan"))]
    plotting.plot_responses(ax, rows)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a", "b"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # from top to bottom
    (first, sizes), (second, _) = tracks(ax)
    assert first[:, 0].tolist() == [0.3, -0.4] and sizes[0] < sizes[1]
    assert second[:, 0].tolist() == [0.1]
    assert (np.abs(first[:, 1]) < 0.5).all() and abs(second[0, 1] - 1) < 0.5
    assert ax.get_legend_handles_labels()[1] == ["λ = 0", "λ = 0.1"]
    assert [float(x) for x in ax.get_xticks()] == [-0.5, 0, 0.5]


def test_silent_networks_are_hollow(ax):
    plotting.plot_responses(ax, [row("a", 64, 0.3), row("a", 512, 0.1) | {"silent": True}])
    (marks,) = [each for each in ax.collections if isinstance(each, PathCollection)]
    assert marks.get_facecolors()[1].tolist() == [1, 1, 1, 1]
    assert marks.get_facecolors()[0].tolist() == marks.get_edgecolors()[0].tolist()


def test_what_was_not_measured_keeps_an_empty_line(ax):
    plotting.plot_responses(ax, [row("a", 64, 0.3), row("b", 0, float("nan"))])
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a", "b"]
    (drawn, _), (empty, _) = tracks(ax)
    assert np.isfinite(drawn).all() and np.isnan(empty[:, 0]).all()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "at least one response, got none"),
        ([{"label": "a", "n_images": 1}], "must have weight_decay, response, stderr, got"),
        ([row("a", 1, 0.0, k) for k in range(6)], "at most 5 decays"),
    ],
)
def test_what_are_no_responses_is_refused(ax, rows, message):
    with pytest.raises(ValueError, match=message):
        plotting.plot_responses(ax, rows)


def measured(name, exponent, side=32, untrained=None, pictures=None):
    """Measurement of a sensitivity that falls or rises as a power of the radius, known exactly."""
    radius = fourier.radial_frequency((side, side)).clamp(min=0.5)
    values = radius[None] ** exponent
    rings = torch.full((1, side // 2 + 1), 0.01, dtype=torch.float64)
    found = SensitivityMap(values, 0.1 * values, 10, rings)
    return Measurement(name, found, untrained=untrained, pictures=pictures)


def drawn(ax):
    """Labels of the legend up to their colon, and the points of the lines."""
    labels = [text.get_text().split(":")[0] for text in ax.get_legend().get_texts()]
    return labels, [line.get_xydata() for line in ax.lines]


def test_a_network_its_controls_and_its_pictures_share_an_axis(ax):
    curve = measured("net", -1.0).profile
    controls = torch.stack([curve.mean**-0.5, 100 * curve.mean**-0.5])
    plotting.plot_measurements(ax, [measured("net", -1.0, untrained=controls, pictures=curve)])
    labels, (network, untrained, pictures) = drawn(ax)
    assert labels == ["net", "untrained, 2 of them", "pictures"]
    np.testing.assert_allclose(network, pictures)  # whatever the unit, the same shape lies on it
    assert np.isclose(np.log(network[1:, 1]).mean(), 0)  # rings 2 to Nyquist
    # Networks of several levels and one shape have no spread.
    ratio = np.diff(np.log(untrained[1:, 1])) / np.diff(np.log(network[1:, 1]))
    np.testing.assert_allclose(ratio, -0.5)
    (_, band, _) = ax.collections
    low, high = (band.get_paths()[0].vertices[:, 1].min(), untrained[:, 1].min())
    assert np.isclose(low, high)


def test_networks_of_several_sizes_share_an_axis_in_cycles_per_pixel(ax):
    plotting.plot_measurements(
        ax, [measured("a", -1.0), measured("b", -1.0, side=64)], per_pixel=True
    )
    assert ax.get_xlabel() == "radial frequency (cycles/pixel)"
    _, (small, large) = drawn(ax)
    assert np.isclose(small[-1, 0], 0.5, atol=0.02) and np.isclose(large[-1, 0], 0.5, atol=0.02)


def test_many_networks_are_told_apart_by_dashes_too(ax):
    plotting.plot_measurements(ax, [measured(str(k), -1.0) for k in range(7)])
    looks = [(line.get_color(), line.get_linestyle()) for line in ax.lines]
    assert len(set(looks)) == 7


def test_pictures_are_drawn_once_if_they_are_the_same(ax):
    curve = measured("", -1.0).profile
    same = [measured(name, -0.5, pictures=curve) for name in "ab"]
    plotting.plot_measurements(ax, same)
    assert drawn(ax)[0] == ["a", "b", "pictures"]
    other = measured("c", -0.5, pictures=measured("", -2.0).profile)
    fresh = Figure().subplots()
    plotting.plot_measurements(fresh, [*same, other])
    assert drawn(fresh)[0] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a$b$c", r"a\$b\$c"),
        ("_hidden", " _hidden"),
        ("\udcff", "\\udcff"),
        ("x" * 50, "x" * 15 + "..." + "x" * 15),
    ],
)
def test_any_name_is_drawn(ax, name, shown):
    plotting.plot_measurements(ax, [measured(name, -1.0)])
    assert drawn(ax)[0] == [shown]
    ax.figure.canvas.draw()


def test_no_measurement_is_no_plot(ax):
    with pytest.raises(ValueError, match="at least one, got none"):
        plotting.plot_measurements(ax, [])
