"""Explanations of sensitivity curves compete, on interventions that are held out of their fit."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from freqsense._checks import as_choice
from freqsense._extras import extra
from freqsense.experiments._rings import fitted_rings
from freqsense.experiments.analysis import ring_power
from freqsense.fourier import radial_average, radial_mask, unfold_half

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

__all__ = ["explain_sensitivity"]

# A ring with less than this share of the largest power is empty: what is left is rounding error.
_EMPTY = 1e-6

# Scaled to unit variance, power ranges over some decades about 1.
_DECADES = (-6.0, 6.0)


def explain_sensitivity(
    runs: "Dataset", *, fmin: float, fmax: float, reference: str | None = None
) -> "Dataset":
    r"""Let explanations compete of how sensitivity changes with the statistics of the images.

    .. math:: R^2 = 1 - \frac{\sum_{ik} (m_{ik} - p_{ik})^2}{\sum_{ik} m_{ik}^2}

    Definition ``def-explained-variance`` of the book, for the runs i of one architecture under
    several interventions, and the rings k that hold power: m is log sensitivity, p the logarithm
    that an explanation predicts, each about its mean over the rings of the run. So the level of a
    curve is free and only its shape counts. Each explanation has at most one number to fit; held
    out, it is fitted to all other interventions. A prediction of zero has no logarithm: on a ring
    with power it leaves R² at NaN. With s the power, γ the label correlation, and the bar a mean
    over a ring,

    - ``"power"``: :math:`\bar s^{\,\beta}`, number β;
    - ``"theory"``: :math:`\overline{\gamma/(s + c)}`, the shape of depth 1 (theorem
      ``thm-closed-forms``), number c. This is the constant of the filter and no decay: training
      time, the loss and the number of images change it too;
    - ``"depth_two"``: :math:`\overline{(\gamma - \kappa)_+/s}` of the same theorem, number κ. Only
      those κ are tried that silence no ring with power, under the held-out intervention neither:
      its images tell which, without its sensitivity. It is the mildest judgement of a formula that
      would silence rings which are heard;
    - ``"stopped"``: :math:`\overline{\gamma\,(1 - e^{-st})/s}`, depth 1 stopped early (proposition
      ``prop-early-stopping``), number t, the training time;
    - ``"own_teacher"``, if there is a ``reference``: the curve r₀ that the network has there, mean
      over seeds, is inverted to :math:`\gamma_0 = r_0\,(\bar s_0 + c)` and carried to the others
      by :math:`g\,\gamma_0/(g^2 \bar s_0 + c)`, with :math:`g^2 = \bar s/\bar s_0` (proposition
      ``prop-recolored``), number c. It sees no labels, and fits interventions that keep them;
    - ``"few_images"``, if ``runs`` hold ``exact``: :math:`\bar S` of the exact minimiser on the
      very training images (theorem ``thm-vanishing-decay``). There is no number: NaN.

    The curve of the reference is what ``"own_teacher"`` is made of, and no test of it. So with a
    reference no explanation is scored there, and all totals are over the same other interventions.

    Parameters
    ----------
    runs : of one architecture, with ``sensitivity`` (image_filter, seed, ring), ``power_map`` and
        ``cross_map`` (image_filter, seed, ky, half_kx), square images; other axes of length 1; and
        optionally ``exact``, like ``sensitivity``.
    fmin, fmax : first and last ring, in cycles/image, both included.
    reference : one of ``image_filter``, with power in all rings that another run has power in.

    Returns
    -------
    Dataset
        ``r2`` (model, image_filter), each intervention predicted from the number fitted to all,
        ``r2_held_out`` likewise from all others; ``r2_total`` and ``r2_held_out_total`` (model,)
        over all that are scored; ``number`` (model,), fitted to all; ``predicted`` (model,
        image_filter, seed, ring): held-out log S about the mean of each run, and ``measured``,
        the same of the data: NaN on rings that are left out. ``model`` holds the names above.

    Raises
    ------
    ValueError
        If there are fewer than two interventions (three with a reference), a run is missing or
        silent in a ring with power, or the reference is unknown or lacks power where others have.

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
    >>> explained.model.values.tolist()
    ['power', 'theory', 'depth_two', 'stopped']
    >>> round(explained.number.sel(model="theory").item(), 3)
    0.1
    >>> round(explained.r2_held_out_total.sel(model="theory").item(), 3)
    1.0
    """
    with extra("sweeps"):
        import xarray  # here, as in the sweeps: workers have no use for it

    runs = _squeeze(runs)
    scored = _scored(runs, reference)
    filled = _filled(runs, fmin, fmax)
    _check_alive(runs, filled)
    if reference is not None:
        _check_power(filled, reference)
    measured = _log_shape(runs.sensitivity, filled)
    models = _models(runs, measured, filled, reference)
    results = [
        _explain(measured, model, scored).expand_dims(model=[model.name]) for model in models
    ]
    return xarray.concat(results, "model").assign(measured=measured)


# What is explained


def _squeeze(runs: "Dataset") -> "Dataset":
    """Check the axes of runs, drop those of length 1, and go on in double precision."""
    axes = ["image_filter", "seed", "ring", "ky", "half_kx"]
    names = ["sensitivity", "power_map", "cross_map", "exact"]
    runs = runs[[name for name in names if name in runs or name != "exact"]]
    others = [str(dim) for dim, length in runs.sizes.items() if dim not in axes and length > 1]
    if others:
        raise ValueError(f"runs must be of one setting but for filter and seed, got {others}")
    runs = runs.squeeze([dim for dim in runs.sizes if dim not in axes], drop=True)
    if not set(axes) <= set(runs.sizes):
        raise ValueError(f"runs must have the axes {axes}, got {list(runs.sizes)}")
    if runs.sizes["image_filter"] < 2:
        raise ValueError("runs must have at least two values of image_filter, got one")
    for name in ("sensitivity", "exact"):
        if name in runs and runs[name].isnull().any():
            of = "" if name == "sensitivity" else f" of {name}"
            raise ValueError(
                f"runs must be complete, got missing ones{of}: drop their seeds or filters"
            )
    return runs.astype(float).transpose(*axes)


def _scored(runs: "Dataset", reference: str | None) -> list:
    """Interventions on which explanations are scored: all but the reference."""
    names = runs.image_filter.values.tolist()
    if reference is None:
        return names
    as_choice(reference, "reference", names)
    if len(names) < 3:
        raise ValueError(
            f"runs must have at least three values of image_filter with a reference, got {names}"
        )
    return [name for name in names if name != reference]


def _filled(runs: "Dataset", fmin: float, fmax: float) -> "DataArray":
    """Which rings hold power and are fitted: bool (image_filter, seed, ring)."""
    _, bins = fitted_rings(runs.sensitivity, runs.sizes["ky"], fmin, fmax)
    power = ring_power(runs.power_map)
    return (power > _EMPTY * power.max("ring")) & power.ring.isin(bins)


def _check_alive(runs: "Dataset", filled: "DataArray") -> None:
    silent = filled & (runs.sensitivity <= 0)
    if silent.any():
        dead = runs.image_filter.values[silent.any(["seed", "ring"]).values].tolist()
        raise ValueError(
            f"sensitivity must be positive in rings that hold power, got zeros under {dead}: "
            "drop networks that have died"
        )


def _check_power(filled: "DataArray", reference: str) -> None:
    own = filled.sel(image_filter=reference).all("seed")
    lacking = np.flatnonzero(filled.any(["image_filter", "seed"]) & ~own).tolist()
    if lacking:
        raise ValueError(
            "reference must hold power in all rings that others do, "
            f"got {reference!r} with none in {lacking}"
        )


def _log_shape(rings: "DataArray", filled: "DataArray") -> "DataArray":
    """Logarithm (..., ring) about the mean of the run, NaN on rings left out or silent."""
    # In NumPy: this runs hundreds of times, and to align the axes of xarray takes most of it.
    values = rings.transpose(*filled.dims).values
    heard = filled.values & (values > 0)
    logs = np.log(np.where(heard, values, 1.0))
    mean = logs.sum(-1, keepdims=True) / np.maximum(heard.sum(-1, keepdims=True), 1)
    return filled.copy(data=np.where(heard, logs - mean, np.nan))


# What explains


@dataclass(frozen=True)
class _Model:
    """A prediction of log sensitivity, about the mean of each run, from at most one number."""

    name: str
    predict: Callable[[float], "DataArray"]  # t -> (image_filter, seed, ring)
    bounds: tuple[float, float] | None  # of t; None if there is nothing to fit
    number: Callable[[float], float] = lambda exponent: 10.0**exponent  # what t stands for


def _models(
    runs: "Dataset", measured: "DataArray", filled: "DataArray", reference: str | None
) -> list[_Model]:
    s, gamma = _bare(runs.power_map), _bare(runs.cross_map)
    power = ring_power(runs.power_map)
    models = [
        _power(power, filled),
        _curve("theory", lambda c: gamma / (s + c), _DECADES, filled),
        _depth_two(s, gamma, filled),
        _stopped(s, gamma, filled),
    ]
    if reference is not None:
        models.append(_own_teacher(power, measured, filled, reference))
    if "exact" in runs:
        exact = _log_shape(runs.exact, filled)
        models.append(_Model("few_images", lambda _: exact, None))
    return models


def _bare(values: "DataArray") -> "DataArray":
    """Leave out the coordinates, whose alignment would take most of the time of a search."""
    return values.drop_vars(list(values.coords))


def _power(power: "DataArray", filled: "DataArray") -> _Model:
    logs = _log_shape(power, filled)
    return _Model("power", lambda beta: beta * logs, (-2.0, 2.0), float)


def _curve(
    name: str,
    curve: Callable[[float], "DataArray"],
    bounds: tuple[float, float] | None,
    filled: "DataArray",
) -> _Model:
    """Model of a curve at each frequency, from a number that is searched by its logarithm."""
    import xarray

    def predict(exponent: float) -> "DataArray":
        if math.isnan(exponent):
            return xarray.full_like(filled, math.nan, dtype=float)
        return _log_shape(_on_rings(curve(10.0**exponent)), filled)

    return _Model(name, predict, bounds)


def _on_rings(maps: "DataArray") -> "DataArray":
    """Average half maps (..., ky, half_kx) over rings as :func:`.ring_power`, for many maps."""
    import xarray

    *leading, ky, half_kx = maps.shape
    means = maps.values.reshape(*leading, -1) @ _ring_weights(ky, half_kx)
    return xarray.DataArray(means, dims=(*maps.dims[:-2], "ring"))


@cache
def _ring_weights(ky: int, half_kx: int) -> np.ndarray:
    """Weights (ky · half_kx, ring) of each entry of a half map in the mean of each ring."""
    each = torch.eye(ky * half_kx, dtype=torch.float64).reshape(-1, ky, half_kx)
    return radial_average(unfold_half(each, ky)).mean.numpy()


def _depth_two(s: "DataArray", gamma: "DataArray", filled: "DataArray") -> _Model:
    # The κ from which on a ring is silent, the least of all rings.
    silencing = float(_ring_max(gamma).where(filled).min())
    bounds = (math.log10(silencing) - 6, math.log10(silencing)) if silencing > 0 else None
    inverse = 1 / s.where(s > 0, np.inf)
    return _curve("depth_two", lambda kappa: (gamma - kappa).clip(min=0) * inverse, bounds, filled)


def _stopped(s: "DataArray", gamma: "DataArray", filled: "DataArray") -> _Model:
    s = s.clip(min=1e-12)  # the filter tends to γ t where there is no power
    return _curve("stopped", lambda time: gamma * -np.expm1(-s * time) / s, _DECADES, filled)


def _own_teacher(
    power: "DataArray", measured: "DataArray", filled: "DataArray", reference: str
) -> _Model:
    log_r0 = _bare(measured.sel(image_filter=reference, drop=True).mean("seed"))
    s0 = _bare(power.sel(image_filter=reference, drop=True).mean("seed"))
    s = _bare(power)
    wanted = (s / s0) ** 0.5 * np.exp(log_r0)

    def predict(exponent: float) -> "DataArray":
        c = 10.0**exponent
        return _log_shape(wanted * (s0 + c) / (s + c), filled)

    return _Model("own_teacher", predict, _DECADES)


def _ring_max(maps: "DataArray") -> "DataArray":
    """Largest values (..., ring) of half maps (..., ky, half_kx) on rings."""
    import xarray

    size = maps.sizes["ky"]
    masks = [radial_mask((size, size), max(k - 0.5, 0), k + 0.5) for k in range(size // 2 + 1)]
    half = torch.stack(masks)[..., : maps.sizes["half_kx"]].numpy()
    inside = xarray.DataArray(half, dims=("ring", "ky", "half_kx"))
    return maps.where(inside).max(["ky", "half_kx"])


# How well it explains


def _explain(measured: "DataArray", model: _Model, scored: list) -> "Dataset":
    """Fit the one number of a model, to all interventions and to all but each."""
    import xarray

    names = measured.image_filter.values
    squares = cache(lambda t: _squares(measured, model.predict(t)).values)  # shared by all fits
    best = _fit(squares, model.bounds, np.full(len(names), True))
    others = [_fit(squares, model.bounds, names != name) for name in names]
    parts = [model.predict(t).isel(image_filter=[k]) for k, t in enumerate(others)]
    held_out = xarray.concat(parts, "image_filter")
    r2, r2_total = _shares(measured, model.predict(best), scored)
    r2_held_out, r2_held_out_total = _shares(measured, held_out, scored)
    return xarray.Dataset(
        {
            "r2": r2,
            "r2_held_out": r2_held_out,
            "r2_total": r2_total,
            "r2_held_out_total": r2_held_out_total,
            "number": model.number(best),
            "predicted": held_out,
        }
    )


def _fit(
    squares: Callable[[float], np.ndarray], bounds: tuple[float, float] | None, kept: np.ndarray
) -> float:
    """Least squares over the number, by a coarse search and then Brent's; NaN if none will do."""
    if bounds is None:
        return math.nan

    def residual(t: float) -> float:
        total = float(squares(float(t))[kept].sum())
        return total if math.isfinite(total) else math.inf

    grid = np.linspace(*bounds, 25)
    left = [residual(t) for t in grid]
    best = int(np.argmin(left))
    if math.isinf(left[best]):
        return math.nan
    around = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    return float(minimize_scalar(residual, bounds=around, method="bounded").x)


def _squares(measured: "DataArray", predicted: "DataArray") -> "DataArray":
    """Squared differences (image_filter,), NaN where a ring that was measured is not predicted."""
    values = measured.values
    left = np.where(np.isnan(values), 0.0, values - predicted.transpose(*measured.dims).values)
    return measured.isel(seed=0, ring=0, drop=True).copy(data=np.square(left).sum((-2, -1)))


def _shares(
    measured: "DataArray", predicted: "DataArray", scored: list
) -> tuple["DataArray", "DataArray"]:
    """Shares of the variance explained, (image_filter,) and of all, of those that are scored."""
    left, all_ = _squares(measured, predicted), _squares(measured, 0 * measured)
    each = (1 - left / all_).where(measured.image_filter.isin(scored))
    totals = [part.sel(image_filter=scored).sum(skipna=False) for part in (left, all_)]
    return each, 1 - totals[0] / totals[1]
