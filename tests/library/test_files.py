"""Files that appear whole, together or not at all, and take no other thing's place."""

import os
import socket
import stat
import subprocess
import sys

import pytest

from freqsense import _files


def make_fifo(path):
    os.mkfifo(path)


def make_link(path):
    path.with_name("linked").write_bytes(b"kept")
    path.symlink_to(path.with_name("linked"))


def make_dangling_link(path):
    path.symlink_to(path.with_name("nowhere"))


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as bound:
        here = os.getcwd()
        os.chdir(path.parent)  # the path of a socket must be short
        try:
            bound.bind(path.name)
        finally:
            os.chdir(here)


def make_device(path):
    if os.getuid() != 0:
        pytest.skip("only root makes device nodes")
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("no device nodes in this container")


OTHERS = [make_fifo, make_link, make_dangling_link, make_socket, make_device]


def listed(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("make", OTHERS)
@pytest.mark.parametrize("write", ["atomic_write", "write_together"])
def test_nothing_but_a_file_is_replaced(tmp_path, make, write):
    path = tmp_path / "out"
    make(path)
    before = path.lstat()
    with pytest.raises(ValueError, match=r"got .*out, a (FIFO|link|socket|device)$"):
        if write == "atomic_write":
            _files.atomic_write(path, b"new")
        else:
            _files.write_together(tmp_path, {"other": b"new", "out": b"new"}, force=True)
    after = path.lstat()
    assert (after.st_mode, after.st_ino) == (before.st_mode, before.st_ino)
    assert b"new" not in listed(tmp_path).values()


def test_what_takes_the_place_while_a_file_is_written_stays(tmp_path):
    path = tmp_path / "out"
    with pytest.raises(ValueError, match="a FIFO"), _files.atomic_replace(path) as temporary:
        temporary.write_bytes(b"new")
        os.mkfifo(path)
    assert stat.S_ISFIFO(path.lstat().st_mode) and len(list(tmp_path.iterdir())) == 1


def test_a_regular_file_is_replaced(tmp_path):
    path = tmp_path / "out"
    _files.atomic_write(path, b"old")
    _files.atomic_write(path, b"new")
    assert listed(tmp_path) == {"out": b"new"}


@pytest.mark.parametrize("make", [make_fifo, make_device, os.mkdir])
def test_an_input_that_is_no_file_is_named_and_not_waited_for(tmp_path, make):
    make(tmp_path / "in")
    with pytest.raises(ValueError, match=r"X must be a file, got .*in, which is a (FIFO|dev|fold)"):
        _files.check_regular(tmp_path / "in", "X")
    make_link(tmp_path / "link")
    _files.check_regular(tmp_path / "link", "X")  # reading through a link harms nothing
    with pytest.raises(FileNotFoundError, match="X must be a file, got .*, which is none"):
        _files.check_regular(tmp_path / "nowhere", "X")


# Several files


def test_files_appear_together_in_a_folder_that_is_made(tmp_path):
    _files.write_together(tmp_path / "a" / "b", {"x": b"1", "y": b"2"})
    assert listed(tmp_path / "a" / "b") == {"x": b"1", "y": b"2"}
    assert len(list((tmp_path / "a" / "b").iterdir())) == 2


def test_files_that_are_there_are_replaced_only_by_force(tmp_path):
    (tmp_path / "y").write_bytes(b"old")
    (tmp_path / "z").write_bytes(b"another's")
    with pytest.raises(FileExistsError, match=r"must not hold y yet"):
        _files.write_together(tmp_path, {"x": b"1", "y": b"2"})
    assert listed(tmp_path) == {"y": b"old", "z": b"another's"}
    _files.write_together(tmp_path, {"x": b"1", "y": b"2"}, force=True)
    assert listed(tmp_path) == {"x": b"1", "y": b"2", "z": b"another's"}


@pytest.mark.parametrize("n_renamed", range(4))
def test_a_failure_leaves_the_folder_as_it_was(tmp_path, monkeypatch, n_renamed):
    """Two old files leave and two new ones come: any of the four renames may fail."""
    old = {"x": b"old x", "y": b"old y"}
    _files.write_together(tmp_path, old)
    left, rename = [n_renamed], os.replace

    def replace(source, target):
        left[0] -= 1
        if left[0] == -1:
            raise OSError("no space left")
        rename(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match="no space left"):
        _files.write_together(tmp_path, {"x": b"new x", "y": b"new y"}, force=True)
    assert listed(tmp_path) == old and len(list(tmp_path.iterdir())) == 2


def test_a_failure_while_writing_leaves_the_folder_as_it_was(tmp_path, monkeypatch):
    _files.write_together(tmp_path, {"x": b"old"})
    with pytest.raises(TypeError):
        _files.write_together(tmp_path, {"x": b"new", "y": None}, force=True)
    assert listed(tmp_path) == {"x": b"old"} and len(list(tmp_path.iterdir())) == 1


KILLED = """
import os, sys, pathlib
from freqsense import _files
left, rename = [int(sys.argv[2])], os.replace
def replace(source, target):
    left[0] -= 1
    if left[0] == -1:
        os._exit(9)
    rename(source, target)
os.replace = replace
_files.write_together(pathlib.Path(sys.argv[1]), {"x": b"new x", "y": b"new y"}, force=True)
"""


@pytest.mark.parametrize("n_renamed", [1, 3])
def test_a_killed_process_leaves_no_new_file_beside_an_old_one(tmp_path, n_renamed):
    _files.write_together(tmp_path, {"x": b"old x", "y": b"old y"})
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(n_renamed)]
    assert subprocess.run(command, timeout=60).returncode == 9
    assert len({content[:3] for content in listed(tmp_path).values()}) == 1
    everything = {path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert everything == {b"old x", b"old y", b"new x", b"new y"}  # and nothing is lost
