"""What students have handed in: which files there are, whose they are, and what cells they hold."""

import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LARGEST = 20_000_000  # bytes of a notebook
COPY = re.compile(r"^(?P<stem>.*?) ?\((?P<number>\d+)\)$")
# lovelaceada_LATE_12345_67890_spectra-1: the student's number in Canvas, and that of the file.
CANVAS = re.compile(r"^(?P<name>[^_\sA-Z]+)_(?P<late>LATE_)?(?P<number>\d+)_(?P<file>\d+)_.")
# Ada Lovelace_123456_assignsubmission_file_: a folder, or the start of a file's name.
MOODLE = re.compile(r"^(?P<name>.+?)_(?P<number>\d+)_assignsubmission_file")
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")
LISTED = 3  # names in a note
# The line of a released notebook that names its term, which may be called anything.
TERM = re.compile(r"^(.+?) · \d+ points ·", re.MULTILINE)
# A line for the notebook program rather than for Python.
MAGIC = re.compile(r"^\s*[%!?]|^\s*\w+\?\s*$")


class WrongFolderError(ValueError):
    """A folder in which nothing can be graded."""


@dataclass(frozen=True)
class Owner:
    """Whose a file is: a name, what else a teacher's list may call it, and which file is newer."""

    student: str
    keys: tuple[str, ...] = ()
    order: int = 0
    late: bool = False  # as Canvas marks it


@dataclass
class Submission:
    """One student's notebook: the sources of its code cells, or why it cannot be read."""

    student: str
    path: Path
    code: list[str] = field(default_factory=list)
    problem: str | None = None
    notes: list[str] = field(default_factory=list)
    keys: tuple[str, ...] = ()
    files: dict[str, Path] = field(default_factory=dict)  # beside it, by their place there
    term: str | None = None  # that the notebook names


def find_submissions(folder: str | Path) -> tuple[dict[str, list[Submission]], list[str]]:
    """Return every notebook by student, the newest last, and notes on files that are none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    paths, notes = find_notebooks(folder)
    owners = owners_of(paths, folder)
    by_student: dict[str, list[Submission]] = {}
    for path in sorted(paths, key=lambda path: (owners[path].order, path.stat().st_mtime, path)):
        owner = owners[path]
        each = read_submission(owner.student, path)
        each.keys = owner.keys
        each.notes += ["marked late by Canvas"] if owner.late else []
        each.files = files_beside(path) if path.parent != folder else {}
        by_student.setdefault(owner.student, []).append(each)
    return dict(sorted(by_student.items())), notes


def find_notebooks(folder: Path) -> tuple[list[Path], list[str]]:
    """List the notebooks below a folder, and what else is there, in notes."""
    left_out: dict[str, list[str]] = {}
    notebooks = []
    for path in sorted(folder.rglob("*")):
        reason = reason_to_leave_out(path, path.relative_to(folder))
        if reason:
            left_out.setdefault(reason, []).append(str(path.relative_to(folder)))
        elif path.suffix.lower() == ".ipynb" and not path.is_dir():
            notebooks.append(path)
    notes = [f"{list_some(names)}: {reason}, left out" for reason, names in left_out.items()]
    if not notebooks:
        raise WrongFolderError("; ".join([f"{folder} holds no notebook (.ipynb)", *notes]))
    refuse_one_folder_of_many(notebooks, folder)
    return notebooks, notes


def reason_to_leave_out(path: Path, place: Path) -> str | None:
    """Say why a file is none that was handed in."""
    if path.is_symlink() or not (path.is_file() or path.is_dir()):
        return "not a plain file"
    if path.is_dir():
        return None
    if any(part.startswith(".") or part == "__MACOSX" for part in place.parts):
        return "hidden"
    if path.suffix.lower() in ARCHIVES:
        return "an archive, which you unpack first if it holds work"
    if path.suffix.lower() == ".py" and len(place.parts) > 1:
        return None  # a program, which some assignments ask for
    return None if path.suffix.lower() == ".ipynb" else "not a notebook"


def files_beside(notebook: Path) -> dict[str, Path]:
    """Map the plain files that lie beside a notebook, and below, from their places there."""
    folder = notebook.parent
    found = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*"))}
    return {name: path for name, path in found.items() if is_plain(path, folder)}


def is_plain(path: Path, folder: Path) -> bool:
    """Tell whether a path below a folder is a file, and leads nowhere else."""
    below = [path, *(each for each in path.parents if folder in each.parents)]
    return path.is_file() and not any(each.is_symlink() for each in below)


def list_some(names: Sequence[str]) -> str:
    """Name some of many.

    >>> list_some(["a", "b"]), list_some(list("abcde"))
    ('a, b', 'a, b, c and 2 more')
    """
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def refuse_one_folder_of_many(notebooks: Sequence[Path], folder: Path) -> None:
    """Raise where a whole class would be taken for one student."""
    tops = {path.relative_to(folder).parts[0] for path in notebooks}
    (top, *others) = tops
    if len(notebooks) > 1 and not others and not MOODLE.match(top):
        raise WrongFolderError(
            f"all {len(notebooks)} notebooks lie in {folder / top}, which would be one student: "
            f"grade that folder"
        )


def owners_of(paths: Sequence[Path], folder: Path) -> dict[Path, Owner]:
    """Tell whose each file is.

    Names of Canvas hold a number that no two files share; where two do, they only look alike.
    """
    found = [CANVAS.match(path.stem) for path in paths]
    files = Counter(match["file"] for match in found if match)
    canvas = max(files.values(), default=0) == 1
    return {path: owner(path, folder, canvas=canvas) for path in paths}


def owner(path: Path, folder: Path, *, canvas: bool = True) -> Owner:
    """Tell whose a file is by its folder, or by its name without the mark of a second download.

    >>> owner(Path("all/ada (2).ipynb"), Path("all"))
    Owner(student='ada', keys=(), order=2, late=False)
    >>> owner(Path("all/bob/x.ipynb"), Path("all")).student
    'bob'
    >>> owner(Path("all/lovelaceada_LATE_123_4567_spectra-1.ipynb"), Path("all"))
    Owner(student='lovelaceada 123', keys=('canvas 123',), order=4567, late=True)
    >>> owner(Path("all/Ada Lovelace_123_assignsubmission_file_/x.ipynb"), Path("all"))
    Owner(student='Ada Lovelace 123', keys=('participant 123', 'Ada Lovelace'), order=0, late=False)
    """
    copied = COPY.match(path.stem)
    stem, copy = (copied["stem"], int(copied["number"])) if copied else (path.stem, 0)
    parts = path.relative_to(folder).parts
    name = plain(parts[0] if len(parts) > 1 else stem)
    if found := MOODLE.match(name):
        keys = (f"participant {found['number']}", found["name"])
        return Owner(f"{found['name']} {found['number']}", keys, copy)
    if canvas and len(parts) == 1 and (found := CANVAS.match(name)):
        number, late = found["number"], bool(found["late"])
        key = f"canvas {number}"
        return Owner(f"{found['name']} {number}", (key,), int(found["file"]), late)
    return Owner(name, (), copy)


def plain(name: str) -> str:
    """Write a name in one way: some disks take é for two characters, some names are no text."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return unicodedata.normalize("NFC", text).strip() or "(no name)"


def read_submission(student: str, path: Path) -> Submission:
    """Read the cells of a notebook; whatever else the file is becomes a problem in words."""
    submission = Submission(student, path)
    if path.stat().st_size > LARGEST:
        submission.problem = f"the file has {path.stat().st_size / 1e6:.0f} MB, more than 20"
        return submission
    try:
        cells = read_cells(path)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        submission.problem = "the file is not a Jupyter notebook"
        return submission
    submission.code = [without_magics(each["source"]) for each in cells if is_code(each)]
    submission.term = term_of(cells)
    if not any(source.strip() for source in submission.code):
        submission.problem = "the notebook holds no code"
    return submission


def term_of(cells: Sequence[dict[str, Any]]) -> str | None:
    """Return the term that the text of a notebook names, None if it names none.

    >>> term_of([{"cell_type": "markdown", "source": "Spring · B · 20 points · 2 hours"}])
    'Spring · B'
    """
    found = (TERM.search(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return next((match[1].strip() for match in found if match), None)


def read_cells(path: Path) -> list[dict[str, Any]]:
    """Return the cells of a notebook, each with its source as one text."""
    cells = json.loads(path.read_text(encoding="utf-8-sig"))["cells"]
    return [{**cell, "source": as_text(cell["source"]), "cell_type": cell["cell_type"]}
            for cell in cells]  # fmt: skip


def as_text(source: Any) -> str:
    """Join the lines of a text, which notebooks store as one or as many."""
    return source if isinstance(source, str) else "".join(source)


def is_code(cell: dict[str, Any]) -> bool:
    """Tell whether a cell holds code."""
    return cell["cell_type"] == "code"


def without_magics(source: str) -> str:
    r"""Leave out lines that are not Python.

    >>> without_magics("%matplotlib inline\n!ls\nx = 5 % 3")
    '\n\nx = 5 % 3'
    """
    if source.lstrip().startswith("%%"):
        return ""
    return "\n".join("" if MAGIC.match(line) else line for line in source.splitlines())
