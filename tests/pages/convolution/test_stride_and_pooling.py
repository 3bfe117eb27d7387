"""Statements of the page "Strides and pooling"."""

import math

import pytest
import torch
from draws import fields, noise
from formulas import fold
from tolerances import ATOL, SIGMAS
from torch.nn.functional import avg_pool2d, max_pool2d, pad

from freqsense import fourier, images, layers

TIGHT = ATOL[torch.float64]


def energy(x):
    return x.abs().square().flatten(1).sum(1)


STRIDES = [
    ((8, 8), (2, 2)),
    ((12, 12), (4, 4)),
    ((9, 9), (3, 3)),
    ((8, 12), (2, 2)),
    ((12, 10), (4, 5)),
    ((7, 10), (1, 2)),
    ((6, 10), (6, 2)),
]


each_stride = pytest.mark.parametrize(("shape", "stride"), STRIDES)


def stays(shape, stride):
    """The frequencies of the new grid: bool (H, W)."""
    ky, kx = fourier.frequencies(shape)
    found = torch.ones(shape, dtype=torch.bool)
    for k, n, f in zip((ky, kx), shape, stride, strict=True):
        found &= (k >= -(n // f // 2)) & (k < (n // f + 1) // 2)
    return found


@each_stride
def test_thm_aliasing(shape, stride):
    x = noise(3, 1, *shape) + 1j * noise(3, 1, *shape, seed=1)
    yhat = fourier.fft2(x[..., :: stride[0], :: stride[1]])
    assert torch.allclose(
        yhat, fold(fourier.fft2(x), stride) / math.prod(stride) ** 0.5, atol=TIGHT
    )
    # One wave lands at its frequency modulo the new grid, and nowhere else.
    ky, kx = -(shape[0] // 2), (shape[1] - 1) // 2
    landed = fourier.fft2(fourier.fourier_mode(shape, ky, kx)[:: stride[0], :: stride[1]])
    place = ky % (shape[0] // stride[0]), kx % (shape[1] // stride[1])
    landed[place] -= 1 / math.prod(stride) ** 0.5
    assert landed.abs().max() < TIGHT


def test_thm_aliasing_needs_a_stride_that_divides_the_side():
    wave = fourier.fourier_mode((1, 15), 0, 6)
    spread = fourier.fft2(wave[:, ::2]).abs().square()[0]  # 8 pixels
    assert spread.max() < 0.9 * spread.sum() and spread.min() > 1e-4


@each_stride
def test_cor_aliased_share(shape, stride):
    n = 20_000
    power = 1 / (1 + fourier.radial_frequency(shape)) ** 2
    x = fields(power[None], n)
    measured = fourier.fft2(x[..., :: stride[0], :: stride[1]]).abs().square()[:, 0]
    predicted = fold(power, stride) / math.prod(stride)
    error = measured.std(0) / n**0.5
    assert ((measured.mean(0) - predicted).abs() < SIGMAS * error).all()
    outside = fourier.ifft2(fourier.fft2(x) * ~stays(shape, stride))
    share = energy(outside[..., :: stride[0], :: stride[1]]).sum() / measured.sum()
    aliased = float(power[~stays(shape, stride)].sum() / power.sum())
    assert abs(share / aliased - 1) < 0.05
    assert int(stays(shape, stride).sum()) == math.prod(shape) // math.prod(stride)


@pytest.mark.parametrize("m", [2, 4, 16])
def test_eq_binomial_gain(m):
    shape = (24, 30)
    taps = torch.tensor([math.comb(m, j) / 2**m for j in range(m + 1)], dtype=torch.float64)
    layer = layers.CircularConv2d(1, 1, m + 1, bias=False).double()
    layer.weight.data.copy_((taps[:, None] * taps)[None, None])
    ky, kx = fourier.frequencies(shape)
    gain = (torch.cos(torch.pi * ky / shape[0]) * torch.cos(torch.pi * kx / shape[1])) ** m
    found = layers.transfer_function(layer, shape)[..., 0, 0].detach()
    assert torch.allclose(found, gain.to(found.dtype), atol=TIGHT)


def shifted_small(y, s, f):
    ky, kx = fourier.frequencies(tuple(y.shape[-2:]))
    turn = ky * s[0] / (f * y.shape[-2]) + kx * s[1] / (f * y.shape[-1])
    return fourier.ifft2(torch.exp(-2j * torch.pi * turn) * fourier.fft2(y))


def equivariance_error(pool, x, f):
    """Of a set of images of mean 0: one number."""
    y = pool(x, f)
    shifts = [(a, b) for a in range(f) for b in range(f)]
    wrong = sum(energy(pool(x.roll(s, (-2, -1)), f) - shifted_small(y, s, f)) for s in shifts)
    return float(wrong.sum() / f**2 / energy(y - y.mean()).sum())


def low_pass(x, f):
    """Nothing at or beyond the Nyquist frequency of the new grid."""
    ky, kx = fourier.frequencies(tuple(x.shape[-2:]))
    keep = (ky.abs() < x.shape[-2] / f / 2) & (kx.abs() < x.shape[-1] / f / 2)
    return fourier.ifft2(keep * fourier.fft2(x)).real


def subsample(x, f):
    return x[..., ::f, ::f]


@pytest.mark.parametrize("shape", [(8, 8), (12, 8), (9, 9), (9, 15)])
def test_def_equivariance_error(shape):
    f = 3 if shape[0] % 2 else 2
    x = noise(50, 1, *shape)
    x = x - x.mean((-2, -1), keepdim=True)
    # A shift by whole pixels of the small image is exact for every pooling.
    for pool in (subsample, avg_pool2d, max_pool2d):
        whole = pool(x.roll((f, f), (-2, -1)), f)
        assert torch.allclose(shifted_small(pool(x, f), (f, f), f).real, whole, atol=TIGHT)
    smooth = low_pass(x, f)
    assert equivariance_error(subsample, smooth, f) < TIGHT
    assert equivariance_error(subsample, x, f) > 0.1
    assert equivariance_error(max_pool2d, smooth, f) > 1e-3  # not linear: it makes new waves


@pytest.mark.parametrize(("shape", "f"), [((8, 8), 2), ((12, 8), 4), ((9, 9), 3), ((6, 15), 3)])
@pytest.mark.parametrize("alpha", [0.0, 2.0])
def test_thm_equivariance_error(shape, f, alpha):
    x = images.gaussian_field(8000, shape=shape, alpha=alpha, seed=1).double()
    radius = fourier.radial_frequency(shape)
    power = torch.where(radius > 0, radius.clamp(min=1e-9) ** -alpha, 0)

    def box(x, f):
        return avg_pool2d(pad(x, (0, f - 1, 0, f - 1), mode="circular"), f, stride=1)

    spot = torch.zeros(1, 1, *shape, dtype=torch.float64)
    spot[..., 0, 0] = 1
    gain = fourier.fft2(box(spot, f))[0, 0].abs().square() * math.prod(shape)
    for pool, passed in [(subsample, power), (avg_pool2d, gain * power)]:
        predicted = 2 * float(passed[~stays(shape, (f, f))].sum() / passed.sum())
        assert abs(equivariance_error(pool, x, f) / predicted - 1) < 0.05
        assert predicted > 0.01


@pytest.mark.parametrize("seed", range(3))
def test_blurred_pooling_is_more_equivariant_on_photographs(seed):
    x, _ = images.photo_patches("train", n_per_class=20, size=32, seed=seed, color=False)
    x = (x - x.mean((-2, -1), keepdim=True)).double()
    ky, kx = fourier.frequencies((32, 32))
    gain = (torch.cos(torch.pi * ky / 32) * torch.cos(torch.pi * kx / 32)) ** 4

    def blurred(x, f):
        return subsample(fourier.ifft2(gain * fourier.fft2(x)).real, f)

    errors = [equivariance_error(p, x, 2) for p in (blurred, avg_pool2d, max_pool2d, subsample)]
    assert errors == sorted(errors)
    assert errors[0] < errors[2] / 5
