"""Inputs on which every wrong answer shows."""

from dataclasses import replace

import pytest
import torch

from freqsense.exercises import EXERCISES, UnluckyInputsError, Wrong, attempt, draw_cases
from freqsense.exercises.cases import ATTEMPTS, shows

each_exercise = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=list(EXERCISES))
SEEDS = range(200)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@each_exercise
def test_no_wrong_answer_equals_the_right_one(exercise):
    """On a single call already, whatever is drawn: none is left to luck."""
    alone = replace(exercise, n_cases=1)
    for seed in SEEDS:
        draws = []
        draw_cases(
            alone, lambda number, draws=draws, seed=seed: draws.append(number) or seeded(seed)
        )
        assert draws == [0], seed


@each_exercise
def test_inputs_follow_from_the_generator(exercise):
    first, second = (draw_cases(exercise, seeded).arguments for _ in range(2))
    tensors = [
        (a, b)
        for one, other in zip(first, second, strict=True)
        for a, b in zip(one, other, strict=True)
        if isinstance(a, torch.Tensor)
    ]
    assert len(first) == exercise.n_cases and tensors
    assert all(torch.equal(a, b) for a, b in tensors)
    assert all(a.dtype in {torch.float64, torch.complex128, torch.int64} for a, _ in tensors)


def test_inputs_are_drawn_anew_until_all_wrong_answers_show(exercise=EXERCISES["ex-dft-inverse"]):
    silent = Wrong("silent", lambda xhat: exercise.reference(xhat), "It is right.")
    with pytest.raises(UnluckyInputsError, match=r"ex-dft-inverse: \['silent'\] equal"):
        draw_cases(replace(exercise, wrong=[*exercise.wrong, silent]), seeded)
    tried = []

    def lucky(xhat):
        return exercise.reference(xhat) + (len(tried) == 3)

    cases = draw_cases(
        replace(exercise, wrong=[Wrong("lucky", lucky, "Now and then.")]),
        lambda number: tried.append(number) or seeded(number),
    )
    assert tried == [0, 1, 2] and not shows(Wrong("none", exercise.reference, ""), cases, 1e-6)
    assert ATTEMPTS > 10


def test_an_error_of_ours_is_no_answer_and_one_of_the_reference_stops_all():
    assert attempt(lambda x: x[5], ([],)) is None
    assert attempt(lambda x: x, (3,)) == 3
    broken = replace(EXERCISES["ex-dft-inverse"], reference=lambda xhat: xhat[99])
    with pytest.raises(IndexError):
        draw_cases(broken, seeded)
