"""Robustness: closed forms of linear networks, norms, seeds, state, regimes of training."""

import math

import pytest
import torch
from draws import noise
from networks import linear_net, seeded, small_net
from states import assert_same_state, state_of
from tolerances import ATOL, SIGMAS
from torch import nn

from freqsense import fourier, models, robustness, theory, training
from freqsense.robustness import band_noise, band_penalty, error_rate, fourier_heat_map, pgd
from freqsense.sensitivity import measure_sensitivity
from freqsense.spectra import power_spectrum

SHAPES = [(8, 8), (7, 7), (6, 9), (7, 4)]
TIGHT = ATOL[torch.float64]


def even_net(b):
    """One output, <b, x>, of which b is made even: B is real."""
    flipped = b.flip(-2, -1).roll((1, 1), (-2, -1))
    return models.LinearCNN([], (b + flipped)[None])


def task(model, shape, n=40, seed=1, flipped=0):
    """Images with the labels that the model gives them, wrong ones for the first few."""
    x = noise(n, *shape, seed=seed)
    outputs = model(x).detach()
    if outputs.shape[1] == 1:
        y = outputs[:, 0].sign()
        y[:flipped] *= -1
    else:
        y = outputs.argmax(1)
        y[:flipped] = (y[:flipped] + 1) % outputs.shape[1]
    return x, y


def waves(shape):
    """Real directions (H, W, H, W) by frequency, from the formula of the definition."""
    height, width = shape
    sides = (torch.arange(side, dtype=torch.float64) for side in shape)
    p, q = torch.meshgrid(*sides, indexing="ij")
    u = torch.zeros(height, width, height, width, dtype=torch.float64)
    for ky in range(height):
        for kx in range(width):
            first = min((ky, kx), (-ky % height, -kx % width))  # in the order of the flat grid
            angle = 2 * math.pi * (first[0] * p / height + first[1] * q / width)
            u[ky, kx] = (angle.cos() + angle.sin()) / math.sqrt(height * width)
    return u


@pytest.mark.parametrize("shape", SHAPES)
def test_def_fourier_heat_map(shape):
    """Against the definition, every wave and sign seen by a model that keeps what it is shown."""
    seen = []

    def model(x):
        seen.append(x)
        return (x * readout).sum((1, 2, 3))[:, None]

    readout, v = noise(2, *shape, seed=9), 12.0
    x = noise(6, 2, *shape)
    y = (x * readout).sum((1, 2, 3)).sign()
    result = fourier_heat_map(model, x, y, norm=v, batch_size=4)
    u, d = waves(shape), math.prod(shape)
    assert torch.allclose(u.reshape(d, d).norm(dim=1), torch.ones(d).double(), atol=TIGHT)
    assert torch.equal(seen[0], x[:1])  # the outputs are counted
    assert torch.equal(torch.cat(seen[1:3]), x)
    half = fourier.rings(shape).half.reshape(shape)
    assert len(seen) == 3 + 2 * half.sum()
    signs = []
    for number, (ky, kx) in enumerate(half.nonzero().tolist()):
        shown = torch.cat(seen[3 + 2 * number : 5 + 2 * number])
        delta = shown - x
        r = (delta * u[ky, kx]).sum((-2, -1)) * math.sqrt(2) / v
        assert torch.allclose(r.abs(), torch.ones_like(r), atol=TIGHT)
        expected = v / math.sqrt(2) * r[..., None, None] * u[ky, kx]
        assert torch.allclose(delta, expected, atol=TIGHT)
        assert torch.allclose(delta.flatten(1).norm(dim=1), torch.tensor(v).double())
        wrong = (shown * readout).sum((1, 2, 3)) * y <= 0
        assert result.errors[ky, kx] == result.errors[-ky, -kx] == wrong.double().mean()
        signs.append(r.sign())
    signs = torch.stack(signs)  # (F, N, C): new ones for every frequency, image and channel
    assert abs(signs.mean()) < SIGMAS / math.sqrt(signs.numel())
    assert all(signs.unique(dim=axis).shape[axis] > 1 for axis in range(3))
    assert result.clean_error == 0 and result.n_images == 6 and result.norm == v
    assert result.errors.dtype == torch.float64 and result.errors.max() > 0


@pytest.mark.parametrize("shape", SHAPES)
def test_prop_heat_map_linear(shape):
    """The expected error in closed form, and what is monotone in a(ω)."""
    model = linear_net(2, shape)
    x, y = task(model, (1, *shape), n=400, flipped=100)
    margins = y * model(x)[:, 0].detach()
    v = 4.0
    B = theory.end_to_end(model)[..., 0, 0]
    at = fourier.rings(shape)
    first = torch.minimum(torch.arange(len(at.half)), at.mirror)
    a = (v * (B.real + B.imag).abs()).flatten()[first].detach()
    assert (a <= v * math.sqrt(2) * B.abs().flatten() + TIGHT).all()
    each = ((margins <= a[:, None]).double() + (margins <= -a[:, None]).double()) / 2  # (D, N)
    spread = (each * (1 - each)).sum(1).sqrt() / len(x)
    errors = fourier_heat_map(model, x, y, norm=v).errors.flatten()
    assert ((errors - each.mean(1)).abs() <= SIGMAS * spread + TIGHT).all()
    # Negative control: the amplitudes of another linear network miss by far.
    other = theory.end_to_end(linear_net(2, shape, seed=5))[..., 0, 0].abs().flatten().detach()
    missed = ((margins <= v * other[:, None]).double() + (margins <= -v * other[:, None])) / 2
    assert ((errors - missed.mean(1)).abs() > SIGMAS * spread + TIGHT).any()
    # The right images fail more and the wrong ones less as a grows, neither beyond one half.
    order = a.argsort()
    right, wrong = each[order][:, 100:].mean(1), each[order][:, :100].mean(1)
    assert (right.diff() >= 0).all() and right[0] < right[-1] <= 0.5
    assert (wrong.diff() <= 0).all() and wrong[0] > wrong[-1] >= 0.5
    # At a giant norm half of all images fail wherever the network listens, right or wrong before.
    giant = fourier_heat_map(model, x, y, norm=1e9).errors
    assert ((giant - 0.5).abs() < SIGMAS / math.sqrt(4 * len(x))).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_prop_heat_map_linear_with_an_even_kernel(shape):
    """Where B is real the error rises with |B(ω)| itself."""
    model = even_net(noise(1, *shape, seed=4))
    B = theory.end_to_end(model)[..., 0, 0].detach()
    assert B.imag.abs().max() < TIGHT < B.real.abs().max()
    x, y = task(model, (1, *shape), n=300)
    v = 1.5
    errors = fourier_heat_map(model, x, y, norm=v).errors
    margins = y * model(x)[:, 0].detach()
    expected = (margins <= v * B.abs()[..., None]).double().mean(-1) / 2
    spread = (expected / 2 / len(x)).sqrt()  # only images within reach can fail, each by a coin
    assert ((errors - expected).abs() <= SIGMAS * spread + TIGHT).all()
    low, high = B.abs().quantile(torch.tensor([0.25, 0.75]).double())
    assert errors[B.abs() >= high].mean() > 1.5 * errors[B.abs() <= low].mean() > 0


def test_heat_map_of_classes_agrees_with_that_of_signs():
    """Two outputs that differ by f decide as f alone does, from the same signs of the waves."""
    head = noise(2, 3, 6, 5)
    two = models.LinearCNN([], head)
    one = models.LinearCNN([], (head[1] - head[0])[None])
    x, classes = task(two, (3, 6, 5), flipped=7)
    of_two = fourier_heat_map(two, x, classes, norm=2.0)
    of_one = fourier_heat_map(one, x, classes * 2 - 1, norm=2.0)
    assert torch.equal(of_two.errors, of_one.errors) and of_two.clean_error == 7 / 40
    column = fourier_heat_map(one, x.numpy(), (classes * 2.0 - 1)[:, None].numpy(), norm=2.0)
    assert torch.equal(column.errors, of_one.errors)


def test_heat_map_errors_and_profile():
    model = small_net()
    x, y = task(model.eval(), (2, 8, 6), n=50, flipped=5)
    result = fourier_heat_map(model, x, y, norm=20.0)
    expected = (result.errors * (1 - result.errors) / 50).sqrt()
    assert torch.equal(result.stderr, expected) and expected.max() > 0
    profile = result.radial()
    assert torch.equal(profile.mean, fourier.radial_average(result.errors).mean)
    assert profile.sem_over == "images" and torch.equal(profile.sem, result.ring_stderr)
    single = fourier_heat_map(model, x[:1], y[:1], norm=20.0)
    assert single.ring_stderr.isnan().all() and single.radial().sem_over == "ring"


def test_ring_errors_of_a_heat_map_cover_the_value_of_many_images():
    """Every wave is tried on the same images: errors are not those of independent frequencies."""
    model = even_net(noise(1, 8, 8, seed=4))
    maps = []
    for seed in range(40):
        x, y = task(model, (1, 8, 8), n=60, seed=100 + seed)
        maps.append(fourier_heat_map(model, x, y, norm=2.0, seed=seed).radial())
    means = torch.stack([each.mean for each in maps])
    claimed = torch.stack([each.sem for each in maps]).square().mean(0).sqrt()
    ratio = claimed / means.std(0)
    # A spread told from 40 maps is uncertain by about 11 %.
    assert ((ratio - 1).abs() < SIGMAS * 0.11).all()
    naive = means.mean(0) * (1 - means.mean(0)) / 60 / maps[0].count
    assert (naive.sqrt() / means.std(0))[2] < 0.85


def test_heat_map_is_a_function_of_its_seed_alone():
    model = small_net()
    x, y = task(model.eval(), (2, 6, 6), flipped=4)
    state = torch.get_rng_state()
    first = fourier_heat_map(model, x, y, norm=9.0, seed=3)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(99)
    again = fourier_heat_map(model, x, y, norm=9.0, seed=3, batch_size=7)
    assert torch.equal(first.errors, again.errors)
    assert torch.equal(first.ring_stderr, again.ring_stderr)
    assert not torch.equal(first.errors, fourier_heat_map(model, x, y, norm=9.0, seed=4).errors)


def test_negative_control_a_constant_model_has_the_same_error_everywhere():
    model = small_net()
    nn.init.zeros_(model[-1].weight)
    x, y = task(model.eval(), (2, 6, 6), flipped=4)
    result = fourier_heat_map(model, x, y, norm=1e3)
    assert (result.errors == 0.1).all() and result.clean_error == 0.1


def test_eq_error_rate():
    model = small_net()
    x, y = task(model.eval(), (2, 8, 8), flipped=3)
    for batch_size in (1, 7, 100):
        assert error_rate(model.train(), x, y, batch_size=batch_size) == 3 / 40
    one = linear_net(2, (6, 5))
    x, y = task(one, (1, 6, 5), flipped=5)
    assert error_rate(one, x, y) == error_rate(one, x.float(), y[:, None].int()) == 1 / 8
    assert error_rate(one, x, -y) == 7 / 8
    assert error_rate(lambda x: 0 * x.sum((1, 2, 3))[:, None], x, y) == 1  # no sign, no answer


@pytest.mark.parametrize("shape", SHAPES)
def test_eq_band_noise(shape):
    low, high = 1.5, 3.0
    eta = band_noise(300, shape=(2, *shape), low=low, high=high, norm=2.5, seed=3)
    assert eta.shape == (300, 2, *shape) and eta.dtype == torch.float32
    norms = eta.double().flatten(1).norm(dim=1)
    assert torch.allclose(norms, torch.full_like(norms, 2.5), rtol=ATOL[torch.float32])
    inside = fourier.radial_mask(shape, low, high)
    power = power_spectrum(eta.double(), center=False)
    assert power.values[:, ~inside].max() < 1e-9
    # Spread evenly over the frequencies of the band.
    level = 2.5**2 / (2 * inside.sum())
    assert ((power.values - level).abs() < SIGMAS * power.stderr)[:, inside].all()
    assert torch.equal(eta, band_noise(300, shape=(2, *shape), low=1.5, high=3, norm=2.5, seed=3))
    assert not torch.equal(eta, band_noise(300, shape=(2, *shape), low=1.5, high=3, norm=2.5))


def test_band_noise_hurts_where_the_network_listens():
    low_teacher = models.LinearCNN([], robustness.low_pass(noise(1, 1, 16, 16), 4))
    x, y = task(low_teacher, (1, 16, 16), n=200)
    inside, outside = (
        error_rate(low_teacher, x + band_noise(200, shape=(16, 16), low=a, high=b, norm=20.0), y)
        for a, b in ((0, 4), (4, 12))
    )
    assert inside > 0.15 and outside == 0


def l2_norms(x):
    return x.flatten(1).norm(dim=1)


@pytest.mark.parametrize("random_start", [True, False])
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_eq_pgd(norm, random_start, monkeypatch):
    """Within the ball, up the loss, and each step the one of the equation."""
    model = small_net().eval()
    x, y = task(model, (2, 7, 6), flipped=2)
    attack = {"radius": 0.8, "norm": norm, "random_start": random_start}
    moved = pgd(model, x, y, **attack)
    delta = moved - x
    size = l2_norms(delta) if norm == "l2" else delta.abs().amax((1, 2, 3))
    assert size.max() <= 0.8 + TIGHT and size.median() > 0.79

    def losses(pixels):
        return nn.functional.cross_entropy(model(pixels), y, reduction="none").detach()

    assert (losses(moved) > losses(x)).all()
    # Negative control: a random direction of the same norm does next to nothing beside it.
    stray = noise(*x.shape, seed=5)
    stray = (
        stray.sign() * 0.8 if norm == "linf" else 0.8 * stray / l2_norms(stray).view(-1, 1, 1, 1)
    )
    assert (losses(x + stray) - losses(x)).mean() < (losses(moved) - losses(x)).mean() / 3
    # One step from where it ended is the step of the equation, with the cross-entropy itself.
    monkeypatch.setattr(robustness, "_REACH", 0.3 / 0.8)
    further = pgd(model, x, y, radius=0.8, norm=norm, random_start=False, steps=1)
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(model(leaf), y), leaf)
    step = gradient.sign() if norm == "linf" else gradient / l2_norms(gradient).view(-1, 1, 1, 1)
    assert torch.allclose(further, x + 0.3 * step, atol=TIGHT)


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 7, 7), (3, 6, 9)])
def test_prop_pgd_linear(shape, monkeypatch):
    model = linear_net(2, shape)
    x, y = task(model, shape, flipped=5)
    leaf = x[:1].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(leaf).sum(), leaf)
    rho = 0.7
    expected = -y[:, None, None, None] * rho * gradient / gradient.norm()
    moved = pgd(model, x, y, radius=rho, random_start=False)
    assert torch.allclose(moved - x, expected, rtol=0, atol=TIGHT)
    # A random start is forgotten, step by step as fast as stated.
    monkeypatch.setattr(robustness, "_REACH", 40)  # each step is as long as the radius
    started = pgd(model, x, y, radius=rho, steps=40)
    monkeypatch.undo()
    assert (started - x - expected).abs().max() < 1e-6
    assert l2_norms(started - x).max() <= rho + TIGHT
    power = robustness.perturbation_spectrum(x, moved).values
    B = theory.end_to_end(model)[..., 0, :].detach().permute(2, 0, 1)  # (C, H, W)
    law = rho**2 * B.abs().square() / B.abs().square().sum()
    assert torch.allclose(power, law, rtol=TIGHT, atol=TIGHT) and law.max() > 3 * law.mean()
    squared = measure_sensitivity(model, x).values.square()
    assert torch.allclose(power, rho**2 * squared / squared.sum(), rtol=TIGHT, atol=TIGHT)
    # Negative control: L-infinity moves along the signs, which have another spectrum.
    signs = pgd(model, x, y, radius=rho, norm="linf", random_start=False)
    assert torch.allclose(signs - x, rho * expected.sign(), atol=TIGHT)
    flat = robustness.perturbation_spectrum(x, signs).values
    assert not torch.allclose(flat / flat.sum(), law / law.sum(), rtol=0.1)


def test_prop_pgd_linear_of_two_classes():
    """With two outputs it is the gradient of their difference."""
    model = linear_net(2, (2, 6, 5), n_outputs=2)
    x, y = task(model, (2, 6, 5), flipped=5)
    leaf = x[:1].clone().requires_grad_()
    (gradient,) = torch.autograd.grad((model(leaf) * torch.tensor([1.0, -1.0])).sum(), leaf)
    toward = (2.0 * y.double() - 1)[:, None, None, None]  # class 0 is pushed down, class 1 up
    expected = toward * 0.7 * gradient / gradient.norm()
    moved = pgd(model, x, y, radius=0.7, random_start=False)
    assert torch.allclose(moved - x, expected, rtol=0, atol=TIGHT)


def test_the_pull_of_a_start_shrinks_by_the_stated_factor(monkeypatch):
    model, rho, eta = linear_net(2, (6, 6)), 1.0, 0.5
    x, y = task(model, (1, 6, 6))
    B = theory.end_to_end(model)[..., 0, 0].detach()
    direction = -fourier.ifft2(B.conj()).real / B.abs().square().sum().sqrt()

    def cosine_and_tangent(steps):
        monkeypatch.setattr(robustness, "_REACH", eta * steps / rho)
        delta = pgd(model, x, y, radius=rho, steps=steps, seed=2) - x
        along = (delta * y[:, None, None, None] * direction).sum((1, 2, 3)) / l2_norms(delta)
        assert torch.allclose(l2_norms(delta), torch.ones(len(x)).double())
        return along, (1 - along.square()).sqrt() / along

    (cosine, before), (_, after) = cosine_and_tangent(6), cosine_and_tangent(7)
    expected = before * rho * cosine / (rho * cosine + eta)
    assert torch.allclose(after, expected, rtol=1e-6) and before.min() > 1e-3


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_pgd_where_the_loss_saturates(n_outputs):
    """A margin at which the loss is 0 in float32 still has a direction."""
    model = linear_net(2, (6, 6), n_outputs=n_outputs).float()
    with torch.no_grad():
        model.head.mul_(1e4)
    x = noise(5, 1, 6, 6, dtype=torch.float32)
    outputs = model(x).detach()
    y = outputs[:, 0].sign() if n_outputs == 1 else outputs.argmax(1)

    def margins(pixels):
        f = model(pixels).detach()
        if n_outputs == 1:
            return y * f[:, 0]
        right = nn.functional.one_hot(y, 3).bool()
        return f[right] - f.masked_fill(right, -torch.inf).amax(1)

    assert (nn.functional.softplus(-margins(x)) == 0).all()
    moved = pgd(model, x, y, radius=1.0)
    assert moved.dtype == torch.float32
    assert torch.allclose(l2_norms(moved - x), torch.ones(5), atol=1e-5)
    assert (margins(moved) < margins(x)).all()


def test_a_model_that_writes_into_its_input():
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(16, 2)).double()
    x, y = noise(8, 1, 4, 4), torch.arange(8) % 2
    pixels = x.clone()
    pgd(model, x, y, radius=0.5)
    error_rate(model, x, y)
    fourier_heat_map(model, x, y, norm=0.5)
    assert torch.equal(x, pixels)


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e-20, 1e20, 1e30, 1e38])
def test_pgd_along_gradients_whose_squares_leave_the_range(norm, scale):
    w = noise(2, 6, 5, dtype=torch.float32)
    step = w / w.norm() if norm == "l2" else w.sign()
    x, y = torch.zeros(3, 2, 6, 5), torch.tensor([1.0, -1.0, 1.0])
    moved = pgd(
        lambda x: scale * (x * w).sum((1, 2, 3))[:, None],
        *(x, y),
        radius=1e-3,
        norm=norm,
        random_start=False,
    )
    expected = -y[:, None, None, None] * step
    assert torch.allclose(moved / 1e-3, expected, atol=ATOL[torch.float32])


@pytest.mark.parametrize("radius", [1e-30, 1e-20, 1e15, 1e25])
def test_pgd_stays_in_a_ball_whose_squared_radius_leaves_the_range(radius):
    model = linear_net(1, (6, 5)).float()
    moved = pgd(model, torch.zeros(4, 1, 6, 5), torch.ones(4), radius=radius)
    assert torch.allclose(l2_norms(moved / radius), torch.ones(4), atol=ATOL[torch.float32])


def test_pgd_of_a_network_in_half_precision_keeps_to_its_radius():
    model = nn.Sequential(nn.Flatten(), nn.Linear(30, 3)).half()
    x = noise(4, 1, 6, 5, dtype=torch.float32)
    for radius in (0.01, 300.0):
        moved = pgd(model, x, torch.tensor([0, 1, 2, 0]), radius=radius)
        assert torch.allclose(l2_norms(moved - x), torch.full((4,), radius), rtol=1e-3)


def test_batches_of_large_images_are_small():
    seen = []

    def model(x):
        seen.append(len(x))
        return x.mean((1, 2, 3))[:, None]

    x, y = torch.zeros(1, 3, 224, 224).expand(33, -1, -1, -1), torch.ones(33)
    error_rate(model, x, y)
    assert seen == [1, 32, 1]  # after a look at the number of outputs
    seen.clear()
    pgd(model, x[:9], y[:9], radius=1.0, steps=1, random_start=False)
    assert seen == [1, 2, 8, 1]  # and at whether they mix images


def test_pgd_refuses_gradients_that_mix_images():
    model = nn.Sequential(
        nn.BatchNorm2d(2, track_running_stats=False), nn.Flatten(), nn.Linear(60, 3)
    ).double()
    x, y = noise(4, 2, 6, 5), torch.tensor([0, 1, 2, 0])
    with pytest.raises(ValueError, match="outputs of its own"):
        pgd(model, x, y, radius=1.0)
    assert pgd(model, x[:1], y[:1], radius=1.0).isfinite().all()


def test_adversarial_draws_a_new_start_each_time():
    model, generator = linear_net(2, (6, 6)), torch.Generator().manual_seed(0)
    x, y = task(model, (1, 6, 6))
    augment = robustness.adversarial(model, radius=0.5, steps=1)
    first, second = (augment(x, y, generator) for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(first, augment(x, y, torch.Generator().manual_seed(0)))


def test_pgd_starts_all_over_the_ball_and_from_its_seed():
    x, y = torch.zeros(2000, 1, 2, 1, dtype=torch.float64), torch.ones(2000)

    def blind(x):
        return 0 * x.sum((1, 2, 3))[:, None]

    for norm, area in (("l2", 0.25), ("linf", 0.25)):
        delta = pgd(blind, x, y, radius=2.0, norm=norm)
        size = l2_norms(delta) if norm == "l2" else delta.abs().amax((1, 2, 3))
        inner = (size < 1).double().mean()  # half the radius, a quarter of the area
        assert size.max() <= 2 and abs(inner - area) < SIGMAS * math.sqrt(area * 0.75 / 2000)
    state = torch.get_rng_state()
    first = pgd(blind, x, y, radius=2.0, seed=3)
    assert torch.equal(first, pgd(blind, x, y, radius=2.0, seed=3, batch_size=77))
    assert not torch.equal(first, pgd(blind, x, y, radius=2.0, seed=4))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(pgd(blind, x, y, radius=2.0, random_start=False), x)


def test_pgd_does_not_depend_on_the_batch_size():
    model = small_net()
    x, y = task(model.eval(), (2, 7, 5))
    whole, pieces = (pgd(model, x, y, radius=1.0, batch_size=n, device="cpu") for n in (256, 7))
    assert torch.allclose(whole, pieces, atol=TIGHT)


@pytest.mark.parametrize(
    "call",
    [
        lambda *data: fourier_heat_map(*data, norm=3.0).errors,
        lambda *data: torch.tensor(error_rate(*data)),
        lambda *data: pgd(*data, radius=0.5),
        lambda model, x, y: robustness.adversarial(model, radius=0.5)(
            x, y, torch.Generator().manual_seed(0)
        ),
    ],
)
def test_the_model_is_left_as_it_was(call):
    model = small_net()
    x, y = task(model.eval(), (2, 6, 6))
    model.train()
    model[1].eval()
    model[0].bias.requires_grad_(False)
    model[-1].weight.grad = torch.ones_like(model[-1].weight)
    before, pixels = state_of(model), x.clone()
    result = call(model, x, y)
    assert_same_state(before, state_of(model))
    assert torch.equal(x, pixels) and not x.requires_grad and not result.requires_grad
    assert torch.equal(result, call(model, x, y))  # no dropout, no batch statistics
    with torch.no_grad():
        assert torch.equal(result, call(model, x, y)) and not torch.is_grad_enabled()
    with torch.inference_mode():
        assert torch.equal(result, call(model, x.clone(), y))
    with pytest.raises(RuntimeError):
        call(model, noise(40, 3, 6, 6), y)
    assert_same_state(before, state_of(model))


def test_perturbation_spectrum_adds_up_to_the_squared_norm():
    x = noise(5, 2, 6, 7)
    moved = x + noise(5, 2, 6, 7, seed=1) + 1
    spectrum = robustness.perturbation_spectrum(x, moved)
    expected = (moved - x).square().sum((1, 2, 3)).mean()
    assert torch.allclose(spectrum.values.sum(), expected) and spectrum.values[0, 0, 0] > 20


def test_eq_gaussian_augmentation():
    augment, x = robustness.gaussian_noise(0.3), noise(50, 2, 7, 6)
    first, again = (augment(x, None, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, again) and first.dtype == x.dtype
    z = (first - x) / 0.3
    assert abs(z.mean()) < SIGMAS / math.sqrt(z.numel())
    assert abs(z.square().mean() - 1) < SIGMAS * math.sqrt(2 / z.numel())
    generator = torch.Generator().manual_seed(4)
    augment(x, None, generator)
    assert not torch.equal(augment(x, None, generator), first)


def test_regimes_train_and_repeat():
    shape = (6, 7)
    teacher = linear_net(2, shape, seed=7)
    x, y = task(teacher, (1, *shape), n=96)

    def trained(make_augment, make_penalty=lambda: None):
        model = linear_net(2, shape, seed=1)
        history = training.train(
            model,
            x,
            y,
            epochs=3,
            lr=0.1,
            weight_decay=0.0,
            loss="logistic",
            augment=make_augment(model),
            penalty=make_penalty(),
        )
        assert model.training and all(math.isfinite(loss) for loss in history.loss)
        return model.head.detach().clone()

    plain = trained(lambda model: None)
    regimes = [
        (lambda model: robustness.gaussian_noise(0.5),),
        (lambda model: robustness.low_pass_augment(2),),
        (lambda model: robustness.adversarial(model, radius=0.5, steps=3),),
        (lambda model: robustness.adversarial(model, radius=0.1, norm="linf", steps=3),),
        (lambda model: None, lambda: band_penalty(0.1, low=2, high=9)),
    ]
    for regime in regimes:
        first = trained(*regime)
        assert torch.equal(first, trained(*regime)) and not torch.allclose(first, plain, rtol=0.01)


def test_adversarial_training_resists_the_attack():
    """One strong feature that is sometimes wrong, and many weak ones that the attack can turn."""
    y = noise(400, seed=1).sign()
    x = 0.3 * y[:, None, None, None] + 0.5 * noise(400, 1, 8, 8, seed=2)
    x[:, 0, 0, 0] = 2 * y
    x[::10, 0, 0, 0] *= -1
    attack = {"radius": 0.6, "norm": "linf", "steps": 5}

    def attacked_error(adversary):
        model = linear_net(2, (8, 8), seed=1)
        augment = robustness.adversarial(model, **attack) if adversary else None
        options = {"loss": "logistic", "optimizer": "adam", "augment": augment}
        training.train(model, x, y, epochs=30, lr=0.02, weight_decay=0.0, **options)
        return error_rate(model, x, y), error_rate(model, pgd(model, x, y, **attack), y)

    (clean, attacked), (plain_clean, plain_attacked) = attacked_error(True), attacked_error(False)
    assert attacked < 0.2 and plain_attacked > 0.5 and plain_clean < clean


@pytest.mark.parametrize("shape", SHAPES)
def test_eq_band_penalty(shape):
    """The mean over signs is the squared sensitivity summed over the band."""
    model, low, high = linear_net(2, (2, *shape), n_outputs=3), 1.2, 3.1
    x = noise(5, 2, *shape).requires_grad_()
    penalty = band_penalty(0.7, low=low, high=high)
    torch.manual_seed(0)
    draws = torch.stack([penalty(x, model(x)) for _ in range(300)]).detach()
    inside = fourier.radial_mask(shape, low, high)
    squared = measure_sensitivity(model, x.detach()).values.square()[:, inside].sum()
    assert abs(draws.mean() - 0.7 * squared) < SIGMAS * draws.std() / math.sqrt(300)
    everything = measure_sensitivity(model, x.detach()).values.square().sum()
    assert abs(draws.mean() - 0.7 * everything) > SIGMAS * draws.std() / math.sqrt(300)


@seeded
def smooth_net():
    layers = nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(48, 1)
    return nn.Sequential(*layers).double()


def test_band_penalty_of_one_output_is_exact_and_differentiable():
    model = smooth_net()
    x = noise(4, 2, 6, 6).requires_grad_()
    penalty = band_penalty(2.0, low=1, high=2.5)
    value = penalty(x, model(x))
    inside = fourier.radial_mask((6, 6), 1, 2.5)
    power = measure_sensitivity(model, x.detach()).values.square()
    assert torch.allclose(value, 2 * power[:, inside].sum(), rtol=1e-9)
    # Against a difference quotient in one weight.
    (slope,) = torch.autograd.grad(value, model[0].weight)
    step = 1e-5
    sides = []
    for sign in (1, -1):
        with torch.no_grad():
            model[0].weight[1, 0, 2, 1] += sign * step
        sides.append(penalty(x, model(x)).item())
        with torch.no_grad():
            model[0].weight[1, 0, 2, 1] -= sign * step
    quotient = (sides[0] - sides[1]) / (2 * step)
    assert quotient == pytest.approx(slope[1, 0, 2, 1].item(), rel=1e-6) and abs(quotient) > 1e-4


def test_a_band_penalty_makes_a_network_deaf_in_its_band():
    shape, low, high = (8, 8), 2, 3.5
    teacher = linear_net(2, shape, seed=7)
    x, y = task(teacher, (1, *shape), n=200)

    def share(penalty):
        model = linear_net(2, shape, seed=1)
        training.train(
            model, x, y, epochs=15, lr=0.1, weight_decay=0.0, loss="logistic", penalty=penalty
        )
        power = measure_sensitivity(model, x[:1]).values[0].square()
        return (power[fourier.radial_mask(shape, low, high)].sum() / power.sum()).item()

    plain = share(None)
    assert share(band_penalty(1.0, low=low, high=high)) < 0.2 * plain
    # Negative control: a penalty elsewhere does not lower the share of this band.
    assert share(band_penalty(1.0, low=high, high=math.inf)) > plain


IMAGES = torch.zeros(3, 2, 8, 8, dtype=torch.float64)
CLASSES = torch.tensor([0, 1, 2])
NET, ONE = small_net(), small_net(n_outputs=1)
NOISE = {"shape": (2, 8, 8), "low": 1, "high": 3, "norm": 1.0}


def cut_off(x):
    return NET(x.detach()).detach()


def unused(x):
    return torch.ones(len(x), 3, dtype=x.dtype, requires_grad=True)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((3, IMAGES, CLASSES), TypeError, "model must map .* got int"),
        ((NET, IMAGES[0], CLASSES), ValueError, r"\(N, C, H, W\), got \(2, 8, 8"),
        ((NET, IMAGES[:0], CLASSES), ValueError, "must not be empty"),
        ((NET, IMAGES / 0, CLASSES), ValueError, "384 NaN or infinite"),
        ((NET, IMAGES, [0, 1, 2]), TypeError, "labels must be a torch tensor .* got list"),
        ((NET, IMAGES, CLASSES[:2]), ValueError, r"labels must have shape \(3, .* got \(2,\)"),
        ((NET, IMAGES, CLASSES[:, None]), TypeError, r"classes \(N,\), got .*\(3, 1"),
        ((NET, IMAGES, CLASSES.float()), TypeError, "integer classes .* got torch.float32"),
        ((NET, IMAGES, CLASSES == 0), TypeError, "got torch.bool"),
        ((NET, IMAGES, CLASSES + 1), ValueError, "between 0 and K - 1 = 2, got 1 to 3"),
        ((NET, IMAGES, CLASSES - 1), ValueError, "between 0 and K - 1 = 2, got -1 to 1"),
        ((ONE, IMAGES, CLASSES), ValueError, r"-1 or \+1 for a model of one output, got 0"),
        ((ONE, IMAGES, CLASSES * torch.nan), ValueError, "labels must be finite"),
        ((lambda x: x, IMAGES, CLASSES), ValueError, r"to \(1, K\), got \(1, 2, 8, 8\)"),
        ((lambda x: 1, IMAGES, CLASSES), ValueError, "got int"),
        ((lambda x: NET(x) * torch.inf, IMAGES, CLASSES), ValueError, "NaN or infinite output"),
        ((lambda x: NET(x) * 1j, IMAGES, CLASSES), ValueError, "must be real"),
    ],
)
def test_bad_model_images_or_labels(arguments, error, message):
    for call in (
        lambda: fourier_heat_map(*arguments, norm=1.0),
        lambda: error_rate(*arguments),
        lambda: pgd(*arguments, radius=1.0),
    ):
        with pytest.raises(error, match=message):
            call()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fourier_heat_map(NET, IMAGES, CLASSES, norm=0), ValueError, "norm must be pos"),
        (lambda: fourier_heat_map(NET, IMAGES, CLASSES, norm=-1.0), ValueError, "got -1.0"),
        (lambda: fourier_heat_map(NET, IMAGES, CLASSES, norm="a"), TypeError, "real number"),
        (
            lambda: fourier_heat_map(NET, IMAGES, CLASSES, norm=1, batch_size=0),
            ValueError,
            "batch_size must be at least 1",
        ),
        (lambda: fourier_heat_map(NET, IMAGES, CLASSES, norm=1, seed=-1), ValueError, "seed"),
        (
            lambda: fourier_heat_map(NET, IMAGES, CLASSES, norm=1, progress=1),
            TypeError,
            "progress must be True or False",
        ),
        (lambda: error_rate(NET, IMAGES, CLASSES, batch_size=0), ValueError, "batch_size"),
        (lambda: band_noise(0, **NOISE), ValueError, "n must be at least 1"),
        (lambda: band_noise(1, **NOISE | {"norm": 0}), ValueError, "norm must be positive"),
        (lambda: band_noise(1, **NOISE | {"shape": 8}), ValueError, "shape must be"),
        (lambda: band_noise(1, **NOISE | {"low": 3}), ValueError, "low must be smaller"),
        (
            lambda: band_noise(1, **NOISE | {"low": 7, "high": 9}),
            ValueError,
            r"no frequency of a grid \(8, 8\) has 7 <= .* < 9",
        ),
        (lambda: pgd(NET, IMAGES, CLASSES, radius=0), ValueError, "radius must be positive"),
        (lambda: pgd(NET, IMAGES, CLASSES, radius=1, norm="l1"), ValueError, "one of l2, linf"),
        (lambda: pgd(NET, IMAGES, CLASSES, radius=1, steps=0), ValueError, "steps"),
        (lambda: pgd(NET, IMAGES, CLASSES, radius=1, random_start=1), TypeError, "random_start"),
        (lambda: pgd(cut_off, IMAGES, CLASSES, radius=1), ValueError, "must depend on the images"),
        (lambda: pgd(unused, IMAGES, CLASSES, radius=1), ValueError, "must depend on the images"),
        (
            lambda: pgd(lambda x: x.sum((2, 3)).sqrt(), IMAGES, CLASSES * 0, radius=1),
            ValueError,
            "NaN or infinite",
        ),
        (
            lambda: robustness.perturbation_spectrum(IMAGES, IMAGES[:2]),
            ValueError,
            r"\(3, 2, 8, 8\), got \(2, 2, 8, 8\)",
        ),
        (lambda: robustness.gaussian_noise(0), ValueError, "std must be positive"),
        (lambda: robustness.low_pass_augment(0), ValueError, "radius must be positive"),
        (lambda: robustness.adversarial(NET, radius=-1), ValueError, "radius must be positive"),
        (lambda: robustness.adversarial(3, radius=1), TypeError, "model must map"),
        (lambda: robustness.adversarial(NET, radius=1, norm="l3"), ValueError, "one of l2, linf"),
        (
            lambda: robustness.adversarial(NET, radius=1)(
                IMAGES[:0], CLASSES[:0], torch.Generator()
            ),
            ValueError,
            "images must not be empty",
        ),
        (lambda: band_penalty(0, low=1, high=2), ValueError, "strength must be positive"),
        (lambda: band_penalty(1, low=2, high=2), ValueError, "low must be smaller"),
        (
            lambda: band_penalty(1, low=1, high=2)(IMAGES, NET(IMAGES)),
            ValueError,
            "images must require gradients",
        ),
        (
            lambda: band_penalty(1, low=1, high=2)(IMAGES.clone().requires_grad_(), NET(IMAGES)),
            ValueError,
            "must depend on the images",
        ),
        (
            lambda: band_penalty(1, low=7, high=9)(x := IMAGES.clone().requires_grad_(), NET(x)),
            ValueError,
            "no frequency of a grid",
        ),
        (
            lambda: band_penalty(1, low=1, high=2)(IMAGES.clone().requires_grad_(), CLASSES),
            ValueError,
            r"to \(3, K\), got \(3,\)",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
