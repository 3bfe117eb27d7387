"""Tensors by name in files of others: what a file is, whether it is whole, what it holds."""

import hashlib
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

import torch
from torch import Tensor

from freqsense._extras import extra
from freqsense._files import check_regular

ARCHIVE, LEGACY, SAFETENSORS, PROGRAM = "archive", "legacy", "safetensors", "program"

_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the number that a legacy file begins with, pickled

# Where, what is there, and what that makes of a file.
_SIGNATURES = [
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes"),
    (0, b"GGUF", "a GGUF file"),
    (4, b"TFL3", "a TensorFlow Lite file"),
    (0, b"\x93NUMPY", "a numpy array"),
    (0, b"version https://git-lfs", "a Git LFS pointer, in place of which `git lfs pull` puts it"),
    (0, b"<!DOCTYPE", "a web page"),
    (0, b"<html", "a web page"),
    (0, b"\x1f\x8b", "a gzip archive, which must be unpacked"),
    (257, b"ustar", "a tar archive, which must be unpacked"),
]
_TORCHSCRIPT = (
    "TorchScript: torch.save(torch.jit.load({!r}).state_dict(), 'weights.pt') saves its weights"
)

# Parts of a training checkpoint that hold weights; the first that is there is taken, averaged
# weights after those that were trained.
_PARTS = (
    *("state_dict", "model_state_dict", "model", "model_state", "module", "net", "network"),
    *("weights", "params", "state_dict_ema", "model_ema", "ema_state_dict", "ema", "params_ema"),
)


def kind_of(path: Path) -> str:
    """Tell by its content which of the four readable kinds a file is, or name what it is."""
    check_regular(path, "a network")
    with open(path, "rb") as file:
        head = file.read(512)
        if head.startswith(b"PK\x03\x04"):
            return _kind_of_archive(path)
        if head.startswith(b"\x80") and _MAGIC in head[:32]:
            return LEGACY
        length = int.from_bytes(head[:8], "little")
        if head[8:9] == b"{" and length <= path.stat().st_size - 8:
            return SAFETENSORS
        found = [what for at, mark, what in _SIGNATURES if head[at:].startswith(mark)]
        raise ValueError(f"{_expected(path)}, got {(found or [_guess(file, head)])[0]}")


def _kind_of_archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.rpartition("/")[2]: name for name in archive.namelist()}
    except Exception as error:  # whatever damaged bytes lead to
        raise ValueError(f"{path} is damaged: {_one_line(error)}") from error
    if "constants.pkl" in names:
        got = _TORCHSCRIPT.format(path.name)
    elif names.keys() & {"archive_format", "serialized_exported_program.json"}:
        return PROGRAM
    elif "data.pkl" in names:
        return ARCHIVE
    elif "model.weights.h5" in names:
        got = "a Keras archive"
    elif names and all(name.endswith(".npy") for name in names):
        got = "a numpy archive (.npz)"
    else:
        got = f"a zip archive of {', '.join(list(names)[:3]) or 'nothing'}"
    raise ValueError(f"{_expected(path)}, got {got}")


def _guess(file: BinaryIO, head: bytes) -> str:
    """Name a file without a signature."""
    if not head:
        return "an empty file"
    if head.startswith(b"\x80"):
        return "a pickle that torch.save did not write: it may run code, which is refused"
    try:
        fields = set(_protobuf_fields(file))
    except (IndexError, ValueError, OverflowError, OSError):
        fields = set()
    if 7 in fields and max(fields) <= 25:
        return "an ONNX file"
    if 1 in fields and max(fields) <= 4:
        return "a TensorFlow file"
    return "a file that is damaged or of another kind"


def _protobuf_fields(file: BinaryIO) -> Iterator[int]:
    """Numbers of the outermost fields of a protobuf message that is the whole file."""
    size, position = file.seek(0, 2), file.seek(0)
    for _ in range(100_000):  # nodes of a graph, say
        tag = _read_varint(file)
        if tag & 7 == 0:
            _read_varint(file)
        elif tag & 7 == 2:
            file.seek(_read_varint(file), 1)
        else:
            break
        yield tag >> 3
        position = file.tell()
        if position == size:
            return
    raise ValueError(f"no message: its fields do not end at byte {size}, got {position}")


def _read_varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 63, 7):
        byte = file.read(1)[0]
        value |= (byte & 127) << shift
        if byte < 128:
            return value
    raise ValueError("no varint")


# Damage


def check_whole(path: Path, kind: str) -> None:
    """Raise if what a file says about its own bytes is not so."""
    if kind in (ARCHIVE, PROGRAM):
        _check_archive(path)
    named = _named_digest(path)
    if kind == LEGACY and named and not _digest_of_file(path).startswith(named):
        raise ValueError(
            f"{path} is damaged: its SHA-256 does not begin with {named}, as its name says"
            " (if that is no SHA-256, rename the file)"
        )


def what_is_unchecked(path: Path) -> str | None:
    """One sentence where damage to the numbers of a file could not be seen."""
    kind, what = kind_of(path), "this file"
    if kind == SAFETENSORS:
        what = "a file of safetensors"
    elif kind == LEGACY and not _named_digest(path):
        what = "a file of PyTorch before 1.6"
    elif kind != ARCHIVE or _has_checksums(path):
        return None
    return f"{what} holds no checksums: damage to its numbers would not show"


def _has_checksums(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        # All zero: torch.serialization.set_crc32_options(False).
        return any(member.CRC for member in archive.infolist())


def _check_archive(path: Path) -> None:
    """Compare checksums, which PyTorch writes and does not read."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise ValueError("compressed members, which torch.save never writes")
            if len({member.filename for member in members}) < len(members):
                raise ValueError("two members of one name")
            if _has_checksums(path) and (bad := archive.testzip()):
                raise ValueError(f"the checksum of {bad} is not that of its bytes")
    except (OSError, MemoryError):
        raise
    except Exception as error:  # whatever damaged bytes lead to
        raise ValueError(f"{path} is damaged: {_one_line(error)}") from error


def _named_digest(path: Path) -> str:
    """First digits of the SHA-256 of the content, if the name has some as names of torch.hub do."""
    found = re.search(r"-([0-9a-f]{8,64})\.", path.name)
    return found[1] if found else ""


def _digest_of_file(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Content


def read_content(path: Path, kind: str) -> Any:
    """Read what torch.save or safetensors wrote; nothing in it is run."""
    if kind == SAFETENSORS:
        with extra("safetensors"):
            from safetensors.torch import load_file
    try:
        if kind == SAFETENSORS:
            return load_file(path)
        # Mapped, an archive takes no memory before its weights are found to fit.
        mapped = kind == ARCHIVE
        with warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # whatever damaged or hostile bytes lead to
        raise ValueError(f"{_expected(path)}, got {_what_came(path, kind, error)}") from error


def take_weights(path: Path, content: object) -> tuple[dict[str, Tensor], list[str]]:
    """Tensors by name, out of the part of a training checkpoint that holds them, which is said."""
    weights, taken = content, list[str]()
    while isinstance(weights, dict) and not _holds_tensors(weights):
        part = next((name for name in _PARTS if isinstance(weights.get(name), dict)), None)
        if part is None or len(taken) > 8:  # a dict may hold itself
            break
        taken.append(part)
        weights = weights[part]
    weights = as_tensors(path, weights)
    if not (taken and isinstance(content, dict)):
        return weights, []
    others = ", ".join(str(name) for name in content if name != taken[0]) or "nothing else"
    return weights, [f"weights are {'/'.join(taken)} of the file, which also holds {others}"]


def as_tensors(path: Path, content: object) -> dict[str, Tensor]:
    """Return tensors by name, if each has its numbers, and no more than the file has."""
    if not _holds_tensors(content):
        raise ValueError(f"{_expected(path)}, got {_describe(path, content)}")
    size = path.stat().st_size
    for name, value in content.items():
        if value.is_quantized:
            got = "a quantized tensor"
        elif value.layout != torch.strided:
            got = "a sparse tensor"
        elif value.is_meta:
            got = "a tensor without its numbers, on the device meta"
        elif value.numel() * value.element_size() > size:
            got = f"shape {tuple(value.shape)}, more than the file has"
        else:
            continue
        raise ValueError(f"{path} must hold plain tensors, got {got} for {name!r}")
    return content


def _holds_tensors(content: object) -> TypeGuard[dict[str, Tensor]]:
    return (
        isinstance(content, dict)
        and bool(content)
        and all(isinstance(n, str) and isinstance(v, Tensor) for n, v in content.items())
    )


def _describe(path: Path, content: object) -> str:
    """Say what is in the place of tensors by name."""
    if not isinstance(content, dict) or not content:
        return type(content).__name__ if content != {} else "an empty dict"
    parts = [name for name, part in content.items() if _holds_tensors(part)]
    if parts:
        save = f"torch.save(torch.load({path.name!r})[{parts[0]!r}], 'weights.pt')"
        return f"parts {', '.join(map(repr, parts))}: {save} saves one"
    others = [(name, part) for name, part in content.items() if not isinstance(part, Tensor)]
    if not others or len(others) == len(content):
        return f"a dict of {', '.join(map(repr, list(content)[:8]))}"
    return f"{type(others[0][1]).__name__} for {others[0][0]!r}"


def _what_came(path: Path, kind: str, error: Exception) -> str:
    if not isinstance(error, pickle.UnpicklingError):
        return "a file that is damaged or of another kind"
    pickled = _pickle_of(path, kind)
    asked = re.search(r"GLOBAL (\S+)", str(error))
    refused = f"{f'asks to run {asked[1]}' if asked else 'may run code'}, which is refused"
    remedy = f"if you trust who made it, save its weights alone: content = torch.load({path.name!r}"
    remedy += ", weights_only=False); torch.save({}, 'weights.pt')"
    if b"torch.nn.modules." in pickled:
        return f"a whole pickled module that {refused}: {remedy.format('content.state_dict()')}"
    part = next((name for name in _PARTS if _has_string(pickled, name)), None)
    if part is None:
        return f"a pickle that {refused}"
    return f"a pickle that {refused}: {remedy.format(f'content[{part!r}]')}"


def _pickle_of(path: Path, kind: str) -> bytes:
    """Bytes of the pickle in a file."""
    if kind == LEGACY:
        with open(path, "rb") as file:
            return file.read(1 << 24)
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        return archive.read(name)


def _has_string(pickled: bytes, text: str) -> bool:
    marks = (b"X" + struct.pack("<I", len(text)), b"\x8c" + bytes([len(text)]))
    return any(mark + text.encode() in pickled for mark in marks)


def _expected(path: Path) -> str:
    return f"{path} must hold tensors by name, as torch.save(model.state_dict(), FILE) writes them"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
