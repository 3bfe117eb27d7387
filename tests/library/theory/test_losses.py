"""Losses of the end-to-end map: against networks run on images."""

import pytest
import torch
from draws import all_shifts, noise, random_map
from networks import linear_net
from tolerances import ATOL

from freqsense import fourier, theory

SHAPES = [(4, 4), (5, 5), (4, 7), (6, 3)]
TIGHT = ATOL[torch.float64]
IMAGES, TARGETS = noise(6, 1, 3, 4), noise(6)
QUADRATIC = theory.quadratic_loss(IMAGES, TARGETS)
POPULATION = theory.population_loss(torch.ones(3, 4), torch.ones(3, 4))


@pytest.mark.parametrize("shape", SHAPES)
def test_eq_quadratic_loss(shape):
    x, y = noise(7, 2, *shape), noise(7, 3, seed=1)
    model = linear_net(2, (2, *shape), 3)
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


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: theory.second_moments(IMAGES, torch.ones(6, 2)),
            ValueError,
            "one number per image",
        ),
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
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()
