"""The theorem verified: weights trained in space against closed forms and against the solver."""

import math
import os
from functools import lru_cache

import numpy as np
import pytest
import torch

from freqsense import datasets, fourier, images, models, theory, training

CIFAR10 = "FREQSENSE_CIFAR10"
SOURCES = [
    "photographs",
    pytest.param(
        "CIFAR-10",
        marks=pytest.mark.skipif(CIFAR10 not in os.environ, reason=f"{CIFAR10} names no archive"),
    ),
]
# A sensitivity below this share of the largest counts as switched off: trained weights decay
# towards zero and never get there.
OFF = 1e-3

# Where training stops, as a share of the pull of decay.
GRADIENT = 1e-7


@lru_cache(maxsize=2)
def real_images(source):
    """800 images (800, 3, 12, 12) of two classes, mean image removed; labels -1 and +1."""
    if source == "CIFAR-10":
        stack, labels = datasets.read_cifar10(os.environ[CIFAR10], "train")
        chosen = torch.cat(
            [(labels == k).nonzero()[:400, 0] for k in (0, 1)]
        )  # airplane, automobile
        stack, labels = _halve(stack[chosen])[..., 2:14, 2:14], labels[chosen]
    else:
        stack, labels = images.photo_patches(
            "train", n_per_class=400, size=24, classes=["astronaut", "motorcycle"]
        )
        stack = _halve(stack)
    stack = stack - stack.mean(0)
    return stack / stack.std(), labels.double() * 2 - 1


def _halve(stack):
    return torch.nn.functional.avg_pool2d(stack.double(), 2)


def sensitivity(B):
    return torch.linalg.vector_norm(B, dim=(-2, -1))


def off(S):
    return S < OFF * S.max()


def distance(S, reference):
    return ((S - reference).norm() / reference.norm()).item()


def train(loss, depth, weight_decay, shape, *, n_outputs=1, seed=0, tolerance=GRADIENT):
    """Weights trained in space on a loss of the end-to-end map: fit and map."""
    model = models.linear_cnn(depth, width=4, shape=shape, n_outputs=n_outputs, seed=seed)
    model = model.double()
    fit = training.minimize(
        model, lambda m: loss(theory.end_to_end(m)), weight_decay=weight_decay, tolerance=tolerance
    )
    assert fit.converged
    return fit, theory.end_to_end(model).detach()


def logistic_loss(x, y):
    """Mean logistic loss as a function of the end-to-end map."""
    flat = x.flatten(1)

    def loss(B):
        weights = torch.fft.fft2(B.permute(2, 3, 0, 1), norm="ortho").real.flatten(1)
        return torch.nn.functional.softplus(-y * (flat @ weights.T)[:, 0]).mean()

    return loss


def white_teacher(shape, seed=0):
    """Hermitian b* of random phase and of size 1 at every frequency."""
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    phases = fourier.fft2(noise)
    return phases / phases.abs()


def falling_power(shape, alpha=2.0):
    return fourier.radial_frequency(shape).clamp(min=1) ** -alpha


# --- real images, nothing assumed of them ---


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("weight_decay", [0.05, 0.2, 0.5])
def test_thm_equivalence(source, depth, weight_decay):
    x, y = real_images(source)
    solution = theory.solve(x, y, weight_decay=weight_decay, depth=depth)
    fit, B = train(theory.quadratic_loss(x, y), depth, weight_decay, (3, 12, 12))
    solved, trained = sensitivity(solution.B), sensitivity(B)
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
    trained, solved = sensitivity(theory.end_to_end(model).detach()), sensitivity(solution.B)
    assert distance(trained, solved) < 1e-4
    assert torch.equal(off(trained), off(solved))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("depth", [1, 2])
def test_thm_equivalence_with_logistic_loss(source, depth):
    x, y = real_images(source)
    solution = theory.solve(x, y, weight_decay=0.2, depth=depth, loss="logistic")
    fit, B = train(logistic_loss(x, y), depth, 0.2, (3, 12, 12))
    solved, trained = sensitivity(solution.B), sensitivity(B)
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
    fit, B = train(theory.quadratic_loss(x, y), 2, 0.2, (3, 12, 12), n_outputs=3, tolerance=1e-8)
    assert distance(sensitivity(B), sensitivity(solution.B)) < 1e-6
    assert fit.objective == pytest.approx(solution.objective, rel=1e-9)


def test_another_decay_is_told_apart():
    """The distance that the checks above bound is large where it should be."""
    x, y = real_images("photographs")
    near, far = (sensitivity(theory.solve(x, y, weight_decay=w, depth=2).B) for w in (0.2, 0.22))
    assert distance(far, near) > 1e-2
    assert not torch.equal(off(near), off(far)) or off(near).any()


@pytest.mark.parametrize("source", SOURCES)
def test_real_images_are_not_stationary_enough_for_the_diagonal_prediction(source):
    x, y = real_images(source)
    power, cross = theory.second_moments(x, y)
    r = theory.predict_sensitivity(power, cross, weight_decay=0.2, depth=2)
    solved = sensitivity(theory.solve(x, y, weight_decay=0.2, depth=2).B)
    assert distance(r, solved) > 0.05


# --- stationary images of known power ---


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("weight_decay", [0.3, 1.0])
def test_the_population_loss_leads_to_the_closed_forms(depth, weight_decay):
    shape = (16, 16)
    power, teacher = falling_power(shape), white_teacher(shape)
    predicted = theory.predict_sensitivity(
        power, power * teacher, weight_decay=weight_decay, depth=depth
    )
    _, B = train(theory.population_loss(power, power * teacher), depth, weight_decay, (1, *shape))
    trained = sensitivity(B)
    assert distance(trained, predicted) < 1e-5
    assert torch.equal(off(trained), predicted == 0)
    assert (predicted == 0).any() == (depth == 2)


@pytest.mark.parametrize("depth", [3, 4])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_deep_networks_stop_on_a_branch(depth, seed):
    """Not always the global minimum, but every frequency at 0 or at r₊ where r₊ exists."""
    shape, weight_decay = (8, 8), 0.3
    power, cross = falling_power(shape), falling_power(shape) * white_teacher(shape, seed)
    settings = {"weight_decay": weight_decay, "depth": depth}
    fit, B = train(
        theory.population_loss(power, cross), depth, weight_decay, (1, *shape), seed=seed
    )
    trained = sensitivity(B)
    upper = theory.predict_sensitivity(power, cross, branch="upper", **settings)
    found = theory.branches(power, n_pixels=64, **settings)
    on_upper = (trained - upper).abs() < 1e-4 * upper.max()
    at_zero = trained < OFF * upper.max()
    assert (at_zero | on_upper).all()
    assert (cross.abs()[~at_zero] >= found.gamma_local[~at_zero]).all()
    assert at_zero.any() and (~at_zero).any()
    r = theory.predict_sensitivity(power, cross, **settings)
    kappa = weight_decay * 64 ** (1 / depth - 1)
    best = 0.5 * power * r**2 - cross.abs() * r + 0.5 * kappa * depth * r ** (2 / depth)
    assert fit.objective >= best.sum().item() - 1e-9
    assert not torch.allclose(trained, r / 2, atol=1e-2)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_gradient_descent_follows_the_learning_curves(depth):
    """Euler's error, and nothing else, lies between them: it halves with the step."""
    shape, start, end = (4, 5), 0.05, 1.0
    power, teacher = falling_power(shape), white_teacher(shape)
    loss = theory.population_loss(power, power * teacher)
    errors = []
    for n_steps in (200, 400):
        times = torch.linspace(0, end, n_steps + 1)[:: n_steps // 10]
        expected = theory.learning_curves(
            power, power * teacher, depth=depth, times=times, start=start
        )
        path = _descend(loss, start * teacher, depth, end / n_steps, n_steps)
        errors.append((path[:: n_steps // 10] - expected).abs().max().item())
    assert errors[0] < 0.05
    assert errors[1] == pytest.approx(errors[0] / 2, rel=0.1)


def _descend(loss, start, depth, step, n_steps):
    """Sensitivities (n_steps + 1, H, W) during plain gradient descent from balanced weights."""
    weights = theory.realize(start[..., None, None], depth, width=1)
    model = models.linear_cnn(depth, width=1, shape=(1, *start.shape)).double()
    for parameter, weight in zip(
        [layer.weight for layer in model.convolutions] + [model.head], weights, strict=True
    ):
        parameter.data = weight
    path = []
    for _ in range(n_steps + 1):
        B = theory.end_to_end(model)
        path.append(B.detach().abs()[..., 0, 0])
        gradients = torch.autograd.grad(loss(B), list(model.parameters()))
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            parameter.data -= step * gradient
    return torch.stack(path)


# --- another loss on Gaussian images ---


def gaussian_task(shape, n_pairs, seed):
    """Gaussian fields of exact power, in pairs mirrored at the teacher; u and the teacher b*."""
    power, teacher = falling_power(shape), white_teacher(shape, seed)
    generator = torch.Generator().manual_seed(seed)
    white = torch.randn(n_pairs, *shape, generator=generator, dtype=torch.float64).flatten(1)
    normalised = torch.linalg.qr(white)[0] * math.sqrt(n_pairs)  # covariance 1, exactly
    xhat = fourier.fft2(normalised.unflatten(1, shape)) * power.sqrt()
    direction = power * teacher.conj() / (power.sum())  # E[x̂ u] / E[u²], |b*| = 1
    u = (xhat * teacher).real.sum((-2, -1))
    mirrored = 2 * u[:, None, None] * direction - xhat
    x = fourier.ifft2(torch.cat([xhat, mirrored])).real[:, None]
    return x, torch.cat([u, u]).sign(), power, power.sum().item()


def stein_prediction(power, variance, weight_decay, depth):
    """Logistic loss, y = sign(u): s becomes h s, and c becomes a s b*, a the density of u at 0."""
    a, h = 1 / math.sqrt(2 * math.pi * variance), 0.25
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    for _ in range(200):
        r = theory.predict_sensitivity(h * power, a * power, weight_decay=weight_decay, depth=depth)
        spread = (power * r.square()).sum().sqrt().item()
        curvature = np.exp(-2 * np.logaddexp(0, np.abs(spread * nodes)) + np.abs(spread * nodes))
        h = 0.5 * h + 0.5 * float(curvature @ weights) / math.sqrt(2 * math.pi)
    return r


@pytest.mark.parametrize("depth", [1, 2])
def test_logistic_loss_on_gaussian_images_needs_two_scalars_only(depth):
    """Stein's lemma; the rest is sampling error."""
    x, y, power, variance = gaussian_task((8, 8), 60_000, seed=0)
    weight_decay = 0.1
    predicted = stein_prediction(power, variance, weight_decay, depth)
    solution = theory.solve(
        x, y, weight_decay=weight_decay, depth=depth, loss="logistic", tolerance=1e-8
    )
    solved = sensitivity(solution.B)
    assert distance(solved, predicted) < 5e-3
    assert torch.equal(off(solved), predicted == 0)
    squared = theory.predict_sensitivity(power, power, weight_decay=weight_decay, depth=depth)
    assert distance(solved, squared) > 0.1  # squared loss predicts something else
