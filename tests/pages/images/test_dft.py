"""Statements of the page "The discrete Fourier transform"."""

import pytest
import torch
from tolerances import ATOL

from freqsense import fourier

TIGHT = ATOL[torch.float64]


@pytest.mark.parametrize("shape", [(8, 8), (9, 7), (6, 10), (5, 8), (1, 6)])
def test_thm_orthonormal_modes(shape):
    height, width = shape
    ky, kx = fourier.frequencies(shape)
    y, x = (
        torch.arange(side, dtype=torch.float64).reshape(place)
        for side, place in [(height, (1, -1, 1)), (width, (1, 1, -1))]
    )
    angle = 2 * torch.pi * (ky.reshape(-1, 1, 1) * y / height + kx.reshape(-1, 1, 1) * x / width)
    modes = (torch.exp(1j * angle) / (height * width) ** 0.5).flatten(1)  # (D, D)
    gram = modes.conj() @ modes.T
    assert torch.allclose(gram, torch.eye(len(gram), dtype=torch.complex128), atol=TIGHT)
    # A wave of half a period more is at right angles to none of them.
    stray = (torch.exp(1j * (angle[0] + torch.pi * x[0] / width)) / len(gram) ** 0.5).flatten()
    row = modes[(ky == ky.flatten()[0]).flatten()]
    assert ((row.conj() @ stray).abs() > 0.5 / width).all()
