"""Convolutions as the tests of several pages write them down."""

import math

import torch
from networks import seeded
from torch.nn.functional import conv2d, pad

from freqsense import fourier, layers


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


@seeded
def make_layer(*sizes, **options):
    layer = layers.CircularConv2d(*sizes, bias=False, **options)
    return layer.double().requires_grad_(False)


def kernel_of(transfer):
    """Kernels (C_out, C_in, H, W), complex, of transfer matrices; place 0 comes first."""
    height, width = transfer.shape[:2]
    return fourier.fft2(transfer.permute(2, 3, 0, 1)) / math.sqrt(height * width)


def transfer_of(kernel):
    """Transfer matrices (H, W, C_out, C_in) of kernels whose place 0 comes first."""
    return torch.fft.ifft2(kernel, norm="forward").permute(2, 3, 0, 1)


def convolve(x, w, mode):
    """Stride 1, same size, as nn.Conv2d(padding="same") pads: (N, 1, H, W)."""
    height, width = w.shape[-2:]
    up, left = (height - 1) // 2, (width - 1) // 2
    return conv2d(pad(x, (left, width - 1 - left, up, height - 1 - up), mode=mode), w)


def offsets(size):
    """Offsets (sy, sx) of the taps, row by row."""
    sides = [torch.arange(k) - (k - 1) // 2 for k in size]
    return [tuple(s) for s in torch.cartesian_prod(*sides).tolist()]
