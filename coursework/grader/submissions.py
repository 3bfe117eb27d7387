"""What students have handed in: which files there are, whose they are, and what cells they hold."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

LARGEST = 20_000_000  # bytes of a notebook
COPY = re.compile(r"^(?P<stem>.*?) ?\((?P<number>\d+)\)$")
# A line for the notebook program rather than for Python.
MAGIC = re.compile(r"^\s*[%!?]|^\s*\w+\?\s*$")


@dataclass
class Submission:
    """One student's notebook: the sources of its cells, or why it cannot be read."""

    student: str
    path: Path
    code: list = field(default_factory=list)
    text: list = field(default_factory=list)
    problem: str | None = None
    notes: list = field(default_factory=list)


def find_submissions(folder):
    """Return a submission a student, by name, and notes on files that are none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    notes, newest = [], {}
    for path in sorted(path for path in folder.rglob("*") if not path.is_dir()):
        if path.is_symlink() or not path.is_file():
            notes.append(f"{path.name}: not a plain file, left out")
        elif path.suffix.lower() != ".ipynb":
            notes.append(f"{path.name}: not a notebook, left out")
        else:
            student, copy = owner(path, folder)
            rivals = newest.setdefault(student, [])
            rivals.append((copy, path.stat().st_mtime, path))
    return [choose(student, rivals) for student, rivals in sorted(newest.items())], notes


def owner(path, folder):
    """Name the student of a file: its folder, or its name without the mark of a second download.

    >>> owner(Path("all/ada (2).ipynb"), Path("all")), owner(Path("all/bob/x.ipynb"), Path("all"))
    (('ada', 2), ('bob', 0))
    """
    found = COPY.match(path.stem)
    stem, copy = (found["stem"], int(found["number"])) if found else (path.stem, 0)
    parts = path.relative_to(folder).parts
    return (parts[0] if len(parts) > 1 else stem), copy


def choose(student, rivals):
    """Read the newest of a student's files, and say so where there are several."""
    *_, (_, _, path) = sorted(rivals)
    submission = read_submission(student, path)
    if len(rivals) > 1:
        submission.notes.append(f"{len(rivals)} files were handed in; {path.name} was graded")
    return submission


def read_submission(student, path):
    """Read the cells of a notebook; whatever else the file is becomes a problem in words."""
    submission = Submission(student, path)
    if path.stat().st_size > LARGEST:
        submission.problem = f"the file has {path.stat().st_size / 1e6:.0f} MB, more than 20"
        return submission
    try:
        cells = json.loads(path.read_text(encoding="utf-8-sig"))["cells"]
        for cell in cells:
            source = cell["source"]
            source = source if isinstance(source, str) else "".join(source)
            parts = submission.code if cell["cell_type"] == "code" else submission.text
            parts.append(source)
    except (ValueError, KeyError, TypeError, RecursionError):
        submission.problem = "the file is not a Jupyter notebook"
        submission.code.clear()
        return submission
    submission.code = [without_magics(source) for source in submission.code]
    if not any(source.strip() for source in submission.code):
        submission.problem = "the notebook holds no code"
    return submission


def without_magics(source):
    r"""Leave out lines that are not Python.

    >>> without_magics("%matplotlib inline\n!ls\nx = 5 % 3")
    '\n\nx = 5 % 3'
    """
    if source.lstrip().startswith("%%"):
        return ""
    return "\n".join("" if MAGIC.match(line) else line for line in source.splitlines())
