"""Live figures: their formulas are the library's, and their sliders move picture and words."""

import math

import numpy as np
import pytest
import torch
from bookbuild.explorer import FILES, SCRIPTS
from bookbuild.explorers import EXPLORERS
from playwright.sync_api import expect

from freqsense import filters, fourier, images, layers, sensitivity, theory

# Numbers pass to the page and back as decimals of full length; only arithmetic differs.
CLOSE = 1e-6
DEPTHS = (1, 2, 3, 4)
SHAPES = ((8, 8), (7, 7), (6, 9), (32, 32))

each_explorer = pytest.mark.parametrize("name", EXPLORERS)


@pytest.fixture(scope="module")
def formulas(browser):
    """Call functions of the script in a page that holds nothing else."""
    tab = browser.new_page()
    tab.add_script_tag(path=FILES / "formulas.js")

    def call(function, calls):
        """Results of one function for a list of lists of arguments, as float64 arrays."""
        calls = [[a.flatten().tolist() if hasattr(a, "tolist") else a for a in c] for c in calls]
        found = tab.evaluate(
            f"""calls => calls.map(args => {{
                const fs = window.freqsense, found = ({function})(...args);
                if (typeof found === "number") return [found];
                return found.re ? [...found.re, ...found.im] : [...found];
            }})""",
            calls,
        )
        return [np.array(values, dtype=float) for values in found]

    yield call
    tab.close()


def largest_difference(found, expected):
    """Largest deviation, relative where numbers are larger than 1."""
    pairs = zip(found, expected, strict=True)
    pairs = [(a, np.asarray(b).ravel()) for a, b in pairs]
    return max(np.abs(a - b).max() / max(1, np.abs(b).max()) for a, b in pairs)


# Formulas


@pytest.mark.parametrize("shape", [*SHAPES, (1, 5), (4, 10)])
def test_frequencies_are_those_of_the_library(formulas, shape):
    (radius,) = formulas("fs.radialFrequency", [[shape]])
    assert largest_difference([radius], [fourier.radial_frequency(shape)]) < CLOSE
    ky, kx = fourier.frequencies(shape)
    signed = formulas("fs.signedFrequencies", [[side] for side in shape])
    assert largest_difference(signed, [ky[:, 0], kx[0]]) == 0


def settings(depth, pixels, branch="global"):
    decays = (0.0, 0.01, 0.3, 1.0, 7.0, 100.0)
    return [{"decay": d, "depth": depth, "pixels": pixels, "branch": branch} for d in decays]


def predict(power, cross, setting):
    return theory.predict_sensitivity(
        power, cross, weight_decay=setting["decay"], depth=setting["depth"],
        branch=setting["branch"],
    )  # fmt: skip


@pytest.mark.parametrize("branch", ["global", "upper"])
@pytest.mark.parametrize("depth", DEPTHS)
def test_sensitivity_is_that_of_the_library_silent_frequencies_included(formulas, depth, branch):
    calls, expected, silent = [], [], 0
    for seed, shape in enumerate(SHAPES):
        generator = torch.Generator().manual_seed(seed)
        teacher = torch.rand(shape, generator=generator, dtype=torch.float64)
        for alpha in (0.0, 1.0, 2.5):
            radius = fourier.radial_frequency(shape)
            power = torch.where(radius > 0, radius.clamp(min=1) ** -alpha, 0.0)
            for setting in settings(depth, math.prod(shape), branch):
                calls.append([power, power * teacher, setting])
                expected.append(predict(power, power * teacher, setting))
                silent += int((expected[-1][power > 0] == 0).sum())
    found = formulas("fs.predict", calls)
    assert largest_difference(found, expected) < CLOSE
    off = [[np.asarray(r).ravel() == 0 for r in rs] for rs in (found, expected)]
    assert all(np.array_equal(a, b) for a, b in zip(*off, strict=True))
    assert (silent > 100) == (depth > 1), "no frequency is switched off: nothing was tested"


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_threshold_is_that_of_the_library_and_sensitivity_jumps_there(formulas, depth):
    targets, pixels = (0.05, 1.0, 3.0), (1, 63, 1024)
    cases = [(b, n, s) for b in targets for n in pixels for s in settings(depth, n)[1:]]
    edges = [
        theory.threshold(b, weight_decay=s["decay"], depth=depth, n_pixels=n) for b, n, s in cases
    ]
    found = formulas("fs.threshold", [[b, s] for b, _, s in cases])
    assert largest_difference(found, edges) < CLOSE
    if depth > 2:
        around = [np.array([edge * (1 - 1e-9), edge * (1 + 1e-9)]) for edge in edges]
        powers = zip(around, cases, strict=True)
        r = formulas("fs.predict", [[s, s * b, setting] for s, (b, _, setting) in powers])
        jumps = [[0, theory.jump(b, depth)] for b, _, _ in cases]
        assert largest_difference(r, jumps) < CLOSE


@pytest.mark.parametrize("n_images", [1, 16, 60, 1000, 100_000])
def test_few_images_are_those_of_the_library(formulas, n_images):
    calls, expected = [], []
    for seed, shape in enumerate(SHAPES):
        generator = torch.Generator().manual_seed(seed)
        teacher = torch.rand(shape, generator=generator, dtype=torch.float64)
        radius = fourier.radial_frequency(shape)
        for alpha, decay, noise in ((0.0, 0.01, 0.0), (1.0, 1.0, 0.3), (3.0, 100.0, 0.0)):
            power = torch.where(radius > 0, radius.clamp(min=1) ** -alpha, 0.0)
            setting = {"weight_decay": decay, "n_images": n_images}
            calls.append(
                [power, power * teacher, {"decay": decay, "images": n_images, "noise": noise}]
            )
            expected.append(
                (
                    theory.sample_decay(power, **setting),
                    theory.predict_few_images(power, power * teacher, **setting, noise=noise),
                )
            )
    decays, answers = zip(*expected, strict=True)
    found = formulas("(s, _, setting) => fs.sampleDecay(s, setting)", calls)
    assert largest_difference(found, decays) < CLOSE
    assert largest_difference(formulas("fs.predictFewImages", calls), answers) < CLOSE


def test_powers_of_a_law_have_unit_variance_and_its_exponent(formulas):
    cases = [[shape, alpha] for shape in SHAPES for alpha in (0, 0.7, 3)]
    for (shape, alpha), power in zip(cases, formulas("fs.lawPower", cases), strict=True):
        radius = fourier.radial_frequency(shape).numpy().ravel()
        assert power[0] == 0 and abs(power.mean() - 1) < CLOSE
        scaled = power[1:] * radius[1:] ** alpha
        assert np.ptp(scaled) < CLOSE * scaled.max()


WAVES = [(0, 0, 0.0), (3, -2, 0.5), (0, 1, -2.0), (-2, 3, 3.0)]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_wave_is_the_real_part_of_a_mode_of_the_library(formulas, shape):
    found = formulas("fs.wave", [[shape, *wave] for wave in WAVES])
    size = math.sqrt(math.prod(shape))  # a mode has unit norm
    turned = [
        (size * fourier.fourier_mode(shape, ky, kx) * np.exp(1j * phase)).real
        for ky, kx, phase in WAVES
    ]
    assert largest_difference(found, turned) < CLOSE


def noise(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def filter_by(formulas, gain, images, number):
    """Filter images by a gain that takes a shape and one number."""
    function = f"(x, s, a) => fs.filtered(fs.transform(x, s), {gain}(s, a), s)"
    return formulas(function, [[image, list(image.shape), number] for image in images])


@pytest.mark.parametrize("shape", [*SHAPES, (5, 12), (64, 64)])
def test_transforms_are_those_of_the_library(formulas, shape):
    image = noise(shape)
    (found,) = formulas("fs.transform", [[image, shape]])
    xhat = fourier.fft2(image)
    assert largest_difference([found], [torch.stack([xhat.real, xhat.imag])]) < CLOSE


@pytest.mark.parametrize("alpha", [0.0, 0.7, 2.0, 4.0])
def test_a_field_is_the_library_s_of_the_same_noise(formulas, alpha):
    def fields(exponent):
        return [images.gaussian_field(1, shape=s, alpha=exponent, seed=5)[0, 0] for s in SHAPES]

    # At α = 0 a field is the noise without DC, scaled back to unit variance.
    white = [field.double() * (1 - 1 / field.numel()) ** 0.5 for field in fields(0.0)]
    found = filter_by(formulas, "fs.fieldGain", white, alpha)
    assert largest_difference(found, fields(alpha)) < CLOSE


@pytest.mark.parametrize("delta", [-0.5, 0.0, 0.3, 2.0])
def test_recolouring_is_the_library_s(formulas, delta):
    pictures = [noise(shape) for shape in SHAPES]
    found = filter_by(formulas, "fs.recolorGain", pictures, delta)
    expected = [filters.recolor(x[None, None], delta)[0, 0] for x in pictures]
    assert largest_difference(found, expected) < CLOSE


@pytest.mark.parametrize("shape", [*SHAPES, (5, 12)])
def test_ring_means_are_those_of_the_library(formulas, shape):
    values = noise(shape).square()
    (found,) = formulas("fs.ringMeans", [[values, shape]])
    assert largest_difference([found], [fourier.radial_average(values).mean]) < CLOSE


@pytest.mark.parametrize("shape", [*SHAPES, (5, 12)])
@pytest.mark.parametrize("size", [(3, 3), (2, 5), (1, 4)])
def test_a_kernel_s_transfer_function_is_the_library_s(formulas, shape, size):
    layer = layers.CircularConv2d(1, 1, size, bias=False).double().requires_grad_(False)
    layer.weight.copy_(noise(size))
    (found,) = formulas("fs.transfer", [[layer.weight, size, shape]])
    expected = layers.transfer_function(layer, shape)[..., 0, 0]
    assert largest_difference([found], [torch.stack([expected.real, expected.imag])]) < CLOSE


@pytest.mark.parametrize("shape", SHAPES)
def test_shifting_puts_dc_where_the_library_of_arrays_does(formulas, shape):
    values = noise(shape)
    (found,) = formulas("fs.shifted", [[values, shape]])
    assert np.array_equal(found, torch.fft.fftshift(values).numpy().ravel())


@pytest.mark.parametrize("shape", SHAPES)
def test_a_slope_is_the_library_s(formulas, shape):
    values = noise(shape).square() + 0.1
    profile = fourier.radial_average(values)
    last = len(profile.mean) - 1
    (found,) = formulas("fs.slope", [[profile.frequency[1:], profile.mean[1:]]])
    assert abs(found[0] - sensitivity.slope(profile, 1, last).slope) < CLOSE


@pytest.mark.parametrize("delta", [-1.0, 0.0, 1.5])
def test_power_after_a_gain_is_that_of_the_recoloured_image(formulas, delta):
    pictures = [noise(shape) for shape in SHAPES]
    function = "(x, s, a) => fs.powerOf(fs.transform(x, s), fs.recolorGain(s, a))"
    found = formulas(function, [[x, list(x.shape), delta] for x in pictures])
    recolored = [filters.recolor(x[None, None], delta) for x in pictures]
    assert largest_difference(found, [fourier.fft2(x).abs().square() for x in recolored]) < CLOSE


# Figures


@pytest.fixture(scope="module")
def open_figure(browser):
    """Open a figure in a tab that holds nothing else; without its scripts it stays as built."""
    tabs = {}

    def open_one(name, *, start=None, live=True, java_script_enabled=True):
        key = live, java_script_enabled
        if key not in tabs:
            tabs[key] = browser.new_page(java_script_enabled=java_script_enabled)
        tabs[key].set_content(EXPLORERS[name].html(name, start or {}))
        for script in SCRIPTS if live else ():
            tabs[key].add_script_tag(path=FILES / script)
        return tabs[key]

    yield open_one
    for tab in tabs.values():
        tab.close()


def says(tab):
    """Find the sentence that says what a figure shows."""
    return tab.locator(".explorer-says")


def words(tab):
    """All that a figure says: the sentence, titles and ticks, values beside the sliders."""
    return tab.locator(".explorer-says, svg text, output").all_text_contents()


def shapes(tab):
    """Numbers in the lines and dots of a figure, a list for each."""
    return tab.evaluate(
        r"""() => [...document.querySelectorAll("svg [data-name]")].map(mark =>
            ["d", "cx", "cy"].flatMap(name =>
                ((mark.getAttribute(name) ?? "").match(/-?[\d.]+/g) ?? []).map(Number)))"""
    )


def pixels(tab):
    """Levels of the pictures inside a figure, a list for each."""
    return tab.evaluate(
        """() => Promise.all([...document.querySelectorAll("svg image")].map(async image => {
            const picture = new Image();
            picture.src = image.getAttribute("href");
            await picture.decode();
            const canvas = document.createElement("canvas");
            [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
            const context = canvas.getContext("2d");
            context.drawImage(picture, 0, 0);
            return [...context.getImageData(0, 0, canvas.width, canvas.height).data];
        }))"""
    )


# Where sliders are moved: ends, no wave at all, nothing heard, everything heard.
POSITIONS = {
    "theorem": [
        {"alpha": 0.0, "decay": 0.1, "depth": 4.0},
        {"alpha": 0.0, "decay": 10.0, "depth": 2.0},
        {"alpha": 3.0, "decay": 100.0, "depth": 1.0},
        {"alpha": 1.0, "decay": 0.01, "depth": 1.0, "images": 100.0},
        {"alpha": 2.0, "decay": 0.1, "depth": 1.0, "images": 1e5},
        {"alpha": 1.5, "decay": 1.0, "depth": 2.0},
    ],
    "wave": [{"ky": 0.0, "kx": 0.0, "phase": 60.0}, {"ky": -16.0, "kx": 1.0, "phase": -90.0}],
    "field": [{"alpha": 0.0}, {"alpha": 4.0}],
    "kernel": [{f"w{k}": 0.0 for k in range(9)}, *EXPLORERS["kernel"].presets.values()],
    "recolor": [{"delta": -1.0}, {"delta": 0.0}, {"delta": 2.0}],
}
MOVES = [(name, move) for name, moves in POSITIONS.items() for move in [{}, *moves]]


@pytest.mark.parametrize(("name", "move"), MOVES)
def test_the_script_draws_what_the_build_would_draw(open_figure, name, move):
    """The build draws with the library; at the start and elsewhere the script does the same."""
    built, live = open_figure(name, start=move, live=False), open_figure(name)
    for control in EXPLORERS[name].controls:
        if control.name in move:
            place = live.locator(f"[name={control.name}]")
            place.fill(f"{control.position(move[control.name]):g}")
    expect(says(live)).to_have_text(says(built).inner_text())  # once the sliders rest
    assert words(live) == words(built)
    for draw, tolerance in ((shapes, 0.02), (pixels, 1)):
        for before, after in zip(draw(built), draw(live), strict=True):
            assert len(before) == len(after)
            assert np.abs(np.subtract(before, after)).max(initial=0) <= tolerance


@each_explorer
def test_every_slider_moves_the_picture_and_the_words_by_keyboard(open_figure, name):
    tab = open_figure(name)
    expect(says(tab)).to_have_attribute("aria-live", "polite")
    for slider in tab.get_by_role("slider", disabled=False).all():
        picture, sentence = (shapes(tab), pixels(tab)), says(tab).inner_text()
        told = slider.get_attribute("aria-valuetext")
        slider.focus()
        tab.keyboard.press("PageUp")
        expect(says(tab)).not_to_have_text(sentence)
        assert (shapes(tab), pixels(tab)) != picture, "the picture stays"
        assert slider.get_attribute("aria-valuetext") != told, "a screen reader is told nothing"
        assert slider.get_attribute("aria-label"), "a slider without a name"


def test_the_number_of_images_can_be_chosen_at_depth_one_and_says_so_elsewhere(open_figure):
    tab = open_figure("theorem", start={"depth": 2})
    slider, depth = tab.locator("[name=images]"), tab.locator("[name=depth]")
    expect(slider).to_be_disabled()
    expect(slider).to_have_attribute("aria-valuetext", "depth 1 only")
    depth.fill("1")
    expect(slider).to_be_enabled()
    expect(slider).to_have_attribute("aria-valuetext", "1,000")
    expect(says(tab)).to_contain_text("From 1,000 images")
    slider.fill("2")
    expect(says(tab)).to_contain_text("From 100 images")


@each_explorer
def test_every_button_sets_its_sliders(open_figure, name):
    for label, values in EXPLORERS[name].presets.items():
        tab = open_figure(name)
        tab.get_by_role("button", name=label).click()
        stands = {key: float(tab.locator(f"[name={key}]").input_value()) for key in values}
        assert stands == values


@each_explorer
def test_without_javascript_the_picture_stands_and_says_what_is_missing(open_figure, name):
    tab = open_figure(name, live=False, java_script_enabled=False)
    assert tab.locator("svg").first.is_visible() and says(tab).inner_text()
    assert "need JavaScript" in tab.locator("body").inner_text()
    assert not tab.locator("input").first.is_visible()


@each_explorer
def test_every_figure_and_every_slider_has_a_name(open_figure, name):
    tab = open_figure(name)
    nameless = tab.evaluate(
        """() => [...document.querySelectorAll("svg, input, [role=group]")]
            .filter(e => !e.getAttribute("aria-label")).map(e => e.outerHTML.slice(0, 80))"""
    )
    assert nameless == []
