"""Members of archives, read within bounds: an archive is refused before it fills the memory."""

import gzip
import tarfile
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import IO, Self

import numpy as np

from freqsense._files import check_regular
from freqsense.datasets._paths import as_printable

_MAX_UNPACKED = 2**30  # bytes; the largest of the published archives holds 0.35 GB
_MAX_HEADER = 2**16  # bytes of a long name or of extended headers
_MAX_ARRAY = 2**28  # bytes; JPEG files of all images of CIFAR-10 have a third of that
_CHUNK = 2**20


class _RefusedError(ValueError):
    """What an archive holds and must not; said after the archive's name."""


def read_members(
    archive: Path, is_wanted: Callable[[str], bool], max_bytes: int
) -> dict[str, bytes]:
    """Contents of those members of a tar.gz archive that are wanted by their name.

    Nothing is written: a member with a hostile name can do no harm, and no link is followed.

    max_bytes : of a member
    """
    check_regular(archive, "archive")
    with open(archive, "rb") as packed:
        try:
            return _unpack(packed, is_wanted, max_bytes)
        except _RefusedError as error:
            raise ValueError(f"{archive} must hold {error}") from error
        except Exception as error:  # damage makes tarfile raise anything
            problem = as_printable(error)
            raise ValueError(
                f"{archive} must be a complete tar.gz archive, got: {problem}"
            ) from error


def _unpack(
    packed: IO[bytes], is_wanted: Callable[[str], bool], max_bytes: int
) -> dict[str, bytes]:
    # One pass from front to back: to go back in a gzip stream is to unpack it anew.
    contents: dict[str, bytes] = {}
    with gzip.GzipFile(fileobj=packed) as unpacked:
        stream = _BoundedStream(unpacked)
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_BoundedHeader) as members:  # type: ignore[call-overload]
            for member in filter(lambda member: is_wanted(member.name), members):
                _check_member(member, contents, max_bytes)
                contents[member.name] = members.extractfile(member).read()
        while stream.read(_CHUNK):  # to the very end, where gzip verifies its checksum
            pass
    return contents


class _BoundedStream:
    """A stream of bytes that is refused once it is longer than any archive read here."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self.stream, self.n_left = stream, _MAX_UNPACKED

    def read(self, size: int) -> bytes:
        chunk = self.stream.read(size)
        self.n_left -= len(chunk)
        if self.n_left < 0:
            raise _RefusedError(f"at most {_MAX_UNPACKED:,} bytes when unpacked, got more")
        return chunk


class _BoundedHeader(tarfile.TarInfo):
    """A member's header, refused before tarfile takes memory for what it announces."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        name = as_printable(header.name)
        if header.type == tarfile.GNUTYPE_SPARSE:
            raise _RefusedError(f"no sparse file, got {name}")
        if header.type not in tarfile.REGULAR_TYPES and header.size > _MAX_HEADER:
            got = f"{header.size:,} in {name}"
            raise _RefusedError(f"headers of at most {_MAX_HEADER:,} bytes, got {got}")
        return header


def _check_member(member: tarfile.TarInfo, contents: dict[str, bytes], max_bytes: int) -> None:
    """Refuse what is not one plain file of its name and a fair size."""
    name = as_printable(member.name)
    if not member.isfile():
        kind = "folder" if member.isdir() else "link or device"
        raise _RefusedError(f"a file {name}, got a {kind}")
    if member.issparse():
        raise _RefusedError(f"no sparse file, got {name}")
    if member.name in contents:
        raise _RefusedError(f"one file {name}, got two")
    if member.size > max_bytes:
        raise _RefusedError(f"a file {name} of at most {max_bytes:,} bytes, got {member.size:,}")


def read_arrays(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Arrays of these names in a .npz file, none of them unpickled."""
    check_regular(path, "path")
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as stored:
                return {name: _read_array(stored, name) for name in names}
        except Exception as error:  # damage makes zipfile and NumPy raise anything
            expected = f"{path} must be a .npz file with the arrays {', '.join(names)}"
            raise ValueError(f"{expected}, got: {as_printable(error)}") from error


def _read_array(stored: zipfile.ZipFile, name: str) -> np.ndarray:
    found = [member for member in stored.infolist() if member.filename == f"{name}.npy"]
    if len(found) != 1:
        raise ValueError(f"{name} is {'not in it' if not found else 'in it more than once'}")
    if found[0].file_size > _MAX_ARRAY:
        raise ValueError(f"{name} of {found[0].file_size:,} bytes, above {_MAX_ARRAY:,}")
    # No more than the file's own bytes are taken, whatever shape they claim to have.
    content = BytesIO(stored.read(found[0]))
    return np.lib.format.read_array(content, allow_pickle=False)
