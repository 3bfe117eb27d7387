"""A link to a numbered thing shows the thing, by pointer and by keyboard."""

import re

import pytest
from axe import COLOURS_ONLY, THE_REST, serious_faults
from built import PAGES, SITE
from playwright.sync_api import expect

KIND = {"definition": "def", "theorem": "thm", "equation": "equation", "figure": "fig"}
LINK = """([prefix, here]) => [...document.querySelectorAll("article a.reference.internal")]
    .find(link => link.hash.startsWith(`#${prefix}-`) && link.checkVisibility()
        && (link.pathname === location.pathname) === here
        && !document.querySelector(here ? link.hash : "none")?.contains(link))"""


def open_at(browser, address, kind, here=False, **context):
    """Open a page that links to a thing of a kind, on the same page or on another."""
    tab = browser.new_page(**{"viewport": {"width": 1280, "height": 800}} | context)
    for name in filter(lambda name: f"#{KIND[kind]}-" in html(name), PAGES):
        tab.goto(f"{address}{name}.html", wait_until="load")
        link = tab.evaluate_handle(LINK, [KIND[kind], here]).as_element()
        if link is not None:
            tab.evaluate("async () => { if (window.MathJax) await MathJax.startup.promise }")
            link.scroll_into_view_if_needed()
            return tab, link, tab.get_by_role("tooltip")
    return pytest.fail(f"no page links to a {kind}")


def html(name):
    return (SITE / f"{name}.html").read_text("utf-8")


@pytest.mark.parametrize("here", [False, True], ids=["another page", "the same page"])
@pytest.mark.parametrize("kind", KIND)
def test_hovering_shows_the_thing_and_leaving_hides_it(browser, address, kind, here):
    tab, link, preview = open_at(browser, address, kind, here)
    link.hover()
    expect(preview).to_be_visible()
    assert link.get_attribute("aria-describedby") == preview.get_attribute("id")
    if kind == "figure":
        expect(preview.locator("figcaption")).to_contain_text("Figure")
        loaded = "all => all.every(img => img.complete && img.naturalWidth)"
        tab.wait_for_function(f"({loaded})([...document.querySelectorAll('#preview img')])")
    else:
        expect(preview.locator("mjx-container").first).to_be_visible()
        assert not re.search(r"\\[(\[]", preview.inner_text())
    tab.mouse.move(1, 1)
    expect(preview).to_have_count(0)
    assert link.get_attribute("aria-describedby") is None
    tab.close()


def test_the_pointer_may_rest_on_the_preview(browser, address):
    tab, link, preview = open_at(browser, address, "definition")
    link.hover()
    preview.hover()
    tab.wait_for_timeout(400)
    expect(preview).to_be_visible()
    tab.close()


def test_the_keyboard_shows_and_escape_hides_it(browser, address):
    tab, link, preview = open_at(browser, address, "theorem")
    link.focus()
    tab.keyboard.press("Shift+Tab")
    tab.keyboard.press("Tab")
    expect(preview).to_be_visible()
    tab.keyboard.press("Escape")
    expect(preview).to_have_count(0)
    assert link.evaluate("link => link === document.activeElement")
    tab.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_preview_is_accessible_and_within_the_screen(browser, address, scheme):
    tab, link, preview = open_at(browser, address, "theorem", color_scheme=scheme)
    link.hover()
    expect(preview.locator("mjx-container").first).to_be_visible()
    inside = preview.locator("a, button, input, summary, [tabindex], [id]:not(svg *)")
    assert inside.count() == 0
    box = preview.bounding_box()
    assert 0 <= box["x"] and box["x"] + box["width"] <= tab.viewport_size["width"]
    assert serious_faults(tab, [THE_REST, COLOURS_ONLY], within="#preview") == []
    tab.close()


def test_a_finger_follows_the_link_at_once(browser, address):
    tab, link, preview = open_at(browser, address, "theorem", has_touch=True)
    link.evaluate(
        """link => link.dispatchEvent(
            new PointerEvent('pointerover', {bubbles: true, pointerType: 'touch'}))"""
    )
    tab.wait_for_timeout(500)
    expect(preview).to_have_count(0)
    tab.close()


def test_a_page_that_cannot_be_read_leaves_the_link_a_link(browser, address):
    tab, link, preview = open_at(browser, address, "theorem")
    faults = []
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.route("**/*.html", lambda route: route.abort())
    link.hover()
    tab.wait_for_timeout(600)
    expect(preview).to_have_count(0)
    tab.unroute("**/*.html")
    tab.mouse.move(1, 1)
    link.hover()
    expect(preview).to_be_visible()
    assert faults == []
    tab.close()
