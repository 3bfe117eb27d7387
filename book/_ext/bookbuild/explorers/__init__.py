"""The live figures of the book, by the name that the directive takes."""

from .field import FIELD
from .kernel import KERNEL
from .recolor import RECOLOR
from .theorem import THEOREM
from .wave import WAVE

EXPLORERS = {
    "theorem": THEOREM,
    "wave": WAVE,
    "field": FIELD,
    "kernel": KERNEL,
    "recolor": RECOLOR,
}
