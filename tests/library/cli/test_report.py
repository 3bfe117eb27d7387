"""Reports of sweeps."""

import base64
import io
import os
import re

import numpy as np
import pytest
import xarray
from PIL import Image
from swept import draw, fail_at
from terminal import CONFIG

import freqsense
from freqsense.__main__ import main
from freqsense.experiments import Sweep


def test_failed_runs_are_told_and_reported(tmp_path, capsys, succeed):
    config = tmp_path / "bad.yaml"
    # The field whose high-pass leaves nothing fails; the other run does not.
    config.write_text(
        CONFIG.replace("[conv_actually-2, linear_cnn-2]", "linear_cnn-2")
        .replace('["gaussian_field:0", "gaussian_field:2"]', "gaussian_field:0")
        .replace("[0, 1]", '0\n  image_filter: [none, "high_pass:1000"]')
    )
    assert main(["sweep", str(config)]) == 1
    said = capsys.readouterr().out
    assert "2 runs, 1 stored, 1 failed" in said and "'image_filter': 'high_pass:1000'" in said
    succeed("report", config.with_suffix(".nc"))
    page = (tmp_path / "bad.report/report.html").read_text()
    assert "1 of 2 runs are missing, 1 of which failed" in page
    assert re.search("<td>high_pass:1000</td>.*<td>failed: ValueError", page)


def test_report_of_a_sweep(swept, succeed, tmp_path):
    config, _ = swept
    succeed("report", config.with_suffix(".nc"), "--output", tmp_path / "page")
    page = (tmp_path / "page/report.html").read_text()
    pictures = re.findall('src="data:image/png;base64,([^"]+)"', page)
    assert len(pictures) == 2 and page.count("<img") == 2  # one an architecture, none elsewhere
    for picture in pictures:
        Image.open(io.BytesIO(base64.b64decode(picture))).verify()
    assert "<td>freqsense</td><td>" + freqsense.__version__ in page
    assert "All 8 runs are here" in page and "<td>gaussian_field:0, gaussian_field:2</td>" in page
    with xarray.open_dataset(config.with_suffix(".nc")) as dataset:
        runs = dataset["accuracy"].sel(architecture="linear_cnn-2", data="gaussian_field:2")
        values = runs.values.ravel()
    mean, error = values.mean(), abs(values[0] - values[1]) / 2  # of two
    cells = f"<td>gaussian_field:2</td><td>2</td><td>{mean:.3f} ± {error:.3f}</td>"
    assert cells in page[page.index("<h2>linear_cnn-2</h2>") :]


def test_report_escapes_what_it_shows(swept, succeed, tmp_path):
    with xarray.open_dataset(swept[0].with_suffix(".nc")) as dataset:
        names = dataset["data"].values
        evil = dataset.assign_coords(data=[names[0], "<script>$x_"]).load()
        evil.attrs["command"] = "<script>alert(1)</script>"
        evil.to_netcdf(tmp_path / "evil.nc", engine="netcdf4")
    succeed("report", tmp_path / "evil.nc")
    page = (tmp_path / "evil.report/report.html").read_text()
    assert "<script" not in page and page.count("&lt;script&gt;") >= 3


def test_report_of_other_files(swept, fail, tmp_path):
    path = tmp_path / "other.nc"
    path.write_text("no netCDF")
    assert "must be the netCDF file of a sweep" in fail("report", path)
    other = xarray.Dataset({"x": ("time", [1.0, 2.0])})
    other.to_netcdf(path, engine="netcdf4")
    assert "must be what a sweep saved" in fail("report", path)
    with xarray.open_dataset(swept[0].with_suffix(".nc")) as dataset:
        dataset.drop_vars("power_map").load().to_netcdf(path, engine="netcdf4")
    assert "must be the result of train_and_measure" in fail("report", path)
    path.write_bytes(swept[0].with_suffix(".nc").read_bytes()[:3000])
    assert "must be the netCDF file of a sweep" in fail("report", path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("configuration", "[" * 100_000),
        ("configuration", '{"grid": [1, 2]}'),
        ("configuration", '{"grid": {"seed": 3}}'),
        ("missing", '[{"seed": 0}]'),
        ("failures", '[{"configuration": {}}]'),
        ("failures", "[3]"),
    ],
)
def test_report_of_damaged_attributes(swept, fail, tmp_path, name, text):
    with xarray.open_dataset(swept[0].with_suffix(".nc")) as dataset:
        dataset.load().assign_attrs({name: text}).to_netcdf(tmp_path / "x.nc", engine="netcdf4")
    assert "must be what a sweep saved" in fail("report", tmp_path / "x.nc")


def test_report_of_a_fifo(fail, tmp_path):
    os.mkfifo(tmp_path / "x.nc")
    assert "RESULT must be a file" in fail("report", tmp_path / "x.nc")


def save_own(folder, function, grid):
    sweep = Sweep(function, grid, folder / "runs")
    sweep.compute(progress=False)
    sweep.save(folder / "own.nc")
    return sweep.dataset()


def test_report_of_a_function_of_the_users_own(succeed, tmp_path):
    grid = {"depth": [1, 2], "decay": [0.5], "seed": [0, 1, 2]}
    dataset = save_own(tmp_path, draw, grid)
    succeed("report", tmp_path / "own.nc")
    page = (tmp_path / "own.report/report.html").read_text()
    assert "All 6 runs are here" in page and "<td>function</td><td>draw</td>" in page
    assert "<th>depth</th><th>loss</th><th>global_draws</th>" in page
    for depth in (1, 2):
        values = dataset.loss.sel(depth=depth).values.ravel()
        error = values.std(ddof=1) / 3**0.5
        assert f"<td>{depth}</td><td>{values.mean():.4g} ± {error:.2g} (3)</td>" in page
    power = dataset.power.values
    cells = ["power", "3 ky, 4 kx", *(f"{f(power):.4g}" for f in (np.min, np.mean, np.max))]
    assert "".join(f"<td>{cell}</td>" for cell in cells) in page
    assert "<img" not in page


def test_report_of_own_runs_without_seeds_of_which_some_failed(succeed, tmp_path):
    save_own(tmp_path, fail_at, {"index": [1, 2, 3]})
    succeed("report", tmp_path / "own.nc")
    page = (tmp_path / "own.report/report.html").read_text()
    assert "1 of 3 runs are missing, 1 of which failed" in page
    assert "<td>2</td><td>failed: ZeroDivisionError: no run 2</td>" in page
    for row in ("<td>1</td><td>1</td>", "<td>2</td><td>none</td>", "<td>3</td><td>9</td>"):
        assert f"<tr>{row}</tr>" in page
    assert "seeds" not in page


def test_report_of_other_runs_of_the_library(succeed, tmp_path):
    config = tmp_path / "exact.yaml"
    config.write_text(
        "run: solve_and_measure\ngrid: {data: gaussian_field:2, weight_decay: 0, depth: 1, "
        "size: 8, n_train: 20, n_test: 50, seed: [0, 1]}"
    )
    succeed("sweep", config)
    succeed("report", config.with_suffix(".nc"))
    page = (tmp_path / "exact.report/report.html").read_text()
    assert "<th>silent</th><th>accuracy</th>" in page and "<td>sensitivity</td><td>5 ring" in page
