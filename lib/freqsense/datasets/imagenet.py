"""Photographs of ten classes of ImageNet."""

import re
from os import PathLike

import numpy as np
import torch

from freqsense._checks import as_choice, as_integer
from freqsense.datasets._archives import read_members
from freqsense.datasets.downloads import download
from freqsense.datasets.pictures import ImageBatches

__all__ = ["IMAGENETTE_CLASSES", "imagenette"]

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

_MAX_PICTURE = 2**24  # bytes; the published ones have far less


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
    pictures = read_members(archive, lambda name: pattern.fullmatch(name) is not None, _MAX_PICTURE)
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
