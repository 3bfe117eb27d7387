"""Statements of the page on the sensitivity theorem that the tests of theory do not check."""

import math

import pytest
import torch
from draws import falling_power, moments, noise, white_teacher
from formulas import scalar_objective
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from tolerances import ATOL

from freqsense import fourier, images, models, theory, training

TIGHT = ATOL[torch.float64]
SHAPES = [(6, 6), (5, 5), (4, 7)]
positive = st.floats(0.05, 20)


def relative(s, weight_decay, depth, branch="global"):
    """r / |b*| in units where D |b*|² = 1: images of one pixel and a teacher of size 1."""
    grid = torch.as_tensor(s, dtype=torch.float64).reshape(-1, 1, 1)
    found = theory.predict_sensitivity(
        grid, grid, weight_decay=weight_decay, depth=depth, branch=branch
    )
    return found.flatten()


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


@given(positive, st.floats(0.1, 5), positive, st.integers(1, 6), st.integers(1, 300))
def test_eq_universal(s, target, weight_decay, depth, n_pixels):
    corner = weight_decay * (n_pixels * target**2) ** (1 / depth - 1)
    kappa = weight_decay * n_pixels ** (1 / depth - 1)
    grid = torch.tensor([[[s]]], dtype=torch.float64)
    r = theory.predict_sensitivity(grid, grid * target, weight_decay=kappa, depth=depth).item()
    t = r / target
    if t > 0:
        assert abs(t + corner / s * t ** (2 / depth - 1) - 1) < TIGHT
    assert abs(t - relative(s, corner, depth).item()) < 1e-8  # one constant in place of four


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


def test_one_more_layer_raises_the_threshold_of_small_tasks_only():
    def edge(size, depth):
        return theory.threshold(size**0.5, weight_decay=1.0, depth=depth, n_pixels=1)

    constants = {depth: edge(1.0, depth) for depth in range(2, 8)}
    assert abs(constants[3] - 2 ** (4 / 3)) < TIGHT
    assert abs(constants[4] - 3**1.5 / 2**0.5) < TIGHT
    for depth in range(2, 7):
        bound = (constants[depth + 1] / constants[depth]) ** (depth * (depth + 1))
        assert edge(0.99 * bound, depth + 1) > edge(0.99 * bound, depth)
        assert edge(1.01 * bound, depth + 1) < edge(1.01 * bound, depth)
        assert depth > 2 or abs(bound - 256) < 1e-9


def test_branch_prices_and_their_ratio():
    s = torch.tensor([0.3, 1.0, 8.0], dtype=torch.float64)
    for depth in (3, 4, 7):
        found = theory.branches(s, weight_decay=2.0, depth=depth, n_pixels=12)
        local = s * found.r_local * 2 * (depth - 1) / (depth - 2)
        whole = s * found.r_global * (depth - 1) / (depth - 2)
        assert torch.allclose(found.gamma_local, local, atol=TIGHT)
        assert torch.allclose(found.gamma_global, whole, atol=TIGHT)
        gap = depth ** (depth / (2 * (depth - 1))) / 2
        assert torch.allclose(found.gamma_global / found.gamma_local, torch.full_like(s, gap))


def test_depth_three_is_two_thirds_thresholding():
    # min (x - t)² + λ |x|^(2/3) leaves zero at t = 2/3 (3 λ³)^(1/4); here s = 2, γ = 2t, 3κ = 2λ.
    for lam in (0.3, 1.0, 2.5):
        s = torch.full((1,), 2.0, dtype=torch.float64)
        found = theory.branches(s, weight_decay=2 * lam / 3, depth=3, n_pixels=1)
        t = float(found.gamma_global / 2)
        assert t == pytest.approx(2 / 3 * (3 * lam**3) ** 0.25)
        x = torch.linspace(0, 3 * t, 300_001, dtype=torch.float64)
        for target, at_zero in ((0.99 * t, True), (1.01 * t, False)):
            best = ((x - target).square() + lam * x ** (2 / 3)).argmin()
            assert (best == 0) == at_zero


def test_depth_four_is_half_thresholding():
    """Threshold of min (x - t)² + μ sqrt|x|, as its inventors give it: 54^(1/3)/4 μ^(2/3)."""
    for mu in (0.1, 1.0, 7.0):
        s = torch.tensor([2.0], dtype=torch.float64)
        found = theory.branches(s, weight_decay=mu / 2, depth=4, n_pixels=1)
        assert abs(found.gamma_global.item() / 2 - 54 ** (1 / 3) / 4 * mu ** (2 / 3)) < TIGHT


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_descent_multiplies_silent_frequencies_by_a_known_factor(depth, loss):
    shape, eta, steps = (5, 8), 0.02, 30
    heard = fourier.radial_mask(shape, 1.5, math.inf)
    x = fourier.ifft2(heard * fourier.fft2(noise(24, 2, *shape))).real
    y = noise(24, seed=1).sign()
    for weight_decay in (0.0, 0.3):
        model = models.linear_cnn(depth, width=2, shape=(2, *shape)).double()
        before = theory.end_to_end(model).detach()
        sgd = torch.optim.SGD(model.parameters(), lr=eta, weight_decay=weight_decay)
        for step in range(steps):
            batch = slice(step % 2, None, 2)
            f = model(x[batch])[:, 0]
            value = (
                (f - y[batch]).square() / 2 if loss == "squared" else (-y[batch] * f).exp().log1p()
            )
            sgd.zero_grad()
            value.mean().backward()
            sgd.step()
        after = theory.end_to_end(model).detach()
        factor = (1 - eta * weight_decay) ** (steps * depth)
        assert torch.allclose(after[~heard], factor * before[~heard], atol=TIGHT)
        assert (after - factor * before)[heard].abs().max() > 0.01
        assert weight_decay == 0 or factor < 0.9


@pytest.mark.parametrize("seed", range(3))
def test_prop_local_minima(seed):
    shape, weight_decay, depth = (4, 5), 1.0, 3
    power, cross = moments(shape, seed=seed)
    cross = 3 * cross
    loss = theory.population_loss(power, cross)
    upper = theory.predict_sensitivity(
        power, cross, weight_decay=weight_decay, depth=depth, branch="upper"
    )
    assert (upper > 0).sum() > 4
    mirror = fourier.rings(shape).mirror

    def minimise(model):
        return training.minimize(
            model, lambda m: loss(theory.end_to_end(m)), weight_decay=weight_decay
        )

    # 1. Any combination of wells is a local minimum: training from close by comes back to it.
    strongest = int(upper.argmax())
    chosen = upper.flatten() > 0
    chosen[[strongest, int(mirror[strongest])]] = False
    chosen = chosen.reshape(shape)
    B = (upper * chosen * cross / cross.abs())[..., None, None]
    model = models.linear_cnn(depth, width=2, shape=shape).double()
    weights = theory.realize(B, depth, width=2)
    with torch.no_grad():
        for parameter, weight in zip(
            [layer.weight for layer in model.convolutions] + [model.head], weights, strict=True
        ):
            parameter.copy_(weight + 1e-3 * noise(*weight.shape, seed=seed))
    assert minimise(model).converged
    assert torch.allclose(theory.end_to_end(model).detach(), B, atol=1e-6)
    better = upper * cross / cross.abs()
    cost = [
        loss(b) + 0.5 * theory.representation_cost(b, depth) for b in (B, better[..., None, None])
    ]
    assert chosen.any() and cost[1] < cost[0]  # it was not the global minimum

    # 2. Wherever training ends, each frequency is at 0 or on the upper branch, in phase.
    model = models.linear_cnn(depth, width=2, shape=shape, seed=seed).double()
    assert minimise(model).converged
    found = theory.end_to_end(model).detach()[..., 0, 0]
    expected = upper * cross / cross.abs()
    nearest = torch.minimum(found.abs(), (found - expected).abs())
    assert nearest.max() < 1e-6
    assert (found.abs() > 1e-3).any()


def normal_mean(function, variance):
    """Mean of a function of a normal variable."""
    z = torch.linspace(-9, 9, 4001, dtype=torch.float64)
    weight = torch.exp(-z.square() / 2)
    return float((weight * function(variance**0.5 * z)).sum() / weight.sum())


def logistic_curvature(variance):
    return normal_mean(lambda f: torch.sigmoid(f) * torch.sigmoid(-f), variance)


@pytest.mark.parametrize("seed", range(3))
def test_thm_other_losses(seed):
    """The derivative is s (h B - a b*) at any map B, not only at a minimum."""
    shape, n = (4, 5), 400_000
    x = images.gaussian_field(n, shape=shape, alpha=1.0, seed=seed).double()[:, 0]
    xhat = fourier.fft2(x)
    B, teacher = (fourier.fft2(noise(*shape, seed=seed + k)) / 5 for k in (1, 2))
    f, u = ((b * xhat).sum((1, 2)).real for b in (B, teacher))
    radius = fourier.radial_frequency(shape)
    power = radius.where(radius > 0, math.inf) ** -1.0
    power = power * 20 / power.sum()
    y = u.sign()
    slope = -y * torch.sigmoid(-y * f)  # of the logistic loss
    measured = (xhat.conj() * slope[:, None, None]).mean(0)
    h = logistic_curvature(float((power * B.abs().square()).sum()))
    a = 1 / math.sqrt(2 * math.pi * float((power * teacher.abs().square()).sum()))
    expected = power * (h * B - a * teacher)
    error = power.sqrt() / n**0.5  # |∂ℓ| is at most 1
    assert ((measured - expected).abs() < 5 * error)[power > 0].all()
    assert ((measured - power * (h * B - 2 * a * teacher)).abs() > 20 * error).any()


def logistic_prediction(power, teacher, weight_decay, depth):
    """For y = sign(u): s becomes h s, and c becomes a s b*, with a the density of u at 0."""
    a = 1 / math.sqrt(2 * math.pi * float((power * teacher.abs().square()).sum()))

    def predict(v):
        return theory.predict_sensitivity(
            logistic_curvature(v) * power,
            a * power * teacher,
            weight_decay=weight_decay,
            depth=depth,
        )

    return predict(brentq(lambda v: float((power * predict(v).square()).sum()) - v, 1e-9, 1e5))


@pytest.mark.parametrize("depth", [1, 2])
def test_logistic_loss_on_sampled_images_approaches_the_curve(depth):
    shape, weight_decay = (6, 5), 0.05
    power = fourier.radial_frequency(shape)
    power = power.where(power > 0, math.inf) ** -2.0
    power = power * 30 / power.sum()
    teacher = white_teacher(shape) / 30**0.5
    expected, errors = logistic_prediction(power, teacher, weight_decay, depth), []
    for n in (1000, 16000):
        x = images.gaussian_field(n, shape=shape, alpha=2.0, seed=3).double()
        labels = (fourier.fft2(x[:, 0]) * teacher).sum((1, 2)).real.sign()
        solution = theory.solve(
            x, labels, weight_decay=weight_decay, depth=depth, loss="logistic", tolerance=1e-7
        )
        errors.append(float((solution.B[..., 0, 0].abs() - expected).norm() / expected.norm()))
    assert errors[1] < 0.06 and errors[1] < errors[0] / 2


@pytest.mark.parametrize("seed", [0, 1])
def test_logistic_loss_silences_all_at_half_the_decay_of_squared_loss_at_depth_two(seed):
    """With labels ±1, on any images: at depth 2 the curvature plays no part."""
    x, y = noise(60, 1, 5, 6, seed=seed), noise(60, seed=seed + 9).sign()
    _, cross = theory.second_moments(x, y)
    edge = float(cross.abs().max()) * 30**0.5  # of the squared loss, in λ
    for loss, factor in (("squared", 1.0), ("logistic", 0.5)):
        for share, heard in ((1.01, False), (0.97, True)):
            B = theory.solve(x, y, weight_decay=share * factor * edge, depth=2, loss=loss).B
            assert bool(B.abs().max() > 1e-9) == heard, (loss, share)


@pytest.mark.parametrize("variance", [0.0, 1.0, 30.0])
def test_the_corner_of_logistic_loss_at_depth_one_is_at_least_four_times_as_high(variance):
    h = logistic_curvature(variance) if variance else 0.25
    assert 0 < h <= 0.25
    s, a = torch.tensor([[3.0]]).double(), 0.7
    # Half of the teacher (a / h) b* is reached at the power λ / h.
    lam = float(h * s)
    r = theory.predict_sensitivity(h * s, a * s, weight_decay=lam, depth=1)
    assert float(r) == pytest.approx(a / h / 2)
    assert float(s) == pytest.approx(lam / h) and lam / h >= 4 * lam


def mirrored_task(power, teacher, n_pairs):
    """Images of exactly this power, in pairs mirrored at the teacher, and the signs of u."""
    white = noise(n_pairs, *power.shape).flatten(1)
    normalised = torch.linalg.qr(white)[0] * math.sqrt(n_pairs)  # covariance 1, exactly
    xhat = fourier.fft2(normalised.unflatten(1, power.shape)) * power.sqrt()
    direction = power * teacher.conj() / power.sum()  # E[x̂ u] / E[u²], |b*| = 1
    u = (xhat * teacher).real.sum((-2, -1))
    mirrored = 2 * u[:, None, None] * direction - xhat
    x = fourier.ifft2(torch.cat([xhat, mirrored])).real[:, None]
    return x, torch.cat([u, u]).sign()


@pytest.mark.parametrize("depth", [1, 2])
def test_logistic_loss_on_gaussian_images_needs_two_scalars_only(depth):
    """Stein's lemma; the rest is sampling error."""
    power, teacher, weight_decay = falling_power((8, 8)), white_teacher((8, 8)), 0.1
    x, y = mirrored_task(power, teacher, 60_000)
    solution = theory.solve(
        x, y, weight_decay=weight_decay, depth=depth, loss="logistic", tolerance=1e-8
    )
    solved = solution.B[..., 0, 0].abs()
    expected = logistic_prediction(power, teacher, weight_decay, depth)
    assert (solved - expected).norm() < 5e-3 * expected.norm()
    assert torch.equal(solved < 1e-3 * solved.max(), expected == 0)
    squared = theory.predict_sensitivity(power, power, weight_decay=weight_decay, depth=depth)
    assert (solved - squared).norm() > 0.1 * squared.norm()  # that loss has another curve


def test_adding_power_that_the_teacher_ignores_lowers_sensitivity():
    """The counterexample of thm-several-channels, by hand."""
    beta = torch.tensor([1.0, -1.0], dtype=torch.complex128)
    before = torch.diag(torch.tensor([1.0, 0.0], dtype=torch.complex128))
    added = torch.ones(2, 2, dtype=torch.complex128)
    sizes = [
        theory.predict_sensitivity(
            m[None, None], (m @ beta)[None, None], weight_decay=1.0, depth=1
        ).item()
        for m in (before, before + added, 2 * before)
    ]
    assert abs(sizes[0] - 0.5) < TIGHT and abs(sizes[1] - 5**-0.5) < TIGHT
    assert sizes[2] > sizes[0]


@pytest.mark.parametrize("depth", [2, 3, 4, 6])
def test_eq_any_threshold(depth):
    b, kappa = 0.7, 0.4
    r = torch.linspace(1e-6, b, 200_001, dtype=torch.float64)
    ratio = kappa * depth / 2 * r ** (2 / depth) / (r * (b - r / 2))
    exact = theory.threshold(b, weight_decay=kappa, depth=depth, n_pixels=1)
    assert abs(float(ratio.min()) / exact - 1) < 1e-5
    assert abs(float(r[ratio.argmin()]) - theory.jump(b, depth)) < 1e-3


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
    for depth, silent in ((2, (8, 2)), (3, (4, 1))):
        for s, weight_decay in zip((4, 1), silent, strict=True):
            edge = theory.threshold(0.5, weight_decay=float(weight_decay), depth=depth, n_pixels=16)
            assert abs(edge - s) < TIGHT
    assert theory.jump(0.5, 3) == 0.25
