"""Labelled patches of photographs, train and test from disjoint regions."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from freqsense._checks import (
    as_choice,
    as_flag,
    as_integer,
    as_names,
    as_shape,
    describe,
    seeded_generator,
    sides,
)
from freqsense._memory import check_memory
from freqsense.images.photographs import PHOTOGRAPHS, luminance, photographs, shrink

__all__ = [
    "PATCH_CLASSES",
    "held_out_region",
    "photo_patches",
]

PATCH_CLASSES: tuple[str, ...] = tuple(
    name for name, photograph in PHOTOGRAPHS.items() if photograph.channels == 3
)

# Column of the test cell in each of the four rows of cells. A solution of the four-queens puzzle:
# one test cell in each row and column, and no two of them touch, not even at a corner.
_TEST_COLUMNS = (1, 3, 0, 2)


def held_out_region(shape: tuple[int, int]) -> Tensor:
    """Pixels of a photograph that are kept for testing: True there.

    The photograph is cut into 4 x 4 cells; four of them, one in each row and column and no two of
    them touching, are for testing (figure ``fig-held-out`` of the book). Where a side is no
    multiple of four, its cells differ by one pixel.

    Parameters
    ----------
    shape : (H, W), positive integers.

    Returns
    -------
    bool tensor (H, W).

    Raises
    ------
    TypeError, ValueError
        If ``shape`` is not a pair of positive integers.

    Examples
    --------
    >>> from freqsense import images
    >>> images.held_out_region((4, 4)).int().tolist()
    [[0, 1, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, 0, 1, 0]]
    """
    height, width = as_shape(shape)
    cell_row = torch.arange(height) * 4 // height  # (H,)
    cell_column = torch.arange(width) * 4 // width  # (W,)
    return torch.tensor(_TEST_COLUMNS)[cell_row][:, None] == cell_column


def photo_patches(
    split: str,
    *,
    n_per_class: int,
    size: int = 32,
    seed: int = 0,
    color: bool = True,
    classes: Sequence[str] | None = None,
) -> tuple[Tensor, Tensor]:
    """Labelled square patches of real photographs: the label says which photograph.

    Each photograph is first shrunk by the whole factor of :data:`PHOTOGRAPHS` (block averages), so
    that a small patch sees structure. Test patches lie wholly inside the test cells of
    :func:`held_out_region`, train patches wholly outside: no test pixel is in a train patch.
    Within a split, patches are drawn uniformly and independently, so they may overlap. They come in
    random order: the first m of them are a fair sample.

    Parameters
    ----------
    split : "train" or "test".
    n_per_class : number of patches of each photograph.
    size : side of a patch in pixels.
    seed : same seed, same patches.
    color : three channels; if False one, the :func:`luminance`.
    classes : names of photographs, by default :data:`PATCH_CLASSES`. Label k is the k-th of them.
        Grey photographs can be among them only if ``color`` is False.

    Returns
    -------
    images : float32 tensor (N, C, size, size) in [0, 1], N = n_per_class * number of classes.
    labels : int64 tensor (N,).

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, a name unknown, a photograph grey where colour is asked
        for, or ``size`` larger than a test cell.

    Examples
    --------
    >>> from freqsense import images
    >>> x, y = images.photo_patches("train", n_per_class=5, classes=["coffee", "rocket"])
    >>> x.shape, y.bincount().tolist()
    (torch.Size([10, 3, 32, 32]), [5, 5])
    """
    as_choice(split, "split", ("train", "test"))
    n_per_class = as_integer(n_per_class, "n_per_class", 1)
    size = as_integer(size, "size", 1)
    generator = seeded_generator(seed)
    as_flag(color, "color")
    names = PATCH_CLASSES if classes is None else as_names(classes, "classes", tuple(PHOTOGRAPHS))
    if color:
        _check_colored(names)
    scenes = [_scene(name) if color else luminance(_scene(name)) for name in names]
    _check_patch_size(size, dict(zip(names, scenes, strict=True)))
    n_values = n_per_class * len(names) * (3 if color else 1) * size**2
    check_memory(8 * n_values, f"{describe(n_per_class)} patches of each photograph")
    patches = torch.cat([_cut_patches(x, split, n_per_class, size, generator) for x in scenes])
    labels = torch.arange(len(names)).repeat_interleave(n_per_class)
    order = torch.randperm(len(labels), generator=generator)
    return patches[order], labels[order]


def _check_colored(names: tuple[str, ...]) -> None:
    grey = [name for name in names if PHOTOGRAPHS[name].channels == 1]
    if grey:
        raise ValueError(
            f"classes must be colour photographs when color is True, got {', '.join(grey)} "
            "in grey: leave them out or pass color=False"
        )


def _check_patch_size(size: int, scenes: dict[str, Tensor]) -> None:
    """Both splits have the same limit, the side of the smallest test cell."""
    cell, name = min((min(scene.shape[-2:]) // 4, name) for name, scene in scenes.items())
    if size > cell:
        raise ValueError(
            f"size must be at most {cell}, the side of the test cells of {name!r}, got {size}"
        )


def _scene(name: str) -> Tensor:
    """Photograph as patches see it, cropped and shrunk: (C, H, W)."""
    return shrink(photographs([name], cropped=True)[name], PHOTOGRAPHS[name].shrink)


def _cut_patches(
    scene: Tensor, split: str, n: int, size: int, generator: torch.Generator
) -> Tensor:
    """Patches (n, C, size, size) with corners drawn uniformly among the admissible ones."""
    corners = _admissible_corners(sides(scene), split, size)  # (M, 2)
    top, left = corners[torch.randint(len(corners), (n,), generator=generator)].T
    windows = scene.unfold(1, size, 1).unfold(2, size, 1)  # (C, H', W', size, size), a view
    return windows[:, top, left].transpose(0, 1)


def _admissible_corners(shape: tuple[int, int], split: str, size: int) -> Tensor:
    """Top-left corners (M, 2) of the patches that may be drawn."""
    held_out = held_out_region(shape).float()[None]  # (1, H, W)
    for window in ((size, 1), (1, size)):  # sums over size x size windows, first down, then across
        held_out = avg_pool2d(held_out, window, stride=1, divisor_override=1)
    # Test cells do not touch, so a patch that is all test pixels lies inside one cell.
    return (held_out[0] == (size**2 if split == "test" else 0)).nonzero()
