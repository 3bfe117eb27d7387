"""The command line, on networks and pictures that the library has never seen."""

import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import swept as swept_functions
import xarray
from terminal import CONFIG, python

import freqsense
from freqsense import datasets
from freqsense.__main__ import main
from freqsense.cli.config import read_sweep
from freqsense.experiments import runs, scale


def test_version_and_help_come_without_torch():
    code = (
        "import sys; from freqsense.__main__ import main\n"
        "try: main(['measure', '--help'])\n"
        "except SystemExit: print('torch' in sys.modules)"
    )
    done = python("-c", code)
    assert done.stdout.splitlines()[-1] == "False" and "--architecture" in done.stdout
    done = python("-m", "freqsense", "--version")
    assert (done.returncode, done.stdout) == (0, f"freqsense {freqsense.__version__}\n")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["swep"], "invalid choice: 'swep' (choose from"),
        ([], "required: COMMAND"),
        (["train", "--data", "cifar10"], "required: --architecture, --output"),
        (["measure", "a.pt", "b", "--batch-size", "x"], "invalid int value: 'x'"),
        (["measure", "a.pt", "--mehod", "x", "b"], "unrecognized arguments: --mehod x"),
        (["download", "cifar10", "b"], "unrecognized arguments: b"),
        (["compare"], "required: NETWORK ... IMAGES_FOLDER"),
        (
            ["measure", "a.pt", "b", "--architecture", "vgg-11", "--model", "a:b"],
            "not allowed with",
        ),
        (["download", "cifar-10"], "got 'cifar-10'; did you mean 'cifar10'?"),
        (["report", "nowhere.nc"], "RESULT must be a file, got nowhere.nc"),
        (["sweep", "nowhere.yaml"], "nowhere.yaml"),
        (["paper"], "required: --minutes"),
        (["paper", "--minutes", "0", "--no-record"], "minutes must be positive, got 0"),
        (["paper", "--minutes", "1", "--output", "nowhere/a.nc"], "in a folder that exists"),
        (["paper", "--minutes", "1", "--output", "a.nc", "--no-record"], "not allowed with"),
        (
            ["paper", "--minutes", "1", "--no-record", "--data", "photographs"],
            "data must be one of cifar10, cifar10_jpeg, got 'photographs'",
        ),
    ],
)
def test_bad_arguments(fail, argv, said):
    assert said in fail(*argv)


def test_download_without_a_network(fail, succeed, tmp_path, monkeypatch):
    def refuse(name, root):
        raise ConnectionError(f"Without a network, fetch {name} elsewhere and put it into {root}")

    monkeypatch.setattr(datasets, "download", refuse)
    said = fail("download", "cifar10", "--root", tmp_path)
    assert said == f"error: Without a network, fetch cifar10 elsewhere and put it into {tmp_path}"
    monkeypatch.setattr(datasets, "download", lambda name, root: Path(root) / name)
    assert succeed("download", "cifar10", "--root", tmp_path) == f"{tmp_path}/cifar10\n"


def test_training_fails_before_it_starts_or_leaves_no_file(fail, tmp_path):
    argv = ["train", "--data", "photographs", "--size", "16", "--n-train", "50", "--n-test", "20"]
    path = tmp_path / "a.pt"
    named = [*argv, "--output", path, "--architecture"]
    assert "did you mean 'resnet-20'" in fail(*named, "resnet20")
    nowhere = tmp_path / "nowhere/a.pt"
    argv_nowhere = [*argv, "--architecture", "resnet-20", "--output", nowhere]
    assert f"a folder that exists, got {nowhere}" in fail(*argv_nowhere)
    assert "--device must be one that is here" in fail(*named, "vgg-11", "--device", "warp")
    assert "epoch" in fail(*named, "conv_actually-2", "--optimizer", "sgd", "--lr", "1e18")
    assert list(tmp_path.iterdir()) == []


# Sweeps


def test_a_sweep_runs_once(swept, succeed, monkeypatch):
    config, said = swept
    assert "8 runs, 8 stored, 0 failed; in tiny.runs" in said and "written: tiny.nc" in said
    files = {path: path.stat().st_mtime_ns for path in (config.parent / "tiny.runs").iterdir()}
    assert len(files) == 8
    monkeypatch.setattr("freqsense.experiments._workers.execute", None)  # any run would fail
    assert "8 runs, 8 stored, 0 failed" in succeed("sweep", config)
    assert files == {p: p.stat().st_mtime_ns for p in (config.parent / "tiny.runs").iterdir()}
    with xarray.open_dataset(config.with_suffix(".nc")) as dataset:
        assert dataset.sizes["data"] == 2 and dataset.sizes["width"] == 1
        assert bool(np.isfinite(dataset["sensitivity"]).all())


def test_an_unreachable_scheduler_is_named(swept, fail, tmp_path, monkeypatch):
    monkeypatch.setattr("freqsense.experiments._workers._CONNECT", 1)
    address = "tcp://127.0.0.1:9"
    said = fail("sweep", swept[0], "--scheduler", address, "--folder", tmp_path / "runs")
    assert f"must answer at {address} within" in said


# The paper's networks


@pytest.fixture
def quick(monkeypatch):
    """Networks that are trained in a tenth of a second, and timed in none."""
    monkeypatch.setattr(runs, "train_and_follow", swept_functions.follow)
    monkeypatch.setattr(scale, "_time_loading", swept_functions.load_at_once)
    monkeypatch.setattr(scale, "_time_network", swept_functions.time_at_once)


def train_paper(capsys, *argv):
    """Exit code and output of the command."""
    code = main(["paper", *map(str, argv)])
    return code, capsys.readouterr().out


def test_the_paper_ends_with_its_minutes_and_says_how_to_go_on(quick, tmp_path, capsys):
    words = ["--folder", tmp_path / "cells", "--output", tmp_path / "paper.nc"]
    code, said = train_paper(capsys, "--minutes", 1 / 60, *words)
    grid = json.loads((tmp_path / "cells/plan.json").read_text())["grid"]
    [width], [n_train] = grid["width"], grid["n_train"]
    assert code == 1 and f"plan: width {width}, {n_train:,} images of cifar10, " in said
    n_left = said.count("left: ")
    assert 0 < n_left < 18
    assert f"18 runs, {18 - n_left} stored, 0 failed, {n_left} left; in {tmp_path}/cells" in said
    assert "left: conv_actually-4-linear, high_pass:8\n" in said
    with xarray.open_dataset(tmp_path / "paper.nc") as dataset:
        assert int(dataset.accuracy.isnull().sum()) == n_left
        assert len(json.loads(dataset.attrs["missing"])) == n_left
    [onwards] = [line for line in said.splitlines() if line.startswith("to go on: ")]
    program, *argv = shlex.split(onwards.removeprefix("to go on: "))
    argv[argv.index("--minutes") + 1] = "5"
    assert program == "freqsense" and main(argv) == 0
    said = capsys.readouterr().out
    assert "18 runs, 18 stored, 0 failed, 0 left" in said and "to go on" not in said
    with xarray.open_dataset(tmp_path / "paper.nc") as dataset:
        assert dataset.accuracy.notnull().all() and dataset.attrs["missing"] == "[]"
    declared = read_sweep(tmp_path / "paper.yaml", tmp_path / "cells")
    assert declared.grid == grid and declared.name == "train_and_follow"


def test_the_paper_runs_without_what_makes_a_record(quick, tmp_path, capsys, monkeypatch, fail):
    folder = ["--folder", tmp_path / "cells"]
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "netCDF4", None)
        without.setitem(sys.modules, "yaml", None)
        assert "freqsense[sweeps]" in fail("paper", "--minutes", "5", *folder)
        assert list(tmp_path.iterdir()) == []
        assert train_paper(capsys, "--minutes", 5, *folder, "--no-record")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["cells"]
    monkeypatch.setattr("freqsense.experiments._workers.execute", None)  # any run would fail
    code, said = train_paper(capsys, "--minutes", 5, *folder)
    assert code == 0 and f"written: {tmp_path}/cells.nc, cells.yaml" in said


def test_the_paper_tells_its_failures(quick, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(runs, "train_and_follow", swept_functions.refuse_to_follow)
    words = ["--minutes", 5, "--folder", tmp_path / "cells", "--no-record"]
    code, said = train_paper(capsys, *words)
    assert code == 1 and "18 runs, 9 stored, 9 failed, 0 left" in said
    assert "failed: {'architecture': 'myrtle_cnn', 'image_filter': 'high_pass:8'}: " in said
    monkeypatch.setattr(runs, "train_and_follow", swept_functions.follow)
    assert "9 stored, 9 failed" in train_paper(capsys, *words)[1]
    assert "18 stored, 0 failed" in train_paper(capsys, *words, "--retry-failures")[1]


def test_the_paper_does_not_write_over_another_declaration(quick, tmp_path, fail):
    (tmp_path / "paper.yaml").write_text(CONFIG)
    words = ["--folder", tmp_path / "cells", "--output", tmp_path / "paper.nc"]
    said = fail("paper", "--minutes", "5", *words)
    assert "paper.yaml must be free" in said and "name another --output" in said
    assert [path.name for path in tmp_path.iterdir()] == ["paper.yaml"]
