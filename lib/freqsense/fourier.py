"""The one Fourier convention of the project: unitary, over the last two axes, DC first."""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from freqsense._checks import (
    as_flag,
    as_grid,
    as_integer,
    as_real,
    as_shape,
    as_tensor,
    check_finite,
    describe,
    sides,
)
from freqsense._scale import binary_scale

__all__ = [
    "RadialProfile",
    "Rings",
    "fft2",
    "fourier_mode",
    "frequencies",
    "ifft2",
    "radial_average",
    "radial_frequency",
    "radial_mask",
    "rings",
    "select_bins",
    "unfold_half",
]

# Radii are computed in floating point: 5 = sqrt(3^2 + 4^2) may come out a rounding error short.
_RADIUS_SLACK = 1e-9


def fft2(x: Tensor) -> Tensor:
    r"""Unitary discrete Fourier transform over the last two axes.

    .. math:: \hat x(\omega) = D^{-1/2} \sum_p x[p] \exp(-2\pi i\, \omega \cdot p / n),
        \qquad D = HW

    Definition ``def-unitary-dft`` of the book. Parseval's identity holds without a factor
    (theorem ``thm-parseval``).

    Parameters
    ----------
    x : tensor (..., H, W), real or complex, float32 or float64.

    Returns
    -------
    tensor (..., H, W), complex, with frequency (0, 0) first: undo with :func:`ifft2`.

    Raises
    ------
    TypeError, ValueError
        If ``x`` is not a float or complex tensor with at least two non-empty axes, not finite, or
        so large that sums over a grid leave the range of its dtype.

    Examples
    --------
    >>> import torch
    >>> from freqsense import fourier
    >>> x = torch.ones(4, 4, dtype=torch.float64)
    >>> fourier.fft2(x)[0, 0].real.item()      # all the energy of a constant image sits at DC
    4.0
    """
    x = _as_signal(x, "x")
    return _finite(torch.fft.fft2(x, norm="ortho"), x, "x")


def ifft2(xhat: Tensor) -> Tensor:
    r"""Inverse of :func:`fft2`; complex, take ``.real`` when the image is known to be real.

    .. math:: x[p] = D^{-1/2} \sum_\omega \hat x(\omega) \exp(2\pi i\, \omega \cdot p / n)

    Equation ``eq-inverse-dft`` of the book.

    Parameters
    ----------
    xhat : tensor (..., H, W), real or complex.

    Returns
    -------
    tensor (..., H, W), complex.

    Raises
    ------
    TypeError, ValueError
        As for :func:`fft2`.

    Examples
    --------
    >>> import torch
    >>> from freqsense import fourier
    >>> x = torch.arange(6, dtype=torch.float64).reshape(2, 3)
    >>> bool(torch.allclose(fourier.ifft2(fourier.fft2(x)).real, x))
    True
    """
    xhat = _as_signal(xhat, "xhat")
    return _finite(torch.fft.ifft2(xhat, norm="ortho"), xhat, "xhat")


def frequencies(shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    r"""Signed integer frequencies (ky, kx) of every point of the DFT grid, in cycles/image.

    .. math:: k_y \in \{-\lfloor H/2 \rfloor, \dots, \lceil H/2 \rceil - 1\}

    and likewise for kx, in the order of :func:`fft2` (equation ``eq-frequency-grid``). The Nyquist
    frequency of an even side has the sign minus.

    Parameters
    ----------
    shape : (H, W), positive integers.

    Returns
    -------
    (ky, kx) : two float64 tensors (H, W).

    Raises
    ------
    TypeError, ValueError
        If ``shape`` is not a pair of positive integers.

    Examples
    --------
    >>> from freqsense import fourier
    >>> ky, kx = fourier.frequencies((2, 5))
    >>> kx[0].tolist()
    [0.0, 1.0, 2.0, -2.0, -1.0]
    """
    height, width = as_shape(shape)
    ky = torch.fft.fftfreq(height, d=1 / height, dtype=torch.float64).round()  # (H,)
    kx = torch.fft.fftfreq(width, d=1 / width, dtype=torch.float64).round()  # (W,)
    rows, columns = torch.meshgrid(ky, kx, indexing="ij")
    return rows, columns


def radial_frequency(shape: tuple[int, int]) -> Tensor:
    r"""Radial frequency of every grid point, in cycles per image along the shorter side.

    .. math:: |\omega| = \min(H, W) \sqrt{(k_y/H)^2 + (k_x/W)^2}

    Definition ``def-radial-frequency`` of the book. Divide by min(H, W) for cycles/pixel.

    Parameters
    ----------
    shape : (H, W), positive integers.

    Returns
    -------
    float64 tensor (H, W).

    Raises
    ------
    TypeError, ValueError
        If ``shape`` is not a pair of positive integers.

    Examples
    --------
    >>> from freqsense import fourier
    >>> fourier.radial_frequency((4, 8))[0].tolist()     # the width holds two shorter sides
    [0.0, 0.5, 1.0, 1.5, 2.0, 1.5, 1.0, 0.5]
    """
    height, width = as_shape(shape)
    ky, kx = frequencies((height, width))
    return min(height, width) * torch.hypot(ky / height, kx / width)


def radial_mask(shape: tuple[int, int], low: float, high: float) -> Tensor:
    r"""True where low <= \|ω\| < high: a ring that owns its inner edge and not its outer one.

    .. math:: M(\omega) = [\,r_\mathrm{low} \le |\omega| < r_\mathrm{high}\,]

    Equation ``eq-radial-mask`` of the book. Rings that share an edge do not overlap.

    Parameters
    ----------
    shape : (H, W), positive integers.
    low, high : radii in cycles/image, 0 <= low < high; ``high`` may be infinite.

    Returns
    -------
    bool tensor (H, W).

    Raises
    ------
    TypeError, ValueError
        If ``shape`` is no pair of positive integers, or not 0 <= low < high.

    Examples
    --------
    >>> from freqsense import fourier
    >>> int(fourier.radial_mask((8, 8), 0, 1).sum())     # DC alone
    1
    """
    radius = radial_frequency(shape)
    low = as_real(low, "low", 0)
    if not isinstance(high, float) or high != math.inf:
        high = as_real(high, "high")
    if not low < high:
        raise ValueError(f"low must be smaller than high, got low={low} and high={high}")
    return (radius > low - _RADIUS_SLACK) & (radius < high - _RADIUS_SLACK)


def fourier_mode(shape: tuple[int, int], ky: int, kx: int) -> Tensor:
    r"""Unit Fourier direction of frequency (ky, kx).

    .. math:: e_\omega[p] = D^{-1/2} \exp(2\pi i\, \omega \cdot p / n)

    Definition ``def-fourier-mode`` of the book: an orthonormal basis of the images of one channel.

    Parameters
    ----------
    shape : (H, W), positive integers.
    ky, kx : signed integer frequencies in cycles/image, at most half a side in size.

    Returns
    -------
    complex128 tensor (H, W) of norm 1.

    Raises
    ------
    TypeError, ValueError
        If a frequency is not an integer or lies outside the grid.

    Examples
    --------
    >>> from freqsense import fourier
    >>> mode = fourier.fourier_mode((3, 5), 1, -2)
    >>> round(float(mode.abs().square().sum()), 12)
    1.0
    """
    height, width = as_shape(shape)
    ky = as_integer(ky, "ky", -(height // 2), height // 2)
    kx = as_integer(kx, "kx", -(width // 2), width // 2)
    spike = torch.zeros(height, width, dtype=torch.complex128)
    spike[ky, kx] = 1
    return ifft2(spike)


@dataclass(frozen=True)
class RadialProfile:
    """A quantity by radial frequency.

    frequency : (R,) mean radius of the bin, in cycles/image
    mean : (..., R) mean over the grid points of the bin
    sem : (..., R) standard error of the mean, NaN where it cannot be told
    count : (R,) number of independent values in the bin: ω and -ω count once
    shape : (H, W) of the grid averaged on, or None if not known
    sem_over : what ``sem`` was told from, the scatter over the "ring" or over "images"

    ``profile[c]`` is the profile of channel c.
    """

    frequency: Tensor
    mean: Tensor
    sem: Tensor
    count: Tensor
    shape: tuple[int, int] | None = None
    sem_over: str = "ring"

    def __getitem__(self, channel: int) -> "RadialProfile":
        return replace(self, mean=self.mean[channel], sem=self.sem[channel])

    def single(self) -> "RadialProfile":
        """Return the one curve of the profile, with mean (R,); ValueError if it holds several."""
        mean, sem = as_tensor(self.mean, "profile.mean"), as_tensor(self.sem, "profile.sem")
        if mean.numel() != len(self.frequency):
            got = tuple(mean.shape)
            raise ValueError(f"profile must hold one curve (R,), got {got}: take profile[channel]")
        if sem.numel() != mean.numel():
            raise ValueError(f"profile must hold an error for each mean, got {tuple(sem.shape)}")
        return replace(self, mean=mean.reshape(-1), sem=sem.reshape(-1))


def radial_average(values: Tensor, *, fftshifted: bool = False) -> RadialProfile:
    r"""Average over rings of constant radial frequency.

    .. math:: \bar v_k = \frac{1}{|R_k|} \sum_{\omega \in R_k} v(\omega), \qquad
        R_k = \{\omega : k - 1/2 \le |\omega| < k + 1/2\}, \quad
        k = 0, \dots, \lfloor \min(H,W)/2 \rfloor

    Definition ``def-radial-average`` of the book. A cosine of integer frequency k along the shorter
    side lies in bin k, and DC alone in bin 0 of a square grid. A real image has the same power at ω
    and -ω, so the pair counts once in ``count`` and in ``sem``; an error that counts it twice is
    too small by a factor of about √2.

    Parameters
    ----------
    values : real (..., H, W): any quantity on the frequency grid, in the order of :func:`fft2`.
    fftshifted : True if DC is in the middle instead, as :func:`torch.fft.fftshift` leaves it.

    Returns
    -------
    RadialProfile
        ``mean`` in the unit of ``values``, ``frequency`` in cycles/image, all float64.

    Raises
    ------
    TypeError, ValueError
        If ``values`` is not a real, finite, non-empty tensor with at least two axes.

    Examples
    --------
    >>> import torch
    >>> from freqsense import fourier
    >>> x = torch.cos(2 * torch.pi * 3 * torch.arange(16) / 16).expand(16, 16)
    >>> power = fourier.fft2(x).abs().square()
    >>> fourier.radial_average(power).mean.argmax().item()
    3
    """
    grid = as_grid(values)
    if grid.is_complex():
        raise TypeError("values must be real (take .abs() or .abs().square()), got complex")
    check_finite(grid, "values")
    if as_flag(fftshifted, "fftshifted"):
        grid = torch.fft.ifftshift(grid, dim=(-2, -1))
    shape = sides(grid)
    ring = rings(shape)
    flat = grid.flatten(-2).double().to("cpu")  # (..., D)
    scale = binary_scale(flat)
    flat = flat / scale
    mean = scale * ring.average(flat)
    sem = scale * _standard_error((flat + flat[..., ring.mirror]) / 2, ring)
    return RadialProfile(ring.frequency.clone(), mean, sem, ring.count.clone(), shape)


def select_bins(profile: RadialProfile, fmin: float, fmax: float) -> tuple[RadialProfile, Tensor]:
    r"""Tell which bins of a profile lie between two radial frequencies.

    .. math:: \{k : f_\mathrm{min} \le k \le f_\mathrm{max}\}

    The bins are those of definition ``def-radial-average`` of the book; a fit needs three.

    Parameters
    ----------
    profile : a RadialProfile that holds one curve.
    fmin, fmax : first and last bin, in cycles/image, both included.

    Returns
    -------
    (profile, bins) : the profile with ``mean`` (R,), and the indices of the bins.

    Raises
    ------
    TypeError, ValueError
        If ``profile`` is no RadialProfile or holds several curves, not 0 < fmin < fmax within the
        grid, or fewer than three bins remain.

    Examples
    --------
    >>> import torch
    >>> from freqsense import fourier
    >>> fourier.select_bins(fourier.radial_average(torch.ones(16, 16)), 2, 5)[1].tolist()
    [2, 3, 4, 5]
    """
    if not isinstance(profile, RadialProfile):
        raise TypeError(f"profile must be a RadialProfile, got {type(profile).__name__}")
    profile = profile.single()
    # The mean radius of bin k lies within half a cycle of k, also on a profile without its grid.
    ring = (as_tensor(profile.frequency, "profile.frequency") + 0.5).floor()
    check_finite(ring, "profile.frequency")
    last = int(ring.max())
    fmin, fmax = as_real(fmin, "fmin"), as_real(fmax, "fmax")
    if not 0 < fmin < fmax <= last:
        raise ValueError(f"expected 0 < fmin < fmax <= {last}, got fmin={fmin} and fmax={fmax}")
    bins = ((ring >= fmin) & (ring <= fmax)).nonzero().squeeze(1)
    if len(bins) < 3:
        raise ValueError(f"a fit needs at least 3 bins, got {len(bins)} from {fmin} to {fmax}")
    return profile, bins


def unfold_half(half: Tensor, width: int) -> Tensor:
    r"""Complete an even map from its non-negative horizontal frequencies.

    .. math:: v(-\omega) = v(\omega)

    What :func:`torch.fft.rfft2` leaves out of the squared modulus of a real image's transform
    (theorem ``thm-hermitian-symmetry`` of the book). Values are copied, NaN among them too.

    Parameters
    ----------
    half : (..., H, W // 2 + 1), real.
    width : W.

    Returns
    -------
    tensor (..., H, W), in the order of :func:`fft2`.

    Raises
    ------
    TypeError, ValueError
        If ``half`` is no float tensor with W // 2 + 1 columns.

    Examples
    --------
    >>> import torch
    >>> from freqsense import fourier
    >>> x = torch.rand(5, 6, generator=torch.Generator().manual_seed(0))
    >>> half = torch.fft.rfft2(x, norm="ortho").abs()
    >>> bool(torch.allclose(fourier.unfold_half(half, 6), fourier.fft2(x).abs()))
    True
    """
    half, width = as_grid(half, "half"), as_integer(width, "width", 1)
    if half.shape[-1] != width // 2 + 1:
        columns = describe(width // 2 + 1)
        raise ValueError(f"half must have {columns} columns, got {half.shape[-1]}")
    rest = half[..., 1 : (width + 1) // 2].flip(-2, -1).roll(1, -2)
    return torch.cat([half, rest], dim=-1)


@dataclass(frozen=True)
class Rings:
    """Ring membership of the D = HW points of a grid, flattened in the order of :func:`fft2`.

    radius : (D,) radial frequency, in cycles/image
    bins : (D,) ring of each point, R for the corners beyond the last ring
    mirror : (D,) index of -ω
    half : (D,) bool, True for one of each pair ±ω
    frequency : (R,) mean radius of each ring
    n_points : (R,) points in each ring
    count : (R,) pairs in each ring
    """

    radius: Tensor
    bins: Tensor
    mirror: Tensor
    half: Tensor
    frequency: Tensor
    n_points: Tensor
    count: Tensor

    def sum(self, flat: Tensor) -> Tensor:
        """Sum of (..., D) values over each ring, (..., R)."""
        n_rings = len(self.count)
        total = torch.zeros(*flat.shape[:-1], n_rings + 1, dtype=flat.dtype)
        return total.index_add_(-1, self.bins, flat)[..., :n_rings]

    def average(self, flat: Tensor) -> Tensor:
        """Mean of (..., D) values over each ring, (..., R)."""
        return self.sum(flat) / self.n_points


def rings(shape: tuple[int, int]) -> Rings:
    r"""Tell which ring of :func:`radial_average` each grid point lies in.

    .. math:: R_k = \{\omega : k - 1/2 \le |\omega| < k + 1/2\}

    Definition ``def-radial-average`` of the book. Kept for each shape: do not write to it.

    Parameters
    ----------
    shape : (H, W), positive integers.

    Returns
    -------
    Rings

    Raises
    ------
    TypeError, ValueError
        If ``shape`` is not a pair of positive integers.

    Examples
    --------
    >>> from freqsense import fourier
    >>> fourier.rings((4, 4)).count.tolist()      # DC, then four pairs of radius 1 or √2, ...
    [1, 4, 4]
    """
    return _rings(as_shape(shape))


@lru_cache(maxsize=64)
def _rings(shape: tuple[int, int]) -> Rings:
    height, width = shape
    n_rings = min(height, width) // 2 + 1
    radius = radial_frequency(shape).flatten()
    # Half-way radii, which occur on rectangular grids, go up whatever their rounding error.
    bins = (radius + 0.5 + _RADIUS_SLACK).floor().long().clamp(max=n_rings)
    index = torch.arange(height * width).reshape(height, width)
    mirror = index.flip(0, 1).roll((1, 1), (0, 1)).flatten()
    half = index.flatten() <= mirror
    n_points, total, count = (
        torch.bincount(bins, weights=weights, minlength=n_rings + 1)[:n_rings]
        for weights in (None, radius, half.double())
    )
    return Rings(radius, bins, mirror, half, total / n_points, n_points, count.long())


def _standard_error(paired: Tensor, ring: Rings) -> Tensor:
    """Standard error of ring means from the scatter of the pairs; ``paired`` (..., D) is even."""
    once = paired * ring.half
    centre = torch.nn.functional.pad(ring.sum(once) / ring.count, (0, 1))  # (..., R + 1)
    squares = ring.sum((paired - centre[..., ring.bins]).square() * ring.half)
    variance = squares / (ring.count - 1)  # 0/0 = NaN where the ring holds one value
    return (variance / ring.count).sqrt()


def _as_signal(x: Tensor, name: str) -> Tensor:
    """Check a signal without cutting it from the gradient tape."""
    as_grid(x, name)
    return as_tensor(x, name)


def _finite(transform: Tensor, x: Tensor, name: str) -> Tensor:
    """The transform, if all of it is finite; as a rule one sum tells."""
    if not torch.isfinite(transform.detach().sum()) and not torch.isfinite(transform).all():
        check_finite(x, name)
        largest = x.abs().max().item()
        raise ValueError(f"{name} must be small enough for sums over its grid, got {largest:g}")
    return transform
