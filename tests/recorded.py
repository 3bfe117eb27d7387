"""What is recorded in results/, the scripts that made it, and the archive that some of it needs."""

import csv
import os
import runpy

import pytest
import xarray
from sources import ROOT

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
    with open(RESULTS / f"{name}.csv", newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def dataset(name):
    """A recorded sweep."""
    return xarray.load_dataset(RESULTS / f"{name}.nc")
