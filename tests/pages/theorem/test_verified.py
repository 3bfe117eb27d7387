"""Trained weights beside the theory, on real images and on stationary ones."""

import math

import pytest
import torch
from draws import all_shifts, fields
from recorded import needs_cifar10
from tolerances import ATOL
from trained import distance, measure, off, patches, real_images, size_of, train

from freqsense import fourier, models, theory, training

TIGHT = ATOL[torch.float64]
SOURCES = ["photographs", pytest.param("CIFAR-10", marks=needs_cifar10)]
PAIRS = [("astronaut", "motorcycle"), ("coffee", "rocket"), ("chelsea", "retina")]
SHAPE, D = (8, 8), 64


def answer(x, b):
    return (b * fourier.fft2(x[:, 0])).real.sum((-2, -1))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("weight_decay", [0.05, 0.2, 0.5])
def test_thm_equivalence(source, depth, weight_decay):
    x, y = real_images(source)
    solution = theory.solve(x, y, weight_decay=weight_decay, depth=depth)
    fit, model = train(theory.quadratic_loss(x, y), depth, weight_decay, (3, 12, 12))
    solved, trained = size_of(solution.B), measure(model)
    assert distance(trained, solved) < (1e-4 if weight_decay >= 0.2 else 1e-3)
    assert fit.objective == pytest.approx(solution.objective, rel=1e-6)
    assert torch.equal(off(trained), off(solved))
    assert off(solved).any() == (depth == 2)


@pytest.mark.parametrize("source", SOURCES)
def test_thm_equivalence_with_the_network_run_on_the_images(source):
    """The same, with no Gram matrix: a forward pass through the layers."""
    x, y = real_images(source)
    x, y = x[:80, :1], y[:80]
    solution = theory.solve(x, y, weight_decay=0.5, depth=2)
    model = models.linear_cnn(2, width=2, shape=(1, 12, 12)).double()
    training.minimize(model, lambda m: (m(x)[:, 0] - y).square().mean() / 2, weight_decay=0.5)
    trained, solved = measure(model), size_of(solution.B)
    assert distance(trained, solved) < 1e-4
    assert torch.equal(off(trained), off(solved))


@pytest.mark.parametrize("source", SOURCES)
def test_real_images_are_not_stationary_enough_for_the_diagonal_prediction(source):
    x, y = real_images(source)
    power, cross = theory.second_moments(x, y)
    r = theory.predict_sensitivity(power, cross, weight_decay=0.2, depth=2)
    solved = size_of(theory.solve(x, y, weight_decay=0.2, depth=2).B)
    assert distance(r, solved) > 0.05


@pytest.mark.parametrize("depth", [1, 2])
def test_trained_weights_land_on_the_program_for_other_photographs_and_starts(depth):
    for seed, names in enumerate(PAIRS):
        x, y = patches(names, seed=seed)
        solution = theory.solve(x, y, weight_decay=0.2, depth=depth, tolerance=1e-12)
        solved = size_of(solution.B)
        fit, model = train(theory.quadratic_loss(x, y), depth, 0.2, (1, *SHAPE), seed=seed + 7)
        assert distance(measure(model), solved) < 1e-4
        assert torch.equal(off(measure(model)), off(solved))
        assert fit.objective - solution.objective < 1e-8 * solution.objective
        # The measured error is no larger than the lemma proves, with room for rounding errors.
        mu = float(torch.linalg.eigvalsh(theory.quadratic_loss(x, y).second)[0])
        rounding = 1e-14 * solution.objective
        excess = max(fit.objective - solution.objective, 0) + solution.gap + rounding
        assert (measure(model) - solved).norm() <= math.sqrt(2 * excess / mu)
        wrong = size_of(theory.solve(x, y, weight_decay=0.21, depth=depth).B)
        assert distance(measure(model), wrong) > 1e-3


@pytest.mark.parametrize("names", PAIRS)
def test_the_decay_at_which_all_is_silent(names):
    x, y = patches(names, color=True)
    limit = math.sqrt(D) * float(
        torch.linalg.vector_norm(theory.second_moments(x, y)[1], dim=-1).max()
    )
    silent, heard = (theory.solve(x, y, weight_decay=f * limit, depth=2).B for f in (1.001, 0.999))
    assert (silent == 0).all() and (heard != 0).any()


def carried(x, y, depth, weight_decay=0.2):
    power, cross = theory.second_moments(x, y)
    settings = {"weight_decay": weight_decay, "depth": depth}
    r = theory.predict_sensitivity(power, cross, **settings)
    return distance(r, size_of(theory.solve(x, y, tolerance=1e-9, **settings).B))


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("names", PAIRS)
def test_the_formula_is_exact_on_all_shifts_and_wrong_on_the_patches(names, depth):
    x, y = patches(names, 1600)
    power, cross = theory.second_moments(x, y)
    stationary = all_shifts(x[:20])
    assert carried(stationary, answer(stationary, cross / power), depth) < 1e-6
    assert carried(x, y, depth) > 0.3


@pytest.mark.parametrize("depth", [1, 2])
def test_on_stationary_images_the_error_of_the_formula_is_that_of_sampling(depth):
    x, y = patches(PAIRS[0], 1600)
    power, cross = theory.second_moments(x, y)
    means = []
    for n in (400, 6400):
        z = [fields(power[None], n, seed) for seed in range(4)]
        means.append(sum(carried(v, answer(v, cross / power), depth) for v in z) / len(z))
    assert 2.5 < means[0] / means[1] < 6.5  # about the root of 16


@pytest.mark.parametrize("copies", [1, 2, 5])
def test_copies_are_counted_once_by_training_and_each_by_the_formula(copies):
    """Depth 1: γ/(ms + λ) each, where one feature at a time promises γ/(s + λ)."""
    s, gamma, weight_decay = 2.0, 1.5, 0.3
    second = torch.full((copies, copies), s, dtype=torch.float64)
    r = torch.linalg.solve(
        second + weight_decay * torch.eye(copies), torch.full((copies,), gamma).double()
    )
    assert torch.allclose(r, torch.full_like(r, gamma / (copies * s + weight_decay)), atol=TIGHT)
    promise = gamma / (s + weight_decay)
    factor = (copies * s + weight_decay) / (s + weight_decay)
    assert promise / float(r[0]) == pytest.approx(factor)
