"""Downloads, from a server on this machine."""

import errno
import hashlib
import io
import os
import socket
import time

import numpy as np
import pooch
import pytest
import torch
from archives import TEST, TRAIN
from recorded import CIFAR10, needs_cifar10

from freqsense.datasets import ARCHIVES, cifar10, download, read_cifar10

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


def test_what_is_no_file_in_the_archive_s_place_is_refused(tmp_path, server, archive):
    os.mkfifo(tmp_path / FILE)
    with pytest.raises(ValueError, match=f"archive must be a file, got .*{FILE}, which is a FIFO"):
        download("cifar10", tmp_path, **server.serve(archive))
    assert server.n_requests == 0


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
