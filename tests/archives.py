"""Archives in the layout of the official CIFAR-10, and files of JPEG images, of random pixels."""

import io
import tarfile

import numpy as np
from PIL import Image

from freqsense.datasets import CIFAR10_CLASSES

TRAIN = [f"cifar-10-batches-bin/data_batch_{k}.bin" for k in range(1, 6)]
TEST = "cifar-10-batches-bin/test_batch.bin"


def random_records(n, seed):
    """Records (n, 3073) of CIFAR-10's layout: a label, then 3072 pixels, channels first."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, (n, 1), dtype=np.uint8)
    return np.hstack([labels, rng.integers(0, 256, (n, 3072), dtype=np.uint8)])


def write_archive(path, members, level=9):
    """A tar.gz file with these members (name -> bytes), after a folder as in the official one."""
    with tarfile.open(path, "w:gz", compresslevel=level) as archive:
        folder = tarfile.TarInfo("cifar-10-batches-bin")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def hostile(name, kind=tarfile.REGTYPE, target=""):
    """Header of a member of some kind."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    info.size = 100 if kind == tarfile.REGTYPE else 0
    return info


def as_members(batches):
    """Members of an archive (name -> bytes) with these batches (name -> records)."""
    return {"cifar-10-batches-bin/batches.meta.txt": b"airplane\n"} | {
        name: records.tobytes() for name, records in batches.items()
    }


def jpeg_arrays(n, *, size=32, mode="RGB"):
    """Arrays of a file of n JPEG images, image k of red 20 k in its right half, of class k % 10.

    Halves of one colour each are what JPEG keeps to within a few grey values.
    """
    files = []
    for k in range(n):
        content = io.BytesIO()
        image = Image.new("RGB", (size, size), (20 * k, 128, 128))
        image.paste((0, 0, 0), (0, 0, size // 2, size))
        image.convert(mode).save(content, "JPEG")
        files.append(content.getvalue())
    return {
        "jpeg": np.frombuffer(b"".join(files), np.uint8),
        "offsets": np.cumsum([0, *map(len, files)]),
        "labels": (np.arange(n) % 10).astype(np.uint8),
        "classes": np.array(CIFAR10_CLASSES),
    }
