"""``{lecture-plan} WEEKS``: the core pages in order, shared out over the weeks of a course."""

from functools import cache

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from . import outline
from .tables import build_link, build_table
from .times import hours

PAGE = "book/teach/assign"
HEAD = ("week", "pages", "to read", "with the exercises")


class lecture_plan(nodes.General, nodes.Element):
    """Where the table of a plan goes."""


class LecturePlan(SphinxDirective):
    """``{lecture-plan}`` with the number of weeks: a row a week."""

    required_arguments = 1

    def run(self):
        """Return a place for the table, which is known when all pages have been read."""
        given, pages = self.arguments[0], outline.core_pages(self.config.external_site_map)
        if not (given.isdecimal() and 1 <= int(given) <= len(pages)):
            raise self.error(f"a plan is for 1 to {len(pages)} weeks, got {given!r}")
        return [lecture_plan(weeks=int(given))]


def fill_table(app, doctree, docname):
    """Put each plan into its place."""
    for place in list(doctree.findall(lecture_plan)):
        place.replace_self(build_table(HEAD, rows(app, docname, place["weeks"])))


def rows(app, docname, weeks):
    """Return the cells of a plan."""
    found = app.env.page_contents
    pages = outline.core_pages(app.config.external_site_map)
    times = [found[page].reading() + found[page].exercises() for page in pages]
    return [
        (
            str(number),
            links(app, docname, [pages[index] for index in week]),
            unbroken(sum(found[pages[index]].reading() for index in week)),
            unbroken(sum(times[index] for index in week)),
        )
        for number, week in enumerate(split(times, weeks), start=1)
    ]


def links(app, docname, pages):
    """Return links to pages, one after another."""
    cell = nodes.inline()
    for number, page in enumerate(pages):
        cell += [nodes.Text("; ")] if number else []
        cell += build_link(app, docname, page)
    return cell


def unbroken(minutes):
    """Write a time that stays on one line."""
    return hours(minutes).replace(" ", "\N{NO-BREAK SPACE}")


def split(times, weeks):
    """Cut a list of times into weeks, in order, so that the longest week is as short as it can be.

    Of several such plans, take one whose weeks differ little.

    >>> split([5, 1, 1, 3, 2], 3)
    [range(0, 1), range(1, 3), range(3, 5)]
    """

    @cache
    def best(end, weeks):
        """Plan the pages before one: the longest week, the sum of squares, where weeks end."""
        if weeks == 1:
            alone = sum(times[:end])
            return alone, alone**2, (end,)
        plans = []
        for start in range(weeks - 1, end):
            longest, squares, ends = best(start, weeks - 1)
            last = sum(times[start:end])
            plans.append((max(longest, last), squares + last**2, (*ends, end)))
        return min(plans)

    ends = best(len(times), weeks)[2]
    return [range(start, end) for start, end in zip((0, *ends[:-1]), ends, strict=True)]
