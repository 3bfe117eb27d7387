"""A verdict on what a function returned: right, a known misconception, or how it differs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from freqsense.exercises.cases import Cases, attempt
from freqsense.exercises.comparison import agree, difference, magnitude
from freqsense.exercises.exercise import Exercise, Wrong

__all__ = ["NEARLY", "RIGHT", "Verdict", "judge", "returns"]

RIGHT = "Right on all inputs."
NEARLY = (
    "Right to three digits, and not to six. Is a part of it computed in float32, which torch takes "
    "unless it is told otherwise?"
)


@dataclass(frozen=True)
class Verdict:
    """Whether a function is right, what its writer is told, and the misconception recognised."""

    right: bool
    message: str
    misconception: str | None = None


def judge(exercise: Exercise, cases: Cases, found: Sequence[Any]) -> Verdict:
    """Judge the values that a function returned, one a call, in order.

    Examples
    --------
    >>> import torch
    >>> from freqsense.exercises import EXERCISES, draw_cases, judge
    >>> exercise = EXERCISES["ex-ct-compose"]  # of two rows of taps one
    >>> cases = draw_cases(exercise, torch.Generator().manual_seed)
    >>> judge(exercise, cases, [answer.flip(0) for answer in cases.answers]).misconception
    'reversed'
    >>> judge(exercise, cases, cases.answers).right
    True
    """
    pairs = list(zip(found, cases.answers, strict=True))
    if all(agree(value, answer, exercise.rtol) for value, answer in pairs):
        return Verdict(True, RIGHT)
    for wrong in exercise.wrong:
        if returns(wrong, cases, found, exercise.rtol):
            return Verdict(False, wrong.message, wrong.name)
    if all(agree(value, answer, 1e-3) for value, answer in pairs):
        return Verdict(False, NEARLY)
    told = [difference(value, answer, exercise.rtol) for value, answer in pairs]
    differing = [each for each in told if each]
    message = f"It differs on {len(differing)} of {len(told)} inputs: {differing[0]}."
    return Verdict(False, message)


def returns(wrong: Wrong, cases: Cases, found: Sequence[Any], rtol: float) -> bool:
    """Tell whether a wrong answer returns these values."""
    told = [attempt(wrong.function, each) for each in cases.arguments]
    return all(
        # Beside the right answer, so that rounding of a zero is a zero.
        t is not None and agree(f, t, rtol, rtol * magnitude(answer))
        for f, t, answer in zip(found, told, cases.answers, strict=True)
    )
