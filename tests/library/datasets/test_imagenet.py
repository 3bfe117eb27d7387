"""Imagenette, from a server on this machine."""

import io
import pickle
import tarfile

import numpy as np
import pytest
import torch
from archives import hostile
from pictures import as_bytes, picture
from PIL import Image
from tolerances import ATOL

from freqsense.datasets import IMAGENETTE_CLASSES, imagenette
from freqsense.spectra import power_spectrum

FOLDERS = ["n01440764", "n02102040", "n03888257"]  # labels 0, 1 and 9


def nette_members(size=160):
    """Members of a small Imagenette; PNG under the official names, so that pixels are exact."""
    shapes = [(size, size + 53), (size + 32, size), (size, size)]
    return {
        f"imagenette2-{size}/{split}/{folder}/{split}_{k}.JPEG": as_bytes(
            picture(*shapes[k], seed=10 * label + k)
        )
        for split, n in (("train", 3), ("val", 1))
        for label, folder in enumerate(FOLDERS)
        for k in range(n)
    }


def nette(tmp_path, server, members, *, size=160, extra=(), **options):
    with tarfile.open(tmp_path / "nette.tgz", "w:gz", compresslevel=1) as archive:
        for info in extra:
            archive.addfile(info, io.BytesIO(bytes(info.size)))
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    call = server.serve((tmp_path / "nette.tgz").read_bytes())
    return imagenette(tmp_path / "root", size, **call, **options)


@pytest.mark.parametrize("size", [160, 320])
def test_imagenette_is_its_central_squares(tmp_path, server, size):
    members = nette_members(size)
    batches = nette(tmp_path, server, members, size=size, batch_size=4)
    assert [len(images) for images, _ in batches] == [4, 4, 1] and len(batches) == 3
    images, labels = batches.load()
    assert images.shape == (9, 3, size, size) and images.dtype == torch.float32
    assert labels.dtype == torch.int64 and labels.bincount().tolist() == [3, 3, *[0] * 7, 3]
    assert sorted(batches.names) == sorted(name for name in members if "/train/" in name)
    for name, image, label in zip(batches.names, images, labels, strict=True):
        assert batches.classes[label] in ("tench", "English springer", "parachute")
        assert FOLDERS[[0, 1, 9].index(label)] in name
        whole = np.array(Image.open(io.BytesIO(members[name])))
        top, left = (whole.shape[0] - size) // 2, (whole.shape[1] - size) // 2
        square = whole[top : top + size, left : left + size]
        # Not a pixel is resampled.
        assert np.array_equal((image * 255).round().permute(1, 2, 0).numpy(), square)
    assert [file.name for file in (tmp_path / "root").iterdir()] == [f"imagenette2-{size}.tgz"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["nette.tgz", "root"]


def test_imagenette_batches_go_into_a_spectrum(tmp_path, server):
    batches = nette(tmp_path, server, nette_members(), batch_size=2)
    streamed, whole = power_spectrum(batches), power_spectrum(batches.load()[0])
    assert streamed.n_images == 9
    assert torch.allclose(streamed.values, whole.values, rtol=0, atol=ATOL[torch.float32])
    copy = pickle.loads(pickle.dumps(batches))  # as it travels to other processes
    assert torch.equal(copy.load()[0], batches.load()[0])


def test_imagenette_order_is_random_and_repeatable(tmp_path, server):
    orders = [nette(tmp_path, server, nette_members(), seed=seed).names for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert list(orders[0]) != sorted(orders[0])
    assert sorted(orders[0]) == sorted(orders[2])


def test_imagenette_splits_are_apart(tmp_path, server):
    names = nette(tmp_path, server, nette_members(), split="val").names
    assert len(names) == 3 and all("/val/" in name for name in names)


def test_imagenette_grey_cmyk_and_small_pictures(tmp_path, server):
    folder = f"imagenette2-160/val/{FOLDERS[0]}"
    members = {
        f"{folder}/grey.JPEG": as_bytes(picture(160, 170, mode="L"), "JPEG"),
        f"{folder}/cmyk.JPEG": as_bytes(picture(160, 170).convert("CMYK"), "JPEG"),
        f"{folder}/small.JPEG": as_bytes(picture(80, 60), "JPEG"),
    }
    images, _ = nette(tmp_path, server, members, split="val").load()
    assert images.shape == (3, 3, 160, 160)
    assert 0 <= images.min() and images.max() <= 1 and (images.std((1, 2, 3)) > 0.05).all()


def test_members_with_hostile_names_are_never_written(tmp_path, server):
    outside = ["../escaped.JPEG", f"/{str(tmp_path)[1:]}/escaped.JPEG", "imagenette2-160/../x.JPEG"]
    inside = [f"imagenette2-160/train/{FOLDERS[0]}/../../../escaped.JPEG", "._notes", ".DS_Store"]
    inside += [f"imagenette2-160/train/{FOLDERS[0]}/._hidden.JPEG", "imagenette2-160/list.csv"]
    extra = [hostile(name) for name in outside + inside]
    batches = nette(tmp_path, server, nette_members(), extra=extra)
    assert sorted(batches.names) == sorted(n for n in nette_members() if "/train/" in n)
    written = {path.name for path in tmp_path.rglob("*")} | {
        path.name for path in tmp_path.parent.glob("*.JPEG")
    }
    assert written == {"nette.tgz", "root", "imagenette2-160.tgz"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_a_link_in_place_of_a_picture_is_refused(tmp_path, server, kind):
    link = hostile(f"imagenette2-160/train/{FOLDERS[0]}/a.JPEG", kind, "/etc/passwd")
    with pytest.raises(ValueError, match=r"must hold a file .*/a\.JPEG, got a link or device"):
        nette(tmp_path, server, nette_members(), extra=[link])


@pytest.mark.parametrize(
    ("members", "match"),
    [
        ({}, r"must hold imagenette2-160/train/\*/\*.JPEG, but has none"),
        ({"imagenette2-160/train/n99999999/a.JPEG": b"-"}, "ten classes, but has n99999999 too"),
    ],
)
def test_imagenette_of_another_layout(tmp_path, server, members, match):
    with pytest.raises(ValueError, match=match):
        nette(tmp_path, server, members)


def test_a_broken_picture_in_the_archive_is_named(tmp_path, server):
    name = f"imagenette2-160/train/{FOLDERS[1]}/broken.JPEG"
    broken = as_bytes(picture(160, 160), "JPEG")[:9000]
    batches = nette(tmp_path, server, nette_members() | {name: broken})
    with pytest.raises(ValueError, match=f"{name} must be a picture, got: .*truncated"):
        batches.load()


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"size": 224}, ValueError, "size must be 160 or 320, got 224"),
        ({"size": "160"}, TypeError, "size must be an integer"),
        ({"split": "test"}, ValueError, "split must be one of train, val, got 'test'"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"seed": None}, TypeError, "seed must be an integer"),
    ],
)
def test_imagenette_arguments_are_checked_before_any_request(
    tmp_path, server, change, error, match
):
    with pytest.raises(error, match=match):
        imagenette(tmp_path, **server.serve(b"-"), **change)
    assert server.n_requests == 0


def test_imagenette_has_ten_classes():
    assert len(set(IMAGENETTE_CLASSES)) == 10
    assert IMAGENETTE_CLASSES[0] == "tench" and IMAGENETTE_CLASSES[9] == "parachute"
