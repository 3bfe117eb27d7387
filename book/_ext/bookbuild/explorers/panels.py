"""Plots of the live figures as SVG, on axes that the page's script reads and keeps."""

import base64
import html
import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

# The blue, green, black, vermilion and purple of Okabe and Ito, as in freqsense.plotting.
BLUE, GREEN, BLACK, RED, PURPLE = "#0072B2", "#009E73", "#000000", "#D55E00", "#CC79A7"

WIDTH, HEIGHT = 340, 280
LEFT, TOP, RIGHT, BOTTOM = 58, 28, 12, 44


def number(value, digits=3):
    """Write a number with three significant digits, without exponent.

    >>> number(0.04), number(-12.34), number(1024), number(1e-9)
    ('0.04', '\u221212.3', '1,020', '0')
    """
    if abs(value) < 5e-7:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    text = f"{float(f'%.{digits}g' % value):,.{max(decimals, 0)}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace("-", "\N{MINUS SIGN}")


@dataclass(frozen=True)
class Axis:
    """One axis: its label, the values at its ends, where its ticks are, and whether it is log."""

    label: str
    low: float
    high: float
    ticks: dict
    log: bool = False

    def place(self, value):
        """Return where a value lies, from 0 at the low end to 1 at the high one.

        >>> Axis("", 1, 100, {}, log=True).place(10), Axis("", 0, 4, {}).place(9)
        (0.5, 1.0)
        """
        low, high = self.low, self.high
        if self.log:
            value, low, high = math.log10(max(value, 1e-300)), math.log10(low), math.log10(high)
        return min(max((value - low) / (high - low), 0.0), 1.0)

    def __str__(self):
        return f"{'log' if self.log else 'linear'} {self.low:g} {self.high:g}"


class Panel:
    """One plot; what has a name is what the page's script draws anew."""

    def __init__(self, title, x, y, *, square=False):
        self.title, self.x, self.y = title, x, y
        self.height = HEIGHT - TOP - BOTTOM
        self.width = self.height if square else WIDTH - LEFT - RIGHT
        self.left = (WIDTH - self.width) / 2 if square else LEFT
        self.marks = []

    def at(self, x, y):
        """Return the place of a pair of values in the drawing."""
        across = self.left + self.width * self.x.place(x)
        return across, TOP + self.height * (1 - self.y.place(y))

    def curve(self, name, xs, ys, **style):
        """Draw a line through points."""
        points = ("{:.2f} {:.2f}".format(*self.at(x, y)) for x, y in zip(xs, ys, strict=True))
        path = "L".join(points)
        style = {"fill": "none", "stroke-width": 2.2, "d": path and f"M{path}"} | style
        self.marks.append(tag("path", name, style))

    def dots(self, name, xs, ys, color):
        """Draw dots at points: lines of no length with round ends."""
        points = ("M{:.2f} {:.2f}h0".format(*self.at(x, y)) for x, y in zip(xs, ys, strict=True))
        style = {"stroke": color, "stroke-width": 7, "stroke-linecap": "round"}
        self.marks.append(tag("path", name, style | {"d": "".join(points)}))

    def image(self, name, levels):
        """Fill the plot with a picture of levels from 0 to 1, (H, W) or (H, W, 3)."""
        picture, file = Image.fromarray(as_bytes(levels)), io.BytesIO()
        picture.save(file, format="PNG")
        address = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
        place = {"x": self.left, "y": TOP, "width": self.width, "height": self.height}
        style = {"preserveAspectRatio": "none", "href": address}
        self.marks.append(tag("image", name, place | style))

    def text(self, name, x, y, words, **style):
        """Write words at a place of the drawing, in its own units."""
        style = {"x": x, "y": y, "fill": BLACK} | style
        self.marks.append(tag("text", name, style, words))

    def svg(self):
        """Return the drawing as text; what it shows is said in a sentence beside it."""
        plot = f"{self.left:g} {TOP} {self.width:g} {self.height}"
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(self.title)}"'
            f' data-plot="{plot}" data-x="{self.x}" data-y="{self.y}">'
            + "".join([self._title(), *self.marks, self._frame()])
            + "</svg>"
        )

    def _title(self):
        style = {"x": self.left + self.width / 2, "y": 18, "text-anchor": "middle"}
        return tag("text", "title", style, self.title)

    def _frame(self):
        """Return axes, ticks and labels."""
        bottom, right = TOP + self.height, self.left + self.width
        lines = f"M{self.left:g} {TOP}V{bottom}H{right:g}"
        words = []
        for value, label in self.x.ticks.items():
            across, _ = self.at(value, self.y.low)
            lines += f"M{across:.1f} {bottom}v4"
            words.append(_tick("x-tick", across, bottom + 17, label, "middle"))
        for value, label in self.y.ticks.items():
            _, down = self.at(self.x.low, value)
            lines += f"M{self.left:g} {down:.1f}h-4"
            words.append(_tick("y-tick", self.left - 7, down + 4, label, "end"))
        middle = TOP + self.height / 2
        labels = [
            ({"x": self.left + self.width / 2, "y": HEIGHT - 8}, self.x.label),
            ({"transform": f"translate({self.left - 43:g} {middle}) rotate(-90)"}, self.y.label),
        ]
        words += [
            tag("text", "", place | {"text-anchor": "middle"}, name) for place, name in labels
        ]
        return tag("path", "", {"d": lines, "fill": "none", "stroke": BLACK}) + "".join(words)


def _tick(name, x, y, label, anchor):
    style = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "font-size": 12}
    return tag("text", name, style, label)


def as_bytes(levels):
    """Return levels from 0 to 1 as bytes, those beyond cut off.

    >>> as_bytes([-1, 0.5, 1]).tolist()
    [0, 128, 255]
    """
    return np.floor(255 * np.clip(levels, 0, 1) + 0.5).astype(np.uint8)


def as_text(levels):
    """Return bytes as text, the first of them the first of the image."""
    return base64.b64encode(np.ascontiguousarray(levels, np.uint8).tobytes()).decode("ascii")


def tag(element, name, attributes, content=""):
    """Write an SVG element.

    >>> tag("text", "mark", {"x": 1}, "a < b")
    '<text data-name="mark" x="1">a &lt; b</text>'
    """
    named = {"data-name": name} if name else {}
    pairs = (f' {key}="{html.escape(str(value))}"' for key, value in (named | attributes).items())
    return f"<{element}{''.join(pairs)}>{html.escape(content)}</{element}>"
