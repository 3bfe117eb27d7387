"""Statements of the page "The DFT in full"."""

import pytest
import torch
from draws import noise
from tolerances import ATOL

from freqsense import fourier

TIGHT = ATOL[torch.float64]


@pytest.mark.parametrize(("shape", "alone"), [((6, 8), 4), ((6, 5), 2), ((7, 4), 2), ((5, 9), 1)])
def test_frequencies_that_are_their_own_mirror_image(shape, alone):
    xhat = fourier.fft2(noise(*shape))
    mirrored = xhat.flip(0, 1).roll((1, 1), (0, 1))
    mirror = fourier.rings(shape).mirror
    own = (mirror == torch.arange(len(mirror))).reshape(shape)
    assert int(own.sum()) == alone
    assert xhat[own].imag.abs().max() < TIGHT and xhat[~own].imag.abs().min() > 0
    assert torch.allclose(mirrored, xhat.conj(), atol=TIGHT)
    # So many real numbers as pixels: one for each that stands alone, two for each pair.
    assert alone + 2 * ((~own).sum() // 2) == shape[0] * shape[1]


@pytest.mark.parametrize("shape", [(6, 5), (9, 4)])
def test_the_transform_is_a_product_of_three_matrices(shape):
    def dft_matrix(n):
        p = torch.arange(n, dtype=torch.float64)
        return (
            torch.polar(torch.ones(n, n, dtype=torch.float64), -2 * torch.pi * p * p[:, None] / n)
            / n**0.5
        )

    x = noise(*shape)
    product = dft_matrix(shape[0]) @ x.to(torch.complex128) @ dft_matrix(shape[1])
    assert torch.allclose(product, fourier.fft2(x), atol=TIGHT)


@pytest.mark.parametrize("shape", [(5, 8), (6, 6)])
def test_the_inverse_is_the_transform_of_the_conjugate(shape):
    z = torch.complex(noise(*shape), noise(*shape, seed=1))
    assert torch.allclose(fourier.fft2(fourier.fft2(z).conj()).conj(), z, atol=TIGHT)
    assert not torch.allclose(fourier.fft2(fourier.fft2(z)), z, atol=0.1)
