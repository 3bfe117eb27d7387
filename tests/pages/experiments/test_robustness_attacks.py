"""Attacks draw the sensitivity: the spectrum of what is added, and the corner of the cube."""

import pytest
import torch
from draws import noise
from networks import linear_net
from tolerances import ATOL

from freqsense import robustness

TIGHT = ATOL[torch.float64]


def test_eq_perturbation_spectrum():
    x, moved = noise(4, 2, 5, 6), noise(4, 2, 5, 6, seed=1)
    found = robustness.perturbation_spectrum(x, moved).values
    by_hand = torch.fft.fft2(moved - x, norm="ortho").abs().square().mean(0)
    assert torch.allclose(found, by_hand, atol=TIGHT)


def test_the_corner_of_the_cube_is_as_long_as_the_sphere():
    x, model = noise(4, 3, 8, 8), linear_net(2, (3, 8, 8))
    radius = 1 / x[0].numel() ** 0.5
    moved = robustness.pgd(
        model, x, noise(4, seed=1).sign(), radius=radius, norm="linf", random_start=False
    )
    lengths = (moved - x).flatten(1).norm(dim=1)
    assert lengths.tolist() == pytest.approx([1.0] * 4, rel=1e-6)
