"""What is recorded in results/, the scripts that made it, and the archive that some of it needs."""

import os
import runpy

import pytest
import xarray
from sources import ROOT
from tables import read_table

RESULTS = ROOT / "results"
CIFAR10 = "FREQSENSE_CIFAR10"

needs_cifar10 = pytest.mark.skipif(
    CIFAR10 not in os.environ, reason=f"{CIFAR10} names no CIFAR-10 archive"
)


def script(name):
    """The names that a script defines."""
    return runpy.run_path(str(RESULTS / f"{name}.py"))


def table(name):
    """The rows of a table, as dictionaries of text."""
    return read_table(RESULTS / f"{name}.csv")


def dataset(name):
    """A recorded sweep."""
    return xarray.load_dataset(RESULTS / f"{name}.nc")


def half(full):
    """The half (..., H, W // 2 + 1) of an even map that sweeps record."""
    return full[..., : full.shape[-1] // 2 + 1].numpy()


def as_runs(rings, power, cross):
    """Runs in the layout of a sweep: rings (F, S, R), and maps (F, H, W) that all seeds share."""
    axes = ("image_filter", "seed", "ky", "half_kx")
    n_filters, n_seeds = rings.shape[:2]

    def shared(full):
        return axes, half(full[:, None].expand(-1, n_seeds, -1, -1))

    return xarray.Dataset(
        {
            "sensitivity": ((*axes[:2], "ring"), rings),
            "power_map": shared(power),
            "cross_map": shared(cross),
        },
        {"image_filter": [f"f{k}" for k in range(n_filters)], "seed": range(n_seeds)},
    )
