"""Robustness, frequency by frequency: what a wave of random sign does to a linear network."""

import pytest
import torch
from draws import noise
from networks import linear_net

from freqsense import robustness, theory


@pytest.mark.parametrize(("amplitude", "expected"), [(0.5, 0.0), (2.5, 0.25), (100.0, 0.5)])
def test_errors_count_the_margins_that_a_wave_reaches(amplitude, expected):
    """The solution of the exercise with four margins, by the network itself."""
    model, copies = linear_net(2, (1, 6, 6)), 500
    B = theory.end_to_end(model).detach()[..., 0, 0]
    b = torch.fft.ifft2(B.conj(), norm="ortho").real
    x = torch.stack([m * b / b.square().sum() for m in (1.0, 2.0, 3.0, 4.0)])[:, None]
    assert model(x).flatten().tolist() == pytest.approx([1, 2, 3, 4])
    size = float((B.real + B.imag).abs()[0, 1])
    found = robustness.fourier_heat_map(
        model, x.repeat(copies, 1, 1, 1), torch.ones(4 * copies), norm=amplitude / size
    )
    assert float(found.errors[0, 1]) == pytest.approx(expected, abs=4 * 0.5 / (4 * copies) ** 0.5)


def test_a_wave_of_random_phase_reaches_a_margin_as_often_as_the_solution_says():
    """Margin m, wave of norm v: wrong with probability arccos(m / (√2 v |B|)) / π."""
    phase = 2 * torch.pi * noise(200_000).cos().abs().mul(1e6).frac()
    for m, reach in ((0.5, 1.0), (1.0, 1.2)):
        wrong = (m + 2**0.5 * reach * torch.cos(phase) <= 0).double().mean()
        share = torch.arccos(torch.tensor(m / (2**0.5 * reach))) / torch.pi
        assert float(wrong) == pytest.approx(float(share), abs=0.01)
