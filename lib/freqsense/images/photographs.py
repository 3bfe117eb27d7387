"""Real photographs, with a table of where they come from, and ways to make them smaller."""

import hashlib
import io
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d

from freqsense._checks import REAL_DTYPES, as_grid, as_integer, as_names, check_finite
from freqsense._extras import extra
from freqsense._scale import binary_scale

__all__ = ["PHOTOGRAPHS", "Photograph", "cut_tiles", "luminance", "photographs", "shrink"]


@dataclass(frozen=True)
class Photograph:
    """Where a photograph comes from, and what its file must be.

    source, licence : as scikit-image's own documentation states them
    size : (H, W) in pixels
    sha256 : of the file; verified whenever it is read
    shrink : factor by which :func:`photo_patches` shrinks the photograph
    crop : (top, left, height, width) that :func:`photo_patches` keeps, or None for all of it
    """

    file: str
    source: str
    licence: str
    size: tuple[int, int]
    channels: int
    n_bytes: int
    sha256: str
    shrink: int
    crop: tuple[int, int, int, int] | None = None


def _read_table() -> dict[str, Photograph]:
    table = tomllib.loads((files(__package__) / "photographs.toml").read_text(encoding="utf-8"))
    return {name: Photograph(**_as_tuples(row)) for name, row in table.items()}


def _as_tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


PHOTOGRAPHS: dict[str, Photograph] = _read_table()


def photographs(names: Sequence[str] | None = None, *, cropped: bool = False) -> dict[str, Tensor]:
    """Real photographs, read offline from the installed scikit-image.

    Table ``tab-photographs`` of the book lists them with source and licence; here the same table is
    :data:`PHOTOGRAPHS`. Pixel values are display (gamma-coded) values, not light.

    Parameters
    ----------
    names : which photographs, in which order; all of them by default.
    cropped : leave out what is no picture: the black frame of the retina.

    Returns
    -------
    dict of name -> float32 tensor (C, H, W) in [0, 1], C = 3 for colour and 1 for grey.

    Raises
    ------
    TypeError, ValueError
        If ``names`` is not a sequence of names, if a name is unknown or given twice, or if a file
        is missing or is not, by its SHA-256, the one in the table.
    ImportError
        If the extra ``photographs`` is not installed.

    Source
    ------
    van der Walt et al. 2014, doi:10.7717/peerj.453; each photograph's own source is in the table.

    Examples
    --------
    >>> from freqsense import images
    >>> [(name, tuple(x.shape)) for name, x in images.photographs(["coffee", "moon"]).items()]
    [('coffee', (3, 400, 600)), ('moon', (1, 512, 512))]
    """
    names = tuple(PHOTOGRAPHS) if names is None else as_names(names, "names", tuple(PHOTOGRAPHS))
    with extra("photographs"):
        folder = Path(str(files("skimage"))) / "data"
    return {name: _picture(folder, name, cropped).float() / 255 for name in names}


def luminance(images: Tensor) -> Tensor:
    r"""Grey version of colour images, with the weights of ITU-R BT.601.

    .. math:: x = 0.299\, x_R + 0.587\, x_G + 0.114\, x_B

    Equation ``eq-luminance`` of the book. Grey images come back as they are.

    Parameters
    ----------
    images : tensor (..., C, H, W), C = 3 (red, green, blue) or 1.

    Returns
    -------
    tensor (..., 1, H, W).

    Raises
    ------
    TypeError, ValueError
        If ``images`` is not a real, finite float tensor with one or three channels.

    Source
    ------
    Recommendation ITU-R BT.601: its weights are meant for gamma-coded values, as photographs have.

    Examples
    --------
    >>> import torch
    >>> from freqsense import images
    >>> images.luminance(torch.ones(3, 2, 2)).shape
    torch.Size([1, 2, 2])
    """
    grid = _as_pictures(images)
    if grid.ndim < 3 or grid.shape[-3] not in (1, 3):
        raise ValueError(
            f"images must have shape (..., C, H, W) with C = 1 or 3, got {tuple(grid.shape)}"
        )
    if grid.shape[-3] == 1:
        return grid
    red, green, blue = grid.split(1, dim=-3)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def shrink(images: Tensor, factor: int) -> Tensor:
    r"""Shrink images by a whole factor, averaging blocks of pixels.

    .. math:: y[p] = \frac{1}{f^2} \sum_{q \in \{0, \dots, f-1\}^2} x[fp + q]

    Equation ``eq-shrink`` of the book. Rows and columns that fill no block are dropped. The average
    also damps high frequencies, by less than half in power up to half of the new Nyquist frequency.

    Parameters
    ----------
    images : tensor (C, H, W) or (N, C, H, W).
    factor : at least 1, at most the shorter side.

    Returns
    -------
    tensor (C, H // factor, W // factor) or (N, C, H // factor, W // factor).

    Raises
    ------
    TypeError, ValueError
        If ``images`` is no real, finite float tensor of three or four axes, or the factor is out of
        range.

    Examples
    --------
    >>> import torch
    >>> from freqsense import images
    >>> images.shrink(torch.arange(8.0).reshape(1, 2, 4), 2).tolist()
    [[[2.5, 4.5]]]
    """
    grid = _as_channels(images)
    factor = as_integer(factor, "factor", 1, min(grid.shape[-2:]))
    scale = binary_scale(grid)  # or the sum over a block could overflow
    return scale * avg_pool2d(grid / scale, factor)


def cut_tiles(images: Tensor, size: int) -> Tensor:
    """Cut images into square tiles that do not overlap, centred where the sides are no multiple.

    Parameters
    ----------
    images : tensor (C, H, W) or (N, C, H, W).
    size : side of a tile in pixels, at most the shorter side.

    Returns
    -------
    tensor (N, C, size, size), row by row.

    Raises
    ------
    TypeError, ValueError
        If ``images`` is no real, finite float tensor of three or four axes, or a tile does not fit.

    Examples
    --------
    >>> import torch
    >>> from freqsense import images
    >>> images.cut_tiles(torch.zeros(3, 300, 451), 128).shape
    torch.Size([6, 3, 128, 128])
    """
    grid = _as_channels(images)
    height, width = grid.shape[-2:]
    size = as_integer(size, "size", 1, min(height, width))
    top, left = height % size // 2, width % size // 2
    grid = grid[..., top : top + height // size * size, left : left + width // size * size]
    # (..., C, rows, columns, size, size)
    tiles = grid.unfold(-2, size, size).unfold(-2, size, size)
    return tiles.movedim(-5, -3).reshape(-1, grid.shape[-3], size, size)


def _picture(folder: Path, name: str, cropped: bool) -> Tensor:
    """The photograph, uint8 (C, H, W), or the part of it that is picture."""
    pixels, crop = _read_photograph(folder, name), PHOTOGRAPHS[name].crop
    if not cropped or crop is None:
        return pixels
    top, left, height, width = crop
    return pixels[:, top : top + height, left : left + width]


@lru_cache(maxsize=2 * len(PHOTOGRAPHS))
def _read_photograph(folder: Path, name: str) -> Tensor:
    """Read, verify and decode a photograph: uint8 (C, H, W). Kept, so never change it in place."""
    photograph = PHOTOGRAPHS[name]
    content = _verified_bytes(folder, photograph)
    decoded = torch.from_numpy(np.array(Image.open(io.BytesIO(content))))  # (H, W) or (H, W, 3)
    pixels = decoded.reshape(*decoded.shape[:2], -1).permute(2, 0, 1)
    expected = (photograph.channels, *photograph.size)
    if tuple(pixels.shape) != expected:
        raise ValueError(
            f"photograph {photograph.file} must decode to (C, H, W) = {expected}, "
            f"got {tuple(pixels.shape)}"
        )
    return pixels.contiguous()


def _verified_bytes(folder: Path, photograph: Photograph) -> bytes:
    """Content of the file, if it is the one in the table."""
    try:
        content = (folder / photograph.file).read_bytes()
        found = hashlib.sha256(content).hexdigest()
    except FileNotFoundError:
        found = "no such file"
    if found != photograph.sha256:
        raise ValueError(
            f"photograph {photograph.file} in {folder} must have SHA-256 {photograph.sha256}, "
            f"found {found}; reinstall scikit-image (the table was made from version 0.26.0)"
        )
    return content


def _as_channels(images: Tensor) -> Tensor:
    grid = _as_pictures(images)
    if grid.ndim not in (3, 4):
        raise ValueError(
            f"images must have shape (C, H, W) or (N, C, H, W), got {tuple(grid.shape)}"
        )
    return grid


def _as_pictures(images: object) -> Tensor:
    grid = as_grid(images, "images")
    if grid.dtype not in REAL_DTYPES:
        raise TypeError(f"images must be real, got {grid.dtype}")
    check_finite(grid, "images")
    return grid
