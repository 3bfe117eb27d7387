"""Packages that an extra of this library brings."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Import inside of this what the extra installs; if it is missing, the error names the extra."""
    try:
        yield
    except ImportError as error:
        what = error.name or "a package"
        raise ImportError(
            f"{what} is missing, which comes with the extra {name}: pip install 'freqsense[{name}]'",
            name=error.name,
        ) from error
