"""A network with kinks, its gradients, and derivatives along waves."""

import torch
from networks import seeded
from torch import nn

from freqsense import fourier


@seeded
def kinked_net(channels=2, n_outputs=3, activation=nn.ReLU):
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1),
        activation(),
        nn.Conv2d(6, 6, 3, padding=1),
        activation(),
        nn.AdaptiveAvgPool2d(3),
        nn.Flatten(),
        nn.Linear(54, n_outputs),
    ).double()


def gradients(model, x):
    """Gradients (N, K, C, H, W)."""
    x = x.clone().requires_grad_()
    f = model(x)
    rows = [torch.autograd.grad(f[:, k].sum(), x, retain_graph=True)[0] for k in range(f.shape[1])]
    return torch.stack(rows, 1)


def unit_waves(x, channel, frequency, phases):
    """Waves of one channel, one phase for each image, (N, C, H, W)."""
    mode = fourier.fourier_mode(tuple(x.shape[-2:]), *frequency)
    wave = torch.zeros_like(x)
    wave[:, channel] = (2**0.5 * torch.exp(1j * phases)[:, None, None] * mode).real
    return wave


def slopes_along(model, x, wave):
    """Derivatives (N, K) by forward-mode differentiation: no gradient, no transform."""
    return torch.func.jvp(model, (x.contiguous(),), (wave.contiguous(),))[1].detach()
