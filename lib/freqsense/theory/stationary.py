"""Stationary images: the theorem's sensitivity in closed form, frequency by frequency."""

from dataclasses import dataclass
from numbers import Real

import numpy as np
import torch
from torch import Tensor

from freqsense._checks import as_choice, as_real, as_real_tensor
from freqsense.theory._inputs import (
    ROUNDING,
    as_depth,
    as_kappa,
    as_moments,
    check_result,
    scaled_decay,
)

__all__ = ["Branches", "branches", "jump", "predict_sensitivity", "threshold"]

# Newton's method takes at most this many steps; each route below proves that it converges.
_MAX_NEWTON_STEPS = 200


def predict_sensitivity(
    power: Tensor,
    cross: Tensor,
    *,
    weight_decay: float,
    depth: int,
    branch: str = "global",
) -> Tensor:
    r"""Sensitivity that weight decay leaves to a linear CNN on stationary images, squared loss.

    .. math:: r = \arg\min_{r \ge 0}\ \tfrac12 s r^2 - \gamma r + \tfrac{\kappa L}{2} r^{2/L},
        \qquad \kappa = \lambda D^{-(L-1)/L}

    Equation ``eq-scalar-problem`` of the book; solved in theorems ``thm-closed-forms`` (L = 1: γ /
    (s + λ); L = 2: (γ - κ)₊ / s) and ``thm-branches`` (L >= 3). Several channels: theorem
    ``thm-several-channels``.

    Parameters
    ----------
    power : s(ω) = E|x̂|², (..., H, W); or for C channels the Hermitian matrices E[conj(x̂_i) x̂_j],
        (H, W, C, C).
    cross : c(ω) = E[conj(x̂) y], (..., H, W), real or complex, of which γ = \|c\| alone matters; or
        (H, W, C). Where an image has no power it can have no correlation: cross is ignored there.
    weight_decay : λ >= 0. Without it r = γ / s, the least-squares map of smallest norm.
    depth : L >= 1; at most 2 for several channels.
    branch : for L >= 3 ``"global"`` for the global minimum, or ``"upper"`` for the upper local one
        wherever it exists. The other local minimum is 0. No difference for L <= 2.

    Returns
    -------
    float64 tensor (..., H, W), in units of target per unit of x̂.

    Raises
    ------
    TypeError, ValueError
        If the shapes do not match, power is negative, anything is not finite, or an argument or the
        sensitivity is out of range.

    Source
    ------
    arXiv 2210.01257.

    Examples
    --------
    >>> import torch
    >>> from freqsense import theory
    >>> power = torch.tensor([[8.0, 2.0], [0.5, 0.0]])
    >>> theory.predict_sensitivity(power, power, weight_decay=2.0, depth=1).tolist()
    [[0.8, 0.5], [0.2, 0.0]]
    >>> theory.predict_sensitivity(power, power, weight_decay=2.0, depth=2).tolist()
    [[0.875, 0.5], [0.0, 0.0]]
    """
    weight_decay, depth = as_real(weight_decay, "weight_decay", 0), as_depth(depth)
    as_choice(branch, "branch", ("global", "upper"))
    power, cross = as_moments(power, cross)
    if power.ndim > cross.ndim:
        r = _predict_channels(power, cross, weight_decay, depth)
    else:
        r = _predict_channel(power, cross.abs(), weight_decay, depth, branch)
    check_result(r, "the sensitivity")
    return r


@dataclass(frozen=True)
class Branches:
    """Where the local minima of the scalar problem appear and change places, for power s.

    r_local, gamma_local : sensitivity and correlation where the upper local minimum appears
    r_global, gamma_global : the same where it becomes the global one, r* and γ*
    """

    r_local: Tensor
    gamma_local: Tensor
    r_global: Tensor
    gamma_global: Tensor


def branches(power: float | Tensor, *, weight_decay: float, depth: int, n_pixels: int) -> Branches:
    r"""Correlations at which a frequency starts to matter, given its power.

    .. math:: r_{\mathrm{loc}} = \Bigl(\frac{\kappa(1-2/L)}{s}\Bigr)^{L/(2(L-1))}, \quad
        r^* = \Bigl(\frac{\kappa(L-2)}{s}\Bigr)^{L/(2(L-1))}, \quad
        \gamma = s r + \kappa r^{2/L-1}

    Theorem ``thm-branches`` of the book: from γ_loc on there is a second local minimum r₊ beside 0,
    from γ* on it is the global one. At L = 2 both are κ, at L = 1 both are 0, and r = 0.

    Parameters
    ----------
    power : s > 0, a number or a tensor of any shape.
    weight_decay : λ >= 0.
    depth : L >= 1.
    n_pixels : D = HW.

    Returns
    -------
    Branches, float64 tensors of the shape of ``power``.

    Raises
    ------
    TypeError, ValueError
        If power is not positive, or an argument or a result is out of range.

    Source
    ------
    arXiv 2210.01257.

    Examples
    --------
    >>> import torch
    >>> from freqsense import theory
    >>> found = theory.branches(torch.tensor(1.0), weight_decay=8.0, depth=4, n_pixels=16)
    >>> round(found.r_global.item(), 4), round(found.gamma_global.item(), 4)
    (1.5874, 2.3811)
    """
    s = _as_positive_values(power, "power")
    kappa, depth = as_kappa(weight_decay, depth, n_pixels)
    if depth <= 2:
        zero = torch.zeros_like(s)
        gamma = torch.full_like(s, kappa if depth == 2 else 0.0)
        return Branches(zero, gamma, zero, gamma)
    exponent = depth / (2 * (depth - 1))
    r_local = (kappa * (1 - 2 / depth) / s) ** exponent
    r_global = (kappa * (depth - 2) / s) ** exponent
    # With these r, κ r^(2/L-1) is s r / (1 - 2/L) and s r / (L - 2).
    gamma_local = s * r_local * (2 * depth - 2) / (depth - 2)
    gamma_global = s * r_global * (depth - 1) / (depth - 2)
    for values in (r_local, gamma_local, r_global, gamma_global):
        check_result(values, "each branch")
    return Branches(r_local, gamma_local, r_global, gamma_global)


def threshold(
    target: float | Tensor, *, weight_decay: float, depth: int, n_pixels: int
) -> float | Tensor:
    r"""Power below which a frequency is ignored, for a teacher of given size there.

    .. math:: s^* = \kappa (L-2) \Bigl[\frac{L-1}{(L-2)\,|b^*|}\Bigr]^{2(L-1)/L}

    Theorem ``thm-sensitivity-threshold`` of the book; κ/\|b*\| at L = 2, and 0 at L = 1.

    Parameters
    ----------
    target : \|b*\| > 0, the sensitivity of the teacher; a number or a tensor.
    weight_decay : λ >= 0.
    depth : L >= 1.
    n_pixels : D = HW.

    Returns
    -------
    float, or float64 tensor of the shape of ``target``.

    Raises
    ------
    TypeError, ValueError
        If the target is not positive, or an argument or the result is out of range.

    Source
    ------
    arXiv 2210.01257.

    Examples
    --------
    >>> from freqsense import theory
    >>> for depth in (1, 2, 3, 4):
    ...     round(theory.threshold(1.0, weight_decay=1.0, depth=depth, n_pixels=1), 2)
    0.0
    1.0
    2.52
    3.67
    """
    b = _as_positive_values(target, "target")
    kappa, depth = as_kappa(weight_decay, depth, n_pixels)
    if depth == 1:
        s = torch.zeros_like(b)
    elif depth == 2:
        s = kappa / b
    else:
        s = kappa * (depth - 2) * ((depth - 1) / ((depth - 2) * b)) ** (2 * (depth - 1) / depth)
    check_result(s, "the threshold")
    return s.item() if isinstance(target, Real) else s


def jump(target: float | Tensor, depth: int) -> float | Tensor:
    r"""Sensitivity to which a frequency jumps from 0, once its power reaches the threshold.

    .. math:: r(s^*) = |b^*|\, \frac{L-2}{L-1}

    Theorem ``thm-sensitivity-threshold`` of the book: no jump for L <= 2; for L >= 3 it depends on
    neither λ nor s nor D.

    Parameters
    ----------
    target : \|b*\| > 0, a number or a tensor.
    depth : L >= 1.

    Returns
    -------
    float, or float64 tensor of the shape of ``target``.

    Raises
    ------
    TypeError, ValueError
        If the target is not positive or the depth below 1.

    Examples
    --------
    >>> from freqsense import theory
    >>> [theory.jump(3.0, depth) for depth in (2, 3, 4)]
    [0.0, 1.5, 2.0]
    """
    b, depth = _as_positive_values(target, "target"), as_depth(depth)
    r = b * (max(depth - 2, 0) / max(depth - 1, 1))
    return r.item() if isinstance(target, Real) else r


def _as_positive_values(value: object, name: str) -> Tensor:
    """Positive finite numbers in float64, from a number or an array."""
    if not isinstance(value, Tensor | np.ndarray):
        value = torch.tensor(as_real(value, name), dtype=torch.float64)
    values = as_real_tensor(value, name).double()
    if not torch.isfinite(values).all() or not (values > 0).all():
        wrong = values[~(torch.isfinite(values) & (values > 0))][0].item()
        raise ValueError(f"{name} must be positive and finite, got {wrong}")
    return values


def _predict_channel(
    power: Tensor, size: Tensor, weight_decay: float, depth: int, branch: str
) -> Tensor:
    """Solutions of the scalar problem for power s and correlations of size γ, (..., H, W)."""
    kappa = scaled_decay(weight_decay, depth, size.shape[-2:].numel())
    alive = power > 0
    s, gamma = power[alive], size[alive]
    if depth == 1:
        r = gamma / (s + kappa)
    elif depth == 2 or kappa == 0:
        r = (gamma - kappa).clamp(min=0) / s
    else:
        r = _upper_root(s, gamma, kappa, depth, branch)
    return torch.zeros_like(power).masked_scatter_(alive, r)


def _upper_root(s: Tensor, gamma: Tensor, kappa: float, depth: int, branch: str) -> Tensor:
    """Largest root r of s r - γ + κ r^(2/L-1) = 0, or 0 where the branch does not reach.

    With r = t γ / s the equation is t + a t^(2/L-1) = 1, of one parameter a: the roots meet at
    t = (L-2) / (2L-2), and the upper one is the global minimum down to twice that.
    """
    q = 2 / depth - 1
    t_min = (depth - 2) / (depth - 1) / (1 if branch == "global" else 2)
    a = kappa * (gamma / s).pow(q) / gamma
    exists = a <= (1 - t_min) * t_min**-q
    t = torch.zeros_like(a)
    t[exists] = _newton_from_above(a[exists], q, t_min)
    return t * gamma / s


def _newton_from_above(a: Tensor, q: float, t_min: float) -> Tensor:
    """Largest root of g(t) = t + a t^q - 1: g is convex, so steps from g(1) = a never pass it."""
    t = torch.ones_like(a)
    open_ = torch.arange(len(a), device=a.device)
    for _ in range(_MAX_NEWTON_STEPS):
        now, a_open = t[open_], a[open_]
        bend = a_open * now.pow(q)
        step = (now + bend - 1) / (1 + q * bend / now).clamp(min=1e-300)
        t[open_] = (now - step).clamp(min=t_min)
        open_ = open_[step > 1e-15]
        if len(open_) == 0:
            break
    return t


def _predict_channels(power: Tensor, cross: Tensor, weight_decay: float, depth: int) -> Tensor:
    """Root r of sum_i |c_i|² / (σ_i + κ r^(2/L-2))² = r² in the eigenbasis of Σ, L <= 2."""
    if depth > 2 and weight_decay > 0:
        raise ValueError(
            f"depth must be 1 or 2 for several channels, got {depth}: from depth 3 on there are "
            "several upper branches, as many as channels, and no safe way to tell them apart"
        )
    kappa = scaled_decay(weight_decay, depth, cross.shape[:2].numel())
    sigma, basis = torch.linalg.eigh(power)  # (H, W, C), (H, W, C, C)
    if sigma.min() < -ROUNDING * sigma.max():
        raise ValueError(f"power must be positive semidefinite, got eigenvalue {sigma.min()}")
    parts = (basis.mH @ cross.to(basis.dtype)[..., None])[..., 0].abs()  # (H, W, C)
    alive = sigma > sigma.shape[-1] * torch.finfo(sigma.dtype).eps * sigma[..., -1:].clamp(min=0)
    sigma, parts = sigma.where(alive, 1.0), parts.where(alive, 0.0)
    if depth == 1 or kappa == 0:
        return (parts / (sigma + kappa)).norm(dim=-1)
    return _newton_from_below(sigma, parts, kappa)


def _newton_from_below(sigma: Tensor, parts: Tensor, kappa: float) -> Tensor:
    """Root of g(r) = 1, g = (sum_i c_i² / (σ_i r + κ)²)^(-1/2), or 0 where g(0) = κ/|c| >= 1.

    g is a power mean of increasing affine functions: concave and increasing, so Newton's steps from
    r = 0 never pass the root.
    """
    r = torch.zeros_like(parts[..., 0])
    alive = parts.norm(dim=-1) > kappa
    for _ in range(_MAX_NEWTON_STEPS):
        scale = sigma * r[..., None] + kappa
        shares = (parts / scale).square()
        total = shares.sum(-1)
        # g = total^(-1/2), and g' = total^(-3/2) * slope.
        slope = (shares * sigma / scale).sum(-1)
        step = torch.where(alive, (total.sqrt() - 1) * total / slope, 0.0).clamp(min=0)
        r = r + step
        if (step <= 1e-15 * r).all():
            break
    return r
