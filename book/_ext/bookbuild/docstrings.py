"""Turn the library's docstrings into reStructuredText.

They have sections with underlined titles, and in them lines ``name : what it is``, where the text
is prose (shape, unit, range) and no type that could be linked.
"""

import re

UNDERLINE = re.compile(r"^(-{3,}|={3,})$")
ENTRY = re.compile(r"^(\(?\*{0,2}\w+(?:, \w+)*\)?) : (.+)$")


def convert_docstring(app, what, name, obj, options, lines):
    """Rewrite the lines of one docstring in place, as autodoc asks."""
    lines[:] = mark_entries(mark_titles(lines))


def mark_titles(lines):
    """Make a rubric of every underlined title.

    >>> mark_titles(["Returns", "-------", "A number."])
    ['.. rubric:: Returns', '', 'A number.']
    """
    marked = []
    for line in lines:
        if UNDERLINE.match(line) and marked and marked[-1].strip():
            marked[-1:] = [f".. rubric:: {marked[-1]}", ""]
        else:
            marked.append(line)
    return marked


def mark_entries(lines):
    """Make an item of a definition list of every ``name : text``.

    >>> mark_entries(["shape : (H, W),", "    positive.", "seed : of the noise."])
    ['``shape``', '    (H, W),', '    positive.', '', '``seed``', '    of the noise.', '']
    """
    marked, inside = [], False
    for line in lines:
        entry = ENTRY.match(line)
        if inside and not line.startswith(" "):
            marked.append("")
        if entry:
            marked += [f"``{entry.group(1)}``", f"    {entry.group(2)}"]
        else:
            marked.append(line)
        inside = bool(entry) or (inside and line.startswith(" "))
    return [*marked, ""] if inside else marked
