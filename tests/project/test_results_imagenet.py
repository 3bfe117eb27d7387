"""The record of networks trained on ImageNet: it comes out again, and it is complete."""

import math

import pytest
import recorded
import torch
from draws import noise
from torch import nn

# Both sides are rounded to four digits, of sums in single precision that depend on the machine.
LAST_DIGITS = 2e-3


@pytest.fixture(scope="module")
def script():
    return recorded.script("measure_imagenet")


@pytest.fixture(scope="module")
def table():
    return recorded.table("imagenet")


def chosen(rows, **wanted):
    return [row for row in rows if wanted.items() <= row.items()]


def differ(script, row, other):
    return [n for n in script["NUMBERS"] if abs(float(row[n]) - float(other[n])) > LAST_DIGITS]


def test_the_trained_network_measures_as_recorded(script, table):
    about = {"network": "lite0", "weights": "trained", "output": "logits"}
    about |= {"pictures": "photographs", "seed": 0}
    pictures = script["photographs"](224)
    one = {"coffee": pictures["coffee"]}
    maps = script["sensitivities"](script["on_pictures"](script["load"]("lite0")), one)
    (row,) = script["rows_of"](about, maps)
    (there,) = chosen(
        table, **{name: str(value) for name, value in about.items()}, picture="coffee"
    )
    assert differ(script, row, there) == []
    # Negative control: another photograph is another row.
    (other,) = chosen(table, **{name: str(v) for name, v in about.items()}, picture="chelsea")
    assert differ(script, row, other)


def test_the_record_is_complete_and_every_number_finite(script, table):
    per_network = 16 * (1 + len(script["CONTROLS"]) * len(script["SEEDS"]))
    for network in ("lite0", "lite1"):
        assert len(chosen(table, network=network, output="logits")) >= per_network
    assert {row["network"] for row in table} == {"none", *script["SIZES"]}
    for network in script["SIZES"]:
        for weights in script["CONTROLS"]:
            for pictures in ("photographs", "others"):
                rows = chosen(table, network=network, weights=weights, pictures=pictures)
                assert {row["seed"] for row in rows} == {str(seed) for seed in script["SEEDS"]}
    assert all(math.isfinite(float(row[name])) for row in table for name in script["NUMBERS"])
    blocks = {row["output"] for row in table if row["output"].startswith("block ")}
    assert blocks == {f"block {k}" for k in range(17)}


def test_every_measurement_has_its_curve(table):
    names = ("network", "weights", "output", "pictures")
    rows, curves = (
        {tuple(row[name] for name in names) for row in each}
        for each in (table, recorded.table("imagenet-curves"))
    )
    waves = {key for key in curves if " waves of " in key[2]}
    assert curves - waves == rows and len(waves) == 6


@pytest.fixture
def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1), nn.Flatten(), nn.Linear(2, 2))


def test_permuting_entries_keeps_their_distribution_and_nothing_else(script, small):
    before = [weights.detach().clone() for weights in small.parameters()]
    script["permute_entries"](small, 0)
    for old, new in zip(before, small.parameters(), strict=True):
        assert torch.equal(old.flatten().sort().values, new.detach().flatten().sort().values)
    assert not torch.equal(before[0].sum((2, 3)), small[0].weight.detach().sum((2, 3)))


def test_permuting_pixels_keeps_each_kernel_s_weights(script, small):
    before = [weights.detach().clone() for weights in small.parameters()]
    script["permute_pixels"](small, 0)
    kernels = [w.flatten(2).sort(-1).values for w in (before[0], small[0].weight.detach())]
    assert torch.equal(*kernels)
    assert not torch.equal(before[0], small[0].weight)
    for old, new in zip(before[1:], list(small.parameters())[1:], strict=True):
        assert torch.equal(old, new)  # one pixel, or no kernel


@pytest.mark.parametrize("colour", [(1.0, 1.0, 1.0), (1.0, -1.0, 0.0)])
def test_a_wave_of_any_size_moves_the_identity_by_its_own(script, colour):
    x = noise(2, 3, 16, 16)
    wave = torch.tensor(colour, dtype=x.dtype)[:, None, None]

    def reaction(model, amplitude):
        return script["reaction"](model, x, model(x), 3, amplitude * wave)

    for amplitude in (1e-5, 1):
        sizes = reaction(lambda x: x.flatten(1), amplitude)
        assert torch.allclose(sizes, torch.ones(2, dtype=x.dtype), atol=1e-9)
    # A function that bends is moved more by large waves than its derivative says.
    small, large = (reaction(lambda x: x.flatten(1) ** 3, amplitude) for amplitude in (1e-5, 2))
    assert (large > 1.1 * small).all()
