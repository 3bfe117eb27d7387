"""CIFAR-10 archives: hand-made ones, broken ones, and the real records where they are at hand."""

import gzip
import io
import os
import tarfile

import numpy as np
import pytest
import torch
from tolerances import SIGMAS

from freqsense.datasets import CIFAR10_CLASSES, read_cifar10

TRAIN = [f"cifar-10-batches-bin/data_batch_{k}.bin" for k in range(1, 6)]
TEST = "cifar-10-batches-bin/test_batch.bin"


def random_records(n, seed):
    """Records (n, 3073) of CIFAR-10's layout: a label, then 3072 pixels, channels first."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, (n, 1), dtype=np.uint8)
    return np.hstack([labels, rng.integers(0, 256, (n, 3072), dtype=np.uint8)])


def write_archive(path, members, level=9):
    """A tar.gz file with these members (name -> bytes), after a folder as in the official one."""
    with tarfile.open(path, "w:gz", compresslevel=level) as archive:
        folder = tarfile.TarInfo("cifar-10-batches-bin")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def batches():
    """Batches of unequal sizes, out of order and among other files, as in the official archive."""
    names = [TRAIN[0], TRAIN[2], TRAIN[3], TEST, TRAIN[4], TRAIN[1]]
    return {name: random_records(3 + k, seed=k) for k, name in enumerate(names)}


def as_members(batches):
    return {"cifar-10-batches-bin/batches.meta.txt": b"airplane\n"} | {
        name: records.tobytes() for name, records in batches.items()
    }


@pytest.mark.parametrize(("split", "names"), [("train", TRAIN), ("test", [TEST])])
def test_every_byte_comes_back(tmp_path, batches, split, names):
    path = write_archive(tmp_path / "cifar.tar.gz", as_members(batches))
    images, labels = read_cifar10(path, split)
    records = np.concatenate([batches[name] for name in names])
    assert images.dtype == torch.float32 and labels.dtype == torch.int64
    assert images.shape == (len(records), 3, 32, 32)
    assert labels.tolist() == records[:, 0].tolist()
    # Pixel by pixel, by the layout's own words: red, green, blue planes, each row by row.
    bytes_back = (images * 255).round().to(torch.uint8)
    for record, channel, row, column in [(0, 0, 0, 0), (2, 1, 5, 31), (-1, 2, 31, 4)]:
        expected = records[record, 1 + 1024 * channel + 32 * row + column]
        assert bytes_back[record, channel, row, column] == expected
    assert np.array_equal(bytes_back.reshape(len(records), -1).numpy(), records[:, 1:])


def test_pixels_fill_the_unit_interval(tmp_path):
    record = np.zeros((1, 3073), dtype=np.uint8)
    record[0, 1:1025] = 255
    images, _ = read_cifar10(write_archive(tmp_path / "a.tar.gz", {TEST: record.tobytes()}), "test")
    assert images[0, 0].unique().tolist() == [1.0]
    assert images[0, 1:].unique().tolist() == [0.0]


def test_nothing_is_written(tmp_path, batches, monkeypatch):
    path = write_archive(tmp_path / "cifar.tar.gz", as_members(batches))
    monkeypatch.chdir(tmp_path)
    read_cifar10(str(path), "train")
    assert [file.name for file in tmp_path.iterdir()] == ["cifar.tar.gz"]


def test_ten_classes_in_the_official_order():
    assert len(set(CIFAR10_CLASSES)) == 10
    assert CIFAR10_CLASSES[0] == "airplane" and CIFAR10_CLASSES[9] == "truck"


def test_unknown_split(tmp_path):
    with pytest.raises(ValueError, match="split must be one of train, test, got 'tset'.*'test'"):
        read_cifar10(tmp_path / "none.tar.gz", "tset")


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.tar\.gz"):
        read_cifar10(tmp_path / "none.tar.gz", "test")


def test_missing_member(tmp_path, batches):
    del batches[TRAIN[3]]
    path = write_archive(tmp_path / "cifar.tar.gz", as_members(batches))
    with pytest.raises(ValueError, match=r"has no cifar-10-batches-bin/data_batch_4\.bin$"):
        read_cifar10(path, "train")
    assert len(read_cifar10(path, "test")[0]) == len(batches[TEST])


@pytest.mark.parametrize("excess", [-1, 1, -3073 * 6], ids=["cut", "long", "empty"])
def test_batch_of_broken_records(tmp_path, batches, excess):
    content = (batches[TEST].tobytes() + b"\0")[: batches[TEST].size + excess]
    path = write_archive(tmp_path / "cifar.tar.gz", {TEST: content})
    with pytest.raises(ValueError, match=rf"test_batch.bin .*3073 bytes, got {len(content)} bytes"):
        read_cifar10(path, "test")


def test_label_above_nine(tmp_path, batches):
    batches[TRAIN[1]][2, 0] = 10
    path = write_archive(tmp_path / "cifar.tar.gz", as_members(batches))
    with pytest.raises(ValueError, match="data_batch_2.bin .*got label 10 in record 2"):
        read_cifar10(path, "train")


def broken_archives(good):
    """Ways to break an archive: name -> bytes."""
    stored = bytearray(good)
    stored[len(stored) // 2] ^= 1
    return {
        "empty": b"",
        "text": b"<html>404</html>" * 100,
        "plain tar": gzip.decompress(good),
        "gzip of no tar": gzip.compress(b"CIFAR" * 1000),
        "cut in half": good[: len(good) // 2],
        "without its end": good[:-6],
        "one bit flipped": bytes(stored),
    }


@pytest.mark.parametrize("damage", broken_archives(gzip.compress(b"-")))
def test_no_complete_archive(tmp_path, batches, damage):
    # Stored, not compressed: a flipped bit then shows in the checksum alone.
    path = write_archive(tmp_path / "cifar.tar.gz", as_members(batches), level=0)
    read_cifar10(path, "test")  # the same archive, whole, is read
    path.write_bytes(broken_archives(path.read_bytes())[damage])
    with pytest.raises(ValueError, match="must be a complete tar.gz archive, got: "):
        read_cifar10(path, "test")


def test_real_records():
    path = os.environ.get("FREQSENSE_CIFAR10")
    if not path:
        pytest.skip("set FREQSENSE_CIFAR10 to the path of a CIFAR-10 binary archive to run this")
    (train, train_labels), (test, test_labels) = (read_cifar10(path, s) for s in ("train", "test"))
    assert len(train) == 5 * len(test) == len(train_labels) == 5 * len(test_labels)
    # Channel means of the full training set, known to three digits; a subset of n images with a
    # scatter of about 0.13 between image means stays within a few standard errors.
    known = torch.tensor([0.4914, 0.4822, 0.4465])
    for images in (train, test):
        error = images.mean((2, 3)).std(0) / len(images) ** 0.5
        assert ((images.mean((0, 2, 3)) - known).abs() < SIGMAS * error + 5e-4).all()
    # About a tenth of each class: binomial scatter.
    share = train_labels.bincount(minlength=10) / len(train_labels)
    assert ((share - 0.1).abs() < SIGMAS * (0.09 / len(train_labels)) ** 0.5).all()
