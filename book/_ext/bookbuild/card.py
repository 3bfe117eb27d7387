"""The card at the top of a page: what it teaches, what it needs, how long it takes."""

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from . import outline


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
    """Write the times into the card, once all pages have been read."""
    for line in doctree.findall(nodes.paragraph):
        if "page-times" in line["classes"]:
            line += nodes.Text(times_sentence(*page_times(app, docname)))
            line += nodes.Text(code_sentence(runtime(app.env, docname)))


def page_times(app, docname):
    """Return the minutes of a page, and those of everything on it and below it."""
    site_map = app.config.external_site_map
    # Everything stands below the landing page, whose table has the sums of all parts.
    is_root = docname == site_map.root.docname
    below = [] if is_root else outline.pages_below(site_map, docname)
    found = app.env.page_contents
    everything = sum(found[name].everything() for name in (docname, *below) if name in found)
    return found[docname].reading(), everything, len(found[docname].levels), len(below)


def runtime(env, docname):
    """Return the seconds that the page's code ran, or None for a page without code."""
    page = getattr(env, "nb_metadata", {}).get(docname, {})
    return page.get("exec_data", {}).get("runtime")


def times_sentence(reading, everything, n_exercises, n_below):
    """Say the times of a page in words.

    >>> times_sentence(11.2, 96.3, 3, 2)
    'Core 11 minutes, everything 96 minutes: with 3 exercises and the 2 pages below.'
    >>> times_sentence(25.0, 41.0, 2, 0)
    'About 25 minutes, everything 41 minutes: with 2 exercises.'
    >>> times_sentence(0.9, 0.9, 0, 0)
    'About 1 minute.'
    """
    text = f"{'Core' if n_below else 'About'} {count(reading, 'minute')}"
    extras = [count(n_exercises, "exercise")] if n_exercises else []
    extras += [f"the {count(n_below, 'page')} below"] if n_below else []
    if not extras:
        return f"{text}."
    return f"{text}, everything {count(everything, 'minute')}: with {' and '.join(extras)}."


def code_sentence(seconds):
    """Say how long the code ran.

    >>> code_sentence(4.2)
    ' The code ran in 4 s when this page was built.'
    """
    if seconds is None:
        return ""
    running = "under 1 s" if seconds < 1 else f"{seconds:.0f} s"
    return f" The code ran in {running} when this page was built."


def count(number, thing):
    """Write a number, at least 1, with its noun.

    >>> count(0.4, "minute"), count(2, "page")
    ('1 minute', '2 pages')
    """
    number = max(1, round(number))
    return f"{number} {thing}{'' if number == 1 else 's'}"
