"""Archives in the layout of the official CIFAR-10, of random records."""

import io
import tarfile

import numpy as np

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
