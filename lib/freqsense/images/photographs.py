"""Real photographs with a table of where they come from, read from the installed scikit-image."""

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

from freqsense._checks import as_names
from freqsense._extras import extra

__all__ = ["PHOTOGRAPHS", "Photograph", "photographs"]


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
