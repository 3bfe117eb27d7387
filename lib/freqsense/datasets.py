"""Standard image data sets from their public homes, and folders of one's own pictures."""

import errno
import gzip
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from freqsense._checks import as_choice, as_flag, as_integer
from freqsense._extras import extra

__all__ = [
    "ARCHIVES",
    "CIFAR10_CLASSES",
    "IMAGENETTE_CLASSES",
    "Archive",
    "ImageBatches",
    "cifar10",
    "download",
    "image_folder",
    "imagenette",
    "read_cifar10",
    "read_cifar10_jpeg",
]


@dataclass(frozen=True)
class Archive:
    """Where an archive is published, and what its file must be.

    sha256 : of the file; verified before the file gets its name, and whenever it is used
    n_bytes : its size
    """

    url: str
    sha256: str
    n_bytes: int

    @property
    def file(self) -> str:
        """Name of the file on disk."""
        return self.url.rsplit("/", 1)[-1]


# The sums are those on which independent public records agree. For the two of Imagenette these are
# TensorFlow Datasets and FastAI.jl, with the same sizes. The archive at 160 pixels was replaced by
# its authors about 2021: older records have another sum for it.
ARCHIVES: dict[str, Archive] = {
    "cifar10": Archive(
        url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        n_bytes=170_052_171,
    ),
    "imagenette-160": Archive(
        url="https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-160.tgz",
        sha256="64d0c4859f35a461889e0147755a999a48b49bf38a7e0f9bd27003f10db02fe5",
        n_bytes=99_003_388,
    ),
    "imagenette-320": Archive(
        url="https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-320.tgz",
        sha256="569b4497c98db6dd29f335d1f109cf315fe127053cedf69010d047f0188e158c",
        n_bytes=341_663_724,
    ),
}

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

# WordNet's name of each class, which is that of its folder, and its English name. Label k is the
# k-th of them.
_IMAGENETTE_FOLDERS: dict[str, str] = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
IMAGENETTE_CLASSES: tuple[str, ...] = tuple(_IMAGENETTE_FOLDERS.values())

# Three tries, with pauses of one and two seconds between them: a passing fault is survived, and a
# lasting one told within seconds. Then seconds to wait for a connection, and for data.
_RETRIES = 2
_TIMEOUT = (5, 15)

_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
# Pillow cuts off deeper pixels at 255 on the way to RGB, which would leave a white picture.
_EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
)
_ORIENTATION = 0x0112  # the EXIF tag; from 5 on, the picture is shown lying on its side

_CIFAR10_BATCHES = {
    "train": tuple(f"cifar-10-batches-bin/data_batch_{k}.bin" for k in range(1, 6)),
    "test": ("cifar-10-batches-bin/test_batch.bin",),
}
_CIFAR10_SHAPE = (3, 32, 32)
_CIFAR10_RECORD = 1 + 3 * 32 * 32  # bytes: a label, then the pixels, channels first

_JPEG_ARRAYS = ("jpeg", "offsets", "labels", "classes")
_HELD_OUT = 10  # of that many JPEG images one is for testing


@dataclass(frozen=True, eq=False)
class ImageBatches:
    """Labelled pictures, decoded a batch at a time whenever they are iterated over.

    Iterating yields pairs: images (n, 3, H, W), float32 in [0, 1], and labels (n,), int64. Every
    pass gives the same pictures in the same order. Goes as it is into
    :func:`.power_spectrum` and :func:`.measure_sensitivity`, which keep one batch in memory;
    ``len`` is the number of batches.

    names : of the N pictures, in their order
    labels : (N,) int64, positions in ``classes``
    classes : names of the classes
    size : side in pixels to which pictures are cropped and resized, or None to leave them as they
        are
    batch_size : pictures in a batch; the last may have fewer
    """

    names: tuple[str, ...] = field(repr=False)
    labels: Tensor = field(repr=False)
    classes: tuple[str, ...]
    size: int | None
    batch_size: int
    files: tuple[Path | bytes, ...] = field(repr=False)  # where each is, or what is in it

    def __len__(self) -> int:
        return -(-len(self.names) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(self.names), self.batch_size):
            part = slice(start, start + self.batch_size)
            named = zip(self.files[part], self.names[part], strict=True)
            pictures = [_decode(file, name, self.size) for file, name in named]
            yield torch.stack(pictures), self.labels[part]

    def load(self) -> tuple[Tensor, Tensor]:
        """All images (N, 3, H, W) and labels (N,) at once, as :func:`.train` wants them.

        Takes 12 H W bytes a picture: 2.9 GB for the training pictures of Imagenette at 160 pixels.
        """
        images = torch.empty(0)
        for index, (batch, _) in enumerate(self):
            if index == 0:
                images = batch.new_empty(len(self.names), *batch.shape[1:])
            images[index * self.batch_size :][: len(batch)] = batch
        return images, self.labels


def download(
    name: str,
    root: str | PathLike | None = None,
    *,
    progress: bool = True,
) -> Path:
    r"""Fetch an archive, unless it is there already, and return its path.

    The file appears under its name whole and verified or not at all (a download that is killed
    leaves a file ``tmp...`` beside it, to be deleted). A file that is there is verified, and then
    used without any request.

    Parameters
    ----------
    name : a key of :data:`ARCHIVES`.
    root : folder for the archive; it is made where there is none. By default the user's cache
        folder: ``~/.cache/freqsense`` on Linux, ``~/Library/Caches/freqsense`` on macOS,
        ``%LOCALAPPDATA%\freqsense\freqsense\Cache`` on Windows.
    progress : show a bar.

    Returns
    -------
    Path
        ``root / ARCHIVES[name].file``.

    Raises
    ------
    ConnectionError
        If three tries fail, with what to do offline.
    ValueError
        If the name is unknown, an argument malformed, or the file is not, by its SHA-256, the one
        published.
    OSError
        If the folder cannot be written or has no room.
    ImportError
        If the extra ``downloads`` is not installed.

    Source
    ------
    Uieda et al. 2020, Pooch: a friend to fetch your data files, doi:10.21105/joss.01943

    Examples
    --------
    >>> from freqsense import datasets
    >>> datasets.ARCHIVES["cifar10"].file
    'cifar-10-binary.tar.gz'
    >>> datasets.download("cifar-10")
    Traceback (most recent call last):
    ValueError: name must be one of cifar10, ..., got 'cifar-10'; did you mean 'cifar10'?
    """
    archive = ARCHIVES[as_choice(name, "name", tuple(ARCHIVES))]
    as_flag(progress, "progress")
    with extra("downloads"):
        import pooch
        from requests.exceptions import RequestException
    folder = _as_path(pooch.os_cache("freqsense") if root is None else root, "root")
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"root must be a folder, got the file {folder}")
    path = folder.absolute() / archive.file
    store = pooch.create(
        path=path.parent,
        base_url="",
        registry={archive.file: archive.sha256},
        urls={archive.file: archive.url},
        retry_if_failed=_RETRIES,
    )
    downloader = pooch.HTTPDownloader(progressbar=progress, chunk_size=2**16, timeout=_TIMEOUT)
    try:
        return Path(store.fetch(archive.file, downloader=downloader))
    except RequestException as error:
        raise ConnectionError(_offline_advice(archive, path, error)) from error
    except ValueError as error:
        expected = f"{archive.url} must be the published {archive.file}"
        raise ValueError(f"{expected}, but: {error}") from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(
            error.errno,
            f"{path.parent} has no room for {archive.file} ({archive.n_bytes:,} bytes); "
            "make room there or choose another root",
        ) from error


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


def imagenette(
    root: str | PathLike | None = None,
    size: int = 160,
    *,
    split: str = "train",
    batch_size: int = 128,
    seed: int = 0,
    progress: bool = True,
) -> ImageBatches:
    """Imagenette: photographs of ten classes of ImageNet, downloaded once, decoded as needed.

    Each picture is its central square. Its side is ``size`` pixels already, so that nothing is
    resampled, except in pictures that were smaller to begin with: these are enlarged, and have
    little power at their highest frequencies. Nothing is unpacked on disk: what is kept in memory
    are the compressed pictures (about 70 MB at 160 pixels, 240 MB at 320) and one batch.

    Parameters
    ----------
    root : folder of the archive (99 MB or 342 MB), by default the user's cache folder; see
        :func:`download`, also for ``progress``.
    size : 160 or 320.
    split : "train" (9,469 pictures) or "val" (3,925).
    batch_size : pictures in a batch.
    seed : of the order, which is random: the first m pictures are a fair sample.

    Returns
    -------
    ImageBatches
        Of images (n, 3, size, size), float32 in [0, 1], and labels, int64, positions in
        :data:`IMAGENETTE_CLASSES`.

    Raises
    ------
    ConnectionError, OSError
        As :func:`download` does.
    TypeError, ValueError
        If an argument is of the wrong kind, or the file is not a tar.gz archive with pictures of
        the split.

    Source
    ------
    Howard 2019, Imagenette, https://github.com/fastai/imagenette

    Examples
    --------
    >>> from freqsense import datasets
    >>> datasets.imagenette("data", size=224)
    Traceback (most recent call last):
    ValueError: size must be 160 or 320, got 224
    """
    if as_integer(size, "size") not in (160, 320):
        raise ValueError(f"size must be 160 or 320, got {size}")
    as_choice(split, "split", ("train", "val"))
    batch_size = as_integer(batch_size, "batch_size", 1)
    seed = as_integer(seed, "seed", 0)
    archive = download(f"imagenette-{size}", root, progress=progress)
    pattern = re.compile(rf"(?:\./)?imagenette2-{size}/{split}/(n\d{{8}})/[^./][^/]*\.JPEG")
    pictures = _read_members(archive, lambda name: pattern.fullmatch(name) is not None)
    if not pictures:
        raise ValueError(f"{archive} must hold imagenette2-{size}/{split}/*/*.JPEG, but has none")
    ordered = sorted(pictures)
    order = np.random.default_rng(seed).permutation(len(ordered))
    names = tuple(ordered[k] for k in order)
    folders = [name.split("/")[-2] for name in names]
    unknown = sorted(set(folders) - set(_IMAGENETTE_FOLDERS))
    if unknown:
        raise ValueError(f"{archive} must hold the ten classes, but has {', '.join(unknown)} too")
    label = {folder: k for k, folder in enumerate(_IMAGENETTE_FOLDERS)}
    return ImageBatches(
        names=names,
        labels=torch.tensor([label[folder] for folder in folders]),
        classes=IMAGENETTE_CLASSES,
        size=size,
        batch_size=batch_size,
        files=tuple(pictures[name] for name in names),
    )


def image_folder(
    path: str | PathLike, size: int | None = None, *, batch_size: int = 128
) -> ImageBatches:
    """One's own pictures: a subfolder for each class, or a folder of nothing but pictures.

    Pictures are turned as their camera says, and made RGB; transparency is dropped. With ``size``
    each is cropped to its central square and shrunk by Lanczos' filter, which of Pillow's damps
    the frequencies below the new Nyquist frequency least. None is enlarged: that adds pixels but no
    high frequencies, which a spectrum would show as a property of the picture.

    No file is left out, except hidden ones, whose names begin with a dot.

    Parameters
    ----------
    path : the folder. JPEG, PNG, BMP, TIFF and WebP are read, of eight bits a channel.
    size : side of the images in pixels; None if all pictures have one size already.
    batch_size : pictures in a batch.

    Returns
    -------
    ImageBatches
        In the order of the file names. Classes are the subfolders, in that order too; without
        subfolders the folder is the one class.

    Raises
    ------
    NotADirectoryError, FileNotFoundError
        If there is no such folder.
    TypeError, ValueError
        If an argument is of the wrong kind, there are no pictures, or files are no pictures, too
        small or of several sizes: all these files are named. Only damage beyond a file's header
        shows later, when the file is decoded, and is then named.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> from freqsense import datasets
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (60, 40), "white").save(f"{folder}/wide.png")
    ...     images, labels = datasets.image_folder(folder, 32).load()
    >>> images.shape, labels.tolist()
    (torch.Size([1, 3, 32, 32]), [0])
    """
    folder = _as_path(path, "path")
    size = None if size is None else as_integer(size, "size", 1)
    batch_size = as_integer(batch_size, "batch_size", 1)
    groups = _list_pictures(folder)
    files = tuple(file for group in groups.values() for file in group)
    names = tuple(file.relative_to(folder).as_posix() for file in files)
    _check_pictures(folder, files, names, size)
    counts = torch.tensor([len(group) for group in groups.values()])
    return ImageBatches(
        names=names,
        labels=torch.arange(len(groups)).repeat_interleave(counts),
        classes=tuple(groups),
        size=size,
        batch_size=batch_size,
        files=files,
    )


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
    members = _read_members(archive, wanted.__contains__)
    missing = [name for name in wanted if name not in members]
    if missing:
        raise ValueError(
            f"{archive} must hold {', '.join(wanted)}, but has no {', '.join(missing)}"
        )
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
    arrays = _read_npz(path, _JPEG_ARRAYS)
    _check_jpeg_arrays(path, **arrays)
    jpeg, offsets, labels = (arrays[name] for name in ("jpeg", "offsets", "labels"))
    first_test = len(labels) - len(labels) // _HELD_OUT
    rows = range(first_test) if split == "train" else range(first_test, len(labels))
    pixels = np.empty((len(rows), 32, 32, 3), np.uint8)
    for place, row in enumerate(rows):
        content = jpeg[offsets[row] : offsets[row + 1]].tobytes()
        pixels[place] = _decode_jpeg(content, f"image {row} of {path}")
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()  # (N, 3, 32, 32)
    return images.float().div_(255), torch.from_numpy(labels[rows.start : rows.stop]).long()


def _read_npz(path: str | PathLike, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Arrays of these names, none of them unpickled."""
    expected = f"{path} must be a .npz file with the arrays {', '.join(names)}"
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in names}
    except KeyError as error:
        raise ValueError(f"{expected}, got: {error.args[0]}") from error
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{expected}, got: {error}") from error


def _check_jpeg_arrays(
    path: str | PathLike,
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
    if n < _HELD_OUT or n_offsets != n + 1:
        expected = f"at least {_HELD_OUT} labels, and one offset more than labels"
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
        with Image.open(BytesIO(content), formats=("JPEG",)) as image:
            if image.size != (32, 32) or image.mode != "RGB":
                width, height = image.size
                raise ValueError(f"{width} x {height} pixels of Pillow's mode {image.mode}")
            return np.asarray(image)
    except _UNREADABLE as error:
        raise ValueError(f"{name} must be a JPEG of 32 x 32 RGB pixels, got: {error}") from error


def _read_members(archive: str | PathLike, is_wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Contents of those members that are wanted by their name.

    Nothing is written: a member with a hostile name can do no harm, and no link is followed.
    """
    # One pass from front to back: to go back in a gzip stream is to unpack it anew.
    contents = {}
    try:
        with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as members:
            for member in filter(lambda member: is_wanted(member.name), members):
                content = members.extractfile(member) if member.isfile() else None
                if content is None:
                    kind = "folder" if member.isdir() else "link or device"
                    raise ValueError(f"{archive} must hold a file {member.name}, got a {kind}")
                contents[member.name] = content.read()
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


def _offline_advice(archive: Archive, path: Path, error: Exception) -> str:
    """Say what failed, and how to do without a network."""
    advice = (
        f"could not download {archive.url} in {_RETRIES + 1} tries: {error}. "
        f"Without a network, fetch {archive.file} ({archive.n_bytes:,} bytes) elsewhere and put it "
        f"into {path.parent}: it is then used without any request"
    )
    if path.exists():
        advice += ". The file that is there already is another one, by its SHA-256"
    return advice


def _as_path(path: object, name: str) -> Path:
    if not isinstance(path, str | PathLike):
        raise TypeError(f"{name} must be the path of a folder, got {path!r}")
    return Path(path).expanduser()


def _list_pictures(folder: Path) -> dict[str, list[Path]]:
    """Files of each class: class -> paths, in order."""
    entries = _visible(folder)
    subfolders = [entry for entry in entries if entry.is_dir()]
    loose = [entry for entry in entries if not entry.is_dir()]
    if subfolders and loose:
        raise ValueError(
            f"{folder} must hold either pictures or a subfolder for each class, got both: "
            f"{loose[0].name} and {subfolders[0].name}/"
        )
    groups = {group.name: _visible(group) for group in subfolders} or {folder.name: loose}
    empty = [name for name, files in groups.items() if not files]
    if empty:
        raise ValueError(f"{folder} must hold pictures of every class, but {empty[0]} is empty")
    return groups


def _visible(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _check_pictures(
    folder: Path, files: tuple[Path, ...], names: tuple[str, ...], size: int | None
) -> None:
    """Read every header, and name all files that cannot be used."""
    sizes: dict[tuple[int, int], str] = {}
    problems = []
    for file, name in zip(files, names, strict=True):
        try:
            width, height = _displayed_size(file)
        except _UNREADABLE as error:
            problems.append(f"{name}: {str(error).replace(str(file), 'it')}")
            continue
        sizes.setdefault((width, height), name)
        if size is not None and min(width, height) < size:
            problems.append(f"{name}: {width} x {height} pixels are fewer than size {size} asks")
    if problems:
        listed = "\n  ".join(
            problems[:20] + [f"and {len(problems) - 20} more"] * (len(problems) > 20)
        )
        raise ValueError(
            f"{folder} must hold nothing but pictures that can be used, got {len(problems)} "
            f"others among {len(files)} files:\n  {listed}"
        )
    if size is None and len(sizes) > 1:
        shapes = ", ".join(f"{w} x {h} ({name})" for (w, h), name in list(sizes.items())[:3])
        raise ValueError(f"pictures must be of one size unless size is given, got {shapes}")


def _displayed_size(file: Path) -> tuple[int, int]:
    """Width and height as a viewer shows the picture, from the header alone."""
    with _open(file) as image:
        width, height = image.size
        lying = image.getexif().get(_ORIENTATION, 1) >= 5
    return (height, width) if lying else (width, height)


def _open(file: Path | bytes) -> Image.Image:
    """Open a picture of eight bits a channel."""
    image = Image.open(BytesIO(file) if isinstance(file, bytes) else file, formats=_FORMATS)
    if image.mode not in _EIGHT_BIT_MODES:
        image.close()
        raise ValueError(f"pixels must have eight bits a channel, got Pillow's mode {image.mode}")
    return image


def _decode(file: Path | bytes, name: str, size: int | None) -> Tensor:
    """Return a picture as a tensor (3, H, W) in [0, 1], upright and cropped."""
    try:
        with _open(file) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except _UNREADABLE as error:
        raise ValueError(f"{name} must be a picture, got: {error}") from error
    if size is not None:
        upright = _central_square(upright, size)
    return torch.from_numpy(np.array(upright)).permute(2, 0, 1).float().div_(255)


def _central_square(image: Image.Image, size: int) -> Image.Image:
    # Whole pixels are cut off: a square that begins at half a pixel would be interpolated, which
    # damps the highest frequencies.
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return square if side == size else square.resize((size, size), Image.Resampling.LANCZOS)
