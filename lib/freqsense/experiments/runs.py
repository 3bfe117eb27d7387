"""The runs that sweeps are made of: data, a network, training, and what is measured at the end."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from freqsense import _defaults, filters, models, robustness, theory, training
from freqsense._checks import (
    as_choice,
    as_image_shape,
    as_integer,
    as_real,
    seeded_generator,
    sides,
)
from freqsense._moments import correlate
from freqsense.experiments._data import (
    CIFAR10_JPEG_VARIABLE,
    CIFAR10_VARIABLE,
    apply_filter,
    load,
    mean_and_scale,
)
from freqsense.experiments._specs import DATA, FILTERS, LABELS, REGIMES, split_spec
from freqsense.fourier import fft2, radial_average, rings
from freqsense.sensitivity import measure_sensitivity, settle_batchnorm

__all__ = [
    "CIFAR10_JPEG_VARIABLE",
    "CIFAR10_VARIABLE",
    "DATA",
    "FILTERS",
    "LABELS",
    "PRECISIONS",
    "REGIMES",
    "Task",
    "label_statistics",
    "load_task",
    "solve_and_measure",
    "split_spec",
    "train_and_attack",
    "train_and_follow",
    "train_and_measure",
]

# Duality gap at most, as a share of the objective: slopes agree to two digits then.
_TOLERANCE = 1e-5

# Why there may be no minimiser to measure; the rest of a run is worth keeping then.
_NO_MINIMUM = theory.NotSeparableError, theory.NotConvergedError

# A frequency below this share of the largest sensitivity is silent.
_SILENT = 1e-6

# How training computes, by the precision's name.
PRECISIONS = ("float32", "bfloat16")

_PIECE = 4096  # images that are transformed at a time

_N_SETTLED = 4096  # images that give the statistics of an untrained network's BatchNorms

# How training images are changed under a regime, by the regime's name.
_AUGMENTATIONS = {
    "gaussian_noise": robustness.gaussian_noise,
    "low_pass_blur": robustness.low_pass_augment,
}


@dataclass(frozen=True)
class Task:
    """Images with labels, to train on and to test on, of channel mean 0 and overall variance 1.

    images, labels : (N, C, H, W) float32 and (N,), classes or -1 and +1
    test_images, test_labels : likewise
    n_outputs : of a network for it; 1 for labels -1 and +1
    mean, scale : what was subtracted from each channel (C,), and what all were divided by
    """

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    n_outputs: int
    mean: Tensor
    scale: float

    @property
    def loss(self) -> str:
        """The loss that fits the labels, as :func:`.train` names it."""
        return "logistic" if self.n_outputs == 1 else "cross_entropy"


def load_task(
    data: str,
    *,
    size: int,
    n_train: int,
    n_test: int,
    image_filter: str = "none",
    labels: str = "true",
    seed: int = 0,
) -> Task:
    r"""Load or make images with labels, filter them, and scale them to unit variance.

    Made images are labelled by one white linear teacher, whose response to every frequency has the
    same size, so that only the images differ from one exponent to another (definition
    ``def-clean-test`` of the book):

    .. math:: y = \operatorname{sign} \sum_\omega b^*(\omega)\, \hat x(\omega), \qquad
        |b^*(\omega)| = 1

    Parameters
    ----------
    data : ``"gaussian_field:A"`` or ``"dead_leaves:A"``, of power \|ω\|^-A; ``"photographs"``,
        patches of :data:`.PATCH_CLASSES` in colour, and ``"photographs:K"`` without the K-th of
        them (0 to 7), for errors over photographs; ``"cifar10"``, or ``"cifar10:M"`` for the first
        M records of each official batch; ``"imagenette"``, pictures of 160 pixels, shrunk. If the
        environment variable FREQSENSE_CIFAR10 names an archive in the same binary layout, it is
        read in place of a download. ``"cifar10_jpeg"`` is the file of
        :func:`.read_cifar10_jpeg` that FREQSENSE_CIFAR10_JPEG names, its last tenth for testing.
    size : side of the images in pixels.
    n_train, n_test : images of each kind, at most as many as there are of real data sets.
    image_filter : steps, separated by spaces and taken from left to right, of test images too:
        ``none``, ``high_pass:R``, ``low_pass:R``, ``recolor:D``, ``whiten`` (by the spectrum of the
        training images), ``scramble_phases``, see :mod:`.filters`; ``grey`` (:func:`.luminance`)
        and ``shrink:F`` (:func:`.shrink`).
    labels : ``"true"``, ``"random"`` to shuffle them, or ``"two_groups"``: +1 for the first half of
        the classes and -1 for the rest.
    seed : of images that are made or drawn, of teacher and shuffling.

    Raises
    ------
    TypeError, ValueError
        If a name is unknown (the nearest is named) or an argument is out of range.
    ConnectionError
        As :func:`.download` does, with what to do without a network.

    Examples
    --------
    >>> from freqsense import experiments
    >>> task = experiments.load_task("gaussian_field:2", size=16, n_train=100, n_test=50)
    >>> task.images.shape, task.test_labels.abs().unique().tolist()
    (torch.Size([100, 1, 16, 16]), [1.0])
    """
    n_train, n_test = as_integer(n_train, "n_train", 1), as_integer(n_test, "n_test", 1)
    size, seed = as_integer(size, "size", 4), as_integer(seed, "seed", 0)
    steps = [split_spec(step, "image_filter", FILTERS) for step in image_filter.split()]
    as_choice(labels, "labels", LABELS)
    train, test, n_outputs = load(data, size, n_train, n_test, seed)
    (x, y), (test_x, test_y) = train, test
    for name, numbers in steps:
        x, test_x = apply_filter(name, numbers, x, test_x, seed)
    mean, scale = mean_and_scale(x)
    x, test_x = (x - mean) / scale, (test_x - mean) / scale
    if labels == "two_groups" and n_outputs > 1:
        y, test_y = (1.0 - 2.0 * (z >= n_outputs / 2) for z in (y, test_y))
        n_outputs = 1
    if labels == "random":
        generator = seeded_generator(seed)
        y, test_y = (z[torch.randperm(len(z), generator=generator)] for z in (y, test_y))
    return Task(x, y, test_x, test_y, n_outputs, mean.flatten(), scale)


def train_and_measure(
    *,
    architecture: str,
    data: str,
    weight_decay: float,
    seed: int = 0,
    image_filter: str = "none",
    labels: str = "true",
    regime: str = "plain",
    width: int = _defaults.WIDTH,
    size: int = _defaults.SIZE,
    n_train: int = _defaults.N_TRAIN,
    n_test: int = _defaults.N_TEST,
    epochs: int = _defaults.EPOCHS,
    lr: float = _defaults.LR,
    optimizer: str = _defaults.OPTIMIZER,
    schedule: str = _defaults.SCHEDULE,
    decay: str = "all",
    augment: bool = False,
) -> dict:
    r"""Train one network, and measure its sensitivity beside the statistics of its images.

    One run of the book's sweeps: the parameters are the axes of a :class:`.Sweep`, and the keys of
    the files that ``python -m freqsense sweep`` reads. Sensitivities are norms over channels and
    outputs, on 500 test images.

    Parameters
    ----------
    architecture : one of :data:`.ARCHITECTURES`; ``width`` is that of :func:`.build`.
    data, image_filter, labels, size, n_train, n_test : as for :func:`load_task`.
    weight_decay, epochs, lr, optimizer, schedule, decay : as for :func:`.train`.
    seed : of images, initial weights and the order of training.
    regime : ``"plain"``; trained with ``"gaussian_noise:STD"``, ``"low_pass_blur:R"``, or
        ``"adversarial:RADIUS"`` (L2, 5 steps); or penalised for sensitivity, by
        ``"penalty_below:R:STRENGTH"`` or ``"penalty_above:R:STRENGTH"`` cycles/image.
    augment : whether to train on random flips and crops.

    Returns
    -------
    dict
        ``sensitivity`` and ``untrained`` (ring,), before the training; ``power_map`` and
        ``cross_map`` (ky, half_kx): power of the training images, and their correlation with the
        labels (norm over channels and outputs, labels centred); ``train_accuracy``, ``accuracy``
        (on test images), ``loss``, ``n_images``. With one output also ``predicted`` (ring,): the
        end-to-end map of a linear CNN of depth 2 under the same decay and loss, by :func:`.solve`
        on the same images, or :func:`.solve_limit` without decay; NaN where there is none.

    Raises
    ------
    TypeError, ValueError, FloatingPointError, ConnectionError
        As the functions named here do.

    Source
    ------
    arXiv 2210.01257.

    Examples
    --------
    >>> from freqsense import experiments
    >>> result = experiments.train_and_measure(
    ...     architecture="linear_cnn-2", data="gaussian_field:2", weight_decay=0.1, width=1,
    ...     size=8, n_train=200, n_test=100, epochs=2,
    ... )
    >>> dims, values = result["sensitivity"]
    >>> dims, tuple(values.shape)
    (('ring',), (5,))
    """
    task = load_task(
        data,
        size=size,
        n_train=n_train,
        n_test=n_test,
        image_filter=image_filter,
        labels=labels,
        seed=seed,
    )
    model, untrained, history = _train(
        task,
        architecture,
        width,
        regime,
        augment,
        epochs=epochs,
        lr=lr,
        weight_decay=weight_decay,
        seed=seed,
        optimizer=optimizer,
        schedule=schedule,
        decay=decay,
    )
    power, cross = label_statistics(task.images, task.labels)
    values = _summarize(model, task, untrained) | {
        "sensitivity": (("ring",), _ring_means(_sensitivity(model, task))),
        "power_map": _half(power),
        "cross_map": _half(cross),
        "loss": history.loss[-1],
    }
    if task.n_outputs == 1:
        values["predicted"] = ("ring",), _predict(task, weight_decay)
    return values


def train_and_follow(
    *,
    architecture: str,
    data: str,
    weight_decay: float,
    seed: int = 0,
    image_filter: str = "none",
    labels: str = "true",
    start: float = 1.0,
    width: int = _defaults.WIDTH,
    size: int = _defaults.SIZE,
    n_train: int = _defaults.N_TRAIN,
    n_test: int = _defaults.N_TEST,
    steps: int = 3000,
    looks: int = 6,
    batch_size: int = 128,
    lr: float = _defaults.LR,
    optimizer: str = _defaults.OPTIMIZER,
    schedule: str = "one_cycle",
    decay: str = "all",
    augment: bool = False,
    precision: str = "float32",
) -> dict:
    r"""Train one network, and measure its sensitivity again and again while it learns.

    As :func:`train_and_measure`, without regimes. Training is told in steps, so that few images and
    many are trained alike; the looks lie evenly on the logarithm of the epochs, the first after one
    epoch, the last at the end. What was learned is the function less that at the start (equation
    ``eq-learned`` of the book), whose sensitivity has no background from initial weights:

    .. math:: f_t(x) - f_0(x)

    Parameters
    ----------
    start : what the initial weights are multiplied by.
    steps : of the optimiser, rounded up to whole epochs.
    looks : how many.
    precision : ``"float32"``; or ``"bfloat16"``, on a GPU, for as much of the training as
        autocast does in it, with channels last in memory.

    Returns
    -------
    dict
        ``epoch`` (look,), whole epochs done, the same more than once where there are fewer epochs
        than looks; ``sensitivity`` and ``learned`` (look, ring), of the function and of what was
        learned; ``loss`` (look,), the mean over that epoch; ``untrained`` (ring,), ``power_map``,
        ``cross_map``, ``train_accuracy``, ``accuracy`` and ``n_images`` as
        :func:`train_and_measure` has them, at the end.

    Examples
    --------
    >>> from freqsense import experiments
    >>> result = experiments.train_and_follow(
    ...     architecture="linear_cnn-2", data="gaussian_field:2", weight_decay=0.0, width=1,
    ...     size=8, n_train=256, n_test=100, steps=20, looks=3,
    ... )
    >>> result["epoch"][1].tolist(), tuple(result["learned"][1].shape)
    ([1, 3, 10], (3, 5))
    """
    task = load_task(
        data,
        size=size,
        n_train=n_train,
        n_test=n_test,
        image_filter=image_filter,
        labels=labels,
        seed=seed,
    )
    as_choice(precision, "precision", PRECISIONS)
    batches = math.ceil(len(task.images) / as_integer(batch_size, "batch_size", 1))
    epochs = math.ceil(as_integer(steps, "steps", 1) / batches)
    seen = _look_epochs(epochs, as_integer(looks, "looks", 1))
    model = _build(task, architecture, width, seed)
    _scale_weights(model, as_real(start, "start", 0))
    if precision == "bfloat16":
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # in place
    watcher = _Watcher(model, task, seen)
    history = training.train(
        model,
        task.images.to(_device()),
        task.labels.to(_device()),
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        weight_decay=weight_decay,
        seed=seed,
        loss=task.loss,
        optimizer=optimizer,
        schedule=schedule,
        decay=decay,
        augment=training.flip_and_crop if augment else None,
        autocast=precision == "bfloat16",
        after_epoch=watcher.look,
    )
    power, cross = label_statistics(task.images, task.labels)
    untrained = _ring_means(_sensitivity(watcher.start, task))
    return _summarize(model, task, untrained) | {
        "epoch": (("look",), torch.tensor(seen)),
        "sensitivity": (("look", "ring"), torch.stack([watcher.whole[e] for e in seen])),
        "learned": (("look", "ring"), torch.stack([watcher.learned[e] for e in seen])),
        "loss": (("look",), torch.tensor([history.loss[e - 1] for e in seen])),
        "power_map": _half(power),
        "cross_map": _half(cross),
    }


def train_and_attack(
    *,
    architecture: str,
    data: str,
    weight_decay: float,
    seed: int = 0,
    regime: str = "plain",
    width: int = _defaults.WIDTH,
    size: int = _defaults.SIZE,
    n_train: int = _defaults.N_TRAIN,
    n_test: int = _defaults.N_TEST,
    epochs: int = _defaults.EPOCHS,
    lr: float = _defaults.LR,
    schedule: str = "one_cycle",
    wave_norm: float = 8.0,
    pgd_radius: float = 1.0,
) -> dict:
    r"""Train one network, and measure what it is robust to beside its sensitivity.

    As :func:`train_and_measure`, by Adam, without filters. What is added to test images has the
    norm ``wave_norm`` (waves, noise of one ring) or at most ``pgd_radius`` (L2); images of
    unit variance have the norm √(CHW).

    Returns
    -------
    dict
        ``sensitivity``, ``untrained`` (ring,) and ``sensitivity_map`` (ky, half_kx);
        ``heat_map`` (ky, half_kx), on 128 images, and ``noise_error`` (ring,), noise of the ring k,
        k = 0, 1, ...; ``low_pass_error`` and ``high_pass_error`` (ring,), of images filtered at
        radius k (NaN at 0); ``attacked_error`` and ``attack_power``
        (ring,), the mean power of what PGD adds; ``train_accuracy``, ``accuracy``, ``n_images``.

    Examples
    --------
    >>> from freqsense import experiments
    >>> result = experiments.train_and_attack(
    ...     architecture="linear_cnn-2", data="gaussian_field:2", weight_decay=0.1, width=1,
    ...     size=8, n_train=200, n_test=100, epochs=2,
    ... )
    >>> dims, values = result["heat_map"]
    >>> dims, tuple(values.shape)
    (('ky', 'half_kx'), (8, 5))
    """
    task = load_task(data, size=size, n_train=n_train, n_test=n_test, seed=seed)
    model, untrained, _ = _train(
        task,
        architecture,
        width,
        regime,
        augment=False,
        epochs=epochs,
        lr=lr,
        weight_decay=weight_decay,
        seed=seed,
        optimizer=_defaults.OPTIMIZER,
        schedule=schedule,
    )
    x, y = task.test_images[:500], task.test_labels[:500]
    attacked = robustness.pgd(model, x, y, radius=pgd_radius, seed=seed)
    added = robustness.perturbation_spectrum(x, attacked).values.sum(0)  # (H, W)
    heat = robustness.fourier_heat_map(model, x[:128], y[:128], norm=wave_norm, seed=seed)
    sensitivity = _sensitivity(model, task)
    return {
        **_summarize(model, task, untrained),
        "sensitivity": (("ring",), _ring_means(sensitivity)),
        "sensitivity_map": _half(sensitivity),
        "heat_map": _half(heat.errors),
        "attack_power": (("ring",), _ring_means(added)),
        "attacked_error": robustness.error_rate(model, attacked, y),
        **_errors_by_ring(model, x, y, wave_norm, seed),
    }


def solve_and_measure(
    *,
    data: str,
    weight_decay: float,
    depth: int,
    seed: int = 0,
    image_filter: str = "none",
    labels: str = "true",
    size: int = _defaults.SIZE,
    n_train: int = _defaults.N_TRAIN,
    n_test: int = _defaults.N_TEST,
) -> dict:
    r"""Solve the program of a linear CNN on a task of two classes, and measure the minimiser.

    What :func:`train_and_measure` would find in a linear network that is trained to its global
    minimum: the minimiser of the logistic loss with decay by :func:`.solve`, and its limit for
    λ → 0 by :func:`.solve_limit`.

    Parameters
    ----------
    data, image_filter, labels, size, n_train, n_test, seed : as for :func:`load_task`, of one
        output.
    weight_decay : λ >= 0.
    depth : 1 or 2.

    Returns
    -------
    dict
        ``sensitivity`` (ring,) of the minimiser; ``power_map`` (ky, half_kx) of training images;
        ``silent``, the share of frequencies but DC below a millionth of the largest sensitivity;
        ``accuracy`` on test images; ``gap``, relative to the objective; ``n_images``. All but the
        power are NaN for λ = 0 where the images are not separable, for there is no limit then, and
        where the solution does not converge.

    Raises
    ------
    TypeError, ValueError, ConnectionError
        As :func:`load_task` does, or if the task has several outputs.

    Examples
    --------
    >>> from freqsense import experiments
    >>> result = experiments.solve_and_measure(
    ...     data="gaussian_field:2", weight_decay=0.0, depth=1, size=8, n_train=20, n_test=100
    ... )
    >>> bool(result["gap"] < 1e-6), result["silent"]
    (True, 0.0)
    """
    weight_decay, depth = as_real(weight_decay, "weight_decay", 0), as_integer(depth, "depth", 1, 2)
    task = load_task(
        data,
        size=size,
        n_train=n_train,
        n_test=n_test,
        image_filter=image_filter,
        labels=labels,
        seed=seed,
    )
    if task.n_outputs != 1:
        raise ValueError(f"labels must be two_groups for {task.n_outputs} classes, got {labels}")
    power, _ = label_statistics(task.images, task.labels)
    values: dict[str, Any] = {"power_map": _half(power), "n_images": len(task.images)}
    try:
        solution = _minimum(task, weight_decay, depth, _TOLERANCE)
    except _NO_MINIMUM:
        lost = dict.fromkeys(("silent", "accuracy", "gap"), math.nan)
        return values | {"sensitivity": (("ring",), _unknown_rings(power))} | lost
    heard = _sizes(solution.B)
    outputs = torch.einsum("hwkc,nchw->nk", solution.B, fft2(task.test_images.double())).real
    return values | {
        "sensitivity": (("ring",), _ring_means(heard)),
        "silent": (heard.flatten()[1:] < _SILENT * heard.max()).double().mean().item(),
        "accuracy": (outputs[:, 0] * task.test_labels > 0).double().mean().item(),
        "gap": solution.gap / solution.objective,
    }


def _minimum(task: Task, weight_decay: float, depth: int, tolerance: float) -> theory.Solution:
    """Minimiser of the logistic loss on a task of one output, or the limit of vanishing decay."""
    if weight_decay == 0:
        return theory.solve_limit(task.images, task.labels, depth=depth)
    return theory.solve(
        task.images,
        task.labels,
        weight_decay=weight_decay,
        depth=depth,
        loss="logistic",
        tolerance=tolerance,
    )


def _sizes(B: Tensor) -> Tensor:
    """Sensitivity (H, W) of an end-to-end map."""
    return B.abs().square().sum((2, 3)).sqrt()


def _predict(task: Task, weight_decay: float) -> Tensor:
    """Ring means (R,) of the exact minimiser at depth 2; NaN where none is found."""
    try:
        return _ring_means(_sizes(_minimum(task, weight_decay, 2, 1e-10).B))
    except _NO_MINIMUM:
        return _unknown_rings(task.images)


def _unknown_rings(x: Tensor) -> Tensor:
    """A NaN for each ring (R,) of maps or images (..., H, W)."""
    return torch.full((len(rings(sides(x)).count),), math.nan)


def label_statistics(stack: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    r"""Power of images and their correlation with the labels, summed over channels and classes.

    .. math:: s(\omega) = \sum_c \mathbb E|\hat x_c(\omega)|^2, \qquad \gamma(\omega) =
        \Bigl( \sum_{c,k} \bigl| \mathbb E[\overline{\hat x_c(\omega)}\,
        (y_k - \mathbb E y_k)] \bigr|^2 \Bigr)^{1/2}

    Definition ``def-label-statistics`` of the book; y is one-hot for classes.

    Parameters
    ----------
    stack : (N, C, H, W), float32 or float64.
    labels : (N,), integer classes, or real targets.

    Returns
    -------
    (power, cross) : (H, W) each, float64.

    Examples
    --------
    >>> import torch
    >>> from freqsense import experiments
    >>> power, cross = experiments.label_statistics(torch.ones(4, 1, 2, 2), torch.arange(4) % 2)
    >>> power[0, 0].item(), cross[0, 0].item()
    (4.0, 0.0)
    """
    y = labels.double()[:, None] if labels.is_floating_point() else functional.one_hot(labels)
    y = y.double() - y.double().mean(0)  # (N, K)
    power, cross = torch.zeros(()), torch.zeros(())
    # Piece by piece: the transform of all images in double precision can be larger than memory.
    for x, targets in zip(stack.split(_PIECE), y.split(_PIECE), strict=True):
        xhat = fft2(x.double())  # (n, C, H, W)
        share = len(x) / len(stack)
        power = power + share * (xhat.real.square() + xhat.imag.square()).mean(0).sum(0)
        cross = cross + share * correlate(xhat, targets)  # (H, W, C, K)
    return power, cross.abs().square().sum((2, 3)).sqrt()


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _settled(model: nn.Module, x: Tensor) -> nn.Module:
    """A copy whose BatchNorms have the statistics of images, as an untrained control."""
    return settle_batchnorm(copy.deepcopy(model), x[:_N_SETTLED])


def _build(task: Task, architecture: str, width: int, seed: int) -> nn.Module:
    """A network for a task, on the device."""
    shape = as_image_shape(task.images.shape[1:])
    model = models.build(
        architecture, width=width, shape=shape, n_outputs=task.n_outputs, seed=seed
    )
    return model.to(_device())


@torch.no_grad()
def _scale_weights(model: nn.Module, scale: float) -> None:
    """Multiply the weights by a number; biases, and what normalises, have fewer than two axes."""
    for weight in model.parameters():
        if weight.ndim > 1:
            weight.mul_(scale)


def _look_epochs(epochs: int, looks: int) -> list[int]:
    """Epochs (looks,) from 1 to the last, evenly on the logarithm; the last alone if it is one."""
    if looks == 1:
        return [epochs]
    return [round(epochs ** (k / (looks - 1))) for k in range(looks)]


class _Difference(nn.Module):
    """What a network has learned: its outputs less those at the start."""

    def __init__(self, model: nn.Module, start: nn.Module) -> None:
        super().__init__()
        self.model, self.start = model, start

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) - self.start(x)


class _Watcher:
    """Ring means (R,) of a network's sensitivity after some epochs, by the epoch."""

    def __init__(self, model: nn.Module, task: Task, epochs: list[int]) -> None:
        self.model, self.task, self.epochs = model, task, epochs
        self.start = _settled(model, task.images)
        self.whole: dict[int, Tensor] = {}
        self.learned: dict[int, Tensor] = {}

    def look(self, epoch: int) -> None:
        if epoch in self.epochs:
            difference = _Difference(self.model, self.start)
            self.whole[epoch] = _ring_means(_sensitivity(self.model, self.task))
            self.learned[epoch] = _ring_means(_sensitivity(difference, self.task))


def _train(
    task: Task,
    architecture: str,
    width: int,
    regime: str,
    augment: bool,
    *,
    seed: int,
    **settings: Any,
) -> tuple[nn.Module, Tensor, training.History]:
    """A trained network, its ring means (R,) of sensitivity before, and the history."""
    model = _build(task, architecture, width, seed)
    untrained = _ring_means(_sensitivity(_settled(model, task.images), task))
    history = training.train(
        model,
        task.images,
        task.labels,
        seed=seed,
        loss=task.loss,
        **settings,
        **_regime(regime, model, augment),
    )
    return model, untrained, history


def _summarize(model: nn.Module, task: Task, untrained: Tensor) -> dict:
    """What every run returns beside sensitivities; that of the untrained network is (R,)."""
    return {
        "untrained": (("ring",), untrained),
        "train_accuracy": 1 - robustness.error_rate(model, task.images, task.labels),
        "accuracy": 1 - robustness.error_rate(model, task.test_images, task.test_labels),
        "n_images": len(task.images),
    }


def _sensitivity(model: nn.Module, task: Task) -> Tensor:
    """Sensitivity (H, W), a norm over channels."""
    return measure_sensitivity(model, task.test_images[:500]).norm().values[0]


def _ring_means(values: Tensor) -> Tensor:
    return radial_average(values).mean.float()


def _half(values: Tensor) -> tuple[tuple[str, str], Tensor]:
    """The half (H, W // 2 + 1) of an even map that determines the rest."""
    return ("ky", "half_kx"), values[:, : values.shape[1] // 2 + 1].float()


def _errors_by_ring(model: nn.Module, x: Tensor, y: Tensor, norm: float, seed: int) -> dict:
    """Errors (R,) under noise of one ring, and on images filtered at one radius."""
    shape = as_image_shape(x.shape[1:])
    n_rings = len(rings(sides(x)).count)
    rows = torch.full((3, n_rings), math.nan)
    for k in range(n_rings):
        noise = robustness.band_noise(
            len(x), shape=shape, low=max(k - 0.5, 0), high=k + 0.5, norm=norm, seed=seed
        )
        rows[0, k] = robustness.error_rate(model, x + noise, y)
        if k:
            rows[1, k] = robustness.error_rate(model, filters.low_pass(x, k), y)
            rows[2, k] = robustness.error_rate(model, filters.high_pass(x, k), y)
    names = ("noise_error", "low_pass_error", "high_pass_error")
    return {name: (("ring",), row) for name, row in zip(names, rows, strict=True)}


def _regime(spec: str, model: nn.Module, augment: bool) -> dict[str, Any]:
    """What :func:`.train` is given beside the images."""
    name, numbers = split_spec(spec, "regime", REGIMES)
    changes: list[Callable] = [training.flip_and_crop] if augment else []
    if name in ("penalty_below", "penalty_above"):
        radius, strength = numbers
        low, high = (0, radius) if name == "penalty_below" else (radius, math.inf)
        options: dict[str, Any] = {"penalty": robustness.band_penalty(strength, low=low, high=high)}
    else:
        options = {}
        if name == "adversarial":
            changes.append(robustness.adversarial(model, radius=numbers[0], norm="l2", steps=5))
        elif name != "plain":
            changes.append(_AUGMENTATIONS[name](*numbers))
    return options | ({"augment": _chain(changes)} if changes else {})


def _chain(changes: list[Callable]) -> Callable:
    def change(x: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        for step in changes:
            x = step(x, labels, generator)
        return x

    return change
