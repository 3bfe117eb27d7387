"""``python -m grader``: write the coursework of a term, or grade a folder."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import exports, report
from .assignment import Assignment
from .grade import grade_folder, write_coursework
from .sandbox import NoSandboxError
from .submissions import WrongFolderError, list_some
from .tables import TableError
from .term import EXAMPLE_SECRET, Term, TermError, read_term
from .trust import trust_rows, write_trust

# Each of these is said in one line; another error is a fault of ours.
EXPECTED = (TermError, WrongFolderError, NoSandboxError, TableError, OSError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    parser = argparse.ArgumentParser(prog="grader", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("coursework", help="write release, key and trust table of a term")
    grade = commands.add_parser("grade", help="grade the notebooks of a folder")
    for command in (write, grade):
        command.add_argument("--term", required=True, metavar="FILE")
        command.add_argument("--into", required=True, metavar="FOLDER")
    grade.add_argument("folder")
    grade.add_argument("--assignment", metavar="NAME", help="which, where the notebooks don't tell")
    grade.add_argument("--trust-students", action="store_true", help="grade without a sandbox")
    grade.add_argument(
        "--fill",
        nargs=3,
        metavar=("CSV", "STUDENTS", "GRADES"),
        help="copy a CSV of Canvas or Moodle, with totals in the column GRADES of the students "
        "that the column STUDENTS names",
    )
    try:
        return {"coursework": run_coursework, "grade": run_grade}[
            (told := parser.parse_args(arguments)).command
        ](told)
    except EXPECTED as error:
        print(f"grader: {error}", file=sys.stderr)
        return 2


def run_coursework(told: argparse.Namespace) -> int:
    """Write what a term needs, and show how far the grader can be trusted."""
    term = read_term(told.term)
    write_coursework(term, told.into)
    write_trust(trust_rows(term), term, told.into)
    print(f"{told.into}: release, key, nbgrader, trust.md")
    warn_of_example(term)
    return 0


def warn_of_example(term: Term) -> None:
    """Say so if everybody knows the secret."""
    if term.secret == EXAMPLE_SECRET:
        print("note: the secret is that of the public example; take one of your own for a class")


def run_grade(told: argparse.Namespace) -> int:
    """Grade a folder and say in short what came out."""
    term = read_term(told.term)
    roster = exports.read_roster(*told.fill) if told.fill else None
    assignment, graded, notes = grade_folder(
        told.folder,
        term,
        told.into,
        assignment=told.assignment,
        trusted=told.trust_students,
        roster=roster,
    )
    print(*summarise(assignment, graded, Path(told.into) / assignment.name), sep="\n")
    print(*(f"note: {note}" for note in notes), sep="\n", end="\n" if notes else "")
    warn_of_example(term)
    return 0


def summarise(
    assignment: Assignment, graded: Sequence[report.Graded], target: Path
) -> Iterator[str]:
    """Say what came out, and where to look first."""
    of, marked = sum(part.points for part in assignment.parts), report.gradable(graded)
    yield (
        f"{assignment.name}: {len(marked)} graded, mean {report.mean_points(graded):.1f} of {of} "
        f"points for functions"
    )
    problems = [f"{each.student} ({each.problem})" for each, _, _ in graded if each.problem]
    if problems:
        yield f"{len(problems)} could not be graded: {list_some(problems)}"
    counts = [
        (number, task.name, what, message)
        for task in assignment.parts
        for what, message, number in report.count_messages(task, graded)
        if what not in (report.RIGHT, report.OTHER)
    ]
    if counts:
        number, task, what, message = max(counts, key=lambda each: each[0])
        yield f"most common mistake: {what} in {task}, {number} of {len(marked)}: {message}"
    yield f"look first at {target / 'class.html'}"
    for question in assignment.questions:
        yield f"to be read by a person: {target / 'questions' / question.name}.html"


if __name__ == "__main__":
    sys.exit(main())
