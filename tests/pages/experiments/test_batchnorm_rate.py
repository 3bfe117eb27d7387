"""With BatchNorm, decay is a rate: the record of pairs, and the parts that decay."""

import numpy as np
import pytest
import recorded
from networks import in_training, kernels_of

from freqsense import experiments

SHAPE = (3, 16, 16)


# The record of pairs, with BatchNorm and without


PAIRS = {
    "resnet-9": "resnet-9-plain",
    "vgg-11": "vgg-11-plain",
    "myrtle_cnn-batchnorm": "myrtle_cnn",
    "resnet-20": "resnet-20-plain",
}


@pytest.fixture(scope="module")
def slopes():
    """Slopes (seed, architecture, weight_decay, lr) at the end of training, NaN where dead."""
    runs = recorded.dataset("batchnorm").isel(look=-1)
    runs = runs.squeeze([d for d in runs.dims if d != "seed" and runs.sizes[d] == 1])
    found = experiments.ring_slopes(runs.sensitivity, size=32, fmin=1, fmax=12)
    return found.where(runs.train_accuracy > 1.5 / 8)


def change(slopes, name, to, lr=0.01):
    at = slopes.sel(architecture=name, lr=lr)
    return float((at.sel(weight_decay=to) - at.sel(weight_decay=0.0)).mean("seed"))


def test_the_largest_decay_moves_networks_with_batchnorm_too_and_those_without_more(slopes):
    several = list(PAIRS)[:3]  # ResNet-20 does otherwise
    with_bn = [change(slopes, name, 0.1) for name in several]
    without = [change(slopes, PAIRS[name], 0.1) for name in several]
    assert max(with_bn) < -0.3
    assert max(without) < -0.5
    assert np.mean(without) < np.mean(with_bn) - 0.1
    assert change(slopes, "resnet-20", 0.1) > -0.3


def test_decays_that_are_smaller_move_networks_with_batchnorm_little(slopes):
    assert all(abs(change(slopes, name, 0.01)) < 0.25 for name in PAIRS)


def test_equal_products_of_rate_and_decay_do_not_give_equal_slopes(slopes):
    mean = slopes.sel(architecture=list(PAIRS)).mean("seed")

    def gap(slow, fast):
        return float(
            np.abs(
                mean.sel(lr=0.01, weight_decay=slow) - mean.sel(lr=0.1, weight_decay=fast)
            ).mean()
        )

    assert (gap(0.1, 0.01) + gap(0.01, 0.001)) / 2 > 0.05
    assert gap(0.0, 0.0) > 0.1  # nor does the product at all where nothing decays


# What decay does to networks with BatchNorm, part by part


@pytest.fixture(scope="module")
def script():
    return recorded.script("measure_batchnorm")


def test_the_parts_that_decay_are_all_weights_once(script):
    model = in_training("vgg-11", SHAPE, 1e-5)
    parts = {name: {id(w) for w in script["decaying"](model, name)} for name in script["DECAYED"]}
    assert parts["nothing"] == parts["nothing, kernels scaled"] == set()
    assert parts["kernels"] == {id(w) for w in kernels_of(model)}
    assert not parts["kernels"] & parts["rest"]
    assert (
        parts["kernels"] | parts["rest"] == parts["everything"] == set(map(id, model.parameters()))
    )
    lengths = [0.1 * (k + 1) for k in range(len(kernels_of(model)))]
    script["scale"](model, lengths)
    assert [float(w.detach().norm()) for w in kernels_of(model)] == pytest.approx(lengths)


@pytest.mark.parametrize("network", ["vgg-11", "myrtle_cnn-batchnorm"])
def test_decay_moves_batchnorm_networks_by_the_rate_of_their_free_kernels(network):
    def mean(decayed, column):
        rows = recorded.table("batchnorm-cause")
        return np.mean(
            [
                float(row[column])
                for row in rows
                if (row["network"], row["decayed"]) == (network, decayed)
            ]
        )

    nothing, kernels, rest, everything, scaled = (
        mean(decayed, "settled_slope")
        for decayed in ("nothing", "kernels", "rest", "everything", "nothing, kernels scaled")
    )
    whole = everything - nothing
    assert whole < -0.3
    assert (kernels - nothing) / whole > 0.6
    assert (rest - nothing) / whole < 0.5 * (kernels - nothing) / whole
    assert (scaled - nothing) / whole > 0.4
    # Running statistics lag behind kernels that turn fast, and only behind these.
    lag = [
        mean(decayed, "settled_train_accuracy") - mean(decayed, "train_accuracy")
        for decayed in ("nothing", "kernels")
    ]
    assert abs(lag[0]) < 0.02 and lag[1] > 0.03
