"""Keep what stands on each page while the book is built, and write again what adds it up."""

from . import contents, outline


def start_record(app):
    """Make room in the environment, which the next build finds again."""
    if not hasattr(app.env, "page_contents"):
        app.env.page_contents = {}


def note_page(app, doctree):
    """Look through a page that was read."""
    app.env.page_contents[app.env.docname] = contents.survey(doctree)


def forget_page(app, env, docname):
    """Drop a page that is read anew or gone."""
    env.page_contents.pop(docname, None)


def name_summing_pages(app, env):
    """Name the pages that add up times of others: core pages, and those of the whole book."""
    site_map = app.config.external_site_map
    return [site_map.root.docname, *outline.core_pages(site_map)]
