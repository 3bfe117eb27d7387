"""Statements of the page "Estimating spectra: error bars that hold"."""

import math

import numpy as np
import pytest
import torch
from draws import relative_power
from tolerances import SIGMAS

from freqsense import fourier

N_FIELDS = 4000


@pytest.mark.parametrize("shape", [(8, 8), (9, 9), (8, 12), (32, 32)])
def test_thm_periodogram(shape):
    relative = relative_power(shape, 2.0, N_FIELDS)
    ring = fourier.rings(shape)
    mirror = ring.mirror.reshape(shape)
    own = mirror == torch.arange(math.prod(shape)).reshape(shape)  # ω = -ω
    pairs = relative[:, ring.half.reshape(shape) & ~own]  # (N, pairs)
    # Moments of an exponential variable of mean 1: 1, 2, 6; of the square of a Gaussian: 1, 3.
    for order, moment, fourth in [(1, 1, 2), (2, 2, 24)]:
        error = math.sqrt((fourth - moment**2) / pairs.numel())
        assert abs(float((pairs**order).mean()) - moment) < SIGMAS * error
    assert abs(float((pairs > 1).double().mean()) - math.exp(-1)) < SIGMAS / math.sqrt(
        pairs.numel()
    )
    own[0, 0] = False
    if own.any():
        square = relative[:, own].square()
        assert abs(float(square.mean()) - 3) < SIGMAS * math.sqrt(96 / square.numel())


@pytest.mark.parametrize("m", [4, 25])
def test_mean_of_periodograms_settles(m):
    one = relative_power((16, 16), 1.0, N_FIELDS)[:, 1, 2]
    means = one.unflatten(0, (-1, m)).mean(1)
    spread = float(means.std()) * math.sqrt(m)
    assert abs(spread - 1) < SIGMAS * math.sqrt((2 + 6 / m) / 4 / len(means))


@pytest.mark.parametrize("n", [1, 2, 4, 50])
def test_logarithm_of_a_mean_is_biased(n):
    generator = np.random.default_rng(0)
    logs = np.log(generator.exponential(size=(100_000, n)).mean(1))
    bias = float(torch.special.digamma(torch.tensor(float(n), dtype=torch.float64))) - math.log(n)
    assert abs(logs.mean() - bias) < SIGMAS * logs.std() / math.sqrt(len(logs))
    assert abs(bias + 1 / (2 * n)) < 1 / (12 * n**2) + 1e-3
    assert logs.mean() < -SIGMAS * logs.std() / math.sqrt(len(logs))  # not zero
