"""The live figures of the book's pages, in a notebook: the same sliders, drawn by a live kernel."""

import html
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure

from freqsense import filters, fourier, images, layers, theory
from freqsense._checks import as_real
from freqsense._extras import extra
from freqsense.notebook.sliders import _draw_image, _encode, _image_tag

__all__ = ["EXPLORERS", "Explorer", "Slider", "explorer"]

_BLUE, _VERMILLION, _GREEN, _PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
_RADIUS = "radial frequency (cycles/image)"


@dataclass(frozen=True)
class Slider:
    """One slider and where it starts; on a log scale ``low``, ``high`` and ``step`` are powers."""

    name: str
    label: str
    low: float
    high: float
    step: float
    start: float
    log: bool = False

    def check(self, value: object) -> float:
        """Return a value as a number; a ValueError names the ends that it is beyond."""
        number = as_real(value, self.name)
        low, high = (10**end if self.log else end for end in (self.low, self.high))
        if not low <= number <= high:
            raise ValueError(f"{self.name} must be from {low:g} to {high:g}, got {number:g}")
        return number


@dataclass(frozen=True)
class Explorer:
    """The sliders of a live figure, and the function of their values that draws it."""

    sliders: tuple[Slider, ...]
    draw: Callable[..., Figure]


def explorer(name: str, **start: float) -> Any:
    """Show a live figure of the book: sliders, and a picture that follows them.

    The page of the book computes it in the browser; here the library draws it.

    Parameters
    ----------
    name : ``"theorem"``, ``"wave"``, ``"field"``, ``"kernel"`` or ``"recolor"``.
    start : values at which sliders start, by the name of the slider.

    Returns
    -------
    ``ipywidgets.VBox`` of the sliders and the ``HTML`` of the picture.

    Raises
    ------
    ValueError
        If there is no such figure or slider (the error names those there are), or a value is
        beyond the ends of its slider.
    TypeError
        If a value is no number.

    Examples
    --------
    >>> from freqsense import notebook
    >>> *sliders, picture = notebook.explorer("theorem", alpha=2, depth=3).children
    >>> [slider.value for slider in sliders]
    [2.0, 1.0, 3.0, 1000.0]
    >>> sliders[0].value = 1.0
    >>> "exponent α of power 1" in picture.value
    True
    """
    if name not in EXPLORERS:
        raise ValueError(f"no explorer {name!r}; there are {', '.join(EXPLORERS)}")
    found = EXPLORERS[name]
    known = {slider.name: slider for slider in found.sliders}
    for other in start:
        if other not in known:
            raise ValueError(f"{name} has no slider {other!r}; it has {', '.join(known)}")
    values = {each.name: each.check(start.get(each.name, each.start)) for each in found.sliders}
    with extra("notebook"):
        import ipywidgets  # only a live notebook needs it

    moved = {key: _widget(ipywidgets, known[key], value) for key, value in values.items()}
    picture = ipywidgets.HTML(_picture(found, values))

    def redraw(_: dict) -> None:
        try:
            picture.value = _picture(found, {key: each.value for key, each in moved.items()})
        except Exception as error:
            # A kernel hides errors of callbacks, and the old picture would pass for the new one.
            reason = html.escape(f"{type(error).__name__}: {error}")
            picture.value = f'<p role="alert">No figure: {reason}</p>'
            raise

    for each in moved.values():
        each.observe(redraw, names="value")
    return ipywidgets.VBox([*moved.values(), picture])


def _widget(ipywidgets: Any, slider: Slider, value: float) -> Any:
    kind = ipywidgets.FloatLogSlider if slider.log else ipywidgets.FloatSlider
    return kind(
        value=value,
        min=slider.low,
        max=slider.high,
        step=slider.step,
        description=slider.label,
        continuous_update=False,
        readout_format=".3g",
        style={"description_width": "initial"},
        layout={"width": "100%", "max_width": "640px"},
    )


def _picture(found: Explorer, values: dict[str, float]) -> str:
    """Draw the figure as an image with its text alternative."""
    image = _draw_image(lambda each: found.draw(**each), values)
    parts = [f"{slider.label} {values[slider.name]:g}" for slider in found.sliders]
    return _image_tag(_encode(image), "Figure at " + ", ".join(parts), image.size)


def _panels() -> tuple[Figure, Any]:
    figure = Figure(figsize=(7, 3.3), layout="constrained")
    return figure, figure.subplots(1, 2)


def _draw_theorem(
    alpha: float, decay: float, depth: float, images: float, side: int = 32
) -> Figure:
    """Power and threshold; sensitivity to a white teacher, in units where D |b*|² = 1."""
    levels, ks, b = int(depth), range(1, side // 2 + 1), 1 / side
    power = _law((side, side), alpha)
    if levels == 1:  # the number of images counts at depth 1 alone
        n = round(images)
        r = theory.predict_few_images(power, power * b, weight_decay=decay, n_images=n) / b
        mark = theory.sample_decay(power, weight_decay=decay, n_images=n)
    else:
        r = theory.predict_sensitivity(power, power * b, weight_decay=decay, depth=levels) / b
        mark = float(theory.threshold(b, weight_decay=decay, depth=levels, n_pixels=side**2))
    figure, (left, right) = _panels()
    left.loglog(ks, power[0, 1 : side // 2 + 1], color=_BLUE, label="power s")
    left.axhline(
        mark, color="k", ls="--", label="λ with few images" if levels == 1 else "threshold"
    )
    right.loglog(ks, r[0, 1 : side // 2 + 1], "o-", color=_VERMILLION, ms=3, label="network")
    right.axhline(1, color=_PURPLE, ls=":", label="teacher")
    right.set(ylim=(1e-4, 3), title="Sensitivity of the network", ylabel="r / |b*|")
    left.set(ylim=(1e-2, 1e3), title="Power of the images", ylabel="power")
    for ax in (left, right):
        ax.set_xlabel(_RADIUS)
        ax.legend()
    return figure


def _law(shape: tuple[int, int], alpha: float) -> torch.Tensor:
    """Power |ω|^-α without DC, (H, W), of images of variance 1."""
    gains = filters.recolor(_impulse(shape), -alpha / 2)  # amplitudes |ω|^(-α/2)
    power = fourier.fft2(gains)[0, 0].abs().square()
    power[0, 0] = 0
    return power * power.numel() / power.sum()


def _impulse(shape: tuple[int, int]) -> torch.Tensor:
    """One pixel, (1, 1, H, W): the same amplitude at every frequency."""
    image = torch.zeros(1, 1, *shape, dtype=torch.float64)
    image[..., 0, 0] = 1
    return image


def _draw_wave(ky: float, kx: float, phase: float, side: int = 64) -> Figure:
    """The two dots of a wave on the frequency plane, and the wave."""
    mode = fourier.fourier_mode((side, side), int(ky), int(kx)) * side
    wave = (mode * complex(math.cos(math.radians(phase)), math.sin(math.radians(phase)))).real
    figure, (left, right) = _panels()
    left.axhline(0, color="0.7", lw=1)
    left.axvline(0, color="0.7", lw=1)
    left.plot([kx, -kx], [ky, -ky], "o", color=_GREEN)
    left.plot([0, kx], [0, ky], color=_VERMILLION)
    left.set(xlim=(-17, 17), ylim=(17, -17), aspect="equal", title="Frequency plane")
    left.set(xlabel="kx (cycles/image)", ylabel="ky (cycles/image)")
    right.imshow(wave.numpy(), cmap="gray", vmin=-1, vmax=1)
    right.set(title="The wave", xlabel="column (pixels)", ylabel="row (pixels)")
    return figure


def _draw_field(alpha: float, side: int = 64) -> Figure:
    """A Gaussian field of power |ω|^-α, and its power in rings beside the law."""
    field = images.gaussian_field(1, shape=(side, side), alpha=alpha, seed=3)
    figure, (left, right) = _panels()
    left.imshow(field[0, 0].numpy(), cmap="gray", vmin=-3, vmax=3)
    left.set(title="A Gaussian field", xlabel="column (pixels)", ylabel="row (pixels)")
    rings = fourier.radial_average(fourier.fft2(field)[0, 0].abs().square())
    ks = range(1, side // 2 + 1)
    right.loglog(rings.frequency[1:], rings.mean[1:], "o", color=_BLUE, ms=3, label="rings")
    right.loglog(ks, _law((side, side), alpha)[0, 1 : side // 2 + 1], "k-", label="law")
    right.set(ylim=(1e-4, 1e4), title="Its power", xlabel=_RADIUS, ylabel="power")
    right.legend()
    return figure


def _draw_kernel(side: int = 32, **taps: float) -> Figure:
    """Size of the transfer function of 3 × 3 taps, on the plane and along its axes."""
    layer = layers.CircularConv2d(1, 1, 3, bias=False).double().requires_grad_(False)
    layer.weight.copy_(torch.tensor(list(taps.values())).double().reshape(1, 1, 3, 3))
    size = layers.transfer_function(layer, (side, side))[..., 0, 0].abs()
    figure, (left, right) = _panels()
    end = side // 2
    drawn = left.imshow(
        torch.fft.fftshift(size).numpy(), cmap="gray", vmin=0,
        extent=(-end - 0.5, end - 0.5, end - 0.5, -end - 0.5),
    )  # fmt: skip
    figure.colorbar(drawn, ax=left, shrink=0.8)
    left.set(title="|T|", xlabel="kx (cycles/image)", ylabel="ky (cycles/image)")
    right.plot(range(end + 1), size[0, : end + 1], color=_BLUE, label="along kx")
    right.plot(range(end + 1), size[: end + 1, 0], "--", color=_VERMILLION, label="along ky")
    right.set(title="Along the axes", xlabel="frequency (cycles/image)", ylabel="|T|")
    right.set_ylim(bottom=0)
    right.legend()
    return figure


def _draw_recolor(delta: float) -> Figure:
    """A photograph recoloured by |ω|^δ at its old variance, and its power before and after."""
    photo = images.shrink(images.photographs(["astronaut"])["astronaut"], 8)[None]
    mean = photo.mean((-2, -1), keepdim=True)
    moved = filters.recolor(photo, delta) - mean  # DC has the gain 1
    shown = mean + moved * ((photo - mean).square().sum() / moved.square().sum()).sqrt()
    figure, (left, right) = _panels()
    left.imshow(shown[0].permute(1, 2, 0).clamp(0, 1).numpy())
    left.set(title="The photograph", xlabel="column (pixels)", ylabel="row (pixels)")
    for x, style, label in ((photo, "k--", "before"), (shown, "-", "now")):
        rings = fourier.radial_average(fourier.fft2(x).abs().square().mean((0, 1)))
        color = {"color": _BLUE} if style == "-" else {}
        right.loglog(rings.frequency[1:], rings.mean[1:], style, label=label, **color)
    right.set(ylim=(1e-6, 100), title="Its power", xlabel=_RADIUS, ylabel="power")
    right.legend()
    return figure


_PLACES = ("above left", "above", "above right", "left", "middle", "right",
           "below left", "below", "below right")  # fmt: skip
_BLUR = (1 / 16, 1 / 8, 1 / 16, 1 / 8, 1 / 4, 1 / 8, 1 / 16, 1 / 8, 1 / 16)

EXPLORERS = {
    "theorem": Explorer(
        (
            Slider("alpha", "exponent α of power", 0, 3, 0.1, 2),
            Slider("decay", "weight decay λ", -2, 2, 0.1, 1, log=True),
            Slider("depth", "depth L", 1, 4, 1, 3),
            Slider("images", "number of images N", 2, 5, 0.1, 1000, log=True),
        ),
        _draw_theorem,
    ),
    "wave": Explorer(
        (
            Slider("ky", "ky, cycles down", -16, 16, 1, 3),
            Slider("kx", "kx, cycles across", -16, 16, 1, 4),
            Slider("phase", "phase", -180, 180, 15, 0),
        ),
        _draw_wave,
    ),
    "field": Explorer((Slider("alpha", "exponent α of power", 0, 4, 0.1, 2),), _draw_field),
    "kernel": Explorer(
        tuple(
            Slider(f"w{k}", place, -1, 5, 1 / 16, tap)
            for k, (place, tap) in enumerate(zip(_PLACES, _BLUR, strict=True))
        ),
        _draw_kernel,
    ),
    "recolor": Explorer(
        (Slider("delta", "exponent δ of the gain", -1, 2, 0.1, 0.5),), _draw_recolor
    ),
}
