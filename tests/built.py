"""What was built: where it is, and which pages it should have."""

from pathlib import Path

import twins
import yaml

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "_build" / "html"
VIEWS = [(width, scheme) for width in (1280, 360) for scheme in ("light", "dark")]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
REPOSITORY = CONFIG["repository"]
# Where the book is read.
ADDRESS = CONFIG["html"]["baseurl"]

PAGES = [twins.page_name(page) for page in twins.toc_pages()]
NOTEBOOKS = [twins.page_name(page) for page in twins.notebook_pages()]
CORE = [twins.page_name(page) for page in twins.core_pages()]
