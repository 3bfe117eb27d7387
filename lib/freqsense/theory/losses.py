"""Losses as functions of the end-to-end map, and the moments of images that they need."""

from dataclasses import dataclass

import torch
from torch import Tensor

from freqsense._checks import sides
from freqsense._moments import correlate
from freqsense.fourier import fft2
from freqsense.theory._inputs import as_data, as_moments, check_hermitian

__all__ = ["QuadraticLoss", "population_loss", "quadratic_loss", "second_moments"]


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
        """Loss at a Hermitian B (H, W, K, C), complex128."""
        if not isinstance(B, Tensor) or tuple(B.shape) != self.shape or B.dtype != torch.complex128:
            got = f"{B.dtype} {tuple(B.shape)}" if isinstance(B, Tensor) else type(B).__name__
            raise ValueError(f"B must be complex128 (float64 weights) {self.shape}, got {got}")
        check_hermitian(B)
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
    images, targets = as_data(images, targets)
    x = images.flatten(1)  # (N, CHW)
    constant = targets.square().sum().item() / len(x)
    height, width = sides(images)
    shape = (height, width, targets.shape[1], images.shape[1])
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
    power, cross = as_moments(power, cross)
    if power.ndim == 2:
        power, cross = power[..., None, None], cross[..., None]
    if power.ndim != 4 or cross.ndim != 3:
        raise ValueError(f"power and cross must lie on one grid (H, W), got {tuple(power.shape)}")
    power, cross = power.to(torch.complex128), cross[..., None, :].to(torch.complex128)
    height, width, _, channels = cross.shape
    return QuadraticLoss(power, cross, 0.0, (height, width, 1, channels))


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
    images, targets = as_data(images, targets)
    if targets.shape[1] != 1:
        raise ValueError(f"targets must be one number per image, got {tuple(targets.shape)}")
    xhat = fft2(images)  # (N, C, H, W)
    features = xhat.permute(2, 3, 0, 1)  # (H, W, N, C)
    power = features.mH @ features / len(images)  # (H, W, C, C)
    cross = correlate(xhat, targets)[..., 0]  # (H, W, C)
    return (power[..., 0, 0].real, cross[..., 0]) if images.shape[1] == 1 else (power, cross)


def _pixel_weights(B: Tensor) -> Tensor:
    """Weights on the pixels (K, CHW) of an end-to-end map (H, W, K, C)."""
    return fft2(B.permute(2, 3, 0, 1)).real.flatten(1)
