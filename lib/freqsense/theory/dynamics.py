"""Learning curves: gradient flow without weight decay, frequency by frequency."""

import numpy as np
import torch
from scipy.interpolate import CubicHermiteSpline
from scipy.special import expit, logit
from torch import Tensor

from freqsense._checks import describe, sides
from freqsense._scale import HUGE
from freqsense.theory._inputs import as_depth, as_moments, as_numbers, check_result

__all__ = ["learning_curves"]

# A frequency with this logit, of its share of the goal, counts as learned: 1e-13 is missing.
_LEARNED = 30.0

# Step of the table of learning times: its cubic interpolation is exact to about eleven digits.
_LOGIT_STEP = 0.01

# Beyond so many times its goal, a sensitivity falls as if there were no goal.
_FAR = 1e30

# A start so small a share of its goal leaves it after a time that float64 cannot hold.
_NOWHERE = 1e-300


def learning_curves(
    power: Tensor, cross: Tensor, *, depth: int, times: Tensor, start: float | Tensor
) -> Tensor:
    r"""Sensitivity during gradient flow on the squared loss, without weight decay.

    .. math:: \frac{dr}{dt} = L\, D^{(L-1)/L}\, r^{2-2/L}\, (\gamma - s r), \qquad r(0) = r_0

    Theorem ``thm-gradient-flow`` of the book, for stationary images and weights that start
    balanced, in phase with the target. Time is step size times number of steps of descent.
    L = 1 relaxes exponentially, L = 2 is logistic; for L >= 3 the integral for t(r) is inverted.

    Parameters
    ----------
    power, cross : s and c as for :func:`predict_sensitivity`, (H, W), one channel.
    depth : L >= 1.
    times : (T,), 0 to 1e100.
    start : r_0, 0 or 1e-100 to 1e100, a number or (H, W); from 0 nothing is learned for L >= 2.

    Returns
    -------
    float64 tensor (T, H, W).

    Raises
    ------
    TypeError, ValueError
        If the shapes do not match, an argument is negative or not finite, or a goal γ / s is out of
        range.

    Source
    ------
    Saxe, McClelland and Ganguli (2014), arXiv 1312.6120; Pinson, Lenaerts and Ginis (2023), arXiv
    2303.02034.

    Examples
    --------
    >>> import torch
    >>> from freqsense import theory
    >>> ones, times = torch.ones(2, 2), torch.tensor([0.0, 1.0, 4.0])
    >>> theory.learning_curves(ones, ones, depth=2, times=times, start=0.01)[:, 0, 0]
    tensor([0.0100, 0.3555, 1.0000], dtype=torch.float64)
    """
    depth = as_depth(depth)
    power, cross = as_moments(power, cross)
    if power.ndim != 2:
        raise ValueError(f"power must have shape (H, W), got {sides(power)}")
    times = _as_times(times)[:, None]  # (T, 1)
    s = power.flatten().cpu()
    gamma = cross.abs().flatten().cpu().where(s > 0, 0.0)
    r0 = _as_start(start, sides(power))
    rate = depth * len(s) ** (1 - 1 / depth)
    r = _flow(s, gamma, r0, rate * times, depth)  # (T, D)
    check_result(r, "the sensitivity")
    return r.unflatten(1, power.shape).to(power.device)


def _as_times(times: object) -> Tensor:
    times = as_numbers(times, "times").double().cpu()
    if times.ndim != 1 or not ((times >= 0) & (times <= HUGE)).all():
        got = describe(times.tolist())
        raise ValueError(f"times must be finite real numbers (T,), 0 to {HUGE}, got {got}")
    return times


def _as_start(start: object, shape: tuple[int, int]) -> Tensor:
    start = as_numbers(start, "start").double().cpu()
    known = (start == 0) | (start >= 1 / HUGE) & (start <= HUGE)
    if start.shape not in ((), shape) or not known.all():
        expected = f"0 or {1 / HUGE} to {HUGE}, a number or of shape {tuple(shape)}"
        raise ValueError(f"start must be {expected}, got {describe(start.tolist())}")
    return start.expand(shape).flatten()


def _flow(s: Tensor, gamma: Tensor, r0: Tensor, t: Tensor, depth: int) -> Tensor:
    """Solve dr/dt = r^(2-2/L) (γ - s r) for t (T, 1) from r0 (D,): (T, D)."""
    if depth <= 2:
        rate = (s if depth == 1 else gamma) * t
        # (1 - exp(-rate)) / rate, which is 1 at rate 0
        mean = torch.where(rate > 1e-300, -torch.expm1(-rate) / rate.clamp(min=1e-300), 1.0)
        if depth == 1:
            return r0 * torch.exp(-rate) + gamma * (t * mean)
        return r0 / (torch.exp(-rate) + s * r0 * (t * mean))
    power = 2 - 2 / depth
    fallen = (power * s * t).log() + power * r0.log()  # by logarithms, whose range is no limit
    r = r0 * torch.exp(-torch.logaddexp(fallen, torch.zeros_like(fallen)) / power)  # without goals
    goal = torch.where(gamma > 0, gamma / s, 0.0)
    live = (r0 > 0) & (goal > 0)
    goal, gamma, start = goal[live], gamma[live], (r0 / goal)[live]
    near = start.clamp(max=_FAR)
    delay = (near**-power - start**-power) / power  # until a far start has come near
    clock = gamma * goal ** (power - 1) * t - delay  # (T, live)
    learned = goal * _own_time_flow(near, clock.clamp(min=0), 2 / depth)
    r[:, live] = torch.where(clock < 0, r[:, live], learned)
    return r


def _own_time_flow(start: Tensor, clock: Tensor, beta: float) -> Tensor:
    """Solve dw/dτ = w^(2-β) (1 - w), β = 2/L, at τ = clock (T, n) from start (n,): (T, n).

    Every frequency follows this one curve in its own time, u = w from below, u = 1/w from above.
    """
    if (start < _NOWHERE).any():
        raise ValueError(f"the goals must be at most {1 / _NOWHERE:g} times the start: rescale")
    w = torch.ones_like(clock)
    for side, power in ((start < 1, beta - 1), (start > 1, 2 - beta)):
        if side.any():
            u0 = torch.minimum(start, 1 / start)[side].numpy()
            u = torch.from_numpy(_advance(u0, clock[:, side].numpy(), power))
            w[:, side] = u if power < 0 else 1 / u
    return w


def _advance(start: np.ndarray, clock: np.ndarray, power: float) -> np.ndarray:
    """Find u < 1 (T, n) after a given time, from u = start (n,).

    In x = log(u / (1 - u)) time is a plain integral, dτ/dx = u^power. It is tabled once for all by
    Gauss's rule, from the end where it is slow, and read in both directions.
    """
    x0 = logit(start)
    x = np.arange(x0.min() - _LOGIT_STEP, max(x0.max(), _LEARNED) + _LOGIT_STEP, _LOGIT_STEP)
    nodes, weights = np.polynomial.legendre.leggauss(4)
    between = x[:-1, None] + _LOGIT_STEP * (nodes + 1) / 2
    pieces = _LOGIT_STEP / 2 * expit(between) ** power @ weights
    slope = expit(x) ** power
    if power > 0:
        time = np.concatenate([[0.0], pieces.cumsum()])
    else:  # a small start is left so slowly that the rest would drown in its rounding errors
        time = -np.concatenate([pieces[::-1].cumsum()[::-1], [0.0]])
    reading = clock + CubicHermiteSpline(x, time, slope)(x0)  # on a clock common to all starts
    return expit(CubicHermiteSpline(time, x, 1 / slope)(np.minimum(reading, time[-1])))
