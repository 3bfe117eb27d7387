"""The rules of sensitivity: gradients and waves, totals, noise, filters, other averages."""

import math

import pytest
import torch
from draws import noise
from networks import seeded
from tolerances import ATOL, SIGMAS
from waves import gradients, kinked_net, slopes_along, unit_waves

from freqsense import filters, fourier, images, layers
from freqsense.sensitivity import measure_sensitivity

SHAPES = [(8, 8), (7, 7), (6, 9), (7, 4)]
TIGHT = ATOL[torch.float64]


@pytest.mark.parametrize("shape", SHAPES)
def test_thm_gradient_transform(shape):
    model, x = kinked_net(), noise(1, 2, *shape)
    ghat = fourier.fft2(gradients(model, x))[0]  # (K, C, H, W)
    turn = 2 * torch.pi * torch.arange(12, dtype=torch.float64) / 12
    copies = x.expand(12, -1, -1, -1)
    for frequency in ((0, 0), (1, 1), (-2, 1), (shape[0] // 2, 0)):
        for channel in (0, 1):
            wave = unit_waves(copies, channel, frequency, turn)
            found = slopes_along(model, copies, wave)  # (12, K)
            at = ghat[:, channel, frequency[0], frequency[1]]
            said = 2**0.5 * at.abs() * torch.cos(turn[:, None] - at.angle())
            assert torch.allclose(found, said, atol=TIGHT)
            assert torch.allclose(found.square().mean(0).sqrt(), at.abs(), atol=TIGHT)
            lengths = wave.square().sum((1, 2, 3))
            own_mirror = all(2 * k % n == 0 for k, n in zip(frequency, shape, strict=True))
            assert torch.allclose(lengths.mean(), torch.ones_like(lengths[0]), atol=TIGHT)
            assert own_mirror == (lengths.std() > 0.1)
    # Part 2, the real and the imaginary part one by one.
    mode = fourier.fourier_mode(shape, 1, -1)
    for part, expected in (
        (mode.real, ghat[:, 1, 1, -1].real),
        (mode.imag, -ghat[:, 1, 1, -1].imag),
    ):
        wave = torch.zeros_like(x)
        wave[0, 1] = part
        assert torch.allclose(slopes_along(model, x, wave)[0], expected, atol=TIGHT)
    # Part 3, autograd's derivative with respect to complex coefficients.
    jacobian = torch.autograd.functional.jacobian(
        lambda xhat: model(fourier.ifft2(xhat).real)[0], fourier.fft2(x)
    )[:, 0]
    assert torch.allclose(jacobian, ghat, atol=TIGHT)
    assert not torch.allclose(jacobian, ghat.conj(), atol=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_thm_total_sensitivity(shape):
    model, x = kinked_net(), noise(5, 2, *shape)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda one: model(one[None])[0]))(x)
    expected = jacobian.square().flatten(1).sum(1).mean()
    assert torch.allclose(measure_sensitivity(model, x).values.square().sum(), expected, atol=TIGHT)


@pytest.mark.parametrize("shape", [(8, 8), (7, 9)])
@pytest.mark.parametrize("alpha", [0.0, 2.0])
def test_thm_noise_response(shape, alpha):
    model, x = kinked_net(channels=1), noise(1, 1, *shape)
    n = 5_000
    eta = images.gaussian_field(n, shape=shape, alpha=alpha, seed=3).double()
    change = slopes_along(model, x.expand(n, -1, -1, -1), eta).square().sum(1)
    law = fourier.radial_frequency(shape).clamp(min=1e-9) ** -alpha
    law[0, 0] = 0
    power = law * math.prod(shape) / law.sum()
    sensitivity = measure_sensitivity(model, x).values[0]
    expected = (power * sensitivity.square()).sum()
    assert abs(change.mean() - expected) < SIGMAS * change.std() / math.sqrt(n)
    # The spectrum counts: white noise of the same strength would do something else.
    if alpha:
        white = sensitivity.square().sum() - sensitivity[0, 0] ** 2
        assert abs(white * math.prod(shape) / (math.prod(shape) - 1) / expected - 1) > 0.1


@pytest.mark.parametrize("shape", SHAPES)
def test_thm_sensitivity_rules(shape):
    model, x = kinked_net(), noise(5, 2, *shape)
    values = measure_sensitivity(model, x).values
    frame = torch.linalg.qr(noise(5, 3))[0]  # (5, 3), orthonormal columns

    def turned(x):
        return -2 * model(x) @ frame.T + 7

    assert torch.allclose(measure_sensitivity(turned, x).values, 2 * values, atol=TIGHT)
    scaled = measure_sensitivity(lambda x: model(x / 3), 3 * x).values
    assert torch.allclose(scaled, values / 3, atol=TIGHT)
    layer = seeded(layers.CircularConv2d)(2, 2, 3, seed=1).double()
    transfer = layers.transfer_function(layer, shape).detach()  # (H, W, 2, 2)
    inner = fourier.fft2(gradients(model, layer(x).detach()))  # (N, K, 2, H, W)
    expected = torch.einsum("hwoc,nkohw->nkchw", transfer.conj(), inner)
    found = fourier.fft2(gradients(lambda x: model(layer(x)), x))
    assert torch.allclose(found, expected, atol=TIGHT)
    # The same filter on every channel, and a shift.
    gain = 1 / (1 + fourier.radial_frequency(shape))

    def blur(x):
        return fourier.ifft2(gain * fourier.fft2(x)).real

    behind = measure_sensitivity(lambda x: model(blur(x)), x).values
    assert torch.allclose(behind, gain * measure_sensitivity(model, blur(x)).values, atol=TIGHT)
    shifted = measure_sensitivity(lambda x: model(x.roll((2, -1), (-2, -1))), x).values
    moved = measure_sensitivity(model, x.roll((2, -1), (-2, -1))).values
    assert torch.allclose(shifted, moved, atol=TIGHT)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cut", [1, 2])
def test_negative_control_no_sensitivity_above_a_low_pass_filter(shape, cut):
    model, x = kinked_net(), noise(5, 2, *shape)
    low = fourier.radial_mask(shape, 0, cut)
    behind = measure_sensitivity(lambda x: model(fourier.ifft2(low * fourier.fft2(x)).real), x)
    assert behind.values[:, ~low].max() < TIGHT
    below = measure_sensitivity(model, filters.low_pass(x, cut)).values[:, low]
    assert torch.allclose(behind.values[:, low], below, atol=TIGHT) and below.min() > 1e-4


def test_lem_mean_below():
    model, x = kinked_net(), noise(20, 2, 7, 9)
    root, mean = (measure_sensitivity(model, x, average=a).values for a in ("rms", "mean"))
    assert (mean < root).all()
    # The norm over the outputs of each image first, as the paper's code has it, is between them.
    pixels = torch.func.vmap(torch.func.jacrev(lambda one: model(one[None])[0]))(x)
    published = fourier.fft2(pixels).abs().square().sum(1).sqrt().mean(0)
    assert (mean < published).all() and (published < root).all()
    weights = noise(2, 1 * 5 * 6)

    def linear(x):
        return x.flatten(1) @ weights.T

    z = noise(3, 1, 5, 6)
    same = [measure_sensitivity(linear, z, average=a).values for a in ("rms", "mean")]
    assert torch.allclose(*same, atol=TIGHT)

    def square(x):  # the gradient is the image: white noise has circular Gaussian coefficients
        return x.square().sum((1, 2, 3))[:, None] / 2

    white = noise(40_000, 1, 5, 5, seed=2)
    maps = [measure_sensitivity(square, white, average=a) for a in ("mean", "rms")]
    ratio = maps[0].values / maps[1].values
    error = (maps[0].stderr / maps[0].values + maps[1].stderr / maps[1].values).max()
    off = torch.ones(1, 5, 5, dtype=torch.bool)
    off[0, 0, 0] = False  # DC is real
    assert ((ratio - math.sqrt(math.pi) / 2).abs()[off] < SIGMAS * error).all()
    assert abs(ratio[0, 0, 0] - math.sqrt(2 / math.pi)) < SIGMAS * error
