"""The command line, on networks and pictures that the library has never seen."""

import base64
import io
import json
import os
import pickle
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray
from draws import noise
from PIL import Image
from tolerances import ATOL, SIGMAS

import freqsense
from freqsense import _commands, datasets, models, sensitivity
from freqsense.__main__ import main
from freqsense.fourier import fft2, radial_average
from freqsense.images import gaussian_field
from freqsense.sensitivity import SensitivityMap, measure_sensitivity

SIDE = 16

# A user's own module: what a file of theirs would hold.
OWN_MODULE = """
from torch import nn

def make():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 16 * 16, 5)
    )

def make_grey():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 14 * 14, 2))

def make_nothing():
    return 3
"""


@pytest.fixture
def fail(capsys):
    """Run a command that must fail, without a traceback, and return its one line."""

    def run(*argv):
        assert main([str(argument) for argument in argv]) == 2
        captured = capsys.readouterr()
        bars, error, said = captured.err.partition("error: ")
        assert error and said.count("\n") == 1 and captured.out == ""
        assert all("it/s" in line for line in bars.splitlines() if line.strip()), bars
        return error + said.rstrip()

    return run


@pytest.fixture
def succeed(capsys):
    def run(*argv):
        code = main([str(argument) for argument in argv])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        return captured.out

    return run


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Forty pictures whose power falls as f^-2, in two subfolders."""
    folder = tmp_path_factory.mktemp("pictures")
    write_pictures(folder, gaussian_field(40, shape=(SIDE, SIDE), alpha=2.0), n_classes=2)
    return folder


def write_pictures(folder, fields, n_classes=1):
    pixels = (fields[:, 0] * 25 + 128).clamp(0, 255).round().byte().numpy()
    for index, picture in enumerate(pixels):
        place = folder / f"class_{index % n_classes}"
        place.mkdir(exist_ok=True)
        Image.fromarray(picture).convert("RGB").save(place / f"{index:03}.png")


@pytest.fixture(scope="session")
def own(tmp_path_factory):
    """A module of the user's, and a file of the weights of its network."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "their_networks.py").write_text(OWN_MODULE)
    sys.path.insert(0, str(folder))
    from their_networks import make

    torch.manual_seed(3)
    model = make().eval()
    torch.save(model.state_dict(), folder / "weights.pt")
    yield folder, model
    sys.path.remove(str(folder))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "network.pt"
    small = ["--size", "16", "--n-train", "100", "--n-test", "50", "--epochs", "2", "--seed", "4"]
    argv = ["train", "--architecture", "conv_actually-2", "--data", "photographs", "--width", "3"]
    assert main([*argv, *small, "--weight-decay", "0.01", "--output", str(path)]) == 0
    return path


# The commands as a whole


def python(*argv, cwd=None):
    command = [sys.executable, *map(str, argv)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)


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
        (
            ["measure", "a.pt", "b", "--architecture", "vgg-11", "--model", "a:b"],
            "not allowed with",
        ),
        (["download", "cifar-10"], "got 'cifar-10'; did you mean 'cifar10'?"),
        (["report", "nowhere.nc"], "RESULT must be a file, got nowhere.nc"),
        (["sweep", "nowhere.yaml"], "nowhere.yaml"),
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


# Training


def test_a_checkpoint_says_all_that_rebuilds_the_network(checkpoint):
    content = torch.load(checkpoint, weights_only=True)
    assert content["architecture"] == "conv_actually-2" and content["shape"] == (3, 16, 16)
    assert content["training"]["data"] == "photographs" and content["training"]["epochs"] == 2
    own = {name: content[name] for name in ("width", "shape", "n_outputs", "seed")}
    model = models.build(content["architecture"], **own)
    start = model.state_dict()["head.weight"].clone()
    model.load_state_dict(content["state_dict"])
    assert not torch.equal(start, model.state_dict()["head.weight"])  # it has been trained
    assert len(content["mean"]) == 3 and len(content["std"]) == 1


def test_the_normalisation_is_that_of_the_task(checkpoint):
    from freqsense import experiments, images

    content = torch.load(checkpoint, weights_only=True)
    task = experiments.load_task("photographs", size=16, n_train=100, n_test=50, seed=4)
    raw = images.photo_patches("train", n_per_class=13, size=16, seed=4)[0][:100]
    ours = (raw - torch.tensor(content["mean"])[:, None, None]) / content["std"][0]
    torch.testing.assert_close(ours, task.images, atol=ATOL[torch.float32], rtol=0)
    assert (raw - task.images).abs().max() > 0.1  # which is not nothing


def test_training_fails_before_it_starts_or_leaves_no_file(fail, tmp_path):
    argv = ["train", "--data", "photographs", "--size", "16", "--n-train", "50", "--n-test", "20"]
    path = tmp_path / "a.pt"
    named = [*argv, "--output", path, "--architecture"]
    assert "did you mean 'resnet-20'" in fail(*named, "resnet20")
    nowhere = tmp_path / "nowhere/a.pt"
    argv_nowhere = [*argv, "--architecture", "resnet-20", "--output", nowhere]
    assert f"a folder that exists, got {nowhere}" in fail(*argv_nowhere)
    assert "--device must be one that is here" in fail(*named, "vgg-11", "--device", "warp")
    assert "epoch" in fail(*named, "conv_actually-2", "--optimizer", "sgd", "--lr", "1e30")
    assert list(tmp_path.iterdir()) == []


# Measurement


def test_measure_a_network_never_seen(own, pictures, tmp_path, succeed):
    folder, model = own
    out = tmp_path / "out"
    argv = ["--model", "their_networks:make", "--output", out, "--mean", "0.5", "--std", "0.25"]
    said = succeed("measure", folder / "weights.pt", pictures, *argv, "--device", "cpu")
    stack, _ = datasets.image_folder(pictures).load()
    expected = measure_sensitivity(model, (stack - 0.5) / 0.25)
    found = SensitivityMap.load(out / "map.npz")
    torch.testing.assert_close(found.values, expected.values, rtol=1e-5, atol=0)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["n_images"] == 40 and summary["shape"] == [3, SIDE, SIDE]
    profile = sensitivity.radial_average(expected.values.square().sum(0).sqrt())
    line = sensitivity.slope(profile, 2, 8)
    assert summary["sensitivity_slope"]["slope"] == pytest.approx(line.slope, abs=1e-4)
    law = summary["power_law"]
    assert abs(law["alpha"] - 2) < SIGMAS * law["alpha_stderr"] < 1
    assert f"slope {line.slope:.3f} +/- {line.stderr:.3f}" in said and "exponent alpha " in said
    assert said.isascii() and "minus 0.5, divided by 0.25" in said
    with Image.open(out / "profile.png") as picture:
        assert picture.size[0] > 800 and len(picture.getcolors(1 << 20)) > 100


def test_the_exponent_follows_the_pictures(own, tmp_path, succeed):
    white = tmp_path / "white"
    white.mkdir()
    write_pictures(white, gaussian_field(40, shape=(SIDE, SIDE), alpha=0.0))
    folder, _ = own
    argv = ["--model", "their_networks:make", "--output", tmp_path / "out", "--method", "probe"]
    succeed("measure", folder / "weights.pt", white, *argv)
    law = json.loads((tmp_path / "out/summary.json").read_text())["power_law"]
    assert abs(law["alpha"]) < SIGMAS * law["alpha_stderr"] < 1


def test_luminance_for_a_network_of_one_channel(own, pictures, tmp_path, succeed):
    from their_networks import make_grey

    torch.save(make_grey().state_dict(), tmp_path / "grey.pt")
    argv = ["--model", "their_networks:make_grey", "--output", tmp_path / "out"]
    succeed("measure", tmp_path / "grey.pt", pictures, *argv)
    assert SensitivityMap.load(tmp_path / "out/map.npz").values.shape == (1, SIDE, SIDE)


def test_measure_a_checkpoint_with_its_own_normalisation(checkpoint, pictures, tmp_path, succeed):
    out = tmp_path / "out"
    succeed("measure", checkpoint, pictures, "--output", out)
    content = torch.load(checkpoint, weights_only=True)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["mean"] == pytest.approx(content["mean"])
    assert summary["std"] == pytest.approx(content["std"])
    succeed("measure", checkpoint, pictures, "--output", out, "--std", "1")
    assert json.loads((out / "summary.json").read_text())["std"] == [1.0]


def test_measure_a_state_dict_of_a_known_architecture(pictures, tmp_path, succeed, fail):
    model = models.build("conv_actually-2", width=3, shape=(3, SIDE, SIDE), n_outputs=7, seed=5)
    path, out = tmp_path / "weights.pt", tmp_path / "out"
    torch.save(model.state_dict(), path)
    named = ["--architecture", "conv_actually-2", "--width"]
    succeed("measure", path, pictures, *named, "3", "--output", out)
    stack, _ = datasets.image_folder(pictures).load()
    found = SensitivityMap.load(out / "map.npz").values
    torch.testing.assert_close(found, measure_sensitivity(model, stack).values)
    assert "give --architecture NAME --width N, or --model" in fail("measure", path, pictures)
    said = fail("measure", path, pictures, *named, "4")
    assert "features.0.weight has shape (3, 3, 16, 16), not (4, 3, 16, 16)" in said
    said = fail("measure", path, pictures, *named, "3", "--size", "8")
    assert "head.weight has shape (7, 768), not (7, 192)" in said and "--size N" in said
    said = fail("measure", path, pictures, "--architecture", "myrtle_cnn", "--width", "3")
    assert "features.2.weight is missing" in said


def test_measure_an_exported_program_if_it_is_trusted(own, pictures, tmp_path, succeed, fail):
    _, model = own
    path, out = tmp_path / "network.pt2", tmp_path / "out"
    # Of a fixed batch of 16, which does not divide the 40 pictures.
    torch.export.save(torch.export.export(model, (torch.zeros(16, 3, SIDE, SIDE),)), path)
    assert "PyTorch may run code that is in such a file: give --trust" in fail(
        "measure", path, pictures, "--output", out
    )
    assert not out.exists()
    succeed("measure", path, pictures, "--output", out, "--trust")
    stack, _ = datasets.image_folder(pictures).load()
    found = SensitivityMap.load(out / "map.npz").values
    torch.testing.assert_close(found, measure_sensitivity(model, stack).values, rtol=1e-5, atol=0)
    said = fail("measure", path, pictures, "--trust", "--size", "8")
    assert "8 x 8 pixels; the network needs 16 x 16 pixels" in said
    said = fail("measure", path, pictures, "--trust", "--width", "3")
    assert "tells its network itself: leave out --width" in said
    path.write_bytes(b"no program")
    assert "must be what torch.export.save wrote" in fail("measure", path, pictures, "--trust")


class Intruder:
    """Unpickles to a call that makes a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (os.mkdir, (self.path,))


@pytest.mark.parametrize(
    ("write", "asked"),
    [
        (torch.save, ".mkdir, which is refused"),
        (lambda x, path: path.write_bytes(pickle.dumps(x)), "may run code, which is refused"),
    ],
)
def test_a_pickle_that_runs_code_is_refused(own, pictures, tmp_path, fail, write, asked):
    path, made = tmp_path / "evil.pt", tmp_path / "made"
    write({"weight": Intruder(made)}, path)
    said = fail("measure", path, pictures, "--model", "their_networks:make")
    assert "got a pickle that" in said and said.endswith(asked)
    assert not made.exists()
    with suppress(RuntimeError):  # a pickle by itself is run before it is found to be no archive
        torch.load(path, weights_only=False)
    assert made.exists()  # the pickle does what it was feared to do


def test_files_that_are_no_checkpoints(own, checkpoint, pictures, tmp_path, fail):
    def said_of(content):
        path = tmp_path / "file.pt"
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
        return fail("measure", path, pictures, "--model", "their_networks:make")

    weights = own[1].state_dict()
    whole = torch.load(checkpoint, weights_only=True)
    assert "damaged or of another kind" in said_of(b"")
    assert "damaged or of another kind" in said_of(checkpoint.read_bytes()[:500])
    assert "asks to run" in said_of(own[1])  # a whole pickled module
    assert "got Tensor" in said_of(torch.zeros(3))
    assert "got int for 'epoch'" in said_of({"epoch": 3} | weights)
    assert "0.bias is missing" in said_of({k: v for k, v in weights.items() if k != "0.bias"})
    assert "0.scale is unexpected" in said_of(weights | {"0.scale": torch.zeros(4)})
    assert "leave out --model" in said_of(whole)
    assert "lacks width" in said_of({k: v for k, v in whole.items() if k != "width"})
    assert "width of" in said_of(whole | {"width": "wide"})
    assert "must be a file, got nowhere.pt" in fail("measure", "nowhere.pt", pictures)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("their_networks", "must be PACKAGE.MODULE:FUNCTION, got 'their_networks'"),
        ("no_such_module:make", "ModuleNotFoundError"),
        ("their_networks:mak", "AttributeError"),
        ("their_networks:make_nothing", "must return a torch.nn.Module, got int"),
    ],
)
def test_factories_that_fail(own, pictures, fail, spec, said):
    assert said in fail("measure", own[0] / "weights.pt", pictures, "--model", spec)


def test_pictures_that_do_not_fit(own, checkpoint, pictures, tmp_path, fail, succeed):
    rng = np.random.default_rng(0)
    for index, side in enumerate((24, 24, 30)):
        pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
    out = ["--output", tmp_path.parent / f"{tmp_path.name}-out"]
    said = fail("measure", checkpoint, tmp_path, *out)
    assert "must be of one size" in said and "the network needs 16 x 16 pixels, --size 16" in said
    (tmp_path / "2.png").unlink()
    said = fail("measure", checkpoint, tmp_path, *out)
    assert "pictures are 24 x 24 pixels; the network needs 16 x 16 pixels, --size 16" in said
    said = fail("measure", own[0] / "weights.pt", tmp_path, *out, "--model", "their_networks:make")
    assert "cannot be applied to images (3, 24, 24)" in said and "--size N" in said
    succeed("measure", checkpoint, tmp_path, *out, "--size", "16")  # what was advised helps
    nowhere = tmp_path / "nowhere"
    assert f"a folder of pictures, got {nowhere}" in fail("measure", checkpoint, nowhere)
    assert "at least 8 pixels a side" in fail(
        "measure", own[0] / "weights.pt", tmp_path, "--size", "4", "--model", "their_networks:make"
    )


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--method", "guess"], "method must be one of exact, probe, got 'guess'"),
        (["--std", "0"], "--std must be finite and positive, got [0.0]"),
        (["--mean", "0", "1"], "--mean takes 1 or 3 values, got 2"),
        (["--batch-size", "0"], "batch_size must be at least 1, got 0"),
    ],
)
def test_options_out_of_range(checkpoint, pictures, tmp_path, fail, argv, said):
    assert said in fail("measure", checkpoint, pictures, "--output", tmp_path / "out", *argv)


def test_errors_of_the_curves_that_are_drawn():
    # White noise of 3 channels: power 3 at every frequency, with a variance of 3.
    stacks = noise(3, 200, 3, SIDE, SIDE)
    powers = [radial_average(fft2(stack).abs().square().sum(1)) for stack in stacks]
    profile = _commands._mean_power(powers)
    assert ((profile.mean - 3).abs() < SIGMAS * profile.sem).all()
    # DC and Nyquist vary more. Of a sum of three exponentials the kurtosis is 2 at most.
    rings = slice(1, SIDE // 2)
    expected = (3 / (600 * profile.count[rings].double())).sqrt()
    scatter = SIGMAS * ((2 + 2) / (4 * 600)) ** 0.5
    torch.testing.assert_close(profile.sem[rings], expected, rtol=scatter, atol=0)
    # Of one channel it is the error over images; of three that err together, that of their norm.
    one = measure_sensitivity(lambda x: (x**2).mean((2, 3)), noise(20, 1, SIDE, SIDE))
    drawn, known = _commands._norm_over_channels(one), one.radial()[0]
    torch.testing.assert_close(drawn.sem, known.sem)
    parts = (one.values, one.stderr, one.ring_stderr)
    values, stderr, of_rings = (part.repeat(3, *[1] * (part.ndim - 1)) for part in parts)
    three = _commands._norm_over_channels(SensitivityMap(values, stderr, 20, of_rings))
    torch.testing.assert_close(three.sem, 3**0.5 * known.sem)


# Sweeps and reports

CONFIG = """
description: a tiny one
grid:
  architecture: [conv_actually-2, linear_cnn-2]
  data: ["gaussian_field:0", "gaussian_field:2"]
  weight_decay: [0.01]
  seed: [0, 1]
  width: 2
  size: 8
  n_train: 60
  n_test: 30
  epochs: 2
"""


@pytest.fixture(scope="session")
def swept(tmp_path_factory):
    """A sweep done by the command, in a process of its own."""
    config = tmp_path_factory.mktemp("sweep") / "tiny.yaml"
    config.write_text(CONFIG)
    done = python("-m", "freqsense", "sweep", config.name, cwd=config.parent)
    assert done.returncode == 0, done.stderr
    return config, done.stdout


def test_a_sweep_runs_once(swept, succeed, monkeypatch):
    config, said = swept
    assert "8 runs, 8 stored, 0 failed; in tiny.runs" in said and "written: tiny.nc" in said
    files = {path: path.stat().st_mtime_ns for path in (config.parent / "tiny.runs").iterdir()}
    assert len(files) == 8
    monkeypatch.setattr("freqsense.experiments._execute", None)  # any run would fail
    assert "8 runs, 8 stored, 0 failed" in succeed("sweep", config)
    assert files == {p: p.stat().st_mtime_ns for p in (config.parent / "tiny.runs").iterdir()}
    with xarray.open_dataset(config.with_suffix(".nc")) as dataset:
        assert dataset.sizes["data"] == 2 and dataset.sizes["width"] == 1
        assert bool(np.isfinite(dataset["sensitivity"]).all())


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("weight_decay:", "weight_decai:", "got 'weight_decai'; did you mean 'weight_decay'?"),
        ("description:", "descripton:", "got 'descripton'; did you mean 'description'?"),
        ("grid:", "gird:", "must hold `grid:`"),
        ("grid:", "run: train_and_mesure\ngrid:", "did you mean 'train_and_measure'?"),
        ("conv_actually-2", "conv_actualy-2", "did you mean 'conv_actually-2'?"),
        ('"gaussian_field:0"', "gausian_field:0", "did you mean 'gaussian_field'?"),
        ('"gaussian_field:0"', "gaussian_field", "takes 1 numbers after colons"),
        ("width: 2", "image_filter: none hi_pass:3", "did you mean 'high_pass'?"),
        ("  architecture", "  wave_norm: 8.0\n  architecture", "got 'wave_norm'"),
        ("grid:\n", "run: train_and_attack\ngrid:\n  labels: true\n", "got 'labels'"),
        ("width: 2", "regime: plane", "did you mean 'plain'?"),
        ("width: 2", "schedule: cosin", "did you mean 'cosine'?"),
        ("width: 2", "width: two", "width must be of type int, got 'two'"),
        ("width: 2", "augment: 1", "augment must be True or False, got 1"),
        ("[0.01]", "[1e-2]", "write 1.0e-3), got '1e-2'"),
        ("[0.01]", "[]", "axis weight_decay must be a list of values, not empty"),
        ("width: 2", "seed: 2", "got 'seed' twice"),
        ("  architecture: [conv_actually-2, linear_cnn-2]\n", "", "got none for architecture"),
        ("[0, 1]", "[0, 1", "must be YAML"),
    ],
)
def test_configurations_are_checked_before_any_run(tmp_path, fail, old, new, said):
    config = tmp_path / "c.yaml"
    config.write_text(CONFIG.replace(old, new))
    assert said in fail("sweep", config)
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]


def test_an_unreachable_scheduler_is_named(swept, fail, tmp_path, monkeypatch):
    monkeypatch.setattr("freqsense.experiments._CONNECT", 1)
    address = "tcp://127.0.0.1:9"
    said = fail("sweep", swept[0], "--scheduler", address, "--folder", tmp_path / "runs")
    assert f"must answer at {address} within" in said


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
