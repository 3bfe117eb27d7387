"""What counts as equal, and what is said of what differs."""

import numpy as np
import pytest
import torch

from freqsense.exercises.comparison import agree, as_array, difference, kind, magnitude

RIGHT = torch.tensor([3.0, -4.0, 0.0], dtype=torch.float64)


@pytest.mark.parametrize(
    "answer",
    [
        RIGHT.clone(),
        RIGHT.numpy(),
        RIGHT.float(),
        RIGHT.to(torch.complex128),
        RIGHT.to(torch.complex128).conj(),
        RIGHT.clone().requires_grad_(),
        RIGHT + 1e-7,  # rounding beside the largest number
        RIGHT.int(),
    ],
)
def test_kinds_and_rounding_do_not_matter(answer):
    assert agree(answer, RIGHT, 1e-6)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "expected numbers, got nothing"),
        ([3.0, -4.0, 0.0], "expected numbers, got a list"),
        ("3", "expected numbers, got a str"),
        (np.array(["a"]), "expected numbers, got a ndarray"),
        (RIGHT[:2], r"expected shape (3,), got (2,)"),
        (RIGHT[None], r"expected shape (3,), got (1, 3)"),
        (RIGHT / 0, "some of the numbers are not finite"),
        (RIGHT + 1j, "expected real numbers, got complex ones"),
        (-RIGHT, "the numbers differ"),
        (RIGHT + 1e-4, "the numbers differ"),
    ],
)
def test_what_differs_is_said(answer, said):
    assert difference(answer, RIGHT, 1e-6) == said
    assert not agree(answer, RIGHT, 1e-6)


def test_tuples_are_compared_part_by_part():
    assert agree((1, RIGHT), (1.0, RIGHT), 1e-6) and agree([1, RIGHT], (1.0, RIGHT), 1e-6)
    assert difference((1, -RIGHT), (1, RIGHT), 1e-6) == "the numbers differ"
    assert difference((1,), (1, RIGHT), 1e-6) == "expected 2 values, got a tuple"
    assert difference(RIGHT, (1, RIGHT), 1e-6) == "expected 2 values, got a Tensor"


def test_a_right_answer_that_is_no_number_is_our_error():
    with pytest.raises(TypeError, match="as the right answer, got nothing"):
        difference(1.0, None, 1e-6)


def test_helpers():
    assert magnitude((1, [RIGHT])) == 4.0 and magnitude(()) == 0.0
    assert as_array("a") is None and as_array(True).dtype == bool
    assert kind(None) == "nothing" and kind(1) == "a int"
