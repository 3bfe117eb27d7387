"""Keep what stands on each page while the book is built, and write again what adds it up."""

from . import contents, outline, plan, redirects, status
from .card import runtime


def start_record(app):
    """Make room in the environment, which the next build finds again."""
    for name in ("page_contents", "page_anchors"):
        if not hasattr(app.env, name):
            setattr(app.env, name, {})


def note_page(app, doctree):
    """Look through a page that was read."""
    app.env.page_contents[app.env.docname] = contents.survey(doctree)
    app.env.page_anchors[app.env.docname] = redirects.anchors(doctree)


def forget_page(app, env, docname):
    """Drop a page that is read anew or gone."""
    env.page_contents.pop(docname, None)
    env.page_anchors.pop(docname, None)


def name_summing_pages(app, env):
    """Name the pages that add up others, once these changed: landing page, core, plan, status."""
    told = {
        page: (env.titles[page].astext(), found, runtime(env, page))
        for page, found in env.page_contents.items()
    }
    changed = told != getattr(env, "summed_pages", {})
    env.summed_pages = told
    if not changed:
        return []
    site_map = app.config.external_site_map
    summing = [site_map.root.docname, *outline.core_pages(site_map), plan.PAGE, status.PAGE]
    return [page for page in summing if page in env.found_docs]
