"""The live figures of the book, by the name that the directive takes."""

from .theorem import THEOREM

EXPLORERS = {"theorem": THEOREM}
