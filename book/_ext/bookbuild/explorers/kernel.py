"""Nine taps of a kernel, and the size of its transfer function at each frequency."""

import math

import torch

from freqsense import layers

from .figure import Control, LiveFigure
from .panels import BLUE, RED, Axis, Panel, number

SIDE = 32
END = SIDE // 2
SHAPE = (SIDE, SIDE)
PLACES = ("above left", "above", "above right", "left", "middle", "right",
          "below left", "below", "below right")  # fmt: skip
BLUR = (1 / 16, 1 / 8, 1 / 16, 1 / 8, 1 / 4, 1 / 8, 1 / 16, 1 / 8, 1 / 16)
EDGE = (0, 0, 0, -1 / 2, 0, 1 / 2, 0, 0, 0)
SHARPEN = (0, -1, 0, -1, 5, -1, 0, -1, 0)

TICKS = {k: number(k) for k in (-END, 0, END)}
# Each pixel of the map is a frequency; the vertical axis grows downwards, as in an image.
ACROSS = Axis("kx (cycles/image)", -END - 0.5, END - 0.5, TICKS)
DOWN = Axis("ky (cycles/image)", END - 0.5, -END - 0.5, TICKS)
ALONG = Axis("frequency (cycles/image)", 0, END, {0: "0", END // 2: "8", END: "16"})


def draw(**taps):
    """Draw |T| on the frequency plane and along its axes, on 32 x 32 pixels."""
    size = transfer_size(list(taps.values()))
    largest = float(size.max())
    top = round_up(largest)
    plane = Panel(f"|T|: black 0, white {number(top)}", ACROSS, DOWN, square=True)
    plane.image("size", torch.fft.fftshift(size).numpy() / top)

    height = Axis("|T|", 0, 1, {k / 2: number(k * top / 2) for k in range(3)})
    slices = Panel("Along the axes: kx solid, ky dashed", ALONG, height)
    ks = range(END + 1)
    slices.curve("across", ks, (size[0, : END + 1] / top).tolist(), stroke=BLUE)
    slices.curve("down", ks, (size[: END + 1, 0] / top).tolist(), stroke=RED,
                 **{"stroke-dasharray": "6 4"})  # fmt: skip
    return (plane, slices), describe(size)


def round_up(largest):
    """Return 1, 2 or 5 times a power of ten, the end of an axis.

    >>> round_up(9.0), round_up(0.2), round_up(1e-17)
    (10.0, 0.2, 1.0)
    """
    if largest < 1e-9:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(largest))
    return next(k * unit for k in (1, 2, 5, 10) if k * unit >= largest * (1 - 1e-9))


def transfer_size(taps):
    """Return |T| at each frequency, (H, W), of a kernel of 3 x 3 taps."""
    layer = layers.CircularConv2d(1, 1, 3, bias=False).double().requires_grad_(False)
    layer.weight.copy_(torch.tensor(taps, dtype=torch.float64).reshape(1, 1, 3, 3))
    return layers.transfer_function(layer, SHAPE)[..., 0, 0].abs()


def describe(size):
    """Say what the kernel does to DC and to the finest waves."""
    ends = ((0, 0), (0, END), (END, 0), (END, END))
    dc, upright, level, checks = (number(float(size[place])) for place in ends)
    return (
        f"|T| is {dc} at DC, {upright} at the finest upright stripes, (0, {END}), {level} at the "
        f"finest level ones, ({END}, 0), and {checks} at the finest checkerboard, ({END}, {END}); "
        f"its largest value is {number(float(size.max()))}."
    )


def named(taps):
    """Return the taps under the names of their sliders."""
    return {f"w{number}": tap for number, tap in enumerate(taps)}


KERNEL = LiveFigure(
    tuple(
        Control(name, place, -1, 5, 1 / 16, tap)
        for (name, tap), place in zip(named(BLUR).items(), PLACES, strict=True)
    ),
    draw,
    presets={"blur": named(BLUR), "edge": named(EDGE), "sharpen": named(SHARPEN)},
)
