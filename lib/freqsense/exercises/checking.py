"""Check a reader's function for an exercise of the book's pages, and say what is off."""

import difflib
import hashlib
from collections.abc import Callable
from typing import Any

import torch

from freqsense.exercises.cases import Cases, draw_cases
from freqsense.exercises.exercise import Exercise
from freqsense.exercises.verdict import judge

EXERCISES: dict[str, Exercise] = {}


def check(name: str, function: Callable[..., Any]) -> None:
    """Print whether a function solves the exercise of this label, or what is off.

    The function is called on inputs drawn for the exercise, the same each time.

    Raises
    ------
    ValueError
        If no exercise with this label asks for a function.
    TypeError
        If ``function`` cannot be called.
    """
    exercise = find_exercise(name)
    if not callable(function):
        raise TypeError(
            f"expected the function itself, as in check({name!r}, f), "
            f"got a {type(function).__name__}"
        )
    cases = draw_cases(exercise, lambda number: generator_of(name, number))
    print(tell(exercise, cases, function))


def find_exercise(name: str) -> Exercise:
    """Return the exercise with a label."""
    if name in EXERCISES:
        return EXERCISES[name]
    near = difflib.get_close_matches(str(name), EXERCISES, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"expected one of {', '.join(EXERCISES)}, got {name!r}{hint}")


def generator_of(name: str, number: int) -> torch.Generator:
    """Return random numbers that follow from a label."""
    digest = hashlib.sha256(f"{name} {number}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def tell(exercise: Exercise, cases: Cases, function: Callable[..., Any]) -> str:
    """Say what becomes of a function on the inputs of an exercise."""
    found = []
    for arguments in cases.arguments:
        try:
            # A copy: a function that changes what it is given must not change the next call.
            found.append(function(*map(copy, arguments)))
        except Exception as error:  # whatever a reader's code may raise
            return f"It stopped: {type(error).__name__}: {error}"
    if all(value is None for value in found):
        return "It returns nothing yet."
    return judge(exercise, cases, found).message


def copy(value: Any) -> Any:
    """Return a tensor that may be changed, and anything else as it is."""
    return value.clone() if isinstance(value, torch.Tensor) else value
