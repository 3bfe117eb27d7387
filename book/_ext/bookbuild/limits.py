"""What a core page may ask of its reader; one that asks for more stops the build."""

from sphinx.util import logging

from . import outline
from .times import part_minutes

logger = logging.getLogger(__name__)

WORDS = 1500
MINUTES = 15
MESSAGE_WORDS = 45
DISPLAYS_BEFORE_FIGURE = 3
CELL_LINES = 12
CHECKS = 3
EXERCISES = range(2, 5)
CORE_MINUTES = 4.5 * 60
PENCIL_MINUTES = 8 * 60
PENCIL_PARTS = ("Natural images", "Convolution in frequency", "The sensitivity theorem")


def check_limits(app, env):
    """Warn of every limit that a core page, or the book, exceeds."""
    site_map = app.config.external_site_map
    for page in outline.core_pages(site_map):
        for fault in page_faults(env.page_contents[page]):
            logger.warning(fault, location=page, type="limits")
    for page, contents in env.page_contents.items():
        for fault in exercise_faults(contents.levels):
            logger.warning(fault, location=page, type="limits")
    for fault in book_faults(part_minutes(app)):
        logger.warning(fault, type="limits")


def page_faults(contents):
    """Say what a core page has too much or too little of."""
    shown = contents.shown
    words = shown["words"] + shown["proof words"]
    before = contents.displays_before_figure
    faults = {
        f"{words} words are shown, more than {WORDS}": words > WORDS,
        f"{contents.reading():.1f} minutes, more than {MINUTES}": contents.reading() > MINUTES,
        "no message": contents.message is None,
        f"a message of {contents.message} words": (contents.message or 0) > MESSAGE_WORDS,
        "no figure": before is None,
        f"{before} formulas before the first figure": (before or 0) > DISPLAYS_BEFORE_FIGURE,
        f"a visible cell of {contents.longest_cell} lines": contents.longest_cell > CELL_LINES,
        f"{shown['checks']} checks, fewer than {CHECKS}": shown["checks"] < CHECKS,
        f"{len(contents.levels)} exercises, not 2 to 4": len(contents.levels) not in EXERCISES,
    }
    plumbing = [f"plumbing in a visible cell: {line}" for line in contents.plumbing]
    return [fault for fault, found in faults.items() if found] + plumbing


def exercise_faults(levels):
    """Say which exercises have no level, and whether none is easy."""
    faults = [f"an exercise has {len(each)} levels" for each in levels if len(each) != 1]
    if levels and ["easy"] not in levels:
        faults.append("no exercise is easy")
    return faults


def book_faults(sums):
    """Say whether the parts take longer than they may."""
    core = sum(minutes for _, minutes, *_ in sums.values())
    pencil = sum(sums[part][2] for part in PENCIL_PARTS if part in sums)
    faults = {
        f"the core pages take {core:.0f} minutes, more than {CORE_MINUTES:.0f}": core
        > CORE_MINUTES,
        f"parts 1 to 3 take {pencil:.0f} minutes, more than {PENCIL_MINUTES}": pencil
        > PENCIL_MINUTES,
    }
    return [fault for fault, found in faults.items() if found]
