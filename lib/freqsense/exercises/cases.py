"""The inputs of an exercise: drawn anew until every listed wrong answer shows on them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Generator

from freqsense.exercises.comparison import agree
from freqsense.exercises.exercise import Exercise, Wrong

__all__ = ["ATTEMPTS", "Cases", "UnluckyInputsError", "attempt", "draw_cases", "shows"]

ATTEMPTS = 50


class UnluckyInputsError(RuntimeError):
    """Inputs on which a wrong answer cannot be told from the right one."""


@dataclass(frozen=True)
class Cases:
    """The arguments of each call, and what each ought to return."""

    arguments: list[tuple[Any, ...]]
    answers: list[Any]


def draw_cases(exercise: Exercise, generator_of: Callable[[int], Generator]) -> Cases:
    """Draw the calls of an exercise; ``generator_of`` gives the random numbers of an attempt.

    Raises
    ------
    UnluckyInputsError
        If after many attempts a wrong answer still equals the right one on all inputs.

    Examples
    --------
    >>> import torch
    >>> from freqsense.exercises import EXERCISES, draw_cases
    >>> cases = draw_cases(EXERCISES["ex-ct-compose"], torch.Generator().manual_seed)
    >>> len(cases.arguments), len(cases.answers)
    (3, 3)
    """
    for number in range(ATTEMPTS):
        generator = generator_of(number)
        arguments = [exercise.draw(generator) for _ in range(exercise.n_cases)]
        # An error of the reference stops everything: else a right answer would count as wrong.
        cases = Cases(arguments, [exercise.reference(*each) for each in arguments])
        silent = [each.name for each in exercise.wrong if not shows(each, cases, exercise.rtol)]
        if not silent:
            return cases
    raise UnluckyInputsError(f"{exercise.name}: {silent} equal the right answer")


def shows(wrong: Wrong, cases: Cases, rtol: float) -> bool:
    """Tell whether a wrong answer differs from the right one on some call."""
    pairs = zip(cases.arguments, cases.answers, strict=True)
    return any(not agree(attempt(wrong.function, each), answer, rtol) for each, answer in pairs)


def attempt(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Return what a function of ours gives, or None where it raises an error."""
    try:
        return function(*arguments)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError):
        return None
