"""Marks: what each task of a notebook is worth, and what its student is told."""

from dataclasses import dataclass

from .compare import agree, difference
from .draw import attempt, draw_cases
from .run import run_notebook

RIGHT = "Right on all inputs."


@dataclass(frozen=True)
class Mark:
    """Points of a task, what is told of it, and the misconception that was recognised."""

    task: str
    points: int
    of: int
    message: str
    misconception: str | None = None


def mark_submission(submission, tasks, drawn, *, trusted=False):
    """Run a submission and mark its tasks; ``drawn`` holds the cases of each."""
    if submission.problem:
        return [Mark(task.name, 0, task.points, submission.problem) for task in tasks], {}
    calls = {
        f"{task.name}-{number}": (task.name, arguments, task.seconds)
        for task in tasks
        for number, arguments in enumerate(drawn[task.name][1])
    }
    run = run_notebook(submission.code, calls, trusted=trusted)
    marks = [mark_task(task, *drawn[task.name], values_of(task, run)) for task in tasks]
    return marks, run.cell_errors


def values_of(task, run):
    """List what the calls of a task returned, in order."""
    return [run.values[f"{task.name}-{number}"] for number in range(task.n_cases)]


def mark_task(task, variant, cases, answers, values):
    """Give all points or none, and say why."""
    errors = [why for kind, why in values if kind == "error"]
    if errors:
        return Mark(task.name, 0, task.points, f"It stopped: {errors[0]}.")
    found = [value for _, value in values]
    if all(agree(f, a, task.rtol) for f, a in zip(found, answers, strict=True)):
        return Mark(task.name, task.points, task.points, RIGHT)
    for wrong in task.wrong(variant):
        told = [attempt(wrong.function, arguments) for arguments in cases]
        if all(t is not None and agree(f, t, task.rtol) for f, t in zip(found, told, strict=True)):
            return Mark(task.name, 0, task.points, wrong.message, wrong.name)
    return Mark(task.name, 0, task.points, describe(found, answers, task.rtol))


def describe(found, answers, rtol):
    """Say on how many inputs an answer differs, and how it differs on the first of these."""
    told = [difference(f, a, rtol) for f, a in zip(found, answers, strict=True)]
    differing = [each for each in told if each]
    return f"It differs on {len(differing)} of {len(told)} inputs: {differing[0]}."


def draw_assignment(term, assignment, tasks):
    """Draw the cases of every task of an assignment."""
    return {task.name: draw_cases(term, assignment, task) for task in tasks}
