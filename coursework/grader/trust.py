"""How far the grader can be trusted: what it does with answers whose worth is known."""

import ast
import contextlib
import io
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from freqsense.exercises import Cases, agree, attempt

from . import release
from .assignment import Assignment, load, names
from .draw import Drawn, draw_assignment
from .marks import Mark, mark_submission, mark_task
from .mutants import mutate
from .submissions import Submission, without_magics
from .task import Task
from .term import Term

Namespace = dict[str, Any]

HEAD = (
    "task", "key", "untouched", "other right answers", "wrong answers named", "mutants caught",
)  # fmt: skip
ABOUT = """\
Each row is a task, graded on the inputs that this term draws. The key must get all points, the
untouched release none; right answers that are written otherwise must all count, and each of the
typical wrong ones must be told what it is. *Mutants* are small changes of the key, such as a sign
or a mean for a sum; nine of ten or more must be noticed. If a row falls short, take another secret,
which draws other inputs."""
# A mutant that agrees on this many inputs more is the same function, written otherwise.
MORE_INPUTS = 20
MUTANT_SECONDS = 5


@dataclass(frozen=True)
class Trust:
    """One row: points of the key and of the untouched release; caught and all, of three kinds."""

    task: str
    key: int
    untouched: int
    of: int
    right: tuple[int, int]
    wrong: tuple[int, int]
    mutants: tuple[int, int]
    survivors: tuple[str, ...]


def trust_rows(term: Term) -> list[Trust]:
    """Return a row a task, over all assignments."""
    bar = tqdm(names(), unit="assignment")
    return [row for name in bar for row in rows_of(load(name), term)]


def rows_of(assignment: Assignment, term: Term) -> list[Trust]:
    """Return the rows of one assignment."""
    drawn = draw_assignment(term, assignment.name, assignment.tasks)
    key = release.key_notebook(assignment, term)
    full = mark_submission(as_submission(key), assignment.tasks, drawn)[0]
    empty_notebook = release.release_notebook(assignment, term)
    empty = mark_submission(as_submission(empty_notebook), assignment.tasks, drawn)[0]
    namespace = run_here(key)
    return [
        row(task, assignment, term, drawn[task.name], full[n].points, empty[n].points, namespace)
        for n, task in enumerate(assignment.tasks)
    ]


def row(
    task: Task, assignment: Assignment, term: Term, drawn: Drawn, full: int, empty: int,
    namespace: Namespace,
) -> Trust:  # fmt: skip
    """Return the row of one task."""

    def mark(function: Callable[..., Any]) -> Mark:
        values = [("value", attempt(function, each)) for each in drawn.cases.arguments]
        return mark_task(task, drawn, values)

    right = [mark(function).points == task.points for function in drawn.exercise.right]
    wrong = [mark(each.function).misconception == each.name for each in drawn.exercise.wrong]
    mutants = judge_mutants(task, assignment, term, drawn, namespace)
    return Trust(
        task=f"{assignment.name}: {task.name}", key=full, untouched=empty, of=task.points,
        right=(sum(right), len(right)), wrong=(sum(wrong), len(wrong)),
        mutants=(sum(mutants.values()), len(mutants)),
        survivors=tuple(what for what, killed in mutants.items() if not killed),
    )  # fmt: skip


def judge_mutants(
    task: Task, assignment: Assignment, term: Term, drawn: Drawn, namespace: Namespace
) -> dict[str, bool]:
    """Map each change of the key's function that changes what it returns to whether that shows."""
    generator, exercise = term.generator(assignment.name, task, "mutants"), drawn.exercise
    arguments = [exercise.draw(generator) for _ in range(MORE_INPUTS)]
    more = Cases(arguments, [exercise.reference(*each) for each in arguments])
    judged = {}
    for what, source in mutate(function_source(assignment, term, task.name)):
        function = define(source, task.name, namespace)
        killed = differs(function, drawn.cases, task.rtol)
        if killed or differs(function, more, task.rtol):
            judged[what] = killed
    return judged


def differs(function: Callable[..., Any], cases: Cases, rtol: float) -> bool:
    """Tell whether a function gives another value, an error or no end on some case."""
    try:
        with time_limit(MUTANT_SECONDS):
            pairs = zip(cases.arguments, cases.answers, strict=True)
            return any(not agree(attempt(function, c), a, rtol) for c, a in pairs)
    # A mutant may name a method that is none.
    except (AttributeError, TimeoutError):
        return True


@contextlib.contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Raise TimeoutError when the block takes longer."""

    def stop(*_: Any) -> None:
        raise TimeoutError

    old = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)


def function_source(assignment: Assignment, term: Term, name: str) -> str:
    """Return the key's definition of a function."""
    for source in code_of(release.key_notebook(assignment, term)):
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                return ast.unparse(node)
    raise LookupError(f"the key of {assignment.name} defines no {name}")


def define(source: str, name: str, namespace: Namespace) -> Callable[..., Any]:
    """Define one function beside those of the key."""
    scope = dict(namespace)
    exec(compile(source, "<mutant>", "exec"), scope)
    return scope[name]


def run_here(notebook: Any) -> Namespace:
    """Run the key, which is ours, in this process; return what it defines."""
    namespace: Namespace = {"__name__": "key"}
    torch.manual_seed(0)
    for source in code_of(notebook):
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(source, "<key>", "exec"), namespace)
    return namespace


def code_of(notebook: Any) -> list[str]:
    """List the sources of the code cells."""
    return [without_magics(c.source) for c in notebook.cells if c.cell_type == "code"]


def as_submission(notebook: Any) -> Submission:
    """Hand in a notebook of ours."""
    return Submission("key", Path("key.ipynb"), code_of(notebook))


def chance_of_half(tasks: Sequence[Task], certain: int = 0) -> float:
    """Return how likely code of another term gets half or more, where chance alone decides.

    Each task has the same definition again with probability 1 / (its number of variants);
    ``certain`` are points of a program, which is the same in each term.
    """
    chances = {certain: 1.0}  # of each sum of points
    for task in tasks:
        same, before = 1 / len(task.variants), chances
        chances = dict.fromkeys([*before, *(points + task.points for points in before)], 0.0)
        for points, chance in before.items():
            chances[points] += chance * (1 - same)
            chances[points + task.points] += chance * same
    half = (certain + sum(task.points for task in tasks)) / 2
    return sum(chance for points, chance in chances.items() if points >= half)


def chance_in(assignment: Assignment) -> float:
    """Return how likely code of another term gets half or more of the points of an assignment."""
    return chance_of_half(assignment.tasks, sum(each.points for each in assignment.programs))


def tell_chances(term: Term) -> str:
    """Say what code of the term before may get."""
    if term.previous:
        return (
            f"No definition is that of {term.previous.name}, whose code gets less than half of "
            "the points."
        )
    listed = [f"{name} {chance_in(load(name)):.0%}" for name in names()]
    return (
        "**This term names no `previous`.** Definitions of an earlier term may be drawn again, and "
        f"its code gets half of the points or more with a chance of: {', '.join(listed)}. If there "
        "was a term before, name its file."
    )


def write_trust(rows: Iterable[Trust], term: Term, target: str | Path) -> None:
    """Write the table, below it the mutants that no input shows, and what old code may get."""
    lines = [f"# How far to trust the grader: {term.name}", "", ABOUT, ""]
    lines += [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    for each in rows:
        pairs = [f"{some} of {all_}" for some, all_ in (each.right, each.wrong, each.mutants)]
        cells = (each.task, f"{each.key} of {each.of}", f"{each.untouched} of {each.of}", *pairs)
        lines.append(f"| {' | '.join(cells)} |")
    missed = [(each.task, what) for each in rows for what in each.survivors]
    lines += ["", *(f"- {task}, not caught: {what}" for task, what in missed)]
    lines += ["", tell_chances(term)]
    path = Path(target) / "trust.md"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
