"""Patches of photographs: their labels, their places, and the regions held out for testing."""

import math

import pytest
import torch
from tolerances import ATOL, SIGMAS

from freqsense import images
from freqsense.images import PATCH_CLASSES, PHOTOGRAPHS, patches

SINGLE = ATOL[torch.float32]


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (["cofee"], ValueError, "got 'cofee'; did you mean 'coffee'"),
        (["coffee", 3], ValueError, "got 3"),
        ([], ValueError, "at least one name, got none"),
        (["moon", "coffee", "moon"], ValueError, "must not repeat a name, got moon"),
        ("coffee", TypeError, "must be a list or tuple of names, got 'coffee'"),
        (7, TypeError, "got 7"),
    ],
)
def test_wrong_names(names, error, message):
    with pytest.raises(error, match=f"names.*{message}"):
        images.photographs(names)
    with pytest.raises(error, match=f"classes.*{message}"):
        images.photo_patches("train", n_per_class=1, classes=names)


@pytest.mark.parametrize("shape", [(4, 4), (8, 12), (13, 17), (200, 300), (213, 320), (7, 5)])
def test_fig_held_out(shape):
    height, width = shape
    held_out = images.held_out_region(shape)
    cells = torch.zeros(4, 4, dtype=torch.long)
    for row in range(height):
        for column in range(width):
            cells[4 * row // height, 4 * column // width] += held_out[row, column]
    used = cells > 0
    assert used.sum(0).tolist() == used.sum(1).tolist() == [1, 1, 1, 1]
    assert cells[used].min() >= (height // 4) * (width // 4)  # a cell is in whole
    corners = used.nonzero()
    apart = (corners[:, None] - corners).abs().amax(-1)
    assert (apart + 4 * torch.eye(4) >= 2).all()  # no two cells touch, not even at a corner


def test_held_out_region_is_a_shape():
    with pytest.raises(ValueError, match=r"shape must be a pair \(H, W\), got 4"):
        images.held_out_region(4)


@pytest.fixture
def coordinates(monkeypatch):
    """Scenes whose every pixel is a number of its own, exact in float32: name -> (1, H, W)."""
    scenes, first = {}, 0
    for name in PATCH_CLASSES:
        height, width = patches._scene(name).shape[-2:]
        scenes[name] = torch.arange(first, first + height * width).float().reshape(1, height, width)
        first += height * width
    assert first < 2**24
    monkeypatch.setattr(patches, "_scene", scenes.__getitem__)
    return scenes


def draw(split, **options):
    return images.photo_patches(split, color=False, **options)


def pixels_in_both_splits(size):
    train, test = (draw(s, n_per_class=200, size=size)[0].unique() for s in ("train", "test"))
    return int(torch.isin(test, train).sum())


@pytest.mark.parametrize("size", [1, 5, 32, 50])
def test_no_test_pixel_is_in_a_train_patch(coordinates, size):
    assert pixels_in_both_splits(size) == 0


@pytest.mark.parametrize("size", [5, 32])
def test_a_wrong_split_is_seen(coordinates, monkeypatch, size):
    """Negative control: train cells moved by three pixels, and the patches meet."""
    asked = iter(range(2 * len(PATCH_CLASSES)))
    right = images.held_out_region

    def moved(shape):
        return right(shape).roll(3 if next(asked) < len(PATCH_CLASSES) else 0, dims=1)

    monkeypatch.setattr(patches, "held_out_region", moved)
    assert pixels_in_both_splits(size) > 0


@pytest.mark.parametrize("size", [1, 3, 4])
@pytest.mark.parametrize("shape", [(16, 16), (17, 22), (23, 19)])
def test_admissible_corners_are_all_and_only_those(shape, size):
    held_out = images.held_out_region(shape)
    corners = [(y, x) for y in range(shape[0] - size + 1) for x in range(shape[1] - size + 1)]
    n_held_out = [int(held_out[y : y + size, x : x + size].sum()) for y, x in corners]
    for split, wanted in (("train", 0), ("test", size**2)):
        expected = [list(c) for c, n in zip(corners, n_held_out, strict=True) if n == wanted]
        assert patches._admissible_corners(shape, split, size).tolist() == expected
        assert expected


@pytest.mark.parametrize("split", ["train", "test"])
def test_corners_are_drawn_uniformly(monkeypatch, split):
    scene = torch.arange(16.0 * 20).reshape(1, 16, 20)
    monkeypatch.setattr(patches, "_scene", lambda name: scene)
    cut, _ = draw(split, n_per_class=20_000, size=3, classes=["moon"])
    corners = patches._admissible_corners((16, 20), split, 3)
    drawn = cut[:, 0, 0, 0].long().bincount(minlength=16 * 20).reshape(16, 20)
    counts = drawn[corners[:, 0], corners[:, 1]].double()
    assert counts.sum() == len(cut)
    expected = len(cut) / len(corners)
    chi2, freedom = ((counts - expected) ** 2 / expected).sum(), len(corners) - 1
    assert abs(chi2 - freedom) < SIGMAS * math.sqrt(2 * freedom)


def test_patches_belong_to_the_photograph_of_their_label(coordinates):
    patches, labels = draw("train", n_per_class=20)
    for label, name in enumerate(PATCH_CLASSES):
        of_class = patches[labels == label]
        assert len(of_class) == 20
        assert torch.isin(of_class, coordinates[name]).all()
    # A patch is a square window of the scene, not a reshuffled one.
    width = coordinates[PATCH_CLASSES[int(labels[0])]].shape[-1]
    window = torch.arange(32)[:, None] * width + torch.arange(32)
    assert torch.equal(patches[0, 0] - patches[0, 0, 0, 0], window.float())


@pytest.mark.parametrize("split", ["train", "test"])
def test_patches_of_photographs(split):
    patches, labels = images.photo_patches(split, n_per_class=6, size=24)
    assert patches.shape == (6 * 8, 3, 24, 24) and patches.dtype == torch.float32
    assert labels.dtype == torch.int64 and labels.bincount().tolist() == [6] * 8
    assert 0 <= patches.min() and patches.max() <= 1
    assert patches.is_contiguous()


def test_the_classes_are_the_eight_colour_photographs():
    colour = [name for name, photograph in PHOTOGRAPHS.items() if photograph.channels == 3]
    assert sorted(PATCH_CLASSES) == sorted(colour) and len(colour) == 8


def test_a_prefix_is_a_fair_sample():
    _, labels = images.photo_patches("train", n_per_class=400, size=4)
    half = labels[: len(labels) // 2].bincount(minlength=8).double()
    n, m, k = len(labels), len(labels) // 2, 400  # hypergeometric scatter
    spread = math.sqrt(m * k / n * (1 - k / n) * (n - m) / (n - 1))
    assert ((half - m * k / n).abs() < SIGMAS * spread).all()
    assert half.unique().numel() > 1  # and not dealt out in turns


def test_seeds():
    def train(seed):
        return images.photo_patches("train", n_per_class=3, seed=seed)

    assert all(torch.equal(a, b) for a, b in zip(train(5), train(5), strict=True))
    assert not torch.equal(train(5)[0], train(6)[0])
    test = images.photo_patches("test", n_per_class=3, seed=5)[0]
    assert not torch.equal(train(5)[0], test)


def test_grey_patches_are_the_luminance_of_the_colour_ones():
    grey, labels = images.photo_patches("test", n_per_class=4, color=False)
    color, same_labels = images.photo_patches("test", n_per_class=4)
    assert torch.equal(labels, same_labels)
    assert torch.allclose(grey, images.luminance(color), atol=SINGLE)


def test_grey_photographs_only_among_grey_patches():
    classes = ["coffee", "camera", "moon"]
    patches, labels = images.photo_patches("train", n_per_class=2, color=False, classes=classes)
    assert patches.shape == (6, 1, 32, 32) and labels.unique().tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="got camera, moon in grey: leave.* pass color=False"):
        images.photo_patches("train", n_per_class=2, classes=classes)


def test_scenes_are_block_averages():
    photo, factor = images.photographs(["hubble_deep_field"])["hubble_deep_field"], 3
    scene = patches._scene("hubble_deep_field")
    assert scene.shape == (3, 872 // factor, 1000 // factor)
    block = photo[:, factor * 40 : factor * 41, factor * 7 : factor * 8]
    assert torch.allclose(scene[:, 40, 7], block.mean((1, 2)), atol=SINGLE)


def test_scenes_hold_structure_and_no_border():
    short_sides = [min(patches._scene(name).shape[-2:]) for name in PHOTOGRAPHS]
    assert 200 <= min(short_sides) and max(short_sides) <= 350
    mask = images.luminance(images.photographs(["retina"])["retina"]).min()
    assert mask < 0.01 < 0.1 < images.luminance(patches._scene("retina")).min()


@pytest.mark.parametrize("split", ["train", "test"])
def test_size_larger_than_a_cell(split):
    with pytest.raises(ValueError, match="at most 50, the side of the test cells of 'coffee', got"):
        images.photo_patches(split, n_per_class=1, size=51)
    assert images.photo_patches(split, n_per_class=1, size=50)[0].shape[-1] == 50


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"split": "validation"}, ValueError, "split must be one of train, test, got 'validation'"),
        ({"n_per_class": 0}, ValueError, "n_per_class must be at least 1, got 0"),
        ({"n_per_class": -3}, ValueError, "n_per_class must be at least 1, got -3"),
        ({"n_per_class": 2.0}, TypeError, "n_per_class must be an integer, got 2.0"),
        ({"size": 0}, ValueError, "size must be at least 1, got 0"),
        ({"size": "32"}, TypeError, "size must be an integer, got '32'"),
        ({"seed": -1}, ValueError, "seed must be between 0 and"),
        ({"seed": None}, TypeError, "seed must be an integer, got None"),
        ({"color": 1}, TypeError, "color must be True or False, got 1"),
    ],
)
def test_wrong_patch_arguments(options, error, message):
    options = {"split": "train", "n_per_class": 1} | options
    with pytest.raises(error, match=message):
        images.photo_patches(options.pop("split"), **options)
