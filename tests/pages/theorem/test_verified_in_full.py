"""Trained weights beside the theory: its lemma, more settings, and controls."""

import math

import pytest
import torch
from draws import falling_power, random_map, white_teacher
from recorded import needs_cifar10
from tolerances import ATOL
from trained import distance, measure, off, patches, real_images, size_of, train

from freqsense import fourier, models, theory

TIGHT = ATOL[torch.float64]
SOURCES = ["photographs", pytest.param("CIFAR-10", marks=needs_cifar10)]
PAIRS = [("astronaut", "motorcycle"), ("coffee", "rocket"), ("chelsea", "retina")]
SHAPE, D = (8, 8), 64


def program(x, y, B, depth, weight_decay):
    """Objective of the equivalent program."""
    cost = theory.representation_cost(B, depth)
    return float(theory.quadratic_loss(x, y)(B)) + weight_decay / 2 * cost


def logistic_loss(x, y):
    """Mean logistic loss as a function of the end-to-end map."""
    flat = x.flatten(1)

    def loss(B):
        weights = torch.fft.fft2(B.permute(2, 3, 0, 1), norm="ortho").real.flatten(1)
        return torch.nn.functional.softplus(-y * (flat @ weights.T)[:, 0]).mean()

    return loss


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("depth", [1, 2])
def test_thm_equivalence_with_logistic_loss(source, depth):
    x, y = real_images(source)
    solution = theory.solve(x, y, weight_decay=0.2, depth=depth, loss="logistic")
    fit, model = train(logistic_loss(x, y), depth, 0.2, (3, 12, 12))
    solved, trained = size_of(solution.B), measure(model)
    assert distance(trained, solved) < 1e-4
    assert fit.objective == pytest.approx(solution.objective, rel=1e-6)
    assert torch.equal(off(trained), off(solved))


@pytest.mark.parametrize("source", SOURCES)
def test_thm_equivalence_with_several_outputs(source):
    """A nuclear norm at each frequency: three outputs, three colours."""
    x, y = real_images(source)
    contrast, colour = x.std((1, 2, 3)), (x[:, 2] - x[:, 0]).abs().mean((1, 2))
    y = torch.stack([y, *((t - t.mean()) / t.std() for t in (contrast, colour))], 1)
    solution = theory.solve(x, y, weight_decay=0.2, depth=2, tolerance=1e-13)
    fit, model = train(
        theory.quadratic_loss(x, y), 2, 0.2, (3, 12, 12), n_outputs=3, tolerance=1e-8
    )
    assert distance(measure(model), size_of(solution.B)) < 1e-6
    assert fit.objective == pytest.approx(solution.objective, rel=1e-9)


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("step", [1e-3, 1.0, 1e4])
def test_lem_gap_outputs(depth, step):
    """Outputs within the excess, sensitivity within the excess over the smallest eigenvalue."""
    for seed in range(3):
        x, y = patches(PAIRS[seed], seed=seed, color=True)
        solution = theory.solve(x, y, weight_decay=0.2, depth=depth, tolerance=1e-12)
        B = solution.B + step * random_map(SHAPE, 1, 3, seed) * solution.B.abs().mean()
        excess = program(x, y, B, depth, 0.2) - solution.objective + solution.gap
        apart = [torch.fft.fft2(b.permute(2, 3, 0, 1), norm="ortho").real for b in (B, solution.B)]
        outputs = (x.flatten(1) @ (apart[0] - apart[1]).flatten(1).T).square().sum(1)
        assert outputs.mean() / 2 <= excess + 1e-12
        mu = float(torch.linalg.eigvalsh(theory.quadratic_loss(x, y).second)[0])
        assert mu > 0
        assert (size_of(B) - size_of(solution.B)).norm() <= math.sqrt(2 * excess / mu)
        # How much of the excess they use up: at depth 1 all but the penalty of the difference, at
        # depth 2 nearly all if B is far away.
        if depth == 1:
            penalty = 0.2 / 2 * float((B - solution.B).abs().square().sum())
            assert float(outputs.mean()) / 2 + penalty == pytest.approx(excess, rel=1e-6)
        elif step == 1e4:
            assert outputs.mean() / 2 > 0.9 * excess


def test_in_the_full_program_a_frequency_can_gain_from_more_decay():
    """Not so for stationary images; and the total penalty always falls."""
    gains = 0
    for seed, names in enumerate(PAIRS):
        x, y = patches(names, seed=seed)
        decays = torch.logspace(-1.5, 0, 15).tolist()
        path = torch.stack([size_of(theory.solve(x, y, weight_decay=w, depth=2).B) for w in decays])
        gains += int((path.diff(dim=0) > 1e-4 * path.max()).any())
        assert (path.sum((1, 2)).diff() < 0).all()
        power, cross = theory.second_moments(x, y)
        diagonal = torch.stack(
            [theory.predict_sensitivity(power, cross, weight_decay=w, depth=2) for w in decays]
        )
        assert (diagonal.diff(dim=0) <= 0).all()
    assert gains >= 2


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("weight_decay", [0.3, 1.0])
def test_the_population_loss_leads_to_the_closed_forms(depth, weight_decay):
    shape = (16, 16)
    power, teacher = falling_power(shape), white_teacher(shape)
    predicted = theory.predict_sensitivity(
        power, power * teacher, weight_decay=weight_decay, depth=depth
    )
    _, model = train(
        theory.population_loss(power, power * teacher), depth, weight_decay, (1, *shape)
    )
    trained = measure(model)
    assert distance(trained, predicted) < 1e-5
    assert torch.equal(off(trained), predicted == 0)
    assert (predicted == 0).any() == (depth == 2)


def test_shuffled_labels_fall_silent_where_true_ones_do_not():
    x, y = patches(PAIRS[0], 2000)
    limit = 8 * float(theory.second_moments(x, y)[1].abs().max())
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        shuffled = y[torch.randperm(len(y), generator=generator)]
        loss = theory.quadratic_loss(x, shuffled)
        assert (measure(train(loss, 2, limit / 3, (1, *SHAPE))[1]) < 1e-4).all()
    kept = measure(train(theory.quadratic_loss(x, y), 2, limit / 3, (1, *SHAPE))[1])
    assert kept.max() > 1e-2


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_without_decay_empty_frequencies_keep_their_initial_sensitivity(seed):
    empty = fourier.radial_frequency(SHAPE) < 2
    power = falling_power(SHAPE).where(~empty, 0.0)
    loss = theory.population_loss(power, power)
    before = measure(models.linear_cnn(2, width=2, shape=(1, *SHAPE), seed=seed).double())
    kept = measure(train(loss, 2, 0.0, (1, *SHAPE), seed)[1])[empty]
    lost = measure(train(loss, 2, 0.2, (1, *SHAPE), seed)[1])[empty]
    assert torch.allclose(kept, before[empty], atol=TIGHT)
    assert (lost < 1e-3 * before[empty]).all()


def test_without_decay_different_starts_end_apart():
    x, y = patches(PAIRS[0], 10)
    loss = theory.quadratic_loss(x, y)
    for weight_decay, apart in ((0.0, True), (0.2, False)):
        ends = [measure(train(loss, 2, weight_decay, (1, *SHAPE), seed)[1]) for seed in (0, 1)]
        assert distance(*ends) > 0.1 if apart else distance(*ends) < 1e-4


@pytest.mark.parametrize("depth", [1, 2])
def test_white_images_leave_the_sensitivity_flat(depth):
    for power, flat in ((torch.ones(SHAPE).double(), True), (falling_power(SHAPE), False)):
        loss = theory.population_loss(power, power)
        S = measure(train(loss, depth, 0.2, (1, *SHAPE))[1])
        assert (S.std() / S.mean() < 1e-6) == flat


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_decay_can_be_read_off_every_layer(depth):
    x, y = patches(PAIRS[1])
    loss = theory.quadratic_loss(x, y)
    _, model = train(loss, depth, 0.137, (1, *SHAPE))
    weights = list(model.parameters())
    slopes = torch.autograd.grad(loss(theory.end_to_end(model)), weights)
    for w, slope in zip(weights, slopes, strict=True):
        read = -float((w.detach() * slope).sum() / w.detach().square().sum())
        assert read == pytest.approx(0.137, rel=1e-4)
