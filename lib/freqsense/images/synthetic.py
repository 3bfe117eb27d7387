"""Images made by a model: Gaussian fields and dead leaves."""

import math

import torch
from torch import Tensor

from freqsense._checks import as_integer, as_real, as_shape, describe, seeded_generator
from freqsense._memory import check_memory
from freqsense.fourier import fft2, ifft2, radial_frequency

__all__ = ["dead_leaves", "gaussian_field"]

# Gaussian fields are made this many pixels at a time, which bounds the memory they take on the way.
_CHUNK_PIXELS = 2**20

_STEEPEST = 1e12


def gaussian_field(n: int, *, shape: tuple[int, int], alpha: float, seed: int = 0) -> Tensor:
    r"""Gaussian images whose power falls as a power law of radial frequency.

    .. math:: \mathbb E\,|\hat x(\omega)|^2 = c\, |\omega|^{-\alpha} \quad (\omega \ne 0), \qquad
        \hat x(0) = 0, \qquad
        c = \frac{D}{\sum_{\omega \ne 0} |\omega|^{-\alpha}}

    Definition ``def-gaussian-field`` of the book. White noise, filtered: exactly stationary on the
    torus (opposite borders join), and of expected pixel variance 1.

    Parameters
    ----------
    n : number of images.
    shape : (H, W), at least two pixels.
    alpha : exponent of the power (not the amplitude); 0 is white noise, 2 like photographs.
    seed : same seed, same images.

    Returns
    -------
    float32 tensor (n, 1, H, W), of mean 0.

    Raises
    ------
    TypeError, ValueError
        If ``n`` or ``shape`` is not made of positive integers or ``alpha`` is not finite.

    Source
    ------
    Field 1987, doi:10.1364/JOSAA.4.002379 (for the power law of natural images).

    Examples
    --------
    >>> from freqsense import images
    >>> x = images.gaussian_field(100, shape=(16, 24), alpha=2)
    >>> x.shape, round(x.square().mean().item(), 1)
    (torch.Size([100, 1, 16, 24]), 1.0)
    """
    n = as_integer(n, "n", 1)
    height, width = as_shape(shape)
    if height * width < 2:
        raise ValueError("shape must have at least two pixels, since DC is zero, got (1, 1)")
    gain = _power_law_gain((height, width), as_real(alpha, "alpha"))
    generator = seeded_generator(seed)
    _check_stack(n, height, width)
    field = torch.empty(n, 1, height, width)
    for chunk in field.split(max(1, _CHUNK_PIXELS // (height * width))):
        white = torch.randn(chunk.shape, generator=generator, dtype=torch.float64)
        chunk.copy_(ifft2(gain * fft2(white)).real)
    return field


def dead_leaves(
    n: int,
    *,
    shape: tuple[int, int] = (256, 256),
    r_min: float = 2.0,
    r_max: float | None = None,
    seed: int = 0,
) -> Tensor:
    r"""Images of discs that hide one another: the scale-invariant dead leaves model.

    .. math:: x[p] = g_{i(p)}, \qquad i(p) = \min \{ i : \mathrm{dist}(p, c_i) \le r_i \},
        \qquad \rho(r) \propto r^{-3} \quad (r_\mathrm{min} \le r \le r_\mathrm{max})

    Definition ``def-dead-leaves`` of the book: leaves i = 1, 2, ... lie front to back, with uniform
    centres c, uniform grey levels g in [0, 1) and radii r of density ρ. Drawn until every pixel is
    covered, which gives exact samples of the model; distances wrap around the borders, so that it
    is exactly stationary.

    Parameters
    ----------
    n : number of images.
    shape : (H, W) in pixels.
    r_min, r_max : radii in pixels, 0.5 <= r_min < r_max <= half the shorter side (the default).
    seed : same seed, same images.

    Returns
    -------
    float32 tensor (n, 1, H, W) in [0, 1].

    Raises
    ------
    TypeError, ValueError
        If ``n`` or ``shape`` is not made of positive integers or a radius is outside its range.

    Source
    ------
    Lee, Mumford and Huang 2001, doi:10.1023/A:1011109015675; front-to-back sampling and the exact
    covariance: Bordenave, Gousseau and Roueff 2006, doi:10.1239/aap/1143936138.

    Examples
    --------
    >>> from freqsense import images
    >>> x = images.dead_leaves(2, shape=(32, 48))
    >>> x.shape, bool(x.min() >= 0), bool(x.max() <= 1)
    (torch.Size([2, 1, 32, 48]), True, True)
    """
    n = as_integer(n, "n", 1)
    height, width = as_shape(shape)
    half = min(height, width) / 2
    r_min = as_real(r_min, "r_min", 0.5)
    r_max = half if r_max is None else as_real(r_max, "r_max")
    if not r_min < r_max <= half:
        raise ValueError(
            f"radii must satisfy r_min < r_max <= {half:g} (half the shorter side), "
            f"got r_min={r_min:g} and r_max={r_max:g}"
        )
    generator = seeded_generator(seed)
    _check_stack(n, height, width)
    pile = [_pile_leaves((height, width), r_min, r_max, generator) for _ in range(n)]
    return torch.stack(pile).unsqueeze(1)


def _check_stack(n: int, height: int, width: int) -> None:
    check_memory(4 * n * height * width, f"{describe(n)} images of {height} x {width}")


def _power_law_gain(shape: tuple[int, int], alpha: float) -> Tensor:
    """Gain (H, W) that turns unit white noise into power-law noise of unit pixel variance."""
    # Beyond this exponent all power is at one radius; products with a larger one are infinite.
    alpha = max(-_STEEPEST, min(alpha, _STEEPEST))
    log_power = -alpha * radial_frequency(shape).log()
    log_power[0, 0] = -torch.inf
    power = (log_power - log_power.max()).exp()  # by logarithms: no overflow at any alpha
    return (power / power.mean()).sqrt()


def _pile_leaves(
    shape: tuple[int, int], r_min: float, r_max: float, generator: torch.Generator
) -> Tensor:
    """One dead leaves image (H, W): leaves are numbered front to back, the lowest number shows."""
    n_pixels = math.prod(shape)
    mean_area = 2 * math.pi * math.log(r_max / r_min) / (r_min**-2 - r_max**-2)
    n_batch = math.ceil(n_pixels / mean_area)  # leaves whose areas add up to about one image
    front = torch.full((n_pixels,), torch.iinfo(torch.int64).max)
    greys: list[Tensor] = []
    while not greys or int(front.max()) >= n_batch * len(greys):
        centres, radii, grey = _draw_leaves(n_batch, shape, r_min, r_max, generator)
        leaf, pixel = _disc_pixels(centres, radii, shape)
        front.scatter_reduce_(0, pixel, leaf + n_batch * len(greys), "amin")
        greys.append(grey)
    return torch.cat(greys)[front].reshape(shape)


def _draw_leaves(
    n: int, shape: tuple[int, int], r_min: float, r_max: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Centres (n, 2) and radii (n,) in pixels, and grey levels (n,), of n leaves."""
    uniform = torch.rand(n, 3, generator=generator, dtype=torch.float64)
    centres = uniform[:, :2] * torch.tensor(shape)
    # The fraction of leaves larger than r is linear in r^-2: draw that uniformly.
    radii = (r_max**-2 + uniform[:, 2] * (r_min**-2 - r_max**-2)).rsqrt()
    return centres, radii, torch.rand(n, generator=generator)


def _disc_pixels(centres: Tensor, radii: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """All (disc, pixel) pairs with the pixel inside the disc, pixels numbered row by row."""
    height, width = shape
    y, x = centres.T
    disc, row = _integers_between(y - radii, y + radii)
    half_chord = (radii[disc].square() - (row - y[disc]).square()).clamp(min=0).sqrt()
    chord, column = _integers_between(x[disc] - half_chord, x[disc] + half_chord)
    return disc[chord], (row[chord] % height) * width + column % width


def _integers_between(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """All (interval, integer) pairs with the integer inside the closed interval [low, high]."""
    first = low.ceil().long()
    count = high.floor().long() - first + 1  # 0 where the interval holds no integer
    interval = torch.repeat_interleave(count)
    offset = torch.arange(len(interval)) - (count.cumsum(0) - count)[interval]
    return interval, first[interval] + offset
