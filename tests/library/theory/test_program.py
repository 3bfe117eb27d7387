"""The convex program: its solver against other solvers, its gap, its controls."""

import math

import numpy as np
import pytest
import torch
from draws import noise, random_map
from hypothesis import assume, given
from hypothesis import strategies as st
from tolerances import ATOL

from freqsense import fourier, images, theory
from freqsense.theory import _proximal

SHAPES = [(4, 4), (5, 5), (4, 7), (6, 3)]
TIGHT = ATOL[torch.float64]


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
    basis = _proximal.half_basis((6, 6))
    features = basis.features(fourier.fft2(x).flatten(2).numpy())
    losses = [_proximal.SampleLoss(features, y.numpy(), loss)]
    if loss == "squared":
        losses.append(_proximal.GramLoss(features, y.numpy()))
    penalty = _proximal.Ridge(0.1) if depth == 1 else _proximal.NuclearNorm(0.1 / 6, basis.scale)
    for held in losses:
        for size in (0, 0.01, 0.3):
            b = size * noise(features.shape[1], n_outputs).numpy()
            objective, gap = _proximal._certify(held, penalty, b, held.push(b))
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


def test_shuffled_labels_are_not_predicted_by_the_true_ones():
    x, y = photo_task(200)
    shuffled = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(0))]
    true, other = (theory.solve(x, t, weight_decay=0.2, depth=1).B.abs() for t in (y, shuffled))
    assert (true - other).norm() > 0.5 * true.norm()


def test_plain_numbers_keep_their_digits():
    targets = [0.1 * n for n in range(6)]
    solutions = [
        solve(y=y, depth=1).B for y in (targets, torch.tensor(targets, dtype=torch.float64))
    ]
    assert torch.equal(*solutions)


# --- bad input ---

IMAGES, TARGETS = (noise(*shape, dtype=torch.float32) for shape in ((6, 1, 3, 4), (6,)))
NAN = torch.full((6, 1, 3, 4), torch.nan)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: solve(depth=3), ValueError, "not convex"),
        (lambda: solve(depth=0), ValueError, "depth must be at least 1"),
        (lambda: solve(weight_decay=-0.1), ValueError, "weight_decay"),
        (lambda: solve(x=NAN), ValueError, "finite"),
        (lambda: solve(x=IMAGES[:, 0]), ValueError, r"\(N, C, H, W\)"),
        (lambda: solve(x=IMAGES.int()), TypeError, "float32 or float64"),
        (lambda: solve(y=TARGETS[:5]), ValueError, r"shape \(6, \.\.\.\), as the images"),
        (lambda: solve(y=TARGETS * torch.nan), ValueError, "targets must be finite"),
        (lambda: solve(y=TARGETS + 0j), TypeError, "real"),
        (lambda: solve(loss="logistic"), ValueError, r"-1 or \+1"),
        (lambda: solve(loss="hinge"), ValueError, "squared, logistic"),
        (
            lambda: solve(loss="logistic", y=TARGETS.sign(), weight_decay=0.0),
            ValueError,
            "separable",
        ),
        (lambda: solve(y=None), TypeError, "targets must be an array of numbers, got NoneType"),
        (lambda: solve(y=[[1.0], [2.0, 3.0]]), TypeError, "targets must be an array of numbers"),
        (lambda: solve(y=(TARGETS > 0).long(), loss="logistic"), ValueError, r"-1 or \+1 .*got 0"),
        (lambda: solve(x=IMAGES.double() * 1e160), ValueError, "images must lie between .*e\\+160"),
        (lambda: solve(x=IMAGES.double() * 1e-160), ValueError, "images must lie between .*e-160"),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()


def solve(x=IMAGES, y=TARGETS, weight_decay=0.1, depth=2, **more):
    return theory.solve(x, y, weight_decay=weight_decay, depth=depth, **more)


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
