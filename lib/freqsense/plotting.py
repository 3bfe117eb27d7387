"""One theme and a few plots: each function takes the axes to draw on first and returns them."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.ticker import LogLocator, NullFormatter
from torch import Tensor

from freqsense._checks import as_grid, sides
from freqsense.fourier import RadialProfile, frequencies

if TYPE_CHECKING:
    from freqsense.measurement import Measurement
    from freqsense.sensitivity import Slope
    from freqsense.spectra import PowerLaw

__all__ = [
    "OKABE_ITO",
    "RADIAL_LABEL",
    "plot_image",
    "plot_images",
    "plot_measurements",
    "plot_power_law",
    "plot_profile",
    "plot_responses",
    "plot_spectrum_map",
    "use_theme",
]

# The five colours of Okabe and Ito (2008) that stand out from white by at least 3:1: blue, green,
# black, vermilion, purple. In this order neighbours differ in luminance too, for grey prints.
OKABE_ITO = ("#0072B2", "#009E73", "#000000", "#D55E00", "#CC79A7")

RADIAL_LABEL = "radial frequency (cycles/image)"

_LEGEND = 30  # characters of a name in a legend
_Z95 = 1.96  # half width of a 95 % interval, in standard errors
_LINE = 0.6  # height of what one line of text holds, in distances of two lines
# A power this far below the largest is the rounding error of a float32 transform, not a signal.
_ROUNDING = 1e-12


def use_theme() -> None:
    """Set the look of every figure drawn from here on: call it once, at the top of a notebook.

    Opaque white figures (readable on a light page and on a dark one), the colour-blind-safe cycle
    ``OKABE_ITO``, text of 10 points or more at a width of 6.4 inches, 100 pixels to the inch so
    that a page stays small, and axes laid out without overlap.

    Source
    ------
    M. Okabe and K. Ito, Color universal design (2008), https://jfly.uni-koeln.de/color/;
    B. Wong, Points of view: color blindness, doi:10.1038/nmeth.1618.

    Examples
    --------
    >>> import matplotlib
    >>> from freqsense import plotting
    >>> plotting.use_theme()
    >>> matplotlib.rcParams["figure.facecolor"]
    'white'
    """
    style.use(str(files("freqsense") / "freqsense.mplstyle"))


def plot_image(ax: Axes, image: Tensor, title: str | None = None) -> Axes:
    """Show one image without ticks, grey (one channel) or in colour (three).

    Values in [0, 1] are shown as they are: 0 black, 1 white. An image that leaves this range (a
    filtered one, a Gaussian field) is stretched from its own smallest value to its largest, one
    stretch for all channels, so that its colours are relative.

    Parameters
    ----------
    ax : axes to draw on.
    image : tensor (H, W) or (C, H, W) with C = 1 or 3.

    Returns
    -------
    The same axes.

    Raises
    ------
    TypeError, ValueError
        If ``image`` has another shape, is complex, or holds NaN or infinities.

    Examples
    --------
    >>> import torch
    >>> from matplotlib.figure import Figure
    >>> from freqsense import plotting
    >>> ax = plotting.plot_image(Figure().subplots(), torch.rand(3, 8, 12), "noise")
    >>> ax.get_images()[0].get_array().shape
    (8, 12, 3)
    """
    pixels = _as_finite(image, "image").to(torch.float64)
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and len(pixels) not in (1, 3)):
        shape = tuple(pixels.shape)
        raise ValueError(f"image must have shape (H, W), (1, H, W) or (3, H, W), got {shape}")
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0 or high > 1:
        pixels = (pixels - low) / (high - low) if high > low else torch.full_like(pixels, 0.5)
    if pixels.ndim == 3 and len(pixels) == 3:
        ax.imshow(pixels.permute(1, 2, 0).numpy())  # (H, W, 3)
    else:
        ax.imshow(pixels.reshape(pixels.shape[-2:]).numpy(), cmap="gray", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    if title is not None:
        ax.set_title(title)
    return ax


def plot_images(
    axes: Sequence[Axes], images: Sequence[Tensor], titles: Sequence[str] | None = None
) -> Sequence[Axes]:
    """Show one image on each of the axes, as :func:`plot_image` does.

    Parameters
    ----------
    axes : as many axes as images, an array of any shape or a sequence.
    images : tensor (N, C, H, W), or a sequence of images (C, H, W) or (H, W).
    titles : a title for each, or None.

    Returns
    -------
    The same axes.

    Raises
    ------
    ValueError
        If there are not as many axes and titles as images.

    Examples
    --------
    >>> import torch
    >>> from matplotlib.figure import Figure
    >>> from freqsense import plotting
    >>> axes = plotting.plot_images(Figure().subplots(1, 2), torch.rand(2, 1, 8, 8), ["a", "b"])
    >>> axes[1].get_title()
    'b'
    """
    places = np.asarray(axes, dtype=object).ravel()
    names = [None] * len(images) if titles is None else titles
    if not len(places) == len(images) == len(names):
        counts = f"{len(places)} axes, {len(images)} images and {len(names)} titles"
        raise ValueError(f"each image needs one of the axes and one title, got {counts}")
    for ax, image, title in zip(places, images, names, strict=True):
        plot_image(ax, image, title)
    return axes


def plot_spectrum_map(
    ax: Axes, values: Tensor, title: str | None = None, label: str = "power"
) -> Axes:
    """Draw a map over the frequency grid, DC in the middle, colours on a log scale.

    Both axes are signed frequencies in cycles/image. As in an image, the vertical one grows
    downwards: the line from the centre to a point runs across the crests of that wave. The map is
    square whatever the image, so that a ring of constant radial frequency is round. Values that are
    zero, or more than twelve decades below the largest, which is rounding error, are left black.

    Parameters
    ----------
    ax : axes to draw on; its figure gets a colour bar.
    values : real tensor (H, W), not negative, in the order of :func:`freqsense.fourier.fft2`.
    label : what the colour bar shows, with its unit.

    Returns
    -------
    The same axes.

    Raises
    ------
    TypeError, ValueError
        If ``values`` is not a finite (H, W) map, has a negative entry, or is zero everywhere.

    Examples
    --------
    >>> import torch
    >>> from matplotlib.figure import Figure
    >>> from freqsense import fourier, plotting
    >>> power = fourier.fft2(torch.rand(8, 12)).abs().square()
    >>> ax = plotting.plot_spectrum_map(Figure().subplots(), power)
    >>> [round(float(side), 1) for side in ax.get_images()[0].get_extent()]   # kx -6..5, ky 3..-4
    [-6.5, 5.5, 3.5, -4.5]
    """
    grid = _as_finite(values, "values")
    if grid.ndim != 2:
        raise ValueError(f"values must have shape (H, W), got {tuple(grid.shape)}")
    if grid.min() < 0 or grid.max() == 0:
        found = f"from {grid.min():.3g} to {grid.max():.3g}"
        raise ValueError(f"a log scale needs values >= 0, not all of them zero, got {found}")
    shown = torch.fft.fftshift(grid).to(torch.float64).numpy()
    shown = np.ma.masked_less_equal(shown, _ROUNDING * shown.max())
    ky, kx = frequencies(sides(grid))
    # Half a cell beyond the outermost frequencies, so that each cell is centred on its own.
    left, right, top, bottom = (float(k) for k in (kx.min(), kx.max(), ky.min(), ky.max()))
    extent = (left - 0.5, right + 0.5, bottom + 0.5, top - 0.5)
    cmap = mpl.colormaps["cividis"].with_extremes(bad="black")
    # At least one decade: equal values, a single wave's say, would otherwise have no scale.
    norm = LogNorm(min(shown.min(), shown.max() / 10), shown.max())
    picture = ax.imshow(shown, norm=norm, cmap=cmap, extent=extent, aspect="auto")
    ax.set_box_aspect(1)
    ax.grid(False)
    ax.set(xlabel="$k_x$ (cycles/image)", ylabel="$k_y$ (cycles/image)")
    # An inset keeps the height of the map, whatever room the layout leaves around it.
    ax.figure.colorbar(picture, cax=ax.inset_axes((1.04, 0, 0.05, 1)), label=label)
    if title is not None:
        ax.set_title(title)
    return ax


def plot_profile(
    ax: Axes,
    profile: RadialProfile,
    *,
    label: str | None = None,
    ylabel: str = "power",
    color: str | None = None,
) -> Axes:
    r"""Draw a radial profile on log-log axes with its 95 % band.

    .. math:: \bar v_k \exp(\pm 1.96\, \mathrm{sem}_k / \bar v_k)

    The band is 1.96 standard errors of :math:`\log \bar v_k` (delta method): symmetric on a log
    axis, never negative, and for small errors the usual :math:`\bar v_k \pm 1.96\,\mathrm{sem}_k`.
    DC, which has no place on a log axis, is left out. A mean of zero leaves a gap, and so does the
    band where a ring holds too few values for a standard error.

    Parameters
    ----------
    ax : axes to draw on.
    profile : a profile with a one-dimensional ``mean`` (R,); take one channel of several first.
    label : entry for a legend, which the caller draws.
    ylabel : what is averaged, with its unit.
    color : a colour, or None for the next of the cycle.

    Returns
    -------
    The same axes.

    Raises
    ------
    TypeError, ValueError
        If ``profile`` is no RadialProfile, holds several curves, or has no positive mean but DC's.

    Examples
    --------
    >>> import torch
    >>> from matplotlib.figure import Figure
    >>> from freqsense import fourier, plotting
    >>> profile = fourier.radial_average(torch.rand(16, 16))
    >>> ax = plotting.plot_profile(Figure().subplots(), profile, ylabel="noise")
    >>> len(ax.lines[0].get_xdata())                    # 8 radii without DC
    8
    """
    frequency, mean, sem = _as_curve(profile)
    mean = np.where(mean > 0, mean, np.nan)
    (line,) = ax.plot(frequency, mean, "o-", label=label, color=color)
    factor = np.exp(_Z95 * sem / mean)
    low, high = mean / factor, mean * factor
    ax.fill_between(frequency, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    _use_log_axes(ax)
    ax.set(xlabel=RADIAL_LABEL, ylabel=ylabel)
    return ax


def plot_power_law(
    ax: Axes, law: "PowerLaw", *, label: str | None = None, color: str = "0.3"
) -> Axes:
    r"""Draw a fitted power law as a dashed straight line over the frequencies it was fitted on.

    .. math:: S(f) = A f^{-\alpha}, \qquad f_\min \le f \le f_\max

    Parameters
    ----------
    ax : log-log axes, as :func:`plot_profile` leaves them.
    law : a fit with ``alpha``, ``alpha_stderr``, ``amplitude``, ``fmin`` and ``fmax``
        (:func:`freqsense.spectra.fit_power_law`).
    label : entry for the legend; None writes the exponent with its standard error.
    color : a colour; dark grey unless told, beside the colours of the data.

    Returns
    -------
    The same axes.

    Raises
    ------
    TypeError
        If ``law`` lacks one of these attributes.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from matplotlib.figure import Figure
    >>> from freqsense import plotting
    >>> law = SimpleNamespace(alpha=1.98, alpha_stderr=0.03, amplitude=5.0, fmin=2.0, fmax=14.0)
    >>> plotting.plot_power_law(Figure().subplots(), law).lines[0].get_label()
    'α = 1.98 ± 0.03'
    """
    missing = [
        name
        for name in ("alpha", "alpha_stderr", "amplitude", "fmin", "fmax")
        if not hasattr(law, name)
    ]
    if missing:
        raise TypeError(f"law must be a fitted power law, but it lacks {', '.join(missing)}")
    ends = np.array([law.fmin, law.fmax], dtype=float)
    label = _exponent_text(law) if label is None else label
    ax.plot(ends, law.amplitude * ends**-law.alpha, "--", color=color, label=label)
    _use_log_axes(ax)
    return ax


def plot_measurements(
    ax: Axes, measurements: "Sequence[Measurement]", *, per_pixel: bool = False
) -> Axes:
    r"""Draw networks beside untrained ones and the pictures, each curve relative to its own level.

    .. math:: \bar S_k \Big/ \exp \Bigl( \tfrac1n \sum_{j = f_\mathrm{min}}^{f_\mathrm{max}}
        \log \bar S_j \Bigr)

    Networks and pictures have different units; over the geometric mean of the band that is fitted,
    their amplitudes share an axis, and slopes stay. Bands are 95 %: of the mean over images, and
    for untrained networks of the networks themselves. Pictures are drawn once if all have the same.
    The axes get a legend with slopes.

    Parameters
    ----------
    ax : axes to draw on.
    measurements : of :func:`freqsense.measurement.measure_network`, a colour each.
    per_pixel : frequencies in cycles/pixel, as networks of several sizes need.

    Returns
    -------
    The same axes.

    Raises
    ------
    ValueError
        If there is no measurement, or a network responds to no frequency but DC.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from torch import nn
    >>> from freqsense import images, measurement, plotting
    >>> network = nn.Sequential(nn.Conv2d(1, 2, 5), nn.Tanh(), nn.Flatten(), nn.Linear(288, 2))
    >>> fields = images.gaussian_field(8, shape=(16, 16), alpha=2.0)
    >>> measured = measurement.measure_network(network, fields, n_untrained=2)
    >>> ax = plotting.plot_measurements(Figure().subplots(), [measured])
    >>> [text.get_text().split(":")[0] for text in ax.get_legend().get_texts()]
    ['network', 'untrained, 2 of them', 'pictures']
    """
    if not measurements:
        raise ValueError("measurements must hold at least one, got none")
    first = measurements[0]
    for index, each in enumerate(measurements):
        color = OKABE_ITO[index % len(OKABE_ITO)]
        label = _slope_text(_plain(each.name), each.slope())
        _plot_relative(ax, each, each.profile, per_pixel, label=label, color=color)
        ax.lines[-1].set_linestyle(("-", "--", ":", "-.")[index // len(OKABE_ITO) % 4])
    if first.untrained is not None and len(measurements) == 1:
        label = _slope_text(f"untrained, {len(first.untrained)} of them", first.untrained_slope())
        _plot_relative(ax, first, _spread(first), per_pixel, label=label, color="0.55")
    if first.pictures is not None and all(_same_pictures(each, first) for each in measurements):
        label = _slope_text("pictures", first.pictures_slope())
        _plot_relative(ax, first, first.pictures, per_pixel, label=label, color="0.4")
        ax.lines[-1].set_linestyle("--")
    unit = "cycles/pixel" if per_pixel else "cycles/image"
    ax.set(xlabel=f"radial frequency ({unit})", ylabel="amplitude, relative to its band")
    ax.legend()
    return ax


def _plot_relative(
    ax: Axes, each: "Measurement", profile: RadialProfile, per_pixel: bool, **drawn: str
) -> None:
    """Draw a curve over its geometric mean in the band of fits."""
    frequency = profile.frequency / each.side if per_pixel else profile.frequency
    level = _level(profile.mean, profile.frequency, each)
    scaled = replace(
        profile, frequency=frequency, mean=profile.mean / level, sem=profile.sem / level
    )
    plot_profile(ax, scaled, **drawn)


def _level(mean: Tensor, frequency: Tensor, each: "Measurement") -> Tensor:
    """Geometric mean (...) of curves (..., R) in the band of fits, of what is positive there."""
    ring, (first, last) = (frequency + 0.5).floor(), each.bands["whole"]
    inside = mean[..., (ring >= first) & (ring <= last)]
    logs = torch.where(inside > 0, inside, torch.nan).log()
    return torch.nan_to_num(logs.nanmean(-1)).exp()


def _spread(each: "Measurement") -> RadialProfile:
    """Mean of untrained curves over their own levels, with their standard deviation."""
    assert each.untrained is not None
    curves = each.untrained / _level(each.untrained, each.profile.frequency, each)[:, None]
    sem = curves.std(0) if len(curves) > 1 else torch.full_like(curves[0], torch.nan)
    return replace(each.profile, mean=curves.mean(0), sem=sem)


def _same_pictures(one: "Measurement", other: "Measurement") -> bool:
    if one.pictures is None or other.pictures is None:
        return False
    return torch.equal(one.pictures.mean, other.pictures.mean)


def _plain(name: str) -> str:
    """Return a name as a legend can show it: short, no formula, not hidden by an underscore."""
    short = name if len(name) <= _LEGEND else f"{name[: _LEGEND // 2]}...{name[-_LEGEND // 2 :]}"
    shown = short.encode("utf-8", "backslashreplace").decode().replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def _slope_text(name: str, line: "Slope | None") -> str:
    if line is None:
        return name
    return f"{name}: slope {line.slope:.2f} ± {line.stderr:.2f}".replace(" -", " \N{MINUS SIGN}")


def plot_responses(ax: Axes, rows: Sequence[dict]) -> Axes:
    r"""Draw the responses of networks between undoing and following, one line of text each.

    Equation ``eq-response`` of the book. A line holds a track for each decay, side by side: from
    the fewest images (smallest mark) to the most (largest), with one standard error. Three vertical
    lines stand at -1/2, 0 and 1/2. The decays have entries for a legend, which the caller draws.

    Parameters
    ----------
    ax : axes to draw on.
    rows : dicts of ``label``, ``n_images``, ``weight_decay``, ``response`` and ``stderr`` (NaN if
        unknown); labels stand from top to bottom in the order of their first rows. A row whose
        response is NaN keeps its line, which stays empty; one that is ``silent``, if it says so, is
        drawn hollow.

    Returns
    -------
    The same axes.

    Raises
    ------
    ValueError
        If there are no rows, one lacks a key, or there are more decays than colours.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from freqsense import plotting
    >>> row = {"label": "linear", "weight_decay": 0.0, "stderr": 0.02}
    >>> rows = [row | {"n_images": 64, "response": 0.4}, row | {"n_images": 4096, "response": -0.5}]
    >>> ax = plotting.plot_responses(Figure().subplots(), rows)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['linear']
    """
    labels, decays = _check_responses(rows)
    for x in (-0.5, 0, 0.5):
        ax.axvline(x, color="0.6", linestyle="--", linewidth=1, zorder=0)
    for (place, label), (k, decay) in itertools.product(enumerate(labels), enumerate(decays)):
        chosen = [r for r in rows if (r["label"], r["weight_decay"]) == (label, decay)]
        track = sorted(chosen, key=lambda row: row["n_images"])
        if track:
            shift = (k - (len(decays) - 1) / 2) * _LINE / len(decays)
            _draw_track(ax, place + shift, track, OKABE_ITO[k], "osD^v"[k])
    for k, decay in enumerate(decays):
        ax.plot([], [], color=OKABE_ITO[k], marker="osD^v"[k], label=f"λ = {decay:g}")
    ax.set_yticks(range(len(labels)), labels)
    ax.set(ylim=(len(labels) - 0.4, -0.6), xlabel="response")
    ax.set_xticks([-0.5, 0, 0.5], ["−½\nundoes", "0\n\ndoes not care", "½\nfollows"])
    return ax


def _check_responses(rows: Sequence[dict]) -> tuple[list[str], list[float]]:
    """Labels in their order, and decays in theirs."""
    keys = ("label", "n_images", "weight_decay", "response", "stderr")
    if not rows:
        raise ValueError("rows must hold at least one response, got none")
    for row in rows:
        if missing := [key for key in keys if key not in row]:
            raise ValueError(f"each of rows must have {', '.join(missing)}, got {list(row)}")
    decays = sorted({row["weight_decay"] for row in rows if not np.isnan(row["response"])})
    if len(decays) > len(OKABE_ITO):
        raise ValueError(f"rows must have at most {len(OKABE_ITO)} decays, got {decays}")
    return list(dict.fromkeys(row["label"] for row in rows)), decays


def _draw_track(ax: Axes, height: float, track: list[dict], color: str, marker: str) -> None:
    x, error = (np.array([row[name] for row in track]) for name in ("response", "stderr"))
    y, share = np.full(len(x), height), np.linspace(0.35, 1, len(x)) if len(x) > 1 else [1.0]
    ax.errorbar(x, y, xerr=np.nan_to_num(error), color=color, linewidth=1, elinewidth=1.5)
    faces = ["white" if row.get("silent", False) else color for row in track]
    sizes = 45 * np.asarray(share)
    ax.scatter(x, y, s=sizes, c=faces, edgecolors=color, marker=marker, zorder=3)


def _use_log_axes(ax: Axes) -> None:
    """Log scales, with frequencies written as 1, 2, 5, 10, ... rather than as powers of ten."""
    ax.set(xscale="log", yscale="log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())


def _exponent_text(law: "PowerLaw") -> str:
    """Exponent and standard error, to the error's first digit but at least two decimals."""
    if not law.alpha_stderr > 0:
        return f"α = {law.alpha:.2f}".replace("-", "\N{MINUS SIGN}")
    decimals = max(2, -int(np.floor(np.log10(law.alpha_stderr))))
    text = f"α = {law.alpha:.{decimals}f} ± {law.alpha_stderr:.{decimals}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _as_curve(profile: object) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frequency, mean and standard error of one curve, each (R - 1,): DC is left out."""
    if not isinstance(profile, RadialProfile):
        raise TypeError(f"profile must be a RadialProfile, got {type(profile).__name__}")
    if profile.mean.ndim != 1:
        shape = tuple(profile.mean.shape)
        raise ValueError(f"profile must hold one curve, mean of shape (R,), got {shape}")
    curve = (profile.frequency, profile.mean, profile.sem)
    frequency, mean, sem = (
        part.detach().cpu().double().numpy()[profile.frequency.cpu().numpy() > 0] for part in curve
    )
    if not (mean > 0).any():
        raise ValueError("profile must have a positive mean beside DC to be drawn on a log axis")
    return frequency, mean, sem


def _as_finite(values: object, name: str) -> Tensor:
    """Return a real, finite grid (..., H, W) in main memory."""
    grid = as_grid(values, name).cpu()
    if grid.is_complex():
        raise TypeError(f"{name} must be real (take .abs() or .abs().square()), got complex")
    if not torch.isfinite(grid).all():
        raise ValueError(f"{name} must be finite, got NaN or infinite entries")
    return grid
