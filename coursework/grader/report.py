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
from .assignment import Assignment, Question
from .marks import Mark
from .program import Program
from .questions import Reading
from .submissions import Submission
from .task import Task
from .term import Term

# A submission, its marks, and the cells that stopped, with why.
Graded = tuple[Submission, Sequence[Mark], Mapping[int, str]]
# What a person has given, by question and student.
Read = Mapping[str, Mapping[str, Reading]]

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
    given = [of[student].points for of in read.values() if student in of]
    return questions.tidy(sum(mark.points for mark in marks) + sum(given))


def list_unread(assignment: Assignment, graded: Sequence[Graded], read: Read) -> list[str]:
    """List the students of whom an answer is still to be read."""
    students = [submission.student for submission, _, _ in graded]
    return [
        student
        for student in students
        if any(student not in read[question.name] for question in assignment.questions)
    ]


def gradable(graded: Sequence[Graded]) -> list[Graded]:
    """Leave out what could not be graded, which tells nothing of what a class has understood."""
    return [row for row in graded if not row[0].problem]


def write_grades(path: Path, assignment: Assignment, graded: Sequence[Graded], read: Read) -> None:
    """Write one row a student: points a task, those that a person has given, their sum."""
    names = [part.name for part in assignment.parts]
    asked = [question.name for question in assignment.questions]
    rows: list[list[Any]] = [["student", *names, *asked, "total", "note"]]
    for submission, marks, _ in graded:
        student = submission.student
        points = [mark.points for mark in marks]
        readings = [read[name].get(student) for name in asked]
        given = [each.points if each else "" for each in readings]
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
    given = [(each, read[each.name].get(student)) for each in assignment.questions]
    write_page(
        folder / f"{file_name(student)}.html",
        "feedback",
        title=title_of(assignment),
        term=term.name,
        submission=submission,
        # What is wrong with the whole is said once.
        marks=[mark for mark in marks if mark.message != submission.problem],
        given=given,
        total=total_of(student, marks, read),
        of=sum(mark.of for mark in marks),
        left=sum(question.points for question, reading in given if reading is None),
        cell_errors=sorted(cell_errors.items()),
    )


def count_messages(task: Task | Program, graded: Sequence[Graded]) -> list[tuple[str, str, int]]:
    """Count what was seen of a task; return (what, message, how many), the most common first."""
    every = [mark for _, marks, _ in gradable(graded) for mark in marks]
    marks = [mark for mark in every if mark.task == task.name]
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
        handed_in=len(graded),
        graded=len(gradable(graded)),
        mean=mean_points(graded),
        of=sum(part.points for part in assignment.parts),
        problems=[(each.student, each.problem) for each, _, _ in graded if each.problem],
        tasks=[(part, count_messages(part, graded)) for part in assignment.parts],
        questions=[(each, len(read[each.name])) for each in assignment.questions],
    )


def mean_points(graded: Sequence[Graded]) -> float:
    """Return the mean of the points for functions, over what could be graded."""
    able = gradable(graded)
    return sum(mark.points for _, marks, _ in able for mark in marks) / max(1, len(able))


def write_questions(
    folder: Path, assignment: Assignment, term: Term, graded: Sequence[Graded]
) -> list[str]:
    """Write a page of answers a question, and a CSV beside it; note whose line was not found."""
    given = answers.given_lines(assignment, term)
    notes = []
    for question in assignment.questions:
        told = {
            questions.code_of(term, question, each): answers.answer_to(
                question, assignment, each, given
            )
            for each, _, _ in graded
        }
        write_question(folder, assignment, term, question, dict(sorted(told.items())))
        if lost := sum(not answer.has_line for answer in told.values()):
            notes.append(
                f"{question.title}: {lost} of {len(told)} answer lines were not found; what those "
                "students wrote in its section is shown in their place"
            )
    # The program that sets formulas stands beside the pages, which then need no network.
    mathjax = files("sphinx-mathjax-offline") / "static" / MATHJAX
    tables.write_whole(folder / MATHJAX, mathjax.read_text(encoding="utf-8"))
    return notes


def write_question(
    folder: Path,
    assignment: Assignment,
    term: Term,
    question: Question,
    told: Mapping[str, answers.Answer],
) -> None:
    """Write the page of anonymous answers to a question, by code, and the CSV to fill in."""
    nothing = f"<p>{answers.NO_ANSWER}</p>"
    write_page(
        folder / f"{question.name}.html",
        "question",
        title=title_of(assignment),
        term=term.name,
        question=question,
        answers=[(code, Markup(answer.html or nothing)) for code, answer in told.items()],
        mathjax=MATHJAX,
    )
    without = {code for code, answer in told.items() if not answer.html}
    questions.fill_up(folder / f"{question.name}.csv", question, list(told), without)
