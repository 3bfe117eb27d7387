"""Tables of teachers' as they come from other programs, and files that are written whole."""

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

DELIMITERS = ",;\t"


class TableError(ValueError):
    """A table that does not hold what it should."""


def read_table(path: str | Path, columns: Sequence[str]) -> tuple[list[str], list[list[str]], str]:
    """Read a CSV that has these columns, once each; return its head, its rows, its delimiter.

    Spreadsheets and Moodle write semicolons where the comma is the decimal mark.
    """
    path = Path(path)
    if not path.is_file():
        raise TableError(f"there is no file {path}" if not path.exists() else f"{path} is a folder")
    text = decode(path)
    if not text.strip():
        raise TableError(f"{path} is empty; expected the columns {', '.join(columns)}")
    heads = {each: next(csv.reader(io.StringIO(text), delimiter=each)) for each in DELIMITERS}
    delimiter = max(DELIMITERS, key=lambda each: sum(c in heads[each] for c in columns))
    try:
        head, *rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    except csv.Error as error:
        raise TableError(f"{path} is not a CSV: {error}") from None
    for column in columns:
        if head.count(column) != 1:
            times = f"{head.count(column)} columns" if column in head else "no column"
            longest = max(heads.values(), key=len)
            raise TableError(f"{path} has {times} {column!r}; it has {', '.join(longest)[:1000]}")
    return head, rows, delimiter


def decode(path: Path) -> str:
    """Return the text of a table; a mark at its start tells UTF-16."""
    data = path.read_bytes()
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise TableError(f"{path} is not a CSV in UTF-8: save it as 'CSV UTF-8', not as a workbook")
    return text


def write_table(path: Path, rows: Iterable[Sequence[Any]], delimiter: str = ",") -> None:
    """Write a CSV whole."""
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter).writerows(rows)
    write_whole(path, file.getvalue())


def write_whole(path: Path, text: str) -> None:
    """Write a file beside its place and then into it, so that none is ever half-written.

    What students wrote may hold half characters, which no file can.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_bytes(text.encode("utf-8", "replace"))
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def guard(cell: Any) -> Any:
    """Keep a spreadsheet from taking a text for a formula.

    >>> guard("=1+1"), guard("ada"), guard(-1)
    ("'=1+1", 'ada', -1)
    """
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(tuple("=+-@\t\r")) else cell
