"""Filters that change how much power images have at each frequency and leave the phases alone."""

import math

import torch
from torch import Tensor

from freqsense._checks import (
    as_grid,
    as_images,
    as_real,
    check_finite,
    describe,
    seeded_generator,
    sides,
)
from freqsense._scale import binary_scale, split_mean
from freqsense.fourier import fft2, ifft2, radial_frequency, radial_mask
from freqsense.spectra import PowerSpectrum, power_spectrum

__all__ = [
    "band_pass",
    "high_pass",
    "low_pass",
    "recolor",
    "scramble_phases",
    "swap_phases",
    "whiten",
]

# Power below this share of the largest is rounding error: whitening must not blow it up.
_EMPTY_POWER = 1e-10


def high_pass(images: Tensor, radius: float) -> Tensor:
    r"""Remove all frequencies below a radius.

    .. math:: \hat y(\omega) = [\,|\omega| \ge r\,]\; \hat x(\omega)

    Equation ``eq-high-pass`` of the book. The gain is 1 at the radius itself and above, 0 below it:
    :func:`low_pass` with the same radius returns exactly the rest.

    Parameters
    ----------
    images : (N, C, H, W), float32 or float64.
    radius : cut-off in cycles/image along the shorter side, at least 0.

    Returns
    -------
    tensor (N, C, H, W) of the same dtype and device.

    Raises
    ------
    TypeError, ValueError
        If the images are not a real, finite stack, or the radius is negative.

    Source
    ------
    arXiv 2210.01257, whose filter is square; this one is round.

    Examples
    --------
    >>> import torch
    >>> from freqsense import filters
    >>> wave = torch.cos(2 * torch.pi * 3 * torch.arange(16) / 16).expand(1, 1, 16, 16)
    >>> bool(torch.allclose(filters.high_pass(wave, 3), wave, atol=1e-6))
    True
    >>> bool(filters.high_pass(wave, 4).abs().max() < 1e-6)
    True
    """
    return band_pass(images, radius, math.inf)


def low_pass(images: Tensor, radius: float) -> Tensor:
    r"""Keep only the frequencies below a radius.

    .. math:: \hat y(\omega) = [\,|\omega| < r\,]\; \hat x(\omega)

    Equation ``eq-low-pass`` of the book. The gain is 0 at the radius itself and above.

    Parameters
    ----------
    images : (N, C, H, W), float32 or float64.
    radius : cut-off in cycles/image along the shorter side, above 0.

    Returns
    -------
    tensor (N, C, H, W) of the same dtype and device.

    Raises
    ------
    TypeError, ValueError
        If the images are not a real, finite stack, or the radius is not positive.

    Examples
    --------
    >>> import torch
    >>> from freqsense import filters
    >>> x = torch.rand(2, 3, 9, 12, dtype=torch.float64)
    >>> bool(torch.allclose(filters.low_pass(x, 4) + filters.high_pass(x, 4), x))
    True
    """
    return band_pass(images, 0, radius)


def band_pass(images: Tensor, low: float, high: float) -> Tensor:
    r"""Keep only the frequencies of a ring.

    .. math:: \hat y(\omega) = [\,r_\mathrm{low} \le |\omega| < r_\mathrm{high}\,]\; \hat x(\omega)

    Equation ``eq-band-pass`` of the book. The gain is 1 at the inner edge and 0 at the outer one.

    Parameters
    ----------
    images : (N, C, H, W), float32 or float64.
    low, high : edges in cycles/image along the shorter side, 0 <= low < high, high may be infinite.

    Returns
    -------
    tensor (N, C, H, W) of the same dtype and device.

    Raises
    ------
    TypeError, ValueError
        If the images are not a real, finite stack, or not 0 <= low < high.

    Examples
    --------
    >>> import torch
    >>> from freqsense import filters
    >>> wave = torch.cos(2 * torch.pi * 3 * torch.arange(16) / 16).expand(1, 1, 16, 16)
    >>> bool(torch.allclose(filters.band_pass(wave, 3, 4), wave, atol=1e-6))
    True
    """
    images = as_images(images)
    mask = radial_mask(sides(images), low, high)
    return _apply_gain(images, mask)


def recolor(images: Tensor, delta: float) -> Tensor:
    r"""Change the exponent of the spectrum: multiply the amplitude by a power of the frequency.

    .. math:: \hat y(\omega) = |\omega|^{\delta}\, \hat x(\omega), \qquad \hat y(0) = \hat x(0)

    Equation ``eq-recolor`` of the book. Power that falls with exponent α falls with α - 2δ after.
    Nothing is rescaled: at one cycle/image the gain is 1.

    Parameters
    ----------
    images : (N, C, H, W), float32 or float64.
    delta : exponent δ of the *amplitude* gain; frequencies in cycles/image along the shorter side.

    Returns
    -------
    tensor (N, C, H, W) of the same dtype and device.

    Raises
    ------
    TypeError, ValueError
        If the images are not a real, finite stack, delta is not finite, or its gain leaves the
        range of the dtype.

    Examples
    --------
    >>> import torch
    >>> from freqsense import filters
    >>> wave = torch.cos(2 * torch.pi * 4 * torch.arange(16) / 16).expand(1, 1, 16, 16)
    >>> bool(torch.allclose(filters.recolor(wave, 0.5), 2 * wave, atol=1e-5))
    True
    """
    images = as_images(images)
    delta = as_real(delta, "delta")
    radius = radial_frequency(sides(images))
    gain = torch.where(radius > 0, radius, 1.0) ** delta
    return _apply_gain(images, gain)


def whiten(images: Tensor, *, spectrum: PowerSpectrum | None = None) -> Tensor:
    r"""Flatten the spectrum: divide by the root of the mean power at each frequency and channel.

    .. math:: \hat y_c(\omega) = \hat x_c(\omega) \,/\, \sqrt{P_c(\omega)}

    Equation ``eq-whiten`` of the book. Frequencies without power stay empty.

    Parameters
    ----------
    images : (N, C, H, W), float32 or float64.
    spectrum : power to divide by, say that of the training images when test images are whitened; by
        default that of ``images`` themselves, their means included.

    Returns
    -------
    tensor (N, C, H, W) of the same dtype and device; its mean power is 1 wherever there was any.

    Raises
    ------
    TypeError, ValueError
        If the images are not a real, finite stack, or the spectrum is none of their shape.

    Source
    ------
    Simoncelli and Olshausen (2001), doi:10.1146/annurev.neuro.24.1.1193.

    Examples
    --------
    >>> import torch
    >>> from freqsense import filters, images, spectra
    >>> fields = images.gaussian_field(100, shape=(8, 8), alpha=2.0).double()
    >>> power = spectra.power_spectrum(filters.whiten(fields)).values[0]
    >>> bool(torch.allclose(power[0, 1:], torch.ones(7, dtype=torch.float64)))
    True
    """
    images = as_images(images)
    if spectrum is None:
        spectrum = power_spectrum(images, center=False)
    if not isinstance(spectrum, PowerSpectrum):
        raise TypeError(f"spectrum must be a PowerSpectrum, got {describe(spectrum)}")
    power = as_grid(spectrum.values, "spectrum.values").double()  # (C, H, W)
    if power.shape != images.shape[1:]:
        expected, got = tuple(images.shape[1:]), tuple(power.shape)
        raise ValueError(f"spectrum must have the shape of one image {expected}, got {got}")
    # DC, which may be far larger, is no measure of what the others have.
    largest = power.flatten(1)[:, 1:].amax(1) if power[0].numel() > 1 else power.new_zeros(1)
    alive = power > _EMPTY_POWER * largest[:, None, None]
    return _apply_gain(images, torch.where(alive, power, torch.inf).rsqrt())


def swap_phases(images: Tensor, others: Tensor) -> Tensor:
    r"""Give images the phases of other images, and keep their amplitudes.

    .. math:: \hat y(\omega) = |\hat x(\omega)|\, e^{i \arg \hat z(\omega)}

    Equation ``eq-swap-phases`` of the book, frequency by frequency and channel by channel.

    Parameters
    ----------
    images : x, (N, C, H, W), float32 or float64: they give the amplitudes.
    others : z, of the same shape: they give the phases.

    Returns
    -------
    tensor (N, C, H, W) of the same dtype and device as ``images``.

    Raises
    ------
    TypeError, ValueError
        If the images are not two real, finite stacks of one shape.

    Source
    ------
    Oppenheim and Lim (1981), doi:10.1109/PROC.1981.12022.

    Examples
    --------
    >>> import torch
    >>> from freqsense import filters
    >>> x = torch.rand(1, 1, 8, 8, dtype=torch.float64)
    >>> bool(torch.allclose(filters.swap_phases(x, x), x))
    True
    """
    images, others = as_images(images), as_images(others, "others")
    if images.shape != others.shape:
        expected, got = tuple(images.shape), tuple(others.shape)
        raise ValueError(f"others must have the shape of images {expected}, got {got}")
    rest, mean, unit = split_mean(images)
    other_rest, other_mean, _ = split_mean(others.to(images))
    mean = mean.abs() * torch.where(other_mean < 0, -1, 1)
    return _join(torch.polar(fft2(rest).abs(), fft2(other_rest).angle()), mean, unit)


def scramble_phases(images: Tensor, *, seed: int = 0) -> Tensor:
    r"""Turn all phases at random: a texture with the same power at every frequency.

    .. math:: \hat y(\omega) = \hat x(\omega)\, e^{i \phi(\omega)}, \qquad
        \phi(-\omega) = -\phi(\omega) \text{ uniform}, \quad \hat y(0) = \hat x(0)

    Equation ``eq-scramble-phases`` of the book. A random phase is *added*, one draw for each image,
    shared by its channels: the relations between colours stay as they were.

    Parameters
    ----------
    images : (N, C, H, W), float32 or float64.
    seed : of the noise.

    Returns
    -------
    tensor (N, C, H, W) of the same dtype and device.

    Raises
    ------
    TypeError, ValueError
        If the images are not a real, finite stack, or the seed is no natural number.

    Source
    ------
    Galerne, Gousseau and Morel (2011), doi:10.1109/TIP.2010.2052822.

    Examples
    --------
    >>> import torch
    >>> from freqsense import filters, fourier
    >>> x = torch.rand(1, 1, 8, 8, dtype=torch.float64)
    >>> y = filters.scramble_phases(x)
    >>> bool(torch.allclose(fourier.fft2(y).abs(), fourier.fft2(x).abs()))
    True
    """
    images = as_images(images)
    generator = seeded_generator(seed)
    shape = (len(images), 1, *images.shape[-2:])
    noise = fft2(torch.randn(shape, generator=generator, dtype=torch.float64))
    turn = torch.polar(torch.ones_like(noise.real), noise.angle())
    turn[..., 0, 0] = 1
    # At DC and Nyquist the noise is real, and so is the turn: the result stays real.
    rest, mean, unit = split_mean(images.double())
    turned = _join(fft2(rest) * turn.to(images.device), mean, unit)
    return turned.to(images.dtype)


def _apply_gain(images: Tensor, gain: Tensor) -> Tensor:
    """Multiply the transform by a real gain, even in ω, so that real images stay real."""
    gain = gain.double()
    check_finite(gain, "the gain")
    scale = binary_scale(gain)
    gain = (gain / scale).to(images)
    rest, mean, unit = split_mean(images)
    return _join(fft2(rest) * gain, mean * gain[..., :1, :1], unit * scale)


def _join(xhat: Tensor, mean: Tensor, unit: float) -> Tensor:
    """Images of a transform and of means, both in a unit."""
    images = ifft2(xhat).real + mean
    largest = max(float(images.abs().max()), 1.0) * unit
    if largest > torch.finfo(images.dtype).max:
        raise ValueError(f"the result must fit into {images.dtype}, got pixels of {largest:.3g}")
    return images * unit
