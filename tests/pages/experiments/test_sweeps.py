"""The page "Sweeps, clusters, and trouble": its commands are those there are, its claims hold."""

import json
import re
import sys

import commands
import pytest
import torch
import yaml
from sources import BOOK, read

from freqsense import experiments
from freqsense.cli import config

TEXT = read(BOOK / "experiments" / "sweeps.md")
CELLS = re.findall(r"^```\{code-cell\} ipython3\n(.*?)^```", TEXT, re.M | re.S)


def cell_of(start):
    (cell,) = [cell for cell in CELLS if cell.startswith(start)]
    return cell


# Commands


@pytest.mark.parametrize("line", commands.in_prose(TEXT) + commands.in_cells(TEXT))
def test_a_command_of_the_page_is_accepted(line):
    if "--mehod" in line:  # which the page shows to be refused
        with pytest.raises(ValueError, match="unrecognized arguments: --mehod"):
            commands.parse(line)
        return
    if line.startswith("train"):  # the cell breaks it in two
        line += " --output a.pt"
    assert commands.parse(line)["command"] == line.split()[0]


def test_options_that_the_prose_names_exist():
    assert commands.unknown_options(TEXT) == set()
    assert {"--workers", "--retry-failures"} <= set(re.findall(r"`(--[a-z-]+)", TEXT))


def test_the_study_of_the_page_is_a_valid_sweep(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(cell_of('study = """').split('"""')[1], encoding="utf-8")
    sweep = config.read_sweep(path, tmp_path / "runs")
    assert len(sweep.configurations) == 6
    wrong = yaml.safe_load(path.read_text(encoding="utf-8"))
    wrong["grid"]["archtecture"] = wrong["grid"].pop("architecture")
    path.write_text(yaml.safe_dump(wrong), encoding="utf-8")
    with pytest.raises(ValueError, match="did you mean 'architecture'"):
        config.read_sweep(path, tmp_path / "runs")


def test_the_module_of_the_page_makes_a_network(tmp_path, monkeypatch):
    module = cell_of("%%writefile my_network.py").partition("\n")[2]
    (tmp_path / "my_network.py").write_text(module, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_network", raising=False)
    import my_network

    model = my_network.make()
    assert model(torch.zeros(2, 3, 24, 24)).shape == (2, 8)
    assert list(model.state_dict())[-1] == "9.bias"  # which the page leaves out of a file


# Claims


def area(width, height, depth=2):
    return {"volume": width * height * depth}


def test_what_a_change_of_the_grid_leaves_to_be_done(tmp_path):
    grid = {"width": [1, 2], "height": [3]}
    experiments.Sweep(area, grid, tmp_path).run(progress=False)

    assert [n_missing(grid | change, tmp_path) for change in ({}, {"depth": [2]})] == [0, 0]
    assert n_missing(grid | {"depth": [2, 3]}, tmp_path) == 2
    assert n_missing(grid | {"width": [1, 2, 5]}, tmp_path) == 1


def n_missing(grid, folder):
    dataset = experiments.Sweep(area, grid, folder).dataset()
    return len(json.loads(dataset.attrs["missing"]))
