"""What was built: where it is, and which pages it should have."""

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
SITE = ROOT / "_build" / "html"
VIEWS = [(width, scheme) for width in (1280, 360) for scheme in ("light", "dark")]
REPOSITORY = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["repository"]


def toc_names():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    return [toc["root"], *chapters]


PAGES = toc_names()
NOTEBOOKS = [name for name in PAGES if "{code-cell}" in (ROOT / f"{name}.md").read_text("utf-8")]
