"""Frequencies of photographs judged one at a time."""

import pytest
import torch
from draws import fields
from trained import patches

from freqsense import fourier, theory

PAIRS = [("astronaut", "motorcycle"), ("coffee", "rocket"), ("chelsea", "retina")]


def dependence(x):
    z = fourier.fft2(x[:, 0]).flatten(1)
    sigma = z.mH @ z / len(z)
    return 1 - 1 / (torch.linalg.inv(sigma).diagonal() * sigma.diagonal()).real


def test_dependence_is_the_share_of_power_that_the_other_frequencies_predict():
    x, _ = patches(PAIRS[0], 1600)
    z = fourier.fft2(x[:, 0]).flatten(1)
    for k in (0, 5, 36):
        others = torch.cat([z[:, :k], z[:, k + 1 :]], 1)
        fit = others @ torch.linalg.lstsq(others, z[:, k : k + 1]).solution
        share = 1 - (z[:, k : k + 1] - fit).abs().square().sum() / z[:, k].abs().square().sum()
        assert abs(dependence(x)[k] - share) < 1e-8


@pytest.mark.parametrize("names", PAIRS)
def test_photographs_depend_and_gaussian_fields_do_not(names):
    x, y = patches(names, 3200)
    power, _ = theory.second_moments(x, y)
    assert dependence(x).median() > 0.15
    assert dependence(fields(power[None], len(x))).max() < 3 * 64 / len(x)
