"""Statements of the page on the sensitivity theorem that the tests of theory do not check."""

import math

import pytest
import torch
from draws import moments, noise
from formulas import scalar_objective
from hypothesis import given
from hypothesis import strategies as st
from tolerances import ATOL

from freqsense import fourier, theory

TIGHT = ATOL[torch.float64]
SHAPES = [(6, 6), (5, 5), (4, 7)]
positive = st.floats(0.05, 20)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_thm_scalar_problem(shape, depth):
    power, cross = moments(shape)
    weight_decay, n_pixels = 3.0, math.prod(shape)
    kappa = weight_decay * n_pixels ** (1 / depth - 1)
    loss = theory.population_loss(power, cross)

    def objective(B):
        return loss(B) + weight_decay / 2 * theory.representation_cost(B, depth)

    r = theory.predict_sensitivity(power, cross, weight_decay=weight_decay, depth=depth)
    best = (r * cross / cross.abs())[..., None, None]  # the phase of c
    assert torch.allclose(
        best.flip(0, 1).roll((1, 1), (0, 1)).conj(), best, atol=TIGHT
    )  # real weights
    split = scalar_objective(r, power, cross.abs(), kappa, depth).sum()
    assert abs(objective(best) - split) < TIGHT * max(1, abs(split))
    # The objective is finite at 0, and no other Hermitian map is better.
    for seed in range(20):
        size = 10.0 ** -(seed % 4)
        other = best + size * fourier.fft2(noise(*shape, seed=seed + 1))[..., None, None]
        assert objective(other) > objective(best)
        # For its sizes, the phase of c is the best one.
        aligned = other.abs() * (cross / cross.abs())[..., None, None]
        assert objective(aligned) < objective(other)


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_several_outputs_act_through_the_length_of_their_column(n_outputs):
    x = noise(6, 1, 5, 4)
    moves = [(a, b) for a in range(5) for b in range(4)]
    x = torch.cat([x.roll(move, (-2, -1)) for move in moves])  # exactly stationary
    y = x.flatten(1) @ noise(20, n_outputs, seed=1) / 4
    power = theory.second_moments(x, y[:, 0])[0]
    cross = torch.stack([theory.second_moments(x, y[:, k])[1] for k in range(n_outputs)])
    gamma = cross.abs().square().sum(0).sqrt()
    for depth, weight_decay in ((1, 0.5), (2, 3.0)):
        solution = theory.solve(x, y, weight_decay=weight_decay, depth=depth, tolerance=1e-13)
        expected = theory.predict_sensitivity(power, gamma, weight_decay=weight_decay, depth=depth)
        measured = torch.linalg.vector_norm(solution.B, dim=(-2, -1))
        assert (measured - expected).norm() < 1e-5 * expected.norm()
        assert depth == 1 or 0 < (expected == 0).sum() < 20


@given(st.floats(0.5, 5), positive, positive, st.sampled_from([1, 2]))
def test_recoloured_images_with_fixed_labels_need_not_follow_power(s0, gamma0, decay, depth):
    peak = (decay / s0) ** 0.5 if depth == 1 else 2 * decay / gamma0
    g = peak * torch.tensor([0.8, 1.0, 1.25], dtype=torch.float64)[:, None, None]
    low, top, high = theory.predict_sensitivity(
        g**2 * s0, g * gamma0, weight_decay=decay, depth=depth
    ).flatten()
    assert top > low and top > high
    teacher = gamma0 / s0 / g.flatten()
    assert (torch.stack([low, top, high]) / teacher).diff().min() > 0


def test_noise_in_the_images_is_decay_at_depth_one_and_no_threshold_at_depth_two():
    power, cross = moments((5, 6))
    noisy = power + 9.0
    one = theory.predict_sensitivity(noisy, cross, weight_decay=0.5, depth=1)
    decayed = theory.predict_sensitivity(power, cross, weight_decay=9.5, depth=1)
    assert torch.allclose(one, decayed, atol=TIGHT)
    for depth, same in ((2, True), (3, False)):
        clean, shaken = (
            theory.predict_sensitivity(p, cross, weight_decay=2.0, depth=depth) > 0
            for p in (power, noisy)
        )
        assert 0 < clean.sum() < 30
        assert torch.equal(clean, shaken) is same


def test_the_exercise_by_hand():
    def r(s, weight_decay, depth):
        grid = torch.full((4, 4), float(s), dtype=torch.float64)
        return theory.predict_sensitivity(grid, grid / 2, weight_decay=weight_decay, depth=depth)[
            0, 0
        ].item()

    found = [r(s, 1.0, depth) for depth in (1, 2) for s in (4, 1)]
    assert found == pytest.approx([0.4, 0.25, 0.4375, 0.25])
    for s, weight_decay in ((4, 8.0), (1, 2.0)):
        edge = theory.threshold(0.5, weight_decay=weight_decay, depth=2, n_pixels=16)
        assert abs(edge - s) < TIGHT
