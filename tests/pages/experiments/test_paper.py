"""The paper's page: the sweeps it declares, the record it shows, and what it says of the code."""

import json
import math

import numpy as np
import pytest
import recorded
import torch

from freqsense import experiments, fourier, models
from freqsense.cli.config import read_sweep

CUT = 8
FULL = ["paper-cifar10-full", "paper-imagenette"]


RECORDS = ["paper-cifar10", "paper-scale"]


@pytest.fixture(scope="module", params=RECORDS)
def record(request):
    return recorded.dataset(request.param)


@pytest.fixture(scope="module")
def wide():
    return at_end(recorded.dataset("paper-scale"))


def at_end(record):
    """Runs (architecture, image_filter, ...) as training left them."""
    runs = record.isel(look=-1) if "look" in record.dims else record
    return runs.squeeze([d for d in runs.dims if runs.sizes[d] == 1])


def inner_ratio(rings):
    return rings.isel(ring=slice(1, CUT)).mean("ring") / rings.isel(
        ring=slice(CUT + 1, 2 * CUT)
    ).mean("ring")


@pytest.mark.parametrize("name", FULL)
def test_the_declared_sweeps_can_be_read(tmp_path, name):
    sweep = read_sweep(recorded.RESULTS / f"{name}.yaml", tmp_path)
    assert len(sweep.configurations) == math.prod(map(len, sweep.grid.values()))
    assert not list(tmp_path.iterdir())  # nothing was run
    assert not (recorded.RESULTS / f"{name}.nc").exists(), "the page says that it is not run"


def test_the_full_sweep_has_every_network_of_the_narrow_one(tmp_path):
    full, narrow = (
        read_sweep(recorded.RESULTS / f"{name}.yaml", tmp_path).grid
        for name in ("paper-cifar10-full", "paper-cifar10")
    )
    assert set(narrow["architecture"]) <= set(full["architecture"])
    for axis in ("image_filter", "schedule", "lr"):
        assert full[axis] == narrow[axis]
    assert set(narrow["weight_decay"]) <= set(full["weight_decay"])


@pytest.mark.parametrize("name", FULL)
def test_every_declared_network_can_be_built(tmp_path, name):
    grid = read_sweep(recorded.RESULTS / f"{name}.yaml", tmp_path).grid
    side = grid.get("size", [32])[0]
    for architecture in grid["architecture"]:
        model = models.build(architecture, width=2, shape=(3, side, side), n_outputs=10)
        with torch.no_grad():
            assert model.eval()(torch.zeros(1, 3, side, side)).shape == (1, 10)


def test_the_cutoffs_of_imagenette_are_those_of_the_paper(tmp_path):
    # The paper cuts at int(ratio * 224 / 2) cycles per image of 224 pixels.
    grid = read_sweep(recorded.RESULTS / "paper-imagenette.yaml", tmp_path).grid
    side = grid["size"][0]
    expected = [f"high_pass:{int(ratio * 112) * side // 224}" for ratio in (7.14e-2, 0.5)]
    assert grid["image_filter"] == ["none", *expected]


def test_the_square_filter_contains_the_disc():
    ky, kx = fourier.frequencies((32, 32))

    def cleared(ky, kx):
        return (-CUT <= ky) & (ky < CUT) & (-CUT <= kx) & (kx < CUT)

    mirror = [torch.where(k == -16, k, -k) for k in (ky, kx)]
    gain = 1 - (cleared(ky, kx).double() + cleared(*mirror).double()) / 2
    inside = fourier.radial_mask((32, 32), 0, CUT)
    assert float(gain[inside].max()) == 0
    assert float(gain[0, CUT]) == 0.5
    assert float(gain[CUT - 1, CUT - 1]) == 0  # of radius 9.9
    assert float(gain[CUT + 1, 0]) == 1


def test_radii_counted_from_the_middle_of_the_array_are_wrong():
    axis = np.linspace(-16, 16, 32)
    zero, minus, plus = axis[16], axis[16 - CUT], axis[16 + CUT]
    found = [round(math.hypot(zero, place), 2) for place in (zero, minus, plus)]
    assert found == [0.73, 7.76, 8.79]
    true = fourier.radial_frequency((32, 32))
    assert [float(true[0, k]) for k in (0, CUT, -CUT)] == [0, CUT, CUT]


@pytest.mark.parametrize("name", RECORDS)
def test_the_record_is_what_its_grid_says(tmp_path, name):
    record = recorded.dataset(name)
    sweep = read_sweep(recorded.RESULTS / f"{name}.yaml", tmp_path)
    made = json.loads(record.attrs["configuration"])
    assert made["grid"] == sweep.grid
    assert json.loads(record.attrs["missing"]) == []
    assert json.loads(record.attrs["failures"]) == []


def test_the_record_is_of_filtered_images_of_unit_variance(record):
    runs = at_end(record)
    maps = {}
    for name in record.image_filter.values:
        values = runs.power_map.sel(image_filter=name).values.reshape(-1, 32, 17)
        assert np.ptp(values, axis=0).max() == 0  # all networks saw the same images
        maps[name] = fourier.unfold_half(torch.from_numpy(values[0]).double(), 32)
        assert math.isclose(float(maps[name].sum()), 3 * 32 * 32, rel_tol=1e-3)
    before, after = maps["none"], maps[f"high_pass:{CUT}"]
    inside = fourier.radial_mask((32, 32), 0, CUT)
    assert float(after[inside].max()) < 1e-6 * float(after.max())
    factor = after[~inside] / before[~inside]
    assert float(factor.max() / factor.min()) < 1 + 1e-3


def test_no_two_networks_of_the_record_are_the_same(record):
    rows = at_end(record).sensitivity.transpose(..., "ring").values
    rows = rows.reshape(-1, record.sizes["ring"])
    rows = rows[rows.max(1) > 0]  # the dead are all alike
    gaps = [np.abs(a - b).max() for i, a in enumerate(rows) for b in rows[:i]]
    assert min(gaps) > 0


def test_untrained_networks_of_the_record_are_nearly_flat(record):
    slopes = experiments.ring_slopes(record.untrained, size=32, fmin=1, fmax=12)
    small = [n for n in record.architecture.values if n.startswith("conv_actually")]
    assert float(np.abs(slopes.sel(architecture=small)).max()) < 0.15


def test_wide_networks_recognise_more_and_two_of_them_are_dead(wide):
    narrow = at_end(recorded.dataset("paper-cifar10"))
    dead = (wide.train_accuracy <= 0.15).any("image_filter")
    assert set(wide.architecture.values[dead.values]) == {"conv_actually-4", "conv_actually-8"}
    gone = wide.sel(architecture=wide.architecture.values[dead.values])
    assert float(gone.sensitivity.max()) < 1e-3 * float(gone.untrained.mean())
    gain = (wide.accuracy - narrow.accuracy).sel(architecture=["myrtle_cnn", "vgg-11", "resnet-9"])
    assert (gain > 0.2).all()


def test_no_wide_network_is_deaf_where_high_passed_images_have_no_power(wide):
    alive = (wide.train_accuracy > 0.15).all("image_filter")
    gain = (inner_ratio(wide.sensitivity) / inner_ratio(wide.untrained)).where(
        alive, drop=True
    )  # (architecture, image_filter)
    assert len(gain.architecture) == 7
    assert (gain > 0.9).all()  # what followed high-passed images would be well below 1
    twins = gain.sel(image_filter=f"high_pass:{CUT}") / gain.sel(image_filter="none")
    assert float(twins.sel(architecture="myrtle_cnn")) < 0.9
    # The control: the measure does see a curve without the inner rings.
    emptied = wide.untrained.copy(deep=True)
    emptied[{"ring": slice(1, CUT)}] *= 0.1
    assert (inner_ratio(emptied) / inner_ratio(wide.untrained) < 0.9).all()


def test_training_on_natural_images_makes_wide_networks_lean_to_low_frequencies(wide):
    natural = wide.sel(image_filter="none")
    before, after = (
        experiments.ring_slopes(curve, size=32, fmin=1, fmax=12)
        for curve in (natural.untrained, natural.sensitivity)
    )
    change = (after - before).where(natural.train_accuracy > 0.15).dropna("architecture")
    assert (change < -0.05).all()
    amplitude = experiments.ring_slopes(
        experiments.ring_power(natural.power_map), size=32, fmin=1, fmax=12
    )
    assert float(change.min()) > 0.5 * float(amplitude.mean()) / 2
