"""Marks: what each task of a notebook is worth, and what its student is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from freqsense.exercises import judge

from .draw import Drawn
from .run import Run, run_notebook
from .submissions import Submission
from .task import Task


@dataclass(frozen=True)
class Mark:
    """Points of a task, what is told of it, and the misconception that was recognised."""

    task: str
    points: int
    of: int
    message: str
    misconception: str | None = None


def mark_submission(
    submission: Submission, tasks: Sequence[Task], drawn: Mapping[str, Drawn], *,
    trusted: bool = False,
) -> tuple[list[Mark], dict[int, str]]:  # fmt: skip
    """Run a submission and mark its tasks; also return the cells that stopped, and why."""
    if submission.problem:
        return [Mark(task.name, 0, task.points, submission.problem) for task in tasks], {}
    calls = {
        f"{task.name}-{number}": (task.name, arguments, task.seconds)
        for task in tasks
        for number, arguments in enumerate(drawn[task.name].cases.arguments)
    }
    run = run_notebook(submission.code, calls, trusted=trusted)
    marks = [mark_task(task, drawn[task.name], values_of(task, run)) for task in tasks]
    return marks, run.cell_errors


def values_of(task: Task, run: Run) -> list[tuple[str, Any]]:
    """List what the calls of a task returned, in order."""
    return [run.values[f"{task.name}-{number}"] for number in range(task.n_cases)]


def mark_task(task: Task, drawn: Drawn, values: Sequence[tuple[str, Any]]) -> Mark:
    """Give all points or none, and say why."""
    errors = [why for kind, why in values if kind == "error"]
    if errors:
        return Mark(task.name, 0, task.points, f"It stopped: {errors[0]}.")
    verdict = judge(drawn.exercise, drawn.cases, [value for _, value in values])
    points = task.points if verdict.right else 0
    return Mark(task.name, points, task.points, verdict.message, verdict.misconception)
