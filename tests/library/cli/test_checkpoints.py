"""Checkpoints and weights, as commands write and open them."""

import json

import pytest
import torch
from terminal import SIDE
from tolerances import ATOL

from freqsense import checkpoints, datasets, experiments, images, models
from freqsense.cli import checkpoints as former
from freqsense.sensitivity import SensitivityMap, measure_sensitivity


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
    content = torch.load(checkpoint, weights_only=True)
    task = experiments.load_task("photographs", size=16, n_train=100, n_test=50, seed=4)
    raw = images.photo_patches("train", n_per_class=13, size=16, seed=4)[0][:100]
    ours = (raw - torch.tensor(content["mean"])[:, None, None]) / content["std"][0]
    torch.testing.assert_close(ours, task.images, atol=ATOL[torch.float32], rtol=0)
    assert (raw - task.images).abs().max() > 0.1  # which is not nothing


def test_measure_a_checkpoint_with_its_own_normalisation(checkpoint, pictures, tmp_path, succeed):
    out = tmp_path / "out"
    succeed("measure", checkpoint, pictures, "--output", out)
    content = torch.load(checkpoint, weights_only=True)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["mean"] == pytest.approx(content["mean"])
    assert summary["std"] == pytest.approx(content["std"])
    succeed("measure", checkpoint, pictures, "--output", out, "--std", "1", "--force")
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
    assert "damaged or of another kind" in fail("measure", path, pictures, "--trust")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("their_networks", "must be PACKAGE.MODULE:FUNCTION or"),
        ("no_such_module:make", "ModuleNotFoundError"),
        ("their_networks:make_nothing", "must return a torch.nn.Module, got int"),
    ],
)
def test_factories_that_fail(own, pictures, fail, spec, said):
    assert said in fail("measure", own[0] / "weights.pt", pictures, "--model", spec)


def test_the_former_place_holds_the_same():
    assert all(getattr(former, name) is getattr(checkpoints, name) for name in former.__all__)
