"""The Fourier convention: definitions and theorems of the book by name, and the ring average."""

import math

import pytest
import torch
from draws import noise
from hypothesis import given
from hypothesis import strategies as st
from tolerances import ATOL, SIGMAS

from freqsense import fourier

SHAPES = [(8, 8), (9, 9), (8, 12), (12, 8), (7, 10), (5, 16), (1, 1), (1, 6), (2, 3)]
TIGHT = ATOL[torch.float64]


def slow_dft(x):
    """The defining double sum, as two matrix products."""
    height, width = x.shape
    rows, columns = exponentials(height), exponentials(width)
    return rows @ x.to(torch.complex128) @ columns / math.sqrt(height * width)


def exponentials(side):
    index = torch.arange(side, dtype=torch.float64)
    return torch.exp(-2j * torch.pi * torch.outer(index, index) / side)


@pytest.mark.parametrize("shape", SHAPES)
def test_def_unitary_dft(shape):
    x = noise(*shape)
    assert torch.allclose(fourier.fft2(x), slow_dft(x), atol=TIGHT)
    plain = torch.fft.fft2(x)  # without the factor it is another transform
    assert x.numel() == 1 or not torch.allclose(plain, slow_dft(x), atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_eq_inverse_dft(shape, dtype):
    x = noise(2, 3, *shape, dtype=dtype)
    back = fourier.ifft2(fourier.fft2(x))
    assert torch.allclose(back.real, x, atol=ATOL[dtype])
    assert back.imag.abs().max() < ATOL[dtype]


@pytest.mark.parametrize("shape", SHAPES)
def test_thm_parseval(shape):
    x, y = noise(*shape, seed=1), noise(*shape, seed=2)
    inner = (fourier.fft2(x).conj() * fourier.fft2(y)).sum()
    assert abs(inner - (x * y).sum()) < TIGHT
    plain = torch.fft.fft2(x).abs().square().sum()  # the non-unitary transform is off by D
    assert math.isclose(plain, x.numel() * x.square().sum(), rel_tol=TIGHT)


@pytest.mark.parametrize("shape", SHAPES)
def test_thm_hermitian_symmetry(shape):
    xhat = fourier.fft2(noise(*shape))
    mirror = fourier.rings(shape).mirror
    assert torch.allclose(xhat.flatten()[mirror], xhat.flatten().conj(), atol=TIGHT)
    complex_image = noise(*shape) + 1j * noise(*shape, seed=3)
    complex_xhat = fourier.fft2(complex_image).flatten()
    assert not torch.allclose(complex_xhat[mirror], complex_xhat.conj(), atol=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_thm_shift(shape):
    x = noise(*shape)
    ky, kx = fourier.frequencies(shape)
    phase = torch.exp(-2j * torch.pi * (2 * ky / shape[0] + 3 * kx / shape[1]))
    shifted = fourier.fft2(x.roll((2, 3), (0, 1)))
    assert torch.allclose(shifted, fourier.fft2(x) * phase, atol=TIGHT)


@pytest.mark.parametrize("shape", SHAPES)
def test_eq_frequency_grid(shape):
    ky, kx = fourier.frequencies(shape)
    for k, side, axis in [(ky, shape[0], 0), (kx, shape[1], 1)]:
        assert set(k.flatten().tolist()) == set(range(-(side // 2), (side + 1) // 2))
        assert (k.select(axis, 0) == 0).all()


def test_frequencies_and_bins_of_a_cosine():
    """A cosine along the width of an (8, 12) image peaks at the kx that wrote it."""
    x = torch.cos(2 * torch.pi * 3 * torch.arange(12) / 12).expand(8, 12).double()
    ky, kx = fourier.frequencies((8, 12))
    power = fourier.fft2(x).abs().square()
    lit = power > TIGHT
    assert sorted(zip(ky[lit].tolist(), kx[lit].tolist(), strict=True)) == [(0, -3), (0, 3)]


@pytest.mark.parametrize("shape", SHAPES)
def test_def_fourier_mode(shape):
    modes = [
        fourier.fourier_mode(shape, int(ky), int(kx)).flatten()
        for ky, kx in zip(*(k.flatten() for k in fourier.frequencies(shape)), strict=True)
    ]
    basis = torch.stack(modes)  # (D, D), row ω in the order of fft2
    identity = torch.eye(len(basis), dtype=torch.complex128)
    assert torch.allclose(basis @ basis.conj().T, identity, atol=TIGHT)
    x = noise(*shape)
    coefficients = basis.conj() @ x.flatten().to(torch.complex128)
    assert torch.allclose(coefficients, fourier.fft2(x).flatten(), atol=TIGHT)


@pytest.mark.parametrize("shape", SHAPES)
def test_def_radial_frequency(shape):
    height, width = shape
    radius = fourier.radial_frequency(shape)
    for y in range(height):
        for x in range(width):
            ky, kx = min(y, height - y), min(x, width - x)
            expected = min(shape) * math.sqrt((ky / height) ** 2 + (kx / width) ** 2)
            assert abs(radius[y, x] - expected) < TIGHT


def test_eq_radial_mask_splits_the_grid():
    shape = (30, 40)
    edges = [0, 1, 5, 10, math.inf]  # 5 is hit exactly by (3, 4): it belongs to the ring above
    pairs = zip(edges[:-1], edges[1:], strict=True)
    masks = [fourier.radial_mask(shape, low, high) for low, high in pairs]
    assert (torch.stack(masks).sum(0) == 1).all()
    for side in range(6, 60):
        radius = fourier.radial_frequency((side, side))
        assert radius[3 % side, 4 % side] > 0
        if side > 8:
            assert fourier.radial_mask((side, side), 5, 6)[3, 4]
            assert not fourier.radial_mask((side, side), 0, 5)[3, 4]


@given(
    side=st.integers(4, 24), other=st.integers(4, 24), upright=st.booleans(), share=st.floats(0, 1)
)
def test_def_radial_average_puts_a_cosine_in_its_bin(side, other, upright, share):
    short, long = min(side, other), max(side, other)
    k = round(share * (short // 2))
    wave = torch.cos(2 * torch.pi * k * torch.arange(short, dtype=torch.float64) / short)
    x = wave.expand(long, short) if upright else wave[:, None].expand(short, long)
    profile = fourier.radial_average(fourier.fft2(x).abs().square())
    lit = profile.mean > TIGHT
    assert lit.nonzero().flatten().tolist() == [k]


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if min(shape) > 1])
def test_def_radial_average(shape):
    values = noise(3, *shape).abs()
    values = (values + values.flip(-2, -1).roll((1, 1), (-2, -1))) / 2  # even, like any power
    profile = fourier.radial_average(values)
    ring = (fourier.radial_frequency(shape) + 0.5 + 1e-9).floor()
    assert len(profile.frequency) == min(shape) // 2 + 1
    for k in range(len(profile.frequency)):
        inside = values[:, ring == k]
        assert torch.allclose(profile.mean[:, k], inside.mean(1), atol=TIGHT)
        mean_radius = fourier.radial_frequency(shape)[ring == k].mean()
        assert abs(profile.frequency[k] - mean_radius) < TIGHT


def test_def_radial_average_counts_pairs_once():
    profile = fourier.radial_average(torch.ones(8, 8))
    # Ring 1 of an 8 x 8 grid: (0, ±1), (±1, 0), (±1, ±1), eight points in four pairs.
    assert profile.count[:2].tolist() == [1, 4]
    odd = fourier.radial_average(torch.ones(9, 9))
    assert odd.count[:2].tolist() == [1, 4]


@pytest.mark.parametrize("shape", [(32, 32), (33, 33), (24, 40)])
def test_radial_average_errors_cover_the_truth(shape):
    """On white noise, mean ± 1.96 sem holds the expected power about 95 % of the time."""
    n_draws = 2000
    power = fourier.fft2(noise(n_draws, *shape)).abs().square()  # expectation 1 everywhere
    profile = fourier.radial_average(power)
    rings = slice(3, None)  # more than ten pairs: the normal interval is fair
    z = (profile.mean - 1) / profile.sem
    covered = (z[:, rings].abs() < 1.96).double().mean()
    assert 0.91 < covered < 0.96
    naive = (z[:, rings].abs() < 1.96 / math.sqrt(2)).double().mean()  # counts each pair twice
    assert naive < 0.88


def test_radial_average_shifted_grid():
    values = noise(7, 10)
    shifted = fourier.radial_average(torch.fft.fftshift(values), fftshifted=True)
    assert torch.equal(shifted.mean, fourier.radial_average(values).mean)
    assert not torch.allclose(shifted.mean, fourier.radial_average(torch.fft.fftshift(values)).mean)


def test_radial_average_is_unbiased_for_the_mean():
    power = fourier.fft2(noise(4000, 16, 16)).abs().square()
    mean = fourier.radial_average(power).mean.mean(0)
    n = 4000 * fourier.radial_average(torch.ones(16, 16)).count
    assert ((mean - 1).abs() < SIGMAS * (2 / n).sqrt()).all()


def test_profile_channels():
    profile = fourier.radial_average(noise(3, 8, 8))
    assert torch.equal(profile[1].mean, profile.mean[1])
    with pytest.raises(ValueError, match=r"one curve .* got \(3, 5\)"):
        profile.single()
    assert fourier.radial_average(noise(1, 8, 8)).single().mean.shape == (5,)


def test_fft2_keeps_gradients():
    x = noise(4, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: fourier.fft2(x).abs().square().sum(), x)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fourier.fft2(torch.zeros(8)), ValueError, r"at least two axes"),
        (lambda: fourier.fft2([[1.0]]), TypeError, r"torch tensor or a numpy array, got list"),
        (lambda: fourier.fft2(torch.zeros(2, 2, dtype=torch.int64)), TypeError, "float or complex"),
        (lambda: fourier.fft2(torch.zeros(0, 4)), ValueError, "must not be empty"),
        (lambda: fourier.frequencies(8), ValueError, r"pair \(H, W\), got 8"),
        (lambda: fourier.frequencies((8, 0)), ValueError, r"at least 1, got 0"),
        (lambda: fourier.frequencies((8, 2.5)), TypeError, "must be an integer, got 2.5"),
        (lambda: fourier.fourier_mode((8, 8), 5, 0), ValueError, "between -4 and 4, got 5"),
        (lambda: fourier.fourier_mode((8, 8), 0, 1.0), TypeError, "kx must be an integer"),
        (lambda: fourier.radial_mask((8, 8), 3, 3), ValueError, "low must be smaller than high"),
        (lambda: fourier.radial_mask((8, 8), -1, 3), ValueError, "low must be at least 0"),
        (lambda: fourier.radial_average(torch.zeros(4)), ValueError, "at least two axes"),
        (lambda: fourier.radial_average(torch.full((4, 4), torch.nan)), ValueError, "finite"),
        (lambda: fourier.radial_average(torch.zeros(4, 4) * 1j), TypeError, "must be real"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("shape", SHAPES)
def test_thm_hermitian_symmetry_gives_the_other_half(shape):
    x = noise(3, *shape)
    half = torch.fft.rfft2(x, norm="ortho").abs()
    whole = fourier.unfold_half(half, shape[1])
    assert torch.allclose(whole, fourier.fft2(x).abs(), atol=ATOL[torch.float64])
    with pytest.raises(ValueError, match="columns"):
        fourier.unfold_half(half, shape[1] + 2)
