"""``python -m grader``: write the coursework of a term, or grade a folder."""

import argparse
import sys

from . import exports
from .grade import WrongFolderError, grade_folder, write_coursework
from .sandbox import NoSandboxError
from .term import TermError, read_term
from .trust import trust_rows, write_trust

# Each of these is said in one line; another error is a fault of ours.
EXPECTED = (
    TermError, WrongFolderError, NoSandboxError, exports.ColumnError, FileNotFoundError, ValueError
)  # fmt: skip


def main(arguments=None):
    """Run one command; return the exit status."""
    parser = argparse.ArgumentParser(prog="grader", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("coursework", help="write release, key and trust table of a term")
    grade = commands.add_parser("grade", help="grade the notebooks of a folder")
    for command in (write, grade):
        command.add_argument("--term", required=True, metavar="FILE")
        command.add_argument("--into", required=True, metavar="FOLDER")
    grade.add_argument("folder")
    grade.add_argument("--assignment")
    grade.add_argument("--trust-students", action="store_true", help="grade without a sandbox")
    grade.add_argument("--fill", nargs=3, metavar=("CSV", "STUDENTS", "GRADES"))
    try:
        return {"coursework": run_coursework, "grade": run_grade}[
            (told := parser.parse_args(arguments)).command
        ](told)
    except EXPECTED as error:
        print(f"grader: {error}", file=sys.stderr)
        return 2


def run_coursework(told):
    """Write what a term needs, and show how far the grader can be trusted."""
    term = read_term(told.term)
    write_coursework(term, told.into)
    rows = trust_rows(term)
    write_trust(rows, told.into)
    print(f"{told.into}: release, key, nbgrader, trust.md")
    return 0


def run_grade(told):
    """Grade a folder and say in short what came out."""
    term = read_term(told.term)
    if told.fill:
        exports.read_table(told.fill[0], told.fill[1:])
    assignment, graded, notes = grade_folder(
        told.folder, term, told.into, assignment=told.assignment, trusted=told.trust_students
    )
    for note in notes:
        print(note)
    if told.fill:
        path, students, grades = told.fill
        marks = {each.student: sum(mark.points for mark in marks) for each, marks, _ in graded}
        missing = exports.fill_column(
            path, f"{told.into}/filled.csv", marks, student_column=students, grade_column=grades
        )
        print(*(f"{name} is not in {path}" for name in missing), sep="\n")
    print(f"{assignment.name}: {len(graded)} submissions graded into {told.into}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
