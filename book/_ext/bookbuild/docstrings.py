"""Turn the library's docstrings into reStructuredText.

They have sections with underlined titles, and in them lines ``name : what it is``, where the text
is prose (shape, unit, range) and no type that could be linked. Labels of the book stand in them as
literals, so that ``help()`` shows what to search for; on a page they become links.
"""

import re

UNDERLINE = re.compile(r"^(-{3,}|={3,})$")
ENTRY = re.compile(r"^(\(?\*{0,2}\w+(?:, \w+)*\)?) : (.+)$")
# The link to a statement, figure or table says what it is; that to an equation is its number.
ROLES = dict.fromkeys(("def", "lem", "prop", "thm", "cor"), "prf:ref")
ROLES |= {"eq": "eq", "fig": "numref", "tab": "numref"}
KINDS = "definition|lemma|proposition|theorem|corollary|figure|table"
LABEL = re.compile(rf"(?:\b(?:{KINDS})s?\s+)?``(({'|'.join(ROLES)})-[\w-]+)``", re.IGNORECASE)


def convert_docstring(app, what, name, obj, options, lines):
    """Rewrite the lines of one docstring in place, as autodoc asks."""
    lines[:] = link_labels(mark_entries(mark_titles(lines)))


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


def link_labels(lines):
    """Make a reference of every label of the book.

    >>> link_labels(["Equation ``eq-slope``; see theorem", "``thm-probe`` and ``fft2``."])
    ['Equation :eq:`eq-slope`; see :prf:ref:`thm-probe` and ``fft2``.']
    """
    linked = LABEL.sub(lambda found: f":{ROLES[found[2].lower()]}:`{found[1]}`", "\n".join(lines))
    return linked.split("\n")
