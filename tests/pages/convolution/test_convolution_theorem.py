"""Statements of the page "The convolution theorem" that no function of the library is named for."""

import math

import pytest
import torch
from draws import noise
from matrices import modes
from tolerances import ATOL
from torch import nn

from freqsense import fourier, images, layers
from freqsense.spectra import fit_power_law, power_spectrum

TIGHT = ATOL[torch.float64]
SHAPES = [(1, 8), (1, 9), (4, 4), (3, 5), (4, 3), (2, 6)]


def shift_matrix(shape, down, right):
    """(S x)[p] = x[p - s] on flattened images: (D, D)."""
    pixels = torch.eye(shape[0] * shape[1], dtype=torch.float64).reshape(-1, *shape)
    return pixels.roll((down, right), (1, 2)).flatten(1).T


def circulant(first_row):
    """M with M[p, r] = m[r - p] from m (H, W): entry by entry, (D, D)."""
    height, width = first_row.shape
    places = [(y, x) for y in range(height) for x in range(width)]
    entries = [
        first_row[(r[0] - p[0]) % height, (r[1] - p[1]) % width] for p in places for r in places
    ]
    return torch.stack(entries).reshape(len(places), len(places))


def along_row(taps):
    """A convolution layer with the given taps along a row."""
    layer = layers.CircularConv2d(1, 1, (1, len(taps)), bias=False)
    layer.weight.data = taps.double()[None, None, None]
    return layer.requires_grad_(False)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("shape", SHAPES)
def test_thm_translation_circulant(shape, seed):
    one_step = [shift_matrix(shape, 1, 0), shift_matrix(shape, 0, 1)]
    matrix = circulant(noise(*shape, seed=seed))
    for step in one_step:
        assert torch.equal(matrix @ step, step @ matrix)
    # The mean over all shifts commutes with them, and is circulant again.
    anything = noise(len(matrix), len(matrix), seed=seed)
    shifts = [shift_matrix(shape, y, x) for y in range(shape[0]) for x in range(shape[1])]
    average = sum(s.T @ anything @ s for s in shifts) / len(shifts)
    assert all(torch.allclose(average @ s, s @ average, atol=TIGHT) for s in one_step)
    assert torch.allclose(average, circulant(average[0].reshape(shape)), atol=TIGHT)
    # A matrix that is not circulant fails for at least one of the two.
    assert max((anything @ s - s @ anything).abs().max() for s in one_step) > 0.1
    place = torch.diag(torch.arange(len(matrix)).double())
    assert max((place @ s - s @ place).abs().max() for s in one_step) > 0.1


@pytest.mark.parametrize("shape", SHAPES)
def test_thm_circulant_eigenvectors(shape):
    m, waves = noise(*shape), modes(shape)
    matrix = circulant(m).to(waves.dtype)
    phases = waves * math.sqrt(m.numel())  # exp(2πi ω·r/n), (r, ω)
    eigenvalues = (m.flatten()[:, None] * phases).sum(0)
    assert torch.allclose(matrix @ waves, waves * eigenvalues, atol=TIGHT)
    # Conversely, any eigenvalues on the modes give a circulant matrix.
    chosen = torch.complex(noise(m.numel(), seed=1), noise(m.numel(), seed=2))
    made = waves @ torch.diag(chosen) @ waves.conj().T
    rebuilt = circulant(made[0].reshape(shape))
    assert torch.allclose(made, rebuilt, atol=TIGHT)
    # On another basis they do not.
    basis = torch.linalg.qr(torch.complex(noise(*made.shape), noise(*made.shape, seed=1)))[0]
    made = basis @ torch.diag(chosen) @ basis.conj().T
    assert not torch.allclose(made, circulant(made[0].reshape(shape)), atol=0.01)


@pytest.mark.parametrize("shape", SHAPES)
def test_cor_circulant_algebra(shape):
    first, second = circulant(noise(*shape)), circulant(noise(*shape, seed=1))
    waves = modes(shape)

    def transfer(matrix):
        return (waves.conj() * (matrix.to(waves.dtype) @ waves)).sum(0)

    one, two = transfer(first), transfer(second)
    for made, expected in [
        (first + second, one + two),
        (first @ second, one * two),
        (first.T, one.conj()),
        (torch.linalg.inv(first), 1 / one),
    ]:
        assert torch.allclose(made, circulant(made[0].reshape(shape)), atol=TIGHT)
        assert torch.allclose(transfer(made), expected, atol=TIGHT)
    assert torch.allclose(first @ second, second @ first, atol=TIGHT)
    gains = one.abs().sort(descending=True)[0]
    assert torch.allclose(torch.linalg.svdvals(first), gains, atol=TIGHT)
    anything = noise(*first.shape, seed=2)
    assert not torch.allclose(first @ anything, anything @ first, atol=0.1)


@pytest.mark.parametrize("shape", SHAPES)
def test_thm_convolution_flip(shape):
    w, x, u = (noise(*shape, seed=seed) for seed in range(3))

    def convolve(w, x):
        """Sum over q of w[q] x[p - q], from the definition."""
        moved = [w[a, b] * x.roll((a, b), (0, 1)) for a in range(shape[0]) for b in range(shape[1])]
        return sum(moved)

    root = math.sqrt(w.numel())
    product = root * fourier.fft2(w) * fourier.fft2(x)
    assert torch.allclose(fourier.fft2(convolve(w, x)), product, atol=TIGHT)
    assert torch.allclose(convolve(w, x), convolve(x, w), atol=TIGHT)
    both = convolve(u, convolve(w, x)), convolve(convolve(u, w), x)
    assert torch.allclose(*both, atol=TIGHT)
    # Cross-correlation has the conjugate instead, and its order matters.
    flipped = w.flip(0, 1).roll((1, 1), (0, 1))  # w[-q]
    other = root * fourier.fft2(w).conj() * fourier.fft2(x)
    assert torch.allclose(fourier.fft2(convolve(flipped, x)), other, atol=TIGHT)
    assert not torch.allclose(product, other, atol=0.1)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("n", "k"), [(12, 3), (12, 4), (9, 2), (7, 7)])
def test_eq_cosine_response(n, k, seed):
    layer, place = along_row(noise(k, seed=seed)), torch.arange(n).double()
    transfer = layers.transfer_function(layer, (1, n))[0, :, 0, 0]
    for frequency in range(n // 2 + 1):
        angle = 2 * torch.pi * frequency * place / n
        found = layer(torch.cos(angle)[None, None, None])[0, 0, 0]
        T = transfer[frequency]
        assert torch.allclose(found, T.abs() * torch.cos(angle + T.angle()), atol=TIGHT)


@pytest.mark.parametrize("n", [16, 15])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 6])
def test_eq_box_transfer(n, k):
    layer = along_row(torch.full((k,), 1 / k, dtype=torch.float64))
    found = layers.transfer_function(layer, (1, n))[0, 1:, 0, 0]
    f = fourier.frequencies((1, n))[1][0, 1:] / n
    real = torch.sin(torch.pi * k * f) / (k * torch.sin(torch.pi * f))
    theory = torch.exp(1j * torch.pi * (1 - k % 2) * f) * real
    assert torch.allclose(found, theory, atol=TIGHT)
    if k % 2 == 0:  # the half pixel is there
        assert not torch.allclose(found.imag, torch.zeros(n - 1, dtype=torch.float64), atol=0.01)


@pytest.mark.parametrize("shape", [(8, 8), (9, 7), (6, 11)])
def test_eq_three_transfers(shape):
    ky, kx = fourier.frequencies(shape)
    step_y, step_x = 2 * torch.pi * ky / shape[0], 2 * torch.pi * kx / shape[1]
    binomial = torch.tensor([1, 4, 6, 4, 1], dtype=torch.float64) / 16
    cosines = torch.cos(step_y / 2) * torch.cos(step_x / 2)
    hills = torch.sin(step_y / 2).square() + torch.sin(step_x / 2).square()
    cases = [
        (torch.outer(binomial, binomial), cosines**4 + 0j),
        (torch.tensor([[-0.5, 0, 0.5]]), 1j * torch.sin(step_x)),
        (torch.tensor([[0.0, -1, 0], [-1, 5, -1], [0, -1, 0]]), 1 + 4 * hills + 0j),
    ]
    for kernel, theory in cases:
        layer = layers.CircularConv2d(1, 1, tuple(kernel.shape), bias=False)
        layer.weight.data = kernel.double()[None, None]
        assert torch.allclose(layers.transfer_function(layer, shape)[..., 0, 0], theory, atol=TIGHT)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_eq_gaussian_transfer(sigma):
    n = 128
    reach = math.ceil(9 * sigma)
    taps = torch.exp(-torch.arange(-reach, reach + 1).double().square() / (2 * sigma**2))
    found = layers.transfer_function(along_row(taps / taps.sum()), (1, n))[0, :, 0, 0].real
    f = (fourier.frequencies((1, n))[1][0] / n).double()

    def gaussian(f):
        return torch.exp(-2 * torch.pi**2 * sigma**2 * f.square())

    copies = sum(gaussian(f + j) for j in range(-4, 5))
    assert torch.allclose(found, copies / copies[0], atol=TIGHT)  # sampling, exactly
    misfit = (found - gaussian(f)).abs().max()
    assert misfit < 0.02 if sigma >= 1 else misfit > 0.1


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("n", [5, 16, 17])
def test_eq_corner_leak(n, seed):
    weights = noise(3, seed=seed)
    pixels = torch.eye(n, dtype=torch.float64).reshape(n, 1, 1, n)
    padded = nn.Conv2d(1, 1, (1, 3), padding=(0, 1), bias=False).requires_grad_(False)
    padded.weight.data = weights[None, None, None]
    waves = modes((1, n))

    def leak(layer):
        matrix = layer(pixels).reshape(n, n).T.to(waves.dtype)
        rotated = (waves.conj().T @ matrix @ waves).abs().square()
        return rotated.sum(0) - rotated.diagonal()

    theta = 2 * torch.pi * fourier.frequencies((1, n))[1][0] / n
    back = weights[0] * torch.exp(-1j * theta) + weights[2] * torch.exp(1j * theta)
    theory = (weights[0] ** 2 + weights[2] ** 2) / n - back.abs().square() / n**2
    assert torch.allclose(leak(padded), theory, atol=TIGHT)
    assert leak(padded).min() > 1e-3
    assert leak(along_row(weights)).abs().max() < TIGHT


def test_a_zero_padded_layer_is_toeplitz_and_not_circulant():
    n = 9
    padded = nn.Conv2d(1, 1, (1, 3), padding=(0, 1), bias=False).requires_grad_(False).double()
    matrix = padded(torch.eye(n, dtype=torch.float64).reshape(n, 1, 1, n)).reshape(n, n).T
    assert torch.equal(matrix[1:, 1:], matrix[:-1, :-1])  # one value on each diagonal
    step = shift_matrix((1, n), 0, 1)
    assert (matrix @ step - step @ matrix).abs().max() > 0.01


@pytest.mark.parametrize(
    ("first", "second", "drift"), [(3, 5, 0), (3, 4, 0), (4, 3, 0), (2, 2, 1), (4, 6, 1)]
)
def test_two_layers_are_one_up_to_a_pixel(first, second, drift):
    n = 15
    one, two = noise(first), noise(second, seed=1)
    both = torch.zeros(first + second - 1, dtype=torch.float64)
    for q, weight in enumerate(one):
        both[q : q + second] += weight * two
    x = noise(1, 1, 1, n, seed=2)
    twice = along_row(two)(along_row(one)(x))
    assert torch.allclose(twice, along_row(both)(x).roll(-drift, -1), atol=TIGHT)
    assert not torch.allclose(twice, along_row(both)(x).roll(1 - drift, -1), atol=0.01)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_edge_filters_lower_the_exponent_by_nearly_two_whatever_the_image(seed):
    edge = torch.tensor([[-0.5, 0, 0.5]], dtype=torch.float64)
    for alpha in (1.0, 2.0, 3.0):
        x = images.gaussian_field(40, shape=(128, 128), alpha=alpha, seed=seed).double()
        power = power_spectrum(x).values[0]
        after = 0
        for kernel in (edge, edge.T):
            layer = layers.CircularConv2d(1, 1, tuple(kernel.shape), bias=False)
            layer.weight.data = kernel[None, None].contiguous()
            after = after + power_spectrum(layer.requires_grad_(False)(x)).values[0]
        before, then = (
            fit_power_law(fourier.radial_average(p), fmin=4, fmax=12).alpha for p in (power, after)
        )
        assert 1.85 < before - then < 2


def test_undoing_a_blur_enlarges_noise_as_predicted():
    taps = torch.tensor([1, 2.1, 1], dtype=torch.float64) / 4.1
    blur = layers.CircularConv2d(1, 1, 3, bias=False).requires_grad_(False)
    blur.weight.data = torch.outer(taps, taps)[None, None]
    shape = (96, 75)
    T = layers.transfer_function(blur, shape)[..., 0, 0]
    x = noise(20, 1, *shape)
    noisy = blur(x) + 0.01 * noise(20, 1, *shape, seed=1)
    error = (fourier.ifft2(fourier.fft2(noisy) / T).real - x).square().mean()
    predicted = 0.01**2 * (T.abs() ** -2).mean()
    assert abs(error / predicted - 1) < 0.05
    exact = fourier.ifft2(fourier.fft2(blur(x)) / T).real
    assert torch.allclose(exact, x, atol=TIGHT)
