"""Images with labels for a task: loaded, drawn or made, and filtered."""

import math
import os
from functools import lru_cache

import torch
from torch import Tensor

from freqsense import datasets, filters, images, spectra
from freqsense._checks import seeded_generator
from freqsense.experiments._specs import DATA, split_spec
from freqsense.fourier import fft2, ifft2

Pair = tuple[Tensor, Tensor]  # images (N, C, H, W) and labels (N,)

# An archive in CIFAR-10's binary layout, to be read in place of the official download.
CIFAR10_VARIABLE = "FREQSENSE_CIFAR10"

# A file of JPEG images, for want of a public home of that form.
CIFAR10_JPEG_VARIABLE = "FREQSENSE_CIFAR10_JPEG"

# A teacher drawn with a seed must not be the images of that seed over again.
_TEACHER_SALT = 0x746561636865

_CIFAR10_BATCH = 10_000  # records of an official batch

_IMAGENETTE_SIDE = 160


def load(data: str, size: int, n_train: int, n_test: int, seed: int) -> tuple[Pair, Pair, int]:
    """Train and test pairs (images, labels), and the number of outputs."""
    name, numbers = split_spec(data, "data", DATA)
    if name in ("gaussian_field", "dead_leaves"):
        train, test = _made(name, numbers[0], size, n_train, n_test, seed)
        return train, test, 1
    if name == "photographs":
        names = _all_but(*numbers)
        train, test = (
            images.photo_patches(
                split, n_per_class=math.ceil(n / len(names)), size=size, seed=seed, classes=names
            )
            for split, n in (("train", n_train), ("test", n_test))
        )
    elif name in ("cifar10", "cifar10_jpeg"):
        if size != 32:
            raise ValueError(f"size must be 32 for {name}, got {size}")
        read = _cifar10 if name == "cifar10" else _cifar10_jpeg
        train, test = (read(split, *numbers) for split in ("train", "test"))
    else:
        train, test = (_imagenette(split, size) for split in ("train", "val"))
    return _first(train, n_train), _first(test, n_test), int(train[1].max()) + 1


def _first(pair: Pair, n: int) -> Pair:
    return pair[0][:n], pair[1][:n]


def _made(
    kind: str, alpha: float, size: int, n_train: int, n_test: int, seed: int
) -> tuple[Pair, Pair]:
    n, shape = n_train + n_test, (size, size)
    if kind == "gaussian_field":
        x = images.gaussian_field(n, shape=shape, alpha=alpha, seed=seed)
    else:
        leaves = images.dead_leaves(n, shape=shape, seed=seed)
        x = filters.recolor(filters.high_pass(filters.whiten(leaves), 1), -alpha / 2)
    y = (x.double() * _white_teacher(shape, seed)).sum((1, 2, 3)).sign().float()
    y[y == 0] = 1.0
    return (x[:n_train], y[:n_train]), (x[n_train:], y[n_train:])


def _white_teacher(shape: tuple[int, int], seed: int) -> Tensor:
    """Pixel weights (H, W) whose transform has size 1 at every frequency, with random phases."""
    generator = seeded_generator(seed, _TEACHER_SALT)
    noise = fft2(torch.randn(shape, generator=generator, dtype=torch.float64))
    return ifft2(torch.polar(torch.ones_like(noise.real), noise.angle())).real


def _all_but(left_out: float | None = None) -> tuple[str, ...]:
    """Names of the photographs, without one of them if its position is given."""
    names = images.PATCH_CLASSES
    if left_out is None:
        return names
    if left_out not in range(len(names)):
        raise ValueError(
            f"photographs takes the position of one of them, 0 to {len(names) - 1}, "
            f"got {left_out:g}"
        )
    return tuple(name for position, name in enumerate(names) if position != left_out)


def _cifar10(split: str, per_batch: float = _CIFAR10_BATCH) -> Pair:
    archive = os.environ.get(CIFAR10_VARIABLE)
    pair = datasets.read_cifar10(archive, split) if archive else datasets.cifar10(split=split)
    n_batches = 5 if split == "train" else 1
    held = len(pair[0]) // n_batches
    if not 1 <= per_batch <= held or per_batch % 1:
        raise ValueError(f"cifar10 takes 1 to {held} records of a batch here, got {per_batch:g}")
    rows = torch.cat([torch.arange(int(per_batch)) + k * held for k in range(n_batches)])
    return pair[0][rows], pair[1][rows]


def _cifar10_jpeg(split: str) -> Pair:
    path = os.environ.get(CIFAR10_JPEG_VARIABLE)
    if not path:
        raise ValueError(
            f"the environment variable {CIFAR10_JPEG_VARIABLE} must name a file for cifar10_jpeg, "
            "as read_cifar10_jpeg describes it, got none"
        )
    pixels, labels = _jpeg_pixels(path, split)
    return pixels.float().div_(255), labels


@lru_cache(maxsize=2)
def _jpeg_pixels(path: str, split: str) -> Pair:
    """Pixels from 0 to 255 (N, 3, 32, 32), uint8, and labels, decoded once a process."""
    pixels, labels = datasets.read_cifar10_jpeg(path, split)
    # As bytes they wait for the next run in a quarter of the memory, and lose nothing.
    return pixels.mul_(255).round_().to(torch.uint8), labels


def _imagenette(split: str, size: int) -> Pair:
    if _IMAGENETTE_SIDE % size:
        raise ValueError(f"size must divide {_IMAGENETTE_SIDE} for imagenette, got {size}")
    batches = datasets.imagenette(size=_IMAGENETTE_SIDE, split=split)
    pairs = [(images.shrink(x, _IMAGENETTE_SIDE // size), y) for x, y in batches]
    return torch.cat([x for x, _ in pairs]), torch.cat([y for _, y in pairs])


def apply_filter(
    name: str, numbers: list[float], x: Tensor, test_x: Tensor, seed: int
) -> tuple[Tensor, Tensor]:
    """Apply one step to training and test images."""
    if name == "none":
        return x, test_x
    if name == "whiten":
        spectrum = spectra.power_spectrum(x, center=False)
        return filters.whiten(x, spectrum=spectrum), filters.whiten(test_x, spectrum=spectrum)
    if name == "scramble_phases":
        return (
            filters.scramble_phases(x, seed=2 * seed),
            filters.scramble_phases(test_x, seed=2 * seed + 1),
        )
    if name == "grey":
        return images.luminance(x), images.luminance(test_x)
    if name == "shrink":
        if numbers[0] % 1:
            raise ValueError(f"shrink takes a whole number, got {numbers[0]:g}")
        return images.shrink(x, int(numbers[0])), images.shrink(test_x, int(numbers[0]))
    step = getattr(filters, name)
    return step(x, *numbers), step(test_x, *numbers)


def mean_and_scale(x: Tensor) -> tuple[Tensor, float]:
    """Mean (1, C, 1, 1) of each channel, and the standard deviation about them."""
    # One scale for all channels and frequencies, or the shape of the spectrum would change.
    mean = x.mean((0, 2, 3), keepdim=True)
    scale = (x - mean).std().item()
    if not scale > 0:
        raise ValueError("images must differ from one another, got constant ones after filtering")
    return mean, scale
