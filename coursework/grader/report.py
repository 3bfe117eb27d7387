"""What teachers and students read: marks as CSV, a feedback page each, answers to be read."""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from . import answers, questions, tables
from .assignment import Assignment
from .marks import Mark
from .program import Program
from .submissions import Submission
from .task import Task
from .term import Term

# A submission, its marks, and the cells that stopped, with why.
Graded = tuple[Submission, Sequence[Mark], Mapping[int, str]]
# Points and comment that a person has given, by question and student.
Read = Mapping[str, Mapping[str, tuple[float, str]]]

# Students' texts go through it, so it escapes all of them.
PAGES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "pages"), autoescape=True,
    undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
)  # fmt: skip
CODE = re.compile(r"`([^`\n]+)`")
MATHJAX = "mathjax/tex-svg-full.js"
SAFE_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,60}[a-z0-9])?")
HASHED = re.compile(r"-[0-9a-f]{16}$")
RIGHT, OTHER = "right", "something else"


def write_page(path: Path, template: str, **told: Any) -> None:
    """Write one HTML page."""
    tables.write_whole(path, PAGES.get_template(f"{template}.html").render(told))


def with_code(message: str) -> Markup:
    """Set what a message puts between backticks as code.

    >>> with_code("not `a<b` but < `c")
    Markup('not <code>a&lt;b</code> but &lt; `c')
    """
    return Markup(CODE.sub(r"<code>\1</code>", str(escape(message))))


PAGES.filters["with_code"] = with_code


def file_name(student: str) -> str:
    """Make a name of a student's that any disk takes, and that no other student has.

    Whatever is not kept as it is gets a number from all of the name, and no name that is kept
    ends in such a number.

    >>> file_name("ada"), file_name("a_b"), file_name("a b")
    ('ada', 'a_b', 'a_b-c8687a08aa5d6ed2')
    """
    if SAFE_NAME.fullmatch(student) and not HASHED.search(student):
        return student
    number = hashlib.sha256(student.encode("utf-8", "backslashreplace")).hexdigest()[:16]
    return f"{re.sub(r'[^a-zA-Z0-9.-]+', '_', student)[:60]}-{number}"


def title_of(assignment: Assignment) -> str:
    """Return the title of an assignment, which is the first heading of its notebook."""
    found = re.search(r"^# (.+)$", assignment.source, re.MULTILINE)
    return found[1] if found else assignment.name


def total_of(student: str, marks: Sequence[Mark], read: Read) -> float:
    """Add the points for functions and those that a person has given."""
    given = [of[student][0] for of in read.values() if student in of]
    return questions.tidy(sum(mark.points for mark in marks) + sum(given))


def count_unread(assignment: Assignment, graded: Sequence[Graded], read: Read) -> int:
    """Count the students of whom an answer is still to be read."""
    return sum(
        any(submission.student not in read[question.name] for question in assignment.questions)
        for submission, _, _ in graded
    )


def write_grades(path: Path, assignment: Assignment, graded: Sequence[Graded], read: Read) -> None:
    """Write one row a student: points a task, those that a person has given, their sum."""
    names = [part.name for part in assignment.parts]
    asked = [question.name for question in assignment.questions]
    rows: list[list[Any]] = [["student", *names, *asked, "total", "note"]]
    for submission, marks, _ in graded:
        student = submission.student
        points = [mark.points for mark in marks]
        given = [read[name].get(student, ("", ""))[0] for name in asked]
        total = total_of(student, marks, read)
        note = "; ".join(filter(None, [submission.problem, *submission.notes]))
        rows.append([student, *points, *given, total, note])
    tables.write_table(path, [[tables.guard(cell) for cell in row] for row in rows])


def write_feedback(
    folder: Path, assignment: Assignment, term: Term, row: Graded, read: Read
) -> None:
    """Write what one student is told."""
    submission, marks, cell_errors = row
    student = submission.student
    given = [(each, *read[each.name].get(student, (None, ""))) for each in assignment.questions]
    write_page(
        folder / f"{file_name(student)}.html",
        "feedback",
        title=title_of(assignment),
        term=term.name,
        submission=submission,
        marks=marks,
        given=given,
        total=total_of(student, marks, read),
        of=sum(mark.of for mark in marks),
        left=sum(question.points for question, points, _ in given if points is None),
        cell_errors=sorted(cell_errors.items()),
    )


def count_messages(task: Task | Program, graded: Sequence[Graded]) -> list[tuple[str, str, int]]:
    """Count what was seen of a task; return (what, message, how many), the most common first."""
    marks = [mark for _, marks, _ in graded for mark in marks if mark.task == task.name]
    counts = Counter(mark.misconception or (RIGHT if mark.points else OTHER) for mark in marks)
    messages = {mark.misconception: mark.message for mark in marks if mark.misconception}
    others = Counter(mark.message for mark in marks if not (mark.misconception or mark.points))
    if others:
        messages[OTHER] = f"Most often: {others.most_common(1)[0][0]}"
    ordered = sorted(counts.items(), key=lambda pair: (pair[0] != RIGHT, -pair[1], pair[0]))
    return [(what, messages.get(what, ""), number) for what, number in ordered]


def write_class_report(
    path: Path, assignment: Assignment, term: Term, graded: Sequence[Graded], read: Read
) -> None:
    """Write how often each misconception was met, and what is still to be done."""
    write_page(
        path,
        "class",
        title=title_of(assignment),
        term=term.name,
        graded=graded,
        mean=mean_points(graded),
        of=sum(part.points for part in assignment.parts),
        problems=[(each.student, each.problem) for each, _, _ in graded if each.problem],
        tasks=[(part, count_messages(part, graded)) for part in assignment.parts],
        questions=[(each, len(read[each.name])) for each in assignment.questions],
    )


def mean_points(graded: Sequence[Graded]) -> float:
    """Return the mean of the points for functions."""
    return sum(mark.points for _, marks, _ in graded for mark in marks) / max(1, len(graded))


def write_questions(
    folder: Path, assignment: Assignment, term: Term, graded: Sequence[Graded]
) -> None:
    """Write a page of anonymous answers a question, and a CSV to fill in beside it."""
    for question in assignment.questions:
        coded = sorted(
            ((questions.code_of(term, question, each), each) for each, _, _ in graded),
            key=lambda pair: pair[0],
        )
        told = [
            (code, Markup(answers.answer_to(question, assignment, each))) for code, each in coded
        ]
        write_page(
            folder / f"{question.name}.html",
            "question",
            title=title_of(assignment),
            term=term.name,
            question=question,
            answers=told,
            mathjax=MATHJAX,
        )
        questions.fill_up(folder / f"{question.name}.csv", question, [code for code, _ in coded])
    # The program that sets formulas stands beside the pages, which then need no network.
    mathjax = files("sphinx-mathjax-offline") / "static" / MATHJAX
    tables.write_whole(folder / MATHJAX, mathjax.read_text(encoding="utf-8"))
