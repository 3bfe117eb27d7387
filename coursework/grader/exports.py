"""Marks in the formats that teachers' systems read."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import questions, tables
from .marks import Mark
from .submissions import Submission, list_some, plain

# "Participant 123456" in the first column, in whatever language Moodle speaks.
PARTICIPANT = re.compile(r"(?P<word>[^\d@]+)(?P<number>\d+)")
# Columns of Canvas whose numbers are not those in the names of files.
OTHER_NUMBERS = ("SIS", "Integration")


@dataclass(frozen=True)
class Roster:
    """A teacher's own CSV, with the column that names students and the one for their grades."""

    path: Path
    head: list[str]
    rows: list[list[str]]
    delimiter: str
    who: int
    grade: int


def read_roster(path: str, student_column: str, grade_column: str) -> Roster:
    """Read a CSV of Canvas or Moodle that has these columns."""
    head, rows, delimiter = tables.read_table(path, (student_column, grade_column))
    who, grade = head.index(student_column), head.index(grade_column)
    if who == grade:
        raise tables.TableError(f"{path}: the column {student_column!r} cannot hold grades too")
    return Roster(Path(path), head, rows, delimiter, who, grade)


def names_in(roster: Roster) -> dict[int, set[str]]:
    """Return what each cell that names a student may be called by a file, by row."""
    cells = {
        number: plain(row[roster.who])
        for number, row in enumerate(roster.rows)
        if len(row) > roster.who and row[roster.who].strip()
    }
    names = {number: {cell} for number, cell in cells.items()}
    found = {number: PARTICIPANT.fullmatch(cell) for number, cell in cells.items()}
    words = {each and each["word"] for each in found.values()}
    if roster.who == 0 and len(words) == 1:
        for number, each in found.items():
            names[number] |= {f"participant {each['number']}"} if each else set()
    if not roster.head[roster.who].startswith(OTHER_NUMBERS):
        for number, cell in cells.items():
            names[number].add(f"canvas {cell}")
    return names


def match(roster: Roster, submissions: Sequence[Submission]) -> dict[str, int]:
    """Map students to the numbers of their rows; raise where a row or a student is ambiguous."""
    by_name: dict[str, set[int]] = {}
    for number, names in names_in(roster).items():
        for name in names:
            by_name.setdefault(name, set()).add(number)
    found: dict[str, int] = {}
    for each in submissions:
        rows = set().union(*(by_name.get(name, set()) for name in (each.student, *each.keys)))
        if len(rows) > 1:
            raise tables.TableError(
                f"{roster.path}: {len(rows)} rows of {roster.head[roster.who]!r} name "
                f"{each.student}; choose a column that names each student once"
            )
        found.update((each.student, number) for number in rows)
    if not found:
        raise tables.TableError(
            f"{roster.path}: no row of {roster.head[roster.who]!r} names anybody of the folder, "
            f"such as {list_some([each.student for each in submissions])!r}"
        )
    shared = [name for name, row in found.items() if list(found.values()).count(row) > 1]
    if shared:
        raise tables.TableError(f"{roster.path}: one row names {', '.join(shared)}")
    return found


def fill_column(
    roster: Roster, target: Path, totals: Mapping[str, float], rows: Mapping[str, int]
) -> None:
    """Copy a table with the column of grades filled in; every other cell stays as it is.

    A student in the table who has handed in nothing keeps what stands there.
    """
    filled = [list(row) for row in roster.rows]
    for student, number in rows.items():
        row = filled[number]
        row += [""] * (roster.grade + 1 - len(row))
        row[roster.grade] = str(totals[student])
    tables.write_table(target, [roster.head, *filled], roster.delimiter)


def tell_unmatched(
    roster: Roster, submissions: Sequence[Submission], rows: Mapping[str, int]
) -> list[str]:
    """Say who is not in the table, and who of the table has handed in nothing."""
    strangers = [each.student for each in submissions if each.student not in rows]
    notes = [f"not in {roster.path}: {', '.join(strangers)}"] if strangers else []
    absent = [
        " ".join(dict.fromkeys(cell.strip() for cell in (row[roster.who], *row[:2])))
        for number, row in enumerate(roster.rows)
        if number not in rows.values() and len(row) > roster.who and row[roster.who].strip()
    ]
    if absent:
        notes.append(f"{len(absent)} of {roster.path} handed in nothing: {'; '.join(absent)}")
    return notes


def gradescope_results(marks: Sequence[Mark], given: Sequence[tuple[str, float, int, str]]) -> str:
    """Return the contents of the ``results.json`` of one student."""
    tests = [
        {"name": mark.task, "score": mark.points, "max_score": mark.of, "output": mark.message,
         "visibility": "visible"}
        for mark in marks
    ] + [
        {"name": title, "score": points, "max_score": most, "output": comment}
        for title, points, most, comment in given
    ]  # fmt: skip
    score = questions.tidy(sum(mark.points for mark in marks) + sum(each[1] for each in given))
    return json.dumps({"score": score, "tests": tests}, indent=2)
