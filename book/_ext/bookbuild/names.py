"""Link the names of the library: a page writes ``theory.solve`` as code, and need say no more."""

import re

from docutils import nodes
from sphinx.util.nodes import make_refnode

PACKAGE = "freqsense"
# With a dot: a bare ``slope`` may be anything.
NAME = re.compile(rf"(?:{PACKAGE}\.)?(\w+(?:\.\w+)+)(?:\(.*\))?")


def full_name(text):
    """Complete the name of a function as prose writes it; None for other code.

    >>> full_name("theory.solve"), full_name("freqsense.fourier.fft2(x)"), full_name("x + y")
    ('freqsense.theory.solve', 'freqsense.fourier.fft2', None)
    """
    found = NAME.fullmatch(text)
    return f"{PACKAGE}.{found[1]}" if found else None


def link_names(app, doctree, docname):
    """Make a link of inline code that names a documented function or class of the library."""
    known = app.env.get_domain("py").objects
    for literal in list(doctree.findall(nodes.literal)):
        entry = known.get(full_name(literal.astext()))
        if entry is None or isinstance(literal.parent, (nodes.reference, nodes.title)):
            continue
        link = make_refnode(app.builder, docname, entry.docname, entry.node_id, literal.deepcopy())
        literal.replace_self(link)
