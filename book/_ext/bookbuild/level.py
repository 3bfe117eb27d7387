"""How hard an exercise is, from its class to a word in its title."""

from docutils import nodes
from sphinx_exercise.nodes import is_exercise_node

LEVELS = ("easy", "medium", "hard")


def levels(exercise):
    """List the levels that the classes of an exercise name."""
    return [level for level in LEVELS if level in exercise["classes"]]


def show_levels(app, doctree, docname):
    """Write the level of each exercise behind its title."""
    for exercise in doctree.findall(is_exercise_node):
        for level in levels(exercise):
            word = nodes.inline("", f" {level}", classes=["exercise-level", f"level-{level}"])
            exercise[0] += word
