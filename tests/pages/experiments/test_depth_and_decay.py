"""Depth and weight decay: what the theorem says of them, and what the record shows."""

import math

import pytest
import recorded

from freqsense import experiments, theory


@pytest.mark.parametrize(("task_size", "sign"), [(1.0, 1), (4096.0, -1)])
def test_the_threshold_has_no_fixed_sign_in_depth(task_size, sign):
    edges = [
        theory.threshold(math.sqrt(task_size), weight_decay=1.0, depth=L, n_pixels=1)
        for L in (2, 4, 8)
    ]
    steps = [after - before for before, after in zip(edges, edges[1:], strict=False)]
    assert all(sign * step > 0 for step in steps)


def test_depth_three_may_ignore_more_than_its_neighbours():
    task_size = 3**6 / 4
    two, three, four = (
        theory.threshold(math.sqrt(task_size), weight_decay=1.0, depth=L, n_pixels=1)
        for L in (2, 3, 4)
    )
    assert math.isclose(two, four, rel_tol=1e-12)
    assert three > 1.05 * two


@pytest.mark.parametrize("alpha", [2, 4])
def test_four_times_the_decay_moves_the_edge_by_a_power_of_one_over_alpha(alpha):
    """The solution of the exercise: the frequency whose power is just heard."""
    needed = [theory.threshold(0.1, weight_decay=decay, depth=2, n_pixels=256) for decay in (1, 4)]
    edges = [power ** (-1 / alpha) for power in needed]
    assert edges[0] / edges[1] == pytest.approx(4 ** (1 / alpha))


@pytest.fixture(scope="module")
def record():
    return recorded.dataset("depth-decay").squeeze(["data", "image_filter"], drop=True)


@pytest.fixture(scope="module")
def slopes(record):
    found = experiments.ring_slopes(record.sensitivity, size=32, fmin=1, fmax=12)
    found = found.where(record.train_accuracy > 1.5 / 8)
    return found.squeeze([d for d in found.dims if d != "seed" and found.sizes[d] == 1])


def test_small_decays_move_slopes_of_shallow_networks_little_and_the_largest_moves_them(slopes):
    shallow = slopes.sel(architecture=["conv_actually-1", "conv_actually-2"])
    decays = slopes.weight_decay.values
    quiet = shallow.sel(weight_decay=decays[decays < decays.max()]).mean("seed")
    assert float((quiet.max("weight_decay") - quiet.min("weight_decay")).max()) < 0.1
    moved = shallow.sel(weight_decay=decays.max()) - shallow.sel(weight_decay=decays.min())
    assert (moved < -0.03).all()


def test_depth_eight_is_dead_at_every_decay(slopes):
    assert slopes.sel(architecture="conv_actually-8").isnull().all()
    assert not slopes.sel(architecture=["conv_actually-1", "conv_actually-2"]).isnull().any()
