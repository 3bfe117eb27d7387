"""Formulas of the book that several tests hold the library to."""

import torch

from freqsense import theory


def scalar_objective(r, s, gamma, kappa, depth):
    """What a sensitivity r of one frequency costs: misfit and decay."""
    return s * r**2 / 2 - gamma * r + kappa * depth / 2 * r ** (2 / depth)


def half_squares(x, y):
    return lambda model: (model(x) - y).square().sum(1).mean() / 2


def ridge(x, y, weight_decay):
    """Weights of the head alone, from the normal equations."""
    flat = x.flatten(1)
    gram = flat.T @ flat / len(x) + weight_decay * torch.eye(flat.shape[1], dtype=x.dtype)
    return torch.linalg.solve(gram, flat.T @ y / len(x)).T.reshape(y.shape[1], *x.shape[1:])


def fold(values, stride):
    """Sum over the frequencies that share a place: (..., H, W) to (..., H', W')."""
    (height, width), (fy, fx) = values.shape[-2:], stride
    return values.unflatten(-1, (fx, width // fx)).unflatten(-3, (fy, height // fy)).sum((-4, -2))


def relative(s, weight_decay, depth, branch="global"):
    """Sensitivity r / |b*| in units where D |b*|² = 1: one pixel, a teacher of size 1."""
    grid = torch.as_tensor(s, dtype=torch.float64).reshape(-1, 1, 1)
    found = theory.predict_sensitivity(
        grid, grid, weight_decay=weight_decay, depth=depth, branch=branch
    )
    return found.flatten()
