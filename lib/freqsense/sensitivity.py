"""Sensitivity of a network to each spatial frequency of its input."""

import copy
import io
import math
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from freqsense._checks import (
    REAL_DTYPES,
    as_choice,
    as_classes,
    as_images,
    as_integer,
    as_labels,
    as_stacks,
    seeded_generator,
    sides,
)
from freqsense._evaluation import CUT_OFF, as_outputs, check_callable, eval_mode
from freqsense._files import atomic_write
from freqsense._lines import fit_log_log
from freqsense._moments import Moments
from freqsense.fourier import RadialProfile, radial_average, rings, select_bins, unfold_half

__all__ = ["SensitivityMap", "Slope", "measure_sensitivity", "settle_batchnorm", "slope"]

_FORMAT = 1  # of saved maps

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
    """

    values: Tensor
    stderr: Tensor
    n_images: int
    ring_stderr: Tensor

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
        return SensitivityMap(values, stderr, self.n_images, ring_stderr)

    def save(self, path: str | os.PathLike) -> None:
        """Write the map to an ``.npz`` file, whole or not at all."""
        path = Path(path)
        if not path.parent.is_dir():
            raise FileNotFoundError(f"no folder {path.parent} to save {path.name} in")
        content = io.BytesIO()
        np.savez(
            content,
            format=_FORMAT,
            values=self.values.numpy(),
            stderr=self.stderr.numpy(),
            n_images=self.n_images,
            ring_stderr=self.ring_stderr.numpy(),
        )
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
        return cls(values, stderr, int(columns["n_images"]), ring_stderr)


def measure_sensitivity(
    model: Callable[[Tensor], Tensor],
    images: Tensor | np.ndarray | Iterable,
    *,
    method: str = "exact",
    reduce: str = "norm",
    batch_size: int = 256,
    device: str | torch.device | None = None,
    average: str = "rms",
    of: str = "logits",
    labels: Tensor | np.ndarray | None = None,
    n_probes: int = 1,
    seed: int = 0,
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
    its own: a normalisation over the batch is measured as if it were constant.

    Parameters
    ----------
    model : maps (N, C, H, W) to (N, K); an ``nn.Module``, or any differentiable function.
    images : a stack (N, C, H, W), or any iterable of stacks, or of tuples that begin with a stack
        (a ``DataLoader`` of images and labels). Cast to the dtype of the model's weights.
    method : ``"exact"``, or ``"probe"``, whose square is unbiased.
    reduce : ``"norm"`` over the outputs, or ``"rms"``, which divides the sum over k by K.
    batch_size : images at a time, which bounds the memory.
    device : where to compute; None computes where the model is.
    average : ``"rms"`` as above, or ``"mean"`` over images of the absolute value, then the norm
        over k (equation ``eq-sensitivity-mean``; the paper's code takes this norm before the mean,
        which is the same for K = 1); exact only, and K gradients of a batch are held at a time.
    of : ``"logits"``, or ``"loss"`` for the cross-entropy of each image, which is a single output.
    labels : classes (N,) for ``of="loss"`` and a stack; an iterable brings its own.
    n_probes : independent probes of every image, for ``method="probe"``.
    seed : of the probes; the global random state is left alone.

    Returns
    -------
    SensitivityMap
        ``values`` (C, H, W), in units of output per pixel unit, an amplitude (its square compares
        with power); float64 on the CPU.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, the images differ in size or do not fit the model, the
        output is not a real (N, K), does not depend on the images, or has a NaN or infinite
        gradient.

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
    method = as_choice(method, "method", ("exact", "probe"))
    reduce = as_choice(reduce, "reduce", ("norm", "rms"))
    average = as_choice(average, "average", ("rms", "mean"))
    of = as_choice(of, "of", ("logits", "loss"))
    if method == "probe" and (average == "mean" or of == "loss"):
        what = "average='mean'" if average == "mean" else "of='loss'"
        raise ValueError(f"{what} needs method='exact': probes give the mean square over outputs")
    batches = _batches(images, labels, as_integer(batch_size, "batch_size", 1), of)
    if as_integer(n_probes, "n_probes", 1) > 1 and method == "exact":
        raise ValueError(f"n_probes is for method='probe', got {n_probes} for method='exact'")
    generator = seeded_generator(seed)
    total = _MeanSquare(n_probes) if average == "rms" else _MeanSize()
    with eval_mode(model, device) as (device, dtype), torch.inference_mode(False):
        for batch, classes in batches:
            leaf = batch.clone().to(device, dtype or batch.dtype).requires_grad_()  # (n, C, H, W)
            outputs = _differentiable_outputs(model, leaf)  # (n, K)
            if of == "loss":
                directions = _loss_direction(outputs, classes)
            else:
                directions = _directions(outputs, n_probes if method == "probe" else 0, generator)
            total.add(_gradients(outputs, leaf, directions), sides(batch))
            _check_finite(total)
    n_summed = outputs.shape[1] if reduce == "rms" and of == "logits" else 1
    return total.finish(n_summed)


def settle_batchnorm(
    model: nn.Module, images: Tensor | np.ndarray | Iterable, *, batch_size: int = 256
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
    batch_size : images at a time, about; a stack is cut into batches of nearly equal size.

    Returns
    -------
    nn.Module
        The same model.

    Raises
    ------
    TypeError, ValueError
        If the model is no module, the images do not fit it, or a batch has a single image; the
        statistics are then as before.

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
    batch_size = as_integer(batch_size, "batch_size", 2)
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
    size = values.square().sum(0, keepdim=True).sqrt()
    return size, (values * stderr).sum(0, keepdim=True) * _reciprocal(size)


class _MeanSquare:
    """Root of the mean over images of Σ_k |F(∇f_k)|², on the half spectrum."""

    def __init__(self, n_probes: int) -> None:
        self.n_probes = n_probes
        self.power, self.rings = Moments(), Moments()

    def add(self, gradients: Iterator[Tensor], shape: tuple[int, int]) -> None:
        power = torch.zeros(())
        for gradient in gradients:
            power = power + _power(gradient)  # (n, C, H, W // 2 + 1)
        self.shape = shape
        self.power.add(power / self.n_probes if self.n_probes > 1 else power)
        # A ring mean of roots is linear in the power near its mean: each image has a share in it.
        share = power * (self._slope() / self.n_probes).to(power.dtype)
        self.rings.add(_ring_means(share, self.shape))

    def check(self) -> Tensor:
        return self.power.mean.sum()

    def finish(self, n_summed: int) -> SensitivityMap:
        stderr = self.power.standard_error() * self._slope()
        return _as_map(self.power.mean.sqrt(), stderr, self.rings, self.shape, n_summed)

    def _slope(self) -> Tensor:
        """Derivative of √P, 0 where there is no power."""
        return 0.5 * _reciprocal(self.power.mean.sqrt())


class _MeanSize:
    """Norm over k of the mean over images of |F(∇f_k)|, on the half spectrum."""

    def __init__(self) -> None:
        self.size, self.along, self.rings = Moments(), Moments(), Moments()

    def add(self, gradients: Iterator[Tensor], shape: tuple[int, int]) -> None:
        self.shape = shape
        size = torch.stack([_power(g).sqrt() for g in gradients], 1)  # (n, K, C, H, W // 2 + 1)
        self.size.add(size)
        # The norm is linear in the means near them: each image has a share in it, told from the
        # means so far.
        along = (size * (self.size.mean * _reciprocal(self._norm()))).sum(1)
        self.along.add(along)
        self.rings.add(_ring_means(along, self.shape))

    def check(self) -> Tensor:
        return self.size.mean.sum()

    def finish(self, n_summed: int) -> SensitivityMap:
        stderr = self.along.standard_error()
        return _as_map(self._norm(), stderr, self.rings, self.shape, n_summed)

    def _norm(self) -> Tensor:
        return self.size.mean.square().sum(0).sqrt()


def _as_map(
    half: Tensor, stderr: Tensor, ring: Moments, shape: tuple[int, int], n_summed: int
) -> SensitivityMap:
    scale = n_summed**-0.5
    values, stderr = (unfold_half(map_.cpu() * scale, shape[1]) for map_ in (half, stderr))
    return SensitivityMap(values, stderr, ring.count, ring.standard_error().cpu() * scale)


def _power(gradient: Tensor) -> Tensor:
    """Squared size (n, C, H, W // 2 + 1) of the transform of pixel gradients."""
    if gradient.dtype not in REAL_DTYPES:
        gradient = gradient.float()  # no transform of half precision
    xhat = torch.view_as_real(torch.fft.rfft2(gradient, norm="ortho"))
    return xhat.square().sum(-1)


def _ring_means(half: Tensor, shape: tuple[int, int]) -> Tensor:
    """Ring means (n, C, R) of half spectra (n, C, H, W // 2 + 1)."""
    return half.double().flatten(-2) @ _ring_weights(shape).to(half.device)


@lru_cache(maxsize=16)
def _ring_weights(shape: tuple[int, int]) -> Tensor:
    """Weight (H * (W // 2 + 1), R) of each point of the half spectrum in each ring mean."""
    ring, n_half = rings(shape), shape[1] // 2 + 1
    bins = ring.bins.reshape(shape)[:, :n_half].flatten()
    n_rings = len(ring.count)
    column = torch.arange(n_half)
    twice = (column > 0) & (2 * column < shape[1])  # -ω lies in the other half
    share = (1.0 + twice.double()).expand(shape[0], -1).flatten()
    weights = functional.one_hot(bins, n_rings + 1)[:, :n_rings] * share[:, None]
    return weights / ring.n_points


def _reciprocal(values: Tensor) -> Tensor:
    """1 / values, and 0 for 0: what has no size has no direction."""
    return torch.where(values > 0, 1 / values, 0.0)


def _batches(images: object, labels: object, batch_size: int, of: str) -> Iterator[tuple]:
    """Check arguments at once; yield pairs of images (n, C, H, W) and classes (n,) or None."""
    is_stack = isinstance(images, Tensor | np.ndarray)
    if labels is not None and not (of == "loss" and is_stack):
        raise ValueError("labels are for of='loss' and a stack of images; leave them out otherwise")
    if labels is None and of == "loss" and is_stack:
        raise ValueError("of='loss' needs labels, the classes (N,) of the images")
    return _split(as_stacks(images, labels), batch_size, of)


def _equal_batches(images: object, batch_size: int) -> Iterator[Tensor]:
    """Yield batches (n, C, H, W) of two images or more, as long as one another but for one."""
    for name, stack, _ in as_stacks(images, None):
        if len(stack) < 2:
            raise ValueError(f"{name} must hold at least 2 images for a variance, got {len(stack)}")
        n_batches = min(math.ceil(len(stack) / batch_size), len(stack) // 2)
        yield from as_images(stack, name).tensor_split(n_batches)


def _split(stacks: Iterator, batch_size: int, of: str) -> Iterator[tuple]:
    for name, stack, rest in stacks:
        classes = _classes_beside(rest, len(stack), name) if of == "loss" else None
        for start in range(0, len(stack), batch_size):
            part = slice(start, start + batch_size)
            yield as_images(stack[part], name), None if classes is None else classes[part]


def _classes_beside(rest: list, n_images: int, name: str) -> Tensor:
    if not rest:
        raise ValueError(f"of='loss' needs pairs (images, labels), got no labels with {name}")
    return as_classes(as_labels(rest[0], n_images))


def _differentiable_outputs(model: Callable, leaf: Tensor) -> Tensor:
    """Outputs (n, K) of the model, checked."""
    with torch.enable_grad():
        # A model may write into its input, but not into a leaf.
        outputs = as_outputs(model(leaf.clone()), len(leaf))
    if not outputs.requires_grad:
        raise ValueError(CUT_OFF)
    return outputs


def _directions(outputs: Tensor, n_probes: int, generator: torch.Generator) -> Tensor:
    """Directions (M, n, K) of the output: its K axes, or random signs if there are probes."""
    n, n_outputs = outputs.shape
    if n_probes == 0:
        axes = torch.eye(n_outputs, dtype=outputs.dtype, device=outputs.device)
        return axes[:, None].expand(-1, n, -1)
    signs = torch.randint(2, (n, n_probes, n_outputs), generator=generator) * 2 - 1
    return signs.transpose(0, 1).to(outputs)


def _loss_direction(outputs: Tensor, classes: Tensor) -> Tensor:
    """Gradient (1, n, K) of each image's cross-entropy with respect to its outputs."""
    n_outputs = outputs.shape[1]
    one_hot = functional.one_hot(as_classes(classes, n_outputs), n_outputs).to(outputs)
    return (outputs.detach().softmax(1) - one_hot)[None]


def _gradients(outputs: Tensor, leaf: Tensor, directions: Tensor) -> Iterator[Tensor]:
    """Gradients (n, C, H, W) of the outputs along each direction."""
    for left, direction in zip(range(len(directions) - 1, -1, -1), directions, strict=True):
        (gradient,) = torch.autograd.grad(
            outputs, leaf, direction, retain_graph=left > 0, allow_unused=True
        )
        if gradient is None:
            raise ValueError(CUT_OFF)
        yield gradient


def _check_finite(total: _MeanSquare | _MeanSize) -> None:
    if not torch.isfinite(total.check()):
        raise ValueError("model has a NaN or infinite gradient on these images")


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
    if set(columns) != expected:
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
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise ValueError("expected finite values of at least 0")
    errors = np.concatenate([stderr.ravel(), ring_stderr.ravel()])
    if n_images > 1 and not (np.isfinite(errors).all() and (errors >= 0).all()):
        raise ValueError("expected finite standard errors of at least 0")
