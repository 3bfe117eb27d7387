"""Exercises that ask for a function, and what is told to whoever writes it wrong."""

from freqsense.exercises.cases import Cases, UnluckyInputsError, attempt, draw_cases
from freqsense.exercises.checking import EXERCISES, check
from freqsense.exercises.comparison import agree, difference
from freqsense.exercises.exercise import Exercise, Wrong
from freqsense.exercises.verdict import RIGHT, Verdict, judge

__all__ = [
    "EXERCISES",
    "RIGHT",
    "Cases",
    "Exercise",
    "UnluckyInputsError",
    "Verdict",
    "Wrong",
    "agree",
    "attempt",
    "check",
    "difference",
    "draw_cases",
    "judge",
]
