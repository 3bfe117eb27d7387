"""The exercises of the pages, which everybody has, solve no task of the coursework."""

import inspect

import pytest
import torch
from grader.assignment import load, names

from freqsense.exercises import EXERCISES, agree

FUNCTIONS = [
    (exercise.name, function)
    for exercise in EXERCISES.values()
    for function in (
        exercise.reference,
        *exercise.right,
        *(wrong.function for wrong in exercise.wrong),
    )
]


def fits(function, arguments):
    """Tell whether a function can be called with so many arguments."""
    try:
        inspect.signature(function).bind(*arguments)
    except (TypeError, ValueError):
        return False
    return True


def result(function, arguments):
    """Return what a function makes of arguments that were not meant for it."""
    try:
        return function(*arguments)
    except Exception:
        return None


def solving(task, variant):
    """List the functions of the pages' exercises that are right for a task."""
    generator = torch.Generator().manual_seed(0)
    calls = [task.draw(generator, variant=variant) for _ in range(2)]
    fitting = [(name, function) for name, function in FUNCTIONS if fits(function, calls[0])]
    if not fitting:
        return []
    answers = [task.reference(variant)(*each) for each in calls]
    return [
        name
        for name, function in fitting
        if all(
            agree(result(function, each), answer, task.rtol)
            for each, answer in zip(calls, answers, strict=True)
        )
    ]


@pytest.mark.parametrize("assignment", names())
def test_no_function_of_an_exercise_solves_a_task(assignment):
    for task in load(assignment).tasks:
        for variant in task.variants:
            assert solving(task, variant) == [], (task.name, variant)


def test_a_task_that_an_exercise_solved_would_be_found():
    (task,) = [each for each in load("spectra").tasks if each.name == "radial"]
    functions = FUNCTIONS.copy()
    try:
        FUNCTIONS[:] = [("copied", task.reference(task.variants[0]))]
        assert solving(task, task.variants[0]) == ["copied"]
    finally:
        FUNCTIONS[:] = functions
