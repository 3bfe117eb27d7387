"""Marks in the formats that teachers' systems read."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from . import tables
from .submissions import list_some, plain

# "Participant 123456", in whatever language Moodle speaks.
PARTICIPANT = re.compile(r"^[^\d@]+(?P<number>\d+)$")


@dataclass(frozen=True)
class Roster:
    """A teacher's own CSV, with the column that names students and the one for their grades."""

    path: Path
    head: list
    rows: list
    delimiter: str
    who: int
    grade: int


def read_roster(path, student_column, grade_column):
    """Read a CSV of Canvas or Moodle that has these columns."""
    head, rows, delimiter = tables.read_table(path, (student_column, grade_column))
    who, grade = head.index(student_column), head.index(grade_column)
    if who == grade:
        raise tables.TableError(f"{path}: the column {student_column!r} cannot hold grades too")
    return Roster(Path(path), head, rows, delimiter, who, grade)


def names_in(cell):
    """Return what a cell that names a student may be called by a file.

    >>> sorted(names_in("Participant 12")), names_in(" ")
    (['Participant 12', 'participant 12'], set())
    """
    if not cell.strip():
        return set()
    text = plain(cell)
    found = PARTICIPANT.match(text)
    return {text, f"participant {found['number']}"} if found else {text}


def match(roster, submissions):
    """Map students to the numbers of their rows; raise where a row or a student is ambiguous."""
    by_name = {}
    for number, row in enumerate(roster.rows):
        for name in names_in(row[roster.who]) if len(row) > roster.who else ():
            by_name.setdefault(name, set()).add(number)
    found = {}
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


def fill_column(roster, target, totals, rows):
    """Copy a table with the column of grades filled in; every other cell stays as it is.

    A student in the table who has handed in nothing keeps what stands there.
    """
    filled = [list(row) for row in roster.rows]
    for student, number in rows.items():
        row = filled[number]
        row += [""] * (roster.grade + 1 - len(row))
        row[roster.grade] = str(totals[student])
    tables.write_table(target, [roster.head, *filled], roster.delimiter)


def tell_unmatched(roster, submissions, rows):
    """Say who is not in the table, and who of the table has handed in nothing."""
    strangers = [each.student for each in submissions if each.student not in rows]
    notes = [f"not in {roster.path}: {', '.join(strangers)}"] if strangers else []
    absent = [
        " ".join(dict.fromkeys(cell.strip() for cell in (row[roster.who], *row[:2])))
        for number, row in enumerate(roster.rows)
        if number not in rows.values() and len(row) > roster.who and row[roster.who].strip()
    ]
    if absent:
        notes.append(f"{len(absent)} of {roster.path} handed in nothing: {list_some(absent)}")
    return notes


def gradescope_results(marks, given):
    """Return the contents of the ``results.json`` of one student."""
    tests = [
        {
            "name": mark.task,
            "score": mark.points,
            "max_score": mark.of,
            "output": mark.message,
            "visibility": "visible",
        }
        for mark in marks
    ]
    for title, points, most, comment in given:
        tests.append({"name": title, "score": points, "max_score": most, "output": comment})
    return json.dumps({"score": sum(each["score"] for each in tests), "tests": tests}, indent=2)
