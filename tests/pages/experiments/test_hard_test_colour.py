"""The hard test in colour: why an empty frequency falls silent, and for which kernels."""

import pytest
import torch
from draws import noise
from tolerances import ATOL

from freqsense import filters, fourier, models

TIGHT = ATOL[torch.float64]
SHAPE = (16, 16)


@pytest.mark.parametrize("architecture", ["conv_actually-2", "conv_actually-3-5x5"])
def test_a_full_size_first_kernel_gets_no_gradient_at_an_empty_frequency(architecture):
    x = filters.high_pass(noise(20, 1, *SHAPE), 4)
    model = models.build(architecture, width=3, shape=(1, *SHAPE), n_outputs=2, seed=0).double()
    loss = torch.nn.functional.cross_entropy(model(x), torch.arange(20) % 2)
    (first, *_) = (p for p in model.parameters() if p.ndim == 4)
    (gradient,) = torch.autograd.grad(loss, first)
    # Padded to the image, where a small kernel's transform reaches every frequency.
    padded = torch.zeros(*gradient.shape[:2], *SHAPE, dtype=torch.float64)
    padded[..., : gradient.shape[-2], : gradient.shape[-1]] = gradient
    spectrum = fourier.fft2(padded).abs()
    empty = fourier.radial_frequency(SHAPE) < 4
    silent = spectrum[..., empty].max() < TIGHT * spectrum.max()
    assert bool(silent) == (architecture == "conv_actually-2")
