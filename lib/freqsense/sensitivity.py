"""Sensitivity of a network to each spatial frequency of its input."""

import copy
import io
import math
import os
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import length_hint
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from tqdm.auto import tqdm

from freqsense._checks import (
    REAL_DTYPES,
    as_choice,
    as_classes,
    as_flag,
    as_images,
    as_integer,
    as_labels,
    as_positive,
    as_stacks,
    seeded_generator,
    sides,
)
from freqsense._evaluation import (
    CUT_OFF,
    as_batch_size,
    check_callable,
    check_own_outputs,
    differentiable_outputs,
    eval_mode,
    fitting_batch,
)
from freqsense._files import atomic_write
from freqsense._lines import fit_log_log
from freqsense._moments import Moments
from freqsense._scale import binary_scales
from freqsense.fourier import RadialProfile, radial_average, rings, select_bins, unfold_half

__all__ = ["SensitivityMap", "Slope", "measure_sensitivity", "settle_batchnorm", "slope"]

_FORMAT = 1  # of saved maps

_MANY_OUTPUTS = 50  # more are probed
_FEWEST = 10  # images before an error is trusted

_SMALLEST = torch.finfo(torch.float64).tiny

# What reading a damaged archive can raise, once its file is open.
_BROKEN = (ValueError, zipfile.BadZipFile, EOFError, RuntimeError, OSError, MemoryError)


@dataclass(frozen=True)
class SensitivityMap:
    """Sensitivity of a model at every frequency.

    values : (C, H, W) sensitivity, in output units per pixel unit, in the order of :func:`.fft2`
    stderr : (C, H, W) standard error over images and probes, NaN for a single image
    n_images : number of images
    ring_stderr : (C, R) standard error of the ring means, which allows for the correlation of
        frequencies within an image; NaN for a single image
    n_probes : number of probes of each image, 0 if exact, None if not known
    """

    values: Tensor
    stderr: Tensor
    n_images: int
    ring_stderr: Tensor
    n_probes: int | None = None

    def radial(self) -> RadialProfile:
        """Average over rings (definition ``def-radial-average``): mean (C, R).

        The standard error is over images where there are several, and from the scatter over the
        ring for a single image. It says nothing of how the curve would change with another
        training seed: for that, train several networks.
        """
        profile = radial_average(self.values)
        if self.n_images > 1:
            profile = replace(profile, sem=self.ring_stderr.clone(), sem_over="images")
        return profile

    def norm(self) -> "SensitivityMap":
        r"""Norm over channels, as a map of one channel (1, H, W).

        .. math:: S(\omega) = \Bigl( \sum_c S_c(\omega)^2 \Bigr)^{1/2}

        Equation ``eq-sensitivity-norm`` of the book. The standard errors of the channels are added
        as if they erred together: the sum bounds the error from above, by a factor of the root of
        the number of channels at most.
        """
        rings = radial_average(self.values).mean
        values, stderr = _norm_with_error(self.values, self.stderr)
        _, ring_stderr = _norm_with_error(rings, self.ring_stderr)
        return SensitivityMap(values, stderr, self.n_images, ring_stderr, self.n_probes)

    def save(self, path: str | os.PathLike) -> None:
        """Write the map to an ``.npz`` file, whole or not at all."""
        path = Path(path)
        if not path.parent.is_dir():
            raise FileNotFoundError(f"no folder {path.parent} to save {path.name} in")
        columns = {
            "format": np.array(_FORMAT),
            "values": self.values.numpy(),
            "stderr": self.stderr.numpy(),
            "n_images": np.array(self.n_images),
            "ring_stderr": self.ring_stderr.numpy(),
        }
        if self.n_probes is not None:
            columns["n_probes"] = np.array(self.n_probes)
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **columns)
        atomic_write(path, content.getvalue())

    @classmethod
    def load(cls, path: str | os.PathLike) -> "SensitivityMap":
        """Read a map that :meth:`save` wrote; ValueError if the file is not one."""
        with Path(path).open("rb") as file:
            try:
                columns = _read_columns(file)
                _check_saved(columns)
            except _BROKEN as error:
                raise ValueError(f"{path} is no saved SensitivityMap: {error}") from error
        values, stderr, ring_stderr = (
            torch.from_numpy(columns[name]) for name in ("values", "stderr", "ring_stderr")
        )
        n_probes = int(columns["n_probes"]) if "n_probes" in columns else None
        return cls(values, stderr, int(columns["n_images"]), ring_stderr, n_probes)


def measure_sensitivity(
    model: Callable[[Tensor], Tensor],
    images: Tensor | np.ndarray | Iterable,
    *,
    method: str = "exact",
    reduce: str = "norm",
    batch_size: int | None = None,
    device: str | torch.device | None = None,
    average: str = "rms",
    of: str = "logits",
    labels: Tensor | np.ndarray | None = None,
    n_probes: int = 1,
    seed: int = 0,
    progress: bool = False,
    output_key: str | int | None = None,
    until: float | None = None,
) -> SensitivityMap:
    r"""Measure how strongly the outputs of a model respond to each spatial frequency.

    .. math:: S_c(\omega) = \Bigl( \mathbb E_x \sum_{k=1}^{K}
        \bigl| \mathcal F(\nabla_x f_k)_c(\omega) \bigr|^2 \Bigr)^{1/2}

    Definition ``def-sensitivity`` of the book: \|F(∇f)(ω)\| is the size of the derivative along the
    Fourier direction of channel c and frequency ω. For a linear network with one output it is
    \|B_c(ω)\| (theorem ``thm-linear-sensitivity``). The probe takes one backward pass in place of
    K, for random signs z (theorem ``thm-probe``):

    .. math:: \mathbb E_z \bigl| \mathcal F(\nabla_x\, z^\top f)(\omega) \bigr|^2
        = \sum_k \bigl| \mathcal F(\nabla_x f_k)(\omega) \bigr|^2

    A module runs in eval mode, and is left in the state it was found in, gradients included; a
    plain function runs as it is, and so does any module inside it. Each image must have outputs of
    its own: where a gradient reaches from one image to another, as by a normalisation over the
    batch, that is an error (in batches of one there is none to reach). A statistic of the batch
    that is cut off from the gradient counts as a constant.

    Parameters
    ----------
    model : maps (N, C, H, W) to (N, K); an ``nn.Module``, or any differentiable function.
    images : a stack (N, C, H, W), or any iterable of stacks, or of tuples that begin with a stack
        (a ``DataLoader`` of images and labels). Cast to the dtype of the model's weights.
    method : ``"exact"``, or ``"probe"``, whose square is unbiased; ``"auto"`` probes where there
        are more than 50 outputs and a probe gives what is asked for.
    reduce : ``"norm"`` over the outputs, or ``"rms"``, which divides the sum over k by K.
    batch_size : images at a time, which bounds the memory; None takes 256, and fewer where they
        are large: 8 of 3 x 224 x 224.
    device : where to compute; None computes where the model is.
    average : ``"rms"`` as above, or ``"mean"`` over images of the absolute value, then the norm
        over k (equation ``eq-sensitivity-mean``; the paper's code takes this norm before the mean,
        which is the same for K = 1); exact only, and K gradients of a batch are held at a time.
    of : ``"logits"``, or ``"loss"`` for the cross-entropy of each image, which is a single output.
    labels : classes (N,) for ``of="loss"`` and a stack; an iterable brings its own.
    n_probes : independent probes of every image, where there are probes.
    seed : of the probes; the global random state is left alone.
    progress : show a bar that counts gradients, one for each image and output or probe.
    output_key : name or index of the output, of a model that returns a dict, tuple or object. None
        takes its ``logits``, or else the only real (N, K) in it.
    until : stop after the batch that brings the relative standard error of the ring means (of the
        norm over channels; median over the rings but DC) below this, from 10 images on. Images in
        random order, then.

    Returns
    -------
    SensitivityMap
        ``values`` (C, H, W), in units of output per pixel unit, an amplitude (its square compares
        with power); float64 on the CPU. ``n_images`` tells how many were used, ``n_probes`` how.

    Warns
    -----
    UserWarning
        If the images run out before ``until`` is reached: how far it came, and how many would do.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, the images differ in size or do not fit the model, the
        output is not a real (N, K), does not depend on the images or on those of its batch, or
        has a NaN or infinite gradient.

    Source
    ------
    arXiv 2210.01257; Hutchinson (1990), doi:10.1080/03610919008812866 for the probe.

    Examples
    --------
    >>> import torch
    >>> from freqsense import sensitivity
    >>> def mean_of_pixels(x):                      # listens to DC alone
    ...     return x.mean((1, 2, 3))[:, None]
    >>> result = sensitivity.measure_sensitivity(mean_of_pixels, torch.zeros(2, 1, 2, 2))
    >>> result.values[0].tolist()
    [[0.5, 0.0], [0.0, 0.0]]
    """
    check_callable(model)
    reduce = as_choice(reduce, "reduce", ("norm", "rms"))
    average = as_choice(average, "average", ("rms", "mean"))
    of = as_choice(of, "of", ("logits", "loss"))
    method = _as_method(method, average, of, as_integer(n_probes, "n_probes", 1))
    until = None if until is None else as_positive(until, "until")
    batches = _batches(images, labels, as_batch_size(batch_size), of)
    generator = seeded_generator(seed)
    total = _MeanSquare() if average == "rms" else _MeanSize()
    bar = tqdm(unit=" gradients", disable=not as_flag(progress, "progress"))
    unchecked = True
    with bar, eval_mode(model, device) as (device, dtype), torch.inference_mode(False):
        for batch, classes in batches:
            leaf = batch.clone().to(device, dtype or batch.dtype).requires_grad_()  # (n, C, H, W)
            if unchecked and len(leaf) > 1:
                check_own_outputs(model, leaf, output_key)
                unchecked = False
            outputs = differentiable_outputs(model, leaf, output_key)  # (n, K)
            probing = method == "probe" or (method == "auto" and outputs.shape[1] > _MANY_OUTPUTS)
            ways = _ways(outputs, classes, n_probes if probing else 0, generator)
            _announce(bar, images, ways.count)
            total.add(_gradients(outputs, leaf, ways, bar), ways.unit, sides(batch))
            if until is not None and total.rings.count >= _FEWEST and _error(total) <= until:
                break
    n_summed = outputs.shape[1] if reduce == "rms" and of == "logits" else 1
    found = replace(total.finish(n_summed), n_probes=n_probes if probing else 0)
    if until is not None:
        _warn_of_error(_relative_error(found), until, found.n_images)
    return found


def settle_batchnorm(
    model: nn.Module, images: Tensor | np.ndarray | Iterable, *, batch_size: int | None = None
) -> nn.Module:
    r"""Replace the running statistics of all BatchNorms by those of images, in place.

    .. math:: \mu = \frac1M \sum_{m=1}^M \mu_m, \qquad \sigma^2 = \frac1M \sum_{m=1}^M \sigma_m^2

    Equation ``eq-settled-batchnorm`` of the book: means over M batches of their statistics, every
    batch alike. A network as it is made has the mean 0 and the variance 1 in store, whatever its
    activations are, and is measured in eval mode as another function than the one that training
    starts from. A running average of few batches keeps a share (1 - momentum)^M of that; this mean
    keeps none. An untrained control is a network that has been settled.

    Nothing but the statistics changes: momentum and modes are as before, dropout stays off.

    Parameters
    ----------
    model : with any number of BatchNorms, none included.
    images : a stack (N, C, H, W), or any iterable of stacks, or of tuples that begin with one;
        in random order, since statistics are means over batches. Cast as by
        :func:`measure_sensitivity`.
    batch_size : images at a time, about; a stack is cut into batches of nearly equal size. None
        takes 256, and fewer where they are large: 32 of 3 x 224 x 224.

    Returns
    -------
    nn.Module
        The same model.

    Raises
    ------
    TypeError, ValueError
        If the model is no module or has compiled BatchNorms, the images do not fit it, or a batch
        has a single image; the statistics are then as before.

    Source
    ------
    Ioffe and Szegedy (2015), arXiv 1502.03167, algorithm 2.

    Examples
    --------
    >>> import torch
    >>> from freqsense import sensitivity
    >>> x = 3 + torch.arange(8.0).reshape(4, 1, 1, 2)
    >>> layer = sensitivity.settle_batchnorm(torch.nn.BatchNorm2d(1), x)
    >>> layer.running_mean.item(), layer.running_var.item()
    (6.5, 6.0)
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be an nn.Module, got {type(model).__name__}")
    _check_not_compiled(model)
    batch_size = as_batch_size(batch_size, 2)
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    before = [(norm.momentum, copy.deepcopy(norm.state_dict())) for norm in norms]
    settled = False
    try:
        with eval_mode(model, None) as (device, dtype), torch.no_grad():
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # a cumulative mean
                norm.train()
            for batch in _equal_batches(images, batch_size):
                model(batch.to(device, dtype or batch.dtype))
        settled = True
    finally:
        for norm, (momentum, state) in zip(norms, before, strict=True):
            norm.momentum = momentum
            if not settled:
                with torch.inference_mode():  # as they may have been made in it
                    norm.load_state_dict(state)
    return model


@dataclass(frozen=True)
class Slope:
    """Slope of a straight line through log sensitivity against log frequency, with its error."""

    slope: float
    stderr: float
    fmin: float
    fmax: float


def slope(profile: RadialProfile, fmin: float, fmax: float) -> Slope:
    r"""Fit a straight line to log sensitivity against log frequency.

    .. math:: \log \bar S_k \approx a + \beta \log |\omega|_k, \qquad
        f_\mathrm{min} \le k \le f_\mathrm{max}

    Equation ``eq-slope`` of the book: least squares, every bin alike. The error comes from the
    scatter of the bins around the line, so it holds for one network; the error over training runs
    is the scatter of the slopes of several.

    Parameters
    ----------
    profile : a RadialProfile of one channel.
    fmin, fmax : first and last bin, in cycles/image, both included.

    Returns
    -------
    Slope
        ``slope`` β belongs to the amplitude, as sensitivity does; that of its square is twice it.

    Raises
    ------
    TypeError, ValueError
        If not 0 < fmin < fmax within the grid, fewer than three bins remain, or one of them is not
        positive.

    Examples
    --------
    >>> import torch
    >>> from freqsense import fourier, sensitivity
    >>> radius = fourier.radial_frequency((64, 64)).clamp(min=1)
    >>> line = sensitivity.slope(fourier.radial_average(1 / radius), 4, 32)
    >>> round(line.slope, 2)
    -1.0
    """
    profile, bins = select_bins(profile, fmin, fmax)
    mean = torch.as_tensor(profile.mean, dtype=torch.float64)[bins]
    if not (mean > 0).all():
        raise ValueError("profile must be positive in every bin that is fitted")
    frequency = torch.as_tensor(profile.frequency, dtype=torch.float64)[bins]
    beta, stderr = fit_log_log(frequency.numpy(), mean.numpy())
    return Slope(float(beta), float(stderr), float(fmin), float(fmax))


def _norm_with_error(values: Tensor, stderr: Tensor) -> tuple[Tensor, Tensor]:
    """Norm over the first axis, kept, and an upper bound of its standard error."""
    unit = binary_scales(values, 0)
    size = (values / unit).square().sum(0, keepdim=True).sqrt() * unit
    return size, (values * _reciprocal(size) * stderr).sum(0, keepdim=True)


class _MeanSquare:
    """Root of the mean over images of Σ_k |F(∇f_k)|², on the half spectrum."""

    def __init__(self) -> None:
        self.power, self.rings = Moments(), Moments()

    def add(self, gradients: Iterator[Tensor], unit: Tensor, shape: tuple[int, int]) -> None:
        power, scale = torch.zeros(()), torch.zeros(())
        for more, own in _powers(gradients, unit):
            power = power * (scale / own).square().to(more.dtype) + more  # (n, C, H, W // 2 + 1)
            scale = own
        if self.power.count == 0:
            self.shape, self.unit = shape, _nonzero(scale)
        power = power.double() * (scale / self.unit).square()
        self.power.add(power)
        _check_finite(power, self.power)
        # A ring mean of roots is linear in the power near its mean: each image has a share in it.
        self.rings.add(_ring_means(power * self._slope(), shape))

    def finish(self, n_summed: int) -> SensitivityMap:
        stderr = self.power.standard_error() * self._slope()
        return _as_map(self.power.mean.sqrt(), stderr, self, n_summed)

    def _slope(self) -> Tensor:
        """Derivative of √P, 0 where there is no power."""
        return 0.5 * _reciprocal(self.power.mean.sqrt())


class _MeanSize:
    """Norm over k of the mean over images of |F(∇f_k)|, on the half spectrum."""

    def __init__(self) -> None:
        self.size, self.along, self.rings = Moments(), Moments(), Moments()

    def add(self, gradients: Iterator[Tensor], unit: Tensor, shape: tuple[int, int]) -> None:
        sizes = [(power.sqrt(), scale) for power, scale in _powers(gradients, unit)]
        if self.size.count == 0:
            self.shape, self.unit = shape, _nonzero(sizes[-1][1])
        size = torch.stack([each.double() * (scale / self.unit) for each, scale in sizes], 1)
        self.size.add(size)  # (n, K, C, H, W // 2 + 1)
        _check_finite(size, self.size)
        # The norm is linear in the means near them: each image has a share in it, told from the
        # means so far.
        along = (size * (self.size.mean * _reciprocal(self._norm()))).sum(1)
        self.along.add(along)
        self.rings.add(_ring_means(along, shape))

    def finish(self, n_summed: int) -> SensitivityMap:
        return _as_map(self._norm(), self.along.standard_error(), self, n_summed)

    def _norm(self) -> Tensor:
        return self.size.mean.square().sum(0).sqrt()


def _as_map(
    half: Tensor, stderr: Tensor, total: _MeanSquare | _MeanSize, n_summed: int
) -> SensitivityMap:
    scale = (total.unit * n_summed**-0.5).cpu()  # (C, 1, 1)
    values, stderr = (unfold_half(map_.cpu() * scale, total.shape[1]) for map_ in (half, stderr))
    ring_stderr = total.rings.standard_error().cpu() * scale[..., 0]
    return SensitivityMap(values, stderr, total.rings.count, ring_stderr)


def _powers(gradients: Iterator[Tensor], unit: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Squared sizes (n, C, H, W // 2 + 1) of the transforms of pixel gradients, and their scale.

    They come in squares of the largest scale (C, 1, 1) so far, a power of two for each channel
    times the unit of the gradients, so that no square leaves the range of float32.
    """
    scale = None
    for gradient in gradients:
        if gradient.dtype not in REAL_DTYPES:
            gradient = gradient.float()  # no transform of half precision
        own = (binary_scales(gradient, (0, 2, 3))[0].double() * unit).clamp(min=_SMALLEST)
        scale = own if scale is None else torch.maximum(scale, own)
        xhat = torch.fft.rfft2(gradient * (unit / scale).to(gradient.dtype), norm="ortho")
        yield torch.view_as_real(xhat).square().sum(-1), scale


def _ring_means(half: Tensor, shape: tuple[int, int]) -> Tensor:
    """Ring means (n, C, R) of half spectra (n, C, H, W // 2 + 1)."""
    columns = half.double().flatten(-2).flatten(0, 1).T  # (H * (W // 2 + 1), n * C)
    means = torch.sparse.mm(_ring_weights(shape).to(half.device), columns)
    return means.T.unflatten(0, half.shape[:2])


@lru_cache(maxsize=16)
def _ring_weights(shape: tuple[int, int]) -> Tensor:
    """Weight (R, H * (W // 2 + 1)) of each point of the half spectrum in each ring mean, sparse."""
    ring, n_half = rings(shape), shape[1] // 2 + 1
    bins = ring.bins.reshape(shape)[:, :n_half].flatten()
    column = torch.arange(n_half)
    twice = (column > 0) & (2 * column < shape[1])  # -ω lies in the other half
    share = (1.0 + twice.double()).expand(shape[0], -1).flatten()
    inside = (bins < len(ring.count)).nonzero().squeeze(1)
    places = torch.stack([bins[inside], inside])
    weights = share[inside] / ring.n_points[bins[inside]]
    size = (len(ring.count), len(bins))
    return torch.sparse_coo_tensor(places, weights, size, check_invariants=True).coalesce()


def _reciprocal(values: Tensor) -> Tensor:
    """1 / values, and 0 for 0: what has no size has no direction."""
    return torch.where(values > 0, 1 / values, 0.0)


def _nonzero(scale: Tensor) -> Tensor:
    """A scale (C, 1, 1) that others can be told by, also where there was no gradient."""
    return torch.where(scale > 1e-300, scale, 1.0)


def _check_not_compiled(model: nn.Module) -> None:
    """Raise if statistics are kept in what is no BatchNorm any more."""
    for name, module in model.named_modules():
        is_compiled = isinstance(module, torch.jit.ScriptModule) or type(module) is nn.Module
        if is_compiled and "running_mean" in dict(module.named_buffers(recurse=False)):
            raise ValueError(
                f"model must hold its BatchNorms as modules, got a compiled or exported {name!r}"
            )


def _as_method(method: str, average: str, of: str, n_probes: int) -> str:
    method = as_choice(method, "method", ("exact", "probe", "auto"))
    if average == "mean" or of == "loss":
        if method == "probe":
            what = "average='mean'" if average == "mean" else "of='loss'"
            raise ValueError(
                f"{what} needs method='exact': probes give the mean square over outputs"
            )
        method = "exact"
    if n_probes > 1 and method == "exact":
        raise ValueError(f"n_probes is for method='probe', got {n_probes} for method='exact'")
    return method


def _batches(images: object, labels: object, batch_size: int | None, of: str) -> Iterator[tuple]:
    """Check arguments at once; yield pairs of images (n, C, H, W) and classes (n,) or None."""
    is_stack = isinstance(images, Tensor | np.ndarray)
    if labels is not None and not (of == "loss" and is_stack):
        raise ValueError("labels are for of='loss' and a stack of images; leave them out otherwise")
    if labels is None and of == "loss" and is_stack:
        raise ValueError("of='loss' needs labels, the classes (N,) of the images")
    return _split(as_stacks(images, labels), batch_size, of)


def _equal_batches(images: object, batch_size: int | None) -> Iterator[Tensor]:
    """Yield batches (n, C, H, W) of two images or more, as long as one another but for one."""
    for name, stack, _ in as_stacks(images, None):
        if len(stack) < 2:
            raise ValueError(f"{name} must hold at least 2 images for a variance, got {len(stack)}")
        step = batch_size or fitting_batch(stack, gradients=False)
        n_batches = min(math.ceil(len(stack) / step), len(stack) // 2)
        yield from as_images(stack, name).tensor_split(n_batches)


def _split(stacks: Iterator, batch_size: int | None, of: str) -> Iterator[tuple]:
    for name, stack, rest in stacks:
        classes = _classes_beside(rest, len(stack), name) if of == "loss" else None
        step = batch_size or fitting_batch(stack, gradients=True)
        for start in range(0, len(stack), step):
            part = slice(start, start + step)
            yield as_images(stack[part], name), None if classes is None else classes[part]


def _classes_beside(rest: list, n_images: int, name: str) -> Tensor:
    if not rest:
        raise ValueError(f"of='loss' needs pairs (images, labels), got no labels with {name}")
    return as_classes(as_labels(rest[0], n_images))


@dataclass(frozen=True)
class _Ways:
    """Directions (n, K) of the output to differentiate along, their number and their unit."""

    directions: Iterator[Tensor]
    count: int
    unit: Tensor


def _ways(
    outputs: Tensor, classes: Tensor | None, n_probes: int, generator: torch.Generator
) -> _Ways:
    """The K axes of the output; random signs if there are probes; the loss if there are classes."""
    n, n_outputs = outputs.shape
    one = torch.ones((), dtype=torch.float64, device=outputs.device)
    if classes is not None:
        direction, unit = _loss_direction(outputs, classes)
        return _Ways(iter([direction]), 1, unit)
    if n_probes == 0:
        return _Ways(_axes(outputs), n_outputs, one)
    signs = torch.randint(2, (n, n_probes, n_outputs), generator=generator, dtype=torch.int8)
    directions = (signs * 2 - 1).transpose(0, 1).to(outputs)
    return _Ways(iter(directions), n_probes, one / math.sqrt(n_probes))


def _axes(outputs: Tensor) -> Iterator[Tensor]:
    for k in range(outputs.shape[1]):
        axis = outputs.new_zeros(outputs.shape[1])
        axis[k] = 1
        yield axis.expand(len(outputs), -1)


def _loss_direction(outputs: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient (n, K) of each image's cross-entropy by its outputs, and its unit.

    1 - p is the sum of the other shares: as a difference it is 0 for confident networks.
    """
    n_outputs = outputs.shape[1]
    right = functional.one_hot(as_classes(classes, n_outputs), n_outputs).bool().to(outputs.device)
    others = outputs.detach().double().softmax(1).masked_fill(right, 0.0)
    direction = torch.where(right, -others.sum(1, keepdim=True), others)
    unit = binary_scales(direction, (0, 1))
    return (direction / unit).to(outputs.dtype), unit.squeeze()


def _gradients(outputs: Tensor, leaf: Tensor, ways: _Ways, bar: tqdm) -> Iterator[Tensor]:
    """Gradients (n, C, H, W) of the outputs along each direction."""
    for left, direction in zip(range(ways.count - 1, -1, -1), ways.directions, strict=True):
        (gradient,) = torch.autograd.grad(
            outputs, leaf, direction, retain_graph=left > 0, allow_unused=True
        )
        if gradient is None:
            raise ValueError(CUT_OFF)
        yield gradient
        bar.update(len(leaf))


def _announce(bar: tqdm, images: object, n_directions: int) -> None:
    """Let a bar know how many gradients there will be, where the number of images is known."""
    n_images = length_hint(images if hasattr(images, "shape") else getattr(images, "dataset", ()))
    if n_images and bar.total is None:
        bar.total = n_images * n_directions
        bar.refresh()


def _check_finite(sizes: Tensor, total: Moments) -> None:
    """Raise if the sizes (n, ...) of some image, added last, are not finite."""
    if not torch.isfinite(total.mean.sum()):
        bad = (~torch.isfinite(sizes)).flatten(1).any(1).nonzero()
        which = total.count - len(sizes) + int(bad[0])
        raise ValueError(
            f"model has a NaN or infinite gradient on these images, first on image {which} (from 0)"
        )


def _error(total: _MeanSquare | _MeanSize) -> float:
    return _relative_error(total.finish(1))


def _relative_error(found: SensitivityMap) -> float:
    """Standard error of the ring means over themselves, median over all rings but DC."""
    norm = found.norm()
    relative = (norm.ring_stderr * _reciprocal(radial_average(norm.values).mean))[0]
    return relative[1:].median().item() if len(relative) > 1 else relative.item()


def _warn_of_error(error: float, until: float, n_images: int) -> None:
    """Warn if the images ran out."""
    if math.isnan(error):
        warnings.warn("until needs a standard error over images, got one image", stacklevel=3)
    elif error > until:
        needed = math.ceil(n_images * (error / until) ** 2)
        warnings.warn(
            f"the {n_images} images ran out at a relative standard error of {error:.2g}, above "
            f"until={until:g}: about {needed} would do",
            stacklevel=3,
        )


def _read_columns(file: BinaryIO) -> dict[str, np.ndarray]:
    """Arrays of an archive; nothing is unpickled, and nothing unpacks to more than the file."""
    archive = np.load(file, allow_pickle=False)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise ValueError("expected an archive of arrays, got a single one")
    with archive:
        entries = archive.zip.infolist() if archive.zip else []
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("expected an archive without compression")
        return {name: archive[name] for name in archive.files}


def _check_saved(columns: dict[str, np.ndarray]) -> None:
    """Say what is wrong with the arrays of a saved map."""
    expected = {"format", "values", "stderr", "n_images", "ring_stderr"}
    if columns.keys() - {"n_probes"} != expected:
        raise ValueError(f"expected arrays {sorted(expected)}, got {sorted(columns)}")
    if columns["format"].shape != () or columns["format"] != _FORMAT:
        raise ValueError(f"expected format {_FORMAT}, got {columns['format']}")
    values, stderr, ring_stderr = (columns[name] for name in ("values", "stderr", "ring_stderr"))
    if values.ndim != 3 or 0 in values.shape or stderr.shape != values.shape:
        raise ValueError(f"expected maps (C, H, W), got {values.shape} and {stderr.shape}")
    n_rings = len(rings(values.shape[1:]).count)
    if ring_stderr.shape != (len(values), n_rings):
        raise ValueError(
            f"expected ring_stderr ({len(values)}, {n_rings}), got {ring_stderr.shape}"
        )
    if any(column.dtype != np.float64 for column in (values, stderr, ring_stderr)):
        raise ValueError("expected float64 maps")
    n_images = columns["n_images"]
    if n_images.shape != () or n_images.dtype.kind != "i" or n_images < 1:
        raise ValueError(f"expected a positive integer n_images, got {n_images}")
    n_probes = columns.get("n_probes", np.array(0))
    if n_probes.shape != () or n_probes.dtype.kind != "i" or n_probes < 0:
        raise ValueError(f"expected a whole number n_probes of at least 0, got {n_probes}")
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise ValueError("expected finite values of at least 0")
    errors = np.concatenate([stderr.ravel(), ring_stderr.ravel()])
    if n_images > 1 and not (np.isfinite(errors).all() and (errors >= 0).all()):
        raise ValueError("expected finite standard errors of at least 0")
