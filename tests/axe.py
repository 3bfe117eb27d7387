"""Ask axe-core what is wrong with a page."""

from importlib.resources import files
from pathlib import Path

AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
FAULTS = (Path(__file__).parent / "site" / "faults.js").read_text(encoding="utf-8")
# A button fades from one theme's colours to the other's as the page loads.
SETTLED = """() => Promise.all(document.getAnimations()
    .filter((each) => each.effect.getComputedTiming().endTime < Infinity)
    .map((each) => each.finished.catch(() => null)))"""
COLOURS = ["color-contrast", "link-in-text-block"]
# A page differs between the themes in its colours alone, and between widths in what scrolls; on a
# long page every rule takes seconds.
COLOURS_ONLY = {"runOnly": COLOURS}
SCROLLING_ONLY = {"runOnly": ["scrollable-region-focusable"]}
# `region` is slow and never serious; that a label says what the button shows is a rule on trial.
THE_REST = {
    "rules": dict.fromkeys([*COLOURS, "region"], {"enabled": False})
    | {"label-content-name-mismatch": {"enabled": True}}
}


def serious_faults(tab, runs, within=None):
    """Run axe-core on a page, or a part of it, and list what it calls serious or critical."""
    tab.evaluate(SETTLED)
    tab.evaluate(AXE)
    found = []
    for options in runs:
        once = options is COLOURS_ONLY
        found += tab.evaluate(FAULTS, {"options": options, "onceAKind": once, "within": within})
    return found
