"""The exact control in full: the minimum, and what small kernels cannot do."""

import itertools
import math

import pytest
import torch
from draws import noise
from torch.nn import functional

from freqsense import filters, fourier, layers, models, theory, training

SHAPE, CUTOFF = (8, 9), 2.5
EMPTY = ~fourier.radial_mask(SHAPE, CUTOFF, math.inf)


def data(n=24, channels=2, n_classes=3, seed=0):
    x = filters.high_pass(noise(n, channels, *SHAPE, seed=seed), CUTOFF)
    return x, torch.arange(n) % n_classes


def test_a_minimum_is_silent():
    x, y = data()
    model = models.build("linear_cnn-2", width=3, shape=(2, *SHAPE), n_outputs=3, seed=0).double()
    fit = training.minimize(
        model, lambda m: functional.cross_entropy(m(x), y), weight_decay=0.3, tolerance=1e-8
    )
    T = layers.transfer_function(model.convolutions[0], SHAPE).detach().abs()
    assert fit.converged
    assert T[EMPTY].max() < 1e-8 < 1e-2 < T[~EMPTY].max()


@pytest.mark.parametrize("sides", [(3, 3), (5, 5), (3, 5), (4, 2)])
def test_prop_small_kernel_not_silent(sides):
    # As many random zeros in a row as a kernel can have, and one more forces it to vanish.
    shape, (ky, kx) = (12, 10), sides
    waves = torch.stack(
        [
            layers.transfer_function(one_tap(sides, i, j), shape).detach()[..., 0, 0]
            for i, j in itertools.product(range(ky), range(kx))
        ],
        -1,
    )  # (H, W, taps)
    for row in range(shape[0]):
        assert torch.linalg.matrix_rank(waves[row, : kx - 1]) == kx - 1
        assert torch.linalg.matrix_rank(waves[row]) == kx  # kx zeros, and the row vanishes
        assert torch.linalg.matrix_rank(waves[row, [0, *range(3, kx + 2)]]) == kx
    block = waves[[0, *range(2, ky + 1)]][:, [1, *range(3, kx + 2)]]  # any ky rows, kx columns
    assert torch.linalg.matrix_rank(block.flatten(0, 1)) == ky * kx
    fewer = waves[:, : kx - 1]  # all rows, too few columns: some kernel vanishes there
    assert torch.linalg.matrix_rank(fewer.flatten(0, 1)) < ky * kx


@pytest.mark.parametrize(("radius", "m"), [(4, 2), (8, 5)])
def test_prop_small_kernel_not_silent_below_the_cut_offs_of_the_page(radius, m):
    shape = (32, 32)
    assert math.sqrt(2) * m < radius <= math.sqrt(2) * (m + 1)
    ky, kx = fourier.frequencies(shape)
    square = (ky.abs() <= m) & (kx.abs() <= m)
    assert not (square & fourier.radial_mask(shape, radius, math.inf)).any()
    assert square.sum() == (2 * m + 1) ** 2


def one_tap(sides, i, j):
    layer = layers.CircularConv2d(1, 1, sides, bias=False).double()
    layer.weight.data = torch.zeros(1, 1, *sides, dtype=torch.float64)
    layer.weight.data[0, 0, i, j] = 1
    return layer


def test_a_linear_network_of_small_kernels_is_silenced_by_its_head():
    x, y = data()
    layer = layers.CircularConv2d(2, 3, 3, bias=False)
    model = models.LinearCNN([layer], 0.3 * noise(3, 3, *SHAPE)).double()
    functional.cross_entropy(model(x), y).backward()
    pull = fourier.fft2(model.head.grad).abs()
    assert pull[..., EMPTY].max() < 1e-12 * pull.max()
    assert layers.transfer_function(layer, SHAPE)[EMPTY].abs().max() > 0.01
    assert theory.end_to_end(model)[EMPTY].abs().max() > 0.01  # before decay has done its work


def test_the_kernel_of_the_exercise_vanishes_at_two_frequencies_of_a_row():
    layer = layers.CircularConv2d(1, 1, 3, bias=False).double()
    layer.weight.data = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    layer.weight.data[0, 0, 1] = torch.tensor([1.0, 0, -1], dtype=torch.float64)
    row = layers.transfer_function(layer, (32, 32)).detach().abs()[0, :, 0, 0]
    assert torch.nonzero(row < 1e-12).flatten().tolist() == [0, 16]
