"""The exercises as they are listed: each is worth checking, and none is listed twice."""

import pytest

from freqsense.exercises import EXERCISES

each_exercise = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=list(EXERCISES))


@each_exercise
def test_an_exercise_has_enough_right_and_wrong_answers(exercise):
    assert len(exercise.wrong) >= 5 and len(exercise.right) >= 1
    assert exercise.reference not in exercise.right
    assert len({wrong.name for wrong in exercise.wrong}) == len(exercise.wrong)
    assert len({wrong.message for wrong in exercise.wrong}) == len(exercise.wrong)


@each_exercise
def test_a_message_is_a_sentence_or_two(exercise):
    for wrong in exercise.wrong:
        assert wrong.message[0].isupper() or wrong.message[0] == "κ", wrong.name
        assert wrong.message[-1] in ".?" and 4 < len(wrong.message.split()) <= 40, wrong.name


def test_there_are_as_many_as_a_course_needs():
    assert 12 <= len(EXERCISES) <= 16
    assert all(name == exercise.name for name, exercise in EXERCISES.items())
