"""The two limits of few and many images, and that of vanishing decay."""

import math

import pytest
import torch
from draws import noise
from tolerances import ATOL, SIGMAS

from freqsense import filters, fourier, images, theory

TIGHT = ATOL[torch.float64]
SHAPES = [(8, 8), (7, 7), (6, 9)]


def norm(B):
    return float(B.abs().square().sum().sqrt())


def size(B, depth):
    """‖B‖ of the definition of a maximum margin."""
    return float(B.abs().pow(2 / depth).sum() ** (depth / 2))


def margins(B, x, y):
    return y * torch.einsum("hwkc,nchw->nk", B, fourier.fft2(x)).real[:, 0]


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_thm_vanishing_decay(shape, depth):
    x, y = noise(15, 1, *shape), noise(15, seed=1)
    limit = theory.solve_limit(x, y, depth=depth, loss="squared")
    loss = theory.quadratic_loss(x, y)
    assert float(loss(limit.B)) < TIGHT and limit.gap < 1e-8 * limit.objective
    distances = []
    for decay in (1e-1, 1e-2, 1e-3):
        found = theory.solve(x, y, weight_decay=decay, depth=depth)
        assert theory.representation_cost(found.B, depth) <= limit.objective * (1 + 1e-8)
        assert float(loss(found.B)) <= decay / 2 * limit.objective
        distances.append(norm(found.B - limit.B))
    assert distances[2] < distances[1] / 3 < distances[0] / 9
    # Negative control: another map that fits is dearer.
    other = theory.solve_limit(x, y, depth=3 - depth, loss="squared").B
    assert float(loss(other)) < TIGHT
    assert theory.representation_cost(other, depth) > 1.01 * limit.objective


@pytest.mark.parametrize("depth", [1, 2])
def test_thm_vanishing_decay_of_the_logistic_loss(depth):
    x, y = noise(30, 1, 8, 8), noise(30, seed=1).sign()
    limit = theory.solve_limit(x, y, depth=depth)
    assert margins(limit.B, x, y).min() == pytest.approx(1, abs=1e-9)
    largest = 1 / size(limit.B, depth)
    sizes = []
    for decay in (1e-2, 1e-3, 1e-4):
        found = theory.solve(x, y, weight_decay=decay, depth=depth, loss="logistic", tolerance=1e-9)
        rho, m = size(found.B, depth), float(margins(found.B, x, y).min())
        assert m > 0
        assert largest - math.log(60) / rho <= m / rho <= largest * (1 + 1e-6)
        sizes.append(rho)
    assert sizes[0] < sizes[1] < sizes[2]


def recoloured(x, delta):
    radius = fourier.radial_frequency(tuple(x.shape[-2:]))
    return filters.recolor(x, delta), torch.where(radius > 0, radius, 1.0) ** delta


@pytest.mark.parametrize("shape", SHAPES)
def test_thm_two_responses(shape):
    x, y = noise(300, 1, *shape), noise(300, seed=1)
    x_g, gain = recoloured(x, 1.0)
    gain = gain[..., None, None]
    B = theory.solve(x, y, weight_decay=0.0, depth=1).B
    B_g = theory.solve(x_g, y, weight_decay=0.0, depth=1).B
    assert torch.allclose(gain * B_g, B, atol=TIGHT)
    flat = x.flatten(1)
    sigma = float(torch.linalg.eigvalsh(flat.T @ flat / len(x)).min())
    for decay in (1e-3, 1e-1):
        B_g = theory.solve(x_g, y, weight_decay=decay, depth=1).B
        assert norm(gain * B_g - B) <= decay / (sigma * float(gain.min()) ** 2) * norm(B)
    # Negative control: with fewer images than pixels there are many minimisers, and no equality.
    few = theory.solve(x[:20], y[:20], weight_decay=0.0, depth=1).B
    few_g = theory.solve(x_g[:20], y[:20], weight_decay=0.0, depth=1).B
    assert norm(gain * few_g - few) > 0.1 * norm(few)


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("shape", [(32, 32), (31, 33)])
def test_thm_two_responses_few_images_follow(shape, decay):
    n = 6
    x, y = noise(n, 1, *shape), noise(n, seed=1).sign()
    for delta in (0.0, 0.5):
        x_g, gain = recoloured(x, delta)
        gram = x_g.flatten(1) @ x_g.flatten(1).T
        d = float(gram.diagonal().mean())
        eps = float(torch.linalg.matrix_norm(gram / d - torch.eye(n), 2))
        assert eps < 1
        xhat = fourier.fft2(x)[:, 0]  # (N, H, W)
        z = (y[:, None, None] * xhat.conj()).sum(0)
        B_g = theory.solve(x_g, y, weight_decay=decay, depth=1).B[..., 0, 0]
        scale = d + n * decay
        bound = eps / (1 - eps) * gain * n**0.5 / scale * xhat.abs().square().sum(0).sqrt()
        error = (B_g - gain * z / scale).abs()
        assert (error <= bound * (1 + 1e-9)).all()
        assert error.mean() < (gain * z / scale).abs().mean()  # and it says something
        if decay == 0 and n**0.5 * eps < 1 - eps:
            margin = theory.solve_limit(x_g, y, depth=1).B[..., 0, 0]
            assert norm(margin - B_g) < 1e-6 * norm(B_g)


def test_a_margin_is_no_fit_where_images_are_many():
    """Negative control of the last part: then some images lie beyond the margin."""
    x, y = noise(40, 1, 8, 8), noise(40, seed=1).sign()
    margin = theory.solve_limit(x, y, depth=1).B
    fit = theory.solve(x, y, weight_decay=0.0, depth=1).B
    assert norm(margin - fit) > 0.1 * norm(fit)
    assert margins(margin, x, y).max() > 1.1


@pytest.mark.parametrize("alpha", [0.0, 2.0])
@pytest.mark.parametrize("shape", [(8, 8), (6, 9)])
def test_lem_effective_pixels(shape, alpha):
    n = 2000
    x, other = (images.gaussian_field(n, shape=shape, alpha=alpha, seed=s).double() for s in (0, 1))
    radius = fourier.radial_frequency(shape)
    s = torch.where(radius > 0, radius.clamp(min=1e-9) ** -alpha, 0.0)
    effective = float(s.sum() ** 2 / s.square().sum())
    assert effective <= math.prod(shape)
    products = (x * other).sum((1, 2, 3))
    square = float(products.square().mean() / x.square().sum((1, 2, 3)).mean() ** 2)
    # The product of two Gaussian vectors has a kurtosis of at most 9.
    assert square == pytest.approx(1 / effective, rel=SIGMAS * (8 / n) ** 0.5)
    assert abs(products.mean()) < SIGMAS * products.std() / n**0.5
