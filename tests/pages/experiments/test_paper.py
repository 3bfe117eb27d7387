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


@pytest.fixture(scope="module")
def record():
    return recorded.dataset("paper-cifar10")


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


def test_the_record_is_what_its_grid_says(tmp_path, record):
    sweep = read_sweep(recorded.RESULTS / "paper-cifar10.yaml", tmp_path)
    made = json.loads(record.attrs["configuration"])
    assert made["grid"] == sweep.grid
    assert json.loads(record.attrs["missing"]) == []
    assert json.loads(record.attrs["failures"]) == []


def test_the_record_is_of_filtered_images_of_unit_variance(record):
    runs = record.squeeze("seed")
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
    rows = record.sensitivity.values.reshape(-1, record.sizes["ring"])
    gaps = [np.abs(a - b).max() for i, a in enumerate(rows) for b in rows[:i]]
    assert min(gaps) > 0


def test_untrained_networks_of_the_record_are_nearly_flat(record):
    slopes = experiments.ring_slopes(record.untrained, size=32, fmin=1, fmax=12)
    small = [n for n in record.architecture.values if n.startswith("conv_actually")]
    assert float(np.abs(slopes.sel(architecture=small)).max()) < 0.15
