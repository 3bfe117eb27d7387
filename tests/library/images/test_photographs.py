"""Photographs: the files, what is known of them, and the ways to make them smaller."""

import dataclasses
import math
import shutil
import socket
from importlib import import_module
from importlib.resources import files

import numpy as np
import pytest
import skimage.data
import torch
from tolerances import ATOL

from freqsense import images
from freqsense.images import PHOTOGRAPHS

SINGLE = ATOL[torch.float32]
FOLDER = files("skimage") / "data"


@pytest.fixture
def data_folder(tmp_path, monkeypatch):
    """A copy of scikit-image's data folder that a test may damage."""
    folder = tmp_path / "data"
    folder.mkdir()
    for photograph in PHOTOGRAPHS.values():
        shutil.copy(FOLDER / photograph.file, folder)
    # The package has a function of the module's name.
    module = import_module("freqsense.images.photographs")
    monkeypatch.setattr(module, "files", lambda package: tmp_path)
    return folder


def test_tab_photographs():
    found = images.photographs()
    assert list(found) == list(PHOTOGRAPHS) and len(found) == 14
    for name, pixels in found.items():
        row = PHOTOGRAPHS[name]
        assert pixels.shape == (row.channels, *row.size)
        assert pixels.dtype == torch.float32
        assert 0 <= pixels.min() and pixels.max() <= 1
        assert pixels.std() > 0.02  # a picture, not a blank
        assert len((FOLDER / row.file).read_bytes()) == row.n_bytes


# What the documentation of scikit-image says of the rights in each photograph, word for word.
STATED = {
    "astronaut": "No known copyright restrictions, released into the public domain.",
    "coffee": "CC0 by the photographer (Rachel Michetti).",
    "chelsea": "CC0 by the photographer (Stefan van der Walt).",
    "rocket": "released in the public domain",
    "retina": "Creative Commons CC0 1.0 Universal Public Domain Dedication.",
    "immunohistochemistry": "No known copyright restrictions.",
    "hubble_deep_field": "may be freely used in the public domain",
    "camera": "CC0 by the photographer (Lav Varshney).",
    "brick": "Creative Commons CC0 License.",
    "grass": "Creative Commons CC0 License.",
    "gravel": "Creative Commons CC0 License.",
    "coins": "No known copyright restrictions.",
}


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_licences_are_as_scikit_image_states_them(name):
    function = {"motorcycle": "stereo_motorcycle"}.get(name, name)
    told = " ".join(getattr(skimage.data, function).__doc__.split())
    if name in STATED:
        assert STATED[name] in told
        assert PHOTOGRAPHS[name].licence.lower() in STATED[name].lower()
    else:
        assert PHOTOGRAPHS[name].licence == "none stated"
        assert not any(word in told for word in ("CC0", "public domain", "copyright", "icense"))


def test_pixels_are_those_of_the_file():
    pixels = images.photographs(["chelsea"])["chelsea"]
    reference = skimage.io.imread(FOLDER / "chelsea.png") / 255  # (H, W, C)
    assert np.allclose(pixels.permute(1, 2, 0), reference, atol=SINGLE)


def test_photographs_keep_the_order_asked_for():
    assert list(images.photographs(["moon", "coffee"])) == ["moon", "coffee"]


def test_photographs_are_fresh_tensors():
    first = images.photographs(["coins"])["coins"]
    kept = first.clone()
    first.zero_()
    assert torch.equal(images.photographs(["coins"])["coins"], kept)


def test_photographs_need_no_network(data_folder, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    assert len(images.photographs()) == 14  # from a new folder, so none of them is remembered


def test_corrupted_photograph(data_folder):
    path = data_folder / "coffee.png"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    expected = PHOTOGRAPHS["coffee"].sha256
    pattern = rf"coffee\.png .*{expected}, found [0-9a-f]{{64}}; reinstall scikit-image"
    with pytest.raises(ValueError, match=pattern) as error:
        images.photographs(["coffee"])
    assert str(error.value).count(expected) == 1
    assert "moon" in images.photographs(["moon"])  # an untouched copy is read


def test_missing_photograph(data_folder):
    (data_folder / "moon.png").unlink()
    with pytest.raises(ValueError, match=r"moon\.png .*found no such file; reinstall scikit-image"):
        images.photographs()


def test_photograph_of_another_size(data_folder, monkeypatch):
    wrong = dataclasses.replace(PHOTOGRAPHS["moon"], size=(512, 511))
    monkeypatch.setitem(PHOTOGRAPHS, "moon", wrong)
    with pytest.raises(ValueError, match=r"\(1, 512, 511\), got \(1, 512, 512\)"):
        images.photographs(["moon"])


def test_eq_luminance():
    x = torch.rand(2, 3, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
    assert torch.allclose(
        images.luminance(x)[:, 0],
        torch.einsum("nchw,c->nhw", x, weights),
        atol=ATOL[torch.float64],
    )
    assert images.luminance(torch.ones(3, 2, 2)).allclose(torch.ones(1, 2, 2), atol=SINGLE)
    assert torch.equal(images.luminance(x[:, :1]), x[:, :1])


@pytest.mark.parametrize("shape", [(2, 5, 5), (3, 2, 5, 5), (5, 5)])
def test_luminance_of_other_channels(shape):
    with pytest.raises(ValueError, match="C = 1 or 3, got"):
        images.luminance(torch.ones(shape))


def test_eq_shrink():
    x = torch.arange(3 * 7 * 9, dtype=torch.float64).reshape(3, 7, 9)
    small = images.shrink(x, 2)
    assert small.shape == (3, 3, 4)
    for c, row, column in [(0, 0, 0), (2, 2, 3), (1, 1, 2)]:
        block = x[c, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        assert small[c, row, column] == block.mean()
    assert torch.equal(images.shrink(x[None], 3)[0], images.shrink(x, 3))
    assert torch.equal(images.shrink(x, 1), x)


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 50, 71), (2, 3, 33, 100)])
def test_cut_tiles_are_the_pieces(shape):
    x = torch.arange(math.prod(shape), dtype=torch.float64).reshape(shape)
    tiles = images.cut_tiles(x, 16)
    height, width = shape[-2:]
    stacked = x if x.ndim == 4 else x[None]
    top, left = height % 16 // 2, width % 16 // 2
    expected = [
        image[:, top + y : top + y + 16, left + z : left + z + 16]
        for image in stacked
        for y in range(0, height - top - 15, 16)
        for z in range(0, width - left - 15, 16)
    ]
    assert torch.equal(tiles, torch.stack(expected))
    assert len(tiles.unique()) == tiles.numel()  # no pixel twice


def test_cropped_retina_has_no_black_frame():
    whole, cropped = (images.photographs(["retina"], cropped=c)["retina"] for c in (False, True))
    black = [(images.luminance(x) < 0.02).double().mean() for x in (whole, cropped)]
    assert black[0] > 0.1 and black[1] < 0.001
    coffee = images.photographs(["coffee"])["coffee"]
    assert torch.equal(images.photographs(["coffee"], cropped=True)["coffee"], coffee)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: images.shrink(torch.zeros(8, 8), 2),
            r"\(C, H, W\) or \(N, C, H, W\), got \(8, 8\)",
        ),
        (lambda: images.shrink(torch.zeros(1, 8, 8), 9), "factor must be between 1 and 8, got 9"),
        (lambda: images.cut_tiles(torch.zeros(1, 8, 20), 9), "size must be between 1 and 8, got 9"),
        (lambda: images.cut_tiles(torch.zeros(1, 8, 8), 0), "size must be between 1 and 8, got 0"),
    ],
)
def test_bad_sizes(call, message):
    with pytest.raises(ValueError, match=message):
        call()
