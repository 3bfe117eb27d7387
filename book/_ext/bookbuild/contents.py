"""What stands on a page, what it asks of a reader, and how long that takes."""

from collections import Counter
from dataclasses import dataclass, field

from docutils import nodes
from sphinx_exercise.nodes import is_exercise_node, solution_node
from sphinx_proof.nodes import proof_node

from .check import check
from .level import levels

# Seconds that each thing takes. A proof is read at a third of the speed of prose, and its formulas
# are worked out rather than looked at.
SECONDS = {
    "words": 0.3,
    "formulas": 2,
    "displays": 30,
    "proof words": 0.9,
    "proof formulas": 4,
    "proof displays": 60,
    "code lines": 6,
    "output lines": 3,
    "figures": 40,
    "explorers": 60,
    "checks": 20,
}
EXERCISE_MINUTES = {"easy": 3, "medium": 8, "hard": 20}
PLUMBING = ("glue(", "assert ", "import ")
SKIPPED = (nodes.raw, nodes.comment, nodes.target, solution_node)


@dataclass
class Contents:
    """Things seen at once and things folded, by kind, and what the limits of a page look at."""

    shown: Counter = field(default_factory=Counter)
    folded: Counter = field(default_factory=Counter)
    levels: list = field(default_factory=list)  # of each exercise, its levels
    message: int | None = None  # words
    displays_before_figure: int | None = None  # None without a figure
    longest_cell: int = 0  # lines
    plumbing: list = field(default_factory=list)  # lines of visible cells

    def reading(self):
        """Minutes for what is seen at once."""
        return minutes(self.shown)

    def exercises(self):
        """Minutes for the exercises."""
        return sum(EXERCISE_MINUTES[level] for each in self.levels for level in each[:1])

    def everything(self):
        """Minutes for all that stands on the page."""
        return minutes(self.shown) + minutes(self.folded) + self.exercises()


def minutes(counts):
    """Add up the time that things take.

    >>> minutes(Counter({"words": 200, "displays": 2}))
    2.0
    """
    return sum(SECONDS[kind] * number for kind, number in counts.items()) / 60


def survey(doctree):
    """Look through a page."""
    contents = Contents()
    look_at(doctree, contents, contents.shown, "")
    return contents


def look_at(node, contents, counts, prefix):
    """Count one node; ``prefix`` is "proof " inside a proof."""
    if isinstance(node, nodes.Text):
        counts[f"{prefix}words"] += len(node.split())
    elif isinstance(node, SKIPPED) or "page-card" in classes(node):
        return
    elif isinstance(node, nodes.math):
        counts[f"{prefix}formulas"] += 1
    elif isinstance(node, nodes.math_block):
        counts[f"{prefix}displays"] += 1
    elif isinstance(node, check):
        counts["checks"] += 1
    elif isinstance(node, nodes.literal_block):
        look_at_code(node, contents, counts)
    elif is_exercise_node(node):
        contents.levels.append(levels(node))
    else:
        look_inside(node, contents, counts, prefix)


def look_inside(node, contents, counts, prefix):
    """Count the children of a node that holds others."""
    if "message" in classes(node):
        contents.message = len(node[1].astext().split())
    if isinstance(node, nodes.figure):
        look_at_figure(node, contents, counts)
    if isinstance(node, proof_node):
        prefix = "proof "
    if is_folded(node):
        counts = contents.folded
    for child in node.children:
        if not is_hidden_code(node, child):
            look_at(child, contents, counts, prefix)


def look_at_figure(figure, contents, counts):
    """Count a figure, and note what stood before the first."""
    if contents.displays_before_figure is None:
        contents.displays_before_figure = counts["displays"]
    moves = "live-figure" in classes(figure) or any(
        "freqsense-slider" in raw.astext() for raw in figure.findall(nodes.raw)
    )
    counts["explorers" if moves else "figures"] += 1


def look_at_code(block, contents, counts):
    """Count lines of code, or of what a cell has printed."""
    lines = [line for line in block.astext().splitlines() if line.strip()]
    is_input = "cell_input" in classes(block.parent)
    printed = any("cell_output" in classes(node) for node in ancestors(block))
    counts["output lines" if printed else "code lines"] += len(lines)
    if counts is contents.shown and is_input:
        contents.longest_cell = max(contents.longest_cell, len(lines))
        contents.plumbing += [line for line in lines if line.lstrip().startswith(PLUMBING)]


def ancestors(node):
    """List what a node stands in, from the inside out."""
    found = []
    while node.parent is not None:
        node = node.parent
        found.append(node)
    return found


def classes(node):
    """The classes of a node, if it has any."""
    return node.get("classes", ()) if isinstance(node, nodes.Element) else ()


def is_folded(node):
    """Tell whether a reader must click to see what is inside."""
    return node.get("design_component") == "dropdown" or bool(
        {"dropdown", "toggle"} & set(classes(node))
    )


def is_hidden_code(cell, part):
    """Tell whether a part of a cell is behind a button."""
    hidden = {"input": "cell_input", "output": "cell_output"}
    mode = cell.get("hide_mode") if isinstance(cell, nodes.Element) else None
    return mode == "all" or (mode in hidden and hidden[mode] in classes(part))
