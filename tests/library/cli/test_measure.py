"""Networks and pictures that the library has never seen: measured, compared, or refused."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from terminal import SIDE, python, write_pictures
from tolerances import SIGMAS

from freqsense import datasets, sensitivity
from freqsense.__main__ import _parser, main
from freqsense.checkpoints import Network, open_network
from freqsense.images import gaussian_field
from freqsense.sensitivity import SensitivityMap, measure_sensitivity

FILES = ["map.npz", "map.png", "profile.csv", "profile.png", "summary.json"]
MAKE = ["--model", "their_networks:make"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A folder to type commands in."""
    monkeypatch.chdir(tmp_path)


def written(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def read_rows(path):
    return list(csv.DictReader(Path(path).read_text().splitlines()))


def test_measure_a_network_never_seen(own, pictures, succeed):
    folder, model = own
    argv = [*MAKE, "--output", "out", "--mean", "0.5", "--std", "0.25"]
    said = succeed("measure", folder / "weights.pt", pictures, *argv, "--device", "cpu")
    stack, _ = datasets.image_folder(pictures).load()
    expected = measure_sensitivity(model, (stack - 0.5) / 0.25)
    found = SensitivityMap.load("out/map.npz")
    torch.testing.assert_close(found.values, expected.values, rtol=1e-5, atol=0)
    summary = json.loads(Path("out/summary.json").read_text())
    assert summary["n_images"] == 40 and summary["shape"] == [3, SIDE, SIDE]
    line = sensitivity.slope(expected.norm().radial(), 2, 8)
    assert summary["sensitivity_slope"]["slope"] == pytest.approx(line.slope, abs=1e-4)
    assert f"slope {line.slope:.3f} +/- {line.stderr:.3f} over 2 to 8" in said
    assert said.isascii() and "minus 0.5, divided by 0.25" in said and "exactly" in said
    assert summary["model"].endswith("weights.pt") and summary["images"] == str(pictures)
    assert {"versions", "date", "seed", "n_probes", "notes"} <= set(summary)


def test_what_measure_writes(own, pictures, succeed):
    succeed("measure", own[0] / "weights.pt", pictures, *MAKE, "--untrained", "2")
    assert written("measurement") == FILES
    for name in ("map.png", "profile.png"):
        with Image.open(f"measurement/{name}") as picture:
            assert picture.size[0] > 600 and len(picture.getcolors(1 << 20)) > 100
    rows = read_rows("measurement/profile.csv")
    profile = SensitivityMap.load("measurement/map.npz").norm().radial()
    for column, values in (("sensitivity", profile.mean[0]), ("count", profile.count)):
        assert [float(row[column]) for row in rows] == values.tolist()
    assert float(rows[4]["cycles_per_pixel"]) == float(rows[4]["cycles_per_image"]) / SIDE
    twins = [float(rows[4][name]) for name in ("untrained_0", "untrained_1")]
    assert float(rows[4]["untrained"]) == pytest.approx(sum(twins) / 2)
    assert {"n_images": "40", "seed": "0", "name": "weights"}.items() <= rows[4].items()


def test_pictures_and_network_are_both_amplitudes(own, pictures, succeed):
    said = succeed("measure", own[0] / "weights.pt", pictures, *MAKE)
    summary = json.loads(Path("measurement/summary.json").read_text())
    line, law = summary["pictures_slope"], summary["power_law"]
    assert abs(line["slope"] + 1) < SIGMAS * line["stderr"] < 1  # of power that falls as f^-2
    assert line["slope"] == -law["alpha"] / 2
    assert f"pictures: slope of their amplitude {line['slope']:.3f}" in said


def test_the_pictures_slope_follows_the_pictures(own, succeed):
    Path("white").mkdir()
    write_pictures(Path("white"), gaussian_field(40, shape=(SIDE, SIDE), alpha=0.0))
    succeed("measure", own[0] / "weights.pt", "white", *MAKE, "--method", "probe")
    line = json.loads(Path("measurement/summary.json").read_text())["pictures_slope"]
    assert abs(line["slope"]) < SIGMAS * line["stderr"] < 1


def test_untrained_networks_beside_the_trained_one(own, pictures, succeed):
    path = own[0] / "weights.pt"
    said = succeed("measure", path, pictures, *MAKE, "--untrained", "2", "--seed", "3")
    twin = open_network(path, model="their_networks:make", sides=(SIDE, SIDE)).untrained(3)
    stack, _ = datasets.image_folder(pictures).load()
    expected = measure_sensitivity(twin, stack).norm().radial().mean[0]
    found = [float(row["untrained_0"]) for row in read_rows("measurement/profile.csv")]
    torch.testing.assert_close(torch.tensor(found).double(), expected, rtol=1e-4, atol=0)
    summary = json.loads(Path("measurement/summary.json").read_text())
    change = summary["trained_minus_untrained"]
    difference = summary["sensitivity_slope"]["slope"] - summary["untrained_slope"]["slope"]
    assert change["slope"] == pytest.approx(difference) and change["stderr"] > 0
    assert f"trained minus untrained: {change['slope']:.3f} +/- {change['stderr']:.3f}" in said


def test_luminance_for_a_network_of_one_channel(own, pictures, succeed):
    from their_networks import make_grey

    torch.save(make_grey().state_dict(), "grey.pt")
    succeed("measure", "grey.pt", pictures, "--model", "their_networks:make_grey")
    assert SensitivityMap.load("measurement/map.npz").values.shape == (1, SIDE, SIDE)


def test_a_network_that_is_trained_already_needs_no_file(own, pictures, succeed, fail):
    succeed("measure", pictures, *MAKE)
    summary = json.loads(Path("measurement/summary.json").read_text())
    assert summary["model"] == summary["name"] == "their_networks:make"
    assert "give MODEL, or --model, or both" in fail("measure", pictures)
    said = fail("measure", own[0] / "weights.pt", *MAKE)
    assert said == f"error: IMAGES_FOLDER must be a folder of pictures, got {own[0]}/weights.pt"
    assert "[MODEL] IMAGES_FOLDER, got a b c" in fail("measure", "a", "b", "c")


def test_options_may_stand_between_files(own, pictures, succeed):
    succeed("measure", own[0] / "weights.pt", *MAKE, pictures, "--output", "out")
    assert written("out") == FILES


@pytest.mark.parametrize("text", ["-0.001", "-1e-3", "-1.5E-2", "-.5", "-3.", "-2e+1"])
def test_negative_numbers_are_numbers(text):
    for argv in ([text, "0", text], [text]):
        found = _parser().parse_args(["measure", "a.pt", "b", "--mean", *argv, "--size", "8"])
        assert found.mean == [float(value) for value in argv] and found.size == 8
    assert _parser().parse_args(["measure", "a", "b", f"--mean={text}"]).mean == [float(text)]


def test_pictures_that_do_not_fit(own, checkpoint, tmp_path, fail, succeed):
    rng, weights = np.random.default_rng(0), own[0] / "weights.pt"
    Path("odd").mkdir()
    for index, side in enumerate((24, 24, 30)):
        pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"odd/{index}.png")
    said = fail("measure", checkpoint, "odd")
    assert "must be of one size" in said and "the network needs 16 x 16 pixels, --size 16" in said
    Path("odd/2.png").unlink()
    said = fail("measure", checkpoint, "odd")
    assert "pictures are 24 x 24 pixels; the network needs 16 x 16 pixels, --size 16" in said
    said = fail("measure", weights, "odd", *MAKE)
    assert "(3, 24, 24)" in said and "--size N" in said
    succeed("measure", checkpoint, "odd", "--size", "16")  # what was advised helps
    assert "a folder of pictures, got nowhere" in fail("measure", checkpoint, "nowhere")
    said = fail("measure", weights, "odd", "--size", "4", *MAKE)
    assert "at least 8 pixels a side" in said


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--method", "guess"], "method must be one of exact, probe, auto, got 'guess'"),
        (["--std", "0"], "std must be finite and positive, got [0.0]"),
        (["--mean", "0", "1"], "mean takes 1 or 3 values, got 2"),
        (["--batch-size", "0"], "batch_size must be at least 1, got 0"),
        (["--fmax", "9"], "0 < fmin < fmax <= 8 cycles/image, got fmin=2 and fmax=9.0"),
        (["--until", "0"], "until must be positive"),
        (["--untrained", "-1"], "n_untrained must be at least 0, got -1"),
        (["--device", "warp"], "--device must be one that is here"),
    ],
)
def test_options_out_of_range(checkpoint, pictures, fail, argv, said):
    assert said in fail("measure", checkpoint, pictures, *argv)
    assert written(".") == []


# Files: nothing overwritten, nothing beside what is older


def test_nothing_is_overwritten_unless_told(own, pictures, succeed, fail):
    argv = ["measure", own[0] / "weights.pt", pictures, *MAKE]
    succeed(*argv)
    assert "written: measurement-2/" in succeed(*argv)
    before = Path("measurement/summary.json").read_bytes()
    said = fail(*argv, "--output", "measurement", "--fmin", "3")
    assert "measurement holds map.npz" in said and "--force" in said
    assert Path("measurement/summary.json").read_bytes() == before
    succeed(*argv, "--output", "measurement", "--fmin", "3", "--force")
    assert json.loads(Path("measurement/summary.json").read_text())["power_law"]["fmin"] == 3


def test_a_measurement_that_fails_leaves_what_was_there(own, pictures, succeed, fail, monkeypatch):
    argv = ["measure", own[0] / "weights.pt", pictures, *MAKE, "--output"]
    succeed(*argv, "old")
    before = {name: Path("old", name).read_bytes() for name in written("old")}

    def fail_to_draw(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr("freqsense.plotting.plot_measurements", fail_to_draw)
    for folder in ("old", "new"):
        assert fail(*argv, folder, "--force") == "error: no space left on device"
    assert {name: Path("old", name).read_bytes() for name in written("old")} == before
    assert written(".") == ["old"]


def test_what_is_no_file_is_not_replaced(own, pictures, fail):
    argv = ["measure", own[0] / "weights.pt", pictures, *MAKE, "--force", "--output"]
    Path("out").mkdir()
    os.mkfifo("out/map.npz")
    assert "map.npz, a FIFO" in fail(*argv, "out")
    Path("out/map.npz").unlink()
    Path("kept").write_text("kept")
    Path("out/profile.csv").symlink_to(Path("kept").absolute())
    assert "profile.csv, a link" in fail(*argv, "out")
    assert Path("kept").read_text() == "kept" and Path("out/profile.csv").is_symlink()
    assert "--output must be a folder, new or not, got kept" in fail(*argv, "kept")
    assert "new or not, got" in fail(*argv, "kept/inside")
    Path("dangling").symlink_to("nowhere")
    assert "new or not, got dangling" in fail(*argv, "dangling")


# Pictures


def draw(folder, names, side=SIDE):
    Path(folder).mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for name in names:
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(
            Path(folder, name)
        )


def test_a_blank_picture_is_named_and_does_not_cost_the_run(own, succeed):
    draw("some", ["a.png", "b.png", "c.png"])
    Image.new("RGB", (SIDE, SIDE), "gray").save("some/blank.png")
    said = succeed("measure", own[0] / "weights.pt", "some", *MAKE)
    [note] = [line for line in said.splitlines() if "blank.png" in line]
    assert note.startswith("note: of one colour") and "4 pictures of some" in said
    Path("blank").mkdir()
    Path("some/blank.png").rename("blank/1.png")
    said = succeed("measure", own[0] / "weights.pt", "blank", *MAKE)
    assert "pictures: slope" not in said and "sensitivity: slope" in said


def test_files_that_are_no_pictures(own, succeed, capsys):
    draw("some", ["a.png", "b.png"])
    Path("some/notes.txt").write_text("notes")
    Path("some/broken.png").write_bytes(b"\x89PNG\r\n")
    argv = ["measure", own[0] / "weights.pt", "some", *MAKE]
    assert main([str(word) for word in argv]) == 2
    lines = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    for name in ("notes.txt", "broken.png"):  # one message a line
        assert sum(name in line for line in lines) == 1
    assert "2 pictures of some" in succeed(*argv, "--skip-others")


def test_what_ends_early_sees_every_class(own, pictures, succeed):
    """Pictures lie in a folder class by class; a sample of the first ones must not."""
    grey, noisy = Path("both/a-grey"), Path("both/b-noisy")
    grey.mkdir(parents=True)
    for index in range(100):
        Image.new("RGB", (SIDE, SIDE), (index, index, 0)).save(grey / f"{index}.png")
    draw(noisy, [f"{index}.png" for index in range(100)])
    argv = ["--until", "0.5", "--batch-size", "10"]
    said = succeed("measure", own[0] / "weights.pt", "both", *MAKE, *argv)
    assert "10 pictures of both" in said and "pictures: slope" in said


def test_what_is_warned_of_is_kept(own, succeed):
    draw("some", ["a.png", "b.png"])
    Image.effect_noise((SIDE, SIDE), 50).convert("RGB").save("some/grey.png")
    succeed("measure", own[0] / "weights.pt", "some", *MAKE, "--until", "0.001")
    grey, ran_out = json.loads(Path("measurement/summary.json").read_text())["warned"]
    assert "grey.png" in grey and "ran out" in ran_out


# Networks


@pytest.fixture
def networks(tmp_path, monkeypatch):
    """A module of the user's, in the folder that they type commands in."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text):
        Path("nets_of_mine.py").write_text(f"import torch\nfrom torch import nn\n{text}")
        sys.modules.pop("nets_of_mine", None)

    return write


def test_one_of_several_outputs(networks, pictures, succeed, fail):
    networks(
        "class Two(nn.Module):\n"
        "    def forward(self, x):\n"
        "        return {'first': x.mean((2, 3)), 'second': x[:, :, 0, :]. mean(1)}\n"
    )
    argv = ["measure", pictures, "--model", "nets_of_mine:Two", "--channels", "3"]
    said = fail(*argv)
    assert "'first'" in said and "output_key" in said
    succeed(*argv, "--output-key", "second")
    summary = json.loads(Path("measurement/summary.json").read_text())
    assert summary["output_key"] == "second"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise RuntimeError('two\\nlines')", "two lines; --size N"),
        ("if len(x) > 4: raise RuntimeError('two\\nlines')", "fails: two lines; --size N"),
        ("if len(x) > 4: raise MemoryError", "fails: MemoryError; --batch-size N takes less"),
        ("return x.mean((2, 3)) * 0", "must respond to a frequency"),
        ("return x.mean((2, 3)).detach()", "must depend on the images"),
    ],
)
def test_networks_that_cannot_be_measured(networks, pictures, fail, body, said):
    lines = ["class Bad(nn.Module):", "    def forward(self, x):", f"        {body}"]
    networks("\n".join([*lines, "        return x.mean((2, 3))"]))
    argv = ["measure", pictures, "--model", "nets_of_mine:Bad", "--channels", "3"]
    assert said in fail(*argv)
    assert written(".") == ["nets_of_mine.py"] or "__pycache__" in written(".")


def test_a_wrong_network_is_told_before_pictures_are_read(own, fail, monkeypatch):
    monkeypatch.setattr(datasets, "image_folder", None)
    Path("many").mkdir()
    assert "their_networks:nobody" in fail("measure", "many", "--model", "their_networks:nobody")


def test_a_network_without_an_untrained_twin_is_told_so(networks, pictures, fail):
    networks(
        "class Own(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.weight = nn.Parameter(torch.rand(3))\n"
        "    def forward(self, x):\n"
        "        return x.mean((2, 3)) * self.weight + x[..., 0, :].mean(1)[:, :3]\n"
    )
    said = fail("measure", pictures, "--model", "nets_of_mine:Own", "--untrained", "1")
    assert "reset_parameters" in said


def test_the_console_script_finds_modules_where_it_is_called(own, pictures):
    script = Path(sys.executable).with_name("freqsense")
    argv = [script, "measure", str(pictures), *MAKE]
    done = subprocess.run(argv, cwd=own[0], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


# Terminals


@pytest.mark.parametrize("failing", [False, True])
def test_what_a_terminal_cannot_encode_costs_nothing(own, pictures, monkeypatch, failing):
    name = "messung-\u5199\u771f"
    streams = {n: io.TextIOWrapper(io.BytesIO(), "cp1252") for n in ("stdout", "stderr")}
    with monkeypatch.context() as patch:
        for stream, wrapper in streams.items():
            patch.setattr(sys, stream, wrapper)
        argv = ["measure", own[0] / "weights.pt", name if failing else pictures, *MAKE]
        assert main([str(word) for word in [*argv, "--output", name]]) == (2 if failing else 0)
    said = {}
    for stream, wrapper in streams.items():
        assert wrapper.errors == "strict"  # as it was
        wrapper.flush()
        said[stream] = wrapper.buffer.getvalue().decode("cp1252")
    assert "messung-\\u5199\\u771f" in said["stderr" if failing else "stdout"]
    assert Path(name).exists() is not failing


def test_a_bar_moves_while_a_network_is_measured(own, pictures):
    code = f"import sys; sys.path.insert(0, {str(own[0])!r}); from freqsense.__main__ import main\n"
    code += f"main(['measure', {str(pictures)!r}, '--model', 'their_networks:make'])"
    done = python("-c", code)
    assert done.returncode == 0 and "200/200" in done.stderr  # 40 pictures, 5 outputs


# Comparison


@pytest.fixture
def epochs(own, pictures):
    """Weights of two epochs, of one name in two folders, and a measurement of a third."""
    weights = torch.load(own[0] / "weights.pt")
    for epoch in (1, 2, 3):
        Path(f"epoch-{epoch}").mkdir()
        torch.save(
            {n: w * (1 + epoch * (w.ndim > 2)) for n, w in weights.items()}, f"epoch-{epoch}/net.pt"
        )
    assert main(["measure", "epoch-3/net.pt", str(pictures), *MAKE, "--output", "third"]) == 0
    return ["epoch-1/net.pt", "epoch-2/net.pt", "third"]


def test_compare_networks_of_files_and_of_measurements(epochs, pictures, succeed, capsys):
    capsys.readouterr()
    said = succeed("compare", *epochs, pictures, *MAKE)
    assert written("comparison") == ["compare.csv", "compare.png", "profiles.csv", "summary.json"]
    rows = read_rows("comparison/compare.csv")
    assert [row["name"] for row in rows] == epochs  # of one name, so told apart by their folders
    third = json.loads(Path("third/summary.json").read_text())["sensitivity_slope"]
    assert float(rows[2]["slope"]) == pytest.approx(third["slope"])
    difference = float(rows[2]["slope"]) - float(rows[0]["slope"])
    assert float(rows[2]["minus_first"]) == pytest.approx(difference)
    lines = said.splitlines()
    assert lines[0].split()[:3] == ["network", "pictures", "slope"]
    assert f"{third['slope']:.3f} +/- {third['stderr']:.3f}" in lines[3]
    assert said.isascii() and "not measured alike" not in said
    curves = read_rows("comparison/profiles.csv")
    assert {row["name"] for row in curves} == set(epochs) and len(curves) == 3 * 9
    with Image.open("comparison/compare.png") as picture:
        assert len(picture.getcolors(1 << 20)) > 100


def test_what_was_measured_needs_no_pictures(epochs, succeed, pictures):
    succeed("measure", "epoch-1/net.pt", pictures, *MAKE, "--seed", "1", "--output", "first")
    said = succeed("compare", "first", "third/map.npz", "--per-pixel")
    assert said.splitlines()[1].startswith("first ")
    assert said.splitlines()[2].startswith("third ")
    assert "warning: the networks were not measured alike: seed 1, 0" in said
    assert json.loads(Path("comparison/summary.json").read_text())["warnings"]


def test_several_functions_that_make_networks(own, pictures, succeed, fail):
    said = succeed("compare", "their_networks:make", "their_networks:make_grey", pictures)
    assert "their_networks:make_grey" in said
    said = fail("compare", "their_networks:make", pictures, *MAKE)
    assert "--model is for weights" in said


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["third", "third"], "a name of its own, got ['third'] twice"),
        (["epoch-1/net.pt"], "epoch-1/net.pt must be measured on pictures: give IMAGES_FOLDER"),
        (["third", "nowhere.pt", "PICTURES"], "must be a file, got nowhere.pt"),
        (
            ["epoch-1", "third", "PICTURES"],
            "epoch-1 must be a file of a network, got a folder without map.npz",
        ),
        (["PICTURES"], "at least one, got none"),
        (["broken.npz"], "broken.npz is no saved SensitivityMap"),
        (["nowhere.npz"], "must be a file, got nowhere.npz"),
    ],
)
def test_what_cannot_be_compared(epochs, pictures, fail, argv, said, capsys):
    Path("broken.npz").write_bytes(b"PK")
    capsys.readouterr()
    argv = [pictures if word == "PICTURES" else word for word in argv]
    assert said in fail("compare", *argv, *MAKE)
    assert not Path("comparison").exists()


def test_a_summary_that_is_none_is_named(epochs, fail, capsys):
    capsys.readouterr()
    Path("third/summary.json").write_text("{")
    assert "third/summary.json must be JSON" in fail("compare", "third")
    Path("third/summary.json").write_text("[]")
    assert "third/summary.json must hold names and values, got list" in fail("compare", "third")


def test_the_command_is_the_library(own, pictures, succeed):
    from freqsense.measurement import measure_network

    succeed("measure", own[0] / "weights.pt", pictures, *MAKE)
    found = measure_network(Network(own[1], 3), datasets.image_folder(pictures)).summary
    summary = json.loads(Path("measurement/summary.json").read_text())
    assert found["peak"] == summary["peak"]
    for name in ("sensitivity_slope", "pictures_slope"):
        assert found[name]["slope"] == pytest.approx(summary[name]["slope"], abs=1e-4)
