"""Measure the exponent of photographs, and of CIFAR-10 where its archive is given: alpha.csv.

    python results/measure_alpha.py [--cifar10 ARCHIVE]

ARCHIVE is a CIFAR-10 archive in the binary layout, cifar-10-binary.tar.gz. Without it the rows of
CIFAR-10 stay as they were recorded. The page "Power spectra and the 1/f^α law" shows the table and
says what each row is.
"""

import argparse
import hashlib
from pathlib import Path

from tables import read_table, write_table

from freqsense import datasets, images, spectra

RECORD = Path(__file__).with_name("alpha.csv")
COLUMNS = (
    "data", "subset", "n_images", "size", "window", "fmin", "fmax",
    "alpha", "stderr", "low", "high", "resampled", "source", "sha256",
)  # fmt: skip
WINDOWS = ("none", "hann")

# In cycles/image. 4 to 32 on 128 pixels are three octaves up to half the Nyquist frequency; images
# of 32 pixels have two octaves up to there, and the octave above it is a row of its own.
TILE, TILE_RANGE = 128, (4, 32)
PATCH_RANGES = ((2, 8), (8, 16))
PATCHES_PER_CLASS = 500
GROUPS = 50
RESAMPLES = 200  # the bootstrap's own error is then 5 % of the standard error


def measure_photographs():
    """Rows of each photograph (bootstrap over tiles) and of their sets (over photographs)."""
    photographs = images.photographs(cropped=True)
    tiles = {
        name: images.cut_tiles(images.luminance(image), TILE) for name, image in photographs.items()
    }
    for window in WINDOWS:
        for name, stack in tiles.items():
            known = images.PHOTOGRAPHS[name]
            source = {"source": known.file, "sha256": known.sha256}
            yield measure("photograph", name, stack.split(1), "tiles", window, TILE_RANGE, source)
        for subset, channels in (("all", (1, 3)), ("colour", (3,)), ("grey", (1,))):
            chosen = [tiles[name] for name in tiles if len(photographs[name]) in channels]
            yield measure("photographs", subset, chosen, "photographs", window, TILE_RANGE, {})


def measure_patches():
    """Rows of the small patches of colour photographs: each photograph counts the same."""
    for split in ("train", "test"):
        patches, labels = images.photo_patches(split, n_per_class=PATCHES_PER_CLASS, color=False)
        classes = [patches[labels == label] for label in labels.unique()]
        for window in WINDOWS:
            for band in PATCH_RANGES:
                yield measure(f"patches, {split}", "all", classes, "photographs", window, band, {})


def measure_cifar10(archive):
    """Rows of the records of a CIFAR-10 archive, all together and by class."""
    digest = hashlib.sha256(Path(archive).read_bytes()).hexdigest()
    source = {"source": Path(archive).name, "sha256": digest}
    for split in ("train", "test"):
        records, labels = datasets.read_cifar10(archive, split)
        grey, data = images.luminance(records), f"CIFAR-10, {split}"
        for window in WINDOWS:
            for band in PATCH_RANGES:
                yield measure(data, "all", deal(grey), "groups", window, band, source)
            if split == "test":
                continue  # a class has about two test images to a group: too few to mean much
            for label, name in enumerate(datasets.CIFAR10_CLASSES):
                groups = deal(grey[labels == label])
                yield measure(data, name, groups, "groups", window, PATCH_RANGES[0], source)


def deal(stack):
    """Deal the images of a stack into groups, in turn."""
    return [stack[first::GROUPS] for first in range(GROUPS)]


def measure(data, subset, stacks, unit, window, band, source):
    """One row: the law fitted to the mean of the stacks' spectra, the stacks resampled."""
    taper = None if window == "none" else window
    profiles = [spectra.power_spectrum(stack, window=taper).radial() for stack in stacks]
    fmin, fmax = band
    law = spectra.bootstrap_power_law(profiles, fmin=fmin, fmax=fmax, n_resamples=RESAMPLES)
    low, high = law.interval()
    return {
        "data": data, "subset": subset, "n_images": sum(map(len, stacks)),
        "size": stacks[0].shape[-1], "window": window, "fmin": fmin, "fmax": fmax,
        "alpha": f"{law.alpha:.3f}", "stderr": f"{law.alpha_stderr:.3f}",
        "low": f"{low:.3f}", "high": f"{high:.3f}", "resampled": f"{len(stacks)} {unit}",
        "source": "photographs of scikit-image", "sha256": "", **source,
    }  # fmt: skip


def main():
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar10", metavar="ARCHIVE", help="a CIFAR-10 archive, binary layout")
    archive = parser.parse_args().cifar10
    if archive:
        cifar10 = list(measure_cifar10(archive))
    else:
        recorded = read_table(RECORD) if RECORD.exists() else []
        cifar10 = [row for row in recorded if row["data"].startswith("CIFAR-10")]
    rows = [*measure_photographs(), *measure_patches(), *cifar10]
    write_table(RECORD, COLUMNS, rows)


if __name__ == "__main__":
    main()
