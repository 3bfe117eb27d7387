"""Statements of the page on dynamics and implicit bias that the tests of theory do not check."""

import math

import cvxpy as cp
import numpy as np
import pytest
import torch
from draws import moments, noise
from networks import as_network, descend, factors, imbalances
from scipy.integrate import solve_ivp
from scipy.special import softmax
from scipy.stats import spearmanr
from tolerances import ATOL

from freqsense import fourier, models, theory

TIGHT = ATOL[torch.float64]
SHAPES = [(6, 6), (5, 5), (4, 7)]


def balanced(B, depth, width=2):
    return as_network(theory.realize(B[..., None, None], depth, width=width))


def slopes(model, loss):
    """Velocity of the weights under gradient flow."""
    weights = list(model.parameters())
    return [-g for g in torch.autograd.grad(loss(theory.end_to_end(model)), weights)]


def velocity(model, loss, quantity):
    """Time derivative of a function of the model under gradient flow: central difference."""
    weights = list(model.parameters())
    moves, old, step = slopes(model, loss), [w.data.clone() for w in weights], 1e-5
    ends = []
    for sign in (1, -1):
        for w, v, start in zip(weights, moves, old, strict=True):
            w.data = start + sign * step * v
        ends.append(quantity(model))
    for w, start in zip(weights, old, strict=True):
        w.data = start
    return [(a - b) / (2 * step) for a, b in zip(*ends, strict=True)]


def gradient_of_map(B, loss):
    """G of the page: gradient of the loss with respect to the map, as Re tr(G* dB)."""
    B = B.detach().clone().requires_grad_()
    return torch.autograd.grad(loss(B), B)[0]


def rank(a, b):
    return spearmanr(a.flatten(), b.flatten()).statistic


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_def_gradient_flow(shape, depth):
    """Descent differs from flow by an error proportional to the step, at all times."""
    power, cross = moments(shape, floor=0.2)
    loss = theory.population_loss(power, cross)
    start, times = 0.05 * cross / cross.abs(), torch.linspace(0, 0.3, 11)
    exact = theory.learning_curves(power, cross, depth=depth, times=times, start=0.05)
    errors = []
    for steps in (300, 600, 1200):
        path = descend(balanced(start, depth), loss, 0.3 / steps, steps, steps // 10).abs()
        errors.append((path - exact).abs().max())
    assert errors[0] < 0.05
    assert 1.8 < errors[0] / errors[1] < 2.2 and 1.8 < errors[1] / errors[2] < 2.2


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize(("n_outputs", "n_channels"), [(1, 1), (2, 3)])
def test_lem_conserved_balance(shape, depth, n_outputs, n_channels):
    x, y = noise(9, n_channels, *shape), noise(9, n_outputs, seed=1)
    loss = theory.quadratic_loss(x, y)
    model = models.linear_cnn(depth, width=3, shape=(n_channels, *shape), n_outputs=n_outputs)
    model = model.double()
    for change in velocity(model, loss, imbalances):
        assert change.abs().max() < 1e-8
    # The layers themselves do move.
    parts = velocity(model, loss, lambda m: [a.detach() @ a.detach().mH for a in factors(m)])
    assert max(change.abs().max() for change in parts) > 1e-3


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("depth", [1, 2, 3, 5])
@pytest.mark.parametrize("width", [1, 3])
def test_lem_end_to_end_flow(shape, depth, width):
    """For a balanced start, and not for an unbalanced one; the images need not be stationary."""
    n_pixels = math.prod(shape)
    loss = theory.quadratic_loss(noise(9, 1, *shape), noise(9, seed=1))

    def error(model):
        B = theory.end_to_end(model).detach()
        moved = velocity(model, loss, lambda m: [theory.end_to_end(m).detach()])[0]
        speed = depth * n_pixels ** (1 - 1 / depth) * B.abs() ** (2 - 2 / depth)
        law = -speed * gradient_of_map(B, loss)
        return ((moved - law).abs().max() / law.abs().max()).item()

    assert error(balanced(fourier.fft2(noise(*shape, seed=2)), depth, width)) < 1e-6
    if depth > 1:
        other = balanced(fourier.fft2(noise(*shape, seed=2)), depth, width)
        other.head.data *= 3  # out of balance
        assert error(other) > 0.1


@pytest.mark.parametrize("theta", [0.3, 0.9])
def test_thm_learning_order(theta):
    power = torch.tensor([[2.0, 0.5, 1.0]], dtype=torch.float64)
    cross = torch.tensor([[0.5, 1.0, 0.7]], dtype=torch.float64)
    n_pixels = 3

    def reach(depth, start, share):
        law = escape_time(depth, start)
        times = torch.linspace(0, float(3 * law.max()), 60_001)
        r = theory.learning_curves(power, cross, depth=depth, times=times, start=start)
        return times[(r < share * cross / power).sum(0)]

    def escape_time(depth, start):
        if depth == 1:
            return -math.log(1 - theta) / power
        if depth == 2:
            return math.log(1 / start) / (2 * n_pixels**0.5 * cross)
        q = 1 - 2 / depth
        return start**-q / (q * depth * n_pixels ** (1 - 1 / depth) * cross)

    for depth, starts in ((1, (1e-5, 1e-8)), (2, (1e-20, 1e-80)), (3, (1e-6, 1e-10))):
        errors = []
        for start in starts:
            seen = reach(depth, start, theta)
            errors.append((seen / escape_time(depth, start) - 1).abs().max())
            if depth > 1:
                assert rank(seen, cross) == pytest.approx(-1)
        assert errors[1] < 0.05 and (errors[1] < errors[0] or errors[0] < 1e-3)
    # The rise takes a vanishing share of the wait.
    shares = [(reach(3, start, 0.9) / reach(3, start, 0.1)).max() for start in (1e-4, 1e-8)]
    assert shares[1] < shares[0] and shares[1] < 1.02


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("depth", [2, 3])
def test_a_small_start_is_no_more_balanced_than_a_large_one(depth, seed):
    ratios = []
    for size in (1.0, 0.1, 0.01):
        model = models.linear_cnn(depth, width=2, shape=(5, 6), seed=seed).double()
        for w in model.parameters():
            w.data *= size
        off = imbalances(model)[0].abs().amax((-2, -1))
        B = theory.end_to_end(model).detach().abs()[..., 0, 0]
        ratios.append(float((off * 30 ** ((depth - 1) / 2) / B).median()))
    assert ratios[0] > 0.3
    for ratio, growth in zip(ratios[1:], (10, 100), strict=True):
        assert ratio / ratios[0] == pytest.approx(growth ** (depth - 2), rel=1e-9)


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_a_head_start_overturns_the_order_from_depth_three_on(depth):
    """A ratio of starts is forgotten at depth 2, and is not at depth 3 and more."""
    power, cross = torch.ones(1, 2).double(), torch.tensor([[1.0, 1.3]]).double()
    start = 1e-8 * torch.tensor([[10.0, 1.0]]).double()  # the weaker one is ahead
    times = torch.linspace(0, 20 if depth == 2 else 1e5, 200_001)
    r = theory.learning_curves(power, cross, depth=depth, times=times, start=start)
    weaker, stronger = (r < cross / 2).sum(0)[0].tolist()
    assert max(weaker, stronger) < len(times)
    assert (weaker < stronger) == (depth > 2)
    level = theory.learning_curves(power, cross, depth=depth, times=times, start=1e-8)
    weaker, stronger = (level < cross / 2).sum(0)[0].tolist()
    assert stronger < weaker


def test_prop_early_stopping():
    x = torch.logspace(-6, 4, 20_001, dtype=torch.float64)
    ratio = -torch.expm1(-x) * (1 + x) / x
    assert 1 - TIGHT <= ratio.min() and 1.298 < ratio.max() <= 1.3
    assert 1.768 * math.exp(-1.768) > 0.3 and 0.3 * (1.768 + 1 / 1.768) >= 0.7
    power, cross, time = torch.tensor([[3.0, 0.2]]), torch.tensor([[1.0, 1.0]]), 0.7
    stopped = theory.learning_curves(power, cross, depth=1, times=torch.tensor([time]), start=0.0)
    ridge = theory.predict_sensitivity(power, cross, weight_decay=1 / time, depth=1)
    assert (stopped[0] >= ridge - 1e-6).all() and (stopped[0] <= 1.3 * ridge).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_prop_imbalance(shape):
    n_pixels = math.prod(shape)
    loss = theory.quadratic_loss(noise(9, 1, *shape), noise(9, seed=1))
    for seed in range(3):
        model = models.linear_cnn(2, width=1, shape=shape, seed=seed).double()
        B = theory.end_to_end(model).detach()
        moved = velocity(model, loss, lambda m: [theory.end_to_end(m).detach()])[0]
        delta = imbalances(model)[0].abs()
        speed = (n_pixels**2 * delta.square() + 4 * n_pixels * B.abs().square()).sqrt()
        law = -speed * gradient_of_map(B, loss)
        assert (moved - law).abs().max() < 1e-6 * law.abs().max()


# --- separable data ---


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


# --- function space ---


def test_def_function_frequency():
    """Periods are those of the length of k, whatever the spatial frequency."""
    for ky, kx in ((0, 1), (2, 3)):
        wave = fourier.fourier_mode((7, 8), ky, kx).real
        wave = wave / wave.norm()
        t = torch.arange(64, dtype=torch.float64) / 64
        values = torch.sin(2 * torch.pi * (t[:, None, None] * wave * 5 * wave).sum((-2, -1)))
        assert torch.fft.rfft(values).abs().argmax() == 5
        power = fourier.fft2(5 * wave).abs().square()
        assert power[ky, kx] > 0.49 * power.sum()


def test_prop_two_frequencies():
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    wave = fourier.fourier_mode((8, 8), 0, 1).real.flatten()
    moved = wave[order]
    assert abs(wave.norm() - moved.norm()) < TIGHT
    power = fourier.fft2(moved.reshape(8, 8)).abs().square()
    assert power.max() < 0.3 * power.sum()  # no wave any more
    model = models.linear_cnn(3, width=2, shape=(8, 8)).double()
    x, v, t = noise(1, 1, 8, 8), noise(1, 1, 8, 8, seed=1), torch.arange(-3.0, 4)
    values = model(x + t[:, None, None, None].double() * v)[:, 0]
    assert values.diff(n=2).abs().max() < TIGHT


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_depth_decides_whether_power_or_correlation_orders_learning(seed):
    """Trained weights, a random teacher: power at depth 1, correlation at depth 2."""
    shape, n_pixels = (8, 9), 72
    radius = fourier.radial_frequency(shape).double()
    alive = radius > 0
    power = torch.where(alive, 1 / radius.clamp(min=0.5), 0.0)
    power = power * n_pixels / power.sum()
    parts = fourier.fft2(noise(2, *shape, seed=seed))
    b = (0.3 + parts[1].abs()) * parts[0] / parts[0].abs() / n_pixels**0.5
    cross = power * b
    phase = torch.where(alive, cross / cross.abs().clamp(min=1e-300), 1)
    for depth, own, other in ((1, power, power * b.abs()), (2, power * b.abs(), power)):
        model = balanced(1e-4 * phase, depth, width=1)
        path = descend(model, theory.population_loss(power, cross), 0.02, 600, 4).abs()
        half = (path < b.abs() / 2).sum(0)[alive]
        assert (half < len(path)).all()
        assert rank(half, own[alive]) < -0.97 < -0.9 < rank(half, other[alive])
