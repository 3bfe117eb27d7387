"""Minimisation of a full-batch loss to many digits, for the theorem."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from freqsense._checks import as_integer, as_real
from freqsense.training._descent import Descent, Problem

__all__ = ["Fit", "minimize"]


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
