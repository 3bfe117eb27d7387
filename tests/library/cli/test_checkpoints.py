"""Files of weights: what is read, and what is refused before it runs."""

import json
import os
import pickle
from contextlib import suppress

import pytest
import torch
from terminal import SIDE
from tolerances import ATOL

from freqsense import datasets, experiments, images, models
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
