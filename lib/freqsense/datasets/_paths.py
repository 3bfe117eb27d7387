"""Paths that users give, and names that can be printed."""

from os import PathLike
from pathlib import Path


def as_path(path: object, name: str, kind: str = "folder") -> Path:
    """Return the path of a folder or a file, with ``~`` for the home folder."""
    if not isinstance(path, str | PathLike):
        raise TypeError(f"{name} must be the path of a {kind}, got {path!r}")
    return Path(path).expanduser()


def as_printable(text: object) -> str:
    r"""Return a name or a message as one line for any terminal: a line break becomes ``\n``.

    A name that is not UTF-8 has surrogates in Python, which no terminal and no file takes.
    """
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in str(text)
    )
