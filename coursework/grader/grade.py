"""Grade a folder of notebooks: run each, mark it, write what teachers and students read."""

import os
import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from tqdm import tqdm

from . import exports, questions, release, report, sandbox, tables
from .assignment import Assignment, folder_of, load, names
from .draw import draw_assignment
from .marks import mark_submission
from .program import draw_program, mark_program
from .report import Graded, Read
from .run import require_run
from .submissions import Submission, WrongFolderError, find_submissions, list_some
from .term import Term


def grade_folder(
    folder: str | Path,
    term: Term,
    target: str | Path,
    *,
    assignment: str | None = None,
    trusted: bool = False,
    roster: exports.Roster | None = None,
) -> tuple[Assignment, list[Graded], list[str]]:
    """Grade every notebook below a folder into another; return what was graded, and notes.

    Whatever a teacher may have to change is found before the first notebook runs.
    """
    check_places(Path(folder), Path(target), assignment)
    if not trusted:
        sandbox.require_sandbox()
    found, notes = find_submissions(folder)
    every = [each for rivals in found.values() for each in rivals]
    chosen = load(assignment or guess_assignment(every))
    submissions = choose_all(found, chosen.name)
    notes += check_term(submissions, term)
    target = Path(target) / chosen.name
    notes += questions.check_questions(target / "questions", chosen, term, submissions)
    rows = exports.match(roster, submissions) if roster else {}
    drawn = draw_assignment(term, chosen.name, chosen.tasks)
    require_working(trusted=trusted)
    starter = folder_of(chosen.name) / "starter"
    programs = [
        draw_program(each, term, chosen.name, starter, trusted=trusted) for each in chosen.programs
    ]

    def mark(submission: Submission) -> Graded:
        marks, errors = mark_submission(submission, chosen.tasks, drawn, trusted=trusted)
        marks += [mark_program(submission, each, trusted=trusted) for each in programs]
        return submission, marks, errors

    # Each waits for a process of its own, so threads suffice.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        graded = list(tqdm(pool.map(mark, submissions), total=len(submissions), unit="notebook"))
    read, lost = write_reports(target, chosen, term, graded)
    notes += lost
    if roster:
        totals = {each.student: report.total_of(each.student, m, read) for each, m, _ in graded}
        exports.fill_column(roster, target / "filled.csv", totals, rows)
        notes += exports.tell_unmatched(roster, submissions, rows)
    if unread := report.list_unread(chosen, graded, read):
        notes.append(
            f"{len(unread)} of {len(graded)} students: not all answers are read, totals will rise: "
            f"{list_some(unread)}"
        )
    return chosen, graded, notes


def check_term(submissions: Sequence[Submission], term: Term) -> list[str]:
    """Note which notebooks name another term; say it at once where all of them do."""
    told = [each for each in submissions if each.term]
    others = [each for each in told if each.term != term.name.strip()]
    for each in others:
        each.notes.append(f"this notebook is of the term {each.term!r}")
    if not others:
        return []
    names = list_some([each.student for each in others])
    note = f"{len(others)} of another term than {term.name!r}: {names}"
    if len(others) == len(told):
        note = (
            f"no notebook is of the term {term.name!r}, all that name one are of another, such as "
            f"{others[0].term!r}: was it the file of that term in which they were handed out?"
        )
        print(f"grader: {note}", file=sys.stderr)
    return [note]


def require_working(*, trusted: bool) -> None:
    """Raise unless a notebook can be run, with what may be in the way."""
    try:
        require_run(trusted=trusted)
    except sandbox.NoSandboxError as error:
        raise sandbox.NoSandboxError(
            f"{error}. Many containers, and some Linux systems, forbid users such walls; "
            "`bwrap --unshare-all --ro-bind / / true` says why. Allow them or grade on another "
            "machine; --trust-students grades without"
        ) from None


def check_places(folder: Path, target: Path, assignment: str | None) -> None:
    """Raise where a folder or a name cannot be what it is given for."""
    if assignment and assignment not in names():
        raise WrongFolderError(
            f"there is no assignment {assignment!r}; there are {', '.join(names())}"
        )
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    outer, inner = folder.resolve(), target.resolve()
    if outer == inner or outer in inner.parents:
        raise WrongFolderError(
            f"{target} lies in {folder}: what is written would be handed in next time"
        )
    place = next(each for each in (inner, *inner.parents) if each.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise WrongFolderError(f"{target} cannot be written: {place} is no folder for it")


def write_reports(
    target: Path, assignment: Assignment, term: Term, graded: Sequence[Graded]
) -> tuple[Read, list[str]]:
    """Write all pages and tables; return what a person has given, which counts, and notes."""
    submissions = [submission for submission, _, _ in graded]
    notes = report.write_questions(target / "questions", assignment, term, graded)
    read = questions.read_questions(target / "questions", assignment, term, submissions)
    for submission, marks, errors in graded:
        row = submission, marks, errors
        report.write_feedback(target / "feedback", assignment, term, row, read)
        given = [
            (question.title, reading.points, question.points, reading.comment)
            for question in assignment.questions
            for reading in filter(None, [read[question.name].get(submission.student)])
        ]
        place = target / "gradescope" / report.file_name(submission.student)
        tables.write_whole(place / "results.json", exports.gradescope_results(marks, given))
    report.write_grades(target / "grades.csv", assignment, graded, read)
    report.write_class_report(target / "class.html", assignment, term, graded, read)
    return read, notes


def functions_of() -> dict[str, list[str]]:
    """Map each assignment to the functions that it asks for."""
    return {name: [task.name for task in load(name).tasks] for name in names()}


def tell_assignment(submission: Submission, asked: Mapping[str, Sequence[str]]) -> str | None:
    """Name the assignment of whose functions a notebook defines the most; None if none does."""
    code = "\n".join(submission.code)
    scores = {name: sum(f"def {each}(" in code for each in asked[name]) for name in asked}
    best = max(scores.values(), default=0)
    found = [name for name, score in scores.items() if score == best > 0]
    return found[0] if len(found) == 1 else None


def guess_assignment(submissions: Sequence[Submission]) -> str:
    """Find the assignment that most notebooks are of."""
    asked = functions_of()
    counts = Counter(filter(None, (tell_assignment(each, asked) for each in submissions)))
    best = [name for name, count in counts.items() if count == max(counts.values())]
    if len(best) != 1:
        raise WrongFolderError(
            f"the notebooks do not tell which assignment they are: say ASSIGNMENT=, one of "
            f"{', '.join(names())}"
        )
    return best[0]


def choose_all(found: Mapping[str, Sequence[Submission]], assignment: str) -> list[Submission]:
    """Choose a notebook of each student; one of another assignment becomes a problem in words."""
    asked = functions_of()
    return [choose(rivals, assignment, asked) for rivals in found.values()]


def choose(
    rivals: Sequence[Submission], assignment: str, asked: Mapping[str, Sequence[str]]
) -> Submission:
    """Choose the newest notebook that may be of the assignment, and say so if there are several."""
    told = [tell_assignment(each, asked) for each in rivals]
    ranks = [(other == assignment, other is None, number) for number, other in enumerate(told)]
    number = max(ranks)[-1]
    chosen, other = rivals[number], told[number]
    if other not in (None, assignment):
        chosen.problem = f"this is a notebook of {other}, not of {assignment}"
    if len(rivals) > 1:
        chosen.notes.append(f"{len(rivals)} files were handed in; {chosen.path.name} was graded")
    return chosen


def write_coursework(term: Term, target: str | Path) -> None:
    """Write the release, the key and the nbgrader source of every assignment, with its starters."""
    makers = {
        "release": release.release_notebook,
        "key": release.key_notebook,
        "nbgrader": release.nbgrader_notebook,
    }
    for name in names():
        assignment = load(name)
        for kind, make in makers.items():
            path = Path(target) / kind / name / f"{name}.ipynb"
            path.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(make(assignment, term), path)
            for starter in (folder_of(name) / "starter").glob("*.py"):
                shutil.copy(starter, path.parent)
    binder = Path(target) / "release" / "binder" / "environment.yml"
    tables.write_whole(binder, release.student_environment())
