"""Files that are complete or not there, and paths that are files."""

import os
import stat
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_regular(path: Path, name: str) -> None:
    """Raise unless a path leads to a regular file; nothing is opened, since a FIFO would wait."""
    if not path.exists():
        raise FileNotFoundError(f"{name} must be a file, got {path}, which is none")
    if not path.is_file():
        raise ValueError(f"{name} must be a file, got {path}, which is {_kind(path.stat())}")


def check_replaceable(path: Path) -> None:
    """Raise unless there is nothing at a path, or a regular file, not even a link to one."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"a file to write must be new or a file, got {path}, {_kind(found)}")


def atomic_write(path: Path, content: bytes) -> None:
    """Write a file that, whenever the process is killed, is there in full or as it was before."""
    with atomic_replace(path) as temporary:
        _write(temporary, content)


@contextmanager
def atomic_replace(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which then takes the place of the path in one step."""
    check_replaceable(path)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        check_replaceable(path)  # what came meanwhile
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_together(folder: Path, contents: dict[str, bytes], *, force: bool = False) -> None:
    """Write files into a folder, all or none; those that are there are replaced only by force.

    All are on the disk before the first appears, and old ones leave before new ones come: whenever
    the process is killed, no new file lies beside an old one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in contents:
        check_replaceable(folder / name)
    there = [name for name in contents if (folder / name).exists()]
    if there and not force:
        raise FileExistsError(f"{folder} must not hold {', '.join(there)} yet: --force replaces it")
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder) as place:
        new, old = Path(place, "new"), Path(place, "old")
        new.mkdir()
        old.mkdir()
        for name, content in contents.items():
            _write(new / name, content)
        moves = [(folder / name, old / name) for name in there]
        _move_all(moves + [(new / name, folder / name) for name in contents])


def _move_all(moves: list[tuple[Path, Path]]) -> None:
    """Rename each path to the other, or, if one fails, none."""
    done = []
    try:
        for source, target in moves:
            os.replace(source, target)
            done.append((source, target))
    except BaseException:
        for source, target in reversed(done):
            os.replace(target, source)
        raise


def _write(path: Path, content: bytes) -> None:
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _kind(found: os.stat_result) -> str:
    return _KINDS.get(stat.S_IFMT(found.st_mode), "no file")
