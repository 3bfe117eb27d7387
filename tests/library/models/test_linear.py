"""Linear networks: what they compute, their initial weights, and the hypothesis on the width."""

import math

import pytest
import torch
from draws import noise
from networks import end_to_end
from tolerances import ATOL, SIGMAS
from torch.nn import functional

from freqsense import fourier, layers, models

SHAPES = [(8, 8), (7, 7), (6, 9), (7, 4)]


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("shape", SHAPES)
def test_frequencies_go_through_the_product_of_the_transfer_matrices(depth, shape):
    """Summed over frequencies: B(ω) x-hat(ω), with B the product of the transfer matrices."""
    model = models.linear_cnn(depth, width=4, shape=(3, *shape), n_outputs=2).double()
    x = noise(5, 3, *shape)
    expected = torch.einsum("hwkc,nchw->nk", end_to_end(model), fourier.fft2(x))
    assert torch.allclose(model(x).to(expected), expected, atol=ATOL[torch.float64])
    assert expected.imag.abs().max() < ATOL[torch.float64] < expected.real.abs().max()


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_parts(depth):
    model = models.linear_cnn(depth, width=5, shape=(2, 6, 9), n_outputs=3)
    assert len(model.convolutions) == depth - 1
    assert all(layer.kernel_size == (6, 9) and layer.bias is None for layer in model.convolutions)
    assert model.head.shape == (3, 2 if depth == 1 else 5, 6, 9)
    assert model.shape == (2, 6, 9)
    assert len(list(model.parameters())) == depth
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert all(weight.requires_grad for weight in model.parameters())


def test_one_channel_needs_no_name():
    model = models.linear_cnn(2, width=1, shape=(4, 6))
    assert model.shape == (1, 4, 6)
    assert model(torch.zeros(3, 1, 4, 6)).shape == (3, 1)


def test_it_is_linear_and_is_not_shift_invariant():
    model = models.linear_cnn(3, width=2, shape=(5, 5)).double()
    x, z = noise(2, 1, 5, 5), noise(2, 1, 5, 5, seed=1)
    assert torch.allclose(model(2 * x - z), 2 * model(x) - model(z))
    assert not torch.allclose(model(x), model(x.roll(1, -1)))


def test_the_seed_alone_decides():
    state = torch.get_rng_state()
    first = models.linear_cnn(3, width=2, shape=(4, 4), seed=1)
    torch.manual_seed(5)
    again = models.linear_cnn(3, width=2, shape=(4, 4), seed=1)
    other = models.linear_cnn(3, width=2, shape=(4, 4), seed=2)
    for a, b, c in zip(*(m.parameters() for m in (first, again, other)), strict=True):
        assert torch.equal(a, b) and not torch.equal(a, c)
    torch.set_rng_state(state)
    models.linear_cnn(3, width=2, shape=(4, 4))
    assert torch.equal(state, torch.get_rng_state())


def test_weights_are_no_images_of_the_same_seed():
    """The same generator and seed would make the first image the first kernel, up to scale."""
    for seed in range(3):
        kernel = models.linear_cnn(1, width=1, shape=(16, 16), seed=seed).head.flatten()
        image = noise(256, seed=seed, dtype=torch.float32)
        cosine = functional.cosine_similarity(kernel, image, dim=0)
        assert cosine.abs() < SIGMAS / 16


def test_layers_start_from_draws_of_their_own():
    model = models.linear_cnn(3, width=1, shape=(4, 4))
    first, second = (layer.weight for layer in model.convolutions)
    assert not torch.equal(first, second) and not torch.equal(second, model.head)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_eq_linear_cnn_init(depth):
    shape, width = (16, 12), 8
    model = models.linear_cnn(depth, width=width, shape=(3, *shape), n_outputs=2)
    for weight in model.parameters():
        expected = 1 / (math.prod(shape) * max(weight.shape[:2]))
        found = weight.square().mean().item()
        assert abs(found / expected - 1) < SIGMAS * math.sqrt(2 / weight.numel())
    outputs = model(noise(2000, 3, *shape, dtype=torch.float32))
    assert 0.1 < outputs.var() < 1.2


def test_a_copy_of_the_state_is_the_same_network():
    model = models.linear_cnn(2, width=2, shape=(4, 5))
    twin = models.linear_cnn(2, width=2, shape=(4, 5), seed=9)
    twin.load_state_dict(model.state_dict())
    x = noise(2, 1, 4, 5, dtype=torch.float32)
    assert torch.equal(model(x), twin(x))


def test_a_head_alone_needs_no_width():
    assert models.linear_cnn(1, width=1, shape=(3, 4, 4), n_outputs=5).head.shape == (5, 3, 4, 4)
    for n_outputs, channels in [(1, 3), (3, 1)]:  # min(K, C) = 1
        models.linear_cnn(2, width=1, shape=(channels, 4, 4), n_outputs=n_outputs)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: models.linear_cnn(2, width=1, shape=(3, 4, 4), n_outputs=2),
            ValueError,
            r"theorem assumes .* min\(K, C\).* width >= 2, got 1",
        ),
        (lambda: models.linear_cnn(0, width=1, shape=(4, 4)), ValueError, "depth .* got 0"),
        (lambda: models.linear_cnn(2.0, width=1, shape=(4, 4)), TypeError, "depth .* got 2.0"),
        (lambda: models.linear_cnn(2, width=0, shape=(4, 4)), ValueError, "width .* got 0"),
        (lambda: models.linear_cnn(2, width=1, shape=4), ValueError, r"\(H, W\), got 4"),
        (lambda: models.linear_cnn(2, width=1, shape=(4, 0)), ValueError, r"shape\[1\]"),
        (lambda: models.linear_cnn(2, width=1, shape=(4, 4), n_outputs=0), ValueError, "n_outputs"),
        (lambda: models.linear_cnn(2, width=1, shape=(4, 4), seed=-1), ValueError, "seed"),
        (
            lambda: models.linear_cnn(2, width=1, shape=(4, 4))(torch.zeros(1, 1, 4, 5)),
            ValueError,
            r"\(N, 1, 4, 4\), got \(1, 1, 4, 5\)",
        ),
        (
            lambda: models.LinearCNN([layers.CircularConv2d(1, 2, 3)], torch.zeros(1, 3, 8, 8)),
            ValueError,
            "2 channels is followed by one for 3",
        ),
        (lambda: models.LinearCNN([], torch.zeros(3)), ValueError, r"\(K, C, H, W\), got \(3,\)"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
