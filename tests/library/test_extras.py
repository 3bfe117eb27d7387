"""What an extra brings is asked for where it is needed, and a missing one is named."""

import sys

import pytest
import torch
import xarray

from freqsense import datasets, experiments, images, theory
from freqsense._extras import extra
from freqsense.experiments import Sweep


def area(width):
    return {"area": width**2}


STACK, SIGNS = torch.eye(4).reshape(4, 1, 2, 2), torch.tensor([1.0, -1.0, 1.0, -1.0])
CURVE = xarray.DataArray(torch.ones(9).numpy(), dims="ring")


USES = [
    ("skimage", "photographs", lambda folder: images.photographs(["moon"])),
    (
        "skimage",
        "photographs",
        lambda folder: images.photo_patches("test", n_per_class=1, size=8, classes=["coffee"]),
    ),
    ("pooch", "downloads", lambda folder: datasets.download("cifar10", folder)),
    ("requests", "downloads", lambda folder: datasets.cifar10(folder)),
    ("xarray", "sweeps", lambda folder: Sweep(area, {"width": [1]}, folder / "runs").run()),
    ("netCDF4", "sweeps", lambda folder: Sweep(area, {"width": [1]}, folder / "runs").run()),
    (
        "joblib",
        "sweeps",
        lambda folder: Sweep(area, {"width": [1]}, folder / "runs").run(n_workers=2),
    ),
    ("xarray", "sweeps", lambda folder: Sweep(area, {"width": [1]}, folder / "runs").dataset()),
    ("xarray", "sweeps", lambda folder: experiments.ring_slopes(CURVE, size=16, fmin=1, fmax=8)),
    ("clarabel", "programs", lambda folder: theory.solve_limit(STACK, SIGNS, depth=2)),
    (
        "distributed",
        "cluster",
        lambda folder: Sweep(area, {"width": [1]}, folder / "runs").run(
            scheduler="tcp://127.0.0.1:9"
        ),
    ),
]


@pytest.mark.parametrize(("package", "name", "use"), USES)
def test_a_missing_extra_is_named_before_any_work(package, name, use, tmp_path, monkeypatch):
    for loaded in [each for each in sys.modules if each.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, package, None)  # importing it fails
    with pytest.raises(ImportError, match=rf"{package}.*pip install 'freqsense\[{name}\]'"):
        use(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_asked_for_where_it_is_not_needed(monkeypatch):
    """Tasks are made, trained on and measured by the core alone."""
    for package in ("skimage", "pooch", "xarray", "joblib", "netCDF4", "yaml", "ipywidgets"):
        monkeypatch.setitem(sys.modules, package, None)
    result = experiments.train_and_measure(
        architecture="linear_cnn-2", data="gaussian_field:2", weight_decay=0.1, width=1,
        size=8, n_train=50, n_test=20, epochs=1,
    )  # fmt: skip
    assert result["sensitivity"][1].shape == (5,)


def test_other_errors_pass_as_they_are():
    with pytest.raises(KeyError), extra("sweeps"):
        raise KeyError("something else")
