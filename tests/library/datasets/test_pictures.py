"""Folders of one's own pictures: read right, or refused by file name."""

import io
import os
import re
import socket
import struct
import warnings
from contextlib import nullcontext
from pathlib import Path
from zlib import compress, crc32

import numpy as np
import pytest
import tifffile
from pictures import as_bytes, damage, picture, sound_files
from PIL import Image, ImageCms

from freqsense.datasets import image_folder
from freqsense.spectra import power_spectrum


def make_folder(root, pictures):
    for name, image in pictures.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(root / name)
    return root


def test_folder_of_classes(tmp_path):
    pictures = {
        "dog/b.png": picture(50, 40, 1),
        "dog/a.webp": picture(40, 41, 2),
        "cat/c.jpg": picture(64, 64, 3),
    }
    make_folder(tmp_path, pictures)
    (tmp_path / ".DS_Store").write_bytes(b"-")
    batches = image_folder(tmp_path, 40, batch_size=2)
    assert batches.classes == ("cat", "dog")
    assert batches.names == ("cat/c.jpg", "dog/a.webp", "dog/b.png")
    images, labels = batches.load()
    assert labels.tolist() == [0, 1, 1] and images.shape == (3, 3, 40, 40)
    whole = np.array(pictures["dog/b.png"])
    assert np.array_equal((images[2] * 255).round().permute(1, 2, 0).numpy(), whole[:, 5:45])
    assert power_spectrum(batches).n_images == 3


def test_flat_folder_of_pictures_as_they_are(tmp_path):
    make_folder(tmp_path / "mine", {f"{k}.png": picture(30, 20, k) for k in range(3)})
    batches = image_folder(str(tmp_path / "mine"))
    images, labels = batches.load()
    assert images.shape == (3, 3, 20, 30) and labels.tolist() == [0, 0, 0]
    assert batches.classes == ("mine",)


def test_shrinking_does_not_alias(tmp_path):
    # Stripes of period 3 pixels, shrunk by 4, are beyond the new Nyquist frequency: taking every
    # fourth pixel would show them at full contrast.
    stripes = np.tile(np.array([0, 128, 255], dtype=np.uint8), (240, 80))
    assert stripes[::4, ::4].std() > 100
    make_folder(tmp_path, {"a.png": Image.fromarray(stripes)})
    images, _ = image_folder(tmp_path, 60).load()
    assert images[..., 4:-4, 4:-4].std() < 0.02
    assert abs(images.mean() - stripes.mean() / 255) < 0.01


def test_cameras_that_were_held_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # lying on its left side
    lying = picture(48, 32)
    lying.save(tmp_path / "a.png", exif=exif)
    upright = np.rot90(np.array(lying), -1)
    picture(32, 48).save(tmp_path / "b.png")  # of the same size as the first is shown in
    images, _ = image_folder(tmp_path).load()
    assert np.array_equal((images[0] * 255).round().permute(1, 2, 0).numpy(), upright)


def test_files_that_are_no_pictures_are_all_named(tmp_path):
    make_folder(tmp_path, {"fine.png": picture(40, 40), "small.png": picture(40, 31)})
    (tmp_path / "notes.txt").write_text("to do")
    (tmp_path / "empty.jpg").write_bytes(b"")
    depth = np.arange(1600, dtype=np.uint16).reshape(40, 40)
    Image.fromarray(depth).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match="got 4 others among 5 files") as caught:
        image_folder(tmp_path, 32)
    lines = str(caught.value).splitlines()[1:]
    assert [line.split(":")[0].strip() for line in lines] == [
        "deep.png",
        "empty.jpg",
        "notes.txt",
        "small.png",
    ]
    assert "eight bits a channel" in lines[0] and "40 x 31 pixels" in lines[3]


def test_many_wrong_files_are_counted(tmp_path):
    for k in range(25):
        (tmp_path / f"{k}.txt").write_text("-")
    with pytest.raises(ValueError, match="got 25 others among 25(.|\n)*and 5 more$"):
        image_folder(tmp_path)


def test_a_truncated_picture_is_named_before_any_is_used(tmp_path):
    make_folder(tmp_path, {"fine.png": picture(64, 64)})
    whole = as_bytes(picture(64, 64), "JPEG")
    for n in (len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.jpg").write_bytes(whole[:n])
        with pytest.raises(ValueError, match=r"got 1 other among 2 .*\n  cut.jpg: .*truncated"):
            image_folder(tmp_path)


@pytest.mark.parametrize(
    ("pictures", "match"),
    [
        (["a.png", "cat/b.png"], "either pictures or a subfolder .*both: a.png and cat/"),
        (["cat/deeper/a.png"], "one level of subfolders .* second level, cat/deeper: give .*/cat"),
        ([], "is empty"),
    ],
)
def test_folder_of_another_layout(tmp_path, pictures, match):
    root = make_folder(tmp_path, {name: picture(8, 8) for name in pictures})
    with pytest.raises(ValueError, match=match):
        image_folder(root, 8)


def test_pictures_of_several_sizes_need_a_size(tmp_path):
    make_folder(tmp_path, {"a.png": picture(8, 8), "b.png": picture(9, 8)})
    with pytest.raises(ValueError, match=r"one size .* got 8 x 8 \(a.png\), 9 x 8 \(b.png\)"):
        image_folder(tmp_path)


def test_no_such_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        image_folder(tmp_path / "nowhere", 32)
    with pytest.raises(TypeError, match="path must be the path of a folder, got None"):
        image_folder(None)
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        image_folder(tmp_path, 0)


# What decodes to something else than its header says.

TURNED = {
    1: lambda shown: shown,
    2: np.fliplr,
    3: lambda shown: np.rot90(shown, 2),
    4: np.flipud,
    5: lambda shown: shown.swapaxes(0, 1),
    6: lambda shown: np.rot90(shown, -1),
    7: lambda shown: np.rot90(shown.swapaxes(0, 1), 2),
    8: np.rot90,
}


def load_one(folder, name, content):
    """Pixels (H, W, 3), uint8, of a folder with nothing but this file."""
    (folder / name).write_bytes(content)
    images, _ = image_folder(folder).load()
    (folder / name).unlink()
    return (images[0] * 255).round().byte().permute(1, 2, 0).numpy()


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("JPEG", {}),
        ("PNG", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
    ],
)
@pytest.mark.parametrize("tag", TURNED)
def test_a_picture_is_turned_as_its_camera_says(tmp_path, form, options, tag):
    exif = Image.Exif()
    exif[0x0112] = tag
    plain, tagged = (as_bytes(picture(), form, **options, **more) for more in ({}, {"exif": exif}))
    stored = load_one(tmp_path, "plain", plain)
    assert np.array_equal(load_one(tmp_path, "tagged", tagged), TURNED[tag](stored))


def exif_block(*entries, more=b""):
    """An EXIF block of these (tag, type, count, four bytes of value)."""
    body = b"".join(struct.pack("<HHI4s", *entry) for entry in entries)
    header = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries))
    return header + body + bytes(4) + more


LYING = (0x0112, 3, 1, b"\6\0\0\0")  # orientation 6, rightly a SHORT


@pytest.mark.parametrize(
    "entry",
    [
        (0x0112, 3, 1, b"\0\0\0\0"),
        (0x0112, 3, 1, b"\x09\0\0\0"),
        (0x0112, 9, 1, b"\xff\xff\xff\xff"),
        (0x0112, 2, 2, b"6\0\0\0"),
        (0x0112, 7, 1, b"\6\0\0\0"),
    ],
    ids=["0", "9", "negative", "text", "bytes"],
)
def test_an_orientation_that_is_none_turns_nothing(tmp_path, entry):
    content = as_bytes(picture(), "JPEG", exif=exif_block(entry))
    stored = load_one(tmp_path, "plain.jpg", as_bytes(picture(), "JPEG"))
    assert np.array_equal(load_one(tmp_path, "odd.jpg", content), stored)


@pytest.mark.parametrize(
    ("entry", "more"),
    [
        ((0x011A, 7, 4, b"abcd"), b""),
        ((0x011A, 5, 1, struct.pack("<I", 38)), bytes(8)),
        ((0x011A, 5, 1, b"\xff\xff\xff\x7f"), b""),
    ],
    ids=["resolution as bytes", "resolution 0/0", "resolution beyond the end"],
)
def test_a_picture_is_turned_though_other_tags_are_broken(tmp_path, entry, more):
    content = as_bytes(picture(), "JPEG", exif=exif_block(LYING, entry, more=more))
    stored = load_one(tmp_path, "plain.jpg", as_bytes(picture(), "JPEG"))
    assert np.array_equal(load_one(tmp_path, "odd.jpg", content), np.rot90(stored, -1))


@pytest.mark.parametrize(
    "error",
    [KeyError("x"), ZeroDivisionError(), TypeError("y\nz"), RecursionError(), MemoryError()],
)
def test_whatever_a_decoder_raises_the_file_is_named(tmp_path, monkeypatch, error):
    def fail(image):
        raise error

    make_folder(tmp_path, {"a.png": picture()})
    monkeypatch.setattr(Image.Image, "getexif", fail)
    with pytest.raises(ValueError, match=r"files:\n  a\.png: .+") as caught:
        image_folder(tmp_path)
    assert len(str(caught.value).splitlines()) == 2


def png(values, kind, *, depth=16, more=b""):
    """A PNG file of an array (H, W, ...) of whole numbers, of a colour type of the standard."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", crc32(name + body))

    rows = b"".join(b"\0" + row.astype(f">u{depth // 8}").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], depth, kind, 0, 0, 0)
    parts = [chunk(b"IHDR", head), more, chunk(b"IDAT", compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    ("kind", "n_channels"), [(2, 3), (4, 2), (6, 4)], ids=["colour", "grey+alpha", "colour+alpha"]
)
def test_of_sixteen_bits_the_upper_eight_are_read(tmp_path, kind, n_channels):
    values = np.random.default_rng(0).integers(0, 2**16, (14, 20, n_channels))
    expected = (values >> 8)[..., [0, 0, 0] if n_channels == 2 else [0, 1, 2]]
    assert np.array_equal(load_one(tmp_path, "deep.png", png(values, kind)), expected)


@pytest.mark.parametrize(
    ("values", "options"),
    [
        (np.uint16([[0, 65535]] * 8), {"photometric": "minisblack"}),
        (np.uint16([[[0, 300, 65535]] * 8] * 8), {"photometric": "rgb"}),
        (
            np.uint16([[[0, 300, 65535, 8]] * 8] * 3),
            {"photometric": "rgb", "planarconfig": "separate"},
        ),
        (np.float32([[0, 1]] * 8), {"photometric": "minisblack"}),
        (np.int8([[-1, 1]] * 8), {"photometric": "minisblack"}),
        (np.uint8([[[0, 128, 255]] * 8] * 8), {"photometric": "cielab"}),
    ],
    ids=["grey 16", "colour 16", "planes of 16", "float", "signed", "Lab"],
)
def test_a_tiff_of_other_values_is_refused(tmp_path, values, options):
    tifffile.imwrite(tmp_path / "odd.tif", values, **options)
    with pytest.raises(ValueError, match=r"odd\.tif: (samples|pixels) .*must be .*eight bits"):
        image_folder(tmp_path)


def test_a_tiff_of_planes_of_eight_bits_is_read(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (3, 14, 20), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", planarconfig="separate")
    images, _ = image_folder(tmp_path).load()
    assert np.array_equal((images[0] * 255).round(), values)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.filterwarnings("error")
def test_every_mode_is_read_as_its_colours(tmp_path, form, mode):
    values = np.asarray(source := picture(mode=mode))
    if mode == "P":
        colours = np.reshape(source.getpalette(), (-1, 3))[values]
    else:
        scale = 255 if mode == "1" else 1
        colours = (
            scale * np.atleast_3d(values)[..., [0] * 3 if mode in ("1", "L", "LA") else [0, 1, 2]]
        )
    assert np.array_equal(load_one(tmp_path, "a", as_bytes(source, form)), colours)


@pytest.mark.filterwarnings("error")
def test_transparency_is_dropped(tmp_path):
    source = picture(mode="P")
    content = as_bytes(source, "PNG", transparency=bytes(range(256)))
    assert Image.open(io.BytesIO(content)).info["transparency"]
    colours = np.reshape(source.getpalette(), (-1, 3))[np.asarray(source)]
    assert np.array_equal(load_one(tmp_path, "a.png", content), colours)


def test_a_colour_profile_changes_nothing(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    for icc in (profile, b"no profile"):
        content = as_bytes(picture(), icc_profile=icc)
        assert np.array_equal(load_one(tmp_path, "a.png", content), np.asarray(picture()))


@pytest.mark.parametrize("form", ["GIF", "PNG", "TIFF", "WEBP"])
def test_an_animation_and_several_pages_are_refused(tmp_path, form):
    more = {"save_all": True, "append_images": [picture(seed=1)]}
    make_folder(tmp_path, {"a.png": picture()})
    (tmp_path / "moving").write_bytes(as_bytes(picture(), form, **more))
    reason = "nothing that Pillow can open" if form == "GIF" else "several pages or frames"
    with pytest.raises(ValueError, match=f"moving: .*{reason}"):
        image_folder(tmp_path)


def test_of_a_camera_s_pair_the_first_is_the_picture(tmp_path):
    more = {"save_all": True, "append_images": [picture(seed=1)]}
    pair, single = as_bytes(picture(), "MPO", **more), as_bytes(picture(), "JPEG")
    assert Image.open(io.BytesIO(pair)).format == "MPO"
    first, alone = (load_one(tmp_path, "a.jpg", content) for content in (pair, single))
    assert np.array_equal(first, alone)


def test_missing_strips_are_not_read_as_black(tmp_path):
    content = bytearray(as_bytes(picture(20, 14), "TIFF"))
    tags = Image.open(io.BytesIO(content)).tag_v2
    place = content.index(struct.pack("<HHI", 257, 4 if tags.tagtype[257] == 4 else 3, 1)) + 8
    content[place : place + 2] = struct.pack("<H", 28)  # twice the height that is there
    with pytest.raises(ValueError, match=r"a\.tif: 280 pixels of 20 x 28 are there"):
        load_one(tmp_path, "a.tif", bytes(content))


@pytest.mark.parametrize("limit", [200, 100], ids=["warned of", "refused by Pillow"])
def test_a_decompression_bomb_is_named(tmp_path, monkeypatch, limit):
    make_folder(tmp_path, {"bomb.png": picture(20, 14)})
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(ValueError, match=r"bomb\.png: .*280 pixels.*limit"):
        image_folder(tmp_path)


def test_damaged_files_are_read_or_refused_by_name(tmp_path):
    files = sound_files()
    rng, outcomes = np.random.default_rng(0), []
    for _ in range(300):
        name, other = rng.choice(sorted(files), 2)
        (tmp_path / "picture").write_bytes(damage(files[name], files[other], rng))
        try:
            with warnings.catch_warnings(action="error"):
                images, _ = image_folder(tmp_path).load()
            assert images.shape[:2] == (1, 3) and 0 <= images.min() and images.max() <= 1
            outcomes.append("read")
        except ValueError as error:
            assert re.search(r"files:\n  picture: [^\n]+$", str(error)), name
            outcomes.append("refused")
    assert outcomes.count("read") > 30 and outcomes.count("refused") > 100


def test_sound_files_are_read_or_refused_for_what_they_are(tmp_path):
    """The negative control of the test above."""
    for name, content in sound_files().items():
        refused = re.search(r"GIF|I;16|-F$|-F-2|LAB|(TIFF|WEBP).*-2$", name)
        with pytest.raises(ValueError) if refused else nullcontext():
            load_one(tmp_path, "picture", content)


# What is no file, and names.


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path.name)  # in the current folder: an address has at most 100 characters


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (os.mkfifo, "a FIFO"),
        (make_socket, "a socket"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
        (lambda path: path.symlink_to("nowhere"), "which is none"),
        (lambda path: path.symlink_to(path.name), "which is none|symbolic links"),
    ],
    ids=["fifo", "socket", "device", "broken link", "link to itself"],
)
def test_what_is_no_file_is_named_and_never_opened(tmp_path, monkeypatch, make, kind):
    make_folder(tmp_path, {"a.png": picture()})
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "odd.png")
    with pytest.raises(ValueError, match=rf"got 1 other among 2 .*\n  odd\.png: .*({kind})"):
        image_folder(tmp_path)


def test_a_link_to_a_picture_is_that_picture(tmp_path):
    make_folder(tmp_path, {"away/a.png": picture()})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "b.png").symlink_to(tmp_path / "away" / "a.png")
    images, _ = image_folder(tmp_path / "mine").load()
    assert np.array_equal((images[0] * 255).round().permute(1, 2, 0), np.asarray(picture()))


@pytest.mark.parametrize("name", [b"b\xff.png", b"two\nlines.png", b"\x1b[2J.png"])
def test_names_that_cannot_be_printed_are_escaped(tmp_path, name):
    path = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))
    picture().save(path)
    (shown,) = image_folder(tmp_path).names
    path.write_bytes(b"-")
    with pytest.raises(ValueError, match=re.escape(shown)) as caught:
        image_folder(tmp_path)
    assert shown.isprintable() and shown.encode() and len(str(caught.value).splitlines()) == 2


# Levels, and what is left out.


def test_of_splits_one_is_to_be_given(tmp_path):
    names = [f"{split}/{kind}/1.png" for split in ("train", "val") for kind in ("cat", "dog")]
    root = make_folder(tmp_path, dict.fromkeys(names, picture()))
    for skip_others in (False, True):
        with pytest.raises(ValueError, match=r"one level .*, got .* train/cat: give .*/train, for"):
            image_folder(root, skip_others=skip_others)
    assert image_folder(root / "train").classes == ("cat", "dog")


def test_others_are_left_out_if_asked_for_and_named(tmp_path):
    names = ["cat/1.png", "cat/2.png", "dog/1.png", "dog/deeper/1.png"]
    root = make_folder(tmp_path, dict.fromkeys(names, picture(8, 8)) | {"dog/0.png": picture(7, 8)})
    (root / "cat" / "notes.txt").write_text("-")
    (root / "labels.csv").write_text("-")
    (root / "empty").mkdir()
    (root / "broken").mkdir()
    (root / "broken" / "1.png").write_bytes(b"-")
    with pytest.warns(UserWarning, match="left out of .*: 8 others among 9 files:") as caught:
        batches = image_folder(root, 8, skip_others=True)
    assert batches.names == ("cat/1.png", "cat/2.png", "dog/1.png")
    assert batches.classes == ("cat", "dog") and batches.load()[1].tolist() == [0, 0, 1]
    lines = str(caught[0].message).splitlines()[1:]
    assert {line.split(":")[0].strip() for line in lines} == {
        *("broken/1.png", "broken/", "cat/notes.txt", "dog/0.png", "dog/deeper"),
        *("empty", "empty/", "labels.csv"),
    }


def test_nothing_is_left_out_unless_asked_for(tmp_path, recwarn):
    root = make_folder(tmp_path, {"1.png": picture()})
    image_folder(root, skip_others=True)
    assert not recwarn.list
    (root / "notes.txt").write_text("-")
    with pytest.raises(ValueError, match=r"got 1 other among 2 files \(skip_others leaves them"):
        image_folder(root)
    (root / "1.png").unlink()
    with pytest.raises(ValueError, match="got 1 other among 1 files:"):
        image_folder(root, skip_others=True)
    with pytest.raises(TypeError, match="skip_others must be True or False, got 1"):
        image_folder(root, skip_others=1)


def test_pictures_beside_classes_are_never_left_out(tmp_path):
    root = make_folder(tmp_path, dict.fromkeys(["a.png", "cat/1.png"], picture()))
    with pytest.raises(ValueError, match="got both: a.png and cat/"):
        image_folder(root, skip_others=True)


def test_grey_pictures_among_colour_ones_are_told(tmp_path, recwarn):
    grey = picture(mode="L")
    root = make_folder(tmp_path, {"1.jpg": grey, "2.png": grey.convert("RGB")})
    image_folder(root)
    make_folder(tmp_path / "colour", {"3.png": picture(), "4.png": picture(seed=1)})
    image_folder(tmp_path / "colour")
    assert not recwarn.list  # all grey, or none
    make_folder(root / "all", {"1.jpg": grey, "2.png": grey.convert("RGB"), "3.png": picture()})
    with pytest.warns(UserWarning, match=r"2 of 3 pictures in .* are grey.*: 1\.jpg, 2\.png$"):
        image_folder(root / "all")


def test_a_picture_that_changes_after_the_check_is_named(tmp_path):
    root = make_folder(tmp_path, {"a.png": picture(), "b.png": picture()})
    batches = image_folder(root)
    picture(21, 14).save(root / "b.png")
    with pytest.raises(ValueError, match=r"one size .* 20 x 14 \(a\.png\), 21 x 14 \(b\.png\)"):
        batches.load()
    (root / "b.png").write_bytes(b"-")
    with pytest.raises(ValueError, match=r"b\.png must be a picture, got: nothing"):
        batches.load()


@pytest.mark.parametrize("shown", [True, False])
def test_progress_over_files_is_shown(tmp_path, capfd, shown):
    image_folder(make_folder(tmp_path, {"a.png": picture()}), progress=shown)
    assert ("1/1" in capfd.readouterr().err) is shown
