"""One wave: its place on the frequency plane, its picture, its length and direction."""

import math

import numpy as np

from freqsense import fourier

from .figure import Control, LiveFigure
from .panels import GREEN, RED, Axis, Panel, number

SIDE, REACH = 64, 16

PLACES = {k: number(k) for k in (-REACH, -REACH // 2, 0, REACH // 2, REACH)}
# The vertical axes grow downwards, as the rows of an image do.
ACROSS = Axis("kx (cycles/image)", -REACH - 1, REACH + 1, PLACES)
DOWN = Axis("ky (cycles/image)", REACH + 1, -REACH - 1, PLACES)
COLUMNS = Axis("column (pixels)", 0, SIDE, {0: "0", SIDE: str(SIDE)})
ROWS = Axis("row (pixels)", SIDE, 0, {0: "0", SIDE: str(SIDE)})


def draw(ky, kx, phase):
    """Draw the spikes of a wave and the wave."""
    length = math.hypot(ky, kx)
    plane = Panel("Frequency plane", ACROSS, DOWN, square=True)
    plane.curve("", [-REACH - 1, REACH + 1], [0, 0], stroke="#bbb", **{"stroke-width": 1})
    plane.curve("", [0, 0], [-REACH - 1, REACH + 1], stroke="#bbb", **{"stroke-width": 1})
    plane.curve("direction", [0, kx], [0, ky], stroke=RED)
    plane.dots("spikes", [kx, -kx], [ky, -ky], GREEN)

    picture = Panel("The wave", COLUMNS, ROWS, square=True)
    picture.image("wave", (1 + values(ky, kx, phase)) / 2)
    step = SIDE / length**2 / 2 if length else 0.0  # along ω, half a wavelength
    ends = np.array([-step, step])
    picture.curve("length", SIDE / 2 + ends * kx, SIDE / 2 + ends * ky, stroke=RED)
    return (plane, picture), describe(ky, kx, phase, length)


def values(ky, kx, phase):
    """Return the wave of amplitude 1 at each pixel, (H, W)."""
    mode = fourier.fourier_mode((SIDE, SIDE), int(ky), int(kx)).numpy() * SIDE
    return (mode * np.exp(1j * math.radians(phase))).real


def describe(ky, kx, phase, length):
    """Say where the spikes are and how the crests lie."""
    place = f"({number(ky)}, {number(kx)})"
    if length == 0:
        return f"ω = {place}, phase {number(phase)}°: no wave but a constant, and one spike, at DC."
    angle = (math.degrees(math.atan2(ky, kx)) + 180) % 180
    return (
        f"ω = {place}, phase {number(phase)}°: {number(length)} cycles/image. Crests are "
        f"{number(SIDE / length)} pixels apart, along a line turned {number(angle)}° clockwise "
        f"from the horizontal. Two spikes, at {place} and ({number(-ky)}, {number(-kx)})."
    )


WAVE = LiveFigure(
    (
        Control("ky", "ky, cycles down", -REACH, REACH, 1, 3),
        Control("kx", "kx, cycles across", -REACH, REACH, 1, 4),
        Control("phase", "phase", -180, 180, 15, 0, "°"),
    ),
    draw,
)
