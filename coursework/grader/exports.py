"""Marks in the formats that teachers' systems read."""

import csv
import json
from pathlib import Path


class ColumnError(ValueError):
    """A table of a teacher's that has no such column."""


def read_table(path, columns):
    """Read a CSV of Canvas or Moodle that has these columns; return its head and its rows."""
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        head, *rows = list(csv.reader(file)) or [[]]
    for column in columns:
        if column not in head:
            raise ColumnError(f"{path} has no column {column!r}; it has {', '.join(head)}")
    return head, rows


def fill_column(path, target, marks, *, student_column, grade_column):
    """Copy a table with one column filled in; return whom it does not name.

    Every other cell stays as it is. A student in the table who has handed in nothing keeps what
    stands there.
    """
    head, rows = read_table(path, (student_column, grade_column))
    who, grade = head.index(student_column), head.index(grade_column)
    found = set()
    for row in rows:
        if len(row) > max(who, grade) and row[who] in marks:
            row[grade] = str(marks[row[who]])
            found.add(row[who])
    with Path(target).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return sorted(set(marks) - found)


def gradescope_results(marks):
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
    return json.dumps({"score": sum(mark.points for mark in marks), "tests": tests}, indent=2)
