"""Old addresses lead to where the text stands now: pages that moved, and labels that changed page.

``book/addresses.csv`` lists the labels of each page as they were when people first linked to them;
a row without a label says where a page is that is gone from its address.
"""

import csv
import json
from functools import cache
from pathlib import Path

from docutils import nodes
from sphinx.util import logging

logger = logging.getLogger(__name__)

ADDRESSES = "book/addresses.csv"
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>This page has moved</title>
<script type="application/json" id="moved">{moved}</script>
<script>
  const moved = JSON.parse(document.getElementById("moved").textContent);
  location.replace(moved[location.hash.slice(1)] ?? "{page}");
</script>
<noscript><meta http-equiv="refresh" content="0; url={page}"></noscript>
<p>This page has moved: <a href="{page}">go on</a>.</p>
</html>
"""


def anchors(doctree):
    """Collect the anchors of a page."""
    return {name for node in doctree.findall(nodes.Element) for name in node.get("ids", ())}


@cache
def read_addresses(root):
    """Map each page of old to the labels that it held, and each page that is gone to its heir."""
    path, labels, heirs = Path(root) / ADDRESSES, {}, {}
    if not path.is_file():
        return labels, heirs
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["label"]:
                labels.setdefault(row["page"], []).append(row["label"])
            else:
                heirs[row["page"]] = row["heir"]
    return labels, heirs


def moved_anchors(app, page):
    """Map the anchors that a page held, and holds no more, to their addresses from there."""
    labels = read_addresses(app.srcdir)[0].get(page, ())
    here = app.env.page_anchors.get(page, set())
    moved = {}
    for anchor in map(anchor_of, labels):
        homes = [name for name, there in app.env.page_anchors.items() if anchor in there]
        if anchor not in here and homes:
            moved[anchor] = app.builder.get_relative_uri(page, homes[0]) + f"#{anchor}"
    return moved


def anchor_of(label):
    """Return the anchor that Sphinx gives a label.

    >>> anchor_of("eq-slope"), anchor_of("thm-probe")
    ('equation-eq-slope', 'thm-probe')
    """
    return f"equation-{label}" if label.startswith("eq-") else label


def add_moved(app, pagename, templatename, context, doctree):
    """Put into a page where its former anchors are; ``book.js`` follows them."""
    moved = moved_anchors(app, pagename) if "body" in context else {}
    if moved:
        data = json.dumps(moved)
        context["body"] += f'<script type="application/json" id="moved">{data}</script>'


def write_moved_pages(app, exception):
    """Write a page at each address that is gone."""
    if exception is not None or app.builder.format != "html":
        return
    for old, new in read_addresses(app.srcdir)[1].items():
        target = app.builder.get_relative_uri(old, new)
        text = PAGE.format(moved=json.dumps(moved_anchors(app, old)), page=target)
        path = Path(app.outdir) / f"{old}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def check_addresses(app, env):
    """Warn of every label of old that stands nowhere, or page that is gone."""
    known = set().union(*env.page_anchors.values())
    labels, heirs = read_addresses(app.srcdir)
    for page in set(labels) - env.found_docs - set(heirs):
        logger.warning("the page %s is gone, and %s does not say where", page, ADDRESSES)
    for page in labels:
        for label in labels[page]:
            if anchor_of(label) not in known:
                logger.warning("%s: the label %s stands nowhere now", page, label)
