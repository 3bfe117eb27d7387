import hashlib
import io
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
import zipfile
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import swept
import torch
import xarray
from swept import (
    accept_anything,
    count_threads,
    die_at,
    differ,
    draw,
    fail_at,
    file_size_limit,
    fill,
    give,
    interrupt_at,
    nap,
    nap_longer,
    retry_in_child,
    run,
    sweep_in_child,
    tell_device,
)

import freqsense
from freqsense.experiments import Sweep, _workers

GRID = {"depth": [1, 2, 4], "decay": [0.0, 1e-3], "seed": [0, 1]}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The dataset of one worker that nothing disturbed."""
    return run(Sweep(draw, GRID, tmp_path_factory.mktemp("expected")))


# What a sweep holds


def test_a_sweep_is_the_function_over_the_grid(expected):
    assert dict(expected.sizes) == {"depth": 3, "decay": 2, "seed": 2, "ky": 3, "kx": 4}
    assert expected.loss.dims == ("depth", "decay", "seed")
    assert expected.power.dims == ("depth", "decay", "seed", "ky", "kx")
    for depth, decay, seed in product(*GRID.values()):
        cell = expected.sel(depth=depth, decay=decay, seed=seed)
        direct = draw(depth, decay, seed)
        assert cell.loss.item() == direct["loss"]
        np.testing.assert_array_equal(cell.power, direct["power"][1])


def test_key_is_a_digest_of_configuration_version_and_name(tmp_path):
    run(Sweep(draw, {"depth": [3], "decay": [0.5]}, tmp_path))
    identity = {
        "configuration": {"decay": 0.5, "depth": 3, "seed": 0, "size": 3},
        "freqsense": freqsense.__version__,
        "function": "draw",
    }
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    key = hashlib.sha256(canonical.encode()).hexdigest()
    assert [path.name for path in tmp_path.iterdir()] == [f"{key}.npz"]


def test_provenance(expected):
    assert expected.attrs["freqsense"] == freqsense.__version__
    assert expected.attrs["torch"] == torch.__version__
    assert expected.attrs["numpy"] == np.__version__
    assert expected.attrs["python"] == ".".join(map(str, sys.version_info[:3]))
    assert expected.attrs["function"] == "draw"
    assert json.loads(expected.attrs["configuration"]) == {"grid": GRID, "defaults": {"size": 3}}
    assert expected.attrs["date"].startswith("20") and expected.attrs["date"].endswith("+00:00")
    assert expected.attrs["command"].startswith("python ")
    assert json.loads(expected.attrs["missing"]) == json.loads(expected.attrs["failures"]) == []


def test_netcdf_keeps_values_labels_and_provenance(tmp_path):
    grid = {"depth": [1, 2], "decay": [0.0, 1e-3]}
    sweep = Sweep(draw, grid, tmp_path / "runs")
    dataset = run(sweep)
    sweep.save(tmp_path / "sweep.nc")
    with xarray.open_dataset(tmp_path / "sweep.nc") as opened:
        xarray.testing.assert_identical(opened.load(), dataset)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs", "sweep.nc"]


def test_a_failed_save_leaves_the_earlier_file(tmp_path, monkeypatch):
    sweep = Sweep(fail_at, {"index": [0]}, tmp_path / "runs")
    run(sweep)
    sweep.save(tmp_path / "sweep.nc")
    before = (tmp_path / "sweep.nc").read_bytes()

    def write_half(self, path, **_):
        path.write_bytes(before[: len(before) // 2])
        raise OSError("No space left on device")

    monkeypatch.setattr(xarray.Dataset, "to_netcdf", write_half)
    with pytest.raises(OSError, match="No space left"):
        sweep.save(tmp_path / "sweep.nc")
    assert (tmp_path / "sweep.nc").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs", "sweep.nc"]


@pytest.mark.parametrize(
    "values, labels",
    [
        ([1, 2.5], [1.0, 2.5]),
        (["vgg", "resnet"], ["vgg", "resnet"]),
        ([True, False], [True, False]),
        ([None, 3], ["null", "3"]),
        ([True, 2], ["true", "2"]),
        ([[8, 8], [32, 32]], ["[8, 8]", "[32, 32]"]),
        ([2**63 - 1, -(2**63)], [2**63 - 1, -(2**63)]),
        ([2**63, 1], [str(2**63), "1"]),
    ],
)
def test_labels_of_axes(tmp_path, values, labels):
    sweep = Sweep(give, {"index": values}, tmp_path / "runs")
    assert run(sweep).index.values.tolist() == labels
    sweep.save(tmp_path / "sweep.nc")
    with xarray.open_dataset(tmp_path / "sweep.nc") as opened:
        assert opened.index.values.tolist() == labels


# Determinism


def test_results_depend_neither_on_order_nor_on_workers(expected, tmp_path):
    backwards = {axis: values[::-1] for axis, values in GRID.items()}
    xarray.testing.assert_equal(
        run(Sweep(draw, backwards, tmp_path), n_workers=2).sortby(list(GRID)), expected
    )


def test_each_run_has_seeds_of_its_own(expected):
    draws = expected.global_draws.values.ravel()
    assert len(set(draws)) == len(draws)


def test_a_run_leaves_the_state_of_the_caller_as_it_was(tmp_path):
    threads = torch.get_num_threads()
    torch.manual_seed(5), np.random.seed(5)
    before = torch.rand(1).item(), np.random.rand()
    torch.manual_seed(5), np.random.seed(5)
    run(Sweep(draw, {"depth": [1], "decay": [0.0]}, tmp_path))
    assert (torch.rand(1).item(), np.random.rand()) == before
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("n_workers", [1, 2])
def test_one_torch_thread_a_run(tmp_path, n_workers):
    dataset = run(Sweep(count_threads, {"index": [0, 1]}, tmp_path), n_workers=n_workers)
    assert (dataset.threads == 1).all()


def test_no_gpu_is_named_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert _workers._visible_devices() == []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert _workers._visible_devices() == ["0", "1", "2"]


# Skipping, continuing, failing


def times_of_files(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_stored_runs_are_skipped_and_a_larger_grid_adds_to_them(tmp_path, expected):
    run(Sweep(draw, GRID | {"seed": [0]}, tmp_path))
    before = times_of_files(tmp_path)
    dataset = run(Sweep(draw, GRID, tmp_path))
    after = times_of_files(tmp_path)
    assert len(before) == 6 and len(after) == 12
    assert all(after[name] == before[name] for name in before)
    xarray.testing.assert_equal(dataset, expected)


def test_another_version_or_function_is_another_run(tmp_path, monkeypatch):
    run(Sweep(fail_at, {"index": [0]}, tmp_path))
    monkeypatch.setattr(freqsense, "__version__", "9.9")
    newer = Sweep(fail_at, {"index": [0]}, tmp_path)
    assert newer.dataset().sizes == {"index": 1} and not newer.dataset().data_vars
    run(newer)
    run(Sweep(give, {"index": [0]}, tmp_path))
    assert len(list(tmp_path.iterdir())) == 3


def test_a_worker_with_another_version_computes_nothing(tmp_path, monkeypatch):
    sweep = Sweep(fail_at, {"index": [0]}, tmp_path)
    monkeypatch.setattr(freqsense, "__version__", "9.9")
    with pytest.warns(UserWarning, match="must have freqsense .*, got 9.9"):
        run(sweep)


@pytest.mark.parametrize("n_workers", [1, 2])
def test_a_failure_is_recorded_and_the_rest_goes_on(tmp_path, n_workers):
    marker = tmp_path / "mended"
    grid = {"index": [0, 1, 2, 3], "marker": [str(marker)]}
    sweep = Sweep(fail_at, grid, tmp_path / "runs")
    with pytest.warns(UserWarning, match="1 of 4 runs failed.*ZeroDivisionError: no run 2"):
        dataset = run(sweep, n_workers=n_workers)
    np.testing.assert_array_equal(dataset.square.squeeze(), [0, 1, np.nan, 9])
    [record] = sweep.failures()
    assert record["configuration"] == {"index": 2, "marker": str(marker), "bad": 2}
    assert "in fail_at" in record["traceback"] and "raise ZeroDivisionError" in record["traceback"]
    assert json.loads(dataset.attrs["missing"]) == [record["configuration"]]
    [failure] = json.loads(dataset.attrs["failures"])
    assert failure["error"] == "ZeroDivisionError: no run 2"

    marker.touch()
    before = times_of_files(tmp_path / "runs")
    with pytest.warns(UserWarning, match="1 of 4"):
        run(sweep, n_workers=n_workers)
    assert times_of_files(tmp_path / "runs") == before
    with warnings.catch_warnings(action="error"):
        dataset = run(sweep, n_workers=n_workers, retry_failures=True)
    assert dataset.attrs["missing"] == dataset.attrs["failures"] == "[]"
    assert not list((tmp_path / "runs").glob("*.json"))


def test_missing_runs_are_nan_and_listed(tmp_path):
    run(Sweep(draw, GRID | {"depth": [1, 4]}, tmp_path))
    dataset = Sweep(draw, GRID, tmp_path).dataset()
    assert dataset.loss.sel(depth=2).isnull().all() and dataset.power.sel(depth=2).isnull().all()
    assert dataset.loss.sel(depth=[1, 4]).notnull().all()
    listed = json.loads(dataset.attrs["missing"])
    assert [configuration["depth"] for configuration in listed] == [2] * 4


@pytest.mark.parametrize("n_workers", [1, 2])
def test_no_run_is_begun_when_the_minutes_are_over(tmp_path, n_workers):
    run(Sweep(nap_longer, {"index": [0, 1]}, tmp_path), n_workers=n_workers)  # starts the workers
    sweep = Sweep(nap_longer, {"index": [*range(40)]}, tmp_path)
    with warnings.catch_warnings(action="error"):
        dataset = run(sweep, n_workers=n_workers, minutes=0.8 / 60)
    left = [configuration["index"] for configuration in sweep.remaining()]
    assert 0 < len(left) < 38 and left == [*range(left[0], 40)]  # runs begin in their order
    assert [c["index"] for c in json.loads(dataset.attrs["missing"])] == left
    assert dataset.square.sel(index=left).isnull().all() and sweep.failures() == []
    before = times_of_files(tmp_path)
    sweep.compute(n_workers=2, progress=False)
    assert sweep.remaining() == [] and before.items() <= times_of_files(tmp_path).items()


def test_a_run_that_failed_does_not_remain(tmp_path):
    sweep = Sweep(fail_at, {"index": [1, 2, 3]}, tmp_path)
    assert [configuration["index"] for configuration in sweep.remaining()] == [1, 2, 3]
    sweep.compute(progress=False)
    assert sweep.remaining() == [] and len(sweep.failures()) == 1


def test_runs_are_done_without_what_puts_them_together(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "netCDF4", None)
    sweep = Sweep(fail_at, {"index": [0, 1]}, tmp_path / "runs")
    with pytest.raises(ImportError, match=r"freqsense\[sweeps\]"):
        run(sweep)
    assert not (tmp_path / "runs").exists()
    sweep.compute(progress=False)
    assert sweep.remaining() == []


def test_a_run_that_kills_its_worker_is_recorded_and_the_rest_goes_on(tmp_path):
    sweep = Sweep(die_at, {"index": [*range(8)]}, tmp_path)
    with pytest.warns(UserWarning, match="1 of 8 runs failed"):
        dataset = run(sweep, n_workers=2)
    assert [c["index"] for c in json.loads(dataset.attrs["missing"])] == [1]
    [failure] = sweep.failures()
    assert failure["configuration"]["index"] == 1 and "SIGKILL" in failure["error"]


def test_one_gpu_a_worker(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,3")
    dataset = run(Sweep(tell_device, {"index": [*range(6)]}, tmp_path), n_workers=2)
    pairs = set(zip(dataset.pid.values, dataset.device.values, strict=True))
    assert len(pairs) == 2 and {device for _, device in pairs} == {3.0, 5.0}


def test_more_workers_than_gpus_share_them(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    dataset = run(Sweep(tell_device, {"index": [*range(6)]}, tmp_path), n_workers=2)
    assert len(set(dataset.pid.values)) == 2 and set(dataset.device.values) == {5.0}


def test_any_damage_to_a_result_is_noticed_or_harmless(tmp_path):
    sweep = Sweep(draw, {"depth": [1], "decay": [0.0]}, tmp_path)
    dataset = run(sweep)
    [path] = tmp_path.iterdir()
    whole = path.read_bytes()
    rng = random.Random(0)
    noticed = 0
    for position in rng.sample(range(len(whole)), 400):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        found = sweep.dataset()
        noticed += found.attrs["missing"] != "[]"
        assert found.attrs["missing"] != "[]" or found.equals(dataset)
    assert noticed > 200
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert sweep.dataset().attrs["missing"] != "[]"
    xarray.testing.assert_equal(run(sweep), dataset)
    assert path.read_bytes() != whole[:-1] and sweep.dataset().attrs["missing"] == "[]"


def test_a_result_under_the_name_of_another_is_noticed(tmp_path):
    sweep = Sweep(fail_at, {"index": [0, 1]}, tmp_path)
    dataset = run(sweep)
    first, second = sorted(tmp_path.iterdir())
    second.write_bytes(first.read_bytes())
    assert len(json.loads(sweep.dataset().attrs["missing"])) == 1
    xarray.testing.assert_equal(run(sweep), dataset)


def test_a_full_disk_stops_the_sweep_and_leaves_nothing_half_written(tmp_path, monkeypatch):
    sweep = Sweep(draw, GRID, tmp_path)

    def refuse(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space left on device; 0 of 12 runs are stored in"):
        run(sweep)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_that_cannot_be_stored_stops_the_sweep_too(tmp_path, monkeypatch):
    sweep = Sweep(fail_at, {"index": [0, 1, 2, 3]}, tmp_path)
    sync = os.fsync
    left = iter([sync, sync])

    def refuse(descriptor):
        for sync in left:
            return sync(descriptor)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(
        OSError, match="No space left.*; 2 of 4 runs are stored.* goes on"
    ) as caught:
        run(sweep)
    assert caught.value.errno == 28 and len(list(tmp_path.iterdir())) == 2
    monkeypatch.undo()
    with pytest.warns(UserWarning, match="1 of 4 runs failed"):
        assert run(sweep).square.isnull().sum() == 1


def test_a_full_disk_at_the_end_says_what_is_stored(tmp_path):
    sweep = Sweep(draw, GRID, tmp_path / "runs")
    run(sweep)
    said = "sweep.nc cannot be written, is there room for it.*; 12 of 12 runs are stored in"
    with file_size_limit(5000), pytest.raises(OSError, match=said):
        sweep.save(tmp_path / "sweep.nc")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    xarray.testing.assert_identical(sweep.save(tmp_path / "sweep.nc"), sweep.dataset())


# Files that others have touched


def failed_sweep(folder):
    """A sweep of which one run failed, what would mend that, and the record of the failure."""
    marker = folder / "mended"
    sweep = Sweep(fail_at, {"index": [0, 1, 2], "marker": [str(marker)]}, folder / "runs")
    sweep.compute(progress=False)
    [record] = (folder / "runs").glob("*.json")
    return sweep, marker, record


def without(record, name):
    return json.dumps({key: value for key, value in json.loads(record).items() if key != name})


DAMAGES = {
    "nested": lambda record: b"[" * 100_000,
    "nested objects": lambda record: b'{"key":' * 100_000,
    "empty": lambda record: b"",
    "half": lambda record: record[: len(record) // 2],
    "not UTF-8": lambda record: record.replace(b"ZeroDivisionError", b"\xff\xfe"),
    "a list": lambda record: b"[1, 2]",
    "key alone": lambda record: json.dumps({"key": json.loads(record)["key"]}).encode(),
    "no error": lambda record: without(record, "error").encode(),
    "no versions": lambda record: without(record, "versions").encode(),
    "no configuration": lambda record: without(record, "configuration").encode(),
    "empty error": lambda record: json.dumps(json.loads(record) | {"error": ""}).encode(),
    "number as error": lambda record: json.dumps(json.loads(record) | {"error": 3}).encode(),
    "of another run": lambda record: record.replace(b'"index": 2', b'"index": 1'),
    "huge number": lambda record: record.replace(b'"bad": 2', b'"bad": ' + b"9" * 5000),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_record_of_a_failure_is_told_and_its_run_done_again(tmp_path, damage):
    sweep, marker, record = failed_sweep(tmp_path)
    record.write_bytes(damage(record.read_bytes()))
    assert [left["index"] for left in sweep.remaining()] == [2] and sweep.failures() == []
    assert len(json.loads(sweep.dataset().attrs["missing"])) == 1
    marker.touch()
    with pytest.warns(UserWarning, match=f"are damaged, 1 of them: {record.name}"):
        dataset = run(sweep)
    assert dataset.attrs["missing"] == "[]" and not record.exists()


def test_a_record_of_gigabytes_is_damaged_and_not_read(tmp_path):
    sweep, marker, record = failed_sweep(tmp_path)
    with open(record, "wb") as file:
        file.truncate(2**33)  # holes, that take no room
    assert len(sweep.remaining()) == 1
    os.rename(record, record.with_suffix(".npz"))
    assert len(sweep.remaining()) == 1


def test_an_undamaged_record_is_no_damage(tmp_path):
    sweep, _, _ = failed_sweep(tmp_path)
    with warnings.catch_warnings(action="error"):
        sweep.compute(progress=False)
        sweep.compute(progress=False, retry_failures=True)


def damage_result(path, change, compress=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    stored = np.load(io.BytesIO(members["record.npy"])).item()
    content = io.BytesIO()
    np.save(content, np.array(json.dumps(change(json.loads(stored)))))
    members["record.npy"] = content.getvalue()
    with zipfile.ZipFile(path, "w", compress) as archive:
        for name, member in members.items():
            archive.writestr(name, member)


CHANGES = {
    "no versions": lambda record: without(json.dumps(record), "versions"),
    "no date": lambda record: {name: v for name, v in record.items() if name != "date"},
    "other versions": lambda record: record | {"versions": {"freqsense": "0"}},
    "other configuration": lambda record: record | {"configuration": {"index": 7, "bad": 2}},
    "other dims": lambda record: record | {"dims": {"square": ["x"]}},
    "dims of an axis": lambda record: record | {"dims": {"square": ["index"]}},
    "no dims": lambda record: record | {"dims": {}},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_result_that_is_not_what_a_run_stores_is_told_and_done_again(tmp_path, change):
    sweep = Sweep(fail_at, {"index": [0, 1]}, tmp_path)
    dataset = run(sweep)
    path = min(tmp_path.iterdir())
    damage_result(path, lambda record: record)
    xarray.testing.assert_equal(sweep.dataset(), dataset)  # the control: nothing has changed
    damage_result(path, change)
    assert len(sweep.remaining()) == 1
    with pytest.warns(UserWarning, match=f"are damaged, 1 of them: {path.name}"):
        xarray.testing.assert_equal(run(sweep), dataset)


def test_a_compressed_result_is_not_unpacked(tmp_path):
    sweep = Sweep(fail_at, {"index": [0, 1]}, tmp_path)
    run(sweep)
    damage_result(min(tmp_path.iterdir()), lambda record: record, zipfile.ZIP_DEFLATED)
    assert len(sweep.remaining()) == 1


@pytest.mark.parametrize("suffix", ["npz", "json"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_named_before_any_run(tmp_path, make, suffix):
    sweep = Sweep(fail_at, {"index": [0, 2]}, tmp_path)
    sweep.compute(progress=False)
    [record] = tmp_path.glob("*.json")
    [result] = tmp_path.glob("*.npz")
    result.unlink()
    record.unlink()
    make(record.with_suffix(f".{suffix}"))
    with pytest.raises(ValueError, match=rf"must be a file, got .*\.{suffix}, which is"):
        run(sweep)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("n_workers", [1, 2])
def test_results_that_vanish_meanwhile_are_told(tmp_path, monkeypatch, n_workers):
    store, stored = Sweep._store, []

    def lose(self, record, values):
        store(self, record, values)
        stored.append(record["key"])
        if len(stored) == 2:
            [path.unlink() for path in self.folder.glob("*.npz")]

    monkeypatch.setattr(Sweep, "_store", lose)
    sweep = Sweep(fail_at, {"index": [0, 1, 3]}, tmp_path)
    with pytest.warns(UserWarning, match="2 of 3 runs are missing: .* vanished"):
        dataset = run(sweep, n_workers=n_workers)
    assert len(json.loads(dataset.attrs["missing"])) == 2 and dataset.square.isnull().sum() == 2
    monkeypatch.undo()
    with warnings.catch_warnings(action="error"):
        assert run(sweep).square.notnull().all()


def test_a_folder_that_vanishes_ends_the_sweep_with_what_is_stored(tmp_path, monkeypatch):
    store = Sweep._store

    def lose(self, record, values):
        shutil.rmtree(self.folder)
        store(self, record, values)

    monkeypatch.setattr(Sweep, "_store", lose)
    with pytest.raises(FileNotFoundError, match="0 of 12 runs are stored in"):
        run(Sweep(draw, GRID, tmp_path / "runs"))


# Too much


def test_a_grid_beyond_memory_is_refused_before_it_is_built(tmp_path):
    axis = list(range(1000))
    start = time.monotonic()
    with pytest.raises(ValueError, match=r"100,000 runs, got 1,000,000,000: 1000 depth x 1000 dec"):
        Sweep(draw, {"depth": axis, "decay": axis, "seed": axis}, tmp_path)
    assert time.monotonic() - start < 1


def test_results_beyond_memory_are_refused_before_they_are_put_together(tmp_path):
    run(Sweep(fill, {"index": [3]}, tmp_path))
    with pytest.raises(ValueError, match="the dataset of 100,000 runs must fit into memory"):
        Sweep(fill, {"index": [*range(100_000)]}, tmp_path).dataset()


# Interrupted


def test_an_interrupted_sweep_says_how_far_it_came(tmp_path):
    sweep = Sweep(interrupt_at, {"index": [0, 1, 2, 3]}, tmp_path)
    with pytest.raises(KeyboardInterrupt, match="2 of 4 runs are stored in .*; the same command"):
        run(sweep)
    assert len(sweep.remaining()) == 2 and not list(tmp_path.glob("*.json"))


def test_an_interrupted_pool_leaves_no_process_and_no_failure(tmp_path):
    """Ctrl-C reaches the workers as well as the parent."""
    folder = tmp_path / "a"
    command = [sys.executable, "-c", PARENT, folder]
    options = {"env": environment(), "start_new_session": True, "stderr": subprocess.PIPE}
    parent = subprocess.Popen(command, text=True, **options)
    try:
        wait_until(lambda: len(list(folder.glob("*.npz"))) > 3)
        os.killpg(parent.pid, signal.SIGINT)
        _, said = parent.communicate(timeout=60)
    finally:
        parent.kill()
    stored = len(list(folder.glob("*.npz")))
    assert f"KeyboardInterrupt: {stored} of 40 runs are stored in {folder}" in said
    assert 3 < stored < 40 and not list(folder.glob("*.json"))
    assert said.count("Traceback") == 1  # of the parent alone
    pids = {int(pid) for pid in Sweep(nap_longer, {"index": [*range(40)]}, folder).dataset().pid
            if pid == pid}  # fmt: skip
    wait_until(lambda: not any(map(is_alive, pids)))


def test_leftovers_of_killed_sweeps_go_and_files_under_way_stay(tmp_path):
    old, young = tmp_path / "a.npz.0.tmp", tmp_path / "b.npz.1.tmp"
    old.touch(), young.touch()
    os.utime(old, (0, 0))
    run(Sweep(fail_at, {"index": [0]}, tmp_path))
    assert young.exists() and not old.exists()


# Killed processes


@pytest.fixture(scope="module")
def forkserver():
    """Starts children in milliseconds that have imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["freqsense.experiments", "pytest", "xarray"])
    return context


def test_a_sweep_killed_twenty_times_equals_one_never_killed(tmp_path, forkserver):
    n_runs, delays = 60, np.random.default_rng(0).uniform(0, 0.1, 20)
    assert delays.sum() < n_runs * 0.02, "a sweep could end before its last kill"
    stored = []
    for delay in delays:
        ready = forkserver.Event()
        child = forkserver.Process(target=sweep_in_child, args=(tmp_path / "a", n_runs, ready))
        child.start()
        assert ready.wait(20)
        time.sleep(delay)
        child.kill()
        child.join(20)
        assert child.exitcode == -signal.SIGKILL
        stored.append(len(list((tmp_path / "a").glob("*.npz"))))
    assert 0 < stored[-1] < n_runs and stored == sorted(stored)
    sweep = Sweep(nap, {"index": list(range(n_runs))}, tmp_path / "a")
    before = times_of_files(tmp_path / "a")
    assert len(json.loads(sweep.dataset().attrs["missing"])) == n_runs - stored[-1]
    killed = run(sweep)
    after = times_of_files(tmp_path / "a")
    assert all(after[name] == before[name] for name in before if name.endswith(".npz"))
    never = run(Sweep(nap, {"index": list(range(n_runs))}, tmp_path / "b"))
    xarray.testing.assert_equal(killed, never)


PARENT = """
import sys, swept
swept.run(swept.Sweep(swept.nap_longer, {"index": list(range(40))}, sys.argv[1]), n_workers=2)
"""


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that ended stays in the table until its new parent looks at it.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def environment():
    return os.environ | {"PYTHONPATH": str(Path(swept.__file__).parent)}


def test_workers_end_with_a_killed_parent(tmp_path):
    sweep = Sweep(nap_longer, {"index": list(range(40))}, tmp_path / "a")

    def workers():
        dataset = sweep.dataset()
        return {int(pid) for pid in dataset.pid.values if pid == pid} if len(dataset) else set()

    parent = subprocess.Popen([sys.executable, "-c", PARENT, sweep.folder], env=environment())
    try:
        wait_until(lambda: len(workers()) == 2)  # one may begin long before the other
    finally:
        parent.kill()
        parent.wait(20)
    dataset, pids = sweep.dataset(), workers()
    wait_until(lambda: not any(map(is_alive, pids)))
    for index in dataset.index[dataset.square.notnull()].values:
        assert dataset.square.sel(index=index) == index**2


def test_two_sweeps_on_one_folder_do_not_disturb_each_other(tmp_path, forkserver):
    n_runs = 30
    children, arguments = [], (tmp_path / "a", n_runs, forkserver.Event())
    for _ in range(2):
        children.append(forkserver.Process(target=sweep_in_child, args=arguments))
        children[-1].start()
    for child in children:
        child.join(30)
        assert child.exitcode == 0
    names = [path.name for path in (tmp_path / "a").iterdir()]
    assert len(names) == n_runs and all(name.endswith(".npz") for name in names)
    both = Sweep(nap, {"index": list(range(n_runs))}, tmp_path / "a").dataset()
    alone = run(Sweep(nap, {"index": list(range(n_runs))}, tmp_path / "b"))
    xarray.testing.assert_equal(both, alone)


def test_two_processes_retry_failures_of_one_folder(tmp_path, forkserver):
    marker, folder = tmp_path / "mended", tmp_path / "runs"
    sweep = Sweep(fail_at, {"index": [*range(30)], "marker": [str(marker)]}, folder)
    sweep.compute(progress=False)
    assert len(sweep.failures()) == 1
    marker.touch()
    arguments = (folder, str(marker), forkserver.Event())
    children = [forkserver.Process(target=retry_in_child, args=arguments) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
        assert child.exitcode == 0
    assert sweep.remaining() == sweep.failures() == []
    assert len(list(folder.iterdir())) == 30 and not list(folder.glob("*.json"))


# A Dask cluster


class Cluster:
    """A scheduler and workers, each a process of its own on 127.0.0.1."""

    def __init__(self, folder, n_workers, variables=None):
        contact = folder / "scheduler.json"
        self.folder = folder
        self.variables = environment() if variables is None else variables
        self.processes = []
        self.scheduler = self.start(
            "dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
            "--scheduler-file", contact,
        )  # fmt: skip
        wait_until(contact.exists)
        self.address = json.loads(contact.read_text())["address"]
        self.workers = [self.add_worker() for _ in range(n_workers)]

    def start(self, program, *arguments):
        command = [sys.executable, "-m", f"distributed.cli.{program}", *map(str, arguments)]
        with open(self.folder / "log", "a") as log:
            process = subprocess.Popen(command, env=self.variables, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def add_worker(self):
        return self.start(
            "dask_worker", self.address, "--nthreads", "2", "--no-nanny", "--no-dashboard",
            "--local-directory", self.folder,
        )  # fmt: skip

    def close(self):
        for process in self.processes[::-1]:
            process.kill()
            process.wait(20)


@pytest.fixture
def cluster(tmp_path_factory):
    pytest.importorskip("distributed")
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), n_workers=2)
    yield cluster
    cluster.close()


@pytest.mark.filterwarnings("ignore:the scheduler at")
def test_a_dask_sweep_equals_the_local_one_even_when_a_worker_is_lost(cluster, tmp_path, expected):
    dataset = run(Sweep(draw, GRID, tmp_path / "draw"), scheduler=cluster.address)
    xarray.testing.assert_equal(dataset, expected)

    grid = {"index": list(range(16))}
    killer = threading.Thread(target=lose_a_worker, args=(cluster, tmp_path / "nap"))
    killer.start()
    with warnings.catch_warnings(action="error", category=UserWarning):
        dataset = run(Sweep(nap_longer, grid, tmp_path / "nap"), scheduler=cluster.address)
    killer.join(20)
    assert cluster.workers[0].returncode == -signal.SIGKILL
    assert dataset.attrs["missing"] == "[]"
    np.testing.assert_array_equal(dataset.square, np.arange(16) ** 2)
    # What a lost worker had not delivered yet, the other one computed.
    assert set(dataset.pid.values) <= {worker.pid for worker in cluster.workers}
    local = run(Sweep(nap_longer, {"index": [0, 7, 15]}, tmp_path / "local"))
    xarray.testing.assert_equal(dataset.noise.sel(index=[0, 7, 15]), local.noise)

    with pytest.warns(UserWarning, match="1 of 4 runs failed.*ZeroDivisionError"):
        run(Sweep(fail_at, {"index": [0, 1, 2, 3]}, tmp_path / "fail"), scheduler=cluster.address)

    # With its scheduler gone a sweep ends, and keeps what it has.
    killer = threading.Thread(target=lose_the_scheduler, args=(cluster, tmp_path / "lost"))
    killer.start()
    start = time.monotonic()
    with pytest.raises(ConnectionError, match=cluster.address):
        run(Sweep(nap_longer, grid, tmp_path / "lost"), scheduler=cluster.address)
    killer.join(20)
    assert time.monotonic() - start < 20
    assert not list((tmp_path / "lost").glob("*.json"))
    assert list((tmp_path / "lost").glob("*.npz"))


def test_a_scheduler_without_the_module_is_refused_before_any_run(tmp_path):
    """It unpacks what it hands on, and once its errors were taken for failures of the runs."""
    pytest.importorskip("distributed")
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    cluster = Cluster(tmp_path, n_workers=0, variables=variables)
    try:
        with pytest.raises(ImportError, match="the scheduler at .* import freqsense and swept"):
            run(Sweep(draw, GRID, tmp_path / "runs"), scheduler=cluster.address)
        assert list((tmp_path / "runs").iterdir()) == []
        cluster.variables = environment()
        cluster.add_worker()
        with pytest.raises(ImportError, match="the scheduler at"):
            run(Sweep(draw, GRID, tmp_path / "runs"), scheduler=cluster.address)
    finally:
        cluster.close()


def lose_a_worker(cluster, folder):
    wait_until(lambda: len(list(folder.glob("*.npz"))) >= 2)
    cluster.workers[0].kill()
    cluster.workers[0].wait(20)


def lose_the_scheduler(cluster, folder):
    wait_until(lambda: len(list(folder.glob("*.npz"))) >= 1)
    cluster.scheduler.kill()
    cluster.scheduler.wait(20)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense"])
def test_an_unreachable_scheduler_fails_in_seconds_with_its_address(tmp_path, address):
    pytest.importorskip("distributed")
    sweep = Sweep(draw, GRID, tmp_path / "runs")
    start = time.monotonic()
    with pytest.raises(ConnectionError, match=address):
        run(sweep, scheduler=address)
    assert time.monotonic() - start < 15
    assert not (tmp_path / "runs").exists()


def test_without_dask_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"freqsense\[cluster\]"):
        run(Sweep(draw, GRID, tmp_path), scheduler="tcp://127.0.0.1:8786")


# Bad input


@pytest.mark.parametrize(
    "grid, error, message",
    [
        ({"dept": [1], "decay": [0.0]}, ValueError, "did you mean 'depth'"),
        ({"depth": [1]}, ValueError, "without a default must be an axis, got none for decay"),
        ({}, TypeError, "not empty"),
        ([("depth", [1])], TypeError, "grid must be a dict"),
        ({"depth": [], "decay": [0.0]}, TypeError, "axis depth must be a list of values"),
        ({"depth": "12", "decay": [0.0]}, TypeError, "axis depth must be a list of values"),
        ({"depth": 1, "decay": [0.0]}, TypeError, "axis depth must be a list of values"),
        ({"depth": [1, 1], "decay": [0.0]}, ValueError, "must not repeat"),
        ({"depth": [1, 1.0], "decay": [0.0]}, ValueError, "must not repeat"),
        ({"depth": [torch.relu], "decay": [0.0]}, TypeError, "axis depth must be a value of JSON"),
        ({"depth": [np.int64(1)], "decay": [0.0]}, TypeError, "must be a value of JSON"),
        ({"depth": [(8, 8)], "decay": [0.0]}, TypeError, r"becomes \[8, 8\]"),
        ({"depth": [1], "decay": [float("nan")]}, TypeError, "must be a value of JSON"),
    ],
)
def test_bad_grids_are_refused_before_any_work(tmp_path, grid, error, message):
    with pytest.raises(error, match=message):
        Sweep(draw, grid, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "function", [lambda depth: {"x": depth}, abs, "draw", Cluster.start.__get__(1)]
)
def test_functions_without_a_name_of_their_own_are_refused(tmp_path, function):
    with pytest.raises(TypeError, match="top level of a module"):
        Sweep(function, {"depth": [1]}, tmp_path)


@pytest.mark.parametrize(
    "kind, message",
    [
        ("complex", "must be real numbers, got complex128"),
        ("text", "must be real numbers, got <U3"),
        ("wide", "must be real numbers, got (float128|longdouble)"),
        ("no dims", r"got dims \(\) and shape \(3,\)"),
        ("few dims", r"got dims \('y',\) and shape \(3, 3\)"),
        ("same dims", r"got dims \('y', 'y'\)"),
        ("axis", "no axes, got 'index'"),
        ("dim of an axis", "no axes, got 'index'"),
        ("name", "must be identifiers"),
        ("empty", "must return a dict"),
        ("none", "must return a dict"),
    ],
)
def test_bad_results_are_failures_that_say_what_is_wrong(tmp_path, kind, message):
    with pytest.warns(UserWarning, match=message):
        run(Sweep(give, {"index": [0], "kind": [kind]}, tmp_path))


def test_results_that_differ_between_runs_are_named(tmp_path):
    sweep = Sweep(differ, {"index": [0, 1]}, tmp_path)
    with pytest.raises(ValueError, match=r"'index': 0\} gave \{'a'.*'index': 1\} gave \{'b'"):
        run(sweep)


def test_names_of_axes_are_identifiers(tmp_path):
    with pytest.raises(ValueError, match="identifiers, got 'a/b'"):
        Sweep(accept_anything, {"a/b": [1]}, tmp_path)


@pytest.mark.parametrize("minutes", [0, -1.0, float("nan"), "5"])
def test_bad_numbers_of_minutes(tmp_path, minutes):
    with pytest.raises((TypeError, ValueError), match="minutes"):
        Sweep(draw, GRID, tmp_path / "runs").compute(minutes=minutes)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("n_workers", [0, 1.5, True])
def test_bad_numbers_of_workers(tmp_path, n_workers):
    with pytest.raises((TypeError, ValueError), match="n_workers"):
        run(Sweep(draw, GRID, tmp_path / "runs"), n_workers=n_workers)
    assert not (tmp_path / "runs").exists()
