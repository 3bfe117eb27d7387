"""The live figures of the book in a notebook: what they draw is what the library computes."""

import re

import ipywidgets
import numpy as np
import pytest
import torch
from bookbuild.explorers import EXPLORERS as ON_PAGES

from freqsense import filters, fourier, images, layers, notebook, theory
from freqsense.notebook import explorers

ALL = list(notebook.EXPLORERS)
MOVED = {
    "theorem": {"depth": 4.0},
    "wave": {"ky": -5.0},
    "field": {"alpha": 0.3},
    "kernel": {"w4": 2.0},
    "recolor": {"delta": -0.7},
}


def starts(name):
    return {slider.name: slider.start for slider in notebook.EXPLORERS[name].sliders}


def draw(name, **values):
    """The two panels of a figure with some sliders moved."""
    return notebook.EXPLORERS[name].draw(**starts(name) | values).axes[:2]


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines()}


def as_drawn(tensor):
    return pytest.approx(np.asarray(tensor), rel=1e-6, abs=1e-12)


# Beside the pages


def test_the_figures_are_those_of_the_pages_with_the_same_sliders():
    assert list(ON_PAGES) == ALL
    for name in ALL:
        here = [(s.name, s.label, s.low, s.high, s.step, s.start, s.log)
                for s in notebook.EXPLORERS[name].sliders]  # fmt: skip
        there = [(c.name, c.label, c.low, c.high, c.step, c.start, c.log)
                 for c in ON_PAGES[name].controls]  # fmt: skip
        assert here == there, name


# What is drawn


@pytest.mark.parametrize(("alpha", "decay", "depth"), [(2, 1.0, 3), (0.5, 0.1, 4), (3, 10.0, 2)])
def test_the_theorem_is_that_of_the_library(alpha, decay, depth):
    left, right = draw("theorem", alpha=alpha, decay=decay, depth=depth)
    power = law(alpha)
    assert lines(left)["power s"].get_ydata() == as_drawn(power[0, 1:17])
    # One frequency alone, with D |b*|² = 1.
    one = power[0, 1:17].reshape(-1, 1, 1)
    r = [float(theory.predict_sensitivity(s, s, weight_decay=decay, depth=depth)) for s in one]
    assert lines(right)["network"].get_ydata() == as_drawn(r)
    mark = theory.threshold(1.0, weight_decay=decay, depth=depth, n_pixels=1)
    assert list(lines(left)["threshold"].get_ydata()) == pytest.approx([mark, mark])


def law(alpha):
    """Power (H, W) of images of variance 1, written out."""
    radius = fourier.radial_frequency((32, 32)).double()
    power = torch.where(radius > 0, radius.clamp(min=1) ** -float(alpha), 0.0)
    return power * 1024 / power.sum()


@pytest.mark.parametrize("n_images", [100, 100_000])
def test_at_depth_one_the_number_of_images_counts(n_images):
    left, right = draw("theorem", alpha=1, decay=0.1, depth=1, images=n_images)
    sample = {"weight_decay": 0.1, "n_images": n_images}
    expected = 32 * theory.predict_few_images(law(1), law(1) / 32, **sample)
    assert lines(right)["network"].get_ydata() == as_drawn(expected[0, 1:17])
    mark = theory.sample_decay(law(1), **sample)
    assert list(lines(left)["λ with few images"].get_ydata()) == pytest.approx([mark, mark])


def test_the_wave_is_a_cosine_and_its_dots_are_where_its_power_is():
    left, right = draw("wave", ky=3, kx=-2, phase=90)
    wave = torch.as_tensor(np.asarray(right.get_images()[0].get_array()))
    row, column = np.mgrid[:64, :64]
    expected = np.cos(2 * np.pi * (3 * row - 2 * column) / 64 + np.pi / 2)
    assert wave.numpy() == as_drawn(expected)
    power = fourier.fft2(wave).abs().square()
    loud = {(int(ky), int(kx)) for ky, kx in (power > 1e-6).nonzero()}
    dots = next(line for line in left.get_lines() if line.get_marker() == "o")
    places = zip(dots.get_ydata(), dots.get_xdata(), strict=True)
    assert loud == {(int(ky) % 64, int(kx) % 64) for ky, kx in places}


def test_the_field_is_that_of_the_library_and_lies_on_its_law():
    left, right = draw("field", alpha=1.5)
    field = images.gaussian_field(1, shape=(64, 64), alpha=1.5, seed=3)
    assert np.asarray(left.get_images()[0].get_array()) == as_drawn(field[0, 0])
    rings, law = (lines(right)[name].get_ydata() for name in ("rings", "law"))
    assert law[0] / law[7] == pytest.approx(8**1.5)
    assert np.log(np.asarray(rings)[3:] / law[3:]) == pytest.approx(np.zeros(29), abs=0.5)


def test_the_kernel_has_the_transfer_function_of_the_library():
    left, right = draw("kernel", w5=-1.0)
    taps = torch.tensor([1, 2, 1, 2, 4, -16, 1, 2, 1]) / 16
    layer = layers.CircularConv2d(1, 1, 3, bias=False).double().requires_grad_(False)
    layer.weight.copy_(taps.double().reshape(1, 1, 3, 3))
    size = layers.transfer_function(layer, (32, 32))[..., 0, 0].abs()
    shown = np.asarray(left.get_images()[0].get_array())
    assert shown == as_drawn(torch.fft.fftshift(size))
    assert lines(right)["along kx"].get_ydata() == as_drawn(size[0, :17])
    assert lines(right)["along ky"].get_ydata() == as_drawn(size[:17, 0])


def test_the_photograph_is_recoloured_by_the_library_and_keeps_its_variance():
    photo = images.shrink(images.photographs(["astronaut"])["astronaut"], 8)[None]
    powers = [
        fourier.fft2(x).abs().square().mean((0, 1)) for x in (photo, filters.recolor(photo, 1.0))
    ]
    before, after = (fourier.radial_average(power).mean[1:].numpy() for power in powers)
    _, right = draw("recolor", delta=1.0)
    drawn = {name: np.asarray(line.get_ydata()) for name, line in lines(right).items()}
    assert drawn["before"] == pytest.approx(before, rel=1e-4)
    ratio = drawn["now"] / after
    assert ratio == pytest.approx(np.full(len(ratio), ratio[0]), rel=1e-3)
    sums = [float(power.sum() - power[0, 0]) for power in powers]
    assert ratio[0] == pytest.approx(sums[0] / sums[1], rel=1e-3)


# Live


@pytest.mark.parametrize("name", ALL)
def test_a_slider_that_moves_draws_the_figure_anew(name):
    box = notebook.explorer(name)
    *sliders, picture = box.children
    assert isinstance(picture, ipywidgets.HTML) and len(sliders) == len(starts(name))
    assert [each.value for each in sliders] == pytest.approx(list(starts(name).values()))
    before = picture.value
    (moved,) = MOVED[name].items()
    sliders[list(starts(name)).index(moved[0])].value = moved[1]
    label = next(s.label for s in notebook.EXPLORERS[name].sliders if s.name == moved[0])
    assert picture.value != before
    assert f"{label} {moved[1]:g}" in re.search(r'alt="([^"]*)"', picture.value)[1]


def test_sliders_start_where_they_are_told():
    *sliders, _ = notebook.explorer("theorem", depth=2, decay=0.1).children
    assert [each.value for each in sliders] == pytest.approx([2, 0.1, 2, 1000])


@pytest.mark.parametrize(
    ("name", "start", "message"),
    [
        ("theorme", {}, "there are theorem, wave, field, kernel, recolor"),
        ("field", {"beta": 1}, "field has no slider 'beta'; it has alpha"),
        ("field", {"alpha": 9}, "alpha must be from 0 to 4, got 9"),
        ("theorem", {"decay": 0}, "decay must be from 0.01 to 100, got 0"),
    ],
)
def test_a_wrong_call_names_what_would_be_right(name, start, message):
    with pytest.raises(ValueError, match=message):
        notebook.explorer(name, **start)
    with pytest.raises(TypeError, match="alpha"):
        notebook.explorer("field", alpha="two")


def test_an_error_while_a_slider_moves_takes_the_place_of_the_figure(monkeypatch):
    slider, picture = notebook.explorer("field").children

    def fail(*_):
        raise RuntimeError("no <ink>")

    monkeypatch.setattr(explorers, "_draw_image", fail)
    with pytest.raises(RuntimeError):
        slider.value = 1.0
    assert picture.value == '<p role="alert">No figure: RuntimeError: no &lt;ink&gt;</p>'
