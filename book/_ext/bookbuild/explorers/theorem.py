"""The sensitivity theorem: power and sensitivity against frequency, at any α, λ and depth."""

import math

import numpy as np
import torch

from freqsense import fourier, theory

from .figure import Control, LiveFigure
from .panels import BLACK, BLUE, PURPLE, RED, Axis, Panel, number

SIDE = 32
LOWEST = 1e-4  # sensitivity on its logarithmic axis

RADIUS = Axis("radial frequency (cycles/image)", 1, SIDE / 2, {1: "1", 4: "4", 16: "16"}, log=True)
POWER = Axis("power s", 0.01, 1000, {0.01: "0.01", 1: "1", 100: "100"}, log=True)
ANSWER = Axis("r / |b*|", LOWEST, 3, {1e-4: "10⁻⁴", 0.01: "0.01", 1: "1"}, log=True)


def draw(alpha, decay, depth, images):
    """Draw power and sensitivity on images of a power law, in units where D |b*|² = 1."""
    depth, power = int(depth), law_power((SIDE, SIDE), alpha)
    strength = float(power[0, 1])  # at one cycle/image
    ks = np.geomspace(1, SIDE / 2, 161)
    threshold = theory.threshold(1.0, weight_decay=decay, depth=depth, n_pixels=1)
    edge = edge_of(strength, threshold, alpha)
    sample = {"weight_decay": decay, "n_images": round(images)}
    mark = threshold or theory.sample_decay(power, **sample)
    panels = draw_power(strength * ks**-alpha, ks, mark, depth, edge)
    if depth == 1:
        ks, r = few_images_answer(power, sample)
        words = describe_few(alpha, power, mark, sample)
    else:
        r = answer(strength * ks**-alpha, decay, depth)
        words = describe(alpha, decay, depth, power)
    return (panels, draw_answer(ks[ks < edge], r[ks < edge], depth, edge)), words


def few_images_answer(power, sample):
    """Return the radial frequencies of the grid, each once, and r / |b*| there, at depth 1."""
    r = SIDE * theory.predict_few_images(power, power / SIDE, **sample).flatten()
    radius = fourier.radial_frequency((SIDE, SIDE)).flatten().numpy()
    order = np.argsort(radius, kind="stable")
    order = order[(radius[order] > 1 - 1e-9) & (radius[order] < SIDE / 2 + 1e-9)]
    first = order[np.diff(radius[order], prepend=0) > 1e-9]
    return radius[first], r[first]


def law_power(shape, alpha):
    """Return power |ω|^-α without DC, (H, W), for images of unit pixel variance."""
    radius = fourier.radial_frequency(shape)
    power = torch.where(radius > 0, radius.where(radius > 0, 1.0) ** -alpha, 0.0)
    return power * power.numel() / power.sum()


def answer(power, decay, depth):
    """Return r / |b*| for a list of powers, of a white teacher with D |b*|² = 1."""
    grid = torch.as_tensor(power, dtype=torch.float64).flatten()[:, None, None]  # one pixel each
    return theory.predict_sensitivity(grid, grid, weight_decay=decay, depth=depth).flatten()


def edge_of(strength, threshold, alpha):
    """Return the radial frequency from which on power lies below the threshold."""
    if threshold == 0:
        return math.inf
    if alpha == 0:
        return math.inf if strength > threshold else 0.0
    return (strength / threshold) ** (1 / alpha)


def draw_power(power, ks, mark, depth, edge):
    """Draw the power of the images, and the power at which sensitivity ends or is half."""
    panel = Panel("Power of the images", RADIUS, POWER)
    shade_silence(panel, edge)
    panel.curve("mark", [1, SIDE / 2], [mark, mark], stroke=BLACK, **{"stroke-dasharray": "6 4"})
    panel.curve("power", ks, power, stroke=BLUE)
    words = "dashed: λ with N images" if depth == 1 else "dashed: threshold s*"
    panel.text("marked", 326, 44, words, **{"text-anchor": "end"})
    return panel


def draw_answer(ks, r, depth, edge):
    """Draw the teacher and the network's sensitivity, which ends at the edge."""
    panel = Panel("Sensitivity of the network", RADIUS, ANSWER)
    shade_silence(panel, edge)
    jump = theory.jump(1.0, depth)
    drops = 1 < edge < SIDE / 2
    panel.curve("teacher", [1, SIDE / 2], [1, 1], stroke=PURPLE, **{"stroke-dasharray": "2 4"})
    panel.curve("drop", [edge] * 2 * drops, [jump, LOWEST] * drops, stroke=RED,
                **{"stroke-dasharray": "6 4"})  # fmt: skip
    panel.curve("sensitivity", [*ks, *[edge] * drops], [*r, *[jump] * drops], stroke=RED)
    panel.text("", 326, 44, "dotted: teacher", **{"text-anchor": "end"})
    return panel


def shade_silence(panel, edge):
    """Shade the frequencies to which the network has no sensitivity."""
    first, last, y = min(max(edge, 1), SIDE / 2), SIDE / 2, panel.y
    panel.curve("off", [first, last, last, first], [y.high, y.high, y.low, y.low], fill="#e6e6e6")


def describe(alpha, decay, depth, power):
    """Say what the two panels show, from depth 2 on."""
    off = int((answer(power, decay, depth)[1:] == 0).sum())  # DC has no power
    strength = float(power[0, 1])
    shares = answer([strength, strength * 8.0**-alpha], decay, depth).tolist()
    return head(depth, decay, alpha, shares) + f"Switched off: {off:,} of {SIDE**2 - 1:,} waves."


def describe_few(alpha, power, acting, sample):
    """Say what the two panels show, at depth 1."""
    r = SIDE * theory.predict_few_images(power, power / SIDE, **sample)
    opening = head(1, sample["weight_decay"], alpha, (float(r[0, 1]), float(r[0, 8])))
    return f"{opening}From {sample['n_images']:,} images; λ acts as {number(acting)}."


def head(depth, decay, alpha, shares):
    """Say where the sliders stand, and the sensitivity at two frequencies."""
    smaller = f"{number(8.0**alpha)} times smaller" if alpha else "as large"
    return (
        f"Depth {depth}, λ = {number(decay)}, α = {number(alpha)}: the network has "
        f"{number(shares[0])} of its teacher's sensitivity at 1 cycle/image and "
        f"{number(shares[1])} at 8, where power is {smaller}. "
    )


THEOREM = LiveFigure(
    (
        Control("alpha", "exponent α of power", 0, 3, 0.1, 2),
        Control("decay", "weight decay λ", -2, 2, 0.1, 1, log=True),
        Control("depth", "depth L", 1, 4, 1, 3),
        Control("images", "number of images N", 2, 5, 0.1, 1000, log=True),
    ),
    draw,
    data={"only": {"images": {"when": {"depth": 1}, "unless": "depth 1 only"}}},
)
