"""A Gaussian field of power |ω|^-α: how an exponent looks."""

import numpy as np
import torch

from freqsense import fourier, images

from .figure import Control, LiveFigure
from .panels import BLUE, RED, Axis, Panel, as_text, number
from .theorem import law_power

SIDE, SEED = 64, 3
SHAPE = (SIDE, SIDE)

# How fields look up to an exponent.
LOOKS = (
    (0.5, "noise, each pixel for itself"),
    (1.5, "grain"),
    (2.5, "clouds, as rough as photographs"),
    (99, "smooth hills"),
)

COLUMNS = Axis("column (pixels)", 0, SIDE, {0: "0", SIDE: str(SIDE)})
ROWS = Axis("row (pixels)", SIDE, 0, {0: "0", SIDE: str(SIDE)})
RADIUS = Axis(
    "radial frequency (cycles/image)", 0.9, 40, {1: "1", 4: "4", 16: "16", 32: "32"}, log=True
)
POWER = Axis("power", 1e-4, 1e4, {1e-4: "10⁻⁴", 1: "1", 1e4: "10⁴"}, log=True)


def make_noise():
    """Return white noise as bytes, 32 of them a standard deviation, 128 for zero: (H, W)."""
    noise = images.gaussian_field(1, shape=SHAPE, alpha=0.0, seed=SEED)[0, 0]
    return np.clip(np.round(32 * (noise.numpy() + 4)), 0, 255).astype(np.uint8)


NOISE = make_noise()


def draw(alpha):
    """Draw the field and its power, the law's and that of each ring."""
    law = law_power(SHAPE, alpha)
    transform = fourier.fft2(torch.as_tensor(NOISE / 32 - 4)) * law.sqrt()
    picture = Panel("A Gaussian field", COLUMNS, ROWS, square=True)
    picture.image("field", 0.5 + fourier.ifft2(transform).real.numpy() / 6)

    spectrum = Panel("Its power: law and rings", RADIUS, POWER)
    means = fourier.radial_average(transform.abs().square()).mean[1:]
    ks = np.array([1, SIDE / 2])
    spectrum.dots("rings", range(1, SIDE // 2 + 1), means.tolist(), BLUE)
    spectrum.curve("law", ks, float(law[0, 1]) * ks**-alpha, stroke=RED)
    return (picture, spectrum), describe(alpha, law)


def describe(alpha, law):
    """Say how the field looks and where its variance is."""
    look = next(words for end, words in LOOKS if alpha < end)
    coarse = float(law[fourier.radial_frequency(SHAPE) <= 4].sum() / law.numel())
    smaller = f"{number((SIDE / 2) ** alpha)} times smaller than" if alpha else "as large as"
    return (
        f"α = {number(alpha)}: {look}. At {SIDE // 2} cycles/image power is {smaller} at 1; on "
        f"average, waves of at most 4 cycles/image hold {number(100 * coarse)} % of the variance."
    )


FIELD = LiveFigure(
    (Control("alpha", "exponent α of power", 0, 4, 0.1, 2),),
    draw,
    data={"noise": as_text(NOISE), "looks": LOOKS},
)
