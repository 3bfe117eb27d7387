"""Training: one explicit mini-batch loop, and L-BFGS for the theorem."""

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR
from tqdm.auto import tqdm

from freqsense._checks import as_choice, as_flag, as_images, as_integer, as_real
from freqsense._descent import Descent, Problem, first_weight

LOSSES = ("cross_entropy", "squared", "logistic")
OPTIMIZERS = ("sgd", "adam")
DECAYS = ("all", "weights")
SCHEDULES = ("constant", "cosine", "one_cycle")

# The draws of an augmentation must not be those of the order over again.
_SEED_MASK = 0x6175676D656E74

# Pixels of zeros around an image that is cropped at random, as is usual for 32 by 32 pixels.
_MARGIN = 4


@dataclass(frozen=True)
class Fit:
    """The end of a full-batch minimisation; the weights are in the model.

    objective : loss with the decay term
    loss : without it
    gradient_norm : norm of the gradient of the objective
    iterations : of L-BFGS, and of conjugate gradients in the Newton steps at the end
    converged : whether the gradient fell below the tolerance, or to rounding errors; if not, do not
        trust the digits
    """

    objective: float
    loss: float
    gradient_norm: float
    iterations: int
    converged: bool


def minimize(
    model: nn.Module,
    loss: Callable[[nn.Module], Tensor],
    *,
    weight_decay: float,
    max_iterations: int = 20_000,
    tolerance: float = 1e-9,
) -> Fit:
    r"""Minimise a full-batch loss with L2 weight decay by L-BFGS, to many digits.

    .. math:: \min_w\; \ell(w) + \frac{\lambda}{2} \|w\|^2, \qquad
        \text{until} \quad \|\nabla \ell + \lambda w\| \le
        \mathrm{tolerance} \cdot \max_{\text{path}} \min(\|\nabla \ell\|, \|\lambda w\|)

    Equation ``eq-minimize`` of the book: at a minimum loss and decay pull in opposite directions,
    and what is left is compared with these pulls (with that of the loss alone if λ = 0). Line
    searches compare losses, which agree to the last bit long before the gradient vanishes: once
    they stall, Newton steps by conjugate gradients take over, which need gradients alone.

    Parameters
    ----------
    model : in float64, trained in place.
    loss : maps the model to a scalar tensor, the mean loss of the whole training set.
    weight_decay : λ >= 0, on every parameter that requires a gradient.
    max_iterations : of both kinds together, at most.
    tolerance : of the gradient, relative to the largest pull met on the way; 0 goes on until
        rounding errors are all that is left of it.

    Returns
    -------
    Fit
        ``converged`` is False if neither the tolerance nor the level of rounding was reached: the
        gradient is then more than ten times what one rounding error in each weight changes.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, the model is not in float64 or has nothing to train, or the
        loss is no real scalar.
    FloatingPointError
        If the loss becomes NaN or infinite, with the iteration.

    Source
    ------
    Liu and Nocedal (1989), doi:10.1007/BF01589116; Nocedal and Wright (2006),
    doi:10.1007/978-0-387-40065-5, chapter 7, for the Newton steps.

    Examples
    --------
    >>> import torch
    >>> from freqsense import models, training
    >>> model = models.linear_cnn(1, width=1, shape=(2, 2)).double()
    >>> fit = training.minimize(model, lambda m: (m.head - 3).square().sum() / 2, weight_decay=0.5)
    >>> fit.converged, model.head.flatten().tolist()          # each weight is 3 / (1 + 0.5)
    (True, [2.0, 2.0, 2.0, 2.0])
    """
    max_iterations = as_integer(max_iterations, "max_iterations", 1)
    tolerance = as_real(tolerance, "tolerance", 0)
    problem = Problem(model, loss, as_real(weight_decay, "weight_decay", 0))
    descent = Descent(problem, tolerance, max_iterations)
    descent.run()
    return Fit(
        problem.objective,
        problem.loss_value,
        problem.gradient_norm,
        descent.iterations,
        descent.solved() or problem.is_noise(),
    )


@dataclass
class History:
    """What happened, epoch by epoch.

    loss : mean loss over the epoch's mini-batches, without the decay term and the penalty
    accuracy : share of images classified right in them; NaN for the squared loss
    penalty : mean penalty over them; empty if there is none
    lr : learning rate of the epoch's first step
    validation_loss, validation_accuracy : after the epoch, in eval mode; empty without validation
    seconds : of the epoch, with its validation
    """

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    penalty: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def best_epoch(self) -> int | None:
        """First epoch, from 0, of the lowest validation loss; None without validation."""
        losses = [math.inf if math.isnan(value) else value for value in self.validation_loss]
        return losses.index(min(losses)) if losses else None


def train(
    model: nn.Module,
    images: Tensor | np.ndarray,
    labels: Tensor | np.ndarray,
    *,
    epochs: int,
    lr: float,
    weight_decay: float,
    seed: int = 0,
    device: str | torch.device | None = None,
    batch_size: int = 128,
    loss: str = "cross_entropy",
    optimizer: str = "sgd",
    validation: tuple[Tensor, Tensor] | None = None,
    progress: bool = False,
    decay: str = "all",
    schedule: str = "constant",
    augment: Callable[[Tensor, Tensor, torch.Generator], Tensor] | None = None,
    penalty: Callable[[Tensor, Tensor], Tensor] | None = None,
    patience: int | None = None,
    autocast: bool = False,
) -> History:
    r"""Train by mini-batches with true L2 weight decay.

    .. math:: \frac1N \sum_n \ell(f(x_n), y_n) + \frac{\lambda}{2} \sum_i w_i^2

    Equation ``eq-training-objective`` of the book. The gradient λw of the decay is added to that
    of the loss, for Adam too (what AdamW does is no L2 penalty).

    Weights that decay to nothing pass through denormal numbers, which many processors are slow at.
    ``torch.set_flush_denormal(True)``, called before anything else is computed, makes zeros of
    them. It is left to the caller: torch cannot tell what was set, and its worker threads keep what
    was set when they started.

    Parameters
    ----------
    model : maps (N, C, H, W) to (N, K); trained in place, in the dtype of its weights.
    images : (N, C, H, W).
    labels : classes (N,) for ``"cross_entropy"``; real (N,) or (N, K) for ``"squared"``; -1 and +1,
        (N,) or (N, K), for ``"logistic"``. (N,) stands for K = 1.
    epochs, batch_size : an epoch visits every image once, in a new order.
    lr : learning rate; the highest one where a schedule changes it.
    weight_decay : λ >= 0.
    seed : of the order, of the augmentation, and of what the model draws; the global random state
        is left as it was.
    device : where to train; the model stays there. None leaves it where it is.
    loss : ``"cross_entropy"``, ``"squared"`` (with its ½) or ``"logistic"``, summed over outputs.
    optimizer : ``"sgd"`` (momentum 0.9) or ``"adam"``.
    validation : (images, labels) to be measured after each epoch.
    progress : show a bar.
    decay : ``"all"``: the sum is over every parameter. ``"weights"``: it leaves out those of fewer
        than two axes, which are biases and the parameters of normalisation layers.
    schedule : of the learning rate, from step to step. ``"constant"``; ``"cosine"``: step t of T
        has lr (1 + cos(πt/T)) / 2; ``"one_cycle"``: by ``OneCycleLR`` of torch with its defaults,
        from lr/25 up to lr in the first 30 % of the steps, then down to lr/250 000, while the
        momentum (β₁ of Adam) goes from 0.95 to 0.85 and back.
    augment : maps images (n, C, H, W) and labels of a mini-batch, on the device and in the dtype of
        the weights, and a generator on the CPU, to images of the same shape: what is trained on in
        their place. For example :func:`flip_and_crop`. Validation images are left as they are.
    penalty : maps images (n, C, H, W) of a mini-batch and the outputs (n, K) for them to a scalar,
        which is added to the loss. The images require gradients: with ``create_graph=True`` the
        outputs can be differentiated with respect to them.
    patience : end after so many epochs in a row without a new lowest validation loss. Whether this
        comes to pass or not, the model then has the weights of the best epoch. None goes on to the
        end and keeps the last weights.
    autocast : let the model compute in bfloat16 where that is safe, in training alone; on CUDA
        alone, with weights in float32.

    Returns
    -------
    History

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, outputs and labels do not fit, or ``augment`` or ``penalty``
        returns what it must not.
    FloatingPointError
        If the loss, the penalty or a weight becomes NaN or infinite, with the epoch and the step.

    Source
    ------
    Kingma and Ba (2015), arXiv 1412.6980, for Adam; Loshchilov and Hutter (2017), arXiv 1608.03983,
    for the cosine; Smith and Topin (2018), arXiv 1708.07120, for the one cycle.

    Examples
    --------
    >>> import torch
    >>> from freqsense import models, training
    >>> x = torch.randn(64, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    >>> y = x.mean((1, 2, 3)).sign()
    >>> model = models.linear_cnn(2, width=2, shape=(4, 4))
    >>> history = training.train(
    ...     model, x, y, epochs=20, lr=0.1, weight_decay=0.001, loss="logistic"
    ... )
    >>> history.accuracy[-1] > 0.95
    True
    """
    loss = as_choice(loss, "loss", LOSSES)
    weight = first_weight(model)
    as_choice(optimizer, "optimizer", OPTIMIZERS)
    as_choice(decay, "decay", DECAYS)
    as_choice(schedule, "schedule", SCHEDULES)
    lr, weight_decay = as_real(lr, "lr", 0), as_real(weight_decay, "weight_decay", 0)
    device = weight.device if device is None else torch.device(device)
    epochs = as_integer(epochs, "epochs", 1)
    batch_size = as_integer(batch_size, "batch_size", 1)
    seed = as_integer(seed, "seed", 0)
    _check_functions(augment=augment, penalty=penalty)
    _check_patience(patience, validation)
    _check_autocast(autocast, device, weight.dtype)
    images, labels = _as_data(images, labels, loss, "")
    held_out = None if validation is None else _as_held_out(validation, images, labels, loss)
    n_classes = 1 + max(int(y.max()) for y in (labels, held_out[1] if held_out else labels))
    stepper = _make_optimizer(model.to(device), optimizer, lr, weight_decay, decay)
    n_steps = epochs * math.ceil(len(images) / batch_size)
    scheduler = _make_schedule(stepper, schedule, lr, n_steps)
    order = torch.Generator().manual_seed(seed)
    draws = torch.Generator().manual_seed(seed ^ _SEED_MASK)
    history, bar = History(), tqdm(total=epochs, disable=not progress)
    with _own_state(model, seed, device), torch.enable_grad(), bar:
        for epoch in range(epochs):
            start = time.perf_counter()
            history.lr.append(stepper.param_groups[0]["lr"])
            model.train()
            batches = torch.randperm(len(images), generator=order).split(batch_size)
            totals = np.zeros(3)
            for step, index in enumerate(batches):
                x = images[index].to(device, weight.dtype)  # (n, C, H, W)
                y = _to_targets(labels[index], x)  # (n,) or (n, K)
                if augment is not None:
                    x = _augmented(augment, x, y, draws)  # (n, C, H, W)
                x.requires_grad_(penalty is not None)
                outputs = _outputs(model, x, y, n_classes, autocast)  # (n, K)
                value = _mean_loss(outputs, y, loss)
                extra = _penalty_of(penalty, x, outputs)
                _check_finite(epoch, step, loss=value, penalty=extra)
                stepper.zero_grad()
                (value + extra).backward()
                stepper.step()
                scheduler.step()
                means = value.item(), _share_right(outputs, y, loss), extra.item()
                totals += len(index) * np.array(means)
            if not all(torch.isfinite(w).all() for w in model.parameters()):
                _say_diverged("a weight is NaN or infinite", epoch, step)
            _record(history, totals / len(images), penalty is not None)
            if held_out is not None:
                _validate(model, *held_out, batch_size, n_classes, loss, history)
            history.seconds.append(time.perf_counter() - start)
            bar.set_postfix(loss=history.loss[-1], accuracy=history.accuracy[-1])
            bar.update()
            if patience is not None and history.best_epoch == epoch:
                best = copy.deepcopy(model.state_dict())
            if patience is not None and epoch - history.best_epoch >= patience:
                break
    if patience is not None:
        model.load_state_dict(best)
    return history


def flip_and_crop(images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    r"""Mirror half of the images left to right, and shift each by up to four pixels, at random.

    .. math:: x'_n(i, j) = \tilde x_n(i + u_n,\, \pm j + v_n)

    with x̃ the image with four pixels of zeros around it: a crop of it, of the size of the image, at
    one of 81 places. The usual augmentation of small photographs, for
    ``train(..., augment=flip_and_crop)``. Zeros stand for grey where images are centred.

    Parameters
    ----------
    images : (N, C, H, W).
    labels : not looked at.
    generator : on the CPU, which draws N coins and 2 N shifts.

    Returns
    -------
    Tensor
        (N, C, H, W), on the device and in the dtype of the images.

    Raises
    ------
    TypeError, ValueError
        If images or generator are not what is asked for.

    Source
    ------
    He, Zhang, Ren and Sun (2016), arXiv 1512.03385, section 4.2.

    Examples
    --------
    >>> import torch
    >>> from freqsense import training
    >>> x, generator = torch.ones(100, 3, 8, 8), torch.Generator().manual_seed(0)
    >>> shifted = training.flip_and_crop(x, torch.zeros(100), generator)
    >>> shifted.shape, shifted.sum((1, 2, 3)).min().item()       # a corner of 4 by 4 pixels is left
    (torch.Size([100, 3, 8, 8]), 48.0)
    """
    images = as_images(images)
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"generator must be a torch.Generator, got {type(generator).__name__}")
    n, channels, height, width = images.shape
    mirrored = torch.rand(n, generator=generator) < 0.5
    corners = torch.randint(2 * _MARGIN + 1, (2, n, 1), generator=generator)
    rows = corners[0] + torch.arange(height)  # (N, H)
    columns = corners[1] + torch.arange(width)  # (N, W)
    columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    image, channel = torch.arange(n)[:, None, None, None], torch.arange(channels)[:, None, None]
    padded = functional.pad(images, (_MARGIN,) * 4)
    at = [
        k.to(images.device)
        for k in (image, channel, rows[:, None, :, None], columns[:, None, None])
    ]
    return padded[tuple(at)]


def _as_data(images: object, labels: object, loss: str, name: str) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W), with labels as the loss wants them: classes (N,), or targets (N, K)."""
    images = as_images(images, f"{name}images")
    if not isinstance(labels, Tensor | np.ndarray):
        kind = type(labels).__name__
        raise TypeError(f"{name}labels must be a torch tensor or a numpy array, got {kind}")
    labels = torch.as_tensor(labels).detach()
    if labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"{name}labels must be real numbers, got {labels.dtype}")
    if labels.ndim not in (1, 2) or len(labels) != len(images) or 0 in labels.shape:
        got = tuple(labels.shape)
        raise ValueError(f"{name}labels must have shape ({len(images)},), as the images, got {got}")
    if loss == "cross_entropy":
        if labels.is_floating_point() or labels.ndim != 1:
            got = f"{labels.dtype} {tuple(labels.shape)}"
            raise TypeError(f"{name}labels must be integer classes (N,), got {got}")
        if labels.min() < 0:
            raise ValueError(f"{name}labels must be at least 0, got {int(labels.min())}")
        return images, labels.long()
    if not torch.isfinite(labels).all():
        raise ValueError(f"{name}labels must be finite, got NaN or infinite entries")
    if loss == "logistic" and not (labels.abs() == 1).all():
        wrong = labels[labels.abs() != 1][0].item()
        raise ValueError(f"{name}labels must be -1 or +1 for the logistic loss, got {wrong}")
    return images, labels.reshape(len(labels), -1)


def _check_functions(**functions: object) -> None:
    for name, function in functions.items():
        if function is not None and not callable(function):
            raise TypeError(f"{name} must be a function or None, got {type(function).__name__}")


def _check_patience(patience: int | None, validation: object) -> None:
    if patience is not None:
        as_integer(patience, "patience", 1)
        if validation is None:
            raise ValueError(f"patience={patience} needs validation=(images, labels), got None")


def _check_autocast(autocast: bool, device: torch.device, dtype: torch.dtype) -> None:
    if as_flag(autocast, "autocast"):
        if device.type != "cuda":
            raise ValueError(f"autocast must be False on devices other than cuda, got {device}")
        if dtype != torch.float32:
            raise TypeError(f"autocast needs a model in float32, got {dtype}")


def _make_optimizer(model: nn.Module, name: str, lr: float, weight_decay: float, decay: str):
    groups = {weight_decay: [], 0.0: []}
    for w in model.parameters():
        groups[0.0 if decay == "weights" and w.ndim < 2 else weight_decay].append(w)
    groups = [{"params": group, "weight_decay": size} for size, group in groups.items()]
    if name == "adam":
        return torch.optim.Adam(groups, lr=lr)
    return torch.optim.SGD(groups, lr=lr, momentum=0.9)


def _make_schedule(stepper: torch.optim.Optimizer, name: str, lr: float, n_steps: int):
    """Scheduler to be told of each step."""
    if name == "one_cycle":
        return OneCycleLR(stepper, max_lr=lr, total_steps=n_steps)
    if name == "cosine":
        return LambdaLR(stepper, lambda step: (1 + math.cos(math.pi * step / n_steps)) / 2)
    return LambdaLR(stepper, lambda step: 1.0)


@contextmanager
def _own_state(model: nn.Module, seed: int, device: torch.device) -> Iterator[None]:
    """Seed what the model draws, dropout say; afterwards put that and the modes back."""
    modes = [(module, module.training) for module in model.modules()]
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        try:
            yield
        finally:
            model.zero_grad()
            for module, mode in modes:
                module.training = mode


def _augmented(augment: Callable, x: Tensor, y: Tensor, draws: torch.Generator) -> Tensor:
    """What an augmentation makes of images (n, C, H, W), checked to be such images."""
    images = augment(x, y, draws)
    if not isinstance(images, Tensor):
        raise TypeError(f"augment must return a tensor, got {type(images).__name__}")
    got, expected = ((tuple(t.shape), t.dtype, t.device) for t in (images, x))
    for name, ours, theirs in zip(("shape", "dtype", "device"), got, expected, strict=True):
        if ours != theirs:
            raise ValueError(f"augment must return images of {name} {theirs}, got {ours}")
    return images.detach()


def _penalty_of(penalty: Callable | None, x: Tensor, outputs: Tensor) -> Tensor:
    """Scalar to be added to the loss; zero if there is no penalty."""
    if penalty is None:
        return outputs.new_zeros(())
    value = penalty(x, outputs)
    if not isinstance(value, Tensor) or value.numel() != 1 or value.is_complex():
        got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"penalty must return a real scalar tensor, got {got}")
    if not value.requires_grad:
        raise ValueError("penalty must depend on the weights: differentiate with create_graph=True")
    return value.reshape(())


def _outputs(
    model: nn.Module, x: Tensor, y: Tensor, n_classes: int, autocast: bool = False
) -> Tensor:
    """Outputs (n, K) of the model, checked against the labels."""
    with torch.autocast("cuda", torch.bfloat16) if autocast else nullcontext():
        outputs = model(x)
    if not isinstance(outputs, Tensor) or outputs.ndim != 2 or len(outputs) != len(x):
        got = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise ValueError(f"model must return ({len(x)}, K), got {got}")
    n_outputs = outputs.shape[1]
    if y.ndim == 1 and n_outputs < 2:
        raise ValueError(f"model must have an output for each class, at least 2, got {n_outputs}")
    if y.ndim == 1 and n_classes > n_outputs:
        highest = n_classes - 1
        raise ValueError(f"labels must be below the {n_outputs} outputs of model, got {highest}")
    if y.ndim == 2 and y.shape[1] != n_outputs:
        raise ValueError(f"labels must be (N, {n_outputs}), as the outputs, got (N, {y.shape[1]})")
    return outputs.to(x.dtype) if autocast else outputs


def _mean_loss(outputs: Tensor, y: Tensor, loss: str) -> Tensor:
    """Mean over images of the loss summed over outputs."""
    if loss == "cross_entropy":
        return functional.cross_entropy(outputs, y)
    if loss == "squared":
        return (outputs - y).square().sum(1).mean() / 2
    return functional.softplus(-y * outputs).sum(1).mean()


def _share_right(outputs: Tensor, y: Tensor, loss: str) -> float:
    if loss == "squared":
        return math.nan
    right = outputs.argmax(1) == y if loss == "cross_entropy" else outputs * y > 0
    return right.float().mean().item()


def _record(history: History, means: np.ndarray, penalized: bool) -> None:
    """Append the means of an epoch: loss, share of images classified right, and penalty."""
    loss, accuracy, penalty = means.tolist()
    history.loss.append(loss)
    history.accuracy.append(accuracy)
    if penalized:
        history.penalty.append(penalty)


@torch.no_grad()
def _validate(model, images, labels, batch_size, n_classes, loss, history) -> None:
    """Append loss and accuracy in eval mode."""
    weight = first_weight(model)
    model.eval()
    total, right = 0.0, 0.0
    for x, y in zip(images.split(batch_size), labels.split(batch_size), strict=True):
        x = x.to(weight.device, weight.dtype)
        y = _to_targets(y, x)
        outputs = _outputs(model, x, y, n_classes)
        total += _mean_loss(outputs, y, loss).item() * len(x)
        right += _share_right(outputs, y, loss) * len(x)
    history.validation_loss.append(total / len(images))
    history.validation_accuracy.append(right / len(images))


def _to_targets(labels: Tensor, x: Tensor) -> Tensor:
    """Classes stay integers; targets take the dtype of the images."""
    return labels.to(x.device) if labels.ndim == 1 else labels.to(x)


def _as_held_out(validation: object, images: Tensor, labels: Tensor, loss: str) -> tuple:
    """Images and labels for validation, of the sizes of those to train on."""
    if not isinstance(validation, tuple | list) or len(validation) != 2:
        kind = type(validation).__name__
        raise TypeError(f"validation must be a pair (images, labels), got {kind}")
    pair = _as_data(*validation, loss, "validation ")
    names = "validation images", "validation labels"
    for name, ours, theirs in zip(names, pair, (images, labels), strict=True):
        if ours.shape[1:] != theirs.shape[1:]:
            expected = ", ".join(map(str, ("N", *theirs.shape[1:])))
            raise ValueError(f"{name} must have shape ({expected}), got {tuple(ours.shape)}")
    return pair


def _check_finite(epoch: int, step: int, **terms: Tensor) -> None:
    for name, term in terms.items():
        if not torch.isfinite(term):
            _say_diverged(f"the {name} is {term.item()}", epoch, step)


def _say_diverged(what: str, epoch: int, step: int) -> NoReturn:
    raise FloatingPointError(
        f"{what} at epoch {epoch}, step {step} (both from 0): lower lr, or look at the data"
    )
