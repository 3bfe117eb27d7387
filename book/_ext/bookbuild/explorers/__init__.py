"""The live figures of the book, by the name that the directive takes."""

from .theorem import THEOREM
from .wave import WAVE

EXPLORERS = {"theorem": THEOREM, "wave": WAVE}
