"""Convex programs over end-to-end maps: accelerated proximal gradient, certified by a duality gap.

Maps are vectors b of M = 2FC real numbers a output, (M, K): coordinates in a real orthonormal
Fourier basis, for each of F frequencies (one of each pair ±ω) and each channel a real and an
imaginary part. NumPy, because one step is a few small products and the overhead of a call counts.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch

from freqsense.fourier import rings

# Steps between two looks at the gap.
_CHECK_EVERY = 10

# Steps of the power method for a first guess of the curvature, which is raised when found too low.
_POWER_STEPS = 20

# Power below this share of the largest is not divided by.
_EMPTY = 1e-12


class Certified(NamedTuple):
    """A minimiser b (M, K), its objective, how far above the minimum that can be, and the steps."""

    b: np.ndarray
    objective: float
    gap: float
    iterations: int


@dataclass(frozen=True)
class Basis:
    """Real orthonormal Fourier basis of real images.

    index : (F,) place of the chosen frequencies in the flat grid
    mirror : (F,) place of their negatives
    scale : (F,) √2, or 1 where a frequency is its own negative
    """

    index: np.ndarray
    mirror: np.ndarray
    scale: np.ndarray

    def features(self, xhat: np.ndarray) -> np.ndarray:
        """Coordinates (N, M) of transformed images (N, C, D), so that B x̂ summed over ω is b·x."""
        half = xhat[:, :, self.index].transpose(0, 2, 1) * self.scale[:, None]  # (N, F, C)
        parts = np.stack([half.real, -half.imag], -1)  # (N, F, C, 2)
        parts[:, self.index == self.mirror, :, 1] = 0  # but for rounding, these are real
        return parts.reshape(len(xhat), -1)

    def assemble(self, b: np.ndarray, n_pixels: int) -> np.ndarray:
        """End-to-end map (D, K, C) of coordinates (M, K)."""
        matrices = as_matrices(b, len(self.index)) / self.scale[:, None, None]  # (F, C, K)
        B = np.empty((n_pixels, *matrices.shape[:0:-1]), complex)
        B[self.mirror] = matrices.conj().transpose(0, 2, 1)
        B[self.index] = matrices.transpose(0, 2, 1)
        return B


def half_basis(shape: tuple[int, int]) -> Basis:
    """The basis for images of this height and width."""
    ring = rings(shape)
    index = ring.half.nonzero()[:, 0]
    mirror = ring.mirror[index]
    scale = torch.where(index == mirror, 1.0, 2.0).double().sqrt()
    return Basis(index.numpy(), mirror.numpy(), scale.numpy())


def as_matrices(b: np.ndarray, n_frequencies: int) -> np.ndarray:
    """Complex matrices (F, C, K) of coordinates (M, K)."""
    parts = b.reshape(n_frequencies, -1, 2, b.shape[1])
    return parts[:, :, 0] + 1j * parts[:, :, 1]


def as_coordinates(matrices: np.ndarray) -> np.ndarray:
    """Undo :func:`as_matrices`."""
    return np.stack([matrices.real, matrices.imag], 2).reshape(-1, matrices.shape[-1])


class Loss(Protocol):
    """A smooth loss of b (M, K), which sees b only through what is linear in it, "pushed"."""

    power: np.ndarray  # (M,) mean squares of the coordinates

    def push(self, b: np.ndarray) -> np.ndarray:
        """Whatever the loss needs to know of b, linear in b."""

    def pull(self, pushed: np.ndarray) -> np.ndarray:
        """Upper bound of the second derivative, times the b that was pushed."""

    def gradient(self, pushed: np.ndarray) -> np.ndarray:
        """Gradient (M, K)."""

    def curvature(self, step: np.ndarray, pushed: np.ndarray) -> float:
        """Upper bound of the second derivative along a step."""

    def value(self, b: np.ndarray, pushed: np.ndarray) -> float:
        """Mean loss."""

    def dual(self, b: np.ndarray, pushed: np.ndarray, limit: float) -> float:
        """Dual objective at the residuals, scaled as is best up to the limit of feasibility."""


class Penalty(Protocol):
    """A convex penalty of b, with a proximal step and a duality gap."""

    n_frequencies: int

    def value(self, b: np.ndarray) -> float:
        """The penalty."""

    def prox(self, b: np.ndarray, rate: np.ndarray) -> np.ndarray:
        """Step of the penalty from b, with rates (M,) as inverse step sizes."""

    def gap(self, loss: Loss, b: np.ndarray, pushed: np.ndarray) -> float:
        """Duality gap at the residuals."""


class GramLoss:
    """Squared loss, from XᵀX/N and XᵀY/N: a step costs the same for any number of images."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.gram, self.cross = x.T @ x / len(x), x.T @ y / len(x)
        self.constant = (y * y).sum() / len(x)
        self.power = self.gram.diagonal()

    def push(self, b: np.ndarray) -> np.ndarray:
        return self.gram @ b

    def pull(self, pushed: np.ndarray) -> np.ndarray:
        return pushed

    def gradient(self, pushed: np.ndarray) -> np.ndarray:
        return pushed - self.cross

    def curvature(self, step: np.ndarray, pushed: np.ndarray) -> float:
        return float(np.vdot(step, pushed))

    def value(self, b: np.ndarray, pushed: np.ndarray) -> float:
        return float(self.constant / 2 - np.vdot(self.cross, b) + np.vdot(b, pushed) / 2)

    def dual(self, b: np.ndarray, pushed: np.ndarray, limit: float) -> float:
        fit = np.vdot(self.cross, b)
        along, square = self.constant - fit, self.constant - 2 * fit + np.vdot(b, pushed)
        return _best_on_ray(along, square, limit)


class SampleLoss:
    """Squared or logistic loss, from the images themselves."""

    def __init__(self, x: np.ndarray, y: np.ndarray, loss: str) -> None:
        self.x, self.y, self.logistic = x, y, loss == "logistic"
        self.bound = 0.25 if self.logistic else 1.0
        self.power = np.einsum("nm,nm->m", x, x) / len(x)

    def push(self, b: np.ndarray) -> np.ndarray:
        return self.x @ b

    def pull(self, pushed: np.ndarray) -> np.ndarray:
        return self.bound * (self.x.T @ pushed) / len(self.x)

    def gradient(self, pushed: np.ndarray) -> np.ndarray:
        return self.x.T @ self._slope(pushed) / len(self.x)

    def curvature(self, step: np.ndarray, pushed: np.ndarray) -> float:
        return float(self.bound * np.vdot(pushed, pushed) / len(self.x))

    def value(self, b: np.ndarray, pushed: np.ndarray) -> float:
        if self.logistic:
            return float(np.logaddexp(0, -self.y * pushed).sum() / len(self.x))
        return float(((self.y - pushed) ** 2).sum() / (2 * len(self.x)))

    def dual(self, b: np.ndarray, pushed: np.ndarray, limit: float) -> float:
        slope = self._slope(pushed)
        if not self.logistic:
            along, square = -np.vdot(self.y, slope), np.vdot(slope, slope)
            return _best_on_ray(along / len(self.x), square / len(self.x), limit)
        p = min(limit, 1.0) * -self.y * slope  # in [0, 1]
        return float((_entropy(p) + _entropy(1 - p)).sum() / len(self.x))

    def _slope(self, pushed: np.ndarray) -> np.ndarray:
        """Derivative (N, K) of each image's loss by its output."""
        if self.logistic:
            return -self.y * np.exp(-np.logaddexp(0, self.y * pushed))
        return pushed - self.y


def make_loss(x: np.ndarray, y: np.ndarray, loss: str) -> Loss:
    """Choose the cheaper of two ways to hold the data (N, M) and targets (N, K)."""
    if loss == "squared" and len(x) > x.shape[1]:
        return GramLoss(x, y)
    return SampleLoss(x, y, loss)


class Ridge:
    """(λ/2) |b|², the representation cost at depth 1."""

    n_frequencies = 1  # the coordinates need no grouping

    def __init__(self, weight_decay: float) -> None:
        self.weight_decay = weight_decay

    def value(self, b: np.ndarray) -> float:
        return float(self.weight_decay / 2 * np.vdot(b, b))

    def prox(self, b: np.ndarray, rate: np.ndarray) -> np.ndarray:
        return b * (rate / (rate + self.weight_decay))[:, None]

    def gap(self, loss: Loss, b: np.ndarray, pushed: np.ndarray) -> float:
        """Fenchel's gap at the residuals, which is |∇|²/2λ exactly."""
        total = loss.gradient(pushed) + self.weight_decay * b
        return float(np.vdot(total, total) / (2 * self.weight_decay))


class NuclearNorm:
    """κ times the sum of nuclear norms of all B(ω), the representation cost at depth 2."""

    def __init__(self, kappa: float, scale: np.ndarray) -> None:
        self.weights = kappa * scale  # (F,): a pair ±ω counts twice, and b holds √2 B
        self.n_frequencies = len(scale)

    def value(self, b: np.ndarray) -> float:
        return float((self.weights * self._singular_values(b).sum(-1)).sum())

    def prox(self, b: np.ndarray, rate: np.ndarray) -> np.ndarray:
        """Lower each singular value by weight / rate, the same rate within a frequency."""
        threshold = self.weights / rate.reshape(self.n_frequencies, -1)[:, 0]
        if self._vectors(b):
            size = self._singular_values(b)[:, 0]
            kept = 1 - threshold / np.maximum(size, threshold)
            return (b.reshape(self.n_frequencies, -1) * kept[:, None]).reshape(b.shape)
        u, sigma, vh = np.linalg.svd(as_matrices(b, self.n_frequencies), full_matrices=False)
        kept = np.maximum(sigma - threshold[:, None], 0)
        return as_coordinates((u * kept[:, None, :]) @ vh)

    def gap(self, loss: Loss, b: np.ndarray, pushed: np.ndarray) -> float:
        """Duality gap: the residuals are dual feasible once no |∇(ω)| exceeds its weight."""
        size = self._singular_values(loss.gradient(pushed))[:, 0]
        limit = float(1 / max((size / self.weights).max(), 1e-100))
        return loss.value(b, pushed) + self.value(b) - loss.dual(b, pushed, limit)

    def _singular_values(self, b: np.ndarray) -> np.ndarray:
        """Singular values (F, min(C, K)), descending."""
        if self._vectors(b):
            flat = b.reshape(self.n_frequencies, -1)
            return np.sqrt(np.einsum("fm,fm->f", flat, flat))[:, None]
        return np.linalg.svd(as_matrices(b, self.n_frequencies), compute_uv=False)

    def _vectors(self, b: np.ndarray) -> bool:
        """Whether each matrix is a row or a column."""
        return b.shape[1] == 1 or len(b) == 2 * self.n_frequencies


def proximal_gradient(
    loss: Loss,
    penalty: Penalty,
    start: np.ndarray,
    tolerance: float,
    max_iterations: int,
) -> Certified:
    """Minimise loss + penalty over b (M, K): FISTA with restarts, one step size per frequency.

    The curvature at a frequency is about its power, which spans decades on natural images. A rate
    (inverse step) proportional to the root of the power evens that out; the common factor is found
    by the power method and raised whenever a step shows it to be too small.

    Stops once the gap is at most the tolerance times the objective, or after the last iteration.
    """
    rate = _rates(loss, penalty.n_frequencies)  # (M,)
    b = ahead = start
    pushed = ahead_pushed = loss.push(b)
    momentum = 1.0
    for iteration in range(1, max_iterations + 1):
        trial = penalty.prox(ahead - loss.gradient(ahead_pushed) / rate[:, None], rate)
        trial_pushed = loss.push(trial)
        step = trial - ahead
        length = np.vdot(step * rate[:, None], step)
        bent = loss.curvature(step, trial_pushed - ahead_pushed)
        if bent > length * (1 + 1e-6) and length > 1e-20 * np.vdot(trial * rate[:, None], trial):
            rate, momentum = rate * max(1.1, 1.01 * bent / length), 1.0
            ahead, ahead_pushed = b, pushed
            continue
        moved, moved_pushed = trial - b, trial_pushed - pushed
        if np.vdot(step * rate[:, None], moved) < 0:  # the momentum points uphill
            momentum = 1.0
        following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        pull = (momentum - 1) / following
        b, pushed, momentum = trial, trial_pushed, following
        ahead, ahead_pushed = b + pull * moved, pushed + pull * moved_pushed
        if iteration % _CHECK_EVERY == 0:
            objective, gap = _certify(loss, penalty, b, pushed)
            if gap <= tolerance * objective:
                return Certified(b, objective, gap, iteration)
    return Certified(b, *_certify(loss, penalty, b, pushed), max_iterations)


def solve_ridge(x: np.ndarray, y: np.ndarray, weight_decay: float) -> Certified:
    """Minimise squared loss + (λ/2)|b|², of smallest norm if λ = 0, without any iteration."""
    n, m = x.shape
    loss, penalty = SampleLoss(x, y, "squared"), Ridge(weight_decay)
    if weight_decay == 0:
        b = np.linalg.lstsq(x, y, rcond=None)[0]
        fit = x @ b
        better = x @ np.linalg.lstsq(x, y - fit, rcond=None)[0]
        return Certified(b, loss.value(b, fit), float(np.vdot(better, better)) / (2 * n), 0)
    if n >= m:
        b = np.linalg.solve(x.T @ x + n * weight_decay * np.eye(m), x.T @ y)
    else:
        b = x.T @ np.linalg.solve(x @ x.T + n * weight_decay * np.eye(n), y)
    return Certified(b, *_certify(loss, penalty, b, loss.push(b)), 0)


def _certify(
    loss: Loss, penalty: Penalty, b: np.ndarray, pushed: np.ndarray
) -> tuple[float, float]:
    """Objective and its gap, which rounding errors alone could make negative."""
    objective = float(loss.value(b, pushed) + penalty.value(b))
    return objective, max(float(penalty.gap(loss, b, pushed)), 0.0)


def _rates(loss: Loss, n_frequencies: int) -> np.ndarray:
    """Inverse step sizes (M,), equal within a frequency."""
    power = loss.power.reshape(n_frequencies, -1).sum(1)
    rate = np.sqrt(np.maximum(power, _EMPTY * max(power.max(), 1e-300)))
    rate = np.repeat(rate, len(loss.power) // n_frequencies)
    return rate * _largest_curvature(loss, rate)


def _largest_curvature(loss: Loss, rate: np.ndarray) -> float:
    """Largest curvature in the metric of the rates, by the power method: never above it."""
    direction = np.random.default_rng(0).standard_normal((len(rate), 1))
    largest = 0.0
    for _ in range(_POWER_STEPS):
        direction = direction / np.sqrt(np.vdot(direction * rate[:, None], direction))
        pushed = loss.push(direction)
        largest = loss.curvature(direction, pushed)
        if largest == 0:
            return 1.0
        direction = loss.pull(pushed) / rate[:, None]
    return 1.05 * largest


def _best_on_ray(along: float, square: float, limit: float) -> float:
    """Largest value of a·along - a²·square/2 over 0 <= a <= limit."""
    a = min(limit, max(along, 0) / square) if square > 0 else limit
    return a * along - a * a * square / 2


def _entropy(p: np.ndarray) -> np.ndarray:
    """-p log p, 0 at p = 0."""
    return -p * np.log(np.maximum(p, 1e-300))
