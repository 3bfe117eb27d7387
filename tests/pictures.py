"""Small pictures of every kind, and ways in which files get damaged."""

import io

import numpy as np
from PIL import Image

MODES = {
    "BMP": ["1", "L", "P", "RGB", "RGBA"],
    "GIF": ["L", "P"],
    "JPEG": ["CMYK", "L", "RGB"],
    "MPO": ["RGB"],
    "PNG": ["1", "I;16", "L", "LA", "P", "RGB", "RGBA"],
    "TIFF": ["1", "CMYK", "F", "I;16", "L", "LA", "LAB", "P", "RGB", "RGBA"],
    "WEBP": ["RGB", "RGBA"],
}


def picture(width=20, height=14, seed=0, mode="RGB"):
    """A picture of noise, the hardest case for every filter, of one of Pillow's modes."""
    rng = np.random.default_rng(seed)
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, (height, width), dtype=np.uint16))
    if mode == "F":
        return Image.fromarray(rng.random((height, width), dtype=np.float32))
    bands = Image.new(mode, (1, 1)).getbands()
    values = rng.integers(0, 256, (height, width, len(bands)), dtype=np.uint8)
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(values, 2, 0)]
    if mode == "P":
        planes[0].putpalette(rng.integers(0, 256, 768, dtype=np.uint8).tobytes())
    return planes[0].convert(mode) if len(bands) == 1 else Image.merge(mode, planes)


def as_bytes(image, form="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def sound_files():
    """One file of each kind: name -> bytes; some with EXIF, several pages or frames."""
    files = {}
    for form, modes in MODES.items():
        for mode in modes:
            first, second = (picture(seed=seed, mode=mode) for seed in (0, 1))
            options = {"append_images": [second], "save_all": True}
            plain = {} if form != "MPO" else options
            files[f"{form}-{mode}"] = as_bytes(first, form, **plain)
            if form in ("GIF", "TIFF", "WEBP"):
                files[f"{form}-{mode}-2"] = as_bytes(first, form, **options)
            if form == "TIFF" and mode in ("1", "L", "RGB", "RGBA"):
                for compression in ("tiff_adobe_deflate", "tiff_lzw", "packbits"):
                    files[f"{form}-{mode}-{compression}"] = as_bytes(
                        first, form, compression=compression
                    )
    exif = Image.Exif()
    exif[0x0112], exif[0x011A], exif[0x010F] = 6, 72.0, "maker"
    for form in ("JPEG", "PNG", "TIFF", "WEBP"):
        files[f"{form}-exif"] = as_bytes(picture(), form, exif=exif)
    return files


def damage(content, other, rng):
    """Flip bits, cut off, cut out, or put in a piece of another file."""
    damaged = bytearray(content)
    place = int(rng.integers(len(damaged)))
    match rng.integers(5):
        case 0:
            for place in rng.integers(len(damaged), size=rng.integers(1, 9)):
                damaged[place] ^= 1 << rng.integers(8)
        case 1:  # among the headers
            for place in rng.integers(min(len(damaged), 160), size=rng.integers(1, 5)):
                damaged[place] = rng.choice([0, 1, 127, 128, 255, rng.integers(256)])
        case 2:
            del damaged[place:]
        case 3:
            del damaged[place : place + int(rng.integers(1, 40))]
        case 4:
            start = int(rng.integers(len(other)))
            damaged[place:place] = other[start : start + int(rng.integers(1, 200))]
    return bytes(damaged)
