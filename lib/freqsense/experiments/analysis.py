"""What recorded sweeps say: ring means, slopes, responses, errors over runs."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from freqsense._extras import extra
from freqsense._lines import fit_log_log
from freqsense.experiments._rings import fitted_rings
from freqsense.fourier import radial_average, unfold_half

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = ["jackknife", "mean_and_error", "response", "ring_power", "ring_slopes"]


def ring_power(power_map: "DataArray") -> "DataArray":
    """Average half maps over rings (definition ``def-radial-average`` of the book).

    Parameters
    ----------
    power_map : (..., ky, half_kx), of images as wide as they are high.

    Returns
    -------
    DataArray (..., ring), ring k at k cycles/image; NaN where a whole map is, as of missing runs.

    Examples
    --------
    >>> import numpy as np, xarray
    >>> from freqsense import experiments
    >>> flat = xarray.DataArray(np.full((8, 5), 3.0), dims=("ky", "half_kx"))
    >>> experiments.ring_power(flat).values.tolist()
    [3.0, 3.0, 3.0, 3.0, 3.0]
    """
    with extra("sweeps"):
        import xarray  # here, as in the sweeps: workers have no use for it

    return xarray.apply_ufunc(
        _means_of_half, power_map, input_core_dims=[["ky", "half_kx"]], output_core_dims=[["ring"]]
    )


def ring_slopes(rings: "DataArray", *, size: int, fmin: float, fmax: float) -> "DataArray":
    r"""Fit log-log slopes to ring means, as :func:`.slope` does for one profile.

    .. math:: \log \bar S_k \approx a + \beta \log |\omega|_k

    Equation ``eq-slope`` of the book.

    Parameters
    ----------
    rings : (..., ring), all rings of square images.
    size : side of the images in pixels.
    fmin, fmax : first and last bin, in cycles/image, both included.

    Returns
    -------
    DataArray (...), NaN where a ring is not positive: a dead network has no slope.

    Raises
    ------
    TypeError, ValueError
        If the rings are not those of the size, or fewer than three are fitted.

    Examples
    --------
    >>> import numpy as np, xarray
    >>> from freqsense import experiments, fourier
    >>> radius = fourier.radial_average(fourier.radial_frequency((16, 16))).frequency.numpy()
    >>> curve = xarray.DataArray(1 / np.maximum(radius, 0.5), dims="ring")
    >>> round(experiments.ring_slopes(curve, size=16, fmin=1, fmax=8).item(), 2)
    -1.0
    """
    with extra("sweeps"):
        import xarray

    frequency, bins = fitted_rings(rings, size, fmin, fmax)
    chosen = rings.isel(ring=bins)
    return xarray.apply_ufunc(
        lambda values: fit_log_log(frequency[bins], values)[0],
        chosen.where((chosen > 0).all("ring")),
        input_core_dims=[["ring"]],
    )


def response(slopes: "DataArray", powers: "DataArray", dim: str = "image_filter") -> "DataArray":
    r"""Slope of the slopes of sensitivity against those of power: does a network follow or undo?

    .. math:: \rho = \frac{\sum_i (x_i - \bar x)\, y_i}{\sum_i (x_i - \bar x)^2}

    The least squares slope over interventions i, with y the slope of log sensitivity and x that of
    log power: 1/2 where few images let power rule alone, -1/2 where many let a linear network undo
    the intervention (theorem ``thm-two-responses`` of the book), 0 where nothing changes.

    Parameters
    ----------
    slopes, powers : (..., dim), such as :func:`ring_slopes` of sensitivity and of power; each may
        lack axes of the other, such as the seeds.
    dim : axis of the interventions.

    Returns
    -------
    DataArray (...), without ``dim``; NaN where an intervention is missing on either side.

    Raises
    ------
    ValueError
        If one of them lacks the axis, they have different interventions or fewer than two, or the
        powers do not differ.

    Examples
    --------
    >>> import xarray
    >>> from freqsense import experiments
    >>> powers = xarray.DataArray([-3.0, -2.0, -1.0], dims="image_filter")
    >>> experiments.response(0.5 * powers - 1, powers).item()
    0.5
    """
    with extra("sweeps"):
        import xarray

    for name, values in (("slopes", slopes), ("powers", powers)):
        if values.sizes.get(dim, 0) < 2:
            got = dict(values.sizes)
            raise ValueError(f"{name} must have at least two values of {dim}, got {got}")
    slopes, powers = xarray.align(slopes, powers, join="exact")  # a ValueError if they differ
    # A difference by rounding is none.
    spread = powers.max(dim, skipna=False) - powers.min(dim, skipna=False)
    if (spread <= 1e-9 * abs(powers).max(dim)).any():
        raise ValueError(f"powers must differ over {dim}, got the same of all: nothing intervenes")
    x = powers - powers.mean(dim, skipna=False)
    return (x * slopes).sum(dim, skipna=False) / (x**2).sum(dim, skipna=False)


def mean_and_error(values: "DataArray", dim: str = "seed") -> tuple["DataArray", "DataArray"]:
    """Mean over one axis, and its standard error; missing values are left out.

    Parameters
    ----------
    values : with the axis ``dim``, such as the seeds of a sweep.

    Returns
    -------
    (mean, error) : without the axis; the error is NaN where fewer than two values are.

    Examples
    --------
    >>> import xarray
    >>> from freqsense import experiments
    >>> mean, error = experiments.mean_and_error(xarray.DataArray([1.0, 3.0], dims="seed"))
    >>> mean.item(), error.item()
    (2.0, 1.0)
    """
    count = values.notnull().sum(dim)
    spread = values.std(dim, ddof=1)
    return values.mean(dim), (spread / np.sqrt(count)).where(count > 1)


def jackknife(values: "DataArray", dim: str) -> tuple["DataArray", "DataArray"]:
    r"""Mean over leave-one-out runs, and the standard error that they give.

    .. math:: \bar\theta = \frac1n \sum_i \theta_i, \qquad
        \Bigl( \frac{n - 1}{n} \sum_i (\theta_i - \bar\theta)^2 \Bigr)^{1/2}

    With :math:`\theta_i` found without the i-th photograph, say, these vary little from one to the
    next, for they share all others; the factor makes up for that. The error is one of choosing the
    photographs, beside that over seeds of :func:`mean_and_error`.

    Parameters
    ----------
    values : with the axis ``dim``, along which each entry leaves out another one of n things.

    Returns
    -------
    (mean, error) : without the axis, NaN where an entry is missing.

    Raises
    ------
    ValueError
        If there are fewer than two entries.

    Source
    ------
    Efron and Stein (1981), doi:10.1214/aos/1176345462.

    Examples
    --------
    >>> import numpy as np, xarray
    >>> from freqsense import experiments
    >>> sample = np.array([1.0, 2.0, 6.0])
    >>> left_out = xarray.DataArray((sample.sum() - sample) / 2, dims="photograph")
    >>> mean, error = experiments.jackknife(left_out, "photograph")
    >>> mean.item(), round(error.item(), 6), round(float(sample.std(ddof=1) / 3**0.5), 6)
    (3.0, 1.527525, 1.527525)
    """
    n = values.sizes.get(dim, 0)
    if n < 2:
        raise ValueError(
            f"values must have at least two entries of {dim}, got {dict(values.sizes)}"
        )
    mean = values.mean(dim, skipna=False)
    return mean, ((n - 1) / n * ((values - mean) ** 2).sum(dim, skipna=False)) ** 0.5


def _means_of_half(half: np.ndarray) -> np.ndarray:
    missing = np.isnan(half).all((-2, -1), keepdims=True)  # runs of a sweep that are not there
    maps = torch.from_numpy(np.where(missing, 0.0, half)).double()
    rings = radial_average(unfold_half(maps, half.shape[-2])).mean.numpy()
    return np.where(missing[..., 0], np.nan, rings)
