"""The program that the capstone hands out: it runs as it is, and refuses what cannot be."""

import csv
import importlib.util
import sys

import numpy as np
import pytest
import torch
from grader.assignment import folder_of
from grader.grade import write_coursework
from torch import nn

STARTER = folder_of("capstone") / "starter" / "measure.py"


@pytest.fixture
def program(tmp_path, monkeypatch):
    """The starter as a module, with 64 images beside it."""
    spec = importlib.util.spec_from_file_location("measure_of_the_capstone", STARTER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    images = np.random.default_rng(0).random((64, 3, 32, 32))
    np.save(tmp_path / "images.npy", images)
    places = [str(tmp_path / "images.npy"), str(tmp_path / "measured.csv")]
    monkeypatch.setattr(sys, "argv", ["measure.py", *places])
    return module


def test_the_starter_runs_as_it_is(program, tmp_path):
    program.main()
    with (tmp_path / "measured.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["cycles_per_image"]) for row in rows] == list(range(17))
    assert all(float(row["sensitivity"]) > 0 for row in rows)


def flat():
    """A linear network."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))


def test_a_network_that_hears_nothing_is_refused(program, tmp_path, monkeypatch):
    network = flat()
    monkeypatch.setattr(program, "own_network", lambda: lambda x: 0 * network(x))
    with pytest.raises(SystemExit, match="not all of them zero"):
        program.main()
    assert not (tmp_path / "measured.csv").exists()


def test_a_measurement_that_does_not_double_with_the_logits_is_refused(program, monkeypatch):
    measure = program.measure

    def shares(network, images):
        found = measure(network, images)
        return found / found.sum()

    monkeypatch.setattr(program, "measure", shares)
    with pytest.raises(SystemExit, match="must double"):
        program.main()


def test_an_image_that_sees_the_others_is_refused(program, monkeypatch):
    network = flat()
    monkeypatch.setattr(program, "own_network", lambda: lambda x: len(x) * network(x))
    with pytest.raises(SystemExit, match="does an image see the others"):
        program.main()


def test_the_starter_is_handed_out_beside_the_notebook(tmp_path, term):
    write_coursework(term, tmp_path)
    handed_out = {path.name for path in (tmp_path / "release" / "capstone").iterdir()}
    assert handed_out == {"capstone.ipynb", "measure.py"}
    assert not list((tmp_path / "release").rglob("tasks.py"))
