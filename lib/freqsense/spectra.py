"""Power spectra of sets of images: estimation, power-law fits, orientation and stationarity."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from freqsense._checks import (
    as_grid,
    as_images,
    as_integer,
    as_real,
    as_stacks,
    as_tensor,
    check_finite,
    describe,
    seeded_generator,
    sides,
)
from freqsense._memory import check_memory
from freqsense._moments import Moments
from freqsense._scale import binary_scale, check_range, split_mean
from freqsense.fourier import (
    RadialProfile,
    fft2,
    frequencies,
    radial_average,
    rings,
    select_bins,
    unfold_half,
)

__all__ = [
    "OrientationProfile",
    "PowerLaw",
    "PowerSpectrum",
    "Stationarity",
    "bootstrap_power_law",
    "fit_power_law",
    "frequency_covariance",
    "orientation_profile",
    "power_spectrum",
    "stationarity",
]

# Pixels transformed at a time, and images at least: few enough for constant memory, and enough that
# merging the moments costs little beside the transforms.
_CHUNK_PIXELS = 2**20
_CHUNK_IMAGES = 4

_MAX_COVARIANCE_SIDE = 64 * 64

# A window whose mean is a smaller share of its root mean square cannot weight the mean of an image.
_EMPTY_MEAN = 1e-6

_LARGEST_LOG = 700.0


@dataclass(frozen=True)
class PowerSpectrum:
    """Mean power of a set of images at every frequency.

    values : (C, H, W) mean power, in squared pixel units
    stderr : (C, H, W) standard error over images, NaN for a single image
    n_images : number of images
    inflation : (R,) how much a window inflates the variance of a ring mean, by correlating
        neighbouring frequencies; ones without a window
    """

    values: Tensor
    stderr: Tensor
    n_images: int
    inflation: Tensor

    def radial(self) -> RadialProfile:
        """Average over rings (definition ``def-radial-average``): mean (C, R).

        The standard error comes from the scatter over images where there are several, and from the
        scatter over the ring for a single image. It takes images and frequencies as independent:
        true for Gaussian fields, too small for photographs (:func:`bootstrap_power_law`). A window
        correlates frequencies of one ring, which is allowed for, and neighbouring rings.
        """
        profile = radial_average(self.values)
        if self.n_images > 1:
            scale = binary_scale(self.stderr)
            variance = radial_average((self.stderr / scale).square()).mean
            sem = scale * (variance / profile.count).sqrt()
            profile = replace(profile, sem=sem, sem_over="images")
        return replace(profile, sem=profile.sem * self.inflation.sqrt())


def power_spectrum(
    images: Tensor | np.ndarray | Iterable,
    *,
    window: str | Tensor | None = None,
    center: bool = True,
) -> PowerSpectrum:
    r"""Mean power spectrum of a set of images, streamed in constant memory.

    .. math:: P_c(\omega) = \frac{1}{N} \sum_{n=1}^{N} |\hat x_{n,c}(\omega)|^2

    Definition ``def-power-spectrum`` of the book.

    Parameters
    ----------
    images : a stack (N, C, H, W), or any iterable of stacks, or of tuples that begin with a stack
        (a ``DataLoader`` of images and labels); float32 or float64 tensors or arrays.
    window : ``"hann"``, or a tensor (H, W), multiplied onto each image before the transform. It is
        scaled to a mean square of one, which keeps the power of white noise.
    center : remove each image's own mean first (its window-weighted mean if there is a window),
        which empties DC and nothing else. A large mean costs no digits elsewhere either way.

    Returns
    -------
    PowerSpectrum
        ``values`` (C, H, W), power in squared pixel units, in the order of :func:`.fft2`.

    Raises
    ------
    TypeError, ValueError
        If there are no images, they differ in size, or are not real, finite (N, C, H, W) stacks of
        at most 1e100; or if images under a window of mean zero are to be centred.

    Source
    ------
    Field (1987), doi:10.1364/JOSAA.4.002379; Chan, Golub and LeVeque (1983),
    doi:10.1080/00031305.1983.10483115 for the moments.

    Examples
    --------
    >>> import torch
    >>> from freqsense import spectra
    >>> stripes = torch.tensor([1.0, -1.0]).repeat(4).expand(1, 1, 8, 8)     # period two pixels
    >>> spectrum = spectra.power_spectrum(stripes)
    >>> spectrum.values[0, 0].tolist()                                       # all of it at kx = 4
    [0.0, 0.0, 0.0, 0.0, 64.0, 0.0, 0.0, 0.0]
    """
    moments = Moments()
    taper, width = None, 0
    for batch in _batches(images):
        if moments.count == 0:
            width = batch.shape[-1]
            taper = None if window is None else _as_window(window, batch, center)  # (H, W)
        xhat, unit = _transform(batch, taper, center, torch.fft.rfft2)  # (n, C, H, W // 2 + 1)
        # A tenth of the time of abs().square().
        moments.add((xhat * xhat.conj()).real, unit**2)
    values, stderr = (
        unfold_half(half.cpu(), width) for half in (moments.mean, moments.standard_error())
    )
    return PowerSpectrum(values, stderr, moments.count, _ring_inflation(taper, sides(values)))


@dataclass(frozen=True)
class PowerLaw:
    """A fitted power law, power = amplitude * frequency^-alpha, for fmin <= frequency <= fmax.

    ``alpha_stderr`` is one standard error; ``amplitude`` is the power at one cycle/image.
    """

    alpha: float
    alpha_stderr: float
    amplitude: float
    fmin: float
    fmax: float

    def power(self, frequency: Tensor) -> Tensor:
        """Power of the law at the given frequencies (cycles/image)."""
        return self.amplitude * frequency**-self.alpha

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Confidence interval of alpha at the given level."""
        level = as_real(level, "level", 0, 1)
        if (1 + level) / 2 == 1:
            raise ValueError(f"level must be below 1, got {level}")
        half = NormalDist().inv_cdf((1 + level) / 2) * self.alpha_stderr
        return self.alpha - half, self.alpha + half


def fit_power_law(profile: RadialProfile, *, fmin: float, fmax: float) -> PowerLaw:
    r"""Fit power = A f^-α to the bins fmin to fmax of a radial profile of power.

    .. math:: E\,\bar P_k = A\, \frac{1}{|R_k|} \sum_{\omega \in R_k} |\omega|^{-\alpha}, \qquad
        \operatorname{Var} \bar P_k = \frac{\varphi}{n_k} (E\,\bar P_k)^2

    Equation ``eq-power-law-fit`` of the book: the maximum of the gamma likelihood, which is
    Whittle's for the power of a Gaussian field. The model averages the law over the ring as the
    data were averaged, since a steep law at the mean radius of a low ring is off by many standard
    errors. The dispersion φ comes from ``profile.sem``, pooled over the bins; n_k is
    ``profile.count``. The error of α takes the bins as independent, which they are not under a
    window, nor in photographs (:func:`bootstrap_power_law`).

    Parameters
    ----------
    profile : a RadialProfile of one channel. Without ``shape`` the law is taken at the
        mean radius of each bin instead.
    fmin, fmax : first and last bin, in cycles/image, both included.

    Returns
    -------
    PowerLaw
        ``alpha`` belongs to power; the exponent of amplitude is half of it.

    Raises
    ------
    TypeError, ValueError
        If not 0 < fmin < fmax within the grid, fewer than three bins remain, a bin has no power, no
        bin has an error, or the fit does not converge.

    Source
    ------
    Whittle (1953), doi:10.1007/BF02590998; van der Schaaf and van Hateren (1996),
    doi:10.1016/0042-6989(96)00002-8.

    Examples
    --------
    >>> from freqsense import images, spectra
    >>> fields = images.gaussian_field(50, shape=(32, 32), alpha=2.0)
    >>> law = spectra.fit_power_law(spectra.power_spectrum(fields).radial(), fmin=1, fmax=16)
    >>> low, high = law.interval()
    >>> low < 2.0 < high
    True
    """
    profile, bins = select_bins(profile, fmin, fmax)
    fit = _GammaFit(profile, bins)
    alpha, log_amplitude = fit.solve()
    stderr = fit.alpha_stderr(alpha, log_amplitude)
    return PowerLaw(alpha, stderr, _amplitude(log_amplitude), float(fmin), float(fmax))


def bootstrap_power_law(
    profiles: Sequence[RadialProfile],
    *,
    fmin: float,
    fmax: float,
    n_resamples: int = 1000,
    seed: int = 0,
) -> PowerLaw:
    r"""Fit a power law to the mean profile of photographs, with an error over photographs.

    .. math:: \mathrm{stderr}(\alpha)^2 = \operatorname{Var}_{*}\,
        \hat\alpha\Bigl(\tfrac1M \textstyle\sum_m \bar P_{m^*}\Bigr), \qquad
        m^* \text{ drawn with replacement}

    Equation ``eq-bootstrap`` of the book. The power of a photograph at neighbouring frequencies
    rises and falls together, and two patches of one photograph resemble each other: the photograph,
    not the frequency or the patch, is the unit that is independent.

    Parameters
    ----------
    profiles : at least two profiles of one channel on one grid, one for each photograph.
    fmin, fmax : first and last bin, in cycles/image.
    n_resamples : bootstrap draws.
    seed : of the draws.

    Returns
    -------
    PowerLaw

    Raises
    ------
    TypeError, ValueError
        If there are fewer than two profiles, they differ in grid, or as :func:`fit_power_law`.

    Source
    ------
    Efron and Tibshirani (1986), doi:10.1214/ss/1177013815.

    Examples
    --------
    >>> from freqsense import images, spectra
    >>> fields = images.gaussian_field(8, shape=(32, 32), alpha=1.0)
    >>> profiles = [spectra.power_spectrum(field[None]).radial() for field in fields]
    >>> law = spectra.bootstrap_power_law(profiles, fmin=1, fmax=16, n_resamples=200)
    >>> abs(law.alpha - 1.0) < 4 * law.alpha_stderr
    True
    """
    n_resamples = as_integer(n_resamples, "n_resamples", 2)
    means, scale = _stack_means(profiles)  # (M, R)
    check_memory(8 * n_resamples * len(means), f"{n_resamples} bootstrap draws")
    pooled, bins = select_bins(replace(profiles[0], mean=means.mean(0)), fmin, fmax)
    alpha, log_amplitude = _GammaFit(pooled, bins).solve()
    generator = seeded_generator(seed)
    draws = torch.randint(len(means), (n_resamples, len(means)), generator=generator)
    alphas = [
        _GammaFit(replace(pooled, mean=means[draw].mean(0)), bins).solve(alpha)[0] for draw in draws
    ]
    stderr = torch.tensor(alphas, dtype=torch.float64).std().item()
    amplitude = _amplitude(log_amplitude + math.log(scale))
    return PowerLaw(alpha, stderr, amplitude, float(fmin), float(fmax))


@dataclass(frozen=True)
class OrientationProfile:
    """Power by the direction of the frequency vector, relative to the mean of its ring.

    angle : (A,) centre of the sector in degrees, anticlockwise on the screen from horizontal
    mean, sem, count : (A,) as in RadialProfile; a mean of 1 everywhere is an isotropic spectrum
    """

    angle: Tensor
    mean: Tensor
    sem: Tensor
    count: Tensor


def orientation_profile(
    values: Tensor, *, fmin: float, fmax: float, n_sectors: int = 12
) -> OrientationProfile:
    r"""Mean power in each sector of directions, each ring divided by its own mean.

    .. math:: \rho(\theta) = \operatorname{mean}\bigl\{ P(\omega) / \bar P_{k(\omega)} :
        \arg \omega \in [\theta - \tfrac{\delta}{2}, \theta + \tfrac{\delta}{2}) \bigr\}

    Definition ``def-orientation-profile`` of the book. 0° is a frequency that runs horizontally:
    its crests stand upright. Dividing by the ring keeps the steep fall with the radius out of the
    comparison.

    Parameters
    ----------
    values : (H, W) power, in the order of :func:`.fft2`.
    fmin, fmax : first and last ring, in cycles/image, both included.
    n_sectors : sectors over the half circle [0°, 180°).

    Returns
    -------
    OrientationProfile

    Raises
    ------
    TypeError, ValueError
        If ``values`` is not a real (H, W) map, not 0 < fmin < fmax within the grid, a ring has no
        power, or a sector is empty.

    Source
    ------
    van der Schaaf and van Hateren (1996), doi:10.1016/0042-6989(96)00002-8.

    Examples
    --------
    >>> import torch
    >>> from freqsense import spectra
    >>> flat = torch.ones(32, 32)
    >>> spectra.orientation_profile(flat, fmin=2, fmax=16, n_sectors=4).mean.tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    grid = as_grid(values)
    if grid.is_complex():
        raise TypeError(f"values must be real, got {grid.dtype}")
    if grid.ndim != 2:
        raise ValueError(f"values must be one map (H, W), got {tuple(grid.shape)}")
    grid = grid.double().cpu()
    n_sectors = as_integer(n_sectors, "n_sectors", 2)
    shape = sides(grid)
    profile, bins = select_bins(radial_average(grid), fmin, fmax)
    if not (profile.mean[bins] > 0).all():
        raise ValueError(f"values must have positive power in every ring from {fmin} to {fmax}")
    ring = rings(shape)
    inside = ring.half & torch.isin(ring.bins, bins)  # (D,)
    relative = grid.flatten()[inside] / profile.mean[ring.bins[inside]]
    sector = _sector(shape, n_sectors).flatten()[inside]
    groups = [relative[sector == index] for index in range(n_sectors)]
    if min(map(len, groups)) == 0:
        raise ValueError(f"n_sectors={n_sectors} leaves a sector empty between {fmin} and {fmax}")
    count = torch.tensor([len(group) for group in groups])
    mean = torch.stack([group.mean() for group in groups])
    sem = torch.stack([group.std() for group in groups]) / count.sqrt()
    return OrientationProfile(torch.arange(n_sectors) * 180 / n_sectors, mean, sem, count)


def frequency_covariance(
    images: Tensor | np.ndarray | Iterable,
    *,
    window: str | Tensor | None = None,
    center: bool = True,
) -> Tensor:
    r"""Second moments between all pairs of frequencies, channel by channel.

    .. math:: \Sigma_c(\omega, \omega') =
        E\bigl[\hat x_c(\omega)\, \overline{\hat x_c(\omega')}\bigr]

    Definition ``def-frequency-covariance`` of the book. Its diagonal is the power spectrum; it is
    diagonal if the statistics are translation invariant on the torus (theorem
    ``thm-stationary-diagonal``).

    Parameters
    ----------
    images, window, center : as for :func:`power_spectrum`; at most 64 x 64 pixels.

    Returns
    -------
    complex128 tensor (C, HW, HW), frequencies flattened in the order of :func:`.fft2`.

    Raises
    ------
    TypeError, ValueError
        As :func:`power_spectrum`, or if the images are too large for a full covariance.

    Examples
    --------
    >>> import torch
    >>> from freqsense import spectra
    >>> x = torch.randn(10, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    >>> covariance = spectra.frequency_covariance(x)
    >>> spectrum = spectra.power_spectrum(x).values.flatten()
    >>> bool(torch.allclose(covariance[0].diagonal().real, spectrum))
    True
    """
    total, count = torch.zeros(()), 0
    for xhat, unit, _ in _transforms(images, window, center):  # (n, C, D)
        by_channel = xhat.transpose(0, 1)  # (C, n, D)
        total = total + unit**2 * (by_channel.transpose(1, 2) @ by_channel.conj())
        count += len(xhat)
    return (total / count).cpu()


@dataclass(frozen=True)
class Stationarity:
    """How far a set of images is from translation invariance on the torus.

    off_diagonal : share of the squared covariance that lies off the diagonal, 0 if stationary
    coherence : (H, W) mean squared correlation of frequencies ω and ω + δ, by δ; 1 at δ = 0, NaN
        where no two frequencies with power are δ apart
    n_images : number of images

    Both are corrected for the size of the sample, so a stationary set scatters around 0, on both
    sides of it.
    """

    off_diagonal: float
    coherence: Tensor
    n_images: int

    def radial(self) -> RadialProfile:
        """Squared correlation against the distance between the two frequencies."""
        return radial_average(self.coherence)


def stationarity(
    images: Tensor | np.ndarray | Iterable,
    *,
    window: str | Tensor | None = None,
    center: bool = True,
) -> Stationarity:
    r"""Measure how nearly diagonal the frequency covariance of grey images is.

    .. math:: \mathrm{off} = 1 - \frac{\sum_\omega |\Sigma(\omega,\omega)|^2}
        {\sum_{\omega,\omega'} |\Sigma(\omega,\omega')|^2}, \qquad
        \mathrm{coh}(\delta) = \operatorname{mean}_\omega
        \frac{|\Sigma(\omega, \omega+\delta)|^2}
        {\Sigma(\omega,\omega)\, \Sigma(\omega+\delta,\omega+\delta)}

    Definition ``def-stationarity-share`` of the book. A sample of N images has off-diagonal entries
    of its own, of size 1/N. Averaging over pairs of *different* images removes them: the squares
    are U-statistics, unbiased whatever the distribution, if the images are independent. Frequencies
    without power (DC, when centred) are left out.

    Parameters
    ----------
    images, window, center : as for :func:`power_spectrum`; one channel, at least two images.

    Returns
    -------
    Stationarity

    Raises
    ------
    TypeError, ValueError
        As :func:`frequency_covariance`, or if the images have several channels, or no two of them
        have power at one frequency.

    Source
    ------
    arXiv 2210.01257 (its decay of correlation with distance in frequency).

    Examples
    --------
    >>> from freqsense import images, spectra
    >>> fields = images.gaussian_field(2000, shape=(8, 8), alpha=2.0)
    >>> abs(spectra.stationarity(fields).off_diagonal) < 0.05
    True
    """
    second, fourth, count, first = torch.zeros(()), torch.zeros(()), 0, 1.0
    for xhat, unit, shape in _transforms(images, window, center):  # noqa: B007 (used after the loop)
        if xhat.shape[1] != 1:
            raise ValueError(f"images must have one channel, got {xhat.shape[1]}: make them grey")
        first = first if count else unit
        flat = xhat[:, 0] * (unit / first)  # (n, D)
        power = flat.abs().square()
        second = second + flat.T @ flat.conj()
        fourth = fourth + power.T @ power
        count += len(flat)
    if count < 2:
        raise ValueError(f"images must hold at least two images, got {count}")
    # |sum_n a_n|^2 - sum_n |a_n|^2 runs over the pairs of different images only.
    squared = ((second.abs().square() - fourth) / (count * (count - 1))).cpu()  # (D, D)
    power = (second.diagonal().real / count).cpu()  # (D,)
    check_finite(squared, "the covariance of images of about one size")
    if not power.max() > 0 or not squared.diagonal().max() > 0:
        raise ValueError("images must share power at some frequency, got none common to two")
    off_diagonal = 1 - float(squared.diagonal().sum() / squared.sum())
    return Stationarity(off_diagonal, _coherence_by_shift(squared, power, shape), count)


def _batches(images: Tensor | np.ndarray | Iterable) -> Iterator[Tensor]:
    """Yield checked stacks (n, C, H, W) of one size, small enough for the cache."""
    for name, stack, _ in as_stacks(images):
        step = max(_CHUNK_IMAGES, _CHUNK_PIXELS // math.prod(stack.shape[1:]))
        for start in range(0, len(stack), step):
            batch = as_images(stack[start : start + step], name)
            check_range(batch, name)
            yield batch


def _as_window(window: str | Tensor, batch: Tensor, center: bool) -> Tensor:
    """The window as an (H, W) tensor with mean square one, in float64 and on the CPU."""
    shape = sides(batch)
    if isinstance(window, str):
        if window != "hann":
            raise ValueError(f"window must be None, 'hann' or a tensor (H, W), got {window!r}")
        down, across = (torch.hann_window(side, dtype=torch.float64) for side in shape)
        taper = torch.outer(down, across)
    else:
        taper = as_grid(window, "window")
        if taper.is_complex():
            raise TypeError(f"window must be real, got {taper.dtype}")
        if tuple(taper.shape) != shape:
            raise ValueError(f"window must have the shape {shape}, got {tuple(taper.shape)}")
        taper = taper.double() / binary_scale(taper)
    if not torch.isfinite(taper).all() or taper.abs().sum() == 0:
        raise ValueError("window must be finite and not all zero")
    taper = taper / taper.square().mean().sqrt()
    if center and taper.mean().abs() < _EMPTY_MEAN:
        raise ValueError("window must not have the mean 0 where images are centred: center=False")
    return taper.cpu()


def _ring_inflation(taper: Tensor | None, shape: tuple[int, int]) -> Tensor:
    """Variance of a ring mean of tapered white noise over that of independent frequencies."""
    ring = rings(shape)
    if taper is None:
        return torch.ones(len(ring.count), dtype=torch.float64)
    # Of tapered Gaussian noise, power at ω and ω + δ correlates as |transform of taper²|² at δ.
    correlation = fft2(taper.square()).abs().square()  # (H, W)
    correlation = correlation / correlation[0, 0]
    bins = ring.bins.reshape(shape)
    total = torch.zeros(len(ring.count), dtype=torch.float64)
    for dy, dx in (correlation > 1e-6).nonzero().tolist():
        same = (bins == bins.roll((dy, dx), (0, 1))).double().flatten()
        total = total + correlation[dy, dx] * ring.average(same)
    return total


def _transform(
    batch: Tensor, taper: Tensor | None, center: bool, transform: Callable[..., Tensor]
) -> tuple[Tensor, float]:
    """Transforms of images (n, C, H, W), in units of a power of two that is returned too."""
    rest, mean, unit = split_mean(batch)
    if taper is not None:
        window = taper.to(rest)
        if center:
            rest = rest - (rest * window).mean((-2, -1), keepdim=True) / window.mean()
        rest = rest * window
    xhat = transform(rest, norm="ortho")
    if center:
        xhat[..., 0, 0] = 0  # taking the mean out of an image changes nothing else
    elif taper is not None:
        xhat = xhat + mean * transform(taper, norm="ortho").to(xhat)
    else:
        xhat[..., 0, 0] += mean[..., 0, 0] * math.sqrt(math.prod(sides(batch)))
    return xhat, unit


def _transforms(
    images: Tensor | np.ndarray | Iterable, window: str | Tensor | None, center: bool
) -> Iterator[tuple[Tensor, float, tuple[int, int]]]:
    """Yield transforms (n, C, D) in complex128, their unit and (H, W), of images small enough."""
    taper = None
    for batch in _batches(images):
        shape = sides(batch)
        if math.prod(shape) > _MAX_COVARIANCE_SIDE:
            raise ValueError(f"images must be at most 64 x 64 for a full covariance, got {shape}")
        check_memory(48 * batch.shape[1] * math.prod(shape) ** 2, "a full covariance")
        batch = batch.double()
        if window is not None:
            taper = _as_window(window, batch, center) if taper is None else taper
        xhat, unit = _transform(batch, taper, center, torch.fft.fft2)
        yield xhat.flatten(-2), unit, shape


def _coherence_by_shift(squared: Tensor, power: Tensor, shape: tuple[int, int]) -> Tensor:
    """Mean of squared correlation (D, D) over all pairs of the same shift δ: (H, W)."""
    height, width = shape
    index = torch.arange(height * width)
    y, x = index // width, index % width
    shift = (y - y[:, None]) % height * width + (x - x[:, None]) % width  # (D, D)
    # DC, which may be far larger, is no measure of what the others have.
    alive = power > power[1:].max() * 1e-12 if len(power) > 1 else power > 0
    both = (alive & alive[:, None]).double()
    scale = torch.where(alive & alive[:, None], power * power[:, None], 1.0)
    total = torch.zeros(height * width, dtype=torch.float64)
    pairs = total.clone()
    total.index_add_(0, shift.flatten(), (both * squared / scale).flatten())
    pairs.index_add_(0, shift.flatten(), both.flatten())
    coherence = total / pairs
    return (coherence / coherence[0]).reshape(shape)


def _stack_means(profiles: Sequence[RadialProfile]) -> tuple[Tensor, float]:
    """Check that the profiles share a grid; their curves (M, R), in a unit, and the unit."""
    if not isinstance(profiles, Sequence) or not all(
        isinstance(profile, RadialProfile) for profile in profiles
    ):
        raise TypeError(f"profiles must be a list of RadialProfile, got {describe(profiles)}")
    if len(profiles) < 2:
        raise ValueError(f"a bootstrap needs at least two profiles, got {len(profiles)}")
    curves = [profile.single() for profile in profiles]
    grids = {(curve.shape, len(curve.mean)) for curve in curves}
    if len(grids) > 1:
        raise ValueError(f"profiles must share one grid, got {sorted(map(str, grids))}")
    means = torch.stack([curve.mean for curve in curves]).double()
    check_finite(means, "profiles")
    scale = binary_scale(means)
    return means / scale, scale


@lru_cache(maxsize=64)
def _averaging(shape: tuple[int, int], first: int, last: int) -> tuple[Tensor, Tensor]:
    """The radii (U,) in the rings first to last, and the matrix (U, R) that averages over rings.

    Many frequencies of a grid share one radius: this takes a tenth of the time of ring averages.
    """
    ring = rings(shape)
    inside = (ring.bins >= first) & (ring.bins <= last)
    radius, place = ring.radius[inside].unique(return_inverse=True)
    points = torch.zeros(len(radius), last - first + 1, dtype=torch.float64)
    ones = torch.ones(len(place), dtype=torch.float64)
    points.index_put_((place, ring.bins[inside] - first), ones, accumulate=True)
    return radius, points / points.sum(0)


class _GammaFit:
    """Gamma regression with a log link: ring means on the ring averages of a power law.

    Laws are taken relative to their value at the mean radius of each ring, f^-α, which alone may be
    far from 1 and is kept as a logarithm.
    """

    def __init__(self, profile: RadialProfile, bins: Tensor) -> None:
        frequency, mean, self.sem, self.count = (
            as_tensor(getattr(profile, name), f"profile.{name}").double()[bins]
            for name in ("frequency", "mean", "sem", "count")
        )
        if not (mean > 0).all() or torch.isinf(mean).any():
            raise ValueError("profile must have positive power in every bin that is fitted")
        self.over_ring = profile.sem_over == "ring"
        self.log_frequency, self.log_mean = frequency.log(), mean.log()
        self.distance = torch.zeros(len(bins), dtype=torch.float64)
        self.averaging = torch.eye(len(bins), dtype=torch.float64)
        if profile.shape is not None:
            radius, self.averaging = _averaging(profile.shape, int(bins[0]), int(bins[-1]))
            self.distance = radius.log() - self.log_frequency[self.averaging.argmax(1)]

    def ring_moments(self, alpha: float) -> tuple[Tensor, Tensor, Tensor]:
        """Ring means of the relative law, of its slope in α, and of its square."""
        law = torch.exp(-alpha * self.distance)
        return tuple(torch.stack([law, -law * self.distance, law.square()]) @ self.averaging)

    def solve(self, start: float | None = None) -> tuple[float, float]:
        """Solve the likelihood equations; returns α and log A.

        For a given α the equation of the amplitude is explicit; that of α is then a scalar one.
        Newton steps on both at once can run in circles on profiles far from a power law.
        """
        if start is None:
            start = -float(np.polyfit(self.log_frequency, self.log_mean, 1)[0])
        alpha = brentq(lambda alpha: self._score(alpha)[0], *self._bracket(start), xtol=1e-11)
        return alpha, self._score(alpha)[1]

    def _score(self, alpha: float) -> tuple[float, float]:
        """Derivative of the log-likelihood in α at the best amplitude, and the log of that."""
        law, slope, square = self.ring_moments(alpha)
        weight = self.count * law.square() / square
        log_ratio = self.log_mean + alpha * self.log_frequency - law.log()
        log_amplitude = (log_ratio + weight.log()).logsumexp(0) - weight.sum().log()
        excess = torch.expm1(log_ratio - log_amplitude)
        score = (weight * (slope / law - self.log_frequency) * excess).sum()
        return float(score), float(log_amplitude)

    def _bracket(self, start: float) -> tuple[float, float]:
        """Exponents on both sides of the root, found by wider and wider steps."""
        for reach in (0.1, 0.4, 1.6, 6.4):
            if self._score(start - reach)[0] * self._score(start + reach)[0] < 0:
                return start - reach, start + reach
        raise ValueError("the power-law fit did not converge: the profile is too far from one")

    def alpha_stderr(self, alpha: float, log_amplitude: float) -> float:
        """Standard error of α from the information and the pooled dispersion φ."""
        law, slope, square = self.ring_moments(alpha)
        relative = self.sem * torch.exp(alpha * self.log_frequency - log_amplitude)
        scatter = relative.square() * self.count
        spare = self.count
        if self.over_ring:
            # Around a ring the law itself varies with the radius: that part is no noise.
            spare = self.count - 1
            scatter = scatter - (square - law.square()) * self.count / spare
        known = torch.isfinite(scatter)
        if not known.any():
            raise ValueError("profile must have a finite error in some bin that is fitted")
        freedom = float(spare[known].sum())
        dispersion = max(float((spare * scatter / square)[known].sum()) / freedom, 0.0)
        if self.over_ring:
            # A dispersion told from few frequencies is itself uncertain. Gamma variables leave it
            # freedom / (1 + 3φ) degrees of freedom: widen to the spread of Student's t with these.
            student = max(freedom / (1 + 3 * dispersion), 3.0)
            dispersion *= student / (student - 2)
        design = torch.stack([slope / law - self.log_frequency, torch.ones_like(law)])
        weight = self.count * law.square() / square
        covariance = torch.linalg.inv((design * weight) @ design.T)
        return math.sqrt(dispersion * float(covariance[0, 0]))


def _amplitude(log_amplitude: float) -> float:
    """Power at one cycle/image, if float64 holds it."""
    if abs(log_amplitude) > _LARGEST_LOG:
        power = f"10^{log_amplitude / math.log(10):.0f}"
        raise ValueError(f"the power fitted at one cycle/image is out of range: {power}")
    return math.exp(log_amplitude)


def _sector(shape: tuple[int, int], n_sectors: int) -> Tensor:
    """Index (H, W) of the sector that holds each frequency's direction."""
    ky, kx = frequencies(shape)
    height, width = shape
    # Rows run downwards on the screen: the sign of ky turns the angle anticlockwise.
    angle = torch.atan2(-ky / height, kx / width) / torch.pi * n_sectors
    return (angle + 0.5 + 1e-9).floor().long() % n_sectors
