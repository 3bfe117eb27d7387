"""Files of runs, read with care: each is whole and of its run, or counts as damaged."""

import json
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from freqsense._files import check_regular
from freqsense.experiments._workers import Run, Values, as_values, current_versions

Result = tuple[dict[str, Any], Values]  # the record of a run, and its values

_LARGEST = 100_000_000  # bytes of JSON; a traceback is a thousandth of that


def read_json(path: Path) -> Any:
    """Return what a file of JSON holds; ValueError if it holds none."""
    check_regular(path, "a record")
    if (size := path.stat().st_size) > _LARGEST:
        raise ValueError(f"{path} must have at most {_LARGEST:,} bytes, got {size:,}")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be JSON, got: {error}") from error


def read_result(path: Path, run: Run) -> Result | None:
    """Return the record and values of a run, or None if there are none or they are damaged.

    ValueError if there is no file but a folder, say, or a FIFO: what can neither be read nor
    replaced.
    """
    try:
        check_regular(path, "the result of a run")
        with open(path, "rb") as file:
            return _parse_result(file, run)
    except FileNotFoundError:
        return None


def read_failure(path: Path, run: Run) -> dict | None:
    """Return the record of a failed run, as :func:`read_result` returns that of others."""
    try:
        check_regular(path, "the record of a failed run")
    except FileNotFoundError:
        return None
    try:
        record = read_json(path)
    except (FileNotFoundError, ValueError):
        return None
    return record if _is_failure(record, run) else None


def _parse_result(file: BinaryIO, run: Run) -> Result | None:
    try:
        with zipfile.ZipFile(file) as archive:
            # What is compressed is not ours, and may be larger than memory.
            whole = not any(member.compress_type for member in archive.infolist())
            whole = whole and archive.testzip() is None  # compares checksums
        file.seek(0)
        with np.load(file, allow_pickle=False) as stored:
            record = json.loads(stored["record"].item())
            names = record["dims"].items()
            read = {name: (tuple(dims), stored[f"value.{name}"]) for name, dims in names}
        values = as_values(read, run.configuration)
    except Exception:  # whatever damaged bytes lead to
        return None
    return (record, values) if whole and _is_of(record, run) else None


def _is_of(record: Any, run: Run) -> bool:
    """Whether a record says of a run how it came about."""
    return (
        isinstance(record, dict)
        and (record.get("key"), record.get("configuration")) == (run.key, run.configuration)
        and isinstance(record.get("date"), str)
        and isinstance(record.get("versions"), dict)
        and record["versions"].keys() == current_versions().keys()
        and all(isinstance(version, str) for version in record["versions"].values())
    )


def _is_failure(record: Any, run: Run) -> bool:
    texts = ("error", "traceback")
    return _is_of(record, run) and all(
        isinstance(record.get(name), str) and record[name].strip() for name in texts
    )
