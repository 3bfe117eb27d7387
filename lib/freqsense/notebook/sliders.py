"""Sliders over figures: still frames on a static page, the same figure redrawn by a live kernel."""

import base64
import html
import io
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from freqsense._extras import extra

__all__ = ["MAX_FRAMES", "STATIC_VARIABLE", "FrameSlider", "explore", "frame_slider"]

# Set by the book's build before its kernels start: no reader of a static page has a kernel.
STATIC_VARIABLE = "FREQSENSE_STATIC"
MAX_FRAMES = 60

# Root-mean-square error, of 255, that a palette of 256 colours may bring into a frame: below it the
# two look alike, above it smooth photographs show steps.
_PALETTE_ERROR = 1.5

# The handler is an attribute: it needs no ids, so any number of sliders share a page, and it works
# where a page inserts HTML without running its scripts.
_HANDLER = """\
const box = this.closest('.freqsense-slider');
box.frames ??= JSON.parse(box.querySelector('script').textContent);
const frame = box.frames[this.value], image = box.querySelector('img');
image.src = frame.src;
image.alt = frame.alt;
box.querySelector('output').value = frame.text;
this.setAttribute('aria-valuetext', this.getAttribute('aria-label') + ' = ' + frame.text);"""


@dataclass(frozen=True)
class FrameSlider:
    """A slider over frames drawn beforehand; a notebook or a page shows it as HTML.

    texts : what the slider reads at each frame, value and unit
    alts : alternative text of each frame
    frames : each frame as a ``data:`` address
    size : (width, height) of every frame in pixels
    start : index of the frame shown first
    """

    label: str
    texts: tuple[str, ...]
    alts: tuple[str, ...]
    frames: tuple[str, ...] = field(repr=False)
    size: tuple[int, int]
    start: int

    def _repr_html_(self) -> str:
        """Return a native range input over embedded images: no kernel, no request."""
        label, start = html.escape(self.label), self.start
        parts = zip(self.frames, self.alts, self.texts, strict=True)
        frames = json.dumps([{"src": src, "alt": alt, "text": text} for src, alt, text in parts])
        picture = _image_tag(self.frames[start], self.alts[start], self.size)
        text = html.escape(self.texts[start])
        # A description may hold "</script>", which would end the data early.
        frames = frames.replace("<", "\\u003c")
        return f"""\
<div class="freqsense-slider" style="max-width:100%;margin:0.5em 0">
{picture}
<div style="display:flex;flex-wrap:wrap;align-items:center;gap:0.25em 0.75em;width:100%;\
max-width:{self.size[0]}px;margin:0 auto">
<label style="display:flex;flex:1 1 14em;flex-wrap:wrap;align-items:center;gap:0.25em 0.75em;\
min-width:0;margin:0"><span>{label}</span>
<input type="range" min="0" max="{len(self.frames) - 1}" step="1" value="{start}" \
autocomplete="off" aria-label="{label}" aria-valuetext="{label} = {text}" \
style="flex:1 1 10em;width:100%;min-width:0;min-height:2em;margin:0" \
oninput="{html.escape(_HANDLER)}"></label>
<output aria-live="off" style="min-width:5em">{text}</output>
</div>
<script type="application/json">{frames}</script>
</div>"""


def frame_slider(
    draw: Callable[[Any], Figure | Axes],
    values: Iterable[Any],
    *,
    label: str,
    unit: str = "",
    describe: Callable[[Any], str] | None = None,
    start: Any = None,
) -> FrameSlider:
    """Draw a figure at each value and put a slider over them that needs no kernel.

    Each figure is closed once it is drawn. Twelve frames of 640 by 420 pixels take about
    0.3 MB as plots or grey images, 0.5 to 0.65 MB as photographs in colour.

    Parameters
    ----------
    draw : function of one value that returns a matplotlib figure, or axes of one; all figures must
        have the same size.
    values : 1 to 60 values, in the order of the slider.
    label : what is varied; names the slider to the eye and to a screen reader.
    unit : unit of the values.
    describe : function of one value that returns the alternative text of its frame: what is to
        be seen there. Without it, the text is only "label = value unit".
    start : the value shown first, and the one that stays where JavaScript is off; None is the
        first of the values.

    Returns
    -------
    FrameSlider, shown when it is the last line of a cell.

    Raises
    ------
    TypeError, ValueError
        If there are no values or too many, an argument has the wrong type, ``start`` is not one of
        the values (all before the first frame is drawn), or ``draw`` returns anything but a figure.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from freqsense import notebook
    >>> def draw(width):
    ...     figure = Figure(figsize=(2, 1))
    ...     figure.subplots().axhline(0, linewidth=width)
    ...     return figure
    >>> notebook.frame_slider(draw, [1, 2, 4], label="line width", unit="pt").texts
    ('1 pt', '2 pt', '4 pt')
    """
    stops, first = _as_stops(draw, values, label, unit, describe, start)
    images = [_draw_image(draw, stop.value) for stop in stops]
    for stop, image in zip(stops, images, strict=True):
        if image.size != images[0].size:
            raise ValueError(
                f"draw must return figures of one size, got {images[0].size} pixels at "
                f"{stops[0].text} and {image.size} at {stop.text}"
            )
    return FrameSlider(
        label,
        tuple(stop.text for stop in stops),
        tuple(stop.alt for stop in stops),
        tuple(_encode(image) for image in images),
        images[0].size,
        first,
    )


def explore(
    draw: Callable[[Any], Figure | Axes],
    values: Iterable[Any],
    *,
    label: str,
    unit: str = "",
    describe: Callable[[Any], str] | None = None,
    start: Any = None,
) -> Any:
    """Put a slider over a figure: the one call that a chapter makes.

    On a static page (the environment variable ``FREQSENSE_STATIC`` is ``1``) it is that of
    :func:`frame_slider`. With a live kernel it is an ipywidgets box that draws the figure anew,
    with the same function, whenever the slider comes to rest.

    Parameters
    ----------
    draw, values, label, unit, describe, start : as for :func:`frame_slider`.

    Returns
    -------
    FrameSlider, or ``ipywidgets.VBox`` of a ``SelectionSlider`` and the ``HTML`` of the figure.

    Raises
    ------
    TypeError, ValueError
        As :func:`frame_slider` does. An error while the slider is moved is shown in place of the
        figure.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from freqsense import notebook
    >>> def draw(width):
    ...     figure = Figure(figsize=(2, 1))
    ...     figure.subplots().axhline(0, linewidth=width)
    ...     return figure
    >>> slider, figure = notebook.explore(draw, [1, 2], label="line width").children
    >>> slider.index = 1
    >>> "line width = 2" in figure.value
    True
    """
    if os.environ.get(STATIC_VARIABLE) == "1":
        return frame_slider(draw, values, label=label, unit=unit, describe=describe, start=start)
    stops, first = _as_stops(draw, values, label, unit, describe, start)
    return _live_explorer(draw, stops, first, label)


@dataclass(frozen=True)
class _Stop:
    """One position of a slider: its value, the text beside the slider and the frame's own."""

    value: Any
    text: str
    alt: str


def _as_stops(
    draw: object, values: object, label: object, unit: object, describe: object, start: object
) -> tuple[list[_Stop], int]:
    """Check all arguments before anything is drawn; the positions and the index of the first."""
    if not callable(draw):
        raise TypeError(f"draw must be a function of one value, got {type(draw).__name__}")
    if describe is not None and not callable(describe):
        raise TypeError(f"describe must be a function of one value, got {type(describe).__name__}")
    if not isinstance(label, str) or not isinstance(unit, str):
        raise TypeError(f"label and unit must be strings, got {label!r} and {unit!r}")
    if not label.strip():
        raise ValueError("label must say what the slider varies, got an empty one")
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"values must be a list of values, got {values!r}")
    # Elements of arrays and tensors become the Python numbers that they print as.
    values = [value.item() if hasattr(value, "item") else value for value in values]
    if not 1 <= len(values) <= MAX_FRAMES:
        raise ValueError(f"values must hold 1 to {MAX_FRAMES} values, got {len(values)}")
    if start is not None and start not in values:
        raise ValueError(f"start must be one of the values {values}, got {start!r}")
    texts = [" ".join([_value_text(value), unit]).strip() for value in values]
    alts = [f"{label} = {text}" for text in texts]
    if describe is not None:
        alts = [describe(value) for value in values]
    for text, alt in zip(texts, alts, strict=True):
        if not isinstance(alt, str) or not alt.strip():
            raise ValueError(f"describe must return a text for each value, got {alt!r} at {text}")
    stops = [_Stop(*stop) for stop in zip(values, texts, alts, strict=True)]
    return stops, 0 if start is None else values.index(start)


def _value_text(value: object) -> str:
    if isinstance(value, float):
        value = f"{value:.6g}"  # 0.1 + 0.2 reads 0.3
    text = str(value)
    return "\N{MINUS SIGN}" + text[1:] if text.startswith("-") else text


def _draw_image(draw: Callable[[Any], Figure | Axes], value: object) -> Image.Image:
    """Picture of draw(value) on white; no figure stays open, even if draw fails."""
    already_open = set(plt.get_fignums())
    try:
        drawn = draw(value)
        # Axes of a subfigure, then the whole figure.
        figure = drawn.figure.figure if isinstance(drawn, Axes) else drawn
        if not isinstance(figure, Figure):
            kind = type(drawn).__name__
            raise TypeError(f"draw must return a matplotlib figure or axes, got {kind} at {value}")
        # The pixels of the whole figure: a tight bounding box would differ from frame to frame.
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        picture = Image.fromarray(np.array(canvas.buffer_rgba()))  # (H, W, 4)
        plt.close(figure)
    finally:
        for number in set(plt.get_fignums()) - already_open:
            plt.close(number)
    page = Image.new("RGB", picture.size, "white")
    page.paste(picture, mask=picture.getchannel("A"))
    return page


def _encode(image: Image.Image) -> str:
    """Address that holds the picture itself, as a WebP: a third to an eighth of the PNG's size.

    A line plot comes out smallest in 256 colours, kept exactly; a photograph compressed with loss.
    """
    exact, lossy = io.BytesIO(), io.BytesIO()
    image.save(lossy, format="WEBP", quality=90)
    plain = image.quantize(256, kmeans=1, dither=Image.Dither.NONE).convert("RGB")
    plain.save(exact, format="WEBP", lossless=True)
    error = np.asarray(plain, float) - np.asarray(image, float)
    harmless = np.sqrt(np.mean(error**2)) <= _PALETTE_ERROR
    smaller = len(exact.getvalue()) <= len(lossy.getvalue())
    chosen = exact if harmless and smaller else lossy
    return "data:image/webp;base64," + base64.b64encode(chosen.getvalue()).decode("ascii")


def _image_tag(address: str, alt: str, size: tuple[int, int]) -> str:
    width, height = size
    return (
        f'<img src="{address}" alt="{html.escape(alt)}" width="{width}" height="{height}" '
        'style="display:block;max-width:100%;height:auto;margin:0 auto">'
    )


def _live_explorer(
    draw: Callable[[Any], Figure | Axes], stops: list[_Stop], first: int, label: str
) -> Any:
    """Slider and figure for a live kernel."""
    with extra("notebook"):
        import ipywidgets  # only a live notebook needs it

    def show(stop: _Stop) -> str:
        image = _draw_image(draw, stop.value)
        return _image_tag(_encode(image), stop.alt, image.size)

    slider = ipywidgets.SelectionSlider(
        options=[(stop.text, position) for position, stop in enumerate(stops)],
        value=first,
        description=label,
        continuous_update=False,
        style={"description_width": "initial"},
        layout={"width": "100%", "max_width": "640px"},
    )
    figure = ipywidgets.HTML(show(stops[first]))

    def redraw(change: dict) -> None:
        try:
            figure.value = show(stops[change["new"]])
        except Exception as error:
            # A kernel hides errors of callbacks, and the old figure would pass for the new one.
            reason = html.escape(f"{type(error).__name__}: {error}")
            figure.value = f'<p role="alert">No figure: {reason}</p>'
            raise

    slider.observe(redraw, names="value")
    return ipywidgets.VBox([slider, figure])
