"""A photograph recoloured: its amplitudes multiplied by |ω|^δ, its phases kept."""

import torch

from freqsense import filters, fourier, images, sensitivity

from .field import COLUMNS, RADIUS, ROWS, SIDE
from .figure import Control, LiveFigure
from .panels import BLACK, BLUE, Axis, Panel, as_bytes, as_text, number

FACTOR = 8  # by which the photograph is shrunk to SIDE pixels
FIT_TO = 16  # last ring of the slope of power, in cycles/image

# How the photograph looks up to an exponent.
LOOKS = (
    (-0.25, "softened, as if out of focus"),
    (0.25, "nearly as taken"),
    (0.75, "crisper"),
    (1.25, "hard outlines on flat areas"),
    (99, "outlines and grain alone"),
)

POWER = Axis("power", 1e-6, 100, {1e-6: "10⁻⁶", 1e-4: "10⁻⁴", 0.01: "0.01", 1: "1"}, log=True)


def load_photo():
    """Return the photograph as bytes, (H, W, 3)."""
    photo = images.shrink(images.photographs(["astronaut"])["astronaut"], FACTOR)  # (3, H, W)
    return as_bytes(photo.permute(1, 2, 0).numpy())


PHOTO = load_photo()


def draw(delta):
    """Draw the recoloured photograph at its old variance, and its power before and after."""
    photo = torch.as_tensor(PHOTO / 255).permute(2, 0, 1)[None]  # (1, 3, H, W)
    recolored = filters.recolor(photo, delta)
    mean = photo.mean((-2, -1), keepdim=True)
    scale = (photo - mean).square().sum() / (recolored - mean).square().sum()
    scaled = mean + scale.sqrt() * (recolored - mean)
    picture = Panel("The photograph", COLUMNS, ROWS, square=True)
    picture.image("photo", scaled[0].permute(1, 2, 0).numpy())

    before, after = ring_power(photo), ring_power(scaled)
    spectrum = Panel("Its power: before dashed, now solid", RADIUS, POWER)
    ks = range(1, SIDE // 2 + 1)
    dashes = {"stroke-dasharray": "6 4"}
    spectrum.curve("before", ks, before.mean[1:].tolist(), stroke=BLACK, **dashes)
    spectrum.curve("power", ks, after.mean[1:].tolist(), stroke=BLUE)
    return (picture, spectrum), describe(delta, before, after)


def ring_power(photo):
    """Return the mean power of each ring and over channels, DC included."""
    return fourier.radial_average(fourier.fft2(photo).abs().square().mean((0, 1)))


def describe(delta, before, after):
    """Say how the photograph looks and how its power falls."""
    look = next(words for end, words in LOOKS if delta < end)
    was, is_now = (number(sensitivity.slope(p, 1, FIT_TO).slope) for p in (before, after))
    return (
        f"δ = {number(delta)}: {look}. From 1 to {FIT_TO} cycles/image the slope of log power is "
        f"{is_now}; that of the photograph is {was}."
    )


RECOLOR = LiveFigure(
    (Control("delta", "exponent δ of the gain", -1, 2, 0.1, 0.5),),
    draw,
    data={"photo": as_text(PHOTO), "looks": LOOKS},
)
