"""Moments over images: streaming mean and variance, and correlation with targets."""

import math

import torch
from torch import Tensor

from freqsense._scale import binary_scales


class Moments:
    """Mean and root of the summed squared deviations of a stream of equal-sized tensors, float64.

    Batches are merged by the pairwise update of Chan, Golub and LeVeque (1983): no difference of
    two large sums is ever taken, and a last batch of one is nothing special. No square leaves the
    range of its dtype, however small or large the values are.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros((), dtype=torch.float64)
        self.spread = torch.zeros((), dtype=torch.float64)

    def add(self, batch: Tensor, unit: float = 1.0) -> None:
        """Merge a batch (n, ...), given in multiples of a unit."""
        n_new = len(batch)
        scale = binary_scales(batch, 0)[0]
        scaled = batch / scale
        mean = scaled.mean(0)
        # Two passes are ten times faster here than torch.var_mean, which strides over the batch.
        spread = scaled.sub_(mean).square_().sum(0).double().sqrt() * scale * unit
        mean = mean.double() * scale * unit
        shift = mean - self.mean
        total = self.count + n_new
        self.mean = self.mean + shift * (n_new / total)
        between = shift * math.sqrt(self.count * n_new / total)
        self.spread = torch.hypot(torch.hypot(self.spread, spread), between)
        self.count = total

    def standard_error(self) -> Tensor:
        """Standard error of the mean, NaN from a single sample."""
        if self.count == 1:
            return self.spread * torch.nan
        return self.spread / math.sqrt((self.count - 1) * self.count)


def correlate(xhat: Tensor, targets: Tensor) -> Tensor:
    """Correlation E[conj(x̂) y], (H, W, C, K), of transforms (N, C, H, W) with targets (N, K)."""
    return xhat.permute(2, 3, 0, 1).mH @ targets.to(xhat.dtype) / len(xhat)
