"""Linear maps of images as dense matrices."""

import math

import torch

from freqsense import fourier


def dense(run, c_in, shape):
    """Matrix of a linear map of images, column by column."""
    basis = torch.eye(c_in * math.prod(shape), dtype=torch.float64).reshape(-1, c_in, *shape)
    with torch.no_grad():
        return run(basis).flatten(1).T


def modes(shape):
    """Fourier modes as columns (D, D), in the order of fft2, from their definition."""
    ky, kx = fourier.frequencies(shape)
    y, x = torch.meshgrid(*(torch.arange(side).double() for side in shape), indexing="ij")
    turns = torch.outer(y.flatten(), ky.flatten()) / shape[0]
    turns = turns + torch.outer(x.flatten(), kx.flatten()) / shape[1]
    return torch.exp(2j * torch.pi * turns) / math.sqrt(shape[0] * shape[1])
