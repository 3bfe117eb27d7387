"""Folders of one's own pictures: read right, or refused by file name."""

import numpy as np
import pytest
from pictures import as_bytes, picture
from PIL import Image

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
