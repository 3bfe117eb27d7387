"""A slider shows the figure of its value: on a page alone, and with a live kernel."""

import base64
import html
import io
import json
import re
import shutil
import sys

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from freqsense import notebook, plotting, widgets
from freqsense.notebook import sliders

IMAGE = re.compile(r'<img src="(data:image/[^"]+)" alt="([^"]*)"')


@pytest.fixture(autouse=True)
def no_open_figures():
    plt.close("all")
    yield
    assert plt.get_fignums() == []


@pytest.fixture
def static(monkeypatch):
    monkeypatch.setenv(notebook.STATIC_VARIABLE, "1")


@pytest.fixture
def live(monkeypatch):
    monkeypatch.delenv(notebook.STATIC_VARIABLE, raising=False)


def draw_line(slope):
    fig, ax = plt.subplots(figsize=(2, 1.5))
    ax.plot([0, 1], [0, float(slope)], linewidth=4)
    ax.set_ylim(-5, 5)
    return fig


def read_frame(address):
    """Pixels (H, W, 3) of a data: address."""
    kind, data = address.split(",")
    assert kind == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def embedded_frames(page):
    data = re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    return json.loads(data[1])


# What a slider holds


def test_each_frame_is_the_figure_of_its_value():
    slider = notebook.frame_slider(draw_line, [-4, 0, 4], label="slope")
    pixels = [read_frame(address) for address in slider.frames]
    assert all(frame.shape == (150, 200, 3) for frame in pixels) and slider.size == (200, 150)
    drawn = []
    for slope in (-4, 0, 4):
        fig = draw_line(slope)
        fig.canvas.draw()
        drawn.append(np.asarray(fig.canvas.buffer_rgba())[..., :3].astype(float))
        plt.close(fig)
    errors = [[np.sqrt(np.mean((a - b) ** 2)) for b in drawn] for a in pixels]
    assert max(np.diag(errors)) < 3 < min(errors[0][1], errors[0][2], errors[1][2])


def test_texts_name_value_and_unit():
    slider = notebook.frame_slider(draw_line, [-1, 0.1 + 0.2, 2], label="slope", unit="m/s")
    assert slider.texts == ("−1 m/s", "0.3 m/s", "2 m/s")
    assert slider.alts == ("slope = −1 m/s", "slope = 0.3 m/s", "slope = 2 m/s")


@pytest.mark.parametrize(
    "values", [np.array([1.0, 2.0]), torch.tensor([1.0, 2.0]), iter([1.0, 2.0]), range(1, 3)]
)
def test_values_may_come_in_any_sequence(values):
    seen = []

    def draw(value):
        seen.append(value)
        return draw_line(value)

    slider = notebook.frame_slider(draw, values, label="slope", start=2)
    assert seen == [1, 2] and all(type(value) in (int, float) for value in seen)
    assert slider.texts == ("1", "2") and slider.start == 1


def test_words_are_values_too():
    slopes = {"down": -1, "up": 1}
    slider = notebook.frame_slider(lambda word: draw_line(slopes[word]), slopes, label="line")
    assert slider.texts == ("down", "up")


def test_axes_do_for_a_figure():
    def draw(value):
        return draw_line(value).axes[0]

    def draw_in_subfigure(value):
        return plt.figure(figsize=(2, 1.5)).subfigures(1, 2)[1].subplots()

    expected = notebook.frame_slider(draw_line, [1], label="slope")
    assert notebook.frame_slider(draw, [1], label="slope") == expected
    assert notebook.frame_slider(draw_in_subfigure, [1], label="slope").size == (200, 150)


def test_transparent_figures_are_shown_on_white():
    def draw(value):
        return Figure(figsize=(1, 1), facecolor="none")

    (address,) = notebook.frame_slider(draw, [1], label="nothing").frames
    assert (read_frame(address) == 255).all()


def test_tight_saving_does_not_change_the_size_of_frames():
    with plt.rc_context({"savefig.bbox": "tight"}):
        assert notebook.frame_slider(draw_line, [1], label="slope").size == (200, 150)


def test_twelve_frames_take_less_than_half_a_megabyte():
    def draw(value):
        fig, axes = plt.subplots(1, 2)
        noise = torch.randn(64, 64, generator=torch.Generator().manual_seed(value))
        plotting.plot_image(axes[0], noise.cumsum(0).cumsum(1))
        axes[1].plot(noise[:3].T)
        return fig

    with plt.rc_context():
        plotting.use_theme()
        slider = notebook.frame_slider(draw, range(12), label="seed")
    assert slider.size == (640, 420)
    assert len(slider._repr_html_()) < 5e5


@pytest.mark.parametrize("photo", [True, False])
def test_compression_does_no_visible_harm(photo):
    if photo:
        from skimage.data import astronaut

        original = Image.fromarray(astronaut()[:256, :256])
    else:
        fig = draw_line(1)
        fig.canvas.draw()
        original = Image.fromarray(np.array(fig.canvas.buffer_rgba())).convert("RGB")
        plt.close(fig)
    error = read_frame(sliders._encode(original)).astype(float) - np.asarray(original)
    assert np.sqrt(np.mean(error**2)) < (8 if photo else sliders._PALETTE_ERROR)


# The page


def test_a_rebuilt_page_is_the_same():
    pages = [
        notebook.frame_slider(draw_line, [1, 2], label="slope")._repr_html_() for _ in range(2)
    ]
    assert pages[0] == pages[1]
    assert not re.search(r"\sid=", pages[0])  # nothing that a second slider could clash with


def test_the_start_is_shown_without_javascript():
    slider = notebook.frame_slider(draw_line, [1, 2, 3], label="slope", unit="px", start=2)
    page = slider._repr_html_()
    assert IMAGE.findall(page) == [(slider.frames[1], "slope = 2 px")]
    assert 'value="1"' in page and 'aria-valuetext="slope = 2 px"' in page
    assert re.search(r"<output[^>]*>2 px</output>", page)
    assert [frame["text"] for frame in embedded_frames(page)] == ["1 px", "2 px", "3 px"]


def test_the_page_asks_for_nothing_outside():
    page = notebook.frame_slider(draw_line, [1, 2], label="slope")._repr_html_()
    assert "http" not in page and "//" not in re.sub(r"base64,[^\"]+", "", page)
    assert set(re.findall(r'src(?:"?:\s*|=)"(\w+:)', page)) == {"data:"}


def test_texts_cannot_break_out_of_the_page():
    nasty = '"><script>alert(1)</script>&'
    slider = notebook.frame_slider(
        draw_line, [1, 2], label=nasty, unit=nasty, describe=lambda value: nasty
    )
    page = slider._repr_html_()
    assert page.count("<script") == page.count("</script") == 1
    assert embedded_frames(page)[1]["alt"] == nasty
    assert html.unescape(IMAGE.search(page)[2]) == nasty


def test_the_repr_has_no_pixels_in_it():
    assert len(repr(notebook.frame_slider(draw_line, [1, 2], label="slope"))) < 200


# Errors, before anything is drawn


def never_draw(value):
    raise AssertionError("drawn too early")


@pytest.mark.parametrize("make", [notebook.frame_slider, notebook.explore])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"values": []}, ValueError, "values must hold 1 to 60 values, got 0"),
        ({"values": range(61)}, ValueError, "values must hold 1 to 60 values, got 61"),
        ({"values": 3}, TypeError, "values must be a list of values, got 3"),
        ({"values": "abc"}, TypeError, "values must be a list of values, got 'abc'"),
        ({"draw": draw_line(1)}, TypeError, "draw must be a function of one value, got Figure"),
        ({"label": " "}, ValueError, "label must say what the slider varies"),
        ({"label": None}, TypeError, "label and unit must be strings, got None"),
        ({"unit": 1}, TypeError, "label and unit must be strings"),
        ({"describe": "text"}, TypeError, "describe must be a function of one value, got str"),
        ({"describe": str.strip}, TypeError, "strip"),
        ({"describe": lambda value: ""}, ValueError, "describe must return a text .* at 1"),
        ({"describe": lambda value: 7}, ValueError, "got 7 at 1"),
        ({"start": 3}, ValueError, r"start must be one of the values \[1, 2\], got 3"),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_drawn(live, make, arguments, error, message):
    arguments = {"draw": never_draw, "values": [1, 2], "label": "slope"} | arguments
    draw, values = arguments.pop("draw"), arguments.pop("values")
    with pytest.raises(error, match=message):
        make(draw, values, **arguments)


@pytest.mark.parametrize("make", [notebook.frame_slider, notebook.explore])
def test_what_is_no_figure_is_refused(live, make):
    def forget_to_return(value):
        draw_line(value)

    with pytest.raises(TypeError, match="must return a matplotlib figure or axes, got NoneType"):
        make(forget_to_return, [1], label="slope")


def test_frames_of_different_sizes_are_refused():
    def draw(value):
        return plt.figure(figsize=(value, 1))

    with pytest.raises(ValueError, match=r"\(100, 100\) pixels at 1 in and \(200, 100\) at 2 in"):
        notebook.frame_slider(draw, [1, 2], label="width", unit="in")


def test_a_failing_draw_leaves_no_figure_open_and_closes_no_other():
    mine = plt.figure()

    def draw(value):
        draw_line(value)
        raise RuntimeError("no such slope")

    with pytest.raises(RuntimeError, match="no such slope"):
        notebook.frame_slider(draw, [1], label="slope")
    notebook.frame_slider(draw_line, [1], label="slope")
    assert plt.get_fignums() == [mine.number]
    plt.close(mine)


# The one call of a chapter


def test_a_static_page_gets_the_frames_and_no_widget(static, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("a widget on the static page")

    monkeypatch.setattr(ipywidgets.Widget, "__init__", refuse)
    shown = notebook.explore(draw_line, [1, 2], label="slope", unit="px", start=2)
    assert shown == notebook.frame_slider(draw_line, [1, 2], label="slope", unit="px", start=2)
    assert not hasattr(shown, "_repr_mimebundle_")


def test_a_live_kernel_redraws_when_the_slider_moves(live):
    seen = []

    def draw(value):
        seen.append(value)
        return draw_line(value)

    def describe(value):
        return f"A line of slope {value} through 'zero'"

    box = notebook.explore(draw, [1, 2, 3], label="slope", unit="px", describe=describe, start=2)
    slider, figure = box.children
    assert isinstance(slider, ipywidgets.SelectionSlider) and not slider.continuous_update
    assert slider.description == "slope" and slider.label == "2 px" and seen == [2]
    frames = notebook.frame_slider(draw_line, [1, 2, 3], label="slope", describe=describe)
    for index in (2, 0):
        slider.index = index
        [(address, alt)] = IMAGE.findall(figure.value)
        assert address == frames.frames[index]
        assert html.unescape(alt) == describe(index + 1)
    assert seen == [2, 3, 1]


def test_a_live_slider_that_fails_shows_why_instead_of_the_old_figure(live):
    def draw(value):
        if value == 2:
            raise ValueError("slope <2> is missing")
        return draw_line(value)

    slider, figure = notebook.explore(draw, [1, 2, 3], label="slope").children
    with pytest.raises(ValueError, match="is missing"):
        slider.index = 1
    assert "<img" not in figure.value
    assert "ValueError: slope &lt;2&gt; is missing" in figure.value
    slider.index = 2
    assert IMAGE.search(figure.value)[2] == "slope = 3"


def test_a_live_slider_without_ipywidgets_names_the_extra(live, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)  # importing it fails
    with pytest.raises(ImportError, match=r"ipywidgets .* pip install 'freqsense\[notebook\]'"):
        notebook.explore(draw_line, [1, 2], label="slope")


def test_the_former_name_gives_the_same_objects():
    assert widgets.__all__ == sliders.__all__
    for name in widgets.__all__:
        assert getattr(widgets, name) is getattr(notebook, name) is getattr(sliders, name)


# In a browser

STYLE = {
    "light": "body { background: white; color: #222 }",
    "dark": "html { color-scheme: dark } body { background: #121212; color: #ced6dd }",
}
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api")
    flags = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield chromium
        chromium.close()


def write_page(folder, theme="light"):
    """A page with three sliders, the last two the same, all wider than a telephone."""

    def draw(value):
        fig, ax = plt.subplots(figsize=(6.4, 4.2))
        ax.plot([0, 1], [0, value])
        return fig

    slope = notebook.frame_slider(
        draw,
        [1, 2, 3],
        label="slope of the line that is drawn here",
        unit="cycles/image",
        describe=lambda value: f"A line of slope {value}",
    )
    twin = notebook.frame_slider(draw, [4, 5], label="other")
    body = "\n".join(slider._repr_html_() for slider in (slope, twin, twin))
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width">\
<title>Sliders</title><style>{STYLE[theme]}</style>'
    path = folder / "page.html"
    path.write_text(
        f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>', "utf-8"
    )
    return path


def state(page, number):
    """What slider number shows and says."""
    return (
        page.locator(".freqsense-slider")
        .nth(number)
        .evaluate(
            """box => {
            const image = box.querySelector('img'), input = box.querySelector('input');
            return {src: image.src, alt: image.alt, loaded: image.naturalWidth,
                    says: input.getAttribute('aria-valuetext'), value: input.value,
                    reads: box.querySelector('output').textContent};
        }"""
        )
    )


@pytest.mark.browser
@needs_chromium
def test_the_keyboard_moves_one_slider_and_nothing_is_fetched(browser, tmp_path):
    page = browser.new_page()
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text))
    page.goto(write_page(tmp_path).as_uri())
    before = [state(page, number) for number in range(3)]
    assert before[0]["says"] == "slope of the line that is drawn here = 1 cycles/image"

    slider = page.get_by_role("slider", name="slope of the line that is drawn here")
    slider.focus()
    page.keyboard.press("ArrowRight")
    after = state(page, 0)
    assert after["src"] != before[0]["src"] and after["loaded"] == 640
    assert after["alt"] == "A line of slope 2" and after["reads"] == "2 cycles/image"
    assert after["says"] == "slope of the line that is drawn here = 2 cycles/image"
    page.keyboard.press("End")
    assert state(page, 0)["alt"] == "A line of slope 3"
    page.keyboard.press("Home")
    assert state(page, 0) == before[0]
    assert [state(page, number) for number in (1, 2)] == before[1:]

    page.get_by_role("slider", name="other").nth(1).press("ArrowRight")
    assert state(page, 1) == before[1] and state(page, 2)["says"] == "other = 5"

    assert {url.split(":")[0] for url in requests} <= {"file", "data"}
    assert errors == []
    page.close()


@pytest.mark.browser
@needs_chromium
@pytest.mark.parametrize("theme", STYLE)
def test_a_telephone_shows_the_slider_without_scrolling_sideways(browser, tmp_path, theme):
    page = browser.new_page(viewport={"width": 360, "height": 640})
    page.goto(write_page(tmp_path, theme).as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    image = page.locator("img").first.bounding_box()
    assert image["width"] / image["height"] == pytest.approx(640 / 420, rel=0.01)
    slider = page.get_by_role("slider").first.bounding_box()
    assert slider["width"] > 150 and slider["height"] >= 24  # the least size of a target, WCAG 2.2
    colors = page.locator("output, label span").evaluate_all(
        "parts => parts.map(part => getComputedStyle(part).color)"
    )
    assert set(colors) == {page.evaluate("getComputedStyle(document.body).color")}
    page.close()


@pytest.mark.browser
@needs_chromium
def test_without_javascript_the_start_is_there(browser, tmp_path):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(write_page(tmp_path).as_uri())
    assert page.get_by_alt_text("A line of slope 1").is_visible()
    context.close()
