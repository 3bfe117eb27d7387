"""Networks that several tests measure and train, and what they ask of them."""

import functools
import math

import torch
from draws import noise
from torch import nn

from freqsense import fourier, layers, models, theory


def seeded(build):
    """Let a function that builds a network take a seed, and leave the global state alone."""

    @functools.wraps(build)
    def build_from(*arguments, seed=0, **keywords):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return build(*arguments, **keywords)

    return build_from


def norms_of(model):
    """The BatchNorm layers of a network."""
    return [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]


def kernels_of(model):
    """The weights of the convolutions of a network."""
    return [m.weight for m in model.modules() if isinstance(m, nn.Conv2d)]


def in_training(name, shape, eps, seed=0):
    """A network of the registry in training mode, whose BatchNorm adds eps to variances."""
    model = models.build(name, width=2, shape=shape, n_outputs=4, seed=seed).double()
    for norm in norms_of(model):
        norm.eps = eps
    return model.train()


@seeded
def small_net(channels=2, n_outputs=3):
    """A non-linear network for any image size, with everything whose mode matters."""
    net = nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.Tanh(),
        nn.Dropout(0.5),
        nn.Conv2d(4, 3, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(12, n_outputs),
    ).double()
    net(noise(64, channels, 8, 8))  # running statistics of its own
    return net


def linear_net(depth, shape, n_outputs=1, width=3, seed=0):
    model = models.linear_cnn(depth, width=width, shape=shape, n_outputs=n_outputs, seed=seed)
    return model.double()


def as_network(weights):
    """The linear CNN of given weights, head last."""
    convolutions = []
    for w in weights[:-1]:
        layer = layers.CircularConv2d(w.shape[1], w.shape[0], tuple(w.shape[2:]), bias=False)
        layer.weight = nn.Parameter(w)
        convolutions.append(layer)
    return models.LinearCNN(convolutions, weights[-1])


def balanced(B, depth, width=2):
    """Network of one channel and one output whose layers share its map B (H, W) equally."""
    return as_network(theory.realize(B[..., None, None], depth, width=width))


def factors(model):
    """Scaled matrices A_l (H, W, C_out, C_in) of all layers, the head last."""
    shape = model.shape[1:]
    scale = math.prod(shape) ** -0.5
    hidden = [scale * layers.transfer_function(c, shape) for c in model.convolutions]
    return [*hidden, fourier.fft2(model.head).conj().permute(2, 3, 0, 1)]


def imbalances(model):
    """A_l A_l* - A_{l+1}* A_{l+1} between neighbouring layers."""
    A = [a.detach() for a in factors(model)]
    return [a @ a.mH - b.mH @ b for a, b in zip(A[:-1], A[1:], strict=True)]


def end_to_end(model):
    """B (H, W, K, C) of a linear network, from its transfer matrices alone."""
    b = torch.fft.fft2(model.head, norm="ortho").conj().permute(2, 3, 0, 1)
    for layer in reversed(model.convolutions):
        b = b @ layers.transfer_function(layer, model.shape[1:])
    return b


def descend(model, loss, step, n_steps, every=1):
    """Maps (steps, H, W) that plain gradient descent on a loss of the map goes through."""
    path, weights = [], list(model.parameters())
    for k in range(n_steps + 1):
        B = theory.end_to_end(model)
        if k % every == 0:
            path.append(B.detach()[..., 0, 0])
        for w, g in zip(weights, torch.autograd.grad(loss(B), weights), strict=True):
            w.data -= step * g
    return torch.stack(path)
