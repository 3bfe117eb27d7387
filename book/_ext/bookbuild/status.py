"""``{build-status}``: what each page holds, how long it takes, and what its code took to run."""

from docutils import nodes
from jupyter_cache import get_cache
from sphinx.util.docutils import SphinxDirective

from .card import runtime
from .outline import in_order
from .tables import build_link, build_table

PAGE = "book/reference/status"
HEAD = ("page", "words", "formulas", "minutes", "everything", "checks", "seconds", "memory (MB)")


class build_status(nodes.General, nodes.Element):
    """Where the table goes."""


class BuildStatus(SphinxDirective):
    """``{build-status}``: a row a page, in the order of the book."""

    def run(self):
        """Return a place for the table, which is known when all pages have been read."""
        return [build_status()]


def fill_table(app, doctree, docname):
    """Put the table into its place."""
    for place in list(doctree.findall(build_status)):
        memory = memory_of_pages(app.env)
        pages = in_order(app.config.external_site_map)
        rows = [row(app, docname, page, memory) for page in pages if page in app.env.page_contents]
        place.replace_self(build_table(HEAD, rows))


def row(app, docname, page, memory):
    """Return the cells of one page."""
    found = app.env.page_contents[page]
    seconds = runtime(app.env, page)
    peak = memory.get(app.env.doc2path(page))
    return (
        build_link(app, docname, page),
        str(found.shown["words"] + found.shown["proof words"]),
        str(found.shown["displays"] + found.shown["proof displays"]),
        f"{found.reading():.0f}",
        f"{found.everything():.0f}",
        str(found.shown["checks"]),
        "" if seconds is None else f"{seconds:.0f}",
        "" if peak is None else f"{peak / 1e6:.0f}",
    )


def memory_of_pages(env):
    """Map the path of each page to the most memory that its kernel held, in bytes."""
    cache = get_cache(env.mystnb_config.execution_cache_path)
    # The newest record of a page comes last.
    records = sorted(cache.list_cache_records(), key=lambda record: record.created)
    return {each.uri: each.data["peak_memory"] for each in records if "peak_memory" in each.data}
