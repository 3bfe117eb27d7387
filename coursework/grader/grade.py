"""Grade a folder of notebooks: run each, mark it, write what teachers and students read."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from tqdm import tqdm

from . import exports, release, report, sandbox
from .assignment import folder_of, load, names
from .draw import draw_assignment
from .marks import mark_submission
from .run import require_run
from .submissions import find_submissions


class WrongFolderError(ValueError):
    """A folder in which nothing can be graded."""


def grade_folder(folder, term, target, *, assignment=None, trusted=False):
    """Grade every notebook below a folder into another; return what was graded."""
    if not trusted:
        sandbox.require_sandbox()
    require_run(trusted=trusted)
    submissions, notes = find_submissions(folder)
    if not submissions:
        raise WrongFolderError(f"{folder} holds no notebook (.ipynb)")
    assignment = load(assignment or guess_assignment(submissions))
    drawn = draw_assignment(term, assignment.name, assignment.tasks)

    def mark(submission):
        return submission, *mark_submission(submission, assignment.tasks, drawn, trusted=trusted)

    # Each waits for a process of its own, so threads suffice.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        graded = list(tqdm(pool.map(mark, submissions), total=len(submissions), unit="notebook"))
    write_reports(Path(target), assignment, term, graded)
    return assignment, graded, notes


def write_reports(target, assignment, term, graded):
    """Write all pages and tables; points that a person has filled in are counted."""
    target.mkdir(parents=True, exist_ok=True)
    report.write_questions(target / "questions", assignment, term, graded)
    read = report.read_questions(target / "questions", assignment, term, graded)
    for submission, marks, errors in graded:
        report.write_feedback(target / "feedback", assignment, submission, marks, errors, read)
        place = target / "gradescope" / report.file_name(submission.student)
        place.mkdir(parents=True, exist_ok=True)
        (place / "results.json").write_text(exports.gradescope_results(marks), encoding="utf-8")
    report.write_grades(target / "grades.csv", assignment, graded, read)
    report.write_class_report(target / "class.html", assignment.tasks, graded)


def guess_assignment(submissions):
    """Find the one assignment whose functions the notebooks define."""
    code = "\n".join(source for each in submissions for source in each.code)
    scores = {
        name: sum(f"def {task.name}(" in code for task in load(name).tasks) for name in names()
    }
    best = max(scores.values(), default=0)
    found = [name for name, score in scores.items() if score == best]
    if best == 0 or len(found) > 1:
        raise WrongFolderError(
            f"the notebooks do not tell which assignment they are: say ASSIGNMENT=, one of "
            f"{', '.join(names())}"
        )
    return found[0]


def write_coursework(term, target):
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
