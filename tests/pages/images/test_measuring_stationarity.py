"""Statements of the page "Measuring stationarity"."""

import math

import torch
from tolerances import SIGMAS

from freqsense import fourier, images, spectra


def test_eq_sampling_floor():
    n, n_sets = 60, 40
    naive, corrected = [], []
    for seed in range(n_sets):
        x = images.gaussian_field(n, shape=(9, 9), alpha=1.0, seed=seed)  # odd: no real frequency
        squared = spectra.frequency_covariance(x)[0].abs().square()
        naive.append(float(1 - squared.diagonal().sum() / squared.sum()))
        corrected.append(spectra.stationarity(x).off_diagonal)
    radius = fourier.radial_frequency((9, 9)).flatten()[1:]
    power = 1 / radius
    effective = float(power.sum() ** 2 / power.square().sum())
    naive, corrected = torch.tensor(naive), torch.tensor(corrected)
    error = naive.std() / math.sqrt(n_sets)
    # The ratio of two means is not the mean of the ratio: a term of order 1/n, relatively.
    floor = effective / (n + effective + 1)
    assert abs(naive.mean() - floor) < SIGMAS * error + floor / n
    assert abs(corrected.mean()) < SIGMAS * corrected.std() / math.sqrt(n_sets) + 1 / n
    assert naive.mean() > 0.2  # which would pass for a correlation
