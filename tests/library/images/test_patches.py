"""Photographs and their patches, Gaussian fields and dead leaves."""

import dataclasses
import math
import shutil
import socket
import time
from importlib.resources import files

import numpy as np
import pytest
import skimage.data
import torch
from scipy.integrate import trapezoid
from tolerances import ATOL, SIGMAS

from freqsense import fourier, images
from freqsense.images import PATCH_CLASSES, PHOTOGRAPHS

SINGLE = ATOL[torch.float32]
FOLDER = files("skimage") / "data"


@pytest.fixture
def data_folder(tmp_path, monkeypatch):
    """A copy of scikit-image's data folder that a test may damage."""
    folder = tmp_path / "data"
    folder.mkdir()
    for photograph in PHOTOGRAPHS.values():
        shutil.copy(FOLDER / photograph.file, folder)
    monkeypatch.setattr(images, "files", lambda package: tmp_path)
    return folder


# Photographs


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


# Patches


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
        height, width = images._scene(name).shape[-2:]
        scenes[name] = torch.arange(first, first + height * width).float().reshape(1, height, width)
        first += height * width
    assert first < 2**24
    monkeypatch.setattr(images, "_scene", scenes.__getitem__)
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

    monkeypatch.setattr(images, "held_out_region", moved)
    assert pixels_in_both_splits(size) > 0


@pytest.mark.parametrize("size", [1, 3, 4])
@pytest.mark.parametrize("shape", [(16, 16), (17, 22), (23, 19)])
def test_admissible_corners_are_all_and_only_those(shape, size):
    held_out = images.held_out_region(shape)
    corners = [(y, x) for y in range(shape[0] - size + 1) for x in range(shape[1] - size + 1)]
    n_held_out = [int(held_out[y : y + size, x : x + size].sum()) for y, x in corners]
    for split, wanted in (("train", 0), ("test", size**2)):
        expected = [list(c) for c, n in zip(corners, n_held_out, strict=True) if n == wanted]
        assert images._admissible_corners(shape, split, size).tolist() == expected
        assert expected


@pytest.mark.parametrize("split", ["train", "test"])
def test_corners_are_drawn_uniformly(monkeypatch, split):
    scene = torch.arange(16.0 * 20).reshape(1, 16, 20)
    monkeypatch.setattr(images, "_scene", lambda name: scene)
    patches, _ = draw(split, n_per_class=20_000, size=3, classes=["moon"])
    corners = images._admissible_corners((16, 20), split, 3)
    drawn = patches[:, 0, 0, 0].long().bincount(minlength=16 * 20).reshape(16, 20)
    counts = drawn[corners[:, 0], corners[:, 1]].double()
    assert counts.sum() == len(patches)
    expected = len(patches) / len(corners)
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
    assert len(PATCH_CLASSES) == 8
    assert all(PHOTOGRAPHS[name].channels == 3 for name in PATCH_CLASSES)


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
    scene = images._scene("hubble_deep_field")
    assert scene.shape == (3, 872 // factor, 1000 // factor)
    block = photo[:, factor * 40 : factor * 41, factor * 7 : factor * 8]
    assert torch.allclose(scene[:, 40, 7], block.mean((1, 2)), atol=SINGLE)


def test_scenes_hold_structure_and_no_border():
    short_sides = [min(images._scene(name).shape[-2:]) for name in PHOTOGRAPHS]
    assert 200 <= min(short_sides) and max(short_sides) <= 350
    mask = images.luminance(images.photographs(["retina"])["retina"]).min()
    assert mask < 0.01 < 0.1 < images.luminance(images._scene("retina")).min()


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


# Gaussian fields


def radius_of(shape):
    height, width = shape
    ky, kx = np.fft.fftfreq(height), np.fft.fftfreq(width)  # cycles/pixel
    return torch.from_numpy(min(shape) * np.hypot(ky[:, None], kx))


def power_law(shape, alpha):
    """Expected power (H, W) of a field of unit pixel variance, from the definition."""
    radius = radius_of(shape)
    radius[0, 0] = 1
    power = radius**-alpha
    power[0, 0] = 0
    return power * power.numel() / power.sum()


def power_z_scores(field, alpha):
    """How far the mean periodogram of each ring is from |w|^-alpha, in standard errors (R,).

    The power of a real field is chi-square: with two degrees of freedom at a frequency, shared with
    its opposite, or one where a frequency is its own opposite. Each point of the grid brings one.
    """
    shape = tuple(field.shape[-2:])
    radius = radius_of(shape)
    kept = radius > 0
    ring = (radius[kept] + 0.5 + 1e-9).long() - 1
    power = fourier.fft2(field.double()).abs().square().mean((0, 1))
    ratio = power[kept] / power_law(shape, alpha)[kept]
    freedom = ring.bincount() * len(field)
    mean = ring.bincount(weights=ratio) / ring.bincount()
    return ((mean - 1) * (freedom / 2).sqrt())[freedom > 0]


SHAPES = [(16, 16), (17, 17), (12, 20), (21, 16)]


@pytest.mark.parametrize("alpha", [0, 1, 2.0, 3.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_def_gaussian_field(shape, alpha):
    field = images.gaussian_field(500, shape=shape, alpha=alpha, seed=1)
    assert field.shape == (500, 1, *shape) and field.dtype == torch.float32
    assert power_z_scores(field, alpha).abs().max() < SIGMAS
    # Negative control: an exponent off by a tenth is seen.
    assert power_z_scores(field, alpha + 0.1).abs().max() > SIGMAS


@pytest.mark.parametrize("alpha", [-1.0, 0, 2.0])
@pytest.mark.parametrize("shape", [(16, 16), (9, 14), (1, 8)])
def test_gaussian_field_has_unit_variance_and_no_mean(shape, alpha):
    field = images.gaussian_field(2000, shape=shape, alpha=alpha).double()
    n_pixels = math.prod(shape)
    # Variance of the mean square of an image: 2/D^2 times the sum of the squared powers.
    spread = math.sqrt(2 * power_law(shape, alpha).square().sum() / n_pixels**2 / len(field))
    assert abs(field.square().mean() - 1) < SIGMAS * spread
    assert field.mean((2, 3)).abs().max() < SINGLE


def test_gaussian_field_is_gaussian():
    """|x^|^2 is exponential: its second moment is twice the square of the first."""
    field = images.gaussian_field(4000, shape=(8, 10), alpha=2).double()
    power = fourier.fft2(field)[:, 0, 1:4, :].abs().square()  # none is its own opposite
    u = power / power_law((8, 10), 2)[1:4]
    # E u^2 = 2 and Var u^2 = 24 - 4 for an exponential u of mean 1.
    assert abs(u.square().mean() - 2) < SIGMAS * math.sqrt(20 / u.numel())
    assert abs(u.mean() - 1) < SIGMAS / math.sqrt(u.numel())


def test_gaussian_field_is_made_in_chunks(monkeypatch):
    monkeypatch.setattr(images, "_CHUNK_PIXELS", 3 * 16 * 17)
    field = images.gaussian_field(500, shape=(16, 17), alpha=1)  # 167 chunks, the last of two
    assert power_z_scores(field, 1).abs().max() < SIGMAS
    assert len(field.unique(dim=0)) == 500


def test_gaussian_field_seeds():
    first, again, other = (
        images.gaussian_field(2, shape=(8, 8), alpha=2, seed=s) for s in (3, 3, 4)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize("alpha", [-2000.0, 2000.0])
def test_gaussian_field_of_extreme_slope(alpha):
    field = images.gaussian_field(3, shape=(8, 50), alpha=alpha)
    assert torch.isfinite(field).all() and field.std() > 0.1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n": 0}, ValueError, "n must be at least 1, got 0"),
        ({"n": 1.5}, TypeError, "n must be an integer, got 1.5"),
        ({"shape": (8,)}, ValueError, r"shape must be a pair \(H, W\), got \(8,\)"),
        ({"shape": (8, 0)}, ValueError, r"shape\[1\] must be at least 1, got 0"),
        ({"shape": (1, 1)}, ValueError, "at least two pixels"),
        ({"alpha": math.nan}, ValueError, "alpha must be finite, got nan"),
        ({"alpha": math.inf}, ValueError, "alpha must be finite, got inf"),
        ({"alpha": "2"}, TypeError, "alpha must be a real number, got '2'"),
        ({"seed": 0.0}, TypeError, "seed must be an integer, got 0.0"),
    ],
)
def test_wrong_field_arguments(options, error, message):
    options = {"n": 2, "shape": (8, 8), "alpha": 2} | options
    with pytest.raises(error, match=message):
        images.gaussian_field(options.pop("n"), **options)


# Dead leaves


@pytest.fixture
def leaves(monkeypatch):
    """All leaves drawn so far: lists of centres, radii and grey levels, front to back."""
    drawn, draw_leaves = [], images._draw_leaves

    def record(*args):
        drawn.append(draw_leaves(*args))
        return drawn[-1]

    monkeypatch.setattr(images, "_draw_leaves", record)
    return drawn


def paint(leaves, shape, pixel):
    """Grey level at a pixel: that of the first leaf that reaches it, on the torus."""
    for centres, radii, greys in leaves:
        for centre, radius, grey in zip(centres.tolist(), radii.tolist(), greys, strict=True):
            gaps = [abs(p - c) for p, c in zip(pixel, centre, strict=True)]
            gaps = [min(gap, side - gap) for gap, side in zip(gaps, shape, strict=True)]
            if math.hypot(*gaps) <= radius:
                return grey.item()
    raise AssertionError(f"no leaf reaches {pixel}")


@pytest.mark.parametrize("r_min", [0.5, 2.0])
@pytest.mark.parametrize("shape", [(16, 16), (15, 21), (24, 13)])
def test_def_dead_leaves(leaves, shape, r_min):
    image = images.dead_leaves(1, shape=shape, r_min=r_min)[0, 0]
    for pixel in np.ndindex(*shape):
        assert image[pixel].item() == paint(leaves, shape, pixel)


def test_leaf_radii(leaves):
    images.dead_leaves(40, shape=(64, 64), r_min=1.0, r_max=16.0)
    radii = torch.cat([batch[1] for batch in leaves]).sort().values
    assert 1 <= radii[0] and radii[-1] <= 16

    def distance(power):  # of Kolmogorov and Smirnov, from a density r^-power
        share = (1 - radii ** (1 - power)) / (1 - 16.0 ** (1 - power))
        return (share - torch.linspace(0, 1, len(radii))).abs().max() * math.sqrt(len(radii))

    critical = math.sqrt(math.log(2 * 15_000) / 2)  # exceeded once in 15,000 samples
    assert distance(3) < critical
    assert distance(2.9) > critical  # negative control


def leaf_overlap(distance, r_min, r_max):
    """Mean area common to a random leaf and its copy shifted by a distance, times a constant."""
    r = np.geomspace(r_min, r_max, 4000)
    half = np.clip(distance[:, None] / (2 * r), 0, 1)
    lens = 2 * r**2 * (np.arccos(half) - half * np.sqrt(1 - half**2))
    return trapezoid(lens * r**-3, r, axis=1)


def leaf_covariance(shape, r_min, r_max):
    """Exact covariance (H, W) of dead leaves on the torus, by lag.

    Two pixels are equal if the first leaf that reaches either reaches both, which has probability
    overlap(h) / (2 overlap(0) - overlap(h)), and independent otherwise. Grey levels have variance
    1/12.
    """
    height, width = shape
    table = np.linspace(0, 2 * r_max, 400)
    overlap_at = leaf_overlap(table, r_min, r_max)
    overlap = np.zeros(shape)
    for up in (-height, 0, height):
        for left in (-width, 0, width):
            lag = np.hypot((np.arange(height) + up)[:, None], np.arange(width) + left)
            overlap += np.interp(lag, table, overlap_at, right=0)
    return torch.from_numpy(overlap / (2 * overlap[0, 0] - overlap) / 12)


def leaf_z_scores(leaves, covariance):
    """Ring averages of power against their expectation, in standard errors (R,)."""
    power = fourier.fft2(leaves.double() - 0.5).abs().square()  # 1/2 is the mean grey level
    expected = fourier.radial_average(torch.fft.fft2(covariance).real).mean
    seen = fourier.radial_average(power[:, 0]).mean  # (N, R)
    return (seen.mean(0) - expected) / (seen.std(0) / math.sqrt(len(seen)))


@pytest.mark.parametrize("shape", [(32, 32), (27, 40)])
def test_dead_leaves_have_the_power_of_the_model(shape):
    r_max = min(shape) / 2
    sample = images.dead_leaves(1000, shape=shape)
    assert leaf_z_scores(sample, leaf_covariance(shape, 2.0, r_max)).abs().max() < SIGMAS
    # Negative control: smallest radius off by a tenth.
    assert leaf_z_scores(sample, leaf_covariance(shape, 2.2, r_max)).abs().max() > SIGMAS


def log_log_slope(profile, low, high):
    """Slopes of the rows of a profile's mean (N, R)."""
    kept = (profile.frequency >= low) & (profile.frequency <= high)
    return np.polyfit(profile.frequency[kept].log(), profile.mean[:, kept].log().T, 1)[0]


def test_dead_leaves_fall_off_like_photographs():
    shape = (256, 256)
    sample = images.dead_leaves(40, shape=shape)
    power = fourier.fft2(sample[:, 0] - 0.5).abs().square()
    without_one = (power.sum(0) - power) / (len(power) - 1)  # jackknife over images
    slopes = log_log_slope(fourier.radial_average(without_one), 4, 32)
    error = math.sqrt((len(slopes) - 1) * np.var(slopes))
    theory = torch.fft.fft2(leaf_covariance(shape, 2.0, 128.0)).real[None]
    expected = log_log_slope(fourier.radial_average(theory), 4, 32).item()
    assert abs(np.mean(slopes) - expected) < SIGMAS * error
    assert error < 0.1
    assert -2.5 < expected < -1.5  # the range of natural images


def test_dead_leaves_are_many_and_fast(leaves):
    start = time.perf_counter()
    image = images.dead_leaves(1)
    assert time.perf_counter() - start < 1
    assert image.shape == (1, 1, 256, 256) and image.dtype == torch.float32
    assert sum(len(batch[1]) for batch in leaves) > 2000


def test_dead_leaves_seeds():
    first, again, other = (images.dead_leaves(2, shape=(16, 16), seed=s) for s in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n": 0}, ValueError, "n must be at least 1, got 0"),
        ({"shape": 64}, ValueError, r"shape must be a pair \(H, W\), got 64"),
        ({"shape": (3, 64)}, ValueError, "r_max <= 1.5 .*got r_min=2 and r_max=1.5"),
        ({"r_min": 0.1}, ValueError, "r_min must be at least 0.5, got 0.1"),
        ({"r_min": 4.0, "r_max": 4.0}, ValueError, "got r_min=4 and r_max=4"),
        ({"r_max": 17.0}, ValueError, r"r_max <= 16 \(half the shorter side\), got"),
        ({"r_max": math.nan}, ValueError, "r_max must be finite, got nan"),
        ({"r_min": "2"}, TypeError, "r_min must be a real number, got '2'"),
        ({"seed": -1}, ValueError, "seed must be between 0 and"),
    ],
)
def test_wrong_leaf_arguments(options, error, message):
    options = {"n": 1, "shape": (32, 40)} | options
    with pytest.raises(error, match=message):
        images.dead_leaves(options.pop("n"), **options)


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
