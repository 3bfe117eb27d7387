"""Descent to many digits: L-BFGS with line searches, then Newton steps by conjugate gradients."""

import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from freqsense._checks import first_weight

# L-BFGS: curvature pairs kept, and iterations between two looks at whether it helps.
_PAIRS = 50
_ROUND = 50

# A gradient of at most so many times what one rounding error in each weight changes is noise.
_NOISE = 10


class Problem:
    """Loss plus decay as a function of all weights, with the values where it was last looked at."""

    # torch drops a curvature pair whose product sᵀy is below 1e-10, which happens digits before the
    # end. L-BFGS takes the same path on a multiple of the objective, which has larger products.
    SCALE = 1e20

    def __init__(self, model: nn.Module, loss: Callable, weight_decay: float) -> None:
        if not callable(loss):
            raise TypeError(f"loss must map the model to a scalar, got {type(loss).__name__}")
        first_weight(model)
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


class Descent:
    """L-BFGS with line searches while they help, then Newton steps, then a fresh history."""

    def __init__(self, problem: Problem, tolerance: float, max_iterations: int) -> None:
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
        optimizer = torch.optim.LBFGS(
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
            optimizer.param_groups[0]["max_iter"] = min(
                _ROUND, self.max_iterations - self.iterations
            )
            optimizer.step(lambda: self.problem.look(f"iteration {start + _steps_of(optimizer)}"))
            self.iterations = start + _steps_of(optimizer)
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


def _steps_of(optimizer: torch.optim.LBFGS) -> int:
    """Iterations that an L-BFGS optimizer has taken."""
    return next((state["n_iter"] for state in optimizer.state.values()), 0)
