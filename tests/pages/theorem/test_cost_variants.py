"""What the assumptions of the representation cost are worth."""

import math

import pytest
import torch
from draws import noise
from networks import as_network
from tolerances import ATOL

from freqsense import fourier, layers, models, theory, training

TIGHT = ATOL[torch.float64]
SHAPES = [(6, 6), (5, 5), (4, 7)]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_different_decays_enter_by_their_geometric_mean(seed):
    x, y = noise(60, 2, 4, 5, seed=seed), noise(60, seed=seed + 10)
    loss = theory.quadratic_loss(x, y)
    model = models.linear_cnn(2, width=2, shape=(2, 4, 5), seed=seed).double()

    def objective(m):
        decay = 0.01 * m.convolutions[0].weight.square().sum() + 1.0 * m.head.square().sum()
        return loss(theory.end_to_end(m)) + decay

    fit = training.minimize(model, objective, weight_decay=0.0, max_iterations=2000)
    solved = theory.solve(x, y, weight_decay=0.2, depth=2)  # 0.02 and 2.0
    assert math.isclose(fit.objective, solved.objective, rel_tol=1e-9)
    assert fit.objective < 0.98 * theory.solve(x, y, weight_decay=1.01, depth=2).objective


def small_kernel_cost(B, k, seed, width=4):
    shape, used = tuple(B.shape), B != 0
    power = B[used].abs().square()
    layer = layers.CircularConv2d(1, width, k, bias=False).double()
    layer.weight.data = noise(*layer.weight.shape, seed=seed) / k

    def gain(layer):
        return layers.transfer_function(layer, shape).abs().square().sum((-2, -1))[used]

    fit = training.minimize(
        layer,
        lambda m: (power / gain(m)).sum() / 2,
        weight_decay=1.0,
        tolerance=1e-8,
        max_iterations=2000,
    )
    return 2 * fit.objective


@pytest.mark.parametrize("shape", [(8, 8), (7, 7)])
@pytest.mark.parametrize("seed", [0, 1])
def test_small_kernels_cost_more(shape, seed):
    B = fourier.fft2(noise(*shape, seed=seed))
    full = theory.representation_cost(B[..., None, None], 2)
    found = [small_kernel_cost(B, k, seed) / full for k in (1, 3, 5, shape[0])]
    assert math.isclose(found[0], 2 * float(B.abs().square().sum().sqrt()) / full, rel_tol=1e-8)
    assert found[0] > found[1] > 1.01 and found[1] > found[2] > 1 - 1e-8
    assert math.isclose(found[3], 1, rel_tol=1e-8)


@pytest.mark.parametrize(("shape", "omega"), [((9, 9), (2, 3)), ((8, 10), (1, -3))])
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_eq_wave_cost(shape, omega, k):
    B = torch.zeros(shape, dtype=torch.complex128)
    B[omega], B[-omega[0], -omega[1]] = 0.3 + 0.4j, 0.3 - 0.4j
    q = torch.cartesian_prod(torch.arange(k), torch.arange(k)).double()
    angle = (
        4
        * torch.pi
        * (q @ torch.tensor([o / n for o, n in zip(omega, shape, strict=True)]).double())
    )
    m = (k**2 + abs(complex(torch.exp(1j * angle).sum()))) / 2
    for seed in (0, 1):
        assert math.isclose(small_kernel_cost(B, k, seed), 2 * math.sqrt(2 / m) * 0.5, rel_tol=1e-7)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_normalisation_makes_the_scale_of_weights_free(seed):
    x, w = noise(16, 3, 6, 7, seed=seed), noise(4, 3, 6, 7, seed=seed + 10)
    outputs = []
    for scale in (1.0, 1e-3):
        layer = layers.CircularConv2d(3, 4, (6, 7), bias=False).double()
        layer.weight.data = scale * w
        norm = torch.nn.BatchNorm2d(4, eps=1e-30).double()
        outputs.append((layer(x).detach(), norm(layer(x)).detach()))
    (plain, normed), (small, same) = outputs
    assert torch.allclose(normed, same, atol=TIGHT)
    assert not torch.allclose(plain, small, atol=0.1)


def test_behind_a_normalisation_only_the_kernels_before_it_are_free():
    x = noise(16, 2, 6, 6)
    conv = layers.CircularConv2d(2, 4, 6, bias=False).double()
    norm = torch.nn.BatchNorm2d(4, eps=1e-30).double()
    head = torch.nn.Linear(144, 3).double()

    def outputs():
        return head(norm(conv(x)).flatten(1)).detach()

    before = outputs()
    for part, free in ((conv.weight, True), (norm.weight, False), (head.weight, False)):
        kept = part.data.clone()
        part.data *= 1e-3
        assert torch.allclose(outputs(), before, atol=1e-6) == free
        part.data = kept
    conv.weight.data *= 0  # the infimum is not attained
    assert not torch.allclose(outputs(), before, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_global_average_pooling_sees_dc_alone(shape):
    head = noise(2, 4, 1, 1).expand(2, 4, *shape).clone()
    B = theory.end_to_end(as_network([noise(4, 3, *shape, seed=1), head])).detach()
    assert B[0, 0].abs().min() > 1e-3
    assert B.flatten(0, 1)[1:].abs().max() < TIGHT
    full = theory.end_to_end(as_network([noise(4, 3, *shape, seed=1), noise(2, 4, *shape)]))
    assert full.detach().flatten(0, 1)[1:].abs().amin((1, 2)).min() > 1e-3


@pytest.mark.parametrize("seed", [0, 1])
def test_a_bias_between_layers_adds_a_constant_alone(seed):
    model = models.linear_cnn(3, width=2, shape=(2, 4, 5), seed=seed).double()
    B = theory.end_to_end(model).detach()
    for layer in model.convolutions:
        layer.bias = torch.nn.Parameter(noise(2, seed=seed))
    x = noise(5, 2, 4, 5, seed=seed)
    constant = model(torch.zeros_like(x[:1])).detach()
    expected = torch.einsum("hwkc,nchw->nk", B, fourier.fft2(x)).real
    assert constant.abs().max() > 1e-3
    assert torch.allclose(model(x).detach(), expected + constant, atol=TIGHT)
