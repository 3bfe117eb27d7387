"""Images to measure: real photographs and their patches, Gaussian fields and dead leaves."""

import hashlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d

from freqsense._checks import as_choice, as_flag, as_grid, as_integer, as_real, as_shape
from freqsense.fourier import fft2, ifft2, radial_frequency


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


PHOTOGRAPHS: dict[str, Photograph] = {
    "astronaut": Photograph(
        file="astronaut.png",
        source="Eileen Collins; NASA Great Images database, https://flic.kr/p/r9qvLn",
        licence="no known copyright restrictions, released into the public domain",
        size=(512, 512),
        channels=3,
        n_bytes=791555,
        sha256="88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        shrink=2,
    ),
    "coffee": Photograph(
        file="coffee.png",
        source="Rachel Michetti, courtesy of Pikolo Espresso Bar",
        licence="CC0 by the photographer",
        size=(400, 600),
        channels=3,
        n_bytes=466706,
        sha256="cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        shrink=2,
    ),
    "chelsea": Photograph(
        file="chelsea.png",
        source="Stefan van der Walt",
        licence="CC0 by the photographer",
        size=(300, 451),
        channels=3,
        n_bytes=240512,
        sha256="596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        shrink=1,
    ),
    "rocket": Photograph(
        file="rocket.jpg",
        source="SpaceX, https://www.flickr.com/photos/spacexphotos/16511594820/in/photostream/",
        licence="released in the public domain",
        size=(427, 640),
        channels=3,
        n_bytes=112525,
        sha256="c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
        shrink=2,
    ),
    "retina": Photograph(
        file="retina.jpg",
        source="Mikael Häggström, https://commons.wikimedia.org/wiki/"
        "File:Fundus_photograph_of_normal_left_eye.jpg, doi:10.15347/wjm/2014.008",
        licence="CC0 1.0",
        size=(1411, 1411),
        channels=3,
        n_bytes=269564,
        sha256="38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
        shrink=4,
        crop=(217, 217, 976, 976),  # a square inside the disc: the camera's mask around it is black
    ),
    "immunohistochemistry": Photograph(
        file="ihc.png",
        source="Center for Microscopy And Molecular Imaging (CMMI)",
        licence="no known copyright restrictions",
        size=(512, 512),
        channels=3,
        n_bytes=477916,
        sha256="f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef",
        shrink=2,
    ),
    "hubble_deep_field": Photograph(
        file="hubble_deep_field.jpg",
        source="NASA, http://hubblesite.org/newscenter/archive/releases/2012/37/image/a/",
        licence="may be freely used in the public domain",
        size=(872, 1000),
        channels=3,
        n_bytes=527940,
        sha256="3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
        shrink=3,
    ),
    "motorcycle": Photograph(
        file="motorcycle_left.png",
        source="Nera Nesic, Porter Westling, Xi Wang, York Kitajima, Greg Krathwohl and "
        "Daniel Scharstein, Middlebury 2014 stereo benchmark, "
        "http://vision.middlebury.edu/stereo/data/scenes2014/",
        licence="none stated",
        size=(500, 741),
        channels=3,
        n_bytes=644701,
        sha256="db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
        shrink=2,
    ),
    "camera": Photograph(
        file="camera.png",
        source="Lav Varshney",
        licence="CC0 by the photographer",
        size=(512, 512),
        channels=1,
        n_bytes=139512,
        sha256="b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
        shrink=2,
    ),
    "brick": Photograph(
        file="brick.png",
        source="CC0Textures, https://cc0textures.com/view.php?tex=Bricks25",
        licence="CC0",
        size=(512, 512),
        channels=1,
        n_bytes=106634,
        sha256="7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf",
        shrink=2,
    ),
    "grass": Photograph(
        file="grass.png",
        source="DeviantArt, https://www.deviantart.com/linolafett/art/Grass-01-434853879",
        licence="CC0",
        size=(512, 512),
        channels=1,
        n_bytes=217893,
        sha256="b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89",
        shrink=2,
    ),
    "gravel": Photograph(
        file="gravel.png",
        source="CC0Textures, https://cc0textures.com/view.php?tex=Gravel04",
        licence="CC0",
        size=(512, 512),
        channels=1,
        n_bytes=194247,
        sha256="c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12",
        shrink=2,
    ),
    "coins": Photograph(
        file="coins.png",
        source="Brooklyn Museum Collection, "
        "https://www.brooklynmuseum.org/opencollection/archives/image/51611",
        licence="no known copyright restrictions",
        size=(303, 384),
        channels=1,
        n_bytes=75825,
        sha256="f8d773fc9cfa6f4d8e5942dc34d0a0788fcaed2a4fefbbed0aef5398d7ef4cba",
        shrink=1,
    ),
    "moon": Photograph(
        file="moon.png",
        source="none stated",
        licence="none stated",
        size=(512, 512),
        channels=1,
        n_bytes=50177,
        sha256="78739619d11f7eb9c165bb5d2efd4772cee557812ec847532dbb1d92ef71f577",
        shrink=2,
    ),
}

PATCH_CLASSES: tuple[str, ...] = tuple(
    name for name, photograph in PHOTOGRAPHS.items() if photograph.channels == 3
)

# Column of the test cell in each of the four rows of cells. A solution of the four-queens puzzle:
# one test cell in each row and column, and no two of them touch, not even at a corner.
_TEST_COLUMNS = (1, 3, 0, 2)

# Gaussian fields are made this many pixels at a time, which bounds the memory they take on the way.
_CHUNK_PIXELS = 2**20


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

    Source
    ------
    van der Walt et al. 2014, doi:10.7717/peerj.453; each photograph's own source is in the table.

    Examples
    --------
    >>> from freqsense import images
    >>> [(name, tuple(x.shape)) for name, x in images.photographs(["coffee", "moon"]).items()]
    [('coffee', (3, 400, 600)), ('moon', (1, 512, 512))]
    """
    names = tuple(PHOTOGRAPHS) if names is None else _as_names(names, "names")
    folder = files("skimage") / "data"
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
        If ``images`` is not a float tensor with one or three channels.

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
    grid = as_grid(images, "images")
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
        If ``images`` is no float tensor of three or four axes, or the factor is out of range.

    Examples
    --------
    >>> import torch
    >>> from freqsense import images
    >>> images.shrink(torch.arange(8.0).reshape(1, 2, 4), 2).tolist()
    [[[2.5, 4.5]]]
    """
    grid = _as_channels(images)
    factor = as_integer(factor, "factor", 1, min(grid.shape[-2:]))
    return avg_pool2d(grid, factor)


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
        If ``images`` is no float tensor of three or four axes, or a tile does not fit.

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
    generator = _generator(seed)
    as_flag(color, "color")
    names = PATCH_CLASSES if classes is None else _as_names(classes, "classes")
    if color:
        _check_colored(names)
    scenes = [_scene(name) if color else luminance(_scene(name)) for name in names]
    _check_patch_size(size, dict(zip(names, scenes, strict=True)))
    patches = torch.cat([_cut_patches(x, split, n_per_class, size, generator) for x in scenes])
    labels = torch.arange(len(names)).repeat_interleave(n_per_class)
    order = torch.randperm(len(labels), generator=generator)
    return patches[order], labels[order]


def gaussian_field(n: int, *, shape: tuple[int, int], alpha: float, seed: int = 0) -> Tensor:
    r"""Gaussian images whose power falls as a power law of radial frequency.

    .. math:: \mathbb E\,|\hat x(\omega)|^2 = c\, |\omega|^{-\alpha} \quad (\omega \ne 0), \qquad
        \hat x(0) = 0, \qquad
        c = \frac{D}{\sum_{\omega \ne 0} |\omega|^{-\alpha}}

    Definition ``def-gaussian-field`` of the book. White noise, filtered: exactly stationary on the
    torus (opposite borders join), and of expected pixel variance 1.

    Parameters
    ----------
    n : number of images.
    shape : (H, W), at least two pixels.
    alpha : exponent of the power (not the amplitude); 0 is white noise, 2 like photographs.
    seed : same seed, same images.

    Returns
    -------
    float32 tensor (n, 1, H, W), of mean 0.

    Raises
    ------
    TypeError, ValueError
        If ``n`` or ``shape`` is not made of positive integers or ``alpha`` is not finite.

    Source
    ------
    Field 1987, doi:10.1364/JOSAA.4.002379 (for the power law of natural images).

    Examples
    --------
    >>> from freqsense import images
    >>> x = images.gaussian_field(100, shape=(16, 24), alpha=2)
    >>> x.shape, round(x.square().mean().item(), 1)
    (torch.Size([100, 1, 16, 24]), 1.0)
    """
    n = as_integer(n, "n", 1)
    height, width = as_shape(shape)
    if height * width < 2:
        raise ValueError("shape must have at least two pixels, since DC is zero, got (1, 1)")
    gain = _power_law_gain((height, width), as_real(alpha, "alpha"))
    generator = _generator(seed)
    field = torch.empty(n, 1, height, width)
    for chunk in field.split(max(1, _CHUNK_PIXELS // (height * width))):
        white = torch.randn(chunk.shape, generator=generator, dtype=torch.float64)
        chunk.copy_(ifft2(gain * fft2(white)).real)
    return field


def dead_leaves(
    n: int,
    *,
    shape: tuple[int, int] = (256, 256),
    r_min: float = 2.0,
    r_max: float | None = None,
    seed: int = 0,
) -> Tensor:
    r"""Images of discs that hide one another: the scale-invariant dead leaves model.

    .. math:: x[p] = g_{i(p)}, \qquad i(p) = \min \{ i : \mathrm{dist}(p, c_i) \le r_i \},
        \qquad \rho(r) \propto r^{-3} \quad (r_\mathrm{min} \le r \le r_\mathrm{max})

    Definition ``def-dead-leaves`` of the book: leaves i = 1, 2, ... lie front to back, with uniform
    centres c, uniform grey levels g in [0, 1) and radii r of density ρ. Drawn until every pixel is
    covered, which gives exact samples of the model; distances wrap around the borders, so that it
    is exactly stationary.

    Parameters
    ----------
    n : number of images.
    shape : (H, W) in pixels.
    r_min, r_max : radii in pixels, 0.5 <= r_min < r_max <= half the shorter side (the default).
    seed : same seed, same images.

    Returns
    -------
    float32 tensor (n, 1, H, W) in [0, 1].

    Raises
    ------
    TypeError, ValueError
        If ``n`` or ``shape`` is not made of positive integers or a radius is outside its range.

    Source
    ------
    Lee, Mumford and Huang 2001, doi:10.1023/A:1011109015675; front-to-back sampling and the exact
    covariance: Bordenave, Gousseau and Roueff 2006, doi:10.1239/aap/1143936138.

    Examples
    --------
    >>> from freqsense import images
    >>> x = images.dead_leaves(2, shape=(32, 48))
    >>> x.shape, bool(x.min() >= 0), bool(x.max() <= 1)
    (torch.Size([2, 1, 32, 48]), True, True)
    """
    n = as_integer(n, "n", 1)
    height, width = as_shape(shape)
    half = min(height, width) / 2
    r_min = as_real(r_min, "r_min", 0.5)
    r_max = half if r_max is None else as_real(r_max, "r_max")
    if not r_min < r_max <= half:
        raise ValueError(
            f"radii must satisfy r_min < r_max <= {half:g} (half the shorter side), "
            f"got r_min={r_min:g} and r_max={r_max:g}"
        )
    generator = _generator(seed)
    pile = [_pile_leaves((height, width), r_min, r_max, generator) for _ in range(n)]
    return torch.stack(pile).unsqueeze(1)


def _as_channels(images: Tensor) -> Tensor:
    grid = as_grid(images, "images")
    if grid.ndim not in (3, 4):
        raise ValueError(
            f"images must have shape (C, H, W) or (N, C, H, W), got {tuple(grid.shape)}"
        )
    return grid


def _as_names(names: object, argument: str) -> tuple[str, ...]:
    """Return names of photographs, each known and given once."""
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise TypeError(f"{argument} must be a list or tuple of names, got {names!r}")
    if not names:
        raise ValueError(f"{argument} must hold at least one name, got none")
    checked = tuple(as_choice(name, f"each of {argument}", tuple(PHOTOGRAPHS)) for name in names)
    twice = sorted({name for name in checked if checked.count(name) > 1})
    if twice:
        raise ValueError(f"{argument} must not repeat a name, got {', '.join(twice)} twice or more")
    return checked


def _picture(folder: Traversable, name: str, cropped: bool) -> Tensor:
    """The photograph, uint8 (C, H, W), or the part of it that is picture."""
    pixels, crop = _read_photograph(folder, name), PHOTOGRAPHS[name].crop
    if not cropped or crop is None:
        return pixels
    top, left, height, width = crop
    return pixels[:, top : top + height, left : left + width]


@lru_cache(maxsize=2 * len(PHOTOGRAPHS))
def _read_photograph(folder: Traversable, name: str) -> Tensor:
    """Read, verify and decode a photograph: uint8 (C, H, W). Kept, so never change it in place."""
    photograph = PHOTOGRAPHS[name]
    content = _verified_bytes(folder, photograph)
    pixels = np.array(Image.open(io.BytesIO(content)))  # (H, W) or (H, W, 3)
    pixels = torch.from_numpy(pixels).reshape(*pixels.shape[:2], -1).permute(2, 0, 1)
    expected = (photograph.channels, *photograph.size)
    if tuple(pixels.shape) != expected:
        raise ValueError(
            f"photograph {photograph.file} must decode to (C, H, W) = {expected}, "
            f"got {tuple(pixels.shape)}"
        )
    return pixels.contiguous()


def _verified_bytes(folder: Traversable, photograph: Photograph) -> bytes:
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


def _generator(seed: object) -> torch.Generator:
    return torch.Generator().manual_seed(as_integer(seed, "seed", 0, 2**63 - 1))


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
    corners = _admissible_corners(tuple(scene.shape[-2:]), split, size)  # (M, 2)
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


def _power_law_gain(shape: tuple[int, int], alpha: float) -> Tensor:
    """Gain (H, W) that turns unit white noise into power-law noise of unit pixel variance."""
    log_power = -alpha * radial_frequency(shape).log()
    log_power[0, 0] = -torch.inf
    power = (log_power - log_power.max()).exp()  # by logarithms: no overflow at any alpha
    return (power / power.mean()).sqrt()


def _pile_leaves(
    shape: tuple[int, int], r_min: float, r_max: float, generator: torch.Generator
) -> Tensor:
    """One dead leaves image (H, W): leaves are numbered front to back, the lowest number shows."""
    n_pixels = math.prod(shape)
    mean_area = 2 * math.pi * math.log(r_max / r_min) / (r_min**-2 - r_max**-2)
    n_batch = math.ceil(n_pixels / mean_area)  # leaves whose areas add up to about one image
    front = torch.full((n_pixels,), torch.iinfo(torch.int64).max)
    greys: list[Tensor] = []
    while not greys or int(front.max()) >= n_batch * len(greys):
        centres, radii, grey = _draw_leaves(n_batch, shape, r_min, r_max, generator)
        leaf, pixel = _disc_pixels(centres, radii, shape)
        front.scatter_reduce_(0, pixel, leaf + n_batch * len(greys), "amin")
        greys.append(grey)
    return torch.cat(greys)[front].reshape(shape)


def _draw_leaves(
    n: int, shape: tuple[int, int], r_min: float, r_max: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Centres (n, 2) and radii (n,) in pixels, and grey levels (n,), of n leaves."""
    uniform = torch.rand(n, 3, generator=generator, dtype=torch.float64)
    centres = uniform[:, :2] * torch.tensor(shape)
    # The fraction of leaves larger than r is linear in r^-2: draw that uniformly.
    radii = (r_max**-2 + uniform[:, 2] * (r_min**-2 - r_max**-2)).rsqrt()
    return centres, radii, torch.rand(n, generator=generator)


def _disc_pixels(centres: Tensor, radii: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """All (disc, pixel) pairs with the pixel inside the disc, pixels numbered row by row."""
    height, width = shape
    y, x = centres.T
    disc, row = _integers_between(y - radii, y + radii)
    half_chord = (radii[disc].square() - (row - y[disc]).square()).clamp(min=0).sqrt()
    chord, column = _integers_between(x[disc] - half_chord, x[disc] + half_chord)
    return disc[chord], (row[chord] % height) * width + column % width


def _integers_between(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """All (interval, integer) pairs with the integer inside the closed interval [low, high]."""
    first = low.ceil().long()
    count = high.floor().long() - first + 1  # 0 where the interval holds no integer
    interval = torch.repeat_interleave(count)
    offset = torch.arange(len(interval)) - (count.cumsum(0) - count)[interval]
    return interval, first[interval] + offset
