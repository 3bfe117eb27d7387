"""The order of the book: its parts, their core pages, and the deeper pages below each."""

# Parts that are looked things up in; the pages of the others are read one after another.
LOOKED_UP = ("Teach", "Reference")


def parts(site_map):
    """Map the caption of each part that is read to its core pages; the landing page is in none."""
    return {
        tree.caption: tree.files()
        for tree in site_map.root.subtrees
        if tree.caption and tree.caption not in LOOKED_UP
    }


def core_pages(site_map):
    """List the core pages of all parts."""
    return [page for pages in parts(site_map).values() for page in pages]


def pages_below(site_map, page):
    """List the pages under a page, and those under these."""
    children = site_map[page].child_files()
    return [name for child in children for name in (child, *pages_below(site_map, child))]


def in_order(site_map):
    """List the pages that are read: each core page, then those below it."""
    return [name for core in core_pages(site_map) for name in (core, *pages_below(site_map, core))]
