"""CIFAR-10, from its official archive or from JPEG files of its images."""

from os import PathLike
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from freqsense._checks import as_choice
from freqsense.datasets._archives import read_arrays, read_members
from freqsense.datasets._decoding import as_reason, open_picture
from freqsense.datasets._paths import as_path
from freqsense.datasets.downloads import download

__all__ = ["CIFAR10_CLASSES", "cifar10", "read_cifar10", "read_cifar10_jpeg"]

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
_MAX_RECORDS = 10_000  # of a batch, as in the official ones

_JPEG = ("JPEG",)
_JPEG_ARRAYS = ("jpeg", "offsets", "labels", "classes")
_MAX_IMAGES = 60_000  # all that there are
_HELD_OUT = 10  # of that many JPEG images one is for testing


def cifar10(
    root: str | PathLike | None = None,
    split: str = "train",
    *,
    progress: bool = True,
) -> tuple[Tensor, Tensor]:
    """CIFAR-10: 60,000 colour images of 32 x 32 pixels in ten classes, downloaded once.

    Parameters
    ----------
    root : folder of the archive (170 MB), by default the user's cache folder; see
        :func:`download`, also for ``progress``.
    split : "train" (50,000 images) or "test" (10,000).

    Returns
    -------
    images : float32 tensor (N, 3, 32, 32) in [0, 1].
    labels : int64 tensor (N,), positions in :data:`CIFAR10_CLASSES`.

    Raises
    ------
    ConnectionError, ValueError, OSError
        As :func:`download` and :func:`read_cifar10` do.

    Source
    ------
    Krizhevsky 2009, Learning multiple layers of features from tiny images;
    https://www.cs.toronto.edu/~kriz/cifar.html

    Examples
    --------
    >>> from freqsense import datasets
    >>> datasets.cifar10("data", "validation")
    Traceback (most recent call last):
    ValueError: split must be one of train, test, got 'validation'
    """
    as_choice(split, "split", tuple(_CIFAR10_BATCHES))
    archive = download("cifar10", root, progress=progress)
    return read_cifar10(archive, split)


def read_cifar10(archive: str | PathLike, split: str) -> tuple[Tensor, Tensor]:
    """CIFAR-10 from its official binary archive, ``cifar-10-binary.tar.gz``.

    Read in one pass, straight from the archive: nothing is written to disk and nothing unpickled.
    Batches may hold up to 10,000 records, which is what the official ones hold.

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
        or a batch is there twice, is empty, is cut off, is too large or has a label above 9.

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
    path = as_path(archive, "archive", "file")
    members = read_members(path, wanted.__contains__, _MAX_RECORDS * _CIFAR10_RECORD)
    missing = [name for name in wanted if name not in members]
    if missing:
        raise ValueError(f"{path} must hold {', '.join(wanted)}, but has no {', '.join(missing)}")
    records = np.concatenate([_parse_records(members.pop(name), name) for name in wanted])
    pixels, labels = torch.from_numpy(records[:, 1:]), torch.from_numpy(records[:, 0])
    return pixels.float().div_(255).reshape(-1, *_CIFAR10_SHAPE), labels.long()


def read_cifar10_jpeg(path: str | PathLike, split: str) -> tuple[Tensor, Tensor]:
    """Training images of CIFAR-10, kept as JPEG files one after another in one ``.npz`` file.

    The file holds ``jpeg`` (all JPEG files end to end, uint8), ``offsets`` (file i is
    ``jpeg[offsets[i]:offsets[i + 1]]``), ``labels`` and ``classes``. Its images are in random
    order, and the last tenth of them is held out for testing. JPEG loses something, of colour above
    all; what a figure shows of the highest frequencies should be compared with
    :func:`read_cifar10`. Nothing is unpickled.

    Parameters
    ----------
    path : of the file.
    split : "train" (the first 45,000 of the 50,000 images) or "test" (the last 5,000).

    Returns
    -------
    images : float32 tensor (N, 3, 32, 32) in [0, 1].
    labels : int64 tensor (N,), positions in :data:`CIFAR10_CLASSES`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the split is unknown, an array is missing or not as above, a label is above 9, or an
        image of the split is no JPEG file of 32 x 32 RGB pixels.

    Source
    ------
    Krizhevsky 2009, Learning multiple layers of features from tiny images;
    https://www.cs.toronto.edu/~kriz/cifar.html

    Examples
    --------
    >>> from freqsense import datasets
    >>> datasets.read_cifar10_jpeg("cifar-10.npz", "validation")
    Traceback (most recent call last):
    ValueError: split must be one of train, test, got 'validation'
    """
    as_choice(split, "split", tuple(_CIFAR10_BATCHES))
    path = as_path(path, "path", "file")
    arrays = read_arrays(path, _JPEG_ARRAYS)
    _check_jpeg_arrays(path, **arrays)
    jpeg, offsets, labels = (arrays[name] for name in ("jpeg", "offsets", "labels"))
    first_test = len(labels) - len(labels) // _HELD_OUT
    rows = range(first_test) if split == "train" else range(first_test, len(labels))
    pixels = np.empty((len(rows), 32, 32, 3), np.uint8)
    for place, row in enumerate(rows):
        content = jpeg[offsets[row] : offsets[row + 1]].tobytes()
        pixels[place] = _decode_jpeg(content, f"image {row} of {path}")
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()  # (N, 3, 32, 32)
    return images.float().div_(255), torch.from_numpy(
        labels[rows.start : rows.stop].astype(np.int64)
    )


def _check_jpeg_arrays(
    path: Path,
    jpeg: np.ndarray,
    offsets: np.ndarray,
    labels: np.ndarray,
    classes: np.ndarray,
) -> None:
    """Raise unless the arrays are those of :func:`read_cifar10_jpeg`."""
    if jpeg.ndim != 1 or jpeg.dtype != np.uint8:
        raise ValueError(f"jpeg in {path} must be a row of uint8, got {_kind(jpeg)}")
    for name, array in (("offsets", offsets), ("labels", labels)):
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise ValueError(f"{name} in {path} must be a row of integers, got {_kind(array)}")
    if tuple(classes.flatten().tolist()) != CIFAR10_CLASSES:
        expected = ", ".join(CIFAR10_CLASSES)
        raise ValueError(f"classes in {path} must be {expected}, got {classes.tolist()}")
    n, n_offsets, n_bytes = len(labels), len(offsets), len(jpeg)
    if not _HELD_OUT <= n <= _MAX_IMAGES or n_offsets != n + 1:
        expected = f"at least {_HELD_OUT} labels, at most {_MAX_IMAGES}, and one offset more"
        raise ValueError(f"{path} must hold {expected}, got {n} labels and {n_offsets} offsets")
    rising = bool((offsets[1:] > offsets[:-1]).all())
    if offsets[0] != 0 or offsets[-1] != n_bytes or not rising:
        expected = f"rise from 0 to {n_bytes}, the bytes of jpeg"
        got = f"{offsets[0]} to {offsets[-1]}{'' if rising else ', not always rising'}"
        raise ValueError(f"offsets in {path} must {expected}, got {got}")
    wrong = np.flatnonzero((labels < 0) | (labels >= len(CIFAR10_CLASSES)))
    if len(wrong):
        got = f"{labels[wrong[0]]} for image {wrong[0]}"
        raise ValueError(
            f"labels in {path} must lie between 0 and {len(CIFAR10_CLASSES) - 1}, got {got}"
        )


def _kind(array: np.ndarray) -> str:
    return f"{array.dtype} {array.shape}"


def _decode_jpeg(content: bytes, name: str) -> np.ndarray:
    """Pixels (32, 32, 3), uint8, of an image of CIFAR-10."""
    try:
        with open_picture(content, _JPEG) as image:
            if image.size != (32, 32) or image.mode != "RGB":
                width, height = image.size
                raise ValueError(f"{width} x {height} pixels of Pillow's mode {image.mode}")
            return np.asarray(image)
    except Exception as error:  # damage makes decoders raise anything
        reason = as_reason(error, _JPEG)
        raise ValueError(f"{name} must be a JPEG of 32 x 32 RGB pixels, got: {reason}") from error


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
