"""Right answers are right, wrong ones are known by their own name, and others differ."""

import pytest
import torch

from freqsense.exercises import EXERCISES, RIGHT, attempt, draw_cases, judge
from freqsense.exercises.verdict import NEARLY, returns

each_exercise = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=list(EXERCISES))
SEEDS = (0, 1, 2)


def cases_of(exercise, seed=0):
    return draw_cases(exercise, lambda number: torch.Generator().manual_seed(100 * seed + number))


@each_exercise
def test_right_answers_are_right(exercise):
    for seed in SEEDS:
        cases = cases_of(exercise, seed)
        for right in (exercise.reference, *exercise.right):
            verdict = judge(exercise, cases, [right(*each) for each in cases.arguments])
            assert verdict.right and verdict.message == RIGHT, right


@each_exercise
def test_a_wrong_answer_is_known_by_its_own_name(exercise):
    for seed in SEEDS:
        cases = cases_of(exercise, seed)
        for wrong in exercise.wrong:
            found = [attempt(wrong.function, each) for each in cases.arguments]
            verdict = judge(exercise, cases, found)
            assert not verdict.right
            assert (verdict.misconception, verdict.message) == (wrong.name, wrong.message)
            assert returns(wrong, cases, found, exercise.rtol)


@each_exercise
def test_an_answer_that_nobody_foresaw_differs(exercise):
    cases = cases_of(exercise)
    verdict = judge(exercise, cases, [torch.rand(2, 2, 2) for _ in cases.arguments])
    assert not verdict.right and verdict.misconception is None
    assert verdict.message.startswith("It differs on 3 of 3 inputs: expected ")


def test_what_is_right_to_three_digits_is_told_so():
    exercise = EXERCISES["ex-dft-inverse"]
    cases = cases_of(exercise)
    assert judge(exercise, cases, [a * (1 + 1e-4) for a in cases.answers]).message == NEARLY
    assert judge(exercise, cases, [a.to(torch.complex64) for a in cases.answers]).right
    differs = judge(exercise, cases, [a * 1.1 for a in cases.answers]).message
    assert differs == "It differs on 3 of 3 inputs: the numbers differ."
