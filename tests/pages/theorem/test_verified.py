"""The page that puts trained weights beside the theory: its lemma, and its claims over seeds."""

import math
import os
from functools import lru_cache

import pytest
import torch
from draws import all_shifts, falling_power, fields, random_map, white_teacher
from formulas import scalar_objective
from networks import linear_net
from recorded import CIFAR10, needs_cifar10
from tolerances import ATOL

from freqsense import datasets, fourier, images, layers, models, sensitivity, theory, training

TIGHT = ATOL[torch.float64]
SOURCES = ["photographs", pytest.param("CIFAR-10", marks=needs_cifar10)]
PAIRS = [("astronaut", "motorcycle"), ("coffee", "rocket"), ("chelsea", "retina")]
SHAPE, D = (8, 8), 64


def patches(names, n_per_class=200, seed=0, color=False):
    """Patches (N, C, 8, 8) of two photographs, centred, with labels -1 and +1."""
    x, label = images.photo_patches(
        "train", n_per_class=n_per_class, size=16, seed=seed, color=color, classes=names
    )
    x = images.shrink(x.double(), 2)
    x = x - x.mean(0)
    return x / x.std(), label.double() * 2 - 1


def size_of(B):
    return torch.linalg.vector_norm(B, dim=(-2, -1))


def distance(S, reference):
    return float((S - reference).norm() / reference.norm())


def off(S):
    """Switched off: trained weights decay towards zero and never get there."""
    return S < 1e-3 * S.max()


def train(loss, depth, weight_decay, shape, seed=0, scale=1.0, n_outputs=1, tolerance=1e-7):
    """Fit and network, trained in space from random weights times a scale."""
    model = linear_net(depth, shape, n_outputs, width=max(shape[0], 2), seed=seed)
    for weight in model.parameters():
        weight.data *= scale
    fit = training.minimize(
        model, lambda m: loss(theory.end_to_end(m)), weight_decay=weight_decay, tolerance=tolerance
    )
    assert fit.converged
    return fit, model


def measure(model):
    some = torch.zeros(1, *model.shape, dtype=torch.float64)
    return sensitivity.measure_sensitivity(model, some).values.square().sum(0).sqrt()


def program(x, y, B, depth, weight_decay):
    """Objective of the equivalent program."""
    cost = theory.representation_cost(B, depth)
    return float(theory.quadratic_loss(x, y)(B)) + weight_decay / 2 * cost


def answer(x, b):
    return (b * fourier.fft2(x[:, 0])).real.sum((-2, -1))


# --- real images, nothing assumed of them ---


@lru_cache(maxsize=2)
def real_images(source):
    """800 images (800, 3, 12, 12) of two classes, mean image removed; labels -1 and +1."""
    if source == "CIFAR-10":
        stack, labels = datasets.read_cifar10(os.environ[CIFAR10], "train")
        chosen = torch.cat([(labels == k).nonzero()[:400, 0] for k in (0, 1)])  # planes, cars
        stack, labels = images.shrink(stack[chosen].double(), 2)[..., 2:14, 2:14], labels[chosen]
    else:
        stack, labels = images.photo_patches(
            "train", n_per_class=400, size=24, classes=["astronaut", "motorcycle"]
        )
        stack = images.shrink(stack.double(), 2)
    stack = stack - stack.mean(0)
    return stack / stack.std(), labels.double() * 2 - 1


def logistic_loss(x, y):
    """Mean logistic loss as a function of the end-to-end map."""
    flat = x.flatten(1)

    def loss(B):
        weights = torch.fft.fft2(B.permute(2, 3, 0, 1), norm="ortho").real.flatten(1)
        return torch.nn.functional.softplus(-y * (flat @ weights.T)[:, 0]).mean()

    return loss


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


@pytest.mark.parametrize("source", SOURCES)
def test_real_images_are_not_stationary_enough_for_the_diagonal_prediction(source):
    x, y = real_images(source)
    power, cross = theory.second_moments(x, y)
    r = theory.predict_sensitivity(power, cross, weight_decay=0.2, depth=2)
    solved = size_of(theory.solve(x, y, weight_decay=0.2, depth=2).B)
    assert distance(r, solved) > 0.05


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


@pytest.mark.parametrize("names", PAIRS)
def test_the_decay_at_which_all_is_silent(names):
    x, y = patches(names, color=True)
    limit = math.sqrt(D) * float(
        torch.linalg.vector_norm(theory.second_moments(x, y)[1], dim=-1).max()
    )
    silent, heard = (theory.solve(x, y, weight_decay=f * limit, depth=2).B for f in (1.001, 0.999))
    assert (silent == 0).all() and (heard != 0).any()


# --- stationary images of known power ---


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


# --- depth 3 and more ---


@pytest.mark.parametrize("depth", [3, 4])
@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_start_ends_on_a_branch_and_above_the_global_minimum(depth, scale, seed):
    """Every frequency at 0 or at r₊, where r₊ exists; not always at the global minimum."""
    power, weight_decay = falling_power(SHAPE), 0.3
    cross = power * white_teacher(SHAPE, seed)
    settings = {"weight_decay": weight_decay, "depth": depth}
    fit, model = train(
        theory.population_loss(power, cross), depth, weight_decay, (1, *SHAPE), seed, scale
    )
    found = measure(model)
    upper = theory.predict_sensitivity(power, cross, branch="upper", **settings)
    zero = found < 1e-3 * upper.max()
    assert (zero | ((found - upper).abs() < 1e-4 * upper.max())).all()
    assert zero.any() and (~zero).any()
    local = theory.branches(power, n_pixels=D, **settings).gamma_local
    assert (cross.abs() >= local)[~zero].all()
    r = theory.predict_sensitivity(power, cross, **settings)
    kappa = weight_decay * D ** (1 / depth - 1)
    lowest = scalar_objective(r, power, cross.abs(), kappa, depth).sum()
    assert fit.objective >= lowest - 1e-9
    assert not torch.allclose(found, r / 2, atol=1e-2)


def test_a_smaller_start_leaves_more_frequencies_behind():
    power = falling_power(SHAPE)
    for seed in range(2):
        loss = theory.population_loss(power, power * white_teacher(SHAPE, seed))
        counts = [
            int(off(measure(train(loss, 3, 0.3, (1, *SHAPE), seed, scale)[1])).sum())
            for scale in (0.3, 1.0, 2.0)
        ]
        assert counts[0] > counts[1] >= counts[2] > 0


def test_from_next_to_nothing_depth_two_is_found_and_depth_three_is_lost():
    power = falling_power(SHAPE)
    loss = theory.population_loss(power, power)
    for depth in (1, 2, 3):
        r = theory.predict_sensitivity(power, power, weight_decay=0.3, depth=depth)
        error = distance(measure(train(loss, depth, 0.3, (1, *SHAPE), scale=1e-3)[1]), r)
        assert error < 1e-5 if depth < 3 else abs(error - 1) < 1e-6


# --- stationarity ---


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
    assert dependence(fields(power[None], len(x))).max() < 3 * D / len(x)


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


# --- small kernels ---


def small_kernels(x, y, k, seed=0):
    layer = layers.CircularConv2d(1, 4, k, bias=False)
    generator = torch.Generator().manual_seed(seed)
    layer.weight.data = torch.randn(layer.weight.shape, generator=generator) / (2 * k)
    head = models.linear_cnn(2, width=4, shape=(1, *SHAPE), seed=seed).head.data
    model, loss = models.LinearCNN([layer], head).double(), theory.quadratic_loss(x, y)
    fit = training.minimize(
        model, lambda m: loss(theory.end_to_end(m)), weight_decay=0.2, tolerance=1e-6
    )
    assert fit.converged
    return fit.objective, measure(model)


@pytest.mark.parametrize("names", PAIRS)
def test_small_kernels_end_above_the_theorem_and_switch_off_less(names):
    x, y = patches(names)
    solution = theory.solve(x, y, weight_decay=0.2, depth=2)
    solved = size_of(solution.B)
    small, full = small_kernels(x, y, 3), small_kernels(x, y, 8)
    assert small[0] > 1.002 * solution.objective
    assert full[0] == pytest.approx(solution.objective, rel=1e-8)
    assert distance(small[1], solved) > 0.1 > 1e-3 > distance(full[1], solved)
    assert off(small[1]).sum() < off(solved).sum() == off(full[1]).sum()


# --- controls ---


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


def test_mini_batches_move_away_from_the_minimum_and_the_full_batch_does_not():
    x, y = patches(PAIRS[0])
    solved = size_of(theory.solve(x, y, weight_decay=0.2, depth=2, tolerance=1e-12).B)
    _, home = train(theory.quadratic_loss(x, y), 2, 0.2, (1, *SHAPE))
    errors = {}
    for batch_size, rates in ((len(x), (2e-3,)), (50, (4e-3, 1e-3))):
        for lr in rates:
            model = models.linear_cnn(2, width=2, shape=(1, *SHAPE)).double()
            model.load_state_dict(home.state_dict())
            settings = {"batch_size": batch_size, "loss": "squared"}
            training.train(
                model, x, y, epochs=round(0.03 / lr), lr=lr, weight_decay=0.2, **settings
            )
            errors[batch_size, lr] = distance(measure(model), solved)
    assert errors[len(x), 2e-3] < 1e-4 < 1e-3 < errors[50, 1e-3] < errors[50, 4e-3]
