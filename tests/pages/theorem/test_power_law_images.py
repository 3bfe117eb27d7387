"""Statements of the page on images with a power law."""

import math

import torch
from formulas import relative
from hypothesis import given
from hypothesis import strategies as st
from tolerances import ATOL

from freqsense import theory

TIGHT = ATOL[torch.float64]
positive = st.floats(0.05, 20)


@given(st.floats(0.2, 3), positive, st.integers(1, 6))
def test_thm_sensitivity_slope(alpha, weight_decay, depth):
    radius = torch.logspace(-1, 1, 41, dtype=torch.float64)
    step = 1e-5
    t, below, above = (
        relative((radius * math.exp(shift)) ** -alpha, weight_decay, depth)
        for shift in (0, -step, step)
    )
    smooth = (t > 0.02) & (above > 0.02) & (below > 0.02)
    seen = ((above.log() - below.log()) / (2 * step))[smooth]
    t = t[smooth]
    law = -alpha * depth * (1 - t) / (2 * (depth - 1) * t - (depth - 2))
    assert torch.allclose(seen, law, rtol=1e-4, atol=1e-5)
    if depth > 2:
        assert (law >= -alpha * depth / ((depth - 1) * (depth - 2)) - TIGHT).all()


@given(st.floats(0.1, 5), positive, st.integers(2, 6), positive)
def test_saturation_is_within_a_factor_of_the_corner_power(target, weight_decay, depth, ratio):
    corner = weight_decay * target ** (2 / depth - 2)
    edge = theory.threshold(target, weight_decay=weight_decay, depth=depth, n_pixels=1)
    s = edge * (1 + ratio)
    grid = torch.tensor([[[s]]], dtype=torch.float64)
    r = theory.predict_sensitivity(grid, grid * target, weight_decay=weight_decay, depth=depth)
    missing = (1 - r.item() / target) * s / corner
    top = 1 if depth == 2 else ((depth - 1) / (depth - 2)) ** (1 - 2 / depth)
    assert 1 - 1e-7 <= missing <= top + 1e-7
    assert top <= 2 ** (1 / 3) + TIGHT
