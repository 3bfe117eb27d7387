"""Data sets: hand-made archives, whole and broken, from a server on this machine; own pictures."""

import errno
import gzip
import hashlib
import io
import os
import pickle
import socket
import tarfile
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pooch
import pytest
import torch
from archives import TEST, TRAIN, jpeg_arrays, random_records, write_archive
from PIL import Image
from recorded import CIFAR10, needs_cifar10
from tolerances import ATOL, SIGMAS

from freqsense.datasets import (
    ARCHIVES,
    CIFAR10_CLASSES,
    IMAGENETTE_CLASSES,
    cifar10,
    download,
    image_folder,
    imagenette,
    read_cifar10,
    read_cifar10_jpeg,
)
from freqsense.spectra import power_spectrum


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


# Downloads, from a server on this machine.


class Server:
    """Serves ``content`` on 127.0.0.1, the first requests as ``plan`` says.

    "whole" : all of it; so are all requests after the plan
    "drop" : half of it, then the connection is closed
    "drop unsaid" : the same, without having said how long the whole is
    "missing" : 404
    """

    def __init__(self, publish):
        self.content, self.plan, self.n_requests, self.at_half = b"", [], 0, lambda: None
        self.publish = publish
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.n_requests += 1
                server.answer(self, server.plan.pop(0) if server.plan else "whole")

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_address[1]}/mirror"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,))
        self.thread.start()

    def answer(self, handler, how):
        half = len(self.content) // 2
        handler.send_response(404 if how == "missing" else 200)
        if how in ("whole", "drop"):
            handler.send_header("Content-Length", str(len(self.content)))
        handler.end_headers()
        if how == "missing":
            return
        handler.wfile.write(self.content[:half])
        handler.wfile.flush()
        self.at_half()
        if how == "whole":
            handler.wfile.write(self.content[half:])

    def serve(self, content, *plan):
        """Serve this from now on, as what is published; returns what a download is called with."""
        self.content, self.plan = content, list(plan)
        self.publish(self.address, hashlib.sha256(content).hexdigest())
        return {"progress": False}

    def stop(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join(5)


@pytest.fixture
def publish(monkeypatch):
    """A function that moves all archives to an address, with another sum if it is given one."""
    official = dict(ARCHIVES)

    def publish(address, sha256=None):
        for name, archive in official.items():
            moved = replace(archive, url=f"{address}/{archive.file}")
            moved = moved if sha256 is None else replace(moved, sha256=sha256)
            monkeypatch.setitem(ARCHIVES, name, moved)

    return publish


@pytest.fixture
def server(monkeypatch, publish):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = Server(publish)
    yield running
    running.stop()


@pytest.fixture
def pauses(monkeypatch):
    """Lengths of the pauses between tries, which are not made."""
    made = []
    monkeypatch.setattr("pooch.core.time.sleep", made.append)
    return made


@pytest.fixture
def archive(tmp_path, batches):
    """Bytes of a hand-made CIFAR-10 archive."""
    return write_archive(tmp_path / "made.tar.gz", as_members(batches)).read_bytes()


FILE = "cifar-10-binary.tar.gz"


def test_cifar10_is_downloaded_once_and_parsed(tmp_path, server, archive, batches):
    root = tmp_path / "new" / "folder"
    call = server.serve(archive)
    images, labels = cifar10(root, **call)
    expected = np.concatenate([batches[name] for name in TRAIN])
    assert labels.tolist() == expected[:, 0].tolist()
    assert np.array_equal((images * 255).round().reshape(len(images), -1), expected[:, 1:])
    assert (root / FILE).read_bytes() == archive
    assert server.n_requests == 1
    test, _ = cifar10(str(root), "test", **call)
    assert len(test) == len(batches[TEST])
    assert server.n_requests == 1
    assert [file.name for file in root.iterdir()] == [FILE]


def test_an_archive_put_there_by_hand_needs_no_network(tmp_path, archive, publish):
    (tmp_path / FILE).write_bytes(archive)
    publish(f"http://127.0.0.1:{closed_port()}", hashlib.sha256(archive).hexdigest())
    images, _ = cifar10(tmp_path)
    assert len(images)


def closed_port():
    """A port of this machine at which nothing listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def test_no_network_says_what_to_do_within_seconds(tmp_path, monkeypatch, publish):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    publish(f"http://127.0.0.1:{closed_port()}")
    start = time.perf_counter()
    with pytest.raises(ConnectionError) as caught:
        cifar10(tmp_path / "root", progress=False)
    assert time.perf_counter() - start < 10
    message = str(caught.value)
    assert "in 3 tries" in message and "another one" not in message
    assert f"fetch {FILE} (170,052,171 bytes) elsewhere and put it into" in message
    assert str(tmp_path / "root") in message
    assert list((tmp_path / "root").iterdir()) == []


def test_a_wrong_file_without_a_network_is_named_and_left_alone(tmp_path, pauses, publish):
    (tmp_path / FILE).write_bytes(b"half of it")
    publish(f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(ConnectionError, match="already is another one, by its SHA-256$"):
        cifar10(tmp_path, progress=False)
    assert (tmp_path / FILE).read_bytes() == b"half of it"
    assert pauses == [1, 2]


def test_a_wrong_file_is_replaced(tmp_path, server, archive):
    root = tmp_path / "root"
    root.mkdir()
    (root / FILE).write_bytes(archive[:-9])
    assert download("cifar10", root, **server.serve(archive)).read_bytes() == archive


@pytest.mark.parametrize("how", ["drop", "drop unsaid", "missing"])
def test_a_passing_fault_is_survived(tmp_path, server, archive, pauses, how):
    path = download("cifar10", tmp_path / "root", **server.serve(archive, how, how))
    assert path.read_bytes() == archive
    assert server.n_requests == 3
    assert pauses == [1, 2]


@pytest.mark.parametrize(
    ("how", "error", "match"),
    [
        ("drop", ConnectionError, f"could not download .*/mirror/{FILE} in 3 tries: .*Incomplete"),
        ("drop unsaid", ValueError, f"must be the published {FILE}, but: .* does not match"),
        ("missing", ConnectionError, "404 .*Without a network"),
    ],
)
def test_a_lasting_fault_is_told_and_leaves_nothing(
    tmp_path, server, archive, pauses, how, error, match
):
    root = tmp_path / "root"
    with pytest.raises(error, match=match):
        cifar10(root, **server.serve(archive, *[how] * 9))
    assert server.n_requests == 3
    assert list(root.iterdir()) == []


def test_wrong_hash(tmp_path, server, archive, pauses):
    call = server.serve(archive)
    server.publish(server.address, "0" * 64)
    with pytest.raises(ValueError, match=f"expected {'0' * 64} but got"):
        download("cifar10", tmp_path / "root", **call)
    assert list((tmp_path / "root").iterdir()) == []


def test_the_official_sum_is_asked_for(tmp_path, server, archive, pauses):
    call = server.serve(archive)
    server.publish(server.address)
    with pytest.raises(ValueError, match=ARCHIVES["cifar10"].sha256):
        download("cifar10", tmp_path / "root", **call)


def test_no_file_has_the_final_name_before_it_is_whole(tmp_path, server, archive):
    root, seen = tmp_path / "root", []
    call = server.serve(archive, "whole")
    server.at_half = lambda: seen.append((root / FILE).exists())
    download("cifar10", root, **call)
    assert seen == [False]
    assert (root / FILE).exists()


def test_a_full_disk(tmp_path, server, archive, monkeypatch, pauses):
    class FullDisk(io.FileIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    call = server.serve(archive)
    monkeypatch.setattr(pooch.downloaders, "open", lambda *_: FullDisk(*_), raising=False)
    with pytest.raises(OSError, match="no room for .*170,052,171 bytes.*choose") as caught:
        cifar10(tmp_path / "root", **call)
    assert caught.value.errno == errno.ENOSPC
    assert server.n_requests == 1 and pauses == []  # trying again would not help
    assert list((tmp_path / "root").iterdir()) == []
    monkeypatch.undo()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server.serve(archive)
    assert len(cifar10(tmp_path / "root", **call)[0])  # and then there is room


@pytest.mark.parametrize("shown", [True, False])
def test_progress_is_shown(tmp_path, server, archive, capfd, shown):
    download("cifar10", tmp_path / "root", **server.serve(archive) | {"progress": shown})
    assert ("100%" in capfd.readouterr().err) is shown


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"root": 3}, TypeError, "root must be the path of a folder, got 3"),
        ({"root": __file__}, NotADirectoryError, "root must be a folder, got the file"),
        ({"progress": "yes"}, TypeError, "progress must be True or False"),
        ({"split": "val"}, ValueError, "split must be one of train, test"),
    ],
)
def test_bad_arguments_come_to_light_before_any_request(tmp_path, server, change, error, match):
    with pytest.raises(error, match=match):
        cifar10(**{"root": tmp_path, **server.serve(b"-"), **change})
    assert server.n_requests == 0


def test_the_default_folder_is_the_cache_of_the_user(tmp_path, server, archive, monkeypatch):
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / name)
    assert download("cifar10", **server.serve(archive)) == tmp_path / "freqsense" / FILE


@needs_cifar10
def test_the_real_records_through_the_whole_way(tmp_path, server):
    path = os.environ[CIFAR10]
    with open(path, "rb") as file:
        call = server.serve(file.read(), "drop")
    images, labels = cifar10(tmp_path, "test", **call)
    expected, expected_labels = read_cifar10(path, "test")
    assert torch.equal(images, expected) and torch.equal(labels, expected_labels)
    assert server.n_requests == 2


# Imagenette.

FOLDERS = ["n01440764", "n02102040", "n03888257"]  # labels 0, 1 and 9


def picture(width, height, seed=0, mode="RGB"):
    """A picture of noise, the hardest case for every filter."""
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def as_bytes(image, form="PNG"):
    stream = io.BytesIO()
    image.save(stream, form)
    return stream.getvalue()


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


def hostile(name, kind=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    info.size = 100 if kind == tarfile.REGTYPE else 0
    return info


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


def test_a_link_in_place_of_a_cifar_batch_is_refused(tmp_path, batches):
    path = tmp_path / "cifar.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(hostile(TEST, tarfile.SYMTYPE, "/etc/passwd"))
    with pytest.raises(ValueError, match="must hold a file .*test_batch.bin, got a link"):
        read_cifar10(path, "test")


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


# Own pictures.


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


def test_a_truncated_picture_is_named_when_decoded(tmp_path):
    (tmp_path / "cut.jpg").write_bytes(as_bytes(picture(64, 64), "JPEG")[:3000])
    with pytest.raises(ValueError, match="cut.jpg must be a picture, got: .*truncated"):
        image_folder(tmp_path).load()


@pytest.mark.parametrize(
    ("pictures", "match"),
    [
        (["a.png", "cat/b.png"], "either pictures or a subfolder .*both: a.png and cat/"),
        (["cat/deeper/a.png"], "cat/deeper: "),
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
