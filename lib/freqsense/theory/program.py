"""The convex program that training with weight decay amounts to, for any images."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from freqsense._checks import as_choice, as_integer, as_real, check_signs, sides
from freqsense.fourier import fft2
from freqsense.theory._inputs import as_data, as_depth, scaled_decay
from freqsense.theory._proximal import (
    NuclearNorm,
    Ridge,
    half_basis,
    make_loss,
    proximal_gradient,
    solve_ridge,
)

__all__ = ["NotConvergedError", "Solution", "solve"]


class NotConvergedError(RuntimeError):
    """A solver ran out of iterations; the message holds the gap that it reached."""


@dataclass(frozen=True)
class Solution:
    """Minimiser of the convex program of weight decay.

    B : (H, W, K, C) complex128 end-to-end map
    objective : mean loss + penalty
    gap : how far above the minimum the objective can be at most
    iterations : steps of the accelerated gradient, 0 for a closed form
    """

    B: Tensor
    objective: float
    gap: float
    iterations: int


def solve(
    images: Tensor,
    targets: Tensor,
    *,
    weight_decay: float,
    depth: int,
    loss: str = "squared",
    tolerance: float = 1e-10,
    max_iterations: int = 100_000,
) -> Solution:
    r"""Solve the convex program that training a linear CNN with weight decay amounts to.

    .. math:: \min_B\ \frac1N \sum_n \ell\bigl(\textstyle\sum_\omega B(\omega)
        \hat x_n(\omega), y_n\bigr) + \frac{\lambda L}{2} D^{-(L-1)/L}
        \sum_\omega \|B(\omega)\|_{S_{2/L}}^{2/L}

    Theorem ``thm-equivalence`` of the book; nothing is assumed of the images. L = 1 is ridge
    regression, solved directly if the loss is squared; L = 2 sums nuclear norms, a group lasso over
    frequencies if there is one output. Otherwise by accelerated proximal gradient, until a duality
    gap certifies the solution.

    Parameters
    ----------
    images : (N, C, H, W), float32 or float64; means are not removed.
    targets : (N,) or (N, K), real; -1 and +1 for the logistic loss.
    weight_decay : λ, above 0 (0 only for the squared loss: least squares of smallest norm).
    depth : L, 1 or 2: from 3 on the program is not convex.
    loss : ``"squared"``, \|y - f\|²/2, or ``"logistic"``, log(1 + exp(-y f)), summed over outputs.
    tolerance : largest duality gap, as a share of the objective.
    max_iterations : steps before the solver gives up.

    Returns
    -------
    Solution

    Raises
    ------
    TypeError, ValueError
        If data are not finite or do not fit, or an argument is out of range.
    NotConvergedError
        A RuntimeError, if the gap is still too large after the last step; the message gives it.

    Source
    ------
    Beck and Teboulle (2009), doi:10.1137/080716542; O'Donoghue and Candès (2015), arXiv 1204.3982
    (restarts); arXiv 2210.01257.

    Examples
    --------
    >>> import torch
    >>> from freqsense import images, theory
    >>> x = images.gaussian_field(50, shape=(6, 6), alpha=2.0)
    >>> solution = theory.solve(x, x[:, 0, 0, 0], weight_decay=0.5, depth=2)
    >>> solution.gap <= 1e-10 * solution.objective
    True
    >>> (solution.B.abs() > 0).sum().item() < 36       # some frequencies are ignored
    True
    """
    weight_decay, depth = as_real(weight_decay, "weight_decay", 0), as_depth(depth)
    as_choice(loss, "loss", ("squared", "logistic"))
    tolerance = as_real(tolerance, "tolerance", 0)
    max_iterations = as_integer(max_iterations, "max_iterations", 1)
    if depth > 2:
        raise ValueError(
            f"depth must be 1 or 2, got {depth}: from depth 3 on the penalty is not convex, and no "
            "certificate tells a local minimum from the global one; see predict_sensitivity"
        )
    images, targets = as_data(images, targets)
    if loss == "logistic":
        _check_logistic(targets, weight_decay)
    shape = sides(images)
    n_pixels = math.prod(shape)
    basis = half_basis(shape)
    x = basis.features(fft2(images).flatten(2).cpu().numpy())  # (N, M)
    y = targets.cpu().numpy()  # (N, K)
    if loss == "squared" and (depth == 1 or weight_decay == 0):
        found = solve_ridge(x, y, weight_decay)
    else:
        kappa = scaled_decay(weight_decay, depth, n_pixels)
        found = proximal_gradient(
            make_loss(x, y, loss),
            Ridge(kappa) if depth == 1 else NuclearNorm(kappa, basis.scale),
            np.zeros((x.shape[1], y.shape[1])),
            tolerance,
            max_iterations,
        )
        if not found.gap <= tolerance * found.objective:
            raise NotConvergedError(
                f"no convergence in {max_iterations} iterations: duality gap {found.gap:.2e} of an "
                f"objective of {found.objective:.6g}, wanted {tolerance:g} of it; raise "
                "max_iterations or tolerance"
            )
    B = torch.from_numpy(basis.assemble(found.b, n_pixels)).unflatten(0, shape)
    return Solution(B.to(images.device), found.objective, found.gap, found.iterations)


def _check_logistic(targets: Tensor, weight_decay: float) -> None:
    check_signs(targets, "for the logistic loss", "targets")
    if weight_decay == 0:
        raise ValueError(
            "weight_decay must be above 0 for the logistic loss, which has no minimiser on "
            "separable data without"
        )
