"""One network measured beside its controls: untrained twins, and the pictures it is shown."""

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from operator import length_hint
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from tqdm.auto import tqdm

from freqsense import spectra
from freqsense._checks import as_images, as_integer, as_real, as_stacks, sides
from freqsense.checkpoints import Network
from freqsense.datasets import ImageBatches
from freqsense.fourier import RadialProfile, fft2, radial_average, select_bins
from freqsense.images import luminance
from freqsense.sensitivity import (
    SensitivityMap,
    Slope,
    measure_sensitivity,
    settle_batchnorm,
    slope,
)

__all__ = ["Measurement", "Peak", "compare", "measure_network"]

_FIRST_RING = 2  # of fits; ring 1 holds four frequencies
_SPLIT = 1 / 8  # cycles/pixel, where the low band ends and the high one begins
# A change of slope that one slope hides: between the two bands, and from one end of an arc to the
# other, which is about twice that.
_BEND, _ARC = 0.3, 0.5
_NOT_STRAIGHT = "a straight line does not fit the network's curve: its slope"
_SIGMAS = 4
_RESAMPLES = 200  # of pictures: their standard error to 5 %
_PIECE = 64  # images prepared at a time, at most


@dataclass(frozen=True)
class Peak:
    """Ring, DC apart, to which a network listens most: its mean radius in both units."""

    cycles_per_image: float
    cycles_per_pixel: float


@dataclass(frozen=True)
class Measurement:
    """Sensitivity of a network beside its controls; every curve is an amplitude.

    name : of the network
    map : its sensitivity (C, H, W)
    fmin, fmax : band of the slopes, in cycles/image; None for 2 and Nyquist of the shorter side
    pictures : root of the mean power of the pictures, mean (R,); None if not known
    power_law : of the pictures' power from fmin to fmax; None where none can be fitted
    untrained : (n, R) ring means of untrained networks, a row each; None without
    settings : how it was measured
    notes : what was decided on the way, a sentence each
    """

    name: str
    map: SensitivityMap
    fmin: float | None = None
    fmax: float | None = None
    pictures: RadialProfile | None = None
    power_law: spectra.PowerLaw | None = None
    untrained: Tensor | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @cached_property
    def profile(self) -> RadialProfile:
        """Ring means (R,) of the norm over channels."""
        return self.map.norm().radial().single()

    @property
    def side(self) -> int:
        """Shorter side in pixels: a frequency in cycles/image over it is one in cycles/pixel."""
        return min(sides(self.map.values))

    @property
    def level(self) -> float:
        """Root of the sum of squares over channels and frequencies."""
        return float(torch.linalg.vector_norm(self.map.values))

    @property
    def peak(self) -> Peak:
        """Ring of the largest mean, DC apart."""
        ring = 1 + int(self.profile.mean[1:].argmax())
        frequency = float(self.profile.frequency[ring])
        return Peak(frequency, frequency / self.side)

    @property
    def relative_error(self) -> float | None:
        """Median over rings, DC apart, of standard error over mean; None for a single image."""
        heard = self.profile.mean[1:] > 0
        if self.map.n_images == 1 or not heard.any():
            return None
        return float((self.profile.sem / self.profile.mean)[1:][heard].median())

    @cached_property
    def bands(self) -> dict[str, tuple[float, float]]:
        """Bands of fits: the whole one, and what is below and above 1/8 cycle/pixel in it."""
        first, last = _as_band(self.fmin, self.fmax, sides(self.map.values))
        middle = self.side * _SPLIT
        low, high = (first, min(middle, last)), (max(middle, first), last)
        return {"whole": (first, last), "low": low, "high": high}

    def slope(self, band: str = "whole") -> Slope | None:
        """Slope in a band; None if it holds fewer than three rings, or a ring without a value."""
        return _fit(self.profile, *self.bands[band])

    def untrained_slope(self) -> Slope | None:
        """Mean slope of the untrained networks, with its error over them."""
        curves = () if self.untrained is None else self.untrained
        fits = [_fit(replace(self.profile, mean=curve), *self.bands["whole"]) for curve in curves]
        lines = [line for line in fits if line is not None]
        if len(lines) < 2:
            return lines[0] if lines else None
        slopes = torch.tensor([line.slope for line in lines], dtype=torch.float64)
        stderr = float(slopes.std()) / math.sqrt(len(slopes))
        return Slope(float(slopes.mean()), stderr, *self.bands["whole"])

    def pictures_slope(self) -> Slope | None:
        """Slope of the pictures' amplitude: half that of their power."""
        law = self.power_law
        return (
            None if law is None else Slope(-law.alpha / 2, law.alpha_stderr / 2, law.fmin, law.fmax)
        )

    def trained_minus_untrained(self) -> Slope | None:
        """How much training changed the slope; the error holds the fit's and that over seeds."""
        trained, untrained = self.slope(), self.untrained_slope()
        if trained is None or untrained is None:
            return None
        stderr = math.hypot(trained.stderr, untrained.stderr)
        return Slope(trained.slope - untrained.slope, stderr, *self.bands["whole"])

    @cached_property
    def warnings(self) -> list[str]:
        """What makes a number above say less than it seems to, a sentence each."""
        doubt = _doubt_line(self)
        return [] if doubt is None else [doubt]

    @property
    def summary(self) -> dict[str, Any]:
        """All numbers but the curves, as JSON holds them."""
        fits = {
            "sensitivity_slope": self.slope(),
            "sensitivity_slope_low": self.slope("low"),
            "sensitivity_slope_high": self.slope("high"),
            "pictures_slope": self.pictures_slope(),
            "untrained_slope": self.untrained_slope(),
            "trained_minus_untrained": self.trained_minus_untrained(),
            "peak": self.peak,
            "power_law": self.power_law,
        }
        return {
            "name": self.name,
            "n_images": self.map.n_images,
            "shape": list(self.map.values.shape),
            "level": self.level,
            "relative_error": self.relative_error,
            **{name: _as_json(fit) for name, fit in fits.items()},
            "n_untrained": 0 if self.untrained is None else len(self.untrained),
            **self.settings,
            "notes": list(self.notes),
            "warnings": self.warnings,
        }


def measure_network(
    network: Network | Callable[[Tensor], Tensor],
    images: Tensor | np.ndarray | Iterable,
    *,
    n_untrained: int = 0,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    fmin: float | None = None,
    fmax: float | None = None,
    method: str = "auto",
    n_probes: int = 1,
    seed: int = 0,
    batch_size: int | None = None,
    device: str | torch.device | None = None,
    output_key: str | int | None = None,
    until: float | None = None,
    progress: bool = False,
    name: str = "network",
) -> Measurement:
    r"""Measure a network, untrained twins of it and the pictures, all in amplitude.

    .. math:: \hat\beta - \frac1M \sum_{m=1}^M \hat\beta_m, \qquad
        \beta_\mathrm{pictures} = -\alpha / 2

    Slopes β are those of equation ``eq-slope`` of the book, for the network and for M untrained
    ones; α is the exponent of the pictures' power (equation ``eq-power-law-fit``).

    The twins' BatchNorms are settled on the same images (equation ``eq-settled-batchnorm``), and
    all networks see the same images and probes. Images of one value a channel are measured, and
    left out of the pictures' amplitude, which they have none of; a note names them.

    Parameters
    ----------
    network : a :class:`.Network`, or any model (N, C, H, W) to (N, K).
    images : as for :func:`.measure_sensitivity`, in random order where ``until`` may end them; what
        can be iterated over once only has no untrained twins. Colour images are given to a
        :class:`.Network` of one channel by their luminance.
    n_untrained : M; seeds of the twins begin at ``seed``.
    mean, std : subtracted from pixels, then dividing them: one number, or one a channel; None for
        those of the network, 0 and 1 if it tells none.
    fmin, fmax : band of the slopes in cycles/image; 2, and Nyquist of the shorter side.
    method, n_probes, batch_size, device, output_key, until, progress : as for
        :func:`.measure_sensitivity`.
    seed : of probes, and of the first twin.
    name : of the network, in tables and figures.

    Returns
    -------
    Measurement

    Raises
    ------
    TypeError, ValueError
        As :func:`.measure_sensitivity`, or if the band lies outside the grid, or there is no
        untrained twin.

    Source
    ------
    arXiv 2210.01257.

    Examples
    --------
    >>> from freqsense import images, measurement, models
    >>> fields = images.gaussian_field(8, shape=(16, 16), alpha=2.0)
    >>> network = models.linear_cnn(1, width=1, shape=(1, 16, 16))
    >>> measured = measurement.measure_network(network, fields)
    >>> measured.summary["pictures_slope"]["slope"] < -0.8     # half of alpha, downwards
    True
    """
    if not isinstance(network, Network):
        network = Network(network, None)
    n_untrained = as_integer(n_untrained, "n_untrained", 0)
    if n_untrained and isinstance(images, Iterator):
        kind = type(images).__name__
        raise TypeError(f"images of untrained twins must be iterated over again, got a {kind}")
    mean = (network.mean or 0.0) if mean is None else mean
    std = (network.std or 1.0) if std is None else std
    pictures = _Pictures(images, network.channels, mean, std, (fmin, fmax))
    if n_untrained:  # what cannot be had is told before hours of work
        twin = network.untrained(seed)
        if pictures.count() == 1 and _has_batchnorm(twin):
            raise ValueError("images must be 2 or more to settle a BatchNorm, got 1")
    options: dict[str, Any] = {"method": method, "n_probes": n_probes, "seed": seed}
    options |= {"batch_size": batch_size, "device": device, "output_key": output_key}
    options["progress"] = progress
    stacks = _Counted(pictures.watch(), range(pictures.count()))
    found = measure_sensitivity(network.model, stacks, until=until, **options)
    untrained = _measure_untrained(network, pictures, found.n_images, n_untrained, options)
    amplitude, law, notes = pictures.describe(found.n_images)
    settings: dict[str, Any] = {
        "method": "probe" if found.n_probes else "exact",
        "n_probes": found.n_probes,
    }
    settings |= {"seed": seed, "output_key": output_key, "until": until}
    settings |= {"mean": pictures.mean, "std": pictures.std}
    said = (*network.notes, *notes)
    return Measurement(name, found, fmin, fmax, amplitude, law, untrained, settings, said)


def compare(measurements: Sequence[Measurement]) -> list[dict[str, Any]]:
    r"""Table of several measurements, a row each, with what each slope has beyond the first.

    .. math:: \log \bigl( \bar S_k / \bar S^{(1)}_k \bigr) \approx a + (\beta - \beta_1)
        \log |\omega|_k

    The error of a difference is that of this line: what two curves share, it does not hold.

    Parameters
    ----------
    measurements : one or more, each of its own name.

    Returns
    -------
    list of dict
        ``name``, ``n_images``, ``slope``, ``low`` and ``high`` with their errors, the peak in both
        units, ``level``, and ``minus_first``, which is None where grids differ.

    Raises
    ------
    ValueError
        If there is none, or two have one name.

    Examples
    --------
    >>> from freqsense import images, measurement, models
    >>> fields = images.gaussian_field(8, shape=(16, 16), alpha=2.0)
    >>> networks = [models.linear_cnn(1, width=1, shape=(1, 16, 16), seed=s) for s in range(2)]
    >>> rows = measurement.compare(
    ...     [measurement.measure_network(n, fields, name=str(s)) for s, n in enumerate(networks)]
    ... )
    >>> [row["name"] for row in rows], rows[0]["minus_first"]
    (['0', '1'], 0.0)
    """
    names = [each.name for each in measurements]
    if not names:
        raise ValueError("measurements must hold at least one, got none")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"each of measurements must have a name of its own, got {twice} twice")
    return [_row(each, measurements[0]) for each in measurements]


def _row(each: Measurement, first: Measurement) -> dict[str, Any]:
    row: dict[str, Any] = {"name": each.name, "n_images": each.map.n_images}
    lines = {"slope": each.slope(), "low": each.slope("low"), "high": each.slope("high")}
    lines["minus_first"] = _slope_beyond(each, first)
    for column, line in lines.items():
        row[column] = None if line is None else line.slope
        row[f"{column}_stderr"] = None if line is None else line.stderr
    return row | asdict(each.peak) | {"level": each.level}


def _slope_beyond(each: Measurement, first: Measurement) -> Slope | None:
    if each.map.values.shape[1:] != first.map.values.shape[1:]:
        return None
    ratio = each.profile.mean / first.profile.mean
    return _fit(replace(each.profile, mean=ratio), *each.bands["whole"])


# Slopes


def _fit(profile: RadialProfile, fmin: float, fmax: float) -> Slope | None:
    try:
        return slope(profile, fmin, fmax)
    except ValueError:  # fewer than three rings, or one without a value
        return None


def _doubt_line(measured: Measurement) -> str | None:
    """Say so if one slope hides that the curve bends."""
    line, low, high = (measured.slope(band) for band in ("whole", "low", "high"))
    if line is None:
        return (
            "no slope: between {:g} and {:g} cycles/image a ring has no sensitivity, or there are "
            "fewer than three rings".format(*measured.bands["whole"])
        )
    if low is not None and high is not None:
        change, stderr = high.slope - low.slope, math.hypot(low.stderr, high.stderr)
        if abs(change) > max(_BEND, _SIGMAS * stderr):
            up_to = f"is {low.slope:+.2f} up to {low.fmax:g} cycles/image"
            return f"{_NOT_STRAIGHT} {up_to}, {high.slope:+.2f} from there"
    change, stderr = _bend(measured.profile, *measured.bands["whole"])
    if abs(change) > max(_ARC, _SIGMAS * stderr):
        return f"{_NOT_STRAIGHT} changes by {change:+.2f} over the band"
    return None


def _bend(profile: RadialProfile, fmin: float, fmax: float) -> tuple[float, float]:
    """Change of slope over a band by a parabola in logarithms, and its standard error."""
    profile, bins = select_bins(profile, fmin, fmax)
    if len(bins) < 5:
        return 0.0, 0.0
    x, y = (values[bins].log().numpy() for values in (profile.frequency, profile.mean))
    coefficients, covariance = np.polyfit(x - x.mean(), y, 2, cov=True)
    width = 2 * (x[-1] - x[0])
    return float(coefficients[0] * width), float(math.sqrt(covariance[0, 0]) * width)


def _as_json(value: Any) -> Any:
    """Dict of a dataclass; NaN and infinity, which JSON lacks, as None."""
    if value is None:
        return None
    return {name: v if math.isfinite(v) else None for name, v in asdict(value).items()}


# Pictures and untrained networks


@dataclass(frozen=True)
class _Counted:
    """Stacks in turn, and what a bar tells their number from, as a ``DataLoader`` has it."""

    stacks: Iterator[Tensor]
    dataset: range

    def __iter__(self) -> Iterator[Tensor]:
        return self.stacks


class _Pictures:
    """Images as a network sees them, as often as asked; power and blanks are told once."""

    def __init__(
        self,
        images: object,
        channels: int | None,
        mean: float | Sequence[float],
        std: float | Sequence[float],
        band: tuple[float | None, float | None],
    ) -> None:
        self.images, self.channels = images, channels
        self.mean = _as_channel_values(mean, "mean", channels)
        self.std = _as_channel_values(std, "std", channels)
        self._band = band
        self._power: list[RadialProfile] = []  # of each batch, ring means (n, R)
        self._blank: list[Tensor] = []  # of each batch, (n,)

    def count(self) -> int:
        """Return the number of images, 0 if it shows only as they come."""
        if isinstance(self.images, ImageBatches):
            return len(self.images.names)
        is_stack = isinstance(self.images, Tensor | np.ndarray)
        return length_hint(self.images if is_stack else getattr(self.images, "dataset", ()))

    def watch(self) -> Iterator[Tensor]:
        """Yield stacks (n, C, H, W), and keep what :meth:`describe` tells of them."""
        for stack in self.stacks():
            centered = stack.double() - stack.double().mean((-2, -1), keepdim=True)
            power = fft2(centered).abs().square().sum(1)  # (n, H, W)
            self._power.append(radial_average(power))
            self._blank.append((stack.amax((-2, -1)) == stack.amin((-2, -1))).all(1))
            self._shape = sides(stack)
            _as_band(*self._band, self._shape)  # out of range is told before hours of work
            yield stack

    def stacks(self, n_images: int | None = None) -> Iterator[Tensor]:
        """Yield stacks (n, C, H, W) of the first images, or of all."""
        left = sys.maxsize if n_images is None else n_images
        for name, stack, _ in as_stacks(self.images):
            for start in range(0, min(len(stack), left), _PIECE):
                piece = stack[start : start + min(_PIECE, left)]
                left -= len(piece)
                yield self._prepare(as_images(piece, name))
            if left == 0:
                return

    def settling(self, n_images: int) -> Iterator[Tensor]:
        """Yield the first images in stacks of two or more, which a variance needs."""
        held: Tensor | None = None
        for stack in self.stacks(n_images):
            if held is None or min(len(held), len(stack)) == 1:
                held = stack if held is None else torch.cat([held, stack])
                continue
            yield held
            held = stack
        if held is not None:
            yield held

    def describe(
        self, n_images: int
    ) -> tuple[RadialProfile | None, spectra.PowerLaw | None, list[str]]:
        """Amplitude and power law of the first images, and what has to be said of them."""
        powers = [batch[k] for batch in self._power for k in range(len(batch.mean))][:n_images]
        blank = torch.cat(self._blank)[:n_images].tolist()
        kept = [power for power, is_blank in zip(powers, blank, strict=True) if not is_blank]
        notes = []
        if any(blank):
            named = ", ".join(self._name(k) for k, is_blank in enumerate(blank) if is_blank)
            notes.append(f"of one colour, so left out of the pictures' amplitude: {named}")
        if not kept:
            return None, None, notes
        try:
            law = _fit_power_law(kept, *_as_band(*self._band, self._shape))
        except ValueError as error:
            law = None
            notes.append(f"no slope of the pictures' amplitude: {error}")
        return _mean_amplitude(kept), law, notes

    def _prepare(self, stack: Tensor) -> Tensor:
        if self.channels == 1:
            stack = luminance(stack)
        if not {len(self.mean), len(self.std)} <= {1, stack.shape[1]}:
            got = f"{len(self.mean)} and {len(self.std)} values"
            raise ValueError(f"mean and std take 1 or {stack.shape[1]} values, got {got}")
        mean, std = (stack.new_tensor(v)[:, None, None] for v in (self.mean, self.std))
        return (stack - mean) / std

    def _name(self, index: int) -> str:
        names = self.images.names if isinstance(self.images, ImageBatches) else ()
        return names[index] if names else f"image {index}"


def _as_channel_values(
    values: float | Sequence[float], name: str, channels: int | None
) -> list[float]:
    listed = [values] if isinstance(values, int | float) else list(values)
    if len(listed) not in (1, len(listed) if channels is None else channels):
        expected = "1 value" if channels == 1 else f"1 or {channels} values"
        raise ValueError(f"{name} takes {expected}, got {len(listed)}")
    if not all(math.isfinite(value) and (name == "mean" or value > 0) for value in listed):
        expected = "finite and positive" if name == "std" else "finite"
        raise ValueError(f"{name} must be {expected}, got {listed}")
    return [float(value) for value in listed]


def _as_band(fmin: float | None, fmax: float | None, shape: tuple[int, int]) -> tuple[float, float]:
    nyquist = min(shape) // 2
    first = _FIRST_RING if fmin is None else as_real(fmin, "fmin")
    last = nyquist if fmax is None else as_real(fmax, "fmax")
    if (fmin, fmax) != (None, None) and not 0 < first < last <= nyquist:
        raise ValueError(
            f"expected 0 < fmin < fmax <= {nyquist} cycles/image, got fmin={first} and fmax={last}"
        )
    return float(first), float(last)


def _fit_power_law(powers: list[RadialProfile], fmin: float, fmax: float) -> spectra.PowerLaw:
    if len(powers) == 1:
        return spectra.fit_power_law(powers[0], fmin=fmin, fmax=fmax)
    return spectra.bootstrap_power_law(powers, fmin=fmin, fmax=fmax, n_resamples=_RESAMPLES)


def _mean_amplitude(powers: list[RadialProfile]) -> RadialProfile:
    """Root of the mean power, with its error over images where there are several."""
    power = powers[0]
    if len(powers) > 1:
        means = torch.stack([each.mean for each in powers])  # (N, R)
        sem = means.std(0) / math.sqrt(len(means))
        power = replace(power, mean=means.mean(0), sem=sem, sem_over="images")
    amplitude = power.mean.sqrt()
    return replace(power, mean=amplitude, sem=power.sem / (2 * amplitude))


def _has_batchnorm(model: nn.Module) -> bool:
    return any(isinstance(module, _BatchNorm) for module in model.modules())


def _measure_untrained(
    network: Network, pictures: _Pictures, n_images: int, n_untrained: int, options: dict[str, Any]
) -> Tensor | None:
    """Ring means (n_untrained, R) of untrained twins on the first images."""
    curves = []
    hidden = not (n_untrained and options["progress"])
    for index in tqdm(range(n_untrained), "untrained", disable=hidden):
        twin = network.untrained(options["seed"] + index)
        if _has_batchnorm(twin):
            settle_batchnorm(twin, pictures.settling(n_images))
        stacks = _Counted(pictures.stacks(n_images), range(n_images))
        found = measure_sensitivity(twin, stacks, **options)
        curves.append(found.norm().radial().single().mean)
    return torch.stack(curves) if curves else None
