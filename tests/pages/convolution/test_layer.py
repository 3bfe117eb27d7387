"""Statements of the page "A CNN layer is one small matrix per frequency"."""

import math

import pytest
import torch
from convolving import kernel_of, make_layer, transfer_of
from draws import noise
from networks import seeded
from tolerances import ATOL, SIGMAS
from torch import nn

from freqsense import filters, fourier, images, layers, spectra, training

TIGHT = ATOL[torch.float64]


SHAPES = [(8, 8), (9, 7), (7, 10)]


KERNELS = [3, 4, (2, 5)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_thm_compose_layers(shape, kernel):
    first, second = make_layer(3, 5, kernel), make_layer(5, 2, 3, seed=1)
    product = layers.transfer_function(second, shape) @ layers.transfer_function(first, shape)
    x = noise(2, 3, *shape)
    expected = torch.einsum("hwoc,nchw->nohw", product, fourier.fft2(x))
    assert torch.allclose(fourier.fft2(second(first(x))), expected, atol=TIGHT)
    wrong = torch.einsum("hwoc,nchw->nohw", product.conj(), fourier.fft2(x))
    assert not torch.allclose(wrong, expected, atol=1e-3)

    sizes = [a + b - 1 for a, b in zip(first.kernel_size, second.kernel_size, strict=True)]
    offsets = [
        (a - 1) // 2 + (b - 1) // 2
        for a, b in zip(first.kernel_size, second.kernel_size, strict=True)
    ]
    whole = kernel_of(product).roll(offsets, (-2, -1))
    assert whole.imag.abs().max() < TIGHT
    assert whole[..., sizes[0] :, :].abs().sum() + whole[..., sizes[1] :].abs().sum() < TIGHT
    assert whole[..., sizes[0] - 1, sizes[1] - 1].abs().min() > 1e-6


@pytest.mark.parametrize("shape", SHAPES)
def test_thm_compose_layers_any_symmetric_matrices_belong_to_a_layer(shape):
    transfer = transfer_of(noise(3, 2, *shape))
    mirror = transfer.flip(0, 1).roll((1, 1), (0, 1))
    assert torch.allclose(mirror, transfer.conj(), atol=TIGHT)
    assert kernel_of(transfer).imag.abs().max() < TIGHT
    assert torch.allclose(transfer_of(kernel_of(transfer).real), transfer, atol=TIGHT)
    lopsided = transfer.clone()
    lopsided[1, 2] *= 1j
    assert kernel_of(lopsided).imag.abs().max() > 1e-3


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("groups", [1, 2])
def test_cor_layer_energy(shape, groups):
    layer = make_layer(4, 6, 4, groups=groups)
    energy = layers.transfer_function(layer, shape).abs().square().sum() / math.prod(shape)
    assert torch.allclose(energy, layer.weight.square().sum(), atol=TIGHT)
    values = layers.singular_values(layer, shape).square().sum() / math.prod(shape)
    assert torch.allclose(values, energy, atol=TIGHT)


@pytest.mark.parametrize("shape", SHAPES)
def test_thm_random_layer_flat(shape):
    n, kernel = 40_000, (3, 4)
    weight = noise(n, 1, *kernel)
    layer = make_layer(1, n, kernel)
    layer.weight = nn.Parameter(weight, requires_grad=False)
    gain = layers.transfer_function(layer, shape)[..., 0].abs().square()  # (H, W, n)
    error = gain.std(-1) / math.sqrt(n)
    assert ((gain.mean(-1) - 12).abs() < SIGMAS * error).all()
    layer.weight = nn.Parameter(weight + 0.2, requires_grad=False)  # a mean is seen at DC
    gain = layers.transfer_function(layer, shape)[..., 0].abs().square()
    assert gain[0, 0].mean() > 12 + 4 * SIGMAS * error[0, 0]


@seeded
def page_net():
    """The network of the page."""
    return nn.Sequential(
        layers.CircularConv2d(3, 12, 7, method="direct"),
        nn.ReLU(),
        nn.MaxPool2d(4),
        layers.CircularConv2d(12, 32, 3, method="direct"),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 8),
    )


def trained_first_layer(seed, whiten):
    """The page's experiment, with other seeds."""
    x, y = images.photo_patches("train", n_per_class=48, size=32, seed=seed)
    x = x - x.mean((-2, -1), keepdim=True)
    if whiten:
        x = filters.whiten(x, spectrum=spectra.power_spectrum(x))
    network = page_net(seed=seed)
    training.train(
        network,
        x / x.std(),
        y,
        epochs=10,
        lr=4e-3,
        weight_decay=0.0,
        seed=seed,
        batch_size=32,
        optimizer="adam",
    )
    return network[0]


def low_over_high(layer):
    """Total gain at radius 2 over that at radius 14."""
    gain = layers.transfer_function(layer, (32, 32)).detach().abs().square().sum((-2, -1))
    mean = fourier.radial_average(gain).mean
    return float(mean[2] / mean[14])


@pytest.mark.parametrize("seed", [10, 11])
def test_a_first_layer_trained_on_photographs_becomes_low_pass_and_the_shortcut_fails(seed):
    natural, white = (trained_first_layer(seed, whiten) for whiten in (False, True))
    start = make_layer(3, 12, 7, seed=seed)
    assert low_over_high(natural) > 5
    assert low_over_high(white) < 2.5
    assert low_over_high(start) < 2

    def ratio(layer):
        reshaped = layer.weight.detach().double().flatten(1)
        return layers.spectral_norm(layer, (32, 32)) / float(torch.linalg.matrix_norm(reshaped, 2))

    assert ratio(natural) > 4 > ratio(start)
    assert ratio(natural) > ratio(white)
