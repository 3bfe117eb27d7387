"""The random probe: its mean, its variance, its bound."""

import pytest
import torch
from draws import noise
from tolerances import ATOL
from waves import gradients, kinked_net

from freqsense import fourier
from freqsense.sensitivity import measure_sensitivity

TIGHT = ATOL[torch.float64]


@pytest.mark.parametrize("n_outputs", [1, 2, 4])
def test_thm_probe_variance(n_outputs):
    """All sign vectors of one image, and the two sources of scatter over many images."""
    model, x = kinked_net(n_outputs=n_outputs), noise(6, 2, 5, 6)
    ghat = fourier.fft2(gradients(model, x))  # (N, K, C, H, W)
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * n_outputs).reshape(-1, n_outputs)
    probe = torch.einsum("zk,nkchw->znchw", signs.to(ghat.dtype), ghat).abs().square()
    gram = torch.einsum("njchw,nkchw->njkchw", ghat.conj(), ghat).real
    p = ghat.abs().square().sum(1)
    pairs = gram.square().sum((1, 2)) - gram.diagonal(dim1=1, dim2=2).square().sum(-1)
    assert torch.allclose(probe.mean(0), p, atol=TIGHT)
    assert torch.allclose(probe.var(0, correction=0), 2 * pairs, atol=TIGHT)
    assert (2 * pairs <= 2 * (1 - 1 / n_outputs) * p.square() + TIGHT).all()
    assert (pairs.max() > 1e-8) == (n_outputs > 1)


def test_thm_probe_variance_with_several_probes():
    """Var = (V_x + V_z / m) / N, with images drawn from a finite set."""
    model, x = kinked_net(channels=1, n_outputs=4), noise(50, 1, 6, 6)
    ghat = fourier.fft2(gradients(model, x))[:, :, 0]
    gram = torch.einsum("njhw,nkhw->njkhw", ghat.conj(), ghat).real
    pairs = gram.square().sum((1, 2)) - gram.diagonal(dim1=1, dim2=2).square().sum(-1)
    v_z, v_x = 2 * pairs.mean(0), ghat.abs().square().sum(1).var(0, correction=0)
    draw = torch.Generator().manual_seed(0)
    for m in (1, 3):
        squares = []
        for seed in range(400):
            some = x[torch.randint(50, (30,), generator=draw)]
            result = measure_sensitivity(model, some, method="probe", n_probes=m, seed=seed)
            squares.append(result.values[0].square())
        ratio = torch.stack(squares).var(0) / ((v_x + v_z / m) / 30)
        assert abs(ratio.mean() - 1) < 0.1 and (ratio - 1).abs().max() < 0.5
