"""The paper at scale: what is planned fits, plans are kept, and what is left is told."""

import json
import math
import time

import numpy as np
import pytest
import swept
import torch
from archives import jpeg_arrays

import freqsense
from freqsense import models
from freqsense.experiments import Sweep, _workers, runs, scale
from freqsense.experiments.scale import PAPER_NETWORKS, Loading, Timing, plan_paper, run_paper

LOADING = Loading(n_train=50_000, n_test=10_000, first=5.0, again=4.0)


@pytest.fixture
def jpeg_file(tmp_path, monkeypatch):
    path = tmp_path / "jpeg.npz"
    np.savez(path, **jpeg_arrays(12))
    monkeypatch.setenv("FREQSENSE_CIFAR10_JPEG", str(path))
    return path


def times(width):
    """Of networks of which each takes longer than the one before; wide ones more than twice."""
    return [Timing(step=(1 + k) * 1e-5 * width**1.5, look=0.02 * width) for k in range(9)]


def seconds_taken(grid, timings, loading, n_workers):
    """Until the last run ends, run by run."""
    n_train, batch = grid["n_train"][0], grid["batch_size"][0]
    epochs = grid["steps"][0] / math.ceil(n_train / batch)
    ends = n_workers * [0.0]
    for timing in timings:
        for _ in grid["image_filter"]:
            begun = min(ends)
            ends.remove(begun)
            looks = 1 + 3 * min(epochs, grid["looks"][0])
            steps = grid["steps"][0] + math.ceil(n_train / batch)
            load = loading.again * n_train / loading.n_train
            ends.append(begun + load + steps * timing.step + looks * timing.look)
    return max(ends)


def plan(minutes, **options):
    return plan_paper("cifar10", LOADING, times, lambda: 60 * minutes, **options)


@pytest.mark.parametrize("n_workers", [1, 4])
@pytest.mark.parametrize("minutes", [3, 12, 60, 600])
def test_the_plan_fits_and_one_epoch_more_does_not(minutes, n_workers):
    grid = plan(minutes, n_workers=n_workers)
    [width], [n_train], [steps] = (grid[name] for name in ("width", "n_train", "steps"))
    usable = 0.8 * (60 * minutes - LOADING.first)
    assert seconds_taken(grid, times(width), LOADING, n_workers) <= usable
    batches = math.ceil(n_train / 128)
    assert steps % batches == 0 and steps >= 3 * batches
    more = grid | {"steps": [steps + batches]}
    assert seconds_taken(more, times(width), LOADING, n_workers) > usable
    # Nothing is given away: with fewer images the network is the narrowest, ...
    assert n_train == LOADING.n_train or (width == 8 and steps == 3 * batches)
    # ... and a narrower network is taken where three epochs of a wider one are too long.
    if width < 64:
        wider = grid | {"n_train": [50_000], "steps": [3 * math.ceil(50_000 / 128)]}
        assert seconds_taken(wider, times(2 * width), LOADING, n_workers) > usable


def test_more_minutes_give_more():
    sizes = [
        tuple(plan(minutes)[name][0] for name in ("width", "n_train", "steps"))
        for minutes in (1, 3, 12, 60, 600)
    ]
    assert [width for width, _, _ in sizes] == sorted(width for width, _, _ in sizes)
    assert sizes[0][:2] != sizes[-1][:2] == (64, 50_000)
    assert len(set(sizes)) == 5


def test_widths_are_halved_from_the_one_asked_for():
    seen = []

    def counted(width):
        for k, timing in enumerate(times(width)):
            seen.append((width, k))
            yield timing

    grid = plan_paper("cifar10", LOADING, counted, lambda: 60.0, width=48)
    assert grid["width"] == [12]
    assert list(dict.fromkeys(width for width, _ in seen)) == [48, 24, 12]
    # Where the first networks are too long already, the others are not timed.
    assert (48, 8) not in seen and (12, 8) in seen


def test_a_narrow_width_is_kept():
    assert plan(0.2, width=5)["width"] == [5]


def test_at_least_1024_images_are_trained_on():
    grid = plan(0.01)
    assert grid["n_train"] == [1024] and grid["steps"] == [24]
    few = Loading(n_train=700, n_test=70, first=0, again=1)
    assert plan_paper("cifar10:140", few, times, lambda: 0.6)["n_train"] == [700]


def test_a_network_too_large_for_the_device_is_narrowed():
    def time_networks(width):
        return times(width)[:8] + [Timing(math.inf, math.inf)] if width > 16 else times(width)

    assert plan_paper("cifar10", LOADING, time_networks, lambda: 36_000)["width"] == [16]
    with pytest.raises(ValueError, match="must hold the networks of width 8"):
        plan_paper("cifar10", LOADING, lambda width: [Timing(math.inf, 1.0)], lambda: 36_000)


def test_the_grid_is_of_pairs_and_of_the_papers_settings(tmp_path):
    sweep = Sweep(runs.train_and_follow, plan(12), tmp_path)
    cells = [(c["architecture"], c["image_filter"]) for c in sweep.configurations]
    assert cells == [(name, way) for name in PAPER_NETWORKS for way in ("none", "high_pass:8")]
    assert set(PAPER_NETWORKS) <= set(models.ARCHITECTURES) and len(cells) == 18
    first = sweep.configurations[0]
    assert {name: first[name] for name in ("lr", "weight_decay", "decay", "augment")} == {
        "lr": 0.0005,
        "weight_decay": 1e-5,
        "decay": "weights",
        "augment": True,
    }


# What is timed


def test_the_images_there_are_are_counted(jpeg_file):
    found = scale._time_loading(data="cifar10_jpeg")
    assert (found["n_train"], found["n_test"]) == (11, 1)
    assert found["again"] > 0 and found["first"] > 0


def test_a_network_is_timed():
    shared = {"width": 2, "batch_size": 8, "precision": "float32"}
    small = scale._time_network(architecture="conv_actually-1", **shared)
    large = scale._time_network(architecture="resnet-9", **shared | {"batch_size": 64})
    assert 0 < small["step"] < large["step"] and 0 < small["look"] < large["look"]


def test_a_planned_run_can_be_done(jpeg_file, tmp_path):
    loading = Loading(n_train=11, n_test=1, first=0, again=0)
    grid = plan_paper("cifar10_jpeg", loading, times, lambda: 1.0, width=2)
    grid |= {"architecture": ["conv_actually-1"], "n_test": [1]}
    sweep = Sweep(runs.train_and_follow, grid, tmp_path / "runs")
    sweep.compute(progress=False)
    assert sweep.failures() == sweep.remaining() == []


# Calls and later calls


@pytest.fixture
def quick(monkeypatch):
    """Networks that are trained in a tenth of a second, and timed in none."""
    monkeypatch.setattr(runs, "train_and_follow", swept.follow)
    monkeypatch.setattr(scale, "_time_loading", swept.load_at_once)
    monkeypatch.setattr(scale, "_time_network", swept.time_at_once)


def test_a_later_call_goes_on_with_the_plan(quick, tmp_path, monkeypatch):
    first = run_paper(tmp_path / "runs", minutes=1 / 60, progress=False)
    left = len(first.remaining())
    assert 0 < left < 18
    assert first.remaining() == first.configurations[-left:]  # in the order of their value
    dataset = first.dataset()
    assert len(json.loads(dataset.attrs["missing"])) == left
    assert int(dataset.accuracy.isnull().sum()) == left
    stored = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "runs").iterdir()}

    def plan_again(*args):
        raise AssertionError("there is a plan")

    monkeypatch.setattr(scale, "_make_plan", plan_again)
    second = run_paper(tmp_path / "runs", minutes=5, progress=False)
    assert second.grid == first.grid and second.remaining() == []
    after = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "runs").iterdir()}
    assert len(after) == 19 and stored.items() <= after.items()
    monkeypatch.setattr(_workers, "execute", None)  # any run would fail
    assert run_paper(tmp_path / "runs", minutes=5, progress=False).failures() == []


def test_several_workers_do_the_same_runs(quick, tmp_path):
    grids = [
        run_paper(tmp_path / str(n), minutes=1, n_workers=n, progress=False).grid for n in (1, 2)
    ]
    assert grids[0]["width"] == grids[1]["width"]
    assert grids[1]["steps"] > grids[0]["steps"]  # two at a time leave time for more epochs
    assert len([*(tmp_path / "2").glob("*.npz")]) == 18


def test_a_plan_for_a_gpu_is_not_gone_on_with_elsewhere(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    made = run_paper(tmp_path / "runs", minutes=1 / 60, progress=False)
    assert made.grid["precision"] == ["bfloat16"] and made.grid["batch_size"] == [512]
    left = made.remaining()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert 0 < len(left) < 18
    with pytest.warns(UserWarning, match="needs a GPU: nothing was run"):
        later = run_paper(tmp_path / "runs", minutes=5, progress=False)
    assert later.remaining() == left and later.failures() == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"minutes": 0}, "minutes must be positive, got 0"),
        ({"minutes": -3}, "minutes must be positive, got -3"),
        ({"minutes": math.nan}, "minutes must be finite"),
        ({"data": "photographs"}, "data must be one of cifar10, cifar10_jpeg, got 'photographs'"),
        ({"data": "cifar_10"}, "did you mean 'cifar10'?"),
        ({"data": "cifar10:many"}, "takes 0 or 1 numbers after colons"),
        ({"data": "cifar10_jpeg:5"}, "takes 0 numbers after colons"),
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"n_workers": 0}, "n_workers must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(quick, tmp_path, change, words):
    with pytest.raises(ValueError, match=words):
        run_paper(tmp_path / "runs", **{"minutes": 1} | change)
    assert not (tmp_path / "runs").exists()


def test_data_that_cannot_be_loaded_leave_no_plan(tmp_path, monkeypatch):
    monkeypatch.delenv("FREQSENSE_CIFAR10_JPEG", raising=False)
    with pytest.raises(ValueError, match="FREQSENSE_CIFAR10_JPEG must name a file"):
        run_paper(tmp_path / "runs", minutes=1, data="cifar10_jpeg")
    assert not (tmp_path / "runs").exists()


def test_the_folder_of_another_plan_is_refused(quick, tmp_path, monkeypatch):
    folder = tmp_path / "runs"
    run_paper(folder, minutes=0.2 / 60, progress=False)
    before = sorted(folder.iterdir())
    for change in ({"data": "cifar10:932"}, {"width": 32}):
        with pytest.raises(ValueError, match=r"plan.json must be of .* use another folder"):
            run_paper(folder, minutes=1, **change)
    monkeypatch.setattr(freqsense, "__version__", "9.9")
    with pytest.raises(ValueError, match="must be of .*9.9.*: use another folder"):
        run_paper(folder, minutes=1)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"grid": 3, "asked": {}, "freqsense": ""}',
        '{"grid": {"data": ["cifar10"]}, "asked": {}, "freqsense": ""}',
        "[" * 100_000,
    ],
)
def test_a_damaged_plan_is_named(quick, tmp_path, content):
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(ValueError, match=r"plan\.json must be a plan, got: "):
        run_paper(tmp_path, minutes=1)


def test_timing_counts_as_minutes(quick, tmp_path, monkeypatch):
    def time_slowly(**asked):
        time.sleep(0.1)
        return {"step": 1e-5, "look": 1e-4}

    monkeypatch.setattr(scale, "_time_network", time_slowly)
    assert len(run_paper(tmp_path, minutes=0.5 / 60, progress=False).remaining()) == 18
