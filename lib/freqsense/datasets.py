"""Standard image data sets, parsed from their official archives."""

import gzip
import tarfile
import zlib
from os import PathLike

import numpy as np
import torch
from torch import Tensor

from freqsense._checks import as_choice

CIFAR10_CLASSES: tuple[str, ...] = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

_CIFAR10_BATCHES = {
    "train": tuple(f"cifar-10-batches-bin/data_batch_{k}.bin" for k in range(1, 6)),
    "test": ("cifar-10-batches-bin/test_batch.bin",),
}
_CIFAR10_SHAPE = (3, 32, 32)
_CIFAR10_RECORD = 1 + 3 * 32 * 32  # bytes: a label, then the pixels, channels first


def read_cifar10(archive: str | PathLike, split: str) -> tuple[Tensor, Tensor]:
    """CIFAR-10 from its official binary archive, ``cifar-10-binary.tar.gz``.

    Read in one pass, straight from the archive: nothing is written to disk and nothing unpickled.
    Batches may hold any number of records; the official ones hold 10,000.

    Parameters
    ----------
    archive : path of the archive.
    split : "train" (the five data batches, in their order) or "test".

    Returns
    -------
    images : float32 tensor (N, 3, 32, 32) in [0, 1].
    labels : int64 tensor (N,), positions in :data:`CIFAR10_CLASSES`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the split is unknown, or the file is not a tar.gz archive with the batches of the split,
        or a batch is empty, is cut off or has a label above 9.

    Source
    ------
    Krizhevsky 2009, Learning multiple layers of features from tiny images;
    https://www.cs.toronto.edu/~kriz/cifar.html

    Examples
    --------
    >>> from freqsense import datasets
    >>> datasets.read_cifar10("cifar-10-binary.tar.gz", "validation")
    Traceback (most recent call last):
    ValueError: split must be one of train, test, got 'validation'
    """
    as_choice(split, "split", tuple(_CIFAR10_BATCHES))
    wanted = _CIFAR10_BATCHES[split]
    members = _read_members(archive, wanted)
    missing = [name for name in wanted if name not in members]
    if missing:
        raise ValueError(
            f"{archive} must hold {', '.join(wanted)}, but has no {', '.join(missing)}"
        )
    records = np.concatenate([_parse_records(members.pop(name), name) for name in wanted])
    pixels, labels = torch.from_numpy(records[:, 1:]), torch.from_numpy(records[:, 0])
    return pixels.float().div_(255).reshape(-1, *_CIFAR10_SHAPE), labels.long()


def _read_members(archive: str | PathLike, wanted: tuple[str, ...]) -> dict[str, bytes]:
    """Contents of those wanted members that the archive has."""
    # One pass from front to back: to go back in a gzip stream is to unpack it anew.
    contents = {}
    try:
        with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as members:
            for member in members:
                if member.name in wanted and member.isfile():
                    contents[member.name] = members.extractfile(member).read()
            stream.read()  # to the very end, where gzip verifies its checksum
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{archive} must be a complete tar.gz archive, got: {error}") from error
    return contents


def _parse_records(content: bytes, name: str) -> np.ndarray:
    """Return the records (N, 3073) of one batch file, checked."""
    n_records, rest = divmod(len(content), _CIFAR10_RECORD)
    if n_records == 0 or rest:
        raise ValueError(
            f"{name} must hold whole records of {_CIFAR10_RECORD} bytes, got {len(content)} bytes: "
            f"{n_records} records and {rest} bytes"
        )
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, _CIFAR10_RECORD)
    wrong = np.flatnonzero(records[:, 0] >= len(CIFAR10_CLASSES))
    if len(wrong):
        raise ValueError(
            f"{name} must hold labels between 0 and {len(CIFAR10_CLASSES) - 1}, "
            f"got label {records[wrong[0], 0]} in record {wrong[0]}"
        )
    return records
