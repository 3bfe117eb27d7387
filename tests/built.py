"""What was built: where it is, and which pages it should have."""

from pathlib import Path

import twins
import yaml

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "_build" / "html"
# A page differs between the themes in its colours alone, and between the widths in its layout, so
# two views show both of each; pages that people read first are opened in all four.
WIDE_LIGHT, WIDE_DARK = (1280, "light"), (1280, "dark")
NARROW_LIGHT, NARROW_DARK = (360, "light"), (360, "dark")
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
REPOSITORY = CONFIG["repository"]
# Where the book is read.
ADDRESS = CONFIG["html"]["baseurl"]

PAGES = [twins.page_name(page) for page in twins.toc_pages()]
NOTEBOOKS = [twins.page_name(page) for page in twins.notebook_pages()]
CORE = [twins.page_name(page) for page in twins.core_pages()]
FIRST = ("book/index", "book/start/listening", "book/theorem/sensitivity-theorem")


def views_of(name):
    """List the views in which a page is opened."""
    two = [WIDE_LIGHT, NARROW_DARK]
    return [*two, WIDE_DARK, NARROW_LIGHT] if name in FIRST else two


VISITS = [(name, *view) for name in PAGES for view in views_of(name)]
