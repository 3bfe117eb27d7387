"""The sensitivity theorem: its formulas against brute force, its solver against other solvers."""

import math

import numpy as np
import pytest
import torch
from draws import noise
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.optimize import minimize_scalar
from tolerances import ATOL

from freqsense import _solver, filters, fourier, images, layers, models, theory

SHAPES = [(4, 4), (5, 5), (4, 7), (6, 3)]
TIGHT = ATOL[torch.float64]

sizes = st.floats(0.05, 20.0)
decays = st.floats(0.01, 20.0)
depths = st.integers(1, 8)


def random_map(shape, n_outputs=1, n_channels=1, seed=0):
    """Hermitian end-to-end map (H, W, K, C)."""
    return fourier.fft2(noise(n_outputs, n_channels, *shape, seed=seed)).permute(2, 3, 0, 1)


def random_network(depth, shape, n_outputs=1, width=3, seed=0):
    model = models.linear_cnn(depth, width=width, shape=shape, n_outputs=n_outputs, seed=seed)
    return model.double()


def load(model, weights):
    """Put weights, head last, into a linear CNN."""
    with torch.no_grad():
        for layer, weight in zip(model.convolutions, weights, strict=False):
            layer.weight.copy_(weight)
        model.head.copy_(weights[-1])
    return model


def squares(model):
    return sum(w.square().sum().item() for w in model.parameters())


def all_shifts(stack):
    """Every translation of every image: a set whose frequencies are exactly uncorrelated."""
    height, width = stack.shape[-2:]
    rolls = [stack.roll((y, x), (-2, -1)) for y in range(height) for x in range(width)]
    return torch.cat(rolls)


def scalar_objective(r, s, gamma, kappa, depth):
    return 0.5 * s * r**2 - gamma * r + 0.5 * kappa * depth * r ** (2 / depth)


def predict_one(s, gamma, weight_decay, depth, n_pixels=1, branch="global"):
    """Prediction for one frequency, with κ = λ n_pixels^(1/L - 1)."""
    decay = weight_decay * n_pixels ** (1 / depth - 1)  # on a grid of one pixel
    one = torch.tensor([[1.0]], dtype=torch.float64)
    return theory.predict_sensitivity(
        s * one, gamma * one, weight_decay=decay, depth=depth, branch=branch
    ).item()


# --- maps and their cost ---


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize(("n_outputs", "n_channels"), [(1, 1), (1, 3), (4, 2)])
def test_thm_end_to_end(shape, depth, n_outputs, n_channels):
    model = random_network(depth, (n_channels, *shape), n_outputs)
    x = noise(5, n_channels, *shape, seed=1)
    B = theory.end_to_end(model)
    assert B.shape == (*shape, n_outputs, n_channels)
    outputs = torch.einsum("hwkc,nchw->nk", B, fourier.fft2(x))
    assert torch.allclose(outputs.real, model(x), atol=TIGHT)
    assert outputs.imag.abs().max() < TIGHT


@pytest.mark.parametrize("shape", SHAPES)
def test_def_end_to_end(shape):
    model = random_network(3, (2, *shape), 2)
    B = theory.end_to_end(model)
    first, second = (layers.transfer_function(layer, shape) for layer in model.convolutions)
    head = fourier.fft2(model.head).conj().permute(2, 3, 0, 1)
    assert torch.allclose(B, head @ second @ first, atol=TIGHT)
    mirrored = B.flip(0, 1).roll((1, 1), (0, 1)).conj()
    assert torch.allclose(B, mirrored, atol=TIGHT)
    assert torch.autograd.gradcheck(
        lambda head: torch.view_as_real(_end_to_end_with_head(model, head)), model.head
    )


def _end_to_end_with_head(model, head):
    del model.head
    model.head = head
    return theory.end_to_end(model)


def test_end_to_end_of_small_kernels():
    small = layers.CircularConv2d(2, 3, (3, 2), bias=False).double()
    model = models.LinearCNN([small], noise(1, 3, 5, 6))
    x = noise(4, 2, 5, 6, seed=1)
    outputs = torch.einsum("hwkc,nchw->nk", theory.end_to_end(model), fourier.fft2(x)).real
    assert torch.allclose(outputs, model(x), atol=TIGHT)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize(("n_outputs", "n_channels"), [(1, 1), (1, 3), (3, 3), (2, 3)])
def test_thm_representation_cost(shape, depth, n_outputs, n_channels):
    """Attained by balanced weights, and never undercut by others."""
    B = random_map(shape, n_outputs, n_channels)
    cost = theory.representation_cost(B, depth)
    model = random_network(depth, (n_channels, *shape), n_outputs)
    load(model, theory.realize(B, depth, width=3))
    assert torch.allclose(theory.end_to_end(model), B, atol=TIGHT)
    assert squares(model) == pytest.approx(cost, rel=TIGHT)
    other = random_network(depth, (n_channels, *shape), n_outputs, seed=1)
    cheapest = theory.representation_cost(theory.end_to_end(other), depth)
    if depth == 1:
        assert squares(other) == pytest.approx(cheapest, rel=TIGHT)
    else:
        assert squares(other) > 1.1 * cheapest  # random weights are not balanced


@pytest.mark.parametrize("depth", [2, 3])
def test_eq_balanced_weights(depth):
    """Balance is what makes weights cheap: the same map costs more without."""
    B = random_map((4, 5), 2, 3)
    model = random_network(depth, (3, 4, 5), 2)
    first, *rest = theory.realize(B, depth, width=3)
    load(model, [2 * first, rest[0] / 2, *rest[1:]])
    assert torch.allclose(theory.end_to_end(model), B, atol=TIGHT)
    assert squares(model) > 1.2 * theory.representation_cost(B, depth)


def test_representation_cost_is_a_norm_of_the_singular_values():
    B = random_map((3, 4), 2, 3)
    sigma = torch.linalg.svdvals(B)
    for depth in (1, 2, 3, 5):
        expected = depth * 12 ** (1 / depth - 1) * sigma.pow(2 / depth).sum().item()
        assert theory.representation_cost(B, depth) == pytest.approx(expected, rel=1e-12)
    real = torch.rand(2, 2, 1, 1)
    assert theory.representation_cost(real, 1) == pytest.approx(real.square().sum().item())


# --- one frequency ---


@given(s=sizes, gamma=sizes, weight_decay=decays, depth=depths, n_pixels=st.sampled_from([1, 16]))
def test_eq_scalar_problem(s, gamma, weight_decay, depth, n_pixels):
    """No sensitivity does better than the predicted one: a grid first, then a local search."""
    kappa = weight_decay * n_pixels ** (1 / depth - 1)
    r = predict_one(s, gamma, weight_decay, depth, n_pixels)

    def objective(x):
        return scalar_objective(x, s, gamma, kappa, depth)

    grid = np.linspace(0, gamma / s, 2001)
    best = grid[objective(grid).argmin()]
    width = grid[1]
    found = minimize_scalar(
        objective, bounds=(max(best - width, 0), best + width), method="bounded"
    )
    assert objective(r) <= min(found.fun, 0.0) + 1e-12 * (1 + abs(found.fun))
    close = 1e-3 * gamma / s
    values = objective(np.array([r, best]))
    assert abs(r - best) <= close or abs(values[0] - values[1]) <= 1e-6 * (1 + abs(values[0]))


@given(s=sizes, gamma=sizes, weight_decay=decays)
def test_thm_closed_forms(s, gamma, weight_decay):
    assert predict_one(s, gamma, weight_decay, 1) == pytest.approx(gamma / (s + weight_decay))
    for n_pixels in (1, 9):
        kappa = weight_decay / math.sqrt(n_pixels)
        expected = max(gamma - kappa, 0) / s
        assert predict_one(s, gamma, weight_decay, 2, n_pixels) == pytest.approx(expected)


@given(s=sizes, weight_decay=decays, depth=st.integers(3, 8))
def test_thm_branches(s, weight_decay, depth):
    found = theory.branches(s, weight_decay=weight_decay, depth=depth, n_pixels=1)
    r_local, gamma_local = found.r_local.item(), found.gamma_local.item()
    r_star, gamma_star = found.r_global.item(), found.gamma_global.item()
    q = 2 / depth - 1
    for r, gamma in ((r_local, gamma_local), (r_star, gamma_star)):
        assert gamma == pytest.approx(s * r + weight_decay * r**q)  # stationary
    assert s + q * weight_decay * r_local ** (q - 1) == pytest.approx(0, abs=1e-9 * s)  # a fold
    at_star = scalar_objective(r_star, s, gamma_star, weight_decay, depth)
    assert at_star == pytest.approx(0, abs=1e-9 * (s * r_star**2))  # as good as r = 0
    for branch, gamma, r in (("upper", gamma_local, r_local), ("global", gamma_star, r_star)):
        assert predict_one(s, gamma * (1 - 1e-6), weight_decay, depth, branch=branch) == 0
        above = predict_one(s, gamma * (1 + 1e-6), weight_decay, depth, branch=branch)
        assert above == pytest.approx(r, rel=0.01)
        assert above > r
    between = (gamma_local + gamma_star) / 2
    upper = predict_one(s, between, weight_decay, depth, branch="upper")
    assert scalar_objective(upper, s, between, weight_decay, depth) > 0  # local, not global
    assert predict_one(s, between, weight_decay, depth) == 0


def test_branches_at_depth_one_and_two():
    power = torch.tensor([1.0, 4.0])
    for depth, gamma in ((1, 0.0), (2, 0.5)):
        found = theory.branches(power, weight_decay=2.0, depth=depth, n_pixels=16)
        assert found.gamma_local.tolist() == found.gamma_global.tolist() == [gamma, gamma]
        assert found.r_local.tolist() == found.r_global.tolist() == [0, 0]


@given(target=sizes, low=sizes, factor=st.floats(1.0, 10.0), weight_decay=decays, depth=depths)
def test_thm_sensitivity_monotone(target, low, factor, weight_decay, depth):
    """More power, or less decay, never lowers sensitivity for the same teacher."""
    high = low * factor
    r_low = predict_one(low, low * target, weight_decay, depth)
    r_high = predict_one(high, high * target, weight_decay, depth)
    assert 0 <= r_low <= r_high * (1 + 1e-9)
    assert r_high <= target * (1 + 1e-12)
    assert predict_one(low, low * target, weight_decay * factor, depth) <= r_low * (1 + 1e-9)


@given(target=sizes, weight_decay=decays, depth=depths, n_pixels=st.sampled_from([1, 64]))
def test_thm_sensitivity_threshold(target, weight_decay, depth, n_pixels):
    s_star = theory.threshold(target, weight_decay=weight_decay, depth=depth, n_pixels=n_pixels)
    jump = theory.jump(target, depth)
    assert jump == pytest.approx(target * max(depth - 2, 0) / max(depth - 1, 1))
    if depth == 1:
        assert s_star == 0
        return
    below, above = (
        predict_one(s, s * target, weight_decay, depth, n_pixels)
        for s in (s_star * (1 - 1e-7), s_star * (1 + 1e-7))
    )
    assert below == 0
    assert above == pytest.approx(jump, rel=1e-3, abs=1e-6 * target)


def test_the_threshold_moves_both_ways_with_depth():
    constants = [
        theory.threshold(1.0, weight_decay=1.0, depth=depth, n_pixels=1) for depth in (2, 3, 4)
    ]
    assert constants == pytest.approx([1, 2.52, 3.67], abs=5e-3)
    for target, n_pixels, rises in ((1.0, 1, True), (1.0, 256, False)):
        s = [
            theory.threshold(target, weight_decay=0.3, depth=depth, n_pixels=n_pixels)
            for depth in (2, 3, 4)
        ]
        expected = [
            0.3 * c * (n_pixels * target**2) ** (1 / depth - 1)
            for c, depth in zip(constants, (2, 3, 4), strict=True)
        ]
        assert s == pytest.approx(expected)
        assert (s == sorted(s)) == rises
    tensor = theory.threshold(torch.tensor([1.0, 2.0]), weight_decay=1.0, depth=2, n_pixels=4)
    assert tensor.tolist() == [0.5, 0.25]


@given(target=sizes, weight_decay=decays, depth=depths)
def test_thm_sensitivity_saturation(target, weight_decay, depth):
    """Far above κ|b*|^(2/L-2) the teacher alone decides."""
    scale = weight_decay * target ** (2 / depth - 2)
    for factor in (100, 1e6):
        s = factor * scale
        r = predict_one(s, s * target, weight_decay, depth)
        assert r == pytest.approx(target, rel=2 / factor)
    s = 0.1 * scale
    assert predict_one(s, s * target, weight_decay, depth) < 0.1 * target  # and far below, does not


def test_thm_sensitivity_no_power():
    """High-passed images: exactly nothing at the frequencies removed, in theory and in solve."""
    x = filters.high_pass(noise(60, 1, 6, 6), 2)
    y = noise(60, seed=1)
    empty = fourier.radial_mask((6, 6), 0, 2)
    for depth in (1, 2):
        S = theory.solve(x, y, weight_decay=0.1, depth=depth).B.abs()[..., 0, 0]
        assert S[empty].max() < 1e-14
        assert S[~empty].max() > 1e-2
    power = (~empty).double()
    for depth in (1, 2, 3, 5):
        for weight_decay in (0.0, 0.1):
            r = theory.predict_sensitivity(power, power, weight_decay=weight_decay, depth=depth)
            assert (r[empty] == 0).all()
            assert (r[~empty] > 0.5).all()


def test_without_decay_the_prediction_is_least_squares():
    power, target = noise(5, 6).square(), noise(5, 6, seed=1).abs()
    for depth in (1, 2, 3, 4):
        r = theory.predict_sensitivity(power, power * target, weight_decay=0.0, depth=depth)
        assert torch.allclose(r, target, atol=TIGHT)


def test_predictions_take_batches_and_phases():
    power = noise(3, 4, 5).square()
    cross = torch.polar(noise(3, 4, 5, seed=1).abs(), noise(3, 4, 5, seed=2))
    for depth in (1, 2, 3, 4):
        whole = theory.predict_sensitivity(power, cross, weight_decay=0.3, depth=depth)
        each = [
            theory.predict_sensitivity(s, c.abs(), weight_decay=0.3, depth=depth)
            for s, c in zip(power, cross, strict=True)
        ]
        assert torch.equal(whole, torch.stack(each))


# --- several channels ---


@pytest.mark.parametrize("shape", [(4, 4), (3, 5)])
@pytest.mark.parametrize("n_channels", [2, 3])
@pytest.mark.parametrize("depth", [1, 2])
def test_thm_several_channels(shape, n_channels, depth):
    """On images closed under translation the convex program falls apart into these equations."""
    x = all_shifts(noise(4, n_channels, *shape) + 0.5 * noise(4, 1, *shape, seed=1))
    y = noise(len(x), seed=2)
    power, cross = theory.second_moments(x, y)
    for weight_decay in (0.05, 0.3):
        r = theory.predict_sensitivity(power, cross, weight_decay=weight_decay, depth=depth)
        solution = theory.solve(x, y, weight_decay=weight_decay, depth=depth, tolerance=1e-14)
        S = solution.B.norm(dim=(-2, -1))
        assert (S - r).norm() < 1e-6 * r.norm()
        assert torch.equal(S == 0, r == 0)
        if depth == 2:
            kappa = weight_decay / math.sqrt(S.numel())
            assert torch.equal(r == 0, cross.norm(dim=-1) <= kappa)
    assert (r > 0).any()


def test_one_channel_is_a_special_case_of_several():
    power, cross = noise(4, 5).square(), noise(4, 5, seed=1)
    for depth in (1, 2):
        one = theory.predict_sensitivity(power, cross, weight_decay=0.7, depth=depth)
        several = theory.predict_sensitivity(
            power[..., None, None], cross[..., None], weight_decay=0.7, depth=depth
        )
        assert torch.allclose(one, several, atol=TIGHT)


def test_power_and_cross_must_be_conjugated_alike():
    """Two channels with a phase between them: conjugating one of the two moments is an error."""
    base = noise(6, 1, 4, 5)
    x = all_shifts(torch.cat([base, base.roll(1, -1) + 0.3 * noise(6, 1, 4, 5, seed=1)], 1))
    y = noise(len(x), seed=2)
    power, cross = theory.second_moments(x, y)
    right, also, wrong = (
        theory.predict_sensitivity(s, c, weight_decay=0.2, depth=1)
        for s, c in ((power, cross), (power.conj(), cross.conj()), (power.conj(), cross))
    )
    assert torch.allclose(right, also, atol=TIGHT)
    assert (right - wrong).norm() > 0.01 * right.norm()


def test_scaling_all_channels_up_raises_sensitivity_but_a_general_increase_may_not():
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(400, 1, 3, 3, generator=generator, dtype=torch.float64)
    power = a @ a.mH
    target = torch.randn(400, 1, 3, 1, generator=generator, dtype=torch.float64)
    more = torch.randn(400, 1, 3, 1, generator=generator, dtype=torch.float64)

    def sensitivity(power):
        cross = (power @ target)[..., 0]
        return torch.stack(
            [
                theory.predict_sensitivity(s[None], c[None], weight_decay=1.0, depth=2)
                for s, c in zip(power, cross, strict=True)
            ]
        )

    before = sensitivity(power)
    assert (sensitivity(2 * power) >= before - 1e-12).all()
    fell = (sensitivity(power + more @ more.mH) < before - 1e-6).sum()
    assert 0 < fell < 200


# --- losses on second moments ---


@pytest.mark.parametrize("shape", SHAPES)
def test_eq_quadratic_loss(shape):
    x, y = noise(7, 2, *shape), noise(7, 3, seed=1)
    model = random_network(2, (2, *shape), 3)
    B = theory.end_to_end(model)
    loss = theory.quadratic_loss(x, y)(B)
    direct = (model(x) - y).square().sum() / (2 * len(x))
    assert loss.item() == pytest.approx(direct.item(), rel=TIGHT)
    gradients = [torch.autograd.grad(f, list(model.parameters())) for f in (loss, direct)]
    for ours, theirs in zip(*gradients, strict=True):
        assert torch.allclose(ours, theirs, atol=TIGHT)


@pytest.mark.parametrize("n_channels", [1, 3])
def test_eq_population_loss(n_channels):
    """On images closed under translation the two losses differ by a constant."""
    x = all_shifts(noise(3, n_channels, 3, 4))
    y = noise(len(x), seed=1)
    exact, stationary = (
        theory.quadratic_loss(x, y),
        theory.population_loss(*theory.second_moments(x, y)),
    )
    for seed in range(3):
        B = random_map((3, 4), 1, n_channels, seed)
        difference = exact(B) - stationary(B)
        assert difference.item() == pytest.approx(y.square().mean().item() / 2, rel=1e-9)


def test_def_cross_spectrum():
    x, b = noise(50, 1, 4, 5), random_map((4, 5))
    y = torch.einsum("hwkc,nchw->nk", b, fourier.fft2(x)).real[:, 0]
    power, cross = theory.second_moments(x, y)
    xhat = fourier.fft2(x)[:, 0]
    assert torch.allclose(power, xhat.abs().square().mean(0), atol=TIGHT)
    assert torch.allclose(cross, (xhat.conj() * y[:, None, None]).mean(0), atol=TIGHT)
    shifted = all_shifts(x)
    y = torch.einsum("hwkc,nchw->nk", b, fourier.fft2(shifted)).real[:, 0]
    power, cross = theory.second_moments(shifted, y)
    assert torch.allclose(cross, power * b[..., 0, 0], atol=TIGHT)  # c = s b*


# --- the convex program ---


def photo_task(n_per_class=60, size=6, seed=0):
    x, labels = images.photo_patches(
        "train", n_per_class=n_per_class, size=size, seed=seed, classes=["coffee", "rocket"]
    )
    x = x.double() - x.double().mean(0)
    return x / x.std(), labels.double() * 2 - 1


def fourier_norms(variable, shape, n_channels, n_outputs, norm):
    """Sum over all frequencies of a norm of B(ω), for cvxpy, from pixel weights (K, C * D)."""
    import cvxpy

    n_pixels = math.prod(shape)
    dft = fourier.fft2(torch.eye(n_pixels, dtype=torch.float64).unflatten(1, shape)).flatten(1)
    total = 0
    for omega in range(n_pixels):
        rows = []
        for k in range(n_outputs):
            for c in range(n_channels):
                pixels = variable[k, c * n_pixels : (c + 1) * n_pixels]
                mode = dft[omega].numpy()
                rows.append(pixels @ mode.real - 1j * (pixels @ mode.imag))
        entries = cvxpy.hstack(rows)
        matrix = (
            entries if norm == "fro" else cvxpy.reshape(entries, (n_outputs, n_channels), order="C")
        )
        total = total + (cvxpy.norm(matrix, 2) if norm == "fro" else cvxpy.normNuc(matrix))
    return total


def reference_minimum(x, y, weight_decay, loss, norm):
    """The program of depth 2 as cvxpy and Clarabel solve it, on plain pixel weights."""
    import cvxpy

    n, n_channels, *shape = x.shape
    y = y.reshape(n, -1)
    weights = cvxpy.Variable((y.shape[1], x[0].numel()))
    outputs = x.flatten(1).numpy() @ weights.T
    if loss == "squared":
        mean = cvxpy.sum_squares(y.numpy() - outputs) / (2 * n)
    else:
        mean = cvxpy.sum(cvxpy.logistic(-cvxpy.multiply(y.numpy(), outputs))) / n
    kappa = weight_decay / math.sqrt(math.prod(shape))
    penalty = fourier_norms(weights, shape, n_channels, y.shape[1], norm)
    problem = cvxpy.Problem(cvxpy.Minimize(mean + kappa * penalty))
    return problem.solve(solver=cvxpy.CLARABEL)


@pytest.mark.parametrize("weight_decay", [0.05, 1.0])
@pytest.mark.parametrize("n_per_class", [15, 100])
def test_solve_agrees_with_ridge_of_scikit_learn(weight_decay, n_per_class):
    from sklearn.linear_model import Ridge

    x, y = photo_task(n_per_class)
    y = torch.stack([y, noise(len(y))], 1)
    n = len(x)
    ridge = Ridge(alpha=n * weight_decay, fit_intercept=False, tol=1e-12)
    weights = ridge.fit(x.flatten(1).numpy(), y.numpy()).coef_
    misfit = ((y.numpy() - x.flatten(1).numpy() @ weights.T) ** 2).sum() / (2 * n)
    expected = misfit + weight_decay / 2 * (weights**2).sum()
    solution = theory.solve(x, y, weight_decay=weight_decay, depth=1)
    assert solution.objective == pytest.approx(expected, rel=1e-6)
    B = fourier.ifft2(torch.from_numpy(weights).reshape(2, *x.shape[1:])).permute(2, 3, 0, 1)
    assert torch.allclose(solution.B, B, atol=1e-8)


def test_solve_agrees_with_logistic_regression_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    x, y = photo_task()
    flat, n = x.flatten(1).numpy(), len(x)
    fit = LogisticRegression(C=1 / (n * 0.1), fit_intercept=False, tol=1e-10, max_iter=10_000)
    weights = fit.fit(flat, y.numpy()).coef_[0]
    margins = y.numpy() * (flat @ weights)
    expected = np.logaddexp(0, -margins).mean() + 0.05 * (weights**2).sum()
    solution = theory.solve(x, y, weight_decay=0.1, depth=1, loss="logistic")
    assert solution.objective == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("n_per_class", [15, 100])
def test_solve_agrees_with_cvxpy_on_the_group_norm(loss, n_per_class):
    x, y = photo_task(n_per_class)
    expected = reference_minimum(x, y, 0.2, loss, "fro")
    solution = theory.solve(x, y, weight_decay=0.2, depth=2, loss=loss)
    assert solution.objective == pytest.approx(expected, rel=1e-6)
    off = (solution.B == 0).all(-1).all(-1).double().mean()
    assert 0.1 < off < 1


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_solve_agrees_with_cvxpy_on_the_nuclear_norm(loss):
    x, y = photo_task(40, size=4)
    y = torch.stack([y, noise(len(y)).sign()], 1)
    expected = reference_minimum(x, y, 0.1, loss, "nuc")
    solution = theory.solve(x, y, weight_decay=0.1, depth=2, loss=loss)
    assert solution.objective == pytest.approx(expected, rel=1e-6)
    assert (torch.linalg.svdvals(solution.B)[..., 1] < 1e-12).any()  # some of rank one


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_the_gap_bounds_what_is_left_to_gain(depth, loss):
    x, y = photo_task()
    best = theory.solve(x, y, weight_decay=0.1, depth=depth, loss=loss, tolerance=1e-13)
    for tolerance in (1e-1, 1e-3, 1e-6):
        rough = theory.solve(x, y, weight_decay=0.1, depth=depth, loss=loss, tolerance=tolerance)
        assert rough.gap <= tolerance * rough.objective
        assert rough.objective - best.objective <= rough.gap + 1e-12
        assert rough.iterations <= best.iterations


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_the_gap_bounds_what_is_left_to_gain_at_any_map(loss, depth, n_outputs):
    """Far from the minimum, and at 0, where residuals are not dual feasible as they are."""
    x, y = photo_task()
    y = torch.stack([y, noise(len(y)).sign()], 1)[:, :n_outputs]
    best = theory.solve(x, y, weight_decay=0.1, depth=depth, loss=loss, tolerance=1e-12)
    basis = theory._half_basis((6, 6))
    features = basis.features(fourier.fft2(x).flatten(2).numpy())
    losses = [_solver.SampleLoss(features, y.numpy(), loss)]
    if loss == "squared":
        losses.append(_solver.GramLoss(features, y.numpy()))
    penalty = _solver.Ridge(0.1) if depth == 1 else _solver.NuclearNorm(0.1 / 6, basis.scale)
    for held in losses:
        for size in (0, 0.01, 0.3):
            b = size * noise(features.shape[1], n_outputs).numpy()
            objective, gap = _solver._certify(held, penalty, b, held.push(b))
            assert objective - best.objective <= gap + 1e-10
            assert objective > best.objective


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("depth", [1, 2])
def test_the_objective_is_that_of_the_map(shape, depth):
    x, y = noise(40, 2, *shape), noise(40, 3, seed=1)
    solution = theory.solve(x, y, weight_decay=0.2, depth=depth)
    B = solution.B
    assert torch.allclose(B, B.flip(0, 1).roll((1, 1), (0, 1)).conj(), atol=TIGHT)
    misfit = theory.quadratic_loss(x, y)(B).item()
    cost = theory.representation_cost(B, depth)
    assert solution.objective == pytest.approx(misfit + 0.1 * cost, rel=1e-9)


def test_a_solver_that_has_not_converged_says_so_with_its_gap():
    x, y = photo_task()
    with pytest.raises(theory.NotConvergedError, match="3 iterations: duality gap .*e") as error:
        theory.solve(x, y, weight_decay=0.01, depth=2, max_iterations=3)
    assert isinstance(error.value, RuntimeError)


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_nothing_to_learn_from_is_solved_by_nothing(depth, loss):
    solution = theory.solve(
        torch.zeros(6, 1, 3, 4), TARGETS.sign(), weight_decay=0.1, depth=depth, loss=loss
    )
    assert (solution.B == 0).all()
    assert solution.gap == 0


# --- negative controls ---


def test_without_decay_solve_finds_the_teacher_whatever_the_power():
    teacher = random_map((6, 6))
    x = images.gaussian_field(200, shape=(6, 6), alpha=2.0).double()
    y = torch.einsum("hwkc,nchw->nk", teacher, fourier.fft2(x)).real
    for depth in (1, 2):
        solution = theory.solve(x, y, weight_decay=0.0, depth=depth)
        assert torch.allclose(solution.B, teacher, atol=1e-9)
        assert solution.gap < 1e-18
    decayed = theory.solve(x, y, weight_decay=0.5, depth=2).B
    assert (decayed == 0).any()  # the positive finding beside it


def test_white_images_leave_the_curve_flat():
    """Without a spectrum to inherit, and a white teacher, sensitivity does not fall."""
    radius = fourier.radial_frequency((16, 16))
    target = torch.ones(16, 16, dtype=torch.float64)
    for depth in (1, 2, 3, 4):
        for alpha in (0.0, 2.0):
            power = radius.clamp(min=1) ** -alpha
            r = theory.predict_sensitivity(power, power * target, weight_decay=0.3, depth=depth)
            low, high = r[0, 1], r[0, 8]
            assert (low == high) if alpha == 0 else (low > 1.2 * high)


def test_shuffled_labels_are_not_predicted_by_the_true_ones():
    x, y = photo_task(200)
    shuffled = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(0))]
    true, other = (theory.solve(x, t, weight_decay=0.2, depth=1).B.abs() for t in (y, shuffled))
    assert (true - other).norm() > 0.5 * true.norm()


# --- gradient flow ---


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("start", [1e-4, 0.02, 3.0])
def test_thm_gradient_flow(depth, start):
    """Against an integrator, from far below and far above the goal, and without correlation."""
    power, cross = 3 * noise(4, 5).square(), noise(4, 5, seed=1).abs()
    cross[0, 0], cross[1, 1], power[2, 2] = 1e-4, 0.0, 0.0
    times = torch.linspace(0, 3, 7)
    r = theory.learning_curves(power, cross, depth=depth, times=times, start=start)
    s = power.flatten().numpy()
    gamma = np.where(s > 0, cross.flatten().numpy(), 0)
    speed = depth * 20 ** (1 - 1 / depth)
    flow = solve_ivp(
        lambda t, r: speed * np.abs(r) ** (2 - 2 / depth) * (gamma - s * r),
        (0, 3),
        np.full(20, start),
        t_eval=times.numpy(),
        rtol=1e-12,
        atol=1e-14,
        method="DOP853",
    )
    assert r.shape == (7, 4, 5)
    assert torch.allclose(r.flatten(1), torch.from_numpy(flow.y.T), rtol=1e-7, atol=1e-9)


def test_frequencies_are_learned_in_the_order_of_their_correlation_from_depth_two_on():
    """At depth one the order is that of power."""
    power = torch.tensor([[4.0, 1.0, 0.25]], dtype=torch.float64)
    cross = torch.tensor([[0.5, 1.0, 2.0]], dtype=torch.float64)
    times = torch.linspace(0, 60, 20_001)
    for depth, order in ((1, [0, 1, 2]), (2, [2, 1, 0]), (3, [2, 1, 0])):
        r = theory.learning_curves(power, cross, depth=depth, times=times, start=1e-5)[:, 0]
        half = (r < cross[0] / power[0] / 2).sum(0)
        assert half.argsort().tolist() == order
        assert (half < len(times)).all()


@pytest.mark.parametrize("depth", [3, 4, 5])
def test_deep_networks_escape_late(depth):
    """The time to leave a small start grows as the formula says."""
    s, gamma, start = 1.0, 0.7, 1e-7
    expected = start ** -(1 - 2 / depth) / ((1 - 2 / depth) * depth * gamma)
    times = torch.linspace(0.5 * expected, 1.5 * expected, 2001)
    one = torch.ones(1, 1, dtype=torch.float64)
    r = theory.learning_curves(s * one, gamma * one, depth=depth, times=times, start=start)
    half = times[(r.flatten() < gamma / 2).sum()]
    assert half == pytest.approx(expected, rel=0.05)
    frozen = theory.learning_curves(one, one, depth=depth, times=times, start=0.0)
    assert (frozen == 0).all()


@pytest.mark.parametrize("depth", [3, 5, 8])
def test_tiny_starts_escape_when_the_formula_says(depth):
    """The start is left so slowly that times after the escape are lost in rounding, not before."""
    one = torch.ones(1, 1, dtype=torch.float64)
    for start in (1e-30, 1e-100):
        escape = start ** -(1 - 2 / depth) / ((1 - 2 / depth) * depth)
        times = escape * torch.tensor([0.0, 0.5, 1.01], dtype=torch.float64)
        r = theory.learning_curves(one, one, depth=depth, times=times, start=start).flatten()
        assert r[0] < 1e-29 and r[1] < 1e-20 and r[2] == pytest.approx(1)


def test_plain_numbers_keep_their_digits():
    at_start = theory.learning_curves(ONES, ONES, depth=1, times=[0.0], start=0.1)
    assert (at_start == 0.1).all()
    targets = [0.1 * n for n in range(6)]
    solutions = [
        solve(y=y, depth=1).B for y in (targets, torch.tensor(targets, dtype=torch.float64))
    ]
    assert torch.equal(*solutions)


# --- bad input ---

ONES = torch.ones(3, 4)
IMAGES, TARGETS = torch.randn(6, 1, 3, 4), torch.randn(6)
NAN = torch.full((6, 1, 3, 4), torch.nan)
CORRELATED = torch.eye(2).expand(3, 4, 2, 2)
QUADRATIC = theory.quadratic_loss(IMAGES, TARGETS)
POPULATION = theory.population_loss(ONES, ONES)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: theory.representation_cost(torch.ones(2, 2, 1), 1), ValueError, r"\(H, W, K, C\)"),
        (lambda: theory.representation_cost(torch.ones(2, 2, 1, 1), 0), ValueError, "at least 1"),
        (lambda: theory.representation_cost(NAN, 1), ValueError, "finite"),
        (
            lambda: theory.realize(torch.ones(2, 2, 3, 3), 2, width=2),
            ValueError,
            r"min\(K, C\) = 3",
        ),
        (lambda: theory.realize(1j * torch.ones(2, 2, 1, 1), 2, width=2), ValueError, "Hermitian"),
        (lambda: predict(ONES, ONES, depth=0), ValueError, "depth must be at least 1, got 0"),
        (lambda: predict(ONES, ONES, depth=2.0), TypeError, "integer"),
        (
            lambda: predict(ONES, ONES, weight_decay=-1),
            ValueError,
            "weight_decay must be at least 0",
        ),
        (lambda: predict(ONES, ONES, weight_decay=math.inf), ValueError, "finite"),
        (lambda: predict(-ONES, ONES), ValueError, "negative"),
        (lambda: predict(ONES + 0j, ONES), TypeError, "real"),
        (lambda: predict(ONES, ONES.T), ValueError, r"\(3, 4\) and \(4, 3\)"),
        (lambda: predict(ONES * torch.nan, ONES), ValueError, "power must be finite"),
        (lambda: predict(ONES, ONES * torch.inf), ValueError, "cross must be finite"),
        (lambda: predict(ONES, ONES, branch="lower"), ValueError, "branch must be one of"),
        (lambda: predict(CORRELATED, torch.ones(3, 4, 2), depth=3), ValueError, "several channels"),
        (lambda: predict(-CORRELATED, torch.ones(3, 4, 2)), ValueError, "semidefinite"),
        (
            lambda: predict(CORRELATED + torch.tensor([[0, 1.0], [0, 0]]), torch.ones(3, 4, 2)),
            ValueError,
            "Hermitian",
        ),
        (lambda: solve(depth=3), ValueError, "not convex"),
        (lambda: solve(depth=0), ValueError, "depth must be at least 1"),
        (lambda: solve(weight_decay=-0.1), ValueError, "weight_decay"),
        (lambda: solve(x=NAN), ValueError, "finite"),
        (lambda: solve(x=IMAGES[:, 0]), ValueError, r"\(N, C, H, W\)"),
        (lambda: solve(x=IMAGES.int()), TypeError, "float32 or float64"),
        (lambda: solve(y=TARGETS[:5]), ValueError, r"\(6,\) or \(6, K\)"),
        (lambda: solve(y=TARGETS * torch.nan), ValueError, "targets must be finite"),
        (lambda: solve(y=TARGETS + 0j), TypeError, "real"),
        (lambda: solve(loss="logistic"), ValueError, r"-1 or \+1"),
        (lambda: solve(loss="hinge"), ValueError, "squared, logistic"),
        (
            lambda: solve(loss="logistic", y=TARGETS.sign(), weight_decay=0.0),
            ValueError,
            "separable",
        ),
        (
            lambda: theory.second_moments(IMAGES, torch.ones(6, 2)),
            ValueError,
            "one number per image",
        ),
        (lambda: threshold(0.0), ValueError, "target must be positive"),
        (lambda: threshold(1.0, n_pixels=0), ValueError, "n_pixels"),
        (
            lambda: theory.branches(-ONES, weight_decay=1.0, depth=3, n_pixels=4),
            ValueError,
            "power",
        ),
        (lambda: solve(y=None), TypeError, "targets must be an array of numbers, got NoneType"),
        (lambda: solve(y=[[1.0], [2.0, 3.0]]), TypeError, "targets must be an array of numbers"),
        (lambda: solve(y=(TARGETS > 0).long(), loss="logistic"), ValueError, r"-1 or \+1 .*got 0"),
        (lambda: solve(x=IMAGES.double() * 1e160), ValueError, "images must lie between .*e\\+160"),
        (lambda: solve(x=IMAGES.double() * 1e-160), ValueError, "images must lie between .*e-160"),
        (
            lambda: QUADRATIC(torch.ones(4, 3, 1, 1) + 0j),
            ValueError,
            r"complex128 .*\(3, 4, 1, 1\)",
        ),
        (
            lambda: QUADRATIC(random_map((4, 3))),
            ValueError,
            r"\(3, 4, 1, 1\), got .*\(4, 3, 1, 1\)",
        ),
        (lambda: QUADRATIC(random_map((3, 4), 2)), ValueError, r"got .*\(3, 4, 2, 1\)"),
        (lambda: POPULATION(random_map((3, 4), 2)), ValueError, r"got .*\(3, 4, 2, 1\)"),
        (lambda: curves(times=torch.tensor([-1.0])), ValueError, "times"),
        (lambda: curves(times=torch.tensor([1j])), ValueError, "times must be finite real"),
        (lambda: curves(times=None), TypeError, "times must be an array of numbers, got NoneType"),
        (lambda: curves(start="a"), TypeError, "start must be an array of numbers, got str"),
        (lambda: curves(start=ONES + 0j), ValueError, "start must be 0 or"),
        (lambda: curves(start=math.nan), ValueError, "start must be 0 or .* got nan"),
        (lambda: curves(start=1e-200), ValueError, "start must be 0 or 1e-100 to .* got 1e-200"),
        (lambda: curves(start=-1.0), ValueError, "start"),
        (lambda: curves(start=torch.ones(2, 4)), ValueError, r"shape \(3, 4\)"),
        (
            lambda: curves(power=torch.ones(2, 3, 4), cross=torch.ones(2, 3, 4)),
            ValueError,
            r"\(H, W\)",
        ),
        (lambda: theory.end_to_end(torch.nn.Linear(2, 2)), TypeError, "linear CNN"),
        (lambda: theory.end_to_end(network_with("relu")), ValueError, "ReLU"),
        (lambda: theory.end_to_end(network_with("bias")), ValueError, "no bias"),
        (lambda: theory.end_to_end(network_with("head")), ValueError, "head must have shape"),
        (lambda: theory.end_to_end(network_with("zero padding")), ValueError, "circular"),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()


def predict(power, cross, weight_decay=0.1, depth=2, **more):
    return theory.predict_sensitivity(power, cross, weight_decay=weight_decay, depth=depth, **more)


def solve(x=IMAGES, y=TARGETS, weight_decay=0.1, depth=2, **more):
    return theory.solve(x, y, weight_decay=weight_decay, depth=depth, **more)


def threshold(target, weight_decay=0.1, depth=2, n_pixels=4):
    return theory.threshold(target, weight_decay=weight_decay, depth=depth, n_pixels=n_pixels)


def curves(power=ONES, cross=ONES, times=(1.0,), start=0.1):
    return theory.learning_curves(power, cross, depth=2, times=times, start=start)


def network_with(fault):
    model = random_network(2, (1, 4, 4))
    if fault == "relu":
        model.activation = torch.nn.ReLU()
    elif fault == "bias":
        model.convolutions[0] = layers.CircularConv2d(1, 3, 4).double()
    elif fault == "head":
        model.head = torch.nn.Parameter(model.head[:, :, :3])
    else:
        model.convolutions[0] = torch.nn.Conv2d(1, 3, 3, padding="same", bias=False).double()
    return model


@given(seed=st.integers(0, 1000), weight_decay=st.floats(0.05, 2.0))
def test_in_the_full_program_the_penalty_falls_with_decay(seed, weight_decay):
    """Not every frequency need shrink when images are not stationary; the total cost does."""
    x, y = noise(30, 1, 3, 4, seed=seed), noise(30, seed=seed + 1)
    costs = [
        theory.representation_cost(theory.solve(x, y, weight_decay=w, depth=2).B, 2)
        for w in (weight_decay, 2 * weight_decay)
    ]
    assume(costs[0] > 1e-6)
    assert costs[1] <= costs[0] * (1 + 1e-6)
