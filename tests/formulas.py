"""Formulas of the book that several tests hold the library to."""


def scalar_objective(r, s, gamma, kappa, depth):
    """What a sensitivity r of one frequency costs: misfit and decay."""
    return s * r**2 / 2 - gamma * r + kappa * depth / 2 * r ** (2 / depth)
