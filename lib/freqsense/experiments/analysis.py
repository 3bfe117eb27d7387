"""What recorded sweeps say: ring means, slopes, errors over seeds, variance explained."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from freqsense._checks import as_integer, as_real
from freqsense._extras import extra
from freqsense._lines import fit_log_log
from freqsense.fourier import radial_average, select_bins, unfold_half

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

__all__ = ["explain_sensitivity", "mean_and_error", "ring_power", "ring_slopes"]

# A ring with less than this share of the largest power is empty: what is left is rounding error.
_EMPTY = 1e-6


def ring_power(power_map: "DataArray") -> "DataArray":
    """Average half maps over rings (definition ``def-radial-average`` of the book).

    Parameters
    ----------
    power_map : (..., ky, half_kx), of images as wide as they are high.

    Returns
    -------
    DataArray (..., ring), ring k at k cycles/image.

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

    frequency, bins = _fitted_rings(rings, size, fmin, fmax)
    chosen = rings.isel(ring=bins)
    return xarray.apply_ufunc(
        lambda values: fit_log_log(frequency[bins], values)[0],
        chosen.where((chosen > 0).all("ring")),
        input_core_dims=[["ring"]],
    )


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


def explain_sensitivity(runs: "Dataset", *, fmin: float, fmax: float) -> "Dataset":
    r"""Compare two explanations of how sensitivity changes with the statistics of the images.

    .. math:: \log S_{ik} \approx a_i + \beta \log s_{ik}
        \qquad\text{and}\qquad
        \log S_{ik} \approx a_i + \log \overline{\frac{\gamma_i(\omega)}
        {s_i(\omega) + \lambda_\mathrm{eff}}}^{\,|\omega| = k}

    Definition ``def-explained-variance`` of the book, for the runs i of one architecture under
    several interventions, and the rings k that hold power. The level a of a run is free, so only
    the shape of a curve counts: R² is 1 minus the share of the variance, about the mean of each
    run, that is left. Power alone has one number to fit, β; the theory of depth 1 has one too,
    the effective decay λ_eff. Held out, the number is fitted to all other interventions.

    Parameters
    ----------
    runs : of one architecture, with ``sensitivity`` (image_filter, seed, ring), ``power_map`` and
        ``cross_map`` (image_filter, seed, ky, half_kx), square images; other axes of length 1.
    fmin, fmax : first and last ring, in cycles/image, both included.

    Returns
    -------
    Dataset
        ``r2`` (model, image_filter), each intervention predicted from the number fitted to all,
        ``r2_held_out`` likewise from all others; ``r2_total`` and ``r2_held_out_total`` (model,)
        over all; ``number`` (model,): β and λ_eff; ``predicted`` (model, image_filter, seed,
        ring): held-out log S about the mean of each run, and ``measured``, the same of the data:
        NaN on rings that are left out. ``model`` is "power" or "theory".

    Raises
    ------
    ValueError
        If there are fewer than two interventions, or a run is missing.

    Examples
    --------
    >>> import numpy as np, xarray
    >>> from freqsense import experiments, fourier
    >>> radius = fourier.radial_frequency((16, 16))[:, :9].clamp(min=1).numpy()
    >>> power = np.stack([radius**-alpha for alpha in (0.0, 1.0, 2.0)])[:, None]
    >>> cross = power.copy()                                          # a white teacher
    >>> maps = ("image_filter", "seed", "ky", "half_kx")
    >>> theory = xarray.DataArray(cross / (power + 0.1), dims=maps)
    >>> runs = xarray.Dataset(
    ...     {
    ...         "sensitivity": experiments.ring_power(theory),
    ...         "power_map": (maps, power),
    ...         "cross_map": (maps, cross),
    ...     },
    ...     {"image_filter": ["a", "b", "c"]},
    ... )
    >>> explained = experiments.explain_sensitivity(runs, fmin=1, fmax=8)
    >>> round(explained.number.sel(model="theory").item(), 3)
    0.1
    >>> round(explained.r2_held_out_total.sel(model="theory").item(), 3)
    1.0
    """
    with extra("sweeps"):
        import xarray

    runs = _squeeze(runs)
    size = runs.sizes["ky"]
    _, bins = _fitted_rings(runs.sensitivity, size, fmin, fmax)
    power = ring_power(runs.power_map)
    filled = (power > _EMPTY * power.max("ring")) & power.ring.isin(bins)
    measured = _log_shape(runs.sensitivity, filled)
    models = _power_model(power, filled), _theory_model(runs.power_map, runs.cross_map, filled)
    results = [_explain(measured, model).expand_dims(model=[model.name]) for model in models]
    return xarray.concat(results, "model").assign(measured=measured)


@dataclass(frozen=True)
class _Model:
    """A prediction of log sensitivity, about the mean of each run, from one number."""

    name: str
    predict: Callable[[float], "DataArray"]  # t -> (image_filter, seed, ring)
    bounds: tuple[float, float]  # of t
    number: Callable[[float], float]  # what t stands for


def _power_model(power: "DataArray", filled: "DataArray") -> _Model:
    logs = _log_shape(power, filled)
    return _Model("power", lambda beta: beta * logs, (-2.0, 2.0), float)


def _theory_model(power: "DataArray", cross: "DataArray", filled: "DataArray") -> _Model:
    # Scaled to unit variance, power ranges over some decades about 1.
    @cache
    def predict(exponent: float) -> "DataArray":
        return _log_shape(ring_power(cross / (power + 10**exponent)), filled)

    return _Model("theory", predict, (-6.0, 6.0), lambda exponent: 10**exponent)


def _explain(measured: "DataArray", model: _Model) -> "Dataset":
    """Fit the one number of a model, to all interventions and to all but each."""
    import xarray

    names = measured.image_filter.values
    best = _fit(measured, model, names)
    fitted = model.predict(best)
    others = [names[names != name] for name in names]
    parts = [
        model.predict(_fit(measured, model, rest)).sel(image_filter=[name])
        for name, rest in zip(names, others, strict=True)
    ]
    held_out = xarray.concat(parts, "image_filter")
    each, all_ = ["seed", "ring"], ["image_filter", "seed", "ring"]
    return xarray.Dataset(
        {
            "r2": _share_explained(measured, fitted, each),
            "r2_held_out": _share_explained(measured, held_out, each),
            "r2_total": _share_explained(measured, fitted, all_),
            "r2_held_out_total": _share_explained(measured, held_out, all_),
            "number": model.number(best),
            "predicted": held_out,
        }
    )


def _fit(measured: "DataArray", model: _Model, names: np.ndarray) -> float:
    """Least squares over the number, by a coarse search and then Brent's."""

    def residual(t: float) -> float:
        difference = (measured - model.predict(t)).sel(image_filter=names)
        return float((difference**2).sum())

    grid = np.linspace(*model.bounds, 25)
    best = int(np.argmin([residual(t) for t in grid]))
    around = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    return float(minimize_scalar(residual, bounds=around, method="bounded").x)


def _share_explained(measured: "DataArray", predicted: "DataArray", dims: list) -> "DataArray":
    return 1 - ((measured - predicted) ** 2).sum(dims) / (measured**2).sum(dims)


def _log_shape(rings: "DataArray", filled: "DataArray") -> "DataArray":
    """Logarithm (..., ring) about the mean of the run, NaN on rings that are left out."""
    with extra("sweeps"):
        import xarray

    logs = xarray.apply_ufunc(np.log, rings.where(filled))
    return logs - logs.mean("ring")


def _squeeze(runs: "Dataset") -> "Dataset":
    """Check the axes of runs, and drop those of length 1."""
    kept = {"image_filter", "seed", "ring", "ky", "half_kx"}
    runs = runs[["sensitivity", "power_map", "cross_map"]]
    extra = [str(dim) for dim, length in runs.sizes.items() if dim not in kept and length > 1]
    if extra:
        raise ValueError(f"runs must be of one setting but for filter and seed, got {extra}")
    runs = runs.squeeze([dim for dim in runs.sizes if dim not in kept], drop=True)
    if runs.sizes.get("image_filter", 0) < 2:
        raise ValueError("runs must have at least two values of image_filter, got fewer")
    if runs.sensitivity.isnull().any():
        raise ValueError("runs must be complete, got missing ones: drop their seeds or filters")
    return runs


def _fitted_rings(
    rings: "DataArray", size: int, fmin: float, fmax: float
) -> tuple[np.ndarray, np.ndarray]:
    """Frequency (R,) of all rings, and the numbers of those to fit."""
    size = as_integer(size, "size", 4)
    profile = radial_average(torch.ones(size, size))
    if rings.sizes.get("ring") != len(profile.frequency):
        expected, got = len(profile.frequency), dict(rings.sizes)
        raise ValueError(f"rings must have {expected} rings for size {size}, got {got}")
    _, bins = select_bins(profile, as_real(fmin, "fmin"), as_real(fmax, "fmax"))
    return profile.frequency.numpy(), bins.numpy()


def _means_of_half(half: np.ndarray) -> np.ndarray:
    maps = torch.from_numpy(np.ascontiguousarray(half)).double()
    return radial_average(unfold_half(maps, half.shape[-2])).mean.numpy()
