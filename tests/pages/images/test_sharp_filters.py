"""Statements of the page "Sharp filters: the very edge, and ringing"."""

import math

import torch

from freqsense import fourier


def test_eq_gibbs():
    t = torch.linspace(0, torch.pi, 2001, dtype=torch.float64)
    overshoot = float(torch.trapezoid(torch.sinc(t / torch.pi), t)) / math.pi - 0.5
    assert abs(overshoot - 0.08949) < 1e-5
    n = 4096
    rows = (torch.arange(n) >= n // 2).double().expand(1, 1, 8, n)
    spectrum = fourier.fft2(rows)
    for k in (16, 64, 128):  # cycles along the row
        keep = fourier.frequencies((8, n))[1].abs() < k
        found = float(fourier.ifft2(keep * spectrum).real.max()) - 1
        assert abs(found - overshoot) < 1e-3
    gentle = torch.exp(-(fourier.frequencies((8, n))[1] / 16).square())
    assert fourier.ifft2(gentle * spectrum).real.max() < 1 + 1e-9
