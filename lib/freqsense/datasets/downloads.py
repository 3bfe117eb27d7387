"""Archives of standard data sets, fetched once from their public homes and verified."""

import errno
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from freqsense._checks import as_choice, as_flag
from freqsense._extras import extra
from freqsense._files import check_regular
from freqsense.datasets._paths import as_path

__all__ = ["ARCHIVES", "Archive", "download"]


@dataclass(frozen=True)
class Archive:
    """Where an archive is published, and what its file must be.

    sha256 : of the file; verified before the file gets its name, and whenever it is used
    n_bytes : its size
    """

    url: str
    sha256: str
    n_bytes: int

    @property
    def file(self) -> str:
        """Name of the file on disk."""
        return self.url.rsplit("/", 1)[-1]


# The sums are those on which independent public records agree. For the two of Imagenette these are
# TensorFlow Datasets and FastAI.jl, with the same sizes. The archive at 160 pixels was replaced by
# its authors about 2021: older records have another sum for it.
ARCHIVES: dict[str, Archive] = {
    "cifar10": Archive(
        url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        n_bytes=170_052_171,
    ),
    "imagenette-160": Archive(
        url="https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-160.tgz",
        sha256="64d0c4859f35a461889e0147755a999a48b49bf38a7e0f9bd27003f10db02fe5",
        n_bytes=99_003_388,
    ),
    "imagenette-320": Archive(
        url="https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-320.tgz",
        sha256="569b4497c98db6dd29f335d1f109cf315fe127053cedf69010d047f0188e158c",
        n_bytes=341_663_724,
    ),
}

# Three tries, with pauses of one and two seconds between them: a passing fault is survived, and a
# lasting one told within seconds. Then seconds to wait for a connection, and for data.
_RETRIES = 2
_TIMEOUT = (5, 15)


def download(
    name: str,
    root: str | PathLike | None = None,
    *,
    progress: bool = True,
) -> Path:
    r"""Fetch an archive, unless it is there already, and return its path.

    The file appears under its name whole and verified or not at all (a download that is killed
    leaves a file ``tmp...`` beside it, to be deleted). A file that is there is verified, and then
    used without any request.

    Parameters
    ----------
    name : a key of :data:`ARCHIVES`.
    root : folder for the archive; it is made where there is none. By default the user's cache
        folder: ``~/.cache/freqsense`` on Linux, ``~/Library/Caches/freqsense`` on macOS,
        ``%LOCALAPPDATA%\freqsense\freqsense\Cache`` on Windows.
    progress : show a bar.

    Returns
    -------
    Path
        ``root / ARCHIVES[name].file``.

    Raises
    ------
    ConnectionError
        If three tries fail, with what to do offline.
    ValueError
        If the name is unknown, an argument malformed, or the file is not, by its SHA-256, the one
        published.
    OSError
        If the folder cannot be written or has no room.
    ImportError
        If the extra ``downloads`` is not installed.

    Source
    ------
    Uieda et al. 2020, Pooch: a friend to fetch your data files, doi:10.21105/joss.01943

    Examples
    --------
    >>> from freqsense import datasets
    >>> datasets.ARCHIVES["cifar10"].file
    'cifar-10-binary.tar.gz'
    >>> datasets.download("cifar-10")
    Traceback (most recent call last):
    ValueError: name must be one of cifar10, ..., got 'cifar-10'; did you mean 'cifar10'?
    """
    archive = ARCHIVES[as_choice(name, "name", tuple(ARCHIVES))]
    as_flag(progress, "progress")
    with extra("downloads"):
        import pooch
        from requests.exceptions import RequestException
    folder = as_path(pooch.os_cache("freqsense") if root is None else root, "root")
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"root must be a folder, got the file {folder}")
    path = folder.absolute() / archive.file
    if path.exists():
        check_regular(path, "archive")
    store = pooch.create(
        path=path.parent,
        base_url="",
        registry={archive.file: archive.sha256},
        urls={archive.file: archive.url},
        retry_if_failed=_RETRIES,
    )
    downloader = pooch.HTTPDownloader(progressbar=progress, chunk_size=2**16, timeout=_TIMEOUT)
    try:
        return Path(store.fetch(archive.file, downloader=downloader))
    except RequestException as error:
        raise ConnectionError(_offline_advice(archive, path, error)) from error
    except ValueError as error:
        expected = f"{archive.url} must be the published {archive.file}"
        raise ValueError(f"{expected}, but: {error}") from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(
            error.errno,
            f"{path.parent} has no room for {archive.file} ({archive.n_bytes:,} bytes); "
            "make room there or choose another root",
        ) from error


def _offline_advice(archive: Archive, path: Path, error: Exception) -> str:
    """Say what failed, and how to do without a network."""
    advice = (
        f"could not download {archive.url} in {_RETRIES + 1} tries: {error}. "
        f"Without a network, fetch {archive.file} ({archive.n_bytes:,} bytes) elsewhere and put it "
        f"into {path.parent}: it is then used without any request"
    )
    if path.exists():
        advice += ". The file that is there already is another one, by its SHA-256"
    return advice
