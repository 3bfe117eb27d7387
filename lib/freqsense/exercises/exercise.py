"""An exercise: a function that a reader writes, and the ways in which it goes wrong."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Generator

__all__ = ["Exercise", "Wrong"]


@dataclass(frozen=True)
class Wrong:
    """A misconception as a function, and what a reader who has it is told."""

    name: str
    function: Callable[..., Any]
    message: str


@dataclass(frozen=True)
class Exercise:
    """A function to be written.

    ``draw`` takes a generator of random numbers and returns the arguments of one call.
    ``reference`` is right; so is each of ``right``, written otherwise; none of ``wrong`` is.
    Values that agree to ``rtol`` of the largest of them are equal.
    """

    name: str
    draw: Callable[[Generator], tuple[Any, ...]]
    reference: Callable[..., Any]
    wrong: Sequence[Wrong]
    right: Sequence[Callable[..., Any]]
    n_cases: int = 3
    rtol: float = 1e-6
