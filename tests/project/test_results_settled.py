"""Recorded controls: BatchNorms of untrained networks are settled, and nothing else was changed."""

import numpy as np
import pytest
import xarray
from recorded import dataset, script

from freqsense.cli.config import read_sweep

SWEEP = """
grid:
  architecture: ["conv_actually-2", "resnet-9"]
  data: ["photographs"]
  weight_decay: [0.001, 0.01]
  size: [8]
  width: [2]
  n_train: [64]
  n_test: [32]
  epochs: [1]
"""


@pytest.fixture(scope="module")
def settled():
    return script("settle_untrained")


@pytest.mark.parametrize("architecture", ["vgg-11", "conv_actually-2"])
def test_a_recorded_control_measures_as_recorded(settled, repository, architecture):
    runs = read_sweep(repository / "results" / "depth-decay.yaml", repository).configurations
    wanted = {"architecture": architecture, "weight_decay": 0.01, "seed": 1}
    (run,) = [run for run in runs if wanted.items() <= run.items()]
    rings = settled["untrained_rings"](run)
    if architecture == "conv_actually-2":
        assert rings is None  # it has no BatchNorm: nothing to settle
        return
    recorded = dataset("depth-decay").untrained.sel(wanted).squeeze().values
    np.testing.assert_allclose(rings, recorded, rtol=1e-3)  # float32, over machines
    other = dataset("depth-decay").untrained.sel(wanted | {"seed": 0}).squeeze().values
    assert np.abs(rings / other - 1).max() > 0.01


def test_the_script_changes_controls_with_batchnorm_and_nothing_else(settled, tmp_path):
    (tmp_path / "small.yaml").write_text(SWEEP)
    sweep = read_sweep(tmp_path / "small.yaml", tmp_path / "runs")
    sweep.run(progress=False)
    path = tmp_path / "small.nc"
    sweep.save(path)
    before = xarray.load_dataset(path)
    damaged = before.copy(deep=True)
    damaged.untrained.loc[{"architecture": "resnet-9"}] *= 0.5
    damaged.to_netcdf(path)
    assert settled["settle"](path) == 2  # two decays
    after = xarray.load_dataset(path)
    for name in set(before.data_vars) - {"untrained"}:
        assert after[name].equals(before[name])
    np.testing.assert_allclose(after.untrained, before.untrained, rtol=1e-5)
    assert not np.allclose(damaged.untrained, before.untrained, rtol=0.1)
    assert after.attrs == before.attrs and "settle_batchnorm" in after.untrained.comment
