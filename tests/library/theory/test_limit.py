"""The limit of vanishing decay: closed forms, constraints met, gaps that bound, and bad input."""

import pytest
import torch
from draws import noise
from tolerances import ATOL

from freqsense import fourier, images, theory

TIGHT = ATOL[torch.float64]
SHAPES = [(6, 6), (5, 5), (4, 7)]


def outputs(B, x):
    return torch.einsum("hwkc,nchw->nk", B, fourier.fft2(x.double())).real[:, 0]


@pytest.mark.parametrize("loss", ["logistic", "squared"])
@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_one_image_has_a_closed_form(shape, n_channels, loss):
    x, y = noise(1, n_channels, *shape), torch.tensor([-1.0])
    xhat = fourier.fft2(x)[0].permute(1, 2, 0)  # (H, W, C)
    ridge = theory.solve_limit(x, y, depth=1, loss=loss)
    expected = -xhat.conj() / xhat.abs().square().sum()
    assert torch.allclose(ridge.B[:, :, 0], expected, atol=1e-8)
    assert ridge.objective == pytest.approx(1 / float(xhat.abs().square().sum()), rel=1e-8)
    lasso = theory.solve_limit(x, y, depth=2, loss=loss)
    loudest = float(xhat.norm(dim=-1).max())
    assert lasso.objective == pytest.approx(2 * x[0, 0].numel() ** -0.5 / loudest, rel=1e-7)
    heard = lasso.B.abs().sum((2, 3))
    assert (heard > 1e-6 * heard.max()).sum() <= 2  # one frequency and its mirror image


@pytest.mark.parametrize("loss", ["logistic", "squared"])
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_constraints_are_met_at_the_cost_that_is_told(shape, depth, loss):
    x, y = noise(12, 1, *shape), noise(12, seed=1).sign()
    limit = theory.solve_limit(x, y, depth=depth, loss=loss)
    assert torch.allclose(limit.B, limit.B.flip(0, 1).roll((1, 1), (0, 1)).conj(), atol=TIGHT)
    f = outputs(limit.B, x)
    if loss == "logistic":
        assert (y * f).min() == pytest.approx(1, abs=1e-9)
    else:
        assert torch.allclose(f, y, atol=1e-9)
    cost = theory.representation_cost(limit.B, depth)
    assert limit.objective == pytest.approx(cost, rel=1e-9)
    assert 0 <= limit.gap <= 1e-6 * limit.objective


@pytest.mark.parametrize("depth", [1, 2])
def test_no_map_that_classifies_is_cheaper_than_the_gap_allows(depth):
    x, y = noise(10, 1, 5, 5), noise(10, seed=1).sign()
    limit = theory.solve_limit(x, y, depth=depth)
    for seed in range(50):
        b = torch.linalg.lstsq(x.flatten(1), y * (1 + noise(10, seed=seed).abs())).solution
        b = b + 0.01 * noise(25, seed=seed + 100)
        B = fourier.fft2(b.reshape(1, 1, 5, 5)).conj().permute(2, 3, 0, 1)
        B = B / (y * outputs(B, x)).min()
        assert theory.representation_cost(B, depth) >= limit.objective - limit.gap


def test_512_images_take_seconds():
    x = images.gaussian_field(512, shape=(16, 16), alpha=2.0)
    y = (x[:, 0, 3:7].mean((1, 2)) - x[:, 0, 9:12].mean((1, 2))).sign()
    for depth in (1, 2):
        limit = theory.solve_limit(x, y, depth=depth)
        assert limit.gap < 1e-5 * limit.objective


def test_what_cannot_be_fitted_is_said():
    x = noise(10, 1, 4, 4)
    twice, torn = torch.cat([x, x]), torch.cat([torch.ones(10), -torch.ones(10)])
    for depth in (1, 2):
        with pytest.raises(
            theory.NotSeparableError, match="must be separable .*weight_decay above"
        ):
            theory.solve_limit(twice, torn, depth=depth)
        with pytest.raises(ValueError, match="must be linear in the images, .* leaves 1 of them"):
            theory.solve_limit(twice, torn, depth=depth, loss="squared")
    assert issubclass(theory.NotSeparableError, ValueError)


X, Y = noise(6, 1, 4, 4), torch.ones(6)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: theory.solve_limit(X, Y, depth=3), ValueError, "depth must be 1 or 2, got 3"),
        (lambda: theory.solve_limit(X, Y, depth=0), ValueError, "depth must be at least 1"),
        (
            lambda: theory.solve_limit(X, Y, depth=1, loss="hinge"),
            ValueError,
            "loss must be one of",
        ),
        (lambda: theory.solve_limit(X, 2 * Y, depth=1), ValueError, "-1 or .1 for the logistic"),
        (lambda: theory.solve_limit(X, Y[:3], depth=1), ValueError, r"shape \(6, \.\.\.\)"),
        (
            lambda: theory.solve_limit(X, Y[:, None].expand(-1, 2), depth=1),
            ValueError,
            r"one number per image, got \(6, 2\)",
        ),
        (lambda: theory.solve_limit(X * torch.nan, Y, depth=1), ValueError, "NaN or infinite"),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()
