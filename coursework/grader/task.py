"""A task: a function that students write, how it is asked for, and how it goes wrong."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product


@dataclass(frozen=True)
class Wrong:
    """A misconception as a function, and what a student who has it is told."""

    name: str
    function: Callable
    message: str


@dataclass(frozen=True)
class Task:
    """A function to be written.

    Its definition has variants, of which a term uses one, so that code of another term fails.
    ``reference``, ``wrong`` and ``right`` take the variant, a dict; ``draw`` takes a generator of
    random numbers and the variant and returns the arguments of one call.
    """

    name: str
    points: int
    draw: Callable
    reference: Callable[[dict], Callable]
    wrong: Callable[[dict], Sequence[Wrong]]
    right: Callable[[dict], Sequence[Callable]]
    variants: tuple[dict, ...] = field(default=({},))
    n_cases: int = 3
    rtol: float = 1e-6
    seconds: int = 10


def choices(**values):
    """Return a variant for each way to choose a value of every name.

    >>> choices(depth=(1, 2), given=("gamma",))
    ({'depth': 1, 'given': 'gamma'}, {'depth': 2, 'given': 'gamma'})
    """
    return tuple(dict(zip(values, chosen, strict=True)) for chosen in product(*values.values()))
