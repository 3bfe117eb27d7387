"""Pictures as a viewer shows them, decoded by Pillow or refused with the reason in one line."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from freqsense._files import check_regular
from freqsense.datasets._paths import as_printable

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
# Deeper pixels are cut off at 255 on the way to RGB, which would leave a white picture.
_EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
_ORIENTATION = 0x0112  # the EXIF tag; what is no number from 1 to 8 does not turn a picture
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BITS_PER_SAMPLE, _SAMPLE_FORMAT = 258, 339  # tags of TIFF
_LONGEST_REASON = 200  # characters


def read_picture(file: Path | bytes) -> Image.Image:
    """Decode a picture: RGB of eight bits a channel, upright.

    Raises a ValueError that says why a file cannot be used, whatever is wrong with it.
    """
    try:
        if isinstance(file, Path):
            check_regular(file, "it")
        with open_picture(file) as image:
            _check_whole(image)
            image.load()
            _check_depth(image)
            # Only now: a PNG's tag may follow its pixels, and a TIFF is turned as it is loaded.
            turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
            picture = image.convert("RGB")
        return picture if turn is None else picture.transpose(turn)
    except Exception as error:  # damage makes decoders raise anything
        raise ValueError(as_reason(error)) from error


def as_tensor(picture: Image.Image) -> Tensor:
    """Return a decoded picture as a float32 tensor (3, H, W) in [0, 1]."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float().div_(255)


@contextmanager
def open_picture(file: Path | bytes, formats: tuple[str, ...] = FORMATS) -> Iterator[Image.Image]:
    """Open a picture; of Pillow's warnings only that of a decompression bomb counts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        source = BytesIO(file) if isinstance(file, bytes) else file
        with Image.open(source, formats=formats) as image:
            yield image


def _check_whole(image: Image.Image) -> None:
    """Raise unless the file holds one picture, and all of it."""
    # A camera's MPO is a JPEG, which is the picture, with another view or a preview after it.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise ValueError("it has several pages or frames, which are not one picture")
    # Pillow leaves black what the strips of a TIFF do not reach. Sides are those of the stored
    # picture, which may lie on its side: only the product is that of the displayed one.
    ends = [extent[2:] for _, extent, *_ in getattr(image, "tile", []) if extent is not None]
    if ends:
        n_there = max(right for right, _ in ends) * max(bottom for _, bottom in ends)
        if n_there < image.width * image.height:
            raise ValueError(f"{n_there} pixels of {image.width} x {image.height} are there")


def _check_depth(image: Image.Image) -> None:
    """Raise unless what was decoded is what the file holds, in eight bits a channel."""
    if image.mode not in _EIGHT_BIT_MODES:
        raise ValueError(
            "pixels must be grey, RGB or CMYK of eight bits a channel, "
            f"got Pillow's mode {image.mode}"
        )
    if image.format != "TIFF":
        return
    # Pillow misreads 16 bits in planes, and signed values, under the same modes.
    tags = image.tag_v2  # type: ignore[attr-defined]
    bits, kinds = tags.get(_BITS_PER_SAMPLE, (1,)), tags.get(_SAMPLE_FORMAT, (1,))
    if max(bits) > 8 or set(kinds) != {1}:
        raise ValueError(
            f"samples of a TIFF must be unsigned, of at most eight bits, got {max(bits)} bits "
            f"of sample format {kinds[0]}"
        )


def as_reason(error: Exception, formats: tuple[str, ...] = FORMATS) -> str:
    """What was wrong with a picture, in one line that can be printed."""
    if isinstance(error, UnidentifiedImageError):
        return f"nothing that Pillow can open as {', '.join(formats)}"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if not any(sign.isalpha() for sign in text):  # a bare number of libtiff's, say
        text = f"{type(error).__name__} {text}"
    return as_printable(text)[:_LONGEST_REASON]
