"""The limit of vanishing weight decay: of all maps that fit the images, the cheapest to realise."""

import math
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from freqsense._checks import as_choice, check_signs, sides
from freqsense._extras import extra
from freqsense.fourier import fft2
from freqsense.theory._inputs import as_data, as_depth, scaled_decay
from freqsense.theory._proximal import Basis, half_basis
from freqsense.theory.program import NotConvergedError, Solution

__all__ = ["NotSeparableError", "solve_limit"]

# Asked of the solver; the gap that is returned is computed anew from what it found.
_TOLERANCE = 1e-10

# A residual below this share of the targets is rounding error.
_EXACT = 1e-8


class NotSeparableError(ValueError):
    """No linear map classifies all images right; the message says what to do."""


def solve_limit(images: Tensor, targets: Tensor, *, depth: int, loss: str = "logistic") -> Solution:
    r"""Find the map of least representation cost that fits every image, the limit of λ → 0.

    .. math:: \min_B\ R_L(B) \quad\text{so that}\quad
        y_n \sum_\omega B(\omega)\, \hat x_n(\omega) \ge 1
        \quad\text{or}\quad \sum_\omega B(\omega)\, \hat x_n(\omega) = y_n \quad \text{for all } n

    Theorem ``thm-vanishing-decay`` of the book: a margin for the logistic loss, an exact fit for
    the squared one. There is such a map where the images are separable, or where the targets are
    linear in them, as they are when there are fewer images than pixels. At depth 1 it is the hard
    margin of a support vector machine, or the least-squares map of smallest norm; at depth 2 the
    cost is a group norm over frequencies, and the program one of second-order cones.

    Parameters
    ----------
    images : (N, C, H, W), float32 or float64; means are not removed.
    targets : (N,), real; -1 and +1 for the logistic loss.
    depth : L, 1 or 2: from 3 on the program is not convex.
    loss : ``"logistic"`` or ``"squared"``.

    Returns
    -------
    Solution
        ``objective`` is the representation cost R_L(B), and ``gap`` how far above the least one it
        can be. Of the logistic loss only the direction of B is the limit: its size grows without
        bound as λ → 0.

    Raises
    ------
    TypeError, ValueError
        If data are not finite or do not fit, an argument is out of range, or the targets are not
        linear in the images.
    NotSeparableError
        A ValueError, if no map has a positive margin on all images.
    NotConvergedError
        If the solver stops short of a solution; the message gives its own word for it.
    ImportError
        If the extra ``programs`` is not installed.

    Source
    ------
    Rosset, Zhu and Hastie (2004), Journal of Machine Learning Research 5, 941-973, for the margin;
    Goulart and Chen (2024), arXiv 2405.12762, for the solver Clarabel; arXiv 2210.01257.

    Examples
    --------
    >>> import torch
    >>> from freqsense import images, theory
    >>> x = images.gaussian_field(20, shape=(6, 6), alpha=2.0)
    >>> y = torch.tensor([1.0, -1.0]).repeat(10)
    >>> limit = theory.solve_limit(x, y, depth=2)
    >>> limit.gap <= 1e-6 * limit.objective
    True
    >>> (limit.B.abs().square() > 1e-12).sum().item() < 36     # some frequencies are ignored
    True
    """
    depth = as_depth(depth)
    if depth > 2:
        raise ValueError(f"depth must be 1 or 2, got {depth}: from depth 3 on it is not convex")
    as_choice(loss, "loss", ("logistic", "squared"))
    stack, y = as_data(images, targets)
    if y.shape[1] != 1:
        raise ValueError(f"targets must be one number per image, got {tuple(y.shape)}")
    if loss == "logistic":
        check_signs(y, "for the logistic loss", "targets")
    shape = sides(stack)
    basis = half_basis(shape)
    x = basis.features(fft2(stack).flatten(2).cpu().numpy())  # (N, M)
    program = _Program(x, y[:, 0].cpu().numpy(), loss, _cost(depth, basis, math.prod(shape)))
    b, gap, iterations = program.solve()
    B = torch.from_numpy(basis.assemble(b[:, None], math.prod(shape))).unflatten(0, shape)
    return Solution(B.to(stack.device), program.cost.value(b), gap, iterations)


def _norm(vector: np.ndarray) -> float:
    return float(np.linalg.norm(vector))


class _Ridge:
    """|b|², the representation cost at depth 1."""

    n_groups = 0  # of cones

    def value(self, b: np.ndarray) -> float:
        return float(b @ b)

    def dual(self, force: np.ndarray, total: float) -> float:
        """Largest a·total - a²|force|²/4 over a >= 0."""
        return float(max(total, 0.0) ** 2 / max(force @ force, 1e-300))

    def blocks(self, m: int) -> tuple:
        """Quadratic part, linear part and cone rows of the program, for m coordinates."""
        return 2 * sparse.eye(m, format="csc"), np.zeros(m), sparse.csc_matrix((0, m)), []


class _GroupNorm:
    """The weighted sum of norms over frequencies, the representation cost at depth 2."""

    def __init__(self, weights: np.ndarray) -> None:
        self.weights, self.n_groups = weights, len(weights)  # (F,)

    def value(self, b: np.ndarray) -> float:
        return float(self.weights @ self._norms(b))

    def dual(self, force: np.ndarray, total: float) -> float:
        """The dual objective, scaled until no force exceeds its weight."""
        excess = (self._norms(force) / self.weights).max()
        return float(total / max(excess, 1e-300))

    def blocks(self, m: int) -> tuple:
        """The norms are bounded by further unknowns s (F,): (s, b) lies in a cone each."""
        size = m // self.n_groups
        bound = np.arange(self.n_groups) * (size + 1)  # rows of s
        rest = np.setdiff1d(np.arange(self.n_groups * (size + 1)), bound)  # rows of b
        rows, columns = np.r_[rest, bound], np.r_[: m + self.n_groups]
        cone = sparse.csc_matrix((-np.ones(len(rows)), (rows, columns)))
        n_unknowns = m + self.n_groups
        linear = np.r_[np.zeros(m), self.weights]
        return sparse.csc_matrix((n_unknowns, n_unknowns)), linear, cone, [size + 1] * self.n_groups

    def _norms(self, b: np.ndarray) -> np.ndarray:
        return np.linalg.norm(b.reshape(self.n_groups, -1), axis=1)


def _cost(depth: int, basis: Basis, n_pixels: int) -> _Ridge | _GroupNorm:
    return _Ridge() if depth == 1 else _GroupNorm(scaled_decay(2, 2, n_pixels) * basis.scale)


class _Program:
    """Least cost of coordinates b (M,) that fit images x (N, M) to targets y (N,)."""

    def __init__(self, x: np.ndarray, y: np.ndarray, loss: str, cost: _Ridge | _GroupNorm) -> None:
        self.margin = loss == "logistic"
        # A margin is asked for on the side of the target; an exact fit is the target itself.
        self.x: np.ndarray = x * y[:, None] if self.margin else x
        self.goal: np.ndarray = np.ones(len(y)) if self.margin else y
        self.cost = cost

    def solve(self) -> tuple[np.ndarray, float, int]:
        """Coordinates that meet the constraints to rounding, their gap, and the iterations."""
        if not self.margin:
            self._check_fit()
        found = self._run()
        b = self._repair(np.array(found.x[: self.x.shape[1]]))
        multipliers = np.array(found.z[: len(self.goal)])
        if self.margin:
            multipliers = np.maximum(multipliers, 0)
        force, total = self.x.T @ multipliers, float(multipliers @ self.goal)
        bound = max(self.cost.dual(force, total), self.cost.dual(-force, -total))
        return b, max(self.cost.value(b) - bound, 0.0), found.iterations

    def _run(self) -> Any:
        with extra("programs"):
            import clarabel
        quadratic, linear, cone, sizes = self.cost.blocks(self.x.shape[1])
        data = sparse.hstack([-self.x, sparse.csc_matrix((len(self.x), self.cost.n_groups))])
        kind = clarabel.NonnegativeConeT if self.margin else clarabel.ZeroConeT
        settings = clarabel.DefaultSettings()
        settings.verbose = False
        settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = _TOLERANCE
        found = clarabel.DefaultSolver(
            quadratic,
            linear,
            sparse.vstack([data, cone], format="csc"),
            np.r_[-self.goal, np.zeros(cone.shape[0])],
            [kind(len(self.goal)), *(clarabel.SecondOrderConeT(size) for size in sizes)],
            settings,
        ).solve()
        status = str(found.status)
        if "PrimalInfeasible" in status:
            raise NotSeparableError(
                "images must be separable by a linear map, and no map has a positive margin on all "
                "of them: solve with weight_decay above 0 has a minimiser for any images"
            )
        if status not in ("Solved", "AlmostSolved", "InsufficientProgress"):
            raise NotConvergedError(f"the solver stopped with {status} and no solution")
        return found

    def _check_fit(self) -> None:
        b = np.linalg.lstsq(self.x, self.goal, rcond=None)[0]
        left = _norm(self.x @ b - self.goal) / max(_norm(self.goal), 1e-300)
        if left > _EXACT:
            raise ValueError(
                f"targets must be linear in the images, but the best map leaves {left:.2g} of "
                "them: solve with weight_decay above 0 has a minimiser for any targets"
            )

    def _repair(self, b: np.ndarray) -> np.ndarray:
        """Meet the constraints exactly, of which the solver leaves a billionth or so."""
        if self.margin:
            return b / (self.x @ b).min()
        return b + np.linalg.lstsq(self.x, self.goal - self.x @ b, rcond=None)[0]
