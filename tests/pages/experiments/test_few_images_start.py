"""What the start leaves, and what it decides: one frequency with two unequal layers."""

import numpy as np
import pytest
from recorded import dataset
from scipy.integrate import solve_ivp

from freqsense import experiments

BINS = {"size": 16, "fmin": 1, "fmax": 8}


@pytest.mark.parametrize("ratio", [0.1, 1.0, 3.0])
def test_two_layers_move_at_the_speed_that_their_imbalance_gives(ratio):
    """Along the flow |dB/dt| = 2√D √(ε² + |B|²) |G|, with ε from the layers at the start."""
    root, s, c = 3.0, 0.7, 1.3

    def move(_, layers):
        gradient = s * root * layers[0] * layers[1] - c
        return -root * layers[::-1] * gradient

    begin = np.array([0.2, 0.2 * ratio])
    path = solve_ivp(move, (0, 0.4), begin, rtol=1e-11, atol=1e-13, dense_output=True).sol
    imbalance = root / 2 * abs(begin[0] ** 2 - begin[1] ** 2)
    for t in (0.05, 0.2, 0.35):
        B = [root * np.prod(path(t + shift)) for shift in (-1e-5, 0, 1e-5)]
        speed = abs(B[2] - B[0]) / 2e-5
        pull = abs(s * B[1] - c)
        assert speed == pytest.approx(2 * root * np.hypot(imbalance, B[1]) * pull, rel=1e-4)


def test_a_small_start_is_steeper_on_few_images_and_subtracting_it_is_not_the_same():
    trained = dataset("few-trained").sel(weight_decay=0.0, n_train=64, data="gaussian_field:2")
    small = dataset("few-trained-start").sel(n_train=64, data="gaussian_field:2")

    def slope(record, name, arch):
        rings = record[name].isel(look=-1).sel(architecture=arch).squeeze(drop=True)
        return float(experiments.ring_slopes(rings, **BINS).mean())

    for arch in ("linear_cnn-2", "conv_actually-2"):
        whole, learned = (slope(trained, name, arch) for name in ("sensitivity", "learned"))
        assert abs(learned - whole) < 0.25
        assert slope(small, "sensitivity", arch) < whole - 0.4
