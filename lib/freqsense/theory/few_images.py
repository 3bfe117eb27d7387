"""Depth 1 and few images: what ridge regression learns from a sample, on average over samples."""

import torch
from torch import Tensor

from freqsense._checks import as_integer, as_positive, as_real
from freqsense.theory._inputs import as_moments, check_result

__all__ = ["predict_few_images", "sample_decay"]

_MAX_NEWTON_STEPS = 200


def sample_decay(power: Tensor, *, weight_decay: float, n_images: int) -> float:
    r"""Weight decay as which λ acts on a sample of N images at depth 1: the root λ_N >= λ of

    .. math:: \lambda_N = \lambda + \frac{\lambda_N}{N}
        \sum_\omega \frac{s(\omega)}{s(\omega) + \lambda_N}

    Equation ``eq-sample-decay`` of the book. With many images it is λ, with few about the
    variance of an image divided by N.

    Parameters
    ----------
    power : s(ω) = E|x̂|², (H, W), of stationary Gaussian images.
    weight_decay : λ > 0.
    n_images : N >= 1.

    Returns
    -------
    float.

    Raises
    ------
    TypeError, ValueError
        If power is no grid, negative or not finite, or an argument is out of range.

    Source
    ------
    arXiv 2303.01372.

    Examples
    --------
    >>> import torch
    >>> from freqsense import theory
    >>> for n_images in (10, 100, 1000):
    ...     round(theory.sample_decay(torch.ones(8, 8), weight_decay=0.1, n_images=n_images), 3)
    5.518
    0.212
    0.106
    """
    s, _ = _as_grid(power, power)
    weight_decay = as_positive(weight_decay, "weight_decay")
    n_images = as_integer(n_images, "n_images", 1)
    # d - λ - d/N Σ s / (s + d) is convex in d, and not negative at the start: from there Newton's
    # steps never pass the root.
    decay = weight_decay + float(s.sum()) / n_images
    for _ in range(_MAX_NEWTON_STEPS):
        share = s / (s + decay)
        excess = decay - weight_decay - decay * float(share.sum()) / n_images
        step = excess / (1 - float(share.square().sum()) / n_images)
        decay = max(decay - step, weight_decay)
        if not step > 1e-15 * decay:
            break
    return decay


def predict_few_images(
    power: Tensor,
    cross: Tensor,
    *,
    weight_decay: float,
    n_images: int,
    noise: float = 0.0,
) -> Tensor:
    r"""Root mean square sensitivity, over samples of N images, of a linear network of depth 1.

    .. math:: r^2 = \frac{\gamma^2 + s V}{(s + \lambda_N)^2}, \qquad
        V = \frac{\sigma^2 + \lambda_N^2 \sum_\omega \gamma^2 / (s\,(s + \lambda_N)^2)}
        {N - \sum_\omega s^2 / (s + \lambda_N)^2}

    Equation ``eq-few-images-ridge`` of the book, with λ_N of :func:`sample_decay`, for Gaussian
    images: a deterministic equivalent, exact in the limit of many images and pixels.

    Parameters
    ----------
    power : s(ω) = E|x̂|², (H, W).
    cross : c(ω) = E[conj(x̂) y], (H, W), of which γ = \|c\| alone matters; ignored where s = 0.
    weight_decay : λ > 0.
    n_images : N >= 1.
    noise : σ², the variance of what the best linear predictor leaves of y.

    Returns
    -------
    float64 tensor (H, W).

    Raises
    ------
    TypeError, ValueError
        If the shapes do not match or are no grids, power is negative, anything is not finite, or an
        argument is out of range.

    Source
    ------
    arXiv 2303.01372.

    Examples
    --------
    >>> import torch
    >>> from freqsense import theory
    >>> power = torch.tensor([[8.0, 2.0], [0.5, 2.0]])
    >>> r = theory.predict_few_images(power, power, weight_decay=2.0, n_images=10**9)
    >>> torch.allclose(r, theory.predict_sensitivity(power, power, weight_decay=2.0, depth=1))
    True
    """
    s, c = _as_grid(power, cross)
    noise = as_real(noise, "noise", 0)
    decay = sample_decay(s, weight_decay=weight_decay, n_images=n_images)
    squares = torch.where(s > 0, c.abs().square(), 0.0)
    missed = decay**2 * float((squares / (s.where(s > 0, 1.0) * (s + decay) ** 2)).sum())
    freedom = n_images - float((s / (s + decay)).square().sum())  # positive, as λ > 0
    r = (squares + s * (noise + missed) / freedom).sqrt() / (s + decay)
    check_result(r, "the sensitivity")
    return r


def _as_grid(power: object, cross: object) -> tuple[Tensor, Tensor]:
    s, c = as_moments(power, cross)
    if s.ndim != 2:
        raise ValueError(f"power must have shape (H, W), got {tuple(s.shape)}")
    return s, c
