"""Statements of the page on maximum margin, against cvxpy."""

import math

import cvxpy as cp
import numpy as np
import pytest
import torch
from draws import noise
from networks import imbalances
from scipy.integrate import solve_ivp
from scipy.special import softmax
from tolerances import ATOL

from freqsense import fourier, models, theory

TIGHT = ATOL[torch.float64]
SHAPES = [(6, 6), (5, 5), (4, 7)]


def separable(shape, n=7, seed=0):
    """Labelled transforms y x̂ (N, D) of white images of equal length, and the mirror of ω."""
    x = noise(n, *shape, seed=seed)
    x = x / x.flatten(1).norm(dim=1)[:, None, None] * math.prod(shape) ** 0.5
    return fourier.fft2(x).flatten(1).numpy(), fourier.rings(shape).mirror.numpy()


def size_of(B, depth):
    return (np.abs(B) ** (2 / depth)).sum() ** (depth / 2)


def normalised_margin(Z, B, depth):
    return (Z @ B).real.min() / size_of(B, depth)


def best(Z, mirror, depth):
    """Map of largest normalised margin by cvxpy, and its multipliers."""
    B = cp.Variable(Z.shape[1], complex=True)
    limits = [cp.real(Z @ B) >= 1]
    size = cp.sum_squares(B) / 2 if depth == 1 else cp.sum(cp.abs(B))
    exact = {"tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10, "tol_feas": 1e-10}
    cp.Problem(cp.Minimize(size), limits).solve(solver="CLARABEL", **exact)
    return (B.value + B.value[mirror].conj()) / 2, limits[0].dual_value


def follow(Z, B, depth, delta=0.0, decades=6):
    n_pixels = Z.shape[1]

    def move(_, q):
        B = q[:n_pixels] + 1j * q[n_pixels:]
        speed = (np.abs(B) ** 2 + n_pixels * delta**2 / 4) ** (1 - 1 / depth)
        v = speed * (softmax(-(Z @ B).real) @ Z).conj()
        v *= np.linalg.norm(B) / np.linalg.norm(v)
        return np.r_[v.real, v.imag]

    def arrived(_, q):
        return np.linalg.norm(q) - 10.0**decades

    arrived.terminal = True
    flow = solve_ivp(
        move, (0, 1000), np.r_[B.real, B.imag], "BDF", rtol=1e-7, atol=1e-9, events=arrived
    )
    assert flow.status == 1
    return flow.y[:n_pixels, -1] + 1j * flow.y[n_pixels:, -1]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("depth", [1, 2])
def test_def_max_margin(shape, depth):
    """The best map is a stationary point: the conditions hold with the solver's multipliers."""
    Z, mirror = separable(shape)
    B, mu = best(Z, mirror, depth)
    margins = (Z @ B).real
    assert margins.min() > 1 - 1e-6 and (mu > -1e-7).all()
    assert np.abs(mu * (margins - 1)).max() < 1e-5  # zero wherever the margin is above 1
    pull = (mu @ Z).conj()
    used = np.abs(B) > 1e-4 * np.abs(B).max()
    assert np.abs(pull - np.abs(B) ** (2 / depth - 2.0) * B)[used].max() < 1e-4
    assert np.abs(pull[~used]).max(initial=0) <= (1 + 1e-5 if depth == 2 else 1e-4)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("depth", [1, 2])
def test_thm_margin_certificate(shape, depth):
    Z, mirror = separable(shape)
    order = 2 if depth == 1 else np.inf
    rng = np.random.default_rng(0)
    for seed in range(20):
        alpha = rng.dirichlet(np.ones(len(Z)))
        B = fourier.fft2(noise(*shape, seed=seed)).flatten().numpy()
        limit = np.linalg.norm(alpha @ Z, order)
        assert normalised_margin(Z, B, depth) <= limit
        assert normalised_margin(Z, (alpha @ Z).conj(), depth) <= limit + TIGHT
    B, mu = best(Z, mirror, depth)
    equal = np.linalg.norm(mu / mu.sum() @ Z, order)
    assert normalised_margin(Z, B, depth) == pytest.approx(equal, rel=1e-5)


@pytest.mark.parametrize("shape", [(4, 4), (5, 3)])
@pytest.mark.parametrize("seed", [0, 1])
def test_thm_implicit_bias(shape, seed):
    """Depth 1 and 2 against cvxpy, depth 3 against the stationarity conditions."""
    Z, mirror = separable(shape, n=5, seed=seed)
    n_pixels = math.prod(shape)
    model = models.linear_cnn(2, width=1, shape=shape, seed=seed).double()
    start = 0.1 * theory.end_to_end(model).detach().flatten().resolve_conj().numpy()
    delta = 0.1 * imbalances(model)[0].real.flatten().numpy()
    for depth in (1, 2, 3):
        B = follow(Z, start, depth, delta if depth == 2 else 0.0)
        assert np.abs(B - B[mirror].conj()).max() < 1e-6 * np.abs(B).max()
        z = (softmax(-(Z @ B).real) @ Z).conj()
        used = np.abs(B) > 3e-2 * np.abs(B).max()
        if depth < 3:
            exact, _ = best(Z, mirror, depth)
            ratio = normalised_margin(Z, B, depth) / normalised_margin(Z, exact, depth)
            assert (1 - 1e-5 if depth == 1 else 0.97) < ratio < 1 + 1e-6
            assert depth == 1 or used.sum() < n_pixels
        else:
            law = np.abs(B[used]) ** (2 / depth - 2) * B[used]
            along = np.vdot(law, z[used]) / np.vdot(law, law)
            assert along.real > 0
            assert np.linalg.norm(z[used] - along * law) < 0.1 * np.linalg.norm(z[used])


def test_a_balanced_start_in_opposition_never_gets_there():
    """One image of one constant: a real number cannot cross zero at depth 2, and can at depth 1."""
    Z = np.array([[2.0 + 0j, 1.0, 0.0, 1.0]])  # y x̂ of a row of four pixels, DC the strongest
    start = np.array([-0.1 + 0j, 0.1, 0.1, 0.1])
    stuck, free = follow(Z, start, 2), follow(Z, start, 2, delta=np.full(4, 0.05))
    assert stuck[0].real < 0 and normalised_margin(Z, stuck, 2) < 1.01
    assert free[0].real > 0 and normalised_margin(Z, free, 2) > 1.95
    assert follow(Z, start, 1)[0].real > 0


@pytest.mark.parametrize("depth", [1, 2])
def test_prop_regularisation_path(depth):
    """The margin rises as decay falls, and lacks at most ln(2N) / size, as in the proof."""
    shape = (4, 5)
    Z, mirror = separable(shape)
    x = torch.fft.ifft2(torch.from_numpy(Z).unflatten(1, shape), norm="ortho").real[:, None]
    largest = normalised_margin(Z, best(Z, mirror, depth)[0], depth)
    found = []
    for weight_decay in (1e-1, 1e-2, 1e-3, 1e-4):
        solved = theory.solve(
            x,
            torch.ones(len(x)),
            weight_decay=weight_decay,
            depth=depth,
            loss="logistic",
            tolerance=1e-7,
        )
        B = solved.B.flatten().resolve_conj().numpy()
        found.append(normalised_margin(Z, B, depth))
        assert largest - math.log(2 * len(Z)) / size_of(B, depth) <= found[-1] <= largest * 1.000001
    assert np.all(np.diff(found) > 0) and found[-1] > 0.9 * largest
