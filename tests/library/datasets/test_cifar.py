"""CIFAR-10: hand-made archives and files of JPEG images, whole and broken."""

import gzip
import io
import os
import pickle
import tarfile
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
import torch
from archives import TEST, TRAIN, as_members, hostile, jpeg_arrays, write_archive
from PIL import Image
from recorded import CIFAR10, needs_cifar10
from tolerances import SIGMAS

from freqsense.datasets import CIFAR10_CLASSES, _archives, read_cifar10, read_cifar10_jpeg


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


def test_a_link_in_place_of_a_cifar_batch_is_refused(tmp_path, batches):
    path = tmp_path / "cifar.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(hostile(TEST, tarfile.SYMTYPE, "/etc/passwd"))
    with pytest.raises(ValueError, match="must hold a file .*test_batch.bin, got a link"):
        read_cifar10(path, "test")


@needs_cifar10
def test_real_records():
    path = os.environ[CIFAR10]
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


# Images kept as JPEG files in one .npz file.


def write_jpegs(path, **changed):
    arrays = jpeg_arrays(12) | changed
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def test_jpeg_images_come_in_their_order_the_last_tenth_for_testing(tmp_path):
    path = write_jpegs(tmp_path / "jpeg.npz")
    (train, train_labels), (test, test_labels) = (
        read_cifar10_jpeg(path, split) for split in ("train", "test")
    )
    assert train.shape == (11, 3, 32, 32) and test.shape == (1, 3, 32, 32)
    assert train.dtype == torch.float32 and train_labels.dtype == torch.int64
    assert train_labels.tolist() == [k % 10 for k in range(11)] and test_labels.tolist() == [1]
    red = torch.cat([train, test])[:, 0, :, 16:].mean((1, 2)) * 255
    # Between colours there are 20 grey values, and JPEG is off by a few.
    assert (red - 20 * torch.arange(12)).abs().max() < 5


def test_jpeg_images_are_as_pillow_decodes_them(tmp_path):
    rng = np.random.default_rng(0)
    arrays = jpeg_arrays(10)
    content = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(content, "JPEG")
    kept = arrays["jpeg"][: arrays["offsets"][-2]].tobytes()
    arrays["jpeg"] = np.frombuffer(kept + content.getvalue(), np.uint8)
    arrays["offsets"][-1] = len(arrays["jpeg"])
    image, _ = read_cifar10_jpeg(write_jpegs(tmp_path / "a.npz", **arrays), "test")
    expected = np.asarray(Image.open(content)).transpose(2, 0, 1)
    assert np.array_equal((image[0] * 255).round().numpy(), expected)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"jpeg": None}, "must be a .npz file with the arrays jpeg, offsets, .*, got: jpeg is not"),
        ({"jpeg": np.zeros(9)}, r"jpeg in .* must be a row of uint8, got float64 \(9,\)"),
        ({"labels": np.zeros(12)}, r"labels in .* must be a row of integers, got float64"),
        ({"labels": np.arange(12)}, "labels in .* between 0 and 9, got 10 for image 10"),
        ({"labels": np.zeros(3, int)}, "at least 10 labels, .*, got 3 labels and 13 offsets"),
        ({"offsets": np.arange(13)}, "offsets in .* must rise from 0 to .*, got 0 to 12"),
        ({"classes": np.array(["cat"])}, r"classes in .* must be airplane, .*, got \['cat'\]"),
        ({"classes": np.array([object()])}, "must be a .npz file .*, got: Object arrays cannot"),
        (jpeg_arrays(12, size=16), "image 0 of .* 32 x 32 RGB pixels, got: 16 x 16 pixels"),
        (jpeg_arrays(12, mode="L"), "image 0 of .* 32 x 32 RGB pixels, got: .* mode L"),
    ],
)
def test_a_wrong_file_of_jpeg_images_is_told_what_is_wrong(tmp_path, changed, complaint):
    path = write_jpegs(tmp_path / "jpeg.npz", **changed)
    with pytest.raises(ValueError, match=complaint):
        read_cifar10_jpeg(path, "train")


def test_offsets_of_jpeg_images_must_rise(tmp_path):
    offsets = jpeg_arrays(12)["offsets"]
    offsets[[3, 4]] = offsets[[4, 3]]
    with pytest.raises(ValueError, match="offsets in .*, not always rising"):
        read_cifar10_jpeg(write_jpegs(tmp_path / "jpeg.npz", offsets=offsets), "train")


def test_a_damaged_jpeg_image_is_named(tmp_path):
    arrays = jpeg_arrays(12)
    damaged = arrays["jpeg"].copy()
    damaged[arrays["offsets"][4] :][:100] = 0
    path = write_jpegs(tmp_path / "jpeg.npz", jpeg=damaged)
    with pytest.raises(ValueError, match=r"image 4 of .*jpeg\.npz must be a JPEG .*, got: "):
        read_cifar10_jpeg(path, "train")
    assert len(read_cifar10_jpeg(path, "test")[0]) == 1  # which is not damaged


def test_what_is_no_file_of_jpeg_images(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        read_cifar10_jpeg(tmp_path / "none.npz", "train")
    for name, content in (("text.npz", b"<html>404</html>"), ("pickle.npz", pickle.dumps([1]))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} must be a .npz file with the arrays jpeg"):
            read_cifar10_jpeg(tmp_path / name, "train")


# Hostile archives: refused by name, within seconds and a few megabytes.


def write_gzip(path, *parts):
    path.write_bytes(gzip.compress(b"".join(parts), compresslevel=1))
    return path


def plain_member(name, content):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def old_sparse_member(name, size):
    """A member in GNU's old sparse format: 512 bytes that stand for many."""
    info = tarfile.TarInfo(name)
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 512
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[386:398], header[398:410] = b"%011o\0" % 0, b"%011o\0" % 512
    header[483:495] = b"\x80" + size.to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(512)


def new_sparse_member(name, size, version):
    """A member in one of GNU's sparse formats within extended headers."""
    info = tarfile.TarInfo(name)
    where = {"GNU.sparse.map": "0,512", "GNU.sparse.name": name, "GNU.sparse.numblocks": "1"}
    content = bytes(512)
    if version == "1.0":
        where = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": name}
        content = b"1\n0\n512\n".ljust(512, b"\0") + content
    sizes = {"GNU.sparse.size": str(size), "GNU.sparse.realsize": str(size)}
    info.pax_headers, info.size = where | sizes, len(content)
    return info.tobuf(tarfile.PAX_FORMAT) + content


def announcing_header(name, kind, size):
    """A header that announces far more than there is."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ([old_sparse_member(TEST, 2**33)], f"no sparse file, got {TEST}"),
        ([new_sparse_member(TEST, 2**33, "0.1")], f"no sparse file, got {TEST}"),
        ([new_sparse_member(TEST, 2**33, "1.0")], f"no sparse file, got {TEST}"),
        ([old_sparse_member("beside", 2**33)], "no sparse file, got beside"),
        ([announcing_header(TEST, tarfile.REGTYPE, 2**33)], "at most 30,730,000 .* got 8,589,934"),
        ([announcing_header("a", tarfile.GNUTYPE_LONGNAME, 2**33)], "headers of at most .* in a"),
        ([announcing_header("a", tarfile.XHDTYPE, 2**30)], "headers of at most 65,536 bytes"),
        ([announcing_header("a", tarfile.DIRTYPE, 2**60)], "headers of at most 65,536 bytes"),
        ([announcing_header(TEST, tarfile.REGTYPE, -512)], "complete tar.gz archive|3073 bytes"),
        ([announcing_header("a", tarfile.GNUTYPE_LONGNAME, 1)[:1024]] * 5000, "complete tar.gz"),
        ([plain_member(TEST, bytes(3073))] * 2, f"must hold one file {TEST}, got two"),
        ([b"\xff" * 512], "complete tar.gz archive, got: .*"),
        ([plain_member(TEST, bytes(3073))[:1000]], "complete tar.gz archive, got: .*end of data"),
    ],
)
def test_a_hostile_archive_is_refused_in_little_memory(tmp_path, parts, complaint):
    path = write_gzip(tmp_path / "cifar.tar.gz", *parts)
    tracemalloc.start()
    with pytest.raises(ValueError, match=complaint) as caught:
        read_cifar10(path, "test")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24 and len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("place", ["a member", "after the end"])
def test_a_gzip_bomb_is_refused_in_little_memory(tmp_path, monkeypatch, place):
    monkeypatch.setattr(_archives, "_MAX_UNPACKED", 2**24)
    zeros = bytes(2**25)
    sound = plain_member(TEST, bytes(3073))
    bomb = plain_member("beside", zeros) if place == "a member" else bytes(1024) + zeros
    path = write_gzip(tmp_path / "cifar.tar.gz", sound, bomb)
    del zeros, bomb
    tracemalloc.start()
    with pytest.raises(ValueError, match="at most 16,777,216 bytes when unpacked, got more"):
        read_cifar10(path, "test")
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()
    monkeypatch.setattr(_archives, "_MAX_UNPACKED", 2**26)
    assert len(read_cifar10(path, "test")[0]) == 1


@pytest.mark.parametrize("read", [read_cifar10, read_cifar10_jpeg])
def test_a_fifo_in_place_of_a_file_is_refused(tmp_path, read):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ValueError, match=r"must be a file, got .*fifo, which is a FIFO"):
        read(tmp_path / "fifo", "test")


def write_npz(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as stored:
        for name, content in members:
            with warnings.catch_warnings(action="ignore"):  # of a name that is there already
                stored.writestr(f"{name}.npy", content)
    return path


def npy(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def test_a_hostile_file_of_jpeg_images_is_refused_in_little_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(_archives, "_MAX_ARRAY", 2**20)
    sound = [(name, npy(array)) for name, array in jpeg_arrays(12).items()]
    path = write_npz(tmp_path / "sound.npz", sound)
    assert len(read_cifar10_jpeg(path, "test")[0]) == 1
    _, *rest = sound
    hostile_members = {
        "jpeg is in it more than once": [*sound, sound[0]],
        "jpeg of 2,097,152 bytes, above 1,048,576": [("jpeg", bytes(2**21)), *rest],
    }
    for complaint, members in hostile_members.items():
        path = write_npz(tmp_path / "hostile.npz", members)
        tracemalloc.start()
        with pytest.raises(ValueError, match=f"hostile.npz must be a .npz file .*{complaint}"):
            read_cifar10_jpeg(path, "test")
        assert tracemalloc.get_traced_memory()[1] < 2**24
        tracemalloc.stop()


def test_an_array_that_claims_more_than_there_is_is_refused(tmp_path):
    row = npy(np.zeros(9, np.uint8))
    claim = row.replace(b"(9,), }" + b" " * 12, b"(9" + b"0" * 12 + b",), }")
    assert len(claim) == len(row) and claim != row
    members = [(name, npy(array)) for name, array in jpeg_arrays(12).items()]
    path = write_npz(tmp_path / "a.npz", [("jpeg", claim), *members[1:]])
    with pytest.raises(ValueError, match=r"a\.npz must be a .npz file .*, got: "):
        read_cifar10_jpeg(path, "test")


def test_labels_of_any_integer_type_are_read(tmp_path):
    for kind in (">i8", "<u2", "u8"):
        labels = jpeg_arrays(12)["labels"].astype(kind)
        _, test = read_cifar10_jpeg(write_jpegs(tmp_path / "a.npz", labels=labels), "test")
        assert test.tolist() == [1] and test.dtype == torch.int64


def test_more_images_than_there_are_is_no_cifar10(tmp_path):
    labels, offsets = np.zeros(70_000, np.uint8), np.arange(70_001)
    path = write_jpegs(tmp_path / "a.npz", labels=labels, offsets=offsets)
    with pytest.raises(ValueError, match="at most 60000, .* got 70000 labels"):
        read_cifar10_jpeg(path, "train")
