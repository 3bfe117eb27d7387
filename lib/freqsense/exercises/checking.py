"""Check a reader's function for an exercise of the book's pages, and say what is off."""

import difflib
import hashlib
from collections.abc import Callable
from typing import Any

import torch

from freqsense.exercises import _convolution, _images, _sensitivity
from freqsense.exercises.cases import Cases, draw_cases
from freqsense.exercises.exercise import Exercise
from freqsense.exercises.verdict import judge

__all__ = ["CHANGED", "EXERCISES", "NOTHING", "check", "find_exercise", "generator_of", "tell"]

NOTHING = "It returns nothing yet."
CHANGED = (
    "What it returns is right, but it changes what it is given, which belongs to the caller. Work "
    "on a new tensor."
)

EXERCISES = _images.EXERCISES | _convolution.EXERCISES | _sensitivity.EXERCISES


def check(name: str, function: Callable[..., Any]) -> None:
    """Print whether a function solves the exercise of a label, or what is off.

    The function is called on inputs drawn for the exercise, the same each time. What it returns is
    compared with the right answer, and if it differs with those of known misconceptions.

    Parameters
    ----------
    name : label of the exercise, as it stands on the page: a key of ``EXERCISES``.
    function : takes the arguments that the exercise names. Tensors are float64; results may be
        tensors, arrays or numbers, and agree with the right ones to six digits.

    Raises
    ------
    ValueError
        If no exercise with this label asks for a function.
    TypeError
        If ``function`` cannot be called.

    Examples
    --------
    >>> from freqsense import exercises, fourier
    >>> exercises.check("ex-dft-inverse", fourier.fft2)
    This turns the image about. What changes the sign of i in the sum?
    >>> exercises.check("ex-dft-inverse", fourier.ifft2)
    Right on all inputs.
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
    found, changed = [], False
    for arguments in cases.arguments:
        # Copies: a function that changes what it is given must not change the next call.
        given = [_copy(argument) for argument in arguments]
        try:
            found.append(_copy(function(*given)))
        except Exception as error:  # whatever a reader's code may raise
            return f"It stopped: {type(error).__name__}: {error}"
        changed = changed or not all(map(_is_same, given, arguments))
    if all(value is None for value in found):
        return NOTHING
    verdict = judge(exercise, cases, found)
    return CHANGED if verdict.right and changed else verdict.message


def _is_same(value: Any, before: Any) -> bool:
    """Tell whether an argument is what it was before a call."""
    return not isinstance(value, torch.Tensor) or torch.equal(value, before)


def _copy(value: Any) -> Any:
    """Return a tensor that may be changed, and anything else as it is."""
    return value.clone() if isinstance(value, torch.Tensor) else value
