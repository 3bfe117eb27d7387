"""Measure how stationary photo patches and CIFAR-10 are; write ``stationarity.csv`` beside this.

Run it with ``FREQSENSE_CIFAR10`` set to the path of a CIFAR-10 archive in the official binary
layout (a part of the records will do): the table says how many images there were.
"""

import math
import os
from pathlib import Path

import torch
from tables import write_table
from torch import Tensor

from freqsense import datasets, fourier, images, spectra

TABLE = Path(__file__).with_name("stationarity.csv")
COLUMNS = ("set", "size", "images", "unit", "off_diagonal", "stderr", "border_alone", "unmeaned")
SIZE = 32
N_PER_PHOTOGRAPH = 200
N_BLOCKS = 20


def border_alone(patches: Tensor) -> Tensor:
    """Frequency covariance (D, D) that the border alone explains: proposition ``prop-border``."""
    height, width = patches.shape[-2:]
    n_pixels = height * width
    flat = patches.flatten(1).double()  # (N, D)
    second = flat.T @ flat / len(flat)  # (D, D)
    energy = second.diagonal()
    half_square = (energy + energy[:, None]) / 2 - second  # half of E (x[p] - x[q])²
    y, x = torch.arange(n_pixels) // width, torch.arange(n_pixels) % width
    row, column = y - y[:, None] + height, x - x[:, None] + width
    place = (row * 2 * width + column).flatten()  # one number for each displacement
    sums = torch.zeros(4 * n_pixels, dtype=torch.float64).index_add(0, place, half_square.flatten())
    gamma = (sums / torch.bincount(place, minlength=4 * n_pixels))[place].reshape(second.shape)
    waves = fourier.fft2(torch.eye(n_pixels).double().reshape(-1, height, width)).flatten(1)
    sigma = -waves.T @ gamma.to(waves.dtype) @ waves.conj()  # (D, D)
    sigma[0] = sigma[:, 0] = 0  # DC is left out
    return sigma


def off_diagonal_share(sigma: Tensor) -> float:
    """Share of the squared entries of a (D, D) covariance that lies off the diagonal."""
    squared = sigma.abs().square()
    return float(1 - squared.diagonal().sum() / squared.sum())


def jackknife_error(parts: list[Tensor]) -> float:
    """Standard error of the pooled share from leaving out one part at a time."""
    shares = torch.tensor(
        [
            spectra.stationarity(torch.cat(parts[:k] + parts[k + 1 :])).off_diagonal
            for k in range(len(parts))
        ],
        dtype=torch.float64,
    )
    return math.sqrt((len(parts) - 1) * shares.var(correction=0).item())


def measure_shares(pooled: Tensor) -> dict[str, float]:
    """The shares of one set of images (N, 1, H, W)."""
    return {
        "off_diagonal": spectra.stationarity(pooled).off_diagonal,
        "border_alone": off_diagonal_share(border_alone(pooled)),
        "unmeaned": spectra.stationarity(pooled - pooled.mean(0)).off_diagonal,
    }


def measure(name: str, parts: list[Tensor], unit: str) -> dict:
    """One row of the table; the parts are what is independent."""
    pooled = torch.cat(parts)
    values = measure_shares(pooled) | {"stderr": jackknife_error(parts)}
    row = {"set": name, "size": pooled.shape[-1], "images": len(pooled), "unit": unit}
    return row | {key: f"{value:.4f}" for key, value in values.items()}


def photograph_parts() -> list[Tensor]:
    """Grey train patches of each photograph, (N, 1, 32, 32)."""
    patches, labels = images.photo_patches(
        "train",
        n_per_class=N_PER_PHOTOGRAPH,
        size=SIZE,
        color=False,
        classes=tuple(images.PHOTOGRAPHS),
    )
    return [patches[labels == k] for k in range(len(images.PHOTOGRAPHS))]


def cifar10_parts(archive: str | os.PathLike) -> dict[str, list[Tensor]]:
    """Grey CIFAR-10 in blocks, by name: all of it, random windows of it, and class by class."""
    splits = [datasets.read_cifar10(archive, split) for split in ("train", "test")]
    grey = images.luminance(torch.cat([pixels for pixels, _ in splits]))
    labels = torch.cat([label for _, label in splits])
    blocks = grey.chunk(N_BLOCKS)
    windows = [random_windows(block, 16, seed) for seed, block in enumerate(blocks)]
    sets = {"CIFAR-10": list(blocks), "CIFAR-10, random windows": windows}
    for k, name in enumerate(datasets.CIFAR10_CLASSES):
        sets[f"CIFAR-10, {name}"] = list(grey[labels == k].chunk(N_BLOCKS))
    return sets


def random_windows(pictures: Tensor, size: int, seed: int) -> Tensor:
    """One square window of each picture, at a random place: (N, 1, size, size)."""
    generator = torch.Generator().manual_seed(seed)
    room = pictures.shape[-1] - size + 1
    top, left = torch.randint(room, (2, len(pictures)), generator=generator)
    views = pictures.unfold(2, size, 1).unfold(3, size, 1)  # (N, 1, room, room, size, size)
    return views[torch.arange(len(pictures)), :, top, left]


def main() -> None:
    """Write the table."""
    rows = [measure("patches of photographs", photograph_parts(), "photograph")]
    for name, parts in cifar10_parts(os.environ["FREQSENSE_CIFAR10"]).items():
        rows.append(measure(name, parts, "image"))
    write_table(TABLE, COLUMNS, rows)


if __name__ == "__main__":
    main()
