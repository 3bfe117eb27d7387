"""Training: one explicit mini-batch loop, and L-BFGS for the theorem."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from tqdm.auto import tqdm

from freqsense._checks import as_choice, as_images, as_integer, as_real

LOSSES = ("cross_entropy", "squared", "logistic")
OPTIMIZERS = ("sgd", "adam")

# L-BFGS: curvature pairs kept, and iterations between two looks at whether it helps.
_PAIRS = 50
_ROUND = 50

# A gradient of at most so many times what one rounding error in each weight changes is noise.
_NOISE = 10


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
    problem = _Problem(model, loss, as_real(weight_decay, "weight_decay", 0))
    descent = _Descent(problem, tolerance, max_iterations)
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

    loss : mean loss over the epoch's mini-batches, without the decay term
    accuracy : share of images classified right in them; NaN for the squared loss
    validation_loss, validation_accuracy : after the epoch, in eval mode; empty without validation
    seconds : of the epoch, with its validation
    """

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


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
) -> History:
    r"""Train by mini-batches with true L2 weight decay.

    .. math:: \frac1N \sum_n \ell(f(x_n), y_n) + \frac{\lambda}{2} \sum_i w_i^2

    Equation ``eq-training-objective`` of the book. The gradient λw of the decay is added to that
    of the loss, for Adam too (what AdamW does is no L2 penalty).

    Parameters
    ----------
    model : maps (N, C, H, W) to (N, K); trained in place, in the dtype of its weights.
    images : (N, C, H, W).
    labels : classes (N,) for ``"cross_entropy"``; real (N,) or (N, K) for ``"squared"``; -1 and +1,
        (N,) or (N, K), for ``"logistic"``. (N,) stands for K = 1.
    epochs, batch_size : an epoch visits every image once, in a new order.
    lr : learning rate, constant.
    weight_decay : λ >= 0, on every parameter.
    seed : of the order, and of what the model draws; the global random state is left as it was.
    device : where to train; the model stays there. None leaves it where it is.
    loss : ``"cross_entropy"``, ``"squared"`` (with its ½) or ``"logistic"``, summed over outputs.
    optimizer : ``"sgd"`` (momentum 0.9) or ``"adam"``.
    validation : (images, labels) to be measured after each epoch.
    progress : show a bar.

    Returns
    -------
    History

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or outputs and labels do not fit.
    FloatingPointError
        If the loss or a weight becomes NaN or infinite, with the epoch and the step.

    Source
    ------
    Kingma and Ba (2015), arXiv 1412.6980, for Adam.

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
    weight = _first_weight(model)
    as_choice(optimizer, "optimizer", OPTIMIZERS)
    lr, weight_decay = as_real(lr, "lr", 0), as_real(weight_decay, "weight_decay", 0)
    device = weight.device if device is None else torch.device(device)
    epochs = as_integer(epochs, "epochs", 1)
    batch_size = as_integer(batch_size, "batch_size", 1)
    seed = as_integer(seed, "seed", 0)
    images, labels = _as_data(images, labels, loss, "")
    held_out = None if validation is None else _as_held_out(validation, images, labels, loss)
    n_classes = 1 + max(int(y.max()) for y in (labels, held_out[1] if held_out else labels))
    stepper = _make_optimizer(model.to(device), optimizer, lr, weight_decay)
    order = torch.Generator().manual_seed(seed)
    history, bar = History(), tqdm(total=epochs, disable=not progress)
    with _own_state(model, seed, device), torch.enable_grad(), bar:
        for epoch in range(epochs):
            start = time.perf_counter()
            model.train()
            batches = torch.randperm(len(images), generator=order).split(batch_size)
            total, right = 0.0, 0.0
            for step, index in enumerate(batches):
                x = images[index].to(device, weight.dtype)  # (n, C, H, W)
                y = _to_targets(labels[index], x)  # (n,) or (n, K)
                outputs = _outputs(model, x, y, n_classes)  # (n, K)
                value = _mean_loss(outputs, y, loss)
                if not torch.isfinite(value):
                    _say_diverged(f"the loss is {value.item()}", epoch, step)
                stepper.zero_grad()
                value.backward()
                stepper.step()
                total += value.item() * len(index)
                right += _share_right(outputs, y, loss) * len(index)
            if not all(torch.isfinite(w).all() for w in model.parameters()):
                _say_diverged("a weight is NaN or infinite", epoch, step)
            history.loss.append(total / len(images))
            history.accuracy.append(right / len(images))
            if held_out is not None:
                _validate(model, *held_out, batch_size, n_classes, loss, history)
            history.seconds.append(time.perf_counter() - start)
            bar.set_postfix(loss=history.loss[-1], accuracy=history.accuracy[-1])
            bar.update()
    return history


class _Problem:
    """Loss plus decay as a function of all weights, with the values where it was last looked at."""

    # torch drops a curvature pair whose product sᵀy is below 1e-10, which happens digits before the
    # end. L-BFGS takes the same path on a multiple of the objective, which has larger products.
    SCALE = 1e20

    def __init__(self, model: nn.Module, loss: Callable, weight_decay: float) -> None:
        if not callable(loss):
            raise TypeError(f"loss must map the model to a scalar, got {type(loss).__name__}")
        _first_weight(model)
        self.weights = [w for w in model.parameters() if w.requires_grad]
        wrong = {str(w.dtype) for w in self.weights if w.dtype != torch.float64}
        if wrong:
            got = ", ".join(sorted(wrong))
            raise TypeError(f"model must be in float64 (call model.double()), got {got}")
        self.model, self.loss, self.weight_decay = model, loss, weight_decay

    def look(self, where: str) -> float:
        """Evaluate at the weights; return the scaled objective, with its gradient on them."""
        value, slope = self._evaluate(where, again=False)
        flat = parameters_to_vector(self.weights).detach()
        gradient = slope + self.weight_decay * flat
        self.loss_value, self.gradient_norm = value, gradient.norm().item()
        pulls = [slope.norm().item(), self.weight_decay * flat.norm().item()]
        self.pull = min(pulls) if self.weight_decay else pulls[0]
        self.objective = value + self.weight_decay / 2 * flat.square().sum().item()
        pieces = (self.SCALE * gradient).split([w.numel() for w in self.weights])
        for w, piece in zip(self.weights, pieces, strict=True):
            w.grad = piece.view_as(w)
        return self.SCALE * self.objective

    def linearize(self, where: str) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Gradient (n,) at the weights, and the product of the Hessian with a vector (n,)."""
        _, slope = self._evaluate(where, again=True)

        def times_hessian(vector: Tensor) -> Tensor:
            if not slope.requires_grad:  # the loss is linear
                return self.weight_decay * vector
            rows = torch.autograd.grad(
                slope, self.weights, vector, retain_graph=True, allow_unused=True
            )
            return self._flatten(rows) + self.weight_decay * vector

        flat = parameters_to_vector(self.weights).detach()
        return slope.detach() + self.weight_decay * flat, times_hessian

    def move(self, step: Tensor, where: str) -> None:
        """Add a step (n,) to the weights, and look."""
        with torch.no_grad():
            vector_to_parameters(parameters_to_vector(self.weights) + step, self.weights)
        self.look(where)

    def is_noise(self) -> bool:
        """Whether rounding errors, one in each weight, change the gradient by about its size."""
        flat, before = parameters_to_vector(self.weights).detach(), self._gradient()
        signs = 2 * torch.randint(2, flat.shape, generator=torch.Generator().manual_seed(0)) - 1
        error = torch.finfo(flat.dtype).eps * signs.to(flat)
        vector_to_parameters(flat * (1 + error), self.weights)
        change = self._gradient() - before
        vector_to_parameters(flat, self.weights)
        return before.norm().item() <= _NOISE * change.norm().item()

    def _gradient(self) -> Tensor:
        _, slope = self._evaluate("the end", again=False)
        return slope + self.weight_decay * parameters_to_vector(self.weights).detach()

    def _evaluate(self, where: str, again: bool) -> tuple[float, Tensor]:
        """Loss and its gradient (n,), the latter to be differentiated again if asked."""
        with torch.enable_grad():
            value = self.loss(self.model)
            scalar = isinstance(value, Tensor) and value.numel() == 1
            if not scalar or value.is_complex() or not value.requires_grad:
                raise ValueError("loss must return a real scalar that depends on the weights")
            if not torch.isfinite(value):
                raise FloatingPointError(f"the loss is {value.item()} at {where}")
            slopes = torch.autograd.grad(value, self.weights, create_graph=again, allow_unused=True)
            return value.item(), self._flatten(slopes)

    def _flatten(self, slopes: tuple[Tensor | None, ...]) -> Tensor:
        pairs = zip(self.weights, slopes, strict=True)
        return torch.cat([(torch.zeros_like(w) if g is None else g).flatten() for w, g in pairs])


class _Descent:
    """L-BFGS with line searches while they help, then Newton steps, then a fresh history."""

    def __init__(self, problem: _Problem, tolerance: float, max_iterations: int) -> None:
        self.problem, self.tolerance, self.max_iterations = problem, tolerance, max_iterations
        self.iterations = 0
        self.largest_pull = 0.0

    def run(self) -> None:
        self.problem.look("the start")
        self.largest_pull = self.problem.pull
        helped = True
        while helped and not self._finished():
            before = self.problem.objective, self.problem.gradient_norm
            self._search()
            self._polish()
            helped = self._improved_on(*before)
        for w in self.problem.weights:
            w.grad = None

    def solved(self) -> bool:
        return self.problem.gradient_norm <= self.tolerance * self.largest_pull

    def _finished(self) -> bool:
        return self.solved() or self.iterations >= self.max_iterations

    def _improved_on(self, objective: float, gradient_norm: float) -> bool:
        fell = objective - self.problem.objective > 1e-13 * abs(objective)
        return fell or self.problem.gradient_norm < 0.9 * gradient_norm

    def _search(self) -> None:
        """Run rounds of L-BFGS until one brings nothing."""
        # The one tolerance stops a round once the loss stays the same to its last bit.
        stepper = torch.optim.LBFGS(
            self.problem.weights,
            history_size=_PAIRS,
            line_search_fn="strong_wolfe",
            max_eval=sys.maxsize,
            tolerance_grad=0,
            tolerance_change=1e-30,
        )
        start, helped = self.iterations, True
        while helped and not self._finished():
            before = self.problem.objective, self.problem.gradient_norm
            stepper.param_groups[0]["max_iter"] = min(_ROUND, self.max_iterations - self.iterations)
            stepper.step(lambda: self.problem.look(f"iteration {start + _steps_of(stepper)}"))
            self.iterations = start + _steps_of(stepper)
            self.problem.look(f"iteration {self.iterations}")
            self.largest_pull = max(self.largest_pull, self.problem.pull)
            helped = self._improved_on(*before)

    def _polish(self) -> None:
        """Take Newton steps, which need no losses, while each makes the gradient smaller."""
        while not self._finished():
            before = self.problem.gradient_norm
            step = self._newton_step()
            self.problem.move(step, f"iteration {self.iterations}")
            if not self.problem.gradient_norm < 0.9 * before:
                self.problem.move(-step, f"iteration {self.iterations}")
                break

    def _newton_step(self) -> Tensor:
        """Solve H d = -∇ by conjugate gradients, to a digit more than is asked for."""
        gradient, times_hessian = self.problem.linearize(f"iteration {self.iterations}")
        enough = max(self.tolerance * self.largest_pull / 10, gradient.norm().item() / 1000)
        step, residual = torch.zeros_like(gradient), -gradient
        direction, size = residual, residual.square().sum()
        while size.sqrt() > enough and self.iterations < self.max_iterations:
            image = times_hessian(direction)
            curvature = direction @ image
            if curvature <= 0:
                break  # no minimum nearby, or rounding: L-BFGS knows better
            step = step + size / curvature * direction
            residual = residual - size / curvature * image
            size, old = residual.square().sum(), size
            direction = residual + size / old * direction
            self.iterations += 1
        return step


def _steps_of(stepper: torch.optim.LBFGS) -> int:
    """Iterations that an L-BFGS optimizer has taken."""
    return next((state["n_iter"] for state in stepper.state.values()), 0)


def _first_weight(model: object) -> Tensor:
    """A parameter to be trained, which tells the device and dtype of the model."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    weight = next((w for w in model.parameters() if w.requires_grad), None)
    if weight is None:
        raise ValueError("model must have parameters that require gradients, got none")
    return weight


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


def _make_optimizer(model: nn.Module, name: str, lr: float, weight_decay: float):
    if name == "adam":
        return torch.optim.Adam(model.parameters(), lr=lr, weight_decay=weight_decay)
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=weight_decay)


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


def _outputs(model: nn.Module, x: Tensor, y: Tensor, n_classes: int) -> Tensor:
    """Outputs (n, K) of the model, checked against the labels."""
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
    return outputs


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


@torch.no_grad()
def _validate(model, images, labels, batch_size, n_classes, loss, history) -> None:
    """Append loss and accuracy in eval mode."""
    weight = _first_weight(model)
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


def _say_diverged(what: str, epoch: int, step: int) -> NoReturn:
    raise FloatingPointError(
        f"{what} at epoch {epoch}, step {step} (both from 0): lower lr, or look at the data"
    )
