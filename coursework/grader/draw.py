"""The calls that a term makes of each task: they follow from its secret."""

from collections.abc import Sequence
from dataclasses import dataclass

from freqsense.exercises import Cases, Exercise, draw_cases

from .task import Task
from .term import Term


@dataclass(frozen=True)
class Drawn:
    """A task as a term has it: its exercise, and the calls that are made."""

    exercise: Exercise
    cases: Cases


def draw_task(term: Term, assignment: str, task: Task) -> Drawn:
    """Draw the calls of one task."""
    exercise = task.under(term.variant(assignment, task))
    cases = draw_cases(exercise, lambda number: term.generator(assignment, task, number))
    return Drawn(exercise, cases)


def draw_assignment(term: Term, assignment: str, tasks: Sequence[Task]) -> dict[str, Drawn]:
    """Draw the calls of every task of an assignment."""
    return {task.name: draw_task(term, assignment, task) for task in tasks}
