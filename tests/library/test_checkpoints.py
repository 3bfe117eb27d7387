"""Files of weights: what is read, what fits, and what is refused before it runs."""

import argparse
import hashlib
import io
import os
import pickle
import random
import struct
import sys
import zipfile
from contextlib import suppress

import numpy as np
import pytest
import torch
from torch import nn

from freqsense import checkpoints, models
from freqsense.checkpoints import load_weights, open_network, read_weights

SIDES = (8, 8)
OPTIMIZER = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1}]}
OURS = {"architecture": "conv_actually-2-3x3", "width": 4, "shape": (3, 16, 16), "n_outputs": 3}


def make_net():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(3)
    return make_net().eval()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.pt"


def build_ours(seed):
    description = dict(OURS)
    return models.build(description.pop("architecture"), **description, seed=seed)


def write_ours(path, seed=5, **changes):
    model = build_ours(seed)
    description = {**OURS, "seed": seed, "mean": [0.5], "std": [0.2], "freqsense": "0"}
    checkpoints.write_checkpoint(path, model, description | {"training": {}} | changes)
    return model


def assert_same_weights(model, other):
    expected = other.state_dict()
    assert model.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


def refusal(path, **told):
    with pytest.raises(ValueError) as caught:
        open_network(path, **({"model": make_net} | told))
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Prefixes and parts


@pytest.mark.parametrize(
    "prefix", ["module.", "model.", "_orig_mod.", "module._orig_mod.", "net.", "student.backbone."]
)
def test_a_prefix_of_all_names_is_stripped_and_said(net, path, prefix):
    torch.save({prefix + name: value for name, value in net.state_dict().items()}, path)
    network = open_network(path, model=make_net)
    assert_same_weights(network.model, net)
    assert network.notes == [f"prefix {prefix!r} stripped from the names of weights"]


@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        torch.optim.swa_utils.AveragedModel,
        lambda net: nn.ModuleDict({"model": net, "criterion": nn.Linear(2, 2)}),
    ],
)
def test_weights_of_wrapped_networks_are_those_of_the_network(net, path, wrap):
    torch.save(wrap(net).state_dict(), path)
    assert_same_weights(open_network(path, model=make_net).model, net)


def test_what_lies_beside_a_prefix_is_left_out_only_of_a_wrapper(net, path):
    for prefix, fits in (("model.", True), ("encoder.", False)):
        weights = {prefix + name: value for name, value in net.state_dict().items()}
        torch.save(weights | {"other.weight": torch.zeros(2)}, path)
        if fits:
            assert "weights left out: other.weight" in open_network(path, model=make_net).notes
        else:
            assert "other.weight is unexpected" not in (said := refusal(path))
            assert "encoder.0.weight is unexpected" in said


def test_a_prefix_that_is_the_networks_own_stays(path):
    wrapped = nn.ModuleDict({"module": make_net()})
    torch.save(wrapped.state_dict(), path)
    network = open_network(path, model=lambda: nn.ModuleDict({"module": make_net()}))
    assert_same_weights(network.model, wrapped)
    assert network.notes == []


def test_versions_of_modules_survive_a_prefix(net, path):
    """BatchNorm asks for its count of batches only of weights that are new enough."""
    weights = nn.DataParallel(net).state_dict()
    del weights["module.1.num_batches_tracked"]
    torch.save(weights, path)
    assert "1.num_batches_tracked is missing" in refusal(path)
    torch.save(dict(weights), path)  # of no version
    assert open_network(path, model=make_net).model[1].num_batches_tracked == 0


@pytest.mark.parametrize("part", ["state_dict", "model_state_dict", "model", "net", "model_ema"])
def test_weights_are_found_in_a_part_of_a_training_checkpoint(net, path, part):
    torch.save({"epoch": 3, part: net.state_dict(), "optimizer": OPTIMIZER}, path)
    network = open_network(path, model=make_net)
    assert_same_weights(network.model, net)
    said = f"weights are {part} of the file, which also holds epoch, optimizer"
    assert network.notes == [said]


def test_trained_weights_come_before_averaged_ones(net, path):
    averaged = {name: value + 1 for name, value in net.state_dict().items()}
    torch.save({"state_dict_ema": averaged, "state_dict": net.state_dict(), "model": "name"}, path)
    network = open_network(path, model=make_net)
    assert_same_weights(network.model, net)
    assert "which also holds state_dict_ema, model" in network.notes[0]


def test_a_part_may_lie_within_a_part(net, path):
    torch.save({"model": {"state_dict": net.state_dict()}}, path)
    assert read_weights(path).keys() == net.state_dict().keys()


def test_parts_of_other_names_are_named(net, path):
    torch.save({"netG": net.state_dict(), "netD": net.state_dict(), "epoch": 2}, path)
    said = refusal(path)
    assert "got parts 'netG', 'netD'" in said and "torch.load('file.pt')['netG']" in said


def test_a_checkpoint_with_other_pickled_classes_says_how_to_save_its_weights(
    net, path, monkeypatch
):
    torch.save({"state_dict": net.state_dict(), "hyper_parameters": argparse.Namespace()}, path)
    said = refusal(path)
    assert "asks to run argparse.Namespace, which is refused: if you trust" in said
    monkeypatch.chdir(path.parent)
    exec(said.partition("alone: ")[2], {"torch": torch})
    assert_same_weights(open_network("weights.pt", model=make_net).model, net)


# What fits


def test_a_misfit_shows_what_is_missing_and_what_came(net, path):
    names = dict.fromkeys(range(6), torch.zeros(2))
    torch.save({f"layer{index}.weight": value for index, value in names.items()}, path)
    said = refusal(path)
    assert "0.weight is missing" in said and "and 3 more" in said
    assert "layer0.weight is unexpected" in said and "and 2 more" in said


def test_a_misfit_in_shape_shows_both_and_leaves_the_module_as_it_was(net, path):
    torch.save(net.state_dict() | {"1.bias": torch.zeros(7)}, path)
    model = make_net()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"1.bias has shape \(7,\), not \(4,\)"):
        load_weights(model, path)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_load_weights_returns_a_copy_and_warns_of_what_it_did(net, path):
    torch.save({"module." + name: value for name, value in net.state_dict().items()}, path)
    model = make_net()
    with pytest.warns(UserWarning, match=r"prefix 'module.' stripped"):
        loaded = load_weights(model, path)
    assert_same_weights(loaded, net)
    assert_same_weights(open_network(path, model=model).model, net)
    assert not torch.equal(model[0].weight, net[0].weight)


def test_the_module_decides_what_fits(net, path):
    """A rule of its own for names of an earlier version, as modules of PyTorch have."""

    class Renamed(nn.Conv2d):
        def _load_from_state_dict(self, state_dict, prefix, *others):
            state_dict[prefix + "weight"] = state_dict.pop(prefix + "kernel")
            super()._load_from_state_dict(state_dict, prefix, *others)

    torch.save({"kernel": net[0].weight.detach(), "bias": net[0].bias.detach()}, path)
    assert torch.equal(open_network(path, model=Renamed(3, 4, 3)).model.weight, net[0].weight)


class Lazy(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.LazyConv2d(4, 3), nn.LazyLinear(5)

    def forward(self, x):
        return self.head(self.conv(x).mean((2, 3)))


def test_lazy_layers_take_the_shapes_of_a_file_or_of_the_images(path):
    made = open_network(model=Lazy, sides=SIDES)
    assert made.channels == 3 and made.model.conv.weight.shape == (4, 3, 3, 3)
    torch.save(made.model.state_dict(), path)
    assert_same_weights(open_network(path, model=Lazy).model, made.model)
    torch.save(make_net().state_dict(), path.with_name("other"))
    assert "conv.weight is missing" in refusal(path.with_name("other"), model=Lazy)
    opened = open_network(path, model=Lazy, sides=SIDES)
    assert not torch.equal(opened.untrained(1).conv.weight, made.model.conv.weight)
    with pytest.raises(ValueError, match=r"these lack: conv \(LazyConv2d\)"):
        open_network(path, model=Lazy).untrained(1)  # would keep its weights


# Numbers


@pytest.mark.parametrize(
    ("dtype", "name"),
    [(torch.complex64, "complex64"), (torch.int64, "int64"), (torch.bool, "bool")],
)
def test_numbers_of_another_kind_are_not_cast(net, path, dtype, name):
    torch.save(net.state_dict() | {"1.bias": torch.ones(4, dtype=dtype)}, path)
    assert f"got 1.bias of torch.{name}, not torch.float32" in refusal(path)


def test_half_precision_is_read_and_so_is_a_count_saved_in_it(net, path):
    torch.save({name: value.half() for name, value in net.state_dict().items()}, path)
    opened = open_network(path, model=make_net).model
    assert torch.equal(opened[0].weight, net[0].weight.half().float())
    torch.save(net.state_dict() | {"1.num_batches_tracked": torch.tensor(1.5)}, path)
    assert "got 1.num_batches_tracked of torch.float32" in refusal(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_weights_must_be_finite_in_the_networks_own_type(net, path, value):
    torch.save(net.state_dict() | {"1.bias": torch.full((4,), value, dtype=torch.float64)}, path)
    assert "must hold finite weights, got NaN or infinity in 1.bias" in refusal(path)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: torch.eye(4).to_sparse(), "a sparse tensor"),
        (lambda: torch.ones(4, device="meta"), "without its numbers, on the device meta"),
        (lambda: torch.zeros(1).expand(10**9, 10**9), "more than the file has"),
    ],
)
@pytest.mark.parametrize("ours", [True, False])
def test_only_plain_tensors_are_read(net, path, make, said, ours):
    if ours:
        weights = write_ours(path).state_dict()
        whole = torch.load(path, weights_only=True)
        torch.save(whole | {"state_dict": weights | {"head.bias": make()}}, path)
        assert f"{said} for 'head.bias'" in refusal(path, model=None)
    else:
        torch.save(net.state_dict() | {"1.bias": make()}, path)
        assert f"{said} for '1.bias'" in refusal(path)


@pytest.mark.filterwarnings("ignore:.*quantized tensor creation:UserWarning")
def test_quantized_tensors_are_not_read(net, path):
    quantized = torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8)
    torch.save(net.state_dict() | {"1.bias": quantized}, path)
    assert "a quantized tensor for '1.bias'" in refusal(path)


@pytest.mark.parametrize(
    "huge", [{"width": 10**7}, {"shape": (10**7, 16, 16)}, {"n_outputs": 10**7}]
)
def test_a_huge_network_is_refused_before_it_takes_memory(path, huge):
    weights = write_ours(path).state_dict()
    torch.save(torch.load(path, weights_only=True) | huge, path)
    assert "must fit " in refusal(path, model=None)
    torch.save(weights, path)
    named = {"architecture": "conv_actually-4", "width": 10**9, "sides": (16, 16)}
    assert "width must be at most" in refusal(path, model=None, **named)
    with pytest.raises(ValueError, match="channels must be between 1 and 1000, got 1000000000"):
        open_network(path, model=make_net, sides=SIDES, channels=10**9)


# Damage


def write_safetensors(weights, path):
    pytest.importorskip("safetensors.torch").save_file(dict(weights), path)


def write_legacy(weights, path):
    torch.save(weights, path, _use_new_zipfile_serialization=False)


def test_safetensors_and_files_before_pytorch_1_6_are_read_and_said_to_hold_no_checksums(net, path):
    for write in (write_safetensors, write_legacy):
        write(net.state_dict(), path)
        network = open_network(path, model=make_net)
        assert_same_weights(network.model, net)
        assert "holds no checksums" in network.notes[0]
    torch.save(net.state_dict(), path)
    assert open_network(path, model=make_net).notes == []


def test_a_missing_safetensors_names_its_extra(net, path, monkeypatch):
    write_safetensors(net.state_dict(), path)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(ImportError, match=r"pip install 'freqsense\[safetensors\]'"):
        open_network(path, model=make_net)


def test_a_digest_in_the_name_of_an_old_file_is_compared(net, tmp_path):
    """As torch.hub names files; EfficientNet-Lite0's is one of them."""
    content = io.BytesIO()
    write_legacy(net.state_dict(), content)
    digest = "0" * 8
    with pytest.raises(ValueError, match=f"its SHA-256 does not begin with {digest}"):
        (tmp_path / f"net-{digest}.pth").write_bytes(content.getvalue())
        open_network(tmp_path / f"net-{digest}.pth", model=make_net)
    named = tmp_path / f"net-{hashlib.sha256(content.getvalue()).hexdigest()[:8]}.pth"
    named.write_bytes(content.getvalue())
    assert open_network(named, model=make_net).notes == []


def test_one_flipped_bit_in_a_weight_is_seen(net, path):
    for write in (write_ours, lambda path: torch.save(net.state_dict(), path) or net):
        weight = next(iter(write(path).state_dict().values())).numpy().tobytes()
        raw = bytearray(path.read_bytes())
        raw[raw.find(weight) + 3] ^= 0x40
        path.write_bytes(raw)
        with pytest.raises(ValueError, match="is damaged: the checksum of .*data/0 is not that"):
            read_weights(path)


def test_other_weights_under_the_digest_of_ours_are_seen(path):
    write_ours(path)
    whole = torch.load(path, weights_only=True)
    assert_same_weights(open_network(path).model, build_ours(5))
    torch.save({name: value for name, value in whole.items() if name != "digest"}, path)
    open_network(path)  # as files of an earlier version are
    whole["state_dict"]["head.bias"] += 1e-7
    torch.save(whole, path)
    assert "is damaged: its weights are not those that its digest is of" in refusal(
        path, model=None
    )


def test_a_file_saved_without_checksums_is_read_and_said(net, path):
    config = pytest.importorskip("torch.serialization")
    if not hasattr(config, "set_crc32_options"):
        pytest.skip("this PyTorch always writes checksums")
    config.set_crc32_options(False)
    try:
        torch.save(net.state_dict(), path)
    finally:
        config.set_crc32_options(True)
    network = open_network(path, model=make_net)
    assert_same_weights(network.model, net)
    assert "holds no checksums" in network.notes[0]


def damage(content, chance):
    """Flip bits, set bytes, cut or insert, half of the time where the structure is."""
    content, size = bytearray(content), len(content)
    ends = [range(min(1500, size)), range(max(0, size - 1500), size), range(size)]
    place = chance.choice(chance.choice(ends))
    kind = chance.choice(["bit", "bit", "bytes", "cut", "insert"])
    if kind == "bit":
        content[place] ^= 1 << chance.randrange(8)
    elif kind == "bytes":
        content[place : place + 20] = chance.randbytes(len(content[place : place + 20]))
    elif kind == "cut":
        del content[place:]
    else:
        content[place:place] = chance.randbytes(3)
    return bytes(content)


@pytest.mark.parametrize("kind", ["ours", "archive", "legacy", "safetensors"])
def test_damaged_files_are_refused_or_read_right(tmp_path, kind):
    """Without checksums, damage to numbers cannot show; then that is said."""
    path, chance = tmp_path / "file", random.Random(7)
    model = write_ours(path)
    told = {} if kind == "ours" else {"model": lambda: build_ours(9)}
    if kind != "ours":
        write = {"archive": torch.save, "legacy": write_legacy, "safetensors": write_safetensors}
        write[kind](model.state_dict(), path)
    content, n_refused = path.read_bytes(), 0
    for _ in range(30):
        path.write_bytes(damage(content, chance))
        try:
            network = open_network(path, **told)
        except (ValueError, OSError) as error:
            n_refused += 1
            assert "\n" not in str(error)
            continue
        if not any("holds no checksums" in note for note in network.notes):
            assert_same_weights(network.model, model)
    assert n_refused > 5


# Kinds of files


class Intruder:
    """Unpickles to a call that makes a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (os.mkdir, (self.path,))


@pytest.mark.parametrize(
    ("write", "asked"),
    [
        (torch.save, "got a pickle that asks to run "),
        (write_legacy, "got a pickle that asks to run "),
        (lambda x, path: path.write_bytes(pickle.dumps(x)), "may run code, which is refused"),
    ],
)
def test_a_pickle_that_runs_code_is_refused(path, tmp_path, write, asked):
    made = tmp_path / "made"
    write({"weight": Intruder(made)}, path)
    assert asked in refusal(path)
    assert not made.exists()
    with suppress(RuntimeError):  # a pickle by itself is run before it is found to be no archive
        torch.load(path, weights_only=False)
    assert made.exists()  # the pickle does what it was feared to do


@pytest.mark.parametrize("write", [torch.save, write_legacy])
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_a_whole_pickled_module_is_named(net, path, write):
    write(net, path)
    said = refusal(path)
    assert "got a whole pickled module that asks to run torch.nn.modules" in said
    assert "content.state_dict()" in said


def archive(*members, compression=zipfile.ZIP_STORED):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as made:
        for name, value in members:
            made.writestr(name, value)
    return content.getvalue()


def onnx_model():
    producer, graph = b"\x12\x07pytorch", b"\x3a\x05\x12\x03abc"
    return b"\x08\x08" + producer + graph + b"\x42\x02\x10\x11"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x89HDF\r\n\x1a\n" + bytes(600), "HDF5 file, as Keras writes"),
        (archive(("config.json", "{}"), ("model.weights.h5", "")), "a Keras archive"),
        (onnx_model(), "an ONNX file"),
        (b"\x08\x01\x12\x03abc", "a TensorFlow file"),
        (b"\x0a\x03abc\x22\x02\x08\x01", "a TensorFlow file"),
        (struct.pack("<I", 24) + b"TFL3" + bytes(40), "a TensorFlow Lite file"),
        (b"GGUF" + bytes(40), "a GGUF file"),
        (b"\x93NUMPY\x01\x00" + bytes(40), "a numpy array"),
        (archive(("a.npy", b""), ("b.npy", b"")), "a numpy archive"),
        (archive(("readme.txt", b"")), "a zip archive of readme.txt"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "a web page"),
        (b"\x1f\x8b\x08" + bytes(40), "a gzip archive"),
        (b"", "an empty file"),
        (b"no program", "a file that is damaged or of another kind"),
        (b"\x08\x00" * 300_000, "a file that is damaged or of another kind"),
        (b"\xff" * 1000, "a file that is damaged or of another kind"),
    ],
)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".pt2"])
def test_a_file_is_named_by_its_content(tmp_path, content, said, suffix):
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    assert said in refusal(path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_named_and_its_weights_can_be_saved(net, path, monkeypatch):
    torch.jit.script(net).save(str(path))
    said = refusal(path)
    monkeypatch.chdir(path.parent)
    remedy = said.partition("got TorchScript: ")[2].removesuffix(" saves its weights")
    exec(remedy, {"torch": torch})
    assert_same_weights(open_network("weights.pt", model=make_net).model, net)


def test_content_that_is_no_weights_is_said(net, path):
    weights = net.state_dict()
    for content, said in [
        (torch.zeros(3), "got Tensor"),
        ({}, "got an empty dict"),
        (weights | {"epoch": 3}, "got int for 'epoch'"),
        (OPTIMIZER, "a dict of 'state', 'param_groups'"),
        ({3: torch.zeros(2)}, "got a dict of 3"),
    ]:
        torch.save(content, path)
        assert said in refusal(path)


def pickled_archive(data):
    return archive(("a/data.pkl", data), ("a/version", "3\n"), ("a/byteorder", "little"))


DEEP = 20_000
LISTS = b"\x80\x02" + b"]" * DEEP + b"a" * (DEEP - 1) + b"."
DICTS = b"\x80\x02" + b"}X\x05\0\0\0model" * DEEP + b"}" + b"s" * DEEP + b"."


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (archive(("a/data.pkl", bytes(10**7)), compression=zipfile.ZIP_DEFLATED), "compressed"),
        (pickled_archive(LISTS), "got list"),
        (pickled_archive(DICTS), "got a dict of 'model'"),
    ],
)
def test_bombs_are_refused(path, content, said):
    path.write_bytes(content)
    assert said in refusal(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(net, path):
    torch.save(net.state_dict(), path)
    with zipfile.ZipFile(path, "a") as twice:
        twice.writestr(twice.namelist()[0], b"\x80\x02}.")
    assert "two members of one name" in refusal(path)


def test_a_dict_that_holds_itself_is_refused(path):
    content = {}
    content["model"] = content
    torch.save(content, path)
    assert "got a dict of 'model'" in refusal(path)


def test_other_things_than_files_are_named(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    assert "fifo, which is a FIFO" in refusal(tmp_path / "fifo")
    assert "which is a folder" in refusal(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"must be a file, got nowhere.pt"):
        read_weights("nowhere.pt")


# Checkpoints of this library


def test_a_checkpoint_tells_its_network(path):
    model = write_ours(path, mean=[0.1, 0.2, 0.3])
    network = open_network(path)
    assert_same_weights(network.model, model)
    assert network.channels == 3 and network.mean == [0.1, 0.2, 0.3] and network.std == [0.2]
    assert checkpoints.needed_sides(checkpoints.read_file(path, False)) == (16, 16)
    assert "leave out --model" in refusal(path)
    whole = torch.load(path, weights_only=True)
    torch.save({name: value for name, value in whole.items() if name != "width"}, path)
    assert "lacks width" in refusal(path, model=None)
    torch.save(whole | {"width": "wide"}, path)
    with pytest.raises(TypeError, match=f"width of {path} must be an integer, got 'wide'"):
        open_network(path)
    torch.save(whole | {"mean": None}, path)
    with pytest.raises(TypeError, match="mean of .* must be a list, got None"):
        open_network(path)


def test_weights_of_an_architecture(path):
    model = write_ours(path)
    torch.save(model.state_dict(), path)
    named = {"model": None, "architecture": OURS["architecture"], "sides": (16, 16)}
    network = open_network(path, **named, width=4)
    assert_same_weights(network.model, model)
    assert network.channels == 3
    said = refusal(path, **named, width=5)
    assert "features.0.weight has shape (4, 3, 3, 3), not (5, 3, 3, 3)" in said
    assert "need sides=(H, W)" in refusal(path, **(named | {"sides": None}), width=4)
    assert "give --architecture NAME --width N, or --model" in refusal(path, model=None)
    assert "leave out --architecture" in refusal(path, **(named | {"model": make_net}))
    assert "a network is a file, or --model" in refusal(None, model=None)


# Modules of the user's


class StemLater(nn.Module):
    def __init__(self):
        super().__init__()
        self.deep, self.stem = nn.Conv2d(8, 4, 3), nn.Conv2d(3, 8, 3)

    def forward(self, x):
        return self.deep(self.stem(x).relu()).mean((2, 3))


class ColourToGrey(nn.Module):
    """Takes colour, and weighs the channels itself."""

    def __init__(self):
        super().__init__()
        self.conv, self.weights = nn.Conv2d(1, 5, 3), nn.Parameter(torch.tensor([0.9, 0.1, 0.0]))

    def forward(self, x):
        return self.conv((x * self.weights[:, None, None]).sum(1, keepdim=True)).mean((2, 3))


def grey_perceptron():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


@pytest.mark.parametrize(
    ("make", "channels"), [(StemLater, 3), (ColourToGrey, 3), (grey_perceptron, 1)]
)
def test_channels_are_tried_not_guessed(make, channels):
    network = open_network(model=make, sides=SIDES)
    assert network.channels == channels
    assert f"takes images of {channels} channel" in network.notes[0]
    assert open_network(model=make).channels is None  # of what sides?


def test_channels_that_are_said_are_tried_alone(net):
    five = nn.Conv2d(5, 2, 3)
    network = open_network(model=five, sides=SIDES, channels=5)
    assert network.channels == 5 and network.notes == []
    said = refusal(None, model=five, sides=SIDES)
    assert "images (3, 8, 8): " in said and "nor to (1, 8, 8): " in said and "--channels N" in said
    assert "nor to" not in refusal(None, model=five, sides=SIDES, channels=3)


def test_a_trial_leaves_the_module_as_it_was():
    model = make_net().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    open_network(model=model, sides=SIDES)
    assert model.training and model[0].weight.requires_grad
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "their_own.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "class Zoo:\n"
        "    @staticmethod\n"
        "    def get(channels, *, bias=True, sizes=None):\n"
        "        return nn.Conv2d(channels, sizes['out'] if sizes else 2, 3, bias=bias)\n"
        "ready = nn.Conv2d(1, 1, 3)\n"
        "def fail(): raise RuntimeError('two\\nlines')\n"
        "def make_nothing(): return 3\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("their_own", None)


def test_a_specification_may_hold_literal_arguments(own_module):
    spec = "their_own:Zoo.get(3, bias=False, sizes={'out': 7})"
    conv = open_network(model=spec, sides=SIDES).model
    assert conv.out_channels == 7 and conv.bias is None
    assert open_network(model="their_own:ready", sides=SIDES).channels == 1


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("their_own", "must be PACKAGE.MODULE:FUNCTION or"),
        (":make", "must be PACKAGE.MODULE:FUNCTION or"),
        ("their_own:Zoo.get(__import__('os'))", "with literals as arguments"),
        ("their_own:Zoo.get(*[3])", "with literals as arguments"),
        ("their_own:Zoo.get(**{'channels': 3})", "with literals as arguments"),
        ("their_own:Zoo.get(3)(4)", "with literals as arguments"),
        ("their_own:Zoo.get(3", "with literals as arguments"),
        ("their_own:" + "(" * 9999, "with literals as arguments"),
        ("no_such_module:make", "failed: ModuleNotFoundError"),
        ("their_own:Zoo.nothing", "failed: AttributeError"),
        ("their_own:fail", "failed: RuntimeError: two lines"),
    ],
)
def test_specifications_that_fail(own_module, spec, said):
    assert said in refusal(None, model=spec)


def test_a_function_must_make_a_module(own_module):
    with pytest.raises(TypeError, match=r"make_nothing must return a torch.nn.Module, got int"):
        open_network(model="their_own:make_nothing")


# Untrained networks


def untrained_weights(network, seed):
    return torch.cat([weight.flatten() for weight in network.untrained(seed).parameters()])


def seeded_net():
    torch.manual_seed(0)
    return make_net()


@pytest.mark.parametrize("made", ["ours", "architecture", "function", "always the same", "module"])
def test_untrained_networks_are_others_for_each_seed_and_the_same_for_one(net, path, made):
    if made in ("ours", "architecture"):
        model = write_ours(path)
    if made == "ours":
        network = open_network(path)
    elif made == "architecture":
        torch.save(model.state_dict(), path)
        told = {"architecture": OURS["architecture"], "width": 4, "sides": (16, 16)}
        network = open_network(path, **told)
    else:
        torch.save(net.state_dict(), path)
        factories = {"function": make_net, "always the same": seeded_net, "module": make_net()}
        network = open_network(path, model=factories[made])
    state = torch.get_rng_state()
    first, again, second = (untrained_weights(network, seed) for seed in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first, again) and not torch.equal(first, second)
    trained = torch.cat([weight.flatten() for weight in network.model.parameters()])
    assert not torch.equal(first, trained)


def test_untraining_draws_every_layer_anew_and_leaves_the_network():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.MultiheadAttention(4, 2))
    model[1].running_var.fill_(9)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    twin = open_network(model=model).untrained(0)
    assert (twin[1].running_var == 1).all()
    assert not torch.equal(twin[2].in_proj_weight, model[2].in_proj_weight)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_weights_that_cannot_be_drawn_again_are_named():
    with pytest.raises(ValueError, match=r"these lack: the network itself \(ColourToGrey\)"):
        open_network(model=ColourToGrey()).untrained(0)


def test_an_exported_program_is_read_if_trusted(net, tmp_path):
    path = tmp_path / "network.pt"  # which tells nothing
    torch.export.save(torch.export.export(net, (torch.zeros(2, 3, *SIDES),)), path)
    assert "PyTorch may run code that is in such a file: give --trust" in refusal(path, model=None)
    network = open_network(path, trust=True)
    images = torch.rand(3, 3, *SIDES)
    torch.testing.assert_close(network.model(images), net(images))
    assert network.channels == 3
    with pytest.raises(ValueError, match="untrained network can be made of a module, got a prog"):
        network.untrained(0)
    raw = bytearray(path.read_bytes())
    raw[raw.find(net[0].weight.detach().numpy().tobytes()) + 3] ^= 0x40
    path.write_bytes(raw)
    assert "is damaged: the checksum of" in refusal(path, model=None, trust=True)
