"""Linear networks trained on patches of photographs, and their distance from a solution."""

import os
from functools import lru_cache

import torch
from networks import linear_net
from recorded import CIFAR10

from freqsense import datasets, images, sensitivity, theory, training


def patches(names, n_per_class=200, seed=0, color=False):
    """Patches (N, C, 8, 8) of two photographs, centred, with labels -1 and +1."""
    x, label = images.photo_patches(
        "train", n_per_class=n_per_class, size=16, seed=seed, color=color, classes=names
    )
    x = images.shrink(x.double(), 2)
    x = x - x.mean(0)
    return x / x.std(), label.double() * 2 - 1


def size_of(B):
    return torch.linalg.vector_norm(B, dim=(-2, -1))


def distance(S, reference):
    return float((S - reference).norm() / reference.norm())


def off(S):
    """Switched off: trained weights decay towards zero and never get there."""
    return S < 1e-3 * S.max()


def train(loss, depth, weight_decay, shape, seed=0, scale=1.0, n_outputs=1, tolerance=1e-7):
    """Fit and network, trained in space from random weights times a scale."""
    model = linear_net(depth, shape, n_outputs, width=max(shape[0], 2), seed=seed)
    for weight in model.parameters():
        weight.data *= scale
    fit = training.minimize(
        model, lambda m: loss(theory.end_to_end(m)), weight_decay=weight_decay, tolerance=tolerance
    )
    assert fit.converged
    return fit, model


def measure(model):
    some = torch.zeros(1, *model.shape, dtype=torch.float64)
    return sensitivity.measure_sensitivity(model, some).values.square().sum(0).sqrt()


@lru_cache(maxsize=2)
def real_images(source):
    """800 images (800, 3, 12, 12) of two classes, mean image removed; labels -1 and +1."""
    if source == "CIFAR-10":
        stack, labels = datasets.read_cifar10(os.environ[CIFAR10], "train")
        chosen = torch.cat([(labels == k).nonzero()[:400, 0] for k in (0, 1)])  # planes, cars
        stack, labels = images.shrink(stack[chosen].double(), 2)[..., 2:14, 2:14], labels[chosen]
    else:
        stack, labels = images.photo_patches(
            "train", n_per_class=400, size=24, classes=["astronaut", "motorcycle"]
        )
        stack = images.shrink(stack.double(), 2)
    stack = stack - stack.mean(0)
    return stack / stack.std(), labels.double() * 2 - 1
