"""A task: an exercise for points, whose definition changes with the term."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any

from freqsense.exercises import Exercise, Wrong

Variant = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """A function to be written.

    Its definition has variants, of which a term uses one, so that code of another term fails.
    ``reference``, ``wrong`` and ``right`` take the variant; ``draw`` takes a generator of random
    numbers and the variant and returns the arguments of one call.
    """

    name: str
    points: int
    draw: Callable[..., tuple[Any, ...]]
    reference: Callable[[Variant], Callable[..., Any]]
    wrong: Callable[[Variant], Sequence[Wrong]]
    right: Callable[[Variant], Sequence[Callable[..., Any]]]
    variants: tuple[Variant, ...] = field(default=({},))
    n_cases: int = 3
    rtol: float = 1e-6
    seconds: int = 10

    def under(self, variant: Variant) -> Exercise:
        """Return the exercise that the task is with one of its definitions."""
        return Exercise(
            self.name, partial(self.draw, variant=variant), self.reference(variant),
            self.wrong(variant), self.right(variant), self.n_cases, self.rtol,
        )  # fmt: skip


def choices(**values: tuple[Any, ...]) -> tuple[Variant, ...]:
    """Return a variant for each way to choose a value of every name.

    >>> choices(depth=(1, 2), given=("gamma",))
    ({'depth': 1, 'given': 'gamma'}, {'depth': 2, 'given': 'gamma'})
    """
    return tuple(dict(zip(values, chosen, strict=True)) for chosen in product(*values.values()))
