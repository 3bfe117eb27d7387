"""Questions that a person reads: the code of an answer, and the CSV that points are filled into."""

import textwrap
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from . import tables
from .assignment import Assignment, Question
from .submissions import Submission
from .term import Term

# No vowels and no digits: neither words nor what a spreadsheet takes for a number.
LETTERS = "bcdfghjkmnpqrstvwxyz"
CODE_LENGTH = 8
NO_ANSWER = "no answer found"  # the comment of rows that nobody needs to read
HEADING = 40  # characters of a rubric's row that stand above its column


@dataclass(frozen=True)
class Reading:
    """What a person has given for an answer: points for each row of the rubric, and a comment."""

    rows: tuple[float, ...]
    comment: str

    @property
    def points(self) -> float:
        """The sum of the rows."""
        return tidy(sum(self.rows))


def code_of(term: Term, question: Question, submission: Submission) -> str:
    """Return the code under which an answer is read: the order of codes tells no name."""
    number, code = term.number(question.name, submission.student), ""
    for _ in range(CODE_LENGTH):
        number, letter = divmod(number, len(LETTERS))
        code += LETTERS[letter]
    return code


def head_of(question: Question) -> list[str]:
    """Return the columns of the CSV of a question."""
    rubric = (f"{points}: {cut(for_what)}" for points, for_what in question.rubric)
    return ["code", *rubric, "comment"]


def cut(for_what: str) -> str:
    """Cut what a row of a rubric asks for to the length of a heading, behind a whole word.

    >>> cut("The cause is seen in the picture, and named with its place")
    'The cause is seen in the picture, and'
    """
    return textwrap.shorten(for_what, HEADING, placeholder="", break_on_hyphens=False)


def read_rows(path: Path, question: Question) -> dict[str, list[str]]:
    """Return the rows of the CSV of a question by code; none if there is no file."""
    if not path.exists():
        return {}
    head, rows, _ = tables.read_table(path, ["code"])
    expected, rows = head_of(question), [row for row in rows if any(row)]
    if [cell.strip() for cell in head] != expected:
        if not any(is_filled(row[1:]) for row in rows):
            return {}
        raise tables.TableError(
            f"{path} is filled in, under other columns than the rubric has now: expected "
            f"{expected}, got {head}"
        )
    longest = max((len(row) for row in rows), default=0)
    if longest > len(expected):
        raise tables.TableError(f"{path}: expected {len(expected)} cells a row, got {longest}")
    found = {row[0].strip(): row[1:] + [""] * (len(expected) - len(row)) for row in rows}
    if len(found) < len(rows):
        raise tables.TableError(f"{path}: a code stands in two rows")
    return found


def is_filled(cells: Sequence[str]) -> bool:
    """Tell whether a person has written into a row.

    >>> is_filled(["0", "0", "no answer found"]), is_filled(["0", "0", ""]), is_filled(["", "", ""])
    (False, True, False)
    """
    points, comment = {cell.strip() for cell in cells[:-1]}, cells[-1:]
    prefilled = points == {"0"} and comment[0].strip() == NO_ANSWER
    return any(cells) and not prefilled


def read_points(
    rows: Mapping[str, Sequence[str]], question: Question, path: Path
) -> dict[str, Reading | None]:
    """Return what the rows of a file give by code, None where cells are left empty."""
    found: dict[str, Reading | None] = {}
    for code, (*cells, comment) in rows.items():
        pairs = zip(cells, question.rubric, strict=True)
        told = [as_points(cell, most, f"{path}, {code}") for cell, (most, _) in pairs]
        # An empty cell is one that nobody has read yet, which is not 0.
        given = [tidy(points) for points in told if points is not None]
        whole = len(given) == len(told)
        found[code] = Reading(tuple(given), comment.strip()) if whole else None
    return found


def as_points(cell: str, most: float, place: str) -> float | None:
    """Read the points that a person has written into a cell, None from an empty one."""
    if not cell.strip():
        return None
    try:
        points = float(cell.replace(",", "."))
    except ValueError:
        points = -1
    if not 0 <= points <= most:
        raise tables.TableError(f"{place}: expected points from 0 to {most}, got {cell!r}")
    return points


def tidy(points: float) -> float:
    """Write a sum of points without what rounding has left.

    >>> tidy(0.1 + 0.2), tidy(3.0)
    (0.3, 3)
    """
    rounded = round(points, 3)
    return int(rounded) if rounded == int(rounded) else rounded


def read_questions(
    folder: Path, assignment: Assignment, term: Term, submissions: Sequence[Submission]
) -> dict[str, dict[str, Reading]]:
    """Return what a person has filled in, of each question by student."""
    read = {}
    for question in assignment.questions:
        path = folder / f"{question.name}.csv"
        filled = read_points(read_rows(path, question), question, path)
        codes = {code_of(term, question, each): each.student for each in submissions}
        read[question.name] = {
            codes[code]: reading
            for code, reading in filled.items()
            if code in codes and reading is not None
        }
    return read


def check_questions(
    folder: Path, assignment: Assignment, term: Term, submissions: Sequence[Submission]
) -> list[str]:
    """Raise where what a person has filled in cannot be counted; return notes on what is not."""
    notes = []
    for question in assignment.questions:
        path = folder / f"{question.name}.csv"
        rows = read_rows(path, question)
        points = read_points(rows, question, path)
        codes = {code_of(term, question, each) for each in submissions}
        filled = {code for code, cells in rows.items() if is_filled(cells)}
        if filled and not codes & set(rows):
            raise tables.TableError(
                f"{path} is filled in, and none of its codes is of this class in this term: was "
                f"the secret changed? Grade with the old one, or into another folder"
            )
        if strangers := filled - codes:
            notes.append(f"{path}: filled rows of nobody in the folder, kept: {len(strangers)}")
        if partly := [code for code in filled & codes if points[code] is None]:
            notes.append(
                f"{path}: rows partly filled in, not counted (a blank is no 0): {len(partly)}"
            )
    return notes


def fill_up(path: Path, question: Question, codes: Sequence[str], without: Set[str]) -> None:
    """Write the CSV of a question; what a person has written into it stays.

    The rows of those without an answer get 0 throughout, so that nobody need type it.
    """
    read = read_rows(path, question)
    # A filled row of somebody whose file is gone today stays too.
    kept = {code: cells for code, cells in read.items() if is_filled(cells)}
    gone = [code for code in kept if code not in codes]
    blank = [""] * (len(question.rubric) + 1)
    nothing = ["0"] * len(question.rubric) + [NO_ANSWER]
    rows = [
        [code, *kept.get(code, nothing if code in without else blank)] for code in (*codes, *gone)
    ]
    tables.write_table(path, [head_of(question), *rows])
