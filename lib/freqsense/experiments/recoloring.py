"""The response of networks to recoloured images: train on each copy, measure, compare."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from freqsense import _defaults, filters, models, spectra, training
from freqsense._checks import as_image_shape, as_images, as_integer, as_labels, as_real, sides
from freqsense._extras import extra
from freqsense.experiments._data import mean_and_scale
from freqsense.experiments._rings import fitted_rings
from freqsense.experiments.analysis import mean_and_error, response, ring_slopes
from freqsense.fourier import radial_average
from freqsense.sensitivity import measure_sensitivity

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = ["Response", "measure_response"]

_N_MEASURED = 500  # images on which a sensitivity is measured


@dataclass(frozen=True)
class Response:
    """How far networks follow or undo the recolouring of their images, and the slopes behind it.

    response, stderr : mean over seeds, and its standard error, NaN for one seed
    each : response of each seed (seed,)
    slopes : of log sensitivity (delta, seed)
    powers : slopes of the log power of the images (delta,)
    """

    response: float
    stderr: float
    each: "DataArray"
    slopes: "DataArray"
    powers: "DataArray"


def measure_response(
    images: Tensor | np.ndarray,
    labels: Tensor | np.ndarray,
    model: str | Callable[[], nn.Module],
    *,
    deltas: Sequence[float],
    seeds: Sequence[int],
    width: int = _defaults.WIDTH,
    test_images: Tensor | np.ndarray | None = None,
    fmin: float = 1,
    fmax: float | None = None,
    progress: bool = False,
    **settings: Any,
) -> Response:
    r"""Recolour images, train a network on each copy, and measure its response.

    .. math:: \hat x^{(\delta)}(\omega) = |\omega|^{\delta}\, \hat x(\omega), \qquad
        \rho = \frac{\sum_\delta (x_\delta - \bar x)\, y_\delta}{\sum_\delta (x_\delta - \bar x)^2}

    Equation ``eq-response`` of the book, with x the slope of the images' log power and y that of
    the network's log sensitivity: 1/2 if it follows the power alone, -1/2 if it undoes the
    recolouring (theorem ``thm-two-responses``). The labels are kept. Each copy is scaled to channel
    means of 0 and an overall variance of 1, as :func:`.load_task` does, and the networks of one
    seed start from the same weights on all of them.

    Parameters
    ----------
    images : (N, C, H, H), float32 or float64.
    labels : as for :func:`.train`.
    model : a function without arguments that builds a new network, called after
        ``torch.manual_seed(seed)``; or one of :data:`.ARCHITECTURES`, whose ``width`` is that of
        :func:`.build`.
    deltas : exponents δ of :func:`.recolor`, two at least; 0 is the images as they are.
    seeds : of weights and of the order of training, one network each.
    test_images : (M, C, H, H), to measure the sensitivity on, 500 of them at most; by default the
        training images. They are recoloured and scaled in the same way.
    fmin, fmax : first and last ring of the slopes, in cycles/image; the last there is by default.
    progress : whether to show a bar over the networks.
    settings : of :func:`.train`: ``epochs``, ``lr``, ``weight_decay``, and others if they matter.
        The loss is by default ``"cross_entropy"`` for classes, ``"logistic"`` for -1 and +1, and
        ``"squared"`` for other numbers.

    Returns
    -------
    Response

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range, images are not square, or a trained
        network is silent in a ring and has no slope.
    FloatingPointError, ImportError
        As :func:`.train` does; if the extra ``sweeps`` is not installed.

    Source
    ------
    arXiv 2210.01257, for sensitivity and power; the response is this book's.

    Examples
    --------
    Enough images tell a linear network its one best map, which it finds on every copy:

    >>> from freqsense import experiments
    >>> task = experiments.load_task("gaussian_field:1", size=8, n_train=400, n_test=1)
    >>> found = experiments.measure_response(
    ...     task.images, task.labels, "linear_cnn-1", width=1, deltas=[0, 0.5], seeds=[0, 1],
    ...     epochs=30, lr=0.03, weight_decay=0.0, loss="squared", optimizer="adam",
    ...     schedule="cosine",
    ... )
    >>> round(found.response, 1), found.slopes.dims
    (-0.5, ('delta', 'seed'))
    """
    with extra("sweeps"):
        from xarray import DataArray

    images, held, size = _check_images(images, test_images)
    labels = as_labels(labels, len(images))
    axes = {"delta": _check_axis(deltas, "deltas", as_real, 2)}
    axes["seed"] = _check_axis(seeds, "seeds", as_integer, 1)
    band: dict[str, Any] = {"size": size, "fmin": fmin, "fmax": size // 2 if fmax is None else fmax}
    fitted_rings(DataArray(np.ones(size // 2 + 1), dims="ring"), **band)  # before hours of work
    build = _as_builder(model, width, images, labels)
    settings = {"loss": _default_loss(labels)} | settings
    heard, powers = [], []
    with tqdm(total=len(axes["delta"]) * len(axes["seed"]), disable=not progress) as bar:
        for delta in axes["delta"]:
            x, test_x = _prepare(images, held, delta)
            powers.append(radial_average(spectra.power_spectrum(x).values.sum(0)).mean.numpy())
            for seed in axes["seed"]:
                network = build(seed)
                training.train(network, x, labels, seed=seed, **settings)
                found = measure_sensitivity(network, test_x, seed=seed).norm().radial()
                heard.append(found.mean[0].numpy())
                bar.update()
    grid = np.reshape(heard, (*map(len, axes.values()), -1))
    slopes = ring_slopes(DataArray(grid, axes, ("delta", "seed", "ring")), **band)
    power = DataArray(np.stack(powers), {"delta": axes["delta"]}, ("delta", "ring"))
    return _respond(slopes, ring_slopes(power, **band))


def _respond(slopes: "DataArray", powers: "DataArray") -> Response:
    for name, values in (("sensitivity", slopes), ("power", powers)):
        if values.isnull().any():
            silent = values.where(values.isnull(), drop=True).coords
            where = ", ".join(f"{axis} {label.values.tolist()}" for axis, label in silent.items())
            raise ValueError(f"each ring fitted must have {name} above 0, got none for {where}")
    each = response(slopes, powers, "delta")
    mean, error = mean_and_error(each)
    return Response(mean.item(), error.item(), each, slopes, powers)


def _check_images(images: object, test_images: object) -> tuple[Tensor, Tensor, int]:
    """Training images, those to measure on, and their side."""
    stack = as_images(images)
    held = stack if test_images is None else as_images(test_images, "test_images")
    if held.shape[1:] != stack.shape[1:]:
        expected, got = tuple(stack.shape[1:]), tuple(held.shape[1:])
        raise ValueError(f"test_images must be of {expected}, as the images, got {got}")
    height, width = sides(stack)
    if height != width:
        raise ValueError(f"images must be square, got {height} x {width}: crop them")
    return stack, held[:_N_MEASURED], as_integer(height, "the side of images", 4)


def _check_axis(values: object, name: str, check: Callable, least: int) -> list:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise TypeError(f"{name} must be a list of numbers, got {values!r}")
    checked = [check(value, f"each of {name}") for value in values]
    if len(set(checked)) != len(checked) or len(checked) < least:
        raise ValueError(f"{name} must be {least} different numbers or more, got {checked}")
    return checked


def _as_builder(
    model: object, width: int, images: Tensor, labels: Tensor
) -> Callable[[int], nn.Module]:
    """A function of the seed that builds a network."""
    if isinstance(model, str):
        real = labels.is_floating_point()
        n_real = 1 if labels.ndim == 1 else labels.shape[1]
        shape = as_image_shape(images.shape[1:])
        n_outputs = n_real if real else int(labels.max()) + 1
        return lambda seed: models.build(
            model, width=width, shape=shape, n_outputs=n_outputs, seed=seed
        )
    if isinstance(model, nn.Module) or not callable(model):
        kind = type(model).__name__
        raise TypeError(f"model must be a name or a function that builds a network, got a {kind}")

    last: list[object] = []

    def build(seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = model()
        if not isinstance(network, nn.Module) or network in last:
            kind = type(network).__name__
            raise TypeError(f"model must return a new torch.nn.Module at each call, got a {kind}")
        last[:] = [network]
        return network

    return build


def _default_loss(labels: Tensor) -> str:
    if not labels.is_floating_point():
        return "cross_entropy"
    return "logistic" if (labels.abs() == 1).all() else "squared"


def _prepare(images: Tensor, held: Tensor, delta: float) -> tuple[Tensor, Tensor]:
    """Recoloured images, and those to measure on, scaled by the statistics of the former."""
    x = filters.recolor(images, delta)
    mean, scale = mean_and_scale(x)
    return (x - mean) / scale, (filters.recolor(held, delta) - mean) / scale
