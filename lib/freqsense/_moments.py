"""Moments over images: streaming mean and variance, and correlation with targets."""

import torch
from torch import Tensor


class Moments:
    """Mean and sum of squared deviations of a stream of equal-sized tensors, in float64.

    Batches are merged by the pairwise update of Chan, Golub and LeVeque (1983): no difference of
    two large sums is ever taken, and a last batch of one is nothing special.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros((), dtype=torch.float64)
        self.squares = torch.zeros((), dtype=torch.float64)

    def add(self, batch: Tensor) -> None:
        """Merge a batch (n, ...)."""
        n_new = len(batch)
        mean = batch.mean(0)
        # Two passes are ten times faster here than torch.var_mean, which strides over the batch.
        squares = (batch - mean).square_().sum(0).double()
        mean = mean.double()
        shift = mean - self.mean
        total = self.count + n_new
        self.mean = self.mean + shift * (n_new / total)
        self.squares = self.squares + squares + shift.square() * (self.count * n_new / total)
        self.count = total

    def standard_error(self) -> Tensor:
        """Standard error of the mean, NaN from a single sample."""
        variance = self.squares / (self.count - 1) if self.count > 1 else self.squares * torch.nan
        return (variance / self.count).sqrt()


def correlate(xhat: Tensor, targets: Tensor) -> Tensor:
    """Correlation E[conj(x̂) y], (H, W, C, K), of transforms (N, C, H, W) with targets (N, K)."""
    return xhat.permute(2, 3, 0, 1).mH @ targets.to(xhat.dtype) / len(xhat)
