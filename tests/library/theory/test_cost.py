"""Maps of linear networks and what they cost: against networks that have them."""

import pytest
import torch
from draws import noise, random_map
from networks import as_network, linear_net
from tolerances import ATOL

from freqsense import fourier, layers, models, theory

SHAPES = [(4, 4), (5, 5), (4, 7), (6, 3)]
TIGHT = ATOL[torch.float64]
NAN = torch.full((6, 1, 3, 4), torch.nan)


def squares(model):
    return sum(w.square().sum().item() for w in model.parameters())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize(("n_outputs", "n_channels"), [(1, 1), (1, 3), (4, 2)])
def test_thm_end_to_end(shape, depth, n_outputs, n_channels):
    model = linear_net(depth, (n_channels, *shape), n_outputs)
    x = noise(5, n_channels, *shape, seed=1)
    B = theory.end_to_end(model)
    assert B.shape == (*shape, n_outputs, n_channels)
    outputs = torch.einsum("hwkc,nchw->nk", B, fourier.fft2(x))
    assert torch.allclose(outputs.real, model(x), atol=TIGHT)
    assert outputs.imag.abs().max() < TIGHT


@pytest.mark.parametrize("shape", SHAPES)
def test_def_end_to_end(shape):
    model = linear_net(3, (2, *shape), 2)
    B = theory.end_to_end(model)
    first, second = (layers.transfer_function(layer, shape) for layer in model.convolutions)
    head = fourier.fft2(model.head).conj().permute(2, 3, 0, 1)
    assert torch.allclose(B, head @ second @ first, atol=TIGHT)
    mirrored = B.flip(0, 1).roll((1, 1), (0, 1)).conj()
    assert torch.allclose(B, mirrored, atol=TIGHT)
    assert torch.autograd.gradcheck(
        lambda head: torch.view_as_real(_end_to_end_with_head(model, head)), model.head
    )


def _end_to_end_with_head(model, head):
    del model.head
    model.head = head
    return theory.end_to_end(model)


def test_end_to_end_of_small_kernels():
    small = layers.CircularConv2d(2, 3, (3, 2), bias=False).double()
    model = models.LinearCNN([small], noise(1, 3, 5, 6))
    x = noise(4, 2, 5, 6, seed=1)
    outputs = torch.einsum("hwkc,nchw->nk", theory.end_to_end(model), fourier.fft2(x)).real
    assert torch.allclose(outputs, model(x), atol=TIGHT)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize(("n_outputs", "n_channels"), [(1, 1), (1, 3), (3, 3), (2, 3)])
def test_thm_representation_cost(shape, depth, n_outputs, n_channels):
    """Attained by balanced weights, and never undercut by others."""
    B = random_map(shape, n_outputs, n_channels)
    cost = theory.representation_cost(B, depth)
    model = as_network(theory.realize(B, depth, width=3))
    assert torch.allclose(theory.end_to_end(model), B, atol=TIGHT)
    assert squares(model) == pytest.approx(cost, rel=TIGHT)
    other = linear_net(depth, (n_channels, *shape), n_outputs, seed=1)
    cheapest = theory.representation_cost(theory.end_to_end(other), depth)
    if depth == 1:
        assert squares(other) == pytest.approx(cheapest, rel=TIGHT)
    else:
        assert squares(other) > 1.1 * cheapest  # random weights are not balanced


@pytest.mark.parametrize("depth", [2, 3])
def test_eq_balanced_weights(depth):
    """Balance is what makes weights cheap: the same map costs more without."""
    B = random_map((4, 5), 2, 3)
    first, *rest = theory.realize(B, depth, width=3)
    model = as_network([2 * first, rest[0] / 2, *rest[1:]])
    assert torch.allclose(theory.end_to_end(model), B, atol=TIGHT)
    assert squares(model) > 1.2 * theory.representation_cost(B, depth)


def test_representation_cost_is_a_norm_of_the_singular_values():
    B = random_map((3, 4), 2, 3)
    sigma = torch.linalg.svdvals(B)
    for depth in (1, 2, 3, 5):
        expected = depth * 12 ** (1 / depth - 1) * sigma.pow(2 / depth).sum().item()
        assert theory.representation_cost(B, depth) == pytest.approx(expected, rel=1e-12)
    real = torch.rand(2, 2, 1, 1)
    assert theory.representation_cost(real, 1) == pytest.approx(real.square().sum().item())


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_maps_of_no_real_network_are_refused(depth):
    """A real map B that is not even, and one of which a single frequency is off."""
    odd = noise(4, 4, 1, 1)
    lone = random_map((4, 5), 1, 1)
    lone[1, 2] *= 1.001
    for B in (odd, lone):
        for call in (theory.representation_cost, lambda B, L: theory.realize(B, L, width=1)):
            with pytest.raises(ValueError, match="B must be Hermitian"):
                call(B, depth)
    loss = theory.population_loss(torch.ones(4, 4), torch.ones(4, 4))
    with pytest.raises(ValueError, match="B must be Hermitian"):
        loss(odd.to(torch.complex128))
    rounded = random_map((4, 5), 1, 1).to(torch.complex64)  # off by rounding alone
    assert len(theory.realize(rounded, depth, width=1)) == depth


def network_with(fault):
    model = linear_net(2, (1, 4, 4))
    if fault == "relu":
        model.activation = torch.nn.ReLU()
    elif fault == "bias":
        model.convolutions[0] = layers.CircularConv2d(1, 3, 4).double()
    elif fault == "head":
        model.head = torch.nn.Parameter(model.head[:, :, :3])
    else:
        model.convolutions[0] = torch.nn.Conv2d(1, 3, 3, padding="same", bias=False).double()
    return model


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: theory.representation_cost(torch.ones(2, 2, 1), 1), ValueError, r"\(H, W, K, C\)"),
        (lambda: theory.representation_cost(torch.ones(2, 2, 1, 1), 0), ValueError, "at least 1"),
        (lambda: theory.representation_cost(NAN, 1), ValueError, "finite"),
        (
            lambda: theory.realize(torch.ones(2, 2, 3, 3), 2, width=2),
            ValueError,
            r"min\(K, C\) = 3",
        ),
        (lambda: theory.realize(1j * torch.ones(2, 2, 1, 1), 2, width=2), ValueError, "Hermitian"),
        (lambda: theory.end_to_end(torch.nn.Linear(2, 2)), TypeError, "linear CNN"),
        (lambda: theory.end_to_end(network_with("relu")), ValueError, "ReLU"),
        (lambda: theory.end_to_end(network_with("bias")), ValueError, "no bias"),
        (lambda: theory.end_to_end(network_with("head")), ValueError, "head must have shape"),
        (lambda: theory.end_to_end(network_with("zero padding")), ValueError, "circular"),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()
