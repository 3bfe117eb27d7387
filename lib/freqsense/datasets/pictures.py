"""Pictures in batches, decoded as they are asked for, and folders of one's own."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import NoReturn

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from freqsense._checks import as_flag, as_integer
from freqsense.datasets._decoding import as_tensor, read_picture
from freqsense.datasets._paths import as_path, as_printable

__all__ = ["ImageBatches", "image_folder"]

_LISTED = 20  # files that a message names, a line each
_NAMED = 5  # and in one line
_NO_CLASS = ""  # of files beside the subfolders


@dataclass(frozen=True, eq=False)
class ImageBatches:
    """Labelled pictures, decoded a batch at a time whenever they are iterated over.

    Iterating yields pairs: images (n, 3, H, W), float32 in [0, 1], and labels (n,), int64. Every
    pass gives the same pictures in the same order. Goes as it is into
    :func:`.power_spectrum` and :func:`.measure_sensitivity`, which keep one batch in memory;
    ``len`` is the number of batches.

    names : of the N pictures, in their order; what cannot be printed is escaped
    labels : (N,) int64, positions in ``classes``
    classes : names of the classes
    size : side in pixels to which pictures are cropped and resized, or None to leave them as they
        are
    batch_size : pictures in a batch; the last may have fewer
    """

    names: tuple[str, ...] = field(repr=False)
    labels: Tensor = field(repr=False)
    classes: tuple[str, ...]
    size: int | None
    batch_size: int
    files: tuple[Path | bytes, ...] = field(repr=False)  # where each is, or what is in it

    def __len__(self) -> int:
        return -(-len(self.names) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(self.names), self.batch_size):
            part = slice(start, start + self.batch_size)
            named = zip(self.files[part], self.names[part], strict=True)
            pictures = [_decode(file, name, self.size) for file, name in named]
            _check_one_size([picture.size for picture in pictures], self.names[part])
            yield torch.stack([as_tensor(picture) for picture in pictures]), self.labels[part]

    def load(self) -> tuple[Tensor, Tensor]:
        """All images (N, 3, H, W) and labels (N,) at once, as :func:`.train` wants them.

        Takes 12 H W bytes a picture: 2.9 GB for the training pictures of Imagenette at 160 pixels.
        """
        images = torch.empty(0)
        for index, (batch, _) in enumerate(self):
            if index == 0:
                images = batch.new_empty(len(self.names), *batch.shape[1:])
            images[index * self.batch_size :][: len(batch)] = batch
        return images, self.labels


def image_folder(
    path: str | PathLike,
    size: int | None = None,
    *,
    batch_size: int = 128,
    skip_others: bool = False,
    progress: bool = False,
) -> ImageBatches:
    """One's own pictures: a subfolder for each class, or a folder of nothing but pictures.

    Pictures are turned as their camera says, and made RGB; transparency is dropped, and values
    count as they are stored, whatever a colour profile says. With ``size`` each is cropped to its
    central square and shrunk by Lanczos' filter, which of Pillow's damps the frequencies below the
    new Nyquist frequency least. None is enlarged: that adds pixels but no high frequencies, which a
    spectrum would show as a property of the picture.

    Every file is decoded here once, in the memory of one picture, and again when it is used: what
    a decoder finds wrong is told before hours of measurement, not in the middle of them. 50,000
    photographs of 500 x 375 pixels take a few minutes more by that.

    No file is left out without a word, except hidden ones, whose names begin with a dot.

    Parameters
    ----------
    path : the folder. JPEG, PNG, BMP, TIFF and WebP are read, of eight bits a channel and one page
        or frame; of a colour PNG of 16 bits the upper eight are.
    size : side of the images in pixels; None if all pictures have one size already.
    batch_size : pictures in a batch.
    skip_others : leave out what cannot be used, with a warning that names it, in place of an error.
    progress : show a bar while files are looked at.

    Returns
    -------
    ImageBatches
        In the order of the file names. Classes are the subfolders, in that order too; without
        subfolders the folder is the one class.

    Raises
    ------
    NotADirectoryError, FileNotFoundError
        If there is no such folder.
    TypeError, ValueError
        If an argument is of the wrong kind, there are no pictures, or files are no pictures, too
        small or of several sizes: these files are named.

    Warns
    -----
    UserWarning
        If files are left out; or if some pictures are grey and some are not.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> from freqsense import datasets
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (60, 40), "white").save(f"{folder}/wide.png")
    ...     images, labels = datasets.image_folder(folder, 32).load()
    >>> images.shape, labels.tolist()
    (torch.Size([1, 3, 32, 32]), [0])
    """
    folder = as_path(path, "path")
    size = None if size is None else as_integer(size, "size", 1)
    batch_size = as_integer(batch_size, "batch_size", 1)
    as_flag(skip_others, "skip_others")
    files = _list_files(folder, skip_others)
    looks, others = _look_at_all(folder, files, size, progress=as_flag(progress, "progress"))
    classes = tuple(dict.fromkeys(look.group for look in looks))
    if looks:
        lost = {group for group, _ in files} - {*classes, _NO_CLASS}
        others |= {f"{group}/": "no picture of this class is left" for group in sorted(lost)}
    if others:
        _tell_of_others(folder, others, len(files), has_pictures=bool(looks), skip=skip_others)
    names = tuple(look.name for look in looks)
    if size is None:
        _check_one_size([look.size for look in looks], names)
    _warn_of_grey(folder, looks)
    return ImageBatches(
        names=names,
        labels=torch.tensor([classes.index(look.group) for look in looks]),
        classes=tuple(as_printable(name) for name in classes),
        size=size,
        batch_size=batch_size,
        files=tuple(look.file for look in looks),
    )


@dataclass(frozen=True)
class _Look:
    """What one look at a picture has shown."""

    group: str
    file: Path
    name: str
    size: tuple[int, int]  # (width, height)
    is_grey: bool


def _list_files(folder: Path, skip_others: bool) -> list[tuple[str, Path]]:
    """Class and path of everything that ought to be a picture, in order."""
    entries = _visible(folder)
    subfolders = [entry for entry in entries if entry.is_dir()]
    loose = [entry for entry in entries if not entry.is_dir()]
    inside = {group: _visible(group) for group in subfolders or [folder]}
    empty = [group.name for group, found in inside.items() if not found]
    if empty and not (skip_others and subfolders):
        _refuse(folder, "pictures of every class", f"{as_printable(empty[0])}, which is empty")
    files = [(group.name, file) for group, found in inside.items() for file in found or [group]]
    if subfolders:
        _check_levels(folder, subfolders, loose, [file for _, file in files], skip_others)
        files += [(_NO_CLASS, file) for file in loose]
    return files


def _check_levels(
    folder: Path, subfolders: list[Path], loose: list[Path], inside: list[Path], skip_others: bool
) -> None:
    """Raise unless pictures lie in the subfolders alone, neither beside them nor deeper."""
    beside = [file for file in loose if not skip_others or _is_picture(file)]
    if beside:
        got = as_printable(f"both: {beside[0].name} and {subfolders[0].name}/")
        _refuse(folder, "either pictures or a subfolder for each class", got)
    deeper = [entry for entry in inside if entry.is_dir() and entry not in subfolders]
    if deeper and (not skip_others or all(entry.is_dir() for entry in inside)):
        expected = "pictures, or one level of subfolders with pictures"
        got = f"a second level, {deeper[0].relative_to(folder)}: give {deeper[0].parent}, for one"
        _refuse(folder, expected, as_printable(got))


def _visible(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _is_picture(file: Path) -> bool:
    try:
        return bool(read_picture(file))
    except ValueError:
        return False


def _look_at_all(
    folder: Path, files: list[tuple[str, Path]], size: int | None, *, progress: bool
) -> tuple[list[_Look], dict[str, str]]:
    """Decode every file; return what can be used, and of the others what is wrong."""
    looks, others = [], {}
    for group, file in tqdm(files, desc="files", disable=not progress):
        name = as_printable(file.relative_to(folder).as_posix())
        try:
            looks.append(_look_at(group, file, name, size))
        except ValueError as error:
            others[name] = str(error)
    return looks, others


def _look_at(group: str, file: Path, name: str, size: int | None) -> _Look:
    picture = read_picture(file)
    width, height = picture.size
    if size is not None and min(width, height) < size:
        raise ValueError(f"{width} x {height} pixels are fewer than size {size} asks")
    red, green, blue = (plane.tobytes() for plane in picture.split())
    return _Look(group, file, name, picture.size, is_grey=red == green == blue)


def _tell_of_others(
    folder: Path, others: dict[str, str], n_files: int, *, has_pictures: bool, skip: bool
) -> None:
    """Name what cannot be used, in a warning where it is left out, else in an error."""
    lines = [f"\n  {name}: {reason}" for name, reason in others.items()]
    listed = "".join(lines[:_LISTED])
    if len(lines) > _LISTED:
        listed += f"\n  and {len(lines) - _LISTED} more"
    count = f"{len(others)} other{'s' * (len(others) > 1)} among {n_files} files"
    if has_pictures and skip:
        warnings.warn(f"left out of {as_printable(folder)}: {count}:{listed}", stacklevel=3)
        return
    hint = " (skip_others leaves them out)" * has_pictures
    _refuse(folder, "nothing but pictures that can be used", f"{count}{hint}:{listed}")


def _refuse(folder: Path, expected: str, got: str) -> NoReturn:
    raise ValueError(f"{as_printable(folder)} must hold {expected}, got {got}")


def _check_one_size(sizes: list[tuple[int, int]], names: tuple[str, ...]) -> None:
    first: dict[tuple[int, int], str] = {}
    for size, name in zip(sizes, names, strict=True):
        first.setdefault(size, name)
    if len(first) > 1:
        shapes = ", ".join(f"{w} x {h} ({name})" for (w, h), name in list(first.items())[:3])
        raise ValueError(f"pictures must be of one size unless size is given, got {shapes}")


def _warn_of_grey(folder: Path, looks: list[_Look]) -> None:
    """Warn of grey pictures among colour ones."""
    grey = [look.name for look in looks if look.is_grey]
    if 0 < len(grey) < len(looks):
        shown = ", ".join(grey[:_NAMED]) + ", ..." * (len(grey) > _NAMED)
        warnings.warn(
            f"{len(grey)} of {len(looks)} pictures in {as_printable(folder)} are grey, with three "
            f"equal channels, among colour ones, and both count in a mean over them: {shown}",
            stacklevel=3,
        )


def _decode(file: Path | bytes, name: str, size: int | None) -> Image.Image:
    """Return a picture upright and cropped."""
    try:
        picture = read_picture(file)
    except ValueError as error:
        raise ValueError(f"{name} must be a picture, got: {error}") from error
    return picture if size is None else _central_square(picture, size)


def _central_square(image: Image.Image, size: int) -> Image.Image:
    # Whole pixels are cut off: a square that begins at half a pixel would be interpolated, which
    # damps the highest frequencies.
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return square if side == size else square.resize((size, size), Image.Resampling.LANCZOS)
