"""The sensitivity theorem: what weight decay makes of a linear CNN, frequency by frequency."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.interpolate import CubicHermiteSpline
from scipy.special import expit, logit
from torch import Tensor, nn

from freqsense import _solver
from freqsense._checks import as_choice, as_grid, as_images, as_integer, as_real
from freqsense._solver import NotConvergedError as NotConvergedError
from freqsense.fourier import fft2, ifft2, rings
from freqsense.layers import transfer_function

# An eigenvalue or a departure from symmetry below this share of the largest is rounding error.
_ROUNDING = 1e-6

# Newton's method takes at most this many steps; each route below proves that it converges.
_MAX_NEWTON_STEPS = 200

# A frequency with this logit, of its share of the goal, counts as learned: 1e-13 is missing.
_LEARNED = 30.0

# Step of the table of learning times: its cubic interpolation is exact to about eleven digits.
_LOGIT_STEP = 0.01

# Beyond this size, and below its inverse, squares and their products leave the range of float64.
_HUGE = 1e100

# A goal smaller than this share of the start is as good as none.
_NO_GOAL = 1e-20


def end_to_end(model: nn.Module) -> Tensor:
    r"""End-to-end map of a linear CNN: one small matrix per frequency.

    .. math:: B(\omega) = \overline{\hat u(\omega)}\, T_{L-1}(\omega) \cdots T_1(\omega), \qquad
        f(x) = \sum_\omega B(\omega)\, \hat x(\omega)

    Definition ``def-end-to-end`` and theorem ``thm-end-to-end`` of the book. Gradients flow to the
    weights.

    Parameters
    ----------
    model : a linear CNN as made by ``models.linear_cnn``: ``convolutions`` (circular, stride 1, no
        bias), then a linear ``head`` (K, C, H, W) on images of ``shape`` (C, H, W).

    Returns
    -------
    complex tensor (H, W, K, C), in the order of :func:`.fft2`.

    Raises
    ------
    TypeError, ValueError
        If the model is no such linear CNN.

    Source
    ------
    Gunasekar, Lee, Soudry and Srebro (2018), arXiv 1806.00468.

    Examples
    --------
    >>> import torch
    >>> from freqsense import theory
    >>> model = torch.nn.Module()                 # depth 1: no convolution, a linear head alone
    >>> model.convolutions, model.shape = torch.nn.ModuleList(), (3, 8, 8)
    >>> model.head = torch.nn.Parameter(torch.ones(1, 3, 8, 8))
    >>> theory.end_to_end(model)[0, 0].abs().tolist()
    [[8.0, 8.0, 8.0]]
    """
    convolutions, head, shape = _linear_parts(model)
    product = fft2(head).conj().permute(2, 3, 0, 1)  # (H, W, K, C_{L-1})
    for layer in reversed(convolutions):
        product = product @ transfer_function(layer, shape)
    return product


def representation_cost(B: Tensor, depth: int) -> float:
    r"""Smallest sum of squared weights with which a linear CNN can realise an end-to-end map.

    .. math:: R_L(B) = L\, D^{-(L-1)/L} \sum_\omega \|B(\omega)\|_{S_{2/L}}^{2/L}

    Theorem ``thm-representation-cost`` of the book: S_p is the Schatten norm of the singular
    values, the Euclidean norm over channels when there is one output. It holds for full-size
    kernels and hidden widths of at least min(K, C); :func:`realize` attains it.

    Parameters
    ----------
    B : (H, W, K, C), real or complex.
    depth : L, number of layers with weights, the head included.

    Returns
    -------
    float, in squared weights.

    Raises
    ------
    TypeError, ValueError
        If B is not a finite (H, W, K, C) tensor, or the depth is below 1.

    Source
    ------
    Dai, Karzand and Srebro (2021), openreview.net/forum?id=3oQyjABdbC8; arXiv 2210.01257.

    Examples
    --------
    >>> import torch
    >>> from freqsense import theory
    >>> B = torch.ones(4, 4, 1, 1)
    >>> theory.representation_cost(B, 1), theory.representation_cost(B, 2)
    (16.0, 8.0)
    """
    B, depth = _as_map(B), as_integer(depth, "depth", 1)
    n_pixels = B.shape[0] * B.shape[1]
    penalty = _singular_values(B).pow(2 / depth).sum().item()
    return depth * n_pixels ** (1 / depth - 1) * penalty


def realize(B: Tensor, depth: int, *, width: int) -> list[Tensor]:
    r"""Weights of a linear CNN that realise a map at the smallest sum of squares.

    .. math:: B = U S V^*, \qquad T_1 = D^{1/2L} S^{1/L} V^*, \quad T_l = D^{1/2L} S^{1/L},
        \quad \overline{\hat u} = D^{-(L-1)/2L}\, U S^{1/L}

    Equation ``eq-balanced-weights`` of the book: the factors of the singular value decomposition,
    balanced, frequency by frequency, attain theorem ``thm-representation-cost``.

    Parameters
    ----------
    B : (H, W, K, C), Hermitian: B(-ω) is the conjugate of B(ω).
    depth : L >= 1.
    width : channels of all hidden layers, at least min(K, C).

    Returns
    -------
    list of L real float64 tensors: kernels (C_out, C_in, H, W) of full-size circular convolutions,
    first layer first, then the head (K, C_last, H, W).

    Raises
    ------
    TypeError, ValueError
        If B is no finite, Hermitian map, or the width is below min(K, C), where some maps cannot be
        realised at all.

    Examples
    --------
    >>> import torch
    >>> from freqsense import fourier, theory
    >>> B = fourier.fft2(torch.rand(1, 2, 4, 4, dtype=torch.float64)).permute(2, 3, 0, 1)
    >>> weights = theory.realize(B, 3, width=1)
    >>> cost = sum(w.square().sum().item() for w in weights)
    >>> abs(cost - theory.representation_cost(B, 3)) < 1e-12
    True
    """
    B, depth = _as_map(B), as_integer(depth, "depth", 1)
    height, columns, n_outputs, n_channels = B.shape
    rank = min(n_outputs, n_channels)
    if as_integer(width, "width", 1) < rank and depth > 1:
        raise ValueError(
            f"width must be at least min(K, C) = {rank}, got {width}: the theorem needs hidden "
            "layers wide enough for every map"
        )
    sizes = [n_channels, *[width] * (depth - 1), n_outputs]
    scale = (height * columns) ** ((1 / depth - 1) / 2)
    weights = []
    for layer, factor in enumerate(_balanced_factors(B, depth)):
        padded = B.new_zeros(height, columns, sizes[layer + 1], sizes[layer])
        padded[..., : factor.shape[-2], : factor.shape[-1]] = scale * factor.conj()
        weights.append(ifft2(padded.permute(2, 3, 0, 1)).real)
    ahead = ((height - 1) // 2, (columns - 1) // 2)  # the tap of a convolution that hits p itself
    return [*(w.roll(ahead, (-2, -1)) for w in weights[:-1]), weights[-1]]


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
        If the shapes do not match, power is negative, anything is not finite, or an argument is out
        of range.

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
    weight_decay, depth = as_real(weight_decay, "weight_decay", 0), as_integer(depth, "depth", 1)
    as_choice(branch, "branch", ("global", "upper"))
    power, cross = _as_moments(power, cross)
    if power.ndim > cross.ndim:
        return _predict_channels(power, cross, weight_decay, depth)
    kappa = _kappa(weight_decay, depth, cross.shape[-2:].numel())
    alive = power > 0
    s, gamma = power[alive], cross[alive].abs()
    if depth == 1:
        r = gamma / (s + kappa)
    elif depth == 2 or kappa == 0:
        r = (gamma - kappa).clamp(min=0) / s
    else:
        r = _upper_root(s, gamma, kappa, depth, branch)
    return torch.zeros_like(power).masked_scatter_(alive, r)


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
        If power is not positive or an argument is out of range.

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
    s = _as_positive(power, "power")
    kappa, depth = _as_kappa(weight_decay, depth, n_pixels)
    if depth <= 2:
        zero = torch.zeros_like(s)
        gamma = torch.full_like(s, kappa if depth == 2 else 0.0)
        return Branches(zero, gamma, zero, gamma)
    exponent = depth / (2 * (depth - 1))
    r_local = (kappa * (1 - 2 / depth) / s) ** exponent
    r_global = (kappa * (depth - 2) / s) ** exponent
    # With these r, κ r^(2/L-1) is s r / (1 - 2/L) and s r / (L - 2).
    gamma_local = s * r_local * (2 * depth - 2) / (depth - 2)
    return Branches(r_local, gamma_local, r_global, s * r_global * (depth - 1) / (depth - 2))


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
        If the target is not positive or an argument is out of range.

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
    b = _as_positive(target, "target")
    kappa, depth = _as_kappa(weight_decay, depth, n_pixels)
    if depth == 1:
        s = torch.zeros_like(b)
    elif depth == 2:
        s = kappa / b
    else:
        s = kappa * (depth - 2) * ((depth - 1) / ((depth - 2) * b)) ** (2 * (depth - 1) / depth)
    return s if isinstance(target, Tensor) else s.item()


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
    b, depth = _as_positive(target, "target"), as_integer(depth, "depth", 1)
    r = b * (max(depth - 2, 0) / max(depth - 1, 1))
    return r if isinstance(target, Tensor) else r.item()


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
    weight_decay, depth = as_real(weight_decay, "weight_decay", 0), as_integer(depth, "depth", 1)
    as_choice(loss, "loss", ("squared", "logistic"))
    tolerance = as_real(tolerance, "tolerance", 0)
    max_iterations = as_integer(max_iterations, "max_iterations", 1)
    if depth > 2:
        raise ValueError(
            f"depth must be 1 or 2, got {depth}: from depth 3 on the penalty is not convex, and no "
            "certificate tells a local minimum from the global one; see predict_sensitivity"
        )
    images, targets = _as_data(images, targets)
    if loss == "logistic":
        _check_logistic(targets, weight_decay)
    shape = tuple(images.shape[-2:])
    basis = _half_basis(shape)
    x = basis.features(fft2(images).flatten(2).cpu().numpy())  # (N, M)
    y = targets.cpu().numpy()  # (N, K)
    if loss == "squared" and (depth == 1 or weight_decay == 0):
        b, *figures = *_solver.solve_ridge(x, y, weight_decay), 0
    else:
        kappa = _kappa(weight_decay, depth, images.shape[-2:].numel())
        b, *figures = _solver.minimize(
            _solver.make_loss(x, y, loss),
            _solver.Ridge(kappa) if depth == 1 else _solver.NuclearNorm(kappa, basis.scale),
            np.zeros((x.shape[1], y.shape[1])),
            tolerance,
            max_iterations,
        )
    B = torch.from_numpy(basis.assemble(b, images.shape[-2:].numel())).unflatten(0, shape)
    return Solution(B.to(images.device), *figures)


@dataclass(frozen=True)
class QuadraticLoss:
    r"""Squared loss of an end-to-end map, from second moments: exact for any number of images.

    .. math:: \tfrac12 E \|y - \textstyle\sum_\omega B(\omega) \hat x(\omega)\|^2

    Equation ``eq-quadratic-loss`` of the book. Call it on B (H, W, K, C): a scalar tensor, through
    which gradients flow.

    second : (CHW, CHW) second moments of the pixels, or (H, W, C, C) of the frequencies where these
        are uncorrelated
    cross : (K, CHW) or (H, W, K, C) moments of targets and the same features
    constant : E\|y\|²
    shape : (H, W, K, C) of the maps that it takes
    """

    second: Tensor
    cross: Tensor
    constant: float
    shape: tuple[int, int, int, int]

    def __call__(self, B: Tensor) -> Tensor:
        """Loss at B (H, W, K, C), complex128."""
        if not isinstance(B, Tensor) or tuple(B.shape) != self.shape or B.dtype != torch.complex128:
            got = f"{B.dtype} {tuple(B.shape)}" if isinstance(B, Tensor) else type(B).__name__
            raise ValueError(f"B must be complex128 (float64 weights) {self.shape}, got {got}")
        b = B if self.cross.is_complex() else _pixel_weights(B)
        pull = b @ self.second.mT
        return self.constant / 2 + (b.conj() * (pull / 2 - self.cross)).real.sum()


def quadratic_loss(images: Tensor, targets: Tensor) -> QuadraticLoss:
    r"""Mean squared loss over a set of images, as a function of the end-to-end map.

    .. math:: \ell(B) = \frac1{2N} \sum_n \|y_n - f_B(x_n)\|^2
        = \tfrac12 E\|y\|^2 - \langle c, b \rangle + \tfrac12 \langle b, G b \rangle

    Equation ``eq-quadratic-loss`` of the book, with the Gram matrix G = XᵀX/N of the pixels: the
    same objective as in a pass over the images, at a cost that does not grow with their number.

    Parameters
    ----------
    images : (N, C, H, W), float32 or float64.
    targets : (N,) or (N, K), real.

    Returns
    -------
    QuadraticLoss, in float64.

    Raises
    ------
    TypeError, ValueError
        If the images are no real, finite stack, or there is not one finite target for each.

    Examples
    --------
    >>> import torch
    >>> from freqsense import theory
    >>> loss = theory.quadratic_loss(torch.ones(5, 1, 2, 2), torch.ones(5))
    >>> float(loss(torch.zeros(2, 2, 1, 1, dtype=torch.complex128)))     # f = 0, y = 1
    0.5
    """
    images, targets = _as_data(images, targets)
    x = images.flatten(1)  # (N, CHW)
    constant = targets.square().sum().item() / len(x)
    shape = (*images.shape[2:], targets.shape[1], images.shape[1])
    return QuadraticLoss(x.T @ x / len(x), targets.T @ x / len(x), constant, shape)


def population_loss(power: Tensor, cross: Tensor) -> QuadraticLoss:
    r"""Squared loss on stationary images of known moments, up to the constant E|y|²/2.

    .. math:: \ell(B) = \sum_\omega \tfrac12\, b^* \Sigma\, b - \mathrm{Re}(c^* b),
        \qquad b = B(\omega)^\top

    Equation ``eq-population-loss`` of the book. The teacher b* has cross = Σ b*.

    Parameters
    ----------
    power, cross : as for :func:`predict_sensitivity`, one grid (H, W); cross complex or real, with
        c(-ω) the conjugate of c(ω).

    Returns
    -------
    QuadraticLoss, in float64, for maps B (H, W, 1, C).

    Raises
    ------
    TypeError, ValueError
        As for :func:`predict_sensitivity`.

    Examples
    --------
    >>> import torch
    >>> from freqsense import theory
    >>> loss = theory.population_loss(torch.full((2, 2), 3.0), torch.full((2, 2), 3.0))
    >>> float(loss(torch.ones(2, 2, 1, 1, dtype=torch.complex128)))      # the teacher itself
    -6.0
    """
    power, cross = _as_moments(power, cross)
    if power.ndim == 2:
        power, cross = power[..., None, None], cross[..., None]
    if power.ndim != 4 or cross.ndim != 3:
        raise ValueError(f"power and cross must lie on one grid (H, W), got {tuple(power.shape)}")
    power, cross = power.to(torch.complex128), cross[..., None, :].to(torch.complex128)
    return QuadraticLoss(power, cross, 0.0, tuple(cross.shape))


def second_moments(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    r"""Moments that the stationary prediction needs: power, and correlation with the targets.

    .. math:: \Sigma_{ij}(\omega) = E[\overline{\hat x_i(\omega)}\, \hat x_j(\omega)], \qquad
        c_i(\omega) = E[\overline{\hat x_i(\omega)}\, y]

    Definition ``def-cross-spectrum`` of the book. Means are not removed.

    Parameters
    ----------
    images : (N, C, H, W), float32 or float64.
    targets : (N,), real.

    Returns
    -------
    (power, cross) : (H, W) float64 and complex128 for one channel, else (H, W, C, C) and (H, W, C)
        complex128: what :func:`predict_sensitivity` and :func:`population_loss` take.

    Raises
    ------
    TypeError, ValueError
        As for :func:`quadratic_loss`, or if there are several targets per image.

    Examples
    --------
    >>> import torch
    >>> from freqsense import theory
    >>> power, cross = theory.second_moments(torch.ones(3, 1, 2, 2), torch.ones(3))
    >>> power.tolist(), cross[0, 0].item()
    ([[4.0, 0.0], [0.0, 0.0]], (2+0j))
    """
    images, targets = _as_data(images, targets)
    if targets.shape[1] != 1:
        raise ValueError(f"targets must be one number per image, got {tuple(targets.shape)}")
    features = fft2(images).permute(2, 3, 0, 1)  # (H, W, N, C)
    power = features.mH @ features / len(images)  # (H, W, C, C)
    cross = (features.mH @ targets.to(features.dtype))[..., 0] / len(images)  # (H, W, C)
    return (power[..., 0, 0].real, cross[..., 0]) if images.shape[1] == 1 else (power, cross)


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
    times : (T,), at least 0.
    start : r_0, 0 or 1e-100 to 1e100, a number or (H, W); from 0 nothing is learned for L >= 2.

    Returns
    -------
    float64 tensor (T, H, W).

    Raises
    ------
    TypeError, ValueError
        If the shapes do not match, or an argument is negative or not finite.

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
    depth = as_integer(depth, "depth", 1)
    power, cross = _as_moments(power, cross)
    if power.ndim != 2:
        raise ValueError(f"power must have shape (H, W), got {tuple(power.shape)}")
    times = _as_times(times)[:, None]  # (T, 1)
    s = power.flatten().cpu()
    gamma = cross.abs().flatten().cpu().where(s > 0, 0.0)
    r0 = _as_start(start, power.shape)
    rate = depth * len(s) ** (1 - 1 / depth)
    r = _flow(s, gamma, r0, rate * times, depth)  # (T, D)
    return r.unflatten(1, power.shape).to(power.device)


def _linear_parts(model: nn.Module) -> tuple[list[nn.Module], Tensor, tuple[int, int]]:
    """Convolutions, head and image size (H, W) of a linear CNN, or say why it is none."""
    layers, head, shape = (getattr(model, n, None) for n in ("convolutions", "head", "shape"))
    if not isinstance(layers, nn.ModuleList) or not isinstance(head, Tensor) or shape is None:
        raise TypeError(
            "model must be a linear CNN with convolutions, head and shape, as made by "
            f"models.linear_cnn, got {type(model).__name__}"
        )
    others = {type(m).__name__ for m in model.modules() if m not in {model, layers, *layers}}
    if others:
        raise ValueError(f"model must be convolutions and a linear head, got also {others}")
    biased = [i for i, layer in enumerate(layers) if getattr(layer, "bias", None) is not None]
    if biased:
        raise ValueError(f"the convolutions of a linear CNN must have no bias, got one in {biased}")
    last = layers[-1].out_channels if layers else shape[0]
    if head.ndim != 4 or tuple(head.shape[1:]) != (last, *shape[1:]):
        expected = ("K", last, *shape[1:])
        raise ValueError(f"head must have shape {expected}, got {tuple(head.shape)}")
    return list(layers), head, tuple(shape[1:])


def _as_map(B: object) -> Tensor:
    """Return a finite end-to-end map (H, W, K, C) in complex128."""
    B = as_grid(B, "B").detach()
    if B.ndim != 4:
        raise ValueError(f"B must have shape (H, W, K, C), got {tuple(B.shape)}")
    if not torch.isfinite(B).all():
        raise ValueError("B must be finite, got NaN or infinite entries")
    return B.to(torch.complex128)


def _singular_values(B: Tensor) -> Tensor:
    """Singular values of matrices (..., K, C); of a row or a column its Euclidean norm."""
    if min(B.shape[-2:]) == 1:
        return torch.linalg.vector_norm(B, dim=(-2, -1))[..., None]
    return torch.linalg.svdvals(B)


def _balanced_factors(B: Tensor, depth: int) -> list[Tensor]:
    """Factors S^(1/L) V*, S^(1/L), ..., U S^(1/L) of B, conjugate at -ω: B = last ... first."""
    if depth == 1:
        return [B]
    ring = rings(tuple(B.shape[:2]))
    flat = B.flatten(0, 1)  # (D, K, C)
    if (flat - flat[ring.mirror].conj()).abs().max() > _ROUNDING * flat.abs().max():
        raise ValueError(
            "B must be Hermitian, B(-ω) the conjugate of B(ω): real weights have no other"
        )
    u, sigma, vh = torch.linalg.svd(flat, full_matrices=False)
    own = ring.mirror == torch.arange(len(flat))  # real matrices, to be factored as such
    real_u, _, real_vh = torch.linalg.svd(flat[own].real, full_matrices=False)
    u[own], vh[own] = real_u.to(u.dtype), real_vh.to(vh.dtype)
    other = ~ring.half
    u[other], vh[other] = u[ring.mirror[other]].conj(), vh[ring.mirror[other]].conj()
    shared = sigma.pow(1 / depth).to(B.dtype).diag_embed()  # (D, rank, rank)
    factors = [shared @ vh, *[shared] * (depth - 2), u @ shared]
    return [factor.unflatten(0, B.shape[:2]) for factor in factors]


def _pixel_weights(B: Tensor) -> Tensor:
    """Weights on the pixels (K, CHW) of an end-to-end map (H, W, K, C)."""
    return fft2(B.permute(2, 3, 0, 1)).real.flatten(1)


def _as_positive(value: object, name: str) -> Tensor:
    """Positive finite numbers in float64, from a number or a tensor."""
    if not isinstance(value, Tensor):
        value = torch.tensor(as_real(value, name), dtype=torch.float64)
    if value.is_complex() or not torch.isfinite(value).all() or not (value > 0).all():
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return value.detach().double()


def _as_kappa(weight_decay: object, depth: object, n_pixels: object) -> tuple[float, int]:
    """Return κ = λ D^(1/L-1) and L, checked."""
    depth, n_pixels = as_integer(depth, "depth", 1), as_integer(n_pixels, "n_pixels", 1)
    return _kappa(as_real(weight_decay, "weight_decay", 0), depth, n_pixels), depth


def _kappa(weight_decay: float, depth: int, n_pixels: int) -> float:
    return weight_decay * n_pixels ** (1 / depth - 1)


def _as_data(images: object, targets: object) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) and targets (N, K) in float64."""
    images = as_images(images).double()
    targets = _as_numbers(targets, "targets")
    if targets.is_complex() or targets.dtype == torch.bool:
        raise TypeError(f"targets must be real numbers, got {targets.dtype}")
    if targets.ndim not in (1, 2) or len(targets) != len(images) or 0 in targets.shape:
        expected = f"({len(images)},) or ({len(images)}, K)"
        raise ValueError(f"targets must have shape {expected}, got {tuple(targets.shape)}")
    if not torch.isfinite(targets).all():
        raise ValueError("targets must be finite, got NaN or infinite entries")
    targets = targets.detach().to(device=images.device, dtype=torch.float64)
    for name, values in (("images", images), ("targets", targets)):
        largest = values.abs().max().item()
        if largest > _HUGE or 0 < largest < 1 / _HUGE:
            raise ValueError(
                f"the largest size in {name} must lie between {1 / _HUGE} and {_HUGE}, or its "
                f"square is out of range, got {largest}: rescale them"
            )
    return images, targets.reshape(len(images), -1)


def _as_numbers(values: object, name: str) -> Tensor:
    """Tensor of a number, a nested list or an array; Python's floats stay float64."""
    try:
        return values if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
    except (TypeError, ValueError, RuntimeError) as error:
        kind = type(values).__name__
        raise TypeError(f"{name} must be an array of numbers, got {kind}: {error}") from error


def _as_moments(power: object, cross: object) -> tuple[Tensor, Tensor]:
    """Power and correlation, checked: (..., H, W) both, or (H, W, C, C) and (H, W, C)."""
    power, cross = as_grid(power, "power"), as_grid(cross, "cross")
    matrices = cross.ndim == 3 and power.shape == (*cross.shape, cross.shape[-1])
    if not matrices and power.shape != cross.shape:
        raise ValueError(
            "power and cross must both have shape (..., H, W), or (H, W, C, C) and (H, W, C), got "
            f"{tuple(power.shape)} and {tuple(cross.shape)}"
        )
    for name, values in (("power", power), ("cross", cross)):
        if not torch.isfinite(values).all():
            raise ValueError(f"{name} must be finite, got NaN or infinite entries")
    if matrices:
        power = power.to(torch.complex128)
        if (power - power.mH).abs().max() > _ROUNDING * power.abs().max():
            raise ValueError("power must hold Hermitian matrices (H, W, C, C)")
    elif power.is_complex():
        raise TypeError("power must be real: it is a mean square")
    elif power.min() < 0:
        raise ValueError(f"power must not be negative, got {power.min().item()}")
    else:
        power = power.double()
    return power, cross.to(torch.complex128 if cross.is_complex() else torch.float64)


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
    kappa = _kappa(weight_decay, depth, cross.shape[:2].numel())
    sigma, basis = torch.linalg.eigh(power)  # (H, W, C), (H, W, C, C)
    if sigma.min() < -_ROUNDING * sigma.max():
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


def _half_basis(shape: tuple[int, int]) -> _solver.Basis:
    ring = rings(shape)
    index = ring.half.nonzero()[:, 0]
    mirror = ring.mirror[index]
    scale = torch.where(index == mirror, 1.0, 2.0).double().sqrt()
    return _solver.Basis(index.numpy(), mirror.numpy(), scale.numpy())


def _check_logistic(targets: Tensor, weight_decay: float) -> None:
    if not (targets.abs() == 1).all():
        wrong = targets[targets.abs() != 1][0].item()
        raise ValueError(f"targets must be -1 or +1 for the logistic loss, got {wrong:g}")
    if weight_decay == 0:
        raise ValueError(
            "weight_decay must be above 0 for the logistic loss, which has no minimiser on "
            "separable data without"
        )


def _as_times(times: object) -> Tensor:
    times = _as_numbers(times, "times")
    if (
        times.is_complex()
        or times.ndim != 1
        or not torch.isfinite(times).all()
        or (times < 0).any()
    ):
        raise ValueError(f"times must be finite real numbers (T,), at least 0, got {times}")
    return times.detach().double().cpu()


def _as_start(start: object, shape: tuple[int, int]) -> Tensor:
    start = _as_numbers(start, "start")
    fits = start.shape in ((), shape) and not start.is_complex()
    if not fits or not ((start == 0) | (start >= 1 / _HUGE) & (start <= _HUGE)).all():
        expected = f"0 or {1 / _HUGE} to {_HUGE}, a number or of shape {tuple(shape)}"
        raise ValueError(f"start must be {expected}, got {start}")
    return start.detach().double().cpu().expand(shape).flatten()


def _flow(s: Tensor, gamma: Tensor, r0: Tensor, t: Tensor, depth: int) -> Tensor:
    """Solve dr/dt = r^(2-2/L) (γ - s r) for t (T, 1) from r0 (D,): (T, D)."""
    if depth <= 2:
        rate = (s if depth == 1 else gamma) * t
        # (1 - exp(-rate)) / rate, which is 1 at rate 0
        mean = torch.where(rate > 0, -torch.expm1(-rate) / rate.clamp(min=1e-300), 1.0)
        if depth == 1:
            return r0 * torch.exp(-rate) + gamma * t * mean
        return r0 / (torch.exp(-rate) + s * r0 * t * mean)
    power = 2 - 2 / depth
    r = r0 * (1 + power * s * t * r0**power) ** (-1 / power)  # with no correlation
    live = (r0 > 0) & (gamma > _NO_GOAL * s * r0)
    goal = gamma[live] / s[live]
    clock = gamma[live] * goal ** (power - 1) * t  # (T, live)
    r[:, live] = goal * _own_time_flow(r0[live] / goal, clock, 2 / depth)
    return r


def _own_time_flow(start: Tensor, clock: Tensor, beta: float) -> Tensor:
    """Solve dw/dτ = w^(2-β) (1 - w), β = 2/L, at τ = clock (T, n) from start (n,): (T, n).

    Every frequency follows this one curve in its own time, u = w from below, u = 1/w from above.
    """
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
