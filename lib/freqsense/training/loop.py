"""Training: one explicit mini-batch loop."""

import copy
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR
from tqdm.auto import tqdm

from freqsense._checks import (
    as_choice,
    as_classes,
    as_device,
    as_flag,
    as_images,
    as_integer,
    as_labels,
    as_real,
    check_signs,
    first_weight,
    seeded_generator,
)
from freqsense._evaluation import as_outputs

__all__ = ["DECAYS", "LOSSES", "OPTIMIZERS", "SCHEDULES", "History", "flip_and_crop", "train"]

Augmentation = Callable[[Tensor, Tensor, torch.Generator], Tensor]
Penalty = Callable[[Tensor, Tensor], Tensor]

LOSSES = ("cross_entropy", "squared", "logistic")
OPTIMIZERS = ("sgd", "adam")
DECAYS = ("all", "weights")
SCHEDULES = ("constant", "cosine", "one_cycle")

# What an augmentation draws must not be the order over again.
_SEED_SALT = 0x6175676D656E74

# Pixels of zeros around an image that is cropped at random, as is usual for 32 by 32 pixels.
_MARGIN = 4


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
    augment: Augmentation | None = None,
    penalty: Penalty | None = None,
    patience: int | None = None,
    autocast: bool = False,
    after_epoch: Callable[[int], None] | None = None,
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
    epochs, batch_size : an epoch visits every image once, in a new order. A single image that is
        left over joins the batch before it: alone, it would give a BatchNorm no statistics.
    lr : learning rate, at most the root of the largest number in the dtype of the weights; the
        highest one where a schedule changes it.
    weight_decay : λ, 0 to the same bound.
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
    after_epoch : called with the number of epochs that are done, after each, to look at the model
        while it learns; what it returns is not used.

    Returns
    -------
    History

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, outputs and labels do not fit, ``augment`` or ``penalty``
        returns what it must not, or a batch of one image is too small for a BatchNorm.
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
    lr, weight_decay = _as_rate(lr, "lr", weight), _as_rate(weight_decay, "weight_decay", weight)
    epochs = as_integer(as_integer(epochs, "epochs", 1), "epochs", high=sys.maxsize)
    batch_size = as_integer(batch_size, "batch_size", 1)
    order, generator = seeded_generator(seed), seeded_generator(seed, _SEED_SALT)
    _check_functions(augment=augment, penalty=penalty, after_epoch=after_epoch)
    _check_patience(patience, validation)
    place = _as_place(weight.device if device is None else device, autocast, weight.dtype)
    data = _as_data(images, labels, loss, "")
    held_out = None if validation is None else _as_held_out(validation, data, loss)
    n_classes = 1 + max(int(y.max()) for _, y in (data, held_out or data))
    updates = _make_optimizer(model.to(place), optimizer, lr, weight_decay, decay)
    n_steps = epochs * len(_batch_sizes(len(data[0]), batch_size))
    scheduler = _make_schedule(updates, schedule, lr, n_steps)
    objective = _Objective(model, loss, n_classes, augment, penalty, generator, autocast)
    with _seeded_training(model, seed, place), torch.enable_grad():
        return _run_epochs(
            objective,
            updates,
            scheduler,
            data,
            held_out,
            order=order,
            epochs=epochs,
            batch_size=batch_size,
            patience=patience,
            progress=progress,
            after_epoch=after_epoch,
        )


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


@dataclass(frozen=True)
class _Objective:
    """What a step makes smaller, from a mini-batch of images to two scalars."""

    model: nn.Module
    loss: str
    n_classes: int
    augment: Augmentation | None
    penalty: Penalty | None
    generator: torch.Generator  # of the augmentation
    autocast: bool

    def evaluate(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs (n, K) for images (n, C, H, W), their mean loss, and the penalty."""
        if self.augment is not None:
            x = _augmented(self.augment, x, y, self.generator)  # (n, C, H, W)
        x.requires_grad_(self.penalty is not None)
        outputs = self.outputs(x, y, self.autocast)  # (n, K)
        return outputs, _mean_loss(outputs, y, self.loss), _penalty_of(self.penalty, x, outputs)

    def outputs(self, x: Tensor, y: Tensor, autocast: bool = False) -> Tensor:
        """Outputs (n, K) of the model, checked against the labels."""
        bfloat16: AbstractContextManager = nullcontext()
        if autocast:
            bfloat16 = torch.autocast("cuda", torch.bfloat16)
        with bfloat16:
            outputs = as_outputs(self._apply(x), len(x))
        _check_fit(outputs, y, self.n_classes)
        return outputs.to(x.dtype) if autocast else outputs

    def _apply(self, x: Tensor) -> object:
        try:
            return self.model(x)
        except ValueError as error:
            if len(x) > 1 or "more than 1 value per channel" not in str(error):
                raise
            raise ValueError(
                "batch_size and the number of images must be at least 2 for this model, got a "
                "batch of one image, of which a BatchNorm sees one value a channel"
            ) from error


def _run_epochs(
    objective: _Objective,
    optimizer: torch.optim.Optimizer,
    scheduler: LRScheduler,
    data: tuple[Tensor, Tensor],
    held_out: tuple[Tensor, Tensor] | None,
    *,
    order: torch.Generator,
    epochs: int,
    batch_size: int,
    patience: int | None,
    progress: bool,
    after_epoch: Callable[[int], None] | None,
) -> History:
    model, (images, labels) = objective.model, data
    weight = first_weight(model)
    history, best = History(), None
    for epoch in (bar := tqdm(range(epochs), disable=not progress)):
        start = time.perf_counter()
        history.lr.append(optimizer.param_groups[0]["lr"])
        model.train()
        totals = np.zeros(3)
        sizes = _batch_sizes(len(images), batch_size)
        batches = torch.randperm(len(images), generator=order).split(sizes)
        for step, index in enumerate(batches):
            x = images[index].to(weight.device, weight.dtype)  # (n, C, H, W)
            y = _to_targets(labels[index], x)  # (n,) or (n, K)
            outputs, loss, penalty = objective.evaluate(x, y)
            _check_finite(epoch, step, loss=loss, penalty=penalty)
            optimizer.zero_grad()
            (loss + penalty).backward()
            optimizer.step()
            scheduler.step()
            means = loss.item(), _accuracy(outputs, y, objective.loss), penalty.item()
            totals += len(index) * np.array(means)
        if not all(torch.isfinite(w).all() for w in model.parameters()):
            _say_diverged("a weight is NaN or infinite", epoch, step)
        _record(history, totals / len(images), objective.penalty is not None)
        if held_out is not None:
            _validate(objective, held_out, batch_size, history)
        history.seconds.append(time.perf_counter() - start)
        bar.set_postfix(loss=history.loss[-1], accuracy=history.accuracy[-1])
        if after_epoch is not None:
            after_epoch(epoch + 1)
        if patience is not None and history.best_epoch is not None:
            if history.best_epoch == epoch:
                best = copy.deepcopy(model.state_dict())
            if epoch - history.best_epoch >= patience:
                break
    if best is not None:
        model.load_state_dict(best)
    return history


def _as_data(images: object, labels: object, loss: str, name: str) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W), with labels as the loss wants them: classes (N,), or targets (N, K)."""
    x = as_images(images, f"{name}images")
    y = as_labels(labels, len(x), f"{name}labels")
    if loss == "cross_entropy":
        return x, as_classes(y, name=f"{name}labels")
    if loss == "logistic":
        check_signs(y, "for the logistic loss", f"{name}labels")
    return x, y.reshape(len(y), -1)


def _as_rate(value: object, name: str, weight: Tensor) -> float:
    """A number that steps multiply with, whose square the dtype of the weights holds."""
    as_real(value, name, 0)
    return as_real(value, name, high=math.sqrt(torch.finfo(weight.dtype).max))


def _batch_sizes(n_images: int, batch_size: int) -> list[int]:
    """Sizes of the mini-batches of an epoch; one image left over joins the batch before it."""
    batch_size = min(batch_size, n_images)
    sizes = [batch_size] * (n_images // batch_size)
    rest = n_images % batch_size
    if rest == 1:
        sizes[-1] += 1
    elif rest:
        sizes.append(rest)
    return sizes


def _check_functions(**functions: object) -> None:
    for name, function in functions.items():
        if function is not None and not callable(function):
            raise TypeError(f"{name} must be a function or None, got {type(function).__name__}")


def _check_patience(patience: int | None, validation: object) -> None:
    if patience is not None:
        as_integer(patience, "patience", 1)
        if validation is None:
            raise ValueError(f"patience={patience} needs validation=(images, labels), got None")


def _as_place(device: str | torch.device, autocast: bool, dtype: torch.dtype) -> torch.device:
    """Where to train, if autocast and the dtype of the weights allow it."""
    if as_flag(autocast, "autocast") and dtype != torch.float32:
        raise TypeError(f"autocast needs a model in float32, got {dtype}")
    place = as_device(device)
    if autocast and place.type != "cuda":
        raise ValueError(f"autocast must be False on devices other than cuda, got {place}")
    return place


def _make_optimizer(
    model: nn.Module, name: str, lr: float, weight_decay: float, decay: str
) -> torch.optim.Optimizer:
    decayed: dict[float, list[nn.Parameter]] = {weight_decay: [], 0.0: []}
    for w in model.parameters():
        decayed[0.0 if decay == "weights" and w.ndim < 2 else weight_decay].append(w)
    groups = [{"params": group, "weight_decay": size} for size, group in decayed.items()]
    if name == "adam":
        return torch.optim.Adam(groups, lr=lr)
    return torch.optim.SGD(groups, lr=lr, momentum=0.9)


def _make_schedule(
    optimizer: torch.optim.Optimizer, name: str, lr: float, n_steps: int
) -> LRScheduler:
    """Scheduler to be told of each step."""
    if name == "one_cycle":
        return OneCycleLR(optimizer, max_lr=lr, total_steps=n_steps)
    if name == "cosine":
        return LambdaLR(optimizer, lambda step: (1 + math.cos(math.pi * step / n_steps)) / 2)
    return LambdaLR(optimizer, lambda step: 1.0)


@contextmanager
def _seeded_training(model: nn.Module, seed: int, device: torch.device) -> Iterator[None]:
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


def _augmented(augment: Augmentation, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
    """What an augmentation makes of images (n, C, H, W), checked to be such images."""
    images = augment(x, y, generator)
    if not isinstance(images, Tensor):
        raise TypeError(f"augment must return a tensor, got {type(images).__name__}")
    if images.shape != x.shape:
        expected, got = tuple(x.shape), tuple(images.shape)
        raise ValueError(f"augment must return images of shape {expected}, got {got}")
    for name in ("dtype", "device"):
        ours, theirs = getattr(x, name), getattr(images, name)
        if ours != theirs:
            raise ValueError(f"augment must return images of {name} {ours}, got {theirs}")
    return images.detach()


def _penalty_of(penalty: Penalty | None, x: Tensor, outputs: Tensor) -> Tensor:
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


def _check_fit(outputs: Tensor, y: Tensor, n_classes: int) -> None:
    """Raise unless labels, classes (n,) or targets (n, K), belong to outputs (n, K)."""
    n_outputs = outputs.shape[1]
    if y.ndim == 1 and n_outputs < 2:
        raise ValueError(f"model must have an output for each class, at least 2, got {n_outputs}")
    if y.ndim == 1 and n_classes > n_outputs:
        highest = n_classes - 1
        raise ValueError(f"labels must be below the {n_outputs} outputs of model, got {highest}")
    if y.ndim == 2 and y.shape[1] != n_outputs:
        raise ValueError(f"labels must be (N, {n_outputs}), as the outputs, got (N, {y.shape[1]})")


def _mean_loss(outputs: Tensor, y: Tensor, loss: str) -> Tensor:
    """Mean over images of the loss summed over outputs."""
    if loss == "cross_entropy":
        return functional.cross_entropy(outputs, y)
    if loss == "squared":
        return (outputs - y).square().sum(1).mean() / 2
    return functional.softplus(-y * outputs).sum(1).mean()


def _accuracy(outputs: Tensor, y: Tensor, loss: str) -> float:
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
def _validate(
    objective: _Objective, held_out: tuple[Tensor, Tensor], batch_size: int, history: History
) -> None:
    """Append loss and accuracy in eval mode."""
    weight = first_weight(objective.model)
    objective.model.eval()
    total, right = 0.0, 0.0
    for x, y in zip(*(each.split(batch_size) for each in held_out), strict=True):
        x = x.to(weight.device, weight.dtype)
        y = _to_targets(y, x)
        outputs = objective.outputs(x, y)
        total += _mean_loss(outputs, y, objective.loss).item() * len(x)
        right += _accuracy(outputs, y, objective.loss) * len(x)
    history.validation_loss.append(total / len(held_out[0]))
    history.validation_accuracy.append(right / len(held_out[0]))


def _to_targets(labels: Tensor, x: Tensor) -> Tensor:
    """Classes stay integers; targets take the dtype of the images."""
    return labels.to(x.device) if labels.ndim == 1 else labels.to(x)


def _as_held_out(
    validation: object, data: tuple[Tensor, Tensor], loss: str
) -> tuple[Tensor, Tensor]:
    """Images and labels for validation, of the sizes of those to train on."""
    if not isinstance(validation, tuple | list) or len(validation) != 2:
        kind = type(validation).__name__
        raise TypeError(f"validation must be a pair (images, labels), got {kind}")
    pair = _as_data(validation[0], validation[1], loss, "validation ")
    names = "validation images", "validation labels"
    for name, ours, theirs in zip(names, pair, data, strict=True):
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
