"""Recorded sweeps name their runs publicly; the script that did it changed nothing else."""

import shutil

import netCDF4
import numpy as np
import pytest
from recorded import script

from freqsense import experiments
from freqsense.cli.config import RUNS

FORMER = "freqsense._runs."


@pytest.fixture(scope="module")
def name_run():
    return script("name_runs")["name_run"]


def content(path):
    """Everything that a record holds: dimensions, attributes, and each variable with its own."""
    with netCDF4.Dataset(path) as record:
        record.set_auto_mask(False)
        variables = {
            name: (each.dimensions, repr(each.__dict__), each[:].dtype, each[:].tobytes())
            if each.dtype is not str
            else (each.dimensions, repr(each.__dict__), str, each[:].tolist())
            for name, each in record.variables.items()
        }
        sizes = {name: len(dimension) for name, dimension in record.dimensions.items()}
        return sizes, dict(record.__dict__), variables


def test_the_records_are_of_public_runs(repository):
    paths = sorted((repository / "results").glob("*.nc"))
    assert len(paths) >= 9
    for path in paths:
        name = content(path)[1]["function"]
        assert name in RUNS and callable(getattr(experiments, name))


@pytest.mark.parametrize("stem", ["clean", "paper-cifar10", "robustness"])
def test_the_script_changes_the_name_and_nothing_else(name_run, repository, tmp_path, stem):
    path = shutil.copy(repository / "results" / f"{stem}.nc", tmp_path)
    sizes, attributes, variables = content(path)
    with netCDF4.Dataset(path, "a") as record:
        record.function = FORMER + attributes["function"]
    name_run(path)
    again = content(path)
    assert again == (sizes, attributes, variables)
    # Negative control: one digit of one number is seen.
    with netCDF4.Dataset(path, "a") as record:
        record["accuracy"][0] = np.nextafter(record["accuracy"][0], 2)
    assert content(path) != again


def test_a_named_record_is_left_as_it_is(name_run, repository, tmp_path, capsys):
    path = shutil.copy(repository / "results" / "clean.nc", tmp_path)
    name_run(path)
    assert capsys.readouterr().out == ""


def test_an_unknown_run_is_refused(name_run, repository, tmp_path):
    path = shutil.copy(repository / "results" / "clean.nc", tmp_path)
    with netCDF4.Dataset(path, "a") as record:
        record.function = FORMER + "train_and_guess"
    with pytest.raises(ValueError, match="must be of runs train_and_measure or .*train_and_guess"):
        name_run(path)
    assert content(path)[1]["function"] == FORMER + "train_and_guess"
