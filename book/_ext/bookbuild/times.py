"""``{book-times}``: how long each part of the book takes, and the whole."""

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from . import outline
from .tables import build_table

HEAD = ("part", "core pages", "to read", "with the exercises", "everything")


class book_times(nodes.General, nodes.Element):
    """Where the table goes."""


class BookTimes(SphinxDirective):
    """``{book-times}``: a row a part, and their sum."""

    def run(self):
        """Return a place for the table, which is known when all pages have been read."""
        return [book_times()]


def fill_table(app, doctree, docname):
    """Put the table into its place."""
    for place in list(doctree.findall(book_times)):
        place.replace_self(build_table(HEAD, rows(app)))


def rows(app):
    """Return the cells of the table."""
    sums = part_minutes(app)
    total = [sum(column) for column in zip(*sums.values(), strict=True)]
    return [
        (name, str(pages), *map(hours, minutes))
        for name, (pages, *minutes) in {**sums, "the whole book": total}.items()
    ]


def part_minutes(app):
    """Map each part to its number of core pages and three sums of minutes."""
    found, site_map = app.env.page_contents, app.config.external_site_map
    sums = {}
    for caption, pages in outline.parts(site_map).items():
        core = [found[page] for page in pages]
        below = [found[name] for page in pages for name in outline.pages_below(site_map, page)]
        sums[caption] = (
            len(core),
            sum(page.reading() for page in core),
            sum(page.reading() + page.exercises() for page in core),
            sum(page.everything() for page in core + below),
        )
    return sums


def hours(minutes):
    """Write a time as people say it.

    >>> hours(47.6), hours(124)
    ('48 min', '2 h 04 min')
    """
    whole, rest = divmod(round(minutes), 60)
    return f"{whole} h {rest:02d} min" if whole else f"{rest} min"
