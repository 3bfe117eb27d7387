"""The card at the top of a page: what it teaches, what it needs, how long it takes."""

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

WORDS_PER_MINUTE = 200
# A line of code, or a displayed formula, takes about as long as a short sentence.
WORDS_PER_LINE = 8


class PageCard(SphinxDirective):
    """``{page-card}``: its content, then a line of times that the build computes."""

    has_content = True

    def run(self):
        """Return the admonition with an empty line of times."""
        self.assert_has_content()
        card = nodes.admonition(classes=["page-card"])
        card += nodes.title("", "On this page")
        self.state.nested_parse(self.content, self.content_offset, card)
        card += nodes.paragraph(classes=["page-times"])
        return [card]


def fill_times(app, doctree, docname):
    """Write the times into the card, once the page's execution is on record."""
    for line in doctree.findall(nodes.paragraph):
        if "page-times" in line["classes"]:
            line += nodes.Text(times_sentence(reading_minutes(doctree), runtime(app.env, docname)))


def runtime(env, docname):
    """Return the seconds that the page's code ran, or None for a page without code."""
    page = getattr(env, "nb_metadata", {}).get(docname, {})
    return page.get("exec_data", {}).get("runtime")


def times_sentence(minutes, seconds):
    """Say both times in words.

    >>> times_sentence(12, 4.2)
    'About 12 minutes to read; the code ran in 4 s when this page was built.'
    >>> times_sentence(1, None)
    'About 1 minute to read.'
    """
    reading = f"About {minutes} minute{'' if minutes == 1 else 's'} to read"
    if seconds is None:
        return f"{reading}."
    running = "under 1 s" if seconds < 1 else f"{seconds:.0f} s"
    return f"{reading}; the code ran in {running} when this page was built."


def reading_minutes(doctree):
    """Estimate the minutes a reader needs from the words, code lines and formulas shown."""
    words = count_words(doctree)
    return max(1, round(words / WORDS_PER_MINUTE))


def count_words(node):
    """Count words below a node; code lines and formulas as their worth in words."""
    if isinstance(node, nodes.Text):
        return len(node.split())
    if isinstance(node, (nodes.raw, nodes.comment)) or "cell_output" in node.get("classes", ()):
        return 0
    if isinstance(node, nodes.math):
        return 1
    if isinstance(node, nodes.math_block):
        return WORDS_PER_LINE
    if isinstance(node, nodes.literal_block):
        return WORDS_PER_LINE * sum(1 for line in node.astext().splitlines() if line.strip())
    return sum(count_words(child) for child in node.children)
